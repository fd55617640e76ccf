/* Exponential, logarithm and their kin on vectors of floats.  Bounds in units of the last place, as tests/test_math.c
 * measures them: exp, log 2; sigmoid, tanh, e^x - 1, softplus 4; x times the normal share 8.  Infinities, NaN and subnormal
 * numbers give what the C library gives. */
#ifndef TERN_ISA_MATH_H
#define TERN_ISA_MATH_H

#include "kernel/isa/isa.h"

#include <math.h>
#include <string.h>

/* a * b + c, rounded once where the processor can. */
TERN_INLINE vf tern_fma(vf a, vf b, vf c)
{
#if defined(__AVX512F__)
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

/* a^2 less what its rounding gave. */
TERN_INLINE vf tern_square_error(vf a, vf square)
{
#if defined(__AVX2__)
    return tern_fma(a, a, -square);
#else
    vf high = (vf)((vi)a & -4096), low = a - high; /* products of halves are exact */
    return (high * high - square + (high + high) * low) + low * low;
#endif
}

TERN_INLINE vf tern_all(float x)
{
    return (vf){0} + x;
}

TERN_INLINE vf tern_choose(vi mask, vf yes, vf no)
{
#if defined(__AVX512DQ__)
    return (vf)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)mask), (__m512)no, (__m512)yes);
#elif defined(__AVX2__)
    return (vf)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)mask);
#else
    return (vf)((mask & (vi)yes) | (~mask & (vi)no));
#endif
}

/* The higher of each two; b where a is NaN. */
TERN_INLINE vf tern_higher(vf a, vf b)
{
#if defined(__AVX512F__)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return tern_choose(a > b, a, b);
#endif
}

TERN_INLINE vf tern_magnitude(vf x)
{
    return (vf)((vi)x & 0x7fffffff);
}

TERN_INLINE vf tern_with_sign_of(vf magnitude, vf x)
{
    return (vf)((vi)magnitude | ((vi)x & (int32_t)0x80000000));
}

/* At most this much; NaN stays, as in tern_between. */
TERN_INLINE vf tern_at_most(vf x, float high)
{
#if defined(__AVX512F__)
    return (vf)_mm512_min_ps((__m512)tern_all(high), (__m512)x);
#elif defined(__AVX2__)
    return (vf)_mm256_min_ps((__m256)tern_all(high), (__m256)x);
#else
    return tern_choose(x > tern_all(high), tern_all(high), x);
#endif
}

/* Between two limits; NaN stays, which these instructions give where it is the second operand. */
TERN_INLINE vf tern_between(vf x, float low, float high)
{
#if defined(__AVX512F__)
    return tern_at_most((vf)_mm512_max_ps((__m512)tern_all(low), (__m512)x), high);
#elif defined(__AVX2__)
    return tern_at_most((vf)_mm256_max_ps((__m256)tern_all(low), (__m256)x), high);
#else
    return tern_at_most(tern_choose(x < tern_all(low), tern_all(low), x), high);
#endif
}

/* The nearest whole number (ties to even) of |x| < 2^22. */
TERN_INLINE vf tern_nearest_whole(vf x)
{
    const vf magic = tern_all(0x1.8p23f);
    vf shifted = x + magic;
    return shifted - magic;
}

TERN_INLINE vf tern_power_of_two(vi k) /* -126 <= k <= 127 */
{
    return (vf)((k + 127) << 23);
}

#define TERN_LN2_HIGH 0x1.62e4p-1f    /* 16 bits of ln 2: times a small whole number it is exact */
#define TERN_LN2_LOW  0x1.7f7d1cp-20f /* the rest */

/* x = k ln 2 + r with |r| <= ln 2 / 2; returns e^r - 1 by its Taylor series, whose next term is below 2^-27 of the sum, and
 * k as a float. */
