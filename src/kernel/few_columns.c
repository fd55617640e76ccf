/* Columns of B are packed as rows; tasks take rows of A. */
#include "kernel/few_columns.h"

#define TASK_MACS   (16 * 1024)
#define SERIAL_MACS (64 * 1024) /* below this, waking threads costs more than it brings */
#define LEAST_SUMS  16
#define LEAST_ROWS  16

typedef struct few_columns {
    const tern_product *product;
    const tern_kernels *kernels;
    float *b; /* [batch, n, k] */
    int64_t rows_per_task, tasks_of_rows;
} few_columns;

bool tern_few_columns_fits(const tern_product *p)
{
    return p->n > 0 && p->n <= TERN_FEW_COLUMNS && p->m >= LEAST_ROWS && p->k >= LEAST_SUMS && !p->packed_b &&
           !p->a.bits && !p->a.window && p->a.sum_stride == 1;
}

size_t tern_few_columns_scratch(const tern_product *p)
{
    return p->n <= TERN_FEW_COLUMNS ? sizeof(float) * (size_t)(max(p->batch, 1) * p->n * p->k) : 0;
}

/* Before the first block of k: part of a column of C becomes the bias, or what it held plus the bias. */
static void begin_column(const tern_product *p, int64_t batch, int64_t row, int rows, int64_t column,
                         float *c)
{
    for (int i = 0; i < rows; i++, c += p->row_stride) {
        float bias = p->row_bias ? p->row_bias[batch * p->m + row + i] : 0;
        if (p->column_bias) bias += p->column_bias[column];
        *c = p->accumulate ? *c + bias : bias;
    }
}

static void rows_task(void *context, int64_t task, int thread)
{
    const few_columns *f = context;
    const tern_product *p = f->product;
    int64_t batch = task / f->tasks_of_rows, block = tern_sum_block(p->k);
    int64_t from = task % f->tasks_of_rows * f->rows_per_task, to = min(from + f->rows_per_task, p->m);
    const float *a = (const float *)p->a.data + p->a.first + batch * p->a.batch_stride;
    const float *b = f->b + batch * p->n * p->k;
    bool biased = p->row_bias || p->column_bias;
    (void)thread;
    for (int64_t row = from; row < to; row += TERN_FEW_ROWS) {
        int rows = (int)min(TERN_FEW_ROWS, to - row);
        float sum[TERN_FEW_COLUMNS * TERN_FEW_ROWS];
        for (int64_t k = 0; k < p->k; k += block) {
            f->kernels->sum_few((int)p->n, rows, min(block, p->k - k), a + row * p->a.free_stride + k,
                                p->a.free_stride, b + k, p->k, sum);
            for (int64_t j = 0; j < p->n; j++) {
                int64_t at;
                tern_run_of(p, j, 1, &at);
                float *c = p->c + batch * p->batch_stride + row * p->row_stride + at;
                if (k == 0 && biased) begin_column(p, batch, row, rows, j, c);
                bool add = k > 0 || biased || p->accumulate;
                for (int i = 0; i < rows; i++, c += p->row_stride)
                    *c = add ? *c + sum[j * TERN_FEW_ROWS + i] : sum[j * TERN_FEW_ROWS + i];
            }
        }
    }
}

void tern_few_columns(tern_pool *pool, const tern_product *p, float *scratch)
{
    int64_t batch = max(p->batch, 1), row = max(p->n * p->k, 1);
    few_columns f = {.product = p, .kernels = tern_kernels_get(), .b = scratch};
    if (p->m * p->n * p->k * batch < SERIAL_MACS) pool = NULL;
    for (int64_t i = 0; i < batch; i++) {
        tern_factor factor = p->b;
        factor.first += i * factor.batch_stride;
        for (int64_t j = 0; j < p->n; j++)
            f.kernels->pack(&factor, j, 1, 1, 0, p->k, scratch + (i * p->n + j) * p->k);
    }
    f.rows_per_task = ceil_div(max(TASK_MACS / row, 1), TERN_FEW_ROWS) * TERN_FEW_ROWS;
    f.tasks_of_rows = ceil_div(p->m, f.rows_per_task);
    tern_pool_run(pool, batch * f.tasks_of_rows, rows_task, &f);
}
