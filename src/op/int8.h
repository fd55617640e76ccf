/* int8: operators of nets of bytes.  What follows from calibration are operands, so that the graph of a net is the same
 * before and after: bias, multipliers, shifts, and the constants below. */
#ifndef TERN_OP_INT8_H
#define TERN_OP_INT8_H

#include "kernel/int8.h"
#include "op/op.h"

/* Operands of products: x [..] and W of bytes, bias i32 [O], multiplier i32 [O] or [1], shift i8 like it, and constants
 * i32 [TERN_PRODUCT_CONSTANTS].  Sums are those of x W without zeros taken off: the bias contains what zero of x adds. */
enum { TERN_X_ZERO, TERN_Y_ZERO, TERN_Y_LOW, TERN_Y_HIGH, TERN_PRODUCT_CONSTANTS };
enum {
    TERN_IN_X,
    TERN_IN_W,
    TERN_IN_BIAS,
    TERN_IN_MULTIPLIER,
    TERN_IN_SHIFT,
    TERN_IN_CONSTANTS,
    TERN_PRODUCT_OPERANDS
};
tern_status tern_int8_operands(const tern_infer *types, int64_t outputs, int64_t summed);
tern_int8_scale tern_int8_scale_of(const tern_call *call);

/* Constants of lstm_int8: multiplier and shift of W x and of U h to units of 2^-12 for each gate (forget, input, cell,
 * output); of forget times cell, input times candidate and output times tanh; the zero of h; the largest cell, 0: any;
 * what brings a cell to what tern_short_tanh takes. */
enum { TERN_LSTM_CONSTANTS = 26 };

typedef struct tern_int8_pool_op {
    int height, width, stride; /* of windows */
} tern_int8_pool_op;

#endif
