/* Proof of training in fixed point with learned binary points (QFX, arXiv 2401.17544): casts against integers only, gradients
 * against finite differences, C on an emulated Cortex-M7 and logic against the host, accuracies beside fixed point after
 * training, few one-bits without multipliers, and binary points that begin far off. */
#define _POSIX_C_SOURCE 200809L
#include "../tests/fixed_reference.h"
#include "command.h"

#include "emit/rtl.h"
#include "io/io.h"
#include "train/fixed.h"
#include "train/train.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

/* Garments at 16 x 16 pixels, of which the last map's mean is a shift. */
enum {
    SIDE = 16,
    SHOWN = 12000,
    TESTED = 4000,
    BATCH = 32,
    BEFORE = 3,
    AFTER = 3,
    LONG = 10,
    SEEDS = 3,
    IMAGES = 1000
};

static tern_pool *pool;
static tern_dataset garments;
static tern_samples shown, tested;
static char folder[] = "/tmp/tern-proof-6.2-XXXXXX";

typedef struct setting {
    const char *name;
    double value;
} setting;

/* A net with its parameters. */
typedef struct learner {
    const tern_net *net;
    void *parameters;
    tern_store store;
    double accuracy;
} learner;

static void open_learner(learner *l, const char *net, const setting *settings)
{
    *l = (learner){.net = tern_net_find(net)};
    PROOF_OK(tern_net_parameters(l->net, &l->parameters));
    for (int i = 0; settings[i].name; i++)
        PROOF_OK(tern_net_set(l->net, l->parameters, settings[i].name, settings[i].value));
}

static void close_learner(learner *l)
{
    tern_store_close(&l->store);
    tern_net_free(l->parameters);
}

/* 100 times the share of right answers. */
static double test(learner *l)
{
    tern_evaluation e;
    PROOF_OK(tern_evaluate(&e, l->net, l->parameters, &tested, 200, 0, &l->store, pool));
    l->accuracy = 100 * e.accuracy;
    tern_evaluation_free(&e);
    return l->accuracy;
}

static void train(learner *l, int epochs, int seed)
{
    tern_progress_state state = {0};
    tern_training t = {.net = l->net,
                       .parameters = l->parameters,
                       .recipe = tern_recipe_default(),
                       .train = &shown,
                       .quiet = true};
    t.recipe.optimiser = TERN_ADAM;
    t.recipe.decay = t.recipe.smoothing = t.recipe.crop = 0;
    t.recipe.flip = true;
    t.recipe.batch = BATCH;
    t.recipe.epochs = epochs;
    t.recipe.seed = (uint64_t)seed;
    PROOF_OK(tern_train(&t, &state, &l->store, pool));
    test(l);
}

/* Binary points from 1,000 images. */
static void calibrate(learner *l, int seed)
{
    PROOF_OK(tern_fixed_calibrate(&(tern_fixed_calibration){.net = l->net,
                                                            .parameters = l->parameters,
                                                            .samples = &shown,
                                                            .images = 1000,
                                                            .percentile = 99.9,
                                                            .seed = (uint64_t)seed},
                                  &l->store, pool));
}

/* ---- 1 -------------------------------------------------------------------------------------------------------------------- */

static void casts(proof *p)
{
    proof_equal(p, "casts that are not those of integers: 7 modes of rounding, 4 of overflow, 2 to 12 bits",
                (double)fixed_casts_that_differ(), 0);
    proof_equal(p, "  values at -2.5, 2.5, 37, -40 and 31.5 that differ", fixed_vectors_that_differ(), 0);
    proof_at_most(p, "gradients to x and f against finite differences, relative", fixed_gradient_error(0.1),
                  1e-5);
}

/* ---- 2: one net of a row of layers, as C and as logic ------------------------------------------------------------------------ */

/* What becomes of `from` in integers, for one image, with the codes as outputs where it is for logic. */
typedef struct integers {
    const tern_net *net;
    void *parameters;
    tern_graph *g;
    tern_program *p;
    tern_session *s;
} integers;

