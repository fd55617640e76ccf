/* Proof of SLTT and SLTT-K (Meng et al., ICCV 2023; arXiv 2302.14311): spatial learning through time against the gradient
 * of all steps at once, on N-MNIST recordings. */
#include "proof.h"

#include "io/io.h"
#include "op/op.h"
#include "op/optimiser.h"
#include "run/run.h"
#include "train/rule.h"

#include <math.h>
#include <string.h>

enum { STEPS = 10, BATCH = 50, CLASSES = 10, EPOCHS = 6, SEEDS = 3 };
typedef enum rule { BPTT, SLTT, SLTT_K } rule;
static const char *const rule_names[] = {"bptt", "sltt", "sltt-2"};

/* Widths of the convolutions; a pool of 2 stands behind each; 0 ends. */
typedef struct net {
    double tau;
    int truncate, batch, channels, side;
    const int *widths;
} net;
static const int small[] = {12, 24, 48, 0};
/* VGG-11: 0 < width, -1 a pool */
static const int vgg11[] = {64, -1, 128, -1, 256, 256, -1, 512, 512, -1, 512, 512, -1, 0};

static tern_value neurons(tern_graph *g, const net *n, tern_value x)
{
    x = tern_batch_norm(g, x, .per_step = true);
    return tern_lif(g, x, .tau = n->tau, .decay_input = false, .reset = TERN_RESET_SOFT,
                    .detach_reset = false, .surrogate = TERN_TRIANGLE, .alpha = 1, .truncate = n->truncate);
}

/* x [T,B,C,H,W] -> logits [T,B,CLASSES] */
static tern_value layers(tern_graph *g, const net *n, tern_value x)
{
    bool every = n->widths == small;
    for (const int *w = n->widths; *w; w++) {
        if (*w > 0) x = neurons(g, n, tern_conv2d(g, x, .out = *w, .pad = 1, .bias = false));
        if (every || *w < 0) x = tern_avg_pool2d(g, x, .kernel = 2);
    }
    return tern_linear(g, tern_flatten(g, x, .from = 2), .out = CLASSES);
}

static tern_value one_step(tern_graph *g, const void *context, tern_value frame)
{
    const net *n = context;
    tern_value x = tern_reshape(g, frame, TERN_SHAPE(1, n->batch, n->channels, n->side, n->side));
    return tern_reshape(g, layers(g, n, x), TERN_SHAPE(n->batch, CLASSES));
}

/* Loss, gradients and sum of logits of a mini-batch under a rule: (0.95 CE + 0.05 mean (o_t - 1)^2) / T, as the authors. */
static tern_learned build(tern_graph *g, const net *n, rule r, int steps)
{
    tern_learned l = {0};
    tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(steps, n->batch, n->channels, n->side, n->side));
    tern_value labels = tern_input(g, "labels", TERN_I32, TERN_SHAPE(n->batch));
    if (r != BPTT) {
        tern_sltt sltt = {.timesteps = steps,
                          .chosen = r == SLTT_K ? 2 : 0,
                          .alpha = 0.05,
                          .build = one_step,
                          .context = n};
        tern_sltt_inputs in = {.frames = x, .labels = labels};
        if (r == SLTT_K) in.mask = tern_input(g, "mask", TERN_F32, TERN_SHAPE(steps));
        PROOF_OK(tern_rule_sltt(g, &sltt, &in, &l));
        return l;
    }
    tern_value all = tern_input(g, "all labels", TERN_I32, TERN_SHAPE(steps * n->batch)), o = layers(g, n, x);
    tern_value rows = tern_reshape(g, o, TERN_SHAPE(steps * n->batch, CLASSES));
    tern_value away = tern_subtract(g, rows, tern_scalar(g, 1));
    tern_value square = tern_mean(g, tern_multiply(g, away, away), .axes = 2);
    l.loss = tern_add(g, tern_multiply(g, tern_cross_entropy(g, rows, all), tern_scalar(g, 0.95)),
                      tern_multiply(g, square, tern_scalar(g, 0.05)));
    l.logits = tern_sum(g, o, .axis = 0);
    PROOF_OK(tern_graph_status(g));
    l.params = tern_arena_take(&g->arena, 2 * (size_t)g->value_count * sizeof *l.params);
    if (!l.params) PROOF_OK(tern_no_memory(64, "a proof"));
    l.grads = l.params + g->value_count;
    for (int i = 1; i < g->value_count; i++)
        if (g->values[i].kind == TERN_VALUE_PARAM) l.params[l.count++] = (tern_value){i};
    PROOF_OK(tern_gradients(g, l.loss, l.params, l.count, l.grads));
    return l;
}

