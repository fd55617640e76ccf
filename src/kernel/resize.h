/* resize: images of another size, each pixel a weighted sum of a few. */
#ifndef TERN_KERNEL_RESIZE_H
#define TERN_KERNEL_RESIZE_H

#include "kernel/kernel.h"

/* What each of `out` places of an axis is made of: `taps` elements by index, with their weights, [out,taps]. */
typedef struct tern_resize_axis {
    int64_t in, out;
    int taps;
    const int32_t *index;
    const float *weight;
} tern_resize_axis;

/* x [planes, y.in, x.in] -> out [planes, y.out, x.out] */
void tern_resize_planes(tern_pool *pool, int64_t planes, const tern_resize_axis *rows,
                        const tern_resize_axis *columns, const float *x, float *out);
/* The way back: dy [planes, y.out, x.out] added to dx [planes, y.in, x.in], which is zeroed before. */
void tern_resize_planes_grad(tern_pool *pool, int64_t planes, const tern_resize_axis *rows,
                             const tern_resize_axis *columns, const float *dy, float *dx);

#endif
