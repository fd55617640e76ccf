/* tern_fixed.h: fixed-point numbers and activations of few levels, in training.  Part of tern.h, which includes it. */
#ifndef TERN_FIXED_H
#define TERN_FIXED_H

/* Rounding of v = x 2^f, the seven modes of high-level synthesis. */
typedef enum tern_round_mode {
    TERN_ROUND_DOWN,      /* TRN: towards minus infinity */
    TERN_ROUND_ZERO,      /* TRN_ZERO: towards 0 */
    TERN_ROUND_UP,        /* RND: nearest, halves up */
    TERN_ROUND_HALF_ZERO, /* RND_ZERO: halves towards 0 */
    TERN_ROUND_HALF_DOWN, /* RND_MIN_INF: halves down */
    TERN_ROUND_HALF_AWAY, /* RND_INF: halves away from 0 */
    TERN_ROUND_HALF_EVEN, /* RND_CONV: halves to even */
} tern_round_mode;

/* What becomes of a number that does not fit. */
typedef enum tern_overflow {
    TERN_OVERFLOW_WRAP,      /* two's complement */
    TERN_OVERFLOW_SATURATE,  /* SAT: the nearest end */
    TERN_OVERFLOW_ZERO,      /* SAT_ZERO: 0 */
    TERN_OVERFLOW_SYMMETRIC, /* SAT_SYM: the nearest end, where the lower is minus the upper */
} tern_overflow;

/* x as fixed<width, f> with a learned f = <name>.point [1] (QFX, arXiv 2401.17544): y = overflow(round(x 2^f)) 2^-f, f
 * rounded to a whole number.  dy/dx is 1 inside the range and 0 where y is saturated; dy/df is ln2 (x - y) or -ln2 y.
 * positive: unsigned.  hot k: at most k one-bits, so that products are k shifts and adds; 0: any. */
typedef struct tern_fixed_arguments {
    int width;
    double point; /* f at the beginning */
    bool positive;
    tern_round_mode round;
    tern_overflow overflow;
    int hot;
    bool still; /* f is not learned */
    const char *name;
} tern_fixed_arguments;
tern_value tern_fixed_with(tern_graph *graph, tern_value x, tern_fixed_arguments args);
#define tern_fixed(...) TERN_FIXED_(__VA_ARGS__, )
#define TERN_FIXED_(g, x, ...)                                                                               \
    tern_fixed_with(g, x,                                                                                    \
                    (tern_fixed_arguments){.width = 8,                                                       \
                                           .point = 4,                                                       \
                                           .round = TERN_ROUND_UP,                                           \
                                           .overflow = TERN_OVERFLOW_SATURATE,                               \
                                           __VA_ARGS__})
/* What is put into a net whose tensors are to be fixed-point numbers: a cast with a learned binary point before each product,
 * on its weights, and around norms and sums; biases are on the grid of the sums that they join, of 24 bits or, with
 * a point of their own, of bias_bits. */
typedef struct tern_fixed_parameters {
    int bits, act_bits, norm_bits; /* of weights, activations, norms (the last two: 0: as weights) */
    int bias_bits;                 /* of biases; 0: as the sums need */
    int hot;                       /* most one-bits of a weight; 0: any */
    int round, overflow;           /* a tern_round_mode, a tern_overflow */
    double range;                  /* of activations, at the beginning */
    int frozen;                    /* the binary points are not learned */
    double fit; /* weight of a cast's relative squared error in what its point learns from */
    int shift;  /* they begin so much off what ranges say: to see that they are learned */
} tern_fixed_parameters;

/* Values as levels k of a step s [1], which is s k: k a whole number 0 .. high (activations) or -high .. high (weights). */
typedef struct tern_levelled {
    tern_value k, step;
    int high;
} tern_levelled;

/* A fully connected layer of few bits: s_w k_w with k_w in -(2^(b-1) - 1) .. 2^(b-1) - 1 and s_w the largest weight over the
 * highest level (1 bit: -1 and 1 times the mean magnitude); then a norm, dropout, and ReLU in levels of a learned step.  The
 * last layer has neither norm nor activation, and its bias is in levels of s_w s_x, too: logits = s_w s_x (k_w k_x + k_b).
 * For inference norm, bias and steps become one scale and shift of the whole sums, and with tern_pass_fixed_form thresholds
 * (arXiv 2401.11030; FINN, Brevitas). */
typedef struct tern_low_args {
    int out, bits, act_bits;
    double dropout;
    const char *name;
} tern_low_args;
tern_levelled tern_low_linear_with(tern_graph *graph, tern_levelled x, tern_low_args args);
#define tern_low_linear(...) TERN_LOW_LINEAR_(__VA_ARGS__, )
#define TERN_LOW_LINEAR_(g, x, ...)                                                                          \
    tern_low_linear_with(g, x, (tern_low_args){.out = 1, .bits = 2, .act_bits = 2, __VA_ARGS__})
tern_value tern_low_logits_with(tern_graph *graph, tern_levelled x, tern_low_args args);
#define tern_low_logits(...) TERN_LOW_LOGITS_(__VA_ARGS__, )
#define TERN_LOW_LOGITS_(g, x, ...)                                                                          \
    tern_low_logits_with(g, x, (tern_low_args){.out = 1, .bits = 2, .act_bits = 2, __VA_ARGS__})
/* Whole numbers 0 .. high as they are: the input of a first layer (1: bits). */
tern_levelled tern_whole(tern_graph *graph, tern_value x, int high);

#endif
