/* The tables of a TFLite file as plain structs: what inference needs of the schema (tensorflow/lite/schema, version 3).  Numbers
 * of fields are those of the schema. */
#include "tflite/import.h"

#include <string.h>

static size_t size_of(int type)
{
    switch (type) {
    case TERN_TFLITE_F32:
    case TERN_TFLITE_I32:
        return 4;
    case TERN_TFLITE_I64:
        return 8;
    case TERN_TFLITE_I16:
        return 2;
    default:
        return 1;
    }
}

double tern_tflite_number(const tern_tflite_tensor *t, int64_t i)
{
    tern_flat_vector v = t->bytes;
    v.size = size_of(t->type);
    return t->type == TERN_TFLITE_F32 ? tern_flat_real_at(&v, (size_t)i)
                                      : (double)tern_flat_int_at(&v, (size_t)i);
}

double tern_tflite_scale_at(const tern_tflite_tensor *t, int64_t i)
{
    return t->scales.count > 1 ? tern_flat_real_at(&t->scales, (size_t)i) : t->scale;
}

static void *take(tern_tflite *m, size_t count, size_t size)
{
    void *memory = tern_arena_take(&m->arena, (count + 1) * size);
    if (!memory) tern_no_memory(count * size, "a TFLite file");
    return memory;
}

/* ---- tensors --------------------------------------------------------------------------------------------------------- */

static tern_status read_shape(const tern_tflite *m, const tern_flat_table *table, tern_tflite_tensor *t)
{
    tern_flat_vector dims = tern_flat_list(table, 0, 4);
    char what[128];
    if (dims.count > TERN_MAX_RANK)
        return tern_fail(TERN_FAILED, "%s: tensor \"%.100s\" has %zu axes, expected at most %d", m->flat.file,
                         t->name, dims.count, TERN_MAX_RANK);
    t->shape.rank = (int)dims.count;
    for (int d = 0; d < t->shape.rank; d++) t->shape.dim[d] = tern_flat_int_at(&dims, (size_t)d);
    snprintf(what, sizeof what, "tensor \"%.100s\"", t->name);
    return tern_shape_check(&t->shape, what);
}

static tern_status read_scales(const tern_tflite *m, const tern_flat_table *table, tern_tflite_tensor *t)
{
    tern_flat_table q = tern_flat_child(table, 4);
    t->scales = tern_flat_list(&q, 2, 4);
    t->zeros = tern_flat_list(&q, 3, 8);
    t->axis = (int)tern_flat_int(&q, 6, 4, 0);
    for (size_t i = 0; i < t->scales.count; i++) {
        double scale = tern_flat_real_at(&t->scales, i);
        if (!(scale > 0 && scale < 1e30))
            return tern_fail(TERN_FAILED, "%s: tensor \"%.100s\" has scale %g, expected one above 0",
                             m->flat.file, t->name, scale);
    }
    if (t->scales.count) t->scale = tern_flat_real_at(&t->scales, 0);
    if (t->zeros.count) {
        int64_t zero = tern_flat_int_at(&t->zeros, 0);
        int least = t->type == TERN_TFLITE_I8 ? INT8_MIN : -32768,
            most = t->type == TERN_TFLITE_I8 ? INT8_MAX : 65535;
        if (zero < least || zero > most)
            return tern_fail(TERN_FAILED, "%s: tensor \"%.100s\" has zero %lld, expected %d to %d",
                             m->flat.file, t->name, (long long)zero, least, most);
        t->zero = (int)zero;
    }
    if (t->type == TERN_TFLITE_I16 && t->zero != 0)
        return tern_fail(TERN_FAILED, "%s: tensor \"%.100s\" of 16 bits has zero %d, expected 0",
                         m->flat.file, t->name, t->zero);
    return TERN_OK;
}

static tern_status read_tensor(tern_tflite *m, const tern_flat_table *table, const tern_flat_vector *buffers,
                               tern_tflite_tensor *t)
{
    t->name = tern_flat_text(table, 3);
    t->type = (int)tern_flat_int(table, 1, 1, 0);
    t->variable = tern_flat_int(table, 5, 1, 0) != 0;
    TERN_TRY(read_shape(m, table, t));
    TERN_TRY(read_scales(m, table, t));
    int64_t buffer = tern_flat_int(table, 2, 4, 0);
    if (buffer < 0 || (size_t)buffer >= buffers->count)
        return tern_fail(TERN_FAILED, "%s: tensor \"%.100s\" is in buffer %lld of %zu", m->flat.file, t->name,
                         (long long)buffer, buffers->count);
    tern_flat_table content = tern_flat_table_at(buffers, (size_t)buffer);
    t->bytes = tern_flat_list(&content, 0, 1);
    if (tern_flat_int(&content, 1, 8, 0) > 1)
        return tern_fail(TERN_FAILED,
                         "%s: tensor \"%.100s\" lies behind the tables, as in files above 2 GiB: not read",
                         m->flat.file, t->name);
    uint64_t expected = (uint64_t)tern_elements(&t->shape) * size_of(t->type);
    char shape[96];
    if (!t->bytes.count || t->bytes.count == expected) return tern_flat_status(&m->flat);
    return tern_fail(TERN_FAILED, "%s: tensor \"%.100s\" %s has %zu bytes, expected %llu", m->flat.file,
                     t->name, tern_shape_text(shape, &t->shape), t->bytes.count,
                     (unsigned long long)expected);
}

