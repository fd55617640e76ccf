/* ONNX files against ONNX Runtime (golden/onnx, made by make.py there), files that must be refused, and damaged ones. */
#include "damage.h"
#include "test.h"

#include "graph/graph.h"
#include "io/io.h"
#include "onnx/onnx.h"
#include "train/train.h"

#include <math.h>
#include <string.h>

#define NET_FILE onnx
#include "net_file.h"

/* ---- what ONNX Runtime says ----------------------------------------------------------------------------------------- */

static void compare(const char *name, int output, const tern_tensor *got, const tern_tensor *want)
{
    char a[96], b[96];
    /* numpy has numbers without axes, and so has ONNX; safetensors keeps them */
    if (!tern_shape_equal(&got->shape, &want->shape))
        fail_msg("%s: output %d is %s, expected %s", name, output, tern_shape_text(a, &got->shape),
                 tern_shape_text(b, &want->shape));
    double worst = 0;
    for (int64_t i = 0; i < tern_elements(&want->shape); i++) {
        double x = tern_get(got, i), y = tern_get(want, i);
        if (isinf(y) && x == y) continue;
        worst = fmax(worst, isnan(x) ? INFINITY : fabs(x - y) / fmax(1, fabs(y)));
    }
    if (worst > 1e-5) fail_msg("%s: output %d differs by %g", name, output, worst);
}

static void check_file(const char *name)
{
    net n;
    tern_bundle golden = {0};
    assert_ok(tern_safetensors_read(path_of(name, ".safetensors"), &golden));
    const tern_tensor *x = tern_bundle_find(&golden, "x");
    assert_ok(open_net(&n, name, (int)x->shape.dim[0]));
    assert_ok(tern_session_bind(n.model.session, "image", x->data));
    assert_ok(tern_session_run(n.model.session, 0));
    tern_onnx_about about = tern_onnx_about_of(n.file);
    assert_int_equal(about.outputs, golden.count - 1);
    for (int i = 0; i < about.outputs; i++) {
        char key[16];
        tern_tensor got;
        snprintf(key, sizeof key, "y%d", i);
        assert_ok(
            tern_session_output(n.model.session, i ? tern_onnx_output_name(n.file, i) : "logits", &got));
        compare(name, i, &got, tern_bundle_find(&golden, key));
    }
    tern_bundle_free(&golden);
    close_net(&n);
}

static void test_operators(void **state)
{
    (void)state;
    static const char *const families[] = {"elements", "places", "sums", "images", "sizes", "sequences"};
    static const int opsets[] = {11, 13, 17, 21};
    for (size_t f = 0; f < TERN_COUNT(families); f++)
        for (size_t o = 0; o < TERN_COUNT(opsets); o++) {
            char name[32];
            snprintf(name, sizeof name, "%s-%d", families[f], opsets[o]);
            check_file(name);
        }
}

static void test_exported_nets(void **state)
{
    (void)state;
    static const char *const names[] = {"mlp-11",      "classes-13",   "residual-13",
                                        "residual-18", "attention-17", "attention-21"};
    for (size_t i = 0; i < TERN_COUNT(names); i++) check_file(names[i]);
}

/* Statistics of norms are no parameters, weights are: as PyTorch counts them. */
static void test_parameters_are_counted(void **state)
{
    (void)state;
    net n;
    assert_ok(open_net(&n, "mlp-11", 1));
    assert_int_equal(tern_parameter_count(n.model.graph), 12 * 8 + 8 + 8 * 3 + 3);
    close_net(&n);
    assert_ok(open_net(&n, "residual-13",
                       2)); /* the first norm is part of the weights before it, which then have a bias */
    assert_int_equal(tern_parameter_count(n.model.graph), 4 * 27 + 4 + 2 * 4 + 4 * 9 + 4 + 5 * 4 + 5);
    close_net(&n);
}

/* ---- what is refused ------------------------------------------------------------------------------------------------ */

static void test_bad_files(void **state)
{
    (void)state;
    static const struct {
        const char *name, *message;
    } bad[] = {
        {"bad-operator",
         "operators that Tern has not: LSTM (first at \"lstm\"), my.own.Foo (first at \"foo\")"},
        {"bad-output-shape", "output \"y0\" is [2,4], the file says [2,3]"},
        {"bad-weight-shape", "x [2,3] and W [3,4] do not match"},
        {"bad-opset", "operator set 10, Tern reads 11 to 21"},
        {"bad-inputs", "2 inputs (x, z)"},
        {"bad-data-shape", "depends on the data (\"s\")"},
        {"bad-order", "input \"a\" is made by no node before it"},
        {"bad-twice", "value \"a\" is made twice"},
        {"bad-count", "has 4 bytes, expected 4398046511104"},
        {"bad-dims", "tensor \"w\": shape [1099511627776,1099511627776]"},
        {"bad-expand", "more elements than any memory"},
        {"bad-external", "not-there.data"},
        {"bad-outside", "expected a file in the model's folder"},
        {"bad-short", "3600 bytes at 4096 of attention-21.data, which has only"},
    };
    for (size_t i = 0; i < TERN_COUNT(bad); i++) {
        net n;
        assert_error(open_net(&n, bad[i].name, 2), TERN_FAILED, bad[i].message);
        if (!strstr(tern_message(), bad[i].name)) fail_msg("\"%s\" does not name the file", tern_message());
    }
    net n;
    assert_error(open_net(&n, "attention-17", 3), TERN_FAILED,
                 "attention-17"); /* exported for a batch of 2 */
    assert_error(open_net(&n, "make", 3), TERN_FAILED, "cannot open");
}

/* ---- damage ----------------------------------------------------------------------------------------------------------- */

static tern_status read_bytes(const void *bytes, size_t count)
{
    net n = {0};
    tern_status status = tern_onnx_parse(&n.file, bytes, count, "damaged.onnx");
    if (status == TERN_OK) status = fill_net(&n, 2);
    close_net(&n);
    return status;
}

static void test_damage(void **state)
{
    (void)state;
    static const char *const names[] = {"mlp-11", "places-21", "attention-17"};
    for (size_t i = 0; i < TERN_COUNT(names); i++) {
        char *bytes;
        size_t count;
        assert_ok(tern_read_file(path_of(names[i], ".onnx"), &bytes, &count));
        damage_flip(read_bytes, bytes, count, 400);
        if (i == 0) damage_cut(read_bytes, bytes, count);
        tern_release(bytes);
    }
}

static tern_status open_and_close(void)
{
    net n;
    TERN_TRY(open_net(&n, "mlp-11", 2));
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
        cmocka_unit_test(test_operators),
        cmocka_unit_test(test_exported_nets),
        cmocka_unit_test(test_parameters_are_counted),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
