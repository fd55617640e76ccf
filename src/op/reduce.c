/* Sums and means over neighbouring axes, and their opposite: repeating over a new leading axis. */
#include "op/element.h"

#include "kernel/loops.h"

#include <stdio.h>
#include <string.h>

#define REDUCE_ARG(field, kind, doc) TERN_ARG(tern_reduce_args, field, kind, doc)
static const tern_arg reduce_args[] = {
    REDUCE_ARG(axis, TERN_ARG_INT, "first axis"),
    REDUCE_ARG(axes, TERN_ARG_INT, "number of axes"),
    REDUCE_ARG(keep, TERN_ARG_BOOL, "reduced axes stay, with length 1"),
    {0},
};

tern_status tern_reduced_shape(tern_infer *types, tern_shape *shape)
{
    const tern_reduce_args *a = types->args;
    const tern_shape *x = &types->in[0]->shape;
    char text[96];
    if (a->axis < 0 || a->axes < 1 || a->axis + a->axes > x->rank)
        return tern_infer_fail(types, "axes %d to %d are not in %s", a->axis, a->axis + a->axes - 1,
                               tern_shape_text(text, x));
    *shape = (tern_shape){0};
    for (int i = 0; i < x->rank; i++) {
        bool reduced = i >= a->axis && i < a->axis + a->axes;
        if (!reduced)
            shape->dim[shape->rank++] = x->dim[i];
        else if (a->keep)
            shape->dim[shape->rank++] = 1;
    }
    if (shape->rank == 0) *shape = TERN_SHAPE(1);
    return TERN_OK;
}

static tern_status reduce_infer(tern_infer *types)
{
    tern_shape y;
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    TERN_TRY(tern_reduced_shape(types, &y));
    tern_infer_out(types, types->in[0]->dtype == TERN_F64 ? TERN_F64 : TERN_F32, y);
    return TERN_OK;
}

tern_reduce_view tern_reduce_view_of(const tern_shape *x, const tern_reduce_args *a)
{
    int64_t inner = tern_elements_from(x, a->axis + a->axes);
    int64_t outer = tern_elements_upto(x, a->axis);
    int64_t rest = outer * inner;
    return (tern_reduce_view){outer, rest ? tern_elements(x) / rest : 0, inner};
}

static void reduce_run(const tern_call *call, bool mean)
{
    tern_reduce_view v = tern_reduce_view_of(&call->in[0].shape, call->args);
    for (int64_t o = 0; o < v.outer; o++) {
        for (int64_t i = 0; i < v.inner; i++) {
            double sum = 0;
            for (int64_t k = 0; k < v.length; k++)
                sum += tern_get(&call->in[0], (o * v.length + k) * v.inner + i);
            tern_set(&call->out[0], o * v.inner + i, mean ? sum / (double)v.length : sum);
            if (call->counter) call->counter->elementwise += (double)v.length;
        }
    }
}

static void sum_run(const tern_call *call)
{
    reduce_run(call, false);
}

static void mean_run(const tern_call *call)
{
    reduce_run(call, true);
}

static tern_status reduce_emit(const tern_call *call, tern_emit *to, bool mean)
{
    tern_reduce_view v = tern_reduce_view_of(&call->in[0].shape, call->args);
    long long length = v.length, inner = v.inner;
    char index[96], share[32] = "";
    snprintf(index, sizeof index, "(o * %lld + k) * %lld + i", length, inner);
    if (mean) snprintf(share, sizeof share, " / %lld", length);
    tern_text_format(to->text,
                     "    for (int o = 0; o < %lld; o++)\n"
                     "    for (int i = 0; i < %lld; i++) {\n"
                     "        double sum = 0;\n"
                     "        for (int k = 0; k < %lld; k++) sum += %s;\n"
                     "        out0[o * %lld + i] = (float)(sum%s);\n"
                     "    }\n",
                     (long long)v.outer, inner, length, tern_write_read(call, 0, index).text, inner, share);
    return TERN_OK;
}

static tern_status sum_emit(const tern_call *call, tern_emit *to)
{
    return reduce_emit(call, to, false);
}

static tern_status mean_emit(const tern_call *call, tern_emit *to)
{
    return reduce_emit(call, to, true);
}

static bool reduce_matches(const tern_call *call)
{
    return call->in[0].dtype == TERN_F32 || call->in[0].dtype == TERN_BIT;
}

