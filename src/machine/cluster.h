/* cluster: cores that take one instruction a cycle, share floating-point units and a near memory, and are fed by a DMA engine
 * from a far one (PULP: Rossi et al., JSSC 2022; Nadalini et al., FGCS 2023).  What a step costs follows from the instructions
 * of its kernels, as PULP-TrainLib's sources have them (CHW), and from how often they wait: a load's result comes a cycle late, cores
 * that share a unit or meet at a bank of memory take turns.  Nothing is fitted to a published figure. */
#ifndef TERN_MACHINE_CLUSTER_H
#define TERN_MACHINE_CLUSTER_H

#include "machine/machine.h"

/* Per cycle: multiply-adds of the units in f32, and in 16 bits as often as an instruction has lanes; words that the near memory
 * gives, bytes that come from the far one. */
typedef struct tern_cluster {
    const tern_machine *machine;
    int cores;
    double clock, units, words, dma, near_bytes, fork; /* fork: cycles until all cores have begun */
} tern_cluster;
/* TERN_USAGE: the machine has no unit of several cores with a clock and f32, or not two memories. */
tern_status tern_cluster_of(const tern_machine *machine, tern_cluster *cluster);

/* `times` products C[n,m] = A[n,k] B[k,m]; of elements that are copied first: windows of an image (B), weights that are turned
 * (A).  `bytes` come from the far memory or go there. */
typedef struct tern_cluster_task {
    int64_t times, n, k, m;
    bool windows, turned;
    bool depthwise;   /* each product is a channel with a kernel of its own: no windows are made */
    bool forward;     /* else a gradient */
    bool back;        /* .. of x: windows are those of dy, with its borders */
    bool padded;      /* windows reach over the image's borders */
    int64_t channels; /* of the image that windows are of, which cores share */
    double bytes;
    int lanes; /* elements of a word: 2 of 16 bits, 1 of f32 */
} tern_cluster_task;

typedef struct tern_cluster_run {
    const char *kernel;              /* the one with the fewest cycles */
    const char *bound;               /* cores, FPU, L1 or DMA */
    bool by_columns;                 /* cores share columns of C, else rows, or whole products */
    double cores, units, words, dma; /* cycles of each, if it were alone */
    double cycles, macs;
} tern_cluster_run;
/* TERN_NO_FIT: not even a row of A and a column of B fit into the near memory, twice. */
tern_status tern_cluster_product(const tern_cluster *cluster, const tern_cluster_task *task,
                                 tern_cluster_run *run);
/* What is done element by element: a word is loaded, worked on and stored. */
void tern_cluster_elements(const tern_cluster *cluster, double elements, double bytes, int lanes,
                           tern_cluster_run *run);

#endif
