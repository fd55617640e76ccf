/* Cores that share floating-point units: cycles by hand. */
#include "test.h"

#include "machine/cluster.h"

#include <math.h>
#include <string.h>

static tern_machine *vega;
static tern_cluster cluster;

static int open_vega(void **state)
{
    (void)state;
    assert_ok(tern_machine_open(&vega, "vega"));
    assert_ok(tern_cluster_of(vega, &cluster));
    return 0;
}

static int close_vega(void **state)
{
    (void)state;
    tern_machine_close(vega);
    return 0;
}

static void near(double got, double expected)
{
    if (fabs(got - expected) > 1e-9 * fabs(expected)) fail_msg("got %.12g, expected %.12g", got, expected);
}

static tern_cluster_run run_of(tern_cluster_task task)
{
    tern_cluster_run run;
    assert_ok(tern_cluster_product(&cluster, &task, &run));
    return run;
}

/* A dot product of 64 by pairs: 32 times two loads, a multiply-add and the wait for a load; a result and its addresses.  Of the
 * 138 cycles 32 ask for the unit that another core asks for as often, 65 for one of 16 banks that seven others ask for. */
static void test_dot(void **state)
{
    (void)state;
    tern_cluster_run r = run_of((tern_cluster_task){.times = 1, .n = 1, .k = 64, .m = 1, .lanes = 2});
    double instructions = 32 * 4 + 2 + 8;
    near(r.cores, instructions + 32 * (32 / instructions) / 2 + 65 * 7 * (65 / instructions) / 16 / 2);
    near(r.cycles, r.cores + 90);
    assert_string_equal(r.kernel, "simd dot");
    assert_string_equal(r.bound, "cores");
    near(r.macs, 64);
}

/* Windows are made by as many cores as the image has channels, in whole shares. */
static void test_windows(void **state)
{
    (void)state;
    tern_cluster_task task = {.times = 1, .n = 16, .k = 9, .m = 256, .channels = 1, .lanes = 2};
    double none = run_of(task).cores, elements = 9 * 256;
    task.windows = true;
    near(run_of(task).cores, none + elements * 11.5);
    task.padded = true;
    near(run_of(task).cores, none + elements * 24.2);
    task.back = true;
    near(run_of(task).cores, none + elements * 21.9);
    task.channels = 12;
    near(run_of(task).cores, none + elements * 21.9 * 2 / 12);
    task.windows = false;
    task.turned = true;
    near(run_of(task).cores, none + 16 * 9 * 5.0 / 8);
}

/* Channels are shared forward; of gradients each core does all. */
static void test_depthwise(void **state)
{
    (void)state;
    tern_cluster_task task = {
        .times = 64, .n = 1, .k = 9, .m = 125, .depthwise = true, .forward = true, .lanes = 2};
    double terms = 64 * 9 * 125, results = 64 * 125;
    tern_cluster_run forward = run_of(task);
    task.forward = false;
    tern_cluster_run weight = run_of(task);
    task.back = true;
    tern_cluster_run input = run_of(task);
    near(forward.macs, terms);
    near(weight.units, terms * 8 / 4);
    assert_true(forward.cores > terms / 8 * 10.2 && forward.cores < terms / 8 * 10.2 * 1.1);
    double cycles = terms * 6.6, words = 2 * terms + results;
    near(weight.cores, cycles + terms * (terms / cycles) / 2 + words * 7 * (words / cycles) / 16 / 2);
    assert_true(input.cores > weight.cores && weight.cores > 4 * forward.cores);
}

static void test_formats(void **state)
{
    (void)state;
    tern_cluster_task task = {.times = 1, .n = 32, .k = 288, .m = 256, .lanes = 2};
    double halves = run_of(task).cycles;
    task.lanes = 1;
    double floats = run_of(task).cycles;
    assert_true(floats > 1.2 * halves && floats < 2 * halves);
    assert_true(halves > 32.0 * 288 * 256 / 8); /* four units, two lanes */
    task.k = 1 << 20;
    tern_cluster_run r;
    assert_error(tern_cluster_product(&cluster, &task, &r), TERN_NO_FIT, "do not fit");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_dot), cmocka_unit_test(test_windows),
                                       cmocka_unit_test(test_depthwise), cmocka_unit_test(test_formats)};
    return cmocka_run_group_tests(tests, open_vega, close_vega);
}
