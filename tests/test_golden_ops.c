/* Operators against golden/ops: PyTorch's values and gradients, with the reference kernels and the fast ones. */
#include "test.h"

#include "graph/graph.h"
#include "io/io.h"
#include "op/op.h"
#include "run/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_INPUTS = 4 };

typedef struct golden {
    const char *file;
    const char *inputs[MOST_INPUTS]; /* those of the graph; others are parameters of the layer */
    tern_bundle bundle;
} golden;

#define X                                                                                                    \
    {                                                                                                        \
        "x"                                                                                                  \
    }
static const golden files[] = {
    {"conv2d-same", X, {0}},
    {"conv2d-valid", X, {0}},
    {"conv2d-stride", X, {0}},
    {"conv2d-dilation", X, {0}},
    {"conv2d-groups", X, {0}},
    {"conv2d-depthwise", X, {0}},
    {"conv2d-depthwise-multiple", X, {0}},
    {"conv2d-pointwise", X, {0}},
    {"conv2d-large", X, {0}},
    {"conv2d-stride-dilation-groups", X, {0}},
    {"batch-norm-training", X, {0}},
    {"batch-norm-running", X, {0}},
    {"layer-norm", X, {0}},
    {"group-norm", X, {0}},
    {"rms-norm", X, {0}},
    {"max-pool2d-2", X, {0}},
    {"max-pool2d-3-stride-2", X, {0}},
    {"max-pool2d-3-stride-1", X, {0}},
    {"avg-pool2d-2", X, {0}},
    {"avg-pool2d-3-stride-2", X, {0}},
    {"avg-pool2d-3-stride-1", X, {0}},
    {"softmax", X, {0}},
    {"cross-entropy-0.0", {"x", "labels"}, {0}},
    {"cross-entropy-0.1", {"x", "labels"}, {0}},
    {"linear", X, {0}},
    {"embedding", {"index", "table"}, {0}},
    {"gelu", X, {0}},
    {"silu", X, {0}},
    {"sigmoid", X, {0}},
    {"tanh", X, {0}},
    {"softplus", X, {0}},
    {"relu", X, {0}},
    {"attention-full", {"q", "k", "v"}, {0}},
    {"attention-causal", {"q", "k", "v"}, {0}},
    {"attention-grouped", {"q", "k", "v", "mask"}, {0}},
    {"elu", X, {0}},
    {"leaky-relu", X, {0}},
    {"hard-swish", X, {0}},
    {"hard-sigmoid", X, {0}},
    {"power", X, {0}},
    {"log-softmax", X, {0}},
    {"maximum", {"x", "other"}, {0}},
    {"minimum", {"x", "other"}, {0}},
    {"max", X, {0}},
    {"min", X, {0}},
    {"gather", {"x", "index"}, {0}},
    {"cumulative-sum", X, {0}},
    {"upsample2d", X, {0}},
    {"adaptive-avg-pool2d", X, {0}},
    {"adaptive-avg-pool2d-3", X, {0}},
    {"max-pool1d", X, {0}},
    {"avg-pool1d", X, {0}},
    {"conv1d", X, {0}},
    {"conv-transpose2d-2", X, {0}},
    {"conv-transpose2d-3", X, {0}},
    {"conv-transpose2d-dilation", X, {0}},
};

static double number(const golden *f, const char *key)
{
    const char *value = tern_bundle_text(&f->bundle, key);
    return value ? strcmp(value, "true") == 0 ? 1 : strtod(value, NULL) : 0;
}

static const tern_tensor *tensor(const golden *f, const char *name)
{
    const tern_tensor *t = tern_bundle_find(&f->bundle, name);
    if (!t) fail_msg("%s lacks %s", f->file, name);
    return t;
}

static bool begins(const golden *f, const char *with)
{
    return strncmp(f->file, with, strlen(with)) == 0;
}

static tern_value curve(tern_graph *g, const golden *f, tern_value x)
{
    static const struct {
        const char *name;
        tern_value (*build)(tern_graph *graph, tern_value x);
    } curves[] = {{"gelu", tern_gelu},
                  {"silu", tern_silu},
                  {"sigmoid", tern_sigmoid},
                  {"tanh", tern_tanh},
                  {"softplus", tern_softplus},
                  {"relu", tern_relu},
                  {"softmax", tern_softmax},
                  {"log-softmax", tern_log_softmax},
                  {"hard-swish", tern_hard_swish},
                  {"hard-sigmoid", tern_hard_sigmoid}};
    for (size_t i = 0; i < TERN_COUNT(curves); i++)
        if (strcmp(curves[i].name, f->file) == 0) return curves[i].build(g, x);
    fail_msg("%s has no operator", f->file);
    return (tern_value){0};
}

