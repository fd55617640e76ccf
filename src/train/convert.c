/* From a trained net of ReLUs to its spiking form: norms become part of the weights, and the threshold of each layer of
 * neurons is a percentile of the currents that flow into it, layer by layer (Rathi et al., ICLR 2020; Chowdhury, Rathi &
 * Roy, ECCV 2022). */
#include "train/train.h"

#include "op/op.h"

#include <math.h>
#include <string.h>

/* ---- the percentile ------------------------------------------------------------------------------------------- */

/* Moves values so that the one of rank k (from 0) stands at k: quickselect with a pivot from the middle. */
static void select_rank(float *values, int64_t n, int64_t k)
{
    int64_t low = 0, high = n - 1;
    while (low < high) {
        float pivot = values[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (values[i] < pivot) i++;
            while (values[j] > pivot) j--;
            if (i > j) break;
            float moved = values[i];
            values[i++] = values[j];
            values[j--] = moved;
        }
        if (k > j && k < i) return;
        if (k <= j)
            high = j;
        else
            low = i;
    }
}

static int64_t rank_of(int64_t n, double percentile)
{
    return (int64_t)nearbyint(percentile / 100 * (double)(n - 1)); /* halves to even */
}

float tern_percentile(float *values, int64_t n, double percentile)
{
    int64_t k = rank_of(n, percentile);
    select_rank(values, n, k);
    return values[k];
}

/* ---- fusing ----------------------------------------------------------------------------------------------------- */

static bool has_weights(const tern_node *node)
{
    return node->op == &tern_op_conv2d || node->op == &tern_op_linear;
}

/* Outputs "<layer>.weight" and "<layer>.bias" in place of all others. */
static void put_out_weights(tern_graph *g)
{
    static const char *const kinds[] = {NULL, "weight", "bias"};
    g->output_count = 0;
    for (int n = 0; n < g->node_count; n++) {
        const tern_node *node = g->nodes[n];
        for (int i = 1; has_weights(node) && i < node->nin && i < 3; i++) {
            const char *name = tern_arena_format(&g->arena, "%s.%s", node->layer, kinds[i]);
            if (!name)
                tern_graph_no_memory(g);
            else if (node->in[i].id)
                tern_output(g, name, node->in[i]);
        }
    }
}

/* Copies the outputs of a session into the store, where parameters of the spiking form have their names. */
static tern_status keep_weights(tern_session *session, const tern_graph *g, tern_store *to)
{
    for (int i = 0; i < g->output_count; i++) {
        tern_tensor value;
        int index = tern_store_find(to, g->outputs[i].name);
        TERN_TRY(tern_session_output(session, g->outputs[i].name, &value));
        if (index < 0 || tern_elements(&to->tensors[index].shape) != tern_elements(&value.shape))
            return tern_fail(TERN_FAILED, "the spiking form of the net has no \"%s\" of this size",
                             g->outputs[i].name);
        memcpy(to->tensors[index].data, value.data, tern_bytes_of(TERN_F32, tern_elements(&value.shape)));
    }
    to->version++;
    return TERN_OK;
}

/* The folded weights of the net of ReLUs into the parameters of its spiking form. */
static tern_status fuse(const tern_net *net, const void *parameters, const tern_shape *sample,
                        tern_store *from, tern_store *to, tern_pool *pool)
{
    tern_graph *g = NULL, *weights = NULL;
    tern_program *program = NULL;
    tern_session *session = NULL;
    float *image = tern_take_array((size_t)tern_elements(sample) + 1, sizeof *image); /* that nobody reads */
    tern_status status = image ? TERN_OK : tern_no_memory((size_t)tern_elements(sample), "an image");
    if (status == TERN_OK) status = tern_model_graph(&g, net, parameters, sample, 1, 0);
    if (status == TERN_OK) {
        put_out_weights(g);
        status = tern_pass_dead(g, &weights);
    }
    if (status == TERN_OK) status = tern_plan(&program, weights, NULL);
    if (status == TERN_OK) status = tern_session_open(&session, program, from, pool);
    if (status == TERN_OK) status = tern_session_bind(session, "image", image);
    if (status == TERN_OK) status = tern_session_run(session, 0);
    if (status == TERN_OK) status = keep_weights(session, weights, to);
    tern_session_close(session);
    tern_program_close(program);
    tern_graph_close(weights);
    tern_graph_close(g);
    tern_release(image);
    return status;
}

/* ---- thresholds --------------------------------------------------------------------------------------------------- */

/* The stepping graph up to the currents into the neurons number `layer`, and their threshold's name; NULL behind the last. */
static tern_status graph_up_to(tern_graph **graph, const tern_calibration *c, int layer, char name[64])
{
    tern_graph *g = NULL;
    int cut = 0, seen = 0;
    *graph = NULL;
    TERN_TRY(tern_model_step_graph(&g, c->net, c->parameters, c->sample, c->images, 0));
    for (; cut < g->node_count; cut++)
        if ((g->nodes[cut]->op->flags & TERN_OP_FIRES) && seen++ == layer) break;
    if (cut == g->node_count) {
        tern_graph_close(g);
        return TERN_OK;
    }
    snprintf(name, 64, "%s.threshold", g->nodes[cut]->layer);
    g->output_count = 0;
    tern_output(g, "current", g->nodes[cut]->in[0]);
    for (int i = 1; i < g->value_count; i++) { /* membranes behind the cut */
        const tern_value_info *next = tern_value_of(g, g->values[i].next);
        if (next && next->kind == TERN_VALUE_NODE && next->node >= cut) g->values[i].next.id = 0;
    }
    tern_status status = tern_pass_dead(g, graph);
    tern_graph_close(g);
    return status;
}

