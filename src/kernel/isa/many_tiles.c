/* Products of packed weights with the many rows of a prompt on tiles (AMX): both factors become bf16, and a tile of 16 x 16 sums
 * takes in 32 columns at a time, without a scale to be seen to in between.  Unpacking costs as much as some dozens of rows.
 *
 * Weights in f16 and bf16 are multiplied as they are, by x in 16 significant bits: f16 and such an x are sums of two bf16, high and
 * low.  The products of both low parts, at most 2^-18 of the whole, are left out. */
#include "kernel/isa/groups.h"
#include "kernel/isa/tiles.h"
#include "kernel/isa/transpose.h"
#include "kernel/packed.h"

#if defined(TERN_AMX)

enum {
    COLUMNS = 256, /* at once: two panels of W stay in the nearest cache, whole blocks of every format */
    ROWS = 512,    /* of x at once */
    PANELS = TERN_MANY_ROWS / TERN_PANEL,
    TILE = TERN_PANEL * 32, /* elements of a tile */
};

/* 16 rows of W as first factors, [k/32][16][32]. */
typedef struct many_panel {
    _Alignas(64) uint16_t at[TERN_PANEL * COLUMNS], low[TERN_PANEL * COLUMNS]; /* low: of f16 */
} many_panel;

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

TERN_INLINE uint32_t first_bits(int64_t count)
{
    return count >= 32 ? ~0u : (1u << count) - 1;
}

/* 32 elements of a row: each of at most 32 levels (16 where each half has a scale of its own) has its bf16 in a register, and
 * levels pick theirs. */
TERN_INLINE __m512i picked(const group *g)
{
    const __m512 low = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512 high = g->by_sixteen ? low : _mm512_add_ps(low, _mm512_set1_ps(16));
    float scale = g->by_sixteen ? g->scale2 : g->scale, offset = g->by_sixteen ? g->offset2 : g->offset;
    __m512i values = (__m512i)_mm512_cvtne2ps_pbh(
        _mm512_fmadd_ps(high, _mm512_set1_ps(scale), _mm512_set1_ps(offset)),
        _mm512_fmadd_ps(low, _mm512_set1_ps(g->scale), _mm512_set1_ps(g->offset)));
    __m512i levels = _mm512_cvtepu8_epi16(g->levels);
    if (g->by_sixteen)
        levels =
            _mm512_or_si512(levels, _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(16), 1));
    return _mm512_permutexvar_epi16(levels, values);
}

/* Of more levels: 0 .. 63, or signed ones where they are turned. */
TERN_INLINE __m512i computed(const group *g)
{
    __m512 scale = _mm512_set1_ps(g->scale), scale2 = scale;
    __m512 offset = _mm512_set1_ps(g->offset), offset2 = offset;
    __m256i levels = g->turned ? g->sign : g->levels;
    if (g->by_sixteen) {
        scale2 = _mm512_set1_ps(g->scale2);
        offset2 = _mm512_set1_ps(g->offset2);
    }
    __m512 a = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(levels)));
    __m512 b = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(levels, 1)));
    a = g->turned ? _mm512_mul_ps(a, scale) : _mm512_fmadd_ps(a, scale, offset);
    b = g->turned ? _mm512_mul_ps(b, scale2) : _mm512_fmadd_ps(b, scale2, offset2);
    return (__m512i)_mm512_cvtne2ps_pbh(b, a);
}

typedef void unpack_rows(const uint8_t *const rows[TERN_PANEL], int64_t k, many_panel *to);

#define UNPACK(name, bytes, groups, how)                                                                     \
    static void rows_##name(const uint8_t *const rows[TERN_PANEL], int64_t k, many_panel *to)                \
    {                                                                                                        \
        for (int r = 0; r < TERN_PANEL; r++)                                                                 \
            for (int64_t i = 0; i < k / 32; i += (groups)) {                                                 \
                const uint8_t *block = rows[r] + i / (groups) * (bytes);                                     \
                TERN_UNROLL for (int g = 0; g < (groups); g++)                                               \
                {                                                                                            \
                    group of = group_##name(block, g);                                                       \
                    _mm512_store_si512(to->at + (i + g) * TILE + r * 32, how(&of));                          \
                }                                                                                            \
            }                                                                                                \
    }
