/* Proof of the delta activation layer (arXiv 2107.07305): its two gradients, inference that multiplies only what has changed
 * against inference that multiplies everything, what training with it saves on moving objects, and a real still camera. */
#include "proof.h"

#include "io/io.h"
#include "op/delta.h"
#include "train/delta.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

enum {
    BEFORE = 12,
    EPOCHS = 8,
    SEEDS = 2,
    TRAIN = 12000,
    TEST = 800,
    TRAIN_FRAMES = 2,
    CLIP = 200,
    VIDEO_FRAMES = 100
};

/* ---- 1: the gradients ----------------------------------------------------------------------------------------------- */

/* Quantise a [B,T,..,C] and differentiate task sum(g y) + weight * penalty. */
typedef struct layer {
    tern_graph *g;
    tern_program *p;
    tern_session *s;
    tern_store store;
    tern_tensor a, raw, up; /* f32 inputs */
} layer;

static void cast(const tern_bundle *b, const char *name, tern_tensor *to)
{
    const tern_tensor *from = tern_bundle_find(b, name);
    if (!from) PROOF_OK(tern_fail(TERN_FAILED, "a golden file lacks %s", name));
    PROOF_OK(tern_tensor_new(to, TERN_F32, &from->shape));
    PROOF_OK(tern_tensor_cast(to, from));
}

/* Inputs are in l->a, l->raw and, with a task, l->up. */
static void open_layer(layer *l, double task, double weight, bool plain)
{
    PROOF_OK(tern_graph_open(&l->g, &(tern_graph_options){.training = true}));
    tern_graph *g = l->g;
    tern_value in[2] = {tern_input(g, "a", TERN_F32, l->a.shape),
                        tern_input(g, "raw", TERN_F32, l->raw.shape)},
               d[2];
    tern_value y = tern_apply(g, &tern_op_quantise, &(tern_quantise_op){plain}, in, 2, NULL);
    tern_shape order = {.rank = l->a.shape.rank, .dim = {1, 0, 2, 3, 4, 5}};
    tern_value by_time = tern_permute(g, y, order);
    tern_variation_op args = {.steps = (int)l->a.shape.dim[1]};
    tern_value loss = tern_apply(g, &tern_op_variation, &args, &by_time, 1, NULL);
    loss = tern_multiply(g, loss, tern_scalar(g, weight));
    tern_output(g, "penalty", loss);
    if (task != 0) {
        tern_value up = tern_input(g, "g", TERN_F32, l->up.shape);
        tern_value sum = tern_sum(g, tern_multiply(g, y, up), .axes = l->a.shape.rank);
        loss = tern_add(g, loss, tern_multiply(g, sum, tern_scalar(g, task)));
    }
    PROOF_OK(tern_graph_status(g));
    PROOF_OK(tern_gradients(g, loss, in, 2, d));
    tern_output(g, "y", y);
    tern_output(g, "da", d[0]);
    tern_output(g, "draw", d[1]);
    PROOF_OK(tern_plan(&l->p, g, NULL));
    PROOF_OK(tern_session_open(&l->s, l->p, &l->store, NULL));
    PROOF_OK(tern_session_bind(l->s, "a", l->a.data));
    PROOF_OK(tern_session_bind(l->s, "raw", l->raw.data));
    if (task != 0) PROOF_OK(tern_session_bind(l->s, "g", l->up.data));
}

static void close_layer(layer *l)
{
    tern_session_close(l->s);
    tern_program_close(l->p);
    tern_graph_close(l->g);
    tern_store_close(&l->store);
}

/* Largest distance of an output from what is expected, relative to what is above 1. */
static double away(layer *l, const char *output, const tern_tensor *want)
{
    tern_tensor got;
    double worst = 0;
    PROOF_OK(tern_session_output(l->s, output, &got));
    for (int64_t i = 0; i < tern_elements(&want->shape); i++)
        worst = fmax(worst, fabs(tern_get(&got, i) - tern_get(want, i)) / fmax(1, fabs(tern_get(want, i))));
    return worst;
}

