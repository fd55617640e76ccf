/* Gradient of scan: a scan in the other direction.  One step of it takes the states of that step from the forward scan,
 * computes the step again and differentiates it; gradients of the states are its states, and so are the sums of the
 * gradients of parameters and constants. */
#include "op/op.h"
#include "op/scan.h"

#include <string.h>

/* The backward body under construction, beside the inputs of its scan in the outer graph. */
typedef struct tern_back {
    const tern_grad *c;
    const tern_scan_op *op;
    const tern_graph *body; /* forward */
    tern_graph *g;          /* backward */
    int inputs, params, states, outputs;
    tern_value *map;   /* [body->value_count]: copies in g */
    tern_value *outer; /* operands of the backward scan */
    int operands, slices;
    tern_value *roots, *seeds; /* what is differentiated, and by how much it weighs */
    int root_count;
    tern_value *wrt, *grads;
    int *slot; /* of wrt[i]: operand of the forward scan, or -1-k for its state k */
    int wrt_count;
    tern_value *carried; /* [states]: gradient of each state as a state of g, or empty */
} tern_back;

static tern_status allocate(tern_back *b)
{
    tern_arena *arena = &b->c->graph->arena; /* small, and released with the graph */
    size_t values = (size_t)b->body->value_count, operands = (size_t)b->c->node->nin,
           outs = (size_t)b->c->node->nout;
    b->map = tern_arena_take(arena, values * sizeof *b->map);
    b->outer = tern_arena_take(arena, (2 * operands + 2 * outs + 2) * sizeof *b->outer);
    b->roots = tern_arena_take(arena, 2 * (outs + 1) * sizeof *b->roots);
    b->wrt = tern_arena_take(arena, 2 * (operands + 1) * sizeof *b->wrt);
    b->slot = tern_arena_take(arena, (operands + 1) * sizeof *b->slot);
    b->carried = tern_arena_take(arena, (outs + 1) * sizeof *b->carried);
    if (!b->map || !b->outer || !b->roots || !b->wrt || !b->slot || !b->carried)
        return tern_no_memory(values * sizeof *b->map, "the gradient of a scan");
    b->seeds = b->roots + outs + 1;
    b->grads = b->wrt + operands + 1;
    return TERN_OK;
}

static void add_wrt(tern_back *b, tern_value v, int slot)
{
    b->wrt[b->wrt_count] = v;
    b->slot[b->wrt_count++] = slot;
}

static const char *label(tern_back *b, const char *what, int i)
{
    const char *name = tern_arena_format(&b->g->arena, "%s %d", what, i);
    if (!name) tern_graph_keep(b->g, tern_no_memory(strlen(what), "the gradient of a scan"));
    return name ? name : "";
}

/* The gradient of output i of the forward scan as an input of a step; summed outputs have the same at each step. */
static void add_seed(tern_back *b, int i)
{
    tern_value d = b->c->dout[i], y = b->body->outputs[i].value;
    if (!d.id) return;
    const tern_shape *shape = &b->body->values[y.id].type.shape;
    b->outer[b->operands++] = d;
    b->roots[b->root_count] = y;
    b->seeds[b->root_count++] =
        tern_input(b->g, label(b, "gradient of output", i), tern_dtype_of_value(b->c->graph, d), *shape);
}

/* Whether the gradient of a state is carried from step to step. */
static bool carries(const tern_back *b, const tern_value_info *v)
{
    bool real = v->type.dtype == TERN_F32 || v->type.dtype == TERN_F64;
    return b->op->truncate != 1 && real && !v->kept && v->next.id;
}

