/* COSMA for nets that are too long for one integer program: windows of steps, each solved exactly from the memory as the one
 * before left it, with a look at a few steps behind its end.
 *
 * Windows end where the fewest bytes are alive.  The paper's own rule for the cuts is not published in full; this one is
 * Tern's.  All is done twice, the second time with windows that begin half a window earlier, and the better plan counts.  Where
 * neither finds one, because a window left the memory so that the next one has no room, windows are twice as long.  Where the order
 * is free, all begins with one that is searched for (flow_order.c).  Nothing worse than Belady's rule in either order is
 * returned. */
#include "plan/cosma.h"

#include <string.h>

enum { WINDOW = 20, ORDERS = 64 };

typedef struct divider {
    const tern_flow *given;
    tern_flow sequence;    /* the same steps in the order that the windows before chose */
    const tern_flow *flow; /* that */
    int *first;            /* [steps]: the order to begin with */
    int *step, *time;      /* [steps]: of the given flow at each time, and the time of each */
    const tern_cosma_options *options;
    tern_cosma_plan *plan;
    int window, ahead; /* steps that are planned at once, and that are looked at behind them */
    size_t *alive;     /* [steps]: bytes that wait behind each step */
    int *last;         /* [tensors]: last step that reads it */
    /* of the window at hand */
    tern_flow part;
    tern_cosma_state *state; /* [tensors of part] */
    int *whole;              /* [tensors of part]: number in the flow */
    int *known;              /* [tensors + steps]: 1 + number in the part; 0: none */
} divider;

static size_t cell(const tern_flow *f, int tensor, int time)
{
    return (size_t)tensor * (size_t)f->steps + (size_t)time;
}

/* ---- cuts ---------------------------------------------------------------------------------------------------------- */

static void measure(divider *d)
{
    const tern_flow *f = d->flow;
    for (int a = 0; a < f->tensors; a++) d->last[a] = f->producer[a];
    for (int s = 0; s < f->steps; s++)
        for (int i = f->begin[s]; i < f->begin[s + 1]; i++) d->last[f->read[i]] = s;
    for (int s = 0; s < f->steps; s++) {
        d->alive[s] = 0;
        for (int a = 0; a < f->tensors; a++)
            if (f->producer[a] >= 0 && f->producer[a] <= s && d->last[a] > s) d->alive[s] += f->bytes[a];
    }
}

/* The end of a window from `begin` of at most `most` steps: behind the step, in its second half, where least waits. */
static int cut_behind(const divider *d, int begin, int most)
{
    int steps = d->flow->steps, best = begin + most;
    if (begin + most >= steps) return steps;
    for (int end = begin + most; end > begin + most / 2; end--)
        if (d->alive[end - 1] < d->alive[best - 1]) best = end;
    return best;
}

/* ---- a window ------------------------------------------------------------------------------------------------------ */

static bool is_there(const divider *d, int a, int time)
{
    unsigned char r = time < 0 ? TERN_AWAY : d->plan->residence[cell(d->flow, a, time)];
    return r == TERN_CREATED || r == TERN_PRESERVED || r == TERN_RETRIEVED;
}

/* Whether a window has to know of a tensor: one that comes into being in it, or that has and is still needed; of a parameter
 * that is not there, only where it is used. */
static bool concerns(const divider *d, int a, int begin, int end)
{
    const tern_flow *f = d->flow;
    if (f->producer[a] >= 0 || is_there(d, a, begin - 1))
        return f->producer[a] < end && (f->producer[a] >= begin || d->last[a] >= begin);
    for (int i = f->begin[begin]; i < f->begin[end]; i++)
        if (f->read[i] == a) return true;
    return false;
}

static void open_tensor(divider *d, int a, int begin, int end)
{
    const tern_flow *f = d->flow;
    int n = d->part.tensors++;
    bool before = f->producer[a] < begin;
    tern_cosma_state *s = &d->state[n];
    *s = (tern_cosma_state){.needed = d->last[a] >= end, .hosted = f->producer[a] < 0};
    d->whole[n] = a;
    d->known[a] = n + 1;
    d->part.bytes[n] = f->bytes[a];
    d->part.producer[n] = before ? -1 : f->producer[a] - begin;
    if (!before || begin == 0) return;
    s->there = is_there(d, a, begin - 1);
    s->address = s->there ? d->plan->address[cell(f, a, begin - 1)] : 0;
    for (int t = 0; t < begin; t++) s->hosted |= d->plan->residence[cell(f, a, t)] == TERN_SPILLED;
}

