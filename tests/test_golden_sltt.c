/* Spatial learning through time against golden/sltt: a twin in PyTorch that detaches the membranes (sltt.*) and one that
 * does not (bptt.*). */
#include "test.h"

#include "io/io.h"
#include "op/op.h"
#include "run/run.h"
#include "train/rule.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { T = 6, B = 3, SIDE = 8, CLASSES = 5 };
static const char *const files[] = {"plain-tau-1", "plain-tau-1.1", "norm-tau-1.1"};

typedef struct net {
    double tau;
    bool norm;
} net;

/* frame [B,2,8,8] -> o_t [B,CLASSES] */
static tern_value one_step(tern_graph *g, const void *context, tern_value frame)
{
    static const char *const convs[] = {"conv0", "conv1", "conv2"}, *const norms[] = {"norm0", "norm1",
                                                                                      "norm2"};
    const net *n = context;
    tern_value x = tern_reshape(g, frame, TERN_SHAPE(1, B, 2, SIDE, SIDE));
    for (int i = 0; i < 3; i++) {
        x = tern_conv2d(g, x, .out = 4 + 2 * i, .pad = 1, .bias = false, .name = convs[i]);
        if (n->norm) x = tern_batch_norm(g, x, .per_step = true, .name = norms[i]);
        x = tern_lif(g, x, .tau = n->tau, .decay_input = false, .reset = TERN_RESET_SOFT,
                     .detach_reset = false, .surrogate = TERN_TRIANGLE, .alpha = 1);
        if (i < 2) x = tern_avg_pool2d(g, x, .kernel = 2);
    }
    x = tern_linear(g, tern_flatten(g, x, .from = 2), .out = CLASSES, .name = "linear");
    return tern_reshape(g, x, TERN_SHAPE(B, CLASSES));
}

static const tern_tensor *tensor(const tern_bundle *b, const char *name)
{
    const tern_tensor *t = tern_bundle_find(b, name);
    if (!t) fail_msg("the golden file lacks %s", name);
    return t;
}

/* A parameter's name in the file: norms have scale and shift there. */
static void golden_name(char out[64], const char *rule, const char *name)
{
    const char *dot = strrchr(name, '.');
    bool norm = strncmp(name, "norm", 4) == 0;
    const char *what = !norm ? dot + 1 : strcmp(dot, ".weight") == 0 ? "scale" : "shift";
    snprintf(out, 64, "%s%.*s.%s", rule, (int)(dot - name), name, what);
}

/* |a - b| / |b| */
static void assert_near(const char *file, const char *what, const tern_tensor *a, const tern_tensor *b)
{
    double apart = 0, size = 0;
    assert_int_equal(tern_elements(&a->shape), tern_elements(&b->shape));
    for (int64_t e = 0; e < tern_elements(&b->shape); e++) {
        double x = tern_get(a, e), y = tern_get(b, e);
        apart += (x - y) * (x - y);
        size += y * y;
    }
    if (!(size > 0 && apart <= 1e-8 * size)) fail_msg("%s: %s is %g apart", file, what, sqrt(apart / size));
}

static void put_parameters(tern_store *store, const tern_graph *g, const tern_bundle *golden)
{
    for (int i = 1, at; i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        char name[64];
        if (v->kind != TERN_VALUE_PARAM) continue;
        golden_name(name, "", v->name);
        const tern_tensor *t = tensor(golden, name);
        assert_ok(tern_store_need(store, v->name, &v->type, v->init, 1, &at));
        for (int64_t e = 0; e < tern_elements(&t->shape); e++)
            tern_set(&store->tensors[at], e, tern_get(t, e));
    }
}

static void check(const char *file, const tern_bundle *golden, const net *n, bool through_time)
{
    tern_graph *g;
    tern_program *p;
    tern_session *s;
    tern_store store = {0};
    tern_tensor out;
    tern_learned learned;
    int32_t labels[B];
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.training = true}));
    tern_sltt_inputs in = {.frames = tern_input(g, "x", TERN_F32, TERN_SHAPE(T, B, 2, SIDE, SIDE)),
                           .labels = tern_input(g, "labels", TERN_I32, TERN_SHAPE(B))};
    tern_sltt rule = {
        .timesteps = T, .through_time = through_time, .alpha = 0.05, .build = one_step, .context = n};
    assert_ok(tern_rule_sltt(g, &rule, &in, &learned));
    tern_output(g, "logits", learned.logits);
    tern_output(g, "loss", learned.loss);
    for (int i = 0; i < learned.count; i++)
        tern_output(g, tern_value_of(g, learned.params[i])->name, learned.grads[i]);
    assert_ok(tern_graph_status(g));
    assert_ok(tern_plan(&p, g, NULL));
    put_parameters(&store, g, golden);
    assert_ok(tern_session_open(&s, p, &store, NULL));
    for (int i = 0; i < B; i++) labels[i] = (int32_t)tern_get(tensor(golden, "y"), i);
    assert_ok(tern_session_bind(s, "x", tensor(golden, "x")->data));
    assert_ok(tern_session_bind(s, "labels", labels));
    assert_ok(tern_session_run(s, 0));
    for (int i = 0; i < learned.count; i++) {
        char name[64];
        golden_name(name, through_time ? "bptt." : "sltt.", g->outputs[2 + i].name);
        assert_ok(tern_session_output(s, g->outputs[2 + i].name, &out));
        assert_near(file, name, &out, tensor(golden, name));
    }
    assert_ok(tern_session_output(s, "loss", &out));
    assert_near(file, "loss", &out, tensor(golden, "loss"));
    float sums[B * CLASSES] = {0};
    for (int i = 0; i < T * B * CLASSES; i++)
        sums[i % (B * CLASSES)] += (float)tern_get(tensor(golden, "logits"), i);
    assert_ok(tern_session_output(s, "logits", &out));
    assert_near(file, "logits", &out, &(tern_tensor){TERN_F32, TERN_SHAPE(B, CLASSES), sums});
    tern_session_close(s);
    tern_program_close(p);
    tern_graph_close(g);
    tern_store_close(&store);
}

static void test_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < TERN_COUNT(files); i++) {
        char path[512];
        tern_bundle golden = {0};
        snprintf(path, sizeof path, "%s/golden/sltt/%s.safetensors", TERN_TESTS, files[i]);
        assert_ok(tern_safetensors_read(path, &golden));
        net n = {strtod(strrchr(files[i], '-') + 1, NULL), strncmp(files[i], "norm", 4) == 0};
        check(files[i], &golden, &n, false);
        check(files[i], &golden, &n, true);
        tern_bundle_free(&golden);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_files)};
    return cmocka_run_group_tests_name("golden sltt", tests, NULL, NULL);
}
