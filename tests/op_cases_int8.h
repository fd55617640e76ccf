/* Cases of the operators of nets of bytes: all is exact.  Included by op_cases.h, behind those of images. */
#ifndef TERN_OP_CASES_INT8_H
#define TERN_OP_CASES_INT8_H

#include "op/fake_quantise.h"
#include "op/int8.h"

/* Bias, multipliers and shifts (by output or one for all), constants. */
static void some_scale(spec *s, int64_t outputs)
{
    tern_shape scales = TERN_SHAPE(below(3) ? outputs : 1);
    input(s, TERN_SHAPE(outputs), BIASES, false);
    input(s, scales, MULTIPLIERS, false);
    input(s, scales, SHIFTS, false);
    input(s, TERN_SHAPE(TERN_PRODUCT_CONSTANTS), ZEROS, false);
    s->tolerance = 0;
}

static void make_linear_int8(spec *s)
{
    int64_t rows, in, out;
    linear_sizes(&rows, &in, &out);
    input(s, TERN_SHAPE(rows, in), BYTES, false);
    input(s, TERN_SHAPE(out, in), BYTES, false);
    some_scale(s, out);
}

static void make_conv2d_int8(spec *s)
{
    conv_case c = some_conv();
    ARGS(s, conv_args, c.stride, c.pad, c.dilation, c.groups, {0});
    if (below(2)) { /* borders of their own, that no kernel is larger than */
        tern_conv_op *a = (tern_conv_op *)(void *)s->args;
        a->top = below(3), a->left = below(3), a->bottom = below(3), a->right = below(3);
    }
    input(s, TERN_SHAPE(c.n, c.c, c.h, c.w), BYTES, false);
    input(s, TERN_SHAPE(c.o, c.c / c.groups, c.k, c.k), BYTES, false);
    some_scale(s, c.o);
}

static void make_quantise_int8(spec *s)
{
    input(s, some_shape(), NORMAL, false);
    input(s, TERN_SHAPE(1), POSITIVE, false);
    input(s, TERN_SHAPE(1), ZEROS, false);
    s->tolerance = 0;
}

static void make_dequantise_int8(spec *s)
{
    make_quantise_int8(s);
    s->in[0].dtype = TERN_I8;
}

static void make_table_int8(spec *s)
{
    input(s, some_shape(), BYTES, false);
    input(s, TERN_SHAPE(256), BYTES, false);
    s->tolerance = 0;
}

static void make_add_int8(spec *s)
{
    tern_shape x = below(4) ? some_shape() : TERN_SHAPE(3, 9000), other = x;
    if (x.rank > 0 && below(3) == 0) other.dim[below(x.rank)] = 1;
    bool left = below(2); /* which of them is broadcast */
    input(s, left ? x : other, BYTES, false);
    input(s, left ? other : x, BYTES, false);
    input(s, TERN_SHAPE(TERN_ADD_CONSTANTS), SUM_CONSTANTS, false);
    s->tolerance = 0;
}

static void make_multiply_int8(spec *s)
{
    make_add_int8(s);
    s->in[2].shape = TERN_SHAPE(TERN_MULTIPLY_CONSTANTS);
    s->values[2] = PRODUCT_CONSTANTS;
}

static void make_mean_int8(spec *s)
{
    tern_shape x = TERN_SHAPE(between(1, 3), between(1, 5), between(1, 9), between(1, 9));
    int axis = between(0, 3);
    ARGS(s, tern_reduce_args, .axis = axis, .axes = between(1, 4 - axis));
    input(s, x, BYTES, false);
    input(s, TERN_SHAPE(TERN_MEAN_CONSTANTS), MEAN_CONSTANTS, false);
    s->tolerance = 0;
}

static void make_avg_pool2d_int8(spec *s)
{
    int height = between(1, 4), width = between(1, 4);
    ARGS(s, tern_int8_pool_op, height, width, between(1, 3));
    input(s, TERN_SHAPE(between(1, 3), between(1, 4), between(height, 9), between(width, 9)), BYTES, false);
    s->tolerance = 0;
}

static void make_fake_quantise(spec *s)
{
    ARGS(s, tern_fake_quantise_op, between(2, 8), below(2), below(2));
    input(s, below(4) ? some_shape() : TERN_SHAPE(between(1, 90), between(1, 300)), NORMAL, false);
    s->tolerance = 0;
}

static void make_max_pool2d_bytes(spec *s)
{
    make_max_pool2d(s);
    s->in[0].dtype = TERN_I8;
    s->values[0] = BYTES;
    s->smooth[0] = false;
    s->tolerance = 0;
}

static void make_softmax_int8(spec *s)
{
    input(s, TERN_SHAPE(between(1, 4), between(1, 300)), BYTES, false);
    input(s, TERN_SHAPE(256), EXPONENTIALS, false);
    s->tolerance = 0;
}

static void make_lstm_int8(spec *s)
{
    int64_t batch = between(1, 3), steps = between(1, 4), inputs = between(1, 9), cells = between(1, 7);
    input(s, TERN_SHAPE(batch, steps, inputs), BYTES, false);
    input(s, TERN_SHAPE(batch, cells), BYTES, false);
    input(s, TERN_SHAPE(batch, cells), BYTES, false);
    s->in[2].dtype = TERN_I16;
    input(s, TERN_SHAPE(4 * cells, inputs), BYTES, false);
    input(s, TERN_SHAPE(4 * cells, cells), BYTES, false);
    input(s, TERN_SHAPE(4 * cells), BIASES, false);
    input(s, TERN_SHAPE(4 * cells), BIASES, false);
    input(s, TERN_SHAPE(TERN_LSTM_CONSTANTS), LSTM_CONSTANTS, false);
    input(s, TERN_SHAPE(256), LOGISTIC_STEPS, false);
    s->tolerance = 0;
}

#define INT8_CASES                                                                                           \
    {"linear_int8", make_linear_int8}, {"conv2d_int8", make_conv2d_int8},                                    \
        {"fake_quantise", make_fake_quantise}, {"max_pool2d", make_max_pool2d_bytes},                        \
        {"quantise_int8", make_quantise_int8}, {"dequantise_int8", make_dequantise_int8},                    \
        {"table_int8", make_table_int8}, {"add_int8", make_add_int8},                                        \
        {"avg_pool2d_int8", make_avg_pool2d_int8}, {"softmax_int8", make_softmax_int8},                      \
        {"multiply_int8", make_multiply_int8}, {"mean_int8", make_mean_int8}, {"lstm_int8", make_lstm_int8},

#endif
