/* Values and nodes: how a graph grows. */
#include "graph/graph.h"

#include <math.h>
#include <string.h>

tern_status tern_graph_open(tern_graph **graph, const tern_graph_options *options)
{
    tern_graph *g = tern_take(sizeof *g);
    if (!g) return tern_no_memory(sizeof *g, "a graph");
    if (options) g->options = *options;
    g->owners = 1;
    g->value_count = 1; /* id 0 is the empty value */
    g->layer = "";
    *graph = g;
    return TERN_OK;
}

int tern_int_argument(const tern_node *node, const char *name)
{
    for (const tern_arg *a = node->op->args; a && a->name; a++)
        if (strcmp(a->name, name) == 0) return *(const int *)((const char *)node->args + a->offset);
    return 0;
}

tern_graph *tern_body_of(const tern_node *node, int i)
{
    for (const tern_arg *a = node->op->args; a && a->name; a++)
        if (a->kind == TERN_ARG_GRAPH && i-- == 0)
            return *(tern_graph *const *)((const char *)node->args + a->offset);
    return NULL;
}

void tern_graph_close(tern_graph *graph)
{
    if (!graph || --graph->owners > 0) return;
    for (int n = 0; n < graph->node_count; n++)
        for (int i = 0; i < TERN_BODIES; i++) tern_graph_close(tern_body_of(graph->nodes[n], i));
    tern_release(graph->values);
    tern_release(graph->named);
    tern_release(graph->nodes);
    tern_release(graph->outputs);
    tern_arena_free(&graph->arena);
    tern_release(graph);
}

tern_value tern_graph_keep(tern_graph *g, tern_status status)
{
    if (g->status == TERN_OK) {
        g->status = status;
        g->message = tern_arena_string(&g->arena, tern_message());
    }
    return (tern_value){0};
}

tern_value tern_graph_fail(tern_graph *graph, const char *format, ...)
{
    if (graph->status != TERN_OK) return (tern_value){0};
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    tern_clear();
    return tern_graph_keep(graph, tern_fail(TERN_FAILED, "%s", message));
}

tern_status tern_graph_status(const tern_graph *graph)
{
    if (graph->status == TERN_OK) return TERN_OK;
    tern_clear();
    return tern_fail(graph->status, "%s",
                     graph->message ? graph->message : "out of memory while building a graph");
}

tern_value tern_graph_no_memory(tern_graph *graph)
{
    if (graph->status != TERN_OK) return (tern_value){0};
    tern_clear();
    return tern_graph_keep(graph, tern_fail(TERN_NO_MEMORY, "out of memory while building a graph"));
}

/* Room for one more element of an array that doubles. */
static bool grow(tern_graph *g, void **array, int count, int *capacity, size_t size)
{
    if (count < *capacity) return true;
    int wanted = *capacity ? 2 * *capacity : 64;
    void *bigger = tern_resize(*array, (size_t)*capacity * size, (size_t)wanted * size);
    if (!bigger) {
        tern_graph_keep(g, tern_no_memory((size_t)wanted * size, "a graph"));
        return false;
    }
    *array = bigger;
    *capacity = wanted;
    return true;
}

static tern_value add_value(tern_graph *g, const tern_value_info *info)
{
    if (g->status != TERN_OK) return (tern_value){0};
    void *values = g->values;
    if (!grow(g, &values, g->value_count, &g->value_capacity, sizeof *g->values)) return (tern_value){0};
    g->values = values;
    g->values[g->value_count] = *info;
    return (tern_value){g->value_count++};
}

/* Where a name stands among the named values, or where it would. */
static size_t place_of(const tern_graph *g, const char *name)
{
    size_t last = (size_t)g->named_room - 1, i = tern_hash(name, strlen(name)) & last;
    while (g->named[i] && strcmp(g->values[g->named[i]].name, name) != 0) i = (i + 1) & last;
    return i;
}

