/* Spatial learning through time against its definition: the gradient of all steps at once whose path through the
 * membranes is cut; memory that does not grow with T; backward work in proportion to K. */
#include "test.h"

#include "op/op.h"
#include "run/run.h"
#include "train/rule.h"

#include <math.h>
#include <string.h>

enum { B = 4, SIDE = 8, CLASSES = 3 };

typedef struct net {
    double tau;
    int truncate;
} net;

static tern_value neurons(tern_graph *g, const net *n, tern_value x)
{
    return tern_lif(g, x, .tau = n->tau, .decay_input = false, .reset = TERN_RESET_SOFT,
                    .detach_reset = false, .surrogate = TERN_TRIANGLE, .alpha = 1, .truncate = n->truncate);
}

/* x [T,B,1,SIDE,SIDE] -> logits [T,B,CLASSES]: three convolutions and a linear layer; norms see one step at a time. */
static tern_value layers(tern_graph *g, const net *n, tern_value x)
{
    x = tern_conv2d(g, x, .out = 4, .pad = 1, .bias = false);
    x = neurons(g, n, tern_batch_norm(g, x, .per_step = true));
    x = tern_conv2d(g, x, .out = 6, .pad = 1, .bias = false);
    x = neurons(g, n, tern_batch_norm(g, x, .per_step = true));
    x = tern_avg_pool2d(g, x, .kernel = 2);
    x = neurons(g, n, tern_conv2d(g, x, .out = 6));
    return tern_linear(g, tern_flatten(g, x, .from = 2), .out = CLASSES);
}

static tern_value one_step(tern_graph *g, const void *context, tern_value frame)
{
    tern_value x = tern_reshape(g, frame, TERN_SHAPE(1, B, 1, SIDE, SIDE));
    return tern_reshape(g, layers(g, context, x), TERN_SHAPE(B, CLASSES));
}

/* Outputs "loss" and, for each parameter, its gradient under the parameter's name. */
static void put_outputs(tern_graph *g, tern_value loss, const tern_value *params, const tern_value *grads,
                        int count)
{
    tern_output(g, "loss", loss);
    for (int i = 0; i < count; i++) {
        assert_true(grads[i].id);
        tern_output(g, tern_value_of(g, params[i])->name, grads[i]);
    }
    assert_ok(tern_graph_status(g));
}

static tern_graph *spatial(const net *n, int steps, int chosen, double alpha)
{
    tern_graph *g;
    tern_learned learned;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.training = true, .seed = 6}));
    tern_sltt rule = {.timesteps = steps, .chosen = chosen, .alpha = alpha, .build = one_step, .context = n};
    tern_sltt_inputs in = {.frames = tern_input(g, "x", TERN_F32, TERN_SHAPE(steps, B, 1, SIDE, SIDE)),
                           .labels = tern_input(g, "labels", TERN_I32, TERN_SHAPE(B))};
    if (chosen) in.mask = tern_input(g, "mask", TERN_F32, TERN_SHAPE(steps));
    assert_ok(tern_rule_sltt(g, &rule, &in, &learned));
    put_outputs(g, learned.loss, learned.params, learned.grads, learned.count);
    return g;
}

/* All steps at once: the mean over T*B rows is the sum over t of means over B, divided by T. */
static tern_graph *at_once(const net *n, int steps, double alpha)
{
    tern_graph *g;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.training = true, .seed = 6}));
    tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(steps, B, 1, SIDE, SIDE));
    tern_value labels = tern_input(g, "all labels", TERN_I32, TERN_SHAPE(steps * B)), params[32], grads[32];
    tern_value logits = tern_reshape(g, layers(g, n, x), TERN_SHAPE(steps * B, CLASSES));
    tern_value loss = tern_multiply(g, tern_cross_entropy(g, logits, labels), tern_scalar(g, 1 - alpha));
    tern_value away = tern_subtract(g, logits, tern_scalar(g, 1));
    tern_value mean = tern_mean(g, tern_multiply(g, away, away), .axes = 2);
    loss = tern_add(g, loss, tern_multiply(g, mean, tern_scalar(g, alpha)));
    int count = 0;
    for (int i = 1; i < g->value_count; i++)
        if (g->values[i].kind == TERN_VALUE_PARAM) params[count++] = (tern_value){i};
    assert_ok(tern_gradients(g, loss, params, count, grads));
    put_outputs(g, loss, params, grads, count);
    return g;
}

