/* TFLite files against TensorFlow Lite Micro (golden/tflite, made by make.py there), files that must be refused, and damaged ones. */
#include "damage.h"
#include "test.h"

#include "graph/graph.h"
#include "io/io.h"
#include "tflite/flat.h"
#include "tflite/tflite.h"
#include "train/train.h"

#include <math.h>
#include <string.h>

#define NET_FILE tflite
#include "net_file.h"

/* ---- what TensorFlow Lite Micro says --------------------------------------------------------------------------------- */

/* The samples of a batch: the golden one, with others around that must not change it. */
static float *batch_of(const tern_tensor *x, int batch, int at, const tern_tflite_about *about)
{
    int64_t size = tern_elements(&x->shape);
    float *images = calloc((size_t)(size * batch), sizeof *images);
    for (int64_t i = 0; i < size * batch; i++) {
        double value = i / size == at ? tern_get(x, i % size) : (double)(i * 7 % 200) - 100;
        bool whole = about->scale > 0 && x->dtype != TERN_F32;
        images[i] = whole ? (float)about->scale * (float)(value - about->zero) : (float)value;
    }
    return images;
}

/* Whole numbers must be equal, floats within 1e-5 of the larger of 1 and the result. */
static void compare(const char *name, int output, const tern_tensor *got, int64_t first,
                    const tern_tensor *want, const net *n)
{
    char text[24];
    double scale = 0, zero = 0;
    snprintf(text, sizeof text, "output%d.scale", output);
    int at = tern_store_find(&n->store, text);
    if (at >= 0) scale = tern_get(&n->store.tensors[at], 0);
    snprintf(text, sizeof text, "output%d.zero", output);
    at = tern_store_find(&n->store, text);
    if (at >= 0) zero = tern_get(&n->store.tensors[at], 0);
    for (int64_t i = 0; i < tern_elements(&want->shape); i++) {
        double x = tern_get(got, first + i), y = tern_get(want, i);
        bool whole = want->dtype == TERN_I8 || want->dtype == TERN_I16;
        if (whole) x = nearbyint(x / scale) + zero;
        double most = whole ? 0 : 1e-5 * fmax(1, fabs(y));
        if (!(fabs(x - y) <= most))
            fail_msg("%s: output %d[%d] is %g, expected %g", name, output, (int)i, x, y);
    }
}

static void check_file(const char *name, int batch, int at)
{
    net n;
    tern_bundle golden = {0};
    assert_ok(tern_safetensors_read(path_of(name, ".safetensors"), &golden));
    const tern_tensor *x = tern_bundle_find(&golden, "x");
    assert_ok(open_net(&n, name, batch));
    tern_tflite_about about = tern_tflite_about_of(n.file);
    float *images = batch_of(x, batch, at, &about);
    assert_ok(tern_session_bind(n.model.session, "image", images));
    assert_ok(tern_session_run(n.model.session, 0));
    assert_int_equal(about.outputs, golden.count - 1);
    for (int i = 0; i < about.outputs; i++) {
        char key[16];
        tern_tensor got;
        snprintf(key, sizeof key, "y%d", i);
        const tern_tensor *want = tern_bundle_find(&golden, key);
        assert_ok(tern_session_output(n.model.session, tern_tflite_output_of(n.file, i), &got));
        assert_int_equal(tern_elements(&got.shape), batch * tern_elements(&want->shape));
        compare(name, i, &got, at * tern_elements(&want->shape), want, &n);
    }
    free(images);
    tern_bundle_free(&golden);
    close_net(&n);
}

static const char *const names[] = {
    "classifier-bytes", "classifier-floats", "elements-bytes",   "elements-floats",   "places-bytes",
    "places-floats",    "rows-bytes",        "rows-floats",      "recurrent-bytes",   "sizes-bytes",
    "sizes-floats",     "filters-bytes",     "filters-floats",   "classifier-shorts", "elements-shorts",
    "places-shorts",    "rows-shorts",       "crossings-shorts", "recurrent-shorts"};

static void test_operators(void **state)
{
    (void)state;
    for (size_t i = 0; i < TERN_COUNT(names); i++) check_file(names[i], 1, 0);
}

static void test_batches(void **state)
{
    (void)state;
    for (size_t i = 0; i < TERN_COUNT(names); i++) check_file(names[i], 3, 1);
}

/* Run after run of one input: what is remembered of the runs before. */
static void test_memory(void **state)
{
    (void)state;
    static const char *const remembering[] = {"filters-bytes", "filters-floats"};
    for (size_t k = 0; k < TERN_COUNT(remembering); k++) {
        net n;
        tern_bundle golden = {0};
        assert_ok(tern_safetensors_read(path_of(remembering[k], "-again.safetensors"), &golden));
        const tern_tensor *x = tern_bundle_find(&golden, "x");
        assert_ok(open_net(&n, remembering[k], 1));
        tern_tflite_about about = tern_tflite_about_of(n.file);
        float *images = batch_of(x, 1, 0, &about);
        assert_ok(tern_session_bind(n.model.session, "image", images));
        assert_true(golden.count > 3);
        for (int run = 0; run < golden.count - 1; run++) {
            char key[16];
            tern_tensor got;
            snprintf(key, sizeof key, "y%d", run);
            assert_ok(tern_session_run(n.model.session, 0));
            assert_ok(tern_session_output(n.model.session, tern_tflite_output_of(n.file, 0), &got));
            compare(remembering[k], 0, &got, 0, tern_bundle_find(&golden, key), &n);
        }
        free(images);
        tern_bundle_free(&golden);
        close_net(&n);
    }
}

