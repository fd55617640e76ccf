/* Delta activation layers: their gradients against golden/delta, and nets that multiply changes only against the same nets
 * that multiply everything. */
#include "test.h"

#include "io/io.h"
#include "kernel/loops.h"
#include "op/delta.h"
#include "train/delta.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- golden/delta -------------------------------------------------------------------------------------------------- */

static double number(const tern_bundle *b, const char *key)
{
    const char *value = tern_bundle_text(b, key);
    assert_non_null(value);
    return strtod(value, NULL);
}

static void compare(const char *file, const char *name, const tern_tensor *got, const tern_tensor *want)
{
    assert_int_equal(tern_elements(&got->shape), tern_elements(&want->shape));
    for (int64_t i = 0; i < tern_elements(&want->shape); i++) {
        double a = tern_get(got, i), b = tern_get(want, i);
        if (!(fabs(a - b) <= 1e-6 * fmax(1, fabs(b))))
            fail_msg("%s: %s[%lld] is %.9g, expected %.9g", file, name, (long long)i, a, b);
    }
}

/* Values and gradients of task sum(g y) + weight * penalty, a [B,T,..,C]. */
static void check_golden(const char *file, const tern_bundle *b, const char *key, double task, double weight,
                         bool reference)
{
    const tern_tensor *a = tern_bundle_find(b, "a"), *raw = tern_bundle_find(b, "raw"),
                      *g = tern_bundle_find(b, "g");
    tern_tensor a32 = {0}, raw32 = {0}, g32 = {0}, got;
    const tern_tensor *from[] = {a, raw, g};
    tern_tensor *to[] = {&a32, &raw32, &g32};
    static const char *const names[] = {"a", "raw", "g"};
    tern_graph *graph;
    tern_program *program;
    tern_session *session;
    tern_store store = {0};
    tern_value in[3], d[2];
    assert_ok(tern_graph_open(&graph, &(tern_graph_options){.training = true}));
    for (int i = 0; i < 3; i++) {
        assert_ok(tern_tensor_new(to[i], TERN_F32, &from[i]->shape));
        assert_ok(tern_tensor_cast(to[i], from[i]));
        in[i] = tern_input(graph, names[i], TERN_F32, from[i]->shape);
    }
    tern_value y = tern_apply(graph, &tern_op_quantise, &(tern_quantise_op){false}, in, 2, NULL);
    tern_shape order = {.rank = a->shape.rank, .dim = {1, 0, 2, 3, 4, 5}};
    tern_value by_time = tern_permute(graph, y, order);
    tern_variation_op args = {.steps = (int)a->shape.dim[1]};
    tern_value penalty = tern_apply(graph, &tern_op_variation, &args, &by_time, 1, NULL);
    penalty = tern_multiply(graph, penalty, tern_scalar(graph, number(b, "rate") * number(b, "fan_out")));
    tern_value sum = tern_sum(graph, tern_multiply(graph, y, in[2]), .axes = a->shape.rank);
    tern_value loss = tern_add(graph, tern_multiply(graph, sum, tern_scalar(graph, task)),
                               tern_multiply(graph, penalty, tern_scalar(graph, weight)));
    assert_ok(tern_graph_status(graph));
    assert_ok(tern_gradients(graph, loss, in, 2, d));
    tern_output(graph, "y", y);
    tern_output(graph, "penalty", penalty);
    tern_output(graph, "da", d[0]);
    tern_output(graph, "draw", d[1]);
    assert_ok(tern_plan(&program, graph, &(tern_plan_options){.reference = reference}));
    assert_ok(tern_session_open(&session, program, &store, NULL));
    for (int i = 0; i < 3; i++) assert_ok(tern_session_bind(session, names[i], to[i]->data));
    assert_ok(tern_session_run(session, 0));
    static const char *const outputs[] = {"y", "penalty", "da", "draw"};
    for (int i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, i < 2 ? "%s" : "%s.%s", outputs[i], key);
        assert_ok(tern_session_output(session, outputs[i], &got));
        compare(file, name, &got, tern_bundle_find(b, name));
    }
    tern_session_close(session);
    tern_program_close(program);
    tern_graph_close(graph);
    tern_store_close(&store);
    for (int i = 0; i < 3; i++) tern_tensor_free(to[i]);
}

static void test_golden(void **state)
{
    static const char *const files[] = {"by-hand", "by-channel", "one-step"};
    (void)state;
    for (size_t i = 0; i < TERN_COUNT(files); i++) {
        char path[512];
        tern_bundle b = {0};
        snprintf(path, sizeof path, "%s/golden/delta/%s.safetensors", TERN_TESTS, files[i]);
        assert_ok(tern_safetensors_read(path, &b));
        for (int reference = 0; reference < 2; reference++) {
            check_golden(files[i], &b, "task", 1, 0, reference);
            check_golden(files[i], &b, "penalty", 0, 1, reference);
            check_golden(files[i], &b, "both", 1, 1, reference);
        }
        tern_bundle_free(&b);
    }
}