typedef struct trial {
    tern_graph *g;
    tern_program *p;
    tern_session *s;
    tern_store store;
} trial;

static trial run(tern_graph *g, int steps, const float *mask)
{
    trial r = {.g = g};
    static float x[40 * B * SIDE * SIDE];
    static int32_t labels[40 * B];
    tern_rng rng = {.seed = 3};
    for (int i = 0; i < steps * B * SIDE * SIDE; i++) x[i] = (float)(2 * tern_rng_normal(rng, (uint64_t)i));
    for (int i = 0; i < steps * B; i++) labels[i] = i % B % CLASSES;
    assert_ok(tern_plan(&r.p, g, NULL));
    assert_ok(tern_session_open(&r.s, r.p, &r.store, NULL));
    assert_ok(tern_session_bind(r.s, "x", x));
    if (tern_find_value(g, "labels").id) assert_ok(tern_session_bind(r.s, "labels", labels));
    if (tern_find_value(g, "all labels").id) assert_ok(tern_session_bind(r.s, "all labels", labels));
    if (mask) assert_ok(tern_session_bind(r.s, "mask", mask));
    tern_session_count(r.s, true);
    assert_ok(tern_session_run(r.s, 0));
    return r;
}

static void trial_close(trial *r)
{
    tern_session_close(r->s);
    tern_program_close(r->p);
    tern_graph_close(r->g);
    tern_store_close(&r->store);
}

/* |a - b| / |b| over all outputs: the loss and the gradients. */
static double distance(const trial *a, const trial *b)
{
    double apart = 0, size = 0;
    for (int i = 0; i < a->g->output_count; i++) {
        tern_tensor x, y;
        assert_ok(tern_session_output(a->s, a->g->outputs[i].name, &x));
        assert_ok(tern_session_output(b->s, a->g->outputs[i].name, &y));
        for (int64_t e = 0; e < tern_elements(&x.shape); e++) {
            double d = tern_get(&x, e) - tern_get(&y, e);
            apart += d * d;
            size += tern_get(&y, e) * tern_get(&y, e);
        }
    }
    assert_true(size > 1e-4);
    return sqrt(apart / size);
}

static void test_definition(void **state)
{
    (void)state;
    enum { T = 6 };
    for (int leak = 0; leak < 2; leak++) { /* tau 1: no leak is left, nothing flows through time anyway */
        net whole = {.tau = leak ? 1.1 : 1}, cut = {.tau = whole.tau, .truncate = 1};
        trial sltt = run(spatial(&whole, T, 0, 0.05), T, NULL), bptt = run(at_once(&whole, T, 0.05), T, NULL);
        trial cut_bptt = run(at_once(&cut, T, 0.05), T, NULL);
        assert_true(distance(&sltt, &cut_bptt) < 1e-6);
        double apart = distance(&sltt, &bptt);
        assert_true(leak ? apart > 1e-3 : apart < 1e-6);
        for (int i = 0; i < bptt.store.count; i++) { /* running statistics have followed, step by step */
            const char *name = bptt.store.names[i];
            int at = tern_store_find(&sltt.store, name);
            if (at < 0) fail_msg("the rule has no \"%s\"", name);
            const tern_tensor *a = &sltt.store.tensors[at], *b = &bptt.store.tensors[i];
            for (int64_t e = 0; e < tern_elements(&b->shape); e++)
                assert_true(fabs(tern_get(a, e) - tern_get(b, e)) < 1e-5);
        }
        trial_close(&sltt);
        trial_close(&bptt);
        trial_close(&cut_bptt);
    }
}

