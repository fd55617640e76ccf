/* Every operator of the table, on random shapes: its gradient against finite differences in double, its work against
 * what the reference counts, its fast kernels on each instruction set against the reference, and on one thread against
 * two.  An operator without a case fails the test. */
#include "test.h"

#include "kernel/kernel.h"
#include "op/lif.h"
#include "op/op.h"
#include "op/optimiser.h"

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
typedef enum values { NORMAL, POSITIVE, LABELS, SPIKES, RATE } values;

typedef struct spec {
    const tern_op *op;
    _Alignas(16) char args[256];
    int nin;
    tern_type in[10];
    values values[10];
    bool absent[10], smooth[10]; /* smooth: finite differences hold for this input */
    double density, tolerance;
} spec;

static void input(spec *s, tern_shape shape, values v, bool smooth)
{
    static const tern_dtype dtypes[] = {TERN_F32, TERN_F32, TERN_I32, TERN_BIT, TERN_F32};
    s->in[s->nin] = (tern_type){dtypes[v], shape};
    s->values[s->nin] = v;
    s->smooth[s->nin++] = smooth;
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

static void two(spec *s, bool positive)
{
    tern_shape shape = some_shape();
    input(s, shape, NORMAL, true);
    int kind = below(3);
    input(s,
          kind == 0   ? shape
          : kind == 1 ? TERN_SHAPE(1)
                      : TERN_SHAPE(shape.dim[shape.rank - 1]),
          positive ? POSITIVE : NORMAL, true);
}

static void make_binary(spec *s)
{
    two(s, false);
}

static void make_divide(spec *s)
{
    two(s, true);
}

static void make_unary(spec *s)
{
    input(s, some_shape(), NORMAL, true);
}

static void make_unary_grad(spec *s)
{
    tern_shape shape = some_shape();
    input(s, shape, NORMAL, false);
    input(s, shape, NORMAL, false);
}

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
    bool spikes = below(2);
    input(s, TERN_SHAPE(rows, in), spikes ? SPIKES : NORMAL, !spikes);
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
    input(s, TERN_SHAPE(rows, in), below(2) ? SPIKES : NORMAL, false);
    input(s, TERN_SHAPE(rows, out), NORMAL, false);
}

static void make_positive(spec *s)
{
    input(s, some_shape(), POSITIVE, true);
}

static void make_positive_grad(spec *s)
{
    tern_shape shape = some_shape();
    input(s, shape, POSITIVE, false);
    input(s, shape, NORMAL, false);
}

typedef struct limits {
    double low, high;
} limits;

static void make_clip(spec *s)
{
    ARGS(s, limits, -0.7, 0.9);
    input(s, some_shape(), NORMAL, true);
}

static void make_clip_grad(spec *s)
{
    ARGS(s, limits, -0.7, 0.9);
    make_unary_grad(s);
}

typedef struct dropout_args {
    double rate;
    int stream;
} dropout_args;

static void make_dropout(spec *s)
{
    ARGS(s, dropout_args, 0.3, 77);
    input(s, some_shape(), NORMAL, true);
}

static void make_matmul(spec *s)
{
    int64_t b = between(1, 3), m = between(1, 20), n = between(1, 20), k = between(1, 20);
    input(s, TERN_SHAPE(b, m, k), NORMAL, true);
    input(s, TERN_SHAPE(b, k, n), NORMAL, true);
}

typedef struct normalise_args {
    double epsilon;
    bool centre;
} normalise_args;

static void make_normalise(spec *s)
{
    ARGS(s, normalise_args, 1e-3, below(2));
    input(s, TERN_SHAPE(between(1, 4), between(2, 30)), NORMAL, true);
}

static void make_normalise_grad(spec *s)
{
    ARGS(s, normalise_args, 1e-3, below(2));
    make_unary_grad(s);
}

static void make_permute(spec *s)
{
    static const int64_t orders[][3] = {{0, 2, 1}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}};
    const int64_t *o = orders[below(4)];
    ARGS(s, tern_shape, .rank = 3, .dim = {o[0], o[1], o[2]});
    input(s, TERN_SHAPE(between(1, 4), between(1, 5), between(1, 6)), NORMAL, true);
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

