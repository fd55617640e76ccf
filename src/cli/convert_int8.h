/* Calibration and conversion to int8, for tern convert. */
#ifndef TERN_CLI_CONVERT_INT8_H
#define TERN_CLI_CONVERT_INT8_H

#include "cli/cli.h"

/* tern convert RUN --to int8: fills `to`, the store of NET-int8, from the run and the training samples of its data; prints
 * the formats unless quiet, and hands out a list of them. */
tern_status tern_convert_run_int8(tern_cli *cli, tern_subject *from, const tern_net *int8,
                                  const void *parameters, const tern_samples *train, tern_store *to,
                                  json_t **formats);

#endif
