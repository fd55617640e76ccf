/* Highest and lowest values over neighbouring axes, and where they stand. */
#include "op/op.h"

#include "kernel/rows.h"

static const tern_arg extreme_args[] = {
    TERN_ARG(tern_reduce_args, axis, TERN_ARG_INT, "first axis"),
    TERN_ARG(tern_reduce_args, axes, TERN_ARG_INT, "number of axes"),
    TERN_ARG(tern_reduce_args, keep, TERN_ARG_BOOL, "reduced axes stay, with length 1"),
    {0},
};

/* Two outputs: the values, and the first index of each among the reduced elements. */
static tern_status extreme_infer(tern_infer *types)
{
    tern_shape shape;
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    TERN_TRY(tern_reduced_shape(types, &shape));
    if (tern_elements(&types->in[0]->shape) == 0)
        return tern_infer_fail(types, "an empty tensor has neither highest nor lowest");
    tern_infer_out(types, types->in[0]->dtype == TERN_BIT ? TERN_F32 : types->in[0]->dtype, shape);
    tern_infer_out(types, TERN_I32, shape);
    return TERN_OK;
}

static void extreme_define(const tern_call *call, double sign)
{
    tern_reduce_view v = tern_reduce_view_of(&call->in[0].shape, call->args);
    for (int64_t o = 0; o < v.outer; o++) {
        for (int64_t i = 0; i < v.inner; i++) {
            int64_t best = 0;
            const tern_tensor *x = &call->in[0];
            for (int64_t k = 1; k < v.length; k++) {
                double candidate = sign * tern_get(x, (o * v.length + k) * v.inner + i);
                if (candidate > sign * tern_get(x, (o * v.length + best) * v.inner + i)) best = k;
            }
            if (call->out[0].data)
                tern_set(&call->out[0], o * v.inner + i, tern_get(x, (o * v.length + best) * v.inner + i));
            if (call->out[1].data) tern_set(&call->out[1], o * v.inner + i, (double)best);
            if (call->counter) call->counter->elementwise += (double)v.length;
        }
    }
}

static void max_run(const tern_call *call)
{
    extreme_define(call, 1);
}

static void min_run(const tern_call *call)
{
    extreme_define(call, -1);
}

static bool extreme_matches(const tern_call *call)
{
    return call->in[0].dtype == TERN_F32;
}

static void extreme_fast(const tern_call *call)
{
    tern_reduce_view v = tern_reduce_view_of(&call->in[0].shape, call->args);
    tern_extreme_loop(call->pool, v.outer, v.length, v.inner, call->op == &tern_op_max, call->in[0].data,
                      call->out[0].data, call->out[1].data);
}

static const tern_fast extreme_kernels[] = {{"rows", extreme_matches, NULL, extreme_fast}, {0}};

static tern_status extreme_grad(tern_grad *c)
{
    tern_value in[] = {c->node->in[0], c->node->out[1], c->dout[0]};
    if (c->dout[0].id) c->din[0] = tern_apply(c->graph, &tern_op_extreme_grad, c->node->args, in, 3, NULL);
    return TERN_OK;
}

#define EXTREME(name_, doc_)                                                                                 \
    const tern_op tern_op_##name_ = {                                                                        \
        .name = #name_,                                                                                      \
        .doc = doc_,                                                                                         \
        .args = extreme_args,                                                                                \
        .args_size = sizeof(tern_reduce_args),                                                               \
        .infer = extreme_infer,                                                                              \
        .grad = extreme_grad,                                                                                \
        .work = tern_work_inputs,                                                                            \
        .run = name_##_run,                                                                                  \
        .fast = extreme_kernels,                                                                             \
    };
EXTREME(max, "highest value over neighbouring axes, and its first index")
EXTREME(min, "lowest value over neighbouring axes, and its first index")

/* x (for its shape), index, dy -> dx: dy where the extreme stood, else 0 */
static tern_status extreme_grad_infer(tern_infer *types)
{
    tern_shape shape;
    char a[96], b[96], c[96];
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    TERN_TRY(tern_reduced_shape(types, &shape));
    const tern_type *index = types->in[1], *dy = types->in[2];
    if (!tern_shape_equal(&index->shape, &shape) || !tern_shape_equal(&dy->shape, &shape) ||
        index->dtype != TERN_I32)
        return tern_infer_fail(types, "index is %s %s and dy %s, expected i32 and %s for both",
                               tern_dtype_of(index->dtype)->name, tern_shape_text(a, &index->shape),
                               tern_shape_text(b, &dy->shape), tern_shape_text(c, &shape));
    tern_infer_out(types, dy->dtype, types->in[0]->shape);
    return TERN_OK;
}

static void extreme_grad_run(const tern_call *call)
{
    tern_reduce_view v = tern_reduce_view_of(&call->in[0].shape, call->args);
    const tern_tensor *dx = &call->out[0];
    for (int64_t i = 0; i < v.outer * v.length * v.inner; i++) tern_set(dx, i, 0);
    for (int64_t i = 0; i < v.outer * v.inner; i++) {
        int64_t at = (int64_t)tern_get(&call->in[1], i);
        if (call->counter) call->counter->elementwise++;
        if (at < 0 || at >= v.length) continue;
        tern_set(dx, (i / v.inner * v.length + at) * v.inner + i % v.inner, tern_get(&call->in[2], i));
    }
}

static void extreme_grad_work(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)tern_elements(&call->in[2].shape);
}

const tern_op tern_op_extreme_grad = {
    .name = "extreme_grad",
    .doc = "gradient of max and min: to the element that was chosen",
    .args = extreme_args,
    .args_size = sizeof(tern_reduce_args),
    .infer = extreme_grad_infer,
    .work = extreme_grad_work,
    .run = extreme_grad_run,
};

tern_value tern_max_with(tern_graph *graph, tern_value x, tern_reduce_args args)
{
    return tern_apply(graph, &tern_op_max, &args, &x, 1, NULL);
}

tern_value tern_min_with(tern_graph *graph, tern_value x, tern_reduce_args args)
{
    return tern_apply(graph, &tern_op_min, &args, &x, 1, NULL);
}

tern_value tern_argmax_with(tern_graph *graph, tern_value x, tern_reduce_args args)
{
    tern_value out[2] = {{0}};
    tern_apply(graph, &tern_op_max, &args, &x, 1, out);
    return out[1];
}

tern_value tern_argmin_with(tern_graph *graph, tern_value x, tern_reduce_args args)
{
    tern_value out[2] = {{0}};
    tern_apply(graph, &tern_op_min, &args, &x, 1, out);
    return out[1];
}
