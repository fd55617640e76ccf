/* What functions of operators ask of a node: attributes, inputs as values or as numbers, outputs. */
#include "onnx/import.h"

#include <string.h>

tern_status tern_onnx_fail(const tern_onnx_call *call, const char *format, ...)
{
    char message[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    tern_clear();
    const tern_onnx_node *n = call->node;
    const char *name = !n ? "" : *n->name ? n->name : n->output_count ? n->outputs[0] : "";
    return tern_fail(TERN_FAILED, "%s: node \"%.100s\" (%s): %s", call->model->file.name, name,
                     n ? n->op : "", message);
}

static const tern_onnx_attribute *attribute(const tern_onnx_call *call, const char *name)
{
    for (int i = 0; i < call->node->attribute_count; i++)
        if (strcmp(call->node->attributes[i].name, name) == 0) return &call->node->attributes[i];
    return NULL;
}

int64_t tern_onnx_int(const tern_onnx_call *call, const char *name, int64_t standard)
{
    const tern_onnx_attribute *a = attribute(call, name);
    return a ? a->i : standard;
}

double tern_onnx_real(const tern_onnx_call *call, const char *name, double standard)
{
    const tern_onnx_attribute *a = attribute(call, name);
    return a ? a->f : standard;
}

const char *tern_onnx_text(const tern_onnx_call *call, const char *name, const char *standard)
{
    const tern_onnx_attribute *a = attribute(call, name);
    return a ? a->s : standard;
}

const int64_t *tern_onnx_ints(const tern_onnx_call *call, const char *name, int *count)
{
    const tern_onnx_attribute *a = attribute(call, name);
    *count = a ? a->int_count : 0;
    return a ? a->ints : NULL;
}

bool tern_onnx_has(const tern_onnx_call *call, int input)
{
    return input < call->nin && *call->in[input].name;
}

tern_value tern_onnx_constant(tern_onnx_call *call, tern_shape shape, const double *numbers)
{
    tern_tensor t;
    int64_t n = tern_elements(&shape);
    if (tern_tensor_new(&t, call->computing ? TERN_F64 : TERN_F32, &shape) != TERN_OK)
        return tern_graph_no_memory(call->graph);
    for (int64_t i = 0; i < n; i++) tern_set(&t, i, numbers[i]);
    tern_value value = tern_constant(call->graph, &t);
    tern_tensor_free(&t);
    return value;
}

/* Numbers of an initialiser, read when they are wanted. */
static tern_status read_known(tern_onnx_call *call, tern_onnx_operand *x)
{
    enum { MOST = 1 << 26 };
    int64_t n = tern_elements(&x->shape);
    if (x->known) return TERN_OK;
    if (n > MOST)
        return tern_onnx_fail(call, "constant \"%.100s\" of %lld elements is too large", x->name,
                              (long long)n);
    double *numbers = tern_arena_take(call->arena, (size_t)(n + 1) * sizeof *numbers);
    if (!numbers) return tern_no_memory((size_t)n * sizeof *numbers, "a constant");
    TERN_TRY(tern_onnx_numbers(call->model, x->tensor, numbers));
    x->known = numbers;
    return TERN_OK;
}

tern_value tern_onnx_in(tern_onnx_call *call, int input)
{
    tern_onnx_operand *x = &call->in[input];
    tern_graph *g = call->graph;
    if (x->value.id) return x->value;
    if (x->tensor && tern_onnx_is_parameter(x->tensor) && !call->computing) {
        x->value = tern_param(g, x->name, x->shape, (tern_init){0});
        return x->value;
    }
    if (!x->known && !x->tensor) return tern_graph_fail(g, "input %d is not there", input);
    tern_status status = read_known(call, x);
    if (status != TERN_OK) return tern_graph_keep(g, status);
    x->value = tern_onnx_constant(call, x->shape, x->known);
    return x->value;
}

tern_status tern_onnx_known(tern_onnx_call *call, int input, const char *what, const double **numbers,
                            int *count)
{
    tern_onnx_operand *x = &call->in[input];
    if (!x->known && x->tensor) TERN_TRY(read_known(call, x));
    if (!x->known)
        return tern_onnx_fail(
            call, "%s depends on the data (\"%.100s\"); Tern's shapes are known before a run", what, x->name);
    *numbers = x->known;
    *count = (int)tern_elements(&x->shape);
    return TERN_OK;
}

tern_status tern_onnx_list(tern_onnx_call *call, int input, const char *what, int64_t out[TERN_ONNX_MOST],
                           int *count)
{
    const double *numbers;
    *count = -1;
    if (!tern_onnx_has(call, input)) {
        const int64_t *ints = tern_onnx_ints(call, what, count);
        if (!ints) *count = -1;
        if (*count > TERN_ONNX_MOST) return tern_onnx_fail(call, "%s has %d numbers", what, *count);
        if (*count > 0) memcpy(out, ints, (size_t)*count * sizeof *out);
        return TERN_OK;
    }
    TERN_TRY(tern_onnx_known(call, input, what, &numbers, count));
    if (*count > TERN_ONNX_MOST) return tern_onnx_fail(call, "%s has %d numbers", what, *count);
    for (int i = 0; i < *count; i++) {
        if (numbers[i] != numbers[i]) return tern_onnx_fail(call, "%s has a NaN", what);
        out[i] = numbers[i] >= 1e15    ? (int64_t)1e15 /* INT64_MAX stands for "to the end" */
                 : numbers[i] <= -1e15 ? -(int64_t)1e15
                                       : (int64_t)numbers[i];
    }
    return TERN_OK;
}

tern_status tern_onnx_axis(const tern_onnx_call *call, int64_t axis, int rank, int *out)
{
    if (axis < -rank || axis >= rank)
        return tern_onnx_fail(call, "axis %lld of a tensor of %d axes", (long long)axis, rank);
    *out = (int)(axis < 0 ? axis + rank : axis);
    return TERN_OK;
}

tern_status tern_onnx_give_typed(tern_onnx_call *call, tern_value value, int type)
{
    call->out[0].value = value;
    call->out[0].type = type;
    call->out[0].shape = tern_shape_of(call->graph, value);
    return TERN_OK;
}

tern_status tern_onnx_give(tern_onnx_call *call, tern_value value)
{
    return tern_onnx_give_typed(call, value, call->in[0].type);
}

tern_status tern_onnx_give_known(tern_onnx_call *call, int type, tern_shape shape, const double *numbers)
{
    int64_t n = tern_elements(&shape);
    double *copy = tern_arena_take(call->arena, (size_t)(n + 1) * sizeof *copy);
    if (!copy) return tern_no_memory((size_t)n * sizeof *copy, "a constant");
    if (n) memcpy(copy, numbers, (size_t)n * sizeof *copy);
    call->out[0].known = copy;
    call->out[0].type = type;
    call->out[0].shape = shape;
    return TERN_OK;
}

/* Rows of a table: the axis comes first, and what is behind it is one axis. */
tern_value tern_onnx_pick(tern_onnx_call *call, tern_value x, int axis, const int64_t *index, int64_t count)
{
    tern_graph *g = call->graph;
    tern_shape s = tern_shape_of(g, x), order = {.rank = s.rank}, back = {.rank = s.rank}, front;
    bool in_a_row = true;
    if (g->status != TERN_OK) return (tern_value){0};
    for (int64_t i = 0; i < count; i++) in_a_row = in_a_row && index[i] == index[0] + i;
    if (in_a_row && count > 0) {
        if (index[0] == 0 && count == s.dim[axis]) return x;
        if (index[0] + count > INT32_MAX)
            return tern_graph_fail(g, "a range up to element %lld", (long long)(index[0] + count));
        return tern_slice(g, x, axis, (int)index[0], (int)count);
    }
    tern_tensor t;
    tern_shape list = TERN_SHAPE(count);
    if (tern_tensor_new(&t, TERN_I32, &list) != TERN_OK) return tern_graph_no_memory(g);
    for (int64_t i = 0; i < count; i++) tern_set(&t, i, (double)index[i]);
    tern_value rows = tern_constant(g, &t);
    tern_tensor_free(&t);
    for (int d = 0; d < s.rank; d++) {
        order.dim[d] = d == 0 ? axis : d <= axis ? d - 1 : d;
        back.dim[order.dim[d]] = d;
    }
    if (axis > 0) x = tern_permute(g, x, order);
    front = tern_shape_of(g, x);
    if (g->status != TERN_OK) return (tern_value){0};
    x = tern_embedding(g, rows, tern_reshape(g, x, TERN_SHAPE(front.dim[0], tern_elements_from(&front, 1))));
    front.dim[0] = count;
    x = tern_reshape(g, x, front);
    return axis > 0 ? tern_permute(g, x, back) : x;
}

tern_value tern_onnx_surround(tern_onnx_call *call, tern_value x, int axis, int64_t before, int64_t behind,
                              double fill)
{
    tern_graph *g = call->graph;
    tern_shape s = tern_shape_of(g, x);
    if (g->status != TERN_OK || (before == 0 && behind == 0)) return x;
    int64_t length = s.dim[axis] + before + behind;
    if (length > INT32_MAX) return tern_graph_fail(g, "a border of %lld elements", (long long)length);
    if (fill == 0) return tern_pad(g, x, axis, (int)before, (int)length);
    tern_value parts[3];
    int count = 0;
    const int64_t lengths[] = {before, s.dim[axis], behind};
    for (int i = 0; i < 3; i++) {
        if (lengths[i] == 0) continue;
        s.dim[axis] = lengths[i];
        parts[count++] = i == 1 ? x : tern_expand(g, tern_onnx_constant(call, (tern_shape){0}, &fill), s);
    }
    return tern_concat(g, parts, count, axis);
}
