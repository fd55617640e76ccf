/* svdf_int8: a layer of singular value filters over bytes (Nakkiran et al., Interspeech 2015), as TensorFlow Lite's kernel with a memory
 * of 16 bits has it.  Filter f keeps the last M of its products with the input, and a unit is the sum of its `rank` filters over time:
 *   s'[f] = (s[f,1..], requantise(WF[f] x)),  y[u] = requantise(bias[u] + sum over f of u and m of WT[f,m] s'[f,m]) + zero,
 * products saturated to 16 bits, sums wrapping around in 32. */
#include "op/int8.h"

#include <string.h>

enum { X, STATE, FEATURES, FEATURE_BIAS, TIMES, BIAS, CONSTANTS, OPERANDS };

typedef struct sizes {
    int64_t batch, inputs, filters, memory, units;
} sizes;

static sizes sizes_of(const tern_shape *x, const tern_shape *state, const tern_shape *bias)
{
    return (sizes){x->dim[0], x->dim[1], state->dim[1], state->dim[2], bias->dim[0]};
}

static tern_status svdf_infer(tern_infer *types)
{
    static const tern_dtype expected[] = {TERN_I8, TERN_I16, TERN_I8, TERN_I32, TERN_I16, TERN_I32, TERN_I32};
    char a[96], b[96], c[96];
    TERN_TRY(tern_infer_inputs(types, OPERANDS, OPERANDS));
    TERN_TRY(tern_int8_check_types(types, expected));
    const tern_shape *x = &types->in[X]->shape, *s = &types->in[STATE]->shape, *u = &types->in[BIAS]->shape;
    bool good = x->rank == 2 && s->rank == 3 && u->rank == 1 && x->dim[0] == s->dim[0] && s->dim[2] > 0 &&
                u->dim[0] > 0 && s->dim[1] % u->dim[0] == 0;
    if (!good)
        return tern_infer_fail(types,
                               "x is %s, the memory %s, the bias %s: expected [B,I], [B,F,M] and [U], F a "
                               "multiple of U",
                               tern_shape_text(a, x), tern_shape_text(b, s), tern_shape_text(c, u));
    sizes n = sizes_of(x, s, u);
    TERN_TRY(tern_infer_like(types, FEATURES, FEATURES, TERN_SHAPE(n.filters, n.inputs)));
    TERN_TRY(tern_infer_like(types, FEATURE_BIAS, FEATURE_BIAS, TERN_SHAPE(n.filters)));
    TERN_TRY(tern_infer_like(types, TIMES, TIMES, TERN_SHAPE(n.filters, n.memory)));
    TERN_TRY(tern_infer_like(types, CONSTANTS, CONSTANTS, TERN_SHAPE(TERN_SVDF_CONSTANTS)));
    tern_infer_out(types, TERN_I8, TERN_SHAPE(n.batch, n.units));
    tern_infer_out(types, TERN_I16, *s);
    return TERN_OK;
}

static int16_t product(const tern_call *call, const sizes *n, int64_t filter, const int8_t *x)
{
    const int8_t *w = (const int8_t *)call->in[FEATURES].data + filter * n->inputs;
    const int32_t *q = call->in[CONSTANTS].data;
    uint32_t sum = (uint32_t)((const int32_t *)call->in[FEATURE_BIAS].data)[filter];
    for (int64_t k = 0; k < n->inputs; k++) sum += (uint32_t)(x[k] * w[k]);
    int32_t y = tern_requantise((int32_t)sum, q[0], q[1]);
    return (int16_t)(y < INT16_MIN ? INT16_MIN : y > INT16_MAX ? INT16_MAX : y);
}

