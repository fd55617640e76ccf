/* Nets of golden/mcuformer and how far Tern is from the file's logits: what the test and the proof share. */
#ifndef TERN_TEST_MCUFORMER_H
#define TERN_TEST_MCUFORMER_H

#include "io/io.h"
#include "train/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { GOLDEN_IMAGES = 2, GOLDEN_SIDE = 240, GOLDEN_CLASSES = 5, GOLDEN_NETS = 3 };

static const tern_named_number golden_family[] = {
    {"D", 24},       {"depth", 3},       {"heads", 2},   {"m", 4},
    {"super-D", 24}, {"super-heads", 2}, {"super-m", 4}, {"classes", GOLDEN_CLASSES}};
static const tern_named_number golden_nets[GOLDEN_NETS][4] = {
    {{"D", 24}, {"depth", 3}, {"block-heads", 222}, {"block-m", 888}},
    {{"D", 20}, {"depth", 2}, {"block-heads", 12}, {"block-m", 78}},
    {{"D", 16}, {"depth", 3}, {"block-heads", 211}, {"block-m", 877}},
};
static const struct {
    const char *file;
    double patch, rank;
} golden_files[] = {{"patch-16", 16, 0.9}, {"patch-28", 28, 0.65}};

/* Element i of the n-th parameter (golden/mcuformer/generate.py). */
static float golden_element(int n, int64_t i, double middle, double scale)
{
    uint32_t h = (uint32_t)((uint64_t)(i + 1) * 2654435761u + 40503u * (uint64_t)n) >> 8;
    return (float)(middle + scale * ((double)h / 16777216 - 0.5));
}

static double golden_scale(const char *name, const tern_shape *s)
{
    bool norm = strncmp(name, "norm", 4) == 0, bias = strstr(name, ".bias") != NULL;
    if (strcmp(name, "class") == 0 || strcmp(name, "places") == 0) return 2;
    return norm || bias ? 0.5 : 2 / sqrt((double)tern_elements_from(s, 1));
}

static tern_status golden_set(const tern_net *net, void *parameters, const tern_named_number *numbers,
                              size_t count)
{
    for (size_t i = 0; i < count; i++)
        TERN_TRY(tern_net_set(net, parameters, numbers[i].name, numbers[i].value));
    return TERN_OK;
}

/* The family's parameters, in the order in which its largest net makes them. */
static tern_status golden_fill(const tern_net *net, void *parameters, const tern_shape *sample,
                               tern_store *store)
{
    tern_graph *g;
    int n = 0, at;
    TERN_TRY(tern_model_plain_graph(&g, net, parameters, sample, GOLDEN_IMAGES, 0));
    tern_status status = TERN_OK;
    for (int i = 1; status == TERN_OK && i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        if (v->kind != TERN_VALUE_PARAM) continue;
        bool one = strncmp(v->name, "norm", 4) == 0 && strstr(v->name, ".weight");
        status = tern_store_need(store, v->name, &v->type, v->init, 0, &at);
        for (int64_t e = 0; status == TERN_OK && e < tern_elements(&v->type.shape); e++)
            tern_set(&store->tensors[at], e,
                     (double)golden_element(n, e, one, golden_scale(v->name, &v->type.shape)));
        n++;
    }
    tern_graph_close(g);
    return status;
}

/* The largest difference of a net's logits from the file's. */
static tern_status golden_net(const tern_net *net, void *parameters, const tern_shape *sample,
                              tern_store *store, const float *images, const tern_tensor *expected,
                              double *worst)
{
    tern_model model;
    tern_tensor logits;
    TERN_TRY(tern_model_open(&model, net, parameters, sample, GOLDEN_IMAGES, NULL, store, NULL));
    tern_status status = tern_session_bind(model.session, "image", images);
    if (status == TERN_OK) status = tern_session_run(model.session, 0);
    if (status == TERN_OK) status = tern_session_output(model.session, "logits", &logits);
    if (status == TERN_OK && tern_elements(&logits.shape) != tern_elements(&expected->shape))
        status = tern_fail(TERN_FAILED, "logits are not as many as in the file");
    for (int64_t i = 0; status == TERN_OK && i < tern_elements(&logits.shape); i++)
        *worst = fmax(*worst, fabs(tern_get(&logits, i) - tern_get(expected, i)));
    tern_model_close(&model);
    return status;
}

/* The largest difference over the nets of a file in folder `golden`. */
static tern_status golden_apart(const char *golden, size_t file, double *worst)
{
    const tern_net *net = tern_net_find("mcuformer");
    tern_shape sample = TERN_SHAPE(3, GOLDEN_SIDE, GOLDEN_SIDE);
    int64_t size = GOLDEN_IMAGES * tern_elements(&sample);
    float *images = tern_take_array((size_t)size, sizeof *images);
    char path[4096], name[16];
    tern_bundle bundle = {0};
    tern_store store = {0};
    void *parameters = NULL;
    *worst = 0;
    for (int64_t i = 0; images && i < size; i++) images[i] = golden_element(99, i, 0, 4);
    snprintf(path, sizeof path, "%s/mcuformer/%s.safetensors", golden, golden_files[file].file);
    tern_status status =
        images ? tern_safetensors_read(path, &bundle) : tern_no_memory((size_t)size, "images");
    if (status == TERN_OK) status = tern_net_parameters(net, &parameters);
    const tern_named_number own[] = {{"patch", golden_files[file].patch}, {"rank", golden_files[file].rank}};
    if (status == TERN_OK) status = golden_set(net, parameters, golden_family, TERN_COUNT(golden_family));
    if (status == TERN_OK) status = golden_set(net, parameters, own, 2);
    if (status == TERN_OK) status = golden_fill(net, parameters, &sample, &store);
    for (int k = 0; status == TERN_OK && k < GOLDEN_NETS; k++) {
        snprintf(name, sizeof name, "logits%d", k);
        const tern_tensor *expected = tern_bundle_find(&bundle, name);
        status = expected ? golden_set(net, parameters, golden_nets[k], 4)
                          : tern_fail(TERN_FAILED, "%s lacks %s", path, name);
        if (status == TERN_OK) status = golden_net(net, parameters, &sample, &store, images, expected, worst);
    }
    if (parameters) tern_net_free(parameters);
    tern_store_close(&store);
    tern_bundle_free(&bundle);
    tern_release(images);
    return status;
}

#endif
