/* config: what config.json of a run folder says. */
#ifndef TERN_CLI_CONFIG_H
#define TERN_CLI_CONFIG_H

#include "cli/cli.h"

/* Net, data, how pixels are normalised, and the command line; a new reference. */
json_t *tern_config_json(const tern_cli *cli, const char *command, const tern_net *net,
                         const void *parameters, const tern_dataset *dataset);

#endif
