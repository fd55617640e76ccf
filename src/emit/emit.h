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
    double scale; /* of images of bytes: scale (q - zero) is a pixel as it is normalised; else 0 */
    int zero;
    bool
        learns; /* a training step (tern_pass_int8_learn): the session has not run yet, parameters begin as they are there */
    int cores;        /* that share steps, of boards with several; 0 or 1: one */
    bool fast_floats; /* of boards without floats: soft_float.c in place of the compiler's library */
} tern_emit_source;

/* Samples to check the C by: images as the net takes them, one behind the other, each shown `steps` times after init. */
typedef struct tern_emit_samples {
    const void *images;    /* [count, ..] in the format of the net's input */
    const int32_t *labels; /* [count] classes, or NULL */
    int count, steps;
    const float *rates; /* [count], of a training step: each sample is one, with a label and a rate */
    int held;           /* of those: the first and the last so many have rate 0; their mean losses are told */
} tern_emit_samples;

/* A board that is emulated: how it is compiled for, and where its memory is. */
typedef struct tern_emit_board {
    const char *compiler, *compiler_package, *flags; /* packages are Debian's */
    const char *emulator, *emulator_package, *machine;
    unsigned flash_at, ram_at;
    size_t flash_bytes, ram_bytes; /* that the board has */
} tern_emit_board;

typedef struct tern_emit_target {
    const char *name, *about;
    bool hosted;                  /* main.c can also read images from a file, and measures time */
    const tern_emit_board *board; /* NULL: main.c runs here */
    bool logic;                   /* Verilog (rtl.h), no C */
    int cores;                    /* that its emulator has; 0: one */
} tern_emit_target;
extern const tern_emit_target tern_emit_targets[]; /* name NULL at the end */

/* Bytes of the three kinds of memory. */
typedef struct tern_emit_sizes {
    size_t arena, state, weights;
} tern_emit_sizes;

/* Memory that a net on a board may use, bytes; the stack is part of the RAM. */
typedef struct tern_emit_limits {
    size_t ram, flash, stack;
} tern_emit_limits;

/* Write <name>.c, <name>.h, main.c and Makefile into a folder, which is made if need be; for a board also its start-up
 * code, the linker script that enforces `limits` (else unused), and the samples as files.  Nothing is written when the
 * program cannot be emitted: TERN_USAGE names the layer and the operator, TERN_NO_FIT what is too large. */
tern_status tern_emit_folder(const tern_emit_source *source, const tern_emit_target *target,
                             const tern_emit_limits *limits, const tern_emit_samples *samples,
                             const char *folder);

/* What a board says of a sample, in QEMU. */
typedef struct tern_emit_result {
    int samples, equal;  /* equal: with the bits that are expected */
    double instructions; /* of all cores */
    double busiest;      /* of several cores: those of the busiest, */
    double slowest,
        parts; /* the sum over parts that cores share of the slowest's, and how many such parts there are */
} tern_emit_result;
/* make run in a folder of a board.  TERN_FAILED: make, the compiler or the emulator fails; what they say is in run.log there. */
tern_status tern_emit_run(const char *folder, tern_emit_result *result);

/* ---- pieces ----------------------------------------------------------------------------------------------- */

/* Where in the arena of one core the image of a training step, or of a run that keeps no state, may lie until it was read for the last time;
 * false: nowhere. */
bool tern_emit_room(const tern_emit_source *source, size_t *offset);
const char *tern_emit_type(tern_dtype dtype); /* "float", "int8_t"; NULL: not emitted */
void tern_emit_sizes_of(const tern_program *program, tern_emit_sizes *sizes);
tern_status tern_emit_code(const tern_emit_source *source, tern_text *code); /* <name>.c */
/* "static void name(const float *in0, .., float *out0) {..}" for a call as tern_emit describes it, and the functions that
 * the bodies of such functions call. */
tern_status tern_emit_function(const tern_call *call, const char *name, tern_emit *to);
void tern_emit_prelude(const tern_text *functions, tern_text *code);
/* The node that asks for rows of the image instead of being given all of it; NULL: there is none. */
const tern_node *tern_emit_streamer(const tern_emit_source *source);
void tern_emit_signature(const tern_emit_source *source,
                         tern_text *text);                /* of <name>_run or _train_step, without ; */
char *tern_emit_capitals(char out[64], const char *name); /* prefix of macros */
tern_status tern_emit_main(const tern_emit_source *source, const tern_emit_target *target,
                           const tern_emit_samples *samples, tern_text *code); /* main.c */
/* Of what learns, here or on a board: main.c, and what it reads: calls.bin (image, label, rate, number of each step) and
 * expected.bin (loss, logits, and a hash of all that has been learned). */
tern_status tern_emit_train_main(const tern_emit_source *source, const tern_emit_target *target,
                                 const tern_emit_samples *samples, tern_text *code);
tern_status tern_emit_train_files(const tern_emit_source *source, const tern_emit_samples *samples,
                                  tern_text *calls, tern_text *expected);
bool tern_emit_is_state(const tern_program *program, int value);
size_t tern_emit_state_offset(const tern_program *program, int value); /* its place among the states */

/* Runs arguments[0] in a folder and waits; what it says goes into `log` there.  package: what installs it. */
tern_status tern_emit_tool(const char *folder, char *const arguments[], const char *log, const char *package);

/* A prefix: the one that is given (or NULL), else the net's with _ for -.  TERN_USAGE: it is no name in C. */
tern_status tern_emit_name(char out[64], const char *given, const char *net);
tern_status tern_emit_ends(const tern_emit_source *source, tern_value *image, tern_value *logits);
tern_status tern_emit_compute(const tern_emit_source *source, const tern_emit_samples *samples, int s,
                              tern_tensor *out); /* valid until the next run */

/* Steps that several cores share (spread.c): whether a body of an operator says which part is a core's, whether cores meet in
 * it, the body for so many cores, and the functions that it calls then. */
bool tern_emit_is_shared(const char *body);
bool tern_emit_meets(const char *body);
void tern_emit_spread(const char *body, int cores, tern_text *to);
extern const char tern_emit_cores_text[];
extern const char tern_emit_cores_board[],
    tern_emit_cores_told[]; /* of main.c on a board, and in its result.json */

/* Of boards: whether memory suffices (of code only the weights are known here; the linker sees the rest), what main.c adds
 * to the net's memory, and the files. */
tern_status tern_emit_fits(const tern_emit_source *source, const tern_emit_target *target,
                           const tern_emit_limits *limits);
size_t tern_emit_bench_bytes(const tern_emit_source *source);
void tern_emit_board_files(tern_text *board_h, tern_text *board_c);
void tern_emit_soft_float(tern_text *text); /* soft_float.c */
void tern_emit_link_script(tern_text *script);
void tern_emit_board_build(const tern_emit_source *source, const tern_emit_target *target,
                           const tern_emit_limits *limits, tern_text *script, tern_text *make);
tern_status tern_emit_bench(const tern_emit_source *source, const tern_emit_target *target,
                            const tern_emit_samples *samples, tern_text *t); /* main.c */
tern_status tern_emit_bench_files(const tern_emit_source *source, const tern_emit_samples *samples,
                                  tern_text *images, tern_text *expected, tern_text *labels);
/* Text with "@key@" replaced by pairs[i] = {key, value}, {NULL, NULL} behind the last. */
void tern_emit_fill(tern_text *t, const char *text, const char *const (*pairs)[2]);

#endif
