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
    } small[] = {{"width", 4}, {"hidden", 24}, {"timesteps", 3}};
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
        tern_tensor in[16] = {{0}}, out[8];
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans_are_tight),
        cmocka_unit_test(test_counters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
