/* Inference in integers: the codes k of numbers k 2^-f, their casts as shifts, and their maximum. */
#include "op/fixed.h"

#include <string.h>

/* ---- what casts are in C -------------------------------------------------------------------------------------------- */

/* Whether the rest, 0 .. 1 in units of `half`s, rounds the floor up.  Each names both, so that none is left unused. */
static const char *round_up(tern_round_mode mode)
{
    static const char *const conditions[] = {
        [TERN_ROUND_DOWN] = "rest < 0 * half",
        [TERN_ROUND_ZERO] = "floor_ < 0 && rest > 0 * half",
        [TERN_ROUND_UP] = "rest >= half",
        [TERN_ROUND_HALF_ZERO] = "rest > half || (rest == half && floor_ < 0)",
        [TERN_ROUND_HALF_DOWN] = "rest > half",
        [TERN_ROUND_HALF_AWAY] = "rest > half || (rest == half && floor_ >= 0)",
        [TERN_ROUND_HALF_EVEN] = "rest > half || (rest == half && (floor_ & 1))",
    };
    return conditions[mode];
}

/* Rounds `floor_`, `rest` and `half` into `code`, and fits it. */
void tern_write_cast(tern_emit *to, const tern_fixed_op *a)
{
    long long low = (long long)tern_fixed_least(a), high = (long long)tern_fixed_most(a);
    tern_text *t = to->text;
    tern_text_format(t, "        int64_t code = floor_ + (%s);\n", round_up(a->round));
    switch (a->overflow) {
    case TERN_OVERFLOW_WRAP:
        tern_text_format(t, "        code &= %lld;\n", (1LL << a->bits) - 1);
        if (!a->positive)
            tern_text_format(t, "        if (code > %lld) code -= %lld;\n", high, 1LL << a->bits);
        break;
    case TERN_OVERFLOW_SATURATE:
    case TERN_OVERFLOW_SYMMETRIC:
        tern_text_format(t, "        code = code < %lld ? %lld : code > %lld ? %lld : code;\n", low, low,
                         high, high);
        break;
    case TERN_OVERFLOW_ZERO:
        tern_text_format(t, "        code = code < %lld || code > %lld ? 0 : code;\n", low, high);
        break;
    }
}

static tern_status emit_hot(const tern_fixed_op *a)
{
    return a->hot
               ? tern_fail(TERN_USAGE, "a limit of one-bits of what is computed at run time is not emitted")
               : TERN_OK;
}

static const char *c_type(tern_dtype dtype)
{
    return dtype == TERN_U8    ? "uint8_t"
           : dtype == TERN_I8  ? "int8_t"
           : dtype == TERN_I16 ? "int16_t"
                               : "int32_t";
}

/* ---- fixed_code: x, f [1] -> k ------------------------------------------------------------------------------------- */

static tern_status code_infer(tern_infer *types)
{
    const tern_fixed_op *a = types->args;
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    TERN_TRY(tern_fixed_check(types, a));
    TERN_TRY(tern_infer_like(types, 1, 1, TERN_SHAPE(1)));
    if (!a->bits) return tern_infer_fail(types, "codes need a width");
    tern_infer_out(types, tern_fixed_dtype(a), types->in[0]->shape);
    return TERN_OK;
}

static void code_run(const tern_call *call)
{
    int point = (int)tern_fixed_point(tern_get(&call->in[1], 0));
    bool saturated;
    for (int64_t i = 0; i < tern_elements(&call->out[0].shape); i++) {
        double k = tern_fixed_code(call->args, ldexp(tern_get(&call->in[0], i), point), &saturated);
        tern_set(&call->out[0], i, k);
        if (call->counter) call->counter->elementwise++;
    }
}