/* Inputs of the backward body, slices first; their order is that of b->outer. */
static void add_inputs(tern_back *b)
{
    const tern_node *n = b->c->node;
    for (int constants = 0; constants < 2; constants++) {
        int at = 0, k = 0;
        for (int i = 1; i < b->body->value_count; i++) {
            const tern_value_info *v = &b->body->values[i];
            if (v->kind != TERN_VALUE_INPUT) continue;
            if ((at >= b->op->slices) == constants) {
                b->map[i] = tern_input(b->g, v->name, v->type.dtype, v->type.shape);
                b->outer[b->operands++] = n->in[at];
                if (b->c->need[at]) add_wrt(b, b->map[i], at);
            }
            at++;
        }
        for (int i = 1; !constants && i < b->body->value_count; i++) {
            const tern_value_info *v = &b->body->values[i];
            if (v->kind != TERN_VALUE_STATE) continue;
            b->map[i] = tern_input(b->g, v->name, v->type.dtype, v->type.shape);
            b->outer[b->operands++] = n->out[b->outputs + b->states + k];
            if (carries(b, v)) add_wrt(b, b->map[i], -1 - k);
            k++;
        }
        int first = constants ? b->op->stacked : 0, last = constants ? b->outputs : b->op->stacked;
        for (int i = first; i < last; i++) add_seed(b, i);
        if (!constants) b->slices = b->operands;
    }
}

/* Parameters, constants and nodes of the forward body. */
static void copy_body(tern_back *b)
{
    tern_graph *g = b->g;
    int at = b->inputs;
    for (int i = 1; i < b->body->value_count; i++) {
        const tern_value_info *v = &b->body->values[i];
        if (v->kind == TERN_VALUE_PARAM) {
            b->map[i] = tern_param(g, v->name, v->type.shape, v->init);
            b->outer[b->operands++] = b->c->node->in[at];
            if (b->c->need[at]) add_wrt(b, b->map[i], at);
            at++;
        } else if (v->kind == TERN_VALUE_CONSTANT) {
            b->map[i] =
                tern_constant(g, &(tern_tensor){v->type.dtype, v->type.shape, (void *)(uintptr_t)v->content});
        }
    }
    tern_rewrite rewrite = {.from = b->body, .to = g, .map = b->map};
    for (int i = 0; i < b->body->node_count && g->status == TERN_OK; i++)
        tern_rewrite_node(&rewrite, b->body->nodes[i]);
    for (int i = 0; i < b->root_count; i++) b->roots[i] = b->map[b->roots[i].id];
}

static tern_value as_shape(tern_graph *g, tern_value v, tern_shape shape)
{
    tern_shape have = tern_shape_of(g, v);
    return v.id && !tern_shape_equal(&have, &shape) ? tern_reshape(g, v, shape) : v;
}

/* Each state that carries a gradient: its next value is a root, weighted by what the step behind left. */
static void add_carried(tern_back *b)
{
    int k = -1;
    for (int i = 1; i < b->body->value_count; i++) {
        const tern_value_info *v = &b->body->values[i];
        if (v->kind != TERN_VALUE_STATE) continue;
        k++;
        if (!carries(b, v)) continue;
        b->carried[k] = tern_state(b->g, label(b, "gradient of state", k), v->type.dtype, v->type.shape,
                                   (tern_init){0}, false);
        tern_value next = b->map[v->next.id];
        b->roots[b->root_count] = next;
        b->seeds[b->root_count++] = as_shape(b->g, b->carried[k], tern_shape_of(b->g, next));
        b->outer[b->operands++] = b->c->dout[b->outputs + k];
    }
}

/* A mask input [1] that is 0 where the gradient through time is cut, as a slice of a constant [T]. */
static tern_value cut_mask(tern_back *b)
{
    int steps = b->op->steps, k = b->op->truncate;
    float *keep = tern_arena_take(&b->c->graph->arena, (size_t)steps * sizeof *keep);
    if (!keep)
        return tern_graph_keep(b->g, tern_no_memory((size_t)steps * sizeof *keep, "the gradient of a scan"));
    for (int t = 0; t < steps; t++) /* steps in the order of the forward scan */
        keep[b->op->reverse ? steps - 1 - t : t] = t % k != 0;
    b->outer[b->operands++] = tern_constant(b->c->graph, &(tern_tensor){TERN_F32, TERN_SHAPE(steps), keep});
    return tern_input(b->g, "gradient is kept", TERN_F32, TERN_SHAPE(1));
}

/* What becomes of the gradients of a step: slices of the result, states, sums.  place[i]: output of the backward scan
 * that is the gradient of wrt[i], or -1. */
