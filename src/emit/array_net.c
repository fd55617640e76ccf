/* The layers of a net of bytes as the array runs them: what each reads, where maps lie, and what its registers say. */
#include "emit/array.h"

#include "machine/machine.h"
#include "op/int16.h"

#include <string.h>

enum { MOST_MEMORY = 8192, LEAST_MEMORY = 256 };

/* A map: where it lies and until which node it is read. */
typedef struct map {
    int at, channels, length, last;
    bool wide;
} map;

typedef struct reader {
    tern_array *a;
    const tern_program *program;
    tern_session *session;
    map *maps;   /* [value]: of the value that a value is another view of */
    int *origin; /* [value]: that value; 0: in no memory */
    int node, most;
} reader;

void tern_array_free(tern_array *array)
{
    tern_arena_free(&array->arena);
    *array = (tern_array){0};
}

tern_status tern_array_mark(tern_graph *graph)
{
    bool in = false, out = false;
    for (int n = 0; n < graph->node_count; n++) {
        const tern_node *node = graph->nodes[n];
        if ((node->op == &tern_op_quantise_int8 || node->op == &tern_op_quantise_int16) && !in) {
            tern_output(graph, TERN_ARRAY_IN, node->out[0]);
            in = true;
        } else if (node->op == &tern_op_dequantise_int8 && !out) {
            tern_output(graph, TERN_ARRAY_OUT, node->in[0]);
            out = true;
        }
    }
    if (in && out) return tern_graph_status(graph);
    return tern_fail(TERN_USAGE,
                     "the array runs nets of bytes: tern convert RUN --to int8 --multiplier-bits 16");
}

/* ---- where maps lie ----------------------------------------------------------------------------------------------------- */

/* Of activations; of bytes, results of 16 bits take two. */
static int size_of(const map *m)
{
    return m->channels * m->length * (m->wide ? 2 : 1);
}

static bool is_free(const reader *r, int at, int size)
{
    for (int v = 1; v < r->program->graph->value_count; v++) {
        const map *m = &r->maps[v];
        if (r->origin[v] != v || m->last < r->node || (m->at ^ at) & 0x10000) continue;
        if (at < m->at + size_of(m) && m->at < at + size) return false;
    }
    return true;
}

/* The lowest place in the memory that `beside` is not in; words of 4 bytes, as the bus has them. */
static tern_status place(reader *r, map *m, int beside, const char *layer)
{
    int half = ~beside & 0x10000, size = size_of(m);
    for (int at = 0; at + size <= MOST_MEMORY; at += 4) {
        if (!is_free(r, half | at, size)) continue;
        m->at = half | at;
        r->most = at + size > r->most ? at + size : r->most;
        return TERN_OK;
    }
    return tern_fail(TERN_NO_FIT,
                     "layer %s: %d results do not fit a feature memory of %d beside what is still needed",
                     layer, size, MOST_MEMORY);
}

/* ---- what a layer is ---------------------------------------------------------------------------------------------------- */

static tern_status cannot(const tern_node *node, const char *why)
{
    return tern_fail(TERN_USAGE, "layer %s: the array cannot run %s%s", node->layer, node->op->name, why);
}

static const void *constant(const reader *r, tern_value value)
{
    return tern_session_memory(r->session, value);
}

static bool is_short(const tern_op *op)
{
    return op == &tern_op_conv2d_int16x8 || op == &tern_op_conv2d_transposed_int16x8 ||
           op == &tern_op_linear_int16x8;
}

/* A multiplier of 32 bits whose lower 16 are 0, and a shift to the right. */
static tern_status scale_of(const tern_node *node, int32_t multiplier, int shift, uint32_t *scale)
{
    if (multiplier & 0xffff)
        return cannot(node, " with multipliers of 32 bits: convert with --multiplier-bits 16");
    if (shift > 0) return cannot(node, ": it makes sums larger, and the array shifts to the right only");
    *scale = (uint32_t)-shift << 16 | (uint32_t)(multiplier >> 16);
    return TERN_OK;
}

