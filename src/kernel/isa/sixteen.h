/* Sixteen rows of packed weights times a few rows of x in 8 bits, for AVX-512: a lane of the result is a row of W, in which blocks are
 * scaled and added up one by one, as on tiles (tiles.c), to the same bits.  A core reads fastest what comes in the order of addresses, so that
 * the next sixteen rows are asked for in that order.  Small blocks are turned until a lane is a row (sixteen.c); sums of products of
 * large ones, which are exact integers, are found row by row and wait (sixteen_k.c). */
#ifndef TERN_ISA_SIXTEEN_H
#define TERN_ISA_SIXTEEN_H

#include "kernel/isa/unpack.h"

#if defined(__AVX512VNNI__)

enum { NEAR = 1024, FAR = 4096 }; /* bytes before they are read, that they are asked for: see fetch_ahead */

/* Up to sixteen rows; the last one stands for those that are missing. */
typedef struct sixteen {
    const uint8_t *w;
    size_t row_bytes;
    int count;
} sixteen;

TERN_INLINE const uint8_t *row_of(const sixteen *w, int n, size_t at)
{
    return w->w + (size_t)(n < w->count ? n : w->count - 1) * w->row_bytes + at;
}

/* Two vectors of sums [a0+a2, b0+b2, a1+a3, b1+b3, ..], then two of those, and so on. */
TERN_INLINE __m512i add_by_two(__m512i a, __m512i b)
{
    return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
}
TERN_INLINE __m512i add_by_four(__m512i a, __m512i b)
{
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

/* v[r] belongs to row r: the sums of its sixteen lanes. */
TERN_INLINE __m512i sums_of_rows(const __m512i v[16])
{
    __m512i q[4];
    TERN_UNROLL for (int i = 0; i < 4; i++)
    {
        q[i] = add_by_four(add_by_two(v[4 * i], v[4 * i + 1]), add_by_two(v[4 * i + 2], v[4 * i + 3]));
    }
    __m512i a =
        _mm512_add_epi32(_mm512_shuffle_i32x4(q[0], q[1], 0x88), _mm512_shuffle_i32x4(q[0], q[1], 0xdd));
    __m512i b =
        _mm512_add_epi32(_mm512_shuffle_i32x4(q[2], q[3], 0x88), _mm512_shuffle_i32x4(q[2], q[3], 0xdd));
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
}

/* Asks for the bytes that stand some way behind `at`, twice: into the second cache from memory, as what is read beyond a page is not
 * foreseen by the processor, and from there into the first. */
TERN_INLINE void fetch_ahead(const uint8_t *at, int bytes)
{
    TERN_UNROLL for (int i = 0; i < bytes; i += 64)
    {
        _mm_prefetch((const char *)at + NEAR + i, _MM_HINT_T0);
        _mm_prefetch((const char *)at + FAR + i, _MM_HINT_T1);
    }
}

/* The lower halves of sixteen words as floats. */
TERN_INLINE __m512 floats_of(__m512i words)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words));
}

/* few_name(w, k, x, rows, sum): sum[r] += the products of all rows of W with row r of x; and a function of it that takes any
 * number of rows of x. */
#define TERN_FEW(name)                                                                                       \
    void TERN_FOR_ISA(tern_few_##name)(int64_t k, const uint8_t *w, size_t row_bytes, int count,             \
                                       const tern_bytes_row *x, int rows, float *y)                          \
    {                                                                                                        \
        __m512 sum[TERN_PACKED_ROWS];                                                                        \
        sixteen from = {w, row_bytes, count};                                                                \
        for (int r = 0; r < TERN_PACKED_ROWS; r++) sum[r] = _mm512_setzero_ps();                             \
        if (rows == 4)                                                                                       \
            few_##name(&from, k, x, 4, sum);                                                                 \
        else if (rows == 3)                                                                                  \
            few_##name(&from, k, x, 3, sum);                                                                 \
        else if (rows == 2)                                                                                  \
            few_##name(&from, k, x, 2, sum);                                                                 \
        else                                                                                                 \
            few_##name(&from, k, x, 1, sum);                                                                 \
        for (int r = 0; r < rows; r++) _mm512_storeu_ps(y + r * TERN_PANEL, sum[r]);                         \
    }
#define TERN_FEW_DECLARE(name)                                                                               \
    void TERN_FOR_ISA(tern_few_##name)(int64_t k, const uint8_t *w, size_t row_bytes, int count,             \
                                       const tern_bytes_row *x, int rows, float *y);
TERN_FEW_DECLARE(q2_K)
TERN_FEW_DECLARE(q3_K)
TERN_FEW_DECLARE(q4_K)
TERN_FEW_DECLARE(q5_K)
TERN_FEW_DECLARE(q6_K)
TERN_FEW_DECLARE(ternary)

#endif

#endif
