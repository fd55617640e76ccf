/* Layers: operators together with the parameters and states that they own. */
#include "op/lif.h"
#include "op/op.h"

#include <math.h>

tern_value tern_leading(tern_graph *graph, tern_value x, int axis, int64_t count)
{
    if (graph->status != TERN_OK || tern_shape_of(graph, x).dim[axis] == count) return x;
    return tern_slice(graph, x, axis, 0, (int)count);
}

/* The leading rows of each part of a parameter [of_out,..]: [out,..]. */
static tern_value leading_rows(tern_graph *g, tern_value w, const tern_linear_args *a, int parts)
{
    tern_shape s = tern_shape_of(g, w), split = s, whole = s;
    if (g->status != TERN_OK || s.dim[0] == a->out) return w;
    split.rank = s.rank + 1;
    split.dim[0] = parts;
    split.dim[1] = s.dim[0] / parts;
    for (int d = 1; d < s.rank; d++) split.dim[d + 1] = s.dim[d];
    whole.dim[0] = a->out;
    return tern_reshape(g, tern_leading(g, tern_reshape(g, w, split), 1, a->out / parts), whole);
}

tern_value tern_linear_with(tern_graph *graph, tern_value x, tern_linear_args args)
{
    tern_shape s = tern_shape_of(graph, x);
    tern_layer(graph, "linear", args.name);
    if (graph->status == TERN_OK && (s.rank < 1 || args.out < 1))
        return tern_graph_fail(graph, "layer %s: .out is %d, expected at least 1", graph->layer, args.out);
    int64_t inputs = graph->status == TERN_OK ? s.dim[s.rank - 1] : 1;
    int64_t rows = args.of_out > 0 ? args.of_out : args.out, columns = args.of_in > 0 ? args.of_in : inputs;
    int parts = args.parts > 0 ? args.parts : 1;
    if (graph->status == TERN_OK && (rows < args.out || columns < inputs || rows % parts || args.out % parts))
        return tern_graph_fail(
            graph, "layer %s: a weight [%d,%lld] is no leading part of [%lld,%lld] in %d parts", graph->layer,
            args.out, (long long)inputs, (long long)rows, (long long)columns, parts);
    tern_init init = {TERN_INIT_UNIFORM, 1 / sqrt((double)inputs)}, zero = {TERN_INIT_ZERO, 0},
              normal = {TERN_INIT_NORMAL, args.deviation};
    bool drawn = args.deviation > 0;
    tern_value w =
        tern_param(graph, tern_layer_name(graph, "weight"), TERN_SHAPE(rows, columns), drawn ? normal : init);
    tern_value in[3] = {x, leading_rows(graph, tern_leading(graph, w, 1, inputs), &args, parts)};
    if (args.bias) {
        tern_value b =
            tern_param(graph, tern_layer_name(graph, "bias"), TERN_SHAPE(rows), drawn ? zero : init);
        in[2] = leading_rows(graph, b, &args, parts);
    }
    return tern_apply(graph, &tern_op_linear, NULL, in, args.bias ? 3 : 2, NULL);
}

/* Learned scalars of a neuron layer: inputs d, g and theta of lif, and what stands in for those that are not learned. */
static void learned_scalars(tern_graph *g, const tern_lif_args *a, const tern_lif_op *op, tern_value *in)
{
    if (a->learn_tau) {
        tern_init w = {TERN_INIT_CONSTANT, -log(a->tau - 1)};
        tern_value rate = tern_sigmoid(g, tern_param(g, tern_layer_name(g, "w"), TERN_SHAPE(1), w));
        in[2] = tern_subtract(g, tern_scalar(g, 1), rate);
        if (a->decay_input) in[3] = rate;
    } else if (a->learn_leak && !a->memoryless) {
        in[2] = tern_param(g, tern_layer_name(g, "leak"), TERN_SHAPE(1),
                           (tern_init){TERN_INIT_CONSTANT, op->decay});
        tern_limit(g, in[2], -INFINITY, 1);
    }
    if (a->learn_threshold)
        in[4] = tern_param(g, tern_layer_name(g, "threshold"), TERN_SHAPE(1),
                           (tern_init){TERN_INIT_CONSTANT, a->threshold});
}

tern_value tern_lif_with(tern_graph *graph, tern_value x, tern_lif_args args)
{
    tern_layer(graph, args.tau > 0 || args.leak >= 0 ? "lif" : "if", args.name);
    if (args.learn_tau && (args.learn_leak || args.leak >= 0 || args.tau <= 1))
        return tern_graph_fail(
            graph, "layer %s: .learn_tau needs .tau above 1 and neither .leak nor .learn_leak", graph->layer);
    tern_lif_op op = {
        .threshold = args.threshold,
        .v_reset = args.v_reset,
        .reset = args.reset,
        .surrogate = args.surrogate,
        .alpha = args.alpha,
        .detach_reset = args.detach_reset,
        .strict = args.strict,
        .normalised = args.normalised,
        .truncate = args.truncate,
        .decay = args.leak >= 0 ? args.leak
                 : args.tau > 0 ? 1 - 1 / args.tau
                                : 1,
        .gain = args.decay_input && args.tau > 0 && args.leak < 0 ? 1 / args.tau : 1,
    };
    tern_shape s = tern_shape_of(graph, x), v = {.rank = s.rank - 1};
    for (int i = 1; i < s.rank; i++) v.dim[i - 1] = s.dim[i];
    tern_value in[5] = {x}, out[3] = {{0}};
    bool carries = graph->options.stepping && !args.memoryless;
    if (args.memoryless && s.rank > 0 && s.dim[0] != 1)
        return tern_graph_fail(graph, "layer %s: .memoryless neurons take one step, x has %lld on axis T",
                               graph->layer, (long long)s.dim[0]);
    if (carries) {
        tern_init rest = {TERN_INIT_CONSTANT, args.v_reset};
        in[1] = tern_state(graph, tern_layer_name(graph, "membrane"), TERN_F32, v, rest, false);
    }
    learned_scalars(graph, &args, &op, in);
    int nin = 5;
    while (nin > 1 && !in[nin - 1].id) nin--;
    tern_value spikes = tern_apply(graph, &tern_op_lif, &op, in, nin, out);
    if (carries) tern_next(graph, in[1], out[2]);
    return spikes;
}
