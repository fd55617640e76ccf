/* What tern eval consists of. */
#ifndef TERN_CLI_EVAL_H
#define TERN_CLI_EVAL_H

#include "cli/cli.h"
#include "train/delta.h"

/* --delta and --dense, on test samples (their mean and std are those of training), or on --video, which needs those only. */
tern_status tern_eval_delta(tern_cli *cli, tern_subject *subject, const tern_samples *test);

/* --metric emd, of an evaluation on showers. */
tern_status tern_eval_showers(tern_cli *cli, const tern_subject *subject, const tern_dataset *data,
                              const tern_evaluation *evaluation);

/* --perplexity: a language model on a text. */
tern_status tern_eval_text(tern_cli *cli);

/* --choices: a language model on multiple-choice questions. */
tern_status tern_eval_choices(tern_cli *cli);

#endif
