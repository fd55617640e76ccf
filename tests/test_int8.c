/* Nets of bytes: rounding against TensorFlow Lite's formulas, tables at each of the 256 bytes, calibration, and whole nets
 * against the same nets of floats. */
#include "test.h"

#include "emit/fit.h"
#include "op/int8_block.h"
#include "quant/quant.h"
#include "train/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static tern_rng rng = {.seed = 5};
static uint64_t drawn;

static double uniform(double low, double high)
{
    return low + (high - low) * tern_rng_uniform(rng, drawn++);
}

/* ---- rounding ------------------------------------------------------------------------------------------------- */

/* gemmlowp's fixed-point arithmetic as it is published: the two roundings one behind the other. */
static int32_t doubling_high(int32_t a, int32_t b)
{
    int64_t product = (int64_t)a * b;
    int32_t nudge = product >= 0 ? 1 << 30 : 1 - (1 << 30);
    return (int32_t)((product + nudge) / (1ll << 31));
}

static int32_t divide_by_power(int32_t x, int exponent)
{
    int64_t mask = (1ll << exponent) - 1, rest = x & mask, threshold = (mask >> 1) + (x < 0);
    return (x >> exponent) + (rest > threshold);
}

static int32_t published(int32_t x, int32_t multiplier, int shift)
{
    int left = shift > 0 ? shift : 0, right = shift > 0 ? 0 : -shift;
    return divide_by_power(doubling_high(x * (1 << left), multiplier), right);
}

static void test_rounding(void **state)
{
    (void)state;
    static const int32_t multipliers[] = {0, 1 << 30, (1 << 30) + 1, 1518500250, INT32_MAX - 1, INT32_MAX};
    for (int shift = -31; shift <= 6; shift++)
        for (size_t m = 0; m < TERN_COUNT(multipliers); m++)
            for (int i = 0; i < 4000; i++) {
                double reach = shift > 0 ? ldexp(1, 31 - shift) - 1 : 2147483647.0;
                int32_t x = i < 2000 ? i - 1000 : (int32_t)uniform(-reach, reach);
                if (tern_requantise(x, multipliers[m], shift) != published(x, multipliers[m], shift))
                    fail_msg("%d times %d at %d: %d, expected %d", x, multipliers[m], shift,
                             tern_requantise(x, multipliers[m], shift), published(x, multipliers[m], shift));
            }
    for (int i = 0; i < 5000; i++) {
        double factor = exp(uniform(-18, 3));
        int32_t multiplier, x = (int32_t)uniform(-1e6, 1e6);
        int shift;
        tern_int8_multiplier(factor, &multiplier, &shift);
        assert_true(multiplier >= 1 << 30);
        double y = tern_requantise(x, multiplier, shift);
        assert_true(fabs(y - x * factor) <= 1);
    }
}

static void test_multiplier_at_its_ends(void **state)
{
    (void)state;
    int32_t multiplier;
    int shift;
    tern_int8_multiplier(0, &multiplier, &shift);
    assert_int_equal(multiplier, 0);
    tern_int8_multiplier(1e-12, &multiplier, &shift); /* less than any shift */
    assert_int_equal(multiplier, 0);
    tern_int8_multiplier(nextafter(1, 0), &multiplier, &shift);
    assert_int_equal(multiplier, 1 << 30);
    assert_int_equal(shift, 1);
}

static void test_floats_to_bytes(void **state)
{
    (void)state;
    for (int zero = -128; zero < 128; zero += 17)
        for (int i = -70000; i <= 70000; i++) {
            float x = (float)i / 256, scale = 0.5f;
            double q = (double)x / 0.5;
            q = (q >= 0 ? floor(q + 0.5) : ceil(q - 0.5)) + zero;
            assert_int_equal(tern_float_to_byte(x, scale, zero), (int)fmin(fmax(q, -128), 127));
        }
    assert_int_equal(tern_float_to_byte(0.49999997f, 1, 0), 0);
    assert_int_equal(tern_float_to_byte(NAN, 1, 7), 7);
    assert_int_equal(tern_float_to_byte(INFINITY, 1, 7), 127);
    assert_int_equal(tern_float_to_byte(-INFINITY, 1, 7), -128);
    assert_int_equal(tern_float_to_byte(1, 0, 7), 127); /* a net that is not calibrated yet */
    assert_int_equal(tern_float_to_byte(0, 0, 7), 7);
}

