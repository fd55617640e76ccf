/* The integer program of COSMA, with the numbers of its equations; time runs in steps of one operator each.
 *
 * For tensor a at time t, at most one of C (created), P (preserved), S (spilled) and R (retrieved) is 1, and a is in memory
 * where C + P + R = 1, at address L.  Variables are made only inside the window in which a tensor can live.
 *
 * What the paper's equations leave open and no optimum needs is closed, which makes the search much shorter: a tensor comes back
 * only for a step that reads it, leaves only behind one that wrote or read it, and stays only while somebody will read it. */
#include "plan/cosma.h"

#include <math.h>
#include <string.h>

enum { C, P, S, R, KINDS };

typedef struct model {
    const tern_flow *flow;
    const tern_cosma_state *state; /* [tensors] or NULL */
    int times;
    bool free_order;
    const int *order; /* [times]: the step of each, of another order than the flow's; or NULL */
    bool places;      /* with addresses; else sums of sizes alone */
    bool moves;       /* tensors may leave and return */
    double memory,
        unit;       /* sizes are divided by their greatest common divisor: big constants ruin the tolerance */
    int *from, *to; /* [tensors]: window of times */
    int *early, *late;            /* [steps]: first and last time at which a step can run */
    int *result;                  /* [steps]: first tensor that a step writes */
    bool *used;                   /* [tensors * times]: a step that reads the tensor can run then */
    int *column[KINDS], *address; /* [tensors * times]: or -1 */
    int most; /* column of the bytes that are there at once at most, which are then minimised; or -1 */
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

/* Before the first step; nothing is there where no state was given, and of parameters there are copies. */
static tern_cosma_state state_of(const model *m, int tensor)
{
    return m->state ? m->state[tensor] : (tern_cosma_state){.hosted = m->flow->producer[tensor] < 0};
}

static size_t gcd(size_t a, size_t b)
{
    return b ? gcd(b, a % b) : a;
}

/* Steps that must come before (after) a step bound the times at which it can run. */
static void bound_times(model *m)
{
    const tern_flow *f = m->flow;
    for (int s = 0; s < f->steps; s++) {
        m->early[s] = m->free_order ? 0 : s;
        m->late[s] = m->free_order ? m->times - 1 : s;
    }
    for (int t = 0; m->order && t < m->times; t++) m->early[m->order[t]] = m->late[m->order[t]] = t;
    if (!m->free_order) return;
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

/* The times at which a tensor can be there, and those at which it can be read. */
static void bound_lives(model *m)
{
    const tern_flow *f = m->flow;
    for (int a = 0; a < f->tensors; a++) {
        int s = f->producer[a];
        bool waits = s < 0 && !state_of(m, a).there; /* for its first use */
        m->from[a] = s >= 0 ? m->early[s] : waits ? m->times - 1 : 0;
        m->to[a] = s < 0 ? 0 : m->late[s];
        if (s >= 0 && (m->result[s] < 0 || a < m->result[s])) m->result[s] = a;
    }
    for (int s = 0; s < f->steps; s++)
        for (int i = f->begin[s]; i < f->begin[s + 1]; i++) {
            int a = f->read[i];
            if (m->to[a] < m->late[s]) m->to[a] = m->late[s];
            if (f->producer[a] < 0 && m->from[a] > m->early[s]) m->from[a] = m->early[s];
            for (int t = m->early[s]; t <= m->late[s]; t++) m->used[cell(m, a, t)] = true;
        }
    for (int a = 0; a < f->tensors; a++)
        if (state_of(m, a).needed) m->to[a] = m->times - 1;
}

static int binary(model *m, bool wanted, double cost)
{
    return wanted ? tern_mip_column(&m->mip, 0, 1, cost, true) : -1;
}

static void add_columns_of(model *m, int a, int t)
{
    int producer = m->flow->producer[a];
    tern_cosma_state before = producer < 0 ? state_of(m, a) : (tern_cosma_state){0};
    bool inside = t >= m->from[a] && t <= m->to[a];
    bool create = inside && producer >= 0 && t <= m->late[producer];
    bool later = inside && t > m->from[a], first = inside && t == m->from[a] && producer < 0;
    bool stay = later || (first && t == 0 && before.there);
    bool worked = t == 0 || (producer >= 0 && t - 1 <= m->late[producer]) || m->used[cell(m, a, t - 1)];
    bool leave = m->moves && stay && !before.hosted && worked;
    bool back = m->used[cell(m, a, t)] && (later || (first && before.hosted)) && (m->moves || before.hosted);
    size_t i = cell(m, a, t);
    m->column[C][i] = binary(m, create, 0);
    m->column[P][i] = binary(m, stay, 0);
    m->column[S][i] = binary(m, leave, m->most < 0 ? size_of(m, a) : 0);
    m->column[R][i] = binary(m, back, m->most < 0 ? size_of(m, a) : 0);
    m->address[i] = inside && m->places
                        ? tern_mip_column(&m->mip, 0, m->memory - size_of(m, a), 0, false) /* (9) */
                        : -1;
}

static void add_columns(model *m)
{
    for (int a = 0; a < m->flow->tensors; a++)
        for (int t = 0; t < m->times; t++) add_columns_of(m, a, t);
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
    if (!m->moves && hosted) {     /* once is compulsory, more would be a move */
        for (int t = m->from[a]; t <= m->to[a]; t++) tern_mip_term(p, at(m, R, a, t), 1);
        tern_mip_row(p, -INFINITY, 1);
    }
    if (state_of(m, a).needed) add_end(m, a);
}

/* A step that reads the tensor runs between two times: the terms of that, with a factor. */
static void add_readers(model *m, int a, int first, int last, double factor)
{
    const tern_flow *f = m->flow;
    for (int s = 0; s < f->steps; s++)
        for (int i = f->begin[s]; i < f->begin[s + 1]; i++)
            if (f->read[i] == a)
                for (int t = first < m->early[s] ? m->early[s] : first; t <= last && t <= m->late[s]; t++)
                    tern_mip_term(&m->mip, at(m, C, m->result[s], t), factor);
}

/* In any order: back only for a reader, away only behind the writer or a reader, there only for a reader to come.  In a given
 * order the columns that there are say the same. */
static void add_reasons(model *m, int a)
{
    tern_mip *p = &m->mip;
    for (int t = m->from[a]; m->free_order && t <= m->to[a]; t++) {
        if (at(m, R, a, t) >= 0) {
            tern_mip_term(p, at(m, R, a, t), 1);
            add_readers(m, a, t, t, -1);
            tern_mip_row(p, -INFINITY, 0);
        }
        if (at(m, S, a, t) >= 0 && t > 0) {
            tern_mip_term(p, at(m, S, a, t), 1);
            tern_mip_term(p, at(m, C, a, t - 1), -1);
            add_readers(m, a, t - 1, t - 1, -1);
            tern_mip_row(p, -INFINITY, 0);
        }
        if (at(m, P, a, t) >= 0 && !state_of(m, a).needed) {
            tern_mip_term(p, at(m, P, a, t), 1);
            add_readers(m, a, t, m->times - 1, -1);
            tern_mip_row(p, -INFINITY, 0);
        }
    }
}

/* (5): what an operator reads is there; (6): its results appear together. */
static void add_reads(model *m)
{
    const tern_flow *f = m->flow;
    for (int a = 0; a < f->tensors; a++) {
        int s = f->producer[a];
        for (int t = s < 0 ? 0 : m->early[s]; s >= 0 && t <= m->late[s]; t++) {
            if (m->result[s] != a) {
                tern_mip_term(&m->mip, at(m, C, a, t), 1);
                tern_mip_term(&m->mip, at(m, C, m->result[s], t), -1);
                tern_mip_row(&m->mip, 0, 0);
                continue;
            }
            for (int i = f->begin[s]; i < f->begin[s + 1]; i++) {
                tern_mip_term(&m->mip, at(m, C, a, t), 1);
                tern_mip_term(&m->mip, at(m, P, f->read[i], t), -1);
                tern_mip_term(&m->mip, at(m, R, f->read[i], t), -1);
                tern_mip_row(&m->mip, -INFINITY, 0);
            }
        }
    }
}

/* (x): one operator at a time; and, following from the addresses, that all fits: it makes the relaxation much tighter. */
static void add_times(model *m)
{
    const tern_flow *f = m->flow;
    for (int t = 0; t < m->times; t++) {
        for (int a = 0; a < f->tensors; a++)
            if (f->producer[a] >= 0 && m->result[f->producer[a]] == a)
                tern_mip_term(&m->mip, at(m, C, a, t), 1);
        tern_mip_row(&m->mip, 1, 1); /* as many times as steps */
        for (int a = 0; a < f->tensors; a++) resident(m, a, t, size_of(m, a));
        tern_mip_term(&m->mip, m->most, -1);
        tern_mip_row(&m->mip, -INFINITY, m->most < 0 ? m->memory : 0); /* or (14) */
    }
}

/* (10): two tensors that are there at once do not overlap: one lies above the other. */
static void add_pair(model *m, int a, int b, int t)
{
    tern_mip *p = &m->mip;
    if (size_of(m, a) + size_of(m, b) > m->memory) { /* never both */
        resident(m, a, t, 1);
        resident(m, b, t, 1);
        tern_mip_row(p, -INFINITY, 1);
        return;
    }
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

static tern_status open_model(model *m, const tern_flow *flow, const tern_cosma_options *o)
{
    size_t unit = 0, cells = (size_t)flow->tensors * (size_t)flow->steps;
    for (int a = 0; a < flow->tensors; a++) unit = gcd(unit, flow->bytes[a]);
    for (int a = 0; o->state && a < flow->tensors; a++) unit = gcd(unit, o->state[a].address);
    *m = (model){.flow = flow,
                 .state = o->state,
                 .times = flow->steps,
                 .free_order = o->free_order,
                 .moves = true,
                 .most = -1,
                 .unit = unit ? (double)unit : 1};
    m->memory = floor((double)o->memory / m->unit);
    m->from = tern_take_array((size_t)flow->tensors, sizeof *m->from);
    m->to = tern_take_array((size_t)flow->tensors, sizeof *m->to);
    m->early = tern_take_array((size_t)flow->steps, sizeof *m->early);
    m->late = tern_take_array((size_t)flow->steps, sizeof *m->late);
    m->result = tern_take_array((size_t)flow->steps, sizeof *m->result);
    m->used = tern_take_array(cells, sizeof *m->used);
    m->address = tern_take_array(cells, sizeof *m->address);
    bool all = m->from && m->to && m->early && m->late && m->result && m->used && m->address;
    for (int k = 0; k < KINDS; k++) {
        m->column[k] = tern_take_array(cells, sizeof **m->column);
        all &= m->column[k] != NULL;
    }
    if (!all) return tern_no_memory(cells * sizeof *m->address, "a plan");
    for (int s = 0; s < flow->steps; s++) m->result[s] = -1;
    return TERN_OK;
}

static void close_model(model *m)
{
    tern_release(m->from);
    tern_release(m->to);
    tern_release(m->early);
    tern_release(m->late);
    tern_release(m->result);
    tern_release(m->used);
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
                plan->address[i] = m->places ? (size_t)(round(x[m->address[i]]) * m->unit) : 0;
                plan->spilled += k == S ? (double)f->bytes[a] : 0;
                plan->retrieved += k == R ? (double)f->bytes[a] : 0;
                if (k == C) plan->order[t] = f->producer[a];
            }
        }
    return TERN_OK;
}

/* All rows; `bound`: no solution costs less, in units. */
static void build(model *m, double bound)
{
    bound_times(m);
    bound_lives(m);
    add_columns(m);
    for (int a = 0; a < m->flow->tensors; a++) add_life(m, a);
    for (int a = 0; a < m->flow->tensors; a++) add_reasons(m, a);
    add_reads(m);
    add_times(m);
    if (m->places) add_places(m);
    for (int i = 0; bound > 0 && i < m->mip.columns; i++)
        if (m->mip.cost[i] != 0) tern_mip_term(&m->mip, i, m->mip.cost[i]);
    if (bound > 0) tern_mip_row(&m->mip, bound, INFINITY);
}

/* x[] of the solution is the caller's to release; in the units of the model. */
static tern_status solve(model *m, double seconds, tern_cosma_plan *plan, double **x)
{
    *x = tern_take_array((size_t)m->mip.columns + 1, sizeof **x);
    if (!*x) return tern_no_memory((size_t)m->mip.columns * sizeof **x, "a plan");
    return tern_mip_solve(&m->mip, seconds, &plan->answer, &plan->found, *x, &plan->bound);
}

/* One program from beginning to end, in `order` if there is one; no plan costs less than `known` bytes.  *cost of what was found:
 * the bytes that move, in this window and for its sake behind it. */
static tern_status plan_once(const tern_flow *flow, const tern_cosma_options *o, const int *order,
                             bool places, double seconds, double known, tern_cosma_plan *plan, double *cost)
{
    model m;
    double *x = NULL;
    *plan = (tern_cosma_plan){0};
    *cost = 0;
    tern_status status = open_model(&m, flow, o);
    m.places = places;
    m.order = order;
    m.free_order &= order == NULL;
    if (status == TERN_OK) build(&m, ceil(known / m.unit - 1e-6));
    if (status == TERN_OK && places && o->export) tern_mip_write(&m.mip, o->export);
    if (status == TERN_OK) status = solve(&m, seconds, plan, &x);
    if (status == TERN_OK && plan->found) status = read_solution(&m, x, plan);
    for (int i = 0; status == TERN_OK && plan->found && i < m.mip.columns; i++)
        *cost += m.mip.cost[i] * x[i] * m.unit;
    plan->bound = fmax(known, plan->bound * m.unit);
    tern_release(x);
    close_model(&m);
    if (status != TERN_OK) tern_cosma_free(plan);
    return status;
}

/* Whether a tensor lies at a place of its own before the first step. */
static bool is_resting(const tern_flow *flow, const tern_cosma_state *state)
{
    for (int a = 0; state && a < flow->tensors; a++)
        if (state[a].there) return true;
    return false;
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

/* Addresses, too: in the order that is best without them, if its cost is that of `known`, or else in all orders. */
static tern_status plan_with_places(const tern_flow *flow, const tern_cosma_options *o, const int *order,
                                    double known, tern_cosma_plan *plan)
{
    double end = tern_now() + o->seconds / 2, cost = 0, other_cost = 0;
    tern_cosma_plan other = {0};
    *plan = (tern_cosma_plan){0};
    if (order) TERN_TRY(plan_once(flow, o, order, true, o->seconds / 4, known, plan, &cost));
    bool best = plan->found && cost <= known + 0.5;
    if (best) plan->answer = TERN_MIP_OPTIMAL;
    if (best) return TERN_OK;
    tern_status status =
        plan_once(flow, o, NULL, true, fmax(end - tern_now(), 0.1), known, &other, &other_cost);
    if (status == TERN_OK && (!plan->found || (other.found && other_cost <= cost))) {
        tern_cosma_plan worse = *plan;
        *plan = other;
        other = worse;
    } else {
        plan->answer = TERN_MIP_UNPROVEN;
        plan->bound = other.bound;
    }
    tern_cosma_free(&other);
    if (status != TERN_OK) tern_cosma_free(plan);
    return status;
}

/* A whole net's plan that was not proven, or not found in time. */
static tern_status hold_against_steps(const tern_flow *flow, const tern_cosma_options *o,
                                      tern_cosma_plan *plan)
{
    static const tern_eviction policies[] = {TERN_EVICT_BELADY, TERN_EVICT_MIP, TERN_EVICT_GREEDY};
    bool better;
    for (size_t i = 0; i < TERN_COUNT(policies) && !o->state && plan->answer == TERN_MIP_UNPROVEN; i++)
        TERN_TRY(tern_evict_better(flow, o->memory, policies[i], plan, &better));
    return TERN_OK;
}

tern_status tern_cosma(const tern_flow *flow, const tern_cosma_options *options, tern_cosma_plan *plan)
{
    double cost;
    size_t taken = SIZE_MAX;
    tern_cosma_plan bare; /* without addresses */
    *plan = (tern_cosma_plan){0};
    TERN_TRY(tern_cosma_check(flow, options->memory));
    if (options->export) return plan_once(flow, options, NULL, true, options->seconds, 0, plan, &cost);
    TERN_TRY(plan_once(flow, options, NULL, false, options->seconds / 2, 0, &bare, &cost));
    tern_status status = TERN_OK;
    if (bare.found && !is_resting(flow, options->state))
        status = tern_cosma_place(flow, &bare, options->memory, &taken);
    if (status == TERN_OK && (taken <= options->memory || bare.answer == TERN_MIP_INFEASIBLE)) {
        *plan = bare;
        return TERN_OK;
    }
    if (status == TERN_OK)
        status = plan_with_places(flow, options, options->free_order && bare.found ? bare.order : NULL,
                                  bare.bound, plan);
    if (status == TERN_OK) status = hold_against_steps(flow, options, plan);
    if (status != TERN_OK) tern_cosma_free(plan);
    tern_cosma_free(&bare);
    return status;
}

tern_status tern_cosma_without_moves(const tern_flow *flow, const tern_cosma_options *options, size_t *bytes,
                                     tern_mip_answer *answer)
{
    model m;
    int step;
    double *x = NULL;
    tern_cosma_plan plan = {0};
    size_t least = tern_flow_least(flow, &step);
    *answer = TERN_MIP_OPTIMAL;
    *bytes = tern_flow_peak(flow);
    if (!options->free_order || *bytes == least) return TERN_OK;
    tern_status status = open_model(&m, flow, options);
    m.moves = false;
    m.most = tern_mip_column(&m.mip, (double)least / m.unit, (double)*bytes / m.unit, 1, false);
    if (status == TERN_OK) build(&m, 0);
    if (status == TERN_OK) status = solve(&m, options->seconds, &plan, &x);
    if (status == TERN_OK) *answer = plan.found ? plan.answer : TERN_MIP_UNPROVEN;
    if (status == TERN_OK && plan.found) *bytes = (size_t)(round(x[m.most]) * m.unit);
    tern_release(x);
    close_model(&m);
    return status;
}

double tern_cosma_moved(const tern_cosma_plan *plan)
{
    return plan->spilled + plan->retrieved;
}

void tern_cosma_free(tern_cosma_plan *plan)
{
    tern_release(plan->order);
    tern_release(plan->residence);
    tern_release(plan->address);
    *plan = (tern_cosma_plan){0};
}
