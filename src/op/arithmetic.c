/* Element by element: a op b with numpy-style broadcasting.  Any format in; f64 if either is f64, else f32 out. */
#include "op/op.h"

#include "kernel/loops.h"

static tern_status binary_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    const tern_type *a = types->in[0], *b = types->in[1];
    tern_shape shape;
    if (!tern_broadcast(&a->shape, &b->shape, &shape)) {
        char ta[96], tb[96];
        return tern_infer_fail(types, "shapes %s and %s do not broadcast: dimensions must be equal or 1",
                               tern_shape_text(ta, &a->shape), tern_shape_text(tb, &b->shape));
    }
    tern_infer_out(types, a->dtype == TERN_F64 || b->dtype == TERN_F64 ? TERN_F64 : TERN_F32, shape);
    return TERN_OK;
}

static void binary_run(const tern_call *call, double (*f)(double, double))
{
    const tern_tensor *a = &call->in[0], *b = &call->in[1], *y = &call->out[0];
    int64_t n = tern_elements(&y->shape);
    for (int64_t i = 0; i < n; i++) {
        double va = tern_get(a, tern_broadcast_index(&y->shape, &a->shape, i));
        double vb = tern_get(b, tern_broadcast_index(&y->shape, &b->shape, i));
        tern_set(y, i, f(va, vb));
        if (call->counter) call->counter->elementwise++;
    }
}

static void binary_work(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)tern_elements(&call->out[0].shape);
}

static tern_status add_grad(tern_grad *c)
{
    for (int i = 0; i < 2; i++)
        if (c->need[i])
            c->din[i] = tern_sum_to(c->graph, c->dout[0], tern_shape_of(c->graph, c->node->in[i]));
    return TERN_OK;
}

static tern_status subtract_grad(tern_grad *c)
{
    tern_graph *g = c->graph;
    if (c->need[0]) c->din[0] = tern_sum_to(g, c->dout[0], tern_shape_of(g, c->node->in[0]));
    if (c->need[1]) {
        tern_value minus = tern_apply2(g, &tern_op_multiply, c->dout[0], tern_scalar(g, -1.0));
        c->din[1] = tern_sum_to(g, minus, tern_shape_of(g, c->node->in[1]));
    }
    return TERN_OK;
}

static tern_status multiply_grad(tern_grad *c)
{
    tern_graph *g = c->graph;
    for (int i = 0; i < 2; i++) {
        if (!c->need[i]) continue;
        tern_value d = tern_apply2(g, &tern_op_multiply, c->dout[0], c->node->in[1 - i]);
        c->din[i] = tern_sum_to(g, d, tern_shape_of(g, c->node->in[i]));
    }
    return TERN_OK;
}

/* y = a/b: da = dy/b, db = -y*dy/b */
static tern_status divide_grad(tern_grad *c)
{
    tern_graph *g = c->graph;
    tern_value da = tern_apply2(g, &tern_op_divide, c->dout[0], c->node->in[1]);
    if (c->need[0]) c->din[0] = tern_sum_to(g, da, tern_shape_of(g, c->node->in[0]));
    if (c->need[1]) {
        tern_value y = tern_apply2(g, &tern_op_multiply, c->node->out[0], tern_scalar(g, -1.0));
        c->din[1] =
            tern_sum_to(g, tern_apply2(g, &tern_op_multiply, da, y), tern_shape_of(g, c->node->in[1]));
    }
    return TERN_OK;
}

/* f32 of equal shapes, or one of the two a single number. */
static bool binary_matches(const tern_call *call)
{
    const tern_tensor *a = &call->in[0], *b = &call->in[1];
    int64_t n = tern_elements(&call->out[0].shape), na = tern_elements(&a->shape),
            nb = tern_elements(&b->shape);
    return a->dtype == TERN_F32 && b->dtype == TERN_F32 && (na == n || na == 1) && (nb == n || nb == 1);
}

static void binary_fast(const tern_call *call, tern_loop_kind kind)
{
    const tern_tensor *a = &call->in[0], *b = &call->in[1];
    int64_t n = tern_elements(&call->out[0].shape);
    tern_binary_loop(call->pool, kind, n, a->data, tern_elements(&a->shape) == n, b->data,
                     tern_elements(&b->shape) == n, call->out[0].data);
}

#define BINARY(name_, doc_, kind, expression)                                                                \
    static double name_##_of(double a, double b)                                                             \
    {                                                                                                        \
        return expression;                                                                                   \
    }                                                                                                        \
    static void name_##_run(const tern_call *call)                                                           \
    {                                                                                                        \
        binary_run(call, name_##_of);                                                                        \
    }                                                                                                        \
    static void name_##_fast(const tern_call *call)                                                          \
    {                                                                                                        \
        binary_fast(call, kind);                                                                             \
    }                                                                                                        \
    static const tern_fast name_##_kernels[] = {{"loop", binary_matches, NULL, name_##_fast}, {0}};          \
    const tern_op tern_op_##name_ = {                                                                        \
        .name = #name_,                                                                                      \
        .doc = doc_,                                                                                         \
        .flags = TERN_OP_ELEMENTWISE,                                                                        \
        .inplace = {1},                                                                                      \
        .infer = binary_infer,                                                                               \
        .grad = name_##_grad,                                                                                \
        .work = binary_work,                                                                                 \
        .run = name_##_run,                                                                                  \
        .fast = name_##_kernels,                                                                             \
    };

BINARY(add, "a + b", TERN_LOOP_ADD, a + b)
BINARY(subtract, "a - b", TERN_LOOP_SUBTRACT, a - b)
BINARY(multiply, "a * b", TERN_LOOP_MULTIPLY, a *b)
BINARY(divide, "a / b", TERN_LOOP_DIVIDE, a / b)
