/* tern cost MODEL: bytes, time and energy of a language model before it is loaded. */
#ifndef TERN_CLI_COST_MODEL_H
#define TERN_CLI_COST_MODEL_H

#include "cli/cli.h"
#include "llm/account.h"

/* Whether the command line means a language model: a file, a name of one, a folder of Hugging Face, or a net of the zoo that is a
 * decoder with --context. */
bool tern_cost_means_model(const tern_cli *cli);
tern_status tern_cost_model(tern_cli *cli);

/* What --context, --chunk and --cache say; the account of the model that is named, in --format where that is given. */
tern_llm_options tern_cost_model_options(const tern_cli *cli);
tern_status tern_cost_open_account(const tern_cli *cli, const tern_llm_options *options,
                                   tern_llm_account **account);

#endif
