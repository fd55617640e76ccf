/* A net of codes as logic that takes a sample every cycle and whose weights can be loaded: a product for each weight and result, one stage of
 * registers a layer, weights and biases in one chain of registers, and with `tmr` three copies of all registers, with votes that mend them. */
#ifndef TERN_EMIT_RTL_PARALLEL_H
#define TERN_EMIT_RTL_PARALLEL_H

#include "emit/rtl.h"
#include "train/train.h"

/* Bits of the chain: weights, then biases, layer by layer, each with the bits of its format. */
int64_t tern_rtl_chain(const tern_rtl *rtl);
/* Bits of a signed word that holds the sums of a layer, whatever is loaded: what `low` and `high` are set to. */
int tern_rtl_worst_sum(const tern_rtl_layer *l, double *low, double *high);
/* Bits of a result: of the cast behind the sum, or of the sum itself. */
int tern_rtl_result_bits(const tern_rtl_layer *l);

/* What a circuit takes, before synthesis (docs/commands/emit.md has the formulas).  Gates are equivalents of two-input NANDs. */
typedef struct tern_rtl_gates {
    double dots;          /* products, their sums, casts */
    double registers;     /* one copy of them */
    double loading;       /* what moves the chain of weights on */
    double redundancy;    /* two more copies, and votes */
    double register_bits; /* of all copies */
    double area;          /* mm^2 of a 65 nm low-power process */
    double energy;        /* J of a sample */
} tern_rtl_gates;
/* `activity`: the share of the bits of codes that change from sample to sample. */
tern_rtl_gates tern_rtl_gates_of(const tern_rtl *rtl, bool tmr, double activity);
/* Of one result of a layer. */
double tern_rtl_dot_gates(const tern_rtl_layer *l);

/* What there are `count` of in the circuit, and the gates of one: modelled, and of yosys. */
typedef struct tern_rtl_part {
    const char *what, *layer; /* "a result of", and of which layer or NULL */
    double count, modelled, found;
} tern_rtl_part;
/* parts[rtl->count + 2]: a result of each layer, a bit of the chain of weights with what moves and mends it, and a bit of the registers behind a
 * layer; each is synthesised alone from the circuit in the folder (tern_rtl_synthesise_gates). */
tern_status tern_rtl_synthesise_parts(const tern_rtl *rtl, const char *name, bool tmr, const char *folder,
                                      tern_rtl_part *parts);

/* The share of bits that change, measured on the codes that go in and come out of `count` samples. */
enum { TERN_RTL_MOST_CODES = 4096 }; /* of a map that are looked at */
tern_status tern_rtl_activity(const tern_rtl *rtl, tern_session *session, const float *images, int count,
                              double *activity);

/* The circuit.  TERN_USAGE names a layer that has no such form: what is no product, or has more behind it than one cast. */
tern_status tern_rtl_parallel(const tern_rtl *rtl, const char *name, const char *about, bool tmr,
                              tern_text *t);

/* Other weights of the same formats, to load second: each tensor back to front. */
tern_status tern_rtl_other_weights(const tern_store *from, tern_store *to);

/* <name>.v, <name>_tb.v, Makefile, and what the test bench reads, into a folder: it loads the first weights, streams the first half of
 * `count` samples, loads the second ones and streams the rest, reads the chain back after each, and flips bits of registers.
 * rtl[k] and session[k] hold the same net with the k-th weights; expected words are what the sessions compute. */
tern_status tern_rtl_parallel_folder(const tern_rtl rtl[2], tern_session *const session[2], const char *name,
                                     const char *about, const float *images, int count, bool tmr,
                                     const char *folder);

#endif
