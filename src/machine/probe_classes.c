/* What the probe measures of Tern's kernels: each class of operators, at sizes over the whole range that nets have. */
#include "machine/probe_kernels.h"

#include "op/fixed.h"
#include "op/lif.h"
#include "op/norm.h"

/* ---- what is measured ------------------------------------------------------------------------------------------ */

/* A graph with an input x of that shape; `bits`: spikes. */
static tern_graph *begin(tern_bench *b, bool bits, tern_shape shape, tern_value *x)
{
    tern_graph *g = NULL;
    if (b->status != TERN_OK) return NULL;
    b->status = tern_graph_open(&g, &(tern_graph_options){0});
    if (b->status == TERN_OK) *x = tern_input(g, "x", bits ? TERN_BIT : TERN_F32, shape);
    return g;
}

static void end(tern_bench *b, tern_graph *g, double density)
{
    if (g) b->status = tern_bench_take(b, g, density);
}

/* x [images, in, size, size]; density 0: numbers. */
static void add_conv(tern_bench *b, int images, int in, int size, tern_conv2d_args args, double density)
{
    tern_value x;
    tern_graph *g = begin(b, density > 0, TERN_SHAPE(images, in, size, size), &x);
    if (g) tern_conv2d_with(g, x, args);
    end(b, g, density);
}

static tern_conv2d_args conv_args(int out, int kernel, int stride, int groups)
{
    return (tern_conv2d_args){.out = out,
                              .kernel = kernel,
                              .stride = stride,
                              .pad = kernel / 2,
                              .dilation = 1,
                              .groups = groups,
                              .bias = true};
}

static void add_linear(tern_bench *b, int rows, int in, int out, double density)
{
    tern_value x;
    tern_graph *g = begin(b, density > 0, TERN_SHAPE(rows, in), &x);
    if (g) tern_linear(g, x, .out = out);
    end(b, g, density);
}

static void add_packed(tern_bench *b, tern_dtype format, int rows, int in, int out)
{
    tern_value x;
    tern_graph *g = begin(b, false, TERN_SHAPE(rows, in), &x);
    if (g) tern_multiply_weight(g, x, tern_weight(g, "w", format, TERN_SHAPE(out, in)), (tern_value){0});
    end(b, g, 0);
}

static void add_matmul(tern_bench *b, int count, int m, int n, int k, bool turned)
{
    tern_value x;
    tern_graph *g = begin(b, false, TERN_SHAPE(count, m, k), &x);
    if (g)
        tern_matmul(g, x,
                    tern_input(g, "y", TERN_F32, turned ? TERN_SHAPE(count, n, k) : TERN_SHAPE(count, k, n)),
                    .transpose_b = turned);
    end(b, g, 0);
}

/* Convolutions: pixels from 1 x 1 to 112 x 112, channels from 8 to 1024, no more products than a layer of some size has. */
static void add_convs(tern_bench *b)
{
    static const int sizes[] = {1, 2, 7, 14, 28, 56, 112}, channels[] = {8, 64, 256, 1024};
    for (size_t s = 0; s < TERN_COUNT(sizes); s++)
        for (size_t c = 0; c < TERN_COUNT(channels); c++) {
            int size = sizes[s], in = channels[c];
            double pixels = (double)size * size, products = pixels * in * in;
            bool even = c % 2 == s % 2;
            if (products < 6e7) add_conv(b, 1, in, size, conv_args(in, 1, 1, 1), 0);
            if (products < 2e8 && pixels * in < 1e6) {
                if (even) add_conv(b, 1, in, size, conv_args(in / 4, 1, 1, 1), 0);
                if (!even) add_conv(b, 1, in / 4, size, conv_args(in, 1, 1, 1), 0);
            }
            if (products < 1.2e8 && in >= 64)
                add_conv(b, 1, in / 2, size, conv_args(even ? in / 2 : in, 3, 1, 1), 0);
            if (products < 6e6) add_conv(b, 1, in, size, conv_args(even ? 2 * in : in, 3, 2, 1), 0);
        }
    add_conv(b, 1, 256, 4, conv_args(256, 3, 1, 1), 0);
    add_conv(b, 1, 512, 4, conv_args(512, 3, 1, 1), 0);
    add_conv(b, 1, 1024, 4, conv_args(1024, 3, 1, 1), 0);
    for (int size = 3; size <= 24; size *= 2) /* time steps of a spiking net */
        add_conv(b, 8, 1536 / size, size, conv_args(1536 / size, 3, 1, 1), 0);
    for (int size = 7; size <= 112; size *= 2)
        add_conv(b, 1, size > 28 ? 16 : 128, size, conv_args(size > 28 ? 32 : 128, 3, 1, 1), 0);
    for (int size = 28; size <= 224; size *= 2) {
        add_conv(b, 1, 3, size, conv_args(32, 3, 1, 1), 0);
        add_conv(b, 1, 3, size, conv_args(64, size == 56 ? 7 : 3, 2, 1), 0);
        add_conv(b, 1, 1, size / 4, conv_args(16, 5, 1, 1), 0);
        add_conv(b, 1, 1, size / 2, conv_args(32, 3, 1, 1), 0);
        add_conv(b, 1, 32, size / 4, conv_args(32, 5, 1, 1), 0);
        add_conv(b, 1, 64, size / 4, conv_args(64, 3, 1, 8), 0);
    }
    add_conv(b, 1, 3, 224, conv_args(64, 7, 2, 1), 0);
    add_conv(b, 1, 3, 224, conv_args(384, 16, 16, 1), 0);
}

