/* Products of bits and of signed bytes: both factors are packed into panels of 32-bit words, then blocks of C are tasks.
 * Sums are exact, so no order matters. */
#include "kernel/gemm.h"

#define MAX_ROWS     16
#define MAX_COLUMNS  32
#define WORD_BLOCK   256 /* words of a panel that stay in the first-level cache */
#define PACK_WORDS   (16 * 1024)
#define SERIAL_WORDS (64 * 1024) /* products of words below which one thread does all */

typedef struct words_product {
    int64_t m, n, k, words;
    const void *a, *b;
    int64_t first_a, first_b;
    int32_t *c;
    bool accumulate;
    tern_word_tile *const *tile;
    tern_word_pack *pack;
    int rows, columns;
    int64_t panels_a, panels_b, panels_per_task, rows_per_task, columns_per_task;
    uint32_t *packed_a, *packed_b;
} words_product;

static void lay_out(words_product *p, int per_word)
{
    const tern_kernels *kernels = tern_kernels_get();
    int64_t panels = ceil_div(p->m, kernels->tile_rows);
    p->words = ceil_div(p->k, per_word);
    p->rows = panels > 0 ? (int)ceil_div(p->m, panels) : 1;
    p->columns = kernels->tile_columns;
    p->panels_a = ceil_div(p->m, p->rows);
    p->panels_b = ceil_div(p->n, p->columns);
}

static size_t scratch_of(int64_t m, int64_t n, int64_t k, int per_word)
{
    words_product p = {.m = m, .n = n, .k = k};
    lay_out(&p, per_word);
    return sizeof(uint32_t) * (size_t)((p.panels_a * p.rows + p.panels_b * p.columns) * p.words) + 64;
}

static void pack_task(void *context, int64_t task, int thread)
{
    const words_product *p = context;
    int64_t first = task * p->panels_per_task,
            last = min(first + p->panels_per_task, p->panels_a + p->panels_b);
    (void)thread;
    for (int64_t panel = first; panel < last; panel++) {
        if (panel < p->panels_a) {
            int64_t row = panel * p->rows;
            p->pack(p->a, p->first_a + row * p->k, p->k, min(p->rows, p->m - row), p->rows,
                    p->packed_a + row * p->words);
        } else {
            int64_t column = (panel - p->panels_a) * p->columns;
            p->pack(p->b, p->first_b + column * p->k, p->k, min(p->columns, p->n - column), p->columns,
                    p->packed_b + column * p->words);
        }
    }
}

static void multiply_panels(const words_product *p, int64_t row, int64_t column, int64_t word, bool add)
{
    int64_t rows = min(p->rows, p->m - row), columns = min(p->columns, p->n - column);
    int64_t words = min(WORD_BLOCK, p->words - word);
    const uint32_t *a = p->packed_a + row * p->words + word * p->rows;
    const uint32_t *b = p->packed_b + column * p->words + word * p->columns;
    int32_t *c = p->c + row * p->n + column;
    if (columns == p->columns) {
        p->tile[rows - 1](words, a, p->rows, b, c, p->n, add);
        return;
    }
    int32_t block[MAX_ROWS * MAX_COLUMNS];
    p->tile[rows - 1](words, a, p->rows, b, block, MAX_COLUMNS, false);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            int32_t *to = c + i * p->n + j;
            *to = add ? *to + block[i * MAX_COLUMNS + j] : block[i * MAX_COLUMNS + j];
        }
}

static void multiply_task(void *context, int64_t task, int thread)
{
    const words_product *p = context;
    int64_t tasks_n = ceil_div(p->panels_b, p->columns_per_task);
    int64_t from_m = task / tasks_n * p->rows_per_task, to_m = min(from_m + p->rows_per_task, p->panels_a);
    int64_t from_n = task % tasks_n * p->columns_per_task,
            to_n = min(from_n + p->columns_per_task, p->panels_b);
    (void)thread;
    for (int64_t word = 0; word < p->words; word += WORD_BLOCK)
        for (int64_t n = from_n; n < to_n; n++)
            for (int64_t m = from_m; m < to_m; m++)
                multiply_panels(p, m * p->rows, n * p->columns, word, p->accumulate || word > 0);
}

static void multiply(tern_pool *pool, words_product *p, int per_word, void *scratch)
{
    if (p->m <= 0 || p->n <= 0) return;
    if (p->k <= 0) {
        for (int64_t i = 0; !p->accumulate && i < p->m * p->n; i++) p->c[i] = 0;
        return;
    }
    lay_out(p, per_word);
    p->packed_a = scratch;
    p->packed_b = p->packed_a + p->panels_a * p->rows * p->words;
    if (p->m * p->n * p->words < SERIAL_WORDS) pool = NULL;
    p->panels_per_task = max(PACK_WORDS / (p->columns * p->words), 1);
    tern_pool_run(pool, ceil_div(p->panels_a + p->panels_b, p->panels_per_task), pack_task, p);
    p->rows_per_task = min(p->panels_a, 8);
    p->columns_per_task = min(p->panels_b, 8);
    while (p->columns_per_task > 1 &&
           ceil_div(p->panels_a, p->rows_per_task) * ceil_div(p->panels_b, p->columns_per_task) < 16)
        p->columns_per_task--;
    int64_t tasks = ceil_div(p->panels_a, p->rows_per_task) * ceil_div(p->panels_b, p->columns_per_task);
    tern_pool_run(pool, tasks, multiply_task, p);
}

size_t tern_binary_gemm_scratch(int64_t m, int64_t n, int64_t k)
{
    return scratch_of(m, n, k, 32);
}

void tern_binary_gemm(tern_pool *pool, int64_t m, int64_t n, int64_t k, const void *a, int64_t first_a,
                      const void *b, int64_t first_b, int32_t *c, void *scratch)
{
    const tern_kernels *kernels = tern_kernels_get();
    words_product p = {
        .m = m, .n = n, .k = k, .a = a, .first_a = first_a, .b = b, .first_b = first_b, .c = c};
    p.tile = kernels->binary_tile;
    p.pack = kernels->pack_binary;
    multiply(pool, &p, 32, scratch);
}

size_t tern_i8_gemm_scratch(int64_t m, int64_t n, int64_t k)
{
    return scratch_of(m, n, k, tern_kernels_get()->i8_per_word);
}

void tern_i8_gemm(tern_pool *pool, int64_t m, int64_t n, int64_t k, const int8_t *a, const int8_t *b,
                  int32_t *c, bool accumulate, void *scratch)
{
    const tern_kernels *kernels = tern_kernels_get();
    words_product p = {.m = m, .n = n, .k = k, .a = a, .b = b, .c = c, .accumulate = accumulate};
    p.tile = kernels->i8_tile;
    p.pack = kernels->pack_i8;
    multiply(pool, &p, kernels->i8_per_word, scratch);
}
