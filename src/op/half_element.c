/* What nets of 16 bits do besides products: rectifiers, sums, means, updates.  Results are rounded once, sums behind every
 * term. */
#include "op/half.h"

#include <stdio.h>

static int64_t count_of(const tern_call *call)
{
    return tern_elements(&call->out[0].shape);
}

static float get(const tern_call *call, int operand, int64_t i)
{
    return (float)tern_get(&call->in[operand], i);
}

/* "f16_store(", "f16_load(in0[" .. of a format whose numbers are whole words in memory; floats are themselves. */
typedef struct half_words {
    const char *prefix;
    bool whole; /* f32 */
    unsigned infinity;
} half_words;

static half_words words_of(const tern_call *call, int operand)
{
    tern_dtype format = call->in[operand].dtype;
    return (half_words){tern_half_prefix(format), format == TERN_F32, format == TERN_F16 ? 0x7c00 : 0x7f80};
}

/* A number as it lies in memory: "0x3c00", "0x1p+0f". */
static const char *constant(char text[32], tern_dtype format, double value)
{
    uint16_t bits;
    if (format == TERN_F32) {
        snprintf(text, 32, "%af", (double)(float)value);
        return text;
    }
    tern_dtype_of(format)->encode(&bits, 0, 1, &value);
    snprintf(text, 32, "0x%x", (unsigned)bits);
    return text;
}

/* ---- half_relu: x -> x where 0 < x, at most `most` where that is not 0; and its gradient: y, dy -> dy where y is neither 0
 * nor `most` ------------------------------------------------------------------------------------------------------------ */

typedef struct half_relu_op {
    double most;
} half_relu_op;
static const tern_arg relu_args[] = {TERN_ARG(half_relu_op, most, TERN_ARG_REAL, "upper limit; 0: none"),
                                     {0}};

static tern_status like_first_infer(tern_infer *types)
{
    int inputs = types->op == &tern_op_half_relu ? 1 : 2;
    TERN_TRY(tern_infer_inputs(types, inputs, inputs));
    TERN_TRY(tern_half_check(types));
    TERN_TRY(tern_infer_like(types, 1, inputs - 1, types->in[0]->shape));
    tern_infer_out(types, types->in[0]->dtype, types->in[0]->shape);
    return TERN_OK;
}

static float most_of(const tern_call *call)
{
    double most = TERN_ARGS(half_relu_op, call)->most;
    return most > 0 ? tern_half_round(call->in[0].dtype, most) : 0;
}

static void relu_run(const tern_call *call)
{
    float most = most_of(call);
    for (int64_t i = 0; i < count_of(call); i++) {
        float x = get(call, 0, i), y = x > 0 ? x : 0;
        tern_set(&call->out[0], i, (double)(most > 0 && y > most ? most : y));
    }
    if (call->counter) tern_work_outputs(call, call->counter);
}

static tern_status relu_grad(tern_grad *c)
{
    tern_value in[] = {c->node->out[0], c->dout[0]};
    c->din[0] = tern_apply(c->graph, &tern_op_half_relu_grad, c->node->args, in, 2, NULL);
    return TERN_OK;
}

/* Positive halves are in the order of their bits, and NaN is behind infinity. */
static tern_status relu_emit(const tern_call *call, tern_emit *to)
{
    half_words w = words_of(call, 0);
    char most[32];
    tern_text *t = to->text;
    tern_text_format(t, "    for (int i = FIRST(%lld); i < LAST(%lld); i++) {\n", (long long)count_of(call),
                     (long long)count_of(call));
    if (w.whole)
        tern_text_put(t, "        float y = in0[i] > 0 ? in0[i] : 0;\n");
    else
        tern_text_format(t, "        uint16_t y = in0[i] <= 0x%x ? in0[i] : 0;\n", w.infinity);
    if (most_of(call) > 0) {
        constant(most, call->in[0].dtype, (double)most_of(call));
        tern_text_format(t, "        if (y > %s) y = %s;\n", most, most);
    }
    tern_text_put(t, "        out0[i] = y;\n    }\n");
    return TERN_OK;
}

const tern_op tern_op_half_relu = {
    .name = "half_relu",
    .doc = "x where it is above 0",
    .args = relu_args,
    .args_size = sizeof(half_relu_op),
    .inplace = {1},
    .infer = like_first_infer,
    .grad = relu_grad,
    .work = tern_work_outputs,
    .run = relu_run,
    .emit = relu_emit,
};

static void relu_grad_run(const tern_call *call)
{
    float most = most_of(call);
    for (int64_t i = 0; i < count_of(call); i++) {
        float y = get(call, 0, i);
        bool passes = y > 0 && !(most > 0 && y >= most);
        tern_set(&call->out[0], i, passes ? tern_get(&call->in[1], i) : 0);
    }
    if (call->counter) tern_work_outputs(call, call->counter);
}

