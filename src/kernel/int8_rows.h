/* What nets of bytes compute row by row, in whole numbers: layer norm with an integer square root, and attention of one query
 * with exponentials by a table.  A byte q stands for scale (q - zero). */
#ifndef TERN_KERNEL_INT8_ROWS_H
#define TERN_KERNEL_INT8_ROWS_H

#include "kernel/int8.h"

/* floor(sqrt(x)) of x < 2^56. */
uint32_t tern_whole_root(uint64_t x);

/* Layer norm of a row of n <= TERN_NORM_MOST bytes: with d = n x - sum and V = n sum of squares - sum^2 + epsilon n^2 / scale^2
 * (which q has in units of 1/16), h
 * = d / sqrt(V) in units of 2^-16, y = clamp((h weight 2^-(16 + shift) + bias 2^-8) rounded, halves up, + zero). */
enum { TERN_NORM_EPSILON, TERN_NORM_SHIFT, TERN_NORM_ZERO, TERN_NORM_CONSTANTS, TERN_NORM_MOST = 4096 };
void tern_int8_norm_row(int64_t n, const int8_t *x, const int32_t *weight, const int32_t *bias,
                        const int32_t *q, int8_t *y);

/* Attention of one query over keys and values: scores s_j = sum of (query - zero) k_j are exact in 32 bits (what is common to all is
 * left out), e_j = exp of what they are below the highest, from 257 steps of 1/TERN_ATTEND_STEPS in units of 2^-15 / 1.00003,
 * between which is interpolated; y = the sum of e_j (v_j - zero) over the sum of e_j, requantised. */
enum {
    TERN_ATTEND_QUERY, /* zeros */
    TERN_ATTEND_VALUE,
    TERN_ATTEND_MULTIPLIER, /* from scores to 1/256 of a step */
    TERN_ATTEND_SHIFT,
    TERN_ATTEND_MOST, /* what is further below the highest counts as nothing */
    TERN_ATTEND_Y_MULTIPLIER,
    TERN_ATTEND_Y_SHIFT,
    TERN_ATTEND_Y_ZERO,
    TERN_ATTEND_CONSTANTS
};
enum { TERN_ATTEND_STEPS = 24, TERN_ATTEND_TABLE = 257, TERN_ATTEND_KEYS = 511, TERN_ATTEND_WIDTH = 4096 };
typedef struct tern_int8_attention {
    int64_t keys, width, out; /* keys <= TERN_ATTEND_KEYS, width <= TERN_ATTEND_WIDTH: sums fit 32 bits */
    const int8_t *k, *v;
    int64_t k_stride, v_stride; /* from one token to the next */
    const int32_t *q;
    const int16_t *table;
} tern_int8_attention;
/* y[out] for query[width]; scratch i32 [keys + out]. */
void tern_int8_attend_row(const tern_int8_attention *a, const int8_t *query, int32_t *scratch, int8_t *y);

/* y[rows,outputs] of x[rows,inputs] and w[outputs,inputs], as linear_int8 has them, so many rows at a time. */
void tern_int8_linear_rows(int64_t rows, int64_t inputs, int64_t outputs, const int8_t *x, const int8_t *w,
                           const tern_int8_scale *scale, int8_t *y);

#endif
