/* Training in fixed point with a learned binary point (QFX; arXiv 2401.17544).  With F = round(f):
 *
 *     y = overflow(round(x 2^F)) 2^-F
 *     dL/dx = dL/dy inside the range, 0 where y is saturated        (rounding is straight-through)
 *     dL/df = sum dL/dy ln2 (x - y) inside, - ln2 y where saturated; wrapped: as if it had not been
 *
 * Where much saturates, dL/df says little: before a norm, which undoes scales, dL/dy of what is saturated and of what is not
 * cancel, and what is not learns faster than f.  So L may have `fit` times the cast's relative squared error, too (after Choi et
 * al., arXiv 1809.00095), for f alone: sum (x - y)^2 / sum x^2, with y saturated whatever becomes of it.  It is next to nothing
 * where x fits.
 *
 * Words have at most 24 bits, so that f32 holds every y exactly, and sums of products of them as long as those need 24 bits. */
#include "op/fixed.h"

#include "kernel/loops.h"

#include <string.h>

static const char *const roundings[] = {"down",      "zero",      "up",        "half-zero",
                                        "half-down", "half-away", "half-even", NULL};
static const char *const overflows[] = {"wrap", "saturate", "zero", "symmetric", NULL};

#define ARG(field, kind, doc) TERN_ARG(tern_fixed_op, field, kind, doc)
const tern_arg tern_fixed_args[] = {
    ARG(bits, TERN_ARG_INT, "of a word, with the sign; 0: x stays as it is"),
    ARG(positive, TERN_ARG_BOOL, "unsigned"),
    {"round", TERN_ARG_CHOICE, offsetof(tern_fixed_op, round), "mode of rounding", roundings},
    {"overflow", TERN_ARG_CHOICE, offsetof(tern_fixed_op, overflow), "what becomes of what does not fit",
     overflows},
    ARG(hot, TERN_ARG_INT, "most one-bits; 0: any"),
    ARG(hold, TERN_ARG_BOOL, "no gradient to x"),
    ARG(share, TERN_ARG_BOOL, "the gradient to f is divided by sqrt(elements 2^(w-1))"),
    ARG(fit, TERN_ARG_REAL, "weight of the relative squared error in the gradient to f"),
    ARG(fixed, TERN_ARG_BOOL, "no gradient to f"),
    {0},
};

/* ---- one number --------------------------------------------------------------------------------------------------- */

double tern_fixed_least(const tern_fixed_op *a)
{
    return a->positive ? 0 : -ldexp(1, a->bits - 1) + (a->overflow == TERN_OVERFLOW_SYMMETRIC);
}

double tern_fixed_most(const tern_fixed_op *a)
{
    return ldexp(1, a->bits - !a->positive) - 1;
}

double tern_fixed_round(tern_round_mode mode, double v)
{
    switch (mode) {
    case TERN_ROUND_DOWN:
        return floor(v);
    case TERN_ROUND_ZERO:
        return trunc(v);
    case TERN_ROUND_UP: /* v + 1/2 could round */
        return v - floor(v) >= 0.5 ? ceil(v) : floor(v);
    case TERN_ROUND_HALF_ZERO:
        return v > 0 ? ceil(v - 0.5) : floor(v + 0.5);
    case TERN_ROUND_HALF_DOWN:
        return v - floor(v) > 0.5 ? ceil(v) : floor(v);
    case TERN_ROUND_HALF_AWAY:
        return round(v);
    case TERN_ROUND_HALF_EVEN:
        return nearbyint(v);
    }
    return v;
}

double tern_fixed_fit(const tern_fixed_op *a, double k, bool *saturated)
{
    double low = tern_fixed_least(a), high = tern_fixed_most(a), span = ldexp(1, a->bits);
    *saturated = false;
    if (k >= low && k <= high) return k;
    if (k != k) return low;
    *saturated = a->overflow != TERN_OVERFLOW_WRAP;
    switch (a->overflow) {
    case TERN_OVERFLOW_WRAP: {
        double rest = fmod(k, span);
        if (rest < 0) rest += span;
        return rest > high ? rest - span : rest;
    }
    case TERN_OVERFLOW_SATURATE:
    case TERN_OVERFLOW_SYMMETRIC:
        return k < low ? low : high;
    case TERN_OVERFLOW_ZERO:
        break;
    }
    return 0;
}

