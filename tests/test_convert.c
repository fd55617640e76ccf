/* Conversion to spikes and training at fewer and fewer steps, against golden/iir (a PyTorch twin): forward and gradients of
 * two spiking layers, the percentile; then fusing, thresholds and hand-over on a small net. */
#include "test.h"

#include "golden/iir/two_layers.h"
#include "kernel/kernel.h"
#include "train/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void read_golden(const char *name, tern_bundle *golden)
{
    char path[512];
    *golden = (tern_bundle){0};
    snprintf(path, sizeof path, "%s/golden/iir/%s.safetensors", TERN_TESTS, name);
    assert_ok(tern_safetensors_read(path, golden));
}

static const tern_tensor *tensor(const tern_bundle *golden, const char *name)
{
    const tern_tensor *t = tern_bundle_find(golden, name);
    if (!t) fail_msg("the golden file lacks %s", name);
    return t;
}

/* ---- two layers --------------------------------------------------------------------------------------------------- */

static void test_two_layers(void **state)
{
    (void)state;
    tern_bundle golden;
    double spikes, forward, gradient;
    const char *name;
    bool usable;
    read_golden("two-layers", &golden);
    for (int i = 0; (name = tern_isa_known(i, &usable)) != NULL; i++) {
        if (!usable) continue;
        assert_ok(tern_isa_select(name));
        assert_ok(golden_compare(&golden, &spikes, &forward, &gradient));
        assert_true(spikes == 0);
        assert_true(forward < 1e-5);
        assert_true(gradient < 1e-5);
    }
    assert_ok(tern_isa_select(NULL));
    tern_bundle_free(&golden);
}

/* ---- percentile ----------------------------------------------------------------------------------------------------- */

static void test_percentile(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 10, 11, 255, 1000, 2048};
    static const int percentiles[] = {50, 90, 99};
    tern_bundle golden;
    read_golden("percentile", &golden);
    for (size_t s = 0; s < TERN_COUNT(sizes); s++) {
        for (size_t p = 0; p < TERN_COUNT(percentiles); p++) {
            char name[32];
            float values[2048];
            snprintf(name, sizeof name, "x%d", sizes[s]);
            memcpy(values, tensor(&golden, name)->data, (size_t)sizes[s] * sizeof *values);
            snprintf(name, sizeof name, "value%d.q%d", sizes[s], percentiles[p]);
            assert_true(tern_percentile(values, sizes[s], percentiles[p]) ==
                        (float)tern_get(tensor(&golden, name), 0));
        }
    }
    tern_bundle_free(&golden);
}

/* ---- a small net ------------------------------------------------------------------------------------------------------ */

enum { N = 32, SIDE = 8 };
static uint8_t pixels[N * SIDE * SIDE];
static int32_t labels[N];

static tern_samples samples(void)
{
    for (int i = 0; i < N; i++) {
        labels[i] = i % 2;
        for (int p = 0; p < SIDE * SIDE; p++)
            pixels[i * SIDE * SIDE + p] =
                (uint8_t)((i % 2 ? 120 : 0) + tern_rng_below((tern_rng){4, 4}, (uint64_t)(i * 64 + p), 130));
    }
    return (tern_samples){.images = {TERN_U8, TERN_SHAPE(N, 1, SIDE, SIDE), pixels},
                          .labels = {TERN_I32, TERN_SHAPE(N), labels},
                          .classes = 2};
}

static void *parameters(int timesteps)
{
    const tern_net *net = tern_net_find("vgg");
    void *p;
    assert_ok(tern_net_parameters(net, &p));
    assert_ok(tern_net_set(net, p, "width", 3));
    assert_ok(tern_net_set(net, p, "hidden", 9));
    assert_ok(tern_net_set(net, p, "classes", 2));
    assert_ok(tern_net_set(net, p, "timesteps", timesteps));
    return p;
}

static tern_training recipe(const void *p, const tern_samples *data)
{
    tern_training t = {.net = tern_net_find("vgg"),
                       .parameters = p,
                       .recipe = tern_recipe_default(),
                       .train = data,
                       .quiet = true};
    t.recipe.epochs = 3;
    t.recipe.batch = 16;
    t.recipe.optimiser = TERN_AMSGRAD;
    return t;
}

