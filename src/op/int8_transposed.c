/* Transposed convolution of bytes (conv_transposed.c, one group, no dilation), and products whose results keep 16 bits.
 *
 * A result at t meets the taps k with k = t + pad (mod stride) alone, its phase; so biases, which contain what the zero of x
 * adds, are [phases,O].  W is [O,C,KH,KW] here.  Where a tap finds no x, x is its zero. */
#include "op/int8.h"

static tern_conv geometry(const tern_call *call)
{
    const tern_conv_op *a = call->args;
    tern_shape w = call->in[1].shape; /* as the convolution that goes the other way has it: [C,O,KH,KW] */
    int64_t outputs = w.dim[0];
    w.dim[0] = w.dim[1];
    w.dim[1] = outputs;
    return tern_conv_geometry(&a->like, &w, a);
}

static tern_status infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, TERN_PRODUCT_OPERANDS, TERN_PRODUCT_OPERANDS));
    const tern_conv_op *a = types->args;
    tern_shape w = types->in[1]->shape;
    if (w.rank != 4 || a->groups != 1 || a->dilation != 1)
        return tern_infer_fail(types, "%d groups and dilation %d, expected 1 of each, and W [O,C,KH,KW]",
                               a->groups, a->dilation);
    int64_t outputs = w.dim[0], summed = tern_elements_from(&w, 1);
    w.dim[0] = w.dim[1];
    w.dim[1] = outputs;
    TERN_TRY(tern_conv_check_fit(types, &a->like, &w, &types->in[0]->shape));
    tern_conv c = tern_conv_geometry(&a->like, &w, a);
    TERN_TRY(tern_int8_operands(types, outputs, c.stride_y * c.stride_x * outputs, summed));
    tern_infer_out(types, TERN_I8, a->like);
    return TERN_OK;
}

/* The sum of output o at (y, x) of image n. */
static uint32_t sum_of(const tern_call *call, const tern_conv *c, int64_t n, int64_t o, int64_t y, int64_t x)
{
    const int8_t *in = call->in[0].data, *w = call->in[1].data;
    int32_t zero = ((const int32_t *)call->in[TERN_IN_CONSTANTS].data)[TERN_X_ZERO];
    uint32_t sum = 0;
    for (int64_t k = 0; k < c->out_channels; k++)
        for (int64_t ky = (y + c->pad_y) % c->stride_y; ky < c->kernel_height; ky += c->stride_y)
            for (int64_t kx = (x + c->pad_x) % c->stride_x; kx < c->kernel_width; kx += c->stride_x) {
                int64_t row = y + c->pad_y - ky, column = x + c->pad_x - kx;
                bool inside = row >= 0 && column >= 0 && row / c->stride_y < c->out_height &&
                              column / c->stride_x < c->out_width;
                int64_t at = (k * c->out_height + row / c->stride_y) * c->out_width + column / c->stride_x;
                int64_t tap = ((o * c->out_channels + k) * c->kernel_height + ky) * c->kernel_width + kx;
                int32_t value = inside ? in[n * c->out_channels * c->out_height * c->out_width + at] : zero;
                sum += (uint32_t)(value * w[tap]);
            }
    return sum;
}

static void work(const tern_call *call, tern_work *work)
{
    const tern_shape *w = &call->in[1].shape;
    double taps = (double)(w->dim[0] * w->dim[2] * w->dim[3]);
    work->macs += (double)tern_elements(&call->in[0].shape) * taps;
    work->elementwise += (double)tern_elements(&call->out[0].shape);
}

static void run(const tern_call *call)
{
    tern_conv c = geometry(call);
    tern_int8_scale s = tern_int8_scale_of(call);
    int64_t i = 0;
    for (int64_t n = 0; n < c.images; n++)
        for (int64_t o = 0; o < c.in_channels; o++)
            for (int64_t y = 0; y < c.height; y++)
                for (int64_t x = 0; x < c.width; x++, i++) {
                    int64_t phase = (y + c.pad_y) % c.stride_y * c.stride_x + (x + c.pad_x) % c.stride_x;
                    uint32_t sum = sum_of(call, &c, n, o, y, x) + (uint32_t)s.bias[phase * c.in_channels + o];
                    int32_t value =
                        tern_requantise((int32_t)sum, s.multiplier[o * s.each], s.shift[o * s.each]);
                    ((int8_t *)call->out[0].data)[i] = tern_clamp_byte(value + s.zero, s.low, s.high);
                }
    if (call->counter) work(call, call->counter);
}

static tern_product_shape product(const tern_call *call)
{
    tern_conv c = geometry(call);
    return (tern_product_shape){.count = 1,
                                .m = c.images * c.out_height * c.out_width,
                                .n = c.in_channels * c.kernel_height * c.kernel_width,
                                .k = c.out_channels,
                                .images = c.images,
                                .kernel_height = c.kernel_height,
                                .kernel_width = c.kernel_width,
                                .out_height = c.height,
                                .out_width = c.width,
                                .stride = c.stride_x};
}

