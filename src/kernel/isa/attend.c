/* One query of one head over the rows that it sees, 64 at a time: the largest score so far, the sum of exponentials and the
 * weighted sum of values are carried along and scaled down when a larger score comes (Milakov and Gimelshein,
 * arXiv 1805.02867). */
#include "kernel/attend.h"

#include "kernel/isa/math.h"
#include "kernel/isa/transpose.h"

#include "tensor/tensor.h"

#include <string.h>

enum { BLOCK = 64, LINE = 64 }; /* rows; bytes */

enum { Q8_ELEMENTS = 32, Q8_BYTES = 34 }; /* a block of q8_0: its scale as f16, then bytes */

TERN_INLINE const uint8_t *block_of(const void *p, int64_t i)
{
    return (const uint8_t *)p + i / Q8_ELEMENTS * Q8_BYTES;
}

TERN_INLINE float scale_of(const uint8_t *block)
{
    uint16_t half;
    memcpy(&half, block, sizeof half);
#if defined(__F16C__)
    return _cvtsh_ss(half);
#else
    return tern_f16_to_f32(half);
#endif
}

TERN_INLINE float one(const void *p, tern_dtype format, int64_t i)
{
    if (format == TERN_F32) return ((const float *)p)[i];
    if (format == TERN_F16) return tern_f16_to_f32(((const uint16_t *)p)[i]);
    const uint8_t *block = block_of(p, i);
    return scale_of(block) * (float)(int8_t)block[2 + i % Q8_ELEMENTS];
}

/* TERN_LANES elements from i on, a multiple of as many. */
TERN_INLINE vf lanes(const void *p, tern_dtype format, int64_t i)
{
    if (format == TERN_F32) return tern_load((const float *)p + i);
#if defined(__AVX512F__)
    if (format == TERN_F16)
        return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)((const uint16_t *)p + i)));
    const uint8_t *block = block_of(p, i);
    __m128i bytes = _mm_loadu_si128((const __m128i *)(block + 2 + i % Q8_ELEMENTS));
    return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)) * tern_all(scale_of(block));
#elif defined(__AVX2__) && defined(__F16C__)
    if (format == TERN_F16)
        return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)((const uint16_t *)p + i)));
    const uint8_t *block = block_of(p, i);
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(block + 2 + i % Q8_ELEMENTS));
    return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)) * tern_all(scale_of(block));
#else
    vf v;
    TERN_UNROLL for (int l = 0; l < TERN_LANES; l++) v[l] = one(p, format, i + l);
    return v;
#endif
}

TERN_INLINE float sum_of(vf v)
{
    float sum = 0;
    TERN_UNROLL for (int l = 0; l < TERN_LANES; l++) sum += v[l];
    return sum;
}

/* The first element of n rows of a query's sequence, from row c on; -1: the row is none. */
TERN_INLINE void find_rows(const tern_attention *a, int64_t query, int64_t group, int64_t c, int n,
                           int64_t *at)
{
    int64_t step = a->groups * a->width;
    const int32_t *pages = a->page ? a->table + a->owners[query] * a->sequence_pages : NULL;
    for (int j = 0; j < n; j++, c++) {
        int64_t row = pages ? pages[c / a->page] * a->page + c % a->page : c;
        at[j] = row >= 0 && row < a->rows ? row * step + group * a->width : -1;
    }
}

/* Asks for n rows of keys and values: they stand apart, which the processor does not foresee, and weights have driven them out of the
 * near caches since the last token. */
TERN_INLINE void want_rows(const tern_attention *a, const int64_t *at, int n, tern_dtype format)
{
    const int64_t element = format == TERN_F32 ? 4 : format == TERN_F16 ? 2 : 1;
    for (int j = 0; j < n; j++) {
        if (at[j] < 0) continue;
        int64_t from = format == TERN_Q8_0 ? at[j] / Q8_ELEMENTS * Q8_BYTES : at[j] * element;
        for (int64_t i = 0; i < a->width * element; i += LINE) {
            __builtin_prefetch((const char *)a->k + from + i, 0, 3);
            __builtin_prefetch((const char *)a->v + from + i, 0, 3);
        }
    }
}

/* Products of q with as many rows as a vector has lanes, over `width` elements, whole vectors: lanes of each are added up in order, those
 * of all rows at once. */