static void open_integers(integers *n, learner *from, const setting *settings, bool logic)
{
    learner fixed;
    char name[64];
    snprintf(name, sizeof name, "%.*s-fixed", (int)(strlen(from->net->name) - strlen("-qfx")),
             from->net->name);
    open_learner(&fixed, name, settings);
    *n = (integers){.net = fixed.net, .parameters = fixed.parameters};
    PROOF_OK(tern_model_graph(&n->g, n->net, n->parameters, &garments.sample, 1, 0));
    if (logic) PROOF_OK(tern_rtl_mark(n->g));
    PROOF_OK(tern_plan(&n->p, n->g, &(tern_plan_options){.reference = !logic, .compact = !logic}));
    PROOF_OK(tern_session_open(&n->s, n->p, &from->store, pool));
}

static void close_integers(integers *n)
{
    tern_session_close(n->s);
    tern_program_close(n->p);
    tern_graph_close(n->g);
    tern_net_free(n->parameters);
}

/* Test images as the net takes them. */
static float *images_of(int count)
{
    size_t size = SIDE * SIDE;
    float *x = tern_take_array((size_t)count * size, sizeof *x);
    const uint8_t *pixels = garments.test.images.data;
    for (size_t i = 0; x && i < (size_t)count * size; i++)
        x[i] = (float)(((double)pixels[i] / 255 - garments.mean[0]) / garments.std[0]);
    return x;
}

static void on_board(proof *p, learner *l, const setting *settings)
{
    integers n;
    char line[PROOF_LINE], out[PROOF_LINE];
    int samples = 0, equal = -1;
    if (!proof_installed("arm-none-eabi-gcc") || !proof_installed("qemu-system-arm")) {
        proof_skip(p, "C on a Cortex-M7", "scripts/setup --edge");
        return;
    }
    const tern_emit_target *target = tern_emit_targets;
    while (strcmp(target->name, "cortex-m7") != 0) target++;
    open_integers(&n, l, settings, false);
    float *x = images_of(IMAGES);
    PROOF_OK(tern_session_bind(n.s, "image", x));
    PROOF_OK(tern_session_run(n.s, 0));
    tern_emit_source source = {.program = n.p, .session = n.s, .name = "net", .about = "proof"};
    tern_emit_samples of = {.images = x, .count = IMAGES, .steps = 1};
    snprintf(line, sizeof line, "%s/board", folder);
    PROOF_OK(tern_emit_folder(&source, target, &(tern_emit_limits){320 << 10, 1 << 20, 4096}, &of, line));
    snprintf(line, sizeof line, "make -s -C %s/board run", folder);
    int status = proof_command(line, "\"equal\"", out);
    const char *at = strstr(out, "\"samples\"");
    if (at) sscanf(at, "\"samples\": %d, \"equal\": %d", &samples, &equal);
    proof_equal(p, "C on an emulated Cortex-M7: images whose logits are the host's, bit for bit, of 1,000",
                status == 0 && samples == IMAGES ? equal : -1, IMAGES);
    close_integers(&n);
    tern_release(x);
}

/* Writes the logic of a net and returns where its look-up tables and multiplications can be looked for. */
static void write_logic(learner *l, const setting *settings, const char *name, int count, char path[96])
{
    integers n;
    tern_rtl rtl;
    float *x = images_of(count);
    open_integers(&n, l, settings, true);
    PROOF_OK(tern_session_bind(n.s, "image", x));
    PROOF_OK(tern_session_run(n.s, 0));
    PROOF_OK(tern_rtl_open(&rtl, n.p, n.s));
    tern_rtl_fold(&rtl, 2400);
    snprintf(path, 96, "%s/%s", folder, name);
    PROOF_OK(tern_make_folder(path));
    PROOF_OK(tern_rtl_folder(&rtl, name, "proof", n.s, x, count, path));
    tern_rtl_free(&rtl);
    close_integers(&n);
    tern_release(x);
}

static void in_logic(proof *p, learner *l, const setting *settings, const char *name)
{
    char path[96], line[PROOF_LINE], out[PROOF_LINE], text[96];
    int samples = 0, words, wrong = -1;
    if (!proof_installed("verilator")) {
        proof_skip(p, "Verilog", "scripts/setup --rtl");
        return;
    }
    write_logic(l, settings, name, IMAGES, path);
    snprintf(line, sizeof line, "make -s -C %s verilator 2>&1", path);
    int status = proof_command(line, "wrong", out);
    const char *at = strstr(out, "samples");
    if (at) sscanf(strchr(out, ':') + 1, "%d samples, %d words, %d", &samples, &words, &wrong);
    snprintf(text, sizeof text, "Verilog (%s) in verilator: images that were compared", name);
    proof_at_least(p, text, samples, IMAGES);
    proof_equal(p, "  results that differ from the host's", status == 0 ? wrong : -1, 0);
}

