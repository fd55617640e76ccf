/* Linear layers that read spikes: by adding rows when few neurons fire, by a dense product when many do. */
#include "kernel/loops.h"
#include "kernel/sparse.h"

/* Is adding rows the faster path? */
static bool choose_sparse(tern_spike_path path, int64_t ones, int64_t bits, double threshold)
{
    if (path != TERN_SPIKE_AUTO) return path == TERN_SPIKE_SPARSE;
    return (double)ones < threshold * (double)bits;
}

static tern_product linear_product(int64_t rows, int64_t n, int64_t k, const void *x, int64_t first,
                                   const float *w, const float *bias, float *y, bool accumulate)
{
    return (tern_product){.m = rows,
                          .n = n,
                          .k = k,
                          .a = tern_factor_bits(x, first, k, 1),
                          .b = tern_factor_f32(w, k, 1),
                          .c = y,
                          .row_stride = n,
                          .column_bias = bias,
                          .accumulate = accumulate};
}

static tern_product gradient_product(int64_t rows, int64_t n, int64_t k, const void *x, int64_t first,
                                     const float *dy, float *dw, bool accumulate)
{
    return (tern_product){.m = n,
                          .n = k,
                          .k = rows,
                          .a = tern_factor_f32(dy, 1, n),
                          .b = tern_factor_bits(x, first, 1, k),
                          .c = dw,
                          .row_stride = k,
                          .accumulate = accumulate};
}

size_t tern_spike_linear_scratch(int64_t rows, int64_t n, int64_t k)
{
    tern_product dense = linear_product(rows, n, k, NULL, 0, NULL, NULL, NULL, false);
    return (size_t)max((int64_t)tern_gemm_scratch(&dense), (int64_t)tern_sparse_scratch(rows, n, k, false));
}

void tern_spike_linear(tern_pool *pool, int64_t rows, int64_t n, int64_t k, const void *x, int64_t first,
                       const float *w, const float *bias, float *y, bool accumulate, tern_spike_path path,
                       int64_t *accumulates, void *scratch)
{
    int64_t ones = tern_bits_count(x, first, rows * k);
    if (accumulates) *accumulates += ones * n;
    if (k == 0 ||
        !choose_sparse(path, ones, rows * k, tern_kernels_get()->sparse_below[TERN_SPARSE_LINEAR])) {
        tern_product dense = linear_product(rows, n, k, x, first, w, bias, y, accumulate);
        tern_gemm(pool, &dense, scratch);
        return;
    }
    tern_sparse sparse = {.m = rows,
                          .n = n,
                          .k = k,
                          .x = x,
                          .first = first,
                          .x_stride = k,
                          .b = tern_factor_f32(w, k, 1),
                          .c = y,
                          .stride = n,
                          .bias = bias,
                          .accumulate = accumulate};
    tern_sparse_run(pool, &sparse, scratch);
}

/* x turned, [k, rows], each row in whole words. */
static size_t turned_bytes(int64_t rows, int64_t k)
{
    return (size_t)(ceil_div(k * tern_bits_words(rows), 8) * 64);
}

size_t tern_spike_grad_weight_scratch(int64_t rows, int64_t n, int64_t k)
{
    tern_product dense = gradient_product(rows, n, k, NULL, 0, NULL, NULL, false);
    return (size_t)max((int64_t)tern_gemm_scratch(&dense),
                       (int64_t)(tern_sparse_scratch(k, n, rows, true) + turned_bytes(rows, k)));
}

void tern_spike_grad_weight(tern_pool *pool, int64_t rows, int64_t n, int64_t k, const void *x, int64_t first,
                            const float *dy, float *dw, float *db, bool accumulate, tern_spike_path path,
                            int64_t *accumulates, void *scratch)
{
    int64_t ones = tern_bits_count(x, first, rows * k);
    if (accumulates) *accumulates += ones * n;
    if (rows == 0 ||
        !choose_sparse(path, ones, rows * k, tern_kernels_get()->sparse_below[TERN_SPARSE_LINEAR_WEIGHT])) {
        tern_product dense = gradient_product(rows, n, k, x, first, dy, dw, accumulate);
        tern_gemm(pool, &dense, scratch);
        if (db) tern_column_sums(pool, rows, n, dy, db);
        return;
    }
    tern_bits_transpose(pool, rows, k, x, first, scratch);
    tern_sparse sparse = {.m = k,
                          .n = n,
                          .k = rows,
                          .x = scratch,
                          .x_stride = tern_bits_words(rows) * 64,
                          .b = tern_factor_f32(dy, 1, n),
                          .c = dw,
                          .stride = k,
                          .turned = true,
                          .accumulate = accumulate,
                          .total = db};
    tern_sparse_run(pool, &sparse, (char *)scratch + turned_bytes(rows, k));
}
