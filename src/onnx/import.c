/* The graph of an ONNX file, node by node. */
#include "onnx/import.h"

#include <string.h>

enum { COMPUTED = 8192 }; /* more elements are not computed while reading (fold.c keeps 64 KiB) */

/* All values of the graph by name. */
typedef struct importer {
    tern_onnx *model;
    tern_graph *graph;
    tern_arena arena;
    tern_onnx_operand *values;
    int *slots; /* [slot_count] of a hash table: 1 + index of the value; 0: free */
    int count, slot_count;
    tern_onnx_call *call;
} importer;

/* ---- values by name ------------------------------------------------------------------------------------------------ */

static tern_onnx_operand *find(const importer *m, const char *name, int *free_slot)
{
    uint64_t at = tern_hash(name, strlen(name));
    for (int i = 0; i < m->slot_count; i++, at++) {
        int slot = (int)(at % (uint64_t)m->slot_count), value = m->slots[slot];
        if (free_slot) *free_slot = slot;
        if (!value) return NULL;
        if (strcmp(m->values[value - 1].name, name) == 0) return &m->values[value - 1];
    }
    return NULL;
}

static tern_status define(importer *m, const tern_onnx_operand *value)
{
    int slot = 0;
    if (find(m, value->name, &slot))
        return tern_fail(TERN_FAILED, "%s: value \"%.200s\" is made twice", m->model->file.name, value->name);
    m->values[m->count++] = *value;
    m->slots[slot] = m->count;
    return TERN_OK;
}

/* Room for all inputs, initialisers and outputs of nodes. */
static tern_status open_values(importer *m)
{
    const tern_onnx_graph *g = &m->model->file.graph;
    int64_t count = 1 + g->input_count + (int64_t)g->initialiser_count;
    for (int i = 0; i < g->node_count; i++) count += g->nodes[i].output_count;
    m->slot_count = (int)(2 * count);
    m->values = tern_take_array((size_t)count, sizeof *m->values);
    m->slots = tern_take_array((size_t)m->slot_count, sizeof *m->slots);
    m->call = tern_take(sizeof *m->call);
    return m->values && m->slots && m->call
               ? TERN_OK
               : tern_no_memory((size_t)count * sizeof *m->values, "an ONNX graph");
}

static void close_values(importer *m)
{
    tern_release(m->values);
    tern_release(m->slots);
    tern_release(m->call);
    tern_arena_free(&m->arena);
}

/* ---- one node -------------------------------------------------------------------------------------------------------- */

static tern_status take_inputs(importer *m, tern_onnx_call *call, const tern_onnx_row *row)
{
    const tern_onnx_node *node = call->node;
    if (node->input_count > TERN_ONNX_MOST || node->output_count > TERN_ONNX_MOST || node->output_count < 1)
        return tern_onnx_fail(call, "%d inputs and %d outputs, expected at most %d and at least one output",
                              node->input_count, node->output_count, TERN_ONNX_MOST);
    int given = 0;
    for (int i = 0; i < node->input_count; i++) {
        call->in[i] = (tern_onnx_operand){.name = ""};
        if (!*node->inputs[i]) continue;
        const tern_onnx_operand *value = find(m, node->inputs[i], NULL);
        if (!value)
            return tern_onnx_fail(call, "input \"%.100s\" is made by no node before it", node->inputs[i]);
        call->in[i] = *value;
        given = i + 1;
    }
    call->nin = given;
    if (given > row->most)
        return tern_onnx_fail(call, "%d inputs, expected %d to %d", given, row->least, row->most);
    for (int i = 0; i < row->least; i++)
        if (!tern_onnx_has(call, i)) return tern_onnx_fail(call, "input %d is missing", i);
    call->nout = node->output_count;
    for (int i = 0; i < call->nout; i++) call->out[i] = (tern_onnx_operand){.name = ""};
    return TERN_OK;
}

