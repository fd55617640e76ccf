/* A TFLite file as a net: opened, checked, given to commands as one of the zoo is. */
#include "tflite/import.h"

#include <stdlib.h>
#include <string.h>

const tern_tflite_row *tern_tflite_find_operator(int code)
{
    const tern_tflite_row *const families[] = {tern_tflite_product_rows, tern_tflite_element_rows,
                                               tern_tflite_image_rows, tern_tflite_place_rows,
                                               tern_tflite_recurrent_rows};
    for (size_t f = 0; f < TERN_COUNT(families); f++)
        for (const tern_tflite_row *row = families[f]; row->name; row++)
            if (row->code == code) return row;
    return NULL;
}

tern_status tern_tflite_check_operators(const tern_tflite *m)
{
    enum { CUSTOM = 32 };
    tern_text missing = {0};
    int kinds = 0;
    for (int i = 0; i < m->operator_count && kinds < 8; i++) {
        const tern_tflite_operator *op = &m->operators[i];
        bool before = false;
        for (int k = 0; k < i && !before; k++) before = m->operators[k].code == op->code;
        if (tern_tflite_find_operator(op->code) || (before && op->code != CUSTOM)) continue;
        kinds++;
        if (op->code == CUSTOM)
            tern_text_format(&missing, "%s%.60s (the user's own)", missing.size ? ", " : "", op->custom);
        else
            tern_text_format(&missing, "%s%d (first at %d)", missing.size ? ", " : "", op->code, i);
    }
    tern_status status = tern_text_status(&missing);
    if (status == TERN_OK && missing.size)
        status = tern_fail(TERN_FAILED, "%s: operators that Tern has not, by their numbers in the schema: %s",
                           m->flat.file, missing.data);
    tern_text_free(&missing);
    return status;
}

/* ---- the net --------------------------------------------------------------------------------------------------------- */

static tern_value build_net(tern_graph *graph, const void *parameters, tern_value image)
{
    const tern_tflite_parameters_struct *p = parameters;
    return tern_tflite_build(p->model, graph, image);
}

static tern_status find_sample(tern_tflite *m)
{
    const tern_tflite_tensor *t = &m->tensors[m->input];
    char text[96];
    bool whole = t->type == TERN_TFLITE_I8 || t->type == TERN_TFLITE_I16;
    bool known = t->shape.rank >= 2 && (t->type == TERN_TFLITE_F32 || (whole && t->scale > 0));
    for (int d = 0; known && d < t->shape.rank; d++) known = t->shape.dim[d] > 0;
    if (!known)
        return tern_fail(
            TERN_FAILED,
            "%s: input \"%.100s\" is %s of type %d, expected [batch,..] of floats (0), or of bytes (9) or 16 "
            "bits (7) with a scale",
            m->flat.file, t->name, tern_shape_text(text, &t->shape), t->type);
    m->net.sample.rank = t->shape.rank - 1;
    for (int d = 1; d < t->shape.rank; d++) m->net.sample.dim[d - 1] = t->shape.dim[d];
    return TERN_OK;
}

/* "nets/my-net.tflite" is called my-net. */
static void name_net(tern_tflite *m)
{
    static const tern_option none[] = {{0}};
    const char *slash = strrchr(m->flat.file, '/'), *base = slash ? slash + 1 : m->flat.file;
    snprintf(m->name, sizeof m->name, "%s", base);
    char *dot = strrchr(m->name, '.');
    if (dot && dot != m->name) *dot = 0;
    snprintf(m->doc, sizeof m->doc, "TFLite file%s%.60s, %d operators", *m->description ? ": " : "",
             m->description, m->operator_count);
    m->net.name = m->name;
    m->net.doc = m->doc;
    m->net.size = sizeof(tern_tflite_parameters_struct);
    m->net.options = none;
    m->net.build = build_net;
}