/* ---- nets ----------------------------------------------------------------------------------------------------- */

/* A graph of floats, its form in bytes, and both run on the same inputs. */
static const tern_int8_parameters plain = {.bits = 8, .out = 8, .multiplier = 32, .activations = 8};

typedef struct pair {
    tern_int8_parameters how;
    tern_graph *floats, *bytes;
    tern_int8_plan plan;
    tern_program *program[3]; /* floats; bytes with fast kernels, and by definition */
    tern_session *session[3];
    tern_store store[2];
    tern_int8_format *formats;
    float *image;
} pair;

static tern_tensor *parameter_of(void *context, const char *name)
{
    tern_store *store = context;
    int index = tern_store_find(store, name);
    assert_true(index >= 0);
    return &store->tensors[index];
}

/* Value `id` of the graph of floats in a run. */
static tern_tensor content(const pair *p, int id)
{
    char name[32];
    tern_tensor t;
    snprintf(name, sizeof name, "v%d", id);
    assert_ok(tern_session_output(p->session[0], name, &t));
    return t;
}

static void run(pair *p, int which)
{
    assert_ok(tern_session_bind(p->session[which], "image", p->image));
    assert_ok(tern_session_run(p->session[which], 0));
}

/* Calibrated by min-max on the image itself. */
static void calibrate(pair *p)
{
    tern_int8_target target = {parameter_of, &p->store[1]};
    tern_range *ranges = tern_take_array((size_t)p->plan.values, sizeof *ranges);
    p->formats = tern_take_array((size_t)p->plan.values, sizeof *p->formats);
    for (int i = 1; i < p->plan.values; i++) {
        if (!p->plan.root[i]) continue;
        tern_tensor t = content(p, i);
        tern_range_widen(&ranges[p->plan.root[i]], t.data, tern_elements(&t.shape));
    }
    for (int i = 1; i < p->plan.values; i++)
        p->formats[i] = tern_range_format(&ranges[p->plan.root[i]], TERN_MIN_MAX, 0);
    for (int i = 0; i < p->plan.count; i++) {
        const tern_int8_site *s = &p->plan.sites[i];
        tern_tensor weight, bias;
        if (s->weight) weight = content(p, s->weight);
        if (s->bias) bias = content(p, s->bias);
        if (s->op == &tern_op_softmax_int8) p->formats[s->out] = (tern_int8_format){1.0 / 256, -128};
        assert_ok(tern_int8_fill(s, &p->how, p->formats, s->weight ? &weight : NULL, s->bias ? &bias : NULL,
                                 &target));
    }
    p->store[1].version++;
    tern_release(ranges);
}

/* Takes the graph over. */
static void open_pair(pair *p, tern_graph *floats, bool together)
{
    *p = (pair){.floats = floats,
                .how = {.per = together, .bits = 8, .out = 8, .multiplier = 32, .activations = 8}};
    assert_ok(tern_pass_int8(floats, &p->how, &p->bytes, &p->plan));
    for (int i = 1; i < floats->value_count; i++) {
        char *name = tern_arena_format(&floats->arena, "v%d", i);
        tern_output(floats, name, (tern_value){i});
    }
    tern_graph *graphs[] = {floats, p->bytes, p->bytes};
    for (int i = 0; i < 3; i++) {
        assert_ok(tern_plan(&p->program[i], graphs[i], &(tern_plan_options){.reference = i == 2}));
        assert_ok(tern_session_open(&p->session[i], p->program[i], &p->store[i > 0], NULL));
    }
    tern_shape shape = tern_shape_of(floats, tern_find_value(floats, "image"));
    p->image = tern_take_array((size_t)tern_elements(&shape), sizeof *p->image);
    for (int64_t i = 0; i < tern_elements(&shape); i++) p->image[i] = (float)tern_rng_normal(rng, drawn++);
    run(p, 0);
    calibrate(p);
}

static void close_pair(pair *p)
{
    for (int i = 0; i < 3; i++) {
        tern_session_close(p->session[i]);
        tern_program_close(p->program[i]);
    }
    tern_store_close(&p->store[0]);
    tern_store_close(&p->store[1]);
    tern_int8_plan_free(&p->plan);
    tern_graph_close(p->floats);
    tern_graph_close(p->bytes);
    tern_release(p->formats);
    tern_release(p->image);
}

