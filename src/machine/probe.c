/* Measuring this computer.  Each figure is the median of several runs of at least some milliseconds, after one that
 * does not count; loops in registers give the peaks, sums over blocks of memory the bandwidths, a random walk the
 * latencies, and Tern's own products of matrices what is sustained.  Threads are timed by the processor time that they
 * had, so that programs beside them lengthen nothing; what needs all threads at once is timed by the clock. */
#define _DEFAULT_SOURCE
#include "machine/machine.h"

#include "kernel/kernel.h"
#include "kernel/peak.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MOST_RUNS    7
#define MOST_THREADS 256
#define LAUNCHES     501
#define GEMM_SIZE    768 /* rows, columns and depth: 2.4 MB a matrix of f32 */

typedef struct tern_prober tern_prober;

/* One piece of work, for one of `threads` threads; repeats it `times` times. */
typedef void tern_trial(tern_prober *p, int thread, int64_t times);

struct tern_prober {
    tern_probe *out;
    tern_pool *pool;
    tern_progress progress;
    int runs, total; /* total: figures expected, for the progress */
    double least_seconds;
    const tern_peak *peak;
    char *memory;     /* [threads][block] */
    int64_t block;    /* bytes a thread */
    int64_t set;      /* bytes of `block` that the trial works on */
    float *a, *b, *c; /* [GEMM_SIZE, GEMM_SIZE] */
    void *scratch;
    double units;      /* of a trial with times 1, all threads */
    tern_trial *trial; /* what runs .. */
    bool together;     /* .. once, on all threads; else on each of `threads` */
    int threads;
    int64_t times;
    double seconds[MOST_THREADS]; /* that each took */
};

/* Where results go that nobody needs, so that they are computed. */
static _Thread_local volatile uint32_t sink;

static double processor_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void task(void *context, int64_t index, int thread)
{
    tern_prober *p = context;
    (void)thread;
    double start = processor_seconds();
    p->trial(p, (int)index, p->times);
    p->seconds[index] = processor_seconds() - start;
}

