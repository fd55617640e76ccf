/* tern run NET.onnx. */
#ifndef TERN_CLI_RUN_ONNX_H
#define TERN_CLI_RUN_ONNX_H

#include "cli/cli.h"

/* Runs an ONNX file on an array (--data) or on noise, prints what its outputs are like, writes one of them (--out). */
tern_status tern_run_onnx(tern_cli *cli);

#endif
