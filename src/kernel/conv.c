/* Convolution as a product: the packers read the images through a window, so no unfolded copy of them exists.  Here it is
 * also chosen who is faster: spikes that are added (sparse_conv.c), 3x3 kernels by tiles (winograd.c), planes by
 * themselves where each channel has a group of its own. */
#include "kernel/sparse_conv.h"
#include "kernel/winograd.h"
#include "tensor/tensor.h"

#include <string.h>

int64_t tern_conv_extent(int64_t in, int64_t kernel, int64_t stride, int64_t pads, int64_t dilation)
{
    int64_t room = in + pads - dilation * (kernel - 1) - 1;
    return room < 0 ? 0 : room / stride + 1;
}

static int64_t taps_of(const tern_conv *c)
{
    return c->kernel_height * c->kernel_width;
}

static bool is_depthwise(const tern_conv *c)
{
    return c->groups == c->in_channels && c->groups == c->out_channels;
}

/* x seen from the output pixels. */
static tern_window input_window(const tern_conv *c)
{
    return (tern_window){.channels = c->in_channels / c->groups,
                         .height = c->height,
                         .width = c->width,
                         .image_stride = c->in_channels * c->height * c->width,
                         .out_height = c->out_height,
                         .out_width = c->out_width,
                         .taps_y = c->kernel_height,
                         .taps_x = c->kernel_width,
                         .step_y = c->dilation_y,
                         .step_x = c->dilation_x,
                         .origin_y = -c->pad_y,
                         .origin_x = -c->pad_x,
                         .stride_y = c->stride_y,
                         .stride_x = c->stride_x};
}

/* dy seen from its own pixels. */
static tern_window output_window(const tern_conv *c)
{
    return (tern_window){.channels = c->out_channels / c->groups,
                         .height = c->out_height,
                         .width = c->out_width,
                         .image_stride = c->out_channels * c->out_height * c->out_width,
                         .out_height = c->out_height,
                         .out_width = c->out_width,
                         .taps_y = 1,
                         .taps_x = 1,
                         .step_y = 1,
                         .step_x = 1,
                         .stride_y = 1,
                         .stride_x = 1};
}

static tern_factor seen(const void *data, bool bits, int64_t first, const tern_window *window,
                        bool sum_pixels)
{
    return (tern_factor){.data = data,
                         .bits = bits,
                         .first = first,
                         .window = window,
                         .sum_pixels = sum_pixels,
                         .batch_stride = window->channels * window->height * window->width};
}

/* y[out_channels/groups, pixels] = w[.., (c,ky,kx)] * window(x)[(c,ky,kx), pixels], one product a group. */
static tern_product forward_product(const tern_conv *c, const tern_window *window)
{
    int64_t out = c->out_channels / c->groups, pixels = c->out_height * c->out_width;
    int64_t sums = c->in_channels / c->groups * taps_of(c);
    return (tern_product){.m = out,
                          .n = c->images * pixels,
                          .k = sums,
                          .batch = c->groups,
                          .a = {.free_stride = sums, .sum_stride = 1, .batch_stride = out * sums},
                          .b = seen(NULL, false, 0, window, false),
                          .row_stride = pixels,
                          .batch_stride = out * pixels,
                          .pixels = pixels,
                          .image_stride = c->out_channels * pixels,
                          .width = pixels,
                          .pixel_step = 1};
}

/* dw[out_channels/groups, (c,ky,kx)] = dy[.., pixels] * window(x)[(c,ky,kx), pixels]^T. */
static tern_product weight_product(const tern_conv *c, const tern_window *input, const tern_window *output)
{
    int64_t out = c->out_channels / c->groups, taps = c->in_channels / c->groups * taps_of(c);
    return (tern_product){.m = out,
                          .n = taps,
                          .k = c->images * c->out_height * c->out_width,
                          .batch = c->groups,
                          .a = seen(NULL, false, 0, output, true),
                          .b = seen(NULL, false, 0, input, true),
                          .row_stride = taps,
                          .batch_stride = out * taps};
}

