/* Sums of 16 bits: one term against whole numbers, products in the order that is written down, gradients against those of
 * f32, a net that learns, and what is refused. */
#define _XOPEN_SOURCE 700 /* mkdtemp */
#include "test.h"

#include "half_reference.h"

#include "emit/emit.h"
#include "op/half.h"
#include "train/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static tern_rng rng = {.seed = 66};
static uint64_t drawn;

static int between(int low, int high)
{
    return low + (int)tern_rng_below(rng, drawn++, (uint64_t)(high - low + 1));
}

/* ---- one term, in whole numbers ---------------------------------------------------------------------------------------- */

/* Any finite number; mostly such that sums and products meet. */
static uint16_t some_bits(const half_layout *l)
{
    uint16_t bits = (uint16_t)between(0, 65535);
    int biased = between(0, 2) ? l->largest / 2 + between(-12, 12) : between(0, l->largest - 1);
    if (biased < 0) biased = 0;
    if (biased >= l->largest) biased = l->largest - 1;
    return (uint16_t)((bits & (0x8000 | ((1 << l->fraction) - 1))) | biased << l->fraction);
}

static void test_a_term_is_rounded_once(void **state)
{
    (void)state;
    for (int f = 0; f < 2; f++) {
        tern_dtype format = f ? TERN_BF16 : TERN_F16;
        const half_layout *l = layout_of(format);
        for (int i = 0; i < 400000; i++) {
            uint16_t sum = some_bits(l), a = some_bits(l), b = some_bits(l);
            if (i % 16 == 0) sum = 0;
            uint16_t expected = term_of(l, sum, a, b);
            uint16_t got = bits_of(format, tern_half_step(format, value_of(format, sum), value_of(format, a),
                                                          value_of(format, b)));
            if (got != expected)
                fail_msg("%s: %04x + %04x %04x is %04x, whole numbers say %04x", tern_dtype_of(format)->name,
                         sum, a, b, got, expected);
        }
    }
    /* 2048 + 1 + a little: twice rounded this would be 2048 */
    assert_true(tern_half_step(TERN_F16, 2048, 1, 1.0009765625f) == 2050);
    assert_true(tern_half_step(TERN_F16, 2048, 1, 1) == 2048);
    assert_true(tern_half_step(TERN_BF16, 0x1p-60f, 0x1.02p8f, 1.5f) ==
                0x1.84p8f); /* a tie, and a little more */
    assert_true(tern_half_step(TERN_BF16, -0x1p-60f, 0x1.02p8f, 1.5f) == 0x1.82p8f);
    assert_true(isinf(tern_half_step(TERN_F16, 65504, 16, 1)) &&
                tern_half_step(TERN_F16, 65504, 15, 1) == 65504);
}

/* ---- products in their order --------------------------------------------------------------------------------------------- */

typedef struct layer {
    tern_half_op args;
    tern_shape x, w, y;
    tern_dtype format;
    uint16_t *in, *weight, *dy, *bias;
    int oh, ow;
} layer;

static uint16_t pixel(const layer *p, const uint16_t *image, const tern_shape *s, int n, int c, int y, int x)
{
    (void)p;
    if (y < 0 || x < 0 || y >= s->dim[2] || x >= s->dim[3]) return 0;
    return image[((n * s->dim[1] + c) * s->dim[2] + y) * s->dim[3] + x];
}

/* One output of the forward product: channels, rows of taps, taps. */
static uint16_t forward_of(const layer *p, int n, int o, int oy, int ox)
{
    const tern_conv_op *a = &p->args.conv;
    const half_layout *l = layout_of(p->format);
    int in = (int)p->w.dim[1], k = (int)p->w.dim[2], group = o / ((int)p->w.dim[0] / a->groups);
    uint16_t sum = p->bias[o];
    for (int c = 0; c < in; c++)
        for (int ky = 0; ky < k; ky++)
            for (int kx = 0; kx < k; kx++)
                sum = term_of(l, sum, p->weight[((o * in + c) * k + ky) * k + kx],
                              pixel(p, p->in, &p->x, n, group * in + c,
                                    oy * a->stride + ky * a->dilation - a->pad,
                                    ox * a->stride + kx * a->dilation - a->pad));
    return sum;
}

