/* MCUFormer: nets of a family against golden/mcuformer, a twin in PyTorch; the planes and the formula of its search. */
#include "test.h"

#include "mcuformer.h"
#include "plan/ram.h"
#include "search/family.h"
#include "search/space.h"

static void test_against_pytorch(void **state)
{
    (void)state;
    for (size_t f = 0; f < TERN_COUNT(golden_files); f++) {
        double worst;
        assert_ok(golden_apart(TERN_TESTS "/golden", f, &worst));
        if (!(worst > 0 && worst < 1e-4)) fail_msg("%s: logits are %g apart", golden_files[f].file, worst);
    }
}

/* A net of the family has the bits of a net of its own with copies of the leading rows and columns. */
static void test_weights_are_leading_parts(void **state)
{
    (void)state;
    enum { IN = 7, OUT = 6, OF_IN = 9, OF_OUT = 12, PARTS = 3, ROWS = 4 };
    tern_graph *g;
    tern_program *p;
    tern_session *s;
    tern_store store = {0};
    tern_tensor y;
    float x[ROWS * IN];
    assert_ok(tern_graph_open(&g, NULL));
    tern_value in = tern_input(g, "x", TERN_F32, TERN_SHAPE(ROWS, IN));
    tern_output(
        g, "y",
        tern_linear(g, in, .out = OUT, .of_out = OF_OUT, .of_in = OF_IN, .parts = PARTS, .name = "l"));
    assert_ok(tern_graph_status(g));
    assert_ok(tern_plan(&p, g, NULL));
    assert_ok(tern_session_open(&s, p, &store, NULL));
    for (int i = 0; i < ROWS * IN; i++) x[i] = golden_element(1, i, 0, 2);
    assert_ok(tern_session_bind(s, "x", x));
    assert_ok(tern_session_run(s, 0));
    assert_ok(tern_session_output(s, "y", &y));
    const tern_tensor *w = &store.tensors[tern_store_find(&store, "l.weight")],
                      *b = &store.tensors[tern_store_find(&store, "l.bias")];
    assert_int_equal(tern_elements(&w->shape), OF_OUT * OF_IN);
    for (int r = 0; r < ROWS; r++)
        for (int o = 0; o < OUT; o++) {
            int row = o / (OUT / PARTS) * (OF_OUT / PARTS) + o % (OUT / PARTS);
            double sum = tern_get(b, row);
            for (int k = 0; k < IN; k++) sum += tern_get(w, row * OF_IN + k) * (double)x[r * IN + k];
            assert_true(fabs(sum - tern_get(&y, r * OUT + o)) < 1e-5);
        }
    tern_session_close(s);
    tern_program_close(p);
    tern_graph_close(g);
    tern_store_close(&store);
}

static void test_what_is_no_part(void **state)
{
    (void)state;
    tern_graph *g;
    assert_ok(tern_graph_open(&g, NULL));
    tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(2, 8));
    tern_linear(g, x, .out = 6, .of_out = 4);
    assert_error(tern_graph_status(g), TERN_FAILED, "is no leading part of");
    tern_graph_close(g);
    assert_ok(tern_graph_open(&g, NULL));
    x = tern_input(g, "x", TERN_F32, TERN_SHAPE(2, 8));
    tern_layer_norm(g, x, .of = 7);
    assert_error(tern_graph_status(g), TERN_FAILED, "expected at least 8");
    tern_graph_close(g);
}

/* ---- the search for a family ------------------------------------------------------------------------------------- */

static const tern_space_limits published = {0.4, 0.95, 0.05, 16, 32, 4};

/* The authors' five points and the planes that numpy makes of them. */
static void test_planes(void **state)
{
    (void)state;
    static const tern_space_point points[] = {
        {0.9, 16, 66.298, 0.384}, {0.6, 16, 60.6, 0.666}, {0.65, 28, 45.119, 1},
        {0.95, 28, 57.52, 1},     {0.85, 20, 61.2, 1},    {0.4, 400, 0, 0}}; /* too far away to count */
    tern_space_step step;
    assert_ok(tern_space_evolve(points, 6, &published, 0.9, 16, &step));
    assert_true(fabs(step.error[1] + 29.673) < 5e-4 && fabs(step.error[2] - 1.127) < 5e-4);
    assert_true(fabs(step.memory[1] - 0.22683) < 5e-6 && fabs(step.memory[2] + 0.03688) < 5e-6);
    assert_true(fabs(step.rank + 0.1) < 1e-12);
    assert_true(step.patch == 0);
    assert_error(tern_space_evolve(points, 2, &published, 0.9, 16, &step), TERN_FAILED, "no plane");
    static const tern_space_point line[] = {{0.9, 16, 60, 1}, {0.8, 16, 55, 1}, {0.7, 16, 50, 1}};
    assert_error(tern_space_evolve(line, 3, &published, 0.9, 16, &step), TERN_FAILED, "on a line");
}

