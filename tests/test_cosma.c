/* Plans by the integer program of COSMA: fixtures with known optima, random nets, the oracle, wrong plans, no memory. */
#include "test.h"

#include "flow.h"
#include "train/train.h"

#include <string.h>

static void test_fixtures(void **state)
{
    (void)state;
    static const struct {
        int net;
        size_t memory;
        bool free_order;
        double moved;
    } cases[] = {{0, 100, true, 100}, {0, 110, true, 0},    {0, 100, false, 100}, {0, 110, false, 0},
                 {0, 160, false, 0},  {1, 100, false, 240}, {1, 110, false, 240}, {1, 160, false, 0},
                 {2, 25, false, 0},   {2, 22, false, 18},   {2, 22, true, 0}};
    if (!tern_mip_available()) skip();
    for (size_t i = 0; i < TERN_COUNT(cases); i++) {
        flow_fixture f;
        tern_mip_answer answer = TERN_MIP_UNPROVEN;
        const tern_flow *flow = cases[i].net == 2 ? flow_g2(&f) : flow_g1(&f, cases[i].net == 1);
        double moved = flow_traffic(flow, cases[i].memory, cases[i].free_order, &answer);
        if (moved != cases[i].moved || answer != TERN_MIP_OPTIMAL)
            fail_msg("case %zu: %g bytes, expected %g, %s: %s", i, moved, cases[i].moved,
                     tern_mip_answers[answer], tern_message());
    }
}

/* Bigger blocks first leave a hole in G2: 26 bytes where 25 are alive at most. */
static void test_by_size(void **state)
{
    (void)state;
    tern_block blocks[] = {{7, 0, 0, 3}, {4, 0, 1, 3}, {9, 0, 2, 5},
                           {5, 0, 3, 4}, {8, 0, 4, 5}, {5, 0, 5, 5}};
    size_t bytes;
    assert_ok(tern_allocate_by_size(blocks, TERN_COUNT(blocks), &bytes));
    assert_int_equal(bytes, 26);
    assert_ok(tern_allocate(blocks, TERN_COUNT(blocks), 1, &bytes));
    assert_int_equal(bytes, 25);
}

static void test_bounds(void **state)
{
    (void)state;
    flow_fixture f;
    tern_cosma_plan plan;
    int step;
    const tern_flow *flow = flow_g1(&f, false);
    assert_int_equal(tern_flow_least(flow, &step), 100);
    assert_int_equal(tern_flow_peak(flow), 110);
    assert_error(tern_cosma(flow, &(tern_cosma_options){.memory = 99, .seconds = 1}, &plan), TERN_NO_FIT,
                 "nothing less than 100 bytes");
    flow = flow_g2(&f);
    assert_int_equal(tern_flow_least(flow, &step), 22);
    assert_int_equal(tern_flow_peak(flow), 25);
}

/* A free order never moves more than a fixed one, and what is enough for all at once moves nothing. */
static void test_random(void **state)
{
    (void)state;
    if (!tern_mip_available()) skip();
    for (uint64_t seed = 0; seed < 3; seed++) {
        flow_fixture f;
        int step;
        tern_mip_answer answer;
        const tern_flow *flow = flow_random(&f, seed);
        size_t least = tern_flow_least(flow, &step), all = 0;
        for (int a = 0; a < flow->tensors; a++) all += flow->bytes[a];
        double fixed = flow_traffic(flow, least, false, &answer),
               open = flow_traffic(flow, least, true, &answer);
        if (fixed < 0 || open < 0 || open > fixed)
            fail_msg("seed %d: %g, %g: %s", (int)seed, fixed, open, tern_message());
        assert_true(flow_traffic(flow, all, false, &answer) == 0);
    }
}

