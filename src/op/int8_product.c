/* Products of nets of bytes: linear layers and convolutions, whose sums of 32 bits become bytes again.
 *
 * y = clamp(requantise(bias[o] + sum of W x, multiplier[o], shift[o]) + zero of y, low, high); see int8.h of kernel for the
 * rounding.  Around an image x is its zero.  The forms _mask, for training, say too where nothing was clamped: a bit an
 * element. */
#include "op/int8.h"

#include <stdio.h>

#define MOST_SUMMED 65535 /* 2^30 / 2^14: so that the bias has as much room as the products */

static const tern_dtype operand_types[] = {TERN_I8, TERN_I8, TERN_I32, TERN_I32, TERN_I8, TERN_I32};

tern_status tern_int8_operands(const tern_infer *types, int64_t outputs, int64_t biases, int64_t summed)
{
    for (int i = 0; i < TERN_PRODUCT_OPERANDS; i++)
        if (types->in[i]->dtype != operand_types[i])
            return tern_infer_fail(types, "operand %d is %s, expected %s", i,
                                   tern_dtype_of(types->in[i]->dtype)->name,
                                   tern_dtype_of(operand_types[i])->name);
    int64_t scales = tern_elements(&types->in[TERN_IN_MULTIPLIER]->shape);
    if (scales != outputs && scales != 1)
        return tern_infer_fail(types, "there are %lld multipliers for %lld outputs, expected as many or one",
                               (long long)scales, (long long)outputs);
    TERN_TRY(tern_infer_like(types, TERN_IN_BIAS, TERN_IN_BIAS, TERN_SHAPE(biases)));
    TERN_TRY(tern_infer_like(types, TERN_IN_SHIFT, TERN_IN_SHIFT, TERN_SHAPE(scales)));
    TERN_TRY(
        tern_infer_like(types, TERN_IN_CONSTANTS, TERN_IN_CONSTANTS, TERN_SHAPE(TERN_PRODUCT_CONSTANTS)));
    if (summed <= MOST_SUMMED) return TERN_OK;
    return tern_infer_fail(types,
                           "an output sums %lld products, which may not fit 32 bits: expected at most %d",
                           (long long)summed, MOST_SUMMED);
}

tern_int8_scale tern_int8_scale_of(const tern_call *call)
{
    const int32_t *constants = call->in[TERN_IN_CONSTANTS].data;
    return (tern_int8_scale){.bias = call->in[TERN_IN_BIAS].data,
                             .multiplier = call->in[TERN_IN_MULTIPLIER].data,
                             .shift = call->in[TERN_IN_SHIFT].data,
                             .each = tern_elements(&call->in[TERN_IN_MULTIPLIER].shape) > 1,
                             .in_zero = constants[TERN_X_ZERO],
                             .zero = constants[TERN_Y_ZERO],
                             .low = constants[TERN_Y_LOW],
                             .high = constants[TERN_Y_HIGH]};
}

static bool has_mask(const tern_call *call)
{
    return call->nout > 1 && call->out[1].data;
}

/* The definition of element i, one of output o. */
static void put_output(const tern_call *call, const tern_int8_scale *s, int64_t i, int64_t o, uint32_t sum)
{
    int32_t y = tern_requantise((int32_t)(sum + (uint32_t)s->bias[o]), s->multiplier[o * s->each],
                                s->shift[o * s->each]) +
                s->zero;
    ((int8_t *)call->out[0].data)[i] = tern_clamp_byte(y, s->low, s->high);
    if (has_mask(call)) tern_set(&call->out[1], i, y >= s->low && y <= s->high);
}

/* The constants of outputs as variables: what is stored through out0 could change in5. */
static void write_constants(const tern_call *call, tern_emit *to)
{
    tern_text_format(to->text, "    const int32_t zero = in5[%d], low = in5[%d], high = in5[%d];\n",
                     TERN_Y_ZERO, TERN_Y_LOW, TERN_Y_HIGH);
    if (has_mask(call)) tern_write_clear(to, call, 1);
}