static void make_pad(spec *s)
{
    tern_shape x = TERN_SHAPE(between(1, 5), between(1, 6), between(1, 7));
    int axis = below(3), before = below(4);
    ARGS(s, slice_args, axis, before, (int)x.dim[axis] + before + below(4));
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

typedef struct conv_case {
    int stride, pad, dilation, groups;
    tern_shape like;
    int64_t n, c, h, w, o, k, oh, ow;
} conv_case;

static conv_case some_conv(void)
{
    conv_case c = {
        .stride = between(1, 2), .pad = below(3), .dilation = between(1, 2), .groups = below(3) == 0 ? 2 : 1};
    c.n = between(1, 3);
    c.c = c.groups * between(1, 3);
    c.o = c.groups * between(1, 5);
    c.k = between(1, 3);
    c.h = between(5, 9);
    c.w = between(5, 17);
    if (below(5) == 0) c.groups = (int)(c.o = c.c = between(2, 6)); /* depthwise */
    c.oh = tern_conv_extent(c.h, c.k, c.stride, 2 * c.pad, c.dilation);
    c.ow = tern_conv_extent(c.w, c.k, c.stride, 2 * c.pad, c.dilation);
    return c;
}

/* The first fields of the operator's arguments, in its order. */
typedef struct conv_args {
    int stride, pad, dilation, groups;
    tern_shape like;
} conv_args;

static void make_conv2d(spec *s)
{
    conv_case c = some_conv();
    ARGS(s, conv_args, c.stride, c.pad, c.dilation, c.groups, {0});
    bool spikes = below(2);
    input(s, TERN_SHAPE(c.n, c.c, c.h, c.w), spikes ? SPIKES : NORMAL, !spikes);
    input(s, TERN_SHAPE(c.o, c.c / c.groups, c.k, c.k), NORMAL, true);
    if (below(2)) input(s, TERN_SHAPE(c.o), NORMAL, true);
}

static void make_conv2d_grad_input(spec *s)
{
    conv_case c = some_conv();
    ARGS(s, conv_args, c.stride, c.pad, c.dilation, c.groups, TERN_SHAPE(c.n, c.c, c.h, c.w));
    input(s, TERN_SHAPE(c.n, c.o, c.oh, c.ow), NORMAL, false);
    input(s, TERN_SHAPE(c.o, c.c / c.groups, c.k, c.k), NORMAL, false);
}

static void make_conv2d_grad_weight(spec *s)
{
    conv_case c = some_conv();
    ARGS(s, conv_args, c.stride, c.pad, c.dilation, c.groups, TERN_SHAPE(c.o, c.c / c.groups, c.k, c.k));
    input(s, TERN_SHAPE(c.n, c.c, c.h, c.w), below(2) ? SPIKES : NORMAL, false);
    input(s, TERN_SHAPE(c.n, c.o, c.oh, c.ow), NORMAL, false);
}

typedef struct pool_args {
    int kernel, stride;
    tern_shape like;
} pool_args;

/* Often the 2x2 windows over even images that have a kernel of their own. */
static tern_shape some_pool(pool_args *a)
{
    bool halves = below(2);
    *a = (pool_args){halves ? 2 : between(1, 3), halves ? 2 : between(1, 3), {0}};
    return halves ? TERN_SHAPE(between(1, 5), between(1, 70), 2 * between(1, 8), 2 * between(1, 31))
                  : TERN_SHAPE(between(1, 2), between(1, 3), between(3, 8), between(3, 20));
}

static void make_max_pool2d(spec *s)
{
    pool_args a;
    bool spikes = below(2);
    tern_shape x = some_pool(&a);
    memcpy(s->args, &a, sizeof a);
    input(s, x, spikes ? SPIKES : NORMAL, !spikes);
}

static tern_shape pooled(const tern_shape *x, const pool_args *a)
{
    tern_shape y = *x;
    for (int i = 2; i < 4; i++) y.dim[i] = tern_conv_extent(x->dim[i], a->kernel, a->stride, 0, 1);
    return y;
}

static void make_max_pool2d_grad(spec *s)
{
    pool_args a;
    tern_shape x = some_pool(&a);
    a.like = x;
    memcpy(s->args, &a, sizeof a);
    input(s, x, below(2) ? SPIKES : NORMAL, false);
    input(s, pooled(&x, &a), NORMAL, false);
}

static void make_avg_pool2d_grad(spec *s)
{
    pool_args a;
    tern_shape x = some_pool(&a);
    a.like = x;
    memcpy(s->args, &a, sizeof a);
    input(s, pooled(&x, &a), NORMAL, false);
}

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

static void make_reshape(spec *s)
{
    int64_t a = between(1, 9), b = between(1, 9);
    ARGS(s, tern_shape, .rank = 1, .dim = {a * b});
    input(s, TERN_SHAPE(a, b), NORMAL, true);
}

static tern_lif_op some_neuron(bool is_static, int64_t steps)
{
    return (tern_lif_op){.decay = 0.3 + 0.7 * uniform(),
                         .gain = 0.5 + uniform(),
                         .threshold = 0.5 + uniform(),
                         .v_reset = below(2) ? 0 : -0.3,
                         .reset = below(3),
                         .surrogate = below(6),
                         .alpha = 0.5 + 2 * uniform(),
                         .detach_reset = below(2),
                         .strict = below(2),
                         .normalised = below(2),
                         .timesteps = is_static ? (int)steps : 0,
                         .truncate = below(3)};
}

static void make_lif(spec *s)
{
    int64_t t = between(1, 5), b = between(1, 4), n = below(2) ? 64 * between(1, 9) : between(1, 300);
    bool is_static = below(3) == 0;
    tern_lif_op op = some_neuron(is_static, t);
    memcpy(s->args, &op, sizeof op);
    input(s, TERN_SHAPE(is_static ? 1 : t, b, n), NORMAL, false);
    if (below(2))
        input(s, TERN_SHAPE(b, n), NORMAL, false);
    else if (below(2))
        absent(s);
    if (s->nin == 2)
        for (int i = 0; i < 3; i++) input(s, TERN_SHAPE(1), POSITIVE, false);
    s->tolerance = 1e-3;
}

static void make_lif_grad(spec *s)
{
    int64_t t = between(1, 5), b = between(1, 3), n = between(1, 300);
    bool is_static = below(3) == 0, learned = below(2);
    tern_lif_op op = some_neuron(is_static, t);
    memcpy(s->args, &op, sizeof op);
    input(s, TERN_SHAPE(t, b, n), NORMAL, false);
    if (below(2))
        input(s, TERN_SHAPE(t, b, n), NORMAL, false);
    else
        absent(s);
    if (below(2))
        input(s, TERN_SHAPE(b, n), NORMAL, false);
    else
        absent(s);
    input(s, TERN_SHAPE(t, b, n), NORMAL, false);
    if (is_static || learned)
        input(s, TERN_SHAPE(is_static ? 1 : t, b, n), NORMAL, false);
    else
        absent(s);
    if (below(2))
        input(s, TERN_SHAPE(b, n), NORMAL, false);
    else
        absent(s);
    for (int i = 0; learned && i < 3; i++) input(s, TERN_SHAPE(1), POSITIVE, false);
    s->tolerance = 2e-3;
}

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
    ARGS(s, tern_sgd_op, 0.9, 0.01);
    for (int i = 0; i < 3; i++) input(s, p, NORMAL, false);
    input(s, TERN_SHAPE(1), RATE, false);
}