static void read_golden(const char *name, tern_bundle *b)
{
    char path[512];
    snprintf(path, sizeof path, TERN_GOLDEN "/delta/%s.safetensors", name);
    PROOF_OK(tern_safetensors_read(path, b));
}

/* Against the PyTorch twin: y, the penalty and both gradients, of the task, of the penalty and of both. */
static double twin(const char *name)
{
    static const struct {
        const char *key;
        double task, weight;
    } parts[] = {{"task", 1, 0}, {"penalty", 0, 1}, {"both", 1, 1}};
    tern_bundle b = {0};
    double worst = 0;
    read_golden(name, &b);
    double scale = strtod(tern_bundle_text(&b, "rate"), NULL) * strtod(tern_bundle_text(&b, "fan_out"), NULL);
    for (size_t i = 0; i < TERN_COUNT(parts); i++) {
        layer l = {0};
        char da[32], draw[32];
        cast(&b, "a", &l.a);
        cast(&b, "raw", &l.raw);
        cast(&b, "g", &l.up);
        open_layer(&l, parts[i].task, parts[i].weight * scale, false);
        PROOF_OK(tern_session_run(l.s, 0));
        snprintf(da, sizeof da, "da.%s", parts[i].key);
        snprintf(draw, sizeof draw, "draw.%s", parts[i].key);
        worst = fmax(worst, away(&l, "y", tern_bundle_find(&b, "y")));
        worst = fmax(worst, away(&l, "da", tern_bundle_find(&b, da)));
        worst = fmax(worst, away(&l, "draw", tern_bundle_find(&b, draw)));
        if (parts[i].weight > 0) worst = fmax(worst, away(&l, "penalty", tern_bundle_find(&b, "penalty")));
        close_layer(&l);
        tern_tensor_free(&l.a);
        tern_tensor_free(&l.raw);
        tern_tensor_free(&l.up);
    }
    tern_bundle_free(&b);
    return worst;
}

/* One clip of 4 frames of 4 values, q = 1/2, worked out on paper: levels with halves to even (0.5, 1.5, 2.5 give 0, 2, 2),
 * dL/da = g, dL/dq = - sum g level = -17, |changes| of 1 + 1 + 2 + 5 levels in the 12 pairs. */
static double by_hand(void)
{
    float a[] = {0, 0.25f, 0.75f, 1, 0.2f, 0.3f, 1.25f, 1.1f, 0.2f, 0.8f, 1.25f, 0, 0, 0.8f, 1.2f, 2.6f};
    float g[] = {1, 1, 1, 1, 1, -1, 1, -1, 0, 2, 0, -2, 3, 0, 0, 1}, raw = 0.5f;
    float y[] = {0, 0, 1, 1, 0, 0.5f, 1, 1, 0, 1, 1, 0, 0, 1, 1, 2.5f}, penalty = 0.12f * 0.5f * 9 / 12;
    float draw = 0, worst = 0;
    for (int i = 0; i < 16; i++) draw -= g[i] * y[i] / raw;
    layer l = {.a = {TERN_F32, TERN_SHAPE(1, 4, 4), a}, .raw = {TERN_F32, TERN_SHAPE(1), &raw}};
    l.up = (tern_tensor){TERN_F32, TERN_SHAPE(1, 4, 4), g};
    open_layer(&l, 1, 0, false);
    PROOF_OK(tern_session_run(l.s, 0));
    worst = (float)fmax(away(&l, "y", &(tern_tensor){TERN_F32, l.a.shape, y}), away(&l, "da", &l.up));
    worst = (float)fmax((double)worst, away(&l, "draw", &(tern_tensor){TERN_F32, TERN_SHAPE(1), &draw}));
    close_layer(&l);
    layer m = {.a = l.a, .raw = l.raw};
    open_layer(&m, 0, 0.12, false);
    PROOF_OK(tern_session_run(m.s, 0));
    worst =
        (float)fmax((double)worst, away(&m, "penalty", &(tern_tensor){TERN_F32, TERN_SHAPE(1), &penalty}));
    close_layer(&m);
    return (double)worst;
}

