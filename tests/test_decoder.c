/* Language models by their shapes: how many parameters they have, and what a program is said to do against what is counted when it runs. */
#include "test.h"

#include "llm/model.h"
#include "op/op.h"
#include "train/train.h"

#include <string.h>

static const tern_net *open_net(const char *name, void **parameters)
{
    const tern_net *net = tern_net_find(name);
    assert_non_null(net);
    assert_ok(tern_net_parameters(net, parameters));
    return net;
}

/* A text of `tokens`, seen behind `past` others, in a graph of its own. */
static tern_graph *build(const tern_transformer *m, int tokens, int past, tern_dtype cache)
{
    tern_graph *g;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){0}));
    tern_value ids = tern_input(g, "tokens", TERN_I32, TERN_SHAPE(tokens));
    tern_value at = tern_input(g, "positions", TERN_I32, TERN_SHAPE(tokens));
    tern_value wanted = tern_input(g, "wanted", TERN_I32, TERN_SHAPE(1));
    tern_feed feed = {
        .tokens = ids, .positions = at, .wanted = wanted, .rows = past + tokens, .cache = cache};
    tern_output(g, "logits", m->architecture->build(g, m, &feed));
    assert_ok(tern_graph_status(g));
    return g;
}

/* As published with the weights. */
static void test_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t count;
    } known[] = {{"gpt2", 124439808},          {"llama2-7b", 6738415616},   {"llama2-70b", 68976648192},
                 {"llama3-8b", 8030261248},    {"llama3-70b", 70553706496}, {"llama3-405b", 405853388800},
                 {"mixtral-8x7b", 46702792704}};
    for (size_t i = 0; i < TERN_COUNT(known); i++) {
        void *parameters;
        tern_transformer m;
        tern_weights shapes;
        const tern_net *net = open_net(known[i].name, &parameters);
        assert_ok(tern_transformer_of(&m, &shapes, net, parameters));
        tern_graph *g = build(&m, 1, 0, TERN_F16);
        assert_int_equal(tern_parameter_count(g), known[i].count);
        tern_graph_close(g);
        tern_weights_close(&shapes);
        tern_net_free(parameters);
    }
}

static void test_wrong_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *net, *name;
        double value;
    } wrong[] = {{"llama2-7b", "heads", 5},
                 {"llama2-7b", "layers", 0},
                 {"llama2-7b", "head-width", 3},
                 {"mixtral-8x7b", "chosen", 9},
                 {"mixtral-8x7b", "chosen", 0}};
    for (size_t i = 0; i < TERN_COUNT(wrong); i++) {
        void *parameters;
        tern_transformer m;
        tern_weights shapes;
        const tern_net *net = open_net(wrong[i].net, &parameters);
        assert_ok(tern_net_set(net, parameters, wrong[i].name, wrong[i].value));
        assert_int_equal(tern_transformer_of(&m, &shapes, net, parameters), TERN_USAGE);
        tern_net_free(parameters);
    }
    tern_transformer m;
    tern_weights shapes;
    assert_int_equal(tern_transformer_of(&m, &shapes, tern_net_find("cnn"), NULL), TERN_USAGE);
}

