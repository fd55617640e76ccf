/* Nets of bytes that learn: gradients against those of the same products in floats, quantisation-aware scaling, what is chosen
 * and what that takes, the same bits whenever the updates come. */
#include "test.h"

#include "kernel/portable.h"
#include "op/int8.h"
#include "train/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static tern_rng rng = {.seed = 9};
static uint64_t drawn;

static int between(int low, int high)
{
    return low + (int)tern_rng_below(rng, drawn++, (uint64_t)(high - low + 1));
}

/* ---- functions with the same bits everywhere -------------------------------------------------------------------------- */

static void test_portable(void **state)
{
    (void)state;
    for (int i = 0; i < 80000; i++) {
        float x = -(float)i / 1000;
        assert_true(fabs(tern_exp_negative(x) / exp((double)x) - 1) < ldexp(1, -21));
    }
    assert_true(tern_exp_negative(-1000) == 0 && tern_exp_negative(NAN) == 0 && tern_exp_negative(0) == 1);
    for (int i = 1; i < 100000; i++) {
        float x = (float)i / 317;
        assert_true(fabs(tern_log_positive(x) - log((double)x)) < ldexp(1 + fabs(log((double)x)), -22));
    }
    double sum = 0;
    for (int i = 0; i < 20000; i++) sum += tern_round_by(0.3f, 1, tern_chance(1, 2, (uint32_t)i));
    assert_true(fabs(sum / 20000 - 0.3) < 0.02);
    for (int i = 0; i < 1000; i++) { /* whole numbers stay, whatever the chance */
        float chance = tern_chance(3, (uint32_t)i, 7);
        assert_true(chance >= 0 && chance < 1);
        assert_int_equal(tern_round_by((float)(i - 500), 1, chance), i - 500);
    }
    assert_int_equal(tern_round_by(-1.5f, 0, 0), -2);
    assert_int_equal(tern_round_by(NAN, 0, 0), 0);
    assert_int_equal(tern_round_by(1e30f, 0, 0), 1 << 30);
}

/* ---- gradients against those of floats ------------------------------------------------------------------------------------ */

/* Random bytes x and W and a gradient `a` of the sums: dW and dx by the operators of bytes. */
typedef struct product {
    tern_conv_op args;
    tern_shape x, w, y;
    int8_t *bytes, *weights;
    float *a, *dx, *dw;
    int32_t constants[TERN_PRODUCT_CONSTANTS];
} product;

static void run_bytes(product *p)
{
    tern_tensor x = {TERN_I8, p->x, p->bytes}, w = {TERN_I8, p->w, p->weights}, a = {TERN_F32, p->y, p->a},
                q = {TERN_I32, TERN_SHAPE(TERN_PRODUCT_CONSTANTS), p->constants},
                dw = {TERN_F32, p->w, p->dw}, dx = {TERN_F32, p->x, p->dx};
    tern_conv_op of_weight = p->args, of_input = p->args;
    of_weight.like = p->w;
    of_input.like = p->x;
    tern_op_int8_grad_weight.run(&(tern_call){.op = &tern_op_int8_grad_weight,
                                              .args = &of_weight,
                                              .nin = 3,
                                              .nout = 1,
                                              .in = (tern_tensor[]){x, a, q},
                                              .out = &dw});
    tern_op_int8_grad_input.run(&(tern_call){.op = &tern_op_int8_grad_input,
                                             .args = &of_input,
                                             .nin = 2,
                                             .nout = 1,
                                             .in = (tern_tensor[]){w, a},
                                             .out = &dx});
}