/* Planes from 2 x 2 to 112 x 112, each with a kernel of its own. */
static void add_depthwise(tern_bench *b)
{
    static const int sizes[] = {2, 4, 7, 14, 28, 56, 112}, channels[] = {8, 64, 256, 1024};
    for (size_t s = 0; s < TERN_COUNT(sizes); s++)
        for (size_t c = 0; c < TERN_COUNT(channels); c++) {
            int size = sizes[s], planes = channels[c];
            bool even = c % 2 == s % 2;
            if ((double)size * size * planes > 1e6) continue;
            add_conv(b, 1, planes, size, conv_args(planes, 3, 1, planes), 0);
            add_conv(b, 1, planes, size, conv_args(planes, even ? 3 : 5, 2, planes), 0);
            if (even) add_conv(b, 1, planes, size, conv_args(planes, 5, 1, planes), 0);
        }
}

/* Spikes: images are time steps. */
static void add_spikes(tern_bench *b)
{
    static const double densities[] = {0.02, 0.1, 0.35};
    static const int sizes[] = {3, 7, 24}, channels[] = {16, 128, 512};
    static const int widths[] = {64, 512, 2048, 4096}, outs[] = {10, 64, 256, 1024};
    for (size_t d = 0; d < TERN_COUNT(densities); d++) {
        for (size_t s = 0; s < TERN_COUNT(sizes); s++)
            for (size_t c = 0; c < TERN_COUNT(channels); c++) {
                int size = sizes[s], in = channels[c];
                if (size * size * in > 28 * 28 * 32) continue;
                for (int images = 1; images <= 8; images *= 8)
                    add_conv(b, images, in, size, conv_args(in, 3, 1, 1), densities[d]);
                add_conv(b, 4, in, size, conv_args(2 * in, d == 1 ? 1 : 3, 2, 1), densities[d]);
            }
        for (size_t i = 0; i < TERN_COUNT(widths); i++)
            for (size_t o = 0; o < TERN_COUNT(outs); o++)
                for (int rows = 1; rows <= 32 && widths[i] * outs[o] <= 2 << 20; rows *= rows == 1 ? 4 : 8)
                    add_linear(b, rows, widths[i], outs[o], densities[d]);
    }
}

