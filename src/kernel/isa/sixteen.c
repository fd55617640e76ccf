/* Sixteen rows of packed weights times a few rows of x in 8 bits, for AVX-512.  A lane of the result is a row of W: the sums of a
 * block's products are exact integers, which are added across lanes for all sixteen rows together; then they are scaled and added
 * up block by block, as on tiles (tiles.c), to the same bits. */
#include "kernel/isa/unpack.h"

#if defined(__AVX512VNNI__)

/* Sixteen rows, `step` bytes apart, as four times four: there are no registers for sixteen addresses.  Behind them is what is read
 * next; it is asked for ahead, because a row is too short for the processor to see where it goes. */
typedef struct sixteen {
    const uint8_t *four[4], *next;
    size_t step;
} sixteen;

TERN_INLINE sixteen sixteen_at(const uint8_t *w, size_t step, size_t row_bytes)
{
    return (sixteen){{w, w + 4 * step, w + 8 * step, w + 12 * step}, w + TERN_PANEL * row_bytes, step};
}

TERN_INLINE const uint8_t *row_of(const sixteen *w, int r, int64_t at)
{
    return w->four[r / 4] + at + (size_t)(r % 4) * w->step;
}

TERN_INLINE void fetch_ahead(const sixteen *w, int64_t at, int bytes)
{
    TERN_UNROLL for (int i = 0; i < bytes; i += 64) _mm_prefetch((const char *)w->next + at + i, _MM_HINT_T1);
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

/* The halves of v[i] belong to rows i and i + 4 for i < 4, to i + 4 and i + 8 behind: the sums of each row's eight lanes. */
TERN_INLINE __m512i sums_of_halves(const __m512i v[8])
{
    __m512i a = add_by_four(add_by_two(v[0], v[1]), add_by_two(v[2], v[3]));
    __m512i b = add_by_four(add_by_two(v[4], v[5]), add_by_two(v[6], v[7]));
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
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

/* ---- levels of one block of 32 in two rows ----------------------------------------------------------------------- */

/* 16 bytes of nibbles from each row: low ones, then high ones, of both. */
TERN_INLINE __m512i nibbles_of(const uint8_t *a, const uint8_t *b)
{
    __m512i v = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)a));
    v = _mm512_mask_broadcast_i32x4(v, 0xff00, _mm_loadu_si128((const __m128i *)b));
    v = _mm512_srlv_epi64(v, _mm512_setr_epi64(0, 0, 4, 4, 0, 0, 4, 4));
    return _mm512_and_si512(v, _mm512_set1_epi8(15));
}

/* The same with a fifth bit from 32 bits of each row. */
TERN_INLINE __m512i fives_of(const uint8_t *a, const uint8_t *b, int bits, int nibbles)
{
    uint32_t low, high;
    memcpy(&low, a + bits, 4);
    memcpy(&high, b + bits, 4);
    __m512i v = nibbles_of(a + nibbles, b + nibbles);
    return _mm512_mask_add_epi8(v, (uint64_t)high << 32 | low, v, _mm512_set1_epi8(16));
}

TERN_INLINE __m512i pair_q4_0(const uint8_t *a, const uint8_t *b)
{
    return nibbles_of(a + 2, b + 2);
}
TERN_INLINE __m512i pair_q4_1(const uint8_t *a, const uint8_t *b)
{
    return nibbles_of(a + 4, b + 4);
}
TERN_INLINE __m512i pair_q5_0(const uint8_t *a, const uint8_t *b)
{
    return fives_of(a, b, 2, 6);
}
TERN_INLINE __m512i pair_q5_1(const uint8_t *a, const uint8_t *b)
{
    return fives_of(a, b, 4, 8);
}
TERN_INLINE __m512i pair_q8_0(const uint8_t *a, const uint8_t *b) /* plus 128 */
{
    __m512i v = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(a + 2)));
    v = _mm512_inserti64x4(v, _mm256_loadu_si256((const __m256i *)(b + 2)), 1);
    return _mm512_xor_si512(v, _mm512_set1_epi8(-128));
}

enum {
    BLOCKS = 8
}; /* of 32, whose scales are collected one such lot before they are used: loads do not wait for stores */

/* The first four bytes of up to BLOCKS blocks from `block` on, of all rows: [BLOCKS][16]. */
TERN_INLINE void collect(const sixteen *w, int64_t block, int64_t blocks, int bytes, uint32_t *to)
{
    if (blocks - block >= BLOCKS) {
        for (int r = 0; r < TERN_PANEL; r++) {
            const uint8_t *p = row_of(w, r, block * bytes);
            TERN_UNROLL for (int b = 0; b < BLOCKS; b++) memcpy(to + b * TERN_PANEL + r, p + b * bytes, 4);
        }
        return;
    }
    for (int r = 0; r < TERN_PANEL; r++)
        for (int64_t b = block; b < blocks; b++)
            memcpy(to + (b - block) * TERN_PANEL + r, row_of(w, r, b * bytes), 4);
}

