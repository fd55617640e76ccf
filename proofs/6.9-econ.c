/* Proof of a front end that compresses showers (ECON-T, arXiv 2105.01683): geometry, and the distance that codes are judged by against a
 * linear program; a learned encoder against classical ones at equal bits; widths of sums; and its logic, whose weights are loaded twice. */
#define _POSIX_C_SOURCE 200809L
#include "../tests/transport_reference.h"
#include "command.h"

#include "emit/rtl_parallel.h"
#include "io/io.h"
#include "train/fixed.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

enum {
    N = TERN_TRIGGER_CELLS,
    SHOWN = 200000,
    TESTED = 4000,
    PAIRS = 100,
    EPOCHS = 8,
    REFINED = 4,
    BATCH = 64,
    STREAMED = 20000,
    UNGUARDED = 2000 /* crossings without votes, where it is enough that flipped bits change results */
};

static tern_pool *pool;
static tern_dataset narrow, wide; /* this module, and one whose clusters are wide */
static char folder[] = "/tmp/tern-proof-6.9-XXXXXX";

/* ---- 1: distances --------------------------------------------------------------------------------------------------------- */

static void distances(proof *p)
{
    tern_shower_options o = {.seed = 69};
    double moved = 0, turned = 0, largest = 0, apart = 0;
    float a[N], b[N];
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++) {
            double ax, ay, bx, by;
            memset(a, 0, sizeof a);
            memset(b, 0, sizeof b);
            a[i] = b[k] = 1;
            tern_trigger_cell(i, &ax, &ay);
            tern_trigger_cell(k, &bx, &by);
            moved = fmax(moved, fabs(tern_shower_distance(a, b) - hypot(ax - bx, ay - by)));
        }
    for (uint64_t i = 0; i < PAIRS; i++) {
        tern_shower(&o, 2 * i, a);
        tern_shower(&o, 2 * i + 1, b);
        double d = tern_shower_distance(a, b), reference = tern_mip_available() ? transport_by_cbc(a, b) : d;
        turned = fmax(turned, fabs(d - tern_shower_distance(b, a)));
        largest = fmax(largest, d);
        apart = isnan(reference) ? INFINITY : fmax(apart, fabs(d - reference));
    }
    proof_at_most(p, "distance of a charge that moves from cell to cell, against that of the cells", moved,
                  1e-12);
    proof_at_most(p, "  of two showers, against that with both changed", turned, 1e-12);
    proof_at_most(p, "  largest of 100 pairs, against the hexagon's diameter", largest, 8);
    if (tern_mip_available())
        proof_at_most(p, "  against a linear program that CBC solves, 100 pairs", apart, 1e-9);
    else
        proof_skip(p, "  against a linear program", "CBC: coinor-libcbc-dev");
}

/* ---- 2: what is lost at equal bits ---------------------------------------------------------------------------------------- */

typedef struct coder {
    const tern_net *net;
    void *parameters;
    tern_store store;
    tern_shower_score score;
} coder;

static tern_samples samples_of(const tern_dataset *d, const tern_split *split)
{
    tern_samples s = {.images = split->images,
                      .labels = split->labels,
                      .classes = 1,
                      .targets = split->targets,
                      .units = d->units,
                      .places = d->places};
    for (int i = 0; i < 8; i++) s.std[i] = 1;
    return s;
}

/* What a crossing's bits are made of: as on the chip, of every output fewer bits where there are fewer links. */
typedef struct rate {
    int keep, bits;
} rate;
static const rate rates[] = {{16, 9}, {16, 6}, {16, 3}};

/* A net with codes of so many outputs and bits; `word` 0: weights in floats. */
static void open_coder(coder *c, const char *net, int word, rate r)
{
    *c = (coder){.net = tern_net_find(net)};
    PROOF_OK(tern_net_parameters(c->net, &c->parameters));
    PROOF_OK(tern_net_set(c->net, c->parameters, "code_bits", r.bits));
    PROOF_OK(tern_net_set(c->net, c->parameters, "keep", r.keep));
    if (!word) return;
    PROOF_OK(tern_net_set(c->net, c->parameters, "word", word));
    PROOF_OK(tern_net_set(c->net, c->parameters, "word-bias", word));
    PROOF_OK(tern_net_set(c->net, c->parameters, "word-act", 8));
    PROOF_OK(tern_net_set(c->net, c->parameters, "range", 1));
}

