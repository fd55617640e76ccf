/* The rooflines of serving: one for each operator, a ring for each exchange. */
#include "machine/serving.h"

#include "machine/model.h"

#include <math.h>
#include <string.h>

static bool alike(const tern_serving_task *a, const tern_serving_task *b)
{
    return strcmp(a->label, b->label) == 0 && a->macs == b->macs && a->elements == b->elements &&
           a->specials == b->specials && a->fixed == b->fixed && a->in == b->in && a->out == b->out &&
           a->in_near == b->in_near && a->out_near == b->out_near && a->exchange == b->exchange &&
           a->message == b->message && a->devices == b->devices;
}

tern_status tern_serving_add(tern_serving_run *run, const tern_serving_task *task)
{
    for (int i = 0; i < run->count; i++)
        if (alike(&run->tasks[i], task)) {
            run->tasks[i].count += task->count;
            return TERN_OK;
        }
    if (run->count == run->capacity) {
        size_t old = (size_t)run->capacity, wanted = old ? 2 * old : 16;
        tern_serving_task *tasks = tern_resize(run->tasks, old * sizeof *tasks, wanted * sizeof *tasks);
        if (!tasks) return tern_no_memory(wanted * sizeof *tasks, "the operators of a run");
        run->tasks = tasks;
        run->capacity = (int)wanted;
    }
    run->tasks[run->count++] = *task;
    return TERN_OK;
}

void tern_serving_free(tern_serving_run *run)
{
    tern_release(run->tasks);
    *run = (tern_serving_run){0};
}

/* The way to the host, or to machines of its kind, which may lead through the host; NULL: there is none. */
static const tern_link *link_to(const tern_machine *m, bool host)
{
    for (int i = 0; i < m->link_count; i++)
        if (m->links[i].host == host) return &m->links[i];
    return !host && m->link_count ? &m->links[0] : NULL;
}

double tern_exchange_seconds(const tern_machine *m, tern_exchange exchange, double bytes, int devices)
{
    const tern_link *l = link_to(m, false);
    double n = devices;
    if (exchange == TERN_NO_EXCHANGE || bytes <= 0 || devices <= 1) return 0;
    if (!l) return INFINITY;
    double rate = l->bandwidth * l->efficiency, pieces = exchange == TERN_ALL_REDUCE ? 2 : 1;
    if (exchange == TERN_MESSAGE) return l->latency + bytes / rate;
    return l->start + pieces * (n - 1) * (l->latency + bytes / n / rate);
}

/* Where things are: what is near the units, and the memory for weights and caches with the rate that it has. */
typedef struct serving_place {
    const tern_tier *near, *main;
    const tern_tier
        *before; /* the memory before the main one, when it keeps a `share` of weights and caches, or NULL */
    double rate, room, share;
    bool offloaded;
} serving_place;

/* The nearest memory that holds it all, or the one with the most room, which GenZ always takes. */
static const tern_tier *main_memory(const tern_machine *m, double held, const tern_serving_way *way)
{
    for (int i = 0; i < m->tier_count && !way->genz && !way->far; i++)
        if (!m->tiers[i].persistent && m->tiers[i].size >= held) return &m->tiers[i];
    return tern_machine_main(m);
}

/* A cache that is somewhat too small for all may still keep a part of it from step to step, one of half the bytes none.  The share is
 * assumed to fall in a line between: what was seen here by one thread that read 1.4 times as much as the cache had was 0.6 at one
 * hour and nothing at another, so that times are rather told too short.  Sets the rate of both memories, one behind the other. */
static void share_with_cache(const tern_machine *m, const tern_serving_way *way, double held,
                             serving_place *p)
{
    int i = (int)(p->main - m->tiers) - 1;
    if (way->genz || way->far || i < 0 || m->tiers[i].persistent || held >= 2 * m->tiers[i].size) return;
    p->before = &m->tiers[i];
    p->share = fmin(1, 2 - held / p->before->size);
    p->rate = 1 / (p->share / tern_tier_rate(p->before) + (1 - p->share) / p->rate);
}

static bool place(const tern_machine *m, const tern_serving_run *run, const tern_serving_way *way,
                  serving_place *p, tern_serving_cost *c)
{
    char need[24], has[24];
    const tern_link *host = link_to(m, true);
    c->held = run->weights + run->caches + (way->genz ? 0 : run->activations);
    const tern_tier *all = main_memory(m, c->held, way);
    *p = (serving_place){.near = all, .main = all};
    for (int i = m->tier_count - 1; i >= 0; i--)
        if (!m->tiers[i].persistent) p->near = &m->tiers[i];
    if (!p->main) {
        snprintf(c->reason, sizeof c->reason, "no memory can be written");
        return false;
    }
    c->room = p->main->size;
    p->rate = tern_tier_rate(p->main);
    if (p->main->size >= c->held) {
        share_with_cache(m, way, c->held, p);
        return true;
    }
    if (way->offload && host) {
        /* both memories are read at once: the slower one decides */
        double near = p->main->size / p->main->bandwidth,
               far = (run->needed - p->main->size) / (host->bandwidth * host->efficiency);
        p->rate = run->needed / fmax(near, far) * p->main->efficiency;
        p->offloaded = c->offloaded = true;
        return true;
    }
    int length = snprintf(c->reason, sizeof c->reason, "%s a device, memory %.40s has %s",
                          tern_human(need, c->held, "B"), p->main->name, tern_human(has, c->room, "B"));
    if (m->link_count)
        length +=
            snprintf(c->reason + length, sizeof c->reason - (size_t)length,
                     "; at least %.0f devices (--tp, --pp, --ep)", ceil(c->held * way->devices / c->room));
    if (host) snprintf(c->reason + length, sizeof c->reason - (size_t)length, ", or --offload");
    return false;
}

