/* Proof of nets of few bits for intrusion detection on a CAN bus (arXiv 2401.11030): quantisers and their gradients against
 * Brevitas, thresholds against the net that was trained, logic in two simulators against the host, what is detected
 * on messages of a later time, and look-up tables after synthesis against the estimate. */
#define _POSIX_C_SOURCE 200809L
#include "../tests/low_golden.h"
#include "command.h"

#include "emit/rtl.h"
#include "io/io.h"
#include "op/fixed.h"
#include "train/train.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

enum { SEEDS = 3, EPOCHS = 4, CLASSES = 4, MESSAGES = 10000, FEW = 500 };

static tern_pool *pool;
static tern_dataset can;
static char folder[] = "/tmp/tern-proof-6.7-XXXXXX";

/* ---- 1: quantisers ---------------------------------------------------------------------------------------------------- */

static void quantisers(proof *p)
{
    low_errors e;
    PROOF_OK(low_compare(TERN_GOLDEN, &e));
    proof_equal(p, "tensors of 2, 3, 4 and 8 bits quantised by Brevitas, weights and activations", e.tensors,
                2000);
    proof_equal(p, "  values, largest difference", e.value, 0);
    proof_at_most(p, "  gradients, largest relative difference", e.gradient, 1e-6);
}

/* ---- training --------------------------------------------------------------------------------------------------------------- */

typedef struct detector {
    const tern_net *net;
    void *parameters;
    tern_store store;
    double f1, least_recall, accuracy;
} detector;

static void score(detector *d, const int64_t *confusion)
{
    int64_t right = 0, all = 0;
    d->f1 = 0;
    d->least_recall = 1;
    for (int c = 0; c < CLASSES; c++) {
        int64_t row = 0, column = 0, hit = confusion[c * CLASSES + c];
        for (int k = 0; k < CLASSES; k++)
            row += confusion[c * CLASSES + k], column += confusion[k * CLASSES + c];
        right += hit;
        all += row;
        d->f1 += row + column ? 2.0 * (double)hit / (double)(row + column) / CLASSES : 0;
        d->least_recall = fmin(d->least_recall, row ? (double)hit / (double)row : 0);
    }
    d->accuracy = (double)right / (double)all;
}

static tern_samples samples_of(const tern_split *split)
{
    tern_samples s = {.images = split->images, .labels = split->labels, .classes = CLASSES};
    for (int i = 0; i < 8; i++) s.std[i] = 1;
    return s;
}

static void train(detector *d, int bits, int seed)
{
    tern_samples data = samples_of(&can.train), test = samples_of(&can.test);
    tern_progress_state state = {0};
    tern_evaluation e;
    *d = (detector){.net = tern_net_find("cqmlp")};
    PROOF_OK(tern_net_parameters(d->net, &d->parameters));
    PROOF_OK(tern_net_set(d->net, d->parameters, "bits", bits));
    tern_training t = {.net = d->net,
                       .parameters = d->parameters,
                       .recipe = tern_recipe_default(),
                       .train = &data,
                       .quiet = true};
    t.recipe.optimiser = TERN_ADAM;
    t.recipe.rate = 1e-3;
    t.recipe.decay = t.recipe.smoothing = t.recipe.crop = t.recipe.flip = 0;
    t.recipe.batch = 256;
    t.recipe.epochs = EPOCHS;
    t.recipe.seed = (uint64_t)seed;
    PROOF_OK(tern_train(&t, &state, &d->store, pool));
    PROOF_OK(tern_evaluate(&e, d->net, d->parameters, &test, 256, 0, &d->store, pool));
    score(d, e.confusion);
    printf("  %d bits, seed %d: macro F1 %.5f, least recall %.5f, accuracy %.5f\n", bits, seed, d->f1,
           d->least_recall, d->accuracy);
    fflush(stdout);
    tern_evaluation_free(&e);
}

static void close_detector(detector *d)
{
    tern_store_close(&d->store);
    tern_net_free(d->parameters);
}

/* Each identifier's most frequent class in training. */
static void look_up(detector *d)
{
    static int64_t seen[2048][CLASSES];
    int64_t confusion[CLASSES * CLASSES] = {0};
    for (int split = 0; split < 2; split++) {
        const tern_split *s = split ? &can.test : &can.train;
        for (int64_t i = 0; i < s->labels.shape.dim[0]; i++) {
            const float *bits = (const float *)s->images.data + i * 80;
            int id = 0, label = ((const int32_t *)s->labels.data)[i], best = 0;
            for (int b = 0; b < 11; b++) id = 2 * id + (bits[b] > 0);
            for (int c = 0; c < CLASSES; c++) best = seen[id][c] > seen[id][best] ? c : best;
            if (split)
                confusion[label * CLASSES + best]++;
            else
                seen[id][label]++;
        }
    }
    score(d, confusion);
}