static void learn(tern_graph *g, const tern_learned *l)
{
    tern_value rate = tern_input(g, "rate", TERN_F32, TERN_SHAPE(1)),
               step = tern_input(g, "step", TERN_F32, TERN_SHAPE(1));
    for (int i = 0; i < l->count; i++) {
        const char *name = tern_value_of(g, l->params[i])->name;
        tern_shape s = tern_shape_of(g, l->params[i]);
        tern_value out[3],
            m = tern_state(g, tern_arena_format(&g->arena, "%s.mean", name), TERN_F32, s, (tern_init){0},
                           true),
            v = tern_state(g, tern_arena_format(&g->arena, "%s.square", name), TERN_F32, s, (tern_init){0},
                           true);
        tern_apply(g, &tern_op_adam, &(tern_adam_op){0.9, 0.999, 1e-8, 0, false, false},
                   (tern_value[]){l->params[i], l->grads[i], m, v, rate, step}, 6, out);
        tern_next(g, l->params[i], out[0]);
        tern_next(g, m, out[1]);
        tern_next(g, v, out[2]);
    }
}

typedef struct trainer {
    tern_graph *g;
    tern_program *p;
    tern_session *s;
    float *x, mask[STEPS], rate, step;
    int32_t labels[BATCH], all[STEPS * BATCH];
} trainer;

static void open_trainer(trainer *t, const net *n, rule r, uint64_t seed, bool update, tern_store *store,
                         tern_pool *pool)
{
    *t = (trainer){.rate = 2e-3f};
    PROOF_OK(tern_graph_open(&t->g, &(tern_graph_options){.training = true, .seed = seed}));
    tern_learned l = build(t->g, n, r, STEPS);
    tern_output(t->g, "loss", l.loss);
    tern_output(t->g, "logits", l.logits);
    for (int i = 0; !update && i < l.count; i++)
        tern_output(t->g, tern_value_of(t->g, l.params[i])->name, l.grads[i]);
    if (update) learn(t->g, &l);
    PROOF_OK(tern_graph_status(t->g));
    PROOF_OK(tern_plan(&t->p, t->g, NULL));
    PROOF_OK(tern_session_open(&t->s, t->p, store, pool));
    t->x = tern_take_array((size_t)(STEPS * BATCH * n->channels * n->side * n->side), sizeof *t->x);
    if (!t->x) PROOF_OK(tern_no_memory(64, "a batch"));
    PROOF_OK(tern_session_bind(t->s, "x", t->x));
    PROOF_OK(tern_session_bind(t->s, "labels", t->labels));
    if (r == BPTT) PROOF_OK(tern_session_bind(t->s, "all labels", t->all));
    if (r == SLTT_K) PROOF_OK(tern_session_bind(t->s, "mask", t->mask));
    if (update) PROOF_OK(tern_session_bind(t->s, "rate", &t->rate));
    if (update) PROOF_OK(tern_session_bind(t->s, "step", &t->step));
}

static void close_trainer(trainer *t)
{
    tern_session_close(t->s);
    tern_program_close(t->p);
    tern_graph_close(t->g);
    tern_release(t->x);
}

