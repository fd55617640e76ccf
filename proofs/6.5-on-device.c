/* Proof of on-device training under 256 KB (Lin et al., NeurIPS 2022; arXiv 2206.15472): nets in bytes that learn, by
 * quantisation-aware scaling, sparse updates that are chosen by contribution, and steps that are reordered, on a board. */
#define _XOPEN_SOURCE 700
#include "proof.h"

#include "emit/emit.h"
#include "io/io.h"
#include "kernel/int8.h"
#include "op/int8.h"
#include "search/search.h"
#include "tiny_training.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

/* Garments are known before; digits are learned, of which few are shown.  Others judge rates and contributions, and others again
 * test. */
enum { BEFORE = 6000, BEFORE_EPOCHS = 2, SHOWN = 400, JUDGED = 400, TESTED = 600, HANDS = 400 };
/* The budget of the authors' comparison: a plan of 102,240 bytes beside the last 12 layers, 448.05 KiB. */
static const double share_of_last = 102240 / (448.05 * 1024);

typedef struct subject {
    const tern_net *net, *bytes;
    void *parameters, *byte_parameters;
    tern_dataset garments, digits;
    tern_samples shown, judged, tested;
    tern_store floats, store;
    double rate; /* of learning on the board */
    tern_pool *pool;
    double scale; /* of bytes that samples come in as on the board; 0: as floats */
    int zero;
} subject;

static tern_samples samples_of(const tern_dataset *d, const tern_split *split,
                               const tern_dataset *normalised_as)
{
    tern_samples s = {.images = split->images, .labels = split->labels, .classes = d->classes};
    memcpy(s.mean, normalised_as->mean, sizeof s.mean);
    memcpy(s.std, normalised_as->std, sizeof s.std);
    return s;
}

/* Every other sample, from the first or the second on: data may be in the order of their classes. */
static tern_samples half_of(const tern_samples *all, int64_t first)
{
    tern_samples s = *all;
    tern_tensor *both[] = {&s.images, &s.labels};
    for (int i = 0; i < 2; i++) {
        const char *from = both[i]->data;
        size_t one = tern_bytes_of(both[i]->dtype, tern_elements_from(&both[i]->shape, 1));
        int64_t count = both[i]->shape.dim[0] / 2;
        char *to = tern_take_array((size_t)count, one);
        for (int64_t k = 0; k < count; k++)
            memcpy(to + (size_t)k * one, from + (size_t)(2 * k + first) * one, one);
        both[i]->data = to;
        both[i]->shape.dim[0] = count;
    }
    return s;
}

/* ---- 1. gradients against those of floats ------------------------------------------------------------------------------- */

static tern_rng rng = {.seed = 65};
static uint64_t drawn;

static int between(int low, int high)
{
    return low + (int)tern_rng_below(rng, drawn++, (uint64_t)(high - low + 1));
}

typedef struct product {
    tern_conv_op args;
    tern_shape x, w, y;
    int8_t *bytes, *weights;
    float *real, *real_weights, *a, *dx, *dw;
    int32_t constants[TERN_PRODUCT_CONSTANTS];
} product;