static tern_status code_emit(const tern_call *call, tern_emit *to)
{
    const tern_fixed_op *a = call->args;
    TERN_TRY(emit_hot(a));
    bool saturates = a->overflow == TERN_OVERFLOW_SATURATE || a->overflow == TERN_OVERFLOW_SYMMETRIC;
    if (call->in[0].dtype == TERN_F32 && a->round == TERN_ROUND_UP && saturates && a->bits <= 16) {
        long long n = tern_elements(&call->out[0].shape);
        to->math = true;
        tern_text_format(
            to->text,
            "    const int point = (int)nearbyintf(in1[0]);\n"
            "    for (int i = FIRST(%lld); i < LAST(%lld); i++) out0[i] = (%s)fixed_code_of(in0[i], "
            "point, %.0f, %.0f);\n",
            n, n, c_type(tern_fixed_dtype(a)), tern_fixed_least(a), tern_fixed_most(a));
        return TERN_OK;
    }
    to->math = true;
    tern_text_format(to->text,
                     "    for (int i = 0; i < %lld; i++) {\n"
                     "        double v = ldexp((double)in0[i], (int)nearbyint((double)in1[0])), half = 0.5;\n"
                     "        v = fmin(fmax(v, -1e9), 1e9);\n"
                     "        int64_t floor_ = (int64_t)floor(v);\n"
                     "        double rest = v - (double)floor_;\n",
                     (long long)tern_elements(&call->out[0].shape));
    tern_write_cast(to, a);
    tern_text_format(to->text, "        out0[i] = (%s)code;\n    }\n", c_type(tern_fixed_dtype(a)));
    return TERN_OK;
}

const tern_op tern_op_fixed_code = {
    .name = "fixed_code",
    .doc = "the whole number k of a fixed-point number k 2^-f",
    .args = tern_fixed_args,
    .args_size = sizeof(tern_fixed_op),
    .infer = code_infer,
    .work = tern_work_outputs,
    .run = code_run,
    .emit = code_emit,
};

/* ---- fixed_point: f -> the whole number that casts make of it --------------------------------------------------------- */

static tern_status point_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    tern_infer_out(types, TERN_F32, types->in[0]->shape);
    return TERN_OK;
}

static void point_run(const tern_call *call)
{
    for (int64_t i = 0; i < tern_elements(&call->out[0].shape); i++) {
        tern_set(&call->out[0], i, tern_fixed_point(tern_get(&call->in[0], i)));
        if (call->counter) call->counter->elementwise++;
    }
}

/* A point learns from its own cast alone, not from what else is put on its grid. */
static tern_status point_grad(tern_grad *c)
{
    (void)c;
    return TERN_OK;
}

const tern_op tern_op_fixed_point = {
    .name = "fixed_point",
    .doc = "the whole number that is used of a learned binary point",
    .flags = TERN_OP_PREPARE,
    .infer = point_infer,
    .grad = point_grad,
    .work = tern_work_outputs,
    .run = point_run,
};

/* ---- fixed_value: k, f [1] -> k 2^-f -------------------------------------------------------------------------------- */

static tern_status value_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    TERN_TRY(tern_infer_like(types, 1, 1, TERN_SHAPE(1)));
    if (!tern_dtype_of(types->in[0]->dtype)->exact_integer)
        return tern_infer_fail(types, "x is %s, expected integers", tern_dtype_of(types->in[0]->dtype)->name);
    tern_infer_out(types, TERN_F32, types->in[0]->shape);
    return TERN_OK;
}

static void value_run(const tern_call *call)
{
    int point = (int)tern_fixed_point(tern_get(&call->in[1], 0));
    for (int64_t i = 0; i < tern_elements(&call->out[0].shape); i++) {
        tern_set(&call->out[0], i, ldexp(tern_get(&call->in[0], i), -point));
        if (call->counter) call->counter->elementwise++;
    }
}

static tern_status value_emit(const tern_call *call, tern_emit *to)
{
    to->math = true;
    tern_text_format(to->text,
                     "    const float unit = ldexpf(1, -(int)nearbyintf(in1[0]));\n"
                     "    for (int i = 0; i < %lld; i++) out0[i] = (float)in0[i] * unit;\n",
                     (long long)tern_elements(&call->out[0].shape));
    return TERN_OK;
}

const tern_op tern_op_fixed_value = {
    .name = "fixed_value",
    .doc = "the fixed-point number of a code",
    .flags = TERN_OP_PREPARE,
    .infer = value_infer,
    .work = tern_work_outputs,
    .run = value_run,
    .emit = value_emit,
};

/* ---- fixed_shift: k, places [1] -> k' ------------------------------------------------------------------------------- */

#define TO(field, kind, doc)                                                                                 \
    {                                                                                                        \
#field, kind, offsetof(tern_shift_op, to) + offsetof(tern_fixed_op, field), doc, NULL                \
    }
const tern_arg tern_shift_args[] = {
    TO(bits, TERN_ARG_INT, "of a word, with the sign"),
    TO(positive, TERN_ARG_BOOL, "unsigned"),
    TO(round, TERN_ARG_INT, "mode of rounding"),
    TO(overflow, TERN_ARG_INT, "what becomes of what does not fit"),
    TERN_ARG(tern_shift_op, relu, TERN_ARG_BOOL, "what is below 0 becomes 0 before"),
    {0},
};

