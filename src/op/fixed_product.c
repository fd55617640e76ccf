/* Products of codes, summed in 32 bits, exactly: x [..,K] with W [N,K] or x [..,C,H,W] with W [N,C/groups,KH,KW], b [N] of i32
 * optional.  The binary points of factors add; whether 32 bits suffice is known where weights are (tern_fixed_widths). */
#include "op/fixed.h"

#include "kernel/kernel.h"

#include <string.h>

#define ARG(field, kind, doc) TERN_ARG(tern_conv_op, field, kind, doc)
static const tern_arg product_args[] = {
    ARG(stride, TERN_ARG_INT, "step between outputs"),
    ARG(pad, TERN_ARG_INT, "zeros around the image"),
    ARG(dilation, TERN_ARG_INT, "step between taps"),
    ARG(groups, TERN_ARG_INT, "groups of channels that do not see each other"),
    {0},
};

/* A product with a matrix is a convolution over images of one pixel. */
static tern_conv geometry(const tern_shape *x, const tern_shape *w, const tern_conv_op *a)
{
    int r = x->rank;
    if (w->rank == 2)
        return (tern_conv){.images = tern_elements_upto(x, r - 1),
                           .in_channels = x->dim[r - 1],
                           .height = 1,
                           .width = 1,
                           .out_channels = w->dim[0],
                           .out_height = 1,
                           .out_width = 1,
                           .kernel_height = 1,
                           .kernel_width = 1,
                           .stride_y = 1,
                           .stride_x = 1,
                           .dilation_y = 1,
                           .dilation_x = 1,
                           .groups = 1};
    return tern_conv_geometry(x, w, a);
}

static tern_status product_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 3));
    const tern_conv_op *a = types->args;
    const tern_type *x = types->in[0], *w = types->in[1];
    int r = x->shape.rank;
    char tx[96], tw[96];
    bool good = tern_dtype_of(x->dtype)->exact_integer && tern_dtype_of(w->dtype)->exact_integer;
    if (w->shape.rank == 2)
        good = good && r >= 1 && x->shape.dim[r - 1] == w->shape.dim[1];
    else
        good = good && w->shape.rank == 4 && r >= 4 && a->stride > 0 && a->pad >= 0 && a->dilation > 0 &&
               a->groups > 0 && w->shape.dim[0] % a->groups == 0 &&
               w->shape.dim[1] * a->groups == x->shape.dim[r - 3];
    tern_conv c = {0};
    if (good) c = geometry(&x->shape, &w->shape, a);
    if (!good || c.out_height < 1 || c.out_width < 1)
        return tern_infer_fail(types,
                               "x %s and W %s do not go together: expected codes [..,K] and [N,K], or "
                               "[..,C,H,W] and [N,C/groups,KH,KW]",
                               tern_shape_text(tx, &x->shape), tern_shape_text(tw, &w->shape));
    TERN_TRY(tern_infer_like(types, 2, 2, TERN_SHAPE(c.out_channels)));
    tern_shape y = x->shape;
    if (w->shape.rank == 2) {
        y.dim[r - 1] = c.out_channels;
    } else {
        y.dim[r - 3] = c.out_channels;
        y.dim[r - 2] = c.out_height;
        y.dim[r - 1] = c.out_width;
    }
    tern_infer_out(types, TERN_I32, y);
    return TERN_OK;
}

static void product_run(const tern_call *call)
{
    tern_conv c = geometry(&call->in[0].shape, &call->in[1].shape, call->args);
    int64_t group = c.in_channels / c.groups, taps = c.kernel_height * c.kernel_width;
    for (int64_t i = 0; i < tern_elements(&call->out[0].shape); i++) {
        int64_t ox = i % c.out_width, oy = i / c.out_width % c.out_height,
                o = i / (c.out_width * c.out_height) % c.out_channels,
                n = i / (c.out_width * c.out_height * c.out_channels);
        double sum = call->nin > 2 && call->in[2].data ? tern_get(&call->in[2], o) : 0;
        for (int64_t k = 0; k < group * taps; k++) {
            int64_t y = oy * c.stride_y + k / c.kernel_width % c.kernel_height * c.dilation_y - c.pad_y;
            int64_t x = ox * c.stride_x + k % c.kernel_width * c.dilation_x - c.pad_x;
            int64_t channel = o / (c.out_channels / c.groups) * group + k / taps;
            if (call->counter) call->counter->macs++;
            if (y < 0 || y >= c.height || x < 0 || x >= c.width) continue;
            sum += tern_get(&call->in[0], ((n * c.in_channels + channel) * c.height + y) * c.width + x) *
                   tern_get(&call->in[1], o * group * taps + k);
        }
        tern_set(&call->out[0], i, sum);
    }
}

static void product_work(const tern_call *call, tern_work *work)
{
    work->macs +=
        (double)tern_elements(&call->out[0].shape) * (double)tern_elements_from(&call->in[1].shape, 1);
}

