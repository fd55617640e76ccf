/* Products whose first factor is bits, by adding the rows that spiked. */
#ifndef TERN_KERNEL_SPARSE_H
#define TERN_KERNEL_SPARSE_H

#include "kernel/gemm.h"

/* C(i,j) (+)= sum over the set bits s of row i of B(j,s), + bias[j]; row i of x begins at bit first + i*x_stride, C(i,j)
 * stands at c[i*stride + j], or when `turned` at c[i + j*stride]. */
typedef struct tern_sparse {
    int64_t m, n, k;
    const void *x;
    int64_t first, x_stride;
    tern_factor b;
    float *c;
    int64_t stride;
    bool turned;
    const float *bias;
    bool accumulate;
    float *total; /* when turned: total(j) = the sum of B(j,s) over all s, or NULL */
} tern_sparse;

/* Bytes of scratch that a run needs. */
size_t tern_sparse_scratch(int64_t m, int64_t n, int64_t k, bool turned);
void tern_sparse_run(tern_pool *pool, const tern_sparse *sparse, void *scratch);

#endif
