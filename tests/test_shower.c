/* Showers: cells, distances between them against geometry and CBC, codes of charges, classical encoders and their bits. */
#include "test.h"

#include "base/transport.h"
#include "io/io.h"
#include "train/train.h"
#include "transport_reference.h"

#include <math.h>
#include <string.h>

enum { N = TERN_TRIGGER_CELLS };

static double apart(int a, int b)
{
    double ax, ay, bx, by;
    tern_trigger_cell(a, &ax, &ay);
    tern_trigger_cell(b, &bx, &by);
    return hypot(ax - bx, ay - by);
}

static void test_cells_fill_a_hexagon(void **state)
{
    (void)state;
    double sx = 0, sy = 0;
    for (int a = 0; a < N; a++) {
        double x, y, least = 10, in = 10;
        tern_trigger_cell(a, &x, &y);
        sx += x;
        sy += y;
        assert_true(hypot(x, y) < 4);
        for (int b = 0; b < N; b++)
            if (b != a) {
                least = fmin(least, apart(a, b));
                if (a / 16 == b / 16) in = fmin(in, apart(a, b));
            }
        assert_true(fabs(in - 1) < 1e-12); /* the nearest cell of a rhombus is one away */
        assert_true(least > 0.866 && least < 1.001);
    }
    assert_true(fabs(sx) < 1e-9 && fabs(sy) < 1e-9);
}

static void test_distances(void **state)
{
    (void)state;
    tern_shower_options o = {.seed = 5};
    float p[N], q[N];
    for (int a = 0; a < N; a++)
        for (int b = 0; b < N; b++) { /* one charge that moves */
            memset(p, 0, sizeof p);
            memset(q, 0, sizeof q);
            p[a] = 3;
            q[b] = 0.5f;
            assert_true(fabs(tern_shower_distance(p, q) - apart(a, b)) < 1e-12);
        }
    for (uint64_t k = 0; k < 30; k++) {
        tern_shower(&o, 2 * k, p);
        tern_shower(&o, 2 * k + 1, q);
        double d = tern_shower_distance(p, q);
        assert_true(fabs(d - tern_shower_distance(q, p)) < 1e-12 && d > 0 && d < 8);
        assert_true(tern_shower_distance(p, p) == 0);
        if (!tern_mip_available() || k >= 5) continue;
        double reference = transport_by_cbc(p, q);
        if (!(fabs(d - reference) < 1e-9)) fail_msg("pair %d: %.12g, CBC %.12g", (int)k, d, reference);
    }
}

/* Odd shapes of the problem itself: flows that must be taken back. */
static void test_transport_takes_flows_back(void **state)
{
    (void)state;
    const double supply[] = {1, 1}, demand[] = {1, 1}, cost[] = {1, 2, 1, 10};
    assert_true(fabs(tern_transport(2, 2, supply, demand, cost) - 3) < 1e-12);
    const double thirds[] = {0.75, 0.25, 0.5}, one[] = {1.5}, costs[] = {2, 4, 6};
    assert_true(fabs(tern_transport(3, 1, thirds, one, costs) - 5.5) < 1e-12);
}

static void test_codes_of_charges(void **state)
{
    (void)state;
    assert_true(tern_charge_code(0.05, 7) == 0);
    assert_true(tern_charge_code(0.13, 7) == 0.125);  /* steps of 1/16 up to 1/2 .. */
    assert_true(tern_charge_code(0.99, 7) == 0.9375); /* .. and up to 1, .. */
    assert_true(tern_charge_code(1.99, 7) == 1.875);  /* .. then of an eighth */
    assert_true(tern_charge_code(100, 7) == 96);
    int codes = 0;
    double last = -1;
    for (double x = 0; x < 1 << 15; x += 1.0 / 16) { /* 2^7 codes, never above x, never falling */
        double y = tern_charge_code(x, 7);
        assert_true(y <= x && y >= last);
        codes += y > last;
        last = y;
    }
    assert_int_equal(codes, 128);
    assert_true(tern_charge_code(1e9, 7) == last);
}

