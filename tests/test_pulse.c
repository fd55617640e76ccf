/* Pulses: what is made against closed forms, the bound against finite differences and against estimates, files, targets. */
#define _DEFAULT_SOURCE /* mkstemps */
#include "test.h"

#include "classic/pulse.h"
#include "io/io.h"
#include "op/int8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Largest distance of a sample's mean and variance from the closed form, in standard errors. */
static double worst_moment(const tern_pulse_model *m, int count)
{
    static double sum[64][4];
    float x[64];
    double worst = 0;
    memset(sum, 0, sizeof sum);
    for (int i = 0; i < count; i++) {
        tern_pulse_make(m, 0, i, x, NULL);
        for (int k = 0; k < 64; k++)
            for (int p = 0; p < 4; p++) sum[k][p] += pow((double)x[k], p + 1) / count;
    }
    for (int k = 0; k < 64; k++) {
        double mean, variance, a = sum[k][0], v = sum[k][1] - a * a;
        double fourth = sum[k][3] - 4 * a * sum[k][2] + 6 * a * a * sum[k][1] - 3 * a * a * a * a;
        tern_pulse_moments(m, k, &mean, &variance);
        worst = fmax(worst, fabs(a - mean) / sqrt(v / count));
        worst = fmax(worst, fabs(v - variance) / sqrt((fourth - v * v) / count));
    }
    return worst;
}

static void test_moments(void **state)
{
    (void)state;
    tern_pulse_model m = tern_pulse_default();
    assert_true(worst_moment(&m, 10000) < 4.5);
    m.order = 2;
    m.tau = 3;
    m.snr = 20;
    assert_true(worst_moment(&m, 10000) < 4.5);
    float x[64], y[64];
    tern_pulse a = tern_pulse_make(&m, 0, 7, x, NULL), b = tern_pulse_make(&m, 1, 7, y, NULL);
    assert_true(a.start != b.start && x[3] != y[3]); /* training and test are not alike */
    tern_pulse_make(&m, 0, 7, y, NULL);
    assert_memory_equal(x, y, sizeof x);
}

static void test_shape(void **state)
{
    (void)state;
    tern_pulse_model m = tern_pulse_default();
    double slope;
    assert_true(fabs(tern_pulse_shape(&m, 4 * 1.6, &slope) - 1) < 1e-12 && fabs(slope) < 1e-12);
    assert_true(tern_pulse_shape(&m, 0, NULL) == 0 && tern_pulse_shape(&m, -3, NULL) == 0);
    for (double t = 0.25; t < 30; t += 0.37) {
        tern_pulse_shape(&m, t, &slope);
        double numeric = (tern_pulse_shape(&m, t + 1e-5, NULL) - tern_pulse_shape(&m, t - 1e-5, NULL)) / 2e-5;
        assert_true(fabs(slope - numeric) < 1e-8);
    }
    assert_true(fabs(1 / tern_pulse_sigma(&m) - 234.4) < 0.05); /* 47.4 dB by peak, not by power */
}

/* The template fit reaches the bound, the others do not fall below it; half the noise is half the bound. */
static void test_bound(void **state)
{
    (void)state;
    tern_pulse_model m = tern_pulse_default();
    tern_pulse_error e[TERN_PULSE_METHODS];
    tern_pulse bound, half, mean = tern_pulse_mean_bound(&m);
    assert_ok(tern_pulse_compare(&m, 1, 4000, e, &bound, NULL));
    for (int k = 0; k < TERN_PULSE_METHODS; k++)
        assert_true(e[k].rms.start > 0.95 * bound.start && e[k].rms.amplitude > 0.95 * bound.amplitude);
    assert_true(e[TERN_PULSE_TEMPLATE].rms.start < 1.05 * bound.start);
    assert_true(e[TERN_PULSE_TEMPLATE].rms.amplitude < 1.05 * bound.amplitude);
    assert_true(e[TERN_PULSE_FRACTION].rms.start > 1.2 * bound.start);
    assert_true(fabs(bound.start / mean.start - 1) < 0.05);
    half = tern_pulse_bound(&m, (tern_pulse){16.3, 0.7});
    m.snr += 20 * log10(2);
    bound = tern_pulse_bound(&m, (tern_pulse){16.3, 0.7});
    assert_true(fabs(half.start / bound.start - 2) < 1e-9 &&
                fabs(half.amplitude / bound.amplitude - 2) < 1e-9);
}