/* The oracle sees a plan that overlaps, reads what has gone, or moves what is preserved. */
static void test_oracle(void **state)
{
    (void)state;
    flow_fixture f = {0};
    double spilled, retrieved;
    flow_step(&f, 4, -1, -1);
    flow_step(&f, 4, 0, -1);
    flow_step(&f, 4, 0, 1);
    const tern_flow *flow = flow_end(&f);
    int order[] = {0, 1, 2};
    unsigned char good[] = {TERN_CREATED,   TERN_PRESERVED, TERN_PRESERVED, TERN_AWAY,   TERN_CREATED,
                            TERN_PRESERVED, TERN_AWAY,      TERN_AWAY,      TERN_CREATED};
    size_t address[] = {0, 0, 0, 0, 4, 4, 0, 0, 8};
    tern_cosma_plan plan = {.order = order, .residence = good, .address = address};
    assert_ok(tern_cosma_replay(flow, &plan, 12, &spilled, &retrieved));
    assert_true(spilled == 0 && retrieved == 0);
    assert_error(tern_cosma_replay(flow, &plan, 11, &spilled, &retrieved), TERN_FAILED, "behind the memory");
    address[4] = address[5] = 3;
    assert_error(tern_cosma_replay(flow, &plan, 12, &spilled, &retrieved), TERN_FAILED, "overlaps");
    address[4] = 4;
    assert_error(tern_cosma_replay(flow, &plan, 12, &spilled, &retrieved), TERN_FAILED, "preserved");
    address[5] = 4;
    good[2] = TERN_AWAY;
    assert_error(tern_cosma_replay(flow, &plan, 12, &spilled, &retrieved), TERN_FAILED,
                 "is read but not there");
    good[2] = TERN_RETRIEVED;
    assert_error(tern_cosma_replay(flow, &plan, 12, &spilled, &retrieved), TERN_FAILED, "no copy");
}

/* Step by step never moves less than the exact plan in the same order; window by window, of one window, the same. */
static void test_other_ways(void **state)
{
    (void)state;
    if (!tern_mip_available()) skip();
    int found = 0;
    for (uint64_t seed = 0; seed < 6; seed++) {
        flow_fixture f;
        int step;
        tern_mip_answer answer;
        const tern_flow *flow = flow_random(&f, seed);
        size_t memory = tern_flow_least(flow, &step) + seed % 3 * 2;
        double exact = flow_traffic(flow, memory, false, &answer);
        for (int way = 0; way < 4; way++) {
            double moved = flow_otherwise(flow, memory, way, 0);
            if (moved < -1 || (moved >= 0 && moved < exact) || (way == 3 && moved != exact))
                fail_msg("seed %d way %d: %g, %g: %s", (int)seed, way, moved, exact, tern_message());
            found += moved >= 0;
        }
    }
    assert_true(found > 12);
}

/* Without time for the solver a plan is there all the same, and none of those made step by step is better. */
static void test_no_time(void **state)
{
    (void)state;
    if (!tern_mip_available()) skip();
    int held = 0;
    for (uint64_t seed = 0; seed < 12; seed++) {
        flow_fixture f;
        int step;
        tern_cosma_plan plan;
        double spilled, retrieved;
        const tern_flow *flow = flow_random(&f, seed);
        tern_cosma_options o = {
            .memory = tern_flow_least(flow, &step), .free_order = seed % 2, .seconds = 1e-9};
        assert_ok(tern_cosma(flow, &o, &plan));
        for (int way = 0; way < 3; way++) {
            double moved = flow_otherwise(flow, o.memory, way, 0);
            if (moved < 0) continue;
            assert_true(plan.found && tern_cosma_moved(&plan) <= moved);
            assert_ok(tern_cosma_replay(flow, &plan, o.memory, &spilled, &retrieved));
            held++;
        }
        tern_cosma_free(&plan);
    }
    assert_true(held > 12);
}

