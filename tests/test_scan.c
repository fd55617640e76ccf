/* scan: a body run over time against the same net unrolled by hand; its gradient against the unrolled one's and against
 * finite differences; bits that do not fill words; two bodies; bodies in bodies. */
#include "test.h"

#include "op/op.h"
#include "op/scan.h"
#include "run/run.h"

#include <math.h>
#include <string.h>

enum { T = 5, B = 3, N = 7 };

static tern_rng rng = {.seed = 21};
static uint64_t drawn;

static void fill(float *x, int count)
{
    for (int i = 0; i < count; i++) x[i] = (float)tern_rng_normal(rng, drawn++);
}

/* A step of a leaky recurrence: h' = relu(W x + U h) * c, y = h' * x. */
static tern_value step_of(tern_graph *g, tern_value x, tern_value h, tern_value w, tern_value u, tern_value c,
                          tern_value *next)
{
    tern_value sum = tern_add(g, tern_apply2(g, &tern_op_linear, x, w),
                              tern_reshape(g, tern_apply2(g, &tern_op_linear, h, u), TERN_SHAPE(1, B, N)));
    *next = tern_reshape(g, tern_multiply(g, tern_relu(g, sum), c), TERN_SHAPE(B, N));
    return tern_multiply(g, tern_reshape(g, *next, TERN_SHAPE(1, B, N)), x);
}

static tern_graph *body_graph(void)
{
    tern_init init = {TERN_INIT_UNIFORM, 0.5};
    tern_graph *g;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.stepping = true, .seed = 2}));
    tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(1, B, N)),
               c = tern_input(g, "c", TERN_F32, TERN_SHAPE(N));
    tern_value w = tern_param(g, "w", TERN_SHAPE(N, N), init), u = tern_param(g, "u", TERN_SHAPE(N, N), init);
    tern_value h = tern_state(g, "h", TERN_F32, TERN_SHAPE(B, N), (tern_init){TERN_INIT_CONSTANT, 0.5},
                              false),
               next;
    tern_value y = step_of(g, x, h, w, u, c, &next);
    tern_next(g, h, next);
    tern_output(g, "y", y);
    tern_output(g, "total", tern_multiply(g, y, y));
    assert_ok(tern_graph_status(g));
    return g;
}

/* What is compared: loss and gradients of x, c, w, u. */
typedef struct results {
    float y[T * B * N], last[B * N], loss, dx[T * B * N], dc[N], dw[N * N], du[N * N];
} results;

static tern_value weigh(tern_graph *g, tern_value v, int count)
{
    return tern_sum(g, tern_reshape(g, v, TERN_SHAPE(count)), .axis = 0);
}

/* The net with a scan, or unrolled with the gradient through h cut before each multiple of `truncate` steps. */
static tern_graph *whole_graph(bool scanned, bool reverse, int truncate)
{
    tern_init init = {TERN_INIT_UNIFORM, 0.5};
    tern_graph *g;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.training = true, .seed = 2}));
    tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(T, B, N)),
               c = tern_input(g, "c", TERN_F32, TERN_SHAPE(N));
    tern_value y = {0}, total = {0}, last, wrt[4] = {x, c}, grads[4], out[3];
    tern_graph *body = body_graph();
    tern_scan_op op = {
        .body = body, .steps = T, .slices = 1, .stacked = 1, .truncate = truncate, .reverse = reverse};
    if (scanned) {
        tern_scan(g, &op, (tern_value[]){x, c}, 2, (tern_value){0}, out);
        y = out[0], total = out[1], last = out[2];
        wrt[2] = tern_find_value(g, "w"), wrt[3] = tern_find_value(g, "u");
    } else {
        tern_value w = tern_param(g, "w", TERN_SHAPE(N, N), init),
                   u = tern_param(g, "u", TERN_SHAPE(N, N), init);
        float half[B * N];
        for (int i = 0; i < B * N; i++) half[i] = 0.5f;
        tern_value h = tern_constant(g, &(tern_tensor){TERN_F32, TERN_SHAPE(B, N), half});
        wrt[2] = w, wrt[3] = u;
        /* slices by a product with a row of ones and zeros: picks step t out of [T, B*N] */
        tern_value flat = tern_reshape(g, x, TERN_SHAPE(T, B * N)), rows[T];
        for (int i = 0; i < T; i++) {
            int t = reverse ? T - 1 - i : i;
            float pick[T] = {0};
            pick[t] = 1;
            tern_value chosen = tern_constant(g, &(tern_tensor){TERN_F32, TERN_SHAPE(T, 1), pick});
            tern_value slice = tern_sum(g, tern_multiply(g, flat, chosen), .axis = 0);
            rows[t] = step_of(g, tern_reshape(g, slice, TERN_SHAPE(1, B, N)), h, w, u, c, &h);
            tern_value square = tern_multiply(g, rows[t], rows[t]);
            total = total.id ? tern_add(g, total, square) : square;
            tern_value placed = tern_multiply(g, tern_reshape(g, rows[t], TERN_SHAPE(1, B * N)), chosen);
            y = y.id ? tern_add(g, y, placed) : placed;
        }
        y = tern_reshape(g, y, TERN_SHAPE(T, B, N));
        last = h;
    }
    tern_graph_close(body); /* the node keeps it */
    float weights[T * B * N];
    for (int i = 0; i < T * B * N; i++) weights[i] = (float)sin(i);
    tern_value scale = tern_constant(g, &(tern_tensor){TERN_F32, TERN_SHAPE(T, B, N), weights});
    tern_value loss = tern_add(g, weigh(g, tern_multiply(g, y, scale), T * B * N), weigh(g, total, B * N));
    loss = tern_add(g, loss, weigh(g, tern_multiply(g, last, last), B * N));
    assert_ok(tern_gradients(g, loss, wrt, 4, grads));
    tern_output(g, "y", y);
    tern_output(g, "last", last);
    tern_output(g, "loss", loss);
    static const char *const names[] = {"dx", "dc", "dw", "du"};
    for (int i = 0; i < 4; i++) tern_output(g, names[i], grads[i]);
    assert_ok(tern_graph_status(g));
    return g;
}

