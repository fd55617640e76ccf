/* Fusion keeps every bit and moves fewer bytes: chains of element-wise operators drawn at random, and nets that learn. */
#include "test.h"

#include "op/element.h"
#include "op/op.h"
#include "op/optimiser.h"
#include "run/run.h"

#include <string.h>

static tern_rng rng = {.seed = 21};
static uint64_t drawn;

static int below(int bound)
{
    return (int)tern_rng_below(rng, drawn++, (uint64_t)bound);
}

enum { MOST = 24 };

/* A shape that broadcasts to `shape`. */
static tern_shape operand(tern_shape shape)
{
    int kind = below(5);
    if (kind == 0) return TERN_SHAPE(1);
    if (kind == 1) return TERN_SHAPE(shape.dim[shape.rank - 1]);
    if (kind == 2) shape.dim[below(shape.rank)] = 1;
    return shape;
}

/* Inputs "x0".., of which some are bits or broadcast, and up to 20 operators over any of the values so far; a few of them are
 * outputs, and a sum that is no element-wise operator reads one in the middle. */
static tern_graph *random_graph(int *inputs)
{
    static tern_value (*const unary[])(tern_graph *, tern_value) = {
        tern_relu, tern_sigmoid, tern_tanh,     tern_gelu,       tern_silu,   tern_softplus, tern_gelu_tanh,
        tern_exp,  tern_square,  tern_absolute, tern_hard_swish, tern_negate, tern_heaviside};
    static tern_value (*const binary[])(tern_graph *, tern_value, tern_value) = {
        tern_add, tern_subtract, tern_multiply, tern_maximum, tern_minimum};
    tern_graph *g;
    tern_value v[MOST];
    tern_shape shape = below(3) ? TERN_SHAPE(1 + below(4), 1 + below(5), 1 + below(70))
                                : TERN_SHAPE(1 + below(3), 1 + below(4000));
    int count = *inputs = 1 + below(4);
    assert_ok(tern_graph_open(&g, NULL));
    for (int i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", i);
        v[i] = tern_input(g, name, below(4) ? TERN_F32 : TERN_BIT, i == 0 ? shape : operand(shape));
    }
    while (count < MOST - 1) {
        tern_value a = v[below(count)], b = v[below(count)];
        tern_value c = v[below(count)];
        int kind = below(9);
        v[count++] = kind < 3   ? unary[below((int)TERN_COUNT(unary))](g, a)
                     : kind < 6 ? binary[below((int)TERN_COUNT(binary))](g, a, b)
                     : kind < 7 ? tern_where(g, a, b, c)
                     : kind < 8 ? tern_clip(g, a, -1.5, 2)
                                : tern_expand(g, tern_cast(g, a, TERN_F32), shape);
        if (below(9) == 0) {
            tern_shape s = tern_shape_of(g, v[count - 1]);
            v[count - 1] = tern_sum(g, v[count - 1], .axis = s.rank - 1, .keep = true);
        }
        if (below(6) == 0 || count == MOST - 1) {
            char name[16];
            snprintf(name, sizeof name, "y%d", count);
            tern_output(g, name, v[count - 1]);
        }
    }
    assert_ok(tern_graph_status(g));
    return g;
}

static double bytes_of(const tern_program *p)
{
    tern_step_work *work = tern_take_array((size_t)p->step_count + 1, sizeof *work);
    double sum = 0;
    assert_ok(tern_program_work(p, 1, work));
    for (int i = 0; i < p->step_count; i++)
        sum += work[i].traffic.read + work[i].traffic.written + work[i].traffic.weights;
    tern_release(work);
    return sum;
}

static double operations_of(const tern_program *p)
{
    tern_step_work *work = tern_take_array((size_t)p->step_count + 1, sizeof *work);
    double sum = 0;
    assert_ok(tern_program_work(p, 1, work));
    for (int i = 0; i < p->step_count; i++) sum += work[i].work.elementwise;
    tern_release(work);
    return sum;
}

static int count_of(const tern_graph *g, const tern_op *op)
{
    int n = 0;
    for (int i = 0; i < g->node_count; i++) n += g->nodes[i]->op == op;
    return n;
}

/* A graph and its inputs, running. */
typedef struct running {
    tern_program *p;
    tern_session *s;
    tern_store store;
    tern_tensor in[4];
} running;

static void open(running *r, const tern_graph *g, int inputs, bool reference, tern_pool *pool)
{
    *r = (running){0};
    assert_ok(tern_plan(&r->p, g, &(tern_plan_options){.reference = reference}));
    assert_ok(tern_session_open(&r->s, r->p, &r->store, pool));
    for (int i = 0; i < inputs; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", i);
        const tern_type *t = &tern_value_of(g, tern_find_value(g, name))->type;
        assert_ok(tern_tensor_new(&r->in[i], t->dtype, &t->shape));
        for (int64_t e = 0; e < tern_elements(&t->shape); e++) {
            double x = tern_rng_normal((tern_rng){.seed = 5}, (uint64_t)e);
            tern_set(&r->in[i], e, t->dtype == TERN_BIT ? x > 0 : x);
        }
        assert_ok(tern_session_bind(r->s, name, r->in[i].data));
    }
    assert_ok(tern_session_run(r->s, 0));
}

static void close(running *r)
{
    tern_session_close(r->s);
    tern_program_close(r->p);
    tern_store_close(&r->store);
    for (int i = 0; i < 4; i++) tern_tensor_free(&r->in[i]);
}

