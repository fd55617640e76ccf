/* Batch norm: each channel to mean 0 and variance 1 over all rows, then scaled and shifted.
 *
 * x [lead..,C,H,W] or [lead..,C], gamma beta running_mean running_var [C].  In training the statistics are those of the
 * batch, per time step with per_step (axis 0 is T), and the running ones follow:  r = (1-m) r + m batch, with the unbiased
 * variance, once for each step.  outputs y, and in training mean [S,C], 1/std [S,C], running mean, running variance (Ioffe & Szegedy 2015). */
#include "op/norm.h"
#include "op/op.h"

#include "kernel/loops.h"

#include <math.h>

#define NORM_ARG(field, kind, doc) TERN_ARG(tern_norm_op, field, kind, doc)
static const tern_arg norm_args[] = {
    NORM_ARG(epsilon, TERN_ARG_REAL, "added to the variance"),
    NORM_ARG(momentum, TERN_ARG_REAL, "share of the batch in the running statistics"),
    NORM_ARG(training, TERN_ARG_BOOL, "statistics of the batch, else the running ones"),
    NORM_ARG(per_step, TERN_ARG_BOOL, "statistics of each time step"),
    NORM_ARG(inner, TERN_ARG_INT, "elements of a channel that stand together"),
    {0},
};

static tern_norm_view view_of(const tern_shape *x, int64_t channels, const tern_norm_op *a)
{
    int64_t rows = tern_elements(x) / (channels * a->inner), steps = a->per_step ? x->dim[0] : 1;
    return (tern_norm_view){.steps = steps, .rows = rows / steps, .channels = channels, .inner = a->inner};
}

static tern_status norm_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 5, 5));
    const tern_norm_op *a = types->args;
    const tern_type *x = types->in[0];
    int64_t channels = tern_elements(&types->in[1]->shape);
    char text[96];
    if (x->shape.rank < 2 || a->inner < 1 || tern_elements(&x->shape) % (channels * a->inner))
        return tern_infer_fail(types, "x is %s, expected [..,C,H,W] or [..,C] with C = %lld",
                               tern_shape_text(text, &x->shape), (long long)channels);
    TERN_TRY(tern_infer_like(types, 2, 4, types->in[1]->shape));
    tern_norm_view v = view_of(&x->shape, channels, a);
    tern_dtype real = types->in[1]->dtype;
    tern_infer_out(types, real, x->shape);
    for (int i = 0; i < 2; i++) tern_infer_out(types, real, TERN_SHAPE(v.steps, channels));
    for (int i = 0; i < 2; i++) tern_infer_out(types, real, types->in[3]->shape);
    return TERN_OK;
}

static int64_t element(const tern_norm_view *v, int64_t step, int64_t row, int64_t channel, int64_t i)
{
    return ((step * v->rows + row) * v->channels + channel) * v->inner + i;
}

/* Mean and variance of a channel at a step. */
static void statistics(const tern_norm_view *v, const tern_tensor *x, int64_t step, int64_t c, double *mean,
                       double *var)
{
    double n = (double)(v->rows * v->inner), sum = 0, squares = 0;
    for (int64_t r = 0; r < v->rows; r++)
        for (int64_t i = 0; i < v->inner; i++) sum += tern_get(x, element(v, step, r, c, i));
    *mean = sum / n;
    for (int64_t r = 0; r < v->rows; r++)
        for (int64_t i = 0; i < v->inner; i++) {
            double d = tern_get(x, element(v, step, r, c, i)) - *mean;
            squares += d * d;
        }
    *var = squares / n;
}

static void norm_run(const tern_call *call)
{
    const tern_norm_op *a = call->args;
    const tern_tensor *x = &call->in[0], *out = call->out;
    tern_norm_view v = view_of(&x->shape, tern_elements(&call->in[1].shape), a);
    double n = (double)(v.rows * v.inner);
    for (int64_t c = 0; c < v.channels; c++) {
        double running_mean = tern_get(&call->in[3], c), running_var = tern_get(&call->in[4], c);
        for (int64_t s = 0; s < v.steps; s++) {
            double mean = running_mean, var = running_var;
            if (a->training) {
                statistics(&v, x, s, c, &mean, &var);
                running_mean += a->momentum * (mean - running_mean);
                running_var += a->momentum * (var * n / (n > 1 ? n - 1 : 1) - running_var);
            }
            double inverse = 1 / sqrt(var + a->epsilon);
            for (int64_t r = 0; r < v.rows; r++)
                for (int64_t i = 0; i < v.inner; i++) {
                    int64_t at = element(&v, s, r, c, i);
                    tern_set(&out[0], at,
                             tern_get(&call->in[1], c) * (tern_get(x, at) - mean) * inverse +
                                 tern_get(&call->in[2], c));
                    if (call->counter) call->counter->elementwise++;
                }
            if (a->training && out[1].data) tern_set(&out[1], s * v.channels + c, mean);
            if (a->training && out[2].data) tern_set(&out[2], s * v.channels + c, inverse);
        }
        if (a->training && out[3].data) tern_set(&out[3], c, running_mean);
        if (a->training && out[4].data) tern_set(&out[4], c, running_var);
    }
}