/* ---- the same net in integers ------------------------------------------------------------------------------------------------- */

typedef struct integers {
    const tern_net *net;
    void *parameters;
    tern_graph *g;
    tern_program *p;
    tern_session *s;
} integers;

/* Plans NET or NET-fixed for `batch` messages, with the levels between layers as outputs, and of one message the codes. */
static void open_net(integers *n, detector *d, bool fixed, int batch)
{
    static const char *const options[] = {"bits", "width"};
    double value;
    *n = (integers){.net = tern_net_find(fixed ? "cqmlp-fixed" : "cqmlp")};
    PROOF_OK(tern_net_parameters(n->net, &n->parameters));
    for (size_t i = 0; i < TERN_COUNT(options); i++) {
        PROOF_OK(tern_net_get(d->net, d->parameters, options[i], &value));
        PROOF_OK(tern_net_set(n->net, n->parameters, options[i], value));
    }
    if (fixed) PROOF_OK(tern_net_set(n->net, n->parameters, "word", 0));
    PROOF_OK(tern_model_graph(&n->g, n->net, n->parameters, &can.sample, batch, 0));
    const tern_op *op = fixed ? &tern_op_threshold_count : &tern_op_step_levels;
    for (int i = 0, k = 0; i < n->g->node_count; i++)
        if (n->g->nodes[i]->op == op)
            tern_output(n->g, tern_arena_format(&n->g->arena, "levels%d", k++), n->g->nodes[i]->out[0]);
    if (fixed && batch == 1) PROOF_OK(tern_rtl_mark(n->g));
    PROOF_OK(tern_plan(&n->p, n->g, NULL));
    PROOF_OK(tern_session_open(&n->s, n->p, &d->store, pool));
}

static void close_net(integers *n)
{
    tern_session_close(n->s);
    tern_program_close(n->p);
    tern_graph_close(n->g);
    tern_net_free(n->parameters);
}

static double differing(const tern_session *a, const tern_session *b, const char *output)
{
    tern_tensor x, y;
    double count = 0;
    PROOF_OK(tern_session_output((tern_session *)(uintptr_t)a, output, &x));
    PROOF_OK(tern_session_output((tern_session *)(uintptr_t)b, output, &y));
    for (int64_t i = 0; i < tern_elements(&x.shape); i++) count += tern_get(&x, i) != tern_get(&y, i);
    return count;
}

static void compare(proof *p, detector *d)
{
    enum { BATCH = 100 };
    integers a, b;
    double levels = 0, logits = 0;
    int64_t messages = can.test.labels.shape.dim[0] / BATCH * BATCH;
    open_net(&a, d, false, BATCH);
    open_net(&b, d, true, BATCH);
    for (int64_t i = 0; i < messages; i += BATCH) {
        const float *x = (const float *)can.test.images.data + i * 80;
        PROOF_OK(tern_session_bind(a.s, "image", x));
        PROOF_OK(tern_session_bind(b.s, "image", x));
        PROOF_OK(tern_session_run(a.s, 0));
        PROOF_OK(tern_session_run(b.s, 0));
        levels +=
            differing(a.s, b.s, "levels0") + differing(a.s, b.s, "levels1") + differing(a.s, b.s, "levels2");
        logits += differing(a.s, b.s, "logits");
    }
    printf("  %lld messages of the test split\n", (long long)messages);
    proof_equal(p, "levels between layers that differ between thresholds and the trained net", levels, 0);
    proof_equal(p, "logits that differ", logits, 0);
    close_net(&a);
    close_net(&b);
}

