/* From the graph of a decoder to the operators that one device of several does. */
#include "llm/serving_parts.h"

#include "op/op.h"
#include "plan/plan.h"

#include <math.h>
#include <string.h>

const tern_serving_format tern_serving_formats[] = {
    {"f32", 4, 0.5, TERN_F32}, {"bf16", 2, 1, TERN_BF16},  {"int8", 1, 2, TERN_I8},
    {"fp8", 1, 2, TERN_I8},    {"fp6", 0.75, 2, TERN_I8},  {"int4", 0.5, 4, TERN_I8},
    {"fp4", 0.5, 4, TERN_I8},  {"int2", 0.25, 8, TERN_I8}, {0},
};

double tern_share(double parts, int n)
{
    return n <= 1 || parts <= 0 ? 1 : ceil(parts / n) / parts;
}

/* Devices that attention, and matrices that are no expert's, are cut over. */
static int group_of(const tern_walk *w)
{
    return w->query->plan->tensor * w->query->plan->experts;
}

/* ---- the list -------------------------------------------------------------------------------------------------------- */

static tern_status add_draft(tern_walk *w, const tern_walk_draft *d)
{
    if (w->draft_count == w->draft_capacity) {
        size_t old = (size_t)w->draft_capacity, wanted = old ? 2 * old : 64;
        tern_walk_draft *drafts = tern_resize(w->drafts, old * sizeof *drafts, wanted * sizeof *drafts);
        if (!drafts) return tern_no_memory(wanted * sizeof *drafts, "the operators of a run");
        w->drafts = drafts;
        w->draft_capacity = (int)wanted;
    }
    w->drafts[w->draft_count] = *d;
    w->drafts[w->draft_count++].task.count = 1;
    return TERN_OK;
}

tern_status tern_walk_add(tern_walk *w, const tern_serving_task *task)
{
    return add_draft(w, &(tern_walk_draft){.task = *task});
}

tern_status tern_walk_exchange(tern_walk *w, const char *label, tern_exchange exchange, double elements,
                               int devices)
{
    tern_serving_task t = {.exchange = exchange, .message = elements * w->element, .devices = devices};
    snprintf(t.label, sizeof t.label, "%s", label);
    return devices > 1 ? tern_walk_add(w, &t) : TERN_OK;
}

tern_status tern_walk_product(tern_walk *w, const tern_serving_task *task, int input, tern_cut cut)
{
    enum { NEAR = 6 }; /* so far back two products of one layer can be */
    for (int i = w->draft_count - 1; i >= 0 && i >= w->draft_count - NEAR && cut != TERN_CUT_ROWS; i--) {
        tern_walk_draft *d = &w->drafts[i];
        if (d->input != input || d->cut != cut) continue;
        size_t length = strlen(d->task.label);
        snprintf(d->task.label + length, sizeof d->task.label - length, "+%s", task->label);
        d->task.macs += task->macs;
        d->task.fixed += task->fixed;
        d->task.out += task->out;
        return TERN_OK;
    }
    return add_draft(w, &(tern_walk_draft){*task, input, cut});
}

void tern_walk_name(char out[24], const tern_walk *w, const tern_node *node, int operand)
{
    const tern_value_info *v = tern_value_of(w->graph, node->in[operand]);
    const char *name = v && v->name ? v->name : node->op->name;
    if (strncmp(name, "blk.", 4) == 0 && strchr(name + 4, '.')) name = strchr(name + 4, '.') + 1;
    snprintf(out, 24, "%.*s", (int)strcspn(name, "."), name);
}

/* ---- one operator ---------------------------------------------------------------------------------------------------- */

static double bytes_of(const tern_tensor *t)
{
    return (double)tern_bytes_of(t->dtype, tern_elements(&t->shape));
}

void tern_walk_measure(tern_walk_call *c)
{
    const tern_op *op = c->node->op;
    for (int i = 0; i < c->node->nin; i++) c->in_bytes[i] = c->node->in[i].id ? bytes_of(&c->in[i]) : 0;
    for (int i = 0; i < c->node->nout; i++) c->out_bytes[i] = bytes_of(&c->out[i]);
    c->work = (tern_work){0};
    op->work(&c->call, &c->work);
    if (op->touched) op->touched(&c->call, c->in_bytes, c->out_bytes);
}

