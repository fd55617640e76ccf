/* Operators as the program genz-llm 0.0.16 counts them (Models/attention.py, ffn.py, embedding.py): where it differs from
 * what the operators do, a comment says so. */
#include "llm/serving_parts.h"

#include "op/op.h"

#include <math.h>
#include <string.h>

static int group_of(const tern_walk *w)
{
    return w->query->plan->tensor * w->query->plan->experts;
}

/* Shares are rounded down where it says //. */
static double floor_share(double parts, int devices)
{
    return floor(parts / devices) / parts;
}

/* A product of x [m,k] and a weight [n,k], each already a device's share. */
static tern_serving_task product(const tern_walk *w, const char *label, double m, double n, double k,
                                 bool near)
{
    tern_serving_task t = {.macs = m * n * k,
                           .fixed = n * k * w->element,
                           .in = m * k * w->element,
                           .out = m * n * w->element,
                           .in_near = near,
                           .out_near = near};
    snprintf(t.label, sizeof t.label, "%s", label);
    return t;
}

static tern_status add_weights(tern_walk *w, const tern_serving_task *t, int input, tern_cut cut)
{
    w->held += t->fixed; /* tables that are input and output count twice */
    return tern_walk_product(w, t, input, cut);
}

/* The router is cut by rows; what is summed has as many elements as experts in a prompt, as columns in an answer. */
static tern_status take_router(tern_walk *w, const tern_product_shape *s)
{
    const tern_walk_query *q = w->query;
    double k = (double)s->k * floor_share((double)s->k, q->plan->tensor);
    tern_serving_task t = product(w, "ffn_gate_inp", (double)s->m, (double)s->n, k, false);
    TERN_TRY(add_weights(w, &t, 0, TERN_CUT_ROWS));
    double elements = (double)s->m * (double)(q->decode ? s->k : s->n);
    return tern_walk_exchange(w, "all-reduce router", TERN_ALL_REDUCE, elements, q->plan->tensor);
}

tern_status tern_genz_product(tern_walk *w, const tern_walk_call *c)
{
    const tern_walk_query *q = w->query;
    const tern_walk_note *x = &w->notes[c->node->in[0].id], *y = &w->notes[c->node->out[0].id];
    tern_product_shape s = c->node->op->product(&c->call);
    char name[24];
    tern_walk_name(name, w, c->node, 1);
    if (y->voted) return take_router(w, &s);
    bool rows = x->split, head = c->node->out[0].id == w->graph->outputs[0].value.id;
    bool attention = strncmp(name, "attn_", 5) == 0;
    bool near = (q->decode && !head) || (q->chunk && attention);
    double parts = rows ? x->parts : y->parts > 0 ? y->parts : (double)s.n;
    double share = head ? floor_share(parts, group_of(w)) : tern_share(parts, group_of(w));
    tern_serving_task t = product(w, name, (double)s.m, (double)s.n * (rows ? 1 : share),
                                  (double)s.k * (rows ? share : 1), near);
    tern_walk_split(w, c->node, !rows && !head, parts);
    TERN_TRY(add_weights(w, &t, c->node->in[0].id, rows ? TERN_CUT_ROWS : TERN_CUT_COLUMNS));
    return rows ? tern_walk_exchange(w, "all-reduce", TERN_ALL_REDUCE, (double)s.m * (double)s.n, group_of(w))
                : TERN_OK;
}

/* A product with the table, of prompts only; tables of positions aren't there. */
tern_status tern_genz_lookup(tern_walk *w, const tern_walk_call *c)
{
    const tern_shape *table = &c->in[1].shape;
    double m = w->query->prompts, v = (double)table->dim[0], width = (double)table->dim[1];
    char name[24];
    tern_walk_name(name, w, c->node, 1);
    if (m == 0 || table->dim[0] != w->query->about->vocabulary) return TERN_OK;
    tern_serving_task t = product(w, name, m, width, v * floor_share(v, group_of(w)), false);
    TERN_TRY(add_weights(w, &t, 0, TERN_CUT_ROWS));
    return tern_walk_exchange(w, "all-reduce", TERN_ALL_REDUCE, m * width, group_of(w));
}

