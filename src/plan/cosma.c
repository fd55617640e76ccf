/* The integer program of COSMA, with the numbers of its equations; time runs in steps of one operator each.
 *
 * For tensor a at time t, at most one of C (created), P (preserved), S (spilled) and R (retrieved) is 1, and a is in memory
 * where C + P + R = 1, at address L.  Variables are made only inside the window in which a tensor can live. */
#include "plan/cosma.h"

#include <math.h>
#include <string.h>

enum { C, P, S, R, KINDS };

typedef struct model {
    const tern_flow *flow;
    const tern_cosma_state *state; /* [tensors] or NULL */
    int times;
    double memory,
        unit;       /* sizes are divided by their greatest common divisor: big constants ruin the tolerance */
    int *from, *to; /* [tensors]: window of times */
    int *early, *late;            /* [steps]: first and last time at which a step can run */
    int *column[KINDS], *address; /* [tensors * times]: or -1 */
    tern_mip mip;
} model;

static size_t cell(const model *m, int tensor, int time)
{
    return (size_t)tensor * (size_t)m->times + (size_t)time;
}

/* Outside its window a tensor has no variables; -1 is what tern_mip_term leaves out. */
static int at(const model *m, int kind, int tensor, int time)
{
    return time < 0 ? -1 : m->column[kind][cell(m, tensor, time)];
}

static double size_of(const model *m, int tensor)
{
    return (double)m->flow->bytes[tensor] / m->unit;
}

/* Before the first step; nothing is there where no state was given. */
static tern_cosma_state state_of(const model *m, int tensor)
{
    return m->state ? m->state[tensor] : (tern_cosma_state){0};
}

static size_t gcd(size_t a, size_t b)
{
    return b ? gcd(b, a % b) : a;
}

/* Steps that must come before (after) a step bound the times at which it can run. */
static void bound_times(model *m, bool free_order)
{
    const tern_flow *f = m->flow;
    for (int s = 0; s < f->steps; s++) {
        m->early[s] = free_order ? 0 : s;
        m->late[s] = free_order ? m->times - 1 : s;
    }
    if (!free_order) return;
    for (int s = 0; s < f->steps; s++)
        for (int i = f->begin[s]; i < f->begin[s + 1]; i++) {
            int producer = f->producer[f->read[i]], before = producer < 0 ? 0 : m->early[producer] + 1;
            if (before > m->early[s]) m->early[s] = before;
        }
    for (int s = f->steps - 1; s >= 0; s--)
        for (int i = f->begin[s]; i < f->begin[s + 1]; i++) {
            int producer = f->producer[f->read[i]];
            if (producer >= 0 && m->late[producer] > m->late[s] - 1) m->late[producer] = m->late[s] - 1;
        }
}

static void add_columns(model *m)
{
    const tern_flow *f = m->flow;
    for (int a = 0; a < f->tensors; a++) {
        int s = f->producer[a];
        m->from[a] = s < 0 ? 0 : m->early[s];
        m->to[a] = s < 0 ? 0 : m->late[s];
        if (state_of(m, a).needed) m->to[a] = m->times - 1;
    }
    for (int s = 0; s < f->steps; s++)
        for (int i = f->begin[s]; i < f->begin[s + 1]; i++)
            if (m->to[f->read[i]] < m->late[s]) m->to[f->read[i]] = m->late[s];
    for (int a = 0; a < f->tensors; a++)
        for (int t = 0; t < m->times; t++) {
            int producer = f->producer[a];
            tern_cosma_state before = producer < 0 ? state_of(m, a) : (tern_cosma_state){0};
            bool inside = t >= m->from[a] && t <= m->to[a];
            bool create = inside && producer >= 0 && t <= m->late[producer];
            bool later = inside && t > m->from[a], first = inside && t == 0 && producer < 0;
            bool stay = later || (first && before.there), leave = stay && !before.hosted;
            bool back = later || (first && before.hosted);
            size_t i = cell(m, a, t);
            m->column[C][i] = create ? tern_mip_column(&m->mip, 0, 1, 0, true) : -1;
            m->column[P][i] = stay ? tern_mip_column(&m->mip, 0, 1, 0, true) : -1;
            m->column[S][i] = leave ? tern_mip_column(&m->mip, 0, 1, size_of(m, a), true) : -1;
            m->column[R][i] = back ? tern_mip_column(&m->mip, 0, 1, size_of(m, a), true) : -1;
            m->address[i] =
                inside ? tern_mip_column(&m->mip, 0, m->memory - size_of(m, a), 0, false) : -1; /* (9) */
        }
}

