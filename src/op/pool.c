/* Pooling over images: the highest (of spikes: any) or the mean of a window.
 *
 * x [lead..,C,H,W] -> [lead..,C,OH,OW].  Where a border is asked for, windows lie over the edge, and only what is in the image
 * takes part.  The maximum of bits is bits; its gradient goes to the first maximum. */
#include "op/op.h"

#include "kernel/int8.h"
#include "kernel/kernel.h"
#include "kernel/loops.h"

#include <stdio.h>

typedef struct tern_pool_op {
    int kernel, stride, pad;
    tern_shape like; /* gradients: shape of x */
} tern_pool_op;

#define POOL_ARG(field, kind, doc) TERN_ARG(tern_pool_op, field, kind, doc)
static const tern_arg pool_args[] = {
    POOL_ARG(kernel, TERN_ARG_INT, "side of the window"),
    POOL_ARG(stride, TERN_ARG_INT, "step between windows"),
    POOL_ARG(pad, TERN_ARG_INT, "how far windows lie over the edge"),
    POOL_ARG(like, TERN_ARG_DIMS, "shape of the result, for gradients"),
    {0},
};

/* All channels of all images are planes of one kind.  Images of height 1 have windows of height 1. */
static tern_conv geometry(const tern_shape *x, const tern_pool_op *a)
{
    int r = x->rank;
    bool flat = x->dim[r - 2] == 1;
    tern_conv c = {.images = tern_elements_upto(x, r - 2),
                   .in_channels = 1,
                   .out_channels = 1,
                   .groups = 1,
                   .height = x->dim[r - 2],
                   .width = x->dim[r - 1],
                   .kernel_height = flat ? 1 : a->kernel,
                   .kernel_width = a->kernel,
                   .stride_y = flat ? 1 : a->stride,
                   .stride_x = a->stride,
                   .pad_y = flat ? 0 : a->pad,
                   .pad_x = a->pad,
                   .dilation_y = 1,
                   .dilation_x = 1};
    c.out_height = tern_conv_extent(c.height, c.kernel_height, c.stride_y, 2 * c.pad_y, 1);
    c.out_width = tern_conv_extent(c.width, c.kernel_width, c.stride_x, 2 * c.pad_x, 1);
    return c;
}

/* The part of window `out` that lies in the image: its first element, rows and columns. */
typedef struct tern_pool_window {
    int64_t corner, rows, columns;
} tern_pool_window;

static tern_pool_window window_of(const tern_conv *c, int64_t out)
{
    int64_t pixels = c->out_height * c->out_width, plane = out / pixels, oy = out % pixels / c->out_width;
    int64_t y = oy * c->stride_y - c->pad_y, x = out % c->out_width * c->stride_x - c->pad_x;
    int64_t bottom = y + c->kernel_height, right = x + c->kernel_width;
    y = y < 0 ? 0 : y;
    x = x < 0 ? 0 : x;
    return (tern_pool_window){.corner = (plane * c->height + y) * c->width + x,
                              .rows = (bottom < c->height ? bottom : c->height) - y,
                              .columns = (right < c->width ? right : c->width) - x};
}

/* Element k of a window. */
static int64_t element_of(const tern_conv *c, const tern_pool_window *w, int64_t k)
{
    return w->corner + k / w->columns * c->width + k % w->columns;
}

/* keeps: bits stay bits, and bytes bytes. */
static tern_status pool_infer(tern_infer *types, bool keeps)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    const tern_pool_op *a = types->args;
    const tern_type *x = types->in[0];
    char text[96];
    if (a->kernel < 1 || a->stride < 1 || a->pad < 0 || a->pad >= a->kernel)
        return tern_infer_fail(
            types, "kernel %d and stride %d must be at least 1, pad %d 0 or more and below kernel", a->kernel,
            a->stride, a->pad);
    if (x->shape.rank < 3)
        return tern_infer_fail(types, "x is %s, expected [..,C,H,W]", tern_shape_text(text, &x->shape));
    tern_conv c = geometry(&x->shape, a);
    if (c.out_height < 1 || c.out_width < 1)
        return tern_infer_fail(types, "a window of %d is larger than the image of x %s", a->kernel,
                               tern_shape_text(text, &x->shape));
    tern_shape y = x->shape;
    y.dim[y.rank - 2] = c.out_height;
    y.dim[y.rank - 1] = c.out_width;
    tern_dtype real = x->dtype == TERN_F64 ? TERN_F64 : TERN_F32;
    keeps = keeps && (x->dtype == TERN_BIT || x->dtype == TERN_I8 || x->dtype == TERN_I16);
    tern_infer_out(types, keeps ? x->dtype : real, y);
    return TERN_OK;
}