static tern_status look_at(const tern_walk *w, const tern_node *node, tern_walk_call *c)
{
    if (node->nin > TERN_WALK_OPERANDS || node->nout > TERN_WALK_OPERANDS)
        return tern_fail(TERN_FAILED, "operator %s has %d operands, expected at most %d", node->op->name,
                         node->nin + node->nout, TERN_WALK_OPERANDS);
    *c = (tern_walk_call){.node = node};
    c->call = tern_call_of(w->graph, node, c->in, c->out);
    tern_walk_measure(c);
    return TERN_OK;
}

/* Bytes of an operand that holds weights, in the plan's format or as they are. */
static double stored(const tern_walk *w, const tern_tensor *t)
{
    const tern_serving_format *f = w->query->plan->format;
    return f ? (double)tern_elements(&t->shape) * f->bytes : bytes_of(t);
}

double tern_walk_weight(const tern_walk *w, const tern_walk_call *c, int operand)
{
    double whole = bytes_of(&c->in[operand]);
    return whole > 0 ? c->in_bytes[operand] / whole * stored(w, &c->in[operand]) : 0;
}

/* Counts a weight as held, once; GenZ knows of products only. */
static void hold(tern_walk *w, const tern_node *node, int operand, double share)
{
    int id = node->in[operand].id;
    const tern_value_info *v = &w->graph->values[id];
    if (!id || w->notes[id].held || v->kind != TERN_VALUE_PARAM || w->query->plan->genz) return;
    w->notes[id].held = true;
    w->held += share * stored(w, &(tern_tensor){v->type.dtype, v->type.shape, NULL});
}

/* Bytes of all weights of an operator but its second operand, which are small. */
static double other_weights(tern_walk *w, const tern_walk_call *c, double share)
{
    double bytes = 0;
    for (int i = 0; i < c->node->nin; i++) {
        if (i == 1 || !c->node->in[i].id || !w->notes[c->node->in[i].id].fixed) continue;
        hold(w, c->node, i, share);
        bytes += tern_walk_weight(w, c, i) * share;
    }
    return bytes;
}

void tern_walk_split(tern_walk *w, const tern_node *node, bool split, double parts)
{
    for (int i = 0; i < node->nout; i++) {
        tern_walk_note *n = &w->notes[node->out[i].id];
        n->split = split;
        if (n->parts == 0) n->parts = parts;
    }
}

/* x [S,K] times a weight [N,K]: of several devices each has columns of it, or, where x is split already, rows. */
static tern_status take_product(tern_walk *w, const tern_walk_call *c)
{
    tern_product_shape s = c->node->op->product(&c->call);
    const tern_walk_note *x = &w->notes[c->node->in[0].id], *y = &w->notes[c->node->out[0].id];
    tern_cut cut = x->split ? TERN_CUT_ROWS : y->voted ? TERN_CUT_NONE : TERN_CUT_COLUMNS;
    double m = (double)s.m, n = (double)s.n, k = (double)s.k;
    double parts = cut == TERN_CUT_ROWS ? x->parts : y->parts > 0 ? y->parts : n;
    double share = cut == TERN_CUT_NONE ? 1 : tern_share(parts, group_of(w));
    tern_serving_task t = {.macs = c->work.macs * share,
                           .in = m * k * w->element * (cut == TERN_CUT_ROWS ? share : 1),
                           .out = m * n * w->element * (cut == TERN_CUT_COLUMNS ? share : 1)};
    tern_walk_name(t.label, w, c->node, 1);
    hold(w, c->node, 1, share);
    t.fixed = tern_walk_weight(w, c, 1) * share + other_weights(w, c, cut == TERN_CUT_COLUMNS ? share : 1);
    tern_walk_split(w, c->node, cut == TERN_CUT_COLUMNS && group_of(w) > 1, parts);
    TERN_TRY(tern_walk_product(w, &t, c->node->in[0].id, cut));
    return cut == TERN_CUT_ROWS ? tern_walk_exchange(w, "all-reduce", TERN_ALL_REDUCE, m * n, group_of(w))
                                : TERN_OK;
}