double tern_shift_code(const tern_shift_op *a, double v, int places)
{
    bool saturated;
    if (a->relu && v < 0) v = 0;
    return tern_fixed_code(&a->to, ldexp(v, -places), &saturated);
}

static tern_status shift_infer(tern_infer *types)
{
    const tern_shift_op *a = types->args;
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    TERN_TRY(tern_fixed_check(types, &a->to));
    TERN_TRY(tern_infer_like(types, 1, 1, TERN_SHAPE(1)));
    if (!a->to.bits || !tern_dtype_of(types->in[0]->dtype)->exact_integer)
        return tern_infer_fail(types, "x is %s with words of %d bits: expected integers and a width",
                               tern_dtype_of(types->in[0]->dtype)->name, a->to.bits);
    tern_infer_out(types, tern_fixed_dtype(&a->to), types->in[0]->shape);
    return TERN_OK;
}

static void shift_run(const tern_call *call)
{
    int places = (int)tern_get(&call->in[1], 0);
    for (int64_t i = 0; i < tern_elements(&call->out[0].shape); i++) {
        tern_set(&call->out[0], i, tern_shift_code(call->args, tern_get(&call->in[0], i), places));
        if (call->counter) call->counter->elementwise++;
    }
}

static tern_status shift_emit(const tern_call *call, tern_emit *to)
{
    const tern_shift_op *a = call->args;
    TERN_TRY(emit_hot(&a->to));
    tern_text_format(to->text,
                     "    int places = (int)in1[0];\n"
                     "    places = places > 62 ? 62 : places < -31 ? -31 : places;\n"
                     "    const int64_t half = places > 0 ? (int64_t)1 << (places - 1) : 1;\n"
                     "    for (int i = 0; i < %lld; i++) {\n"
                     "        int64_t v = in0[i];\n%s"
                     "        int64_t floor_ = places > 0 ? v >> places : v * ((int64_t)1 << -places);\n"
                     "        int64_t rest = places > 0 ? v & (2 * half - 1) : 0;\n",
                     (long long)tern_elements(&call->out[0].shape),
                     a->relu ? "        v = v < 0 ? 0 : v;\n" : "");
    tern_write_cast(to, &a->to);
    tern_text_format(to->text, "        out0[i] = (%s)code;\n    }\n", c_type(tern_fixed_dtype(&a->to)));
    return TERN_OK;
}

/* Sums of 32 bits to words by shifts that round halves up and saturate. */
static bool shift_matches(const tern_call *call)
{
    const tern_fixed_op *a = &((const tern_shift_op *)call->args)->to;
    return call->in[0].dtype == TERN_I32 && a->round == TERN_ROUND_UP && !a->hot &&
           a->overflow == TERN_OVERFLOW_SATURATE;
}

static void shift_fast(const tern_call *call)
{
    const tern_shift_op *a = call->args;
    const int32_t *x = call->in[0].data;
    int64_t n = tern_elements(&call->out[0].shape), low = (int64_t)tern_fixed_least(&a->to),
            high = (int64_t)tern_fixed_most(&a->to);
    int places = (int)fmin(fmax(tern_get(&call->in[1], 0), -31), 62);
    int64_t half = places > 0 ? (int64_t)1 << (places - 1) : 0;
    tern_dtype dtype = call->out[0].dtype;
    for (int64_t i = 0; i < n; i++) {
        int64_t v = a->relu && x[i] < 0 ? 0 : x[i];
        v = places > 0 ? (v + half) >> places : v * ((int64_t)1 << -places);
        v = v < low ? low : v > high ? high : v;
        if (dtype == TERN_U8)
            ((uint8_t *)call->out[0].data)[i] = (uint8_t)v;
        else if (dtype == TERN_I8)
            ((int8_t *)call->out[0].data)[i] = (int8_t)v;
        else if (dtype == TERN_I16)
            ((int16_t *)call->out[0].data)[i] = (int16_t)v;
        else
            ((int32_t *)call->out[0].data)[i] = (int32_t)v;
    }
}

static const tern_fast shift_kernels[] = {{"saturate", shift_matches, NULL, shift_fast}, {0}};

