/* What nets with activations of 16 bits do element by element.  A number q of 16 bits stands for scale q. */
#include "op/int16.h"

#include "kernel/exponent.h"

static void one_each(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)tern_elements(&call->out[0].shape);
}

static void count(const tern_call *call)
{
    if (call->counter) one_each(call, call->counter);
}

/* ---- quantise_int16: x f32, scale f32 [1], zero i32 [1] -> 16 bits -------------------------------------------------- */

static tern_status quantise_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){TERN_F32, TERN_F32, TERN_I32}));
    TERN_TRY(tern_infer_like(types, 1, 2, TERN_SHAPE(1)));
    tern_infer_out(types, TERN_I16, types->in[0]->shape);
    return TERN_OK;
}

static void quantise_run(const tern_call *call)
{
    const float *x = call->in[0].data, scale = *(const float *)call->in[1].data;
    int32_t zero = *(const int32_t *)call->in[2].data;
    int16_t *y = call->out[0].data;
    for (int64_t i = 0; i < tern_elements(&call->in[0].shape); i++)
        y[i] = tern_float_to_short(x[i], scale, zero);
    count(call);
}

static tern_status quantise_emit(const tern_call *call, tern_emit *to)
{
    tern_text_format(to->text,
                     "    for (int i = 0; i < %lld; i++) out0[i] = short_of_float(in0[i], in1[0], in2[0]);\n",
                     (long long)tern_elements(&call->in[0].shape));
    return TERN_OK;
}

const tern_op tern_op_quantise_int16 = {
    .name = "quantise_int16",
    .doc = "numbers as 16 bits: the nearest of scale (q - zero)",
    .infer = quantise_infer,
    .work = one_each,
    .run = quantise_run,
    .emit = quantise_emit,
};

/* ---- add_int16, subtract_int16, multiply_int16: a, b broadcast like numpy's, constants i32 (kernel/int16.h) ----------- */

static tern_status pair_infer(tern_infer *types, int constants)
{
    tern_shape y;
    char a[96], b[96];
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){TERN_I16, TERN_I16, TERN_I32}));
    if (!tern_broadcast(&types->in[0]->shape, &types->in[1]->shape, &y))
        return tern_infer_fail(types, "%s and %s do not go together",
                               tern_shape_text(a, &types->in[0]->shape),
                               tern_shape_text(b, &types->in[1]->shape));
    TERN_TRY(tern_infer_like(types, 2, 2, TERN_SHAPE(constants)));
    tern_infer_out(types, TERN_I16, y);
    return TERN_OK;
}

typedef int16_t pair_function(int16_t a, int16_t b, const int32_t *constants);

static void pair_run(const tern_call *call, pair_function *f)
{
    const int16_t *a = call->in[0].data, *b = call->in[1].data;
    const tern_shape *shape = &call->out[0].shape;
    int16_t *y = call->out[0].data;
    for (int64_t i = 0; i < tern_elements(shape); i++)
        y[i] = f(a[tern_broadcast_index(shape, &call->in[0].shape, i)],
                 b[tern_broadcast_index(shape, &call->in[1].shape, i)], call->in[2].data);
    count(call);
}

/* Loops whose body has the operands as x and z. */
static tern_status write_pair(const tern_call *call, tern_emit *to, const char *body)
{
    const tern_shape *y = &call->out[0].shape;
    tern_write_loops(to, y);
    tern_text_format(to->text,
                     "        const int32_t x = in0[%s], z = in1[%s];\n"
                     "        out0[%s] = %s;\n",
                     tern_write_place(&call->in[0].shape, y).text,
                     tern_write_place(&call->in[1].shape, y).text, tern_write_place(y, y).text, body);
    tern_write_end(to);
    return TERN_OK;
}

static tern_status add_infer(tern_infer *types)
{
    return pair_infer(types, TERN_ADD_CONSTANTS);
}

static void add_run(const tern_call *call)
{
    pair_run(call, tern_int16_sum);
}

#define LEFT "clamp_short(requantise(requantise((x - in2[0]) * (1 << 15), in2[1], in2[2]) "
#define RIGHT                                                                                                \
    " requantise((z - in2[3]) * (1 << 15), in2[4], in2[5]), in2[7], in2[8]) + in2[6], in2[9], in2[10])"

static tern_status add_emit(const tern_call *call, tern_emit *to)
{
    return write_pair(call, to, LEFT "+" RIGHT);
}

const tern_op tern_op_add_int16 = {
    .name = "add_int16",
    .doc = "a + b of 16 bits with scales of their own",
    .inplace = {1},
    .infer = add_infer,
    .work = one_each,
    .run = add_run,
    .emit = add_emit,
};

static void subtract_run(const tern_call *call)
{
    pair_run(call, tern_int16_difference);
}

static tern_status subtract_emit(const tern_call *call, tern_emit *to)
{
    return write_pair(call, to, LEFT "-" RIGHT);
}

const tern_op tern_op_subtract_int16 = {
    .name = "subtract_int16",
    .doc = "a - b of 16 bits with scales of their own",
    .inplace = {1},
    .infer = add_infer,
    .work = one_each,
    .run = subtract_run,
    .emit = subtract_emit,
};

static tern_status multiply_infer(tern_infer *types)
{
    return pair_infer(types, TERN_MULTIPLY_CONSTANTS);
}

static void multiply_run(const tern_call *call)
{
    pair_run(call, tern_int16_product);
}