/* ---- gradient to the input --------------------------------------------------------------------------- */

/* Along one axis, the input positions phase, phase + stride, … meet every `every`-th tap from `tap` on, and tap number t
 * of those looks at output position + origin + t*step. */
typedef struct phase_axis {
    int64_t count; /* positions */
    int64_t taps, tap, every;
    int64_t origin, step;
} phase_axis;

static phase_axis phase_of(int64_t phase, int64_t in, int64_t kernel, int64_t stride, int64_t pad,
                           int64_t dilation)
{
    phase_axis p = {.count = ceil_div(in - phase, stride), .every = 1};
    while (p.every * dilation % stride) p.every++;
    p.step = -(p.every * dilation / stride);
    for (p.tap = 0; p.tap < min(p.every, kernel); p.tap++) {
        int64_t at = phase + pad - p.tap * dilation;
        if (at % stride) continue;
        p.taps = ceil_div(kernel - p.tap, p.every);
        p.origin = at / stride;
        break;
    }
    return p;
}

/* dx of one phase, one product a group: the weights turned to [in_channels/groups, (o,ty,tx)] times dy's window. */
static tern_product input_product(const tern_conv *c, const phase_axis *y, const phase_axis *x,
                                  tern_window *window)
{
    int64_t in = c->in_channels / c->groups, sums = c->out_channels / c->groups * y->taps * x->taps;
    bool whole = c->stride_y == 1 && c->stride_x == 1;
    *window = output_window(c);
    window->out_height = y->count;
    window->out_width = x->count;
    window->taps_y = y->taps;
    window->taps_x = x->taps;
    window->step_y = y->step;
    window->step_x = x->step;
    window->origin_y = y->origin;
    window->origin_x = x->origin;
    return (tern_product){.m = in,
                          .n = c->images * y->count * x->count,
                          .k = sums,
                          .batch = c->groups,
                          .a = {.free_stride = sums, .sum_stride = 1, .batch_stride = in * sums},
                          .b = seen(NULL, false, 0, window, false),
                          .row_stride = c->height * c->width,
                          .batch_stride = in * c->height * c->width,
                          .pixels = y->count * x->count,
                          .image_stride = c->in_channels * c->height * c->width,
                          .width = whole ? y->count * x->count : x->count,
                          .row_step = c->stride_y * c->width,
                          .pixel_step = c->stride_x};
}

/* turned[g][c][o][ty][tx] = w[g*outs + o][c][y.tap + ty*y.every][x.tap + tx*x.every] */
static void turn_weights(const tern_conv *conv, const phase_axis *y, const phase_axis *x, const float *w,
                         float *turned)
{
    int64_t outs = conv->out_channels / conv->groups, ins = conv->in_channels / conv->groups;
    for (int64_t g = 0; g < conv->groups; g++)
        for (int64_t c = 0; c < ins; c++)
            for (int64_t o = 0; o < outs; o++) {
                const float *kernel = w + ((g * outs + o) * ins + c) * taps_of(conv);
                for (int64_t ty = 0; ty < y->taps; ty++)
                    for (int64_t tx = 0; tx < x->taps; tx++)
                        *turned++ =
                            kernel[(y->tap + ty * y->every) * conv->kernel_width + x->tap + tx * x->every];
            }
}

static size_t turned_bytes(const tern_conv *c)
{
    int64_t weights = c->out_channels * (c->in_channels / c->groups) * taps_of(c);
    return (size_t)ceil_div(weights, 16) * 64;
}