static void close_coder(coder *c)
{
    tern_store_close(&c->store);
    tern_net_free(c->parameters);
}

/* On crossings of the narrow module, whatever it was trained on. */
static void judge(coder *c)
{
    tern_samples test = samples_of(&narrow, &narrow.test);
    tern_evaluation e;
    PROOF_OK(tern_evaluate(&e, c->net, c->parameters, &test, 200, 0, &c->store, pool));
    float *decoded = tern_take_array((size_t)e.samples * N, sizeof *decoded);
    for (int i = 0; i < e.samples; i++)
        memcpy(decoded + (ptrdiff_t)i * N, e.logits + (ptrdiff_t)i * e.classes, N * sizeof *decoded);
    PROOF_OK(tern_shower_judge(narrow.test.images.data, decoded, e.samples, pool, &c->score));
    tern_release(decoded);
    tern_evaluation_free(&e);
}

static void train(coder *c, const tern_dataset *d, int epochs, double rate)
{
    tern_samples shown = samples_of(d, &d->train);
    tern_progress_state state = {0};
    tern_training t = {.net = c->net,
                       .parameters = c->parameters,
                       .recipe = tern_recipe_default(),
                       .train = &shown,
                       .quiet = true};
    t.recipe.optimiser = TERN_ADAM;
    t.recipe.error = TERN_TRANSPORT_ERROR;
    t.recipe.rate = rate;
    t.recipe.decay = t.recipe.smoothing = t.recipe.crop = t.recipe.flip = 0;
    t.recipe.batch = BATCH;
    t.recipe.epochs = epochs;
    PROOF_OK(tern_train(&t, &state, &c->store, pool));
    judge(c);
}

/* Weights of 6 bits go on from weights in floats; their binary points begin where those just fit. */
static void learn(coder *floats, coder *words, rate r)
{
    open_coder(floats, "econ-ae", 0, r);
    train(floats, &narrow, EPOCHS, 3e-3);
    open_coder(words, "econ-ae-qfx", 6, r);
    tern_samples shown = samples_of(&narrow, &narrow.train);
    tern_fixed_calibration points = {.net = words->net,
                                     .parameters = words->parameters,
                                     .samples = &shown,
                                     .images = 512,
                                     .percentile = 99.9};
    PROOF_OK(tern_hand_over(&floats->store, &words->store));
    PROOF_OK(tern_fixed_calibrate(&points, &words->store, pool));
    train(words, &narrow, REFINED, 1e-3);
}

static void print_score(const char *name, const tern_shower_score *s)
{
    printf("  %s: distance %.4f (68 %% in %.4f .. %.4f), few cells %.4f, many %.4f\n", name, s->mean, s->low,
           s->high, s->sparse, s->dense);
    fflush(stdout);
}

/* A learned encoder at a rate, of 6-bit weights (the caller closes it) and of floats, beside the classical ones. */
static void compare(proof *p, rate r, coder *words)
{
    int bits = r.keep * r.bits;
    coder floats;
    tern_shower_options o = {.seed = tern_shower_seed(0, true)};
    tern_shower_score s[TERN_SHOWER_ENCODERS];
    char text[96];
    PROOF_OK(tern_shower_compare(&o, TESTED, bits, pool, s));
    learn(&floats, words, r);
    printf("  %d bits a crossing, %d outputs of %d\n", bits, r.keep, r.bits);
    print_score("learned, weights of 6 bits", &words->score);
    print_score("weights in floats", &floats.score);
    for (int e = 0; e < TERN_SHOWER_ENCODERS; e++) print_score(tern_shower_encoder_names[e], &s[e]);
    for (int e = 0; e < TERN_SHOWER_ENCODERS; e++) {
        snprintf(text, sizeof text, "%d bits, crossings with many cells: learned over %s", bits,
                 tern_shower_encoder_names[e]);
        proof_judge(p, text, words->score.dense / s[e].dense, "<", 1, words->score.dense < s[e].dense);
    }
    proof_at_most(p, "  6-bit weights over weights in floats, distance",
                  words->score.mean / floats.score.mean, 1.10);
    close_coder(&floats);
}

