/* Gradients of nets of bytes (Lin et al., NeurIPS 2022, arXiv 2206.15472): real numbers with regard to whole numbers.
 *
 * Of y = clamp(round((sum of (x - z) W + b) s) + zero), with g the gradient with regard to y: a = g s where nothing was
 * clamped, else 0; db = sum of a; dW = correlation of x - z with a; dx = a by the transpose of W.  Rounding is passed straight
 * through.  All sums are in f32 in the order that is written here, so that a board has the bits of this computer. */
#include "op/int8.h"

#include <stdio.h>

static int64_t count_of(const tern_call *call)
{
    return tern_elements(&call->out[0].shape);
}

static void one_each(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)count_of(call);
}

tern_status tern_int8_check_types(const tern_infer *types, const tern_dtype *expected)
{
    for (int i = 0; i < types->nin; i++)
        if (types->in[i] && types->in[i]->dtype != expected[i]) // NOLINT(*BinaryOperatorResult): nin of them
            return tern_infer_fail(types, "operand %d is %s, expected %s", i,
                                   tern_dtype_of(types->in[i]->dtype)->name,
                                   tern_dtype_of(expected[i])->name);
    return TERN_OK;
}

/* ---- int8_grad_scale: g f32 [..,O,pixels], factor f32 [O] or [1], mask bits or none -> g factor where the mask is 1 ---- */

typedef struct tern_pixels_op {
    int pixels; /* elements of g with one factor */
} tern_pixels_op;
static const tern_arg pixels_args[] = {
    TERN_ARG(tern_pixels_op, pixels, TERN_ARG_INT, "elements of an output channel"), {0}};

static tern_status scale_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 3));
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){TERN_F32, TERN_F32, TERN_BIT}));
    int64_t pixels = TERN_ARGS(tern_pixels_op, types)->pixels, n = tern_elements(&types->in[0]->shape);
    int64_t factors = tern_elements(&types->in[1]->shape);
    if (pixels < 1 || factors < 1 || n % (pixels * factors))
        return tern_infer_fail(types, "%lld factors do not go with %lld elements in planes of %lld",
                               (long long)factors, (long long)n, (long long)pixels);
    if (types->nin > 2 && types->in[2]) TERN_TRY(tern_infer_like(types, 2, 2, types->in[0]->shape));
    tern_infer_out(types, TERN_F32, types->in[0]->shape);
    return TERN_OK;
}

static void scale_run(const tern_call *call)
{
    int64_t pixels = TERN_ARGS(tern_pixels_op, call)->pixels, factors = tern_elements(&call->in[1].shape);
    const float *g = call->in[0].data, *factor = call->in[1].data;
    float *y = call->out[0].data;
    bool masked = call->nin > 2 && call->in[2].data;
    for (int64_t i = 0; i < count_of(call); i++) {
        bool passes = !masked || tern_get(&call->in[2], i) != 0;
        y[i] = passes ? g[i] * factor[i / pixels % factors] : 0;
    }
    if (call->counter) one_each(call, call->counter);
}

static tern_status scale_emit(const tern_call *call, tern_emit *to)
{
    long long pixels = TERN_ARGS(tern_pixels_op, call)->pixels, factors = tern_elements(&call->in[1].shape);
    char index[64] = "0";
    if (factors > 1) snprintf(index, sizeof index, "i / %lld %% %lld", pixels, factors);
    tern_text_format(to->text, "    for (int i = 0; i < %lld; i++) out0[i] = %sin0[i] * in1[%s]%s;\n",
                     (long long)count_of(call), call->nin > 2 && call->in[2].data ? "get_bit(in2, i) ? " : "",
                     index, call->nin > 2 && call->in[2].data ? " : 0" : "");
    return TERN_OK;
}

const tern_op tern_op_int8_grad_scale = {
    .name = "int8_grad_scale",
    .doc = "gradient of what is scaled and clamped",
    .args = pixels_args,
    .args_size = sizeof(tern_pixels_op),
    .inplace = {1},
    .infer = scale_infer,
    .work = one_each,
    .run = scale_run,
    .emit = scale_emit,
};

/* ---- int8_grad_bias: a f32 [N,O,pixels] -> sums f32 [O] ---------------------------------------------------------------- */

typedef struct tern_outputs_op {
    int outputs;
} tern_outputs_op;
static const tern_arg outputs_args[] = {TERN_ARG(tern_outputs_op, outputs, TERN_ARG_INT, "output channels"),
                                        {0}};

/* Axis of the outputs: behind the images of [..,O,H,W] or the rows of [..,O]. */
static tern_status bias_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){TERN_F32}));
    const tern_shape *a = &types->in[0]->shape;
    int outputs = TERN_ARGS(tern_outputs_op, types)->outputs;
    int64_t channels = a->rank >= 4 ? a->dim[a->rank - 3] : a->rank ? a->dim[a->rank - 1] : 0;
    char text[96];
    if (outputs < 1 || channels != outputs)
        return tern_infer_fail(types, "a is %s, expected [..,O,H,W] or [..,O] of %d outputs",
                               tern_shape_text(text, a), outputs);
    tern_infer_out(types, TERN_F32, TERN_SHAPE(outputs));
    return TERN_OK;
}

