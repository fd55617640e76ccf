/* Fixed-point numbers fixed<w,f>: k 2^-f with a whole k of w bits, where f may be negative or above w.  What the operators of
 * training (fixed.c) and of integers (fixed_integer.c, fixed_product.c) share. */
#ifndef TERN_OP_FIXED_H
#define TERN_OP_FIXED_H

#include "op/op.h"

#include <math.h>

enum {
    TERN_FIXED_MOST_BITS = 24,  /* of a word: a float holds it exactly */
    TERN_FIXED_MOST_POINT = 64, /* |f| */
};
#define TERN_FIXED_RATE 10.0 /* a binary point learns so many times as fast as weights */

/* Number format, rounding and overflow of a cast.  bits 0: x stays as it is. */
typedef struct tern_fixed_op {
    int bits;      /* w, with the sign */
    bool positive; /* unsigned */
    tern_round_mode round;
    tern_overflow overflow;
    int hot;    /* at most so many one-bits; 0: any */
    bool hold;  /* no gradient to x */
    bool share; /* the gradient to f is divided by sqrt(elements 2^(w-1)) */
    bool fixed; /* no gradient to f */
    double fit; /* weight of the relative squared error in the gradient to f */
} tern_fixed_op;

/* Arguments of fixed_shift. */
typedef struct tern_shift_op {
    tern_fixed_op to;
    bool relu; /* what is below 0 becomes 0, before all else */
} tern_shift_op;

/* Arguments of fixed_affine: elements of a channel that stand together. */
typedef struct tern_affine_op {
    int inner;
} tern_affine_op;

/* Arguments of fixed_pool. */
typedef struct tern_fixed_pool_op {
    int kernel, stride;
} tern_fixed_pool_op;

/* Arguments of uniform. */
typedef struct tern_uniform_op {
    int low, high;
    bool levels; /* the levels themselves, without the step */
    bool binary; /* -1 below 0, else 1; inside is |x| <= s */
} tern_uniform_op;

/* Arguments of step_levels, thresholds and threshold_count. */
typedef struct tern_thresholds_op {
    int high;  /* levels 0 .. high */
    int inner; /* elements of a channel that stand together */
    int bound; /* thresholds: sums are in -bound .. bound */
} tern_thresholds_op;

/* f of a parameter: a whole number, halves to even. */
static inline double tern_fixed_point(double f)
{
    double whole = nearbyint(f);
    return fmin(fmax(whole, -TERN_FIXED_MOST_POINT), TERN_FIXED_MOST_POINT); /* not a number: the least */
}

double tern_fixed_least(const tern_fixed_op *a);
double tern_fixed_most(const tern_fixed_op *a);
/* v to a whole number by one of the seven modes of HLS. */
double tern_fixed_round(tern_round_mode mode, double v);
/* A whole number into w bits; *saturated: it did not fit. */
double tern_fixed_fit(const tern_fixed_op *a, double k, bool *saturated);
/* The nearest number with at most `hot` one-bits that is not above `most`: greedy from the top, the last bit the power of two
 * nearest to what is left, upwards from 3/2 of its own top power on. */
int64_t tern_fixed_hot(int64_t magnitude, int hot, int64_t most);
/* k of x 2^f: rounded, fitted, and with few one-bits where they are limited. */
double tern_fixed_code(const tern_fixed_op *a, double scaled, bool *saturated);
/* The smallest integer format that holds the codes. */
tern_dtype tern_fixed_dtype(const tern_fixed_op *a);
tern_status tern_fixed_check(const tern_infer *types, const tern_fixed_op *a);
extern const tern_arg tern_fixed_args[];

/* A shift by a whole number of places, right where it is above 0, as a cast of integers. */
double tern_shift_code(const tern_shift_op *a, double v, int places);
/* "static .. fixed_fit(int64_t floor, int64_t rest, ..)": what emitted casts call, in C. */
void tern_write_cast(tern_emit *to, const tern_fixed_op *a);
/* Writes element i of an output of integers. */
extern const tern_arg tern_shift_args[];

/* Weights [..] as levels of one step for all (Brevitas' narrow range): step = max |w| / high with high = 2^(bits-1) - 1, levels
 * -high .. high; of one bit the sign, with the mean magnitude as step. */
tern_levelled tern_low_levels(tern_graph *graph, tern_value w, int bits);

/* Level of a sum: the low-bit activation round((scale sum + shift)), halves to even, in 0 .. high. */
static inline double tern_step_level(double sum, double scale, double shift, int high)
{
    double k = nearbyint(scale * sum + shift);
    return fmin(fmax(k, 0), high);
}

#endif