static tern_status max_infer(tern_infer *types)
{
    return pool_infer(types, true);
}

/* The mean of spikes is how many there are, over the size of the window. */
static tern_status avg_infer(tern_infer *types)
{
    const tern_pool_op *a = types->args;
    TERN_TRY(pool_infer(types, false));
    int64_t levels = types->in[0]->dtype == TERN_BIT ? 1 : types->in[0]->levels;
    tern_conv c = geometry(&types->in[0]->shape, a);
    levels *= c.kernel_height * c.kernel_width;
    if (levels < 1 << 20 && a->pad == 0)
        tern_infer_levels(types, (int)levels); /* beyond, an f32 can't tell them apart */
    return TERN_OK;
}

/* Index of the first maximum of window `out`. */
static int64_t first_maximum(const tern_conv *c, const tern_tensor *x, int64_t out)
{
    tern_pool_window w = window_of(c, out);
    int64_t best = w.corner;
    for (int64_t k = 1; k < w.rows * w.columns; k++) {
        int64_t at = element_of(c, &w, k);
        if (tern_get(x, at) > tern_get(x, best)) best = at;
    }
    return best;
}

static void count_window(const tern_call *call, const tern_conv *c, int64_t out)
{
    tern_pool_window w = window_of(c, out);
    if (call->counter) call->counter->elementwise += (double)(w.rows * w.columns);
}

static void max_run(const tern_call *call)
{
    tern_conv c = geometry(&call->in[0].shape, call->args);
    int64_t n = tern_elements(&call->out[0].shape);
    for (int64_t i = 0; i < n; i++) {
        tern_set(&call->out[0], i, tern_get(&call->in[0], first_maximum(&c, &call->in[0], i)));
        count_window(call, &c, i);
    }
}

/* Where windows lie over the edge: where each begins and how much of it is in the image. */
static void write_borders(const tern_conv *c, tern_emit *to)
{
    tern_text_format(to->text,
                     "    int out = 0;\n"
                     "    for (int plane = 0; plane < %lld; plane++)\n"
                     "    for (int oy = 0; oy < %lld; oy++)\n"
                     "    for (int ox = 0; ox < %lld; ox++, out++) {\n"
                     "        int top = oy * %lld - %lld, left = ox * %lld - %lld;\n"
                     "        int rows = top + %lld < %lld ? %lld : %lld - top, columns = left + %lld < %lld "
                     "? %lld : %lld - left;\n"
                     "        if (top < 0) rows += top, top = 0;\n"
                     "        if (left < 0) columns += left, left = 0;\n"
                     "        int at = (plane * %lld + top) * %lld + left;\n",
                     (long long)c->images, (long long)c->out_height, (long long)c->out_width,
                     (long long)c->stride_y, (long long)c->pad_y, (long long)c->stride_x, (long long)c->pad_x,
                     (long long)c->kernel_height, (long long)c->height, (long long)c->kernel_height,
                     (long long)c->height, (long long)c->kernel_width, (long long)c->width,
                     (long long)c->kernel_width, (long long)c->width, (long long)c->height,
                     (long long)c->width);
}

/* How many elements a window has and how many of them are in a row, as C: `rows` and `columns` at the border. */
typedef struct tern_window_text {
    char taps[48], row[24];
} tern_window_text;

static tern_window_text window_text(const tern_conv *c)
{
    tern_window_text t = {"rows * columns", "columns"};
    if (c->pad_x || c->pad_y) return t;
    snprintf(t.taps, sizeof t.taps, "%lld", (long long)(c->kernel_height * c->kernel_width));
    snprintf(t.row, sizeof t.row, "%lld", (long long)c->kernel_width);
    return t;
}

/* Begins the loops over windows: `at` is a window's first element, k runs over the others' places.  Windows that lie over the
 * edge have `rows` and `columns` of their own. */
static void write_windows(const tern_conv *c, tern_emit *to)
{
    if (c->pad_x || c->pad_y) {
        write_borders(c, to);
        return;
    }
    tern_text_format(to->text,
                     "    int out = 0;\n"
                     "    for (int plane = 0; plane < %lld; plane++)\n"
                     "    for (int oy = 0; oy < %lld; oy++)\n"
                     "    for (int ox = 0; ox < %lld; ox++, out++) {\n"
                     "        int at = (plane * %lld + oy * %lld) * %lld + ox * %lld;\n",
                     (long long)c->images, (long long)c->out_height, (long long)c->out_width,
                     (long long)c->height, (long long)c->stride_y, (long long)c->width,
                     (long long)c->stride_x);
}

