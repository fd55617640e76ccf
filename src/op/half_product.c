/* Products of 16 bits and their gradients: definition, kernels, records. */
#include "kernel/cast.h"
#include "op/half.h"
#include "op/int8.h"

#include <string.h>

#define HALF_ARG(field, name_, kind_, doc_)                                                                  \
    {                                                                                                        \
        .name = name_, .kind = kind_, .offset = offsetof(tern_half_op, field), .doc = doc_                   \
    }
static const tern_arg half_args[] = {
    HALF_ARG(conv.stride, "stride", TERN_ARG_INT, "step between outputs"),
    HALF_ARG(conv.pad, "pad", TERN_ARG_INT, "zeros around the image"),
    HALF_ARG(conv.dilation, "dilation", TERN_ARG_INT, "step between taps"),
    HALF_ARG(conv.groups, "groups", TERN_ARG_INT, "groups of channels that do not see each other"),
    HALF_ARG(conv.like, "like", TERN_ARG_DIMS, "shape of the result, for gradients"),
    HALF_ARG(lanes, "lanes", TERN_ARG_INT, "sums of an element where there is one pixel"),
    HALF_ARG(wide, "wide", TERN_ARG_BOOL, "sums are f32, rounded once"),
    {0},
};

/* ---- geometry --------------------------------------------------------------------------------------------------------- */

static tern_half_kind kind_of(const tern_op *op)
{
    return op == &tern_op_half_product      ? TERN_HALF_FORWARD
           : op == &tern_op_half_grad_input ? TERN_HALF_OF_INPUT
                                            : TERN_HALF_OF_WEIGHT;
}

/* Windows of x, or, for the gradient of x, of dy with the taps turned. */
static tern_half_window window_of(const tern_conv *c, bool back)
{
    int64_t channels = (back ? c->out_channels : c->in_channels) / c->groups;
    tern_half_window w = {.channels = channels,
                          .height = c->height,
                          .width = c->width,
                          .taps_y = c->kernel_height,
                          .taps_x = c->kernel_width,
                          .out_y = c->out_height,
                          .out_x = c->out_width,
                          .stride_y = c->stride_y,
                          .stride_x = c->stride_x,
                          .dilation_y = c->dilation_y,
                          .dilation_x = c->dilation_x,
                          .origin_y = -c->pad_y,
                          .origin_x = -c->pad_x,
                          .spread_y = 1,
                          .spread_x = 1};
    if (!back) return w;
    w.height = c->out_height, w.width = c->out_width;
    w.out_y = c->height, w.out_x = c->width;
    w.spread_y = c->stride_y, w.spread_x = c->stride_x;
    w.stride_y = w.stride_x = 1;
    w.origin_y = c->pad_y - (c->kernel_height - 1) * c->dilation_y;
    w.origin_x = c->pad_x - (c->kernel_width - 1) * c->dilation_x;
    return w;
}

tern_half_geometry tern_half_geometry_of(const tern_call *call)
{
    const tern_half_op *a = call->args;
    tern_half_geometry g = {.kind = kind_of(call->op)};
    const tern_shape *x = g.kind == TERN_HALF_OF_INPUT ? &a->conv.like : &call->in[0].shape;
    const tern_shape *w = g.kind == TERN_HALF_OF_WEIGHT ? &a->conv.like : &call->in[1].shape;
    const tern_conv *c = &g.conv;
    g.conv = tern_int8_geometry(x, w, &a->conv);
    int64_t taps = c->kernel_height * c->kernel_width, pixels = c->out_height * c->out_width;
    int64_t in = c->in_channels / c->groups, out = c->out_channels / c->groups;
    bool back = g.kind == TERN_HALF_OF_INPUT;
    g.groups = c->groups;
    g.window = window_of(c, back);
    if (g.kind == TERN_HALF_OF_WEIGHT) {
        g.times = 1;
        g.n = out, g.k = c->images * pixels, g.m = in * taps;
    } else {
        g.times = c->images;
        g.n = back ? in : out, g.k = (back ? out : in) * taps, g.m = back ? c->height * c->width : pixels;
    }
    bool point = taps == 1 && c->stride_y == 1 && c->stride_x == 1 && c->pad_y == 0 && c->pad_x == 0;
    g.plain = point && (g.kind != TERN_HALF_OF_WEIGHT || (pixels == 1 && g.groups == 1));
    g.lanes = g.m == 1 && g.kind == TERN_HALF_FORWARD ? a->lanes : 1;
    g.flat = back && point && c->groups == 1 && c->height * c->width == 1;
    if (g.flat) g.m = g.n, g.n = 1;
    return g;
}

