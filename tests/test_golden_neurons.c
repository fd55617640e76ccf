/* Neurons against golden/lif: SpikingJelly's own neurons, and twins written from equations.  Spikes are equal, membranes
 * and gradients near, with the reference kernels and with the fast ones of each instruction set. */
#include "test.h"

#include "graph/graph.h"
#include "io/io.h"
#include "kernel/kernel.h"
#include "op/op.h"
#include "run/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const files[] = {
    "sj-if-soft",
    "sj-if-hard",
    "sj-if-hard-low",
    "sj-lif-decay-soft",
    "sj-lif-decay-hard",
    "sj-lif-plain-soft",
    "sj-lif-plain-hard",
    "sj-lif-decay-hard-low",
    "sj-plif-decay-soft",
    "sj-plif-decay-hard",
    "sj-plif-plain-soft",
    "sj-plif-plain-hard",
    "leaky-detach",
    "leaky-attach",
    "current-detach",
    "current-attach",
    "adaptive-soft-detach",
    "adaptive-hard-detach",
    "adaptive-soft-attach",
    "adaptive-hard-attach",
    "sltt-tau-1.1",
    "sltt-tau-2.0",
    "iir",
};
static const char *const surrogates[] = {"arctan",       "sigmoid",      "rectangle", "triangle",
                                         "fast_sigmoid", "linear_decay", NULL};
static const double alphas[] = {2, 4, 1.25, 0.8, 2}; /* of the files sj-* */

static const char *text(const tern_bundle *b, const char *key)
{
    const char *value = tern_bundle_text(b, key);
    return value ? value : "";
}

static double number(const tern_bundle *b, const char *key)
{
    return strtod(text(b, key), NULL);
}

static bool is_true(const tern_bundle *b, const char *key)
{
    return strcmp(text(b, key), "true") == 0;
}

static const tern_tensor *tensor(const tern_bundle *b, const char *name)
{
    const tern_tensor *t = tern_bundle_find(b, name);
    if (!t) fail_msg("the golden file lacks %s", name);
    return t;
}

/* One way to differentiate the neuron of a file: gradients are named d<what><suffix>. */
typedef struct variant {
    const char *file;
    const tern_bundle *golden;
    tern_surrogate surrogate;
    double alpha;
    bool detach;
    char suffix[40];
} variant;

static bool begins(const char *whole, const char *with)
{
    return strncmp(whole, with, strlen(with)) == 0;
}

static tern_value neuron(tern_graph *g, const variant *v, tern_value x)
{
    const tern_bundle *b = v->golden;
    tern_reset reset = strcmp(text(b, "reset"), "hard") == 0 ? TERN_RESET_HARD : TERN_RESET_SOFT;
    double threshold = number(b, "threshold");
    if (begins(v->file, "adaptive"))
        return tern_alif(g, x, .tau = 1 / (1 - number(b, "decay")), .threshold = threshold,
                         .beta = number(b, "beta"), .tau_adaptation = 1 / (1 - number(b, "rho")),
                         .decay_input = false, .reset = reset, .detach_reset = v->detach,
                         .surrogate = v->surrogate, .alpha = v->alpha);
    if (begins(v->file, "current")) x = tern_leak(g, x, .decay = number(b, "a_syn"));
    tern_lif_args args = {.tau = number(b, "tau"),
                          .leak = -1,
                          .threshold = threshold,
                          .v_reset = number(b, "v_reset"),
                          .reset = reset,
                          .decay_input = is_true(b, "decay_input"),
                          .learn_tau = begins(v->file, "sj-plif"),
                          .detach_reset = v->detach,
                          .surrogate = v->surrogate,
                          .alpha = v->alpha,
                          .truncate = (int)number(b, "truncate"),
                          .strict = is_true(b, "strict"),
                          .normalised = is_true(b, "normalised")};
    args.learn_leak = args.learn_threshold = strcmp(v->file, "iir") == 0;
    if (begins(v->file, "leaky") || begins(v->file, "current")) args.leak = number(b, "beta");
    if (args.learn_leak) args.leak = number(b, "leak");
    return tern_lif_with(g, x, args);
}

static void assert_near(const variant *v, const char *what, const tern_tensor *got, const tern_tensor *want,
                        double tolerance)
{
    assert_int_equal(tern_elements(&got->shape), tern_elements(&want->shape));
    for (int64_t i = 0; i < tern_elements(&want->shape); i++) {
        double a = tern_get(got, i), b = tern_get(want, i);
        if (!(fabs(a - b) <= tolerance * fmax(1, fabs(b))))
            fail_msg("%s%s: %s[%lld] is %.9g, expected %.9g (%s)", v->file, v->suffix, what, (long long)i, a,
                     b, tern_isa_name());
    }
}