static void open_window(divider *d, int begin, int end)
{
    const tern_flow *f = d->flow;
    d->part.tensors = 0;
    d->part.steps = end - begin;
    memset(d->known, 0, (size_t)f->tensors * sizeof *d->known);
    for (int a = 0; a < f->tensors; a++)
        if (concerns(d, a, begin, end)) open_tensor(d, a, begin, end);
    d->part.begin[0] = 0;
    for (int s = begin; s < end; s++) {
        int *last = &d->part.begin[s - begin + 1];
        *last = d->part.begin[s - begin];
        for (int i = f->begin[s]; i < f->begin[s + 1]; i++)
            d->part.read[(*last)++] = d->known[f->read[i]] - 1;
    }
}

/* The first `steps` times of the window's plan become part of the whole one. */
static void take_over(divider *d, const tern_cosma_plan *part, int begin, int steps)
{
    for (int t = 0; t < steps; t++) {
        d->plan->order[begin + t] = d->step[begin + t];
        for (int n = 0; n < d->part.tensors; n++) {
            size_t to = cell(d->flow, d->whole[n], begin + t), from = cell(&d->part, n, t);
            unsigned char r = part->residence[from];
            d->plan->residence[to] = r;
            d->plan->address[to] = part->address[from];
            d->plan->spilled += r == TERN_SPILLED ? (double)d->part.bytes[n] : 0;
            d->plan->retrieved += r == TERN_RETRIEVED ? (double)d->part.bytes[n] : 0;
        }
    }
}

/* The flow in the order of d->step. */
static void put_in_order(divider *d)
{
    tern_flow_put_in_order(d->given, d->step, d->time, &d->sequence);
    measure(d);
}

/* The steps of a window in the order of its plan. */
static void reorder(divider *d, const tern_cosma_plan *part, int begin)
{
    for (int t = 0; t < d->part.steps; t++) d->known[t] = d->step[begin + part->order[t]];
    for (int t = 0; t < d->part.steps; t++) d->step[begin + t] = d->known[t];
    put_in_order(d);
}

static tern_status sweep(divider *d, int first, double seconds)
{
    const tern_flow *f = d->flow;
    memcpy(d->step, d->first, (size_t)f->steps * sizeof *d->step);
    put_in_order(d);
    memset(d->plan->residence, TERN_AWAY, (size_t)f->tensors * (size_t)f->steps);
    d->plan->spilled = d->plan->retrieved = 0;
    d->plan->found = true;
    for (int begin = 0, end; begin < f->steps; begin = end) {
        tern_cosma_plan part;
        end = cut_behind(d, begin, begin ? d->window : first);
        int seen = end + d->ahead < f->steps ? end + d->ahead : f->steps;
        open_window(d, begin, seen);
        tern_cosma_options o = {.memory = d->options->memory,
                                .free_order = d->options->free_order,
                                .seconds = seconds * (end - begin) / f->steps,
                                .state = d->state};
        TERN_TRY(tern_cosma(&d->part, &o, &part));
        d->plan->found = part.found;
        if (part.found && d->options->free_order) reorder(d, &part, begin);
        if (part.found) take_over(d, &part, begin, end - begin);
        tern_cosma_free(&part);
        if (!d->plan->found) break;
    }
    return TERN_OK;
}

/* ---- the better of two sweeps -------------------------------------------------------------------------------------- */

static tern_status sweep_twice(divider *d, double seconds)
{
    TERN_TRY(sweep(d, d->window, seconds / 2));
    if (d->flow->steps <= d->window || (d->plan->found && tern_cosma_moved(d->plan) == 0)) return TERN_OK;
    tern_cosma_plan other, *one = d->plan;
    other = (tern_cosma_plan){.answer = TERN_MIP_UNPROVEN};
    tern_status status = tern_cosma_begin(d->flow, &other);
    d->plan = &other;
    if (status == TERN_OK) status = sweep(d, (d->window + 1) / 2, seconds / 2);
    d->plan = one;
    if (status == TERN_OK && other.found &&
        (!one->found || tern_cosma_moved(&other) < tern_cosma_moved(one))) {
        tern_cosma_plan worse = *one;
        *one = other;
        other = worse;
    }
    tern_cosma_free(&other);
    return status;
}