/* ---- 3: accuracies beside calibration after training: every word of a net, of its norms' shifts, too ------------------------- */

static void accuracies(proof *p)
{
    static const int words[] = {4, 6, 8};
    double full = 0, learned[3] = {0}, after[3] = {0};
    for (int seed = 1; seed <= SEEDS; seed++) {
        learner before, f32, q;
        const setting plain[] = {{"width", 8}, {NULL, 0}};
        open_learner(&before, "resnet-small", plain);
        train(&before, BEFORE, seed);
        open_learner(&f32, "resnet-small", plain);
        PROOF_OK(tern_hand_over(&before.store, &f32.store));
        train(&f32, AFTER, seed + 100);
        full += f32.accuracy / SEEDS;
        printf("  seed %d: f32 %.2f", seed, f32.accuracy);
        for (int w = 0; w < 3; w++) {
            const setting fixed[] = {{"width", 8}, {"word", words[w]}, {"word-bias", words[w]}, {NULL, 0}};
            open_learner(&q, "resnet-small-qfx", fixed);
            PROOF_OK(tern_hand_over(&f32.store, &q.store));
            calibrate(&q, seed);
            after[w] += test(&q) / SEEDS;
            printf(", %d bits: calibrated %.2f", words[w], q.accuracy);
            close_learner(&q);
            open_learner(&q, "resnet-small-qfx", fixed);
            PROOF_OK(tern_hand_over(&before.store, &q.store));
            calibrate(&q, seed);
            train(&q, AFTER, seed + 100);
            learned[w] += q.accuracy / SEEDS;
            printf(", learned %.2f", q.accuracy);
            fflush(stdout);
            close_learner(&q);
        }
        puts("");
        close_learner(&f32);
        close_learner(&before);
    }
    printf("  mean: f32 %.2f; learned %.2f, %.2f, %.2f; calibrated %.2f, %.2f, %.2f at 4, 6 and 8 bits\n",
           full, learned[0], learned[1], learned[2], after[0], after[1], after[2]);
    proof_at_least(p, "6 bits, points learned over points calibrated, % of right answers, mean of 3 seeds",
                   learned[1] - after[1], 1);
    proof_at_most(p, "  f32 over points learned", full - learned[1], 1.5);
    proof_judge(p, "  the same gap at 4 bits, of that at 8 bits", learned[0] - after[0], ">",
                learned[2] - after[2], learned[0] - after[0] > learned[2] - after[2]);
}

/* ---- 4: few one-bits, and points that begin far off -------------------------------------------------------------------------- */

static double trained(learner *l, const char *net, const setting *settings, int seed)
{
    open_learner(l, net, settings);
    train(l, LONG, seed);
    return l->accuracy;
}

static double mean_of_seeds(const char *net, const setting *settings)
{
    double sum = 0;
    for (int seed = 1; seed <= SEEDS; seed++) {
        learner l;
        sum += trained(&l, net, settings, seed) / SEEDS;
        printf("  seed %d: %.2f\n", seed, l.accuracy);
        fflush(stdout);
        close_learner(&l);
    }
    return sum;
}

/* Multiplications in a file of Verilog: stars outside comments, attributes and @(*). */
static int times_in(const char *path, const char *name)
{
    char file[160], *text;
    size_t size;
    int count = 0;
    snprintf(file, sizeof file, "%s/%s.v", path, name);
    PROOF_OK(tern_read_file(file, &text, &size));
    for (const char *at = text; *at; at++) {
        if (at[0] == '/' && at[1] == '*')
            at = strstr(at + 2, "*/") + 1;
        else if (at[0] == '(' && at[1] == '*')
            at = strstr(at + 1, "*)") + 1;
        else
            count += *at == '*';
    }
    tern_release(text);
    return count;
}