/* Seconds of a run: by the clock for one that uses the pool itself, else what each thread took (harmonic mean). */
static double time_once(tern_prober *p)
{
    if (p->together) {
        double start = tern_now();
        p->trial(p, 0, p->times);
        return tern_now() - start;
    }
    tern_pool_run(p->threads == 1 ? NULL : p->pool, p->threads, task, p);
    double rate = 0;
    for (int i = 0; i < p->threads; i++) rate += 1 / fmax(p->seconds[i], 1e-9);
    return p->threads / rate;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A figure from its runs, which are sorted. */
static void keep(tern_prober *p, tern_figure figure, double *values)
{
    qsort(values, (size_t)p->runs, sizeof *values, by_value);
    figure.runs = p->runs;
    figure.median = values[p->runs / 2];
    figure.lower = values[p->runs / 4];
    figure.upper = values[p->runs - 1 - p->runs / 4];
    p->out->figures[p->out->count++] = figure;
}

/* Runs the trial until it takes long enough, then for the record.  What is kept is units a second, or with `inverse`
 * seconds a unit. */
static tern_status measure(tern_prober *p, tern_figure figure, tern_trial *trial, double units, bool inverse)
{
    double values[MOST_RUNS] = {0}, seconds;
    tern_progress_show(&p->progress, (double)p->out->count / p->total, "%s %s", figure.level, figure.name);
    p->trial = trial;
    p->threads = p->together ? 1 : figure.threads;
    for (p->times = 1; (seconds = time_once(p)) < p->least_seconds;)
        p->times = seconds < p->least_seconds / 16
                       ? p->times * 8
                       : (int64_t)((double)p->times * 1.2 * p->least_seconds / seconds) + 1;
    for (int i = 0; i < p->runs; i++) {
        if (tern_interrupted()) return tern_fail(TERN_INTERRUPTED, "stopped before the probe was done");
        double done = units * (double)p->times * p->threads;
        seconds = time_once(p);
        values[i] = inverse ? seconds / done : done / seconds;
    }
    keep(p, figure, values);
    return TERN_OK;
}

/* ---- trials -------------------------------------------------------------------------------------------------- */

static tern_product product_of(const float *a, const float *b, float *c)
{
    return (tern_product){.m = GEMM_SIZE,
                          .n = GEMM_SIZE,
                          .k = GEMM_SIZE,
                          .a = tern_factor_f32(a, GEMM_SIZE, 1),
                          .b = tern_factor_f32(b, GEMM_SIZE, 1),
                          .c = c,
                          .row_stride = GEMM_SIZE};
}

static void trial_clock(tern_prober *p, int thread, int64_t times)
{
    (void)p;
    uint32_t x = (uint32_t)thread;
    for (int64_t i = 0; i < times; i++)
        for (int k = 0; k < 1000; k++) {
            x += 1;
            __asm__ volatile("" : "+r"(x)); /* one add waits for the other: one a cycle */
        }
    sink = x;
}

static void trial_read(tern_prober *p, int thread, int64_t times)
{
    sink = p->peak->read(p->memory + thread * p->block, p->set, times);
}

static void trial_copy(tern_prober *p, int thread, int64_t times)
{
    char *from = p->memory + thread * p->block, *to = from + p->set / 2;
    for (; times > 0; times--) memcpy(to, from, (size_t)p->set / 2);
}

static void trial_walk(tern_prober *p, int thread, int64_t times)
{
    const char *base = p->memory + thread * p->block;
    uint32_t at = 0;
    for (int64_t i = 0; i < times * 1000; i++)
        at = *(const uint32_t *)(const void *)(base + (int64_t)at * 64);
    sink = at;
}

static void trial_mac(tern_prober *p, int thread, int64_t times)
{
    (void)thread;
    p->peak->f32_mac(times * 1000);
}

static void trial_add(tern_prober *p, int thread, int64_t times)
{
    (void)thread;
    p->peak->f32_add(times * 1000);
}

static void trial_i8(tern_prober *p, int thread, int64_t times)
{
    (void)thread;
    p->peak->i8_mac(times * 1000);
}

/* One thread multiplies alone, or all together. */
static void trial_gemm(tern_prober *p, int thread, int64_t times)
{
    (void)thread;
    const tern_product product = product_of(p->a, p->b, p->c);
    for (; times > 0; times--) tern_gemm(p->together ? p->pool : NULL, &product, p->scratch);
}

static void trial_i8_gemm(tern_prober *p, int thread, int64_t times)
{
    (void)thread;
    for (; times > 0; times--)
        tern_i8_gemm(p->together ? p->pool : NULL, GEMM_SIZE, GEMM_SIZE, GEMM_SIZE, (const int8_t *)p->a,
                     (const int8_t *)p->b, (int32_t *)(void *)p->c, false, p->scratch);
}

static void nothing(void *context, int64_t index, int thread)
{
    (void)context, (void)index, (void)thread;
}

/* Each run is the median of many single launches: the mean would be that of the few that had to wait for a processor. */
static void measure_launch(tern_prober *p)
{
    double values[MOST_RUNS] = {0}, launches[LAUNCHES];
    for (int run = 0; run < p->runs; run++) {
        for (int i = 0; i < LAUNCHES; i++) {
            double start = tern_now();
            tern_pool_run(p->pool, p->out->threads, nothing, NULL);
            launches[i] = tern_now() - start;
        }
        qsort(launches, LAUNCHES, sizeof *launches, by_value);
        values[run] = launches[LAUNCHES / 2];
    }
    keep(p,
         (tern_figure){.name = "launch",
                       .unit = "s",
                       .method = "an empty job for all threads, median of 501",
                       .threads = p->out->threads},
         values);
}

/* ---- what is measured ---------------------------------------------------------------------------------------- */

/* A random cycle through all lines of the set (Sattolo), so that no prefetcher guesses the next. */
static void lay_walk(tern_prober *p)
{
    uint32_t lines = (uint32_t)(p->set / 64);
    tern_rng rng = {1, lines};
    for (uint32_t i = 0; i < lines; i++) *(uint32_t *)(void *)(p->memory + (int64_t)i * 64) = i;
    for (uint32_t i = lines - 1; i > 0; i--) {
        uint32_t *x = (uint32_t *)(void *)(p->memory + (int64_t)i * 64);
        uint32_t *y = (uint32_t *)(void *)(p->memory + (int64_t)tern_rng_below(rng, i, i) * 64);
        uint32_t swap = *x;
        *x = *y;
        *y = swap;
    }
}

/* Bandwidths and latency of a memory from a block of `bytes` a thread. */
static tern_status measure_memory(tern_prober *p, const char *level, double bytes)
{
    int threads[] = {1, p->out->threads};
    p->set = (int64_t)fmin(bytes, (double)p->block) / 1024 * 1024;
    for (int i = 0; i < (threads[1] > 1 ? 2 : 1); i++) {
        tern_figure f = {.name = "read",
                         .unit = "B/s",
                         .method = "sum over a block, 8 vectors at once",
                         .threads = threads[i]};
        snprintf(f.level, sizeof f.level, "%s", level);
        TERN_TRY(measure(p, f, trial_read, (double)p->set, false));
        f.name = "copy";
        f.method = "memcpy from one half of the block to the other; bytes read and written";
        TERN_TRY(measure(p, f, trial_copy, (double)p->set, false));
    }
    tern_figure f = {.name = "latency",
                     .unit = "s",
                     .method = "random cycle through all lines, 4 KiB pages",
                     .threads = 1};
    snprintf(f.level, sizeof f.level, "%s", level);
    lay_walk(p);
    tern_status status = measure(p, f, trial_walk, 1000, true);
    memset(p->memory, 0, (size_t)p->set);
    return status;
}

static tern_status measure_memories(tern_prober *p)
{
    tern_probe *o = p->out;
    for (int i = 0; i < o->cache_count; i++) {
        const tern_cache *c = &o->caches[i];
        double share =
            c->sharers > 1 ? 4.0 * c->sharers : 2; /* a shared cache may be used by others as well */
        TERN_TRY(measure_memory(p, c->name, c->bytes / share));
    }
    return measure_memory(p, "DRAM", (double)p->block);
}

static tern_status measure_rates(tern_prober *p)
{
    int threads[] = {1, p->out->threads};
    tern_figure f = {.name = "clock", .unit = "Hz", .method = "adds that wait for each other", .threads = 1};
    TERN_TRY(measure(p, f, trial_clock, 1000, false));
    for (int i = 0; i < (threads[1] > 1 ? 2 : 1); i++) {
        f = (tern_figure){.name = "f32 mac",
                          .unit = "mac/s",
                          .method = "12 chains of multiply-adds in registers",
                          .threads = threads[i]};
        TERN_TRY(measure(p, f, trial_mac, p->peak->f32_mac(1000), false));
        f.name = "f32 add";
        f.unit = "add/s";
        f.method = "12 chains of adds in registers";
        TERN_TRY(measure(p, f, trial_add, p->peak->f32_add(1000), false));
        f.name = "i8 mac";
        f.unit = "mac/s";
        f.method = "12 chains of products of bytes in registers";
        TERN_TRY(measure(p, f, trial_i8, p->peak->i8_mac(1000), false));
    }
    return TERN_OK;
}

static tern_status measure_products(tern_prober *p)
{
    double products = (double)GEMM_SIZE * GEMM_SIZE * GEMM_SIZE;
    for (int i = 0; i < (p->out->threads > 1 ? 2 : 1); i++) {
        p->together = i == 1;
        tern_figure f = {.name = "f32 gemm", .unit = "mac/s", .method = "product of matrices of 768 x 768"};
        f.threads = p->together ? p->out->threads : 1;
        TERN_TRY(measure(p, f, trial_gemm, products, false));
        f.name = "i8 gemm";
        TERN_TRY(measure(p, f, trial_i8_gemm, products, false));
    }
    p->together = false;
    measure_launch(p);
    return TERN_OK;
}

/* ---- this computer ------------------------------------------------------------------------------------------- */

/* First line of a small file without its end; "" when there is none. */
static void read_line(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "r");
    out[0] = 0;
    if (!file) return;
    if (!fgets(out, (int)size, file)) out[0] = 0;
    out[strcspn(out, "\n")] = 0;
    fclose(file);
}