/* Scores, and what they weigh, as two operators; scores stay on the chip. */
static tern_status add_halves(tern_walk *w, const tern_walk_call *c, const tern_walk_request *r)
{
    double heads = (double)c->in[0].shape.dim[1], groups = (double)c->in[1].shape.dim[1];
    double share = tern_share(heads, group_of(w)), count = r->count;
    bool near = w->query->decode || (w->query->chunk && r->tokens == 1);
    double queries = (double)tern_elements(&c->in[0].shape) * w->element * share * count;
    double scores = (double)r->tokens * r->rows * heads * w->element * share * count;
    double cache =
        (double)tern_elements(&c->in[1].shape) * w->element * tern_share(groups, group_of(w)) * count;
    tern_serving_task t = {.macs = c->work.macs / 2 * share * count,
                           .fixed = cache,
                           .in = queries,
                           .out = scores,
                           .in_near = near,
                           .out_near = true};
    snprintf(t.label, sizeof t.label, "logit%s", r->part);
    w->cached += 2 * cache;
    TERN_TRY(tern_walk_add(w, &t));
    t.in = scores;
    t.out = queries;
    t.in_near = true;
    t.out_near = near;
    snprintf(t.label, sizeof t.label, "attend%s", r->part);
    return tern_walk_add(w, &t);
}

tern_status tern_genz_attend(tern_walk *w, tern_walk_call *c)
{
    double heads = (double)c->in[0].shape.dim[1];
    for (int i = 0; i < TERN_WALK_REQUESTS && w->query->requests[i].count > 0; i++) {
        TERN_TRY(tern_walk_attend(w, &w->query->requests[i], c));
        TERN_TRY(add_halves(w, c, &w->query->requests[i]));
    }
    tern_walk_split(w, c->node, true, heads);
    return TERN_OK;
}

/* In an answer a token's experts are active, whatever the batch, and the others are held; in a prompt all are, with the same
 * number of tokens of each request, of which one expert's are read and written. */
tern_status tern_genz_experts(tern_walk *w, const tern_walk_call *c)
{
    const tern_walk_query *q = w->query;
    const tern_serving_plan *p = q->plan;
    const tern_shape *index = &c->in[1].shape, *weight = &c->in[2].shape;
    double experts = (double)weight->dim[0], chosen = (double)index->dim[1];
    bool rows = w->notes[c->node->in[0].id].split;
    double share = tern_share(rows ? (double)weight->dim[2] : (double)weight->dim[1], p->tensor);
    double n = (double)weight->dim[1] * (rows ? 1 : share), k = (double)weight->dim[2] * (rows ? share : 1);
    double requests = q->chunk ? 1 : tern_serving_batch(p), one = (double)q->tokens / requests;
    double tokens = q->decode ? q->tokens : requests * floor(one * chosen / experts);
    double mine = q->decode ? fmax(1, ceil(chosen / p->experts)) : experts / p->experts;
    char name[24];
    tern_walk_name(name, w, c->node, 2);
    tern_serving_task t = product(w, name, tokens, n * (rows ? 1 : mine), k * (rows ? mine : 1), q->decode);
    double others = q->decode ? ceil(experts / p->experts) - mine : 0, sent = (double)q->tokens * chosen;
    tern_walk_note *to = &w->notes[c->node->in[1].id];
    if (!to->sent)
        TERN_TRY(tern_walk_exchange(w, "all-to-all", TERN_ALL_TO_ALL, sent * q->about->width, p->experts));
    to->sent = true;
    w->held += others * (double)weight->dim[1] * (double)weight->dim[2] * share * w->element;
    tern_walk_split(w, c->node, !rows, (double)weight->dim[1]);
    TERN_TRY(add_weights(w, &t, c->node->in[0].id, rows ? TERN_CUT_ROWS : TERN_CUT_COLUMNS));
    if (!rows) return TERN_OK;
    TERN_TRY(tern_walk_exchange(w, "all-to-all", TERN_ALL_TO_ALL, sent * q->about->width, p->experts));
    return tern_walk_exchange(w, "all-reduce", TERN_ALL_REDUCE, (double)q->tokens * q->about->width,
                              p->tensor);
}
