/* What a program costs on a machine: a roofline for each operator.  docs/machines.md explains each formula. */
#include "machine/machine.h"

#include <string.h>

/* Formats that stand in for one that a unit lacks, best first. */
static const tern_dtype stand_ins[] = {TERN_F32, TERN_BF16, TERN_F16, TERN_I32, TERN_I16, TERN_I8};

/* The format in which a unit would run; TERN_DTYPES when it can't. */
static tern_dtype format_on(const double *rates, tern_dtype wanted)
{
    if (rates[wanted] > 0) return wanted;
    for (size_t i = 0; i < TERN_COUNT(stand_ins); i++)
        if (rates[stand_ins[i]] > 0) return stand_ins[i];
    return TERN_DTYPES;
}

typedef struct tern_choice {
    const tern_unit *unit;
    tern_dtype dtype;
    double rate, joules; /* per operation */
} tern_choice;

/* The fastest unit for multiply-accumulates or accumulates; the wanted format wins over others. */
static tern_choice choose(const tern_machine *m, bool adds, tern_dtype wanted)
{
    tern_choice best = {0};
    for (int i = 0; i < m->unit_count; i++) {
        const tern_unit *u = &m->units[i];
        bool as_macs =
            adds && format_on(u->add, wanted) == TERN_DTYPES; /* an add is a MAC with a weight of 1 */
        const double *rates = adds && !as_macs ? u->add : u->mac,
                     *energy = adds && !as_macs ? u->add_energy : u->mac_energy;
        tern_dtype d = format_on(rates, wanted);
        if (d == TERN_DTYPES || (u->kind == TERN_UNIT_EVENT && !adds)) continue;
        double rate = rates[d] * u->efficiency;
        bool better = !best.unit || (d == wanted && best.dtype != wanted) ||
                      ((d == wanted) == (best.dtype == wanted) && rate > best.rate);
        if (better) best = (tern_choice){u, d, rate, energy[d]};
    }
    return best;
}

typedef struct tern_placement {
    const tern_tier *weights, *activations;
} tern_placement;

/* The nearest memories that hold everything: activations first, then weights in what is left or in a farther one. */
static bool place(const tern_machine *m, const tern_cost_query *q, tern_placement *p, char reason[256])
{
    double active = q->arena + q->state + q->inputs, used[TERN_MACHINE_PARTS] = {0};
    char need[24], have[24];
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
    for (int i = 0; i < m->tier_count; i++) {
        bool counts = p->activations || !m->tiers[i].persistent;
        if (counts && (!largest || m->tiers[i].size > largest->size)) largest = &m->tiers[i];
    }
    snprintf(reason, 256, "%s need %s, the largest memory for them (%s) has %s",
             p->activations ? "weights" : "activations, state and input",
             tern_human(need, p->activations ? q->weights : active, "B"), largest ? largest->name : "none",
             tern_human(have, largest ? largest->size : 0, "B"));
    return false;
}

static tern_task_cost task_cost(const tern_machine *m, const tern_placement *p, const tern_task_work *t,
                                double *compute_joules, double *memory_joules)
{
    tern_choice mac = choose(m, false, t->dtype), add = choose(m, true, t->dtype);
    tern_task_cost c = {.bound = "compute"};
    double adds = t->work.accumulates, others = t->work.elementwise + t->work.specials;
    if (mac.unit) c.compute_seconds += t->work.macs / mac.rate;
    if (add.unit) c.compute_seconds += (adds + others) / add.rate;
    *compute_joules = t->work.macs * mac.joules + (adds + others) * add.joules;
    double near = t->read_bytes + t->state_bytes + t->written_bytes;
    double near_seconds = p->activations ? near / p->activations->bandwidth : 0;
    double far_seconds = p->weights ? t->weight_bytes / p->weights->bandwidth : 0;
    bool same = p->weights == p->activations;
    c.memory_seconds = same                         ? near_seconds + far_seconds
                       : near_seconds > far_seconds ? near_seconds
                                                    : far_seconds;
    if (p->activations)
        *memory_joules = (t->read_bytes + t->state_bytes / 2) * p->activations->read +
                         (t->written_bytes + t->state_bytes / 2) * p->activations->write;
    if (p->weights) *memory_joules += t->weight_bytes * p->weights->read;
    c.seconds = c.compute_seconds > c.memory_seconds ? c.compute_seconds : c.memory_seconds;
    if (c.memory_seconds > c.compute_seconds && p->weights)
        c.bound =
            p->activations && (same || far_seconds <= near_seconds) ? p->activations->name : p->weights->name;
    if (m->launch > c.seconds) c.bound = "launch";
    c.seconds += m->launch;
    c.joules = *compute_joules + *memory_joules + m->idle * c.seconds;
    return c;
}

/* Says in which format things run that the machine lacks. */
static void note_format(const tern_machine *m, const tern_cost_query *q, char reason[256])
{
    for (int i = 0; i < q->count; i++) {
        const tern_task_work *t = &q->tasks[i];
        bool adds = t->work.macs == 0 && t->work.accumulates > 0;
        tern_choice c = choose(m, adds, t->dtype);
        if (t->work.macs + t->work.accumulates == 0 || (c.unit && c.dtype == t->dtype)) continue;
        if (!c.unit)
            snprintf(reason, 256,
                     "no unit multiplies: %s needs %.3g multiply-accumulates; encode the input as spikes",
                     t->label, t->work.macs);
        else
            snprintf(reason, 256, "runs as %s: no unit has %s; quantise first", tern_dtype_of(c.dtype)->name,
                     tern_dtype_of(t->dtype)->name);
        return;
    }
}

void tern_machine_cost(const tern_machine *m, const tern_cost_query *q, tern_cost *cost,
                       tern_task_cost *tasks_out)
{
    tern_placement p;
    *cost = (tern_cost){.bound = "compute"};
    cost->fits = place(m, q, &p, cost->reason);
    cost->peak_bytes = q->arena + q->state + q->inputs + q->weights;
    cost->weights_in = p.weights ? p.weights->name : "";
    cost->activations_in = p.activations ? p.activations->name : "";
    double longest = -1;
    for (int i = 0; i < q->count; i++) {
        const tern_task_work *t = &q->tasks[i];
        double compute = 0, memory = 0;
        tern_task_cost c = {.bound = ""};
        if (t->work.macs + t->work.accumulates + t->work.elementwise + t->work.specials + t->read_bytes +
                t->written_bytes >
            0)
            c = task_cost(m, &p, t, &compute, &memory);
        cost->seconds += c.seconds;
        cost->compute_joules += compute;
        cost->memory_joules += memory;
        cost->paper_joules += 4.6e-12 * t->work.macs + 0.9e-12 * t->work.accumulates;
        if (c.seconds > longest) {
            longest = c.seconds;
            cost->bound = c.bound;
        }
        if (tasks_out) tasks_out[i] = c;
    }
    cost->idle_joules = m->idle * cost->seconds;
    cost->joules = cost->compute_joules + cost->memory_joules + cost->idle_joules;
    if (cost->fits) note_format(m, q, cost->reason);
}
