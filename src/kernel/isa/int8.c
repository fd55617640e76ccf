/* Bytes from 32-bit sums, and planes of bytes.  Plain loops, which the compiler turns into vectors of each set. */
#include "kernel/int8.h"
#include "kernel/isa/isa.h"

static void row(int64_t n, const int32_t *restrict sums, int64_t o, const tern_int8_scale *scale,
                int8_t *restrict y)
{
    const tern_int8_scale s = *scale;
    uint32_t bias = (uint32_t)s.bias[o];
    int32_t multiplier = s.multiplier[o * s.each];
    int shift = s.shift[o * s.each];
    for (int64_t i = 0; i < n; i++)
        y[i] = tern_clamp_byte(
            tern_requantise((int32_t)((uint32_t)sums[i] + bias), multiplier, shift) + s.zero, s.low, s.high);
}

static void columns(int64_t n, const int32_t *restrict sums, const tern_int8_scale *scale, int8_t *restrict y)
{
    const tern_int8_scale s = *scale;
    for (int64_t i = 0; i < n; i++)
        y[i] = tern_clamp_byte(tern_requantise((int32_t)((uint32_t)sums[i] + (uint32_t)s.bias[i]),
                                               s.multiplier[i * s.each], s.shift[i * s.each]) +
                                   s.zero,
                               s.low, s.high);
}

/* Columns of an output row whose source lies inside: ox step + shift in [0, width). */
static void inside(int64_t shift, int64_t step, int64_t width, int64_t out_width, int64_t *from, int64_t *to)
{
    *from = shift >= 0 ? 0 : (-shift + step - 1) / step;
    *to = width - shift > 0 ? (width - shift - 1) / step + 1 : 0;
    if (*to > out_width) *to = out_width;
}

static void add_tap_row(int64_t from, int64_t to, int64_t step, const int8_t *x, int32_t w, int32_t zero,
                        int32_t *restrict sums)
{
    if (step == 1)
        for (int64_t i = from; i < to; i++) sums[i] += w * (x[i] - zero);
    else
        for (int64_t i = from; i < to; i++) sums[i] += w * (x[i * step] - zero);
}

static void plane(const tern_conv *c, const int8_t *x, const int8_t *w, int32_t zero, int32_t *sums)
{
    for (int64_t i = 0; i < c->out_height * c->out_width; i++) sums[i] = 0;
    for (int64_t oy = 0; oy < c->out_height; oy++)
        for (int64_t ky = 0; ky < c->kernel_height; ky++) {
            int64_t y = oy * c->stride_y + ky * c->dilation_y - c->pad_y, from, to;
            if (y < 0 || y >= c->height) continue;
            for (int64_t kx = 0; kx < c->kernel_width; kx++) {
                int64_t shift = kx * c->dilation_x - c->pad_x;
                inside(shift, c->stride_x, c->width, c->out_width, &from, &to);
                add_tap_row(from, to, c->stride_x, x + y * c->width + shift, w[ky * c->kernel_width + kx],
                            zero, sums + oy * c->out_width);
            }
        }
}

static void add(int64_t n, const int8_t *a, const int8_t *b, const int32_t *constants, int8_t *y)
{
    int32_t q[TERN_ADD_CONSTANTS];
    for (int i = 0; i < TERN_ADD_CONSTANTS; i++) q[i] = constants[i];
    for (int64_t i = 0; i < n; i++) y[i] = tern_int8_sum(a[i], b[i], q);
}

static void from_float(int64_t n, const float *x, float scale, int32_t zero, int8_t *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = tern_float_to_byte(x[i], scale, zero);
}

static void highest(int64_t n, int64_t step, const int8_t *restrict x, bool first, int8_t *restrict y)
{
    if (first)
        for (int64_t i = 0; i < n; i++) y[i] = x[i * step];
    else if (step == 2) /* known to the compiler, it reads whole vectors */
        for (int64_t i = 0; i < n; i++) y[i] = x[i * 2] > y[i] ? x[i * 2] : y[i];
    else
        for (int64_t i = 0; i < n; i++) y[i] = x[i * step] > y[i] ? x[i * step] : y[i];
}

extern const tern_int8_loops TERN_FOR_ISA(tern_int8_loops);
const tern_int8_loops TERN_FOR_ISA(tern_int8_loops) = {row, columns, plane, add, from_float, highest};