/* One element of the gradient of W: images, then pixels. */
static uint16_t of_weight(const layer *p, int o, int c, int ky, int kx)
{
    const tern_conv_op *a = &p->args.conv;
    int in = (int)p->w.dim[1], group = o / ((int)p->w.dim[0] / a->groups);
    uint16_t sum = 0;
    for (int n = 0; n < p->x.dim[0]; n++)
        for (int oy = 0; oy < p->oh; oy++)
            for (int ox = 0; ox < p->ow; ox++)
                sum = term_of(layout_of(p->format), sum, pixel(p, p->dy, &p->y, n, o, oy, ox),
                              pixel(p, p->in, &p->x, n, group * in + c,
                                    oy * a->stride + ky * a->dilation - a->pad,
                                    ox * a->stride + kx * a->dilation - a->pad));
    return sum;
}

/* One element of the gradient of x: output channels, taps from the last one on. */
static uint16_t of_input(const layer *p, int n, int c, int y, int x)
{
    const tern_conv_op *a = &p->args.conv;
    int in = (int)p->w.dim[1], k = (int)p->w.dim[2], out = (int)p->w.dim[0] / a->groups, group = c / in;
    uint16_t sum = 0;
    for (int o = group * out; o < (group + 1) * out; o++)
        for (int ky = k - 1; ky >= 0; ky--)
            for (int kx = k - 1; kx >= 0; kx--) {
                int qy = y + a->pad - ky * a->dilation, qx = x + a->pad - kx * a->dilation;
                bool there = qy >= 0 && qx >= 0 && qy % a->stride == 0 && qx % a->stride == 0;
                sum = term_of(layout_of(p->format), sum,
                              there ? pixel(p, p->dy, &p->y, n, o, qy / a->stride, qx / a->stride) : 0,
                              p->weight[((o * in + c % in) * k + ky) * k + kx]);
            }
    return sum;
}

