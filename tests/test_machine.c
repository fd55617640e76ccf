/* machine: units of quantities, machine files good and bad, inheritance, and costs against computation by hand. */
#define _DEFAULT_SOURCE /* setenv, mkdtemp */
#include "damage.h"
#include "test.h"

#include "machine/machine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void near_to(double a, double b)
{
    if (!(fabs(a - b) <= 1e-12 * fabs(b))) fail_msg("%.15g, expected %.15g", a, b);
}

static void test_quantities(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        tern_quantity quantity;
        double value; /* 0: must fail */
        bool per_cycle;
    } cases[] = {
        {"320 KiB", TERN_IN_BYTES, 327680, false},
        {"1.5MB", TERN_IN_BYTES, 1.5e6, false},
        {"2 Ti", TERN_IN_BYTES, 0, false},
        {"2 TiB", TERN_IN_BYTES, 2199023255552.0, false},
        {"64 B", TERN_IN_BYTES, 64, false},
        {"3.35 TB/s", TERN_IN_BYTES_PER_SECOND, 3.35e12, false},
        {"1 GiB/s", TERN_IN_BYTES_PER_SECOND, 1073741824, false},
        {"216 MHz", TERN_IN_HERTZ, 216e6, false},
        {"1 MiHz", TERN_IN_HERTZ, 0, false},
        {"465 ns", TERN_IN_SECONDS, 465e-9, false},
        {"2 s", TERN_IN_SECONDS, 2, false},
        {"4.6 pJ", TERN_IN_JOULES, 4.6e-12, false},
        {"250 pJ/B", TERN_IN_JOULES_PER_BYTE, 250e-12, false},
        {"33 mW", TERN_IN_WATTS, 33e-3, false},
        {"2 mac/cycle", TERN_IN_MACS, 2, true},
        {"2 /cycle", TERN_IN_MACS, 2, true},
        {"30 Gmac/s", TERN_IN_MACS, 30e9, false},
        {"312 TFLOP/s", TERN_IN_MACS, 156e12, false},
        {"1979 TOP/s", TERN_IN_MACS, 989.5e12, false},
        {"2 add/cycle", TERN_IN_MACS, 0, false},
        {"4 add/cycle", TERN_IN_ADDS, 4, true},
        {"33.5 TFLOP/s", TERN_IN_ADDS, 33.5e12, false},
        {"2 mac/s", TERN_IN_ADDS, 0, false},
        {"8 Gop/s", TERN_IN_OPERATIONS, 8e9, false},
        {"5", TERN_IN_BYTES, 0, false},
        {"KiB", TERN_IN_BYTES, 0, false},
        {"", TERN_IN_BYTES, 0, false},
        {"5 XB", TERN_IN_BYTES, 0, false},
        {"5 MB x", TERN_IN_BYTES, 0, false},
        {"5 MHz", TERN_IN_BYTES, 0, false},
        {"0 MB", TERN_IN_BYTES, 0, false},
        {"-5 MB", TERN_IN_BYTES, 0, false},
        {"nan MB", TERN_IN_BYTES, 0, false},
        {"inf MB", TERN_IN_BYTES, 0, false},
        {"1e400 MB", TERN_IN_BYTES, 0, false},
        {"1e31 B", TERN_IN_BYTES, 0, false},
        {"0x10 MB", TERN_IN_BYTES, 0, false},
    };
    for (size_t i = 0; i < TERN_COUNT(cases); i++) {
        double value = -1;
        bool per_cycle = false;
        tern_clear();
        tern_status status = tern_parse_quantity(cases[i].text, cases[i].quantity, &value, &per_cycle);
        if ((status == TERN_OK) != (cases[i].value > 0))
            fail_msg("\"%s\": %s", cases[i].text, tern_message());
        if (status != TERN_OK) continue;
        near_to(value, cases[i].value);
        assert_true(per_cycle == cases[i].per_cycle);
    }
}

static bool admits(const char *source)
{
    return source && (strstr(source, "recalled") || strstr(source, "estimated"));
}

