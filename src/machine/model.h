/* What the roofline of cost.c and the walk of simulate.c share: which unit does an operation, and where the bytes are. */
#ifndef TERN_MACHINE_MODEL_H
#define TERN_MACHINE_MODEL_H

#include "machine/machine.h"

typedef struct tern_choice {
    const tern_unit *unit; /* NULL: none can */
    tern_dtype dtype;
    double seconds, joules; /* an operation */
} tern_choice;

/* The fastest unit for an operation; one that has the wanted format wins over others, and among those that lack it fractions
 * over integers. */
tern_choice tern_machine_choose(const tern_machine *m, tern_operation operation, tern_dtype wanted);

/* The format in which a unit with these rates would run; TERN_DTYPES when it can't. */
tern_dtype tern_machine_format(const double *rates, tern_dtype wanted);

typedef struct tern_placement {
    const tern_tier *weights, *activations;
} tern_placement;

/* The nearest memories that hold everything: activations first, then weights in what is left or in a farther one.  False
 * with the reason when there are none. */
bool tern_machine_place(const tern_machine *m, const tern_cost_query *q, tern_placement *p, char reason[256]);

/* A task by the roofline of each unit, start of the operator and standing power included. */
tern_task_cost tern_machine_task(const tern_machine *m, const tern_placement *p, const tern_task_work *t,
                                 double *compute_joules, double *memory_joules);

/* Bytes per second that a memory sustains. */
double tern_tier_rate(const tern_tier *tier);

/* Power that flows whatever is computed, W. */
double tern_machine_standing_power(const tern_machine *m);

#endif
