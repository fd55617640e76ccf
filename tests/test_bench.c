/* What a bench of language models is made of: energy between moments, sensors, heat and clocks, quantiles, logs of llama.cpp, mixes of
 * formats, runs of a small model. */
#define _DEFAULT_SOURCE
#include "test.h"

#include "llm/bench.h"
#include "llm/convert.h"
#include "llm/ggml_log.h"
#include "llm/sustain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHAT TERN_TESTS "/golden/decoder/chat.gguf"

/* ---- energy --------------------------------------------------------------------------------------------------------- */

static void test_energy(void **state)
{
    (void)state;
    const tern_power_sample s[] = {{0, 2, 0}, {1, 2, 0}, {3, 6, 0}, {4, 6, 0}, {5, -1, 0}};
    double joules;
    assert_true(tern_power_energy(s, 5, 0, 1, &joules) && joules == 2);
    assert_true(tern_power_energy(s, 5, 0, 4, &joules) && joules == 2 + 8 + 6);
    assert_true(tern_power_energy(s, 5, 1.5, 2.5, &joules) &&
                joules == 4); /* between samples it is straight */
    assert_true(tern_power_energy(s, 5, 2, 2, &joules) && joules == 0);
    assert_false(tern_power_energy(s, 5, 3.5, 4.5, &joules)); /* not known there */
    assert_false(tern_power_energy(s, 5, -1, 1, &joules));
    assert_false(tern_power_energy(s, 5, 3, 6, &joules));
    assert_false(tern_power_energy(s, 1, 0, 0, &joules));
}

static void put(const char *root, const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "%s/%s", root, path);
    char *slash = strrchr(full, '/');
    *slash = 0;
    assert_ok(tern_make_folder(full));
    *slash = '/';
    assert_ok(tern_write_file(full, text, strlen(text)));
}

static const char *source_of(const char *root, double *watts)
{
    tern_watch *watch;
    int count;
    assert_ok(tern_watch_open(&watch, root, 1000));
    const char *source = tern_watch_source(watch);
    tern_watch_mark(watch); /* whether or not the thread has begun */
    usleep(20000);
    tern_watch_mark(watch);
    const tern_power_sample *s = tern_watch_stop(watch, &count);
    assert_true(count >= 2 && s[count - 1].resident > 1e5 && s[count - 1].seconds > s[0].seconds);
    *watts = s[count - 1].watts;
    tern_watch_close(watch);
    return source;
}

static void test_sensors(void **state)
{
    (void)state;
    char root[] = "/tmp/tern-power-XXXXXX", command[128];
    double watts;
    assert_non_null(mkdtemp(root));
    assert_null(source_of(root, &watts));
    assert_true(watts < 0);
    put(root, "sys/class/power_supply/BAT0/status", "Charging\n");
    put(root, "sys/class/power_supply/BAT0/current_now", "500000\n");
    put(root, "sys/class/power_supply/BAT0/voltage_now", "4000000\n");
    assert_null(source_of(root, &watts)); /* on the mains a battery says nothing */
    put(root, "sys/class/power_supply/BAT0/status", "Discharging\n");
    assert_string_equal(source_of(root, &watts), "battery");
    assert_true(fabs(watts - 2) < 1e-9);
    put(root, "sys/class/hwmon/hwmon3/power1_input", "7250000\n");
    assert_string_equal(source_of(root, &watts), "hwmon");
    assert_true(fabs(watts - 7.25) < 1e-9);
    put(root, "sys/class/powercap/intel-rapl:0/name", "package-0\n");
    put(root, "sys/class/powercap/intel-rapl:0/energy_uj", "123\n");
    put(root, "sys/class/powercap/intel-rapl:0:0/name", "core\n"); /* is part of the package */
    put(root, "sys/class/powercap/intel-rapl:0:0/energy_uj", "55\n");
    assert_string_equal(source_of(root, &watts), "powercap");
    assert_true(watts == 0); /* a counter that stands still */
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
}

/* ---- heat ------------------------------------------------------------------------------------------------------------ */

#define UNITS                                                                                                \
    "units:\n  - {name: c, kind: simd, mac: {f32: 1 Gmac/s, i8: 1 Gmac/s}, mac_energy: {f32: 1 nJ, i8: 1 "   \
    "nJ}, source: s}\n"
#define MEMORY "memories:\n  - {name: t, size: 1 GB, bandwidth: 1 GB/s, source: s}\n"

static tern_machine *machine(const char *rest)
{
    char text[2048];
    tern_machine *m;
    snprintf(text, sizeof text, "name: warm\nsource: s\n" UNITS MEMORY "%s", rest);
    assert_ok(tern_machine_parse(&m, text, strlen(text), "warm"));
    return m;
}