static uint16_t *numbers(const layer *p, int64_t n, double scale)
{
    uint16_t *x = tern_take_array((size_t)n, sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = bits_of(p->format, (float)(scale * tern_rng_normal(rng, drawn++)));
    return x;
}

static void open_layer(layer *p)
{
    int groups = between(1, 2), kernel = between(1, 3);
    *p = (layer){.args = {.conv = {.stride = between(1, 2),
                                   .pad = between(0, 2),
                                   .dilation = between(1, 2),
                                   .groups = groups},
                          .lanes = 8},
                 .format = between(0, 1) ? TERN_F16 : TERN_BF16};
    p->x = TERN_SHAPE(between(1, 2), groups * between(1, 3), between(5, 9), between(5, 9));
    p->w = TERN_SHAPE(groups * between(1, 3), p->x.dim[1] / groups, kernel, kernel);
    tern_conv g = tern_conv_geometry(&p->x, &p->w, &p->args.conv);
    p->oh = (int)g.out_height, p->ow = (int)g.out_width;
    if (p->oh * p->ow == 1) p->args.lanes = 1;
    p->y = TERN_SHAPE(p->x.dim[0], p->w.dim[0], p->oh, p->ow);
    p->in = numbers(p, tern_elements(&p->x), 1);
    p->weight = numbers(p, tern_elements(&p->w), 0.4);
    p->dy = numbers(p, tern_elements(&p->y), 0.1);
    p->bias = numbers(p, p->w.dim[0], 0.1);
}

static void close_layer(layer *p)
{
    tern_release(p->in), tern_release(p->weight), tern_release(p->dy), tern_release(p->bias);
}

static void apply(const layer *p, const tern_op *op, const tern_shape *like, const tern_tensor *in, int nin,
                  const tern_tensor *out)
{
    tern_half_op args = p->args;
    if (like) args.conv.like = *like;
    op->run(&(tern_call){.op = op, .args = &args, .nin = nin, .nout = 1, .in = in, .out = out});
}

static void compare(const char *what, const uint16_t *got, const uint16_t *expected, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (got[i] != expected[i])
            fail_msg("%s: element %lld is %04x, whole numbers say %04x", what, (long long)i, got[i],
                     expected[i]);
}

#define EACH(s, n, c, y, x)                                                                                  \
    for (int n = 0, at = 0; n < (s).dim[0]; n++)                                                             \
        for (int c = 0; c < (s).dim[1]; c++)                                                                 \
            for (int y = 0; y < (s).dim[2]; y++)                                                             \
                for (int x = 0; x < (s).dim[3]; x++, at++)

static void test_products_are_whole_numbers_in_order(void **state)
{
    (void)state;
    for (int round = 0; round < 60; round++) {
        layer p;
        open_layer(&p);
        tern_tensor x = {p.format, p.x, p.in}, w = {p.format, p.w, p.weight}, dy = {p.format, p.y, p.dy},
                    b = {p.format, TERN_SHAPE(p.w.dim[0]), p.bias};
        const tern_shape *shapes[] = {&p.y, &p.w, &p.x};
        for (int kind = 0; kind < 3; kind++) {
            int64_t n = tern_elements(shapes[kind]);
            uint16_t *got = tern_take_array((size_t)n, 2), *expected = tern_take_array((size_t)n, 2);
            tern_tensor out = {p.format, *shapes[kind], got};
            if (kind == 0) {
                apply(&p, &tern_op_half_product, NULL, (tern_tensor[]){x, w, b}, 3, &out);
                EACH(p.y, i, c, y, z) expected[at] = forward_of(&p, i, c, y, z);
            } else if (kind == 1) {
                apply(&p, &tern_op_half_grad_weight, &p.w, (tern_tensor[]){x, dy}, 2, &out);
                EACH(p.w, i, c, y, z) expected[at] = of_weight(&p, i, c, y, z);
            } else {
                apply(&p, &tern_op_half_grad_input, &p.x, (tern_tensor[]){dy, w}, 2, &out);
                EACH(p.x, i, c, y, z) expected[at] = of_input(&p, i, c, y, z);
            }
            compare(kind ? kind == 1 ? "gradient of W" : "gradient of x" : "forward", got, expected, n);
            tern_release(got);
            tern_release(expected);
        }
        close_layer(&p);
    }
}

/* y = W x: lanes of whole numbers, added in pairs, then what is left. */
static void test_linear_layers_sum_in_lanes(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        layer p = {.args = {.conv = {.stride = 1, .dilation = 1, .groups = 1}, .lanes = 1 << between(0, 3)},
                   .format = round % 2 ? TERN_F16 : TERN_BF16};
        const half_layout *l = layout_of(p.format);
        int k = between(1, 40), n = between(1, 5), lanes = p.args.lanes, whole = k / lanes * lanes;
        uint16_t *x = numbers(&p, k, 1), *w = numbers(&p, k * n, 1), y[8], one = bits_of(p.format, 1);
        tern_tensor in[] = {{p.format, TERN_SHAPE(1, k), x}, {p.format, TERN_SHAPE(n, k), w}},
                    out = {p.format, TERN_SHAPE(1, n), y};
        apply(&p, &tern_op_half_product, NULL, in, 2, &out);
        for (int o = 0; o < n; o++) {
            uint16_t t[8] = {0};
            for (int i = 0; i < whole; i++) t[i % lanes] = term_of(l, t[i % lanes], x[i], w[o * k + i]);
            if (lanes == 8) t[6] = term_of(l, t[6], t[7], one), t[4] = term_of(l, t[4], t[5], one);
            if (lanes >= 4) t[2] = term_of(l, t[2], t[3], one);
            if (lanes >= 2) t[0] = term_of(l, t[0], t[1], one);
            if (lanes == 8) t[4] = term_of(l, t[4], t[6], one);
            if (lanes >= 4) t[0] = term_of(l, t[0], t[2], one);
            if (lanes == 8) t[0] = term_of(l, t[0], t[4], one);
            for (int i = whole; i < k; i++) t[0] = term_of(l, t[0], x[i], w[o * k + i]);
            if (y[o] != t[0]) fail_msg("%d lanes, k %d: %04x, whole numbers say %04x", lanes, k, y[o], t[0]);
        }
        tern_release(x);
        tern_release(w);
    }
}

