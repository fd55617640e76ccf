/* Element by element, two operands or three, with numpy-style broadcasting. */
#include "op/element.h"

#include <math.h>

static tern_value sum_to_input(tern_grad *c, int i, tern_value d)
{
    return tern_sum_to(c->graph, d, tern_shape_of(c->graph, c->node->in[i]));
}

static tern_status add_grad(tern_grad *c)
{
    for (int i = 0; i < 2; i++)
        if (c->need[i]) c->din[i] = sum_to_input(c, i, c->dout[0]);
    return TERN_OK;
}

static tern_status subtract_grad(tern_grad *c)
{
    if (c->need[0]) c->din[0] = sum_to_input(c, 0, c->dout[0]);
    if (c->need[1]) c->din[1] = sum_to_input(c, 1, tern_negate(c->graph, c->dout[0]));
    return TERN_OK;
}

static tern_status multiply_grad(tern_grad *c)
{
    for (int i = 0; i < 2; i++) {
        if (!c->need[i]) continue;
        c->din[i] = sum_to_input(c, i, tern_multiply(c->graph, c->dout[0], c->node->in[1 - i]));
    }
    return TERN_OK;
}

/* y = a/b: da = dy/b, db = -y*dy/b */
static tern_status divide_grad(tern_grad *c)
{
    tern_graph *g = c->graph;
    tern_value da = tern_divide(g, c->dout[0], c->node->in[1]);
    if (c->need[0]) c->din[0] = sum_to_input(c, 0, da);
    if (c->need[1]) c->din[1] = sum_to_input(c, 1, tern_multiply(g, da, tern_negate(g, c->node->out[0])));
    return TERN_OK;
}

/* dy to the operand that was chosen, half to each where they are equal. */
static tern_status chosen_grad(tern_grad *c, bool highest)
{
    for (int i = 0; i < 2; i++) {
        tern_value self = c->node->in[i], other = c->node->in[1 - i];
        tern_value in[] = {highest ? self : other, highest ? other : self, c->dout[0]};
        if (c->need[i])
            c->din[i] = sum_to_input(c, i, tern_apply(c->graph, &tern_op_maximum_grad, NULL, in, 3, NULL));
    }
    return TERN_OK;
}

static tern_status maximum_grad(tern_grad *c)
{
    return chosen_grad(c, true);
}

static tern_status minimum_grad(tern_grad *c)
{
    return chosen_grad(c, false);
}

static tern_status where_grad(tern_grad *c)
{
    tern_graph *g = c->graph;
    tern_value condition = c->node->in[0], zero = tern_scalar(g, 0);
    if (c->need[1]) c->din[1] = sum_to_input(c, 1, tern_where(g, condition, c->dout[0], zero));
    if (c->need[2]) c->din[2] = sum_to_input(c, 2, tern_where(g, condition, zero, c->dout[0]));
    return TERN_OK;
}

#define BINARY(name, doc, kind, expression)                                                                  \
    TERN_ELEMENT_OP(name, doc, TERN_ELEMENT_##kind, 2, NULL, 0, 1, name##_grad, expression)

BINARY(add, "a + b", ADD, x[0] + x[1])
BINARY(subtract, "a - b", SUBTRACT, x[0] - x[1])
BINARY(multiply, "a * b", MULTIPLY, x[0] * x[1])
BINARY(divide, "a / b", DIVIDE, x[0] / x[1])
BINARY(maximum, "the higher of a and b", MAXIMUM, x[0] > x[1] || isnan(x[0]) ? x[0] : x[1])
BINARY(minimum, "the lower of a and b", MINIMUM, x[0] < x[1] || isnan(x[0]) ? x[0] : x[1])
TERN_ELEMENT_OP(maximum_grad, "a, b, dy: dy where a > b, half of it where they are equal, else 0",
                TERN_ELEMENT_MAXIMUM_GRAD, 3, NULL, 0, 3, NULL,
                x[0] == x[1]  ? x[2] / 2
                : x[0] > x[1] ? x[2]
                              : 0)
TERN_ELEMENT_OP(where, "condition, a, b: a where the condition is not 0, else b", TERN_ELEMENT_WHERE, 3, NULL,
                0, 2, where_grad, x[0] != 0 ? x[1] : x[2])

tern_value tern_add(tern_graph *graph, tern_value a, tern_value b)
{
    return tern_apply2(graph, &tern_op_add, a, b);
}

tern_value tern_subtract(tern_graph *graph, tern_value a, tern_value b)
{
    return tern_apply2(graph, &tern_op_subtract, a, b);
}

tern_value tern_multiply(tern_graph *graph, tern_value a, tern_value b)
{
    return tern_apply2(graph, &tern_op_multiply, a, b);
}

tern_value tern_divide(tern_graph *graph, tern_value a, tern_value b)
{
    return tern_apply2(graph, &tern_op_divide, a, b);
}

tern_value tern_maximum(tern_graph *graph, tern_value a, tern_value b)
{
    return tern_apply2(graph, &tern_op_maximum, a, b);
}

tern_value tern_minimum(tern_graph *graph, tern_value a, tern_value b)
{
    return tern_apply2(graph, &tern_op_minimum, a, b);
}

tern_value tern_where(tern_graph *graph, tern_value condition, tern_value a, tern_value b)
{
    return tern_apply(graph, &tern_op_where, NULL, (tern_value[]){condition, a, b}, 3, NULL);
}
