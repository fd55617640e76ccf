/* Proof of IIR-SNN (Chowdhury, Rathi & Roy, ECCV 2022; arXiv 2110.05929): a net of ReLUs becomes a spiking one of 5 steps,
 * and each trained net is the start of the next with a step less, down to one step without membranes; on Fashion-MNIST. */
#include "proof.h"

#include "../tests/golden/iir/two_layers.h"
#include "machine/machine.h"
#include "train/train.h"

/* So few images, and batches of 8 where the authors take 64, that three seeds take minutes: what a stage needs is updates,
 * 1250 here.  Every test image is looked at. */
enum {
    SAMPLES = 1000,
    BATCH = 8,
    ANN_EPOCHS = 30,
    EPOCHS = 10,
    STAGES = 5,
    SEEDS = 3,
    CALIBRATION_STEPS = 50
};

/* ---- 1. the twin ---------------------------------------------------------------------------------------------------- */

static void check_twin(proof *p)
{
    tern_bundle golden = {0};
    double spikes, forward, gradient;
    PROOF_OK(tern_safetensors_read(TERN_GOLDEN "/iir/two-layers.safetensors", &golden));
    PROOF_OK(golden_compare(&golden, &spikes, &forward, &gradient));
    proof_equal(p, "twin-spikes-differ-at", spikes, 0);
    proof_at_most(p, "twin-forward", forward, 1e-5);
    proof_at_most(p, "twin-gradients-relative", gradient, 1e-4);
    tern_bundle_free(&golden);
}

static void check_percentile(proof *p)
{
    static const int sizes[] = {1, 2, 10, 11, 255, 1000, 2048}, percentiles[] = {50, 90, 99};
    tern_bundle golden = {0};
    int wrong = 0;
    PROOF_OK(tern_safetensors_read(TERN_GOLDEN "/iir/percentile.safetensors", &golden));
    for (size_t i = 0; i < TERN_COUNT(sizes) * TERN_COUNT(percentiles); i++) {
        char name[32];
        float values[2048];
        int n = sizes[i / TERN_COUNT(percentiles)], q = percentiles[i % TERN_COUNT(percentiles)];
        snprintf(name, sizeof name, "x%d", n);
        memcpy(values, tern_bundle_find(&golden, name)->data, (size_t)n * sizeof *values);
        snprintf(name, sizeof name, "value%d.q%d", n, q);
        wrong += tern_percentile(values, n, q) != (float)tern_get(tern_bundle_find(&golden, name), 0);
    }
    proof_equal(p, "percentile-differs-from-kthvalue-at", wrong, 0);
    tern_bundle_free(&golden);
}

/* ---- what is trained ------------------------------------------------------------------------------------------------ */

typedef struct bench {
    const tern_net *net;
    tern_samples train, test;
    tern_pool *pool;
} bench;

/* VGG-5 at half its widths */
static void *parameters(const bench *b, int timesteps)
{
    void *p;
    PROOF_OK(tern_net_parameters(b->net, &p));
    PROOF_OK(tern_net_set(b->net, p, "width", 32));
    PROOF_OK(tern_net_set(b->net, p, "timesteps", timesteps));
    return p;
}

/* The recipes of the authors but for the batch: SGD 0.01 for the net of ReLUs, AMSGrad 1e-4 for spikes, the rate over 5 at
 * three milestones. */
static tern_recipe recipe_of(int timesteps, int epochs, uint64_t seed)
{
    tern_recipe r = tern_recipe_default();
    bool spiking = timesteps > 0;
    r.optimiser = spiking ? TERN_AMSGRAD : TERN_SGD;
    r.rate = spiking ? 1e-4 : 0.01;
    r.decay = spiking ? 0 : 5e-4;
    r.schedule = TERN_MILESTONE_RATE;
    r.step_factor = 0.2;
    r.milestones[0] = spiking ? 0.6 : 0.45;
    r.milestones[1] = spiking ? 0.8 : 0.7;
    r.milestones[2] = 0.9;
    r.warmup = r.smoothing = 0;
    r.epochs = epochs;
    r.batch = BATCH;
    r.seed = seed;
    return r;
}