static tern_status relu_grad_emit(const tern_call *call, tern_emit *to)
{
    char most[32], below[64] = "";
    half_words w = words_of(call, 0);
    if (most_of(call) > 0)
        snprintf(below, sizeof below, " && in0[i] < %s",
                 constant(most, call->in[0].dtype, (double)most_of(call)));
    else if (!w.whole)
        snprintf(below, sizeof below, " && in0[i] <= 0x%x", w.infinity);
    tern_text_format(
        to->text, "    for (int i = FIRST(%lld); i < LAST(%lld); i++) out0[i] = in0[i] > 0%s ? in1[i] : 0;\n",
        (long long)count_of(call), (long long)count_of(call), below);
    return TERN_OK;
}

const tern_op tern_op_half_relu_grad = {
    .name = "half_relu_grad",
    .doc = "gradient of half_relu, from its result",
    .args = relu_args,
    .args_size = sizeof(half_relu_op),
    .inplace = {2},
    .infer = like_first_infer,
    .work = tern_work_outputs,
    .run = relu_grad_run,
    .emit = relu_grad_emit,
};

/* ---- half_add: a, b -> a + b --------------------------------------------------------------------------------------------- */

static void add_run(const tern_call *call)
{
    for (int64_t i = 0; i < count_of(call); i++)
        tern_set(&call->out[0], i,
                 (double)tern_half_step(call->in[0].dtype, get(call, 0, i), get(call, 1, i), 1));
    if (call->counter) tern_work_outputs(call, call->counter);
}

static tern_status add_grad(tern_grad *c)
{
    for (int i = 0; i < 2; i++)
        if (c->need[i]) c->din[i] = c->dout[0];
    return TERN_OK;
}

/* "out[at] = sum + a b" */
static void write_step(const tern_call *call, const char *sum, const char *a, const char *b, const char *to,
                       tern_emit *emit)
{
    half_words w = words_of(call, 0);
    emit->math = emit->math || w.whole;
    if (w.whole)
        tern_text_format(emit->text, "%s = fmaf(%s, %s, %s);\n", to, a, b, sum);
    else
        tern_text_format(emit->text, "%s = %s_term(%s, %s, %s);\n", to, w.prefix, sum, a, b);
}

static tern_status add_emit(const tern_call *call, tern_emit *to)
{
    char one[32];
    tern_text_format(to->text, "    for (int i = FIRST(%lld); i < LAST(%lld); i++) ",
                     (long long)count_of(call), (long long)count_of(call));
    write_step(call, "in0[i]", "in1[i]", constant(one, call->in[0].dtype, 1), "out0[i]", to);
    return TERN_OK;
}

const tern_op tern_op_half_add = {
    .name = "half_add",
    .doc = "a + b of one shape",
    .inplace = {1},
    .infer = like_first_infer,
    .grad = add_grad,
    .work = tern_work_outputs,
    .run = add_run,
    .emit = add_emit,
};

static tern_value add_halves(tern_graph *graph, tern_value a, tern_value b)
{
    return tern_apply2(graph, &tern_op_half_add, a, b);
}

const tern_gradient_ops tern_half_gradient_ops = {add_halves};

/* ---- half_sum: dy [images..,O,H,W] or [images..,O] -> [O], by images, then pixels ------------------------------------------ */

static tern_status sum_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    TERN_TRY(tern_half_check(types));
    const tern_shape *x = &types->in[0]->shape;
    if (x->rank < 2) return tern_infer_fail(types, "dy has rank %d, expected [..,O] or [..,O,H,W]", x->rank);
    tern_infer_out(types, types->in[0]->dtype, TERN_SHAPE(x->dim[x->rank >= 4 ? x->rank - 3 : x->rank - 1]));
    return TERN_OK;
}

static int64_t pixels_of(const tern_shape *x)
{
    return x->rank >= 4 ? x->dim[x->rank - 2] * x->dim[x->rank - 1] : 1;
}

static void sum_run(const tern_call *call)
{
    int64_t outputs = count_of(call), pixels = pixels_of(&call->in[0].shape);
    int64_t images = tern_elements(&call->in[0].shape) / (outputs * pixels);
    for (int64_t o = 0; o < outputs; o++) {
        float sum = 0;
        for (int64_t n = 0; n < images; n++)
            for (int64_t p = 0; p < pixels; p++)
                sum = tern_half_step(call->in[0].dtype, sum, get(call, 0, (n * outputs + o) * pixels + p), 1);
        tern_set(&call->out[0], o, (double)sum);
    }
    if (call->counter) tern_work_inputs(call, call->counter);
}