/* ---- the definition -------------------------------------------------------------------------------------------------------- */

/* A(i, k) and B(k, j) of one product. */
static double left(const tern_call *call, const tern_half_geometry *g, int64_t image, int64_t group,
                   int64_t i, int64_t k)
{
    const tern_conv *c = &g->conv;
    int64_t taps = c->kernel_height * c->kernel_width, pixels = c->out_height * c->out_width;
    if (g->kind == TERN_HALF_FORWARD) return tern_get(&call->in[1], (group * g->n + i) * g->k + k);
    if (g->kind == TERN_HALF_OF_WEIGHT)
        return tern_get(&call->in[1],
                        (k / pixels * c->out_channels + group * g->n + i) * pixels + k % pixels);
    int64_t o = group * (c->out_channels / c->groups) + k / taps;
    if (g->flat) return tern_get(&call->in[0], image * g->k + k);
    return tern_get(&call->in[1], (o * g->n + i) * taps + taps - 1 - k % taps);
}

static double right(const tern_call *call, const tern_half_geometry *g, int64_t image, int64_t group,
                    int64_t k, int64_t j)
{
    int64_t row = k, column = j, pixels = g->window.out_y * g->window.out_x;
    if (g->flat) return tern_get(&call->in[1], k * g->m + j);
    if (g->kind == TERN_HALF_OF_WEIGHT) {
        image = k / pixels;
        column = k % pixels;
        row = j;
    }
    int64_t at = tern_half_source(&g->window, row, column);
    int64_t plane = g->window.channels * g->window.height * g->window.width;
    return at < 0 ? 0 : tern_get(&call->in[0], (image * g->groups + group) * plane + at);
}

/* Neighbours, then neighbours of those. */
static void add_lanes(tern_dtype format, int lanes, float *sums)
{
    for (int apart = 1; apart < lanes; apart *= 2)
        for (int l = 0; l < lanes; l += 2 * apart)
            sums[l] = tern_half_step(format, sums[l], sums[l + apart], 1);
}

static float element_of(const tern_call *call, const tern_half_geometry *g, int64_t image, int64_t group,
                        int64_t i, int64_t j)
{
    bool biased = g->kind == TERN_HALF_FORWARD && call->nin > 2 && call->in[2].data;
    tern_dtype format = TERN_ARGS(tern_half_op, call)->wide ? TERN_F32 : call->in[0].dtype;
    float sums[TERN_HALF_LANES] = {biased ? (float)tern_get(&call->in[2], group * g->n + i) : 0};
    int64_t whole = g->k / g->lanes * g->lanes;
    for (int64_t k = 0; k <= g->k; k++) {
        if (k == whole) add_lanes(format, g->lanes, sums);
        float *sum = &sums[k < whole ? k % g->lanes : 0];
        if (k < g->k)
            *sum = tern_half_step(format, *sum, (float)left(call, g, image, group, i, k),
                                  (float)right(call, g, image, group, k, j));
    }
    return sums[0];
}

static void half_run(const tern_call *call)
{
    tern_half_geometry g = tern_half_geometry_of(call);
    for (int64_t t = 0, at = 0; t < g.times; t++)
        for (int64_t group = 0; group < g.groups; group++)
            for (int64_t i = 0; i < g.n; i++)
                for (int64_t j = 0; j < g.m; j++, at++)
                    tern_set(&call->out[0], at, element_of(call, &g, t, group, i, j));
    if (call->counter) call->op->work(call, call->counter);
}

/* ---- as products of floats ----------------------------------------------------------------------------------------------------- */

/* Both images of a call as floats, and A, B and C of a product. */
typedef struct half_scratch {
    float *first, *second, *bias, *a, *b, *c;
    size_t bytes;
} half_scratch;

static half_scratch scratch_of(const tern_call *call, const tern_half_geometry *g, char *at)
{
    half_scratch s = {0};
    struct {
        float **to;
        int64_t elements;
    } parts[] = {{&s.first, tern_elements(&call->in[0].shape)},
                 {&s.second, tern_elements(&call->in[1].shape)},
                 {&s.bias, call->nin > 2 ? tern_elements(&call->in[2].shape) : 0},
                 {&s.a, g->n * g->k},
                 {&s.b, g->k * g->m},
                 {&s.c, g->n * g->m}};
    for (size_t i = 0; i < TERN_COUNT(parts); i++) {
        *parts[i].to = (float *)(void *)(at + s.bytes);
        s.bytes += ((size_t)parts[i].elements * sizeof(float) + 63) / 64 * 64;
    }
    return s;
}

static size_t fast_scratch(const tern_call *call)
{
    static char none[1];
    tern_half_geometry g = tern_half_geometry_of(call);
    return scratch_of(call, &g, none).bytes;
}

