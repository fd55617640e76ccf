/* Products of nets with activations of 16 bits and weights of bytes: linear layers and convolutions.
 *
 * y = clamp(requantise(bias[o] + sum of W x, multiplier[o], shift[o]), low, high) in 32 bits, which wrap around.  With a seventh
 * operand, the upper halves of the biases, sums have 64 bits and of a multiplier the upper 16 count.  Around an image x is 0. */
#include "op/int16.h"

#include <stdio.h>

static const tern_dtype operand_types[] = {TERN_I16, TERN_I8,  TERN_I32, TERN_I32,
                                           TERN_I8,  TERN_I32, TERN_I32};

tern_status tern_int16_operands(const tern_infer *types, int64_t outputs, int64_t summed)
{
    TERN_TRY(tern_int8_check_types(types, operand_types));
    int64_t scales = tern_elements(&types->in[TERN_IN_MULTIPLIER]->shape);
    if (scales != outputs && scales != 1)
        return tern_infer_fail(types, "there are %lld multipliers for %lld outputs, expected as many or one",
                               (long long)scales, (long long)outputs);
    TERN_TRY(tern_infer_like(types, TERN_IN_BIAS, TERN_IN_BIAS, TERN_SHAPE(outputs)));
    TERN_TRY(tern_infer_like(types, TERN_IN_SHIFT, TERN_IN_SHIFT, TERN_SHAPE(scales)));
    TERN_TRY(tern_infer_like(types, TERN_IN_LIMITS, TERN_IN_LIMITS, TERN_SHAPE(2)));
    if (types->nin <= TERN_IN_UPPER) return TERN_OK;
    if (summed > TERN_INT16_MOST_WIDE)
        return tern_infer_fail(types,
                               "an output sums %lld products, expected at most %d, so that sums fit 47 bits",
                               (long long)summed, TERN_INT16_MOST_WIDE);
    return tern_infer_like(types, TERN_IN_UPPER, TERN_IN_UPPER, TERN_SHAPE(outputs));
}

void tern_int16_output(const tern_call *call, int64_t i, int64_t o, int64_t sum)
{
    const int32_t *bias = call->in[TERN_IN_BIAS].data, *multiplier = call->in[TERN_IN_MULTIPLIER].data,
                  *limits = call->in[TERN_IN_LIMITS].data;
    const int8_t *shift = call->in[TERN_IN_SHIFT].data;
    int64_t k = tern_elements(&call->in[TERN_IN_MULTIPLIER].shape) > 1 ? o : 0;
    int32_t y;
    if (tern_int16_is_wide(call)) {
        const int32_t *upper = call->in[TERN_IN_UPPER].data;
        uint64_t whole = (uint64_t)(uint32_t)upper[o] << 32 | (uint32_t)bias[o];
        y = tern_requantise_wide((int64_t)((uint64_t)sum + whole), multiplier[k], shift[k]);
    } else {
        y = tern_requantise((int32_t)((uint32_t)sum + (uint32_t)bias[o]), multiplier[k], shift[k]);
    }
    ((int16_t *)call->out[0].data)[i] = tern_clamp_short(y, limits[0], limits[1]);
}

/* "out0[<i>] = .." of the variable `sum` of output `o`. */
static void write_output(const tern_call *call, tern_emit *to, const char *i)
{
    const char *at = tern_elements(&call->in[TERN_IN_MULTIPLIER].shape) > 1 ? "o" : "0";
    tern_text_format(to->text, "        out0[%s] = clamp_short(%s(sum, in3[%s], in4[%s]), in5[0], in5[1]);\n",
                     i, tern_int16_is_wide(call) ? "wide_scaled" : "requantise", at, at);
}

/* "<type> sum = .." bias of output `o`. */
static void write_begin(const tern_call *call, tern_emit *to)
{
    tern_text_format(to->text, "        %s;\n",
                     tern_int16_is_wide(call) ? "int64_t sum = wide_of(in6[o], in2[o])"
                                              : "int32_t sum = in2[o]");
}

/* How a product joins `sum`: sums of 32 bits wrap around. */
static void write_added(const tern_call *call, tern_emit *to, const char *x, const char *w)
{
    tern_text_format(to->text,
                     tern_int16_is_wide(call) ? "sum += %s * %s;\n"
                                              : "sum = (int32_t)((uint32_t)sum + (uint32_t)(%s * %s));\n",
                     x, w);
}

/* ---- linear_int16x8: x i16 [..,K], W [O,K] -> i16 [..,O] ------------------------------------------------------------- */