static void compress(proof *p, coder *best)
{
    coder other;
    compare(p, rates[0], best);
    for (size_t i = 1; i < TERN_COUNT(rates); i++) {
        compare(p, rates[i], &other);
        close_coder(&other);
    }
}

/* Binary points of one into the other. */
static void hand_points(const tern_store *from, tern_store *to)
{
    for (int i = 0, index; i < from->count; i++) {
        const tern_tensor *t = &from->tensors[i];
        tern_type type = {.dtype = t->dtype, .shape = t->shape};
        if (!strstr(from->names[i], "point") || strstr(from->names[i], "point.")) continue; /* moments */
        PROOF_OK(tern_store_need(to, from->names[i], &type, (tern_init){0}, 0, &index));
        memcpy(to->tensors[index].data, t->data, tern_bytes_of(t->dtype, tern_elements(&t->shape)));
    }
    to->version++;
}

/* Weights for another module from the start, with the binary points of this one's, which are the chip's shifts. */
static void train_for_another(proof *p, const coder *best, coder *other)
{
    coder floats;
    open_coder(&floats, "econ-ae", 0, rates[0]);
    train(&floats, &wide, EPOCHS, 3e-3);
    open_coder(other, "econ-ae-qfx", 6, rates[0]);
    PROOF_OK(tern_net_set(other->net, other->parameters, "frozen", 1));
    PROOF_OK(tern_hand_over(&floats.store, &other->store));
    hand_points(&best->store, &other->store);
    close_coder(&floats);
    train(other, &wide, REFINED, 1e-3);
    print_score("trained for the other module", &other->score);
    proof_judge(p, "weights of another module over this one's, distance",
                other->score.mean / best->score.mean, ">", 1.10, other->score.mean > 1.10 * best->score.mean);
}

/* ---- 3 and 4: the logic ----------------------------------------------------------------------------------------------------- */

/* Sums of the corners of weights and inputs, one by one: those that do not fit, and with a bit less. */
static void widths(proof *p, const tern_rtl *rtl)
{
    int over = 0, tight = 0;
    for (int i = 0; i < rtl->count; i++) {
        const tern_rtl_layer *l = &rtl->layers[i];
        double low, high;
        int bits = tern_rtl_worst_sum(l, &low, &high), less = 0, taps = l->in_c * l->kernel_h * l->kernel_w;
        int64_t least = -((int64_t)1 << (l->format_bits - 1)), step = (int64_t)1 << l->bias_places,
                bias = l->bias ? -step * ((int64_t)1 << (l->bias_bits - 1)) : 0;
        for (int corner = 0; corner < 8; corner++) {
            int64_t w = corner & 1 ? -least - 1 : least, b = corner & 2 && l->bias ? -bias - step : bias,
                    x = (int64_t)(corner & 4 ? l->in_high : l->in_low), sum = b;
            for (int k = 0; k < taps; k++) sum += w * x;
            over += sum >= (int64_t)1 << (bits - 1) || sum < -((int64_t)1 << (bits - 1));
            less += sum >= (int64_t)1 << (bits - 2) || sum < -((int64_t)1 << (bits - 2));
        }
        tight += less > 0;
        printf("  %s: sums of %.0f .. %.0f in %d bits, weights of %d, results of %d\n", l->name, low, high,
               bits, l->format_bits, tern_rtl_result_bits(l));
    }
    proof_equal(p, "corner inputs and weights whose sums overflow", over, 0);
    proof_equal(p, "  layers in which a bit less overflows", tight, rtl->count);
}

