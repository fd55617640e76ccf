/* Products of packed weights with many rows of x by dots of bytes: four elements of a row of W, the same in all lanes, times
 * four of each of 16 rows of x.  Blocks are scaled and added up as on tiles, to the same bits. */
#include "kernel/isa/blocks.h"

#if defined(__AVX512VNNI__)

/* sum[r] += the products of `words` words of each row of W, which are `step` bytes apart, with those of 16 rows of x. */
TERN_INLINE void add_words(const int8_t *w, int64_t step, const int8_t *x, const int words,
                           __m512i sum[TERN_PANEL])
{
    TERN_UNROLL for (int i = 0; i < words; i++)
    {
        __m512i four = _mm512_loadu_si512(x + 64 * i);
        TERN_UNROLL for (int r = 0; r < TERN_PANEL; r++)
        {
            int32_t word;
            memcpy(&word, w + r * step + 4 * i, 4);
            sum[r] = _mm512_dpbusd_epi32(sum[r], _mm512_set1_epi32(word), four);
        }
    }
}

/* -128 times the sums of x: what bytes that are 128 too large add too much. */
TERN_INLINE void begin_with(__m512i x_sum, __m512i sum[TERN_PANEL])
{
    __m512i less = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(x_sum, 7));
    TERN_UNROLL for (int r = 0; r < TERN_PANEL; r++) sum[r] = less;
}

TERN_INLINE void wide_32(const tern_weight_panel *w, const tern_bytes_panel *x, int64_t blocks,
                         const bool offset, float *c)
{
    for (int64_t b = 0; b < blocks; b++) {
        __m512i sum[TERN_PANEL], pair = _mm512_loadu_si512(x->whole + b / 2 * 2 * TERN_PANEL);
        begin_with(_mm512_srai_epi32(b & 1 ? pair : _mm512_slli_epi32(pair, 16), 16), sum);
        add_words(w->low + b * 512, 32, x->q + b * 512, 8, sum);
        const float *scale = w->scale + b * TERN_PANEL, *more = w->offset + b * TERN_PANEL;
        __m512 x_scale = _mm512_loadu_ps(x->scale + b * TERN_PANEL);
        __m512 x_sum = _mm512_loadu_ps(x->sum + b * TERN_PANEL);
        TERN_UNROLL for (int r = 0; r < TERN_PANEL; r++)
        {
            __m512 y = _mm512_loadu_ps(c + r * TERN_PANEL), p = _mm512_cvtepi32_ps(sum[r]);
            y = _mm512_fmadd_ps(p, _mm512_mul_ps(x_scale, _mm512_set1_ps(scale[r])), y);
            if (offset) y = _mm512_fmadd_ps(x_sum, _mm512_set1_ps(more[r]), y);
            _mm512_storeu_ps(c + r * TERN_PANEL, y);
        }
    }
}

/* sum[r] += the products of block b: one part of it. */
TERN_INLINE void add_part(const int8_t *part, const tern_bytes_panel *x, int64_t b, __m512i sum[TERN_PANEL])
{
    for (int64_t i = 16 * b; i < 16 * b + 16; i++)
        add_words(part + i / 4 * 1024 + i % 4 * 16, 64, x->q + i * 256, 4, sum);
}

TERN_INLINE void wide_256(const tern_weight_panel *w, const tern_bytes_panel *x, int64_t blocks,
                          const tern_lower lower, float *c)
{
    _Alignas(64) int32_t products[2][TERN_PANEL * TERN_PANEL];
    for (int64_t b = 0; b < blocks; b++) {
        __m512i sum[TERN_PANEL], x_sum = _mm512_setzero_si512();
        TERN_UNROLL for (int i = 0; i < 4; i++)
        {
            x_sum = _mm512_dpwssd_epi32(x_sum, _mm512_loadu_si512(x->whole + (4 * b + i) * 2 * TERN_PANEL),
                                        _mm512_set1_epi16(1));
        }
        begin_with(x_sum, sum);
        add_part(w->high, x, b, sum);
        if (lower == TERN_LOWER_APART) {
            TERN_UNROLL for (int r = 0; r < TERN_PANEL; r++)
            {
                _mm512_store_si512(products[1] + r * TERN_PANEL, sum[r]);
                sum[r] = _mm512_setzero_si512();
            }
        } else {
            TERN_UNROLL for (int r = 0; r < TERN_PANEL; r++) sum[r] = _mm512_slli_epi32(sum[r], 7);
        }
        add_part(w->low, x, b, sum);
        TERN_UNROLL for (int r = 0; r < TERN_PANEL; r++)
            _mm512_store_si512(products[0] + r * TERN_PANEL, sum[r]);
        add_256(w, x, b, lower, products[0], lower == TERN_LOWER_APART ? products[1] : NULL, c);
    }
}

static void by_32(const tern_weight_panel *w, const tern_bytes_panel *x, int64_t blocks, bool offset,
                  float *c)
{
    if (offset)
        wide_32(w, x, blocks, true, c);
    else
        wide_32(w, x, blocks, false, c);
}

static void by_256(const tern_weight_panel *w, const tern_bytes_panel x[2], int64_t blocks, tern_lower lower,
                   bool two, float c[2][TERN_PANEL * TERN_PANEL])
{
    for (int t = 0; t < (two ? 2 : 1); t++) {
        if (lower == TERN_LOWER_BY_32)
            wide_256(w, &x[t], blocks, TERN_LOWER_BY_32, c[t]);
        else if (lower == TERN_LOWER_APART)
            wide_256(w, &x[t], blocks, TERN_LOWER_APART, c[t]);
        else
            wide_256(w, &x[t], blocks, TERN_LOWER_NONE, c[t]);
    }
}

static void block(const tern_packed_product *p, void *panels, int64_t n)
{
    static const tern_multipliers dots = {.flipped = true, .by_32 = by_32, .by_256 = by_256};
    TERN_FOR_ISA(tern_multiply_block)(p, panels, n, &dots);
}

tern_packed_block *const TERN_FOR_ISA(tern_packed_blocks)[TERN_DTYPES] = {
    [TERN_Q4_0] = block, [TERN_Q4_1] = block, [TERN_Q5_0] = block,    [TERN_Q5_1] = block,
    [TERN_Q8_0] = block, [TERN_Q2_K] = block, [TERN_Q3_K] = block,    [TERN_Q4_K] = block,
    [TERN_Q5_K] = block, [TERN_Q6_K] = block, [TERN_TERNARY] = block,
};
#else
tern_packed_block *const TERN_FOR_ISA(tern_packed_blocks)[TERN_DTYPES] = {0};
#endif
