/* Products with packed weights: rows of W are tasks, rows of x go through each in groups. */
#include "kernel/packed.h"

#include "kernel/attend.h"
#include "kernel/cast.h"
#include "kernel/table.h"

#include "tensor/packed.h"

#include <math.h>
#include <string.h>

/* Of W a task, at least, and tasks at most; of a row that are unpacked at once. */
enum { TASK_ELEMENTS = 64 * 1024, TASKS = 16, UNPACKED = 1024 };

static tern_packed_dot *dot_of(tern_dtype dtype)
{
    return tern_kernels_get()->packed_dot[dtype];
}

/* What takes many rows of x at once, where this product has them. */
static tern_packed_block *block_of(const tern_packed_product *p)
{
    const tern_kernels *kernels = tern_kernels_get();
    return p->rows >= kernels->block_from ? kernels->packed_block[p->dtype] : NULL;
}

bool tern_packed_many(tern_dtype dtype)
{
    const tern_kernels *kernels = tern_kernels_get();
    return kernels->many_block && kernels->many_block[dtype];
}

/* Halves in any program: few rows of x are taken as they are. */
static bool takes_many(const tern_packed_product *p)
{
    bool half = p->dtype == TERN_F16 || p->dtype == TERN_BF16;
    return p->many || (half && p->rows > TERN_ALIKE && tern_packed_many(p->dtype));
}

static tern_packed_few *few_of(tern_dtype dtype)
{
    return tern_kernels_get()->packed_few[dtype];
}

bool tern_packed_rounds(tern_dtype dtype, int *block)
{
    *block = tern_dtype_of(dtype)->block;
    return dot_of(dtype) || few_of(dtype);
}

tern_dtype tern_packed_arithmetic(tern_dtype dtype)
{
    static const bool rounds[TERN_DTYPES] = {
        [TERN_Q4_0] = true, [TERN_Q4_1] = true, [TERN_Q5_0] = true,    [TERN_Q5_1] = true,
        [TERN_Q8_0] = true, [TERN_Q2_K] = true, [TERN_Q3_K] = true,    [TERN_Q4_K] = true,
        [TERN_Q5_K] = true, [TERN_Q6_K] = true, [TERN_TERNARY] = true,
    };
    if (dtype == TERN_F16 || dtype == TERN_BF16 || dtype == TERN_I8) return dtype;
    return rounds[dtype] ? TERN_I8 : TERN_F32;
}

/* Bytes of one row of x: q, then scale, sum32, sum16, whole, half. */
static size_t row_bytes(int64_t k)
{
    size_t n = (size_t)tern_whole_blocks(k);
    return n + (n / 32 + n / 32 + n / 16) * sizeof(float) + (n / 32 + n / 16) * sizeof(int16_t);
}

static int64_t panels_of(const tern_packed_product *p)
{
    return (p->rows + TERN_PANEL - 1) / TERN_PANEL;
}

size_t tern_packed_scratch(const tern_packed_product *product)
{
    int block;
    size_t row = row_bytes(product->k), panels = (size_t)panels_of(product);
    if (takes_many(product)) return panels * tern_many_bytes(product->dtype, product->k);
    if (!tern_packed_rounds(product->dtype, &block)) return 0;
    if (!block_of(product)) return (size_t)product->rows * row;
    return panels * (TERN_PANEL * row + tern_panel_bytes(product->k));
}

static tern_bytes_row row_at(void *scratch, int64_t k, int64_t row)
{
    char *base = (char *)scratch + (size_t)row * row_bytes(k);
    int64_t n = tern_whole_blocks(k);
    float *scale = (float *)(void *)(base + n), *sum32 = scale + n / 32, *sum16 = sum32 + n / 32;
    int16_t *whole = (int16_t *)(void *)(sum16 + n / 16);
    return (tern_bytes_row){(int8_t *)base, scale, sum32, sum16, whole, whole + n / 32};
}

typedef struct tern_packed_job {
    const tern_packed_product *p;
    void *scratch, *panels;
    int64_t rows_per_task;
    tern_rounding rounding;
    tern_packed_dot *dot;
    tern_packed_few *few;
    tern_half_dot *half;
    tern_packed_split *split;
    tern_packed_block *block;
    tern_packed_many_block *many;
} tern_packed_job;

static void round_task(void *context, int64_t task, int thread)
{
    const tern_packed_job *j = context;
    int64_t k = j->p->k;
    (void)thread;
    tern_kernels_get()->round_row(k, j->p->x + task * k, j->rounding, row_at(j->scratch, k, task));
}