/* Windows over sequences and images that other layers are made of. */
static tern_value operate_windows(tern_graph *g, const golden *f, tern_value x)
{
    int kernel = (int)number(f, "kernel"), stride = (int)number(f, "stride"), pad = (int)number(f, "pad"),
        dilation = (int)number(f, "dilation"), groups = (int)number(f, "groups");
    if (begins(f, "max-pool1d")) return tern_max_pool1d(g, x, .kernel = kernel, .stride = stride);
    if (begins(f, "avg-pool1d")) return tern_avg_pool1d(g, x, .kernel = kernel, .stride = stride);
    if (begins(f, "adaptive")) return tern_adaptive_avg_pool2d(g, x, .size = (int)number(f, "size"));
    if (begins(f, "upsample2d")) return tern_upsample2d(g, x, .factor = 2);
    if (begins(f, "conv1d"))
        return tern_conv1d(g, x, .out = (int)tensor(f, "weight")->shape.dim[0], .kernel = kernel,
                           .stride = stride, .pad = pad, .dilation = dilation, .groups = groups);
    if (begins(f, "conv-transpose2d"))
        return tern_conv_transpose2d(g, x, .out = (int)number(f, "out"), .kernel = kernel, .stride = stride,
                                     .pad = pad, .out_pad = (int)number(f, "out_pad"), .dilation = dilation,
                                     .groups = groups);
    return curve(g, f, x);
}

static tern_value operate_more(tern_graph *g, const golden *f, const tern_value *in)
{
    tern_value x = in[0];
    if (begins(f, "elu")) return tern_elu(g, x, 0.7);
    if (begins(f, "leaky-relu")) return tern_leaky_relu(g, x, 0.1);
    if (begins(f, "power")) return tern_power(g, x, number(f, "exponent"));
    if (begins(f, "maximum")) return tern_maximum(g, x, in[1]);
    if (begins(f, "minimum")) return tern_minimum(g, x, in[1]);
    if (begins(f, "gather")) return tern_gather(g, x, in[1], 1);
    if (begins(f, "cumulative-sum")) return tern_cumulative_sum(g, x, .axis = 1);
    if (strcmp(f->file, "max") == 0) return tern_max(g, x, .axis = 1);
    if (strcmp(f->file, "min") == 0) return tern_min(g, x, .axis = 2);
    return operate_windows(g, f, x);
}

static tern_value operate(tern_graph *g, const golden *f, const tern_value *in)
{
    tern_value x = in[0];
    int kernel = (int)number(f, "kernel"), stride = (int)number(f, "stride");
    if (begins(f, "conv2d"))
        return tern_conv2d(g, x, .out = (int)tensor(f, "weight")->shape.dim[0], .kernel = kernel,
                           .stride = stride, .pad = (int)number(f, "pad"),
                           .dilation = (int)number(f, "dilation"), .groups = (int)number(f, "groups"),
                           .bias = number(f, "bias") > 0);
    if (begins(f, "linear")) return tern_linear(g, x, .out = (int)tensor(f, "weight")->shape.dim[0]);
    if (begins(f, "max-pool2d")) return tern_max_pool2d(g, x, .kernel = kernel, .stride = stride);
    if (begins(f, "avg-pool2d")) return tern_avg_pool2d(g, x, .kernel = kernel, .stride = stride);
    double epsilon = number(f, "eps");
    if (begins(f, "batch-norm")) return tern_batch_norm(g, x, .epsilon = epsilon);
    if (begins(f, "layer-norm")) return tern_layer_norm(g, x, .epsilon = epsilon);
    if (begins(f, "rms-norm")) return tern_rms_norm(g, x, .epsilon = epsilon);
    if (begins(f, "group-norm"))
        return tern_group_norm(g, x, .epsilon = epsilon, .groups = (int)number(f, "groups"));
    if (begins(f, "cross-entropy"))
        return tern_cross_entropy(g, x, in[1], .smoothing = number(f, "smoothing"));
    if (begins(f, "embedding")) return tern_embedding(g, x, in[1]);
    if (begins(f, "attention"))
        return tern_attention(g, x, in[1], in[2], .causal = number(f, "causal") > 0, .mask = in[3]);
    return operate_more(g, f, in);
}

/* The golden file's name of a parameter or state. */
static const char *short_name(const tern_value_info *value)
{
    const char *dot = strrchr(value->name, '.');
    const char *name = dot ? dot + 1 : value->name;
    if (strcmp(name, "running_mean") == 0) return "mean";
    if (strcmp(name, "running_var") == 0) return "variance";
    return name;
}