/* How many processors a list like 0-1,4 names. */
static int count_list(const char *list)
{
    int count = 0;
    while (*list >= '0' && *list <= '9') {
        char *end;
        long first = strtol(list, &end, 10), last = first;
        if (*end == '-') last = strtol(end + 1, &end, 10);
        count += (int)(last - first) + 1;
        list = *end == ',' ? end + 1 : end;
    }
    return count > 0 ? count : 1;
}

static void find_caches(tern_probe *o)
{
    char path[128], text[64];
    for (int i = 0; i < 8 && o->cache_count < 4; i++) {
        const char *base = "/sys/devices/system/cpu/cpu0/cache/index";
        snprintf(path, sizeof path, "%s%d/type", base, i);
        read_line(path, text, sizeof text);
        if (strcmp(text, "Data") != 0 && strcmp(text, "Unified") != 0) continue;
        tern_cache *c = &o->caches[o->cache_count];
        snprintf(path, sizeof path, "%s%d/size", base, i);
        read_line(path, text, sizeof text);
        c->bytes = strtod(text, NULL) * (strchr(text, 'M') ? 1048576 : strchr(text, 'K') ? 1024 : 1);
        snprintf(path, sizeof path, "%s%d/shared_cpu_list", base, i);
        read_line(path, text, sizeof text);
        c->sharers = count_list(text);
        snprintf(path, sizeof path, "%s%d/level", base, i);
        read_line(path, text, sizeof text);
        snprintf(c->name, sizeof c->name, "L%.4s", text);
        if (c->bytes > 0) o->cache_count++;
    }
}

