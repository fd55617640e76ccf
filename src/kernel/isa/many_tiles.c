/* Products of packed weights with the many rows of a prompt on tiles (AMX): both factors become bf16, and a tile of 16 x 16 sums
 * takes in 32 columns at a time, without a scale to be seen to in between.  Unpacking costs as much as some dozens of rows.
 *
 * Weights in f16 and bf16 are multiplied as they are, by x in 16 significant bits: f16 and such an x are sums of two bf16, high and
 * low.  The products of both low parts, at most 2^-18 of the whole, are left out. */
#include "kernel/isa/bf16.h"
#include "kernel/isa/groups.h"
#include "kernel/isa/tiles.h"
#include "kernel/packed.h"

#if defined(TERN_AMX)

enum {
    COLUMNS = TERN_MANY_COLUMNS, /* at once: all panels of W stay in the second cache */
    ROWS = 512,                  /* of x at once */
    PANELS = TERN_MANY_ROWS / TERN_PANEL,
    TILE = TERN_PANEL * 32, /* elements of a tile */
};

/* Panels of 16 rows of W as first factors, [k/32][16][32]; low: of f16. */
typedef struct many_panels {
    _Alignas(64) uint16_t at[PANELS][TERN_PANEL * COLUMNS], low[PANELS][TERN_PANEL * COLUMNS];
} many_panels;

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

typedef void unpack_rows(const uint8_t *const rows[TERN_PANEL], int64_t k, uint16_t *to, uint16_t *low);

