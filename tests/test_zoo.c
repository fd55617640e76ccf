/* Every net of the zoo: it trains a step, its plan is tight, and what the executor counts is what the reference kernels
 * do, operation by operation. */
#include "test.h"

#include "op/op.h"
#include "train/train.h"

#include <string.h>

/* A net small enough for reference kernels; parameters that it lacks are left alone. */
static void shrink(const tern_net *net, void *parameters)
{
    static const struct {
        const char *name;
        double value;
    } small[] = {{"width", 4},  {"hidden", 24}, {"timesteps", 3}, {"alpha", 0.1}, {"growth", 2},
                 {"layers", 2}, {"cells", 1},   {"D", 16},        {"heads", 1}};
    for (size_t i = 0; i < TERN_COUNT(small); i++) {
        for (const tern_option *o = net->options; o->name; o++)
            if (strcmp(o->name, small[i].name) == 0)
                assert_ok(tern_net_set(net, parameters, small[i].name, small[i].value));
    }
}

static void test_plans_are_tight(void **state)
{
    (void)state;
    for (int i = 0; tern_net_at(i); i++) {
        const tern_net *net = tern_net_at(i);
        tern_recipe recipe = tern_recipe_default();
        for (int training = 0; training < 2; training++) {
            void *parameters;
            tern_graph *g;
            tern_program *p;
            assert_ok(tern_net_parameters(net, &parameters));
            assert_ok(training ? tern_model_training_graph(&g, net, parameters, &net->sample, 16, &recipe)
                               : tern_model_graph(&g, net, parameters, &net->sample, 16, 1));
            assert_ok(tern_plan(&p, g, NULL));
            double ratio = (double)p->arena_bytes / (double)p->least_bytes;
            if (ratio > 1.05)
                fail_msg("%s%s: arena is %.3f of the least", net->name, training ? " in training" : "",
                         ratio);
            tern_program_close(p);
            tern_graph_close(g);
            tern_net_free(parameters);
        }
    }
}

/* Runs every node by its reference kernel, counting as the kernels count, on the session's inputs and parameters.  What
 * is prepared from parameters is no part of a run. */
static tern_work by_reference(const tern_graph *g, const tern_store *store, const float *images)
{
    tern_work counted = {0};
    tern_tensor *t = tern_take_array((size_t)g->value_count, sizeof *t);
    bool *fixed = tern_take_array((size_t)g->value_count, sizeof *fixed);
    assert_true(t && fixed);
    tern_mark_prepared(g, fixed);
    for (int i = 1; i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        size_t bytes = tern_bytes_of(v->type.dtype, tern_elements(&v->type.shape));
        assert_ok(tern_tensor_new(&t[i], v->type.dtype, &v->type.shape));
        if (v->kind == TERN_VALUE_CONSTANT) memcpy(t[i].data, v->content, bytes);
        if (v->kept) memcpy(t[i].data, store->tensors[tern_store_find(store, v->name)].data, bytes);
        if (v->kind == TERN_VALUE_INPUT) memcpy(t[i].data, images, bytes);
    }
    for (int n = 0; n < g->node_count; n++) {
        const tern_node *node = g->nodes[n];
        tern_tensor in[64] = {{0}}, out[8];
        for (int i = 0; i < node->nin; i++) in[i] = node->in[i].id ? t[node->in[i].id] : (tern_tensor){0};
        for (int i = 0; i < node->nout; i++) out[i] = t[node->out[i].id];
        tern_call call = {.op = node->op,
                          .args = node->args,
                          .nin = node->nin,
                          .nout = node->nout,
                          .in = in,
                          .out = out,
                          .levels = g->values[node->in[0].id].type.levels,
                          .counter = fixed[node->out[0].id] ? NULL : &counted};
        void *scratch = node->op->scratch ? tern_take(node->op->scratch(&call) + 64) : NULL;
        call.scratch = scratch;
        if (!(node->op->flags & TERN_OP_VIEW) || out[0].data != in[0].data) node->op->run(&call);
        tern_release(scratch);
    }
    for (int i = 1; i < g->value_count; i++) tern_tensor_free(&t[i]);
    tern_release(t);
    tern_release(fixed);
    return counted;
}

