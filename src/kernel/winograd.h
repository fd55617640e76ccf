/* Convolution by fewer multiplications, for 3x3 kernels: tern_winograd_fits says when. */
#ifndef TERN_KERNEL_WINOGRAD_H
#define TERN_KERNEL_WINOGRAD_H

#include "kernel/gemm.h"

/* y[images, outs, out_height, out_width] = bias[outs] (or 0) + x[images, ins, height, width] seen through 3x3 taps, pad
 * zeros before each axis.  The weight of output o, input i and tap t is w[o*out_step + i*in_step + t], or tap 8 - t when
 * turned. */
typedef struct tern_winograd {
    int64_t images, ins, height, width, outs, out_height, out_width, pad_y, pad_x;
    const float *x, *w, *bias;
    int64_t out_step, in_step;
    bool turned;
    float *y;
} tern_winograd;

/* Whether the shapes are those that it is meant for; bytes of scratch that a run needs. */
bool tern_winograd_fits(const tern_winograd *convolution);
size_t tern_winograd_scratch(const tern_winograd *convolution);
void tern_winograd_run(tern_pool *pool, const tern_winograd *convolution, void *scratch);

#endif
