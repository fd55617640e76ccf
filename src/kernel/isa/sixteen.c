/* Sixteen rows of formats with a scale for each 32 elements; see sixteen.h. */
#include "kernel/isa/sixteen.h"

#include "kernel/isa/transpose.h"

#if defined(__AVX512VNNI__)

/* Bytes of a block, what its levels are too large by, and whether its least value follows the scale. */
typedef struct format {
    tern_dtype dtype;
    int bytes, zero;
    bool offset;
} format;

/* ---- x ------------------------------------------------------------------------------------------------------------------- */

/* Lots of a row that wait: the more, the longer is what is read in one piece. */
#define LOTS(rows) ((rows) == 1 ? 16 : 4)
enum {
    LOT = 16,
    MOST = 256
}; /* blocks whose sums are found together; of LOTS times LOT, for all rows of x */

/* Some blocks of x as levels are multiplied: of nibbles the first halves of four blocks, then their second ones.  Sums begin with what
 * levels are too large by. */
typedef struct ready {
    _Alignas(64) int8_t q[MOST * 32];
    _Alignas(64) int32_t begin[MOST * 8];
} ready;

/* Blocks from b on, `blocks` of them, four at a time, and zeros up to a whole lot. */
TERN_INLINE void make_ready(const format f, const tern_bytes_row *x, int64_t b, int blocks, ready *to)
{
    const int lanes = f.bytes == 34 ? 8 : 4; /* of a block */
    for (int i = 0; i < (blocks + LOT - 1) / LOT * LOT; i += 4) {
        __m512i v = _mm512_setzero_si512(), u = v;
        __m128i less = _mm_setzero_si128();
        if (i < blocks) {
            v = _mm512_loadu_si512(x->q + 32 * (b + i));
            u = _mm512_loadu_si512(x->q + 32 * (b + i) + 64);
            less = _mm_cvtepi16_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(x->whole + b + i)));
            less = _mm_mullo_epi32(less, _mm_set1_epi32(-f.zero));
        }
        _mm512_store_si512(to->q + 32 * i, lanes == 8 ? v : _mm512_shuffle_i32x4(v, u, 0x88));
        _mm512_store_si512(to->q + 32 * i + 64, lanes == 8 ? u : _mm512_shuffle_i32x4(v, u, 0xdd));
        __m512i four = _mm512_castsi128_si512(less);
        if (lanes == 4) {
            _mm512_store_si512(to->begin + 4 * i, _mm512_maskz_expand_epi32(0x1111, four));
        } else {
            _mm512_store_si512(to->begin + 8 * i, _mm512_maskz_expand_epi32(0x0101, four));
            four = _mm512_permutexvar_epi64(_mm512_set1_epi64(1), four);
            _mm512_store_si512(to->begin + 8 * i + 16, _mm512_maskz_expand_epi32(0x0101, four));
        }
    }
}

/* ---- levels ------------------------------------------------------------------------------------------------------------- */

/* The blocks of a lot, where the row goes on or its last one stands for what is missing. */
typedef struct blocks {
    const uint8_t *w;
    int at[LOT];
} blocks;

TERN_INLINE blocks blocks_at(const format f, const uint8_t *w, int count)
{
    blocks b = {.w = w};
    TERN_UNROLL for (int i = 0; i < LOT; i++) b.at[i] = (i < count ? i : count - 1) * f.bytes;
    return b;
}

TERN_INLINE const uint8_t *block_of(const blocks *b, int i)
{
    return b->w + b->at[i];
}

/* 16 bytes of each of four blocks from the i-th on. */
TERN_INLINE __m512i sixteens_of(const blocks *b, int i, int offset)
{
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(block_of(b, i) + offset)));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(block_of(b, i + 1) + offset)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(block_of(b, i + 2) + offset)), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(block_of(b, i + 3) + offset)), 3);
}

TERN_INLINE uint64_t word_at(const uint8_t *p)
{
    uint32_t word;
    memcpy(&word, p, 4);
    return word;
}

/* The fifth bits of four blocks: of their first halves, and of their second ones. */
TERN_INLINE void fifths_of(const blocks *b, int i, int offset, __mmask64 *first, __mmask64 *second)
{
    uint64_t low = word_at(block_of(b, i) + offset) | word_at(block_of(b, i + 1) + offset) << 32;
    uint64_t high = word_at(block_of(b, i + 2) + offset) | word_at(block_of(b, i + 3) + offset) << 32;
    const uint64_t of_first = 0x0000ffff0000ffff;
    *first = _pext_u64(low, of_first) | _pext_u64(high, of_first) << 32;
    *second = _pext_u64(low, ~of_first) | _pext_u64(high, ~of_first) << 32;
}

