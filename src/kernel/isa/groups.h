/* What 32 elements of a row are, for each packed format: levels as bytes, and a scale and offset of all or of each 16. */
#ifndef TERN_ISA_GROUPS_H
#define TERN_ISA_GROUPS_H

#include "kernel/isa/isa.h"

#include <string.h>

#if defined(__AVX2__)

TERN_INLINE float half_at(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
}

/* 16 bytes of nibbles: the low ones, then the high ones. */
TERN_INLINE __m256i nibbles16(const uint8_t *p)
{
    __m128i b = _mm_loadu_si128((const __m128i *)p);
    __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(b), _mm_srli_epi16(b, 4), 1);
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

/* The low (half 0) or high (half 1) nibbles of 32 bytes. */
TERN_INLINE __m256i nibbles32(const uint8_t *p, int half)
{
    __m256i b = _mm256_loadu_si256((const __m256i *)p);
    return _mm256_and_si256(half ? _mm256_srli_epi16(b, 4) : b, _mm256_set1_epi8(15));
}

/* 32 bits as bytes of 0 or 16. */
TERN_INLINE __m256i fifth_bits(const uint8_t *p)
{
    uint32_t bits;
    memcpy(&bits, p, 4);
    const __m256i spread = _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0);
    __m256i b = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), spread);
    b = _mm256_cmpeq_epi8(_mm256_or_si256(b, _mm256_set1_epi64x(0x7fbfdfeff7fbfdfe)), _mm256_set1_epi8(-1));
    return _mm256_and_si256(b, _mm256_set1_epi8(16));
}

/* What a group of 32 is: scale and offset, of 32 or of each 16, and levels with which q is to be multiplied. */
typedef struct group {
    __m256i levels;
    float scale, offset;     /* of 32 */
    float scale2, offset2;   /* of the second 16, where groups are of 16 */
    bool by_sixteen, turned; /* turned: levels are magnitudes, q takes their sign */
    __m256i sign;
} group;

/* The g-th 32 elements of a row, for each format; b is the block that holds them. */
TERN_INLINE group group_q4_0(const uint8_t *b, int g)
{
    float d = half_at(b);
    (void)g;
    return (group){.levels = nibbles16(b + 2), .scale = d, .offset = -8 * d};
}

TERN_INLINE group group_q4_1(const uint8_t *b, int g)
{
    (void)g;
    return (group){.levels = nibbles16(b + 4), .scale = half_at(b), .offset = half_at(b + 2)};
}

TERN_INLINE group group_q5_0(const uint8_t *b, int g)
{
    float d = half_at(b);
    (void)g;
    return (group){
        .levels = _mm256_or_si256(nibbles16(b + 6), fifth_bits(b + 2)), .scale = d, .offset = -16 * d};
}

TERN_INLINE group group_q5_1(const uint8_t *b, int g)
{
    (void)g;
    return (group){.levels = _mm256_or_si256(nibbles16(b + 8), fifth_bits(b + 4)),
                   .scale = half_at(b),
                   .offset = half_at(b + 2)};
}

TERN_INLINE group group_q8_0(const uint8_t *b, int g)
{
    __m256i w = _mm256_loadu_si256((const __m256i *)(b + 2));
    (void)g;
    return (group){.levels = _mm256_abs_epi8(w), .scale = half_at(b), .turned = true, .sign = w};
}

/* Pairs of bits of the g-th 32 of 256: 128 elements stand in 32 bytes, the next 32 of them two bits higher. */
TERN_INLINE __m256i pairs32(const uint8_t *p, int g)
{
    __m256i b = _mm256_loadu_si256((const __m256i *)(p + g / 4 * 32));
    return _mm256_and_si256(_mm256_srl_epi16(b, _mm_cvtsi32_si128(2 * (g & 3))), _mm256_set1_epi8(3));
}

TERN_INLINE group group_q2_K(const uint8_t *b, int g)
{
    float d = half_at(b + 80), least = -half_at(b + 82);
    return (group){.levels = pairs32(b + 16, g),
                   .scale = d * (float)(b[2 * g] & 15),
                   .scale2 = d * (float)(b[2 * g + 1] & 15),
                   .offset = least * (float)(b[2 * g] >> 4),
                   .offset2 = least * (float)(b[2 * g + 1] >> 4),
                   .by_sixteen = true};
}

