/* Proof of MCUFormer (Liang et al., NeurIPS 2023; arXiv 2310.16898): the net against a twin in PyTorch, the planes and shares of its
 * search, what keeps a block small, nets in bytes on a board to the bit, and a search that beats what is drawn. */
#define _XOPEN_SOURCE 700
#include "command.h"
#include "proof.h"

#include "../tests/mcuformer.h"
#include "emit/emit.h"
#include "kernel/int8.h"
#include "search/family.h"
#include "search/space.h"

static tern_pool *pool;
static const char folder[] = "build/proof-6.4";

/* ---- 1. the net, planes and shares -------------------------------------------------------------------------------------- */

static void check_definitions(proof *p)
{
    static const tern_space_point points[] = {{0.9, 16, 66.298, 0.384},
                                              {0.6, 16, 60.6, 0.666},
                                              {0.65, 28, 45.119, 1},
                                              {0.95, 28, 57.52, 1},
                                              {0.85, 20, 61.2, 1}};
    static const int fit[] = {1, 2, 3, 3, 3};
    static const double widths[] = {168, 192, 216};
    double worst = 0, one;
    for (size_t f = 0; f < TERN_COUNT(golden_files); f++) {
        PROOF_OK(golden_apart(TERN_GOLDEN, f, &one));
        worst = fmax(worst, one);
    }
    proof_at_most(p, "logits-of-3-nets-at-patches-16-and-28-against-a-twin-in-pytorch", worst, 1e-4);
    tern_space_step step;
    tern_space_limits limits = {0.4, 0.95, 0.05, 16, 32, 4};
    PROOF_OK(tern_space_evolve(points, 5, &limits, 0.9, 16, &step));
    proof_equal(p, "slope-of-the-error-by-rank", round(1e3 * step.error[1]) / 1e3, -29.673);
    proof_equal(p, "slope-of-the-error-by-patch", round(1e3 * step.error[2]) / 1e3, 1.127);
    proof_equal(p, "slope-of-the-memory-by-rank", round(1e5 * step.memory[1]) / 1e5, 0.22683);
    proof_equal(p, "slope-of-the-memory-by-patch", round(1e5 * step.memory[2]) / 1e5, -0.03688);
    proof_equal(p, "step-of-the-rank", round(1e9 * step.rank) / 1e9, -0.1);
    proof_equal(p, "step-of-the-patch", step.patch, 0);
    for (size_t i = 0; i < TERN_COUNT(points); i++) {
        char name[64];
        int found = 0;
        for (size_t w = 0; w < TERN_COUNT(widths); w++)
            found += tern_space_bytes(widths[w], 4, points[i].rank, 240, points[i].patch) <= 327680;
        snprintf(name, sizeof name, "of-3-widths-within-320-kib-at-%g-%g", points[i].rank, points[i].patch);
        proof_equal(p, name, found, fit[i]);
    }
}

/* ---- commands ------------------------------------------------------------------------------------------------------------- */

/* ---- 2. memory -------------------------------------------------------------------------------------------------------------- */

#define PAPER "mcuformer-int8 --depth 1 --super-D 256" /* 226 tokens, D 192, 3 heads, rank 0.9 */

static double planned(const char *flags, int *status)
{
    char line[1024], out[4096];
    snprintf(line, sizeof line, "%s plan " PAPER " --machine stm32f746 --json %s 2>/dev/null", PROOF_TERN,
             flags);
    *status = proof_output(line, out, sizeof out);
    printf("plan %s: %.0f bytes of RAM, status %d\n", *flags ? flags : "as it is",
           proof_json_number(out, "ram_bytes"), *status);
    return proof_json_number(out, "ram_bytes");
}

