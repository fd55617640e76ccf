/* Images of another size: x [..,H,W] -> [..,OH,OW].  Place o of an axis lies at a coordinate of the input; its value is the nearest
 * element, or a weighted sum of the 2 or 4 elements around (linear, cubic: Keys 1981), edges being repeated.  The names are ONNX's
 * (operator Resize), whose equations these are. */
#include "op/op.h"

#include "kernel/resize.h"

#include <math.h>

static const char *const modes[] = {"nearest", "linear", "cubic", NULL};
static const char *const places[] = {"half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel", NULL};
static const char *const roundings[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL};

typedef struct tern_resize_op {
    tern_resize2d_args a;
    tern_shape like; /* gradient: shape of x */
} tern_resize_op;

#define RESIZE_ARG(field_, kind_, doc_)                                                                      \
    {                                                                                                        \
        .name = #field_, .kind = kind_, .offset = offsetof(tern_resize_op, a.field_), .doc = doc_            \
    }
static const tern_arg resize_args[] = {
    RESIZE_ARG(height, TERN_ARG_INT, "rows of the result"),
    RESIZE_ARG(width, TERN_ARG_INT, "columns of the result"),
    {.name = "mode",
     .kind = TERN_ARG_CHOICE,
     .offset = offsetof(tern_resize_op, a.mode),
     .doc = "what a pixel is made of",
     .choices = modes},
    {.name = "places",
     .kind = TERN_ARG_CHOICE,
     .offset = offsetof(tern_resize_op, a.places),
     .doc = "where a pixel lies in the input",
     .choices = places},
    {.name = "rounding",
     .kind = TERN_ARG_CHOICE,
     .offset = offsetof(tern_resize_op, a.rounding),
     .doc = "of nearest: which element that is",
     .choices = roundings},
    RESIZE_ARG(scale_y, TERN_ARG_REAL, "rows of the result for one of the input; 0: as the sizes say"),
    RESIZE_ARG(scale_x, TERN_ARG_REAL, "the same of columns"),
    RESIZE_ARG(cubic, TERN_ARG_REAL, "of cubic: its coefficient"),
    {.name = "like",
     .kind = TERN_ARG_DIMS,
     .offset = offsetof(tern_resize_op, like),
     .doc = "shape of the result, for gradients"},
    {0},
};

/* An axis of `in` elements that becomes one of `out`. */
typedef struct tern_axis {
    int64_t in, out;
    double scale;
} tern_axis;

static tern_axis axis_of(const tern_shape *x, const tern_resize2d_args *a, bool rows)
{
    tern_axis axis = {x->dim[x->rank - (rows ? 2 : 1)], rows ? a->height : a->width,
                      rows ? a->scale_y : a->scale_x};
    if (axis.scale <= 0) axis.scale = (double)axis.out / (double)axis.in;
    return axis;
}

/* In single precision, as those compute who made the nets: where a place lies just between two elements, that decides. */
static double coordinate(const tern_axis *axis, tern_resize_places places_, int64_t o)
{
    float scale = (float)axis->scale, half = ((float)o + 0.5f) / scale - 0.5f, at = half;
    if (places_ == TERN_AT_CORNERS)
        at = axis->out > 1 ? (float)o * (float)(axis->in - 1) / (float)(axis->out - 1) : 0;
    else if (places_ == TERN_AT_ORIGIN)
        at = (float)o / scale;
    else if (places_ == TERN_AT_HALF_PIXEL_OR_0)
        at = axis->out > 1 ? half : 0;
    return (double)at;
}

static int64_t nearest(double x, tern_resize_rounding rounding)
{
    switch (rounding) {
    case TERN_NEAREST_CEIL_HALF:
        return (int64_t)floor(x + 0.5);
    case TERN_NEAREST_FLOOR:
        return (int64_t)floor(x);
    case TERN_NEAREST_CEIL:
        return (int64_t)ceil(x);
    default:
        return (int64_t)ceil(x - 0.5);
    }
}

static int taps_of(tern_resize_mode mode)
{
    return mode == TERN_RESIZE_NEAREST ? 1 : mode == TERN_RESIZE_LINEAR ? 2 : 4;
}

/* Weight of an element at distance t, 0 <= t < 2, by a cubic of coefficient a. */
static double cubic_weight(double t, double a)
{
    if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
    return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a;
}

/* The elements of place o, and their weights. */
static void taps_at(const tern_axis *axis, const tern_resize2d_args *a, int64_t o, int64_t index[4],
                    double weight[4])
{
    double x = coordinate(axis, a->places, o), below = floor(x), share = x - below;
    int taps = taps_of(a->mode);
    for (int k = 0; k < taps; k++) {
        index[k] = (int64_t)below + k - (taps == 4);
        weight[k] = taps == 2 ? (k ? share : 1 - share) : cubic_weight(fabs(share + 1 - k), a->cubic);
    }
    if (taps == 1) {
        index[0] = nearest(x, a->rounding);
        weight[0] = 1;
    }
    for (int k = 0; k < taps; k++)
        index[k] = index[k] < 0 ? 0 : index[k] >= axis->in ? axis->in - 1 : index[k];
}