static tern_product_shape product_shape(const tern_call *call)
{
    tern_conv c = geometry(&call->in[0].shape, &call->in[1].shape, call->args);
    return (tern_product_shape){.count = c.groups,
                                .m = c.images * c.out_height * c.out_width,
                                .n = c.out_channels / c.groups,
                                .k = tern_elements_from(&call->in[1].shape, 1),
                                .images = c.images,
                                .kernel_height = c.kernel_height,
                                .kernel_width = c.kernel_width,
                                .out_height = c.out_height,
                                .out_width = c.out_width,
                                .stride = c.stride_y > c.stride_x ? c.stride_y : c.stride_x};
}

/* Codes of any format as i32. */
static void widen(const tern_tensor *from, int64_t first, int64_t n, int32_t *to)
{
    for (int64_t i = 0; i < n; i++) {
        if (from->dtype == TERN_U8)
            to[i] = ((const uint8_t *)from->data)[first + i];
        else if (from->dtype == TERN_I8)
            to[i] = ((const int8_t *)from->data)[first + i];
        else if (from->dtype == TERN_I16)
            to[i] = ((const int16_t *)from->data)[first + i];
        else
            to[i] = ((const int32_t *)from->data)[first + i];
    }
}

static bool product_matches(const tern_call *call)
{
    for (int i = 0; i < 2; i++) {
        tern_dtype d = call->in[i].dtype;
        if (d != TERN_U8 && d != TERN_I8 && d != TERN_I16 && d != TERN_I32) return false;
    }
    return true;
}

/* Tasks take every so many images. */
static int64_t tasks_of(const tern_conv *c)
{
    return c->images < 16 ? c->images : 16;
}

/* All weights, and an image a task. */
static size_t product_scratch(const tern_call *call)
{
    tern_conv c = geometry(&call->in[0].shape, &call->in[1].shape, call->args);
    return (size_t)(tern_elements(&call->in[1].shape) + tasks_of(&c) * c.in_channels * c.height * c.width) *
           sizeof(int32_t);
}

/* One tap of one channel over all outputs: y += w x. */
static void add_tap(const tern_conv *c, const int32_t *x, int32_t w, int64_t ky, int64_t kx, int32_t *y)
{
    int64_t dy = ky * c->dilation_y - c->pad_y, dx = kx * c->dilation_x - c->pad_x, first = 0,
            last = c->out_width;
    while (first < last && first * c->stride_x + dx < 0) first++;
    while (last > first && (last - 1) * c->stride_x + dx >= c->width) last--;
    for (int64_t oy = 0; oy < c->out_height; oy++) {
        int64_t at = oy * c->stride_y + dy;
        if (at < 0 || at >= c->height) continue;
        const int32_t *row = x + at * c->width + dx;
        int32_t *out = y + oy * c->out_width;
        for (int64_t ox = first; ox < last; ox++) out[ox] += w * row[ox * c->stride_x];
    }
}

/* Image n, through memory x. */
static void product_image(const tern_call *call, const tern_conv *shape, int64_t n, int32_t *x)
{
    const tern_conv c = *shape;
    int64_t group = c.in_channels / c.groups, taps = c.kernel_height * c.kernel_width,
            image = c.in_channels * c.height * c.width, pixels = c.out_height * c.out_width;
    const int32_t *w = call->scratch;
    int32_t *y = (int32_t *)call->out[0].data + n * c.out_channels * pixels;
    widen(&call->in[0], n * image, image, x);
    for (int64_t o = 0; o < c.out_channels; o++, y += pixels) {
        int32_t bias = call->nin > 2 && call->in[2].data ? ((const int32_t *)call->in[2].data)[o] : 0;
        const int32_t *from = x + o / (c.out_channels / c.groups) * group * c.height * c.width;
        const int32_t *row = w + o * group * taps;
        for (int64_t i = 0; i < pixels; i++) y[i] = bias;
        if (image == c.in_channels && taps == 1 && pixels == 1) { /* a row of a matrix */
            for (int64_t k = 0; k < group; k++) y[0] += row[k] * from[k];
            continue;
        }
        for (int64_t k = 0; k < group * taps; k++)
            if (row[k])
                add_tap(&c, from + k / taps * c.height * c.width, row[k],
                        k / c.kernel_width % c.kernel_height, k % c.kernel_width, y);
    }
}

static void product_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tern_call *call = context;
    tern_conv c = geometry(&call->in[0].shape, &call->in[1].shape, call->args);
    int32_t *x = (int32_t *)call->scratch + tern_elements(&call->in[1].shape) +
                 task * c.in_channels * c.height * c.width;
    for (int64_t n = task; n < c.images; n += tasks_of(&c)) product_image(call, &c, n, x);
}

static void product_fast(const tern_call *call)
{
    tern_conv c = geometry(&call->in[0].shape, &call->in[1].shape, call->args);
    widen(&call->in[1], 0, tern_elements(&call->in[1].shape), call->scratch);
    tern_pool_run(call->pool, tasks_of(&c), product_task, (void *)(uintptr_t)call);
}

