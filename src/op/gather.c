/* Elements by index along an axis, and sums up to each element of an axis. */
#include "op/op.h"

typedef struct tern_axis_op {
    int axis;
    bool reverse; /* cumulative_sum */
} tern_axis_op;
static const tern_arg gather_args[] = {TERN_ARG(tern_axis_op, axis, TERN_ARG_INT, "axis"), {0}};

/* x and an index (i32) that agree in all axes but one. */
static tern_status check_index(tern_infer *types)
{
    const tern_type *x = types->in[0], *index = types->in[1];
    int axis = ((const tern_axis_op *)types->args)->axis;
    char a[96], b[96];
    if (index->dtype != TERN_I32)
        return tern_infer_fail(types, "the index is %s, expected i32", tern_dtype_of(index->dtype)->name);
    if (axis < 0 || axis >= x->shape.rank)
        return tern_infer_fail(types, "axis %d is not in %s", axis, tern_shape_text(a, &x->shape));
    tern_shape like = index->shape;
    if (like.rank == x->shape.rank) like.dim[axis] = x->shape.dim[axis];
    if (!tern_shape_equal(&like, &x->shape))
        return tern_infer_fail(types, "x is %s and the index %s: expected the same but for axis %d",
                               tern_shape_text(a, &x->shape), tern_shape_text(b, &index->shape), axis);
    return TERN_OK;
}

static tern_status gather_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    TERN_TRY(check_index(types));
    tern_infer_out(types, types->in[0]->dtype, types->in[1]->shape);
    return TERN_OK;
}

/* Element of x that element i of the index names, or -1. */
static int64_t source_of(const tern_call *call, int64_t i)
{
    const tern_shape *x = &call->in[0].shape, *index = &call->in[1].shape;
    int axis = TERN_ARGS(tern_axis_op, call)->axis;
    int64_t inner = tern_elements_from(index, axis + 1), length = x->dim[axis];
    int64_t at = (int64_t)tern_get(&call->in[1], i);
    if (at < 0 || at >= length) return -1;
    return (i / inner / index->dim[axis] * length + at) * inner + i % inner;
}

static void gather_run(const tern_call *call)
{
    int64_t n = tern_elements(&call->out[0].shape);
    for (int64_t i = 0; i < n; i++) {
        int64_t from = source_of(call, i);
        tern_set(&call->out[0], i, from < 0 ? 0 : tern_get(&call->in[0], from));
    }
}

static tern_status gather_grad(tern_grad *c)
{
    tern_value in[] = {c->node->in[0], c->node->in[1], c->dout[0]};
    if (c->need[0]) c->din[0] = tern_apply(c->graph, &tern_op_gather_grad, c->node->args, in, 3, NULL);
    return TERN_OK;
}

const tern_op tern_op_gather = {
    .name = "gather",
    .doc = "elements by index along an axis; an index outside gives 0",
    .args = gather_args,
    .args_size = sizeof(tern_axis_op),
    .infer = gather_infer,
    .grad = gather_grad,
    .work = tern_no_work,
    .run = gather_run,
};

/* x (for its shape), index, dy -> dx: elements of dy added where they came from */
static tern_status gather_grad_infer(tern_infer *types)
{
    char a[96], b[96];
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    TERN_TRY(check_index(types));
    if (!tern_shape_equal(&types->in[2]->shape, &types->in[1]->shape))
        return tern_infer_fail(types, "dy is %s, expected %s as the index",
                               tern_shape_text(a, &types->in[2]->shape),
                               tern_shape_text(b, &types->in[1]->shape));
    tern_infer_out(types, types->in[2]->dtype, types->in[0]->shape);
    return TERN_OK;
}

static void gather_grad_run(const tern_call *call)
{
    const tern_tensor *dx = &call->out[0], *dy = &call->in[2];
    int64_t n = tern_elements(&dy->shape), all = tern_elements(&dx->shape);
    for (int64_t i = 0; i < all; i++) tern_set(dx, i, 0);
    for (int64_t i = 0; i < n; i++) {
        int64_t to = source_of(call, i);
        if (to >= 0) tern_set(dx, to, tern_get(dx, to) + tern_get(dy, i));
        if (call->counter) call->counter->elementwise++;
    }
}

static void last_input_work(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)tern_elements(&call->in[call->nin - 1].shape);
}

const tern_op tern_op_gather_grad = {
    .name = "gather_grad",
    .doc = "gradient of gather",
    .args = gather_args,
    .args_size = sizeof(tern_axis_op),
    .infer = gather_grad_infer,
    .work = last_input_work,
    .run = gather_grad_run,
};

tern_value tern_gather(tern_graph *graph, tern_value x, tern_value index, int axis)
{
    return tern_apply(graph, &tern_op_gather, &(tern_axis_op){.axis = axis}, (tern_value[]){x, index}, 2,
                      NULL);
}

/* ---- cumulative_sum: y[k] = x[0] + .. + x[k] along an axis, or from its end ------------------------------------ */

static const tern_arg cumulative_args[] = {
    TERN_ARG(tern_axis_op, axis, TERN_ARG_INT, "axis"),
    TERN_ARG(tern_axis_op, reverse, TERN_ARG_BOOL, "from the last element to the first"),
    {0},
};

static tern_status cumulative_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    const tern_type *x = types->in[0];
    int axis = ((const tern_axis_op *)types->args)->axis;
    char text[96];
    if (axis < 0 || axis >= x->shape.rank)
        return tern_infer_fail(types, "axis %d is not in %s", axis, tern_shape_text(text, &x->shape));
    tern_infer_out(types, x->dtype == TERN_F64 ? TERN_F64 : TERN_F32, x->shape);
    return TERN_OK;
}

static void cumulative_run(const tern_call *call)
{
    const tern_axis_op *a = call->args;
    const tern_shape *s = &call->in[0].shape;
    int64_t inner = tern_elements_from(s, a->axis + 1), length = s->dim[a->axis], n = tern_elements(s);
    for (int64_t i = 0; length > 0 && i < n / length; i++) {
        double sum = 0;
        for (int64_t k = 0; k < length; k++) {
            int64_t at = (i / inner * length + (a->reverse ? length - 1 - k : k)) * inner + i % inner;
            sum += tern_get(&call->in[0], at);
            tern_set(&call->out[0], at, sum);
            if (call->counter) call->counter->elementwise++;
        }
    }
}

static tern_status cumulative_grad(tern_grad *c)
{
    tern_axis_op a = *(const tern_axis_op *)c->node->args;
    a.reverse = !a.reverse;
    c->din[0] = tern_apply(c->graph, &tern_op_cumulative_sum, &a, &c->dout[0], 1, NULL);
    return TERN_OK;
}

const tern_op tern_op_cumulative_sum = {
    .name = "cumulative_sum",
    .doc = "sum of the elements of an axis up to each",
    .args = cumulative_args,
    .args_size = sizeof(tern_axis_op),
    .infer = cumulative_infer,
    .grad = cumulative_grad,
    .work = last_input_work,
    .run = cumulative_run,
};

tern_value tern_cumulative_sum_with(tern_graph *graph, tern_value x, tern_cumulative_sum_args args)
{
    return tern_apply(graph, &tern_op_cumulative_sum, &(tern_axis_op){args.axis, args.reverse}, &x, 1, NULL);
}
