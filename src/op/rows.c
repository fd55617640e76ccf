/* Row by row over the last axis: softmax, and normalising to mean 0 and variance 1, of which layer, group and RMS norm are
 * made. */
#include "op/op.h"

#include <math.h>

static void elementwise_work(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)tern_elements(&call->out[0].shape);
}

static tern_dtype real(tern_dtype dtype)
{
    return dtype == TERN_F64 ? TERN_F64 : TERN_F32;
}

static int64_t row_length(const tern_tensor *x)
{
    return x->shape.rank ? x->shape.dim[x->shape.rank - 1] : 1;
}

static tern_status same_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 3));
    if (types->in[0]->shape.rank < 1) return tern_infer_fail(types, "a scalar has no rows");
    tern_infer_out(types, real(types->in[0]->dtype), types->in[0]->shape);
    return TERN_OK;
}

/* ---- softmax ------------------------------------------------------------------------------------------------ */

static void softmax_run(const tern_call *call)
{
    const tern_tensor *x = &call->in[0];
    int64_t length = row_length(x), n = tern_elements(&x->shape);
    for (int64_t at = 0; at < n; at += length) {
        double highest = -INFINITY, sum = 0;
        for (int64_t i = 0; i < length; i++) highest = fmax(highest, tern_get(x, at + i));
        for (int64_t i = 0; i < length; i++) sum += exp(tern_get(x, at + i) - highest);
        for (int64_t i = 0; i < length; i++)
            tern_set(&call->out[0], at + i, exp(tern_get(x, at + i) - highest) / sum);
        if (call->counter) call->counter->specials += (double)length;
    }
}

static void softmax_work(const tern_call *call, tern_work *work)
{
    work->specials += (double)tern_elements(&call->in[0].shape);
}

static tern_status softmax_grad(tern_grad *c)
{
    c->din[0] = tern_apply2(c->graph, &tern_op_softmax_grad, c->node->out[0], c->dout[0]);
    return TERN_OK;
}

const tern_op tern_op_softmax = {
    .name = "softmax",
    .doc = "e^x over its sum, along the last axis",
    .inplace = {1},
    .infer = same_infer,
    .grad = softmax_grad,
    .work = softmax_work,
    .run = softmax_run,
};

/* y, dy -> dx = y (dy - sum y dy) */
static void softmax_grad_run(const tern_call *call)
{
    const tern_tensor *y = &call->in[0], *dy = &call->in[1];
    int64_t length = row_length(y), n = tern_elements(&y->shape);
    for (int64_t at = 0; at < n; at += length) {
        double sum = 0;
        for (int64_t i = at; i < at + length; i++) sum += tern_get(y, i) * tern_get(dy, i);
        for (int64_t i = at; i < at + length; i++)
            tern_set(&call->out[0], i, tern_get(y, i) * (tern_get(dy, i) - sum));
        if (call->counter) call->counter->elementwise += (double)length;
    }
}

const tern_op tern_op_softmax_grad = {
    .name = "softmax_grad",
    .doc = "gradient of softmax",
    .inplace = {1},
    .infer = same_infer,
    .work = elementwise_work,
    .run = softmax_grad_run,
};

tern_value tern_softmax(tern_graph *graph, tern_value x)
{
    return tern_apply1(graph, &tern_op_softmax, x);
}

/* ---- normalise: (x - mean) / sqrt(var + epsilon), or without the mean (root mean square) -------------------------- */

typedef struct tern_normalise_op {
    double epsilon;
    bool centre;
} tern_normalise_op;
static const tern_arg normalise_args[] = {
    TERN_ARG(tern_normalise_op, epsilon, TERN_ARG_REAL, "added to the variance"),
    TERN_ARG(tern_normalise_op, centre, TERN_ARG_BOOL, "subtract the mean; else root mean square only"),
    {0},
};

