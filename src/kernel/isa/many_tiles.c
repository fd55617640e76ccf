/* Products of packed weights with the many rows of a prompt on tiles (AMX): both factors become bf16, and a tile of 16 x 16 sums
 * takes in 32 columns at a time, without a scale to be seen to in between.  Unpacking costs as much as some dozens of rows. */
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
    _Alignas(64) uint16_t at[TERN_PANEL * COLUMNS];
} many_panel;

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
static unpack_rows *const unpacks[TERN_DTYPES] = {
    [TERN_Q4_0] = rows_q4_0, [TERN_Q4_1] = rows_q4_1,       [TERN_Q5_0] = rows_q5_0, [TERN_Q5_1] = rows_q5_1,
    [TERN_Q8_0] = rows_q8_0, [TERN_TERNARY] = rows_ternary, [TERN_Q2_K] = rows_q2_K, [TERN_Q3_K] = rows_q3_K,
    [TERN_Q4_K] = rows_q4_K, [TERN_Q5_K] = rows_q5_K,       [TERN_Q6_K] = rows_q6_K,
};

/* 16 rows of x as second factors, [k/32][16 pairs of columns][16 rows][2]; zeros where x has no more rows. */
void tern_many_split(const tern_packed_product *p, int64_t panel, void *panels)
{
    uint16_t *to = (uint16_t *)panels + panel * p->k * TERN_PANEL;
    int64_t rows = p->rows - panel * TERN_PANEL;
    for (int64_t i = 0; i < p->k; i += 32) {
        vf pairs[TERN_PANEL];
        for (int r = 0; r < TERN_PANEL; r++) {
            const float *x = p->x + (panel * TERN_PANEL + (r < rows ? r : 0)) * p->k + i;
            __mmask16 all = r < rows ? 0xffff : 0;
            pairs[r] = (vf)(__m512i)_mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(all, x + 16),
                                                        _mm512_maskz_loadu_ps(all, x));
        }
        tern_transpose(pairs);
        for (int c = 0; c < TERN_PANEL; c++)
            tern_store((float *)(void *)(to + i * TERN_PANEL + c * 32), pairs[c]);
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

/* sums[0 and 1][panel and panel + 1] += `steps` times 32 columns: two panels of x, which are `apart` elements apart, times two of W. */
static void multiply(const uint16_t *x, int64_t apart, const many_panel w[2], int64_t steps, bool first,
                     many_row *sums, int panel)
{
    __asm__ volatile("" : : : "memory"); /* tiles are loaded behind the compiler's back */
    LOAD(0, sums[0][panel], first);
    LOAD(1, sums[0][panel + 1], first);
    LOAD(2, sums[1][panel], first);
    LOAD(3, sums[1][panel + 1], first);
    for (int64_t i = 0; i < steps; i++) {
        _tile_loadd(4, w[0].at + i * TILE, 64);
        _tile_loadd(6, x + i * TILE, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(5, w[1].at + i * TILE, 64);
        _tile_dpbf16ps(1, 5, 6);
        _tile_loadd(7, x + apart + i * TILE, 64);
        _tile_dpbf16ps(2, 4, 7);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums[0][panel], 64);
    _tile_stored(1, sums[0][panel + 1], 64);
    _tile_stored(2, sums[1][panel], 64);
    _tile_stored(3, sums[1][panel + 1], 64);
    __asm__ volatile("" : : : "memory");
}

/* To y[first.. first + rows][n..], with the bias. */
static void put(const tern_packed_product *p, const many_sums *sums, int64_t first, int64_t rows, int64_t n,
                int count)
{
    for (int64_t row = 0; row < rows; row += TERN_PANEL)
        for (int i = 0; i < count; i++) {
            vf y[TERN_PANEL];
            int64_t at = n + i * TERN_PANEL, left = p->n - at;
            __mmask16 known = left >= TERN_PANEL ? 0xffff : left > 0 ? (__mmask16)((1 << left) - 1) : 0;
            vf bias = p->bias ? (vf)_mm512_maskz_loadu_ps(known, p->bias + at) : (vf)_mm512_setzero_ps();
            for (int r = 0; r < TERN_PANEL; r++)
                y[r] = tern_load(sums->at[row / TERN_PANEL][i] + r * TERN_PANEL);
            tern_transpose(y);
            for (int64_t r = 0; r < TERN_PANEL && row + r < rows; r++)
                _mm512_mask_storeu_ps(p->y + (first + row + r) * p->n + at, known, (__m512)(y[r] + bias));
        }
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
    for (int64_t first = 0; first < p->k; first += COLUMNS) {
        int64_t columns = p->k - first < COLUMNS ? p->k - first : COLUMNS;
        unpack(p, n, count, first, columns, w);
        for (int64_t r = 0; r < rows; r += 2 * TERN_PANEL) {
            bool two = r + TERN_PANEL < rows; /* else one panel stands for both */
            const uint16_t *x = panels + (row + r) * p->k + first * TERN_PANEL;
            for (int i = 0; i < count; i += 2)
                multiply(x, two ? p->k * TERN_PANEL : 0, w + i, columns / 32, first == 0,
                         &sums.at[r / TERN_PANEL], i);
        }
    }
    put(p, &sums, row, rows, n, count);
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
    [TERN_Q5_K] = block, [TERN_Q6_K] = block, [TERN_TERNARY] = block,
};

#endif
