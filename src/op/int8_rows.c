/* What nets of bytes do by windows, along axes and by rows.  A byte q stands for scale (q - zero); windows and axes may be of 16
 * bits, too. */
#include "op/int8.h"

#include "kernel/exponent.h"

/* Bytes, or 16 bits where input 0 is; and the same as C. */
static tern_dtype whole_of(const tern_infer *types)
{
    return types->nin > 0 && types->in[0] && types->in[0]->dtype == TERN_I16 ? TERN_I16 : TERN_I8;
}

static const char *type_of(const tern_call *call)
{
    return call->in[0].dtype == TERN_I16 ? "int16_t" : "int8_t";
}

/* As many as fit sums of 32 bits. */
static int most_summed(const tern_infer *types)
{
    return whole_of(types) == TERN_I16 ? 1 << 15 : 1 << 22;
}

/* ---- avg_pool2d_int8: x [..,C,H,W] -> [..,C,OH,OW] of the same scale; the mean is rounded, halves away from 0 ------ */

#define POOL_ARG(field, doc) TERN_ARG(tern_int8_pool_op, field, TERN_ARG_INT, doc)
static const tern_arg pool_args[] = {
    POOL_ARG(height, "of the window"),
    POOL_ARG(width, "of the window"),
    POOL_ARG(stride, "step between windows"),
    {0},
};

static tern_status pool_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){whole_of(types)}));
    const tern_int8_pool_op *a = types->args;
    tern_shape y = types->in[0]->shape;
    char text[96];
    bool fits = y.rank >= 2 && a->height > 0 && a->width > 0 && a->stride > 0 &&
                y.dim[y.rank - 2] >= a->height && y.dim[y.rank - 1] >= a->width;
    if (!fits)
        return tern_infer_fail(types, "no windows of %dx%d, %d apart, are in x %s", a->height, a->width,
                               a->stride, tern_shape_text(text, &y));
    y.dim[y.rank - 2] = (y.dim[y.rank - 2] - a->height) / a->stride + 1;
    y.dim[y.rank - 1] = (y.dim[y.rank - 1] - a->width) / a->stride + 1;
    if ((int64_t)a->height * a->width > most_summed(types))
        return tern_infer_fail(types,
                               "windows of %dx%d, expected at most %d elements, so that sums fit 32 bits",
                               a->height, a->width, most_summed(types));
    tern_infer_out(types, whole_of(types), y);
    return TERN_OK;
}

static void pool_run(const tern_call *call)
{
    const tern_int8_pool_op *a = call->args;
    const tern_shape *x = &call->in[0].shape, *y = &call->out[0].shape;
    int64_t height = x->dim[x->rank - 2], width = x->dim[x->rank - 1], n = tern_elements(y);
    int64_t out_height = y->dim[y->rank - 2], out_width = y->dim[y->rank - 1];
    int32_t taps = a->height * a->width;
    for (int64_t i = 0; i < n; i++) {
        int64_t plane = i / (out_height * out_width), oy = i / out_width % out_height, ox = i % out_width;
        int64_t corner = (plane * height + oy * a->stride) * width + ox * a->stride;
        int32_t sum = 0;
        for (int32_t k = 0; k < taps; k++)
            sum += tern_int8_element(&call->in[0], corner + k / a->width * width + k % a->width);
        tern_int8_put(&call->out[0], i, (sum + (sum > 0 ? taps / 2 : -taps / 2)) / taps);
        if (call->counter) call->counter->elementwise += taps;
    }
}

static void pool_work(const tern_call *call, tern_work *work)
{
    const tern_int8_pool_op *a = call->args;
    work->elementwise += (double)tern_elements(&call->out[0].shape) * a->height * a->width;
}

