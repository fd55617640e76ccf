/* tern simulate on a machine of event cores. */
#ifndef TERN_CLI_SIMULATE_CORES_H
#define TERN_CLI_SIMULATE_CORES_H

#include "cli/cli.h"
#include "machine/machine.h"
#include "plan/plan.h"

/* Maps the program's neurons to the cores of the machine, runs a sample with the rates that were measured in the run's folder
 * (NULL: assumed by --density), and prints. */
tern_status tern_simulate_cores(const tern_cli *cli, const tern_machine *machine, const tern_program *program,
                                const char *folder);

#endif