static void to_floats(tern_pool *pool, const tern_tensor *x, float *to)
{
    int64_t n = tern_elements(&x->shape);
    if (x->dtype == TERN_F32)
        memcpy(to, x->data, (size_t)n * sizeof *to);
    else
        tern_cast_loop(pool, n, x->dtype, x->data, TERN_F32, to);
}

static void fill_left(const tern_half_geometry *g, int64_t group, const float *second, float *a)
{
    const tern_conv *c = &g->conv;
    int64_t taps = c->kernel_height * c->kernel_width, pixels = c->out_height * c->out_width;
    if (g->kind == TERN_HALF_FORWARD) {
        memcpy(a, second + group * g->n * g->k, (size_t)(g->n * g->k) * sizeof *a);
        return;
    }
    int64_t first = group * (c->out_channels / c->groups);
    for (int64_t i = 0; i < g->n; i++)
        for (int64_t k = 0; k < g->k; k++) {
            int64_t at = g->kind == TERN_HALF_OF_WEIGHT
                             ? (k / pixels * c->out_channels + group * g->n + i) * pixels + k % pixels
                             : ((first + k / taps) * g->n + i) * taps + taps - 1 - k % taps;
            a[i * g->k + k] = second[at];
        }
}

static void fill_right(const tern_half_geometry *g, int64_t image, int64_t group, const float *first,
                       float *b)
{
    int64_t plane = g->window.channels * g->window.height * g->window.width;
    if (g->kind != TERN_HALF_OF_WEIGHT) {
        tern_half_columns(&g->window, first + (image * g->groups + group) * plane, false, b);
        return;
    }
    for (int64_t n = 0; n < g->conv.images; n++)
        tern_half_columns(&g->window, first + (n * g->groups + group) * plane, true,
                          b + n * g->k / g->conv.images * g->m);
}

static void half_fast(const tern_call *call)
{
    tern_half_geometry g = tern_half_geometry_of(call);
    half_scratch s = scratch_of(call, &g, call->scratch);
    tern_dtype format = call->in[0].dtype;
    tern_half_product p = {format,
                           TERN_ARGS(tern_half_op, call)->wide,
                           g.lanes,
                           g.n,
                           g.k,
                           g.m,
                           g.flat ? s.first : s.a,
                           g.flat ? s.second : s.b,
                           s.c};
    bool biased = g.kind == TERN_HALF_FORWARD && call->nin > 2 && call->in[2].data;
    size_t bytes = tern_bytes_of(format, g.n * g.m);
    to_floats(call->pool, &call->in[0], s.first);
    to_floats(call->pool, &call->in[1], s.second);
    if (biased) to_floats(call->pool, &call->in[2], s.bias);
    for (int64_t t = 0; t < g.times; t++)
        for (int64_t group = 0; group < g.groups; group++) {
            if (!g.flat) fill_left(&g, group, s.second, s.a);
            if (!g.flat) fill_right(&g, t, group, s.first, s.b);
            for (int64_t i = 0; i < g.n; i++)
                for (int64_t j = 0; j < g.m; j++) s.c[i * g.m + j] = biased ? s.bias[group * g.n + i] : 0;
            tern_half_multiply(call->pool, &p);
            if (g.flat) p.a += g.k;
            char *to = (char *)call->out[0].data + (size_t)(t * g.groups + group) * bytes;
            if (format == TERN_F32)
                memcpy(to, s.c, bytes);
            else
                tern_cast_loop(call->pool, g.n * g.m, TERN_F32, s.c, format, to);
        }
}

static bool always(const tern_call *call)
{
    (void)call;
    return true;
}

static const tern_fast half_kernels[] = {{"rows", always, fast_scratch, half_fast}, {0}};

/* ---- what they cost ------------------------------------------------------------------------------------------------------------ */

static void half_work(const tern_call *call, tern_work *work)
{
    tern_half_geometry g = tern_half_geometry_of(call);
    work->macs += (double)(g.times * g.groups) * (double)(g.n * g.k) * (double)g.m;
}

static tern_product_shape half_shape(const tern_call *call)
{
    tern_half_geometry g = tern_half_geometry_of(call);
    return (tern_product_shape){.count = g.times * g.groups, .m = g.m, .n = g.n, .k = g.k};
}

/* ---- the three records ---------------------------------------------------------------------------------------------------------- */

