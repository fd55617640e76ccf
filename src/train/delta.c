/* A net of delta layers, frame by frame: its program, its states, and what they say about sparsity. */
#include "train/delta.h"

#include "op/delta.h"

#include <math.h>
#include <string.h>

/* A product with the state of what it reads. */
typedef struct tern_watched {
    tern_delta_layer counts;
    const tern_node *product;
    char *output;       /* name of its count of multiplications */
    tern_tensor levels; /* the state of the session [B,..] */
    int16_t *before;    /* levels of the frame before */
    double *fan_out;    /* [neurons] */
    int64_t neurons;
} tern_watched;

struct tern_delta_net {
    tern_delta_net_options options;
    tern_graph *graph;
    tern_program *program;
    tern_session *session;
    tern_arena arena;
    tern_watched *watched;
    tern_delta_layer *layers; /* what is handed out */
    int count, classes;
    int32_t fresh;
    uint64_t since; /* frames since the last fresh one */
    bool begins;
    double frames;
};

tern_status tern_delta_graph(tern_graph **graph, const tern_net *net, const void *parameters,
                             const tern_shape *frame, int batch, const tern_delta_form *form)
{
    tern_graph *plain = NULL, *formed = NULL;
    *graph = NULL;
    TERN_TRY(tern_model_graph(&plain, net, parameters, frame, batch, 0));
    tern_status status = tern_pass_delta_form(plain, form, &formed);
    tern_graph_close(plain);
    TERN_TRY(status);
    bool found = false;
    for (int n = 0; n < formed->node_count; n++) found |= formed->nodes[n]->op == &tern_op_delta_product;
    if (!found) {
        tern_graph_close(formed);
        return tern_fail(TERN_USAGE, "net %s has no delta layers; train %s-delta", net->name, net->name);
    }
    *graph = formed;
    return TERN_OK;
}

/* The node that makes a value, looking through views; NULL for a source. */
static const tern_node *maker_of(const tern_graph *g, tern_value value)
{
    const tern_value_info *v = tern_value_of(g, value);
    while (v && v->kind == TERN_VALUE_NODE && (g->nodes[v->node]->op->flags & TERN_OP_VIEW))
        v = tern_value_of(g, g->nodes[v->node]->in[0]);
    return v && v->kind == TERN_VALUE_NODE ? g->nodes[v->node] : NULL;
}

/* Outputs that each operand of a product meets, borders being what they are. */
static void fill_fan_out(const tern_graph *g, tern_watched *w)
{
    const tern_shape x = tern_shape_of(g, w->product->in[1]), k = tern_shape_of(g, w->product->in[2]);
    tern_shape y = tern_shape_of(g, w->product->out[1]);
    const tern_delta_op *a = w->product->args;
    int64_t height = x.dim[x.rank - 2], width = x.dim[x.rank - 1];
    for (int64_t i = 0; i < w->neurons; i++) {
        int64_t down = 0, across = 0, at_y = i / width % height, at_x = i % width;
        bool flat = height == 1 && k.dim[1] == 1;
        for (int64_t o = 0; o < y.dim[y.rank - 2]; o++)
            for (int64_t t = 0; t < k.dim[1]; t++)
                down += flat || o * a->stride + t * a->dilation - a->pad == at_y;
        for (int64_t o = 0; o < y.dim[y.rank - 1]; o++)
            for (int64_t t = 0; t < k.dim[2]; t++) across += o * a->stride + t * a->dilation - a->pad == at_x;
        w->fan_out[i] = (double)(down * across * k.dim[3]);
        w->counts.dense += w->fan_out[i];
    }
}

static tern_status watch(tern_delta_net *d, const tern_node *product)
{
    tern_graph *g = d->graph;
    tern_watched *w = &d->watched[d->count];
    const tern_node *levels = maker_of(g, product->in[1]);
    if (!levels || levels->op != &tern_op_delta_levels)
        return tern_fail(TERN_FAILED, "layer %s: its operand is no delta layer", product->layer);
    w->product = product;
    w->counts.layer = product->layer;
    w->counts.delta = levels->layer;
    w->output = tern_arena_format(&d->arena, "%s.multiplications", product->layer);
    char *state = tern_arena_format(&d->arena, "%s.levels", levels->layer);
    if (!w->output || !state) return tern_no_memory(64, "a delta layer");
    TERN_TRY(tern_session_state(d->session, state, &w->levels));
    int64_t all = tern_elements(&w->levels.shape), batch = d->options.batch;
    const tern_type *sums = &tern_value_of(g, product->in[0])->type;
    w->neurons = all / batch;
    w->counts.neurons = (double)w->neurons;
    w->counts.state_bytes =
        (double)(tern_bytes_of(TERN_I16, all) + tern_bytes_of(sums->dtype, tern_elements(&sums->shape))) /
        (double)batch;
    w->before = tern_take_array((size_t)all, sizeof *w->before);
    w->fan_out = tern_take_array((size_t)w->neurons, sizeof *w->fan_out);
    if (!w->before || !w->fan_out) return tern_no_memory((size_t)all * sizeof *w->before, "a delta layer");
    fill_fan_out(g, w);
    return TERN_OK;
}

