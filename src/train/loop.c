/* The training loop: batches through the program, epochs, and when to stop. */
#include "train/norms.h"
#include "train/window.h"

#include <math.h>
#include <string.h>

#define HOOK_SECONDS 20 /* between calls of the hook inside an epoch */

typedef struct tern_run_of_training {
    const tern_training *t;
    tern_progress_state *state;
    tern_store *store;
    tern_pool *pool;
    tern_model model;
    tern_pager *pager; /* or NULL */
    tern_loader *loader;
    int classes;
    uint32_t *order; /* SLTT-K: the steps, and .. */
    float *mask;     /* .. 1 at those of this batch that learn; else NULL */
    float *weights;  /* regression: 1 / unit of each target; else NULL */
    double begun, hooked;
} tern_run_of_training;

static tern_status open_mask(tern_run_of_training *r)
{
    size_t steps = (size_t)tern_net_steps(r->t->net, r->t->parameters);
    if (r->t->recipe.rule != TERN_SLTT_K) return TERN_OK;
    r->order = tern_take_array(steps, sizeof *r->order);
    r->mask = tern_take_array(steps, sizeof *r->mask);
    return r->order && r->mask ? tern_session_bind(r->model.session, "mask", r->mask)
                               : tern_no_memory(steps * sizeof *r->mask, "a learning rule");
}

/* Another K of the T steps for each update: a function of seed and update, so that a resumed run draws the same. */
static void choose_steps(const tern_run_of_training *r)
{
    int steps = tern_net_steps(r->t->net, r->t->parameters);
    tern_rng rng = {r->t->recipe.seed, 0x517cc1b727220a95u + r->state->steps};
    for (int i = 0; i < steps; i++) r->order[i] = (uint32_t)i;
    tern_rng_permute(rng, r->order, (size_t)steps);
    for (int i = 0; i < steps; i++) r->mask[r->order[i]] = i < r->t->recipe.chosen;
}

static int count_correct(const float *logits, const tern_batch *b, int classes)
{
    int correct = 0;
    for (int i = 0; i < b->count; i++) {
        const float *row = logits + (size_t)i * (size_t)classes;
        int best = 0;
        for (int c = 1; c < classes; c++)
            if (row[c] > row[best]) best = c;
        correct += best == b->labels[i];
    }
    return correct;
}

/* What a net of regression is told besides its samples. */
static tern_status open_weights(tern_run_of_training *r)
{
    const tern_samples *s = r->t->train;
    int count = tern_target_count(s);
    if (!count || r->t->recipe.error == TERN_TRANSPORT_ERROR) return TERN_OK;
    r->weights = tern_take_array((size_t)count, sizeof *r->weights);
    if (!r->weights) return tern_no_memory((size_t)count * sizeof *r->weights, "weights of targets");
    for (int k = 0; k < count; k++) r->weights[k] = 1 / ((const float *)s->units.data)[k];
    return tern_session_bind(r->model.session, "weights", r->weights);
}

/* One update. */
static tern_status step(tern_run_of_training *r, const tern_batch *b, float *rate)
{
    tern_progress_state *s = r->state;
    tern_session *session = r->model.session;
    const tern_recipe *recipe = &r->t->recipe;
    double batches = tern_loader_batches(r->loader);
    double epoch = s->epoch + (s->batch + 1) / batches;
    float count = (float)(s->steps + 1), penalty = (float)tern_recipe_penalty(recipe, epoch);
    *rate = (float)tern_recipe_rate(recipe, epoch);
    TERN_TRY(tern_session_bind(session, "image", b->images));
    if (b->targets)
        TERN_TRY(tern_session_bind(session, "targets", b->targets));
    else
        TERN_TRY(tern_session_bind(session, "labels", b->labels));
    TERN_TRY(tern_session_bind(session, "rate", rate));
    if (recipe->optimiser != TERN_SGD) TERN_TRY(tern_session_bind(session, "step", &count));
    if (tern_recipe_penalises(recipe)) TERN_TRY(tern_session_bind(session, "penalty", &penalty));
    if (r->mask) choose_steps(r);
    tern_session_reset(session);
    TERN_TRY(tern_session_run(session, s->steps));
    tern_tensor loss, logits;
    TERN_TRY(tern_session_output(session, "loss", &loss));
    TERN_TRY(tern_session_output(session, "logits", &logits));
    double value = tern_get(&loss, 0);
    if (!isfinite(value))
        return tern_fail(TERN_FAILED,
                         "training diverged: the loss of epoch %d, batch %d is %g; lower --rate (now %g)",
                         s->epoch + 1, s->batch + 1, value, recipe->rate);
    s->loss_sum += value * b->count;
    if (!b->targets) s->correct += count_correct(logits.data, b, r->classes);
    s->seen += b->count;
    s->steps++;
    s->batch++;
    return TERN_OK;
}

