/* Gradients of products of nets of bytes: of their weights and of their inputs (int8_grad.c says of what). */
#include "op/int8.h"

static int64_t count_of(const tern_call *call)
{
    return tern_elements(&call->out[0].shape);
}

#define CONV_ARG(field, kind, doc) TERN_ARG(tern_conv_op, field, kind, doc)
static const tern_arg conv_args[] = {
    CONV_ARG(stride, TERN_ARG_INT, "step between outputs"),
    CONV_ARG(pad, TERN_ARG_INT, "zeros around the image"),
    CONV_ARG(dilation, TERN_ARG_INT, "step between taps"),
    CONV_ARG(groups, TERN_ARG_INT, "groups of channels that do not see each other"),
    CONV_ARG(like, TERN_ARG_DIMS, "shape of the result"),
    {0},
};

/* Linear layers, whose W is [O,K], are convolutions of one pixel. */
tern_conv tern_int8_geometry(const tern_shape *x, const tern_shape *w, const tern_conv_op *a)
{
    if (w->rank == 4) return tern_conv_geometry(x, w, a);
    return (tern_conv){.images = tern_elements(x) / w->dim[1],
                       .in_channels = w->dim[1],
                       .out_channels = w->dim[0],
                       .groups = 1,
                       .height = 1,
                       .width = 1,
                       .out_height = 1,
                       .out_width = 1,
                       .kernel_height = 1,
                       .kernel_width = 1,
                       .stride_y = 1,
                       .stride_x = 1,
                       .dilation_y = 1,
                       .dilation_x = 1};
}

/* Whether `a` may be the gradient of the product of x and w. */
tern_status tern_int8_check_product(const tern_infer *types, const tern_shape *x, const tern_shape *w,
                                    const tern_shape *a)
{
    const tern_conv_op *args = types->args;
    char tx[96], tw[96], ta[96];
    bool linear = w->rank == 2 && x->rank >= 1 && w->dim[1] == x->dim[x->rank - 1];
    bool conv = w->rank == 4 && x->rank >= 4 && args->groups > 0 && args->stride > 0 && args->dilation > 0 &&
                args->pad >= 0 && w->dim[0] % args->groups == 0 &&
                w->dim[1] * args->groups == x->dim[x->rank - 3];
    if (linear || conv) {
        tern_conv c = tern_int8_geometry(x, w, args);
        bool fits = c.out_height > 0 && c.out_width > 0 &&
                    tern_elements(a) == c.images * c.out_channels * c.out_height * c.out_width;
        if (fits) return TERN_OK;
    }
    return tern_infer_fail(types, "no product of x %s and W %s gives %s", tern_shape_text(tx, x),
                           tern_shape_text(tw, w), tern_shape_text(ta, a));
}

int64_t tern_int8_taps(const tern_conv *c)
{
    return c->in_channels / c->groups * c->kernel_height * c->kernel_width;
}

void tern_int8_product_work(const tern_conv *c, tern_work *work)
{
    work->macs += (double)(c->images * c->out_channels * c->out_height * c->out_width * tern_int8_taps(c));
}

void tern_int8_walk(const tern_call *call, const tern_conv *c, const float *a, int64_t first, int64_t last,
                    tern_int8_meet *each)
{
    int64_t in_group = c->in_channels / c->groups, out_group = c->out_channels / c->groups;
    int64_t pixels = c->out_height * c->out_width;
    for (int64_t i = first * c->images * pixels; i < last * c->images * pixels; i++) {
        int64_t o = i / pixels / c->images, n = i / pixels % c->images, p = i % pixels;
        int64_t top = p / c->out_width * c->stride_y - c->pad_y,
                left = p % c->out_width * c->stride_x - c->pad_x;
        tern_int8_meeting m = {.a = a[(n * c->out_channels + o) * pixels + p]};
        if (m.a == 0) continue;
        for (int64_t k = 0; k < in_group; k++)
            for (int64_t ky = 0; ky < c->kernel_height; ky++) {
                int64_t y = top + ky * c->dilation_y, channel = o / out_group * in_group + k;
                if (y < 0 || y >= c->height) continue;
                for (int64_t kx = 0; kx < c->kernel_width; kx++) {
                    int64_t x = left + kx * c->dilation_x;
                    if (x < 0 || x >= c->width) continue;
                    m.at = ((n * c->in_channels + channel) * c->height + y) * c->width + x;
                    m.tap = (k * c->kernel_height + ky) * c->kernel_width + kx;
                    m.row = o;
                    each(call, &m);
                }
            }
    }
}