static void train(const bench *b, int timesteps, int epochs, uint64_t seed, tern_store *store)
{
    void *p = parameters(b, timesteps);
    tern_progress_state state = {0};
    tern_training t = {.net = b->net,
                       .parameters = p,
                       .recipe = recipe_of(timesteps, epochs, seed),
                       .train = &b->train,
                       .quiet = true};
    PROOF_OK(tern_train(&t, &state, store, b->pool));
    tern_net_free(p);
}

static tern_evaluation evaluate(const bench *b, int timesteps, tern_store *store)
{
    tern_evaluation e;
    void *p = parameters(b, timesteps);
    PROOF_OK(tern_evaluate(&e, b->net, p, &b->test, 100, 2000, store, b->pool));
    tern_net_free(p);
    return e;
}

/* ---- 2. fusing ------------------------------------------------------------------------------------------------------- */

/* Logits of 100 test images by the graph as it is built: no pass fuses anything. */
static void plain_logits(const bench *b, tern_store *store, float out[1000])
{
    tern_graph *g;
    tern_program *program;
    tern_session *session;
    tern_loader *loader;
    tern_tensor logits;
    void *p = parameters(b, 0);
    PROOF_OK(tern_loader_open(&loader, &b->test, &(tern_loader_options){.batch = 100}));
    tern_loader_begin(loader, 0, 0);
    PROOF_OK(tern_graph_open(&g, NULL));
    tern_value image = tern_input(g, "image", TERN_F32, TERN_SHAPE(100, 1, 28, 28));
    tern_output(g, "logits", b->net->build(g, p, image));
    PROOF_OK(tern_plan(&program, g, NULL));
    PROOF_OK(tern_session_open(&session, program, store, b->pool));
    PROOF_OK(tern_session_bind(session, "image", tern_loader_next(loader)->images));
    PROOF_OK(tern_session_run(session, 0));
    PROOF_OK(tern_session_output(session, "logits", &logits));
    memcpy(out, logits.data, 1000 * sizeof *out);
    tern_session_close(session);
    tern_program_close(program);
    tern_graph_close(g);
    tern_loader_close(loader);
    tern_net_free(p);
}

/* The fused weights of the spiking form, between norms that change nothing. */
static double fusing_error(const bench *b, tern_store *ann, const tern_store *snn)
{
    tern_store fused = {0};
    float before[1000], after[1000];
    double worst = 0;
    PROOF_OK(tern_hand_over(ann, &fused));
    for (int i = 0; i < fused.count; i++) {
        const char *name = fused.names[i], *what = strchr(name, '.') + 1;
        int at = tern_store_find(snn, name);
        for (int64_t k = 0; k < tern_elements(&fused.tensors[i].shape); k++) {
            double identity = strcmp(what, "weight") == 0        ? 1
                              : strcmp(what, "running_var") == 0 ? 1 - 1e-5
                                                                 : 0;
            tern_set(&fused.tensors[i], k, at >= 0 ? tern_get(&snn->tensors[at], k) : identity);
        }
    }
    plain_logits(b, ann, before);
    plain_logits(b, &fused, after);
    for (int i = 0; i < 1000; i++) worst = fmax(worst, fabs(before[i] - after[i]));
    tern_store_close(&fused);
    return worst;
}

/* ---- 3. five steps to one, and one jump ------------------------------------------------------------------------------ */

typedef struct result {
    double ann, five, one, jump;              /* accuracies */
    double accumulates_five, accumulates_one; /* of an image */
    double better, better_by_rates;           /* energy of the net of ReLUs over that of one step */
    double printed_apart, fused_apart, linear_apart;
} result;

/* Energy as the papers count it, by the cost model, of what was counted by layer. */
static double paper_energy(const tern_evaluation *e)
{
    tern_machine *m;
    tern_cost cost;
    tern_task_work *tasks = tern_take_array((size_t)e->layer_count, sizeof *tasks);
    if (!tasks) PROOF_OK(tern_no_memory(64, "tasks"));
    for (int i = 0; i < e->layer_count; i++)
        tasks[i] =
            (tern_task_work){.label = e->layers[i].layer, .work = e->layers[i].work, .on_spikes = true};
    PROOF_OK(tern_machine_open(&m, "reference-45nm"));
    tern_machine_cost(m, &(tern_cost_query){.tasks = tasks, .count = e->layer_count}, &cost, NULL);
    tern_machine_close(m);
    tern_release(tasks);
    return cost.paper_joules;
}