static void simulate(proof *p, const char *path, const char *tool, int crossings, bool tmr)
{
    char line[PROOF_LINE], out[PROOF_LINE], text[96];
    int samples = 0, wrong = -1, latency, model, gaps = -1, lost = -1, flips = 0, changed = -1;
    if (!proof_installed(tool)) {
        proof_skip(p, tool, "scripts/setup --rtl");
        return;
    }
    snprintf(line, sizeof line, "make -s -C %s %s FEW=%d 2>&1", path, tool, crossings);
    int status = proof_command(line, "wrong", out);
    sscanf(out, "econ: %d samples, %d wrong, latency %d (model %d), %d gaps, %d bits lost, %d flips, %d",
           &samples, &wrong, &latency, &model, &gaps, &lost, &flips, &changed);
    snprintf(text, sizeof text, "%s, %s: crossings that were compared", tool,
             tmr ? "three copies" : "one copy");
    proof_at_least(p, text, samples, crossings);
    proof_equal(p, "  results that differ from the host's, of two sets of weights", status == 0 ? wrong : -1,
                0);
    proof_equal(p, "  gaps between results, one a cycle", gaps, 0);
    proof_equal(p, "  bits of the chain that are read back otherwise", lost, 0);
    if (tmr)
        proof_equal(p, "  of 1,000 flipped bits, those that change a result", flips == 1000 ? changed : -1,
                    0);
    else
        proof_judge(p, "  of 1,000 flipped bits, those that change a result", changed, ">", 0,
                    flips == 1000 && changed > 0);
}

/* Registers that yosys keeps; the three copies of the chain are among them, each in a module that keeps its place. */
static void registers(proof *p, const char *path, int64_t chain)
{
    char line[PROOF_LINE], buffer[PROOF_LINE], kind[64];
    double count, bits = 0;
    if (!proof_installed("yosys")) {
        proof_skip(p, "registers after synthesis", "yosys: scripts/setup --rtl");
        return;
    }
    snprintf(line, sizeof line,
             "cd %s && yosys -p 'read_verilog econ.v; hierarchy -top econ; proc; opt_clean; dffunmap; "
             "simplemap t:$dff; opt_merge; opt_clean; stat' 2>&1",
             path);
    FILE *pipe = popen(line, "r");
    while (pipe && fgets(buffer, sizeof buffer, pipe)) {
        if (strstr(buffer, "design hierarchy")) bits = 0; /* the last table counts */
        if (sscanf(buffer, " %63s %lf", kind, &count) == 2 && strstr(kind, "DFF")) bits += count;
    }
    int status = pipe ? pclose(pipe) : -1;
    proof_at_least(p, "bits of registers after synthesis, of three copies of the chain",
                   status == 0 ? bits : -1, 3 * (double)chain);
}

static void within(proof *p, const char *text, double ratio)
{
    proof_judge(p, text, ratio, "within a factor of", 2, ratio > 0.5 && ratio < 2);
}

/* The model of area and energy, part by part beside what yosys makes of it, and beside the chip. */
static void gates(proof *p, const char *path, const tern_rtl *rtl, tern_session *session, const float *images)
{
    double activity, modelled = 0, found = 0;
    PROOF_OK(tern_rtl_activity(rtl, session, images, 1000, &activity));
    tern_rtl_gates g = tern_rtl_gates_of(rtl, true, activity);
    printf(
        "  modelled gates: %.0f of products and sums, %.0f of registers, %.0f to load, %.0f of three copies "
        "(%.1f %%)\n  modelled chip: %.2f mm2, %.2f nJ (3.6 mm2 and 2.4 nJ are the paper's)\n",
        g.dots, g.registers, g.loading, g.redundancy,
        100 * g.redundancy / (g.dots + g.registers + g.loading + g.redundancy), g.area, 1e9 * g.energy);
    if (!proof_installed("yosys")) {
        proof_skip(p, "gates after synthesis", "yosys: scripts/setup --rtl");
        return;
    }
    tern_rtl_part parts[4]; /* of two layers */
    PROOF_OK(tern_rtl_synthesise_parts(rtl, "econ", true, path, parts));
    for (int i = 0; i < rtl->count + 2; i++) {
        const tern_rtl_part *part = &parts[i];
        char text[96];
        snprintf(text, sizeof text, "gates of %s %s after synthesis over those modelled", part->what,
                 part->layer ? part->layer : "");
        printf("  %.0f times %s %s: %.1f gates after synthesis, %.1f modelled\n", part->count, part->what,
               part->layer ? part->layer : "", part->found, part->modelled);
        modelled += part->count * part->modelled;
        found += part->count * part->found;
        within(p, text, part->found / part->modelled);
    }
    printf("  %.2f million gates after synthesis, %.2f million modelled\n", found / 1e6, modelled / 1e6);
    within(p, "all gates after synthesis over those modelled", found / modelled);
}