/* The 6-bit scales of q3_K, 32 too large: eight bytes and eight more. */
TERN_INLINE void scales_q3(const uint8_t *p, uint64_t scale[2])
{
    uint64_t words;
    uint32_t last;
    memcpy(&words, p, 8);
    memcpy(&last, p + 8, 4);
    const uint64_t four = 0x0f0f0f0f0f0f0f0f, two = 0x0303030303030303;
    uint64_t top = last | (uint64_t)(last >> 2) << 32;
    scale[0] = (words & four) | (top & two) << 4;
    scale[1] = (words >> 4 & four) | (top >> 4 & two) << 4;
}

TERN_INLINE int byte_of(const uint64_t words[2], int i)
{
    return (int)(words[i / 8] >> i % 8 * 8 & 255);
}

TERN_INLINE group group_q3_K(const uint8_t *b, int g)
{
    uint64_t scales[2];
    float d = half_at(b + 108);
    scales_q3(b + 96, scales);
    float first = d * (float)(byte_of(scales, 2 * g) - 32),
          second = d * (float)(byte_of(scales, 2 * g + 1) - 32);
    __m256i bits = _mm256_srl_epi16(_mm256_loadu_si256((const __m256i *)b), _mm_cvtsi32_si128(g));
    bits = _mm256_slli_epi16(_mm256_and_si256(bits, _mm256_set1_epi8(1)), 2);
    return (group){.levels = _mm256_or_si256(pairs32(b + 32, g), bits),
                   .scale = first,
                   .scale2 = second,
                   .offset = -4 * first,
                   .offset2 = -4 * second,
                   .by_sixteen = true};
}

TERN_INLINE group group_ternary(const uint8_t *b, int g)
{
    float d = half_at(b + 64);
    return (group){.levels = pairs32(b, g), .scale = d, .offset = -d};
}

/* The 6-bit scale and offset of sub-block g of q4_K and q5_K. */
TERN_INLINE void scale_q45(const uint8_t *p, int g, int *scale, int *offset)
{
    *scale = g < 4 ? p[g] & 63 : (p[4 + g] & 15) | p[g - 4] >> 6 << 4;
    *offset = g < 4 ? p[4 + g] & 63 : p[4 + g] >> 4 | p[g] >> 6 << 4;
}

TERN_INLINE group group_q4_K(const uint8_t *b, int g)
{
    int scale, offset;
    scale_q45(b + 4, g, &scale, &offset);
    return (group){.levels = nibbles32(b + 16 + g / 2 * 32, g & 1),
                   .scale = half_at(b) * (float)scale,
                   .offset = -half_at(b + 2) * (float)offset};
}

TERN_INLINE group group_q5_K(const uint8_t *b, int g)
{
    int scale, offset;
    __m256i bits = _mm256_srl_epi16(_mm256_loadu_si256((const __m256i *)(b + 16)), _mm_cvtsi32_si128(g));
    bits = _mm256_slli_epi16(_mm256_and_si256(bits, _mm256_set1_epi8(1)), 4);
    scale_q45(b + 4, g, &scale, &offset);
    return (group){.levels = _mm256_or_si256(nibbles32(b + 48 + g / 2 * 32, g & 1), bits),
                   .scale = half_at(b) * (float)scale,
                   .offset = -half_at(b + 2) * (float)offset};
}

TERN_INLINE group group_q6_K(const uint8_t *b, int g)
{
    const int8_t *scales = (const int8_t *)b + 192 + 2 * g;
    float d = half_at(b + 208);
    int in = g & 3; /* of 128 elements: two rows of 32 bytes with nibbles, one with pairs */
    __m256i low = nibbles32(b + g / 4 * 64 + (in & 1) * 32, in >> 1);
    __m256i pairs = _mm256_loadu_si256((const __m256i *)(b + 128 + g / 4 * 32));
    pairs = _mm256_and_si256(_mm256_srl_epi16(pairs, _mm_cvtsi32_si128(2 * in)), _mm256_set1_epi8(3));
    return (group){.levels = _mm256_or_si256(low, _mm256_slli_epi16(pairs, 4)),
                   .scale = d * (float)scales[0],
                   .scale2 = d * (float)scales[1],
                   .offset = -32 * d * (float)scales[0],
                   .offset2 = -32 * d * (float)scales[1],
                   .by_sixteen = true};
}

#endif

#endif