static tern_status norm_emit(const tern_call *call, tern_emit *to)
{
    const tern_norm_op *a = call->args;
    tern_norm_view v = view_of(&call->in[0].shape, tern_elements(&call->in[1].shape), a);
    if (a->training)
        return tern_fail(TERN_USAGE, "batch_norm with the statistics of the batch is not emitted");
    to->math = true;
    tern_text_format(
        to->text,
        "    for (int c = 0; c < %lld; c++) {\n"
        "        double inverse = 1 / sqrt((double)in4[c] + %.17g);\n"
        "        for (int r = 0; r < %lld; r++)\n"
        "        for (int i = 0; i < %lld; i++) {\n"
        "            int at = (r * %lld + c) * %lld + i;\n"
        "            out0[at] = (float)((double)in1[c] * (%s - (double)in3[c]) * inverse + (double)in2[c]);\n"
        "        }\n"
        "    }\n",
        (long long)v.channels, a->epsilon, (long long)(v.steps * v.rows), (long long)v.inner,
        (long long)v.channels, (long long)v.inner, tern_write_read(call, 0, "at").text);
    return TERN_OK;
}

static tern_status norm_grad(tern_grad *c)
{
    const tern_node *n = c->node;
    const tern_norm_op *a = n->args;
    if (!a->training)
        return tern_fail(TERN_FAILED, "layer %s: batch norm with running statistics is not trained",
                         n->layer);
    tern_value in[] = {n->in[0], n->in[1], n->out[1], n->out[2], c->dout[0]}, out[3];
    if (!c->dout[0].id || !tern_apply(c->graph, &tern_op_batch_norm_grad, a, in, 5, out).id) return TERN_OK;
    for (int i = 0; i < 3; i++) c->din[i] = out[i];
    return TERN_OK;
}

static bool norm_matches(const tern_call *call)
{
    return call->in[0].dtype == TERN_F32 && call->in[1].dtype == TERN_F32;
}

static size_t norm_scratch(const tern_call *call)
{
    tern_norm_view v = view_of(&call->in[0].shape, tern_elements(&call->in[1].shape), call->args);
    return tern_norm_scratch(&v);
}

static void norm_fast(const tern_call *call)
{
    const tern_norm_op *a = call->args;
    const tern_tensor *in = call->in, *out = call->out;
    tern_norm_view v = view_of(&in[0].shape, tern_elements(&in[1].shape), a);
    v.epsilon = a->epsilon;
    v.momentum = a->momentum;
    if (a->training)
        tern_norm_train(call->pool, &v, in[0].data, in[1].data, in[2].data, in[3].data, in[4].data,
                        out[0].data, out[1].data, out[2].data, out[3].data, out[4].data, call->scratch);
    else
        tern_norm_infer(call->pool, &v, in[0].data, in[1].data, in[2].data, in[3].data, in[4].data,
                        out[0].data, call->scratch);
}

static const tern_fast norm_kernels[] = {{"channels", norm_matches, norm_scratch, norm_fast}, {0}};

const tern_op tern_op_batch_norm = {
    .name = "batch_norm",
    .doc = "channels to mean 0 and variance 1, scaled and shifted",
    .args = norm_args,
    .args_size = sizeof(tern_norm_op),
    .flags = TERN_OP_ROWWISE,
    .inplace = {1},
    .infer = norm_infer,
    .grad = norm_grad,
    .work = tern_work_inputs,
    .run = norm_run,
    .emit = norm_emit,
    .fast = norm_kernels,
};

/* ---- x, gamma, mean, 1/std, dy -> dx, dgamma, dbeta -------------------------------------------------------------- */

static tern_status norm_grad_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 5, 5));
    const tern_norm_op *a = types->args;
    const tern_shape *x = &types->in[0]->shape;
    int64_t channels = tern_elements(&types->in[1]->shape);
    char text[96];
    if (x->rank < 2 || a->inner < 1 || channels < 1 || tern_elements(x) % (channels * a->inner))
        return tern_infer_fail(types, "x is %s, expected [..,C,H,W] or [..,C] with C = %lld",
                               tern_shape_text(text, x), (long long)channels);
    TERN_TRY(tern_infer_like(types, 2, 3, TERN_SHAPE(view_of(x, channels, a).steps, channels)));
    TERN_TRY(tern_infer_like(types, 4, 4, *x));
    tern_infer_out(types, types->in[4]->dtype, types->in[0]->shape);
    for (int i = 0; i < 2; i++) tern_infer_out(types, types->in[4]->dtype, types->in[1]->shape);
    return TERN_OK;
}

