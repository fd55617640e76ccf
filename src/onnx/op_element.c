/* ONNX operators that work element by element. */
#include "onnx/import.h"

#include <math.h>
#include <string.h>

/* A number that broadcasts to everything. */
static tern_value number(tern_onnx_call *c, double value)
{
    return tern_onnx_constant(c, (tern_shape){0}, &value);
}

/* Towards zero, as whole numbers are divided and reals become whole. */
static tern_value whole(tern_onnx_call *c, tern_value x)
{
    tern_graph *g = c->graph;
    tern_value below = tern_negate(g, tern_floor(g, tern_negate(g, x)));
    return tern_where(g, tern_heaviside(g, x), tern_floor(g, x), below);
}

static tern_value complement(tern_onnx_call *c, tern_value x)
{
    return tern_subtract(c->graph, number(c, 1), x);
}

/* ---- one operand: y over g, c and x ------------------------------------------------------------------------------ */

#define CURVE(name, y)                                                                                       \
    static tern_status map_##name(tern_onnx_call *c)                                                         \
    {                                                                                                        \
        tern_graph *g = c->graph;                                                                            \
        tern_value x = tern_onnx_in(c, 0);                                                                   \
        (void)g;                                                                                             \
        return tern_onnx_give(c, y);                                                                         \
    }

CURVE(relu, tern_relu(g, x))
CURVE(sigmoid, tern_sigmoid(g, x))
CURVE(tanh, tern_tanh(g, x))
CURVE(exp, tern_exp(g, x))
CURVE(log, tern_log(g, x))
CURVE(sqrt, tern_sqrt(g, x))
CURVE(abs, tern_absolute(g, x))
CURVE(neg, tern_negate(g, x))
CURVE(floor, tern_floor(g, x))
CURVE(ceil, tern_negate(g, tern_floor(g, tern_negate(g, x))))
CURVE(round, tern_round(g, x))
CURVE(erf, tern_erf(g, x))
CURVE(softplus, tern_softplus(g, x))
CURVE(softsign, tern_divide(g, x, tern_add(g, number(c, 1), tern_absolute(g, x))))
CURVE(hard_swish, tern_hard_swish(g, x))
CURVE(mish, tern_multiply(g, x, tern_tanh(g, tern_softplus(g, x))))
CURVE(reciprocal, tern_divide(g, number(c, 1), x))
CURVE(sign, tern_subtract(g, tern_heaviside(g, x), tern_heaviside(g, tern_negate(g, x))))
CURVE(not, complement(c, x))
CURVE(leaky_relu, tern_leaky_relu(g, x, tern_onnx_real(c, "alpha", 0.01)))
CURVE(elu, tern_elu(g, x, tern_onnx_real(c, "alpha", 1)))
CURVE(gelu, strcmp(tern_onnx_text(c, "approximate", "none"), "tanh") ? tern_gelu(g, x) : tern_gelu_tanh(g, x))
CURVE(selu, tern_multiply(g, number(c, tern_onnx_real(c, "gamma", 1.0507009873554804934)),
                          tern_elu(g, x, tern_onnx_real(c, "alpha", 1.6732632423543772848))))

/* max(0, min(1, alpha x + beta)) */
static tern_status map_hard_sigmoid(tern_onnx_call *c)
{
    tern_graph *g = c->graph;
    double alpha = tern_onnx_real(c, "alpha", 0.2), beta = tern_onnx_real(c, "beta", 0.5);
    tern_value x = tern_onnx_in(c, 0);
    if (fabs(alpha - 1.0 / 6) < 1e-7 && beta == 0.5) return tern_onnx_give(c, tern_hard_sigmoid(g, x));
    x = tern_add(g, tern_multiply(g, x, number(c, alpha)), number(c, beta));
    return tern_onnx_give(c, tern_clip(g, x, 0, 1));
}

/* Whether a number is in input i, and known. */
static bool scalar(tern_onnx_call *c, int i, double *value)
{
    const tern_onnx_operand *x = &c->in[i];
    const double *numbers;
    int count;
    if (!x->known && (!x->tensor || tern_onnx_is_parameter(x->tensor))) return false;
    if (tern_elements(&x->shape) != 1 || tern_onnx_known(c, i, "a number", &numbers, &count) != TERN_OK)
        return false;
    *value = numbers[0];
    return true;
}