static void add_products(tern_bench *b)
{
    static const int widths[] = {10, 64, 256, 1024, 4096}, rows[] = {1, 4, 16, 64, 256};
    static const tern_dtype formats[] = {TERN_Q4_0, TERN_Q8_0, TERN_Q4_K, TERN_Q6_K, TERN_F16};
    for (size_t r = 0; r < TERN_COUNT(rows); r++)
        for (size_t i = 0; i < TERN_COUNT(widths); i++)
            for (size_t o = 0; o < TERN_COUNT(widths); o++)
                if ((double)rows[r] * widths[i] * widths[o] < 3e8 && (r + i + o) % 2 == 0)
                    add_linear(b, rows[r], widths[i], widths[o], 0);
    for (int m = 1; m <= 4;
         m *= 4) /* weights that the near caches of all threads have, and those of one have not */
        for (int in = 256; in <= 2048; in *= 2) add_linear(b, m, in, 512, 0);
    for (int m = 16; m <= 256; m *= 4)
        for (int k = 16; k <= 256; k *= 4) {
            add_matmul(b, 6, m, m, k, true);
            add_matmul(b, 6, m, k, m, false);
        }
    for (size_t f = 0; f < TERN_COUNT(formats); f++)
        for (int n = 512; n <= 2048; n *= 4)
            for (int m = 1; m <= 16; m *= 16) {
                add_packed(b, formats[f], m, n, n);
                add_packed(b, formats[f], m, n, 2 * n);
            }
}

/* Operators that go over images [1, channels, size, size] and only move or change elements; of one and of two operands. */
typedef tern_value tern_curve_of(tern_graph *g, tern_value x);
typedef tern_value tern_pair_of(tern_graph *g, tern_value x, tern_value y);

static tern_value clip6(tern_graph *g, tern_value x)
{
    return tern_clip(g, x, 0, 6);
}
static tern_value max_pool(tern_graph *g, tern_value x)
{
    return tern_max_pool2d(g, x);
}
static tern_value max_pool3(tern_graph *g, tern_value x)
{
    return tern_max_pool2d(g, x, .kernel = 3, .stride = 2, .pad = 1);
}
static tern_value max_pool3_dense(tern_graph *g, tern_value x)
{
    return tern_max_pool2d(g, x, .kernel = 3, .stride = 1, .pad = 1);
}
static tern_value avg_pool(tern_graph *g, tern_value x)
{
    return tern_avg_pool2d(g, x);
}
static tern_value avg_pool3(tern_graph *g, tern_value x)
{
    return tern_avg_pool2d(g, x, .kernel = 3, .stride = 2, .pad = 1);
}
static tern_value avg_pool3_dense(tern_graph *g, tern_value x)
{
    return tern_avg_pool2d(g, x, .kernel = 3, .stride = 1, .pad = 1);
}
static tern_value pixel_mean(tern_graph *g, tern_value x)
{
    return tern_mean(g, x, .axis = 2, .axes = 2);
}
static tern_value first_mean(tern_graph *g, tern_value x)
{
    return tern_mean(g, tern_reshape(g, x, TERN_SHAPE(4, -1)), .axis = 0);
}
static tern_value norm(tern_graph *g, tern_value x)
{
    return tern_batch_norm(g, x);
}
static tern_value half(tern_graph *g, tern_value x)
{
    return tern_slice(g, x, 1, 0, (int)tern_shape_of(g, x).dim[1] / 2);
}
static tern_value crop(tern_graph *g, tern_value x)
{
    return tern_slice(g, x, 3, 1, (int)tern_shape_of(g, x).dim[3] - 1);
}
static tern_value border(tern_graph *g, tern_value x)
{
    return tern_pad(g, x, 3, 0, (int)tern_shape_of(g, x).dim[3] + 1);
}
static tern_value neurons(tern_graph *g, tern_value x)
{
    tern_shape s = tern_shape_of(g, x);
    return tern_lif(g, tern_reshape(g, x, TERN_SHAPE(4, 1, s.dim[1] / 4, s.dim[2], s.dim[3])));
}
static tern_value still_neurons(tern_graph *g, tern_value x)
{
    tern_lif_op op = {.decay = 0.5, .gain = 0.5, .threshold = 1, .alpha = 2, .timesteps = 8};
    return tern_apply(g, &tern_op_lif, &op, &x, 1, NULL);
}
static tern_value join(tern_graph *g, tern_value x, tern_value y)
{
    return tern_concat(g, (tern_value[]){x, y}, 2, 1);
}