static tern_status product_emit(const tern_call *call, tern_emit *to)
{
    tern_conv c = geometry(&call->in[0].shape, &call->in[1].shape, call->args);
    tern_text_format(to->text,
                     "    int out = 0;\n"
                     "    for (int n = 0; n < %lld; n++)\n"
                     "    for (int o = 0; o < %lld; o++)\n"
                     "    for (int oy = 0; oy < %lld; oy++)\n"
                     "    for (int ox = 0; ox < %lld; ox++) {\n"
                     "        int32_t sum = %s;\n"
                     "        for (int k = 0; k < %lld; k++)\n"
                     "        for (int ky = 0; ky < %lld; ky++) {\n"
                     "            int y = oy * %lld + ky * %lld - %lld;\n"
                     "            if (y < 0 || y >= %lld) continue;\n"
                     "            int row = ((n * %lld + o / %lld * %lld + k) * %lld + y) * %lld;\n",
                     (long long)c.images, (long long)c.out_channels, (long long)c.out_height,
                     (long long)c.out_width, call->nin > 2 && call->in[2].data ? "in2[o]" : "0",
                     (long long)(c.in_channels / c.groups), (long long)c.kernel_height, (long long)c.stride_y,
                     (long long)c.dilation_y, (long long)c.pad_y, (long long)c.height,
                     (long long)c.in_channels, (long long)(c.out_channels / c.groups),
                     (long long)(c.in_channels / c.groups), (long long)c.height, (long long)c.width);
    tern_text_format(
        to->text,
        "            for (int kx = 0; kx < %lld; kx++) {\n"
        "                int x = ox * %lld + kx * %lld - %lld;\n"
        "                if (x < 0 || x >= %lld) continue;\n"
        "                sum += (int32_t)in0[row + x] * (int32_t)in1[((o * %lld + k) * %lld + ky) * "
        "%lld + kx];\n"
        "            }\n        }\n        out0[out++] = sum;\n    }\n",
        (long long)c.kernel_width, (long long)c.stride_x, (long long)c.dilation_x, (long long)c.pad_x,
        (long long)c.width, (long long)(c.in_channels / c.groups), (long long)c.kernel_height,
        (long long)c.kernel_width);
    return TERN_OK;
}

static const tern_fast product_kernels[] = {{"taps", product_matches, product_scratch, product_fast}, {0}};

const tern_op tern_op_fixed_product = {
    .name = "fixed_product",
    .doc = "products of codes, summed in 32 bits: a matrix or a convolution",
    .args = product_args,
    .args_size = sizeof(tern_conv_op),
    .infer = product_infer,
    .work = product_work,
    .product = product_shape,
    .run = product_run,
    .emit = product_emit,
    .fast = product_kernels,
};

/* ---- fixed_affine: x, a [C], b [C] of i32 -> a x + b in 32 bits -------------------------------------------------------- */

static const tern_arg affine_args[] = {
    TERN_ARG(tern_affine_op, inner, TERN_ARG_INT, "elements of a channel that stand together"), {0}};

static tern_status affine_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    const tern_affine_op *a = types->args;
    int64_t channels = tern_elements(&types->in[1]->shape);
    bool whole = true;
    for (int i = 0; i < 3; i++) whole = whole && tern_dtype_of(types->in[i]->dtype)->exact_integer;
    if (!whole || a->inner < 1 || channels < 1 ||
        tern_elements(&types->in[0]->shape) % (channels * a->inner) != 0)
        return tern_infer_fail(types, "expected codes [..,C,..], and a and b [C] of integers");
    TERN_TRY(tern_infer_like(types, 2, 2, types->in[1]->shape));
    tern_infer_out(types, TERN_I32, types->in[0]->shape);
    return TERN_OK;
}

static void affine_run(const tern_call *call)
{
    int64_t inner = ((const tern_affine_op *)call->args)->inner, channels = tern_elements(&call->in[1].shape);
    for (int64_t i = 0; i < tern_elements(&call->out[0].shape); i++) {
        int64_t c = i / inner % channels;
        tern_set(&call->out[0], i,
                 tern_get(&call->in[1], c) * tern_get(&call->in[0], i) + tern_get(&call->in[2], c));
        if (call->counter) call->counter->elementwise++;
    }
}

static tern_status affine_emit(const tern_call *call, tern_emit *to)
{
    tern_text_format(to->text,
                     "    for (int i = 0; i < %lld; i++) {\n"
                     "        int c = i / %d %% %lld;\n"
                     "        out0[i] = (int32_t)in1[c] * (int32_t)in0[i] + in2[c];\n"
                     "    }\n",
                     (long long)tern_elements(&call->out[0].shape),
                     ((const tern_affine_op *)call->args)->inner,
                     (long long)tern_elements(&call->in[1].shape));
    return TERN_OK;
}

const tern_op tern_op_fixed_affine = {
    .name = "fixed_affine",
    .doc = "a scale and a shift by channel, of codes",
    .args = affine_args,
    .args_size = sizeof(tern_affine_op),
    .infer = affine_infer,
    .work = tern_work_inputs,
    .run = affine_run,
    .emit = affine_emit,
};