/* Each figure has a source in its file, and what was not looked up is marked as that. */
static void check_sources(const char *name, const tern_machine *m)
{
    char path[4096], *text;
    size_t count;
    assert_ok(tern_machine_find(path, name, NULL));
    assert_ok(tern_read_file(path, &text, &count));
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        int length = (int)strcspn(line, "\n");
        const char *remark = memchr(line, '#', (size_t)length);
        const char *said = remark ? strstr(remark, "recalled") : NULL;
        bool own = length && !strchr(" #-", line[0]); /* a figure of the machine itself */
        if (own && said && said < line + length && !m->recalled)
            fail_msg("%s: not marked as recalled: %.*s", path, length, line);
    }
    tern_release(text);
    for (int i = 0; i < m->unit_count; i++)
        if (admits(m->units[i].source) && !m->units[i].recalled)
            fail_msg("%s: unit %s", path, m->units[i].name);
    for (int i = 0; i < m->tier_count; i++)
        if (admits(m->tiers[i].source) && !m->tiers[i].recalled)
            fail_msg("%s: memory %s", path, m->tiers[i].name);
    for (int i = 0; i < m->link_count; i++)
        if (admits(m->links[i].source) && !m->links[i].recalled)
            fail_msg("%s: link %s", path, m->links[i].name);
    for (int i = 0; i < m->body_count; i++)
        if (admits(m->bodies[i].source) && !m->bodies[i].recalled)
            fail_msg("%s: body %s", path, m->bodies[i].name);
}

static void test_shipped_files(void **state)
{
    (void)state;
    static const char *const known[] = {"h100-sxm",   "loihi2",    "raspberry-pi-4",       "reference-45nm",
                                        "spinnaker2", "stm32f746", "tpu-like-systolic-128"};
    tern_text names = {0};
    tern_machine *m;
    int count = 0;
    assert_ok(tern_machine_names(&names));
    for (size_t i = 0; i < TERN_COUNT(known); i++) assert_non_null(strstr(names.data, known[i]));
    for (char *p = names.data, *end; *p; p = end + 1, count++) {
        end = strchr(p, '\n');
        *end = 0;
        assert_ok(tern_machine_open(&m, p));
        assert_string_equal(m->name, p);
        assert_true(m->about[0] && m->source);
        assert_string_equal(m->warnings, "");
        check_sources(p, m);
        tern_machine_close(m);
    }
    assert_true(count >= (int)TERN_COUNT(known));
    tern_text_free(&names);
    assert_error(tern_machine_open(&m, "h100-smx"), TERN_USAGE, "did you mean \"h100-sxm\"");
    assert_error(tern_machine_open(&m, "/nowhere/x.yaml"), TERN_FAILED, "/nowhere/x.yaml");
}

static void test_figures(void **state)
{
    (void)state;
    tern_machine *m;
    assert_ok(tern_machine_open(&m, "h100-sxm"));
    assert_true(fabs(m->units[0].rate[TERN_MAC][TERN_BF16] / 494.7e12 - 1) < 1e-3);
    assert_true(fabs(2 * m->units[0].rate[TERN_MAC][TERN_BF16] / m->tiers[1].bandwidth - 295) < 1);
    near_to(m->links[0].bandwidth, 450e9);
    tern_machine_close(m);
    assert_ok(tern_machine_open(&m, "reference-45nm"));
    near_to(m->units[0].energy[TERN_MAC][TERN_F32], 4.6e-12);
    near_to(m->units[0].energy[TERN_ADD][TERN_F32], 0.9e-12);
    tern_machine_close(m);
    assert_ok(tern_machine_open(&m, "spinnaker2"));
    near_to(m->units[0].rate[TERN_MAC][TERN_I8], 152 * 64 * 300e6);
    tern_machine_close(m);
}

#define HEAD "name: x\nsource: s\n"
#define UNIT "units:\n  - {name: u, clock: 1 GHz, mac: {f32: 2 mac/cycle}, source: s}\n"
#define TIER "memories:\n  - {name: t, size: 1 MiB, bandwidth: 1 GB/s, source: s}\n"

static tern_status parse(const char *text)
{
    tern_machine *m;
    TERN_TRY(tern_machine_parse(&m, text, strlen(text), "f.yaml"));
    tern_machine_close(m);
    return TERN_OK;
}