static void describe(tern_probe *o, tern_pool *pool)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    snprintf(o->processor, sizeof o->processor, "unknown processor");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (!colon || strncmp(line, "model name", 10) != 0) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(o->processor, sizeof o->processor, "%.90s", colon + 2);
        break;
    }
    if (file) fclose(file);
    for (char *c = o->processor; *c; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ') *c = ' '; /* it goes into a quoted text */
    o->processors = (int)sysconf(_SC_NPROCESSORS_ONLN);
    int threads = tern_pool_threads(pool);
    o->threads = threads < MOST_THREADS ? threads : MOST_THREADS;
    o->memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    find_caches(o);
}

/* Seconds that all processors were busy since the computer started, and that this process was; false: unknown. */
static bool read_busy(double *all, double *own)
{
    double user, nice, kernel, idle, wait, interrupt, soft, stolen;
    struct rusage usage;
    FILE *file = fopen("/proc/stat", "r");
    int found = file ? fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &user, &nice, &kernel, &idle,
                              &wait, &interrupt, &soft, &stolen)
                     : 0;
    if (file) fclose(file);
    if (found != 8 || getrusage(RUSAGE_SELF, &usage) != 0) return false;
    *all = (user + nice + kernel + interrupt + soft + stolen) / (double)sysconf(_SC_CLK_TCK);
    *own = (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
    return true;
}

static tern_status take_memory(tern_prober *p)
{
    tern_probe *o = p->out;
    double last = o->cache_count ? o->caches[o->cache_count - 1].bytes : 32e6;
    double bytes = fmin(fmax(8 * last, 64e6) / o->threads, o->memory / 8 / o->threads);
    p->block = (int64_t)fmin(bytes, 1e9) / 65536 * 65536;
    const tern_product product = product_of(NULL, NULL, NULL);
    size_t matrix = sizeof(float) * GEMM_SIZE * GEMM_SIZE, f32 = tern_gemm_scratch(&product),
           i8 = tern_i8_gemm_scratch(GEMM_SIZE, GEMM_SIZE, GEMM_SIZE);
    p->a = tern_take(matrix);
    p->b = tern_take(matrix);
    p->c = tern_take(matrix);
    p->scratch = tern_take(f32 > i8 ? f32 : i8);
    if (p->scratch) p->memory = tern_take_array((size_t)o->threads, (size_t)p->block);
    if (!p->memory || !p->a || !p->b || !p->c || !p->scratch)
        return tern_no_memory((size_t)o->threads * (size_t)p->block, "the probe");
    memset(p->memory, 1, (size_t)o->threads * (size_t)p->block); /* pages that are there */
    for (int i = 0; i < GEMM_SIZE * GEMM_SIZE; i++) p->a[i] = p->b[i] = 1.5F + (float)(i % 7);
    return TERN_OK;
}

tern_status tern_probe_run(tern_probe *probe, tern_pool *pool, const tern_probe_options *options)
{
    double start = tern_now(), all[2] = {0}, own[2] = {0};
    *probe = (tern_probe){.foreign_share = -1};
    describe(probe, pool);
    tern_prober p = {.out = probe,
                     .pool = pool,
                     .runs = options->quick ? 3 : MOST_RUNS,
                     .least_seconds = options->quick ? 0.005 : 0.02,
                     .peak = tern_peak_get()};
    p.total = (probe->cache_count + 1) * 5 + 12;
    bool known = read_busy(&all[0], &own[0]);
    tern_progress_open(&p.progress, "probe", options->quiet);
    tern_status status = take_memory(&p);
    if (status == TERN_OK) status = measure_rates(&p);
    if (status == TERN_OK) status = measure_products(&p);
    if (status == TERN_OK) status = measure_memories(&p);
    tern_release(p.memory);
    tern_release(p.a);
    tern_release(p.b);
    tern_release(p.c);
    tern_release(p.scratch);
    probe->seconds = tern_now() - start;
    if (known && read_busy(&all[1], &own[1]))
        probe->foreign_share =
            fmax(0, all[1] - all[0] - (own[1] - own[0])) / (probe->seconds * probe->processors);
    tern_progress_close(&p.progress, "%d figures in %.1f s", probe->count, probe->seconds);
    return status;
}

const tern_figure *tern_probe_find(const tern_probe *probe, const char *name, const char *level, int threads)
{
    for (int i = 0; i < probe->count; i++) {
        const tern_figure *f = &probe->figures[i];
        if (strcmp(f->name, name) == 0 && (!level || strcmp(f->level, level) == 0) &&
            (!threads || f->threads == threads))
            return f;
    }
    return NULL;
}