static tern_status sum_emit(const tern_call *call, tern_emit *to)
{
    long long outputs = count_of(call), pixels = pixels_of(&call->in[0].shape);
    char one[32], from[96];
    snprintf(from, sizeof from, "in0[(n * %lld + o) * %lld + p]", outputs, pixels);
    tern_text_format(to->text,
                     "    for (int o = FIRST(%lld); o < LAST(%lld); o++) {\n"
                     "        %s sum = 0;\n"
                     "        for (int n = 0; n < %lld; n++)\n"
                     "            for (int p = 0; p < %lld; p++) ",
                     outputs, outputs, words_of(call, 0).whole ? "float" : "uint16_t",
                     (long long)(tern_elements(&call->in[0].shape) / (outputs * pixels)), pixels);
    write_step(call, "sum", from, constant(one, call->in[0].dtype, 1), "sum", to);
    tern_text_put(to->text, "        out0[o] = sum;\n    }\n");
    return TERN_OK;
}

const tern_op tern_op_half_sum = {
    .name = "half_sum",
    .doc = "gradient of a bias: sums by output",
    .infer = sum_infer,
    .work = tern_work_inputs,
    .run = sum_run,
    .emit = sum_emit,
};

/* ---- half_mean: x [..,H,W] -> [..], sums of x / (H W); and its gradient: dy [..] -> dy / (H W), `like` x ----------------------- */

typedef struct half_mean_op {
    tern_shape like;
} half_mean_op;
static const tern_arg mean_args[] = {TERN_ARG(half_mean_op, like, TERN_ARG_DIMS, "shape of x"), {0}};

static tern_status mean_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    TERN_TRY(tern_half_check(types));
    tern_shape y = types->in[0]->shape;
    if (y.rank < 3) return tern_infer_fail(types, "x has rank %d, expected [..,H,W]", y.rank);
    y.rank -= 2;
    tern_infer_out(types, types->in[0]->dtype, y);
    return TERN_OK;
}

static void mean_run(const tern_call *call)
{
    int64_t planes = count_of(call), n = tern_elements(&call->in[0].shape) / planes;
    tern_dtype format = call->in[0].dtype;
    float share = tern_half_round(format, 1.0 / (double)n);
    for (int64_t p = 0; p < planes; p++) {
        float sum = 0;
        for (int64_t i = 0; i < n; i++) sum = tern_half_step(format, sum, get(call, 0, p * n + i), share);
        tern_set(&call->out[0], p, (double)sum);
    }
    if (call->counter) tern_work_inputs(call, call->counter);
}

static tern_status mean_grad(tern_grad *c)
{
    half_mean_op args = {tern_shape_of(c->graph, c->node->in[0])};
    c->din[0] = tern_apply(c->graph, &tern_op_half_mean_grad, &args, &c->dout[0], 1, NULL);
    return TERN_OK;
}

static tern_status mean_emit(const tern_call *call, tern_emit *to)
{
    long long planes = count_of(call), n = tern_elements(&call->in[0].shape) / planes;
    char share[32], from[64];
    snprintf(from, sizeof from, "in0[p * %lld + i]", n);
    tern_text_format(to->text,
                     "    for (int p = FIRST(%lld); p < LAST(%lld); p++) {\n"
                     "        %s sum = 0;\n"
                     "        for (int i = 0; i < %lld; i++) ",
                     planes, planes, words_of(call, 0).whole ? "float" : "uint16_t", n);
    write_step(call, "sum", from, constant(share, call->in[0].dtype, 1.0 / (double)n), "sum", to);
    tern_text_put(to->text, "        out0[p] = sum;\n    }\n");
    return TERN_OK;
}

const tern_op tern_op_half_mean = {
    .name = "half_mean",
    .doc = "mean of a plane",
    .infer = mean_infer,
    .grad = mean_grad,
    .work = tern_work_inputs,
    .run = mean_run,
    .emit = mean_emit,
};

static tern_status mean_grad_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    TERN_TRY(tern_half_check(types));
    tern_shape x = TERN_ARGS(half_mean_op, types)->like, y = x;
    y.rank -= 2;
    if (x.rank < 3 || !tern_shape_equal(&y, &types->in[0]->shape))
        return tern_infer_fail(types,
                               "dy has another shape than expected: that of x without its last two axes");
    tern_infer_out(types, types->in[0]->dtype, x);
    return TERN_OK;
}

static void mean_grad_run(const tern_call *call)
{
    int64_t planes = tern_elements(&call->in[0].shape), n = count_of(call) / planes;
    tern_dtype format = call->in[0].dtype;
    float share = tern_half_round(format, 1.0 / (double)n);
    for (int64_t i = 0; i < planes * n; i++)
        tern_set(&call->out[0], i, (double)tern_half_step(format, 0, get(call, 0, i / n), share));
    if (call->counter) tern_work_outputs(call, call->counter);
}

