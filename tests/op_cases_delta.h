/* Cases of the operators of temporal sparsity.  Included by op_cases.h, behind those of images. */
#ifndef TERN_OP_CASES_DELTA_H
#define TERN_OP_CASES_DELTA_H

#include "op/delta.h"

/* Activations, and steps by channel, neuron or layer. */
static tern_shape some_steps(const tern_shape *x)
{
    int kind = below(3);
    if (kind == 0) return TERN_SHAPE(1);
    return kind == 1 ? TERN_SHAPE(x->dim[1], 1, 1) : TERN_SHAPE(x->dim[1], x->dim[2], x->dim[3]);
}

static void some_quantised(spec *s)
{
    tern_shape x = TERN_SHAPE(between(1, 4), between(1, 5), between(1, 7), between(1, 20));
    input(s, x, NORMAL, false);
    input(s, some_steps(&x), below(2) ? POSITIVE : NORMAL, false);
}

static void make_quantise(spec *s)
{
    ARGS(s, tern_quantise_op, below(2));
    some_quantised(s);
    s->tolerance = 1e-4;
}

static void make_quantise_grad(spec *s)
{
    make_quantise(s);
    input(s, s->in[0].shape, NORMAL, false);
}

static tern_shape some_clip(spec *s)
{
    int steps = between(1, 5);
    ARGS(s, tern_variation_op, steps, below(2));
    return TERN_SHAPE(steps * between(1, 3), between(1, 70));
}

static void make_variation(spec *s)
{
    input(s, some_clip(s), NORMAL, true);
}

static void make_variation_grad(spec *s)
{
    input(s, some_clip(s), NORMAL, false);
    input(s, TERN_SHAPE(1), NORMAL, false);
}

static void input_of(spec *s, tern_dtype dtype, tern_shape shape, values v)
{
    input(s, shape, v, false);
    s->in[s->nin - 1].dtype = dtype;
}

static void make_delta_levels(spec *s)
{
    some_quantised(s);
    input_of(s, TERN_I16, s->in[0].shape, COUNTS);
    input_of(s, TERN_I32, TERN_SHAPE(1), SPIKES);
}

/* The convolution of some case. */
static conv_case some_delta(spec *s)
{
    conv_case c = some_conv();
    ARGS(s, tern_delta_op, c.stride, c.pad, c.dilation, c.groups, below(2), below(4) == 0);
    if (below(4) == 0 && c.groups == 1) c.o = between(30, 70); /* more than a task's */
    return c;
}

static void make_delta_weight(spec *s)
{
    conv_case c = some_delta(s);
    input(s, TERN_SHAPE(c.o, c.c / c.groups, c.k, c.k), NORMAL, false);
    input(s, TERN_SHAPE(c.o), NORMAL, false);
    input(s, TERN_SHAPE(below(2) ? c.c : 1), POSITIVE, false);
}

static void make_delta_product(spec *s)
{
    conv_case c = some_delta(s);
    bool integer = ((const tern_delta_op *)(const void *)s->args)->integer;
    tern_shape bias = TERN_SHAPE(c.o), w = TERN_SHAPE(c.c, c.k, c.k, c.o / c.groups);
    input_of(s, integer ? TERN_I32 : TERN_F32, TERN_SHAPE(c.n, c.oh, c.ow, c.o), integer ? COUNTS : NORMAL);
    input_of(s, TERN_I32, TERN_SHAPE(c.n, c.c, c.h, c.w), COUNTS);
    input_of(s, integer ? TERN_I8 : TERN_F32, w, integer ? COUNTS : NORMAL);
    input_of(s, integer ? TERN_I32 : TERN_F32, bias, integer ? COUNTS : NORMAL);
    input_of(s, TERN_I32, TERN_SHAPE(1), SPIKES);
    if (integer) input(s, bias, POSITIVE, false);
}

#endif
