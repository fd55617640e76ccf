/* State spaces: the operators by hand, states that go from call to call, published numbers of parameters, costs of serving. */
#include "test.h"

#include "llm/serving.h"
#include "op/state_space.h"
#include "run/run.h"
#include "train/train.h"

#include <math.h>
#include <string.h>

enum { TOKENS = 6, WIDTH = 3, CELLS = 2, TAPS = 4 };

/* y and the states of `tokens` tokens: out[0] of the convolution, out[1] of the scan. */
static tern_graph *both(int tokens)
{
    tern_graph *g;
    tern_value rows, state;
    assert_ok(tern_graph_open(&g, NULL));
    tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(tokens, WIDTH));
    tern_value dt = tern_input(g, "dt", TERN_F32, TERN_SHAPE(tokens, WIDTH));
    tern_value b = tern_input(g, "b", TERN_F32, TERN_SHAPE(tokens, CELLS));
    tern_value c = tern_input(g, "c", TERN_F32, TERN_SHAPE(tokens, CELLS));
    tern_value w = tern_input(g, "w", TERN_F32, TERN_SHAPE(WIDTH, TAPS));
    tern_value bias = tern_input(g, "bias", TERN_F32, TERN_SHAPE(WIDTH));
    tern_value a = tern_input(g, "a", TERN_F32, TERN_SHAPE(WIDTH, CELLS));
    tern_value d = tern_input(g, "d", TERN_F32, TERN_SHAPE(WIDTH));
    tern_value before = tern_state(g, "rows", TERN_F32, TERN_SHAPE(TAPS - 1, WIDTH), (tern_init){0}, true);
    tern_value h = tern_state(g, "h", TERN_F32, TERN_SHAPE(WIDTH, CELLS), (tern_init){0}, true);
    tern_value u = tern_causal_conv(g, x, w, bias, before, &rows);
    tern_output(g, "u", u);
    tern_output(g, "y", tern_selective_scan(g, u, dt, a, b, c, d, h, &state));
    tern_next(g, before, rows);
    tern_next(g, h, state);
    assert_ok(tern_graph_status(g));
    return g;
}

static float inputs[8][TOKENS * WIDTH];
static const char *const names[] = {"x", "dt", "b", "c", "w", "bias", "a", "d"};

/* Runs `calls` calls of TOKENS / calls tokens each; u and y of all. */
static void run(int calls, float *u, float *y)
{
    static const int64_t widths[] = {WIDTH, WIDTH, CELLS, CELLS, 0, 0, 0, 0};
    int tokens = TOKENS / calls;
    tern_graph *g = both(tokens);
    tern_program *p;
    tern_session *s;
    tern_store store = {0};
    tern_tensor out;
    assert_ok(tern_plan(&p, g, NULL));
    assert_ok(tern_session_open(&s, p, &store, NULL));
    for (int call = 0; call < calls; call++) {
        for (int i = 0; i < 8; i++)
            assert_ok(
                tern_session_bind(s, names[i], inputs[i] + (size_t)(call * tokens) * (size_t)widths[i]));
        assert_ok(tern_session_run(s, 0));
        size_t at = (size_t)(call * tokens * WIDTH), bytes = (size_t)(tokens * WIDTH) * sizeof *u;
        assert_ok(tern_session_output(s, "u", &out));
        memcpy(u + at, out.data, bytes);
        assert_ok(tern_session_output(s, "y", &out));
        memcpy(y + at, out.data, bytes);
    }
    tern_session_close(s);
    tern_store_close(&store);
    tern_program_close(p);
    tern_graph_close(g);
}

