/* Rows of x in 8 bits, for products with packed weights. */
#include "kernel/isa/isa.h"

#include <float.h>
#include <string.h>

#if defined(__AVX2__)

TERN_INLINE float to_half_and_back(float v)
{
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtps_ph(_mm_set_ss(v), _MM_FROUND_TO_NEAREST_INT)));
}

/* The largest magnitude of 32 elements, by lanes. */
TERN_INLINE __m256 largest_of(const float *x, __m256 most)
{
    const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    TERN_UNROLL for (int i = 0; i < 32; i += 8)
    {
        most = _mm256_max_ps(_mm256_and_ps(_mm256_loadu_ps(x + i), magnitude), most);
    }
    return most;
}

TERN_INLINE float largest_lane(__m256 v)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* q = x * inverse, to the nearest; the sums of the first and of the second 16. */
TERN_INLINE void round_group(const float *x, float inverse, int8_t *q, int sums[2])
{
    __m256i v[4];
    TERN_UNROLL for (int i = 0; i < 4; i++)
    {
        v[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), _mm256_set1_ps(inverse)));
    }
    __m256i bytes =
        _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3])); /* by halves */
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)q, bytes);
    /* Unsigned bytes can be summed by eights. */
    __m256i eights = _mm256_sad_epu8(_mm256_xor_si256(bytes, _mm256_set1_epi8(-128)), _mm256_setzero_si256());
    uint64_t part[4];
    _mm256_storeu_si256((__m256i *)part, eights);
    sums[0] = (int)(part[0] + part[1]) - 16 * 128;
    sums[1] = (int)(part[2] + part[3]) - 16 * 128;
}

void TERN_FOR_ISA(tern_round_row)(int64_t k, const float *x, tern_rounding rounding, tern_bytes_row to)
{
    int64_t block = rounding == TERN_ROUND_256 ? 256 : 32, whole = (k + 255) / 256 * 256;
    bool halved = rounding == TERN_ROUND_32_SUMS;
    for (int64_t b = 0; b < k; b += block) {
        __m256 lanes = _mm256_setzero_ps();
        for (int64_t g = b; g < b + block; g += 32) lanes = largest_of(x + g, lanes);
        float most = largest_lane(lanes), d = most / 127, inverse = most > 0 ? 127 / most : 0;
        float stored = rounding == TERN_ROUND_256 ? d : to_half_and_back(d);
        if (inverse > FLT_MAX) inverse = FLT_MAX;
        for (int64_t g = b; g < b + block; g += 32) {
            int sums[2];
            round_group(x + g, inverse, to.q + g, sums);
            float sum = (halved ? d : stored) * (float)(sums[0] + sums[1]);
            to.scale[g / 32] = stored;
            to.sum32[g / 32] = halved ? to_half_and_back(sum) : sum;
            to.whole[g / 32] = (int16_t)(sums[0] + sums[1]);
            for (int h = 0; h < 2; h++) {
                to.sum16[g / 16 + h] = stored * (float)sums[h];
                to.half[g / 16 + h] = (int16_t)sums[h];
            }
        }
    }
    size_t groups = (size_t)(whole - k) / 32;
    memset(to.q + k, 0, groups * 32);
    memset(to.scale + k / 32, 0, groups * sizeof *to.scale);
    memset(to.sum32 + k / 32, 0, groups * sizeof *to.sum32);
    memset(to.whole + k / 32, 0, groups * sizeof *to.whole);
    memset(to.sum16 + k / 16, 0, 2 * groups * sizeof *to.sum16);
    memset(to.half + k / 16, 0, 2 * groups * sizeof *to.half);
}

#else
void TERN_FOR_ISA(tern_round_row)(int64_t k, const float *x, tern_rounding rounding, tern_bytes_row to)
{
    (void)k, (void)x, (void)rounding, (void)to; /* no format is multiplied in bytes here */
}
#endif
