/* 32 rows of packed weights times all rows of x; see blocks.h. */
#include "kernel/isa/blocks.h"

#if defined(__AVX512VNNI__)

/* The panel of x from column `first` on. */
TERN_INLINE tern_bytes_panel panel_from(void *panels, int64_t k, int64_t i, int64_t first)
{
    tern_bytes_panel x = tern_panel_at(panels, k, i);
    return (tern_bytes_panel){x.q + first * TERN_PANEL, x.scale + first / 32 * TERN_PANEL,
                              x.sum + first / 32 * TERN_PANEL, x.whole + first / 32 * TERN_PANEL};
}

TERN_INLINE void rows_of(const tern_packed_product *p, size_t row_bytes, int64_t n, size_t at,
                         const uint8_t *rows[TERN_PANEL])
{
    for (int r = 0; r < TERN_PANEL; r++) {
        int64_t row = n + r < p->n ? n + r : p->n - 1;
        rows[r] = (const uint8_t *)p->w + (size_t)row * row_bytes + at;
    }
}

enum { PANELS = TERN_BLOCK_ROWS / TERN_PANEL };

/* All rows of x times some columns of up to PANELS panels of W. */
static void part_32(const tern_packed_product *p, void *panels, const tern_weight_panel *w, int count,
                    int64_t n, int64_t first, int64_t columns, bool offset, const tern_multipliers *by)
{
    for (int64_t row = 0; row < p->rows; row += TERN_PANEL) {
        tern_bytes_panel x = panel_from(panels, p->k, row / TERN_PANEL, first);
        for (int i = 0; i < count; i++) {
            _Alignas(64) float c[TERN_PANEL * TERN_PANEL];
            place at = place_of(p, n + i * TERN_PANEL, row);
            fetch(&at, first == 0, c);
            by->by_32(&w[i], &x, columns / 32, offset, c);
            put(&at, first + columns == p->k, c);
        }
    }
}

static void part_256(const tern_packed_product *p, void *panels, const tern_weight_panel *w, int count,
                     int64_t n, int64_t first, int64_t columns, tern_lower lower, const tern_multipliers *by)
{
    for (int64_t row = 0; row < p->rows; row += 2 * TERN_PANEL) {
        bool two = row + TERN_PANEL < p->rows, last = first + columns == p->k;
        int tiles = two ? 2 : 1;
        tern_bytes_panel x[2] = {panel_from(panels, p->k, row / TERN_PANEL, first),
                                 panel_from(panels, p->k, row / TERN_PANEL + two, first)};
        for (int i = 0; i < count; i++) {
            _Alignas(64) float c[2][TERN_PANEL * TERN_PANEL];
            place at[2] = {place_of(p, n + i * TERN_PANEL, row),
                           place_of(p, n + i * TERN_PANEL, row + two * TERN_PANEL)};
            for (int t = 0; t < tiles; t++) fetch(&at[t], first == 0, c[t]);
            by->by_256(&w[i], x, columns / 256, lower, two, c);
            for (int t = 0; t < tiles; t++) put(&at[t], last, c[t]);
        }
    }
}

typedef void unpack_rows(const uint8_t *const rows[TERN_PANEL], int64_t k, tern_weight_panel *to);

#define UNPACK(name)                                                                                         \
    static void rows_##name(const uint8_t *const rows[TERN_PANEL], int64_t k, tern_weight_panel *to)         \
    {                                                                                                        \
        unpack_##name(rows, k, to);                                                                          \
    }
UNPACK(q4_0)
UNPACK(q4_1)
UNPACK(q5_0)
UNPACK(q5_1)
UNPACK(q8_0)
UNPACK(q2_K)
UNPACK(q3_K)
UNPACK(q4_K)
UNPACK(q5_K)
UNPACK(q6_K)
UNPACK(ternary)
static unpack_rows *const unpacks[TERN_DTYPES] = {
    [TERN_Q4_0] = rows_q4_0, [TERN_Q4_1] = rows_q4_1,       [TERN_Q5_0] = rows_q5_0, [TERN_Q5_1] = rows_q5_1,
    [TERN_Q8_0] = rows_q8_0, [TERN_TERNARY] = rows_ternary, [TERN_Q2_K] = rows_q2_K, [TERN_Q3_K] = rows_q3_K,
    [TERN_Q4_K] = rows_q4_K, [TERN_Q5_K] = rows_q5_K,       [TERN_Q6_K] = rows_q6_K,
};

static void flip(int8_t *bytes, int64_t count)
{
    for (int64_t i = 0; i < count; i += 64)
        _mm512_store_si512(bytes + i, _mm512_xor_si512(_mm512_load_si512(bytes + i), _mm512_set1_epi8(-128)));
}

void TERN_FOR_ISA(tern_multiply_block)(const tern_packed_product *p, void *panels, int64_t n,
                                       const tern_multipliers *by)
{
    tern_weight_panel w[PANELS];
    tern_dtype dtype = p->dtype;
    int block = tern_dtype_of(dtype)->block, count = p->n - n > TERN_PANEL ? PANELS : 1;
    size_t row_bytes = tern_bytes_of(dtype, p->k);
    tern_lower lower = dtype == TERN_Q4_K || dtype == TERN_Q5_K ? TERN_LOWER_BY_32
                       : dtype == TERN_Q2_K                     ? TERN_LOWER_APART
                                                                : TERN_LOWER_NONE;
    if (by->begin) by->begin(block);
    for (int64_t first = 0; first < p->k; first += TERN_UNPACK) {
        int64_t columns = p->k - first < TERN_UNPACK ? p->k - first : TERN_UNPACK;
        for (int i = 0; i < count; i++) {
            const uint8_t *rows[TERN_PANEL];
            rows_of(p, row_bytes, n + i * TERN_PANEL, tern_bytes_of(dtype, first), rows);
            unpacks[dtype](rows, columns, &w[i]);
            if (by->flipped) flip(block == 32 ? w[i].low : w[i].high, columns * TERN_PANEL);
        }
        if (block == 32)
            part_32(p, panels, w, count, n, first, columns, dtype == TERN_Q4_1 || dtype == TERN_Q5_1, by);
        else
            part_256(p, panels, w, count, n, first, columns, lower, by);
    }
    if (by->end) by->end();
}

#endif
