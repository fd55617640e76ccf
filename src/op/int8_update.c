/* Nets of bytes that learn: weights of bytes that move.
 *
 * With quantisation-aware scaling (Lin et al., NeurIPS 2022, arXiv 2206.15472) the scales of gradients are 1/s_w^2 of a weight
 * and 1/(s_w s_x)^2 of a bias, s the scales of weight and input: a whole number then moves as far as the real number that it
 * stands for would. */
#include "kernel/portable.h"
#include "op/int8.h"

#include <stdio.h>
#include <string.h>

/* ---- int8_update: operands TERN_UPDATE_.. -> bias i32 [O], and weight i8 like the old one where there is one -------------- */

/* w = clamp(round(w - rate dW scale), -127, 127); bias += round(-rate db scale), and -z for each 1 that a weight has grown,
 * z the zero of x, since the bias contains what that adds. */
enum { MOST_WEIGHT = 127, MOST_BIAS = 1 << 30 };

static const tern_arg update_args[] = {
    TERN_ARG(tern_int8_update_op, stochastic, TERN_ARG_BOOL, "round up with the probability of the fraction"),
    TERN_ARG(tern_int8_update_op, depthwise, TERN_ARG_BOOL, "channels are those of the output"),
    TERN_ARG(tern_int8_update_op, stream, TERN_ARG_INT, "of the random numbers"),
    {0},
};

static const tern_arg descend_args[] = {
    TERN_ARG(tern_int8_update_op, stochastic, TERN_ARG_BOOL, "round up with the probability of the fraction"),
    TERN_ARG(tern_int8_update_op, depthwise, TERN_ARG_BOOL, "channels are those of the output"),
    TERN_ARG(tern_int8_update_op, stream, TERN_ARG_INT, "of the random numbers"),
    TERN_ARG(tern_int8_update_op, conv.stride, TERN_ARG_INT, "step between outputs"),
    TERN_ARG(tern_int8_update_op, conv.pad, TERN_ARG_INT, "zeros around the image"),
    TERN_ARG(tern_int8_update_op, conv.dilation, TERN_ARG_INT, "step between taps"),
    TERN_ARG(tern_int8_update_op, conv.groups, TERN_ARG_INT, "groups of channels that do not see each other"),
    {0},
};

typedef struct tern_learned_rows {
    int64_t outputs, channels, taps; /* of W [O,C,taps] */
    int64_t rows, chosen;            /* of dW [rows,chosen,taps] */
} tern_learned_rows;

static tern_learned_rows rows_of(const tern_shape *w, int64_t k, bool listed, bool depthwise)
{
    tern_learned_rows r = {.outputs = w->dim[0], .channels = w->dim[1], .taps = tern_elements_from(w, 2)};
    r.rows = listed && depthwise ? k : r.outputs;
    r.chosen = listed && !depthwise ? k : r.channels;
    return r;
}

/* The weight of the channels that learn. */
static tern_shape part_of(const tern_shape *w, const tern_learned_rows *r)
{
    tern_shape part = *w;
    part.dim[0] = r->rows;
    part.dim[1] = r->chosen;
    return part;
}

static tern_learned_rows rows_of_call(const tern_call *call)
{
    const tern_tensor *list = &call->in[TERN_UPDATE_CHANNELS];
    bool listed = list->shape.rank > 0;
    return rows_of(&call->in[TERN_UPDATE_WEIGHT].shape, listed ? tern_elements(&list->shape) : 0, listed,
                   TERN_ARGS(tern_int8_update_op, call)->depthwise);
}