/* Rows of a table; that of tokens is cut by rows, and who has a row sends it. */
static tern_status take_lookup(tern_walk *w, const tern_walk_call *c)
{
    const tern_shape *table = &c->in[1].shape;
    int devices = c->in[1].shape.dim[0] == w->query->about->vocabulary ? group_of(w) : 1;
    double share = tern_share((double)table->dim[0], devices), y = (double)tern_elements(&c->out[0].shape);
    tern_serving_task t = {.fixed = tern_walk_weight(w, c, 1) * share, .out = y * w->element};
    tern_walk_name(t.label, w, c->node, 1);
    hold(w, c->node, 1, share);
    TERN_TRY(tern_walk_add(w, &t));
    return tern_walk_exchange(w, "all-reduce", TERN_ALL_REDUCE, y, devices);
}

tern_status tern_walk_attend(const tern_walk *w, const tern_walk_request *r, tern_walk_call *c)
{
    int32_t *seen = NULL;
    c->in[0].shape.dim[0] = c->in[3].shape.dim[0] = c->out[0].shape.dim[0] = r->tokens;
    c->in[1].shape.dim[0] = c->in[2].shape.dim[0] = r->rows;
    if (w->query->plan->causal) { /* without positions every token sees every row */
        seen = tern_take_array((size_t)r->tokens, sizeof *seen);
        if (!seen) return tern_no_memory((size_t)r->tokens * sizeof *seen, "positions of tokens");
        for (int i = 0; i < r->tokens; i++)
            seen[i] = w->query->decode ? r->rows - 1 : r->rows - r->tokens + i;
    }
    c->in[3].data = seen;
    tern_walk_measure(c);
    c->in[3].data = NULL;
    tern_release(seen);
    return TERN_OK;
}

/* Attention of all requests as one operator, which keeps its scores to itself. */
static tern_status take_attention(tern_walk *w, tern_walk_call *c)
{
    double heads = (double)c->in[0].shape.dim[1], groups = (double)c->in[1].shape.dim[1];
    double share = tern_share(heads, group_of(w)), cache_share = tern_share(groups, group_of(w));
    tern_serving_task t = {.label = "attend"};
    for (int i = 0; i < TERN_WALK_REQUESTS && w->query->requests[i].count > 0; i++) {
        const tern_walk_request *r = &w->query->requests[i];
        TERN_TRY(tern_walk_attend(w, r, c));
        double rows = (c->in_bytes[1] + c->in_bytes[2]) / (double)tern_bytes_of(c->in[1].dtype, 1);
        double moved = (double)tern_elements(&c->in[0].shape) * w->element * share * r->count;
        t.macs += c->work.macs * share * r->count;
        t.specials += w->query->plan->elements ? c->work.specials * share * r->count : 0;
        t.fixed += rows * w->element * cache_share * r->count;
        t.in += moved;
        t.out += moved;
    }
    tern_walk_split(w, c->node, group_of(w) > 1, heads);
    return tern_walk_add(w, &t);
}

/* Sequences whose tokens go through the net. */
static double sequences_of(const tern_walk_query *q)
{
    return q->decode ? q->tokens : q->chunk ? q->plan->batch : q->requests[0].count;
}

