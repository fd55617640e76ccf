/* A machine for people. */
#include "machine/schema.h"

#include <string.h>

enum { MOST_PRINTED = 32 }; /* figures that were measured */

static void print_source(FILE *out, const char *indent, const char *source, bool recalled)
{
    if (source) fprintf(out, "%ssource%s: %s\n", indent, recalled ? " (recalled)" : "", source);
}

static void print_cores(const tern_unit *u, FILE *out)
{
    char a[24], b[24];
    if (u->core_memory == 0) return;
    fprintf(out, "  a core: %s of memory", tern_human(a, u->core_memory, "B"));
    if (u->core_neurons > 0) fprintf(out, ", at most %.0f neurons", u->core_neurons);
    if (u->core_axons > 0) fprintf(out, ", at most %.0f inputs", u->core_axons);
    if (u->neuron_memory > 0) fprintf(out, ", %s a neuron", tern_human(b, u->neuron_memory, "B"));
    fprintf(out, ", %s\n", u->shared_weights ? "channels share weights" : "a synapse for each connection");
    if (u->message > 0 || u->hop_time > 0)
        fprintf(out, "  %.0f cores a router, %s a message, %s a hop\n", u->tile > 0 ? u->tile : 1,
                tern_human(a, u->message, "s"), tern_human(b, u->hop_time, "s"));
    if (u->barrier > 0) fprintf(out, "  barrier behind a time step %s\n", tern_human(a, u->barrier, "s"));
    if (u->tick > 0) fprintf(out, "  a time step is %s at least\n", tern_human(a, u->tick, "s"));
}

static void print_unit(const tern_unit *u, FILE *out)
{
    static const char *const names[TERN_OPERATIONS] = {"MAC", "add", "element", "special"};
    char a[24], b[24];
    fprintf(out, "unit %s (%s)", u->name, tern_unit_kind_names[u->kind]);
    if (u->count > 1) fprintf(out, ", %.0f of them", u->count);
    if (u->clock > 0) fprintf(out, ", %s", tern_human(a, u->clock, "Hz"));
    fprintf(out, ", %.0f %% of its rate sustained\n", 100 * u->efficiency);
    for (int op = 0; op < TERN_OPERATIONS; op++)
        for (int d = 0; d < TERN_DTYPES; d++) {
            if (u->rate[op][d] == 0) continue;
            fprintf(out, "  %-7s %-4s %12s/s", names[op], tern_dtype_of((tern_dtype)d)->name,
                    tern_human(a, u->rate[op][d], ""));
            fprintf(out, ", %s\n",
                    u->energy[op][d] > 0 ? tern_human(b, u->energy[op][d], "J each") : "unknown energy");
        }
    if (u->rows > 0)
        fprintf(out, "  %.0f x %.0f cells, %s\n", u->rows, u->columns, tern_dataflow_names[u->dataflow]);
    print_cores(u, out);
    print_source(out, "  ", u->source, u->recalled);
}

void tern_machine_print(const tern_machine *m, FILE *out)
{
    char a[24], b[24];
    fprintf(out, "%s: %s\n", m->name, m->about);
    print_source(out, "", m->source, m->recalled);
    for (int i = 0; i < m->unit_count; i++) print_unit(&m->units[i], out);
    for (int i = 0; i < m->tier_count; i++) {
        const tern_tier *t = &m->tiers[i];
        fprintf(out, "memory %s: %s, %s", t->name, tern_human(a, t->size, "B"),
                tern_human(b, t->bandwidth, "B/s"));
        if (t->latency > 0) fprintf(out, ", %s", tern_human(a, t->latency, "s"));
        if (t->read > 0)
            fprintf(out, ", read %s, write %s", tern_human(a, t->read, "J/B"),
                    tern_human(b, t->write, "J/B"));
        if (t->efficiency < 1) fprintf(out, ", %.0f %% of it sustained", 100 * t->efficiency);
        if (t->leakage > 0) fprintf(out, ", leaks %s", tern_human(a, t->leakage, "W"));
        fprintf(out, "%s\n", t->persistent ? ", persistent" : "");
        print_source(out, "  ", t->source, t->recalled);
    }
    for (int i = 0; i < m->link_count; i++) {
        const tern_link *l = &m->links[i];
        fprintf(out, "link %s: %s", l->name, tern_human(a, l->bandwidth, "B/s"));
        if (l->efficiency < 1) fprintf(out, ", %.0f %% of it sustained", 100 * l->efficiency);
        if (l->latency > 0) fprintf(out, ", %s", tern_human(a, l->latency, "s"));
        if (l->start > 0) fprintf(out, ", %s before an exchange begins", tern_human(a, l->start, "s"));
        if (l->energy > 0) fprintf(out, ", %s", tern_human(a, l->energy, "J/B"));
        fprintf(out, "%s\n", l->host ? ", to the host" : "");
        print_source(out, "  ", l->source, l->recalled);
    }
    for (int i = 0; i < m->body_count; i++) {
        fprintf(out, "body %s: %g J/K, %g K/W to the %s\n", m->bodies[i].name, m->bodies[i].capacity,
                m->bodies[i].resistance, i + 1 < m->body_count ? "next" : "air");
        print_source(out, "  ", m->bodies[i].source, m->bodies[i].recalled);
    }
    if (m->body_count)
        fprintf(out, "air %g C; above %g C the clock falls by %g, to %g at least, and rises %g K below\n",
                m->air, m->trip, m->clock_step, m->least_clock, m->hysteresis);
    if (m->idle > 0) fprintf(out, "idle %s\n", tern_human(a, m->idle, "W"));
    if (m->launch > 0) fprintf(out, "launch of an operator %s\n", tern_human(a, m->launch, "s"));
    if (m->power > 0) fprintf(out, "at full load %s\n", tern_human(a, m->power, "W"));
    for (int i = 0; i < m->measured_count && m->measured_count <= MOST_PRINTED; i++) {
        const tern_measured *f = &m->measured[i];
        fprintf(out, "measured %s: %.4g%s%s\n", f->name, f->median, strcmp(f->unit, "ratio") ? " " : "",
                strcmp(f->unit, "ratio") ? f->unit : "");
        print_source(out, "  ", f->source, false);
    }
    if (m->measured_count > MOST_PRINTED)
        fprintf(out, "%d figures measured, in its file\n", m->measured_count);
    if (m->kernel_count) fprintf(out, "%d kernels measured, in its file\n", m->kernel_count);
    if (m->warnings[0]) fprintf(out, "warnings:\n%s", m->warnings);
}
