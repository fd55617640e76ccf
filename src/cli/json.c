/* JSON documents: read, written whole, printed; and what several commands put into them. */
#include "cli/cli.h"
#include "io/io.h"

#include <math.h>
#include <string.h>

static char *dump(json_t *document)
{
    char *text = json_dumps(document, JSON_INDENT(1) | JSON_REAL_PRECISION(12));
    json_decref(document);
    return text;
}

tern_status tern_print_json(json_t *document)
{
    char *text = document ? dump(document) : NULL;
    if (!text) return tern_no_memory(0, "a JSON document");
    puts(text);
    tern_release(text);
    return TERN_OK;
}

tern_status tern_write_json(const char *path, json_t *document)
{
    char *text = document ? dump(document) : NULL;
    if (!text) return tern_no_memory(0, "a JSON document");
    tern_status status = tern_write_file(path, text, strlen(text));
    tern_release(text);
    return status;
}

tern_status tern_read_json(const char *path, json_t **document)
{
    char *text;
    size_t count;
    json_error_t error;
    TERN_TRY(tern_read_file(path, &text, &count));
    *document = json_loadb(text, count, JSON_REJECT_DUPLICATES, &error);
    tern_release(text);
    if (*document) return TERN_OK;
    return tern_fail(TERN_FAILED, "%s:%d:%d: %s", path, error.line, error.column, error.text);
}

json_t *tern_parameters_json(const tern_net *net, const void *parameters)
{
    json_t *object = json_object();
    for (const tern_option *o = net->options; o->name; o++) {
        double value = 0;
        tern_net_get(net, parameters, o->name, &value);
        json_object_set_new(object, o->name, o->real ? json_real(value) : json_integer((json_int_t)value));
    }
    return object;
}

json_t *tern_work_json(const tern_work *work)
{
    return json_pack("{s:f,s:f,s:f,s:f}", "macs", work->macs, "accumulates", work->accumulates, "specials",
                     work->specials, "elementwise", work->elementwise);
}

static json_t *samples_json(const tern_evaluation *e, const tern_dataset *d)
{
    json_t *list = json_array();
    const tern_tensor *images = &d->test.images;
    if (images->dtype != TERN_U8) return list;
    int64_t size = tern_elements_from(&images->shape, 1);
    const int32_t *labels = d->test.labels.data;
    for (int i = 0; i < e->samples && i < 24; i++) {
        json_t *pixels = json_array(), *scores = json_array(), *shape = json_array();
        const uint8_t *p = (const uint8_t *)images->data + i * size;
        double sum = 0;
        for (int64_t k = 0; k < size; k++) json_array_append_new(pixels, json_integer(p[k]));
        const float *logits = e->logits + (size_t)i * (size_t)e->classes;
        for (int c = 0; c < e->classes; c++) sum += exp((double)logits[c] - logits[e->predicted[i]]);
        for (int c = 0; c < e->classes; c++)
            json_array_append_new(scores, json_real(exp((double)logits[c] - logits[e->predicted[i]]) / sum));
        for (int a = 1; a < images->shape.rank; a++)
            json_array_append_new(shape, json_integer(images->shape.dim[a]));
        json_array_append_new(list, json_pack("{s:i,s:i,s:i,s:o,s:o,s:o}", "index", i, "label", labels[i],
                                              "predicted", e->predicted[i], "probabilities", scores, "shape",
                                              shape, "pixels", pixels));
    }
    return list;
}

static json_t *layers_json(const tern_evaluation *e)
{
    json_t *list = json_array();
    for (int i = 0; i < e->layer_count; i++) {
        const tern_layer_work *l = &e->layers[i];
        json_t *layer = tern_work_json(&l->work);
        json_object_set_new(layer, "name", json_string(l->layer));
        json_object_set_new(layer, "seconds", json_real(l->seconds));
        json_array_append_new(list, layer);
    }
    return list;
}

json_t *tern_evaluation_json(const tern_evaluation *e, const tern_dataset *d)
{
    json_t *confusion = json_array(), *activity = json_array(), *classes = json_array();
    for (int r = 0; r < e->classes; r++) {
        json_t *row = json_array();
        for (int c = 0; c < e->classes; c++)
            json_array_append_new(row, json_integer(e->confusion[r * e->classes + c]));
        json_array_append_new(confusion, row);
    }
    for (int i = 0; i < e->activity_count; i++) {
        const tern_layer_activity *a = &e->activity[i];
        json_array_append_new(activity,
                              json_pack("{s:s,s:f,s:f,s:f}", "name", a->layer, "neurons", a->neurons,
                                        "spikes_per_neuron", a->spikes, "density", a->density));
    }
    for (int c = 0; d->class_names && c < d->classes; c++)
        json_array_append_new(classes, json_string(d->class_names[c]));
    json_t *work = tern_work_json(&e->work);
    return json_pack("{s:f,s:f,s:i,s:f,s:f,s:o,s:o,s:o,s:o,s:o,s:o}", "accuracy", e->accuracy, "loss",
                     e->loss, "samples", e->samples, "seconds", e->seconds, "spikes_per_neuron",
                     e->spikes_per_neuron, "work", work, "classes", classes, "confusion", confusion, "layers",
                     layers_json(e), "activity", activity, "shown", samples_json(e, d));
}
