/* io: data sets by name and by path, their splits, statistics and errors. */
#define _DEFAULT_SOURCE
#include "golden.h"
#include "test.h"

#include "io/io.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64]; /* of this run, below the current one */

/* A path below the folder; valid until the eighth call from now. */
static const char *below(const char *name)
{
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void copy(const char *from, const char *to)
{
    size_t count;
    char *bytes = golden_bytes(from, &count);
    assert_ok(tern_write_file(below(to), bytes, count));
    tern_release(bytes);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "dataset-test-%ld", (long)getpid());
    return tern_make_folder(folder) == TERN_OK ? 0 : -1;
}

static int drop_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/* ---- IDX folders ------------------------------------------------------------------------------------------------ */

/* `count` images 2x2 of value 10 * label; sample i has label i % 4, but label[where] is `odd`. */
static void write_idx(const char *split, int count, int where, int odd)
{
    char name[64];
    uint8_t images[16 + 4 * 64] = {0, 0, 8, 3, 0, 0, 0, (uint8_t)count, 0, 0, 0, 2, 0, 0, 0, 2};
    uint8_t labels[8 + 64] = {0, 0, 8, 1, 0, 0, 0, (uint8_t)count};
    for (int i = 0; i < count; i++) {
        labels[8 + i] = (uint8_t)(i == where ? odd : i % 4);
        memset(images + 16 + 4 * i, 10 * (i % 4), 4);
    }
    snprintf(name, sizeof name, "idx/%s-images-idx3-ubyte", split);
    assert_ok(tern_write_file(below(name), images, 16 + 4 * (size_t)count));
    snprintf(name, sizeof name, "idx/%s-labels-idx1-ubyte", split);
    assert_ok(tern_write_file(below(name), labels, 8 + (size_t)count));
}

static void test_idx_folder(void **state)
{
    (void)state;
    tern_dataset d;
    assert_ok(tern_make_folder(below("idx")));
    write_idx("train", 40, -1, 0);
    write_idx("t10k", 8, -1, 0);
    assert_ok(tern_dataset_open(&d, below("idx"), NULL));
    assert_true(tern_shape_equal(&d.train.images.shape, &TERN_SHAPE(40, 1, 2, 2)));
    assert_true(tern_shape_equal(&d.test.images.shape, &TERN_SHAPE(8, 1, 2, 2)));
    assert_true(tern_shape_equal(&d.sample, &TERN_SHAPE(1, 2, 2)));
    assert_int_equal(d.classes, 4);
    assert_null(d.class_names);
    assert_true(fabs(d.mean[0] - 15 / 255.) < 1e-12 && fabs(d.std[0] - sqrt(125) / 255) < 1e-12);
    assert_true(d.mean[7] == d.mean[0]);
    tern_dataset_close(&d);
    assert_ok(
        tern_dataset_open(&d, below("idx"), &(tern_dataset_options){.train_limit = 10, .test_limit = 2}));
    assert_int_equal(d.train.labels.shape.dim[0], 10);
    for (int i = 0; i < 10; i++)
        assert_true(tern_get(&d.train.images, 4 * i) == 10 * tern_get(&d.train.labels, i));
    assert_true(tern_get(&d.test.labels, 0) == 0 &&
                tern_get(&d.test.labels, 1) == 0); /* samples 0 and 4 of 8 */
    tern_dataset_close(&d);
}

static void test_hold_out(void **state)
{
    (void)state;
    tern_dataset d;
    unlink(below("idx/train-images-idx3-ubyte"));
    unlink(below("idx/train-labels-idx1-ubyte"));
    write_idx("t10k", 40, -1, 0);
    int seen[2][4] = {{0}};
    int32_t first[8];
    for (int again = 0; again < 2; again++) {
        assert_ok(tern_dataset_open(&d, below("idx"), NULL));
        assert_int_equal(d.train.labels.shape.dim[0], 32);
        assert_int_equal(d.test.labels.shape.dim[0], 8);
        for (int i = 0; i < 32; i++) seen[0][(int)tern_get(&d.train.labels, i)]++;
        for (int i = 0; i < 8; i++) {
            int label = (int)tern_get(&d.test.labels, i);
            seen[1][label]++;
            assert_true(tern_get(&d.test.images, 4 * i) == 10 * label);
            if (again) assert_int_equal(first[i], label);
            first[i] = label;
        }
        tern_dataset_close(&d);
    }
    for (int c = 0; c < 4; c++) assert_true(seen[0][c] == 16 && seen[1][c] == 4); /* two times 8 and 2 */
    write_idx("t10k", 4, -1, 0);
    assert_error(tern_dataset_open(&d, below("idx"), NULL), TERN_FAILED, "4 samples and no test split");
}