static void take(tern_session *s, const char *name, float *to, int count)
{
    tern_tensor t;
    assert_ok(tern_session_output(s, name, &t));
    assert_int_equal(tern_elements(&t.shape), count);
    memcpy(to, t.data, (size_t)count * sizeof *to);
}

static results evaluate(const tern_graph *from, const float *x, const float *c, tern_store *store,
                        bool reference)
{
    results r;
    tern_graph *g;
    tern_program *p;
    tern_session *s;
    assert_ok(tern_pass_common(from, &g)); /* a pass copies nodes; the bodies are shared */
    assert_ok(tern_plan(&p, g, &(tern_plan_options){.reference = reference}));
    assert_ok(tern_session_open(&s, p, store, NULL));
    assert_ok(tern_session_bind(s, "x", x));
    assert_ok(tern_session_bind(s, "c", c));
    for (int run = 0; run < 2; run++)
        assert_ok(tern_session_run(s, (uint64_t)run)); /* nothing is left behind */
    take(s, "y", r.y, T * B * N);
    take(s, "last", r.last, B * N);
    take(s, "loss", &r.loss, 1);
    take(s, "dx", r.dx, T * B * N);
    take(s, "dc", r.dc, N);
    take(s, "dw", r.dw, N * N);
    take(s, "du", r.du, N * N);
    tern_session_close(s);
    tern_program_close(p);
    tern_graph_close(g);
    return r;
}

static void near(const float *a, const float *b, int count, double tolerance)
{
    double largest = 1e-3;
    for (int i = 0; i < count; i++) largest = fmax(largest, fabs((double)b[i]));
    for (int i = 0; i < count; i++)
        if (!(fabs((double)a[i] - b[i]) <= tolerance * largest))
            fail_msg("element %d: %g, expected %g", i, a[i], b[i]);
}

static void test_unrolled(void **state)
{
    (void)state;
    float x[T * B * N], c[N];
    fill(x, T * B * N);
    fill(c, N);
    tern_store store = {0};
    for (int reverse = 0; reverse < 2; reverse++) {
        tern_graph *scanned = whole_graph(true, reverse, 0), *unrolled = whole_graph(false, reverse, 0);
        results got = evaluate(scanned, x, c, &store, false), want = evaluate(unrolled, x, c, &store, false);
        near(got.y, want.y, T * B * N, 1e-5);
        near(got.last, want.last, B * N, 1e-5);
        near(&got.loss, &want.loss, 1, 1e-5);
        near(got.dx, want.dx, T * B * N, 2e-5);
        near(got.dc, want.dc, N, 2e-5);
        near(got.dw, want.dw, N * N, 2e-5);
        near(got.du, want.du, N * N, 2e-5);
        tern_graph_close(scanned);
        tern_graph_close(unrolled);
    }
    tern_store_close(&store);
}

