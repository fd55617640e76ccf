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
 * 16 or 32 products is then exact, and a row of y has the same bits whatever rows stand beside it.  Otherwise rows of W are unpacked
 * to f32 and x stays as it is; or, for many rows, f16 and bf16 are multiplied by x in 16 significant bits, where an instruction
 * set multiplies bf16.
 *
 * For `many` rows tiles multiply packed weights, unpacked and rounded to bf16, by x in bf16 (f16 and bf16 as ever): a row of y
 * has the same bits whatever rows stand beside it, but others than without `many`. */
typedef struct tern_packed_product {
    int64_t rows, n, k;
    tern_dtype dtype;
    const float *x;
    const void *w;
    const float *bias; /* [n] or NULL */
    float *y;
    bool many; /* rows of a prompt, where tern_packed_many */
} tern_packed_product;
size_t tern_packed_scratch(const tern_packed_product *product);
void tern_packed_run(tern_pool *pool, const tern_packed_product *product, void *scratch);
/* Several products of one x, rows and k alike, which read it alike (the second function: whether two do), to the same bits as one by
 * one: x is rounded once, and threads meet once.  Scratch memory: the largest that one of them needs. */
void tern_packed_run_joined(tern_pool *pool, const tern_packed_product *products, int count, void *scratch);
bool tern_packed_joins(const tern_packed_product *a, const tern_packed_product *b);
/* Whether this processor has tiles for products of many rows with such weights. */
bool tern_packed_many(tern_dtype dtype);
/* Whether x is rounded to 8 bits here, in blocks of *block. */
bool tern_packed_rounds(tern_dtype dtype, int *block);
/* The format in which products with such weights are computed where a processor has it: i8 for bytes and for formats that
 * round x, their own for halves, else f32. */
tern_dtype tern_packed_arithmetic(tern_dtype dtype);

/* How x is rounded: scales of 256 elements; of 32, rounded to half precision; the same, with sums that are rounded so too. */
typedef enum tern_rounding { TERN_ROUND_256, TERN_ROUND_32, TERN_ROUND_32_SUMS } tern_rounding;

/* A row of x in 8 bits, padded with zeros to whole 256: x[i] ~ scale[i/32] q[i].  whole and half: the sums of 32 and of 16 q;
 * sum32 and sum16: scale times those. */
typedef struct tern_bytes_row {
    int8_t *q;
    float *scale, *sum32, *sum16;
    int16_t *whole, *half;
} tern_bytes_row;
typedef void tern_row_rounding(int64_t k, const float *x, tern_rounding rounding, tern_bytes_row to);

/* Sixteen such rows side by side, so that a vector holds the same four elements of each; zeros where x has no more rows. */
enum { TERN_PANEL = 16 };
typedef struct tern_bytes_panel {
    int8_t *q;          /* [k/4][16][4] */
    float *scale, *sum; /* [k/32][16]: scale and sum32 */
    int16_t *whole;     /* [k/64][16][2] */
} tern_bytes_panel;

static inline int64_t tern_whole_blocks(int64_t k)
{
    return (k + 255) / 256 * 256;
}
static inline size_t tern_panel_bytes(int64_t k)
{
    return (size_t)tern_whole_blocks(k) * 21;
}
/* The i-th panel of those that begin at memory. */
static inline tern_bytes_panel tern_panel_at(void *memory, int64_t k, int64_t i)
{
    int64_t n = tern_whole_blocks(k);
    int8_t *q = (int8_t *)memory + (size_t)i * tern_panel_bytes(k);
    float *scale = (float *)(void *)(q + 16 * n), *sum = scale + n / 2;
    return (tern_bytes_panel){q, scale, sum, (int16_t *)(void *)(sum + n / 2)};
}

/* y[r] = the product of one row of W with the r-th row of x, r < rows <= TERN_PACKED_ROWS. */
enum { TERN_PACKED_ROWS = 4 };
typedef void tern_packed_dot(int64_t k, const uint8_t *w, const tern_bytes_row *x, int rows, float *y);
/* y[r][n] = the product of the n-th of `count` <= 16 rows of W, which begin at w, with the r-th row of x, r < rows <=
 * TERN_PACKED_ROWS. */
typedef void tern_packed_few(int64_t k, const uint8_t *w, size_t row_bytes, int count,
                             const tern_bytes_row *x, int rows, float *y);
/* Rows first .. first + TERN_BLOCK_ROWS of W times all rows of x, whose panels begin at `panels`. */
enum { TERN_BLOCK_ROWS = 32 };
typedef void tern_packed_block(const tern_packed_product *product, void *panels, int64_t first);
/* Of `many` rows: `count` <= TERN_MANY_ROWS rows of W from `first` on.  The second function makes a panel of 16 rows of x: bf16,
 * [parts][k/32][16][16][2] of each tern_many_step columns, f16 and bf16 having two parts, of which x is the sum. */
enum { TERN_MANY_ROWS = 256, TERN_MANY_COLUMNS = 512 };
typedef void tern_packed_many_block(const tern_packed_product *product, const void *panels, int64_t first,
                                    int64_t count);
typedef void tern_packed_split(const tern_packed_product *product, int64_t panel, void *panels);
static inline int tern_many_parts(tern_dtype dtype)
{
    return dtype == TERN_F16 || dtype == TERN_BF16 ? 2 : 1;
}
static inline int64_t tern_many_columns(int64_t k)
{
    return (k + 31) / 32 * 32;
}
/* Columns that are multiplied at once: about as many each time, whole blocks of the format. */
static inline int64_t tern_many_step(tern_dtype dtype, int64_t k)
{
    int64_t block = tern_dtype_of(dtype)->block > 32 ? tern_dtype_of(dtype)->block : 32;
    int64_t most = TERN_MANY_COLUMNS / tern_many_parts(dtype);
    int64_t times = (k + most - 1) / most, even = (k + times - 1) / times;
    return (even + block - 1) / block * block;
}
static inline size_t tern_many_bytes(tern_dtype dtype, int64_t k) /* of a panel */
{
    return (size_t)tern_many_parts(dtype) * (size_t)tern_many_columns(k) * TERN_PANEL * sizeof(uint16_t);
}
/* The same for w[k] in f16 or bf16, with rows of x that are x_step apart. */
typedef void tern_half_dot(tern_dtype dtype, int64_t k, const uint16_t *w, const float *x, int64_t x_step,
                           int rows, float *y);
/* y[r] = the product of `blocks` blocks of 64 elements with the r-th row of x: levels[index] times the block's scale, most[]; indices of four
 * bits begin `step` bytes apart, the first of two in a byte's high half. */
enum { TERN_LEVEL_BLOCK = 64 };
typedef void tern_level_dot(int64_t blocks, const uint8_t *indices, size_t step, const float *most,
                            const float *levels, const float *x, int64_t x_step, int rows, float *y);
/* Row n of W in nf4 or nf4x2 by such products; false where there are none: rows that begin inside a block, or an instruction set
 * that looks up no levels. */
bool tern_level_row(const tern_packed_product *product, int64_t n);
/* The same in f32; w[k] is one unpacked row. */
typedef void tern_float_dot(int64_t k, const float *w, const float *x, int64_t x_step, int rows, float *y);

#endif