static tern_status update_types(const tern_infer *types)
{
    static const tern_dtype expected[] = {TERN_I8,  TERN_I32, TERN_I32, TERN_F32, TERN_I32, TERN_F32,
                                          TERN_F32, TERN_F32, TERN_F32, TERN_I32, TERN_I8};
    TERN_TRY(tern_int8_check_types(types, expected));
    const tern_type *const *in = types->in;
    bool weight = in[TERN_UPDATE_WEIGHT], bias = in[TERN_UPDATE_DB];
    if (!in[TERN_UPDATE_BIAS] || !in[TERN_UPDATE_RATE] || !weight != !in[TERN_UPDATE_CONSTANTS] ||
        !weight != !in[TERN_UPDATE_DW] || !weight != !in[TERN_UPDATE_DW_SCALE] ||
        !bias != !in[TERN_UPDATE_DB_SCALE])
        return tern_infer_fail(types,
                               "bias and rate must be there, a gradient together with its scale, with a "
                               "weight also the constants");
    if (TERN_ARGS(tern_int8_update_op, types)->stochastic && !in[TERN_UPDATE_STEP])
        return tern_infer_fail(types, "stochastic rounding needs the number of the step");
    return TERN_OK;
}

static tern_status weight_infer(tern_infer *types)
{
    const tern_type *w = types->in[TERN_UPDATE_WEIGHT], *listed = types->in[TERN_UPDATE_CHANNELS],
                    *x = types->in[TERN_UPDATE_X];
    int64_t outputs = tern_elements(&types->in[TERN_UPDATE_BIAS]->shape);
    char text[96];
    if (w->shape.rank < 2 || w->shape.dim[0] != outputs)
        return tern_infer_fail(types, "the weight is %s, expected [O,..] of %lld outputs",
                               tern_shape_text(text, &w->shape), (long long)outputs);
    tern_learned_rows r = rows_of(&w->shape, listed ? tern_elements(&listed->shape) : 0, listed != NULL,
                                  TERN_ARGS(tern_int8_update_op, types)->depthwise);
    if (!x)
        return tern_infer_like(types, TERN_UPDATE_DW, TERN_UPDATE_DW, TERN_SHAPE(r.rows, r.chosen, r.taps));
    tern_shape part = part_of(&w->shape, &r);
    const tern_int8_update_op *args = types->args;
    tern_infer product = {types->op, &args->conv, 0, 0, NULL, NULL};
    return tern_int8_check_product(&product, &x->shape, &part, &types->in[TERN_UPDATE_DW]->shape);
}

static tern_status update_infer(tern_infer *types)
{
    if (types->nin != TERN_UPDATE_OPERANDS)
        return tern_infer_fail(types, "%d operands, expected %d", types->nin, TERN_UPDATE_OPERANDS);
    TERN_TRY(update_types(types));
    const tern_type *w = types->in[TERN_UPDATE_WEIGHT];
    int64_t outputs = tern_elements(&types->in[TERN_UPDATE_BIAS]->shape);
    bool descends = types->op == &tern_op_int8_descend;
    if (descends != (types->in[TERN_UPDATE_X] != NULL))
        return tern_infer_fail(types, descends ? "x must be there" : "x is an operand of int8_descend only");
    TERN_TRY(tern_infer_like(types, TERN_UPDATE_CONSTANTS, TERN_UPDATE_CONSTANTS,
                             TERN_SHAPE(TERN_PRODUCT_CONSTANTS)));
    TERN_TRY(tern_infer_like(types, TERN_UPDATE_RATE, TERN_UPDATE_STEP, TERN_SHAPE(1)));
    TERN_TRY(tern_infer_like(types, TERN_UPDATE_DW_SCALE, TERN_UPDATE_DW_SCALE, TERN_SHAPE(outputs)));
    TERN_TRY(tern_infer_like(types, TERN_UPDATE_DB, TERN_UPDATE_DB_SCALE, TERN_SHAPE(outputs)));
    if (w) TERN_TRY(weight_infer(types));
    tern_infer_out(types, TERN_I32, TERN_SHAPE(outputs));
    if (w) tern_infer_out(types, TERN_I8, w->shape);
    return TERN_OK;
}

