/* Classic learners on the command line: what is fitted, here or by scikit-learn, becomes a run folder. */
#ifndef TERN_CLI_LEARNER_H
#define TERN_CLI_LEARNER_H

#include "classic/classic.h"
#include "cli/cli.h"

/* tern convert FILE.json; whether that is what the argument names. */
bool tern_is_learner(const char *path);
tern_status tern_convert_learner(tern_cli *cli);

/* tern train NET, of a classic net. */
tern_status tern_train_learner(tern_cli *cli);

#endif
