/* A case for every operator of the table: arguments, shapes and kinds of values, drawn at random.  A new operator gets a
 * function here and one line in `cases`. */
#ifndef TERN_OP_CASES_H
#define TERN_OP_CASES_H

#include "test.h"

#include "kernel/kernel.h"
#include "op/cache.h"
#include "op/fuse.h"
#include "op/lif.h"
#include "op/op.h"
#include "op/optimiser.h"
#include "op/outlier.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static tern_rng rng = {.seed = 11};
static uint64_t drawn;

static int below(int bound)
{
    return (int)tern_rng_below(rng, drawn++, (uint64_t)bound);
}

static int between(int low, int high)
{
    return low + below(high - low + 1);
}

static double uniform(void)
{
    return tern_rng_uniform(rng, drawn++);
}

/* What the elements of an input look like. */
typedef enum values {
    NORMAL,
    POSITIVE,
    LABELS,
    SPIKES,
    RATE,
    COUNTS,   /* whole numbers, many of them 0 */
    QUARTERS, /* of spikes, pooled */
    BYTES,
    BIASES,
    MULTIPLIERS,
    SHIFTS,
    ZEROS,         /* what may be the zero of bytes */
    SUM_CONSTANTS, /* of add_int8 */
    EXPONENTIALS,
    PRODUCT_CONSTANTS, /* of multiply_int8 */
    MEAN_CONSTANTS,
    LSTM_CONSTANTS,
    SVDF_CONSTANTS,
    LOGISTIC_STEPS,
    NORM_CONSTANTS, /* of layer_norm_int8 */
    ATTENTION_CONSTANTS,
    EXPONENTIAL_STEPS,
    TREE_FEATURE, /* i32: a feature, or -1 */
    TREE_CHILD,   /* i32: a node somewhat behind */
    RESCALE_CONSTANTS,
    SHORT_FACTOR, /* of logistic_int16 */
    SHORT_STEPS
} values;

typedef struct spec {
    const tern_op *op;
    _Alignas(16) char args[sizeof(tern_fused_op)];
    int nin;
    tern_type in[12];
    values values[12];
    bool absent[12], smooth[12]; /* smooth: finite differences hold for this input */
    double density, tolerance;
} spec;

static void input(spec *s, tern_shape shape, values v, bool smooth)
{
    static const tern_dtype dtypes[] = {TERN_F32, TERN_F32, TERN_I32, TERN_BIT, TERN_F32, TERN_I32, TERN_F32,
                                        TERN_I8,  TERN_I32, TERN_I32, TERN_I8,  TERN_I32, TERN_I32, TERN_I32,
                                        TERN_I32, TERN_I32, TERN_I32, TERN_I32, TERN_I32, TERN_I32, TERN_I32,
                                        TERN_I16, TERN_I32, TERN_I32, TERN_I32, TERN_I32, TERN_I16};
    s->in[s->nin] = (tern_type){.dtype = dtypes[v], .shape = shape, .levels = v == QUARTERS ? 4 : 0};
    s->values[s->nin] = v;
    s->smooth[s->nin++] = smooth;
}

/* What the left factor of a product may be. */
static values factor(void)
{
    static const values kinds[] = {NORMAL, SPIKES, QUARTERS};
    return kinds[below(3)];
}

static void absent(spec *s)
{
    s->absent[s->nin++] = true;
}

#define ARGS(s, type, ...) memcpy((s)->args, &(type){__VA_ARGS__}, sizeof(type))

static tern_shape some_shape(void)
{
    return below(2) ? TERN_SHAPE(between(1, 5), between(1, 70))
                    : TERN_SHAPE(between(1, 3), between(1, 4), between(1, 9));
}

#include "op_cases_elements.h"

/* rows, inputs, outputs of a linear layer */
static void linear_sizes(int64_t *rows, int64_t *in, int64_t *out)
{
    *rows = between(1, 40);
    *in = between(1, 90);
    *out = between(1, 70);
}

static void make_linear(spec *s)
{
    int64_t rows, in, out;
    linear_sizes(&rows, &in, &out);
    values x = factor();
    input(s, TERN_SHAPE(rows, in), x, x == NORMAL);
    input(s, TERN_SHAPE(out, in), NORMAL, true);
    if (below(2)) input(s, TERN_SHAPE(out), NORMAL, true);
}