static void test_bad_files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "f.yaml: the file is empty"},
        {"a: [1", "f.yaml:2:1: no YAML: did not find"},
        {"- a\n", "f.yaml:1:1: machine: found a list, expected key: value pairs"},
        {UNIT TIER, "f.yaml:1:1: machine: expected a \"name\""},
        {HEAD UNIT, "\"memories\""},
        {HEAD "untis: []\n", "f.yaml:3:1: machine: unknown key \"untis\"; did you mean \"units\"?"},
        {HEAD "name: y\n", "f.yaml:3:1: machine: the key \"name\" stands there twice"},
        {HEAD "name:\n", "f.yaml:3:1: machine: the key \"name\" stands there twice"},
        {"name:\n", "name: found nothing, expected a text"},
        {"name: [a]\n", "f.yaml:1:7: name: found a list, expected a text"},
        {HEAD "idle: 5\n", "f.yaml:3:7: idle: found \"5\" without a unit, expected for example 100 mW"},
        {HEAD "idle: 5 MB\n", "f.yaml:3:7: idle: found \"5 MB\", \"MB\" is no unit for this"},
        {HEAD "launch: -1 us\n", "f.yaml:3:9: launch: found \"-1 us\", expected a number above 0"},
        {HEAD "units: 5\n", "f.yaml:3:8: units: found a text, expected a list"},
        {HEAD "units:\n  - 5\n", "f.yaml:4:5: unit: found a text, expected key: value pairs"},
        {HEAD "units:\n  - {kind: simd}\n", "f.yaml:4:5: unit: expected a \"name\""},
        {HEAD "units:\n  - {name: u}\n", "f.yaml:4:5: unit: expected a rate"},
        {HEAD "units:\n  - {name: u, mac: {f32: 2 mac/cycle}}\n",
         "f.yaml:4:5: unit: rates per cycle need a \"clock\""},
        {HEAD "units:\n  - {name: u, kind: gpu}\n", "f.yaml:4:21: kind: found \"gpu\", expected simd"},
        {HEAD "units:\n  - {name: u, mac: 5}\n", "f.yaml:4:20: mac: found a text, expected number formats"},
        {HEAD "units:\n  - {name: u, mac: {f31: 5 /s}}\n",
         "f.yaml:4:21: number format: unknown number format \"f31\""},
        {HEAD "units:\n  - {name: u, mac: {[f32]: 5 /s}}\n", "f.yaml:4:21: number format: found a list"},
        {HEAD "units:\n  - {name: u, mac: {f32: 0 /s}}\n",
         "f.yaml:4:26: f32: found \"0 /s\", expected a number above 0"},
        {HEAD "units:\n  - {name: u, mac: {f32: 1e99 /s}}\n", "f.yaml:4:26: f32: found \"1e99 /s\""},
        {HEAD "units:\n  - {name: u, mac: {f32: 2 s}}\n",
         "f.yaml:4:26: f32: found \"2 s\", \"s\" is no unit"},
        {HEAD "units:\n  - {name: u, efficiency: 1.5}\n",
         "f.yaml:4:27: efficiency: found \"1.5\", expected a share"},
        {HEAD "units:\n  - {name: u, count: 1.5}\n",
         "f.yaml:4:22: count: found \"1.5\", expected a whole number"},
        {HEAD "units:\n  - {name: u, recalled: maybe}\n",
         "f.yaml:4:25: recalled: found \"maybe\", expected true"},
        {HEAD UNIT "memories:\n  - {name: t}\n", "f.yaml:6:5: memory: expected a \"size\""},
        {HEAD UNIT "memories:\n  - {name: t, size: [1]}\n", "f.yaml:6:21: size: found a list"},
        {HEAD UNIT "memories:\n  - {name: t, sise: 1 B}\n", "did you mean \"size\"?"},
        {HEAD UNIT TIER "  - {name: t, size: 2 B, bandwidth: 1 B/s}\n",
         "f.yaml:7:5: memory: a second memory of the name"},
        {HEAD UNIT TIER "links:\n  - {name: l}\n", "f.yaml:8:5: link: expected a \"bandwidth\""},
        {HEAD UNIT TIER "---\nname: y\n", "a second document"},
        {HEAD UNIT TIER "...\n]\n", "f.yaml:8:1: no YAML"},
        {HEAD "inherits: no-such\n" UNIT TIER, "f.yaml:3:11: inherits: unknown machine \"no-such\""},
        {HEAD "about: \"a\\0b\"\n", "f.yaml:3:8: about: found a text with a zero byte"},
    };
    for (size_t i = 0; i < TERN_COUNT(cases); i++) {
        size_t held = tern_allocated();
        assert_error(parse(cases[i].text), TERN_FAILED, cases[i].message);
        assert_true(tern_allocated() == held);
    }
    tern_text many = {0};
    tern_text_put(&many, HEAD TIER "units:\n");
    for (int i = 0; i < 9; i++) tern_text_format(&many, "  - {name: u%d, mac: {f32: 1 /s}}\n", i);
    assert_error(parse(many.data), TERN_FAILED, "f.yaml:14:5: unit: expected at most 8");
    tern_text_free(&many);
}

