/* A sample on event cores, time step by time step. */
#include "machine/agenda.h"
#include "machine/cores.h"
#include "machine/model.h"

#include <math.h>
#include <string.h>

const char *const tern_core_bounds[] = {"synapses", "neurons", "messages"};

enum { BEGIN, DONE };

typedef struct runner {
    const tern_machine *machine;
    const tern_event_net *net;
    const tern_core_map *map;
    tern_core_run *run;
    tern_agenda agenda;
    double *
        traffic; /* [populations * tiles]: messages through each router in a step in which the population fires; then of the
                       * input at the first step of a sample, and at each */
    double *now;      /* [tiles]: of the step at hand */
    double *farthest; /* [cores]: routers between it and the farthest core that it sends to */
    int step, running, ends;
    double begun, slowest;
    tern_core_moment *moment; /* [cores]: of the step at hand */
    double bound_seconds[4];  /* by what bounds a step: a tern_core_bound, or the chip's own time */
} runner;

/* ---- messages ------------------------------------------------------------------------------------------------------ */

/* Where a router stands: the snake goes to and fro. */
static void find(const tern_core_map *map, int tile, int *x, int *y)
{
    *y = tile / map->columns;
    *x = tile % map->columns;
    if (*y % 2) *x = map->columns - 1 - *x;
}

/* Messages pass the routers along x, then along y; returns how many hops that is. */
static int pass(const tern_core_map *map, int from, int to, double messages, double *through)
{
    int x, y, x_to, y_to;
    find(map, from, &x, &y);
    find(map, to, &x_to, &y_to);
    for (int hops = 0;; hops++) {
        int tile = y * map->columns + (y % 2 ? map->columns - 1 - x : x);
        if (tile < map->tiles) through[tile] += messages; /* the last row may have gaps */
        if (x == x_to && y == y_to) return hops;
        if (x != x_to)
            x += x < x_to ? 1 : -1;
        else
            y += y < y_to ? 1 : -1;
    }
}

static double overlap(double a, double b, double c, double d)
{
    return fmax(0, fmin(b, d) - fmax(a, c));
}

/* The share of the spikes of a part of a population that a core needs: those of the rows in its window, and of its groups. */
static double share_needed(const tern_event_net *net, const tern_projection *j, const tern_core *to, int from,
                           double row, double rows, double channel, double channels)
{
    if (j->dense) return 1;
    const tern_population *source = from < 0 ? NULL : &net->populations[from],
                          *target = &net->populations[j->to];
    double scale = source ? (double)source->height / (double)j->in_height : 1; /* a pool between them */
    double first = (double)(to->row * j->stride - j->pad);
    double last =
        (double)((to->row + to->rows - 1) * j->stride - j->pad + (j->kernel_height - 1) * j->dilation + 1);
    double share = overlap(row, row + rows, first * scale, last * scale) / rows;
    if (j->groups > 1) {
        double all = source ? (double)source->channels : (double)j->in_channels;
        double begin = floor((double)(to->channel * j->groups) / (double)target->channels);
        double end = ceil((double)((to->channel + to->channels) * j->groups) / (double)target->channels);
        share *= overlap(channel, channel + channels, begin * all / (double)j->groups,
                         end * all / (double)j->groups) /
                 channels;
    }
    return share;
}

/* What a population, or the input (-1), sends in a step, from one place to all cores that read it. */
static void send(runner *r, const tern_projection *j, int from, int core, double messages, double *through)
{
    const tern_core_map *map = r->map;
    const tern_core *source = core < 0 ? NULL : &map->cores[core];
    double row = source ? (double)source->row : 0,
           rows = source ? (double)source->rows : (double)j->in_height;
    double channel = source ? (double)source->channel : 0,
           channels = source ? (double)source->channels : (double)j->in_channels;
    for (int c = map->first[j->to]; c < map->first[j->to + 1]; c++) {
        double sent = messages * share_needed(r->net, j, &map->cores[c], from, row, rows, channel, channels);
        if (sent == 0) continue;
        int hops = pass(map, source ? source->tile : 0, map->cores[c].tile, sent, through);
        if (core >= 0 && hops > r->farthest[core]) r->farthest[core] = hops;
        double times =
            from < 0 ? (j->once ? 1 : r->net->populations[j->to].steps) : r->net->populations[from].steps;
        tern_population_run *run = &r->run->population[from < 0 ? j->to : from];
        run->messages += sent * times;
        run->hops += sent * hops * times;
    }
}

