/* softmax_error: logits f32 [B,C], labels i32 [B] -> (softmax - target)/B f32 [B,C], mean cross-entropy f32 [1]. */
#include "kernel/portable.h"
#include "op/op.h"

/* Rows whose label is no class have no error and no loss. */
static tern_status error_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    const tern_type *x = types->in[0], *labels = types->in[1];
    char a[96], b[96];
    if (x->dtype != TERN_F32 || labels->dtype != TERN_I32 || x->shape.rank != 2 ||
        tern_elements(&labels->shape) != x->shape.dim[0])
        return tern_infer_fail(types, "logits are %s %s and labels %s %s, expected f32 [B,C] and i32 [B]",
                               tern_dtype_of(x->dtype)->name, tern_shape_text(a, &x->shape),
                               tern_dtype_of(labels->dtype)->name, tern_shape_text(b, &labels->shape));
    tern_infer_out(types, TERN_F32, x->shape);
    tern_infer_out(types, TERN_F32, TERN_SHAPE(1));
    return TERN_OK;
}

/* The loss of one row; its error where `error` is not NULL. */
static float error_row(int64_t classes, const float *x, int32_t label, float rows, float *error)
{
    float highest = x[0], sum = 0;
    for (int64_t c = 1; c < classes; c++) highest = x[c] > highest ? x[c] : highest;
    for (int64_t c = 0; c < classes; c++) sum += tern_exp_negative(x[c] - highest);
    for (int64_t c = 0; error && c < classes; c++)
        error[c] = (tern_exp_negative(x[c] - highest) / sum - (c == label ? 1.0f : 0.0f)) / rows;
    return highest - x[label] + tern_log_positive(sum);
}

static void error_run(const tern_call *call)
{
    int64_t rows = call->in[0].shape.dim[0], classes = call->in[0].shape.dim[1];
    const float *x = call->in[0].data;
    const int32_t *labels = call->in[1].data;
    float *error = call->out[0].data, loss = 0;
    for (int64_t r = 0; r < rows; r++) {
        bool valid = labels[r] >= 0 && labels[r] < classes;
        float *row = error ? error + r * classes : NULL;
        for (int64_t c = 0; row && c < classes; c++) row[c] = 0;
        if (valid) loss += error_row(classes, x + r * classes, labels[r], (float)rows, row);
    }
    if (call->out[1].data) *(float *)call->out[1].data = loss / (float)rows;
    if (call->counter) tern_special_inputs(call, call->counter);
}

static tern_status error_emit(const tern_call *call, tern_emit *to)
{
    long long rows = call->in[0].shape.dim[0], classes = call->in[0].shape.dim[1];
    bool error = call->out[0].data, loss = call->out[1].data;
    tern_text *t = to->text;
    tern_text_format(t,
                     "%s    for (int r = 0; r < %lld; r++) {\n"
                     "        const float *x = in0 + r * %lld;\n"
                     "        const int32_t label = in1[r];\n"
                     "        float highest = x[0], sum = 0;\n",
                     loss ? "    out1[0] = 0;\n" : "", rows, classes);
    if (error)
        tern_text_format(t,
                         "        float *e = out0 + r * %lld;\n"
                         "        for (int c = 0; c < %lld; c++) e[c] = 0;\n",
                         classes, classes);
    tern_text_format(t,
                     "        if (label < 0 || label >= %lld) continue;\n"
                     "        for (int c = 1; c < %lld; c++) highest = x[c] > highest ? x[c] : highest;\n"
                     "        for (int c = 0; c < %lld; c++) sum += exp_negative(x[c] - highest);\n",
                     classes, classes, classes);
    if (error)
        tern_text_format(
            t,
            "        for (int c = 0; c < %lld; c++)\n"
            "            e[c] = (exp_negative(x[c] - highest) / sum - (c == label ? 1.0f : 0.0f)) "
            "/ %lld;\n",
            classes, rows);
    if (loss) tern_text_put(t, "        out1[0] += highest - x[label] + log_positive(sum);\n");
    tern_text_put(t, "    }\n");
    if (loss) tern_text_format(t, "    out1[0] = out1[0] / %lld;\n", rows);
    return TERN_OK;
}

const tern_op tern_op_softmax_error = {
    .name = "softmax_error",
    .doc = "gradient of the cross-entropy of softmax(logits), and that itself, with the same bits everywhere",
    .infer = error_infer,
    .work = tern_special_inputs,
    .run = error_run,
    .emit = error_emit,
};
