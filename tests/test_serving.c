/* Serving by shapes: GenZ's own figures in its way of counting, work and weights against the planner's account, what several
 * devices do against what one does, exchanges by hand, and what can't be. */
#include "test.h"

#include "llm/serving.h"
#include "op/op.h"
#include "plan/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct decoder {
    void *parameters;
    tern_weights shapes;
    tern_transformer about;
} decoder;

/* In place: `about` points to its shapes. */
static void open_decoder(decoder *d, const char *name, bool small)
{
    static const struct {
        const char *name;
        double value;
    } numbers[] = {{"layers", 3}, {"width", 64},  {"heads", 8},
                   {"groups", 4}, {"hidden", 96}, {"vocabulary", 128}};
    const tern_net *net = tern_net_find(name);
    assert_non_null(net);
    assert_ok(tern_net_parameters(net, &d->parameters));
    for (size_t i = 0; small && i < TERN_COUNT(numbers); i++)
        assert_ok(tern_net_set(net, d->parameters, numbers[i].name, numbers[i].value));
    assert_ok(tern_transformer_of(&d->about, &d->shapes, net, d->parameters));
}

static void close_decoder(decoder *d)
{
    tern_weights_close(&d->shapes);
    tern_net_free(d->parameters);
}

static const tern_serving_plan plain = {
    .batch = 1, .in = 16, .out = 4, .beams = 1, .tensor = 1, .experts = 1, .pipeline = 1};

static const tern_serving_format *format_of(const char *name)
{
    const tern_serving_format *f = tern_serving_formats;
    while (f->name && strcmp(f->name, name) != 0) f++;
    assert_non_null(f->name);
    return f;
}

static char *golden(const char *name)
{
    char path[512], *text;
    size_t size;
    snprintf(path, sizeof path, TERN_TESTS "/golden/serving/%s", name);
    assert_ok(tern_read_file(path, &text, &size));
    return text;
}

static void near_to(const char *what, double got, double want)
{
    if (!(fabs(got - want) <= 1e-9 * want)) fail_msg("%s: %.12g, expected %.12g", what, got, want);
}

/* ---- GenZ's figures -------------------------------------------------------------------------------------------------- */

static void compare_phases(const char *line)
{
    tern_serving_plan p = plain;
    char net[32], machine[32], format[16];
    double figures[4];
    int offload, batch, pipeline;
    assert_int_equal(sscanf(line, "%31[^,],%31[^,],%d,%d,%d,%d,%15[^,],%d,%d,%d,%d,%lf,%lf,%lf,%lf", net,
                            machine, &batch, &p.in, &p.out, &p.beams, format, &p.tensor, &pipeline,
                            &p.experts, &offload, &figures[0], &figures[1], &figures[2], &figures[3]),
                     15);
    p.batch = batch;
    p.pipeline = pipeline;
    p.genz = true;
    p.format = format_of(format);
    decoder d;
    open_decoder(&d, net, false);
    tern_machine *m;
    tern_serving s;
    tern_serving_result r;
    assert_ok(tern_machine_open(&m, machine));
    assert_ok(tern_serving_open(&s, &d.about, &p));
    s.way.offload = offload;
    tern_serving_ask(&s, m, &r);
    assert_true(r.fits);
    assert_int_equal(r.offloaded, offload);
    near_to(line, 1e3 * r.first, figures[0]);
    near_to(line, r.prompt_rate / p.in, figures[1]);
    near_to(line, 1e3 * r.token, figures[2]);
    near_to(line, r.answer_rate, figures[3]);
    tern_serving_close(&s);
    tern_machine_close(m);
    close_decoder(&d);
}