/* The convolution of (x - z) and W as floats, and its gradients by autodiff. */
static void compare_floats(product *p)
{
    tern_graph *g;
    tern_program *program;
    tern_session *session;
    tern_store store = {0};
    int64_t nx = tern_elements(&p->x), nw = tern_elements(&p->w);
    float *real = tern_take_array((size_t)nx, sizeof *real),
          *weight = tern_take_array((size_t)nw, sizeof *weight);
    for (int64_t i = 0; i < nx; i++) real[i] = (float)(p->bytes[i] - p->constants[TERN_X_ZERO]);
    for (int64_t i = 0; i < nw; i++) weight[i] = p->weights[i];
    assert_ok(tern_graph_open(&g, NULL));
    tern_value in[] = {tern_input(g, "x", TERN_F32, p->x), tern_input(g, "w", TERN_F32, p->w)};
    tern_value a = tern_input(g, "a", TERN_F32, p->y), grads[2];
    tern_value y = tern_apply(g, &tern_op_conv2d, &p->args, in, 2, NULL);
    assert_ok(tern_gradients_seeded(g, &y, &a, 1, in, 2, grads, &tern_default_gradient_ops));
    tern_output(g, "dx", grads[0]);
    tern_output(g, "dw", grads[1]);
    assert_ok(tern_plan(&program, g, &(tern_plan_options){.reference = true}));
    assert_ok(tern_session_open(&session, program, &store, NULL));
    assert_ok(tern_session_bind(session, "x", real));
    assert_ok(tern_session_bind(session, "w", weight));
    assert_ok(tern_session_bind(session, "a", p->a));
    assert_ok(tern_session_run(session, 0));
    for (int k = 0; k < 2; k++) {
        tern_tensor d;
        const float *own = k ? p->dw : p->dx;
        double largest = 0;
        assert_ok(tern_session_output(session, k ? "dw" : "dx", &d));
        for (int64_t i = 0; i < (k ? nw : nx); i++) largest = fmax(largest, fabs(tern_get(&d, i)));
        for (int64_t i = 0; i < (k ? nw : nx); i++)
            if (fabs(own[i] - tern_get(&d, i)) > 1e-5 * largest)
                fail_msg("%s %lld: %g, floats say %g", k ? "dW" : "dx", (long long)i, (double)own[i],
                         tern_get(&d, i));
    }
    tern_session_close(session);
    tern_program_close(program);
    tern_graph_close(g);
    tern_store_close(&store);
    tern_release(real);
    tern_release(weight);
}

static void test_gradients_are_those_of_floats(void **state)
{
    (void)state;
    for (int round = 0; round < 60; round++) {
        int groups = between(1, 3), c = groups * between(1, 3), o = groups * between(1, 3),
            kernel = between(1, 4);
        if (round % 4 == 0) groups = c = o = between(1, 7); /* depthwise */
        product p = {
            .args = {
                .stride = between(1, 3), .pad = between(0, 2), .dilation = between(1, 2), .groups = groups}};
        p.x = TERN_SHAPE(between(1, 3), c, between(7, 11), between(7, 11));
        p.w = TERN_SHAPE(o, c / groups, kernel, kernel);
        tern_conv geometry = tern_conv_geometry(&p.x, &p.w, &p.args);
        p.y = TERN_SHAPE(p.x.dim[0], o, geometry.out_height, geometry.out_width);
        int64_t nx = tern_elements(&p.x), nw = tern_elements(&p.w), ny = tern_elements(&p.y);
        p.bytes = tern_take((size_t)nx), p.weights = tern_take((size_t)nw);
        p.a = tern_take_array((size_t)ny, sizeof(float));
        p.dx = tern_take_array((size_t)nx, sizeof(float)), p.dw = tern_take_array((size_t)nw, sizeof(float));
        for (int64_t i = 0; i < nx; i++) p.bytes[i] = (int8_t)between(-128, 127);
        for (int64_t i = 0; i < nw; i++) p.weights[i] = (int8_t)between(-127, 127);
        for (int64_t i = 0; i < ny; i++) p.a[i] = between(0, 2) ? (float)tern_rng_normal(rng, drawn++) : 0;
        p.constants[TERN_X_ZERO] = between(-128, 127);
        run_bytes(&p);
        compare_floats(&p);
        tern_release(p.bytes), tern_release(p.weights), tern_release(p.a), tern_release(p.dx),
            tern_release(p.dw);
    }
}

