/* The probe's latencies: a random walk through blocks of growing size shows the caches, and with small pages the TLB.  The
 * logarithms of the latencies are cut into pieces of one height each, the levels; a capacity is where the walk is halfway from
 * one piece's latency to the next one's.  Where it first leaves a level says less: physical pages fall into a cache's sets by
 * luck, so that some sets are full when the cache is not, and a miss of a cache whose next one is eight times as slow shows
 * earlier than one whose next is three times as slow. */
#define _DEFAULT_SOURCE
#include "machine/prober.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>

enum { LEAST = 4096, STEPS = 1000, HUGE_PAGE = 2 << 20 };

typedef struct tern_walk {
    uint32_t *words;       /* of the block */
    int64_t spacing;       /* bytes from a place to the next in memory */
    int64_t places, extra; /* extra: bytes behind a place where a second word is read, or 0 */
    uint32_t *
        at; /* where it is: a run goes on where the last one stopped, or a long walk's runs would find what the
                            * one before had brought */
} tern_walk;

/* A random cycle through all places (Sattolo), so that no prefetcher guesses the next. */
static void lay_walk(const tern_walk *w)
{
    tern_rng rng = {1, (uint64_t)w->places};
    int64_t step = w->spacing / 4;
    for (int64_t i = 0; i < w->places; i++) w->words[i * step] = (uint32_t)(i * step);
    for (int64_t i = w->places - 1; i > 0; i--) {
        uint32_t *x = &w->words[i * step],
                 *y = &w->words[(int64_t)tern_rng_below(rng, (uint64_t)i, (uint64_t)i) * step];
        uint32_t swap = *x;
        *x = *y;
        *y = swap;
    }
    for (int64_t i = 0; w->extra && i < w->places; i++) w->words[i * step + w->extra / 4] = 0;
}

static void trial_walk(tern_prober *p, int thread, int64_t times)
{
    const tern_walk *w = p->subject;
    const uint32_t *words = w->words;
    int64_t extra = w->extra / 4;
    uint32_t at = *w->at;
    (void)thread;
    if (extra)
        for (int64_t i = 0; i < times * STEPS; i++)
            at = words[at] + words[at + extra]; /* of which the second is 0 */
    else
        for (int64_t i = 0; i < times * STEPS; i++) at = words[at];
    *w->at = at;
}

/* Seconds a place, from runs of a walk that is laid here. */
static tern_status walk(tern_prober *p, tern_walk w, double *values)
{
    uint32_t at = 0;
    w.at = &at;
    p->subject = &w;
    lay_walk(&w);
    tern_probe_calibrate(p, trial_walk, 1, false);
    for (int i = 0; i < p->runs; i++) {
        TERN_TRY(tern_probe_pause(p, "latencies"));
        values[i] = tern_probe_time(p) / ((double)p->times * STEPS);
    }
    return TERN_OK;
}

/* Sizes in steps of the root of 2, whole lines, up to `most`. */
static int64_t size_at(int i)
{
    return (int64_t)(LEAST * exp2(i / 2.0)) / 64 * 64;
}

static tern_status measure_curve(tern_prober *p, char *block, int64_t most, const char *pages,
                                 tern_walk_curve *curve)
{
    *curve = (tern_walk_curve){0};
    for (int i = 0; i < TERN_WALK_SIZES && size_at(i) <= most; i++) {
        double values[TERN_PROBE_RUNS], kib = (double)size_at(i) / 1024;
        tern_walk w = {(uint32_t *)(void *)block, 64, size_at(i) / 64, 0, NULL};
        TERN_TRY(walk(p, w, values));
        tern_figure f = {
            .name = tern_probe_name(p, kib < 1024 ? "walk, %.3g KiB, %s pages" : "walk, %.4g MiB, %s pages",
                                    kib < 1024 ? kib : kib / 1024, pages),
            .unit = "s",
            .method = "random cycle through all lines of a block, one word each",
            .threads = 1};
        if (!f.name) return tern_no_memory(64, "the probe");
        TERN_TRY(tern_probe_keep(p, f, values, p->runs));
        curve->bytes[curve->count] = (double)size_at(i);
        curve->seconds[curve->count++] = values[0]; /* the quickest: what others do only lengthens it */
    }
    return TERN_OK;
}