/* The memory of one sample becomes `next`. */
static void remember(const tern_call *call, const sizes *n, int64_t sample, int16_t *next)
{
    const int16_t *last = (const int16_t *)call->in[STATE].data + sample * n->filters * n->memory;
    const int8_t *x = (const int8_t *)call->in[X].data + sample * n->inputs;
    for (int64_t f = 0; f < n->filters; f++) {
        int16_t *row = next + f * n->memory;
        memmove(row, last + f * n->memory + 1, (size_t)(n->memory - 1) * sizeof *row);
        row[n->memory - 1] = product(call, n, f, x);
    }
}

static void svdf_run(const tern_call *call)
{
    sizes n = sizes_of(&call->in[X].shape, &call->in[STATE].shape, &call->in[BIAS].shape);
    const int16_t *times = call->in[TIMES].data;
    const int32_t *q = call->in[CONSTANTS].data;
    int64_t each = n.filters / n.units * n.memory; /* of a unit */
    for (int64_t b = 0; b < n.batch; b++) {
        int16_t *state = (int16_t *)call->out[1].data + b * n.filters * n.memory;
        remember(call, &n, b, state);
        for (int64_t u = 0; u < n.units; u++) {
            uint32_t sum = (uint32_t)((const int32_t *)call->in[BIAS].data)[u];
            for (int64_t k = u * each; k < (u + 1) * each; k++) sum += (uint32_t)(times[k] * state[k]);
            int64_t y = (int64_t)tern_requantise((int32_t)sum, q[2], q[3]) + q[4];
            ((int8_t *)call->out[0].data)[b * n.units + u] = (int8_t)(y < INT8_MIN   ? INT8_MIN
                                                                      : y > INT8_MAX ? INT8_MAX
                                                                                     : y);
        }
    }
    if (call->counter) call->op->work(call, call->counter);
}

static void svdf_work(const tern_call *call, tern_work *work)
{
    sizes n = sizes_of(&call->in[X].shape, &call->in[STATE].shape, &call->in[BIAS].shape);
    work->macs += (double)(n.batch * n.filters) * (double)(n.inputs + n.memory);
    work->elementwise += (double)(n.batch * (n.filters + n.units));
}

static tern_status svdf_emit(const tern_call *call, tern_emit *to)
{
    sizes n = sizes_of(&call->in[X].shape, &call->in[STATE].shape, &call->in[BIAS].shape);
    long long filters = n.filters, memory = n.memory, each = filters / n.units * memory;
    tern_text_format(to->text,
                     "    for (int s = 0; s < %lld; s++) {\n"
                     "        int16_t *memory = out1 + s * %lld;\n"
                     "        for (int f = 0; f < %lld; f++) {\n"
                     "            int16_t *row = memory + f * %lld;\n"
                     "            memmove(row, in1 + (s * %lld + f) * %lld + 1, sizeof *row * %lld);\n"
                     "            row[%lld] = (int16_t)saturate_short(requantise(dot_bytes(%lld, in0 + s * "
                     "%lld, in2 + f * %lld, in3[f]), in6[0], in6[1]));\n"
                     "        }\n",
                     (long long)n.batch, filters * memory, filters, memory, filters, memory, memory - 1,
                     memory - 1, (long long)n.inputs, (long long)n.inputs, (long long)n.inputs);
    tern_text_format(to->text,
                     "        for (int u = 0; u < %lld; u++) {\n"
                     "            uint32_t sum = (uint32_t)in5[u];\n"
                     "            for (int k = u * %lld; k < (u + 1) * %lld; k++) sum += (uint32_t)(in4[k] * "
                     "memory[k]);\n"
                     "            out0[s * %lld + u] = clamp_byte(requantise((int32_t)sum, in6[2], in6[3]) + "
                     "in6[4], -128, 127);\n"
                     "        }\n    }\n",
                     (long long)n.units, each, each, (long long)n.units);
    return TERN_OK;
}

const tern_op tern_op_svdf_int8 = {
    .name = "svdf_int8",
    .doc = "filters over features and time, of bytes, with a memory of 16 bits",
    .infer = svdf_infer,
    .work = svdf_work,
    .run = svdf_run,
    .emit = svdf_emit,
};