void tern_int8_write_walk(const tern_conv *c, const char *a, const char *body, tern_text *t)
{
    long long in_group = c->in_channels / c->groups, out_group = c->out_channels / c->groups;
    long long pixels = c->out_height * c->out_width;
    tern_text_format(t,
                     "        for (int n = 0; n < %lld; n++)\n"
                     "        for (int p = 0; p < %lld; p++) {\n"
                     "            const float a = %s[(n * %lld + o) * %lld + p];\n"
                     "            const int top = p / %lld * %lld - %lld, left = p %% %lld * %lld - %lld;\n"
                     "            if (a == 0) continue;\n",
                     (long long)c->images, pixels, a, (long long)c->out_channels, pixels,
                     (long long)c->out_width, (long long)c->stride_y, (long long)c->pad_y,
                     (long long)c->out_width, (long long)c->stride_x, (long long)c->pad_x);
    tern_text_format(t,
                     "            for (int k = 0; k < %lld; k++)\n"
                     "            for (int ky = 0; ky < %lld; ky++) {\n"
                     "                const int y = top + ky * %lld;\n"
                     "                const int row = ((n * %lld + o / %lld * %lld + k) * %lld + y) * %lld;\n"
                     "                const int tap = (k * %lld + ky) * %lld;\n"
                     "                if (y < 0 || y >= %lld) continue;\n",
                     in_group, (long long)c->kernel_height, (long long)c->dilation_y,
                     (long long)c->in_channels, out_group, in_group, (long long)c->height,
                     (long long)c->width, (long long)c->kernel_height, (long long)c->kernel_width,
                     (long long)c->height);
    tern_text_format(t,
                     "                for (int kx = 0; kx < %lld; kx++) {\n"
                     "                    const int x = left + kx * %lld;\n"
                     "                    if (x >= 0 && x < %lld) %s;\n"
                     "                }\n            }\n        }\n",
                     (long long)c->kernel_width, (long long)c->dilation_x, (long long)c->width, body);
}

/* ---- int8_grad_weight: x i8 [..,C,H,W] or [..,K], a f32, constants of the product -> dW f32, of shape `like` ------------ */

static tern_status weight_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){TERN_I8, TERN_F32, TERN_I32}));
    TERN_TRY(tern_infer_like(types, 2, 2, TERN_SHAPE(TERN_PRODUCT_CONSTANTS)));
    const tern_shape *like = &TERN_ARGS(tern_conv_op, types)->like;
    TERN_TRY(tern_int8_check_product(types, &types->in[0]->shape, like, &types->in[1]->shape));
    tern_infer_out(types, TERN_F32, *like);
    return TERN_OK;
}

static tern_conv weight_geometry(const tern_call *call)
{
    return tern_int8_geometry(&call->in[0].shape, &call->out[0].shape, call->args);
}

static void weight_meet(const tern_call *call, const tern_int8_meeting *m)
{
    int32_t x = ((const int8_t *)call->in[0].data)[m->at], zero = *(const int32_t *)call->in[2].data;
    int64_t taps = tern_elements_from(&call->out[0].shape, 1);
    ((float *)call->out[0].data)[m->row * taps + m->tap] += m->a * (float)(x - zero);
}

static void weight_work(const tern_call *call, tern_work *work)
{
    tern_conv c = weight_geometry(call);
    tern_int8_product_work(&c, work);
}

