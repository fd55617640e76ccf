/* Measuring this computer: what its memories and units really do, written as a machine file. */
#define _DEFAULT_SOURCE
#include "machine/machine.h"

#include "kernel/kernel.h"
#include "kernel/loops.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define RUNS       7
#define READ_BYTES ((double)(1 << 30)) /* bytes that one measurement of a memory reads */

/* Median and spread of RUNS measurements. */
typedef struct tern_reading {
    double median, low, high;
} tern_reading;

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static tern_reading reading_of(double *values)
{
    qsort(values, RUNS, sizeof *values, ascending);
    return (tern_reading){values[RUNS / 2], values[0], values[RUNS - 1]};
}

/* Every thread reads its own part of a buffer again and again. */
typedef struct tern_read_job {
    const float *data;
    int64_t part; /* floats of a thread */
    int64_t rounds;
} tern_read_job;

static void read_task(void *context, int64_t task, int thread)
{
    const tern_read_job *job = context;
    double sum = 0, squares = 0;
    (void)thread;
    for (int64_t r = 0; r < job->rounds; r++)
        tern_loops_get()->plane_sums(job->data + task * job->part, job->part, 0, &sum, &squares);
}

static tern_reading read_bandwidth(tern_pool *pool, const float *buffer, int64_t bytes_of_thread)
{
    int threads = tern_pool_threads(pool);
    tern_read_job job = {buffer, bytes_of_thread / 4,
                         1 + (int64_t)(READ_BYTES / (double)(bytes_of_thread * threads) / 4)};
    double values[RUNS];
    tern_pool_run(pool, threads, read_task, &job);
    for (int i = 0; i < RUNS; i++) {
        double begun = tern_now();
        tern_pool_run(pool, threads, read_task, &job);
        values[i] = (double)job.rounds * (double)job.part * 4 * threads / (tern_now() - begun);
    }
    return reading_of(values);
}

/* Multiply-accumulates per second of a square product that fits the caches. */
static tern_status product_rate(tern_pool *pool, bool bytes, tern_reading *out)
{
    enum { N = 768 };
    size_t cells = (size_t)N * N;
    tern_product p = {.m = N, .n = N, .k = N, .row_stride = N};
    size_t scratch_bytes = bytes ? tern_i8_gemm_scratch(N, N, N) : tern_gemm_scratch(&p);
    float *a = tern_take(cells * 4), *b = tern_take(cells * 4), *c = tern_take(cells * 4);
    void *scratch = tern_take(scratch_bytes + 64);
    double values[RUNS];
    bool all = a && b && c && scratch;
    p.a = tern_factor_f32(a, N, 1);
    p.b = tern_factor_f32(b, N, 1);
    p.c = c;
    for (int i = -1; all && i < RUNS; i++) { /* the first one warms up */
        double begun = tern_now();
        for (int k = 0; k < 8; k++) {
            if (bytes)
                tern_i8_gemm(pool, N, N, N, (const int8_t *)a, (const int8_t *)b, (int32_t *)(void *)c, false,
                             scratch);
            else
                tern_gemm(pool, &p, scratch);
        }
        if (i >= 0) values[i] = 8.0 * N * N * N / (tern_now() - begun);
    }
    if (all) *out = reading_of(values);
    tern_release(a);
    tern_release(b);
    tern_release(c);
    tern_release(scratch);
    return all ? TERN_OK : tern_no_memory(cells * 4, "a measurement");
}

/* Additions per second of neurons' kind: element by element in the nearest cache. */
static tern_reading add_rate(tern_pool *pool, float *buffer)
{
    enum { N = 4096 };
    double values[RUNS];
    int threads = tern_pool_threads(pool);
    for (int i = 0; i < RUNS; i++) {
        double begun = tern_now();
        for (int k = 0; k < 20000; k++)
            tern_loops_get()->binary(TERN_LOOP_ADD, N, buffer, 1, buffer + N, 1, buffer + 2 * N);
        values[i] = 20000.0 * N * threads / (tern_now() - begun);
    }
    return reading_of(values);
}

/* Size of a data cache as the kernel says, or what is common. */
static double cache_bytes(int level)
{
    char path[96], *text;
    size_t count;
    static const double common[] = {32768, 1048576, 33554432};
    double bytes = common[level - 1];
    for (int index = 0; index < 8; index++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/level", index);
        if (access(path, R_OK) != 0 || tern_read_file(path, &text, &count) != TERN_OK) continue;
        bool wanted = atoi(text) == level;
        tern_release(text);
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/type", index);
        if (!wanted || tern_read_file(path, &text, &count) != TERN_OK) continue;
        wanted = strncmp(text, "Instruction", 11) != 0;
        tern_release(text);
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", index);
        if (!wanted || tern_read_file(path, &text, &count) != TERN_OK) continue;
        bytes = strtod(text, NULL) * (strchr(text, 'M') ? 1048576 : 1024);
        tern_release(text);
    }
    tern_clear();
    return bytes;
}