static void route(runner *r)
{
    const tern_event_net *net = r->net;
    size_t tiles = (size_t)r->map->tiles;
    for (int i = 0; i < net->projection_count; i++) {
        const tern_projection *j = &net->projections[i];
        if (j->from & TERN_FROM_INPUT) {
            size_t slot = (size_t)net->population_count + (j->once ? 0 : 1);
            send(r, j, -1, -1, j->messages / (j->once ? 1 : net->populations[j->to].steps),
                 r->traffic + slot * tiles);
        }
        for (int p = 0; p < net->population_count; p++) {
            if (!(j->from >> p & 1)) continue;
            const tern_population *source = &net->populations[p];
            double all = (double)(source->channels * source->height);
            for (int c = r->map->first[p]; c < r->map->first[p + 1]; c++) {
                const tern_core *core = &r->map->cores[c];
                double part = (double)(core->channels * core->rows) / all;
                send(r, j, p, c, part * source->spikes / net->samples / source->steps,
                     r->traffic + (size_t)p * tiles);
            }
        }
    }
}

/* ---- a step -------------------------------------------------------------------------------------------------------- */

/* Inputs of rows [0, row) of a channel, those in the border left out: a projection's events are spread over neurons by that. */
static double reads_before(const tern_projection *j, int64_t row)
{
    double reads = 0;
    if (j->dense) return (double)row;
    for (int64_t y = 0; y < row; y++)
        for (int64_t k = 0; k < j->kernel_height; k++) {
            int64_t at = y * j->stride - j->pad + k * j->dilation;
            reads += at >= 0 && at < j->in_height;
        }
    return reads;
}

/* Of `count` things that are spread evenly over [0, all), those of [from, to): whole numbers, whose sum is the count. */
static double of_part(double count, double from, double to, double all)
{
    return floor(count * (to / all)) - floor(count * (from / all));
}

/* Whole shares of a core in step `k` of a sample: steps one behind the other, in each the channels, in each the rows. */
static double share_of(const tern_projection *j, const tern_population *p, const tern_core *core, int k,
                       double steps, double count)
{
    double sum = 0, column = reads_before(j, p->height), all = column * (double)p->channels * steps;
    double before = reads_before(j, core->row), behind = reads_before(j, core->row + core->rows);
    if (core->rows == p->height) {
        double from = ((double)k * (double)p->channels + (double)core->channel) * column;
        return of_part(count, from, from + (double)core->channels * column, all);
    }
    for (int64_t c = core->channel; c < core->channel + core->channels; c++) {
        double from = ((double)k * (double)p->channels + (double)c) * column;
        sum += of_part(count, from + before, from + behind, all);
    }
    return sum;
}

static double updates_of(const tern_population *p, const tern_core *core, int k)
{
    double sum = 0, all = (double)(p->channels * p->height) * p->steps;
    for (int64_t c = core->channel; c < core->channel + core->channels; c++) {
        double from = (double)k * (double)(p->channels * p->height) + (double)(c * p->height + core->row);
        sum += of_part(p->updates, from, from + (double)core->rows, all);
    }
    return sum;
}