/* Runs or measures the products of all phases. */
static size_t each_phase(tern_pool *pool, const tern_conv *c, const float *dy, const float *w, float *dx,
                         bool accumulate, char *scratch)
{
    size_t bytes = 0;
    for (int64_t py = 0; py < min(c->stride_y, c->height); py++)
        for (int64_t px = 0; px < min(c->stride_x, c->width); px++) {
            phase_axis y = phase_of(py, c->height, c->kernel_height, c->stride_y, c->pad_y, c->dilation_y);
            phase_axis x = phase_of(px, c->width, c->kernel_width, c->stride_x, c->pad_x, c->dilation_x);
            tern_window window;
            tern_product product = input_product(c, &y, &x, &window);
            if (!scratch) {
                bytes = (size_t)max((int64_t)bytes, (int64_t)tern_gemm_scratch(&product));
                continue;
            }
            turn_weights(c, &y, &x, w, (float *)scratch);
            product.a.data = scratch;
            product.b.data = dy;
            product.c = dx + py * c->width + px;
            product.accumulate = accumulate;
            tern_gemm(pool, &product, scratch + turned_bytes(c));
        }
    return bytes + turned_bytes(c);
}

/* ---- 3x3 kernels ------------------------------------------------------------------------------------- */

static bool is_plain_3x3(const tern_conv *c)
{
    return !c->exact && c->groups == 1 && c->kernel_height == 3 && c->kernel_width == 3 && c->stride_y == 1 &&
           c->stride_x == 1 && c->dilation_y == 1 && c->dilation_x == 1;
}

/* y from x. */
static tern_winograd forward_3x3(const tern_conv *c)
{
    return (tern_winograd){.images = c->images,
                           .ins = c->in_channels,
                           .height = c->height,
                           .width = c->width,
                           .outs = c->out_channels,
                           .out_height = c->out_height,
                           .out_width = c->out_width,
                           .pad_y = c->pad_y,
                           .pad_x = c->pad_x,
                           .out_step = c->in_channels * 9,
                           .in_step = 9};
}

/* dx from dy: a convolution with the weights turned by half a circle. */
static tern_winograd input_3x3(const tern_conv *c)
{
    return (tern_winograd){.images = c->images,
                           .ins = c->out_channels,
                           .height = c->out_height,
                           .width = c->out_width,
                           .outs = c->in_channels,
                           .out_height = c->height,
                           .out_width = c->width,
                           .pad_y = 2 - c->pad_y,
                           .pad_x = 2 - c->pad_x,
                           .out_step = 9,
                           .in_step = c->in_channels * 9,
                           .turned = true};
}

static size_t scratch_3x3(const tern_conv *c)
{
    tern_winograd y = forward_3x3(c), dx = input_3x3(c);
    size_t of_y = is_plain_3x3(c) && tern_winograd_fits(&y) ? tern_winograd_scratch(&y) : 0;
    size_t of_dx = is_plain_3x3(c) && tern_winograd_fits(&dx) ? tern_winograd_scratch(&dx) : 0;
    return of_y > of_dx ? of_y : of_dx;
}

/* ---- depthwise --------------------------------------------------------------------------------------- */

typedef struct depthwise {
    const tern_conv *conv;
    const float *x, *w, *bias, *dy;
    float *y, *dx, *dw;
    bool accumulate;
} depthwise;

static void depthwise_forward(void *context, int64_t plane, int thread)
{
    const depthwise *d = context;
    const tern_conv *c = d->conv;
    int64_t channel = plane % c->groups;
    (void)thread;
    tern_kernels_get()->plane_forward(c, d->x + plane * c->height * c->width, d->w + channel * taps_of(c),
                                      d->bias ? d->bias[channel] : 0,
                                      d->y + plane * c->out_height * c->out_width);
}

static void depthwise_input(void *context, int64_t plane, int thread)
{
    const depthwise *d = context;
    const tern_conv *c = d->conv;
    float *dx = d->dx + plane * c->height * c->width;
    (void)thread;
    if (!d->accumulate) memset(dx, 0, sizeof(float) * (size_t)(c->height * c->width));
    tern_kernels_get()->plane_grad_input(c, d->dy + plane * c->out_height * c->out_width,
                                         d->w + plane % c->groups * taps_of(c), dx);
}

#define TAPS_AT_ONCE 1024