static tern_status open_watched(tern_delta_net *d)
{
    tern_graph *g = d->graph;
    int count = 0;
    for (int n = 0; n < g->node_count; n++) count += g->nodes[n]->op == &tern_op_delta_product;
    d->watched = tern_take_array((size_t)count + 1, sizeof *d->watched);
    d->layers = tern_take_array((size_t)count + 1, sizeof *d->layers);
    if (!d->watched || !d->layers) return tern_no_memory((size_t)count * sizeof *d->watched, "delta layers");
    for (int n = 0; n < g->node_count; n++) {
        if (g->nodes[n]->op != &tern_op_delta_product) continue;
        tern_status status = watch(d, g->nodes[n]);
        d->count++; /* what is half done is released too */
        TERN_TRY(status);
    }
    return TERN_OK;
}

tern_status tern_delta_open(tern_delta_net **delta, const tern_net *net, const void *parameters,
                            const tern_shape *frame, const tern_delta_net_options *options, tern_store *store,
                            tern_pool *pool)
{
    tern_delta_net *d = tern_take(sizeof *d);
    if (!d) return tern_no_memory(sizeof *d, "a net of delta layers");
    d->options = *options;
    d->begins = true;
    tern_status status = tern_delta_graph(&d->graph, net, parameters, frame, options->batch, &options->form);
    if (status == TERN_OK) status = tern_plan(&d->program, d->graph, NULL);
    if (status == TERN_OK) status = tern_session_open(&d->session, d->program, store, pool);
    if (status == TERN_OK) status = tern_session_bind(d->session, "fresh", &d->fresh);
    if (status == TERN_OK) status = open_watched(d);
    if (status != TERN_OK) {
        tern_delta_close(d);
        return status;
    }
    *delta = d;
    return TERN_OK;
}

void tern_delta_close(tern_delta_net *delta)
{
    if (!delta) return;
    for (int i = 0; i < delta->count; i++) {
        tern_release(delta->watched[i].before);
        tern_release(delta->watched[i].fan_out);
    }
    tern_release(delta->watched);
    tern_release(delta->layers);
    tern_session_close(delta->session);
    tern_program_close(delta->program);
    tern_graph_close(delta->graph);
    tern_arena_free(&delta->arena);
    tern_release(delta);
}

void tern_delta_restart(tern_delta_net *delta)
{
    delta->begins = true;
}

/* What the states say, against those of the frame before. */
static void measure(const tern_delta_net *d, tern_watched *w)
{
    const int16_t *now = w->levels.data;
    tern_delta_layer *c = &w->counts;
    for (int64_t i = 0; i < w->neurons * d->options.batch; i++) {
        double fan_out = w->fan_out[i % w->neurons];
        int16_t before = d->fresh ? 0 : w->before[i];
        c->levels += now[i] != 0;
        c->spatial += now[i] ? fan_out : 0;
        c->changes += now[i] != before;
        c->needed += now[i] != before ? fan_out : 0;
    }
    memcpy(w->before, now, (size_t)(w->neurons * d->options.batch) * sizeof *now);
}

tern_status tern_delta_frame(tern_delta_net *delta, const float *frame, const float **logits, int *classes)
{
    tern_delta_net *d = delta;
    tern_tensor out;
    bool resync = d->options.resync > 0 && d->since >= (uint64_t)d->options.resync;
    d->fresh = d->begins || resync || d->options.form.dense;
    TERN_TRY(tern_session_bind(d->session, "image", frame));
    TERN_TRY(tern_session_run(d->session, 0));
    d->since = d->fresh ? 1 : d->since + 1;
    d->begins = false;
    d->frames += d->options.batch;
    for (int i = 0; i < d->count; i++) {
        TERN_TRY(tern_session_output(d->session, d->watched[i].output, &out));
        d->watched[i].counts.multiplications += tern_get(&out, 0);
        if (d->options.measure) measure(d, &d->watched[i]);
    }
    TERN_TRY(tern_session_output(d->session, "logits", &out));
    *logits = out.data;
    *classes = (int)out.shape.dim[1];
    return TERN_OK;
}