static void make_linear_grad_input(spec *s)
{
    int64_t rows, in, out;
    linear_sizes(&rows, &in, &out);
    input(s, TERN_SHAPE(rows, out), NORMAL, false);
    input(s, TERN_SHAPE(out, in), NORMAL, false);
}

static void make_linear_grad_weight(spec *s)
{
    int64_t rows, in, out;
    linear_sizes(&rows, &in, &out);
    s->args[0] = (char)below(2); /* bias */
    input(s, TERN_SHAPE(rows, in), factor(), false);
    input(s, TERN_SHAPE(rows, out), NORMAL, false);
}

typedef struct dropout_args {
    double rate;
    int stream;
    bool over_time;
} dropout_args;

static void make_dropout(spec *s)
{
    ARGS(s, dropout_args, 0.3, 77, below(2));
    if (below(2)) /* what the fast kernel takes: whole words of the mask */
        input(s, TERN_SHAPE(between(1, 4), 64 * between(1, 300)), below(2) ? SPIKES : NORMAL, false);
    else
        input(s, some_shape(), NORMAL, true);
}

static void make_dropout_grad(spec *s)
{
    tern_shape shape = some_shape();
    ARGS(s, dropout_args, 0.3, 77, below(2));
    input(s, shape, NORMAL, false);
    input(s, shape, SPIKES, false);
}

#include "op_cases_classic.h"
#include "op_cases_rows.h"
#include "op_cases_state.h"

static void make_permute(spec *s)
{
    static const int64_t orders[][3] = {{0, 2, 1}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}};
    const int64_t *o = orders[below(4)];
    ARGS(s, tern_shape, .rank = 3, .dim = {o[0], o[1], o[2]});
    input(s,
          below(8) ? TERN_SHAPE(between(1, 4), between(1, 5), between(1, 6))
                   : TERN_SHAPE(3, between(60, 140), between(60, 140)),
          NORMAL, true);
}

typedef struct slice_args {
    int axis, first, count;
} slice_args;

static void make_slice(spec *s)
{
    tern_shape x = TERN_SHAPE(between(2, 5), between(2, 6), between(2, 7));
    int axis = below(3), first = below((int)x.dim[axis]);
    ARGS(s, slice_args, axis, first, between(1, (int)x.dim[axis] - first));
    input(s, x, NORMAL, true);
}

static void make_concat(spec *s)
{
    tern_shape x = TERN_SHAPE(between(1, 4), between(1, 4), between(1, 5));
    int axis = below(3), count = between(1, 4);
    ARGS(s, int, axis);
    for (int i = 0; i < count; i++) {
        x.dim[axis] = between(1, 5);
        input(s, x, NORMAL, true);
    }
}

static void make_embedding(spec *s)
{
    input(s, TERN_SHAPE(between(1, 3), between(1, 5)), LABELS, false);
    input(s, TERN_SHAPE(between(3, 9), between(1, 6)), NORMAL, true);
}

static void make_embedding_grad(spec *s)
{
    make_embedding(s);
    s->smooth[1] = false;
    tern_shape i = s->in[0].shape;
    input(s, TERN_SHAPE(i.dim[0], i.dim[1], s->in[1].shape.dim[1]), NORMAL, false);
}

static void make_angles(spec *s)
{
    tern_angles_args a = {.dims = 2 * between(1, 5),
                          .base = 1e4,
                          .scale = 0.25,
                          .mix = below(2),
                          .fast = 32,
                          .slow = 1,
                          .context = 64,
                          .magnitude = 1.5};
    memcpy(s->args, &a, sizeof a);
    input(s, TERN_SHAPE(between(1, 6)), LABELS, false);
    if (below(2)) input(s, TERN_SHAPE(a.dims / 2), POSITIVE, false);
}

static void make_rotate(spec *s)
{
    typedef struct rotate_args {
        bool adjacent, back;
    } rotate_args;
    int pairs = between(1, 5), rows = between(1, 5);
    ARGS(s, rotate_args, below(2), below(2));
    input(s, TERN_SHAPE(rows, between(1, 4), 2 * pairs + below(3)), NORMAL, true);
    input(s, TERN_SHAPE(rows, pairs, 2), NORMAL, false);
}

