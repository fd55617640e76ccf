/* Products of packed weights with many rows of x on tiles (AMX): 16 rows of W, unpacked to bytes, are one factor, 16 rows of
 * x the other, and a tile of 16 x 16 sums of products is scaled and added up in registers.
 *
 * Formats with a scale for each 32 elements: a tile holds the sums of 32 products.  Formats with scales inside blocks of
 * 256: levels times those scales fit 14 bits; they are multiplied in two parts of 7, and a tile holds the sums of 256. */
#include "kernel/isa/tiles.h"
#include "kernel/isa/blocks.h"

#include <string.h>

#if defined(TERN_AMX)

/* Sums of 16 rows of W (register, element of a vector: 16 rows of x), kept in c while columns come in parts. */
TERN_INLINE void load_sums(const float *c, __m512 sum[TERN_PANEL])
{
    TERN_UNROLL for (int r = 0; r < TERN_PANEL; r++) sum[r] = _mm512_loadu_ps(c + r * TERN_PANEL);
}
TERN_INLINE void store_sums(float *c, const __m512 sum[TERN_PANEL])
{
    TERN_UNROLL for (int r = 0; r < TERN_PANEL; r++) _mm512_storeu_ps(c + r * TERN_PANEL, sum[r]);
}

#define TILE_32(b, tile, a, x_tile)                                                                          \
    do {                                                                                                     \
        _tile_zero(tile);                                                                                    \
        _tile_loadd(a, w->low + (b)*512, 32);                                                                \
        _tile_loadd(x_tile, x->q + (b)*512, 64);                                                             \
        _tile_dpbssd(tile, a, x_tile);                                                                       \
        _tile_stored(tile, part[(b)&3], 64);                                                                 \
    } while (0)

/* c[16][16] += the product of `blocks` blocks of 32 columns.  The tiles of the next two blocks are under way while the sums
 * of one are scaled. */
TERN_INLINE void multiply_32(const tern_weight_panel *w, const tern_bytes_panel *x, int64_t blocks,
                             const bool offset, float *c)
{
    _Alignas(64) int32_t part[4][TERN_PANEL * TERN_PANEL];
    __m512 sum[TERN_PANEL];
    load_sums(c, sum);
    TILE_32((int64_t)0, 0, 4, 6);
    if (blocks > 1) TILE_32((int64_t)1, 1, 5, 7);
    for (int64_t b = 0; b < blocks; b++) {
        if (b + 2 < blocks) {
            if (b & 1)
                TILE_32(b + 2, 1, 5, 7);
            else
                TILE_32(b + 2, 0, 4, 6);
        }
        const int32_t *products = part[b & 3];
        const float *scale = w->scale + b * TERN_PANEL, *more = w->offset + b * TERN_PANEL;
        __m512 x_scale = _mm512_loadu_ps(x->scale + b * TERN_PANEL);
        __m512 x_sum = _mm512_loadu_ps(x->sum + b * TERN_PANEL);
        TERN_UNROLL for (int r = 0; r < TERN_PANEL; r++)
        {
            __m512 p = _mm512_cvtepi32_ps(_mm512_load_si512(products + r * TERN_PANEL));
            sum[r] = _mm512_fmadd_ps(p, _mm512_mul_ps(x_scale, _mm512_set1_ps(scale[r])), sum[r]);
            if (offset) sum[r] = _mm512_fmadd_ps(x_sum, _mm512_set1_ps(more[r]), sum[r]);
        }
    }
    store_sums(c, sum);
}

/* The tiles of one block of 256 columns, low and high parts, for one or two panels of x. */
TERN_INLINE void tiles_256(const tern_weight_panel *w, const tern_bytes_panel x[2], int64_t b, const bool two,
                           int32_t part[4][TERN_PANEL * TERN_PANEL])
{
    _tile_zero(0);
    _tile_zero(1);
    if (two) {
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t i = 4 * b; i < 4 * b + 4; i++) {
        _tile_loadd(4, w->low + i * 1024, 64);
        _tile_loadd(6, x[0].q + i * 1024, 64);
        _tile_loadd(5, w->high + i * 1024, 64);
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 5, 6);
        if (!two) continue;
        _tile_loadd(7, x[1].q + i * 1024, 64);
        _tile_dpbssd(2, 4, 7);
        _tile_dpbssd(3, 5, 7);
    }
    _tile_stored(0, part[0], 64);
    _tile_stored(1, part[1], 64);
    if (!two) return;
    _tile_stored(2, part[2], 64);
    _tile_stored(3, part[3], 64);
}

/* c[16][16] of each panel of x += the product of `blocks` blocks of 256 columns. */
TERN_INLINE void multiply_256(const tern_weight_panel *w, const tern_bytes_panel x[2], int64_t blocks,
                              const tern_lower lower, const bool two, float c[2][TERN_PANEL * TERN_PANEL])
{
    _Alignas(64) int32_t part[2][4][TERN_PANEL * TERN_PANEL];
    tiles_256(w, x, 0, two, part[0]);
    for (int64_t b = 0; b < blocks; b++) {
        if (b + 1 < blocks) tiles_256(w, x, b + 1, two, part[(b + 1) & 1]);
        add_256(w, &x[0], b, lower, part[b & 1][0], part[b & 1][1], c[0]);
        if (two) add_256(w, &x[1], b, lower, part[b & 1][2], part[b & 1][3], c[1]);
    }
}

static void by_32(const tern_weight_panel *w, const tern_bytes_panel *x, int64_t blocks, bool offset,
                  float *c)
{
    __asm__ volatile("" : : : "memory"); /* tiles are loaded behind the compiler's back */
    if (offset)
        multiply_32(w, x, blocks, true, c);
    else
        multiply_32(w, x, blocks, false, c);
}

#define BY_256(lower)                                                                                        \
    case lower:                                                                                              \
        if (two)                                                                                             \
            multiply_256(w, x, blocks, lower, true, c);                                                      \
        else                                                                                                 \
            multiply_256(w, x, blocks, lower, false, c);                                                     \
        break;

static void by_256(const tern_weight_panel *w, const tern_bytes_panel x[2], int64_t blocks, tern_lower lower,
                   bool two, float c[2][TERN_PANEL * TERN_PANEL])
{
    __asm__ volatile("" : : : "memory");
    switch (lower) {
        BY_256(TERN_LOWER_NONE)
        BY_256(TERN_LOWER_BY_32)
        BY_256(TERN_LOWER_APART)
    }
}

static void begin(int block)
{
    shape_tiles(block == 32 ? 32 : 64);
}

static void end(void)
{
    _tile_release();
}

static void block_bytes(const tern_packed_product *p, void *panels, int64_t n)
{
    static const tern_multipliers tiles = {.begin = begin, .end = end, .by_32 = by_32, .by_256 = by_256};
    TERN_FOR_ISA(tern_multiply_block)(p, panels, n, &tiles);
}

tern_packed_block *const tern_tile_blocks[TERN_DTYPES] = {
    [TERN_Q4_0] = block_bytes, [TERN_Q4_1] = block_bytes,    [TERN_Q5_0] = block_bytes,
    [TERN_Q5_1] = block_bytes, [TERN_Q8_0] = block_bytes,    [TERN_Q4_K] = block_bytes,
    [TERN_Q5_K] = block_bytes, [TERN_Q6_K] = block_bytes,    [TERN_Q2_K] = block_bytes,
    [TERN_Q3_K] = block_bytes, [TERN_TERNARY] = block_bytes,
};

#endif