static void resident(model *m, int a, int t, double factor)
{
    tern_mip_term(&m->mip, at(m, C, a, t), factor);
    tern_mip_term(&m->mip, at(m, P, a, t), factor);
    tern_mip_term(&m->mip, at(m, R, a, t), factor);
}

/* A tensor that is needed behind the last step is there then, or has a copy and costs what it takes to come back. */
static void add_end(model *m, int a)
{
    tern_mip *p = &m->mip;
    bool hosted = m->flow->producer[a] < 0 && state_of(m, a).hosted;
    int back = tern_mip_column(p, 0, 1, size_of(m, a), true);
    tern_mip_term(p, back, 1);
    resident(m, a, m->times - 1, 1);
    tern_mip_row(p, 1, INFINITY);
    if (hosted) return;
    tern_mip_term(p, back, -1);
    for (int t = m->from[a]; t <= m->to[a]; t++) tern_mip_term(p, at(m, S, a, t), 1);
    tern_mip_row(p, 0, INFINITY);
}

/* (1) to (4), (7), (8): the life of one tensor. */
static void add_life(model *m, int a)
{
    tern_mip *p = &m->mip;
    bool before = m->flow->producer[a] < 0, hosted = before && state_of(m, a).hosted;
    for (int t = m->from[a]; t <= m->to[a]; t++) {
        for (int k = 0; k < KINDS; k++) tern_mip_term(p, at(m, k, a, t), 1);
        tern_mip_row(p, -INFINITY, 1); /* (1) */
        if (t == m->from[a]) continue;
        tern_mip_term(p, at(m, P, a, t), 1);
        resident(m, a, t - 1, -1);
        tern_mip_row(p, -INFINITY, 0); /* (2) */
        tern_mip_term(p, at(m, S, a, t), 1);
        tern_mip_term(p, at(m, C, a, t - 1), -1);
        tern_mip_term(p, at(m, P, a, t - 1), -1);
        tern_mip_row(p, -INFINITY, 0); /* (3) */
        if (hosted) continue;
        tern_mip_term(p, at(m, R, a, t), 1);
        for (int k = m->from[a]; k < t; k++) tern_mip_term(p, at(m, S, a, k), -1);
        tern_mip_row(p, -INFINITY, 0); /* (4) */
    }
    for (int t = m->from[a]; t <= m->to[a]; t++) tern_mip_term(p, at(m, C, a, t), 1);
    if (!before) tern_mip_row(p, 1, 1); /* (7) */
    for (int t = m->from[a]; t <= m->to[a]; t++) tern_mip_term(p, at(m, S, a, t), 1);
    tern_mip_row(p, -INFINITY, 1); /* (8) */
    if (state_of(m, a).needed) add_end(m, a);
}

/* (5): what an operator reads is there; (6): its results appear together. */
static void add_reads(model *m)
{
    const tern_flow *f = m->flow;
    for (int a = 0; a < f->tensors; a++) {
        int s = f->producer[a];
        for (int t = s < 0 ? 0 : m->early[s]; s >= 0 && t <= m->late[s]; t++) {
            for (int i = f->begin[s]; i < f->begin[s + 1]; i++) {
                tern_mip_term(&m->mip, at(m, C, a, t), 1);
                tern_mip_term(&m->mip, at(m, P, f->read[i], t), -1);
                tern_mip_term(&m->mip, at(m, R, f->read[i], t), -1);
                tern_mip_row(&m->mip, -INFINITY, 0);
            }
            if (a == 0 || f->producer[a - 1] != s) continue;
            tern_mip_term(&m->mip, at(m, C, a, t), 1);
            tern_mip_term(&m->mip, at(m, C, a - 1, t), -1);
            tern_mip_row(&m->mip, 0, 0);
        }
    }
}

