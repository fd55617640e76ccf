/* Running a trained net over a split: how right it is, and what it did. */
#include "train/train.h"

#include <math.h>
#include <string.h>

void tern_evaluation_free(tern_evaluation *e)
{
    tern_release(e->targets);
    tern_release(e->confusion);
    tern_release(e->predicted);
    tern_release(e->logits);
    tern_release(e->activity);
    tern_release(e->layers);
    tern_arena_free(&e->arena);
    *e = (tern_evaluation){0};
}

static tern_status open_results(tern_evaluation *e, const tern_samples *s, int classes)
{
    e->samples = (int)s->images.shape.dim[0];
    e->classes = classes;
    size_t k = (size_t)classes, n = (size_t)e->samples;
    e->confusion = tern_take_array(k * k, sizeof *e->confusion);
    e->predicted = tern_take_array(n + 1, sizeof *e->predicted);
    e->logits = tern_take_array(n * k + 1, sizeof *e->logits);
    return e->confusion && e->predicted && e->logits ? TERN_OK
                                                     : tern_no_memory(n * k * sizeof(float), "an evaluation");
}

/* Cross-entropy of one row, and the class with the highest logit. */
static double judge(const float *logits, int classes, int label, int *predicted)
{
    int best = 0;
    double sum = 0;
    for (int c = 1; c < classes; c++)
        if (logits[c] > logits[best]) best = c;
    for (int c = 0; c < classes; c++) sum += exp((double)logits[c] - logits[best]);
    *predicted = best;
    return log(sum) + logits[best] - logits[label];
}

/* Errors of regression are summed in order of samples, so that bits do not depend on batches. */
static tern_status judge_targets(tern_evaluation *e, const tern_samples *s)
{
    const float *t = s->targets.data;
    size_t k = (size_t)e->classes, n = (size_t)e->samples;
    double explained = 0;
    e->targets = tern_take_array(k, sizeof *e->targets);
    if (!e->targets) return tern_no_memory(k * sizeof *e->targets, "an evaluation");
    e->loss = 0;
    for (size_t c = 0; c < k; c++) {
        double error = 0, square = 0, mean = 0, spread = 0, unit = (double)((const float *)s->units.data)[c];
        for (size_t i = 0; i < n; i++) {
            double d = (double)e->logits[i * k + c] - (double)t[i * k + c];
            error += d;
            square += d * d;
            mean += (double)t[i * k + c];
        }
        for (size_t i = 0; i < n; i++) {
            double d = (double)t[i * k + c] - mean / (double)n;
            spread += d * d;
        }
        e->targets[c] = (tern_target_error){sqrt(square / (double)n), error / (double)n, unit};
        e->loss += square / (double)n / (unit * unit) / (double)k;
        explained += spread > 0 ? (1 - square / spread) / (double)k : 0;
    }
    e->accuracy = explained;
    return TERN_OK;
}

static void take_batch(tern_evaluation *e, const tern_batch *b, const float *logits, bool targets,
                       int64_t *correct)
{
    for (int i = 0; i < b->count; i++) {
        int predicted, label = b->labels[i];
        size_t at = b->index[i];
        memcpy(e->logits + at * (size_t)e->classes, logits + (size_t)i * (size_t)e->classes,
               (size_t)e->classes * sizeof *logits);
        if (targets) continue;
        e->loss += judge(logits + (size_t)i * (size_t)e->classes, e->classes, label, &predicted);
        e->predicted[at] = predicted;
        e->confusion[label * e->classes + predicted]++;
        *correct += predicted == label;
    }
}

/* The entry of a layer, made when it is new; NULL when out of memory. */
static tern_layer_work *find_layer(tern_evaluation *e, const char *layer)
{
    for (int i = 0; i < e->layer_count; i++)
        if (strcmp(e->layers[i].layer, layer) == 0) return &e->layers[i];
    char *name = tern_arena_string(&e->arena, layer);
    if (!name) return NULL;
    e->layers[e->layer_count] = (tern_layer_work){.layer = name};
    return &e->layers[e->layer_count++];
}