static tern_status sweep_until_found(divider *d)
{
    double end = tern_now() + d->options->seconds;
    TERN_TRY(sweep_twice(d, d->options->seconds));
    while (!d->plan->found && d->window < d->given->steps && tern_now() < end) {
        d->window *= 2;
        d->ahead *= 2;
        TERN_TRY(sweep_twice(d, end - tern_now()));
    }
    return TERN_OK;
}

/* In the order d->step. */
static tern_status hold_against_belady(divider *d)
{
    bool better;
    put_in_order(d);
    TERN_TRY(tern_evict_better(d->flow, d->options->memory, TERN_EVICT_BELADY, d->plan, &better));
    if (better) memcpy(d->plan->order, d->step, (size_t)d->given->steps * sizeof *d->plan->order);
    return TERN_OK;
}

static tern_status open_divider(divider *d)
{
    size_t tensors = (size_t)d->given->tensors + 1, steps = (size_t)d->given->steps + 1;
    size_t reads = (size_t)d->given->begin[d->given->steps] + 1;
    d->sequence =
        (tern_flow){.steps = d->given->steps, .tensors = d->given->tensors, .bytes = d->given->bytes};
    d->flow = &d->sequence;
    d->sequence.producer = tern_take_array(tensors, sizeof *d->sequence.producer);
    d->sequence.begin = tern_take_array(steps, sizeof *d->sequence.begin);
    d->sequence.read = tern_take_array(reads, sizeof *d->sequence.read);
    d->first = tern_take_array(steps, sizeof *d->first);
    d->step = tern_take_array(steps, sizeof *d->step);
    d->time = tern_take_array(steps, sizeof *d->time);
    d->alive = tern_take_array(steps, sizeof *d->alive);
    d->last = tern_take_array(tensors, sizeof *d->last);
    d->state = tern_take_array(tensors, sizeof *d->state);
    d->whole = tern_take_array(tensors, sizeof *d->whole);
    d->known = tern_take_array(tensors + steps, sizeof *d->known);
    d->part.bytes = tern_take_array(tensors, sizeof *d->part.bytes);
    d->part.producer = tern_take_array(tensors, sizeof *d->part.producer);
    d->part.begin = tern_take_array(steps, sizeof *d->part.begin);
    d->part.read = tern_take_array(reads, sizeof *d->part.read);
    bool all = d->sequence.producer && d->sequence.begin && d->sequence.read && d->first && d->step &&
               d->time && d->alive && d->last && d->state && d->whole && d->known && d->part.bytes &&
               d->part.producer && d->part.begin && d->part.read;
    return all ? TERN_OK : tern_no_memory(tensors * sizeof *d->state, "a plan");
}

tern_status tern_cosma_divided(const tern_flow *flow, const tern_cosma_options *options,
                               tern_cosma_plan *plan)
{
    int window = options->window > 0 ? options->window : WINDOW;
    divider d = {.given = flow,
                 .options = options,
                 .plan = plan,
                 .window = window,
                 .ahead = window < 8 ? (window + 1) / 2 : 4};
    *plan = (tern_cosma_plan){0};
    TERN_TRY(tern_cosma_check(flow, options->memory));
    tern_status status = tern_cosma_begin(flow, plan);
    plan->answer = TERN_MIP_UNPROVEN;
    if (status == TERN_OK) status = open_divider(&d);
    for (int t = 0; status == TERN_OK && t < flow->steps; t++) d.first[t] = t;
    if (status == TERN_OK && options->free_order)
        status = tern_flow_order(flow, options->memory, ORDERS, d.first);
    if (status == TERN_OK) status = sweep_until_found(&d);
    if (status == TERN_OK) memcpy(d.step, d.first, (size_t)flow->steps * sizeof *d.step);
    if (status == TERN_OK) status = hold_against_belady(&d);
    for (int t = 0; status == TERN_OK && t < flow->steps; t++) d.step[t] = t;
    if (status == TERN_OK && options->free_order) status = hold_against_belady(&d);
    d.sequence.bytes = NULL; /* the caller's */
    tern_flow_free(&d.sequence);
    tern_flow_free(&d.part);
    tern_release(d.first);
    tern_release(d.step);
    tern_release(d.time);
    tern_release(d.alive);
    tern_release(d.last);
    tern_release(d.state);
    tern_release(d.whole);
    tern_release(d.known);
    if (status != TERN_OK) tern_cosma_free(plan);
    return status;
}
