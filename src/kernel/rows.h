/* rows: softmax, norms and extremes along the last axis, a row at a time. */
#ifndef TERN_KERNEL_ROWS_H
#define TERN_KERNEL_ROWS_H

#include "kernel/kernel.h"

/* x [rows, length] -> y = e^x over its sum.  y may be x, or NULL; log_sums[rows], the logarithms of the sums of e^x, may be
 * NULL. */
void tern_softmax_rows(tern_pool *pool, int64_t rows, int64_t length, const float *x, float *y,
                       float *log_sums);
void tern_softmax_grad_rows(tern_pool *pool, int64_t rows, int64_t length, const float *y, const float *dy,
                            float *dx);
/* y = x - log sum e^x. */
void tern_log_softmax_rows(tern_pool *pool, int64_t rows, int64_t length, const float *x, float *y);
void tern_log_softmax_grad_rows(tern_pool *pool, int64_t rows, int64_t length, const float *y,
                                const float *dy, float *dx);

/* y = (x - mean) / sqrt(variance + epsilon); without centre the mean counts as 0. */
void tern_normalise_rows(tern_pool *pool, int64_t rows, int64_t length, double epsilon, bool centre,
                         const float *x, float *y);
void tern_normalise_grad_rows(tern_pool *pool, int64_t rows, int64_t length, double epsilon, bool centre,
                              const float *x, const float *dy, float *dx);

/* The highest (or lowest) over the middle axis of x [outer, length, inner], and where it stands first; either result may
 * be NULL. */
void tern_extreme_loop(tern_pool *pool, int64_t outer, int64_t length, int64_t inner, bool highest,
                       const float *x, float *value, int32_t *index);

/* x [rows, length], stored [count, length], weights of its shape or NULL -> y [rows, count], y = sum w (x - stored)^2. */
void tern_distance_rows(tern_pool *pool, int64_t rows, int64_t count, int64_t length, const float *x,
                        const float *stored, const float *weights, float *y);

/* The inner loops of an instruction set. */
typedef struct tern_rows {
    float (*distance)(int64_t n, const float *x, const float *t,
                      const float *w); /* sum w (x - t)^2, w or NULL */
    float (*highest)(int64_t n, const float *x);
    double (*exp_sum)(int64_t n, const float *x, float shift,
                      float *y); /* y = e^(x - shift) (or NULL), summed */
    void (*softmax_grad)(int64_t n, const float *y, const float *dy, float dot, float *dx);
    void (*log_softmax_grad)(int64_t n, const float *y, const float *dy, float sum, float *dx);
    int64_t (*extreme)(int64_t n, const float *x, bool highest); /* its first index */
    /* value[i], index[i] of x[i] and what was seen before (position `at`; nothing at 0) */
    void (*extremes)(int64_t n, const float *x, bool highest, int32_t at, float *value, int32_t *index);
} tern_rows;

#endif
