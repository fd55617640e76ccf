/* A net of bytes along time on an array that runs one layer after the other, as the registers of each say (PulseDL-II, arXiv
 * 2209.00884): processing elements on different output channels, each of some arithmetic units whose products are summed,
 * read the same window of the input.
 *
 * Maps lie in two feature memories position by position, channels innermost, so that what a convolution sees of a position is
 * one run of bytes; of a transposed one each phase is such a run, with the taps that meet it. */
#ifndef TERN_EMIT_ARRAY_H
#define TERN_EMIT_ARRAY_H

#include "emit/emit.h"

typedef enum tern_array_kind {
    TERN_ARRAY_CONV,
    TERN_ARRAY_TRANSPOSED,
    TERN_ARRAY_DENSE, /* a convolution as long as its input */
    TERN_ARRAY_SUM,   /* of two maps, byte by byte */
} tern_array_kind;

typedef struct tern_array_layer {
    tern_array_kind kind;
    const char *name;
    int in_c, in_l, out_c, out_l, kernel, stride, pad;
    int source, second, destination; /* of maps: activation, and 0x10000 for the second memory */
    int zero_x, zero_second, zero_y, low, high;
    bool wide;            /* results of 16 bits */
    const int8_t *weight; /* [out_c, in_c, kernel] */
    const int32_t *bias;  /* [phases, out_c] */
    uint32_t *
        scale; /* [out_c]; of sums [3], of both operands and the result: shift << 16 | multiplier of 16 bits */
    int shift;                   /* that all channels share, beside their own */
    int weights, biases, scales; /* where its words begin */
} tern_array_layer;

typedef struct tern_array {
    tern_array_layer *layers;
    int count, elements, units; /* P and U, powers of two */
    int bytes; /* of an activation: with 2, each step takes two cycles, lower halves and upper ones */
    int input, input_bytes, output, output_bytes, memory; /* maps as above; activations of a feature memory */
    int weight_words, bias_words, scale_words;
    tern_arena arena;
} tern_array;

#define TERN_ARRAY_IN  "codes_in"
#define TERN_ARRAY_OUT "codes_out"
/* Makes the bytes (or 16 bits) that go in and the codes that come out outputs of an inference graph, before planning.  TERN_USAGE:
 * the net is not one of bytes. */
tern_status tern_array_mark(tern_graph *graph);

/* The layers of the program of a marked graph, of one sample, whose session has run.  TERN_USAGE names a layer that the array
 * cannot run, and why; TERN_NO_FIT what is too large.  Free with tern_array_free. */
tern_status tern_array_open(tern_array *array, const tern_program *program, tern_session *session,
                            int elements, int units);
void tern_array_free(tern_array *array);

/* What follows from a layer's shape. */
typedef struct tern_array_steps {
    int phases, first_phase, window, steps, groups, begin, advance;
} tern_array_steps;
tern_array_steps tern_array_steps_of(const tern_array *array, const tern_array_layer *layer);

/* Writes of a layer's registers in their order; how many. */
enum { TERN_ARRAY_REGISTERS = 29 };
typedef struct tern_array_write {
    uint32_t at, value;
} tern_array_write;
int tern_array_program(const tern_array *array, const tern_array_layer *layer,
                       tern_array_write writes[TERN_ARRAY_REGISTERS]);

double tern_array_cycles(const tern_array *array,
                         const tern_array_layer *layer); /* from its start to its end */
double
tern_array_total(const tern_array *array); /* of a sample, writes of registers included, two cycles each */

/* ---- text ----------------------------------------------------------------------------------------------------------- */

void tern_array_verilog(const tern_array *array, const char *name, const char *about, int samples,
                        tern_text *net, tern_text *bench, tern_text *make);
void tern_array_driver(const tern_array *array, const char *name, tern_text *header, tern_text *code,
                       tern_text *main);
/* <name>.v, <name>_tb.v, the contents of its memories, register program, samples and what the host computes of them, driver and
 * Makefile into a folder. */
tern_status tern_array_folder(const tern_array *array, const char *name, const char *about,
                              tern_session *session, const float *images, int64_t size, int count,
                              const char *folder);

#endif