/* Samples index[0..BATCH) as [T,B,2,34,34], labels, and K random steps for the mask. */
static void load(trainer *t, const tern_split *split, const uint32_t *index, tern_rng rng, uint64_t batch)
{
    int64_t frame = tern_elements_from(&split->images.shape, 2);
    const uint8_t *all = split->images.data;
    const int32_t *labels = split->labels.data;
    for (int b = 0; b < BATCH; b++) {
        t->labels[b] = labels[index[b]];
        for (int s = 0; s < STEPS; s++) {
            t->all[s * BATCH + b] = t->labels[b];
            const uint8_t *from = all + (index[b] * STEPS + s) * frame;
            for (int64_t i = 0; i < frame; i++) t->x[(s * BATCH + b) * frame + i] = from[i];
        }
    }
    uint32_t order[STEPS];
    for (uint32_t i = 0; i < STEPS; i++) order[i] = i;
    tern_rng_permute((tern_rng){rng.seed, batch + 1000}, order, STEPS);
    for (int s = 0; s < STEPS; s++) t->mask[order[s]] = s < 2;
}

/* Accuracy of the trained store on a split, statistics of running norms, sum of o_t over the steps. */
static double accuracy(const net *n, const tern_split *split, tern_store *store, tern_pool *pool)
{
    trainer t = {0};
    int correct = 0, count = (int)split->labels.shape.dim[0];
    PROOF_OK(tern_graph_open(&t.g, NULL));
    tern_value x = tern_input(t.g, "x", TERN_F32, TERN_SHAPE(STEPS, BATCH, n->channels, n->side, n->side));
    tern_output(t.g, "logits", tern_sum(t.g, layers(t.g, n, x), .axis = 0));
    PROOF_OK(tern_plan(&t.p, t.g, NULL));
    PROOF_OK(tern_session_open(&t.s, t.p, store, pool));
    t.x = tern_take_array((size_t)(STEPS * BATCH * n->channels * n->side * n->side), sizeof *t.x);
    if (!t.x) PROOF_OK(tern_no_memory(64, "a batch"));
    PROOF_OK(tern_session_bind(t.s, "x", t.x));
    for (int first = 0; first + BATCH <= count; first += BATCH) {
        uint32_t index[BATCH];
        tern_tensor logits;
        for (int i = 0; i < BATCH; i++) index[i] = (uint32_t)(first + i);
        load(&t, split, index, (tern_rng){0, 0}, 0);
        PROOF_OK(tern_session_run(t.s, 0));
        PROOF_OK(tern_session_output(t.s, "logits", &logits));
        for (int i = 0; i < BATCH; i++) {
            const float *row = (const float *)logits.data + i * CLASSES;
            int best = 0;
            for (int c = 1; c < CLASSES; c++)
                if (row[c] > row[best]) best = c;
            correct += best == t.labels[i];
        }
    }
    close_trainer(&t);
    return (double)correct / (count / BATCH * BATCH);
}

/* Train with a rule; returns test accuracy, adds seconds per step. */
static double train(const net *n, rule r, uint64_t seed, const tern_dataset *d, tern_pool *pool,
                    double *seconds)
{
    tern_store store = {0};
    trainer t;
    uint32_t order[2000];
    size_t count = (size_t)d->train.labels.shape.dim[0];
    open_trainer(&t, n, r, seed, true, &store, pool);
    for (uint32_t i = 0; i < count; i++) order[i] = i;
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        tern_rng rng = {seed, (uint64_t)epoch + 1};
        tern_rng_permute(rng, order, count);
        for (size_t first = 0; first + BATCH <= count; first += BATCH) {
            load(&t, &d->train, order + first, rng, first);
            t.step += 1;
            double begun = tern_now();
            PROOF_OK(tern_session_run(t.s, (uint64_t)t.step));
            seconds[0] += tern_now() - begun;
            seconds[1] += 1;
        }
    }
    close_trainer(&t);
    double result = accuracy(n, &d->test, &store, pool);
    tern_store_close(&store);
    return result;
}