static int64_t top_power(int64_t m)
{
    int64_t power = 1;
    while (power * 2 <= m) power *= 2;
    return power;
}

int64_t tern_fixed_hot(int64_t magnitude, int hot, int64_t most)
{
    int64_t rest = magnitude, sum = 0, below = 0;
    for (int k = 0; k < hot && rest > 0; k++) {
        int64_t power = top_power(rest), up = 2 * rest >= 3 * power && k == hot - 1 ? 2 * power : power;
        below = sum + power;
        sum += up;
        rest = magnitude - sum;
    }
    return sum <= most ? sum : below; /* a carry that leaves the word */
}

double tern_fixed_code(const tern_fixed_op *a, double scaled, bool *saturated)
{
    double k = tern_fixed_fit(a, tern_fixed_round(a->round, scaled), saturated);
    if (a->hot <= 0 || k == 0) return k;
    double most = k < 0 ? -tern_fixed_least(a) : tern_fixed_most(a);
    return copysign((double)tern_fixed_hot((int64_t)fabs(k), a->hot, (int64_t)most), k);
}

tern_dtype tern_fixed_dtype(const tern_fixed_op *a)
{
    int bits = a->bits + a->positive;
    if (a->positive && a->bits <= 8) return TERN_U8;
    return bits <= 8 ? TERN_I8 : bits <= 16 ? TERN_I16 : TERN_I32;
}

tern_status tern_fixed_check(const tern_infer *types, const tern_fixed_op *a)
{
    if (a->bits < 0 || a->bits > TERN_FIXED_MOST_BITS || a->hot < 0 || (a->bits == 1 && !a->positive))
        return tern_infer_fail(types, "words of %d bits: expected 2 to %d (1 where they are unsigned)",
                               a->bits, TERN_FIXED_MOST_BITS);
    return TERN_OK;
}

/* ---- fixed: x, f [1] -> y ----------------------------------------------------------------------------------------- */

static tern_status fixed_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    TERN_TRY(tern_fixed_check(types, types->args));
    TERN_TRY(tern_infer_like(types, 1, 1, TERN_SHAPE(1)));
    tern_infer_out(types, types->in[0]->dtype == TERN_F64 ? TERN_F64 : TERN_F32, types->in[0]->shape);
    return TERN_OK;
}

static double value_of(const tern_fixed_op *a, double x, int point, bool *saturated)
{
    *saturated = false;
    return a->bits ? ldexp(tern_fixed_code(a, ldexp(x, point), saturated), -point) : x;
}

static int point_of(const tern_call *call)
{
    return (int)tern_fixed_point(tern_get(&call->in[1], 0));
}

static void fixed_run(const tern_call *call)
{
    int64_t n = tern_elements(&call->out[0].shape);
    int point = point_of(call);
    bool saturated;
    for (int64_t i = 0; i < n; i++) {
        tern_set(&call->out[0], i, value_of(call->args, tern_get(&call->in[0], i), point, &saturated));
        if (call->counter) call->counter->elementwise++;
    }
}

/* Halves up, saturated, any number of ones: what nearly every cast is. */
static bool is_common(const tern_call *call)
{
    const tern_fixed_op *a = call->args;
    for (int i = 0; i < call->nin; i++)
        if (call->in[i].dtype != TERN_F32) return false;
    return a->bits && !a->hot && a->round == TERN_ROUND_UP && a->overflow == TERN_OVERFLOW_SATURATE;
}

typedef struct tern_common {
    float scale, back, low, high;
} tern_common;

static tern_common common_of(const tern_call *call)
{
    const tern_fixed_op *a = call->args;
    int point = point_of(call);
    return (tern_common){ldexpf(1, point), ldexpf(1, -point), (float)tern_fixed_least(a),
                         (float)tern_fixed_most(a)};
}

/* floor(v + 1/2) of a float that fits in 25 bits; v + 1/2 is rounded, so that ties are looked at. */
static inline float nearest(float v)
{
    float whole = (float)(int32_t)v;
    whole -= whole > v ? 1.0f : 0.0f; /* the floor */
    return whole + (v - whole >= 0.5f ? 1.0f : 0.0f);
}

