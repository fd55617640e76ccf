/* Attention over a cache: a task is one query of one head, or as many queries as a vector has lanes or as some tiles have. */
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

static void tiles_task(void *context, int64_t task, int thread)
{
    const tern_attention *a = context;
    (void)thread;
    tern_kernels_get()->attention_tiles(a, task % a->groups, task / a->groups);
}

/* Whether tokens of a sequence stand beside each other: what tiles make of a row of the cache pays when many queries read it. */
static bool in_runs(const tern_attention *a)
{
    enum { LEAST = 16 };
    int64_t runs = 1;
    for (int64_t i = 1; a->page && i < a->queries; i++) runs += a->owners[i] != a->owners[i - 1];
    return a->queries >= LEAST * runs;
}

void tern_attention_run(tern_pool *pool, const tern_attention *attention)
{
    const tern_attention *a = attention;
    const tern_kernels *kernels = tern_kernels_get();
    int64_t lanes = kernels->attention_lanes, queries = a->queries * (a->heads / a->groups);
    void *context = (void *)(uintptr_t)a;
    bool together = a->queries > TERN_ALIKE && 2 * queries >= lanes && a->width <= TERN_ATTENTION_WIDTH;
    if (together && kernels->attention_tiles && a->format == TERN_F16 && in_runs(a))
        tern_pool_run(pool, (queries + TERN_ATTENTION_TILES - 1) / TERN_ATTENTION_TILES * a->groups,
                      tiles_task, context);
    else if (together && !a->page && a->format != TERN_Q8_0) /* of one sequence, to plain rows */
        tern_pool_run(pool, (queries + lanes - 1) / lanes * a->groups, block_task, context);
    else
        tern_pool_run(pool, a->queries * a->heads, one_task, context);
}