/* (x): one operator at a time; and, following from the addresses, that all fits: it makes the relaxation much tighter. */
static void add_times(model *m)
{
    const tern_flow *f = m->flow;
    for (int t = 0; t < m->times; t++) {
        for (int a = 0; a < f->tensors; a++)
            if (a == 0 || f->producer[a - 1] != f->producer[a]) tern_mip_term(&m->mip, at(m, C, a, t), 1);
        tern_mip_row(&m->mip, -INFINITY, 1);
        for (int a = 0; a < f->tensors; a++) resident(m, a, t, size_of(m, a));
        tern_mip_row(&m->mip, -INFINITY, m->memory);
    }
}

/* (10): two tensors that are there at once do not overlap: one lies above the other. */
static void add_pair(model *m, int a, int b, int t)
{
    tern_mip *p = &m->mip;
    int above = tern_mip_column(p, 0, 1, 0, true), below = tern_mip_column(p, 0, 1, 0, true);
    int la = m->address[cell(m, a, t)], lb = m->address[cell(m, b, t)];
    tern_mip_term(p, la, 1);
    tern_mip_term(p, lb, -1);
    tern_mip_term(p, above, -m->memory);
    tern_mip_row(p, size_of(m, b) - m->memory, INFINITY);
    tern_mip_term(p, lb, 1);
    tern_mip_term(p, la, -1);
    tern_mip_term(p, below, -m->memory);
    tern_mip_row(p, size_of(m, a) - m->memory, INFINITY);
    tern_mip_term(p, above, 1);
    tern_mip_term(p, below, 1);
    resident(m, a, t, -1);
    resident(m, b, t, -1);
    tern_mip_row(p, -1, INFINITY);
    tern_mip_term(p, above, 1);
    tern_mip_term(p, below, 1);
    tern_mip_row(p, -INFINITY, 1);
}

/* (11): a tensor does not move while it is preserved. */
static void add_rest(model *m, int a, int t)
{
    for (int side = -1; side <= 1; side += 2) {
        tern_mip_term(&m->mip, m->address[cell(m, a, t)], side);
        tern_mip_term(&m->mip, m->address[cell(m, a, t - 1)], -side);
        tern_mip_term(&m->mip, at(m, P, a, t), m->memory);
        tern_mip_row(&m->mip, -INFINITY, m->memory);
    }
}

/* The same from before the first step on. */
static void add_first_rest(model *m, int a)
{
    double where = (double)state_of(m, a).address / m->unit;
    int stays = at(m, P, a, 0);
    if (m->flow->producer[a] >= 0 || stays < 0) return;
    for (int side = -1; side <= 1; side += 2) {
        tern_mip_term(&m->mip, m->address[cell(m, a, 0)], side);
        tern_mip_term(&m->mip, stays, m->memory);
        tern_mip_row(&m->mip, -INFINITY, m->memory + side * where);
    }
}

static void add_places(model *m)
{
    const tern_flow *f = m->flow;
    for (int a = 0; a < f->tensors; a++) {
        add_first_rest(m, a);
        for (int t = m->from[a] + 1; t <= m->to[a]; t++) add_rest(m, a, t);
        for (int b = a + 1; b < f->tensors; b++)
            for (int t = m->from[a]; t <= m->to[a]; t++)
                if (t >= m->from[b] && t <= m->to[b]) add_pair(m, a, b, t);
    }
}

static tern_status open_model(model *m, const tern_flow *flow, size_t memory, const tern_cosma_state *state)
{
    size_t unit = 0, cells = (size_t)flow->tensors * (size_t)flow->steps;
    for (int a = 0; a < flow->tensors; a++) unit = gcd(unit, flow->bytes[a]);
    for (int a = 0; state && a < flow->tensors; a++) unit = gcd(unit, state[a].address);
    *m = (model){.flow = flow, .state = state, .times = flow->steps, .unit = unit ? (double)unit : 1};
    m->memory = floor((double)memory / m->unit);
    m->from = tern_take_array((size_t)flow->tensors, sizeof *m->from);
    m->to = tern_take_array((size_t)flow->tensors, sizeof *m->to);
    m->early = tern_take_array((size_t)flow->steps, sizeof *m->early);
    m->late = tern_take_array((size_t)flow->steps, sizeof *m->late);
    m->address = tern_take_array(cells, sizeof *m->address);
    bool all = m->from && m->to && m->early && m->late && m->address;
    for (int k = 0; k < KINDS; k++) {
        m->column[k] = tern_take_array(cells, sizeof **m->column);
        all &= m->column[k] != NULL;
    }
    return all ? TERN_OK : tern_no_memory(cells * sizeof *m->address, "a plan");
}

