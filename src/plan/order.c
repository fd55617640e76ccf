/* Which step comes next: among the nodes that are ready, the one after which the least memory is alive.
 * A state's last reader must come before the step that may overwrite it in place. */
#include "plan/plan.h"

typedef struct tern_order {
    const tern_graph *g;
    int *root;    /* [value]: value that owns the memory, views resolved */
    int *uses;    /* [value]: steps that still read the root */
    int *waiting; /* [node]: inputs that are not computed yet */
    int *writes;  /* [node]: state that the node's result becomes, or 0 */
    int *readers; /* [value]: nodes that still read a state */
    bool *done;   /* [node] */
} tern_order;

static size_t bytes_of(const tern_graph *g, int id)
{
    const tern_type *t = &g->values[id].type;
    return tern_bytes_of(t->dtype, tern_elements(&t->shape));
}

static bool is_result(const tern_graph *g, int id)
{
    return id && g->values[id].kind == TERN_VALUE_NODE;
}

static bool reads_twice(const tern_node *node, int i)
{
    for (int k = 0; k < i; k++)
        if (node->in[k].id == node->in[i].id) return true;
    return false;
}

static void prepare(tern_order *o)
{
    const tern_graph *g = o->g;
    for (int i = 0; i < g->value_count; i++) o->root[i] = i;
    for (int n = 0; n < g->node_count; n++) {
        const tern_node *node = g->nodes[n];
        if (node->op->flags & TERN_OP_VIEW) o->root[node->out[0].id] = o->root[node->in[0].id];
        for (int i = 0; i < node->nin; i++) {
            int in = node->in[i].id;
            if (!in || reads_twice(node, i)) continue;
            if (is_result(g, in)) o->waiting[n]++;
            o->uses[o->root[in]]++;
            o->readers[in]++;
        }
    }
    for (int i = 0; i < g->output_count; i++) o->uses[o->root[g->outputs[i].value.id]]++; /* never freed */
    for (int i = 1; i < g->value_count; i++) {
        int next = g->values[i].next.id;
        if (!is_result(g, next)) continue;
        o->uses[o->root[next]]++;
        o->writes[g->values[next].node] = i;
    }
}

static bool ready(const tern_order *o, int n)
{
    if (o->done[n] || o->waiting[n]) return false;
    int state = o->writes[n], own = 0;
    if (!state) return true;
    const tern_node *node = o->g->nodes[n];
    for (int i = 0; i < node->nin; i++) own |= node->in[i].id == state;
    return o->readers[state] <= own;
}

/* Bytes that running the node adds to what is alive. */
static double growth(const tern_order *o, int n)
{
    const tern_node *node = o->g->nodes[n];
    double delta = 0;
    if (node->op->flags & TERN_OP_VIEW) return -1;
    for (int i = 0; i < node->nout; i++)
        if (o->uses[node->out[i].id] && !o->writes[n]) delta += (double)bytes_of(o->g, node->out[i].id);
    for (int i = 0; i < node->nin; i++) {
        int root = o->root[node->in[i].id];
        if (is_result(o->g, root) && o->uses[root] == 1 && !reads_twice(node, i))
            delta -= (double)bytes_of(o->g, root);
    }
    return delta;
}

static void finish(tern_order *o, int n)
{
    const tern_node *node = o->g->nodes[n];
    o->done[n] = true;
    for (int i = 0; i < node->nin; i++) {
        int in = node->in[i].id;
        if (!in || reads_twice(node, i)) continue;
        o->uses[o->root[in]]--;
        o->readers[in]--;
    }
}

/* Nodes after n that waited for its results.  Consumers always stand behind their producers. */
static void release(tern_order *o, int n)
{
    const tern_node *node = o->g->nodes[n];
    for (int m = n + 1; m < o->g->node_count; m++) {
        const tern_node *other = o->g->nodes[m];
        for (int i = 0; i < other->nin; i++) {
            if (reads_twice(other, i)) continue;
            for (int k = 0; k < node->nout; k++) o->waiting[m] -= other->in[i].id == node->out[k].id;
        }
    }
}

