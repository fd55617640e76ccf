/* The executor: resolves the places of a program to memory and runs its steps in order. */
#include "run/pager.h"

#include <string.h>

struct tern_session {
    const tern_program *program;
    tern_store *store;
    tern_pool *pool;
    char *arena; /* owned, or part of the parent's scratch */
    bool owns_arena;
    char *host;     /* what has left the arena */
    char *prepared; /* results of the steps that run once */
    uint64_t prepared_version;
    bool is_prepared, changes_store, resolved;
    void **memory;    /* [value_count]: storage of each root; views and shared results resolve through it */
    int *slots;       /* [value_count]: index in the store of parameters and kept states, else -1 */
    tern_call *calls; /* [step_count] */
    tern_tensor *tensors;                 /* operands of all calls */
    tern_session *(*bodies)[TERN_BODIES]; /* [step_count], NULL where a step has none */
    size_t body_offset;  /* of a body: where its arena begins in the scratch memory of its operator */
    tern_work *counters; /* [step_count] while counting */
    double *seconds, *spikes, *bytes;
    double *touched; /* bytes of each operand of one step, room for the most that a step has */
    bool counting;
    tern_pager *pager;  /* or NULL */
    int *visit;         /* [step_count]: of the pager; -1: of none */
    tern_status paging; /* of the last run */
};

void tern_session_close(tern_session *session)
{
    if (!session) return;
    const tern_program *p = session->program;
    for (int i = 1; session->memory && session->slots && i < p->graph->value_count; i++) {
        bool own_state = p->graph->values[i].kind == TERN_VALUE_STATE && session->slots[i] < 0;
        if (own_state && session->owns_arena) tern_release(session->memory[i]);
    }
    for (int s = 0; session->bodies && s < p->step_count; s++)
        for (int i = 0; i < TERN_BODIES; i++) tern_session_close(session->bodies[s][i]);
    if (session->owns_arena) tern_release(session->arena);
    tern_release(session->host);
    tern_release(session->prepared);
    tern_release(session->memory);
    tern_release(session->slots);
    tern_release(session->calls);
    tern_release(session->tensors);
    tern_release(session->bodies);
    tern_release(session->counters);
    tern_release(session->seconds);
    tern_release(session->spikes);
    tern_release(session->bytes);
    tern_release(session->touched);
    tern_release(session->visit);
    tern_release(session);
}

/* Where the elements of a value are now. */
static void *memory_of(const tern_session *s, int id)
{
    const tern_place *place = &s->program->places[id];
    switch (place->space) {
    case TERN_SPACE_ARENA:
        return s->arena + place->offset;
    case TERN_SPACE_HOST:
        return s->host + place->offset;
    case TERN_SPACE_PREPARED:
        return s->prepared + place->offset;
    case TERN_SPACE_INPUT:
    case TERN_SPACE_STORE:
        return s->memory[place->root];
    case TERN_SPACE_CONSTANT:
        return (void *)(uintptr_t)s->program->graph->values[place->root].content;
    case TERN_SPACE_NONE:
        break;
    }
    return NULL;
}

/* Point the operands of all calls at their memory. */
static void resolve(tern_session *s)
{
    for (int i = 0; i < s->program->step_count; i++) {
        const tern_node *node = s->program->steps[i].node;
        tern_call *call = &s->calls[i];
        for (int k = 0; k < node->nin; k++)
            ((tern_tensor *)(uintptr_t)call->in)[k].data = memory_of(s, node->in[k].id);
        for (int k = 0; k < node->nout; k++)
            ((tern_tensor *)(uintptr_t)call->out)[k].data = memory_of(s, node->out[k].id);
        call->scratch =
            (i < s->program->prepare_count ? s->prepared : s->arena) + s->program->steps[i].scratch_offset;
    }
}

/* Work and bytes of a step, from its operands as they are before some are overwritten in place. */
static void count_step(tern_session *s, int i)
{
    const tern_node *node = s->program->steps[i].node;
    s->calls[i].op->work(&s->calls[i], &s->counters[i]);
    tern_step_bytes(s->program, node, &s->calls[i], s->touched, s->touched + node->nin);
    for (int k = 0; k < node->nin + node->nout; k++) s->bytes[i] += s->touched[k];
}

static void run_steps(tern_session *s, int from, int to, uint64_t seed);
static void copy_states(tern_session *s);

