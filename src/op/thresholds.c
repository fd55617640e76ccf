/* Activations of few levels, and their form in integers (streamlining; FINN, arXiv 1612.07119).
 *
 *     level = clip(round(scale sum + shift), 0, high)            halves to even; scale and shift [C] hold norm, bias and steps
 *           = how many of T_1 .. T_high are at most sign sum     for whole sums: T_i is the least of them that reaches level i
 *
 * T is found by evaluating the very function on whole sums, which is monotonous, so that both forms agree on every one of
 * them, ties included; where scale is below 0 the sign turns the sum. */
#include "op/fixed.h"

#define ARG(field, kind, doc) TERN_ARG(tern_thresholds_op, field, kind, doc)
static const tern_arg level_args[] = {
    ARG(high, TERN_ARG_INT, "highest level"),
    ARG(inner, TERN_ARG_INT, "elements of a channel that stand together"),
    ARG(bound, TERN_ARG_INT, "sums are in -bound .. bound"),
    {0},
};

static tern_status check_channels(const tern_infer *types, int64_t channels)
{
    const tern_thresholds_op *a = types->args;
    char text[96];
    if (a->high > 0 && a->high < 256 && a->inner > 0 && channels > 0 &&
        tern_elements(&types->in[0]->shape) % (channels * a->inner) == 0)
        return TERN_OK;
    return tern_infer_fail(
        types,
        "x is %s and high %d: expected [..,%lld,..] with %d elements of a channel together and "
        "1 to 255 levels",
        tern_shape_text(text, &types->in[0]->shape), a->high, (long long)channels, a->inner);
}

/* ---- step_levels: sums, scale [C], shift [C] -> levels as f32 --------------------------------------------------------- */

static tern_status levels_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    TERN_TRY(check_channels(types, tern_elements(&types->in[1]->shape)));
    TERN_TRY(tern_infer_like(types, 2, 2, types->in[1]->shape));
    tern_infer_out(types, TERN_F32, types->in[0]->shape);
    return TERN_OK;
}

static void levels_run(const tern_call *call)
{
    const tern_thresholds_op *a = call->args;
    int64_t channels = tern_elements(&call->in[1].shape);
    for (int64_t i = 0; i < tern_elements(&call->out[0].shape); i++) {
        int64_t c = i / a->inner % channels;
        tern_set(&call->out[0], i,
                 tern_step_level(tern_get(&call->in[0], i), tern_get(&call->in[1], c),
                                 tern_get(&call->in[2], c), a->high));
        if (call->counter) call->counter->elementwise++;
    }
}

const tern_op tern_op_step_levels = {
    .name = "step_levels",
    .doc = "activations of few levels, scaled and shifted by channel",
    .args = level_args,
    .args_size = sizeof(tern_thresholds_op),
    .infer = levels_infer,
    .work = tern_work_inputs,
    .run = levels_run,
};

/* ---- thresholds: scale [C], shift [C] -> T i32 [C,high], sign [C] ----------------------------------------------------- */

static tern_status thresholds_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    const tern_thresholds_op *a = types->args;
    int64_t channels = tern_elements(&types->in[0]->shape);
    if (a->high < 1 || a->high > 255 || a->bound < 1 || a->bound > 1 << 30)
        return tern_infer_fail(types, "%d levels of sums up to %d: expected 1 to 255 and 1 to 2^30", a->high,
                               a->bound);
    TERN_TRY(tern_infer_like(types, 1, 1, types->in[0]->shape));
    tern_infer_out(types, TERN_I32, TERN_SHAPE(channels, a->high));
    tern_infer_out(types, TERN_F32, TERN_SHAPE(channels));
    return TERN_OK;
}

/* The least whole v in -bound .. bound + 1 with level(sign v) >= level; bound + 1: none, -bound - 1 is never less. */
static int64_t least_sum(const tern_thresholds_op *a, double scale, double shift, double sign, int level)
{
    int64_t low = -(int64_t)a->bound, high = (int64_t)a->bound + 1;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (tern_step_level(sign * (double)middle, scale, shift, a->high) >= level)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void thresholds_run(const tern_call *call)
{
    const tern_thresholds_op *a = call->args;
    for (int64_t c = 0; c < tern_elements(&call->in[0].shape); c++) {
        double scale = tern_get(&call->in[0], c), shift = tern_get(&call->in[1], c),
               sign = scale < 0 ? -1 : 1;
        for (int level = 1; call->out[0].data && level <= a->high; level++)
            tern_set(&call->out[0], c * a->high + level - 1, (double)least_sum(a, scale, shift, sign, level));
        if (call->out[1].data) tern_set(&call->out[1], c, sign);
        if (call->counter) call->counter->elementwise++;
    }
}

const tern_op tern_op_thresholds = {
    .name = "thresholds",
    .doc = "the whole sums at which activations of few levels go up",
    .args = level_args,
    .args_size = sizeof(tern_thresholds_op),
    .flags = TERN_OP_PREPARE,
    .infer = thresholds_infer,
    .work = tern_work_inputs,
    .run = thresholds_run,
};

/* ---- threshold_count: sums i32, T [C,high] -> level u8 ------------------------------------------------------------------ */

static tern_status count_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    const tern_thresholds_op *a = types->args;
    const tern_shape *t = &types->in[1]->shape;
    if (t->rank != 2 || t->dim[1] != a->high || types->in[0]->dtype != TERN_I32 ||
        types->in[1]->dtype != TERN_I32)
        return tern_infer_fail(types, "expected sums of i32 and thresholds i32 [C,%d]", a->high);
    TERN_TRY(check_channels(types, t->dim[0]));
    tern_infer_out(types, TERN_U8, types->in[0]->shape);
    return TERN_OK;
}

static void count_run(const tern_call *call)
{
    const tern_thresholds_op *a = call->args;
    int64_t channels = call->in[1].shape.dim[0];
    const int32_t *x = call->in[0].data, *t = call->in[1].data;
    for (int64_t i = 0; i < tern_elements(&call->out[0].shape); i++) {
        const int32_t *of = t + i / a->inner % channels * a->high;
        int level = 0;
        for (int k = 0; k < a->high; k++) level += x[i] >= of[k];
        ((uint8_t *)call->out[0].data)[i] = (uint8_t)level;
        if (call->counter) call->counter->elementwise++;
    }
}

static tern_status count_emit(const tern_call *call, tern_emit *to)
{
    const tern_thresholds_op *a = call->args;
    tern_text_format(to->text,
                     "    for (int i = 0; i < %lld; i++) {\n"
                     "        const int32_t *thresholds = in1 + i / %d %% %lld * %d;\n"
                     "        int level = 0;\n"
                     "        for (int k = 0; k < %d; k++) level += in0[i] >= thresholds[k];\n"
                     "        out0[i] = (uint8_t)level;\n"
                     "    }\n",
                     (long long)tern_elements(&call->out[0].shape), a->inner,
                     (long long)call->in[1].shape.dim[0], a->high, a->high);
    return TERN_OK;
}

const tern_op tern_op_threshold_count = {
    .name = "threshold_count",
    .doc = "how many thresholds a sum has passed",
    .args = level_args,
    .args_size = sizeof(tern_thresholds_op),
    .infer = count_infer,
    .work = tern_work_inputs,
    .run = count_run,
    .emit = count_emit,
};