static product some_product(bool depthwise)
{
    int groups = depthwise ? between(2, 9) : 1, c = depthwise ? groups : between(1, 9),
        o = depthwise ? c : between(1, 9);
    int kernel = between(1, 5);
    product p = {.args = {.stride = between(1, 2), .pad = kernel / 2, .dilation = 1, .groups = groups}};
    p.x = TERN_SHAPE(between(1, 3), c, between(7, 14), between(7, 14));
    p.w = TERN_SHAPE(o, c / groups, kernel, kernel);
    tern_conv g = tern_conv_geometry(&p.x, &p.w, &p.args);
    p.y = TERN_SHAPE(p.x.dim[0], o, g.out_height, g.out_width);
    size_t nx = (size_t)tern_elements(&p.x), nw = (size_t)tern_elements(&p.w),
           ny = (size_t)tern_elements(&p.y);
    p.bytes = tern_take(nx), p.weights = tern_take(nw);
    p.real = tern_take_array(nx, sizeof(float)), p.real_weights = tern_take_array(nw, sizeof(float));
    p.dx = tern_take_array(nx, sizeof(float)), p.dw = tern_take_array(nw, sizeof(float));
    p.a = tern_take_array(ny, sizeof(float));
    p.constants[TERN_X_ZERO] = between(-128, 127);
    for (size_t i = 0; i < nx; i++) {
        p.bytes[i] = (int8_t)between(-128, 127);
        p.real[i] = (float)(p.bytes[i] - p.constants[TERN_X_ZERO]);
    }
    for (size_t i = 0; i < nw; i++) p.real_weights[i] = p.weights[i] = (int8_t)between(-127, 127);
    for (size_t i = 0; i < ny; i++) p.a[i] = (float)tern_rng_normal(rng, drawn++);
    return p;
}

static void free_product(product *p)
{
    void *const all[] = {p->bytes, p->weights, p->real, p->real_weights, p->a, p->dx, p->dw};
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(all[i]);
}

static void run_bytes(product *p)
{
    tern_tensor x = {TERN_I8, p->x, p->bytes}, w = {TERN_I8, p->w, p->weights}, a = {TERN_F32, p->y, p->a},
                q = {TERN_I32, TERN_SHAPE(TERN_PRODUCT_CONSTANTS), p->constants},
                dw = {TERN_F32, p->w, p->dw}, dx = {TERN_F32, p->x, p->dx}, of_weight[] = {x, a, q},
                of_input[] = {w, a};
    tern_call call = {
        .op = &tern_op_int8_grad_weight, .args = &p->args, .nin = 3, .nout = 1, .in = of_weight, .out = &dw};
    tern_op_int8_grad_weight.run(&call);
    call = (tern_call){
        .op = &tern_op_int8_grad_input, .args = &p->args, .nin = 2, .nout = 1, .in = of_input, .out = &dx};
    tern_op_int8_grad_input.run(&call);
}

/* The largest difference over the largest element of what autodiff makes of the same convolution in floats. */
static double against_floats(product *p)
{
    tern_graph *g;
    tern_program *program;
    tern_session *session;
    tern_store store = {0};
    double worst = 0;
    PROOF_OK(tern_graph_open(&g, NULL));
    tern_value in[] = {tern_input(g, "x", TERN_F32, p->x), tern_input(g, "w", TERN_F32, p->w)}, grads[2];
    tern_value a = tern_input(g, "a", TERN_F32, p->y),
               y = tern_apply(g, &tern_op_conv2d, &p->args, in, 2, NULL);
    PROOF_OK(tern_gradients_seeded(g, &y, &a, 1, in, 2, grads, &tern_default_gradient_ops));
    tern_output(g, "dx", grads[0]);
    tern_output(g, "dw", grads[1]);
    PROOF_OK(tern_plan(&program, g, &(tern_plan_options){.reference = true}));
    PROOF_OK(tern_session_open(&session, program, &store, NULL));
    PROOF_OK(tern_session_bind(session, "x", p->real));
    PROOF_OK(tern_session_bind(session, "w", p->real_weights));
    PROOF_OK(tern_session_bind(session, "a", p->a));
    PROOF_OK(tern_session_run(session, 0));
    for (int k = 0; k < 2; k++) {
        tern_tensor d;
        double largest = 0, apart = 0;
        PROOF_OK(tern_session_output(session, k ? "dw" : "dx", &d));
        for (int64_t i = 0; i < tern_elements(&d.shape); i++) {
            largest = fmax(largest, fabs(tern_get(&d, i)));
            apart = fmax(apart, fabs(tern_get(&d, i) - (double)(k ? p->dw : p->dx)[i]));
        }
        worst = fmax(worst, apart / largest);
    }
    tern_session_close(session);
    tern_program_close(program);
    tern_graph_close(g);
    tern_store_close(&store);
    return worst;
}

