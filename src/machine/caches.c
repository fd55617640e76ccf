/* The roofline over several memories. */
#include "machine/caches.h"
#include "machine/model.h"

#include <math.h>
#include <string.h>

/* The nearest memory that still holds what was touched so long ago, else the main one; weights in a memory of their own come from
 * there. */
static int served_by(const tern_machine *m, const tern_placement *p, const tern_access *a)
{
    int last = (int)(tern_machine_main(m) - m->tiers);
    if (a->weights && p->weights->persistent) return (int)(p->weights - m->tiers);
    for (int i = 0; i < last; i++)
        if (!m->tiers[i].persistent && a->distance <= m->tiers[i].size) return i;
    return last;
}

/* Bytes of all tasks by the memory that serves them. */
static void serve(const tern_machine *m, const tern_placement *p, const tern_access *accesses, int count,
                  tern_cache_run *runs)
{
    for (int i = 0; i < count; i++) {
        int tier = served_by(m, p, &accesses[i]);
        tern_cache_run *r = &runs[accesses[i].task];
        r->bytes[tier] += accesses[i].bytes;
        r->joules += accesses[i].bytes * (accesses[i].written ? m->tiers[tier].write : m->tiers[tier].read);
    }
}

static void run_task(const tern_machine *m, const tern_placement *p, const tern_task_work *t,
                     tern_cache_run *r)
{
    double joules, ignored, through = 0, measured;
    tern_task_cost cost = tern_machine_task(m, p, t, &joules, &ignored);
    r->compute_seconds = cost.compute_seconds;
    r->bound = "compute";
    for (int i = m->tier_count - 1; i >= 0; i--) { /* what comes from farther passes here, too */
        through += m->tiers[i].persistent ? 0 : r->bytes[i];
        double bytes = m->tiers[i].persistent ? r->bytes[i] : through,
               seconds = bytes / tern_tier_rate(&m->tiers[i]);
        if (bytes == 0 || seconds <= r->memory_seconds) continue;
        r->memory_seconds = seconds;
        if (seconds > r->compute_seconds) r->bound = m->tiers[i].name;
    }
    r->seconds = fmax(r->compute_seconds, r->memory_seconds);
    if (m->launch > r->seconds) r->bound = "launch";
    r->seconds += m->launch;
    if (tern_kernel_seconds(m, t, &measured)) { /* with its start, operands near */
        r->bound = measured > r->memory_seconds ? "compute" : r->bound;
        r->seconds = fmax(measured, r->memory_seconds);
    }
    r->joules += joules + tern_machine_standing_power(m) * r->seconds;
}

static void add(tern_cache_run *total, const tern_cache_run *r)
{
    total->seconds += r->seconds;
    total->compute_seconds += r->compute_seconds;
    total->memory_seconds += r->memory_seconds;
    total->joules += r->joules;
    for (int i = 0; i < TERN_MACHINE_PARTS; i++) total->bytes[i] += r->bytes[i];
}

static bool is_idle(const tern_task_work *t, const tern_cache_run *r)
{
    double bytes = 0;
    for (int i = 0; i < TERN_MACHINE_PARTS; i++) bytes += r->bytes[i];
    return bytes + t->work.macs + t->work.accumulates + t->work.elementwise + t->work.specials == 0;
}

/* What bounds the tasks that take the most time together. */
static const char *main_bound(const tern_cache_run *runs, int count)
{
    const char *best = "compute";
    double most = 0;
    for (int i = 0; i < count; i++) {
        double seconds = 0;
        for (int k = 0; runs[i].bound && k < count; k++)
            if (runs[k].bound && strcmp(runs[k].bound, runs[i].bound) == 0) seconds += runs[k].seconds;
        if (seconds <= most) continue;
        most = seconds;
        best = runs[i].bound;
    }
    return best;
}

tern_status tern_machine_caches(const tern_machine *machine, const tern_cost_query *query,
                                const tern_access *accesses, int count, tern_cache_run *total,
                                tern_cache_run *runs)
{
    tern_placement place;
    tern_cost cost;
    *total = (tern_cache_run){0};
    memset(runs, 0, (size_t)query->count * sizeof *runs);
    tern_machine_cost(machine, query, &cost, NULL);
    if (!cost.fits || !tern_machine_place(machine, query, &place, cost.reason))
        return tern_fail(TERN_NO_FIT, "machine %s: %s", machine->name, cost.reason);
    serve(machine, &place, accesses, count, runs);
    for (int i = 0; i < query->count; i++) {
        if (is_idle(&query->tasks[i], &runs[i])) continue;
        run_task(machine, &place, &query->tasks[i], &runs[i]);
        add(total, &runs[i]);
    }
    total->bound = main_bound(runs, query->count);
    return TERN_OK;
}