static void compare_chunk(const char *line)
{
    tern_serving_plan p = plain;
    char net[32], machine[32];
    int past, tokens, answers, seen;
    double figure;
    assert_int_equal(sscanf(line, "%31[^,],%31[^,],%d,%d,%d,%d,%d,%lf", net, machine, &p.tensor, &past,
                            &tokens, &answers, &seen, &figure),
                     8);
    p.genz = true;
    p.batch = answers + 1;
    p.in = answers ? seen - 1 : past + tokens;
    p.out = 1;
    p.chunk = tokens;
    p.format = format_of("bf16");
    decoder d;
    open_decoder(&d, net, false);
    tern_machine *m;
    tern_serving_run run;
    tern_serving_cost c;
    tern_serving_way way = tern_serving_way_of(&p);
    assert_ok(tern_machine_open(&m, machine));
    assert_ok(tern_serving_chunk(&run, &d.about, &p, past, tokens));
    tern_machine_serve(m, &run, &way, &c, NULL);
    near_to(line, 1e3 * c.seconds, figure);
    tern_serving_free(&run);
    tern_machine_close(m);
    close_decoder(&d);
}

static void each_line(const char *file, void (*check)(const char *), int expected)
{
    char *text = golden(file), *line = strchr(text, '\n') + 1;
    int count = 0;
    for (char *end; (end = strchr(line, '\n')); line = end + 1, count++) {
        *end = 0;
        check(line);
    }
    assert_int_equal(count, expected);
    tern_release(text);
}

static void test_genz(void **state)
{
    (void)state;
    each_line("genz.csv", compare_phases, 17);
    each_line("chunks.csv", compare_chunk, 4);
}

/* ---- the same work as other accounts --------------------------------------------------------------------------------- */

static double macs_of(const tern_serving_run *run)
{
    double macs = 0;
    for (int i = 0; i < run->count; i++) macs += run->tasks[i].macs * run->tasks[i].count;
    return macs;
}

static double fixed_of(const tern_serving_run *run, const char *without)
{
    double bytes = 0;
    for (int i = 0; i < run->count; i++)
        if (strcmp(run->tasks[i].label, without) != 0) bytes += run->tasks[i].fixed * run->tasks[i].count;
    return bytes;
}

/* The planner's account of one prompt: work, weights and caches that products and attention read. */
static void account(const tern_transformer *t, int tokens, double *macs, double *weights, double *caches)
{
    tern_graph *g;
    tern_program *program;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){0}));
    tern_feed feed = {.tokens = tern_input(g, "tokens", TERN_I32, TERN_SHAPE(tokens)),
                      .positions = tern_input(g, "positions", TERN_I32, TERN_SHAPE(tokens)),
                      .wanted = tern_input(g, "wanted", TERN_I32, TERN_SHAPE(1)),
                      .rows = tokens,
                      .cache = TERN_BF16};
    tern_output(g, "logits", t->architecture->build(g, t, &feed));
    assert_ok(tern_plan(&program, g, &(tern_plan_options){.reference = true}));
    tern_step_work *steps = tern_take_array((size_t)program->step_count, sizeof *steps);
    assert_ok(tern_program_work(program, 0, steps));
    *macs = *weights = *caches = 0;
    for (int i = 0; i < program->step_count; i++) {
        const tern_op *op = steps[i].node->op;
        *macs += steps[i].work.macs;
        if (op->product || op == &tern_op_embedding || op == &tern_op_linear_experts)
            *weights += steps[i].traffic.weights;
        if (op == &tern_op_attend) *caches += steps[i].traffic.state;
    }
    tern_release(steps);
    tern_program_close(program);
    tern_graph_close(g);
}

static void test_account(void **state)
{
    (void)state;
    static const char *const nets[] = {"llama2-7b", "llama3-8b", "mixtral-8x7b", "gpt2"};
    for (size_t i = 0; i < TERN_COUNT(nets); i++) {
        decoder d;
        open_decoder(&d, nets[i], true);
        tern_serving_run run;
        double macs, weights, caches;
        account(&d.about, plain.in, &macs, &weights, &caches);
        tern_serving_plan p = plain;
        p.elements = true; /* turning queries and keys multiplies too */
        assert_ok(tern_serving_prefill(&run, &d.about, &p));
        near_to(nets[i], macs_of(&run), macs);
        tern_serving_free(&run);
        assert_ok(tern_serving_prefill(&run, &d.about, &plain));
        bool biased = strcmp(nets[i], "gpt2") == 0; /* biases are cast to f32 first, in steps of their own */
        if (!biased) near_to(nets[i], fixed_of(&run, "attend"), weights);
        near_to(nets[i], fixed_of(&run, "") - fixed_of(&run, "attend"), caches);
        tern_serving_free(&run);
        close_decoder(&d);
    }
}

