/* tern plan --method: a plan in which tensors leave a small memory and return, replayed, and executed when asked. */
#ifndef TERN_CLI_PLAN_MOVES_H
#define TERN_CLI_PLAN_MOVES_H

#include "cli/cli.h"
#include "plan/cosma.h"

tern_status tern_plan_moves(const tern_cli *cli, const tern_program *program,
                            const tern_plan_options *options);
/* Elements for the inputs of a graph, some bits each; the caller frees them. */
tern_status tern_made_inputs(const tern_graph *graph, tern_bundle *inputs);

#endif