/* Sums that lie on ties exactly: both forms, and which way an even and an odd level go. */
static void ties(proof *p)
{
    double wrong = 0, floors = 0;
    for (int i = 0; i < 3; i++)
        for (int places = 0; places < 6; places++)
            for (int sign = -1; sign <= 1; sign += 2) {
                /* scale 2^-places: sum (2 i + 1) 2^(places-1) is the tie above level i */
                float scale = (float)(sign * ldexp(1, -places - 1)), shift = 0, turned;
                int32_t t[3];
                tern_thresholds_op op = {.high = 3, .inner = 1, .bound = 1 << 12};
                tern_tensor in[] = {{TERN_F32, TERN_SHAPE(1), &scale}, {TERN_F32, TERN_SHAPE(1), &shift}};
                tern_tensor out[] = {{TERN_I32, TERN_SHAPE(1, 3), t}, {TERN_F32, TERN_SHAPE(1), &turned}};
                tern_op_thresholds.run(&(tern_call){
                    .op = &tern_op_thresholds, .args = &op, .nin = 2, .nout = 2, .in = in, .out = out});
                int tie = (2 * i + 1) << places, level = 0;
                for (int k = 0; k < 3; k++) level += tie >= t[k];
                wrong += level != (i % 2 ? i + 1 : i);
                floors +=
                    i % 2 == 0 && t[i] == tie + 1; /* floor(T) + 1, where FINN's ceil(T) is the tie itself */
            }
    proof_equal(p, "levels on exact ties that are not those of rounding halves to even", wrong, 0);
    proof_equal(p, "even levels whose threshold is floor(T) + 1", floors, 24);
}

/* ---- logic -------------------------------------------------------------------------------------------------------------------- */

static void simulate(proof *p, const char *path, const char *tool, int messages, const tern_rtl *rtl,
                     bool few)
{
    char line[PROOF_LINE], out[PROOF_LINE], name[160];
    int samples = 0, words = 0, wrong = -1, latency = -1, model = 0, others = -1;
    long long interval = 0, bound = 0;
    double sum = 0;
    for (int i = 0; i < rtl->count; i++) {
        bound = tern_rtl_cycles(rtl, i) > bound ? tern_rtl_cycles(rtl, i) : bound;
        sum += (double)tern_rtl_cycles(rtl, i);
    }
    if (!proof_installed(tool)) {
        snprintf(name, sizeof name, "%s, a message every %lld cycles", tool, bound);
        proof_skip(p, name, "scripts/setup --rtl");
        return;
    }
    snprintf(line, sizeof line, "make -s -C %s %s SAMPLES=%d FEW=%d 2>&1", path, tool, messages, messages);
    int status = proof_command(line, "wrong", out);
    sscanf(out,
           "cqmlp: %d samples, %d words, %d wrong, latency %d (model %d), interval model %lld, %d others",
           &samples, &words, &wrong, &latency, &model, &interval, &others);
    snprintf(name, sizeof name, "%s, a message every %lld cycles: messages that were compared", tool, bound);
    proof_at_least(p, name, samples, messages);
    proof_equal(p, "  words that differ from the host's", status == 0 || few ? wrong : -1, 0);
    if (few) return; /* the last of two runs had stalls */
    proof_equal(p, "  cycles between messages, of max (rows / PE)(columns / SIMD)", (double)interval,
                (double)bound);
    proof_equal(p, "  messages at another pace", others, 0);
    proof_at_most(p, "  cycles to the first result, of sum + 10 % + 32", latency, sum * 1.1 + 32);
}

static double luts_of(const tern_rtl *rtl)
{
    double sum = 0;
    for (int i = 0; i < rtl->count; i++) sum += tern_rtl_cost_of(&rtl->layers[i]).luts;
    return sum;
}

/* The best folding of all at the pace that FINN's rule has found. */
static void search(proof *p, tern_rtl *rtl, double pace)
{
    double rule = luts_of(rtl);
    tern_rtl_budget budget = {INFINITY, INFINITY, INFINITY, pace, INFINITY};
    PROOF_OK(tern_rtl_fold_best(rtl, &budget));
    proof_at_most(p, "  cycles between messages of the best folding by search",
                  (double)tern_rtl_interval(rtl), pace);
    proof_at_most(p, "  its look-up tables by the estimate, of those of FINN's rule", luts_of(rtl) / rule, 1);
}

