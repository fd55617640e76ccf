/* TFLite files that learn: the form for it, and the file with what was learned. */
#include "tflite/import.h"

#include <string.h>

enum { DEPTHWISE = 4, CONVOLUTION = 3, DEQUANTISE = 6, LINEAR = 9, SOFTMAX = 25 };

/* ---- the form that learns ------------------------------------------------------------------------------------------------ */

/* The operator that makes a tensor of one that is there; -1: none. */
static int maker_of(const tern_tflite *m, int tensor)
{
    for (int i = 0; i < m->operator_count; i++)
        for (int k = 0; k < m->operators[i].output_count; k++)
            if (tensor >= 0 && m->operators[i].outputs[k] == tensor)
                return m->operators[i].input_count > 0 && m->operators[i].inputs[0] >= 0 ? i : -1;
    return -1;
}

static void drop(tern_tflite *m, int at)
{
    memmove(m->operators + at, m->operators + at + 1,
            (size_t)(m->operator_count - at - 1) * sizeof *m->operators);
    m->operator_count--;
}

/* The output becomes what goes into the softmax behind it, which may be followed by floats. */
static tern_status leave_softmax_out(tern_tflite *m)
{
    int last = maker_of(m, m->outputs[0]), before = -1;
    if (last >= 0 && m->operators[last].code == DEQUANTISE)
        before = maker_of(m, m->operators[last].inputs[0]);
    int softmax = before >= 0 && m->operators[before].code == SOFTMAX ? before : last;
    if (softmax < 0 || m->operators[softmax].code != SOFTMAX) return TERN_OK;
    m->outputs[0] = m->operators[softmax].inputs[0];
    m->beta = tern_flat_real(&m->operators[softmax].options, 0, 0);
    if (!(m->beta > 0) || (m->beta != 1 && m->tensors[m->outputs[0]].type != TERN_TFLITE_I8))
        return tern_fail(TERN_USAGE,
                         "%s: the softmax of the output has beta %g, expected one above 0, of floats 1",
                         m->flat.file, m->beta);
    drop(m, softmax);
    if (softmax != last) drop(m, last > softmax ? last - 1 : last);
    return TERN_OK;
}

static bool is_product(const tern_tflite_operator *op)
{
    return op->code == CONVOLUTION || op->code == DEPTHWISE || op->code == LINEAR;
}

/* Each weight and each bias of bytes is one layer's own. */
static tern_status check_own(const tern_tflite *m, int layer, int tensor)
{
    size_t at = m->tensors[tensor].bytes.at;
    for (int i = layer + 1; i < m->operator_count; i++) {
        const tern_tflite_operator *other = &m->operators[i];
        for (int k = 1; is_product(other) && k < other->input_count; k++)
            if (other->inputs[k] >= 0 && m->tensors[other->inputs[k]].bytes.count &&
                m->tensors[other->inputs[k]].bytes.at == at)
                return tern_fail(TERN_USAGE,
                                 "%s: operators %d and %d share the contents of \"%.100s\": what one learns, "
                                 "the other would have, too",
                                 m->flat.file, layer, i, m->tensors[tensor].name);
    }
    return TERN_OK;
}

static tern_status check_layers(const tern_tflite *m)
{
    for (int i = 0; i < m->operator_count; i++) {
        const tern_tflite_operator *op = &m->operators[i];
        if (!is_product(op) || op->input_count < 2 || op->inputs[0] < 0 || op->inputs[1] < 0 ||
            m->tensors[op->inputs[0]].type != TERN_TFLITE_I8)
            continue;
        if (op->input_count < 3 || op->inputs[2] < 0)
            return tern_fail(TERN_USAGE,
                             "%s: operator %d has no bias that could be learned: give the layer one and "
                             "convert again",
                             m->flat.file, i);
        TERN_TRY(check_own(m, i, op->inputs[1]));
        TERN_TRY(check_own(m, i, op->inputs[2]));
    }
    return TERN_OK;
}