const tern_op tern_op_fixed_shift = {
    .name = "fixed_shift",
    .doc = "codes with another binary point: a shift, rounded and fitted into a word",
    .flags = TERN_OP_PREPARE,
    .args = tern_shift_args,
    .args_size = sizeof(tern_shift_op),
    .infer = shift_infer,
    .work = tern_work_outputs,
    .run = shift_run,
    .emit = shift_emit,
    .fast = shift_kernels,
};

/* ---- fixed_pool: the maximum of windows of codes ------------------------------------------------------------------ */

static const tern_arg pool_args[] = {
    TERN_ARG(tern_fixed_pool_op, kernel, TERN_ARG_INT, "pixels of a window, each way"),
    TERN_ARG(tern_fixed_pool_op, stride, TERN_ARG_INT, "pixels between windows"),
    {0},
};

/* Windows of an axis. */
static int64_t windows(int64_t extent, const tern_fixed_pool_op *a)
{
    return extent < a->kernel ? 0 : (extent - a->kernel) / a->stride + 1;
}

static tern_status pool_infer(tern_infer *types)
{
    const tern_fixed_pool_op *a = types->args;
    const tern_type *x = types->in[0];
    char text[96];
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    tern_shape y = x->shape;
    int r = y.rank;
    bool good = a->kernel > 0 && a->stride > 0 && r >= 3 && tern_dtype_of(x->dtype)->exact_integer;
    for (int d = r - 2; good && d < r; d++) good = (y.dim[d] = windows(y.dim[d], a)) > 0;
    if (!good)
        return tern_infer_fail(types, "x is %s %s, expected integers [..,C,H,W] with room for a window of %d",
                               tern_dtype_of(x->dtype)->name, tern_shape_text(text, &x->shape), a->kernel);
    tern_infer_out(types, x->dtype, y);
    return TERN_OK;
}

static void pool_run(const tern_call *call)
{
    const tern_fixed_pool_op *a = call->args;
    const tern_shape *x = &call->in[0].shape, *y = &call->out[0].shape;
    int64_t height = x->dim[x->rank - 2], width = x->dim[x->rank - 1], oh = y->dim[y->rank - 2],
            ow = y->dim[y->rank - 1];
    for (int64_t i = 0; i < tern_elements(y); i++) {
        int64_t first = ((i / (oh * ow)) * height + i / ow % oh * a->stride) * width + i % ow * a->stride;
        double most = tern_get(&call->in[0], first);
        for (int k = 0; k < a->kernel * a->kernel; k++)
            most = fmax(most, tern_get(&call->in[0], first + k / a->kernel * width + k % a->kernel));
        tern_set(&call->out[0], i, most);
        if (call->counter) call->counter->elementwise += a->kernel * a->kernel;
    }
}

static void pool_work(const tern_call *call, tern_work *work)
{
    const tern_fixed_pool_op *a = call->args;
    work->elementwise += (double)tern_elements(&call->out[0].shape) * a->kernel * a->kernel;
}

static tern_status pool_emit(const tern_call *call, tern_emit *to)
{
    const tern_fixed_pool_op *a = call->args;
    const tern_shape *x = &call->in[0].shape, *y = &call->out[0].shape;
    long long height = x->dim[x->rank - 2], width = x->dim[x->rank - 1], oh = y->dim[y->rank - 2],
              ow = y->dim[y->rank - 1];
    tern_text_format(
        to->text,
        "    for (int i = 0; i < %lld; i++) {\n"
        "        int first = (i / %lld * %lld + i / %lld %% %lld * %d) * %lld + i %% %lld * %d;\n"
        "        %s most = in0[first];\n"
        "        for (int k = 1; k < %d; k++) {\n"
        "            %s x = in0[first + k / %d * %lld + k %% %d];\n"
        "            if (x > most) most = x;\n"
        "        }\n"
        "        out0[i] = most;\n"
        "    }\n",
        (long long)tern_elements(y), oh * ow, height, ow, oh, a->stride, width, ow, a->stride,
        c_type(call->in[0].dtype), a->kernel * a->kernel, c_type(call->in[0].dtype), a->kernel, width,
        a->kernel);
    return TERN_OK;
}

const tern_op tern_op_fixed_pool = {
    .name = "fixed_pool",
    .doc = "the largest code of each window",
    .args = pool_args,
    .args_size = sizeof(tern_fixed_pool_op),
    .infer = pool_infer,
    .work = pool_work,
    .run = pool_run,
    .emit = pool_emit,
};
