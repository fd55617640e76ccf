/* eval.json: what an evaluation found, with images to look at. */
#include "cli/cli.h"

#include <math.h>
#include <string.h>

#define SHOWN 12 /* of the first images, and as many mistakes */

/* Pixels 0..255 of image i: u8 as they are, other formats stretched over the image's own range. */
static json_t *pixels_json(const tern_tensor *images, int64_t i)
{
    int64_t size = tern_elements_from(&images->shape, 1);
    double low = 0, high = 255;
    json_t *pixels = json_array();
    if (images->dtype != TERN_U8) {
        low = high = tern_get(images, i * size);
        for (int64_t k = 1; k < size; k++) {
            low = fmin(low, tern_get(images, i * size + k));
            high = fmax(high, tern_get(images, i * size + k));
        }
    }
    double scale = high > low ? 255 / (high - low) : 0;
    for (int64_t k = 0; k < size; k++) {
        double p = (tern_get(images, i * size + k) - low) * scale;
        json_array_append_new(pixels, json_integer((json_int_t)(isfinite(p) ? p + 0.5 : 0)));
    }
    return pixels;
}

static json_t *sample_json(const tern_evaluation *e, const tern_tensor *images, int i, int label)
{
    json_t *probabilities = json_array(), *shape = json_array();
    const float *logits = e->logits + (size_t)i * (size_t)e->classes;
    double sum = 0;
    for (int c = 0; c < e->classes; c++) sum += exp((double)logits[c] - logits[e->predicted[i]]);
    for (int c = 0; c < e->classes; c++)
        json_array_append_new(probabilities,
                              json_real(exp((double)logits[c] - logits[e->predicted[i]]) / sum));
    for (int a = 1; a < images->shape.rank; a++)
        json_array_append_new(shape, json_integer(images->shape.dim[a]));
    return json_pack("{s:i,s:i,s:i,s:o,s:o,s:o}", "index", i, "label", label, "predicted", e->predicted[i],
                     "probabilities", probabilities, "shape", shape, "pixels", pixels_json(images, i));
}

/* The first images [C,H,W] or clips [T,C,H,W], then the first mistakes behind them. */
static json_t *samples_json(const tern_evaluation *e, const tern_dataset *d)
{
    json_t *list = json_array();
    const tern_tensor *images = &d->test.images;
    const int32_t *labels = d->test.labels.data;
    int mistakes = 0;
    if (images->shape.rank < 4 || images->shape.rank > 5) return list;
    for (int i = 0; i < e->samples && mistakes < SHOWN; i++) {
        bool wrong = e->predicted[i] != labels[i];
        if (i >= SHOWN && !wrong) continue;
        mistakes += i >= SHOWN;
        json_array_append_new(list, sample_json(e, images, i, labels[i]));
    }
    return list;
}

/* What a layer computed and, where it has neurons, how much they fired; by image. */
static json_t *layers_json(const tern_evaluation *e)
{
    json_t *list = json_array();
    for (int i = 0; i < e->layer_count; i++) {
        const tern_layer_work *l = &e->layers[i];
        json_t *layer = tern_work_json(&l->work);
        json_object_set_new(layer, "name", json_string(l->layer));
        json_object_set_new(layer, "seconds", json_real(l->seconds));
        for (int k = 0; k < e->activity_count; k++) {
            const tern_layer_activity *a = &e->activity[k];
            if (strcmp(a->layer, l->layer) != 0) continue;
            json_object_set_new(layer, "neurons", json_real(a->neurons));
            json_object_set_new(layer, "spikes_per_neuron", json_real(a->spikes));
            json_object_set_new(layer, "density", json_real(a->density));
        }
        json_array_append_new(list, layer);
    }
    return list;
}

static json_t *targets_json(const tern_evaluation *e)
{
    json_t *list = json_array();
    for (int k = 0; k < e->classes; k++)
        json_array_append_new(list, json_pack("{s:f,s:f,s:f}", "rms", e->targets[k].rms, "mean",
                                              e->targets[k].mean, "unit", e->targets[k].unit));
    return list;
}

tern_status tern_print_targets(const tern_evaluation *e)
{
    enum { SHOWN_TARGETS = 8 };
    tern_grid t = {0};
    tern_grid_row(&t, "target|rms error|mean error|unit|rms in units");
    for (int k = 0; k < e->classes && k < SHOWN_TARGETS; k++)
        tern_grid_row(&t, "%d|%.6g|%.6g|%.6g|%.4f", k, e->targets[k].rms, e->targets[k].mean,
                      e->targets[k].unit, e->targets[k].rms / e->targets[k].unit);
    TERN_TRY(tern_grid_print(&t, stdout));
    printf("%d of %d targets, %d samples; %.4f rms in units over all, %.7f of the variance explained\n",
           e->classes < SHOWN_TARGETS ? e->classes : SHOWN_TARGETS, e->classes, e->samples, sqrt(e->loss),
           e->accuracy);
    return TERN_OK;
}

/* Of regression errors take the place of what classes have. */
static json_t *regression_json(const tern_evaluation *e)
{
    return json_pack("{s:f,s:f,s:i,s:f,s:f,s:o,s:o,s:o}", "accuracy", e->accuracy, "loss", e->loss,
                     "sample_count", e->samples, "seconds", e->seconds, "spikes_per_neuron",
                     e->spikes_per_neuron, "work", tern_work_json(&e->work), "targets", targets_json(e),
                     "layers", layers_json(e));
}

json_t *tern_evaluation_json(const tern_evaluation *e, const tern_dataset *d)
{
    if (e->targets) return regression_json(e);
    json_t *confusion = json_array(), *classes = json_array();
    for (int r = 0; r < e->classes; r++) {
        json_t *row = json_array();
        for (int c = 0; c < e->classes; c++)
            json_array_append_new(row, json_integer(e->confusion[r * e->classes + c]));
        json_array_append_new(confusion, row);
    }
    for (int c = 0; d->class_names && c < d->classes && d->classes == e->classes; c++)
        json_array_append_new(classes, json_string(d->class_names[c]));
    return json_pack("{s:f,s:f,s:i,s:f,s:f,s:o,s:o,s:o,s:o,s:o}", "accuracy", e->accuracy, "loss", e->loss,
                     "sample_count", e->samples, "seconds", e->seconds, "spikes_per_neuron",
                     e->spikes_per_neuron, "work", tern_work_json(&e->work), "classes", classes, "confusion",
                     confusion, "layers", layers_json(e), "samples", samples_json(e, d));
}