static void check_memory(proof *p)
{
    static const char *const flags[] = {"--no-overwrite", "--no-stream", "--no-fuse"};
    char line[2048], out[8192];
    int status;
    double best = planned("", &status);
    proof_at_most(p, "bytes-of-ram-of-the-paper's-block", best, 140 * 1024);
    for (size_t i = 0; i < TERN_COUNT(flags); i++)
        proof_at_least(p, flags[i], planned(flags[i], &status), best + 1);
    double worst = planned("--no-overwrite --no-stream --no-fuse", &status);
    proof_at_least(p, "all-three", worst, 327680 + 1);
    proof_equal(p, "status-of-all-three", status, 3);
    snprintf(line, sizeof line,
             "%s emit " PAPER
             " --target cortex-m7 --bytes-in --samples 1 --ram 320KiB --flash 1MiB -o %s/paper "
             ">/dev/null && make -s -C %s/paper run",
             PROOF_TERN, folder, folder);
    status = proof_output(line, out, sizeof out);
    printf("%s", out);
    proof_equal(p, "board-linked-within-320-kib", status, 0);
    proof_equal(p, "linked-arena-and-output-against-the-plan", proof_json_number(out, "arena") + 40, best);
    proof_equal(p, "arena-that-was-used-against-the-linked-one", proof_json_number(out, "arena_used"),
                proof_json_number(out, "arena"));
}

/* ---- 3. in bytes ----------------------------------------------------------------------------------------- */

enum { SHOWN = 4000, EPOCHS = 8, CALIBRATED = 512, COMPARED = 2000, ON_BOARD = 100 };

typedef struct subject {
    const tern_net *net, *bytes;
    void *parameters, *byte_parameters;
    tern_dataset data;
    tern_samples shown, tested;
    tern_store floats, store;
} subject;

static void open_subject(subject *s)
{
    static const tern_named_number own[] = {{"D", 32},    {"heads", 1},  {"depth", 2}, {"m", 2},
                                            {"patch", 4}, {"image", 32}, {"rank", 0.9}};
    *s = (subject){.net = tern_net_find("mcuformer"), .bytes = tern_net_find("mcuformer-int8")};
    PROOF_OK(tern_dataset_open(&s->data, "fashion-mnist",
                               &(tern_dataset_options){.train_limit = SHOWN, .test_limit = COMPARED}));
    s->shown = tern_samples_of(&s->data, true);
    s->tested = tern_samples_of(&s->data, false);
    PROOF_OK(tern_net_parameters(s->net, &s->parameters));
    PROOF_OK(tern_net_parameters(s->bytes, &s->byte_parameters));
    PROOF_OK(golden_set(s->net, s->parameters, own, TERN_COUNT(own)));
    PROOF_OK(golden_set(s->bytes, s->byte_parameters, own, TERN_COUNT(own)));
}

static void close_subject(subject *s)
{
    tern_store_close(&s->floats);
    tern_store_close(&s->store);
    tern_net_free(s->parameters);
    tern_net_free(s->byte_parameters);
    tern_dataset_close(&s->data);
}

static void learn(subject *s)
{
    tern_progress_state state = {0};
    tern_training t = {.net = s->net,
                       .parameters = s->parameters,
                       .recipe = tern_recipe_default(),
                       .train = &s->shown,
                       .quiet = true};
    t.recipe.epochs = EPOCHS;
    t.recipe.batch = 32;
    t.recipe.crop = 0;
    t.recipe.rate = 0.002;
    PROOF_OK(tern_train(&t, &state, &s->floats, pool));
    tern_int8_conversion c = {.net = s->net,
                              .int8 = s->bytes,
                              .parameters = s->parameters,
                              .int8_parameters = s->byte_parameters,
                              .samples = &s->shown,
                              .images = CALIBRATED,
                              .seed = 1};
    PROOF_OK(tern_convert_int8(&c, &s->floats, &s->store, pool));
}

static void check_classes(proof *p, subject *s)
{
    tern_evaluation floats, bytes;
    int agree = 0;
    PROOF_OK(tern_evaluate(&floats, s->net, s->parameters, &s->tested, 100, 0, &s->floats, pool));
    PROOF_OK(tern_evaluate(&bytes, s->bytes, s->byte_parameters, &s->tested, 100, 0, &s->store, pool));
    for (int i = 0; i < COMPARED; i++) agree += floats.predicted[i] == bytes.predicted[i];
    printf("accuracy of %d images: %.4f in floats, %.4f in bytes\n", COMPARED, floats.accuracy,
           bytes.accuracy);
    proof_at_least(p, "share-of-equal-classes-in-bytes-and-floats", (double)agree / COMPARED, 0.97);
    tern_evaluation_free(&floats);
    tern_evaluation_free(&bytes);
}

