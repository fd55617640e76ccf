/* Depthwise convolution: one plane [height,width] with one kernel, a row of a tap at a time. */
#include "kernel/isa/isa.h"

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

void TERN_FOR_ISA(tern_plane_forward)(const tern_conv *conv, const float *restrict x, const float *w,
                                      float bias, float *restrict y)
{
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
