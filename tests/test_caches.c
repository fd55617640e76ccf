/* Caches: distances of a program's operands by hand, and where a machine serves them from. */
#include "test.h"

#include "machine/caches.h"
#include "plan/reuse.h"

#include <math.h>
#include <string.h>

static const char machine_text[] =
    "name: two\nabout: two caches\nsource: made up\nidle: 1 W\nunits:\n"
    "  - {name: core, kind: simd, source: made up, mac: {f32: 1 Gmac/s}, mac_energy: {f32: 1 pJ}}\n"
    "memories:\n  - {name: near, size: 600 B, bandwidth: 100 MB/s, read: 1 pJ/B, source: made up}\n"
    "  - {name: far, size: 1 MiB, bandwidth: 10 MB/s, read: 10 pJ/B, source: made up}\n";

/* image 100 floats; y = W1 x with W1 [20,100], 8000 bytes; z = relu(y); out = W2 z with W2 [5,20], 400 bytes. */
static tern_graph *small_net(void)
{
    tern_graph *g;
    assert_ok(tern_graph_open(&g, NULL));
    tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(1, 100));
    tern_value y = tern_linear(g, x, .out = 20, .bias = false, .name = "one");
    tern_value out = tern_linear(g, tern_relu(g, y), .out = 5, .bias = false, .name = "two");
    tern_output(g, "out", out);
    assert_ok(tern_graph_status(g));
    return g;
}

static const tern_access *find(const tern_access *a, int count, const tern_program *p,
                               const char *operator_name, double bytes, bool written)
{
    for (int i = 0; i < count; i++)
        if (strcmp(p->steps[a[i].task].node->op->name, operator_name) == 0 && a[i].bytes == bytes &&
            a[i].written == written)
            return &a[i];
    fail_msg("no access of %g bytes by %s", bytes, operator_name);
    return NULL;
}

/* The input is new; a result is read by the next step; weights come round after all that a run touches. */
static void test_distances(void **state)
{
    (void)state;
    tern_graph *g = small_net();
    tern_program *p;
    tern_access *a;
    int count;
    assert_ok(tern_plan(&p, g, &(tern_plan_options){.reference = true}));
    assert_ok(tern_program_accesses(p, &a, &count));
    assert_true(isinf(find(a, count, p, "linear", 400, false)->distance)); /* the image comes first */
    assert_true(find(a, count, p, "linear", 400, false)->weights == false);
    assert_true(find(a, count, p, "relu", 80, false)->distance == 80);
    assert_string_equal(p->steps[find(a, count, p, "relu", 80, false)->from - 1].node->op->name, "linear");
    assert_int_equal(find(a, count, p, "linear", 400, false)->from, 0);
    assert_true(find(a, count, p, "linear", 80, true)->distance == 80); /* is written for the ReLU */
    double all = 400 + 8000 + 80 + 400 + 20;                            /* z takes the place of y */
    for (int i = 0; i < count; i++)
        if (a[i].weights) assert_true(a[i].distance <= all && a[i].distance >= all - 400);
    assert_true(isinf(find(a, count, p, "linear", 20, true)->distance)); /* nobody reads the output here */
    tern_release(a);
    tern_program_close(p);
    tern_graph_close(g);
}

/* The same as a histogram: what was touched less than 4 KiB ago stands apart from what comes round with the weights. */
static void test_ages(void **state)
{
    (void)state;
    tern_graph *g = small_net();
    tern_program *p;
    assert_ok(tern_plan(&p, g, &(tern_plan_options){.reference = true}));
    tern_step_work *steps = tern_take_array((size_t)p->step_count, sizeof *steps);
    assert_non_null(steps);
    assert_ok(tern_program_work(p, 1, steps));
    double young = 0, old = 0;
    for (int i = 0; i < p->step_count; i++) {
        tern_task_work t = tern_task_of(&steps[i]);
        double all = 0;
        for (int k = 0; k < TERN_AGES; k++) all += t.aged[k];
        assert_true(all == t.read_bytes + t.weight_bytes + t.written_bytes);
        young += t.aged[0];
        old += t.aged[3]; /* 8 KiB to 11.3 KiB */
    }
    assert_true(young == 400 + 80 + 80 + 80 + 80 + 20);
    assert_true(old == 8000 + 400);
    tern_release(steps);
    tern_program_close(p);
    tern_graph_close(g);
}

