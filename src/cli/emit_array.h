/* tern emit --target verilog --machine: an array that runs a net layer by layer. */
#ifndef TERN_CLI_EMIT_ARRAY_H
#define TERN_CLI_EMIT_ARRAY_H

#include "cli/cli.h"
#include "emit/array.h"

tern_status tern_emit_array(tern_cli *cli, const char *name, const char *about, const tern_program *program,
                            tern_session *session, const tern_emit_samples *samples, const char *folder);

#endif
