/* Attention over a cache: a task is one query of one head, or as many queries as a vector has lanes. */
#include "kernel/attend.h"

#include "kernel/table.h"

static void one_task(void *context, int64_t task, int thread)
{
    const tern_attention *a = context;
    (void)thread;
    tern_kernels_get()->attention_head(a, task / a->heads, task % a->heads);
}

static void block_task(void *context, int64_t task, int thread)
{
    const tern_attention *a = context;
    (void)thread;
    tern_kernels_get()->attention_block(a, task % a->groups, task / a->groups);
}

void tern_attention_run(tern_pool *pool, const tern_attention *attention)
{
    const tern_attention *a = attention;
    int64_t lanes = tern_kernels_get()->attention_lanes, queries = a->queries * (a->heads / a->groups);
    void *context = (void *)(uintptr_t)a;
    bool together =
        !a->page && a->format != TERN_Q8_0 && a->queries > TERN_ALIKE; /* of one sequence, to plain rows */
    if (together && 2 * queries >= lanes && a->width <= TERN_ATTENTION_WIDTH)
        tern_pool_run(pool, (queries + lanes - 1) / lanes * a->groups, block_task, context);
    else
        tern_pool_run(pool, a->queries * a->heads, one_task, context);
}