static tern_status pool_emit(const tern_call *call, tern_emit *to)
{
    const tern_int8_pool_op *a = call->args;
    const tern_shape *x = &call->in[0].shape, *y = &call->out[0].shape;
    long long height = x->dim[x->rank - 2], width = x->dim[x->rank - 1], taps = a->height * a->width;
    tern_text_format(to->text,
                     "    int out = 0;\n"
                     "    for (int plane = 0; plane < %lld; plane++)\n"
                     "    for (int oy = 0; oy < %lld; oy++)\n"
                     "    for (int ox = 0; ox < %lld; ox++) {\n"
                     "        const %s *corner = in0 + (plane * %lld + oy * %d) * %lld + ox * %d;\n"
                     "        int32_t sum = 0;\n"
                     "        for (int ky = 0; ky < %d; ky++)\n"
                     "        for (int kx = 0; kx < %d; kx++) sum += corner[ky * %lld + kx];\n"
                     "        out0[out++] = (%s)((sum + (sum > 0 ? %lld : -%lld)) / %lld);\n"
                     "    }\n",
                     (long long)tern_elements_upto(y, y->rank - 2), (long long)y->dim[y->rank - 2],
                     (long long)y->dim[y->rank - 1], type_of(call), height, a->stride, width, a->stride,
                     a->height, a->width, width, type_of(call), taps / 2, taps / 2, taps);
    return TERN_OK;
}

const tern_op tern_op_avg_pool2d_int8 = {
    .name = "avg_pool2d_int8",
    .doc = "mean of each window of bytes or 16 bits",
    .args = pool_args,
    .args_size = sizeof(tern_int8_pool_op),
    .flags = TERN_OP_ROWWISE,
    .infer = pool_infer,
    .work = pool_work,
    .run = pool_run,
    .emit = pool_emit,
};

/* ---- mean_int8: of neighbouring axes of x, constants i32 [TERN_MEAN_CONSTANTS] ------------------------------------- */

/* y = clamp(requantise(sum - n zero, multiplier, shift) + zero of y) over n elements; the multiplier contains 1/n. */
static const tern_arg mean_args[] = {TERN_ARG(tern_reduce_args, axis, TERN_ARG_INT, "first axis"),
                                     TERN_ARG(tern_reduce_args, axes, TERN_ARG_INT, "how many"),
                                     {0}};

static tern_status mean_infer(tern_infer *types)
{
    tern_shape y;
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){whole_of(types), TERN_I32}));
    TERN_TRY(tern_infer_like(types, 1, 1, TERN_SHAPE(TERN_MEAN_CONSTANTS)));
    TERN_TRY(tern_reduced_shape(types, &y));
    int64_t length = tern_reduce_view_of(&types->in[0]->shape, types->args).length;
    if (length > most_summed(types))
        return tern_infer_fail(types, "means of %lld elements, expected at most %d, so that sums fit 32 bits",
                               (long long)length, most_summed(types));
    tern_infer_out(types, whole_of(types), y);
    return TERN_OK;
}

static void mean_run(const tern_call *call)
{
    tern_reduce_view v = tern_reduce_view_of(&call->in[0].shape, call->args);
    const int32_t *q = call->in[1].data;
    int32_t low = call->in[0].dtype == TERN_I16 ? INT16_MIN : INT8_MIN;
    for (int64_t i = 0; i < v.outer * v.inner; i++) {
        int64_t first = i / v.inner * v.length * v.inner + i % v.inner;
        int32_t sum = -q[0] * (int32_t)v.length;
        for (int64_t k = 0; k < v.length; k++) sum += tern_int8_element(&call->in[0], first + k * v.inner);
        int32_t y = tern_requantise(sum, q[1], q[2]) + q[3];
        tern_int8_put(&call->out[0], i, y < low ? low : y > -1 - low ? -1 - low : y);
    }
    if (call->counter) call->counter->elementwise += (double)tern_elements(&call->in[0].shape);
}

static void mean_work(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)tern_elements(&call->in[0].shape);
}

static tern_status mean_emit(const tern_call *call, tern_emit *to)
{
    tern_reduce_view v = tern_reduce_view_of(&call->in[0].shape, call->args);
    tern_text_format(to->text,
                     "    for (int outer = 0; outer < %lld; outer++)\n"
                     "    for (int inner = 0; inner < %lld; inner++) {\n"
                     "        const %s *x = in0 + outer * %lld + inner;\n"
                     "        int32_t sum = -in1[0] * %lld;\n"
                     "        for (int k = 0; k < %lld; k++) sum += x[k * %lld];\n"
                     "        out0[outer * %lld + inner] = %s;\n"
                     "    }\n",
                     (long long)v.outer, (long long)v.inner, type_of(call), (long long)(v.length * v.inner),
                     (long long)v.length, (long long)v.length, (long long)v.inner, (long long)v.inner,
                     call->in[0].dtype == TERN_I16
                         ? "clamp_short(requantise(sum, in1[1], in1[2]) + in1[3], -32768, 32767)"
                         : "clamp_byte(requantise(sum, in1[1], in1[2]) + in1[3], -128, 127)");
    return TERN_OK;
}

