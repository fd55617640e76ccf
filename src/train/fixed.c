/* Binary points from data, and the widths of sums. */
#include "train/fixed.h"

#include "op/fixed.h"

#include <string.h>

/* ---- binary points --------------------------------------------------------------------------------------------------- */

/* A cast and what it sees. */
typedef struct tern_seen {
    const char *point, *output; /* names */
    tern_fixed_op op;
} tern_seen;

typedef struct tern_calibrating {
    tern_graph *graph;
    tern_seen *seen;
    int count;
} tern_calibrating;

/* The learned point that a cast has or is held down from, or NULL: it is on the grid of the sums. */
static const char *learned_point(const tern_graph *g, tern_value point)
{
    const tern_value_info *v = tern_value_of(g, point);
    if (v && v->kind == TERN_VALUE_PARAM) return v->name;
    const tern_node *node = v && v->kind == TERN_VALUE_NODE ? g->nodes[v->node] : NULL;
    const char *found = NULL;
    for (int i = 0; node && node->op != &tern_op_fixed_point && i < node->nin && !found; i++)
        found = learned_point(g, node->in[i]);
    return found;
}

/* The graph with casts that do nothing, and what they see as outputs. */
static tern_status open_casts(tern_calibrating *c, const tern_graph *from)
{
    tern_rewrite r;
    TERN_TRY(tern_rewrite_open(&r, from));
    c->seen = tern_arena_take(&r.to->arena, ((size_t)from->node_count + 1) * sizeof *c->seen);
    if (!c->seen) tern_graph_no_memory(r.to);
    for (int n = 0; c->seen && n < from->node_count; n++) {
        const tern_node *node = from->nodes[n];
        if (node->op != &tern_op_fixed) {
            tern_rewrite_node(&r, node);
            continue;
        }
        tern_value x = r.map[node->in[0].id];
        r.map[node->out[0].id] = x;
        const char *point = learned_point(from, node->in[1]);
        if (!point) continue;
        tern_seen *s = &c->seen[c->count++];
        *s = (tern_seen){.point = tern_arena_string(&r.to->arena, point),
                         .output = tern_arena_format(&r.to->arena, "cast%d", c->count),
                         .op = *(const tern_fixed_op *)node->args};
        if (!s->point || !s->output)
            tern_graph_no_memory(r.to);
        else
            tern_output(r.to, s->output, x);
    }
    return tern_rewrite_close(&r, &c->graph);
}

/* The magnitude that is to fit. */
static tern_status range_of(const tern_tensor *x, const char *point, double percentile, double *range)
{
    int64_t n = tern_elements(&x->shape);
    bool all = tern_ends_with(point, ".weight_point") || tern_ends_with(point, ".scale_point") ||
               tern_ends_with(point, ".bias_point");
    float *size = tern_take_array((size_t)n + 1, sizeof *size);
    if (!size) return tern_no_memory((size_t)n * sizeof *size, "a calibration");
    for (int64_t i = 0; i < n; i++) size[i] = (float)fabs(tern_get(x, i));
    *range = (double)tern_percentile(size, n, all ? 100 : percentile);
    tern_release(size);
    return TERN_OK;
}

/* The points of all casts; one that two share fits both. */
static tern_status set_points(const tern_calibrating *c, const tern_fixed_calibration *how,
                              tern_session *session, tern_store *store)
{
    for (int i = 0; i < c->count; i++) {
        const tern_seen *s = &c->seen[i];
        tern_tensor x;
        double range = 0;
        int index;
        tern_type type = {.dtype = TERN_F32, .shape = TERN_SHAPE(1)};
        TERN_TRY(tern_session_output(session, s->output, &x));
        TERN_TRY(range_of(&x, s->point, how->percentile, &range));
        TERN_TRY(tern_store_need(store, s->point, &type, (tern_init){0}, how->seed, &index));
        double places = range > 0 ? ceil(log2(range)) : 0, point = s->op.bits - !s->op.positive - places;
        for (int k = 0; k < i; k++)
            if (strcmp(c->seen[k].point, s->point) == 0)
                point = fmin(point, tern_get(&store->tensors[index], 0));
        tern_set(&store->tensors[index], 0, point);
    }
    store->version++;
    return TERN_OK;
}

/* The first batch of the training images in an order that depends on the seed. */
static tern_status see(const tern_calibrating *c, const tern_fixed_calibration *how, tern_store *store,
                       tern_pool *pool)
{
    tern_loader_options options = {
        .batch = how->images, .shuffle = true, .drop_last = true, .seed = how->seed};
    tern_loader *loader = NULL;
    tern_program *program = NULL;
    tern_session *session = NULL;
    TERN_TRY(tern_loader_open(&loader, how->samples, &options));
    tern_loader_begin(loader, 0, 0);
    const tern_batch *batch = tern_loader_next(loader);
    tern_status status =
        batch ? tern_plan(&program, c->graph, NULL)
              : tern_fail(TERN_USAGE, "data: fewer than %d training samples; lower --calib", how->images);
    if (status == TERN_OK) status = tern_session_open(&session, program, store, pool);
    if (status == TERN_OK) status = tern_session_bind(session, "image", batch->images);
    if (status == TERN_OK) status = tern_session_run(session, 0);
    if (status == TERN_OK) status = set_points(c, how, session, store);
    tern_session_close(session);
    tern_program_close(program);
    tern_loader_close(loader);
    return status;
}