#define UNPACK(name, bytes, groups, how)                                                                     \
    static void rows_##name(const uint8_t *const rows[TERN_PANEL], int64_t k, uint16_t *to, uint16_t *low)   \
    {                                                                                                        \
        (void)low;                                                                                           \
        for (int r = 0; r < TERN_PANEL; r++)                                                                 \
            for (int64_t i = 0; i < k / 32; i += (groups)) {                                                 \
                const uint8_t *block = rows[r] + i / (groups) * (bytes);                                     \
                TERN_UNROLL for (int g = 0; g < (groups); g++)                                               \
                {                                                                                            \
                    group of = group_##name(block, g);                                                       \
                    _mm512_store_si512(to + (i + g) * TILE + r * 32, how(&of));                              \
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
TERN_INLINE void unpack_halves(const uint8_t *const rows[TERN_PANEL], int64_t k, const bool two, uint16_t *to,
                               uint16_t *low)
{
    for (int r = 0; r < TERN_PANEL; r++)
        for (int64_t i = 0; i < k; i += 32) {
            __m512i v = _mm512_maskz_loadu_epi16(first_bits(k - i), rows[r] + 2 * i);
            if (two) {
                __m512 a = _mm512_cvtph_ps(_mm512_castsi512_si256(v)),
                       b = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(v, 1));
                v = take_bf16(&a, &b);
                _mm512_store_si512(low + i * TERN_PANEL + r * 32, to_bf16(a, b));
            }
            _mm512_store_si512(to + i * TERN_PANEL + r * 32, v);
        }
}
static void rows_f16(const uint8_t *const rows[TERN_PANEL], int64_t k, uint16_t *to, uint16_t *low)
{
    unpack_halves(rows, k, true, to, low);
}
static void rows_bf16(const uint8_t *const rows[TERN_PANEL], int64_t k, uint16_t *to, uint16_t *low)
{
    unpack_halves(rows, k, false, to, low);
}
static unpack_rows *const unpacks[TERN_DTYPES] = {
    [TERN_F16] = rows_f16,   [TERN_BF16] = rows_bf16, [TERN_Q4_0] = rows_q4_0, [TERN_Q4_1] = rows_q4_1,
    [TERN_Q5_0] = rows_q5_0, [TERN_Q5_1] = rows_q5_1, [TERN_Q8_0] = rows_q8_0, [TERN_TERNARY] = rows_ternary,
    [TERN_Q2_K] = rows_q2_K, [TERN_Q3_K] = rows_q3_K, [TERN_Q4_K] = rows_q4_K, [TERN_Q5_K] = rows_q5_K,
    [TERN_Q6_K] = rows_q6_K,
};

/* 16 rows of x as second factors, [columns at once][panel][parts][k/32][16 pairs of columns][16 rows][2]: what meets
 * the same columns of W lies together.  Zeros where x has no more rows or columns. */
void tern_many_split(const tern_packed_product *p, int64_t panel, void *panels)
{
    int64_t whole = tern_many_columns(p->k), count = (p->rows + TERN_PANEL - 1) / TERN_PANEL;
    int64_t rows = p->rows - panel * TERN_PANEL, wide = tern_many_step(p->dtype, p->k);
    int parts = tern_many_parts(p->dtype);
    for (int64_t i = 0; i < whole; i += 32) {
        int64_t first = i / wide * wide, columns = whole - first < wide ? whole - first : wide;
        uint16_t *to =
            (uint16_t *)panels + (first * count * parts + panel * parts * columns + i - first) * TERN_PANEL;
        vf high[TERN_PANEL], low[TERN_PANEL];
        for (int r = 0; r < TERN_PANEL; r++) {
            const float *x = p->x + (panel * TERN_PANEL + (r < rows ? r : 0)) * p->k + i;
            uint32_t known = r < rows ? first_bits(p->k - i) : 0;
            __m512 a = _mm512_maskz_loadu_ps((__mmask16)known, x),
                   b = _mm512_maskz_loadu_ps((__mmask16)(known >> 16), x + 16);
            high[r] = (vf)take_bf16(&a, &b);
            low[r] = (vf)to_bf16(a, b);
        }
        turn_pairs(high, to);
        if (parts == 2) turn_pairs(low, to + columns * TERN_PANEL);
    }
}

/* Sums of two panels of x and two of W, [panel of x][panel of W][16 rows of W][16 rows of x].  They lie beside each other: rows of y
 * lie so far apart that they would push each other out of the caches. */
typedef float many_sums[2][2][TERN_PANEL * TERN_PANEL];

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

/* Two panels of x and two of W, one behind the other: elements from the one to the other, from the high to the low parts, and 32
 * columns how often. */
typedef struct factors {
    const uint16_t *x, *w;
    int64_t x_apart, x_low, w_apart, w_low, steps;
} factors;

/* sums += two panels of x times two of W. */
TERN_INLINE void multiply(factors f, const bool x_low, const bool w_low, bool first, many_sums *sums)
{
    __asm__ volatile("" : : : "memory"); /* tiles are loaded behind the compiler's back */
    LOAD(0, (*sums)[0][0], first);
    LOAD(1, (*sums)[0][1], first);
    LOAD(2, (*sums)[1][0], first);
    LOAD(3, (*sums)[1][1], first);
    for (int64_t i = 0; i < f.steps * TILE; i += TILE) {
        _tile_stream_loadd(4, f.w + i, 64);
        _tile_stream_loadd(5, f.w + f.w_apart + i, 64);
        if (x_low) {
            _tile_loadd(6, f.x + f.x_low + i, 64);
            _tile_loadd(7, f.x + f.x_low + f.x_apart + i, 64);
            MULTIPLY;
        }
        _tile_loadd(6, f.x + i, 64);
        _tile_loadd(7, f.x + f.x_apart + i, 64);
        MULTIPLY;
        if (w_low) {
            _tile_stream_loadd(4, f.w + f.w_low + i, 64);
            _tile_stream_loadd(5, f.w + f.w_low + f.w_apart + i, 64);
            MULTIPLY;
        }
    }
    _tile_stored(0, (*sums)[0][0], 64);
    _tile_stored(1, (*sums)[0][1], 64);
    _tile_stored(2, (*sums)[1][0], 64);
    _tile_stored(3, (*sums)[1][1], 64);
    __asm__ volatile("" : : : "memory");
}

static void multiply_any(tern_dtype dtype, factors f, bool first, many_sums *sums)
{
    if (dtype == TERN_F16)
        multiply(f, true, true, first, sums);
    else if (dtype == TERN_BF16)
        multiply(f, true, false, first, sums);
    else
        multiply(f, false, false, first, sums);
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

static void put_sums(const tern_packed_product *p, const many_sums *sums, target to)
{
    for (int r = 0; r < 2; r++, to.row += TERN_PANEL, to.rows -= TERN_PANEL)
        for (int i = 0; i < 2; i++) put(p, (*sums)[r][i], (target){to.row, to.rows, to.n + i * TERN_PANEL});
}

/* Columns first .. of rows n .. end of W. */
typedef struct place {
    int64_t n, end, first, columns;
} place;

/* The rows of a panel, the last one of W again and again behind the end. */
static void find_rows(const tern_packed_product *p, place at, const uint8_t *rows[TERN_PANEL])
{
    size_t row_bytes = tern_bytes_of(p->dtype, p->k), from = tern_bytes_of(p->dtype, at.first);
    for (int r = 0; r < TERN_PANEL; r++)
        rows[r] = (const uint8_t *)p->w + (size_t)(at.n + r < p->n ? at.n + r : p->n - 1) * row_bytes + from;
}

/* An even number of panels.  Rows come from far: those of the next panel are asked for while one is unpacked. */
static void unpack(const tern_packed_product *p, place at, many_panels *to)
{
    const uint8_t *rows[TERN_PANEL], *next[TERN_PANEL];
    size_t bytes = tern_bytes_of(p->dtype, at.columns);
    find_rows(p, at, next);
    for (int i = 0; at.n < at.end || i % 2; i++) {
        at.n += TERN_PANEL;
        memcpy(rows, next, sizeof rows);
        find_rows(p, at, next);
        for (int r = 0; r < TERN_PANEL && at.n < at.end; r++)
            for (size_t b = 0; b < bytes + 63; b += 64) __builtin_prefetch(next[r] + b, 0, 3);
        unpacks[p->dtype](rows, at.columns, to->at[i], to->low[i]);
    }
}

/* Two panels of x, of which `rows` rows are left, times those of W. */
static void pair(const tern_packed_product *p, factors f, place at, int64_t row, int64_t rows,
                 many_sums *sums)
{
    bool last = at.first + at.columns == p->k;
    for (; at.n < at.end; at.n += 2 * TERN_PANEL, f.w += 2 * f.w_apart, sums++) {
        target to = {row, rows, at.n};
        if (last) expect(p, to);
        multiply_any(p->dtype, f, at.first == 0, sums);
        if (last) put_sums(p, (const many_sums *)sums, to);
    }
}

/* Rows row .. row + rows of x times rows at.n .. at.end of W.  x comes from far, and 32 rows of it stay near while they meet all panels. */
static void part(const tern_packed_product *p, const uint16_t *panels, int64_t row, int64_t rows, place at)
{
    many_panels w;
    _Alignas(64) many_sums sums[ROWS / (2 * TERN_PANEL)][PANELS / 2];
    int64_t wide = tern_many_step(p->dtype, p->k), count = (p->rows + TERN_PANEL - 1) / TERN_PANEL;
    int64_t whole = tern_many_columns(p->k), parts = tern_many_parts(p->dtype);
    int64_t pairs = (rows + 2 * TERN_PANEL - 1) / (2 * TERN_PANEL);
    for (; at.first < p->k; at.first += wide) {
        int64_t left = p->k - at.first, columns = whole - at.first < wide ? whole - at.first : wide;
        at.columns = left < wide ? left : wide;
        unpack(p, at, &w);
        factors f = {
            .w = w.at[0], .w_apart = w.at[1] - w.at[0], .w_low = w.low[0] - w.at[0], .steps = columns / 32};
        f.x_low = columns * TERN_PANEL;
        for (int64_t r = 0; r < pairs; r++) {
            int64_t panel = row / TERN_PANEL + 2 * r;
            f.x = panels + (at.first * count + panel * columns) * parts * TERN_PANEL;
            f.x_apart =
                (2 * r + 1) * TERN_PANEL < rows ? parts * f.x_low : 0; /* else one panel stands for both */
            pair(p, f, at, row + 2 * r * TERN_PANEL, rows - 2 * r * TERN_PANEL, sums[r]);
        }
    }
}

static void block(const tern_packed_product *p, const void *panels, int64_t first, int64_t count)
{
    shape_tiles(64);
    for (int64_t row = 0; row < p->rows; row += ROWS)
        part(p, panels, row, p->rows - row < ROWS ? p->rows - row : ROWS,
             (place){first, first + count, 0, 0});
    _tile_release();
}

tern_packed_many_block *const tern_many_blocks[TERN_DTYPES] = {
    [TERN_Q4_0] = block, [TERN_Q4_1] = block, [TERN_Q5_0] = block,    [TERN_Q5_1] = block,
    [TERN_Q8_0] = block, [TERN_Q2_K] = block, [TERN_Q3_K] = block,    [TERN_Q4_K] = block,
    [TERN_Q5_K] = block, [TERN_Q6_K] = block, [TERN_TERNARY] = block, [TERN_F16] = block,
    [TERN_BF16] = block,
};

#endif