static void weight_run(const tern_call *call)
{
    tern_conv c = weight_geometry(call);
    float *dw = call->out[0].data;
    for (int64_t i = 0; i < count_of(call); i++) dw[i] = 0;
    tern_int8_walk(call, &c, call->in[1].data, 0, c.out_channels, weight_meet);
    if (call->counter) tern_int8_product_work(&c, call->counter);
}

static tern_status weight_emit(const tern_call *call, tern_emit *to)
{
    tern_conv c = weight_geometry(call);
    tern_text_format(to->text,
                     "    const int32_t zero = in2[%d];\n"
                     "    for (int e = 0; e < %lld; e++) out0[e] = 0;\n",
                     TERN_X_ZERO, (long long)count_of(call));
    tern_text_format(to->text, "    for (int o = 0; o < %lld; o++) {\n        float *dw = out0 + o * %lld;\n",
                     (long long)c.out_channels, (long long)tern_int8_taps(&c));
    tern_int8_write_walk(&c, "in1", "dw[tap + kx] += a * (float)(in0[row + x] - zero)", to->text);
    tern_text_put(to->text, "    }\n");
    return TERN_OK;
}

const tern_op tern_op_int8_grad_weight = {
    .name = "int8_grad_weight",
    .doc = "gradient of the weights of a product of bytes",
    .args = conv_args,
    .args_size = sizeof(tern_conv_op),
    .infer = weight_infer,
    .work = weight_work,
    .run = weight_run,
    .emit = weight_emit,
};

/* ---- int8_grad_input: W i8 [O,..], a f32 -> dx f32, of shape `like` ------------------------------------------------------ */

static tern_status input_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){TERN_I8, TERN_F32}));
    const tern_shape *like = &TERN_ARGS(tern_conv_op, types)->like;
    TERN_TRY(tern_int8_check_product(types, like, &types->in[0]->shape, &types->in[1]->shape));
    tern_infer_out(types, TERN_F32, *like);
    return TERN_OK;
}

static tern_conv input_geometry(const tern_call *call)
{
    return tern_int8_geometry(&call->out[0].shape, &call->in[0].shape, call->args);
}

static void input_meet(const tern_call *call, const tern_int8_meeting *m)
{
    int64_t taps = tern_elements_from(&call->in[0].shape, 1);
    const int8_t *w = call->in[0].data;
    ((float *)call->out[0].data)[m->at] += m->a * (float)w[m->row * taps + m->tap];
}

static void input_work(const tern_call *call, tern_work *work)
{
    tern_conv c = input_geometry(call);
    tern_int8_product_work(&c, work);
}

static void input_run(const tern_call *call)
{
    tern_conv c = input_geometry(call);
    float *dx = call->out[0].data;
    for (int64_t i = 0; i < count_of(call); i++) dx[i] = 0;
    tern_int8_walk(call, &c, call->in[1].data, 0, c.out_channels, input_meet);
    if (call->counter) tern_int8_product_work(&c, call->counter);
}

static tern_status input_emit(const tern_call *call, tern_emit *to)
{
    tern_conv c = input_geometry(call);
    tern_text_format(to->text, "    for (int e = 0; e < %lld; e++) out0[e] = 0;\n",
                     (long long)count_of(call));
    tern_text_format(to->text,
                     "    for (int o = 0; o < %lld; o++) {\n        const int8_t *w = in0 + o * %lld;\n",
                     (long long)c.out_channels, (long long)tern_int8_taps(&c));
    tern_int8_write_walk(&c, "in1", "out0[row + x] += a * (float)w[tap + kx]", to->text);
    tern_text_put(to->text, "    }\n");
    return TERN_OK;
}

const tern_op tern_op_int8_grad_input = {
    .name = "int8_grad_input",
    .doc = "gradient of the input of a product of bytes",
    .args = conv_args,
    .args_size = sizeof(tern_conv_op),
    .infer = input_infer,
    .work = input_work,
    .run = input_run,
    .emit = input_emit,
};
