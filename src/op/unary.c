/* Element by element, one input: a function and its derivative are all that there is to say. */
#include "op/op.h"

#include "kernel/loops.h"

#include <math.h>

static tern_status unary_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    const tern_type *x = types->in[0];
    tern_infer_out(types, x->dtype == TERN_F64 ? TERN_F64 : TERN_F32, x->shape);
    return TERN_OK;
}

/* x, dy -> dx */
static tern_status slope_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    tern_infer_out(types, types->in[1]->dtype, types->in[0]->shape);
    return TERN_OK;
}

static void unary_run(const tern_call *call, double (*f)(double), bool slope)
{
    int64_t n = tern_elements(&call->out[0].shape);
    for (int64_t i = 0; i < n; i++) {
        double y = f(tern_get(&call->in[0], i));
        tern_set(&call->out[0], i, slope ? y * tern_get(&call->in[1], i) : y);
        if (call->counter) call->counter->elementwise++;
    }
}

static void unary_work(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)tern_elements(&call->out[0].shape);
}

static bool all_f32(const tern_call *call)
{
    for (int i = 0; i < call->nin; i++)
        if (call->in[i].dtype != TERN_F32) return false;
    return true;
}

/* UNARY(name, doc, f(x), f'(x), fast forward, fast gradient) makes the operator and its gradient. */
#define UNARY(name_, doc_, value, slope, fast_, fast_grad_)                                                  \
    static double name_##_value(double x)                                                                    \
    {                                                                                                        \
        return value;                                                                                        \
    }                                                                                                        \
    static double name_##_slope(double x)                                                                    \
    {                                                                                                        \
        return slope;                                                                                        \
    }                                                                                                        \
    static void name_##_run(const tern_call *call)                                                           \
    {                                                                                                        \
        unary_run(call, name_##_value, false);                                                               \
    }                                                                                                        \
    static void name_##_grad_run(const tern_call *call)                                                      \
    {                                                                                                        \
        unary_run(call, name_##_slope, true);                                                                \
    }                                                                                                        \
    static tern_status name_##_grad(tern_grad *c)                                                            \
    {                                                                                                        \
        c->din[0] = tern_apply2(c->graph, &tern_op_##name_##_grad, c->node->in[0], c->dout[0]);              \
        return TERN_OK;                                                                                      \
    }                                                                                                        \
    const tern_op tern_op_##name_ = {                                                                        \
        .name = #name_,                                                                                      \
        .doc = doc_,                                                                                         \
        .flags = TERN_OP_ELEMENTWISE,                                                                        \
        .inplace = {1},                                                                                      \
        .infer = unary_infer,                                                                                \
        .grad = name_##_grad,                                                                                \
        .work = unary_work,                                                                                  \
        .run = name_##_run,                                                                                  \
        .fast = fast_,                                                                                       \
    };                                                                                                       \
    const tern_op tern_op_##name_##_grad = {                                                                 \
        .name = #name_ "_grad",                                                                              \
        .doc = "gradient of " #name_,                                                                        \
        .flags = TERN_OP_ELEMENTWISE,                                                                        \
        .inplace = {2},                                                                                      \
        .infer = slope_infer,                                                                                \
        .work = unary_work,                                                                                  \
        .run = name_##_grad_run,                                                                             \
        .fast = fast_grad_,                                                                                  \
    };

static void relu_fast(const tern_call *call)
{
    int64_t n = tern_elements(&call->out[0].shape);
    tern_binary_loop(call->pool, TERN_LOOP_RELU, n, call->in[0].data, 1, call->in[0].data, 1,
                     call->out[0].data);
}

static void relu_grad_fast(const tern_call *call)
{
    int64_t n = tern_elements(&call->out[0].shape);
    tern_binary_loop(call->pool, TERN_LOOP_RELU_GRAD, n, call->in[0].data, 1, call->in[1].data, 1,
                     call->out[0].data);
}

static const tern_fast relu_kernels[] = {{"loop", all_f32, NULL, relu_fast}, {0}};
static const tern_fast relu_grad_kernels[] = {{"loop", all_f32, NULL, relu_grad_fast}, {0}};

UNARY(relu, "max(x, 0)", x > 0 ? x : 0, x > 0 ? 1 : 0, relu_kernels, relu_grad_kernels)

UNARY(sigmoid, "1 / (1 + e^-x)", 1 / (1 + exp(-x)), sigmoid_value(x) * (1 - sigmoid_value(x)), NULL, NULL)

tern_value tern_sigmoid(tern_graph *graph, tern_value x)
{
    return tern_apply1(graph, &tern_op_sigmoid, x);
}

tern_value tern_relu(tern_graph *graph, tern_value x)
{
    return tern_apply1(graph, &tern_op_relu, x);
}
