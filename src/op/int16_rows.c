/* softmax_int16: along the last axis of numbers of 16 bits; to 16 bits in units of 2^-15.
 *
 * e = exps(factor (x - largest)) in units of 2^-15, and y = e / sum of e by a table of 1 / (1 + t), 0 <= t <= 1, as TensorFlow
 * Lite's reference kernel has it; both tables are interpolated (kernel/exponent.h). */
#include "op/int16.h"

#include "kernel/exponent.h"

enum { X, EXPS, RECIPROCALS, FACTOR, OPERANDS, MOST_ROW = 65535 };

static tern_status infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, OPERANDS, OPERANDS));
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){TERN_I16, TERN_I16, TERN_I16, TERN_I32}));
    TERN_TRY(tern_infer_like(types, EXPS, RECIPROCALS, TERN_SHAPE(TERN_SHORT_STEPS)));
    TERN_TRY(tern_infer_like(types, FACTOR, FACTOR, TERN_SHAPE(2)));
    const tern_shape *x = &types->in[X]->shape;
    if (x->rank < 1 || x->dim[x->rank - 1] < 1 || x->dim[x->rank - 1] > MOST_ROW)
        return tern_infer_fail(types, "rows must have 1 to %d elements, so that sums fit 32 bits", MOST_ROW);
    tern_infer_out(types, TERN_I16, *x);
    return TERN_OK;
}

static int16_t exponential(const int16_t *steps, int32_t below, const int32_t *factor)
{
    int32_t x = tern_requantise(below, factor[0], factor[1]);
    return tern_short_between(steps, (int16_t)(x < -65535 ? INT16_MIN : x > 0 ? INT16_MAX : x + INT16_MAX));
}

static void softmax_row(const tern_call *call, int64_t n, const int16_t *x, int16_t *y)
{
    int16_t largest = x[0];
    int32_t sum = 0, zeros = 0;
    for (int64_t i = 1; i < n; i++) largest = x[i] > largest ? x[i] : largest;
    for (int64_t i = 0; i < n; i++) {
        y[i] = exponential(call->in[EXPS].data, x[i] - largest, call->in[FACTOR].data);
        sum += y[i];
    }
    while (zeros < 30 && !((uint32_t)sum << zeros >> 31)) zeros++;
    int32_t above = (int32_t)((((int64_t)sum << (zeros - 1)) + (1 << 13)) >> 14) - (1 << 16) - (1 << 15);
    int32_t reciprocal =
        tern_short_between(call->in[RECIPROCALS].data, tern_clamp_short(above, INT16_MIN, INT16_MAX));
    for (int64_t i = 0; i < n; i++) {
        int64_t share = ((int64_t)y[i] * reciprocal + (1LL << (30 - zeros))) >> (31 - zeros);
        y[i] = tern_clamp_short((int32_t)share, 0, INT16_MAX);
    }
}

static void run(const tern_call *call)
{
    const tern_shape *x = &call->in[X].shape;
    int64_t n = x->dim[x->rank - 1], count = tern_elements(x);
    for (int64_t i = 0; i < count; i += n)
        softmax_row(call, n, (const int16_t *)call->in[X].data + i, (int16_t *)call->out[0].data + i);
    if (call->counter) call->counter->specials += (double)count;
}

static void work(const tern_call *call, tern_work *work)
{
    work->specials += (double)tern_elements(&call->in[X].shape);
}

static tern_status emit(const tern_call *call, tern_emit *to)
{
    const tern_shape *x = &call->in[X].shape;
    long long n = x->dim[x->rank - 1];
    tern_text_format(
        to->text,
        "    for (int row = 0; row < %lld; row++) {\n"
        "        const int16_t *x = in0 + row * %lld;\n"
        "        int16_t *y = out0 + row * %lld, largest = x[0];\n"
        "        int32_t sum = 0, zeros = 0;\n"
        "        for (int i = 1; i < %lld; i++) largest = x[i] > largest ? x[i] : largest;\n"
        "        for (int i = 0; i < %lld; i++) {\n"
        "            y[i] = (int16_t)short_exp(in1, x[i] - largest, in3);\n"
        "            sum += y[i];\n"
        "        }\n"
        "        while (zeros < 30 && !((uint32_t)sum << zeros >> 31)) zeros++;\n"
        "        const int32_t above = (int32_t)((((int64_t)sum << (zeros - 1)) + 8192) >> 14) - 98304;\n"
        "        const int32_t reciprocal = short_between(in2, clamp_short(above, -32768, 32767));\n"
        "        for (int i = 0; i < %lld; i++)\n"
        "            y[i] = clamp_short((int32_t)(((int64_t)y[i] * reciprocal + (1LL << (30 - zeros))) >> "
        "(31 - "
        "zeros)), 0, 32767);\n"
        "    }\n",
        (long long)tern_elements(x) / n, n, n, n, n, n);
    return TERN_OK;
}

const tern_op tern_op_softmax_int16 = {
    .name = "softmax_int16",
    .doc = "softmax of 16 bits, by tables of exponentials and reciprocals",
    .infer = infer,
    .work = work,
    .run = run,
    .emit = emit,
};
