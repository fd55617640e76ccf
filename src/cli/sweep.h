/* --sweep NAME=A..B: several values of a figure of a machine or of a number of the command. */
#ifndef TERN_CLI_SWEEP_H
#define TERN_CLI_SWEEP_H

#include "cli/cli.h"
#include "machine/machine.h"

/* A number of the command that may be swept, at an offset of its plan; whole numbers are int there, others double. */
typedef struct tern_sweep_number {
    const char *name;
    size_t offset;
    bool fraction;
} tern_sweep_number;

/* One figure and its values. */
typedef struct tern_sweep {
    char name[128]; /* as given */
    bool machine;
    const tern_sweep_number *number; /* of a plan, where it is not of a machine */
    tern_machine_field field;
    char unit[24];          /* of the values as given; "" */
    double *values, *shown; /* [count]; shown: in that unit */
    int count;
} tern_sweep;

enum { TERN_MOST_SWEEPS = 4 };
typedef struct tern_sweeps {
    tern_sweep sweeps[TERN_MOST_SWEEPS];
    int count;
    int at[TERN_MOST_SWEEPS]; /* the point */
} tern_sweeps;

/* All --sweep of the command line; figures "machine.." are of `machine`. */
tern_status tern_sweeps_read(tern_sweeps *sweeps, const tern_cli *cli, tern_machine *machine,
                             const tern_sweep_number *numbers, size_t number_count);
void tern_sweeps_free(tern_sweeps *sweeps);
/* The values of the point: figures into the machine, numbers into the plan. */
void tern_sweeps_set(const tern_sweeps *sweeps, void *plan);
/* Whether two plans have the same numbers where these are swept. */
bool tern_sweeps_same(const tern_sweeps *sweeps, const void *plan, const void *other);
/* The next point, the last sweep's values first; false: there is none. */
bool tern_sweeps_next(tern_sweeps *sweeps);
/* "name,name," or "name|name|"; and the values of the point, plain, or as given with their unit. */
void tern_sweeps_head(const tern_sweeps *sweeps, bool csv, char out[512]);
void tern_sweeps_row(const tern_sweeps *sweeps, bool csv, char out[256]);

#endif
