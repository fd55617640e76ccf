/* Commands that proofs run: simulators, synthesis, emulators. */
#ifndef TERN_PROOF_COMMAND_H
#define TERN_PROOF_COMMAND_H

#include "proof.h"

#include <stdio.h>
#include <string.h>

enum { PROOF_LINE = 512 };

/* The last line of a command's output that has a text in it; its exit status, or -1. */
static inline int proof_command(const char *line, const char *text, char out[PROOF_LINE])
{
    FILE *pipe = popen(line, "r");
    char buffer[PROOF_LINE];
    *out = 0;
    while (pipe && fgets(buffer, sizeof buffer, pipe))
        if (strstr(buffer, text)) memcpy(out, buffer, sizeof buffer);
    return pipe ? pclose(pipe) : -1;
}

static inline bool proof_installed(const char *name)
{
    char line[128], out[PROOF_LINE];
    snprintf(line, sizeof line, "command -v %s", name);
    return proof_command(line, "/", out) == 0;
}

#endif
