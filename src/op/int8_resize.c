/* resize_int8: an image of bytes [..,H,W] of another size [..,OH,OW], each place a sum of the four around it in units of 2^-10 along each
 * axis, as TensorFlow Lite's reference kernel has it (RESIZE_BILINEAR).  Scale and zero stay. */
#include "op/int8.h"

enum { ONE = 1 << 10, MOST = 1 << 20 };

#define RESIZE_ARG(field, kind, doc) TERN_ARG(tern_int8_resize_op, field, kind, doc)
static const tern_arg resize_args[] = {
    RESIZE_ARG(height, TERN_ARG_INT, "rows of the result"),
    RESIZE_ARG(width, TERN_ARG_INT, "columns of the result"),
    RESIZE_ARG(corners, TERN_ARG_BOOL, "the corners of both lie on each other"),
    RESIZE_ARG(half, TERN_ARG_BOOL, "elements lie in the middle of their places"),
    {0},
};

/* Place o lies at (o step + start) 2^-10 of `in` elements. */
typedef struct axis {
    int64_t in, out, step, start;
} axis;

static axis axis_of(const tern_call *call, bool rows)
{
    const tern_int8_resize_op *a = call->args;
    const tern_shape *x = &call->in[0].shape;
    axis v = {.in = x->dim[x->rank - (rows ? 2 : 1)], .out = rows ? a->height : a->width};
    bool corners = a->corners && v.out > 1;
    int64_t in = v.in - corners, out = v.out - corners;
    v.step = (ONE * in + out / 2) / out;
    v.start = a->half ? v.step / 2 - ONE / 2 : 0;
    return v;
}

/* The element below the place of o (the first one where that lies before it), the one above, and what that weighs. */
typedef struct between {
    int64_t low, high;
    int32_t share;
} between;

static between between_of(const axis *v, int64_t o)
{
    int64_t at = o * v->step + v->start, low = at / ONE, high = (at + ONE - 1) / ONE;
    low = low < 0 ? 0 : low >= v->in ? v->in - 1 : low;
    high = high >= v->in ? v->in - 1 : high;
    return (between){low, high, (int32_t)(at - ONE * low)};
}

static tern_status resize_infer(tern_infer *types)
{
    const tern_int8_resize_op *a = types->args;
    char text[96];
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){TERN_I8}));
    tern_shape y = types->in[0]->shape;
    bool fits = y.rank >= 2 && a->height > 0 && a->width > 0 && a->height <= MOST && a->width <= MOST &&
                y.dim[y.rank - 2] > 0 && y.dim[y.rank - 1] > 0 && y.dim[y.rank - 2] <= MOST &&
                y.dim[y.rank - 1] <= MOST;
    if (!fits)
        return tern_infer_fail(types,
                               "x is %s, the result %dx%d: expected [..,H,W] and 1 to %d pixels an axis",
                               tern_shape_text(text, &y), a->height, a->width, MOST);
    y.dim[y.rank - 2] = a->height;
    y.dim[y.rank - 1] = a->width;
    tern_infer_out(types, TERN_I8, y);
    return TERN_OK;
}

static void resize_work(const tern_call *call, tern_work *work)
{
    work->elementwise += 4 * (double)tern_elements(&call->out[0].shape);
}

static void resize_run(const tern_call *call)
{
    axis rows = axis_of(call, true), columns = axis_of(call, false);
    int64_t n = tern_elements(&call->out[0].shape), out = rows.out * columns.out;
    for (int64_t i = 0; i < n; i++) {
        between y = between_of(&rows, i / columns.out % rows.out), x = between_of(&columns, i % columns.out);
        const int8_t *low = (const int8_t *)call->in[0].data + (i / out * rows.in + y.low) * columns.in,
                     *high = (const int8_t *)call->in[0].data + (i / out * rows.in + y.high) * columns.in;
        int64_t above = (int64_t)low[x.low] * (ONE - x.share) + (int64_t)low[x.high] * x.share;
        int64_t below = (int64_t)high[x.low] * (ONE - x.share) + (int64_t)high[x.high] * x.share;
        int64_t sum = above * (ONE - y.share) + below * y.share, half = ONE * ONE / 2;
        ((int8_t *)call->out[0].data)[i] = (int8_t)((sum + (sum > 0 ? half : -half)) / (ONE * ONE));
        if (call->counter) call->counter->elementwise += 4;
    }
}

/* A loop over the places of an axis, with what between_of says of each. */
static void write_axis(tern_emit *to, const axis *v, const char *name)
{
    tern_text_format(to->text,
                     "    for (int o%s = 0; o%s < %lld; o%s++) {\n"
                     "        const int32_t at%s = o%s * %lld + (%lld);\n"
                     "        const int32_t before%s = at%s / %d < %lld ? at%s / %d : %lld;\n"
                     "        const int32_t after%s = (at%s + %d) / %d < %lld ? (at%s + %d) / %d : %lld;\n"
                     "        const int32_t share%s = at%s - %d * before%s;\n",
                     name, name, (long long)v->out, name, name, name, (long long)v->step, (long long)v->start,
                     name, name, ONE, (long long)v->in - 1, name, ONE, (long long)v->in - 1, name, name,
                     ONE - 1, ONE, (long long)v->in - 1, name, ONE - 1, ONE, (long long)v->in - 1, name, name,
                     ONE, name);
}

static tern_status resize_emit(const tern_call *call, tern_emit *to)
{
    axis rows = axis_of(call, true), columns = axis_of(call, false);
    const tern_shape *x = &call->in[0].shape;
    tern_text_format(to->text, "    int out = 0;\n    for (int plane = 0; plane < %lld; plane++)\n",
                     (long long)tern_elements_upto(x, x->rank - 2));
    write_axis(to, &rows, "y");
    write_axis(to, &columns, "x");
    tern_text_format(to->text,
                     "        const int8_t *low = in0 + (plane * %lld + beforey) * %lld;\n"
                     "        const int8_t *high = in0 + (plane * %lld + aftery) * %lld;\n"
                     "        const int64_t above = low[beforex] * (%d - sharex) + low[afterx] * sharex;\n"
                     "        const int64_t below = high[beforex] * (%d - sharex) + high[afterx] * sharex;\n"
                     "        const int64_t sum = above * (%d - sharey) + below * sharey;\n"
                     "        out0[out++] = (int8_t)((sum + (sum > 0 ? %d : -%d)) / %d);\n"
                     "    }\n    }\n",
                     (long long)rows.in, (long long)columns.in, (long long)rows.in, (long long)columns.in,
                     ONE, ONE, ONE, ONE * ONE / 2, ONE * ONE / 2, ONE * ONE);
    return TERN_OK;
}

const tern_op tern_op_resize_int8 = {
    .name = "resize_int8",
    .doc = "an image of bytes of another size, linear between its elements",
    .args = resize_args,
    .args_size = sizeof(tern_int8_resize_op),
    .infer = resize_infer,
    .work = resize_work,
    .run = resize_run,
    .emit = resize_emit,
};
