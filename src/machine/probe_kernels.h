/* The kernels that the probe measures: what they are (probe_classes.c), and how they are measured (probe_kernels.c). */
#ifndef TERN_MACHINE_PROBE_KERNELS_H
#define TERN_MACHINE_PROBE_KERNELS_H

#include "machine/prober.h"

#include "op/op.h"

enum { MOST_KERNELS = 1200, MOST_OPERANDS = 5 };

/* An operator that is to be measured. */
typedef struct tern_subject {
    tern_graph *graph;
    tern_call call;
    const tern_fast *fast; /* NULL: the definition runs */
    tern_tensor operands[2 * MOST_OPERANDS];
    double densities[MOST_OPERANDS];
    tern_task_work task;
    char class[64];
    int64_t times; /* of a run */
    double runs[TERN_PROBE_RUNS], far_runs[TERN_PROBE_RUNS];
} tern_subject;

typedef struct tern_bench {
    tern_prober *p;
    tern_subject *subjects;
    int count, seen;    /* seen: with those that are left out */
    tern_status status; /* the first failure of adding */
    size_t memory[MOST_OPERANDS], result_bytes, scratch;
    char *operand[MOST_OPERANDS], *result, *room;
    double filled_density; /* of the bits in operand 0; < 0: it holds numbers */
    char *sweep;           /* [sweep_bytes], or NULL: what is read to move operands out of the near caches */
    size_t sweep_bytes;
    double clock_seconds; /* that asking for the time takes */
} tern_bench;

/* The last node of the graph that computes becomes a subject; takes the graph.  density: of spikes in its operands. */
tern_status tern_bench_take(tern_bench *bench, tern_graph *graph, double density);

/* Adds all that is to be measured; bench->status has the first failure. */
void tern_bench_fill(tern_bench *bench);

#endif