/* A cut that is never reached is the full gradient; the steps behind the last cut don't notice it. */
static void test_truncated(void **state)
{
    (void)state;
    float x[T * B * N], c[N];
    fill(x, T * B * N);
    fill(c, N);
    tern_store store = {0};
    results r[4];
    static const int truncate[4] = {0, T, 2, 1};
    for (int i = 0; i < 4; i++) {
        tern_graph *g = whole_graph(true, false, truncate[i]);
        r[i] = evaluate(g, x, c, &store, false);
        tern_graph_close(g);
        near(r[i].y, r[0].y, T * B * N, 0);
    }
    near(r[1].dw, r[0].dw, N * N, 1e-6);
    near(r[1].dx, r[0].dx, T * B * N, 1e-6);
    near(r[2].dx + 4 * B * N, r[0].dx + 4 * B * N, B * N, 1e-6);
    double apart = 0, further = 0;
    for (int i = 0; i < N * N; i++) {
        apart += fabs((double)r[2].du[i] - r[0].du[i]);
        further += fabs((double)r[3].du[i] - r[2].du[i]);
    }
    assert_true(apart > 1e-3 && further > 1e-3);
    tern_store_close(&store);
}

/* Neurons in a body, truncated by the scan, against neurons over all steps, truncated by themselves. */
static void test_truncated_neurons(void **state)
{
    (void)state;
    float x[T * B * N];
    fill(x, T * B * N);
    for (int truncate = 0; truncate <= T; truncate++) {
        tern_graph *g, *body;
        assert_ok(tern_graph_open(&g, &(tern_graph_options){.seed = 8}));
        assert_ok(tern_graph_open(&body, &(tern_graph_options){.stepping = true, .seed = 8}));
        tern_value in = tern_input(g, "x", TERN_F32, TERN_SHAPE(T, B, N)),
                   xt = tern_input(body, "xt", TERN_F32, TERN_SHAPE(1, B, N));
        tern_output(body, "s", tern_lif(body, tern_linear(body, xt, .out = 6, .name = "in"), .tau = 3));
        tern_value wrt, grads[2], out[2], both[2];
        tern_scan_op op = {.body = body, .steps = T, .slices = 1, .stacked = 1, .truncate = truncate};
        both[0] = tern_scan(g, &op, &in, 1, (tern_value){0}, out);
        wrt = tern_find_value(g, "in.weight");
        tern_value bias = tern_find_value(g, "in.bias");
        tern_value current = tern_apply(g, &tern_op_linear, NULL, (tern_value[]){in, wrt, bias}, 3, NULL);
        both[1] = tern_lif(g, current, .tau = 3, .truncate = truncate);
        float weights[T * B * 6];
        for (int i = 0; i < T * B * 6; i++) weights[i] = (float)cos(i);
        tern_value scale = tern_constant(g, &(tern_tensor){TERN_F32, TERN_SHAPE(T, B, 6), weights});
        for (int i = 0; i < 2; i++)
            assert_ok(
                tern_gradients(g, weigh(g, tern_multiply(g, both[i], scale), T * B * 6), &wrt, 1, &grads[i]));
        tern_output(g, "scanned", grads[0]);
        tern_output(g, "at once", grads[1]);
        tern_graph_close(body);
        tern_program *p;
        tern_session *s;
        tern_store store = {0};
        float a[6 * N], b[6 * N];
        assert_ok(tern_plan(&p, g, NULL));
        assert_ok(tern_session_open(&s, p, &store, NULL));
        assert_ok(tern_session_bind(s, "x", x));
        assert_ok(tern_session_run(s, 0));
        take(s, "scanned", a, 6 * N);
        take(s, "at once", b, 6 * N);
        near(a, b, 6 * N, 1e-5);
        tern_session_close(s);
        tern_program_close(p);
        tern_graph_close(g);
        tern_store_close(&store);
    }
}

/* Loss as a function of one parameter, in the direction of its gradient. */
static void test_finite_differences(void **state)
{
    (void)state;
    float x[T * B * N], c[N];
    fill(x, T * B * N);
    fill(c, N);
    tern_store store = {0};
    tern_graph *g = whole_graph(true, true, 0);
    results at = evaluate(g, x, c, &store, true);
    float *u = store.tensors[tern_store_find(&store, "u")].data, kept[N * N];
    memcpy(kept, u, sizeof kept);
    double norm = 0, h = 1e-3, loss[2];
    for (int i = 0; i < N * N; i++) norm += (double)at.du[i] * at.du[i];
    norm = sqrt(norm);
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < N * N; i++) u[i] = kept[i] + (float)((side ? h : -h) * at.du[i] / norm);
        loss[side] = evaluate(g, x, c, &store, true).loss;
    }
    double slope = (loss[1] - loss[0]) / (2 * h);
    assert_true(fabs(slope - norm) < 0.02 * norm);
    tern_graph_close(g);
    tern_store_close(&store);
}

