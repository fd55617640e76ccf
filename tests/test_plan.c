/* Plans against an oracle: random graphs run by a planned session and, value by value in memory of their own, by the
 * reference kernels; outputs and states must be the same bits, whatever shares memory, in whatever order. */
#include "test.h"

#include "op/lif.h"
#include "op/op.h"
#include "run/run.h"

#include <string.h>

static tern_rng rng = {.seed = 5};
static uint64_t drawn;

static int below(int bound)
{
    return (int)tern_rng_below(rng, drawn++, (uint64_t)bound);
}

#define POOL 64
typedef struct values {
    tern_value v[POOL];
    int count;
} values;

static tern_value any(values *p)
{
    return p->v[below(p->count)];
}

/* A random node over values of shape [T,B,N] and its relatives. */
static void grow(tern_graph *g, values *p)
{
    tern_value x = any(p), y = {0};
    tern_shape s = tern_shape_of(g, x);
    bool real = tern_dtype_of_value(g, x) == TERN_F32;
    switch (below(7)) {
    case 0:
        y = tern_add(g, x, any(p));
        break;
    case 1:
        y = tern_multiply(g, x, any(p));
        break;
    case 2:
        y = tern_linear(g, x, .out = 1 + below(9));
        break;
    case 3:
        y = real && s.rank >= 2 ? tern_lif(g, x, .tau = 2) : tern_subtract(g, x, x);
        break;
    case 4:
        y = s.rank > 1 ? tern_sum(g, x, .axis = below(s.rank), .keep = true)
                       : tern_divide(g, x, tern_scalar(g, 3));
        break;
    case 5:
        y = tern_reshape(g, x, TERN_SHAPE(1, -1));
        break;
    default:
        y = tern_flatten(g, x, .from = 0);
        break;
    }
    if (tern_graph_status(g) !=
        TERN_OK) { /* shapes that do not go together: begin that node anew with what is safe */
        g->status = TERN_OK;
        y = tern_apply2(g, &tern_op_add, x, x);
    }
    if (y.id && p->count < POOL) p->v[p->count++] = y;
}

static tern_graph *random_graph(void)
{
    tern_graph *g;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.seed = 3}));
    values p = {0};
    p.v[p.count++] = tern_input(g, "x", TERN_F32, TERN_SHAPE(3, 2, 5));
    tern_value state =
        tern_state(g, "s", TERN_F32, TERN_SHAPE(3, 2, 5), (tern_init){TERN_INIT_UNIFORM, 1}, true);
    tern_value other =
        tern_state(g, "t", TERN_F32, TERN_SHAPE(3, 2, 5), (tern_init){TERN_INIT_UNIFORM, 1}, false);
    p.v[p.count++] = state;
    p.v[p.count++] = other;
    int nodes = 3 + below(30);
    for (int i = 0; i < nodes; i++) grow(g, &p);
    tern_value next = tern_add(g, state, tern_multiply(g, other, tern_scalar(g, 0.5)));
    for (int i = 0; i < 3; i++) grow(g, &p);
    tern_next(g, state, next);
    tern_next(g, other, below(2) ? state : tern_subtract(g, other, tern_scalar(g, 0.25)));
    char name[16];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "y%d", i);
        tern_value y = any(&p); /* an output that is a view of a state would show its next content */
        tern_output(g, name, below(3) ? tern_apply2(g, &tern_op_add, y, tern_scalar(g, 0)) : next);
    }
    assert_ok(tern_graph_status(g));
    return g;
}

/* Every value in memory of its own. */
typedef struct oracle {
    const tern_graph *g;
    tern_tensor *t;
} oracle;

static void oracle_open(oracle *o, const tern_graph *g, const tern_store *store)
{
    o->g = g;
    o->t = tern_take_array((size_t)g->value_count, sizeof *o->t);
    for (int i = 1; i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        assert_ok(tern_tensor_new(&o->t[i], v->type.dtype, &v->type.shape));
        size_t bytes = tern_bytes_of(v->type.dtype, tern_elements(&v->type.shape));
        if (v->kind == TERN_VALUE_CONSTANT) memcpy(o->t[i].data, v->content, bytes);
        if (v->kept)
            memcpy(o->t[i].data, store->tensors[tern_store_find(store, v->name)].data, bytes);
        else if (v->kind == TERN_VALUE_STATE)
            tern_initialise(&o->t[i], v->init, g->options.seed, v->name);
    }
}