/* Mean (0 without centre) and 1/deviation of a row. */
static void row_statistics(const tern_call *call, int64_t at, int64_t length, double *mean, double *inverse)
{
    const tern_normalise_op *a = call->args;
    double sum = 0, squares = 0;
    for (int64_t i = at; a->centre && i < at + length; i++) sum += tern_get(&call->in[0], i);
    *mean = sum / (double)length;
    for (int64_t i = at; i < at + length; i++) {
        double d = tern_get(&call->in[0], i) - *mean;
        squares += d * d;
    }
    *inverse = 1 / sqrt(squares / (double)length + a->epsilon);
}

static void normalise_run(const tern_call *call)
{
    int64_t length = row_length(&call->in[0]), n = tern_elements(&call->in[0].shape);
    for (int64_t at = 0; at < n; at += length) {
        double mean, inverse;
        row_statistics(call, at, length, &mean, &inverse);
        for (int64_t i = at; i < at + length; i++)
            tern_set(&call->out[0], i, (tern_get(&call->in[0], i) - mean) * inverse);
        if (call->counter) call->counter->elementwise += (double)length;
    }
}

static tern_status normalise_grad(tern_grad *c)
{
    tern_value in[] = {c->node->in[0], c->dout[0]};
    c->din[0] = tern_apply(c->graph, &tern_op_normalise_grad, c->node->args, in, 2, NULL);
    return TERN_OK;
}

const tern_op tern_op_normalise = {
    .name = "normalise",
    .doc = "rows to mean 0 and variance 1, or to root mean square 1",
    .args = normalise_args,
    .args_size = sizeof(tern_normalise_op),
    .inplace = {1},
    .infer = same_infer,
    .grad = normalise_grad,
    .work = elementwise_work,
    .run = normalise_run,
};

/* x, dy -> dx = (dy - mean dy - h mean(dy h)) / deviation, h = normalised x; without centre the first mean is left out */
static void normalise_grad_run(const tern_call *call)
{
    const tern_tensor *x = &call->in[0], *dy = &call->in[1];
    int64_t length = row_length(x), n = tern_elements(&x->shape);
    bool centre = TERN_ARGS(tern_normalise_op, call)->centre;
    for (int64_t at = 0; at < n; at += length) {
        double mean, inverse, sum = 0, product = 0;
        row_statistics(call, at, length, &mean, &inverse);
        for (int64_t i = at; i < at + length; i++) {
            sum += centre ? tern_get(dy, i) : 0;
            product += tern_get(dy, i) * (tern_get(x, i) - mean) * inverse;
        }
        for (int64_t i = at; i < at + length; i++) {
            double h = (tern_get(x, i) - mean) * inverse;
            tern_set(&call->out[0], i, inverse * (tern_get(dy, i) - (sum + h * product) / (double)length));
        }
        if (call->counter) call->counter->elementwise += (double)length;
    }
}

const tern_op tern_op_normalise_grad = {
    .name = "normalise_grad",
    .doc = "gradient of normalise",
    .args = normalise_args,
    .args_size = sizeof(tern_normalise_op),
    .inplace = {2},
    .infer = same_infer,
    .work = elementwise_work,
    .run = normalise_grad_run,
};

/* y * weight + bias, both of `shape` */
static tern_value scale_and_shift(tern_graph *g, tern_value y, tern_shape shape, bool bias)
{
    tern_init one = {TERN_INIT_CONSTANT, 1}, zero = {TERN_INIT_ZERO, 0};
    y = tern_multiply(g, y, tern_param(g, tern_layer_name(g, "weight"), shape, one));
    return bias ? tern_add(g, y, tern_param(g, tern_layer_name(g, "bias"), shape, zero)) : y;
}

tern_value tern_layer_norm_with(tern_graph *graph, tern_value x, tern_row_norm_args args)
{
    tern_shape s = tern_shape_of(graph, x);
    tern_layer(graph, "norm", args.name);
    if (graph->status != TERN_OK) return (tern_value){0};
    x = tern_apply(graph, &tern_op_normalise, &(tern_normalise_op){args.epsilon, true}, &x, 1, NULL);
    return scale_and_shift(graph, x, TERN_SHAPE(s.dim[s.rank - 1]), true);
}

