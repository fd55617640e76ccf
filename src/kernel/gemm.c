/* Products of matrices (the blocking of Goto & van de Geijn, "Anatomy of high-performance matrix multiplication",
 * TOMS 2008): panels of A and B are packed once into scratch, then blocks of C are computed as tasks.  k is cut into
 * blocks by its length alone, and each element of C adds the blocks in order: the bits depend on nothing else. */
#include "kernel/few_columns.h"

#include <string.h>

#define SUM_BLOCK   256 /* of k: a panel of A stays in the first-level cache, those of B in the second */
#define SLAB_FLOATS (2 * 1024 * 1024) /* packed at a time: fits a last-level cache */
#define SLAB_SPAN   2048              /* rows of A, rows of B packed at a time */
#define LOCAL_SPAN  512  /* a factor this narrow is packed whole, the other one by each task for itself */
#define LOCAL_SUMS  2048 /* for the whole factor is read by each task */
#define LOCAL_TASKS 16
#define SERIAL_MACS (256 * 1024) /* below this, waking threads costs more than it brings */
#define TASK_MACS   (256 * 1024) /* a task is at least this, when there are few */
#define PACK_FLOATS (32 * 1024)  /* packed by one task */
#define MAX_ROWS    16
#define MAX_COLUMNS 32

int64_t tern_sum_block(int64_t k)
{
    return k < 1 ? 1 : ceil_div(k, ceil_div(k, SUM_BLOCK));
}

/* How a product is cut. */
typedef struct layout {
    const tern_kernels *kernels;
    int rows, columns;               /* of a tile */
    int64_t sum_block;               /* of k, a multiple makes a slab */
    int64_t slab_rows, slab_columns; /* in panels */
    int64_t slab_sums, slab_batch;
    bool local_a, local_b;      /* packed a panel at a time by the task that needs it, not into scratch */
    int64_t a_floats, b_floats; /* of scratch, for one product of the slab */
} layout;

static layout lay_out(const tern_product *p)
{
    layout l = {.kernels = tern_kernels_get()};
    int64_t batch = p->batch > 0 ? p->batch : 1, k = p->k > 0 ? p->k : 1;
    l.columns = l.kernels->tile_columns;
    int64_t panels = ceil_div(p->m, l.kernels->tile_rows);
    l.rows = panels > 0 ? (int)ceil_div(p->m, panels) : 1; /* 15 rows are 8 + 7, not 14 + 1 */
    l.sum_block = tern_sum_block(k);
    l.slab_rows = panels;
    l.slab_columns = ceil_div(p->n, l.columns);
    l.local_b =
        !p->packed_b && p->m <= LOCAL_SPAN && k <= LOCAL_SUMS && l.slab_columns * batch >= LOCAL_TASKS;
    l.local_a = !l.local_b && p->n <= LOCAL_SPAN && k <= LOCAL_SUMS && l.slab_rows * batch >= LOCAL_TASKS;
    if (!l.local_a) l.slab_rows = min(l.slab_rows, SLAB_SPAN / l.rows);
    if (!l.local_b) l.slab_columns = min(l.slab_columns, SLAB_SPAN / l.columns);
    int64_t a_width = l.local_a ? 0 : l.slab_rows * l.rows;
    int64_t b_width = l.local_b || p->packed_b ? 0 : l.slab_columns * l.columns;
    int64_t blocks = SLAB_FLOATS / ((a_width + b_width + 1) * l.sum_block);
    l.slab_sums = min(ceil_div(k, l.sum_block), blocks > 0 ? blocks : 1) * l.sum_block;
    l.a_floats = a_width * l.slab_sums;
    l.b_floats = b_width * l.slab_sums;
    int64_t one = l.a_floats + l.b_floats;
    l.slab_batch = min(batch, one > 0 && one < SLAB_FLOATS ? SLAB_FLOATS / one : 1);
    if (l.slab_sums < k) l.slab_batch = 1;
    return l;
}

size_t tern_gemm_scratch(const tern_product *p)
{
    layout l = lay_out(p);
    size_t bytes = sizeof(float) * (size_t)(l.slab_batch * (l.a_floats + l.b_floats)) + 64;
    size_t few = tern_few_columns_scratch(p);
    return bytes > few ? bytes : few;
}

/* The part of a product that is worked on: products batch0 .., rows row0 .., columns column0 .., sums sum0 .. */
typedef struct slab {
    const tern_product *product;
    layout layout;
    int64_t batch0, batches, row0, rows, column0, columns, sum0, sums;
    float *a, *b;
    int64_t panels_a, panels_b, panels_per_task;       /* packing */
    int64_t tile_rows, tile_columns, tasks_m, tasks_n; /* panels a task, tasks along m and n */
} slab;