/* ---- nets by changes ------------------------------------------------------------------------------------------------ */

enum { B = 2, FRAMES = 12 };

/* Frame t of a noisy blob that moves, of its own for each clip; still: frame 0 for ever. */
static void draw(float *frame, const tern_shape *shape, int t)
{
    int64_t h = shape->dim[1], w = shape->dim[2], n = tern_elements(shape);
    for (int64_t i = 0; i < B * n; i++) {
        double x = (double)(i % w - 4 - t), y = (double)(i / w % h - 6 - 2 * (i / n));
        double noise = tern_rng_normal((tern_rng){3, 4}, (uint64_t)(i % n));
        frame[i] = (float)(0.5 * noise + (x * x + y * y < 12 ? 2 : 0));
    }
}

typedef struct runner {
    tern_delta_net *net;
    const float *logits;
    int classes;
} runner;

static void open_runner(runner *r, const tern_net *net, const void *p, const tern_shape *frame,
                        tern_delta_net_options o, tern_store *store)
{
    o.batch = B;
    o.measure = true;
    assert_ok(tern_delta_open(&r->net, net, p, frame, &o, store, NULL));
}

/* Parameters at random, norms with statistics that are not 0 and 1. */
static void open_store(const tern_net *net, const void *p, const tern_shape *frame, tern_store *store)
{
    tern_model model;
    assert_ok(tern_model_open(&model, net, p, frame, B, NULL, store, NULL));
    tern_model_close(&model);
    for (int i = 0; i < store->count; i++) {
        bool mean = strstr(store->names[i], "running_mean"), var = strstr(store->names[i], "running_var");
        for (int64_t k = 0; (mean || var) && k < tern_elements(&store->tensors[i].shape); k++) {
            double x = tern_rng_normal((tern_rng){7, (uint64_t)i}, (uint64_t)k);
            tern_set(&store->tensors[i], k, mean ? 0.1 * x : 0.05 + 0.1 * fabs(x));
        }
    }
    store->version++;
}

/* Multiplications, asserted to be what the changes need. */
static double multiplications(const runner *r, bool dense)
{
    int count;
    double frames, sum = 0;
    const tern_delta_layer *l = tern_delta_layers(r->net, &count, &frames);
    assert_true(count > 0);
    for (int i = 0; i < count; i++) {
        double needed = dense ? l[i].dense : l[i].needed;
        if (l[i].multiplications != needed)
            fail_msg("%s: %.0f multiplications, needed are %.0f", l[i].layer, l[i].multiplications, needed);
        sum += needed;
    }
    return sum;
}

static void check_net(const char *name, const tern_shape *frame, double per, bool integer)
{
    const tern_net *net = tern_net_find(name);
    void *p;
    tern_store store = {0};
    runner delta, dense;
    assert_non_null(net);
    assert_ok(tern_net_parameters(net, &p));
    assert_ok(tern_net_set(net, p, "delta-per", per));
    open_store(net, p, frame, &store);
    float *x = tern_take((size_t)(B * tern_elements(frame)) * sizeof *x);
    open_runner(&delta, net, p, frame, (tern_delta_net_options){.form = {.integer = integer}}, &store);
    open_runner(&dense, net, p, frame, (tern_delta_net_options){.form = {.integer = integer, .dense = true}},
                &store);
    for (int t = 0; t < FRAMES; t++) {
        draw(x, frame, t < 8 ? t : 8); /* the last frames are still */
        if (t == 9) tern_delta_clear(delta.net);
        assert_ok(tern_delta_frame(delta.net, x, &delta.logits, &delta.classes));
        assert_ok(tern_delta_frame(dense.net, x, &dense.logits, &dense.classes));
        assert_int_equal(delta.classes, dense.classes);
        for (int i = 0; i < B * delta.classes; i++) {
            assert_true(isfinite(dense.logits[i]));
            if (integer)
                assert_memory_equal(&delta.logits[i], &dense.logits[i], sizeof(float));
            else
                assert_true(fabs((double)delta.logits[i] - dense.logits[i]) < 0.05);
        }
        if (t == 8) assert_true(multiplications(&delta, false) < 0.8 * multiplications(&dense, true));
    }
    assert_true(multiplications(&delta, false) == 0); /* nothing moves */
    tern_delta_close(delta.net);
    tern_delta_close(dense.net);
    tern_store_close(&store);
    tern_net_free(p);
    tern_release(x);
}

static void test_changes_are_all(void **state)
{
    (void)state;
    for (int integer = 0; integer < 2; integer++) {
        check_net("mobilenet-delta", &TERN_SHAPE(1, 32, 32), 0, integer);
        check_net("mobilenet-delta", &TERN_SHAPE(3, 25, 31), 2, integer);
        check_net("cnn-delta", &TERN_SHAPE(1, 28, 28), 0, integer);
        check_net("lenet-delta", &TERN_SHAPE(1, 28, 28), 0, integer);
        check_net("mlp-delta", &TERN_SHAPE(1, 28, 28), 1, integer);
    }
}

