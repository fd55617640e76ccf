/* Long short-term memory over bytes, or over 16 bits: a cell of 16 bits, gates of products with weights of bytes (as TensorFlow
 * Lite's 8x8_16 and 16x8 kernels have it).
 *
 * With gates forget, input, cell and output, each a sum of W x and U h rounded to units of 2^-12,
 *   c' = forget c + input tanh(cell),  h' = output tanh(c'),
 * every product rounded to the scale of its result and saturated.  Over 16 bits the sums of W x and U h have 64 bits and are
 * rounded as those of kernel/int16.h; BIAS_UPPER then has the upper halves of BIAS_X, and BIAS_H is of 32 bits. */
#include "op/int16.h"

#include "kernel/exponent.h"

#include <string.h>

enum { X, H, C, WX, WH, BIAS_X, BIAS_H, CONSTANTS, STEPS, BIAS_UPPER, MOST_OPERANDS };

typedef struct sizes {
    int64_t batch, steps, inputs, cells;
} sizes;

static sizes sizes_of(const tern_shape *x, const tern_shape *h)
{
    return (sizes){x->dim[0], x->dim[1], x->dim[2], h->dim[1]};
}

static tern_status infer(tern_infer *types, tern_dtype dtype)
{
    const tern_dtype expected[MOST_OPERANDS] = {dtype,    dtype,    TERN_I16, TERN_I8,  TERN_I8,
                                                TERN_I32, TERN_I32, TERN_I32, TERN_I32, TERN_I32};
    char a[96], b[96];
    int operands = dtype == TERN_I16 ? MOST_OPERANDS : BIAS_UPPER;
    TERN_TRY(tern_infer_inputs(types, operands, operands));
    TERN_TRY(tern_int8_check_types(types, expected));
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
    if (dtype == TERN_I16) TERN_TRY(tern_infer_like(types, BIAS_UPPER, BIAS_UPPER, TERN_SHAPE(4 * n.cells)));
    if (n.inputs > 65535 || n.cells > 65535)
        return tern_infer_fail(types,
                               "%lld inputs and %lld cells, expected at most 65535, so that sums fit 32 bits",
                               (long long)n.inputs, (long long)n.cells);
    tern_infer_out(types, dtype, TERN_SHAPE(n.batch, n.steps, n.cells));
    tern_infer_out(types, dtype, *h);
    tern_infer_out(types, TERN_I16, *h);
    return TERN_OK;
}

static tern_status lstm_infer(tern_infer *types)
{
    return infer(types, TERN_I8);
}

static tern_status short_infer(tern_infer *types)
{
    return infer(types, TERN_I16);
}

static bool is_wide(const tern_call *call)
{
    return call->in[X].dtype == TERN_I16;
}

static int32_t saturated(int32_t x)
{
    return x < INT16_MIN ? INT16_MIN : x > INT16_MAX ? INT16_MAX : x;
}

/* Bytes or 16 bits from an element on: what a product reads. */
typedef struct row {
    const tern_tensor *of;
    int64_t first;
} row;

/* Sums of bytes wrap around in 32 bits. */
static int32_t product(int64_t n, row x, const int8_t *w, int64_t bias, const int32_t *scale)
{
    uint64_t sum = (uint64_t)bias;
    for (int64_t k = 0; k < n; k++) sum += (uint64_t)(int64_t)(tern_int8_element(x.of, x.first + k) * w[k]);
    return saturated(x.of->dtype == TERN_I16 ? tern_requantise_wide((int64_t)sum, scale[0], scale[1])
                                             : tern_requantise((int32_t)(uint32_t)sum, scale[0], scale[1]));
}

/* Gate `gate` of cell `cell`, before its function. */
static int16_t gate_of(const tern_call *call, const sizes *n, int gate, int64_t cell, row x, row h)
{
    const int32_t *q = call->in[CONSTANTS].data, *upper = is_wide(call) ? call->in[BIAS_UPPER].data : NULL;
    int64_t r = gate * n->cells + cell, bias = ((const int32_t *)call->in[BIAS_X].data)[r];
    if (upper) bias = (int64_t)((uint64_t)(uint32_t)upper[r] << 32 | (uint32_t)bias);
    int32_t from_x =
        product(n->inputs, x, (const int8_t *)call->in[WX].data + r * n->inputs, bias, q + 4 * gate);
    int32_t from_h = product(n->cells, h, (const int8_t *)call->in[WH].data + r * n->cells,
                             ((const int32_t *)call->in[BIAS_H].data)[r], q + 4 * gate + 2);
    return (int16_t)saturated(from_x + from_h);
}

