/* The probe, and times by kernels as measured, against laws that are known. */
#include "test.h"

#include "machine/prober.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MACHINE                                                                                              \
    "name: x\nsource: s\nlaunch: 5 us\nunits:\n  - {name: u, clock: 1 GHz, mac: {f32: 2 mac/cycle}, "        \
    "source: s}\n"                                                                                           \
    "memories:\n  - {name: t, size: 1 MiB, bandwidth: 1 GB/s, source: s}\n"

static void near_to(double a, double b)
{
    assert_true(fabs(a - b) <= 1e-9 * fabs(b));
}

/* ---- kernels, as measured -------------------------------------------------------------------------------------- */

static tern_task_work conv_task(int64_t pixels, int64_t in, int64_t out, int kernel)
{
    return (tern_task_work){
        .label = "conv",
        .operator_name = "conv2d",
        .product = {1, pixels, out, in * kernel * kernel, 1, kernel, kernel, 1, pixels, 1},
        .work = {.macs = (double)(pixels * in * out * kernel * kernel)},
    };
}

/* Seconds of a kernel that starts for a microsecond and then does so many multiply-accumulates a second. */
static double law(double macs)
{
    return 1e-6 + macs / 2e10;
}

/* Points of that law at sizes a factor of four apart, and of one that moves 10 GB/s. */
static tern_machine *machine_of_laws(void)
{
    tern_text t = {0};
    tern_machine *m;
    tern_text_put(&t, MACHINE "kernels:\n");
    for (int a = 4; a <= 1024; a *= 4)
        for (int b = 8; b <= 512; b *= 4)
            for (int c = 8; c <= 512; c *= 4)
                tern_text_format(
                    &t,
                    "  - {name: %d %d %d, kernel: conv2d 1x1, m: %d, n: %d, k: %d, count: 1, median: "
                    "%.9g s, source: s}\n",
                    a, b, c, a, b, c, law((double)a * b * c));
    for (int64_t bytes = 1 << 10; bytes <= 1 << 22; bytes *= 16)
        tern_text_format(
            &t,
            "  - {name: r%lld, kernel: relu, bytes: %lld, written: %lld, operations: %lld, median: %.9g s, "
            "source: s}\n",
            (long long)bytes, (long long)bytes, (long long)bytes / 2, (long long)bytes / 8,
            (double)bytes / 1e10);
    assert_ok(tern_machine_parse(&m, t.data, t.size, "f.yaml"));
    tern_text_free(&t);
    return m;
}

static void test_kernel_classes(void **state)
{
    (void)state;
    char class[64];
    tern_task_work t = conv_task(100, 32, 64, 1);
    tern_kernel_class(&t, class);
    assert_string_equal(class, "conv2d 1x1");
    t = conv_task(100, 32, 64, 3);
    tern_kernel_class(&t, class);
    assert_string_equal(class, "conv2d window"); /* a row of pixels: most of each tile would lie outside */
    t.product.out_height = t.product.out_width = 10;
    tern_kernel_class(&t, class);
    assert_string_equal(class, "conv2d 3x3");
    assert_true(tern_kernel_rows(&t) == 9 * 16); /* 3 x 3 tiles of 4 x 4 */
    t.defined = true;
    tern_kernel_class(&t, class);
    assert_string_equal(class, "conv2d 3x3 defined");
    t.defined = false;
    t.product.stride = 2;
    tern_kernel_class(&t, class);
    assert_string_equal(class, "conv2d window");
    t.product.count = 32;
    tern_kernel_class(&t, class);
    assert_string_equal(class, "conv2d grouped");
    t.product.n = 1;
    tern_kernel_class(&t, class);
    assert_string_equal(class, "conv2d depthwise strided");
    t = (tern_task_work){.operator_name = "linear", .weights = TERN_Q4_K, .bits = true};
    tern_kernel_class(&t, class);
    assert_string_equal(class, "linear q4_K spikes");
    t.operator_name = NULL;
    tern_kernel_class(&t, class);
    assert_string_equal(class, "");
}