/* Steps of 200 in which q moved the right way under the penalty alone. */
static int moves(bool plain)
{
    tern_bundle b = {0};
    layer l = {0};
    int right = 0;
    read_golden("the-sign", &b);
    cast(&b, "a", &l.a);
    PROOF_OK(tern_tensor_new(&l.raw, TERN_F32, &TERN_SHAPE(1)));
    float *raw = l.raw.data;
    *raw = 0.05f;
    open_layer(&l, 0, 1, plain);
    for (int step = 0; step < 200; step++) {
        tern_tensor d;
        PROOF_OK(tern_session_run(l.s, 0));
        PROOF_OK(tern_session_output(l.s, "draw", &d));
        double next = (double)*raw - 1e-5 * tern_get(&d, 0);
        right += plain ? next < (double)*raw : next > (double)*raw;
        *raw = (float)next;
    }
    close_layer(&l);
    tern_tensor_free(&l.a);
    tern_tensor_free(&l.raw);
    tern_bundle_free(&b);
    return right;
}

static void check_gradients(proof *p)
{
    proof_at_most(p, "gradient-by-hand", by_hand(), 1e-6);
    proof_at_most(p, "gradient-twin-by-hand-example", twin("by-hand"), 1e-6);
    proof_at_most(p, "gradient-twin-steps-by-channel", twin("by-channel"), 1e-6);
    proof_at_most(p, "gradient-twin-one-step", twin("one-step"), 1e-6);
    proof_equal(p, "penalty-alone-steps-that-grow-q", moves(false), 200);
    proof_equal(p, "penalty-alone-true-sign-steps-that-shrink-q", moves(true), 200);
}

/* ---- 3: training: nets that begin with what one without penalty has learned, as in the paper, from clips of two frames -- */

/* The rate is that of the penalty in the first half of the epochs; in the second it is a hundredth of that, as in the paper. */
typedef struct trial {
    const char *name;
    double rate;
    bool values;
    double accuracy, temporal,
        spatial;      /* means over seeds: of test clips; operations of dense ones, fan-out weighted */
    double halves[2]; /* test accuracy after epochs of the first and of the second half */
} trial;

static tern_status note(void *context, const tern_progress_state *state, const tern_epoch *epoch)
{
    trial *t = context;
    (void)state;
    if (!epoch) return TERN_OK;
    t->halves[epoch->epoch > EPOCHS / 2] += epoch->test_accuracy / (EPOCHS / 2) / SEEDS;
    printf(" %.4f", epoch->test_accuracy);
    fflush(stdout);
    return TERN_OK;
}

typedef struct studio {
    const tern_net *net;
    void *parameters;
    tern_dataset train, test; /* clips of TRAIN_FRAMES and of 16 frames */
    tern_pool *pool;
} studio;

/* Test clips, normalised as those that were trained on. */
static tern_samples test_of(const studio *s)
{
    tern_samples test = tern_samples_of(&s->test, false);
    memcpy(test.mean, s->train.mean, sizeof test.mean);
    memcpy(test.std, s->train.std, sizeof test.std);
    return test;
}

static const tern_shape frame_shape = {.rank = 3, .dim = {1, 64, 64}};

/* Operations of a layer sum: what is needed, over what there are. */
static void measure(const tern_delta_net *net, double *temporal, double *spatial, double *executed,
                    double *needed)
{
    int count;
    double frames, sums[4] = {0};
    const tern_delta_layer *l = tern_delta_layers(net, &count, &frames);
    for (int i = 0; i < count; i++) {
        sums[0] += l[i].dense;
        sums[1] += l[i].needed;
        sums[2] += l[i].spatial;
        sums[3] += l[i].multiplications;
    }
    *temporal = sums[1] / sums[0];
    *spatial = sums[2] / sums[0];
    *executed = sums[3];
    *needed = sums[1];
}