/* Without a zero of x all phases begin with the same. */
static tern_status repeat_bias(reader *r, tern_array_layer *l)
{
    size_t each = (size_t)l->out_c * sizeof *l->bias;
    int32_t *bias = tern_arena_take(&r->a->arena, (size_t)l->stride * each);
    if (!bias) return tern_no_memory((size_t)l->stride * each, "biases");
    for (int phase = 0; phase < l->stride; phase++) memcpy(bias + phase * l->out_c, l->bias, each);
    l->bias = bias;
    return TERN_OK;
}

static tern_status take_scales(reader *r, const tern_node *node, tern_array_layer *l)
{
    const int32_t *multiplier = constant(r, node->in[TERN_IN_MULTIPLIER]),
                  *constants = constant(r, node->in[TERN_IN_CONSTANTS]);
    const int8_t *shift = constant(r, node->in[TERN_IN_SHIFT]);
    tern_shape s = tern_shape_of(r->program->graph, node->in[TERN_IN_MULTIPLIER]);
    int each = tern_elements(&s) > 1;
    if (is_short(node->op) && node->nin > TERN_IN_UPPER) return cannot(node, " with sums of 64 bits");
    l->scale = tern_arena_take(&r->a->arena, (size_t)l->out_c * sizeof *l->scale);
    l->weight = constant(r, node->in[TERN_IN_W]);
    l->bias = constant(r, node->in[TERN_IN_BIAS]);
    if (!l->scale) return tern_no_memory((size_t)l->out_c * sizeof *l->scale, "scales");
    if (!multiplier || !shift || !constants || !l->weight || !l->bias)
        return cannot(node, " without its parameters");
    l->shift = 63;
    for (int o = 0; o < l->out_c; o++) {
        TERN_TRY(scale_of(node, multiplier[o * each], shift[o * each], &l->scale[o]));
        int own = (int)(l->scale[o] >> 16);
        l->shift = own < l->shift ? own : l->shift;
    }
    for (int o = 0; o < l->out_c; o++) l->scale[o] -= (uint32_t)l->shift << 16;
    if (is_short(node->op)) {
        l->low = constants[0];
        l->high = constants[1];
        return l->kind == TERN_ARRAY_TRANSPOSED ? repeat_bias(r, l) : TERN_OK;
    }
    l->zero_x = constants[TERN_X_ZERO];
    l->zero_y = constants[TERN_Y_ZERO];
    l->low = constants[TERN_Y_LOW];
    l->high = constants[TERN_Y_HIGH];
    return TERN_OK;
}

static tern_status take_conv(const tern_node *node, const tern_graph *g, tern_array_layer *l)
{
    const tern_conv_op *c = node->args;
    tern_shape w = tern_shape_of(g, node->in[TERN_IN_W]), y = tern_shape_of(g, node->out[0]);
    if (c->groups != 1 || c->dilation != 1 || w.dim[2] != 1 || y.dim[y.rank - 2] != 1)
        return cannot(node, " with groups, dilation or two dimensions");
    if (c->top || c->left || c->bottom || c->right) return cannot(node, " with borders of their own");
    l->kernel = (int)w.dim[3];
    l->stride = c->stride;
    l->pad = c->pad;
    l->out_c = (int)w.dim[0];
    l->out_l = (int)y.dim[y.rank - 1];
    if (l->kind == TERN_ARRAY_TRANSPOSED && l->kernel % l->stride)
        return cannot(node, " whose kernel is no multiple of its stride");
    return TERN_OK;
}

static tern_status take_sum(reader *r, const tern_node *node, tern_array_layer *l, const map *second)
{
    const int32_t *q = constant(r, node->in[2]);
    l->scale = tern_arena_take(&r->a->arena, 3 * sizeof *l->scale);
    if (!l->scale) return tern_no_memory(3 * sizeof *l->scale, "scales");
    if (!q || second->channels != l->in_c || second->length != l->in_l)
        return cannot(node, " of maps that differ in shape");
    static const int at[] = {TERN_ADD_A, TERN_ADD_B, TERN_ADD_Y};
    for (int i = 0; i < 3; i++) TERN_TRY(scale_of(node, q[at[i] + 1], q[at[i] + 2], &l->scale[i]));
    l->second = second->at;
    l->zero_x = q[TERN_ADD_A];
    l->zero_second = q[TERN_ADD_B];
    l->zero_y = q[TERN_ADD_Y];
    l->low = q[TERN_ADD_LOW];
    l->high = q[TERN_ADD_HIGH];
    l->out_c = l->in_c;
    l->out_l = l->in_l;
    return TERN_OK;
}

