/* Integrate-and-fire neurons: the fast kernels against the definition, the gradient against derivatives carried
 * forwards, one step at a time against all steps at once. */
#include "test.h"

#include "kernel/kernel.h"
#include "op/lif.h"
#include "op/op.h"
#include "run/run.h"

#include <math.h>
#include <string.h>

static tern_rng rng = {.seed = 11};
static uint64_t drawn;

static int below(int bound)
{
    return (int)tern_rng_below(rng, drawn++, (uint64_t)bound);
}

static double uniform(void)
{
    return tern_rng_uniform(rng, drawn++);
}

static double normal(void)
{
    return tern_rng_normal(rng, drawn++);
}

/* A random neuron and its operands: those of lif at in/out, those of lif_grad at back_in/back_out. */
typedef struct problem {
    tern_lif_op op;
    tern_tensor in[5], out[3], back_in[9], back_out[5];
    int64_t neurons, steps;
} problem;

static tern_tensor fresh(tern_dtype dtype, tern_shape shape, double scale)
{
    tern_tensor t;
    assert_ok(tern_tensor_new(&t, dtype, &shape));
    for (int64_t i = 0; i < tern_elements(&shape); i++)
        if (scale != 0) tern_set(&t, i, scale * normal());
    return t;
}

static tern_tensor scalar(tern_dtype dtype, double value)
{
    tern_tensor t = fresh(dtype, TERN_SHAPE(1), 0);
    tern_set(&t, 0, value);
    return t;
}

/* dtype f32 or f64; optional operands come and go. */
static problem random_problem(tern_dtype dtype, int64_t most_neurons)
{
    problem p = {.neurons = 1 + below((int)most_neurons), .steps = 1 + below(6)};
    bool is_static = below(3) == 0;
    p.op = (tern_lif_op){.decay = 0.25 + 0.75 * uniform(),
                         .gain = 0.5 + uniform(),
                         .threshold = 0.7,
                         .v_reset = below(2) ? 0 : -0.3,
                         .reset = below(3),
                         .surrogate = below(6),
                         .alpha = 0.5 + 2 * uniform(),
                         .detach_reset = below(2),
                         .strict = below(2),
                         .normalised = below(2),
                         .truncate = below(3),
                         .timesteps = is_static ? (int)p.steps : 0};
    tern_shape whole = TERN_SHAPE(p.steps, p.neurons), one = TERN_SHAPE(p.neurons);
    p.in[0] = fresh(dtype, is_static ? TERN_SHAPE(1, p.neurons) : whole, 1.5);
    if (below(2)) p.in[1] = fresh(dtype, one, 0.5);
    double scalars[3] = {p.op.decay, p.op.gain, p.op.threshold};
    for (int i = 0; i < 3; i++)
        if (below(2)) p.in[2 + i] = scalar(dtype, scalars[i]);
    p.out[0] = fresh(TERN_BIT, whole, 0);
    p.out[1] = fresh(dtype, whole, 0);
    p.out[2] = fresh(dtype, one, 0);
    if (below(3)) p.back_in[0] = fresh(dtype, whole, 1);
    if (below(3) == 0) p.back_in[1] = fresh(dtype, whole, 1);
    if (below(3) == 0) p.back_in[2] = fresh(dtype, one, 1);
    p.back_in[3] = p.out[1];
    for (int i = 0; i < 5; i++) p.back_in[4 + i] = p.in[i];
    p.back_out[0] = fresh(dtype, p.in[0].shape, 0);
    p.back_out[1] = fresh(dtype, one, 0);
    for (int i = 2; i < 5; i++) p.back_out[i] = fresh(dtype, TERN_SHAPE(1), 0);
    return p;
}

static void problem_close(problem *p)
{
    for (int i = 0; i < 5; i++) tern_tensor_free(&p->in[i]);
    for (int i = 0; i < 3; i++) tern_tensor_free(&p->out[i]);
    for (int i = 0; i < 3; i++) tern_tensor_free(&p->back_in[i]);
    for (int i = 0; i < 5; i++) tern_tensor_free(&p->back_out[i]);
}

