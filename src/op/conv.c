/* Convolution over images, and its gradients.
 *
 * x [lead..,C,H,W] (f32, or bit: then weights are added, one for each spike and output that it reaches), W
 * [Cout,C/groups,KH,KW], b [Cout] (optional); y [lead..,Cout,OH,OW].  A one-dimensional convolution has H = KH = 1. */
#include "op/op.h"

#include "kernel/kernel.h"

#include <math.h>

#define CONV_ARG(field, kind, doc) TERN_ARG(tern_conv_op, field, kind, doc)
static const tern_arg conv_args[] = {
    CONV_ARG(stride, TERN_ARG_INT, "step between outputs"),
    CONV_ARG(pad, TERN_ARG_INT, "zeros around the image"),
    CONV_ARG(dilation, TERN_ARG_INT, "step between taps"),
    CONV_ARG(groups, TERN_ARG_INT, "groups of channels that do not see each other"),
    CONV_ARG(like, TERN_ARG_DIMS, "shape of the result, for gradients"),
    CONV_ARG(exact, TERN_ARG_BOOL, "sums of whole numbers stay whole"),
    {0},
};

static tern_status conv2d_infer(tern_infer *types)
{
    tern_shape y;
    TERN_TRY(tern_infer_inputs(types, 2, 3));
    TERN_TRY(tern_conv_shape(types, &y));
    tern_infer_out(types, types->in[1]->dtype == TERN_F64 ? TERN_F64 : TERN_F32, y);
    return TERN_OK;
}

/* What happens at one tap: output element, weight element, input element (-1 in the padding). */
typedef void tern_tap(void *context, int64_t out, int64_t weight, int64_t in);

/* Every (output, tap) pair of a convolution, in the order outputs, channels, taps. */
static void each_tap(const tern_conv *c, tern_tap *tap, void *context)
{
    int64_t in_group = c->in_channels / c->groups, out_group = c->out_channels / c->groups, out = 0;
    for (int64_t n = 0; n < c->images; n++)
        for (int64_t o = 0; o < c->out_channels; o++)
            for (int64_t oy = 0; oy < c->out_height; oy++)
                for (int64_t ox = 0; ox < c->out_width; ox++, out++)
                    for (int64_t k = 0; k < in_group * c->kernel_height * c->kernel_width; k++) {
                        int64_t kx = k % c->kernel_width, ky = k / c->kernel_width % c->kernel_height;
                        int64_t channel = o / out_group * in_group + k / (c->kernel_width * c->kernel_height);
                        int64_t y = oy * c->stride_y + ky * c->dilation_y - c->pad_y;
                        int64_t x = ox * c->stride_x + kx * c->dilation_x - c->pad_x;
                        bool inside = y >= 0 && y < c->height && x >= 0 && x < c->width;
                        int64_t in = ((n * c->in_channels + channel) * c->height + y) * c->width + x;
                        tap(context, out, o * in_group * c->kernel_height * c->kernel_width + k,
                            inside ? in : -1);
                    }
}

/* Sums of products, into any of the three operands; all in double. */
typedef struct tern_tap_sums {
    const tern_call *call;
    const tern_tensor *x, *w, *dy, *result;
} tern_tap_sums;

static void add_to(const tern_tensor *t, int64_t i, double value)
{
    tern_set(t, i, tern_get(t, i) + value);
}

/* A real operand is multiplied at each tap, padding included; spikes are added where there are any. */
static bool counts(const tern_call *call, const tern_tensor *x, int64_t in)
{
    int levels = x->dtype == TERN_BIT ? 1 : x == &call->in[0] ? call->levels : 0;
    if (levels == 0) {
        if (call->counter) call->counter->macs++;
        return in >= 0;
    }
    double spikes = in >= 0 ? tern_spikes_of(levels, tern_get(x, in)) : 0;
    if (call->counter) call->counter->accumulates += spikes;
    return spikes > 0;
}

/* One output after the other, each summed in double from its bias on and rounded once. */
typedef struct tern_conv_sum {
    const tern_call *call;
    const tern_tensor *bias;
    int64_t taps, left, pixels, channels; /* taps of an output, and those that are still to come */
    double sum;
} tern_conv_sum;

