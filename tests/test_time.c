/* Operators over time besides lif: neurons with learned scalars, adaptive and multi-level neurons, leaky integration,
 * encoders. */
#include "test.h"

#include "op/lif.h"
#include "op/op.h"
#include "run/run.h"

#include <math.h>
#include <string.h>

static tern_rng rng = {.seed = 31};
static uint64_t drawn;

static void fill(float *x, int count)
{
    for (int i = 0; i < count; i++) x[i] = (float)tern_rng_normal(rng, drawn++);
}

/* A graph, planned and opened; inputs are bound by the test. */
typedef struct trial {
    tern_graph *g;
    tern_program *p;
    tern_session *s;
    tern_store *store; /* the session keeps its address */
} trial;

static tern_graph *open_graph(bool stepping)
{
    tern_graph *g;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.stepping = stepping, .seed = 5}));
    return g;
}

static trial open_trial(tern_graph *g)
{
    trial t = {.g = g, .store = tern_take(sizeof *t.store)};
    assert_non_null(t.store);
    assert_ok(tern_graph_status(g));
    assert_ok(tern_plan(&t.p, g, NULL));
    assert_ok(tern_session_open(&t.s, t.p, t.store, NULL));
    return t;
}

static void close_trial(trial *t)
{
    tern_session_close(t->s);
    tern_program_close(t->p);
    tern_graph_close(t->g);
    tern_store_close(t->store);
    tern_release(t->store);
}

static tern_tensor run(trial *t, const float *x, uint64_t number, const char *output)
{
    tern_tensor out;
    assert_ok(tern_session_bind(t->s, "x", x));
    assert_ok(tern_session_run(t->s, number));
    assert_ok(tern_session_output(t->s, output, &out));
    return out;
}

static double value(trial *t, const char *output)
{
    tern_tensor out;
    assert_ok(tern_session_output(t->s, output, &out));
    return tern_get(&out, 0);
}

static tern_value loss_of(tern_graph *g, tern_value spikes, int count)
{
    float weights[1024];
    for (int i = 0; i < count; i++) weights[i] = (float)sin(3 * i);
    tern_value w = tern_constant(g, &(tern_tensor){TERN_F32, TERN_SHAPE(count), weights});
    return tern_sum(g, tern_multiply(g, tern_reshape(g, spikes, TERN_SHAPE(count)), w), .axis = 0);
}

enum { T = 6, N = 40 };

/* PLIF: the spikes of a fixed tau, and dL/dw = s'(w) (dL/dgain - dL/ddecay), s the logistic function. */
static void test_learned_tau(void **state)
{
    (void)state;
    float x[T * N];
    fill(x, T * N);
    for (int i = 0; i < T * N; i++) x[i] *= 3;
    tern_graph *g = open_graph(false);
    tern_value in = tern_input(g, "x", TERN_F32, TERN_SHAPE(T, 1, N)), wrt[3], grads[3], out[3];
    tern_value learned = tern_lif(g, in, .tau = 3, .learn_tau = true, .name = "n");
    tern_value fixed = tern_lif(g, in, .tau = 3);
    tern_lif_op op = {.threshold = 1, .reset = TERN_RESET_HARD, .alpha = 2, .detach_reset = true};
    wrt[0] = tern_find_value(g, "n.w");
    wrt[1] = tern_param(g, "decay", TERN_SHAPE(1), (tern_init){TERN_INIT_CONSTANT, 2. / 3});
    wrt[2] = tern_param(g, "gain", TERN_SHAPE(1), (tern_init){TERN_INIT_CONSTANT, 1. / 3});
    tern_value apart = tern_apply(g, &tern_op_lif, &op, (tern_value[]){in, {0}, wrt[1], wrt[2]}, 4, out);
    assert_ok(
        tern_gradients(g, tern_add(g, loss_of(g, learned, T * N), loss_of(g, apart, T * N)), wrt, 3, grads));
    tern_output(g, "learned", learned);
    tern_output(g, "fixed", fixed);
    tern_output(g, "dw", grads[0]);
    tern_output(g, "ddecay", grads[1]);
    tern_output(g, "dgain", grads[2]);
    trial t = open_trial(g);
    tern_tensor a = run(&t, x, 0, "learned"), b;
    assert_ok(tern_session_output(t.s, "fixed", &b));
    assert_memory_equal(a.data, b.data, T * N / 8);
    assert_true(tern_count_bits(&a) > 3);
    double want = 2. / 9 * (value(&t, "dgain") - value(&t, "ddecay")), got = value(&t, "dw");
    assert_true(fabs(want) > 1e-3 && fabs(got - want) < 1e-5 * (1 + fabs(want)));
    close_trial(&t);
}

