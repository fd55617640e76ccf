/* Cases of the operators of nets of 16 bits: all is exact.  Included by op_cases_int8.h. */
#ifndef TERN_OP_CASES_HALF_H
#define TERN_OP_CASES_HALF_H

#include "op/half.h"

static tern_dtype some_half(void)
{
    static const tern_dtype formats[] = {TERN_F16, TERN_BF16, TERN_F32};
    return formats[below(3)];
}

static void half_input(spec *s, tern_dtype format, tern_shape shape)
{
    input(s, shape, NORMAL, false);
    s->in[s->nin - 1].dtype = format;
}

/* Linear layers of few rows, or what convolutions are tested with. */
static void half_product_of(spec *s, tern_shape *x, tern_shape *w, tern_shape *y, tern_half_kind kind)
{
    tern_half_op args = {.lanes = 1 << below(4), .wide = below(4) == 0};
    if (below(3) == 0) {
        int64_t rows = between(1, 3), in = between(1, 40), out = between(1, 20);
        *x = TERN_SHAPE(rows, in), *w = TERN_SHAPE(out, in), *y = TERN_SHAPE(rows, out);
        args.conv = (tern_conv_op){.stride = 1, .dilation = 1, .groups = 1};
    } else {
        int groups = between(1, 3), in = groups * between(1, 3), out = groups * between(1, 3);
        int kernel = between(1, 3);
        if (below(4) == 0) groups = in = out = between(1, 5); /* depthwise */
        *x = TERN_SHAPE(between(1, 2), in, between(5, 8), between(5, 8));
        *w = TERN_SHAPE(out, in / groups, kernel, kernel);
        args.conv = (tern_conv_op){
            .stride = between(1, 3), .pad = between(0, 2), .dilation = between(1, 2), .groups = groups};
        tern_conv g = tern_conv_geometry(x, w, &args.conv);
        *y = TERN_SHAPE(x->dim[0], out, g.out_height, g.out_width);
    }
    if (kind != TERN_HALF_FORWARD) args.conv.like = kind == TERN_HALF_OF_WEIGHT ? *w : *x;
    memcpy(s->args, &args, sizeof args);
    s->tolerance = 0;
}

static void make_half_product(spec *s)
{
    tern_shape x, w, y;
    tern_dtype format = some_half();
    half_product_of(s, &x, &w, &y, TERN_HALF_FORWARD);
    half_input(s, format, x);
    half_input(s, format, w);
    if (below(2)) half_input(s, format, TERN_SHAPE(w.dim[0]));
}

static void make_half_grad_input(spec *s)
{
    tern_shape x, w, y;
    tern_dtype format = some_half();
    half_product_of(s, &x, &w, &y, TERN_HALF_OF_INPUT);
    half_input(s, format, y);
    half_input(s, format, w);
}

static void make_half_grad_weight(spec *s)
{
    tern_shape x, w, y;
    tern_dtype format = some_half();
    half_product_of(s, &x, &w, &y, TERN_HALF_OF_WEIGHT);
    half_input(s, format, x);
    half_input(s, format, y);
}

static void make_half_relu(spec *s)
{
    double most = below(2) ? 1.5 : 0;
    ARGS(s, double, most);
    half_input(s, some_half(), some_shape());
}

static void make_half_relu_grad(spec *s)
{
    tern_shape shape = some_shape();
    make_half_relu(s);
    s->in[0].shape = shape;
    half_input(s, s->in[0].dtype, shape);
}

static void make_half_add(spec *s)
{
    tern_shape shape = some_shape();
    tern_dtype format = some_half();
    half_input(s, format, shape);
    half_input(s, format, shape);
}

static void make_half_sum(spec *s)
{
    int outputs = between(1, 9);
    half_input(s, some_half(),
               below(2) ? TERN_SHAPE(between(1, 3), outputs, between(1, 5), between(1, 5))
                        : TERN_SHAPE(between(1, 6), outputs));
}

static void make_half_mean(spec *s)
{
    half_input(s, some_half(), TERN_SHAPE(between(1, 3), between(1, 5), between(1, 5), between(1, 5)));
}

static void make_half_mean_grad(spec *s)
{
    tern_shape y = TERN_SHAPE(between(1, 3), between(1, 5)), x = y;
    x.dim[x.rank++] = between(1, 5);
    x.dim[x.rank++] = between(1, 5);
    ARGS(s, tern_shape, .rank = 4, .dim = {x.dim[0], x.dim[1], x.dim[2], x.dim[3]});
    half_input(s, some_half(), y);
}

static void make_half_update(spec *s)
{
    double scale = below(2) ? 256 : 1;
    ARGS(s, double, scale);
    make_half_add(s);
    input(s, TERN_SHAPE(1), RATE, false);
}

#define HALF_CASES                                                                                           \
    {"half_product", make_half_product}, {"half_grad_input", make_half_grad_input},                          \
        {"half_grad_weight", make_half_grad_weight}, {"half_relu", make_half_relu},                          \
        {"half_relu_grad", make_half_relu_grad}, {"half_add", make_half_add}, {"half_sum", make_half_sum},   \
        {"half_mean", make_half_mean}, {"half_mean_grad", make_half_mean_grad},                              \
        {"half_update", make_half_update},

#endif