static const tern_layer_work *layer_of(const tern_evaluation *e, const char *name)
{
    for (int i = 0; i < e->layer_count; i++)
        if (strcmp(e->layers[i].layer, name) == 0) return &e->layers[i];
    printf("proof stopped: there is no layer %s\n", name);
    exit(1);
}

/* E_SNN / E_ANN = (0.9 sum_{l>1} AC_l + 4.6 OPs_1) / (4.6 sum OPs) on the counters; and with rate_l OPs_l for AC_l, rate being
 * the spikes that reach an input of the layer. */
static void compare_energy(const tern_evaluation *ann, const tern_evaluation *snn, result *r)
{
    static const char *const layers[] = {"conv1", "conv2", "conv3", "linear1", "linear2"};
    double adds = 0, by_rates = 0, all = 0, first = layer_of(ann, "conv1")->work.macs;
    double inputs[] = {0, 32 * 14 * 14, 64 * 14 * 14, 64 * 7 * 7, 512};
    for (int l = 0; l < 5; l++) {
        double macs = layer_of(ann, layers[l])->work.macs;
        all += macs;
        if (l == 0) continue;
        const tern_layer_activity *a = &snn->activity[l - 1];
        adds += layer_of(snn, layers[l])->work.accumulates;
        by_rates += a->spikes * a->neurons / inputs[l] * macs;
    }
    const tern_layer_activity *third = &snn->activity[2]; /* each of its spikes, pooled, meets 512 weights */
    double expected = third->spikes * third->neurons * 512, got = layer_of(snn, "linear1")->work.accumulates;
    double printed = paper_energy(snn) / paper_energy(ann);
    r->better = 1 / printed;
    r->better_by_rates = 4.6 * all / (0.9 * by_rates + 4.6 * first);
    r->printed_apart = fabs(printed / ((0.9 * adds + 4.6 * first) / (4.6 * all)) - 1);
    r->linear_apart = fabs(got / expected - 1);
}

/* Stages of 5, 4, .. 1 steps, each from what the one before learned; the accuracy and accumulates of the first. */
static tern_store stages(const bench *b, const tern_store *converted, uint64_t seed, result *r)
{
    tern_store now = {0};
    PROOF_OK(tern_hand_over(converted, &now));
    for (int t = STAGES; t >= 1; t--) {
        tern_store next = {0};
        PROOF_OK(tern_hand_over(&now, &next));
        tern_store_close(&now);
        train(b, t, EPOCHS, seed, &next);
        now = next;
        if (t != STAGES) continue;
        tern_evaluation e = evaluate(b, t, &now);
        r->five = e.accuracy;
        r->accumulates_five = e.work.accumulates;
        tern_evaluation_free(&e);
    }
    return now;
}

static result run(const bench *b, uint64_t seed)
{
    result r = {0};
    tern_store ann = {0}, converted = {0}, jump = {0};
    void *relu = parameters(b, 0), *spiking = parameters(b, STAGES);
    train(b, 0, ANN_EPOCHS, seed, &ann);
    tern_conversion c = {b->net, relu, spiking, &b->train, 512, CALIBRATION_STEPS, 90, seed};
    PROOF_OK(tern_convert(&c, &ann, &converted, b->pool));
    r.fused_apart = fusing_error(b, &ann, &converted);
    tern_store one = stages(b, &converted, seed, &r);
    PROOF_OK(tern_hand_over(&converted, &jump));
    train(b, 1, STAGES * EPOCHS, seed, &jump);
    tern_evaluation a = evaluate(b, 0, &ann), e = evaluate(b, 1, &one), j = evaluate(b, 1, &jump);
    r.ann = a.accuracy;
    r.one = e.accuracy;
    r.jump = j.accuracy;
    r.accumulates_one = e.work.accumulates;
    compare_energy(&a, &e, &r);
    printf("seed %d: accuracy ReLU %.4f, T=5 %.4f, T=1 in stages %.4f, T=1 in one jump %.4f; "
           "accumulates T=5 %.3g, T=1 %.3g\n",
           (int)seed, r.ann, r.five, r.one, r.jump, r.accumulates_five, r.accumulates_one);
    fflush(stdout);
    tern_evaluation_free(&a);
    tern_evaluation_free(&e);
    tern_evaluation_free(&j);
    tern_store_close(&ann);
    tern_store_close(&converted);
    tern_store_close(&one);
    tern_store_close(&jump);
    tern_net_free(relu);
    tern_net_free(spiking);
    return r;
}

