/* What a program costs on a machine: a roofline for each operator.  docs/machines.md explains each formula. */
#include "machine/model.h"

#include <math.h>
#include <string.h>

/* Formats that stand in for one that a unit lacks, best first. */
static const tern_dtype stand_ins[] = {TERN_F32, TERN_BF16, TERN_F16, TERN_I32, TERN_I16, TERN_I8};

tern_dtype tern_machine_format(const double *rates, tern_dtype wanted)
{
    if (rates[wanted] > 0) return wanted;
    for (size_t i = 0; i < TERN_COUNT(stand_ins); i++)
        if (rates[stand_ins[i]] > 0) return stand_ins[i];
    return TERN_DTYPES;
}

/* As which operation a unit would run one that it has no rate for: a special function as an operation on elements, that
 * as an add, and an add as a multiply-accumulate with 1, but only where single operations are issued: a matrix unit can
 * neither skip what does not spike nor work on elements.  -1: it can't. */
static int operation_on(const tern_unit *u, tern_operation wanted, tern_dtype dtype)
{
    int least = u->kind == TERN_UNIT_SIMD ? TERN_MAC : TERN_ADD;
    if (wanted == TERN_MAC) least = TERN_MAC;
    for (int op = wanted; op >= least; op--)
        if (tern_machine_format(u->rate[op], dtype) != TERN_DTYPES) return op;
    return -1;
}

/* How well a format serves where another is wanted: 2 the same, 1 not an integer in place of a fraction. */
static int likeness(tern_dtype dtype, tern_dtype wanted)
{
    if (dtype == wanted) return 2;
    return !tern_dtype_of(dtype)->exact_integer || tern_dtype_of(wanted)->exact_integer;
}

tern_choice tern_machine_choose(const tern_machine *m, tern_operation operation, tern_dtype wanted)
{
    tern_choice best = {0};
    for (int i = 0; i < m->unit_count; i++) {
        const tern_unit *u = &m->units[i];
        int op = operation_on(u, operation, wanted);
        if (op < 0) continue;
        tern_dtype d = tern_machine_format(u->rate[op], wanted);
        double seconds = 1 / (u->rate[op][d] * u->efficiency);
        int like = likeness(d, wanted), best_like = likeness(best.dtype, wanted);
        if (!best.unit || like > best_like || (like == best_like && seconds < best.seconds))
            best = (tern_choice){u, d, seconds, u->energy[op][d]};
    }
    return best;
}

static const char *const operation_names[TERN_OPERATIONS] = {"multiply-accumulates", "accumulates",
                                                             "element operations", "special functions"};

static double count_of(const tern_work *w, tern_operation operation)
{
    return operation == TERN_MAC       ? w->macs
           : operation == TERN_ADD     ? w->accumulates
           : operation == TERN_ELEMENT ? w->elementwise
                                       : w->specials;
}

/* "weights need 3.2 MB, 2.2 MB more than the largest memory for them (flash) has; the most take fc1 1.6 MB, fc2 .." */
static void explain_misfit(const tern_cost_query *q, const tern_tier *largest, double room, bool weights,
                           char reason[256])
{
    char need[24], missing[24], a[24], b[24], c[24];
    double active = q->arena + q->state + q->inputs, bytes = weights ? q->weights : active;
    int length = snprintf(reason, 256, "%s need %s, %s more than %s", weights ? "weights" : "activations",
                          tern_human(need, bytes, "B"), tern_human(missing, bytes - room, "B"),
                          largest ? "memory " : "there is: no memory can hold them");
    if (!largest) return;
    length += snprintf(reason + length, 256 - (size_t)length, "%.40s has free; ", largest->name);
    if (!weights) {
        static const char *const plain[] = {"arena", "state", "input"};
        const char *const *parts = q->parts ? q->parts : plain;
        snprintf(reason + length, 256 - (size_t)length, "%s %s, %s %s, %s %s", parts[0],
                 tern_human(a, q->arena, "B"), parts[1], tern_human(b, q->state, "B"), parts[2],
                 tern_human(c, q->inputs, "B"));
        return;
    }
    double below = INFINITY; /* each round finds the most that is less than the last round's */
    length += snprintf(reason + length, 256 - (size_t)length, "the most take");
    for (int round = 0; round < 3 && length < 200; round++) {
        const tern_task_work *most = NULL;
        for (int i = 0; i < q->count; i++) {
            const tern_task_work *t = &q->tasks[i];
            if (t->weight_bytes > 0 && t->weight_bytes < below &&
                (!most || t->weight_bytes > most->weight_bytes))
                most = t;
        }
        if (!most) break;
        below = most->weight_bytes;
        length += snprintf(reason + length, 256 - (size_t)length, "%s %.28s %s", round ? "," : "",
                           most->label, tern_human(a, below, "B"));
    }
}

