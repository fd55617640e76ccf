/* The kernels that read bits and small integers, of every instruction set that this processor has, against their
 * definitions written here, on random odd shapes; and the same bits from one thread and from two. */
#include "kernel_cases.h"

/* ---- linear layers of spikes ------------------------------------------------------------------------- */

static void spike_linear(void)
{
    int64_t rows = between(1, 40), n = between(1, 70), k = between(1, 90), first = below(70);
    if (below(10) == 0) rows = between(1, 300), k = between(250, 800);
    uint64_t *x = spikes(first + rows * k);
    float *w = numbers(n * k), *bias = below(2) ? numbers(n) : NULL;
    float *y[4], *before = numbers(rows * n);
    bool accumulate = below(2);
    size_t bytes = tern_spike_linear_scratch(rows, n, k);
    void *scratch = scratch_of(bytes);
    static const tern_spike_path paths[] = {TERN_SPIKE_SPARSE, TERN_SPIKE_DENSE, TERN_SPIKE_AUTO,
                                            TERN_SPIKE_SPARSE};

    for (int i = 0; i < 4; i++) {
        int64_t accumulates = 1;
        y[i] = copy(before, rows * n);
        tern_spike_linear(i == 3 ? NULL : two, rows, n, k, x, first, w, bias, y[i], accumulate, paths[i],
                          &accumulates, scratch);
        int64_t ones = 0;
        for (int64_t b = 0; b < rows * k; b++) ones += tern_bit_get(x, first + b);
        assert_int_equal(accumulates, 1 + ones * n);
        assert_memory_equal(y[0], y[i], (size_t)(rows * n) * sizeof(float));
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j++) {
            sum want = {0};
            for (int64_t s = 0; s < k; s++)
                if (tern_bit_get(x, first + i * k + s)) add_to(&want, w[j * k + s]);
            if (bias) add_to(&want, bias[j]);
            if (accumulate) add_to(&want, before[i * n + j]);
            assert_near(y[0][i * n + j], want, k, "linear of spikes");
        }
    release_scratch(scratch, bytes);
    tern_release(x);
    float *all[] = {w, bias, before, y[0], y[1], y[2], y[3]};
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(all[i]);
}

static void test_spike_linear(void **state)
{
    (void)state;
    on_each_isa(spike_linear);
}

static void spike_grad_weight(void)
{
    int64_t rows = between(1, 90), n = between(1, 70), k = between(1, 90), first = below(70);
    if (below(10) == 0) k = between(250, 700);
    if (below(10) == 0) rows = between(250, 800);
    uint64_t *x = spikes(first + rows * k);
    float *dy = numbers(rows * n), *dw[4], *before = numbers(n * k), *db[4];
    bool accumulate = below(2);
    size_t bytes = tern_spike_grad_weight_scratch(rows, n, k);
    void *scratch = scratch_of(bytes);
    static const tern_spike_path paths[] = {TERN_SPIKE_SPARSE, TERN_SPIKE_DENSE, TERN_SPIKE_AUTO,
                                            TERN_SPIKE_SPARSE};

    for (int i = 0; i < 4; i++) {
        dw[i] = copy(before, n * k);
        db[i] = numbers(n);
        tern_spike_grad_weight(i == 3 ? NULL : two, rows, n, k, x, first, dy, dw[i], i == 2 ? NULL : db[i],
                               accumulate, paths[i], NULL, scratch);
        assert_memory_equal(dw[0], dw[i], (size_t)(n * k) * sizeof(float));
        if (i != 2) assert_memory_equal(db[0], db[i], (size_t)n * sizeof(float));
    }
    for (int64_t i = 0; i < n; i++) {
        sum want = {0};
        for (int64_t r = 0; r < rows; r++) add_to(&want, dy[r * n + i]);
        assert_near(db[0][i], want, rows, "sum of rows");
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < k; j++) {
            sum want = {0};
            for (int64_t r = 0; r < rows; r++)
                if (tern_bit_get(x, first + r * k + j)) add_to(&want, dy[r * n + i]);
            if (accumulate) add_to(&want, before[i * k + j]);
            assert_near(dw[0][i * k + j], want, rows, "weight gradient of spikes");
        }
    release_scratch(scratch, bytes);
    tern_release(x);
    float *all[] = {dy, before, dw[0], dw[1], dw[2], dw[3], db[0], db[1], db[2], db[3]};
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(all[i]);
}

static void test_spike_grad_weight(void **state)
{
    (void)state;
    on_each_isa(spike_grad_weight);
}

/* ---- small integers ---------------------------------------------------------------------------------- */

