/* Long short-term memory over bytes: a cell of 16 bits, gates of 8-bit products (as TensorFlow Lite's 8x8_16 kernel has it).
 *
 * With gates forget, input, cell and output, each a sum of W x and U h rounded to units of 2^-12,
 *   c' = forget c + input tanh(cell),  h' = output tanh(c'),
 * every product rounded to the scale of its result and saturated. */
#include "op/int8.h"

#include "kernel/exponent.h"

#include <string.h>

enum { X, H, C, WX, WH, BIAS_X, BIAS_H, CONSTANTS, STEPS, OPERANDS };

static const tern_dtype operand_types[] = {TERN_I8,  TERN_I8,  TERN_I16, TERN_I8, TERN_I8,
                                           TERN_I32, TERN_I32, TERN_I32, TERN_I32};

typedef struct sizes {
    int64_t batch, steps, inputs, cells;
} sizes;

static sizes sizes_of(const tern_shape *x, const tern_shape *h)
{
    return (sizes){x->dim[0], x->dim[1], x->dim[2], h->dim[1]};
}

static tern_status lstm_infer(tern_infer *types)
{
    char a[96], b[96];
    TERN_TRY(tern_infer_inputs(types, OPERANDS, OPERANDS));
    for (int i = 0; i < OPERANDS; i++)
        if (types->in[i]->dtype != operand_types[i])
            return tern_infer_fail(types, "operand %d is %s, expected %s", i,
                                   tern_dtype_of(types->in[i]->dtype)->name,
                                   tern_dtype_of(operand_types[i])->name);
    const tern_shape *x = &types->in[X]->shape, *h = &types->in[H]->shape;
    if (x->rank != 3 || h->rank != 2 || x->dim[0] != h->dim[0] || x->dim[1] < 1)
        return tern_infer_fail(types, "x is %s and h %s, expected [B,T,I] and [B,S]", tern_shape_text(a, x),
                               tern_shape_text(b, h));
    sizes n = sizes_of(x, h);
    TERN_TRY(tern_infer_like(types, C, C, *h));
    TERN_TRY(tern_infer_like(types, WX, WX, TERN_SHAPE(4 * n.cells, n.inputs)));
    TERN_TRY(tern_infer_like(types, WH, WH, TERN_SHAPE(4 * n.cells, n.cells)));
    TERN_TRY(tern_infer_like(types, BIAS_X, BIAS_H, TERN_SHAPE(4 * n.cells)));
    TERN_TRY(tern_infer_like(types, CONSTANTS, CONSTANTS, TERN_SHAPE(TERN_LSTM_CONSTANTS)));
    TERN_TRY(tern_infer_like(types, STEPS, STEPS, TERN_SHAPE(256)));
    if (n.inputs > 65535 || n.cells > 65535)
        return tern_infer_fail(types,
                               "%lld inputs and %lld cells, expected at most 65535, so that sums fit 32 bits",
                               (long long)n.inputs, (long long)n.cells);
    tern_infer_out(types, TERN_I8, TERN_SHAPE(n.batch, n.steps, n.cells));
    tern_infer_out(types, TERN_I8, *h);
    tern_infer_out(types, TERN_I16, *h);
    return TERN_OK;
}

static int32_t saturated(int32_t x)
{
    return x < INT16_MIN ? INT16_MIN : x > INT16_MAX ? INT16_MAX : x;
}

static int32_t product(int64_t n, const int8_t *x, const int8_t *w, int32_t bias, const int32_t *scale)
{
    uint32_t sum = (uint32_t)bias;
    for (int64_t k = 0; k < n; k++) sum += (uint32_t)(x[k] * w[k]);
    return saturated(tern_requantise((int32_t)sum, scale[0], scale[1]));
}

/* Gate `gate` of cell `cell`, before its function. */
static int16_t gate_of(const tern_call *call, const sizes *n, int gate, int64_t cell, const int8_t *x,
                       const int8_t *h)
{
    const int32_t *q = call->in[CONSTANTS].data;
    int64_t row = gate * n->cells + cell;
    int32_t from_x = product(n->inputs, x, (const int8_t *)call->in[WX].data + row * n->inputs,
                             ((const int32_t *)call->in[BIAS_X].data)[row], q + 4 * gate);
    int32_t from_h = product(n->cells, h, (const int8_t *)call->in[WH].data + row * n->cells,
                             ((const int32_t *)call->in[BIAS_H].data)[row], q + 4 * gate + 2);
    return (int16_t)saturated(from_x + from_h);
}

static int8_t step_cell(const tern_call *call, const sizes *n, int64_t cell, const int8_t *x, const int8_t *h,
                        int16_t *c)
{
    const int32_t *q = call->in[CONSTANTS].data, *steps = call->in[STEPS].data;
    int32_t forget = tern_short_logistic(steps, gate_of(call, n, 0, cell, x, h), 3, 0);
    int32_t input = tern_short_logistic(steps, gate_of(call, n, 1, cell, x, h), 3, 0);
    int32_t candidate = tern_short_tanh(steps, gate_of(call, n, 2, cell, x, h), 3, 0);
    int32_t output = tern_short_logistic(steps, gate_of(call, n, 3, cell, x, h), 3, 0);
    int32_t kept = saturated(tern_requantise(forget * c[cell], q[16], q[17]));
    int32_t sum = saturated(kept + saturated(tern_requantise(input * candidate, q[18], q[19])));
    int32_t clip = q[23];
    if (clip > 0) sum = sum > clip ? clip : sum < -clip ? -clip : sum;
    c[cell] = (int16_t)sum;
    int32_t bent = tern_short_tanh(steps, c[cell], q[24], q[25]);
    return tern_clamp_byte(tern_requantise(bent * output, q[20], q[21]) + q[22], INT8_MIN, INT8_MAX);
}

