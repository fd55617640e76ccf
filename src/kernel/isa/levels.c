/* Products with weights whose levels stand in a table of sixteen: indices of four bits, the first in a byte's high half, choose from
 * registers that hold the table. */
#include "kernel/packed.h"

#include "kernel/isa/math.h"

#include <string.h>

#if defined(__AVX2__)

/* The table in registers, and what it holds for an index in each 32 bits. */
#if defined(__AVX512F__)
typedef __m512 level_table;
TERN_INLINE level_table table_of(const float *levels)
{
    return _mm512_loadu_ps(levels);
}
TERN_INLINE vf chosen(level_table t, __m128i indices)
{
    return (vf)_mm512_permutexvar_ps(_mm512_cvtepu8_epi32(indices), t);
}
#else
typedef struct level_table {
    __m256 low, high;
} level_table;
TERN_INLINE level_table table_of(const float *levels)
{
    return (level_table){_mm256_loadu_ps(levels), _mm256_loadu_ps(levels + 8)};
}
TERN_INLINE vf chosen(level_table t, __m128i indices)
{
    __m256i i = _mm256_cvtepu8_epi32(indices);
    __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(i, 28)); /* from 8 on: the sign */
    return (vf)_mm256_blendv_ps(_mm256_permutevar8x32_ps(t.low, i), _mm256_permutevar8x32_ps(t.high, i),
                                upper);
}
#endif

enum { BYTES = TERN_LEVEL_BLOCK / 2, PARTS = TERN_LEVEL_BLOCK / TERN_LANES };

/* The levels of a block in order. */
TERN_INLINE void levels_of(level_table t, const uint8_t *nibbles, vf v[PARTS])
{
    const __m128i low = _mm_set1_epi8(15);
    TERN_UNROLL for (int i = 0; i < BYTES / 16; i++)
    {
        __m128i both = _mm_loadu_si128((const __m128i *)(const void *)(nibbles + 16 * i));
        __m128i first = _mm_and_si128(_mm_srli_epi16(both, 4), low), second = _mm_and_si128(both, low);
        __m128i pair[2] = {_mm_unpacklo_epi8(first, second), _mm_unpackhi_epi8(first, second)};
        TERN_UNROLL for (int h = 0; h < 2; h++)
        {
            vf *to = v + (2 * i + h) * (16 / TERN_LANES);
            to[0] = chosen(t, pair[h]);
            if (TERN_LANES == 8) to[16 / TERN_LANES - 1] = chosen(t, _mm_srli_si128(pair[h], 8));
        }
    }
}

TERN_INLINE void dot_of(int64_t blocks, const uint8_t *nibbles, size_t step, const float *most,
                        const float *levels, const float *x, int64_t x_step, const int rows, float *y)
{
    level_table t = table_of(levels);
    vf sum[TERN_PACKED_ROWS], v[PARTS];
    TERN_UNROLL for (int r = 0; r < rows; r++) sum[r] = tern_all(0);
    for (int64_t b = 0; b < blocks; b++, nibbles += step, x += TERN_LEVEL_BLOCK) {
        __builtin_prefetch(nibbles + 2048);
        levels_of(t, nibbles, v);
        TERN_UNROLL for (int r = 0; r < rows; r++)
        {
            vf first = v[0] * tern_load(x + r * x_step),
               second = v[1] * tern_load(x + r * x_step + TERN_LANES);
            TERN_UNROLL for (int i = 2; i < PARTS; i += 2)
            {
                first = tern_fma(v[i], tern_load(x + r * x_step + i * TERN_LANES), first);
                second = tern_fma(v[i + 1], tern_load(x + r * x_step + (i + 1) * TERN_LANES), second);
            }
            sum[r] = tern_fma(first + second, tern_all(most[b]), sum[r]);
        }
    }
    TERN_UNROLL for (int r = 0; r < rows; r++)
    {
        float total = 0;
        TERN_UNROLL for (int l = 0; l < TERN_LANES; l++) total += sum[r][l];
        y[r] = total;
    }
}

void TERN_FOR_ISA(tern_level_dot)(int64_t blocks, const uint8_t *nibbles, size_t step, const float *most,
                                  const float *levels, const float *x, int64_t x_step, int rows, float *y)
{
    if (rows == 4)
        dot_of(blocks, nibbles, step, most, levels, x, x_step, 4, y);
    else
        for (int r = 0; r < rows; r++)
            dot_of(blocks, nibbles, step, most, levels, x + r * x_step, x_step, 1, y + r);
}

#endif