/* Packs `sums` of the slab's summed indices, from sum0 on, of one panel. */
static void pack_panel(const slab *s, bool is_a, int64_t batch, int64_t from, int64_t sum0, int64_t sums,
                       float *out)
{
    const layout *l = &s->layout;
    tern_factor factor = is_a ? s->product->a : s->product->b;
    factor.first += (s->batch0 + batch) * factor.batch_stride;
    int width = is_a ? l->rows : l->columns;
    int64_t span = is_a ? s->rows : s->columns;
    l->kernels->pack(&factor, (is_a ? s->row0 : s->column0) + from, min(width, span - from), width,
                     s->sum0 + sum0, sums, out);
}

static int64_t shared_a(const slab *s)
{
    return s->layout.local_a ? 0 : s->panels_a;
}

static int64_t shared_b(const slab *s)
{
    return s->layout.local_b || s->product->packed_b ? 0 : s->panels_b;
}

static void pack_task(void *context, int64_t task, int thread)
{
    const slab *s = context;
    const layout *l = &s->layout;
    int64_t panels = shared_a(s) + shared_b(s);
    int64_t first = task * s->panels_per_task, last = min(first + s->panels_per_task, s->batches * panels);
    (void)thread;
    for (int64_t i = first; i < last; i++) {
        int64_t batch = i / panels, panel = i % panels; // NOLINT(*DivideZero): no task without panels
        bool is_a = panel < shared_a(s);
        int64_t from = is_a ? panel * l->rows : (panel - shared_a(s)) * l->columns;
        float *out = is_a ? s->a + batch * l->a_floats : s->b + batch * l->b_floats;
        pack_panel(s, is_a, batch, from, 0, s->sums, out + from * s->sums);
    }
}

/* Before the first block of k: C becomes the bias, or what it held plus the bias. */
static void start_block(const tern_product *p, int64_t batch, float *c, int64_t row0, int64_t rows,
                        int64_t column0, int64_t columns)
{
    for (int64_t i = 0; i < rows; i++) {
        float *row = c + (row0 + i) * p->row_stride;
        float bias = p->row_bias ? p->row_bias[batch * p->m + row0 + i] : 0;
        for (int64_t j = 0; j < columns;) {
            int64_t at, run = tern_run_of(p, column0 + j, columns - j, &at);
            for (int64_t r = 0; r < run; r++) {
                float b = p->column_bias ? bias + p->column_bias[column0 + j + r] : bias;
                row[at + r] = p->accumulate ? row[at + r] + b : b;
            }
            j += run;
        }
    }
}

static void store_edge(const tern_product *p, const float *block, float *c, int64_t rows, int64_t column0,
                       int64_t columns, bool add)
{
    for (int64_t j = 0; j < columns;) {
        int64_t at, run = tern_run_of(p, column0 + j, columns - j, &at);
        for (int64_t i = 0; i < rows; i++) {
            float *to = c + i * p->row_stride + at;
            const float *from = block + i * MAX_COLUMNS + j;
            if (add)
                for (int64_t r = 0; r < run; r++) to[r] += from[r];
            else
                for (int64_t r = 0; r < run; r++) to[r] = from[r];
        }
        j += run;
    }
}

/* One panel of A times one of B. */
static void multiply(const slab *s, const float *a, const float *b, int64_t sums, float *c, int64_t row0,
                     int64_t rows, int64_t column0, int64_t columns, bool add)
{
    const tern_product *p = s->product;
    const tern_kernels *kernels = s->layout.kernels;
    bool half = columns <= kernels->tile_columns / 2;
    tern_tile *tile = (half ? kernels->half_tile : kernels->tile)[rows - 1];
    int64_t at, run = tern_run_of(p, column0, columns, &at);
    float *to = c + row0 * p->row_stride;

    if (run == columns && columns == (half ? kernels->tile_columns / 2 : kernels->tile_columns)) {
        tile(sums, a, s->layout.rows, b, to + at, p->row_stride, add);
        return;
    }
    float block[MAX_ROWS * MAX_COLUMNS];
    tile(sums, a, s->layout.rows, b, block, MAX_COLUMNS, false);
    store_edge(p, block, to, rows, column0, columns, add);
}

/* A task's part of the slab: panels [from_m, to_m) of A and [from_n, to_n) of B of one product. */
typedef struct part {
    int64_t batch, from_m, to_m, from_n, to_n;
    float *c;
    bool biased;
} part;