static void test_warnings(void **state)
{
    (void)state;
    static const char text[] = "name: x\nidle: 1 W\nunits:\n  - {name: u, mac: {f32: 1 /s}}\n" TIER;
    tern_machine *m;
    assert_ok(tern_machine_parse(&m, text, strlen(text), "f.yaml"));
    assert_string_equal(m->warnings, "f.yaml:4:5: unit u: its figures have no source\n"
                                     "f.yaml:1:1: machine x: its figures have no source\n");
    tern_machine_close(m);
}

static char folder[] = "/tmp/tern-machine-XXXXXX";

static const char *file_in_folder(const char *name, const char *text)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(tern_write_file(path, text, strlen(text)));
    return path;
}

static void test_inheritance(void **state)
{
    (void)state;
    tern_machine *m;
    file_in_folder("base.yaml", "name: base\nabout: a base\nsource: s\nidle: 1 W\n" UNIT TIER);
    const char *heir = file_in_folder(
        "heir.yaml",
        "name: heir\ninherits: base\nunits:\n  - {name: u, clock: 3 GHz, count: 2}\n"
        "  - {name: v, mac: {i8: 5 /s}, source: s}\nmemories:\n  - {name: t, size: 2 MiB, recalled: true}\n");
    assert_ok(tern_machine_open(&m, heir));
    assert_string_equal(m->name, "heir");
    assert_string_equal(m->about, "a base");
    assert_string_equal(m->units[0].source, "s");
    assert_true(strstr(m->warnings, "heir.yaml:4:5: unit u: its figures have no source\n") &&
                !strchr(strchr(m->warnings, '\n') + 1, '\n')); /* what is inherited speaks of other figures */
    assert_int_equal(m->unit_count, 2);
    assert_int_equal(m->tier_count, 1);
    near_to(m->units[0].rate[TERN_MAC][TERN_F32], 12e9);
    near_to(m->units[1].rate[TERN_MAC][TERN_I8], 5);
    near_to(m->tiers[0].size, 2097152);
    near_to(m->tiers[0].bandwidth, 1e9);
    near_to(m->idle, 1);
    tern_machine_close(m);
    assert_error(tern_machine_open(&m, file_in_folder("self.yaml", "name: a\ninherits: self\n")), TERN_FAILED,
                 "self.yaml:2:11: inherits: ");
    file_in_folder("b.yaml", "name: b\ninherits: a\n");
    assert_error(tern_machine_open(&m, file_in_folder("a.yaml", "name: a\ninherits: b.yaml\n")), TERN_FAILED,
                 "inherits from itself");
    file_in_folder("bad.yaml", HEAD "idle: 5\n");
    assert_error(tern_machine_open(&m, file_in_folder("c.yaml", "name: c\ninherits: bad\n")), TERN_FAILED,
                 "bad.yaml:3:7: idle");
    assert_error(tern_machine_open(&m, file_in_folder("d.yaml", "inherits: base\n")), TERN_FAILED,
                 "expected a \"name\"");
    setenv("TERN_MACHINES", folder, 1);
    assert_ok(tern_machine_open(&m, "heir"));
    tern_machine_close(m);
    unsetenv("TERN_MACHINES");
}

static tern_status open_heir(void)
{
    char path[256];
    tern_machine *m;
    tern_text names = {0};
    snprintf(path, sizeof path, "%s/heir.yaml", folder);
    TERN_TRY(tern_machine_open(&m, path));
    tern_machine_close(m);
    tern_status status = tern_machine_names(&names);
    tern_text_free(&names);
    return status;
}

static tern_status read_bytes(const void *bytes, size_t count)
{
    tern_machine *m;
    TERN_TRY(tern_machine_parse(&m, bytes, count, "f.yaml"));
    tern_machine_close(m);
    return TERN_OK;
}

