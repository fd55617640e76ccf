/* The driver of the row-adding kernels: panels of B are packed as for a product, the ones of each row become lists of
 * positions per block of k, and blocks of C are tasks.  Blocks and order of the sums are tern_gemm's, so the bits are
 * the same: adding 0 * w changes nothing. */
#include "kernel/sparse.h"

#include <string.h>

#define SLAB_FLOATS  (2 * 1024 * 1024) /* of B packed at a time */
#define SLAB_LISTS   (2 * 1024 * 1024) /* positions listed at a time */
#define SLAB_COLUMNS 4096
#define TASK_ROWS    128
#define MAX_COLUMNS  32

typedef struct layout {
    const tern_kernels *kernels;
    int columns;
    int64_t block;                   /* of k */
    int64_t slab_columns, slab_sums; /* of B, whole panels and blocks */
    int64_t slab_rows;
} layout;

static layout lay_out(int64_t m, int64_t n, int64_t k)
{
    layout l = {.kernels = tern_kernels_get(), .block = tern_sum_block(k)};
    l.columns = l.kernels->tile_columns;
    l.slab_columns = min(ceil_div(n, l.columns) * l.columns, SLAB_COLUMNS);
    int64_t blocks = max(SLAB_FLOATS / (max(l.slab_columns, 1) * l.block), 1);
    l.slab_sums = min(ceil_div(k, l.block), blocks) * l.block;
    l.slab_rows = min(max(m, 1), max(SLAB_LISTS / max(l.slab_sums, 1), TASK_ROWS));
    return l;
}

static size_t lists_bytes(const layout *l)
{
    return (size_t)(ceil_div(l->slab_rows * l->slab_sums + 64, 64) * 64);
}

static size_t counts_bytes(const layout *l)
{
    return (size_t)ceil_div(l->slab_rows * (l->slab_sums / l->block) * 2, 64) * 64;
}

size_t tern_sparse_scratch(int64_t m, int64_t n, int64_t k)
{
    layout l = lay_out(m, n, k);
    return (size_t)(l.slab_columns * l.slab_sums) * sizeof(float) + lists_bytes(&l) + counts_bytes(&l);
}

typedef struct slab {
    const tern_sparse *sparse;
    layout layout;
    int64_t row0, rows, column0, columns, sum0, sums, blocks;
    int64_t panels_per_task, tasks_n;
    float *b;
    uint8_t *lists;
    uint16_t *counts;
} slab;

static void pack_task(void *context, int64_t task, int thread)
{
    const slab *s = context;
    int64_t from = task * s->layout.columns;
    (void)thread;
    s->layout.kernels->pack(&s->sparse->b, s->column0 + from, min(s->layout.columns, s->columns - from),
                            s->layout.columns, s->sum0, s->sums, s->b + from * s->sums);
}

/* A full list (64 positions too many may be written) may not run into the next: the last block's goes by a buffer. */
static void list_task(void *context, int64_t task, int thread)
{
    const slab *s = context;
    const tern_sparse *p = s->sparse;
    int64_t last = min((task + 1) * TASK_ROWS, s->rows);
    (void)thread;
    for (int64_t i = task * TASK_ROWS; i < last; i++)
        for (int64_t block = 0; block < s->blocks; block++) {
            uint8_t list[256 + 64];
            int64_t from = block * s->layout.block, count = min(s->layout.block, s->sums - from);
            int found = s->layout.kernels->list_bits(
                p->x, p->first + (s->row0 + i) * p->x_stride + s->sum0 + from, (int)count, list);
            memcpy(s->lists + i * s->layout.slab_sums + from, list, (size_t)found);
            s->counts[i * s->blocks + block] = (uint16_t)found;
        }
}

/* Before the first block of k. */
static void start_block(const tern_sparse *p, int64_t row0, int64_t rows, int64_t column0, int64_t columns)
{
    for (int64_t i = row0; i < row0 + rows; i++)
        for (int64_t j = column0; j < column0 + columns; j++) {
            float *c = p->c + i * p->row_stride + j * p->column_stride;
            *c = p->accumulate ? *c + p->bias[j] : p->bias[j];
        }
}

/* A task's part of the slab: rows and, panel by panel, columns of C. */
typedef struct part {
    int64_t row, rows, column, columns; /* in C, this panel's */
    const uint8_t *lists;
    const uint16_t *counts;
    const float *b;
    bool add;
} part;