tern_status tern_half_check(const tern_infer *types)
{
    tern_dtype format = types->in[0]->dtype;
    if (format != TERN_F16 && format != TERN_BF16 && format != TERN_F32)
        return tern_infer_fail(types, "operands are %s, expected f16, bf16 or f32",
                               tern_dtype_of(format)->name);
    for (int i = 1; i < types->nin; i++)
        if (types->in[i] && types->in[i]->dtype != format)
            return tern_infer_fail(types, "operand %d is %s, the first %s: expected the same format", i,
                                   tern_dtype_of(types->in[i]->dtype)->name, tern_dtype_of(format)->name);
    return TERN_OK;
}

static tern_status check_args(const tern_infer *types)
{
    int lanes = TERN_ARGS(tern_half_op, types)->lanes;
    TERN_TRY(tern_half_check(types));
    if (lanes == 1 || lanes == 2 || lanes == 4 || lanes == TERN_HALF_LANES) return TERN_OK;
    return tern_infer_fail(types, "lanes are %d, expected 1, 2, 4 or %d", lanes, TERN_HALF_LANES);
}

/* The arguments of the convolution, or of a linear layer. */
static tern_status forward_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 3));
    TERN_TRY(check_args(types));
    const tern_shape *x = &types->in[0]->shape, *w = &types->in[1]->shape;
    tern_shape y;
    char tx[96], tw[96];
    if (w->rank == 2) {
        const tern_type *b = types->nin > 2 ? types->in[2] : NULL;
        if (x->rank < 1 || x->dim[x->rank - 1] != w->dim[1] || (b && tern_elements(&b->shape) != w->dim[0]))
            return tern_infer_fail(types, "x %s, W %s and bias do not match: expected [..,K], [N,K] and [N]",
                                   tern_shape_text(tx, x), tern_shape_text(tw, w));
        y = *x;
        y.dim[y.rank - 1] = w->dim[0];
    } else {
        tern_infer conv = *types;
        conv.args = &TERN_ARGS(tern_half_op, types)->conv;
        TERN_TRY(tern_conv_shape(&conv, &y));
    }
    tern_infer_out(types, types->in[0]->dtype, y);
    return TERN_OK;
}

static tern_status back_infer(tern_infer *types, bool of_weight)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    TERN_TRY(check_args(types));
    const tern_conv_op *conv = &TERN_ARGS(tern_half_op, types)->conv;
    tern_infer product = *types;
    product.args = conv;
    const tern_shape *first = &types->in[0]->shape, *second = &types->in[1]->shape;
    if (of_weight)
        TERN_TRY(tern_int8_check_product(&product, first, &conv->like, second));
    else
        TERN_TRY(tern_int8_check_product(&product, &conv->like, second, first));
    tern_infer_out(types, types->in[0]->dtype, conv->like);
    return TERN_OK;
}

static tern_status of_input_infer(tern_infer *types)
{
    return back_infer(types, false);
}

static tern_status of_weight_infer(tern_infer *types)
{
    return back_infer(types, true);
}

static tern_status forward_grad(tern_grad *c)
{
    tern_graph *g = c->graph;
    tern_value x = c->node->in[0], w = c->node->in[1], dy = c->dout[0];
    tern_half_op args = *(const tern_half_op *)c->node->args;
    if (c->need[0]) {
        args.conv.like = tern_shape_of(g, x);
        c->din[0] = tern_apply(g, &tern_op_half_grad_input, &args, (tern_value[]){dy, w}, 2, NULL);
    }
    if (c->need[1]) {
        args.conv.like = tern_shape_of(g, w);
        c->din[1] = tern_apply(g, &tern_op_half_grad_weight, &args, (tern_value[]){x, dy}, 2, NULL);
    }
    if (c->node->nin > 2 && c->need[2]) c->din[2] = tern_apply1(g, &tern_op_half_sum, dy);
    return TERN_OK;
}

#define HALF_PRODUCT(id, doc_, infer_, grad_)                                                                \
    const tern_op tern_op_##id = {.name = #id,                                                               \
                                  .doc = doc_,                                                               \
                                  .args = half_args,                                                         \
                                  .args_size = sizeof(tern_half_op),                                         \
                                  .infer = infer_,                                                           \
                                  .grad = grad_,                                                             \
                                  .work = half_work,                                                         \
                                  .product = half_shape,                                                     \
                                  .run = half_run,                                                           \
                                  .scratch = tern_half_written_scratch,                                      \
                                  .emit = tern_half_write,                                                   \
                                  .fast = half_kernels}
HALF_PRODUCT(half_product, "convolution or linear layer, sums rounded behind every term", forward_infer,
             forward_grad);
HALF_PRODUCT(half_grad_input, "gradient of half_product to x", of_input_infer, NULL);
HALF_PRODUCT(half_grad_weight, "gradient of half_product to W", of_weight_infer, NULL);
