/* Tiles of bits and of signed bytes.  Both read 32-bit words: 32 bits, or 4 (VNNI) or 2 bytes of the summed index; a
 * lane is a column of C, so that nothing needs to be added across lanes. */
#include "kernel/isa/isa.h"

#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

/* ---- bits -------------------------------------------------------------------------------------------- */

#if defined(__AVX512VPOPCNTDQ__)

TERN_INLINE void binary_tile(const int rows, int64_t words, const uint32_t *restrict a, int64_t a_step,
                             const uint32_t *restrict b, vi sum[TERN_TILE_ROWS][2])
{
    for (; words > 0; words--, a += a_step, b += 2 * TERN_LANES) {
        vu b0 = tern_load_words(b), b1 = tern_load_words(b + TERN_LANES);
        TERN_UNROLL for (int i = 0; i < rows; i++)
        {
            sum[i][0] += (vi)_mm512_popcnt_epi32((__m512i)(a[i] & b0));
            sum[i][1] += (vi)_mm512_popcnt_epi32((__m512i)(a[i] & b1));
        }
    }
}

#else

/* Ones in each byte. */
TERN_INLINE vu count_in_bytes(vu v)
{
#if defined(__AVX2__)
    const __m256i ones = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2,
                                          3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i low = _mm256_and_si256((__m256i)v, nibble), high = _mm256_and_si256((__m256i)(v >> 4), nibble);
    return (vu)_mm256_add_epi8(_mm256_shuffle_epi8(ones, low), _mm256_shuffle_epi8(ones, high));
#else
    v = v - (v >> 1 & 0x55555555u);
    v = (v & 0x33333333u) + (v >> 2 & 0x33333333u);
    return (v + (v >> 4)) & 0x0f0f0f0fu;
#endif
}

/* Bytes count up to 31 words of 8 ones each before they are added to the lanes. */
TERN_INLINE void binary_tile(const int rows, int64_t words, const uint32_t *restrict a, int64_t a_step,
                             const uint32_t *restrict b, vi sum[TERN_TILE_ROWS][2])
{
    while (words > 0) {
        int64_t part = words < 31 ? words : 31;
        vu bytes[TERN_TILE_ROWS][2];
        TERN_UNROLL for (int i = 0; i < rows; i++) bytes[i][0] = bytes[i][1] = (vu){0};
        for (int64_t k = 0; k < part; k++, a += a_step, b += 2 * TERN_LANES) {
            vu b0 = tern_load_words(b), b1 = tern_load_words(b + TERN_LANES);
            TERN_UNROLL for (int i = 0; i < rows; i++)
            {
                bytes[i][0] += count_in_bytes(a[i] & b0);
                bytes[i][1] += count_in_bytes(a[i] & b1);
            }
        }
        TERN_UNROLL for (int i = 0; i < 2 * rows; i++)
        {
            vu v = bytes[i / 2][i % 2];
            v = (v & 0x00ff00ffu) + (v >> 8 & 0x00ff00ffu);
            sum[i / 2][i % 2] += (vi)((v & 0xffffu) + (v >> 16));
        }
        words -= part;
    }
}

#endif

void TERN_FOR_ISA(tern_pack_binary)(const void *rows, int64_t at, int64_t k, int64_t count, int width,
                                    uint32_t *out)
{
    int64_t words = (k + 31) / 32;
    for (int64_t i = 0; i < width; i++)
        for (int64_t w = 0; w < words; w++) {
            int part = k - w * 32 < 32 ? (int)(k - w * 32) : 32;
            out[w * width + i] = i < count ? tern_bits_at(rows, at + i * k + w * 32, part) : 0;
        }
}

/* ---- signed bytes ------------------------------------------------------------------------------------ */

#if TERN_I8_PER_WORD == 4

/* vpdpbusd multiplies unsigned by signed bytes: a + 128 stands for a, and 128 times the sum of b, which the same
 * instruction gives, is taken off again. */
TERN_INLINE void i8_tile(const int rows, int64_t words, const uint32_t *restrict a, int64_t a_step,
                         const uint32_t *restrict b, vi sum[TERN_TILE_ROWS][2])
{
    __m512i flip = _mm512_set1_epi32((int)0x80808080u), excess0 = _mm512_setzero_si512(), excess1 = excess0;
    for (; words > 0; words--, a += a_step, b += 2 * TERN_LANES) {
        __m512i b0 = (__m512i)tern_load_words(b), b1 = (__m512i)tern_load_words(b + TERN_LANES);
        excess0 = _mm512_dpbusd_epi32(excess0, flip, b0);
        excess1 = _mm512_dpbusd_epi32(excess1, flip, b1);
        TERN_UNROLL for (int i = 0; i < rows; i++)
        {
            __m512i ai = _mm512_set1_epi32((int)(a[i] ^ 0x80808080u));
            sum[i][0] = (vi)_mm512_dpbusd_epi32((__m512i)sum[i][0], ai, b0);
            sum[i][1] = (vi)_mm512_dpbusd_epi32((__m512i)sum[i][1], ai, b1);
        }
    }
    TERN_UNROLL for (int i = 0; i < rows; i++)
    {
        sum[i][0] -= (vi)excess0;
        sum[i][1] -= (vi)excess1;
    }
}

