/* Layer, RMS and group norm: rows normalised, then scaled and shifted by parameters. */
#include "op/norm.h"
#include "op/op.h"

/* y * weight + bias, both of `shape` */
static tern_value scale_and_shift(tern_graph *g, tern_value y, tern_shape shape, bool bias)
{
    tern_init one = {TERN_INIT_CONSTANT, 1}, zero = {TERN_INIT_ZERO, 0};
    y = tern_multiply(g, y, tern_param(g, tern_layer_name(g, "weight"), shape, one));
    return bias ? tern_add(g, y, tern_param(g, tern_layer_name(g, "bias"), shape, zero)) : y;
}

tern_value tern_layer_norm_with(tern_graph *graph, tern_value x, tern_row_norm_args args)
{
    tern_shape s = tern_shape_of(graph, x);
    tern_layer(graph, "norm", args.name);
    if (graph->status != TERN_OK) return (tern_value){0};
    x = tern_apply(graph, &tern_op_normalise, &(tern_normalise_op){args.epsilon, true}, &x, 1, NULL);
    return scale_and_shift(graph, x, TERN_SHAPE(s.dim[s.rank - 1]), true);
}

tern_value tern_rms_norm_with(tern_graph *graph, tern_value x, tern_row_norm_args args)
{
    tern_shape s = tern_shape_of(graph, x);
    tern_layer(graph, "norm", args.name);
    if (graph->status != TERN_OK) return (tern_value){0};
    x = tern_apply(graph, &tern_op_normalise, &(tern_normalise_op){args.epsilon, false}, &x, 1, NULL);
    return scale_and_shift(graph, x, TERN_SHAPE(s.dim[s.rank - 1]), false);
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
    return scale_and_shift(graph, tern_reshape(graph, rows, s), TERN_SHAPE(channels, 1, 1), true);
}
