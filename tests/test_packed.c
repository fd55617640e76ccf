/* packed: the block formats against ggml's reference on golden blocks, NF4 against its definition, parts of blocks, input
 * that no scale can carry. */
#include "test.h"

#include "io/io.h"

#if __has_include(<jansson.h>)
#define HAVE_JANSSON
#endif
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const tern_dtype packed[] = {TERN_Q4_0,    TERN_Q4_1, TERN_Q5_0, TERN_Q5_1, TERN_Q8_0,
                                    TERN_Q2_K,    TERN_Q3_K, TERN_Q4_K, TERN_Q5_K, TERN_Q6_K,
                                    TERN_TERNARY, TERN_NF4,  TERN_NF4X2};
enum { GOLDEN = 11 }; /* the first ones are in the golden file */

static tern_bundle golden;

static const tern_tensor *golden_tensor(tern_dtype dtype, const char *what)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", tern_dtype_of(dtype)->name, what);
    const tern_tensor *t = tern_bundle_find(&golden, name);
    if (!t) fail_msg("the golden file lacks %s", name);
    return t;
}

static void test_decode(void **state)
{
    (void)state;
    for (int f = 0; f < GOLDEN; f++) {
        const tern_dtype_info *info = tern_dtype_of(packed[f]);
        const tern_tensor *bytes = golden_tensor(packed[f], "bytes"),
                          *want = golden_tensor(packed[f], "decoded");
        int64_t count = tern_elements(&want->shape);
        assert_int_equal(tern_bytes_of(packed[f], count), tern_elements(&bytes->shape));
        double *out = malloc((size_t)count * sizeof *out);
        info->decode(bytes->data, 0, count, out);
        for (int64_t i = 0; i < count; i++)
            if ((float)out[i] != ((float *)want->data)[i])
                fail_msg("%s: element %lld is %.9g, expected %.9g", info->name, (long long)i, out[i],
                         (double)((float *)want->data)[i]);
        free(out);
    }
}

static double squared_error(tern_dtype dtype, const void *storage, const float *x, int64_t first,
                            int64_t count)
{
    double sum = 0;
    tern_tensor t = {dtype, TERN_SHAPE(first + count), (void *)(uintptr_t)storage};
    for (int64_t i = first; i < first + count; i++) sum += pow(tern_get(&t, i) - (double)x[i], 2);
    return sum;
}

/* One level of scales: ggml's own bytes.  Two levels, and ternary: no error above that of ggml's. */
static void test_encode(void **state)
{
    (void)state;
    const tern_tensor *input = tern_bundle_find(&golden, "input");
    int64_t rows = input->shape.dim[0], count = tern_elements(&input->shape);
    const float *x = input->data;
    for (int f = 0; f < GOLDEN; f++) {
        const tern_dtype_info *info = tern_dtype_of(packed[f]);
        const tern_tensor *want = golden_tensor(packed[f], "bytes");
        tern_tensor t;
        assert_ok(tern_tensor_new(&t, packed[f], &input->shape));
        assert_ok(tern_tensor_cast(&t, input));
        double mine = squared_error(packed[f], t.data, x, 0, count),
               theirs = squared_error(packed[f], want->data, x, 0, count);
        printf("%-8s root mean square error %.6g, ggml %.6g\n", info->name, sqrt(mine / (double)count),
               sqrt(theirs / (double)count));
        if (packed[f] <= TERN_Q8_0) assert_memory_equal(t.data, want->data, tern_bytes_of(packed[f], count));
        for (int64_t r = 0; r < rows; r++) {
            double a = squared_error(packed[f], t.data, x, r * 256, 256);
            double b = squared_error(packed[f], want->data, x, r * 256, 256);
            if (a > b * (1 + 1e-9))
                fail_msg("%s: row %lld has error %g, ggml %g", info->name, (long long)r, a, b);
        }
        tern_tensor_free(&t);
    }
}