static tern_status read_model(tern_tflite *m, const void *bytes, size_t count, const char *name)
{
    const char *copy = tern_arena_string(&m->arena, name);
    if (!copy) return tern_no_memory(strlen(name), "a TFLite file");
    m->flat = (tern_flat){.bytes = bytes, .count = count, .file = copy};
    TERN_TRY(tern_tflite_read(m));
    TERN_TRY(tern_tflite_check_operators(m));
    name_net(m);
    return find_sample(m);
}

static tern_status finish(tern_tflite **model, tern_tflite *m, tern_status status)
{
    if (status == TERN_OK)
        *model = m;
    else
        tern_tflite_close(m);
    return status;
}

tern_status tern_tflite_parse(tern_tflite **model, const void *bytes, size_t count, const char *name)
{
    tern_tflite *m = tern_take(sizeof *m);
    if (!m) return tern_no_memory(sizeof *m, "a TFLite file");
    return finish(model, m, read_model(m, bytes, count, name));
}

tern_status tern_tflite_open(tern_tflite **model, const char *path)
{
    tern_tflite *m = tern_take(sizeof *m);
    if (!m) return tern_no_memory(sizeof *m, "a TFLite file");
    tern_status status = tern_map_file(path, &m->map, &m->map_count);
    m->mapped = status == TERN_OK;
    if (m->mapped) status = read_model(m, m->map, m->map_count, path);
    return finish(model, m, status);
}

void tern_tflite_close(tern_tflite *m)
{
    if (!m) return;
    for (int i = 0; i < m->copy_count; i++) tern_tensor_free(&m->copies[i]);
    if (m->mapped) tern_unmap_file(m->map, m->map_count);
    tern_release(m->copies);
    tern_release(m->parameters);
    tern_arena_free(&m->arena);
    tern_release(m);
}

const tern_net *tern_tflite_net(const tern_tflite *model)
{
    return &model->net;
}

tern_status tern_tflite_parameters(tern_tflite *model, void **parameters)
{
    TERN_TRY(tern_net_parameters(&model->net, parameters));
    ((tern_tflite_parameters_struct *)*parameters)->model = model;
    return TERN_OK;
}

/* The bytes, or 16 bits, that the input is, or becomes at once and for all that read it; NULL: it is floats. */
static const tern_tflite_tensor *bytes_of_input(const tern_tflite *m)
{
    enum { QUANTISE = 114 };
    const tern_tflite_tensor *input = &m->tensors[m->input], *bytes = NULL;
    int readers = 0;
    if (input->type != TERN_TFLITE_F32) return input;
    for (int i = 0; i < m->operator_count; i++) {
        const tern_tflite_operator *op = &m->operators[i];
        for (int k = 0; k < op->input_count; k++) {
            if (op->inputs[k] != m->input) continue;
            readers++;
            bool quantised = op->code == QUANTISE && op->output_count == 1 && op->outputs[0] >= 0;
            bytes = quantised ? &m->tensors[op->outputs[0]] : NULL;
        }
    }
    return readers == 1 ? bytes : NULL;
}

tern_tflite_about tern_tflite_about_of(const tern_tflite *m)
{
    const tern_tflite_tensor *input = &m->tensors[m->input], *bytes = bytes_of_input(m);
    return (tern_tflite_about){.version = m->version,
                               .description = m->description,
                               .input = input->name,
                               .operators = m->operator_count,
                               .tensors = m->tensor_count,
                               .outputs = m->output_count,
                               .scale = bytes ? bytes->scale : 0,
                               .zero = bytes ? bytes->zero : 0,
                               .wide = bytes && bytes->type == TERN_TFLITE_I16};
}

const char *tern_tflite_output_name(const tern_tflite *m, int index)
{
    return m->tensors[m->outputs[index]].name;
}

const char *tern_tflite_output_of(const tern_tflite *m, int index)
{
    (void)m;
    static _Thread_local char name[24];
    snprintf(name, sizeof name, "output%d", index);
    return index == 0 ? "logits" : name;
}
