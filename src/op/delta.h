/* What the operators of temporal sparsity share: quantising activations in training (delta.c), and sending only what has
 * changed at inference (delta_infer.c). */
#ifndef TERN_OP_DELTA_H
#define TERN_OP_DELTA_H

#include "op/op.h"

#define TERN_LEAST_STEP 1e-6 /* of a quantiser: |raw| below it counts as this */
#define TERN_MOST_LEVEL                                                                                      \
    32767 /* levels saturate here, in training as in inference, so that a state has 16 bits */

/* Arguments of quantise. */
typedef struct tern_quantise_op {
    bool plain; /* the step's gradient keeps its true sign */
} tern_quantise_op;

/* Arguments of variation. */
typedef struct tern_variation_op {
    int steps;   /* T: axis 0 is [T] or [T B] */
    bool values; /* mean |y| instead of mean |y_t - y_(t-1)| */
} tern_variation_op;

/* Arguments of delta_weight and delta_product; of the convolution that they stand for. */
typedef struct tern_delta_op {
    int stride, pad, dilation, groups;
    bool integer; /* delta_weight: 8-bit weights */
    bool dense;   /* delta_product: multiply zeros too */
} tern_delta_op;

/* How steps q repeat over x: element i of x has step (i / inner) % count. */
typedef struct tern_steps_view {
    int64_t count, inner;
} tern_steps_view;

/* False when the shape of q does not repeat over x: it is [1], or x's own axes from some axis on with ones behind. */
bool tern_steps_over(const tern_shape *x, const tern_shape *q, tern_steps_view *view);

/* q of a raw parameter. */
static inline double tern_step_of(double raw)
{
    double q = raw < 0 ? -raw : raw;
    return q > TERN_LEAST_STEP ? q : TERN_LEAST_STEP;
}

/* round(x / q), halves to even, saturated.  Adding and taking away 1.5 2^23 rounds a float of at most 2^22. */
static inline float tern_level(float x, float q)
{
    float v = x / q, most = TERN_MOST_LEVEL;
    v = v > -most ? v : -most; /* not a number: the lowest level */
    v = v < most ? v : most;
    return (v + 12582912.0f) - 12582912.0f;
}

#endif