static void train_net(const studio *s, trial *t, int epochs, uint64_t seed, tern_store *store)
{
    tern_samples train = tern_samples_of(&s->train, true), test = test_of(s);
    tern_recipe r = tern_recipe_default();
    tern_progress_state state = {0};
    r.epochs = epochs;
    r.batch = 32;
    r.flip = false;
    r.crop = 0;
    r.seed = seed;
    r.delta_rate = t ? t->rate : 0;
    r.delta_until = EPOCHS / 2;
    r.delta_later = r.delta_rate / 100;
    r.delta_values = t && t->values;
    r.norm_samples = 1600;
    tern_training training = {.net = s->net,
                              .parameters = s->parameters,
                              .recipe = r,
                              .train = &train,
                              .test = t ? &test : NULL,
                              .quiet = true,
                              .hook = t ? note : NULL,
                              .context = t};
    PROOF_OK(tern_train(&training, &state, store, s->pool));
    printf("%sseed %d %s: trained for %.0f s\n", t ? " test accuracies after epochs\n" : "", (int)seed,
           t ? t->name : "to begin with", state.seconds);
    fflush(stdout);
}

static void run_trial(trial *t, studio *s, uint64_t seed, const tern_store *begun, tern_store *store)
{
    tern_samples test = test_of(s);
    tern_delta_net *net;
    double accuracy, temporal, spatial, executed, needed;
    PROOF_OK(tern_hand_over(begun, store));
    train_net(s, t, EPOCHS, seed, store);
    tern_delta_net_options o = {.batch = tern_delta_batch(TEST), .resync = 256, .measure = true};
    PROOF_OK(tern_delta_open(&net, s->net, s->parameters, &frame_shape, &o, store, s->pool));
    PROOF_OK(tern_delta_evaluate(net, &test, &accuracy));
    measure(net, &temporal, &spatial, &executed, &needed);
    tern_delta_close(net);
    printf("seed %d %s: accuracy %.4f, operations of dense ones: %.4f by changes, %.4f by zeros\n", (int)seed,
           t->name, accuracy, temporal, spatial);
    fflush(stdout);
    t->accuracy += accuracy / SEEDS;
    t->temporal += temporal / SEEDS;
    t->spatial += spatial / SEEDS;
}

/* What L1 needs is counted by zeros, as an engine that knows nothing of time skips them: it is the penalty for sparsity in space; what
 * the net that it made needs by changes is printed beside.  The rates, and how the penalty on changes falls, were chosen on another
 * seed (11): both cost accuracy, and the penalty on changes less; that of L1 falls in the same way. */
static void check_training(proof *p, studio *s, tern_store *kept)
{
    trial none = {.name = "unregularised"}, l1 = {.name = "l1", .rate = 2e-2, .values = true},
          dal = {.name = "delta", .rate = 2e-1};
    trial *all[] = {&none, &l1, &dal};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        tern_store begun = {0};
        train_net(s, NULL, BEFORE, seed, &begun);
        for (int i = 0; i < 3; i++) {
            tern_store store = {0};
            bool keep = i == 2 && seed == 1;
            run_trial(all[i], s, seed, &begun, keep ? kept : &store);
            tern_store_close(&store);
        }
        tern_store_close(&begun);
    }
    printf("by changes: unregularised %.4f, l1 %.4f, delta %.4f of dense; accuracy %.4f, %.4f, %.4f\n",
           none.temporal, l1.temporal, dal.temporal, none.accuracy, l1.accuracy, dal.accuracy);
    for (int i = 0; i < 3; i++)
        printf("%s: accuracy after epochs of the first half %.4f, of the second %.4f\n", all[i]->name,
               all[i]->halves[0], all[i]->halves[1]);
    printf("by zeros: unregularised %.4f, l1 %.4f, delta %.4f of dense; l1 by changes needs %.2f of that\n",
           none.spatial, l1.spatial, dal.spatial, l1.temporal / l1.spatial);
    proof_at_most(p, "operations-delta-over-l1", dal.temporal / l1.spatial, 0.5);
    proof_at_least(p, "accuracy-delta-against-l1", dal.accuracy, l1.accuracy - 0.02);
    proof_at_most(p, "operations-delta-over-unregularised", dal.temporal / none.temporal, 1 / 2.5);
    proof_at_least(p, "accuracy-is-no-chance", dal.accuracy, 0.5);
    proof_at_least(p, "accuracy-second-half-against-first", dal.halves[1], dal.halves[0]);
    proof_at_most(p, "accuracy-gap-second-half-against-first", none.halves[1] - dal.halves[1],
                  none.halves[0] - dal.halves[0]);
}

