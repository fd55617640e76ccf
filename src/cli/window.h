/* --superpipeline K,M: windows of layers, as several commands take them. */
#ifndef TERN_CLI_WINDOW_H
#define TERN_CLI_WINDOW_H

#include "cli/cli.h"
#include "run/pager.h"

/* The window that is asked for; 0: none is, or --superpipeline auto. */
tern_status tern_cli_window(const tern_cli *cli, int *window, int *moved, bool *slack);

/* "weights in windows of 4 of 32 layers, .." */
void tern_pager_summary(const tern_pager_report *report, FILE *out);

#endif