/* ---- whole nets ------------------------------------------------------------------------------------------------------------- */

enum { SAMPLES = 48, SIDE = 12, CLASSES = 3 };

/* A net in bytes that knows squares by their place, and other names for them. */
typedef struct subject {
    const tern_net *net, *bytes;
    void *parameters, *byte_parameters;
    tern_samples samples;
    tern_store floats, store;
    tern_shape sample;
} subject;

static void make_samples(subject *s)
{
    tern_shape images = TERN_SHAPE(SAMPLES, 1, SIDE, SIDE), labels = TERN_SHAPE(SAMPLES);
    assert_ok(tern_tensor_new(&s->samples.images, TERN_F32, &images));
    assert_ok(tern_tensor_new(&s->samples.labels, TERN_I32, &labels));
    s->samples.classes = CLASSES;
    for (int i = 0; i < SAMPLES; i++) {
        tern_set(&s->samples.labels, i, i % CLASSES);
        for (int p = 0; p < SIDE * SIDE; p++) {
            int row = p / SIDE, column = p % SIDE, class = i % CLASSES;
            bool on = row / 6 == class / 2 && column / 6 == class % 2;
            tern_set(&s->samples.images, (int64_t)i * SIDE * SIDE + p,
                     on + 0.3 * tern_rng_normal(rng, drawn++));
        }
    }
}

static void open_subject(subject *s, const char *name)
{
    char bytes[64];
    *s = (subject){.net = tern_net_find(name), .sample = TERN_SHAPE(1, SIDE, SIDE)};
    snprintf(bytes, sizeof bytes, "%s-int8", name);
    s->bytes = tern_net_find(bytes);
    assert_ok(tern_net_parameters(s->net, &s->parameters));
    assert_ok(tern_net_parameters(s->bytes, &s->byte_parameters));
    for (int i = 0; i < 2; i++) {
        const tern_net *net = i ? s->bytes : s->net;
        void *p = i ? s->byte_parameters : s->parameters;
        assert_ok(tern_net_set(net, p, "classes", CLASSES));
        if (strcmp(name, "mobilenet") == 0) assert_ok(tern_net_set(net, p, "blocks", 3));
        if (strcmp(name, "resnet") == 0) assert_ok(tern_net_set(net, p, "width", 4));
        if (strcmp(name, "cnn") == 0) assert_ok(tern_net_set(net, p, "width", 4));
        if (strcmp(name, "cnn") == 0) assert_ok(tern_net_set(net, p, "hidden", 10));
    }
    make_samples(s);
    tern_training t = {.net = s->net,
                       .parameters = s->parameters,
                       .recipe = tern_recipe_default(),
                       .train = &s->samples,
                       .quiet = true};
    tern_progress_state progress = {0};
    t.recipe.batch = 8;
    t.recipe.crop = 0;
    t.recipe.flip = false;
    t.recipe.epochs = 12;
    assert_ok(tern_train(&t, &progress, &s->floats, NULL));
    tern_int8_conversion c = {.net = s->net,
                              .int8 = s->bytes,
                              .parameters = s->parameters,
                              .int8_parameters = s->byte_parameters,
                              .samples = &s->samples,
                              .images = 32,
                              .seed = 1};
    assert_ok(tern_convert_int8(&c, &s->floats, &s->store, NULL));
    for (int i = 0; i < SAMPLES; i++) /* now there is something to learn */
        tern_set(&s->samples.labels, i, (i + 1) % CLASSES);
}

static void close_subject(subject *s)
{
    tern_tensor_free(&s->samples.images);
    tern_tensor_free(&s->samples.labels);
    tern_store_close(&s->floats);
    tern_store_close(&s->store);
    tern_net_free(s->parameters);
    tern_net_free(s->byte_parameters);
}

static tern_tensor *tensor_of(tern_store *store, const char *name)
{
    int index = tern_store_find(store, name);
    if (index < 0) fail_msg("the store has no %s", name);
    return &store->tensors[index];
}

static void copy_store(const tern_store *from, tern_store *to)
{
    assert_ok(tern_hand_over(from, to));
}