static void make_adam(spec *s)
{
    tern_shape p = some_shape();
    ARGS(s, tern_adam_op, 0.9, 0.999, 1e-6, 0.01, below(2));
    for (int i = 0; i < 3; i++) input(s, p, NORMAL, false);
    input(s, p, POSITIVE, false);
    input(s, TERN_SHAPE(1), RATE, false);
    input(s, TERN_SHAPE(1), LABELS, false);
    s->in[5].dtype = TERN_F32;
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
    {"add", make_binary},
    {"subtract", make_binary},
    {"multiply", make_binary},
    {"divide", make_divide},
    {"relu", make_unary},
    {"relu_grad", make_unary_grad},
    {"sigmoid", make_unary},
    {"sigmoid_grad", make_unary_grad},
    {"tanh", make_unary},
    {"tanh_grad", make_unary_grad},
    {"gelu", make_unary},
    {"gelu_grad", make_unary_grad},
    {"silu", make_unary},
    {"silu_grad", make_unary_grad},
    {"softplus", make_unary},
    {"softplus_grad", make_unary_grad},
    {"exp", make_unary},
    {"exp_grad", make_unary_grad},
    {"log", make_positive},
    {"log_grad", make_positive_grad},
    {"sqrt", make_positive},
    {"sqrt_grad", make_positive_grad},
    {"square", make_unary},
    {"square_grad", make_unary_grad},
    {"absolute", make_unary},
    {"absolute_grad", make_unary_grad},
    {"clip", make_clip},
    {"clip_grad", make_clip_grad},
    {"dropout", make_dropout},
    {"matmul", make_matmul},
    {"softmax", make_unary},
    {"softmax_grad", make_unary_grad},
    {"normalise", make_normalise},
    {"normalise_grad", make_normalise_grad},
    {"permute", make_permute},
    {"slice", make_slice},
    {"pad", make_pad},
    {"concat", make_concat},
    {"embedding", make_embedding},
    {"embedding_grad", make_embedding_grad},
    {"linear", make_linear},
    {"linear_grad_input", make_linear_grad_input},
    {"linear_grad_weight", make_linear_grad_weight},
    {"conv2d", make_conv2d},
    {"conv2d_grad_input", make_conv2d_grad_input},
    {"conv2d_grad_weight", make_conv2d_grad_weight},
    {"max_pool2d", make_max_pool2d},
    {"max_pool2d_grad", make_max_pool2d_grad},
    {"avg_pool2d", make_max_pool2d},
    {"avg_pool2d_grad", make_avg_pool2d_grad},
    {"batch_norm", make_batch_norm},
    {"batch_norm_grad", make_batch_norm_grad},
    {"sum", make_reduce},
    {"mean", make_reduce},
    {"expand", make_expand},
    {"reshape", make_reshape},
    {"lif", make_lif},
    {"lif_grad", make_lif_grad},
    {"leak", make_leak},
    {"leak_grad", make_leak_grad},
    {"alif", make_alif},
    {"alif_grad", make_alif_grad},
    {"levels", make_levels},
    {"levels_grad", make_levels_grad},
    {"poisson", make_poisson},
    {"latency", make_latency},
    {"change", make_change},
    {"cross_entropy", make_cross_entropy},
    {"cross_entropy_grad", make_cross_entropy_grad},
    {"sgd", make_sgd},
    {"adam", make_adam},
};