static tern_status take_product(reader *r, const tern_node *node, tern_array_layer *l)
{
    const tern_graph *g = r->program->graph;
    tern_shape w = tern_shape_of(g, node->in[TERN_IN_W]);
    if (l->kind == TERN_ARRAY_DENSE) {
        if (w.dim[1] != (int64_t)l->in_c * l->in_l) return cannot(node, " of a part of a map");
        l->kernel = l->in_l;
        l->stride = 1;
        l->out_c = (int)w.dim[0];
        l->out_l = 1;
    } else {
        TERN_TRY(take_conv(node, g, l));
    }
    return take_scales(r, node, l);
}

static const map *map_of(const reader *r, tern_value v)
{
    return r->origin[v.id] ? &r->maps[r->origin[v.id]] : NULL;
}

static tern_status take_layer(reader *r, const tern_node *node, tern_array_kind kind)
{
    tern_array *a = r->a;
    const map *x = map_of(r, node->in[0]), *second = kind == TERN_ARRAY_SUM ? map_of(r, node->in[1]) : x;
    if (!x || !second) return cannot(node, " of what is in no feature memory");
    tern_array_layer *l = &a->layers[a->count++];
    *l = (tern_array_layer){.kind = kind,
                            .name = tern_arena_string(&a->arena, node->layer),
                            .in_c = x->channels,
                            .in_l = x->length,
                            .source = x->at,
                            .wide = node->op == &tern_op_linear_int16};
    if (!l->name) return tern_no_memory(64, "a name");
    TERN_TRY(kind == TERN_ARRAY_SUM ? take_sum(r, node, l, second) : take_product(r, node, l));
    int id = node->out[0].id, banks = a->elements > a->units ? a->elements : a->units;
    if (l->wide && 2 * l->out_c > banks)
        return cannot(node, ": more results of 16 bits than are written in a cycle");
    r->origin[id] = id;
    r->maps[id].channels = l->out_c;
    r->maps[id].length = l->out_l;
    r->maps[id].wide = l->wide;
    TERN_TRY(place(r, &r->maps[id], x->at, node->layer));
    l->destination = r->maps[id].at;
    return TERN_OK;
}

static tern_status take_node(reader *r, const tern_node *node)
{
    static const struct {
        const tern_op *op;
        tern_array_kind kind;
    } known[] = {{&tern_op_conv2d_int8, TERN_ARRAY_CONV},
                 {&tern_op_conv2d_int16x8, TERN_ARRAY_CONV},
                 {&tern_op_conv2d_transposed_int8, TERN_ARRAY_TRANSPOSED},
                 {&tern_op_conv2d_transposed_int16x8, TERN_ARRAY_TRANSPOSED},
                 {&tern_op_add_int8, TERN_ARRAY_SUM},
                 {&tern_op_add_int16, TERN_ARRAY_SUM},
                 {&tern_op_linear_int8, TERN_ARRAY_DENSE},
                 {&tern_op_linear_int16, TERN_ARRAY_DENSE},
                 {&tern_op_linear_int16x8, TERN_ARRAY_DENSE}};
    const tern_graph *g = r->program->graph;
    int id = node->out[0].id;
    if (node->op == &tern_op_reshape) {
        r->origin[id] = r->origin[node->in[0].id];
        return TERN_OK;
    }
    if (node->op == &tern_op_quantise_int8 || node->op == &tern_op_quantise_int16) {
        tern_shape s = tern_shape_of(g, node->out[0]);
        r->origin[id] = id;
        r->maps[id].channels = 1;
        r->maps[id].length = (int)tern_elements(&s);
        TERN_TRY(place(r, &r->maps[id], 0x10000, "input"));
        r->a->input = r->maps[id].at;
        r->a->bytes = node->op == &tern_op_quantise_int16 ? 2 : 1;
        r->a->input_bytes = r->a->bytes * size_of(&r->maps[id]);
        return r->a->input_bytes % 4 ? cannot(node, ": the bus takes 4 bytes at once") : TERN_OK;
    }
    if (node->op == &tern_op_dequantise_int8) {
        const map *y = map_of(r, node->in[0]);
        r->a->output = y ? y->at : 0;
        r->a->output_bytes = y ? r->a->bytes * size_of(y) : 0;
        return y && (y->length == 1 || y->channels == 1) ? TERN_OK
                                                         : cannot(node, " of a map of channels in time");
    }
    for (size_t i = 0; i < TERN_COUNT(known); i++)
        if (node->op == known[i].op) return take_layer(r, node, known[i].kind);
    return cannot(node, "; it runs convolutions along time, transposed ones, dense layers and sums");
}