/* Whether all inputs are numbers that are known, few enough to be computed with now. */
static bool computable(const tern_onnx_call *call)
{
    for (int i = 0; i < call->nin; i++) {
        const tern_onnx_operand *x = &call->in[i];
        bool known = x->known || (x->tensor && !tern_onnx_is_parameter(x->tensor));
        if (*x->name && (!known || tern_elements(&x->shape) > COMPUTED)) return false;
    }
    return call->nin > 0;
}

/* The outputs of a scratch graph as numbers; *all false: some could not be computed. */
static tern_status compute_outputs(importer *m, tern_onnx_call *call, bool *all)
{
    tern_graph *folded = NULL;
    char name[16];
    for (int i = 0; i < call->nout; i++) {
        snprintf(name, sizeof name, "%d", i);
        if (call->out[i].value.id) tern_output(call->graph, name, call->out[i].value);
    }
    TERN_TRY(tern_pass_fold(call->graph, &folded));
    tern_status status = TERN_OK;
    for (int i = 0; status == TERN_OK && *all && i < call->nout; i++) {
        tern_onnx_operand *out = &call->out[i];
        if (!out->value.id) continue;
        snprintf(name, sizeof name, "%d", i);
        const tern_value_info *v = tern_value_of(folded, tern_find_output(folded, name));
        *all = v && v->kind == TERN_VALUE_CONSTANT;
        if (!*all) break;
        int64_t n = tern_elements(&v->type.shape);
        double *numbers = tern_arena_take(&m->arena, (size_t)(n + 1) * sizeof *numbers);
        if (!numbers) status = tern_no_memory((size_t)n * sizeof *numbers, "an ONNX graph");
        tern_tensor content = {v->type.dtype, v->type.shape, (void *)(uintptr_t)v->content};
        for (int64_t e = 0; numbers && e < n; e++) numbers[e] = tern_get(&content, e);
        out->known = numbers;
        out->value = (tern_value){0};
    }
    tern_graph_close(folded);
    return status;
}

/* A node over known numbers, computed in a graph of its own. */
static tern_status compute(importer *m, tern_onnx_call *call, const tern_onnx_row *row, bool *done)
{
    tern_value values[TERN_ONNX_MOST];
    *done = false;
    if (!computable(call)) return TERN_OK;
    *done = true;
    TERN_TRY(tern_graph_open(&call->graph, NULL));
    for (int i = 0; i < call->nin; i++) {
        values[i] = call->in[i].value; /* of the net's graph */
        call->in[i].value = (tern_value){0};
    }
    call->computing = true;
    tern_status status = row->function(call);
    if (status == TERN_OK) status = tern_graph_status(call->graph);
    if (status == TERN_OK) status = compute_outputs(m, call, done);
    tern_graph_close(call->graph);
    call->graph = m->graph;
    call->computing = false;
    for (int i = 0; !*done && i < call->nout; i++) call->out[i] = (tern_onnx_operand){.name = ""};
    for (int i = 0; i < call->nin; i++) call->in[i].value = values[i];
    return status;
}

/* Initialisers that have become parameters are remembered as such. */
static void keep_values(importer *m, const tern_onnx_call *call)
{
    for (int i = 0; i < call->nin; i++) {
        tern_onnx_operand *value = *call->in[i].name ? find(m, call->in[i].name, NULL) : NULL;
        if (!value) continue;
        value->value = call->in[i].value;
        value->known = call->in[i].known;
    }
}

/* The label of a node's layer, which stands in comments of what is emitted: no "*", nothing unprintable. */
static void name_layer(importer *m, const tern_onnx_node *node)
{
    char label[128];
    snprintf(label, sizeof label, "%s", node->name);
    for (char *p = label; *p; p++)
        if (*p == '*' || *p < ' ' || *p == '|') *p = '_';
    tern_layer(m->graph, node->op, *label ? label : NULL);
}

