/* What `tern show` prints about a file of weights. */
#ifndef TERN_CLI_SHOW_MODEL_H
#define TERN_CLI_SHOW_MODEL_H

#include "cli/cli.h"

tern_status tern_show_model(const tern_cli *cli, const char *path);
/* --tokenize: a text as the tokens of a model file, a tokenizer.json or a tokenizer.model. */
tern_status tern_show_tokens(const tern_cli *cli, const char *path);
/* --embed: a text as one vector, by an encoder. */
tern_status tern_show_embedding(const tern_cli *cli, const char *path);
/* --outliers: columns of activations that hold outliers, over the first 4096 tokens of a file. */
tern_status tern_show_outliers(const tern_cli *cli, const char *path);

#endif
