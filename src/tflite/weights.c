/* Contents of the parameters of a graph, in the order of Tern's operators. */
#include "tflite/import.h"

#include <string.h>

int64_t tern_tflite_source_of(const tern_tflite_parameter *p, int64_t i)
{
    const int64_t *d = p->shape.dim;
    int64_t o, row;
    // NOLINTBEGIN(*DivideZero): no size is 0 where there is an element i
    switch (p->kind) {
    case TERN_TFLITE_FILTERS:
        o = i / (d[1] * d[2] * d[3]);
        row = i % (d[1] * d[2] * d[3]);
        return (o * d[2] * d[3] + row % (d[2] * d[3])) * d[1] + row / (d[2] * d[3]);
    case TERN_TFLITE_PLANES:
        return i % (d[2] * d[3]) * d[0] + i / (d[2] * d[3]);
    case TERN_TFLITE_FLAT:
        o = i / d[1];
        row = i % d[1];
        return o * d[1] + row % p->places * p->channels + row / p->places;
    default:
        return i;
    }
    // NOLINTEND(*DivideZero)
}

static void fill_elements(const tern_tflite_tensor *t, const tern_tflite_parameter *p, const tern_tensor *out)
{
    const uint8_t *bytes = t->bytes.flat->bytes + t->bytes.at;
    size_t size = (size_t)tern_dtype_of(p->dtype)->bytes;
    int64_t n = tern_elements(&p->shape);
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)out->data + (size_t)i * size, bytes + (size_t)tern_tflite_source_of(p, i) * size,
               size);
}

/* Sums are of x w, with zeros of x: what these add is taken off beforehand, in 32 bits that wrap around as sums do. */
static void fill_bias(const tern_tflite *m, const tern_tflite_parameter *p, const tern_tensor *out)
{
    const tern_tflite_tensor *w = &m->tensors[p->tensor];
    int64_t outputs = tern_elements(&p->shape), row = tern_elements(&w->shape) / outputs;
    bool planes = w->shape.dim[0] != outputs; /* the filters of planes have outputs last */
    for (int64_t o = 0; o < outputs; o++) {
        uint32_t sum = 0;
        for (int64_t k = 0; k < row; k++)
            sum += (uint32_t)(int32_t)tern_tflite_number(w, planes ? k * outputs + o : o * row + k);
        uint32_t bias = p->bias < 0 ? 0 : (uint32_t)(int64_t)tern_tflite_number(&m->tensors[p->bias], o);
        ((int32_t *)out->data)[o] = (int32_t)(bias - (uint32_t)p->zero * sum);
    }
}

/* What sums of 64 bits begin with, above the 32 that fill_bias gives. */
static void fill_upper(const tern_tflite *m, const tern_tflite_parameter *p, const tern_tensor *out)
{
    for (int64_t o = 0; o < tern_elements(&p->shape); o++) {
        int64_t bias = p->bias < 0 ? 0 : (int64_t)tern_tflite_number(&m->tensors[p->bias], o);
        ((int32_t *)out->data)[o] = (int32_t)(bias >> 32);
    }
}

/* The same of four layers that are one below the other. */
static void fill_stack(const tern_tflite *m, const tern_tflite_parameter *p, const tern_tensor *out)
{
    int64_t part = tern_elements(&p->shape) / 4;
    size_t bytes = (size_t)part * (size_t)tern_dtype_of(p->dtype)->bytes;
    for (int g = 0; g < 4; g++) {
        tern_tflite_parameter one = *p;
        tern_tensor to = {p->dtype, TERN_SHAPE(part), (char *)out->data + (size_t)g * bytes};
        one.shape = to.shape;
        one.tensor = p->stack[g];
        one.bias = p->stack_bias[g];
        if (p->kind == TERN_TFLITE_STACK)
            fill_elements(&m->tensors[one.tensor], &one, &to);
        else
            (p->kind == TERN_TFLITE_STACK_UPPER ? fill_upper : fill_bias)(m, &one, &to);
    }
}

static tern_status lend(tern_tflite *m, tern_store *store, const tern_tflite_parameter *p)
{
    if (tern_store_find(store, p->name) >= 0) return TERN_OK;
    tern_tensor *out = &m->copies[m->copy_count];
    TERN_TRY(tern_tensor_new(out, p->dtype, &p->shape));
    m->copy_count++;
    if (p->kind == TERN_TFLITE_NUMBER)
        tern_set(out, 0, p->number);
    else if (p->kind == TERN_TFLITE_NUMBERS)
        memcpy(out->data, p->numbers, tern_bytes_of(p->dtype, tern_elements(&p->shape)));
    else if (p->kind >= TERN_TFLITE_STACK)
        fill_stack(m, p, out);
    else if (p->kind == TERN_TFLITE_BIAS)
        fill_bias(m, p, out);
    else if (p->kind == TERN_TFLITE_UPPER)
        fill_upper(m, p, out);
    else
        fill_elements(&m->tensors[p->tensor], p, out);
    return tern_store_lend(store, p->name, *out);
}

/* A graph of one sample says which parameters there are. */
static tern_status list_parameters(tern_tflite *m)
{
    tern_graph *graph;
    tern_shape one = {.rank = m->net.sample.rank + 1, .dim = {1}};
    memcpy(one.dim + 1, m->net.sample.dim, (size_t)m->net.sample.rank * sizeof *one.dim);
    TERN_TRY(tern_graph_open(&graph, NULL));
    tern_tflite_build(m, graph, tern_input(graph, "image", TERN_F32, one));
    tern_status status = tern_graph_status(graph);
    tern_graph_close(graph);
    return status;
}

tern_status tern_tflite_weights(tern_tflite *m, tern_store *store)
{
    TERN_TRY(list_parameters(m));
    if (!m->copies) m->copies = tern_take_array((size_t)m->parameter_count + 1, sizeof *m->copies);
    if (!m->copies) return tern_no_memory(64, "weights");
    if (m->copy_count) return tern_fail(TERN_USAGE, "the weights of %s are lent already", m->flat.file);
    for (int i = 0; i < m->parameter_count; i++) TERN_TRY(lend(m, store, &m->parameters[i]));
    store->version++;
    return TERN_OK;
}