static void test_idx_errors(void **state)
{
    (void)state;
    tern_dataset d;
    write_idx("train", 40, -1, 0);
    write_idx("t10k", 8, 3, 7);
    assert_error(tern_dataset_open(&d, below("idx"), NULL), TERN_FAILED,
                 "label 7 of test sample 3 is out of range: expected 0 to 3");
    write_idx("t10k", 8, -1, 0);
    uint8_t labels[8 + 7] = {0, 0, 8, 1, 0, 0, 0, 7};
    assert_ok(tern_write_file(below("idx/t10k-labels-idx1-ubyte"), labels, sizeof labels));
    assert_error(tern_dataset_open(&d, below("idx"), NULL), TERN_FAILED,
                 "t10k-images-idx3-ubyte has 8 images, t10k-labels-idx1-ubyte has 7 labels");
    labels[3] = 3;
    assert_ok(tern_write_file(below("idx/t10k-labels-idx1-ubyte"), labels, sizeof labels));
    assert_error(tern_dataset_open(&d, below("idx"), NULL), TERN_FAILED, "t10k-labels-idx1-ubyte: ");
    labels[2] = 0;
    assert_ok(tern_write_file(below("idx/t10k-labels-idx1-ubyte"), labels, sizeof labels));
    assert_error(tern_dataset_open(&d, below("idx"), NULL), TERN_FAILED, "magic number 0x00000003");
}

/* ---- image folders ------------------------------------------------------------------------------------------------ */

static void test_image_folder(void **state)
{
    (void)state;
    tern_dataset d;
    for (int i = 0; i < 6; i++) {
        char name[64];
        assert_ok(tern_make_folder(below("pictures/b cat")));
        assert_ok(tern_make_folder(below("pictures/a dog")));
        snprintf(name, sizeof name, "pictures/b cat/%d.PNG", i);
        copy("colour.png", name);
        snprintf(name, sizeof name, "pictures/a dog/%d.png", i);
        copy("grey.png", name);
    }
    copy("grey.png", "pictures/readme.txt");
    /* The first image is grey, so a colour one does not fit; made grey, all do. */
    assert_error(tern_dataset_open(&d, below("pictures"), NULL), TERN_FAILED, "b cat/0.PNG: a colour image");
    assert_ok(tern_dataset_open(&d, below("pictures"),
                                &(tern_dataset_options){.grey = true, .height = 3, .width = 6}));
    assert_int_equal(d.classes, 2);
    assert_string_equal(d.class_names[0], "a dog");
    assert_true(tern_shape_equal(&d.train.images.shape, &TERN_SHAPE(10, 1, 3, 6)));
    assert_true(tern_shape_equal(&d.test.images.shape, &TERN_SHAPE(2, 1, 3, 6)));
    assert_true(tern_get(&d.test.labels, 0) + tern_get(&d.test.labels, 1) == 1); /* one of each class */
    tern_dataset_close(&d);
    copy("colour.jpg", "pictures/a dog/-0.jpg"); /* now the first one is in colour */
    assert_ok(tern_dataset_open(&d, below("pictures"), NULL));
    assert_int_equal(d.sample.dim[0], 3);
    tern_dataset_close(&d);
    assert_ok(tern_write_file(below("pictures/b cat/2.PNG"), "\x89PNG", 4));
    assert_error(tern_dataset_open(&d, below("pictures"), NULL), TERN_FAILED, "b cat/2.PNG: no readable PNG");
}

