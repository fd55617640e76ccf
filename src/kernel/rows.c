/* Rows in tasks whose number depends on the shape only. */
#include "kernel/rows.h"
#include "kernel/loops.h"
#include "kernel/table.h"

#include <math.h>

#define TASK_FLOATS 8192

typedef struct rows_job {
    int64_t rows, length, rows_per_task;
    double epsilon;
    bool centre;
    const float *x, *dy;
    float *y, *log_sums;
    void (*row)(const struct rows_job *job, int64_t at, int64_t row);
} rows_job;

static void rows_task(void *context, int64_t task, int thread)
{
    const rows_job *j = context;
    int64_t to = (task + 1) * j->rows_per_task;
    (void)thread;
    for (int64_t r = task * j->rows_per_task; r < j->rows && r < to; r++) j->row(j, r * j->length, r);
}

static void run(tern_pool *pool, rows_job job)
{
    job.rows_per_task = job.length < TASK_FLOATS ? TASK_FLOATS / (job.length > 0 ? job.length : 1) : 1;
    tern_pool_run(pool, (job.rows + job.rows_per_task - 1) / job.rows_per_task, rows_task, &job);
}

static void softmax_row(const rows_job *j, int64_t at, int64_t row)
{
    const tern_rows *rows = tern_kernels_get()->rows;
    float *y = j->y ? j->y + at : NULL, highest = rows->highest(j->length, j->x + at);
    double sum = rows->exp_sum(j->length, j->x + at, highest, y);
    if (y) tern_loops_get()->plane_affine(y, j->length, (float)(1 / sum), 0, y);
    if (j->log_sums) j->log_sums[row] = highest + (float)log(sum);
}

void tern_softmax_rows(tern_pool *pool, int64_t rows, int64_t length, const float *x, float *y,
                       float *log_sums)
{
    run(pool,
        (rows_job){.rows = rows, .length = length, .x = x, .y = y, .log_sums = log_sums, .row = softmax_row});
}

static void softmax_grad_row(const rows_job *j, int64_t at, int64_t row)
{
    double sum = 0, dot = 0;
    (void)row;
    tern_loops_get()->plane_products(j->x + at, j->dy + at, j->length, 0, &sum, &dot);
    tern_kernels_get()->rows->softmax_grad(j->length, j->x + at, j->dy + at, (float)dot, j->y + at);
}

void tern_softmax_grad_rows(tern_pool *pool, int64_t rows, int64_t length, const float *y, const float *dy,
                            float *dx)
{
    run(pool, (rows_job){.rows = rows, .length = length, .x = y, .dy = dy, .y = dx, .row = softmax_grad_row});
}

static void log_softmax_row(const rows_job *j, int64_t at, int64_t row)
{
    const tern_rows *rows = tern_kernels_get()->rows;
    float highest = rows->highest(j->length, j->x + at);
    double sum = rows->exp_sum(j->length, j->x + at, highest, NULL);
    (void)row;
    tern_loops_get()->plane_affine(j->x + at, j->length, 1, -(float)(highest + log(sum)), j->y + at);
}

void tern_log_softmax_rows(tern_pool *pool, int64_t rows, int64_t length, const float *x, float *y)
{
    run(pool, (rows_job){.rows = rows, .length = length, .x = x, .y = y, .row = log_softmax_row});
}

static void log_softmax_grad_row(const rows_job *j, int64_t at, int64_t row)
{
    double sum = 0, squares = 0;
    (void)row;
    tern_loops_get()->plane_sums(j->dy + at, j->length, 0, &sum, &squares);
    tern_kernels_get()->rows->log_softmax_grad(j->length, j->x + at, j->dy + at, (float)sum, j->y + at);
}

void tern_log_softmax_grad_rows(tern_pool *pool, int64_t rows, int64_t length, const float *y,
                                const float *dy, float *dx)
{
    run(pool,
        (rows_job){.rows = rows, .length = length, .x = y, .dy = dy, .y = dx, .row = log_softmax_grad_row});
}

/* Mean (0 without centre) and 1/deviation of a row: from sums about 0, and, where the mean is so large beside the deviation that
 * their difference would lose digits, from sums about the mean. */
static void statistics(const rows_job *j, const float *x, double *mean, double *inverse)
{
    const tern_loops *loops = tern_loops_get();
    double n = (double)j->length, sum = 0, squares = 0, rest = 0;
    loops->plane_sums(x, j->length, 0, &sum, &squares);
    *mean = j->centre ? (float)(sum / n) : 0;
    double variance = squares / n - *mean * *mean;
    if (j->centre && !(variance > *mean * *mean / 4)) {
        squares = 0;
        loops->plane_sums(x, j->length, (float)*mean, &rest, &squares);
        variance = (squares - rest * rest / n) / n; /* less what the mean lost as a float */
    }
    if (variance < 0) variance = 0; /* what is no number stays none */
    *inverse = 1 / sqrt(variance + j->epsilon);
}