/* One block of k of a panel of A and one of B, from scratch or, when not NULL, from what the task packed itself. */
static void multiply_block(const slab *s, const part *t, int64_t m, int64_t n, int64_t k, const float *own_a,
                           const float *own_b)
{
    const tern_product *p = s->product;
    const layout *l = &s->layout;
    int64_t row = m * l->rows, column = n * l->columns;
    const float *a = s->a + t->batch * l->a_floats + row * s->sums + k * l->rows;
    const float *b = p->packed_b ? p->packed_b + (s->column0 + column) * p->k + (s->sum0 + k) * l->columns
                                 : s->b + t->batch * l->b_floats + column * s->sums + k * l->columns;
    multiply(s, own_a ? own_a : a, own_b ? own_b : b, min(l->sum_block, s->sums - k), t->c, s->row0 + row,
             min(l->rows, s->rows - row), s->column0 + column, min(l->columns, s->columns - column),
             p->accumulate || t->biased || s->sum0 + k > 0);
}

static void multiply_shared(const slab *s, const part *t)
{
    if (s->panels_a <= 2) { /* B is read once, in the order in which it lies */
        for (int64_t n = t->from_n; n < t->to_n; n++)
            for (int64_t k = 0; k < s->sums; k += s->layout.sum_block)
                for (int64_t m = t->from_m; m < t->to_m; m++) multiply_block(s, t, m, n, k, NULL, NULL);
        return;
    }
    for (int64_t k = 0; k < s->sums; k += s->layout.sum_block)
        for (int64_t n = t->from_n; n < t->to_n; n++)
            for (int64_t m = t->from_m; m < t->to_m; m++) multiply_block(s, t, m, n, k, NULL, NULL);
}

static void multiply_local_a(const slab *s, const part *t)
{
    _Alignas(64) float own[SUM_BLOCK * MAX_ROWS];
    for (int64_t m = t->from_m; m < t->to_m; m++)
        for (int64_t k = 0; k < s->sums; k += s->layout.sum_block) {
            int64_t sums = min(s->layout.sum_block, s->sums - k);
            pack_panel(s, true, t->batch, m * s->layout.rows, k, sums, own);
            for (int64_t n = t->from_n; n < t->to_n; n++) multiply_block(s, t, m, n, k, own, NULL);
        }
}

static void multiply_local_b(const slab *s, const part *t)
{
    _Alignas(64) float own[SUM_BLOCK * MAX_COLUMNS];
    for (int64_t n = t->from_n; n < t->to_n; n++)
        for (int64_t k = 0; k < s->sums; k += s->layout.sum_block) {
            int64_t sums = min(s->layout.sum_block, s->sums - k);
            pack_panel(s, false, t->batch, n * s->layout.columns, k, sums, own);
            for (int64_t m = t->from_m; m < t->to_m; m++) multiply_block(s, t, m, n, k, NULL, own);
        }
}

static void multiply_task(void *context, int64_t task, int thread)
{
    const slab *s = context;
    const tern_product *p = s->product;
    const layout *l = &s->layout;
    part t = {.batch = task / (s->tasks_m * s->tasks_n)};
    t.from_m = task / s->tasks_n % s->tasks_m * s->tile_rows;
    t.from_n = task % s->tasks_n * s->tile_columns;
    t.to_m = min(t.from_m + s->tile_rows, s->panels_a);
    t.to_n = min(t.from_n + s->tile_columns, s->panels_b);
    t.c = p->c + (s->batch0 + t.batch) * p->batch_stride;
    t.biased = p->row_bias || p->column_bias;
    (void)thread;

    if (t.biased && s->sum0 == 0) {
        int64_t row = t.from_m * l->rows, column = t.from_n * l->columns;
        start_block(p, s->batch0 + t.batch, t.c, s->row0 + row, min(t.to_m * l->rows, s->rows) - row,
                    s->column0 + column, min(t.to_n * l->columns, s->columns) - column);
    }
    if (l->local_a)
        multiply_local_a(s, &t);
    else if (l->local_b)
        multiply_local_b(s, &t);
    else
        multiply_shared(s, &t);
}

