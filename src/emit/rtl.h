/* A net of codes (NET-fixed) as logic: one block a layer, streams with valid and ready between them, weights in ROM.
 *
 * A block keeps the map that it reads twice (one is written while the other is read), and walks over output pixels, groups of
 * `pe` output channels and groups of `simd` operands, a step a cycle.  Maps are streams of pixels, channels innermost. */
#ifndef TERN_EMIT_RTL_H
#define TERN_EMIT_RTL_H

#include "emit/emit.h"
#include "op/fixed.h"

typedef enum tern_rtl_kind { TERN_RTL_PRODUCT, TERN_RTL_POOL } tern_rtl_kind;

/* What becomes of a sum, in this order. */
typedef struct tern_rtl_post {
    enum { TERN_RTL_SHIFT, TERN_RTL_AFFINE, TERN_RTL_THRESHOLDS } kind;
    tern_shift_op shift;
    int places;               /* of the shift, right */
    int high;                 /* thresholds of a channel */
    const int32_t *a, *b;     /* [channels] of an affine step; a: [channels, high] thresholds */
    int a_bits, b_bits, bits; /* of the operands and of the result; signed but for the last result */
    int hot;                  /* one-bits of a, at most; 0: any */
} tern_rtl_post;

enum { TERN_RTL_POSTS = 4, TERN_RTL_CODES = 4096 }; /* steps behind a sum, codes in a word of a stream */

typedef struct tern_rtl_layer {
    tern_rtl_kind kind;
    const char *name; /* of the layer */
    int in_c, in_h, in_w, out_c, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
    int in_bits, weight_bits, sum_bits, out_bits;
    bool in_positive, out_positive;
    const int32_t *weight;             /* [out_c, in_c, kernel_h, kernel_w] */
    const int32_t *bias;               /* [out_c], or NULL */
    int hot;                           /* one-bits of a weight, at most; 0: any */
    double in_low, in_high, low, high; /* what operands and results lie between */
    int format_bits;                   /* of a weight's word, whatever the weights are; 0: they have none */
    int bias_bits, bias_places; /* of a bias's word; it is shifted left so far onto the grid of the sums */
    tern_rtl_post post[TERN_RTL_POSTS];
    int posts;
    int pe, simd;
} tern_rtl_layer;

typedef struct tern_rtl {
    tern_rtl_layer *layers;
    int count;
    tern_arena arena;
} tern_rtl;

/* Makes the codes that go into the logic and come out of it outputs of an inference graph: "codes_in" and "codes_out".  Before
 * planning.  TERN_USAGE: the net is none of codes. */
#define TERN_RTL_IN  "codes_in"
#define TERN_RTL_OUT "codes_out"
tern_status tern_rtl_mark(tern_graph *graph);

/* The layers of the program of a marked graph, of one sample, whose session has run.  TERN_USAGE names a step that has no block.  Free with
 * tern_rtl_free. */
tern_status tern_rtl_open(tern_rtl *rtl, const tern_program *program, tern_session *session);
void tern_rtl_free(tern_rtl *rtl);

/* ---- folding and what it costs ---------------------------------------------------------------------------------------- */

int64_t tern_rtl_steps(const tern_rtl_layer *l); /* of one output: taps times operands over simd */
int64_t tern_rtl_cycles(const tern_rtl *rtl,
                        int i); /* of one sample in block i, waits for its successor's words included */
int64_t tern_rtl_interval(
    const tern_rtl *rtl); /* cycles between samples: the largest of all, and of the input's words */
int64_t
tern_rtl_latency(const tern_rtl *rtl); /* cycles from a sample's first word to its first result, alone */

/* pe and simd so that each block takes fewer than `cycles`, as far as divisors allow (FINN's rule: operands first, up to 36 bits
 * of weights). */
void tern_rtl_fold(tern_rtl *rtl, int64_t cycles);
/* "16:16,32:16,..": pe and simd of each product, pools follow. */
tern_status tern_rtl_fold_by(tern_rtl *rtl, const char *text);

/* What a net may take by the estimate, and how many cycles; infinite: as many as it likes. */
typedef struct tern_rtl_budget {
    double luts, bram18, dsp, interval, latency;
} tern_rtl_budget;
/* "luts=20000,interval=1024,..". */
tern_status tern_rtl_parse_budget(const char *text, tern_rtl_budget *budget);
/* Of all foldings that keep the budget the one with the least interval, or where one is given, the fewest look-up tables; of equal
 * ones that with the fewest look-up tables.  TERN_NO_FIT: there is none. */