/* Half of the places at least stay free, so that a search ends soon. */
static bool make_places(tern_graph *g)
{
    if (2 * (g->named_count + 1) <= g->named_room) return true;
    int room = g->named_room ? 2 * g->named_room : 64, *old = g->named, old_room = g->named_room;
    int *named = tern_take_array((size_t)room, sizeof *named);
    if (!named) {
        tern_graph_keep(g, tern_no_memory((size_t)room * sizeof *named, "a graph"));
        return false;
    }
    g->named = named;
    g->named_room = room;
    for (int i = 0; i < old_room; i++)
        if (old[i]) g->named[place_of(g, g->values[old[i]].name)] = old[i];
    tern_release(old);
    return true;
}

/* A value from outside, with a name that must be new. */
static tern_value add_source(tern_graph *g, tern_value_info info, const char *name)
{
    if (g->status != TERN_OK) return (tern_value){0};
    if (tern_find_value(g, name).id)
        return tern_graph_fail(g, "graph: the name \"%s\" is taken already; give the layer another .name",
                               name);
    tern_status status = tern_shape_check(&info.type.shape, name);
    if (status != TERN_OK) return tern_graph_keep(g, status);
    info.name = tern_arena_string(&g->arena, name);
    if (!info.name) return tern_graph_keep(g, tern_no_memory(strlen(name), "a graph"));
    if (!make_places(g)) return (tern_value){0};
    tern_value value = add_value(g, &info);
    if (value.id) g->named[place_of(g, name)] = value.id;
    g->named_count += value.id != 0;
    return value;
}

tern_value tern_input(tern_graph *graph, const char *name, tern_dtype dtype, tern_shape shape)
{
    return add_source(
        graph, (tern_value_info){.kind = TERN_VALUE_INPUT, .type = {.dtype = dtype, .shape = shape}}, name);
}

tern_value tern_param(tern_graph *graph, const char *name, tern_shape shape, tern_init init)
{
    tern_value_info info = {
        .kind = TERN_VALUE_PARAM, .type = {.dtype = TERN_F32, .shape = shape}, .init = init, .kept = true};
    return add_source(graph, info, name);
}

tern_value tern_weight(tern_graph *graph, const char *name, tern_dtype dtype, tern_shape shape)
{
    tern_value_info info = {.kind = TERN_VALUE_PARAM, .type = {.dtype = dtype, .shape = shape}, .kept = true};
    return add_source(graph, info, name);
}

tern_value tern_state(tern_graph *graph, const char *name, tern_dtype dtype, tern_shape shape, tern_init init,
                      bool kept)
{
    tern_value_info info = {
        .kind = TERN_VALUE_STATE, .type = {.dtype = dtype, .shape = shape}, .init = init, .kept = kept};
    return add_source(graph, info, name);
}

void tern_limit(tern_graph *graph, tern_value param, double low, double high)
{
    if (graph->status != TERN_OK) return;
    tern_value_info *info = &graph->values[param.id];
    info->limited = true;
    info->low = low;
    info->high = high;
}

void tern_rate(tern_graph *graph, tern_value param, double factor)
{
    if (graph->status == TERN_OK) graph->values[param.id].rate = factor;
}

static void *copy_bytes(tern_graph *g, const void *from, size_t bytes)
{
    void *to = tern_arena_take(&g->arena, bytes ? bytes : 1);
    if (!to)
        tern_graph_keep(g, tern_no_memory(bytes, "a graph"));
    else if (bytes && from)
        memcpy(to, from, bytes);
    return to;
}

tern_value tern_constant(tern_graph *graph, const tern_tensor *content)
{
    if (graph->status != TERN_OK) return (tern_value){0};
    tern_value_info info = {.kind = TERN_VALUE_CONSTANT,
                            .type = {.dtype = content->dtype, .shape = content->shape}};
    info.content =
        copy_bytes(graph, content->data, tern_bytes_of(content->dtype, tern_elements(&content->shape)));
    return info.content ? add_value(graph, &info) : (tern_value){0};
}

tern_value tern_scalar(tern_graph *graph, double value)
{
    float f = (float)value;
    return tern_constant(graph, &(tern_tensor){TERN_F32, TERN_SHAPE(1), &f});
}