/* The lower halves of sixteen words as floats. */
TERN_INLINE __m512 floats_of(__m512i words)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words));
}

TERN_INLINE __m512 floats_at(const uint16_t *halves)
{
    return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(const void *)halves));
}

#define SIXTEEN_32(name, bytes, zero, with_offset)                                                           \
    TERN_INLINE void few_##name(const sixteen *w, int64_t k, const tern_bytes_row *x, const int rows,        \
                                __m512 *sum)                                                                 \
    {                                                                                                        \
        _Alignas(64) uint32_t heads[2][BLOCKS * TERN_PANEL];                                                 \
        int64_t blocks = k / 32;                                                                             \
        collect(w, 0, blocks, bytes, heads[0]);                                                              \
        for (int64_t b = 0; b < blocks; b++) {                                                               \
            int64_t at = b * (bytes), lot = b / BLOCKS;                                                      \
            if (b % BLOCKS == 0) collect(w, b + BLOCKS, blocks, bytes, heads[(lot + 1) & 1]);                \
            __m512i v[8], head = _mm512_load_si512(heads[lot & 1] + b % BLOCKS * TERN_PANEL);                \
            fetch_ahead(w, at *TERN_PANEL, (bytes)*TERN_PANEL);                                              \
            TERN_UNROLL for (int p = 0; p < 8; p++)                                                          \
            {                                                                                                \
                const int r = p < 4 ? p : p + 4;                                                             \
                v[p] = pair_##name(row_of(w, r, at), row_of(w, r + 4, at));                                  \
            }                                                                                                \
            __m512 d = floats_of(head), m = floats_of(_mm512_srli_epi32(head, 16));                          \
            TERN_UNROLL for (int r = 0; r < rows; r++)                                                       \
            {                                                                                                \
                __m512i q = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(x[r].q + 32 * b)));  \
                __m512i s[8];                                                                                \
                TERN_UNROLL for (int p = 0; p < 8; p++)                                                      \
                {                                                                                            \
                    s[p] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), v[p], q);                             \
                }                                                                                            \
                __m512i all = sums_of_halves(s);                                                             \
                if (zero) all = _mm512_sub_epi32(all, _mm512_set1_epi32((zero)*x[r].whole[b]));              \
                sum[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(all),                                            \
                                         _mm512_mul_ps(d, _mm512_set1_ps(x[r].scale[b])), sum[r]);           \
                if (with_offset) sum[r] = _mm512_fmadd_ps(m, _mm512_set1_ps(x[r].sum32[b]), sum[r]);         \
            }                                                                                                \
        }                                                                                                    \
    }
SIXTEEN_32(q4_0, 18, 8, false)
SIXTEEN_32(q4_1, 20, 0, true)
SIXTEEN_32(q5_0, 22, 16, false)
SIXTEEN_32(q5_1, 24, 0, true)
SIXTEEN_32(q8_0, 34, 128, false)

/* ---- blocks of 256 -------------------------------------------------------------------------------------------------- */

/* 64 levels of a row: the low nibbles of 32 bytes, then their high ones. */
TERN_INLINE __m512i nibbles64(const uint8_t *p)
{
    __m512i v = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)p));
    v = _mm512_srlv_epi64(v, _mm512_setr_epi64(0, 0, 0, 0, 4, 4, 4, 4));
    return _mm512_and_si512(v, _mm512_set1_epi8(15));
}

TERN_INLINE __m512i levels_q4_K(const uint8_t *block, int i)
{
    return nibbles64(block + 16 + 32 * i);
}
TERN_INLINE __m512i levels_q5_K(const uint8_t *block, int i)
{
    __m512i bits = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(block + 16)));
    __m512i of =
        _mm512_setr_epi64(0x0101010101010101, 0x0101010101010101, 0x0101010101010101, 0x0101010101010101,
                          0x0202020202020202, 0x0202020202020202, 0x0202020202020202, 0x0202020202020202);
    __m512i v = nibbles64(block + 48 + 32 * i);
    return _mm512_mask_add_epi8(v, _mm512_test_epi8_mask(bits, _mm512_slli_epi64(of, 2 * (unsigned)i)), v,
                                _mm512_set1_epi8(16));
}
TERN_INLINE __m512i levels_q6_K(const uint8_t *block, int i)
{
    __m512i low = _mm512_loadu_si512(block + i / 2 * 64);
    __m512i bits = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(block + 128 + i / 2 * 32)));
    if (i % 2) {
        low = _mm512_srli_epi16(low, 4);
        bits = _mm512_srlv_epi64(bits, _mm512_setr_epi64(0, 0, 0, 0, 2, 2, 2, 2));
    } else {
        bits = _mm512_sllv_epi64(bits, _mm512_setr_epi64(4, 4, 4, 4, 2, 2, 2, 2));
    }
    bits = _mm512_and_si512(bits, _mm512_set1_epi8(48));
    return _mm512_or_si512(bits, _mm512_and_si512(low, _mm512_set1_epi8(15)));
}