static void conv_tap(void *context, int64_t out, int64_t weight, int64_t in)
{
    tern_conv_sum *s = context;
    const tern_tensor *x = &s->call->in[0], *w = &s->call->in[1];
    if (s->left == 0) {
        s->left = s->taps;
        s->sum = s->bias ? tern_get(s->bias, out / s->pixels % s->channels) : 0;
    }
    if (counts(s->call, x, in)) s->sum += tern_get(x, in) * tern_get(w, weight);
    if (--s->left == 0) tern_set(&s->call->out[0], out, s->sum);
}

static void conv2d_run(const tern_call *call)
{
    tern_conv c = tern_conv_geometry(&call->in[0].shape, &call->in[1].shape, call->args);
    tern_conv_sum sum = {.call = call,
                         .bias = call->nin > 2 && call->in[2].data ? &call->in[2] : NULL,
                         .taps = c.in_channels / c.groups * c.kernel_height * c.kernel_width,
                         .pixels = c.out_height * c.out_width,
                         .channels = c.out_channels};
    each_tap(&c, conv_tap, &sum);
}

/* Spikes: those that an output's window sees are listed once, for all channels of a group. */
static size_t taps_bytes(const tern_call *call)
{
    const tern_shape *w = &call->in[1].shape;
    return call->in[0].dtype == TERN_BIT ? sizeof(int32_t) * (size_t)tern_elements_from(w, 1) : 0;
}

static void emit_on_spikes(const tern_call *call, tern_emit *to)
{
    tern_conv c = tern_conv_geometry(&call->in[0].shape, &call->in[1].shape, call->args);
    long long in_group = c.in_channels / c.groups, out_group = c.out_channels / c.groups;
    long long taps = in_group * c.kernel_height * c.kernel_width, pixels = c.out_height * c.out_width;
    tern_text *t = to->text;
    tern_text_format(
        t,
        "    int32_t *taps = scratch; /* where the window meets spikes */\n"
        "    for (int n = 0; n < %lld; n++)\n"
        "    for (int g = 0; g < %lld; g++)\n"
        "    for (int p = 0; p < %lld; p++) {\n"
        "        int spikes = 0, at = 0, top = p / %lld * %lld - %lld, left = p %% %lld * %lld - %lld;\n"
        "        for (int k = 0; k < %lld; k++)\n"
        "        for (int ky = 0, y = top; ky < %lld; ky++, y += %lld)\n"
        "        for (int kx = 0, x = left; kx < %lld; kx++, x += %lld, at++) {\n"
        "            if (y < 0 || y >= %lld || x < 0 || x >= %lld) continue;\n"
        "            if (get_bit(in0, ((n * %lld + g * %lld + k) * %lld + y) * %lld + x)) taps[spikes++] = "
        "at;\n"
        "        }\n",
        (long long)c.images, (long long)c.groups, pixels, (long long)c.out_width, (long long)c.stride_y,
        (long long)c.pad_y, (long long)c.out_width, (long long)c.stride_x, (long long)c.pad_x, in_group,
        (long long)c.kernel_height, (long long)c.dilation_y, (long long)c.kernel_width,
        (long long)c.dilation_x, (long long)c.height, (long long)c.width, (long long)c.in_channels, in_group,
        (long long)c.height, (long long)c.width);
    tern_text_format(t,
                     "        for (int o = g * %lld; o < (g + 1) * %lld; o++) {\n"
                     "            const float *weight = in1 + o * %lld;\n"
                     "            double sum = %s;\n"
                     "            for (int i = 0; i < spikes; i++) sum += (double)weight[taps[i]];\n"
                     "            out0[(n * %lld + o) * %lld + p] = (float)sum;\n"
                     "        }\n"
                     "    }\n",
                     out_group, out_group, taps, call->nin > 2 && call->in[2].data ? "(double)in2[o]" : "0",
                     (long long)c.out_channels, pixels);
}