/* ---- operators ------------------------------------------------------------------------------------------------------- */

/* Numbers of tensors, each -1 or known. */
static tern_status read_numbers(tern_tflite *m, const tern_flat_table *table, int field, const char *what,
                                int **numbers, int *count)
{
    tern_flat_vector v = tern_flat_list(table, field, 4);
    if (v.count > TERN_TFLITE_MOST)
        return tern_fail(TERN_FAILED, "%s: %zu %s, expected at most %d", m->flat.file, v.count, what,
                         TERN_TFLITE_MOST);
    *count = (int)v.count;
    *numbers = take(m, v.count, sizeof **numbers);
    if (!*numbers) return TERN_NO_MEMORY;
    for (size_t i = 0; i < v.count; i++) {
        int64_t tensor = tern_flat_int_at(&v, i);
        if (tensor < -1 || tensor >= m->tensor_count)
            return tern_fail(TERN_FAILED, "%s: tensor %lld of %d among %s", m->flat.file, (long long)tensor,
                             m->tensor_count, what);
        (*numbers)[i] = (int)tensor;
    }
    return TERN_OK;
}

static tern_status read_operator(tern_tflite *m, const tern_flat_table *table, const tern_flat_vector *codes,
                                 tern_tflite_operator *op)
{
    int64_t index = tern_flat_int(table, 0, 4, 0);
    if (index < 0 || (size_t)index >= codes->count)
        return tern_fail(TERN_FAILED, "%s: an operator of kind %lld of %zu", m->flat.file, (long long)index,
                         codes->count);
    tern_flat_table code = tern_flat_table_at(codes, (size_t)index);
    int64_t old = tern_flat_int(&code, 0, 1, 0), new = tern_flat_int(&code, 3, 4, 0);
    op->code = (int)(new > old ? new : old);
    op->custom = tern_flat_text(&code, 1);
    op->version = (int)tern_flat_int(&code, 2, 4, 1);
    op->options = tern_flat_child(table, 4);
    op->intermediates = tern_flat_list(table, 8, 4);
    TERN_TRY(read_numbers(m, table, 1, "inputs of an operator", &op->inputs, &op->input_count));
    return read_numbers(m, table, 2, "outputs of an operator", &op->outputs, &op->output_count);
}

/* ---- the whole file -------------------------------------------------------------------------------------------------- */

static tern_status read_graph(tern_tflite *m, const tern_flat_table *model, const tern_flat_table *graph)
{
    tern_flat_vector tensors = tern_flat_list(graph, 0, 4), operators = tern_flat_list(graph, 3, 4),
                     codes = tern_flat_list(model, 1, 4), buffers = tern_flat_list(model, 4, 4);
    int *inputs, input_count;
    m->tensors = take(m, tensors.count, sizeof *m->tensors);
    m->operators = take(m, operators.count, sizeof *m->operators);
    if (!m->tensors || !m->operators) return TERN_NO_MEMORY;
    for (size_t i = 0; i < tensors.count; i++) {
        tern_flat_table t = tern_flat_table_at(&tensors, i);
        TERN_TRY(read_tensor(m, &t, &buffers, &m->tensors[i]));
        m->tensor_count++;
    }
    for (size_t i = 0; i < operators.count; i++) {
        tern_flat_table o = tern_flat_table_at(&operators, i);
        TERN_TRY(read_operator(m, &o, &codes, &m->operators[i]));
        m->operator_count++;
    }
    TERN_TRY(read_numbers(m, graph, 1, "inputs", &inputs, &input_count));
    TERN_TRY(read_numbers(m, graph, 2, "outputs", &m->outputs, &m->output_count));
    TERN_TRY(tern_flat_status(&m->flat));
    bool known = m->output_count > 0 && input_count == 1 && inputs[0] >= 0;
    for (int i = 0; i < m->output_count; i++) known = known && m->outputs[i] >= 0;
    m->input = known ? inputs[0] : 0;
    return known ? TERN_OK
                 : tern_fail(TERN_FAILED,
                             "%s: %d inputs and %d outputs, expected one input and at least one output",
                             m->flat.file, input_count, m->output_count);
}

tern_status tern_tflite_read(tern_tflite *m)
{
    tern_flat_table model = tern_flat_root(&m->flat, "TFL3");
    m->version = tern_flat_int(&model, 0, 4, 0);
    m->description = tern_flat_text(&model, 3);
    tern_flat_vector graphs = tern_flat_list(&model, 2, 4);
    TERN_TRY(tern_flat_status(&m->flat));
    if (m->version != 3 || graphs.count != 1)
        return tern_fail(TERN_FAILED, "%s: version %lld and %zu graphs, expected version 3 and one graph",
                         m->flat.file, (long long)m->version, graphs.count);
    tern_flat_table graph = tern_flat_table_at(&graphs, 0);
    return read_graph(m, &model, &graph);
}