UNPACK(q4_0, 18, 1, picked)
UNPACK(q4_1, 20, 1, picked)
UNPACK(q5_0, 22, 1, picked)
UNPACK(q5_1, 24, 1, picked)
UNPACK(q8_0, 34, 1, computed)
UNPACK(q2_K, 84, 8, picked)
UNPACK(q3_K, 110, 8, picked)
UNPACK(q4_K, 144, 8, picked)
UNPACK(q5_K, 176, 8, picked)
UNPACK(q6_K, 210, 8, computed)
UNPACK(ternary, 66, 8, picked)

/* Columns beyond the last are 0. */
TERN_INLINE void unpack_halves(const uint8_t *const rows[TERN_PANEL], int64_t k, const bool two,
                               many_panel *to)
{
    for (int r = 0; r < TERN_PANEL; r++)
        for (int64_t i = 0; i < k; i += 32) {
            __m512i v = _mm512_maskz_loadu_epi16(first_bits(k - i), rows[r] + 2 * i);
            if (two) {
                __m512 a = _mm512_cvtph_ps(_mm512_castsi512_si256(v)),
                       b = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(v, 1));
                v = take_bf16(&a, &b);
                _mm512_store_si512(to->low + i * TERN_PANEL + r * 32, to_bf16(a, b));
            }
            _mm512_store_si512(to->at + i * TERN_PANEL + r * 32, v);
        }
}
static void rows_f16(const uint8_t *const rows[TERN_PANEL], int64_t k, many_panel *to)
{
    unpack_halves(rows, k, true, to);
}
static void rows_bf16(const uint8_t *const rows[TERN_PANEL], int64_t k, many_panel *to)
{
    unpack_halves(rows, k, false, to);
}
static unpack_rows *const unpacks[TERN_DTYPES] = {
    [TERN_F16] = rows_f16,   [TERN_BF16] = rows_bf16, [TERN_Q4_0] = rows_q4_0, [TERN_Q4_1] = rows_q4_1,
    [TERN_Q5_0] = rows_q5_0, [TERN_Q5_1] = rows_q5_1, [TERN_Q8_0] = rows_q8_0, [TERN_TERNARY] = rows_ternary,
    [TERN_Q2_K] = rows_q2_K, [TERN_Q3_K] = rows_q3_K, [TERN_Q4_K] = rows_q4_K, [TERN_Q5_K] = rows_q5_K,
    [TERN_Q6_K] = rows_q6_K,
};

static void turn_pairs(vf pairs[TERN_PANEL], uint16_t *to)
{
    tern_transpose(pairs);
    for (int c = 0; c < TERN_PANEL; c++) tern_store((float *)(void *)(to + c * 32), pairs[c]);
}

/* 16 rows of x as second factors, [parts][k/32][16 pairs of columns][16 rows][2]; zeros where x has no more rows or columns. */
void tern_many_split(const tern_packed_product *p, int64_t panel, void *panels)
{
    int64_t whole = tern_many_columns(p->k), rows = p->rows - panel * TERN_PANEL;
    int parts = tern_many_parts(p->dtype);
    uint16_t *to = (uint16_t *)panels + panel * parts * whole * TERN_PANEL;
    for (int64_t i = 0; i < whole; i += 32) {
        vf high[TERN_PANEL], low[TERN_PANEL];
        for (int r = 0; r < TERN_PANEL; r++) {
            const float *x = p->x + (panel * TERN_PANEL + (r < rows ? r : 0)) * p->k + i;
            uint32_t known = r < rows ? first_bits(p->k - i) : 0;
            __m512 a = _mm512_maskz_loadu_ps((__mmask16)known, x),
                   b = _mm512_maskz_loadu_ps((__mmask16)(known >> 16), x + 16);
            high[r] = (vf)take_bf16(&a, &b);
            low[r] = (vf)to_bf16(a, b);
        }
        turn_pairs(high, to + i * TERN_PANEL);
        if (parts == 2) turn_pairs(low, to + (whole + i) * TERN_PANEL);
    }
}