/* How many panels of A and B a task takes: enough tasks for many threads, each long enough. */
static void cut_tasks(slab *s)
{
    const layout *l = &s->layout;
    int64_t m = s->panels_a, n = s->panels_b, block = l->rows * l->columns * s->sums;
    if (l->local_a) {
        s->tile_columns = n;
        s->tile_rows = max(min(8, m * s->batches / LOCAL_TASKS), 1);
        return;
    }
    if (l->local_b) {
        s->tile_rows = m;
        s->tile_columns = max(min(8, n * s->batches / LOCAL_TASKS), 1);
        return;
    }
    s->tile_rows = min(m, 20);
    s->tile_columns = min(n, m <= 2 ? 2 : 8);
    while (s->tile_columns > 1 && s->tile_rows * s->tile_columns * block > TASK_MACS &&
           s->batches * ceil_div(m, s->tile_rows) * ceil_div(n, s->tile_columns) < 16)
        s->tile_columns--;
    while (s->tile_rows > 1 && s->tile_rows * block > TASK_MACS &&
           s->batches * ceil_div(m, s->tile_rows) * n < 8)
        s->tile_rows--;
}

/* Packs the slab's panels, then multiplies them. */
static void run_slab(tern_pool *pool, slab *s)
{
    const layout *l = &s->layout;
    s->panels_a = ceil_div(s->rows, l->rows);
    s->panels_b = ceil_div(s->columns, l->columns);

    int64_t panels = s->batches * (shared_a(s) + shared_b(s));
    s->panels_per_task = ceil_div(PACK_FLOATS, l->columns * s->sums);
    tern_pool_run(pool, ceil_div(panels, s->panels_per_task), pack_task, s);
    cut_tasks(s);
    s->tasks_m = ceil_div(s->panels_a, s->tile_rows);
    s->tasks_n = ceil_div(s->panels_b, s->tile_columns);
    tern_pool_run(pool, s->batches * s->tasks_m * s->tasks_n, multiply_task, s);
}

/* k = 0: the sum is empty, C is its bias. */
static void empty_sum(const tern_product *p)
{
    for (int64_t batch = 0; batch < (p->batch > 0 ? p->batch : 1); batch++)
        start_block(p, batch, p->c + batch * p->batch_stride, 0, p->m, 0, p->n);
}

void tern_gemm(tern_pool *pool, const tern_product *p, void *scratch)
{
    int64_t batch = p->batch > 0 ? p->batch : 1;
    if (p->m <= 0 || p->n <= 0) return;
    if (p->k <= 0) {
        empty_sum(p);
        return;
    }
    if (tern_few_columns_fits(p)) {
        tern_few_columns(pool, p, scratch);
        return;
    }
    slab s = {.product = p, .layout = lay_out(p)};
    const layout *l = &s.layout;
    int64_t span_m = l->slab_rows * l->rows, span_n = l->slab_columns * l->columns;
    s.a = scratch;
    s.b = s.a + ceil_div(l->slab_batch * l->a_floats, 16) * 16;
    if (p->m * p->n * p->k * batch < SERIAL_MACS) pool = NULL;

    for (s.batch0 = 0; s.batch0 < batch; s.batch0 += l->slab_batch)
        for (s.column0 = 0; s.column0 < p->n; s.column0 += span_n)
            for (s.row0 = 0; s.row0 < p->m; s.row0 += span_m)
                for (s.sum0 = 0; s.sum0 < p->k; s.sum0 += l->slab_sums) {
                    s.batches = min(l->slab_batch, batch - s.batch0);
                    s.columns = min(span_n, p->n - s.column0);
                    s.rows = min(span_m, p->m - s.row0);
                    s.sums = min(l->slab_sums, p->k - s.sum0);
                    run_slab(pool, &s);
                }
}

/* ---- packed weights ---------------------------------------------------------------------------------- */

typedef struct packing {
    const tern_factor *b;
    int64_t n, k;
    float *packed;
} packing;

static void pack_b_task(void *context, int64_t task, int thread)
{
    const packing *p = context;
    const tern_kernels *kernels = tern_kernels_get();
    int64_t column = task * kernels->tile_columns;
    (void)thread;
    kernels->pack(p->b, column, min(kernels->tile_columns, p->n - column), kernels->tile_columns, 0, p->k,
                  p->packed + column * p->k);
}

size_t tern_pack_bytes(int64_t n, int64_t k)
{
    int columns = tern_kernels_get()->tile_columns;
    return sizeof(float) * (size_t)(ceil_div(n, columns) * columns * k);
}

void tern_pack(tern_pool *pool, const tern_factor *b, int64_t n, int64_t k, float *packed)
{
    packing p = {b, n, k, packed};
    tern_pool_run(pool, ceil_div(n, tern_kernels_get()->tile_columns), pack_b_task, &p);
}