static tern_status max_emit(const tern_call *call, tern_emit *to)
{
    tern_conv c = geometry(&call->in[0].shape, call->args);
    tern_window_text w = window_text(&c);
    long long width = c.width;
    bool bits = call->in[0].dtype == TERN_BIT;
    tern_dtype dtype = call->in[0].dtype;
    const char *type = dtype == TERN_I8 ? "int8_t" : dtype == TERN_I16 ? "int16_t" : "float";
    tern_write_clear(to, call, 0);
    write_windows(&c, to);
    if (bits)
        tern_text_format(to->text,
                         "        int any = 0;\n"
                         "        for (int k = 0; k < %s; k++)\n"
                         "            any |= get_bit(in0, at + k / %s * %lld + k %% %s);\n"
                         "        if (any) set_bit(out0, out);\n"
                         "    }\n",
                         w.taps, w.row, width, w.row);
    else
        tern_text_format(to->text,
                         "        %s highest = in0[at];\n"
                         "        for (int k = 1; k < %s; k++) {\n"
                         "            %s x = in0[at + k / %s * %lld + k %% %s];\n"
                         "            if (x > highest) highest = x;\n"
                         "        }\n"
                         "        out0[out] = highest;\n"
                         "    }\n",
                         type, w.taps, type, w.row, width, w.row);
    return TERN_OK;
}

/* Elements of all windows together, of one axis. */
static double window_elements(int64_t extent, int64_t out, int64_t kernel, int64_t stride, int64_t pad)
{
    double count = 0;
    for (int64_t o = 0; o < out; o++) {
        int64_t first = o * stride - pad, last = first + kernel;
        count += (double)((last < extent ? last : extent) - (first < 0 ? 0 : first));
    }
    return count;
}

/* One operation for each element of each window. */
static void window_work(const tern_conv *c, tern_work *work)
{
    work->elementwise += (double)c->images *
                         window_elements(c->height, c->out_height, c->kernel_height, c->stride_y, c->pad_y) *
                         window_elements(c->width, c->out_width, c->kernel_width, c->stride_x, c->pad_x);
}

static void pool_work(const tern_call *call, tern_work *work)
{
    tern_conv c = geometry(&call->in[0].shape, call->args);
    window_work(&c, work);
}

static tern_status max_grad(tern_grad *c)
{
    tern_pool_op args = *(const tern_pool_op *)c->node->args;
    args.like = tern_shape_of(c->graph, c->node->in[0]);
    tern_value in[] = {c->node->in[0], c->dout[0]};
    c->din[0] = tern_apply(c->graph, &tern_op_max_pool2d_grad, &args, in, 2, NULL);
    return TERN_OK;
}

static bool plane_matches(const tern_call *call)
{
    bool bits = call->in[0].dtype == TERN_BIT;
    return (bits && call->out[0].dtype == TERN_BIT) ||
           (call->in[0].dtype == TERN_F32 && call->out[0].dtype == TERN_F32) ||
           (call->in[0].dtype == TERN_I8 && TERN_ARGS(tern_pool_op, call)->pad == 0);
}

static void max_fast(const tern_call *call)
{
    tern_conv c = geometry(&call->in[0].shape, call->args);
    if (call->in[0].dtype == TERN_BIT)
        tern_bits_max_pool(call->pool, &c, call->in[0].data, 0, call->out[0].data);
    else if (call->in[0].dtype == TERN_I8)
        tern_int8_max_pool(call->pool, &c, call->in[0].data, call->out[0].data);
    else
        tern_max_pool(call->pool, &c, call->in[0].data, call->out[0].data);
}

static const tern_fast max_kernels[] = {{"planes", plane_matches, NULL, max_fast}, {0}};

const tern_op tern_op_max_pool2d = {
    .name = "max_pool2d",
    .doc = "highest value of each window; of spikes: any",
    .args = pool_args,
    .args_size = sizeof(tern_pool_op),
    .flags = TERN_OP_ROWWISE,
    .infer = max_infer,
    .grad = max_grad,
    .work = pool_work,
    .run = max_run,
    .emit = max_emit,
    .fast = max_kernels,
};

