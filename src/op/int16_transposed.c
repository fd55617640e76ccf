/* Transposed convolution of 16 bits with weights of bytes, as conv2d_transposed_int8 of bytes: W is [O,C,KH,KW], and where a tap
 * finds no x it is 0, so that all phases have one bias, i32 [O].  Sums have 32 bits, which wrap around. */
#include "op/int16.h"

static tern_conv geometry(const tern_conv_op *a, tern_shape w)
{
    int64_t outputs = w.dim[0]; /* as the convolution that goes the other way has it: [C,O,KH,KW] */
    w.dim[0] = w.dim[1];
    w.dim[1] = outputs;
    return tern_conv_geometry(&a->like, &w, a);
}

static tern_status infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, TERN_PRODUCT_OPERANDS, TERN_PRODUCT_OPERANDS));
    const tern_conv_op *a = types->args;
    tern_shape w = types->in[1]->shape, turned = w;
    if (w.rank != 4 || a->groups != 1 || a->dilation != 1)
        return tern_infer_fail(types, "%d groups and dilation %d, expected 1 of each, and W [O,C,KH,KW]",
                               a->groups, a->dilation);
    turned.dim[0] = w.dim[1];
    turned.dim[1] = w.dim[0];
    TERN_TRY(tern_conv_check_fit(types, &a->like, &turned, &types->in[0]->shape));
    TERN_TRY(tern_int16_operands(types, w.dim[0], tern_elements_from(&w, 1)));
    tern_infer_out(types, TERN_I16, a->like);
    return TERN_OK;
}

static void work(const tern_call *call, tern_work *work)
{
    tern_op_conv2d_transposed_int8.work(call, work);
}

/* The sum of output o at (y, x) of image n. */
static int64_t sum_of(const tern_call *call, const tern_conv *c, int64_t n, int64_t o, int64_t y, int64_t x)
{
    const int16_t *in = call->in[0].data;
    const int8_t *w = call->in[1].data;
    int64_t sum = 0, plane = c->out_height * c->out_width;
    for (int64_t k = 0; k < c->out_channels; k++)
        for (int64_t ky = (y + c->pad_y) % c->stride_y; ky < c->kernel_height; ky += c->stride_y)
            for (int64_t kx = (x + c->pad_x) % c->stride_x; kx < c->kernel_width; kx += c->stride_x) {
                int64_t row = y + c->pad_y - ky, column = x + c->pad_x - kx;
                if (row < 0 || column < 0 || row / c->stride_y >= c->out_height ||
                    column / c->stride_x >= c->out_width)
                    continue;
                int64_t at = (n * c->out_channels + k) * plane + row / c->stride_y * c->out_width +
                             column / c->stride_x;
                sum += (int64_t)in[at] *
                       w[((o * c->out_channels + k) * c->kernel_height + ky) * c->kernel_width + kx];
            }
    return sum;
}

static void run(const tern_call *call)
{
    tern_conv c = geometry(call->args, call->in[1].shape);
    int64_t i = 0;
    for (int64_t n = 0; n < c.images; n++)
        for (int64_t o = 0; o < c.in_channels; o++)
            for (int64_t y = 0; y < c.height; y++)
                for (int64_t x = 0; x < c.width; x++, i++)
                    tern_int16_output(call, i, o, sum_of(call, &c, n, o, y, x));
    if (call->counter) work(call, call->counter);
}

static tern_product_shape product(const tern_call *call)
{
    tern_product_shape shape = tern_op_conv2d_transposed_int8.product(call);
    shape.halves = true;
    return shape;
}

static tern_status emit(const tern_call *call, tern_emit *to)
{
    tern_conv c = geometry(call->args, call->in[1].shape);
    const char *at = tern_elements(&call->in[TERN_IN_MULTIPLIER].shape) > 1 ? "o" : "0";
    tern_text_format(to->text,
                     "    int out = 0;\n"
                     "    for (int n = 0; n < %lld; n++)\n"
                     "    for (int o = 0; o < %lld; o++)\n"
                     "    for (int y = %lld; y < %lld; y++)\n"
                     "    for (int x = %lld; x < %lld; x++) {\n"
                     "        int32_t sum = in2[o];\n"
                     "        for (int k = 0; k < %lld; k++)\n"
                     "        for (int ky = y %% %lld; ky < %lld; ky += %lld)\n"
                     "        for (int kx = x %% %lld; kx < %lld; kx += %lld) {\n",
                     (long long)c.images, (long long)c.in_channels, (long long)c.pad_y,
                     (long long)(c.pad_y + c.height), (long long)c.pad_x, (long long)(c.pad_x + c.width),
                     (long long)c.out_channels, (long long)c.stride_y, (long long)c.kernel_height,
                     (long long)c.stride_y, (long long)c.stride_x, (long long)c.kernel_width,
                     (long long)c.stride_x);
    tern_text_format(to->text,
                     "            int row = (y - ky) / %lld, column = (x - kx) / %lld;\n"
                     "            if (y < ky || x < kx || row >= %lld || column >= %lld) continue;\n"
                     "            int32_t value = in0[((n * %lld + k) * %lld + row) * %lld + column];\n"
                     "            int32_t w = in1[((o * %lld + k) * %lld + ky) * %lld + kx];\n"
                     "            sum = (int32_t)((uint32_t)sum + (uint32_t)(value * w));\n"
                     "        }\n"
                     "        out0[out++] = clamp_short(requantise(sum, in3[%s], in4[%s]), in5[0], in5[1]);\n"
                     "    }\n",
                     (long long)c.stride_y, (long long)c.stride_x, (long long)c.out_height,
                     (long long)c.out_width, (long long)c.out_channels, (long long)c.out_height,
                     (long long)c.out_width, (long long)c.out_channels, (long long)c.kernel_height,
                     (long long)c.kernel_width, at, at);
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

const tern_op tern_op_conv2d_transposed_int16x8 = {
    .name = "conv2d_transposed_int16x8",
    .doc = "transposed convolution of 16 bits with weights of bytes, as 16 bits",
    .args = args,
    .args_size = sizeof(tern_conv_op),
    .infer = infer,
    .work = work,
    .product = product,
    .run = run,
    .emit = emit,
};
