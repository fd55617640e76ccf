/* tern convert MODEL --format: a model file in another number format. */
#ifndef TERN_CLI_CONVERT_MODEL_H
#define TERN_CLI_CONVERT_MODEL_H

#include "cli/cli.h"

tern_status tern_convert_model(tern_cli *cli);

#endif