/* A batch of prompts, and prompts in chunks with attention to what went before, are as much work as one prompt each. */
static void test_batches(void **state)
{
    (void)state;
    decoder d;
    open_decoder(&d, "llama3-8b", true);
    tern_serving_plan p = plain;
    tern_serving_run one, many;
    double chunks = 0;
    p.causal = true;
    assert_ok(tern_serving_prefill(&one, &d.about, &p));
    p.batch = 5;
    assert_ok(tern_serving_prefill(&many, &d.about, &p));
    near_to("batch", macs_of(&many), 5 * macs_of(&one));
    assert_true(many.caches == 5 * one.caches && many.weights == one.weights);
    tern_serving_free(&many);
    p.batch = 1;
    p.chunk = 5;
    double last = 64 * 128; /* each chunk has logits of its last token */
    for (int past = 0; past < p.in; past += p.chunk) {
        int tokens = p.in - past < p.chunk ? p.in - past : p.chunk;
        assert_ok(tern_serving_chunk(&many, &d.about, &p, past, tokens));
        chunks += macs_of(&many) - (past ? last : 0);
        tern_serving_free(&many);
    }
    near_to("chunks", chunks, macs_of(&one));
    tern_serving_free(&one);
    close_decoder(&d);
}

/* Beams read the prompt's cache together and their own answers each for itself. */
static void test_beams(void **state)
{
    (void)state;
    decoder d;
    open_decoder(&d, "llama3-8b", true);
    tern_serving_plan p = plain;
    tern_serving_run one, four;
    assert_ok(tern_serving_decode(&one, &d.about, &p));
    p.beams = 4;
    assert_ok(tern_serving_decode(&four, &d.about, &p));
    near_to("work", macs_of(&four), 4 * macs_of(&one));
    double row = 2 * 3 * 4 * 8 * 2; /* keys and values of 3 layers, 4 groups of 8 columns in bf16 */
    near_to("one", fixed_of(&one, "") - fixed_of(&one, "attend"), (p.in + p.out) * row);
    near_to("four", fixed_of(&four, "") - fixed_of(&four, "attend"), (p.in + 4 * p.out) * row);
    near_to("held", four.caches, (p.in + 4 * p.out) * row);
    tern_serving_free(&one);
    tern_serving_free(&four);
    close_decoder(&d);
}

/* ---- several devices ------------------------------------------------------------------------------------------------- */

static double label_sum(const tern_serving_run *run, tern_exchange exchange)
{
    double count = 0;
    for (int i = 0; i < run->count; i++)
        if (run->tasks[i].exchange == exchange) count += run->tasks[i].count;
    return count;
}

static void test_devices(void **state)
{
    (void)state;
    decoder d;
    open_decoder(&d, "llama3-8b", true);
    tern_serving_plan p = plain;
    tern_serving_run one, four;
    assert_ok(tern_serving_prefill(&one, &d.about, &p));
    p.tensor = 4;
    assert_ok(tern_serving_prefill(&four, &d.about, &p));
    near_to("work", 4 * macs_of(&four), macs_of(&one));
    near_to("weights", 4 * fixed_of(&four, "token_embd"), fixed_of(&one, "token_embd"));
    near_to("caches", 4 * four.caches, one.caches);
    assert_true(label_sum(&four, TERN_ALL_REDUCE) == 2 * 3 + 1 && label_sum(&four, TERN_ALL_GATHER) == 1);
    tern_serving_free(&four);
    p.tensor = 8; /* twice as many as groups of keys: each group is there twice */
    assert_ok(tern_serving_prefill(&four, &d.about, &p));
    near_to("caches of 8", 4 * four.caches, one.caches);
    tern_serving_free(&four);
    p.tensor = 1;
    p.pipeline = 3;
    assert_ok(tern_serving_prefill(&four, &d.about, &p));
    near_to("a stage", 3 * four.weights, one.weights);
    near_to("all stages", macs_of(&four), macs_of(&one));
    assert_true(label_sum(&four, TERN_MESSAGE) == 2);
    tern_serving_free(&four);
    tern_serving_free(&one);
    close_decoder(&d);
}

