/* Products of packed weights with many rows of x: 32 rows of W are unpacked, some columns at a time, and multiplied by 16
 * rows of x after the other, on tiles (tiles.c) or by dots of bytes (wide.c). */
#ifndef TERN_ISA_BLOCKS_H
#define TERN_ISA_BLOCKS_H

#include "kernel/isa/transpose.h"
#include "kernel/isa/unpack.h"

extern tern_packed_block *const TERN_FOR_ISA(tern_packed_blocks)[TERN_DTYPES];

#if defined(__AVX512VNNI__)

/* What blocks of 256 subtract: nothing; an offset of each 32; or the products of the high part, which has a scale of its own. */
typedef enum tern_lower { TERN_LOWER_NONE, TERN_LOWER_BY_32, TERN_LOWER_APART } tern_lower;

typedef struct tern_multipliers {
    void (*begin)(int block), (*end)(void);
    bool flipped; /* signed bytes are wanted with 128 more, without a sign: levels of 32, high parts of 256 */
    /* c[16][16] += the product of 16 rows of W (first index) with 16 of x: `blocks` blocks of 32; or of 256 with one or two
   * panels of x, each with a c of its own. */
    void (*by_32)(const tern_weight_panel *w, const tern_bytes_panel *x, int64_t blocks, bool offset,
                  float *c);
    void (*by_256)(const tern_weight_panel *w, const tern_bytes_panel x[2], int64_t blocks, tern_lower lower,
                   bool two, float c[2][TERN_PANEL * TERN_PANEL]);
} tern_multipliers;

void TERN_FOR_ISA(tern_multiply_block)(const tern_packed_product *product, void *panels, int64_t first,
                                       const tern_multipliers *multiply);

/* Where the result of 16 rows of W and 16 of x stands: c[n][row] in memory as y[row][n]. */
typedef struct place {
    float *y;
    const float *bias;
    int64_t pitch, rows, columns;
} place;

static inline place place_of(const tern_packed_product *p, int64_t n, int64_t row)
{
    return (place){.y = p->y + row * p->n + n,
                   .bias = p->bias ? p->bias + n : NULL,
                   .pitch = p->n,
                   .rows = p->rows - row < TERN_PANEL ? p->rows - row : TERN_PANEL,
                   .columns = p->n - n < TERN_PANEL ? p->n - n : TERN_PANEL};
}

static inline void fetch(const place *at, bool first, float *c)
{
    memset(c, 0, TERN_PANEL * TERN_PANEL * sizeof *c);
    if (!first) TERN_FOR_ISA(tern_turn)
    (at->rows, at->columns, at->y, at->pitch, c, TERN_PANEL);
}

static inline void put(const place *at, bool last, float *c)
{
    for (int n = 0; last && at->bias && n < at->columns; n++)
        for (int r = 0; r < TERN_PANEL; r++) c[n * TERN_PANEL + r] += at->bias[n];
    if (at->columns < TERN_PANEL || at->rows < TERN_PANEL) {
        TERN_FOR_ISA(tern_turn)
        (at->columns, at->rows, c, TERN_PANEL, at->y, at->pitch);
        return;
    }
    vf row[TERN_PANEL];
    for (int n = 0; n < TERN_PANEL; n++) row[n] = tern_load(c + n * TERN_PANEL);
    tern_transpose(row);
    for (int r = 0; r < TERN_PANEL; r++) tern_store(at->y + r * at->pitch, row[r]);
}

/* c += the scaled products of block b with 256 columns, which are low + 128 high, or low where high is NULL.  Where the high part has
 * a scale of its own: low and high, each with its own. */
TERN_INLINE void add_256(const tern_weight_panel *w, const tern_bytes_panel *x, int64_t b,
                         const tern_lower lower, const int32_t *low, const int32_t *high, float *c)
{
    const float *scale = w->scale + b * TERN_PANEL, *offset = w->offset + b * TERN_PANEL;
    const int32_t *pairs = (const int32_t *)(const void *)w->least + 4 * b * TERN_PANEL;
    __m512 x_scale = _mm512_loadu_ps(x->scale + 8 * b * TERN_PANEL);
    __m512i x_sums[4];
    TERN_UNROLL for (int i = 0; i < 4; i++)
    {
        x_sums[i] = _mm512_loadu_si512(x->whole + (4 * b + i) * 2 * TERN_PANEL);
    }
    TERN_UNROLL for (int r = 0; r < TERN_PANEL; r++)
    {
        __m512i p = _mm512_load_si512(low + r * TERN_PANEL);
        if (high && lower != TERN_LOWER_APART)
            p = _mm512_add_epi32(p, _mm512_slli_epi32(_mm512_load_si512(high + r * TERN_PANEL), 7));
        __m512 sum = _mm512_loadu_ps(c + r * TERN_PANEL);
        sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(p), _mm512_mul_ps(x_scale, _mm512_set1_ps(scale[r])), sum);
        if (lower == TERN_LOWER_APART) {
            __m512i m = _mm512_load_si512(high + r * TERN_PANEL);
            sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(m), _mm512_mul_ps(x_scale, _mm512_set1_ps(offset[r])),
                                  sum);
        }
        if (lower == TERN_LOWER_BY_32) {
            __m512i m = _mm512_setzero_si512();
            TERN_UNROLL for (int i = 0; i < 4; i++)
            {
                m = _mm512_dpwssd_epi32(m, x_sums[i], _mm512_set1_epi32(pairs[i * TERN_PANEL + r]));
            }
            sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(m), _mm512_mul_ps(x_scale, _mm512_set1_ps(offset[r])),
                                  sum);
        }
        _mm512_storeu_ps(c + r * TERN_PANEL, sum);
    }
}

#endif

#endif
