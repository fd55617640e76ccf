/* The recipe that the options of tern train describe. */
#ifndef TERN_CLI_TRAIN_RECIPE_H
#define TERN_CLI_TRAIN_RECIPE_H

#include "cli/cli.h"

/* Numbers of an option "5,4,3": at most `most`, each in low .. high; *count says how many. */
tern_status tern_cli_numbers(const tern_cli *cli, const char *name, double low, double high, double *out,
                             int most, int *count);

/* Options without effect are a misunderstanding. */
tern_status tern_recipe_check(const tern_cli *cli);

/* Nets of 16 bits learn by plain gradient descent: what is not said otherwise, is that. */
tern_status tern_recipe_plain(tern_cli *cli, const tern_net *net);

/* The recipe for training on these data. */
tern_status tern_recipe_read(const tern_cli *cli, const tern_dataset *data, tern_recipe *recipe);

#endif
