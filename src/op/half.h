/* half: operators of nets that learn in 16 bits.  Values are f16 or bf16 (or f32, to compare with), and so are the sums of
 * products, which are rounded behind every term in one order: a board has the bits of this computer (kernel/half.h).
 *
 * Each layer with weights is three products C[n,m] = A[n,k] B[k,m], of linear layers with one pixel:
 *   forward           A = W [Cout, C KH KW],            B = windows of x [C KH KW, OH OW],       a product an image
 *   gradient of W     A = dy [Cout, images OH OW],      B = windows of x [images OH OW, C KH KW]
 *   gradient of x     A = W turned [C, Cout KH KW],     B = windows of dy [Cout KH KW, H W],     a product an image
 *                     (of linear layers A = dy [1, Cout], B = W [Cout, C])
 * and that for each group.  Zeros around images and between strides are multiplied like other elements. */
#ifndef TERN_OP_HALF_H
#define TERN_OP_HALF_H

#include "kernel/half.h"
#include "op/op.h"

typedef struct tern_half_op {
    tern_conv_op conv; /* of linear layers: stride, dilation and groups 1 */
    int lanes;         /* sums of a forward product whose m is 1 (kernel/half.h); others have one */
    bool wide;         /* sums are f32 */
} tern_half_op;

typedef enum tern_half_kind { TERN_HALF_FORWARD, TERN_HALF_OF_INPUT, TERN_HALF_OF_WEIGHT } tern_half_kind;

/* One of the three products: `times` of them, each for `groups` groups. */
typedef struct tern_half_geometry {
    tern_half_kind kind;
    tern_conv conv;
    int64_t times, groups, n, k, m;
    int lanes;
    tern_half_window window; /* of B, of one image and group */
    bool plain;              /* B is the image itself, as it lies there */
    bool flat;               /* gradient of x of a linear layer: n 1, A = dy, B = W */
} tern_half_geometry;
tern_half_geometry tern_half_geometry_of(const tern_call *call);

/* The body of a C function for it, and the bytes of windows that this one works with (half_write.c). */
size_t tern_half_written_scratch(const tern_call *call);
tern_status tern_half_write(const tern_call *call, tern_emit *to);
/* "f16", "bf16", "f32": prefix of the functions that bodies call. */
const char *tern_half_prefix(tern_dtype format);

/* TERN_OK where all inputs have the format of the first: f16, bf16 or f32. */
tern_status tern_half_check(const tern_infer *types);

/* tern_gradient_ops of nets of halves. */
extern const tern_gradient_ops tern_half_gradient_ops;

#endif