static tern_status keep_one(tern_prober *p, const char *level, const char *name, const char *unit,
                            const char *method, double value)
{
    tern_figure f = {.name = name, .unit = unit, .method = method, .threads = 1};
    snprintf(f.level, sizeof f.level, "%s", level);
    return tern_probe_keep(p, f, &value, 1);
}

/* Where the curve behind `from` is halfway from one latency to the next (geometric mean), between two sizes by a line through both. */
static double halfway(const tern_walk_curve *c, int from, double low, double high)
{
    double middle = log(low * high) / 2;
    int i = from;
    while (i + 2 < c->count && log(c->seconds[i + 1]) < middle) i++;
    double share = (middle - log(c->seconds[i])) / log(c->seconds[i + 1] / c->seconds[i]);
    return c->bytes[i] * pow(c->bytes[i + 1] / c->bytes[i], fmin(fmax(share, 0), 1));
}

/* Whether the curve still rises at a size: a level is flat for an octave at least. */
static bool rises(const tern_walk_curve *c, int i)
{
    return c->seconds[i + 1] > 1.12 * c->seconds[i] ||
           (i + 2 < c->count && c->seconds[i + 2] > 1.25 * c->seconds[i]);
}

int tern_probe_levels(const tern_walk_curve *c, tern_walk_level levels[TERN_WALK_LEVELS])
{
    int count = 0;
    for (int i = 0; i < c->count && count < TERN_WALK_LEVELS;) { /* a level, until it has been left by half */
        tern_walk_level *level = &levels[count++];
        int last = i;
        *level = (tern_walk_level){.seconds = c->seconds[i]};
        while (last + 1 < c->count && c->seconds[last + 1] < 1.5 * level->seconds) last++;
        if (last + 1 == c->count) break;
        for (i = last + 1; i + 1 < c->count && rises(c, i);) i++; /* the slope between */
        level->bytes = halfway(c, last, level->seconds, c->seconds[i]);
    }
    return count;
}

static tern_status keep_levels(tern_prober *p, const tern_walk_curve *c)
{
    static const char *const names[] = {"L1", "L2", "L3", "L4"};
    tern_walk_level levels[TERN_WALK_LEVELS];
    int count = tern_probe_levels(c, levels);
    for (int i = 0; i < count; i++) {
        const char *name = levels[i].bytes > 0 ? names[i] : "DRAM";
        TERN_TRY(keep_one(p, name, "latency", "s", "of a random walk, where the curve is flat",
                          levels[i].seconds));
        if (levels[i].bytes > 0)
            TERN_TRY(keep_one(
                p, name, "capacity", "B",
                "where a random walk is halfway from this latency to the next, on a logarithmic scale",
                levels[i].bytes));
    }
    return TERN_OK;
}

/* A second word of each place costs little while it is in the line of the first. */
static tern_status measure_line(tern_prober *p, char *block)
{
    double base = 0, line = 0;
    for (int extra = 8; extra <= 512 && line == 0; extra *= 2) {
        double values[TERN_PROBE_RUNS];
        tern_walk w = {(uint32_t *)(void *)block, 4096, 2048, extra, NULL};
        TERN_TRY(walk(p, w, values));
        double least = values[0];
        for (int i = 1; i < p->runs; i++) least = fmin(least, values[i]);
        if (extra == 8) base = least;
        if (least > 1.15 * base) line = extra;
    }
    return line > 0
               ? keep_one(p, "", "line", "B",
                          "the distance at which a second word of each of 2048 places costs 15 % more", line)
               : TERN_OK;
}