/* Spikes in and out, three bits a step; the sum of two scans in a body of a scan. */
static void test_bits(void **state)
{
    (void)state;
    tern_graph *body, *g;
    assert_ok(tern_graph_open(&body, &(tern_graph_options){.stepping = true}));
    tern_value s = tern_input(body, "s", TERN_BIT, TERN_SHAPE(1, 1, 3));
    s = tern_lif(body, tern_add(body, s, tern_scalar(body, 0)), .tau = 2, .decay_input = false,
                 .threshold = 1.4, .reset = TERN_RESET_SOFT);
    tern_output(body, "fired", s);
    assert_ok(tern_graph_open(&g, NULL));
    tern_value in = tern_input(g, "s", TERN_BIT, TERN_SHAPE(30, 1, 3)), fired, steps;
    tern_scan_op op = {.body = body, .steps = 30, .slices = 1, .stacked = 1};
    tern_value out[2];
    fired = tern_scan(g, &op, &in, 1, (tern_value){0}, out);
    steps = tern_lif(g, tern_add(g, in, tern_scalar(g, 0)), .tau = 2, .decay_input = false, .threshold = 1.4,
                     .reset = TERN_RESET_SOFT);
    tern_output(g, "fired", fired);
    tern_output(g, "at once", steps);
    assert_ok(tern_graph_status(g));
    tern_graph_close(body);
    tern_program *p;
    tern_session *session;
    tern_store store = {0};
    assert_ok(tern_plan(&p, g, NULL));
    assert_ok(tern_session_open(&session, p, &store, NULL));
    uint64_t bits[2] = {0x9d2c5680ef3b7751u, 0x0000000003b1c6d5u};
    tern_tensor a, b;
    assert_ok(tern_session_bind(session, "s", bits));
    assert_ok(tern_session_run(session, 0));
    assert_ok(tern_session_output(session, "fired", &a));
    assert_ok(tern_session_output(session, "at once", &b));
    assert_memory_equal(a.data, b.data, 16);
    int64_t ones = tern_count_bits(&a);
    assert_true(ones > 5 && ones < 60);
    tern_session_close(session);
    tern_program_close(p);
    tern_graph_close(g);
    tern_store_close(&store);
}

/* acc += x, or acc += 10 x where the mask is 0; the outer body adds the sums of an inner scan. */
static tern_graph *adder(double factor)
{
    tern_graph *g;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.stepping = true}));
    tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(1, 2));
    tern_value acc = tern_state(g, "acc", TERN_F32, TERN_SHAPE(1, 2), (tern_init){0}, false);
    tern_next(g, acc, tern_add(g, acc, tern_multiply(g, x, tern_scalar(g, factor))));
    return g;
}

static void test_two_bodies_nested(void **state)
{
    (void)state;
    tern_graph *one = adder(1), *ten = adder(10), *outer, *g;
    assert_ok(tern_graph_open(&outer, &(tern_graph_options){.stepping = true}));
    tern_value rows = tern_input(outer, "rows", TERN_F32, TERN_SHAPE(1, 3, 2));
    tern_value mask = tern_input(outer, "mask", TERN_F32, TERN_SHAPE(3)), sum;
    tern_scan_op inner = {.body = one, .other = ten, .steps = 3, .slices = 1, .chosen = 2};
    tern_scan(outer, &inner, &rows, 1, mask, &sum);
    tern_output(outer, "sum", sum);
    assert_ok(tern_graph_open(&g, NULL));
    tern_value in[2] = {tern_input(g, "x", TERN_F32, TERN_SHAPE(4, 3, 2)),
                        tern_input(g, "mask", TERN_F32, TERN_SHAPE(3))};
    tern_scan_op op = {.body = outer, .steps = 4, .slices = 1, .stacked = 1};
    tern_value out[1];
    tern_output(g, "sums", tern_scan(g, &op, in, 2, (tern_value){0}, out));
    assert_ok(tern_graph_status(g));
    tern_graph_close(one);
    tern_graph_close(ten);
    tern_graph_close(outer);
    tern_program *p;
    tern_session *s;
    tern_store store = {0};
    float x[24], ones[3] = {1, 0, 1};
    for (int i = 0; i < 24; i++) x[i] = (float)i;
    assert_ok(tern_plan(&p, g, NULL));
    assert_ok(tern_session_open(&s, p, &store, NULL));
    assert_ok(tern_session_bind(s, "x", x));
    assert_ok(tern_session_bind(s, "mask", ones));
    tern_session_count(s, true);
    assert_ok(tern_session_run(s, 0));
    tern_tensor t;
    assert_ok(tern_session_output(s, "sums", &t));
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 2; k++)
            assert_true(tern_get(&t, 2 * i + k) == x[6 * i + k] + 10 * x[6 * i + 2 + k] + x[6 * i + 4 + k]);
    tern_step_work work;
    assert_int_equal(p->step_count, 1);
    assert_ok(tern_program_work(p, 1, &work));
    assert_true(work.work.elementwise == tern_session_counters(s)[0].elementwise &&
                work.work.elementwise == 4 * 3 * 4);
    tern_session_close(s);
    tern_program_close(p);
    tern_graph_close(g);
    tern_store_close(&store);
}