/* ---- 2: changes are all --------------------------------------------------------------------------------------------- */

/* Frame t of a clip u8 [T,1,64,64]. */
static void frame_of(const studio *s, const tern_tensor *clip, int t, float *out)
{
    tern_samples like = tern_samples_of(&s->train, true);
    tern_normalise_frame(clip, t * tern_elements(&frame_shape), &like, out);
}

static tern_delta_net *open_net(studio *s, tern_store *store, tern_delta_form form, int resync)
{
    tern_delta_net *net;
    tern_delta_net_options o = {.batch = 1, .form = form, .resync = resync, .measure = true};
    PROOF_OK(tern_delta_open(&net, s->net, s->parameters, &frame_shape, &o, store, s->pool));
    return net;
}

/* What differs between two nets, over a clip: values whose bits are not the same, levels that are not, and the largest distance
 * of sums that both made of the same levels. */
typedef struct apart {
    double unequal, levels, compared, sums, logits;
} apart;

static void count_unequal(tern_delta_net *a, tern_delta_net *b, const char *layer, const char *what,
                          apart *out, double *sums)
{
    char name[64];
    tern_tensor x, y;
    snprintf(name, sizeof name, "%s.%s", layer, what);
    PROOF_OK(tern_session_state(tern_delta_session(a), name, &x));
    PROOF_OK(tern_session_state(tern_delta_session(b), name, &y));
    for (int64_t k = 0; k < tern_elements(&x.shape); k++) {
        double u = tern_get(&x, k), v = tern_get(&y, k);
        out->unequal += u != v;
        if (sums) *sums = fmax(*sums, fabs(u - v));
    }
    if (!sums) out->compared += (double)tern_elements(&x.shape);
}

/* Only where both nets have the same levels is a difference of sums drift, and not that of another input. */
static void compare_states(tern_delta_net *a, tern_delta_net *b, apart *out)
{
    int count;
    double frames;
    const tern_delta_layer *l = tern_delta_layers(a, &count, &frames);
    for (int i = 0; i < count; i++) {
        double before = out->unequal, sums = 0;
        count_unequal(a, b, l[i].delta, "levels", out, NULL);
        double other = out->unequal - before;
        out->levels += other;
        count_unequal(a, b, l[i].layer, "sums", out, &sums);
        if (other == 0) out->sums = fmax(out->sums, sums);
    }
}

/* A clip through two nets side by side. */
static apart side_by_side(studio *s, const tern_tensor *clip, tern_delta_net *a, tern_delta_net *b)
{
    apart out = {0};
    float *frame = tern_take((size_t)tern_elements(&frame_shape) * sizeof *frame);
    if (!frame) PROOF_OK(tern_no_memory(64, "a frame"));
    for (int t = 0; t < CLIP; t++) {
        const float *x, *y;
        int classes;
        frame_of(s, clip, t, frame);
        PROOF_OK(tern_delta_frame(a, frame, &x, &classes));
        PROOF_OK(tern_delta_frame(b, frame, &y, &classes));
        for (int c = 0; c < classes; c++) {
            out.unequal += memcmp(&x[c], &y[c], sizeof x[c]) != 0;
            out.logits = fmax(out.logits, fabs((double)x[c] - (double)y[c]));
        }
        compare_states(a, b, &out);
    }
    tern_release(frame);
    return out;
}

