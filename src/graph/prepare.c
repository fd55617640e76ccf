/* What need not be computed in each run: results that follow from parameters which the program never changes, such as
 * weights with a norm folded into them.  They are computed when the parameters are new and kept beside them. */
#include "graph/graph.h"

static double bytes_of(const tern_graph *g, int id)
{
    const tern_type *t = &g->values[id].type;
    return (double)tern_bytes_of(t->dtype, tern_elements(&t->shape));
}

/* Whether a source keeps its content between runs, whoever calls. */
static bool is_fixed_source(const tern_value_info *v)
{
    bool stored = v->kind == TERN_VALUE_PARAM || (v->kind == TERN_VALUE_STATE && v->kept);
    return v->kind == TERN_VALUE_CONSTANT || (stored && !v->next.id);
}

/* A node is prepared when all its operands are, and when keeping its result takes no more memory than they do: else it
 * is better computed where it is used. */
static bool is_fixed_node(const tern_graph *g, const tern_node *node, const bool *fixed)
{
    double in = 0, out = 0;
    if (node->nin == 0 || (node->op->flags & TERN_OP_RANDOM) || tern_body_of(node, 0)) return false;
    for (int i = 0; i < node->nin; i++) {
        if (node->in[i].id && !fixed[node->in[i].id]) return false;
        if (node->in[i].id) in += bytes_of(g, node->in[i].id);
    }
    for (int i = 0; i < node->nout; i++) out += bytes_of(g, node->out[i].id);
    return out <= in || (node->op->flags & TERN_OP_PREPARE);
}

void tern_mark_prepared(const tern_graph *graph, bool *fixed)
{
    for (int i = 1; i < graph->value_count; i++) fixed[i] = is_fixed_source(&graph->values[i]);
    for (int n = 0; n < graph->node_count; n++) {
        const tern_node *node = graph->nodes[n];
        bool prepared = is_fixed_node(graph, node, fixed);
        for (int i = 0; i < node->nout; i++) fixed[node->out[i].id] = prepared;
    }
}
