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

/* Bias, multipliers and shifts (by output or one for all), and limits. */
static void some_short_scale(spec *s, int64_t outputs)
{
    tern_shape scales = TERN_SHAPE(below(3) ? outputs : 1);
    input(s, TERN_SHAPE(outputs), BIASES, false);
    input(s, scales, MULTIPLIERS, false);
    input(s, scales, SHIFTS, false);
    input(s, TERN_SHAPE(2), BIASES, false);
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

#define INT16_CASES                                                                                          \
    {"linear_int16x8", make_linear_int16x8}, {"conv2d_int16x8", make_conv2d_int16x8},                        \
        {"conv2d_transposed_int16x8", make_conv2d_transposed_int16x8},                                       \
        {"quantise_int16", make_quantise_int16}, {"add_int16", make_add_int16},

#endif
