/* Nets in bytes that learn, on the command line: what commands share. */
#ifndef TERN_CLI_LEARNING_H
#define TERN_CLI_LEARNING_H

#include "cli/cli.h"

#define TERN_UPDATE_OPTION                                                                                   \
    {                                                                                                        \
        "update", 0, TERN_TEXT, "PART,..", NULL,                                                             \
            "of a net in bytes, what learns: all, last=K (the last K layers with weights), bias=K (their "   \
            "biases), head (the last of them), LAYER or LAYER=SHARE (weights, of a share of the input "      \
            "channels); stochastic rounds "                                                                  \
            "at random, unscaled leaves quantisation-aware scaling out",                                     \
            NULL                                                                                             \
    }

/* What --update says, or `standard`. */
tern_status tern_update_of(const tern_cli *cli, const char *standard, tern_int8_update_plan *plan);

/* Open what the command names first: a run in bytes, or a TFLite file of bytes in the form that learns, with its weights. */
tern_status tern_learning_subject(const tern_cli *cli, tern_subject *s);
/* Pixels as the run was trained on them; of a file so that they become the bytes from -128 to 127, real numbers as they are. */
void tern_learning_normalise(tern_samples *samples, const tern_subject *s);
/* Such a net and the data that it was trained on, or of --data, with the same samples: *data says which.  asked: the option that
 * needs it.  Close both, after a failure too. */
tern_status tern_learning_open(tern_cli *cli, const char *asked, tern_dataset_options limits, tern_subject *s,
                               tern_dataset *d, const char **data);

struct tern_emit_target;
/* Whether the target has so many cores (--cores), and no floats of its own (--float). */
tern_status tern_emit_check_cores(const tern_cli *cli, const struct tern_emit_target *target);

tern_status tern_emit_learning(tern_cli *cli);  /* tern emit RUN-int8 --train */
tern_status tern_plan_learning(tern_cli *cli);  /* tern plan NET-int8 --train */
tern_status tern_search_update(tern_cli *cli);  /* tern search RUN-int8 --pass sparse-update */
tern_status tern_search_logic(tern_cli *cli);   /* tern search NET --pass logic */
tern_status tern_train_learning(tern_cli *cli); /* tern train RUN-int8 --update */

#endif
