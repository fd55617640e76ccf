/* What a program does, step by step, before it runs: arithmetic from each operator's own account, bytes from where its
 * operands are. */
#include "plan/reuse.h"

#include "kernel/packed.h"

#include <string.h>

static double bytes_of(const tern_tensor *t)
{
    return (double)tern_bytes_of(t->dtype, tern_elements(&t->shape));
}

void tern_step_bytes(const tern_program *p, const tern_node *node, const tern_call *call, double *in,
                     double *out)
{
    for (int i = 0; i < node->nin; i++) in[i] = node->in[i].id ? bytes_of(&call->in[i]) : 0;
    for (int i = 0; i < node->nout; i++)
        out[i] = p->places[node->out[i].id].space != TERN_SPACE_NONE ? bytes_of(&call->out[i]) : 0;
    if (!node->op->touched) return;
    node->op->touched(call, in, out);
    for (int i = 0; i < node->nout && i < (int)TERN_COUNT(node->op->inplace); i++) {
        int operand = node->op->inplace[i] - 1;
        if (operand < 0 || p->places[node->out[i].id].root == p->places[node->in[operand].id].root) continue;
        in[operand] =
            bytes_of(&call->in[operand]); /* it was not given that memory: it copies what it keeps */
        out[i] = bytes_of(&call->out[i]);
    }
}

/* Bytes of one operand, by the kind of memory that it is in. */
static void add_read(const tern_program *p, int id, double bytes, tern_traffic *t)
{
    if (p->places[id].space == TERN_SPACE_PREPARED) {
        t->weights += bytes;
        return;
    }
    switch (p->graph->values[p->places[id].root].kind) {
    case TERN_VALUE_PARAM:
    case TERN_VALUE_CONSTANT:
        t->weights += bytes;
        break;
    case TERN_VALUE_STATE:
        t->state += bytes;
        if (!p->graph->values[p->places[id].root].kept) t->membranes += bytes;
        break;
    case TERN_VALUE_INPUT:
    case TERN_VALUE_NODE:
        t->read += bytes;
        if (p->places[id].space == TERN_SPACE_HOST) t->moved += bytes;
        break;
    }
}

static void add_written(const tern_program *p, int id, double bytes, tern_traffic *t)
{
    const tern_place *place = &p->places[id];
    if (place->space == TERN_SPACE_HOST) t->moved += bytes;
    if (place->space != TERN_SPACE_STORE)
        t->written += bytes;
    else
        t->state += bytes;
    if (place->space == TERN_SPACE_STORE && !p->graph->values[place->root].kept) t->membranes += bytes;
}

/* What the bodies of a step do, times how often they run: `steps` times, or with two bodies `chosen` of them. */
static tern_status add_bodies(const tern_step *step, double density, tern_step_work *out)
{
    int steps = tern_int_argument(step->node, "steps"), chosen = tern_int_argument(step->node, "chosen");
    for (int i = 0; i < TERN_BODIES; i++) {
        const tern_program *body = step->body[i];
        if (!body) continue;
        double times = !step->body[1] ? steps : i == 0 ? chosen : steps - chosen;
        tern_step_work *inner = tern_take_array((size_t)body->step_count + 1, sizeof *inner);
        if (!inner) return tern_no_memory((size_t)body->step_count * sizeof *inner, "an account of work");
        tern_status status = tern_program_work(body, density, inner);
        for (int s = 0; status == TERN_OK && s < body->step_count; s++) {
            const tern_work *w = &inner[s].work;
            const tern_traffic *t = &inner[s].traffic;
            tern_work_add(&out->work, &(tern_work){w->macs * times, w->accumulates * times,
                                                   w->specials * times, w->elementwise * times});
            out->traffic.weights += t->weights * times;
            out->traffic.state += t->state * times;
            out->traffic.membranes += t->membranes * times;
            out->traffic.read += t->read * times;
            out->traffic.written += t->written * times;
            out->traffic.moved += t->moved * times;
            out->on_spikes |= inner[s].on_spikes;
        }
        tern_release(inner);
        TERN_TRY(status);
    }
    return TERN_OK;
}

/* What a node reads that is known, into its call. */
static void know(const tern_graph *g, const tern_node *node, const tern_known_input *known, int count,
                 tern_tensor *in)
{
    for (int i = 0; i < node->nin; i++) {
        const tern_value_info *v = &g->values[node->in[i].id];
        for (int k = 0; node->in[i].id && v->kind == TERN_VALUE_INPUT && k < count; k++)
            if (strcmp(v->name, known[k].name) == 0) in[i].data = (void *)(uintptr_t)known[k].data;
    }
}

/* Names what a node does, and says in which format: those of its parameters. */
static void describe(const tern_program *p, const tern_node *node, tern_step_work *out)
{
    *out = (tern_step_work){.node = node, .label = node->layer ? node->layer : "", .dtype = TERN_F32};
    for (int i = node->nin - 1; i >= 0; i--) {
        const tern_value_info *v = &p->graph->values[p->places[node->in[i].id].root];
        if (!node->in[i].id || v->kind != TERN_VALUE_PARAM) continue;
        if (!node->layer || !*node->layer) out->label = v->name;
        out->dtype = tern_packed_arithmetic(v->type.dtype);
        out->weights = v->type.dtype;
    }
}

tern_status tern_program_work(const tern_program *program, double density, tern_step_work *steps)
{
    return tern_program_work_with(program, density, NULL, 0, steps);
}