/* The body of an operator, once: inputs and states are the operator's memory, outputs are copied to it. */
static void run_body(const tern_call *call, int which, const void *const *in, void *const *state,
                     void *const *out)
{
    tern_session *b = call->body[which];
    const tern_graph *g = b->program->graph;
    int inputs = 0, states = 0;
    for (int i = 1; i < g->value_count; i++)
        if (g->values[i].kind == TERN_VALUE_INPUT) b->memory[i] = (void *)(uintptr_t)in[inputs++];
    for (int i = 1; i < g->value_count; i++) {
        if (g->values[i].kind == TERN_VALUE_PARAM) b->memory[i] = (void *)(uintptr_t)in[inputs++];
        if (g->values[i].kind == TERN_VALUE_STATE) b->memory[i] = state[states++];
    }
    b->arena = (char *)call->scratch + b->body_offset;
    resolve(b);
    run_steps(b, 0, b->program->step_count, call->seed);
    copy_states(b);
    for (int i = 0; i < g->output_count; i++) {
        const tern_place *place = &b->program->places[g->outputs[i].value.id];
        if (out[i]) tern_pool_copy(b->pool, out[i], memory_of(b, g->outputs[i].value.id), place->bytes);
    }
}

static tern_status open_calls(tern_session *s)
{
    const tern_program *p = s->program;
    size_t operands = 0, most = 0;
    for (int i = 0; i < p->step_count; i++) {
        size_t own = (size_t)(p->steps[i].node->nin + p->steps[i].node->nout);
        operands += own;
        if (own > most) most = own;
    }
    s->calls = tern_take_array((size_t)p->step_count + 1, sizeof *s->calls);
    s->tensors = tern_take_array(operands + 1, sizeof *s->tensors);
    s->bodies = tern_take_array((size_t)p->step_count + 1, sizeof *s->bodies);
    s->counters = tern_take_array((size_t)p->step_count + 1, sizeof *s->counters);
    s->seconds = tern_take_array((size_t)p->step_count + 1, sizeof *s->seconds);
    s->spikes = tern_take_array((size_t)p->step_count + 1, sizeof *s->spikes);
    s->bytes = tern_take_array((size_t)p->step_count + 1, sizeof *s->bytes);
    s->touched = tern_take_array(most + 1, sizeof *s->touched);
    if (!s->calls || !s->tensors || !s->bodies || !s->counters || !s->seconds || !s->spikes || !s->bytes ||
        !s->touched)
        return tern_no_memory(operands * sizeof *s->tensors, "a session");
    tern_tensor *next = s->tensors;
    for (int i = 0; i < p->step_count; i++) {
        const tern_node *node = p->steps[i].node;
        s->calls[i] = tern_call_of(p->graph, node, next, next + node->nin);
        s->calls[i].pool = s->pool;
        next += node->nin + node->nout;
    }
    return TERN_OK;
}

static tern_status open_common(tern_session *s, const tern_program *program, tern_store *store,
                               tern_pool *pool)
{
    size_t values = (size_t)program->graph->value_count;
    s->program = program;
    s->store = store;
    s->pool = pool;
    s->memory = tern_take_array(values, sizeof *s->memory);
    s->slots = tern_take_array(values, sizeof *s->slots);
    if (!s->memory || !s->slots) return tern_no_memory(values * sizeof *s->memory, "a session");
    for (size_t i = 0; i < values; i++) s->slots[i] = -1;
    TERN_TRY(open_calls(s));
    for (int i = 0; i < program->step_count; i++) {
        for (int k = 0; k < TERN_BODIES; k++) {
            if (!program->steps[i].body[k]) continue;
            tern_session *body = tern_take(sizeof *body);
            if (!body) return tern_no_memory(sizeof *body, "a session");
            s->bodies[i][k] = s->calls[i].body[k] = body;
            s->calls[i].run_body = run_body;
            body->body_offset = program->steps[i].body_offset;
            TERN_TRY(open_common(body, program->steps[i].body[k], NULL, pool));
        }
    }
    return TERN_OK;
}

/* Storage of parameters and states. */
static tern_status open_states(tern_session *s)
{
    const tern_graph *g = s->program->graph;
    for (int i = 1; i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        if (v->kind != TERN_VALUE_PARAM && v->kind != TERN_VALUE_STATE) continue;
        if (v->kept) {
            TERN_TRY(tern_store_need(s->store, v->name, &v->type, v->init, g->options.seed, &s->slots[i]));
            s->changes_store |= v->next.id != 0;
        } else {
            size_t bytes = tern_bytes_of(v->type.dtype, tern_elements(&v->type.shape));
            s->memory[i] = tern_take(bytes);
            if (!s->memory[i]) return tern_no_memory(bytes, v->name);
        }
    }
    for (int i = 1; i < g->value_count; i++) /* the store may have moved while it grew */
        if (s->slots[i] >= 0) s->memory[i] = s->store->tensors[s->slots[i]].data;
    return TERN_OK;
}