/* Levels of four blocks from the i-th on, in the order of make_ready. */
TERN_INLINE void levels_of(const format f, const blocks *b, int i, __m512i v[2])
{
    if (f.dtype == TERN_Q8_0) { /* plus 128 */
        TERN_UNROLL for (int h = 0; h < 2; h++)
        {
            const void *one = block_of(b, i + 2 * h) + 2, *two = block_of(b, i + 2 * h + 1) + 2;
            v[h] = _mm512_castsi256_si512(_mm256_loadu_si256(one));
            v[h] = _mm512_inserti64x4(v[h], _mm256_loadu_si256(two), 1);
            v[h] = _mm512_xor_si512(v[h], _mm512_set1_epi8(-128));
        }
        return;
    }
    const __m512i low = _mm512_set1_epi8(15), fifth = _mm512_set1_epi8(16);
    __m512i both = sixteens_of(b, i, f.bytes - 16);
    v[0] = _mm512_and_si512(both, low);
    v[1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
    if (f.dtype == TERN_Q5_0 || f.dtype == TERN_Q5_1) {
        __mmask64 first, second;
        fifths_of(b, i, f.bytes - 20, &first, &second);
        v[0] = _mm512_mask_add_epi8(v[0], first, v[0], fifth);
        v[1] = _mm512_mask_add_epi8(v[1], second, v[1], fifth);
    }
}

/* ---- sums of blocks ------------------------------------------------------------------------------------------------------ */

/* Where block j of a lot stands among sums that sums_of_lot gives. */
#define PLACE_OF(f, j) ((f).bytes == 34 ? (j) / 8 * 8 + (j) % 2 * 4 + (j) % 8 / 2 : (j) % 4 * 4 + (j) / 4)

/* The sums of products of a lot, of which `fours` times four blocks are there, with one row of x. */
TERN_INLINE __m512i sums_of_lot(const format f, __m512i v[LOT / 4][2], const int fours, const int8_t *q,
                                const int32_t *begin)
{
    __m512i s[LOT / 2];
    TERN_UNROLL for (int i = 0; i < LOT / 2; i++) s[i] = _mm512_setzero_si512();
    TERN_UNROLL for (int i = 0; i < fours; i++)
    {
        __m512i a = _mm512_load_si512(q + 128 * i), b = _mm512_load_si512(q + 128 * i + 64);
        if (f.bytes == 34) {
            s[2 * i] = _mm512_dpbusd_epi32(_mm512_load_si512(begin + 32 * i), v[i][0], a);
            s[2 * i + 1] = _mm512_dpbusd_epi32(_mm512_load_si512(begin + 32 * i + 16), v[i][1], b);
        } else {
            s[i] = _mm512_dpbusd_epi32(_mm512_load_si512(begin + 16 * i), v[i][0], a);
            s[i] = _mm512_dpbusd_epi32(s[i], v[i][1], b);
        }
    }
    if (f.bytes == 34) return sums_of_halves(s);
    return add_by_four(add_by_two(s[0], s[1]), add_by_two(s[2], s[3]));
}

typedef struct waiting {
    _Alignas(64) int32_t sums[TERN_PANEL * MOST];   /* [rows of x][rows of W][blocks] */
    _Alignas(64) uint32_t heads[MOST * TERN_PANEL]; /* [blocks][rows of W]: scales, or with offsets; halves */
} waiting;

/* The blocks from b on, at w, of row n of W. */
TERN_INLINE void lot_of(const format f, const blocks *w, int n, int b, int count, const int fours,
                        const ready *x, const int rows, waiting *to)
{
    const int step = LOTS(rows) * LOT;
    __m512i v[LOT / 4][2];
    TERN_UNROLL for (int i = 0; i < fours; i++) levels_of(f, w, 4 * i, v[i]);
    for (int i = 0; i < count; i++) {
        void *head = f.offset ? (void *)(to->heads + (b + i) * TERN_PANEL + n)
                              : (void *)((uint16_t *)to->heads + (b + i) * TERN_PANEL + n);
        memcpy(head, w->w + i * f.bytes, f.offset ? 4 : 2);
    }
    TERN_UNROLL for (int r = 0; r < rows; r++)
    {
        const int lanes = f.bytes == 34 ? 8 : 4;
        __m512i sums = sums_of_lot(f, v, fours, x[r].q + 32 * b, x[r].begin + lanes * b);
        _mm512_store_si512(to->sums + (r * TERN_PANEL + n) * step + b, sums);
    }
}

/* Scales and adds up the blocks of a lot, from block b on; `first` is the first of those that wait. */
TERN_INLINE void add_lot(const format f, const waiting *from, int b, int count, int64_t first,
                         const tern_bytes_row *x, const int rows, __m512 *sum)
{
    const int step = LOTS(rows) * LOT;
    TERN_UNROLL for (int r = 0; r < rows; r++)
    {
        _Alignas(64) float turned[LOT * LOT];
        vf v[LOT];
        TERN_UNROLL for (int n = 0; n < LOT; n++)
        {
            v[n] = (vf)_mm512_load_si512(from->sums + (r * TERN_PANEL + n) * step + b);
        }
        tern_transpose(v);
        TERN_UNROLL for (int n = 0; n < LOT; n++) tern_store(turned + n * LOT, v[n]);
        for (int j = 0; j < count; j++) {
            __m512i all = _mm512_load_si512(turned + PLACE_OF(f, j) * LOT), word = _mm512_setzero_si512();
            const float *x_scale = x[r].scale + first + b + j;
            __m512 scale;
            if (f.offset) {
                word = _mm512_load_si512(from->heads + (b + j) * TERN_PANEL);
                scale = floats_of(word);
            } else {
                scale = floats_at((const uint16_t *)from->heads + (b + j) * TERN_PANEL);
            }
            scale = _mm512_mul_ps(scale, _mm512_set1_ps(*x_scale));
            sum[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(all), scale, sum[r]);
            if (!f.offset) continue;
            __m512 least = floats_of(_mm512_srli_epi32(word, 16));
            sum[r] = _mm512_fmadd_ps(least, _mm512_set1_ps(x[r].sum32[first + b + j]), sum[r]);
        }
    }
}

TERN_INLINE void few_rows(const format f, const sixteen *w, int64_t k, const tern_bytes_row *x,
                          const int rows, __m512 *sum)
{
    const int step = LOTS(rows) * LOT;
    waiting wait; /* set where it is used, as is this: */
    ready own[TERN_PACKED_ROWS];
    for (int64_t first = 0; first < k / 32; first += step) {
        int count = k / 32 - first < step ? (int)(k / 32 - first) : step;
        for (int r = 0; r < rows; r++) make_ready(f, &x[r], first, count, &own[r]);
        for (int n = 0; n < TERN_PANEL; n++) {
            const uint8_t *row = row_of(w, n, (size_t)first * (size_t)f.bytes);
            int b = 0;
            for (; b + LOT <= count; b += LOT) {
                blocks at = blocks_at(f, row + b * f.bytes, LOT);
                fetch_ahead(at.w, LOT * f.bytes);
                lot_of(f, &at, n, b, LOT, LOT / 4, own, rows, &wait);
            }
            if (b == count) continue;
            blocks at = blocks_at(f, row + b * f.bytes, count - b);
            fetch_ahead(at.w, LOT * f.bytes);
            if (count - b <= 4)
                lot_of(f, &at, n, b, count - b, 1, own, rows, &wait);
            else
                lot_of(f, &at, n, b, count - b, LOT / 4, own, rows, &wait);
        }
        for (int b = 0; b < count; b += LOT)
            add_lot(f, &wait, b, count - b < LOT ? count - b : LOT, first, x, rows, sum);
    }
}

#define FEW(name, ...)                                                                                       \
    TERN_INLINE void few_##name(const sixteen *w, int64_t k, const tern_bytes_row *x, const int rows,        \
                                __m512 *sum)                                                                 \
    {                                                                                                        \
        few_rows((format){__VA_ARGS__}, w, k, x, rows, sum);                                                 \
    }                                                                                                        \
    TERN_FEW(name)
