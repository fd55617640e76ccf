/* tern simulate: one program on one machine, by what the machine is made of. */
#ifndef TERN_CLI_SIMULATE_H
#define TERN_CLI_SIMULATE_H

#include "cli/cli.h"
#include "machine/machine.h"
#include "plan/plan.h"

typedef struct tern_simulate_ask {
    const tern_cli *cli;
    const tern_machine *machine;
    const tern_program *program;
    const char *folder; /* of a run, with measured spike rates; NULL: a net */
    double density;     /* of spikes, where they were not measured */
    json_t **total;     /* the sums as an object, the caller's to release; NULL: print all */
} tern_simulate_ask;

/* Cycles of a systolic array; of cores that share floating-point units, for nets of 16 bits; time steps of event cores; a
 * roofline over caches. */
tern_status tern_simulate_array(const tern_simulate_ask *ask);
tern_status tern_simulate_cluster(const tern_simulate_ask *ask);
bool tern_simulate_is_cluster(const tern_program *program); /* whether it has products of 16 bits */
tern_status tern_simulate_cores(const tern_simulate_ask *ask);
tern_status tern_simulate_caches(const tern_simulate_ask *ask);

#endif
