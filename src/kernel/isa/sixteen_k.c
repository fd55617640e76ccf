/* Sixteen rows of formats with blocks of 256 elements; see sixteen.h. */
#include "kernel/isa/sixteen.h"

#if defined(__AVX512VNNI__)

/* Bytes of a block, where its scale stands, how many elements share a scale inside it, 2^excess (or nothing: -1) that levels are too
 * large by, and whether there are offsets, whose own scale follows that of the block. */
typedef struct format {
    tern_dtype dtype;
    int bytes, scale, unit, excess;
    bool offset;
} format;

/* ---- levels: 64 of a row ------------------------------------------------------------------------------------------------ */

/* The low nibbles of 32 bytes, then their high ones. */
TERN_INLINE __m512i nibbles64(const uint8_t *p)
{
    __m512i v = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)p));
    v = _mm512_srlv_epi64(v, _mm512_setr_epi64(0, 0, 0, 0, 4, 4, 4, 4));
    return _mm512_and_si512(v, _mm512_set1_epi8(15));
}

/* Where bits 2 i and 2 i + 1 of 32 bytes are set. */
TERN_INLINE __mmask64 bits64(const uint8_t *bytes, int i)
{
    __m512i bits = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)bytes));
    __m512i of =
        _mm512_setr_epi64(0x0101010101010101, 0x0101010101010101, 0x0101010101010101, 0x0101010101010101,
                          0x0202020202020202, 0x0202020202020202, 0x0202020202020202, 0x0202020202020202);
    return _mm512_test_epi8_mask(bits, _mm512_slli_epi64(of, 2 * (unsigned)i));
}

TERN_INLINE __m512i levels_q5_K(const uint8_t *block, int i)
{
    __m512i v = nibbles64(block + 48 + 32 * i);
    return _mm512_mask_add_epi8(v, bits64(block + 16, i), v, _mm512_set1_epi8(16));
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

/* Pairs of bits: of 32 bytes, those from bit 4 (i % 2) on, then the next two. */
TERN_INLINE __m512i pairs64(const uint8_t *bytes, int i)
{
    __m512i v = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(bytes + i / 2 * 32)));
    v = i % 2 ? _mm512_srlv_epi64(v, _mm512_setr_epi64(4, 4, 4, 4, 6, 6, 6, 6))
              : _mm512_srlv_epi64(v, _mm512_setr_epi64(0, 0, 0, 0, 2, 2, 2, 2));
    return _mm512_and_si512(v, _mm512_set1_epi8(3));
}
TERN_INLINE __m512i levels_q3_K(const uint8_t *block, int i)
{
    __m512i v = pairs64(block + 32, i);
    return _mm512_mask_add_epi8(v, bits64(block, i), v, _mm512_set1_epi8(4));
}

TERN_INLINE __m512i levels_of(const format f, const uint8_t *block, int i)
{
    if (f.dtype == TERN_Q2_K) return pairs64(block + 16, i);
    if (f.dtype == TERN_Q3_K) return levels_q3_K(block, i);
    if (f.dtype == TERN_Q4_K) return nibbles64(block + 16 + 32 * i);
    if (f.dtype == TERN_Q5_K) return levels_q5_K(block, i);
    if (f.dtype == TERN_Q6_K) return levels_q6_K(block, i);
    return pairs64(block, i); /* ternary */
}

/* ---- scales inside a block ---------------------------------------------------------------------------------------------- */

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

/* The scales of a block, and of q2_K, q4_K and q5_K what is subtracted of each sub-block, in units of their own. */
TERN_INLINE __m256i scales_of(const format f, const uint8_t *block, __m256i *least)
{
    uint64_t two[2];
    if (f.unit == 32) {
        scales_q45(block + 4, &two[0], &two[1]);
        *least = _mm256_cvtepu8_epi16(_mm_cvtsi64_si128((int64_t)two[1]));
        return _mm256_cvtepu8_epi16(_mm_cvtsi64_si128((int64_t)two[0]));
    }
    if (f.dtype == TERN_Q2_K) {
        __m256i both = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)block));
        *least = _mm256_srli_epi16(both, 4);
        return _mm256_and_si256(both, _mm256_set1_epi16(15));
    }
    *least = _mm256_setzero_si256();
    if (f.dtype == TERN_Q6_K) return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(block + 192)));
    scales_q3(block + 96, two);
    __m128i bytes = _mm_set_epi64x((int64_t)two[1], (int64_t)two[0]);
    return _mm256_sub_epi16(_mm256_cvtepu8_epi16(bytes), _mm256_set1_epi16(32));
}

/* ---- rows ----------------------------------------------------------------------------------------------------------------- */

