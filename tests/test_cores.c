/* Event cores: the order of events, a tiny net by hand, counts that are the executor's, maps that keep to the memories. */
#include "test.h"

#include "machine/agenda.h"
#include "machine/cores.h"
#include "plan/populations.h"
#include "run/run.h"
#include "train/train.h"

#include <math.h>
#include <string.h>

/* What was put at one time comes in the order in which it was put; all in the order of time. */
static void test_agenda(void **state)
{
    (void)state;
    tern_agenda agenda = {0};
    tern_rng rng = {3, 0};
    tern_event e, last = {.time = -1};
    for (int i = 0; i < 500; i++) {
        assert_ok(tern_agenda_put(&agenda, (double)tern_rng_below(rng, (uint64_t)i, 40), 7, i));
        if (i % 3 == 2) assert_true(tern_agenda_take(&agenda, &e));
    }
    int taken = 0;
    for (; tern_agenda_take(&agenda, &e); last = e, taken++) {
        assert_true(e.time > last.time || (e.time == last.time && e.sequence > last.sequence));
        assert_int_equal(e.what, 7);
    }
    assert_int_equal(taken, 500 - 166);
    tern_agenda_free(&agenda);
}

static const char four_cores[] =
    "name: four\nabout: four cores\nsource: made up\nidle: 1 mW\nunits:\n"
    "  - {name: cores, kind: event, count: 4, source: made up, add: {i8: 1 Madd/s}, mac: {i8: 500 kmac/s},\n"
    "     element: {i8: 2 Mop/s}, add_energy: {i8: 1 nJ}, mac_energy: {i8: 2 nJ}, element_energy: {i8: 0.5 "
    "nJ},\n"
    "     core_memory: 40 B, neuron_memory: 1 B, tile: 1, mesh: 2, message: 100 ns, hop_time: 1 us, hop: 1 "
    "nJ,\n"
    "     barrier: 3 us}\n"
    "memories:\n  - {name: sram, size: 1 KiB, bandwidth: 1 GB/s, source: made up}\n";

/* Four numbers are multiplied into eight neurons in the first of two time steps; these fire six times, at four neurons that are
 * read out. */
static void tiny_net(tern_event_net *net)
{
    *net = (tern_event_net){.population_count = 2, .projection_count = 2, .samples = 1};
    net->populations = tern_take_array(TERN_POPULATIONS, sizeof *net->populations);
    net->projections = tern_take_array(2, sizeof *net->projections);
    net->populations[0] = (tern_population){.name = "a",
                                            .channels = 8,
                                            .height = 1,
                                            .width = 1,
                                            .steps = 2,
                                            .fires = true,
                                            .spikes = 6,
                                            .updates = 16};
    net->populations[1] = (tern_population){
        .name = "b", .channels = 4, .height = 1, .width = 1, .steps = 2, .depth = 1, .updates = 8};
    net->projections[0] = (tern_projection){.name = "in",
                                            .to = 0,
                                            .from = TERN_FROM_INPUT,
                                            .products = 32,
                                            .once = true,
                                            .messages = 4,
                                            .fan_in = 4,
                                            .weights = 4,
                                            .dense = true,
                                            .in_channels = 4,
                                            .in_height = 1,
                                            .in_width = 1,
                                            .groups = 1};
    net->projections[1] = (tern_projection){.name = "out",
                                            .to = 1,
                                            .from = 1,
                                            .events = 24,
                                            .fan_in = 8,
                                            .weights = 8,
                                            .dense = true,
                                            .in_channels = 8,
                                            .in_height = 1,
                                            .in_width = 1,
                                            .groups = 1};
}

static void near(double got, double expected)
{
    if (fabs(got - expected) > 1e-9 * fabs(expected)) fail_msg("%.12g, expected %.12g", got, expected);
}

/* Step 0: a multiplies, 32 times 2 us, beside 8 updates of 0.5 us and 7 messages (4 that come, 3 that go) of 0.1 us and a hop
 * of 1 us.  Step 1: a updates for 4 us, b adds 12 times.  Step 2: b again.  Behind each the barrier of 3 us. */
static void test_by_hand(void **state)
{
    (void)state;
    tern_machine *m;
    tern_event_net net;
    tern_core_map map;
    tern_core_run run;
    assert_ok(tern_machine_parse(&m, four_cores, strlen(four_cores), "four.yaml"));
    tiny_net(&net);
    assert_ok(tern_cores_map(m, &net, false, &map));
    assert_int_equal(map.count, 2); /* 8 x 4 weights and 8 neurons fill 40 bytes; 4 x 8 and 4 take 36 */
    near(map.cores[0].memory, 40);
    near(map.cores[1].memory, 36);
    assert_ok(tern_cores_run(m, &net, &map, &run));
    assert_int_equal(run.steps, 3);
    near(run.seconds, 67e-6 + 15e-6 + 15e-6);
    near(run.longest, 67e-6);
    near(run.mean, 97e-6 / 3);
    assert_string_equal(run.bound, "synapses");
    assert_true(run.events == 24 && run.products == 32 && run.updates == 24 && run.hops == 6);
    near(run.synapse_joules, 24e-9 + 64e-9);
    near(run.neuron_joules, 12e-9);
    near(run.hop_joules, 6e-9);
    near(run.standing_joules, 97e-9);
    assert_int_equal(run.moment_count, 4);
    near(run.moments[0].part[TERN_BOUND_SYNAPSES], 64e-6);
    near(run.moments[0].part[TERN_BOUND_NEURONS], 4e-6);
    near(run.moments[0].part[TERN_BOUND_MESSAGES], 1.7e-6);
    near(run.moments[1].start, 67e-6);
    tern_core_run_free(&run);
    tern_core_map_free(&map);
    assert_ok(tern_cores_map(m, &net, true, &map));
    assert_int_equal(map.count, 4);
    assert_ok(tern_cores_run(m, &net, &map, &run));
    assert_true(run.seconds < 97e-6 && run.events == 24 && run.products == 32 && run.updates == 24);
    tern_core_run_free(&run);
    tern_core_map_free(&map);
    tern_event_net_free(&net);
    tern_machine_close(m);
}