tern_status tern_fixed_calibrate(const tern_fixed_calibration *calibration, tern_store *store,
                                 tern_pool *pool)
{
    tern_shape sample = calibration->samples->images.shape;
    tern_graph *g = NULL;
    tern_calibrating c = {0};
    memmove(sample.dim, sample.dim + 1, (size_t)--sample.rank * sizeof *sample.dim);
    TERN_TRY(tern_model_graph(&g, calibration->net, calibration->parameters, &sample, calibration->images,
                              calibration->seed));
    tern_status status = open_casts(&c, g);
    if (status == TERN_OK) status = see(&c, calibration, store, pool);
    if (c.graph) tern_graph_close(c.graph);
    tern_graph_close(g);
    return status;
}

/* ---- widths of sums ---------------------------------------------------------------------------------------------------- */

static const tern_node *maker_of(const tern_graph *g, tern_value value)
{
    const tern_value_info *v = tern_value_of(g, value);
    while (v && v->kind == TERN_VALUE_NODE) {
        const tern_node *node = g->nodes[v->node];
        if (node->op != &tern_op_reshape && node->op != &tern_op_fixed_pool) return node;
        v = tern_value_of(g, node->in[0]);
    }
    return NULL;
}

/* What codes lie between. */
static void bounds_of(const tern_graph *g, tern_value codes, double *low, double *high)
{
    const tern_node *node = maker_of(g, codes);
    const tern_fixed_op *to = NULL;
    if (node && node->op == &tern_op_fixed_code) to = node->args;
    if (node && node->op == &tern_op_fixed_shift) to = &((const tern_shift_op *)node->args)->to;
    *low = to ? tern_fixed_least(to) : 0;
    *high = to ? tern_fixed_most(to) : 255;
    const tern_thresholds_op *counts = node && node->op == &tern_op_threshold_count ? node->args : NULL;
    if (counts) *high = counts->high;
}

/* A prepared operand; NULL data where it is none. */
static tern_tensor kept(const tern_graph *g, tern_session *session, tern_value value)
{
    const tern_value_info *v = tern_value_of(g, value);
    if (!v) return (tern_tensor){0};
    return (tern_tensor){v->type.dtype, v->type.shape,
                         (void *)(uintptr_t)tern_session_memory(session, value)};
}

static double largest_sum(const tern_graph *g, tern_session *session, const tern_node *node)
{
    double low, high, most = 0;
    bounds_of(g, node->in[0], &low, &high);
    tern_tensor w = kept(g, session, node->in[1]),
                b = kept(g, session, node->nin > 2 ? node->in[2] : (tern_value){0});
    int64_t rows = w.data ? w.shape.dim[0] : 0, row = rows ? tern_elements(&w.shape) / rows : 0;
    for (int64_t o = 0; o < rows; o++) {
        double least = b.data ? tern_get(&b, o) : 0, greatest = least;
        for (int64_t k = 0; k < row; k++) {
            double x = tern_get(&w, o * row + k) * low, y = tern_get(&w, o * row + k) * high;
            least += fmin(fmin(x, y), 0);
            greatest += fmax(fmax(x, y), 0);
        }
        most = fmax(most, fmax(-least, greatest));
    }
    return most;
}

static tern_status measure(tern_fixed_widths *widths, const tern_graph *g, tern_session *session)
{
    widths->layers = tern_arena_take(&widths->arena, ((size_t)g->node_count + 1) * sizeof *widths->layers);
    if (!widths->layers) return tern_no_memory(1024, "widths");
    for (int n = 0; n < g->node_count; n++) {
        const tern_node *node = g->nodes[n];
        if (node->op != &tern_op_fixed_product && node->op != &tern_op_fixed_affine) continue;
        tern_fixed_width *w = &widths->layers[widths->count++];
        double most = largest_sum(g, session, node);
        *w = (tern_fixed_width){tern_arena_string(&widths->arena, node->layer), 1};
        if (!w->layer) return tern_no_memory(64, "widths");
        while (ldexp(1, w->bits - 1) - 1 < most && w->bits < 64) w->bits++;
        if (w->bits > TERN_FIXED_EXACT_BITS)
            return tern_fail(
                TERN_USAGE,
                "layer %s: its sums can need %d bits, but training adds up %d of them exactly: take "
                "fewer bits of weights or activations (--word, --word-act), or smaller layers",
                node->layer, w->bits, TERN_FIXED_EXACT_BITS);
    }
    return TERN_OK;
}

tern_status tern_fixed_measure(tern_fixed_widths *widths, const tern_net *net, const void *parameters,
                               const tern_shape *sample, tern_store *store, tern_pool *pool)
{
    tern_graph *g = NULL;
    tern_program *program = NULL;
    tern_session *session = NULL;
    *widths = (tern_fixed_widths){0};
    TERN_TRY(tern_model_graph(&g, net, parameters, sample, 1, 0));
    float *zeros = tern_take_array((size_t)tern_elements(sample) + 1, sizeof *zeros);
    tern_status status = zeros ? tern_plan(&program, g, NULL) : tern_no_memory(64, "a sample");
    if (status == TERN_OK) status = tern_session_open(&session, program, store, pool);
    if (status == TERN_OK) status = tern_session_bind(session, "image", zeros);
    if (status == TERN_OK) status = tern_session_run(session, 0);
    if (status == TERN_OK) status = measure(widths, g, session);
    tern_session_close(session);
    tern_program_close(program);
    tern_graph_close(g);
    tern_release(zeros);
    if (status != TERN_OK) tern_arena_free(&widths->arena);
    return status;
}
