/* Commands that proofs run: simulators, synthesis, emulators. */
#ifndef TERN_PROOF_COMMAND_H
#define TERN_PROOF_COMMAND_H

#include "proof.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

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

/* Runs a command line and keeps what it prints, at most size - 1 bytes; its exit status, or -1. */
static inline int proof_output(const char *line, char *out, size_t size)
{
    FILE *pipe = popen(line, "r");
    if (!pipe) return -1;
    size_t used = fread(out, 1, size - 1, pipe);
    out[used] = 0;
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The number behind "name": in a line of JSON; not a number where there is none. */
static inline double proof_json_number(const char *json, const char *name)
{
    char key[64];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(json, key);
    return at ? strtod(at + strlen(key), NULL) : NAN;
}

static inline bool proof_installed(const char *name)
{
    char line[128], out[PROOF_LINE];
    snprintf(line, sizeof line, "command -v %s", name);
    return proof_command(line, "/", out) == 0;
}

#endif
