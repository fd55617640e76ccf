/* tern run MODEL -p TEXT --beams N */
#ifndef TERN_CLI_RUN_BEAMS_H
#define TERN_CLI_RUN_BEAMS_H

#include "cli/language.h"

/* The likeliest texts behind the prompt, printed as wholes. */
tern_status tern_run_beams(tern_language *language, const tern_tokens *prompt);

#endif
