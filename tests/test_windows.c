/* windows: layers that come and go while a training step runs: the same bits, no more memory than planned, times as modelled. */
#include "test.h"

#include "train/window.h"

#include <stdlib.h>
#include <string.h>

enum { N = 32, SIDE = 8 };

static uint8_t pixels[N][SIDE * SIDE];
static int32_t labels[N];

static tern_samples samples(void)
{
    tern_rng rng = {5, 0};
    for (int i = 0; i < N; i++) {
        labels[i] = i % 2;
        for (int k = 0; k < SIDE * SIDE; k++)
            pixels[i][k] = (uint8_t)(tern_rng_u32(rng, (uint64_t)(i * SIDE * SIDE + k)) % 128 +
                                     (labels[i] && k < 32 ? 120 : 0));
    }
    return (tern_samples){.images = {TERN_U8, TERN_SHAPE(N, 1, SIDE, SIDE), pixels},
                          .labels = {TERN_I32, TERN_SHAPE(N), labels},
                          .classes = 2,
                          .mean = {0.4f},
                          .std = {0.3f}};
}

/* A net small enough for a test. */
static void *small(const tern_net *net)
{
    static const struct {
        const char *net, *name;
        double value;
    } sizes[] = {{"vit", "width", 64},         {"vit", "layers", 2}, {"vit", "patch", 4},
                 {"resnet", "width", 4},       {"cnn", "width", 4},  {"spiking-cnn", "width", 3},
                 {"spiking-cnn", "hidden", 9}, {"mlp", "hidden", 16}};
    void *parameters;
    assert_ok(tern_net_parameters(net, &parameters));
    for (size_t i = 0; i < TERN_COUNT(sizes); i++)
        if (strcmp(sizes[i].net, net->name) == 0)
            assert_ok(tern_net_set(net, parameters, sizes[i].name, sizes[i].value));
    assert_ok(tern_net_set(net, parameters, "classes", 2));
    return parameters;
}

/* Two epochs; what is left in the store. */
static tern_status train(const char *name, tern_optimiser optimiser, tern_training_window window,
                         bool in_file, tern_store *store, tern_training_memory *memory)
{
    const tern_net *net = tern_net_find(name);
    tern_samples data = samples();
    tern_progress_state state = {0};
    void *parameters = small(net);
    tern_training t = {.net = net,
                       .parameters = parameters,
                       .recipe = tern_recipe_default(),
                       .train = &data,
                       .test = &data,
                       .window = window,
                       .memory = memory,
                       .quiet = true};
    t.recipe.epochs = 2;
    t.recipe.batch = 8;
    t.recipe.optimiser = optimiser;
    if (in_file) assert_ok(tern_store_in_file(store, "."));
    tern_status status = tern_train(&t, &state, store, NULL);
    tern_net_free(parameters);
    return status;
}

static void assert_same(const tern_store *a, const tern_store *b)
{
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < a->count; i++) {
        const tern_tensor *x = &a->tensors[i];
        int other = tern_store_find(b, a->names[i]);
        assert_true(other >= 0);
        assert_memory_equal(x->data, b->tensors[other].data,
                            tern_bytes_of(x->dtype, tern_elements(&x->shape)));
    }
}

static void test_training(void **state)
{
    static const char *const nets[] = {"vit", "resnet", "spiking-cnn", "cnn"};
    static const tern_optimiser optimisers[] = {TERN_ADAMW, TERN_SGD, TERN_AMSGRAD, TERN_ADAM};
    static const tern_training_window windows[] = {
        {1, 1, false, 0}, {4, 1, false, 0}, {5, 3, true, 0}, {8, 8, false, 0}, {1000, 1, false, 0}};
    (void)state;
    for (size_t n = 0; n < TERN_COUNT(nets); n++) {
        tern_store plain = {0};
        assert_ok(train(nets[n], optimisers[n], (tern_training_window){0}, false, &plain, NULL));
        for (size_t w = 0; w < TERN_COUNT(windows); w++) {
            tern_store store = {0};
            tern_training_memory memory = {0};
            assert_ok(train(nets[n], optimisers[n], windows[w], w % 2, &store, &memory));
            assert_same(&plain, &store);
            assert_true(memory.layers.most <= memory.layers.all && memory.arena > 0);
            if (windows[w].window == 1 && n == 0) assert_true(memory.layers.most < 0.2 * memory.layers.all);
            if (windows[w].window < 10) assert_true(memory.layers.back > memory.layers.all);
            tern_store_close(&store);
        }
        tern_store_close(&plain);
    }
}

