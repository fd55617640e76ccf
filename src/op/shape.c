/* The same elements under other shapes and in other orders. */
#include "op/op.h"

#include <string.h>

typedef struct tern_reshape_op {
    tern_shape shape;
} tern_reshape_op;
static const tern_arg reshape_args[] = {TERN_ARG(tern_reshape_op, shape, TERN_ARG_DIMS, "new shape"), {0}};

static tern_status reshape_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    const tern_shape *to = &((const tern_reshape_op *)types->args)->shape, *from = &types->in[0]->shape;
    char a[96], b[96];
    if (tern_elements(from) != tern_elements(to))
        return tern_infer_fail(types, "%s has %lld elements, expected those of %s: %lld",
                               tern_shape_text(a, from), (long long)tern_elements(from),
                               tern_shape_text(b, to), (long long)tern_elements(to));
    tern_infer_out(types, types->in[0]->dtype, *to);
    tern_infer_levels(types, types->in[0]->levels);
    return TERN_OK;
}

static tern_status reshape_grad(tern_grad *c)
{
    c->din[0] = tern_reshape(c->graph, c->dout[0], tern_shape_of(c->graph, c->node->in[0]));
    return TERN_OK;
}

static void reshape_run(const tern_call *call)
{
    size_t bytes = tern_bytes_of(call->in[0].dtype, tern_elements(&call->in[0].shape));
    if (call->out[0].data != call->in[0].data) memcpy(call->out[0].data, call->in[0].data, bytes);
}

const tern_op tern_op_reshape = {
    .name = "reshape",
    .doc = "the same elements under another shape",
    .args = reshape_args,
    .args_size = sizeof(tern_reshape_op),
    .flags = TERN_OP_VIEW,
    .inplace = {1},
    .infer = reshape_infer,
    .grad = reshape_grad,
    .work = tern_no_work,
    .run = reshape_run,
};

tern_value tern_reshape(tern_graph *graph, tern_value x, tern_shape shape)
{
    tern_shape from = tern_shape_of(graph, x);
    int64_t known = 1, all = tern_elements(&from);
    int open = -1;
    for (int i = 0; i < shape.rank; i++) {
        if (shape.dim[i] == -1)
            open = i;
        else
            known *= shape.dim[i];
    }
    if (open >= 0) shape.dim[open] = known ? all / known : 0;
    if (tern_shape_equal(&from, &shape)) return x;
    return tern_apply(graph, &tern_op_reshape, &(tern_reshape_op){shape}, &x, 1, NULL);
}

tern_value tern_flatten_with(tern_graph *graph, tern_value x, tern_flatten_args args)
{
    tern_shape s = tern_shape_of(graph, x);
    if (graph->status != TERN_OK) return (tern_value){0};
    if (args.from < 0 || args.from >= s.rank)
        return tern_graph_fail(graph, "flatten: axis %d is not in a tensor of rank %d", args.from, s.rank);
    s.dim[args.from] = tern_elements_from(&s, args.from);
    s.rank = args.from + 1;
    return tern_reshape(graph, x, s);
}