/* "out0[<i>] = clamp_byte(requantise(<sum>, ..) + zero, low, high);" of output `o`. */
static void write_output(const tern_call *call, tern_emit *to, const char *indent, const char *i,
                         const char *sum, const char *o)
{
    const char *at = tern_elements(&call->in[TERN_IN_MULTIPLIER].shape) > 1 ? o : "0";
    if (!has_mask(call)) {
        tern_text_format(to->text,
                         "%sout0[%s] = clamp_byte(requantise(%s, in3[%s], in4[%s]) + zero, low, high);\n",
                         indent, i, sum, at, at);
        return;
    }
    tern_text_format(to->text,
                     "%s{\n%s    int32_t y = requantise(%s, in3[%s], in4[%s]) + zero;\n"
                     "%s    out0[%s] = clamp_byte(y, low, high);\n"
                     "%s    if (y >= low && y <= high) set_bit(out1, %s);\n%s}\n",
                     indent, indent, sum, at, at, indent, i, indent, i, indent);
}

/* The same with where nothing was clamped as a second result. */
static tern_status mask_infer(tern_infer *types, tern_status (*plain)(tern_infer *))
{
    TERN_TRY(plain(types));
    tern_infer_out(types, TERN_BIT, types->out[0].shape);
    return TERN_OK;
}

/* ---- linear_int8: x [..,K], W [O,K] -> [..,O] -------------------------------------------------------------------- */

static tern_status linear_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, TERN_PRODUCT_OPERANDS, TERN_PRODUCT_OPERANDS));
    const tern_shape *x = &types->in[0]->shape, *w = &types->in[1]->shape;
    char tx[96], tw[96];
    if (x->rank < 1 || w->rank != 2 || x->dim[x->rank - 1] != w->dim[1])
        return tern_infer_fail(types, "x %s and W %s do not match: expected x [..,K] and W [O,K]",
                               tern_shape_text(tx, x), tern_shape_text(tw, w));
    TERN_TRY(tern_int8_operands(types, w->dim[0], w->dim[0], w->dim[1]));
    tern_shape y = *x;
    y.dim[y.rank - 1] = w->dim[0];
    tern_infer_out(types, TERN_I8, y);
    return TERN_OK;
}

static int64_t rows_of(const tern_call *call)
{
    return tern_elements_upto(&call->in[0].shape, call->in[0].shape.rank - 1);
}

static void linear_run(const tern_call *call)
{
    int64_t outputs = call->in[1].shape.dim[0], inputs = call->in[1].shape.dim[1];
    tern_int8_scale scale = tern_int8_scale_of(call);
    const int8_t *x = call->in[0].data, *w = call->in[1].data;
    for (int64_t i = 0; i < rows_of(call) * outputs; i++) {
        int64_t row = i / outputs, o = i % outputs;
        uint32_t sum = 0;
        for (int64_t k = 0; k < inputs; k++) sum += (uint32_t)(x[row * inputs + k] * w[o * inputs + k]);
        put_output(call, &scale, i, o, sum);
        if (!call->counter) continue;
        call->counter->macs += (double)inputs;
        call->counter->elementwise++;
    }
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
    return (tern_product_shape){.count = 1, .m = rows_of(call), .n = w->dim[0], .k = w->dim[1]};
}

static tern_status linear_emit(const tern_call *call, tern_emit *to)
{
    long long outputs = call->in[1].shape.dim[0], inputs = call->in[1].shape.dim[1];
    write_constants(call, to);
    tern_text_format(to->text,
                     "    for (int row = 0; row < %lld; row++)\n"
                     "    for (int o = 0; o < %lld; o++) {\n"
                     "        int32_t sum = dot_bytes(%lld, in0 + row * %lld, in1 + o * %lld, in2[o]);\n",
                     (long long)rows_of(call), outputs, inputs, inputs, inputs);
    char at[64];
    snprintf(at, sizeof at, "row * %lld + o", outputs);
    write_output(call, to, "        ", at, "sum", "o");
    tern_text_put(to->text, "    }\n");
    return TERN_OK;
}

static bool matches(const tern_call *call)
{
    return call->in[0].dtype == TERN_I8;
}

static size_t linear_scratch(const tern_call *call)
{
    return tern_int8_linear_scratch(rows_of(call), call->in[1].shape.dim[0], call->in[1].shape.dim[1]);
}

static void linear_fast(const tern_call *call)
{
    tern_int8_scale scale = tern_int8_scale_of(call);
    tern_int8_linear(call->pool, rows_of(call), call->in[1].shape.dim[0], call->in[1].shape.dim[1],
                     call->in[0].data, call->in[1].data, &scale, call->out[0].data, call->scratch);
}

static const tern_fast linear_kernels[] = {{"words", matches, linear_scratch, linear_fast}, {0}};

