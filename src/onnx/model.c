/* An ONNX file as a net: opened, checked, given to commands as one of the zoo is. */
#include "onnx/model.h"

#include "onnx/import.h"

#include <stdlib.h>
#include <string.h>

/* ---- operators --------------------------------------------------------------------------------------------------- */

const tern_onnx_row *tern_onnx_find_operator(const char *op)
{
    const tern_onnx_row *const families[] = {tern_onnx_element_rows, tern_onnx_image_rows,
                                             tern_onnx_place_rows, tern_onnx_product_rows};
    for (size_t f = 0; f < TERN_COUNT(families); f++)
        for (const tern_onnx_row *row = families[f]; row->op; row++)
            if (strcmp(row->op, op) == 0) return row;
    return NULL;
}

const tern_onnx_tensor *tern_onnx_constant_of(const tern_onnx_node *node)
{
    if (strcmp(node->op, "Constant") != 0 || node->output_count < 1) return NULL;
    for (int i = 0; i < node->attribute_count; i++)
        if (strcmp(node->attributes[i].name, "value") == 0) return node->attributes[i].tensor;
    return NULL;
}

static bool has_operator(const tern_onnx_node *node)
{
    bool standard = !*node->domain || strcmp(node->domain, "ai.onnx") == 0;
    for (int i = 0; i < node->attribute_count; i++)
        if (node->attributes[i].has_graph) return false;
    return standard && tern_onnx_find_operator(node->op);
}

/* Whether the operator was named at an earlier node. */
static bool named_before(const tern_onnx_graph *g, int node)
{
    for (int i = 0; i < node; i++)
        if (!has_operator(&g->nodes[i]) && strcmp(g->nodes[i].op, g->nodes[node].op) == 0) return true;
    return false;
}

tern_status tern_onnx_check_operators(const tern_onnx *m)
{
    const tern_onnx_graph *g = &m->file.graph;
    tern_text missing = {0};
    int kinds = 0;
    for (int i = 0; i < g->node_count && kinds < 8; i++) {
        const tern_onnx_node *n = &g->nodes[i];
        if (has_operator(n) || named_before(g, i)) continue;
        kinds++;
        tern_text_format(&missing, "%s%.40s%s%.40s (first at \"%.80s\")", missing.size ? ", " : "", n->domain,
                         *n->domain ? "." : "", n->op,
                         *n->name          ? n->name
                         : n->output_count ? n->outputs[0]
                                           : "");
    }
    tern_status status = tern_text_status(&missing);
    if (status == TERN_OK && missing.size)
        status = tern_fail(TERN_FAILED, "%s: operators that Tern has not: %s", m->file.name, missing.data);
    tern_text_free(&missing);
    return status;
}

/* ---- the net -------------------------------------------------------------------------------------------------------- */

static tern_value build_net(tern_graph *graph, const void *parameters, tern_value image)
{
    const tern_onnx_parameters_struct *p = parameters;
    return tern_onnx_build(p->model, graph, image);
}

/* The one input that no initialiser stands for. */
static tern_status find_input(tern_onnx *m)
{
    const tern_onnx_graph *g = &m->file.graph;
    tern_text names = {0};
    int count = 0;
    for (int i = 0; i < g->input_count; i++) {
        bool initialised = false;
        for (int k = 0; k < g->initialiser_count && !initialised; k++)
            initialised = strcmp(g->initialisers[k].name, g->inputs[i].name) == 0;
        if (initialised) continue;
        m->input = i;
        if (count++ < 8) tern_text_format(&names, "%s%.60s", names.size ? ", " : "", g->inputs[i].name);
    }
    tern_status status = tern_text_status(&names);
    if (status == TERN_OK && (count != 1 || g->output_count < 1))
        status = tern_fail(TERN_FAILED,
                           "%s: %d inputs (%s) and %d outputs, expected one input and at least one output",
                           m->file.name, count, names.data ? names.data : "none", g->output_count);
    tern_text_free(&names);
    return status;
}

/* The shape of a sample: what the file says behind the batch; what it leaves open is 0, for the caller to fill. */
static tern_status find_sample(tern_onnx *m)
{
    const tern_onnx_value_info *input = &m->file.graph.inputs[m->input];
    const tern_shape *s = &input->shape;
    char text[96];
    if (!input->has_shape || s->rank < 2 || s->rank > TERN_MAX_RANK)
        return tern_fail(TERN_FAILED, "%s: input \"%.100s\" is %s, expected [batch,..]", m->file.name,
                         input->name,
                         input->has_shape ? tern_shape_text(text, s) : "of no shape that the file says");
    m->net.sample.rank = s->rank - 1;
    for (int d = 1; d < s->rank; d++) m->net.sample.dim[d - 1] = s->dim[d] < 0 ? 0 : s->dim[d];
    return tern_shape_check(&m->net.sample, "the input");
}