TERN_FEW_DECLARE(q4_0)
TERN_FEW_DECLARE(q4_1)
TERN_FEW_DECLARE(q5_0)
TERN_FEW_DECLARE(q5_1)
TERN_FEW_DECLARE(q8_0)
FEW(q4_0, TERN_Q4_0, 18, 8, false)
FEW(q4_1, TERN_Q4_1, 20, 0, true)
FEW(q5_0, TERN_Q5_0, 22, 16, false)
FEW(q5_1, TERN_Q5_1, 24, 0, true)
FEW(q8_0, TERN_Q8_0, 34, 128, false)

/* ---- the table -------------------------------------------------------------------------------------------------------- */

tern_packed_few *const TERN_FOR_ISA(tern_packed_fews)[TERN_DTYPES] = {
    [TERN_Q4_0] = TERN_FOR_ISA(tern_few_q4_0),       [TERN_Q4_1] = TERN_FOR_ISA(tern_few_q4_1),
    [TERN_Q5_0] = TERN_FOR_ISA(tern_few_q5_0),       [TERN_Q5_1] = TERN_FOR_ISA(tern_few_q5_1),
    [TERN_Q8_0] = TERN_FOR_ISA(tern_few_q8_0),       [TERN_Q2_K] = TERN_FOR_ISA(tern_few_q2_K),
    [TERN_Q3_K] = TERN_FOR_ISA(tern_few_q3_K),       [TERN_Q4_K] = TERN_FOR_ISA(tern_few_q4_K),
    [TERN_Q5_K] = TERN_FOR_ISA(tern_few_q5_K),       [TERN_Q6_K] = TERN_FOR_ISA(tern_few_q6_K),
    [TERN_TERNARY] = TERN_FOR_ISA(tern_few_ternary),
};
#else
tern_packed_few *const TERN_FOR_ISA(tern_packed_fews)[TERN_DTYPES] = {0};
#endif