/* Steps over the samples; the mean loss of the last pass over all of them. */
static double steps(subject *s, tern_store *store, const char *update, bool late, int passes, double rate)
{
    tern_int8_stepper stepper;
    tern_int8_update_plan plan;
    double loss = 0;
    assert_ok(tern_int8_update_parse(update, &plan));
    plan.late = late;
    assert_ok(
        tern_int8_stepper_open(&stepper, s->bytes, s->byte_parameters, &s->sample, 1, &plan, store, NULL));
    for (int i = 0; i < passes * SAMPLES; i++) {
        tern_tensor out;
        if (i % SAMPLES == 0) loss = 0;
        const float *image = (const float *)s->samples.images.data + i % SAMPLES * SIDE * SIDE;
        assert_ok(
            tern_int8_step(&stepper, image, (const int32_t *)s->samples.labels.data + i % SAMPLES, rate));
        assert_ok(tern_session_output(stepper.session, "loss", &out));
        loss += tern_get(&out, 0) / SAMPLES;
    }
    tern_int8_stepper_close(&stepper);
    return loss;
}

static int unequal(const tern_store *a, const tern_store *b, const char *part)
{
    int count = 0;
    for (int i = 0; i < a->count; i++) {
        int other = tern_store_find(b, a->names[i]);
        size_t bytes = tern_bytes_of(a->tensors[i].dtype, tern_elements(&a->tensors[i].shape));
        if (other < 0 || !strstr(a->names[i], part)) continue;
        count += memcmp(a->tensors[i].data, b->tensors[other].data, bytes) != 0;
    }
    return count;
}

/* Learning lowers the loss, changes what is chosen and nothing else, and gives the same bits in both orders. */
static void check_learning(const char *net, const char *update, int changed, double share)
{
    subject s;
    tern_store other = {0}, before = {0};
    open_subject(&s, net);
    copy_store(&s.store, &other);
    copy_store(&s.store, &before);
    double first = steps(&s, &s.store, update, false, 1, 0);
    assert_int_equal(unequal(&s.store, &before, ""), 0);
    double loss = steps(&s, &s.store, update, false, 6, 0.05),
           again = steps(&s, &other, update, true, 6, 0.05);
    if (!(loss < share * first)) fail_msg("%s, %s: loss %.4f, then %.4f", net, update, first, loss);
    assert_true(loss == again);
    assert_int_equal(unequal(&s.store, &other, ""), 0);
    int weights = unequal(&s.store, &before, ".weight");
    if (weights != changed)
        fail_msg("%s, %s: %d weights changed, expected %d", net, update, weights, changed);
    tern_store_close(&other);
    tern_store_close(&before);
    close_subject(&s);
}

static void test_learning(void **state)
{
    (void)state;
    check_learning("cnn", "all,stochastic", 4, 0.1);
    check_learning("cnn", "bias=2,conv3=0.5,linear6,stochastic", 2, 0.3);
    check_learning("cnn", "bias=4", 0, 0.7);
    check_learning("mobilenet", "last=4,stochastic", 4, 0.3);
    check_learning("resnet", "last=6,stochastic", 6, 0.3);
}

/* A depthwise layer, half of it: only the channels with the largest weights change. */
static void test_share(void **state)
{
    (void)state;
    subject s;
    tern_store before = {0};
    open_subject(&s, "mobilenet");
    copy_store(&s.store, &before);
    steps(&s, &s.store, "conv5=0.5,conv7=0.25,stochastic", false, 3, 0.05);
    for (int k = 0; k < 2; k++) {
        const char *names[2][2] = {{"conv5.weight", "conv5.channels"}, {"conv7.weight", "conv7.channels"}};
        const tern_tensor *w = tensor_of(&s.store, names[k][0]), *old = tensor_of(&before, names[k][0]),
                          *chosen = tensor_of(&s.store, names[k][1]);
        bool depthwise = w->shape.dim[1] == 1;
        int64_t channels = w->shape.dim[depthwise ? 0 : 1], taps = tern_elements_from(&w->shape, 2);
        assert_int_equal(tern_elements(&chosen->shape), (int64_t)((k ? 0.25 : 0.5) * (double)channels));
        int moved = 0;
        for (int64_t i = 0; i < tern_elements(&w->shape); i++) {
            int64_t c = depthwise ? i / taps : i / taps % channels;
            bool listed = false;
            for (int64_t j = 0; j < tern_elements(&chosen->shape); j++)
                listed |= tern_get(chosen, j) == (double)c;
            if (!listed) assert_true(tern_get(w, i) == tern_get(old, i));
            moved += tern_get(w, i) != tern_get(old, i);
        }
        assert_true(moved > 0);
    }
    tern_store_close(&before);
    close_subject(&s);
}

