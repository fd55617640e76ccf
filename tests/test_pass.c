/* Passes keep what a graph says: random nets before and after, on the same parameters. */
#include "test.h"

#include "op/op.h"
#include "quant/quant.h"
#include "run/run.h"

#include <math.h>
#include <string.h>

typedef tern_status pass(const tern_graph *from, tern_graph **to);

/* conv, norm, LIF, pool, linear, norm over T repeated images. */
static tern_graph *net(bool training)
{
    tern_graph *g;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.training = training, .seed = 4}));
    tern_value x = tern_direct(g, tern_input(g, "x", TERN_F32, TERN_SHAPE(3, 2, 8, 8)), .timesteps = 4);
    x = tern_batch_norm(g, tern_conv2d(g, x, .out = 6, .kernel = 3, .pad = 1, .bias = false));
    x = tern_max_pool2d(g, tern_lif(g, x, .tau = 2), .kernel = 2);
    x = tern_batch_norm(g, tern_conv2d(g, x, .out = 5, .kernel = 3));
    x = tern_lif(g, x, .tau = 2);
    x = tern_batch_norm(g, tern_linear(g, tern_flatten(g, x, .from = 2), .out = 7));
    tern_value half = tern_multiply(g, tern_scalar(g, 0.25), tern_scalar(g, 2));
    tern_output(g, "y", tern_multiply(g, tern_mean(g, x, .axis = 0), half));
    assert_ok(tern_graph_status(g));
    return g;
}

static int count(const tern_graph *g, const tern_op *op)
{
    int n = 0;
    for (int i = 0; i < g->node_count; i++) n += g->nodes[i]->op == op;
    return n;
}

/* Running statistics that are no longer 0 and 1. */
static void disturb(tern_store *store)
{
    tern_rng rng = {.seed = 8};
    uint64_t n = 0;
    for (int i = 0; i < store->count; i++) {
        if (!strstr(store->names[i], "norm")) continue;
        for (int64_t e = 0; e < tern_elements(&store->tensors[i].shape); e++)
            tern_set(&store->tensors[i], e, 0.3 + tern_rng_uniform(rng, n++));
    }
}

/* A depthwise layer of 12 channels between two dense ones. */
static tern_graph *depthwise_net(void)
{
    tern_graph *g;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.seed = 5}));
    tern_value x = tern_conv2d(g, tern_input(g, "x", TERN_F32, TERN_SHAPE(3, 2, 8, 8)), .out = 12, .pad = 1);
    x = tern_conv2d(g, x, .out = 12, .stride = 2, .pad = 1, .groups = 12, .name = "middle");
    tern_output(g, "y", tern_conv2d(g, x, .out = 6, .kernel = 1));
    assert_ok(tern_graph_status(g));
    return g;
}

static void run_planned(const tern_graph *g, tern_store *store, float *y, bool disturbed,
                        const tern_plan_options *options)
{
    tern_program *p;
    tern_session *s;
    tern_tensor out;
    static float x[3 * 2 * 8 * 8];
    for (uint64_t i = 0; i < TERN_COUNT(x); i++)
        x[i] = (float)(3 * tern_rng_normal((tern_rng){.seed = 2}, i));
    assert_ok(tern_plan(&p, g, options));
    assert_ok(tern_session_open(&s, p, store, NULL));
    if (disturbed) disturb(store);
    assert_ok(tern_session_bind(s, "x", x));
    assert_ok(tern_session_run(s, 0));
    assert_ok(tern_session_output(s, "y", &out));
    memcpy(y, out.data, (size_t)tern_elements(&out.shape) * sizeof *y);
    tern_session_close(s);
    tern_program_close(p);
}

static void run(const tern_graph *g, tern_store *store, float *y, bool disturbed)
{
    run_planned(g, store, y, disturbed, NULL);
}

static void check(pass *apply, const tern_op *gone, int left, double tolerance)
{
    tern_graph *g = net(false), *after;
    tern_store store = {0};
    float a[21], b[21];
    assert_ok(apply(g, &after));
    assert_true(count(g, gone) > left);
    assert_int_equal(count(after, gone), left);
    run(g, &store, a, true);
    run(after, &store, b, false);
    for (int i = 0; i < 21; i++)
        if (fabs(a[i] - b[i]) > tolerance) fail_msg("element %d: %g became %g", i, a[i], b[i]);
    tern_store_close(&store);
    tern_graph_close(after);
    tern_graph_close(g);
}