/* The neuron of DIET-SNN: u = leak v + x, z = u/threshold - 1, strictly above, soft reset; both scalars learned.  Its
 * gradient here by derivatives carried forwards. */
static void test_learned_leak_and_threshold(void **state)
{
    (void)state;
    float x[T * N];
    fill(x, T * N);
    tern_graph *g = open_graph(false);
    tern_value in = tern_input(g, "x", TERN_F32, TERN_SHAPE(T, 1, N)), wrt[2], grads[2];
    tern_value s = tern_lif(g, in, .leak = 0.9, .threshold = 0.8, .reset = TERN_RESET_SOFT, .strict = true,
                            .normalised = true, .surrogate = TERN_LINEAR_DECAY, .alpha = 0.3,
                            .learn_leak = true, .learn_threshold = true, .name = "n");
    wrt[0] = tern_find_value(g, "n.leak");
    wrt[1] = tern_find_value(g, "n.threshold");
    assert_ok(tern_gradients(g, loss_of(g, s, T * N), wrt, 2, grads));
    tern_output(g, "spikes", s);
    tern_output(g, "dleak", grads[0]);
    tern_output(g, "dthreshold", grads[1]);
    trial t = open_trial(g);
    tern_tensor spikes = run(&t, x, 0, "spikes");
    for (int which = 0; which < 2; which++) {
        double slope = 0, dleak = which == 0, dtheta = which == 1, leak = 0.9, theta = 0.8;
        for (int n = 0; n < N; n++) {
            double v = 0, dv = 0;
            for (int step = 0; step < T; step++) {
                int i = step * N + n;
                double u = leak * v + (double)x[i], du = leak * dv + dleak * v;
                double z = u / theta - 1, dz = du / theta - u / (theta * theta) * dtheta;
                bool fired = z > 0;
                slope += (double)(float)sin(3 * i) * 0.3 * fmax(0, 1 - fabs(z)) * dz;
                v = u - theta * fired;
                dv = du - dtheta * fired; /* the comparison in the reset carries no gradient */
                assert_true(tern_bit_get(spikes.data, i) == fired);
            }
        }
        double got = value(&t, which ? "dthreshold" : "dleak");
        assert_true(fabs(slope) > 1e-2 && fabs(got - slope) < 1e-4 * (1 + fabs(slope)));
    }
    close_trial(&t);
}

static tern_value current_based(tern_graph *g, tern_value x)
{
    x = tern_leak(g, x, .decay = 0.7);
    x = tern_lif(g, x, .tau = 4, .decay_input = false);
    return tern_alif(g, tern_linear(g, x, .out = 17), .beta = 0.5, .tau_adaptation = 4, .threshold = 0.2);
}

/* Synaptic current, membrane, adaptation: one step at a time gives the bits of all steps at once. */
static void test_stepping(void **state)
{
    (void)state;
    float x[T * N];
    fill(x, T * N);
    tern_graph *whole = open_graph(false), *single = open_graph(true);
    tern_output(whole, "s", current_based(whole, tern_input(whole, "x", TERN_F32, TERN_SHAPE(T, 1, N))));
    tern_output(single, "s", current_based(single, tern_input(single, "x", TERN_F32, TERN_SHAPE(1, 1, N))));
    trial a = open_trial(whole), b = open_trial(single);
    tern_tensor all = run(&a, x, 0, "s");
    for (int step = 0; step < T; step++) {
        tern_tensor one = run(&b, x + step * N, 0, "s");
        for (int i = 0; i < 17; i++)
            assert_true(tern_bit_get(one.data, i) == tern_bit_get(all.data, step * 17 + i));
    }
    int64_t ones = tern_count_bits(&all);
    assert_true(ones > 0 && ones < T * 17);
    close_trial(&a);
    close_trial(&b);
}

