/* MCUFormer: nets of a family against golden/mcuformer, a twin in PyTorch; the planes and the formula of its search. */
#include "test.h"

#include "io/io.h"
#include "search/space.h"
#include "train/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { IMAGES = 2, SIDE = 240, CLASSES = 5, NETS = 3, OPTIONS = 10 };

static const tern_named_number family[] = {{"D", 24},      {"depth", 3},        {"heads", 2},
                                           {"m", 4},       {"super-D", 24},     {"super-heads", 2},
                                           {"super-m", 4}, {"classes", CLASSES}};
static const tern_named_number nets[NETS][4] = {
    {{"D", 24}, {"depth", 3}, {"block-heads", 222}, {"block-m", 888}},
    {{"D", 20}, {"depth", 2}, {"block-heads", 12}, {"block-m", 78}},
    {{"D", 16}, {"depth", 3}, {"block-heads", 211}, {"block-m", 877}},
};

/* Element i of the n-th parameter (golden/mcuformer/generate.py). */
static float element(int n, int64_t i, double middle, double scale)
{
    uint32_t h = (uint32_t)((uint64_t)(i + 1) * 2654435761u + 40503u * (uint64_t)n) >> 8;
    return (float)(middle + scale * ((double)h / 16777216 - 0.5));
}

static void set_all(const tern_net *net, void *parameters, const tern_named_number *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_ok(tern_net_set(net, parameters, numbers[i].name, numbers[i].value));
}

static double scale_of(const char *name, const tern_shape *s)
{
    bool norm = strncmp(name, "norm", 4) == 0, bias = strstr(name, ".bias") != NULL;
    if (strcmp(name, "class") == 0 || strcmp(name, "places") == 0) return 2;
    if (norm || bias) return 0.5;
    return 2 / sqrt((double)tern_elements_from(s, 1));
}

/* The family's parameters, in the order in which its largest net makes them. */
static void fill(const tern_net *net, void *parameters, const tern_shape *sample, tern_store *store)
{
    tern_graph *g;
    int n = 0, at;
    assert_ok(tern_model_plain_graph(&g, net, parameters, sample, IMAGES, 0));
    for (int i = 1; i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        if (v->kind != TERN_VALUE_PARAM) continue;
        bool norm = strncmp(v->name, "norm", 4) == 0 && strstr(v->name, ".weight");
        double scale = scale_of(v->name, &v->type.shape);
        assert_ok(tern_store_need(store, v->name, &v->type, v->init, 0, &at));
        for (int64_t e = 0; e < tern_elements(&v->type.shape); e++)
            tern_set(&store->tensors[at], e, (double)element(n, e, norm, scale));
        n++;
    }
    tern_graph_close(g);
}

/* The largest difference of logits of net k from the file's. */
static double apart(const tern_net *net, void *parameters, const tern_shape *sample, tern_store *store,
                    const float *images, const tern_bundle *golden, int k)
{
    tern_model model;
    tern_tensor logits;
    char name[16];
    double worst = 0;
    set_all(net, parameters, nets[k], 4);
    assert_ok(tern_model_open(&model, net, parameters, sample, IMAGES, NULL, store, NULL));
    assert_ok(tern_session_bind(model.session, "image", images));
    assert_ok(tern_session_run(model.session, 0));
    assert_ok(tern_session_output(model.session, "logits", &logits));
    snprintf(name, sizeof name, "logits%d", k);
    const tern_tensor *expected = tern_bundle_find(golden, name);
    assert_non_null(expected);
    assert_int_equal(tern_elements(&expected->shape), IMAGES * CLASSES);
    for (int i = 0; i < IMAGES * CLASSES; i++)
        worst = fmax(worst, fabs(tern_get(&logits, i) - tern_get(expected, i)));
    tern_model_close(&model);
    return worst;
}

static void test_against_pytorch(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        double patch, rank;
    } files[] = {{"patch-16", 16, 0.9}, {"patch-28", 28, 0.65}};
    const tern_net *net = tern_net_find("mcuformer");
    assert_non_null(net);
    tern_shape sample = TERN_SHAPE(3, SIDE, SIDE);
    int64_t size = IMAGES * tern_elements(&sample);
    float *images = tern_take_array((size_t)size, sizeof *images);
    assert_non_null(images);
    for (int64_t i = 0; i < size; i++) images[i] = element(99, i, 0, 4);
    for (size_t f = 0; f < TERN_COUNT(files); f++) {
        char path[4096];
        tern_bundle golden;
        tern_store store = {0};
        void *parameters;
        snprintf(path, sizeof path, "%s/golden/mcuformer/%s.safetensors", TERN_TESTS, files[f].file);
        assert_ok(tern_safetensors_read(path, &golden));
        assert_ok(tern_net_parameters(net, &parameters));
        set_all(net, parameters, family, TERN_COUNT(family));
        assert_ok(tern_net_set(net, parameters, "patch", files[f].patch));
        assert_ok(tern_net_set(net, parameters, "rank", files[f].rank));
        fill(net, parameters, &sample, &store);
        for (int k = 0; k < NETS; k++) {
            double worst = apart(net, parameters, &sample, &store, images, &golden, k);
            if (!(worst < 1e-4)) fail_msg("%s, net %d: logits are %g apart", files[f].file, k, worst);
        }
        tern_net_free(parameters);
        tern_store_close(&store);
        tern_bundle_free(&golden);
    }
    tern_release(images);
}

