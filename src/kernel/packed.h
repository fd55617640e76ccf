/* Products with a packed weight matrix. */
#ifndef TERN_KERNEL_PACKED_H
#define TERN_KERNEL_PACKED_H

#include "kernel/kernel.h"
#include "tensor/tensor.h"

/* y[rows,n] = x[rows,k] W[n,k]^T + bias.  W is packed (or f16, bf16) with rows of whole blocks, k a multiple of 32;
 * blocks of nf4 and nf4x2 run on from row to row, with any k.
 *
 * Where the instruction set multiplies bytes and the format's levels are small integers, x is first rounded to 8 bits as
 * llama.cpp does it: blocks of 32 with scales in half precision, or of 256 for the formats with two levels of scales; a sum of
 * 16 or 32 products is then exact.  Otherwise rows of W are unpacked to f32 and x stays as it is. */
typedef struct tern_packed_product {
    int64_t rows, n, k;
    tern_dtype dtype;
    const float *x;
    const void *w;
    const float *bias; /* [n] or NULL */
    float *y;
} tern_packed_product;
size_t tern_packed_scratch(const tern_packed_product *product);
void tern_packed_run(tern_pool *pool, const tern_packed_product *product, void *scratch);
/* Whether x is rounded to 8 bits here, in blocks of *block. */
bool tern_packed_rounds(tern_dtype dtype, int *block);
/* The format in which products with such weights are computed where a processor has it: i8 for bytes and for formats that
 * round x, their own for halves, else f32. */
tern_dtype tern_packed_arithmetic(tern_dtype dtype);

/* A row of x in 8 bits, padded with zeros to whole 256: x[i] ~ scale[i/32] q[i].  sum32 and sum16: scale times the sum of so
 * many q. */
typedef struct tern_bytes_row {
    const int8_t *q;
    const float *scale, *sum32, *sum16;
} tern_bytes_row;

/* y[r] = the product of one row of W with the r-th row of x, r < rows <= TERN_PACKED_ROWS. */
enum { TERN_PACKED_ROWS = 4 };
typedef void tern_packed_dot(int64_t k, const uint8_t *w, const tern_bytes_row *x, int rows, float *y);
/* The same in f32; w[k] is one unpacked row. */
typedef void tern_float_dot(int64_t k, const float *w, const float *x, int64_t x_step, int rows, float *y);

#endif