static void test_steps_stay_inside(void **state)
{
    (void)state;
    static const tern_space_point points[] = {
        {0.45, 16, 90, 1}, {0.95, 16, 10, 1}, {0.45, 32, 10, 1}, {0.95, 32, 10, 0}};
    for (double rank = 0.4; rank < 0.96; rank += 0.05)
        for (double patch = 16; patch <= 32; patch += 4) {
            tern_space_step step;
            assert_ok(tern_space_evolve(points, 4, &published, rank, patch, &step));
            assert_true(rank + step.rank >= 0.4 - 1e-9 && rank + step.rank <= 0.95 + 1e-9);
            assert_true(patch + step.patch >= 16 && patch + step.patch <= 32);
        }
}

/* Of the three widths of the super-net, how many keep to 320 KiB at m = 4. */
static void test_shares(void **state)
{
    (void)state;
    static const struct {
        double rank, patch;
        int fit;
    } cases[] = {{0.9, 16, 1}, {0.6, 16, 2}, {0.65, 28, 3}, {0.95, 28, 3}, {0.85, 20, 3}};
    static const double widths[] = {168, 192, 216};
    for (size_t i = 0; i < TERN_COUNT(cases); i++) {
        int fit = 0;
        for (size_t w = 0; w < TERN_COUNT(widths); w++)
            fit += tern_space_bytes(widths[w], 4, cases[i].rank, 240, cases[i].patch) <= 327680;
        assert_int_equal(fit, cases[i].fit);
    }
}

/* ---- families and their members ----------------------------------------------------------------------------------- */

static const char space[] = "D=8,16:depth=1,2:heads=1,2:m=1,2.5";

static void open_family(tern_family *f, void **parameters, const char *text)
{
    const tern_net *net = tern_net_find("mcuformer");
    const tern_named_number own[] = {{"patch", 4}, {"classes", 2}};
    assert_ok(tern_net_parameters(net, parameters));
    assert_ok(golden_set(net, *parameters, own, 2));
    assert_ok(tern_family_open(f, net, *parameters, TERN_SHAPE(1, 8, 8), text));
}

static void test_spaces(void **state)
{
    (void)state;
    tern_family f;
    void *parameters;
    open_family(&f, &parameters, "vit-t");
    assert_int_equal(f.D.count + f.depth.count + f.heads.count + f.m.count, 3 + 3 + 2 + 2);
    assert_true(f.D.of[2] == 216 && f.m.of[0] == 3.5);
    static const char *const bad[] = {"D=",     "D=2,1",    "D=1.5",      "width=3",
                                      "m=1.25", "heads=10", "depth=1,16", "D=8;heads",
                                      "D=8:m=", "D=-4",     "m=nan",      "D=1,2,3,4,5,6,7,8,9"};
    for (size_t i = 0; i < TERN_COUNT(bad); i++)
        assert_error(tern_family_open(&f, f.net, parameters, f.sample, bad[i]), TERN_USAGE, "--space is");
    const tern_net *other = tern_net_find("vit");
    void *of_other;
    assert_ok(tern_net_parameters(other, &of_other));
    assert_error(tern_family_open(&f, other, of_other, f.sample, space), TERN_USAGE, "is no family");
    tern_net_free(of_other);
    tern_net_free(parameters);
}

/* RAM of a member of that family, all blocks planned. */
static double whole_ram(const tern_family *f, const tern_member *m)
{
    double heads = 0, halves = 0;
    for (int i = 0; i < m->depth; i++) {
        heads = 10 * heads + m->heads[i];
        halves = 10 * halves + m->halves[i];
    }
    const tern_named_number own[] = {{"patch", 4},        {"classes", 2},         {"D", m->D},
                                     {"depth", m->depth}, {"block-heads", heads}, {"block-m", halves},
                                     {"super-D", 16},     {"super-heads", 2},     {"super-m", 2.5}};
    void *parameters;
    tern_graph *g, *blocks;
    tern_program *p;
    tern_ram ram;
    assert_ok(tern_net_parameters(f->bytes, &parameters));
    assert_ok(golden_set(f->bytes, parameters, own, TERN_COUNT(own)));
    assert_ok(tern_model_graph(&g, f->bytes, parameters, &f->sample, 1, 0));
    assert_ok(tern_int8_take_bytes(&g));
    assert_ok(tern_pass_int8_blocks(g, &(tern_int8_blocks){true, true, 1}, &blocks));
    assert_ok(tern_plan(&p, blocks, &(tern_plan_options){.reference = true, .compact = true}));
    tern_program_ram(p, &ram);
    assert_int_equal(ram.input, 0);
    tern_program_close(p);
    tern_graph_close(blocks);
    tern_graph_close(g);
    tern_net_free(parameters);
    return (double)ram.all;
}