static tern_status map_clip(tern_onnx_call *c)
{
    tern_graph *g = c->graph;
    double low = -INFINITY, high = INFINITY;
    tern_value x = tern_onnx_in(c, 0);
    bool low_known = !tern_onnx_has(c, 1) || scalar(c, 1, &low),
         high_known = !tern_onnx_has(c, 2) || scalar(c, 2, &high);
    if (low_known && high_known)
        return tern_onnx_give(c, low == 0 && isinf(high) ? tern_relu(g, x) : tern_clip(g, x, low, high));
    if (tern_onnx_has(c, 1)) x = tern_maximum(g, x, tern_onnx_in(c, 1));
    if (tern_onnx_has(c, 2)) x = tern_minimum(g, x, tern_onnx_in(c, 2));
    return tern_onnx_give(c, x);
}

static tern_status map_cast(tern_onnx_call *c)
{
    int64_t to = tern_onnx_int(c, "to", 0);
    bool real = to >= 0 && to < TERN_ONNX_TYPES && tern_onnx_is_real((int)to);
    tern_value x = tern_onnx_in(c, 0);
    if (to == TERN_ONNX_STRING || to < 1 || to >= TERN_ONNX_TYPES)
        return tern_onnx_fail(c, "casts to %s, expected numbers", tern_onnx_type_name((int)to));
    if (to == TERN_ONNX_BOOL)
        x = tern_where(c->graph, x, number(c, 1), number(c, 0));
    else if (!real && tern_onnx_is_real(c->in[0].type))
        x = whole(c, x);
    return tern_onnx_give_typed(c, x, (int)to);
}

/* The exponents that nets have are operators of their own. */
static tern_status map_pow(tern_onnx_call *c)
{
    tern_graph *g = c->graph;
    double p;
    tern_value x = tern_onnx_in(c, 0);
    if (!scalar(c, 1, &p)) return tern_onnx_fail(c, "the exponent must be one constant number");
    return tern_onnx_give(c, p == 1     ? x
                             : p == 2   ? tern_square(g, x)
                             : p == 0.5 ? tern_sqrt(g, x)
                                        : tern_power(g, x, p));
}

/* ---- two operands: y over g, c, a and b --------------------------------------------------------------------------------- */

#define PAIR(name, type, y)                                                                                  \
    static tern_status map_##name(tern_onnx_call *c)                                                         \
    {                                                                                                        \
        tern_graph *g = c->graph;                                                                            \
        tern_value a = tern_onnx_in(c, 0), b = tern_onnx_in(c, 1);                                           \
        return tern_onnx_give_typed(c, y, type);                                                             \
    }

PAIR(add, c->in[0].type, tern_add(g, a, b))
PAIR(sub, c->in[0].type, tern_subtract(g, a, b))
PAIR(mul, c->in[0].type, tern_multiply(g, a, b))
PAIR(greater_or_equal, TERN_ONNX_BOOL, tern_heaviside(g, tern_subtract(g, a, b)))
PAIR(less_or_equal, TERN_ONNX_BOOL, tern_heaviside(g, tern_subtract(g, b, a)))
PAIR(greater, TERN_ONNX_BOOL, complement(c, tern_heaviside(g, tern_subtract(g, b, a))))
PAIR(less, TERN_ONNX_BOOL, complement(c, tern_heaviside(g, tern_subtract(g, a, b))))
PAIR(equal, TERN_ONNX_BOOL,
     tern_multiply(g, tern_heaviside(g, tern_subtract(g, a, b)), tern_heaviside(g, tern_subtract(g, b, a))))
PAIR(and, TERN_ONNX_BOOL, tern_multiply(g, a, b))
PAIR(or, TERN_ONNX_BOOL, tern_maximum(g, a, b))
PAIR(xor, TERN_ONNX_BOOL, tern_absolute(g, tern_subtract(g, a, b)))
PAIR(prelu, c->in[0].type,
     tern_add(g, tern_relu(g, a), tern_multiply(g, b, tern_minimum(g, a, number(c, 0)))))

static tern_status map_div(tern_onnx_call *c)
{
    tern_value y = tern_divide(c->graph, tern_onnx_in(c, 0), tern_onnx_in(c, 1));
    return tern_onnx_give(c, tern_onnx_is_real(c->in[0].type) ? y : whole(c, y));
}

