/* io: real data sets, where they are installed, and those that are made from them. */
#include "test.h"

#include "io/io.h"

#include <string.h>

/* Opens a known set, or skips this test by name. */
static void open_or_skip(tern_dataset *d, const char *name, const tern_dataset_options *options)
{
    const tern_known_dataset *known = NULL;
    tern_arena arena = {0};
    char *searched, *found;
    for (int i = 0; tern_dataset_known(i); i++)
        if (strcmp(tern_dataset_known(i)->name, name) == 0) known = tern_dataset_known(i);
    assert_non_null(known);
    assert_ok(tern_dataset_locate(known, &arena, &searched, &found));
    if (!found) print_message("%s is not in %s\n", name, searched);
    bool here = found;
    tern_arena_free(&arena);
    if (!here) skip();
    assert_ok(tern_dataset_open(d, name, options));
}

static void assert_counts(const tern_split *split, const int *want, int classes)
{
    int count[16] = {0};
    for (int64_t i = 0; i < split->labels.shape.dim[0]; i++) count[(int)tern_get(&split->labels, i)]++;
    for (int c = 0; c < classes; c++) assert_int_equal(count[c], want[c]);
}

static void test_fashion_mnist(void **state)
{
    (void)state;
    tern_dataset d;
    static const int train[] = {6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000};
    static const int test[] = {1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000};
    open_or_skip(&d, "fashion-mnist", NULL);
    assert_true(tern_shape_equal(&d.train.images.shape, &TERN_SHAPE(60000, 1, 28, 28)));
    assert_true(tern_shape_equal(&d.test.images.shape, &TERN_SHAPE(10000, 1, 28, 28)));
    assert_counts(&d.train, train, 10);
    assert_counts(&d.test, test, 10);
    assert_int_equal(d.classes, 10);
    assert_string_equal(d.class_names[9], "ankle boot");
    /* The published mean and deviation of the training pixels. */
    assert_true(d.mean[0] > 0.2860 && d.mean[0] < 0.2861);
    assert_true(d.std[0] > 0.3530 && d.std[0] < 0.3531);
    tern_dataset_close(&d);
}

static void test_mnist(void **state)
{
    (void)state;
    tern_dataset d;
    open_or_skip(&d, "mnist", NULL);
    assert_int_equal(d.train.labels.shape.dim[0], d.test.labels.shape.dim[0] == 2000 ? 8000 : 60000);
    tern_dataset_close(&d);
}

static void test_sign_digits(void **state)
{
    (void)state;
    tern_dataset d;
    open_or_skip(&d, "sign-language-digits", NULL);
    assert_true(tern_shape_equal(&d.train.images.shape, &TERN_SHAPE(1650, 3, 32, 32)));
    assert_true(tern_shape_equal(&d.test.images.shape, &TERN_SHAPE(412, 3, 32, 32)));
    tern_dataset_close(&d);
}

static void test_nmnist(void **state)
{
    (void)state;
    tern_dataset d;
    open_or_skip(&d, "n-mnist", NULL);
    assert_true(tern_shape_equal(&d.train.images.shape, &TERN_SHAPE(1000, 10, 2, 34, 34)));
    assert_int_equal(d.test.labels.shape.dim[0], 100);
    /* The first recording has 4,681 events and shows a 5: 468 a frame, 469 in the last. */
    assert_true(tern_get(&d.train.labels, 0) == 5);
    for (int t = 0; t < 10; t++) {
        double events = 0;
        for (int i = 0; i < 2 * 34 * 34; i++) events += tern_get(&d.train.images, t * 2 * 34 * 34 + i);
        assert_true(events == (t < 9 ? 468 : 469));
    }
    tern_dataset_close(&d);
}

/* Made data: the same bits for a seed, other ones for another; every class in its share. */
static void test_made(void **state)
{
    (void)state;
    static const char *const names[] = {"motion-8", "video-moving"};
    for (int n = 0; n < 2; n++) {
        tern_dataset a, b, c;
        tern_dataset_options o = {.train_limit = 16, .test_limit = 8, .seed = 4};
        open_or_skip(&a, names[n], &o);
        assert_ok(tern_dataset_open(&b, names[n], &o));
        o.seed = 5;
        assert_ok(tern_dataset_open(&c, names[n], &o));
        size_t bytes = tern_bytes_of(TERN_U8, tern_elements(&a.train.images.shape));
        assert_int_equal(a.train.images.shape.dim[0], 16);
        assert_memory_equal(a.train.images.data, b.train.images.data, bytes);
        assert_memory_equal(a.train.labels.data, b.train.labels.data, 16 * sizeof(int32_t));
        assert_int_not_equal(memcmp(a.train.images.data, c.train.images.data, bytes), 0);
        if (n == 0) assert_counts(&a.train, (const int[]){2, 2, 2, 2, 2, 2, 2, 2}, 8);
        tern_dataset_close(&a);
        tern_dataset_close(&b);
        tern_dataset_close(&c);
    }
}

/* The middle of the events goes where the motion says. */
static void test_motions_move(void **state)
{
    (void)state;
    tern_dataset d;
    tern_dataset_options o = {.train_limit = 8, .test_limit = 8, .timesteps = 4};
    open_or_skip(&d, "motion-8", &o);
    for (int i = 0; i < 4; i++) {
        double x[2] = {0}, y[2] = {0};
        for (int late = 0; late < 2; late++) {
            double sum = 0;
            for (int64_t p = 0; p < 2 * 64 * 64; p++) {
                double events = tern_get(&d.train.images, ((int64_t)i * 4 + 3 * late) * 2 * 64 * 64 + p);
                x[late] += events * (double)(p % 64);
                y[late] += events * (double)(p / 64 % 64);
                sum += events;
            }
            x[late] /= sum;
            y[late] /= sum;
        }
        double moved[] = {x[0] - x[1], x[1] - x[0], y[0] - y[1], y[1] - y[0]}; /* left, right, up, down */
        assert_true(moved[(int)tern_get(&d.train.labels, i)] > 4);
    }
    tern_dataset_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fashion_mnist), cmocka_unit_test(test_mnist),
        cmocka_unit_test(test_sign_digits),   cmocka_unit_test(test_nmnist),
        cmocka_unit_test(test_made),          cmocka_unit_test(test_motions_move),
    };
    return cmocka_run_group_tests_name("io: real data", tests, NULL, NULL);
}