static void oracle_run(oracle *o, const float *x)
{
    const tern_graph *g = o->g;
    for (int i = 1; i < g->value_count; i++)
        if (g->values[i].kind == TERN_VALUE_INPUT)
            memcpy(o->t[i].data, x, (size_t)tern_elements(&o->t[i].shape) * sizeof *x);
    for (int n = 0; n < g->node_count; n++) {
        const tern_node *node = g->nodes[n];
        tern_tensor in[8] = {{0}}, out[8];
        for (int i = 0; i < node->nin; i++) in[i] = o->t[node->in[i].id];
        for (int i = 0; i < node->nout; i++) out[i] = o->t[node->out[i].id];
        tern_call call = {
            .op = node->op, .args = node->args, .nin = node->nin, .nout = node->nout, .in = in, .out = out};
        node->op->run(&call);
    }
    tern_tensor fresh[3] = {{0}};
    int states[3], count = 0;
    for (int i = 1; i < g->value_count; i++) {
        if (!g->values[i].next.id) continue;
        states[count] = i;
        assert_ok(tern_tensor_new(&fresh[count], TERN_F32, &o->t[i].shape));
        assert_ok(tern_tensor_cast(&fresh[count++], &o->t[g->values[i].next.id]));
    }
    for (int i = 0; i < count; i++) {
        assert_ok(tern_tensor_cast(&o->t[states[i]], &fresh[i]));
        tern_tensor_free(&fresh[i]);
    }
}

static void oracle_close(oracle *o)
{
    for (int i = 1; i < o->g->value_count; i++) tern_tensor_free(&o->t[i]);
    tern_release(o->t);
}

static void compare(const tern_graph *g, const tern_program *p)
{
    tern_store store = {0};
    tern_session *s;
    float x[30];
    assert_ok(tern_session_open(&s, p, &store, NULL));
    oracle o;
    oracle_open(&o, g, &store);
    for (int run = 0; run < 3; run++) {
        for (int i = 0; i < 30; i++) x[i] = (float)tern_rng_normal(rng, drawn++);
        assert_ok(tern_session_bind(s, "x", x));
        assert_ok(tern_session_run(s, (uint64_t)run));
        oracle_run(&o, x);
        for (int i = 0; i < g->output_count; i++) {
            tern_tensor got;
            assert_ok(tern_session_output(s, g->outputs[i].name, &got));
            const tern_tensor *want = &o.t[g->outputs[i].value.id];
            assert_memory_equal(got.data, want->data,
                                tern_bytes_of(want->dtype, tern_elements(&want->shape)));
        }
        const tern_tensor *kept = &store.tensors[tern_store_find(&store, "s")];
        tern_value state = tern_find_value(g, "s");
        assert_memory_equal(kept->data, o.t[state.id].data, 30 * sizeof(float));
    }
    oracle_close(&o);
    tern_session_close(s);
    tern_store_close(&store);
}

static void test_random_graphs(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        tern_graph *g = random_graph();
        tern_program *p;
        assert_ok(tern_plan(&p, g, &(tern_plan_options){.reference = true, .keep_order = round % 2 == 0}));
        assert_true(p->arena_bytes >= p->least_bytes);
        compare(g, p);
        tern_program_close(p);
        tern_graph_close(g);
    }
}

/* y = x * (2 w): the product of parameters is computed once, outside the arena, and again after w has changed. */
static void test_prepared(void **state)
{
    (void)state;
    tern_graph *g, *learn;
    tern_program *p, *update;
    tern_session *s, *other;
    tern_store store = {0};
    tern_tensor y;
    const float x = 3;
    assert_ok(tern_graph_open(&g, NULL));
    tern_value w = tern_param(g, "w", TERN_SHAPE(1), (tern_init){TERN_INIT_CONSTANT, 5});
    tern_value twice = tern_multiply(g, w, tern_scalar(g, 2));
    tern_output(g, "y", tern_multiply(g, tern_input(g, "x", TERN_F32, TERN_SHAPE(1)), twice));
    assert_ok(tern_plan(&p, g, NULL));
    assert_int_equal(p->prepare_count, 1);
    assert_int_equal(p->places[twice.id].space, TERN_SPACE_PREPARED);
    assert_int_equal(p->arena_bytes, 64); /* y alone */

    assert_ok(tern_graph_open(&learn, NULL));
    tern_value v = tern_param(learn, "w", TERN_SHAPE(1), (tern_init){0});
    tern_next(learn, v, tern_add(learn, v, tern_scalar(learn, 1)));
    assert_ok(tern_plan(&update, learn, NULL));
    assert_int_equal(update->prepare_count, 0); /* w changes */

    assert_ok(tern_session_open(&s, p, &store, NULL));
    assert_ok(tern_session_open(&other, update, &store, NULL));
    assert_ok(tern_session_bind(s, "x", &x));
    for (int run = 0; run < 3; run++) {
        tern_session_count(s, run == 1);
        for (int again = 0; again < 2; again++) assert_ok(tern_session_run(s, 0));
        assert_ok(tern_session_output(s, "y", &y));
        assert_true(*(float *)y.data == 3.0F * 2.0F * (5.0F + (float)run));
        assert_ok(tern_session_run(other, 0));
    }
    assert_true(tern_session_counters(s)[0].elementwise == 0 && tern_session_counters(s)[1].elementwise == 2);
    tern_session_close(other);
    tern_session_close(s);
    tern_store_close(&store);
    tern_program_close(update);
    tern_program_close(p);
    tern_graph_close(learn);
    tern_graph_close(g);
}