/* The circuit begins with the weights of another module, and is given this one's without a reset. */
static void logic(proof *p, coder *c, coder *other)
{
    tern_graph *g;
    tern_program *program;
    tern_session *session[2];
    tern_rtl rtl[2];
    void *parameters = c->parameters;
    char path[96];
    tern_shape sample = narrow.sample;
    size_t size = (size_t)STREAMED * N;
    float *images = tern_take_array(size, sizeof *images);
    for (size_t i = 0; i < size; i++) images[i] = ((const float *)narrow.train.images.data)[i];
    PROOF_OK(tern_model_graph(&g, tern_net_find("econ-ae-fixed"), parameters, &sample, 1, 0));
    PROOF_OK(tern_rtl_mark(g));
    PROOF_OK(tern_plan(&program, g, NULL));
    for (int k = 0; k < 2; k++) {
        PROOF_OK(tern_session_open(&session[k], program, k ? &c->store : &other->store, pool));
        PROOF_OK(tern_session_bind(session[k], "image", images));
        PROOF_OK(tern_session_run(session[k], 0));
        PROOF_OK(tern_rtl_open(&rtl[k], program, session[k]));
    }
    widths(p, &rtl[0]);
    proof_equal(p, "bits that are loaded: 2,288 words of 6", (double)tern_rtl_chain(&rtl[0]), 2288 * 6);
    for (int tmr = 1; tmr >= 0; tmr--) {
        snprintf(path, sizeof path, "%s/%d", folder, tmr);
        int crossings = tmr ? STREAMED : UNGUARDED;
        PROOF_OK(tern_rtl_parallel_folder(rtl, session, "econ", "proof", images, crossings, tmr, path));
        simulate(p, path, "verilator", crossings, tmr);
        if (tmr) registers(p, path, tern_rtl_chain(&rtl[0]));
        if (tmr) gates(p, path, &rtl[1], session[1], images);
    }
    for (int k = 0; k < 2; k++) {
        tern_rtl_free(&rtl[k]);
        tern_session_close(session[k]);
    }
    tern_program_close(program);
    tern_graph_close(g);
    tern_release(images);
}

int main(void)
{
    proof p = {.row = "6.9", .title = "a front end that compresses showers"};
    tern_dataset_options few = {.train_limit = SHOWN, .test_limit = TESTED};
    coder best, other;
    char line[96], out[PROOF_LINE];
    distances(&p);
    PROOF_OK(tern_pool_open(&pool, 0));
    if (!mkdtemp(folder)) PROOF_OK(tern_fail(TERN_FAILED, "no folder for what is emitted"));
    PROOF_OK(tern_dataset_open(&narrow, "showers", &few));
    PROOF_OK(tern_dataset_open(&wide, "showers-wide", &few));
    compress(&p, &best);
    train_for_another(&p, &best, &other);
    logic(&p, &best, &other);
    puts("  not here: the 3.6 mm2, 95 mW and 200 Mrad of a chip that was made");
    close_coder(&best);
    close_coder(&other);
    snprintf(line, sizeof line, "rm -r %s", folder);
    proof_command(line, "/", out);
    tern_dataset_close(&narrow);
    tern_dataset_close(&wide);
    tern_pool_close(pool);
    return proof_end(&p);
}