/* What is said of `tokens` behind `past` others, and what is counted: the same work and bytes, step by step. */
static void compare_counts(const char *name, int tokens, int past)
{
    void *parameters;
    tern_transformer m;
    tern_weights shapes;
    const tern_net *net = open_net(name, &parameters);
    static const struct {
        const char *name;
        double value;
    } small[] = {{"layers", 2}, {"width", 32},  {"heads", 4},
                 {"groups", 2}, {"hidden", 48}, {"vocabulary", 61}};
    for (size_t i = 0; i < TERN_COUNT(small); i++)
        assert_ok(tern_net_set(net, parameters, small[i].name, small[i].value));
    assert_ok(tern_transformer_of(&m, &shapes, net, parameters));
    int32_t ids[8], positions[8], wanted = tokens - 1;
    for (int i = 0; i < tokens; i++) {
        ids[i] = 7 * i % m.vocabulary;
        positions[i] = past + i;
    }
    tern_graph *g = build(&m, tokens, past, TERN_F16);
    tern_program *p;
    tern_store store = {0};
    tern_session *s;
    assert_ok(tern_plan(&p, g, NULL));
    tern_step_work *said = tern_take_array((size_t)p->step_count, sizeof *said);
    const tern_known_input known[] = {{"tokens", ids}, {"positions", positions}};
    assert_ok(tern_program_work_with(p, 1, known, TERN_COUNT(known), said));
    assert_ok(tern_session_open(&s, p, &store, NULL));
    assert_ok(tern_session_bind(s, "tokens", ids));
    assert_ok(tern_session_bind(s, "positions", positions));
    assert_ok(tern_session_bind(s, "wanted", &wanted));
    tern_session_count(s, true);
    assert_ok(tern_session_run(s, 0));
    for (int i = 0; i < p->step_count; i++) {
        const tern_traffic *t = &said[i].traffic;
        const char *op = p->steps[i].node->op->name;
        double bytes = tern_session_bytes(s)[i];
        bool routed = strcmp(op, "linear_experts") == 0; /* all zeros: ties go to the first experts */
        if (!(p->steps[i].node->op->flags & TERN_OP_VIEW))
            assert_true(said[i].work.macs == tern_session_counters(s)[i].macs);
        if (!routed && bytes != t->weights + t->state + t->read + t->written)
            fail_msg("%s, step %d (%s): %g bytes said, %g counted", name, i, op,
                     t->weights + t->state + t->read + t->written, bytes);
        if (routed) assert_true(bytes <= t->weights + t->state + t->read + t->written);
    }
    tern_release(said);
    tern_session_close(s);
    tern_store_close(&store);
    tern_program_close(p);
    tern_graph_close(g);
    tern_weights_close(&shapes);
    tern_net_free(parameters);
}

static void test_counts(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2", "llama2-7b", "mixtral-8x7b"};
    for (size_t i = 0; i < TERN_COUNT(names); i++) {
        compare_counts(names[i], 1, 0);
        compare_counts(names[i], 1, 9);
        compare_counts(names[i], 6, 0);
        compare_counts(names[i], 5, 3);
    }
}

/* Passes keep the format of weights; products are costed in it, under the weights' names. */
static void test_formats(void **state)
{
    (void)state;
    void *parameters;
    const tern_net *net = open_net("llama2-7b", &parameters);
    tern_graph *g;
    tern_program *p;
    tern_memory_need need;
    assert_ok(tern_net_set(net, parameters, "layers", 1));
    assert_ok(tern_model_graph(&g, net, parameters, &net->sample, 1, 0));
    assert_ok(tern_plan(&p, g, NULL));
    assert_ok(tern_program_memory(p, &need));
    assert_true(need.weights > 2 * 464e6 && need.weights < 2 * 465e6); /* parameters, in bf16 */
    tern_step_work *steps = tern_take_array((size_t)p->step_count, sizeof *steps);
    assert_ok(tern_program_work(p, 1, steps));
    int products = 0;
    for (int i = 0; i < p->step_count; i++) {
        tern_task_work task = tern_task_of(&steps[i]);
        bool product = strcmp(p->steps[i].node->op->name, "linear") == 0;
        assert_int_equal(task.dtype, product ? TERN_BF16 : TERN_F32);
        products += product && strstr(task.label, ".weight") != NULL;
    }
    assert_int_equal(products, 8);
    tern_release(steps);
    tern_program_close(p);
    tern_graph_close(g);
    tern_net_free(parameters);
}

static void build_out_of_memory(void)
{
    void *parameters = NULL;
    tern_transformer m;
    tern_weights shapes;
    tern_graph *g = NULL;
    const tern_net *net = tern_net_find("mixtral-8x7b");
    if (tern_net_parameters(net, &parameters) != TERN_OK) return;
    assert_ok(tern_net_set(net, parameters, "layers", 1));
    if (tern_transformer_of(&m, &shapes, net, parameters) == TERN_OK) {
        if (tern_graph_open(&g, &(tern_graph_options){0}) == TERN_OK) {
            tern_value ids = tern_input(g, "tokens", TERN_I32, TERN_SHAPE(2));
            tern_feed feed = {.tokens = ids, .positions = ids, .wanted = ids, .rows = 2, .cache = TERN_F16};
            tern_output(g, "logits", m.architecture->build(g, &m, &feed));
            tern_graph_close(g);
        }
        tern_weights_close(&shapes);
    }
    tern_net_free(parameters);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    for (long n = 1; n < 400; n++) {
        size_t before = tern_allocated();
        tern_fail_allocation(n);
        build_out_of_memory();
        bool all = tern_fail_allocation(0) != 0;
        assert_int_equal(tern_allocated(), before);
        if (all) return;
    }
    fail_msg("the graph takes more than 400 allocations");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters),    cmocka_unit_test(test_wrong_numbers),
        cmocka_unit_test(test_counts),        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
