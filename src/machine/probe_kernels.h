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
    int64_t times;             /* of a run */
    int64_t far_times, far_at; /* of a run with far operands, and the copy that comes next */
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
    char *far_operands,
        *far_results; /* copies of them over more than the near caches; NULL: there are none */
    size_t far_operand_bytes, far_result_bytes;
    bool far_numbers; /* nothing but numbers lies in far_operands */
} tern_bench;

/* The last node of the graph that computes becomes a subject; takes the graph.  density: of spikes in its operands. */
tern_status tern_bench_take(tern_bench *bench, tern_graph *graph, double density);

/* Adds all that is to be measured; bench->status has the first failure. */
void tern_bench_fill(tern_bench *bench);

/* Numbers between -1 and 1, quickly. */
void tern_bench_numbers(float *numbers, size_t count);
/* Calls the subject's kernel once. */
void tern_bench_call(const tern_subject *subject);
/* Its operands and result are the near ones. */
void tern_bench_place(const tern_bench *bench, tern_subject *subject);

/* Memory for the copies of all subjects, where the computer has near caches (probe_far.c). */
tern_status tern_bench_take_far(tern_bench *bench);
/* Seconds of a call whose operands, copies of what lies in bench->operand, only the last cache has. */
double tern_bench_far_run(tern_bench *bench, tern_subject *subject);

#endif