const tern_op tern_op_linear_int8 = {
    .name = "linear_int8",
    .doc = "x W^T + b of bytes, as bytes",
    .flags = TERN_OP_ROWWISE,
    .infer = linear_infer,
    .work = linear_work,
    .product = linear_shape,
    .run = linear_run,
    .emit = linear_emit,
    .fast = linear_kernels,
};

static tern_status linear_mask_infer(tern_infer *types)
{
    return mask_infer(types, linear_infer);
}

const tern_op tern_op_linear_int8_mask = {
    .name = "linear_int8_mask",
    .doc = "linear_int8, and where nothing was clamped",
    .infer = linear_mask_infer,
    .work = linear_work,
    .product = linear_shape,
    .run = linear_run,
    .emit = linear_emit,
};

/* ---- conv2d_int8: x [..,C,H,W], W [O,C/groups,KH,KW] -> [..,O,OH,OW] --------------------------------------------- */

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

static tern_conv geometry(const tern_call *call)
{
    return tern_conv_geometry(&call->in[0].shape, &call->in[1].shape, call->args);
}

static tern_status conv_infer(tern_infer *types)
{
    tern_shape y;
    TERN_TRY(tern_infer_inputs(types, TERN_PRODUCT_OPERANDS, TERN_PRODUCT_OPERANDS));
    TERN_TRY(tern_conv_shape(types, &y));
    const tern_shape *w = &types->in[1]->shape;
    TERN_TRY(tern_int8_operands(types, w->dim[0], w->dim[0], tern_elements_from(w, 1)));
    tern_infer_out(types, TERN_I8, y);
    return TERN_OK;
}

/* The sum of output o at pixel (oy, ox) of image n. */
static uint32_t conv_sum(const tern_conv *c, const int8_t *x, const int8_t *w, int32_t zero, int64_t n,
                         int64_t o, int64_t oy, int64_t ox)
{
    int64_t in_group = c->in_channels / c->groups, first = o / (c->out_channels / c->groups) * in_group;
    uint32_t sum = 0;
    for (int64_t k = 0; k < in_group; k++)
        for (int64_t ky = 0; ky < c->kernel_height; ky++)
            for (int64_t kx = 0; kx < c->kernel_width; kx++) {
                int64_t row = oy * c->stride_y + ky * c->dilation_y - c->pad_y;
                int64_t column = ox * c->stride_x + kx * c->dilation_x - c->pad_x;
                bool inside = row >= 0 && row < c->height && column >= 0 && column < c->width;
                int64_t at = ((n * c->in_channels + first + k) * c->height + row) * c->width + column;
                int64_t tap = ((o * in_group + k) * c->kernel_height + ky) * c->kernel_width + kx;
                sum += (uint32_t)((inside ? x[at] : zero) * w[tap]);
            }
    return sum;
}

static void conv_run(const tern_call *call)
{
    tern_conv c = geometry(call);
    tern_int8_scale scale = tern_int8_scale_of(call);
    int64_t i = 0;
    for (int64_t n = 0; n < c.images; n++)
        for (int64_t o = 0; o < c.out_channels; o++)
            for (int64_t oy = 0; oy < c.out_height; oy++)
                for (int64_t ox = 0; ox < c.out_width; ox++, i++)
                    put_output(call, &scale, i, o,
                               conv_sum(&c, call->in[0].data, call->in[1].data, scale.in_zero, n, o, oy, ox));
    if (!call->counter) return;
    call->counter->macs += (double)i * (double)tern_int8_taps(&c);
    call->counter->elementwise += (double)i;
}

static void conv_work(const tern_call *call, tern_work *work)
{
    tern_conv c = geometry(call);
    double outputs = (double)tern_elements(&call->out[0].shape);
    work->macs += outputs * (double)tern_int8_taps(&c);
    work->elementwise += outputs;
}

static tern_product_shape conv_shape(const tern_call *call)
{
    tern_conv c = geometry(call);
    return (tern_product_shape){.count = c.groups,
                                .m = c.images * c.out_height * c.out_width,
                                .n = c.out_channels / c.groups,
                                .k = tern_int8_taps(&c),
                                .images = c.images,
                                .kernel_height = c.kernel_height,
                                .kernel_width = c.kernel_width,
                                .out_height = c.out_height,
                                .out_width = c.out_width,
                                .stride = c.stride_y > c.stride_x ? c.stride_y : c.stride_x};
}