/* One body: T = air + P R (1 - e^(-t/RC)); the clock falls above the trip, rises below it, and never below the least. */
static void test_heat(void **state)
{
    (void)state;
    tern_heat h;
    tern_machine *m = machine("bodies:\n  - {name: chip, capacity: 10 J/K, resistance: 4 K/W, source: s}\n"
                              "air: 20 C\ntrip: 100 C\nhysteresis: 5 K\nclock_step: 0.1\nleast_clock: 0.3\n");
    assert_ok(tern_heat_begin(m, &h));
    assert_true(tern_heat_work(m, &h, 25, 5) == 25);
    double expected = 20 + 5 * 4 * (1 - exp(-25 / 40.0));
    assert_true(fabs(h.degrees[0] - expected) < 0.03 * (expected - 20));
    assert_true(fabs(h.joules - 125) < 1e-6);
    assert_true(tern_heat_work(m, &h, 2000, 5) == 2000 && fabs(h.degrees[0] - 40) < 0.1 && h.clock == 1);
    double took = tern_heat_work(m, &h, 1000, 200); /* would be 820 degrees */
    assert_true(took > 1400 && h.clock < 0.6 && h.clock >= 0.3 && h.degrees[0] < 130);
    tern_heat_rest(m, &h, 1000);
    assert_true(h.clock == 1 && fabs(h.degrees[0] - 20) < 0.1);
    tern_machine_close(m);
    m = machine("");
    assert_error(tern_heat_begin(m, &h), TERN_USAGE, "no \"bodies\"");
    tern_machine_close(m);
}

/* Two bodies settle at what their resistances say. */
static void test_ladder(void **state)
{
    (void)state;
    tern_heat h;
    tern_machine *m = machine("bodies:\n  - {name: chip, capacity: 5 J/K, resistance: 3 K/W, source: s}\n"
                              "  - {name: case, capacity: 50 J/K, resistance: 7 K/W, source: s}\n"
                              "air: 25 C\ntrip: 500 C\n");
    assert_ok(tern_heat_begin(m, &h));
    tern_heat_work(m, &h, 10000, 4);
    assert_true(fabs(h.degrees[0] - 65) < 0.2 && fabs(h.degrees[1] - 53) < 0.2);
    tern_machine_close(m);
    assert_error(tern_machine_parse(
                     &m, "name: x\n" UNITS MEMORY "bodies:\n  - {name: chip, capacity: 5 J/K}\n",
                     strlen("name: x\n" UNITS MEMORY "bodies:\n  - {name: chip, capacity: 5 J/K}\n"), "x"),
                 TERN_FAILED, "\"resistance\"");
}

/* ---- logs ------------------------------------------------------------------------------------------------------------- */

static const char log_text[] = "Log start\n"
                               "llama_model_loader: loaded meta data with 19 key-value pairs and 2 tensors "
                               "from m.gguf (version GGUF V2)\n"
                               "llama_model_loader: - tensor    0:                token_embd.weight q4_0     "
                               "[  4096, 32000,     1,     1 ]\n"
                               "llama_model_loader: - tensor    1:           blk.0.attn_norm.weight f32      "
                               "[  4096,     1,     1,     1 ]\n"
                               " - 12: a line of the prompt\n"
                               "n_nodes = 2\n"
                               " -   0: [  4096,     2,     1]         GET_ROWS   (  1) cpu =   0.129 /   "
                               "0.129 ms, wall =   0.037 /   0.037 ms\n"
                               " -   1: [  4096,     2,     1]          MUL_MAT   (  1) cpu =  18.562 /  "
                               "18.562 ms, wall =   5.255 /   5.255 ms\n"
                               "n_leafs = 1\n"
                               " - 254: [ 11008,  4096]     NONE blk.27.ffn_down.weight\n"
                               "perf_total_per_op_us[         MUL_MAT] = 204.334 ms\n"
                               "perf_total_per_op_us[        GET_ROWS] =   0.045 ms\n"
                               "========================================\n"
                               "perf_total_per_op_us[         MUL_MAT] =   1.5 ms\n";