/* What has no room says so. */
static void test_no_room(void **state)
{
    (void)state;
    tern_machine *m;
    tern_event_net net;
    tern_core_map map;
    assert_ok(tern_machine_parse(&m, four_cores, strlen(four_cores), "four.yaml"));
    tiny_net(&net);
    net.projections[1].fan_in = net.projections[1].weights = 50;
    assert_error(tern_cores_map(m, &net, false, &map), TERN_NO_FIT, "one channel of layer b");
    net.projections[1].fan_in = net.projections[1].weights = 30;
    assert_error(tern_cores_map(m, &net, false, &map), TERN_NO_FIT,
                 "needs 5 cores, it has 4; the most, 4, take layer b");
    m->units[0].core_axons = 7;
    assert_error(tern_cores_map(m, &net, false, &map), TERN_NO_FIT,
                 "reads 30 others, a core has inputs for 7");
    tern_event_net_free(&net);
    tern_machine_close(m);
}

/* A net of the zoo on one made image: its program's counters and spikes as populations on a machine. */
static void counts_are_kept(const char *name, const char *machine, bool spread)
{
    const tern_net *zoo = tern_net_find(name);
    void *parameters;
    tern_graph *g;
    tern_program *p;
    tern_session *s;
    tern_store store = {0};
    tern_machine *m;
    tern_event_net net;
    tern_core_map map;
    tern_core_run run;
    float image[28 * 28];
    tern_work sum = {0};
    for (size_t i = 0; i < TERN_COUNT(image); i++)
        image[i] = 20 * (float)tern_rng_uniform((tern_rng){5, 0}, i);
    assert_ok(tern_net_parameters(zoo, &parameters));
    tern_shape sample = zoo->sample;
    assert_ok(tern_model_graph(&g, zoo, parameters, &sample, 1, 0));
    assert_ok(tern_plan(&p, g, &(tern_plan_options){.reference = true}));
    assert_ok(tern_session_open(&s, p, &store, NULL));
    assert_ok(tern_session_bind(s, "image", image));
    tern_session_count(s, true);
    assert_ok(tern_session_run(s, 0));
    const tern_work *counters = tern_session_counters(s);
    for (int i = 0; i < p->step_count; i++) tern_work_add(&sum, &counters[i]);
    assert_true(sum.accumulates > 0 && sum.macs > 0);
    assert_ok(tern_program_populations(p, counters, tern_session_spikes(s), 1, &net));
    assert_ok(tern_machine_open(&m, machine));
    assert_ok(tern_cores_map(m, &net, spread, &map));
    for (int c = 0; c < map.count; c++) assert_true(map.cores[c].memory <= map.unit->core_memory);
    assert_ok(tern_cores_run(m, &net, &map, &run));
    assert_true(run.events == sum.accumulates);
    assert_true(run.products == sum.macs);
    assert_true(run.updates == sum.elementwise + sum.specials);
    double first = run.seconds;
    tern_core_run_free(&run);
    assert_ok(tern_cores_run(m, &net, &map, &run));
    assert_true(run.seconds == first);
    tern_core_run_free(&run);
    tern_core_map_free(&map);
    tern_event_net_free(&net);
    tern_machine_close(m);
    tern_session_close(s);
    tern_store_close(&store);
    tern_program_close(p);
    tern_graph_close(g);
    tern_net_free(parameters);
}

static void test_counts(void **state)
{
    (void)state;
    counts_are_kept("spiking-mlp", "loihi2", false);
    counts_are_kept("spiking-cnn", "loihi2", true);
    counts_are_kept("spiking-resnet", "spinnaker2", false);
}

static tern_machine *four;
static tern_event_net tiny;

static tern_status run_tiny(void)
{
    tern_core_map map;
    tern_core_run run;
    TERN_TRY(tern_cores_map(four, &tiny, false, &map));
    tern_status status = tern_cores_run(four, &tiny, &map, &run);
    if (status == TERN_OK) tern_core_run_free(&run);
    tern_core_map_free(&map);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    assert_ok(tern_machine_parse(&four, four_cores, strlen(four_cores), "four.yaml"));
    tiny_net(&tiny);
    assert_survives_out_of_memory(run_tiny());
    tern_event_net_free(&tiny);
    tern_machine_close(four);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agenda), cmocka_unit_test(test_by_hand),       cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_counts), cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