static tern_status linear_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, TERN_PRODUCT_OPERANDS, TERN_INT16_OPERANDS));
    const tern_shape *x = &types->in[0]->shape, *w = &types->in[1]->shape;
    char tx[96], tw[96];
    if (x->rank < 1 || w->rank != 2 || x->dim[x->rank - 1] != w->dim[1])
        return tern_infer_fail(types, "x %s and W %s do not match: expected x [..,K] and W [O,K]",
                               tern_shape_text(tx, x), tern_shape_text(tw, w));
    TERN_TRY(tern_int16_operands(types, w->dim[0], w->dim[1]));
    tern_shape y = *x;
    y.dim[y.rank - 1] = w->dim[0];
    tern_infer_out(types, TERN_I16, y);
    return TERN_OK;
}

static void linear_work(const tern_call *call, tern_work *work)
{
    double outputs = (double)tern_elements(&call->out[0].shape);
    work->macs += outputs * (double)call->in[1].shape.dim[1];
    work->elementwise += outputs;
}

static tern_product_shape linear_shape(const tern_call *call)
{
    const tern_shape *w = &call->in[1].shape;
    return (tern_product_shape){.halves = true,
                                .count = 1,
                                .m = tern_elements(&call->out[0].shape) / w->dim[0],
                                .n = w->dim[0],
                                .k = w->dim[1]};
}

static void linear_run(const tern_call *call)
{
    int64_t outputs = call->in[1].shape.dim[0], inputs = call->in[1].shape.dim[1];
    const int16_t *x = call->in[0].data;
    const int8_t *w = call->in[1].data;
    for (int64_t i = 0; i < tern_elements(&call->out[0].shape); i++) {
        int64_t row = i / outputs, o = i % outputs, sum = 0;
        for (int64_t k = 0; k < inputs; k++) sum += (int64_t)x[row * inputs + k] * w[o * inputs + k];
        tern_int16_output(call, i, o, sum);
    }
    if (call->counter) linear_work(call, call->counter);
}

static tern_status linear_emit(const tern_call *call, tern_emit *to)
{
    long long outputs = call->in[1].shape.dim[0], inputs = call->in[1].shape.dim[1];
    char x[64], w[64], at[64];
    snprintf(x, sizeof x, "in0[row * %lld + k]", inputs);
    snprintf(w, sizeof w, "in1[o * %lld + k]", inputs);
    snprintf(at, sizeof at, "row * %lld + o", outputs);
    tern_text_format(to->text,
                     "    for (int row = 0; row < %lld; row++)\n    for (int o = 0; o < %lld; o++) {\n",
                     (long long)tern_elements(&call->out[0].shape) / outputs, outputs);
    write_begin(call, to);
    tern_text_format(to->text, "        for (int k = 0; k < %lld; k++) ", inputs);
    write_added(call, to, x, w);
    write_output(call, to, at);
    tern_text_put(to->text, "    }\n");
    return TERN_OK;
}

const tern_op tern_op_linear_int16x8 = {
    .name = "linear_int16x8",
    .doc = "x W^T + b of 16 bits and weights of bytes, as 16 bits",
    .flags = TERN_OP_ROWWISE,
    .infer = linear_infer,
    .work = linear_work,
    .product = linear_shape,
    .run = linear_run,
    .emit = linear_emit,
};

/* ---- conv2d_int16x8: x i16 [..,C,H,W], W [O,C/groups,KH,KW] -> i16 [..,O,OH,OW] ------------------------------------- */

static tern_conv geometry(const tern_call *call)
{
    return tern_conv_geometry(&call->in[0].shape, &call->in[1].shape, call->args);
}

static tern_status conv_infer(tern_infer *types)
{
    tern_shape y;
    TERN_TRY(tern_infer_inputs(types, TERN_PRODUCT_OPERANDS, TERN_INT16_OPERANDS));
    TERN_TRY(tern_conv_shape(types, &y));
    const tern_shape *w = &types->in[1]->shape;
    TERN_TRY(tern_int16_operands(types, w->dim[0], tern_elements_from(w, 1)));
    tern_infer_out(types, TERN_I16, y);
    return TERN_OK;
}

static void conv_work(const tern_call *call, tern_work *work)
{
    tern_op_conv2d_int8.work(call, work);
}

static tern_product_shape conv_shape(const tern_call *call)
{
    tern_product_shape shape = tern_op_conv2d_int8.product(call);
    shape.halves = true;
    return shape;
}

