/* Passes: a new graph from an old one, node by node. */
#include "graph/graph.h"

#include <string.h>

/* Copies a value that no node produces. */
static tern_value copy_source(tern_graph *to, const tern_value_info *v)
{
    switch (v->kind) {
    case TERN_VALUE_INPUT:
        return tern_input(to, v->name, v->type.dtype, v->type.shape);
    case TERN_VALUE_PARAM: {
        tern_value param = tern_weight(to, v->name, v->type.dtype, v->type.shape);
        if (param.id) to->values[param.id].init = v->init;
        if (v->limited) tern_limit(to, param, v->low, v->high);
        if (v->rate != 0) tern_rate(to, param, v->rate);
        return param;
    }
    case TERN_VALUE_STATE:
        return tern_state(to, v->name, v->type.dtype, v->type.shape, v->init, v->kept);
    case TERN_VALUE_CONSTANT:
        return tern_constant(to, &(tern_tensor){v->type.dtype, v->type.shape, (void *)(uintptr_t)v->content});
    case TERN_VALUE_NODE:
        break;
    }
    return (tern_value){0};
}

tern_status tern_rewrite_open(tern_rewrite *rewrite, const tern_graph *from)
{
    *rewrite = (tern_rewrite){.from = from};
    TERN_TRY(tern_graph_status(from));
    TERN_TRY(tern_graph_open(&rewrite->to, &from->options));
    rewrite->map = tern_take_array((size_t)from->value_count, sizeof *rewrite->map);
    if (!rewrite->map) {
        tern_graph_close(rewrite->to);
        return tern_no_memory((size_t)from->value_count * sizeof *rewrite->map, "a graph pass");
    }
    rewrite->to->layer_count = from->layer_count;
    for (int i = 1; i < from->value_count; i++) {
        if (from->values[i].kind != TERN_VALUE_NODE)
            rewrite->map[i] = copy_source(rewrite->to, &from->values[i]);
    }
    return TERN_OK;
}

void tern_graph_enter(tern_graph *graph, const tern_node *node)
{
    const char *layer = tern_arena_string(&graph->arena, node->layer);
    if (!layer) tern_graph_no_memory(graph);
    graph->layer = layer ? layer : "";
    graph->phase = node->phase;
}

void tern_rewrite_node(tern_rewrite *rewrite, const tern_node *node)
{
    tern_graph *to = rewrite->to;
    tern_value *in = tern_arena_take(&to->arena, ((size_t)node->nin + 1) * sizeof *in);
    tern_value *out = tern_arena_take(&to->arena, (size_t)node->nout * sizeof *out);
    tern_graph_enter(to, node);
    if (!in || !out) {
        tern_graph_no_memory(to);
        return;
    }
    for (int i = 0; i < node->nin; i++) in[i] = rewrite->map[node->in[i].id];
    tern_apply(to, node->op, node->args, in, node->nin, out);
    for (int i = 0; i < node->nout; i++) rewrite->map[node->out[i].id] = out[i];
}

tern_status tern_rewrite_close(tern_rewrite *rewrite, tern_graph **result)
{
    const tern_graph *from = rewrite->from;
    tern_graph *to = rewrite->to;
    for (int i = 1; i < from->value_count; i++) {
        if (from->values[i].next.id) tern_next(to, rewrite->map[i], rewrite->map[from->values[i].next.id]);
    }
    for (int i = 0; i < from->output_count; i++)
        tern_output(to, from->outputs[i].name, rewrite->map[from->outputs[i].value.id]);
    to->phase = from->phase;
    tern_release(rewrite->map);
    tern_status status = tern_graph_status(to);
    if (status == TERN_OK)
        *result = to;
    else
        tern_graph_close(to);
    return status;
}

tern_status tern_pass_dead(const tern_graph *from, tern_graph **to)
{
    bool *live = tern_take_array((size_t)from->value_count, sizeof *live);
    if (!live) return tern_no_memory((size_t)from->value_count, "a graph pass");
    for (int i = 0; i < from->output_count; i++) live[from->outputs[i].value.id] = true;
    for (int i = 1; i < from->value_count; i++) live[from->values[i].next.id] = true;
    for (int n = from->node_count - 1; n >= 0; n--) {
        const tern_node *node = from->nodes[n];
        bool needed = false;
        for (int i = 0; i < node->nout; i++) needed |= live[node->out[i].id];
        for (int i = 0; needed && i < node->nin; i++) live[node->in[i].id] = true;
    }
    tern_rewrite rewrite;
    tern_status status = tern_rewrite_open(&rewrite, from);
    if (status == TERN_OK) {
        for (int n = 0; n < from->node_count; n++) {
            const tern_node *node = from->nodes[n];
            bool needed = false;
            for (int i = 0; i < node->nout; i++) needed |= live[node->out[i].id];
            if (needed) tern_rewrite_node(&rewrite, node);
        }
        status = tern_rewrite_close(&rewrite, to);
    }
    tern_release(live);
    return status;
}

/* Same operator, same arguments, same inputs: the same value. */
static bool same_node(const tern_node *a, const tern_node *b)
{
    return a->op == b->op && a->nin == b->nin && a->nout == b->nout && a->phase == b->phase &&
           memcmp(a->in, b->in, (size_t)a->nin * sizeof *a->in) == 0 &&
           (a->op->args_size == 0 || memcmp(a->args, b->args, a->op->args_size) == 0);
}

tern_status tern_pass_common(const tern_graph *from, tern_graph **to)
{
    tern_rewrite rewrite;
    TERN_TRY(tern_rewrite_open(&rewrite, from));
    for (int n = 0; n < from->node_count; n++) {
        const tern_node *node = from->nodes[n];
        int before = rewrite.to->node_count;
        tern_rewrite_node(&rewrite, node);
        if (rewrite.to->status != TERN_OK || (node->op->flags & TERN_OP_RANDOM)) continue;
        const tern_node *fresh = rewrite.to->nodes[before];
        for (int m = before - 1; m >= 0 && m >= before - 64; m--) { /* duplicates stand near each other */
            const tern_node *old = rewrite.to->nodes[m];
            if (!same_node(old, fresh)) continue;
            for (int i = 0; i < node->nout; i++) rewrite.map[node->out[i].id] = old->out[i];
            break;
        }
    }
    tern_graph *merged = NULL;
    TERN_TRY(tern_rewrite_close(&rewrite, &merged));
    tern_status status = tern_pass_dead(merged, to);
    tern_graph_close(merged);
    return status;
}
