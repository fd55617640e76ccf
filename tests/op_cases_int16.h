/* Cases of the operators of nets with activations of 16 bits: all is exact.  Included by op_cases.h, behind those of bytes. */
#ifndef TERN_OP_CASES_INT16_H
#define TERN_OP_CASES_INT16_H

#include "op/int16.h"

#include "op_cases_int8.h"

/* Over the whole range, and at its ends. */
static void shorts(spec *s, tern_shape shape)
{
    input(s, shape, BIASES, false);
    s->in[s->nin - 1].dtype = TERN_I16;
}

/* Bias, multipliers and shifts (by output or one for all), limits, and now and then the upper halves of the bias. */
static void some_short_scale(spec *s, int64_t outputs)
{
    tern_shape scales = TERN_SHAPE(below(3) ? outputs : 1);
    input(s, TERN_SHAPE(outputs), BIASES, false);
    input(s, scales, MULTIPLIERS, false);
    input(s, scales, SHIFTS, false);
    input(s, TERN_SHAPE(2), BIASES, false);
    if (below(2)) input(s, TERN_SHAPE(outputs), ZEROS, false);
    s->tolerance = 0;
}

static void make_linear_int16x8(spec *s)
{
    int64_t rows, in, out;
    linear_sizes(&rows, &in, &out);
    shorts(s, TERN_SHAPE(rows, in));
    input(s, TERN_SHAPE(out, in), BYTES, false);
    some_short_scale(s, out);
}

static void make_conv2d_int16x8(spec *s)
{
    conv_case c = some_conv();
    ARGS(s, conv_args, c.stride, c.pad, c.dilation, c.groups, {0});
    if (below(2)) { /* borders of their own, that no kernel is larger than */
        tern_conv_op *a = (tern_conv_op *)(void *)s->args;
        a->top = below(3), a->left = below(3), a->bottom = below(3), a->right = below(3);
    }
    shorts(s, TERN_SHAPE(c.n, c.c, c.h, c.w));
    input(s, TERN_SHAPE(c.o, c.c / c.groups, c.k, c.k), BYTES, false);
    some_short_scale(s, c.o);
}

static void make_conv2d_transposed_int16x8(spec *s)
{
    make_conv2d_transposed_int8(s);
    s->in[0].dtype = TERN_I16;
    s->values[0] = s->values[TERN_IN_LIMITS] = BIASES;
    s->in[TERN_IN_BIAS].shape = TERN_SHAPE(s->in[1].shape.dim[0]);
    s->in[TERN_IN_LIMITS].shape = TERN_SHAPE(2);
}

static void make_quantise_int16(spec *s)
{
    input(s, some_shape(), NORMAL, false);
    input(s, TERN_SHAPE(1), POSITIVE, false);
    input(s, TERN_SHAPE(1), ZEROS, false);
    s->tolerance = 0;
}

static void make_add_int16(spec *s)
{
    tern_shape x = some_shape(), other = below(3) ? x : TERN_SHAPE(x.dim[x.rank - 1]);
    shorts(s, x);
    shorts(s, other);
    input(s, TERN_SHAPE(TERN_ADD_CONSTANTS), SUM_CONSTANTS, false);
    s->tolerance = 0;
}

static void make_multiply_int16(spec *s)
{
    make_add_int16(s);
    s->in[2].shape = TERN_SHAPE(TERN_MULTIPLY_CONSTANTS);
    s->values[2] = PRODUCT_CONSTANTS;
}

/* Between bytes and 16 bits, either way. */
static void make_rescale_int16(spec *s)
{
    ARGS(s, tern_int16_rescale_op, below(2));
    if (below(2))
        shorts(s, some_shape());
    else
        input(s, some_shape(), BYTES, false);
    input(s, TERN_SHAPE(TERN_RESCALE_CONSTANTS), RESCALE_CONSTANTS, false);
    s->tolerance = 0;
}

static void make_curve_int16(spec *s)
{
    shorts(s, some_shape());
    input(s, TERN_SHAPE(2), SHORT_FACTOR, false);
    input(s, TERN_SHAPE(256), LOGISTIC_STEPS, false);
    s->tolerance = 0;
}

static void make_softmax_int16(spec *s)
{
    shorts(s, TERN_SHAPE(between(1, 4), between(1, 300)));
    for (int i = 0; i < 2; i++) {
        input(s, TERN_SHAPE(513), SHORT_STEPS, false);
        s->in[1 + i].dtype = TERN_I16;
    }
    input(s, TERN_SHAPE(2), LSTM_CONSTANTS, false);
    s->tolerance = 0;
}

/* Windows, means and the highest, of 16 bits. */
static void make_avg_pool2d_int16(spec *s)
{
    make_avg_pool2d_int8(s);
    s->in[0].dtype = TERN_I16;
    s->values[0] = BIASES;
}

static void make_mean_int16(spec *s)
{
    make_mean_int8(s);
    s->in[0].dtype = TERN_I16;
    s->values[0] = BIASES;
}

static void make_max_pool2d_int16(spec *s)
{
    make_max_pool2d_bytes(s);
    s->in[0].dtype = TERN_I16;
    s->values[0] = BIASES;
}

static void make_lstm_int16x8(spec *s)
{
    make_lstm_int8(s);
    for (int i = 0; i < 2; i++) {
        s->in[i].dtype = TERN_I16;
        s->values[i] = BIASES;
    }
    input(s, s->in[5].shape, ZEROS, false);
}

#define INT16_CASES                                                                                          \
    {"linear_int16x8", make_linear_int16x8}, {"conv2d_int16x8", make_conv2d_int16x8},                        \
        {"conv2d_transposed_int16x8", make_conv2d_transposed_int16x8},                                       \
        {"quantise_int16", make_quantise_int16}, {"add_int16", make_add_int16},                              \
        {"subtract_int16", make_add_int16}, {"multiply_int16", make_multiply_int16},                         \
        {"rescale_int16", make_rescale_int16}, {"logistic_int16", make_curve_int16},                         \
        {"tanh_int16", make_curve_int16}, {"softmax_int16", make_softmax_int16},                             \
        {"avg_pool2d_int8", make_avg_pool2d_int16}, {"mean_int8", make_mean_int16},                          \
        {"max_pool2d", make_max_pool2d_int16}, {"lstm_int16x8", make_lstm_int16x8},

#endif
