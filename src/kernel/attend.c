/* Attention over a cache: a task is one query of one head. */
#include "kernel/attend.h"

#include "kernel/table.h"

static void task(void *context, int64_t task, int thread)
{
    const tern_attention *a = context;
    (void)thread;
    tern_kernels_get()->attention_head(a, task / a->heads, task % a->heads);
}

void tern_attention_run(tern_pool *pool, const tern_attention *attention)
{
    tern_pool_run(pool, attention->queries * attention->heads, task, (void *)(uintptr_t)attention);
}