/* Sixteen rows, and from them a panel: all its parts are words that change places. */
static void panel_task(void *context, int64_t task, int thread)
{
    const tern_packed_job *j = context;
    int64_t k = j->p->k, n = tern_whole_blocks(k), step = (int64_t)row_bytes(k) / 4,
            first = task * TERN_PANEL;
    tern_bytes_panel to = tern_panel_at(j->panels, k, task);
    tern_bytes_row row = row_at(j->scratch, k, first);
    for (int64_t r = first; r < first + TERN_PANEL; r++) {
        if (r < j->p->rows)
            round_task(context, r, thread);
        else
            memset(row_at(j->scratch, k, r).q, 0, row_bytes(k));
    }
    void (*turn)(int64_t, int64_t, const float *, int64_t, float *, int64_t) = tern_kernels_get()->turn;
    turn(TERN_PANEL, n / 4, (const float *)(const void *)row.q, step, (float *)(void *)to.q, TERN_PANEL);
    turn(TERN_PANEL, n / 32, row.scale, step, to.scale, TERN_PANEL);
    turn(TERN_PANEL, n / 32, row.sum32, step, to.sum, TERN_PANEL);
    turn(TERN_PANEL, n / 64, (const float *)(const void *)row.whole, step, (float *)(void *)to.whole,
         TERN_PANEL);
}

static void split_task(void *context, int64_t task, int thread)
{
    const tern_packed_job *j = context;
    (void)thread;
    j->split(j->p, task, j->panels);
}

static void block_task(void *context, int64_t task, int thread)
{
    const tern_packed_job *j = context;
    (void)thread;
    j->block(j->p, j->panels, task * j->rows_per_task);
}

static void store(const tern_packed_product *p, int64_t n, int64_t row, int rows, const float *y)
{
    for (int r = 0; r < rows; r++) p->y[(row + r) * p->n + n] = y[r] + (p->bias ? p->bias[n] : 0);
}

static int rows_from(const tern_packed_product *p, int64_t row)
{
    return p->rows - row < TERN_PACKED_ROWS ? (int)(p->rows - row) : TERN_PACKED_ROWS;
}

static void bytes_row(const tern_packed_job *j, int64_t n, const uint8_t *w)
{
    float y[TERN_PACKED_ROWS];
    tern_bytes_row x[TERN_PACKED_ROWS];
    for (int64_t row = 0; row < j->p->rows; row += TERN_PACKED_ROWS) {
        int rows = rows_from(j->p, row);
        for (int r = 0; r < rows; r++) x[r] = row_at(j->scratch, j->p->k, row + r);
        j->dot(j->p->k, w, x, rows, y);
        store(j->p, n, row, rows, y);
    }
}

/* Elements [first, first + count) of W, whole blocks, single halves, or any of the formats that run on from row to row. */
static void unpack(tern_dtype dtype, const uint8_t *w, int64_t first, int64_t count, float *out)
{
    if (dtype == TERN_NF4) {
        tern_nf4_part(w, first, count, out);
        return;
    }
    if (dtype == TERN_NF4X2) {
        tern_nf4x2_part(w, first, count, out);
        return;
    }
    const tern_dtype_info *info = tern_dtype_of(dtype);
    tern_cast_piece *to_f32 = tern_kernels_get()->casts->to_f32[dtype];
    if (info->unpack)
        for (int64_t i = 0; i < count; i += info->block)
            info->unpack(w + (first + i) / info->block * info->bytes, out + i);
    else
        to_f32(count, w + 2 * first, out);
}

static void float_row(const tern_packed_job *j, int64_t n)
{
    const tern_packed_product *p = j->p;
    float part[UNPACKED], y[TERN_PACKED_ROWS];
    for (int64_t first = 0; first < p->k; first += UNPACKED) {
        int64_t count = p->k - first < UNPACKED ? p->k - first : UNPACKED;
        unpack(p->dtype, p->w, n * p->k + first, count, part);
        for (int64_t row = 0; row < p->rows; row += TERN_PACKED_ROWS) {
            int rows = rows_from(p, row);
            tern_kernels_get()->float_dot(count, part, p->x + row * p->k + first, p->k, rows, y);
            for (int r = 0; first && r < rows; r++) y[r] += p->y[(row + r) * p->n + n];
            for (int r = 0; r < rows; r++) p->y[(row + r) * p->n + n] = y[r];
        }
    }
    for (int64_t row = 0; p->bias && row < p->rows; row++) p->y[row * p->n + n] += p->bias[n];
}

static void half_row(const tern_packed_job *j, int64_t n)
{
    const tern_packed_product *p = j->p;
    float y[TERN_PACKED_ROWS];
    for (int64_t row = 0; row < p->rows; row += TERN_PACKED_ROWS) {
        int rows = rows_from(p, row);
        j->half(p->dtype, p->k, (const uint16_t *)p->w + n * p->k, p->x + row * p->k, p->k, rows, y);
        store(p, n, row, rows, y);
    }
}