/* Bytes by fast kernels are those of the definitions; they are near the floats: the root of the mean squared difference,
 * over that of the floats. */
static double compare(pair *p)
{
    tern_tensor y[3];
    double error = 0, size = 0;
    for (int i = 0; i < 3; i++) {
        run(p, i);
        assert_ok(tern_session_output(p->session[i], "logits", &y[i]));
    }
    int64_t n = tern_elements(&y[0].shape);
    assert_memory_equal(y[1].data, y[2].data, (size_t)n * sizeof(float));
    for (int64_t i = 0; i < n; i++) {
        double x = tern_get(&y[0], i), d = tern_get(&y[1], i) - x;
        error += d * d;
        size += x * x;
    }
    return sqrt(error / size);
}

static tern_graph *begin(tern_shape shape, tern_value *image)
{
    tern_graph *g;
    assert_ok(tern_graph_open(&g, &(tern_graph_options){.seed = 3}));
    *image = tern_input(g, "image", TERN_F32, shape);
    return g;
}

/* All forms in one net: products with limits behind them, a sum, shared formats, a table, pooling, a mean, softmax. */
static tern_graph *all_forms(int batch)
{
    tern_value x;
    tern_graph *g = begin(TERN_SHAPE(batch, 2, 9, 11), &x);
    x = tern_clip(g, tern_conv2d(g, x, .out = 6, .pad = 1), 0, 1.5);
    tern_value y = tern_conv2d(g, x, .out = 6, .pad = 1, .groups = 6);
    x = tern_relu(g, tern_add(g, x, y));
    tern_value parts[] = {x, tern_sigmoid(g, y)};
    x = tern_concat(g, parts, 2, 1);
    x = tern_max_pool2d(g, x, .kernel = 2);
    x = tern_avg_pool2d(g, tern_permute(g, x, TERN_SHAPE(0, 1, 3, 2)), .kernel = 2, .stride = 1);
    x = tern_mean(g, x, .axis = 2, .axes = 2);
    tern_output(g, "logits", tern_softmax(g, tern_linear(g, tern_slice(g, x, 1, 2, 8), .out = 5)));
    return g;
}

static void test_all_forms(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        pair p;
        open_pair(&p, all_forms(1 + 3 * i), i == 1);
        double e = compare(&p);
        if (e > 0.05) fail_msg("bytes are %.3f from floats", e);
        close_pair(&p);
    }
}

static void check_net(const char *name, const char *option, int value, double most)
{
    const tern_net *net = tern_net_find(name);
    void *parameters;
    tern_graph *g;
    pair p;
    assert_ok(tern_net_parameters(net, &parameters));
    if (option) assert_ok(tern_net_set(net, parameters, option, value));
    assert_ok(tern_model_plain_graph(&g, net, parameters, &net->sample, 2, 1));
    tern_net_free(parameters);
    open_pair(&p, g, false);
    double e = compare(&p);
    if (e > most) fail_msg("%s: bytes are %.3f from floats", name, e);
    close_pair(&p);
}

static void test_nets_of_the_zoo(void **state)
{
    (void)state;
    check_net("mlp", NULL, 0, 0.05);
    check_net("lenet", NULL, 0, 0.05);
    check_net("cnn", "width", 4, 0.05);
    check_net("mobilenet", "blocks", 4, 0.1);
    check_net("resnet", "width", 4, 0.1);
}

/* Blocks that take some tokens at a time have the bits of the operators one by one; returns how many blocks there are. */
static int compare_blocks(pair *p, tern_int8_blocks how)
{
    tern_graph *blocks;
    tern_program *program;
    tern_session *session;
    tern_tensor expected, found;
    int count = 0;
    assert_ok(tern_pass_int8_blocks(p->bytes, &how, &blocks));
    for (int n = 0; n < blocks->node_count; n++) {
        const tern_op *op = blocks->nodes[n]->op;
        count +=
            op == &tern_op_mlp_int8 || op == &tern_op_attention_block_int8 || op == &tern_op_patches_int8;
        if (tern_int8_streams(op, blocks->nodes[n]->args)) count += 100;
    }
    tern_value image = tern_find_value(blocks, "image");
    assert_int_equal(tern_int8_is_streamed(blocks, image), count >= 100);
    assert_ok(tern_plan(&program, blocks, &(tern_plan_options){.reference = true, .compact = true}));
    assert_ok(tern_session_open(&session, program, &p->store[1], NULL));
    assert_ok(tern_session_bind(session, "image", p->image));
    assert_ok(tern_session_run(session, 0));
    run(p, 1);
    assert_ok(tern_session_output(p->session[1], "logits", &expected));
    assert_ok(tern_session_output(session, "logits", &found));
    assert_memory_equal(expected.data, found.data, (size_t)tern_elements(&found.shape) * sizeof(float));
    tern_session_close(session);
    tern_program_close(program);
    tern_graph_close(blocks);
    return count;
}

