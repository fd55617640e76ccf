/* Products of rows in 8 bits, with the columns of x that hold large elements apart (LLM.int8(), arXiv 2208.07339). */
#ifndef TERN_KERNEL_OUTLIER_H
#define TERN_KERNEL_OUTLIER_H

#include "kernel/kernel.h"

typedef enum tern_byte_scale {
    TERN_BYTES_BY_ROW,    /* largest magnitude of a row of x */
    TERN_BYTES_TOGETHER,  /* of all rows */
    TERN_BYTES_ZERO_POINT /* smallest to largest element of a row */
} tern_byte_scale;

/* y[rows,n] = x[rows,k] W[n,k]^T + bias, W[i,j] = scale[i] w[i,j].  Columns of x with an element of magnitude `threshold` or
 * more in any row (0: none) are multiplied as they are; so are all columns when more than an eighth of them is so.  The others
 * become bytes, with scales over their elements and those of such columns that are below the threshold.
 * exact[n,exact_count] and exact_columns[exact_count] (ascending), or NULL: columns of W in full precision, for when they are apart. */
typedef struct tern_outlier_product {
    int64_t rows, n, k;
    const float *x;
    const int8_t *w;           /* -127 .. 127 */
    const float *scale, *bias; /* bias [n] or NULL */
    const float *exact;
    const int32_t *exact_columns;
    int64_t exact_count;
    float threshold;
    tern_byte_scale by;
    float *y;
} tern_outlier_product;
size_t tern_outlier_scratch(const tern_outlier_product *product);
void tern_outlier_run(tern_pool *pool, const tern_outlier_product *product, void *scratch);

/* Sum of a[i] b[i]. */
typedef int32_t tern_byte_dot(int64_t k, const int8_t *a, const int8_t *b);

#endif
