/* The net of two-layers.safetensors, with its loss and gradients: what test and proof of IIR-SNN hold against the twin. */
#ifndef TERN_GOLDEN_TWO_LAYERS_H
#define TERN_GOLDEN_TWO_LAYERS_H

#include "graph/graph.h"
#include "io/io.h"
#include "run/run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static inline tern_value golden_neuron(tern_graph *g, tern_value x, const char *name)
{
    return tern_lif(g, x, .leak = 1, .learn_leak = true, .learn_threshold = true, .strict = true,
                    .normalised = true, .reset = TERN_RESET_SOFT, .surrogate = TERN_LINEAR_DECAY,
                    .alpha = 0.3, .name = name);
}

/* image [B,2,8,8] -> logits [B,5] in 3 steps; the mask stands for dropout, whose draws are not PyTorch's */
static inline tern_value golden_two_layers(tern_graph *g, tern_value image, tern_value mask)
{
    tern_value x = tern_direct(g, image, .timesteps = 3);
    x = golden_neuron(g, tern_conv2d(g, x, .out = 4, .pad = 1, .name = "conv0"), "neuron0");
    tern_output(g, "spikes0", x);
    x = tern_avg_pool2d(g, x, .kernel = 2);
    x = golden_neuron(g, tern_conv2d(g, x, .out = 6, .pad = 1, .name = "conv1"), "neuron1");
    tern_output(g, "spikes1", x);
    x = tern_flatten(g, tern_multiply(g, x, mask), .from = 2);
    return tern_sum(g, tern_linear(g, x, .out = 5, .bias = false, .name = "linear"), .axis = 0);
}

/* "neuron1.leak" is "leak1" in the file. */
static inline void golden_name(char *out, size_t size, const char *name)
{
    int layer;
    char what[32];
    if (sscanf(name, "neuron%d.%31s", &layer, what) == 2)
        snprintf(out, size, "%s%d", what, layer);
    else
        snprintf(out, size, "%s", name);
}

/* Outputs are named as in the file: spikes, logits, loss, and d<parameter>. */
static inline tern_status golden_open(tern_graph **graph)
{
    tern_value params[16], grads[16];
    int count = 0;
    TERN_TRY(tern_graph_open(graph, &(tern_graph_options){.training = true}));
    tern_graph *g = *graph;
    tern_value image = tern_input(g, "x", TERN_F32, TERN_SHAPE(3, 2, 8, 8));
    tern_value mask = tern_input(g, "mask", TERN_F32, TERN_SHAPE(3, 6, 4, 4));
    tern_value labels = tern_input(g, "y", TERN_I32, TERN_SHAPE(3));
    tern_value logits = golden_two_layers(g, image, mask), loss = tern_cross_entropy(g, logits, labels);
    tern_output(g, "logits", logits);
    tern_output(g, "loss", loss);
    for (int i = 1; i < g->value_count && count < 16; i++)
        if (g->values[i].kind == TERN_VALUE_PARAM) params[count++] = (tern_value){i};
    TERN_TRY(tern_gradients(g, loss, params, count, grads));
    for (int i = 0; i < count; i++) {
        char name[64] = "d";
        golden_name(name + 1, sizeof name - 1, tern_value_of(g, params[i])->name);
        tern_output(g, name, grads[i]);
    }
    return tern_graph_status(g);
}

/* Parameters of the file into the store. */
static inline tern_status golden_fill(tern_store *store, const tern_bundle *golden)
{
    for (int i = 0; i < store->count; i++) {
        char name[64];
        golden_name(name, sizeof name, store->names[i]);
        const tern_tensor *from = tern_bundle_find(golden, name), *to = &store->tensors[i];
        if (!from || tern_elements(&from->shape) != tern_elements(&to->shape))
            return tern_fail(TERN_FAILED, "the golden file lacks %s", name);
        memcpy(to->data, from->data, tern_bytes_of(TERN_F32, tern_elements(&to->shape)));
    }
    store->version++;
    return TERN_OK;
}

/* Largest difference, over the largest element that is expected where `relative`. */
static inline double golden_distance(const tern_tensor *got, const tern_tensor *want, bool relative)
{
    double worst = 0, largest = 1e-30;
    int64_t n = tern_elements(&want->shape);
    if (tern_elements(&got->shape) != n) return INFINITY;
    for (int64_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs(tern_get(got, i) - tern_get(want, i)));
        largest = fmax(largest, fabs(tern_get(want, i)));
    }
    return relative ? worst / largest : worst;
}

/* Runs the net on the inputs of the file; *spikes mismatches, *forward largest difference of logits and loss, *gradient
 * largest relative one of a gradient. */
static inline tern_status golden_compare(const tern_bundle *golden, double *spikes, double *forward,
                                         double *gradient)
{
    static const char *const inputs[] = {"x", "mask", "y"};
    tern_graph *g = NULL;
    tern_program *program = NULL;
    tern_session *session = NULL;
    tern_store store = {0};
    tern_status status = golden_open(&g);
    if (status == TERN_OK) status = tern_plan(&program, g, NULL);
    if (status == TERN_OK) status = tern_session_open(&session, program, &store, NULL);
    if (status == TERN_OK) status = golden_fill(&store, golden);
    for (int i = 0; status == TERN_OK && i < 3; i++)
        status = tern_session_bind(session, inputs[i], tern_bundle_find(golden, inputs[i])->data);
    if (status == TERN_OK) status = tern_session_run(session, 0);
    *spikes = *forward = *gradient = 0;
    for (int i = 0; status == TERN_OK && i < g->output_count; i++) {
        tern_tensor out;
        const char *name = g->outputs[i].name;
        const tern_tensor *want = tern_bundle_find(golden, name);
        double *into = name[0] == 's' ? spikes : name[0] == 'd' ? gradient : forward;
        status = tern_session_output(session, name, &out);
        if (status == TERN_OK && !want) status = tern_fail(TERN_FAILED, "the golden file lacks %s", name);
        if (status == TERN_OK) *into = fmax(*into, golden_distance(&out, want, into == gradient));
    }
    tern_session_close(session);
    tern_program_close(program);
    tern_graph_close(g);
    tern_store_close(&store);
    return status;
}

#endif