/* Operators that have test files of their own. */
static const char *const elsewhere[] = {"scan"};

static bool is_elsewhere(const char *name)
{
    for (size_t i = 0; i < TERN_COUNT(elsewhere); i++)
        if (strcmp(elsewhere[i], name) == 0) return true;
    return false;
}

static void test_every_operator_has_a_case(void **state)
{
    (void)state;
    for (int i = 0; tern_operators[i]; i++) {
        bool found = is_elsewhere(tern_operators[i]->name);
        for (size_t c = 0; c < TERN_COUNT(cases); c++)
            found = found || strcmp(cases[c].name, tern_operators[i]->name) == 0;
        if (!found) fail_msg("operator %s has no case", tern_operators[i]->name);
    }
}

static void make(size_t c, spec *s)
{
    memset(s, 0, sizeof *s);
    s->op = tern_operator_find(cases[c].name);
    assert_non_null(s->op);
    s->tolerance = 1e-4;
    s->density = uniform();
    cases[c].make(s);
}

static void fill(const tern_tensor *t, values v, double density)
{
    int64_t n = tern_elements(&t->shape);
    for (int64_t i = 0; i < n; i++) {
        double x = tern_rng_normal(rng, drawn++);
        if (v == POSITIVE) x = 0.5 + fabs(x);
        if (v == LABELS) x = between(1, 2) - (below(8) == 0 ? 3 : 0) * (t->dtype == TERN_I32);
        if (v == SPIKES) x = uniform() < density;
        if (v == RATE) x = 0.01;
        if (v == NORMAL && fabs(x) < 0.02) x = 0.05; /* finite differences stay on one side of kinks */
        tern_set(t, i, x);
    }
}

/* Outputs of a spec, as tensors of their own. */
static int infer(const spec *s, tern_type *out)
{
    const tern_type *in[10] = {0};
    for (int i = 0; i < s->nin; i++) in[i] = s->absent[i] ? NULL : &s->in[i];
    tern_infer types = {.op = s->op, .args = s->args, .nin = s->nin, .in = in, .out = out};
    assert_ok(s->op->infer(&types));
    return types.nout;
}

typedef struct memory {
    tern_tensor in[10], out[8];
    int nin, nout;
} memory;

static void open_memory(memory *m, const spec *s)
{
    tern_type out[8];
    *m = (memory){.nin = s->nin, .nout = infer(s, out)};
    for (int i = 0; i < s->nin; i++) {
        if (s->absent[i]) continue;
        assert_ok(tern_tensor_new(&m->in[i], s->in[i].dtype, &s->in[i].shape));
        fill(&m->in[i], s->values[i], s->density);
    }
    for (int i = 0; i < m->nout; i++) assert_ok(tern_tensor_new(&m->out[i], out[i].dtype, &out[i].shape));
}