/* Whether windows over x give y. */
static tern_status check_fit(const tern_infer *types, const tern_shape *x, const tern_shape *y)
{
    const tern_pool_op *a = types->args;
    int r = x->rank;
    char tx[96], ty[96];
    bool fits = a->kernel > 0 && a->stride > 0 && a->pad >= 0 && a->pad < a->kernel && r >= 3 && y->rank == r;
    for (int d = 0; fits && d < r - 2; d++) fits = x->dim[d] == y->dim[d];
    if (fits) {
        tern_conv c = geometry(x, a);
        fits = y->dim[r - 2] == c.out_height && y->dim[r - 1] == c.out_width;
    }
    if (fits) return TERN_OK;
    return tern_infer_fail(types, "no windows of %d, %d apart, over x %s give %s", a->kernel, a->stride,
                           tern_shape_text(tx, x), tern_shape_text(ty, y));
}

static tern_status like_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    const tern_type *dy = types->in[1];
    TERN_TRY(check_fit(types, &types->in[0]->shape, &dy->shape));
    tern_infer_out(types, dy->dtype, types->in[0]->shape);
    return TERN_OK;
}

/* x, dy -> dx */
static void max_grad_run(const tern_call *call)
{
    const tern_tensor *x = &call->in[0], *dy = &call->in[1], *dx = &call->out[0];
    tern_conv c = geometry(&x->shape, call->args);
    int64_t n = tern_elements(&dy->shape), all = tern_elements(&x->shape);
    for (int64_t i = 0; i < all; i++) tern_set(dx, i, 0);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = first_maximum(&c, x, i);
        tern_set(dx, at, tern_get(dx, at) + tern_get(dy, i));
        count_window(call, &c, i);
    }
}

static void grad_work(const tern_call *call, tern_work *work)
{
    tern_conv c = geometry(&call->out[0].shape, call->args);
    window_work(&c, work);
}

static bool max_grad_matches(const tern_call *call)
{
    return (call->in[0].dtype == TERN_BIT || call->in[0].dtype == TERN_F32) && call->in[1].dtype == TERN_F32;
}

static void max_grad_fast(const tern_call *call)
{
    tern_conv c = geometry(&call->in[0].shape, call->args);
    bool bits = call->in[0].dtype == TERN_BIT;
    tern_max_pool_grad(call->pool, &c, call->in[0].data, bits, call->in[1].data, call->out[0].data);
}

static const tern_fast max_grad_kernels[] = {{"planes", max_grad_matches, NULL, max_grad_fast}, {0}};

static tern_status max_grad_emit(const tern_call *call, tern_emit *to)
{
    tern_conv c = geometry(&call->in[0].shape, call->args);
    tern_window_text w = window_text(&c);
    tern_text_format(to->text, "    for (int e = 0; e < %lld; e++) out0[e] = 0;\n",
                     (long long)tern_elements(&call->out[0].shape));
    write_windows(&c, to);
    tern_text_format(to->text,
                     "        int best = at;\n"
                     "        for (int k = 1; k < %s; k++) {\n"
                     "            int i = at + k / %s * %lld + k %% %s;\n"
                     "            if (%s > %s) best = i;\n"
                     "        }\n"
                     "        out0[best] += in1[out];\n"
                     "    }\n",
                     w.taps, w.row, (long long)c.width, w.row, tern_write_read(call, 0, "i").text,
                     tern_write_read(call, 0, "best").text);
    return TERN_OK;
}

const tern_op tern_op_max_pool2d_grad = {
    .name = "max_pool2d_grad",
    .doc = "gradient of max_pool2d: to the first maximum",
    .args = pool_args,
    .args_size = sizeof(tern_pool_op),
    .infer = like_infer,
    .work = grad_work,
    .run = max_grad_run,
    .emit = max_grad_emit,
    .fast = max_grad_kernels,
};

/* ---- mean ------------------------------------------------------------------------------------------------------- */

/* Adds f(window element, window) over all windows. */
static void avg_run(const tern_call *call)
{
    tern_conv c = geometry(&call->in[0].shape, call->args);
    int64_t n = tern_elements(&call->out[0].shape);
    for (int64_t i = 0; i < n; i++) {
        tern_pool_window w = window_of(&c, i);
        double sum = 0;
        for (int64_t k = 0; k < w.rows * w.columns; k++) sum += tern_get(&call->in[0], element_of(&c, &w, k));
        tern_set(&call->out[0], i, sum / (double)(w.rows * w.columns));
        count_window(call, &c, i);
    }
}