/* v after the reset, from u and s. */
static void assert_membranes(const variant *v, const tern_tensor *u, const tern_tensor *s)
{
    const tern_tensor *want = tensor(v->golden, "v");
    double threshold = number(v->golden, "threshold"), v_reset = number(v->golden, "v_reset");
    bool hard = strcmp(text(v->golden, "reset"), "hard") == 0;
    for (int64_t i = 0; i < tern_elements(&want->shape); i++) {
        double after = tern_get(u, i);
        if (tern_get(s, i) > 0) after = hard ? v_reset : after - threshold;
        if (!(fabs(after - tern_get(want, i)) < 1e-5))
            fail_msg("%s: v[%lld] is %.9g, expected %.9g", v->file, (long long)i, after, tern_get(want, i));
    }
}

/* Gradients of sum(g s) by x and by the learned scalars of the layer, as outputs "dx", "dw", .. */
static void differentiate(tern_graph *g, tern_value x, tern_value s)
{
    tern_value wrt[4] = {x}, d[4], weight = tern_input(g, "g", TERN_F32, tern_shape_of(g, x));
    int count = 1;
    for (int i = 1; i < g->value_count; i++)
        if (g->values[i].kind == TERN_VALUE_PARAM) wrt[count++] = (tern_value){i};
    tern_value loss = tern_sum(g, tern_multiply(g, s, weight), .axes = 3);
    assert_ok(tern_gradients(g, loss, wrt, count, d));
    tern_output(g, "dx", d[0]);
    for (int i = 1; i < count; i++) {
        const char *name = strrchr(tern_value_of(g, wrt[i])->name, '.');
        tern_output(g, tern_arena_format(&g->arena, "d%s", name ? name + 1 : "?"), d[i]);
    }
}

static void check(const variant *v, bool reference)
{
    tern_graph *g;
    tern_program *p;
    tern_session *session;
    tern_store store = {0};
    tern_tensor s, u, out;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.training = true, .seed = 1}));
    const tern_tensor *input = tensor(v->golden, "x");
    tern_value x = tern_input(g, "x", TERN_F32, input->shape), spikes = neuron(g, v, x);
    assert_ok(tern_graph_status(g));
    tern_output(g, "s", spikes);
    tern_output(g, "u", g->nodes[tern_value_of(g, spikes)->node]->out[1]);
    differentiate(g, x, spikes);
    assert_ok(tern_graph_status(g));
    assert_ok(tern_plan(&p, g, &(tern_plan_options){.reference = reference}));
    assert_ok(tern_session_open(&session, p, &store, NULL));
    assert_ok(tern_session_bind(session, "x", input->data));
    assert_ok(tern_session_bind(session, "g", tensor(v->golden, "g")->data));
    assert_ok(tern_session_run(session, 0));
    assert_ok(tern_session_output(session, "s", &s));
    assert_ok(tern_session_output(session, "u", &u));
    assert_near(v, "s", &s, tensor(v->golden, "s"), 0);
    assert_membranes(v, &u, &s);
    for (int i = 2; i < g->output_count; i++) {
        char name[64];
        const char *what = g->outputs[i].name;
        snprintf(name, sizeof name, "%s%s", what, v->suffix);
        assert_ok(tern_session_output(session, what, &out));
        assert_near(v, what, &out, tensor(v->golden, name), 1e-5);
    }
    tern_session_close(session);
    tern_program_close(p);
    tern_graph_close(g);
    tern_store_close(&store);
}

/* Every variant in the file; returns how many. */
static int check_file(const char *file, bool reference)
{
    char path[512];
    tern_bundle golden = {0};
    variant v = {.file = file, .golden = &golden};
    int count = 0;
    snprintf(path, sizeof path, "%s/golden/lif/%s.safetensors", TERN_TESTS, file);
    assert_ok(tern_safetensors_read(path, &golden));
    if (begins(file, "sj-")) {
        for (int i = 0; i < 10; i++, count++) {
            v.surrogate = (tern_surrogate)(i / 2);
            v.alpha = alphas[i / 2];
            v.detach = i % 2;
            snprintf(v.suffix, sizeof v.suffix, ".%s.%s", surrogates[i / 2], v.detach ? "detach" : "attach");
            check(&v, reference);
        }
    } else {
        int surrogate = 0;
        while (surrogates[surrogate] && strcmp(surrogates[surrogate], text(&golden, "surrogate")) != 0)
            surrogate++;
        v.surrogate = (tern_surrogate)surrogate;
        v.alpha = number(&golden, "alpha");
        v.detach = is_true(&golden, "detach_reset");
        check(&v, reference);
        count++;
    }
    tern_bundle_free(&golden);
    return count;
}

static void test_reference(void **state)
{
    (void)state;
    int count = 0;
    for (size_t i = 0; i < TERN_COUNT(files); i++) count += check_file(files[i], true);
    assert_int_equal(count, 12 * 10 + 11);
}

static void test_fast(void **state)
{
    (void)state;
    bool usable;
    for (int isa = 0; tern_isa_known(isa, &usable); isa++) {
        if (!usable) continue;
        assert_ok(tern_isa_select(tern_isa_known(isa, &usable)));
        for (size_t i = 0; i < TERN_COUNT(files); i++) check_file(files[i], false);
    }
    assert_ok(tern_isa_select(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reference), cmocka_unit_test(test_fast)};
    return cmocka_run_group_tests_name("golden neurons", tests, NULL, NULL);
}