tern_status tern_rtl_fold_best(tern_rtl *rtl, const tern_rtl_budget *budget);

/* Estimates before synthesis (rtl_cost.c has the formulas). */
typedef struct tern_rtl_cost {
    double luts, bram18, dsp;
} tern_rtl_cost;
tern_rtl_cost tern_rtl_cost_of(const tern_rtl_layer *l);
/* 18-kbit blocks of a memory of `depth` words; 0: it is small enough for look-up tables. */
double tern_rtl_bram18(double depth, double width);

/* ---- text ------------------------------------------------------------------------------------------------------------- */

int tern_rtl_word(const tern_rtl_layer *l,
                  bool out); /* bits of a stream word: results of pe, operands of simd */
void tern_rtl_block(const tern_rtl_layer *l, const char *name, int i, tern_text *t);
void tern_rtl_convert(const char *name, int i, int bits, int from, int to,
                      tern_text *t); /* words of other widths */
void tern_rtl_top(const tern_rtl *rtl, const char *name, tern_text *t);

/* Texts into files of a folder, which is made; all are freed.  Nothing is written where `status` or a text has failed. */
typedef struct tern_rtl_file {
    const char *name;
    tern_text text;
} tern_rtl_file;
tern_status tern_rtl_write_files(tern_rtl_file *files, int count, tern_status status, const char *folder);

/* What a form of logic adds to the Makefile of a circuit; what is NULL is left out. */
typedef struct tern_rtl_make {
    const char *also;      /* of the first line: what else can be made */
    const char *settings;  /* lines "NAME ?= value" */
    const char *build;     /* options of verilator */
    const char *arguments; /* of test benches, behind +samples */
    const char *runs;      /* lines: other simulations by iverilog */
    const char *lenient;   /* warnings that lint does without */
    const char *rules;     /* synthesis, and what else there is */
    const char *made;      /* by them: what clean removes */
    const char *phony;     /* of them */
} tern_rtl_make;
/* `pairs`: what stands for @name@, @version@, @samples@, @few@ and what the form's texts name. */
void tern_rtl_makefile(const tern_rtl_make *form, const char *const (*pairs)[2], tern_text *t);

/* <name>.v, <name>_tb.v, Makefile, input.hex and expected.hex into a folder; the expected words are what the host, `session`,
 * computes of `count` samples, one behind the other as the net takes them. */
tern_status tern_rtl_folder(const tern_rtl *rtl, const char *name, const char *about, tern_session *session,
                            const float *images, int count, const char *folder);

/* ---- synthesis -------------------------------------------------------------------------------------------------------- */

typedef enum tern_rtl_chip { TERN_RTL_XILINX, TERN_RTL_ICE40 } tern_rtl_chip; /* UltraScale+, iCE40 */

/* Cells of a module behind synthesis.  Look-up tables: those that are memories among them. */
typedef struct tern_rtl_cells {
    double luts, flip_flops, bram, dsp; /* bram: of 18 kbit, of an iCE40 of 4 kbit */
} tern_rtl_cells;

/* TERN_FAILED: yosys cannot be run; to be known before anything is written. */
tern_status tern_rtl_find_yosys(void);
/* Runs yosys on <folder>/<name>.v: cells[count + 1] of each block, and last of all that stands between them; count 0: of all together.
 * Leaves yosys-<chip>.txt (its statistics) and .log there.  TERN_FAILED: yosys is missing or has failed. */
tern_status tern_rtl_synthesise(const char *folder, const char *name, tern_rtl_chip chip,
                                tern_rtl_cells *cells, int count);
/* Of block i alone: the same cells, sooner where the others are not asked for.  Leaves yosys-<chip>-block<i>.txt and .log there. */
tern_status tern_rtl_synthesise_block(const char *folder, const char *name, tern_rtl_chip chip, int i,
                                      tern_rtl_cells *cells);
/* Of one module of <folder>/<name>.v, with its parameter BITS set where it is not 0: transistors of static CMOS gates of up to four inputs,
 * by four, which are gate equivalents; yosys counts 16 of a register.  Leaves yosys-<module>.txt and .log there. */
tern_status tern_rtl_synthesise_gates(const char *folder, const char *name, const char *module, int bits,
                                      double *gates);
/* The same of the text of yosys' command `stat`, which ends with 0. */
tern_status tern_rtl_read_cells(const char *text, const char *name, tern_rtl_cells *cells, int count);

#endif
