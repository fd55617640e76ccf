/* Hoisting of what does not change over time: where an input is repeated over T (direct encoding), everything that
 * works row by row is computed once, and neurons read the same current at each step.
 *
 * A value "is static" when its T slices along axis 0 are equal; the new graph then holds one slice [1,..]. */
#include "op/op.h"

#include <string.h>

typedef struct tern_hoist {
    tern_rewrite rewrite;
    int *steps; /* [old id]: T of a static value (map holds one slice), else 0 */
} tern_hoist;

/* The map entry of an input as a whole [T,..] value. */
static tern_value whole(tern_hoist *h, tern_value old)
{
    tern_value one = h->rewrite.map[old.id];
    if (!old.id || !h->steps[old.id]) return one;
    tern_shape shape = tern_shape_of(h->rewrite.to, one);
    shape.dim[0] = h->steps[old.id];
    h->rewrite.map[old.id] = tern_expand(h->rewrite.to, one, shape);
    h->steps[old.id] = 0;
    return h->rewrite.map[old.id];
}

/* T when this node begins a repetition: expand of [1,..] to [T,..], nothing else changing. */
static int begins(const tern_graph *g, const tern_node *node)
{
    if (node->op != &tern_op_expand) return 0;
    tern_shape from = tern_shape_of(g, node->in[0]), to = tern_shape_of(g, node->out[0]);
    if (from.rank != to.rank || from.rank < 2 || from.dim[0] != 1 || to.dim[0] < 2) return 0;
    for (int i = 1; i < to.rank; i++)
        if (from.dim[i] != to.dim[i]) return 0;
    return (int)to.dim[0];
}

/* T when the node's first output is static too: row by row, and all inputs with a time axis are static. */
static int continues(const tern_hoist *h, const tern_node *node)
{
    const tern_graph *g = h->rewrite.from;
    tern_shape out = tern_shape_of(g, node->out[0]);
    int steps = node->nin ? h->steps[node->in[0].id] : 0;
    if (node->op == &tern_op_reshape) return steps && out.dim[0] == steps ? steps : 0;
    if (node->op->flags & TERN_OP_ROWWISE) {
        for (int i = 1; i < node->nin; i++)
            if (h->steps[node->in[i].id]) return 0;
        return out.dim[0] == steps ? steps : 0;
    }
    if (!(node->op->flags & TERN_OP_ELEMENTWISE)) return 0;
    for (int i = 0; i < node->nin; i++) {
        tern_shape in = tern_shape_of(g, node->in[i]);
        if (h->steps[node->in[i].id])
            steps = h->steps[node->in[i].id];
        else if (node->in[i].id && in.rank == out.rank && in.dim[0] != 1)
            return 0;
    }
    return steps;
}

/* Copies a node with single slices as inputs; `steps` > 0 is written to the argument "timesteps". */
static void apply_static(tern_hoist *h, const tern_node *node, int steps)
{
    tern_graph *to = h->rewrite.to;
    tern_value *in = tern_arena_take(&to->arena, (size_t)(node->nin + node->nout) * sizeof *in);
    char *args = tern_arena_take(&to->arena, node->op->args_size + 1);
    if (!in || !args) {
        tern_graph_no_memory(to);
        return;
    }
    tern_value *out = in + node->nin;
    memcpy(args, node->args, node->op->args_size);
    for (const tern_arg *a = node->op->args; a && a->name; a++) {
        if (steps && strcmp(a->name, "timesteps") == 0) memcpy(args + a->offset, &steps, sizeof steps);
        if (node->op == &tern_op_reshape && a->kind == TERN_ARG_DIMS)
            ((tern_shape *)(void *)(args + a->offset))->dim[0] = 1;
    }
    for (int i = 0; i < node->nin; i++) in[i] = h->rewrite.map[node->in[i].id];
    to->layer = tern_arena_string(&to->arena, node->layer);
    if (!to->layer) to->layer = "";
    to->phase = node->phase;
    tern_apply(to, node->op, args, in, node->nin, out);
    for (int i = 0; i < node->nout; i++) h->rewrite.map[node->out[i].id] = out[i];
}

static void hoist_node(tern_hoist *h, const tern_node *node)
{
    int first = node->nin ? h->steps[node->in[0].id] : 0, steps = begins(h->rewrite.from, node);
    if (steps && !first) {
        h->rewrite.map[node->out[0].id] = h->rewrite.map[node->in[0].id];
        h->steps[node->out[0].id] = steps;
    } else if ((steps = continues(h, node)) != 0) {
        apply_static(h, node, 0);
        h->steps[node->out[0].id] = steps;
    } else if (first && (node->op->flags & TERN_OP_TAKES_STATIC)) {
        for (int i = 1; i < node->nin; i++) whole(h, node->in[i]);
        apply_static(h, node, first);
    } else {
        for (int i = 0; i < node->nin; i++) whole(h, node->in[i]);
        tern_rewrite_node(&h->rewrite, node);
    }
}

tern_status tern_pass_hoist(const tern_graph *from, tern_graph **to)
{
    tern_hoist h;
    TERN_TRY(tern_rewrite_open(&h.rewrite, from));
    h.steps = tern_take_array((size_t)from->value_count, sizeof *h.steps);
    if (!h.steps) {
        tern_graph_no_memory(h.rewrite.to);
    } else {
        for (int n = 0; n < from->node_count; n++) hoist_node(&h, from->nodes[n]);
        for (int i = 0; i < from->output_count; i++) whole(&h, from->outputs[i].value);
        for (int i = 1; i < from->value_count; i++) whole(&h, from->values[i].next);
    }
    tern_release(h.steps);
    tern_graph *hoisted = NULL;
    TERN_TRY(tern_rewrite_close(&h.rewrite, &hoisted));
    tern_status status = tern_pass_dead(hoisted, to);
    tern_graph_close(hoisted);
    return status;
}
