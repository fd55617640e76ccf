/* What training tells about gradients of two rules. */
#ifndef TERN_CLI_COSINES_H
#define TERN_CLI_COSINES_H

#include "cli/cli.h"

/* Cosines before and after training; NULL, or nothing, where there are none. */
json_t *tern_cosines_json(const tern_cosines cosines[2]);
tern_status tern_print_cosines(const tern_cosines cosines[2]);

#endif