static void make_put_rows(spec *s)
{
    int width = between(1, 7), rows = between(1, 5);
    input(s, TERN_SHAPE(between(2, 6), width), NORMAL, false);
    input(s, TERN_SHAPE(rows, width), NORMAL, false);
    input(s, TERN_SHAPE(rows), LABELS, false);
}

/* Positions are 1 and 2, now and then -2 or -1: the cache may be shorter or longer.  In pages the owners and the pages of their
 * table are such numbers too: some are none. */
static void make_attend(spec *s)
{
    int page = below(2) * between(1, 3), groups = between(1, 3), heads = groups * between(1, 3),
        width = between(1, 70), cache = between(1, 6),
        rows = below(4) ? between(1, 4) : between(34, 40); /* more than are alike: queries side by side */
    tern_attend_args a = {.scale = 0.3, .cap = below(2) * 5, .window = below(3), .page = page};
    memcpy(s->args, &a, sizeof a);
    if (page) cache *= page;
    input(s, TERN_SHAPE(rows, heads, width), NORMAL, false);
    for (int i = 0; i < 2; i++) input(s, TERN_SHAPE(cache, groups, width), NORMAL, false);
    input(s, TERN_SHAPE(rows), LABELS, false);
    if (!page) return;
    input(s, TERN_SHAPE(rows), LABELS, false);
    input(s, TERN_SHAPE(between(1, 3), between(1, 3)), LABELS, false);
}

#include "op_cases_images.h"

#include "op_cases_delta.h"
#include "op_cases_fixed.h"
#include "op_cases_int16.h"
#include "op_cases_int8.h"
#include "op_cases_token.h"

typedef struct norm_args {
    double epsilon, momentum;
    bool training, per_step;
    int inner;
} norm_args;

static tern_shape some_norm(spec *s, bool training, int64_t *channels, int64_t *steps)
{
    bool images = below(2), per_step = training && below(3) == 0;
    int64_t c = *channels = between(1, 70), t = between(1, 3), n = between(2, 4), hw = between(2, 6);
    tern_shape x = images ? TERN_SHAPE(t, n, c, hw, hw) : TERN_SHAPE(t, 2 * n, c);
    *steps = per_step ? t : 1;
    ARGS(s, norm_args, 1e-3, 0.1, training, per_step, images ? (int)(hw * hw) : 1);
    return x;
}

static void make_batch_norm(spec *s)
{
    int64_t c, steps;
    bool training = below(4) != 0;
    tern_shape x = some_norm(s, training, &c, &steps);
    input(s, x, NORMAL, training);
    input(s, TERN_SHAPE(c), NORMAL, training);
    input(s, TERN_SHAPE(c), NORMAL, training);
    input(s, TERN_SHAPE(c), NORMAL, false);
    input(s, TERN_SHAPE(c), POSITIVE, false);
    s->tolerance = 1e-3;
}

static void make_batch_norm_grad(spec *s)
{
    int64_t c, steps;
    tern_shape x = some_norm(s, true, &c, &steps);
    input(s, x, NORMAL, false);
    input(s, TERN_SHAPE(c), NORMAL, false);
    input(s, TERN_SHAPE(steps, c), NORMAL, false);
    input(s, TERN_SHAPE(steps, c), POSITIVE, false);
    input(s, x, NORMAL, false);
    s->tolerance = 1e-3;
}

static void make_reduce(spec *s)
{
    tern_shape x = TERN_SHAPE(between(1, 4), between(1, 5), between(1, 80));
    int axis = below(3);
    ARGS(s, tern_reduce_args, .axis = axis, .axes = between(1, 3 - axis), .keep = below(2));
    bool spikes = below(3) == 0;
    input(s, x, spikes ? SPIKES : NORMAL, !spikes);
}

static void make_expand(spec *s)
{
    int64_t a = between(1, 4), b = between(1, 5), c = between(1, 70);
    ARGS(s, tern_shape, .rank = 3, .dim = {a, b, c});
    input(s, below(2) ? TERN_SHAPE(1, b, c) : below(2) ? TERN_SHAPE(a, 1, c) : TERN_SHAPE(c), NORMAL, true);
}

static void make_move(spec *s)
{
    input(s, TERN_SHAPE(between(1, 4), between(1, 30)), NORMAL, true);
}

