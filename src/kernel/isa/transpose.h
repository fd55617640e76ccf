/* A square of LANES x LANES floats turned in registers, and what is left of one at an edge: log2(LANES) rounds that swap blocks of half the size each. */
#ifndef TERN_ISA_TRANSPOSE_H
#define TERN_ISA_TRANSPOSE_H

#include "kernel/isa/isa.h"

/* Rows a and a+d of every pair: lanes with bit d set go to or come from the partner. */
#if TERN_LANES == 16
#define LOW_8(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#define HIGH_8(a, b)                                                                                         \
    __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)
#define LOW_4(a, b)  __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
#define HIGH_4(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31)
#define LOW_2(a, b)  __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define HIGH_2(a, b) __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define LOW_1(a, b)  __builtin_shufflevector(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
#define HIGH_1(a, b) __builtin_shufflevector(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31)
#elif TERN_LANES == 8
#define LOW_4(a, b)  __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define HIGH_4(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15)
#define LOW_2(a, b)  __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define HIGH_2(a, b) __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define LOW_1(a, b)  __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14)
#define HIGH_1(a, b) __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15)
#else
#define LOW_2(a, b)  __builtin_shufflevector(a, b, 0, 1, 4, 5)
#define HIGH_2(a, b) __builtin_shufflevector(a, b, 2, 3, 6, 7)
#define LOW_1(a, b)  __builtin_shufflevector(a, b, 0, 4, 2, 6)
#define HIGH_1(a, b) __builtin_shufflevector(a, b, 1, 5, 3, 7)
#endif

#define ROUND(d)                                                                                             \
    TERN_UNROLL for (int i = 0; i < TERN_LANES; i++) if (!(i & d))                                           \
    {                                                                                                        \
        vf low = LOW_##d(row[i], row[i + d]), high = HIGH_##d(row[i], row[i + d]);                           \
        row[i] = low;                                                                                        \
        row[i + d] = high;                                                                                   \
    }

TERN_INLINE void tern_transpose(vf row[TERN_LANES])
{
#if TERN_LANES == 16
    ROUND(8)
#endif
#if TERN_LANES >= 8
    ROUND(4)
#endif
    ROUND(2)
    ROUND(1)
}

/* Stores the first `lanes` of v. */
TERN_INLINE void store_part(float *out, vf v, int lanes)
{
    if (lanes >= TERN_LANES) {
        tern_store(out, v);
        return;
    }
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(out, (__mmask16)((1u << lanes) - 1), (__m512)v);
#else
    for (int l = 0; l < lanes; l++) out[l] = v[l];
#endif
}

/* The first `lanes` of p, 0 behind. */
TERN_INLINE vf load_part(const float *p, int64_t lanes)
{
    if (lanes >= TERN_LANES) return tern_load(p);
#if defined(__AVX512F__)
    return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << lanes) - 1), p);
#else
    vf v = {0};
    for (int l = 0; l < lanes; l++) v[l] = p[l];
    return v;
#endif
}

#endif
