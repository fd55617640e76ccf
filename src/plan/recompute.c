/* Trading time for memory: a forward value that is kept for the backward pass is dropped and computed again just before
 * it is needed, together with whatever else it needs that is gone by then. */
#include "plan/plan.h"

#define MAX_DEPTH 8 /* operators that are computed again in one chain */

typedef struct tern_recompute {
    tern_rewrite rewrite;
    const tern_program *plan;
    int now; /* step before which values are computed again */
} tern_recompute;

/* Whether a value is still there at step `now` without any further effort. */
static bool at_hand(const tern_recompute *r, int id)
{
    const tern_place *place = &r->plan->places[id];
    if (place->space != TERN_SPACE_ARENA) return true;
    return place->last >= r->now && place->root == id;
}

/* Whether `id` can be computed again: a forward result whose chain back to values at hand is short. */
static bool possible(const tern_recompute *r, int id, int depth)
{
    const tern_graph *g = r->plan->graph;
    const tern_value_info *v = &g->values[id];
    if (v->kind != TERN_VALUE_NODE || depth > MAX_DEPTH) return false;
    const tern_node *node = g->nodes[v->node];
    if (node->phase != TERN_FORWARD) return false;
    for (int i = 0; i < node->nin; i++) {
        int in = node->in[i].id;
        if (in && g->values[in].next.id) { /* a state that has moved on meanwhile would give another result */
            if (g->values[in].kind != TERN_VALUE_PARAM) return false;
        }
        if (in && !at_hand(r, in) && !possible(r, in, depth + 1)) return false;
    }
    return true;
}

/* Adds the nodes that compute `id` again; the map then leads to the new value. */
static void again(tern_recompute *r, int id)
{
    const tern_graph *g = r->plan->graph;
    const tern_node *node = g->nodes[g->values[id].node];
    for (int i = 0; i < node->nin; i++) {
        int in = node->in[i].id;
        if (in && !at_hand(r, in)) again(r, in);
    }
    tern_rewrite_node(&r->rewrite, node);
}

/* First step behind the peak that reads the value, or -1. */
static int next_use(const tern_recompute *r, int id)
{
    for (int s = r->plan->peak_step + 1; s < r->plan->step_count; s++) {
        const tern_node *node = r->plan->steps[s].node;
        for (int i = 0; i < node->nin; i++)
            if (node->in[i].id == id) return s;
    }
    return -1;
}

static bool read_at(const tern_program *p, int step, int id)
{
    const tern_node *node = p->steps[step].node;
    for (int i = 0; i < node->nin; i++)
        if (node->in[i].id == id) return true;
    return false;
}

tern_status tern_recompute_value(const tern_program *plan, int id, tern_graph **result)
{
    tern_recompute r = {.plan = plan};
    *result = NULL;
    r.now = next_use(&r, id);
    if (r.now < 0 || !possible(&r, id, 0)) return TERN_OK;
    TERN_TRY(tern_rewrite_open(&r.rewrite, plan->graph));
    for (int s = 0; s < plan->step_count; s++) {
        if (s == r.now) again(&r, id);
        tern_rewrite_node(&r.rewrite, plan->steps[s].node);
    }
    return tern_rewrite_close(&r.rewrite, result);
}

/* The biggest value below `limit` bytes (ties: below `limit_id`) that only waits at the peak, or 0. */
int tern_recompute_candidate(const tern_program *plan, size_t limit, int limit_id)
{
    const tern_graph *g = plan->graph;
    int best = 0;
    for (int i = 1; i < g->value_count; i++) {
        const tern_place *place = &plan->places[i];
        bool waits = place->space == TERN_SPACE_ARENA && place->root == i && place->first < plan->peak_step &&
                     place->last > plan->peak_step;
        bool after = place->bytes < limit || (place->bytes == limit && i < limit_id);
        if (!waits || !after || (plan->peak_step < plan->step_count && read_at(plan, plan->peak_step, i)))
            continue;
        const tern_place *b = &plan->places[best];
        if (!best || place->bytes > b->bytes || (place->bytes == b->bytes && i > best)) best = i;
    }
    return best;
}