static void test_image_splits(void **state)
{
    (void)state;
    tern_dataset d;
    assert_ok(tern_make_folder(below("splits/train/x")));
    assert_ok(tern_make_folder(below("splits/val/x")));
    copy("grey.png", "splits/train/x/1.png");
    copy("grey.jpg", "splits/val/x/1.jpg");
    assert_ok(tern_dataset_open(&d, below("splits"), NULL));
    assert_true(d.train.images.shape.dim[0] == 1 && d.test.images.shape.dim[0] == 1);
    tern_dataset_close(&d);
    assert_ok(tern_make_folder(below("splits/val/y")));
    assert_error(tern_dataset_open(&d, below("splits"), NULL), TERN_FAILED, "splits/val/y: no .png");
    copy("grey.png", "splits/val/y/1.png");
    assert_error(tern_dataset_open(&d, below("splits"), NULL), TERN_FAILED,
                 "differ from those of train (at \"y\")");
    assert_ok(tern_make_folder(below("nothing")));
    assert_error(tern_dataset_open(&d, below("nothing"), NULL), TERN_FAILED,
                 "neither IDX files nor folders of images");
}

/* ---- tables --------------------------------------------------------------------------------------------------------- */

static void test_npz(void **state)
{
    (void)state;
    tern_dataset d;
    assert_ok(tern_dataset_open(&d, golden("deflated.npz"), NULL));
    assert_true(tern_shape_equal(&d.train.images.shape, &TERN_SHAPE(20, 1, 2, 3)));
    assert_true(tern_shape_equal(&d.test.images.shape, &TERN_SHAPE(4, 1, 2, 3)));
    assert_int_equal(d.classes, 4);
    assert_true(tern_get(&d.train.images, 119) == 119 && tern_get(&d.train.labels, 19) == 3);
    tern_dataset_close(&d);
}

static void test_csv(void **state)
{
    (void)state;
    tern_dataset d;
    static const char text[] = "w,h,kind\n1,2,ox\n3,4,ant\n5,6,ox\n7,8,ant\n9,10,ox\n";
    assert_ok(tern_write_file(below("t.csv"), text, sizeof text - 1));
    assert_ok(tern_dataset_open(&d, below("t.csv"), NULL));
    assert_true(tern_shape_equal(&d.train.images.shape, &TERN_SHAPE(4, 2)));
    assert_string_equal(d.class_names[0], "ant");
    tern_dataset_close(&d);
    tern_dataset_options o = {.height = 1, .width = 2, .label = "kind"};
    assert_ok(tern_dataset_open(&d, below("t.csv"), &o));
    assert_true(tern_shape_equal(&d.sample, &TERN_SHAPE(1, 1, 2)));
    tern_dataset_close(&d);
    o.width = 3;
    assert_error(tern_dataset_open(&d, below("t.csv"), &o), TERN_FAILED,
                 "2 columns of values, expected 3 x 1 pixels");
    o.label = "kin";
    assert_error(tern_dataset_open(&d, below("t.csv"), &o), TERN_FAILED, "did you mean kind?");
}

static void test_not_a_number(void **state)
{
    (void)state;
    tern_dataset d;
    static const char text[] = "1,2,0\n3,4,0\n5,6,0\n7,inf,0\n9,10,0\n";
    assert_ok(tern_write_file(below("n.csv"), text, sizeof text - 1));
    assert_error(tern_dataset_open(&d, below("n.csv"), NULL), TERN_FAILED,
                 "line 4 column 2: expected a finite number");
}

/* ---- names ---------------------------------------------------------------------------------------------------------- */

static void test_names(void **state)
{
    (void)state;
    tern_dataset d;
    tern_arena arena = {0};
    char *searched, *found;
    assert_error(tern_dataset_open(&d, "fashon-mnist", NULL), TERN_USAGE, "did you mean fashion-mnist?");
    assert_ok(tern_write_file(below("data.bin"), "x", 1));
    assert_error(tern_dataset_open(&d, below("data.bin"), NULL), TERN_USAGE,
                 "expected a folder, or a file .npz");
    assert_int_equal(setenv("TERN_DATA", folder, 1), 0);
    for (int i = 0; tern_dataset_known(i); i++) {
        const tern_known_dataset *k = tern_dataset_known(i);
        assert_true(k->about[0] && k->licence[0] && k->get[0]);
        assert_ok(tern_dataset_locate(k, &arena, &searched, &found));
        assert_true(strstr(searched, folder) ||
                    (found && strcmp(found, "(made)") == 0)); /* made of nothing */
    }
    assert_error(tern_dataset_open(&d, "n-mnist", NULL), TERN_FAILED, "to get it: put the recordings");
    tern_arena_free(&arena);
}