/* Counters of the session, per sample, by layer. */
static tern_status take_counters(tern_evaluation *e, const tern_model *m, double samples)
{
    const tern_program *p = m->program;
    const tern_work *work = tern_session_counters(m->session);
    const double *spikes = tern_session_spikes(m->session), *seconds = tern_session_seconds(m->session);
    double fired = 0, neurons = 0;
    e->layers = tern_take_array((size_t)p->step_count + 1, sizeof *e->layers);
    e->activity = tern_take_array((size_t)p->step_count + 1, sizeof *e->activity);
    if (!e->layers || !e->activity)
        return tern_no_memory((size_t)p->step_count * sizeof *e->layers, "an evaluation");
    for (int s = 0; s < p->step_count; s++) {
        const tern_node *node = p->steps[s].node;
        tern_layer_work *layer = find_layer(e, node->layer);
        if (!layer) return tern_no_memory(strlen(node->layer), "an evaluation");
        tern_work part = {work[s].macs / samples, work[s].accumulates / samples, work[s].specials / samples,
                          work[s].elementwise / samples};
        tern_work_add(&layer->work, &part);
        tern_work_add(&e->work, &part);
        layer->seconds += seconds[s] / samples;
        const tern_type *out = &m->graph->values[node->out[0].id].type;
        if (!(node->op->flags & TERN_OP_FIRES) || out->dtype != TERN_BIT) continue;
        double per_step = (double)tern_elements_from(&out->shape, 2), steps = (double)out->shape.dim[0];
        double each = spikes[s] / samples / per_step;
        e->activity[e->activity_count++] = (tern_layer_activity){layer->layer, per_step, each, each / steps};
        fired += spikes[s] / samples;
        neurons += per_step;
    }
    e->spikes_per_neuron = neurons > 0 ? fired / neurons : 0;
    return TERN_OK;
}

static tern_status evaluate(tern_evaluation *e, tern_model *m, const tern_samples *samples,
                            tern_loader *loader, int counted)
{
    bool targets = samples->targets.data != NULL;
    int64_t correct = 0, counted_samples = 0;
    double begun = tern_now();
    const tern_batch *b;
    tern_loader_begin(loader, 0, 0);
    while ((b = tern_loader_next(loader)) != NULL) {
        bool count = b->count == m->batch && counted_samples + b->count <= counted;
        tern_tensor logits;
        tern_session_count(m->session, count);
        counted_samples += count ? b->count : 0;
        TERN_TRY(tern_session_bind(m->session, "image", b->images));
        tern_session_reset(m->session);
        TERN_TRY(tern_session_run(m->session, 0));
        TERN_TRY(tern_session_output(m->session, "logits", &logits));
        take_batch(e, b, logits.data, targets, &correct);
        if (tern_interrupted()) return tern_fail(TERN_INTERRUPTED, "interrupted");
    }
    e->seconds = tern_now() - begun;
    e->loss /= e->samples;
    e->accuracy = (double)correct / e->samples;
    if (targets) TERN_TRY(judge_targets(e, samples));
    return counted_samples ? take_counters(e, m, (double)counted_samples) : TERN_OK;
}

tern_status tern_evaluate(tern_evaluation *evaluation, const tern_net *net, const void *parameters,
                          const tern_samples *samples, int batch, int counted, tern_store *store,
                          tern_pool *pool)
{
    *evaluation = (tern_evaluation){0};
    tern_shape sample = samples->images.shape;
    if (sample.rank < 2 || sample.dim[0] < 1)
        return tern_fail(TERN_FAILED, "data: there are no samples to evaluate");
    if (batch > sample.dim[0]) batch = (int)sample.dim[0];
    memmove(sample.dim, sample.dim + 1, (size_t)--sample.rank * sizeof *sample.dim);
    tern_model model = {0};
    tern_loader *loader = NULL;
    tern_loader_options options = {.batch = batch};
    tern_status status = tern_model_open(&model, net, parameters, &sample, batch, NULL, store, pool);
    if (status == TERN_OK) status = tern_loader_open(&loader, samples, &options);
    if (status == TERN_OK) {
        tern_shape logits = tern_shape_of(model.graph, tern_find_output(model.graph, "logits"));
        status = open_results(evaluation, samples, (int)logits.dim[1]);
    }
    if (status == TERN_OK && samples->targets.data && tern_target_count(samples) != evaluation->classes)
        status = tern_fail(TERN_FAILED, "net %s has %d outputs, the data %d targets of a sample", net->name,
                           evaluation->classes, tern_target_count(samples));
    if (status == TERN_OK && samples->classes > evaluation->classes)
        status = tern_fail(TERN_FAILED, "net %s has %d classes, the data %d; give --classes %d", net->name,
                           evaluation->classes, samples->classes, samples->classes);
    if (status == TERN_OK) status = evaluate(evaluation, &model, samples, loader, counted);
    tern_loader_close(loader);
    tern_model_close(&model);
    if (status != TERN_OK) tern_evaluation_free(evaluation);
    return status;
}