static void run(const tern_op *op, const problem *p, const tern_tensor *in, int nin, const tern_tensor *out,
                int nout, bool fast, tern_pool *pool)
{
    tern_call call = {.op = op, .args = &p->op, .nin = nin, .nout = nout, .in = in, .out = out, .pool = pool};
    if (!fast) {
        op->run(&call);
        return;
    }
    assert_true(op->fast->match(&call));
    void *scratch = tern_take(1 + (op->fast->scratch ? op->fast->scratch(&call) : 0));
    call.scratch = scratch;
    op->fast->run(&call);
    tern_release(scratch);
}

static tern_tensor copy_of(const tern_tensor *t)
{
    tern_tensor copy = fresh(t->dtype, t->shape, 0);
    memset(copy.data, 0x5a, tern_bytes_of(t->dtype, tern_elements(&t->shape))); /* nothing may be assumed */
    return copy;
}

static void assert_same(const tern_tensor *a, const tern_tensor *b)
{
    assert_memory_equal(a->data, b->data, tern_bytes_of(a->dtype, tern_elements(&a->shape)));
}

static void assert_near(const tern_tensor *a, const tern_tensor *b, double tolerance)
{
    double largest = 1;
    int64_t n = tern_elements(&a->shape);
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(tern_get(b, i)));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(tern_get(a, i) - tern_get(b, i)) <= tolerance * largest))
            fail_msg("element %lld is %.9g, expected %.9g", (long long)i, tern_get(a, i), tern_get(b, i));
}

/* Where a membrane comes close to the threshold (or to an edge of the rectangle) both answers are right, and what
 * follows differs: such inputs are left out. */
static bool is_clear(const problem *p)
{
    const tern_lif_op *o = &p->op;
    for (int64_t i = 0; i < p->neurons * p->steps; i++) {
        double u = tern_get(&p->out[1], i), z = o->normalised ? u / o->threshold - 1 : u - o->threshold;
        bool at_edge = o->surrogate == TERN_RECTANGLE && fabs(fabs(z) - o->alpha / 2) < 2e-6;
        if (fabs(z) < 2e-6 || at_edge) return false;
    }
    return true;
}

static bool compare_with_definition(const problem *p, tern_pool *pool)
{
    tern_tensor out[3], wide[3], back[5], wide_back[5], alone[3] = {p->out[0]};
    run(&tern_op_lif, p, p->in, 5, p->out, 3, false, NULL);
    if (!is_clear(p)) return false;
    for (int i = 0; i < 3; i++) out[i] = copy_of(&p->out[i]), wide[i] = copy_of(&p->out[i]);
    run(&tern_op_lif, p, p->in, 5, out, 3, true, NULL);
    run(&tern_op_lif, p, p->in, 5, wide, 3, true, pool);
    assert_same(&out[0], &p->out[0]);
    for (int i = 1; i < 3; i++) assert_near(&out[i], &p->out[i], 1e-6);
    for (int i = 0; i < 3; i++) assert_same(&wide[i], &out[i]);
    alone[0].data = wide[0].data; /* spikes only: no u, no v */
    memset(alone[0].data, 0x5a, tern_bytes_of(TERN_BIT, p->neurons * p->steps));
    alone[1] = alone[2] = (tern_tensor){.dtype = TERN_F32};
    run(&tern_op_lif, p, p->in, 5, alone, 3, true, pool);
    assert_same(&alone[0], &out[0]);

    run(&tern_op_lif_grad, p, p->back_in, 9, p->back_out, 5, false, NULL);
    for (int i = 0; i < 5; i++) back[i] = copy_of(&p->back_out[i]), wide_back[i] = copy_of(&p->back_out[i]);
    run(&tern_op_lif_grad, p, p->back_in, 9, back, 5, true, NULL);
    run(&tern_op_lif_grad, p, p->back_in, 9, wide_back, 5, true, pool);
    for (int i = 0; i < 5; i++) {
        double terms = i < 2 ? 0 : (double)(p->neurons * p->steps); /* of a sum over all neurons */
        assert_near(&back[i], &p->back_out[i], 2e-5 + 1e-7 * terms);
        assert_same(&wide_back[i], &back[i]);
        tern_tensor_free(&back[i]);
        tern_tensor_free(&wide_back[i]);
    }
    for (int i = 0; i < 3; i++) tern_tensor_free(&out[i]), tern_tensor_free(&wide[i]);
    return true;
}