/* Many windows: a plan that the oracle accepts, and that moves nothing where nothing has to. */
static void test_windows(void **state)
{
    (void)state;
    if (!tern_mip_available()) skip();
    for (uint64_t seed = 0; seed < 2; seed++) {
        flow_long_fixture f;
        int step;
        const tern_flow *flow = flow_long(&f, seed);
        size_t least = tern_flow_least(flow, &step), all = 0;
        for (int a = 0; a < flow->tensors; a++) all += flow->bytes[a];
        double tight = flow_otherwise(flow, least + 6, 3, 12);
        if (tight < 0) fail_msg("seed %d: %g: %s", (int)seed, tight, tern_message());
        double baseline = flow_otherwise(flow, least + 6, 1, 0);
        if (baseline >= 0) assert_true(tight <= baseline);
        double reordered = flow_otherwise(flow, least + 6, 4, 5);
        if (reordered < 0) fail_msg("seed %d, reordered: %g: %s", (int)seed, reordered, tern_message());
        assert_true(flow_otherwise(flow, all, 3, 12) == 0);
    }
}

/* The order that is searched for is one that can run, and moves no more by Belady's rule than the given one in most nets; where
 * two branches stand side by side, it takes one after the other. */
static void test_order(void **state)
{
    (void)state;
    flow_fixture f;
    int step, order[FLOW_MOST], better = 0, worse = 0;
    assert_ok(tern_flow_order(flow_g1(&f, true), 110, 4, order));
    assert_true((order[1] == 1 && order[2] == 3) || (order[1] == 2 && order[2] == 4));
    for (uint64_t seed = 0; seed < 60; seed++) {
        const tern_flow *flow = flow_random(&f, seed);
        size_t memory = tern_flow_least(flow, &step);
        int time[FLOW_MOST];
        flow_fixture to = {.flow = {.steps = flow->steps, .tensors = flow->tensors}};
        memcpy(to.bytes, f.bytes, sizeof to.bytes);
        flow_end(&to);
        assert_ok(tern_flow_order(flow, memory, 8, order));
        tern_flow_put_in_order(flow, order, time, &to.flow);
        for (int s = 0; s < flow->steps; s++) {
            assert_int_equal(order[time[s]], s);
            for (int i = flow->begin[s]; i < flow->begin[s + 1]; i++)
                assert_true(time[flow->producer[flow->read[i]]] < time[s]);
        }
        double given = flow_otherwise(flow, memory, 1, 0), found = flow_otherwise(&to.flow, memory, 1, 0);
        assert_true(given >= -1 && found >= -1);
        if (given < 0 || found < 0) continue; /* holes */
        better += found < given;
        worse += found > given;
    }
    assert_true(better > 10 && worse < better / 4);
}

/* Parameters share the memory: each comes once where there is room, and again where there is not; the oracle sees one that is read
 * but did not come. */
static void test_parameters(void **state)
{
    (void)state;
    size_t bytes[] = {6, 4, 2, 4, 4};
    int producer[] = {-1, 0, -1, 1, 2}, begin[] = {0, 1, 3, 5}, read[] = {0, 1, 2, 3, 0};
    tern_flow flow = {
        .steps = 3, .tensors = 5, .bytes = bytes, .producer = producer, .begin = begin, .read = read};
    int step;
    tern_mip_answer answer;
    assert_int_equal(tern_flow_least(&flow, &step), 14); /* the last: 4 + 6 read, 4 written */
    assert_int_equal(tern_flow_peak(&flow), 16);         /* the second: 4 + 2 + 4, and 6 that wait */
    assert_int_equal(tern_flow_compulsory(&flow), 8);
    for (int way = 0; way < 4; way++) {
        if ((way == 2 || way == 3) && !tern_mip_available()) continue;
        assert_true(flow_otherwise(&flow, 16, way, 2) == 8);
        assert_true(flow_otherwise(&flow, 14, way, 2) ==
                    14); /* 6 bytes leave without a copy and come again */
    }
    if (!tern_mip_available()) return;
    for (int free_order = 0; free_order < 2; free_order++) {
        assert_true(flow_traffic(&flow, 16, free_order, &answer) == 8);
        assert_true(flow_traffic(&flow, 14, free_order, &answer) == 14);
    }
}