/* In floats the sums of a long clip drift from those of the plain program; beginning anew ends that. */
static void test_plain_program(void **state)
{
    (void)state;
    const tern_net *net = tern_net_find("cnn-delta");
    tern_shape frame = TERN_SHAPE(1, 28, 28);
    void *p;
    tern_store store = {0};
    tern_model model;
    runner delta;
    tern_tensor plain;
    assert_ok(tern_net_parameters(net, &p));
    open_store(net, p, &frame, &store);
    float *x = tern_take((size_t)(B * tern_elements(&frame)) * sizeof *x);
    open_runner(&delta, net, p, &frame, (tern_delta_net_options){.resync = 3}, &store);
    assert_ok(tern_model_open(&model, net, p, &frame, B, NULL, &store, NULL));
    assert_ok(tern_session_bind(model.session, "image", x));
    for (int t = 0; t < FRAMES; t++) {
        draw(x, &frame, t);
        assert_ok(tern_delta_frame(delta.net, x, &delta.logits, &delta.classes));
        assert_ok(tern_session_run(model.session, 0));
        assert_ok(tern_session_output(model.session, "logits", &plain));
        for (int i = 0; i < B * delta.classes; i++)
            assert_true(fabs((double)delta.logits[i] - tern_get(&plain, i)) < 0.05);
    }
    multiplications(&delta, false);
    tern_model_close(&model);
    tern_delta_close(delta.net);
    tern_store_close(&store);
    tern_net_free(p);
    tern_release(x);
}

static void test_refused(void **state)
{
    (void)state;
    tern_graph *g;
    void *p;
    const tern_net *plain = tern_net_find("mobilenet"), *delta = tern_net_find("mobilenet-delta");
    tern_shape frame = TERN_SHAPE(1, 32, 32);
    tern_delta_form form = {.integer = true};
    assert_null(tern_net_find("spiking-cnn-delta"));
    assert_ok(tern_net_parameters(plain, &p));
    assert_int_equal(tern_delta_graph(&g, plain, p, &frame, 1, &form), TERN_USAGE);
    assert_non_null(strstr(tern_message(), "mobilenet-delta"));
    tern_net_free(p);
    assert_ok(tern_net_parameters(delta, &p));
    assert_ok(tern_net_set(delta, p, "delta-per", 1));
    assert_int_equal(tern_delta_graph(&g, delta, p, &frame, 1, &form), TERN_FAILED);
    assert_non_null(strstr(tern_message(), "--delta-per"));
    tern_net_free(p);
}

/* Long runs, in which sums go on in double, and what is no number or far beyond the last level. */
static void test_loops_over_runs(void **state)
{
    (void)state;
    enum { MOST = 9001 };
    static float x[MOST], y[MOST], out[MOST];
    const tern_loops *loops = tern_loops_get();
    for (int i = 0; i < MOST; i++) {
        x[i] = (float)(3 * tern_rng_normal((tern_rng){5, 1}, (uint64_t)i));
        y[i] = i % 3 ? (float)tern_rng_normal((tern_rng){5, 2}, (uint64_t)i) : x[i];
    }
    x[7] = 1e9f;
    x[4100] = -1e9f;
    x[8] = NAN;
    for (int n = 0; n <= MOST; n = n < 70 ? n + 1 : n + 1777) {
        double products = 0, size = 0, distance = 0;
        int from = n < 9 ? 0 : 9; /* beyond what is no number */
        for (int i = 0; i < n; i++) {
            float level = tern_level(x[i], 0.3f);
            products += (double)y[i] * (double)level;
            size += fabs((double)y[i] * (double)level);
        }
        for (int i = from; i < n; i++) distance += fabs((double)x[i] - (double)y[i]);
        assert_true(fabs(loops->plane_level_products(x, y, n, 0.3f, TERN_MOST_LEVEL) - products) <=
                    1e-5 * size);
        assert_true(fabs(loops->plane_distance(x + from, y + from, n - from) - distance) <= 1e-5 * distance);
        for (int add = 0; add < 2; add++) {
            loops->plane_signs(x, add ? y : NULL, n, 0.5f, add, out);
            for (int i = 0; i < n; i++) {
                float zero = (float)((x[i] > 0) - (x[i] < 0)), both = (float)((x[i] > y[i]) - (x[i] < y[i]));
                assert_true(out[i] == 0.5f * (add ? zero + both : zero));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),          cmocka_unit_test(test_changes_are_all),
        cmocka_unit_test(test_plain_program),   cmocka_unit_test(test_refused),
        cmocka_unit_test(test_loops_over_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