static tern_status mean_grad_emit(const tern_call *call, tern_emit *to)
{
    long long planes = tern_elements(&call->in[0].shape), n = count_of(call) / planes;
    char share[32];
    tern_text_format(to->text,
                     "    for (int p = FIRST(%lld); p < LAST(%lld); p++) {\n"
                     "        %s ",
                     planes, planes, words_of(call, 0).whole ? "float" : "uint16_t");
    write_step(call, "0", "in0[p]", constant(share, call->in[0].dtype, 1.0 / (double)n), "each", to);
    tern_text_format(to->text,
                     "        for (int i = 0; i < %lld; i++) out0[p * %lld + i] = each;\n"
                     "    }\n",
                     n, n);
    return TERN_OK;
}

const tern_op tern_op_half_mean_grad = {
    .name = "half_mean_grad",
    .doc = "gradient of half_mean",
    .args = mean_args,
    .args_size = sizeof(half_mean_op),
    .infer = mean_grad_infer,
    .work = tern_work_outputs,
    .run = mean_grad_run,
    .emit = mean_grad_emit,
};

/* ---- half_update: w, its gradient g times `scale`, rate f32 [1] -> w - rate g ------------------------------------------------ */

/* Without a scale a fused multiply-add with the rounded rate; else in f32, where g / scale does not underflow, rounded once
 * more at the end. */
typedef struct half_update_op {
    double scale;
} half_update_op;
static const tern_arg update_args[] = {
    TERN_ARG(half_update_op, scale, TERN_ARG_REAL, "that gradients were multiplied by"), {0}};

static tern_status update_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    tern_infer halves = *types;
    halves.nin = 2;
    TERN_TRY(tern_half_check(&halves));
    TERN_TRY(tern_infer_like(types, 1, 1, types->in[0]->shape));
    TERN_TRY(tern_infer_like(types, 2, 2, TERN_SHAPE(1)));
    if (types->in[2]->dtype != TERN_F32)
        return tern_infer_fail(types, "the rate is %s, expected f32",
                               tern_dtype_of(types->in[2]->dtype)->name);
    if (!(TERN_ARGS(half_update_op, types)->scale > 0)) return tern_infer_fail(types, "scale is not above 0");
    tern_infer_out(types, types->in[0]->dtype, types->in[0]->shape);
    return TERN_OK;
}

static void update_run(const tern_call *call)
{
    float rate = *(const float *)call->in[2].data, scale = (float)TERN_ARGS(half_update_op, call)->scale;
    tern_dtype format = call->in[0].dtype;
    float step = scale == 1 ? -tern_half_round(format, (double)rate) : rate / scale;
    for (int64_t i = 0; i < count_of(call); i++) {
        float w = get(call, 0, i), g = get(call, 1, i), move = step * g, moved = w - move;
        tern_set(&call->out[0], i, (double)(scale == 1 ? tern_half_step(format, w, g, step) : moved));
    }
    if (call->counter) tern_work_outputs(call, call->counter);
}

static tern_status update_emit(const tern_call *call, tern_emit *to)
{
    half_words w = words_of(call, 0);
    double scale = (double)(float)TERN_ARGS(half_update_op, call)->scale;
    tern_text *t = to->text;
    long long n = count_of(call);
    if (scale == 1 && w.whole)
        tern_text_put(t, "    const float step = -in2[0];\n");
    else if (scale == 1)
        tern_text_format(t, "    const uint16_t step = (uint16_t)(%s_of_float(in2[0]) ^ 0x8000);\n",
                         w.prefix);
    else
        tern_text_format(t, "    const float step = in2[0] / %af;\n", scale);
    tern_text_format(t, "    for (int i = FIRST(%lld); i < LAST(%lld); i++) ", n, n);
    if (scale == 1)
        write_step(call, "in0[i]", "in1[i]", "step", "out0[i]", to);
    else if (w.whole)
        tern_text_put(t, "out0[i] = in0[i] - step * in1[i];\n");
    else
        tern_text_format(t, "out0[i] = %s_of_float(%s_to_float(in0[i]) - step * %s_to_float(in1[i]));\n",
                         w.prefix, w.prefix, w.prefix);
    return TERN_OK;
}

const tern_op tern_op_half_update = {
    .name = "half_update",
    .doc = "a step down the gradient",
    .args = update_args,
    .args_size = sizeof(half_update_op),
    .inplace = {1},
    .infer = update_infer,
    .work = tern_work_outputs,
    .run = update_run,
    .emit = update_emit,
};