void tern_next(tern_graph *graph, tern_value state, tern_value next)
{
    if (graph->status != TERN_OK) return;
    const tern_value_info *n = tern_value_of(graph, next);
    tern_value_info *s = &graph->values[state.id];
    if (!n || !state.id || (s->kind != TERN_VALUE_STATE && s->kind != TERN_VALUE_PARAM)) {
        tern_graph_fail(graph, "graph: only a parameter or a state can have a next value");
    } else if (n->type.dtype != s->type.dtype ||
               tern_elements(&n->type.shape) != tern_elements(&s->type.shape)) {
        char a[96], b[96];
        tern_graph_fail(graph, "graph: the next value of \"%s\" is %s %s, expected %s %s", s->name,
                        tern_dtype_of(n->type.dtype)->name, tern_shape_text(a, &n->type.shape),
                        tern_dtype_of(s->type.dtype)->name, tern_shape_text(b, &s->type.shape));
    } else {
        s->next = next;
    }
}

void tern_output(tern_graph *graph, const char *name, tern_value value)
{
    if (graph->status != TERN_OK) return;
    if (!value.id) {
        tern_graph_fail(graph, "graph: output \"%s\" has no value", name);
        return;
    }
    void *outputs = graph->outputs;
    if (!grow(graph, &outputs, graph->output_count, &graph->output_capacity, sizeof *graph->outputs)) return;
    graph->outputs = outputs;
    const char *copy = copy_bytes(graph, name, strlen(name) + 1);
    if (copy) graph->outputs[graph->output_count++] = (tern_named){copy, value};
}

/* Types of the outputs of a node, or an error with the layer's name in front. */
static tern_status infer(tern_graph *g, const tern_value *in, tern_infer *types)
{
    const tern_type **pointers = tern_arena_take(&g->arena, (size_t)(types->nin + 1) * sizeof *pointers);
    if (!pointers) return tern_no_memory((size_t)types->nin * sizeof *pointers, "a graph");
    for (int i = 0; i < types->nin; i++) {
        const tern_value_info *info = tern_value_of(g, in[i]);
        pointers[i] = info ? &info->type : NULL;
    }
    types->in = pointers;
    tern_clear();
    tern_status status = types->op->infer(types);
    for (int i = 0; status == TERN_OK && i < types->nout; i++)
        status = tern_shape_check(&types->out[i].shape, types->op->name);
    return status == TERN_OK ? TERN_OK : tern_in(status, "layer %s", g->layer);
}

tern_value tern_apply(tern_graph *graph, const tern_op *op, const void *args, const tern_value *in, int nin,
                      tern_value *out)
{
    if (graph->status != TERN_OK) return (tern_value){0};
    tern_type outs[TERN_MAX_OUT];
    tern_infer types = {.op = op, .args = args, .nin = nin, .out = outs};
    tern_status status = infer(graph, in, &types);
    if (status != TERN_OK) return tern_graph_keep(graph, status);
    void *nodes = graph->nodes;
    if (!grow(graph, &nodes, graph->node_count, &graph->node_capacity, sizeof *graph->nodes))
        return (tern_value){0};
    graph->nodes = nodes;
    tern_node fresh = {
        .op = op, .layer = graph->layer, .phase = graph->phase, .nin = nin, .nout = types.nout};
    tern_node *node = copy_bytes(graph, &fresh, sizeof fresh);
    if (!node) return (tern_value){0};
    node->args = copy_bytes(graph, args, op->args_size);
    node->in = copy_bytes(graph, in, (size_t)nin * sizeof *in);
    node->out = copy_bytes(graph, NULL, (size_t)types.nout * sizeof *node->out);
    if (graph->status != TERN_OK) return (tern_value){0};
    for (int i = 0; i < types.nout; i++) {
        tern_value_info info = {
            .kind = TERN_VALUE_NODE, .type = outs[i], .node = graph->node_count, .slot = i};
        node->out[i] = add_value(graph, &info);
    }
    if (graph->status != TERN_OK) return (tern_value){0};
    graph->nodes[graph->node_count++] = node;
    for (int i = 0; i < TERN_BODIES; i++) {
        tern_graph *body = tern_body_of(node, i);
        if (body) body->owners++;
    }
    if (out) memcpy(out, node->out, (size_t)types.nout * sizeof *out);
    return node->out[0];
}