static void normalise_row(const rows_job *j, int64_t at, int64_t row)
{
    double mean, inverse;
    (void)row;
    statistics(j, j->x + at, &mean, &inverse);
    tern_loops_get()->plane_affine(j->x + at, j->length, (float)inverse, (float)(-mean * inverse), j->y + at);
}

void tern_normalise_rows(tern_pool *pool, int64_t rows, int64_t length, double epsilon, bool centre,
                         const float *x, float *y)
{
    run(pool, (rows_job){.rows = rows,
                         .length = length,
                         .epsilon = epsilon,
                         .centre = centre,
                         .x = x,
                         .y = y,
                         .row = normalise_row});
}

/* dx = (dy - mean dy - h mean(dy h)) / deviation with h = normalised x, as a mix of dy, x and a constant. */
static void normalise_grad_row(const rows_job *j, int64_t at, int64_t row)
{
    const tern_loops *loops = tern_loops_get();
    double mean, inverse, sum = 0, product = 0, n = (double)j->length;
    (void)row;
    statistics(j, j->x + at, &mean, &inverse);
    loops->plane_products(j->x + at, j->dy + at, j->length, (float)mean, &sum, &product);
    double slope = -inverse * inverse * inverse * product / n;
    double constant = (j->centre ? -inverse * sum / n : 0) - slope * mean;
    loops->plane_mix(j->x + at, j->dy + at, j->length, (float)inverse, (float)slope, (float)constant,
                     j->y + at);
}

void tern_normalise_grad_rows(tern_pool *pool, int64_t rows, int64_t length, double epsilon, bool centre,
                              const float *x, const float *dy, float *dx)
{
    run(pool, (rows_job){.rows = rows,
                         .length = length,
                         .epsilon = epsilon,
                         .centre = centre,
                         .x = x,
                         .dy = dy,
                         .y = dx,
                         .row = normalise_grad_row});
}

/* ---- extremes ------------------------------------------------------------------------------------------- */

#define PIECE                                                                                                \
    256 /* of the inner axis, whose values and indices stay in registers and the first-level cache */

typedef struct extreme_job {
    int64_t length, inner, pieces;
    bool highest;
    const float *x;
    float *value;
    int32_t *index;
} extreme_job;

static void extreme_row_task(void *context, int64_t task, int thread)
{
    const extreme_job *j = context;
    const float *x = j->x + task * j->length;
    int64_t at = tern_kernels_get()->rows->extreme(j->length, x, j->highest);
    (void)thread;
    if (j->value) j->value[task] = x[at];
    if (j->index) j->index[task] = (int32_t)at;
}

static void extreme_task(void *context, int64_t task, int thread)
{
    const extreme_job *j = context;
    int64_t o = task / j->pieces, at = task % j->pieces * PIECE;
    int64_t count = j->inner - at < PIECE ? j->inner - at : PIECE;
    float value[PIECE];
    int32_t index[PIECE];
    (void)thread;
    for (int64_t k = 0; k < j->length; k++)
        tern_kernels_get()->rows->extremes(count, j->x + (o * j->length + k) * j->inner + at, j->highest,
                                           (int32_t)k, value, index);
    for (int64_t i = 0; i < count; i++) {
        if (j->value) j->value[o * j->inner + at + i] = value[i];
        if (j->index) j->index[o * j->inner + at + i] = index[i];
    }
}

void tern_extreme_loop(tern_pool *pool, int64_t outer, int64_t length, int64_t inner, bool highest,
                       const float *x, float *value, int32_t *index)
{
    extreme_job job = {length, inner, (inner + PIECE - 1) / PIECE, highest, x, value, index};
    if (inner == 1)
        tern_pool_run(pool, outer, extreme_row_task, &job);
    else
        tern_pool_run(pool, outer * job.pieces, extreme_task, &job);
}

typedef struct distance_job {
    int64_t count, length, pieces;
    const float *x, *stored, *weights;
    float *y;
} distance_job;

/* One row against STORED stored rows. */
#define STORED 64
static void distance_task(void *context, int64_t task, int thread)
{
    const distance_job *j = context;
    int64_t row = task / j->pieces, from = task % j->pieces * STORED;
    const tern_rows *rows = tern_kernels_get()->rows;
    (void)thread;
    for (int64_t n = from; n < j->count && n < from + STORED; n++)
        j->y[row * j->count + n] =
            rows->distance(j->length, j->x + row * j->length, j->stored + n * j->length,
                           j->weights ? j->weights + n * j->length : NULL);
}

void tern_distance_rows(tern_pool *pool, int64_t rows, int64_t count, int64_t length, const float *x,
                        const float *stored, const float *weights, float *y)
{
    distance_job job = {count, length, (count + STORED - 1) / STORED, x, stored, weights, y};
    tern_pool_run(pool, rows * job.pieces, distance_task, &job);
}