/* A chain x -> h1 -> .. with a loss: training under a limit computes forward values again and gives the same bits. */
static void test_recompute(void **state)
{
    (void)state;
    tern_graph *g;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.training = true, .seed = 9}));
    tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(16, 64)), h = x, params[8], grads[8];
    tern_value labels = tern_constant(g, &(tern_tensor){TERN_I32, TERN_SHAPE(16), (int32_t[16]){1, 2, 3}});
    int count = 0;
    for (int i = 0; i < 6; i++) {
        h = tern_linear(g, h, .out = 64, .bias = false);
        h = tern_multiply(g, h, h);
    }
    h = tern_linear(g, h, .out = 4, .bias = false);
    tern_value loss = tern_cross_entropy(g, h, labels);
    for (int i = 1; i < g->value_count; i++)
        if (g->values[i].kind == TERN_VALUE_PARAM) params[count++] = (tern_value){i};
    assert_ok(tern_gradients(g, loss, params, count, grads));
    tern_output(g, "loss", loss);
    tern_output(g, "first", grads[0]);
    tern_program *whole, *tight;
    assert_ok(tern_plan(&whole, g, NULL));
    size_t limit = whole->arena_bytes * 8 / 10;
    assert_ok(tern_plan(&tight, g, &(tern_plan_options){.memory = limit}));
    assert_true(tight->arena_bytes <= limit && tight->step_count > whole->step_count);
    float data[16 * 64];
    for (int i = 0; i < 16 * 64; i++) data[i] = (float)tern_rng_normal(rng, drawn++);
    tern_store store = {0};
    tern_session *a, *b;
    assert_ok(tern_session_open(&a, whole, &store, NULL));
    assert_ok(tern_session_open(&b, tight, &store, NULL));
    tern_tensor one, two;
    assert_ok(tern_session_bind(a, "x", data));
    assert_ok(tern_session_bind(b, "x", data));
    assert_ok(tern_session_run(a, 0));
    assert_ok(tern_session_run(b, 0));
    assert_ok(tern_session_output(a, "first", &one));
    assert_ok(tern_session_output(b, "first", &two));
    assert_memory_equal(one.data, two.data, 64 * 64 * sizeof(float));
    tern_session_close(a);
    tern_session_close(b);
    assert_error(tern_plan(&tight, g, &(tern_plan_options){.memory = 4096}), TERN_NO_FIT, "alive at step");
    tern_program_close(whole);
    tern_program_close(tight);
    tern_store_close(&store);
    tern_graph_close(g);
}

static void test_allocation_is_tight(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        tern_block blocks[40];
        int count = 1 + below(40), steps = 30, peak;
        for (int i = 0; i < count; i++) {
            int first = below(steps), length = below(8);
            blocks[i] = (tern_block){(size_t)(64 * (1 + below(50))), 0, first, first + length};
        }
        size_t arena, least = tern_least_bytes(blocks, count, 40, TERN_LINE, &peak);
        assert_ok(tern_allocate(blocks, count, TERN_LINE, &arena));
        assert_true(arena >= least);
        for (int i = 0; i < count; i++) {
            assert_true(blocks[i].offset % 64 == 0 && blocks[i].offset + blocks[i].bytes <= arena);
            for (int k = 0; k < i; k++) {
                bool together = blocks[i].first <= blocks[k].last && blocks[k].first <= blocks[i].last;
                bool apart = blocks[i].offset >= blocks[k].offset + blocks[k].bytes ||
                             blocks[k].offset >= blocks[i].offset + blocks[i].bytes;
                assert_true(!together || apart);
            }
        }
    }
}

static tern_status whole_cycle(void)
{
    tern_graph *g = NULL, *merged = NULL;
    tern_program *p = NULL;
    tern_session *s = NULL;
    tern_store store = {0};
    float x[8] = {1, 2, 3};
    tern_status status = tern_graph_open(&g, NULL);
    if (status != TERN_OK) return status;
    tern_value y =
        tern_lif(g, tern_linear(g, tern_input(g, "x", TERN_F32, TERN_SHAPE(1, 2, 4)), .out = 3), .tau = 2);
    tern_output(g, "y", y);
    status = tern_pass_common(g, &merged);
    if (status == TERN_OK) status = tern_plan(&p, merged, NULL);
    if (status == TERN_OK) status = tern_session_open(&s, p, &store, NULL);
    if (status == TERN_OK) status = tern_session_bind(s, "x", x);
    if (status == TERN_OK) status = tern_session_run(s, 0);
    tern_session_close(s);
    tern_program_close(p);
    tern_store_close(&store);
    tern_graph_close(merged);
    tern_graph_close(g);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    assert_survives_out_of_memory(whole_cycle());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_graphs), cmocka_unit_test(test_prepared),
        cmocka_unit_test(test_recompute),     cmocka_unit_test(test_allocation_is_tight),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
