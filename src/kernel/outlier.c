/* Rows in 8 bits, with outlying columns apart. */
#include "kernel/outlier.h"

#include "kernel/packed.h"
#include "kernel/table.h"

#include <math.h>
#include <string.h>

enum {
    COLUMNS = 512,
    ROWS_OF_W = 16,
    FEW = 8
}; /* of tasks; fewer rows of x than FEW are multiplied without packing W */

typedef struct outlier_job {
    const tern_outlier_product *p;
    uint8_t *apart;    /* [k]: whether a column is */
    int32_t *columns;  /* [count] that are, ascending */
    int32_t *exact_of; /* [count]: where such a column is among the exact ones, or -1 */
    int64_t count;
    float *panel;            /* [rows,count] of x */
    int8_t *bytes;           /* [rows + 1,k]: x, and a row of ones where columns are not apart */
    float *lowest, *highest; /* [rows] */
    float *step, *low;       /* [rows]: x ~ step (byte + 128) + low with a zero point, else step byte */
    int32_t *sums;           /* [rows + 1,n] of bytes w */
    float *weights;          /* [threads,count] */
    void *gemm;
} outlier_job;

static size_t whole(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Lays the job out in scratch (NULL: only counts). */
static size_t lay_out(const tern_outlier_product *p, int threads, char *scratch, outlier_job *j)
{
    size_t rows = (size_t)p->rows, k = (size_t)p->k, n = (size_t)p->n, at = 0;
    struct {
        void **to;
        size_t bytes;
    } parts[] = {
        {(void **)&j->apart, k},
        {(void **)&j->columns, k * sizeof(int32_t)},
        {(void **)&j->exact_of, k * sizeof(int32_t)},
        {(void **)&j->panel, rows * k * sizeof(float)},
        {(void **)&j->bytes, (rows + 1) * k},
        {(void **)&j->lowest, rows * sizeof(float)},
        {(void **)&j->highest, rows * sizeof(float)},
        {(void **)&j->step, rows * sizeof(float)},
        {(void **)&j->low, rows * sizeof(float)},
        {(void **)&j->sums, (rows + 1) * n * sizeof(int32_t)},
        {(void **)&j->weights, (size_t)threads * k * sizeof(float)},
        {&j->gemm, tern_i8_gemm_scratch(p->rows + 1, p->n, p->k)},
    };
    for (size_t i = 0; i < TERN_COUNT(parts); i++) {
        if (scratch) *parts[i].to = scratch + at;
        at += whole(parts[i].bytes);
    }
    return at;
}

/* Threads that a product may be run by: scratch is asked for before the pool is known. */
enum { MOST_THREADS = 64 };

size_t tern_outlier_scratch(const tern_outlier_product *product)
{
    outlier_job j;
    return lay_out(product, MOST_THREADS, NULL, &j);
}

static void find_task(void *context, int64_t task, int thread)
{
    const outlier_job *j = context;
    const tern_outlier_product *p = j->p;
    int64_t first = task * COLUMNS, last = first + COLUMNS < p->k ? first + COLUMNS : p->k;
    (void)thread;
    memset(j->apart + first, 0, (size_t)(last - first));
    for (int64_t r = 0; p->threshold > 0 && r < p->rows; r++)
        for (int64_t c = first; c < last; c++) j->apart[c] |= fabsf(p->x[r * p->k + c]) >= p->threshold;
}

/* Lists the columns that are apart; all, where they are too many. */
static void list_columns(outlier_job *j)
{
    const tern_outlier_product *p = j->p;
    int64_t exact = 0;
    j->count = 0;
    for (int64_t c = 0; c < p->k; c++) j->count += j->apart[c];
    if (8 * j->count > p->k) memset(j->apart, 1, (size_t)p->k);
    j->count = 0;
    for (int64_t c = 0; c < p->k; c++) {
        if (!j->apart[c]) continue;
        while (exact < p->exact_count && p->exact_columns[exact] < c) exact++;
        bool is_exact = exact < p->exact_count && p->exact_columns[exact] == c;
        j->exact_of[j->count] = is_exact ? (int32_t)exact : -1;
        j->columns[j->count++] = (int32_t)c;
    }
}

/* Lowest and highest element below the threshold; those above count as zeros. */
static void range_task(void *context, int64_t row, int thread)
{
    const outlier_job *j = context;
    const tern_outlier_product *p = j->p;
    const float *x = p->x + row * p->k;
    float low = INFINITY, high = -INFINITY;
    (void)thread;
    for (int64_t c = 0; c < p->k; c++) {
        float v = p->threshold > 0 && fabsf(x[c]) >= p->threshold ? 0 : x[c];
        low = v < low ? v : low;
        high = v > high ? v : high;
    }
    j->lowest[row] = low;
    j->highest[row] = high;
}

/* All rows share the range of all. */
static void share_range(const outlier_job *j)
{
    for (int64_t r = 1; r < j->p->rows; r++) {
        j->lowest[0] = fminf(j->lowest[0], j->lowest[r]);
        j->highest[0] = fmaxf(j->highest[0], j->highest[r]);
    }
    for (int64_t r = 1; r < j->p->rows; r++) {
        j->lowest[r] = j->lowest[0];
        j->highest[r] = j->highest[0];
    }
}

static void round_task(void *context, int64_t row, int thread)
{
    const outlier_job *j = context;
    const tern_outlier_product *p = j->p;
    const float *x = p->x + row * p->k;
    int8_t *to = j->bytes + row * p->k;
    float low = j->lowest[row], high = j->highest[row];
    (void)thread;
    float most = fmaxf(-low, high), span = high - low;
    bool zero_point = p->by == TERN_BYTES_ZERO_POINT;
    float inverse = zero_point ? (span > 0 ? 255 / span : 0) : most > 0 ? 127 / most : 0;
    j->step[row] = zero_point ? span / 255 : most / 127;
    j->low[row] = zero_point ? low : 0;
    for (int64_t c = 0; c < p->k; c++) {
        float q = zero_point ? nearbyintf((x[c] - low) * inverse) - 128 : nearbyintf(x[c] * inverse);
        to[c] = j->apart[c] ? 0 : (int8_t)(int)q;
    }
    for (int64_t i = 0; i < j->count; i++) j->panel[row * j->count + i] = x[j->columns[i]];
}

/* y of some rows of W, from the sums where there are, and from the columns that are apart. */
static void output_task(void *context, int64_t task, int thread)
{
    const outlier_job *j = context;
    const tern_outlier_product *p = j->p;
    float *w = j->weights + (int64_t)thread * p->k, part[TERN_PACKED_ROWS];
    int64_t last = (task + 1) * ROWS_OF_W < p->n ? (task + 1) * ROWS_OF_W : p->n;
    bool packed = p->rows >= FEW;
    for (int64_t n = task * ROWS_OF_W; n < last; n++) {
        const int8_t *row = p->w + n * p->k;
        tern_byte_dot *dot = tern_kernels_get()->byte_dot;
        bool bytes = j->count < p->k, zero_point = p->by == TERN_BYTES_ZERO_POINT;
        int32_t ones = !bytes || !zero_point ? 0
                       : packed              ? j->sums[p->rows * p->n + n]
                                             : dot(p->k, j->bytes + p->rows * p->k, row);
        for (int64_t i = 0; i < j->count; i++)
            w[i] = j->exact_of[i] >= 0 ? p->exact[n * p->exact_count + j->exact_of[i]]
                                       : p->scale[n] * (float)row[j->columns[i]];
        for (int64_t r = 0; r < p->rows; r += TERN_PACKED_ROWS) {
            int rows = p->rows - r < TERN_PACKED_ROWS ? (int)(p->rows - r) : TERN_PACKED_ROWS;
            tern_kernels_get()->float_dot(j->count, w, j->panel + r * j->count, j->count, rows, part);
            for (int i = 0; i < rows; i++) {
                int64_t s = r + i;
                int32_t sum = !bytes   ? 0
                              : packed ? j->sums[s * p->n + n]
                                       : dot(p->k, j->bytes + s * p->k, row);
                float y = j->step[s] * (float)sum;
                if (zero_point) y += (128 * j->step[s] + j->low[s]) * (float)ones;
                p->y[s * p->n + n] = y * p->scale[n] + part[i] + (p->bias ? p->bias[n] : 0);
            }
        }
    }
}

void tern_outlier_run(tern_pool *pool, const tern_outlier_product *product, void *scratch)
{
    outlier_job j = {.p = product};
    if (product->rows < 1) return;
    if (tern_pool_threads(pool) > MOST_THREADS) pool = NULL;
    lay_out(product, MOST_THREADS, scratch, &j);
    tern_pool_run(pool, (product->k + COLUMNS - 1) / COLUMNS, find_task, &j);
    list_columns(&j);
    tern_pool_run(pool, product->rows, range_task, &j);
    if (product->by == TERN_BYTES_TOGETHER) share_range(&j);
    tern_pool_run(pool, product->rows, round_task, &j);
    for (int64_t c = 0; c < product->k; c++) j.bytes[product->rows * product->k + c] = !j.apart[c];
    if (product->rows >= FEW && j.count < product->k)
        tern_i8_gemm(pool, product->rows + 1, product->n, product->k, j.bytes, product->w, j.sums, false,
                     j.gemm);
    tern_pool_run(pool, (product->n + ROWS_OF_W - 1) / ROWS_OF_W, output_task, &j);
}