static inline float bounded(float v, float low, float high)
{
    v = v > low - 1 ? v : low - 1;
    return v < high + 1 ? v : high + 1;
}

enum { PER_TASK = 16384 };

static int64_t tasks_of(int64_t elements)
{
    return (elements + PER_TASK - 1) / PER_TASK;
}

static void fixed_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tern_call *call = context;
    tern_common c = common_of(call);
    const float *x = call->in[0].data;
    float *y = call->out[0].data;
    int64_t n = tern_elements(&call->in[0].shape), last = (task + 1) * PER_TASK;
    for (int64_t i = task * PER_TASK; i < last && i < n; i++) {
        float k = nearest(bounded(x[i] * c.scale, c.low, c.high));
        k = k < c.low ? c.low : k;
        y[i] = (k > c.high ? c.high : k) * c.back;
    }
}

static void fixed_fast(const tern_call *call)
{
    tern_pool_run(call->pool, tasks_of(tern_elements(&call->in[0].shape)), fixed_task,
                  (void *)(uintptr_t)call);
}

static const tern_fast fixed_kernels[] = {{"saturate", is_common, NULL, fixed_fast}, {0}};

static tern_status fixed_grad(tern_grad *c)
{
    const tern_fixed_op *a = c->node->args;
    tern_value in[] = {c->node->in[0], c->node->in[1], c->dout[0]}, out[2] = {{0}};
    if (!a->bits) {
        c->din[0] = c->dout[0];
        return TERN_OK;
    }
    tern_apply(c->graph, &tern_op_fixed_grad, a, in, 3, out);
    if (!a->hold) c->din[0] = out[0];
    if (!a->fixed) c->din[1] = out[1];
    return TERN_OK;
}

const tern_op tern_op_fixed = {
    .name = "fixed",
    .doc = "as a fixed-point number whose binary point is learned",
    .args = tern_fixed_args,
    .args_size = sizeof(tern_fixed_op),
    .inplace = {1},
    .infer = fixed_infer,
    .grad = fixed_grad,
    .work = tern_work_inputs,
    .run = fixed_run,
    .fast = fixed_kernels,
};

/* ---- x, f, dy -> dx, df ------------------------------------------------------------------------------------------- */

static tern_status fixed_grad_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    TERN_TRY(tern_fixed_check(types, types->args));
    TERN_TRY(tern_infer_like(types, 1, 1, TERN_SHAPE(1)));
    TERN_TRY(tern_infer_like(types, 2, 2, types->in[0]->shape));
    tern_infer_out(types, types->in[2]->dtype, types->in[0]->shape);
    tern_infer_out(types, types->in[2]->dtype, types->in[1]->shape);
    return TERN_OK;
}

/* What the sum of the gradient to f is multiplied by. */
static double factor_of(const tern_call *call)
{
    const tern_fixed_op *a = call->args;
    double n = (double)tern_elements(&call->in[0].shape);
    return log(2) / (a->share && n > 0 ? sqrt(n * ldexp(1, a->bits - 1)) : 1);
}

/* dy/df / ln2; *inside: dy/dx is 1. */
static double slope(const tern_fixed_op *a, double x, int point, bool *inside)
{
    bool saturated;
    double y = value_of(a, x, point, &saturated);
    *inside = !saturated;
    if (saturated) return -y;
    double k = ldexp(x, point);
    if (a->overflow == TERN_OVERFLOW_WRAP && a->bits) { /* as if it had not been wrapped */
        double r = tern_fixed_round(a->round, k);
        if (r < tern_fixed_least(a) || r > tern_fixed_most(a)) y = ldexp(r, -point);
    }
    return x - y;
}

/* Half of d(x - y)^2/df / ln2, with y saturated. */
static double error_slope(const tern_fixed_op *a, double x, int point)
{
    double k = tern_fixed_round(a->round, ldexp(x, point)), low = tern_fixed_least(a),
           high = tern_fixed_most(a), y = ldexp(fmin(fmax(k, low), high), -point);
    return (y - x) * ((k >= low && k <= high ? x : 0) - y);
}

