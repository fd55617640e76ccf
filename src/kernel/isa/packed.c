/* One packed row of weights times rows of x in 8 bits: levels as unsigned bytes, 32 at a time, against signed bytes; sums of
 * products are exact integers, which the scales of both sides then weigh.
 *
 * A format says, for each 256 elements: eight scales and offsets of 32 (or sixteen of 16), and the 32 levels of a group.  The
 * value of an element is scale * level + offset, so that a row's sum is
 *     sum over groups of  scale * x_scale * (levels . q)  +  offset * (x_scale * sum of q). */
#include "kernel/packed.h"
#include "kernel/outlier.h"

#include "kernel/isa/groups.h"
#include "kernel/isa/math.h"

#include <math.h>
#include <string.h>

/* AVX-512 takes sixteen rows at a time: sixteen.c. */
#if defined(__AVX2__) && !defined(__AVX512VNNI__)

/* Products of unsigned bytes (at most 128) and signed ones, summed by fours.  Without the instruction for it pairs go
 * through 16 bits, which hold 2 * 128 * 127. */
TERN_INLINE __m256i products(__m256i levels, __m256i q)
{
    return _mm256_madd_epi16(_mm256_maddubs_epi16(levels, q), _mm256_set1_epi16(1));
}

TERN_INLINE float sum_of_eight(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* ---- a row ------------------------------------------------------------------------------------------------------ */

/* Fused by name: a compiler that chose for itself would fuse four rows in another way than one. */
TERN_INLINE void add_group(const group *w, const tern_bytes_row *x, int64_t g, __m256 *sum, float *offsets)
{
    __m256i q = _mm256_loadu_si256((const __m256i *)(x->q + g * 32));
    if (w->turned) q = _mm256_sign_epi8(q, w->sign);
    __m256 dot = _mm256_cvtepi32_ps(products(w->levels, q));
    float d = x->scale[g];
    __m256 scale = _mm256_set1_ps(w->scale * d);
    if (w->by_sixteen) scale = _mm256_insertf128_ps(scale, _mm_set1_ps(w->scale2 * d), 1);
    *sum = _mm256_fmadd_ps(dot, scale, *sum);
    if (w->by_sixteen)
        *offsets = fmaf(w->offset, x->sum16[2 * g], fmaf(w->offset2, x->sum16[2 * g + 1], *offsets));
    else if (!w->turned)
        *offsets = fmaf(w->offset, x->sum32[g], *offsets);
}

/* groups: of 32 in a block */
#define ROW(name, bytes, groups)                                                                             \
    TERN_INLINE void rows_##name(int64_t k, const uint8_t *w, const tern_bytes_row *x, const int rows,       \
                                 float *y)                                                                   \
    {                                                                                                        \
        __m256 sum[TERN_PACKED_ROWS];                                                                        \
        float offsets[TERN_PACKED_ROWS];                                                                     \
        TERN_UNROLL for (int r = 0; r < rows; r++)                                                           \
        {                                                                                                    \
            sum[r] = _mm256_setzero_ps();                                                                    \
            offsets[r] = 0;                                                                                  \
        }                                                                                                    \
        for (int64_t at = 0; at < k / 32; at += (groups), w += (bytes)) {                                    \
            TERN_UNROLL for (int g = 0; g < (groups); g++)                                                   \
            {                                                                                                \
                group v = group_##name(w, g);                                                                \
                TERN_UNROLL for (int r = 0; r < rows; r++)                                                   \
                    add_group(&v, &x[r], at + g, &sum[r], &offsets[r]);                                      \
            }                                                                                                \
        }                                                                                                    \
        TERN_UNROLL for (int r = 0; r < rows; r++) y[r] = sum_of_eight(sum[r]) + offsets[r];                 \
    }                                                                                                        \
    static void dot_##name(int64_t k, const uint8_t *w, const tern_bytes_row *x, int rows, float *y)         \
    {                                                                                                        \
        if (rows == 4)                                                                                       \
            rows_##name(k, w, x, 4, y);                                                                      \
        else                                                                                                 \
            for (int r = 0; r < rows; r++) rows_##name(k, w, x + r, 1, y + r);                               \
    }

ROW(q4_0, 18, 1)
ROW(q4_1, 20, 1)
ROW(q5_0, 22, 1)
ROW(q5_1, 24, 1)
ROW(q8_0, 34, 1)
ROW(q2_K, 84, 8)
ROW(q3_K, 110, 8)
ROW(q4_K, 144, 8)
ROW(q5_K, 176, 8)
ROW(q6_K, 210, 8)
ROW(ternary, 66, 8)

tern_packed_dot *const TERN_FOR_ISA(tern_packed_dots)[TERN_DTYPES] = {
    [TERN_Q4_0] = dot_q4_0, [TERN_Q4_1] = dot_q4_1, [TERN_Q5_0] = dot_q5_0,       [TERN_Q5_1] = dot_q5_1,
    [TERN_Q8_0] = dot_q8_0, [TERN_Q2_K] = dot_q2_K, [TERN_Q3_K] = dot_q3_K,       [TERN_Q4_K] = dot_q4_K,
    [TERN_Q5_K] = dot_q5_K, [TERN_Q6_K] = dot_q6_K, [TERN_TERNARY] = dot_ternary,
};
#else
tern_packed_dot *const TERN_FOR_ISA(tern_packed_dots)[TERN_DTYPES] = {0};
#endif