/* Mean over weight tensors of the cosine between the gradients of two rules, and the relative distance of all of them. */
static double cosine(double tau, rule a, rule b, int truncate_b, const tern_dataset *d, tern_pool *pool,
                     double *apart)
{
    net na = {tau, 0, BATCH, 2, 34, small}, nb = {tau, truncate_b, BATCH, 2, 34, small};
    tern_store store = {0};
    trainer ta, tb;
    uint32_t index[BATCH];
    for (uint32_t i = 0; i < BATCH; i++) index[i] = 7 * i;
    open_trainer(&ta, &na, a, 3, false, &store, pool);
    open_trainer(&tb, &nb, b, 3, false, &store, pool);
    load(&ta, &d->train, index, (tern_rng){1, 1}, 0);
    load(&tb, &d->train, index, (tern_rng){1, 1}, 0);
    PROOF_OK(tern_session_run(ta.s, 0));
    PROOF_OK(tern_session_run(tb.s, 0));
    double sum = 0, distance = 0, size = 0;
    int count = 0;
    for (int i = 0; i < ta.g->output_count; i++) {
        const char *name = ta.g->outputs[i].name;
        tern_tensor x, y;
        if (strcmp(name, "loss") == 0 || strcmp(name, "logits") == 0) continue;
        PROOF_OK(tern_session_output(ta.s, name, &x));
        PROOF_OK(tern_session_output(tb.s, name, &y));
        double xy = 0, xx = 0, yy = 0;
        for (int64_t e = 0; e < tern_elements(&x.shape); e++) {
            double u = tern_get(&x, e), v = tern_get(&y, e);
            xy += u * v;
            xx += u * u;
            yy += v * v;
            distance += (u - v) * (u - v);
        }
        size += yy;
        if (x.shape.rank < 2 || xx == 0 || yy == 0) continue;
        sum += xy / sqrt(xx * yy);
        count++;
    }
    *apart = sqrt(distance / size);
    close_trainer(&ta);
    close_trainer(&tb);
    tern_store_close(&store);
    return sum / count;
}

/* Planned arena of a training step, or its multiply-accumulates. */
static double planned(const net *n, rule r, int steps, bool macs)
{
    tern_graph *g;
    tern_program *p;
    PROOF_OK(tern_graph_open(&g, &(tern_graph_options){.training = true}));
    tern_learned l = build(g, n, r, steps);
    tern_output(g, "loss", l.loss);
    for (int i = 0; i < l.count; i++) tern_output(g, tern_value_of(g, l.params[i])->name, l.grads[i]);
    PROOF_OK(tern_plan(&p, g, NULL));
    double result = (double)p->arena_bytes;
    if (macs) {
        tern_step_work *work = tern_take_array((size_t)p->step_count, sizeof *work);
        if (!work) PROOF_OK(tern_no_memory(64, "an account"));
        PROOF_OK(tern_program_work(p, 0, work));
        result = 0;
        for (int i = 0; i < p->step_count; i++) result += work[i].work.macs;
        tern_release(work);
    }
    tern_program_close(p);
    tern_graph_close(g);
    return result;
}