/* Low rank, heads that are not as wide as a token, an image in a frame of zeros; and what ViT is without all that. */
static void test_transformers(void **state)
{
    (void)state;
    static const struct {
        const char *net;
        tern_named_number options[6];
    } nets[] = {{"mcuformer", {{"D", 24}, {"depth", 2}, {"heads", 2}, {"m", 2}, {"patch", 8}, {"image", 32}}},
                {"vit", {{"width", 64}, {"layers", 2}, {"patch", 10}}}};
    for (size_t i = 0; i < 2 * TERN_COUNT(nets); i++) {
        const tern_net *net = tern_net_find(nets[i / 2].net);
        int batch = 1 + i % 2, streamed = batch == 1 ? 100 : 0;
        void *parameters;
        tern_graph *g;
        pair p;
        assert_ok(tern_net_parameters(net, &parameters));
        for (int k = 0; k < 6 && nets[i / 2].options[k].name; k++)
            assert_ok(
                tern_net_set(net, parameters, nets[i / 2].options[k].name, nets[i / 2].options[k].value));
        assert_ok(tern_model_plain_graph(&g, net, parameters, &TERN_SHAPE(3, 30, 30), batch, 1));
        tern_net_free(parameters);
        open_pair(&p, g, false);
        double e = compare(&p);
        if (e > 0.1) fail_msg("%s: bytes are %.3f from floats", nets[i / 2].net, e);
        assert_int_equal(compare_blocks(&p, (tern_int8_blocks){.fuse = true, .tokens = 1}), 5);
        assert_int_equal(compare_blocks(&p, (tern_int8_blocks){true, true, 3}), 5 + streamed);
        assert_int_equal(compare_blocks(&p, (tern_int8_blocks){true, true, 100}), 5 + streamed);
        assert_int_equal(compare_blocks(&p, (tern_int8_blocks){.stream = true}), 1 + streamed);
        assert_int_equal(compare_blocks(&p, (tern_int8_blocks){0}), 0);
        close_pair(&p);
    }
}

/* A table is the function at each of the 256 bytes, rounded once. */
static void test_tables(void **state)
{
    (void)state;
    static const struct {
        const tern_op *op;
        double (*f)(double);
    } curves[] = {{&tern_op_tanh, tanh}, {&tern_op_exp, exp}};
    for (size_t c = 0; c < TERN_COUNT(curves); c++) {
        pair p;
        tern_value x;
        tern_graph *g = begin(TERN_SHAPE(1, 300), &x);
        tern_output(g, "logits", tern_apply1(g, curves[c].op, x));
        open_pair(&p, g, false);
        const tern_int8_site *s = NULL;
        for (int i = 0; i < p.plan.count; i++)
            if (p.plan.sites[i].op == &tern_op_table_int8) s = &p.plan.sites[i];
        assert_non_null(s);
        char name[96];
        snprintf(name, sizeof name, "%s.table", s->name);
        const tern_tensor *table = parameter_of(&p.store[1], name);
        tern_int8_format from = p.formats[s->in[0]], to = p.formats[s->out];
        for (int q = -128; q < 128; q++) {
            double y = curves[c].f(from.scale * (q - from.zero)) / to.scale, byte = tern_get(table, q + 128);
            y = fmin(fmax(y + to.zero, -128), 127);
            assert_true(fabs(byte - y) <= 0.5 + 1e-9);
        }
        close_pair(&p);
    }
}