static void product_task(void *context, int64_t task, int thread)
{
    const tern_packed_job *j = context;
    const tern_packed_product *p = j->p;
    size_t bytes = j->dot ? tern_bytes_of(p->dtype, p->k) : 0;
    int64_t first = task * j->rows_per_task,
            last = first + j->rows_per_task < p->n ? first + j->rows_per_task : p->n;
    (void)thread;
    for (int64_t n = first; n < last; n++) {
        if (j->dot)
            bytes_row(j, n, (const uint8_t *)p->w + (size_t)n * bytes);
        else if (j->half)
            half_row(j, n);
        else
            float_row(j, n);
    }
}

/* Sixteen rows of W, again and again. */
static void few_task(void *context, int64_t task, int thread)
{
    const tern_packed_job *j = context;
    const tern_packed_product *p = j->p;
    size_t bytes = tern_bytes_of(p->dtype, p->k);
    float y[TERN_PACKED_ROWS * TERN_PANEL];
    tern_bytes_row x[TERN_PACKED_ROWS];
    (void)thread;
    for (int64_t n = task * j->rows_per_task; n < p->n && n < (task + 1) * j->rows_per_task;
         n += TERN_PANEL) {
        int count = p->n - n < TERN_PANEL ? (int)(p->n - n) : TERN_PANEL;
        for (int64_t row = 0; row < p->rows; row += TERN_PACKED_ROWS) {
            int rows = rows_from(p, row);
            for (int r = 0; r < rows; r++) x[r] = row_at(j->scratch, p->k, row + r);
            j->few(p->k, (const uint8_t *)p->w + (size_t)n * bytes, bytes, count, x, rows, y);
            for (int r = 0; r < rows; r++)
                for (int i = 0; i < count; i++)
                    p->y[(row + r) * p->n + n + i] = y[r * TERN_PANEL + i] + (p->bias ? p->bias[n + i] : 0);
        }
    }
}

static void run_rows(tern_pool *pool, tern_packed_job *j)
{
    const tern_packed_product *p = j->p;
    /* Few tasks: what stands behind the end of one is asked for in vain. */
    int64_t at_once = j->few ? TERN_PANEL : 4, least = TASK_ELEMENTS / p->k, part = p->n / TASKS;
    j->rows_per_task = ((least > part ? least : part) + at_once) / at_once * at_once;
    if ((j->dot || j->few) && p->rows > 1)
        tern_pool_run(pool, p->rows, round_task, j);
    else if ((j->dot || j->few) && p->rows)
        round_task(j, 0, 0);
    tern_pool_run(pool, (p->n + j->rows_per_task - 1) / j->rows_per_task, j->few ? few_task : product_task,
                  j);
}

static void many_task(void *context, int64_t task, int thread)
{
    const tern_packed_job *j = context;
    int64_t first = task * j->rows_per_task, left = j->p->n - first;
    (void)thread;
    j->many(j->p, j->panels, first, left < j->rows_per_task ? left : j->rows_per_task);
}

static void run_many(tern_pool *pool, const tern_packed_product *p, void *scratch)
{
    enum {
        LEAST_TASKS = 4,
        WHOLE = 32
    }; /* where there are few rows of W, of which tasks have multiples of 32 */
    const tern_kernels *kernels = tern_kernels_get();
    tern_packed_job j = {.p = p, .panels = scratch, .rows_per_task = TERN_MANY_ROWS};
    j.split = kernels->many_split;
    j.many = kernels->many_block[p->dtype];
    if (p->n < LEAST_TASKS * TERN_MANY_ROWS)
        j.rows_per_task = (p->n + LEAST_TASKS * WHOLE - 1) / (LEAST_TASKS * WHOLE) * WHOLE;
    tern_pool_run(pool, panels_of(p), split_task, &j);
    tern_pool_run(pool, (p->n + j.rows_per_task - 1) / j.rows_per_task, many_task, &j);
}

void tern_packed_run(tern_pool *pool, const tern_packed_product *product, void *scratch)
{
    if (takes_many(product)) {
        run_many(pool, product, scratch);
        return;
    }
    int64_t panels = panels_of(product);
    tern_dtype dtype = product->dtype;
    bool sums = dtype == TERN_Q4_1 || dtype == TERN_Q5_1, wide = tern_dtype_of(dtype)->block == 256;
    tern_packed_job j = {.p = product, .scratch = scratch, .dot = dot_of(dtype)};
    j.few = few_of(dtype);
    j.half = dtype == TERN_F16 || dtype == TERN_BF16 ? tern_kernels_get()->half_dot : NULL;
    j.block = block_of(product);
    j.rounding = wide ? TERN_ROUND_256 : sums ? TERN_ROUND_32_SUMS : TERN_ROUND_32;
    if (!j.block) {
        run_rows(pool, &j);
        return;
    }
    j.panels = scratch; /* first, for their alignment */
    j.scratch = (char *)scratch + (size_t)panels * tern_panel_bytes(product->k);
    tern_pool_run(pool, panels, panel_task, &j);
    j.rows_per_task = TERN_BLOCK_ROWS;
    tern_pool_run(pool, (product->n + j.rows_per_task - 1) / j.rows_per_task, block_task, &j);
}
