/* What was measured, as a machine file; and how far two such files agree. */
#include "machine/prober.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double median_of(const tern_probe *o, const char *name, const char *level, int threads)
{
    const tern_figure *f = tern_probe_find(o, name, level, threads);
    return f ? f->median : 0;
}

static void put_head(const tern_probe *o, tern_text *out)
{
    char foreign[24] = "unknown";
    if (o->foreign_share >= 0) snprintf(foreign, sizeof foreign, "%.1f %%", 100 * o->foreign_share);
    tern_text_format(
        out,
        "# This computer, measured by tern probe with %d threads on %d processors in %.1f s.\n"
        "# Other programs used %s of the processors meanwhile%s.\n"
        "# Energies are left out: they cannot be measured here.\n",
        o->threads, o->processors, o->seconds, foreign,
        o->foreign_share > 0.05 ? ": above 5 %, so figures of all threads may be off; measure again" : "");
    tern_text_format(out, "name: here\nabout: \"%s, %d threads\"\nsource: \"tern probe\"\n", o->processor,
                     o->threads);
    const tern_figure *launch = tern_probe_find(o, "launch", NULL, 0);
    if (launch) tern_text_format(out, "launch: %.4g s   # an empty job for all threads\n", launch->median);
    if (o->kernel_count && o->near > 0)
        tern_text_format(
            out, "near: %.0f B   # of a processor: the caches that have lost far operands\nthreads: %d\n",
            o->near, o->threads);
}

/* A unit whose peak is `rate` and which sustains what the product of matrices did. */
static void put_unit(const tern_probe *o, tern_text *out, const char *name, const char *kind,
                     const char *dtype, const char *mac, const char *gemm, const char *add)
{
    double rate = median_of(o, mac, NULL, o->threads);
    if (rate == 0) return;
    double sustained = gemm ? median_of(o, gemm, NULL, 1) / median_of(o, mac, NULL, 1) : 1;
    tern_text_format(out, "  - name: %s\n    kind: %s\n    clock: %.6g Hz\n    mac: {%s: %.6g mac/s}\n", name,
                     kind, median_of(o, "clock", NULL, 1), dtype, rate);
    if (add) tern_text_format(out, "    add: {%s: %.6g add/s}\n", dtype, median_of(o, add, NULL, o->threads));
    if (gemm)
        tern_text_format(out, "    efficiency: %.4f   # of a product of matrices on one thread\n",
                         fmin(1, sustained));
    tern_text_put(out, "    source: \"tern probe: peak in registers, all threads\"\n");
}

static void put_memory(const tern_probe *o, tern_text *out, const char *level, double bytes, const char *what)
{
    double latency = median_of(o, "latency", level, 1);
    tern_text_format(out, "  - {name: %s, size: %.0f B, bandwidth: %.6g B/s, ", level, bytes,
                     median_of(o, "read", level, o->threads));
    if (latency > 0) tern_text_format(out, "latency: %.4g s, ", latency);
    tern_text_format(out, "source: \"tern probe: read by all threads; size: %s\"}\n", what);
}

/* Of a cache that is shared, guests of a host may have less than the system says: then what reading finds of it counts, which no
 * neighbour's noise disturbs as it does a walk. */
static void put_cache(const tern_probe *o, tern_text *out, const tern_cache *c)
{
    double walked = median_of(o, "capacity", c->name, 1),
           found = median_of(o, "capacity to read", c->name, 1);
    if (found == 0) found = walked;
    double before = c > o->caches ? c[-1].bytes : 0;
    if (c->sharers > 1 && found > 1.5 * before && found < c->bytes) {
        char says[96], size[24];
        snprintf(says, sizeof says, "what reading finds of it; the system says %s",
                 tern_human(size, c->bytes, "B"));
        put_memory(o, out, c->name, found, says);
    } else {
        put_memory(o, out, c->name, c->bytes, "one cache, as the system says");
    }
}

/* Between ranks of MPI. */
static void put_link(const tern_probe *o, tern_text *out)
{
    double start = median_of(o, "MPI allreduce start", NULL, 0);
    if (!o->mpi) return;
    tern_text_format(out, "links:\n  - {name: mpi, bandwidth: %.6g B/s, latency: %.4g s, ",
                     median_of(o, "MPI bandwidth", NULL, 0), median_of(o, "MPI latency", NULL, 0));
    if (start > 0) tern_text_format(out, "start: %.4g s, ", start);
    tern_text_format(out, "source: \"tern probe --mpi: %s, two ranks of this computer\"}\n", o->mpi);
}

/* Whether runs say so little that no figure is better than this one. */
static bool undetermined(double median, double lower, double upper)
{
    return !(upper - lower <= median);
}

