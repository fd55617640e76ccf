/* tern plan --superpipeline: windows of layers, what they take, and which is worth it. */
#ifndef TERN_CLI_PLAN_WINDOWS_H
#define TERN_CLI_PLAN_WINDOWS_H

#include "cli/cli.h"
#include "run/measure.h"

/* Windows as a table: fast memory and time of each, `others` bytes being there beside the layers; `limit` of them all, 0: none.  *chosen is
 * the one that is worth it, {0} where none is small enough (which the table says too). */
tern_status tern_show_windows(const tern_cli *cli, const tern_windows *windows,
                              const tern_window_measured *measured, double others, double limit,
                              tern_window_choice *chosen, FILE *out);

/* Measures the lanes of a program on made inputs, and shows the table, or only the window that --superpipeline names. */
tern_status tern_plan_windows(const tern_cli *cli, const tern_program *program, tern_store *store);

#endif