static int32_t step_cell(const tern_call *call, const sizes *n, int64_t cell, row x, row h, int16_t *c)
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
    int32_t y = tern_requantise(bent * output, q[20], q[21]) + q[22],
            low = is_wide(call) ? INT16_MIN : INT8_MIN;
    return y < low ? low : y > -1 - low ? -1 - low : y;
}

static void lstm_run(const tern_call *call)
{
    sizes n = sizes_of(&call->in[X].shape, &call->in[H].shape);
    int16_t *c = call->out[2].data;
    memmove(c, call->in[C].data, (size_t)(n.batch * n.cells) * sizeof *c);
    for (int64_t b = 0; b < n.batch; b++) {
        row h = {&call->in[H], b * n.cells};
        for (int64_t t = 0; t < n.steps; t++) {
            row x = {&call->in[X], (b * n.steps + t) * n.inputs},
                y = {&call->out[0], (b * n.steps + t) * n.cells};
            for (int64_t cell = 0; cell < n.cells; cell++)
                tern_int8_put(y.of, y.first + cell, step_cell(call, &n, cell, x, h, c + b * n.cells));
            h = y;
        }
        for (int64_t cell = 0; cell < n.cells; cell++)
            tern_int8_put(&call->out[1], b * n.cells + cell, tern_int8_element(h.of, h.first + cell));
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

static void write_wide_gates(tern_emit *to, long long inputs, long long cells)
{
    tern_text_format(to->text,
                     "            for (int g = 0; g < 4; g++) {\n"
                     "                const int row = g * %lld + cell;\n"
                     "                int64_t a = wide_of(in9[row], in5[row]), b = in6[row];\n"
                     "                for (int k = 0; k < %lld; k++) a += x[k] * in3[row * %lld + k];\n"
                     "                for (int k = 0; k < %lld; k++) b += h[k] * in4[row * %lld + k];\n"
                     "                gate[g] = saturate_short(saturate_short(wide_scaled(a, in7[4 * g], "
                     "in7[4 * g + 1])) + "
                     "saturate_short(wide_scaled(b, in7[4 * g + 2], in7[4 * g + 3])));\n"
                     "            }\n",
                     cells, inputs, inputs, cells, cells);
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
    const char *type = is_wide(call) ? "int16_t" : "int8_t";
    tern_text_format(to->text,
                     "    memmove(out2, in2, sizeof *out2 * %lld);\n"
                     "    for (int s = 0; s < %lld; s++) {\n"
                     "        const %s *h = in1 + s * %lld;\n"
                     "        int16_t *c = out2 + s * %lld;\n"
                     "        for (int t = 0; t < %lld; t++) {\n"
                     "            const %s *x = in0 + (s * %lld + t) * %lld;\n"
                     "            %s *y = out0 + (s * %lld + t) * %lld;\n"
                     "            for (int cell = 0; cell < %lld; cell++) {\n"
                     "            int32_t gate[4];\n",
                     batch * cells, batch, type, cells, cells, steps, type, steps, inputs, type, steps, cells,
                     cells);
    (is_wide(call) ? write_wide_gates : write_gates)(to, inputs, cells);
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
        "            y[cell] = %s(requantise(short_tanh(in8, sum, in7[24], in7[25]) * "
        "short_sigmoid(in8, gate[3], 3, 0), in7[20], in7[21]) + in7[22], %s);\n"
        "            }\n"
        "            h = y;\n"
        "        }\n"
        "        memcpy(out1 + s * %lld, h, sizeof *h * %lld);\n"
        "    }\n",
        is_wide(call) ? "clamp_short" : "clamp_byte", is_wide(call) ? "-32768, 32767" : "-128, 127", cells,
        cells);
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

const tern_op tern_op_lstm_int16x8 = {
    .name = "lstm_int16x8",
    .doc = "long short-term memory over 16 bits with weights of bytes, its cell in 16 bits",
    .infer = short_infer,
    .work = lstm_work,
    .run = lstm_run,
    .emit = lstm_emit,
};
