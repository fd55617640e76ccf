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
    int64_t soon;        /* source element of a pixel that is wanted soon, in channel 0 */
    uint32_t inside[TERN_WINDOW_TAPS];
    int32_t offset[TERN_WINDOW_TAPS];
} tern_view;

/* Lanes in which a and b are equal, as a bit mask. */
TERN_INLINE uint32_t tern_equal(vi a, vi b)
{
#if defined(__AVX512F__)
    return _mm512_cmpeq_epi32_mask((__m512i)a, (__m512i)b);
#else
    vi equal = a == b;
    uint32_t mask = 0;
    for (int l = 0; l < TERN_LANES; l++) mask |= (uint32_t)(equal[l] & 1) << l;
    return mask;
#endif
}

TERN_INLINE tern_line tern_line_at(const tern_window *w, int64_t pixel, int lanes)
{
    int64_t plane = w->out_height * w->out_width, image = pixel / plane, rest = pixel % plane;
    int64_t oy = rest / w->out_width, ox = rest % w->out_width;
    int64_t y = oy * w->stride_y + w->origin_y, x = ox * w->stride_x + w->origin_x;
    int64_t start = image * w->image_stride + y * w->width + x, at = start;
    int32_t offsets[TERN_LANES] = {0}, ys[TERN_LANES], xs[TERN_LANES] = {0}, count[TERN_LANES];
    for (int l = 0; l < lanes; l++) {
        offsets[l] = (int32_t)(at - start);
        ys[l] = (int32_t)y;
        xs[l] = (int32_t)x;
        x += w->stride_x;
        at += w->stride_x;
        if (++ox < w->out_width) continue;
        if (++oy == w->out_height) oy = 0, image++;
        ox = 0;
        y = oy * w->stride_y + w->origin_y;
        x = w->origin_x;
        at = image * w->image_stride + y * w->width + x;
    }
    for (int l = lanes; l < TERN_LANES; l++) ys[l] = INT32_MIN / 2; /* outside at every tap */
    for (int l = 0; l < TERN_LANES; l++) count[l] = l;
    tern_line line = {.first = start, .tail_step = offsets[lanes - 1] - (lanes - 1)};
    vi index;
    __builtin_memcpy(&line.offset, offsets, sizeof line.offset);
    __builtin_memcpy(&line.y, ys, sizeof line.y);
    __builtin_memcpy(&line.x, xs, sizeof line.x);
    __builtin_memcpy(&index, count, sizeof index);
    uint32_t used = (uint32_t)((1ull << lanes) - 1);
    line.head = tern_equal(line.offset, index) & used;
    line.tail = tern_equal(line.offset, index + line.tail_step) & used & ~line.head;
    line.two_runs = (line.head | line.tail) == used;
    return line;
}

/* Lanes whose source pixel at this tap lies inside the image, as a bit mask. */
TERN_INLINE uint32_t tern_line_inside(const tern_window *w, const tern_line *line, int64_t tap_y,
                                      int64_t tap_x)
{
    vu y = (vu)(line->y + (int32_t)(tap_y * w->step_y));
    vu x = (vu)(line->x + (int32_t)(tap_x * w->step_x));
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

TERN_INLINE int32_t tern_tap_offset(const tern_window *w, int64_t tap_y, int64_t tap_x)
{
    return (int32_t)(tap_y * w->step_y * w->width + tap_x * w->step_x);
}

/* Where the first tap of an output pixel looks. */
TERN_INLINE int64_t tern_pixel_source(const tern_window *w, int64_t pixel)
{
    int64_t plane = w->out_height * w->out_width, rest = pixel % plane;
    return pixel / plane * w->image_stride + (rest / w->out_width * w->stride_y + w->origin_y) * w->width +
           rest % w->out_width * w->stride_x + w->origin_x;
}

TERN_INLINE void tern_view_at(tern_view *view, const tern_factor *factor, int64_t pixel, int lanes, int ahead)
{
    const tern_window *w = factor->window;
    view->factor = factor;
    view->soon = factor->first + tern_pixel_source(w, pixel + ahead) + (w->taps_y - 1) * w->step_y * w->width;
    view->line = tern_line_at(w, pixel, lanes);
    view->plane = w->height * w->width;
    view->taps = w->taps_y * w->taps_x;
    if (view->taps > TERN_WINDOW_TAPS) return;
    for (int64_t y = 0, tap = 0; y < w->taps_y; y++)
        for (int64_t x = 0; x < w->taps_x; x++, tap++) {
            view->inside[tap] = tern_line_inside(w, &view->line, y, x);
            view->offset[tap] = tern_tap_offset(w, y, x);
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
#if defined(__AVX2__)
    if (line->two_runs) {
        __m256i lane = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
        __m256i head = _mm256_sllv_epi32(_mm256_set1_epi32((int)(inside & line->head)), lane);
        __m256i tail = _mm256_sllv_epi32(_mm256_set1_epi32((int)(inside & line->tail)), lane);
        return (vf)_mm256_or_ps(_mm256_maskload_ps(data, head),
                                _mm256_maskload_ps(data + line->tail_step, tail));
    }
#endif
    vf v = {0};
    for (uint32_t m = inside; m; m &= m - 1) {
        int l = __builtin_ctz(m);
        v[l] = data[line->offset[l]];
    }
    return v;
#endif
}

/* Asks for the pixels that come soon: planes are short and many, so the processor does not guess them. */
TERN_INLINE void tern_view_prefetch(const tern_view *view, int64_t channel)
{
    if (view->factor->bits) return;
    __builtin_prefetch((const float *)view->factor->data + view->soon + channel * view->plane);
}

/* What a line shows at a tap; `base` is the element of tap 0 of the channel that lane 0 stands on.  The line is a copy of
 * the view's that the compiler can keep in registers. */
TERN_INLINE vf tern_view_load(const tern_view *view, const tern_line *line, const bool bits, int64_t base,
                              int64_t tap)
{
    const tern_factor *factor = view->factor;
    const tern_window *w = factor->window;
    uint32_t inside;
    int64_t at = base;
    if (view->taps <= TERN_WINDOW_TAPS) {
        inside = view->inside[tap];
        at += view->offset[tap];
    } else {
        inside = tern_line_inside(w, line, tap / w->taps_x, tap % w->taps_x);
        at += tern_tap_offset(w, tap / w->taps_x, tap % w->taps_x);
    }
    if (bits) return tern_line_bits(factor->data, line, at, inside);
    return tern_line_floats((const float *)factor->data + at, line, inside);
}

#endif