static bool is_depthwise(const tern_conv *c)
{
    return c->groups == c->in_channels && c->out_channels == c->groups;
}

/* What C needs: the patches that two pixels see, for all channels of a group, in 16 bits, and one of bytes. */
static size_t patch_bytes(const tern_call *call)
{
    tern_conv c = geometry(call);
    size_t room = (size_t)(tern_int8_taps(&c) + 3) / 4 * 4;
    return is_depthwise(&c) ? 0 : 2 * room * sizeof(int16_t) + room;
}

/* Loops over the taps of the pixel whose window begins at (top, left) of plane `plane`: `inside` is done with the byte x,
 * `outside` with its zero, both with kx counted up. */
static void write_window(const tern_conv *c, tern_text *t, const char *indent, const char *plane,
                         const char *inside, const char *outside)
{
    tern_text_format(t,
                     "%sfor (int ky = 0, y = top; ky < %lld; ky++, y += %lld) {\n"
                     "%s    int row = (%s * %lld + y) * %lld + left;\n",
                     indent, (long long)c->kernel_height, (long long)c->dilation_y, indent, plane,
                     (long long)c->height, (long long)c->width);
    tern_text_format(t,
                     "%s    if (y >= 0 && y < %lld && left >= 0 && left < %lld)\n"
                     "%s        for (int kx = 0; kx < %lld; kx++) %s;\n"
                     "%s    else\n"
                     "%s        for (int kx = 0, x = left; kx < %lld; kx++, x += %lld) {\n"
                     "%s            if (y >= 0 && y < %lld && x >= 0 && x < %lld) %s;\n"
                     "%s            else %s;\n"
                     "%s        }\n"
                     "%s}\n",
                     indent, (long long)c->height,
                     (long long)(c->width - (c->kernel_width - 1) * c->dilation_x), indent,
                     (long long)c->kernel_width, inside, indent, indent, (long long)c->kernel_width,
                     (long long)c->dilation_x, indent, (long long)c->height, (long long)c->width, inside,
                     indent, outside, indent, indent);
}

/* A plane of its own for each output. */
static void emit_depthwise(const tern_call *call, const tern_conv *c, tern_emit *to)
{
    char inside[96], plane[64], pixels[24];
    tern_text *t = to->text;
    snprintf(pixels, sizeof pixels, "%lld", (long long)(c->out_height * c->out_width));
    snprintf(inside, sizeof inside, "sum += in0[row + kx * %lld] * *w++", (long long)c->dilation_x);
    snprintf(plane, sizeof plane, "(n * %lld + o)", (long long)c->in_channels);
    write_constants(call, to);
    tern_text_format(t,
                     "    int out = 0;\n"
                     "    for (int n = 0; n < %lld; n++)\n"
                     "    for (int o = 0; o < %lld; o++)\n"
                     "    for (int p = 0; p < %s; p++) {\n"
                     "        int top = p / %lld * %lld - %lld, left = p %% %lld * %lld - %lld;\n"
                     "        const int8_t *w = in1 + o * %lld;\n"
                     "        int32_t sum = in2[o];\n",
                     (long long)c->images, (long long)c->out_channels, pixels, (long long)c->out_width,
                     (long long)c->stride_y, (long long)c->pad_y, (long long)c->out_width,
                     (long long)c->stride_x, (long long)c->pad_x, (long long)tern_int8_taps(c));
    write_window(c, t, "        ", plane, inside, "sum += in5[0] * *w++");
    write_output(call, to, "        ", "out", "sum", "o");
    tern_text_put(t, "        out++;\n    }\n");
}

/* The patches of pixels p and q of group g. */
static void write_patches(const tern_conv *c, tern_text *t, long long room)
{
    long long in_group = c->in_channels / c->groups;
    char inside[96], outside[64], plane[96];
    snprintf(inside, sizeof inside, "*at++ = in0[row + kx * %lld]", (long long)c->dilation_x);
    snprintf(outside, sizeof outside, "*at++ = (int8_t)in5[%d]", TERN_X_ZERO);
    snprintf(plane, sizeof plane, "(n * %lld + g * %lld + k)", (long long)c->in_channels, in_group);
    tern_text_format(t,
                     "        for (int i = 0; i < 2; i++) {\n"
                     "            int8_t *at = bytes;\n"
                     "            int pixel = i ? q : p;\n"
                     "            int top = pixel / %lld * %lld - %lld, left = pixel %% %lld * %lld - %lld;\n"
                     "            for (int k = 0; k < %lld; k++)\n",
                     (long long)c->out_width, (long long)c->stride_y, (long long)c->pad_y,
                     (long long)c->out_width, (long long)c->stride_x, (long long)c->pad_x, in_group);
    write_window(c, t, "                ", plane, inside, outside);
    tern_text_format(t,
                     "            widen_patch(%lld, bytes, patches + i * %lld);\n"
                     "        }\n",
                     (long long)tern_int8_taps(c), room);
}