/* ---- nets ------------------------------------------------------------------------------------------------------------------- */

typedef struct tern_step_result {
    float loss, logits[4];
    tern_store store;
} tern_step_result;

/* Steps of a small residual net of one format on one sample. */
static void learn(int format, double scale, int steps, tern_step_result *r)
{
    const tern_net *net = tern_net_find("resnet-small-half");
    void *parameters;
    tern_int8_stepper s;
    float image[64];
    int32_t label = 2;
    *r = (tern_step_result){0};
    assert_non_null(net);
    assert_ok(tern_net_parameters(net, &parameters));
    assert_ok(tern_net_set(net, parameters, "width", 3));
    assert_ok(tern_net_set(net, parameters, "classes", 4));
    assert_ok(tern_net_set(net, parameters, "half-format", format));
    assert_ok(tern_net_set(net, parameters, "loss-scale", scale));
    for (int i = 0; i < 64; i++) image[i] = (float)sin(0.7 * i);
    assert_ok(tern_int8_stepper_open(&s, net, parameters, &TERN_SHAPE(1, 8, 8), 1, NULL, &r->store, NULL));
    for (int i = 0; i < steps; i++) {
        tern_tensor loss;
        assert_ok(tern_int8_step(&s, image, &label, 0.2));
        assert_ok(tern_session_output(s.session, "loss", &loss));
        r->loss = *(const float *)loss.data;
    }
    tern_int8_stepper_close(&s);
    tern_net_free(parameters);
}

/* What the weights have moved, against f32 from the same beginning, relative in the L2 norm. */
static double distance(const tern_step_result *begin, const tern_step_result *a, const tern_step_result *b)
{
    double apart = 0, moved = 0;
    for (int i = 0; i < a->store.count; i++)
        for (int64_t k = 0; k < tern_elements(&a->store.tensors[i].shape); k++) {
            double from = tern_get(&begin->store.tensors[i], k);
            double da = tern_get(&a->store.tensors[i], k) - from,
                   db = tern_get(&b->store.tensors[i], k) - from;
            apart += (da - db) * (da - db);
            moved += db * db;
        }
    return sqrt(apart / moved);
}

static void test_a_net_learns(void **state)
{
    (void)state;
    static const tern_dtype formats[] = {TERN_F16, TERN_BF16, TERN_F32};
    for (int format = 0; format < 3; format++) {
        tern_step_result first, later, scaled;
        learn(format, 1, 1, &first);
        learn(format, 1, 20, &later);
        learn(format, 64, 20, &scaled);
        assert_true(later.loss < 0.7f * first.loss);
        assert_true(scaled.loss < 0.7f * first.loss);
        assert_int_equal(first.store.tensors[0].dtype, formats[format]);
        if (format == 0) assert_true(distance(&first, &scaled, &later) < 0.2);
        tern_store_close(&first.store), tern_store_close(&later.store), tern_store_close(&scaled.store);
    }
}

