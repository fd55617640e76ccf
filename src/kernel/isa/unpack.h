/* Sixteen rows of packed weights as bytes that tiles and dots multiply: signed levels of formats with a scale for each 32
 * elements; of formats with two levels of scales, levels times the scale inside the block, in two parts: 128 high + low. */
#ifndef TERN_ISA_UNPACK_H
#define TERN_ISA_UNPACK_H

#include "kernel/isa/groups.h"

enum { TERN_UNPACK = 2048 }; /* columns at once */

typedef struct tern_weight_panel {
    /* [k/32][16][32], or both parts [k/64][16][64] */
    _Alignas(64) int8_t low[TERN_PANEL * TERN_UNPACK], high[TERN_PANEL * TERN_UNPACK];
    /* Of each 32 elements, or of each 256: [k/32][16] or [k/256][16]. */
    _Alignas(64) float scale[TERN_PANEL * TERN_UNPACK / 32], offset[TERN_PANEL * TERN_UNPACK / 32];
    _Alignas(
        64) int16_t least[TERN_PANEL * TERN_UNPACK / 32]; /* what q4_K and q5_K subtract: [k/64][16][2] */
} tern_weight_panel;

#if defined(__AVX512VNNI__)

/* 32 elements each with a scale of its own: value = scale * (level - zero) + offset. */
#define TERN_UNPACK_32(name, bytes, zero)                                                                    \
    TERN_INLINE void unpack_##name(const uint8_t *const rows[TERN_PANEL], int64_t k, tern_weight_panel *to)  \
    {                                                                                                        \
        for (int64_t b = 0; b < k / 32; b++) {                                                               \
            _Alignas(32) uint16_t scale[TERN_PANEL], offset[TERN_PANEL];                                     \
            for (int r = 0; r < TERN_PANEL; r++) {                                                           \
                const uint8_t *block = rows[r] + b * (bytes);                                                \
                group g = group_##name(block, 0);                                                            \
                __m256i levels = g.turned ? g.sign : _mm256_sub_epi8(g.levels, _mm256_set1_epi8(zero));      \
                _mm256_store_si256((__m256i *)(to->low + (b * TERN_PANEL + r) * 32), levels);                \
                memcpy(scale + r, block, 2);                                                                 \
                memcpy(offset + r, block + 2, 2); /* where the format has one */                             \
            }                                                                                                \
            _mm512_store_ps(to->scale + b * TERN_PANEL,                                                      \
                            _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(const void *)scale)));       \
            _mm512_store_ps(to->offset + b * TERN_PANEL,                                                     \
                            _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(const void *)offset)));      \
        }                                                                                                    \
    }
TERN_UNPACK_32(q4_0, 18, 8)
TERN_UNPACK_32(q4_1, 20, 0)
TERN_UNPACK_32(q5_0, 22, 16)
TERN_UNPACK_32(q5_1, 24, 0)
TERN_UNPACK_32(q8_0, 34, 0)

/* Levels (signed bytes) times scales (16 bits, one for each lane of 16), as 128 high + low. */
TERN_INLINE void split(__m256i levels, __m256i scale, int8_t *low, int8_t *high)
{
    const __m256i seven = _mm256_set1_epi16(127), byte = _mm256_set1_epi16(255);
    __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(levels, 8), 8), odd = _mm256_srai_epi16(levels, 8);
    even = _mm256_mullo_epi16(even, scale);
    odd = _mm256_mullo_epi16(odd, scale);
    __m256i l =
        _mm256_or_si256(_mm256_and_si256(even, seven), _mm256_slli_epi16(_mm256_and_si256(odd, seven), 8));
    __m256i h = _mm256_or_si256(_mm256_and_si256(_mm256_srai_epi16(even, 7), byte),
                                _mm256_andnot_si256(byte, _mm256_slli_epi16(odd, 1)));
    _mm256_store_si256((__m256i *)low, l);
    _mm256_store_si256((__m256i *)high, h);
}

TERN_INLINE __m256i by_sixteen(int first, int second)
{
    return _mm256_inserti128_si256(_mm256_set1_epi16((short)first), _mm_set1_epi16((short)second), 1);
}

/* The 6-bit scales and offsets of q4_K and q5_K: eight bytes each. */
TERN_INLINE void scales_q45(const uint8_t *p, uint64_t *scale, uint64_t *offset)
{
    uint32_t low, mid, top;
    memcpy(&low, p, 4);
    memcpy(&mid, p + 4, 4);
    memcpy(&top, p + 8, 4);
    const uint32_t six = 0x3f3f3f3f, four = 0x0f0f0f0f, two = 0x03030303;
    *scale = (low & six) | (uint64_t)((top & four) | (low >> 6 & two) << 4) << 32;
    *offset = (mid & six) | (uint64_t)((top >> 4 & four) | (mid >> 6 & two) << 4) << 32;
}

