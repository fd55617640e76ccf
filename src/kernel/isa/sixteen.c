/* Sixteen rows of formats with a scale for each 32 elements; see sixteen.h. */
#include "kernel/isa/sixteen.h"

#if defined(__AVX512VNNI__)

/* Bytes of a block, what its levels are too large by, and whether its least value follows the scale. */
typedef struct format {
    tern_dtype dtype;
    int bytes, zero;
    bool offset;
} format;

/* ---- levels ------------------------------------------------------------------------------------------------------------- */

/* A block of each row: rows 4 i stand at at[i], `step` is between two; where rows are missing, row r stands `offset[r]` behind at[0]. */
typedef struct blocks {
    const uint8_t *at[4];
    size_t step, three;
    const int32_t *offset;
} blocks;

TERN_INLINE const uint8_t *block_of(const blocks *b, int r, const bool whole)
{
    const size_t behind[4] = {0, b->step, 2 * b->step, b->three};
    return whole ? b->at[r / 4] + behind[r % 4] : b->at[0] + b->offset[r];
}

/* One word of each row, `from` bytes behind the beginning of its block. */
TERN_INLINE __m512i words_at(const blocks *b, int from)
{
    return _mm512_i32gather_epi32(_mm512_load_si512(b->offset), b->at[0] + from, 1);
}

/* Four words of each row, `from` bytes behind the beginning of its block: lane r of word i is of row r. */
TERN_INLINE void words_of(const blocks *b, int from, const bool whole, __m512i word[4])
{
    __m512i v[4];
    TERN_UNROLL for (int i = 0; i < 4; i++)
    {
        v[i] = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(block_of(b, i, whole) + from)));
        v[i] =
            _mm512_inserti32x4(v[i], _mm_loadu_si128((const __m128i *)(block_of(b, 4 + i, whole) + from)), 1);
        v[i] =
            _mm512_inserti32x4(v[i], _mm_loadu_si128((const __m128i *)(block_of(b, 8 + i, whole) + from)), 2);
        v[i] = _mm512_inserti32x4(v[i], _mm_loadu_si128((const __m128i *)(block_of(b, 12 + i, whole) + from)),
                                  3);
    }
    __m512i low = _mm512_unpacklo_epi32(v[0], v[1]), high = _mm512_unpackhi_epi32(v[0], v[1]);
    __m512i low2 = _mm512_unpacklo_epi32(v[2], v[3]), high2 = _mm512_unpackhi_epi32(v[2], v[3]);
    word[0] = _mm512_unpacklo_epi64(low, low2);
    word[1] = _mm512_unpackhi_epi64(low, low2);
    word[2] = _mm512_unpacklo_epi64(high, high2);
    word[3] = _mm512_unpackhi_epi64(high, high2);
}

/* Word i with 16 more where the fifth bits, of which those of all words are given, are set. */
TERN_INLINE __m512i with_fifths(__m512i word, __m512i bits, const int i)
{
    const __m512i first = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c));
    const __m512i of = _mm512_set1_epi32(i % 2 ? (int)0x80402010 : 0x08040201);
    __m512i bytes = _mm512_shuffle_epi8(bits, _mm512_or_si512(first, _mm512_set1_epi8((char)(i / 2))));
    return _mm512_mask_add_epi8(word, _mm512_test_epi8_mask(bytes, of), word, _mm512_set1_epi8(16));
}

/* Formats whose second halves of blocks stand in high nibbles, and are multiplied there: sums are sixteen times too large. */
TERN_INLINE bool stays_high(const format f)
{
    return f.dtype == TERN_Q4_0 || f.dtype == TERN_Q4_1;
}

/* Levels of a block, four in each lane: word i is of elements 4 i to 4 i + 3. */
TERN_INLINE void levels_of(const format f, const blocks *b, const bool whole, __m512i level[8])
{
    words_of(b, f.dtype == TERN_Q8_0 ? 2 : f.bytes - 16, whole, level);
    if (f.dtype == TERN_Q8_0) {
        words_of(b, 18, whole, level + 4);
        TERN_UNROLL for (int i = 0; i < 8; i++) level[i] = _mm512_xor_si512(level[i], _mm512_set1_epi8(-128));
        return;
    }
    const __m512i low = _mm512_set1_epi8(15);
    TERN_UNROLL for (int i = 0; i < 4; i++)
    {
        if (stays_high(f))
            level[4 + i] = _mm512_andnot_si512(low, level[i]);
        else
            level[4 + i] = _mm512_and_si512(_mm512_srli_epi16(level[i], 4), low);
        level[i] = _mm512_and_si512(level[i], low);
    }
    if (f.dtype != TERN_Q5_0 && f.dtype != TERN_Q5_1) return;
    __m512i fifths = words_at(b, f.bytes - 20);
    TERN_UNROLL for (int i = 0; i < 8; i++) level[i] = with_fifths(level[i], fifths, i);
}

/* ---- rows ----------------------------------------------------------------------------------------------------------------- */

