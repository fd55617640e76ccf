/* The Pareto archive against its definition, and the search for sizes of groups. */
#include "test.h"

#include "search/search.h"

#include <math.h>
#include <string.h>

/* By definition: a is nowhere worse than b and somewhere better. */
static bool beats(const tern_pareto *archive, const double *a, const double *b)
{
    bool better = false;
    for (int i = 0; i < archive->objectives; i++) {
        bool worse = archive->largest[i] ? a[i] < b[i] : a[i] > b[i];
        if (worse) return false;
        better |= a[i] != b[i];
    }
    return better;
}

static void test_archive(void **state)
{
    (void)state;
    tern_rng rng = {.seed = 9};
    uint64_t drawn = 0;
    for (int round = 0; round < 60; round++) {
        tern_pareto archive = {.objectives = 1 + round % 4};
        double all[50][TERN_OBJECTIVES] = {{0}};
        for (int k = 0; k < archive.objectives; k++)
            archive.largest[k] = tern_rng_below(rng, drawn++, 2) == 1;
        for (int i = 0; i < 50; i++) { /* few different values, so that there are ties */
            for (int k = 0; k < archive.objectives; k++) all[i][k] = (double)tern_rng_below(rng, drawn++, 6);
            assert_ok(tern_pareto_add(&archive, all[i], i));
        }
        for (int i = 0; i < 50; i++) {
            bool beaten = false;
            for (int k = 0; k < 50; k++) beaten |= beats(&archive, all[k], all[i]);
            assert_int_equal(tern_pareto_has(&archive, i), !beaten);
        }
        tern_pareto_free(&archive);
    }
}

/* What is no number loses against what is one. */
static void test_unknown_values(void **state)
{
    (void)state;
    tern_pareto archive = {.objectives = 2, .largest = {true, false}};
    assert_ok(tern_pareto_add(&archive, (double[]){NAN, 1}, 0));
    assert_ok(tern_pareto_add(&archive, (double[]){0.5, 1}, 1));
    assert_false(tern_pareto_has(&archive, 0));
    assert_ok(tern_pareto_add(&archive, (double[]){NAN, 2}, 2));
    assert_false(tern_pareto_has(&archive, 2));
    assert_int_equal(archive.count, 1);
    tern_pareto_free(&archive);
}

static const char array_text[] =
    "name: m\nsource: s\n"
    "units:\n"
    "  - {name: a, kind: systolic, clock: 1 GHz, rows: 16, columns: 16, dataflow: row-stationary, mac: {i16: "
    "256 mac/cycle}, source: s}\n"
    "  - {name: v, kind: simd, clock: 1 GHz, mac: {f32: 8 mac/cycle}, add: {f32: 8 add/cycle}, source: s}\n"
    "memories:\n"
    "  - {name: dram, size: 1 GiB, bandwidth: 1 GB/s, read: 10 pJ/B, source: s}\n";

static tern_status measure(tern_machine *m, tern_regroup_point *point, double match)
{
    void *parameters;
    const tern_net *net = tern_net_find("mobilenet-regroup");
    TERN_TRY(tern_net_parameters(net, &parameters));
    tern_regroup_search s = {.net = net,
                             .parameters = parameters,
                             .width = "alpha",
                             .input = TERN_SHAPE(1, 32, 32),
                             .machine = m,
                             .most = 16,
                             .target = 0.8};
    tern_status status =
        match > 0 ? tern_regroup_match(&s, false, match, 0.25, 1, point) : tern_regroup_measure(&s, point);
    tern_net_free(parameters);
    return status;
}

static void test_regroup(void **state)
{
    (void)state;
    tern_machine *m;
    tern_regroup_point plain = {.group = 1, .width = 1}, four = {.group = 4, .width = 1},
                       chosen = {.width = 1}, matched = {.group = 4};
    assert_ok(tern_machine_parse(&m, array_text, sizeof array_text - 1, "m.yaml"));
    assert_ok(measure(m, &plain, 0));
    assert_ok(measure(m, &four, 0));
    assert_ok(measure(m, &chosen, 0));
    assert_int_equal(plain.layers, 13);
    assert_true(four.regrouped > plain.regrouped && four.parameters > plain.parameters);
    assert_true(isnan(four.accuracy));
    for (int i = 0; i < 13; i++) assert_true(chosen.regroup.each[i] >= 1 && chosen.regroup.each[i] <= 16);
    assert_true(chosen.regrouped > plain.regrouped);
    assert_ok(measure(m, &matched, plain.simulation.macs));
    assert_true(matched.width < 1 && matched.simulation.macs <= plain.simulation.macs);
    assert_error(measure(m, &(tern_regroup_point){.group = 4}, 1), TERN_NO_FIT, "even width");
    tern_machine_close(m);
}

/* One allocation after the other fails while a point is added. */
static tern_status add_points(void)
{
    tern_pareto archive = {.objectives = 1};
    tern_status status = TERN_OK;
    for (int i = 0; status == TERN_OK && i < 40; i++) status = tern_pareto_add(&archive, (double[]){1}, i);
    tern_pareto_free(&archive);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    assert_survives_out_of_memory(add_points());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_archive),
        cmocka_unit_test(test_unknown_values),
        cmocka_unit_test(test_regroup),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