/* Whether a run differs from the one before. */
static bool changes(const tern_graph *g)
{
    bool any = false;
    for (int n = 0; n < g->node_count; n++) any |= (g->nodes[n]->op->flags & TERN_OP_RANDOM) != 0;
    for (int i = 1; i < g->value_count; i++) any |= g->values[i].next.id != 0;
    return any;
}

/* Whether the percentile of the currents is above `least`: so many of them are. */
static bool exceeds(const float *currents, int64_t n, double percentile, float least)
{
    int64_t below = 0;
    for (int64_t i = 0; i < n; i++) below += currents[i] <= least;
    return below <= rank_of(n, percentile);
}

/* The highest percentile over the steps. */
static tern_status highest_current(const tern_calibration *c, tern_session *session, int steps,
                                   float *highest)
{
    tern_tensor current = {0};
    float *copy = NULL;
    tern_status status = TERN_OK;
    *highest = 0;
    for (int s = 0; status == TERN_OK && s < steps; s++) {
        status = tern_session_run(session, 0);
        if (status == TERN_OK) status = tern_session_output(session, "current", &current);
        if (status != TERN_OK || tern_interrupted()) break;
        int64_t n = tern_elements(&current.shape);
        if (!exceeds(current.data, n, c->percentile, *highest)) continue;
        if (!copy) copy = tern_take_array((size_t)n, sizeof *copy);
        if (!copy) {
            status = tern_no_memory((size_t)n * sizeof *copy, "a calibration");
            break;
        }
        memcpy(copy, current.data, (size_t)n * sizeof *copy);
        *highest = tern_percentile(copy, n, c->percentile);
    }
    tern_release(copy);
    return status == TERN_OK && tern_interrupted() ? tern_fail(TERN_INTERRUPTED, "interrupted") : status;
}

/* One layer; *found says whether there is such a layer. */
static tern_status calibrate_layer(const tern_calibration *c, int layer, tern_store *store, tern_pool *pool,
                                   bool *found)
{
    tern_graph *g;
    tern_program *program = NULL;
    tern_session *session = NULL;
    char name[64];
    float highest = 0;
    TERN_TRY(graph_up_to(&g, c, layer, name));
    *found = g != NULL;
    if (!g) return TERN_OK;
    tern_status status = tern_plan(&program, g, NULL);
    if (status == TERN_OK) status = tern_session_open(&session, program, store, pool);
    if (status == TERN_OK) status = tern_session_bind(session, "image", c->batch);
    if (status == TERN_OK) status = highest_current(c, session, changes(g) ? c->steps : 1, &highest);
    int index = tern_store_find(store, name);
    if (status == TERN_OK && index < 0)
        status = tern_fail(TERN_FAILED, "the neurons of the net have no learned \"%s\"", name);
    if (status == TERN_OK) {
        tern_set(&store->tensors[index], 0, highest == 0 ? 0.1 : highest);
        store->version++;
    }
    tern_session_close(session);
    tern_program_close(program);
    tern_graph_close(g);
    return status;
}

tern_status tern_calibrate_thresholds(const tern_calibration *c, tern_store *store, tern_pool *pool)
{
    bool found = true;
    for (int layer = 0; found; layer++) TERN_TRY(calibrate_layer(c, layer, store, pool, &found));
    return TERN_OK;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

/* The first batch of the training images in an order that depends on the seed. */
static tern_status draw_batch(const tern_samples *samples, int images, uint64_t seed, tern_loader **loader,
                              const float **batch)
{
    tern_loader_options options = {.batch = images, .shuffle = true, .drop_last = true, .seed = seed};
    if (samples->images.shape.rank < 2 || samples->images.shape.dim[0] < images)
        return tern_fail(TERN_USAGE, "data: %lld training samples, calibration takes %d; lower --calib",
                         (long long)samples->images.shape.dim[0], images);
    TERN_TRY(tern_loader_open(loader, samples, &options));
    tern_loader_begin(*loader, 0, 0);
    *batch = tern_loader_next(*loader)->images;
    return TERN_OK;
}

/* Every parameter of the spiking form, fresh. */
static tern_status open_parameters(const tern_calibration *c, tern_store *to)
{
    tern_graph *g;
    int index;
    TERN_TRY(tern_model_step_graph(&g, c->net, c->parameters, c->sample, 1, 0));
    tern_status status = TERN_OK;
    for (int i = 1; status == TERN_OK && i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        if (v->kind != TERN_VALUE_PARAM) continue;
        status = tern_store_need(to, v->name, &v->type, v->init, 0, &index);
    }
    tern_graph_close(g);
    return status;
}

tern_status tern_convert(const tern_conversion *conversion, tern_store *from, tern_store *to, tern_pool *pool)
{
    const tern_conversion *v = conversion;
    tern_shape sample = v->samples->images.shape;
    tern_calibration c = {.net = v->net,
                          .parameters = v->spiking,
                          .sample = &sample,
                          .images = v->images,
                          .percentile = v->percentile,
                          .steps = v->steps};
    tern_loader *loader = NULL;
    TERN_TRY(draw_batch(v->samples, v->images, v->seed, &loader, &c.batch));
    memmove(sample.dim, sample.dim + 1, (size_t)--sample.rank * sizeof *sample.dim);
    tern_status status = open_parameters(&c, to);
    if (status == TERN_OK) status = fuse(v->net, v->parameters, &sample, from, to, pool);
    if (status == TERN_OK) status = tern_calibrate_thresholds(&c, to, pool);
    tern_loader_close(loader);
    return status;
}