static tern_status check_version(const tern_onnx *m)
{
    if (m->file.opset >= 11 && m->file.opset <= 21) return TERN_OK;
    return tern_fail(TERN_FAILED,
                     "%s: operator set %lld, Tern reads 11 to 21; export the net with one of those",
                     m->file.name, (long long)m->file.opset);
}

/* "nets/my-net.onnx" is called my-net. */
static void name_net(tern_onnx *m)
{
    static const tern_option none[] = {{0}};
    const char *slash = strrchr(m->file.name, '/'), *base = slash ? slash + 1 : m->file.name;
    snprintf(m->name, sizeof m->name, "%s", base);
    char *dot = strrchr(m->name, '.');
    if (dot && dot != m->name) *dot = 0;
    snprintf(m->doc, sizeof m->doc, "ONNX file of operator set %lld%s%.60s, %d nodes",
             (long long)m->file.opset, *m->file.producer ? " by " : "", m->file.producer,
             m->file.graph.node_count);
    m->net.name = m->name;
    m->net.doc = m->doc;
    m->net.size = sizeof(tern_onnx_parameters_struct);
    m->net.options = none;
    m->net.build = build_net;
}

static tern_status read_model(tern_onnx *m, const char *name)
{
    const char *copy = tern_arena_string(&m->arena, name);
    if (!copy) return tern_no_memory(strlen(name), "an ONNX file");
    TERN_TRY(tern_onnx_read(&m->arena, m->bytes, m->count, copy, &m->file));
    TERN_TRY(check_version(m));
    TERN_TRY(tern_onnx_check_operators(m));
    TERN_TRY(find_input(m));
    name_net(m);
    return find_sample(m);
}

tern_status tern_onnx_parse(tern_onnx **model, const void *bytes, size_t count, const char *name)
{
    tern_onnx *m = tern_take(sizeof *m);
    if (!m) return tern_no_memory(sizeof *m, "an ONNX file");
    m->bytes = bytes;
    m->count = count;
    tern_status status = read_model(m, name);
    if (status == TERN_OK)
        *model = m;
    else
        tern_onnx_close(m);
    return status;
}

static tern_status open_file(tern_onnx *m, const char *path)
{
    const char *slash = strrchr(path, '/');
    TERN_TRY(tern_map_file(path, &m->bytes, &m->count));
    m->mapped = true;
    m->folder = tern_arena_string(&m->arena, slash ? path : ".");
    if (!m->folder) return tern_no_memory(strlen(path), "an ONNX file");
    if (slash) m->folder[slash - path] = 0;
    return read_model(m, path);
}

tern_status tern_onnx_open(tern_onnx **model, const char *path)
{
    tern_onnx *m = tern_take(sizeof *m);
    if (!m) return tern_no_memory(sizeof *m, "an ONNX file");
    tern_status status = open_file(m, path);
    if (status == TERN_OK)
        *model = m;
    else
        tern_onnx_close(m);
    return status;
}

void tern_onnx_close(tern_onnx *m)
{
    if (!m) return;
    for (int i = 0; i < m->copy_count; i++) tern_tensor_free(&m->copies[i]);
    for (int i = 0; i < m->map_count; i++) tern_unmap_file(m->maps[i].bytes, m->maps[i].count);
    if (m->mapped) tern_unmap_file(m->bytes, m->count);
    tern_release(m->copies);
    tern_release(m->maps);
    tern_arena_free(&m->arena);
    tern_release(m);
}

const tern_net *tern_onnx_net(const tern_onnx *model)
{
    return &model->net;
}

tern_status tern_onnx_parameters(tern_onnx *model, void **parameters)
{
    TERN_TRY(tern_net_parameters(&model->net, parameters));
    ((tern_onnx_parameters_struct *)*parameters)->model = model;
    return TERN_OK;
}

tern_onnx_about tern_onnx_about_of(const tern_onnx *m)
{
    const tern_onnx_graph *g = &m->file.graph;
    return (tern_onnx_about){.ir_version = m->file.ir_version,
                             .opset = m->file.opset,
                             .producer = m->file.producer,
                             .input = g->inputs[m->input].name,
                             .nodes = g->node_count,
                             .initialisers = g->initialiser_count,
                             .outputs = g->output_count};
}

const char *tern_onnx_output_name(const tern_onnx *m, int index)
{
    return m->file.graph.outputs[index].name;
}
