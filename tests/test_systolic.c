/* Cycles of systolic arrays: against the golden reports of SCALE-Sim, by hand, and as invariants; and the walk of a program
 * through a machine. */
#include "test.h"

#include "machine/machine.h"

#include <math.h>
#include <string.h>

static tern_rng rng = {11, 0};
static uint64_t drawn;

static int64_t below(uint64_t bound)
{
    return 1 + (int64_t)tern_rng_below(rng, drawn++, bound);
}

/* scalesim-project/SCALE-Sim (MIT), golden traces of its tests, 32 x 32, GEMM 256 x 128 x 256: total less stalled cycles
 * are 52447 - 41248, 52447 - 42272 and 19984 - 5777. */
static void test_golden(void **state)
{
    (void)state;
    static const double cycles[] = {
        [TERN_WEIGHT_STATIONARY] = 11199, [TERN_OUTPUT_STATIONARY] = 10175, [TERN_INPUT_STATIONARY] = 14207};
    tern_product_shape p = {.count = 1, .m = 256, .n = 128, .k = 256};
    for (int d = TERN_WEIGHT_STATIONARY; d <= TERN_INPUT_STATIONARY; d++) {
        tern_array_time t = tern_array_product(32, 32, (tern_dataflow)d, &p);
        assert_true(t.cycles == cycles[d]);
        assert_true(fabs(t.utilisation - 256.0 * 128 * 256 / (cycles[d] * 1024)) < 1e-12);
    }
}

/* A depthwise 3x3 layer of 32 channels with 112 x 112 outputs on 64 x 64 cells: the 112 rows need two folds, which lie one
 * below the other, and 21 / 2 copies find one input channel of their own group: 32 sets after the other, 3 * 112 cycles each. */
static void test_row_stationary_by_hand(void **state)
{
    (void)state;
    tern_product_shape p = {.count = 32,
                            .m = 112 * 112,
                            .n = 1,
                            .k = 9,
                            .images = 1,
                            .kernel_height = 3,
                            .kernel_width = 3,
                            .out_height = 112,
                            .out_width = 112};
    tern_array_time t = tern_array_product(64, 64, TERN_ROW_STATIONARY, &p);
    assert_true(t.cycles == 32 * 3 * 112);
    assert_true(fabs(t.utilisation - 3.0 * 112 / 4096) < 1e-12);
}

/* No dataflow does more than a multiply-accumulate a cell and cycle, and each operand passes at least once. */
static void test_bounds(void **state)
{
    (void)state;
    for (int round = 0; round < 2000; round++) {
        int64_t kernel = below(5), height = below(40), width = below(40), images = below(3);
        tern_product_shape p = {.count = below(4),
                                .n = below(200),
                                .images = images,
                                .kernel_height = kernel,
                                .kernel_width = kernel,
                                .out_height = height,
                                .out_width = width};
        p.m = images * height * width;
        p.k = below(60) * kernel * kernel;
        double rows = (double)below(64), columns = (double)below(64);
        double macs = (double)p.count * (double)p.m * (double)p.n * (double)p.k;
        for (int d = 0; d < TERN_DATAFLOWS; d++) {
            tern_array_time t = tern_array_product(rows, columns, (tern_dataflow)d, &p);
            if (!(t.utilisation > 0 && t.utilisation <= 1 + (double)p.count / t.cycles + 1e-12))
                fail_msg("%s: utilisation %g", tern_dataflow_names[d], t.utilisation);
            assert_true(fabs(t.utilisation * t.cycles * rows * columns - macs) <= 1e-9 * macs);
            assert_true(t.input_passes >= 1 && t.weight_passes >= 1 && t.result_passes >= 1);
            assert_true(t.results >= (double)(p.count * p.m * p.n) && t.folds >= 1);
        }
    }
}

static const char machine_text[] =
    "name: m\nsource: s\n"
    "units:\n"
    "  - {name: a, kind: systolic, clock: 1 GHz, rows: 8, columns: 8, mac: {i8: 64 mac/cycle}, mac_energy: "
    "{i8: 1 pJ}, source: s}\n"
    "  - {name: v, kind: simd, clock: 1 GHz, mac: {f32: 8 mac/cycle}, add: {f32: 8 add/cycle}, source: s}\n"
    "memories:\n"
    "  - {name: pad, size: 4 KiB, bandwidth: 16 GB/s, read: 1 pJ/B, source: s}\n"
    "  - {name: dram, size: 1 MiB, bandwidth: 1 GB/s, read: 10 pJ/B, source: s}\n";