/* What carries a state from token to token: each sequence reads and writes its own; channels are cut. */
static tern_status take_recurrence(tern_walk *w, const tern_walk_call *c)
{
    const tern_serving_plan *p = w->query->plan;
    const tern_node *node = c->node;
    const tern_walk_note *x = &w->notes[node->in[0].id];
    double share = x->split ? tern_share(x->parts, group_of(w)) : 1;
    double state = (double)tern_elements(&c->in[node->nin - 1].shape) * w->element * share;
    tern_serving_task t = {.macs = c->work.macs * share, .fixed = 2 * state * sequences_of(w->query)};
    for (int i = 0; i < node->nin - 1; i++)
        if (w->notes[node->in[i].id].fixed)
            t.fixed += (double)tern_elements(&c->in[i].shape) * w->element * share;
        else
            t.in += (double)tern_elements(&c->in[i].shape) * w->element * share;
    t.out = (double)tern_elements(&c->out[0].shape) * w->element * share;
    t.specials = p->elements ? c->work.specials * share : 0;
    t.elements = p->elements ? c->work.elementwise * share : 0;
    w->cached += state * p->batch * (p->out ? p->beams : 1);
    snprintf(t.label, sizeof t.label, "%s", node->op->name);
    tern_walk_split(w, node, x->split, x->parts);
    return tern_walk_add(w, &t);
}

/* Products with the weights of the experts that tokens chose, who are spread over groups of devices: the busiest device has
 * its share of the experts that are active and of the tokens, none more than the others. */
static tern_status take_experts(tern_walk *w, const tern_walk_call *c)
{
    const tern_serving_plan *p = w->query->plan;
    const tern_shape *index = &c->in[1].shape, *weight = &c->in[2].shape;
    double pairs = (double)tern_elements(index), n = (double)weight->dim[1], k = (double)weight->dim[2];
    double active = c->in_bytes[2] / bytes_of(&c->in[2]) * (double)weight->dim[0];
    double mine = fmax(1, ceil(active / p->experts)), load = mine / active;
    bool rows = w->notes[c->node->in[0].id].split;
    double share = tern_share(rows ? k : n, p->tensor), tokens = (double)index->dim[0];
    tern_serving_task t = {.macs = c->work.macs * load * share,
                           .fixed = tern_walk_weight(w, c, 2) * load * share,
                           .in = pairs * load * k * w->element * (rows ? share : 1),
                           .out = pairs * load * n * w->element * (rows ? 1 : share)};
    tern_walk_name(t.label, w, c->node, 2);
    hold(w, c->node, 2, share * tern_share((double)weight->dim[0], p->experts));
    tern_walk_note *chosen = &w->notes[c->node->in[1].id];
    if (!chosen->sent) /* the first product of the layer */
        TERN_TRY(tern_walk_exchange(w, "all-to-all", TERN_ALL_TO_ALL, pairs * k, p->experts));
    chosen->sent = true;
    tern_walk_split(w, c->node, !rows, n);
    TERN_TRY(tern_walk_product(w, &t, c->node->in[0].id, rows ? TERN_CUT_ROWS : TERN_CUT_COLUMNS));
    if (!rows) return TERN_OK;
    TERN_TRY(tern_walk_exchange(w, "all-to-all", TERN_ALL_TO_ALL, pairs * n, p->experts));
    return tern_walk_exchange(w, "all-reduce", TERN_ALL_REDUCE, tokens * n, p->tensor);
}

/* What is no product: free where it is part of one, else its operands go through memory. */
static tern_status take_elements(tern_walk *w, const tern_walk_call *c)
{
    bool split = false;
    double parts = 0;
    tern_serving_task t = {0};
    for (int i = 0; i < c->node->nin; i++) {
        const tern_walk_note *x = &w->notes[c->node->in[i].id];
        if (x->split) parts = x->parts;
        split |= x->split;
    }
    double share = split ? tern_share(parts, group_of(w)) : 1;
    t.fixed = other_weights(w, c, 1);
    if (c->node->nin > 1 && w->notes[c->node->in[1].id].fixed) {
        hold(w, c->node, 1, 1);
        t.fixed += tern_walk_weight(w, c, 1);
    }
    tern_walk_split(w, c->node, split, parts);
    if (!w->query->plan->elements || (c->node->op->flags & TERN_OP_VIEW)) return TERN_OK;
    for (int i = 0; i < c->node->nin; i++)
        if (c->node->in[i].id && !w->notes[c->node->in[i].id].fixed)
            t.in += c->in_bytes[i] / (double)tern_bytes_of(c->in[i].dtype, 1) * w->element * share;
    for (int i = 0; i < c->node->nout; i++)
        t.out += c->out_bytes[i] / (double)tern_bytes_of(c->out[i].dtype, 1) * w->element * share;
    t.macs = c->work.macs * share;
    t.elements = c->work.elementwise * share;
    t.specials = c->work.specials * share;
    snprintf(t.label, sizeof t.label, "%s", c->node->op->name);
    return t.in + t.out + t.fixed > 0 ? tern_walk_add(w, &t) : TERN_OK;
}