static void lstm_run(const tern_call *call)
{
    sizes n = sizes_of(&call->in[X].shape, &call->in[H].shape);
    int8_t *y = call->out[0].data, *last = call->out[1].data;
    int16_t *c = call->out[2].data;
    memmove(c, call->in[C].data, (size_t)(n.batch * n.cells) * sizeof *c);
    for (int64_t b = 0; b < n.batch; b++) {
        const int8_t *h = (const int8_t *)call->in[H].data + b * n.cells;
        for (int64_t t = 0; t < n.steps; t++) {
            const int8_t *x = (const int8_t *)call->in[X].data + (b * n.steps + t) * n.inputs;
            int8_t *to = y + (b * n.steps + t) * n.cells;
            for (int64_t cell = 0; cell < n.cells; cell++)
                to[cell] = step_cell(call, &n, cell, x, h, c + b * n.cells);
            h = to;
        }
        memcpy(last + b * n.cells, h, (size_t)n.cells);
    }
    if (call->counter) call->op->work(call, call->counter);
}

static void lstm_work(const tern_call *call, tern_work *work)
{
    sizes n = sizes_of(&call->in[X].shape, &call->in[H].shape);
    double cells = (double)(n.batch * n.steps * n.cells);
    work->macs += 4 * cells * (double)(n.inputs + n.cells);
    work->elementwise += 3 * cells;
    work->specials += 5 * cells;
}

static void write_gates(tern_emit *to, long long inputs, long long cells)
{
    tern_text_format(
        to->text,
        "            for (int g = 0; g < 4; g++) {\n"
        "                const int row = g * %lld + cell;\n"
        "                const int32_t a = requantise(dot_bytes(%lld, x, in3 + row * %lld, in5[row]), "
        "in7[4 * g], in7[4 * g + 1]);\n"
        "                const int32_t b = requantise(dot_bytes(%lld, h, in4 + row * %lld, in6[row]), "
        "in7[4 * g + 2], in7[4 * g + 3]);\n"
        "                gate[g] = saturate_short(saturate_short(a) + saturate_short(b));\n"
        "            }\n",
        cells, inputs, inputs, cells, cells);
}

static tern_status lstm_emit(const tern_call *call, tern_emit *to)
{
    sizes n = sizes_of(&call->in[X].shape, &call->in[H].shape);
    long long cells = n.cells, inputs = n.inputs, steps = n.steps, batch = n.batch;
    tern_text_format(to->text,
                     "    memmove(out2, in2, sizeof *out2 * %lld);\n"
                     "    for (int s = 0; s < %lld; s++) {\n"
                     "        const int8_t *h = in1 + s * %lld;\n"
                     "        int16_t *c = out2 + s * %lld;\n"
                     "        for (int t = 0; t < %lld; t++) {\n"
                     "            const int8_t *x = in0 + (s * %lld + t) * %lld;\n"
                     "            int8_t *y = out0 + (s * %lld + t) * %lld;\n"
                     "            for (int cell = 0; cell < %lld; cell++) {\n"
                     "            int32_t gate[4];\n",
                     batch * cells, batch, cells, cells, steps, steps, inputs, steps, cells, cells);
    write_gates(to, inputs, cells);
    tern_text_format(
        to->text,
        "            const int32_t forget = short_sigmoid(in8, gate[0], 3, 0), input = short_sigmoid(in8, "
        "gate[1], 3, 0);\n"
        "            const int32_t candidate = short_tanh(in8, gate[2], 3, 0);\n"
        "            const int32_t kept = saturate_short(requantise(forget * c[cell], in7[16], "
        "in7[17]));\n"
        "            int32_t sum = saturate_short(kept + saturate_short(requantise(input * candidate, "
        "in7[18], in7[19])));\n"
        "            if (in7[23] > 0) sum = sum > in7[23] ? in7[23] : sum < -in7[23] ? -in7[23] : sum;\n"
        "            c[cell] = (int16_t)sum;\n"
        "            y[cell] = clamp_byte(requantise(short_tanh(in8, sum, in7[24], in7[25]) * "
        "short_sigmoid(in8, gate[3], 3, 0), in7[20], in7[21]) + in7[22], -128, 127);\n"
        "            }\n"
        "            h = y;\n"
        "        }\n"
        "        memcpy(out1 + s * %lld, h, %lld);\n"
        "    }\n",
        cells, cells);
    return TERN_OK;
}

const tern_op tern_op_lstm_int8 = {
    .name = "lstm_int8",
    .doc = "long short-term memory over bytes, its cell in 16 bits",
    .infer = lstm_infer,
    .work = lstm_work,
    .run = lstm_run,
    .emit = lstm_emit,
};
