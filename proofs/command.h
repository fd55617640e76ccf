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

/* Look-up tables and DSP blocks that yosys makes of a module of path/file; -1: yosys failed. */
static inline double proof_synthesised(const char *path, const char *file, const char *top, int *dsp)
{
    char line[PROOF_LINE], buffer[PROOF_LINE], kind[64];
    double luts = 0, count;
    snprintf(line, sizeof line,
             "cd %s && yosys -p 'read_verilog %s; synth_xilinx -top %s -family xcup -flatten "
             "-noiopad; stat' 2>&1",
             path, file, top);
    FILE *pipe = popen(line, "r");
    *dsp = 0;
    while (pipe && fgets(buffer, sizeof buffer, pipe)) {
        if (strstr(buffer, "Number of cells")) luts = 0, *dsp = 0; /* the last table counts */
        if (sscanf(buffer, " %63s %lf", kind, &count) != 2) continue;
        if (strncmp(kind, "LUT", 3) == 0) luts += count;
        if (strncmp(kind, "RAM", 3) == 0) luts += 2 * count; /* memories in look-up tables */
        if (strncmp(kind, "DSP", 3) == 0) *dsp += (int)count;
    }
    return pipe && pclose(pipe) == 0 ? luts : -1;
}

#endif