static void check_counters(const tern_net *net)
{
    enum { B = 2 };
    void *parameters;
    tern_model model;
    tern_store store = {0};
    tern_shape sample = net->sample;
    assert_ok(tern_net_parameters(net, &parameters));
    shrink(net, parameters);
    int64_t size = B * tern_elements(&sample);
    float *images = tern_take((size_t)size * sizeof *images);
    assert_non_null(images);
    for (int64_t i = 0; i < size; i++)
        images[i] = (float)(3 * tern_rng_normal((tern_rng){1, 2}, (uint64_t)i));
    assert_ok(tern_model_open(&model, net, parameters, &sample, B, NULL, &store, NULL));
    for (int i = 0; i < store.count; i++) /* deep layers fire too */
        for (int64_t e = 0; store.tensors[i].shape.rank > 1 && e < tern_elements(&store.tensors[i].shape);
             e++)
            tern_set(&store.tensors[i], e, 3 * tern_get(&store.tensors[i], e));
    assert_ok(tern_session_bind(model.session, "image", images));
    tern_session_count(model.session, true);
    assert_ok(tern_session_run(model.session, 0));
    tern_work executed = {0}, done = by_reference(model.graph, &store, images);
    for (int s = 0; s < model.program->step_count; s++)
        tern_work_add(&executed, &tern_session_counters(model.session)[s]);
    if (executed.macs != done.macs || executed.accumulates != done.accumulates ||
        executed.specials != done.specials)
        fail_msg("%s: counted %.0f MACs, %.0f accumulates, %.0f specials; reference did %.0f, %.0f, %.0f",
                 net->name, executed.macs, executed.accumulates, executed.specials, done.macs,
                 done.accumulates, done.specials);
    assert_true(done.macs > 0 && (!net->spiking || done.accumulates > 0));
    tern_model_close(&model);
    tern_store_close(&store);
    tern_net_free(parameters);
    tern_release(images);
}

static void test_counters(void **state)
{
    (void)state;
    for (int i = 0; tern_net_at(i); i++) check_counters(tern_net_at(i));
}

/* Parameters as they are published (torchvision's counts unless said), at 1,000 classes and images of 3x224x224. */
static void test_published_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *net;
        tern_named_number options[4];
        int64_t parameters;
    } known[] = {
        {"vgg", {{"depth", 16}, {"plain", 1}}, 138357544},
        {"resnet", {{"depth", 18}}, 11689512},
        {"resnet", {{"depth", 34}}, 21797672},
        {"resnet", {{"depth", 50}}, 25557032},
        {"resnet", {{"depth", 101}}, 44549160},
        {"resnet-small",
         {{"depth", 20}},
         336824},                               /* 272,474 with 10 classes: pytorch-cifar-models' resnet20 */
        {"mobilenet", {{"alpha", 1}}, 4231976}, /* 4.2 million in the paper; this count is Keras's */
        {"mobilenet-v2", {{NULL, 0}}, 3504872},
        {"mobilenet-v3", {{NULL, 0}}, 5483032},
        {"mobilenet-v3", {{"small", 1}}, 2542856},
        {"densenet", {{NULL, 0}}, 7978856},
        {"densenet", {{"depth", 169}}, 14149480},
        {"densenet", {{"depth", 201}}, 20013928},
        {"efficientnet", {{NULL, 0}}, 5288548},
        {"efficientnet", {{"beta", 1.1}}, 7794184}, /* B1 */
        {"vit", {{"width", 768}}, 86567656},
        {"vit", {{NULL, 0}}, 22050664}, /* timm's vit_small_patch16_224 */
        {"unet",
         {{"classes", 2}, {"pixels", 1}},
         31037698},                       /* milesial/Pytorch-UNet, transposed convolutions */
        {"nasnet", {{NULL, 0}}, 5289978}, /* Keras's NASNetMobile, without statistics of norms */
    };
    for (size_t i = 0; i < TERN_COUNT(known); i++) {
        const tern_net *net = tern_net_find(known[i].net);
        void *parameters;
        tern_graph *g;
        assert_ok(tern_net_parameters(net, &parameters));
        assert_ok(tern_net_set(net, parameters, "classes", 1000));
        for (int k = 0; k < 4 && known[i].options[k].name; k++)
            assert_ok(tern_net_set(net, parameters, known[i].options[k].name, known[i].options[k].value));
        assert_ok(tern_graph_open(&g, NULL));
        net->build(g, parameters, tern_input(g, "image", TERN_F32, TERN_SHAPE(1, 3, 224, 224)));
        assert_ok(tern_graph_status(g));
        if (tern_parameter_count(g) != known[i].parameters)
            fail_msg("%s (%zu) has %lld parameters, published are %lld", known[i].net, i,
                     (long long)tern_parameter_count(g), (long long)known[i].parameters);
        tern_graph_close(g);
        tern_net_free(parameters);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans_are_tight),
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_published_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
