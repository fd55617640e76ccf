/* Reading a window over images: a *line* of up to LANES neighbouring output pixels and a tap (y, x) of a channel give a
 * vector of source pixels, 0 where the tap looks outside its image. */
#ifndef TERN_ISA_WINDOW_H
#define TERN_ISA_WINDOW_H

#include "kernel/isa/isa.h"

typedef struct tern_line {
    int64_t first;       /* source element of lane 0 at tap (0, 0, 0), without tern_factor's own `first` */
    vi offset;           /* lane l stands `offset[l]` elements behind that */
    vi y, x;             /* source row and column of the lanes at tap (0, 0) */
    uint32_t head, tail; /* lanes whose offset is l, and tail_step + l */
    int tail_step;
    bool two_runs; /* head and tail are all lanes */
} tern_line;

#define TERN_WINDOW_TAPS 64

/* A line with what each tap sees of it, for windows of up to TERN_WINDOW_TAPS taps; larger ones work it out each time. */
typedef struct tern_view {
    const tern_factor *factor;
    tern_line line;
    int64_t plane, taps; /* elements of a channel, taps of a channel */
    uint32_t inside[TERN_WINDOW_TAPS];
    int32_t offset[TERN_WINDOW_TAPS];
} tern_view;

TERN_INLINE tern_line tern_line_at(const tern_window *w, int64_t pixel, int lanes)
{
    int64_t plane = w->out_height * w->out_width, image = pixel / plane, rest = pixel % plane;
    int64_t oy = rest / w->out_width, ox = rest % w->out_width, base = 0;
    tern_line line = {0};
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
    line.two_runs = (line.head | line.tail) == (1u << lanes) - 1;
    return line;
}

/* Lanes whose source pixel at this tap lies inside the image, as a bit mask. */
TERN_INLINE uint32_t tern_line_inside(const tern_window *w, const tern_line *line, int64_t tap)
{
    vu y = (vu)(line->y + (int32_t)(tap / w->taps_x * w->step_y));
    vu x = (vu)(line->x + (int32_t)(tap % w->taps_x * w->step_x));
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

TERN_INLINE int32_t tern_tap_offset(const tern_window *w, int64_t tap)
{
    return (int32_t)(tap / w->taps_x * w->step_y * w->width + tap % w->taps_x * w->step_x);
}

TERN_INLINE void tern_view_at(tern_view *view, const tern_factor *factor, int64_t pixel, int lanes)
{
    const tern_window *w = factor->window;
    view->factor = factor;
    view->line = tern_line_at(w, pixel, lanes);
    view->plane = w->height * w->width;
    view->taps = w->taps_y * w->taps_x;
    for (int64_t tap = 0; tap < view->taps && view->taps <= TERN_WINDOW_TAPS; tap++) {
        view->inside[tap] = tern_line_inside(w, &view->line, tap);
        view->offset[tap] = tern_tap_offset(w, tap);
    }
}

/* Bits at + l of the lanes l in `mask`; no other bit need exist. */
TERN_INLINE uint32_t tern_masked_bits(const uint64_t *words, int64_t at, uint32_t mask)
{
    if (!mask) return 0;
    int low = __builtin_ctz(mask), high = 31 - __builtin_clz(mask);
    int64_t from = at + low, to = at + high;
    int shift = (int)(from & 63);
    uint64_t bits = words[from >> 6] >> shift | words[to >> 6]
                                                    << 1 << (63 - shift); /* the same word twice is masked */
    return (uint32_t)(bits << low) & mask;
}

TERN_INLINE vf tern_line_bits(const uint64_t *words, const tern_line *line, int64_t at, uint32_t inside)
{
    uint32_t bits = 0;
    if (line->two_runs) {
        bits = tern_masked_bits(words, at, inside & line->head);
        if (line->tail) bits |= tern_masked_bits(words, at + line->tail_step, inside & line->tail);
        return tern_expand_bits(bits);
    }
    for (uint32_t m = inside; m; m &= m - 1) {
        int l = __builtin_ctz(m);
        int64_t bit = at + line->offset[l];
        bits |= (uint32_t)(words[bit >> 6] >> (bit & 63) & 1) << l;
    }
    return tern_expand_bits(bits);
}

TERN_INLINE vf tern_line_floats(const float *data, const tern_line *line, uint32_t inside)
{
#if defined(__AVX512F__)
    if (!line->two_runs)
        return (vf)_mm512_mask_i32gather_ps(_mm512_setzero_ps(), (__mmask16)inside, (__m512i)line->offset,
                                            data, 4);
    __m512 v = _mm512_maskz_loadu_ps((__mmask16)(inside & line->head), data);
    if (line->tail) v = _mm512_mask_loadu_ps(v, (__mmask16)(inside & line->tail), data + line->tail_step);
    return (vf)v;
#else
    if (inside == (1u << TERN_LANES) - 1 && line->head == inside) return tern_load(data);
    vf v = {0};
    for (uint32_t m = inside; m; m &= m - 1) {
        int l = __builtin_ctz(m);
        v[l] = data[line->offset[l]];
    }
    return v;
#endif
}

/* What the line shows at a tap of a channel. */
TERN_INLINE vf tern_view_load(const tern_view *view, int64_t channel, int64_t tap)
{
    const tern_factor *factor = view->factor;
    bool known = view->taps <= TERN_WINDOW_TAPS;
    uint32_t inside = known ? view->inside[tap] : tern_line_inside(factor->window, &view->line, tap);
    int64_t at = factor->first + view->line.first + channel * view->plane +
                 (known ? view->offset[tap] : tern_tap_offset(factor->window, tap));
    if (factor->bits) return tern_line_bits(factor->data, &view->line, at, inside);
    return tern_line_floats((const float *)factor->data + at, &view->line, inside);
}

#endif