static void test_kernel_seconds(void **state)
{
    (void)state;
    tern_machine *m = machine_of_laws();
    double seconds, worst = 0;
    for (uint64_t i = 0; i < 200; i++) { /* sizes between the points */
        tern_rng rng = {5, i};
        int64_t a = 4 + (int64_t)tern_rng_below(rng, 0, 1000), b = 8 + (int64_t)tern_rng_below(rng, 1, 500),
                c = 8 + (int64_t)tern_rng_below(rng, 2, 500);
        tern_task_work t = conv_task(a, c, b, 1);
        assert_true(tern_kernel_seconds(m, &t, &seconds));
        worst = fmax(worst, fabs(log(seconds / law(t.work.macs))));
    }
    assert_true(worst < 0.25);
    tern_task_work t = conv_task(4096, 2048, 512, 1); /* beyond them: the rate of the largest */
    assert_true(tern_kernel_seconds(m, &t, &seconds));
    assert_true(fabs(seconds / law(t.work.macs) - 1) < 0.1);
    t = conv_task(1, 1, 1, 1); /* below them: no quicker than the least */
    assert_true(tern_kernel_seconds(m, &t, &seconds));
    near_to(seconds, law(4 * 8 * 8));
    tern_task_work r = {
        .operator_name = "relu", .read_bytes = 3e4, .written_bytes = 3e4, .work = {.elementwise = 7500}};
    assert_true(tern_kernel_seconds(m, &r, &seconds));
    assert_true(fabs(seconds / 6e-6 - 1) < 0.05);
    r.operator_name = "silu";
    assert_false(tern_kernel_seconds(m, &r, &seconds));
    tern_cost
        cost; /* what was measured counts, its start with it; weights that come slowly take their time */
    tern_cost_query q = {.tasks = &t, .count = 1, .arena = 10};
    t = conv_task(64, 32, 32, 1);
    tern_machine_cost(m, &q, &cost, NULL);
    assert_true(fabs(cost.seconds / law(65536) - 1) < 0.1);
    t.weight_bytes = 5e5;
    q.weights = 5e5;
    tern_machine_cost(m, &q, &cost, NULL);
    near_to(cost.seconds, 5e5 / m->tiers[0].bandwidth);
    tern_machine_close(m);
}

/* Points of a kernel that takes 1 us with near operands and 3 us with far ones. */
static void put_relu(tern_text *text)
{
    for (int bytes = 1000; bytes <= 100000; bytes *= 10)
        tern_text_format(
            text,
            "  - {name: r%d, kernel: relu, bytes: %d, written: %d, operations: 10, median: 1 us, "
            "far: 3 us, source: s}\n",
            bytes, bytes, bytes / 2);
}

/* What is old for a cache of 1 MiB has far operands. */
static void test_far_operands(void **state)
{
    (void)state;
    tern_text text = {0};
    tern_machine *m;
    double seconds;
    tern_text_put(&text, MACHINE "near: 1 MiB\nkernels:\n");
    put_relu(&text);
    assert_ok(tern_machine_parse(&m, text.data, text.size, "f.yaml"));
    tern_text_free(&text);
    tern_task_work t = {
        .operator_name = "relu", .read_bytes = 5e3, .written_bytes = 5e3, .work = {.elementwise = 10}};
    assert_true(tern_kernel_seconds(m, &t, &seconds)); /* ages not known: near */
    near_to(seconds, 1e-6);
    t.aged[0] = 1e4;
    assert_true(tern_kernel_seconds(m, &t, &seconds));
    near_to(seconds, 1e-6);
    t.aged[TERN_AGES - 1] = 1e4; /* the half is far */
    assert_true(tern_kernel_seconds(m, &t, &seconds));
    near_to(seconds, 2e-6);
    t.aged[0] = 0;
    assert_true(tern_kernel_seconds(m, &t, &seconds));
    near_to(seconds, 3e-6);
    tern_machine_close(m);
}

/* Two threads: half of what they hand on is far for whoever reads it; and each keeps its own columns of the weights that a row is
 * multiplied with, so that 1.2 MB stay in two caches of 1 MiB, which lose them where one thread reads all. */
static void test_two_threads(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        tern_text text = {0};
        tern_machine *m;
        double seconds;
        tern_text_format(&text, MACHINE "near: 1 MiB\nthreads: %d\nkernels:\n", threads);
        put_relu(&text);
        tern_text_put(
            &text, "  - {name: l, kernel: linear, m: 1, n: 512, k: 700, count: 1, median: 1 us, far: 3 us, "
                   "source: s}\n");
        assert_ok(tern_machine_parse(&m, text.data, text.size, "f.yaml"));
        tern_text_free(&text);
        tern_task_work t = {
            .operator_name = "relu", .read_bytes = 1e4, .work = {.elementwise = 10}, .handed = 1e4};
        t.aged[0] = 1e4;
        assert_true(tern_kernel_seconds(m, &t, &seconds));
        near_to(seconds, threads == 1 ? 1e-6 : 2e-6);
        tern_task_work w = {.operator_name = "linear", .product = {1, 1, 512, 700, 1, 0, 0, 1, 0, 0}};
        w.work.macs = 512 * 700;
        w.aged[17] = 512 * 700 * 4; /* its middle: 1.2 MB */
        assert_true(tern_kernel_seconds(m, &w, &seconds));
        if (threads == 1)
            assert_true(seconds > 2.2e-6);
        else
            near_to(seconds, 1e-6);
        tern_machine_close(m);
    }
}