/* K of T steps: the gradients of single steps add up to that of all, the losses are the same. */
static void test_chosen_steps(void **state)
{
    (void)state;
    enum { T = 4 };
    net n = {.tau = 1.1};
    trial all = run(spatial(&n, T, 0, 0), T, NULL), one[T];
    for (int t = 0; t < T; t++) {
        float mask[T] = {0};
        mask[t] = 1;
        one[t] = run(spatial(&n, T, 1, 0), T, mask);
    }
    for (int i = 0; i < all.g->output_count; i++) {
        const char *name = all.g->outputs[i].name;
        tern_tensor whole, part[T];
        assert_ok(tern_session_output(all.s, name, &whole));
        for (int t = 0; t < T; t++) assert_ok(tern_session_output(one[t].s, name, &part[t]));
        for (int64_t e = 0; e < tern_elements(&whole.shape); e++) {
            double sum = 0;
            for (int t = 0; t < T; t++) sum += tern_get(&part[t], e);
            if (strcmp(name, "loss") == 0) sum /= T;
            assert_true(fabs(sum - tern_get(&whole, e)) < 1e-5);
        }
    }
    trial_close(&all);
    for (int t = 0; t < T; t++) trial_close(&one[t]);
}

/* Multiply-accumulates of the scan, as planned. */
static double planned_macs(int steps, int chosen)
{
    net n = {.tau = 1.1};
    tern_graph *g = spatial(&n, steps, chosen, 0);
    tern_program *p;
    double macs = 0;
    assert_ok(tern_plan(&p, g, NULL));
    tern_step_work *work = tern_take_array((size_t)p->step_count, sizeof *work);
    assert_non_null(work);
    assert_ok(tern_program_work(p, 0.5, work));
    for (int s = 0; s < p->step_count; s++) macs += work[s].work.macs;
    tern_release(work);
    tern_program_close(p);
    tern_graph_close(g);
    return macs;
}

static void test_backward_work(void **state)
{
    (void)state;
    enum { T = 10 };
    double backward = planned_macs(T, 2) - planned_macs(T, 1), forward = planned_macs(T, 1) - backward;
    assert_true(backward > 0 && forward > 0);
    assert_true(planned_macs(T, 2) - forward == 0.2 * (planned_macs(T, T) - forward));
    assert_true(planned_macs(T, T) == planned_macs(T, 0));
    float mask[T] = {0, 1, 0, 0, 1}; /* what is planned is what is executed */
    net n = {.tau = 1.1};
    trial r = run(spatial(&n, T, 2, 0), T, mask);
    double macs = 0;
    for (int s = 0; s < r.p->step_count; s++) macs += tern_session_counters(r.s)[s].macs;
    assert_true(macs == planned_macs(T, 2));
    trial_close(&r);
}

static double arena(tern_graph *g)
{
    tern_program *p;
    assert_ok(tern_plan(&p, g, NULL));
    double bytes = (double)p->arena_bytes; /* input frames are the caller's */
    tern_program_close(p);
    tern_graph_close(g);
    return bytes;
}

static void test_memory(void **state)
{
    (void)state;
    net n = {.tau = 1.1};
    double sltt = arena(spatial(&n, 32, 0, 0.05)) / arena(spatial(&n, 4, 0, 0.05));
    double bptt = arena(at_once(&n, 32, 0.05)) / arena(at_once(&n, 4, 0.05));
    if (!(sltt <= 1.05 && bptt >= 4)) fail_msg("T 4 to 32: sltt x %.3f, bptt x %.3f", sltt, bptt);
}

static tern_status cycle(void)
{
    static const net n = {.tau = 1.1};
    tern_graph *g = NULL;
    tern_learned learned;
    tern_status status = tern_graph_open(&g, &(tern_graph_options){.training = true});
    if (status != TERN_OK) return status;
    tern_sltt_inputs in = {.frames = tern_input(g, "x", TERN_F32, TERN_SHAPE(2, B, 1, SIDE, SIDE)),
                           .labels = tern_input(g, "labels", TERN_I32, TERN_SHAPE(B)),
                           .mask = tern_input(g, "mask", TERN_F32, TERN_SHAPE(2))};
    status = tern_rule_sltt(g, &(tern_sltt){.timesteps = 2, .chosen = 1, .build = one_step, .context = &n},
                            &in, &learned);
    tern_graph_close(g);
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
        cmocka_unit_test(test_definition),    cmocka_unit_test(test_chosen_steps),
        cmocka_unit_test(test_backward_work), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