/* Any range decodes as its elements in the whole do; encoding blocks one by one is encoding them at once. */
static void test_parts(void **state)
{
    (void)state;
    tern_rng rng = {5, 0};
    for (size_t f = 0; f < TERN_COUNT(packed); f++) {
        const tern_dtype_info *info = tern_dtype_of(packed[f]);
        int64_t block = info->block, count = 2 * block + 33;
        tern_tensor a, b;
        double *x = malloc((size_t)count * sizeof *x), *whole = malloc((size_t)count * sizeof *whole),
               some[70];
        assert_ok(tern_tensor_new(&a, packed[f], &TERN_SHAPE(count)));
        assert_ok(tern_tensor_new(&b, packed[f], &TERN_SHAPE(count)));
        for (int64_t i = 0; i < count; i++) x[i] = tern_rng_normal(rng, (uint64_t)i);
        info->encode(a.data, 0, count, x);
        info->encode(b.data, 0, block, x);
        info->encode(b.data, block, count - block, x + block);
        assert_memory_equal(a.data, b.data, tern_bytes_of(packed[f], count));
        info->decode(a.data, 0, count, whole);
        for (int round = 0; round < 50; round++) {
            int64_t n = (int64_t)tern_rng_below(rng, 900000 + (uint64_t)round * 2, 70) + 1;
            int64_t first = (int64_t)tern_rng_below(rng, 900001 + (uint64_t)round * 2, (uint64_t)(count - n));
            info->decode(a.data, first, n, some);
            assert_memory_equal(some, whole + first, (size_t)n * sizeof *some);
        }
        /* One element anew: it arrives, and the others stay near where they were. */
        tern_set(&a, 7, 0.5);
        double step = packed[f] == TERN_TERNARY ? 2 : packed[f] == TERN_Q2_K ? 1.6 : 0.6;
        assert_true(fabs(tern_get(&a, 7) - 0.5) < step);
        for (int64_t i = 0; i < count; i++)
            if (i != 7) assert_true(fabs(tern_get(&a, i) - whole[i]) < step);
        tern_tensor_free(&a);
        tern_tensor_free(&b);
        free(x);
        free(whole);
    }
}

static void test_hostile(void **state)
{
    (void)state;
    for (size_t f = 0; f < TERN_COUNT(packed); f++) {
        const tern_dtype_info *info = tern_dtype_of(packed[f]);
        int64_t count = 256;
        tern_tensor t;
        assert_ok(tern_tensor_new(&t, packed[f], &TERN_SHAPE(count)));
        for (int kind = 0; kind < 5; kind++) {
            double x[256], out[256];
            for (int i = 0; i < count; i++)
                x[i] = kind == 0   ? (i % 3 ? (double)NAN : 1)
                       : kind == 1 ? (i % 2 ? (double)INFINITY : -(double)INFINITY)
                       : kind == 2 ? 1e-42 * i
                       : kind == 3 ? -FLT_MAX
                                   : 0;
            info->encode(t.data, 0, count, x);
            info->decode(t.data, 0, count, out);
            for (int i = 0; i < count; i++)
                if (!isfinite(out[i])) fail_msg("%s: input %d gives %g at %d", info->name, kind, out[i], i);
            if (kind == 4)
                for (int i = 0; i < count; i++) assert_true(out[i] == 0);
        }
        /* Storage of any bytes is read without harm. */
        memset(t.data, 0xff, tern_bytes_of(packed[f], count));
        double out[256];
        info->decode(t.data, 0, count, out);
        double one = 1;
        info->encode(t.data, 3, 1, &one);
        tern_tensor_free(&t);
    }
}

/* Relative root mean square error on 2^20 normal numbers. */
static double normal_error(tern_dtype dtype, const tern_tensor *x, tern_tensor *coded)
{
    int64_t count = tern_elements(&x->shape);
    double sum = 0, power = 0, a[256], b[256];
    assert_ok(tern_tensor_new(coded, dtype, &x->shape));
    assert_ok(tern_tensor_cast(coded, x));
    for (int64_t i = 0; i < count; i += 256) {
        tern_dtype_of(dtype)->decode(coded->data, i, 256, a);
        tern_dtype_of(TERN_F32)->decode(x->data, i, 256, b);
        for (int k = 0; k < 256; k++) {
            sum += pow(a[k] - b[k], 2);
            power += b[k] * b[k];
        }
    }
    return sqrt(sum / power);
}