static tern_status multiply_emit(const tern_call *call, tern_emit *to)
{
    return write_pair(
        call, to,
        "clamp_short(requantise((x - in2[0]) * (z - in2[1]), in2[3], in2[4]) + in2[2], in2[5], in2[6])");
}

const tern_op tern_op_multiply_int16 = {
    .name = "multiply_int16",
    .doc = "a b of 16 bits with scales of their own",
    .inplace = {1},
    .infer = multiply_infer,
    .work = one_each,
    .run = multiply_run,
    .emit = multiply_emit,
};

/* ---- rescale_int16: x i16 or i8, constants i32 [TERN_RESCALE_CONSTANTS] -> i16 or i8 (kernel/int16.h) ------------------ */

static const tern_arg rescale_args[] = {
    TERN_ARG(tern_int16_rescale_op, bytes, TERN_ARG_BOOL, "the result is bytes"), {0}};

static tern_status rescale_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    bool bytes = types->in[0] && types->in[0]->dtype == TERN_I8;
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){bytes ? TERN_I8 : TERN_I16, TERN_I32}));
    TERN_TRY(tern_infer_like(types, 1, 1, TERN_SHAPE(TERN_RESCALE_CONSTANTS)));
    const tern_int16_rescale_op *a = types->args;
    tern_infer_out(types, a->bytes ? TERN_I8 : TERN_I16,
                   types->in[0]->shape); // NOLINT(*NullDereference): input 0 is there, as just checked
    return TERN_OK;
}

static void rescale_run(const tern_call *call)
{
    const int32_t *q = call->in[1].data;
    for (int64_t i = 0; i < tern_elements(&call->out[0].shape); i++)
        tern_int8_put(&call->out[0], i, tern_int16_rescaled(tern_int8_element(&call->in[0], i), q));
    count(call);
}

static tern_status rescale_emit(const tern_call *call, tern_emit *to)
{
    tern_text_format(
        to->text,
        "    for (int i = 0; i < %lld; i++) {\n"
        "        const int32_t x = in0[i] - in1[0];\n"
        "        const int32_t y = requantise(x, in1[x < 0 ? 3 : 1], in1[x < 0 ? 4 : 2]) + in1[5];\n"
        "        out0[i] = %s(y, in1[6], in1[7]);\n"
        "    }\n",
        (long long)tern_elements(&call->out[0].shape),
        call->out[0].dtype == TERN_I8 ? "clamp_byte" : "clamp_short");
    return TERN_OK;
}

const tern_op tern_op_rescale_int16 = {
    .name = "rescale_int16",
    .doc = "16 bits or bytes on another scale, limited; below zero by a factor of its own",
    .inplace = {1},
    .args = rescale_args,
    .args_size = sizeof(tern_int16_rescale_op),
    .infer = rescale_infer,
    .work = one_each,
    .run = rescale_run,
    .emit = rescale_emit,
};

/* ---- logistic_int16, tanh_int16: x i16, multiplier and shift i32 [2], steps i32 [256] -> i16 in units of 2^-15 ---------- */

static tern_status curve_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){TERN_I16, TERN_I32, TERN_I32}));
    TERN_TRY(tern_infer_like(types, 1, 1, TERN_SHAPE(2)));
    TERN_TRY(tern_infer_like(types, 2, 2, TERN_SHAPE(256)));
    tern_infer_out(types, TERN_I16, types->in[0]->shape);
    return TERN_OK;
}

static void one_special_each(const tern_call *call, tern_work *work)
{
    work->specials += (double)tern_elements(&call->out[0].shape);
}

typedef int16_t curve(const int32_t *steps, int16_t x, int32_t multiplier, int shift);

static void curve_run(const tern_call *call, curve *f)
{
    const int16_t *x = call->in[0].data;
    const int32_t *q = call->in[1].data;
    for (int64_t i = 0; i < tern_elements(&call->out[0].shape); i++)
        ((int16_t *)call->out[0].data)[i] = f(call->in[2].data, x[i], q[0], q[1]);
    if (call->counter) one_special_each(call, call->counter);
}

static tern_status write_curve(const tern_call *call, tern_emit *to, const char *name)
{
    tern_text_format(to->text,
                     "    for (int i = 0; i < %lld; i++)\n"
                     "        out0[i] = (int16_t)%s(in2, in0[i], in1[0], in1[1]);\n",
                     (long long)tern_elements(&call->out[0].shape), name);
    return TERN_OK;
}

static void logistic_run(const tern_call *call)
{
    curve_run(call, tern_short_logistic);
}

static tern_status logistic_emit(const tern_call *call, tern_emit *to)
{
    return write_curve(call, to, "short_sigmoid");
}

const tern_op tern_op_logistic_int16 = {
    .name = "logistic_int16",
    .doc = "logistic function of 16 bits, between steps of a table",
    .inplace = {1},
    .infer = curve_infer,
    .work = one_special_each,
    .run = logistic_run,
    .emit = logistic_emit,
};

static void tanh_run(const tern_call *call)
{
    curve_run(call, tern_short_tanh);
}

static tern_status tanh_emit(const tern_call *call, tern_emit *to)
{
    return write_curve(call, to, "short_tanh");
}

const tern_op tern_op_tanh_int16 = {
    .name = "tanh_int16",
    .doc = "tanh of 16 bits, between steps of a table",
    .inplace = {1},
    .infer = curve_infer,
    .work = one_special_each,
    .run = tanh_run,
    .emit = tanh_emit,
};