/* Each disturbance changes the samples; a converter saturates and has as many levels as bits say. */
static void test_disturbances(void **state)
{
    (void)state;
    tern_pulse_model plain = tern_pulse_default(), m;
    float x[64], y[64];
    tern_pulse_make(&plain, 0, 3, x, NULL);
    for (int i = 0; i < 4; i++) {
        m = plain;
        *(i == 0 ? &m.pink : i == 1 ? &m.drift : i == 2 ? &m.pile_up : &m.jitter) = 1;
        assert_ok(tern_pulse_check(&m));
        tern_pulse_make(&m, 0, 3, y, NULL);
        assert_int_not_equal(memcmp(x, y, sizeof x), 0);
    }
    m = plain;
    m.bits = 8;
    m.high = 40;
    float highest = 0;
    for (int i = 0; i < 20; i++) {
        tern_pulse_make(&m, 0, i, y, NULL);
        for (int k = 0; k < 64; k++) {
            double code = ((double)y[k] + 0.125) / 1.25 * 255;
            assert_true(fabs(code - nearbyint(code)) < 1e-3);
            highest = fmaxf(highest, y[k]);
        }
    }
    assert_true(highest == 1.125f);
    m.bits = 7;
    assert_error(tern_pulse_check(&m), TERN_USAGE, "8 to 14");
    m.bits = 0;
    m.tau = NAN;
    assert_error(tern_pulse_check(&m), TERN_USAGE, "tau");
}

static void test_dataset(void **state)
{
    (void)state;
    tern_dataset d, c;
    tern_dataset_options o = {.train_limit = 20, .test_limit = 10};
    assert_ok(tern_dataset_open(&d, "pulses", &o));
    assert_ok(tern_dataset_open(&c, "pulses-clean", &o));
    assert_true(tern_shape_equal(&d.train.images.shape, &TERN_SHAPE(20, 64)));
    assert_true(tern_shape_equal(&d.train.targets.shape, &TERN_SHAPE(20, 2)));
    assert_true(tern_shape_equal(&c.test.targets.shape, &TERN_SHAPE(10, 64)));
    assert_memory_equal(d.train.images.data, c.train.images.data, 20 * 64 * sizeof(float));
    bool fraction = false;
    for (int i = 0; i < 20; i++) {
        double t = tern_get(&d.train.targets, 2 * i), a = tern_get(&d.train.targets, 2 * i + 1);
        assert_true(fabs(t) <= 4 && a >= 0.2 && a <= 1);
        fraction = fraction || fabs(t - nearbyint(t)) > 0.1; /* starts lie between samples */
    }
    assert_true(fraction && d.mean[0] == 0 && d.std[0] == 1);
    tern_dataset_close(&d);
    tern_dataset_close(&c);
}

/* Arrays as a file and back, as data with targets; what does not go together is refused. */
static void test_file(void **state)
{
    (void)state;
    char path[] = "/tmp/tern-pulse-XXXXXX.npz";
    close(mkstemps(path, 4));
    float x[30], y[20], units[2] = {0.5f, 2};
    for (int i = 0; i < 30; i++) x[i] = (float)i;
    for (int i = 0; i < 20; i++) y[i] = 0.5f * (float)i;
    tern_tensor t[] = {
        {TERN_F32, TERN_SHAPE(10, 3), x}, {TERN_F32, TERN_SHAPE(10, 2), y}, {TERN_F32, TERN_SHAPE(2), units}};
    static const char *const names[] = {"x_train", "y_train", "units"};
    tern_dataset d;
    tern_dataset_options few = {.train_limit = 4};
    assert_ok(tern_npz_write(path, t, names, 3));
    assert_ok(tern_dataset_open(&d, path, &few));
    assert_int_equal(d.train.images.shape.dim[0], 4); /* of 8; 2 are held out, with their own targets */
    assert_true(tern_shape_equal(&d.test.targets.shape, &TERN_SHAPE(2, 2)));
    for (int i = 0; i < 4; i++)
        assert_true(tern_get(&d.train.targets, 2 * i) == tern_get(&d.train.images, 3 * i) / 3);
    assert_true(tern_get(&d.units, 0) == 0.5 && tern_get(&d.units, 1) == 2 && d.classes == 1);
    tern_dataset_close(&d);
    units[1] = 0;
    assert_ok(tern_npz_write(path, t, names, 3));
    assert_error(tern_dataset_open(&d, path, NULL), TERN_FAILED, "above 0");
    y[3] = NAN;
    assert_ok(tern_npz_write(path, t, names, 2));
    assert_error(tern_dataset_open(&d, path, NULL), TERN_FAILED, "finite");
    t[1].shape = TERN_SHAPE(5, 4);
    assert_ok(tern_npz_write(path, t, names, 2));
    assert_error(tern_dataset_open(&d, path, NULL), TERN_FAILED, "as many as x_train");
    t[1].dtype = TERN_BIT;
    assert_error(tern_npz_write(path, t, names, 2), TERN_FAILED, "cast the tensor");
    remove(path);
}