static void check_gradients(proof *p)
{
    double worst = 0;
    for (int i = 0; i < 200; i++) {
        product one = some_product(i % 2);
        run_bytes(&one);
        worst = fmax(worst, against_floats(&one));
        free_product(&one);
    }
    proof_at_most(p, "gradients-of-200-products-against-floats", worst, 1e-5);
}

/* ---- 2. scaling ----------------------------------------------------------------------------------------------------------- */

static tern_tensor *tensor_of(tern_store *store, const char *name)
{
    int index = tern_store_find(store, name);
    if (index >= 0) return &store->tensors[index];
    printf("proof stopped: the net has no %s\n", name);
    exit(1);
}

/* The mean length of the real step of a weight for a gradient of the real weight of 1, where its unit is `larger` times as
 * large: as the scales that the step is made with say. */
static double real_step(subject *s, double larger, const char *update)
{
    tern_store own = {0};
    tern_int8_stepper stepper;
    tern_int8_update_plan plan;
    double sum = 0;
    PROOF_OK(tern_hand_over(&s->store, &own));
    tern_tensor *shift = tensor_of(&own, "linear5.shift"), *scales = tensor_of(&own, "linear5.scales");
    double unit = tern_get(scales, 1) / tern_get(scales, 0); /* times the factor: s_w */
    for (int64_t o = 0; o < tern_elements(&shift->shape); o++)
        tern_set(shift, o, tern_get(shift, o) + log2(larger));
    PROOF_OK(tern_int8_update_parse(update, &plan));
    PROOF_OK(tern_int8_stepper_open(&stepper, s->bytes, s->byte_parameters, &s->garments.sample, 1, &plan,
                                    &own, NULL));
    const tern_tensor *factors = tensor_of(&own, "linear5.factors"),
                      *scaling = tensor_of(&own, "linear5.weight_scaling");
    int64_t n = tern_elements(&factors->shape);
    for (int64_t o = 0; o < n; o++) {
        double w = tern_get(factors, o) * unit;
        sum += w * tern_get(scaling, o) * w /
               (double)n; /* dw real = s_w dw whole, and dL/dw whole = s_w dL/dw real */
    }
    tern_int8_stepper_close(&stepper);
    tern_store_close(&own);
    return sum;
}

static void check_scaling(proof *p, subject *s)
{
    double scaled = real_step(s, 4, "linear5") / real_step(s, 1, "linear5");
    double plain = real_step(s, 4, "linear5,unscaled") / real_step(s, 1, "linear5,unscaled");
    proof_at_most(p, "step-with-scaling-of-a-layer-4-times-as-large", fabs(scaled - 1), 1e-5);
    proof_at_most(p, "step-without-scaling-against-16-fold", fabs(plain / 16 - 1), 1e-5);
}

/* ---- 3. accuracy ------------------------------------------------------------------------------------------------------------ */

static double accuracy_of(subject *s, const tern_samples *judges, const char *update, double rate,
                          uint64_t seed)
{
    tern_store own = {0};
    tern_int8_learned learned;
    tern_int8_learning l = {.net = s->bytes,
                            .parameters = s->byte_parameters,
                            .train = &s->shown,
                            .test = judges,
                            .rate = rate,
                            .epochs = 2,
                            .batch = 1,
                            .seed = seed,
                            .quiet = true};
    PROOF_OK(tern_int8_update_parse(update, &l.update));
    PROOF_OK(tern_hand_over(&s->store, &own));
    PROOF_OK(tern_int8_learn(&l, &own, s->pool, &learned));
    tern_store_close(&own);
    return learned.test_accuracy;
}