const tern_delta_layer *tern_delta_layers(const tern_delta_net *delta, int *count, double *frames)
{
    for (int i = 0; i < delta->count; i++) {
        delta->layers[i] = delta->watched[i].counts;
        delta->layers[i].dense *= delta->frames; /* kept by frame */
    }
    *count = delta->count;
    *frames = delta->frames;
    return delta->layers;
}

void tern_delta_clear(tern_delta_net *delta)
{
    for (int i = 0; i < delta->count; i++) {
        tern_delta_layer *c = &delta->watched[i].counts;
        c->levels = c->changes = c->spatial = c->needed = c->multiplications = 0;
    }
    delta->frames = 0;
}

const tern_program *tern_delta_program(const tern_delta_net *delta)
{
    return delta->program;
}

tern_session *tern_delta_session(tern_delta_net *delta)
{
    return delta->session;
}

/* ---- whole clips --------------------------------------------------------------------------------------------------- */

int tern_delta_batch(int64_t samples)
{
    int batch = 16;
    while (samples % batch) batch--;
    return batch;
}

void tern_normalise_frame(const tern_tensor *images, int64_t first, const tern_samples *like, float *out)
{
    const tern_shape *s = &images->shape;
    int64_t plane = tern_elements_from(s, s->rank - 2), channels = s->dim[s->rank - 3];
    double scale = images->dtype == TERN_U8 ? 255 : 1;
    for (int64_t i = 0; i < channels * plane; i++) {
        double std = like->std[i / plane & 7], x = tern_get(images, first + i) / scale;
        out[i] = (float)((x - like->mean[i / plane & 7]) * (1 / (std > 0 ? std : 1)));
    }
}

void tern_add_softmax(const float *logits, int classes, double *sums)
{
    double most = (double)logits[0], total = 0;
    for (int c = 1; c < classes; c++) most = fmax(most, (double)logits[c]);
    for (int c = 0; c < classes; c++) total += exp((double)logits[c] - most);
    for (int c = 0; c < classes; c++) sums[c] += exp((double)logits[c] - most) / total;
}

/* Frames of the clips first..first+batch-1 through the net, and what it sees in each. */
static tern_status see_clips(tern_delta_net *d, const tern_samples *s, int64_t first, float *frame,
                             double *sums, int *correct)
{
    const tern_shape *shape = &s->images.shape;
    int batch = d->options.batch, classes = 0;
    int64_t frames = shape->rank == 5 ? shape->dim[1] : 1, size = tern_elements_from(shape, shape->rank - 3);
    const float *logits;
    tern_delta_restart(d);
    for (int64_t t = 0; t < frames; t++) {
        for (int b = 0; b < batch; b++)
            tern_normalise_frame(&s->images, ((first + b) * frames + t) * size, s, frame + b * size);
        TERN_TRY(tern_delta_frame(d, frame, &logits, &classes));
        if (t == 0) memset(sums, 0, (size_t)(batch * classes) * sizeof *sums);
        for (int b = 0; b < batch; b++) tern_add_softmax(logits + b * classes, classes, sums + b * classes);
    }
    for (int b = 0; b < batch; b++) {
        int best = 0;
        for (int c = 1; c < classes; c++)
            if (sums[b * classes + c] > sums[b * classes + best]) best = c;
        *correct += best == ((const int32_t *)s->labels.data)[first + b];
    }
    return tern_interrupted() ? tern_fail(TERN_INTERRUPTED, "interrupted") : TERN_OK;
}

tern_status tern_delta_evaluate(tern_delta_net *delta, const tern_samples *samples, double *accuracy)
{
    const tern_shape *shape = &samples->images.shape;
    int64_t batch = delta->options.batch, count = shape->dim[0];
    int correct = 0;
    if (shape->rank < 4 || count < 1 || count % batch)
        return tern_fail(TERN_USAGE, "%lld samples do not fit batches of %lld", (long long)count,
                         (long long)batch);
    int64_t classes = tern_shape_of(delta->graph, tern_find_output(delta->graph, "logits")).dim[1];
    float *frame =
        tern_take_array((size_t)(batch * tern_elements_from(shape, shape->rank - 3)), sizeof *frame);
    double *sums = tern_take_array((size_t)(batch * classes), sizeof *sums);
    tern_status status = frame && sums ? TERN_OK : tern_no_memory(64, "frames");
    for (int64_t first = 0; status == TERN_OK && first < count; first += batch)
        status = see_clips(delta, samples, first, frame, sums, &correct);
    *accuracy = (double)correct / (double)count;
    tern_release(frame);
    tern_release(sums);
    return status;
}
