/* Cases of the operators of fixed point.  Included by op_cases.h, behind those of images. */
#ifndef TERN_OP_CASES_FIXED_H
#define TERN_OP_CASES_FIXED_H

#include "op/fixed.h"

static tern_fixed_op some_format(void)
{
    bool common = below(2);
    return (tern_fixed_op){.bits = between(2, 12),
                           .positive = below(2),
                           .round = common ? TERN_ROUND_UP : (tern_round_mode)below(7),
                           .overflow = common ? TERN_OVERFLOW_SATURATE : (tern_overflow)below(4),
                           .hot = common ? 0 : below(4),
                           .share = below(2),
                           .fit = below(2) ? 3 : 0};
}

static void fixed_input(spec *s, tern_dtype dtype, tern_shape shape, values v)
{
    input(s, shape, v, false);
    s->in[s->nin - 1].dtype = dtype;
}

static void make_fixed(spec *s)
{
    tern_fixed_op op = some_format();
    memcpy(s->args, &op, sizeof op);
    input(s, some_shape(), NORMAL, false);
    input(s, TERN_SHAPE(1), NORMAL, false);
    s->tolerance = 1e-5;
}

static void make_fixed_grad(spec *s)
{
    make_fixed(s);
    input(s, s->in[0].shape, NORMAL, false);
    s->tolerance = 1e-4;
}

static tern_shape some_channels(spec *s, int64_t *channels)
{
    int inner = between(1, 9);
    *channels = between(1, 6);
    ARGS(s, tern_affine_op, inner);
    return TERN_SHAPE(between(1, 4), *channels, inner);
}

static void make_affine(spec *s)
{
    int64_t channels;
    input(s, some_channels(s, &channels), NORMAL, true);
    for (int i = 0; i < 2; i++) input(s, TERN_SHAPE(channels), NORMAL, true);
}

static void make_affine_grad(spec *s)
{
    int64_t channels;
    tern_shape x = some_channels(s, &channels);
    input(s, x, NORMAL, false);
    input(s, TERN_SHAPE(channels), NORMAL, false);
    input(s, x, NORMAL, false);
}

static void make_uniform(spec *s)
{
    int high = between(1, 7);
    ARGS(s, tern_uniform_op, below(2) ? -high : 0, high, below(2), false);
    if (below(4) == 0) ARGS(s, tern_uniform_op, -1, 1, below(2), true);
    input(s, some_shape(), NORMAL, false);
    input(s, TERN_SHAPE(1), POSITIVE, false);
}

static void make_uniform_grad(spec *s)
{
    make_uniform(s);
    input(s, s->in[0].shape, NORMAL, false);
}

static void make_fixed_point(spec *s)
{
    input(s, some_shape(), NORMAL, false);
}

static void make_fixed_value(spec *s)
{
    fixed_input(s, TERN_I32, some_shape(), COUNTS);
    input(s, TERN_SHAPE(1), NORMAL, false);
}

static void make_fixed_shift(spec *s)
{
    tern_shift_op op = {some_format(), below(2)};
    memcpy(s->args, &op, sizeof op);
    fixed_input(s, below(4) ? TERN_I32 : TERN_I16, some_shape(), COUNTS);
    fixed_input(s, TERN_F32, TERN_SHAPE(1), COUNTS);
}

static void make_fixed_pool(spec *s)
{
    int kernel = between(1, 3);
    ARGS(s, tern_fixed_pool_op, kernel, between(1, 3));
    fixed_input(s, below(2) ? TERN_I32 : TERN_I8,
                TERN_SHAPE(between(1, 3), between(1, 4), between(kernel, 9), between(kernel, 9)), COUNTS);
}

static void make_fixed_affine(spec *s)
{
    int64_t channels;
    fixed_input(s, TERN_I32, some_channels(s, &channels), COUNTS);
    fixed_input(s, TERN_I8, TERN_SHAPE(channels), COUNTS);
    fixed_input(s, TERN_I32, TERN_SHAPE(channels), COUNTS);
}

static void make_fixed_product(spec *s)
{
    static const tern_dtype codes[] = {TERN_U8, TERN_I8, TERN_I16, TERN_I32};
    tern_dtype x = codes[below(4)];
    bool bias = below(2), matrix = below(2);
    int64_t outputs;
    if (matrix) {
        int64_t inputs = between(1, 40);
        outputs = between(1, 20);
        ARGS(s, tern_conv_op, .stride = 1, .dilation = 1, .groups = 1);
        fixed_input(s, x, TERN_SHAPE(between(1, 5), inputs), COUNTS);
        fixed_input(s, TERN_I8, TERN_SHAPE(outputs, inputs), COUNTS);
    } else {
        conv_case c = some_conv();
        ARGS(s, tern_conv_op, .stride = c.stride, .pad = c.pad, .dilation = c.dilation, .groups = c.groups);
        outputs = c.o;
        fixed_input(s, x, TERN_SHAPE(c.n, c.c, c.h, c.w), COUNTS);
        fixed_input(s, TERN_I8, TERN_SHAPE(c.o, c.c / c.groups, c.k, c.k), COUNTS);
    }
    if (x == TERN_U8) s->values[s->nin - 2] = SPIKES;
    if (bias) fixed_input(s, TERN_I32, TERN_SHAPE(outputs), COUNTS);
}

static void make_step_levels(spec *s)
{
    int inner = between(1, 5), channels = between(1, 6);
    ARGS(s, tern_thresholds_op, between(1, 15), inner, 0);
    input(s, TERN_SHAPE(between(1, 4), channels, inner), NORMAL, false);
    for (int i = 0; i < 2; i++) input(s, TERN_SHAPE(channels), NORMAL, false);
}

static void make_thresholds(spec *s)
{
    int channels = between(1, 9);
    ARGS(s, tern_thresholds_op, between(1, 15), 1, between(1, 500));
    for (int i = 0; i < 2; i++) input(s, TERN_SHAPE(channels), NORMAL, false);
}

static void make_threshold_count(spec *s)
{
    int inner = between(1, 5), channels = between(2, 6), high = between(1, 15); /* one channel takes any x */
    ARGS(s, tern_thresholds_op, high, inner, 0);
    fixed_input(s, TERN_I32, TERN_SHAPE(between(1, 4), channels, inner), COUNTS);
    fixed_input(s, TERN_I32, TERN_SHAPE(channels, high), COUNTS);
}

#define FIXED_CASES                                                                                          \
    {"fixed", make_fixed}, {"fixed_grad", make_fixed_grad}, {"affine", make_affine},                         \
        {"affine_grad", make_affine_grad}, {"uniform", make_uniform}, {"uniform_grad", make_uniform_grad},   \
        {"fixed_code", make_fixed}, {"fixed_point", make_fixed_point}, {"fixed_value", make_fixed_value},    \
        {"fixed_shift", make_fixed_shift}, {"fixed_pool", make_fixed_pool},                                  \
        {"fixed_affine", make_fixed_affine}, {"fixed_product", make_fixed_product},                          \
        {"step_levels", make_step_levels}, {"thresholds", make_thresholds},                                  \
        {"threshold_count", make_threshold_count},

#endif
