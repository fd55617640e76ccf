/* One query of one head over the rows that it sees, 64 at a time: the largest score so far, the sum of exponentials and the
 * weighted sum of values are carried along and scaled down when a larger score comes (Milakov and Gimelshein,
 * arXiv 1805.02867). */
#include "kernel/attend.h"

#include "kernel/isa/math.h"

#include "tensor/tensor.h"

enum { BLOCK = 64 };

TERN_INLINE float one(const void *p, bool half, int64_t i)
{
    return half ? tern_f16_to_f32(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

/* TERN_LANES elements from i on. */
TERN_INLINE vf lanes(const void *p, bool half, int64_t i)
{
    if (!half) return tern_load((const float *)p + i);
#if defined(__AVX512F__)
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)((const uint16_t *)p + i)));
#elif defined(__F16C__)
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)((const uint16_t *)p + i)));
#else
    vf v;
    TERN_UNROLL for (int l = 0; l < TERN_LANES; l++) v[l] = one(p, true, i + l);
    return v;
#endif
}

TERN_INLINE float sum_of(vf v)
{
    float sum = 0;
    TERN_UNROLL for (int l = 0; l < TERN_LANES; l++) sum += v[l];
    return sum;
}

/* Scores of rows c .. c + n - 1; the rest of the block is far below all of them.  Returns the largest. */
TERN_INLINE float scores(const tern_attention *a, const float *q, int64_t at, int64_t step, int n, bool half,
                         float *w)
{
    int64_t whole = a->width / TERN_LANES * TERN_LANES;
    float most = -INFINITY;
    for (int j = 0; j < BLOCK; j++) w[j] = -INFINITY;
    for (int j = 0; j < n; j++) {
        vf sum = tern_all(0);
        int64_t row = at + j * step;
        for (int64_t i = 0; i < whole; i += TERN_LANES)
            sum = tern_fma(tern_load(q + i), lanes(a->k, half, row + i), sum);
        float score = sum_of(sum);
        for (int64_t i = whole; i < a->width; i++) score += q[i] * one(a->k, half, row + i);
        score *= a->scale;
        if (a->cap > 0) score = a->cap * tanhf(score / a->cap);
        w[j] = score;
        most = score > most ? score : most;
    }
    return most;
}

/* y = y * keep + the sum of w[j] * row j of v */
TERN_INLINE void add_values(const tern_attention *a, int64_t at, int64_t step, int n, bool half,
                            const float *w, float keep, float *y)
{
    int64_t i = 0;
    for (; i + TERN_LANES <= a->width; i += TERN_LANES) {
        vf sum = tern_load(y + i) * tern_all(keep);
        for (int j = 0; j < n; j++) sum = tern_fma(tern_all(w[j]), lanes(a->v, half, at + j * step + i), sum);
        tern_store(y + i, sum);
    }
    for (; i < a->width; i++) {
        float sum = y[i] * keep;
        for (int j = 0; j < n; j++) sum += w[j] * one(a->v, half, at + j * step + i);
        y[i] = sum;
    }
}

TERN_INLINE void head_of(const tern_attention *a, int64_t query, int64_t head, bool half)
{
    const float *q = a->q + (query * a->heads + head) * a->width;
    float *y = a->y + (query * a->heads + head) * a->width, w[BLOCK], most = -INFINITY, sum = 0;
    int64_t last = a->positions[query] < a->rows ? a->positions[query] : a->rows - 1;
    int64_t first = a->window > 0 && last >= a->window ? last - a->window + 1 : 0;
    int64_t step = a->groups * a->width, group = head / (a->heads / a->groups) * a->width;
    for (int64_t i = 0; i < a->width; i++) y[i] = 0;
    for (int64_t c = first; c <= last; c += BLOCK) {
        int n = last - c + 1 < BLOCK ? (int)(last - c + 1) : BLOCK;
        float here = scores(a, q, c * step + group, step, n, half, w), higher = here > most ? here : most;
        float keep = most > -INFINITY ? expf(most - higher) : 0;
        vf part = tern_all(0);
        for (int j = 0; j < BLOCK; j += TERN_LANES) {
            vf e = tern_exp_of(tern_load(w + j) - tern_all(higher));
            tern_store(w + j, e);
            part += e;
        }
        sum = sum * keep + sum_of(part);
        most = higher;
        add_values(a, c * step + group, step, n, half, w, keep, y);
    }
    for (int64_t i = 0; i < a->width && sum > 0; i++) y[i] /= sum;
}

void TERN_FOR_ISA(tern_attention_head)(const tern_attention *attention, int64_t query, int64_t head)
{
    if (attention->half)
        head_of(attention, query, head, true);
    else
        head_of(attention, query, head, false);
}