static tern_status conv2d_emit(const tern_call *call, tern_emit *to)
{
    tern_conv c = tern_conv_geometry(&call->in[0].shape, &call->in[1].shape, call->args);
    long long in_group = c.in_channels / c.groups, out_group = c.out_channels / c.groups;
    tern_text *t = to->text;
    if (call->in[0].dtype == TERN_BIT) {
        emit_on_spikes(call, to);
        return TERN_OK;
    }
    tern_text_put(t, "    int out = 0;\n");
    tern_text_format(t,
                     "    for (int n = 0; n < %lld; n++)\n"
                     "    for (int o = 0; o < %lld; o++)\n"
                     "    for (int oy = 0; oy < %lld; oy++)\n"
                     "    for (int ox = 0; ox < %lld; ox++) {\n"
                     "        double sum = %s;\n",
                     (long long)c.images, (long long)c.out_channels, (long long)c.out_height,
                     (long long)c.out_width, call->nin > 2 && call->in[2].data ? "in2[o]" : "0");
    tern_text_format(t,
                     "        for (int k = 0; k < %lld; k++)\n"
                     "        for (int ky = 0; ky < %lld; ky++) {\n"
                     "            int y = oy * %lld + ky * %lld - %lld;\n"
                     "            if (y < 0 || y >= %lld) continue;\n"
                     "            int row = ((n * %lld + o / %lld * %lld + k) * %lld + y) * %lld;\n",
                     in_group, (long long)c.kernel_height, (long long)c.stride_y, (long long)c.dilation_y,
                     (long long)c.pad_y, (long long)c.height, (long long)c.in_channels, out_group, in_group,
                     (long long)c.height, (long long)c.width);
    tern_text_format(t,
                     "            for (int kx = 0; kx < %lld; kx++) {\n"
                     "                int x = ox * %lld + kx * %lld - %lld;\n"
                     "                if (x < 0 || x >= %lld) continue;\n"
                     "                sum += (double)in0[row + x] * (double)in1[((o * %lld + k) * %lld + ky) "
                     "* %lld + kx];\n"
                     "            }\n"
                     "        }\n"
                     "        out0[out++] = (float)sum;\n"
                     "    }\n",
                     (long long)c.kernel_width, (long long)c.stride_x, (long long)c.dilation_x,
                     (long long)c.pad_x, (long long)c.width, in_group, (long long)c.kernel_height,
                     (long long)c.kernel_width);
    return TERN_OK;
}

/* Outputs that a spike at (y, x) reaches, both ways separately: how many o with o*stride + k*dilation - pad = at. */
static int64_t reach(int64_t at, int64_t out, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation)
{
    int64_t count = 0;
    for (int64_t k = 0; k < kernel; k++) {
        int64_t o = at + pad - k * dilation;
        count += o >= 0 && o % stride == 0 && o / stride < out;
    }
    return count;
}

/* Multiply-accumulates at every tap, or accumulates where spikes are (exactly, when data are there). */
static void conv_count(const tern_call *call, const tern_conv *c, const tern_tensor *x, int operand,
                       tern_work *work)
{
    double taps = (double)(c->in_channels / c->groups * c->kernel_height * c->kernel_width);
    double outputs = (double)(c->images * c->out_channels * c->out_height * c->out_width);
    double fan_out = (double)(c->out_channels / c->groups);
    int levels = operand == 0 ? call->levels : 0;
    if (x->dtype != TERN_BIT && levels == 0) {
        work->macs += outputs * taps;
        return;
    }
    for (int64_t y = 0; y < c->height; y++) {
        int64_t down = reach(y, c->out_height, c->kernel_height, c->stride_y, c->pad_y, c->dilation_y);
        for (int64_t col = 0; col < c->width; col++) {
            int64_t both =
                down * reach(col, c->out_width, c->kernel_width, c->stride_x, c->pad_x, c->dilation_x);
            double density = call->density ? call->density[operand] : 1,
                   planes = (double)(c->images * c->in_channels);
            double spikes = x->data ? 0 : planes * density * (levels ? levels : 1);
            for (int64_t p = 0; x->data && p < c->images * c->in_channels; p++) {
                int64_t at = (p * c->height + y) * c->width + col;
                spikes += x->dtype == TERN_BIT ? tern_bit_get(x->data, at)
                                               : tern_spikes_of(levels, tern_get(x, at));
            }
            work->accumulates += spikes * (double)both * fan_out;
        }
    }
}

static void conv2d_work(const tern_call *call, tern_work *work)
{
    tern_conv c = tern_conv_geometry(&call->in[0].shape, &call->in[1].shape, call->args);
    conv_count(call, &c, &call->in[0], 0, work);
}