/* 0, or what lets coordinates be whole numbers. */
static bool is_scale(double scale)
{
    return scale == 0 || (scale > 1e-6 && scale < 1e6);
}

static tern_status check(const tern_infer *types, const tern_shape *x)
{
    const tern_resize2d_args *a = &((const tern_resize_op *)types->args)->a;
    char text[96];
    bool good = x->rank >= 2 && a->height > 0 && a->width > 0 && (int)a->mode >= 0 &&
                a->mode <= TERN_RESIZE_CUBIC && (int)a->places >= 0 && a->places <= TERN_AT_HALF_PIXEL_OR_0 &&
                (int)a->rounding >= 0 && a->rounding <= TERN_NEAREST_CEIL && is_scale(a->scale_y) &&
                is_scale(a->scale_x);
    if (good && x->dim[x->rank - 1] > 0 && x->dim[x->rank - 2] > 0 && x->dim[x->rank - 1] < 1 << 24 &&
        x->dim[x->rank - 2] < 1 << 24)
        return TERN_OK;
    return tern_infer_fail(types, "x is %s, the result %dx%d: expected [..,H,W] and at least one pixel",
                           tern_shape_text(text, x), a->height, a->width);
}

static tern_shape result_of(const tern_shape *x, const tern_resize2d_args *a)
{
    tern_shape y = *x;
    y.dim[y.rank - 2] = a->height;
    y.dim[y.rank - 1] = a->width;
    return y;
}

static tern_status resize_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    const tern_type *x = types->in[0];
    TERN_TRY(check(types, &x->shape));
    tern_infer_out(types, x->dtype == TERN_F64 ? TERN_F64 : TERN_F32,
                   result_of(&x->shape, &((const tern_resize_op *)types->args)->a));
    return TERN_OK;
}

/* Sums over the taps of each place of y: into y, or (back) from y into x. */
static void define(const tern_call *call, const tern_tensor *x, const tern_tensor *y, bool back)
{
    const tern_resize2d_args *a = &TERN_ARGS(tern_resize_op, call)->a;
    tern_axis rows = axis_of(&x->shape, a, true), columns = axis_of(&x->shape, a, false);
    int taps = taps_of(a->mode);
    for (int64_t i = 0; i < tern_elements(&y->shape); i++) {
        int64_t plane = i / (rows.out * columns.out) * rows.in * columns.in, yi[4], xi[4];
        double yw[4], xw[4], sum = 0;
        taps_at(&rows, a, i / columns.out % rows.out, yi, yw);
        taps_at(&columns, a, i % columns.out, xi, xw);
        for (int k = 0; k < taps * taps; k++) {
            int64_t at = plane + yi[k / taps] * columns.in + xi[k % taps];
            double w = yw[k / taps] * xw[k % taps];
            if (back)
                tern_set(x, at, tern_get(x, at) + w * tern_get(y, i));
            else
                sum += w * tern_get(x, at);
            if (call->counter) call->counter->elementwise++;
        }
        if (!back) tern_set(y, i, sum);
    }
}

static void resize_run(const tern_call *call)
{
    define(call, &call->in[0], &call->out[0], false);
}

/* One operation a tap. */
static void resize_work(const tern_call *call, tern_work *work)
{
    int taps = taps_of(TERN_ARGS(tern_resize_op, call)->a.mode);
    const tern_shape *x = &call->in[0].shape, *y = &call->out[0].shape;
    int64_t places_ = tern_elements(call->op == &tern_op_resize ? y : x);
    work->elementwise += (double)places_ * taps * taps;
}

static tern_status resize_grad(tern_grad *c)
{
    tern_resize_op args = *(const tern_resize_op *)c->node->args;
    args.like = tern_shape_of(c->graph, c->node->in[0]);
    c->din[0] = tern_apply(c->graph, &tern_op_resize_grad, &args, &c->dout[0], 1, NULL);
    return TERN_OK;
}

/* ---- fast: the taps of rows and columns are tables in scratch memory -------------------------------------------------- */

static bool matches(const tern_call *call)
{
    return call->in[0].dtype == TERN_F32;
}

static size_t table_bytes(const tern_call *call)
{
    const tern_resize2d_args *a = &TERN_ARGS(tern_resize_op, call)->a;
    return ((size_t)a->height + (size_t)a->width) * (size_t)taps_of(a->mode) *
           (sizeof(int32_t) + sizeof(float));
}

static tern_resize_axis table_of(const tern_axis *axis, const tern_resize2d_args *a, char **memory)
{
    int taps = taps_of(a->mode);
    int32_t *index = (void *)*memory;
    float *weight = (void *)(index + axis->out * taps);
    *memory = (char *)(weight + axis->out * taps);
    for (int64_t o = 0; o < axis->out; o++) {
        int64_t at[4];
        double w[4];
        taps_at(axis, a, o, at, w);
        for (int k = 0; k < taps; k++) {
            index[o * taps + k] = (int32_t)at[k];
            weight[o * taps + k] = (float)w[k];
        }
    }
    return (tern_resize_axis){axis->in, axis->out, taps, index, weight};
}