double tern_tier_rate(const tern_tier *tier)
{
    return tier->bandwidth * tier->efficiency;
}

double tern_machine_standing_power(const tern_machine *m)
{
    double watts = m->idle;
    for (int i = 0; i < m->tier_count; i++) watts += m->tiers[i].leakage;
    return watts;
}

bool tern_machine_place(const tern_machine *m, const tern_cost_query *q, tern_placement *p, char reason[256])
{
    double active = q->arena + q->state + q->inputs, used[TERN_MACHINE_PARTS] = {0};

    *p = (tern_placement){0};
    for (int i = 0; i < m->tier_count && !p->activations; i++) {
        if (m->tiers[i].persistent || m->tiers[i].size < active) continue;
        p->activations = &m->tiers[i];
        used[i] = active;
    }
    for (int i = 0; i < m->tier_count && !p->weights; i++)
        if (m->tiers[i].size - used[i] >= q->weights) p->weights = &m->tiers[i];
    if (p->activations && p->weights) return true;
    const tern_tier *largest = NULL;
    double free_bytes = 0;
    for (int i = 0; i < m->tier_count; i++) {
        double room = m->tiers[i].size - used[i];
        if ((!p->activations && m->tiers[i].persistent) || (largest && room <= free_bytes)) continue;
        largest = &m->tiers[i];
        free_bytes = room;
    }
    explain_misfit(q, largest, free_bytes, p->activations != NULL, reason);
    return false;
}

tern_task_cost tern_machine_task(const tern_machine *m, const tern_placement *p, const tern_task_work *t,
                                 double *compute_joules, double *memory_joules)
{
    tern_task_cost c = {.bound = "compute"};
    *compute_joules = *memory_joules = 0;
    for (int op = 0; op < TERN_OPERATIONS; op++) {
        tern_choice choice = tern_machine_choose(m, (tern_operation)op, t->dtype);
        c.compute_seconds += count_of(&t->work, (tern_operation)op) * choice.seconds;
        *compute_joules += count_of(&t->work, (tern_operation)op) * choice.joules;
    }
    double near = t->read_bytes + t->state_bytes + t->written_bytes;
    double near_seconds = p->activations ? near / tern_tier_rate(p->activations) : 0;
    double far_seconds = p->weights ? t->weight_bytes / tern_tier_rate(p->weights) : 0;
    bool same = p->weights == p->activations;
    c.memory_seconds = same ? near_seconds + far_seconds : fmax(near_seconds, far_seconds);
    if (p->activations)
        *memory_joules = (t->read_bytes + t->state_bytes / 2) * p->activations->read +
                         (t->written_bytes + t->state_bytes / 2) * p->activations->write;
    if (p->weights) *memory_joules += t->weight_bytes * p->weights->read;
    c.seconds = fmax(c.compute_seconds, c.memory_seconds);
    if (c.memory_seconds > c.compute_seconds) {
        const tern_tier *slow = same || far_seconds <= near_seconds ? p->activations : p->weights;
        c.bound = slow ? slow->name : "compute";
    }
    if (m->launch > c.seconds) c.bound = "launch";
    double measured;
    if (tern_kernel_seconds(m, t, &measured))
        c.seconds = fmax(measured, far_seconds); /* its start is part of what was measured, weights near */
    else
        c.seconds += m->launch;
    c.joules = *compute_joules + *memory_joules + tern_machine_standing_power(m) * c.seconds;
    return c;
}