static void test_log(void **state)
{
    (void)state;
    tern_ggml_log log;
    assert_ok(tern_ggml_log_parse(&log, log_text, strlen(log_text), "log"));
    assert_int_equal(log.tensors, 2);
    assert_true(log.elements == 4096.0 * 32001);
    assert_int_equal(log.graphs, 1);
    assert_int_equal(log.nodes, 2);
    assert_int_equal(log.totals, 3);
    assert_int_equal(log.operator_count, 2);
    assert_string_equal(log.operators[1].name, "MUL_MAT");
    assert_true(fabs(log.operators[1].total - 205.834) < 1e-9 && log.operators[1].evaluations == 2);
    assert_true(log.operators[1].processor == 18.562 && log.operators[1].wall == 5.255);
    static const struct {
        const char *from, *to, *error;
    } damages[] = {{"] = 204.334 ms", "] = ms", "line 11"},
                   {"GET_ROWS   (  1) cpu", "GET_ROWS   (  1) gpu", "line 7"},
                   {"n_nodes = 2", "n_nodes = x", "line 6"},
                   {"n_nodes = 2", "n_nodes = 3", "line 9"},
                   {"and 2 tensors", "and 3 tensors", "3 tensors are told and 2 listed"},
                   {"tensor    1:", "tensor    7:", "line 4"},
                   {"q4_0     [  4096,", "q4_0     (  4096,", "line 3"}};
    for (size_t i = 0; i < TERN_COUNT(damages); i++) {
        tern_text t = {0};
        const char *at = strstr(log_text, damages[i].from);
        assert_non_null(at);
        tern_text_add(&t, log_text, (size_t)(at - log_text));
        tern_text_put(&t, damages[i].to);
        tern_text_put(&t, at + strlen(damages[i].from));
        assert_error(tern_ggml_log_parse(&log, t.data, t.size, "log"), TERN_FAILED, damages[i].error);
        tern_text_free(&t);
    }
    size_t cut = (size_t)(strstr(log_text, " -   1:") - log_text);
    assert_error(tern_ggml_log_parse(&log, log_text, cut, "log"), TERN_FAILED, "1 nodes before");
    assert_error(tern_ggml_log_parse(&log, "hello\n", 6, "log"), TERN_FAILED, "no tensor, node or total");
}

/* ---- formats ---------------------------------------------------------------------------------------------------------- */

/* Sizes of published files of Llama 2 7B, in GB. */
static void test_mixtures(void **state)
{
    (void)state;
    static const struct {
        const char *format, *head;
        double bytes;
    } known[] = {{"q3_K_M", NULL, 3.30e9},
                 {"q4_K_M", NULL, 4.08e9},
                 {"q4_0", "q6_K", 3.83e9},
                 {"f16", NULL, 13.5e9},
                 {"q5_K_M", NULL, 4.78e9}};
    void *parameters;
    tern_transformer t;
    tern_weights shapes;
    const tern_net *net = tern_net_find("llama2-7b");
    assert_ok(tern_net_parameters(net, &parameters));
    assert_ok(tern_transformer_of(&t, &shapes, net, parameters));
    tern_dtype *to = tern_take_array((size_t)shapes.count, sizeof *to);
    for (size_t k = 0; k < TERN_COUNT(known); k++) {
        tern_model_format f = {0};
        double bytes = 0;
        assert_ok(tern_model_format_find(known[k].format, &f));
        if (known[k].head) assert_ok(tern_model_format_head(known[k].head, &f));
        tern_model_formats(&shapes, &f, to);
        for (int i = 0; i < shapes.count; i++)
            bytes += (double)tern_bytes_of(to[i], tern_elements(&shapes.tensors[i].shape));
        assert_true(fabs(bytes / known[k].bytes - 1) < 0.01);
    }
    tern_release(to);
    tern_weights_close(&shapes);
    tern_net_free(parameters);
    assert_error(tern_model_format_head("q9_K", &(tern_model_format){0}), TERN_USAGE, "q9_K");
}

/* ---- runs ------------------------------------------------------------------------------------------------------------- */

static void test_quantiles(void **state)
{
    (void)state;
    double values[100], one[] = {3};
    for (int i = 0; i < 100; i++) values[i] = (i * 37 % 100) + 1;
    tern_quantiles q = tern_quantiles_of(values, 100);
    assert_true(q.p50 == 50 && q.p95 == 95 && q.p99 == 99 && fabs(q.mean - 50.5) < 1e-9);
    q = tern_quantiles_of(one, 1);
    assert_true(q.p50 == 3 && q.p99 == 3 && q.mean == 3);
    assert_int_equal(tern_quantiles_of(NULL, 0).count, 0);
}

static void check_events(const tern_bench *b)
{
    for (int i = 0; i < b->event_count; i++) {
        const tern_bench_event *e = &b->events[i];
        assert_true(e->to >= e->from && e->resident > 0 && e->joules < 0);
        if (i) assert_true(e->from >= b->events[i - 1].to);
    }
}

