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
tern_status tern_int8_operands(const tern_infer *types, int64_t outputs, int64_t biases, int64_t summed);
tern_int8_scale tern_int8_scale_of(const tern_call *call);

/* Element i of bytes or of 16 bits. */
static inline int32_t tern_int8_element(const tern_tensor *x, int64_t i)
{
    return x->dtype == TERN_I16 ? ((const int16_t *)x->data)[i] : ((const int8_t *)x->data)[i];
}
static inline void tern_int8_put(const tern_tensor *y, int64_t i, int32_t value)
{
    if (y->dtype == TERN_I16)
        ((int16_t *)y->data)[i] = (int16_t)value;
    else
        ((int8_t *)y->data)[i] = (int8_t)value;
}

/* Constants of lstm_int8: multiplier and shift of W x and of U h to units of 2^-12 for each gate (forget, input, cell,
 * output); of forget times cell, input times candidate and output times tanh; the zero of h; the largest cell, 0: any;
 * what brings a cell to what tern_short_tanh takes. */
enum { TERN_LSTM_CONSTANTS = 26 };
/* Constants of svdf_int8: multiplier and shift of what is remembered, of a unit's sum, the zero of the result. */
enum { TERN_SVDF_CONSTANTS = 5 };

typedef struct tern_int8_pool_op {
    int height, width, stride; /* of windows */
} tern_int8_pool_op;

typedef struct tern_int8_resize_op {
    int height, width;  /* of the result */
    bool corners, half; /* where places lie: corners on corners, or elements in the middle of their places */
} tern_int8_resize_op;

/* Operands of int8_update; those that are not there are the empty value.  With scales come gradients, and the other way. */
enum {
    TERN_UPDATE_WEIGHT,    /* i8 [O,..], or none: only the bias is updated */
    TERN_UPDATE_BIAS,      /* i32 [O] */
    TERN_UPDATE_CONSTANTS, /* i32 [TERN_PRODUCT_CONSTANTS] */
    TERN_UPDATE_RATE,      /* f32 [1] */
    TERN_UPDATE_STEP,      /* i32 [1]: number of the step, for stochastic rounding; or none */
    TERN_UPDATE_DW,        /* f32: gradient of the weight, or of its channels */
    TERN_UPDATE_DW_SCALE,  /* f32 [O] */
    TERN_UPDATE_DB,        /* f32 [O] */
    TERN_UPDATE_DB_SCALE,  /* f32 [O] */
    TERN_UPDATE_CHANNELS,  /* i32 [k]: the input channels that `dW` is of, or none: all */
    TERN_UPDATE_X, /* i8: of int8_descend, which makes a row of dW at a time of a, in place of dW, and of x */
    TERN_UPDATE_OPERANDS
};
typedef struct tern_int8_update_op {
    bool stochastic;   /* round up with the probability of the fraction; else to the nearest */
    bool depthwise;    /* channels are those of the output */
    int stream;        /* of the random numbers */
    tern_conv_op conv; /* of int8_descend: the product whose weight it is, of the channels that learn */
} tern_int8_update_op;

/* The product of x and w whose sums have the gradient a (linear layers, whose W is [O,K], are convolutions of one pixel), whether
 * their shapes go together, the weights of an output, and what walking through it costs. */
tern_conv tern_int8_geometry(const tern_shape *x, const tern_shape *w, const tern_conv_op *args);
tern_status tern_int8_check_product(const tern_infer *types, const tern_shape *x, const tern_shape *w,
                                    const tern_shape *a);
int64_t tern_int8_taps(const tern_conv *conv);
void tern_int8_product_work(const tern_conv *conv, tern_work *work);
tern_status tern_int8_check_types(const tern_infer *types, const tern_dtype *expected);

/* Each product of the forward pass inside the image, of outputs first .. last - 1 one behind the other: by images, pixels,
 * channels, taps.  `a` is the gradient of its sum; those of 0 are left out.  It meets x[at] by W[row, tap]. */
typedef struct tern_int8_meeting {
    float a;
    int64_t at, row, tap;
} tern_int8_meeting;
typedef void tern_int8_meet(const tern_call *call, const tern_int8_meeting *meeting);
void tern_int8_walk(const tern_call *call, const tern_conv *conv, const float *a, int64_t first, int64_t last,
                    tern_int8_meet *each);
/* The loops over one output `o` in C, of the gradient that is called `a`; `body` may use a, row + x for `at` and tap + kx. */
void tern_int8_write_walk(const tern_conv *conv, const char *a, const char *body, tern_text *text);

typedef struct tern_int8_pool_grad_op {
    tern_int8_pool_op window;
    tern_shape like; /* shape of x */
} tern_int8_pool_grad_op;

#endif