/* As the planner joins them: element-wise operators in one pass. */
static void end_fused(tern_bench *b, tern_graph *g, tern_value y)
{
    tern_graph *fused = NULL;
    if (!g) return;
    tern_output(g, "y", y);
    b->status = tern_pass_fuse(g, &fused);
    tern_graph_close(g);
    if (b->status == TERN_OK) b->status = tern_bench_take(b, fused, 0);
}

static void add_curves(tern_bench *b, int channels, int size)
{
    static tern_curve_of *const curves[] = {tern_relu,
                                            tern_silu,
                                            tern_sigmoid,
                                            tern_gelu,
                                            tern_gelu_tanh,
                                            tern_tanh,
                                            tern_hard_swish,
                                            tern_hard_sigmoid,
                                            tern_negate,
                                            tern_heaviside,
                                            tern_exp,
                                            clip6,
                                            max_pool,
                                            max_pool3,
                                            max_pool3_dense,
                                            avg_pool,
                                            avg_pool3,
                                            avg_pool3_dense,
                                            pixel_mean,
                                            first_mean,
                                            norm,
                                            half,
                                            crop,
                                            border,
                                            neurons,
                                            still_neurons};
    static tern_curve_of *const of_spikes[] = {max_pool, avg_pool, pixel_mean, first_mean};
    static tern_pair_of *const pairs[] = {tern_add,    tern_subtract, tern_multiply,
                                          tern_divide, tern_maximum,  join};
    tern_shape shape = TERN_SHAPE(1, channels, size, size), row = TERN_SHAPE(1, channels, 1, 1);
    tern_value x;
    for (size_t i = 0; i < TERN_COUNT(curves); i++) {
        tern_graph *g = begin(b, false, shape, &x);
        if (g) curves[i](g, x);
        end(b, g, 0);
    }
    for (size_t i = 0; i < TERN_COUNT(of_spikes); i++) {
        tern_graph *g = begin(b, true, shape, &x);
        if (g) of_spikes[i](g, x);
        end(b, g, 0.1);
    }
    for (size_t i = 0; i < TERN_COUNT(pairs); i++)
        for (int wide = 0; wide < (pairs[i] == join ? 1 : 3); wide++) {
            tern_graph *g = begin(b, false, shape, &x);
            tern_shape other = wide == 0 ? shape : wide == 1 ? row : TERN_SHAPE(1);
            if (g) pairs[i](g, x, tern_input(g, "y", TERN_F32, other));
            end(b, g, 0);
        }
    for (size_t i = 0; i < 2; i++) { /* two trains of spikes, and numbers with spikes */
        tern_graph *g = begin(b, true, shape, &x);
        if (g) tern_add(g, x, tern_input(g, "y", i ? TERN_F32 : TERN_BIT, shape));
        end(b, g, 0.1);
    }
    tern_graph *g = begin(b, false, shape, &x);
    tern_value y = {0};
    if (g) y = tern_relu(g, tern_add(g, x, tern_input(g, "y", TERN_F32, shape)));
    end_fused(b, g, y);
    g = begin(b, false, shape, &x);
    if (g) {
        y = tern_multiply(g, tern_add(g, x, tern_input(g, "y", TERN_F32, shape)),
                          tern_input(g, "s", TERN_F32, row));
        y = tern_gelu(g, tern_add(g, y, tern_input(g, "t", TERN_F32, row)));
    }
    end_fused(b, g, y);
}

/* Rows of some length, and axes that change places. */
static void add_rows(tern_bench *b)
{
    static const int rows[][2] = {{1, 4}, {1, 10}, {4, 64}, {50, 197}, {200, 384}, {1200, 197}, {1000, 768}};
    static const int heads[][3] = {{16, 4, 16}, {64, 4, 32}, {200, 6, 64}, {1000, 8, 64}};
    static const int turns[][2] = {{16, 16}, {64, 49}, {384, 196}, {512, 1000}};
    tern_value x;
    for (size_t i = 0; i < TERN_COUNT(rows); i++)
        for (int kind = 0; kind < 4; kind++) {
            tern_graph *g = begin(b, false, TERN_SHAPE(rows[i][0], rows[i][1]), &x);
            if (g && kind == 0) tern_softmax(g, x);
            if (g && kind == 1) tern_mean(g, x, .axis = 1);
            if (g && kind == 2)
                tern_apply(g, &tern_op_normalise, &(tern_normalise_op){1e-5, true}, &x, 1, NULL);
            if (g && kind == 3) tern_sum(g, x, .axis = 1);
            end(b, g, 0);
        }
    for (size_t i = 0; i < TERN_COUNT(heads); i++) {
        tern_graph *g = begin(b, false, TERN_SHAPE(heads[i][0], heads[i][1], heads[i][2]), &x);
        if (g) tern_permute(g, x, TERN_SHAPE(1, 0, 2));
        end(b, g, 0);
        g = begin(b, false, TERN_SHAPE(turns[i][0], turns[i][1]), &x);
        if (g) tern_permute(g, x, TERN_SHAPE(1, 0));
        end(b, g, 0);
    }
}

