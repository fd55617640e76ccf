/* Depthwise convolution: one plane [height,width] with one kernel.
 *
 * A band of the plane is copied between zeros, columns and rows sorted by their place within a stride.  Then every tap of an output
 * lies at the tap's own distance from it, and outputs are computed by vectors over the ends of rows, without a branch a row:
 * the few at the seams are not kept.  Planes whose rows are too long for a band go a row of a tap at a time. */
#include "kernel/isa/isa.h"

#include <string.h>

#define BAND_FLOATS 8192 /* of a band's copy, and of its outputs: they stay in a first-level cache */
#define MOST_TAPS   128
#define VECTORS     4 /* of outputs, computed side by side */

/* Output columns whose source column ox*stride + shift lies in [0, width). */
typedef struct span {
    int64_t from, to;
} span;

TERN_INLINE span inside(int64_t shift, int64_t stride, int64_t width, int64_t out_width)
{
    span s = {shift >= 0 ? 0 : (-shift + stride - 1) / stride, 0};
    if (width - shift > 0) s.to = (width - shift - 1) / stride + 1;
    if (s.to > out_width) s.to = out_width;
    if (s.from > s.to) s.from = s.to;
    return s;
}

/* Walks over (output row, tap): runs `body` with y_row, x_row (shifted to ox = 0), span s and weight index t. */
#define FOR_TAP_ROWS(body)                                                                                   \
    for (int64_t oy = 0; oy < conv->out_height; oy++)                                                        \
        for (int64_t ky = 0; ky < conv->kernel_height; ky++) {                                               \
            int64_t iy = oy * conv->stride_y + ky * conv->dilation_y - conv->pad_y;                          \
            if (iy < 0 || iy >= conv->height) continue;                                                      \
            for (int64_t kx = 0; kx < conv->kernel_width; kx++) {                                            \
                int64_t shift = kx * conv->dilation_x - conv->pad_x, t = ky * conv->kernel_width + kx;       \
                int64_t out = oy * conv->out_width, in = iy * conv->width + shift, step = conv->stride_x;    \
                span s = inside(shift, step, conv->width, conv->out_width);                                  \
                body                                                                                         \
            }                                                                                                \
        }

/* How a band lies: copies [stride_y,stride_x,rows + over,pitch] of the source, outputs [rows,pitch]. */
typedef struct band {
    int64_t pitch, rows, over;
    int taps;
    int64_t distance[MOST_TAPS]; /* of a tap from its output */
} band;

static bool lay_band(const tern_conv *conv, band *b)
{
    int64_t over_x = (conv->kernel_width - 1) * conv->dilation_x / conv->stride_x;
    int64_t phases = conv->stride_y * conv->stride_x, room = BAND_FLOATS - VECTORS * TERN_LANES;
    b->over = (conv->kernel_height - 1) * conv->dilation_y / conv->stride_y;
    b->pitch = conv->out_width + over_x;
    b->rows = room / (phases * b->pitch) - b->over;
    if (b->rows < 1 || conv->kernel_height * conv->kernel_width > MOST_TAPS) return false;
    if (b->rows > conv->out_height) b->rows = conv->out_height;
    b->taps = 0;
    for (int64_t ky = 0; ky < conv->kernel_height; ky++)
        for (int64_t kx = 0; kx < conv->kernel_width; kx++) {
            int64_t y = ky * conv->dilation_y, x = kx * conv->dilation_x;
            int64_t phase = y % conv->stride_y * conv->stride_x + x % conv->stride_x;
            b->distance[b->taps++] =
                (phase * (b->rows + b->over) + y / conv->stride_y) * b->pitch + x / conv->stride_x;
        }
    return true;
}

/* The source of the outputs from row `oy` on. */
static void fill_band(const tern_conv *conv, const band *b, const float *restrict x, int64_t oy,
                      float *restrict copy)
{
    int64_t rows = b->rows + b->over, step = conv->stride_x;
    memset(copy, 0, sizeof *copy * (size_t)(conv->stride_y * step * rows * b->pitch));
    for (int64_t iy = oy * conv->stride_y - conv->pad_y, k = 0; k < rows * conv->stride_y; k++, iy++) {
        if (iy < 0 || iy >= conv->height) continue;
        for (int64_t phase = 0; phase < step; phase++) {
            int64_t shift = phase - conv->pad_x, plane = k % conv->stride_y * step + phase;
            const float *from = x + iy * conv->width + shift;
            float *to = copy + (plane * rows + k / conv->stride_y) * b->pitch;
            span s = inside(shift, step, conv->width, b->pitch);
            if (step == 1)
                for (int64_t i = s.from; i < s.to; i++) to[i] = from[i];
            else
                for (int64_t i = s.from; i < s.to; i++) to[i] = from[i * step];
        }
    }
}