tern_status tern_tflite_learn(tern_tflite *m)
{
    if (m->net.bytes) return TERN_OK;
    if (m->output_count != 1)
        return tern_fail(TERN_USAGE, "%s: %d outputs; a net that learns has one, scores of classes",
                         m->flat.file, m->output_count);
    if (!(tern_tflite_about_of(m).scale > 0))
        return tern_fail(TERN_USAGE,
                         "%s: the input does not become bytes: learning takes files of bytes (full integer "
                         "quantisation)",
                         m->flat.file);
    TERN_TRY(leave_softmax_out(m));
    TERN_TRY(check_layers(m));
    tern_shape *s = &m->net.sample;
    m->net.bytes = true;
    m->image_first = s->rank == 3;
    if (m->image_first) *s = TERN_SHAPE(s->dim[2], s->dim[0], s->dim[1]);
    return TERN_OK;
}

/* ---- the file with what was learned ---------------------------------------------------------------------------------------- */

static const tern_tensor *stored(const tern_store *store, const char *name)
{
    int index = tern_store_find(store, name);
    return index < 0 ? NULL : &store->tensors[index];
}

static void put_weight(const tern_tflite *m, const tern_tflite_parameter *p, const tern_tensor *w,
                       uint8_t *file)
{
    uint8_t *to = file + m->tensors[p->tensor].bytes.at;
    for (int64_t i = 0; i < tern_elements(&p->shape); i++)
        to[tern_tflite_source_of(p, i)] = ((const uint8_t *)w->data)[i];
}

/* What the zero of the input adds is put back: it was taken off of the bias (TERN_TFLITE_BIAS). */
static void put_bias(const tern_tflite *m, const tern_tflite_parameter *p, const tern_tensor *b,
                     const tern_tensor *w, uint8_t *file)
{
    uint8_t *to = file + m->tensors[p->bias].bytes.at;
    int64_t outputs = tern_elements(&p->shape), row = tern_elements(&w->shape) / outputs;
    for (int64_t o = 0; o < outputs; o++) {
        uint32_t sum = 0, bias = (uint32_t)((const int32_t *)b->data)[o];
        for (int64_t k = 0; k < row; k++) sum += (uint32_t)(int32_t)((const int8_t *)w->data)[o * row + k];
        bias += (uint32_t)p->zero * sum;
        for (int k = 0; k < 4; k++) to[4 * o + k] = (uint8_t)(bias >> 8 * k);
    }
}

/* Weights and biases of products; `name` is that of a parameter "<layer>.bias". */
static tern_status put(const tern_tflite *m, const tern_store *store, const tern_tflite_parameter *p,
                       uint8_t *file)
{
    const char *dot = strrchr(p->name, '.');
    char name[160];
    if (p->kind != TERN_TFLITE_BIAS || p->bias < 0 || !dot) return TERN_OK;
    snprintf(name, sizeof name, "%.*s.weight", (int)(dot - p->name), p->name);
    const tern_tensor *b = stored(store, p->name), *w = stored(store, name);
    const tern_tflite_parameter *weight = NULL;
    for (int i = 0; i < m->parameter_count; i++)
        if (strcmp(m->parameters[i].name, name) == 0) weight = &m->parameters[i];
    if (!weight || !b || !w || !tern_shape_equal(&b->shape, &p->shape) ||
        !tern_shape_equal(&w->shape, &weight->shape))
        return tern_fail(TERN_FAILED, "%s: the parameters to be written have no %s and %s of its shapes",
                         m->flat.file, p->name, name);
    put_weight(m, weight, w, file);
    put_bias(m, p, b, w, file);
    return TERN_OK;
}

tern_status tern_tflite_write(const tern_tflite *m, const tern_store *store, const char *path)
{
    uint8_t *file = tern_take(m->flat.count);
    tern_status status = TERN_OK;
    if (!file) return tern_no_memory(m->flat.count, "a TFLite file");
    memcpy(file, m->flat.bytes, m->flat.count);
    for (int i = 0; i < m->parameter_count && status == TERN_OK; i++)
        status = put(m, store, &m->parameters[i], file);
    if (status == TERN_OK) status = tern_write_file(path, file, m->flat.count);
    tern_release(file);
    return status;
}