/* What is planned once for D, most heads and largest m is what the whole member needs. */
static void test_ram(void **state)
{
    (void)state;
    tern_family f;
    void *parameters;
    tern_rng rng = {.seed = 3};
    uint64_t drawn = 0;
    double bytes, share;
    open_family(&f, &parameters, space);
    for (int i = 0; i < 12; i++) {
        tern_member m;
        tern_family_draw(&f, rng, &drawn, &m);
        assert_true(m.D >= 8 && m.depth >= 1 && m.depth <= 2 && m.heads[0] >= 1 && m.halves[0] >= 2);
        assert_ok(tern_family_ram(&f, &m, &bytes));
        if (bytes != whole_ram(&f, &m))
            fail_msg("%g bytes, the whole net needs %g", bytes, whole_ram(&f, &m));
    }
    assert_ok(tern_family_share(&f, 1, 20, 1, &share));
    assert_true(share == 0);
    assert_ok(tern_family_share(&f, 1e9, 20, 1, &share));
    assert_true(share == 1);
    tern_net_free(parameters);
}

/* Bright on the left or on the right. */
static tern_samples some_samples(float *images, int32_t *labels, int count)
{
    for (int i = 0; i < count; i++) {
        labels[i] = i % 2;
        for (int k = 0; k < 64; k++) images[i * 64 + k] = golden_element(i, k, k % 8 / 4 == i % 2 ? 1 : 0, 1);
    }
    return (tern_samples){.images = {TERN_F32, TERN_SHAPE(count, 1, 8, 8), images},
                          .labels = {TERN_I32, TERN_SHAPE(count), labels},
                          .classes = 2};
}

/* A family learns; evolution finds the best that fits, the same with the same seed, and keeps to the budget. */
static void test_search(void **state)
{
    (void)state;
    enum { N = 64 };
    static float images[N * 64];
    static int32_t labels[N];
    tern_family f;
    tern_store store = {0};
    void *parameters;
    tern_samples samples = some_samples(images, labels, N);
    tern_training t = {.recipe = tern_recipe_default(), .train = &samples, .quiet = true};
    t.recipe.epochs = 6;
    t.recipe.batch = 16;
    t.recipe.crop = 0;
    t.recipe.flip = false;
    open_family(&f, &parameters, space);
    assert_ok(tern_family_train(&f, &t, &store, NULL));
    tern_member small = {.D = 8, .depth = 1, .heads = {1}, .halves = {2}};
    tern_family_search s = {.samples = &samples,
                            .population = 4,
                            .keep = 2,
                            .mutations = 2,
                            .crossovers = 1,
                            .generations = 2,
                            .seed = 1};
    assert_ok(tern_family_ram(&f, &small, &s.budget));
    tern_found_member best, again, wide;
    int judged;
    assert_ok(tern_family_evolve(&f, &s, &store, NULL, &best, &judged));
    assert_true(best.member.D == 8 && best.bytes <= s.budget && judged >= 1 && judged <= 12);
    s.budget = 1e9;
    assert_ok(tern_family_evolve(&f, &s, &store, NULL, &wide, &judged));
    assert_ok(tern_family_evolve(&f, &s, &store, NULL, &again, NULL));
    assert_true(tern_member_equal(&wide.member, &again.member) && wide.accuracy == again.accuracy);
    assert_true(wide.accuracy > 0.9);
    double mean;
    assert_ok(tern_family_mean(&f, s.budget, 3, 1, &samples, &store, NULL, &mean));
    assert_true(mean <= 1 && mean >= 0.5);
    s.budget = 10;
    assert_error(tern_family_evolve(&f, &s, &store, NULL, &best, NULL), TERN_NO_FIT,
                 "none keeps to 10 bytes");
    assert_error(tern_family_mean(&f, 10, 3, 1, &samples, &store, NULL, &mean), TERN_NO_FIT, "none keeps");
    tern_text text = {0};
    tern_member_print(&small, &text);
    assert_string_equal(text.data, "D=8 heads=1 m=1");
    tern_text_free(&text);
    tern_store_close(&store);
    tern_net_free(parameters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_pytorch),
        cmocka_unit_test(test_weights_are_leading_parts),
        cmocka_unit_test(test_what_is_no_part),
        cmocka_unit_test(test_planes),
        cmocka_unit_test(test_steps_stay_inside),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_spaces),
        cmocka_unit_test(test_ram),
        cmocka_unit_test(test_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