/* The rate of `count`, a factor of `step` apart, that those who judge find best; its accuracy on the test. */
static double best_of(subject *s, const char *update, double first, double step, int count, double *rate)
{
    double best = -1;
    for (int i = 0; i < count; i++, first *= step) {
        double a = accuracy_of(s, &s->judged, update, first, 1);
        printf("%s, rate %.3g: %.4f of those who judge\n", update, first, a);
        fflush(stdout);
        if (a <= best) continue;
        best = a;
        *rate = first;
    }
    double a = accuracy_of(s, &s->tested, update, *rate, 1);
    printf("%s, rate %.3g: accuracy %.4f\n", update, *rate, a);
    fflush(stdout);
    return a;
}

/* At the best of three rates around one. */
static double mean_of(subject *s, const char *update, double near)
{
    double sum = 0, rate = near;
    best_of(s, update, near / 3, 3, 3, &rate);
    for (uint64_t seed = 1; seed <= 3; seed++) sum += accuracy_of(s, &s->tested, update, rate, seed) / 3;
    printf("%s: accuracy %.4f, mean of 3 seeds\n", update, sum);
    fflush(stdout);
    return sum;
}

static void check_scaled_accuracy(proof *p, subject *s, double *rate)
{
    double other = 0, with = best_of(s, "all,stochastic", 1e-3, 3, 6, rate);
    double without = best_of(s, "all,stochastic,unscaled", 1, 10, 6, &other);
    proof_at_least(p, "accuracy-with-scaling-against-without-and-2-points", with, without + 0.02);
}

static double bytes_of(subject *s, const char *update)
{
    tern_int8_update_plan plan;
    tern_graph *g;
    double bytes;
    PROOF_OK(tern_int8_update_parse(update, &plan));
    PROOF_OK(tern_model_plain_graph(&g, s->bytes, s->byte_parameters, &s->digits.sample, 1, 0));
    PROOF_OK(tern_int8_update_bytes(g, &plan, &bytes));
    tern_graph_close(g);
    return bytes;
}

/* The accuracy of the best choice within a budget. */
static double accuracy_within(proof *p, subject *s, const tern_update_analysis *a, double budget, double near)
{
    tern_update_choice exact, evolved;
    tern_text text = {0};
    PROOF_OK(tern_update_choose(a, budget, &exact));
    PROOF_OK(tern_update_evolve(a, budget, 1, &evolved));
    exact.plan.stochastic = true;
    tern_int8_update_print(&exact.plan, &text);
    printf("within %.0f bytes: %s, %.0f bytes\n", budget, text.data, exact.bytes);
    proof_at_most(p, "bytes-of-the-choice", exact.bytes, budget);
    proof_at_least(p, "exact-choice-against-evolution", exact.gain, evolved.gain);
    double accuracy = mean_of(s, text.data, near);
    tern_text_free(&text);
    return accuracy;
}

/* What contribution analysis chooses beside the last layers whole, with the authors' share of their memory, and beside the
 * biases with the head, within the very memory that these take. */
static void check_choice(proof *p, subject *s, double near)
{
    static const char last[] = "last=2,stochastic", biases[] = "bias=4,linear6,stochastic";
    tern_update_analysis a;
    tern_int8_learning l = {.net = s->bytes,
                            .parameters = s->byte_parameters,
                            .update = {.stochastic = true},
                            .train = &s->shown,
                            .test = &s->judged,
                            .rate = near,
                            .epochs = 1,
                            .batch = 1,
                            .seed = 9,
                            .quiet = true};
    PROOF_OK(tern_update_analyse(&l, &s->store, s->pool, &a, NULL, NULL));
    double of_last = bytes_of(s, last), of_biases = bytes_of(s, biases);
    printf("%s: %.0f bytes; %s: %.0f bytes\n", last, of_last, biases, of_biases);
    double whole = mean_of(s, last, near), plain = mean_of(s, biases, near);
    double chosen = accuracy_within(p, s, &a, floor(share_of_last * of_last), near);
    proof_at_least(p, "accuracy-of-the-choice-against-the-last-2-layers-less-1-point", chosen, whole - 0.01);
    proof_at_least(p, "accuracy-of-the-choice-against-biases-and-head", chosen, plain + 1e-9);
    accuracy_within(p, s, &a, 6000, near);
    double small = accuracy_within(p, s, &a, of_biases, near);
    proof_at_least(p, "accuracy-of-the-choice-in-the-memory-of-biases-and-head", small, plain);
}