/* Two pixels and two outputs at once, so that patches and weights are read half as often. */
static tern_status conv_emit(const tern_call *call, tern_emit *to)
{
    tern_conv c = geometry(call);
    long long out_group = c.out_channels / c.groups, taps = tern_int8_taps(&c),
              pixels = c.out_height * c.out_width, room = (taps + 3) / 4 * 4;
    tern_text *t = to->text;
    if (is_depthwise(&c)) {
        emit_depthwise(call, &c, to);
        return TERN_OK;
    }
    write_constants(call, to);
    tern_text_format(t,
                     "    int16_t *patches = scratch; /* what the windows of two pixels see */\n"
                     "    int8_t *bytes = (int8_t *)(patches + %lld);\n"
                     "    for (int n = 0; n < %lld; n++)\n"
                     "    for (int g = 0; g < %lld; g++)\n"
                     "    for (int p = 0; p < %lld; p += 2) {\n"
                     "        int q = p + 1 < %lld ? p + 1 : p;\n",
                     2 * room, (long long)c.images, (long long)c.groups, pixels, pixels);
    write_patches(&c, t, room);
    tern_text_format(t,
                     "        for (int o = g * %lld; o < (g + 1) * %lld; o += 2) {\n"
                     "            int r = o + 1 < (g + 1) * %lld ? o + 1 : o;\n"
                     "            int first = (n * %lld + o) * %lld, second = (n * %lld + r) * %lld;\n"
                     "            int32_t sums[] = {in2[o], in2[o], in2[r], in2[r]};\n"
                     "            dot_patches(%lld, patches, patches + %lld, in1 + o * %lld, in1 + r * %lld, "
                     "sums);\n",
                     out_group, out_group, out_group, (long long)c.out_channels, pixels,
                     (long long)c.out_channels, pixels, taps, room, taps, taps);
    for (int i = 0; i < 4; i++) {
        static const char *const outs[] = {"first + p", "first + q", "second + p", "second + q"},
                                 *const sums[] = {"sums[0]", "sums[1]", "sums[2]", "sums[3]"};
        write_output(call, to, "            ", outs[i], sums[i], i < 2 ? "o" : "r");
    }
    tern_text_put(t, "        }\n    }\n");
    return TERN_OK;
}

static size_t conv_scratch(const tern_call *call)
{
    tern_conv c = geometry(call);
    return tern_int8_conv_scratch(&c);
}

static void conv_fast(const tern_call *call)
{
    tern_conv c = geometry(call);
    tern_int8_scale scale = tern_int8_scale_of(call);
    tern_int8_conv(call->pool, &c, call->in[0].data, call->in[1].data, &scale, call->out[0].data,
                   call->scratch);
}

static const tern_fast conv_kernels[] = {{"patches", matches, conv_scratch, conv_fast}, {0}};

const tern_op tern_op_conv2d_int8 = {
    .name = "conv2d_int8",
    .doc = "convolution of bytes over images, as bytes",
    .args = conv_args,
    .args_size = sizeof(tern_conv_op),
    .flags = TERN_OP_ROWWISE,
    .infer = conv_infer,
    .work = conv_work,
    .product = conv_shape,
    .run = conv_run,
    .scratch = patch_bytes,
    .emit = conv_emit,
    .fast = conv_kernels,
};

static tern_status conv_mask_infer(tern_infer *types)
{
    return mask_infer(types, conv_infer);
}

const tern_op tern_op_conv2d_int8_mask = {
    .name = "conv2d_int8_mask",
    .doc = "conv2d_int8, and where nothing was clamped",
    .args = conv_args,
    .args_size = sizeof(tern_conv_op),
    .infer = conv_mask_infer,
    .work = conv_work,
    .product = conv_shape,
    .run = conv_run,
    .scratch = patch_bytes,
    .emit = conv_emit,
};