static void test_fast_is_the_definition(void **state)
{
    (void)state;
    tern_pool *pool;
    assert_ok(tern_pool_open(&pool, 3));
    bool usable;
    for (int isa = 0; tern_isa_known(isa, &usable); isa++) {
        if (!usable) continue;
        assert_ok(tern_isa_select(tern_isa_known(isa, &usable)));
        int compared = 0;
        for (int round = 0; round < 240; round++) {
            problem p = random_problem(TERN_F32, round % 8 ? 200 : 9000);
            compared += compare_with_definition(&p, pool);
            problem_close(&p);
        }
        assert_true(compared >= 200);
    }
    assert_ok(tern_isa_select(NULL));
    tern_pool_close(pool);
}

/* What the loss sum(ds s) + sum(du u) + sum(dv v_T) gains when x, v0, decay, gain and threshold move along a direction:
 * derivatives are carried forwards with the membranes, the spike's being the surrogate's. */
typedef struct direction {
    const tern_tensor *x, *v0;
    double decay, gain, threshold;
} direction;

static double or_zero(const tern_tensor *t, int64_t i)
{
    return t && t->data ? tern_get(t, i) : 0;
}

static double along(const problem *p, const direction *d, int64_t n)
{
    const tern_lif_op *o = &p->op;
    double v = p->in[1].data ? tern_get(&p->in[1], n) : o->v_reset, dv = or_zero(d->v0, n), loss = 0;
    for (int64_t t = 0; t < p->steps; t++) {
        int64_t at = t * p->neurons + n, at_x = o->timesteps ? n : at;
        double x = tern_get(&p->in[0], at_x);
        if (o->truncate > 0 && t > 0 && t % o->truncate == 0) dv = 0;
        double u = o->v_reset + o->decay * (v - o->v_reset) + o->gain * x;
        double du = o->decay * dv + d->decay * (v - o->v_reset) + o->gain * or_zero(d->x, at_x) + d->gain * x;
        double z = o->normalised ? u / o->threshold - 1 : u - o->threshold;
        double dz = o->normalised ? du / o->threshold - u / (o->threshold * o->threshold) * d->threshold
                                  : du - d->threshold;
        bool s = o->strict ? u > o->threshold : u >= o->threshold;
        double ds = tern_surrogate_slope((tern_surrogate)o->surrogate, o->alpha, z) * dz;
        double through = o->detach_reset ? 0 : ds;
        loss += or_zero(&p->back_in[0], at) * ds + or_zero(&p->back_in[1], at) * du;
        v = u;
        dv = du;
        if (o->reset == TERN_RESET_SOFT) {
            v -= s * o->threshold;
            dv -= s * d->threshold + through * o->threshold;
        } else if (o->reset == TERN_RESET_HARD) {
            v = s ? o->v_reset : u;
            dv = (1 - s) * du + through * (o->v_reset - u);
        }
    }
    return loss + or_zero(&p->back_in[2], n) * dv;
}

