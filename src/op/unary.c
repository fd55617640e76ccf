/* Element by element, one input: a function and its derivative are all that there is to say. */
#include "op/op.h"

#include "kernel/loops.h"

#include <math.h>

static tern_status unary_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    const tern_type *x = types->in[0];
    tern_infer_out(types, x->dtype == TERN_F64 ? TERN_F64 : TERN_F32, x->shape);
    return TERN_OK;
}

/* x, dy -> dx */
static tern_status slope_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    tern_infer_out(types, types->in[1]->dtype, types->in[0]->shape);
    return TERN_OK;
}

static void unary_run(const tern_call *call, double (*f)(double), bool slope)
{
    int64_t n = tern_elements(&call->out[0].shape);
    for (int64_t i = 0; i < n; i++) {
        double y = f(tern_get(&call->in[0], i));
        tern_set(&call->out[0], i, slope ? y * tern_get(&call->in[1], i) : y);
        if (call->counter) call->counter->elementwise++;
    }
}

static void unary_work(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)tern_elements(&call->out[0].shape);
}

static bool all_f32(const tern_call *call)
{
    for (int i = 0; i < call->nin; i++)
        if (call->in[i].dtype != TERN_F32) return false;
    return true;
}

/* f32 in pieces of a fixed size, on the pool. */
typedef struct tern_unary_job {
    const float *x, *dy;
    float *y;
    int64_t count;
    void (*piece)(const struct tern_unary_job *job, int64_t from, int64_t to);
} tern_unary_job;

#define PIECE 4096

static void unary_task(void *context, int64_t task, int thread)
{
    const tern_unary_job *job = context;
    int64_t to = (task + 1) * PIECE;
    (void)thread;
    job->piece(job, task * PIECE, to < job->count ? to : job->count);
}

static void unary_fast(const tern_call *call, void (*piece)(const tern_unary_job *, int64_t, int64_t))
{
    tern_unary_job job = {.x = call->in[0].data,
                          .dy = call->nin > 1 ? call->in[1].data : NULL,
                          .y = call->out[0].data,
                          .count = tern_elements(&call->out[0].shape),
                          .piece = piece};
    tern_pool_run(call->pool, (job.count + PIECE - 1) / PIECE, unary_task, &job);
}

