/* Fixed point: rounding and overflow against integers only, gradients against finite differences, few one-bits against
 * enumeration, nets in integers against their training form, and thresholds on ties. */
#include "test.h"

#include "fixed_reference.h"
#include "low_golden.h"
#include "op/fixed.h"
#include "quant/quant.h"
#include "run/run.h"
#include "train/fixed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- casts ---------------------------------------------------------------------------------------------------------- */

static void test_casts_are_those_of_integers(void **state)
{
    (void)state;
    assert_int_equal(fixed_casts_that_differ(), 0);
    assert_int_equal(fixed_vectors_that_differ(), 0);
}

static int ones(int64_t m)
{
    int count = 0;
    for (; m; m &= m - 1) count++;
    return count;
}

static void test_few_ones_are_the_nearest(void **state)
{
    (void)state;
    for (int hot = 1; hot <= 4; hot++)
        for (int64_t m = 0; m < 2048; m++) {
            int64_t got = tern_fixed_hot(m, hot, 1 << 20), least = INT64_MAX;
            for (int64_t k = 0; k <= 4096; k++)
                if (ones(k) <= hot && llabs(k - m) < least) least = llabs(k - m);
            if (ones(got) > hot || llabs(got - m) != least)
                fail_msg("%lld with %d ones: %lld, the nearest is %lld away", (long long)m, hot,
                         (long long)got, (long long)least);
        }
    assert_int_equal(tern_fixed_hot(127, 1, 127), 64); /* 128 leaves the word */
}

/* ---- gradients ---------------------------------------------------------------------------------------------------------- */

static void test_gradients(void **state)
{
    (void)state;
    assert_true(fixed_gradient_error(0) < 1e-5);
    assert_true(fixed_gradient_error(1000) < 1e-5); /* such that the error's share counts */
}

/* ---- nets in integers ------------------------------------------------------------------------------------------------------ */

typedef struct form {
    tern_graph *g;
    tern_program *p;
    tern_session *s;
} form;

static void open_form(form *f, const tern_net *net, const void *parameters, const tern_shape *sample,
                      int batch, tern_store *store)
{
    assert_ok(tern_model_graph(&f->g, net, parameters, sample, batch, 5));
    assert_ok(tern_plan(&f->p, f->g, NULL));
    assert_ok(tern_session_open(&f->s, f->p, store, NULL));
}

static void close_form(form *f)
{
    tern_session_close(f->s);
    tern_program_close(f->p);
    tern_graph_close(f->g);
}

static void *parameters_of(const tern_net *net, const char *const (*options)[2])
{
    void *p;
    assert_ok(tern_net_parameters(net, &p));
    for (int i = 0; options[i][0]; i++)
        assert_ok(tern_net_set(net, p, options[i][0], strtod(options[i][1], NULL)));
    return p;
}

/* Norms as after training: scales of both signs. */
static void shake(tern_store *store)
{
    for (int i = 0; i < store->count; i++) {
        const char *dot = strrchr(store->names[i], '.');
        bool norm = strstr(store->names[i], "norm") != NULL,
             variance = norm && strcmp(dot, ".running_var") == 0;
        if (!norm || strstr(dot, "point")) continue;
        for (int64_t k = 0; k < tern_elements(&store->tensors[i].shape); k++) {
            double x = tern_rng_normal((tern_rng){9, (uint64_t)i}, (uint64_t)k);
            tern_set(&store->tensors[i], k, variance ? 0.5 + fabs(x) : x);
        }
    }
    store->version++;
}