#define TERN_UNPACK_K(name, bytes)                                                                           \
    TERN_INLINE void unpack_##name(const uint8_t *const rows[TERN_PANEL], int64_t k, tern_weight_panel *to)  \
    {                                                                                                        \
        for (int64_t b = 0; b < k / 256; b++) {                                                              \
            for (int r = 0; r < TERN_PANEL; r++) {                                                           \
                const uint8_t *block = rows[r] + b * (bytes);                                                \
                uint64_t scale, least;                                                                       \
                scales_q45(block + 4, &scale, &least);                                                       \
                to->scale[b * TERN_PANEL + r] = half_at(block);                                              \
                to->offset[b * TERN_PANEL + r] = -half_at(block + 2);                                        \
                TERN_UNROLL for (int g = 0; g < 8; g++)                                                      \
                {                                                                                            \
                    int64_t at = ((b * 4 + g / 2) * TERN_PANEL + r);                                         \
                    split(group_##name(block, g).levels, _mm256_set1_epi16(scale >> 8 * g & 255),            \
                          to->low + at * 64 + g % 2 * 32, to->high + at * 64 + g % 2 * 32);                  \
                    to->least[at * 2 + g % 2] = least >> 8 * g & 255;                                        \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }
TERN_UNPACK_K(q4_K, 144)
TERN_UNPACK_K(q5_K, 176)

TERN_INLINE void unpack_q6_K(const uint8_t *const rows[TERN_PANEL], int64_t k, tern_weight_panel *to)
{
    for (int64_t b = 0; b < k / 256; b++) {
        for (int r = 0; r < TERN_PANEL; r++) {
            const uint8_t *block = rows[r] + b * 210;
            const int8_t *scale = (const int8_t *)block + 192;
            to->scale[b * TERN_PANEL + r] = half_at(block + 208);
            TERN_UNROLL for (int g = 0; g < 8; g++)
            {
                int64_t at = ((b * 4 + g / 2) * TERN_PANEL + r) * 64 + g % 2 * 32;
                __m256i levels = _mm256_sub_epi8(group_q6_K(block, g).levels, _mm256_set1_epi8(32));
                split(levels, by_sixteen(scale[2 * g], scale[2 * g + 1]), to->low + at, to->high + at);
            }
        }
    }
}

TERN_INLINE void unpack_q3_K(const uint8_t *const rows[TERN_PANEL], int64_t k, tern_weight_panel *to)
{
    for (int64_t b = 0; b < k / 256; b++) {
        for (int r = 0; r < TERN_PANEL; r++) {
            const uint8_t *block = rows[r] + b * 110;
            uint64_t scale[2];
            scales_q3(block + 96, scale);
            to->scale[b * TERN_PANEL + r] = half_at(block + 108);
            TERN_UNROLL for (int g = 0; g < 8; g++)
            {
                int64_t at = ((b * 4 + g / 2) * TERN_PANEL + r) * 64 + g % 2 * 32;
                __m256i levels = _mm256_sub_epi8(group_q3_K(block, g).levels, _mm256_set1_epi8(4));
                split(levels, by_sixteen(byte_of(scale, 2 * g) - 32, byte_of(scale, 2 * g + 1) - 32),
                      to->low + at, to->high + at);
            }
        }
    }
}

/* The second part of q2_K is what is subtracted, in units of its own. */
TERN_INLINE void unpack_q2_K(const uint8_t *const rows[TERN_PANEL], int64_t k, tern_weight_panel *to)
{
    for (int64_t b = 0; b < k / 256; b++) {
        for (int r = 0; r < TERN_PANEL; r++) {
            const uint8_t *block = rows[r] + b * 84;
            to->scale[b * TERN_PANEL + r] = half_at(block + 80);
            to->offset[b * TERN_PANEL + r] = -half_at(block + 82);
            TERN_UNROLL for (int g = 0; g < 8; g++)
            {
                int64_t at = ((b * 4 + g / 2) * TERN_PANEL + r) * 64 + g % 2 * 32;
                const int one = block[2 * g], two = block[2 * g + 1];
                __m256i scale = by_sixteen(one & 15, two & 15), levels = group_q2_K(block, g).levels;
                __m256i product = _mm256_mullo_epi16(_mm256_and_si256(levels, _mm256_set1_epi16(255)), scale);
                __m256i upper = _mm256_mullo_epi16(_mm256_srli_epi16(levels, 8), scale);
                product = _mm256_or_si256(product, _mm256_slli_epi16(upper, 8));
                _mm256_store_si256((__m256i *)(to->low + at), product);
                __m256i less = by_sixteen((one >> 4) * 0x0101, (two >> 4) * 0x0101);
                _mm256_store_si256((__m256i *)(to->high + at), less);
            }
        }
    }
}

TERN_INLINE void unpack_ternary(const uint8_t *const rows[TERN_PANEL], int64_t k, tern_weight_panel *to)
{
    for (int64_t b = 0; b < k / 256; b++) {
        for (int r = 0; r < TERN_PANEL; r++) {
            const uint8_t *block = rows[r] + b * 66;
            to->scale[b * TERN_PANEL + r] = half_at(block + 64);
            TERN_UNROLL for (int g = 0; g < 8; g++)
            {
                int64_t at = ((b * 4 + g / 2) * TERN_PANEL + r) * 64 + g % 2 * 32;
                __m256i levels = _mm256_sub_epi8(group_ternary(block, g).levels, _mm256_set1_epi8(1));
                split(levels, _mm256_set1_epi16(1), to->low + at, to->high + at);
            }
        }
    }
}

#endif

#endif
