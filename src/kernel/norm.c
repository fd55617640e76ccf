/* Batch norm: a task is one channel at one step, or, where channels stand side by side, a few of them. */
#include "kernel/gemm.h"
#include "kernel/loops.h"

#include <math.h>

#define COLUMNS 64   /* channels of a task when inner is 1 */
#define AHEAD   1024 /* floats of a plane that are asked for; behind them the processor guesses */

typedef struct norm_job {
    const tern_norm_view *v;
    const float *x, *gamma, *beta, *dy, *mean_in, *inverse_in, *running_mean, *running_var;
    float *y, *mean, *inverse;
    double *first, *second; /* [steps, channels]: sums for running statistics or gradients */
    void (*group)(const struct norm_job *job, int64_t step, int64_t channel, int64_t count);
} norm_job;

static void norm_task(void *context, int64_t task, int thread)
{
    const norm_job *job = context;
    const tern_norm_view *v = job->v;
    int64_t width = v->inner == 1 ? COLUMNS : 1, groups = (v->channels + width - 1) / width;
    int64_t channel = task % groups * width, left = v->channels - channel;
    (void)thread;
    job->group(job, task / groups, channel, left < width ? left : width);
}

static void run(tern_pool *pool, const norm_job *job)
{
    const tern_norm_view *v = job->v;
    int64_t width = v->inner == 1 ? COLUMNS : 1;
    tern_pool_run(pool, v->steps * ((v->channels + width - 1) / width), norm_task, (void *)(uintptr_t)job);
}

/* First element of a channel in a row of a step. */
static int64_t at(const tern_norm_view *v, int64_t step, int64_t row, int64_t channel)
{
    return ((step * v->rows + row) * v->channels + channel) * v->inner;
}

/* Asks for the beginning of a channel's plane in the row behind `row`; always inline, as tern_want. */
static inline __attribute__((always_inline)) void want_next(const tern_norm_view *v, const float *data,
                                                            int64_t step, int64_t row, int64_t channel,
                                                            const bool to_write)
{
    int64_t all = v->steps * v->rows * v->channels * v->inner;
    tern_want(data, all, at(v, step, row + 1, channel), min(v->inner, AHEAD), 0, 1, to_write);
}

/* y = scale x + shift for the channels of a group. */
static void affine(const norm_job *job, int64_t step, int64_t channel, int64_t count, const float *scale,
                   const float *shift)
{
    const tern_norm_view *v = job->v;
    const tern_loops *loops = tern_loops_get();
    int64_t begin = at(v, step, 0, channel);
    if (v->inner == 1) {
        loops->column_affine(job->x + begin, v->rows, v->channels, count, scale, shift, job->y + begin);
        return;
    }
    for (int64_t r = 0; r < v->rows; r++) {
        int64_t plane = at(v, step, r, channel);
        want_next(v, job->y, step, r, channel, true);
        loops->plane_affine(job->x + plane, v->inner, *scale, *shift, job->y + plane);
    }
}

static void train_group(const norm_job *job, int64_t step, int64_t channel, int64_t count)
{
    const tern_norm_view *v = job->v;
    const tern_loops *loops = tern_loops_get();
    const float *begin = job->x + at(v, step, 0, channel);
    double sum[COLUMNS] = {0}, squares[COLUMNS] = {0}, n = (double)(v->rows * v->inner);
    float origin[COLUMNS], scale[COLUMNS], shift[COLUMNS];
    for (int64_t c = 0; c < count; c++) origin[c] = begin[c]; /* sums about an element: no cancellation */
    if (v->inner == 1) loops->column_sums(begin, v->rows, v->channels, count, origin, sum, squares);
    for (int64_t r = 0; v->inner > 1 && r < v->rows; r++) {
        want_next(v, job->x, step, r, channel, false);
        loops->plane_sums(job->x + at(v, step, r, channel), v->inner, *origin, sum, squares);
    }
    for (int64_t c = 0; c < count; c++) {
        int64_t i = step * v->channels + channel + c;
        double mean = sum[c] / n, var = squares[c] / n - mean * mean;
        if (var < 0) var = 0;
        mean += origin[c];
        double inverse = 1 / sqrt(var + v->epsilon);
        job->first[i] = mean;
        job->second[i] = var;
        if (job->mean) job->mean[i] = (float)mean;
        if (job->inverse) job->inverse[i] = (float)inverse;
        scale[c] = (float)(job->gamma[channel + c] * inverse);
        shift[c] = (float)(job->beta[channel + c] - job->gamma[channel + c] * inverse * mean);
    }
    affine(job, step, channel, count, scale, shift);
}

size_t tern_norm_scratch(const tern_norm_view *view)
{
    return (size_t)(2 * view->steps * view->channels) * sizeof(double);
}

