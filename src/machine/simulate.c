/* A program on a machine with a systolic array, operator by operator: cycles of the array, and the cycles that it waits
 * for operands from a far memory. */
#include "machine/model.h"

#include <math.h>

/* Operands of a product in bytes, and whether each is in a far memory. */
typedef struct tern_operands {
    double inputs, weights, results;
} tern_operands;

/* Bytes of the operands in the array's format; spikes stay bits until they are in the scratchpad. */
static tern_operands operands_of(const tern_task_work *t, tern_dtype format)
{
    double scale = (double)tern_dtype_of(format)->bytes / (double)tern_dtype_of(t->dtype)->bytes;
    return (tern_operands){t->read_bytes * (t->on_spikes ? 1 : scale), t->weight_bytes * scale,
                           t->written_bytes * scale};
}

/* What moves between a far memory and the scratchpad: an operand that does not fit half of it comes again in each pass. */
static tern_operands far_traffic(const tern_placement *p, const tern_tier *near, const tern_operands *o,
                                 const tern_array_time *t)
{
    double half = near->size / 2;
    bool far_activations = p->activations != near, far_weights = p->weights != near;
    return (tern_operands){
        far_activations ? o->inputs * (o->inputs <= half ? 1 : t->input_passes) : 0,
        far_weights ? o->weights * (o->weights <= half ? 1 : t->weight_passes) : 0,
        far_activations ? o->results * (o->results <= half ? 1 : t->result_passes) : 0,
    };
}

static double sum_of(const tern_operands *o)
{
    return o->inputs + o->weights + o->results;
}

/* Where outputs can be finished block by block, half the scratchpad holds the sums of as many channels as fit, and inputs come
 * again for each block of channels; or those of all channels over as many rows of the image as fit, and weights come again
 * for each strip, with the input rows that two strips share.  The one that moves less is taken. */
static tern_operands blocked_traffic(const tern_placement *p, const tern_tier *near, const tern_operands *o,
                                     const tern_array_time *t, const tern_product_shape *s, double element)
{
    tern_operands least = far_traffic(p, near, o, t);
    double room = near->size / 2 / element, height = (double)s->out_height;
    double channels = t->map > 0 ? floor(room / t->map) : 0;
    double rows = t->map > 0 && height > 0 ? floor(room * height / (t->map * (double)s->n)) : 0;
    if (channels >= 1) {
        tern_array_time blocks = *t;
        blocks.input_passes = ceil((double)s->n / channels);
        blocks.result_passes = 1;
        tern_operands far = far_traffic(p, near, o, &blocks);
        if (sum_of(&far) < sum_of(&least)) least = far;
    }
    if (rows >= 1) {
        tern_array_time strips = *t;
        strips.input_passes = rows < height ? 1 + (double)(s->kernel_height - 1) / rows : 1;
        strips.weight_passes = ceil(height / rows);
        strips.result_passes = 1;
        tern_operands far = far_traffic(p, near, o, &strips);
        if (sum_of(&far) < sum_of(&least)) least = far;
    }
    return least;
}

/* Seconds that far memories take for this traffic: one memory after the other's turn, two side by side. */
static double far_seconds(const tern_placement *p, const tern_operands *far)
{
    double activations = (far->inputs + far->results) / tern_tier_rate(p->activations);
    double weights = far->weights / tern_tier_rate(p->weights);
    return p->activations == p->weights ? activations + weights : fmax(activations, weights);
}

static tern_task_simulation simulate_product(const tern_machine *m, const tern_unit *u,
                                             const tern_placement *p, const tern_task_work *t)
{
    const tern_product_shape *s = &t->product;
    const tern_tier *near = &m->tiers[0];
    tern_dtype format = tern_machine_format(u->rate[TERN_MAC], t->dtype);
    tern_array_time time = tern_array_product(u->rows, u->columns, u->dataflow, s);
    double element = (double)tern_dtype_of(format)->bytes;
    tern_operands all = operands_of(t, format), far = blocked_traffic(p, near, &all, &time, s, element);
    tern_operands first = {far.inputs / time.folds, far.weights / time.folds, 0};
    double fold = time.cycles / time.folds, fetch = far_seconds(p, &far) * u->clock / time.folds;
    double macs = (double)s->count * (double)s->m * (double)s->n * (double)s->k;
    tern_task_simulation r = {.unit = u->name, .utilisation = time.utilisation, .occupancy = time.occupancy};
    r.stall_cycles = far_seconds(p, &first) * u->clock + time.folds * fmax(0, fetch - fold);
    r.cycles = time.cycles + r.stall_cycles;
    r.seconds = r.cycles / u->clock + m->launch;
    r.far_bytes = far.inputs + far.weights + far.results;
    r.near_bytes = (time.operands + time.results) * element;
    r.macs = macs;
    r.joules = macs * u->energy[TERN_MAC][format] + time.accesses * u->cell_access + time.hops * u->hop +
               time.operands * element * near->read + time.results * element * near->write +
               far.inputs * p->activations->read + far.weights * p->weights->read +
               far.results * p->activations->write + tern_machine_standing_power(m) * r.seconds;
    return r;
}

