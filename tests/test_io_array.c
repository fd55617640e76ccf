/* io: IDX, NPY and NPZ against files that numpy wrote; round trips; damage; memory that fails. */
#include "damage.h"
#include "golden.h"
#include "test.h"

#include "io/io.h"

#include <unistd.h>

/* Element i of golden arrays, shape [3,4,2]. */
static double want(int64_t i, bool boolean)
{
    int value = (int)(i * 7 + 3) % 11;
    return boolean ? value % 2 : value;
}

static void assert_ramp(const tern_tensor *t, tern_dtype dtype)
{
    assert_int_equal(t->dtype, dtype);
    assert_true(tern_shape_equal(&t->shape, &TERN_SHAPE(3, 4, 2)));
    for (int64_t i = 0; i < 24; i++) assert_true(tern_get(t, i) == want(i, dtype == TERN_BIT));
}

static const struct {
    const char *file;
    tern_dtype dtype;
} numpy_files[] = {
    {"c-f8.npy", TERN_F64},
    {"c-f4.npy", TERN_F32},
    {"c-f2.npy", TERN_F16},
    {"c-i8.npy", TERN_I32},
    {"c-i4.npy", TERN_I32},
    {"c-i2.npy", TERN_I16},
    {"c-i1.npy", TERN_I8},
    {"c-u8.npy", TERN_I32},
    {"c-u4.npy", TERN_I32},
    {"c-u2.npy", TERN_I32},
    {"c-u1.npy", TERN_U8},
    {"c-b1.npy", TERN_BIT},
    {"c-big-f8.npy", TERN_F64},
    {"c-big-f4.npy", TERN_F32},
    {"c-big-f2.npy", TERN_F16},
    {"c-big-i8.npy", TERN_I32},
    {"c-big-i4.npy", TERN_I32},
    {"c-big-i2.npy", TERN_I16},
    {"c-big-u8.npy", TERN_I32},
    {"c-big-u4.npy", TERN_I32},
    {"c-big-u2.npy", TERN_I32},
    {"fortran-f4.npy", TERN_F32},
    {"fortran-u1.npy", TERN_U8},
    {"fortran-b1.npy", TERN_BIT},
    {"fortran-big-i2.npy", TERN_I16},
    {"version-2.npy", TERN_F32},
    {"version-3.npy", TERN_F32},
};

static void test_npy_of_numpy(void **state)
{
    (void)state;
    for (size_t i = 0; i < TERN_COUNT(numpy_files); i++) {
        tern_tensor t;
        assert_ok(tern_npy_read(golden(numpy_files[i].file), &t));
        assert_ramp(&t, numpy_files[i].dtype);
        tern_tensor_free(&t);
    }
    tern_tensor scalar;
    assert_ok(tern_npy_read(golden("scalar.npy"), &scalar));
    assert_int_equal(scalar.shape.rank, 0);
    assert_true(tern_get(&scalar, 0) == -0.5);
    tern_tensor_free(&scalar);
    assert_error(tern_npy_read(golden("complex.npy"), &scalar), TERN_FAILED,
                 "dtype '<c8', expected f2 f4 f8");
}

static void test_npy_round_trip(void **state)
{
    (void)state;
    static const tern_shape shapes[] = {{.rank = 0}, {1, {7}}, {3, {2, 0, 3}}, {6, {1, 2, 3, 1, 2, 2}}};
    for (int dtype = 0; dtype < TERN_DTYPES; dtype++) {
        for (size_t s = 0; s < TERN_COUNT(shapes); s++) {
            tern_tensor a, b;
            assert_ok(tern_tensor_new(&a, (tern_dtype)dtype, &shapes[s]));
            for (int64_t i = 0; i < tern_elements(&a.shape); i++) tern_set(&a, i, (double)((i * 3 + 1) % 2));
            if (dtype == TERN_BF16 || tern_dtype_of((tern_dtype)dtype)->unpack) {
                assert_error(tern_npy_write("round.npy", &a), TERN_FAILED, "numpy has no ");
            } else {
                assert_ok(tern_npy_write("round.npy", &a));
                assert_ok(tern_npy_read("round.npy", &b));
                assert_int_equal(b.dtype, dtype);
                assert_true(tern_shape_equal(&a.shape, &b.shape));
                assert_memory_equal(a.data, b.data, tern_bytes_of(a.dtype, tern_elements(&a.shape)));
                tern_tensor_free(&b);
            }
            tern_tensor_free(&a);
        }
    }
    unlink("round.npy");
}

static tern_status parse_npy(const char *header, size_t data)
{
    char bytes[512] = "\x93NUMPY\x01\x00";
    size_t length = strlen(header);
    bytes[8] = (char)length;
    memcpy(bytes + 10, header, length);
    tern_tensor t;
    TERN_TRY(tern_npy_parse(bytes, 10 + length + data, "file", &t));
    tern_tensor_free(&t);
    return TERN_OK;
}