/* Others may look at the store now; when they have, what they looked at takes no main memory again. */
static void show_store(const tern_run_of_training *r)
{
    if (r->pager) tern_pager_flush(r->pager);
}

static void hide_store(const tern_run_of_training *r)
{
    if (r->pager) tern_store_forget(r->store);
}

static tern_status call_hook(tern_run_of_training *r, const tern_epoch *epoch)
{
    show_store(r);
    tern_status status = r->t->hook(r->t->context, r->state, epoch);
    hide_store(r);
    return status;
}

static tern_status maybe_hook(tern_run_of_training *r)
{
    double now = tern_now();
    if (!r->t->hook || now - r->hooked < HOOK_SECONDS) return TERN_OK;
    r->hooked = now;
    return call_hook(r, NULL);
}

static bool out_of_time(const tern_run_of_training *r)
{
    return r->t->max_seconds > 0 && tern_now() - r->begun >= r->t->max_seconds;
}

/* What regression has none of. */
static const char *accuracy(const tern_run_of_training *r, char text[32], double value)
{
    snprintf(text, 32, r->weights ? "" : "  accuracy %.4f", value);
    return text;
}

/* The batches of one epoch from state->batch on. */
static tern_status batches(tern_run_of_training *r, double *seconds, float *rate)
{
    tern_progress_state *s = r->state;
    int count = tern_loader_batches(r->loader), first = s->batch;
    char title[32], text[32];
    tern_progress bar;
    snprintf(title, sizeof title, "epoch %d/%d", s->epoch + 1, r->t->recipe.epochs);
    tern_progress_open(&bar, title, r->t->quiet);
    double begun = tern_now();
    const tern_batch *b;
    tern_loader_begin(r->loader, s->epoch, first);
    while (!out_of_time(r) && (b = tern_loader_next(r->loader)) != NULL) {
        TERN_TRY(step(r, b, rate));
        double speed = (s->batch - first) * (double)r->t->recipe.batch / (tern_now() - begun);
        tern_progress_show(&bar, (double)s->batch / count, "loss %.4f%s  %.0f samples/s",
                           s->loss_sum / (double)s->seen,
                           accuracy(r, text, (double)s->correct / (double)s->seen), speed);
        if (tern_interrupted()) return tern_fail(TERN_INTERRUPTED, "interrupted in epoch %d", s->epoch + 1);
        TERN_TRY(maybe_hook(r));
    }
    *seconds = tern_now() - begun;
    s->seconds += *seconds;
    return TERN_OK;
}

/* Test accuracy, the line of this epoch, and the state of the next. */
static tern_status finish_epoch(tern_run_of_training *r, double seconds, double speed, double rate,
                                bool *better)
{
    tern_progress_state *s = r->state;
    tern_epoch e = {.epoch = s->epoch + 1, .seconds = seconds, .rate = rate, .images_per_second = speed};
    e.train_loss = s->seen ? s->loss_sum / (double)s->seen : 0;
    e.train_accuracy = s->seen ? (double)s->correct / (double)s->seen : 0;
    e.test_loss = e.test_accuracy = NAN;
    *better = true;
    show_store(r);
    if (r->t->recipe.norm_samples)
        TERN_TRY(tern_norms_settle(r->t->net, r->t->parameters, r->t->train, &r->t->recipe, s->epoch,
                                   r->store, r->pool));
    if (r->t->test) {
        tern_evaluation evaluation;
        TERN_TRY(tern_evaluate(&evaluation, r->t->net, r->t->parameters, r->t->test, r->t->recipe.batch,
                               4 * r->t->recipe.batch, r->store, r->pool));
        e.test_loss = evaluation.loss;
        e.test_accuracy = evaluation.accuracy;
        e.spikes_per_neuron = evaluation.spikes_per_neuron;
        tern_evaluation_free(&evaluation);
        *better = e.test_accuracy > s->best;
        if (*better) s->best = e.test_accuracy;
    }
    hide_store(r);
    s->since_best = *better ? 0 : s->since_best + 1;
    tern_progress line;
    char text[32];
    tern_progress_open(&line, "", r->t->quiet);
    tern_progress_close(
        &line, "epoch %d/%d  loss %.4f%s  test %.4f  %.0f samples/s  spikes/neuron %.3f  %.1f s", e.epoch,
        r->t->recipe.epochs, e.train_loss, accuracy(r, text, e.train_accuracy),
        r->weights ? e.test_loss : e.test_accuracy, e.images_per_second, e.spikes_per_neuron, e.seconds);
    s->epoch++;
    s->batch = 0;
    s->loss_sum = 0;
    s->correct = s->seen = 0;
    return r->t->hook ? call_hook(r, &e) : TERN_OK;
}