/* ---- 4. on a board -------------------------------------------------------------------------------------------------------------- */

enum { STEPS = 20, HELD = 20 };
static const char folder[] = "build/proof-6.5";

/* Status of writing a training step for a Cortex-M7 of so much RAM. */
static tern_status emit(subject *s, const char *update, bool late, size_t ram, size_t *need)
{
    tern_int8_stepper stepper;
    tern_int8_update_plan plan;
    tern_store own = {0};
    const tern_emit_target *target = tern_emit_targets;
    while (strcmp(target->name, "cortex-m7") != 0) target++;
    size_t size = (size_t)tern_elements(&s->digits.sample), calls = STEPS + 2 * HELD;
    float *images = tern_take_array(calls * size, sizeof *images),
          *rates = tern_take_array(calls, sizeof *rates);
    int32_t *labels = tern_take_array(calls, sizeof *labels);
    for (size_t c = 0; c < calls; c++) {
        bool shown = c >= HELD && c < HELD + STEPS;
        const tern_samples *from = shown ? &s->shown : &s->tested;
        int64_t at = (int64_t)(c < HELD + STEPS ? c % HELD : c - HELD - STEPS);
        for (size_t i = 0; i < size; i++)
            images[c * size + i] =
                (float)((tern_get(&from->images, at * (int64_t)size + (int64_t)i) / 255 - from->mean[0]) /
                        from->std[0]);
        labels[c] = (int32_t)tern_get(&from->labels, at);
        rates[c] = shown ? (float)s->rate : 0;
    }
    PROOF_OK(tern_hand_over(&s->store, &own));
    PROOF_OK(tern_int8_update_parse(update, &plan));
    plan.late = late;
    plan.bytes = s->scale > 0;
    for (size_t i = 0; i < calls * size && plan.bytes; i++) /* in the memory of the floats */
        ((int8_t *)images)[i] = tern_float_to_byte(images[i], (float)s->scale, s->zero);
    PROOF_OK(tern_int8_stepper_open(&stepper, s->bytes, s->byte_parameters, &s->digits.sample, 1, &plan, &own,
                                    NULL));
    tern_emit_source source = {.program = stepper.program,
                               .session = stepper.session,
                               .name = "net",
                               .about = "a training step",
                               .learns = true};
    tern_emit_samples samples = {
        .images = images, .labels = labels, .count = (int)calls, .steps = 1, .rates = rates, .held = HELD};
    tern_emit_sizes sizes;
    tern_emit_sizes_of(stepper.program, &sizes);
    *need = sizes.arena + sizes.state;
    tern_status status =
        tern_emit_folder(&source, target, &(tern_emit_limits){ram, 1 << 20, 4096}, &samples, folder);
    tern_int8_stepper_close(&stepper);
    tern_store_close(&own);
    tern_release(images);
    tern_release(rates);
    tern_release(labels);
    return status;
}

/* A number of result.json. */
static double field(const char *json, const char *name)
{
    char key[64];
    snprintf(key, sizeof key, "\"%s\": ", name);
    const char *at = strstr(json, key);
    return at ? strtod(at + strlen(key), NULL) : NAN;
}

static const char *named(const char *net, const char *what)
{
    static char name[128];
    snprintf(name, sizeof name, "%s-%s", net, what);
    return name;
}