void tern_probe_put_measured(const tern_probe *o, tern_text *out)
{
    tern_text_put(out, "measured:   # all figures: medians and quartiles of runs; what differs by more than "
                       "itself is left out\n");
    for (int i = 0; i < o->count; i++) {
        const tern_figure *f = &o->figures[i];
        if (undetermined(f->median, f->lower, f->upper)) {
            tern_text_format(
                out, "  # left out: %s%s%s, %d threads: half of the runs between %.4g and %.4g %s\n",
                f->level, f->level[0] ? " " : "", f->name, f->threads, f->lower, f->upper, f->unit);
            continue;
        }
        tern_text_format(
            out,
            "  - {name: \"%s%s%s, %d thread%s\", unit: %s, threads: %d, median: %.6g, lower: %.6g, upper: "
            "%.6g, runs: %d, source: \"%s\"}\n",
            f->level, f->level[0] ? " " : "", f->name, f->threads, f->threads == 1 ? "" : "s", f->unit,
            f->threads, f->median, f->lower, f->upper, f->runs, f->method);
    }
}

static void put_kernel(const tern_kernel_point *k, tern_text *out)
{
    tern_text_format(out, "  - {name: \"%s\", kernel: \"%s\", ", k->name, k->kernel);
    if (k->m > 0)
        tern_text_format(out, "m: %.0f, n: %.0f, k: %.0f, count: %.0f, ", k->m, k->n, k->k, k->count);
    else
        tern_text_format(out, "bytes: %.0f, written: %.0f, operations: %.0f, spread: %.6g, ", k->bytes,
                         k->written, k->operations, k->spread);
    if (k->density < 1) tern_text_format(out, "density: %.4g, ", k->density);
    tern_text_format(out, "median: %.5g s, lower: %.5g s, upper: %.5g s, ", k->median, k->lower, k->upper);
    bool unclear = k->far > 0 && undetermined(k->far, k->far_lower, k->far_upper);
    if (k->far > 0 && !unclear)
        tern_text_format(out, "far: %.5g s, far_lower: %.5g s, far_upper: %.5g s, ", k->far, k->far_lower,
                         k->far_upper);
    tern_text_put(out, "source: tern probe}");
    if (unclear)
        tern_text_format(out, "   # far left out: half of the runs between %.4g and %.4g s", k->far_lower,
                         k->far_upper);
    tern_text_put(out, "\n");
}

static void put_kernels(const tern_probe *o, tern_text *out)
{
    if (o->kernel_count)
        tern_text_put(
            out, "kernels:   # one call on all threads: medians and quartiles of runs, operands near; far: "
                 "copies that go round in several times the near caches; what differs by more than itself is "
                 "left out\n");
    for (int i = 0; i < o->kernel_count; i++) {
        const tern_kernel_point *k = &o->kernels[i];
        if (undetermined(k->median, k->lower, k->upper))
            tern_text_format(out, "  # left out: %s: half of the runs between %.4g and %.4g s\n", k->name,
                             k->lower, k->upper);
        else
            put_kernel(k, out);
    }
}

tern_status tern_probe_write(const tern_probe *o, tern_text *out)
{
    unsigned least = TERN_PROBE_RATES | TERN_PROBE_MEMORY;
    if ((o->parts & least) != least)
        return tern_fail(TERN_USAGE, "a machine file needs rates and bandwidths, which were not measured");
    put_head(o, out);
    tern_text_put(out, "units:\n");
    put_unit(o, out, "cores", "simd", "f32", "f32 mac", "f32 gemm", "f32 add");
    put_unit(o, out, "cores-i8", "simd", "i8", "i8 mac", "i8 gemm", NULL);
    tern_text_put(out, "memories:\n");
    for (int i = 0; i < o->cache_count; i++) put_cache(o, out, &o->caches[i]);
    put_memory(o, out, "DRAM", o->memory, "as the system says");
    put_link(o, out);
    tern_probe_put_measured(o, out);
    put_kernels(o, out);
    return tern_text_status(out);
}

/* ---- two files ------------------------------------------------------------------------------------------------- */

/* How far two figures are apart, as a share of the smaller. */
static double distance(const tern_agreement *a)
{
    double low = fmin(a->first, a->second), high = fmax(a->first, a->second);
    return low > 0 ? high / low - 1 : high > 0 ? INFINITY : 0;
}

static int by_distance(const void *a, const void *b)
{
    double x = distance(a), y = distance(b);
    return (x < y) - (x > y);
}

int tern_probe_compare(const tern_machine *a, const tern_machine *b, double by, tern_agreement *rows,
                       int *within)
{
    int count = 0;
    for (int i = 0; i < a->measured_count; i++)
        for (int k = 0; k < b->measured_count; k++)
            if (strcmp(a->measured[i].name, b->measured[k].name) == 0)
                rows[count++] = (tern_agreement){a->measured[i].name, a->measured[i].unit,
                                                 a->measured[i].median, b->measured[k].median};
    for (int i = 0; i < a->kernel_count; i++)
        for (int k = 0; k < b->kernel_count; k++)
            if (strcmp(a->kernels[i].name, b->kernels[k].name) == 0) {
                const tern_kernel_point *x = &a->kernels[i], *y = &b->kernels[k];
                rows[count++] = (tern_agreement){x->name, "s", x->median, y->median};
                if (x->far > 0 && y->far > 0)
                    rows[count++] = (tern_agreement){x->name, "s, far", x->far, y->far};
            }
    qsort(rows, (size_t)count, sizeof *rows, by_distance);
    *within = 0;
    for (int i = 0; i < count; i++) *within += distance(&rows[i]) <= by;
    return count;
}
