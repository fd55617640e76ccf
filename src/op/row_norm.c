/* Layer, RMS and group norm: rows normalised, then scaled and shifted by parameters. */
#include "op/norm.h"
#include "op/op.h"

/* y * weight + bias, both the leading `count` elements along axis 0 of parameters of `shape` */
static tern_value scale_and_shift(tern_graph *g, tern_value y, tern_shape shape, int64_t count, bool bias)
{
    tern_init one = {TERN_INIT_CONSTANT, 1}, zero = {TERN_INIT_ZERO, 0};
    if (shape.dim[0] < count)
        return tern_graph_fail(g, "layer %s: .of is %lld, expected at least %lld", g->layer,
                               (long long)shape.dim[0], (long long)count);
    tern_value weight = tern_param(g, tern_layer_name(g, "weight"), shape, one);
    y = tern_multiply(g, y, tern_leading(g, weight, 0, count));
    if (!bias) return y;
    return tern_add(g, y, tern_leading(g, tern_param(g, tern_layer_name(g, "bias"), shape, zero), 0, count));
}

/* The same along the last axis of s. */
static tern_value along_rows(tern_graph *g, tern_value y, const tern_shape *s, int of, bool bias)
{
    int64_t count = s->dim[s->rank - 1];
    return scale_and_shift(g, y, TERN_SHAPE(of > 0 ? of : count), count, bias);
}

tern_value tern_layer_norm_with(tern_graph *graph, tern_value x, tern_row_norm_args args)
{
    tern_shape s = tern_shape_of(graph, x);
    tern_layer(graph, "norm", args.name);
    if (graph->status != TERN_OK) return (tern_value){0};
    x = tern_apply(graph, &tern_op_normalise, &(tern_normalise_op){args.epsilon, true}, &x, 1, NULL);
    return along_rows(graph, x, &s, args.of, true);
}

tern_value tern_rms_norm_with(tern_graph *graph, tern_value x, tern_row_norm_args args)
{
    tern_shape s = tern_shape_of(graph, x);
    tern_layer(graph, "norm", args.name);
    if (graph->status != TERN_OK) return (tern_value){0};
    x = tern_apply(graph, &tern_op_normalise, &(tern_normalise_op){args.epsilon, false}, &x, 1, NULL);
    return along_rows(graph, x, &s, args.of, false);
}

tern_value tern_group_norm_with(tern_graph *graph, tern_value x, tern_row_norm_args args)
{
    tern_shape s = tern_shape_of(graph, x);
    tern_layer(graph, "norm", args.name);
    if (graph->status != TERN_OK) return (tern_value){0};
    if (s.rank < 4 || args.groups < 1 || s.dim[s.rank - 3] % args.groups)
        return tern_graph_fail(graph, "layer %s: %d groups do not divide the channels of [..,C,H,W]",
                               graph->layer, args.groups);
    int64_t channels = s.dim[s.rank - 3],
            row = channels / args.groups * s.dim[s.rank - 2] * s.dim[s.rank - 1];
    tern_value rows = tern_reshape(graph, x, TERN_SHAPE(tern_elements(&s) / row, row));
    rows = tern_apply(graph, &tern_op_normalise, &(tern_normalise_op){args.epsilon, true}, &rows, 1, NULL);
    return scale_and_shift(graph, tern_reshape(graph, rows, s), TERN_SHAPE(channels, 1, 1), channels, true);
}