/* One operation for each element that may move; operands that are absent have rank 0. */
static void update_work(const tern_call *call, tern_work *work)
{
    for (int i = TERN_UPDATE_DW; i <= TERN_UPDATE_DB; i += 2)
        if (call->in[i].shape.rank > 0) work->elementwise += (double)tern_elements(&call->in[i].shape);
}

/* How far element i of a tensor moves. */
static int32_t step_of(const tern_call *call, float gradient, float scale, int64_t i)
{
    const tern_int8_update_op *a = call->args;
    float rate = *(const float *)call->in[TERN_UPDATE_RATE].data;
    uint32_t step = a->stochastic ? (uint32_t) * (const int32_t *)call->in[TERN_UPDATE_STEP].data : 0;
    float chance = a->stochastic ? tern_chance((uint32_t)a->stream, step, (uint32_t)i) : 0;
    return tern_round_by(-(rate * (gradient * scale)), a->stochastic, chance);
}

static void update_bias(const tern_call *call, int64_t outputs)
{
    const int32_t *bias = call->in[TERN_UPDATE_BIAS].data;
    const float *db = call->in[TERN_UPDATE_DB].data, *scale = call->in[TERN_UPDATE_DB_SCALE].data;
    int32_t *moved = call->out[0].data;
    for (int64_t o = 0; o < outputs; o++) {
        int64_t b = bias[o];
        if (db) b += step_of(call, db[o], scale[o], -1 - o);
        if (db) b = b > MOST_BIAS ? MOST_BIAS : b < -MOST_BIAS ? -MOST_BIAS : b;
        moved[o] = (int32_t)b;
    }
}

/* One row of dW in the scratch memory. */
static void descend_meet(const tern_call *call, const tern_int8_meeting *m)
{
    int32_t x = ((const int8_t *)call->in[TERN_UPDATE_X].data)[m->at];
    int32_t zero = ((const int32_t *)call->in[TERN_UPDATE_CONSTANTS].data)[TERN_X_ZERO];
    ((float *)call->scratch)[m->tap] += m->a * (float)(x - zero);
}

static tern_conv descend_geometry(const tern_call *call, const tern_learned_rows *l)
{
    tern_shape part = part_of(&call->in[TERN_UPDATE_WEIGHT].shape, l);
    return tern_int8_geometry(&call->in[TERN_UPDATE_X].shape, &part,
                              &TERN_ARGS(tern_int8_update_op, call)->conv);
}

/* Row r of dW: of the operand, or made. */
static const float *gradient_row(const tern_call *call, const tern_learned_rows *l, int64_t r)
{
    const float *dw = call->in[TERN_UPDATE_DW].data;
    float *row = call->scratch;
    if (!call->in[TERN_UPDATE_X].data) return dw + r * l->chosen * l->taps;
    tern_conv c = descend_geometry(call, l);
    for (int64_t i = 0; i < l->chosen * l->taps; i++) row[i] = 0;
    tern_int8_walk(call, &c, dw, r, r + 1, descend_meet);
    return row;
}

/* Row r of dW; returns by how much the weights of its output have grown together. */
static int32_t update_row(const tern_call *call, const tern_learned_rows *l, int64_t r, int64_t o)
{
    const int32_t *listed = call->in[TERN_UPDATE_CHANNELS].data;
    const float *row = gradient_row(call, l, r), *scale = call->in[TERN_UPDATE_DW_SCALE].data;
    bool depthwise = TERN_ARGS(tern_int8_update_op, call)->depthwise;
    int8_t *w = call->out[1].data;
    int32_t grown = 0;
    for (int64_t j = 0; j < l->chosen; j++) {
        int64_t c = listed && !depthwise ? listed[j] : j;
        if (c < 0 || c >= l->channels) continue;
        for (int64_t k = 0; k < l->taps; k++) {
            int64_t in_row = j * l->taps + k, at = r * l->chosen * l->taps + in_row;
            int8_t *place = &w[(o * l->channels + c) * l->taps + k];
            int32_t old = *place, step = step_of(call, row[in_row], scale[o], at);
            *place = tern_clamp_byte(old + step, -MOST_WEIGHT, MOST_WEIGHT);
            grown += *place - old;
        }
    }
    return grown;
}