/* Logits of NET and NET-fixed are the same bits for random samples. */
static void check_forms(const char *from, const char *to, const char *const (*options)[2], tern_shape sample,
                        bool bits)
{
    enum { BATCH = 7 };
    const tern_net *a = tern_net_find(from), *b = tern_net_find(to);
    void *pa = parameters_of(a, options), *pb = parameters_of(b, options);
    form fa, fb;
    tern_store store = {0};
    if (!a->fixed) assert_ok(tern_net_set(b, pb, "word", 0));
    int64_t n = BATCH * tern_elements(&sample);
    float *x = tern_take_array((size_t)n, sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        x[i] = (float)tern_rng_normal((tern_rng){4, 4}, (uint64_t)i);
        if (bits) x[i] = x[i] > 0;
    }
    open_form(&fa, a, pa, &sample, BATCH, &store);
    shake(&store);
    open_form(&fb, b, pb, &sample, BATCH, &store);
    tern_tensor ya, yb;
    assert_ok(tern_session_bind(fa.s, "image", x));
    assert_ok(tern_session_bind(fb.s, "image", x));
    assert_ok(tern_session_run(fa.s, 0));
    assert_ok(tern_session_run(fb.s, 0));
    assert_ok(tern_session_output(fa.s, "logits", &ya));
    assert_ok(tern_session_output(fb.s, "logits", &yb));
    double spread = 0;
    for (int64_t i = 0; i < tern_elements(&ya.shape); i++) {
        spread += fabs(tern_get(&ya, i) - tern_get(&ya, 0));
        if (tern_get(&ya, i) != tern_get(&yb, i))
            fail_msg("%s: logit %lld is %.9g, in integers %.9g", from, (long long)i, tern_get(&ya, i),
                     tern_get(&yb, i));
    }
    if (!(spread > 0) && strcmp(options[1][1], "1") != 0)
        fail_msg("%s (%s %s): all logits are equal", from, options[1][0], options[1][1]);
    bool decodes = strncmp(from, "econ-ae", 7) == 0;       /* in floats, on purpose */
    for (int i = 0; !decodes && i < fb.g->node_count; i++) /* nothing is multiplied in floats */
        assert_true(fb.g->nodes[i]->op != &tern_op_linear && fb.g->nodes[i]->op != &tern_op_conv2d);
    close_form(&fa);
    close_form(&fb);
    tern_store_close(&store);
    tern_release(x);
    tern_net_free(pa);
    tern_net_free(pb);
}

static void test_integers_are_the_training_form(void **state)
{
    (void)state;
    tern_shape image = TERN_SHAPE(1, 28, 28), message = TERN_SHAPE(80);
    for (int round = 0; round < 7; round++)
        for (int over = 0; over < 4; over++) {
            char modes[2][4];
            snprintf(modes[0], 4, "%d", round);
            snprintf(modes[1], 4, "%d", over);
            const char *const mlp[][2] = {{"hidden", "20"},
                                          {"word", "6"},
                                          {"round", modes[0]},
                                          {"overflow", modes[1]},
                                          {"khot", round & 1 ? "2" : "0"},
                                          {NULL, NULL}};
            check_forms("mlp-qfx", "mlp-fixed", mlp, image, false);
        }
    const char *const lenet[][2] = {{"hidden", "20"}, {"word", "8"}, {NULL, NULL}};
    check_forms("lenet-qfx", "lenet-fixed", lenet, image, false);
    const char *const cnn[][2] = {
        {"width", "16"}, {"hidden", "20"}, {"word", "8"}, {"word-act", "6"}, {NULL, NULL}};
    check_forms("cnn-qfx", "cnn-fixed", cnn, image,
                false); /* norms, and 3x3 kernels that are else transformed */
    const char *const shifts[][2] = {
        {"width", "8"}, {"hidden", "20"}, {"word", "6"}, {"word-bias", "4"}, {NULL, NULL}};
    check_forms("cnn-qfx", "cnn-fixed", shifts, image, false);
    const char *const econ[][2] = {
        {"code_bits", "9"}, {"word", "6"}, {"word-act", "8"}, {"range", "1"}, {NULL, NULL}};
    check_forms("econ-ae-qfx", "econ-ae-fixed", econ, TERN_SHAPE(3, 4, 4), true); /* casts of its own */
    const char *const biases[][2] = {{"hidden", "20"}, {"word", "6"}, {"word-bias", "4"}, {NULL, NULL}};
    check_forms("lenet-qfx", "lenet-fixed", biases, image, false); /* with binary points of their own */
    for (int bits = 1; bits <= 4; bits++) {
        char text[4];
        snprintf(text, 4, "%d", bits);
        const char *const low[][2] = {{"width", "32"}, {"bits", text}, {NULL, NULL}};
        check_forms("cqmlp", "cqmlp-fixed", low, message, true);
    }
}

