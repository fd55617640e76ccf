/* The probe's disk, and what threads take to hear of each other. */
#define _GNU_SOURCE
#include "machine/prober.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- disk ---------------------------------------------------------------------------------------------------- */

enum { CHUNK = 1 << 20, SMALL = 4096, FILE_CHUNKS = 64, SMALL_READS = 512 };

typedef struct tern_disk {
    int file;
    char *chunk; /* CHUNK bytes, whole pages */
    bool direct; /* past the system's cache */
} tern_disk;

static tern_status disk_failed(const char *what, const char *folder)
{
    return tern_fail(TERN_FAILED, "the probe's file in %s: cannot %s: %s; --only leaves the disk out", folder,
                     what, strerror(errno));
}

/* Seconds that reading the whole file in chunks takes, or SMALL_READS pieces of it here and there. */
static bool read_file(const tern_disk *d, bool small, double *seconds)
{
    double start = tern_now();
    tern_rng rng = {3, 0};
    int reads = small ? SMALL_READS : FILE_CHUNKS;
    for (int i = 0; i < reads; i++) {
        off_t at =
            small ? (off_t)tern_rng_below(rng, (uint64_t)i, (uint64_t)FILE_CHUNKS * (CHUNK / SMALL)) * SMALL
                  : (off_t)i * CHUNK;
        ssize_t bytes = small ? SMALL : CHUNK;
        if (pread(d->file, d->chunk, (size_t)bytes, at) != bytes) return false;
    }
    *seconds = tern_now() - start;
    return true;
}

static bool write_file(const tern_disk *d, double *seconds)
{
    double start = tern_now();
    for (int i = 0; i < FILE_CHUNKS; i++)
        if (pwrite(d->file, d->chunk, CHUNK, (off_t)i * CHUNK) != CHUNK) return false;
    if (fdatasync(d->file) != 0) return false;
    *seconds = tern_now() - start;
    return true;
}

static tern_status measure_disk(tern_prober *p, const tern_disk *d)
{
    double values[3][TERN_PROBE_RUNS], seconds;
    const char *past =
        d->direct ? "past the system's cache (O_DIRECT)" : "through the system's cache: O_DIRECT is refused";
    static const char *const names[] = {"disk write", "disk read", "disk read 4 KiB"};
    for (int i = 0; i < p->runs; i++) {
        TERN_TRY(tern_probe_pause(p, "disk"));
        if (!write_file(d, &seconds)) return disk_failed("write it", p->folder);
        values[0][i] = (double)FILE_CHUNKS * CHUNK / seconds;
        if (!read_file(d, false, &seconds)) return disk_failed("read it", p->folder);
        values[1][i] = (double)FILE_CHUNKS * CHUNK / seconds;
        if (!read_file(d, true, &seconds)) return disk_failed("read it", p->folder);
        values[2][i] = seconds / SMALL_READS;
    }
    for (int i = 0; i < 3; i++) {
        tern_figure f = {.name = names[i], .unit = i == 2 ? "s" : "B/s", .threads = 1};
        f.method = tern_probe_name(p,
                                   i == 0   ? "64 MiB and fdatasync, %s"
                                   : i == 1 ? "64 MiB in pieces of 1 MiB, %s"
                                            : "one of 512 pieces here and there, %s",
                                   past);
        if (!f.method) return tern_no_memory(64, "the probe");
        TERN_TRY(tern_probe_keep(p, f, values[i], p->runs));
    }
    return TERN_OK;
}

tern_status tern_probe_disk(tern_prober *p)
{
    char path[4096];
    tern_disk d = {.direct = true};
    if (snprintf(path, sizeof path, "%s/tern-probe-XXXXXX", p->folder) >= (int)sizeof path)
        return tern_fail(TERN_USAGE, "the path of the folder for the probe's file is too long");
    d.file = mkostemp(path, O_DIRECT);
    if (d.file < 0 && errno == EINVAL) {
        d.direct = false;
        memcpy(path + strlen(path) - 6, "XXXXXX", 6);
        d.file = mkstemp(path);
    }
    if (d.file < 0) return disk_failed("make it", p->folder);
    unlink(path); /* it goes when it is closed */
    d.chunk = tern_take_pages(CHUNK);
    tern_status status = d.chunk ? TERN_OK : tern_no_memory(CHUNK, "the probe");
    if (status == TERN_OK) {
        memset(d.chunk, 0x5a, CHUNK);
        status = measure_disk(p, &d);
        tern_release_pages(d.chunk, CHUNK);
    }
    close(d.file);
    return status;
}