static int64_t pixels_of(const tern_shape *a)
{
    return a->rank >= 4 ? a->dim[a->rank - 2] * a->dim[a->rank - 1] : 1;
}

static void bias_work(const tern_call *call, tern_work *work)
{
    work->accumulates += (double)tern_elements(&call->in[0].shape);
}

static void bias_run(const tern_call *call)
{
    const tern_shape *shape = &call->in[0].shape;
    int64_t outputs = TERN_ARGS(tern_outputs_op, call)->outputs, pixels = pixels_of(shape);
    int64_t images = tern_elements(shape) / (outputs * pixels);
    const float *a = call->in[0].data;
    for (int64_t o = 0; o < outputs; o++) {
        float sum = 0;
        for (int64_t n = 0; n < images; n++)
            for (int64_t p = 0; p < pixels; p++) sum += a[(n * outputs + o) * pixels + p];
        ((float *)call->out[0].data)[o] = sum;
    }
    if (call->counter) bias_work(call, call->counter);
}

static tern_status bias_emit(const tern_call *call, tern_emit *to)
{
    const tern_shape *shape = &call->in[0].shape;
    long long outputs = TERN_ARGS(tern_outputs_op, call)->outputs, pixels = pixels_of(shape);
    tern_text_format(to->text,
                     "    for (int o = 0; o < %lld; o++) {\n"
                     "        float sum = 0;\n"
                     "        for (int n = 0; n < %lld; n++)\n"
                     "            for (int p = 0; p < %lld; p++) sum += in0[(n * %lld + o) * %lld + p];\n"
                     "        out0[o] = sum;\n"
                     "    }\n",
                     outputs, (long long)tern_elements(shape) / (outputs * pixels), pixels, outputs, pixels);
    return TERN_OK;
}

const tern_op tern_op_int8_grad_bias = {
    .name = "int8_grad_bias",
    .doc = "gradient of a bias: sums by output",
    .args = outputs_args,
    .args_size = sizeof(tern_outputs_op),
    .infer = bias_infer,
    .work = bias_work,
    .run = bias_run,
    .emit = bias_emit,
};

/* ---- avg_pool2d_int8_grad: dy f32 -> dx f32, of shape `like`; the rounding of the mean is passed straight through ------- */

static const tern_arg pool_args[] = {
    TERN_ARG(tern_int8_pool_grad_op, window.height, TERN_ARG_INT, "of the window"),
    TERN_ARG(tern_int8_pool_grad_op, window.width, TERN_ARG_INT, "of the window"),
    TERN_ARG(tern_int8_pool_grad_op, window.stride, TERN_ARG_INT, "step between windows"),
    TERN_ARG(tern_int8_pool_grad_op, like, TERN_ARG_DIMS, "shape of the result"),
    {0},
};

static tern_status pool_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){TERN_F32}));
    const tern_int8_pool_grad_op *a = types->args;
    const tern_int8_pool_op *w = &a->window;
    tern_shape y = a->like;
    char tx[96], ty[96];
    bool fits = y.rank >= 2 && w->height > 0 && w->width > 0 && w->stride > 0 &&
                y.dim[y.rank - 2] >= w->height && y.dim[y.rank - 1] >= w->width;
    if (fits) {
        y.dim[y.rank - 2] = (y.dim[y.rank - 2] - w->height) / w->stride + 1;
        y.dim[y.rank - 1] = (y.dim[y.rank - 1] - w->width) / w->stride + 1;
        fits = tern_elements(&y) == tern_elements(&types->in[0]->shape);
    }
    if (!fits)
        return tern_infer_fail(types, "windows of %dx%d, %d apart, over x %s do not give %s", w->height,
                               w->width, w->stride, tern_shape_text(tx, &a->like),
                               tern_shape_text(ty, &types->in[0]->shape));
    tern_infer_out(types, TERN_F32, a->like);
    return TERN_OK;
}

static void pool_work(const tern_call *call, tern_work *work)
{
    const tern_int8_pool_op *w = &TERN_ARGS(tern_int8_pool_grad_op, call)->window;
    work->elementwise += (double)tern_elements(&call->in[0].shape) * w->height * w->width;
}

static void pool_run(const tern_call *call)
{
    const tern_int8_pool_op *w = &TERN_ARGS(tern_int8_pool_grad_op, call)->window;
    const tern_shape *x = &call->out[0].shape;
    int64_t height = x->dim[x->rank - 2], width = x->dim[x->rank - 1];
    int64_t out_height = (height - w->height) / w->stride + 1, out_width = (width - w->width) / w->stride + 1;
    const float *dy = call->in[0].data;
    float *dx = call->out[0].data;
    for (int64_t i = 0; i < count_of(call); i++) dx[i] = 0;
    for (int64_t i = 0; i < tern_elements(&call->in[0].shape); i++) {
        int64_t plane = i / (out_height * out_width), oy = i / out_width % out_height, ox = i % out_width;
        float *corner = dx + (plane * height + oy * w->stride) * width + ox * w->stride;
        float share = dy[i] / (float)(w->height * w->width);
        for (int ky = 0; ky < w->height; ky++)
            for (int kx = 0; kx < w->width; kx++) corner[ky * width + kx] += share;
    }
    if (call->counter) pool_work(call, call->counter);
}

