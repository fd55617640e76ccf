/* Transposed convolution: what conv2d does to gradients, as a layer with a bias; no zeros are inserted.
 *
 * x [lead..,C,H,W], W [C,out/groups,KH,KW], b [out] (optional); y [lead..,out,OH,OW], the shape `like`, of which a convolution
 * with the same arguments would give x: y[o,t] = b[o] + the sum of W[c,o,k] x[c,i] over t = i stride + k dilation - pad. */
#include "op/op.h"

#define ARG(field, kind, doc) TERN_ARG(tern_conv_op, field, kind, doc)
static const tern_arg args[] = {
    ARG(stride, TERN_ARG_INT, "step between what neighbours of x reach"),
    ARG(pad, TERN_ARG_INT, "cut off around the result"),
    ARG(dilation, TERN_ARG_INT, "step between taps"),
    ARG(groups, TERN_ARG_INT, "groups of channels that do not see each other"),
    ARG(like, TERN_ARG_DIMS, "shape of the result"),
    {0},
};

static tern_status infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 3));
    const tern_conv_op *a = types->args;
    TERN_TRY(tern_conv_check_fit(types, &a->like, &types->in[1]->shape, &types->in[0]->shape));
    if (types->nin > 2 && types->in[2])
        TERN_TRY(tern_infer_like(types, 2, 2, TERN_SHAPE(a->like.dim[a->like.rank - 3])));
    tern_infer_out(types, types->in[1]->dtype == TERN_F64 ? TERN_F64 : TERN_F32, a->like);
    return TERN_OK;
}

/* Of the convolution that goes the other way: from the result to x. */
static tern_conv geometry(const tern_call *call)
{
    const tern_conv_op *a = call->args;
    return tern_conv_geometry(&a->like, &call->in[1].shape, a);
}

/* Element i of x along an axis that reaches `at` by tap k, or -1. */
static int64_t source(int64_t at, int64_t k, int64_t stride, int64_t pad, int64_t dilation, int64_t extent)
{
    int64_t from = at + pad - k * dilation;
    return from >= 0 && from % stride == 0 && from / stride < extent ? from / stride : -1;
}

static double sum_of(const tern_call *call, const tern_conv *c, int64_t n, int64_t o, int64_t y, int64_t x)
{
    int64_t in_group = c->out_channels / c->groups, out_group = c->in_channels / c->groups;
    int64_t first = o / out_group * in_group;
    double sum = call->nin > 2 && call->in[2].data ? tern_get(&call->in[2], o) : 0;
    for (int64_t k = first; k < first + in_group; k++)
        for (int64_t ky = 0; ky < c->kernel_height; ky++)
            for (int64_t kx = 0; kx < c->kernel_width; kx++) {
                int64_t row = source(y, ky, c->stride_y, c->pad_y, c->dilation_y, c->out_height);
                int64_t column = source(x, kx, c->stride_x, c->pad_x, c->dilation_x, c->out_width);
                if (row < 0 || column < 0) continue;
                int64_t at = ((n * c->out_channels + k) * c->out_height + row) * c->out_width + column;
                int64_t tap =
                    ((k * out_group + o % out_group) * c->kernel_height + ky) * c->kernel_width + kx;
                sum += tern_get(&call->in[0], at) * tern_get(&call->in[1], tap);
            }
    return sum;
}

/* A multiplication for each element of x and tap, those that are cut off included. */
static void work(const tern_call *call, tern_work *work)
{
    work->macs +=
        (double)tern_elements(&call->in[0].shape) * (double)tern_elements_from(&call->in[1].shape, 1);
}

static void run(const tern_call *call)
{
    tern_conv c = geometry(call);
    int64_t i = 0;
    for (int64_t n = 0; n < c.images; n++)
        for (int64_t o = 0; o < c.in_channels; o++)
            for (int64_t y = 0; y < c.height; y++)
                for (int64_t x = 0; x < c.width; x++)
                    tern_set(&call->out[0], i++, sum_of(call, &c, n, o, y, x));
    if (call->counter) work(call, call->counter);
}

static tern_product_shape product(const tern_call *call)
{
    tern_conv c = geometry(call);
    return (tern_product_shape){.count = c.groups,
                                .m = c.images * c.out_height * c.out_width,
                                .n = c.in_channels / c.groups * c.kernel_height * c.kernel_width,
                                .k = c.out_channels / c.groups};
}

