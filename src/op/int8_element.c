/* What nets of bytes do element by element, by windows and by rows.  A byte q stands for scale (q - zero). */
#include "op/int8.h"

static int64_t count_of(const tern_call *call)
{
    return tern_elements(&call->in[0].shape);
}

static void one_each(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)tern_elements(&call->out[0].shape);
}

static void count(const tern_call *call)
{
    if (call->counter) one_each(call, call->counter);
}

static tern_status check_types(const tern_infer *types, const tern_dtype *expected)
{
    for (int i = 0; i < types->nin; i++)
        if (types->in[i]->dtype != expected[i])
            return tern_infer_fail(types, "operand %d is %s, expected %s", i,
                                   tern_dtype_of(types->in[i]->dtype)->name,
                                   tern_dtype_of(expected[i])->name);
    return TERN_OK;
}

/* ---- quantise_int8: x f32, scale f32 [1], zero i32 [1] -> bytes; dequantise_int8: back --------------------------- */

static tern_status scaled_infer(tern_infer *types, tern_dtype from, tern_dtype to)
{
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    TERN_TRY(check_types(types, (tern_dtype[]){from, TERN_F32, TERN_I32}));
    TERN_TRY(tern_infer_like(types, 1, 2, TERN_SHAPE(1)));
    tern_infer_out(types, to, types->in[0]->shape);
    return TERN_OK;
}

static tern_status quantise_infer(tern_infer *types)
{
    return scaled_infer(types, TERN_F32, TERN_I8);
}

static float scale_of(const tern_call *call)
{
    return *(const float *)call->in[1].data;
}

static int32_t zero_of(const tern_call *call)
{
    return *(const int32_t *)call->in[2].data;
}

static void quantise_run(const tern_call *call)
{
    const float *x = call->in[0].data;
    int8_t *y = call->out[0].data;
    for (int64_t i = 0; i < count_of(call); i++)
        y[i] = tern_float_to_byte(x[i], scale_of(call), zero_of(call));
    count(call);
}

static void quantise_fast(const tern_call *call)
{
    tern_int8_from_float(call->pool, count_of(call), call->in[0].data, scale_of(call), zero_of(call),
                         call->out[0].data);
}

static tern_status quantise_emit(const tern_call *call, tern_emit *to)
{
    tern_text_format(to->text,
                     "    for (int i = 0; i < %lld; i++) out0[i] = byte_of_float(in0[i], in1[0], in2[0]);\n",
                     (long long)count_of(call));
    return TERN_OK;
}

static bool from_float_matches(const tern_call *call)
{
    return call->in[0].dtype == TERN_F32;
}

static const tern_fast quantise_kernels[] = {{"loop", from_float_matches, NULL, quantise_fast}, {0}};

const tern_op tern_op_quantise_int8 = {
    .name = "quantise_int8",
    .doc = "numbers as bytes: the nearest of scale (q - zero)",
    .infer = quantise_infer,
    .work = one_each,
    .run = quantise_run,
    .emit = quantise_emit,
    .fast = quantise_kernels,
};

static tern_status dequantise_infer(tern_infer *types)
{
    return scaled_infer(types, TERN_I8, TERN_F32);
}

static void dequantise_run(const tern_call *call)
{
    const int8_t *x = call->in[0].data;
    float *y = call->out[0].data;
    for (int64_t i = 0; i < count_of(call); i++) y[i] = scale_of(call) * (float)(x[i] - zero_of(call));
    count(call);
}

static tern_status dequantise_emit(const tern_call *call, tern_emit *to)
{
    tern_text_format(to->text,
                     "    for (int i = 0; i < %lld; i++) out0[i] = in1[0] * (float)(in0[i] - in2[0]);\n",
                     (long long)count_of(call));
    return TERN_OK;
}

const tern_op tern_op_dequantise_int8 = {
    .name = "dequantise_int8",
    .doc = "bytes as numbers: scale (q - zero)",
    .infer = dequantise_infer,
    .work = one_each,
    .run = dequantise_run,
    .emit = dequantise_emit,
};

/* ---- table_int8: y = table[x + 128], any function of one byte ----------------------------------------------------- */