static void make_reshape(spec *s)
{
    int64_t a = between(1, 9), b = between(1, 9);
    ARGS(s, tern_shape, .rank = 1, .dim = {a * b});
    input(s, TERN_SHAPE(a, b), NORMAL, true);
}

#include "op_cases_neurons.h"

static void make_cross_entropy(spec *s)
{
    int64_t b = between(1, 9), c = between(2, 12);
    ARGS(s, tern_cross_entropy_args, below(2) ? 0.1 : 0);
    input(s, TERN_SHAPE(b, c), NORMAL, true);
    input(s, TERN_SHAPE(b), LABELS, false);
}

static void make_cross_entropy_grad(spec *s)
{
    make_cross_entropy(s);
    input(s, TERN_SHAPE(1), NORMAL, false);
    s->smooth[0] = false;
}

static void make_sgd(spec *s)
{
    tern_shape p = some_shape();
    ARGS(s, tern_sgd_op, 0.9, 0.01, below(2));
    for (int i = 0; i < 3; i++) input(s, p, NORMAL, false);
    input(s, TERN_SHAPE(1), RATE, false);
}

static void make_adam(spec *s)
{
    tern_shape p = some_shape();
    bool highest = below(2);
    ARGS(s, tern_adam_op, 0.9, 0.999, 1e-6, 0.01, below(2), highest);
    for (int i = 0; i < 3; i++) input(s, p, NORMAL, false);
    input(s, p, POSITIVE, false);
    input(s, TERN_SHAPE(1), RATE, false);
    input(s, TERN_SHAPE(1), LABELS, false);
    s->in[5].dtype = TERN_F32;
    if (highest) input(s, p, POSITIVE, false);
}

/* decay, steps of a static input */
typedef struct leak_args {
    double decay;
    int timesteps;
} leak_args;

static void make_leak(spec *s)
{
    int64_t t = between(1, 5), b = between(1, 4), n = between(1, 300);
    bool is_static = below(3) == 0;
    ARGS(s, leak_args, uniform(), is_static ? (int)t : 0);
    input(s, TERN_SHAPE(is_static ? 1 : t, b, n), NORMAL, true);
    if (below(2)) input(s, TERN_SHAPE(b, n), NORMAL, true);
    if (s->nin == 2 && below(2)) input(s, TERN_SHAPE(1), POSITIVE, true);
}

static void make_leak_grad(spec *s)
{
    int64_t t = between(1, 5), b = between(1, 4), n = between(1, 300);
    bool is_static = below(3) == 0;
    ARGS(s, leak_args, uniform(), is_static ? (int)t : 0);
    input(s, TERN_SHAPE(t, b, n), NORMAL, false);
    if (below(2))
        input(s, TERN_SHAPE(b, n), NORMAL, false);
    else
        absent(s);
    input(s, TERN_SHAPE(t, b, n), NORMAL, false);
    if (is_static)
        input(s, TERN_SHAPE(1, b, n), NORMAL, false);
    else
        absent(s);
    if (below(2)) input(s, TERN_SHAPE(b, n), NORMAL, false);
    s->tolerance = 1e-3;
}

/* The arguments of alif, in its order. */
typedef struct alif_args {
    double decay, gain, threshold, v_reset, rho, beta;
    int reset, surrogate;
    double alpha;
    bool detach_reset;
    int truncate;
} alif_args;

static void some_alif(spec *s)
{
    ARGS(s, alif_args, uniform(), uniform(), 0.5, 0.1, uniform(), uniform(), below(3), below(6),
         1 + uniform(), below(2), below(3));
}

static void make_alif(spec *s)
{
    int64_t t = between(1, 5), b = between(1, 4), n = between(1, 300);
    some_alif(s);
    input(s, TERN_SHAPE(t, b, n), NORMAL, false);
    if (below(2)) input(s, TERN_SHAPE(b, n), NORMAL, false);
    if (s->nin == 2) input(s, TERN_SHAPE(b, n), NORMAL, false);
}

static void make_alif_grad(spec *s)
{
    int64_t t = between(1, 5), b = between(1, 4), n = between(1, 300);
    some_alif(s);
    for (int i = 0; i < 6; i++) input(s, i / 2 == 1 ? TERN_SHAPE(b, n) : TERN_SHAPE(t, b, n), NORMAL, false);
}