/* A plan that fits 256 KiB of RAM and 1 MiB of flash, its steps, and what does not fit. */
static void check_board(proof *p, subject *s, const char *net, const char *update)
{
    char command[256], json[2048] = "";
    size_t need, whole, late;
    if (system("command -v arm-none-eabi-gcc >/dev/null && command -v qemu-system-arm >/dev/null") != 0) {
        proof_skip(p, named(net, "board"), "arm-none-eabi-gcc and qemu-system-arm (scripts/setup --edge)");
        return;
    }
    tern_status fits = emit(s, update, false, 256 << 10, &need);
    proof_equal(p, named(net, "sparse-update-fits-256-KiB"), fits, TERN_OK);
    if (fits != TERN_OK) return;
    snprintf(command, sizeof command, "make -s -C %s run", folder);
    FILE *f = popen(command, "r");
    if (f) json[fread(json, 1, sizeof json - 1, f)] = 0;
    proof_equal(p, named(net, "status-of-the-board"), f ? pclose(f) : -1, 0);
    printf("%s", json);
    proof_equal(p, named(net, "steps-bit-for-bit"), field(json, "equal"), STEPS + 2 * HELD);
    proof_at_most(p, named(net, "held-out-loss-after-against-before"), field(json, "loss_after"),
                  field(json, "loss_before"));
    proof_equal(p, named(net, "arena-and-learned-parameters-as-planned"),
                field(json, "arena") + field(json, "state"), (double)need);
    proof_at_most(p, named(net, "RAM-that-was-used"), field(json, "ram"), 256 << 10);
    proof_equal(p, named(net, "all-of-the-net-does-not-fit"),
                emit(s, "all,stochastic", false, 256 << 10, &whole), TERN_NO_FIT);
    proof_equal(p, named(net, "gradients-first-do-not-fit"), emit(s, update, true, 256 << 10, &late),
                TERN_NO_FIT);
    printf("arena and learned parameters: %zu bytes, of all of the net %zu, gradients first %zu\n", need,
           whole, late);
}

/* ---- the whole --------------------------------------------------------------------------------------------------------------------- */

static bool open_subject(subject *s)
{
    tern_progress_state progress = {0};
    tern_dataset_options before = {.train_limit = BEFORE, .test_limit = 1000},
                         few = {.train_limit = SHOWN + JUDGED, .test_limit = TESTED};
    s->net = tern_net_find("cnn");
    s->bytes = tern_net_find("cnn-int8");
    if (tern_dataset_open(&s->garments, "fashion-mnist", &before) != TERN_OK) return false;
    if (tern_dataset_open(&s->digits, "mnist", &few) != TERN_OK) return false;
    for (int i = 0; i < 2; i++) {
        const tern_net *net = i ? s->bytes : s->net;
        void **parameters = i ? &s->byte_parameters : &s->parameters;
        PROOF_OK(tern_net_parameters(net, parameters));
        PROOF_OK(tern_net_set(net, *parameters, "width", 24));
        PROOF_OK(tern_net_set(net, *parameters, "hidden", 64));
    }
    tern_samples both = samples_of(&s->digits, &s->digits.train, &s->garments);
    s->shown = half_of(&both, 0);
    s->judged = half_of(&both, 1);
    s->tested = samples_of(&s->digits, &s->digits.test, &s->garments);
    tern_samples train = samples_of(&s->garments, &s->garments.train, &s->garments);
    tern_training t = {.net = s->net,
                       .parameters = s->parameters,
                       .recipe = tern_recipe_default(),
                       .train = &train,
                       .quiet = true};
    t.recipe.epochs = BEFORE_EPOCHS;
    t.recipe.seed = 1;
    PROOF_OK(tern_train(&t, &progress, &s->floats, s->pool));
    tern_int8_conversion c = {.net = s->net,
                              .int8 = s->bytes,
                              .parameters = s->parameters,
                              .int8_parameters = s->byte_parameters,
                              .samples = &train,
                              .images = 512,
                              .seed = 1};
    PROOF_OK(tern_convert_int8(&c, &s->floats, &s->store, s->pool));
    return true;
}

/* The first of the published nets on hands that show digits, with `shown` to learn from, as many to judge and `tested`, of so
 * many pixels. */