/* Seconds that memories take for a task. */
static double memory_seconds(const serving_place *p, const tern_serving_way *way, const tern_serving_task *t,
                             const tern_tier **slower)
{
    bool room = !way->genz && t->in + t->out <= p->near->size;
    double near = 0, far = t->fixed;
    *(t->in_near || room ? &near : &far) += t->in;
    *(t->out_near || room ? &near : &far) += t->out;
    double near_seconds = near / tern_tier_rate(p->near), far_seconds = far / p->rate;
    *slower = near_seconds > far_seconds ? p->near : p->main;
    return way->genz || p->near == p->main ? near_seconds + far_seconds : fmax(near_seconds, far_seconds);
}

static double task_joules(const tern_machine *m, const serving_place *p, const tern_serving_way *way,
                          const tern_serving_task *t, const tern_serving_time *s)
{
    const tern_link *l = link_to(m, false);
    /* shares of the power that flow at rest, and with units, memories and links at full rate */
    if (way->genz)
        return m->power * (0.3 * s->seconds + 0.4 * s->compute + 0.2 * s->memory + 0.1 * s->exchange);
    bool room = t->in + t->out <= p->near->size;
    const tern_tier *active = room ? p->near : p->main;
    double fixed = (1 - p->share) * p->main->read + (p->before ? p->share * p->before->read : 0); /* J/byte */
    double joules = t->macs * tern_machine_choose(m, TERN_MAC, way->format).joules +
                    t->elements * tern_machine_choose(m, TERN_ELEMENT, TERN_F32).joules +
                    t->specials * tern_machine_choose(m, TERN_SPECIAL, TERN_F32).joules + t->fixed * fixed +
                    t->in * active->read + t->out * active->write;
    if (l && s->exchange > 0) joules += t->message * l->energy;
    return joules + tern_machine_standing_power(m) * s->seconds;
}

static tern_serving_time time_of(const tern_machine *m, const serving_place *p, const tern_serving_way *way,
                                 const tern_serving_task *t, double mac_seconds)
{
    const tern_link *l = link_to(m, false);
    const tern_tier *slower;
    tern_serving_time s = {.compute = t->macs * mac_seconds};
    if (t->elements > 0) s.compute += t->elements * tern_machine_choose(m, TERN_ELEMENT, TERN_F32).seconds;
    if (t->specials > 0) s.compute += t->specials * tern_machine_choose(m, TERN_SPECIAL, TERN_F32).seconds;
    s.memory = memory_seconds(p, way, t, &slower);
    if (way->genz && t->macs == 0) s.memory = 0; /* it counts no operator that multiplies nothing */
    s.exchange = tern_exchange_seconds(m, t->exchange, t->message, t->devices);
    s.seconds = fmax(fmax(s.compute, s.memory), s.exchange);
    s.bound = s.exchange > 0 ? (l ? l->name : "no link") : s.compute >= s.memory ? "compute" : slower->name;
    if (!way->genz && m->launch > 0) {
        if (m->launch > s.seconds) s.bound = "launch";
        s.seconds += m->launch;
    }
    s.joules = task_joules(m, p, way, t, &s);
    return s;
}

/* Adds a task to the sums, and its time to what bounds it. */
typedef struct bound_sums {
    const char *name[TERN_MACHINE_PARTS + 4];
    double seconds[TERN_MACHINE_PARTS + 4];
    int count;
} bound_sums;

static void add_bound(bound_sums *b, const tern_serving_time *s, double count)
{
    int k = 0;
    while (k < b->count && strcmp(b->name[k], s->bound) != 0) k++;
    if (k == b->count) b->name[b->count++] = s->bound;
    b->seconds[k] += s->seconds * count;
}

void tern_machine_serve(const tern_machine *m, const tern_serving_run *run, const tern_serving_way *way,
                        tern_serving_cost *cost, tern_serving_time *times_out)
{
    serving_place p;
    bound_sums bounds = {0};
    tern_choice unit = tern_machine_choose(m, TERN_MAC, way->speed > 0 ? TERN_BF16 : way->format);
    double joules = 0, mac_seconds = way->speed > 0 ? unit.seconds / way->speed : unit.seconds;
    *cost = (tern_serving_cost){.bound = ""};
    cost->fits = place(m, run, way, &p, cost);
    if (!unit.unit) {
        cost->fits = false;
        snprintf(cost->reason, sizeof cost->reason, "no unit does multiply-accumulates");
    }
    if (!p.main) return;
    for (int i = 0; i < run->count; i++) {
        const tern_serving_task *t = &run->tasks[i];
        tern_serving_time s = time_of(m, &p, way, t, mac_seconds);
        if (isinf(s.exchange) && cost->fits) {
            cost->fits = false;
            snprintf(cost->reason, sizeof cost->reason,
                     "%d devices can't share the net: the machine has no link", way->devices);
        }
        add_bound(&bounds, &s, t->count);
        cost->seconds += s.seconds * t->count;
        cost->compute += s.compute * t->count;
        cost->memory += s.memory * t->count;
        cost->exchange += s.exchange * t->count;
        joules += s.joules * t->count;
        if (times_out) times_out[i] = s;
    }
    int most = 0;
    for (int i = 1; i < bounds.count; i++)
        if (bounds.seconds[i] > bounds.seconds[most]) most = i;
    if (bounds.count) cost->bound = bounds.name[most];
    /* a stage is a share of the net, and works on the next batch when it has passed one on */
    cost->all_seconds = cost->seconds + (way->batches - 1) * cost->seconds / way->stages;
    cost->joules = joules * way->devices / way->stages * way->batches;
}
