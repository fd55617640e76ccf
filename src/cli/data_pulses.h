/* What tern data makes, and fits. */
#ifndef TERN_CLI_DATA_PULSES_H
#define TERN_CLI_DATA_PULSES_H

#include "cli/cli.h"

tern_status tern_data_make(tern_cli *cli);
tern_status tern_data_fit(tern_cli *cli);
tern_status tern_data_fit_showers(tern_cli *cli);

#endif
