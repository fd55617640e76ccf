/* A trained net in bytes: it sees samples, ranges of its activations are noted, and its weights become bytes. */
#include "train/train.h"

#include "op/int8.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BATCH = 32 };

typedef struct conversion {
    const tern_int8_conversion *c;
    tern_graph *graph;
    tern_int8_plan plan;
    tern_program *program;
    tern_session *session;
    tern_loader *loader;
    tern_range *ranges;        /* [value] */
    tern_int8_format *formats; /* [value] */
    bool *seen;                /* [value]: is an output of the graph */
    tern_store *to;
} conversion;

static void close_conversion(conversion *v)
{
    tern_loader_close(v->loader);
    tern_session_close(v->session);
    tern_program_close(v->program);
    tern_int8_plan_free(&v->plan);
    tern_graph_close(v->graph);
    tern_release(v->ranges);
    tern_release(v->formats);
    tern_release(v->seen);
}

/* ---- the graph that is observed ------------------------------------------------------------------------------------ */

/* Parameters of the net of bytes, empty. */
static tern_status open_parameters(const tern_graph *bytes, tern_store *to)
{
    tern_status status = TERN_OK;
    int index;
    for (int i = 1; status == TERN_OK && i < bytes->value_count; i++) {
        const tern_value_info *v = &bytes->values[i];
        if (v->kind == TERN_VALUE_PARAM) status = tern_store_need(to, v->name, &v->type, v->init, 0, &index);
    }
    return status;
}

static void observe(conversion *v, int id)
{
    if (!id || v->seen[id]) return;
    const char *name = tern_arena_format(&v->graph->arena, "value%d", id);
    v->seen[id] = true;
    if (name)
        tern_output(v->graph, name, (tern_value){id});
    else
        tern_graph_no_memory(v->graph);
}

/* The net of floats, whose outputs are all activations that get a format, and weights with norms folded in. */
static tern_status open_observed(conversion *v, tern_store *from, tern_pool *pool)
{
    tern_graph *g = v->graph;
    size_t values = (size_t)g->value_count;
    v->seen = tern_take_array(values, sizeof *v->seen);
    v->ranges = tern_take_array(values, sizeof *v->ranges);
    v->formats = tern_take_array(values, sizeof *v->formats);
    if (!v->seen || !v->ranges || !v->formats)
        return tern_no_memory(values * sizeof *v->ranges, "a calibration");
    g->output_count = 0;
    for (int i = 0; i < v->plan.count; i++) {
        const tern_int8_site *s = &v->plan.sites[i];
        const int seen[] = {s->in[0], s->in[1], s->in[2], s->out, s->weight, s->bias};
        for (size_t k = 0; k < TERN_COUNT(seen); k++) observe(v, seen[k]);
    }
    TERN_TRY(tern_graph_status(g));
    TERN_TRY(tern_plan(&v->program, g, NULL));
    return tern_session_open(&v->session, v->program, from, pool);
}

static tern_status content_of(const conversion *v, int id, tern_tensor *content)
{
    char name[32];
    snprintf(name, sizeof name, "value%d", id);
    return tern_session_output(v->session, name, content);
}

/* ---- what it sees ----------------------------------------------------------------------------------------------------- */

/* Each activation that has a format of its own, in all batches; counted: the second pass. */
static tern_status look(conversion *v, bool counted)
{
    const tern_batch *b;
    int left = v->c->images;
    tern_loader_begin(v->loader, 0, 0);
    while (left > 0 && (b = tern_loader_next(v->loader)) != NULL) {
        TERN_TRY(tern_session_bind(v->session, "image", b->images));
        TERN_TRY(tern_session_run(v->session, 0));
        for (int id = 1; id < v->plan.values; id++) {
            tern_tensor x;
            if (!v->seen[id] || !v->plan.root[id]) continue;
            TERN_TRY(content_of(v, id, &x));
            int64_t n = tern_elements(&x.shape);
            if (left < BATCH && x.shape.dim[0] == BATCH) n = n / BATCH * left; /* axis 0 is the batch */
            if (counted)
                tern_range_count(&v->ranges[v->plan.root[id]], x.data, n);
            else
                tern_range_widen(&v->ranges[v->plan.root[id]], x.data, n);
        }
        left -= BATCH;
        if (tern_interrupted()) return tern_fail(TERN_INTERRUPTED, "interrupted");
    }
    return TERN_OK;
}

/* The layer whose result an activation is, for people. */
static const char *layer_of(const conversion *v, int id)
{
    const tern_value_info *value = &v->graph->values[id];
    return value->kind == TERN_VALUE_NODE ? v->graph->nodes[value->node]->layer : value->name;
}

/* 16 bits that reach as far as these bytes on either side of 0, which is their zero. */
static tern_int8_format short_format(const tern_int8_format *f)
{
    double reach = f->scale * fmax(128 + f->zero, 127 - f->zero);
    return (tern_int8_format){(double)(float)(reach / 32767), 0};
}