static void test_what_is_refused(void **state)
{
    (void)state;
    void *parameters;
    tern_graph *g;
    const tern_net *vit = tern_net_find("vit-half"), *small = tern_net_find("resnet-small-half");
    tern_recipe recipe = tern_recipe_default();
    assert_non_null(vit);
    assert_null(tern_net_find("spiking-cnn-half"));
    assert_ok(tern_net_parameters(vit, &parameters));
    assert_error(tern_model_graph(&g, vit, parameters, &vit->sample, 1, 0), TERN_USAGE, "no form in 16 bits");
    tern_net_free(parameters);
    assert_ok(tern_net_parameters(small, &parameters));
    assert_error(tern_model_training_graph(&g, small, parameters, &small->sample, 1, &recipe), TERN_USAGE,
                 "gradient descent alone");
    assert_ok(tern_net_set(small, parameters, "lanes", 3));
    assert_error(tern_model_graph(&g, small, parameters, &small->sample, 1, 0), TERN_USAGE, "lanes 3");
    tern_net_free(parameters);
}

static tern_status build_step(void)
{
    const tern_net *net = tern_net_find("mlp-half");
    void *parameters = NULL;
    tern_graph *g = NULL;
    tern_recipe recipe = tern_recipe_of(net);
    TERN_TRY(tern_net_parameters(net, &parameters));
    tern_status status = tern_net_set(net, parameters, "hidden", 3);
    if (status == TERN_OK)
        status = tern_model_training_graph(&g, net, parameters, &TERN_SHAPE(1, 2, 2), 1, &recipe);
    tern_graph_close(g);
    tern_net_free(parameters);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    assert_survives_out_of_memory(build_step());
}

/* Samples of 16 bits are files of a board; main.c of what runs here has floats or bytes. */
static void test_samples_of_16_bits(void **state)
{
    (void)state;
    tern_graph *g;
    tern_program *program;
    tern_session *session;
    tern_store store = {0};
    uint16_t image[4] = {0x3c00, 0x4000, 0xc000, 0x3800};
    char folder[] = "/tmp/tern-half-XXXXXX", path[64], line[96], *text;
    size_t size;
    tern_half_op args = {.conv = {.stride = 1, .dilation = 1, .groups = 1}, .lanes = 1};
    assert_ok(tern_graph_open(&g, NULL));
    tern_value in[] = {tern_input(g, "image", TERN_F16, TERN_SHAPE(1, 4, 1, 1)),
                       tern_weight(g, "weight", TERN_F16, TERN_SHAPE(2, 4, 1, 1))};
    tern_output(g, "logits", tern_apply(g, &tern_op_half_product, &args, in, 2, NULL));
    assert_ok(tern_plan(&program, g, &(tern_plan_options){.reference = true, .compact = true}));
    assert_ok(tern_session_open(&session, program, &store, NULL));
    assert_ok(tern_session_bind(session, "image", image));
    assert_ok(tern_session_run(session, 0));
    const tern_emit_target *board = tern_emit_targets;
    while (strcmp(board->name, "cortex-m55") != 0) board++;
    tern_emit_source source = {.program = program, .session = session, .name = "net", .about = "a product"};
    tern_emit_samples samples = {.images = image, .count = 1, .steps = 1};
    tern_emit_limits limits = {64 << 10, 64 << 10, 1024};
    assert_non_null(mkdtemp(folder));
    assert_error(tern_emit_folder(&source, tern_emit_targets, &limits, &samples, folder), TERN_USAGE,
                 "has no samples of 16 bits");
    assert_ok(tern_emit_folder(&source, board, &limits, &samples, folder));
    snprintf(path, sizeof path, "%s/images.bin", folder);
    assert_ok(tern_read_file(path, &text, &size));
    assert_int_equal(size, sizeof image);
    assert_memory_equal(text, image, size);
    tern_release(text);
    snprintf(line, sizeof line, "rm -r %s", folder);
    assert_int_equal(system(line), 0);
    tern_session_close(session), tern_program_close(program), tern_graph_close(g), tern_store_close(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_term_is_rounded_once),
        cmocka_unit_test(test_products_are_whole_numbers_in_order),
        cmocka_unit_test(test_linear_layers_sum_in_lanes),
        cmocka_unit_test(test_a_net_learns),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_samples_of_16_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