/* Numbers of few bits: fixed point, and levels by channel. */
static void add_levels(tern_bench *b)
{
    static const int widths[] = {4, 32, 256, 4096, 32768};
    tern_value x;
    for (size_t i = 0; i < TERN_COUNT(widths); i++) {
        tern_graph *g = begin(b, false, TERN_SHAPE(1, widths[i]), &x);
        if (g) tern_fixed(g, x, .width = 8, .point = 6);
        end(b, g, 0);
        g = begin(b, false, TERN_SHAPE(1, widths[i]), &x);
        if (g) tern_fixed(g, x, .width = 8, .point = 6, .round = TERN_ROUND_DOWN);
        end(b, g, 0);
        g = begin(b, false, TERN_SHAPE(1, widths[i]), &x);
        tern_thresholds_op op = {.high = 15, .inner = 1};
        if (g) {
            tern_value in[] = {x, tern_input(g, "scale", TERN_F32, TERN_SHAPE(widths[i])),
                               tern_input(g, "shift", TERN_F32, TERN_SHAPE(widths[i]))};
            tern_apply(g, &tern_op_step_levels, &op, in, 3, NULL);
        }
        end(b, g, 0);
    }
}

/* Transposed convolutions, which run as gradients of convolutions. */
static void add_transposed(tern_bench *b, int in, int size, tern_conv_transpose2d_args args)
{
    tern_value x;
    tern_graph *g = begin(b, false, TERN_SHAPE(1, in, args.flat ? 1 : size, size), &x);
    args.pad = (args.kernel - 1) / 2;
    args.dilation = args.groups = 1;
    if (g) tern_conv_transpose2d_with(g, x, args);
    end(b, g, 0);
}

void tern_bench_fill(tern_bench *b)
{
    add_products(b);
    add_convs(b);
    add_depthwise(b);
    add_spikes(b);
    add_rows(b);
    add_levels(b);
    static const struct {
        int channels, size;
    } images[] = {{4, 2}, {16, 2}, {1024, 2}, {512, 7}, {64, 14}, {128, 56}, {32, 224}};
    for (size_t i = 0; i < TERN_COUNT(images); i++) add_curves(b, images[i].channels, images[i].size);
    for (int size = 2; size <= 32; size *= 2) {
        add_transposed(b, 16, size, (tern_conv_transpose2d_args){.out = 4, .kernel = 3, .stride = 1});
        add_transposed(b, 64, size, (tern_conv_transpose2d_args){.out = 32, .kernel = 4, .stride = 2});
        add_transposed(
            b, 256 / size, 2 * size,
            (tern_conv_transpose2d_args){.out = 128 / size, .kernel = 4, .stride = 2, .flat = true});
        add_transposed(b, 512 / size, size,
                       (tern_conv_transpose2d_args){.out = 256 / size, .kernel = 2, .stride = 2});
        if (size >= 4 && size <= 16)
            add_transposed(b, 4096 / size, size,
                           (tern_conv_transpose2d_args){.out = 2048 / size, .kernel = 2, .stride = 2});
        tern_conv2d_args flat = conv_args(128 / size, 4, 2, 1);
        flat.pad = 1;
        tern_value x;
        tern_graph *g = begin(b, false, TERN_SHAPE(1, 64 / size, 4 * size), &x);
        if (g) tern_conv1d_with(g, x, flat);
        end(b, g, 0);
    }
}