/* One step of linear6, whose weights and biases begin at 0, with a unit of its weights `larger` times as large: the sum of how
 * far real weights go, in units of the first.  A rate of 0 is set so that the longest step is between 15 and 30. */
static double real_step(subject *s, int larger, const char *update, double *rate)
{
    static const char *const cleared[] = {"linear6.weight", "linear6.bias"};
    bool search = *rate == 0;
    double most = 0, sum = 0;
    if (search) *rate = 1e-7;
    while (most < 15) {
        tern_store own = {0};
        tern_int8_stepper stepper;
        tern_int8_update_plan plan;
        copy_store(&s->store, &own);
        for (int k = 0; k < 2; k++)
            for (int64_t i = 0; i < tern_elements(&tensor_of(&own, cleared[k])->shape); i++)
                tern_set(tensor_of(&own, cleared[k]), i, 0);
        tern_tensor *shift = tensor_of(&own, "linear6.shift"), *w = tensor_of(&own, "linear6.weight");
        for (int64_t o = 0; o < tern_elements(&shift->shape); o++)
            tern_set(shift, o, tern_get(shift, o) + (larger == 4 ? 2 : 0));
        assert_ok(tern_int8_update_parse(update, &plan));
        assert_ok(
            tern_int8_stepper_open(&stepper, s->bytes, s->byte_parameters, &s->sample, 1, &plan, &own, NULL));
        assert_ok(tern_int8_step(&stepper, s->samples.images.data, s->samples.labels.data, *rate));
        most = sum = 0;
        for (int64_t i = 0; i < tern_elements(&w->shape); i++) {
            most = fmax(most, fabs(tern_get(w, i)));
            sum += fabs(tern_get(w, i)) * larger;
        }
        tern_int8_stepper_close(&stepper);
        tern_store_close(&own);
        if (!search) break;
        if (most < 15) *rate *= 2;
    }
    return sum;
}

/* The paper's point: a layer whose weights stand for 4 times as much goes as far, in real numbers, as the same layer does, but
 * for what is rounded; without scaling 16 times as far. */
static void test_scaling(void **state)
{
    (void)state;
    subject s;
    double rate = 0;
    open_subject(&s, "cnn");
    double step = real_step(&s, 1, "linear6", &rate), larger = real_step(&s, 4, "linear6", &rate);
    if (fabs(larger / step - 1) > 0.05) fail_msg("scaled: %g, then %g", step, larger);
    rate = 0;
    step = real_step(&s, 1, "linear6,unscaled", &rate);
    larger = real_step(&s, 4, "linear6,unscaled", &rate);
    if (fabs(larger / step / 16 - 1) > 0.05) fail_msg("unscaled: %g, then %g", step, larger);
    close_subject(&s);
}

/* ---- what is said ------------------------------------------------------------------------------------------------------------ */

