/* Element by element, one operand: a function and its derivative are all that there is to say. */
#include "op/element.h"

#include <math.h>

/* e^-|x| never overflows. */
static double logistic(double x)
{
    double e = exp(-fabs(x));
    return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

#define ROOT_HALF      0.70710678118654752440
#define ROOT_PI        1.77245385090551602730
#define ROOT_TWO_PI    2.50662827463100050242
#define NORMAL_CDF(x)  (0.5 * erfc(-(x)*ROOT_HALF))
#define ROOT_8_OVER_PI 1.59576912160573071176
#define CUBIC          0.044715
#define TANH_SLOPE(x)  (1 - tanh(x) * tanh(x))

#define CONSTANT(field, name_, doc_)                                                                         \
    {                                                                                                        \
        .name = name_, .kind = TERN_ARG_REAL, .offset = offsetof(tern_element_args, field), .doc = doc_      \
    }
static const tern_arg clip_args[] = {
    CONSTANT(p, "low", "lower limit"), CONSTANT(q, "high", "upper limit"), {0}};
static const tern_arg elu_args[] = {CONSTANT(p, "alpha", "minus the limit far below 0"), {0}};
static const tern_arg leaky_relu_args[] = {CONSTANT(p, "slope", "slope below 0"), {0}};
static const tern_arg power_args[] = {CONSTANT(p, "exponent", "exponent"), {0}};

/* An operator y = f(x), its layer function, and the operator dx = f'(x) dy; v stands for x. */
#define CURVE(name, doc, kind, args_, size, value, slope)                                                    \
    static tern_status name##_grad(tern_grad *c)                                                             \
    {                                                                                                        \
        tern_value in[] = {c->node->in[0], c->dout[0]};                                                      \
        c->din[0] = tern_apply(c->graph, &tern_op_##name##_grad, c->node->args, in, 2, NULL);                \
        return TERN_OK;                                                                                      \
    }                                                                                                        \
    TERN_ELEMENT_OP(name, doc, TERN_ELEMENT_##kind, 1, args_, size, 1, name##_grad, value)                   \
    TERN_ELEMENT_OP(name##_grad, "gradient of " #name, TERN_ELEMENT_##kind##_GRAD, 2, args_, size, 2, NULL,  \
                    (slope)*x[1])

#define PLAIN(name, doc, kind, value, slope)                                                                 \
    CURVE(name, doc, kind, NULL, 0, value, slope)                                                            \
    tern_value tern_##name(tern_graph *graph, tern_value x)                                                  \
    {                                                                                                        \
        return tern_apply1(graph, &tern_op_##name, x);                                                       \
    }

#define WITH_CONSTANTS(name, doc, kind, value, slope)                                                        \
    CURVE(name, doc, kind, name##_args, sizeof(tern_element_args), value, slope)

#define V x[0]
PLAIN(relu, "max(x, 0)", RELU, V > 0 ? V : 0, V > 0 ? 1 : 0)
PLAIN(sigmoid, "1 / (1 + e^-x)", SIGMOID, logistic(V), logistic(V) * logistic(-V))
PLAIN(tanh, "hyperbolic tangent", TANH, tanh(V), TANH_SLOPE(V))
PLAIN(erf, "error function", ERF, erf(V), 2 / ROOT_PI * exp(-V * V))
PLAIN(gelu, "x times the normal distribution function", GELU, V *NORMAL_CDF(V),
      NORMAL_CDF(V) + V * exp(-0.5 * V * V) / ROOT_TWO_PI)
PLAIN(gelu_tanh, "x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))): close to gelu", GELU_TANH,
      V *logistic(ROOT_8_OVER_PI *(V + CUBIC * V * V * V)),
      logistic(ROOT_8_OVER_PI *(V + CUBIC * V * V * V)) +
          V * ROOT_8_OVER_PI * (1 + 3 * CUBIC * V * V) * logistic(ROOT_8_OVER_PI * (V + CUBIC * V * V * V)) *
              logistic(-ROOT_8_OVER_PI * (V + CUBIC * V * V * V)))
PLAIN(silu, "x times sigmoid of x", SILU, V *logistic(V), logistic(V) * (1 + V * logistic(-V)))
PLAIN(softplus, "log(1 + e^x)", SOFTPLUS, fmax(V, 0) + log1p(exp(-fabs(V))), logistic(V))
PLAIN(exp, "e^x", EXP, exp(V), exp(V))
PLAIN(log, "natural logarithm", LOG, log(V), 1 / V)
PLAIN(sqrt, "square root", SQRT, sqrt(V), 0.5 / sqrt(V))
PLAIN(square, "x^2", SQUARE, V *V, 2 * V)
PLAIN(absolute, "magnitude of x", ABSOLUTE, fabs(V), (V > 0) - (V < 0))
PLAIN(hard_sigmoid, "x / 6 + 1/2 between 0 and 1", HARD_SIGMOID, fmin(fmax(V / 6 + 0.5, 0), 1),
      V > -3 && V < 3 ? 1.0 / 6 : 0)
PLAIN(hard_swish, "x times hard_sigmoid of x", HARD_SWISH, V *fmin(fmax(V / 6 + 0.5, 0), 1),
      V <= -3  ? 0
      : V >= 3 ? 1
               : V / 3 + 0.5)
WITH_CONSTANTS(clip, "x between two limits", CLIP, fmin(fmax(V, a->p), a->q), V > a->p && V < a->q ? 1 : 0)
WITH_CONSTANTS(elu, "x above 0, alpha (e^x - 1) below", ELU, V > 0 ? V : a->p * expm1(V),
               V > 0 ? 1 : a->p * exp(V))
WITH_CONSTANTS(leaky_relu, "x above 0, slope x below", LEAKY_RELU, V > 0 ? V : a->p * V, V > 0 ? 1 : a->p)
WITH_CONSTANTS(power, "x to a constant exponent", POWER, pow(V, a->p), a->p *pow(V, a->p - 1))

/* ---- the ones whose gradient needs no operator of its own ------------------------------------------------------- */

static tern_status negate_grad(tern_grad *c)
{
    c->din[0] = tern_negate(c->graph, c->dout[0]);
    return TERN_OK;
}

/* Flat but for jumps: nothing flows back. */
static tern_status flat_grad(tern_grad *c)
{
    (void)c;
    return TERN_OK;
}

#define SHORT(name, doc, kind, grad, value)                                                                  \
    TERN_ELEMENT_OP(name, doc, TERN_ELEMENT_##kind, 1, NULL, 0, 1, grad, value)                              \
    tern_value tern_##name(tern_graph *graph, tern_value x)                                                  \
    {                                                                                                        \
        return tern_apply1(graph, &tern_op_##name, x);                                                       \
    }
SHORT(negate, "-x", NEGATE, negate_grad, -V)
SHORT(heaviside, "1 where x >= 0, else 0", HEAVISIDE, flat_grad, V >= 0)
SHORT(round, "the nearest whole number, ties to even", ROUND, flat_grad, nearbyint(V))
SHORT(floor, "the highest whole number not above x", FLOOR, flat_grad, floor(V))
#undef V

tern_value tern_clip(tern_graph *graph, tern_value x, double low, double high)
{
    return tern_apply(graph, &tern_op_clip, &(tern_element_args){low, high}, &x, 1, NULL);
}

tern_value tern_elu(tern_graph *graph, tern_value x, double alpha)
{
    return tern_apply(graph, &tern_op_elu, &(tern_element_args){alpha, 0}, &x, 1, NULL);
}

tern_value tern_leaky_relu(tern_graph *graph, tern_value x, double slope)
{
    return tern_apply(graph, &tern_op_leaky_relu, &(tern_element_args){slope, 0}, &x, 1, NULL);
}

tern_value tern_power(tern_graph *graph, tern_value x, double exponent)
{
    return tern_apply(graph, &tern_op_power, &(tern_element_args){exponent, 0}, &x, 1, NULL);
}
