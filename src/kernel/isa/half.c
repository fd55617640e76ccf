/* Rows of products whose sums are rounded behind every term.  Only AVX-512 can choose how an instruction rounds; the other sets
 * go term by term.  A fused multiply-add towards zero whose last bit is set where it was not exact can be rounded again, to the
 * format, as if that had been done once (Boldo and Melquiond 2008). */
#include "kernel/half.h"
#include "kernel/isa/isa.h"

#if defined(__AVX512F__)
enum { CHAINS = 4 }; /* sums that wait for each other side by side */

static inline __m512 odd_step(__m512 sum, __m512 a, __m512 b)
{
    __m512 cut = _mm512_fmadd_round_ps(a, b, sum, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
    __m512 up = _mm512_fmadd_round_ps(a, b, sum, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
    __m512 down = _mm512_fmadd_round_ps(a, b, sum, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    __mmask16 inexact = _mm512_cmp_ps_mask(up, down, _CMP_NEQ_OQ);
    __m512i bits = _mm512_castps_si512(cut);
    bits = _mm512_mask_or_epi32(bits, inexact, bits, _mm512_set1_epi32(1));
    return _mm512_castsi512_ps(bits);
}

static inline __m512 f16_step(__m512 sum, __m512 a, __m512 b)
{
    return _mm512_cvtph_ps(_mm512_cvtps_ph(odd_step(sum, a, b), _MM_FROUND_TO_NEAREST_INT));
}

static inline __m512 bf16_step(__m512 sum, __m512 a, __m512 b)
{
    __m512i bits = _mm512_castps_si512(odd_step(sum, a, b)), one = _mm512_set1_epi32(1);
    __m512i even = _mm512_and_si512(_mm512_srli_epi32(bits, 16), one);
    __m512i near = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), even);
    __m512i number = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
    __mmask16 nan = _mm512_cmpgt_epi32_mask(number, _mm512_set1_epi32(0x7f800000));
    near = _mm512_mask_or_epi32(near, nan, bits, _mm512_set1_epi32(0x400000));
    return _mm512_castsi512_ps(_mm512_and_si512(near, _mm512_set1_epi32((int)0xffff0000u)));
}

static inline __m512 f32_step(__m512 sum, __m512 a, __m512 b)
{
    return _mm512_fmadd_ps(a, b, sum);
}

/* Columns from j on, up to CHAINS vectors of them. */
#define ROWS_OF(format)                                                                                      \
    static inline void format##_piece(const tern_half_product *p, int64_t i, int64_t j, int chains)          \
    {                                                                                                        \
        __m512 sum[CHAINS];                                                                                  \
        __mmask16 mask[CHAINS];                                                                              \
        float *c = p->c + i * p->m + j;                                                                      \
        const float *a = p->a + i * p->k, *b = p->b + j;                                                     \
        for (int v = 0; v < chains; v++) {                                                                   \
            int64_t left = p->m - j - 16 * v;                                                                \
            mask[v] = left >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << left) - 1);                        \
            sum[v] = _mm512_maskz_loadu_ps(mask[v], c + 16 * v);                                             \
        }                                                                                                    \
        for (int64_t k = 0; k < p->k; k++, b += p->m) {                                                      \
            __m512 each = _mm512_set1_ps(a[k]);                                                              \
            for (int v = 0; v < chains; v++)                                                                 \
                sum[v] = format##_step(sum[v], each, _mm512_maskz_loadu_ps(mask[v], b + 16 * v));            \
        }                                                                                                    \
        for (int v = 0; v < chains; v++) _mm512_mask_storeu_ps(c + 16 * v, mask[v], sum[v]);                 \
    }                                                                                                        \
    static void format##_rows(const tern_half_product *p, int64_t first, int64_t last)                       \
    {                                                                                                        \
        for (int64_t i = first; i < last; i++) {                                                             \
            int64_t j = 0;                                                                                   \
            for (; j + 16 * (CHAINS - 1) < p->m; j += 16L * CHAINS) format##_piece(p, i, j, CHAINS);         \
            for (; j < p->m; j += 16) format##_piece(p, i, j, 1);                                            \
        }                                                                                                    \
    }
ROWS_OF(f16)
ROWS_OF(bf16)
ROWS_OF(f32)

void TERN_FOR_ISA(tern_half_rows_of)(const tern_half_product *p, int64_t first, int64_t last);
void TERN_FOR_ISA(tern_half_rows_of)(const tern_half_product *p, int64_t first, int64_t last)
{
    tern_half_rows *rows = p->wide || p->format == TERN_F32 ? f32_rows
                           : p->format == TERN_F16          ? f16_rows
                                                            : bf16_rows;
    rows(p, first, last);
}
#else
typedef int tern_half_rows_need_avx512; /* a file must hold something */
#endif
