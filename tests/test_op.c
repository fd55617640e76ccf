/* Every operator of the table, on random shapes: its gradient against finite differences in double, its work against
 * what the reference counts, its fast kernels on each instruction set against the reference, and on one thread against
 * two.  An operator without a case fails the test. */
#include "op_memory.h"

/* Operators that have test files of their own. */
static const char *const elsewhere[] = {"scan", "mlp_int8", "attention_block_int8", "patches_int8"};

static bool is_elsewhere(const char *name)
{
    for (size_t i = 0; i < TERN_COUNT(elsewhere); i++)
        if (strcmp(elsewhere[i], name) == 0) return true;
    return false;
}

static void test_every_operator_has_a_case(void **state)
{
    (void)state;
    for (int i = 0; tern_operators[i]; i++) {
        bool found = is_elsewhere(tern_operators[i]->name);
        for (size_t c = 0; c < TERN_COUNT(cases); c++)
            found = found || strcmp(cases[c].name, tern_operators[i]->name) == 0;
        if (!found) fail_msg("operator %s has no case", tern_operators[i]->name);
    }
}

static void test_work_is_what_is_done(void **state)
{
    (void)state;
    for (size_t c = 0; c < TERN_COUNT(cases); c++) {
        for (int round = 0; round < 20; round++) {
            spec s;
            memory m;
            make(c, &s);
            open_memory(&m, &s);
            tern_call call = call_of(&s, &m);
            tern_work counted = {0}, said = {0};
            s.op->work(&call, &said);
            call.counter = &counted;
            run_with(s.op->run, s.op->scratch, &call);
            if (memcmp(&counted, &said, sizeof said) != 0)
                fail_msg("%s: says %g MACs %g accumulates %g specials %g elementwise, did %g %g %g %g",
                         cases[c].name, said.macs, said.accumulates, said.specials, said.elementwise,
                         counted.macs, counted.accumulates, counted.specials, counted.elementwise);
            if (s.op->product && call.in[0].dtype != TERN_BIT && !call.levels) {
                tern_product_shape p = s.op->product(&call);
                double macs = (double)(p.count * p.m * p.n * p.k);
                if (macs != said.macs)
                    fail_msg("%s: its product has %g MACs, its work %g", cases[c].name, macs, said.macs);
            }
            close_memory(&m);
        }
    }
}

static double largest_of(const tern_tensor *t)
{
    double largest = 0;
    for (int64_t i = 0; t->data && i < tern_elements(&t->shape); i++)
        largest = fmax(largest, fabs(tern_get(t, i)));
    return largest;
}

/* Largest difference relative to the largest element, or to a tenth of the largest operand where terms cancel; for bits
 * the share of unequal ones. */
static double difference(const tern_call *call, const tern_tensor *a, const tern_tensor *b)
{
    int64_t n = tern_elements(&a->shape), unequal = 0;
    double worst = 0, largest = 1e-3;
    for (int i = 0; i < call->nin; i++)
        if (call->in[i].dtype == TERN_F32) largest = fmax(largest, 0.1 * largest_of(&call->in[i]));
    for (int64_t i = 0; i < n; i++) {
        double x = tern_get(a, i), y = tern_get(b, i);
        if (!isfinite(x) || !isfinite(y)) return INFINITY;
        worst = fmax(worst, fabs(x - y));
        largest = fmax(largest, fabs(x));
        unequal += x != y;
    }
    return a->dtype == TERN_BIT ? (double)unequal / (double)n : worst / largest;
}

static void compare_fast(size_t c, tern_pool *two_threads)
{
    spec s;
    memory m;
    tern_tensor other[8] = {{0}}, again[8] = {{0}};
    make(c, &s);
    open_memory(&m, &s);
    for (int i = 0; i < m.nout; i++) {
        assert_ok(tern_tensor_new(&other[i], m.out[i].dtype, &m.out[i].shape));
        assert_ok(tern_tensor_new(&again[i], m.out[i].dtype, &m.out[i].shape));
    }
    tern_call call = call_of(&s, &m);
    run_with(s.op->run, s.op->scratch, &call);
    for (const tern_fast *f = s.op->fast; f && f->name; f++) {
        call.out = other;
        if (!f->match(&call)) continue;
        run_with(f->run, f->scratch, &call);
        call.out = again;
        call.pool = two_threads;
        run_with(f->run, f->scratch, &call);
        call.pool = NULL;
        for (int i = 0; i < m.nout; i++) {
            double d = difference(&call, &m.out[i], &other[i]);
            if (d > (m.out[i].dtype == TERN_BIT ? 2e-2 : s.tolerance))
                fail_msg("%s (%s, %s): output %d differs by %g", cases[c].name, f->name, tern_isa_name(), i,
                         d);
            assert_memory_equal(other[i].data, again[i].data,
                                tern_bytes_of(other[i].dtype, tern_elements(&other[i].shape)));
        }
    }
    for (int i = 0; i < m.nout; i++) {
        tern_tensor_free(&other[i]);
        tern_tensor_free(&again[i]);
    }
    close_memory(&m);
}