/* Places that fall into one set of the first cache: as many as it has ways are quick. */
static tern_status measure_ways(tern_prober *p, char *block)
{
    double base = 0;
    int ways = 0;
    for (int places = 2; places <= 32; places++) {
        double values[TERN_PROBE_RUNS];
        tern_walk w = {(uint32_t *)(void *)block, 4096, places, 0, NULL};
        TERN_TRY(walk(p, w, values));
        double least = values[0];
        for (int i = 1; i < p->runs; i++) least = fmin(least, values[i]);
        if (places == 2) base = least;
        if (least > 1.25 * base) break;
        ways = places;
    }
    return keep_one(p, "L1", "ways", "lines", "places 4096 bytes apart that a walk finds in the first cache",
                    ways);
}

/* Pages of 4 KiB that no TLB knows all of, while the second cache holds a line of each; 65 lines apart, so that they fall into
 * all its sets. */
enum { PAGES = 8192, SPACING = 4096 + 64 };

static tern_status measure_pages(tern_prober *p, char *block, double *values)
{
    tern_walk w = {(uint32_t *)(void *)block, SPACING, PAGES, 0, NULL};
    return walk(p, w, values);
}

/* Medians of runs with either size of pages; a difference that is not above what the runs differ by themselves says nothing. */
static tern_status keep_miss(tern_prober *p, double *large, double *small)
{
    tern_figure f = {.name = "TLB miss",
                     .unit = "s",
                     .method =
                         "what a walk through a line in each of 8192 pages takes longer with pages of 4 KiB",
                     .threads = 1};
    double values[TERN_PROBE_RUNS];
    tern_sort_numbers(large, p->runs);
    for (int i = 0; i < p->runs; i++) values[i] = small[i] - large[p->runs / 2];
    return tern_probe_keep(p, f, values, p->runs);
}

static tern_status measure_blocks(tern_prober *p, char *block, int64_t most)
{
    tern_walk_curve large, small;
    double large_pages[TERN_PROBE_RUNS] = {0}, small_pages[TERN_PROBE_RUNS] = {0};
    bool huge = madvise(block, (size_t)most, MADV_HUGEPAGE) == 0;
    memset(block, 0, (size_t)most);
    TERN_TRY(measure_curve(p, block, most, huge ? "large" : "any", &large));
    TERN_TRY(keep_levels(p, &large));
    TERN_TRY(measure_line(p, block));
    TERN_TRY(measure_ways(p, block));
    if (!huge || most < (int64_t)PAGES * SPACING) return TERN_OK;
    TERN_TRY(measure_pages(p, block, large_pages));
    madvise(block, (size_t)most, MADV_DONTNEED);
    if (madvise(block, (size_t)most, MADV_NOHUGEPAGE) != 0) return TERN_OK;
    memset(block, 0, (size_t)most);
    TERN_TRY(measure_curve(p, block, most, "4 KiB", &small));
    TERN_TRY(measure_pages(p, block, small_pages));
    return keep_miss(p, large_pages, small_pages);
}

tern_status tern_probe_caches(tern_prober *p)
{
    tern_probe *o = p->out;
    double last = o->cache_count ? o->caches[o->cache_count - 1].bytes : 32e6, least = p->least_seconds;
    int64_t most = (int64_t)fmin(fmin(fmax(8 * last, 64e6), p->quick ? 64e6 : 256e6), o->memory / 8) /
                   HUGE_PAGE * HUGE_PAGE;
    size_t bytes = (size_t)most + HUGE_PAGE;
    char *pages = tern_take_pages(bytes);
    if (!pages) return tern_no_memory(bytes, "the probe");
    char *block = pages + (HUGE_PAGE - (uintptr_t)pages % HUGE_PAGE) % HUGE_PAGE;
    p->least_seconds = least / 4; /* there are many sizes */
    tern_status status = measure_blocks(p, block, most);
    p->least_seconds = least;
    tern_release_pages(pages, bytes);
    return status;
}