tern_status tern_program_work_with(const tern_program *program, double density, const tern_known_input *known,
                                   int known_count, tern_step_work *steps)
{
    const tern_graph *g = program->graph;
    for (int s = 0; s < program->step_count; s++) {
        const tern_node *node = program->steps[s].node;
        tern_step_work *out = &steps[s];
        describe(program, node, out);
        if (s < program->prepare_count || (node->op->flags & TERN_OP_VIEW)) continue;
        size_t operands = (size_t)(node->nin + node->nout);
        tern_tensor *tensors = tern_take_array(operands, sizeof *tensors);
        double *densities = tern_take_array((size_t)node->nin + 1, sizeof *densities);
        double *bytes = tern_take_array(operands, sizeof *bytes);
        if (!tensors || !densities || !bytes) {
            tern_release(tensors);
            tern_release(densities);
            tern_release(bytes);
            return tern_no_memory(operands * sizeof *tensors, "an account of work");
        }
        tern_call call = tern_call_of(g, node, tensors, tensors + node->nin);
        know(g, node, known, known_count, tensors);
        tern_step_bytes(program, node, &call, bytes, bytes + node->nin);
        for (int i = 0; i < node->nin; i++) {
            densities[i] = density;
            if (!node->in[i].id) continue;
            add_read(program, node->in[i].id, bytes[i], &out->traffic);
            out->bits |= tensors[i].dtype == TERN_BIT;
        }
        out->on_spikes |= out->bits || call.levels > 0;
        if (node->nin && tensors[0].dtype == TERN_I8) out->dtype = TERN_I8;
        for (int i = 0; i < node->nout; i++)
            add_written(program, node->out[i].id, bytes[node->nin + i], &out->traffic);
        call.density = densities;
        out->spread = tern_call_spread(&call);
        out->defined = node->op->fast && !program->steps[s].fast;
        node->op->work(&call, &out->work);
        if (out->work.macs == 0) out->dtype = TERN_F32;
        if (node->op->product) out->product = node->op->product(&call);
        tern_release(tensors);
        tern_release(densities);
        tern_release(bytes);
        TERN_TRY(add_bodies(&program->steps[s], density, out));
    }
    return tern_program_ages(program, steps);
}

tern_task_work tern_task_of(const tern_step_work *s)
{
    tern_task_work t = {
        s->label,         s->work,         s->dtype,           s->on_spikes, s->traffic.weights,
        s->traffic.state, s->traffic.read, s->traffic.written, s->product,   s->node->op->name,
        s->weights,       s->bits,         s->defined,         s->spread,    {0},
        s->handed};
    memcpy(t.aged, s->aged, sizeof t.aged);
    return t;
}

/* Adds the memory of root `id`, which the steps of each run read. */
static void add_need(const tern_program *p, int id, tern_memory_need *need)
{
    double bytes = (double)p->places[id].bytes;
    switch (p->graph->values[id].kind) {
    case TERN_VALUE_PARAM:
    case TERN_VALUE_CONSTANT:
        need->weights += bytes;
        break;
    case TERN_VALUE_STATE:
        need->state += bytes;
        if (!p->graph->values[id].kept) need->membranes += bytes;
        break;
    case TERN_VALUE_INPUT:
        need->inputs += bytes;
        break;
    case TERN_VALUE_NODE:
        if (p->places[id].space == TERN_SPACE_PREPARED) need->weights += bytes;
        break;
    }
}

tern_status tern_program_memory(const tern_program *program, tern_memory_need *need)
{
    const tern_graph *g = program->graph;
    bool *read = tern_take_array((size_t)g->value_count, sizeof *read);
    if (!read) return tern_no_memory((size_t)g->value_count, "an account of memory");
    for (int s = program->prepare_count; s < program->step_count; s++) {
        const tern_node *node = program->steps[s].node;
        for (int i = 0; i < node->nin; i++) read[program->places[node->in[i].id].root] = true;
    }
    *need = (tern_memory_need){.arena = (double)program->arena_bytes};
    for (int i = 1; i < g->value_count; i++)
        if (read[i] || g->values[i].next.id) add_need(program, i, need);
    tern_release(read);
    return TERN_OK;
}

tern_status tern_bill_open(tern_bill *b, const tern_program *p, double density)
{
    size_t count = (size_t)p->step_count + 1;
    *b = (tern_bill){.steps = tern_take_array(count, sizeof *b->steps),
                     .tasks = tern_take_array(count, sizeof *b->tasks)};
    tern_status status = b->steps && b->tasks ? tern_program_work(p, density, b->steps)
                                              : tern_no_memory(count * sizeof *b->tasks, "a cost");
    if (status == TERN_OK) status = tern_program_memory(p, &b->need);
    if (status != TERN_OK) {
        tern_bill_close(b);
        return status;
    }
    for (int i = 0; i < p->step_count; i++) b->tasks[i] = tern_task_of(&b->steps[i]);
    b->query = (tern_cost_query){.tasks = b->tasks,
                                 .count = p->step_count,
                                 .weights = b->need.weights,
                                 .state = b->need.state,
                                 .arena = b->need.arena,
                                 .inputs = b->need.inputs};
    return TERN_OK;
}

void tern_bill_close(tern_bill *b)
{
    tern_release(b->steps);
    tern_release(b->tasks);
    *b = (tern_bill){0};
}
