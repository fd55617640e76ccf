/* Measuring this computer.  Each figure is the median of several runs of at least some milliseconds, after one that does not
 * count.  Threads are timed by the processor time that they had, so that programs beside them lengthen nothing; what needs
 * all threads at once is timed by the clock.  The parts are in the files probe_*.c. */
#define _DEFAULT_SOURCE
#include "machine/prober.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

_Thread_local volatile uint32_t tern_probe_sink;

double tern_thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void task(void *context, int64_t index, int thread)
{
    tern_prober *p = context;
    (void)thread;
    double start = tern_thread_seconds();
    p->trial(p, (int)index, p->times);
    p->seconds[index] = tern_thread_seconds() - start;
}

double tern_probe_time(tern_prober *p)
{
    if (p->together && p->out->threads > 1) {
        double start = tern_now();
        p->trial(p, 0, p->times);
        return tern_now() - start;
    }
    tern_pool_run(p->threads == 1 ? NULL : p->pool, p->threads, task, p);
    double rate = 0;
    for (int i = 0; i < p->threads; i++) rate += 1 / fmax(p->seconds[i], 1e-9);
    return p->threads / rate;
}

tern_status tern_probe_keep(tern_prober *p, tern_figure figure, double *values, int runs)
{
    if (p->out->count == TERN_PROBE_FIGURES) return tern_fail(TERN_FAILED, "the probe has too many figures");
    tern_sort_numbers(values, runs);
    figure.runs = runs;
    figure.median = values[runs / 2];
    figure.lower = values[runs / 4];
    figure.upper = values[runs - 1 - runs / 4];
    p->out->figures[p->out->count++] = figure;
    return TERN_OK;
}

void tern_probe_calibrate(tern_prober *p, tern_trial *trial, int threads, bool together)
{
    double seconds;
    p->trial = trial;
    p->together = together;
    p->threads = together ? 1 : threads;
    for (p->times = 1; (seconds = tern_probe_time(p)) < p->least_seconds;)
        p->times = seconds < p->least_seconds / 16
                       ? p->times * 8
                       : (int64_t)((double)p->times * 1.2 * p->least_seconds / seconds) + 1;
}

tern_status tern_probe_pause(const tern_prober *p, const char *what)
{
    tern_progress_show(&((tern_prober *)(uintptr_t)p)->progress, p->part / p->parts, "%s", what);
    return tern_interrupted() ? tern_fail(TERN_INTERRUPTED, "stopped before the probe was done") : TERN_OK;
}

tern_status tern_probe_measure(tern_prober *p, tern_figure figure, tern_trial *trial, double units,
                               bool inverse)
{
    double values[TERN_PROBE_RUNS] = {0};
    if (!figure.name) return tern_no_memory(64, "the probe");
    tern_probe_calibrate(p, trial, figure.threads, p->together);
    for (int i = 0; i < p->runs; i++) {
        TERN_TRY(tern_probe_pause(p, figure.name));
        double done = units * (double)p->times * p->threads, seconds = tern_probe_time(p);
        values[i] = inverse ? seconds / done : done / seconds;
    }
    return tern_probe_keep(p, figure, values, p->runs);
}

const char *tern_probe_name(tern_prober *p, const char *format, ...)
{
    char text[96];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return tern_arena_string(&p->out->arena, text);
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
    o->threads = threads < TERN_PROBE_THREADS ? threads : TERN_PROBE_THREADS;
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

tern_status tern_probe_run(tern_probe *probe, tern_pool *pool, const tern_probe_options *options)
{
    static const struct {
        tern_probe_part part;
        tern_status (*measure)(tern_prober *p);
        double share; /* of the time */
    } parts[] = {
        {TERN_PROBE_RATES, tern_probe_rates, 2},   {TERN_PROBE_CACHES, tern_probe_caches, 2},
        {TERN_PROBE_MEMORY, tern_probe_memory, 2}, {TERN_PROBE_DISK, tern_probe_disk, 1},
        {TERN_PROBE_LINKS, tern_probe_links, 0.2}, {TERN_PROBE_KERNELS, tern_probe_kernels, 8},
    };
    double start = tern_now(), all[2] = {0}, own[2] = {0};
    *probe = (tern_probe){.foreign_share = -1, .parts = options->parts ? options->parts : TERN_PROBE_ALL};
    describe(probe, pool);
    tern_prober p = {.out = probe,
                     .pool = pool,
                     .runs = options->quick ? 3 : TERN_PROBE_RUNS,
                     .least_seconds = options->quick ? 0.004 : 0.02,
                     .thin = options->thin > 1 ? options->thin : 1,
                     .quick = options->quick,
                     .folder = options->folder ? options->folder : "."};
    for (size_t i = 0; i < TERN_COUNT(parts); i++)
        if (probe->parts & parts[i].part) p.parts += parts[i].share;
    bool known = read_busy(&all[0], &own[0]);
    tern_status status =
        options->mpi ? tern_probe_mpi(&p) : TERN_OK; /* first: ranks that wait take processors */
    if (status != TERN_OK || probe->rank > 0) return status;
    tern_progress_open(&p.progress, "probe", options->quiet);
    for (size_t i = 0; status == TERN_OK && i < TERN_COUNT(parts); i++) {
        if (!(probe->parts & parts[i].part)) continue;
        p.together = false;
        status = parts[i].measure(&p);
        p.part += parts[i].share;
    }
    probe->seconds = tern_now() - start;
    if (known && read_busy(&all[1], &own[1]))
        probe->foreign_share =
            fmax(0, all[1] - all[0] - (own[1] - own[0])) / (probe->seconds * probe->processors);
    tern_progress_close(&p.progress, "%d figures, %d kernels in %.1f s", probe->count, probe->kernel_count,
                        probe->seconds);
    return status;
}

void tern_probe_close(tern_probe *probe)
{
    tern_release(probe->kernels);
    tern_arena_free(&probe->arena);
    *probe = (tern_probe){0};
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