/* Until which node each map is read, through all its views. */
static void find_ends(reader *r)
{
    const tern_graph *g = r->program->graph;
    for (int n = 0; n < g->node_count; n++) {
        const tern_node *node = g->nodes[n];
        int id = node->out[0].id;
        r->origin[id] = node->op == &tern_op_reshape ? r->origin[node->in[0].id] : id;
        for (int i = 0; i < node->nin; i++)
            if (node->in[i].id && r->origin[node->in[i].id]) r->maps[r->origin[node->in[i].id]].last = n;
    }
    memset(r->origin, 0, (size_t)g->value_count * sizeof *r->origin);
}

/* ---- words of the memories ------------------------------------------------------------------------------------------------ */

static void lay_words(tern_array *a)
{
    for (int i = 0; i < a->count; i++) {
        tern_array_layer *l = &a->layers[i];
        if (l->kind == TERN_ARRAY_SUM) continue;
        tern_array_steps s = tern_array_steps_of(a, l);
        l->weights = a->weight_words;
        l->biases = a->bias_words;
        l->scales = a->scale_words;
        a->weight_words += s.phases * s.groups * s.steps;
        a->bias_words += s.phases * s.groups;
        a->scale_words += s.groups;
    }
}

tern_status tern_array_open(tern_array *array, const tern_program *program, tern_session *session,
                            int elements, int units)
{
    const tern_graph *g = program->graph;
    size_t values = (size_t)g->value_count;
    *array = (tern_array){.elements = elements, .units = units};
    if (elements < 4 || units < 4 || elements > 64 || units > 64 || elements & (elements - 1) ||
        units & (units - 1))
        return tern_fail(TERN_USAGE,
                         "an array of %d elements of %d units: expected powers of two from 4 to 64", elements,
                         units);
    reader r = {.a = array, .program = program, .session = session};
    r.maps = tern_take_array(values, sizeof *r.maps);
    r.origin = tern_take_array(values, sizeof *r.origin);
    array->layers = tern_arena_take(&array->arena, ((size_t)g->node_count + 1) * sizeof *array->layers);
    tern_status status = r.maps && r.origin && array->layers
                             ? TERN_OK
                             : tern_no_memory(values * sizeof *r.maps, "layers of an array");
    if (status == TERN_OK) find_ends(&r);
    for (r.node = 0; status == TERN_OK && r.node < g->node_count; r.node++)
        status = take_node(&r, g->nodes[r.node]);
    for (array->memory = LEAST_MEMORY; array->memory < r.most;) array->memory *= 2;
    if (status == TERN_OK) lay_words(array);
    if (status == TERN_OK && (array->weight_words > 65535 || !array->output_bytes))
        status = tern_fail(TERN_NO_FIT, "%d words of weights, expected at most 65,535, and a result",
                           array->weight_words);
    tern_release(r.maps);
    tern_release(r.origin);
    if (status != TERN_OK) tern_array_free(array);
    return status;
}

/* ---- registers --------------------------------------------------------------------------------------------------------------- */

static int rounds(int n, int each)
{
    return (n + each - 1) / each;
}

tern_array_steps tern_array_steps_of(const tern_array *a, const tern_array_layer *l)
{
    bool transposed = l->kind == TERN_ARRAY_TRANSPOSED;
    tern_array_steps s = {.phases = transposed ? l->stride : 1};
    if (l->kind == TERN_ARRAY_SUM)
        return (tern_array_steps){.groups = rounds(l->in_c * l->in_l, a->elements)};
    int taps = l->kernel / s.phases;
    s.window = taps * l->in_c;
    s.steps = rounds(s.window, a->units);
    s.groups = rounds(l->out_c, a->elements);
    s.first_phase = transposed ? l->pad % s.phases : 0;
    s.begin = (transposed ? l->pad / s.phases - taps + 1 : -l->pad) * l->in_c;
    s.advance = (transposed ? 1 : l->stride) * l->in_c;
    return s;
}