static void test_hoist(void **state)
{
    (void)state;
    check(tern_pass_hoist, &tern_op_expand, 0, 0);
}

static void test_fold_norm(void **state)
{
    (void)state;
    check(tern_pass_fold_norm, &tern_op_batch_norm, 0, 1e-4);
    tern_graph *g = net(true), *after; /* in training nothing is folded */
    assert_ok(tern_pass_fold_norm(g, &after));
    assert_int_equal(count(after, &tern_op_batch_norm), 3);
    tern_graph_close(after);
    tern_graph_close(g);
}

static void test_fold_constants(void **state)
{
    (void)state;
    check(tern_pass_fold, &tern_op_multiply, 1, 0);
}

static tern_status all_passes(void)
{
    pass *const passes[] = {tern_pass_hoist, tern_pass_fold_norm, tern_pass_fold, tern_pass_common};
    tern_graph *g;
    TERN_TRY(tern_graph_open(&g, NULL));
    tern_value x = tern_direct(g, tern_input(g, "x", TERN_F32, TERN_SHAPE(1, 1, 4, 4)), .timesteps = 2);
    tern_output(g, "y", tern_lif(g, tern_batch_norm(g, tern_conv2d(g, x, .out = 2)), .tau = 2));
    tern_status status = tern_graph_status(g);
    for (size_t i = 0; status == TERN_OK && i < TERN_COUNT(passes); i++) {
        tern_graph *next = NULL;
        status = passes[i](g, &next);
        if (status != TERN_OK) break;
        tern_graph_close(g);
        g = next;
    }
    tern_graph_close(g);
    return status;
}

/* Widened with zeros, group convolutions compute what depthwise ones did: by the definitions to the bit. */
static void check_regroup(int wanted, const tern_plan_options *options)
{
    tern_graph *g, *grouped;
    tern_store from = {0}, to = {0};
    tern_regroup how = {.group = wanted};
    static float before[3 * 6 * 4 * 4], after[3 * 6 * 4 * 4];
    int index, group = 12;
    while (group > wanted || 12 % group) group--;
    g = depthwise_net();
    assert_ok(tern_pass_regroup(g, &how, &grouped));
    tern_value weight = tern_find_value(grouped, "middle.weight");
    assert_true(tern_shape_of(grouped, weight).dim[1] == group);
    assert_int_equal(tern_depthwise_layers(grouped), group == 1);
    run_planned(g, &from, before, false, options);
    for (int i = 0; i < from.count; i++) {
        tern_type type = tern_value_of(grouped, tern_find_value(grouped, from.names[i]))->type;
        assert_ok(tern_store_need(&to, from.names[i], &type, (tern_init){0}, 0, &index));
        if (strcmp(from.names[i], "middle.weight") == 0)
            tern_regroup_weight(&from.tensors[i], &to.tensors[index]);
        else
            memcpy(to.tensors[index].data, from.tensors[i].data,
                   tern_bytes_of(type.dtype, tern_elements(&type.shape)));
    }
    run_planned(grouped, &to, after, false, options);
    if (options) assert_memory_equal(before, after, sizeof before);
    for (size_t i = 0; i < TERN_COUNT(before);
         i++) /* fast kernels sum a group in another order than a plane */
        assert_true(fabsf(before[i] - after[i]) < 2e-5F);
    tern_graph_close(g);
    tern_graph_close(grouped);
    tern_store_close(&from);
    tern_store_close(&to);
}

static void test_regroup(void **state)
{
    (void)state;
    for (int wanted = 1; wanted <= 16; wanted++) {
        check_regroup(wanted, NULL);
        check_regroup(wanted, &(tern_plan_options){.reference = true});
    }
    tern_graph *g = net(false), *none = NULL;
    assert_error(tern_pass_regroup(g, &(tern_regroup){.group = 2}, &none), TERN_USAGE, "no depthwise");
    assert_error(tern_pass_regroup(g, &(tern_regroup){.group = 0}, &none), TERN_USAGE, "at least 1");
    tern_graph_close(g);
}