/* With h = (x - mean)/std: dbeta = sum dy, dgamma = sum dy h, dx = gamma/std (dy - dbeta/n - h dgamma/n), sums per step. */
static void norm_grad_run(const tern_call *call)
{
    const tern_norm_op *a = call->args;
    const tern_tensor *x = &call->in[0], *dy = &call->in[4];
    tern_norm_view v = view_of(&x->shape, tern_elements(&call->in[1].shape), a);
    double n = (double)(v.rows * v.inner);
    for (int64_t c = 0; c < v.channels; c++) {
        double dgamma = 0, dbeta = 0, gamma = tern_get(&call->in[1], c);
        for (int64_t s = 0; s < v.steps; s++) {
            double mean = tern_get(&call->in[2], s * v.channels + c),
                   inverse = tern_get(&call->in[3], s * v.channels + c);
            double sum = 0, product = 0;
            for (int64_t k = 0; k < v.rows * v.inner; k++) {
                int64_t at = element(&v, s, k / v.inner, c, k % v.inner);
                sum += tern_get(dy, at);
                product += tern_get(dy, at) * (tern_get(x, at) - mean) * inverse;
            }
            for (int64_t k = 0; call->out[0].data && k < v.rows * v.inner; k++) {
                int64_t at = element(&v, s, k / v.inner, c, k % v.inner);
                double h = (tern_get(x, at) - mean) * inverse;
                tern_set(&call->out[0], at, gamma * inverse * (tern_get(dy, at) - sum / n - h * product / n));
            }
            if (call->counter) call->counter->elementwise += n;
            dgamma += product;
            dbeta += sum;
        }
        if (call->out[1].data) tern_set(&call->out[1], c, dgamma);
        if (call->out[2].data) tern_set(&call->out[2], c, dbeta);
    }
}

static void norm_grad_fast(const tern_call *call)
{
    const tern_tensor *in = call->in, *out = call->out;
    tern_norm_view v = view_of(&in[0].shape, tern_elements(&in[1].shape), call->args);
    tern_norm_backward(call->pool, &v, in[0].data, in[1].data, in[2].data, in[3].data, in[4].data,
                       out[0].data, out[1].data, out[2].data, call->scratch);
}

static const tern_fast norm_grad_kernels[] = {{"channels", norm_matches, norm_scratch, norm_grad_fast}, {0}};

const tern_op tern_op_batch_norm_grad = {
    .name = "batch_norm_grad",
    .doc = "gradient of batch_norm in training",
    .args = norm_args,
    .args_size = sizeof(tern_norm_op),
    .inplace = {5},
    .infer = norm_grad_infer,
    .work = tern_work_inputs,
    .run = norm_grad_run,
    .fast = norm_grad_kernels,
};

tern_value tern_batch_norm_with(tern_graph *graph, tern_value x, tern_batch_norm_args args)
{
    tern_shape s = tern_shape_of(graph, x);
    tern_layer(graph, "norm", args.name);
    if (graph->status != TERN_OK) return (tern_value){0};
    int axis = s.rank >= 4 ? s.rank - 3 : s.rank - 1;
    tern_shape channels = TERN_SHAPE(s.dim[axis]);
    tern_init one = {TERN_INIT_CONSTANT, 1}, zero = {TERN_INIT_ZERO, 0};
    tern_value in[5] = {
        x, tern_param(graph, tern_layer_name(graph, "weight"), channels, one),
        tern_param(graph, tern_layer_name(graph, "bias"), channels, zero),
        tern_state(graph, tern_layer_name(graph, "running_mean"), TERN_F32, channels, zero, true),
        tern_state(graph, tern_layer_name(graph, "running_var"), TERN_F32, channels, one, true)};
    bool noted = graph->options.batch_statistics, training = graph->options.training || noted;
    tern_norm_op op = {args.epsilon, noted ? 1 : args.momentum, training, args.per_step && !noted && training,
                       (int)tern_elements_from(&s, axis + 1)};
    tern_value out[5] = {{0}};
    tern_apply(graph, &tern_op_batch_norm, &op, in, 5, out);
    if (training) {
        tern_next(graph, in[3], out[3]);
        tern_next(graph, in[4], out[4]);
    }
    return out[0];
}