/* The sum of output o at pixel (oy, ox) of image n, of what is inside the image. */
static int64_t conv_sum(const tern_call *call, const tern_conv *c, int64_t n, int64_t o, int64_t oy,
                        int64_t ox)
{
    int64_t in_group = c->in_channels / c->groups, first = o / (c->out_channels / c->groups) * in_group;
    const int16_t *x = call->in[0].data;
    const int8_t *w = call->in[1].data;
    int64_t sum = 0;
    for (int64_t k = 0; k < in_group; k++)
        for (int64_t ky = 0; ky < c->kernel_height; ky++)
            for (int64_t kx = 0; kx < c->kernel_width; kx++) {
                int64_t row = oy * c->stride_y + ky * c->dilation_y - c->pad_y;
                int64_t column = ox * c->stride_x + kx * c->dilation_x - c->pad_x;
                int64_t tap = ((o * in_group + k) * c->kernel_height + ky) * c->kernel_width + kx;
                if (row < 0 || row >= c->height || column < 0 || column >= c->width) continue;
                sum += (int64_t)x[((n * c->in_channels + first + k) * c->height + row) * c->width + column] *
                       w[tap];
            }
    return sum;
}

static void conv_run(const tern_call *call)
{
    tern_conv c = geometry(call);
    int64_t i = 0;
    for (int64_t n = 0; n < c.images; n++)
        for (int64_t o = 0; o < c.out_channels; o++)
            for (int64_t oy = 0; oy < c.out_height; oy++)
                for (int64_t ox = 0; ox < c.out_width; ox++, i++)
                    tern_int16_output(call, i, o, conv_sum(call, &c, n, o, oy, ox));
    if (call->counter) conv_work(call, call->counter);
}

static tern_status conv_emit(const tern_call *call, tern_emit *to)
{
    tern_conv c = geometry(call);
    long long in_group = c.in_channels / c.groups, out_group = c.out_channels / c.groups;
    char x[128];
    snprintf(x, sizeof x, "in0[((n * %lld + o / %lld * %lld + k) * %lld + y) * %lld + x]",
             (long long)c.in_channels, out_group, in_group, (long long)c.height, (long long)c.width);
    tern_text_format(to->text,
                     "    int out = 0;\n"
                     "    for (int n = 0; n < %lld; n++)\n"
                     "    for (int o = 0; o < %lld; o++)\n"
                     "    for (int oy = 0; oy < %lld; oy++)\n"
                     "    for (int ox = 0; ox < %lld; ox++) {\n"
                     "        const int8_t *w = in1 + o * %lld;\n",
                     (long long)c.images, (long long)c.out_channels, (long long)c.out_height,
                     (long long)c.out_width, (long long)tern_int8_taps(&c));
    write_begin(call, to);
    tern_text_format(to->text,
                     "        for (int k = 0; k < %lld; k++)\n"
                     "        for (int ky = 0; ky < %lld; ky++)\n"
                     "        for (int kx = 0; kx < %lld; kx++, w++) {\n"
                     "            int y = oy * %lld + ky * %lld - %lld, x = ox * %lld + kx * %lld - %lld;\n"
                     "            if (y >= 0 && y < %lld && x >= 0 && x < %lld) ",
                     in_group, (long long)c.kernel_height, (long long)c.kernel_width, (long long)c.stride_y,
                     (long long)c.dilation_y, (long long)c.pad_y, (long long)c.stride_x,
                     (long long)c.dilation_x, (long long)c.pad_x, (long long)c.height, (long long)c.width);
    write_added(call, to, x, "*w");
    tern_text_put(to->text, "        }\n");
    write_output(call, to, "out++");
    tern_text_put(to->text, "    }\n");
    return TERN_OK;
}

#define CONV_ARG(field, doc) TERN_ARG(tern_conv_op, field, TERN_ARG_INT, doc)
static const tern_arg conv_args[] = {
    CONV_ARG(stride, "step between outputs"),
    CONV_ARG(pad, "zeros around the image"),
    CONV_ARG(dilation, "step between taps"),
    CONV_ARG(groups, "groups of channels that do not see each other"),
    CONV_ARG(top, "more zeros above the image"),
    CONV_ARG(left, "more zeros left of it"),
    CONV_ARG(bottom, "more zeros below it"),
    CONV_ARG(right, "more zeros right of it"),
    {0},
};

const tern_op tern_op_conv2d_int16x8 = {
    .name = "conv2d_int16x8",
    .doc = "convolution of 16 bits with weights of bytes over images, as 16 bits",
    .args = conv_args,
    .args_size = sizeof(tern_conv_op),
    .flags = TERN_OP_ROWWISE,
    .infer = conv_infer,
    .work = conv_work,
    .product = conv_shape,
    .run = conv_run,
    .emit = conv_emit,
};