static tern_status choose_formats(conversion *v)
{
    const tern_int8_conversion *c = v->c;
    const tern_int8_parameters *p = (const void *)((const char *)c->int8_parameters + c->int8->int8);
    TERN_TRY(look(v, false));
    if (c->calibrator != TERN_MIN_MAX) TERN_TRY(look(v, true));
    for (int id = 1; id < v->plan.values; id++) {
        if (v->plan.root[id] != id) continue;
        v->formats[id] = tern_range_format(&v->ranges[id], c->calibrator, c->percentile);
        if (p->activations == 16) v->formats[id] = short_format(&v->formats[id]);
        if (c->formats) c->formats(c->context, layer_of(v, id), &v->ranges[id], &v->formats[id]);
    }
    for (int i = 0; i < v->plan.count; i++) /* always 0 .. 255/256 */
        if (v->plan.sites[i].op == &tern_op_softmax_int8)
            v->formats[v->plan.root[v->plan.sites[i].out]] = (tern_int8_format){1.0 / 256, -128};
    for (int id = 1; id < v->plan.values; id++)
        if (v->plan.root[id]) v->formats[id] = v->formats[v->plan.root[id]];
    return TERN_OK;
}

/* ---- what follows ------------------------------------------------------------------------------------------------------- */

static tern_tensor *parameter_of(void *context, const char *name)
{
    tern_store *to = context;
    int index = tern_store_find(to, name);
    if (index >= 0) return &to->tensors[index];
    tern_fail(TERN_FAILED, "the net of bytes has no parameter \"%s\"", name);
    return NULL;
}

/* Scales of input and output of a product, which only learning asks for (tern_int8_learn_fill). */
static tern_status keep_scales(conversion *v, const tern_int8_site *site)
{
    tern_type type = {.dtype = TERN_F32, .shape = TERN_SHAPE(2)};
    char name[160];
    int index;
    snprintf(name, sizeof name, "%.140s.scales", site->name);
    TERN_TRY(tern_store_need(v->to, name, &type, (tern_init){0}, 0, &index));
    tern_set(&v->to->tensors[index], 0, v->formats[site->in[0]].scale);
    tern_set(&v->to->tensors[index], 1, v->formats[site->out].scale);
    return TERN_OK;
}

static tern_status fill(conversion *v)
{
    const tern_int8_parameters *p = (const void *)((const char *)v->c->int8_parameters + v->c->int8->int8);
    tern_int8_target target = {parameter_of, v->to};
    for (int i = 0; i < v->plan.count; i++) {
        const tern_int8_site *s = &v->plan.sites[i];
        bool product = tern_int8_has_weights(s);
        tern_tensor weight, bias;
        if (s->weight) TERN_TRY(content_of(v, s->weight, &weight));
        if (s->bias) TERN_TRY(content_of(v, s->bias, &bias));
        TERN_TRY(
            tern_int8_fill(s, p, v->formats, s->weight ? &weight : NULL, s->bias ? &bias : NULL, &target));
        if (product) TERN_TRY(keep_scales(v, s));
    }
    v->to->version++;
    return TERN_OK;
}

static tern_status open_samples(conversion *v)
{
    const tern_samples *samples = v->c->samples;
    tern_loader_options options = {.batch = BATCH, .shuffle = true, .seed = v->c->seed};
    if (samples->images.shape.rank < 2 || samples->images.shape.dim[0] < v->c->images)
        return tern_fail(TERN_USAGE, "data: %lld training samples, calibration takes %d; lower --calib",
                         (long long)samples->images.shape.dim[0], v->c->images);
    return tern_loader_open(&v->loader, samples, &options);
}

static tern_status convert(conversion *v, tern_store *from, tern_pool *pool)
{
    const tern_int8_conversion *c = v->c;
    const tern_int8_parameters *p = (const void *)((const char *)c->int8_parameters + c->int8->int8);
    tern_shape sample = c->samples->images.shape;
    tern_graph *bytes = NULL;
    tern_net plain = *c->net; /* of NET-qat the floats as they are: bytes round them */
    plain.qat = 0;
    TERN_TRY(open_samples(v));
    memmove(sample.dim, sample.dim + 1, (size_t)--sample.rank * sizeof *sample.dim);
    TERN_TRY(tern_model_plain_graph(&v->graph, &plain, c->parameters, &sample, BATCH, 0));
    TERN_TRY(tern_pass_int8(v->graph, p, &bytes, &v->plan));
    tern_status status = open_parameters(bytes, v->to);
    tern_graph_close(bytes);
    TERN_TRY(status);
    TERN_TRY(open_observed(v, from, pool));
    TERN_TRY(choose_formats(v));
    return fill(v);
}

tern_status tern_convert_int8(const tern_int8_conversion *c, tern_store *from, tern_store *to,
                              tern_pool *pool)
{
    conversion v = {.c = c, .to = to};
    tern_status status = convert(&v, from, pool);
    close_conversion(&v);
    return status;
}
