/* Loops that memory limits, beside a copy of as many bytes by as many threads. */
#ifndef TERN_BENCH_ELEMENTS_H
#define TERN_BENCH_ELEMENTS_H

#include "bench.h"
#include "kernel/loops.h"

#include <string.h>

/* What a loop works on: `count` floats an array, as many as it has membranes. */
typedef struct elements {
    tern_pool *pool;
    int64_t steps, neurons, count;
    float *x, *y, *u, *m, *v, *from, *to;
    uint64_t *spikes;
} elements;

#define PIECE (16 * 1024) /* floats copied by a task */

static void copy_task(void *context, int64_t task, int thread)
{
    const elements *e = context;
    int64_t at = task * PIECE, count = e->count - at < PIECE ? e->count - at : PIECE;
    (void)thread;
    memcpy(e->to + at, e->from + at, sizeof(float) * (size_t)count);
}

static void copy_elements(void *context, int times)
{
    const elements *e = context;
    for (int i = 0; i < times; i++)
        tern_pool_run(e->pool, (e->count + PIECE - 1) / PIECE, copy_task, context);
}

static tern_neuron lif_of(const elements *e)
{
    return (tern_neuron){.steps = e->steps,
                         .neurons = e->neurons,
                         .decay = 0.9f,
                         .gain = 0.1f, /* in place, again and again: membranes stay bounded */
                         .threshold = 1,
                         .surrogate = TERN_ARCTAN,
                         .alpha = 2,
                         .detach_reset = true};
}

static void lif_forward(void *context, int times)
{
    const elements *e = context;
    tern_neuron n = lif_of(e);
    for (int i = 0; i < times; i++)
        tern_neuron_forward(e->pool, &n, &(tern_neuron_operands){.x = e->x, .spikes = e->spikes, .u = e->x});
}

static void lif_backward(void *context, int times)
{
    const elements *e = context;
    tern_neuron n = lif_of(e);
    for (int i = 0; i < times; i++)
        tern_neuron_backward(e->pool, &n, &(tern_neuron_gradients){.ds = e->y, .u = e->u, .dx = e->u}, NULL);
}

static void adam(void *context, int times)
{
    const elements *e = context;
    tern_adam_step s = {1e-3f, 0.9f, 0.999f, 1e-8f, 0, 1, 1, false};
    tern_adam_operands o = {
        .p = e->x, .g = e->y, .m = e->m, .v = e->v, .p_out = e->x, .m_out = e->m, .v_out = e->v};
    for (int i = 0; i < times; i++) tern_adam_loop(e->pool, e->count, &s, &o);
}

static void bench_loop(const char *name, elements *e, double bytes, bench_side *loop)
{
    double ours[101], peer[101];
    int runs = bench_runs(), times = (int)(0.02 / bench_time(loop, e, 1)) + 1;
    for (int i = 0; i < runs; i++) {
        ours[i] = 1e-9 * bytes * (double)e->count / bench_time(loop, e, times);
        peer[i] = 1e-9 * 8 * (double)e->count / bench_time(copy_elements, e, times);
    }
    qsort(ours, (size_t)runs, sizeof *ours, bench_compare);
    qsort(peer, (size_t)runs, sizeof *peer, bench_compare);
    double a = ours[runs / 2], b = peer[runs / 2];
    printf("bench %s-%lldx%lld-vs-copy ours=%.3g peer=%.3g ratio=%.2f (GB/s, n=%d)\n", name,
           (long long)e->steps, (long long)e->neurons, a, b, a / b, runs);
    fflush(stdout);
}

/* Membranes of `steps` x `neurons`.  Neurons work in place, as in a program: membranes over currents, gradients over
 * membranes. */
static void bench_elements(tern_pool *pool, int64_t steps, int64_t neurons, float *(*numbers)(int64_t))
{
    elements e = {.pool = pool, .steps = steps, .neurons = neurons, .count = steps * neurons};
    float **all[] = {&e.x, &e.y, &e.u, &e.m, &e.v, &e.from, &e.to};
    for (size_t i = 0; i < TERN_COUNT(all); i++) *all[i] = numbers(e.count);
    e.spikes = (uint64_t *)numbers(e.count / 32 + 4);
    memset(e.v, 0, sizeof(float) * (size_t)e.count);
    bench_loop("lif-forward", &e, 8.125, lif_forward); /* x; u and spikes */
    bench_loop("lif-backward", &e, 12, lif_backward);  /* u, ds; dx */
    bench_loop("adam", &e, 28, adam);                  /* p, g, m, v; p, m, v */
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(*all[i]);
    tern_release(e.spikes);
}

#endif