static void test_fast_is_reference(void **state)
{
    (void)state;
    tern_pool *pool;
    const char *name;
    bool usable;
    assert_ok(tern_pool_open(&pool, 2));
    for (int i = 0; (name = tern_isa_known(i, &usable)) != NULL; i++) {
        if (!usable) continue;
        assert_ok(tern_isa_select(name));
        for (size_t c = 0; c < TERN_COUNT(cases); c++) {
            /* a new case changes no other's draws */
            rng.stream = tern_hash(cases[c].name, strlen(cases[c].name));
            drawn = (uint64_t)i << 32;
            for (int round = 0; round < 200; round++) compare_fast(c, pool);
        }
    }
    assert_ok(tern_isa_select(NULL));
    tern_pool_close(pool);
}

/* ---- gradients ------------------------------------------------------------------------------------------------ */

/* Runs all nodes of a graph by their reference kernels; t[] holds every value. */
static void run_graph(const tern_graph *g, tern_tensor *t)
{
    for (int n = 0; n < g->node_count; n++) {
        const tern_node *node = g->nodes[n];
        tern_tensor in[16] = {{0}}, out[8];
        for (int i = 0; i < node->nin; i++) in[i] = node->in[i].id ? t[node->in[i].id] : (tern_tensor){0};
        for (int i = 0; i < node->nout; i++) out[i] = t[node->out[i].id];
        tern_call call = {
            .op = node->op, .args = node->args, .nin = node->nin, .nout = node->nout, .in = in, .out = out};
        run_with(node->op->run, node->op->scratch, &call);
    }
}

static void check_gradient(size_t c)
{
    spec s;
    make(c, &s);
    tern_graph *g;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.training = true}));
    tern_value in[TERN_COUNT(s.in)] = {{0}}, out[8] = {{0}}, wrt[TERN_COUNT(s.in)], grads[TERN_COUNT(s.in)];
    int which[TERN_COUNT(s.in)], count = 0;
    for (int i = 0; i < s.nin; i++) {
        char name[8];
        snprintf(name, sizeof name, "x%d", i);
        if (s.absent[i]) continue;
        in[i] = tern_input(g, name, s.in[i].dtype == TERN_F32 ? TERN_F64 : s.in[i].dtype, s.in[i].shape);
        if (!s.smooth[i]) continue;
        which[count] = i;
        wrt[count++] = in[i];
    }
    if (count == 0) {
        tern_graph_close(g);
        return;
    }
    tern_apply(g, s.op, s.args, in, s.nin, out);
    tern_shape shape = tern_shape_of(g, out[0]);
    tern_value weights = tern_input(g, "weights", TERN_F64, shape);
    tern_value loss = tern_sum(g, tern_multiply(g, out[0], weights), .axis = 0, .axes = shape.rank);
    assert_ok(tern_graph_status(g));
    assert_ok(tern_gradients(g, loss, wrt, count, grads));
    tern_tensor *t = tern_take_array((size_t)g->value_count, sizeof *t);
    for (int i = 1; i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        assert_ok(tern_tensor_new(&t[i], v->type.dtype, &v->type.shape));
        if (v->kind == TERN_VALUE_CONSTANT)
            memcpy(t[i].data, v->content, tern_bytes_of(v->type.dtype, tern_elements(&v->type.shape)));
    }
    for (int i = 0; i < s.nin; i++)
        if (in[i].id) fill(&t[in[i].id], s.values[i], s.density);
    fill(&t[weights.id], NORMAL, 0);
    run_graph(g, t);
    for (int k = 0; k < count; k++) {
        const tern_tensor *x = &t[wrt[k].id];
        int64_t n = tern_elements(&x->shape);
        assert_true(grads[k].id != 0);
        for (int probe = 0; probe < 4; probe++) {
            int64_t i = below((int)n);
            double analytic, old = tern_get(x, i), h = 1e-5, sides[2];
            run_graph(g, t);
            analytic = tern_get(&t[grads[k].id], i);
            for (int side = 0; side < 2; side++) {
                tern_set(x, i, old + (side ? h : -h));
                run_graph(g, t);
                sides[side] = tern_get(&t[loss.id], 0);
            }
            tern_set(x, i, old);
            double numeric = (sides[1] - sides[0]) / (2 * h);
            if (fabs(numeric - analytic) > 2e-5 * (1 + fabs(numeric)))
                fail_msg("%s: gradient to input %d is %.9g, finite differences say %.9g", cases[c].name,
                         which[k], analytic, numeric);
        }
    }
    for (int i = 1; i < g->value_count; i++) tern_tensor_free(&t[i]);
    tern_release(t);
    tern_graph_close(g);
}

static void test_gradients(void **state)
{
    (void)state;
    for (size_t c = 0; c < TERN_COUNT(cases); c++)
        for (int round = 0; round < 12; round++) check_gradient(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_operator_has_a_case),
        cmocka_unit_test(test_work_is_what_is_done),
        cmocka_unit_test(test_fast_is_reference),
        cmocka_unit_test(test_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
