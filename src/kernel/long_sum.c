/* Products whose sum is long and whose result is small, as a weight gradient over many images: k is cut into chunks, one
 * a task, that pack and multiply for themselves into a result of their own; the chunks' results are then added in order.
 * The cut depends on the problem alone. */
#include "kernel/gemm.h"

#include <string.h>

#define CHUNKS         16
#define PARTIAL_FLOATS (2 * 1024 * 1024) /* of all chunks' results */
#define MAX_SPAN       1024              /* rows of a result that a chunk can pack at once */
#define MAX_COLUMNS    32
#define MAX_BLOCK      256
#define ADD_FLOATS     4096 /* of the result, added by one task */

typedef struct long_sum {
    const tern_product *product;
    const tern_kernels *kernels;
    int rows, columns;
    int64_t panels_a, panels_b, block, blocks, blocks_per_chunk, chunks, padded;
    float *partial, *packed; /* a chunk's result [m, padded], and its packed block of A */
    int64_t batch;
} long_sum;

static long_sum lay_out(const tern_product *p)
{
    long_sum l = {.product = p, .kernels = tern_kernels_get(), .block = tern_sum_block(p->k)};
    l.panels_a = ceil_div(p->m, l.kernels->tile_rows);
    l.rows = l.panels_a > 0 ? (int)ceil_div(p->m, l.panels_a) : 1;
    l.columns = l.kernels->tile_columns;
    l.panels_b = ceil_div(p->n, l.columns);
    l.padded = l.panels_b * l.columns;
    l.blocks = ceil_div(p->k, l.block);
    l.blocks_per_chunk = max(ceil_div(l.blocks, CHUNKS), 1);
    l.chunks = ceil_div(l.blocks, l.blocks_per_chunk);
    return l;
}

bool tern_long_sum_fits(const tern_product *p)
{
    long_sum l = lay_out(p);
    return p->m > 0 && p->n > 0 && p->m <= MAX_SPAN && l.chunks >= 2 &&
           l.chunks * p->m * l.padded <= PARTIAL_FLOATS;
}

size_t tern_long_sum_scratch(const tern_product *p)
{
    long_sum l = lay_out(p);
    return sizeof(float) * (size_t)(l.chunks * (p->m * l.padded + l.panels_a * l.rows * l.block)) + 64;
}

static void pack(const long_sum *l, const tern_factor *from, int64_t free0, int64_t span, int width,
                 int64_t sum0, int64_t sums, float *out)
{
    tern_factor factor = *from;
    factor.first += l->batch * factor.batch_stride;
    l->kernels->pack(&factor, free0, min(width, span - free0), width, sum0, sums, out);
}

static void chunk_task(void *context, int64_t chunk, int thread)
{
    const long_sum *l = context;
    const tern_product *p = l->product;
    float *c = l->partial + chunk * p->m * l->padded,
          *a = l->packed + chunk * l->panels_a * l->rows * l->block;
    int64_t first = chunk * l->blocks_per_chunk, last = min(first + l->blocks_per_chunk, l->blocks);
    _Alignas(64) float b[MAX_BLOCK * MAX_COLUMNS];
    tern_tile *const *tile = p->n <= l->columns / 2 ? l->kernels->half_tile : l->kernels->tile;
    (void)thread;

    for (int64_t block = first; block < last; block++) {
        int64_t sum0 = block * l->block, sums = min(l->block, p->k - sum0);
        for (int64_t m = 0; m < l->panels_a; m++)
            pack(l, &p->a, m * l->rows, p->m, l->rows, sum0, sums, a + m * l->rows * sums);
        for (int64_t n = 0; n < l->panels_b; n++) {
            pack(l, &p->b, n * l->columns, p->n, l->columns, sum0, sums, b);
            for (int64_t m = 0; m < l->panels_a; m++) {
                int64_t row = m * l->rows, rows = min(l->rows, p->m - row);
                tile[rows - 1](sums, a + row * sums, l->rows, b, c + row * l->padded + n * l->columns,
                               l->padded, block > first);
            }
        }
    }
}

static void add_task(void *context, int64_t task, int thread)
{
    const long_sum *l = context;
    const tern_product *p = l->product;
    int64_t rows = max(ADD_FLOATS / p->n, 1), last = min((task + 1) * rows, p->m);
    (void)thread;
    for (int64_t i = task * rows; i < last; i++) {
        float *c = p->c + l->batch * p->batch_stride + i * p->row_stride;
        if (!p->accumulate) memset(c, 0, sizeof *c * (size_t)p->n);
        for (int64_t chunk = 0; chunk < l->chunks; chunk++) {
            const float *from = l->partial + (chunk * p->m + i) * l->padded;
            for (int64_t j = 0; j < p->n; j++) c[j] += from[j];
        }
    }
}

void tern_long_sum(tern_pool *pool, const tern_product *p, void *scratch)
{
    long_sum l = lay_out(p);
    l.partial = scratch;
    l.packed = l.partial + l.chunks * p->m * l.padded;
    for (l.batch = 0; l.batch < max(p->batch, 1); l.batch++) {
        tern_pool_run(pool, l.chunks, chunk_task, &l);
        tern_pool_run(pool, ceil_div(p->m, max(ADD_FLOATS / p->n, 1)), add_task, &l);
    }
}