static tern_conversion conversion(const void *from, const void *to, const tern_samples *data)
{
    return (tern_conversion){.net = tern_net_find("vgg"),
                             .parameters = from,
                             .spiking = to,
                             .samples = data,
                             .images = 16,
                             .steps = 4,
                             .percentile = 90,
                             .seed = 1};
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The 90th percentile of what the first convolution gives for the images of calibration, every product by hand. */
static double first_threshold(const tern_samples *data, const tern_store *snn, int images)
{
    const tern_tensor *w = &snn->tensors[tern_store_find(snn, "conv1.weight")];
    const tern_tensor *bias = &snn->tensors[tern_store_find(snn, "conv1.bias")];
    tern_loader *loader;
    int n = 0;
    assert_ok(tern_loader_open(
        &loader, data,
        &(tern_loader_options){.batch = images, .shuffle = true, .drop_last = true, .seed = 1}));
    tern_loader_begin(loader, 0, 0);
    const float *x = tern_loader_next(loader)->images;
    float currents[16 * 3 * SIDE * SIDE];
    for (int i = 0; i < images * 3 * SIDE * SIDE; i++) {
        int image = i / (3 * SIDE * SIDE), o = i / (SIDE * SIDE) % 3, row = i / SIDE % SIDE, col = i % SIDE;
        double sum = tern_get(bias, o);
        for (int tap = 0; tap < 9; tap++) {
            int y = row + tap / 3 - 1, z = col + tap % 3 - 1;
            if (y < 0 || y >= SIDE || z < 0 || z >= SIDE) continue;
            sum += (double)x[(image * SIDE + y) * SIDE + z] * tern_get(w, o * 9 + tap);
        }
        currents[n++] = (float)sum;
    }
    tern_loader_close(loader);
    qsort(currents, (size_t)n, sizeof *currents, by_value);
    return currents[(int)nearbyint(0.9 * (n - 1))];
}

/* Norms are part of the weights, the first threshold is a percentile of currents, leaks are 1. */
static void test_conversion(void **state)
{
    (void)state;
    tern_samples data = samples();
    void *relu = parameters(0), *spiking = parameters(2);
    tern_store from = {0}, to = {0};
    tern_progress_state progress = {0};
    tern_training t = recipe(relu, &data);
    tern_conversion c = conversion(relu, spiking, &data);
    assert_ok(tern_train(&t, &progress, &from, NULL));
    assert_ok(tern_convert(&c, &from, &to, NULL));
    /* w' = w gamma / sqrt(var + epsilon), b' = (b - mean) gamma / sqrt(var + epsilon) + beta */
    static const char *const names[] = {"conv2.weight", "conv2.bias",         "norm2.weight",
                                        "norm2.bias",   "norm2.running_mean", "norm2.running_var"};
    const tern_tensor *v[6];
    for (int i = 0; i < 6; i++) v[i] = &from.tensors[tern_store_find(&from, names[i])];
    const tern_tensor *w = &to.tensors[tern_store_find(&to, "conv2.weight")];
    const tern_tensor *b = &to.tensors[tern_store_find(&to, "conv2.bias")];
    for (int64_t i = 0; i < tern_elements(&w->shape); i++) {
        int64_t o = i / tern_elements_from(&w->shape, 1);
        double scale = tern_get(v[2], o) / sqrt(tern_get(v[5], o) + 1e-5);
        assert_true(fabs(tern_get(w, i) - tern_get(v[0], i) * scale) < 1e-6);
        double bias = (tern_get(v[1], o) - tern_get(v[4], o)) * scale + tern_get(v[3], o);
        assert_true(fabs(tern_get(b, o) - bias) < 1e-5);
    }
    double threshold = tern_get(&to.tensors[tern_store_find(&to, "neuron1.threshold")], 0);
    assert_true(fabs(threshold - first_threshold(&data, &to, c.images)) < 1e-5);
    for (int i = 0; i < to.count; i++) {
        double value = tern_get(&to.tensors[i], 0);
        if (strstr(to.names[i], ".leak")) assert_true(value == 1);
        if (strstr(to.names[i], ".threshold")) assert_true(value > 0);
        assert_null(strstr(to.names[i], "norm"));
    }
    tern_store_close(&from);
    tern_store_close(&to);
    tern_net_free(relu);
    tern_net_free(spiking);
}

static tern_status convert_fresh(const tern_samples *data)
{
    const tern_net *net = tern_net_find("vgg");
    void *relu = NULL, *spiking = NULL;
    tern_store from = {0}, to = {0};
    tern_status status = tern_net_parameters(net, &relu);
    if (status == TERN_OK) status = tern_net_set(net, relu, "width", 2);
    if (status == TERN_OK) status = tern_net_set(net, relu, "hidden", 3);
    if (status == TERN_OK) status = tern_net_parameters(net, &spiking);
    if (status == TERN_OK) status = tern_net_set(net, spiking, "width", 2);
    if (status == TERN_OK) status = tern_net_set(net, spiking, "hidden", 3);
    if (status == TERN_OK) status = tern_net_set(net, spiking, "timesteps", 2);
    tern_conversion c = conversion(relu, spiking, data);
    if (status == TERN_OK) status = tern_convert(&c, &from, &to, NULL);
    tern_store_close(&from);
    tern_store_close(&to);
    tern_net_free(relu);
    tern_net_free(spiking);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    tern_samples data = samples();
    assert_survives_out_of_memory(convert_fresh(&data));
    tern_conversion c = conversion(NULL, NULL, &data);
    c.images = N + 1;
    assert_error(tern_convert(&c, NULL, NULL, NULL), TERN_USAGE, "lower --calib");
}

/* A stage begins with what the last one learned, without its moments; leaks stay at 1 or below; one step needs no leak. */
static void test_stages(void **state)
{
    (void)state;
    tern_samples data = samples();
    void *relu = parameters(0), *spiking = parameters(2), *one = parameters(1);
    tern_store from = {0}, to = {0}, next = {0};
    tern_progress_state progress = {0};
    tern_training t = recipe(spiking, &data);
    t.recipe.rate = 0.05; /* drives leaks up */
    tern_conversion c = conversion(relu, spiking, &data);
    tern_training first = recipe(relu, &data);
    assert_ok(tern_train(&first, &progress, &from, NULL));
    assert_ok(tern_convert(&c, &from, &to, NULL));
    int before = to.count;
    progress = (tern_progress_state){0};
    assert_ok(tern_train(&t, &progress, &to, NULL));
    assert_true(to.count > before);
    for (int i = 0; i < to.count; i++)
        if (strstr(to.names[i], ".leak") && to.tensors[i].shape.rank == 1 &&
            !strchr(strchr(to.names[i], '.') + 1, '.'))
            assert_true(tern_get(&to.tensors[i], 0) <= 1);
    assert_ok(tern_hand_over(&to, &next));
    assert_int_equal(next.count, before);
    for (int i = 0; i < next.count; i++) {
        const tern_tensor *a = &next.tensors[i], *b = &to.tensors[tern_store_find(&to, next.names[i])];
        assert_memory_equal(a->data, b->data, tern_bytes_of(a->dtype, tern_elements(&a->shape)));
    }
    t.parameters = one;
    progress = (tern_progress_state){0};
    assert_ok(tern_train(&t, &progress, &next, NULL));
    tern_store_close(&from);
    tern_store_close(&to);
    tern_store_close(&next);
    tern_net_free(relu);
    tern_net_free(spiking);
    tern_net_free(one);
}

/* Membranes of a stepped net are states, and of one step there are none; 39,921,472 weights as published. */
static void test_memory(void **state)
{
    (void)state;
    const tern_net *net = tern_net_find("vgg");
    tern_shape sample = TERN_SHAPE(3, 32, 32);
    for (int timesteps = 1; timesteps <= 2; timesteps++) {
        void *p = parameters(timesteps);
        tern_graph *g;
        tern_program *program;
        tern_memory_need need;
        assert_ok(tern_net_set(net, p, "depth", 16));
        assert_ok(tern_net_set(net, p, "width", 64));
        assert_ok(tern_net_set(net, p, "hidden", 0));
        assert_ok(tern_net_set(net, p, "classes", 10));
        assert_ok(tern_model_step_graph(&g, net, p, &sample, 1, 0));
        assert_int_equal(tern_parameter_count(g), 39921472 + (timesteps > 1 ? 30 : 15));
        assert_ok(tern_plan(&program, g, NULL));
        assert_ok(tern_program_memory(program, &need));
        double neurons = 2 * 65536 + 2 * 32768 + 3 * 16384 + 3 * 8192 + 3 * 2048 + 2 * 4096;
        assert_true(need.membranes == (timesteps > 1 ? 4 * neurons : 0));
        assert_true(need.state == need.membranes);
        tern_program_close(program);
        tern_graph_close(g);
        tern_net_free(p);
    }
}

/* One mask for all steps. */
static void test_dropout_over_time(void **state)
{
    (void)state;
    enum { T = 3, WIDTH = 128 };
    tern_graph *g;
    tern_program *program;
    tern_session *session;
    tern_tensor out;
    tern_store store = {0};
    float x[T * WIDTH];
    for (int i = 0; i < T * WIDTH; i++) x[i] = 1;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.training = true}));
    tern_value v = tern_input(g, "x", TERN_F32, TERN_SHAPE(T, 1, WIDTH));
    tern_output(g, "y", tern_dropout(g, v, .rate = 0.25, .over_time = true));
    assert_ok(tern_plan(&program, g, NULL));
    assert_ok(tern_session_open(&session, program, &store, NULL));
    assert_ok(tern_session_bind(session, "x", x));
    assert_ok(tern_session_run(session, 3));
    assert_ok(tern_session_output(session, "y", &out));
    int kept = 0;
    for (int i = 0; i < T * WIDTH; i++) {
        assert_true(tern_get(&out, i) == tern_get(&out, i % WIDTH));
        kept += tern_get(&out, i) > 0;
    }
    assert_true(kept > T * WIDTH / 2 && kept < T * WIDTH);
    tern_session_close(session);
    tern_program_close(program);
    tern_graph_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_layers),
        cmocka_unit_test(test_percentile),
        cmocka_unit_test(test_conversion),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_dropout_over_time),
    };
    return cmocka_run_group_tests_name("convert", tests, NULL, NULL);
}
