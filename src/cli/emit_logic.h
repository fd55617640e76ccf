/* tern emit --target verilog: a block a layer, or (--reloadable) weights in registers. */
#ifndef TERN_CLI_EMIT_LOGIC_H
#define TERN_CLI_EMIT_LOGIC_H

#include "cli/cli.h"
#include "emit/emit.h"

/* A net in integers, planned, whose session has run, and where it goes. */
typedef struct tern_logic_job {
    tern_cli *cli;
    const char *name, *about, *folder;
    const tern_program *program;
    tern_session *session;
    const tern_store *store;
    const tern_emit_samples *samples;
} tern_logic_job;

tern_status tern_emit_logic(const tern_logic_job *job);
/* The second weights are those of --weights (emit_reloadable.c). */
tern_status tern_emit_reloadable(const tern_logic_job *job);

#endif