/* a - b times the whole part of a / b, which fmod takes towards zero, else downwards. */
static tern_status map_mod(tern_onnx_call *c)
{
    tern_graph *g = c->graph;
    tern_value a = tern_onnx_in(c, 0), b = tern_onnx_in(c, 1), ratio = tern_divide(g, a, b);
    ratio = tern_onnx_int(c, "fmod", 0) ? whole(c, ratio) : tern_floor(g, ratio);
    return tern_onnx_give(c, tern_subtract(g, a, tern_multiply(g, b, ratio)));
}

static tern_status map_where(tern_onnx_call *c)
{
    tern_value y = tern_where(c->graph, tern_onnx_in(c, 0), tern_onnx_in(c, 1), tern_onnx_in(c, 2));
    return tern_onnx_give_typed(c, y, c->in[1].type);
}

/* ---- any number of operands ----------------------------------------------------------------------------------------------- */

static tern_status each(tern_onnx_call *c, tern_value (*join)(tern_graph *, tern_value, tern_value),
                        bool mean)
{
    tern_value y = tern_onnx_in(c, 0);
    for (int i = 1; i < c->nin; i++) y = join(c->graph, y, tern_onnx_in(c, i));
    if (mean) y = tern_multiply(c->graph, y, number(c, 1.0 / c->nin));
    return tern_onnx_give(c, y);
}

static tern_status map_sum(tern_onnx_call *c)
{
    return each(c, tern_add, false);
}

static tern_status map_mean(tern_onnx_call *c)
{
    return each(c, tern_add, true);
}

static tern_status map_max(tern_onnx_call *c)
{
    return each(c, tern_maximum, false);
}

static tern_status map_min(tern_onnx_call *c)
{
    return each(c, tern_minimum, false);
}

const tern_onnx_row tern_onnx_element_rows[] = {{"Relu", map_relu, 1, 1},
                                                {"Sigmoid", map_sigmoid, 1, 1},
                                                {"Tanh", map_tanh, 1, 1},
                                                {"Exp", map_exp, 1, 1},
                                                {"Log", map_log, 1, 1},
                                                {"Sqrt", map_sqrt, 1, 1},
                                                {"Abs", map_abs, 1, 1},
                                                {"Neg", map_neg, 1, 1},
                                                {"Floor", map_floor, 1, 1},
                                                {"Ceil", map_ceil, 1, 1},
                                                {"Round", map_round, 1, 1},
                                                {"Erf", map_erf, 1, 1},
                                                {"Softplus", map_softplus, 1, 1},
                                                {"Softsign", map_softsign, 1, 1},
                                                {"HardSwish", map_hard_swish, 1, 1},
                                                {"Mish", map_mish, 1, 1},
                                                {"Reciprocal", map_reciprocal, 1, 1},
                                                {"Sign", map_sign, 1, 1},
                                                {"Not", map_not, 1, 1},
                                                {"LeakyRelu", map_leaky_relu, 1, 1},
                                                {"Elu", map_elu, 1, 1},
                                                {"Selu", map_selu, 1, 1},
                                                {"Gelu", map_gelu, 1, 1},
                                                {"HardSigmoid", map_hard_sigmoid, 1, 1},
                                                {"Clip", map_clip, 1, 3},
                                                {"Cast", map_cast, 1, 1},
                                                {"Pow", map_pow, 2, 2},
                                                {"Add", map_add, 2, 2},
                                                {"Sub", map_sub, 2, 2},
                                                {"Mul", map_mul, 2, 2},
                                                {"Div", map_div, 2, 2},
                                                {"Mod", map_mod, 2, 2},
                                                {"GreaterOrEqual", map_greater_or_equal, 2, 2},
                                                {"LessOrEqual", map_less_or_equal, 2, 2},
                                                {"Greater", map_greater, 2, 2},
                                                {"Less", map_less, 2, 2},
                                                {"Equal", map_equal, 2, 2},
                                                {"And", map_and, 2, 2},
                                                {"Or", map_or, 2, 2},
                                                {"Xor", map_xor, 2, 2},
                                                {"PRelu", map_prelu, 2, 2},
                                                {"Where", map_where, 3, 3},
                                                {"Sum", map_sum, 1, TERN_ONNX_MOST},
                                                {"Mean", map_mean, 1, TERN_ONNX_MOST},
                                                {"Max", map_max, 1, TERN_ONNX_MOST},
                                                {"Min", map_min, 1, TERN_ONNX_MOST},
                                                {0}};