/* Sums, [rows/16][panel of W][16 rows of W][16 rows of x], beside each other: rows of y lie so far apart that they would push each
 * other out of the caches. */
typedef float many_row[PANELS][TERN_PANEL * TERN_PANEL];
typedef struct many_sums {
    _Alignas(64) many_row at[ROWS / TERN_PANEL];
} many_sums;

#define LOAD(tile, sums, first)                                                                              \
    do {                                                                                                     \
        if (first)                                                                                           \
            _tile_zero(tile);                                                                                \
        else                                                                                                 \
            _tile_loadd(tile, sums, 64);                                                                     \
    } while (0)

/* Both panels of x in tiles 6 and 7, times both of W in 4 and 5. */
#define MULTIPLY                                                                                             \
    do {                                                                                                     \
        _tile_dpbf16ps(0, 4, 6);                                                                             \
        _tile_dpbf16ps(1, 5, 6);                                                                             \
        _tile_dpbf16ps(2, 4, 7);                                                                             \
        _tile_dpbf16ps(3, 5, 7);                                                                             \
    } while (0)

/* What two panels of x, one behind the other, are multiplied with: elements from the one to the other and from the high to the low
 * parts of x, and 32 columns how often. */
typedef struct extent {
    int64_t apart, low, steps;
} extent;

/* sums[0 and 1][panel and panel + 1] += two panels of x times two of W. */
TERN_INLINE void multiply(const uint16_t *x, extent e, const many_panel w[2], const bool x_low,
                          const bool w_low, bool first, many_row *sums, int panel)
{
    __asm__ volatile("" : : : "memory"); /* tiles are loaded behind the compiler's back */
    LOAD(0, sums[0][panel], first);
    LOAD(1, sums[0][panel + 1], first);
    LOAD(2, sums[1][panel], first);
    LOAD(3, sums[1][panel + 1], first);
    for (int64_t i = 0; i < e.steps * TILE; i += TILE) {
        _tile_loadd(4, w[0].at + i, 64);
        _tile_loadd(5, w[1].at + i, 64);
        if (x_low) {
            _tile_loadd(6, x + e.low + i, 64);
            _tile_loadd(7, x + e.low + e.apart + i, 64);
            MULTIPLY;
        }
        _tile_loadd(6, x + i, 64);
        _tile_loadd(7, x + e.apart + i, 64);
        MULTIPLY;
        if (w_low) {
            _tile_loadd(4, w[0].low + i, 64);
            _tile_loadd(5, w[1].low + i, 64);
            MULTIPLY;
        }
    }
    _tile_stored(0, sums[0][panel], 64);
    _tile_stored(1, sums[0][panel + 1], 64);
    _tile_stored(2, sums[1][panel], 64);
    _tile_stored(3, sums[1][panel + 1], 64);
    __asm__ volatile("" : : : "memory");
}

static void multiply_any(tern_dtype dtype, const uint16_t *x, extent e, const many_panel w[2], bool first,
                         many_row *sums, int panel)
{
    if (dtype == TERN_F16)
        multiply(x, e, w, true, true, first, sums, panel);
    else if (dtype == TERN_BF16)
        multiply(x, e, w, true, false, first, sums, panel);
    else
        multiply(x, e, w, false, false, first, sums, panel);
}

/* Where the sums of two panels of x and two of W go: y[row ..][n ..], of which so many rows are left. */
typedef struct target {
    int64_t row, rows, n;
} target;

/* The lines of y that are written soon. */
static void expect(const tern_packed_product *p, target to)
{
    for (int64_t r = 0; r < 2 * TERN_PANEL && r < to.rows; r++)
        for (int i = 0; i < 2 && to.n + i * TERN_PANEL < p->n; i++)
            __builtin_prefetch(p->y + (to.row + r) * p->n + to.n + i * TERN_PANEL, 1, 2);
}