static void test_npy_headers(void **state)
{
    (void)state;
    assert_ok(parse_npy("{\"shape\": (2, 1), 'fortran_order': False, 'descr': '|u1'}", 2));
    static const struct {
        const char *header, *message;
    } cases[] = {
        {"", "expected {, found \"\""},
        {"{'descr': '<f4', 'fortran_order': False}", "expected descr, fortran_order and shape"},
        {"{'descr': '<f4', 'descr': '<f4'}", "each of descr, fortran_order and shape once"},
        {"{'descr': [('a', '<f4')], }", "a structured dtype"},
        {"{'descr': '<f16', }", "dtype '<f16'"},
        {"{'descr': '<f3', }", "dtype '<f3'"},
        {"{'fortran_order': Maybe}", "expected True or False, found \"Maybe}\""},
        {"{'shape': (1, 1, 1, 1, 1, 1, 1)}", "more than 6 axes"},
        {"{'shape': (-1,)}", "expected a dimension, found \"-1,)}\""},
        {"{'shape': (99999999999999999999,)}", "expected a dimension"},
        {"{'shape': (9999999999, 9999999999)}", "more elements than any memory"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2,)} x", "and nothing else"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (3,)}",
         "needs 3 bytes behind the header, found 2: the file"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}", "found 2: something was appended"},
    };
    for (size_t i = 0; i < TERN_COUNT(cases); i++)
        assert_error(parse_npy(cases[i].header, 2), TERN_FAILED, cases[i].message);
    assert_error(tern_npy_parse("\x93NUMPZ\x01\x00\x00\x00", 10, "f", &(tern_tensor){0}), TERN_FAILED,
                 "magic number");
    assert_error(tern_npy_parse("\x93NUMPY\x04\x00\x00\x00", 10, "f", &(tern_tensor){0}), TERN_FAILED,
                 "version 4.0");
}

static void test_idx_of_numpy(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        tern_dtype dtype;
    } files[] = {{"u1.idx", TERN_U8},  {"i1.idx", TERN_I8},  {"i2.idx", TERN_I16},
                 {"i4.idx", TERN_I32}, {"f4.idx", TERN_F32}, {"f8.idx", TERN_F64}};
    for (size_t i = 0; i < TERN_COUNT(files); i++) {
        char packed[64];
        tern_tensor t;
        assert_ok(tern_idx_read(golden(files[i].file), &t));
        assert_ramp(&t, files[i].dtype);
        tern_tensor_free(&t);
        snprintf(packed, sizeof packed, "%s.gz", files[i].file);
        assert_ok(tern_idx_read(golden(packed), &t));
        assert_ramp(&t, files[i].dtype);
        tern_tensor_free(&t);
    }
}

static void test_npz_of_numpy(void **state)
{
    (void)state;
    static const char *const files[] = {"stored.npz", "deflated.npz"};
    for (int f = 0; f < 2; f++) {
        tern_bundle b;
        assert_ok(tern_npz_read(golden(files[f]), &b));
        assert_int_equal(b.count, 4);
        const tern_tensor *x = tern_bundle_find(&b, "x_train"), *y = tern_bundle_find(&b, "y_train");
        assert_true(x && y && tern_bundle_find(&b, "x_test") && tern_bundle_find(&b, "y_test"));
        assert_true(tern_shape_equal(&x->shape, &TERN_SHAPE(20, 2, 3)));
        for (int i = 0; i < 120; i++) assert_true(tern_get(x, i) == i % 251);
        for (int i = 0; i < 20; i++) assert_true(tern_get(y, i) == i % 4);
        tern_bundle_free(&b);
    }
}

/* ---- damage -------------------------------------------------------------------------------------------------- */

static tern_status read_npy(const void *bytes, size_t count)
{
    tern_tensor t = {0};
    TERN_TRY(tern_npy_parse(bytes, count, "damaged", &t));
    tern_tensor_free(&t);
    return TERN_OK;
}

static tern_status read_idx(const void *bytes, size_t count)
{
    tern_tensor t = {0};
    TERN_TRY(tern_idx_parse(bytes, count, "damaged", &t));
    tern_tensor_free(&t);
    return TERN_OK;
}

static tern_status read_npz(const void *bytes, size_t count)
{
    tern_bundle b = {0};
    TERN_TRY(tern_npz_parse(bytes, count, "damaged", &b));
    tern_bundle_free(&b);
    return TERN_OK;
}

static const struct {
    const char *file;
    damage_reader *read;
} damaged[] = {
    {"c-f4.npy", read_npy},  {"fortran-b1.npy", read_npy}, {"version-2.npy", read_npy}, {"i2.idx", read_idx},
    {"f4.idx.gz", read_idx}, {"stored.npz", read_npz},     {"deflated.npz", read_npz},
};

static void test_damage(void **state)
{
    (void)state;
    for (size_t i = 0; i < TERN_COUNT(damaged); i++) {
        size_t count;
        char *bytes = golden_bytes(damaged[i].file, &count);
        assert_true(damage_attempt(damaged[i].read, bytes, count));
        assert_int_equal(damage_cut(damaged[i].read, bytes, count), 0);
        int taken = damage_flip(damaged[i].read, bytes, count, 10000);
        if (damaged[i].read == read_npz || strstr(damaged[i].file, ".gz"))
            assert_true(taken < 2500); /* checksums cover all but some fields that nothing depends on */
        tern_release(bytes);
    }
}

static tern_status memory_job(size_t i)
{
    char *bytes;
    size_t count;
    TERN_TRY(tern_read_file(golden(damaged[i].file), &bytes, &count));
    tern_status status = damaged[i].read(bytes, count);
    tern_release(bytes);
    return status;
}

static tern_status write_job(void)
{
    tern_tensor t = {0};
    TERN_TRY(tern_tensor_new(&t, TERN_BIT, &TERN_SHAPE(3, 3)));
    tern_status status = tern_npy_write("memory.npy", &t);
    tern_tensor_free(&t);
    return status;
}

static void test_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < TERN_COUNT(damaged); i++) assert_survives_out_of_memory(memory_job(i));
    assert_survives_out_of_memory(write_job());
    unlink("memory.npy");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_npy_of_numpy), cmocka_unit_test(test_npy_round_trip),
        cmocka_unit_test(test_npy_headers),  cmocka_unit_test(test_idx_of_numpy),
        cmocka_unit_test(test_npz_of_numpy), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests_name("io: arrays", tests, NULL, NULL);
}