TERN_INLINE vf tern_reduced_exp(vf x, vf *k)
{
    vf whole = tern_nearest_whole(x * tern_all(0x1.715476p0f));
    vf r = tern_fma(whole, tern_all(-TERN_LN2_HIGH), x);
    r = tern_fma(whole, tern_all(-TERN_LN2_LOW), r);
    *k = whole;
    vf p = tern_all(1.0f / 5040);
    p = tern_fma(p, r, tern_all(1.0f / 720));
    p = tern_fma(p, r, tern_all(1.0f / 120));
    p = tern_fma(p, r, tern_all(1.0f / 24));
    p = tern_fma(p, r, tern_all(1.0f / 6));
    p = tern_fma(p, r, tern_all(0.5f));
    return tern_fma(p * r, r, r);
}

/* e^x for -104 <= x <= 89, or NaN. */
TERN_INLINE vf tern_exp_between(vf x)
{
    vf k, y = tern_reduced_exp(x, &k) + tern_all(1);
#if defined(__AVX512F__)
    return (vf)_mm512_scalef_ps((__m512)y, (__m512)k);
#else
    vi whole = __builtin_convertvector(k, vi),
       half = whole >> 1; /* in two steps: the result may be subnormal, and 2^k
                                                                   * alone above all floats */
    return y * tern_power_of_two(half) * tern_power_of_two(whole - half);
#endif
}

TERN_INLINE vf tern_exp_of(vf x)
{
    return tern_exp_between(tern_between(x, -104, 89));
}

/* e^x - 1 without loss near 0, for x <= 88. */
TERN_INLINE vf tern_expm1_of(vf x)
{
    vf k, p = tern_reduced_exp(tern_between(x, -20, 88), &k);
    vf scale = tern_power_of_two(__builtin_convertvector(k, vi));
    return tern_fma(scale, p, scale - tern_all(1));
}

/* log(1 + f) for sqrt(1/2) <= 1 + f <= sqrt(2), less f: with s = f / (2 + f), log(1 + f) = 2 atanh(s), and s times 2 is
 * f - s f, so that f itself is added exactly. */
TERN_INLINE vf tern_log_tail(vf f, vf *half_square)
{
    vf s = f * tern_inverse(tern_all(2) + f), z = s * s, p = tern_all(2.0f / 11);
    p = tern_fma(p, z, tern_all(2.0f / 9));
    p = tern_fma(p, z, tern_all(2.0f / 7));
    p = tern_fma(p, z, tern_all(2.0f / 5));
    p = tern_fma(p, z, tern_all(2.0f / 3));
    *half_square = tern_all(0.5f) * f * f;
    return s * tern_fma(p, z, *half_square);
}

TERN_INLINE vf tern_log_of(vf x)
{
    const vi root_half = (vi){0} + 0x3f3504f3;
    vi small = x < tern_all(0x1p-126f);
    vf scaled = tern_choose(small, x * tern_all(0x1p23f), x);
    vi shifted = (vi)((vu)scaled - (vu)root_half); /* of negative numbers it wraps around */
    vf k = __builtin_convertvector((shifted >> 23) - (small & 23), vf);
    vf f = (vf)((shifted & 0x7fffff) + root_half) - tern_all(1), half_square;
    vf tail = tern_log_tail(f, &half_square);
    vf low = tern_fma(k, tern_all(TERN_LN2_LOW), tail) - half_square;
    vf y = tern_fma(k, tern_all(TERN_LN2_HIGH), low + f);
#if defined(__AVX512F__)
    /* a digit for each class of x, from the right: quiet and signalling NaN stay, 0 gives -infinity (4), 1 y (0), -infinity
     * NaN (3), infinity itself (5), what is less than 0 NaN (3), the rest y (0) */
    return (vf)_mm512_fixupimm_ps((__m512)y, (__m512)x, _mm512_set1_epi32(0x03530421), 0);
#else
    y = tern_choose(x == tern_all(0), tern_all(-INFINITY), y);
    y = tern_choose(x < tern_all(0), tern_all(NAN), y);
    return tern_choose((x == tern_all(INFINITY)) | (x != x), x, y);
#endif
}

