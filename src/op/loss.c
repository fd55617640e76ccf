/* Losses: one number from predictions and targets. */
#include "kernel/rows.h"
#include "op/op.h"

#include <math.h>

static const tern_arg cross_entropy_args[] = {
    TERN_ARG(tern_cross_entropy_args, smoothing, TERN_ARG_REAL,
             "share of the target spread over all classes"),
    {0},
};

static tern_status cross_entropy_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    const tern_type *x = types->in[0], *labels = types->in[1];
    char a[96], b[96];
    if (x->shape.rank != 2 || labels->shape.rank != 1 || labels->shape.dim[0] != x->shape.dim[0])
        return tern_infer_fail(types, "logits %s and labels %s: expected [B,C] and [B]",
                               tern_shape_text(a, &x->shape), tern_shape_text(b, &labels->shape));
    if (labels->dtype != TERN_I32)
        return tern_infer_fail(types, "labels are %s, expected i32", tern_dtype_of(labels->dtype)->name);
    tern_infer_out(types, x->dtype, TERN_SHAPE(1)); /* loss */
    tern_infer_out(types, x->dtype, x->shape);      /* probabilities, for the gradient */
    return TERN_OK;
}

/* Softmax of one row of `count` logits into `out`; returns log(sum exp). */
static double softmax_row(const tern_tensor *x, const tern_tensor *out, int64_t at, int64_t count)
{
    double highest = -INFINITY, sum = 0;
    for (int64_t c = 0; c < count; c++) highest = fmax(highest, tern_get(x, at + c));
    for (int64_t c = 0; c < count; c++) sum += exp(tern_get(x, at + c) - highest);
    for (int64_t c = 0; out->data && c < count; c++)
        tern_set(out, at + c, exp(tern_get(x, at + c) - highest) / sum);
    return highest + log(sum);
}

static void cross_entropy_run(const tern_call *call)
{
    const tern_tensor *x = &call->in[0], *labels = &call->in[1];
    int64_t rows = x->shape.dim[0], classes = x->shape.dim[1], used = 0;
    double smoothing = TERN_ARGS(tern_cross_entropy_args, call)->smoothing, loss = 0;
    for (int64_t r = 0; r < rows; r++) {
        double log_sum = softmax_row(x, &call->out[1], r * classes, classes), mean = 0;
        int64_t label = (int64_t)tern_get(labels, r);
        if (call->counter) call->counter->specials += (double)classes;
        if (label < 0 || label >= classes) continue;
        for (int64_t c = 0; c < classes; c++) mean += tern_get(x, r * classes + c) / (double)classes;
        loss += log_sum - (1 - smoothing) * tern_get(x, r * classes + label) - smoothing * mean;
        used++;
    }
    if (call->out[0].data) tern_set(&call->out[0], 0, used ? loss / (double)used : 0);
}

static bool cross_entropy_matches(const tern_call *call)
{
    return call->in[0].dtype == TERN_F32;
}

static size_t cross_entropy_scratch(const tern_call *call)
{
    return (size_t)call->in[0].shape.dim[0] * sizeof(float);
}

/* Probabilities and the logarithms of the sums row by row, then the loss in the order of the rows. */
static void cross_entropy_fast(const tern_call *call)
{
    int64_t rows = call->in[0].shape.dim[0], classes = call->in[0].shape.dim[1], used = 0;
    double smoothing = TERN_ARGS(tern_cross_entropy_args, call)->smoothing, loss = 0;
    const float *x = call->in[0].data, *log_sums = call->scratch;
    const int32_t *labels = call->in[1].data;
    tern_softmax_rows(call->pool, rows, classes, x, call->out[1].data, call->scratch);
    for (int64_t r = 0; r < rows; r++, x += classes) {
        double mean = 0;
        if (labels[r] < 0 || labels[r] >= classes) continue;
        for (int64_t c = 0; smoothing > 0 && c < classes; c++) mean += (double)x[c];
        loss +=
            (double)log_sums[r] - (1 - smoothing) * (double)x[labels[r]] - smoothing * mean / (double)classes;
        used++;
    }
    if (call->out[0].data) *(float *)call->out[0].data = (float)(used ? loss / (double)used : 0);
}

