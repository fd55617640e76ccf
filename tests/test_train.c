/* Training: the same bits on any number of threads, from a resumed store, and a clean failure of every allocation of a
 * train-evaluate-save cycle. */
#include "test.h"

#include "io/io.h"
#include "train/train.h"

#include <stdlib.h>
#include <string.h>

enum { N = 48, SIDE = 8 };
static uint8_t pixels[N * SIDE * SIDE];
static int32_t labels[N];

/* Bright top or bright bottom, with noise. */
static tern_samples samples(void)
{
    for (int i = 0; i < N; i++) {
        labels[i] = i % 2;
        for (int p = 0; p < SIDE * SIDE; p++) {
            bool bright = (p / SIDE < SIDE / 2) == (labels[i] == 0);
            pixels[i * SIDE * SIDE + p] =
                (uint8_t)((bright ? 150 : 0) + tern_rng_below((tern_rng){4, 4}, (uint64_t)(i * 64 + p), 100));
        }
    }
    return (tern_samples){.images = {TERN_U8, TERN_SHAPE(N, 1, SIDE, SIDE), pixels},
                          .labels = {TERN_I32, TERN_SHAPE(N), labels},
                          .classes = 2};
}

static tern_status small_net(const tern_net **net, void **parameters)
{
    *net = tern_net_find("spiking-cnn");
    TERN_TRY(tern_net_parameters(*net, parameters));
    TERN_TRY(tern_net_set(*net, *parameters, "width", 3));
    TERN_TRY(tern_net_set(*net, *parameters, "hidden", 9));
    TERN_TRY(tern_net_set(*net, *parameters, "timesteps", 2));
    return tern_net_set(*net, *parameters, "classes", 2);
}

static tern_status train_with(tern_rule rule, tern_store *store, tern_progress_state *state, int epochs,
                              int threads)
{
    const tern_net *net;
    void *parameters = NULL;
    tern_pool *pool = NULL;
    tern_samples data = samples();
    tern_training t = {.recipe = tern_recipe_default(), .train = &data, .test = &data, .quiet = true};
    t.recipe.epochs = epochs;
    t.recipe.batch = 16;
    t.recipe.rate = 1e-2;
    t.recipe.crop = 1;
    t.recipe.flip = true;
    t.recipe.schedule = TERN_CONSTANT_RATE;
    t.recipe.rule = rule;
    t.recipe.chosen = 1;
    tern_status status = small_net(&net, &parameters);
    t.net = net;
    t.parameters = parameters;
    if (status == TERN_OK) status = tern_pool_open(&pool, threads);
    if (status == TERN_OK) status = tern_train(&t, state, store, pool);
    tern_pool_close(pool);
    tern_net_free(parameters);
    return status;
}

static tern_status train(tern_store *store, tern_progress_state *state, int epochs, int threads)
{
    return train_with(TERN_BPTT, store, state, epochs, threads);
}

static void same(const tern_store *a, const tern_store *b)
{
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < a->count; i++) {
        int k = tern_store_find(b, a->names[i]);
        assert_true(k >= 0);
        const tern_tensor *x = &a->tensors[i], *y = &b->tensors[k];
        assert_memory_equal(x->data, y->data, tern_bytes_of(x->dtype, tern_elements(&x->shape)));
    }
}

static void test_same_bits(void **state)
{
    (void)state;
    for (int rule = TERN_BPTT; rule <= TERN_SLTT_K; rule++) {
        tern_store whole = {0}, threads = {0}, resumed = {0};
        tern_progress_state a = {0}, b = {0}, c = {0};
        assert_ok(train_with((tern_rule)rule, &whole, &a, 10, 1));
        assert_ok(train_with((tern_rule)rule, &threads, &b, 10, 3));
        assert_ok(train_with((tern_rule)rule, &resumed, &c, 4, 1));
        assert_ok(train_with((tern_rule)rule, &resumed, &c, 10, 2));
        same(&whole, &threads);
        same(&whole, &resumed);
        assert_true(a.best > 0.9 && a.steps == 30); /* it learns */
        tern_store_close(&whole);
        tern_store_close(&threads);
        tern_store_close(&resumed);
    }
}

/* Clips [N,T,1,4,4] whose bright row moves down or up, as frames of a net with T steps. */
static tern_samples clips(void)
{
    for (int i = 0; i < N * 64; i++) pixels[i] = (uint8_t)tern_rng_below((tern_rng){5, 5}, (uint64_t)i, 60);
    for (int i = 0; i < N; i++) {
        labels[i] = i % 2;
        for (int t = 0; t < 4; t++)
            for (int x = 0; x < 4; x++) pixels[i * 64 + t * 16 + (labels[i] ? 3 - t : t) * 4 + x] += 180;
    }
    return (tern_samples){.images = {TERN_U8, TERN_SHAPE(N, 4, 1, 4, 4), pixels},
                          .labels = {TERN_I32, TERN_SHAPE(N), labels},
                          .classes = 2};
}