TERN_INLINE vf dots_of(const tern_attention *a, const float *q, const int64_t *at, int count, int64_t width,
                       tern_dtype format)
{
    vf part[TERN_LANES], sum = tern_all(0);
    for (int j = 0; j < TERN_LANES; j++) {
        part[j] = tern_all(0);
        if (j >= count || at[j] < 0) continue;
        for (int64_t i = 0; i < width; i += TERN_LANES)
            part[j] = tern_fma(tern_load(q + i), lanes(a->k, format, at[j] + i), part[j]);
    }
    tern_transpose(part);
    TERN_UNROLL for (int l = 0; l < TERN_LANES; l++) sum += part[l];
    return sum;
}

/* Scores of the n rows at `at`; the rest of the block is far below all of them.  Returns the largest. */
TERN_INLINE float scores(const tern_attention *a, const float *q, const int64_t *at, int n, tern_dtype format,
                         float *w)
{
    int64_t whole = a->width / TERN_LANES * TERN_LANES;
    float most = -INFINITY;
    for (int j = 0; j < BLOCK; j++) w[j] = -INFINITY;
    for (int from = 0; from < n; from += TERN_LANES) {
        int count = n - from < TERN_LANES ? n - from : TERN_LANES;
        float sums[TERN_LANES];
        tern_store(sums, dots_of(a, q, at + from, count, whole, format));
        for (int j = from; j < from + count; j++) {
            if (at[j] < 0) continue;
            float score = sums[j - from];
            for (int64_t i = whole; i < a->width; i++) score += q[i] * one(a->k, format, at[j] + i);
            score *= a->scale;
            if (a->cap > 0) score = a->cap * tanhf(score / a->cap);
            w[j] = score;
            most = score > most ? score : most;
        }
    }
    return most;
}

/* y = y * keep + the sum of w[j] * row j of v */
TERN_INLINE void add_values(const tern_attention *a, const int64_t *at, int n, tern_dtype format,
                            const float *w, float keep, float *y)
{
    int64_t i = 0;
    for (; i + TERN_LANES <= a->width; i += TERN_LANES) {
        vf sum = tern_load(y + i) * tern_all(keep);
        for (int j = 0; j < n; j++)
            if (at[j] >= 0) sum = tern_fma(tern_all(w[j]), lanes(a->v, format, at[j] + i), sum);
        tern_store(y + i, sum);
    }
    for (; i < a->width; i++) {
        float sum = y[i] * keep;
        for (int j = 0; j < n; j++)
            if (at[j] >= 0) sum += w[j] * one(a->v, format, at[j] + i);
        y[i] = sum;
    }
}

TERN_INLINE void head_of(const tern_attention *a, int64_t query, int64_t head, tern_dtype format)
{
    const float *q = a->q + (query * a->heads + head) * a->width;
    float *y = a->y + (query * a->heads + head) * a->width, w[BLOCK], most = -INFINITY, sum = 0;
    int64_t at[BLOCK], all = a->page ? a->sequence_pages * a->page : a->rows;
    int64_t last = a->positions[query] < all ? a->positions[query] : all - 1;
    int64_t first = a->window > 0 && last >= a->window ? last - a->window + 1 : 0;
    if (a->page && (a->owners[query] < 0 || a->owners[query] >= a->sequences)) last = -1;
    for (int64_t i = 0; i < a->width; i++) y[i] = 0;
    for (int64_t c = first; c <= last; c += BLOCK) {
        int n = last - c + 1 < BLOCK ? (int)(last - c + 1) : BLOCK;
        find_rows(a, query, head / (a->heads / a->groups), c, n, at);
        want_rows(a, at, n, format);
        float here = scores(a, q, at, n, format, w), higher = here > most ? here : most;
        if (!(higher > -INFINITY)) continue; /* none of the rows is one */
        float keep = most > -INFINITY ? expf(most - higher) : 0;
        vf part = tern_all(0);
        for (int j = 0; j < BLOCK; j += TERN_LANES) {
            vf e = tern_exp_of(tern_load(w + j) - tern_all(higher));
            tern_store(w + j, e);
            part += e;
        }
        sum = sum * keep + sum_of(part);
        most = higher;
        add_values(a, at, n, format, w, keep, y);
    }
    for (int64_t i = 0; i < a->width && sum > 0; i++) y[i] /= sum;
}

void TERN_FOR_ISA(tern_attention_head)(const tern_attention *attention, int64_t query, int64_t head)
{
    if (attention->format == TERN_F32)
        head_of(attention, query, head, TERN_F32);
    else if (attention->format == TERN_F16)
        head_of(attention, query, head, TERN_F16);
    else
        head_of(attention, query, head, TERN_Q8_0);
}