static tern_status grad(tern_grad *c)
{
    tern_graph *g = c->graph;
    tern_conv_op a = *(const tern_conv_op *)c->node->args;
    tern_value x = c->node->in[0], w = c->node->in[1], dy = c->dout[0];
    a.like = (tern_shape){0};
    if (c->need[0]) c->din[0] = tern_apply(g, &tern_op_conv2d, &a, (tern_value[]){dy, w}, 2, NULL);
    a.like = tern_shape_of(g, w);
    if (c->need[1])
        c->din[1] = tern_apply(g, &tern_op_conv2d_grad_weight, &a, (tern_value[]){dy, x}, 2, NULL);
    if (c->node->nin > 2 && c->need[2]) {
        tern_shape y = tern_shape_of(g, dy);
        tern_value rows = tern_sum(g, dy, .axis = y.rank - 2, .axes = 2); /* [lead..,out] */
        c->din[2] = tern_sum(g, rows, .axis = 0, .axes = y.rank - 3);
    }
    return TERN_OK;
}

static tern_status emit(const tern_call *call, tern_emit *to)
{
    tern_conv c = geometry(call);
    long long in_group = c.out_channels / c.groups, out_group = c.in_channels / c.groups;
    tern_text_format(to->text,
                     "    int out = 0;\n"
                     "    for (int n = 0; n < %lld; n++)\n"
                     "    for (int o = 0; o < %lld; o++)\n"
                     "    for (int y = 0; y < %lld; y++)\n"
                     "    for (int x = 0; x < %lld; x++) {\n"
                     "        double sum = %s;\n"
                     "        for (int k = o / %lld * %lld; k < (o / %lld + 1) * %lld; k++)\n"
                     "        for (int ky = 0; ky < %lld; ky++)\n"
                     "        for (int kx = 0; kx < %lld; kx++) {\n",
                     (long long)c.images, (long long)c.in_channels, (long long)c.height, (long long)c.width,
                     call->nin > 2 && call->in[2].data ? "in2[o]" : "0", out_group, in_group, out_group,
                     in_group, (long long)c.kernel_height, (long long)c.kernel_width);
    tern_text_format(to->text,
                     "            int row = y + %lld - ky * %lld, column = x + %lld - kx * %lld;\n"
                     "            if (row < 0 || row %% %lld || row / %lld >= %lld) continue;\n"
                     "            if (column < 0 || column %% %lld || column / %lld >= %lld) continue;\n",
                     (long long)c.pad_y, (long long)c.dilation_y, (long long)c.pad_x, (long long)c.dilation_x,
                     (long long)c.stride_y, (long long)c.stride_y, (long long)c.out_height,
                     (long long)c.stride_x, (long long)c.stride_x, (long long)c.out_width);
    tern_text_format(
        to->text,
        "            sum += (double)in0[((n * %lld + k) * %lld + row / %lld) * %lld + column / %lld] *\n"
        "                   (double)in1[((k * %lld + o %% %lld) * %lld + ky) * %lld + kx];\n"
        "        }\n"
        "        out0[out++] = (float)sum;\n"
        "    }\n",
        (long long)c.out_channels, (long long)c.out_height, (long long)c.stride_y, (long long)c.out_width,
        (long long)c.stride_x, out_group, out_group, (long long)c.kernel_height, (long long)c.kernel_width);
    return TERN_OK;
}

static bool matches(const tern_call *call)
{
    for (int i = 0; i < call->nin; i++)
        if (call->in[i].dtype != TERN_F32) return false;
    return call->out[0].dtype == TERN_F32;
}

static size_t scratch(const tern_call *call)
{
    tern_conv c = geometry(call);
    return tern_conv_scratch(&c);
}

static void fast(const tern_call *call)
{
    tern_conv c = geometry(call);
    const float *b = call->nin > 2 ? call->in[2].data : NULL;
    float *y = call->out[0].data;
    int64_t plane = c.height * c.width;
    for (int64_t p = 0; b && p < c.images * c.in_channels; p++)
        for (int64_t i = 0; i < plane; i++) y[p * plane + i] = b[p % c.in_channels];
    tern_conv_grad_input(call->pool, &c, call->in[0].data, call->in[1].data, y, b != NULL, call->scratch);
}

static const tern_fast kernels[] = {{"implicit gemm", matches, scratch, fast}, {0}};

const tern_op tern_op_conv2d_transposed = {
    .name = "conv2d_transposed",
    .doc = "transposed convolution: each element of x adds its taps to the result",
    .args = args,
    .args_size = sizeof(tern_conv_op),
    .infer = infer,
    .grad = grad,
    .work = work,
    .product = product,
    .run = run,
    .emit = emit,
    .fast = kernels,
};
