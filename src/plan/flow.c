/* What the steps of a program pass on to each other, and the oracle that replays a plan for it. */
#include "plan/cosma.h"

#include <string.h>

void tern_flow_free(tern_flow *flow)
{
    tern_release(flow->bytes);
    tern_release(flow->producer);
    tern_release(flow->begin);
    tern_release(flow->read);
    tern_release(flow->node);
    tern_release(flow->value);
    *flow = (tern_flow){0};
}

/* The value behind views. */
static int shown_by(const tern_graph *g, int id)
{
    while (id && g->values[id].kind == TERN_VALUE_NODE) {
        const tern_node *node = g->nodes[g->values[id].node];
        if (!(node->op->flags & TERN_OP_VIEW)) break;
        id = node->in[0].id;
    }
    return id;
}

bool tern_flow_reads(const tern_flow *f, int step, int tensor)
{
    for (int i = f->begin[step]; i < f->begin[step + 1]; i++)
        if (f->read[i] == tensor) return true;
    return false;
}

static void add_tensor(tern_flow *f, const tern_program *p, int id, int producer, int *tensor, bool int8)
{
    const tern_type *type = &p->graph->values[id].type;
    int64_t count = tern_elements(&type->shape);
    size_t bytes = (tern_bytes_of(type->dtype, count) + TERN_LINE - 1) / TERN_LINE * TERN_LINE;
    f->bytes[f->tensors] = int8 ? (size_t)count : bytes;
    f->producer[f->tensors] = producer;
    f->value[f->tensors] = id;
    tensor[id] = ++f->tensors;
}

/* What host memory has from the start: a parameter that stays as it is, or what is prepared of such. */
static bool is_parameter(const tern_program *p, int id)
{
    const tern_value_info *v = &p->graph->values[id];
    return p->places[id].space == TERN_SPACE_PREPARED || (v->kind == TERN_VALUE_PARAM && !v->next.id);
}

static void add_step(tern_flow *f, const tern_program *p, const tern_node *node, int *tensor,
                     tern_flow_options o)
{
    const tern_graph *g = p->graph;
    int step = f->steps;
    f->begin[step + 1] = f->begin[step];
    for (int i = 0; i < node->nin; i++) {
        int id = shown_by(g, node->in[i].id);
        if (o.parameters && id && !tensor[id] && is_parameter(p, id))
            add_tensor(f, p, id, -1, tensor, o.int8);
        int t = id ? tensor[id] - 1 : -1;
        if (t < 0 || tern_flow_reads(f, step, t)) continue;
        f->read[f->begin[step + 1]++] = t;
    }
    for (int i = 0; i < node->nout; i++)
        if (p->places[node->out[i].id].space != TERN_SPACE_NONE)
            add_tensor(f, p, node->out[i].id, step, tensor, o.int8);
    f->node[f->steps++] = g->values[node->out[0].id].node;
}

tern_status tern_flow_of(const tern_program *program, const tern_flow_options *options, tern_flow *flow)
{
    size_t values = (size_t)program->graph->value_count, operands = 1;
    tern_flow_options o = options ? *options : (tern_flow_options){0};
    for (int s = 0; s < program->step_count; s++) operands += (size_t)program->steps[s].node->nin;
    *flow = (tern_flow){0};
    int *tensor =
        tern_take_array(values, sizeof *tensor); /* number of each value's tensor, from 1; 0: none */
    flow->bytes = tern_take_array(values, sizeof *flow->bytes);
    flow->producer = tern_take_array(values, sizeof *flow->producer);
    flow->begin = tern_take_array((size_t)program->step_count + 2, sizeof *flow->begin);
    flow->read = tern_take_array(operands, sizeof *flow->read);
    flow->node = tern_take_array((size_t)program->step_count + 1, sizeof *flow->node);
    flow->value = tern_take_array(values, sizeof *flow->value);
    bool all =
        tensor && flow->bytes && flow->producer && flow->begin && flow->read && flow->node && flow->value;
    for (int s = program->prepare_count; all && s < program->step_count; s++) {
        const tern_node *node = program->steps[s].node;
        if (!(node->op->flags & TERN_OP_VIEW)) add_step(flow, program, node, tensor, o);
    }
    tern_release(tensor);
    if (all) return TERN_OK;
    tern_flow_free(flow);
    return tern_no_memory(values * sizeof *tensor, "a plan");
}

size_t tern_flow_least(const tern_flow *flow, int *step)
{
    size_t most = 0;
    *step = 0;
    for (int s = 0; s < flow->steps; s++) {
        size_t bytes = 0;
        for (int i = flow->begin[s]; i < flow->begin[s + 1]; i++) bytes += flow->bytes[flow->read[i]];
        for (int a = 0; a < flow->tensors; a++)
            if (flow->producer[a] == s) bytes += flow->bytes[a];
        if (bytes <= most) continue;
        most = bytes;
        *step = s;
    }
    return most;
}

/* The step that writes a tensor, or the first that reads it, and the last that reads it. */
static void life_of(const tern_flow *flow, int tensor, int *first, int *last)
{
    *first = *last = flow->producer[tensor];
    for (int s = *first < 0 ? 0 : *first; s < flow->steps; s++) {
        if (!tern_flow_reads(flow, s, tensor)) continue;
        if (*first < 0) *first = s;
        *last = s;
    }
}