static void test_softmax(void **state)
{
    (void)state;
    int8_t x[90], y[90];
    int32_t exps[256];
    for (int round = 0; round < 200; round++) {
        int n = 1 + round % 90;
        double scale = uniform(0.005, 0.2), sum = 0;
        tern_int8_exponentials(scale, exps);
        for (int d = 0; d < 256; d++) assert_true(fabs(exps[d] - exp(-scale * d) * 2147483648.0) < 4000);
        for (int i = 0; i < n; i++) x[i] = (int8_t)uniform(-128, 127);
        for (int i = 0; i < n; i++) sum += exp(scale * x[i]);
        tern_tensor in[] = {{TERN_I8, TERN_SHAPE(n), x}, {TERN_I32, TERN_SHAPE(256), exps}},
                    out = {TERN_I8, TERN_SHAPE(n), y};
        tern_call call = {.op = &tern_op_softmax_int8, .nin = 2, .nout = 1, .in = in, .out = &out};
        tern_op_softmax_int8.run(&call);
        for (int i = 0; i < n; i++) {
            double share = fmin(256 * exp(scale * x[i]) / sum, 255);
            assert_true(fabs(y[i] + 128 - share) <= 0.51);
        }
    }
}

/* ---- calibration ---------------------------------------------------------------------------------------------- */

static double error_of(const tern_int8_format *f, const float *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        double q = fmin(fmax(nearbyint(x[i] / f->scale) + f->zero, -128), 127),
               d = f->scale * (q - f->zero) - x[i];
        sum += d * d;
    }
    return sum;
}

static void test_calibrators(void **state)
{
    (void)state;
    enum { N = 20000 };
    static float x[N];
    static tern_range r, half[2];
    for (int i = 0; i < N; i++) x[i] = (float)tern_rng_normal(rng, drawn++);
    x[7] = 60; /* an outlier that bytes need not reach */
    x[8] = NAN;
    tern_range_widen(&r, x, N);
    tern_range_count(&r, x, N);
    tern_range_widen(&half[0], x, N / 2);
    tern_range_widen(&half[1], x + N / 2, N - N / 2);
    tern_range_join(&half[0], &half[1]);
    assert_true(half[0].low == r.low && half[0].high == r.high && half[0].seen == r.seen);
    x[8] = 0;
    tern_int8_format whole = tern_range_format(&r, TERN_MIN_MAX, 0),
                     part = tern_range_format(&r, TERN_PERCENTILE, 99.9),
                     least = tern_range_format(&r, TERN_LEAST_SQUARES, 0),
                     entropy = tern_range_format(&r, TERN_ENTROPY, 0);
    assert_true(fabs(whole.scale - (60 - r.low) / 255) < 1e-6);
    assert_int_equal(whole.zero, (int)nearbyint(-128 - r.low / whole.scale));
    assert_true(part.scale < 10.0 / 255 && part.scale > 5.0 / 255);
    assert_true(error_of(&least, x, N) <= error_of(&whole, x, N));
    assert_true(entropy.scale < whole.scale);
    tern_int8_format all = tern_range_format(&r, TERN_PERCENTILE, 100);
    assert_true(all.scale == whole.scale);
}

static void test_ranges_contain_zero(void **state)
{
    (void)state;
    static const float high[] = {3, 5}, none[] = {0, 0};
    static tern_range a, b;
    tern_range_widen(&a, high, 2);
    tern_int8_format f = tern_range_format(&a, TERN_MIN_MAX, 0);
    assert_int_equal(f.zero, -128);
    assert_true(fabs(f.scale - 5.0 / 255) < 1e-8);
    tern_range_widen(&b, none, 2);
    assert_true(tern_range_format(&b, TERN_MIN_MAX, 0).scale == 1);
}

/* ---- what cannot be ------------------------------------------------------------------------------------------ */

static void test_what_has_no_form(void **state)
{
    (void)state;
    tern_graph *g, *bytes = NULL;
    tern_value x;
    g = begin(TERN_SHAPE(2, 3), &x);
    tern_layer(g, "middle", NULL);
    tern_output(g, "logits", tern_matmul(g, x, tern_permute(g, x, TERN_SHAPE(1, 0))));
    assert_error(tern_pass_int8(g, &plain, &bytes, NULL), TERN_USAGE,
                 "layer middle1: matmul has no form in bytes");
    tern_graph_close(g);
    g = begin(TERN_SHAPE(1, 70000), &x);
    tern_output(g, "logits", tern_linear(g, x, .out = 1));
    assert_error(tern_pass_int8(g, &plain, &bytes, NULL), TERN_FAILED, "may not fit 32 bits");
    tern_graph_close(g);
    assert_null(tern_net_find("spiking-cnn-int8"));
}

