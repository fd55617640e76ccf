/* Products of one input that start together: which do, and that each has the bits that it has alone, on any number of threads. */
#include "test.h"

#include "kernel/packed.h"
#include "op/op.h"
#include "run/run.h"

#include <string.h>

enum { MOST = 5 };

static tern_rng rng = {.seed = 35};
static uint64_t drawn;

static int below(int bound)
{
    return (int)tern_rng_below(rng, drawn++, (uint64_t)bound);
}

/* x [rows,k] times `count` weights in formats that round x alike, some with a bias; what is made of each result then is larger than
 * the result, so that a place that was given twice would show. */
typedef struct products {
    tern_graph *graph;
    tern_program *program;
    tern_store store;
    tern_tensor x, weight[MOST], bias[MOST];
    tern_dtype format[MOST];
    char names[2 * MOST][16];
    int count, rows, k;
} products;

static void draw_formats(products *p)
{
    static const tern_dtype alike[][4] = {{TERN_Q4_0, TERN_Q8_0, TERN_Q5_0, TERN_Q8_0},
                                          {TERN_Q4_1, TERN_Q5_1, TERN_Q4_1, TERN_Q4_1},
                                          {TERN_Q4_K, TERN_Q6_K, TERN_Q5_K, TERN_Q3_K},
                                          {TERN_F16, TERN_BF16, TERN_F16, TERN_F16}};
    int kind = below((int)TERN_COUNT(alike));
    for (int i = 0; i < p->count; i++) p->format[i] = alike[kind][below(4)];
    p->k = kind == 2 ? 256 * (1 + below(3)) : 32 * (1 + below(40));
}

static tern_value lend(products *p, tern_tensor *t, tern_dtype dtype, tern_shape shape, char name[16])
{
    int64_t count = tern_elements(&shape);
    double *values = tern_take_array((size_t)count, sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) values[i] = tern_rng_normal(rng, drawn++);
    assert_ok(tern_tensor_new(t, dtype, &shape));
    tern_dtype_of(dtype)->encode(t->data, 0, count, values);
    assert_ok(tern_store_lend(&p->store, name, *t));
    tern_release(values);
    return tern_weight(p->graph, name, dtype, shape);
}

static void open(products *p, int rows)
{
    *p = (products){.count = 2 + below(MOST - 1), .rows = rows};
    draw_formats(p);
    assert_ok(tern_graph_open(&p->graph, NULL));
    tern_value x = tern_input(p->graph, "x", TERN_F32, TERN_SHAPE(rows, p->k)), y[MOST];
    tern_value h = tern_tanh(p->graph, x);
    for (int i = 0; i < p->count; i++) {
        int n = 1 + below(below(4) ? 40 : 400);
        snprintf(p->names[i], sizeof p->names[i], "w%d", i);
        snprintf(p->names[MOST + i], sizeof p->names[i], "b%d", i);
        tern_value w = lend(p, &p->weight[i], p->format[i], TERN_SHAPE(n, p->k), p->names[i]), b = {0};
        if (below(2)) b = lend(p, &p->bias[i], TERN_F32, TERN_SHAPE(n), p->names[MOST + i]);
        y[i] = tern_multiply_weight(p->graph, h, w, b);
    }
    for (int i = 0; i < p->count; i++) {
        char name[16];
        snprintf(name, sizeof name, "y%d", i);
        tern_value both[] = {y[i], tern_square(p->graph, y[i])};
        tern_output(p->graph, name, tern_concat(p->graph, both, 2, 1));
    }
    assert_ok(tern_tensor_new(&p->x, TERN_F32, &TERN_SHAPE(rows, p->k)));
    for (int64_t i = 0; i < (int64_t)rows * p->k; i++)
        ((float *)p->x.data)[i] = (float)tern_rng_normal(rng, drawn++);
    assert_ok(tern_graph_status(p->graph));
    assert_ok(tern_plan(&p->program, p->graph, NULL));
}

