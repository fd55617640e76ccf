/* Which core has which neurons: parts of channels and rows that fit the memory of a core. */
#include "machine/cores.h"
#include "machine/model.h"

#include <math.h>
#include <string.h>

void tern_event_net_free(tern_event_net *net)
{
    tern_release(net->populations);
    tern_release(net->projections);
    *net = (tern_event_net){0};
}

void tern_core_map_free(tern_core_map *map)
{
    tern_release(map->cores);
    *map = (tern_core_map){0};
}

const tern_unit *tern_event_unit(const tern_machine *machine)
{
    for (int i = 0; i < machine->unit_count; i++)
        if (machine->units[i].core_memory > 0) return &machine->units[i];
    return NULL;
}

static int64_t ceiling(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* How a population is cut: into so many parts of channels, each into so many of rows. */
typedef struct cut {
    int64_t channels, rows;
} cut;

tern_dtype tern_core_format(const tern_unit *unit, tern_operation operation)
{
    return tern_machine_format(unit->rate[operation], TERN_I8);
}

double tern_core_seconds(const tern_unit *unit, tern_operation operation)
{
    tern_dtype d = tern_core_format(unit, operation);
    return d == TERN_DTYPES ? 0 : unit->count / (unit->rate[operation][d] * unit->efficiency);
}

/* Bytes of a weight: in the format in which the unit adds. */
static double weight_bytes(const tern_unit *u)
{
    return (double)tern_dtype_of(tern_core_format(u, TERN_ADD))->bytes;
}

/* Bytes that the biggest part takes, and the different inputs that its neurons read. */
static double part_memory(const tern_unit *u, const tern_event_net *net, int population, cut c, double *axons)
{
    const tern_population *p = &net->populations[population];
    double channels = (double)ceiling(p->channels, c.channels), rows = (double)ceiling(p->height, c.rows);
    double neurons = channels * rows * (double)p->width, synapses = 0;
    *axons = 0;
    for (int i = 0; i < net->projection_count; i++) {
        const tern_projection *j = &net->projections[i];
        if (j->to != population) continue;
        synapses += u->shared_weights ? channels * (double)j->weights : neurons * (double)j->fan_in;
        double read = (double)j->fan_in;
        if (!j->dense) {
            double window =
                (double)((j->kernel_height - 1) * j->dilation) + 1 + (rows - 1) * (double)j->stride;
            double groups = ceil(channels * (double)j->groups / (double)p->channels);
            read = groups * (double)(j->in_channels / j->groups) * fmin(window, (double)j->in_height) *
                   (double)j->in_width;
        }
        *axons += read;
    }
    return synapses * weight_bytes(u) + neurons * u->neuron_memory;
}

static bool part_fits(const tern_unit *u, const tern_event_net *net, int population, cut c)
{
    const tern_population *p = &net->populations[population];
    double axons, memory = part_memory(u, net, population, c, &axons);
    double neurons = (double)(ceiling(p->channels, c.channels) * ceiling(p->height, c.rows) * p->width);
    return memory <= u->core_memory && (u->core_neurons == 0 || neurons <= u->core_neurons) &&
           (u->core_axons == 0 || axons <= u->core_axons);
}

/* The cut into the fewest parts that fit; of those the one with the fewest parts of channels, since each of them is sent every
 * spike.  false: not even single rows of a channel fit. */
static bool least_cut(const tern_unit *u, const tern_event_net *net, int population, cut *best)
{
    const tern_population *p = &net->populations[population];
    int64_t least = INT64_MAX;
    for (int64_t c = 1; c <= p->channels; c++) {
        if (c > 1 && ceiling(p->channels, c) == ceiling(p->channels, c - 1)) continue;
        for (int64_t r = 1; r <= p->height && c * r < least; r++)
            if (part_fits(u, net, population, (cut){c, r})) {
                least = c * r;
                *best = (cut){c, r};
            }
    }
    return least < INT64_MAX;
}

static int64_t part_size(const tern_population *p, cut c)
{
    return ceiling(p->channels, c.channels) * ceiling(p->height, c.rows) * p->width;
}

/* The cut into at most `parts` that fit with the fewest neurons on the fullest core. */
static cut even_cut(const tern_unit *u, const tern_event_net *net, int population, int64_t parts, cut now)
{
    const tern_population *p = &net->populations[population];
    cut best = now;
    for (int64_t c = 1; c <= p->channels && c <= parts; c++) {
        cut other = {c, parts / c < p->height ? parts / c : p->height};
        if (part_size(p, other) < part_size(p, best) && part_fits(u, net, population, other)) best = other;
    }
    return best;
}

/* Seconds that a step takes on the fullest core, messages aside. */
static double load(const tern_unit *u, const tern_event_net *net, int population, cut c)
{
    const tern_population *p = &net->populations[population];
    double share = (double)part_size(p, c) / (double)(p->channels * p->height * p->width);
    double synapses = 0, steps = net->samples * p->steps;
    for (int i = 0; i < net->projection_count; i++)
        if (net->projections[i].to == population)
            synapses += net->projections[i].events * tern_core_seconds(u, TERN_ADD) +
                        net->projections[i].products * tern_core_seconds(u, TERN_MAC);
    return share / steps * fmax(synapses, p->updates * tern_core_seconds(u, TERN_ELEMENT));
}

static int64_t total(const cut *cuts, int count)
{
    int64_t sum = 0;
    for (int i = 0; i < count; i++) sum += cuts[i].channels * cuts[i].rows;
    return sum;
}

/* Free cores to the population that takes longest, as long as one of its parts becomes smaller. */
static void spread_out(const tern_unit *u, const tern_event_net *net, cut *cuts)
{
    int count = net->population_count;
    while (count > 0) {
        int worst = 0;
        for (int i = 1; i < count; i++)
            if (load(u, net, i, cuts[i]) > load(u, net, worst, cuts[worst])) worst = i;
        int64_t now = cuts[worst].channels * cuts[worst].rows, room = (int64_t)u->count - total(cuts, count);
        cut better = cuts[worst];
        for (int64_t more = 1; more <= room && part_size(&net->populations[worst], better) ==
                                                   part_size(&net->populations[worst], cuts[worst]);
             more++)
            better = even_cut(u, net, worst, now + more, better);
        if (part_size(&net->populations[worst], better) == part_size(&net->populations[worst], cuts[worst]))
            return;
        cuts[worst] = better;
    }
}

/* Parts of nearly the same size: part i of n begins here. */
static int64_t begin_of(int64_t size, int64_t parts, int64_t i)
{
    int64_t part = ceiling(size, parts);
    return part * i < size ? part * i : size;
}

static void place(const tern_event_net *net, const cut *cuts, tern_core_map *map)
{
    const tern_unit *u = map->unit;
    for (int p = 0; p < net->population_count; p++) {
        const tern_population *population = &net->populations[p];
        map->first[p] = map->count;
        for (int64_t c = 0; c < cuts[p].channels; c++)
            for (int64_t r = 0; r < cuts[p].rows; r++) {
                double axons;
                tern_core core = {.population = p,
                                  .channel = begin_of(population->channels, cuts[p].channels, c),
                                  .row = begin_of(population->height, cuts[p].rows, r),
                                  .memory = part_memory(u, net, p, cuts[p], &axons),
                                  .tile = map->count / (u->tile > 0 ? (int)u->tile : 1)};
                core.channels = begin_of(population->channels, cuts[p].channels, c + 1) - core.channel;
                core.rows = begin_of(population->height, cuts[p].rows, r + 1) - core.row;
                if (core.channels > 0 && core.rows > 0) map->cores[map->count++] = core;
            }
    }
    map->first[net->population_count] = map->count;
}

static tern_status does_not_fit(const tern_machine *m, const tern_unit *u, const tern_event_net *net,
                                int population)
{
    char need[24], have[24];
    double axons;
    const tern_population *p = &net->populations[population];
    double memory = part_memory(u, net, population, (cut){p->channels, p->height}, &axons);
    if (u->core_axons > 0 && axons > u->core_axons)
        return tern_fail(TERN_NO_FIT,
                         "machine %s: a neuron of layer %s reads %.0f others, a core has inputs for %.0f",
                         m->name, p->name, axons, u->core_axons);
    return tern_fail(TERN_NO_FIT,
                     "machine %s: a row of one channel of layer %s, %lld neurons, needs %s, a core has %s%s",
                     m->name, p->name, (long long)p->width, tern_human(need, memory, "B"),
                     tern_human(have, u->core_memory, "B"), u->core_neurons > 0 ? " and few neurons" : "");
}

tern_status tern_cores_map(const tern_machine *machine, const tern_event_net *net, bool spread,
                           tern_core_map *map)
{
    cut cuts[TERN_POPULATIONS] = {{0}};
    const tern_unit *u = tern_event_unit(machine);
    *map = (tern_core_map){.unit = u};
    if (!u)
        return tern_fail(TERN_USAGE, "machine %s has no unit with \"core_memory\" to map neurons to",
                         machine->name);
    for (int p = 0; p < net->population_count; p++)
        if (!least_cut(u, net, p, &cuts[p])) return does_not_fit(machine, u, net, p);
    int64_t needed = total(cuts, net->population_count);
    if ((double)needed > u->count) {
        int most = 0;
        for (int p = 1; p < net->population_count; p++)
            if (cuts[p].channels * cuts[p].rows > cuts[most].channels * cuts[most].rows) most = p;
        return tern_fail(TERN_NO_FIT,
                         "machine %s: the net needs %lld cores, it has %.0f; the most, %lld, take layer %s",
                         machine->name, (long long)needed, u->count,
                         (long long)(cuts[most].channels * cuts[most].rows), net->populations[most].name);
    }
    if (spread) spread_out(u, net, cuts);
    needed = total(cuts, net->population_count);
    map->cores = tern_take_array((size_t)needed + 1, sizeof *map->cores);
    if (!map->cores) return tern_no_memory((size_t)needed * sizeof *map->cores, "a map of cores");
    map->tiles = (int)ceil(u->count / (u->tile > 0 ? u->tile : 1));
    map->columns = u->mesh > 0 ? (int)u->mesh : (int)ceil(sqrt(map->tiles));
    place(net, cuts, map);
    return TERN_OK;
}
