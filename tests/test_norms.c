/* Statistics of batch norms, taken anew: against their definition over all samples, of one norm and of one behind another. */
#include "test.h"

#include "kernel/rows.h"
#include "train/norms.h"

#include <math.h>
#include <string.h>

enum { N = 96, BATCH = 16, CHANNELS = 3, PLANE = 20 };
static float pixels[N * CHANNELS * PLANE];
static int32_t labels[N];

/* image [B,C,4,5] -> logits [B,2] */
static tern_value build(tern_graph *g, const void *p, tern_value image)
{
    (void)p;
    tern_value x = tern_batch_norm(g, image, .name = "first");
    x = tern_batch_norm(g, x, .name = "second");
    return tern_linear(g, tern_mean(g, x, .axis = 2, .axes = 2), .out = 2);
}

static tern_value build_plain(tern_graph *g, const void *p, tern_value image)
{
    (void)p;
    return tern_linear(g, tern_mean(g, image, .axis = 2, .axes = 2), .out = 2);
}

static const tern_net net = {.name = "probe", .build = build},
                      plain = {.name = "plain", .build = build_plain};

/* Channel 2 is 0 but for one sample in 24. */
static tern_samples samples(void)
{
    tern_rng rng = {7, 1};
    for (int i = 0; i < N; i++) {
        labels[i] = i % 2;
        for (int c = 0; c < CHANNELS; c++)
            for (int k = 0; k < PLANE; k++) {
                int at = (i * CHANNELS + c) * PLANE + k;
                double u = tern_rng_uniform(rng, (uint64_t)at);
                pixels[at] = (float)(c == 0 ? u : c == 1 ? 40 + 3 * u + i % 5 : i % 24 == 3 ? 5 * u : 0);
            }
    }
    return (tern_samples){.images = {TERN_F32, TERN_SHAPE(N, CHANNELS, 4, 5), pixels},
                          .labels = {TERN_I32, TERN_SHAPE(N), labels},
                          .classes = 2};
}

/* Mean and unbiased variance of a channel over all samples, in double. */
static void define(int channel, double *mean, double *variance)
{
    *mean = *variance = 0;
    for (int i = 0; i < N * PLANE; i++)
        *mean += (double)pixels[(i / PLANE * CHANNELS + channel) * PLANE + i % PLANE] / (N * PLANE);
    for (int i = 0; i < N * PLANE; i++) {
        double d = (double)pixels[(i / PLANE * CHANNELS + channel) * PLANE + i % PLANE] - *mean;
        *variance += d * d / (N * PLANE - 1);
    }
}

static void open_store(tern_store *store)
{
    tern_model m;
    const int p = 0; /* no parameters */
    tern_shape sample = TERN_SHAPE(CHANNELS, 4, 5);
    assert_ok(tern_model_open(&m, &net, &p, &sample, BATCH, NULL, store, NULL));
    tern_model_close(&m);
}

static const float *numbers(const tern_store *store, const char *name)
{
    int at = tern_store_find(store, name);
    assert_true(at >= 0);
    return store->tensors[at].data;
}

static void check_statistics(const tern_store *store)
{
    for (int c = 0; c < CHANNELS; c++) {
        double mean, variance;
        define(c, &mean, &variance);
        assert_true(fabs((double)numbers(store, "first.running_mean")[c] - mean) <= 1e-5 * (1 + fabs(mean)));
        assert_true(fabs((double)numbers(store, "first.running_var")[c] - variance) <= 1e-5 * variance);
    }
}

/* Of one norm alone: those of its operand, in whichever order samples come, however many are asked for. */
static void test_definition(void **state)
{
    (void)state;
    const int p = 0; /* no parameters */
    tern_store store = {0};
    tern_samples data = samples();
    tern_recipe r = tern_recipe_default();
    r.batch = BATCH;
    r.crop = 0;
    open_store(&store);
    for (int epoch = 0; epoch < 3; epoch++) {
        r.norm_samples = epoch == 1 ? N : 1000;
        assert_ok(tern_norms_settle(&net, &p, &data, &r, epoch, &store, NULL));
        check_statistics(&store);
    }
    tern_store_close(&store);
}

/* Of a norm behind another: those of what the first gives with its new statistics. */
static void test_second_norm(void **state)
{
    (void)state;
    const int p = 0;
    tern_store store = {0};
    tern_samples data = samples();
    tern_recipe r = tern_recipe_default();
    r.norm_samples = N;
    r.crop = 0;
    open_store(&store);
    assert_ok(tern_norms_settle(&net, &p, &data, &r, 0, &store, NULL));
    for (int c = 0; c < CHANNELS; c++) {
        double mean, variance;
        define(c, &mean, &variance);
        double expected = variance / (variance * (N * PLANE - 1) / (N * PLANE) + 1e-5);
        assert_true(fabs((double)numbers(&store, "second.running_mean")[c]) <= 1e-4);
        assert_true(fabs((double)numbers(&store, "second.running_var")[c] - expected) <= 1e-4);
    }
    tern_store_close(&store);
}

static void test_no_norms(void **state)
{
    (void)state;
    const int p = 0; /* no parameters */
    tern_store store = {0};
    tern_samples data = samples();
    tern_recipe r = tern_recipe_default();
    r.batch = BATCH;
    r.norm_samples = 2;
    assert_error(tern_norms_settle(&plain, &p, &data, &r, 0, &store, NULL), TERN_USAGE, "no batch norms");
    tern_store_close(&store);
}

/* Rows whose mean is far above their deviation, that hold one large value, or the same value everywhere. */
static void test_rows_far_from_zero(void **state)
{
    enum { LENGTH = 203, ROWS = 6 };
    static float x[ROWS * LENGTH], y[ROWS * LENGTH];
    static const double mean[ROWS] = {0, 1, 100, -3000, 0.5, 7}, spread[ROWS] = {1, 1, 1, 1, 0.1, 0};
    tern_rng rng = {3, 1};
    (void)state;
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < LENGTH; i++)
            x[r * LENGTH + i] =
                (float)(mean[r] + spread[r] * tern_rng_normal(rng, (uint64_t)(r * LENGTH + i)));
    x[4 * LENGTH] = 900;
    tern_normalise_rows(NULL, ROWS, LENGTH, 1e-5, true, x, y);
    for (int r = 0; r < ROWS; r++) {
        const float *row = x + r * LENGTH;
        double m = 0, v = 0;
        for (int i = 0; i < LENGTH; i++) m += (double)row[i] / LENGTH;
        for (int i = 0; i < LENGTH; i++) v += ((double)row[i] - m) * ((double)row[i] - m) / LENGTH;
        for (int i = 0; i < LENGTH; i++) {
            double want = ((double)row[i] - m) / sqrt(v + 1e-5), got = (double)y[r * LENGTH + i];
            assert_true(fabs(got - want) <= 1e-4 + 2e-7 * fabs(mean[r]) / sqrt(v + 1e-5));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_far_from_zero),
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_second_norm),
        cmocka_unit_test(test_no_norms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
