/* The probe's bandwidths: each cache and main memory, by one thread and by more. */
#define _DEFAULT_SOURCE
#include "machine/prober.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>

static void trial_read(tern_prober *p, int thread, int64_t times)
{
    tern_probe_sink = tern_peak_get()->read(p->memory + thread * p->block, p->set, times);
}

static void trial_write(tern_prober *p, int thread, int64_t times)
{
    tern_peak_get()->write(p->memory + thread * p->block, p->set, times);
}

static void trial_write_far(tern_prober *p, int thread, int64_t times)
{
    tern_peak_get()->write_far(p->memory + thread * p->block, p->set, times);
}

static void trial_triad(tern_prober *p, int thread, int64_t times)
{
    tern_peak_get()->triad(p->memory + thread * p->block, p->set, times);
}

static void trial_copy(tern_prober *p, int thread, int64_t times)
{
    char *from = p->memory + thread * p->block, *to = from + p->set / 2;
    for (; times > 0; times--) memcpy(to, from, (size_t)p->set / 2);
}

/* Bandwidths of a memory from a block of `bytes` a thread, by so many threads. */
static tern_status measure_level(tern_prober *p, const char *level, double bytes, int threads)
{
    static const struct {
        const char *name, *method;
        tern_trial *trial;
    } kinds[] = {
        {"read", "sum over the four quarters of a block at once", trial_read},
        {"write", "the same number all over a block", trial_write},
        {"write past caches", "non-temporal stores all over a block", trial_write_far},
        {"copy", "memcpy from one half of the block to the other; bytes read and written", trial_copy},
        {"triad", "a = b + 3c over thirds of a block; bytes read and written", trial_triad}};
    p->set = (int64_t)fmin(bytes, (double)p->block) / 2048 * 2048;
    for (size_t i = 0; i < TERN_COUNT(kinds); i++) {
        tern_figure f = {.name = kinds[i].name, .unit = "B/s", .method = kinds[i].method, .threads = threads};
        double moved = kinds[i].trial == trial_triad ? (double)(p->set / 3 / 512 * 512) * 3 : (double)p->set;
        snprintf(f.level, sizeof f.level, "%s", level);
        for (int t = 0; kinds[i].trial == trial_triad && t < threads; t++) /* no number may be slow to add */
            memset(p->memory + t * p->block, 0, (size_t)p->set);
        TERN_TRY(tern_probe_measure(p, f, kinds[i].trial, moved, false));
    }
    return TERN_OK;
}

/* A private cache at half its size, a shared one at a quarter of a processor's share: guests of one host share it. */
static double block_of(const tern_cache *c)
{
    return c->bytes / (c->sharers > 1 ? 4.0 * c->sharers : 2);
}

static tern_status measure_levels(tern_prober *p)
{
    tern_probe *o = p->out;
    for (int threads = 1;; threads = threads * 2 < o->threads ? threads * 2 : o->threads) {
        for (int i = 0; i < o->cache_count; i++)
            TERN_TRY(measure_level(p, o->caches[i].name, block_of(&o->caches[i]), threads));
        TERN_TRY(measure_level(p, "DRAM", (double)p->block, threads));
        if (threads == o->threads) return TERN_OK;
    }
}

/* How much of the last cache is there to be read round and round: a guest of a host shares it with others.  The last size before
 * reading has become a tenth slower. */
static tern_status measure_last_cache(tern_prober *p)
{
    const tern_probe *o = p->out;
    if (o->cache_count < 2) return TERN_OK;
    const tern_cache *last = &o->caches[o->cache_count - 1];
    double rate = INFINITY, quickest = 0, found = 0, most = fmin((double)p->block, 2 * last->bytes);
    for (double bytes = 4 * last[-1].bytes; bytes <= most && rate >= 0.9 * quickest; bytes *= sqrt(2)) {
        p->set = (int64_t)bytes / 2048 * 2048;
        tern_figure f = {.name = tern_probe_name(p, "read, %.4g MiB", (double)p->set / 1048576),
                         .unit = "B/s",
                         .method = "sum over the four quarters of a block at once",
                         .threads = 1};
        TERN_TRY(tern_probe_measure(p, f, trial_read, (double)p->set, false));
        rate = p->out->figures[p->out->count - 1].median;
        quickest = fmax(quickest, rate);
        if (rate >= 0.9 * quickest) found = (double)p->set;
    }
    if (rate >= 0.9 * quickest) return TERN_OK; /* its end was not met */
    tern_figure f = {.name = "capacity to read",
                     .unit = "B",
                     .method = "the last size before reading it again and again has become a tenth slower",
                     .threads = 1};
    snprintf(f.level, sizeof f.level, "%s", last->name);
    return tern_probe_keep(p, f, &found, 1);
}

/* Pages that are there for the first time. */
static tern_status measure_faults(tern_prober *p)
{
    enum { PAGES = 4096, PAGE = 4096 };
    double values[TERN_PROBE_RUNS];
    for (int i = 0; i < p->runs; i++) {
        TERN_TRY(tern_probe_pause(p, "page faults"));
        char *pages = tern_take_pages((size_t)PAGES * PAGE);
        if (!pages) return tern_no_memory((size_t)PAGES * PAGE, "the probe");
        madvise(pages, (size_t)PAGES * PAGE, MADV_NOHUGEPAGE);
        double start = tern_thread_seconds();
        for (int64_t k = 0; k < PAGES; k++) ((volatile char *)pages)[k * PAGE] = 1;
        values[i] = (tern_thread_seconds() - start) / PAGES;
        tern_release_pages(pages, (size_t)PAGES * PAGE);
    }
    return tern_probe_keep(p,
                           (tern_figure){.name = "page fault",
                                         .unit = "s",
                                         .method = "the first write to each of 4096 pages of 4 KiB",
                                         .threads = 1},
                           values, p->runs);
}

tern_status tern_probe_memory(tern_prober *p)
{
    tern_probe *o = p->out;
    double last = o->cache_count ? o->caches[o->cache_count - 1].bytes : 32e6;
    double bytes = fmin(fmax(8 * last, 64e6) / o->threads, o->memory / 8 / o->threads);
    p->block = (int64_t)fmin(bytes, p->quick ? 128e6 : 1e9) / 65536 * 65536;
    p->memory = tern_take_array((size_t)o->threads, (size_t)p->block);
    if (!p->memory) return tern_no_memory((size_t)o->threads * (size_t)p->block, "the probe");
    memset(p->memory, 1, (size_t)o->threads * (size_t)p->block); /* pages that are there */
    tern_status status = measure_levels(p);
    if (status == TERN_OK) status = measure_last_cache(p);
    if (status == TERN_OK) status = measure_faults(p);
    tern_release(p->memory);
    return status;
}