/* All tokens at once, two at a time, one at a time: the same bits, since the states are all that a token needs of those before. */
static void test_states(void **state)
{
    (void)state;
    float u[3][TOKENS * WIDTH], y[3][TOKENS * WIDTH];
    for (size_t i = 0; i < 8; i++)
        for (size_t k = 0; k < TERN_COUNT(inputs[0]); k++)
            inputs[i][k] = (float)tern_rng_uniform((tern_rng){9, i}, k) - (i == 6 ? 1 : 0);
    run(1, u[0], y[0]);
    run(3, u[1], y[1]);
    run(6, u[2], y[2]);
    for (int i = 1; i < 3; i++) {
        assert_memory_equal(u[0], u[i], sizeof u[0]);
        assert_memory_equal(y[0], y[i], sizeof y[0]);
    }
    double first = inputs[5][0] + inputs[4][TAPS - 1] * (double)inputs[0][0]; /* nothing came before */
    assert_true(fabs(u[0][0] - first) < 1e-6);
    double read = inputs[7][0] * (double)u[0][0];
    for (int n = 0; n < CELLS; n++) read += (double)inputs[3][n] * inputs[1][0] * inputs[2][n] * u[0][0];
    assert_true(fabs(y[0][0] - read) < 1e-6);
    double cell = 0, second = inputs[7][0] * (double)u[0][WIDTH]; /* of channel 0: h = e^(dt a) h + dt b x */
    for (int n = 0; n < CELLS; n++) {
        cell = (double)inputs[1][0] * inputs[2][n] * u[0][0];
        cell = exp((double)inputs[1][WIDTH] * inputs[6][n]) * cell +
               (double)inputs[1][WIDTH] * inputs[2][CELLS + n] * u[0][WIDTH];
        second += inputs[3][CELLS + n] * cell;
    }
    assert_true(fabs(y[0][WIDTH] - second) < 1e-6);
}

/* As published: 129,135,360 and 2,768,345,600 parameters (state-spaces/mamba-130m and -2.8b). */
static void test_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double parameters;
    } cases[] = {{"mamba-130m", 129135360}, {"mamba-2.8b", 2768345600}};
    for (size_t i = 0; i < TERN_COUNT(cases); i++) {
        const tern_net *net = tern_net_find(cases[i].name);
        tern_transformer t;
        tern_weights shapes;
        void *parameters;
        double sum = 0;
        assert_ok(tern_net_parameters(net, &parameters));
        assert_ok(tern_transformer_of(&t, &shapes, net, parameters));
        for (int k = 0; k < shapes.count; k++) sum += (double)tern_elements(&shapes.tensors[k].shape);
        assert_true(sum == cases[i].parameters);
        tern_weights_close(&shapes);
        tern_net_free(parameters);
    }
}

/* Held weights are all parameters in bf16; what is kept of a sequence is the same after 10 tokens and after 10,000; an answer reads and
 * writes it; of two devices each has half. */
static void test_serving(void **state)
{
    (void)state;
    const tern_net *net = tern_net_find("mamba-130m");
    tern_transformer t;
    tern_weights shapes;
    void *parameters;
    double kept = 24.0 * 1536 * (16 + 3) * 2, moved[2] = {0, 0};
    assert_ok(tern_net_parameters(net, &parameters));
    assert_ok(tern_transformer_of(&t, &shapes, net, parameters));
    tern_serving_plan plans[] = {
        {.batch = 4, .in = 10, .out = 1, .beams = 1, .tensor = 1, .experts = 1, .pipeline = 1},
        {.batch = 4, .in = 10000, .out = 1, .beams = 1, .tensor = 1, .experts = 1, .pipeline = 1},
        {.batch = 4, .in = 10, .out = 1, .beams = 1, .tensor = 2, .experts = 1, .pipeline = 1}};
    for (size_t i = 0; i < TERN_COUNT(plans); i++) {
        tern_serving_run run;
        assert_ok(tern_serving_decode(&run, &t, &plans[i]));
        if (i < 2) assert_true(run.weights == 2.0 * 129135360);
        assert_true(run.caches == 4 * kept / (i == 2 ? 2 : 1));
        for (int k = 0; i < 2 && k < run.count; k++)
            moved[i] += run.tasks[k].count * (run.tasks[k].fixed + run.tasks[k].in + run.tasks[k].out);
        tern_serving_free(&run);
    }
    assert_true(moved[0] == moved[1] && moved[0] > 2.0 * 129135360 + 2 * 4 * kept);
    tern_weights_close(&shapes);
    tern_net_free(parameters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_serving),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