/* A net of the family has the bits of a net of its own with copies of the leading rows and columns. */
static void test_weights_are_leading_parts(void **state)
{
    (void)state;
    enum { IN = 7, OUT = 6, OF_IN = 9, OF_OUT = 12, PARTS = 3, ROWS = 4 };
    tern_graph *g;
    tern_program *p;
    tern_session *s;
    tern_store store = {0};
    tern_tensor y;
    float x[ROWS * IN];
    assert_ok(tern_graph_open(&g, NULL));
    tern_value in = tern_input(g, "x", TERN_F32, TERN_SHAPE(ROWS, IN));
    tern_output(
        g, "y",
        tern_linear(g, in, .out = OUT, .of_out = OF_OUT, .of_in = OF_IN, .parts = PARTS, .name = "l"));
    assert_ok(tern_graph_status(g));
    assert_ok(tern_plan(&p, g, NULL));
    assert_ok(tern_session_open(&s, p, &store, NULL));
    for (int i = 0; i < ROWS * IN; i++) x[i] = element(1, i, 0, 2);
    assert_ok(tern_session_bind(s, "x", x));
    assert_ok(tern_session_run(s, 0));
    assert_ok(tern_session_output(s, "y", &y));
    const tern_tensor *w = &store.tensors[tern_store_find(&store, "l.weight")],
                      *b = &store.tensors[tern_store_find(&store, "l.bias")];
    assert_int_equal(tern_elements(&w->shape), OF_OUT * OF_IN);
    for (int r = 0; r < ROWS; r++)
        for (int o = 0; o < OUT; o++) {
            int row = o / (OUT / PARTS) * (OF_OUT / PARTS) + o % (OUT / PARTS);
            double sum = tern_get(b, row);
            for (int k = 0; k < IN; k++) sum += tern_get(w, row * OF_IN + k) * (double)x[r * IN + k];
            assert_true(fabs(sum - tern_get(&y, r * OUT + o)) < 1e-5);
        }
    tern_session_close(s);
    tern_program_close(p);
    tern_graph_close(g);
    tern_store_close(&store);
}

static void test_what_is_no_part(void **state)
{
    (void)state;
    tern_graph *g;
    assert_ok(tern_graph_open(&g, NULL));
    tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(2, 8));
    tern_linear(g, x, .out = 6, .of_out = 4);
    assert_error(tern_graph_status(g), TERN_FAILED, "is no leading part of");
    tern_graph_close(g);
    assert_ok(tern_graph_open(&g, NULL));
    x = tern_input(g, "x", TERN_F32, TERN_SHAPE(2, 8));
    tern_layer_norm(g, x, .of = 7);
    assert_error(tern_graph_status(g), TERN_FAILED, "expected at least 8");
    tern_graph_close(g);
}

/* ---- the search for a family ------------------------------------------------------------------------------------- */

static const tern_space_limits published = {0.4, 0.95, 0.05, 16, 32, 4};

/* The authors' five points and the planes that numpy makes of them. */
static void test_planes(void **state)
{
    (void)state;
    static const tern_space_point points[] = {
        {0.9, 16, 66.298, 0.384}, {0.6, 16, 60.6, 0.666}, {0.65, 28, 45.119, 1},
        {0.95, 28, 57.52, 1},     {0.85, 20, 61.2, 1},    {0.4, 400, 0, 0}}; /* too far away to count */
    tern_space_step step;
    assert_ok(tern_space_evolve(points, 6, &published, 0.9, 16, &step));
    assert_true(fabs(step.error[1] + 29.673) < 5e-4 && fabs(step.error[2] - 1.127) < 5e-4);
    assert_true(fabs(step.memory[1] - 0.22683) < 5e-6 && fabs(step.memory[2] + 0.03688) < 5e-6);
    assert_true(fabs(step.rank + 0.1) < 1e-12);
    assert_true(step.patch == 0);
    assert_error(tern_space_evolve(points, 2, &published, 0.9, 16, &step), TERN_FAILED, "no plane");
    static const tern_space_point line[] = {{0.9, 16, 60, 1}, {0.8, 16, 55, 1}, {0.7, 16, 50, 1}};
    assert_error(tern_space_evolve(line, 3, &published, 0.9, 16, &step), TERN_FAILED, "on a line");
}

static void test_steps_stay_inside(void **state)
{
    (void)state;
    static const tern_space_point points[] = {
        {0.45, 16, 90, 1}, {0.95, 16, 10, 1}, {0.45, 32, 10, 1}, {0.95, 32, 10, 0}};
    for (double rank = 0.4; rank < 0.96; rank += 0.05)
        for (double patch = 16; patch <= 32; patch += 4) {
            tern_space_step step;
            assert_ok(tern_space_evolve(points, 4, &published, rank, patch, &step));
            assert_true(rank + step.rank >= 0.4 - 1e-9 && rank + step.rank <= 0.95 + 1e-9);
            assert_true(patch + step.patch >= 16 && patch + step.patch <= 32);
        }
}

/* Of the three widths of the super-net, how many keep to 320 KiB at m = 4. */
static void test_shares(void **state)
{
    (void)state;
    static const struct {
        double rank, patch;
        int fit;
    } cases[] = {{0.9, 16, 1}, {0.6, 16, 2}, {0.65, 28, 3}, {0.95, 28, 3}, {0.85, 20, 3}};
    static const double widths[] = {168, 192, 216};
    for (size_t i = 0; i < TERN_COUNT(cases); i++) {
        int fit = 0;
        for (size_t w = 0; w < TERN_COUNT(widths); w++)
            fit += tern_space_bytes(widths[w], 4, cases[i].rank, 240, cases[i].patch) <= 327680;
        assert_int_equal(fit, cases[i].fit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_pytorch),   cmocka_unit_test(test_weights_are_leading_parts),
        cmocka_unit_test(test_what_is_no_part),   cmocka_unit_test(test_planes),
        cmocka_unit_test(test_steps_stay_inside), cmocka_unit_test(test_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