/* alif: without adaptation it is lif; with it, its gradient is that of derivatives carried forwards. */
static void test_adaptation(void **state)
{
    (void)state;
    float x[T * N];
    fill(x, T * N);
    for (int i = 0; i < T * N; i++) x[i] = 2 * x[i] + 0.5f;
    for (int reset = 0; reset < 3; reset++) {
        for (int detach = 0; detach < 2; detach++) {
            tern_graph *g = open_graph(false);
            tern_value in = tern_input(g, "x", TERN_F32, TERN_SHAPE(T, 1, N)), grad;
            tern_reset rule = (tern_reset)reset;
            tern_value s =
                tern_alif(g, in, .tau_adaptation = 5, .beta = 0.3, .reset = rule, .detach_reset = detach);
            tern_value plain = tern_alif(g, in, .beta = 0, .reset = rule, .decay_input = true);
            assert_ok(tern_gradients(g, loss_of(g, s, T * N), &in, 1, &grad));
            tern_output(g, "s", s);
            tern_output(g, "plain", plain);
            tern_output(g, "lif", tern_lif(g, in, .tau = 2, .reset = rule));
            tern_output(g, "dx", grad);
            trial t = open_trial(g);
            tern_tensor a = run(&t, x, 0, "plain"), b, dx;
            assert_ok(tern_session_output(t.s, "lif", &b));
            assert_ok(tern_session_output(t.s, "dx", &dx));
            assert_memory_equal(a.data, b.data, T * N / 8);
            double want = 0, got = 0;
            for (int n = 0; n < N; n++) {
                double v = 0, dv = 0, level = 0, dlevel = 0;
                for (int step = 0; step < T; step++) {
                    int i = step * N + n;
                    double along = cos(i), u = 0.5 * v + (double)x[i], du = 0.5 * dv + along;
                    double z = u - 1 - 0.3 * level, s_of = z >= 0;
                    double ds = tern_surrogate_slope(TERN_ARCTAN, 2, z) * (du - 0.3 * dlevel);
                    double through = detach ? 0 : ds;
                    want += (double)(float)sin(3 * i) * ds;
                    got += along * tern_get(&dx, i);
                    v = u, dv = du;
                    if (rule == TERN_RESET_SOFT) v = u - s_of, dv = du - through;
                    if (rule == TERN_RESET_HARD) v = s_of > 0 ? 0 : u, dv = (1 - s_of) * du - through * u;
                    level = 0.8 * level + s_of;
                    dlevel = 0.8 * dlevel + ds;
                }
            }
            assert_true(fabs(want) > 1e-3 && fabs(got - want) < 1e-4 * (1 + fabs(want)));
            close_trial(&t);
        }
    }
}

/* Half is rounded up, the ends are clamped; the gradient passes strictly inside. */
static void test_levels(void **state)
{
    (void)state;
    float x[8] = {-1, 0, 0.125f, 0.1249f, 0.5f, 0.625f, 1, 7};
    static const double scaled[8] = {0, 0, 0.25, 0, 0.5, 0.75, 1, 1}, passes[8] = {0, 0, 1, 1, 1, 1, 0, 0};
    static const double counts[8] = {0, 0, 0, 0, 1, 1, 1, 4};
    tern_graph *g = open_graph(false);
    tern_value in = tern_input(g, "x", TERN_F32, TERN_SHAPE(8)), y = tern_levels(g, in), grad;
    assert_ok(tern_gradients(g, tern_sum(g, y, .axis = 0), &in, 1, &grad));
    tern_output(g, "y", y);
    tern_output(g, "k", tern_levels(g, in, .counts = true));
    tern_output(g, "dx", grad);
    trial t = open_trial(g);
    tern_tensor a = run(&t, x, 0, "y"), k, dx;
    assert_ok(tern_session_output(t.s, "k", &k));
    assert_ok(tern_session_output(t.s, "dx", &dx));
    for (int i = 0; i < 8; i++) {
        assert_true(tern_get(&a, i) == scaled[i]);
        assert_true(tern_get(&k, i) == counts[i]);
        assert_true(tern_get(&dx, i) == passes[i]);
    }
    close_trial(&t);
}