/* Rows that several devices have pieces of can't be normed by each alone. */
static tern_status check_whole(const tern_walk *w, const tern_walk_call *c)
{
    bool rows = c->node->op == &tern_op_normalise && c->in[0].shape.rank == 2;
    if (!rows || !w->notes[c->node->in[0].id].split) return TERN_OK;
    return tern_fail(TERN_USAGE, "%s of rows that several devices have pieces of: --tensor 1 does",
                     "normalise");
}

/* Whether what the operator makes follows from weights alone: then it is made before the first run. */
static bool follows(tern_walk *w, const tern_node *node)
{
    for (int i = 0; i < node->nin; i++)
        if (node->in[i].id && !w->notes[node->in[i].id].fixed) return false;
    for (int i = 0; i < node->nin; i++) hold(w, node, i, 1);
    for (int i = 0; i < node->nout; i++) w->notes[node->out[i].id].fixed = true;
    return true;
}

static tern_status take(tern_walk *w, const tern_node *node)
{
    tern_walk_call c;
    bool genz = w->query->plan->genz;
    if (follows(w, node)) return TERN_OK;
    TERN_TRY(look_at(w, node, &c));
    bool table = node->op == &tern_op_embedding && w->notes[node->in[1].id].fixed;
    if (node->op->product && w->notes[node->in[1].id].fixed)
        return genz ? tern_genz_product(w, &c) : take_product(w, &c);
    if (table) return genz ? tern_genz_lookup(w, &c) : take_lookup(w, &c);
    if (node->op == &tern_op_attend) return genz ? tern_genz_attend(w, &c) : take_attention(w, &c);
    bool recurrent = node->op == &tern_op_selective_scan || node->op == &tern_op_causal_conv;
    if (recurrent && genz)
        return tern_fail(TERN_USAGE, "--compat genz: how it counts state spaces is not known");
    if (recurrent) return take_recurrence(w, &c);
    if (node->op == &tern_op_linear_experts) return genz ? tern_genz_experts(w, &c) : take_experts(w, &c);
    TERN_TRY(check_whole(w, &c));
    return take_elements(w, &c);
}

/* What is known of values before the walk: what stems from weights, who chooses experts, how many heads there are. */
static void note_values(tern_walk *w)
{
    const tern_graph *g = w->graph;
    for (int i = 1; i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        w->notes[i].fixed = v->kind == TERN_VALUE_PARAM || v->kind == TERN_VALUE_CONSTANT;
        if (v->kind != TERN_VALUE_STATE || w->query->plan->genz || v->type.shape.rank != 3) continue;
        double groups = (double)v->type.shape.dim[1], row = groups * (double)v->type.shape.dim[2];
        w->cached += row * w->element * tern_share(groups, group_of(w)) * w->query->held_rows;
    }
    for (int i = 0; i < g->node_count; i++) {
        const tern_node *n = g->nodes[i];
        const tern_type *out = &g->values[n->out[0].id].type;
        if (n->op == &tern_op_top) w->notes[n->in[0].id].voted = true;
        if ((n->op->flags & TERN_OP_VIEW) && out->shape.rank == 3 &&
            g->values[n->in[0].id].type.shape.rank == 2)
            w->notes[n->in[0].id].parts = (double)out->shape.dim[1];
    }
}

