/* Spike rates that tern eval measured in a run. */
#ifndef TERN_CLI_MEASURED_H
#define TERN_CLI_MEASURED_H

#include "cli/cli.h"
#include "machine/machine.h"

/* The accumulates of each task become those that were measured for its layer, of so many samples (0: of all that were evaluated),
 * spread over its steps in the proportion of the counted work.  *evaluation, unless NULL: the document, the caller's to release. */
tern_status tern_take_measured(const char *folder, double samples, tern_task_work *tasks, int count,
                               json_t **evaluation);

#endif
