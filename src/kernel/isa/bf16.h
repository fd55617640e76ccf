/* Floats in parts of bf16, and factors of tiles made of them. */
#ifndef TERN_ISA_BF16_H
#define TERN_ISA_BF16_H

#include "kernel/isa/tiles.h"
#include "kernel/isa/transpose.h"

#if defined(TERN_AMX)

enum { TERN_BF16_TILE = 16 * 32 }; /* elements of a tile */

/* a, then b. */
TERN_INLINE __m512i to_bf16(__m512 a, __m512 b)
{
    return (__m512i)_mm512_cvtne2ps_pbh(b, a);
}
/* What is left of a and b. */
TERN_INLINE __m512i take_bf16(__m512 *a, __m512 *b)
{
    __m512i both = to_bf16(*a, *b);
    __m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(both)),
            high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(both, 1));
    *a = _mm512_sub_ps(*a, _mm512_castsi512_ps(_mm512_slli_epi32(low, 16)));
    *b = _mm512_sub_ps(*b, _mm512_castsi512_ps(_mm512_slli_epi32(high, 16)));
    return both;
}

/* The upper halves of two rows of floats, which are bf16, as pairs; and what is left of both. */
TERN_INLINE __m512i take_pairs(__m512 *even, __m512 *odd)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000);
    __m512i x = _mm512_castps_si512(*even), y = _mm512_and_si512(_mm512_castps_si512(*odd), upper);
    *even = _mm512_sub_ps(*even, _mm512_castsi512_ps(_mm512_and_si512(x, upper)));
    *odd = _mm512_sub_ps(*odd, _mm512_castsi512_ps(y));
    return _mm512_or_si512(_mm512_srli_epi32(x, 16), y);
}

TERN_INLINE uint32_t first_bits(int64_t count)
{
    return count >= 32 ? ~0u : (1u << count) - 1;
}

/* 16 rows of 16 pairs, turned: [16 pairs][16 rows][2]. */
TERN_INLINE void turn_pairs(vf pairs[16], uint16_t *to)
{
    tern_transpose(pairs);
    for (int c = 0; c < 16; c++) tern_store((float *)(void *)(to + c * 32), pairs[c]);
}

#endif

#endif
