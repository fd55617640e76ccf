/* What nets of bytes do element by element.  A byte q stands for scale (q - zero). */
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

/* ---- quantise_int8: x f32, scale f32 [1], zero i32 [1] -> bytes; dequantise_int8: back, of 16 bits too --------------------------- */

static tern_status scaled_infer(tern_infer *types, tern_dtype from, tern_dtype to)
{
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){from, TERN_F32, TERN_I32}));
    TERN_TRY(tern_infer_like(types, 1, 2, TERN_SHAPE(1)));
    tern_infer_out(types, to,
                   types->in[0]->shape); // NOLINT(*NullDereference): input 0 is there, as just checked
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
    bool wide = types->nin > 0 && types->in[0] && types->in[0]->dtype == TERN_I16;
    return scaled_infer(types, wide ? TERN_I16 : TERN_I8, TERN_F32);
}

static void dequantise_run(const tern_call *call)
{
    float *y = call->out[0].data;
    for (int64_t i = 0; i < count_of(call); i++)
        y[i] = scale_of(call) * (float)((int32_t)tern_get(&call->in[0], i) - zero_of(call));
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
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){TERN_I8, TERN_I8}));
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

/* ---- add_int8, subtract_int8, multiply_int8: a, b broadcast like numpy's, constants i32 (kernel/int8.h) --------------------------- */

static tern_status pair_infer(tern_infer *types, int constants)
{
    tern_shape y;
    char a[96], b[96];
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){TERN_I8, TERN_I8, TERN_I32}));
    if (!tern_broadcast(&types->in[0]->shape, &types->in[1]->shape, &y))
        return tern_infer_fail(types, "%s and %s do not go together",
                               tern_shape_text(a, &types->in[0]->shape),
                               tern_shape_text(b, &types->in[1]->shape));
    TERN_TRY(tern_infer_like(types, 2, 2, TERN_SHAPE(constants)));
    tern_infer_out(types, TERN_I8, y);
    return TERN_OK;
}

typedef int8_t pair_function(int8_t a, int8_t b, const int32_t *constants);

static void pair_run(const tern_call *call, pair_function *f)
{
    const int8_t *a = call->in[0].data, *b = call->in[1].data;
    const tern_shape *shape = &call->out[0].shape;
    int8_t *y = call->out[0].data;
    for (int64_t i = 0; i < tern_elements(shape); i++)
        y[i] = f(a[tern_broadcast_index(shape, &call->in[0].shape, i)],
                 b[tern_broadcast_index(shape, &call->in[1].shape, i)], call->in[2].data);
    count(call);
}

static bool equal_shapes(const tern_call *call)
{
    return call->in[0].dtype == TERN_I8 && tern_shape_equal(&call->in[0].shape, &call->in[1].shape);
}

/* Loops whose body has the operands as a and b: one loop where both have the shape of the result. */
static void write_pair(const tern_call *call, tern_emit *to, const char *body)
{
    const tern_shape *y = &call->out[0].shape;
    if (equal_shapes(call)) {
        tern_text_format(to->text,
                         "    for (int i = 0; i < %lld; i++) {\n"
                         "        const int32_t x = in0[i], z = in1[i];\n"
                         "        out0[i] = %s;\n"
                         "    }\n",
                         (long long)tern_elements(y), body);
        return;
    }
    tern_write_loops(to, y);
    tern_text_format(to->text,
                     "        const int32_t x = in0[%s], z = in1[%s];\n"
                     "        out0[%s] = %s;\n",
                     tern_write_place(&call->in[0].shape, y).text,
                     tern_write_place(&call->in[1].shape, y).text, tern_write_place(y, y).text, body);
    tern_write_end(to);
}

static tern_status add_infer(tern_infer *types)
{
    return pair_infer(types, TERN_ADD_CONSTANTS);
}

static void add_run(const tern_call *call)
{
    pair_run(call, tern_int8_sum);
}

static void add_fast(const tern_call *call)
{
    tern_int8_add(call->pool, tern_elements(&call->out[0].shape), call->in[0].data, call->in[1].data,
                  call->in[2].data, call->out[0].data);
}