/* The scale of each pair of levels, from one for each 32 (or 16) elements in 16 bits. */
TERN_INLINE __m512i spread_32(__m512i scales, int i)
{
    const __m512i half = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(1), 1);
    return _mm512_permutexvar_epi16(_mm512_add_epi16(half, _mm512_set1_epi16((short)(2 * i))), scales);
}
TERN_INLINE __m512i spread_16(__m512i scales, int i)
{
    const __m512i quarter =
        _mm512_setr_epi64(0, 0, 0x0001000100010001, 0x0001000100010001, 0x0002000200020002,
                          0x0002000200020002, 0x0003000300030003, 0x0003000300030003);
    return _mm512_permutexvar_epi16(_mm512_add_epi16(quarter, _mm512_set1_epi16((short)(4 * i))), scales);
}

TERN_INLINE __m512i products_of(__m512i sum, __m512i levels, const int8_t *q, __m512i scale)
{
    return _mm512_dpwssd_epi32(sum, _mm512_maddubs_epi16(levels, _mm512_loadu_si512(q)), scale);
}

#define SIXTEEN_K(name, bytes)                                                                               \
    TERN_INLINE void few_##name(const sixteen *w, int64_t k, const tern_bytes_row *x, const int rows,        \
                                __m512 *sum)                                                                 \
    {                                                                                                        \
        _Alignas(64) uint16_t scale[TERN_PANEL], offset[TERN_PANEL];                                         \
        _Alignas(64) int32_t least[TERN_PACKED_ROWS][TERN_PANEL * 4];                                        \
        __m512i part[TERN_PACKED_ROWS][TERN_PANEL];                                                          \
        for (int64_t b = 0; b < k / 256; b++) {                                                              \
            fetch_ahead(w, b *(bytes)*TERN_PANEL, (bytes)*TERN_PANEL);                                       \
            TERN_UNROLL for (int n = 0; n < TERN_PANEL; n++)                                                 \
            {                                                                                                \
                const uint8_t *block = row_of(w, n, b * (bytes));                                            \
                uint64_t eight[2];                                                                           \
                memcpy(scale + n, block, 2);                                                                 \
                memcpy(offset + n, block + 2, 2);                                                            \
                scales_q45(block + 4, (uint8_t *)&eight[0], (uint8_t *)&eight[1]);                           \
                __m512i scales =                                                                             \
                    _mm512_castsi128_si512(_mm_cvtepu8_epi16(_mm_cvtsi64_si128((int64_t)eight[0])));         \
                __m128i more = _mm_cvtepu8_epi16(_mm_cvtsi64_si128((int64_t)eight[1]));                      \
                TERN_UNROLL for (int r = 0; r < rows; r++)                                                   \
                {                                                                                            \
                    part[r][n] = _mm512_setzero_si512();                                                     \
                    __m128i sums = _mm_loadu_si128((const __m128i *)(const void *)(x[r].whole + 8 * b));     \
                    _mm_store_si128((__m128i *)(void *)(least[r] + 4 * n), _mm_madd_epi16(more, sums));      \
                }                                                                                            \
                TERN_UNROLL for (int i = 0; i < 4; i++)                                                      \
                {                                                                                            \
                    __m512i levels = levels_##name(block, i), by = spread_32(scales, i);                     \
                    TERN_UNROLL for (int r = 0; r < rows; r++)                                               \
                    {                                                                                        \
                        part[r][n] = products_of(part[r][n], levels, x[r].q + 256 * b + 64 * i, by);         \
                    }                                                                                        \
                }                                                                                            \
            }                                                                                                \
            TERN_UNROLL for (int r = 0; r < rows; r++)                                                       \
            {                                                                                                \
                __m512 x_scale = _mm512_set1_ps(x[r].scale[8 * b]);                                          \
                sum[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums_of_rows(part[r])),                          \
                                         _mm512_mul_ps(x_scale, floats_at(scale)), sum[r]);                  \
                __m512i m = sums_of_quarters(least[r]);                                                      \
                sum[r] = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(m), _mm512_mul_ps(x_scale, floats_at(offset)),  \
                                          sum[r]);                                                           \
            }                                                                                                \
        }                                                                                                    \
    }

