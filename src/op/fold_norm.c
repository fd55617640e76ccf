/* Folding of batch norm into the convolution or linear layer before it, for inference: with a = gamma / sqrt(var + eps),
 *     norm(W x + b) = (a W) x + a (b - mean) + beta
 * so that no pass over the activations is left; what stays are a few operations on the weights. */
#include "op/norm.h"
#include "op/op.h"

/* How many nodes read each value (outputs and nexts count as readers). */
static void count_readers(const tern_graph *g, int *readers)
{
    for (int n = 0; n < g->node_count; n++)
        for (int i = 0; i < g->nodes[n]->nin; i++) readers[g->nodes[n]->in[i].id]++;
    for (int i = 0; i < g->output_count; i++) readers[g->outputs[i].value.id]++;
    for (int i = 1; i < g->value_count; i++) readers[g->values[i].next.id]++;
}

/* The node before a norm, when the norm is its only reader and it multiplies by weights; else NULL. */
static const tern_node *foldable(const tern_graph *g, const tern_node *norm, const int *readers)
{
    if (norm->op != &tern_op_batch_norm || ((const tern_norm_op *)norm->args)->training) return NULL;
    const tern_value_info *x = tern_value_of(g, norm->in[0]);
    if (!x || x->kind != TERN_VALUE_NODE || readers[norm->in[0].id] != 1) return NULL;
    const tern_node *before = g->nodes[x->node];
    return before->op == &tern_op_conv2d || before->op == &tern_op_linear ? before : NULL;
}

/* The layer again with folded weights and bias. */
static void fold(tern_rewrite *r, const tern_node *layer, const tern_node *norm)
{
    tern_graph *g = r->to;
    const tern_norm_op *a = norm->args;
    tern_value gamma = r->map[norm->in[1].id], beta = r->map[norm->in[2].id], mean = r->map[norm->in[3].id];
    tern_value var = r->map[norm->in[4].id], weight = r->map[layer->in[1].id];
    tern_shape w = tern_shape_of(g, weight), rows = {.rank = w.rank};
    for (int d = 0; d < w.rank; d++) rows.dim[d] = d == 0 ? w.dim[0] : 1;
    const char *label = tern_arena_string(&g->arena, layer->layer);
    g->layer = label ? label : "";
    g->phase = layer->phase;
    tern_value deviation = tern_sqrt(g, tern_add(g, var, tern_scalar(g, a->epsilon)));
    tern_value scale = tern_divide(g, gamma, deviation), shift = tern_multiply(g, mean, tern_scalar(g, -1));
    if (layer->nin > 2 && layer->in[2].id) shift = tern_add(g, shift, r->map[layer->in[2].id]);
    tern_value in[3] = {r->map[layer->in[0].id], tern_multiply(g, weight, tern_reshape(g, scale, rows)),
                        tern_add(g, tern_multiply(g, shift, scale), beta)};
    r->map[norm->out[0].id] = tern_apply(g, layer->op, layer->args, in, 3, NULL);
}

tern_status tern_pass_fold_norm(const tern_graph *from, tern_graph **to)
{
    tern_rewrite r;
    TERN_TRY(tern_rewrite_open(&r, from));
    int *readers = tern_take_array((size_t)from->value_count, sizeof *readers);
    if (!readers) {
        tern_graph_no_memory(r.to);
    } else {
        count_readers(from, readers);
        for (int n = 0; n < from->node_count; n++) {
            const tern_node *layer = foldable(from, from->nodes[n], readers);
            if (layer)
                fold(&r, layer, from->nodes[n]);
            else
                tern_rewrite_node(&r, from->nodes[n]);
        }
    }
    tern_release(readers);
    tern_graph *folded = NULL;
    TERN_TRY(tern_rewrite_close(&r, &folded));
    tern_status status = tern_pass_dead(folded, to); /* the layers as they were */
    tern_graph_close(folded);
    return status;
}