/* What an order needs where nothing moves: of the best one, between what a step needs and the peak of the given one. */
static void test_without_moves(void **state)
{
    (void)state;
    flow_fixture f;
    size_t bytes;
    tern_mip_answer answer;
    tern_cosma_options o = {.seconds = 60};
    assert_ok(tern_cosma_without_moves(flow_g2(&f), &o, &bytes, &answer));
    assert_int_equal(bytes, 25);
    assert_int_equal(answer, TERN_MIP_OPTIMAL);
    if (!tern_mip_available()) skip();
    o.free_order = true;
    assert_ok(tern_cosma_without_moves(flow_g2(&f), &o, &bytes, &answer));
    assert_int_equal(bytes, 22);
    assert_int_equal(answer, TERN_MIP_OPTIMAL);
    assert_ok(tern_cosma_without_moves(flow_g1(&f, false), &o, &bytes, &answer));
    assert_int_equal(bytes, 110);
    for (uint64_t seed = 0; seed < 3; seed++) {
        int step;
        const tern_flow *flow = flow_random(&f, seed);
        assert_ok(tern_cosma_without_moves(flow, &o, &bytes, &answer));
        assert_true(bytes >= tern_flow_least(flow, &step) && bytes <= tern_flow_peak(flow));
    }
}

/* A training step in a memory that it does not fit, executed: results and parameters have the bits of the plain program. */
static void test_executed(void **state)
{
    (void)state;
    const tern_net *net = tern_net_find("lenet");
    tern_graph *g;
    tern_program *plain, *moved;
    tern_flow flow;
    tern_cosma_plan plan;
    tern_recipe recipe = tern_recipe_default();
    tern_shape sample = TERN_SHAPE(1, 28, 28);
    void *parameters;
    int step;
    assert_ok(tern_net_parameters(net, &parameters));
    assert_ok(tern_model_training_graph(&g, net, parameters, &sample, 2, &recipe));
    assert_ok(tern_plan(&plain, g, NULL));
    assert_ok(tern_flow_of(plain, NULL, &flow));
    size_t memory = tern_flow_least(&flow, &step);
    assert_ok(tern_evict(&flow, memory, TERN_EVICT_BELADY, &plan));
    assert_true(plan.found && plan.spilled > 0);
    assert_ok(tern_plan_moved(&moved, plain, &flow, &plan, memory, NULL));
    assert_true(moved->host_bytes > 0);
    for (int i = 1; i < moved->graph->value_count; i++) { /* nothing but scratch memory lies behind the end */
        const tern_place *p = &moved->places[i];
        if (p->space == TERN_SPACE_ARENA) assert_true(p->offset + p->bytes <= memory);
    }
    tern_store stores[2] = {0};
    float image[2 * 28 * 28];
    for (size_t i = 0; i < TERN_COUNT(image); i++) image[i] = (float)tern_rng_uniform((tern_rng){5, 0}, i);
    for (int which = 0; which < 2; which++) {
        tern_session *s;
        static const char zeros[4096];
        assert_ok(tern_session_open(&s, which ? moved : plain, &stores[which], NULL));
        const tern_graph *graph = which ? moved->graph : plain->graph;
        for (int i = 1; i < graph->value_count; i++)
            if (graph->values[i].kind == TERN_VALUE_INPUT)
                assert_ok(
                    tern_session_bind(s, graph->values[i].name,
                                      strcmp(graph->values[i].name, "image") == 0 ? (void *)image : zeros));
        for (uint64_t run = 0; run < 2; run++) assert_ok(tern_session_run(s, run));
        tern_session_close(s);
    }
    assert_int_equal(stores[0].count, stores[1].count);
    for (int i = 0; i < stores[0].count; i++)
        assert_memory_equal(
            stores[0].tensors[i].data, stores[1].tensors[i].data,
            tern_bytes_of(stores[0].tensors[i].dtype, tern_elements(&stores[0].tensors[i].shape)));
    tern_store_close(&stores[0]);
    tern_store_close(&stores[1]);
    tern_cosma_free(&plan);
    tern_program_close(moved);
    tern_flow_free(&flow);
    tern_program_close(plain);
    tern_graph_close(g);
    tern_net_free(parameters);
}