static void close_memory(memory *m)
{
    for (int i = 0; i < m->nin; i++) tern_tensor_free(&m->in[i]);
    for (int i = 0; i < m->nout; i++) tern_tensor_free(&m->out[i]);
}

static tern_call call_of(const spec *s, memory *m)
{
    return (tern_call){
        .op = s->op, .args = s->args, .nin = m->nin, .nout = m->nout, .in = m->in, .out = m->out, .seed = 5};
}

static void run_with(void (*run)(const tern_call *), size_t (*scratch)(const tern_call *), tern_call *call)
{
    void *memory = scratch ? tern_take(scratch(call) + 64) : NULL;
    call->scratch = memory;
    run(call);
    tern_release(memory);
}

static void test_work_is_what_is_done(void **state)
{
    (void)state;
    for (size_t c = 0; c < TERN_COUNT(cases); c++) {
        for (int round = 0; round < 20; round++) {
            spec s;
            memory m;
            make(c, &s);
            open_memory(&m, &s);
            tern_call call = call_of(&s, &m);
            tern_work counted = {0}, said = {0};
            s.op->work(&call, &said);
            call.counter = &counted;
            run_with(s.op->run, s.op->scratch, &call);
            if (memcmp(&counted, &said, sizeof said) != 0)
                fail_msg("%s: says %g MACs %g accumulates %g specials %g elementwise, did %g %g %g %g",
                         cases[c].name, said.macs, said.accumulates, said.specials, said.elementwise,
                         counted.macs, counted.accumulates, counted.specials, counted.elementwise);
            close_memory(&m);
        }
    }
}

/* Largest difference relative to the largest element; for bits the share of unequal ones. */
static double difference(const tern_tensor *a, const tern_tensor *b)
{
    int64_t n = tern_elements(&a->shape), unequal = 0;
    double worst = 0, largest = 1e-3;
    for (int64_t i = 0; i < n; i++) {
        double x = tern_get(a, i), y = tern_get(b, i);
        if (!isfinite(x) || !isfinite(y)) return INFINITY;
        worst = fmax(worst, fabs(x - y));
        largest = fmax(largest, fabs(x));
        unequal += x != y;
    }
    return a->dtype == TERN_BIT ? (double)unequal / (double)n : worst / largest;
}

static void compare_fast(size_t c, tern_pool *two_threads)
{
    spec s;
    memory m;
    tern_tensor other[8] = {{0}}, again[8] = {{0}};
    make(c, &s);
    open_memory(&m, &s);
    for (int i = 0; i < m.nout; i++) {
        assert_ok(tern_tensor_new(&other[i], m.out[i].dtype, &m.out[i].shape));
        assert_ok(tern_tensor_new(&again[i], m.out[i].dtype, &m.out[i].shape));
    }
    tern_call call = call_of(&s, &m);
    run_with(s.op->run, s.op->scratch, &call);
    for (const tern_fast *f = s.op->fast; f && f->name; f++) {
        call.out = other;
        if (!f->match(&call)) continue;
        run_with(f->run, f->scratch, &call);
        call.out = again;
        call.pool = two_threads;
        run_with(f->run, f->scratch, &call);
        call.pool = NULL;
        for (int i = 0; i < m.nout; i++) {
            double d = difference(&m.out[i], &other[i]);
            if (d > (m.out[i].dtype == TERN_BIT ? 2e-2 : s.tolerance))
                fail_msg("%s (%s, %s): output %d differs by %g", cases[c].name, f->name, tern_isa_name(), i,
                         d);
            assert_memory_equal(other[i].data, again[i].data,
                                tern_bytes_of(other[i].dtype, tern_elements(&other[i].shape)));
        }
    }
    for (int i = 0; i < m.nout; i++) {
        tern_tensor_free(&other[i]);
        tern_tensor_free(&again[i]);
    }
    close_memory(&m);
}

static void test_fast_is_reference(void **state)
{
    (void)state;
    tern_pool *pool;
    const char *name;
    bool usable;
    assert_ok(tern_pool_open(&pool, 2));
    for (int i = 0; (name = tern_isa_known(i, &usable)) != NULL; i++) {
        if (!usable) continue;
        assert_ok(tern_isa_select(name));
        for (size_t c = 0; c < TERN_COUNT(cases); c++)
            for (int round = 0; round < 200; round++) compare_fast(c, pool);
    }
    assert_ok(tern_isa_select(NULL));
    tern_pool_close(pool);
}