#define LEFT "clamp_byte(requantise(requantise((x - in2[0]) * (1 << 20), in2[1], in2[2]) "
#define RIGHT                                                                                                \
    " requantise((z - in2[3]) * (1 << 20), in2[4], in2[5]), in2[7], in2[8]) + in2[6], in2[9], in2[10])"

static tern_status add_emit(const tern_call *call, tern_emit *to)
{
    write_pair(call, to, LEFT "+" RIGHT);
    return TERN_OK;
}

static const tern_fast add_kernels[] = {{"loop", equal_shapes, NULL, add_fast}, {0}};

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

/* ---- subtract_int8: a - b with the constants of a sum --------------------------------------------------------------- */

static void subtract_run(const tern_call *call)
{
    pair_run(call, tern_int8_difference);
}

static tern_status subtract_emit(const tern_call *call, tern_emit *to)
{
    write_pair(call, to, LEFT "-" RIGHT);
    return TERN_OK;
}

const tern_op tern_op_subtract_int8 = {
    .name = "subtract_int8",
    .doc = "a - b of bytes with scales of their own",
    .inplace = {1},
    .infer = add_infer,
    .work = one_each,
    .run = subtract_run,
    .emit = subtract_emit,
};

/* ---- add_int8_mask: the same of equal shapes, and a bit where nothing was clamped ---------------------------------- */

static tern_status add_mask_infer(tern_infer *types)
{
    TERN_TRY(add_infer(types));
    TERN_TRY(tern_infer_like(types, 1, 1, types->in[0]->shape));
    tern_infer_out(types, TERN_BIT, types->in[0]->shape);
    return TERN_OK;
}

static void add_mask_run(const tern_call *call)
{
    const int8_t *a = call->in[0].data, *b = call->in[1].data;
    const int32_t *q = call->in[2].data;
    for (int64_t i = 0; i < count_of(call); i++) {
        int32_t sum = tern_int8_whole_sum(a[i], b[i], q);
        ((int8_t *)call->out[0].data)[i] = tern_clamp_byte(sum, q[TERN_ADD_LOW], q[TERN_ADD_HIGH]);
        if (call->out[1].data) tern_set(&call->out[1], i, sum >= q[TERN_ADD_LOW] && sum <= q[TERN_ADD_HIGH]);
    }
    count(call);
}

static tern_status add_mask_emit(const tern_call *call, tern_emit *to)
{
    bool mask = call->out[1].data;
    if (mask) tern_write_clear(to, call, 1);
    tern_text_format(to->text,
                     "    for (int i = 0; i < %lld; i++) {\n"
                     "        int32_t a = requantise((in0[i] - in2[0]) * (1 << 20), in2[1], in2[2]);\n"
                     "        int32_t b = requantise((in1[i] - in2[3]) * (1 << 20), in2[4], in2[5]);\n"
                     "        int32_t y = requantise(a + b, in2[7], in2[8]) + in2[6];\n"
                     "        out0[i] = clamp_byte(y, in2[9], in2[10]);\n%s"
                     "    }\n",
                     (long long)count_of(call),
                     mask ? "        if (y >= in2[9] && y <= in2[10]) set_bit(out1, i);\n" : "");
    return TERN_OK;
}

const tern_op tern_op_add_int8_mask = {
    .name = "add_int8_mask",
    .doc = "add_int8 of equal shapes, and where nothing was clamped",
    .inplace = {1},
    .infer = add_mask_infer,
    .work = one_each,
    .run = add_mask_run,
    .emit = add_mask_emit,
};

static tern_status multiply_infer(tern_infer *types)
{
    return pair_infer(types, TERN_MULTIPLY_CONSTANTS);
}

static void multiply_run(const tern_call *call)
{
    pair_run(call, tern_int8_product);
}

static tern_status multiply_emit(const tern_call *call, tern_emit *to)
{
    write_pair(
        call, to,
        "clamp_byte(requantise((x - in2[0]) * (z - in2[1]), in2[3], in2[4]) + in2[2], in2[5], in2[6])");
    return TERN_OK;
}

const tern_op tern_op_multiply_int8 = {
    .name = "multiply_int8",
    .doc = "a b of bytes with scales of their own",
    .inplace = {1},
    .infer = multiply_infer,
    .work = one_each,
    .run = multiply_run,
    .emit = multiply_emit,
};
