/* What nets with activations of 16 bits do element by element.  A number q of 16 bits stands for scale q. */
#include "op/int16.h"

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

/* ---- add_int16: a, b broadcast like numpy's, constants i32 (kernel/int16.h) ------------------------------------------ */

static tern_status pair_infer(tern_infer *types)
{
    tern_shape y;
    char a[96], b[96];
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){TERN_I16, TERN_I16, TERN_I32}));
    if (!tern_broadcast(&types->in[0]->shape, &types->in[1]->shape, &y))
        return tern_infer_fail(types, "%s and %s do not go together",
                               tern_shape_text(a, &types->in[0]->shape),
                               tern_shape_text(b, &types->in[1]->shape));
    TERN_TRY(tern_infer_like(types, 2, 2, TERN_SHAPE(TERN_ADD_CONSTANTS)));
    tern_infer_out(types, TERN_I16, y);
    return TERN_OK;
}

static void add_run(const tern_call *call)
{
    const int16_t *a = call->in[0].data, *b = call->in[1].data;
    const tern_shape *shape = &call->out[0].shape;
    int16_t *y = call->out[0].data;
    for (int64_t i = 0; i < tern_elements(shape); i++)
        y[i] = tern_int16_sum(a[tern_broadcast_index(shape, &call->in[0].shape, i)],
                              b[tern_broadcast_index(shape, &call->in[1].shape, i)], call->in[2].data);
    count(call);
}

static tern_status add_emit(const tern_call *call, tern_emit *to)
{
    const tern_shape *y = &call->out[0].shape;
    tern_write_loops(to, y);
    tern_text_format(
        to->text,
        "        int32_t a = requantise((in0[%s] - in2[0]) * (1 << 15), in2[1], in2[2]);\n"
        "        int32_t b = requantise((in1[%s] - in2[3]) * (1 << 15), in2[4], in2[5]);\n"
        "        out0[%s] = clamp_short(requantise(a + b, in2[7], in2[8]) + in2[6], in2[9], in2[10]);\n",
        tern_write_place(&call->in[0].shape, y).text, tern_write_place(&call->in[1].shape, y).text,
        tern_write_place(y, y).text);
    tern_write_end(to);
    return TERN_OK;
}

const tern_op tern_op_add_int16 = {
    .name = "add_int16",
    .doc = "a + b of 16 bits with scales of their own",
    .inplace = {1},
    .infer = pair_infer,
    .work = one_each,
    .run = add_run,
    .emit = add_emit,
};
