/* kernel: the fast loops.  Plain pointers, sizes and strides; no graph, no allocation: whoever calls brings the
 * scratch memory that the matching ..._scratch function asks for (bytes, 64-byte aligned, contents irrelevant).
 *
 * Every loop is written once and compiled once per instruction set (isa/); the processor chooses when the program
 * starts.  Results are the same bits on any number of threads: work is cut by the problem's shape, and each element
 * is summed in one fixed order.  Bits of a `bit` tensor are flat: element i is bit i%64 of 64-bit word i/64 (little
 * endian), rows are not padded, so a row may begin in the middle of a word. */
#ifndef TERN_KERNEL_H
#define TERN_KERNEL_H

#include "base/base.h"

/* ---- instruction sets -------------------------------------------------------------------------------- */

/* Use the loops compiled for `name`: "scalar", "avx2", "avx512" or "amx"; NULL: the environment's TERN_ISA, or else the best
 * that this processor has.  Fails (TERN_USAGE) when the name is unknown or the processor cannot run it; then the
 * choice is unchanged.  Call it before other threads use kernels. */
tern_status tern_isa_select(const char *name);
const char *tern_isa_name(void);

/* The i-th instruction set that this build knows, and whether this processor has it; NULL after the last. */
const char *tern_isa_known(int i, bool *usable);

/* ---- products of matrices ---------------------------------------------------------------------------- */

/* A sliding window over images [images, channels, height, width] as a matrix: row (channel, tap_y, tap_x), column
 * (image, out_y, out_x), the source pixel of both at y = out_y*stride_y + origin_y + tap_y*step_y, and 0 outside. */
typedef struct tern_window {
    int64_t channels, height, width;
    int64_t image_stride; /* elements from an image to the next */
    int64_t out_height, out_width;
    int64_t taps_y, taps_x;
    int64_t step_y, step_x;     /* dilation; negative to walk backwards */
    int64_t origin_y, origin_x; /* minus the padding */
    int64_t stride_y, stride_x;
} tern_window;

/* One factor of a product, seen as element (f, s): f the free index that survives (a row or column of the result),
 * s the index that is summed over.  Without a window it is data[first + f*free_stride + s*sum_stride]. */
typedef struct tern_factor {
    const void *data; /* f32, or 64-bit words of bits */
    bool bits;
    int64_t first; /* element of data at (0, 0) */
    int64_t free_stride, sum_stride;
    const tern_window
        *window; /* NULL: strided.  Else free = pixels, sum = (channel, tap), or the other way round: */
    bool sum_pixels;
    int64_t batch_stride; /* elements from a product of the batch to the next */
} tern_factor;

/* C[m,n] (+)= sum over k of A(i,k) * B(j,k), + row_bias[m], + column_bias[n]; `batch` such products (0 means 1).
 * C's column j stands at (j / pixels)*image_stride + (j % pixels / width)*row_step + (j % width)*pixel_step, row i at
 * i*row_stride from there; with pixels = 0 simply at j. */
typedef struct tern_product {
    int64_t m, n, k, batch;
    tern_factor a, b;
    float *c;
    int64_t row_stride, batch_stride;
    int64_t pixels, image_stride, width, row_step, pixel_step;
    const float *row_bias, *column_bias; /* or NULL; row_bias advances by m a product of the batch */
    bool accumulate;                     /* add to what C holds */
    const float *packed_b;               /* tern_pack's output instead of b (batch 1), or NULL */
} tern_product;

size_t tern_gemm_scratch(const tern_product *product);
void tern_gemm(tern_pool *pool, const tern_product *product, void *scratch);

/* Factors in words: element (f, s) at data[f*free_stride + s*sum_stride].  A row-major matrix X[rows, columns] is
 * (X, columns, 1) when its rows survive and its columns are summed, (X, 1, columns) the other way round. */
static inline tern_factor tern_factor_f32(const float *data, int64_t free_stride, int64_t sum_stride)
{
    return (tern_factor){.data = data, .free_stride = free_stride, .sum_stride = sum_stride};
}
static inline tern_factor tern_factor_bits(const void *data, int64_t first, int64_t free_stride,
                                           int64_t sum_stride)
{
    return (tern_factor){
        .data = data, .bits = true, .first = first, .free_stride = free_stride, .sum_stride = sum_stride};
}

/* Weights packed once for many products (a linear layer with few rows is limited by reading them): `b` with free
 * index n and summed index k into `packed`, tern_pack_bytes(n, k) bytes.  The layout belongs to the instruction set. */
size_t tern_pack_bytes(int64_t n, int64_t k);
void tern_pack(tern_pool *pool, const tern_factor *b, int64_t n, int64_t k, float *packed);

/* ---- convolution ------------------------------------------------------------------------------------- */

/* x [images, in_channels, height, width], w [out_channels, in_channels/groups, kernel_height, kernel_width],
 * y [images, out_channels, out_height, out_width]:
 *   y[n,o,oy,ox] = bias[o] + sum over c,ky,kx of w[o,c,ky,kx] * x[n, c, oy*stride_y + ky*dilation_y - pad_y, ...]
 * with x = 0 outside.  One-dimensional: height = kernel_height = out_height = 1, strides and dilations 1. */
typedef struct tern_conv {
    int64_t images, in_channels, height, width;
    int64_t out_channels, out_height, out_width;
    int64_t kernel_height, kernel_width;
    int64_t stride_y, stride_x, pad_y, pad_x, dilation_y, dilation_x;
    int64_t groups;
    bool exact; /* no Winograd: whole numbers below 2^24 are summed without rounding */
} tern_conv;