static void test_experts(void **state)
{
    (void)state;
    decoder d;
    open_decoder(&d, "mixtral-8x7b", true);
    tern_serving_plan p = plain;
    tern_serving_run one, spread;
    double expert = 3 * 64 * 96 * 2; /* bytes: gate, up and down in bf16 */
    assert_ok(tern_serving_decode(&one, &d.about, &p));
    p.experts = 4;
    assert_ok(tern_serving_decode(&spread, &d.about, &p));
    assert_true(label_sum(&spread, TERN_ALL_TO_ALL) == 2 * 3);
    for (int i = 0; i < one.count; i++)
        if (strcmp(one.tasks[i].label, "ffn_down_exps") == 0)
            near_to("two", one.tasks[i].fixed, 2 * expert / 3);
    for (int i = 0; i < spread.count; i++)
        if (strcmp(spread.tasks[i].label, "ffn_down_exps") == 0)
            near_to("one", spread.tasks[i].fixed, expert / 3);
    tern_serving_free(&one);
    tern_serving_free(&spread);
    p.experts = 1;
    p.batch = 100; /* so many tokens want all of them */
    assert_ok(tern_serving_decode(&one, &d.about, &p));
    for (int i = 0; i < one.count; i++)
        if (strcmp(one.tasks[i].label, "ffn_down_exps") == 0)
            near_to("all", one.tasks[i].fixed, 8 * expert / 3);
    assert_true(one.weights > 3 * 8 * expert);
    tern_serving_free(&one);
    close_decoder(&d);
}

static void test_exchanges(void **state)
{
    (void)state;
    tern_machine *m;
    static const char text[] =
        "name: m\nunits: [{name: u, kind: matrix, mac: {bf16: 1 TFLOP/s}}]\n"
        "memories: [{name: r, size: 1 GB, bandwidth: 1 GB/s}]\n"
        "links: [{name: l, bandwidth: 2 GB/s, efficiency: 0.5, latency: 1 us, start: 5 us}]\n";
    assert_ok(tern_machine_parse(&m, text, strlen(text), "m.yaml"));
    assert_true(tern_exchange_seconds(m, TERN_ALL_REDUCE, 1e6, 1) == 0);
    assert_true(tern_exchange_seconds(m, TERN_NO_EXCHANGE, 1e6, 4) == 0);
    near_to("all-reduce", tern_exchange_seconds(m, TERN_ALL_REDUCE, 1e6, 4),
            5e-6 + 6 * 1e-6 + 1.5 * 1e6 / 1e9);
    near_to("all-gather", tern_exchange_seconds(m, TERN_ALL_GATHER, 1e6, 4),
            5e-6 + 3 * 1e-6 + 0.75 * 1e6 / 1e9);
    near_to("all-to-all", tern_exchange_seconds(m, TERN_ALL_TO_ALL, 1e6, 4),
            5e-6 + 3 * 1e-6 + 0.75 * 1e6 / 1e9);
    near_to("message", tern_exchange_seconds(m, TERN_MESSAGE, 1e6, 2), 1e-6 + 1e6 / 1e9);
    m->link_count = 0;
    assert_true(isinf(tern_exchange_seconds(m, TERN_MESSAGE, 1e6, 2)));
    tern_machine_close(m);
}