/* Parameters and, where the file has them, running statistics. */
static void fill(const tern_graph *g, const golden *f, tern_store *store)
{
    for (int i = 1; i < g->value_count; i++) {
        const tern_value_info *value = &g->values[i];
        bool is_param = value->kind == TERN_VALUE_PARAM;
        if (!is_param && value->kind != TERN_VALUE_STATE) continue;
        if (!is_param && !tern_bundle_find(&f->bundle, short_name(value))) continue;
        const tern_tensor *from = tensor(f, short_name(value));
        int index;
        assert_ok(tern_store_need(store, value->name, &value->type, value->init, 1, &index));
        assert_int_equal(tern_elements(&from->shape), tern_elements(&value->type.shape));
        for (int64_t e = 0; e < tern_elements(&from->shape); e++)
            tern_set(&store->tensors[index], e, tern_get(from, e));
    }
}

/* Gradients of sum(g y), as outputs named as in the file. */
static void differentiate(tern_graph *g, const golden *f, const tern_value *in, tern_value y)
{
    tern_value wrt[8], d[8], loss = y;
    const char *names[8];
    int count = 0;
    for (int i = 0; i < MOST_INPUTS && f->inputs[i]; i++)
        if (tern_dtype_of_value(g, in[i]) == TERN_F32) names[count] = f->inputs[i], wrt[count++] = in[i];
    for (int i = 1; i < g->value_count; i++)
        if (g->values[i].kind == TERN_VALUE_PARAM)
            names[count] = short_name(&g->values[i]), wrt[count++] = (tern_value){i};
    if (tern_bundle_find(&f->bundle, "g")) {
        tern_shape shape = tern_shape_of(g, y);
        loss = tern_sum(g, tern_multiply(g, y, tern_input(g, "g", TERN_F32, shape)), .axes = shape.rank);
    }
    assert_ok(tern_gradients(g, loss, wrt, count, d));
    for (int i = 0; i < count; i++) tern_output(g, tern_arena_format(&g->arena, "d%s", names[i]), d[i]);
}

static void check(const golden *f, bool reference)
{
    bool training =
        strcmp(f->file, "batch-norm-running") != 0; /* running statistics are for inference: no gradient */
    tern_graph *g;
    tern_program *p;
    tern_session *session;
    tern_store store = {0};
    tern_value in[MOST_INPUTS] = {{0}};
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.training = training}));
    for (int i = 0; i < MOST_INPUTS && f->inputs[i]; i++) {
        const tern_tensor *t = tensor(f, f->inputs[i]);
        in[i] = tern_input(g, f->inputs[i], t->dtype, t->shape);
    }
    tern_value y = operate(g, f, in);
    assert_ok(tern_graph_status(g));
    tern_output(g, "y", y);
    if (training) differentiate(g, f, in, y);
    assert_ok(tern_graph_status(g));
    fill(g, f, &store);
    assert_ok(tern_plan(&p, g, &(tern_plan_options){.reference = reference}));
    assert_ok(tern_session_open(&session, p, &store, NULL));
    for (int i = 0; i < MOST_INPUTS && f->inputs[i]; i++)
        assert_ok(tern_session_bind(session, f->inputs[i], tensor(f, f->inputs[i])->data));
    if (training && tern_find_value(g, "g").id)
        assert_ok(tern_session_bind(session, "g", tensor(f, "g")->data));
    assert_ok(tern_session_run(session, 0));
    for (int i = 0; i < g->output_count; i++) {
        const tern_tensor *want = tensor(f, g->outputs[i].name);
        tern_tensor got;
        assert_ok(tern_session_output(session, g->outputs[i].name, &got));
        assert_int_equal(tern_elements(&got.shape), tern_elements(&want->shape));
        for (int64_t e = 0; e < tern_elements(&want->shape); e++) {
            double a = tern_get(&got, e), b = tern_get(want, e);
            if (!(fabs(a - b) <= 1e-5 * fmax(1, fabs(b))))
                fail_msg("%s: %s[%lld] is %.9g, expected %.9g", f->file, g->outputs[i].name, (long long)e, a,
                         b);
        }
    }
    tern_session_close(session);
    tern_program_close(p);
    tern_graph_close(g);
    tern_store_close(&store);
}

static void check_all(bool reference)
{
    for (size_t i = 0; i < TERN_COUNT(files); i++) {
        char path[512];
        golden f = files[i];
        snprintf(path, sizeof path, "%s/golden/ops/%s.safetensors", TERN_TESTS, f.file);
        assert_ok(tern_safetensors_read(path, &f.bundle));
        check(&f, reference);
        tern_bundle_free(&f.bundle);
    }
}

static void test_reference(void **state)
{
    (void)state;
    check_all(true);
}

static void test_fast(void **state)
{
    (void)state;
    check_all(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reference), cmocka_unit_test(test_fast)};
    return cmocka_run_group_tests_name("golden operators", tests, NULL, NULL);
}