static void test_damage(void **state)
{
    (void)state;
    assert_survives_out_of_memory(open_heir());
    static const char text[] = HEAD UNIT TIER;
    assert_int_equal(damage_attempt(read_bytes, text, strlen(text)), true);
    damage_cut(read_bytes, text, strlen(text));
    assert_true(damage_flip(read_bytes, text, strlen(text), 2000) < 1500);
}

/* ---- costs by hand ------------------------------------------------------------------------------------------- */

/* 2 Gmac/s and 1 Gadd/s at half efficiency; 1 kB near at 1 GB/s, 10 kB far and persistent at 0.5 GB/s. */
static const char machine_text[] =
    "name: hand\nsource: s\nidle: 1 mW\nlaunch: 1 us\nunits:\n"
    "  - {name: core, kind: simd, mac: {f32: 2 Gmac/s}, add: {f32: 1 Gadd/s}, special: {f32: 0.1 Gop/s},\n"
    "     mac_energy: {f32: 5 pJ}, add_energy: {f32: 1 pJ}, special_energy: {f32: 20 pJ}, efficiency: 0.5, "
    "source: s}\n"
    "memories:\n"
    "  - {name: near, size: 1 kB, bandwidth: 1 GB/s, read: 2 pJ/B, write: 3 pJ/B, leakage: 1 mW, source: s}\n"
    "  - {name: far, size: 10 kB, bandwidth: 0.5 GB/s, read: 10 pJ/B, persistent: true, source: s}\n";

static void test_cost(void **state)
{
    (void)state;
    tern_machine *m;
    tern_cost c;
    tern_task_cost each[3];
    assert_ok(tern_machine_parse(&m, machine_text, strlen(machine_text), "hand"));
    const tern_task_work tasks[3] = {
        {.label = "fc",
         .work = {.macs = 1e6, .elementwise = 1e3},
         .dtype = TERN_F32,
         .weight_bytes = 8000,
         .read_bytes = 400,
         .written_bytes = 200},
        {.label = "lif",
         .work = {.accumulates = 500, .specials = 10},
         .dtype = TERN_F32,
         .state_bytes = 300,
         .read_bytes = 2000,
         .weight_bytes = 1500},
        {.label = "view", .dtype = TERN_F32},
    };
    const tern_cost_query q = {
        .tasks = tasks, .count = 3, .weights = 9500, .state = 300, .arena = 500, .inputs = 200};
    tern_machine_cost(m, &q, &c, each);
    assert_true(c.fits);
    assert_string_equal(c.reason, "");
    assert_string_equal(c.activations_in, "near");
    assert_string_equal(c.weights_in, "far");
    /* fc: 1e6 MAC at 1e9/s + 1e3 at 0.5e9/s; far memory 8000 B at 0.5e9 is shorter. */
    near_to(each[0].compute_seconds, 1e-3 + 2e-6);
    near_to(each[0].memory_seconds, 16e-6);
    near_to(each[0].seconds, 1e-3 + 2e-6 + 1e-6);
    near_to(each[0].joules,
            1e6 * 5e-12 + 1e3 * 1e-12 + 400 * 2e-12 + 200 * 3e-12 + 8000 * 10e-12 + 2e-3 * each[0].seconds);
    assert_string_equal(each[0].bound, "compute");
    /* lif: 500 adds at 0.5e9 + 10 specials at 0.05e9 = 1.2 us; 3000 B at 0.5 GB/s would be 3 us for far, near 2.3 us. */
    near_to(each[1].compute_seconds, 1e-6 + 0.2e-6);
    near_to(each[1].memory_seconds, 3e-6);
    assert_string_equal(each[1].bound, "far");
    near_to(each[1].joules,
            500 * 1e-12 + 10 * 20e-12 + (2000 + 150) * 2e-12 + 150 * 3e-12 + 1500 * 10e-12 + 2e-3 * 4e-6);
    assert_true(each[2].seconds == 0);
    near_to(c.seconds, each[0].seconds + each[1].seconds);
    near_to(c.joules, each[0].joules + each[1].joules);
    near_to(c.idle_joules, 2e-3 * c.seconds);
    near_to(c.paper_joules, 4.6e-12 * 1e6 + 0.9e-12 * 500);
    near_to(c.peak_bytes, 10500);
    assert_string_equal(c.bound, "compute");
    tern_machine_close(m);
}

