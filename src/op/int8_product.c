/* Products of nets of bytes: linear layers and convolutions, whose sums of 32 bits become bytes again.
 *
 * y = clamp(requantise(bias[o] + sum of W x, multiplier[o], shift[o]) + zero of y, low, high); see int8.h of kernel for the
 * rounding.  Around an image x is its zero.  The forms _mask, for training, say too where nothing was clamped: a bit an
 * element. */
#include "op/int8.h"
#include "op/int8_text.h"

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

bool tern_int8_has_mask(const tern_call *call)
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
    if (tern_int8_has_mask(call)) tern_set(&call->out[1], i, y >= s->low && y <= s->high);
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

/* Two outputs at a time; of an odd number the last alone. */
static tern_status linear_emit(const tern_call *call, tern_emit *to)
{
    long long outputs = call->in[1].shape.dim[0], inputs = call->in[1].shape.dim[1];
    tern_int8_scale_text first = tern_int8_scale_of_output(call, "o"),
                         second = tern_int8_scale_of_output(call, "o + 1");
    char at[64], next[64];
    snprintf(at, sizeof at, "row * %lld + o", outputs);
    snprintf(next, sizeof next, "row * %lld + o + 1", outputs);
    tern_int8_write_constants(call, to);
    tern_text_format(to->text,
                     "    for (int row = 0; row < %lld; row++) {\n"
                     "        const int8_t *x = in0 + row * %lld, *w = in1;\n"
                     "        int o = 0;\n"
                     "        for (; o < %lld; o += 2, w += %lld) {\n"
                     "            int32_t sums[] = {in2[o], in2[o + 1]};\n"
                     "            dot_two(%lld, x, w, w + %lld, sums);\n",
                     (long long)rows_of(call), inputs, outputs / 2 * 2, 2 * inputs, inputs, inputs);
    tern_int8_write_output(call, to, "            ", at, "sums[0]", &first);
    tern_int8_write_output(call, to, "            ", next, "sums[1]", &second);
    tern_text_put(to->text, "        }\n");
    if (outputs % 2) {
        tern_text_format(to->text, "        int32_t sum = dot_bytes(%lld, x, w, in2[o]);\n", inputs);
        tern_int8_write_output(call, to, "        ", at, "sum", &first);
    }
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
    .scratch = tern_int8_conv_text_scratch,
    .emit = tern_int8_write_conv,
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
    .scratch = tern_int8_conv_text_scratch,
    .emit = tern_int8_write_conv,
};