static tern_status table_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    TERN_TRY(check_types(types, (tern_dtype[]){TERN_I8, TERN_I8}));
    TERN_TRY(tern_infer_like(types, 1, 1, TERN_SHAPE(256)));
    tern_infer_out(types, TERN_I8, types->in[0]->shape);
    return TERN_OK;
}

static void table_run(const tern_call *call)
{
    const int8_t *x = call->in[0].data, *table = call->in[1].data;
    int8_t *y = call->out[0].data;
    for (int64_t i = 0; i < count_of(call); i++) y[i] = table[x[i] + 128];
    count(call);
}

static tern_status table_emit(const tern_call *call, tern_emit *to)
{
    tern_text_format(to->text, "    for (int i = 0; i < %lld; i++) out0[i] = in1[in0[i] + 128];\n",
                     (long long)count_of(call));
    return TERN_OK;
}

const tern_op tern_op_table_int8 = {
    .name = "table_int8",
    .doc = "a function of bytes, by its table",
    .inplace = {1},
    .infer = table_infer,
    .work = one_each,
    .run = table_run,
    .emit = table_emit,
};

/* ---- add_int8: a, b of one shape, constants i32 [TERN_ADD_CONSTANTS] (kernel/int8.h) ----------------------------- */

static tern_status add_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    TERN_TRY(check_types(types, (tern_dtype[]){TERN_I8, TERN_I8, TERN_I32}));
    TERN_TRY(tern_infer_like(types, 1, 1, types->in[0]->shape));
    TERN_TRY(tern_infer_like(types, 2, 2, TERN_SHAPE(TERN_ADD_CONSTANTS)));
    tern_infer_out(types, TERN_I8, types->in[0]->shape);
    return TERN_OK;
}

static void add_run(const tern_call *call)
{
    const int8_t *a = call->in[0].data, *b = call->in[1].data;
    int8_t *y = call->out[0].data;
    for (int64_t i = 0; i < count_of(call); i++) y[i] = tern_int8_sum(a[i], b[i], call->in[2].data);
    count(call);
}

static void add_fast(const tern_call *call)
{
    tern_int8_add(call->pool, count_of(call), call->in[0].data, call->in[1].data, call->in[2].data,
                  call->out[0].data);
}

static tern_status add_emit(const tern_call *call, tern_emit *to)
{
    tern_text_format(
        to->text,
        "    for (int i = 0; i < %lld; i++) {\n"
        "        int32_t a = requantise((in0[i] - in2[0]) * (1 << 20), in2[1], in2[2]);\n"
        "        int32_t b = requantise((in1[i] - in2[3]) * (1 << 20), in2[4], in2[5]);\n"
        "        out0[i] = clamp_byte(requantise(a + b, in2[7], in2[8]) + in2[6], in2[9], in2[10]);\n"
        "    }\n",
        (long long)count_of(call));
    return TERN_OK;
}

static bool add_matches(const tern_call *call)
{
    return call->in[0].dtype == TERN_I8;
}

static const tern_fast add_kernels[] = {{"loop", add_matches, NULL, add_fast}, {0}};

const tern_op tern_op_add_int8 = {
    .name = "add_int8",
    .doc = "a + b of bytes with scales of their own",
    .inplace = {1},
    .infer = add_infer,
    .work = one_each,
    .run = add_run,
    .emit = add_emit,
    .fast = add_kernels,
};

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
    TERN_TRY(check_types(types, (tern_dtype[]){TERN_I8}));
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
    tern_infer_out(types, TERN_I8, y);
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
        const int8_t *corner =
            (const int8_t *)call->in[0].data + (plane * height + oy * a->stride) * width + ox * a->stride;
        int32_t sum = 0;
        for (int32_t k = 0; k < taps; k++) sum += corner[k / a->width * width + k % a->width];
        ((int8_t *)call->out[0].data)[i] = (int8_t)((sum + (sum > 0 ? taps / 2 : -taps / 2)) / taps);
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
                     "        const int8_t *corner = in0 + (plane * %lld + oy * %d) * %lld + ox * %d;\n"
                     "        int32_t sum = 0;\n"
                     "        for (int ky = 0; ky < %d; ky++)\n"
                     "        for (int kx = 0; kx < %d; kx++) sum += corner[ky * %lld + kx];\n"
                     "        out0[out++] = (int8_t)((sum + (sum > 0 ? %lld : -%lld)) / %lld);\n"
                     "    }\n",
                     (long long)tern_elements_upto(y, y->rank - 2), (long long)y->dim[y->rank - 2],
                     (long long)y->dim[y->rank - 1], height, a->stride, width, a->stride, a->height, a->width,
                     width, taps / 2, taps / 2, taps);
    return TERN_OK;
}

