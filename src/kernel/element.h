/* element: functions of single elements, each written once as a vector loop (isa/element.c), and the driver that applies
 * one of them, or several one behind the other, in one pass over memory. */
#ifndef TERN_KERNEL_ELEMENT_H
#define TERN_KERNEL_ELEMENT_H

#include "kernel/kernel.h"

/* X(name, function): a, b, c are the operands, p and q constants of the operator.  Those that take dy are gradients. */
/* clang-format off */
#define TERN_ELEMENTS(X)                                                                                     \
    X(COPY, copy) X(ADD, add) X(SUBTRACT, subtract) X(MULTIPLY, multiply) X(DIVIDE, divide)                  \
    X(MAXIMUM, maximum) X(MINIMUM, minimum) X(MAXIMUM_GRAD, maximum_grad) X(WHERE, where) X(RELU, relu)      \
    X(RELU_GRAD, relu_grad) X(SIGMOID, sigmoid) X(SIGMOID_GRAD, sigmoid_grad) X(TANH, tanh)                  \
    X(TANH_GRAD, tanh_grad) X(GELU, gelu) X(GELU_GRAD, gelu_grad) X(SILU, silu) X(SILU_GRAD, silu_grad)      \
    X(SOFTPLUS, softplus) X(SOFTPLUS_GRAD, softplus_grad) X(EXP, exp) X(EXP_GRAD, exp_grad) X(LOG, log)      \
    X(LOG_GRAD, log_grad) X(SQRT, sqrt) X(SQRT_GRAD, sqrt_grad) X(SQUARE, square)                            \
    X(SQUARE_GRAD, square_grad) X(ABSOLUTE, absolute) X(ABSOLUTE_GRAD, absolute_grad) X(NEGATE, negate)      \
    X(HEAVISIDE, heaviside) X(ROUND, round) X(FLOOR, floor) X(CLIP, clip) X(CLIP_GRAD, clip_grad)            \
    X(ELU, elu) X(ELU_GRAD, elu_grad) X(LEAKY_RELU, leaky_relu) X(LEAKY_RELU_GRAD, leaky_relu_grad)          \
    X(HARD_SIGMOID, hard_sigmoid) X(HARD_SIGMOID_GRAD, hard_sigmoid_grad) X(HARD_SWISH, hard_swish)          \
    X(HARD_SWISH_GRAD, hard_swish_grad) X(GELU_TANH, gelu_tanh) X(GELU_TANH_GRAD, gelu_tanh_grad)            \
    X(POWER, power) X(POWER_GRAD, power_grad) X(ERF, erf) X(ERF_GRAD, erf_grad)
/* clang-format on */

/* Their numbers; 0 is none. */
#define TERN_ELEMENT_NUMBER(name, function) TERN_ELEMENT_##name,
typedef enum tern_element {
    TERN_ELEMENT_NONE,
    TERN_ELEMENTS(TERN_ELEMENT_NUMBER) TERN_ELEMENT_KINDS
} tern_element;

#define TERN_ELEMENT_INPUTS  12 /* arrays that one pass reads at most */
#define TERN_ELEMENT_OUTPUTS 4  /* and writes */
#define TERN_ELEMENT_STEPS   16

/* An array read at element sum over axes of stride[axis] * coordinate; 0 where it is broadcast. */
typedef struct tern_element_operand {
    const void *data; /* f32, or bits */
    bool bits;
    int64_t stride[6]; /* of bits the innermost is 0 or 1 */
} tern_element_operand;

/* kind(in..) with constants; in[i] is operand in[i], or the result of step in[i] - inputs. */
typedef struct tern_element_step {
    tern_element kind;
    int in[3];
    float constants[2];
    float *out; /* where the result is wanted in memory (contiguous), or NULL */
} tern_element_step;

/* Every operand and result has the coordinates dim[rank].  The result of a step may stand in the memory of a contiguous
 * operand of the same size when no later step reads that operand. */
typedef struct tern_element_pass {
    int rank, inputs, steps;
    int64_t dim[6];
    tern_element_operand in[TERN_ELEMENT_INPUTS];
    tern_element_step step[TERN_ELEMENT_STEPS];
} tern_element_pass;

void tern_element_run(tern_pool *pool, const tern_element_pass *pass);

/* n elements in a row; in[i] n floats, and y may be one of them. */
typedef void tern_element_loop(int64_t n, const float *const *in, const float *constants, float *y);

#endif