/* Out extent of a convolution or pooling: floor((in + pads - dilation*(kernel-1) - 1) / stride) + 1, 0 when none. */
int64_t tern_conv_extent(int64_t in, int64_t kernel, int64_t stride, int64_t pads, int64_t dilation);

/* Kernels that read spikes count the additions of a weight that the spikes ask for (a spike times the outputs that it
 * reaches: tern_work's accumulates) onto *accumulates unless it is NULL.
 *
 * Which loops a spike kernel uses: the faster one for the density at hand, or one of the two.  Both give the same bits,
 * but for the weight gradient of a convolution, which they sum in different orders. */
typedef enum tern_spike_path { TERN_SPIKE_AUTO, TERN_SPIKE_DENSE, TERN_SPIKE_SPARSE } tern_spike_path;

/* Scratch that serves all of the functions below. */
size_t tern_conv_scratch(const tern_conv *conv);

/* bias may be NULL.  x is f32, or bits whose first element is bit `first`.  Of numbers through 3x3 kernels between 16 channels
 * or more, outputs and input gradients round relative to the largest sums near them (about 1e-6), not to their own. */
void tern_conv_forward(tern_pool *pool, const tern_conv *conv, const float *x, const float *w,
                       const float *bias, float *y, void *scratch);
void tern_conv_forward_bits(tern_pool *pool, const tern_conv *conv, const void *x, int64_t first,
                            const float *w, const float *bias, float *y, tern_spike_path path,
                            int64_t *accumulates, void *scratch);

/* dx (+)= what dy [images, out_channels, ...] says about x;  dw (+)= sum over images and pixels of dy * x. */
void tern_conv_grad_input(tern_pool *pool, const tern_conv *conv, const float *dy, const float *w, float *dx,
                          bool accumulate, void *scratch);
void tern_conv_grad_weight(tern_pool *pool, const tern_conv *conv, const float *x, const float *dy, float *dw,
                           bool accumulate, void *scratch);
void tern_conv_grad_weight_bits(tern_pool *pool, const tern_conv *conv, const void *x, int64_t first,
                                const float *dy, float *dw, bool accumulate, tern_spike_path path,
                                int64_t *accumulates, void *scratch);

/* ---- spikes ------------------------------------------------------------------------------------------ */

/* y[rows,n] (+)= x[rows,k] * w[n,k]^T + bias[n], x bits from bit `first`. */
size_t tern_spike_linear_scratch(int64_t rows, int64_t n, int64_t k);
void tern_spike_linear(tern_pool *pool, int64_t rows, int64_t n, int64_t k, const void *x, int64_t first,
                       const float *w, const float *bias, float *y, bool accumulate, tern_spike_path path,
                       int64_t *accumulates, void *scratch);

/* dw[n,k] (+)= dy[rows,n]^T * x[rows,k], and db[n] = the sum of the rows of dy unless it is NULL. */
size_t tern_spike_grad_weight_scratch(int64_t rows, int64_t n, int64_t k);
void tern_spike_grad_weight(tern_pool *pool, int64_t rows, int64_t n, int64_t k, const void *x, int64_t first,
                            const float *dy, float *dw, float *db, bool accumulate, tern_spike_path path,
                            int64_t *accumulates, void *scratch);

/* Bits set among `count` from bit `first`. */
int64_t tern_bits_count(const void *bits, int64_t first, int64_t count);

/* out[i] = bit first+i as 0 or 1; and bit first+i = in[i] > 0 (bits outside stay).  A pool's tasks begin at whole
 * words, so `first` may be anything. */
void tern_bits_to_f32(tern_pool *pool, const void *bits, int64_t first, int64_t count, float *out);
void tern_bits_from_f32(tern_pool *pool, const float *in, int64_t count, void *bits, int64_t first);

/* out[columns, rows] = x[rows, columns] transposed; each row of out begins at a whole 64-bit word:
 * `columns` rows of tern_bits_words(rows) words. */
static inline int64_t tern_bits_words(int64_t bits)
{
    return (bits + 63) / 64;
}
void tern_bits_transpose(tern_pool *pool, int64_t rows, int64_t columns, const void *x, int64_t first,
                         uint64_t *out);

/* Pooling of bits, windows of conv's geometry (in_channels = out_channels planes, groups ignored):
 * max is OR, y bits from bit 0; avg is the share of ones among the taps that lie in the image (0 where none does), y f32. */
void tern_bits_max_pool(tern_pool *pool, const tern_conv *window, const void *x, int64_t first, void *y);
void tern_bits_avg_pool(tern_pool *pool, const tern_conv *window, const void *x, int64_t first, float *y);

/* ---- small integers ---------------------------------------------------------------------------------- */

/* c[m,n] = sum over k of a[m,k] AND b[n,k]: both bits, flat from bits first_a and first_b; exact. */
size_t tern_binary_gemm_scratch(int64_t m, int64_t n, int64_t k);
void tern_binary_gemm(tern_pool *pool, int64_t m, int64_t n, int64_t k, const void *a, int64_t first_a,
                      const void *b, int64_t first_b, int32_t *c, void *scratch);

/* c[m,n] (+)= a[m,k] * b[n,k]^T, signed bytes into 32-bit sums (exact while k < 131072), row-major. */
size_t tern_i8_gemm_scratch(int64_t m, int64_t n, int64_t k);
void tern_i8_gemm(tern_pool *pool, int64_t m, int64_t n, int64_t k, const int8_t *a, const int8_t *b,
                  int32_t *c, bool accumulate, void *scratch);

#endif