tern_status tern_session_open(tern_session **session, const tern_program *program, tern_store *store,
                              tern_pool *pool)
{
    tern_session *s = tern_take(sizeof *s);
    if (!s) return tern_no_memory(sizeof *s, "a session");
    s->owns_arena = true;
    tern_status status = open_common(s, program, store, pool);
    if (status == TERN_OK) status = open_states(s);
    if (status == TERN_OK && program->prepared_bytes) {
        s->prepared = tern_take(program->prepared_bytes);
        if (!s->prepared) status = tern_no_memory(program->prepared_bytes, "prepared parameters");
    }
    if (status == TERN_OK && program->host_bytes) {
        s->host = tern_take(program->host_bytes);
        if (!s->host) status = tern_no_memory(program->host_bytes, "what leaves the arena");
    }
    if (status == TERN_OK && program->arena_bytes) {
        s->arena = tern_take(program->arena_bytes);
        if (!s->arena) status = tern_no_memory(program->arena_bytes, "the arena of a program");
    }
    if (status != TERN_OK) {
        tern_session_close(s);
        return status;
    }
    tern_session_reset(s);
    *session = s;
    return TERN_OK;
}

tern_status tern_session_page(tern_session *session, tern_pager *pager)
{
    size_t steps = (size_t)session->program->step_count + 1;
    if (!session->visit) session->visit = tern_take_array(steps, sizeof *session->visit);
    if (!session->visit) return tern_no_memory(steps * sizeof *session->visit, "a session");
    TERN_TRY(tern_pager_map(pager, session->program, session->slots, session->visit));
    session->pager = pager;
    return TERN_OK;
}

tern_status tern_session_bind(tern_session *session, const char *input, const void *data)
{
    const tern_graph *g = session->program->graph;
    tern_value v = tern_find_value(g, input);
    if (!v.id || g->values[v.id].kind != TERN_VALUE_INPUT)
        return tern_fail(TERN_FAILED, "the program has no input \"%s\"", input);
    session->memory[v.id] = (void *)(uintptr_t)data;
    session->resolved = false;
    return TERN_OK;
}

/* Work and spikes that the bodies of a step counted in their own sessions. */
static void count_bodies(tern_session *s, int i)
{
    for (int which = 0; which < TERN_BODIES; which++) {
        tern_session *body = s->bodies[i][which];
        for (int k = 0; body && k < body->program->step_count; k++) {
            tern_work_add(&s->counters[i], &body->counters[k]);
            s->spikes[i] += body->spikes[k];
            s->bytes[i] += body->bytes[k];
        }
        if (body) tern_session_clear(body);
    }
}

/* An operand that a layer in fast memory holds is there. */
static void turn_operand(tern_session *s, int i, tern_value value, const tern_tensor *operand)
{
    const tern_place *place = value.id ? &s->program->places[value.id] : NULL;
    if (!place || place->space != TERN_SPACE_STORE || s->slots[place->root] < 0) return;
    void *here = tern_pager_find(s->pager, s->visit[i], s->slots[place->root]);
    if (here) ((tern_tensor *)(uintptr_t)operand)->data = here;
}

/* The parameters of a step are where the pager has brought them. */
static bool turn_page(tern_session *s, int i)
{
    const tern_node *node = s->program->steps[i].node;
    if (i == s->program->prepare_count || s->visit[i] != s->visit[i - 1])
        s->paging = tern_pager_enter(s->pager, s->visit[i]);
    if (s->paging != TERN_OK) return false;
    for (int k = 0; k < node->nin; k++) turn_operand(s, i, node->in[k], &s->calls[i].in[k]);
    for (int k = 0; k < node->nout; k++) turn_operand(s, i, node->out[k], &s->calls[i].out[k]);
    return true;
}

static void run_step(tern_session *s, int i, uint64_t seed)
{
    const tern_step *step = &s->program->steps[i];
    tern_call *call = &s->calls[i];
    if (step->node->op->flags & TERN_OP_VIEW) return;
    call->seed = seed;
    double begun = s->counting ? tern_now() : 0;
    if (s->counting) count_step(s, i);
    if (step->fast)
        step->fast->run(call);
    else
        step->node->op->run(call);
    if (s->counting) count_bodies(s, i);
    if (s->counting) s->seconds[i] += tern_now() - begun;
    bool counted = step->body[0] != NULL; /* by the bodies */
    if (s->counting && !counted && call->nout && call->out[0].dtype == TERN_BIT && call->out[0].data)
        s->spikes[i] += (double)tern_count_bits(&call->out[0]);
}