/* The pieces of the logits, and what goes from stage to stage. */
static tern_status take_ends(tern_walk *w)
{
    const tern_walk_query *q = w->query;
    const tern_serving_plan *p = q->plan;
    double logits = (double)q->asked * q->about->vocabulary;
    if (w->notes[w->graph->outputs[0].value.id].split || (p->genz && group_of(w) > 1))
        TERN_TRY(tern_walk_exchange(w, "all-gather", TERN_ALL_GATHER, logits, group_of(w)));
    for (int i = 1; i < p->pipeline; i++)
        TERN_TRY(
            tern_walk_exchange(w, "to the next stage", TERN_MESSAGE, (double)q->tokens * q->about->width, 2));
    return TERN_OK;
}

tern_status tern_walk_build(const tern_transformer *about, const int *numbers, tern_graph **graph)
{
    TERN_TRY(tern_graph_open(graph, &(tern_graph_options){0}));
    tern_graph *g = *graph;
    tern_feed feed = {.tokens = tern_input(g, "tokens", TERN_I32, TERN_SHAPE(numbers[0])),
                      .positions = tern_input(g, "positions", TERN_I32, TERN_SHAPE(numbers[0])),
                      .wanted = tern_input(g, "wanted", TERN_I32, TERN_SHAPE(numbers[1])),
                      .rows = numbers[2],
                      .cache = TERN_BF16};
    tern_output(g, "logits", about->architecture->build(g, about, &feed));
    tern_status status = tern_graph_status(g);
    if (status == TERN_OK) return status;
    tern_graph_close(g);
    *graph = NULL;
    return status;
}

static tern_status build(tern_walk *w)
{
    const tern_walk_query *q = w->query;
    int numbers[TERN_FRAME_NUMBERS] = {q->tokens, q->asked, 1};
    for (int i = 0; i < TERN_WALK_REQUESTS; i++)
        if (q->requests[i].rows > numbers[2]) numbers[2] = q->requests[i].rows;
    TERN_TRY(q->frame ? tern_frame_graph(q->frame, q->about, numbers, &w->graph)
                      : tern_walk_build(q->about, numbers, &w->graph));
    const tern_graph *g = w->graph;
    w->notes = tern_take_array((size_t)g->value_count, sizeof *w->notes);
    if (!w->notes) return tern_no_memory((size_t)g->value_count * sizeof *w->notes, "notes of a graph");
    return TERN_OK;
}

static tern_status walk(tern_walk *w, tern_serving_run *run)
{
    const tern_walk_query *q = w->query;
    TERN_TRY(build(w));
    note_values(w);
    for (int i = 0; i < w->graph->node_count; i++) TERN_TRY(take(w, w->graph->nodes[i]));
    TERN_TRY(take_ends(w));
    for (int i = 0; i < w->draft_count; i++) {
        const tern_serving_task *t = &w->drafts[i].task;
        TERN_TRY(tern_serving_add(run, t));
        run->activations = fmax(run->activations, t->in + t->out);
    }
    run->tokens = q->tokens;
    run->weights = w->held / q->plan->pipeline;
    run->caches = w->cached / q->plan->pipeline;
    run->needed = q->plan->genz ? w->held + w->cached : run->weights + run->caches + run->activations;
    return TERN_OK;
}

tern_status tern_walk_run(tern_serving_run *run, const tern_walk_query *query)
{
    const tern_serving_format *f = query->plan->format;
    tern_walk w = {.query = query, .element = f ? f->bytes : 2};
    *run = (tern_serving_run){0};
    TERN_TRY(tern_serving_check(query->about, query->plan));
    tern_status status = walk(&w, run);
    if (!query->frame) tern_graph_close(w.graph);
    tern_release(w.notes);
    tern_release(w.drafts);
    if (status != TERN_OK) tern_serving_free(run);
    return status;
}

/* ---- the runs -------------------------------------------------------------------------------------------------------- */

int tern_serving_batch(const tern_serving_plan *p)
{
    return p->batch > p->pipeline ? p->batch / p->pipeline : p->pipeline > 1 ? 1 : p->batch;
}

