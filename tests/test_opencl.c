/* The probe of OpenCL devices, where there is one: figures that must stand in proportion, and a machine file that can be read. */
#include "test.h"

#include "machine/opencl.h"

#include <string.h>

static tern_probe probe;

static tern_status run_probe(const char *device)
{
    tern_probe_close(&probe);
    return tern_opencl_probe(&probe, &(tern_opencl_options){.quick = true, .quiet = true, .device = device});
}

static double median(const char *name, const char *level)
{
    const tern_figure *f = tern_probe_find(&probe, name, level, 0);
    assert_non_null(f);
    assert_true(f->median > 0 && f->lower <= f->median && f->median <= f->upper);
    return f->median;
}

static void test_device(void **state)
{
    (void)state;
    tern_text yaml = {0};
    tern_machine *m;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* drivers are not built with the sanitizer, which then blames them */
#endif
    if (run_probe(NULL) != TERN_OK) { /* it says what to install */
        assert_non_null(strstr(tern_message(), "install"));
        tern_probe_close(&probe);
        skip();
    }
    assert_true(probe.processors >= 1 && probe.memory > 0 && probe.caches[0].bytes > 0);
    assert_true(median("f32 mac", NULL) > median("f32 gemm", NULL));
    assert_true(median("launch", NULL) < 0.1 && median("f32 mac latency", NULL) < 1e-6);
    assert_true(median("walk, 16 MiB", "global") > median("walk, 4 KiB", "global"));
    assert_true(median("latency", "local") < 1e-5 && median("read", "local") > 1e7);
    assert_true(median("read", "global") > 1e7 && median("copy", "global") > 1e7);
    assert_true(median("to the host", NULL) > 1e6);
    assert_ok(tern_opencl_write(&probe, &yaml));
    assert_ok(tern_machine_parse(&m, yaml.data, yaml.size, "opencl.yaml"));
    assert_true(m->unit_count == 1 && m->tier_count == 2);
    assert_true(m->measured_count > 0 &&
                m->measured_count <= probe.count); /* what cannot be told is left out */
    assert_true(m->tiers[1].size == probe.memory && m->launch > 0 && m->warnings[0] == 0);
    tern_machine_close(m);
    tern_text_free(&yaml);
    tern_probe_close(&probe);
    assert_int_equal(run_probe("no such device"), TERN_FAILED);
    assert_non_null(strstr(tern_message(), "\"no such device\""));
    tern_probe_close(&probe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_device)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