static double scalar(const tern_store *store, const char *name)
{
    int index = tern_store_find(store, name);
    return index >= 0 ? tern_get(&store->tensors[index], 0) : NAN;
}

/* The first images of the test split as the net takes them on a board: bytes. */
static int8_t *images_of(subject *s)
{
    size_t size = (size_t)tern_elements(&s->data.sample);
    float scale = (float)scalar(&s->store, "image.scale");
    int32_t zero = (int32_t)scalar(&s->store, "image.zero");
    int8_t *images = tern_take(ON_BOARD * size);
    for (size_t i = 0; images && i < ON_BOARD * size; i++) {
        double x = (tern_get(&s->tested.images, (int64_t)i) / 255 - s->tested.mean[0]) / s->tested.std[0];
        images[i] = tern_float_to_byte((float)x, scale, zero);
    }
    return images;
}

/* What the command's user does: tern emit RUN-int8 --bytes-in. */
static void emit_board(subject *s)
{
    tern_graph *g, *blocks;
    tern_program *program;
    tern_session *session;
    const tern_emit_target *target = tern_emit_targets;
    char path[256];
    while (strcmp(target->name, "cortex-m7") != 0) target++;
    PROOF_OK(tern_model_graph(&g, s->bytes, s->byte_parameters, &s->data.sample, 1, 0));
    PROOF_OK(tern_int8_take_bytes(&g));
    PROOF_OK(tern_pass_int8_blocks(g, &(tern_int8_blocks){true, true, 1}, &blocks));
    PROOF_OK(tern_plan(&program, blocks, &(tern_plan_options){.reference = true, .compact = true}));
    PROOF_OK(tern_session_open(&session, program, &s->store, pool));
    tern_emit_source source = {
        .program = program, .session = session, .name = "net", .about = "MCUFormer in bytes"};
    tern_emit_samples samples = {.images = images_of(s), .count = ON_BOARD, .steps = 1};
    PROOF_OK(tern_session_bind(session, "image", samples.images));
    PROOF_OK(tern_session_run(session, 0));
    snprintf(path, sizeof path, "%s/board", folder);
    PROOF_OK(
        tern_emit_folder(&source, target, &(tern_emit_limits){320 << 10, 1 << 20, 4096}, &samples, path));
    tern_release((void *)(uintptr_t)samples.images);
    tern_session_close(session);
    tern_program_close(program);
    tern_graph_close(blocks);
    tern_graph_close(g);
}

static void check_bytes(proof *p)
{
    char line[512], out[4096];
    subject s;
    open_subject(&s);
    learn(&s);
    check_classes(p, &s);
    emit_board(&s);
    close_subject(&s);
    snprintf(line, sizeof line, "make -s -C %s/board run", folder);
    proof_output(line, out, sizeof out);
    printf("%s", out);
    proof_equal(p, "images-on-a-board-bit-for-bit", proof_json_number(out, "equal"), ON_BOARD);
}

/* ---- 4. search -------------------------------------------------------------------------------------------------------------- */

enum { SEEDS = 3, FAMILY_SHOWN = 6000, FAMILY_EPOCHS = 4, HELD = 800 };
static const char space[] = "D=24,40,56:depth=1,2,3:heads=1,2:m=1,2,4";

/* The budget that a third of the nets keep to, as far as there is one. */
static double third_of(tern_family *f)
{
    double best = 0, nearest = 1, share;
    for (size_t w = 0; w < 3; w++)
        for (int heads = 1; heads <= 2; heads++)
            for (int halves = 2; halves <= 8; halves *= 2) {
                tern_member m = {.D = (int)f->D.of[w], .depth = 1, .heads = {heads}, .halves = {halves}};
                double bytes;
                PROOF_OK(tern_family_ram(f, &m, &bytes));
                PROOF_OK(tern_family_share(f, bytes, 1000, 7, &share));
                if (fabs(share - 1.0 / 3) >= nearest) continue;
                nearest = fabs(share - 1.0 / 3);
                best = bytes;
            }
    PROOF_OK(tern_family_share(f, best, 1000, 7, &share));
    printf("budget: %.0f bytes, to which %.3f of the nets keep\n", best, share);
    return best;
}