static void test_plans(void **state)
{
    (void)state;
    static const char *const bad[] = {"",          "bias=-1",    "bias=x",   "conv1=0",
                                      "conv1=1.5", "conv1=0.5x", "last=2,,", "=0.5"};
    tern_int8_update_plan plan;
    for (size_t i = 0; i < TERN_COUNT(bad); i++)
        assert_error(tern_int8_update_parse(bad[i], &plan), TERN_USAGE, "expected all, bias=K");
    static const char *const good[] = {"all", "bias=3,conv1=0.5,stochastic", "last=2,unscaled",
                                       "bias=3,head,conv1=0.5"};
    for (size_t i = 0; i < TERN_COUNT(good); i++) {
        tern_text text = {0};
        assert_ok(tern_int8_update_parse(good[i], &plan));
        tern_int8_update_print(&plan, &text);
        assert_string_equal(text.data, good[i]);
        tern_text_free(&text);
    }
}

static tern_status program_of(const subject *s, const char *update)
{
    tern_int8_update_plan plan;
    tern_graph *g;
    tern_program *p;
    TERN_TRY(tern_int8_update_parse(update, &plan));
    TERN_TRY(tern_int8_step_program(&g, &p, s->bytes, s->byte_parameters, &s->sample, 1, &plan));
    tern_program_close(p);
    tern_graph_close(g);
    return TERN_OK;
}

static void test_errors(void **state)
{
    (void)state;
    subject s;
    open_subject(&s, "cnn");
    assert_error(program_of(&s, "conv9"), TERN_USAGE, "there are conv1, conv3, linear5, linear6");
    assert_error(program_of(&s, "bias=0"), TERN_USAGE, "nothing is chosen");
    tern_store old = {0};
    for (int i = 0; i < s.store.count; i++) { /* a run from before there were scales */
        tern_type type = {.dtype = s.store.tensors[i].dtype, .shape = s.store.tensors[i].shape};
        int index;
        if (!strstr(s.store.names[i], ".scales"))
            assert_ok(tern_store_need(&old, s.store.names[i], &type, (tern_init){0}, 0, &index));
    }
    tern_int8_stepper stepper;
    tern_int8_update_plan plan;
    assert_ok(tern_int8_update_parse("last=1", &plan));
    assert_error(
        tern_int8_stepper_open(&stepper, s.bytes, s.byte_parameters, &s.sample, 1, &plan, &old, NULL),
        TERN_FAILED, "convert the run again");
    assert_error(tern_int8_stepper_open(&stepper, s.net, s.parameters, &s.sample, 1, &plan, &s.floats, NULL),
                 TERN_USAGE, "computes in floats");
    tern_store_close(&old);
    close_subject(&s);
}

/* The formula by hand, of cnn on 12x12 with width 4 and 10 hidden neurons. */
static void test_formula(void **state)
{
    (void)state;
    subject s;
    tern_graph *g;
    tern_int8_update_plan plan;
    double bytes;
    open_subject(&s, "cnn");
    assert_ok(tern_model_plain_graph(&g, s.bytes, s.byte_parameters, &s.sample, 1, 0));
    assert_ok(tern_int8_update_parse("bias=3,conv3=0.5,linear6", &plan));
    assert_ok(tern_int8_update_bytes(g, &plan, &bytes));
    double conv3 = 8 * 36 / 8.0 + 4 * 8 + 36 * 2 + 8 * 2 * 9, linear5 = 10 / 8.0 + 4 * 10, head = 10;
    assert_true(bytes == conv3 + linear5 + head);
    assert_ok(tern_int8_update_parse("bias=3,head,conv3=0.5", &plan));
    assert_ok(tern_int8_update_bytes(g, &plan, &bytes));
    assert_true(bytes == conv3 + linear5 + head);
    tern_graph_close(g);
    close_subject(&s);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    subject s;
    open_subject(&s, "cnn");
    assert_survives_out_of_memory(program_of(&s, "bias=3,conv3=0.5,linear6"));
    close_subject(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_portable),      cmocka_unit_test(test_gradients_are_those_of_floats),
        cmocka_unit_test(test_learning),      cmocka_unit_test(test_share),
        cmocka_unit_test(test_scaling),       cmocka_unit_test(test_plans),
        cmocka_unit_test(test_errors),        cmocka_unit_test(test_formula),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("learning in bytes", tests, NULL, NULL);
}