/* With the bias. */
static void put(const tern_packed_product *p, const float *sums, target to)
{
    vf y[TERN_PANEL];
    int64_t left = p->n - to.n;
    __mmask16 known = left >= TERN_PANEL ? 0xffff : left > 0 ? (__mmask16)((1 << left) - 1) : 0;
    vf bias = p->bias ? (vf)_mm512_maskz_loadu_ps(known, p->bias + to.n) : (vf)_mm512_setzero_ps();
    for (int r = 0; r < TERN_PANEL; r++) y[r] = tern_load(sums + r * TERN_PANEL);
    tern_transpose(y);
    for (int64_t r = 0; r < TERN_PANEL && r < to.rows; r++)
        _mm512_mask_storeu_ps(p->y + (to.row + r) * p->n + to.n, known, (__m512)(y[r] + bias));
}

static void put_pairs(const tern_packed_product *p, many_row *sums, int panel, target to)
{
    for (int r = 0; r < 2; r++, to.row += TERN_PANEL, to.rows -= TERN_PANEL)
        for (int i = 0; i < 2; i++)
            put(p, sums[r][panel + i], (target){to.row, to.rows, to.n + i * TERN_PANEL});
}

/* Columns first .. of `count` panels of W from row n on. */
static void unpack(const tern_packed_product *p, int64_t n, int count, int64_t first, int64_t columns,
                   many_panel *to)
{
    size_t row_bytes = tern_bytes_of(p->dtype, p->k), at = tern_bytes_of(p->dtype, first);
    for (int i = 0; i < count; i++, n += TERN_PANEL) {
        const uint8_t *rows[TERN_PANEL];
        for (int r = 0; r < TERN_PANEL; r++)
            rows[r] = (const uint8_t *)p->w + (size_t)(n + r < p->n ? n + r : p->n - 1) * row_bytes + at;
        unpacks[p->dtype](rows, columns, &to[i]);
    }
}

/* Rows row .. row + rows of x times `count` panels of W.  x comes from far, and 32 rows of it stay near while they meet all panels. */
static void part(const tern_packed_product *p, const uint16_t *panels, int64_t row, int64_t rows, int64_t n,
                 int count)
{
    many_panel w[PANELS];
    many_sums sums;
    int64_t whole = tern_many_columns(p->k), panel = tern_many_parts(p->dtype) * whole * TERN_PANEL;
    for (int64_t first = 0; first < p->k; first += COLUMNS) {
        int64_t columns = p->k - first < COLUMNS ? p->k - first : COLUMNS;
        unpack(p, n, count, first, columns, w);
        for (int64_t r = 0; r < rows; r += 2 * TERN_PANEL) {
            bool two = r + TERN_PANEL < rows; /* else one panel stands for both */
            const uint16_t *x = panels + (row + r) / TERN_PANEL * panel + first * TERN_PANEL;
            extent e = {two ? panel : 0, whole * TERN_PANEL, (columns + 31) / 32};
            many_row *at = &sums.at[r / TERN_PANEL];
            for (int i = 0; i < count; i += 2) {
                target to = {row + r, rows - r, n + i * TERN_PANEL};
                if (first + columns == p->k) expect(p, to);
                multiply_any(p->dtype, x, e, w + i, first == 0, at, i);
                if (first + columns == p->k) put_pairs(p, at, i, to);
            }
        }
    }
}

static void block(const tern_packed_product *p, const void *panels, int64_t first, int64_t count)
{
    int pairs = (int)((count + 2 * TERN_PANEL - 1) / (2 * TERN_PANEL));
    shape_tiles(64);
    for (int64_t row = 0; row < p->rows; row += ROWS)
        part(p, panels, row, p->rows - row < ROWS ? p->rows - row : ROWS, first, 2 * pairs);
    _tile_release();
}

tern_packed_many_block *const tern_many_blocks[TERN_DTYPES] = {
    [TERN_Q4_0] = block, [TERN_Q4_1] = block, [TERN_Q5_0] = block,    [TERN_Q5_1] = block,
    [TERN_Q8_0] = block, [TERN_Q2_K] = block, [TERN_Q3_K] = block,    [TERN_Q4_K] = block,
    [TERN_Q5_K] = block, [TERN_Q6_K] = block, [TERN_TERNARY] = block, [TERN_F16] = block,
    [TERN_BF16] = block,
};

#endif