static tern_status open_order(tern_order *o, const tern_graph *g)
{
    size_t values = (size_t)g->value_count, nodes = (size_t)g->node_count + 1;
    *o = (tern_order){.g = g};
    o->root = tern_take_array(values, sizeof *o->root);
    o->uses = tern_take_array(values, sizeof *o->uses);
    o->readers = tern_take_array(values, sizeof *o->readers);
    o->waiting = tern_take_array(nodes, sizeof *o->waiting);
    o->writes = tern_take_array(nodes, sizeof *o->writes);
    o->done = tern_take_array(nodes, sizeof *o->done);
    bool all = o->root && o->uses && o->readers && o->waiting && o->writes && o->done;
    return all ? TERN_OK : tern_no_memory(values * sizeof *o->root, "a plan");
}

tern_status tern_order_nodes(const tern_graph *graph, int *order)
{
    tern_order o;
    tern_status status = open_order(&o, graph);
    if (status == TERN_OK) prepare(&o);
    for (int s = 0; status == TERN_OK && s < graph->node_count; s++) {
        int best = -1;
        double least = 0;
        for (int n = 0; n < graph->node_count; n++) {
            if (!ready(&o, n)) continue;
            double delta = growth(&o, n);
            if (best < 0 || delta < least) {
                best = n;
                least = delta;
            }
        }
        if (best <
            0) { /* writers wait for each other: take the first that has its inputs, its result will be copied */
            for (int n = 0; n < graph->node_count && best < 0; n++)
                if (!o.done[n] && !o.waiting[n]) best = n;
        }
        order[s] = best;
        finish(&o, best);
        release(&o, best);
    }
    tern_release(o.root);
    tern_release(o.uses);
    tern_release(o.readers);
    tern_release(o.waiting);
    tern_release(o.writes);
    tern_release(o.done);
    return status;
}

/* ---- updates as soon as they can be ------------------------------------------------------------------------------------ */

typedef struct tern_early {
    const tern_graph *g;
    int *root;  /* [value]: value that owns the memory, views resolved */
    int *reads; /* [value]: 1 + the last node of forward or backward pass that reads the root; 0: none */
    int *
        after; /* [node]: the node of those passes behind which it comes; of those themselves their own number */
} tern_early;

/* Behind the nodes that an update reads from, and behind all that read what it is about to change. */
static int comes_after(const tern_early *e, int n)
{
    const tern_graph *g = e->g;
    const tern_node *node = g->nodes[n];
    int after = -1;
    for (int i = 0; i < node->nin; i++) {
        const tern_value_info *v = tern_value_of(g, node->in[i]);
        if (!v) continue;
        int last = v->kind == TERN_VALUE_NODE ? e->after[v->node]
                   : v->next.id               ? e->reads[node->in[i].id] - 1
                                              : -1;
        if (last > after) after = last;
    }
    return after;
}

tern_status tern_order_early(const tern_graph *graph, int *order)
{
    size_t values = (size_t)graph->value_count, nodes = (size_t)graph->node_count;
    int *work = tern_take_array(2 * values + nodes + 1, sizeof *work), at = 0;
    if (!work) return tern_no_memory((2 * values + nodes) * sizeof *work, "a plan");
    tern_early e = {graph, work, work + values, work + 2 * values};
    for (int i = 0; i < graph->value_count; i++) e.root[i] = i;
    for (int n = 0; n < graph->node_count; n++) {
        const tern_node *node = graph->nodes[n];
        if (node->op->flags & TERN_OP_VIEW) e.root[node->out[0].id] = e.root[node->in[0].id];
        for (int i = 0; i < node->nin && node->phase != TERN_UPDATE; i++)
            e.reads[e.root[node->in[i].id]] = n + 1;
    }
    for (int n = 0; n < graph->node_count; n++)
        e.after[n] = graph->nodes[n]->phase == TERN_UPDATE ? comes_after(&e, n) : n;
    for (int n = -1; n < graph->node_count; n++) {
        if (n >= 0 && graph->nodes[n]->phase != TERN_UPDATE) order[at++] = n;
        for (int m = n + 1; m < graph->node_count; m++)
            if (graph->nodes[m]->phase == TERN_UPDATE && e.after[m] == n) order[at++] = m;
    }
    tern_release(work);
    return TERN_OK;
}