TERN_INLINE __m128i sum_of_halves(__m256i v)
{
    return _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

/* Sums of products of a block with block b of each row of x, and the products of what is subtracted, in four parts. */
TERN_INLINE void block_of(const format f, const uint8_t *block, int64_t b, const tern_bytes_row *x,
                          const int rows, __m512i part[TERN_PACKED_ROWS], __m128i least[TERN_PACKED_ROWS])
{
    __m256i less = _mm256_setzero_si256(), own = f.unit ? scales_of(f, block, &less) : _mm256_set1_epi16(1);
    __m512i scales = _mm512_castsi256_si512(own), v[4];
    TERN_UNROLL for (int i = 0; i < 4; i++) v[i] = levels_of(f, block, i);
    TERN_UNROLL for (int r = 0; r < rows; r++)
    {
        /* Sums of x by 16, or by 32 in the lower half. */
        __m256i by_16 = _mm256_loadu_si256((const __m256i *)(const void *)(x[r].half + 16 * b));
        __m256i by_32 =
            _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(x[r].whole + 8 * b)));
        __m256i sums = f.unit == 16 ? by_16 : by_32;
        part[r] = _mm512_setzero_si512();
        if (f.excess >= 0) {
            __m256i more = _mm256_slli_epi32(_mm256_madd_epi16(own, sums), f.excess);
            part[r] = _mm512_zextsi256_si512(_mm256_sub_epi32(_mm256_setzero_si256(), more));
        }
        if (f.offset) least[r] = sum_of_halves(_mm256_madd_epi16(less, sums));
    }
    TERN_UNROLL for (int i = 0; i < 4; i++)
    {
        __m512i by = f.unit == 16 ? spread_16(scales, i) : spread_32(scales, i);
        TERN_UNROLL for (int r = 0; r < rows; r++)
        {
            __m512i q = _mm512_loadu_si512(x[r].q + 256 * b + 64 * i);
            part[r] = f.unit ? _mm512_dpwssd_epi32(part[r], _mm512_maddubs_epi16(v[i], q), by)
                             : _mm512_dpbusd_epi32(part[r], v[i], q);
        }
    }
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

enum { BLOCKS = 32, ENTRIES = TERN_PANEL * BLOCKS }; /* of a row, whose sums wait */

typedef struct waiting {
    _Alignas(64) int32_t sums[TERN_PACKED_ROWS][ENTRIES], least[TERN_PACKED_ROWS][ENTRIES];
    _Alignas(64) uint32_t heads[ENTRIES]; /* scale and the one of offsets, in half precision */
} waiting;

/* Blocks `first` to first + count of all rows, one row behind the other, sixteen at a time. */
TERN_INLINE void collect(const format f, const sixteen *w, int64_t first, int count, const tern_bytes_row *x,
                         const int rows, waiting *to)
{
    _Alignas(64) __m512i part[TERN_PACKED_ROWS][TERN_PANEL];
    _Alignas(64) int32_t least[TERN_PACKED_ROWS][TERN_PANEL * 4];
    int row = 0, b = 0;
    const uint8_t *block = row_of(w, 0, (size_t)first * (size_t)f.bytes);
    for (int entry = 0; entry < TERN_PANEL * count; entry += TERN_PANEL) {
        for (int i = 0; i < TERN_PANEL; i++) {
            __m512i parts[TERN_PACKED_ROWS];
            __m128i leasts[TERN_PACKED_ROWS];
            fetch_ahead(block, f.bytes);
            block_of(f, block, first + b, x, rows, parts, leasts);
            memcpy(to->heads + entry + i, block + f.scale, f.offset ? 4 : 2);
            TERN_UNROLL for (int r = 0; r < rows; r++)
            {
                part[r][i] = parts[r];
                if (f.offset) _mm_store_si128((__m128i *)(void *)(least[r] + 4 * i), leasts[r]);
            }
            block += f.bytes;
            if (++b < count) continue;
            b = 0;
            block = row_of(w, ++row, (size_t)first * (size_t)f.bytes);
        }
        TERN_UNROLL for (int r = 0; r < rows; r++)
        {
            _mm512_store_si512(to->sums[r] + entry, sums_of_rows(part[r]));
            if (f.offset) _mm512_store_si512(to->least[r] + entry, sums_of_quarters(least[r]));
        }
    }
}

TERN_INLINE void few_rows(const format f, const sixteen *w, int64_t k, const tern_bytes_row *x,
                          const int rows, __m512 *sum)
{
    waiting at; /* set where it is used */
    for (int64_t first = 0; first < k / 256; first += BLOCKS) {
        int count = k / 256 - first < BLOCKS ? (int)(k / 256 - first) : BLOCKS;
        __m512i of_rows =
            _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                               _mm512_set1_epi32(count));
        collect(f, w, first, count, x, rows, &at);
        for (int b = 0; b < count; b++) {
            __m512i heads = _mm512_i32gather_epi32(of_rows, at.heads + b, 4);
            TERN_UNROLL for (int r = 0; r < rows; r++)
            {
                __m512 x_scale = _mm512_set1_ps(x[r].scale[8 * (first + b)]);
                __m512 all = _mm512_cvtepi32_ps(_mm512_i32gather_epi32(of_rows, at.sums[r] + b, 4));
                sum[r] = _mm512_fmadd_ps(all, _mm512_mul_ps(x_scale, floats_of(heads)), sum[r]);
                if (!f.offset) continue;
                __m512 less = _mm512_cvtepi32_ps(_mm512_i32gather_epi32(of_rows, at.least[r] + b, 4));
                __m512 scale = floats_of(_mm512_srli_epi32(heads, 16));
                sum[r] = _mm512_fnmadd_ps(less, _mm512_mul_ps(x_scale, scale), sum[r]);
            }
        }
    }
}

#define FEW(name, ...)                                                                                       \
    TERN_INLINE void few_##name(const sixteen *w, int64_t k, const tern_bytes_row *x, const int rows,        \
                                __m512 *sum)                                                                 \
    {                                                                                                        \
        few_rows((format){__VA_ARGS__}, w, k, x, rows, sum);                                                 \
    }                                                                                                        \
    TERN_FEW(name)
FEW(q2_K, TERN_Q2_K, 84, 80, 16, -1, true)
FEW(q3_K, TERN_Q3_K, 110, 108, 16, 2, false)
FEW(q4_K, TERN_Q4_K, 144, 0, 32, -1, true)
FEW(q5_K, TERN_Q5_K, 176, 0, 32, -1, true)
FEW(q6_K, TERN_Q6_K, 210, 208, 16, 5, false)
FEW(ternary, TERN_TERNARY, 66, 64, 0, 0, false)

#endif