/* ---- gradients ------------------------------------------------------------------------------------------------ */

/* Runs all nodes of a graph by their reference kernels; t[] holds every value. */
static void run_graph(const tern_graph *g, tern_tensor *t)
{
    for (int n = 0; n < g->node_count; n++) {
        const tern_node *node = g->nodes[n];
        tern_tensor in[16] = {{0}}, out[8];
        for (int i = 0; i < node->nin; i++) in[i] = node->in[i].id ? t[node->in[i].id] : (tern_tensor){0};
        for (int i = 0; i < node->nout; i++) out[i] = t[node->out[i].id];
        tern_call call = {
            .op = node->op, .args = node->args, .nin = node->nin, .nout = node->nout, .in = in, .out = out};
        run_with(node->op->run, node->op->scratch, &call);
    }
}

static void check_gradient(size_t c)
{
    spec s;
    make(c, &s);
    tern_graph *g;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.training = true}));
    tern_value in[10] = {{0}}, out[8] = {{0}}, wrt[10], grads[10];
    int which[10], count = 0;
    for (int i = 0; i < s.nin; i++) {
        char name[8];
        snprintf(name, sizeof name, "x%d", i);
        if (s.absent[i]) continue;
        in[i] = tern_input(g, name, s.in[i].dtype == TERN_F32 ? TERN_F64 : s.in[i].dtype, s.in[i].shape);
        if (!s.smooth[i]) continue;
        which[count] = i;
        wrt[count++] = in[i];
    }
    if (count == 0) {
        tern_graph_close(g);
        return;
    }
    tern_apply(g, s.op, s.args, in, s.nin, out);
    tern_shape shape = tern_shape_of(g, out[0]);
    tern_value weights = tern_input(g, "weights", TERN_F64, shape);
    tern_value loss = tern_sum(g, tern_multiply(g, out[0], weights), .axis = 0, .axes = shape.rank);
    assert_ok(tern_graph_status(g));
    assert_ok(tern_gradients(g, loss, wrt, count, grads));
    tern_tensor *t = tern_take_array((size_t)g->value_count, sizeof *t);
    for (int i = 1; i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        assert_ok(tern_tensor_new(&t[i], v->type.dtype, &v->type.shape));
        if (v->kind == TERN_VALUE_CONSTANT)
            memcpy(t[i].data, v->content, tern_bytes_of(v->type.dtype, tern_elements(&v->type.shape)));
    }
    for (int i = 0; i < s.nin; i++)
        if (in[i].id) fill(&t[in[i].id], s.values[i], s.density);
    fill(&t[weights.id], NORMAL, 0);
    run_graph(g, t);
    for (int k = 0; k < count; k++) {
        const tern_tensor *x = &t[wrt[k].id];
        int64_t n = tern_elements(&x->shape);
        assert_true(grads[k].id != 0);
        for (int probe = 0; probe < 4; probe++) {
            int64_t i = below((int)n);
            double analytic, old = tern_get(x, i), h = 1e-5, sides[2];
            run_graph(g, t);
            analytic = tern_get(&t[grads[k].id], i);
            for (int side = 0; side < 2; side++) {
                tern_set(x, i, old + (side ? h : -h));
                run_graph(g, t);
                sides[side] = tern_get(&t[loss.id], 0);
            }
            tern_set(x, i, old);
            double numeric = (sides[1] - sides[0]) / (2 * h);
            if (fabs(numeric - analytic) > 2e-5 * (1 + fabs(numeric)))
                fail_msg("%s: gradient to input %d is %.9g, finite differences say %.9g", cases[c].name,
                         which[k], analytic, numeric);
        }
    }
    for (int i = 1; i < g->value_count; i++) tern_tensor_free(&t[i]);
    tern_release(t);
    tern_graph_close(g);
}

static void test_gradients(void **state)
{
    (void)state;
    for (size_t c = 0; c < TERN_COUNT(cases); c++)
        for (int round = 0; round < 12; round++) check_gradient(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_operator_has_a_case),
        cmocka_unit_test(test_work_is_what_is_done),
        cmocka_unit_test(test_fast_is_reference),
        cmocka_unit_test(test_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