/* By memory: the largest window that fits; below that values are computed again; below all, what takes the memory is named. */
static void test_memory(void **state)
{
    (void)state;
    tern_store plain = {0}, store = {0};
    tern_training_memory all, less, least;
    double limits[3];
    assert_ok(
        train("vit", TERN_ADAMW, (tern_training_window){.window = 1000, .moved = 1}, false, &plain, &all));
    double whole = all.arena + all.layers.most + all.rest;
    assert_ok(train("vit", TERN_ADAMW, (tern_training_window){.memory = 0.7 * whole}, false, &store, &less));
    assert_same(&plain, &store);
    assert_true(less.arena + less.layers.most + less.rest <= 0.7 * whole);
    assert_true(less.layers.window >= 1 && less.layers.window < all.layers.window);
    tern_store_close(&store);
    limits[0] = 0.85 * (less.arena + less.rest) + 0.2 * all.layers.most;
    assert_ok(train("vit", TERN_ADAMW, (tern_training_window){.memory = limits[0]}, false, &store, &least));
    assert_same(&plain, &store);
    assert_true(least.arena + least.layers.most + least.rest <= limits[0]);
    tern_store_close(&store);
    assert_error(train("vit", TERN_ADAMW, (tern_training_window){.memory = 1000}, false, &store, &least),
                 TERN_NO_FIT, "the largest layer");
    tern_store_close(&store);
    tern_store_close(&plain);
}

/* A step of the right order, and layers that lie where the step turns. */
static void test_schedule(void **state)
{
    (void)state;
    tern_window_layer layers[4] = {{.bytes = 64, .changes = true},
                                   {.bytes = 128, .changes = true},
                                   {.bytes = 64, .changes = true},
                                   {.bytes = 192, .changes = true}};
    tern_visit visits[7] = {{0, false}, {1, false}, {2, false}, {3, true}, {2, true}, {1, true}, {0, true}};
    tern_windows w = {.layers = layers, .count = 4, .visits = visits, .visit_count = 7};
    tern_window_schedule s;
    assert_ok(tern_windows_schedule(&w, 2, 1, &s));
    static const tern_window_move expected[] = {{1, 0, 2}, {2, 1, 3}, {4, 3, 1}, {5, 2, 0}};
    assert_int_equal(s.count, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(s.moves[i].after, expected[i].after);
        assert_int_equal(s.moves[i].out, expected[i].out);
        assert_int_equal(s.moves[i].in, expected[i].in);
    }
    assert_int_equal(s.most, 64 + 192);
    tern_window_schedule_free(&s);
    assert_error(tern_windows_schedule(&w, 2, 3, &s), TERN_USAGE, "moved <= window");
}

/* Equal layers: the formula of the paper's scheme, max(c, m) where there is room for both lanes, c + m where there is not. */
static void test_times(void **state)
{
    enum { LAYERS = 12 };
    (void)state;
    tern_window_layer layers[LAYERS];
    tern_visit visits[LAYERS];
    double compute[LAYERS], copy[LAYERS];
    for (int i = 0; i < LAYERS; i++) {
        layers[i] = (tern_window_layer){.bytes = 64};
        visits[i] = (tern_visit){.layer = i};
    }
    tern_windows w = {.layers = layers, .count = LAYERS, .visits = visits, .visit_count = LAYERS};
    static const struct {
        int window, moved;
        double c, m, expected;
    } cases[] = {{1, 1, 2, 1, 36}, {1, 1, 1, 1, 24}, {2, 1, 2, 1, 24}, {2, 1, 1, 3, 36},
                 {4, 1, 1, 1, 12}, {4, 2, 1, 1, 12}, {12, 1, 2, 9, 24}};
    for (size_t i = 0; i < TERN_COUNT(cases); i++) {
        tern_window_schedule s;
        for (int k = 0; k < LAYERS; k++) {
            compute[k] = cases[i].c;
            copy[k] = cases[i].m;
        }
        assert_ok(tern_windows_schedule(&w, cases[i].window, cases[i].moved, &s));
        double seconds = tern_windows_seconds(&w, &s, &(tern_window_times){compute, copy, 1, 1});
        assert_float_equal(seconds, cases[i].expected, 1e-9);
        tern_window_schedule_free(&s);
    }
    tern_window_choice *choices;
    int count;
    assert_ok(tern_windows_search(&w, &(tern_window_times){compute, copy, 1, 1}, &choices, &count));
    assert_int_equal(choices[0].window, 1);
    assert_int_equal(choices[count - 1].window, LAYERS);
    assert_true(choices[count - 1].copied == 0);
    for (int i = 1; i < count; i++)
        assert_true(choices[i].bytes > choices[i - 1].bytes && choices[i].seconds < choices[i - 1].seconds);
    assert_int_equal(tern_windows_choose(choices, count, 63), -1);
    assert_int_equal(tern_windows_choose(choices, count, 12 * 64), count - 1);
    assert_int_equal(choices[tern_windows_choose(choices, count, 64)].window, 1);
    tern_release(choices);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_schedule),
        cmocka_unit_test(test_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
