/* A net on a processor with caches, operator by operator: a roofline in which each operand comes from the nearest memory that
 * still has it. */
#ifndef TERN_CACHES_H
#define TERN_CACHES_H

#include "machine/machine.h"

/* What a task reads or writes of one tensor.  distance: bytes of all different tensors, and of scratch memory, that were touched
 * since the tensor was last, itself among them (of what is written: until it is read); INFINITY: nothing here has touched it. */
typedef struct tern_access {
    int task;
    double bytes, distance;
    bool written, weights;
    int from; /* of what is read: 1 + the task that wrote it in this run; 0: none did */
} tern_access;

typedef struct tern_cache_run {
    double seconds, compute_seconds, memory_seconds, joules;
    double bytes[TERN_MACHINE_PARTS]; /* that each memory serves; nearer ones pass them on */
    const char
        *bound; /* "compute", "launch", or the memory that limits; of all: what bounds most of the time */
} tern_cache_run;

/* runs[query->count]; TERN_NO_FIT where the memories or units can't. */
tern_status tern_machine_caches(const tern_machine *machine, const tern_cost_query *query,
                                const tern_access *accesses, int count, tern_cache_run *total,
                                tern_cache_run *runs);

#endif