/* A product of 64 x 16 x 16 whose weights are far: 4 folds of 2*8 + 8 + 64 - 2 = 86 cycles; 256 bytes of weights at a byte a
 * cycle are 64 cycles a fold, which hide behind 86, but for the first. */
static void test_walk(void **state)
{
    (void)state;
    tern_machine *m;
    tern_simulation s;
    tern_task_simulation r[2];
    assert_ok(tern_machine_parse(&m, machine_text, sizeof machine_text - 1, "m.yaml"));
    tern_task_work tasks[2] = {{.label = "fc",
                                .work = {.macs = 64 * 16 * 16},
                                .weight_bytes = 1024,
                                .read_bytes = 64 * 16 * 4,
                                .written_bytes = 64 * 16 * 4,
                                .product = {.count = 1, .m = 64, .n = 16, .k = 16}},
                               {.label = "act", .work = {.elementwise = 800}}};
    tern_cost_query q = {.tasks = tasks, .count = 2, .weights = 1024, .arena = 4096};
    assert_ok(tern_machine_simulate(m, &q, &s, r));
    assert_true(r[0].stall_cycles == 64 && r[0].cycles == 4 * 86 - 1 + 64);
    assert_true(r[0].far_bytes == 256);
    assert_true(fabs(r[0].joules - (16384 * 1e-12 + (2 * 64 * 16 + 16 * 16) * 1e-12 + 3 * 64 * 16 * 1e-12 +
                                    256 * 10e-12)) < 1e-15);
    assert_true(fabs(r[1].cycles - 100) < 1e-6 && r[1].start == r[0].seconds);
    assert_true(s.seconds == r[0].seconds + r[1].seconds && strstr(s.reason, "as i8"));

    tasks[0].weight_bytes = 64 * 1024; /* ten times slower to fetch than to multiply: the array waits */
    q.weights = 64 * 1024;
    assert_ok(tern_machine_simulate(m, &q, &s, r));
    assert_true(fabs(r[0].cycles - (16384 + 4096)) <
                2); /* the memory's time, and the first fold's before it */

    q.arena = 2e6;
    assert_error(tern_machine_simulate(m, &q, &s, r), TERN_NO_FIT, "activations need");
    tern_machine_close(m);
    const char plain[] = "name: p\nunits: [{name: u, kind: simd, mac: {f32: 1 Gmac/s}, source: s}]\n"
                         "memories: [{name: d, size: 1 GiB, bandwidth: 1 GB/s, source: s}]\n";
    assert_ok(tern_machine_parse(&m, plain, sizeof plain - 1, "p.yaml"));
    assert_error(tern_machine_simulate(m, &q, &s, r), TERN_USAGE, "no systolic unit");
    tern_machine_close(m);
}

static void test_bad_machines(void **state)
{
    (void)state;
    static const char *const units[][2] = {
        {"{name: a, kind: systolic, clock: 1 GHz, rows: 8, mac: {i8: 64 mac/cycle}, source: s}",
         "go together"},
        {"{name: a, kind: simd, clock: 1 GHz, rows: 8, columns: 8, mac: {i8: 64 mac/cycle}, source: s}",
         "systolic unit"},
        {"{name: a, kind: systolic, rows: 8, columns: 8, mac: {i8: 64 mac/s}, source: s}",
         "with a \"clock\""},
        {"{name: a, kind: systolic, clock: 1 GHz, rows: 0, columns: 8, mac: {i8: 64 mac/cycle}, source: s}",
         "whole number from 1"},
        {"{name: a, kind: systolic, clock: 1 GHz, rows: 8, columns: 8, dataflow: spiral, mac: {i8: 64 "
         "mac/cycle}}",
         "input-stationary, row-stationary or broadcast"},
    };
    for (size_t i = 0; i < TERN_COUNT(units); i++) {
        char text[512];
        tern_machine *m;
        snprintf(text, sizeof text,
                 "name: m\nunits:\n  - %s\nmemories: [{name: d, size: 1 GiB, bandwidth: 1 GB/s}]\n",
                 units[i][0]);
        assert_error(tern_machine_parse(&m, text, strlen(text), "m.yaml"), TERN_FAILED, units[i][1]);
        assert_non_null(strstr(tern_message(), "m.yaml:3:"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),       cmocka_unit_test(test_row_stationary_by_hand),
        cmocka_unit_test(test_bounds),       cmocka_unit_test(test_walk),
        cmocka_unit_test(test_bad_machines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
