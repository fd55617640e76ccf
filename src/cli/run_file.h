/* tern run NET.onnx or NET.tflite. */
#ifndef TERN_CLI_RUN_FILE_H
#define TERN_CLI_RUN_FILE_H

#include "cli/cli.h"

/* Runs the net of a file on an array (--data) or on noise, prints what its outputs are like, writes one of them (--out). */
tern_status tern_run_file(tern_cli *cli);

#endif