static void add_results(tern_back *b, tern_value mask, int *place)
{
    tern_graph *g = b->g;
    int stacked = 0, states = 0;
    for (int i = 0; i < b->wrt_count; i++) {
        place[i] = -1;
        if (b->slot[i] < 0 || b->slot[i] >= b->op->slices || !b->grads[i].id) continue;
        tern_shape s = tern_shape_of(g, b->wrt[i]);
        if (s.rank < 1 || s.dim[0] != 1) s = TERN_SHAPE(1, tern_elements(&s));
        tern_output(g, label(b, "slice", i), as_shape(g, b->grads[i], s));
        place[i] = stacked++;
    }
    for (int i = 0; i < b->wrt_count; i++) { /* in the order of b->carried */
        if (b->slot[i] >= 0) continue;
        tern_value state = b->carried[-1 - b->slot[i]], d = b->grads[i];
        if (!d.id) d = tern_multiply(g, state, tern_scalar(g, 0));
        if (mask.id) d = tern_multiply(g, d, mask);
        tern_next(g, state, d);
        place[i] = stacked + states++;
    }
    for (int i = 0; i < b->wrt_count; i++) {
        if (b->slot[i] < b->op->slices || !b->grads[i].id) continue;
        tern_value sum = tern_state(g, label(b, "sum", i), tern_dtype_of_value(g, b->grads[i]),
                                    tern_shape_of(g, b->wrt[i]), (tern_init){0}, false);
        tern_next(g, sum, tern_apply2(g, &tern_op_add, sum, b->grads[i]));
        b->outer[b->operands++] = (tern_value){0};
        place[i] = stacked + states++;
    }
}

/* The backward scan in the outer graph. */
static void apply_back(tern_back *b, const int *place)
{
    tern_graph *outer = b->c->graph;
    const tern_node *n = b->c->node;
    tern_value out[TERN_MAX_OUT];
    tern_scan_op op = {.body = b->g,
                       .steps = b->op->steps,
                       .slices = b->slices,
                       .stacked = b->g->output_count,
                       .reverse = !b->op->reverse};
    if (!tern_apply(outer, &tern_op_scan, &op, b->outer, b->operands, out).id) return;
    for (int i = 0; i < b->wrt_count; i++) {
        int at = b->slot[i] >= 0 ? b->slot[i] : b->inputs + b->params - 1 - b->slot[i];
        if (place[i] < 0 || !n->in[at].id || !b->c->need[at]) continue;
        b->c->din[at] = as_shape(outer, out[place[i]], tern_shape_of(outer, n->in[at]));
    }
}

static tern_status build(tern_back *b)
{
    TERN_TRY(allocate(b));
    tern_graph *g = b->g;
    int *place = tern_arena_take(&b->c->graph->arena, ((size_t)b->c->node->nin + 1) * sizeof *place);
    if (!place) return tern_no_memory((size_t)b->c->node->nin * sizeof *place, "the gradient of a scan");
    tern_value mask = {0};
    if (b->op->truncate > 1) mask = cut_mask(b);
    add_inputs(b);
    copy_body(b);
    add_carried(b);
    TERN_TRY(tern_graph_status(g));
    TERN_TRY(tern_gradients_seeded(g, b->roots, b->seeds, b->root_count, b->wrt, b->wrt_count, b->grads,
                                   &tern_default_gradient_ops));
    g->phase = TERN_BACKWARD;
    add_results(b, mask, place);
    TERN_TRY(tern_graph_status(g));
    bool any = false;
    for (int i = 0; i < b->wrt_count; i++) any |= place[i] >= 0;
    if (any) apply_back(b, place);
    return tern_graph_status(b->c->graph);
}

tern_status tern_scan_grad(tern_grad *c)
{
    const tern_scan_op *op = c->node->args;
    if (op->other)
        return tern_fail(TERN_FAILED, "layer %s: a scan with two bodies has no gradient", c->node->layer);
    tern_back b = {.c = c, .op = op, .body = op->body, .outputs = op->body->output_count};
    for (int i = 1; i < b.body->value_count; i++) {
        b.inputs += b.body->values[i].kind == TERN_VALUE_INPUT;
        b.params += b.body->values[i].kind == TERN_VALUE_PARAM;
        b.states += b.body->values[i].kind == TERN_VALUE_STATE;
    }
    TERN_TRY(tern_graph_open(&b.g, &b.body->options));
    tern_status status = build(&b);
    tern_graph_close(b.g);
    return status;
}