/* Weights and biases are parameters, as many as the file has. */
static void test_parameters_are_counted(void **state)
{
    (void)state;
    net n;
    assert_ok(open_net(&n, "rows-floats", 1));
    assert_int_equal(tern_parameter_count(n.model.graph), 24 * 16 + 16 + 16 * 12);
    close_net(&n);
}

/* A border before a convolution, an image before a layer of rows: nothing is moved for them. */
static void test_no_moves(void **state)
{
    (void)state;
    net n;
    assert_ok(open_net(&n, "classifier-bytes", 1));
    int moves = 0;
    for (int i = 0; i < n.model.graph->node_count; i++) {
        const char *op = n.model.graph->nodes[i]->op->name;
        moves += strcmp(op, "permute") == 0 || strcmp(op, "pad") == 0;
    }
    assert_int_equal(moves, 1); /* of the input */
    close_net(&n);
}

/* ---- what is refused ------------------------------------------------------------------------------------------------- */

/* A copy of a file with the bytes at `at` replaced; what opening it says. */
static const char *message_with(const char *name, size_t at, const void *bytes, size_t count)
{
    char *content;
    size_t size;
    net n = {0};
    assert_ok(tern_read_file(path_of(name, ".tflite"), &content, &size));
    assert_true(at + count <= size);
    memcpy(content + at, bytes, count);
    tern_status status = tern_tflite_parse(&n.file, content, size, "changed.tflite");
    if (status == TERN_OK) status = fill_net(&n, 1);
    close_net(&n);
    tern_release(content);
    assert_int_equal(status, TERN_FAILED);
    return tern_message();
}

static void expect(const char *message, const char *part)
{
    if (!strstr(message, part) || !strstr(message, "changed.tflite"))
        fail_msg("\"%s\" does not say \"%s\"", message, part);
}

static void test_bad_files(void **state)
{
    (void)state;
    net n;
    expect(message_with("rows-bytes", 4, "TFL2", 4), "another identifier");
    expect(message_with("rows-bytes", 0, "\xff\xff\xff\x7f", 4), "behind the end");
    assert_error(open_net(&n, "make", 1), TERN_FAILED, "make.tflite");
    assert_error(tern_tflite_parse(&n.file, "TFL3", 4, "short.tflite"), TERN_FAILED,
                 "short.tflite: offset 0");
}

/* An operator that takes no 16 bits says so: the code of LEAKY_RELU, the only such word of the file, becomes HARD_SWISH's. */
static void test_refused_shorts(void **state)
{
    (void)state;
    char *content;
    size_t size, at = 0;
    assert_ok(tern_read_file(path_of("elements-shorts", ".tflite"), &content, &size));
    while (at + 4 < size && memcmp(content + at, "\x62\0\0", 4) != 0) at++;
    tern_release(content);
    expect(message_with("elements-shorts", at, "\x75", 1),
           "(HARD_SWISH): activations of 16 bits (7) are not read here: expected floats (0) or bytes (9)");
}

/* ---- tables ---------------------------------------------------------------------------------------------------------- */

/* A root table with an int, a text and a vector, made by hand. */
static void test_tables(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {20, 0, 0,  0, 'T',  'F',  'L',  '3', /* the root is at 20 */
                                    10, 0, 16, 0, 4,    0,    8,    0,
                                    12, 0, 0,  0, /* fields at 4, 8 and 12 of 16 bytes */
                                    12, 0, 0,  0, 0xfb, 0xff, 0xff, 0xff, /* -5 */
                                    8,  0, 0,  0, 12,   0,    0,    0,    /* text at 36, vector at 44 */
                                    3,  0, 0,  0, 'a',  'b',  'c',  0,    /* "abc" */
                                    2,  0, 0,  0, 1,    2};
    tern_flat flat = {.bytes = bytes, .count = sizeof bytes, .file = "t"};
    tern_flat_table t = tern_flat_root(&flat, "TFL3");
    assert_int_equal(tern_flat_int(&t, 0, 4, 9), -5);
    assert_string_equal(tern_flat_text(&t, 1), "abc");
    tern_flat_vector v = tern_flat_list(&t, 2, 1);
    assert_int_equal(v.count, 2);
    assert_int_equal(tern_flat_int_at(&v, 1), 2);
    assert_int_equal(tern_flat_int(&t, 3, 4, 9), 9); /* not in the list */
    assert_ok(tern_flat_status(&flat));
    tern_flat_list(&t, 2, 8); /* two elements of eight bytes are not there */
    assert_error(tern_flat_status(&flat), TERN_FAILED, "t: offset 48: a vector ends behind the end");
}

/* ---- damage ---------------------------------------------------------------------------------------------------------- */

static tern_status read_bytes(const void *bytes, size_t count)
{
    net n = {0};
    tern_status status = tern_tflite_parse(&n.file, bytes, count, "damaged.tflite");
    if (status == TERN_OK) status = fill_net(&n, 2);
    close_net(&n);
    return status;
}

static void test_damage(void **state)
{
    (void)state;
    for (size_t i = 0; i < TERN_COUNT(names); i++) {
        char *bytes;
        size_t count;
        assert_ok(tern_read_file(path_of(names[i], ".tflite"), &bytes, &count));
        damage_flip(read_bytes, bytes, count, 300);
        if (i == 6) assert_int_equal(damage_cut(read_bytes, bytes, count - 8), 0);
        tern_release(bytes);
    }
}

static tern_status open_and_close(void)
{
    net n;
    TERN_TRY(open_net(&n, "rows-bytes", 2));
    close_net(&n);
    return TERN_OK;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    assert_survives_out_of_memory(open_and_close());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operators),     cmocka_unit_test(test_batches),
        cmocka_unit_test(test_memory),        cmocka_unit_test(test_parameters_are_counted),
        cmocka_unit_test(test_no_moves),      cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_tables),        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_out_of_memory), cmocka_unit_test(test_refused_shorts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