/* What a core has to do in a step of its population. */
static tern_core_moment work_of(const runner *r, int index, int k)
{
    const tern_core *core = &r->map->cores[index];
    const tern_population *p = &r->net->populations[core->population];
    const tern_unit *u = r->map->unit;
    tern_core_moment m = {.core = index, .step = r->step, .start = r->begun};
    for (int i = 0; i < r->net->projection_count; i++) {
        const tern_projection *j = &r->net->projections[i];
        if (j->to != core->population) continue;
        m.events += j->events > 0 ? share_of(j, p, core, k, p->steps, j->events) : 0;
        if (j->products > 0 && (k == 0 || !j->once))
            m.products += share_of(j, p, core, k, j->once ? 1 : p->steps, j->products);
    }
    m.updates = updates_of(p, core, k);
    m.part[TERN_BOUND_SYNAPSES] =
        (m.events * tern_core_seconds(u, TERN_ADD) + m.products * tern_core_seconds(u, TERN_MAC)) /
        r->net->samples;
    m.part[TERN_BOUND_NEURONS] = m.updates * tern_core_seconds(u, TERN_ELEMENT) / r->net->samples;
    m.part[TERN_BOUND_MESSAGES] = r->now[core->tile] * u->message + r->farthest[index] * u->hop_time;
    m.seconds = fmax(m.part[0], fmax(m.part[1], m.part[2]));
    return m;
}

/* Messages through the routers in this step. */
static void add_traffic(runner *r, int slot)
{
    size_t tiles = (size_t)r->map->tiles;
    for (size_t i = 0; i < tiles; i++) r->now[i] += r->traffic[(size_t)slot * tiles + i];
}

static bool is_active(const runner *r, int population, int *k)
{
    *k = r->step - r->net->populations[population].depth;
    return *k >= 0 && *k < r->net->populations[population].steps;
}

static tern_status begin_step(runner *r, double time)
{
    int k;
    r->begun = time;
    r->slowest = 0;
    memset(r->now, 0, (size_t)r->map->tiles * sizeof *r->now);
    for (int p = 0; p < r->net->population_count; p++)
        if (is_active(r, p, &k)) add_traffic(r, p);
    if (r->step == 0) add_traffic(r, r->net->population_count);
    if (r->step < r->net->populations[0].steps) add_traffic(r, r->net->population_count + 1);
    for (int c = 0; c < r->map->count; c++) {
        if (!is_active(r, r->map->cores[c].population, &k)) continue;
        r->moment[c] = work_of(r, c, k);
        TERN_TRY(tern_agenda_put(&r->agenda, time + r->moment[c].seconds, DONE, c));
        r->running++;
    }
    return TERN_OK;
}

static tern_status keep_moment(tern_core_run *run, const tern_core_moment *m)
{
    if (run->moment_count == run->moment_room) {
        size_t room = run->moment_room ? 2 * run->moment_room : 256, size = sizeof *m;
        tern_core_moment *more = tern_resize(run->moments, run->moment_room * size, room * size);
        if (!more) return tern_no_memory(room * size, "a timeline");
        run->moments = more;
        run->moment_room = room;
    }
    run->moments[run->moment_count++] = *m;
    return TERN_OK;
}

/* All cores have ended: what bounded the step, and when the next one begins. */
static tern_status end_step(runner *r, double time)
{
    const tern_unit *u = r->map->unit;
    int bound = 3;
    double busy = 0, length = fmax(time - r->begun + u->barrier, u->tick);
    for (int c = 0; c < r->map->count; c++) {
        const tern_core_moment *m = &r->moment[c];
        for (int b = 0; b < 3 && m->step == r->step && m->seconds > 0; b++)
            if (m->part[b] > busy) {
                busy = m->part[b];
                bound = b;
            }
    }
    r->bound_seconds[length > 2 * busy ? 3 : bound] += length;
    r->run->longest = fmax(r->run->longest, length);
    r->run->seconds = r->begun + length;
    return ++r->step < r->ends ? tern_agenda_put(&r->agenda, r->begun + length, BEGIN, 0) : TERN_OK;
}

static void count_moment(runner *r, const tern_core_moment *m)
{
    tern_population_run *p = &r->run->population[r->map->cores[m->core].population];
    p->events += m->events;
    p->products += m->products;
    p->updates += m->updates;
    if (m->seconds > p->longest) {
        p->longest = m->seconds;
        memcpy(p->slowest, m->part, sizeof p->slowest);
    }
}

static tern_status walk(runner *r)
{
    tern_event e;
    TERN_TRY(tern_agenda_put(&r->agenda, 0, BEGIN, 0));
    while (tern_agenda_take(&r->agenda, &e)) {
        if (e.what == BEGIN) {
            TERN_TRY(begin_step(r, e.time));
        } else {
            count_moment(r, &r->moment[e.who]);
            TERN_TRY(keep_moment(r->run, &r->moment[e.who]));
            r->running--;
        }
        if (r->running == 0) TERN_TRY(end_step(r, e.time));
    }
    return TERN_OK;
}