/* Each layer its own size of group. */
static void test_regroup_by_layer(void **state)
{
    (void)state;
    tern_graph *g = depthwise_net(), *grouped;
    tern_regroup how = {.group = 2, .each = {6}};
    assert_ok(tern_pass_regroup(g, &how, &grouped));
    tern_value weight = tern_find_value(grouped, "middle.weight");
    assert_true(tern_shape_of(grouped, weight).dim[1] == 6);
    tern_graph_close(g);
    tern_graph_close(grouped);
}

enum { FAKE_IN = 2 * 4 * 4, FAKE_OUT = 2 * 8 * 8 };

/* A transposed convolution whose second output has weights of a thousandth, and a sum that nothing reads. */
static tern_graph *rounded_net(void)
{
    tern_graph *g;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.seed = 6}));
    tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(1, 2, 4, 4));
    tern_output(g, "y",
                tern_conv_transpose2d(g, x, .out = 2, .kernel = 2, .stride = 2, .bias = false, .name = "up"));
    tern_output(g, "sum", tern_add(g, x, x));
    assert_ok(tern_graph_status(g));
    return g;
}

static void run_rounded(const tern_graph *g, tern_store *store, const float *x, float y[FAKE_OUT],
                        float sum[FAKE_IN])
{
    tern_program *p;
    tern_session *s;
    tern_tensor out;
    assert_ok(tern_plan(&p, g, NULL));
    assert_ok(tern_session_open(&s, p, store, NULL));
    tern_tensor *w = &store->tensors[tern_store_find(store, "up.weight")];
    for (int i = 0; i < 16; i++)
        tern_set(w, i, (i / 4 % 2 ? 1e-3 : 1) * tern_rng_normal((tern_rng){.seed = 9}, (uint64_t)i));
    store->version++;
    assert_ok(tern_session_bind(s, "x", x));
    assert_ok(tern_session_run(s, 0));
    assert_ok(tern_session_output(s, "y", &out));
    memcpy(y, out.data, FAKE_OUT * sizeof *y);
    assert_ok(tern_session_output(s, "sum", &out));
    memcpy(sum, out.data, FAKE_IN * sizeof *sum);
    tern_session_close(s);
    tern_program_close(p);
}

/* Weights have a scale for each output, also of transposed convolutions; operands of sums are rounded, too. */
static void test_fake(void **state)
{
    (void)state;
    static float x[FAKE_IN], y[2][FAKE_OUT], sum[2][FAKE_IN];
    double low = 0, high = 0, off = 0, error = 0, size = 0;
    tern_graph *g = rounded_net(), *fake;
    tern_store store = {0};
    for (uint64_t i = 0; i < FAKE_IN; i++) {
        x[i] = (float)tern_rng_normal((tern_rng){.seed = 2}, i);
        low = fmin(low, (double)x[i]);
        high = fmax(high, (double)x[i]);
    }
    assert_ok(tern_pass_insert_fake(g, &(tern_qat_parameters){.bits = 8, .activations = 8}, &fake));
    run_rounded(g, &store, x, y[0], sum[0]);
    run_rounded(fake, &store, x, y[1], sum[1]);
    for (int i = FAKE_OUT / 2; i < FAKE_OUT; i++) { /* of the second output */
        error += pow((double)(y[1][i] - y[0][i]), 2);
        size += pow((double)y[0][i], 2);
    }
    assert_true(error > 0 && error < 4e-4 * size);
    for (int i = 0; i < FAKE_IN; i++) off = fmax(off, fabs((double)(sum[1][i] - sum[0][i])) / 2);
    assert_true(off > 0 && off <= (high - low) / 255 / 2 * 1.001);
    tern_store_close(&store);
    tern_graph_close(fake);
    tern_graph_close(g);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    assert_survives_out_of_memory(all_passes());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hoist),
        cmocka_unit_test(test_fold_norm),
        cmocka_unit_test(test_fold_constants),
        cmocka_unit_test(test_regroup),
        cmocka_unit_test(test_regroup_by_layer),
        cmocka_unit_test(test_fake),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
