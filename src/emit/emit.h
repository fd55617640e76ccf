/* emit: a planned program leaves the computer, as C.
 *
 * What is written does the steps of the program in their order, at the planner's offsets of one arena, with the arithmetic
 * of the operators' definitions: the same bits as a session of a program that was planned with reference kernels. */
#ifndef TERN_EMIT_H
#define TERN_EMIT_H

#include "run/run.h"

/* What is written. */
typedef struct tern_emit_source {
    const tern_program *program; /* planned with reference kernels */
    tern_session *session; /* of the program, run at least once: what it prepares is written as constants */
    const char *name;      /* a C identifier: prefix of all that is visible */
    const char *about;     /* one line on where it comes from */
    const double *mean, *std; /* [channels] of images, or NULL */
    int channels;
} tern_emit_source;

/* Samples to check the C by: images as the net takes them, one behind the other, each shown `steps` times after init. */
typedef struct tern_emit_samples {
    const float *images;
    int count, steps;
} tern_emit_samples;

typedef struct tern_emit_target {
    const char *name, *about;
    bool hosted; /* main.c can also read images from a file, and measures time */
} tern_emit_target;
extern const tern_emit_target tern_emit_targets[]; /* name NULL at the end */

/* Bytes of the three kinds of memory. */
typedef struct tern_emit_sizes {
    size_t arena, state, weights;
} tern_emit_sizes;

/* Write <name>.c, <name>.h, main.c and Makefile into a folder, which is made if need be.  Nothing is written when the
 * program cannot be emitted: TERN_USAGE names the layer and the operator. */
tern_status tern_emit_folder(const tern_emit_source *source, const tern_emit_target *target,
                             const tern_emit_samples *samples, const char *folder);

/* ---- pieces ----------------------------------------------------------------------------------------------- */

void tern_emit_sizes_of(const tern_program *program, tern_emit_sizes *sizes);
tern_status tern_emit_code(const tern_emit_source *source, tern_text *code); /* <name>.c */
/* "static void name(const float *in0, .., float *out0) {..}" for a call as tern_emit describes it, and the functions that
 * the bodies of such functions call. */
tern_status tern_emit_function(const tern_call *call, const char *name, tern_emit *to);
void tern_emit_prelude(const tern_text *functions, tern_text *code);
void tern_emit_signature(const tern_emit_source *source, tern_text *text); /* of <name>_run, without ; */
char *tern_emit_capitals(char out[64], const char *name);                  /* prefix of macros */
tern_status tern_emit_main(const tern_emit_source *source, const tern_emit_target *target,
                           const tern_emit_samples *samples, tern_text *code); /* main.c */

#endif