/* Pixels times channels, one product a group. */
static tern_product_shape conv_shape(const tern_conv *c)
{
    int64_t taps = c->kernel_height * c->kernel_width;
    return (tern_product_shape){.count = c->groups,
                                .m = c->images * c->out_height * c->out_width,
                                .n = c->out_channels / c->groups,
                                .k = c->in_channels / c->groups * taps,
                                .images = c->images,
                                .kernel_height = c->kernel_height,
                                .kernel_width = c->kernel_width,
                                .out_height = c->out_height,
                                .out_width = c->out_width,
                                .stride = c->stride_y > c->stride_x ? c->stride_y : c->stride_x};
}

static tern_product_shape conv2d_shape(const tern_call *call)
{
    tern_conv c = tern_conv_geometry(&call->in[0].shape, &call->in[1].shape, call->args);
    return conv_shape(&c);
}

static tern_status conv2d_grad(tern_grad *c)
{
    tern_graph *g = c->graph;
    tern_value x = c->node->in[0], w = c->node->in[1], dy = c->dout[0];
    tern_conv_op args = *(const tern_conv_op *)c->node->args;
    if (c->need[0]) {
        args.like = tern_shape_of(g, x);
        c->din[0] = tern_apply(g, &tern_op_conv2d_grad_input, &args, (tern_value[]){dy, w}, 2, NULL);
    }
    if (c->need[1]) {
        args.like = tern_shape_of(g, w);
        c->din[1] = tern_apply(g, &tern_op_conv2d_grad_weight, &args, (tern_value[]){x, dy}, 2, NULL);
    }
    if (c->node->nin > 2 && c->need[2]) {
        tern_shape y = tern_shape_of(g, dy);
        tern_value rows = tern_sum(g, dy, .axis = y.rank - 2, .axes = 2); /* [lead..,Cout] */
        c->din[2] = tern_sum(g, rows, .axis = 0, .axes = y.rank - 3);
    }
    return TERN_OK;
}

static bool all_f32(const tern_call *call, bool first_bits)
{
    for (int i = 0; i < call->nin; i++) {
        bool bits = i == 0 && first_bits && call->in[i].dtype == TERN_BIT;
        if (call->in[i].dtype != TERN_F32 && !bits) return false;
    }
    return call->out[0].dtype == TERN_F32;
}

static bool conv2d_matches(const tern_call *call)
{
    return all_f32(call, true);
}

static size_t conv2d_scratch(const tern_call *call)
{
    tern_conv c = tern_conv_geometry(&call->in[0].shape, &call->in[1].shape, call->args);
    return tern_conv_scratch(&c);
}

static void conv2d_fast(const tern_call *call)
{
    tern_conv c = tern_conv_geometry(&call->in[0].shape, &call->in[1].shape, call->args);
    const float *b = call->nin > 2 ? call->in[2].data : NULL;
    if (call->in[0].dtype == TERN_BIT)
        tern_conv_forward_bits(call->pool, &c, call->in[0].data, 0, call->in[1].data, b, call->out[0].data,
                               TERN_SPIKE_AUTO, NULL, call->scratch);
    else
        tern_conv_forward(call->pool, &c, call->in[0].data, call->in[1].data, b, call->out[0].data,
                          call->scratch);
}

static const tern_fast conv2d_kernels[] = {{"implicit gemm", conv2d_matches, conv2d_scratch, conv2d_fast},
                                           {0}};

const tern_op tern_op_conv2d = {
    .name = "conv2d",
    .doc = "convolution over images; spikes add weights",
    .args = conv_args,
    .args_size = sizeof(tern_conv_op),
    .flags = TERN_OP_ROWWISE,
    .infer = conv2d_infer,
    .grad = conv2d_grad,
    .work = conv2d_work,
    .product = conv2d_shape,
    .run = conv2d_run,
    .scratch = taps_bytes,
    .emit = conv2d_emit,
    .fast = conv2d_kernels,
};

/* ---- dx: dy [lead..,Cout,OH,OW], W -> like x ------------------------------------------------------------------ */

static tern_status like_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    const tern_conv_op *a = types->args;
    TERN_TRY(tern_conv_check_fit(types, &a->like, &types->in[1]->shape, &types->in[0]->shape));
    tern_infer_out(types, types->in[1]->dtype == TERN_F64 ? TERN_F64 : TERN_F32, a->like);
    return TERN_OK;
}