static void run_steps(tern_session *s, int from, int to, uint64_t seed)
{
    bool paged = s->pager && from >= s->program->prepare_count;
    for (int i = from; i < to; i++) {
        const tern_step *step = &s->program->steps[i];
        if (step->joined > 1 && !paged && !s->counting) {
            step->node->op->joining->run(&s->calls[i], step->joined);
            i += step->joined - 1;
            continue;
        }
        if (paged && !turn_page(s, i)) return;
        run_step(s, i, seed);
        if (paged && (i + 1 == to || s->visit[i + 1] != s->visit[i])) tern_pager_leave(s->pager, s->visit[i]);
    }
}

/* States whose next value was computed elsewhere. */
static void copy_states(tern_session *s)
{
    const tern_program *p = s->program;
    for (int c = 0; c < p->copy_count; c++) {
        void *to = s->memory[p->copies[c].state];
        const void *from = memory_of(s, p->copies[c].next);
        tern_pool_copy(s->pool, to, from, p->places[p->copies[c].state].bytes);
    }
}

/* Computes what follows from the parameters, where they are new.  It is no part of a run: nothing is counted. */
static void prepare(tern_session *s)
{
    if (s->is_prepared && s->prepared_version == s->store->version) return;
    bool counting = s->counting;
    s->counting = false;
    run_steps(s, 0, s->program->prepare_count, 0);
    s->counting = counting;
    s->is_prepared = true;
    s->prepared_version = s->store->version;
}

tern_status tern_session_run(tern_session *session, uint64_t run)
{
    const tern_graph *g = session->program->graph;
    for (int i = 1; i < g->value_count; i++) {
        if (g->values[i].kind == TERN_VALUE_INPUT && !session->memory[i])
            return tern_fail(TERN_FAILED, "input \"%s\" is not bound", g->values[i].name);
    }
    if (!session->resolved || session->pager) resolve(session); /* a pager moves operands */
    session->resolved = true;
    prepare(session);
    const tern_program *p = session->program;
    session->paging = TERN_OK;
    run_steps(session, p->prepare_count, p->step_count, g->options.seed * 0x9e3779b97f4a7c15u + run);
    TERN_TRY(session->paging);
    copy_states(session);
    if (session->changes_store) session->store->version++;
    return TERN_OK;
}

tern_status tern_session_output(tern_session *session, const char *name, tern_tensor *out)
{
    const tern_graph *g = session->program->graph;
    tern_value v = tern_find_output(g, name);
    if (!v.id) return tern_fail(TERN_FAILED, "the program has no output \"%s\"", name);
    *out = (tern_tensor){g->values[v.id].type.dtype, g->values[v.id].type.shape, memory_of(session, v.id)};
    return TERN_OK;
}

tern_status tern_session_state(tern_session *session, const char *name, tern_tensor *out)
{
    const tern_graph *g = session->program->graph;
    tern_value v = tern_find_value(g, name);
    if (!v.id || g->values[v.id].kind != TERN_VALUE_STATE)
        return tern_fail(TERN_FAILED, "the program has no state \"%s\"", name);
    *out = (tern_tensor){g->values[v.id].type.dtype, g->values[v.id].type.shape, session->memory[v.id]};
    return TERN_OK;
}

const void *tern_session_memory(const tern_session *session, tern_value value)
{
    return memory_of(session, value.id);
}

void tern_session_reset(tern_session *session)
{
    const tern_graph *g = session->program->graph;
    for (int i = 1; i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        if (v->kind != TERN_VALUE_STATE || v->kept) continue;
        tern_tensor tensor = {v->type.dtype, v->type.shape, session->memory[i]};
        memset(tensor.data, 0, tern_bytes_of(v->type.dtype, tern_elements(&v->type.shape)));
        tern_initialise(&tensor, v->init, g->options.seed, v->name);
    }
}

void tern_session_count(tern_session *session, bool on)
{
    session->counting = on;
    for (int i = 0; i < session->program->step_count; i++)
        for (int k = 0; k < TERN_BODIES; k++)
            if (session->bodies[i][k]) tern_session_count(session->bodies[i][k], on);
}

void tern_session_clear(tern_session *session)
{
    size_t steps = (size_t)session->program->step_count;
    memset(session->counters, 0, steps * sizeof *session->counters);
    memset(session->seconds, 0, steps * sizeof *session->seconds);
    memset(session->spikes, 0, steps * sizeof *session->spikes);
    memset(session->bytes, 0, steps * sizeof *session->bytes);
}

const tern_work *tern_session_counters(const tern_session *session)
{
    return session->counters;
}

const double *tern_session_spikes(const tern_session *session)
{
    return session->spikes;
}

const double *tern_session_bytes(const tern_session *session)
{
    return session->bytes;
}

const double *tern_session_seconds(const tern_session *session)
{
    return session->seconds;
}

size_t tern_session_arena_bytes(const tern_session *session)
{
    return session->program->arena_bytes;
}