static void test_tokens(void **state)
{
    (void)state;
    tern_bench b = {0};
    tern_bench_options o = {.prompt = 20, .generate = 5, .turns = 3, .cold = true, .root = "/nowhere"};
    assert_ok(tern_bench_tokens(&b, CHAT, &o));
    assert_int_equal(b.turns, 3);
    assert_int_equal(b.event_count, 7);
    assert_int_equal(b.between_count, 15);
    check_events(&b);
    assert_true(tern_bench_sum(&b, TERN_BENCH_PROMPT).tokens == 60);
    assert_true(tern_bench_sum(&b, TERN_BENCH_REPLY).tokens == 15);
    assert_true(b.cold_seconds > 0 && b.warm_seconds > 0 && b.peak > 0 && !b.sensor && b.idle_watts < 0);
    tern_bench_free(&b);
    o.generate = 100000;
    assert_error(tern_bench_tokens(&b, CHAT, &o), TERN_NO_FIT, "exceed the context");
    tern_bench_free(&b);
    o.generate = 0;
    assert_error(tern_bench_tokens(&b, CHAT, &o), TERN_USAGE, "at least 1");
}

static void test_talks(void **state)
{
    (void)state;
    tern_bench b = {0};
    char *one[] = {(char *)"Hello", (char *)"What is it?", (char *)"And now something longer than that."},
         *two[] = {(char *)"Bye"};
    const tern_bench_talk talks[] = {{one, 3}, {two, 1}};
    tern_bench_options o = {.generate = 6, .root = "/nowhere"};
    assert_ok(tern_bench_talks(&b, CHAT, talks, 2, &o));
    assert_int_equal(b.turns, 4);
    assert_int_equal(b.event_count, 9);
    check_events(&b);
    /* The cache knows what was said before: later turns compute less than they show. */
    tern_bench_total first = tern_bench_sum(&b, TERN_BENCH_PROMPT);
    assert_true(first.tokens > 4 && first.seconds > 0);
    tern_bench_free(&b);
    assert_error(tern_bench_talks(&b, TERN_TESTS "/golden/decoder/llama.gguf", talks, 1, &o), TERN_FAILED,
                 "no_vocab");
    tern_bench_free(&b);
}

static void test_sustain(void **state)
{
    (void)state;
    tern_llm_account *a;
    tern_sustained s;
    tern_machine *m =
        machine("bodies:\n  - {name: chip, capacity: 0.001 J/K, resistance: 10 K/W, source: s}\n"
                "air: 25 C\ntrip: 60 C\nhysteresis: 5 K\nclock_step: 0.1\nleast_clock: 0.3\n");
    assert_ok(tern_llm_account_open(&a, CHAT, NULL, &(tern_llm_options){.context = 64}));
    assert_ok(tern_sustain(&s, a, m, 16, 16, 8, 1));
    assert_true(s.count == 8 && s.watts == 1 && s.last == s.first); /* 35 degrees */
    double cool = s.first;
    tern_sustained_free(&s);
    assert_ok(tern_sustain(&s, a, m, 16, 16, 40000, 30));
    assert_true(s.first <= cool && s.last < 0.7 * cool && s.turns[39999].clock < 0.7);
    tern_sustained_free(&s);
    assert_ok(tern_sustain(&s, a, m, 16, 16, 4, 0));
    assert_true(s.watts > 0);
    tern_sustained_free(&s);
    assert_error(tern_sustain(&s, a, m, 60, 16, 4, 0), TERN_NO_FIT, "context of 64");
    tern_llm_account_close(a);
    tern_machine_close(m);
}

static tern_status bench_once(void)
{
    tern_bench b = {0};
    tern_bench_options o = {.prompt = 3, .generate = 2, .turns = 1, .root = "/nowhere"};
    tern_status status = tern_bench_tokens(&b, CHAT, &o);
    tern_bench_free(&b);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    for (long n = 1; n < 600; n += 7) { /* which one the watching thread takes is not known */
        size_t held = tern_allocated();
        tern_fail_allocation(n);
        tern_status status = bench_once();
        tern_fail_allocation(0);
        assert_true(status == TERN_OK || status == TERN_NO_MEMORY);
        assert_int_equal(tern_allocated(), held);
        tern_clear();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_energy),        cmocka_unit_test(test_sensors),
        cmocka_unit_test(test_heat),          cmocka_unit_test(test_ladder),
        cmocka_unit_test(test_log),           cmocka_unit_test(test_mixtures),
        cmocka_unit_test(test_quantiles),     cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_talks),         cmocka_unit_test(test_sustain),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