static tern_status pool_emit(const tern_call *call, tern_emit *to)
{
    const tern_int8_pool_op *w = &TERN_ARGS(tern_int8_pool_grad_op, call)->window;
    const tern_shape *x = &call->out[0].shape;
    long long height = x->dim[x->rank - 2], width = x->dim[x->rank - 1];
    tern_text_format(to->text,
                     "    for (int e = 0; e < %lld; e++) out0[e] = 0;\n"
                     "    int i = 0;\n"
                     "    for (int plane = 0; plane < %lld; plane++)\n"
                     "    for (int oy = 0; oy < %lld; oy++)\n"
                     "    for (int ox = 0; ox < %lld; ox++) {\n"
                     "        float *corner = out0 + (plane * %lld + oy * %d) * %lld + ox * %d;\n"
                     "        const float share = in0[i++] / %d;\n"
                     "        for (int ky = 0; ky < %d; ky++)\n"
                     "        for (int kx = 0; kx < %d; kx++) corner[ky * %lld + kx] += share;\n"
                     "    }\n",
                     (long long)count_of(call), (long long)tern_elements_upto(x, x->rank - 2),
                     (height - w->height) / w->stride + 1, (width - w->width) / w->stride + 1, height,
                     w->stride, width, w->stride, w->height * w->width, w->height, w->width, width);
    return TERN_OK;
}

const tern_op tern_op_avg_pool2d_int8_grad = {
    .name = "avg_pool2d_int8_grad",
    .doc = "gradient of avg_pool2d_int8",
    .args = pool_args,
    .args_size = sizeof(tern_int8_pool_grad_op),
    .infer = pool_infer,
    .work = pool_work,
    .run = pool_run,
    .emit = pool_emit,
};

/* ---- take_channels: x [..,C,H,W] or [..,K], channels i32 [k] -> the same of those channels only ------------------------- */

static int channel_axis(const tern_shape *x)
{
    return x->rank >= 4 ? x->rank - 3 : x->rank - 1;
}

static tern_status take_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    tern_dtype dtype = types->in[0]->dtype;
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){dtype, TERN_I32}));
    tern_shape y = types->in[0]->shape;
    int64_t k = tern_elements(&types->in[1]->shape);
    if (y.rank < 1 || (dtype != TERN_I8 && dtype != TERN_F32) || k > y.dim[channel_axis(&y)])
        return tern_infer_fail(types,
                               "x is %s of rank %d, expected i8 or f32 of rank 1 or more and at least %lld "
                               "channels",
                               tern_dtype_of(dtype)->name, y.rank, (long long)k);
    y.dim[channel_axis(&y)] = k;
    tern_infer_out(types, dtype, y);
    return TERN_OK;
}

/* An index outside takes the first channel. */
static void take_run(const tern_call *call)
{
    const tern_shape *x = &call->in[0].shape, *y = &call->out[0].shape;
    int axis = channel_axis(x);
    int64_t inner = tern_elements_from(x, axis + 1), channels = x->dim[axis], k = y->dim[axis];
    const int32_t *which = call->in[1].data;
    for (int64_t i = 0; i < count_of(call); i++) {
        int32_t c = which[i / inner % k];
        int64_t from = (i / inner / k * channels + (c >= 0 && c < channels ? c : 0)) * inner + i % inner;
        tern_set(&call->out[0], i, tern_get(&call->in[0], from));
    }
}

static tern_status take_emit(const tern_call *call, tern_emit *to)
{
    const tern_shape *x = &call->in[0].shape, *y = &call->out[0].shape;
    int axis = channel_axis(x);
    long long inner = tern_elements_from(x, axis + 1), channels = x->dim[axis], k = y->dim[axis];
    tern_text_format(
        to->text,
        "    for (int n = 0; n < %lld; n++)\n"
        "    for (int j = 0; j < %lld; j++) {\n"
        "        const int c = in1[j] >= 0 && in1[j] < %lld ? in1[j] : 0;\n"
        "        memcpy(out0 + (n * %lld + j) * %lld, in0 + (n * %lld + c) * %lld, %lld * sizeof "
        "*out0);\n"
        "    }\n",
        (long long)tern_elements_upto(x, axis), k, channels, k, inner, channels, inner, inner);
    return TERN_OK;
}

const tern_op tern_op_take_channels = {
    .name = "take_channels",
    .doc = "some channels of x",
    .infer = take_infer,
    .work = tern_no_work,
    .run = take_run,
    .emit = take_emit,
};