/* Inference in its least memory, parameters in it too: as many bytes come back as the plan says, and the bits are the same. */
static void test_executed_parameters(void **state)
{
    (void)state;
    const tern_net *net = tern_net_find("lenet");
    tern_graph *g;
    tern_program *plain, *moved;
    tern_flow flow;
    tern_cosma_plan plan;
    tern_shape sample = TERN_SHAPE(1, 28, 28);
    tern_store store = {0};
    void *parameters;
    float image[28 * 28], logits[2][10];
    int step;
    assert_ok(tern_net_parameters(net, &parameters));
    assert_ok(tern_model_graph(&g, net, parameters, &sample, 1, 0));
    assert_ok(tern_plan(&plain, g, NULL));
    assert_ok(tern_flow_of(plain, &(tern_flow_options){.parameters = true}, &flow));
    size_t memory = tern_flow_least(&flow, &step);
    assert_true(tern_flow_compulsory(&flow) > memory);
    assert_ok(tern_evict(&flow, memory, TERN_EVICT_BELADY, &plan));
    assert_true(plan.found && plan.retrieved >= (double)tern_flow_compulsory(&flow));
    assert_ok(tern_plan_moved(&moved, plain, &flow, &plan, memory, NULL));
    for (size_t i = 0; i < TERN_COUNT(image); i++) image[i] = (float)tern_rng_uniform((tern_rng){5, 0}, i);
    for (int which = 0; which < 2; which++) {
        tern_session *s;
        tern_tensor out;
        assert_ok(tern_session_open(&s, which ? moved : plain, &store, NULL));
        assert_ok(tern_session_bind(s, "image", image));
        assert_ok(tern_session_run(s, 0));
        assert_ok(tern_session_output(s, "logits", &out));
        memcpy(logits[which], out.data, sizeof logits[which]);
        tern_session_close(s);
    }
    assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
    tern_store_close(&store);
    tern_cosma_free(&plan);
    tern_program_close(moved);
    tern_flow_free(&flow);
    tern_program_close(plain);
    tern_graph_close(g);
    tern_net_free(parameters);
}

static void test_text(void **state)
{
    (void)state;
    tern_mip mip = {0};
    tern_text text = {0};
    int x = tern_mip_column(&mip, 0, 1, 3, true), y = tern_mip_column(&mip, -2, 5, 0, false);
    tern_mip_term(&mip, x, 1);
    tern_mip_term(&mip, y, -2);
    tern_mip_row(&mip, 1, 4);
    tern_mip_write(&mip, &text);
    assert_string_equal(text.data, "Minimize\n obj: 0 x0\n +3 x0\nSubject To\n r0l: +1 x0 -2 x1 >= 1\n"
                                   " r0u: +1 x0 -2 x1 <= 4\nBounds\n 0 <= x0 <= 1\n -2 <= x1 <= 5\n"
                                   "Generals\n x0\nEnd\n");
    tern_text_free(&text);
    tern_mip_free(&mip);
}

static tern_status plan_once(void)
{
    flow_fixture f;
    tern_cosma_plan plan;
    tern_cosma_options options = {.memory = 160, .seconds = 10};
    TERN_TRY(tern_cosma(flow_g1(&f, false), &options, &plan));
    tern_cosma_free(&plan);
    return TERN_OK;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    if (!tern_mip_available()) skip();
    assert_survives_out_of_memory(plan_once());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixtures),
        cmocka_unit_test(test_by_size),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_oracle),
        cmocka_unit_test(test_other_ways),
        cmocka_unit_test(test_no_time),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_executed),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_without_moves),
        cmocka_unit_test(test_executed_parameters),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
