/* A serving whose plan changes, graphs kept and stretched, against one that is opened for that plan: the same operators, to the
 * last bit; also where a builder does otherwise beyond some length. */
#include "test.h"

#include "llm/serving_parts.h"

#include <string.h>

typedef struct decoder {
    void *parameters;
    tern_weights shapes;
    tern_transformer about;
} decoder;

/* In place: `about` points to its shapes. */
static void open_decoder(decoder *d, const char *name)
{
    const tern_net *net = tern_net_find(name);
    assert_ok(tern_net_parameters(net, &d->parameters));
    assert_ok(tern_net_set(net, d->parameters, "layers", 2));
    assert_ok(tern_transformer_of(&d->about, &d->shapes, net, d->parameters));
}

static void close_decoder(decoder *d)
{
    tern_weights_close(&d->shapes);
    tern_net_free(d->parameters);
}

static void same_run(const tern_serving_run *a, const tern_serving_run *b)
{
    assert_int_equal(a->count, b->count);
    assert_true(a->tokens == b->tokens && a->weights == b->weights && a->caches == b->caches &&
                a->activations == b->activations && a->needed == b->needed);
    for (int i = 0; i < a->count; i++) {
        const tern_serving_task *x = &a->tasks[i], *y = &b->tasks[i];
        assert_string_equal(x->label, y->label);
        assert_true(x->count == y->count && x->macs == y->macs && x->elements == y->elements &&
                    x->specials == y->specials && x->fixed == y->fixed && x->in == y->in &&
                    x->out == y->out && x->exchange == y->exchange && x->message == y->message &&
                    x->devices == y->devices);
    }
}

static void same_serving(tern_serving *changed, const decoder *d, const tern_serving_plan *plan)
{
    tern_serving opened;
    assert_ok(tern_serving_change(changed, plan));
    assert_ok(tern_serving_open(&opened, &d->about, plan));
    assert_int_equal(changed->prompt_count, opened.prompt_count);
    for (int i = 0; i < opened.prompt_count; i++) same_run(&changed->prompts[i], &opened.prompts[i]);
    same_run(&changed->answer, &opened.answer);
    tern_serving_close(&opened);
}

static tern_serving_plan drawn_plan(uint64_t seed, bool experts)
{
    tern_rng rng = {seed, 17};
    tern_serving_plan p = {.beams = 1, .tensor = 1, .experts = 1, .pipeline = 1};
    p.batch = 1 + (int)tern_rng_below(rng, 0, 9);
    p.in = 1 + (int)tern_rng_below(rng, 1, 300);
    p.out = (int)tern_rng_below(rng, 2, 60);
    p.beams = 1 + (int)tern_rng_below(rng, 3, 3);
    p.tensor = 1 << tern_rng_below(rng, 4, 3);
    p.experts = experts ? 1 << tern_rng_below(rng, 5, 3) : 1;
    p.causal = tern_rng_below(rng, 6, 2);
    p.elements = tern_rng_below(rng, 7, 2);
    p.genz = tern_rng_below(rng, 8, 4) == 0;
    p.chunk = tern_rng_below(rng, 9, 3) ? 0 : 1 + (int)tern_rng_below(rng, 10, 100);
    return p;
}

static void test_changes(void **state)
{
    (void)state;
    static const char *const nets[] = {"llama3-8b", "gpt2", "mixtral-8x7b", "mamba-130m"};
    for (size_t n = 0; n < TERN_COUNT(nets); n++) {
        decoder d;
        tern_serving s;
        open_decoder(&d, nets[n]);
        tern_serving_plan p = drawn_plan(0, false);
        p.genz = false;
        assert_ok(tern_serving_open(&s, &d.about, &p));
        for (uint64_t seed = 1; seed < 25; seed++) {
            p = drawn_plan(seed, d.about.experts > 0);
            p.genz &= d.about.taps == 0;
            p.elements |= d.about.taps > 0;
            if (d.about.taps) p.tensor = 1;
            same_serving(&s, &d, &p);
        }
        for (p.in = 5; p.in < 40; p.in++) same_serving(&s, &d, &p); /* a sweep up, and down again */
        for (; p.in > 1; p.in--) same_serving(&s, &d, &p);
        p.in = 0;
        assert_error(tern_serving_change(&s, &p), TERN_USAGE, "from 1"); /* and it is as it was */
        assert_int_equal(s.plan.in, 2);
        tern_serving_close(&s);
        close_decoder(&d);
    }
}

/* A builder of another net beyond 20 rows: a curve more, and no table of 3 columns. */
static tern_value build_strange(tern_graph *g, const tern_transformer *t, const tern_feed *feed)
{
    (void)t;
    tern_value table = tern_weight(g, "table", TERN_F32, TERN_SHAPE(16, 4));
    tern_value x = tern_embedding(g, feed->tokens, table);
    if (feed->rows > 20) x = tern_relu(g, x);
    x = tern_reshape(g, x, TERN_SHAPE(-1, 2, 2));
    return tern_embedding(g, feed->wanted, tern_reshape(g, x, TERN_SHAPE(-1, 4)));
}

static const tern_architecture strange = {.name = "strange", .build = build_strange};

static void test_thresholds(void **state)
{
    (void)state;
    tern_transformer t = {.architecture = &strange};
    tern_walk_frame *f = tern_frame_new();
    for (int i = 0; i < 60; i++) {
        int numbers[] = {1 + (i * 7) % 13, 1 + i % 3, 1 + (i * 11) % 41};
        tern_graph *kept, *built;
        assert_ok(tern_frame_graph(f, &t, numbers, &kept));
        assert_ok(tern_walk_build(&t, numbers, &built));
        assert_int_equal(kept->node_count, built->node_count);
        for (int v = 1; v < built->value_count; v++)
            assert_true(tern_shape_equal(&kept->values[v].type.shape, &built->values[v].type.shape));
        tern_graph_close(built);
    }
    tern_frame_free(f);
}

/* Every allocation may fail; the serving is as it was. */
static void test_memory(void **state)
{
    (void)state;
    decoder d;
    tern_serving s;
    open_decoder(&d, "gpt2");
    tern_serving_plan p = drawn_plan(3, false), q = drawn_plan(4, false);
    assert_ok(tern_serving_open(&s, &d.about, &p));
    tern_status status = TERN_NO_MEMORY;
    for (long n = 1; status != TERN_OK; n += 3) {
        tern_fail_allocation(n);
        status = tern_serving_change(&s, &q);
        tern_fail_allocation(0);
        assert_true(status == TERN_OK || (status == TERN_NO_MEMORY && s.plan.in == p.in));
        tern_clear();
    }
    same_serving(&s, &d, &p);
    tern_serving_close(&s);
    close_decoder(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