/* ---- f32 ---------------------------------------------------------------------------------------------------------- */

void TERN_FOR_ISA(tern_float_dot)(int64_t k, const float *w, const float *x, int64_t x_step, int rows,
                                  float *y)
{
    int64_t whole = k / TERN_LANES * TERN_LANES;
    for (int r = 0; r < rows; r++, x += x_step) {
        vf sum = tern_all(0), other = tern_all(0);
        int64_t i = 0;
        for (; i + 2 * TERN_LANES <= whole; i += 2 * TERN_LANES) {
            sum = tern_fma(tern_load(w + i), tern_load(x + i), sum);
            other = tern_fma(tern_load(w + i + TERN_LANES), tern_load(x + i + TERN_LANES), other);
        }
        if (i < whole) sum = tern_fma(tern_load(w + i), tern_load(x + i), sum);
        sum += other;
        float total = 0;
        TERN_UNROLL for (int l = 0; l < TERN_LANES; l++) total += sum[l];
        for (int64_t t = whole; t < k; t++) total += w[t] * x[t];
        y[r] = total;
    }
}

/* ---- halves ------------------------------------------------------------------------------------------------------- */

#if defined(__AVX2__)
TERN_INLINE vf halves_at(const uint16_t *w, const bool brain)
{
#if defined(__AVX512F__)
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)w);
    return brain ? (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16) : (vf)_mm512_cvtph_ps(v);
#else
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)w);
    return brain ? (vf)_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16) : (vf)_mm256_cvtph_ps(v);
#endif
}

/* Asks for what stands some way behind, as fetch_ahead does in sixteen.h; rows of x are near. */
TERN_INLINE void halves_ahead(const uint16_t *w)
{
    enum { NEAR = 512, FAR = 2048, LINE = 32 };
    TERN_UNROLL for (int i = 0; i < 4 * TERN_LANES; i += LINE)
    {
        __builtin_prefetch(w + NEAR + i, 0, 3);
        __builtin_prefetch(w + FAR + i, 0, 2);
    }
}

/* Four sums side by side, then what does not fill a vector. */
TERN_INLINE void halves_of(int64_t k, const uint16_t *w, const float *x, int64_t x_step, const int rows,
                           const bool brain, float *y)
{
    enum { SUMS = 4 };
    vf sum[TERN_PACKED_ROWS][SUMS];
    int64_t i = 0, whole = k / (SUMS * TERN_LANES) * (SUMS * TERN_LANES);
    TERN_UNROLL for (int r = 0; r < rows; r++) TERN_UNROLL for (int s = 0; s < SUMS; s++) sum[r][s] =
        tern_all(0);
    for (; i < whole; i += SUMS * TERN_LANES) {
        halves_ahead(w + i);
        TERN_UNROLL for (int s = 0; s < SUMS; s++)
        {
            vf v = halves_at(w + i + s * TERN_LANES, brain);
            TERN_UNROLL for (int r = 0; r < rows; r++)
            {
                sum[r][s] = tern_fma(v, tern_load(x + r * x_step + i + s * TERN_LANES), sum[r][s]);
            }
        }
    }
    for (; i + TERN_LANES <= k; i += TERN_LANES) {
        TERN_UNROLL for (int r = 0; r < rows; r++)
        {
            sum[r][0] = tern_fma(halves_at(w + i, brain), tern_load(x + r * x_step + i), sum[r][0]);
        }
    }
    uint16_t rest[TERN_LANES] = {0};
    memcpy(rest, w + i, (size_t)(k - i) * sizeof *w);
    vf last = halves_at(rest, brain);
    TERN_UNROLL for (int r = 0; r < rows; r++)
    {
        vf all = (sum[r][0] + sum[r][1]) + (sum[r][2] + sum[r][3]);
        float total = 0;
        TERN_UNROLL for (int l = 0; l < TERN_LANES; l++) total += all[l];
        for (int64_t t = i; t < k; t++) total = fmaf(last[t - i], x[r * x_step + t], total);
        y[r] = total;
    }
}

void TERN_FOR_ISA(tern_half_dot)(tern_dtype dtype, int64_t k, const uint16_t *w, const float *x,
                                 int64_t x_step, int rows, float *y)
{
    bool brain = dtype == TERN_BF16;
    if (rows == 4 && brain)
        halves_of(k, w, x, x_step, 4, true, y);
    else if (rows == 4)
        halves_of(k, w, x, x_step, 4, false, y);
    else
        for (int r = 0; r < rows; r++) {
            if (brain)
                halves_of(k, w, x + r * x_step, x_step, 1, true, y + r);
            else
                halves_of(k, w, x + r * x_step, x_step, 1, false, y + r);
        }
}
#endif

/* ---- bytes -------------------------------------------------------------------------------------------------------- */

int32_t TERN_FOR_ISA(tern_byte_dot_of)(int64_t k, const int8_t *a, const int8_t *b)
{
    int64_t i = 0;
    int32_t sum = 0;
#if defined(__AVX2__)
    __m256i part = _mm256_setzero_si256();
    for (; i + 16 <= k; i += 16) { /* through 16 bits: exact for all bytes, -128 too */
        __m256i va = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(a + i)));
        __m256i vb = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(b + i)));
        part = _mm256_add_epi32(part, _mm256_madd_epi16(va, vb));
    }
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(part), _mm256_extracti128_si256(part, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    sum = _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
#endif
    for (; i < k; i++) sum += a[i] * b[i];
    return sum;
}