TERN_INLINE void sum_taps(const band *b, const float *copy, const float *w, float bias, float *out,
                          int vectors)
{
    vf sum[VECTORS];
    TERN_UNROLL for (int v = 0; v < vectors; v++) sum[v] = (vf){0} + bias;
    for (int t = 0; t < b->taps; t++) {
        const float *from = copy + b->distance[t];
        vf weight = (vf){0} + w[t];
        TERN_UNROLL for (int v = 0; v < vectors; v++) sum[v] += weight * tern_load(from + v * TERN_LANES);
    }
    TERN_UNROLL for (int v = 0; v < vectors; v++) tern_store(out + v * TERN_LANES, sum[v]);
}

/* Rows of a band to y, of which `left` floats follow: whole vectors, as what they write too much the next row overwrites. */
TERN_INLINE void keep_rows(const band *b, const float *out, int64_t rows, int64_t width, bool add, float *y,
                           int64_t left)
{
    for (int64_t r = 0; r < rows; r++, y += width, left -= width)
        for (int64_t i = 0; i < width; i += TERN_LANES) {
            const float *from = out + r * b->pitch + i;
            if (!add && i + TERN_LANES <= left)
                tern_store(y + i, tern_load(from));
            else
                for (int64_t l = 0; l < TERN_LANES && i + l < width; l++)
                    // NOLINTNEXTLINE(*UndefinedBinaryOperatorResult): outputs of every row have been stored
                    y[i + l] = add ? y[i + l] + from[l] : from[l];
        }
}

/* `add`: to what is in y. */
static void convolve(const tern_conv *conv, band *b, const float *x, const float *w, float bias, bool add,
                     float *y)
{
    _Alignas(64) float copy[BAND_FLOATS], out[BAND_FLOATS];
    for (int64_t oy = 0; oy < conv->out_height; oy += b->rows) {
        int64_t rows = conv->out_height - oy < b->rows ? conv->out_height - oy : b->rows, i = 0;
        int64_t end = (rows - 1) * b->pitch + conv->out_width;
        fill_band(conv, b, x, oy, copy);
        for (; end - i > (VECTORS - 1) * TERN_LANES; i += VECTORS * TERN_LANES)
            sum_taps(b, copy + i, w, bias, out + i, VECTORS);
        for (; i < end; i += TERN_LANES) sum_taps(b, copy + i, w, bias, out + i, 1);
        keep_rows(b, out, rows, conv->out_width, add, y + oy * conv->out_width,
                  (conv->out_height - oy) * conv->out_width);
    }
}

void TERN_FOR_ISA(tern_plane_forward)(const tern_conv *conv, const float *restrict x, const float *w,
                                      float bias, float *restrict y)
{
    band b;
    if (lay_band(conv, &b)) {
        convolve(conv, &b, x, w, bias, false, y);
        return;
    }
    for (int64_t i = 0; i < conv->out_height * conv->out_width; i++) y[i] = bias;
    FOR_TAP_ROWS({
        float weight = w[t];
        if (step == 1)
            for (int64_t i = s.from; i < s.to; i++) y[out + i] += weight * x[in + i];
        else
            for (int64_t i = s.from; i < s.to; i++) y[out + i] += weight * x[in + i * step];
    })
}

void TERN_FOR_ISA(tern_plane_grad_input)(const tern_conv *conv, const float *restrict dy, const float *w,
                                         float *restrict dx)
{
    band b;
    tern_conv turned = *conv; /* with stride 1: a convolution with the kernel turned by half a circle */
    turned.height = conv->out_height, turned.width = conv->out_width;
    turned.out_height = conv->height, turned.out_width = conv->width;
    turned.pad_y = (conv->kernel_height - 1) * conv->dilation_y - conv->pad_y;
    turned.pad_x = (conv->kernel_width - 1) * conv->dilation_x - conv->pad_x;
    if (conv->stride_y == 1 && conv->stride_x == 1 && lay_band(&turned, &b)) {
        float back[MOST_TAPS];
        for (int t = 0; t < b.taps; t++) back[t] = w[b.taps - 1 - t];
        convolve(&turned, &b, dy, back, 0, true, dx);
        return;
    }
    FOR_TAP_ROWS({
        float weight = w[t];
        if (step == 1)
            for (int64_t i = s.from; i < s.to; i++) dx[in + i] += weight * dy[out + i];
        else
            for (int64_t i = s.from; i < s.to; i++) dx[in + i * step] += weight * dy[out + i];
    })
}

void TERN_FOR_ISA(tern_plane_grad_weight)(const tern_conv *conv, const float *x, const float *dy, double *dw)
{
    FOR_TAP_ROWS({
        vf lanes = {0};
        float sum = 0;
        int64_t i = s.from;
        if (step == 1)
            for (; i + TERN_LANES <= s.to; i += TERN_LANES)
                lanes += tern_load(dy + out + i) * tern_load(x + in + i);
        for (; i < s.to; i++) sum += dy[out + i] * x[in + i * step];
        for (int l = 0; l < TERN_LANES; l++) sum += lanes[l];
        dw[t] += sum;
    })
}