/* Sums over elements. */
typedef struct tern_slopes {
    double loss, error, squares; /* dL/df / ln2, error_slope, x^2 */
} tern_slopes;

static double point_gradient(const tern_call *call, const tern_slopes *sums)
{
    const tern_fixed_op *a = call->args;
    double error = sums->squares > 0 ? 2 * a->fit * sums->error / sums->squares : 0;
    return (sums->loss + error) * factor_of(call);
}

static void fixed_grad_run(const tern_call *call)
{
    int64_t n = tern_elements(&call->in[0].shape);
    int point = point_of(call);
    tern_slopes sums = {0};
    for (int64_t i = 0; i < n; i++) {
        bool inside;
        double x = tern_get(&call->in[0], i), dy = tern_get(&call->in[2], i);
        sums.loss += dy * slope(call->args, x, point, &inside);
        sums.error += error_slope(call->args, x, point);
        sums.squares += x * x;
        if (call->out[0].data) tern_set(&call->out[0], i, inside ? dy : 0);
        if (call->counter) call->counter->elementwise++;
    }
    if (call->out[1].data) tern_set(&call->out[1], 0, point_gradient(call, &sums));
}

static void fixed_grad_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tern_call *call = context;
    tern_common c = common_of(call);
    const float *x = call->in[0].data, *dy = call->in[2].data;
    float *dx = call->out[0].data;
    int64_t n = tern_elements(&call->in[0].shape), last = (task + 1) * PER_TASK;
    tern_slopes sums = {0};
    for (int64_t i = task * PER_TASK; i < last && i < n; i++) {
        float k = nearest(bounded(x[i] * c.scale, c.low, c.high));
        bool below = k < c.low, inside = !below && !(k > c.high);
        float y = (inside ? k : below ? c.low : c.high) * c.back;
        float by_f = (inside ? x[i] : 0) - y;
        sums.loss += (double)(dy[i] * by_f);
        sums.error += (double)((y - x[i]) * by_f);
        sums.squares += (double)(x[i] * x[i]);
        if (dx) dx[i] = inside ? dy[i] : 0;
    }
    ((tern_slopes *)call->scratch)[task] = sums;
}

static void fixed_grad_fast(const tern_call *call)
{
    int64_t tasks = tasks_of(tern_elements(&call->in[0].shape));
    tern_pool_run(call->pool, tasks, fixed_grad_task, (void *)(uintptr_t)call);
    tern_slopes sums = {0};
    for (int64_t t = 0; t < tasks; t++) {
        const tern_slopes *part = &((const tern_slopes *)call->scratch)[t];
        sums.loss += part->loss;
        sums.error += part->error;
        sums.squares += part->squares;
    }
    if (call->out[1].data) tern_set(&call->out[1], 0, point_gradient(call, &sums));
}

static size_t fixed_grad_scratch(const tern_call *call)
{
    return (size_t)tasks_of(tern_elements(&call->in[0].shape)) * sizeof(tern_slopes);
}

static const tern_fast fixed_grad_kernels[] = {{"saturate", is_common, fixed_grad_scratch, fixed_grad_fast},
                                               {0}};

const tern_op tern_op_fixed_grad = {
    .name = "fixed_grad",
    .doc = "gradient of fixed to x and to the binary point",
    .args = tern_fixed_args,
    .args_size = sizeof(tern_fixed_op),
    .inplace = {3},
    .infer = fixed_grad_infer,
    .work = tern_work_inputs,
    .run = fixed_grad_run,
    .fast = fixed_grad_kernels,
};

tern_value tern_fixed_with(tern_graph *graph, tern_value x, tern_fixed_arguments args)
{
    tern_layer(graph, "fixed", args.name);
    tern_init init = {TERN_INIT_CONSTANT, args.point};
    tern_value f = tern_param(graph, tern_layer_name(graph, "point"), TERN_SHAPE(1), init);
    tern_rate(graph, f, TERN_FIXED_RATE);
    tern_fixed_op op = {.bits = args.width,
                        .positive = args.positive,
                        .round = args.round,
                        .overflow = args.overflow,
                        .hot = args.hot,
                        .fixed = args.still,
                        .share = true};
    tern_value in[] = {x, f};
    return tern_apply(graph, &tern_op_fixed, &op, in, 2, NULL);
}
