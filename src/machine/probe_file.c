/* What was measured, as a machine file. */
#include "machine/machine.h"

#include <math.h>
#include <string.h>

static void put_comments(const tern_probe *o, tern_text *out)
{
    char median[24], lower[24], upper[24], foreign[24] = "unknown";
    if (o->foreign_share >= 0) snprintf(foreign, sizeof foreign, "%.1f %%", 100 * o->foreign_share);
    tern_text_format(
        out,
        "# This computer, measured by tern probe with %d threads on %d processors in %.1f s.\n"
        "# Other programs used %s of the processors meanwhile%s.\n"
        "# Energies are left out: they cannot be measured here.  Each figure: median (quartiles) of runs, "
        "method.\n",
        o->threads, o->processors, o->seconds, foreign,
        o->foreign_share > 0.05 ? ": above 5 %, so figures of all threads may be off; measure again" : "");
    for (int i = 0; i < o->count; i++) {
        const tern_figure *f = &o->figures[i];
        tern_text_format(out, "# %-4s %-9s %d thread%s %10s (%s .. %s) of %d: %s\n", f->level, f->name,
                         f->threads, f->threads == 1 ? " " : "s", tern_human(median, f->median, f->unit),
                         tern_human(lower, f->lower, f->unit), tern_human(upper, f->upper, f->unit), f->runs,
                         f->method);
    }
}

static double median_of(const tern_probe *o, const char *name, const char *level, int threads)
{
    const tern_figure *f = tern_probe_find(o, name, level, threads);
    return f ? f->median : 0;
}

/* A unit whose peak is `rate` and which sustains what the product of matrices did. */
static void put_unit(const tern_probe *o, tern_text *out, const char *name, const char *dtype,
                     const char *mac, const char *gemm, const char *add)
{
    double rate = median_of(o, mac, NULL, o->threads);
    double efficiency = median_of(o, gemm, NULL, 1) / median_of(o, mac, NULL, 1);
    tern_text_format(out, "  - name: %s\n    kind: simd\n    clock: %.6g Hz\n    mac: {%s: %.6g mac/s}\n",
                     name, median_of(o, "clock", NULL, 1), dtype, rate);
    if (add) tern_text_format(out, "    add: {%s: %.6g add/s}\n", dtype, median_of(o, add, NULL, o->threads));
    tern_text_format(out,
                     "    efficiency: %.4f   # of a product of matrices on one thread\n"
                     "    source: \"tern probe: peak in registers, all threads\"\n",
                     fmin(1, efficiency));
}

static void put_memory(const tern_probe *o, tern_text *out, const char *level, double bytes, const char *what)
{
    tern_text_format(
        out,
        "  - {name: %s, size: %.0f B, bandwidth: %.6g B/s, latency: %.4g s, source: \"tern probe: "
        "read by all threads; size: %s\"}\n",
        level, bytes, median_of(o, "read", level, o->threads), median_of(o, "latency", level, 1), what);
}

tern_status tern_probe_write(const tern_probe *o, tern_text *out)
{
    put_comments(o, out);
    tern_text_format(
        out,
        "name: here\nabout: \"%s, %d threads\"\nsource: \"tern probe\"\nlaunch: %.4g s   # an empty job "
        "for all threads\nunits:\n",
        o->processor, o->threads, median_of(o, "launch", NULL, 0));
    put_unit(o, out, "cores", "f32", "f32 mac", "f32 gemm", "f32 add");
    put_unit(o, out, "cores-i8", "i8", "i8 mac", "i8 gemm", NULL);
    tern_text_put(out, "memories:\n");
    for (int i = 0; i < o->cache_count; i++)
        put_memory(o, out, o->caches[i].name, o->caches[i].bytes, "one cache, as the system says");
    put_memory(o, out, "DRAM", o->memory, "as the system says");
    return tern_text_status(out);
}