/* log(1 + e), 0 <= e <= 1. */
TERN_INLINE vf tern_log1p_of(vf e)
{
    vf s = e * tern_inverse(tern_all(2) + e), z = s * s, p = tern_all(2.0f / 15);
    p = tern_fma(p, z, tern_all(2.0f / 13));
    p = tern_fma(p, z, tern_all(2.0f / 11));
    p = tern_fma(p, z, tern_all(2.0f / 9));
    p = tern_fma(p, z, tern_all(2.0f / 7));
    p = tern_fma(p, z, tern_all(2.0f / 5));
    p = tern_fma(p, z, tern_all(2.0f / 3));
    return tern_fma(p * z, s, s + s);
}

/* 1 / (1 + e^-x) from e = e^-|x|, which never overflows. */
TERN_INLINE vf tern_sigmoid_of(vf x)
{
    vf e = tern_exp_of(-tern_magnitude(x)),
       y = tern_choose(x < tern_all(0), e, tern_all(1)) / (tern_all(1) + e);
    return tern_choose(x != x, x, y);
}

TERN_INLINE vf tern_tanh_of(vf x)
{
    vf e = tern_expm1_of(tern_between(tern_magnitude(x) * tern_all(2), 0, 40));
    return tern_with_sign_of(e / (e + tern_all(2)), x);
}

/* The share of a normal distribution below -a (a >= 0) is density(a) times a smooth function of a, which a polynomial of
 * degree 10 in w = 1 / (1 + 0.3 a) follows to 3.5e-9 of itself (weighted least squares on 200 Chebyshev nodes).  *bell is
 * e^(-a^2/2); the rounding of a^2 is made up for, since it is multiplied by a^2 otherwise.  From a = 14.42 on
 * the share is 0. */
TERN_INLINE vf tern_normal_tail(vf a, vf *bell)
{
    a = tern_at_most(a, 14.42f);
    vf square = a * a, lost = tern_square_error(a, square);
    *bell = tern_exp_between(square * tern_all(-0.5f));
    *bell = tern_fma(*bell, lost * tern_all(-0.5f), *bell);
    vf w = tern_inverse(tern_fma(a, tern_all(0.3f), tern_all(1))), p = tern_all(-0.020628970637476287f);
    p = tern_fma(p, w, tern_all(0.11246636754393523f));
    p = tern_fma(p, w, tern_all(-0.22828824033536466f));
    p = tern_fma(p, w, tern_all(0.19188756324183015f));
    p = tern_fma(p, w, tern_all(-0.07951244414249972f));
    p = tern_fma(p, w, tern_all(0.09620654073820836f));
    p = tern_fma(p, w, tern_all(0.07837171145600103f));
    p = tern_fma(p, w, tern_all(0.11023944659557611f));
    p = tern_fma(p, w, tern_all(0.11957130662560178f));
    p = tern_fma(p, w, tern_all(0.11968671718034726f));
    return *bell * p * w;
}

/* The share below x. */
TERN_INLINE vf tern_normal_share(vf x, vf *bell)
{
    vf tail = tern_normal_tail(tern_magnitude(x), bell);
    return tern_choose(x < tern_all(0), tail, tern_all(1) - tail);
}

/* `count` floats from p, `rest` behind them (a whole vector when there are that many). */
TERN_INLINE vf tern_load_some(const float *p, int64_t count, vf rest)
{
    if (count >= TERN_LANES) return tern_load(p);
    memcpy(&rest, p, (size_t)count * sizeof *p);
    return rest;
}

TERN_INLINE void tern_store_some(float *p, vf v, int64_t count)
{
    if (count >= TERN_LANES)
        tern_store(p, v);
    else
        memcpy(p, &v, (size_t)count * sizeof *p);
}

#endif