/* Caches of 48 KiB and 2 MiB whose sets fill unevenly, and a memory behind them: what is found lies within half a step of the
 * walk (the root of 2), also where two sizes of a slope take the same time by chance. */
static void test_levels(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        tern_walk_curve c = {0};
        tern_walk_level levels[TERN_WALK_LEVELS];
        for (double bytes = 4096; bytes <= 256e6; bytes *= sqrt(2)) {
            double lost1 = fmin(fmax(0.5 + 2 * log2(bytes / 49152), 0), 1),
                   lost2 = fmin(fmax(0.4 + log2(bytes / 2097152), bytes > 1e6 ? 0.05 : 0), 1),
                   noise = 1 + 0.05 * (tern_rng_uniform((tern_rng){seed, 3}, (uint64_t)c.count) - 0.5);
            c.bytes[c.count] = bytes;
            c.seconds[c.count++] = 1e-9 * noise * (1.2 + 3.3 * lost1 + 32 * lost2);
        }
        if (seed == 19) c.seconds[16] = 7.2e-9, c.seconds[17] = 7.3e-9; /* 1 and 1.4 MiB */
        assert_int_equal(tern_probe_levels(&c, levels), 3);
        assert_true(fabs(log2(levels[0].bytes / 49152)) < 0.25 &&
                    fabs(log2(levels[1].bytes / 2097152)) < 0.25);
        assert_true(levels[2].bytes == 0 && fabs(levels[1].seconds / 4.5e-9 - 1) < 0.05);
    }
}

/* A line is found in its points, and the small ones count as much as the large: errors are relative. */
static void test_line(void **state)
{
    (void)state;
    double x[7], y[7], a, b;
    for (int i = 0; i < 7; i++) x[i] = 8 * pow(8, i), y[i] = 2e-6 + x[i] / 5e9;
    tern_probe_line(x, y, 7, &a, &b);
    assert_true(fabs(a / 2e-6 - 1) < 1e-6 && fabs(b * 5e9 - 1) < 1e-6);
    for (int i = 0; i < 7; i++) y[i] *= i % 2 ? 1.1 : 0.9;
    tern_probe_line(x, y, 7, &a, &b);
    assert_true(fabs(a / 2e-6 - 1) < 0.15 && fabs(b * 5e9 - 1) < 0.15);
}

/* ---- the probe ------------------------------------------------------------------------------------------------ */

static tern_pool *pool;
static tern_probe probe;

static unsigned parts;
static int thin;

static tern_status run_probe(void)
{
    tern_probe_close(&probe);
    tern_status status = tern_probe_run(
        &probe, pool,
        &(tern_probe_options){.quick = true, .quiet = true, .parts = parts, .thin = thin, .folder = "/tmp"});
    if (status != TERN_OK) tern_probe_close(&probe);
    return status;
}

static tern_status write_probe(void)
{
    tern_text text = {0};
    tern_status status = tern_probe_write(&probe, &text);
    tern_machine *m = NULL;
    if (status == TERN_OK) status = tern_machine_parse(&m, text.data, text.size, "here");
    if (status == TERN_OK &&
        (m->warnings[0] || strcmp(m->name, "here") != 0 || m->units[0].rate[TERN_MAC][TERN_F32] < 1e8))
        status = tern_fail(TERN_FAILED, "a strange machine file: %s", text.data);
    tern_machine_close(m);
    tern_text_free(&text);
    return status;
}

/* Figures that a second rank would have brought: the file has a link, of which costs of several devices are made.  What runs
 * differ in by more than itself is left out, and said to be. */