#else

/* Per lane, the two 16-bit products of a word, added. */
TERN_INLINE vi multiply_pairs(vu a, vu b)
{
#if defined(__AVX2__)
    return (vi)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
    return (vi)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
    return ((vi)a >> 16) * ((vi)b >> 16) + ((vi)(a << 16) >> 16) * ((vi)(b << 16) >> 16);
#endif
}

TERN_INLINE void i8_tile(const int rows, int64_t words, const uint32_t *restrict a, int64_t a_step,
                         const uint32_t *restrict b, vi sum[TERN_TILE_ROWS][2])
{
    for (; words > 0; words--, a += a_step, b += 2 * TERN_LANES) {
        vu b0 = tern_load_words(b), b1 = tern_load_words(b + TERN_LANES);
        TERN_UNROLL for (int i = 0; i < rows; i++)
        {
            sum[i][0] += multiply_pairs(a[i] + (vu){0}, b0);
            sum[i][1] += multiply_pairs(a[i] + (vu){0}, b1);
        }
    }
}

#endif

/* Up to TERN_I8_PER_WORD bytes as a word: as they are, or widened to 16 bits. */
TERN_INLINE uint32_t word_of(const int8_t *bytes, int64_t count)
{
    uint32_t word = 0;
    if (TERN_I8_PER_WORD == 4 && count >= 4) {
        memcpy(&word, bytes, sizeof word);
        return word;
    }
    for (int j = 0; j < TERN_I8_PER_WORD && j < count; j++) {
        int size = 32 / TERN_I8_PER_WORD;
        word |= ((uint32_t)bytes[j] & (size == 8 ? 0xffu : 0xffffu)) << (j * size);
    }
    return word;
}

void TERN_FOR_ISA(tern_pack_i8)(const void *rows, int64_t at, int64_t k, int64_t count, int width,
                                uint32_t *out)
{
    const int8_t *bytes = (const int8_t *)rows + at;
    int64_t words = (k + TERN_I8_PER_WORD - 1) / TERN_I8_PER_WORD, whole = k / TERN_I8_PER_WORD;
    for (int64_t i = 0; i < width; i++) {
        const int8_t *row = bytes + i * k;
        for (int64_t w = 0; i < count && w < whole; w++)
            out[w * width + i] = word_of(row + w * TERN_I8_PER_WORD, TERN_I8_PER_WORD);
        for (int64_t w = i < count ? whole : 0; w < words; w++)
            out[w * width + i] =
                i < count ? word_of(row + w * TERN_I8_PER_WORD, k - w * TERN_I8_PER_WORD) : 0;
    }
}

/* ---- the tables -------------------------------------------------------------------------------------- */

#define TILE(kind, rows)                                                                                     \
    static void kind##_##rows(int64_t words, const uint32_t *a, int64_t a_step, const uint32_t *b,           \
                              int32_t *c, int64_t row_stride, bool add)                                      \
    {                                                                                                        \
        vi sum[TERN_TILE_ROWS][2];                                                                           \
        TERN_UNROLL for (int i = 0; i < rows; i++) sum[i][0] = sum[i][1] = (vi){0};                          \
        kind##_tile(rows, words, a, a_step, b, sum);                                                         \
        TERN_UNROLL for (int i = 0; i < 2 * rows; i++)                                                       \
        {                                                                                                    \
            int32_t *to = c + i / 2 * row_stride + i % 2 * TERN_LANES;                                       \
            vi old = add ? (vi)tern_load_words((uint32_t *)to) : (vi){0};                                    \
            tern_store_words((uint32_t *)to, (vu)(old + sum[i / 2][i % 2]));                                 \
        }                                                                                                    \
    }
#define BINARY_TILE(rows) TILE(binary, rows)
#define I8_TILE(rows)     TILE(i8, rows)
TERN_EACH_ROWS(BINARY_TILE)
TERN_EACH_ROWS(I8_TILE)

#define BINARY_NAME(rows) binary_##rows,
#define I8_NAME(rows)     i8_##rows,
tern_word_tile *const TERN_FOR_ISA(tern_binary_tiles)[] = {TERN_EACH_ROWS(BINARY_NAME)};
tern_word_tile *const TERN_FOR_ISA(tern_i8_tiles)[] = {TERN_EACH_ROWS(I8_NAME)};