static tern_status emit(const tern_call *call, tern_emit *to)
{
    tern_conv c = geometry(call);
    const char *at = tern_elements(&call->in[TERN_IN_MULTIPLIER].shape) > 1 ? "o" : "0";
    tern_text_format(to->text,
                     "    const int32_t x_zero = in5[%d], zero = in5[%d], low = in5[%d], high = in5[%d];\n"
                     "    int out = 0;\n"
                     "    for (int n = 0; n < %lld; n++)\n"
                     "    for (int o = 0; o < %lld; o++)\n"
                     "    for (int y = %lld; y < %lld; y++)\n"
                     "    for (int x = %lld; x < %lld; x++, out++) {\n"
                     "        int32_t sum = in2[(y %% %lld * %lld + x %% %lld) * %lld + o];\n",
                     TERN_X_ZERO, TERN_Y_ZERO, TERN_Y_LOW, TERN_Y_HIGH, (long long)c.images,
                     (long long)c.in_channels, (long long)c.pad_y, (long long)(c.pad_y + c.height),
                     (long long)c.pad_x, (long long)(c.pad_x + c.width), (long long)c.stride_y,
                     (long long)c.stride_x, (long long)c.stride_x, (long long)c.in_channels);
    tern_text_format(to->text,
                     "        for (int k = 0; k < %lld; k++)\n"
                     "        for (int ky = y %% %lld; ky < %lld; ky += %lld)\n"
                     "        for (int kx = x %% %lld; kx < %lld; kx += %lld) {\n"
                     "            int row = (y - ky) / %lld, column = (x - kx) / %lld;\n"
                     "            int inside = y >= ky && x >= kx && row < %lld && column < %lld;\n",
                     (long long)c.out_channels, (long long)c.stride_y, (long long)c.kernel_height,
                     (long long)c.stride_y, (long long)c.stride_x, (long long)c.kernel_width,
                     (long long)c.stride_x, (long long)c.stride_y, (long long)c.stride_x,
                     (long long)c.out_height, (long long)c.out_width);
    tern_text_format(
        to->text,
        "            int32_t value = inside ? in0[((n * %lld + k) * %lld + row) * %lld + column] : "
        "x_zero;\n"
        "            sum += value * in1[((o * %lld + k) * %lld + ky) * %lld + kx];\n"
        "        }\n"
        "        out0[out] = clamp_byte(requantise(sum, in3[%s], in4[%s]) + zero, low, high);\n"
        "    }\n",
        (long long)c.out_channels, (long long)c.out_height, (long long)c.out_width, (long long)c.out_channels,
        (long long)c.kernel_height, (long long)c.kernel_width, at, at);
    return TERN_OK;
}

#define ARG(field, kind, doc) TERN_ARG(tern_conv_op, field, kind, doc)
static const tern_arg args[] = {
    ARG(stride, TERN_ARG_INT, "step between what neighbours of x reach"),
    ARG(pad, TERN_ARG_INT, "cut off around the result"),
    ARG(dilation, TERN_ARG_INT, "1"),
    ARG(groups, TERN_ARG_INT, "1"),
    ARG(like, TERN_ARG_DIMS, "shape of the result"),
    {0},
};

const tern_op tern_op_conv2d_transposed_int8 = {
    .name = "conv2d_transposed_int8",
    .doc = "transposed convolution of bytes, as bytes",
    .args = args,
    .args_size = sizeof(tern_conv_op),
    .infer = infer,
    .work = work,
    .product = product,
    .run = run,
    .emit = emit,
};

/* ---- linear_int16: x [..,K], W [O,K] of bytes -> [..,O] of 16 bits ----------------------------------------------- */

static tern_status wide_infer(tern_infer *types)
{
    TERN_TRY(tern_op_linear_int8.infer(types));
    types->out[0].dtype = TERN_I16;
    return TERN_OK;
}

static void wide_run(const tern_call *call)
{
    int64_t outputs = call->in[1].shape.dim[0], inputs = call->in[1].shape.dim[1];
    tern_int8_scale s = tern_int8_scale_of(call);
    const int8_t *x = call->in[0].data, *w = call->in[1].data;
    int16_t *y = call->out[0].data;
    for (int64_t i = 0; i < tern_elements(&call->out[0].shape); i++) {
        int64_t row = i / outputs, o = i % outputs;
        uint32_t sum = (uint32_t)s.bias[o];
        for (int64_t k = 0; k < inputs; k++) sum += (uint32_t)(x[row * inputs + k] * w[o * inputs + k]);
        int32_t value = tern_requantise((int32_t)sum, s.multiplier[o * s.each], s.shift[o * s.each]) + s.zero;
        y[i] = (int16_t)(value < s.low ? s.low : value > s.high ? s.high : value);
    }
    if (call->counter) tern_op_linear_int8.work(call, call->counter);
}

static tern_status wide_emit(const tern_call *call, tern_emit *to)
{
    long long outputs = call->in[1].shape.dim[0], inputs = call->in[1].shape.dim[1];
    const char *at = tern_elements(&call->in[TERN_IN_MULTIPLIER].shape) > 1 ? "o" : "0";
    tern_text_format(to->text,
                     "    const int32_t zero = in5[%d], low = in5[%d], high = in5[%d];\n"
                     "    for (int row = 0; row < %lld; row++)\n"
                     "    for (int o = 0; o < %lld; o++) {\n"
                     "        int32_t sum = dot_bytes(%lld, in0 + row * %lld, in1 + o * %lld, in2[o]);\n"
                     "        int32_t y = requantise(sum, in3[%s], in4[%s]) + zero;\n"
                     "        out0[row * %lld + o] = (int16_t)(y < low ? low : y > high ? high : y);\n"
                     "    }\n",
                     TERN_Y_ZERO, TERN_Y_LOW, TERN_Y_HIGH,
                     (long long)(tern_elements(&call->out[0].shape) / outputs), outputs, inputs, inputs,
                     inputs, at, at, outputs);
    return TERN_OK;
}

static void wide_work(const tern_call *call, tern_work *work)
{
    tern_op_linear_int8.work(call, work);
}

static tern_product_shape wide_product(const tern_call *call)
{
    return tern_op_linear_int8.product(call);
}

const tern_op tern_op_linear_int16 = {
    .name = "linear_int16",
    .doc = "x W^T + b of bytes, as 16 bits",
    .infer = wide_infer,
    .work = wide_work,
    .product = wide_product,
    .run = wide_run,
    .emit = wide_emit,
};