/* What is no product: the roofline of the machine's other units. */
static tern_task_simulation simulate_other(const tern_machine *m, double clock, const tern_placement *p,
                                           const tern_task_work *t)
{
    double compute, memory, bytes = t->read_bytes + t->written_bytes + t->state_bytes + t->weight_bytes;
    tern_task_cost c = tern_machine_task(m, p, t, &compute, &memory);
    tern_task_simulation r = {.unit = c.bound, .seconds = c.seconds, .joules = c.joules};
    r.cycles = (c.seconds - m->launch) * clock;
    r.stall_cycles = fmax(0, c.memory_seconds - c.compute_seconds) * clock;
    *(p->activations == &m->tiers[0] ? &r.near_bytes : &r.far_bytes) = bytes;
    return r;
}

/* Whether a broadcasting array does it: two maps are read and one is written, by whole numbers (what makes 16 bits of floats moves as
 * many bytes). */
static bool is_sum(const tern_unit *array, const tern_task_work *t)
{
    return array->dataflow == TERN_BROADCAST && t->work.elementwise > 0 && t->weights == TERN_I32 &&
           t->read_bytes == 2 * t->written_bytes && t->written_bytes > 0;
}

static tern_task_simulation simulate_sum(const tern_machine *m, const tern_unit *u, const tern_task_work *t)
{
    tern_task_simulation r = {.unit = u->name, .near_bytes = t->read_bytes + t->written_bytes};
    r.cycles = tern_broadcast_sum(u->columns, t->work.elementwise) + 2 * TERN_BROADCAST_SUM_WRITES;
    r.seconds = r.cycles / u->clock + m->launch;
    r.joules = t->read_bytes * m->tiers[0].read + t->written_bytes * m->tiers[0].write +
               t->work.elementwise * u->energy[TERN_ELEMENT][TERN_I8] +
               tern_machine_standing_power(m) * r.seconds;
    return r;
}

static bool is_idle(const tern_task_work *t)
{
    const tern_work *w = &t->work;
    return w->macs + w->accumulates + w->elementwise + w->specials + t->read_bytes + t->written_bytes == 0;
}

tern_status tern_machine_simulate(const tern_machine *machine, const tern_cost_query *query,
                                  tern_simulation *simulation, tern_task_simulation *tasks_out)
{
    const tern_unit *array = tern_machine_array(machine);
    tern_placement place;
    tern_cost cost;
    int products = 0;
    *simulation = (tern_simulation){0};
    if (!array)
        return tern_fail(
            TERN_USAGE,
            "machine %s has no systolic unit with \"rows\" and \"columns\" to simulate; tern cost "
            "knows it",
            machine->name);
    tern_machine_cost(machine, query, &cost, NULL);
    snprintf(simulation->reason, sizeof simulation->reason, "%s", cost.reason);
    if (!cost.fits || !tern_machine_place(machine, query, &place, simulation->reason))
        return tern_fail(TERN_NO_FIT, "machine %s: %s", machine->name, simulation->reason);
    tern_dtype format = tern_machine_format(array->rate[TERN_MAC], TERN_F32);
    if (format == TERN_DTYPES)
        return tern_fail(TERN_NO_FIT, "machine %s: its array has no multiply-accumulates", machine->name);
    if (format != TERN_F32)
        snprintf(simulation->reason, sizeof simulation->reason, "products run as %s: the array has no f32",
                 tern_dtype_of(format)->name);
    for (int i = 0; i < query->count; i++) {
        const tern_task_work *t = &query->tasks[i];
        tern_task_simulation r = {.unit = ""};
        if (t->product.count) {
            r = simulate_product(machine, array, &place, t);
            simulation->array_cycles += r.cycles - r.stall_cycles;
            simulation->utilisation += r.utilisation * (r.cycles - r.stall_cycles);
            simulation->mean_utilisation += r.utilisation;
            simulation->macs += r.macs;
            products++;
        } else if (is_sum(array, t)) {
            r = simulate_sum(machine, array, t);
        } else if (!is_idle(t)) {
            r = simulate_other(machine, array->clock, &place, t);
        }
        r.start = simulation->seconds;
        simulation->seconds += r.seconds;
        simulation->joules += r.joules;
        simulation->cycles += r.cycles;
        simulation->stall_cycles += r.stall_cycles;
        simulation->far_bytes += r.far_bytes;
        simulation->near_bytes += r.near_bytes;
        tasks_out[i] = r;
    }
    if (products) {
        simulation->utilisation /= simulation->array_cycles;
        simulation->mean_utilisation /= products;
    }
    return TERN_OK;
}