/* Spikes are summed as floats. */
static size_t reduce_scratch(const tern_call *call)
{
    return call->in[0].dtype == TERN_BIT ? (size_t)tern_elements(&call->in[0].shape) * sizeof(float) : 0;
}

static const float *floats_of(const tern_call *call)
{
    if (call->in[0].dtype == TERN_F32) return call->in[0].data;
    tern_bits_to_f32(call->pool, call->in[0].data, 0, tern_elements(&call->in[0].shape), call->scratch);
    return call->scratch;
}

static void sum_fast(const tern_call *call)
{
    tern_reduce_view v = tern_reduce_view_of(&call->in[0].shape, call->args);
    tern_sum_loop(call->pool, v.outer, v.length, v.inner, floats_of(call), 1, call->out[0].data);
}

static void mean_fast(const tern_call *call)
{
    tern_reduce_view v = tern_reduce_view_of(&call->in[0].shape, call->args);
    float share = 1 / (float)v.length;
    tern_sum_loop(call->pool, v.outer, v.length, v.inner, floats_of(call), share, call->out[0].data);
}

static const tern_fast sum_kernels[] = {{"loop", reduce_matches, reduce_scratch, sum_fast}, {0}};
static const tern_fast mean_kernels[] = {{"loop", reduce_matches, reduce_scratch, mean_fast}, {0}};

/* The gradient spreads back: a broadcast product with ones (sum) or 1/length (mean). */
static tern_value spread(tern_grad *c, double factor)
{
    tern_graph *g = c->graph;
    const tern_reduce_args *a = c->node->args;
    tern_shape x = tern_shape_of(g, c->node->in[0]), kept = x;
    for (int i = a->axis; i < a->axis + a->axes; i++) kept.dim[i] = 1;
    tern_value d = tern_reshape(g, c->dout[0], kept);
    return tern_expand(g, factor == 1 ? d : tern_apply2(g, &tern_op_multiply, d, tern_scalar(g, factor)), x);
}

static tern_status sum_grad(tern_grad *c)
{
    c->din[0] = spread(c, 1);
    return TERN_OK;
}

static tern_status mean_grad(tern_grad *c)
{
    tern_shape x = tern_shape_of(c->graph, c->node->in[0]);
    c->din[0] = spread(c, 1.0 / (double)tern_reduce_view_of(&x, c->node->args).length);
    return TERN_OK;
}

const tern_op tern_op_sum = {
    .name = "sum",
    .doc = "sum over neighbouring axes",
    .args = reduce_args,
    .args_size = sizeof(tern_reduce_args),
    .infer = reduce_infer,
    .grad = sum_grad,
    .work = tern_work_inputs,
    .run = sum_run,
    .emit = sum_emit,
    .fast = sum_kernels,
};

const tern_op tern_op_mean = {
    .name = "mean",
    .doc = "mean over neighbouring axes",
    .args = reduce_args,
    .args_size = sizeof(tern_reduce_args),
    .infer = reduce_infer,
    .grad = mean_grad,
    .work = tern_work_inputs,
    .run = mean_run,
    .emit = mean_emit,
    .fast = mean_kernels,
};

tern_value tern_sum_with(tern_graph *graph, tern_value x, tern_reduce_args args)
{
    return tern_apply(graph, &tern_op_sum, &args, &x, 1, NULL);
}

tern_value tern_mean_with(tern_graph *graph, tern_value x, tern_reduce_args args)
{
    return tern_apply(graph, &tern_op_mean, &args, &x, 1, NULL);
}

tern_value tern_sum_to(tern_graph *graph, tern_value value, tern_shape shape)
{
    tern_shape from = tern_shape_of(graph, value);
    int extra = from.rank - shape.rank;
    if (tern_shape_equal(&from, &shape)) return value;
    if (extra > 0) value = tern_sum(graph, value, .axis = 0, .axes = extra);
    for (int i = 0; i < shape.rank; i++) {
        if (shape.dim[i] == 1 && from.dim[i + extra] != 1)
            value = tern_sum(graph, value, .axis = i, .keep = true);
    }
    from = tern_shape_of(graph, value);
    return tern_shape_equal(&from, &shape) ? value : tern_reshape(graph, value, shape);
}

/* ---- expand: broadcast to a shape ---------------------------------------------------------------------------- */