static void check_integers(proof *p, studio *s, const tern_tensor *clip, tern_store *store)
{
    double temporal, spatial, executed, needed;
    tern_delta_net *delta = open_net(s, store, (tern_delta_form){.integer = true}, 256);
    tern_delta_net *dense = open_net(s, store, (tern_delta_form){.integer = true, .dense = true}, 0);
    apart d = side_by_side(s, clip, delta, dense);
    proof_equal(p, "int8-bits-that-differ-in-200-frames", d.unequal, 0);
    measure(delta, &temporal, &spatial, &executed, &needed);
    printf("%.0f states and logits compared a frame; multiplications of dense ones: %.4f by changes, %.4f by "
           "zeros\n",
           d.compared / CLIP, temporal, spatial);
    proof_equal(p, "multiplications-are-changes-times-fan-out", executed, needed);
    proof_at_least(p, "multiplications-that-were-counted", executed, 1);
    float *frame = tern_take((size_t)tern_elements(&frame_shape) * sizeof *frame);
    if (!frame) PROOF_OK(tern_no_memory(64, "a frame"));
    tern_delta_restart(delta);
    frame_of(s, clip, 0, frame);
    for (int t = 0; t < 20; t++) { /* a still clip */
        const float *x;
        int classes;
        PROOF_OK(tern_delta_frame(delta, frame, &x, &classes));
        if (t == 0) tern_delta_clear(delta);
    }
    measure(delta, &temporal, &spatial, &executed, &needed);
    proof_equal(p, "still-clip-multiplications-after-frame-1", executed, 0);
    tern_release(frame);
    tern_delta_close(delta);
    tern_delta_close(dense);
}

static void check_floats(proof *p, studio *s, const tern_tensor *clip, tern_store *store)
{
    static const struct {
        const char *drift, *levels;
        int resync;
        double most;
    } forms[] = {{"f32-drift-without-resync", "f32-levels-that-differ-without-resync", 0, 1e-3},
                 {"f32-drift-with-resync-each-32", "f32-levels-that-differ-with-resync", 32, 1e-4}};
    for (size_t i = 0; i < TERN_COUNT(forms); i++) {
        tern_delta_net *delta = open_net(s, store, (tern_delta_form){0}, forms[i].resync);
        tern_delta_net *dense = open_net(s, store, (tern_delta_form){.dense = true}, 0);
        apart d = side_by_side(s, clip, delta, dense);
        proof_at_most(p, forms[i].drift, d.sums, forms[i].most);
        proof_at_most(p, forms[i].levels, d.levels / d.compared, 1e-5);
        printf("f32 logits differ by %.3g at most, levels that round the other way included\n", d.logits);
        tern_delta_close(delta);
        tern_delta_close(dense);
    }
}

static void check_states(proof *p, studio *s, tern_store *store)
{
    tern_delta_net *delta = open_net(s, store, (tern_delta_form){.integer = true}, 256);
    tern_memory_need need;
    int count;
    double frames, bytes = 0;
    const tern_delta_layer *l = tern_delta_layers(delta, &count, &frames);
    for (int i = 0; i < count; i++) bytes += l[i].state_bytes;
    PROOF_OK(tern_program_memory(tern_delta_program(delta), &need));
    proof_equal(p, "plan-shows-both-states-bytes", need.state, bytes);
    tern_delta_close(delta);
}

/* ---- 4: a still camera ---------------------------------------------------------------------------------------------- */

static const char clip_path[] = "/usr/share/doc/opencv-doc/examples/data/vtest.avi";

/* The clip as Y4M in a temporary file, by ffmpeg; false when either is not here. */
static bool convert(char out[64])
{
    char command[512];
    snprintf(out, 64, "/tmp/tern-proof-%ld.y4m", (long)getpid());
    snprintf(command, sizeof command,
             "ffmpeg -loglevel error -y -i %s -frames:v %d -pix_fmt gray -strict -1 %s 2>&1", clip_path,
             VIDEO_FRAMES, out);
    return access(clip_path, R_OK) == 0 && system("command -v ffmpeg >/dev/null") == 0 &&
           system(command) == 0;
}