static void make_levels(spec *s)
{
    ARGS(s, tern_levels_args, between(1, 5), below(2));
    input(s, some_shape(), NORMAL, false);
}

static void make_levels_grad(spec *s)
{
    tern_shape shape = some_shape();
    ARGS(s, tern_levels_args, between(1, 5), below(2));
    input(s, shape, NORMAL, false);
    input(s, shape, NORMAL, false);
}

static void make_poisson(spec *s)
{
    ARGS(s, tern_poisson_args, between(1, 6), between(1, 9));
    input(s, some_shape(), POSITIVE, false);
}

static void make_latency(spec *s)
{
    ARGS(s, tern_latency_args, between(1, 6));
    input(s, some_shape(), POSITIVE, false);
}

static void make_change(spec *s)
{
    ARGS(s, tern_change_args, uniform());
    input(s, TERN_SHAPE(between(1, 5), between(1, 3), between(1, 40)), NORMAL, false);
}

static const struct {
    const char *name;
    void (*make)(spec *);
} cases[] = {
    ELEMENT_CASES{"dropout", make_dropout},
    {"dropout_grad", make_dropout_grad},
    {"matmul", make_matmul},
    {"softmax", make_rows},
    {"softmax_grad", make_rows_grad},
    {"log_softmax", make_rows},
    {"log_softmax_grad", make_log_rows_grad},
    {"normalise", make_normalise},
    {"normalise_grad", make_normalise_grad},
    {"permute", make_permute},
    {"slice", make_slice},
    {"pad", make_pad},
    {"pad", make_pad_bytes},
    {"concat", make_concat},
    {"gather", make_gather},
    {"gather_grad", make_gather_grad},
    {"cumulative_sum", make_cumulative_sum},
    {"cast", make_cast},
    {"max", make_extreme},
    {"min", make_extreme},
    {"extreme_grad", make_extreme_grad},
    {"linear_i8", make_linear_i8},
    INT8_CASES INT16_CASES TOKEN_CASES{"linear_outlier", make_linear_outlier},
    CLASSIC_CASES{"top", make_top},
    {"linear_experts", make_linear_experts},
    {"embedding", make_embedding},
    {"embedding_grad", make_embedding_grad},
    {"angles", make_angles},
    {"rotate", make_rotate},
    {"put_rows", make_put_rows},
    {"attend", make_attend},
    {"linear", make_linear},
    {"linear_grad_input", make_linear_grad_input},
    {"linear_grad_weight", make_linear_grad_weight},
    {"conv2d", make_conv2d},
    {"conv2d_grad_input", make_conv2d_grad_input},
    {"conv2d_transposed", make_conv2d_transposed},
    {"conv2d_grad_weight", make_conv2d_grad_weight},
    {"max_pool2d", make_max_pool2d},
    {"max_pool2d_grad", make_max_pool2d_grad},
    {"avg_pool2d", make_max_pool2d},
    {"avg_pool2d_grad", make_avg_pool2d_grad},
    {"resize", make_resize},
    {"resize_grad", make_resize_grad},
    {"batch_norm", make_batch_norm},
    {"batch_norm_grad", make_batch_norm_grad},
    {"sum", make_reduce},
    {"mean", make_reduce},
    {"expand", make_expand},
    {"reshape", make_reshape},
    {"spill", make_move},
    {"retrieve", make_move},
    {"lif", make_lif},
    {"lif_grad", make_lif_grad},
    {"leak", make_leak},
    {"leak_grad", make_leak_grad},
    {"alif", make_alif},
    {"alif_grad", make_alif_grad},
    {"levels", make_levels},
    {"levels_grad", make_levels_grad},
    {"quantise", make_quantise},
    {"quantise_grad", make_quantise_grad},
    {"variation", make_variation},
    {"variation_grad", make_variation_grad},
    {"delta_levels", make_delta_levels},
    {"delta_weight", make_delta_weight},
    {"delta_product", make_delta_product},
    FIXED_CASES STATE_CASES{"poisson", make_poisson},
    {"latency", make_latency},
    {"change", make_change},
    {"cross_entropy", make_cross_entropy},
    {"cross_entropy_grad", make_cross_entropy_grad},
    {"sgd", make_sgd},
    INT8_LEARNING_CASES{"adam", make_adam},
};

#endif