typedef struct tern_expand_op {
    tern_shape shape;
} tern_expand_op;
static const tern_arg expand_args[] = {
    TERN_ARG(tern_expand_op, shape, TERN_ARG_DIMS, "shape to broadcast to"), {0}};

static tern_status expand_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    const tern_expand_op *a = types->args;
    tern_shape shape;
    char from[96], to[96];
    if (!tern_broadcast(&types->in[0]->shape, &a->shape, &shape) || !tern_shape_equal(&shape, &a->shape))
        return tern_infer_fail(types, "%s does not broadcast to %s",
                               tern_shape_text(from, &types->in[0]->shape), tern_shape_text(to, &a->shape));
    tern_infer_out(types, types->in[0]->dtype, shape);
    return TERN_OK;
}

static void expand_run(const tern_call *call)
{
    const tern_tensor *x = &call->in[0], *y = &call->out[0];
    int64_t n = tern_elements(&y->shape);
    for (int64_t i = 0; i < n; i++)
        tern_set(y, i, tern_get(x, tern_broadcast_index(&y->shape, &x->shape, i)));
}

static tern_status expand_emit(const tern_call *call, tern_emit *to)
{
    tern_write_copy(to, call, tern_write_place(&call->in[0].shape, &call->out[0].shape).text);
    return TERN_OK;
}

static bool expand_matches(const tern_call *call)
{
    return call->in[0].dtype == TERN_F32;
}

static void expand_fast(const tern_call *call)
{
    const tern_shape *shape = &call->out[0].shape;
    tern_element_pass pass = {.rank = shape->rank, .inputs = 1, .steps = 1};
    for (int i = 0; i < shape->rank; i++) pass.dim[i] = shape->dim[i];
    pass.in[0] = tern_element_operand_of(&call->in[0], shape);
    pass.step[0] = (tern_element_step){.kind = TERN_ELEMENT_COPY, .out = call->out[0].data};
    tern_element_run(call->pool, &pass);
}

static const tern_fast expand_kernels[] = {{"element", expand_matches, NULL, expand_fast}, {0}};

static tern_status expand_grad(tern_grad *c)
{
    c->din[0] = tern_sum_to(c->graph, c->dout[0], tern_shape_of(c->graph, c->node->in[0]));
    return TERN_OK;
}

const tern_op tern_op_expand = {
    .name = "expand",
    .doc = "broadcast to a shape",
    .args = expand_args,
    .args_size = sizeof(tern_expand_op),
    .infer = expand_infer,
    .grad = expand_grad,
    .work = tern_no_work,
    .run = expand_run,
    .emit = expand_emit,
    .fast = expand_kernels,
};

tern_value tern_expand(tern_graph *graph, tern_value x, tern_shape shape)
{
    tern_shape from = tern_shape_of(graph, x);
    if (tern_shape_equal(&from, &shape)) return x;
    return tern_apply(graph, &tern_op_expand, &(tern_expand_op){shape}, &x, 1, NULL);
}

tern_value tern_direct_with(tern_graph *graph, tern_value x, tern_direct_args args)
{
    tern_shape s = tern_shape_of(graph, x), one = {.rank = s.rank + 1};
    if (graph->status != TERN_OK) return (tern_value){0};
    if (args.timesteps < 1 || s.rank + 1 > TERN_MAX_RANK)
        return tern_graph_fail(graph, "direct: timesteps is %d, expected at least 1", args.timesteps);
    one.dim[0] = 1;
    memcpy(one.dim + 1, s.dim, (size_t)s.rank * sizeof *s.dim);
    x = tern_reshape(graph, x, one);
    one.dim[0] = graph->options.stepping ? 1 : args.timesteps;
    return tern_expand(graph, x, one);
}

tern_value tern_frames_with(tern_graph *graph, tern_value x, tern_direct_args args)
{
    tern_shape s = tern_shape_of(graph, x);
    if (graph->status != TERN_OK || s.rank < 5) return tern_direct_with(graph, x, args);
    if (s.dim[1] != args.timesteps)
        return tern_graph_fail(graph, "frames: the clip has %lld frames, expected timesteps=%d",
                               (long long)s.dim[1], args.timesteps);
    return tern_permute(graph, x, TERN_SHAPE(1, 0, 2, 3, 4));
}