static void test_what_has_no_form_in_shorts(void **state)
{
    (void)state;
    tern_int8_parameters shorts = {.bits = 8, .out = 8, .multiplier = 32, .activations = 16};
    tern_graph *g, *bytes = NULL;
    tern_value x;
    g = begin(TERN_SHAPE(1, 257), &x);
    tern_output(g, "logits", tern_linear(g, x, .out = 1));
    assert_error(tern_pass_int8(g, &shorts, &bytes, NULL), TERN_USAGE, "an output sums 257 products");
    shorts.activations = 4;
    assert_error(tern_pass_int8(g, &shorts, &bytes, NULL), TERN_USAGE, "act-bits 4");
    shorts.activations = 16;
    tern_graph_close(g);
    g = begin(TERN_SHAPE(1, 2, 4, 4), &x);
    tern_output(g, "logits", tern_max_pool2d(g, x, .kernel = 2));
    assert_error(tern_pass_int8(g, &shorts, &bytes, NULL), TERN_USAGE,
                 "max_pool2d has no form with activations of 16 bits");
    tern_graph_close(g);
}

static tern_status form(const tern_graph *g)
{
    tern_graph *bytes = NULL;
    tern_int8_plan plan = {0};
    tern_status status = tern_pass_int8(g, &plain, &bytes, &plan);
    if (status == TERN_OK) {
        tern_int8_plan_free(&plan);
        tern_graph_close(bytes);
    }
    return status;
}

static tern_status fit(const tern_net *net, const void *parameters, const tern_machine *machine,
                       tern_fit *fit)
{
    return tern_fit_open(fit, net, parameters, &net->sample, machine,
                         &(tern_emit_limits){24000, 1 << 20, 4096});
}

static tern_status fit_once(const tern_net *net, const void *parameters, const tern_machine *machine)
{
    tern_fit f;
    TERN_TRY(fit(net, parameters, machine, &f));
    tern_fit_close(&f);
    return TERN_OK;
}

/* The first form that fits is the best, and each is what a plan of it says. */
static void test_fit(void **state)
{
    (void)state;
    static const char text[] =
        "name: small\nidle: 1 mW\nunits:\n  - {name: core, kind: simd, clock: 100 MHz, mac: {f32: 1 "
        "mac/cycle}, source: test}\nmemories:\n  - {name: ram, size: 64 KiB, bandwidth: 1 GB/s, "
        "source: test}\nsource: test\n";
    const tern_net *net = tern_net_find("lenet");
    void *parameters;
    tern_machine *machine;
    tern_fit f;
    assert_ok(tern_machine_parse(&machine, text, sizeof text - 1, "small.yaml"));
    assert_ok(tern_net_parameters(net, &parameters));
    assert_ok(fit(net, parameters, machine, &f));
    assert_true(f.count > 10 && f.best > 0);
    for (int i = 1; i < f.count; i++) {
        assert_true(f.forms[i].fits == (f.forms[i].ram <= 24000 && f.forms[i].flash <= 1 << 20));
        if (i > 1) assert_true(f.forms[i].macs <= f.forms[i - 1].macs);
        if (i < f.best) assert_false(f.forms[i].fits);
    }
    assert_true(f.forms[f.best].fits && f.forms[f.best].net->int8);
    tern_fit_close(&f);
    assert_survives_out_of_memory(fit_once(net, parameters, machine));
    tern_machine_close(machine);
    tern_net_free(parameters);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    tern_graph *g = all_forms(1);
    assert_survives_out_of_memory(form(g));
    tern_graph_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_multiplier_at_its_ends),
        cmocka_unit_test(test_floats_to_bytes),
        cmocka_unit_test(test_all_forms),
        cmocka_unit_test(test_nets_of_the_zoo),
        cmocka_unit_test(test_transformers),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_calibrators),
        cmocka_unit_test(test_ranges_contain_zero),
        cmocka_unit_test(test_what_has_no_form),
        cmocka_unit_test(test_what_has_no_form_in_shorts),
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("int8", tests, NULL, NULL);
}