/* ---- threads ------------------------------------------------------------------------------------------------- */

enum { LAUNCHES = 501, ROUNDS = 2000 };

static void nothing(void *context, int64_t index, int thread)
{
    (void)context, (void)index, (void)thread;
}

/* Each run is the median of many single launches: the mean would be that of the few that had to wait for a processor. */
static tern_status measure_launch(tern_prober *p)
{
    double values[TERN_PROBE_RUNS], launches[LAUNCHES];
    for (int run = 0; run < p->runs; run++) {
        for (int i = 0; i < LAUNCHES; i++) {
            double start = tern_now();
            tern_pool_run(p->pool, p->out->threads, nothing, NULL);
            launches[i] = tern_now() - start;
        }
        tern_sort_numbers(launches, LAUNCHES);
        values[run] = launches[LAUNCHES / 2];
    }
    return tern_probe_keep(p,
                           (tern_figure){.name = "launch",
                                         .unit = "s",
                                         .method = "an empty job for all threads, median of 501",
                                         .threads = p->out->threads},
                           values, p->runs);
}

/* Two threads that answer each other; each waits on the line that the other writes. */
typedef struct tern_ping {
    _Alignas(64) atomic_int here;
    _Alignas(64) atomic_int there;
    double limit; /* moment after which neither waits any longer: both threads may have one processor */
} tern_ping;

static bool await(tern_ping *ping, atomic_int *word, int value)
{
    for (int i = 1; atomic_load_explicit(word, memory_order_acquire) != value; i++)
        if (i % 4096 == 0 && tern_now() > ping->limit) return false;
    return true;
}

static void pin(int processor)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set,
                           &set); /* a wish: without it the threads are where they are */
}

static void *answer(void *context)
{
    tern_ping *ping = context;
    pin(1);
    for (int i = 1; i <= ROUNDS && await(ping, &ping->here, i); i++)
        atomic_store_explicit(&ping->there, i, memory_order_release);
    return NULL;
}

/* Seconds one way; 0: the threads did not meet in time. */
static double ping_once(void)
{
    tern_ping ping = {.limit = tern_now() + 1};
    pthread_t other;
    cpu_set_t before;
    bool known = pthread_getaffinity_np(pthread_self(), sizeof before, &before) == 0, met = true;
    if (pthread_create(&other, NULL, answer, &ping) != 0) return 0;
    pin(0);
    double start = 0;
    for (int i = 1; i <= ROUNDS && met; i++) {
        if (i == ROUNDS / 10) start = tern_now();
        atomic_store_explicit(&ping.here, i, memory_order_release);
        met = await(&ping, &ping.there, i);
    }
    double seconds = (tern_now() - start) / (ROUNDS - ROUNDS / 10) / 2;
    if (known) pthread_setaffinity_np(pthread_self(), sizeof before, &before);
    pthread_join(other, NULL);
    return met ? seconds : 0;
}

tern_status tern_probe_links(tern_prober *p)
{
    enum { TRIES = 9 };
    double values[TERN_PROBE_RUNS];
    TERN_TRY(measure_launch(p));
    for (int i = 0; p->out->processors > 1 && i < p->runs; i++) {
        values[i] =
            INFINITY; /* the quickest of some tries: in others a thread had to wait for its processor */
        for (int k = 0; k < TRIES; k++) {
            TERN_TRY(tern_probe_pause(p, "threads"));
            double seconds = ping_once();
            if (seconds > 0) values[i] = fmin(values[i], seconds);
        }
        if (!isfinite(values[i])) return TERN_OK; /* they never met: the figure is left out */
    }
    if (p->out->processors < 2) return TERN_OK;
    return tern_probe_keep(
        p,
        (tern_figure){
            .name = "thread to thread",
            .unit = "s",
            .method =
                "half a round of two pinned threads that answer each other through two lines, 2000 rounds, "
                "the quickest of 9",
            .threads = 2},
        values, p->runs);
}