static void test_showers_are_reproducible(void **state)
{
    (void)state;
    tern_shower_options o = {.seed = 9}, narrow = {.low = 0.99, .high = 1, .seed = 9},
                        wide = {.low = 0.01, .high = 0.02, .seed = 9};
    float a[N], b[N];
    int clusters[4] = {0};
    double largest[2] = {0};
    for (uint64_t k = 0; k < 1000; k++) {
        int n = tern_shower(&o, k, a);
        assert_int_equal(tern_shower(&o, k, b), n);
        assert_memory_equal(a, b, sizeof a);
        clusters[n]++;
        for (int w = 0; w < 2; w++) {
            double sum = 0, most = 0;
            if (tern_shower(w ? &wide : &narrow, k, a) == 0) continue;
            for (int c = 0; c < N; c++) sum += (double)a[c], most = fmax(most, (double)a[c]);
            largest[w] += most / sum;
        }
    }
    assert_in_range(clusters[0], 450, 550);
    for (int n = 1; n < 4; n++) assert_in_range(clusters[n], 120, 215);
    assert_true(largest[0] > 1.5 * largest[1]);
}

static void test_encoders_keep_their_bits(void **state)
{
    (void)state;
    enum { COUNT = 400 };
    static float charges[COUNT * N];
    tern_shower_options o = {.seed = 3};
    for (uint64_t k = 0; k < COUNT; k++) tern_shower(&o, k, charges + k * N);
    static const int bits[] = {48, 96, 144}, cells[] = {3, 7, 13};
    for (int i = 0; i < 3; i++) {
        double threshold = tern_shower_threshold(charges, COUNT, bits[i]), spent = 0;
        for (int k = 0; k < COUNT; k++) {
            float decoded[N];
            int used, sent = 0, all = 0;
            const float *charge = charges + (ptrdiff_t)k * N;
            tern_shower_encode(TERN_THRESHOLD, charge, bits[i], threshold, decoded, &used);
            spent += used;
            tern_shower_encode(TERN_BEST_CHOICE, charge, bits[i], 0, decoded, &used);
            for (int c = 0; c < N; c++) {
                sent += decoded[c] > 0;
                all += (double)charge[c] > 0;
                assert_true(decoded[c] <= charge[c]);
            }
            assert_int_equal(sent, all < cells[i] ? all : cells[i]);
            tern_shower_encode(TERN_SUPER_CELL, charge, bits[i], 0, decoded, &used);
            assert_true(decoded[0] == decoded[1] && decoded[0] == decoded[4] && decoded[0] == decoded[5]);
        }
        assert_true(spent / COUNT <= bits[i] && spent / COUNT > bits[i] - 2);
    }
}

enum { BATCH = 4, ALL = 48 + 12 + 3 };

/* Loss of the untrained autoencoder on the first crossings of d, which it decodes to y. */
static double loss_of(const tern_dataset *d, tern_error error, float y[BATCH * ALL])
{
    const tern_net *net = tern_net_find("econ-ae");
    void *parameters;
    tern_recipe recipe = tern_recipe_default();
    tern_store store = {0};
    tern_model model;
    tern_tensor logits, loss;
    float weights[ALL], rate = 0, step = 1;
    for (int k = 0; k < ALL; k++) weights[k] = 1 / ((const float *)d->units.data)[k];
    recipe.targets = ALL;
    recipe.error = error;
    recipe.places = &d->places;
    assert_ok(tern_net_parameters(net, &parameters));
    assert_ok(tern_model_open(&model, net, parameters, &d->sample, BATCH, &recipe, &store, NULL));
    assert_ok(tern_session_bind(model.session, "image", d->train.images.data));
    assert_ok(tern_session_bind(model.session, "targets", d->train.targets.data));
    if (error != TERN_TRANSPORT_ERROR) assert_ok(tern_session_bind(model.session, "weights", weights));
    assert_ok(tern_session_bind(model.session, "rate", &rate));
    assert_ok(tern_session_bind(model.session, "step", &step));
    assert_ok(tern_session_run(model.session, 0));
    assert_ok(tern_session_output(model.session, "logits", &logits));
    assert_ok(tern_session_output(model.session, "loss", &loss));
    for (int i = 0; i < BATCH * ALL; i++) y[i] = (float)tern_get(&logits, i);
    double value = tern_get(&loss, 0);
    tern_model_close(&model);
    tern_store_close(&store);
    tern_net_free(parameters);
    return value;
}

