/* Cases of the operators of nets of bytes: all is exact.  Included by op_cases.h, behind those of images. */
#ifndef TERN_OP_CASES_INT8_H
#define TERN_OP_CASES_INT8_H

#include "op/fake_quantise.h"
#include "op/int8.h"

#include "op_cases_half.h"

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

static void make_conv2d_transposed_int8(spec *s)
{
    conv_case c = some_conv();
    int flat = below(2), stride = between(1, 3);
    c.o = between(1, 5);
    c.c = between(1, 4);
    c.k = between(stride, 4);
    c.oh = flat ? 1 : between(1, 4);
    c.ow = between(1, 7);
    c.pad = below((int)c.k / 2 + 1);
    c.h = flat ? 1 : (c.oh - 1) * stride - 2 * c.pad + c.k;
    c.w = (c.ow - 1) * stride - 2 * c.pad + c.k;
    if (c.h < 1) c.h += 2 * c.pad, c.w += 2 * c.pad, c.pad = 0;
    if (c.w < 1) c.h += flat ? 0 : 2 * c.pad, c.w += 2 * c.pad, c.pad = 0;
    ARGS(s, conv_args, stride, c.pad, 1, 1, TERN_SHAPE(c.n, c.o, c.h, c.w));
    input(s, TERN_SHAPE(c.n, c.c, c.oh, c.ow), BYTES, false);
    input(s, TERN_SHAPE(c.o, c.c, flat ? 1 : c.k, c.k), BYTES, false);
    some_scale(s, c.o);
    s->in[TERN_IN_BIAS].shape = TERN_SHAPE((flat ? 1 : stride) * stride, c.o);
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

static void make_resize_int8(spec *s)
{
    bool corners = below(2);
    ARGS(s, tern_int8_resize_op, between(1, 12), between(1, 12), corners, !corners && below(2));
    input(s, TERN_SHAPE(between(1, 3), between(1, 4), between(1, 9), between(1, 9)), BYTES, false);
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

static void make_svdf_int8(spec *s)
{
    int64_t batch = between(1, 3), inputs = between(1, 9), units = between(1, 5), memory = between(1, 6),
            filters = units * between(1, 3);
    input(s, TERN_SHAPE(batch, inputs), BYTES, false);
    input(s, TERN_SHAPE(batch, filters, memory), BYTES, false);
    s->in[1].dtype = TERN_I16;
    input(s, TERN_SHAPE(filters, inputs), BYTES, false);
    input(s, TERN_SHAPE(filters), BIASES, false);
    input(s, TERN_SHAPE(filters, memory), BYTES, false);
    s->in[4].dtype = TERN_I16;
    input(s, TERN_SHAPE(units), BIASES, false);
    input(s, TERN_SHAPE(TERN_SVDF_CONSTANTS), SVDF_CONSTANTS, false);
    s->tolerance = 0;
}

/* ---- nets of bytes that learn --------------------------------------------------------------------------------- */

static void make_add_int8_mask(spec *s)
{
    tern_shape x = some_shape();
    input(s, x, BYTES, false);
    input(s, x, BYTES, false);
    input(s, TERN_SHAPE(TERN_ADD_CONSTANTS), SUM_CONSTANTS, false);
    s->tolerance = 0;
}

static void make_int8_grad_scale(spec *s)
{
    int pixels = between(1, 20);
    int64_t images = between(1, 3), outputs = between(1, 9);
    tern_shape g = TERN_SHAPE(images, outputs, 1, pixels);
    ARGS(s, int, pixels);
    input(s, g, NORMAL, false);
    input(s, TERN_SHAPE(below(2) ? 1 : outputs), POSITIVE, false);
    if (below(3)) input(s, g, SPIKES, false);
    s->tolerance = 0;
}

static void make_int8_grad_bias(spec *s)
{
    int outputs = between(1, 9);
    ARGS(s, int, outputs);
    if (below(2))
        input(s, TERN_SHAPE(between(1, 3), outputs, between(1, 5), between(1, 5)), NORMAL, false);
    else
        input(s, TERN_SHAPE(between(1, 6), outputs), NORMAL, false);
}

/* A product and the gradient of what comes out: shapes of x, W and that. */
static void some_product(spec *s, tern_shape *x, tern_shape *w, tern_shape *a, bool of_weight)
{
    if (below(3) == 0) {
        int64_t rows, in, out;
        linear_sizes(&rows, &in, &out);
        *x = TERN_SHAPE(rows, in), *w = TERN_SHAPE(out, in), *a = TERN_SHAPE(rows, out);
        ARGS(s, tern_conv_op, .stride = 1, .dilation = 1, .groups = 1, .like = of_weight ? *w : *x);
        return;
    }
    conv_case c = some_conv();
    *x = TERN_SHAPE(c.n, c.c, c.h, c.w), *w = TERN_SHAPE(c.o, c.c / c.groups, c.k, c.k);
    ARGS(s, tern_conv_op, .stride = c.stride, .pad = c.pad, .dilation = c.dilation, .groups = c.groups,
         .like = of_weight ? *w : *x);
    tern_conv g = tern_conv_geometry(x, w, (const tern_conv_op *)(const void *)s->args);
    *a = TERN_SHAPE(c.n, c.o, g.out_height, g.out_width);
}

static void make_int8_grad_weight(spec *s)
{
    tern_shape x, w, a;
    some_product(s, &x, &w, &a, true);
    input(s, x, BYTES, false);
    input(s, a, NORMAL, false);
    input(s, TERN_SHAPE(TERN_PRODUCT_CONSTANTS), ZEROS, false);
}

static void make_int8_grad_input(spec *s)
{
    tern_shape x, w, a;
    some_product(s, &x, &w, &a, false);
    input(s, w, BYTES, false);
    input(s, a, NORMAL, false);
}

static void make_avg_pool2d_int8_grad(spec *s)
{
    int height = between(1, 4), width = between(1, 4), stride = between(1, 3);
    int64_t n = between(1, 3), c = between(1, 4), h = between(height, 9), w = between(width, 9);
    ARGS(s, tern_int8_pool_grad_op, {height, width, stride}, TERN_SHAPE(n, c, h, w));
    input(s, TERN_SHAPE(n, c, (h - height) / stride + 1, (w - width) / stride + 1), NORMAL, false);
}

static void make_max_pool2d_grad_bytes(spec *s)
{
    make_max_pool2d_grad(s);
    s->in[0].dtype = TERN_I8;
    s->values[0] = BYTES;
}

static void make_take_channels(spec *s)
{
    int64_t c = between(2, 9);
    if (below(2))
        input(s, TERN_SHAPE(between(1, 3), c, between(1, 4), between(1, 4)), below(2) ? BYTES : NORMAL,
              false);
    else
        input(s, TERN_SHAPE(between(1, 5), c), BYTES, false);
    input(s, TERN_SHAPE(between(1, (int)c)), LABELS, false);
    s->tolerance = 0;
}

/* Of the weight, the bias or both; all input channels, a few, or a few of a depthwise convolution. */
static void make_int8_update(spec *s)
{
    int what = below(3), listed = below(3);
    int64_t o = between(3, 9), c = listed == 2 ? 1 : between(3, 9), k = between(1, 2), taps = between(1, 9);
    bool stochastic = below(2), weight = what != 1;
    ARGS(s, tern_int8_update_op, .stochastic = stochastic, .depthwise = listed == 2, .stream = 5);
    if (weight)
        input(s, TERN_SHAPE(o, c, taps), BYTES, false);
    else
        absent(s);
    input(s, TERN_SHAPE(o), BIASES, false);
    if (weight)
        input(s, TERN_SHAPE(TERN_PRODUCT_CONSTANTS), ZEROS, false);
    else
        absent(s);
    input(s, TERN_SHAPE(1), POSITIVE, false);
    if (stochastic)
        input(s, TERN_SHAPE(1), LABELS, false);
    else
        absent(s);
    for (int i = 0; i < 2; i++) {
        bool there = i == 0 ? weight : what != 0;
        tern_shape whole = TERN_SHAPE(o), part = TERN_SHAPE(listed == 2 ? k : o, listed == 1 ? k : c, taps);
        if (there) input(s, i == 0 ? part : whole, NORMAL, false);
        if (there) input(s, TERN_SHAPE(o), POSITIVE, false);
        if (!there) absent(s), absent(s);
    }
    if (listed && weight)
        input(s, TERN_SHAPE(k), LABELS, false);
    else
        absent(s);
    absent(s);
    s->tolerance = 0;
}

/* A product, and the update of its weight or of some channels of it. */
static void make_int8_descend(spec *s)
{
    tern_shape x, w, a;
    some_product(s, &x, &w, &a, true);
    tern_int8_update_op args = {.stochastic = below(2), .stream = 3};
    memcpy(&args.conv, s->args, sizeof args.conv);
    int axis = x.rank == 4 ? 1 : x.rank - 1;
    int64_t k = between(1, 2);
    bool linear = w.rank == 2, dense = args.conv.groups == 1, listed = dense && w.dim[1] > 2 && below(2);
    args.depthwise = !linear && !dense && w.dim[1] == 1 && w.dim[0] == args.conv.groups;
    if (args.depthwise && w.dim[0] > 2 && below(2)) {
        listed = true;
        args.conv.groups = (int)k;
        a.dim[1] = k;
    }
    if (listed) x.dim[axis] = k;
    args.conv.like = (tern_shape){0};
    memcpy(s->args, &args, sizeof args);
    input(s, w, BYTES, false);
    input(s, TERN_SHAPE(w.dim[0]), BIASES, false);
    input(s, TERN_SHAPE(TERN_PRODUCT_CONSTANTS), ZEROS, false);
    input(s, TERN_SHAPE(1), RATE, false);
    if (args.stochastic)
        input(s, TERN_SHAPE(1), LABELS, false);
    else
        absent(s);
    input(s, a, NORMAL, false);
    input(s, TERN_SHAPE(w.dim[0]), POSITIVE, false);
    absent(s);
    absent(s);
    if (listed)
        input(s, TERN_SHAPE(k), LABELS, false);
    else
        absent(s);
    input(s, x, BYTES, false);
    s->tolerance = 0;
}

static void make_softmax_error(spec *s)
{
    int64_t rows = between(1, 5);
    input(s, TERN_SHAPE(rows, between(3, 12)), NORMAL, false);
    input(s, TERN_SHAPE(rows), LABELS, false);
}

#define INT8_LEARNING_CASES                                                                                  \
    {"linear_int8_mask", make_linear_int8}, {"conv2d_int8_mask", make_conv2d_int8},                          \
        {"add_int8_mask", make_add_int8_mask}, {"int8_grad_scale", make_int8_grad_scale},                    \
        {"int8_grad_bias", make_int8_grad_bias}, {"int8_grad_weight", make_int8_grad_weight},                \
        {"int8_grad_input", make_int8_grad_input}, {"avg_pool2d_int8_grad", make_avg_pool2d_int8_grad},      \
        {"max_pool2d_grad", make_max_pool2d_grad_bytes}, {"take_channels", make_take_channels},              \
        {"int8_update", make_int8_update}, {"int8_descend", make_int8_descend},                              \
        {"softmax_error", make_softmax_error},

#define INT8_CASES                                                                                           \
    HALF_CASES{"linear_int8", make_linear_int8}, {"linear_int16", make_linear_int8},                         \
        {"conv2d_transposed_int8", make_conv2d_transposed_int8}, {"conv2d_int8", make_conv2d_int8},          \
        {"fake_quantise", make_fake_quantise}, {"max_pool2d", make_max_pool2d_bytes},                        \
        {"quantise_int8", make_quantise_int8}, {"dequantise_int8", make_dequantise_int8},                    \
        {"table_int8", make_table_int8}, {"add_int8", make_add_int8}, {"subtract_int8", make_add_int8},      \
        {"resize_int8", make_resize_int8}, {"avg_pool2d_int8", make_avg_pool2d_int8},                        \
        {"softmax_int8", make_softmax_int8}, {"multiply_int8", make_multiply_int8},                          \
        {"mean_int8", make_mean_int8}, {"lstm_int8", make_lstm_int8}, {"svdf_int8", make_svdf_int8},

#endif