/* ---- sums ---------------------------------------------------------------------------------------------------------- */

static double energy_of(const tern_unit *u, tern_operation operation)
{
    tern_dtype d = tern_core_format(u, operation);
    return d == TERN_DTYPES ? 0 : u->energy[operation][d];
}

/* Counts become those of one sample, and joules follow from them. */
static void sum_up(runner *r)
{
    static const char *const bounds[] = {"synapses", "neurons", "messages", "barrier"};
    tern_core_run *run = r->run;
    const tern_unit *u = r->map->unit;
    double weight = (double)tern_dtype_of(tern_core_format(u, TERN_ADD))->bytes * r->machine->tiers[0].read;
    for (int i = 0; i < r->net->population_count; i++) {
        tern_population_run *p = &run->population[i];
        run->events += p->events;
        run->products += p->products;
        run->updates += p->updates;
        p->events /= r->net->samples;
        p->products /= r->net->samples;
        p->updates /= r->net->samples;
        p->spikes = r->net->populations[i].spikes / r->net->samples;
        double synapses =
            p->events * (energy_of(u, TERN_ADD) + weight) + p->products * (energy_of(u, TERN_MAC) + weight);
        double neurons = p->updates * energy_of(u, TERN_ELEMENT);
        p->joules = synapses + neurons + p->hops * u->hop;
        run->synapse_joules += synapses;
        run->neuron_joules += neurons;
        run->hop_joules += p->hops * u->hop;
        run->hops += p->hops;
    }
    run->events /= r->net->samples;
    run->products /= r->net->samples;
    run->updates /= r->net->samples;
    run->mean = run->seconds / run->steps;
    run->rate = 1 / (run->longest * r->net->populations[0].steps);
    run->standing_joules = tern_machine_standing_power(r->machine) * run->seconds;
    run->joules = run->synapse_joules + run->neuron_joules + run->hop_joules + run->standing_joules;
    int most = 0;
    for (int b = 1; b < 4; b++)
        if (r->bound_seconds[b] > r->bound_seconds[most]) most = b;
    run->bound = most == 3 && u->tick > u->barrier ? "tick" : bounds[most];
}

/* Steps of the chip until the last population has had its last. */
static int last_step(const tern_event_net *net)
{
    int last = 0;
    for (int p = 0; p < net->population_count; p++)
        if (net->populations[p].depth + net->populations[p].steps > last)
            last = net->populations[p].depth + net->populations[p].steps;
    return last;
}

tern_status tern_cores_run(const tern_machine *machine, const tern_event_net *net, const tern_core_map *map,
                           tern_core_run *run)
{
    size_t tiles = (size_t)map->tiles, cores = (size_t)map->count + 1;
    runner r = {.machine = machine, .net = net, .map = map, .run = run, .ends = last_step(net)};
    *run = (tern_core_run){.steps = r.ends};
    r.traffic = tern_take_array(((size_t)net->population_count + 2) * tiles, sizeof *r.traffic);
    r.now = tern_take_array(tiles, sizeof *r.now);
    r.farthest = tern_take_array(cores, sizeof *r.farthest);
    r.moment = tern_take_array(cores, sizeof *r.moment);
    tern_status status = r.traffic && r.now && r.farthest && r.moment
                             ? TERN_OK
                             : tern_no_memory(tiles * cores, "a simulation");
    if (status == TERN_OK) {
        route(&r);
        status = walk(&r);
    }
    if (status == TERN_OK) sum_up(&r);
    tern_agenda_free(&r.agenda);
    tern_release(r.traffic);
    tern_release(r.now);
    tern_release(r.farthest);
    tern_release(r.moment);
    if (status != TERN_OK) tern_core_run_free(run);
    return status;
}

void tern_core_run_free(tern_core_run *run)
{
    tern_release(run->moments);
    *run = (tern_core_run){0};
}
