/* What the benchmarks written in C share: alternated runs, medians, and how much of the machine others used. */
#ifndef TERN_BENCH_H
#define TERN_BENCH_H

#include "base/base.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* One side of a comparison: does the work `times` times. */
typedef void bench_side(void *context, int times);

static inline int bench_runs(void)
{
    const char *text = getenv("TERN_BENCH_RUNS");
    int runs = text ? atoi(text) : 0;
    return runs > 0 && runs <= 101 ? runs : 9;
}

/* Lets the threads of the other side fall asleep: a library that still polls would slow the next run down. */
static inline void bench_pause(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 60 * 1000 * 1000}, NULL);
}

/* Seconds of one call, after 10 ms of the same to wake the threads and fill the caches. */
static inline double bench_time(bench_side *side, void *context, int times)
{
    double start = tern_now();
    do side(context, 1);
    while (tern_now() - start < 0.01);
    start = tern_now();
    side(context, times);
    return (tern_now() - start) / times;
}

static inline int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* CPU seconds used by this process, and by all. */
typedef struct bench_share {
    double own, all, wall;
} bench_share;

static inline bench_share bench_share_now(void)
{
    bench_share s = {.wall = tern_now()};
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    s.own = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
            1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    FILE *stat = fopen("/proc/stat", "r");
    double user = 0, nice = 0, system = 0;
    if (stat && fscanf(stat, "cpu %lf %lf %lf", &user, &nice, &system) == 3)
        s.all = (user + nice + system) / (double)sysconf(_SC_CLK_TCK);
    if (stat) fclose(stat);
    return s;
}

/* Prints the share of all processors that others used since `from`. */
static inline void bench_print_foreign(bench_share from, const char *what)
{
    bench_share to = bench_share_now();
    double room = (to.wall - from.wall) * (double)sysconf(_SC_NPROCESSORS_ONLN);
    double foreign = (to.all - from.all - (to.own - from.own)) / room * 100;
    printf("foreign CPU share during %s: %.1f %%%s\n", what, foreign < 0 ? 0 : foreign,
           foreign > 5 ? " (too much for a verdict; repeat on a quiet machine)" : "");
    fflush(stdout);
}

/* Runs A B A B …, then prints medians.  `amount` is work done by one call: figures are amount/second (higher is better),
 * or with amount 0 milliseconds (lower is better); either way a ratio above 1 says that ours is faster. */
static inline void bench_print(const char *name, double amount, const char *unit, bench_side *ours,
                               void *our_context, bench_side *peer, void *peer_context)
{
    double mine[101], theirs[101];
    int runs = bench_runs();
    int our_times = (int)(0.03 / bench_time(ours, our_context, 1)) + 1;
    bench_pause();
    int peer_times = (int)(0.03 / bench_time(peer, peer_context, 1)) + 1;
    for (int i = 0; i < runs; i++) {
        bench_pause();
        mine[i] = bench_time(ours, our_context, our_times);
        bench_pause();
        theirs[i] = bench_time(peer, peer_context, peer_times);
    }
    qsort(mine, (size_t)runs, sizeof *mine, bench_compare);
    qsort(theirs, (size_t)runs, sizeof *theirs, bench_compare);
    double a = mine[runs / 2], b = theirs[runs / 2];
    printf("bench %s ours=%.4g peer=%.4g ratio=%.2f (%s, n=%d)\n", name, amount > 0 ? amount / a : a * 1e3,
           amount > 0 ? amount / b : b * 1e3, b / a, unit, runs);
    fflush(stdout);
}

#endif