static void open_few(tern_dataset *d)
{
    tern_dataset_options few = {.train_limit = BATCH, .test_limit = 1};
    assert_ok(tern_dataset_open(d, "showers", &few));
}

/* The telescoping loss: squared errors of 48, 12 and 3 sums, each weighed by the larger of output and target. */
static void test_weighed_errors(void **state)
{
    (void)state;
    tern_dataset d;
    float y[BATCH * ALL];
    double telescope[2] = {0};
    open_few(&d);
    for (int weighed = 0; weighed < 2; weighed++) {
        double loss = loss_of(&d, weighed ? TERN_WEIGHED_ERROR : TERN_SQUARED_ERROR, y);
        double levels[3] = {0}; /* means of 48 cells, 12 sums and 3 */
        for (int i = 0; i < BATCH * ALL; i++) {
            int k = i % ALL, level = k < 48 ? 0 : k < 60 ? 1 : 2, count[] = {48, 12, 3};
            double a = (double)y[i], b = (double)((const float *)d.train.targets.data)[i];
            levels[level] += (a - b) * (a - b) * (weighed ? fmax(a, b) : 1) / (BATCH * count[level]);
        }
        telescope[weighed] = 4 * levels[0] + 2 * levels[1] + levels[2];
        assert_true(fabs(loss / (1000 * telescope[weighed]) - 1) < 1e-4);
    }
    assert_true(telescope[1] < telescope[0]); /* shares are below 1 */
    tern_dataset_close(&d);
}

/* The transport of shares along eight lines, each by the solver for the plane; no more than what the plane takes. */
static void test_transport_errors(void **state)
{
    (void)state;
    tern_dataset d;
    float y[BATCH * ALL];
    double lines = 0, plane = 0;
    open_few(&d);
    double loss = loss_of(&d, TERN_TRANSPORT_ERROR, y);
    for (int b = 0; b < BATCH; b++) {
        const float *target = (const float *)d.train.targets.data + b * ALL;
        double from[N], to[N], cost[N * N], have = 0, want = 0;
        plane += tern_shower_distance(y + b * ALL, target) / BATCH;
        for (int c = 0; c < N; c++) have += (double)y[b * ALL + c], want += (double)target[c];
        for (int c = 0; c < N; c++) from[c] = (double)y[b * ALL + c] / have, to[c] = (double)target[c] / want;
        for (int line = 0; line < 8; line++) {
            double angle = line * acos(-1) / 8;
            for (int i = 0; i < N * N; i++) {
                double ax, ay, bx, by;
                tern_trigger_cell(i / N, &ax, &ay);
                tern_trigger_cell(i % N, &bx, &by);
                cost[i] = fabs((ax - bx) * cos(angle) + (ay - by) * sin(angle));
            }
            lines += tern_transport(N, N, from, to, cost) / (8 * BATCH);
        }
    }
    assert_true(fabs(loss / lines - 1) < 1e-4);
    assert_true(lines < plane && lines > plane / 2);
    tern_dataset_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells_fill_a_hexagon),
        cmocka_unit_test(test_distances),
        cmocka_unit_test(test_transport_takes_flows_back),
        cmocka_unit_test(test_codes_of_charges),
        cmocka_unit_test(test_showers_are_reproducible),
        cmocka_unit_test(test_encoders_keep_their_bits),
        cmocka_unit_test(test_weighed_errors),
        cmocka_unit_test(test_transport_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