void tern_norm_train(tern_pool *pool, const tern_norm_view *view, const float *x, const float *gamma,
                     const float *beta, const float *running_mean, const float *running_var, float *y,
                     float *mean, float *inverse, float *next_mean, float *next_var, void *scratch)
{
    double *means = scratch, *vars = means + view->steps * view->channels,
           n = (double)(view->rows * view->inner);
    norm_job job = {.v = view,
                    .x = x,
                    .gamma = gamma,
                    .beta = beta,
                    .y = y,
                    .mean = mean,
                    .inverse = inverse,
                    .first = means,
                    .second = vars,
                    .group = train_group};
    run(pool, &job);
    for (int64_t c = 0; c < view->channels; c++) {
        double m = running_mean[c], s = running_var[c];
        for (int64_t t = 0; t < view->steps; t++) {
            int64_t i = t * view->channels + c;
            m += view->momentum * (means[i] - m);
            s += view->momentum * (vars[i] * n / (n > 1 ? n - 1 : 1) - s);
        }
        if (next_mean) next_mean[c] = (float)m;
        if (next_var) next_var[c] = (float)s;
    }
}

static void infer_group(const norm_job *job, int64_t step, int64_t channel, int64_t count)
{
    float scale[COLUMNS], shift[COLUMNS];
    for (int64_t c = 0; c < count; c++) {
        int64_t i = channel + c;
        double inverse = 1 / sqrt(job->running_var[i] + job->v->epsilon);
        scale[c] = (float)(job->gamma[i] * inverse);
        shift[c] = (float)(job->beta[i] - job->gamma[i] * inverse * job->running_mean[i]);
    }
    affine(job, step, channel, count, scale, shift);
}

void tern_norm_infer(tern_pool *pool, const tern_norm_view *view, const float *x, const float *gamma,
                     const float *beta, const float *running_mean, const float *running_var, float *y,
                     void *scratch)
{
    (void)scratch;
    norm_job job = {.v = view,
                    .x = x,
                    .gamma = gamma,
                    .beta = beta,
                    .y = y,
                    .running_mean = running_mean,
                    .running_var = running_var,
                    .group = infer_group};
    run(pool, &job);
}

/* dx = gamma/std (dy - dbeta/n - h dgamma/n) = a dy + b x + c */
static void backward_group(const norm_job *job, int64_t step, int64_t channel, int64_t count)
{
    const tern_norm_view *v = job->v;
    const tern_loops *loops = tern_loops_get();
    int64_t begin = at(v, step, 0, channel), first = step * v->channels + channel;
    double sum[COLUMNS] = {0}, product[COLUMNS] = {0}, n = (double)(v->rows * v->inner);
    float a[COLUMNS], b[COLUMNS], shift[COLUMNS];
    const float *mean = job->mean_in + first;
    if (v->inner == 1)
        loops->column_products(job->x + begin, job->dy + begin, v->rows, v->channels, count, mean, sum,
                               product);
    for (int64_t r = 0; v->inner > 1 && r < v->rows; r++) {
        int64_t plane = at(v, step, r, channel);
        want_next(v, job->x, step, r, channel, false);
        want_next(v, job->dy, step, r, channel, false);
        loops->plane_products(job->x + plane, job->dy + plane, v->inner, *mean, sum, product);
    }
    for (int64_t c = 0; c < count; c++) {
        double inverse = job->inverse_in[first + c], gamma = job->gamma[channel + c];
        double dgamma = product[c] * inverse, k = gamma * inverse;
        job->first[first + c] = dgamma;
        job->second[first + c] = sum[c];
        a[c] = (float)k;
        b[c] = (float)(-k * inverse * dgamma / n);
        shift[c] = (float)(-k * sum[c] / n + k * inverse * dgamma / n * mean[c]);
    }
    if (!job->y) return;
    if (v->inner == 1)
        loops->column_mix(job->x + begin, job->dy + begin, v->rows, v->channels, count, a, b, shift,
                          job->y + begin);
    for (int64_t r = 0; v->inner > 1 && r < v->rows; r++) {
        int64_t plane = at(v, step, r, channel);
        loops->plane_mix(job->x + plane, job->dy + plane, v->inner, *a, *b, *shift, job->y + plane);
    }
}

void tern_norm_backward(tern_pool *pool, const tern_norm_view *view, const float *x, const float *gamma,
                        const float *mean, const float *inverse, const float *dy, float *dx, float *dgamma,
                        float *dbeta, void *scratch)
{
    double *products = scratch, *sums = products + view->steps * view->channels;
    norm_job job = {.v = view,
                    .x = x,
                    .gamma = gamma,
                    .mean_in = mean,
                    .inverse_in = inverse,
                    .dy = dy,
                    .y = dx,
                    .first = products,
                    .second = sums,
                    .group = backward_group};
    run(pool, &job);
    for (int64_t c = 0; c < view->channels; c++) {
        double p = 0, s = 0;
        for (int64_t t = 0; t < view->steps; t++) {
            p += products[t * view->channels + c];
            s += sums[t * view->channels + c];
        }
        if (dgamma) dgamma[c] = (float)p;
        if (dbeta) dbeta[c] = (float)s;
    }
}
