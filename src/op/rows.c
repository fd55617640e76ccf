/* Row by row over the last axis: softmax, its logarithm, and normalising to mean 0 and variance 1. */
#include "op/norm.h"
#include "op/op.h"

#include "kernel/rows.h"

#include <math.h>

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
    TERN_TRY(tern_infer_inputs(types, 1, types->nin > 1 ? 2 : 1));
    if (types->in[0]->shape.rank < 1) return tern_infer_fail(types, "a scalar has no rows");
    tern_infer_out(types, real(types->in[0]->dtype), types->in[0]->shape);
    return TERN_OK;
}

static int64_t rows_of(const tern_tensor *x)
{
    int64_t length = row_length(x);
    return length ? tern_elements(&x->shape) / length : 0;
}

/* A row operator's gradient: of the same shape as the value beside it. */
static tern_status pair_infer(tern_infer *types)
{
    char a[96], b[96];
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    if (!tern_shape_equal(&types->in[0]->shape, &types->in[1]->shape))
        return tern_infer_fail(types, "expected two equal shapes, found %s and %s",
                               tern_shape_text(a, &types->in[0]->shape),
                               tern_shape_text(b, &types->in[1]->shape));
    return same_infer(types);
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

static void softmax_fast(const tern_call *call)
{
    const tern_tensor *x = &call->in[0];
    tern_softmax_rows(call->pool, rows_of(x), row_length(x), x->data, call->out[0].data, NULL);
}

static const tern_fast softmax_kernels[] = {{"rows", tern_all_f32, NULL, softmax_fast}, {0}};

static tern_status softmax_emit(const tern_call *call, tern_emit *to)
{
    long long length = row_length(&call->in[0]), n = tern_elements(&call->in[0].shape);
    to->math = true;
    tern_text_format(
        to->text,
        "    for (int at = 0; at < %lld; at += %lld) {\n"
        "        double highest = in0[at], sum = 0;\n"
        "        for (int i = 1; i < %lld; i++) highest = fmax(highest, in0[at + i]);\n"
        "        for (int i = 0; i < %lld; i++) sum += exp(in0[at + i] - highest);\n"
        "        for (int i = 0; i < %lld; i++) out0[at + i] = (float)(exp(in0[at + i] - highest) / sum);\n"
        "    }\n",
        n, length, length, length, length);
    return TERN_OK;
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
    .work = tern_special_inputs,
    .run = softmax_run,
    .fast = softmax_kernels,
    .emit = softmax_emit,
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

static void softmax_grad_fast(const tern_call *call)
{
    const tern_tensor *y = &call->in[0];
    tern_softmax_grad_rows(call->pool, rows_of(y), row_length(y), y->data, call->in[1].data,
                           call->out[0].data);
}

static const tern_fast softmax_grad_kernels[] = {{"rows", tern_all_f32, NULL, softmax_grad_fast}, {0}};

const tern_op tern_op_softmax_grad = {
    .name = "softmax_grad",
    .doc = "gradient of softmax",
    .inplace = {1},
    .infer = pair_infer,
    .work = tern_work_outputs,
    .run = softmax_grad_run,
    .fast = softmax_grad_kernels,
};

tern_value tern_softmax(tern_graph *graph, tern_value x)
{
    return tern_apply1(graph, &tern_op_softmax, x);
}

/* ---- log_softmax: x - log(sum e^x), along the last axis --------------------------------------------------------- */

static void log_softmax_run(const tern_call *call)
{
    const tern_tensor *x = &call->in[0];
    int64_t length = row_length(x), n = tern_elements(&x->shape);
    for (int64_t at = 0; at < n; at += length) {
        double highest = -INFINITY, sum = 0;
        for (int64_t i = 0; i < length; i++) highest = fmax(highest, tern_get(x, at + i));
        for (int64_t i = 0; i < length; i++) sum += exp(tern_get(x, at + i) - highest);
        for (int64_t i = 0; i < length; i++)
            tern_set(&call->out[0], at + i, tern_get(x, at + i) - highest - log(sum));
        if (call->counter) call->counter->specials += (double)length;
    }
}

static void log_softmax_fast(const tern_call *call)
{
    const tern_tensor *x = &call->in[0];
    tern_log_softmax_rows(call->pool, rows_of(x), row_length(x), x->data, call->out[0].data);
}

static const tern_fast log_softmax_kernels[] = {{"rows", tern_all_f32, NULL, log_softmax_fast}, {0}};

static tern_status log_softmax_grad(tern_grad *c)
{
    c->din[0] = tern_apply2(c->graph, &tern_op_log_softmax_grad, c->node->out[0], c->dout[0]);
    return TERN_OK;
}

const tern_op tern_op_log_softmax = {
    .name = "log_softmax",
    .doc = "x less the logarithm of the sum of e^x, along the last axis",
    .inplace = {1},
    .infer = same_infer,
    .grad = log_softmax_grad,
    .work = tern_special_inputs,
    .run = log_softmax_run,
    .fast = log_softmax_kernels,
};

/* y, dy -> dx = dy - e^y sum dy */
static void log_softmax_grad_run(const tern_call *call)
{
    const tern_tensor *y = &call->in[0], *dy = &call->in[1];
    int64_t length = row_length(y), n = tern_elements(&y->shape);
    for (int64_t at = 0; at < n; at += length) {
        double sum = 0;
        for (int64_t i = at; i < at + length; i++) sum += tern_get(dy, i);
        for (int64_t i = at; i < at + length; i++)
            tern_set(&call->out[0], i, tern_get(dy, i) - exp(tern_get(y, i)) * sum);
        if (call->counter) call->counter->specials += (double)length;
    }
}

static void log_softmax_grad_fast(const tern_call *call)
{
    const tern_tensor *y = &call->in[0];
    tern_log_softmax_grad_rows(call->pool, rows_of(y), row_length(y), y->data, call->in[1].data,
                               call->out[0].data);
}

static const tern_fast log_softmax_grad_kernels[] = {{"rows", tern_all_f32, NULL, log_softmax_grad_fast},
                                                     {0}};

const tern_op tern_op_log_softmax_grad = {
    .name = "log_softmax_grad",
    .doc = "gradient of log_softmax",
    .inplace = {1},
    .infer = pair_infer,
    .work = tern_special_inputs,
    .run = log_softmax_grad_run,
    .fast = log_softmax_grad_kernels,
};

tern_value tern_log_softmax(tern_graph *graph, tern_value x)
{
    return tern_apply1(graph, &tern_op_log_softmax, x);
}

/* ---- normalise: (x - mean) / sqrt(var + epsilon), or without the mean (root mean square) -------------------------- */

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

static void normalise_fast(const tern_call *call)
{
    const tern_normalise_op *a = call->args;
    const tern_tensor *x = &call->in[0];
    tern_normalise_rows(call->pool, rows_of(x), row_length(x), a->epsilon, a->centre, x->data,
                        call->out[0].data);
}

static const tern_fast normalise_kernels[] = {{"rows", tern_all_f32, NULL, normalise_fast}, {0}};

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
    .work = tern_work_outputs,
    .run = normalise_run,
    .fast = normalise_kernels,
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

static void normalise_grad_fast(const tern_call *call)
{
    const tern_normalise_op *a = call->args;
    const tern_tensor *x = &call->in[0];
    tern_normalise_grad_rows(call->pool, rows_of(x), row_length(x), a->epsilon, a->centre, x->data,
                             call->in[1].data, call->out[0].data);
}

static const tern_fast normalise_grad_kernels[] = {{"rows", tern_all_f32, NULL, normalise_grad_fast}, {0}};

const tern_op tern_op_normalise_grad = {
    .name = "normalise_grad",
    .doc = "gradient of normalise",
    .args = normalise_args,
    .args_size = sizeof(tern_normalise_op),
    .inplace = {2},
    .infer = pair_infer,
    .work = tern_work_outputs,
    .run = normalise_grad_run,
    .fast = normalise_grad_kernels,
};
