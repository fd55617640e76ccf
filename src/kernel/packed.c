/* Products with packed weights: rows of W are tasks, rows of x go through each in groups. */
#include "kernel/packed.h"

#include "kernel/table.h"

#include "tensor/packed.h"

#include <math.h>
#include <string.h>

enum { TASK_ELEMENTS = 32 * 1024, UNPACKED = 1024 }; /* of W a task; of a row that are unpacked at once */

static int64_t padded(int64_t k)
{
    return (k + 255) / 256 * 256;
}

static tern_packed_dot *dot_of(tern_dtype dtype)
{
    return tern_kernels_get()->packed_dot[dtype];
}

bool tern_packed_rounds(tern_dtype dtype, int *block)
{
    *block = tern_dtype_of(dtype)->block;
    return dot_of(dtype) != NULL;
}

tern_dtype tern_packed_arithmetic(tern_dtype dtype)
{
    static const bool rounds[TERN_DTYPES] = {
        [TERN_Q4_0] = true, [TERN_Q4_1] = true, [TERN_Q5_0] = true, [TERN_Q5_1] = true,
        [TERN_Q8_0] = true, [TERN_Q4_K] = true, [TERN_Q5_K] = true, [TERN_Q6_K] = true,
    };
    if (dtype == TERN_F16 || dtype == TERN_BF16 || dtype == TERN_I8) return dtype;
    return rounds[dtype] ? TERN_I8 : TERN_F32;
}

/* Bytes of one row of x: q, then scale, sum32, sum16. */
static size_t row_bytes(int64_t k)
{
    size_t n = (size_t)padded(k);
    return n + (n / 32 + n / 32 + n / 16) * sizeof(float);
}

size_t tern_packed_scratch(const tern_packed_product *product)
{
    return dot_of(product->dtype) ? (size_t)product->rows * row_bytes(product->k) : 0;
}

static tern_bytes_row row_at(const void *scratch, int64_t k, int64_t row)
{
    const char *base = (const char *)scratch + (size_t)row * row_bytes(k);
    const float *scale = (const float *)(base + padded(k));
    return (tern_bytes_row){(const int8_t *)base, scale, scale + padded(k) / 32, scale + padded(k) / 16};
}

/* q = x / scale to the nearest, `block` elements a scale.  A scale of blocks of 32 is rounded to half precision behind the
 * division, and so is, for formats with an offset, its product with the sum. */
static void round_row(const tern_packed_product *p, int64_t row, void *scratch)
{
    const float *x = p->x + row * p->k;
    tern_bytes_row to = row_at(scratch, p->k, row);
    int8_t *q = (int8_t *)(uintptr_t)to.q;
    float *scale = (float *)(uintptr_t)to.scale, *sum32 = (float *)(uintptr_t)to.sum32,
          *sum16 = (float *)(uintptr_t)to.sum16;
    bool two_levels = tern_dtype_of(p->dtype)->block == 256,
         offset = p->dtype == TERN_Q4_1 || p->dtype == TERN_Q5_1;
    int64_t block = two_levels ? 256 : 32;
    memset(q + p->k, 0, (size_t)(padded(p->k) - p->k));
    for (int64_t b = 0; b < padded(p->k); b += block) {
        int64_t n = b >= p->k ? 0 : p->k - b < block ? p->k - b : block;
        float most = 0;
        for (int64_t i = 0; i < n; i++) most = fabsf(x[b + i]) > most ? fabsf(x[b + i]) : most;
        float d = most / 127, inverse = most > 0 ? 127 / most : 0;
        float stored = two_levels ? d : tern_f16_to_f32(tern_f32_to_f16(d));
        for (int64_t i = 0; i < n; i++) q[b + i] = (int8_t)(int)nearbyintf(x[b + i] * inverse);
        for (int64_t g = b; g < b + block; g += 32) {
            int sums[2] = {0};
            for (int i = 0; i < 32; i++) sums[i / 16] += q[g + i];
            float sum = (offset ? d : stored) * (float)(sums[0] + sums[1]);
            scale[g / 32] = stored;
            sum32[g / 32] = offset ? tern_f16_to_f32(tern_f32_to_f16(sum)) : sum;
            for (int h = 0; h < 2; h++) sum16[g / 16 + h] = stored * (float)sums[h];
        }
    }
}

typedef struct tern_packed_job {
    const tern_packed_product *p;
    void *scratch;
    int64_t rows_per_task;
    tern_packed_dot *dot;
} tern_packed_job;

static void round_task(void *context, int64_t task, int thread)
{
    const tern_packed_job *j = context;
    (void)thread;
    round_row(j->p, task, j->scratch);
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
    const uint16_t *halves = (const uint16_t *)(const void *)w + first;
    if (info->unpack)
        for (int64_t i = 0; i < count; i += info->block)
            info->unpack(w + (first + i) / info->block * info->bytes, out + i);
    else
        for (int64_t i = 0; i < count; i++)
            out[i] = dtype == TERN_F16 ? tern_f16_to_f32(halves[i]) : tern_bf16_to_f32(halves[i]);
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
        else
            float_row(j, n);
    }
}

void tern_packed_run(tern_pool *pool, const tern_packed_product *product, void *scratch)
{
    tern_packed_job j = {.p = product, .scratch = scratch, .dot = dot_of(product->dtype)};
    j.rows_per_task = product->k >= TASK_ELEMENTS / 4 ? 4 : TASK_ELEMENTS / product->k;
    if (j.dot && product->rows > 1)
        tern_pool_run(pool, product->rows, round_task, &j);
    else if (j.dot && product->rows)
        round_row(product, 0, scratch);
    tern_pool_run(pool, (product->n + j.rows_per_task - 1) / j.rows_per_task, product_task, &j);
}
