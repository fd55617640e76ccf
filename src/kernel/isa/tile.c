/* The innermost loop of every product: a block of C lives in registers while one row of a packed panel of A and one
 * of B after the other are multiplied into it.  14 x 32 (AVX-512), 6 x 16 (AVX2) and 4 x 8 leave just enough
 * registers for a row of B; each element is one chain of multiply-adds in the order of k. */
#include "kernel/isa/isa.h"

#define NEAR 24  /* rows of the panels between a prefetch into the first cache and its use */
#define FAR  256 /* the same for the second: about the next panel */

/* What the loop reads next, where a row of B fills cache lines; else it would be asked for twice. */
TERN_INLINE void fetch_ahead(const int rows, const int vectors, const float *a, const float *b)
{
#if TERN_VECTOR_BYTES == 64
    const int row = 2 * TERN_LANES;
    __builtin_prefetch(a + NEAR * TERN_TILE_ROWS);
    __builtin_prefetch(b + NEAR * row);
    if (vectors == 2) __builtin_prefetch(b + NEAR * row + TERN_LANES);
    if (rows < 4) return; /* too little work to hide more */
    __builtin_prefetch(b + FAR * row, 0, 2);
    if (vectors == 2) __builtin_prefetch(b + FAR * row + TERN_LANES, 0, 2);
#else
    (void)rows, (void)vectors, (void)a, (void)b;
#endif
}

TERN_INLINE void tile(const int rows, const int vectors, int64_t k, const float *restrict a, int64_t a_step,
                      const float *restrict b, float *restrict c, int64_t row_stride, bool add)
{
    vf sum[TERN_TILE_ROWS][2];
    TERN_UNROLL for (int i = 0; i < rows; i++)
    {
        sum[i][0] = (vf){0};
        sum[i][1] = (vf){0};
        __builtin_prefetch(c + i * row_stride, 1, 2);
        if (vectors == 2 && TERN_VECTOR_BYTES == 64)
            __builtin_prefetch(c + i * row_stride + TERN_LANES, 1, 2);
    }
    for (; k > 0; k--, a += a_step, b += 2 * TERN_LANES) {
        fetch_ahead(rows, vectors, a, b);
        vf b0 = tern_load(b), b1 = vectors == 2 ? tern_load(b + TERN_LANES) : b0;
        TERN_UNROLL for (int i = 0; i < rows; i++)
        {
            sum[i][0] += a[i] * b0;
            if (vectors == 2) sum[i][1] += a[i] * b1;
        }
    }
    TERN_UNROLL for (int i = 0; i < rows; i++)
    {
        float *row = c + i * row_stride;
        tern_store(row, add ? tern_load(row) + sum[i][0] : sum[i][0]);
        if (vectors == 2) {
            row += TERN_LANES;
            tern_store(row, add ? tern_load(row) + sum[i][1] : sum[i][1]);
        }
    }
}

#define TILE(rows)                                                                                           \
    static void tile_##rows(int64_t k, const float *a, int64_t a_step, const float *b, float *c,             \
                            int64_t row_stride, bool add)                                                    \
    {                                                                                                        \
        tile(rows, 2, k, a, a_step, b, c, row_stride, add);                                                  \
    }                                                                                                        \
    static void half_tile_##rows(int64_t k, const float *a, int64_t a_step, const float *b, float *c,        \
                                 int64_t row_stride, bool add)                                               \
    {                                                                                                        \
        tile(rows, 1, k, a, a_step, b, c, row_stride, add);                                                  \
    }

TERN_EACH_ROWS(TILE)

#define TILE_NAME(rows)      tile_##rows,
#define HALF_TILE_NAME(rows) half_tile_##rows,
tern_tile *const TERN_FOR_ISA(tern_tiles)[] = {TERN_EACH_ROWS(TILE_NAME)};
tern_tile *const TERN_FOR_ISA(tern_half_tiles)[] = {TERN_EACH_ROWS(HALF_TILE_NAME)};