static void test_normal_float(void **state)
{
    (void)state;
    tern_rng rng = {3, 9};
    tern_tensor x, q4, nf4, nf4x2;
    int64_t count = 1 << 20;
    assert_ok(tern_tensor_new(&x, TERN_F32, &TERN_SHAPE(count)));
    for (int64_t i = 0; i < count; i++) ((float *)x.data)[i] = (float)tern_rng_normal(rng, (uint64_t)i);
    double error_q4 = normal_error(TERN_Q4_0, &x, &q4), error = normal_error(TERN_NF4, &x, &nf4);
    double error_x2 = normal_error(TERN_NF4X2, &x, &nf4x2);
    printf("relative error on normal numbers: q4_0 %.4f, nf4 %.4f, nf4x2 %.4f\n", error_q4, error, error_x2);
    assert_true(fabs(error_q4 - 0.0859) < 0.0005 && fabs(error - 0.0920) < 0.0005);
    assert_true(fabs(error_x2 - error) < 0.0005);
    double bits = 8 * (double)tern_bytes_of(TERN_NF4X2, count) / (double)count;
    assert_true(fabs(bits - 4.127) < 0.01 && tern_bytes_of(TERN_NF4, count) * 8 == (size_t)count * 9 / 2);
    for (int64_t b = 0; b < count / 64; b++) { /* indices are the same, scales within 1.2 % */
        const uint8_t *one = (const uint8_t *)nf4.data + b * 36;
        const uint8_t *two = (const uint8_t *)nf4x2.data + b / 256 * 8456;
        assert_memory_equal(one + 4, two + 264 + b % 256 * 32, 32);
        for (int64_t i = b * 64; i < b * 64 + 64; i++) {
            double v = tern_get(&nf4, i);
            if (v != 0) assert_true(fabs(tern_get(&nf4x2, i) / v - 1) < 0.012);
        }
    }
    tern_tensor_free(&x);
    tern_tensor_free(&q4);
    tern_tensor_free(&nf4);
    tern_tensor_free(&nf4x2);
}

/* The code itself, order within a byte, and ties: a value half way between two levels takes the lower one. */
static void test_normal_float_code(void **state)
{
    (void)state;
    double x[64] = {1, -1, (0.0 + (double)0.07958029955625534F) / 2}, out[64];
    uint8_t block[36];
    tern_dtype_of(TERN_NF4)->encode(block, 0, 64, x);
    assert_int_equal(block[4], 0xf0);
    assert_int_equal(block[5], 0x77);
    for (int i = 0; i < 32; i++) block[4 + i] = (uint8_t)((2 * i % 16) << 4 | (2 * i % 16 + 1));
    tern_dtype_of(TERN_NF4)->decode(block, 0, 64, out);
    for (int i = 1; i < 16; i++) assert_true(out[i] > out[i - 1]);
    assert_true(out[0] == -1 && out[7] == 0 && out[15] == 1);
    assert_true(fabs(out[8] - 0.07958029955625534) < 1e-8 && fabs(out[1] + 0.6961928009986877) < 1e-8);
}

int main(void)
{
#ifndef HAVE_JANSSON
    puts("0 passed, 0 failed, 1 skipped: needs jansson");
    return 0;
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),       cmocka_unit_test(test_encode),
        cmocka_unit_test(test_parts),        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_normal_float), cmocka_unit_test(test_normal_float_code),
    };
    char path[512];
    snprintf(path, sizeof path, "%s/golden/formats/formats.safetensors", TERN_TESTS);
    if (tern_safetensors_read(path, &golden) != TERN_OK) {
        printf("%s\n", tern_message());
        return 1;
    }
    int failed = cmocka_run_group_tests_name("packed", tests, NULL, NULL);
    tern_bundle_free(&golden);
    return failed;
}