static void depthwise_weight(void *context, int64_t channel, int thread)
{
    const depthwise *d = context;
    const tern_conv *c = d->conv;
    double sum[TAPS_AT_ONCE] = {0};
    float *dw = d->dw + channel * taps_of(c);
    (void)thread;
    for (int64_t image = 0; image < c->images; image++) {
        int64_t plane = image * c->groups + channel;
        tern_kernels_get()->plane_grad_weight(c, d->x + plane * c->height * c->width,
                                              d->dy + plane * c->out_height * c->out_width, sum);
    }
    for (int64_t t = 0; t < taps_of(c); t++) dw[t] = (float)((d->accumulate ? dw[t] : 0) + sum[t]);
}

/* ---- spikes ------------------------------------------------------------------------------------------ */

/* How many outputs along an axis read input position `at`. */
static int64_t readers(int64_t at, int64_t out, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation)
{
    int64_t count = 0;
    for (int64_t k = 0; k < kernel; k++) {
        int64_t o = at + pad - k * dilation;
        count += o >= 0 && o % stride == 0 && o / stride < out;
    }
    return count;
}

/* The additions that the spikes ask for: each adds its column of weights at every output that reads it. */
static int64_t count_accumulates(const tern_conv *c, const void *x, int64_t first)
{
    int64_t total = 0, planes = c->images * c->in_channels;
    for (int64_t ix = 0; ix < c->width; ix++)
        for (int64_t iy = 0; iy < c->height; iy++) {
            int64_t y = readers(iy, c->out_height, c->kernel_height, c->stride_y, c->pad_y, c->dilation_y);
            int64_t x_ = readers(ix, c->out_width, c->kernel_width, c->stride_x, c->pad_x, c->dilation_x);
            for (int64_t p = 0; y * x_ > 0 && p < planes; p++)
                total += y * x_ * tern_bit_get(x, first + (p * c->height + iy) * c->width + ix);
        }
    return total * (c->out_channels / c->groups);
}

/* Is adding rows possible and the faster path? */
static bool choose_sparse(const tern_conv *c, const void *x, int64_t first, tern_spike_path path,
                          double threshold)
{
    if (path == TERN_SPIKE_DENSE || !tern_sparse_conv_fits(c)) return false;
    if (path == TERN_SPIKE_SPARSE) return true;
    int64_t bits = c->images * c->in_channels * c->height * c->width;
    return (double)tern_bits_count(x, first, bits) < threshold * (double)bits;
}

/* ---- the public functions ---------------------------------------------------------------------------- */

size_t tern_conv_scratch(const tern_conv *conv)
{
    tern_window input = input_window(conv), output = output_window(conv);
    tern_product forward = forward_product(conv, &input), weight = weight_product(conv, &input, &output);
    size_t of_weight =
        tern_long_sum_fits(&weight) ? tern_long_sum_scratch(&weight) : tern_gemm_scratch(&weight);
    int64_t bytes = max((int64_t)tern_gemm_scratch(&forward), (int64_t)of_weight);
    if (tern_sparse_conv_fits(conv)) bytes = max(bytes, (int64_t)tern_sparse_conv_scratch(conv));
    bytes = max(bytes, (int64_t)scratch_3x3(conv));
    return (size_t)max(bytes, (int64_t)each_phase(NULL, conv, NULL, NULL, NULL, false, NULL));
}

static void forward(tern_pool *pool, const tern_conv *conv, const void *x, bool bits, int64_t first,
                    const float *w, const float *bias, float *y, void *scratch)
{
    tern_window window = input_window(conv);
    tern_product product = forward_product(conv, &window);
    product.a.data = w;
    product.b = seen(x, bits, first, &window, false);
    product.c = y;
    product.row_bias = bias;
    tern_gemm(pool, &product, scratch);
}