static tern_status add_node(importer *m, const tern_onnx_node *node)
{
    tern_onnx_call *call = m->call;
    const tern_onnx_row *row = tern_onnx_find_operator(node->op);
    *call = (tern_onnx_call){.model = m->model,
                             .graph = m->graph,
                             .arena = &m->arena,
                             .node = node,
                             .opset = m->model->file.opset};
    if (!row) return tern_onnx_fail(call, "Tern has not this operator");
    TERN_TRY(take_inputs(m, call, row));
    bool done;
    TERN_TRY(compute(m, call, row, &done));
    if (!done) {
        name_layer(m, node);
        TERN_TRY(row->function(call));
        tern_status status = tern_graph_status(m->graph);
        if (status != TERN_OK) return tern_onnx_fail(call, "%s", tern_message());
    }
    keep_values(m, call);
    for (int i = 0; i < call->nout; i++) {
        tern_onnx_operand *out = &call->out[i];
        if (!*node->outputs[i]) continue;
        if (!out->value.id && !out->known && !out->tensor)
            continue; /* an output that Tern has not: an error where it is read */
        out->name = node->outputs[i];
        TERN_TRY(define(m, out));
    }
    return TERN_OK;
}

/* ---- the whole graph -------------------------------------------------------------------------------------------------- */

static tern_status define_initialisers(importer *m)
{
    const tern_onnx_graph *g = &m->model->file.graph;
    for (int i = 0; i < g->initialiser_count; i++) {
        const tern_onnx_tensor *t = &g->initialisers[i];
        TERN_TRY(define(
            m, &(tern_onnx_operand){.name = t->name, .type = t->type, .shape = t->shape, .tensor = t}));
    }
    return TERN_OK;
}

/* An output must have the shape that the file says, but for the batch. */
static tern_status check_output(const importer *m, const tern_onnx_value_info *said, const tern_shape *found)
{
    bool same = !said->has_shape || said->shape.rank == found->rank;
    for (int d = 1; same && said->has_shape && d < found->rank; d++)
        same = said->shape.dim[d] < 0 || said->shape.dim[d] == found->dim[d];
    char a[96], b[96];
    if (same) return TERN_OK;
    return tern_fail(TERN_FAILED, "%s: output \"%.100s\" is %s, the file says %s (-1: any)",
                     m->model->file.name, said->name, tern_shape_text(a, found),
                     tern_shape_text(b, &said->shape));
}

/* The first output as the result, the others as outputs of the graph. */
static tern_status take_outputs(importer *m, tern_value *result)
{
    const tern_onnx_graph *g = &m->model->file.graph;
    for (int i = 0; i < g->output_count; i++) {
        const char *name = g->outputs[i].name;
        const tern_onnx_operand *value = find(m, name, NULL);
        if (!value)
            return tern_fail(TERN_FAILED, "%s: output \"%.200s\" is made by no node", m->model->file.name,
                             name);
        *m->call = (tern_onnx_call){
            .model = m->model, .graph = m->graph, .arena = &m->arena, .nin = 1, .in = {*value}};
        TERN_TRY(check_output(m, &g->outputs[i], &value->shape));
        tern_value v = tern_onnx_in(m->call, 0);
        if (i == 0)
            *result = v;
        else
            tern_output(m->graph, name, v);
    }
    return tern_graph_status(m->graph);
}

static tern_status build(importer *m, tern_value image, tern_value *result)
{
    const tern_onnx_graph *g = &m->model->file.graph;
    const tern_onnx_value_info *input = &g->inputs[m->model->input];
    TERN_TRY(open_values(m));
    TERN_TRY(define_initialisers(m));
    TERN_TRY(define(m, &(tern_onnx_operand){.name = input->name,
                                            .type = input->type,
                                            .shape = tern_shape_of(m->graph, image),
                                            .value = image}));
    for (int i = 0; i < g->node_count; i++) TERN_TRY(add_node(m, &g->nodes[i]));
    return take_outputs(m, result);
}

tern_value tern_onnx_build(tern_onnx *model, tern_graph *graph, tern_value image)
{
    importer m = {.model = model, .graph = graph};
    tern_value result = {0};
    if (graph->status != TERN_OK) return result;
    tern_status status = build(&m, image, &result);
    close_values(&m);
    return status == TERN_OK ? result : tern_graph_keep(graph, status);
}
