/* io: CSV: headers, labels, quotes, errors with their places, damage, memory that fails. */
#include "damage.h"
#include "test.h"

#include "io/io.h"

static tern_status parse(const char *text, const tern_csv_options *options, tern_table *out)
{
    return tern_csv_parse(text, strlen(text), "file", options, out);
}

static void test_numbers(void **state)
{
    (void)state;
    tern_table t;
    assert_ok(parse("1,2\r\n\r\n-3.5, 4e2 \n", NULL, &t));
    assert_true(tern_shape_equal(&t.values.shape, &TERN_SHAPE(2, 2)));
    static const double want[] = {1, 2, -3.5, 400};
    for (int i = 0; i < 4; i++) assert_true(tern_get(&t.values, i) == want[i]);
    assert_null(t.labels.data);
    assert_int_equal(t.columns.texts, 0);
    tern_table_free(&t);
}

static void test_labels(void **state)
{
    (void)state;
    tern_table t;
    const char *text = "\xef\xbb\xbfheight;\"a \"\"kind\"\"\";width\n1;cat;2\n3;\"an ox\";4\n5;cat;6";
    assert_ok(parse(text, &(tern_csv_options){.label = "class|a \"kind\"|-1"}, &t));
    assert_int_equal(t.columns.texts, 3);
    assert_string_equal(t.columns.keys[1], "a \"kind\"");
    assert_true(tern_shape_equal(&t.values.shape, &TERN_SHAPE(3, 2)));
    for (int i = 0; i < 6; i++) assert_true(tern_get(&t.values, i) == i + 1);
    static const int want[] = {1, 0, 1};
    for (int i = 0; i < 3; i++) assert_true(tern_get(&t.labels, i) == want[i]);
    assert_int_equal(t.classes, 2);
    assert_string_equal(t.class_names.keys[0], "an ox");
    tern_table_free(&t);
    assert_ok(parse("0.5\t7\n0.25\t2\n", &(tern_csv_options){.label = "-1"}, &t));
    assert_true(tern_get(&t.labels, 0) == 7 && tern_get(&t.labels, 1) == 2 && t.classes == 8);
    assert_int_equal(t.class_names.texts, 0);
    tern_table_free(&t);
    assert_ok(parse("5,6\n7,8\n", &(tern_csv_options){.header = TERN_CSV_HEADER, .label = "1"}, &t));
    assert_true(tern_get(&t.labels, 0) == 7 && tern_get(&t.values, 0) == 8);
    tern_table_free(&t);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *label, *message;
    } cases[] = {
        {"", NULL, "the file is empty"},
        {"a,b\n", NULL, "a header but no rows"},
        {"1,2\n3\n", NULL, "line 2 has 1 columns, expected 2"},
        {"1,2\n\n3,x\n", NULL, "line 3 column 2: expected a number, found \"x\""},
        {"1,2\n3,\n", NULL, "line 2 column 2: expected a number, found \"\""},
        {"1,2\n3,nan\n", NULL, "line 2 column 2: expected a finite number"},
        {"1,2\n3,1e99\n", NULL, "line 2 column 2: expected a finite number"},
        {"1,\"2\n3,4\n", NULL, "line 1 column 2: the quote is never closed"},
        {"size,kind\n1,2\n", "kinds",
         "no column \"kinds\": expected a column's name or a number from 1 to 2; did you mean kind?"},
        {"1,2\n", "3", "no column \"3\""},
    };
    tern_table t;
    for (size_t i = 0; i < TERN_COUNT(cases); i++)
        assert_error(parse(cases[i].text, &(tern_csv_options){.label = cases[i].label}, &t), TERN_FAILED,
                     cases[i].message);
    assert_error(tern_csv_parse("a,b\n1,\0\n", 8, "file", NULL, &t), TERN_FAILED,
                 "line 2 column 2: expected text");
    assert_error(tern_csv_read("no/such.csv", NULL, &t), TERN_FAILED, "cannot open no/such.csv");
}

static const char sample[] = "a,b,label\n1,2,x\n3,4,\"y\"\n5,6.5e-3,x\n";

static tern_status read_csv(const void *bytes, size_t count)
{
    tern_table t = {0};
    TERN_TRY(tern_csv_parse(bytes, count, "damaged", &(tern_csv_options){.label = "label|-1"}, &t));
    assert_int_equal(t.values.shape.dim[0], t.labels.shape.dim[0]);
    tern_table_free(&t);
    return TERN_OK;
}

static void test_damage(void **state)
{
    (void)state;
    assert_true(damage_attempt(read_csv, sample, sizeof sample - 1));
    damage_cut(read_csv, sample, sizeof sample - 1);
    damage_flip(read_csv, sample, sizeof sample - 1, 10000);
}

static void test_memory(void **state)
{
    (void)state;
    assert_survives_out_of_memory(read_csv(sample, sizeof sample - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_labels), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_damage),  cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests_name("io: csv", tests, NULL, NULL);
}