static void fast(const tern_call *call)
{
    const tern_resize2d_args *a = &TERN_ARGS(tern_resize_op, call)->a;
    bool back = call->op == &tern_op_resize_grad;
    const tern_shape *x = back ? &call->out[0].shape : &call->in[0].shape;
    tern_axis rows = axis_of(x, a, true), columns = axis_of(x, a, false);
    char *memory = call->scratch;
    tern_resize_axis row_table = table_of(&rows, a, &memory), column_table = table_of(&columns, a, &memory);
    (back ? tern_resize_planes_grad : tern_resize_planes)(call->pool, tern_elements_upto(x, x->rank - 2),
                                                          &row_table, &column_table, call->in[0].data,
                                                          call->out[0].data);
}

static const tern_fast kernels[] = {{"tables", matches, table_bytes, fast}, {0}};

/* ---- C: the same tables, as constants ---------------------------------------------------------------------------------- */

/* Where the taps of each place of an axis lie, and what they weigh. */
static void write_taps(tern_emit *to, const tern_axis *axis, const tern_resize2d_args *a, char name)
{
    int taps = taps_of(a->mode);
    for (int weights = 0; weights < 2; weights++) {
        tern_text_format(to->text, "    static const %s %c%c[] = {", weights ? "double" : "int32_t", name,
                         weights ? 'w' : 'i');
        for (int64_t o = 0; o < axis->out; o++) {
            int64_t at[4];
            double w[4];
            taps_at(axis, a, o, at, w);
            for (int k = 0; k < taps; k++) {
                if (weights)
                    tern_text_format(to->text, "%.17g, ", w[k]);
                else
                    tern_text_format(to->text, "%lld, ", (long long)at[k]);
            }
        }
        tern_text_put(to->text, "};\n");
    }
}

static tern_status resize_emit(const tern_call *call, tern_emit *to)
{
    const tern_resize2d_args *a = &TERN_ARGS(tern_resize_op, call)->a;
    const tern_shape *x = &call->in[0].shape;
    tern_axis rows = axis_of(x, a, true), columns = axis_of(x, a, false);
    int taps = taps_of(a->mode);
    write_taps(to, &rows, a, 'y');
    write_taps(to, &columns, a, 'x');
    tern_text_format(to->text,
                     "    int out = 0;\n"
                     "    for (int plane = 0; plane < %lld; plane++)\n"
                     "    for (int oy = 0; oy < %lld; oy++)\n"
                     "    for (int ox = 0; ox < %lld; ox++) {\n"
                     "        double sum = 0;\n"
                     "        for (int ky = oy * %d; ky < (oy + 1) * %d; ky++)\n"
                     "        for (int kx = ox * %d; kx < (ox + 1) * %d; kx++) {\n"
                     "            const double w = yw[ky] * xw[kx];\n"
                     "            sum += w * (double)in0[(plane * %lld + yi[ky]) * %lld + xi[kx]];\n"
                     "        }\n"
                     "        out0[out++] = (float)sum;\n"
                     "    }\n",
                     (long long)tern_elements_upto(x, x->rank - 2), (long long)rows.out,
                     (long long)columns.out, taps, taps, taps, taps, (long long)rows.in,
                     (long long)columns.in);
    return TERN_OK;
}

const tern_op tern_op_resize = {
    .name = "resize",
    .doc = "an image of another size",
    .args = resize_args,
    .args_size = sizeof(tern_resize_op),
    .flags = TERN_OP_ROWWISE,
    .infer = resize_infer,
    .grad = resize_grad,
    .work = resize_work,
    .run = resize_run,
    .emit = resize_emit,
    .fast = kernels,
};

/* dy -> dx */
static tern_status grad_infer(tern_infer *types)
{
    const tern_resize_op *args = types->args;
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    TERN_TRY(check(types, &args->like));
    TERN_TRY(tern_infer_like(types, 0, 0, result_of(&args->like, &args->a)));
    tern_infer_out(types, types->in[0]->dtype, args->like);
    return TERN_OK;
}

static void grad_run(const tern_call *call)
{
    const tern_tensor *dx = &call->out[0];
    for (int64_t i = 0; i < tern_elements(&dx->shape); i++) tern_set(dx, i, 0);
    define(call, dx, &call->in[0], true);
}

const tern_op tern_op_resize_grad = {
    .name = "resize_grad",
    .doc = "gradient of resize",
    .args = resize_args,
    .args_size = sizeof(tern_resize_op),
    .infer = grad_infer,
    .work = resize_work,
    .run = grad_run,
    .fast = kernels,
};

tern_value tern_resize2d_with(tern_graph *graph, tern_value x, tern_resize2d_args args)
{
    return tern_apply(graph, &tern_op_resize, &(tern_resize_op){.a = args}, &x, 1, NULL);
}