static void test_errors(void **state)
{
    (void)state;
    tern_graph *body = body_graph(), *other = adder(1), *g;
    tern_value out[3];
    assert_ok(tern_graph_open(&g, NULL));
    tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(4, B, N)),
               c = tern_input(g, "c", TERN_F32, TERN_SHAPE(N));
    tern_scan(g, &(tern_scan_op){.body = body, .steps = T, .slices = 1, .stacked = 1}, (tern_value[]){x, c},
              2, (tern_value){0}, out);
    assert_error(tern_graph_status(g), TERN_FAILED,
                 "\"x\" of the body is f32 [1,3,7], found f32 [4,3,7] for 5 steps");
    tern_graph_close(g);
    assert_ok(tern_graph_open(&g, NULL));
    x = tern_input(g, "x", TERN_F32, TERN_SHAPE(4, B, N)), c = tern_input(g, "c", TERN_F32, TERN_SHAPE(N));
    tern_scan(g, &(tern_scan_op){.body = body, .other = other, .steps = 4, .slices = 1, .stacked = 1},
              (tern_value[]){x, c}, 2, (tern_value){0}, out);
    assert_error(tern_graph_status(g), TERN_FAILED, "two bodies");
    tern_graph_close(g);
    tern_graph_close(body);
    tern_graph_close(other);
}

static tern_status cycle(void)
{
    tern_graph *g = NULL, *body = NULL;
    tern_program *p = NULL;
    tern_session *s = NULL;
    tern_store store = {0};
    float x[T * 2] = {1, 2, 3};
    tern_value out[2], wrt, grad = {0};
    tern_status status = tern_graph_open(&g, NULL);
    if (status == TERN_OK) status = tern_graph_open(&body, &(tern_graph_options){.stepping = true});
    if (status != TERN_OK) goto done;
    tern_value in = tern_input(g, "x", TERN_F32, TERN_SHAPE(T, 1, 2)),
               xt = tern_input(body, "xt", TERN_F32, TERN_SHAPE(1, 1, 2));
    tern_output(body, "y", tern_lif(body, tern_linear(body, xt, .out = 3), .tau = 2));
    tern_value y = tern_scan(g, &(tern_scan_op){.body = body, .steps = T, .slices = 1, .stacked = 1}, &in, 1,
                             (tern_value){0}, out);
    TERN_GOTO(done, tern_graph_status(g));
    wrt = tern_find_value(g, "linear1.weight");
    TERN_GOTO(done, tern_gradients(g, weigh(g, tern_add(g, y, tern_scalar(g, 0)), T * 3), &wrt, 1, &grad));
    tern_output(g, "d", grad);
    TERN_GOTO(done, tern_plan(&p, g, NULL));
    TERN_GOTO(done, tern_session_open(&s, p, &store, NULL));
    TERN_GOTO(done, tern_session_bind(s, "x", x));
    TERN_GOTO(done, tern_session_run(s, 0));
done:
    tern_session_close(s);
    tern_program_close(p);
    tern_store_close(&store);
    tern_graph_close(g);
    tern_graph_close(body);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    assert_survives_out_of_memory(cycle());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unrolled),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_truncated_neurons),
        cmocka_unit_test(test_finite_differences),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_two_bodies_nested),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