static void update_run(const tern_call *call)
{
    const tern_tensor *w = &call->in[TERN_UPDATE_WEIGHT];
    bool depthwise = TERN_ARGS(tern_int8_update_op, call)->depthwise;
    update_bias(call, tern_elements(&call->out[0].shape));
    if (call->counter) call->op->work(call, call->counter);
    if (!w->data) return;
    const int32_t *listed = call->in[TERN_UPDATE_CHANNELS].data,
                  zero = ((const int32_t *)call->in[TERN_UPDATE_CONSTANTS].data)[TERN_X_ZERO];
    tern_learned_rows l = rows_of_call(call);
    uint32_t *bias = call->out[0].data; /* like all sums of bytes it wraps around */
    for (int64_t i = 0; i < tern_elements(&w->shape); i++)
        ((int8_t *)call->out[1].data)[i] = ((const int8_t *)w->data)[i];
    for (int64_t r = 0; r < l.rows; r++) {
        int64_t o = listed && depthwise ? listed[r] : r;
        if (o < 0 || o >= l.outputs) continue;
        bias[o] -= (uint32_t)(zero * update_row(call, &l, r, o));
    }
}

/* "round_by(-(in3[0] * (<gradient> * <scale>)), ..)" of element `i`. */
static tern_written write_step(const tern_call *call, const char *gradient, const char *scale, const char *i)
{
    const tern_int8_update_op *a = call->args;
    tern_text t = {0};
    tern_written w = {""};
    tern_text_format(&t, "round_by(-(in3[0] * (%s * %s)), %d, ", gradient, scale, a->stochastic);
    if (a->stochastic)
        tern_text_format(&t, "chance(%uu, (uint32_t)in4[0], (uint32_t)(%s)))", (unsigned)a->stream, i);
    else
        tern_text_put(&t, "0)");
    if (t.data && t.size < sizeof w.text) memcpy(w.text, t.data, t.size + 1);
    tern_text_free(&t);
    return w;
}

static void emit_bias(const tern_call *call, tern_text *t)
{
    long long outputs = tern_elements(&call->out[0].shape);
    if (!call->in[TERN_UPDATE_DB].data) {
        tern_text_format(t, "    for (int o = 0; o < %lld; o++) out0[o] = in1[o];\n", outputs);
        return;
    }
    tern_text_format(t,
                     "    for (int o = 0; o < %lld; o++) {\n"
                     "        const int64_t b = (int64_t)in1[o] + %s;\n"
                     "        out0[o] = (int32_t)(b > %d ? %d : b < -%d ? -%d : b);\n"
                     "    }\n",
                     outputs, write_step(call, "in7[o]", "in8[o]", "-1 - o").text, MOST_BIAS, MOST_BIAS,
                     MOST_BIAS, MOST_BIAS);
}

/* The row of dW of output r into the scratch memory, or where it is in the operand. */
static void emit_row(const tern_call *call, const tern_learned_rows *l, tern_text *t)
{
    long long length = l->chosen * l->taps;
    if (!call->in[TERN_UPDATE_X].data) {
        tern_text_format(t, "        const float *dw = in5 + r * %lld;\n", length);
        return;
    }
    tern_conv c = descend_geometry(call, l);
    tern_text_format(t,
                     "        float *dw = scratch;\n"
                     "        for (int e = 0; e < %lld; e++) dw[e] = 0;\n"
                     "        {\n        const int32_t zero = in2[%d];\n        const int o = r;\n",
                     length, TERN_X_ZERO);
    tern_int8_write_walk(&c, "in5", "dw[tap + kx] += a * (float)(in10[row + x] - zero)", t);
    tern_text_put(t, "        }\n");
}