static bool open_hands(subject *h, tiny_subject *t, int pixels, int shown, int tested)
{
    const char *nets = getenv("TERN_TINY_TRAINING");
    tern_dataset_options few = {
        .train_limit = 2 * shown, .test_limit = tested, .height = pixels, .width = pixels};
    tern_store lent = {0};
    if (!nets || tern_dataset_open(&h->digits, "sign-language-digits", &few) != TERN_OK) return false;
    if (!tiny_open(t, nets, tiny_nets[0].name, pixels)) return false;
    tern_tflite_about about = tern_tflite_about_of(t->file);
    h->scale = about.scale;
    h->zero = about.zero;
    for (int c = 0; c < 8; c++) { /* pixels become bytes from -128 on */
        h->digits.mean[c] = (128 + about.zero) / 255.0;
        h->digits.std[c] = 1 / (255 * about.scale);
    }
    tern_samples both = samples_of(&h->digits, &h->digits.train, &h->digits);
    h->shown = half_of(&both, 0);
    h->judged = half_of(&both, 1);
    h->tested = samples_of(&h->digits, &h->digits.test, &h->digits);
    h->bytes = t->net;
    h->byte_parameters = t->parameters;
    PROOF_OK(tern_tflite_weights(t->file, &lent));
    PROOF_OK(tern_hand_over(&lent, &h->store));
    tern_store_close(&lent);
    return true;
}

/* The 49 kb plan on a board, images of 128x128; the comparisons of the paper, images of 64x64. */
static void check_hands(proof *p, tern_pool *pool)
{
    subject large = {.pool = pool}, small = {.pool = pool};
    tiny_subject of_large = {0}, of_small = {0};
    tern_int8_update_plan plans[2];
    tern_text text[2] = {{0}, {0}};
    if (!open_hands(&large, &of_large, 128, HELD, HELD) || !open_hands(&small, &of_small, 64, HANDS, HANDS)) {
        proof_skip(p, "hands",
                   "$TERN_TINY_TRAINING and the hands of github.com/ardamavi/Sign-Language-Digits-Dataset: "
                   "tern data says where");
        return;
    }
    for (int i = 0; i < 2; i++) {
        tiny_update(&of_small, &tiny_nets[0].plans[2 * i], &plans[i]);
        plans[i].stochastic = true;
        tern_int8_update_print(&plans[i], &text[i]);
    }
    double rate = 0, other = 0;
    double with = best_of(&small, "last=7,stochastic", 1e-3, 3, 6, &rate);
    large.rate = rate;
    check_board(p, &large, "mcunet-5fps", text[0].data);
    double without = best_of(&small, "last=7,stochastic,unscaled", 1, 10, 6, &other);
    proof_at_least(p, "hands-with-scaling-against-without-and-2-points", with, without + 0.02);
    double sparse = mean_of(&small, text[1].data, rate), last = mean_of(&small, "last=13,stochastic", rate),
           biases = mean_of(&small, "bias=23,head,stochastic", rate);
    proof_at_least(p, "hands-99kb-plan-against-last-12-layers-less-1-point", sparse, last - 0.01);
    proof_at_least(p, "hands-99kb-plan-against-biases-and-head", sparse, biases + 1e-9);
    tiny_close(&of_large);
    tiny_close(&of_small);
}

int main(void)
{
    proof p = {.row = "6.5", .title = "on-device training under 256 KB"};
    subject s = {0};
    PROOF_OK(tern_pool_open(&s.pool, 0));
    check_gradients(&p);
    tiny_check(&p);
    if (open_subject(&s)) {
        check_scaling(&p, &s);
        s.rate = 0.03;
        check_board(&p, &s, "cnn", "bias=3,conv3=0.5,linear5=0.25,linear6,stochastic");
        double rate = 0;
        check_scaled_accuracy(&p, &s, &rate);
        check_choice(&p, &s, rate);
    } else {
        proof_skip(&p, "learning", "Fashion-MNIST and MNIST ($TERN_DATA)");
    }
    check_hands(&p, s.pool);
    return proof_end(&p);
}