static void check_camera(proof *p, studio *s, tern_store *store)
{
    char path[64];
    tern_video *video;
    tern_delta_net *net;
    tern_shape shape = TERN_SHAPE(1, 144, 192);
    tern_samples like = tern_samples_of(&s->train, true);
    if (!convert(path)) {
        proof_skip(p, "camera",
                   "vtest.avi of Debian's opencv-doc, and ffmpeg to decode it (scripts/setup --proof)");
        return;
    }
    float *frame = tern_take((size_t)tern_elements(&shape) * sizeof *frame);
    if (!frame) PROOF_OK(tern_no_memory(64, "a frame"));
    tern_delta_net_options o = {.batch = 1, .form = {.integer = true}, .resync = 256, .measure = true};
    PROOF_OK(tern_delta_open(&net, s->net, s->parameters, &shape, &o, store, s->pool));
    PROOF_OK(tern_video_open(&video, path));
    for (int t = 0;; t++) {
        tern_tensor picture = {0}, sized = {0};
        const float *logits;
        bool more;
        int classes;
        PROOF_OK(tern_video_next(video, true, &picture, &more));
        if (!more) break;
        PROOF_OK(tern_image_resize(&picture, (int)shape.dim[1], (int)shape.dim[2], TERN_RESIZE_AREA, &sized));
        tern_normalise_frame(&sized, 0, &like, frame);
        PROOF_OK(tern_delta_frame(net, frame, &logits, &classes));
        tern_tensor_free(&picture);
        tern_tensor_free(&sized);
    }
    int count;
    double frames, temporal, spatial, executed, needed;
    const tern_delta_layer *l = tern_delta_layers(net, &count, &frames);
    measure(net, &temporal, &spatial, &executed, &needed);
    printf("camera, %.0f frames: input %.4f not zero, %.4f change; whole net %.4f of dense operations\n",
           frames, l->levels / (l->neurons * frames), l->changes / (l->neurons * frames), temporal);
    proof_equal(p, "camera-frames", frames, VIDEO_FRAMES);
    proof_judge(p, "camera-input-changes-over-not-zero", l->changes / l->levels, "<", 0.5,
                l->changes / l->levels < 0.5);
    proof_equal(p, "camera-multiplications-are-changes-times-fan-out", executed, needed);
    tern_video_close(video);
    tern_delta_close(net);
    tern_release(frame);
    remove(path);
}

int main(void)
{
    proof p = {.row = "1.9", .title = "delta activation layer"};
    studio s = {.net = tern_net_find("mobilenet-delta")};
    tern_store store = {0};
    tern_dataset clip = {0};
    check_gradients(&p);
    PROOF_OK(tern_pool_open(&s.pool, 0));
    PROOF_OK(tern_net_parameters(s.net, &s.parameters));
    PROOF_OK(tern_net_set(s.net, s.parameters, "blocks", 5));
    tern_dataset_options train = {.train_limit = TRAIN, .test_limit = 10, .timesteps = TRAIN_FRAMES};
    if (tern_dataset_open(&s.train, "video-moving", &train) != TERN_OK) {
        proof_skip(&p, "video-moving", "Fashion-MNIST (Debian: dataset-fashion-mnist)");
        return proof_end(&p);
    }
    PROOF_OK(tern_dataset_open(&s.test, "video-moving",
                               &(tern_dataset_options){.train_limit = 1, .test_limit = TEST}));
    PROOF_OK(
        tern_dataset_open(&clip, "video-moving",
                          &(tern_dataset_options){.train_limit = 1, .test_limit = 1, .timesteps = CLIP}));
    check_training(&p, &s, &store);
    check_integers(&p, &s, &clip.test.images, &store);
    check_floats(&p, &s, &clip.test.images, &store);
    check_states(&p, &s, &store);
    check_camera(&p, &s, &store);
    tern_dataset_close(&clip);
    tern_dataset_close(&s.test);
    tern_dataset_close(&s.train);
    tern_store_close(&store);
    tern_net_free(s.parameters);
    tern_pool_close(s.pool);
    return proof_end(&p);
}