static void logic(proof *p, detector *d)
{
    static const int64_t targets[] = {1024, 128};
    static const double paces[] = {640, 80};
    integers n;
    char path[64];
    open_net(&n, d, true, 1);
    PROOF_OK(tern_session_bind(n.s, "image", can.test.images.data));
    PROOF_OK(tern_session_run(n.s, 0));
    for (int i = 0; i < 2; i++) {
        tern_rtl rtl;
        PROOF_OK(tern_rtl_open(&rtl, n.p, n.s));
        tern_rtl_fold(&rtl, targets[i]);
        snprintf(path, sizeof path, "%s/%d", folder, i);
        PROOF_OK(tern_make_folder(path));
        int64_t all = can.test.labels.shape.dim[0];
        PROOF_OK(tern_rtl_folder(&rtl, "cqmlp", "proof", n.s, can.test.images.data,
                                 all < MESSAGES ? (int)all : MESSAGES, path));
        proof_equal(p, "cycles of FINN's folding", (double)tern_rtl_interval(&rtl), paces[i]);
        simulate(p, path, "verilator", MESSAGES, &rtl, false);
        if (i == 1) simulate(p, path, "iverilog", FEW, &rtl, true);
        search(p, &rtl, paces[i]);
        tern_rtl_free(&rtl);
    }
    close_net(&n);
}

/* ---- synthesis, block by block --------------------------------------------------------------------------------------------- */

typedef struct counts {
    double least, most, dsp; /* found over estimate, of blocks */
    double units;            /* look-up tables of the net's blocks, each alone */
} counts;

/* Both counts of a block; the found ones are returned. */
static double count_block(const tern_rtl *rtl, const char *path, int i, counts *c)
{
    const tern_rtl_layer *l = &rtl->layers[i];
    tern_rtl_cost cost = tern_rtl_cost_of(l);
    tern_rtl_cells cells;
    PROOF_OK(tern_rtl_synthesise_block(path, "cqmlp", TERN_RTL_XILINX, i, &cells));
    double over = cells.luts / cost.luts;
    printf("  block %d, %d results and %d operands: estimate %.0f LUT, %.0f BRAM18; yosys %.0f LUT, %.0f "
           "flip-flops, %.0f BRAM18; ratio %.2f\n",
           i, l->pe, l->simd, cost.luts, cost.bram18, cells.luts, cells.flip_flops, cells.bram, over);
    fflush(stdout);
    c->least = fmin(c->least, over);
    c->most = fmax(c->most, over);
    c->dsp += cells.dsp;
    return cells.luts;
}

static void fold_into(integers *n, tern_rtl *rtl, const char *fold, const char *name, char path[64])
{
    PROOF_OK(tern_rtl_open(rtl, n->p, n->s));
    PROOF_OK(tern_rtl_fold_by(rtl, fold));
    snprintf(path, 64, "%s/%s", folder, name);
    PROOF_OK(tern_rtl_folder(rtl, "cqmlp", "proof", n->s, can.test.images.data, 1, path));
}

static void run_one(integers *n, detector *d)
{
    open_net(n, d, true, 1);
    PROOF_OK(tern_session_bind(n->s, "image", can.test.images.data));
    PROOF_OK(tern_session_run(n->s, 0));
}

/* A small net of the same kind: the blocks of its circuit, each alone, beside the circuit as one, without borders between them. */
static void whole(proof *p)
{
    detector small = {.net = tern_net_find("cqmlp")};
    integers n;
    tern_rtl rtl;
    tern_rtl_cells all;
    counts c = {INFINITY, 0, 0, 0};
    char path[64], line[PROOF_LINE], out[PROOF_LINE], file[96], *text;
    size_t size;
    PROOF_OK(tern_net_parameters(small.net, &small.parameters));
    PROOF_OK(tern_net_set(small.net, small.parameters, "width", 64));
    run_one(&n, &small);
    fold_into(&n, &rtl, "4:8,8:8,4:8,1:4", "small", path);
    for (int i = 0; i < rtl.count; i++) c.units += count_block(&rtl, path, i, &c);
    snprintf(line, sizeof line,
             "cd %s && yosys -q -p 'read_verilog cqmlp.v; synth_xilinx -top cqmlp -family xcup -noiopad "
             "-flatten; tee -q -o whole.txt stat' 2>&1",
             path);
    int status = proof_command(line, "ERROR", out);
    snprintf(file, sizeof file, "%s/whole.txt", path);
    PROOF_OK(tern_read_file(file, &text, &size));
    PROOF_OK(tern_rtl_read_cells(text, "cqmlp", &all, 0));
    tern_release(text);
    printf("  a net of 64, 32 and 16: %.0f LUT as one, %.0f of its blocks\n", all.luts, c.units);
    proof_judge(p, "look-up tables of a small net's blocks over those of the net as one, apart",
                c.units / all.luts - 1, "within", 0.1, status == 0 && fabs(c.units / all.luts - 1) <= 0.1);
    tern_rtl_free(&rtl);
    close_net(&n);
    close_detector(&small);
}