static void close_model(model *m)
{
    tern_release(m->from);
    tern_release(m->to);
    tern_release(m->early);
    tern_release(m->late);
    tern_release(m->address);
    for (int k = 0; k < KINDS; k++) tern_release(m->column[k]);
    tern_mip_free(&m->mip);
}

/* The solution in words of the plan. */
static tern_status read_solution(const model *m, const double *x, tern_cosma_plan *plan)
{
    static const tern_residence names[] = {TERN_CREATED, TERN_PRESERVED, TERN_SPILLED, TERN_RETRIEVED};
    const tern_flow *f = m->flow;
    TERN_TRY(tern_cosma_begin(f, plan));
    for (int a = 0; a < f->tensors; a++)
        for (int t = 0; t < m->times; t++) {
            size_t i = cell(m, a, t);
            for (int k = 0; k < KINDS; k++) {
                if (m->column[k][i] < 0 || x[m->column[k][i]] < 0.5) continue;
                plan->residence[i] = (unsigned char)names[k];
                plan->address[i] = (size_t)(round(x[m->address[i]]) * m->unit);
                plan->spilled += k == S ? (double)f->bytes[a] : 0;
                plan->retrieved += k == R ? (double)f->bytes[a] : 0;
                if (k == C) plan->order[t] = f->producer[a];
            }
        }
    return TERN_OK;
}

static tern_status solve(model *m, const tern_cosma_options *o, tern_cosma_plan *plan)
{
    bound_times(m, o->free_order);
    add_columns(m);
    for (int a = 0; a < m->flow->tensors; a++) add_life(m, a);
    add_reads(m);
    add_times(m);
    add_places(m);
    if (o->export) tern_mip_write(&m->mip, o->export);
    double *x = tern_take_array((size_t)m->mip.columns + 1, sizeof *x);
    if (!x) return tern_no_memory((size_t)m->mip.columns * sizeof *x, "a plan");
    tern_status status = tern_mip_solve(&m->mip, o->seconds, &plan->answer, &plan->found, x, &plan->bound);
    plan->bound *= m->unit;
    if (status == TERN_OK && plan->found) status = read_solution(m, x, plan);
    tern_release(x);
    return status;
}

tern_status tern_cosma_begin(const tern_flow *flow, tern_cosma_plan *plan)
{
    size_t cells = (size_t)flow->tensors * (size_t)flow->steps + 1;
    plan->order = tern_take_array((size_t)flow->steps + 1, sizeof *plan->order);
    plan->residence = tern_take_array(cells, sizeof *plan->residence);
    plan->address = tern_take_array(cells, sizeof *plan->address);
    if (!plan->order || !plan->residence || !plan->address) return tern_no_memory(cells * 9, "a plan");
    for (int s = 0; s < flow->steps; s++) plan->order[s] = s;
    return TERN_OK;
}

tern_status tern_cosma_check(const tern_flow *flow, size_t memory)
{
    int step;
    char need[24], have[24];
    size_t least = tern_flow_least(flow, &step);
    if (memory >= least) return TERN_OK;
    return tern_fail(TERN_NO_FIT,
                     "does not fit: step %d reads and writes %s (%zu bytes), the memory has %s; nothing less "
                     "than %zu bytes would do",
                     step, tern_human(need, (double)least, "B"), least, tern_human(have, (double)memory, "B"),
                     least);
}

tern_status tern_cosma(const tern_flow *flow, const tern_cosma_options *options, tern_cosma_plan *plan)
{
    model m;
    *plan = (tern_cosma_plan){0};
    TERN_TRY(tern_cosma_check(flow, options->memory));
    tern_status status = open_model(&m, flow, options->memory, options->state);
    if (status == TERN_OK) status = solve(&m, options, plan);
    close_model(&m);
    if (status != TERN_OK) tern_cosma_free(plan);
    return status;
}

void tern_cosma_free(tern_cosma_plan *plan)
{
    tern_release(plan->order);
    tern_release(plan->residence);
    tern_release(plan->address);
    *plan = (tern_cosma_plan){0};
}