/* Threads share a product of 512 Ki multiply-accumulates, so that most of its result is in other caches than its reader's; the
 * curve over 1024 elements behind it is one thread's. */
static void test_handed(void **state)
{
    (void)state;
    tern_graph *g;
    tern_program *p;
    assert_ok(tern_graph_open(&g, NULL));
    tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(1, 512));
    tern_value y = tern_relu(g, tern_linear(g, x, .out = 1024, .bias = false, .name = "one"));
    tern_output(g, "out", tern_linear(g, y, .out = 5, .bias = false, .name = "two"));
    assert_ok(tern_plan(&p, g, &(tern_plan_options){.reference = true}));
    tern_step_work *steps = tern_take_array((size_t)p->step_count, sizeof *steps);
    assert_non_null(steps);
    assert_ok(tern_program_work(p, 1, steps));
    for (int i = 0; i < p->step_count; i++)
        assert_true(tern_task_of(&steps[i]).handed ==
                    (strcmp(steps[i].node->op->name, "relu") == 0 ? 4096 : 0));
    tern_release(steps);
    tern_program_close(p);
    tern_graph_close(g);
}

/* A task of 2000 multiply-accumulates: 2 us; 8000 bytes of weights from afar, 80 near: 8080 B through the near memory, 80.8 us;
 * 8000 B from the far one, 800 us. */
static void test_machine(void **state)
{
    (void)state;
    tern_machine *m;
    tern_cache_run total, runs[2];
    assert_ok(tern_machine_parse(&m, machine_text, strlen(machine_text), "two.yaml"));
    tern_task_work tasks[] = {
        {.label = "one",
         .work = {.macs = 2000},
         .dtype = TERN_F32,
         .weight_bytes = 8000,
         .written_bytes = 80},
        {.label = "two", .work = {.macs = 100000}, .dtype = TERN_F32, .read_bytes = 80}};
    tern_access accesses[] = {
        {0, 8000, 8880, false, true, 0}, {0, 80, 80, true, false, 0}, {1, 80, 80, false, false, 1}};
    tern_cost_query query = {.tasks = tasks, .count = 2, .weights = 8000, .arena = 2000};
    assert_ok(tern_machine_caches(m, &query, accesses, 3, &total, runs));
    assert_true(runs[0].bytes[0] == 80 && runs[0].bytes[1] == 8000);
    assert_true(fabs(runs[0].seconds - 800e-6) < 1e-12 && strcmp(runs[0].bound, "far") == 0);
    assert_true(fabs(runs[1].seconds - 100e-6) < 1e-12 && strcmp(runs[1].bound, "compute") == 0);
    assert_true(fabs(runs[1].joules - (100000e-12 + 80e-12 + 100e-6)) < 1e-15);
    assert_true(fabs(total.seconds - 900e-6) < 1e-12 && strcmp(total.bound, "far") == 0);
    accesses[0].distance = 500; /* now they are still near */
    assert_ok(tern_machine_caches(m, &query, accesses, 3, &total, runs));
    assert_true(runs[0].bytes[0] == 8080 && runs[0].bytes[1] == 0 && strcmp(runs[0].bound, "near") == 0);
    query.arena = 2e6;
    assert_error(tern_machine_caches(m, &query, accesses, 3, &total, runs), TERN_NO_FIT, "activations need");
    tern_machine_close(m);
}

static tern_program *held;

static tern_status take_accesses(void)
{
    tern_access *a;
    int count;
    TERN_TRY(tern_program_accesses(held, &a, &count));
    tern_release(a);
    return TERN_OK;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    tern_graph *g = small_net();
    assert_ok(tern_plan(&held, g, NULL));
    assert_survives_out_of_memory(take_accesses());
    tern_program_close(held);
    tern_graph_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distances), cmocka_unit_test(test_ages),          cmocka_unit_test(test_handed),
        cmocka_unit_test(test_machine),   cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
