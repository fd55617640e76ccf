/* A plan that moves tensors, as a program: a graph in which what leaves and what returns are steps. */
#include "plan/cosma.h"

#include "op/op.h"

#include <string.h>

typedef struct mover {
    const tern_program *program;
    const tern_flow *flow;
    const tern_cosma_plan *plan;
    tern_rewrite rewrite;
    tern_value *there;  /* [tensors]: where each is read from now */
    tern_value *hosted; /* [tensors]: its copy in host memory */
    int *tensor;        /* [values of the old graph]: 1 + its tensor; 0: none */
    size_t *offset;     /* [room]: of each value of the new graph */
    int room;
} mover;

static tern_status fix(mover *m, tern_value value, size_t offset)
{
    int wanted = value.id + 1;
    TERN_TRY(tern_graph_status(m->rewrite.to));
    if (wanted > m->room) {
        int bigger = 2 * m->room > wanted ? 2 * m->room : wanted;
        size_t *grown =
            tern_resize(m->offset, (size_t)m->room * sizeof *grown, (size_t)bigger * sizeof *grown);
        if (!grown) return tern_no_memory((size_t)bigger * sizeof *grown, "a plan");
        m->offset = grown;
        m->room = bigger;
    }
    m->offset[value.id] = offset;
    return TERN_OK;
}

static size_t cell(const mover *m, int tensor, int time)
{
    return (size_t)tensor * (size_t)m->flow->steps + (size_t)time;
}

static tern_status spill(mover *m, int a)
{
    tern_graph *to = m->rewrite.to;
    if (m->hosted[a].id) return TERN_OK; /* a result of the net has its copy already */
    m->hosted[a] = tern_apply(to, &tern_op_spill, NULL, &m->there[a], 1, NULL);
    return fix(m, m->hosted[a], TERN_FIXED_HOST);
}

/* What an old value is called now: views are shown anew from where their tensor lies. */
static tern_value now(mover *m, int id)
{
    const tern_graph *g = m->program->graph;
    if (m->tensor[id]) return m->there[m->tensor[id] - 1];
    if (!id || g->values[id].kind != TERN_VALUE_NODE) return m->rewrite.map[id];
    const tern_node *node = g->nodes[g->values[id].node];
    if (!(node->op->flags & TERN_OP_VIEW)) return m->rewrite.map[id];
    m->rewrite.map[node->in[0].id] = now(m, node->in[0].id);
    tern_rewrite_node(&m->rewrite, node);
    return m->rewrite.map[id];
}

/* Whether a value, or a view of it, is a result of the net or what a state becomes. */
static bool is_result(const tern_graph *g, int id)
{
    for (int i = 0; i < g->output_count; i++)
        if (g->outputs[i].value.id == id) return true;
    for (int i = 1; i < g->value_count; i++)
        if (g->values[i].next.id == id) return true;
    for (int n = 0; n < g->node_count; n++) {
        const tern_node *node = g->nodes[n];
        if ((node->op->flags & TERN_OP_VIEW) && node->in[0].id == id && is_result(g, node->out[0].id))
            return true;
    }
    return false;
}

static tern_status move(mover *m, int time, tern_residence what)
{
    for (int a = 0; a < m->flow->tensors; a++) {
        if (m->plan->residence[cell(m, a, time)] != what) continue;
        if (what == TERN_SPILLED) {
            TERN_TRY(spill(m, a));
            continue;
        }
        m->there[a] = tern_apply(m->rewrite.to, &tern_op_retrieve, NULL, &m->hosted[a], 1, NULL);
        TERN_TRY(fix(m, m->there[a], m->plan->address[cell(m, a, time)]));
    }
    return TERN_OK;
}

static tern_status take_step(mover *m, int time)
{
    const tern_graph *g = m->program->graph;
    const tern_node *node = g->nodes[m->flow->node[m->plan->order[time]]];
    TERN_TRY(move(m, time, TERN_SPILLED));
    TERN_TRY(move(m, time, TERN_RETRIEVED));
    for (int i = 0; i < node->nin; i++) m->rewrite.map[node->in[i].id] = now(m, node->in[i].id);
    tern_rewrite_node(&m->rewrite, node);
    for (int i = 0; i < node->nout; i++) {
        int a = m->tensor[node->out[i].id] - 1;
        if (a < 0) continue;
        m->there[a] = m->rewrite.map[node->out[i].id];
        TERN_TRY(fix(m, m->there[a], m->plan->address[cell(m, a, time)]));
        if (is_result(g, node->out[i].id)) TERN_TRY(spill(m, a));
    }
    return TERN_OK;
}

/* Nodes whose results are prepared, then the steps in the order of the plan; results of the net are the copies. */
static tern_status write_graph(mover *m)
{
    const tern_program *p = m->program;
    const tern_graph *g = p->graph;
    for (int s = 0; s < p->prepare_count; s++) tern_rewrite_node(&m->rewrite, p->steps[s].node);
    for (int a = 0; a < m->flow->tensors; a++) /* parameters begin in host memory */
        if (m->flow->producer[a] < 0) m->hosted[a] = m->rewrite.map[m->flow->value[a]];
    for (int t = 0; t < m->flow->steps; t++) TERN_TRY(take_step(m, t));
    for (int a = 0; a < m->flow->tensors; a++)
        if (m->hosted[a].id) m->there[a] = m->hosted[a];
    for (int i = 0; i < g->output_count; i++)
        m->rewrite.map[g->outputs[i].value.id] = now(m, g->outputs[i].value.id);
    for (int i = 1; i < g->value_count; i++)
        if (g->values[i].next.id) m->rewrite.map[g->values[i].next.id] = now(m, g->values[i].next.id);
    return TERN_OK;
}

static tern_status open_mover(mover *m)
{
    const tern_flow *f = m->flow;
    m->there = tern_take_array((size_t)f->tensors + 1, sizeof *m->there);
    m->hosted = tern_take_array((size_t)f->tensors + 1, sizeof *m->hosted);
    m->tensor = tern_take_array((size_t)m->program->graph->value_count, sizeof *m->tensor);
    if (!m->there || !m->hosted || !m->tensor) return tern_no_memory((size_t)f->tensors * 16, "a plan");
    for (int a = 0; a < f->tensors; a++) m->tensor[f->value[a]] = a + 1;
    return tern_rewrite_open(&m->rewrite, m->program->graph);
}

tern_status tern_plan_moved(tern_program **moved, const tern_program *program, const tern_flow *flow,
                            const tern_cosma_plan *plan, size_t memory, const tern_plan_options *options)
{
    mover m = {.program = program, .flow = flow, .plan = plan};
    tern_graph *graph = NULL;
    tern_plan_options o = options ? *options : (tern_plan_options){0};
    tern_status status = open_mover(&m);
    if (status == TERN_OK) {
        status = write_graph(&m);
        tern_status closed = tern_rewrite_close(&m.rewrite, &graph);
        if (status == TERN_OK) status = closed;
    }
    /* values behind the last that was fixed are views, or prepared */
    if (status == TERN_OK && m.room < graph->value_count)
        status = fix(&m, (tern_value){graph->value_count - 1}, 0);
    if (status == TERN_OK) {
        tern_fixed_places fixed = {.bytes = memory, .offset = m.offset};
        o.keep_order = true;
        o.memory = 0;
        o.fixed = &fixed;
        status = tern_plan(moved, graph, &o);
    }
    if (status == TERN_OK)
        (*moved)->own_graph = graph;
    else
        tern_graph_close(graph);
    tern_release(m.there);
    tern_release(m.hosted);
    tern_release(m.tensor);
    tern_release(m.offset);
    return status;
}