const tern_op tern_op_avg_pool2d_int8 = {
    .name = "avg_pool2d_int8",
    .doc = "mean of each window of bytes",
    .args = pool_args,
    .args_size = sizeof(tern_int8_pool_op),
    .flags = TERN_OP_ROWWISE,
    .infer = pool_infer,
    .work = pool_work,
    .run = pool_run,
    .emit = pool_emit,
};

/* ---- softmax_int8: along the last axis; exps i32 [256] -> bytes of scale 1/256 and zero -128 ---------------------- */

/* e = exps[largest - x], y = 256 e / sum of e - 128, rounded to the nearest, halves up.  exps[d] = exp(-scale d) 2^20, so
 * that rows of 2,047 fit 32 bits. */
enum { MOST_ROW = 2047 };

static tern_status softmax_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    TERN_TRY(check_types(types, (tern_dtype[]){TERN_I8, TERN_I32}));
    TERN_TRY(tern_infer_like(types, 1, 1, TERN_SHAPE(256)));
    const tern_shape *x = &types->in[0]->shape;
    if (x->rank < 1 || x->dim[x->rank - 1] < 1 || x->dim[x->rank - 1] > MOST_ROW)
        return tern_infer_fail(types, "rows must have 1 to %d elements, so that sums fit 32 bits", MOST_ROW);
    tern_infer_out(types, TERN_I8, *x);
    return TERN_OK;
}

static void softmax_row(int64_t n, const int8_t *x, const uint32_t *exps, int8_t *y)
{
    int8_t largest = x[0];
    uint32_t sum = 0;
    for (int64_t i = 1; i < n; i++) largest = x[i] > largest ? x[i] : largest;
    for (int64_t i = 0; i < n; i++) sum += exps[largest - x[i]];
    for (int64_t i = 0; i < n; i++) {
        uint32_t share = sum ? (uint32_t)((exps[largest - x[i]] * 256ull + sum / 2) / sum) : 0;
        y[i] = tern_clamp_byte((int32_t)(share > 255 ? 255 : share) - 128, INT8_MIN, INT8_MAX);
    }
}

static void softmax_run(const tern_call *call)
{
    const tern_shape *x = &call->in[0].shape;
    int64_t n = x->dim[x->rank - 1];
    for (int64_t i = 0; i < count_of(call); i += n)
        softmax_row(n, (const int8_t *)call->in[0].data + i, call->in[1].data,
                    (int8_t *)call->out[0].data + i);
    if (call->counter) call->counter->specials += (double)count_of(call);
}

static void softmax_work(const tern_call *call, tern_work *work)
{
    work->specials += (double)count_of(call);
}

static tern_status softmax_emit(const tern_call *call, tern_emit *to)
{
    const tern_shape *x = &call->in[0].shape;
    long long n = x->dim[x->rank - 1];
    tern_text_format(to->text,
                     "    const uint32_t *exps = (const uint32_t *)in1;\n"
                     "    for (int row = 0; row < %lld; row++) {\n"
                     "        const int8_t *x = in0 + row * %lld;\n"
                     "        int8_t *y = out0 + row * %lld, largest = x[0];\n"
                     "        uint32_t sum = 0;\n"
                     "        for (int i = 1; i < %lld; i++) largest = x[i] > largest ? x[i] : largest;\n"
                     "        for (int i = 0; i < %lld; i++) sum += exps[largest - x[i]];\n"
                     "        for (int i = 0; i < %lld; i++) {\n"
                     "            uint32_t share = sum ? (uint32_t)((exps[largest - x[i]] * 256ull + sum / "
                     "2) / sum) : 0;\n"
                     "            y[i] = clamp_byte((int32_t)(share > 255 ? 255 : share) - 128, -128, 127);\n"
                     "        }\n"
                     "    }\n",
                     (long long)count_of(call) / n, n, n, n, n, n);
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