/* Weights that a cache of 1 MB at 4 GB/s and 4 pJ/B before a memory of 1 GB/s and 100 pJ/B holds whole, by half, and not. */
static void test_cache_share(void **state)
{
    (void)state;
    tern_machine *m;
    static const char text[] = "name: m\nunits: [{name: u, kind: matrix, mac: {bf16: 1 TFLOP/s}}]\n"
                               "memories: [{name: c, size: 1 MB, bandwidth: 4 GB/s, read: 4 pJ/B},\n"
                               "           {name: r, size: 1 GB, bandwidth: 1 GB/s, read: 100 pJ/B}]\n";
    static const struct {
        double bytes, seconds, joules;
    } expected[] = {{1e6, 2.5e-4, 4e-6},
                    {1.5e6, 1.5e6 * (0.5 / 4e9 + 0.5 / 1e9), 1.5e6 * (0.5 * 4e-12 + 0.5 * 1e-10)},
                    {2e6, 2e-3, 2e-4},
                    {3e6, 3e-3, 3e-4}};
    assert_ok(tern_machine_parse(&m, text, strlen(text), "m.yaml"));
    for (size_t i = 0; i < TERN_COUNT(expected); i++) {
        tern_serving_task task = {.label = "read", .count = 1, .macs = 1, .fixed = expected[i].bytes};
        tern_serving_run run = {.tasks = &task, .count = 1, .tokens = 1, .weights = expected[i].bytes};
        tern_serving_way way = {.devices = 1, .stages = 1, .batches = 1, .format = TERN_BF16};
        tern_serving_cost c;
        tern_machine_serve(m, &run, &way, &c, NULL);
        assert_true(c.fits);
        near_to("seconds", c.seconds, expected[i].seconds);
        near_to("joules", c.joules, expected[i].joules);
    }
    tern_machine_close(m);
}

/* ---- what can't be --------------------------------------------------------------------------------------------------- */

static void refuse(decoder *d, tern_serving_plan p, const char *part)
{
    tern_serving s;
    assert_error(tern_serving_open(&s, &d->about, &p), TERN_USAGE, part);
}

static void test_refusals(void **state)
{
    (void)state;
    decoder d;
    open_decoder(&d, "llama2-7b", true);
    tern_serving_plan p = plain;
    p.in = 5000;
    refuse(&d, p, "positions for 4096");
    p = plain;
    p.experts = 2;
    refuse(&d, p, "0 experts");
    p = plain;
    p.pipeline = 4;
    refuse(&d, p, "3 layers");
    p = plain;
    p.batch = 0;
    refuse(&d, p, "numbers from 1");
    close_decoder(&d);
}

static void test_room(void **state)
{
    (void)state;
    decoder d;
    open_decoder(&d, "llama2-70b", false);
    tern_machine *m;
    tern_serving s;
    tern_serving_result r;
    tern_serving_plan p = plain;
    assert_ok(tern_machine_open(&m, "h100-sxm"));
    assert_ok(tern_serving_open(&s, &d.about, &p));
    tern_serving_ask(&s, m, &r);
    assert_false(r.fits);
    assert_non_null(strstr(r.reason, "at least 2 devices"));
    s.way.offload = true;
    tern_serving_ask(&s, m, &r);
    assert_true(r.fits && r.offloaded);
    double read = r.held, slow = (read - 80e9) / 64e9; /* the host's part decides */
    assert_true(r.token > 0.95 * slow && r.token < 1.1 * slow);
    tern_serving_close(&s);
    m->link_count = 0;
    p.tensor = 4;
    assert_ok(tern_serving_open(&s, &d.about, &p));
    tern_serving_ask(&s, m, &r);
    assert_false(r.fits);
    assert_non_null(strstr(r.reason, "no link"));
    tern_serving_close(&s);
    tern_machine_close(m);
    close_decoder(&d);
}

/* ---- backwards ------------------------------------------------------------------------------------------------------ */

/* What is solved for meets the target, and 2 % less of any of it does not. */
static void test_solve(void **state)
{
    (void)state;
    static const tern_resource all[] = {TERN_RESOURCE_LINK, TERN_RESOURCE_CAPACITY, TERN_RESOURCE_BANDWIDTH,
                                        TERN_RESOURCE_RATE};
    static const char *const paths[] = {"link.nvlink.bandwidth", "memory.main.size", "memory.main.bandwidth",
                                        "unit.tensor-cores.mac"};
    decoder d;
    tern_machine *m, solved, less;
    tern_serving s;
    tern_serving_result r;
    bool needed[TERN_RESOURCES];
    tern_serving_plan p = plain;
    tern_serving_target t = {.first = 0.3, .token = 0.02};
    p.in = 1024;
    p.out = 128;
    p.batch = 4;
    p.tensor = 2;
    open_decoder(&d, "llama3-8b", false);
    assert_ok(tern_machine_open(&m, "h100-sxm"));
    assert_ok(tern_serving_open(&s, &d.about, &p));
    solved = *m;
    assert_ok(tern_serving_solve(&s, &t, all, 4, &solved, needed));
    s.way.far = true; /* where the weights were when it was solved */
    tern_serving_ask(&s, &solved, &r);
    assert_true(tern_serving_meets(&t, &r));
    for (int i = 0; i < 4; i++) {
        tern_machine_field f;
        less = solved;
        assert_true(needed[i]);
        assert_ok(tern_machine_find_field(&less, paths[i], &f));
        double most = 0;
        for (int k = 0; k < f.count; k++) most = fmax(most, f.values[k]);
        tern_machine_set_field(&f, 0.98 * most);
        tern_serving_ask(&s, &less, &r);
        assert_false(tern_serving_meets(&t, &r));
    }
    t.token = 1e-6; /* launches alone take longer */
    less = solved;
    assert_error(tern_serving_solve(&s, &t, all, 4, &solved, needed), TERN_NO_FIT, "a million times");
    assert_memory_equal(&less, &solved, sizeof less);
    tern_serving_close(&s);
    tern_machine_close(m);
    close_decoder(&d);
}

