/* Products with packed weights: rows of W are tasks, rows of x go through each in groups. */
#include "kernel/packed.h"

#include "kernel/attend.h"
#include "kernel/cast.h"
#include "kernel/table.h"

#include "tensor/packed.h"

#include <math.h>
#include <string.h>

/* Of W a task, at least, and tasks of a thread at most; of a row that are unpacked at once. */
enum { TASK_ELEMENTS = 128 * 1024, THREAD_TASKS = 8, UNPACKED = 1024 };

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

static bool is_half(tern_dtype dtype)
{
    return dtype == TERN_F16 || dtype == TERN_BF16;
}

/* Halves in any program: few rows of x are taken as they are. */
static bool takes_many(const tern_packed_product *p)
{
    return p->many || (is_half(p->dtype) && p->rows > TERN_ALIKE && tern_packed_many(p->dtype));
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
    int count; /* of them, with one x */
    void *scratch, *panels;
    int64_t rows_per_task;
    tern_rounding rounding;
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

static void bytes_row(const tern_packed_job *j, const tern_packed_product *p, int64_t n)
{
    float y[TERN_PACKED_ROWS];
    tern_bytes_row x[TERN_PACKED_ROWS];
    const uint8_t *w = (const uint8_t *)p->w + (size_t)n * tern_bytes_of(p->dtype, p->k);
    for (int64_t row = 0; row < p->rows; row += TERN_PACKED_ROWS) {
        int rows = rows_from(p, row);
        for (int r = 0; r < rows; r++) x[r] = row_at(j->scratch, p->k, row + r);
        dot_of(p->dtype)(p->k, w, x, rows, y);
        store(p, n, row, rows, y);
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

static void float_row(const tern_packed_product *p, int64_t n)
{
    float part[UNPACKED], y[TERN_PACKED_ROWS];
    if (tern_level_row(p, n)) return;
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

static void half_row(const tern_packed_product *p, int64_t n)
{
    float y[TERN_PACKED_ROWS];
    for (int64_t row = 0; row < p->rows; row += TERN_PACKED_ROWS) {
        int rows = rows_from(p, row);
        tern_kernels_get()->half_dot(p->dtype, p->k, (const uint16_t *)p->w + n * p->k, p->x + row * p->k,
                                     p->k, rows, y);
        store(p, n, row, rows, y);
    }
}

/* Rows first to last of W, up to sixteen at once. */
static void few_rows(const tern_packed_job *j, const tern_packed_product *p, int64_t first, int64_t last)
{
    size_t bytes = tern_bytes_of(p->dtype, p->k);
    tern_packed_few *few = few_of(p->dtype);
    float y[TERN_PACKED_ROWS * TERN_PANEL];
    tern_bytes_row x[TERN_PACKED_ROWS];
    for (int64_t n = first; n < last; n += TERN_PANEL) {
        int count = last - n < TERN_PANEL ? (int)(last - n) : TERN_PANEL;
        for (int64_t row = 0; row < p->rows; row += TERN_PACKED_ROWS) {
            int rows = rows_from(p, row);
            bool anew = n == first || p->rows > TERN_PACKED_ROWS;
            for (int r = 0; anew && r < rows; r++) x[r] = row_at(j->scratch, p->k, row + r);
            few(p->k, (const uint8_t *)p->w + (size_t)n * bytes, bytes, count, x, rows, y);
            for (int r = 0; r < rows; r++) {
                float *to = p->y + (row + r) * p->n + n;
                if (count == TERN_PANEL) memcpy(to, y + r * TERN_PANEL, TERN_PANEL * sizeof *y);
                for (int i = 0; count < TERN_PANEL && i < count; i++) to[i] = y[r * TERN_PANEL + i];
                for (int i = 0; p->bias && i < count; i++) to[i] += p->bias[n + i];
            }
        }
    }
}

static void take_rows(const tern_packed_job *j, const tern_packed_product *p, int64_t first, int64_t last)
{
    bool dot = dot_of(p->dtype), half = is_half(p->dtype) && tern_kernels_get()->half_dot;
    if (few_of(p->dtype)) {
        few_rows(j, p, first, last);
        return;
    }
    for (int64_t n = first; n < last; n++) {
        if (dot)
            bytes_row(j, p, n);
        else if (half)
            half_row(p, n);
        else
            float_row(p, n);
    }
}

static int64_t tasks_of(const tern_packed_job *j, const tern_packed_product *p)
{
    return (p->n + j->rows_per_task - 1) / j->rows_per_task;
}

static void rows_task(void *context, int64_t task, int thread)
{
    const tern_packed_job *j = context;
    const tern_packed_product *p = j->p;
    (void)thread;
    for (; task >= tasks_of(j, p); p++) task -= tasks_of(j, p);
    int64_t first = task * j->rows_per_task, left = p->n - first;
    take_rows(j, p, first, first + (left < j->rows_per_task ? left : j->rows_per_task));
}

/* Rows of W a task, whole panels.  Few tasks: what stands behind the end of one is asked for in vain, and threads meet for each. */
static int64_t rows_per_task(const tern_packed_job *j, int threads)
{
    int64_t n = 0, k = j->p->k;
    for (int i = 0; i < j->count; i++) n += j->p[i].n;
    int64_t each = n * k / ((int64_t)TASK_ELEMENTS * threads);
    int64_t tasks = threads * (each < 1 ? 1 : each > THREAD_TASKS ? THREAD_TASKS : each);
    int64_t panels = n > 0 ? (n + TERN_PANEL - 1) / TERN_PANEL : 1;
    return (panels + tasks - 1) / tasks * TERN_PANEL;
}

static void run_rows(tern_pool *pool, tern_packed_job *j)
{
    const tern_packed_product *p = j->p;
    int block;
    int64_t tasks = 0;
    j->rows_per_task = rows_per_task(j, tern_pool_threads(pool));
    for (int i = 0; i < j->count; i++) tasks += tasks_of(j, p + i);
    if (tern_packed_rounds(p->dtype, &block)) tern_pool_run(pool, p->rows, round_task, j);
    tern_pool_run(pool, tasks, rows_task, j);
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

static tern_rounding rounding_of(tern_dtype dtype)
{
    bool sums = dtype == TERN_Q4_1 || dtype == TERN_Q5_1;
    return tern_dtype_of(dtype)->block == 256 ? TERN_ROUND_256 : sums ? TERN_ROUND_32_SUMS : TERN_ROUND_32;
}

void tern_packed_run(tern_pool *pool, const tern_packed_product *product, void *scratch)
{
    if (takes_many(product)) {
        run_many(pool, product, scratch);
        return;
    }
    int64_t panels = panels_of(product);
    tern_packed_job j = {.p = product, .count = 1, .scratch = scratch, .block = block_of(product)};
    j.rounding = rounding_of(product->dtype);
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

bool tern_packed_joins(const tern_packed_product *a, const tern_packed_product *b)
{
    int block;
    bool rounds = tern_packed_rounds(a->dtype, &block);
    return a->x == b->x && a->rows == b->rows && a->k == b->k &&
           rounds == tern_packed_rounds(b->dtype, &block) &&
           (!rounds || rounding_of(a->dtype) == rounding_of(b->dtype));
}

void tern_packed_run_joined(tern_pool *pool, const tern_packed_product *products, int count, void *scratch)
{
    bool few = true;
    for (int i = 0; i < count; i++) few &= !takes_many(&products[i]) && !block_of(&products[i]);
    tern_packed_job j = {.p = products, .count = count, .scratch = scratch};
    j.rounding = rounding_of(products->dtype);
    if (few)
        run_rows(pool, &j);
    else
        for (int i = 0; i < count; i++) tern_packed_run(pool, &products[i], scratch);
}