/* A transposed convolution of bytes is the convolution of x with zeros put between, its taps in the other order: whatever the zero
 * of x and the phase. */
static void test_transposed(void **state)
{
    (void)state;
    enum { C = 3, O = 2, L = 5, MOST = 4, LONG = 64 };
    tern_rng rng = {68, 1};
    uint64_t drawn = 0;
    for (int round = 0; round < 40; round++) {
        int stride = 1 + (int)tern_rng_below(rng, drawn++, 3),
            k = stride + (int)tern_rng_below(rng, drawn++, MOST - 2);
        int pad = (int)tern_rng_below(rng, drawn++, (uint64_t)(k / 2 + 1)),
            length = (L - 1) * stride + k - 2 * pad;
        int spread = (L - 1) * stride + 1, zero = (int)tern_rng_below(rng, drawn++, 256) - 128;
        int8_t x[C * L], w[O * C * 8], far[C * LONG], turned[O * C * 8], y[O * LONG], z[O * LONG],
            shift[] = {-7};
        int32_t bias[3 * O] = {0}, plain[O] = {0}, multiplier[] = {1 << 30},
                         constants[] = {zero, 3, -128, 127};
        memset(far, zero, sizeof far);
        for (int i = 0; i < C * L; i++) {
            x[i] = (int8_t)tern_rng_below(rng, drawn++, 256);
            far[i / L * spread + i % L * stride] = x[i];
        }
        for (int i = 0; i < O * C * k; i++) {
            w[i] = (int8_t)((int)tern_rng_below(rng, drawn++, 255) - 127);
            turned[i / k * k + k - 1 - i % k] = w[i];
            bias[i % k % stride * O + i / (C * k)] -= zero * w[i];
            plain[i / (C * k)] -= zero * w[i];
        }
        tern_tensor in[] = {{TERN_I8, TERN_SHAPE(1, C, 1, L), x},    {TERN_I8, TERN_SHAPE(O, C, 1, k), w},
                            {TERN_I32, TERN_SHAPE(stride, O), bias}, {TERN_I32, TERN_SHAPE(1), multiplier},
                            {TERN_I8, TERN_SHAPE(1), shift},         {TERN_I32, TERN_SHAPE(4), constants}};
        tern_conv_op how = {
            .stride = stride, .pad = pad, .dilation = 1, .groups = 1, .like = TERN_SHAPE(1, O, 1, length)};
        tern_tensor out = {TERN_I8, how.like, y};
        tern_op_conv2d_transposed_int8.run(&(tern_call){
            .op = &tern_op_conv2d_transposed_int8, .args = &how, .nin = 6, .nout = 1, .in = in, .out = &out});
        in[0] = (tern_tensor){TERN_I8, TERN_SHAPE(1, C, 1, spread), far};
        in[1].data = turned;
        in[2] = (tern_tensor){TERN_I32, TERN_SHAPE(O), plain};
        tern_conv_op other = {.stride = 1, .pad = k - 1 - pad, .dilation = 1, .groups = 1};
        out.data = z;
        tern_op_conv2d_int8.run(&(tern_call){
            .op = &tern_op_conv2d_int8, .args = &other, .nin = 6, .nout = 1, .in = in, .out = &out});
        assert_memory_equal(y, z, (size_t)(O * length));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transposed),   cmocka_unit_test(test_moments),
        cmocka_unit_test(test_shape),        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_disturbances), cmocka_unit_test(test_dataset),
        cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
