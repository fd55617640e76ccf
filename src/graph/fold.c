/* Constant folding: a node whose inputs are all constants is computed now, by its reference kernel. */
#include "graph/graph.h"

#define LARGEST (1 << 16) /* bytes of a result that is still worth keeping in the graph */

static bool foldable(const tern_graph *g, const tern_node *node)
{
    if ((node->op->flags & TERN_OP_RANDOM) || node->nin == 0 || node->nout != 1) return false;
    for (const tern_arg *a = node->op->args; a && a->name; a++)
        if (a->kind == TERN_ARG_GRAPH) return false;
    for (int i = 0; i < node->nin; i++) {
        const tern_value_info *v = tern_value_of(g, node->in[i]);
        if (v && v->kind != TERN_VALUE_CONSTANT) return false;
    }
    const tern_type *t = &tern_value_of(g, node->out[0])->type;
    return tern_bytes_of(t->dtype, tern_elements(&t->shape)) <= LARGEST;
}

/* The node's result as a constant of its graph. */
static tern_value compute(tern_graph *g, const tern_node *node)
{
    tern_tensor *in = tern_arena_take(&g->arena, (size_t)node->nin * sizeof *in), out = {0};
    const tern_type *t = &tern_value_of(g, node->out[0])->type;
    if (!in || tern_tensor_new(&out, t->dtype, &t->shape) != TERN_OK) return tern_graph_no_memory(g);
    for (int i = 0; i < node->nin; i++) {
        const tern_value_info *v = tern_value_of(g, node->in[i]);
        if (v) in[i] = (tern_tensor){v->type.dtype, v->type.shape, (void *)(uintptr_t)v->content};
    }
    tern_call call = {.op = node->op, .args = node->args, .nin = node->nin, .nout = 1, .in = in, .out = &out};
    void *scratch = node->op->scratch ? tern_take(node->op->scratch(&call)) : NULL;
    tern_value result = {0};
    if (node->op->scratch && !scratch) {
        result = tern_graph_no_memory(g);
    } else {
        call.scratch = scratch;
        node->op->run(&call);
        result = tern_constant(g, &out);
    }
    tern_release(scratch);
    tern_tensor_free(&out);
    return result;
}

tern_status tern_pass_fold(const tern_graph *from, tern_graph **to)
{
    tern_rewrite rewrite;
    TERN_TRY(tern_rewrite_open(&rewrite, from));
    for (int n = 0; n < from->node_count; n++) {
        const tern_node *node = from->nodes[n];
        int before = rewrite.to->node_count;
        tern_rewrite_node(&rewrite, node);
        if (rewrite.to->status != TERN_OK) break;
        const tern_node *fresh = rewrite.to->nodes[before];
        if (foldable(rewrite.to, fresh)) rewrite.map[node->out[0].id] = compute(rewrite.to, fresh);
    }
    tern_graph *folded = NULL;
    TERN_TRY(tern_rewrite_close(&rewrite, &folded));
    tern_status status =
        tern_pass_dead(folded, to); /* the nodes that were folded, and constants' producers */
    tern_graph_close(folded);
    return status;
}