static tern_status update_emit(const tern_call *call, tern_emit *to)
{
    const tern_tensor *w = &call->in[TERN_UPDATE_WEIGHT];
    bool depthwise = TERN_ARGS(tern_int8_update_op, call)->depthwise,
         listed = call->in[TERN_UPDATE_CHANNELS].data;
    tern_text *t = to->text;
    emit_bias(call, t);
    if (!w->data) return TERN_OK;
    tern_learned_rows l = rows_of_call(call);
    tern_text_format(t,
                     "    for (int i = 0; i < %lld; i++) out1[i] = in0[i];\n"
                     "    for (int r = 0; r < %lld; r++) {\n",
                     (long long)tern_elements(&w->shape), (long long)l.rows);
    emit_row(call, &l, t);
    tern_text_format(t,
                     "        const int o = %s;\n"
                     "        int32_t grown = 0;\n"
                     "        for (int j = 0, i = r * %lld; j < %lld; j++) {\n"
                     "            const int c = %s;\n",
                     listed && depthwise ? "in9[r]" : "r", (long long)(l.chosen * l.taps),
                     (long long)l.chosen, listed && !depthwise ? "in9[j]" : "j");
    char gradient[48];
    snprintf(gradient, sizeof gradient, "dw[j * %lld + k]", (long long)l.taps);
    tern_text_format(t,
                     "            for (int k = 0; k < %lld; k++, i++) {\n"
                     "                if (o < 0 || o >= %lld || c < 0 || c >= %lld) continue;\n"
                     "                int8_t *place = &out1[(o * %lld + c) * %lld + k];\n"
                     "                const int8_t old = *place;\n"
                     "                *place = clamp_byte(old + %s, -%d, %d);\n"
                     "                grown += *place - old;\n"
                     "            }\n"
                     "        }\n",
                     (long long)l.taps, (long long)l.outputs, (long long)l.channels, (long long)l.channels,
                     (long long)l.taps, write_step(call, gradient, "in6[o]", "i").text, MOST_WEIGHT,
                     MOST_WEIGHT);
    tern_text_format(t,
                     "        if (o >= 0 && o < %lld) out0[o] = (int32_t)((uint32_t)out0[o] - "
                     "(uint32_t)(in2[%d] * grown));\n"
                     "    }\n",
                     (long long)l.outputs, TERN_X_ZERO);
    return TERN_OK;
}

const tern_op tern_op_int8_update = {
    .name = "int8_update",
    .doc = "bias and weight of a product of bytes after a step of gradient descent",
    .args = update_args,
    .args_size = sizeof(tern_int8_update_op),
    .inplace = {TERN_UPDATE_BIAS + 1, TERN_UPDATE_WEIGHT + 1},
    .infer = update_infer,
    .work = update_work,
    .run = update_run,
    .emit = update_emit,
};

/* ---- int8_descend: the same, of the gradient `a` of the sums in place of dW, of which no more than a row is ever there ------ */

static size_t descend_scratch(const tern_call *call)
{
    tern_learned_rows l = rows_of_call(call);
    return (size_t)(l.chosen * l.taps) * sizeof(float);
}

static void descend_work(const tern_call *call, tern_work *work)
{
    tern_learned_rows l = rows_of_call(call);
    tern_conv c = descend_geometry(call, &l);
    tern_int8_product_work(&c, work);
    work->elementwise += (double)(l.rows * l.chosen * l.taps);
    if (call->in[TERN_UPDATE_DB].shape.rank > 0)
        work->elementwise += (double)tern_elements(&call->in[TERN_UPDATE_DB].shape);
}

const tern_op tern_op_int8_descend = {
    .name = "int8_descend",
    .doc = "bias and weight of a product of bytes after a step, the gradient made row by row",
    .args = descend_args,
    .args_size = sizeof(tern_int8_update_op),
    .inplace = {TERN_UPDATE_BIAS + 1, TERN_UPDATE_WEIGHT + 1},
    .infer = update_infer,
    .work = descend_work,
    .run = update_run,
    .scratch = descend_scratch,
    .emit = update_emit,
};