static void check_memory(proof *p)
{
    net n = {1.1, 0, 8, 2, 34, small}, big = {1.1, 0, 128, 2, 48, vgg11};
    proof_at_most(p, "memory-sltt-t32-over-t4", planned(&n, SLTT, 32, false) / planned(&n, SLTT, 4, false),
                  1.05);
    proof_at_least(p, "memory-bptt-t32-over-t4", planned(&n, BPTT, 32, false) / planned(&n, BPTT, 4, false),
                   4);
    proof_at_most(p, "memory-vgg11-t6-sltt-over-bptt",
                  planned(&big, SLTT, 6, false) / planned(&big, BPTT, 6, false), 0.30);
    /* what a session takes from the allocator is the plan, its states and small change */
    tern_store store = {0};
    trainer t;
    net whole = {1.1, 0, BATCH, 2, 34, small};
    size_t before = tern_allocated();
    open_trainer(&t, &whole, BPTT, 1, false, &store, NULL);
    double held = (double)(tern_allocated() - before) - (double)(STEPS * BATCH * 2 * 34 * 34 * 4);
    proof_at_most(p, "memory-allocated-over-planned", fabs(held / (double)t.p->arena_bytes - 1), 0.01);
    close_trainer(&t);
    tern_store_close(&store);
    /* a backward pass that runs at 2 of T steps; forward work is what one chosen step less would leave */
    net k = {1.1, 0, 8, 2, 34, small};
    double two = planned(&k, SLTT_K, 10, true), all = planned(&k, SLTT, 10, true),
           two5 = planned(&k, SLTT_K, 5, true), all5 = planned(&k, SLTT, 5, true);
    double backward = (all - two) / 8,
           forward10 = all - 10 * backward; /* (T-2) backward steps are the difference */
    proof_equal(p, "backward-macs-sltt2-over-sltt", (two - forward10) / (all - forward10), 0.2);
    proof_equal(p, "backward-macs-per-step-is-constant", (all5 - two5) / 3, backward);
}

int main(void)
{
    proof p = {.row = "1.4", .title = "SLTT and SLTT-K"};
    tern_pool *pool;
    tern_dataset d;
    double apart;
    PROOF_OK(tern_pool_open(&pool, 0));
    check_memory(&p);
    if (tern_dataset_open(&d, "n-mnist", &(tern_dataset_options){.timesteps = STEPS}) != TERN_OK) {
        proof_skip(&p, "n-mnist", "the N-MNIST recordings ($TERN_DATA/nmnist)");
        return proof_end(&p);
    }
    cosine(1, SLTT, BPTT, 0, &d, pool, &apart);
    proof_at_most(&p, "gradient-lambda-0-sltt-is-bptt", apart, 1e-6);
    cosine(1.1, SLTT, BPTT, 1, &d, pool, &apart);
    proof_at_most(&p, "gradient-sltt-is-bptt-with-constant-membranes", apart, 1e-4);
    double near = cosine(1.1, SLTT, BPTT, 0, &d, pool, &apart);
    proof_at_least(&p, "gradient-sltt-differs-from-bptt", apart, 1e-3);
    proof_at_least(&p, "cosine-tau-1.1", near, 0.9);
    proof_at_most(&p, "cosine-tau-2-below-tau-1.1", cosine(2, SLTT, BPTT, 0, &d, pool, &apart) - near, 0);
    net n = {1.1, 0, BATCH, 2, 34, small};
    double mean[3] = {0}, seconds[3][2] = {{0}};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        for (int r = 0; r < 3; r++) {
            double a = train(&n, (rule)r, seed, &d, pool, seconds[r]);
            printf("seed %d %s: test accuracy %.3f\n", (int)seed, rule_names[r], a);
            fflush(stdout);
            mean[r] += a / SEEDS;
        }
    }
    for (int r = 0; r < 3; r++)
        printf("%s: mean accuracy %.4f, %.1f ms a step\n", rule_names[r], mean[r],
               1e3 * seconds[r][0] / seconds[r][1]);
    proof_at_least(&p, "accuracy-sltt-against-bptt", mean[SLTT], mean[BPTT] - 0.03);
    proof_at_least(&p, "accuracy-sltt2-against-sltt", mean[SLTT_K], mean[SLTT] - 0.04);
    proof_at_least(&p, "accuracy-is-no-chance", mean[BPTT], 0.5);
    proof_at_most(&p, "time-sltt-over-bptt", seconds[SLTT][0] / seconds[BPTT][0], 1);
    proof_at_most(&p, "time-sltt2-over-sltt", seconds[SLTT_K][0] / seconds[SLTT][0], 1);
    tern_dataset_close(&d);
    tern_pool_close(pool);
    return proof_end(&p);
}