static void close(products *p)
{
    tern_program_close(p->program);
    tern_graph_close(p->graph);
    tern_store_close(&p->store);
    tern_tensor_free(&p->x);
    for (int i = 0; i < p->count; i++) {
        tern_tensor_free(&p->weight[i]);
        if (p->bias[i].data) tern_tensor_free(&p->bias[i]);
    }
}

/* The results of all, one behind the other; counted: steps run one by one. */
static float *results(products *p, tern_pool *pool, bool counted, size_t *bytes)
{
    tern_session *s;
    char *to = NULL;
    *bytes = 0;
    assert_ok(tern_session_open(&s, p->program, &p->store, pool));
    assert_ok(tern_session_bind(s, "x", p->x.data));
    tern_session_count(s, counted);
    assert_ok(tern_session_run(s, 0));
    for (int i = 0; i < p->graph->output_count; i++) {
        tern_tensor y;
        assert_ok(tern_session_output(s, p->graph->outputs[i].name, &y));
        size_t more = tern_bytes_of(y.dtype, tern_elements(&y.shape));
        to = tern_resize(to, *bytes, *bytes + more);
        assert_non_null(to);
        memcpy(to + *bytes, y.data, more);
        *bytes += more;
    }
    tern_session_close(s);
    return (float *)(void *)to;
}

static int joined_of(const tern_program *p)
{
    int most = 0;
    for (int s = 0; s < p->step_count; s++)
        if (p->steps[s].joined > most) most = p->steps[s].joined;
    return most;
}

static void test_bits(void **state)
{
    (void)state;
    tern_pool *pools[3] = {NULL};
    assert_ok(tern_pool_open(&pools[1], 2));
    assert_ok(tern_pool_open(&pools[2], 3));
    for (int round = 0; round < 120; round++) {
        products p;
        size_t bytes, same;
        open(&p, 1 + below(round % 4 ? 4 : 40));
        assert_int_equal(joined_of(p.program), p.count);
        float *want = results(&p, NULL, true, &bytes);
        for (size_t i = 0; i < TERN_COUNT(pools); i++) {
            float *got = results(&p, pools[i], false, &same);
            assert_int_equal(bytes, same);
            if (memcmp(want, got, bytes) != 0)
                fail_msg("%d products of %d rows by %s, k %d, differ on %zu threads", p.count, p.rows,
                         tern_dtype_of(p.format[0])->name, p.k, i + 1);
            tern_release(got);
        }
        tern_release(want);
        close(&p);
    }
    for (size_t i = 0; i < TERN_COUNT(pools); i++) tern_pool_close(pools[i]);
}

/* Another input, another rounding of it, or a kernel for many rows: one by one. */
static void test_apart(void **state)
{
    (void)state;
    tern_graph *g;
    tern_program *p;
    assert_ok(tern_graph_open(&g, NULL));
    tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(1, 256)), other = tern_relu(g, x), none = {0};
    tern_shape shape = TERN_SHAPE(48, 256);
    tern_output(g, "a", tern_multiply_weight(g, x, tern_weight(g, "wa", TERN_Q4_0, shape), none));
    tern_output(g, "b", tern_multiply_weight(g, x, tern_weight(g, "wb", TERN_F32, shape), none));
    tern_output(g, "c", tern_multiply_weight(g, x, tern_weight(g, "wc", TERN_Q8_0, shape), none));
    tern_output(g, "d", tern_multiply_weight(g, other, tern_weight(g, "wd", TERN_Q8_0, shape), none));
    assert_ok(tern_graph_status(g));
    assert_ok(tern_plan(&p, g, &(tern_plan_options){.keep_order = true}));
    assert_true(joined_of(p) <= 1);
    tern_program_close(p);
    tern_graph_close(g);
    tern_packed_product a = {.rows = 1, .n = 8, .k = 256, .dtype = TERN_Q4_0}, b = a;
    b.dtype = TERN_Q8_0;
    assert_true(tern_packed_joins(&a, &b));
    b.dtype = TERN_Q4_K;
    int block;
    assert_int_equal(tern_packed_joins(&a, &b), !tern_packed_rounds(TERN_Q4_K, &block));
    b = a;
    b.k = 512;
    assert_false(tern_packed_joins(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bits), cmocka_unit_test(test_apart)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