static const tern_fast cross_entropy_kernels[] = {
    {"rows", cross_entropy_matches, cross_entropy_scratch, cross_entropy_fast}, {0}};

static tern_status cross_entropy_grad(tern_grad *c)
{
    tern_value in[] = {c->node->out[1], c->node->in[1], c->dout[0]};
    c->din[0] = tern_apply(c->graph, &tern_op_cross_entropy_grad, c->node->args, in, 3, NULL);
    return TERN_OK;
}

const tern_op tern_op_cross_entropy = {
    .name = "cross_entropy",
    .doc = "mean cross-entropy of softmax(logits) against labels",
    .args = cross_entropy_args,
    .args_size = sizeof(tern_cross_entropy_args),
    .infer = cross_entropy_infer,
    .grad = cross_entropy_grad,
    .work = tern_special_inputs,
    .run = cross_entropy_run,
    .fast = cross_entropy_kernels,
};

/* dlogits = dloss (p - target) / rows:  p [B,C], labels [B], dloss [1] */
static tern_status cross_entropy_grad_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    const tern_shape *p = &types->in[0]->shape;
    char text[96];
    if (p->rank != 2)
        return tern_infer_fail(types, "probabilities are %s, expected [B,C]", tern_shape_text(text, p));
    TERN_TRY(tern_infer_like(types, 1, 1, TERN_SHAPE(p->dim[0])));
    TERN_TRY(tern_infer_like(types, 2, 2, TERN_SHAPE(1)));
    tern_infer_out(types, types->in[0]->dtype, types->in[0]->shape);
    return TERN_OK;
}

static void cross_entropy_grad_run(const tern_call *call)
{
    const tern_tensor *p = &call->in[0], *labels = &call->in[1], *dx = &call->out[0];
    int64_t rows = p->shape.dim[0], classes = p->shape.dim[1], used = 0;
    double smoothing = TERN_ARGS(tern_cross_entropy_args, call)->smoothing, dloss = tern_get(&call->in[2], 0);
    for (int64_t r = 0; r < rows; r++) {
        int64_t label = (int64_t)tern_get(labels, r);
        used += label >= 0 && label < classes;
    }
    for (int64_t r = 0; r < rows; r++) {
        int64_t label = (int64_t)tern_get(labels, r);
        bool counts = label >= 0 && label < classes;
        for (int64_t c = 0; c < classes; c++) {
            double target = (c == label ? 1 - smoothing : 0) + smoothing / (double)classes;
            double d = counts ? dloss * (tern_get(p, r * classes + c) - target) / (double)used : 0;
            tern_set(dx, r * classes + c, d);
            if (call->counter) call->counter->elementwise++;
        }
    }
}

const tern_op tern_op_cross_entropy_grad = {
    .name = "cross_entropy_grad",
    .doc = "gradient of cross_entropy to the logits",
    .args = cross_entropy_args,
    .args_size = sizeof(tern_cross_entropy_args),
    .inplace = {1},
    .infer = cross_entropy_grad_infer,
    .work = tern_work_inputs,
    .run = cross_entropy_grad_run,
};

tern_value tern_cross_entropy_with(tern_graph *graph, tern_value logits, tern_value labels,
                                   tern_cross_entropy_args args)
{
    return tern_apply(graph, &tern_op_cross_entropy, &args, (tern_value[]){logits, labels}, 2, NULL);
}

tern_value tern_mean_squared_error(tern_graph *graph, tern_value x, tern_value target)
{
    tern_value d = tern_square(graph, tern_subtract(graph, x, target));
    return tern_mean(graph, d, .axis = 0, .axes = tern_shape_of(graph, d).rank);
}