const tern_op tern_op_mean_int8 = {
    .name = "mean_int8",
    .doc = "mean over axes of bytes or 16 bits, as such of another scale",
    .args = mean_args,
    .args_size = sizeof(tern_reduce_args),
    .infer = mean_infer,
    .work = mean_work,
    .run = mean_run,
    .emit = mean_emit,
};

/* ---- softmax_int8: along the last axis; exps i32 [256] -> bytes of scale 1/256 and zero -128 ---------------------- */

/* e = exps[largest - x] in units of 2^-31; the sum of rows in units of 2^-19 has a reciprocal by Newton's method, as
 * TensorFlow Lite's reference kernel has. */
enum { MOST_ROW = 4095 };

static tern_status softmax_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){TERN_I8, TERN_I32}));
    TERN_TRY(tern_infer_like(types, 1, 1, TERN_SHAPE(256)));
    const tern_shape *x = &types->in[0]->shape;
    if (x->rank < 1 || x->dim[x->rank - 1] < 1 || x->dim[x->rank - 1] > MOST_ROW)
        return tern_infer_fail(types, "rows must have 1 to %d elements, so that sums fit 32 bits", MOST_ROW);
    tern_infer_out(types, TERN_I8, *x);
    return TERN_OK;
}

static void softmax_row(int64_t n, const int8_t *x, const int32_t *exps, int8_t *y)
{
    int8_t largest = x[0];
    int32_t sum = 0;
    for (int64_t i = 1; i < n; i++) largest = x[i] > largest ? x[i] : largest;
    for (int64_t i = 0; i < n; i++) sum += tern_shift_down(exps[largest - x[i]], 12);
    tern_share s = tern_share_of(sum);
    for (int64_t i = 0; i < n; i++) {
        int32_t share = tern_shift_down(tern_high_product(s.reciprocal, exps[largest - x[i]]), s.shift);
        y[i] = tern_clamp_byte(share - 128, INT8_MIN, INT8_MAX);
    }
}

static void softmax_run(const tern_call *call)
{
    const tern_shape *x = &call->in[0].shape;
    int64_t n = x->dim[x->rank - 1], count = tern_elements(x);
    for (int64_t i = 0; i < count; i += n)
        softmax_row(n, (const int8_t *)call->in[0].data + i, call->in[1].data,
                    (int8_t *)call->out[0].data + i);
    if (call->counter) call->counter->specials += (double)count;
}

static void softmax_work(const tern_call *call, tern_work *work)
{
    work->specials += (double)tern_elements(&call->in[0].shape);
}

static tern_status softmax_emit(const tern_call *call, tern_emit *to)
{
    const tern_shape *x = &call->in[0].shape;
    long long n = x->dim[x->rank - 1];
    tern_text_format(
        to->text,
        "    for (int row = 0; row < %lld; row++) {\n"
        "        const int8_t *x = in0 + row * %lld;\n"
        "        int8_t *y = out0 + row * %lld, largest = x[0];\n"
        "        int32_t sum = 0, shift;\n"
        "        for (int i = 1; i < %lld; i++) largest = x[i] > largest ? x[i] : largest;\n"
        "        for (int i = 0; i < %lld; i++) sum += shift_down(in1[largest - x[i]], 12);\n"
        "        const int32_t reciprocal = reciprocal_of(sum, &shift);\n"
        "        for (int i = 0; i < %lld; i++)\n"
        "            y[i] = clamp_byte(shift_down(high_product(reciprocal, in1[largest - x[i]]), "
        "shift) - 128, -128, 127);\n"
        "    }\n",
        (long long)tern_elements(x) / n, n, n, n, n, n);
    return TERN_OK;
}

const tern_op tern_op_softmax_int8 = {
    .name = "softmax_int8",
    .doc = "softmax of bytes by a table of exponentials",
    .infer = softmax_infer,
    .work = softmax_work,
    .run = softmax_run,
    .emit = softmax_emit,
};