static void check_search(proof *p)
{
    const tern_net *net = tern_net_find("mcuformer");
    const tern_named_number common[] = {{"patch", 8}, {"image", 32}, {"rank", 0.9}};
    tern_dataset d;
    tern_family f;
    void *parameters;
    double gain = 0, fits = 0, budget = 0;
    PROOF_OK(tern_dataset_open(&d, "fashion-mnist",
                               &(tern_dataset_options){.train_limit = FAMILY_SHOWN, .test_limit = COMPARED}));
    tern_samples train = tern_samples_of(&d, true), held = train, test = tern_samples_of(&d, false);
    size_t image = (size_t)tern_elements(&d.sample);
    held.images.data =
        (char *)train.images.data + (FAMILY_SHOWN - HELD) * tern_bytes_of(train.images.dtype, (int64_t)image);
    held.labels.data = (int32_t *)train.labels.data + FAMILY_SHOWN - HELD;
    held.images.shape.dim[0] = held.labels.shape.dim[0] = HELD;
    train.images.shape.dim[0] = train.labels.shape.dim[0] = FAMILY_SHOWN - HELD;
    PROOF_OK(tern_net_parameters(net, &parameters));
    PROOF_OK(golden_set(net, parameters, common, TERN_COUNT(common)));
    PROOF_OK(tern_family_open(&f, net, parameters, d.sample, space));
    budget = third_of(&f);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        tern_store store = {0};
        tern_training t = {.recipe = tern_recipe_default(), .train = &train, .quiet = true};
        t.recipe.epochs = FAMILY_EPOCHS;
        t.recipe.batch = 32;
        t.recipe.crop = 0;
        t.recipe.rate = 0.001;
        t.recipe.seed = seed;
        tern_family_search s = {.samples = &held,
                                .budget = budget,
                                .population = 12,
                                .keep = 4,
                                .mutations = 6,
                                .crossovers = 4,
                                .generations = 3,
                                .seed = seed};
        tern_found_member best;
        double mean, accuracy;
        tern_text text = {0};
        PROOF_OK(tern_family_train(&f, &t, &store, pool));
        PROOF_OK(tern_family_evolve(&f, &s, &store, pool, &best, NULL));
        PROOF_OK(tern_family_accuracy(&f, &best.member, &test, &store, pool, &accuracy));
        PROOF_OK(tern_family_mean(&f, budget, 10, seed, &test, &store, pool, &mean));
        tern_member_print(&best.member, &text);
        printf("seed %d: %s, %.0f bytes, accuracy %.4f; ten that were drawn %.4f\n", (int)seed, text.data,
               best.bytes, accuracy, mean);
        fflush(stdout);
        fits += best.bytes <= budget;
        gain += 100 * (accuracy - mean) / SEEDS;
        tern_text_free(&text);
        tern_store_close(&store);
    }
    proof_equal(p, "nets-found-that-fit", fits, SEEDS);
    proof_at_least(p, "points-above-the-mean-of-ten-that-were-drawn", gain, 0.5);
    tern_net_free(parameters);
    tern_dataset_close(&d);
}

/* All checks, or those whose numbers are given. */
int main(int argc, char **argv)
{
    void (*const checks[])(proof *) = {check_definitions, check_memory, check_bytes, check_search};
    proof p = {.row = "6.4", .title = "MCUFormer, vision transformers on microcontrollers"};
    char out[64];
    PROOF_OK(tern_pool_open(&pool, 0));
    proof_output("mkdir -p build/proof-6.4", out, sizeof out);
    for (size_t i = 0; i < TERN_COUNT(checks); i++)
        if (argc < 2 || strchr(argv[1], '1' + (int)i)) checks[i](&p);
    tern_pool_close(pool);
    return proof_end(&p);
}