/* In the order of the registers' addresses. */
enum {
    START,
    DONE,
    KIND,
    SOURCE,
    SECOND,
    DESTINATION,
    BASE,
    ADVANCE,
    BYTES,
    STEPS,
    ROW,
    PHASES,
    FIRST_PHASE,
    LAST,
    GROUPS,
    POSITIONS,
    WEIGHTS,
    BIASES,
    SCALES,
    RESULTS,
    ZERO_X,
    ZERO_SECOND,
    ZERO_Y,
    WIDE,
    SCALE_A,
    SCALE_B,
    SCALE_Y,
    LOW,
    HIGH
};

#define HALF(x)          ((uint32_t)(x)&0xffff)
#define PUT(at_, value_) (writes[count++] = (tern_array_write){.at = (at_), .value = (uint32_t)(value_)})

static int program_sum(const tern_array *a, const tern_array_layer *l, tern_array_write *writes)
{
    int count = 0, bytes = l->in_c * l->in_l, groups = tern_array_steps_of(a, l).groups;
    PUT(SECOND, l->second);
    PUT(BASE, 0);
    PUT(LAST, bytes - (groups - 1) * a->elements);
    PUT(GROUPS, groups);
    PUT(ZERO_SECOND, HALF(l->zero_second));
    for (uint32_t i = 0; i < 3; i++) PUT(SCALE_A + i, l->scale[i]);
    return count;
}

static int program_product(const tern_array *a, const tern_array_layer *l, tern_array_write *writes)
{
    tern_array_steps s = tern_array_steps_of(a, l);
    int count = 0;
    PUT(BASE, HALF(s.begin));
    PUT(ADVANCE, s.advance);
    PUT(BYTES, (uint32_t)(l->in_c * l->in_l) << 16 | (uint32_t)s.window);
    PUT(STEPS, s.steps);
    PUT(ROW, l->out_c);
    PUT(PHASES, s.phases);
    PUT(FIRST_PHASE, s.first_phase);
    PUT(LAST, l->out_c - (s.groups - 1) * a->elements);
    PUT(GROUPS, s.groups);
    PUT(POSITIONS, l->out_l);
    PUT(WEIGHTS, (uint32_t)(l->weights + s.first_phase * s.groups * s.steps) << 16 | (uint32_t)l->weights);
    PUT(BIASES, (uint32_t)(l->biases + s.first_phase * s.groups) << 16 | (uint32_t)l->biases);
    PUT(SCALES, (uint32_t)l->shift << 16 | (uint32_t)l->scales);
    PUT(RESULTS, s.groups * l->out_l);
    PUT(WIDE, l->wide);
    return count;
}

int tern_array_program(const tern_array *a, const tern_array_layer *l,
                       tern_array_write writes[TERN_ARRAY_REGISTERS])
{
    int count = 0;
    PUT(KIND, l->kind);
    PUT(SOURCE, l->source);
    PUT(DESTINATION, l->destination);
    count += (l->kind == TERN_ARRAY_SUM ? program_sum : program_product)(a, l, writes + count);
    PUT(ZERO_X, HALF(l->zero_x));
    PUT(ZERO_Y, HALF(l->zero_y));
    PUT(LOW, HALF(l->low));
    PUT(HIGH, HALF(l->high));
    PUT(START, 1);
    return count;
}

double tern_array_cycles(const tern_array *a, const tern_array_layer *l)
{
    tern_array_steps s = tern_array_steps_of(a, l);
    if (l->kind == TERN_ARRAY_SUM) return tern_broadcast_sum(a->elements, l->in_c * l->in_l);
    return tern_broadcast_product(a->units, a->elements, l->out_l, l->out_c, s.window, a->bytes);
}

double tern_array_total(const tern_array *a)
{
    tern_array_write writes[TERN_ARRAY_REGISTERS];
    double sum = 0;
    for (int i = 0; i < a->count; i++)
        sum += tern_array_cycles(a, &a->layers[i]) + 2 * tern_array_program(a, &a->layers[i], writes);
    return sum;
}
