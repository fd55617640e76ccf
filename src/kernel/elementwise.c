/* Runs of floats in tasks of a fixed size. */
#include "kernel/gemm.h"
#include "kernel/loops.h"

#define RUN 16384 /* floats of a task */

static int64_t tasks_of(int64_t n)
{
    return (n + RUN - 1) / RUN;
}

static int64_t size_of(int64_t n, int64_t task)
{
    return n - task * RUN < RUN ? n - task * RUN : RUN;
}

typedef struct spread_job {
    int64_t outer, length, inner, piece; /* inner is cut into pieces */
    const float *x;
    float factor, *y;
} spread_job;

static void sum_task(void *context, int64_t task, int thread)
{
    const spread_job *j = context;
    const tern_loops *loops = tern_loops_get();
    int64_t pieces = (j->inner + j->piece - 1) / j->piece, o = task / pieces, at = task % pieces * j->piece;
    int64_t count = j->inner - at < j->piece ? j->inner - at : j->piece;
    float *y = j->y + o * j->inner + at;
    (void)thread;
    for (int64_t k = 0; k < j->length; k++)
        loops->accumulate(count, j->x + (o * j->length + k) * j->inner + at, k > 0, y);
    if (j->factor != 1) loops->plane_affine(y, count, j->factor, 0, y);
}

/* Where inner is 1, a row is summed as chunks of doubles; a task takes `piece` rows. */
static void row_sum_task(void *context, int64_t task, int thread)
{
    const spread_job *j = context;
    int64_t last = min((task + 1) * j->piece, j->outer);
    (void)thread;
    for (int64_t row = task * j->piece; row < last; row++) {
        double sum = 0, squares = 0;
        tern_loops_get()->plane_sums(j->x + row * j->length, j->length, 0, &sum, &squares);
        j->y[row] = (float)(sum * j->factor);
    }
}

void tern_sum_loop(tern_pool *pool, int64_t outer, int64_t length, int64_t inner, const float *x,
                   float factor, float *y)
{
    spread_job job = {outer, length, inner, inner < 4096 ? 64 : 1024, x, factor, y};
    if (inner == 1) {
        job.piece = max(16384 / max(length, 1), 1);
        tern_pool_run(pool, (outer + job.piece - 1) / job.piece, row_sum_task, &job);
    } else {
        tern_pool_run(pool, outer * ((inner + job.piece - 1) / job.piece), sum_task, &job);
    }
}

typedef struct columns_job {
    int64_t rows, n;
    const float *x;
    float *out;
} columns_job;

#define COLUMNS 64 /* of a task */

static void columns_task(void *context, int64_t task, int thread)
{
    const columns_job *j = context;
    const tern_loops *loops = tern_loops_get();
    int64_t from = task * COLUMNS, count = min(COLUMNS, j->n - from), block = tern_sum_block(j->rows);
    (void)thread;
    for (int64_t row = 0; row < j->rows; row += block) {
        float sum[COLUMNS] = {0}; /* the sum of -0 is 0, as in a product */
        for (int64_t i = row; i < min(row + block, j->rows); i++)
            loops->accumulate(count, j->x + i * j->n + from, true, sum);
        loops->accumulate(count, sum, row > 0, j->out + from);
    }
}

void tern_column_sums(tern_pool *pool, int64_t rows, int64_t n, const float *x, float *out)
{
    columns_job job = {rows, n, x, out};
    tern_pool_run(pool, ceil_div(n, COLUMNS), columns_task, &job);
}

typedef struct update_job {
    int64_t n;
    float rate, momentum, decay;
    bool nesterov;
    const float *p, *g, *v;
    float *p_out, *v_out;
} update_job;

typedef struct adam_job {
    int64_t n;
    const tern_adam_step *step;
    const tern_adam_operands *operands;
} adam_job;

static void adam_task(void *context, int64_t task, int thread)
{
    const adam_job *j = context;
    (void)thread;
    tern_loops_get()->adam(task * RUN, task * RUN + size_of(j->n, task), j->step, j->operands);
}

void tern_adam_loop(tern_pool *pool, int64_t n, const tern_adam_step *step,
                    const tern_adam_operands *operands)
{
    adam_job job = {n, step, operands};
    tern_pool_run(pool, tasks_of(n), adam_task, &job);
}

static void sgd_task(void *context, int64_t task, int thread)
{
    const update_job *j = context;
    int64_t at = task * RUN;
    (void)thread;
    tern_loops_get()->sgd(size_of(j->n, task), j->rate, j->momentum, j->decay, j->nesterov, j->p + at,
                          j->g + at, j->v + at, j->p_out + at, j->v_out + at);
}

void tern_sgd_loop(tern_pool *pool, int64_t n, float rate, float momentum, float decay, bool nesterov,
                   const float *p, const float *g, const float *v, float *p_out, float *v_out)
{
    update_job job = {.n = n,
                      .rate = rate,
                      .momentum = momentum,
                      .decay = decay,
                      .nesterov = nesterov,
                      .p = p,
                      .g = g,
                      .v = v,
                      .p_out = p_out,
                      .v_out = v_out};
    tern_pool_run(pool, tasks_of(n), sgd_task, &job);
}
