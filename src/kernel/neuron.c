/* Neurons in blocks: tasks, and the sums of learned parameters in a fixed order. */
#include "kernel/loops.h"
#include "kernel/table.h"

#include <string.h>

const tern_loops *tern_loops_get(void)
{
    return tern_kernels_get()->loops;
}

#define BLOCKS_PER_TASK 8

static int64_t blocks_of(const tern_neuron *n)
{
    return (n->neurons + TERN_NEURON_BLOCK - 1) / TERN_NEURON_BLOCK;
}

typedef struct neuron_job {
    tern_neuron_block whole;
    void (*run)(const tern_neuron_block *);
    tern_neuron_sums *sums; /* [blocks] */
} neuron_job;

static void neuron_task(void *context, int64_t task, int thread)
{
    const neuron_job *job = context;
    int64_t blocks = blocks_of(job->whole.n), last = (task + 1) * BLOCKS_PER_TASK;
    (void)thread;
    for (int64_t i = task * BLOCKS_PER_TASK; i < last && i < blocks; i++) {
        tern_neuron_block b = job->whole;
        b.first = i * TERN_NEURON_BLOCK;
        b.count = b.n->neurons - b.first < TERN_NEURON_BLOCK ? b.n->neurons - b.first : TERN_NEURON_BLOCK;
        b.sums = job->sums ? job->sums + i : NULL;
        job->run(&b);
    }
}

static void run(tern_pool *pool, neuron_job *job)
{
    int64_t tasks = (blocks_of(job->whole.n) + BLOCKS_PER_TASK - 1) / BLOCKS_PER_TASK;
    tern_pool_run(pool, tasks, neuron_task, job);
}

void tern_neuron_forward(tern_pool *pool, const tern_neuron *neuron, const float *x, const float *v0,
                         void *spikes, float *u, float *v)
{
    int64_t words = (neuron->steps * neuron->neurons + 63) / 64;
    if (spikes && neuron->neurons % 64) memset(spikes, 0, (size_t)words * 8); /* shared words are filled by OR */
    neuron_job job = {.whole = {.n = neuron, .x = x, .v0 = v0, .spikes = spikes, .u = u, .v = v},
                      .run = tern_loops_get()->neuron_forward};
    run(pool, &job);
}

size_t tern_neuron_scratch(const tern_neuron *neuron)
{
    return (size_t)blocks_of(neuron) * sizeof(tern_neuron_sums);
}

void tern_neuron_backward(tern_pool *pool, const tern_neuron *neuron, const float *ds, const float *du,
                          const float *dv, const float *u, const float *x, const float *v0, float *dx,
                          float *dv0, tern_neuron_sums *sums, void *scratch)
{
    neuron_job job = {
        .whole =
            {.n = neuron, .x = x, .v0 = v0, .ds = ds, .du = du, .dv = dv, .u_in = u, .dx = dx, .dv0 = dv0},
        .run = tern_loops_get()->neuron_backward,
        .sums = sums ? scratch : NULL};
    run(pool, &job);
    if (!sums) return;
    *sums = (tern_neuron_sums){0};
    for (int64_t i = 0; i < blocks_of(neuron); i++) {
        sums->decay += job.sums[i].decay;
        sums->gain += job.sums[i].gain;
        sums->threshold += job.sums[i].threshold;
    }
}
