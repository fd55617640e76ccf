/* What the parts of the probe share: how something is timed, and where figures go. */
#ifndef TERN_MACHINE_PROBER_H
#define TERN_MACHINE_PROBER_H

#include "kernel/kernel.h"
#include "kernel/peak.h"
#include "machine/machine.h"

enum { TERN_PROBE_RUNS = 7, TERN_PROBE_THREADS = 256 };

typedef struct tern_prober tern_prober;

/* One piece of work, for one of `threads` threads; repeats it `times` times. */
typedef void tern_trial(tern_prober *p, int thread, int64_t times);

struct tern_prober {
    tern_probe *out;
    tern_pool *pool;
    tern_progress progress;
    int thin;           /* of the kernels only each thin-th is measured */
    const char *folder; /* on the disk that is measured */
    double part, parts; /* of the whole, for the progress: parts that are done, and all */
    bool quick;
    int runs;
    double least_seconds; /* of a run */
    char *memory;         /* [threads][block], of the part that runs */
    int64_t block;        /* bytes a thread */
    int64_t set;          /* bytes of `block` that the trial works on */
    const void *subject;  /* what else the trial works on */
    tern_trial *trial;    /* what runs .. */
    bool together;        /* .. once, on all threads; else on each of `threads` */
    int threads;
    int64_t times;
    double seconds[TERN_PROBE_THREADS]; /* that each took */
};

/* Processor time of this thread, s: programs beside it lengthen nothing. */
double tern_thread_seconds(void);

/* Seconds of p->times times the trial: what each thread had of the processor (harmonic mean), or, of a trial that uses several
 * threads itself, by the clock. */
double tern_probe_time(tern_prober *p);

/* Sets p->times so that a run takes long enough. */
void tern_probe_calibrate(tern_prober *p, tern_trial *trial, int threads, bool together);

/* Keeps a figure of these runs (sorted here); TERN_FAILED when there are too many. */
tern_status tern_probe_keep(tern_prober *p, tern_figure figure, double *values, int runs);

/* Runs the trial until it takes long enough, then for the record.  What is kept is units a second, or with `inverse`
 * seconds a unit; `units` are those of a trial with times 1, on each thread. */
tern_status tern_probe_measure(tern_prober *p, tern_figure figure, tern_trial *trial, double units,
                               bool inverse);

/* TERN_INTERRUPTED when the user wants to stop. */
tern_status tern_probe_pause(const tern_prober *p, const char *what);

/* Latencies of walks through blocks of growing size, and the memories that they show: seconds, and bytes (0: the last one, whose
 * end the blocks do not reach). */
enum { TERN_WALK_SIZES = 40, TERN_WALK_LEVELS = 4 };
typedef struct tern_walk_curve {
    int count;
    double bytes[TERN_WALK_SIZES], seconds[TERN_WALK_SIZES];
} tern_walk_curve;
typedef struct tern_walk_level {
    double seconds, bytes;
} tern_walk_level;
int tern_probe_levels(const tern_walk_curve *curve, tern_walk_level levels[TERN_WALK_LEVELS]);

/* y = a + b x by least squares of relative errors; y > 0, and two different x at least. */
void tern_probe_line(const double *x, const double *y, int count, double *a, double *b);

/* The list `measured` of a machine file. */
void tern_probe_put_measured(const tern_probe *probe, tern_text *yaml);

/* A name that lives as long as the probe; NULL: no memory. */
const char *tern_probe_name(tern_prober *p, const char *format, ...) TERN_PRINTF(2, 3);

/* Where results go that nobody needs, so that they are computed. */
extern _Thread_local volatile uint32_t tern_probe_sink;

/* The parts: each measures and keeps. */
tern_status tern_probe_rates(tern_prober *p);   /* probe_rates.c: instructions, and products of matrices */
tern_status tern_probe_caches(tern_prober *p);  /* probe_caches.c: latency by size */
tern_status tern_probe_memory(tern_prober *p);  /* probe_memory.c: bandwidths */
tern_status tern_probe_disk(tern_prober *p);    /* probe_system.c */
tern_status tern_probe_links(tern_prober *p);   /* probe_system.c: between threads */
tern_status tern_probe_kernels(tern_prober *p); /* probe_kernels.c: operators */
tern_status tern_probe_mpi(tern_prober *p);     /* probe_mpi.c: between ranks, each of which runs it */

#endif