/* ---- thresholds ---------------------------------------------------------------------------------------------------------- */

static void test_thresholds_agree_on_ties(void **state)
{
    (void)state;
    enum { C = 5, HIGH = 3, BOUND = 40 };
    /* sums at (i + 1/2) of a step are ties; the rest is any */
    float scale[C] = {0.5f, -0.5f, 0.25f, 0, 0.37f}, shift[C] = {0, 1, -0.5f, 2, 0.1f}, sign[C];
    int32_t thresholds[C * HIGH];
    tern_thresholds_op op = {.high = HIGH, .inner = 1, .bound = BOUND};
    tern_tensor in[] = {{TERN_F32, TERN_SHAPE(C), scale}, {TERN_F32, TERN_SHAPE(C), shift}};
    tern_tensor out[] = {{TERN_I32, TERN_SHAPE(C, HIGH), thresholds}, {TERN_F32, TERN_SHAPE(C), sign}};
    tern_call call = {.op = &tern_op_thresholds, .args = &op, .nin = 2, .nout = 2, .in = in, .out = out};
    tern_op_thresholds.run(&call);
    for (int c = 0; c < C; c++)
        for (int a = -BOUND; a <= BOUND; a++) {
            int level = 0;
            for (int i = 0; i < HIGH; i++) level += sign[c] * (float)a >= (float)thresholds[c * HIGH + i];
            double v = (double)scale[c] * a + (double)shift[c];
            assert_int_equal(level, (int)fmin(fmax(nearbyint(v), 0), HIGH));
        }
    assert_int_equal(thresholds[0], 2); /* 0.5 rounds to 0 (even), so that level 1 needs a sum of 2 */
    assert_int_equal(thresholds[1], 3); /* 1.5 rounds to 2 */
}

static void test_few_bits_are_those_of_brevitas(void **state)
{
    (void)state;
    low_errors e;
    assert_ok(low_compare(TERN_TESTS "/golden", &e));
    assert_int_equal(e.tensors, 2000);
    if (e.value > 0 || e.gradient > 1e-6)
        fail_msg("values differ by %g, gradients by %g", e.value, e.gradient);
}

static void test_wide_sums_are_refused(void **state)
{
    (void)state;
    const tern_net *net = tern_net_find("mlp-fixed");
    const char *const options[][2] = {{"word", "16"}, {"hidden", "20"}, {NULL, NULL}};
    void *p = parameters_of(net, options);
    tern_shape image = TERN_SHAPE(1, 28, 28);
    tern_store store = {0};
    tern_fixed_widths widths;
    assert_error(tern_fixed_measure(&widths, net, p, &image, &store, NULL), TERN_USAGE, "fewer bits");
    tern_store_close(&store);
    tern_net_free(p);
    const char *const bad[][2] = {{"word", "1"}, {NULL, NULL}};
    p = parameters_of(net, bad);
    assert_error(tern_fixed_measure(&widths, net, p, &image, &store, NULL), TERN_USAGE, "expected 2 to 16");
    tern_net_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_casts_are_those_of_integers),
        cmocka_unit_test(test_few_ones_are_the_nearest),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_integers_are_the_training_form),
        cmocka_unit_test(test_thresholds_agree_on_ties),
        cmocka_unit_test(test_few_bits_are_those_of_brevitas),
        cmocka_unit_test(test_wide_sums_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