static tern_status epochs(tern_run_of_training *r)
{
    const tern_recipe *recipe = &r->t->recipe;
    while (r->state->epoch < recipe->epochs) {
        double seconds = 0;
        float rate = 0;
        bool better;
        int first = r->state->batch;
        TERN_TRY(batches(r, &seconds, &rate));
        double speed = (r->state->batch - first) * (double)recipe->batch / (seconds > 0 ? seconds : 1);
        TERN_TRY(finish_epoch(r, seconds, speed, rate, &better));
        if (out_of_time(r)) break;
        if (recipe->patience > 0 && r->state->since_best >= recipe->patience) break;
    }
    return TERN_OK;
}

static tern_status check_data(const tern_training *t)
{
    const tern_recipe *recipe = &t->recipe;
    const tern_shape *s = &t->train->images.shape;
    if (s->rank < 2 || recipe->batch < 1 || s->dim[0] < recipe->batch)
        return tern_fail(TERN_USAGE, "data: %lld training samples are fewer than one batch of %d",
                         (long long)s->dim[0], recipe->batch);
    static const char *const names[] = {"squared", "weighed", "transport"};
    if (!recipe->targets && recipe->error)
        return tern_fail(TERN_USAGE, "--error %s is for data with targets: these have classes",
                         names[recipe->error]);
    if (recipe->error == TERN_TRANSPORT_ERROR && !recipe->places)
        return tern_fail(TERN_USAGE,
                         "--error transport: nothing says where these targets stand; it is for showers");
    if (!recipe->targets || (recipe->rule == TERN_BPTT && !recipe->flip && !recipe->crop)) return TERN_OK;
    return tern_fail(TERN_USAGE,
                     "data with targets are learned without --rule, --flip and --crop: what is shifted or "
                     "mirrored has other targets");
}

tern_status tern_train(const tern_training *training, tern_progress_state *state, tern_store *store,
                       tern_pool *pool)
{
    tern_training own = *training;
    own.recipe.targets = tern_target_count(training->train); /* what is learned is the data's to say */
    own.recipe.places = own.train->places.data ? &own.train->places : NULL;
    tern_run_of_training r = {.t = &own, .state = state, .store = store, .pool = pool};
    const tern_recipe *recipe = &own.recipe;
    tern_shape sample = training->train->images.shape;
    TERN_TRY(check_data(&own));
    memmove(sample.dim, sample.dim + 1, (size_t)--sample.rank * sizeof *sample.dim);
    tern_loader_options options = {.batch = recipe->batch,
                                   .shuffle = true,
                                   .flip = recipe->flip,
                                   .crop = recipe->crop,
                                   .time_first = recipe->rule != TERN_BPTT &&
                                                 tern_net_sees_clip(training->net, &sample),
                                   .drop_last = true,
                                   .seed = recipe->seed};
    bool windows = own.window.window > 0 || own.window.memory > 0;
    tern_status status = windows ? tern_training_open_windows(&own, &sample, store, pool, &r.model, &r.pager)
                                 : tern_model_open(&r.model, own.net, own.parameters, &sample, recipe->batch,
                                                   recipe, store, pool);
    if (status == TERN_OK) {
        r.classes = (int)tern_shape_of(r.model.graph, tern_find_output(r.model.graph, "logits")).dim[1];
        status = open_weights(&r);
        if (status == TERN_OK && training->train->classes > r.classes)
            status =
                tern_fail(TERN_USAGE, "net %s has %d classes, the data %d; give --classes %d",
                          training->net->name, r.classes, training->train->classes, training->train->classes);
    }
    if (status == TERN_OK) status = open_mask(&r);
    if (status == TERN_OK) status = tern_loader_open(&r.loader, training->train, &options);
    r.begun = r.hooked = tern_now();
    if (status == TERN_OK) status = epochs(&r);
    tern_loader_close(r.loader);
    tern_release(r.order);
    tern_release(r.mask);
    tern_release(r.weights);
    if (status == TERN_OK || status == TERN_INTERRUPTED) tern_training_remembers(&own, &r.model, r.pager);
    tern_pager_close(r.pager);
    tern_model_close(&r.model);
    return status;
}