static void write_memory(tern_text *out, const char *name, double size, const tern_reading *r)
{
    tern_text_format(out,
                     "  - {name: %s, size: %.0f B, bandwidth: %.4g GB/s, source: \"probe: read by all "
                     "threads, median of %d, %.4g to %.4g GB/s\"}\n",
                     name, size, r->median / 1e9, RUNS, r->low / 1e9, r->high / 1e9);
}

/* Time that a small job takes to start on all threads. */
static void nothing(void *context, int64_t task, int thread)
{
    (void)context;
    (void)task;
    (void)thread;
}

static double launch_seconds(tern_pool *pool)
{
    double begun = tern_now();
    for (int i = 0; i < 20000; i++) tern_pool_run(pool, tern_pool_threads(pool), nothing, NULL);
    return (tern_now() - begun) / 20000;
}

/* Processor seconds that all programs used since the machine started (0 where the kernel does not say), and this one. */
static void busy_seconds(double *all, double *own)
{
    char *text;
    size_t count;
    double user = 0, nice = 0, kernel = 0;
    struct rusage usage;
    *all = 0;
    if (tern_read_file("/proc/stat", &text, &count) == TERN_OK) {
        if (sscanf(text, "cpu %lf %lf %lf", &user, &nice, &kernel) == 3)
            *all = (user + nice + kernel) / (double)sysconf(_SC_CLK_TCK);
        tern_release(text);
    }
    tern_clear();
    getrusage(RUSAGE_SELF, &usage);
    *own = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

tern_status tern_probe(tern_pool *pool, tern_text *out)
{
    size_t bytes = (size_t)512 << 20;
    int threads = tern_pool_threads(pool);
    float *buffer = tern_take(bytes);
    tern_reading f32, i8;
    if (!buffer) return tern_no_memory(bytes, "a measurement of memory");
    double begun = tern_now(), all_before, own_before, all_after, own_after;
    busy_seconds(&all_before, &own_before);
    tern_status status = product_rate(pool, false, &f32);
    if (status == TERN_OK) status = product_rate(pool, true, &i8);
    if (status != TERN_OK) {
        tern_release(buffer);
        return status;
    }
    double l1 = cache_bytes(1), l2 = cache_bytes(2), l3 = cache_bytes(3);
    tern_reading add = add_rate(pool, buffer), near = read_bandwidth(pool, buffer, (int64_t)(l1 / 2)),
                 middle = read_bandwidth(pool, buffer, (int64_t)(l2 / 2)),
                 far = read_bandwidth(pool, buffer, (int64_t)(l3 / 2 / threads)),
                 dram = read_bandwidth(pool, buffer, (int64_t)(bytes / (size_t)threads));
    double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE),
           launch = launch_seconds(pool);
    busy_seconds(&all_after, &own_after);
    double foreign = (all_after - all_before - (own_after - own_before)) /
                     ((tern_now() - begun) * (double)sysconf(_SC_NPROCESSORS_ONLN));
    char date[32];
    time_t now = time(NULL);
    struct tm local;
    strftime(date, sizeof date, "%Y-%m-%d", localtime_r(&now, &local));
    tern_text_format(
        out,
        "# Written by tern probe on %s; %d threads, %s loops; other programs took %.0f %% of the\n"
        "# processors meanwhile (above 5 the figures are too low).  Energy is not measured: no counter is "
        "read.\n"
        "name: here\nabout: this computer, measured %s\nsource: \"tern probe\"\nlaunch: %.4g us\nunits:\n"
        "  - name: cores\n    kind: simd\n    clock: 1 GHz  # rates below are measured, not per cycle\n"
        "    mac: {f32: %.4g G/s, i8: %.4g G/s}\n    add: {f32: %.4g G/s}\n"
        "    source: \"probe: product of 768x768 matrices, median of %d, f32 %.4g to %.4g, i8 %.4g to %.4g "
        "G/s; adds in L1\"\nmemories:\n",
        date, threads, tern_isa_name(), 100 * (foreign > 0 ? foreign : 0), date, launch * 1e6,
        f32.median / 1e9, i8.median / 1e9, add.median / 1e9, RUNS, f32.low / 1e9, f32.high / 1e9,
        i8.low / 1e9, i8.high / 1e9);
    write_memory(out, "l1", l1 * threads, &near);
    write_memory(out, "l2", l2 * threads, &middle);
    write_memory(out, "l3", l3, &far);
    write_memory(out, "dram", memory, &dram);
    tern_release(buffer);
    return tern_text_status(out);
}
