/* The pass that joins element-wise operators into nodes of the operator fused.
 *
 * A group grows from its last node, the root, backwards along operands: a node joins when it is element-wise over the
 * root's shape and everybody else who reads its result comes behind the root; then the group can take the root's place
 * in the order, and such results are outputs of it.  A broadcast (expand) in front of a group is left out: the group
 * reads the small operand itself. */
#include "op/fuse.h"

#include <string.h>

typedef struct tern_fusion {
    tern_rewrite rewrite;
    int *group;  /* [nodes] root of the node's group, or -1 */
    bool *fixed; /* [values] what follows from parameters alone is computed once, apart from what does not */
    int *last;   /* [values] last node that reads the value; node_count: an output or a next value */
} tern_fusion;

static bool is_operand(const tern_value_info *v)
{
    return v && (v->type.dtype == TERN_F32 || v->type.dtype == TERN_BIT);
}

static bool is_fusible(const tern_fusion *f, int n)
{
    const tern_graph *g = f->rewrite.from;
    const tern_node *node = g->nodes[n];
    if (f->group[n] >= 0 || !node->op->element || node->nout != 1) return false;
    for (int i = 0; i < node->nin; i++)
        if (!is_operand(tern_value_of(g, node->in[i]))) return false;
    return g->values[node->out[0].id].type.dtype == TERN_F32;
}

/* What an operand is a broadcast of, where it is one. */
static tern_value source_of(const tern_graph *g, tern_value v)
{
    const tern_value_info *info = tern_value_of(g, v);
    if (info->kind != TERN_VALUE_NODE || info->type.dtype != TERN_F32) return v;
    const tern_node *node = g->nodes[info->node];
    return node->op == &tern_op_expand ? node->in[0] : v;
}

/* Whether everybody outside the group who reads a value comes behind the root. */
static bool read_behind(const tern_fusion *f, int id, int root)
{
    const tern_graph *g = f->rewrite.from;
    for (int n = g->values[id].node + 1; n <= root; n++) {
        if (f->group[n] == root) continue;
        for (int i = 0; i < g->nodes[n]->nin; i++)
            if (g->nodes[n]->in[i].id == id) return false;
    }
    return true;
}

/* Whether anybody outside the group reads the value of one of its nodes. */
static bool is_wanted(const tern_fusion *f, int n, int root)
{
    return n == root || f->last[f->rewrite.from->nodes[n]->out[0].id] > root;
}

/* The arrays that a group reads: inputs[] from `from`'s values; returns how many, or TERN_ELEMENT_INPUTS + 1. */
static int inputs_of(const tern_fusion *f, int root, tern_value *inputs)
{
    const tern_graph *g = f->rewrite.from;
    int count = 0;
    for (int n = 0; n <= root; n++) {
        if (f->group[n] != root) continue;
        for (int i = 0; i < g->nodes[n]->nin; i++) {
            const tern_value_info *v = tern_value_of(g, g->nodes[n]->in[i]);
            if (v->kind == TERN_VALUE_NODE && f->group[v->node] == root) continue;
            tern_value x = source_of(g, g->nodes[n]->in[i]);
            int k = 0;
            while (k < count && inputs[k].id != x.id) k++;
            if (k == TERN_ELEMENT_INPUTS) return k + 1;
            inputs[k] = x;
            if (k == count) count++;
        }
    }
    return count;
}

/* Steps and wanted results of a group. */
static void size_of(const tern_fusion *f, int root, int *steps, int *outputs)
{
    *steps = *outputs = 0;
    for (int n = 0; n <= root; n++) {
        if (f->group[n] != root) continue;
        ++*steps;
        *outputs += is_wanted(f, n, root);
    }
}

/* Tries to take node n into the group of the root. */
static bool join(tern_fusion *f, int n, int root)
{
    const tern_graph *g = f->rewrite.from;
    const tern_node *node = g->nodes[n], *last = g->nodes[root];
    int id = node->out[0].id, steps, outputs;
    const tern_shape *shape = &g->values[last->out[0].id].type.shape;
    if (!is_fusible(f, n) || node->phase != last->phase || f->fixed[id] != f->fixed[last->out[0].id] ||
        !tern_shape_equal(&g->values[id].type.shape, shape) || !read_behind(f, id, root))
        return false;
    tern_value inputs[TERN_ELEMENT_INPUTS];
    f->group[n] = root;
    size_of(f, root, &steps, &outputs);
    if (steps <= TERN_ELEMENT_STEPS && outputs <= TERN_ELEMENT_OUTPUTS &&
        inputs_of(f, root, inputs) <= TERN_ELEMENT_INPUTS)
        return true;
    f->group[n] = -1;
    return false;
}

static void find_group(tern_fusion *f, int root)
{
    const tern_graph *g = f->rewrite.from;
    bool grew = true, worth = false;
    f->group[root] = root;
    while (grew) { /* a node may become free to join once its other reader has */
        grew = false;
        for (int n = root; n >= 0; n--) {
            if (f->group[n] != root) continue;
            for (int i = 0; i < g->nodes[n]->nin; i++) {
                const tern_value_info *v = tern_value_of(g, g->nodes[n]->in[i]);
                if (v->kind == TERN_VALUE_NODE && join(f, v->node, root)) grew = worth = true;
                worth |= source_of(g, g->nodes[n]->in[i]).id != g->nodes[n]->in[i].id;
            }
        }
    }
    if (!worth) f->group[root] = -1;
}