/* Finds work that no unit can do (false, with the reason), and says in which format things run that the machine lacks. */
static bool can_run(const tern_machine *m, const tern_cost_query *q, char reason[256])
{
    for (int i = 0; i < q->count; i++) {
        const tern_task_work *t = &q->tasks[i];
        for (int op = 0; op < TERN_OPERATIONS; op++) {
            double count = count_of(&t->work, (tern_operation)op);
            if (count == 0) continue;
            tern_choice c = tern_machine_choose(m, (tern_operation)op, t->dtype);
            if (!c.unit) {
                snprintf(reason, 256, "no unit does %s: %.40s needs %.3g%s", operation_names[op],
                         t->label && *t->label ? t->label : "an operator", count,
                         op == TERN_MAC ? "; encode its input as spikes" : "");
                return false;
            }
            if (c.dtype != t->dtype && op <= TERN_ADD && !reason[0])
                snprintf(reason, 256, "runs as %s: no unit has %s%s", tern_dtype_of(c.dtype)->name,
                         tern_dtype_of(t->dtype)->name, t->dtype == TERN_F32 ? "; quantise first" : "");
        }
    }
    return true;
}

/* What bounds the operators that take the most time together. */
static const char *main_bound(const char *const *bounds, const double *seconds, int count)
{
    int best = 0;
    for (int i = 1; i < count; i++)
        if (seconds[i] > seconds[best]) best = i;
    return count ? bounds[best] : "compute";
}

static bool has_work(const tern_task_work *t)
{
    const tern_work *w = &t->work;
    return w->macs + w->accumulates + w->elementwise + w->specials + t->weight_bytes + t->state_bytes +
               t->read_bytes + t->written_bytes >
           0;
}

void tern_machine_cost(const tern_machine *m, const tern_cost_query *q, tern_cost *cost,
                       tern_task_cost *tasks_out)
{
    tern_placement p;
    const char *bounds[TERN_MACHINE_PARTS + 2];
    double bound_seconds[TERN_MACHINE_PARTS + 2] = {0};
    int bound_count = 0;
    *cost = (tern_cost){0};
    cost->fits = tern_machine_place(m, q, &p, cost->reason) && can_run(m, q, cost->reason);
    cost->peak_bytes = q->arena + q->state + q->inputs + q->weights;
    cost->weights_in = p.weights ? p.weights->name : "";
    cost->activations_in = p.activations ? p.activations->name : "";
    for (int i = 0; i < q->count; i++) {
        const tern_task_work *t = &q->tasks[i];
        double compute = 0, memory = 0;
        tern_task_cost c = {.bound = ""};
        int k = 0;
        if (has_work(t)) {
            c = tern_machine_task(m, &p, t, &compute, &memory);
            while (k < bound_count && strcmp(bounds[k], c.bound) != 0) k++;
            if (k == bound_count) bounds[bound_count++] = c.bound;
            bound_seconds[k] += c.seconds;
        }
        cost->seconds += c.seconds;
        cost->compute_joules += compute;
        cost->memory_joules += memory;
        cost->paper_joules += 4.6e-12 * t->work.macs + 0.9e-12 * t->work.accumulates;
        if (tasks_out) tasks_out[i] = c;
    }
    cost->bound = main_bound(bounds, bound_seconds, bound_count);
    cost->idle_joules = tern_machine_standing_power(m) * cost->seconds;
    cost->joules = cost->compute_joules + cost->memory_joules + cost->idle_joules;
}
