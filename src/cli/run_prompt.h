/* tern run MODEL -p TEXT */
#ifndef TERN_CLI_RUN_PROMPT_H
#define TERN_CLI_RUN_PROMPT_H

#include "cli/language.h"

tern_status tern_run_prompt(tern_cli *cli);

#endif