static void grad_input_tap(void *context, int64_t out, int64_t weight, int64_t in)
{
    tern_tap_sums *s = context;
    if (s->call->counter) s->call->counter->macs++;
    if (in >= 0) add_to(s->result, in, tern_get(s->dy, out) * tern_get(s->w, weight));
}

static void grad_input_run(const tern_call *call)
{
    const tern_tensor *dx = &call->out[0];
    tern_conv c = tern_conv_geometry(&dx->shape, &call->in[1].shape, call->args);
    int64_t n = tern_elements(&dx->shape);
    for (int64_t i = 0; i < n; i++) tern_set(dx, i, 0);
    tern_tap_sums sums = {call, NULL, &call->in[1], &call->in[0], dx};
    each_tap(&c, grad_input_tap, &sums);
}

static void grad_input_work(const tern_call *call, tern_work *work)
{
    tern_conv c = tern_conv_geometry(&call->out[0].shape, &call->in[1].shape, call->args);
    conv_count(call, &c, &call->out[0], 0, work);
}

/* dy times W^T, scattered to the pixels behind. */
static tern_product_shape grad_input_shape(const tern_call *call)
{
    tern_conv c = tern_conv_geometry(&call->out[0].shape, &call->in[1].shape, call->args);
    tern_product_shape s = conv_shape(&c);
    return (tern_product_shape){.count = s.count, .m = s.m, .n = s.k, .k = s.n};
}

/* y = conv2d_grad_input(x, W): as a layer of its own this is a transposed convolution. */
static tern_status grad_input_grad(tern_grad *c)
{
    tern_graph *g = c->graph;
    tern_conv_op args = *(const tern_conv_op *)c->node->args;
    tern_value x = c->node->in[0], w = c->node->in[1], dy = c->dout[0];
    if (c->need[0]) c->din[0] = tern_apply(g, &tern_op_conv2d, &args, (tern_value[]){dy, w}, 2, NULL);
    args.like = tern_shape_of(g, w);
    if (c->need[1])
        c->din[1] = tern_apply(g, &tern_op_conv2d_grad_weight, &args, (tern_value[]){dy, x}, 2, NULL);
    return TERN_OK;
}

static bool grad_input_matches(const tern_call *call)
{
    return all_f32(call, false);
}

static size_t grad_input_scratch(const tern_call *call)
{
    tern_conv c = tern_conv_geometry(&call->out[0].shape, &call->in[1].shape, call->args);
    return tern_conv_scratch(&c);
}

static void grad_input_fast(const tern_call *call)
{
    tern_conv c = tern_conv_geometry(&call->out[0].shape, &call->in[1].shape, call->args);
    tern_conv_grad_input(call->pool, &c, call->in[0].data, call->in[1].data, call->out[0].data, false,
                         call->scratch);
}

static const tern_fast grad_input_kernels[] = {
    {"implicit gemm", grad_input_matches, grad_input_scratch, grad_input_fast}, {0}};

const tern_op tern_op_conv2d_grad_input = {
    .name = "conv2d_grad_input",
    .doc = "gradient of conv2d to x; transposed convolution",
    .args = conv_args,
    .args_size = sizeof(tern_conv_op),
    .infer = like_infer,
    .grad = grad_input_grad,
    .work = grad_input_work,
    .product = grad_input_shape,
    .run = grad_input_run,
    .fast = grad_input_kernels,
};

/* ---- dW: x, dy -> like W ----------------------------------------------------------------------------------------- */

static tern_status grad_weight_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    const tern_conv_op *a = types->args;
    TERN_TRY(tern_conv_check_fit(types, &types->in[0]->shape, &a->like, &types->in[1]->shape));
    tern_infer_out(types, types->in[1]->dtype, a->like);
    return TERN_OK;
}

static void grad_weight_tap(void *context, int64_t out, int64_t weight, int64_t in)
{
    tern_tap_sums *s = context;
    if (counts(s->call, s->x, in)) add_to(s->result, weight, tern_get(s->x, in) * tern_get(s->dy, out));
}