static void test_link(void **state)
{
    (void)state;
    static const tern_figure figures[] = {
        {.name = "f32 mac", .unit = "mac/s", .method = "m", .threads = 2, .median = 1e9},
        {.name = "f32 add", .unit = "add/s", .method = "m", .threads = 2, .median = 1e9},
        {.name = "f32 gemm", .unit = "mac/s", .method = "m", .threads = 1, .median = 1e9},
        {.name = "f32 mac", .unit = "mac/s", .method = "m", .threads = 1, .median = 2e9},
        {.name = "clock", .unit = "Hz", .method = "m", .threads = 1, .median = 1e9},
        {.name = "read", .level = "DRAM", .unit = "B/s", .method = "m", .threads = 2, .median = 1e10},
        {.name = "MPI latency", .unit = "s", .method = "m", .threads = 2, .median = 2e-6},
        {.name = "MPI bandwidth", .unit = "B/s", .method = "m", .threads = 2, .median = 4e9},
        {.name = "MPI allreduce start", .unit = "s", .method = "m", .threads = 2, .median = 1e-6}};
    tern_prober p = {.out = &probe};
    tern_text text = {0};
    tern_machine *m;
    double unclear[] = {1, 2, 9};
    probe = (tern_probe){.parts = TERN_PROBE_ALL, .threads = 2, .memory = 1e9, .mpi = "Open MPI v4"};
    for (size_t i = 0; i < TERN_COUNT(figures); i++)
        assert_ok(tern_probe_keep(&p, figures[i], (double[]){figures[i].median}, 1));
    assert_ok(tern_probe_keep(&p, (tern_figure){.name = "unclear", .unit = "s", .method = "m", .threads = 1},
                              unclear, 3));
    assert_ok(tern_probe_write(&probe, &text));
    assert_ok(tern_machine_parse(&m, text.data, text.size, "here"));
    assert_int_equal(m->link_count, 1);
    near_to(m->links[0].latency, 2e-6);
    near_to(m->links[0].bandwidth, 4e9);
    near_to(m->links[0].start, 1e-6);
    assert_int_equal(m->measured_count, TERN_COUNT(figures));
    assert_non_null(strstr(text.data, "# left out: unclear"));
    tern_machine_close(m);
    tern_text_free(&text);
    tern_probe_close(&probe);
}

static double figure(const char *name, const char *level, int threads)
{
    const tern_figure *f = tern_probe_find(&probe, name, level, threads);
    if (!f) fail_msg("no figure %s %s of %d threads", level ? level : "", name, threads);
    assert_true(f->lower > 0 && f->lower <= f->median && f->median <= f->upper && isfinite(f->upper));
    return f->median;
}

static void test_probe(void **state)
{
    (void)state;
    parts = TERN_PROBE_DISK | TERN_PROBE_LINKS;
    assert_survives_out_of_memory(run_probe());
    parts = TERN_PROBE_KERNELS;
    thin = 97;
    assert_ok(run_probe()); /* without a pool: one thread */
    assert_true(probe.kernel_count >= 5 && probe.kernels[0].median > 0);
    assert_error(write_probe(), TERN_USAGE, "needs rates and bandwidths");
    assert_int_equal(probe.threads, 1);
    assert_ok(tern_pool_open(&pool, 2));
    parts = TERN_PROBE_ALL;
    assert_ok(run_probe());
    assert_survives_out_of_memory(write_probe());
    assert_int_equal(probe.threads, 2);
    assert_true(probe.memory > 1e8);
    assert_true(figure("f32 mac", NULL, 1) > figure("clock", NULL, 1) / 4);
    assert_true(figure("f32 gemm", NULL, 1) < 1.2 * figure("f32 mac", NULL, 1));
    assert_true(figure("i8 gemm", NULL, 2) > 0);
    assert_true(figure("launch", NULL, 2) > 0 && figure("disk write", NULL, 1) > 1e5);
    assert_true(figure("latency", "DRAM", 1) > 3 * figure("latency", "L1", 1));
    assert_true(figure("capacity", "L1", 1) >= 8192 && figure("ways", "L1", 1) >= 2);
    assert_true(figure("read", "L1", 2) > figure("read", "DRAM", 1));
    assert_true(figure("copy", "DRAM", 2) > 1e8);
    assert_null(tern_probe_find(&probe, "read", "L9", 1));
    tern_probe_close(&probe);
    tern_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernel_classes), cmocka_unit_test(test_kernel_seconds),
        cmocka_unit_test(test_far_operands),   cmocka_unit_test(test_two_threads),
        cmocka_unit_test(test_levels),         cmocka_unit_test(test_line),
        cmocka_unit_test(test_link),           cmocka_unit_test(test_probe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