/* ---- 4. memory and energy ---------------------------------------------------------------------------------------------- */

/* Bytes of membranes that are kept, and moved, in a time step. */
static void membranes(const bench *b, int timesteps, double *kept, double *moved)
{
    tern_graph *g;
    tern_program *program;
    tern_memory_need need;
    tern_shape sample = TERN_SHAPE(1, 28, 28);
    void *p = parameters(b, timesteps);
    PROOF_OK(tern_model_step_graph(&g, b->net, p, &sample, 1, 0));
    PROOF_OK(tern_plan(&program, g, NULL));
    PROOF_OK(tern_program_memory(program, &need));
    tern_step_work *work = tern_take_array((size_t)program->step_count, sizeof *work);
    if (!work) PROOF_OK(tern_no_memory(64, "an account"));
    PROOF_OK(tern_program_work(program, 1, work));
    *kept = need.membranes;
    *moved = 0;
    for (int i = 0; i < program->step_count; i++) *moved += work[i].traffic.membranes;
    tern_release(work);
    tern_program_close(program);
    tern_graph_close(g);
    tern_net_free(p);
}

static void check_membranes(proof *p, const bench *b)
{
    double kept, moved;
    membranes(b, 1, &kept, &moved);
    proof_equal(p, "membrane-bytes-t1", kept, 0);
    proof_equal(p, "membrane-traffic-t1", moved, 0);
    membranes(b, STAGES, &kept, &moved);
    proof_equal(p, "membrane-bytes-t5", kept, 4 * (32 * 28 * 28 + 2 * 64 * 14 * 14 + 512));
    proof_equal(p, "membrane-traffic-t5", moved, 2 * kept);
}

static void judge(proof *p, const result *mean, const result *worst)
{
    proof_at_most(p, "fusing-logits", worst->fused_apart, 1e-4);
    proof_at_least(p, "accuracy-t1-in-stages-against-one-jump", mean->one, mean->jump + 0.005);
    proof_at_least(p, "accuracy-t1-against-t5", mean->one, mean->five - 0.02);
    proof_at_least(p, "accuracy-t1-against-relu", mean->one, mean->ann - 0.03);
    proof_at_most(p, "accumulates-t1-over-t5", mean->accumulates_one / mean->accumulates_five, 0.45);
    proof_at_least(p, "energy-relu-over-t1", mean->better, 8);
    proof_at_least(p, "energy-relu-over-t1-by-rates", mean->better_by_rates, 8);
    proof_at_most(p, "energy-printed-is-formula-on-counters", worst->printed_apart, 1e-9);
    proof_at_most(p, "accumulates-are-spikes-times-fan-out", worst->linear_apart, 1e-9);
}

int main(void)
{
    proof p = {.row = "1.5", .title = "IIR-SNN"};
    bench b = {.net = tern_net_find("vgg")};
    tern_dataset d;
    result mean = {0}, worst = {0};
    check_twin(&p);
    check_percentile(&p);
    check_membranes(&p, &b);
    tern_dataset_options limits = {.train_limit = SAMPLES};
    if (tern_dataset_open(&d, "fashion-mnist", &limits) != TERN_OK) {
        proof_skip(&p, "fashion-mnist", "the Fashion-MNIST images ($TERN_DATA)");
        return proof_end(&p);
    }
    PROOF_OK(tern_pool_open(&b.pool, 0));
    b.train = tern_samples_of(&d, true);
    b.test = tern_samples_of(&d, false);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        result r = run(&b, seed);
        mean.ann += r.ann / SEEDS;
        mean.five += r.five / SEEDS;
        mean.one += r.one / SEEDS;
        mean.jump += r.jump / SEEDS;
        mean.accumulates_five += r.accumulates_five / SEEDS;
        mean.accumulates_one += r.accumulates_one / SEEDS;
        mean.better += r.better / SEEDS;
        mean.better_by_rates += r.better_by_rates / SEEDS;
        worst.fused_apart = fmax(worst.fused_apart, r.fused_apart);
        worst.printed_apart = fmax(worst.printed_apart, r.printed_apart);
        worst.linear_apart = fmax(worst.linear_apart, r.linear_apart);
    }
    judge(&p, &mean, &worst);
    tern_dataset_close(&d);
    tern_pool_close(b.pool);
    return proof_end(&p);
}