/* N-MNIST's layout with two recordings of four events each. */
static void test_nmnist(void **state)
{
    (void)state;
    tern_dataset d;
    static const uint8_t events[] = {1, 2, 0x80, 0, 10, 33, 33, 0,    0, 20,
                                     5, 6, 0x80, 0, 30, 5,  6,  0x80, 0, 40};
    assert_ok(tern_make_folder(below("nmnist")));
    assert_int_equal(setenv("TERN_DATA", folder, 1), 0);
    assert_ok(tern_write_file(below("nmnist/1.bs2"), events, sizeof events));
    assert_ok(tern_write_file(below("nmnist/60001.bs2"), events, 10));
    assert_ok(tern_write_file(below("nmnist/train1K.txt"), "#sample #class\n1\t5\n", 19));
    assert_ok(tern_write_file(below("nmnist/test100.txt"), "#sample #class\n60001\t3", 22));
    assert_ok(tern_dataset_open(&d, "n-mnist", &(tern_dataset_options){.timesteps = 2}));
    assert_true(tern_shape_equal(&d.train.images.shape, &TERN_SHAPE(1, 2, 2, 34, 34)));
    const int64_t plane = 34 * 34;
    assert_true(tern_get(&d.train.images, plane + 2 * 34 + 1) == 1);     /* frame 0, on, y 2, x 1 */
    assert_true(tern_get(&d.train.images, 33 * 34 + 33) == 1);           /* frame 0, off */
    assert_true(tern_get(&d.train.images, 3 * plane + 6 * 34 + 5) == 2); /* frame 1, on, twice */
    assert_true(tern_get(&d.train.labels, 0) == 5 && tern_get(&d.test.labels, 0) == 3);
    tern_dataset_close(&d);
    assert_ok(tern_write_file(below("nmnist/test100.txt"), "60001\n", 6));
    assert_error(tern_dataset_open(&d, "n-mnist", NULL), TERN_FAILED,
                 "test100.txt: line 1: expected a recording's number");
    assert_ok(tern_write_file(below("nmnist/test100.txt"), "60001 3\n", 8));
    assert_ok(tern_write_file(below("nmnist/60001.bs2"), events, 9));
    assert_error(tern_dataset_open(&d, "n-mnist", NULL), TERN_FAILED,
                 "60001.bs2: 9 bytes, expected a multiple of 5");
}

static tern_status open_job(const char *name, const tern_dataset_options *options)
{
    tern_dataset d = {0};
    TERN_TRY(tern_dataset_open(&d, name, options));
    tern_dataset_close(&d);
    return TERN_OK;
}

static void test_memory(void **state)
{
    (void)state;
    assert_int_equal(setenv("TERN_DATA", folder, 1), 0);
    write_idx("train", 40, -1, 0);
    unlink(below("idx/t10k-labels-idx1-ubyte"));
    assert_survives_out_of_memory(open_job(below("idx"), NULL));
    assert_survives_out_of_memory(open_job(below("t.csv"), NULL));
    assert_survives_out_of_memory(open_job(golden("stored.npz"), NULL));
    copy("grey.png", "pictures/b cat/2.PNG");
    tern_dataset_options small = {.grey = true, .height = 3, .width = 6};
    assert_survives_out_of_memory(open_job(below("pictures"), &small));
    static const uint8_t event[] = {1, 2, 0x80, 0, 10};
    assert_ok(tern_write_file(below("nmnist/60001.bs2"), event, sizeof event));
    assert_survives_out_of_memory(open_job("n-mnist", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idx_folder),   cmocka_unit_test(test_hold_out),
        cmocka_unit_test(test_idx_errors),   cmocka_unit_test(test_image_folder),
        cmocka_unit_test(test_image_splits), cmocka_unit_test(test_npz),
        cmocka_unit_test(test_csv),          cmocka_unit_test(test_not_a_number),
        cmocka_unit_test(test_names),        cmocka_unit_test(test_nmnist),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests_name("io: data sets", tests, make_folder, drop_folder);
}