/* The fast kernels of a function that has no vector loop: its own formula, element by element. */
#define UNARY_LOOPS(name_)                                                                                   \
    static void name_##_piece(const tern_unary_job *job, int64_t from, int64_t to)                           \
    {                                                                                                        \
        for (int64_t i = from; i < to; i++) job->y[i] = (float)name_##_value(job->x[i]);                     \
    }                                                                                                        \
    static void name_##_grad_piece(const tern_unary_job *job, int64_t from, int64_t to)                      \
    {                                                                                                        \
        for (int64_t i = from; i < to; i++) job->y[i] = (float)(name_##_slope(job->x[i]) * job->dy[i]);      \
    }                                                                                                        \
    static void name_##_loop(const tern_call *call)                                                          \
    {                                                                                                        \
        unary_fast(call, name_##_piece);                                                                     \
    }                                                                                                        \
    static void name_##_grad_loop(const tern_call *call)                                                     \
    {                                                                                                        \
        unary_fast(call, name_##_grad_piece);                                                                \
    }                                                                                                        \
    static const tern_fast name_##_loops[] = {{"loop", all_f32, NULL, name_##_loop}, {0}};                   \
    static const tern_fast name_##_grad_loops[] = {{"loop", all_f32, NULL, name_##_grad_loop}, {0}};

/* A function, its derivative, and loops over both. */
#define SMOOTH(name_, doc_, value, slope)                                                                    \
    static double name_##_value(double x)                                                                    \
    {                                                                                                        \
        return value;                                                                                        \
    }                                                                                                        \
    static double name_##_slope(double x)                                                                    \
    {                                                                                                        \
        return slope;                                                                                        \
    }                                                                                                        \
    UNARY_LOOPS(name_)                                                                                       \
    UNARY(name_, doc_, name_##_loops, name_##_grad_loops)                                                    \
    tern_value tern_##name_(tern_graph *graph, tern_value x)                                                 \
    {                                                                                                        \
        return tern_apply1(graph, &tern_op_##name_, x);                                                      \
    }

/* UNARY(name, doc, fast forward, fast gradient): name_value and name_slope are functions.  Makes the operator and its gradient. */
#define UNARY(name_, doc_, fast_, fast_grad_)                                                                \
    static void name_##_run(const tern_call *call)                                                           \
    {                                                                                                        \
        unary_run(call, name_##_value, false);                                                               \
    }                                                                                                        \
    static void name_##_grad_run(const tern_call *call)                                                      \
    {                                                                                                        \
        unary_run(call, name_##_slope, true);                                                                \
    }                                                                                                        \
    static tern_status name_##_grad(tern_grad *c)                                                            \
    {                                                                                                        \
        c->din[0] = tern_apply2(c->graph, &tern_op_##name_##_grad, c->node->in[0], c->dout[0]);              \
        return TERN_OK;                                                                                      \
    }                                                                                                        \
    const tern_op tern_op_##name_ = {                                                                        \
        .name = #name_,                                                                                      \
        .doc = doc_,                                                                                         \
        .flags = TERN_OP_ELEMENTWISE,                                                                        \
        .inplace = {1},                                                                                      \
        .infer = unary_infer,                                                                                \
        .grad = name_##_grad,                                                                                \
        .work = unary_work,                                                                                  \
        .run = name_##_run,                                                                                  \
        .fast = fast_,                                                                                       \
    };                                                                                                       \
    const tern_op tern_op_##name_##_grad = {                                                                 \
        .name = #name_ "_grad",                                                                              \
        .doc = "gradient of " #name_,                                                                        \
        .flags = TERN_OP_ELEMENTWISE,                                                                        \
        .inplace = {2},                                                                                      \
        .infer = slope_infer,                                                                                \
        .work = unary_work,                                                                                  \
        .run = name_##_grad_run,                                                                             \
        .fast = fast_grad_,                                                                                  \
    };

static void relu_fast(const tern_call *call)
{
    int64_t n = tern_elements(&call->out[0].shape);
    tern_binary_loop(call->pool, TERN_LOOP_RELU, n, call->in[0].data, 1, call->in[0].data, 1,
                     call->out[0].data);
}

static void relu_grad_fast(const tern_call *call)
{
    int64_t n = tern_elements(&call->out[0].shape);
    tern_binary_loop(call->pool, TERN_LOOP_RELU_GRAD, n, call->in[0].data, 1, call->in[1].data, 1,
                     call->out[0].data);
}

static const tern_fast relu_kernels[] = {{"loop", all_f32, NULL, relu_fast}, {0}};
static const tern_fast relu_grad_kernels[] = {{"loop", all_f32, NULL, relu_grad_fast}, {0}};

static double relu_value(double x)
{
    return x > 0 ? x : 0;
}

static double relu_slope(double x)
{
    return x > 0 ? 1 : 0;
}

UNARY(relu, "max(x, 0)", relu_kernels, relu_grad_kernels)

tern_value tern_relu(tern_graph *graph, tern_value x)
{
    return tern_apply1(graph, &tern_op_relu, x);
}

/* e^-|x| never overflows. */
static double logistic(double x)
{
    double e = exp(-fabs(x));
    return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

#define ROOT_HALF     0.70710678118654752440
#define ROOT_TWO_PI   2.50662827463100050242
#define SIGN(x)       ((double)((x) > 0) - (double)((x) < 0))
#define SIGMOID(x)    logistic(x)
#define NORMAL_CDF(x) (0.5 * (1 + erf((x)*ROOT_HALF)))

SMOOTH(sigmoid, "1 / (1 + e^-x)", SIGMOID(x), SIGMOID(x) * (1 - SIGMOID(x)))
SMOOTH(tanh, "hyperbolic tangent", tanh(x), 1 - tanh(x) * tanh(x))
SMOOTH(gelu, "x times the normal distribution function", x *NORMAL_CDF(x),
       NORMAL_CDF(x) + x * exp(-0.5 * x * x) / ROOT_TWO_PI)
SMOOTH(silu, "x times sigmoid of x", x *SIGMOID(x), SIGMOID(x) * (1 + x * (1 - SIGMOID(x))))
SMOOTH(softplus, "log(1 + e^x)", fmax(x, 0) + log1p(exp(-fabs(x))), SIGMOID(x))
SMOOTH(exp, "e^x", exp(x), exp(x))
SMOOTH(log, "natural logarithm", log(x), 1 / x)
SMOOTH(sqrt, "square root", sqrt(x), 0.5 / sqrt(x))
SMOOTH(square, "x^2", x *x, 2 * x)
SMOOTH(absolute, "magnitude of x", fabs(x), SIGN(x))

/* ---- clip: the one with limits -------------------------------------------------------------------------- */

typedef struct tern_clip_op {
    double low, high;
} tern_clip_op;
static const tern_arg clip_args[] = {TERN_ARG(tern_clip_op, low, TERN_ARG_REAL, "lower limit"),
                                     TERN_ARG(tern_clip_op, high, TERN_ARG_REAL, "upper limit"),
                                     {0}};

static void clip_run(const tern_call *call)
{
    const tern_clip_op *a = call->args;
    int64_t n = tern_elements(&call->out[0].shape);
    for (int64_t i = 0; i < n; i++) {
        tern_set(&call->out[0], i, fmin(fmax(tern_get(&call->in[0], i), a->low), a->high));
        if (call->counter) call->counter->elementwise++;
    }
}

static tern_status clip_grad(tern_grad *c)
{
    tern_value in[] = {c->node->in[0], c->dout[0]};
    c->din[0] = tern_apply(c->graph, &tern_op_clip_grad, c->node->args, in, 2, NULL);
    return TERN_OK;
}

/* dy inside the limits, 0 outside */
static void clip_grad_run(const tern_call *call)
{
    const tern_clip_op *a = call->args;
    int64_t n = tern_elements(&call->out[0].shape);
    for (int64_t i = 0; i < n; i++) {
        double x = tern_get(&call->in[0], i);
        tern_set(&call->out[0], i, x > a->low && x < a->high ? tern_get(&call->in[1], i) : 0);
        if (call->counter) call->counter->elementwise++;
    }
}

const tern_op tern_op_clip = {
    .name = "clip",
    .doc = "x between two limits",
    .args = clip_args,
    .args_size = sizeof(tern_clip_op),
    .flags = TERN_OP_ELEMENTWISE,
    .inplace = {1},
    .infer = unary_infer,
    .grad = clip_grad,
    .work = unary_work,
    .run = clip_run,
};

const tern_op tern_op_clip_grad = {
    .name = "clip_grad",
    .doc = "gradient of clip",
    .args = clip_args,
    .args_size = sizeof(tern_clip_op),
    .flags = TERN_OP_ELEMENTWISE,
    .inplace = {2},
    .infer = slope_infer,
    .work = unary_work,
    .run = clip_grad_run,
};

tern_value tern_clip(tern_graph *graph, tern_value x, double low, double high)
{
    return tern_apply(graph, &tern_op_clip, &(tern_clip_op){low, high}, &x, 1, NULL);
}