static void test_gradient(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        problem p = random_problem(TERN_F64, 12);
        if (p.op.truncate > 0) { /* v0 is cut off from step 0, in the definition too */
            tern_tensor_free(&p.in[1]);
            p.in[1] = p.back_in[5] = (tern_tensor){0};
        }
        run(&tern_op_lif, &p, p.in, 5, p.out, 3, false, NULL);
        run(&tern_op_lif_grad, &p, p.back_in, 9, p.back_out, 5, false, NULL);
        tern_tensor dx = fresh(TERN_F64, p.in[0].shape, 1), dv0 = fresh(TERN_F64, p.back_out[1].shape, 1);
        direction d = {&dx, p.in[1].data ? &dv0 : NULL, normal(), normal(), normal()};
        double want = 0, got = d.decay * tern_get(&p.back_out[2], 0) + d.gain * tern_get(&p.back_out[3], 0) +
                               d.threshold * tern_get(&p.back_out[4], 0);
        for (int64_t n = 0; n < p.neurons; n++) want += along(&p, &d, n);
        for (int64_t i = 0; i < tern_elements(&dx.shape); i++)
            got += tern_get(&dx, i) * tern_get(&p.back_out[0], i);
        for (int64_t n = 0; d.v0 && n < p.neurons; n++)
            got += tern_get(&dv0, n) * tern_get(&p.back_out[1], n);
        if (fabs(got - want) > 1e-9 * (1 + fabs(want)))
            fail_msg("round %d: %g, expected %g", round, got, want);
        tern_tensor_free(&dx);
        tern_tensor_free(&dv0);
        problem_close(&p);
    }
}

/* Two layers over T steps at once, and step by step with the membranes in the session. */
static tern_graph *two_layers(bool stepping, int steps)
{
    tern_graph *g;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.stepping = stepping, .seed = 4}));
    tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(stepping ? 1 : steps, 3, 21));
    x = tern_lif(g, x, .tau = 3, .reset = TERN_RESET_SOFT);
    x = tern_lif(g, tern_linear(g, x, .out = 19), .tau = 1.5, .decay_input = false, .threshold = 0.1);
    tern_output(g, "spikes", x);
    assert_ok(tern_graph_status(g));
    return g;
}

static void test_stepping(void **state)
{
    (void)state;
    enum { STEPS = 7, IN = 3 * 21, OUT = 3 * 19 };
    float x[STEPS * IN];
    for (int i = 0; i < STEPS * IN; i++) x[i] = (float)normal();
    for (int reference = 0; reference < 2; reference++) {
        tern_graph *at_once = two_layers(false, STEPS), *stepped = two_layers(true, STEPS);
        tern_program *p, *q;
        tern_session *a, *b;
        tern_store store = {0};
        tern_tensor all, one;
        int ones = 0;
        tern_plan_options options = {.reference = reference};
        assert_ok(tern_plan(&p, at_once, &options));
        assert_ok(tern_plan(&q, stepped, &options));
        assert_ok(tern_session_open(&a, p, &store, NULL));
        assert_ok(tern_session_open(&b, q, &store, NULL));
        assert_ok(tern_session_bind(a, "x", x));
        assert_ok(tern_session_run(a, 0));
        assert_ok(tern_session_output(a, "spikes", &all));
        for (int round = 0; round < 2; round++) { /* reset begins the sequence anew */
            tern_session_reset(b);
            for (int t = 0; t < STEPS; t++) {
                assert_ok(tern_session_bind(b, "x", x + t * IN));
                assert_ok(tern_session_run(b, (uint64_t)t));
                assert_ok(tern_session_output(b, "spikes", &one));
                for (int i = 0; i < OUT; i++) {
                    assert_true(tern_bit_get(one.data, i) == tern_bit_get(all.data, t * OUT + i));
                    ones += tern_bit_get(one.data, i);
                }
            }
        }
        assert_true(ones > 0 && ones < 2 * STEPS * OUT);
        tern_session_close(a);
        tern_session_close(b);
        tern_program_close(p);
        tern_program_close(q);
        tern_graph_close(at_once);
        tern_graph_close(stepped);
        tern_store_close(&store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fast_is_the_definition),
        cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_stepping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
