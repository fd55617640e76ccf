/* io: IDX files. */
#include "test.h"

#include "io/io.h"

#include <stdlib.h>
#include <string.h>

/* [2,3] i16: 1 -2 3 -4 5 256 */
static const uint8_t small[] = {0, 0, 0x0b, 2,    0, 0, 0,    2,    0, 0, 0, 3,
                                0, 1, 0xff, 0xfe, 0, 3, 0xff, 0xfc, 0, 5, 1, 0};

static void test_idx_plain(void **state)
{
    (void)state;
    static const double want[] = {1, -2, 3, -4, 5, 256};
    tern_tensor t;
    assert_ok(tern_idx_parse(small, sizeof small, "small", &t));
    assert_int_equal(t.dtype, TERN_I16);
    assert_true(tern_shape_equal(&t.shape, &TERN_SHAPE(2, 3)));
    for (int i = 0; i < 6; i++) assert_true(tern_get(&t, i) == want[i]);
    tern_tensor_free(&t);
}

static void test_idx_errors(void **state)
{
    (void)state;
    tern_tensor t;
    uint8_t bad[sizeof small + 1];
    for (size_t cut = 0; cut < sizeof small; cut++)
        assert_error(tern_idx_parse(small, cut, "small", &t), TERN_FAILED, "truncated");
    memcpy(bad, small, sizeof small);
    bad[sizeof small] = 9;
    assert_error(tern_idx_parse(bad, sizeof bad, "long", &t), TERN_FAILED,
                 "bytes behind the data, from byte 24");
    bad[2] = 7;
    assert_error(tern_idx_parse(bad, sizeof small, "bad", &t), TERN_FAILED, "magic number 0x00000702");
    bad[2] = 0x0b;
    bad[3] = 9;
    assert_error(tern_idx_parse(bad, sizeof small, "bad", &t), TERN_FAILED, "9 axes, expected 1 to 6");
    bad[3] = 2;
    memset(bad + 4, 0xff, 8);
    assert_error(tern_idx_parse(bad, sizeof small, "bad", &t), TERN_FAILED, "more elements than any memory");
    assert_error(tern_idx_read("no/such/file", &t), TERN_FAILED, "cannot open no/such/file");
}

static tern_status idx_job(void)
{
    tern_tensor t = {0};
    TERN_TRY(tern_idx_parse(small, sizeof small, "small", &t));
    tern_tensor_free(&t);
    return TERN_OK;
}

static void test_idx_memory(void **state)
{
    (void)state;
    assert_survives_out_of_memory(idx_job());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idx_plain),
        cmocka_unit_test(test_idx_errors),
        cmocka_unit_test(test_idx_memory),
    };
    return cmocka_run_group_tests_name("io: idx", tests, NULL, NULL);
}
