/* The penalty of delta layers over time: the weight that each step sees, and the same bits when training goes on later. */
#include "test.h"

#include "train/train.h"

#include <signal.h>
#include <string.h>

enum { N = 32, FRAMES = 2, SIDE = 12, PIXELS = FRAMES * SIDE * SIDE, BATCH = 8, EPOCHS = 4 };
static uint8_t pixels[N * PIXELS];
static int32_t labels[N];

/* Clips [N,T,1,12,12] of noise that is new in each frame, over a bright left or right half. */
static tern_samples samples(void)
{
    for (int i = 0; i < N * PIXELS; i++) {
        labels[i / PIXELS] = i / PIXELS % 2;
        bool bright = (i % SIDE < SIDE / 2) == (i / PIXELS % 2 == 0);
        pixels[i] = (uint8_t)((bright ? 120 : 0) + tern_rng_below((tern_rng){6, 1}, (uint64_t)i, 100));
    }
    return (tern_samples){.images = {TERN_U8, TERN_SHAPE(N, FRAMES, 1, SIDE, SIDE), pixels},
                          .labels = {TERN_I32, TERN_SHAPE(N), labels},
                          .classes = 2};
}

/* Ends training one step behind an epoch. */
static tern_status interrupt(void *context, const tern_progress_state *state, const tern_epoch *epoch)
{
    (void)state;
    if (epoch && epoch->epoch == *(const int *)context) raise(SIGINT);
    return TERN_OK;
}

/* Up to an epoch, from where state and store stand. */
static tern_status train(const char *name, double rate, double until, double later, int epochs, int *stop,
                         tern_progress_state *state, tern_store *store)
{
    const tern_net *net = tern_net_find(name);
    tern_samples data = samples();
    void *parameters;
    assert_ok(tern_net_parameters(net, &parameters));
    assert_ok(tern_net_set(net, parameters, "width", 2));
    assert_ok(tern_net_set(net, parameters, "hidden", 4));
    assert_ok(tern_net_set(net, parameters, "classes", 2));
    tern_training t = {.net = net,
                       .parameters = parameters,
                       .recipe = tern_recipe_default(),
                       .train = &data,
                       .quiet = true,
                       .hook = stop ? interrupt : NULL,
                       .context = stop};
    t.recipe.schedule = TERN_CONSTANT_RATE;
    t.recipe.epochs = epochs;
    t.recipe.batch = BATCH;
    t.recipe.delta_rate = rate;
    t.recipe.delta_until = until;
    t.recipe.delta_later = later;
    tern_status status = tern_train(&t, state, store, NULL);
    tern_net_free(parameters);
    return status;
}

static bool same(const tern_store *a, const tern_store *b)
{
    assert_int_equal(a->count, b->count);
    bool equal = true;
    for (int i = 0; i < a->count; i++) {
        int k = tern_store_find(b, a->names[i]);
        assert_true(k >= 0);
        const tern_tensor *x = &a->tensors[i], *y = &b->tensors[k];
        equal &= memcmp(x->data, y->data, tern_bytes_of(x->dtype, tern_elements(&x->shape))) == 0;
    }
    return equal;
}

static void test_weight(void **state)
{
    (void)state;
    tern_recipe r = tern_recipe_default();
    assert_false(tern_recipe_penalises(&r));
    r.delta_later = 0.01; /* never comes */
    assert_false(tern_recipe_penalises(&r));
    r.delta_until = 2;
    assert_true(tern_recipe_penalises(&r));
    r.delta_rate = 0.5;
    assert_true(tern_recipe_penalises(&r));
    assert_true(tern_recipe_penalty(&r, 0.25) == 0.5);
    assert_true(tern_recipe_penalty(&r, 2) == 0.5); /* the last step of the second epoch ends here */
    assert_true(tern_recipe_penalty(&r, 2.25) == 0.01);
    assert_true(tern_recipe_penalty(&r, 4) == 0.01);
    r.delta_until = 0;
    assert_true(tern_recipe_penalty(&r, 4) == 0.5);
}

/* Two epochs with one weight and two with another are as many trainings with either; one weight throughout is not. */
static void test_steps_see_it(void **state)
{
    (void)state;
    static const double weights[][2] = {{0.5, 0.05}, {0.5, 0}, {0, 0.5}};
    for (size_t i = 0; i < TERN_COUNT(weights); i++) {
        double early = weights[i][0], later = weights[i][1];
        tern_store whole = {0}, parts = {0}, constant = {0};
        tern_progress_state a = {0}, b = {0}, c = {0};
        assert_ok(train("cnn-delta", early, 2, later, EPOCHS, NULL, &a, &whole));
        assert_ok(train("cnn-delta", early, 0, 0, 2, NULL, &b, &parts));
        assert_ok(train("cnn-delta", later, 0, 0, EPOCHS, NULL, &b, &parts));
        assert_ok(train("cnn-delta", early, 0, 0, EPOCHS, NULL, &c, &constant));
        assert_true(a.steps == EPOCHS * N / BATCH && a.steps == b.steps);
        assert_true(same(&whole, &parts));
        assert_false(same(&whole, &constant));
        tern_store_close(&whole);
        tern_store_close(&parts);
        tern_store_close(&constant);
    }
}

/* Stopped one step behind the first epoch, or behind the second, after which the weight changes. */
static void test_goes_on(void **state)
{
    (void)state;
    tern_store whole = {0};
    tern_progress_state a = {0};
    assert_ok(train("cnn-delta", 0.5, 2, 0.05, EPOCHS, NULL, &a, &whole));
    tern_catch_interrupts();
    for (int stop = 1; stop <= 2; stop++) {
        tern_store resumed = {0};
        tern_progress_state b = {0};
        assert_int_equal(train("cnn-delta", 0.5, 2, 0.05, EPOCHS, &stop, &b, &resumed), TERN_INTERRUPTED);
        tern_forget_interrupts();
        assert_true(b.epoch == stop && b.batch == 1);
        assert_ok(train("cnn-delta", 0.5, 2, 0.05, EPOCHS, NULL, &b, &resumed));
        assert_true(same(&whole, &resumed));
        tern_store_close(&resumed);
    }
    tern_store_close(&whole);
}

static void test_nothing_to_penalise(void **state)
{
    (void)state;
    tern_store store = {0};
    tern_progress_state progress = {0};
    assert_error(train("cnn", 0, 2, 0.5, 1, NULL, &progress, &store), TERN_USAGE, "no delta layers");
    tern_store_close(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weight),
        cmocka_unit_test(test_steps_see_it),
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_nothing_to_penalise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
