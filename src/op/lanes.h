/* Sums of floats over features in eight lanes: feature f goes to lane f mod 8, in order, and lanes are added two by two.  Eight cores
 * can share such a sum to the same bits, and vectors of eight. */
#ifndef TERN_OP_LANES_H
#define TERN_OP_LANES_H

#include "op/op.h"

enum { TERN_SUM_LANES = 8 };

/* Arguments of squared_distance and row_product over codes (fixed point): places of shifts to the right. */
typedef struct tern_rows_op {
    int inner;  /* of a difference times its weight, before it is squared */
    int places; /* of each square or product, before it is added */
} tern_rows_op;
extern const tern_arg tern_rows_args[];

/* ((l0 + l1) + (l2 + l3)) + ((l4 + l5) + (l6 + l7)) */
static inline float tern_add_lanes(const float lane[TERN_SUM_LANES])
{
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

/* A sum for each row of in0 [rows,features] with each row of in1 [stored,features], as C. */
typedef struct tern_lane_sums {
    long long rows, stored, features;
    const char *factors; /* declarations of pointers behind "x" and "t", or "" */
    const char *term;    /* what is added, with @ for the index of a feature: "x[@] * t[@]" */
    bool whole;          /* numbers are integers, whose sums need no lanes: int32_t, without a bias */
    const char *bias;    /* "in2[n] + " before the sum, or "" */
} tern_lane_sums;
void tern_emit_lane_sums(const tern_lane_sums *s, tern_text *text);
/* Bytes of memory that those need: cores share the lanes of few rows, else the rows. */
size_t tern_lane_scratch(const tern_call *call);

#endif
