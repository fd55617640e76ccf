/* Cases of the operators that work element by element: part of op_cases.h. */
#ifndef TERN_OP_CASES_ELEMENTS_H
#define TERN_OP_CASES_ELEMENTS_H

/* A shape that broadcasts to `shape`: itself, one number, a row, or 1 along a random axis. */
static tern_shape some_operand(tern_shape shape)
{
    int kind = below(4);
    if (kind == 0) return TERN_SHAPE(1);
    if (kind == 1) return TERN_SHAPE(shape.dim[shape.rank - 1]);
    if (kind == 2) shape.dim[below(shape.rank)] = 1;
    return shape;
}

/* Two operands, of which one may be spikes and either smaller. */
static void two(spec *s, bool positive)
{
    tern_shape shape = below(20) ? some_shape() : TERN_SHAPE(between(1, 3), between(1, 30), between(1, 900));
    bool first = below(2), spikes = below(4) == 0;
    input(s, first ? shape : some_operand(shape), spikes ? SPIKES : NORMAL, !spikes);
    input(s, first ? some_operand(shape) : shape, positive ? POSITIVE : NORMAL, true);
}

static void make_binary(spec *s)
{
    two(s, false);
}

static void make_divide(spec *s)
{
    two(s, true);
}

static void make_maximum_grad(spec *s)
{
    two(s, false);
    input(s, some_operand(s->in[0].shape), NORMAL, false);
    s->smooth[0] = s->smooth[1] = false;
}

static void make_where(spec *s)
{
    tern_shape shape = some_shape();
    input(s, below(2) ? shape : some_operand(shape), SPIKES, false);
    input(s, shape, NORMAL, true);
    input(s, some_operand(shape), NORMAL, true);
}

static void make_unary(spec *s)
{
    input(s, some_shape(), NORMAL, true);
}

static void make_flat(spec *s)
{
    input(s, some_shape(), NORMAL, false);
}

static void make_unary_grad(spec *s)
{
    tern_shape shape = some_shape();
    input(s, shape, NORMAL, false);
    input(s, shape, NORMAL, false);
}

static void make_positive(spec *s)
{
    input(s, some_shape(), POSITIVE, true);
}

static void make_positive_grad(spec *s)
{
    tern_shape shape = some_shape();
    input(s, shape, POSITIVE, false);
    input(s, shape, NORMAL, false);
}

static void make_constants(spec *s)
{
    ARGS(s, tern_element_args, -0.7, 0.9);
    input(s, some_shape(), NORMAL, true);
}

static void make_constants_grad(spec *s)
{
    ARGS(s, tern_element_args, -0.7, 0.9);
    make_unary_grad(s);
}

static void make_power(spec *s)
{
    ARGS(s, tern_element_args, 4 * uniform() - 2, 0);
    make_positive(s);
}

static void make_power_grad(spec *s)
{
    ARGS(s, tern_element_args, 4 * uniform() - 2, 0);
    make_positive_grad(s);
}

/* out1 = a * b, out0 = gelu(a * b) + c: c may be smaller, b too or spikes. */
static void make_fused(spec *s)
{
    tern_shape shape = some_shape();
    tern_fused_op f;
    memset(&f, 0, sizeof f);
    f.shape = shape;
    f.inputs = 3;
    f.steps = 3;
    f.step[0] = (tern_fused_step){.op = &tern_op_multiply, .in = {0, 1}, .out = 1};
    f.step[1] = (tern_fused_step){.op = &tern_op_gelu, .in = {3}, .out = -1};
    f.step[2] = (tern_fused_step){.op = &tern_op_add, .in = {4, 2}, .out = 0};
    memcpy(s->args, &f, sizeof f);
    input(s, shape, NORMAL, false);
    input(s, some_operand(shape), below(3) ? NORMAL : SPIKES, false);
    input(s, some_operand(shape), NORMAL, false);
}

#define CURVE_CASES(name, make)                                                                              \
    {#name, make},                                                                                           \
    {                                                                                                        \
#name "_grad", make##_grad                                                                           \
    }
#define ELEMENT_CASES                                                                                        \
    {"add", make_binary}, {"subtract", make_binary}, {"multiply", make_binary}, {"divide", make_divide},     \
        {"maximum", make_binary}, {"minimum", make_binary}, {"maximum_grad", make_maximum_grad},             \
        {"where", make_where}, {"negate", make_unary}, {"heaviside", make_flat}, {"round", make_flat},       \
        {"floor", make_flat}, {"fused", make_fused}, CURVE_CASES(relu, make_unary),                          \
        CURVE_CASES(sigmoid, make_unary), CURVE_CASES(tanh, make_unary), CURVE_CASES(erf, make_unary),       \
        CURVE_CASES(gelu, make_unary), CURVE_CASES(gelu_tanh, make_unary), CURVE_CASES(silu, make_unary),    \
        CURVE_CASES(softplus, make_unary), CURVE_CASES(exp, make_unary), CURVE_CASES(log, make_positive),    \
        CURVE_CASES(sqrt, make_positive), CURVE_CASES(square, make_unary),                                   \
        CURVE_CASES(absolute, make_unary), CURVE_CASES(hard_sigmoid, make_unary),                            \
        CURVE_CASES(hard_swish, make_unary), CURVE_CASES(clip, make_constants),                              \
        CURVE_CASES(elu, make_constants), CURVE_CASES(leaky_relu, make_constants),                           \
        CURVE_CASES(power, make_power),

#endif