const char *tern_layer(tern_graph *graph, const char *kind, const char *name)
{
    graph->layer_count++;
    char *label = name ? tern_arena_string(&graph->arena, name)
                       : tern_arena_format(&graph->arena, "%s%d", kind, graph->layer_count);
    if (!label) tern_graph_keep(graph, tern_no_memory(strlen(kind), "a graph"));
    graph->layer = label ? label : "";
    return graph->layer;
}

const char *tern_layer_name(tern_graph *graph, const char *what)
{
    char *name = tern_arena_format(&graph->arena, "%s.%s", graph->layer, what);
    if (!name) tern_graph_keep(graph, tern_no_memory(strlen(what), "a graph"));
    return name ? name : "";
}

const tern_value_info *tern_value_of(const tern_graph *graph, tern_value value)
{
    return value.id > 0 && value.id < graph->value_count ? &graph->values[value.id] : NULL;
}

tern_shape tern_shape_of(const tern_graph *graph, tern_value value)
{
    const tern_value_info *info = tern_value_of(graph, value);
    return info ? info->type.shape : (tern_shape){0};
}

tern_dtype tern_dtype_of_value(const tern_graph *graph, tern_value value)
{
    const tern_value_info *info = tern_value_of(graph, value);
    return info ? info->type.dtype : TERN_F32;
}

tern_value tern_find_value(const tern_graph *graph, const char *name)
{
    return (tern_value){graph->named_room ? graph->named[place_of(graph, name)] : 0};
}

tern_value tern_find_output(const tern_graph *graph, const char *name)
{
    for (int i = 0; i < graph->output_count; i++)
        if (strcmp(graph->outputs[i].name, name) == 0) return graph->outputs[i].value;
    return (tern_value){0};
}

int64_t tern_parameter_count(const tern_graph *graph)
{
    int64_t count = 0;
    for (int i = 1; i < graph->value_count; i++)
        if (graph->values[i].kind == TERN_VALUE_PARAM) count += tern_elements(&graph->values[i].type.shape);
    return count;
}

tern_status tern_infer_fail(const tern_infer *types, const char *format, ...)
{
    char message[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return tern_fail(TERN_FAILED, "%s: %s", types->op->name, message);
}

tern_status tern_infer_inputs(const tern_infer *types, int least, int most)
{
    if (types->nin < least || types->nin > most)
        return tern_infer_fail(types, "takes %d to %d inputs, found %d", least, most, types->nin);
    for (int i = 0; i < least; i++)
        if (!types->in[i]) return tern_infer_fail(types, "input %d is missing", i);
    return TERN_OK;
}

tern_status tern_infer_like(const tern_infer *types, int first, int last, tern_shape shape)
{
    char found[96], expected[96];
    for (int i = first; i <= last && i < types->nin; i++) {
        const tern_type *x = types->in[i];
        if (x && tern_elements(&x->shape) != tern_elements(&shape))
            return tern_infer_fail(types, "input %d is %s, expected %s", i, tern_shape_text(found, &x->shape),
                                   tern_shape_text(expected, &shape));
    }
    return TERN_OK;
}

void tern_infer_out(tern_infer *types, tern_dtype dtype, tern_shape shape)
{
    types->out[types->nout++] = (tern_type){.dtype = dtype, .shape = shape};
}

void tern_infer_levels(tern_infer *types, int levels)
{
    if (types->out[types->nout - 1].dtype != TERN_BIT) types->out[types->nout - 1].levels = levels;
}

void tern_work_add(tern_work *total, const tern_work *part)
{
    total->macs += part->macs;
    total->accumulates += part->accumulates;
    total->specials += part->specials;
    total->elementwise += part->elementwise;
}

double tern_call_spread(const tern_call *call)
{
    double least = INFINITY, most = 1;
    for (int i = 0; i < call->nin + call->nout; i++) {
        const tern_tensor *t = i < call->nin ? &call->in[i] : &call->out[i - call->nin];
        double elements = t->shape.rank ? (double)tern_elements(&t->shape) : 0;
        if (elements > 1) least = fmin(least, elements);
        most = fmax(most, elements);
    }
    return isfinite(least) ? most / least : 1;
}