/* [16][4] -> the sums of four */
TERN_INLINE __m512i sums_of_quarters(const int32_t *v)
{
    __m512i a = _mm512_load_si512(v), b = _mm512_load_si512(v + 16), c = _mm512_load_si512(v + 32),
            d = _mm512_load_si512(v + 48);
    /* rows 0 4 8 12, 1 5 9 13, .. in lanes: put back in order */
    __m512i all = add_by_four(add_by_two(a, b), add_by_two(c, d));
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
                                    all);
}

SIXTEEN_K(q4_K, 144)
SIXTEEN_K(q5_K, 176)

TERN_INLINE void few_q6_K(const sixteen *w, int64_t k, const tern_bytes_row *x, const int rows, __m512 *sum)
{
    _Alignas(64) uint16_t scale[TERN_PANEL];
    __m512i part[TERN_PACKED_ROWS][TERN_PANEL];
    for (int64_t b = 0; b < k / 256; b++) {
        fetch_ahead(w, b * 210 * TERN_PANEL, 210 * TERN_PANEL);
        TERN_UNROLL for (int n = 0; n < TERN_PANEL; n++)
        {
            const uint8_t *block = row_of(w, n, b * 210);
            memcpy(scale + n, block + 208, 2);
            __m256i sixteen_scales = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(block + 192)));
            __m512i scales = _mm512_castsi256_si512(sixteen_scales);
            TERN_UNROLL for (int r = 0; r < rows; r++) /* levels are 32 too large */
            {
                __m256i sums = _mm256_loadu_si256((const __m256i *)(const void *)(x[r].half + 16 * b));
                sums = _mm256_slli_epi32(_mm256_madd_epi16(sixteen_scales, sums), 5);
                part[r][n] = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_zextsi256_si512(sums));
            }
            TERN_UNROLL for (int i = 0; i < 4; i++)
            {
                __m512i levels = levels_q6_K(block, i), by = spread_16(scales, i);
                TERN_UNROLL for (int r = 0; r < rows; r++)
                {
                    part[r][n] = products_of(part[r][n], levels, x[r].q + 256 * b + 64 * i, by);
                }
            }
        }
        TERN_UNROLL for (int r = 0; r < rows; r++)
        {
            __m512 x_scale = _mm512_set1_ps(x[r].scale[8 * b]);
            sum[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums_of_rows(part[r])),
                                     _mm512_mul_ps(x_scale, floats_at(scale)), sum[r]);
        }
    }
}

/* ---- the table -------------------------------------------------------------------------------------------------------- */

/* Rows that do not fill a vector are taken one by one, each in all lanes. */
#define FEW(name)                                                                                            \
    static void dot_##name(int64_t k, const uint8_t *w, size_t row_bytes, int count,                         \
                           const tern_bytes_row *x, int rows, float *y)                                      \
    {                                                                                                        \
        bool full = count == TERN_PANEL;                                                                     \
        for (int n = 0; n < count; n += full ? TERN_PANEL : 1) {                                             \
            __m512 sum[TERN_PACKED_ROWS];                                                                    \
            sixteen from = sixteen_at(w + (size_t)n * row_bytes, full ? row_bytes : 0, row_bytes);           \
            for (int r = 0; r < TERN_PACKED_ROWS; r++) sum[r] = _mm512_setzero_ps();                         \
            if (rows == 4)                                                                                   \
                few_##name(&from, k, x, 4, sum);                                                             \
            else                                                                                             \
                for (int r = 0; r < rows; r++) few_##name(&from, k, x + r, 1, sum + r);                      \
            for (int r = 0; r < rows; r++) {                                                                 \
                if (full)                                                                                    \
                    _mm512_storeu_ps(y + r * TERN_PANEL, sum[r]);                                            \
                else                                                                                         \
                    y[r * TERN_PANEL + n] = _mm512_cvtss_f32(sum[r]);                                        \
            }                                                                                                \
        }                                                                                                    \
    }
FEW(q4_0)
FEW(q4_1)
FEW(q5_0)
FEW(q5_1)
FEW(q8_0)
FEW(q4_K)
FEW(q5_K)
FEW(q6_K)

tern_packed_few *const TERN_FOR_ISA(tern_packed_fews)[TERN_DTYPES] = {
    [TERN_Q4_0] = dot_q4_0, [TERN_Q4_1] = dot_q4_1, [TERN_Q5_0] = dot_q5_0, [TERN_Q5_1] = dot_q5_1,
    [TERN_Q8_0] = dot_q8_0, [TERN_Q4_K] = dot_q4_K, [TERN_Q5_K] = dot_q5_K, [TERN_Q6_K] = dot_q6_K,
};
#else
tern_packed_few *const TERN_FOR_ISA(tern_packed_fews)[TERN_DTYPES] = {0};
#endif