static tern_status avg_emit(const tern_call *call, tern_emit *to)
{
    tern_conv c = geometry(&call->in[0].shape, call->args);
    tern_window_text w = window_text(&c);
    char index[96];
    snprintf(index, sizeof index, "at + k / %s * %lld + k %% %s", w.row, (long long)c.width, w.row);
    write_windows(&c, to);
    tern_text_format(to->text,
                     "        double sum = 0;\n"
                     "        for (int k = 0; k < %s; k++) sum += %s;\n"
                     "        out0[out] = (float)(sum / (%s));\n"
                     "    }\n",
                     w.taps, tern_write_read(call, 0, index).text, w.taps);
    return TERN_OK;
}

static tern_status avg_grad(tern_grad *c)
{
    tern_pool_op args = *(const tern_pool_op *)c->node->args;
    args.like = tern_shape_of(c->graph, c->node->in[0]);
    c->din[0] = tern_apply(c->graph, &tern_op_avg_pool2d_grad, &args, &c->dout[0], 1, NULL);
    return TERN_OK;
}

static bool avg_matches(const tern_call *call)
{
    return call->in[0].dtype == TERN_BIT || call->in[0].dtype == TERN_F32;
}

static void avg_fast(const tern_call *call)
{
    tern_conv c = geometry(&call->in[0].shape, call->args);
    if (call->in[0].dtype == TERN_BIT)
        tern_bits_avg_pool(call->pool, &c, call->in[0].data, 0, call->out[0].data);
    else
        tern_avg_pool(call->pool, &c, call->in[0].data, call->out[0].data);
}

static const tern_fast avg_kernels[] = {{"planes", avg_matches, NULL, avg_fast}, {0}};

const tern_op tern_op_avg_pool2d = {
    .name = "avg_pool2d",
    .doc = "mean of each window",
    .args = pool_args,
    .args_size = sizeof(tern_pool_op),
    .flags = TERN_OP_ROWWISE,
    .infer = avg_infer,
    .grad = avg_grad,
    .work = pool_work,
    .run = avg_run,
    .emit = avg_emit,
    .fast = avg_kernels,
};

static tern_status avg_grad_infer(tern_infer *types)
{
    const tern_shape *like = &((const tern_pool_op *)types->args)->like;
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    TERN_TRY(check_fit(types, like, &types->in[0]->shape));
    tern_infer_out(types, types->in[0]->dtype, *like);
    return TERN_OK;
}

/* dy -> dx */
static void avg_grad_run(const tern_call *call)
{
    const tern_tensor *dy = &call->in[0], *dx = &call->out[0];
    tern_conv c = geometry(&dx->shape, call->args);
    int64_t n = tern_elements(&dy->shape), all = tern_elements(&dx->shape);
    for (int64_t i = 0; i < all; i++) tern_set(dx, i, 0);
    for (int64_t i = 0; i < n; i++) {
        tern_pool_window w = window_of(&c, i);
        for (int64_t k = 0; k < w.rows * w.columns; k++) {
            int64_t at = element_of(&c, &w, k);
            tern_set(dx, at, tern_get(dx, at) + tern_get(dy, i) / (double)(w.rows * w.columns));
        }
        count_window(call, &c, i);
    }
}

static bool avg_grad_matches(const tern_call *call)
{
    return call->in[0].dtype == TERN_F32;
}

static void avg_grad_fast(const tern_call *call)
{
    tern_conv c = geometry(&call->out[0].shape, call->args);
    tern_avg_pool_grad(call->pool, &c, call->in[0].data, call->out[0].data);
}

static const tern_fast avg_grad_kernels[] = {{"planes", avg_grad_matches, NULL, avg_grad_fast}, {0}};

const tern_op tern_op_avg_pool2d_grad = {
    .name = "avg_pool2d_grad",
    .doc = "gradient of avg_pool2d",
    .args = pool_args,
    .args_size = sizeof(tern_pool_op),
    .infer = avg_grad_infer,
    .work = grad_work,
    .run = avg_grad_run,
    .fast = avg_grad_kernels,
};

tern_value tern_max_pool2d_with(tern_graph *graph, tern_value x, tern_pool2d_args args)
{
    tern_pool_op op = {args.kernel, args.stride ? args.stride : args.kernel, args.pad, {0}};
    return tern_apply(graph, &tern_op_max_pool2d, &op, &x, 1, NULL);
}

tern_value tern_avg_pool2d_with(tern_graph *graph, tern_value x, tern_pool2d_args args)
{
    tern_pool_op op = {args.kernel, args.stride ? args.stride : args.kernel, args.pad, {0}};
    return tern_apply(graph, &tern_op_avg_pool2d, &op, &x, 1, NULL);
}
