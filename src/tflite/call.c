/* What functions of operators ask of an operator: tensors, values in either order, parameters, limits. */
#include "tflite/import.h"

#include <math.h>
#include <string.h>

tern_status tern_tflite_fail(const tern_tflite_call *call, const char *format, ...)
{
    char message[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    tern_clear();
    return tern_fail(TERN_FAILED, "%s: operator %d (%s): %s", call->model->flat.file,
                     (int)(call->op - call->model->operators), call->row->name, message);
}

/* ---- what the file says ---------------------------------------------------------------------------------------------- */

const tern_tflite_tensor *tern_tflite_in(const tern_tflite_call *call, int i)
{
    bool there = i < call->op->input_count && call->op->inputs[i] >= 0;
    return there ? &call->model->tensors[call->op->inputs[i]] : NULL;
}

const tern_tflite_tensor *tern_tflite_out(const tern_tflite_call *call, int i)
{
    bool there = i < call->op->output_count && call->op->outputs[i] >= 0;
    return there ? &call->model->tensors[call->op->outputs[i]] : NULL;
}

int tern_tflite_byte(const tern_tflite_call *call, int field)
{
    return (int)tern_flat_int(&call->op->options, field, 1, 0);
}

int tern_tflite_whole(const tern_tflite_call *call, int field, int standard)
{
    return (int)tern_flat_int(&call->op->options, field, 4, standard);
}

tern_status tern_tflite_numbers(const tern_tflite_call *call, int i, const char *what, int64_t *out, int most,
                                int *count)
{
    const tern_tflite_tensor *t = tern_tflite_in(call, i);
    if (!t || !t->bytes.count || (t->type != TERN_TFLITE_I32 && t->type != TERN_TFLITE_I64))
        return tern_tflite_fail(
            call, "%s is no constant of whole numbers: Tern's shapes are known before a run", what);
    int64_t n = tern_elements(&t->shape);
    if (n > most)
        return tern_tflite_fail(call, "%s has %lld numbers, expected at most %d", what, (long long)n, most);
    *count = (int)n;
    for (int64_t k = 0; k < n; k++) {
        double number = tern_tflite_number(t, k);
        if (fabs(number) > INT32_MAX) return tern_tflite_fail(call, "%s has the number %g", what, number);
        out[k] = (int64_t)number;
    }
    return TERN_OK;
}

tern_status tern_tflite_form_of(const tern_tflite_call *call, tern_tflite_form *form)
{
    static const int types[] = {[TERN_TFLITE_FLOATS] = TERN_TFLITE_F32,
                                [TERN_TFLITE_BYTES] = TERN_TFLITE_I8,
                                [TERN_TFLITE_SHORTS] = TERN_TFLITE_I16};
    const tern_tflite_tensor *x = tern_tflite_in(call, 0), *y = tern_tflite_out(call, 0);
    for (int k = TERN_TFLITE_FLOATS; x && y && k <= TERN_TFLITE_SHORTS; k++) {
        if (x->type != types[k] || y->type != types[k]) continue;
        *form = (tern_tflite_form)k;
        if (k == TERN_TFLITE_FLOATS || (x->scale > 0 && y->scale > 0)) return TERN_OK;
    }
    return tern_tflite_fail(
        call,
        "input of type %d and output of type %d: expected both floats (0), or both bytes (9) or 16 bits (7) "
        "with scales",
        x ? x->type : -1, y ? y->type : -1);
}

tern_status tern_tflite_kind_of(const tern_tflite_call *call, bool *bytes)
{
    tern_tflite_form form = TERN_TFLITE_FLOATS;
    TERN_TRY(tern_tflite_form_of(call, &form));
    *bytes = form == TERN_TFLITE_BYTES;
    if (form != TERN_TFLITE_SHORTS) return TERN_OK;
    return tern_tflite_fail(call,
                            "activations of 16 bits (7) are not read here: expected floats (0) or bytes (9)");
}

/* round(f / scale) as the reference does, in floats. */
static int32_t quantised(const tern_tflite_tensor *t, float f)
{
    float q = roundf(f / (float)t->scale);
    q = q > 1e6f ? 1e6f : q < -1e6f ? -1e6f : q;
    return t->zero + (int32_t)q;
}

enum { ACTIVATION_NONE, ACTIVATION_RELU, ACTIVATION_RELU1, ACTIVATION_RELU6 };

tern_status tern_tflite_limits(const tern_tflite_call *call, int activation, int32_t *low, int32_t *high)
{
    const tern_tflite_tensor *y = tern_tflite_out(call, 0);
    bool wide = y->type == TERN_TFLITE_I16;
    *low = wide ? INT16_MIN : INT8_MIN;
    *high = wide ? INT16_MAX : INT8_MAX;
    if (activation < ACTIVATION_NONE || activation > ACTIVATION_RELU6)
        return tern_tflite_fail(call, "activation %d; expected none, ReLU, ReLU1 or ReLU6", activation);
    if (activation == ACTIVATION_NONE) return TERN_OK;
    int32_t from = quantised(y, activation == ACTIVATION_RELU1 ? -1 : 0);
    int32_t to = quantised(y, activation == ACTIVATION_RELU1 ? 1 : 6);
    *low = from > *low ? from : *low;
    if (activation != ACTIVATION_RELU && to < *high) *high = to;
    return TERN_OK;
}

tern_value tern_tflite_activate(const tern_tflite_call *call, int activation, tern_value x)
{
    if (activation == ACTIVATION_RELU) return tern_relu(call->graph, x);
    if (activation == ACTIVATION_RELU1) return tern_clip(call->graph, x, -1, 1);
    if (activation == ACTIVATION_RELU6) return tern_clip(call->graph, x, 0, 6);
    if (activation != ACTIVATION_NONE)
        return tern_graph_fail(call->graph, "activation %d; expected none, ReLU, ReLU1 or ReLU6", activation);
    return x;
}

/* ---- parameters and constants ---------------------------------------------------------------------------------------- */

/* Lists a parameter, unless a graph that was built before has. */
static bool list_parameter(tern_tflite *m, const char *name, tern_tflite_parameter p)
{
    for (int i = 0; i < m->parameter_count; i++)
        if (strcmp(m->parameters[i].name, name) == 0) return true;
    if (m->parameter_count == m->parameter_capacity) {
        size_t old = (size_t)m->parameter_capacity, wanted = old ? 2 * old : 64;
        void *more = tern_resize(m->parameters, old * sizeof p, wanted * sizeof p);
        if (!more) return false;
        m->parameters = more;
        m->parameter_capacity = (int)wanted;
    }
    p.name = tern_arena_string(&m->arena, name);
    if (!p.name) return false;
    if (p.numbers) {
        size_t size = tern_bytes_of(p.dtype, tern_elements(&p.shape));
        void *own = tern_arena_take(&m->arena, size);
        if (!own) return false;
        memcpy(own, p.numbers, size);
        p.numbers = own;
    }
    m->parameters[m->parameter_count++] = p;
    return true;
}

tern_value tern_tflite_parameter_of(tern_tflite_call *call, const char *what, tern_tflite_parameter p)
{
    bool own = strchr(what, '.') == NULL;
    const char *name = own ? tern_layer_name(call->graph, what) : what;
    if (!name || !list_parameter(call->model, name, p)) return tern_graph_no_memory(call->graph);
    return tern_weight(call->graph, name, p.dtype, p.shape);
}

static tern_tflite_parameter numbers_of(tern_dtype dtype, int count, const void *numbers)
{
    return (tern_tflite_parameter){
        .dtype = dtype, .shape = TERN_SHAPE(count), .kind = TERN_TFLITE_NUMBERS, .numbers = numbers};
}

void tern_tflite_note(tern_tflite_call *call, const char *what, tern_dtype dtype, int count,
                      const void *numbers)
{
    const char *name = call->model->net.bytes ? tern_layer_name(call->graph, what) : "";
    if (!name || (*name && !list_parameter(call->model, name, numbers_of(dtype, count, numbers))))
        tern_graph_no_memory(call->graph);
}

static tern_value constant(tern_tflite_call *call, tern_dtype dtype, int count, const void *numbers)
{
    tern_tensor t = {dtype, TERN_SHAPE(count), (void *)(uintptr_t)numbers};
    return tern_constant(call->graph, &t);
}

tern_value tern_tflite_fixed(tern_tflite_call *call, const char *what, tern_dtype dtype, int count,
                             const void *numbers)
{
    if (!call->model->net.bytes) return constant(call, dtype, count, numbers);
    return tern_tflite_parameter_of(call, what, numbers_of(dtype, count, numbers));
}

tern_value tern_tflite_words(tern_tflite_call *call, int count, const int32_t *numbers)
{
    return constant(call, TERN_I32, count, numbers);
}

tern_value tern_tflite_bytes(tern_tflite_call *call, int count, const int8_t *numbers)
{
    return constant(call, TERN_I8, count, numbers);
}

tern_value tern_tflite_shorts(tern_tflite_call *call, int count, const int16_t *numbers)
{
    return constant(call, TERN_I16, count, numbers);
}

/* ---- values in either order ------------------------------------------------------------------------------------------ */

tern_tflite_value *tern_tflite_value_of(const tern_tflite_call *call, int i)
{
    return &call->values[call->op->inputs[i]];
}

tern_shape tern_tflite_shape(const tern_tflite_call *call, int i)
{
    const tern_tflite_tensor *t = tern_tflite_in(call, i);
    return !t ? (tern_shape){0} : t->bytes.count ? t->shape : tern_tflite_value_of(call, i)->shape;
}

bool tern_tflite_is_image(const tern_tflite_call *call, int i)
{
    const tern_tflite_tensor *t = tern_tflite_in(call, i);
    if (!t || t->bytes.count || t->shape.rank != 4) return false;
    const tern_tflite_value *v = tern_tflite_value_of(call, i);
    return v->image.id || (v->inner && !v->plain.id);
}

/* [N,H,W,C] to [N,C,H,W], or back; where one of both has one element, nothing moves. */
static tern_value turn(tern_graph *g, tern_value x, bool to_image)
{
    tern_shape s = tern_shape_of(g, x);
    if (g->status != TERN_OK || s.rank != 4) return x;
    int64_t h = s.dim[to_image ? 1 : 2], w = s.dim[to_image ? 2 : 3], c = s.dim[to_image ? 3 : 1];
    tern_shape y = to_image ? TERN_SHAPE(s.dim[0], c, h, w) : TERN_SHAPE(s.dim[0], h, w, c);
    if (c == 1 || h * w == 1) return tern_reshape(g, x, y);
    return tern_permute(g, x, to_image ? TERN_SHAPE(0, 3, 1, 2) : TERN_SHAPE(0, 2, 3, 1));
}

/* The border that was put off, in the order that the inner tensor has. */
static void surround(tern_tflite_call *call, tern_tflite_value *v, const tern_tflite_tensor *t)
{
    tern_tflite_value *inner = &call->values[v->inner - 1];
    bool image = inner->image.id != 0;
    tern_value x = image ? inner->image : inner->plain;
    tern_shape s = tern_shape_of(call->graph, x);
    const int before[] = {v->top, v->left}, behind[] = {v->bottom, v->right};
    for (int d = 0; d < 2 && call->graph->status == TERN_OK; d++) {
        int axis = (image ? 2 : 1) + d, length = (int)s.dim[axis] + before[d] + behind[d];
        if (before[d] || behind[d])
            x = tern_pad_with(call->graph, x, axis, before[d], length,
                              t->type == TERN_TFLITE_I8 ? (double)t->zero : 0);
    }
    *(image ? &v->image : &v->plain) = x;
}

static tern_dtype dtype_of(int type)
{
    return type == TERN_TFLITE_F32 ? TERN_F32 : type == TERN_TFLITE_I8 ? TERN_I8 : TERN_I16;
}

tern_value tern_tflite_plain(tern_tflite_call *call, int i)
{
    tern_graph *g = call->graph;
    const tern_tflite_tensor *t = tern_tflite_in(call, i);
    if (!t) return tern_graph_fail(g, "input %d is not there", i);
    if (t->bytes.count) {
        char what[24];
        if (t->type != TERN_TFLITE_F32 && t->type != TERN_TFLITE_I8 && t->type != TERN_TFLITE_I16)
            return tern_graph_fail(g,
                                   "constant \"%.100s\" is of type %d, expected floats (0), bytes (9) or 16 "
                                   "bits (7)",
                                   t->name, t->type);
        snprintf(what, sizeof what, "operand%d", i);
        return tern_tflite_parameter_of(call, what,
                                        (tern_tflite_parameter){.dtype = dtype_of(t->type),
                                                                .shape = t->shape,
                                                                .tensor = call->op->inputs[i],
                                                                .kind = TERN_TFLITE_PLAIN});
    }
    tern_tflite_value *v = tern_tflite_value_of(call, i);
    if (v->inner && !v->plain.id && !v->image.id) surround(call, v, t);
    if (!v->plain.id && v->image.id) v->plain = turn(g, v->image, false);
    if (!v->plain.id && v->flat.id) {
        tern_shape s = tern_shape_of(g, v->flat);
        tern_value x = tern_reshape(g, v->flat, TERN_SHAPE(s.dim[0], v->channels, v->places));
        v->plain = tern_reshape(g, tern_permute(g, x, TERN_SHAPE(0, 2, 1)), v->shape);
    }
    if (!v->plain.id) return tern_graph_fail(g, "input \"%.100s\" is made by no operator before it", t->name);
    return v->plain;
}

tern_value tern_tflite_image(tern_tflite_call *call, int i)
{
    tern_graph *g = call->graph;
    const tern_tflite_tensor *t = tern_tflite_in(call, i);
    tern_shape s = tern_tflite_shape(call, i);
    if (!t || s.rank != 4)
        return tern_graph_fail(g, "input %d has %d axes, expected an image of 4", i, s.rank);
    if (t->bytes.count) return turn(g, tern_tflite_plain(call, i), true);
    tern_tflite_value *v = tern_tflite_value_of(call, i);
    if (v->inner && !v->plain.id && !v->image.id) surround(call, v, t);
    if (!v->image.id) v->image = turn(g, tern_tflite_plain(call, i), true);
    return v->image;
}

static tern_status give(tern_tflite_call *call, int i, tern_value value, bool image)
{
    if (i >= call->op->output_count || call->op->outputs[i] < 0)
        return tern_tflite_fail(call, "output %d is missing", i);
    tern_tflite_value *v = &call->values[call->op->outputs[i]];
    const tern_tflite_tensor *t = tern_tflite_out(call, i);
    if (call->graph->status != TERN_OK) return tern_tflite_fail(call, "%s", tern_message());
    tern_shape s = tern_shape_of(call->graph, value), expected = t->shape;
    if (image) s = TERN_SHAPE(s.dim[0], s.dim[2], s.dim[3], s.dim[1]);
    if (expected.rank > 0 && s.rank == expected.rank)
        expected.dim[0] = s.dim[0]; /* the batch may be another */
    char a[96], b[96];
    if (!tern_shape_equal(&s, &expected))
        return tern_tflite_fail(call, "output \"%.100s\" is %s, the file says %s", t->name,
                                tern_shape_text(a, &s), tern_shape_text(b, &t->shape));
    if (v->plain.id || v->image.id || v->flat.id || v->inner || t->bytes.count)
        return tern_tflite_fail(call, "output \"%.100s\" is made twice", t->name);
    v->shape = s;
    *(image ? &v->image : &v->plain) = value;
    return TERN_OK;
}

tern_status tern_tflite_give(tern_tflite_call *call, int i, tern_value plain)
{
    return give(call, i, plain, false);
}

tern_status tern_tflite_give_image(tern_tflite_call *call, int i, tern_value image)
{
    return give(call, i, image, true);
}

tern_status tern_tflite_by_table(tern_tflite_call *call, const int8_t table[256])
{
    bool image = tern_tflite_is_image(call, 0);
    tern_value x = image ? tern_tflite_image(call, 0) : tern_tflite_plain(call, 0);
    tern_value in[] = {x, tern_tflite_bytes(call, 256, table)};
    tern_value y = tern_apply(call->graph, &tern_op_table_int8, NULL, in, 2, NULL);
    return give(call, 0, y, image);
}