void tern_conv_forward(tern_pool *pool, const tern_conv *conv, const float *x, const float *w,
                       const float *bias, float *y, void *scratch)
{
    if (is_depthwise(conv)) {
        depthwise d = {.conv = conv, .x = x, .w = w, .bias = bias, .y = y};
        tern_pool_run(pool, conv->images * conv->groups, depthwise_forward, &d);
        return;
    }
    tern_winograd fewer = forward_3x3(conv);
    if (is_plain_3x3(conv) && tern_winograd_fits(&fewer)) {
        fewer.x = x;
        fewer.w = w;
        fewer.bias = bias;
        fewer.y = y;
        tern_winograd_run(pool, &fewer, scratch);
        return;
    }
    forward(pool, conv, x, false, 0, w, bias, y, scratch);
}

void tern_conv_forward_bits(tern_pool *pool, const tern_conv *conv, const void *x, int64_t first,
                            const float *w, const float *bias, float *y, tern_spike_path path,
                            int64_t *accumulates, void *scratch)
{
    if (accumulates) *accumulates += count_accumulates(conv, x, first);
    if (choose_sparse(conv, x, first, path, tern_kernels_get()->sparse_below[TERN_SPARSE_CONV])) {
        tern_sparse_conv_forward(pool, conv, x, first, w, bias, y, scratch);
        return;
    }
    forward(pool, conv, x, true, first, w, bias, y, scratch);
}

void tern_conv_grad_input(tern_pool *pool, const tern_conv *conv, const float *dy, const float *w, float *dx,
                          bool accumulate, void *scratch)
{
    if (is_depthwise(conv)) {
        depthwise d = {.conv = conv, .dy = dy, .w = w, .dx = dx, .accumulate = accumulate};
        tern_pool_run(pool, conv->images * conv->groups, depthwise_input, &d);
        return;
    }
    tern_winograd fewer = input_3x3(conv);
    if (!accumulate && is_plain_3x3(conv) && tern_winograd_fits(&fewer)) {
        fewer.x = dy;
        fewer.w = w;
        fewer.y = dx;
        tern_winograd_run(pool, &fewer, scratch);
        return;
    }
    each_phase(pool, conv, dy, w, dx, accumulate, scratch);
}

static void grad_weight(tern_pool *pool, const tern_conv *conv, const void *x, bool bits, int64_t first,
                        const float *dy, float *dw, bool accumulate, void *scratch)
{
    tern_window input = input_window(conv), output = output_window(conv);
    tern_product product = weight_product(conv, &input, &output);
    product.a.data = dy;
    product.b = seen(x, bits, first, &input, true);
    product.c = dw;
    product.accumulate = accumulate;
    if (tern_long_sum_fits(&product))
        tern_long_sum(pool, &product, scratch);
    else
        tern_gemm(pool, &product, scratch);
}

void tern_conv_grad_weight(tern_pool *pool, const tern_conv *conv, const float *x, const float *dy, float *dw,
                           bool accumulate, void *scratch)
{
    if (is_depthwise(conv) && taps_of(conv) <= TAPS_AT_ONCE) {
        depthwise d = {.conv = conv, .x = x, .dy = dy, .dw = dw, .accumulate = accumulate};
        tern_pool_run(pool, conv->groups, depthwise_weight, &d);
        return;
    }
    grad_weight(pool, conv, x, false, 0, dy, dw, accumulate, scratch);
}

void tern_conv_grad_weight_bits(tern_pool *pool, const tern_conv *conv, const void *x, int64_t first,
                                const float *dy, float *dw, bool accumulate, tern_spike_path path,
                                int64_t *accumulates, void *scratch)
{
    if (accumulates) *accumulates += count_accumulates(conv, x, first);
    if (choose_sparse(conv, x, first, path, tern_kernels_get()->sparse_below[TERN_SPARSE_CONV_WEIGHT])) {
        tern_sparse_conv_grad_weight(pool, conv, x, first, dy, dw, accumulate, scratch);
        return;
    }
    grad_weight(pool, conv, x, true, first, dy, dw, accumulate, scratch);
}