static void add_block(const slab *s, const part *t, int64_t block, float *c, int64_t row_stride, bool add)
{
    const layout *l = &s->layout;
    l->kernels->add_rows(t->rows, t->lists + block * l->block, l->slab_sums, t->counts + block, s->blocks,
                         t->b + block * l->block * l->columns, c, row_stride, add);
}

/* C row by row; a panel that is cut at the right edge goes through a square of its own. */
static void add_straight(const slab *s, const part *t)
{
    const tern_sparse *p = s->sparse;
    float *c = p->c + t->row * p->row_stride + t->column;
    for (int64_t block = 0; block < s->blocks; block++) {
        bool add = t->add || block > 0;
        if (t->columns == s->layout.columns) {
            add_block(s, t, block, c, p->row_stride, add);
            continue;
        }
        float square[TASK_ROWS * MAX_COLUMNS];
        add_block(s, t, block, square, MAX_COLUMNS, false);
        for (int64_t i = 0; i < t->rows; i++)
            for (int64_t j = 0; j < t->columns; j++) {
                float *to = c + i * p->row_stride + j, from = square[i * MAX_COLUMNS + j];
                *to = add ? *to + from : from;
            }
    }
}

/* C column by column: the square is turned out of C and back. */
static void add_turned(const slab *s, const part *t)
{
    const tern_sparse *p = s->sparse;
    const tern_kernels *kernels = s->layout.kernels;
    float square[TASK_ROWS * MAX_COLUMNS] = {0}, *c = p->c + t->row + t->column * p->column_stride;
    if (t->add) kernels->turn(t->columns, t->rows, c, p->column_stride, square, MAX_COLUMNS);
    for (int64_t block = 0; block < s->blocks; block++)
        add_block(s, t, block, square, MAX_COLUMNS, t->add || block > 0);
    kernels->turn(t->rows, t->columns, square, MAX_COLUMNS, c, p->column_stride);
}

static void add_task(void *context, int64_t task, int thread)
{
    const slab *s = context;
    const tern_sparse *p = s->sparse;
    const layout *l = &s->layout;
    int64_t from_row = task / s->tasks_n * TASK_ROWS, width = s->panels_per_task * l->columns;
    int64_t from = task % s->tasks_n * width, to = min(from + width, s->columns);
    part t = {.row = s->row0 + from_row, .rows = min(TASK_ROWS, s->rows - from_row)};
    t.lists = s->lists + from_row * l->slab_sums;
    t.counts = s->counts + from_row * s->blocks;
    t.add = p->accumulate || p->bias || s->sum0 > 0;
    (void)thread;

    if (p->bias && s->sum0 == 0) start_block(p, t.row, t.rows, s->column0 + from, to - from);
    for (int64_t j = from; j < to; j += l->columns) {
        t.b = s->b + j * s->sums;
        t.column = s->column0 + j;
        t.columns = min(l->columns, s->columns - j);
        if (p->column_stride == 1)
            add_straight(s, &t);
        else
            add_turned(s, &t);
    }
}

void tern_sparse_run(tern_pool *pool, const tern_sparse *p, void *scratch)
{
    slab s = {.sparse = p, .layout = lay_out(p->m, p->n, p->k)};
    const layout *l = &s.layout;
    s.b = scratch;
    s.lists = (uint8_t *)scratch + (size_t)(l->slab_columns * l->slab_sums) * sizeof(float);
    s.counts = (uint16_t *)(s.lists + lists_bytes(l));

    for (s.column0 = 0; s.column0 < p->n; s.column0 += l->slab_columns)
        for (s.sum0 = 0; s.sum0 < p->k; s.sum0 += l->slab_sums) {
            s.columns = min(l->slab_columns, p->n - s.column0);
            s.sums = min(l->slab_sums, p->k - s.sum0);
            s.blocks = ceil_div(s.sums, l->block);
            tern_pool_run(pool, ceil_div(s.columns, l->columns), pack_task, &s);
            for (s.row0 = 0; s.row0 < p->m; s.row0 += l->slab_rows) {
                s.rows = min(l->slab_rows, p->m - s.row0);
                int64_t tasks_m = ceil_div(s.rows, TASK_ROWS), panels = ceil_div(s.columns, l->columns);
                s.panels_per_task = max(min(panels, tasks_m * panels / 16), 1);
                s.tasks_n = ceil_div(panels, s.panels_per_task);
                tern_pool_run(pool, tasks_m, list_task, &s);
                tern_pool_run(pool, tasks_m * s.tasks_n, add_task, &s);
            }
        }
}