static void binary_product(void)
{
    int64_t m = between(1, 40), n = between(1, 80), k = below(200), fa = below(70), fb = below(70);
    if (below(20) == 0) k = between(8000, 9000);
    uint64_t *a = spikes(fa + m * k), *b = spikes(fb + n * k);
    size_t bytes = tern_binary_gemm_scratch(m, n, k);
    void *scratch = scratch_of(bytes);
    int32_t *c = tern_take((size_t)(m * n) * sizeof *c), *again = tern_take((size_t)(m * n) * sizeof *c);
    assert_true(c && again);
    tern_binary_gemm(two, m, n, k, a, fa, b, fb, c, scratch);
    tern_binary_gemm(NULL, m, n, k, a, fa, b, fb, again, scratch);
    assert_memory_equal(c, again, (size_t)(m * n) * sizeof *c);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            int64_t want = 0;
            for (int64_t s = 0; s < k; s++)
                want += tern_bit_get(a, fa + i * k + s) && tern_bit_get(b, fb + j * k + s);
            assert_int_equal(c[i * n + j], want);
        }
    release_scratch(scratch, bytes);
    void *all[] = {a, b, c, again};
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(all[i]);
}

static void test_binary_products(void **state)
{
    (void)state;
    on_each_isa(binary_product);
}

static int8_t *signed_bytes(int64_t count)
{
    int8_t *x = tern_take((size_t)count + 1);
    assert_non_null(x);
    bool extreme = below(4) == 0;
    for (int64_t i = 0; i < count; i++) x[i] = extreme ? (below(2) ? -128 : 127) : (int8_t)between(-128, 127);
    return x;
}

static void i8_product(void)
{
    int64_t m = between(1, 40), n = between(1, 80), k = below(120);
    if (below(20) == 0) k = between(1000, 1100);
    int8_t *a = signed_bytes(m * k), *b = signed_bytes(n * k);
    size_t bytes = tern_i8_gemm_scratch(m, n, k);
    void *scratch = scratch_of(bytes);
    int32_t *c = tern_take((size_t)(m * n) * sizeof *c), *again = tern_take((size_t)(m * n) * sizeof *c);
    assert_true(c && again);
    bool accumulate = below(2);
    for (int64_t i = 0; i < m * n; i++) c[i] = again[i] = (int32_t)i;
    tern_i8_gemm(two, m, n, k, a, b, c, accumulate, scratch);
    tern_i8_gemm(NULL, m, n, k, a, b, again, accumulate, scratch);
    assert_memory_equal(c, again, (size_t)(m * n) * sizeof *c);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            int64_t want = accumulate ? i * n + j : 0;
            for (int64_t s = 0; s < k; s++) want += a[i * k + s] * b[j * k + s];
            assert_int_equal(c[i * n + j], want);
        }
    release_scratch(scratch, bytes);
    void *all[] = {a, b, c, again};
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(all[i]);
}

static void test_i8_products(void **state)
{
    (void)state;
    on_each_isa(i8_product);
}

/* ---- bits -------------------------------------------------------------------------------------------- */

static void bits(void)
{
    int64_t rows = between(1, 150), columns = between(1, 150), first = below(200), count = rows * columns;
    uint64_t *x = spikes(first + count), *turned = spikes(columns * tern_bits_words(rows) * 64);
    float *f32 = numbers(count);
    int64_t ones = 0;
    for (int64_t i = 0; i < count; i++) ones += tern_bit_get(x, first + i);
    assert_int_equal(tern_bits_count(x, first, count), ones);
    tern_bits_transpose(two, rows, columns, x, first, turned);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            assert_int_equal(tern_bit_get(turned, j * tern_bits_words(rows) * 64 + i),
                             tern_bit_get(x, first + i * columns + j));
    tern_bits_to_f32(two, x, first, count, f32);
    for (int64_t i = 0; i < count; i++) assert_true(f32[i] == (float)tern_bit_get(x, first + i));
    for (int64_t i = 0; i < count; i++) f32[i] = number();
    tern_bits_from_f32(two, f32, count, x, first);
    for (int64_t i = 0; i < count; i++) assert_int_equal(tern_bit_get(x, first + i), f32[i] > 0);
    tern_release(x);
    tern_release(turned);
    tern_release(f32);
}

static void test_bits(void **state)
{
    (void)state;
    on_each_isa(bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_spike_linear),
        cmocka_unit_test(test_spike_grad_weight),
        cmocka_unit_test(test_binary_products),
        cmocka_unit_test(test_i8_products),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
