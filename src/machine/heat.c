/* Temperatures by small explicit steps, and a governor of the clock. */
#include "machine/heat.h"

#include <math.h>

enum { PARTS_OF_A_CONSTANT = 20 };    /* a step is this part of the shortest time constant */
static const double look_every = 1;   /* second: between two decisions about the clock */
static const double longest_step = 1; /* second */

tern_status tern_heat_begin(const tern_machine *m, tern_heat *heat)
{
    if (!m->body_count)
        return tern_fail(TERN_USAGE, "machine %s has no \"bodies\": nothing is known of how warm it gets",
                         m->name);
    *heat = (tern_heat){.clock = 1};
    for (int i = 0; i < m->body_count; i++) heat->degrees[i] = m->air;
    return TERN_OK;
}

/* The step that keeps the explicit sum stable and near. */
static double step_of(const tern_machine *m)
{
    double least = longest_step;
    for (int i = 0; i < m->body_count; i++) {
        double inner = i ? 1 / m->bodies[i - 1].resistance : 0, outer = 1 / m->bodies[i].resistance;
        least = fmin(least, m->bodies[i].capacity / (inner + outer) / PARTS_OF_A_CONSTANT);
    }
    return least;
}

static void warm(const tern_machine *m, tern_heat *h, double watts, double seconds)
{
    double in = watts;
    h->joules += watts * seconds;
    for (int i = 0; i < m->body_count; i++) {
        double next = i + 1 < m->body_count ? h->degrees[i + 1] : m->air;
        double out = (h->degrees[i] - next) / m->bodies[i].resistance;
        h->degrees[i] += (in - out) * seconds / m->bodies[i].capacity;
        in = out;
    }
}

static void govern(const tern_machine *m, tern_heat *h, double seconds)
{
    h->since += seconds;
    if (h->since < look_every) return;
    h->since = 0;
    if (h->degrees[0] > m->trip) h->clock = fmax(m->least_clock, h->clock - m->clock_step);
    if (h->degrees[0] < m->trip - m->hysteresis) h->clock = fmin(1, h->clock + m->clock_step);
}

double tern_heat_work(const tern_machine *m, tern_heat *h, double seconds, double watts)
{
    double step = step_of(m), took = 0, above = fmax(0, watts - m->idle), idle = fmin(watts, m->idle);
    for (double left = seconds; left > 0;) {
        double now = fmin(step, left / h->clock);
        left -= now * h->clock;
        if (left < 1e-12 * seconds) left = 0;
        took += now;
        warm(m, h, idle + above * h->clock * h->clock * h->clock, now);
        govern(m, h, now);
    }
    return took;
}

void tern_heat_rest(const tern_machine *m, tern_heat *h, double seconds)
{
    double step = step_of(m);
    for (double left = seconds; left > 0; left -= step) {
        double now = fmin(step, left);
        warm(m, h, m->idle, now);
        govern(m, h, now);
    }
}