/* The third layer's block in four foldings; of the one that FINN's rule has found for 1,024 cycles the other layers', too. */
static void synthesis(proof *p, detector *d)
{
    static const char *const folds[] = {"1:8,1:4,1:8,1:1", "2:16,4:16,1:16,1:1", "4:16,8:16,4:16,1:4",
                                        "16:16,16:16,16:16,4:16"};
    enum { FOLDS = TERN_COUNT(folds), RULE = 1, THIRD = 2 };
    double estimate[FOLDS], found[FOLDS];
    bool alike = true;
    counts c = {INFINITY, 0, 0, 0};
    integers n;
    char path[64], name[16];
    if (!proof_installed("yosys")) {
        proof_skip(p, "look-up tables after synthesis", "yosys: scripts/setup --rtl");
        return;
    }
    run_one(&n, d);
    for (int f = 0; f < FOLDS; f++) {
        tern_rtl rtl;
        snprintf(name, sizeof name, "s%d", f);
        fold_into(&n, &rtl, folds[f], name, path);
        for (int i = 0; i < rtl.count; i++) {
            if (i != THIRD && f != RULE) continue;
            double luts = count_block(&rtl, path, i, &c);
            if (i == THIRD) found[f] = luts;
            if (f == RULE) c.units += luts;
        }
        estimate[f] = tern_rtl_cost_of(&rtl.layers[THIRD]).luts;
        for (int k = 0; k < f; k++) alike = alike && (estimate[f] > estimate[k]) == (found[f] > found[k]);
        tern_rtl_free(&rtl);
    }
    printf("  the net with a message every 640 cycles: %.0f LUT of its blocks\n", c.units);
    proof_at_least(p, "look-up tables of yosys over the estimate, least of 7 blocks", c.least, 0.4);
    proof_at_most(p, "  most", c.most, 2.5);
    proof_equal(p, "  both rank four foldings of the third block alike", alike, 1);
    proof_equal(p, "  DSP blocks", c.dsp, 0);
    close_net(&n);
    whole(p);
}

int main(void)
{
    proof p = {.row = "6.7", .title = "nets of few bits for intrusion detection on a CAN bus"};
    detector two[SEEDS], other, table;
    double f1 = 1, gap = 0, recall = 1, one = 0, mean = 0;
    if (tern_dataset_open(&can, "can-attack", NULL) != TERN_OK) {
        proof_skip(&p, "everything", "the log of ICSim in $TERN_DATA/can");
        return proof_end(&p);
    }
    PROOF_OK(tern_pool_open(&pool, 0));
    if (!mkdtemp(folder)) PROOF_OK(tern_fail(TERN_FAILED, "no folder for the logic"));
    quantisers(&p);
    ties(&p);
    for (int s = 0; s < SEEDS; s++) {
        train(&two[s], 2, s + 1);
        f1 = fmin(f1, two[s].f1);
        recall = fmin(recall, two[s].least_recall);
        mean += two[s].f1 / SEEDS;
        train(&other, 8, s + 1);
        gap += (other.f1 - two[s].f1) / SEEDS;
        close_detector(&other);
        train(&other, 1, s + 1);
        one += other.f1 / SEEDS;
        close_detector(&other);
    }
    look_up(&table);
    printf("  the most frequent class of each identifier: macro F1 %.5f, least recall %.5f\n", table.f1,
           table.least_recall);
    proof_at_least(&p, "2 bits, messages of a later time: least macro F1 of 3 seeds", f1, 0.99);
    proof_at_most(&p, "  mean F1 of 8 bits above it", gap, 0.005);
    proof_judge(&p, "  mean F1 of 1 bit", one, "<", mean, one < mean);
    proof_at_least(&p, "  least recall of a class", recall, 0.97);
    compare(&p, &two[0]);
    logic(&p, &two[0]);
    synthesis(&p, &two[0]);
    puts("  not here: 99.9 % on a vehicle, 0.11 ms and 0.23 mJ, which need HCRL's messages and an XCZU7EV");
    for (int s = 0; s < SEEDS; s++) close_detector(&two[s]);
    char line[96], out[PROOF_LINE];
    snprintf(line, sizeof line, "rm -r %s", folder);
    proof_command(line, "/", out);
    tern_dataset_close(&can);
    tern_pool_close(pool);
    return proof_end(&p);
}