static void without_multipliers(proof *p, learner *any, learner *few, const setting *of_any,
                                const setting *of_few)
{
    char path[96];
    tern_rtl_cells cells;
    printf("  cnn of 6 bits: %.2f, with at most two one-bits %.2f\n", any->accuracy, few->accuracy);
    proof_at_least(p, "two one-bits over any number, % of right answers", few->accuracy - any->accuracy, -1);
    if (!proof_installed("yosys")) {
        proof_skip(p, "DSP blocks of two one-bits", "yosys: scripts/setup --rtl");
        return;
    }
    write_logic(any, of_any, "any", 1, path);
    proof_judge(p, "multiplications in the Verilog of any number of one-bits", times_in(path, "any"), ">", 0,
                times_in(path, "any") > 0);
    write_logic(few, of_few, "few", 1, path);
    proof_equal(p, "  and in that of two one-bits", times_in(path, "few"), 0);
    PROOF_OK(tern_rtl_synthesise(path, "few", TERN_RTL_XILINX, &cells, 0));
    printf("  yosys: %.0f LUT, %.0f DSP\n", cells.luts, cells.dsp);
    proof_judge(p, "  look-up tables after synthesis", cells.luts, ">", 0, cells.luts > 0);
    proof_equal(p, "  DSP blocks", cells.dsp, 0);
}

/* Points that begin 4 too small or too large, which are learned or not. */
static void far_off(proof *p, const setting *begin_right)
{
    double right = mean_of_seeds("cnn-qfx", begin_right);
    for (int sign = -1; sign <= 1; sign += 2) {
        learner frozen;
        char text[96];
        const setting off[] = {
            {"width", 4}, {"hidden", 24}, {"word", 6}, {"point-shift", 4 * sign}, {NULL, 0}};
        const setting still[] = {{"width", 4},  {"hidden", 24}, {"word", 6}, {"point-shift", 4 * sign},
                                 {"frozen", 1}, {NULL, 0}};
        double moved = mean_of_seeds("cnn-qfx", off);
        trained(&frozen, "cnn-qfx", still, 1);
        snprintf(text, sizeof text,
                 "points begin 4 too %s: %% of right answers below those that begin right, mean of 3 seeds",
                 sign < 0 ? "small" : "large");
        proof_at_most(p, text, right - moved, 1);
        proof_judge(p, "  and where points are not learned", right - frozen.accuracy, ">", 1,
                    right - frozen.accuracy > 1);
        close_learner(&frozen);
    }
}

static void rows(proof *p)
{
    learner any, few;
    const setting of_any[] = {{"width", 4}, {"hidden", 24}, {"word", 6}, {NULL, 0}};
    const setting of_few[] = {{"width", 4}, {"hidden", 24}, {"word", 6}, {"khot", 2}, {NULL, 0}};
    trained(&any, "cnn-qfx", of_any, 1);
    trained(&few, "cnn-qfx", of_few, 1);
    on_board(p, &any, of_any);
    in_logic(p, &any, of_any, "net");
    without_multipliers(p, &any, &few, of_any, of_few);
    far_off(p, of_any);
    close_learner(&any);
    close_learner(&few);
}

int main(void)
{
    proof p = {.row = "6.2", .title = "training in fixed point with learned binary points"};
    tern_dataset_options options = {
        .height = SIDE, .width = SIDE, .train_limit = SHOWN, .test_limit = TESTED};
    casts(&p);
    if (tern_dataset_open(&garments, "fashion-mnist", &options) != TERN_OK) {
        proof_skip(&p, "everything else", "Fashion-MNIST: apt-get install dataset-fashion-mnist");
        return proof_end(&p);
    }
    PROOF_OK(tern_pool_open(&pool, 0));
    if (!mkdtemp(folder)) PROOF_OK(tern_fail(TERN_FAILED, "no folder for what is emitted"));
    tern_samples *splits[] = {&shown, &tested};
    for (int i = 0; i < 2; i++) {
        const tern_split *from = i ? &garments.test : &garments.train;
        *splits[i] = (tern_samples){.images = from->images, .labels = from->labels, .classes = 10};
        memcpy(splits[i]->mean, garments.mean, sizeof garments.mean);
        memcpy(splits[i]->std, garments.std, sizeof garments.std);
    }
    accuracies(&p);
    rows(&p);
    puts("  not here: figures of ImageNet, DSP blocks of an Ultra96");
    char line[96], out[PROOF_LINE];
    snprintf(line, sizeof line, "rm -r %s", folder);
    proof_command(line, "/", out);
    tern_dataset_close(&garments);
    tern_pool_close(pool);
    return proof_end(&p);
}