static void test_poisson(void **state)
{
    (void)state;
    enum { STEPS = 4000, CELLS = 5 };
    float x[CELLS] = {0, 0.1f, 0.5f, 0.9f, 1};
    tern_graph *g = open_graph(false);
    tern_output(g, "s", tern_poisson(g, tern_input(g, "x", TERN_F32, TERN_SHAPE(CELLS)), .timesteps = STEPS));
    trial t = open_trial(g);
    tern_tensor s = run(&t, x, 7, "s");
    uint64_t first[(STEPS * CELLS + 63) / 64];
    memcpy(first, s.data, sizeof first);
    for (int c = 0; c < CELLS; c++) {
        double count = 0, p = (double)x[c];
        for (int i = 0; i < STEPS; i++) count += tern_bit_get(s.data, (int64_t)i * CELLS + c);
        assert_true(fabs(count / STEPS - p) <= 4 * sqrt(p * (1 - p) / STEPS));
    }
    s = run(&t, x, 7, "s"); /* the same run draws the same numbers, another run others */
    assert_memory_equal(s.data, first, sizeof first);
    s = run(&t, x, 8, "s");
    assert_memory_not_equal(s.data, first, sizeof first);
    tern_pool *pool;
    tern_session *wide;
    assert_ok(tern_pool_open(&pool, 3));
    assert_ok(tern_session_open(&wide, t.p, t.store, pool));
    assert_ok(tern_session_bind(wide, "x", x));
    assert_ok(tern_session_run(wide, 7));
    assert_ok(tern_session_output(wide, "s", &s));
    assert_memory_equal(s.data, first, sizeof first);
    tern_session_close(wide);
    tern_pool_close(pool);
    close_trial(&t);
}

static void test_latency_and_change(void **state)
{
    (void)state;
    float x[5] = {1, 0.5f, 0, 0.125f, 2};
    static const int steps[5] = {0, 3, 5, 4, 0}; /* of 6: round(5 (1 - x)), halves away from 0 */
    tern_graph *g = open_graph(false);
    tern_output(g, "s", tern_latency(g, tern_input(g, "x", TERN_F32, TERN_SHAPE(5)), .timesteps = 6));
    trial t = open_trial(g);
    tern_tensor s = run(&t, x, 0, "s");
    assert_int_equal(tern_count_bits(&s), 5);
    for (int i = 0; i < 5; i++) assert_true(tern_bit_get(s.data, steps[i] * 5 + i));
    close_trial(&t);

    /* two pixels over five steps; the first creeps up and drops, the second is still */
    float film[10] = {0, 1, 0.6f, 1, 1.2f, 1, 1.5f, 1, -1, 1};
    static const int on[5] = {0, 0, 1, 0, 0}, off[5] = {0, 0, 0, 0, 1};
    g = open_graph(false);
    tern_output(g, "s", tern_change(g, tern_input(g, "x", TERN_F32, TERN_SHAPE(5, 1, 1, 2)), .threshold = 1));
    t = open_trial(g);
    s = run(&t, film, 0, "s");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(tern_bit_get(s.data, i * 4), on[i]);
        assert_int_equal(tern_bit_get(s.data, i * 4 + 1), 0);
        assert_int_equal(tern_bit_get(s.data, i * 4 + 2), off[i]);
        assert_int_equal(tern_bit_get(s.data, i * 4 + 3), 0);
    }
    close_trial(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learned_tau),
        cmocka_unit_test(test_learned_leak_and_threshold),
        cmocka_unit_test(test_stepping),
        cmocka_unit_test(test_adaptation),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_poisson),
        cmocka_unit_test(test_latency_and_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