size_t tern_flow_peak(const tern_flow *flow)
{
    size_t most = 0;
    for (int s = 0; s < flow->steps; s++) {
        size_t bytes = 0;
        for (int a = 0; a < flow->tensors; a++) {
            int first, last;
            life_of(flow, a, &first, &last);
            if (first <= s && s <= last) bytes += flow->bytes[a];
        }
        if (bytes > most) most = bytes;
    }
    return most;
}

size_t tern_flow_compulsory(const tern_flow *flow)
{
    size_t bytes = 0;
    for (int a = 0; a < flow->tensors; a++)
        if (flow->producer[a] < 0) bytes += flow->bytes[a];
    return bytes;
}

/* ---- the oracle ---------------------------------------------------------------------------------------------------- */

/* owner[byte]: 1 + the tensor whose content it holds; 0: poison. */
typedef struct replay {
    const tern_flow *flow;
    const tern_cosma_plan *plan;
    size_t memory;
    int *owner;
    bool *hosted; /* [tensors]: host memory has a copy */
} replay;

static size_t cell(const replay *r, int tensor, int time)
{
    return (size_t)tensor * (size_t)r->flow->steps + (size_t)time;
}

static tern_residence residence_of(const replay *r, int tensor, int time)
{
    return time < 0 ? TERN_AWAY : (tern_residence)r->plan->residence[cell(r, tensor, time)];
}

static bool is_there(tern_residence r)
{
    return r == TERN_CREATED || r == TERN_PRESERVED || r == TERN_RETRIEVED;
}

/* Whether all bytes of the tensor at its address of `time` hold its content. */
static bool intact(const replay *r, int tensor, int time)
{
    size_t from = r->plan->address[cell(r, tensor, time)];
    if (from + r->flow->bytes[tensor] > r->memory) return false;
    for (size_t i = 0; i < r->flow->bytes[tensor]; i++)
        if (r->owner[from + i] != tensor + 1) return false;
    return true;
}

static tern_status wrong(int tensor, int time, const char *what)
{
    return tern_fail(TERN_FAILED, "the plan is wrong: tensor %d at time %d %s", tensor, time, what);
}

/* Puts content at an address: all bytes there must be free. */
static tern_status put(replay *r, int tensor, int time)
{
    size_t from = r->plan->address[cell(r, tensor, time)], bytes = r->flow->bytes[tensor];
    if (from + bytes > r->memory) return wrong(tensor, time, "ends behind the memory");
    for (size_t i = 0; i < bytes; i++) {
        if (r->owner[from + i]) return wrong(tensor, time, "overlaps another");
        r->owner[from + i] = tensor + 1;
    }
    return TERN_OK;
}

/* Leaving comes first, then what comes back, then what is written. */
static tern_status leave(replay *r, int a, int t, double *spilled)
{
    tern_residence now = residence_of(r, a, t), before = residence_of(r, a, t - 1);
    if (now == TERN_SPILLED) {
        if (!is_there(before) || !intact(r, a, t - 1)) return wrong(a, t, "is spilled but not there");
        r->hosted[a] = true;
        *spilled += (double)r->flow->bytes[a];
    }
    if (now == TERN_PRESERVED) {
        bool stays =
            is_there(before) && r->plan->address[cell(r, a, t)] == r->plan->address[cell(r, a, t - 1)];
        return stays && intact(r, a, t) ? TERN_OK : wrong(a, t, "is preserved but was not there");
    }
    if (is_there(before)) /* what it held is poison from here on */
        memset(r->owner + r->plan->address[cell(r, a, t - 1)], 0, r->flow->bytes[a] * sizeof *r->owner);
    return TERN_OK;
}

static tern_status replay_time(replay *r, int t, double *spilled, double *retrieved)
{
    const tern_flow *f = r->flow;
    int step = r->plan->order[t];
    for (int a = 0; a < f->tensors; a++) TERN_TRY(leave(r, a, t, spilled));
    for (int a = 0; a < f->tensors; a++) {
        if (residence_of(r, a, t) != TERN_RETRIEVED) continue;
        if (!r->hosted[a]) return wrong(a, t, "is retrieved but host memory has no copy");
        TERN_TRY(put(r, a, t));
        *retrieved += (double)f->bytes[a];
    }
    for (int a = 0; a < f->tensors; a++) {
        if ((residence_of(r, a, t) == TERN_CREATED) != (f->producer[a] == step))
            return wrong(a, t, "is created by another step than its own");
        if (f->producer[a] == step) TERN_TRY(put(r, a, t));
    }
    for (int i = f->begin[step]; i < f->begin[step + 1]; i++)
        if (!is_there(residence_of(r, f->read[i], t)) || !intact(r, f->read[i], t))
            return wrong(f->read[i], t, "is read but not there");
    return TERN_OK;
}

tern_status tern_cosma_replay(const tern_flow *flow, const tern_cosma_plan *plan, size_t memory,
                              double *spilled, double *retrieved)
{
    replay r = {.flow = flow, .plan = plan, .memory = memory};
    *spilled = *retrieved = 0;
    r.owner = tern_take_array(memory + 1, sizeof *r.owner);
    r.hosted = tern_take_array((size_t)flow->tensors + 1, sizeof *r.hosted);
    tern_status status = r.owner && r.hosted ? TERN_OK : tern_no_memory(memory * sizeof *r.owner, "a replay");
    for (int a = 0; status == TERN_OK && a < flow->tensors; a++) r.hosted[a] = flow->producer[a] < 0;
    for (int t = 0; status == TERN_OK && t < flow->steps; t++)
        status = replay_time(&r, t, spilled, retrieved);
    tern_release(r.owner);
    tern_release(r.hosted);
    return status;
}