tern_value tern_rms_norm_with(tern_graph *graph, tern_value x, tern_row_norm_args args)
{
    tern_shape s = tern_shape_of(graph, x);
    tern_layer(graph, "norm", args.name);
    if (graph->status != TERN_OK) return (tern_value){0};
    x = tern_apply(graph, &tern_op_normalise, &(tern_normalise_op){args.epsilon, false}, &x, 1, NULL);
    return scale_and_shift(graph, x, TERN_SHAPE(s.dim[s.rank - 1]), false);
}

tern_value tern_group_norm_with(tern_graph *graph, tern_value x, tern_row_norm_args args)
{
    tern_shape s = tern_shape_of(graph, x);
    tern_layer(graph, "norm", args.name);
    if (graph->status != TERN_OK) return (tern_value){0};
    if (s.rank < 4 || args.groups < 1 || s.dim[s.rank - 3] % args.groups)
        return tern_graph_fail(graph, "layer %s: %d groups do not divide the channels of [..,C,H,W]",
                               graph->layer, args.groups);
    int64_t channels = s.dim[s.rank - 3],
            row = channels / args.groups * s.dim[s.rank - 2] * s.dim[s.rank - 1];
    tern_value rows = tern_reshape(graph, x, TERN_SHAPE(tern_elements(&s) / row, row));
    rows = tern_apply(graph, &tern_op_normalise, &(tern_normalise_op){args.epsilon, true}, &rows, 1, NULL);
    return scale_and_shift(graph, tern_reshape(graph, rows, s), TERN_SHAPE(channels, 1, 1), true);
}

/* ---- what softmax is for ------------------------------------------------------------------------------------------- */

/* Lower triangle 0, upper -1e9: added to scores [N,N]. */
static tern_value causal_mask(tern_graph *g, int64_t n)
{
    tern_tensor mask;
    tern_shape shape = TERN_SHAPE(n, n);
    if (tern_tensor_new(&mask, TERN_F32, &shape) != TERN_OK) return tern_graph_no_memory(g);
    for (int64_t i = 0; i < n * n; i++) tern_set(&mask, i, i % n > i / n ? -1e9 : 0);
    tern_value value = tern_constant(g, &mask);
    tern_tensor_free(&mask);
    return value;
}

tern_value tern_attention_with(tern_graph *graph, tern_value q, tern_value k, tern_value v,
                               tern_attention_args args)
{
    tern_shape s = tern_shape_of(graph, q), order = {.rank = s.rank};
    tern_layer(graph, "attention", args.name);
    if (graph->status != TERN_OK) return (tern_value){0};
    if (s.rank < 2) return tern_graph_fail(graph, "layer %s: q must be [..,N,D]", graph->layer);
    for (int d = 0; d < s.rank; d++) order.dim[d] = d;
    order.dim[s.rank - 2] = s.rank - 1;
    order.dim[s.rank - 1] = s.rank - 2;
    double scale = args.scale > 0 ? args.scale : 1 / sqrt((double)s.dim[s.rank - 1]);
    tern_value scores = tern_matmul(graph, q, tern_permute(graph, k, order));
    scores = tern_multiply(graph, scores, tern_scalar(graph, scale));
    if (args.causal) scores = tern_add(graph, scores, causal_mask(graph, s.dim[s.rank - 2]));
    return tern_matmul(graph, tern_softmax(graph, scores), v);
}

tern_value tern_mean_squared_error(tern_graph *graph, tern_value x, tern_value target)
{
    tern_value d = tern_square(graph, tern_subtract(graph, x, target));
    return tern_mean(graph, d, .axis = 0, .axes = tern_shape_of(graph, d).rank);
}