tern_serving_way tern_serving_way_of(const tern_serving_plan *p)
{
    return (tern_serving_way){.devices = p->tensor * p->experts * p->pipeline,
                              .stages = p->pipeline,
                              .batches = p->batch / tern_serving_batch(p),
                              .format = p->format ? p->format->dtype : TERN_BF16,
                              .speed = p->genz ? p->format ? p->format->speed : 1 : 0,
                              .genz = p->genz};
}

tern_status tern_serving_check(const tern_transformer *t, const tern_serving_plan *p)
{
    if (p->batch < 1 || p->in < 1 || p->out < 0 || p->beams < 1 || p->tensor < 1 || p->experts < 1 ||
        p->pipeline < 1 || p->chunk < 0)
        return tern_fail(TERN_USAGE, "batch, tokens, beams and devices: expected numbers from 1");
    if (t->architecture->encoder)
        return tern_fail(TERN_USAGE, "%s is an encoder: it answers nothing", t->architecture->name);
    if (p->in + p->out > t->context)
        return tern_fail(TERN_USAGE, "%d tokens of prompt and answer, the model has positions for %d",
                         p->in + p->out, t->context);
    if (p->experts > 1 && (t->experts < 1 || t->experts % p->experts))
        return tern_fail(TERN_USAGE, "--expert %d: the model has %d experts, expected a divisor of them",
                         p->experts, t->experts);
    if (p->pipeline > t->layers)
        return tern_fail(TERN_USAGE, "--pipeline %d: the model has %d layers", p->pipeline, t->layers);
    return TERN_OK;
}

static tern_walk_query query_of(const tern_transformer *about, const tern_serving_plan *p)
{
    double rows = (double)p->batch * ((double)p->in + (double)p->out * p->beams);
    return (tern_walk_query){.about = about, .plan = p, .held_rows = rows};
}

tern_walk_query tern_walk_prefill(const tern_transformer *about, const tern_serving_plan *p)
{
    tern_walk_query q = query_of(about, p);
    int batch = tern_serving_batch(p);
    q.tokens = q.prompts = batch * p->in;
    q.asked = p->genz ? q.tokens : batch;
    q.requests[0] = (tern_walk_request){p->in, p->in, batch, ""};
    return q;
}

tern_walk_query tern_walk_decode(const tern_transformer *about, const tern_serving_plan *p)
{
    tern_walk_query q = query_of(about, p);
    int batch = tern_serving_batch(p), answers = batch * p->beams;
    q.decode = true;
    q.tokens = q.asked = answers;
    /* beams read the prompt's rows together; GenZ divides the products by the beams too */
    q.requests[0] = (tern_walk_request){p->genz ? 1 : p->beams, p->in, batch, " prompt"};
    q.requests[1] = (tern_walk_request){1, p->out, p->out ? answers : 0, " answer"};
    return q;
}

tern_walk_query tern_walk_chunk(const tern_transformer *about, const tern_serving_plan *p, int past,
                                int tokens)
{
    tern_walk_query q = query_of(about, p);
    q.chunk = true;
    q.prompts = tokens;
    q.tokens = tokens + p->batch - 1;
    q.asked = p->genz ? q.tokens : p->batch;
    q.requests[0] = (tern_walk_request){tokens, past + tokens, 1, " prompt"};
    q.requests[1] = (tern_walk_request){1, p->in + p->out, p->batch - 1, " answer"};
    return q;
}

tern_status tern_serving_prefill(tern_serving_run *run, const tern_transformer *about,
                                 const tern_serving_plan *p)
{
    tern_walk_query q = tern_walk_prefill(about, p);
    return tern_walk_run(run, &q);
}

tern_status tern_serving_decode(tern_serving_run *run, const tern_transformer *about,
                                const tern_serving_plan *p)
{
    tern_walk_query q = tern_walk_decode(about, p);
    return tern_walk_run(run, &q);
}

tern_status tern_serving_chunk(tern_serving_run *run, const tern_transformer *about,
                               const tern_serving_plan *p, int past, int tokens)
{
    tern_walk_query q = tern_walk_chunk(about, p, past, tokens);
    return tern_walk_run(run, &q);
}