/* Scales of the blocks, and of some formats what is added. */
TERN_INLINE void scales_of(const format f, const blocks *b, __m512 *scale, __m512 *least)
{
    const __m512i apart = _mm512_set_epi16(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1, 30, 28,
                                           26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    __m512i both = _mm512_permutexvar_epi16(apart, words_at(b, 0));
    *scale = _mm512_cvtph_ps(_mm512_castsi512_si256(both));
    *least = f.offset ? _mm512_cvtph_ps(_mm512_extracti64x4_epi64(both, 1)) : *scale;
}

/* Four elements of x in each lane; loaded so that the product itself can read them. */
TERN_INLINE __m512i word_at(const int8_t *q)
{
    typedef int32_t word __attribute__((may_alias, aligned(1)));
    return _mm512_set1_epi32(*(const word *)q);
}

/* Adds the products of one block with block b of each row of x. */
TERN_INLINE void add_block(const format f, const blocks *w, const bool whole, const tern_bytes_row *x,
                           int64_t b, const int rows, __m512 *sum)
{
    __m512i level[8];
    __m512 scale, least;
    levels_of(f, w, whole, level);
    scales_of(f, w, &scale, &least);
    TERN_UNROLL for (int r = 0; r < rows; r++)
    {
        __m512i first = f.zero ? _mm512_set1_epi32(-f.zero * x[r].whole[b]) : _mm512_setzero_si512(),
                second = _mm512_setzero_si512();
        TERN_UNROLL for (int i = 0; i < 4; i++)
        {
            first = _mm512_dpbusd_epi32(first, level[i], word_at(x[r].q + 32 * b + 4 * i));
            second = _mm512_dpbusd_epi32(second, level[4 + i], word_at(x[r].q + 32 * b + 4 * i + 16));
        }
        if (stays_high(f)) second = _mm512_srai_epi32(second, 4);
        __m512 all = _mm512_cvtepi32_ps(_mm512_add_epi32(first, second));
        sum[r] = _mm512_fmadd_ps(all, _mm512_mul_ps(scale, _mm512_set1_ps(x[r].scale[b])), sum[r]);
        if (f.offset) sum[r] = _mm512_fmadd_ps(least, _mm512_set1_ps(x[r].sum32[b]), sum[r]);
    }
}

TERN_INLINE void add_rows(const format f, const sixteen *w, const bool whole, int64_t k,
                          const tern_bytes_row *x, const int rows, __m512 *sum)
{
    _Alignas(64) int32_t offset[TERN_PANEL];
    blocks at = {.step = w->row_bytes, .three = 3 * w->row_bytes, .offset = offset};
    for (int r = 0; r < TERN_PANEL; r++) offset[r] = (int32_t)(row_of(w, r, 0) - w->w);
    for (int i = 0; i < 4; i++) at.at[i] = w->w + 4 * (size_t)i * w->row_bytes;
    const uint8_t *ahead = w->w + TERN_PANEL * w->row_bytes;
    for (int64_t b = 0; b < k / 32; b++) {
        fetch_ahead(ahead, TERN_PANEL * f.bytes);
        ahead += TERN_PANEL * f.bytes;
        add_block(f, &at, whole, x, b, rows, sum);
        TERN_UNROLL for (int i = 0; i < 4; i++)
        {
            at.at[i] += f.bytes;
            __asm__("" : "+r"(at.at[i])); /* not sixteen addresses: there are no registers for them */
        }
    }
}

TERN_INLINE void few_rows(const format f, const sixteen *w, int64_t k, const tern_bytes_row *x,
                          const int rows, __m512 *sum)
{
    if (w->count == TERN_PANEL)
        add_rows(f, w, true, k, x, rows, sum);
    else
        add_rows(f, w, false, k, x, rows, sum);
}

#define FEW(name, ...)                                                                                       \
    TERN_INLINE void few_##name(const sixteen *w, int64_t k, const tern_bytes_row *x, const int rows,        \
                                __m512 *sum)                                                                 \
    {                                                                                                        \
        few_rows((format){__VA_ARGS__}, w, k, x, rows, sum);                                                 \
    }                                                                                                        \
    TERN_FEW(name)
TERN_FEW_DECLARE(q4_0)
TERN_FEW_DECLARE(q4_1)
TERN_FEW_DECLARE(q5_0)
TERN_FEW_DECLARE(q5_1)
TERN_FEW_DECLARE(q8_0)
FEW(q4_0, TERN_Q4_0, 18, 8, false)
FEW(q4_1, TERN_Q4_1, 20, 0, true)
FEW(q5_0, TERN_Q5_0, 22, 16, false)
FEW(q5_1, TERN_Q5_1, 24, 0, true)
FEW(q8_0, TERN_Q8_0, 34, 128, false)

/* ---- the table -------------------------------------------------------------------------------------------------------- */

tern_packed_few *const TERN_FOR_ISA(tern_packed_fews)[TERN_DTYPES] = {
    [TERN_Q4_0] = TERN_FOR_ISA(tern_few_q4_0),       [TERN_Q4_1] = TERN_FOR_ISA(tern_few_q4_1),
    [TERN_Q5_0] = TERN_FOR_ISA(tern_few_q5_0),       [TERN_Q5_1] = TERN_FOR_ISA(tern_few_q5_1),
    [TERN_Q8_0] = TERN_FOR_ISA(tern_few_q8_0),       [TERN_Q2_K] = TERN_FOR_ISA(tern_few_q2_K),
    [TERN_Q3_K] = TERN_FOR_ISA(tern_few_q3_K),       [TERN_Q4_K] = TERN_FOR_ISA(tern_few_q4_K),
    [TERN_Q5_K] = TERN_FOR_ISA(tern_few_q5_K),       [TERN_Q6_K] = TERN_FOR_ISA(tern_few_q6_K),
    [TERN_TERNARY] = TERN_FOR_ISA(tern_few_ternary),
};
#else
tern_packed_few *const TERN_FOR_ISA(tern_packed_fews)[TERN_DTYPES] = {0};
#endif
