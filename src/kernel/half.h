/* half: products of matrices as a processor without wider sums computes them, for nets that learn in 16 bits (Nadalini et
 * al., FGCS 2023, arXiv 2305.19167).  Operands are f16, bf16 or, to compare with, f32, and stand here as floats. */
#ifndef TERN_KERNEL_HALF_H
#define TERN_KERNEL_HALF_H

#include "kernel/kernel.h"
#include "tensor/tensor.h"

/* sum + a b, rounded once to the nearest number of the format, ties to even: its fused multiply-add.  The operands are
 * numbers of the format. */
float tern_half_step(tern_dtype format, float sum, float a, float b);
/* The nearest number of the format. */
float tern_half_round(tern_dtype format, double x);

/* C[n,m] += A[n,k] B[k,m], each term in its turn by tern_half_step.  With more than one lane, term k of the first
 * (k / lanes) lanes goes to sum k % lanes, of which C is the first and the others begin with 0; then neighbours are added,
 * then neighbours of those; the terms that are left follow.  wide: sums are f32, and so is what C becomes. */
enum { TERN_HALF_LANES = 8 };
typedef struct tern_half_product {
    tern_dtype format;
    bool wide;
    int lanes; /* 1, 2, 4 or 8 */
    int64_t n, k, m;
    const float *a, *b;
    float *c;
} tern_half_product;
void tern_half_multiply(tern_pool *pool, const tern_half_product *product);

/* What an instruction set has for rows first .. last - 1 with one lane; NULL: term by term. */
typedef void tern_half_rows(const tern_half_product *product, int64_t first, int64_t last);

/* A matrix B of windows: row (channel, y of the tap, x of the tap), column (y, x); or the other way round.  The element of
 * (tap t, output o) along y is that of q = o stride + t dilation + origin_y where q is a multiple of `spread` and q / spread
 * is in the image, else 0; x likewise. */
typedef struct tern_half_window {
    int64_t channels, height, width; /* of the image */
    int64_t taps_y, taps_x, out_y, out_x;
    int64_t stride_y, stride_x, dilation_y, dilation_x, origin_y, origin_x, spread_y, spread_x;
} tern_half_window;
/* The element of x that stands there; -1: 0. */
int64_t tern_half_source(const tern_half_window *window, int64_t row, int64_t column);
/* to: [channels taps, outputs], or with `turned` [outputs, channels taps]. */
void tern_half_columns(const tern_half_window *window, const float *x, bool turned, float *to);

#endif