static void clip_training(tern_training *t, tern_samples *data, tern_rule rule, void **parameters)
{
    *data = clips();
    *t = (tern_training){.recipe = tern_recipe_default(), .train = data, .test = data, .quiet = true};
    assert_ok(small_net(&t->net, parameters));
    assert_ok(tern_net_set(t->net, *parameters, "timesteps", 4));
    assert_ok(tern_net_set(t->net, *parameters, "tau", 2)); /* which way a row moves takes memory to see */
    t->parameters = *parameters;
    t->recipe.epochs = 30;
    t->recipe.batch = 16;
    t->recipe.rate = 1e-2;
    t->recipe.rule = rule;
}

static void test_clips(void **state)
{
    (void)state;
    for (int rule = TERN_BPTT; rule <= TERN_SLTT_K; rule++) {
        tern_training t;
        tern_samples data;
        tern_store store = {0};
        tern_progress_state progress = {0};
        tern_cosines before, again;
        void *parameters;
        clip_training(&t, &data, (tern_rule)rule, &parameters);
        assert_ok(tern_train(&t, &progress, &store, NULL));
        assert_true(progress.best > 0.9);
        assert_ok(tern_gradient_cosines(&before, &t, &store, NULL));
        assert_ok(tern_gradient_cosines(&again, &t, &store, NULL)); /* the store has not moved */
        assert_true(before.count == 4 && before.mean > 0.3 && before.mean < 0.9999);
        assert_true(before.mean == again.mean);
        tern_cosines_free(&before);
        tern_cosines_free(&again);
        tern_net_free(parameters);
        tern_store_close(&store);
    }
}

/* The same batch, sample by sample and frame by frame. */
static void test_time_first(void **state)
{
    (void)state;
    tern_samples data = clips();
    tern_loader *plain, *first;
    tern_loader_options options = {.batch = 20, .shuffle = true, .crop = 1, .seed = 3};
    assert_ok(tern_loader_open(&plain, &data, &options));
    options.time_first = true;
    assert_ok(tern_loader_open(&first, &data, &options));
    tern_loader_begin(plain, 1, 0);
    tern_loader_begin(first, 1, 0);
    for (const tern_batch *a, *b; (a = tern_loader_next(plain)) != NULL;) {
        b = tern_loader_next(first);
        assert_int_equal(a->count, b->count);
        for (int i = 0; i < 20; i++)
            for (int t = 0; t < 4; t++)
                assert_memory_equal(a->images + (i * 4 + t) * 16, b->images + (t * 20 + i) * 16, 64);
    }
    tern_loader_close(plain);
    tern_loader_close(first);
}

static tern_status measure(tern_store *store)
{
    tern_samples data = samples();
    tern_training t = {.recipe = tern_recipe_default(), .train = &data};
    tern_cosines cosines = {0};
    void *parameters = NULL;
    t.recipe.batch = 4;
    tern_status status = small_net(&t.net, &parameters);
    t.parameters = parameters;
    if (status == TERN_OK) status = tern_gradient_cosines(&cosines, &t, store, NULL);
    tern_cosines_free(&cosines);
    tern_net_free(parameters);
    return status;
}

static tern_status cycle(void)
{
    tern_store store = {0};
    tern_progress_state state = {0};
    const tern_net *net;
    void *parameters = NULL;
    tern_evaluation e = {0};
    tern_samples data = samples();
    tern_status status = train(&store, &state, 1, 1);
    if (status == TERN_OK) status = small_net(&net, &parameters);
    if (status == TERN_OK) status = tern_evaluate(&e, net, parameters, &data, 16, 16, &store, NULL);
    if (status == TERN_OK)
        status = tern_checkpoint_write("/tmp/tern-test-train.safetensors", store.tensors,
                                       (const char *const *)store.names, store.count, "{}");
    tern_evaluation_free(&e);
    tern_net_free(parameters);
    tern_store_close(&store);
    return status;
}

/* The same of another rule, and of the measurement of gradients: cycles of their own, since the time that failing each
 * allocation takes grows with their square. */
static tern_status learn_by_steps(void)
{
    tern_store store = {0};
    tern_progress_state state = {0};
    tern_status status = train_with(TERN_SLTT_K, &store, &state, 1, 1);
    tern_store_close(&store);
    return status;
}

static tern_status measure_anew(void)
{
    tern_store store = {0};
    tern_status status = measure(&store);
    tern_store_close(&store);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    assert_survives_out_of_memory(cycle());
    assert_survives_out_of_memory(learn_by_steps());
    assert_survives_out_of_memory(measure_anew());
    remove("/tmp/tern-test-train.safetensors");
}

static void test_bad_data(void **state)
{
    (void)state;
    tern_loader *loader;
    tern_samples s = samples();
    tern_loader_options options = {.batch = 16};
    s.labels.shape.dim[0] = N - 1;
    assert_error(tern_loader_open(&loader, &s, &options), TERN_FAILED, "do not belong together");
    s = samples();
    s.images.dtype = TERN_I16;
    assert_error(tern_loader_open(&loader, &s, &options), TERN_FAILED, "i16");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),  cmocka_unit_test(test_clips),
        cmocka_unit_test(test_time_first), cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_bad_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
