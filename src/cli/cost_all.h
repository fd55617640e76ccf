/* tern cost ALL, and costs as comma-separated values. */
#ifndef TERN_CLI_COST_ALL_H
#define TERN_CLI_COST_ALL_H

#include "cli/cli.h"

#define TERN_COST_ALL_OPTIONS                                                                                \
    {                                                                                                        \
        "csv", 0, TERN_FLAG, NULL, NULL,                                                                     \
            "print comma-separated values in plain units: a row for each net and machine, or, of serving, "  \
            "for each operator or value",                                                                    \
            NULL                                                                                             \
    }

/* Whether the command line means every net (ALL), or a net by rows of values (--csv). */
bool tern_cost_means_all(const tern_cli *cli);
/* Every net of the zoo and language model that is known by its shapes, or the one that is named, on every machine or the one of
 * --machine: a number, or the reason why there is none. */
tern_status tern_cost_all(tern_cli *cli);

#endif
