/* Reading a window over images: a *line* of up to LANES neighbouring output pixels and a *tap* (channel, y, x) give a
 * vector of source pixels, 0 where the tap looks outside its image. */
#ifndef TERN_ISA_WINDOW_H
#define TERN_ISA_WINDOW_H

#include "kernel/isa/isa.h"

typedef struct tern_line {
    int64_t first; /* source element of lane 0 at tap (0, 0, 0), without tern_factor's own `first` */
    vi offset;     /* lane l stands `offset[l]` elements behind that */
    vi y, x;       /* source row and column of the lanes at tap (0, 0) */
    int lanes;
    uint32_t head, tail; /* lanes whose offset is l, and tail_step + l */
    int tail_step;
    bool two_runs; /* head and tail are all lanes */
} tern_line;

typedef struct tern_tap {
    int64_t channel, y, x;
} tern_tap;

TERN_INLINE tern_line tern_line_at(const tern_window *w, int64_t pixel, int lanes)
{
    int64_t plane = w->out_height * w->out_width, image = pixel / plane, rest = pixel % plane;
    int64_t oy = rest / w->out_width, ox = rest % w->out_width, base = 0;
    tern_line line = {.lanes = lanes};
    for (int l = 0; l < lanes; l++) {
        int64_t y = oy * w->stride_y + w->origin_y, x = ox * w->stride_x + w->origin_x;
        int64_t at = image * w->image_stride + y * w->width + x;
        if (l == 0) base = at;
        line.offset[l] = (int32_t)(at - base);
        line.y[l] = (int32_t)y;
        line.x[l] = (int32_t)x;
        if (++ox == w->out_width) ox = 0, oy++;
        if (oy == w->out_height) oy = 0, image++;
    }
    for (int l = lanes; l < TERN_LANES; l++) line.y[l] = INT32_MIN / 2; /* outside at every tap */
    line.first = base;
    line.tail_step = line.offset[lanes - 1] - (lanes - 1);
    for (int l = 0; l < lanes; l++) {
        if (line.offset[l] == l)
            line.head |= 1u << l;
        else if (line.offset[l] == line.tail_step + l)
            line.tail |= 1u << l;
    }
    line.two_runs = (line.head | line.tail) == (lanes == 32 ? ~0u : (1u << lanes) - 1);
    return line;
}

TERN_INLINE tern_tap tern_tap_at(const tern_window *w, int64_t index)
{
    int64_t taps = w->taps_y * w->taps_x;
    return (tern_tap){index / taps, index % taps / w->taps_x, index % w->taps_x};
}

TERN_INLINE void tern_tap_next(const tern_window *w, tern_tap *tap)
{
    if (++tap->x < w->taps_x) return;
    tap->x = 0;
    if (++tap->y < w->taps_y) return;
    tap->y = 0;
    tap->channel++;
}

/* Lanes whose source pixel lies inside the image, as a bit mask. */
TERN_INLINE uint32_t tern_line_inside(const tern_window *w, const tern_line *line, const tern_tap *tap)
{
    vu y = (vu)(line->y + (int32_t)(tap->y * w->step_y)), x = (vu)(line->x + (int32_t)(tap->x * w->step_x));
#if defined(__AVX512F__)
    __mmask16 rows = _mm512_cmplt_epu32_mask((__m512i)y, _mm512_set1_epi32((int)w->height));
    return _mm512_mask_cmplt_epu32_mask(rows, (__m512i)x, _mm512_set1_epi32((int)w->width));
#else
    vi inside = (y < (uint32_t)w->height) & (x < (uint32_t)w->width);
    uint32_t mask = 0;
    for (int l = 0; l < TERN_LANES; l++) mask |= (uint32_t)(inside[l] & 1) << l;
    return mask;
#endif
}

TERN_INLINE vf tern_line_load_bits(const uint64_t *words, int64_t at, const tern_line *line, uint32_t inside)
{
    uint32_t bits = 0;
    for (uint32_t m = inside; m; m &= m - 1) {
        int l = __builtin_ctz(m);
        int64_t bit = at + line->offset[l];
        bits |= (uint32_t)(words[bit >> 6] >> (bit & 63) & 1) << l;
    }
    return tern_expand_bits(bits);
}

/* Bits [at, at + LANES) as far as `mask` wants them, which may lie outside the array elsewhere. */
TERN_INLINE uint32_t tern_masked_bits(const uint64_t *words, int64_t at, uint32_t mask)
{
    if (!mask) return 0;
    int low = __builtin_ctz(mask), high = 32 - __builtin_clz(mask);
    return tern_bits_at(words, at + low, high - low) << low & mask;
}

TERN_INLINE vf tern_line_load(const tern_factor *factor, const tern_line *line, const tern_tap *tap)
{
    const tern_window *w = factor->window;
    uint32_t inside = tern_line_inside(w, line, tap);
    int64_t at = factor->first + line->first + tap->channel * w->height * w->width +
                 tap->y * w->step_y * w->width + tap->x * w->step_x;
    if (factor->bits) {
        const uint64_t *words = factor->data;
        if (!line->two_runs) return tern_line_load_bits(words, at, line, inside);
        return tern_expand_bits(tern_masked_bits(words, at, inside & line->head) |
                                tern_masked_bits(words, at + line->tail_step, inside & line->tail));
    }
    const float *data = (const float *)factor->data + at;
#if defined(__AVX512F__)
    if (!line->two_runs)
        return (vf)_mm512_mask_i32gather_ps(_mm512_setzero_ps(), (__mmask16)inside, (__m512i)line->offset,
                                            data, 4);
    __m512 v = _mm512_maskz_loadu_ps((__mmask16)(inside & line->head), data);
    if (line->tail) v = _mm512_mask_loadu_ps(v, (__mmask16)(inside & line->tail), data + line->tail_step);
    return (vf)v;
#else
    vf v = {0};
    for (uint32_t m = inside; m; m &= m - 1) {
        int l = __builtin_ctz(m);
        v[l] = data[line->offset[l]];
    }
    return v;
#endif
}

#endif
