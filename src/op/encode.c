/* Encoders: from numbers to spikes in time.  Direct encoding (the same number at each step) is in reduce.c. */
#include "op/op.h"

#include <math.h>
#include <string.h>

static const tern_arg poisson_args[] = {
    TERN_ARG(tern_poisson_args, timesteps, TERN_ARG_INT, "steps T"),
    TERN_ARG(tern_poisson_args, stream, TERN_ARG_INT, "random stream of this encoder"),
    {0},
};
static const tern_arg latency_args[] = {
    TERN_ARG(tern_latency_args, timesteps, TERN_ARG_INT, "steps T"),
    {0},
};
static const tern_arg change_args[] = {
    TERN_ARG(tern_change_args, threshold, TERN_ARG_REAL, "change that makes a spike"),
    {0},
};

/* x [..] -> bits [T,..] */
static tern_status add_time(tern_infer *types, int steps)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    const tern_shape *x = &types->in[0]->shape;
    if (steps < 1 || x->rank + 1 > TERN_MAX_RANK)
        return tern_infer_fail(types, "timesteps is %d, expected at least 1", steps);
    tern_shape y = {.rank = x->rank + 1, .dim = {steps}};
    for (int i = 0; i < x->rank; i++) y.dim[i + 1] = x->dim[i];
    tern_infer_out(types, TERN_BIT, y);
    return TERN_OK;
}

/* Bits are made a word at a time, so that no two tasks share one. */
#define WORDS_PER_TASK 256

static void run_words(const tern_call *call, tern_task *task)
{
    int64_t words = (tern_elements(&call->out[0].shape) + 63) / 64;
    tern_pool_run(call->pool, (words + WORDS_PER_TASK - 1) / WORDS_PER_TASK, task, (void *)(uintptr_t)call);
    if (call->counter) tern_work_outputs(call, call->counter);
}

/* ---- Poisson: a spike with probability x at each step -------------------------------------------------------- */

static tern_status poisson_infer(tern_infer *types)
{
    return add_time(types, ((const tern_poisson_args *)types->args)->timesteps);
}

/* Element i of [T,..] draws number i of the stream: the same on any number of threads. */
static void poisson_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tern_call *call = context;
    int64_t bits = tern_elements(&call->out[0].shape), n = tern_elements(&call->in[0].shape);
    uint64_t *words = call->out[0].data;
    tern_rng rng = {call->seed, (uint64_t)TERN_ARGS(tern_poisson_args, call)->stream};
    for (int64_t w = task * WORDS_PER_TASK; w < (task + 1) * WORDS_PER_TASK && w * 64 < bits; w++) {
        uint64_t word = 0;
        for (int64_t i = w * 64; i < w * 64 + 64 && i < bits; i += 4) {
            uint32_t draw[4];
            tern_rng_block(rng, (uint64_t)i / 4, draw);
            for (int64_t k = 0; k < 4 && i + k < bits; k++)
                word |= (uint64_t)(draw[k] * 0x1p-32 < tern_get(&call->in[0], (i + k) % n)) << ((i + k) % 64);
        }
        words[w] = word;
    }
}

static void poisson_run(const tern_call *call)
{
    run_words(call, poisson_task);
}

const tern_op tern_op_poisson = {
    .name = "poisson",
    .doc = "at each of T steps a spike with probability x",
    .args = poisson_args,
    .args_size = sizeof(tern_poisson_args),
    .flags = TERN_OP_RANDOM,
    .infer = poisson_infer,
    .work = tern_work_outputs,
    .run = poisson_run,
};

tern_value tern_poisson_with(tern_graph *graph, tern_value x, tern_poisson_args args)
{
    tern_layer(graph, "poisson", NULL);
    if (args.stream == 0) args.stream = graph->layer_count;
    if (graph->options.stepping) args.timesteps = 1;
    return tern_apply(graph, &tern_op_poisson, &args, &x, 1, NULL);
}