static void test_fields(void **state)
{
    (void)state;
    static const struct {
        const char *path, *message;
    } wrong[] = {{"memory.hbm.bandwidth", "hbm3"},
                 {"memory.hbm3.speed", "bandwidth"},
                 {"memory.hbm3", "behind a dot"},
                 {"memory", "memory.NAME.FIGURE"},
                 {"unit.tensor-cores.mac.f99", "number format"},
                 {"launches", "launch"},
                 {"memory.hbm3.size.x", "nothing stands below"}};
    tern_machine *m;
    tern_machine_field f;
    assert_ok(tern_machine_open(&m, "h100-sxm"));
    assert_ok(tern_machine_find_field(m, "memory.main.bandwidth", &f));
    tern_machine_set_field(&f, 1e12);
    assert_true(m->tiers[1].bandwidth == 1e12 && f.quantity == TERN_IN_BYTES_PER_SECOND);
    assert_ok(tern_machine_find_field(m, "unit.tensor-cores.mac.i8", &f));
    tern_machine_set_field(&f, 8e12);
    assert_true(m->units[0].rate[TERN_MAC][TERN_I8] == 8e12);
    double half = m->units[0].rate[TERN_MAC][TERN_BF16];
    assert_ok(tern_machine_find_field(m, "unit.tensor-cores.mac", &f));
    tern_machine_set_field(&f, 2 * half);
    assert_true(m->units[0].rate[TERN_MAC][TERN_BF16] == 2 * half &&
                m->units[0].rate[TERN_MAC][TERN_I8] == 16e12);
    assert_ok(tern_machine_find_field(m, "launch", &f));
    for (size_t i = 0; i < TERN_COUNT(wrong); i++)
        assert_error(tern_machine_find_field(m, wrong[i].path, &f), TERN_USAGE, wrong[i].message);
    tern_machine_close(m);
}

/* Every allocation may fail; nothing is lost. */
static void test_memory(void **state)
{
    (void)state;
    decoder d;
    open_decoder(&d, "mixtral-8x7b", true);
    tern_serving_plan p = plain;
    p.causal = true;
    p.chunk = 9;
    size_t before = tern_allocated();
    tern_status status = TERN_NO_MEMORY;
    for (long n = 1; status != TERN_OK; n += 7) {
        tern_serving s;
        tern_fail_allocation(n);
        status = tern_serving_open(&s, &d.about, &p);
        tern_fail_allocation(0);
        if (status == TERN_OK) tern_serving_close(&s);
        assert_true(status == TERN_OK || status == TERN_NO_MEMORY);
        assert_int_equal(tern_allocated(), before);
        tern_clear();
    }
    close_decoder(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_genz),        cmocka_unit_test(test_account),  cmocka_unit_test(test_batches),
        cmocka_unit_test(test_beams),       cmocka_unit_test(test_devices),  cmocka_unit_test(test_experts),
        cmocka_unit_test(test_exchanges),   cmocka_unit_test(test_refusals), cmocka_unit_test(test_room),
        cmocka_unit_test(test_memory),      cmocka_unit_test(test_solve),    cmocka_unit_test(test_fields),
        cmocka_unit_test(test_cache_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