static void test_misfits(void **state)
{
    (void)state;
    tern_machine *m;
    tern_cost c;
    assert_ok(tern_machine_parse(&m, machine_text, strlen(machine_text), "hand"));
    tern_task_work tasks[2] = {
        {.label = "fc1", .work = {.macs = 10}, .dtype = TERN_F32, .weight_bytes = 9000},
        {.label = "fc2", .work = {.macs = 10}, .dtype = TERN_F32, .weight_bytes = 2500},
    };
    tern_cost_query q = {.tasks = tasks, .count = 2, .weights = 11500, .arena = 1000};
    tern_machine_cost(m, &q, &c, NULL);
    assert_false(c.fits);
    assert_string_equal(c.reason, "weights need 11.5 kB, 1.50 kB more than memory far has free; the most "
                                  "take fc1 9.00 kB, fc2 2.50 kB");
    q = (tern_cost_query){.tasks = tasks, .count = 2, .weights = 100, .arena = 1000, .state = 24};
    tern_machine_cost(m, &q, &c, NULL);
    assert_false(c.fits);
    assert_string_equal(c.reason, "activations need 1.02 kB, 24 B more than memory near has free; arena 1.00 "
                                  "kB, state 24 B, input 0 B");
    /* A format that is not there is named with its stand-in; the figures are those of the stand-in. */
    q = (tern_cost_query){.tasks = tasks, .count = 2, .weights = 100, .arena = 10};
    tasks[0].dtype = TERN_I8;
    tern_machine_cost(m, &q, &c, NULL);
    assert_true(c.fits);
    assert_string_equal(c.reason, "runs as f32: no unit has i8");
    tern_machine_close(m);
    /* Halves are not made integers where a unit has floats, however fast its integers are. */
    static const char fast_bytes[] = "name: e\nsource: s\nunits:\n  - {name: a, kind: simd, mac: {f32: 1 "
                                     "Gmac/s, i8: 9 Gmac/s}, source: s}\n"
                                     "  - {name: b, kind: matrix, mac: {i8: 99 Gmac/s}, source: s}\n" TIER;
    assert_ok(tern_machine_parse(&m, fast_bytes, strlen(fast_bytes), "e"));
    tasks[0].dtype = tasks[1].dtype = TERN_BF16;
    tern_machine_cost(m, &q, &c, NULL);
    assert_true(c.fits);
    assert_string_equal(c.reason, "runs as f32: no unit has bf16");
    tasks[0].dtype = tasks[1].dtype = TERN_F32;
    tern_machine_close(m);
    static const char events[] =
        "name: e\nsource: s\nunits:\n  - {name: c, kind: event, add: {f32: 1 Gadd/s}, source: s}\n" TIER;
    assert_ok(tern_machine_parse(&m, events, strlen(events), "e"));
    tern_machine_cost(m, &q, &c, NULL);
    assert_false(c.fits);
    assert_non_null(
        strstr(c.reason, "no unit does multiply-accumulates: fc1 needs 10; encode its input as spikes"));
    tern_machine_close(m);
    /* A matrix unit neither skips silent rows nor works on elements. */
    static const char matrix[] =
        "name: e\nsource: s\nunits:\n  - {name: c, kind: matrix, mac: {f32: 1 Gmac/s}, source: s}\n" TIER;
    assert_ok(tern_machine_parse(&m, matrix, strlen(matrix), "e"));
    tasks[0].work = (tern_work){.accumulates = 7};
    tern_machine_cost(m, &q, &c, NULL);
    assert_false(c.fits);
    assert_non_null(strstr(c.reason, "no unit does accumulates: fc1 needs 7"));
    tern_machine_close(m);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"base", "heir", "self", "a", "b", "c", "d", "bad"};
    char path[256];
    for (size_t i = 0; i < TERN_COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s.yaml", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    setenv("TERN_MACHINES", TERN_TESTS "/../machines", 0);
    setenv("XDG_DATA_HOME", "/nonexistent", 1); /* this computer's own file is not under test */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantities), cmocka_unit_test(test_shipped_files),
        cmocka_unit_test(test_figures),    cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_warnings),   cmocka_unit_test(test_inheritance),
        cmocka_unit_test(test_damage),     cmocka_unit_test(test_cost),
        cmocka_unit_test(test_misfits),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