/* The input whose memory output 0 may take goes first: as large as a result, and read by nobody later. */
static void put_dying_first(const tern_fusion *f, int root, tern_value *inputs, int count)
{
    const tern_graph *g = f->rewrite.from;
    const tern_type *result = &g->values[g->nodes[root]->out[0].id].type;
    for (int i = 0; i < count; i++) {
        const tern_value_info *v = tern_value_of(g, inputs[i]);
        if (v->kind != TERN_VALUE_NODE || v->type.dtype != result->dtype || f->last[inputs[i].id] > root ||
            tern_elements(&v->type.shape) != tern_elements(&result->shape))
            continue;
        tern_value first = inputs[0];
        inputs[0] = inputs[i];
        inputs[i] = first;
        return;
    }
}

/* Number of an operand: an input, or the step that gives it. */
static int operand_of(const tern_fusion *f, int root, tern_value v, const tern_value *inputs, int count,
                      const int *step_of)
{
    const tern_graph *g = f->rewrite.from;
    const tern_value_info *info = tern_value_of(g, v);
    if (info->kind == TERN_VALUE_NODE && f->group[info->node] == root) return count + step_of[info->node];
    int k = 0;
    v = source_of(g, v);
    while (k < count && inputs[k].id != v.id) k++;
    return k;
}

/* The group's node in the new graph. */
static void write_group(tern_fusion *f, int root, int *step_of)
{
    tern_rewrite *r = &f->rewrite;
    const tern_graph *g = r->from;
    const tern_node *last = g->nodes[root];
    tern_value inputs[TERN_ELEMENT_INPUTS], out[TERN_ELEMENT_OUTPUTS] = {{0}};
    int wanted[TERN_ELEMENT_OUTPUTS] = {last->out[0].id}, outputs = 1;
    tern_fused_op args;
    memset(&args, 0, sizeof args); /* arguments are compared as bytes */
    args.shape.rank = g->values[last->out[0].id].type.shape.rank;
    memcpy(args.shape.dim, g->values[last->out[0].id].type.shape.dim, sizeof args.shape.dim);
    args.inputs = inputs_of(f, root, inputs);
    put_dying_first(f, root, inputs, args.inputs);
    for (int n = 0; n <= root; n++) {
        if (f->group[n] != root) continue;
        const tern_node *node = g->nodes[n];
        tern_fused_step *s = &args.step[args.steps];
        s->op = node->op;
        if (node->op->args_size) memcpy(&s->constants, node->args, sizeof s->constants);
        for (int i = 0; i < node->nin; i++)
            s->in[i] = operand_of(f, root, node->in[i], inputs, args.inputs, step_of);
        s->out = n == root ? 0 : -1;
        if (n != root && is_wanted(f, n, root)) {
            s->out = outputs;
            wanted[outputs++] = node->out[0].id;
        }
        step_of[n] = args.steps++;
    }
    r->to->layer = tern_arena_string(&r->to->arena, last->layer);
    if (!r->to->layer) r->to->layer = "";
    r->to->phase = last->phase;
    for (int i = 0; i < args.inputs; i++) inputs[i] = r->map[inputs[i].id];
    tern_apply(r->to, &tern_op_fused, &args, inputs, args.inputs, out);
    for (int i = 0; i < outputs; i++) r->map[wanted[i]] = out[i];
}

static void last_readers(const tern_graph *g, int *last)
{
    for (int n = 0; n < g->node_count; n++)
        for (int i = 0; i < g->nodes[n]->nin; i++) last[g->nodes[n]->in[i].id] = n;
    for (int i = 0; i < g->output_count; i++) last[g->outputs[i].value.id] = g->node_count;
    for (int i = 1; i < g->value_count; i++) last[g->values[i].next.id] = g->node_count;
}

static tern_status fuse(tern_fusion *f, int *step_of, tern_graph **to)
{
    const tern_graph *g = f->rewrite.from;
    last_readers(g, f->last);
    tern_mark_prepared(g, f->fixed);
    for (int n = 0; n < g->node_count; n++) f->group[n] = -1;
    for (int n = g->node_count - 1; n >= 0; n--)
        if (is_fusible(f, n)) find_group(f, n);
    TERN_TRY(tern_rewrite_open(&f->rewrite, g));
    for (int n = 0; n < g->node_count; n++) {
        if (f->group[n] < 0)
            tern_rewrite_node(&f->rewrite, g->nodes[n]);
        else if (f->group[n] == n)
            write_group(f, n, step_of);
    }
    tern_graph *fused = NULL;
    TERN_TRY(tern_rewrite_close(&f->rewrite, &fused));
    tern_status status = tern_pass_dead(fused, to); /* broadcasts that nobody reads any more */
    tern_graph_close(fused);
    return status;
}

/* Of a graph without dead nodes: they would pull work into groups. */
static tern_status fuse_live(const tern_graph *from, tern_graph **to)
{
    size_t nodes = (size_t)from->node_count + 1, values = (size_t)from->value_count;
    tern_fusion f = {.rewrite = {.from = from}};
    f.group = tern_take_array(2 * nodes + values, sizeof *f.group);
    f.fixed = tern_take_array(values, sizeof *f.fixed);
    tern_status status = TERN_OK;
    if (f.group && f.fixed) {
        f.last = f.group + 2 * nodes;
        status = fuse(&f, f.group + nodes, to);
    } else {
        status = tern_no_memory((nodes + values) * sizeof *f.group, "a graph pass");
    }
    tern_release(f.group);
    tern_release(f.fixed);
    return status;
}

tern_status tern_pass_fuse(const tern_graph *from, tern_graph **to)
{
    tern_graph *live = NULL;
    TERN_TRY(tern_pass_dead(from, &live));
    tern_status status = fuse_live(live, to);
    tern_graph_close(live);
    return status;
}