static void grad_weight_run(const tern_call *call)
{
    const tern_tensor *dw = &call->out[0];
    tern_conv c = tern_conv_geometry(&call->in[0].shape, &dw->shape, call->args);
    int64_t n = tern_elements(&dw->shape);
    for (int64_t i = 0; i < n; i++) tern_set(dw, i, 0);
    tern_tap_sums sums = {call, &call->in[0], NULL, &call->in[1], dw};
    each_tap(&c, grad_weight_tap, &sums);
}

static void grad_weight_work(const tern_call *call, tern_work *work)
{
    tern_conv c = tern_conv_geometry(&call->in[0].shape, &call->out[0].shape, call->args);
    conv_count(call, &c, &call->in[0], 0, work);
}

/* Output channels times inputs, summed over pixels. */
static tern_product_shape grad_weight_shape(const tern_call *call)
{
    tern_conv c = tern_conv_geometry(&call->in[0].shape, &call->out[0].shape, call->args);
    tern_product_shape s = conv_shape(&c);
    return (tern_product_shape){.count = s.count, .m = s.n, .n = s.k, .k = s.m};
}

static bool grad_weight_matches(const tern_call *call)
{
    return all_f32(call, true);
}

static size_t grad_weight_scratch(const tern_call *call)
{
    tern_conv c = tern_conv_geometry(&call->in[0].shape, &call->out[0].shape, call->args);
    return tern_conv_scratch(&c);
}

static void grad_weight_fast(const tern_call *call)
{
    tern_conv c = tern_conv_geometry(&call->in[0].shape, &call->out[0].shape, call->args);
    if (call->in[0].dtype == TERN_BIT)
        tern_conv_grad_weight_bits(call->pool, &c, call->in[0].data, 0, call->in[1].data, call->out[0].data,
                                   false, TERN_SPIKE_AUTO, NULL, call->scratch);
    else
        tern_conv_grad_weight(call->pool, &c, call->in[0].data, call->in[1].data, call->out[0].data, false,
                              call->scratch);
}

static const tern_fast grad_weight_kernels[] = {
    {"implicit gemm", grad_weight_matches, grad_weight_scratch, grad_weight_fast}, {0}};

const tern_op tern_op_conv2d_grad_weight = {
    .name = "conv2d_grad_weight",
    .doc = "gradient of conv2d to W; spikes add elements of dy",
    .args = conv_args,
    .args_size = sizeof(tern_conv_op),
    .infer = grad_weight_infer,
    .work = grad_weight_work,
    .product = grad_weight_shape,
    .run = grad_weight_run,
    .fast = grad_weight_kernels,
};

/* ---- the layer ----------------------------------------------------------------------------------------------------- */

tern_value tern_conv2d_with(tern_graph *graph, tern_value x, tern_conv2d_args args)
{
    tern_shape s = tern_shape_of(graph, x);
    tern_layer(graph, "conv", args.name);
    if (graph->status != TERN_OK) return (tern_value){0};
    if (s.rank < 4 || args.out < 1 || args.kernel < 1 || args.groups < 1 || s.dim[s.rank - 3] % args.groups)
        return tern_graph_fail(graph,
                               "layer %s: .out %d, .kernel %d, .groups %d do not fit an input of rank %d",
                               graph->layer, args.out, args.kernel, args.groups, s.rank);
    int64_t in = s.dim[s.rank - 3] / args.groups, height = s.dim[s.rank - 2] == 1 ? 1 : args.kernel;
    tern_init init = {TERN_INIT_UNIFORM, 1 / sqrt((double)(in * height * args.kernel))};
    tern_conv_op op = {
        .stride = args.stride, .pad = args.pad, .dilation = args.dilation, .groups = args.groups};
    int outputs = args.of_out > args.out ? args.of_out : args.out;
    tern_shape w = TERN_SHAPE(outputs, in, height, args.kernel);
    tern_init normal = {TERN_INIT_NORMAL, args.deviation};
    tern_value ins[3] = {
        x, tern_param(graph, tern_layer_name(graph, "weight"), w, args.deviation > 0 ? normal : init)};
    if (args.bias) ins[2] = tern_param(graph, tern_layer_name(graph, "bias"), TERN_SHAPE(outputs), init);
    for (int i = 1; i < 2 + args.bias; i++) ins[i] = tern_leading(graph, ins[i], 0, args.out);
    return tern_apply(graph, &tern_op_conv2d, &op, ins, args.bias ? 3 : 2, NULL);
}
