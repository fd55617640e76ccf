/* What `tern show` prints about a file of weights. */
#ifndef TERN_CLI_SHOW_MODEL_H
#define TERN_CLI_SHOW_MODEL_H

#include "cli/cli.h"

tern_status tern_show_model(const tern_cli *cli, const char *path);
/* --tokenize: a text as the tokens of a model file, a tokenizer.json or a tokenizer.model. */
tern_status tern_show_tokens(const tern_cli *cli, const char *path);

#endif