/* ---- latency: one spike, the earlier the bigger x ------------------------------------------------------------- */

static tern_status latency_infer(tern_infer *types)
{
    return add_time(types, ((const tern_latency_args *)types->args)->timesteps);
}

static void latency_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tern_call *call = context;
    int64_t bits = tern_elements(&call->out[0].shape), n = tern_elements(&call->in[0].shape);
    uint64_t *words = call->out[0].data;
    double last = TERN_ARGS(tern_latency_args, call)->timesteps - 1;
    for (int64_t w = task * WORDS_PER_TASK; w < (task + 1) * WORDS_PER_TASK && w * 64 < bits; w++) {
        uint64_t word = 0;
        for (int64_t i = w * 64; i < w * 64 + 64 && i < bits; i++) {
            double x = fmin(fmax(tern_get(&call->in[0], i % n), 0), 1);
            word |= (uint64_t)(floor((1 - x) * last + 0.5) == (double)(i / n)) << (i % 64);
        }
        words[w] = word;
    }
}

static void latency_run(const tern_call *call)
{
    run_words(call, latency_task);
}

const tern_op tern_op_latency = {
    .name = "latency",
    .doc = "one spike at step round((1 - x)(T - 1))",
    .args = latency_args,
    .args_size = sizeof(tern_latency_args),
    .infer = latency_infer,
    .work = tern_work_outputs,
    .run = latency_run,
};

tern_value tern_latency_with(tern_graph *graph, tern_value x, tern_latency_args args)
{
    tern_layer(graph, "latency", NULL);
    if (graph->options.stepping)
        return tern_graph_fail(graph, "layer %s: a single time step has no latency; encode before",
                               graph->layer);
    return tern_apply(graph, &tern_op_latency, &args, &x, 1, NULL);
}

/* ---- change: on and off spikes, as an event camera's pixels ---------------------------------------------------- */

/* x [T,B,C,..] -> bits [T,B,2C,..]: on channels, then off channels */
static tern_status change_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    tern_shape y = types->in[0]->shape;
    char text[96];
    if (y.rank < 3) return tern_infer_fail(types, "x is %s, expected [T,B,C,..]", tern_shape_text(text, &y));
    y.dim[2] *= 2;
    tern_infer_out(types, TERN_BIT, y);
    return TERN_OK;
}

static void change_run(const tern_call *call)
{
    const tern_tensor *x = &call->in[0], *y = &call->out[0];
    double threshold = TERN_ARGS(tern_change_args, call)->threshold;
    int64_t steps = x->shape.dim[0], rows = x->shape.dim[1], inner = tern_elements_from(&x->shape, 2);
    memset(y->data, 0,
           tern_bytes_of(TERN_BIT, tern_elements(&y->shape))); /* and what is behind the last bit */
    for (int64_t i = 0; i < rows * inner; i++) {
        double last = tern_get(x, i);
        for (int64_t t = 0; t < steps; t++) {
            double now = tern_get(x, t * rows * inner + i);
            bool on = now - last > threshold, off = last - now > threshold;
            int64_t at = ((t * rows + i / inner) * 2) * inner + i % inner;
            tern_set(y, at, on);
            tern_set(y, at + inner, off);
            if (on || off) last = now;
        }
    }
    if (call->counter) tern_work_outputs(call, call->counter);
}

const tern_op tern_op_change = {
    .name = "change",
    .doc = "a spike where x has moved by more than the threshold since the last one; on and off channels",
    .args = change_args,
    .args_size = sizeof(tern_change_args),
    .infer = change_infer,
    .work = tern_work_outputs,
    .run = change_run,
};

tern_value tern_change_with(tern_graph *graph, tern_value x, tern_change_args args)
{
    tern_layer(graph, "change", NULL);
    return tern_apply(graph, &tern_op_change, &args, &x, 1, NULL);
}
