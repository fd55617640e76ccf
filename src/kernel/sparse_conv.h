/* Convolution of spikes by adding rows, for groups = 1 and moderate sizes: tern_sparse_conv_fits says which. */
#ifndef TERN_KERNEL_SPARSE_CONV_H
#define TERN_KERNEL_SPARSE_CONV_H

#include "kernel/gemm.h"

/* Whether the shapes are those that it is meant for; bytes of scratch that either direction needs. */
bool tern_sparse_conv_fits(const tern_conv *conv);
size_t tern_sparse_conv_scratch(const tern_conv *conv);

/* Adds in tern_gemm's order: the same bits as the dense product. */
void tern_sparse_conv_forward(tern_pool *pool, const tern_conv *conv, const uint64_t *x, int64_t first,
                              const float *w, const float *bias, float *y, void *scratch);

/* dw [O,C,K,K] (+)= the sum of dy [N,O,OH,OW] over the places where x has a spike. */
void tern_sparse_conv_grad_weight(tern_pool *pool, const tern_conv *conv, const uint64_t *x, int64_t first,
                                  const float *dy, float *dw, bool accumulate, void *scratch);

#endif