static void check_chain(bool reference, tern_pool *pool, int *fused)
{
    int inputs;
    tern_graph *g = random_graph(&inputs), *after;
    running a, b;
    assert_ok(tern_pass_fuse(g, &after));
    *fused += count_of(after, &tern_op_fused);
    open(&a, g, inputs, reference, NULL);
    open(&b, after, inputs, reference, pool);
    for (int i = 0; i < g->output_count; i++) {
        tern_tensor want, got;
        assert_ok(tern_session_output(a.s, g->outputs[i].name, &want));
        assert_ok(tern_session_output(b.s, g->outputs[i].name, &got));
        assert_true(tern_shape_equal(&want.shape, &got.shape));
        size_t bytes = tern_bytes_of(want.dtype, tern_elements(&want.shape));
        if (memcmp(want.data, got.data, bytes) != 0) {
            tern_text text = {0};
            tern_graph_print(after, &text);
            fail_msg("output %s differs:\n%s", g->outputs[i].name, text.data);
        }
    }
    assert_true(bytes_of(b.p) <= bytes_of(a.p));
    assert_true(operations_of(a.p) == operations_of(b.p));
    if (count_of(after, &tern_op_fused)) assert_true(bytes_of(b.p) < bytes_of(a.p));
    close(&a);
    close(&b);
    tern_graph_close(after);
    tern_graph_close(g);
}

static void test_chains(void **state)
{
    (void)state;
    tern_pool *pool;
    int fused = 0;
    assert_ok(tern_pool_open(&pool, 2));
    for (int round = 0; round < 400; round++) check_chain(round % 8 == 0, round % 2 ? pool : NULL, &fused);
    assert_true(fused > 400);
    tern_pool_close(pool);
}

/* Two blocks with norms and curves, their gradients and updates. */
static tern_graph *learner(void)
{
    tern_graph *g;
    tern_value grads[64], params[64];
    int count = 0;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.training = true, .seed = 3}));
    tern_value x = tern_input(g, "x0", TERN_F32, TERN_SHAPE(12, 40)),
               t = tern_input(g, "x1", TERN_F32, TERN_SHAPE(12, 40));
    for (int i = 0; i < 2; i++) {
        tern_value h = tern_gelu(g, tern_linear(g, tern_layer_norm(g, x), .out = 64));
        h = tern_dropout(g, tern_silu(g, h), .rate = 0.2);
        x = tern_add(g, x, tern_rms_norm(g, tern_linear(g, h, .out = 40)));
    }
    tern_value loss = tern_mean_squared_error(g, x, t);
    tern_output(g, "loss", loss);
    for (int i = 1; i < g->value_count; i++)
        if (g->values[i].kind == TERN_VALUE_PARAM) params[count++] = (tern_value){i};
    assert_ok(tern_gradients(g, loss, params, count, grads));
    for (int i = 0; i < count; i++) /* plain descent, element by element */
        tern_next(g, params[i],
                  tern_subtract(g, params[i], tern_multiply(g, grads[i], tern_scalar(g, 0.01))));
    assert_ok(tern_graph_status(g));
    return g;
}

static void test_learning(void **state)
{
    (void)state;
    tern_graph *g = learner(), *after;
    running a, b;
    assert_ok(tern_pass_fuse(g, &after));
    assert_true(count_of(after, &tern_op_fused) > 4);
    open(&a, g, 2, false, NULL);
    open(&b, after, 2, false, NULL);
    for (int run = 1; run < 6; run++) {
        assert_ok(tern_session_run(a.s, (uint64_t)run));
        assert_ok(tern_session_run(b.s, (uint64_t)run));
    }
    assert_int_equal(a.store.count, b.store.count);
    for (int i = 0; i < a.store.count; i++)
        assert_memory_equal(a.store.tensors[i].data,
                            b.store.tensors[tern_store_find(&b.store, a.store.names[i])].data,
                            tern_bytes_of(TERN_F32, tern_elements(&a.store.tensors[i].shape)));
    double before = bytes_of(a.p), now = bytes_of(b.p);
    print_message("a training step moves %.0f bytes, fused %.0f\n", before, now);
    assert_true(now < 0.9 * before);
    close(&a);
    close(&b);
    tern_graph_close(after);
    tern_graph_close(g);
}

static void test_printed(void **state)
{
    (void)state;
    tern_graph *g, *after;
    tern_text text = {0};
    assert_ok(tern_graph_open(&g, NULL));
    tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(4, 5)),
               w = tern_input(g, "w", TERN_F32, TERN_SHAPE(5));
    tern_value y = tern_leaky_relu(g, tern_multiply(g, x, w), 0.25);
    tern_output(g, "y", tern_add(g, y, y));
    assert_ok(tern_pass_fuse(g, &after));
    tern_graph_print(after, &text);
    assert_non_null(strstr(text.data,
                           "= fused(x, w) shape=[4,5] steps={t1 = leaky_relu(multiply(a, b), slope=0.25); "
                           "out0 = add(t1, t1)}"));
    tern_text_free(&text);
    tern_graph_close(after);
    tern_graph_close(g);
}

static tern_status build_and_fuse(void)
{
    tern_graph *g, *after = NULL;
    TERN_TRY(tern_graph_open(&g, NULL));
    tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(4, 5));
    tern_output(g, "y", tern_gelu(g, tern_multiply(g, x, tern_sigmoid(g, x))));
    tern_status status = tern_graph_status(g);
    if (status == TERN_OK) status = tern_pass_fuse(g, &after);
    tern_graph_close(after);
    tern_graph_close(g);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    assert_survives_out_of_memory(build_and_fuse());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_learning),
        cmocka_unit_test(test_printed),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("fuse", tests, NULL, NULL);
}
