/* Delta activation layers put into a graph, and the penalty that their training needs. */
#include "op/delta.h"
#include "quant/quant.h"

static bool is_product(const tern_node *node)
{
    return node->op == &tern_op_conv2d || node->op == &tern_op_linear;
}

static bool is_quantised(const tern_graph *g, tern_value value)
{
    const tern_value_info *v = tern_value_of(g, value);
    return v && v->kind == TERN_VALUE_NODE && g->nodes[v->node]->op == &tern_op_quantise;
}

/* Named after the product, so that every graph of the net has the same parameters. */
static tern_value before(tern_graph *g, const tern_node *product, tern_value x, const tern_delta_args *layer)
{
    tern_delta_args args = *layer;
    args.name = tern_arena_format(&g->arena, "%s-delta", product->layer);
    return args.name ? tern_delta_with(g, x, args) : tern_graph_no_memory(g);
}

tern_status tern_pass_insert_delta(const tern_graph *from, const tern_delta_args *layer, tern_graph **to)
{
    tern_rewrite r;
    TERN_TRY(tern_rewrite_open(&r, from));
    for (int n = 0; n < from->node_count; n++) {
        const tern_node *node = from->nodes[n];
        tern_value x = is_product(node) ? r.map[node->in[0].id] : (tern_value){0};
        if (x.id && tern_dtype_of_value(r.to, x) == TERN_BIT)
            tern_graph_fail(r.to, "layer %s reads spikes: delta layers are for nets without neurons",
                            node->layer);
        else if (x.id && !is_quantised(r.to, x))
            r.map[node->in[0].id] = before(r.to, node, x, layer);
        tern_rewrite_node(&r, node);
    }
    return tern_rewrite_close(&r, to);
}

/* Weights of a product that one of its operands meets. */
static double fan_out_into(const tern_graph *g, const tern_node *node)
{
    tern_shape w = tern_shape_of(g, node->in[1]);
    if (node->op == &tern_op_linear) return (double)w.dim[0];
    double stride = tern_int_argument(node, "stride"), groups = tern_int_argument(node, "groups");
    return (double)(w.dim[0] * w.dim[2] * w.dim[3]) / groups / (stride * stride);
}

/* The same of all products that read a value, as it is or under another shape; 1 where there is none. */
static double fan_out_of(const tern_graph *g, int node_count, tern_value y, double none)
{
    double sum = 0;
    for (int n = 0; n < node_count; n++) {
        const tern_node *node = g->nodes[n];
        if (node->phase != TERN_FORWARD || !node->nin || node->in[0].id != y.id) continue;
        if (is_product(node)) sum += fan_out_into(g, node);
        if (node->op == &tern_op_reshape) sum += fan_out_of(g, node_count, node->out[0], 0);
    }
    return sum > 0 ? sum : none;
}

tern_value tern_delta_penalty(tern_graph *graph, int steps, bool values)
{
    tern_value total = {0};
    int count = graph->node_count;
    tern_variation_op args = {.steps = steps, .values = values};
    for (int n = 0; n < count; n++) {
        const tern_node *node = graph->nodes[n];
        if (node->op != &tern_op_quantise) continue;
        tern_value y = node->out[0];
        tern_value mean = tern_apply(graph, &tern_op_variation, &args, &y, 1, NULL);
        mean = tern_multiply(graph, mean, tern_scalar(graph, fan_out_of(graph, count, y, 1)));
        total = total.id ? tern_add(graph, total, mean) : mean;
    }
    return total;
}
