/* Elements in other places: permute, slice, pad, concat.  Nothing is computed. */
#include "kernel/move.h"
#include "op/element.h"

#include <stdio.h>
#include <string.h>

static void copy_element(const tern_tensor *to, int64_t i, const tern_tensor *from, int64_t k)
{
    tern_set(to, i, tern_get(from, k));
}

/* Coordinates of element i. */
static void coordinates(const tern_shape *s, int64_t i, int64_t at[TERN_MAX_RANK])
{
    for (int d = s->rank - 1; d >= 0; d--) {
        at[d] = i % s->dim[d];
        i /= s->dim[d];
    }
}

static int64_t index_of(const tern_shape *s, const int64_t at[TERN_MAX_RANK])
{
    int64_t i = 0;
    for (int d = 0; d < s->rank; d++) i = i * s->dim[d] + at[d];
    return i;
}

/* ---- permute: axis d of the result is axis order[d] of x ------------------------------------------------- */

typedef struct tern_permute_op {
    tern_shape order;
} tern_permute_op;
static const tern_arg permute_args[] = {
    TERN_ARG(tern_permute_op, order, TERN_ARG_DIMS, "axes of x in their new order"), {0}};

static tern_status permute_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    const tern_shape *order = &((const tern_permute_op *)types->args)->order, *x = &types->in[0]->shape;
    tern_shape y = *x;
    unsigned seen = 0;
    char text[96];
    for (int d = 0; d < order->rank && d < x->rank; d++) {
        if (order->dim[d] < 0 || order->dim[d] >= x->rank) break;
        seen |= 1u << order->dim[d];
        y.dim[d] = x->dim[order->dim[d]];
    }
    if (order->rank != x->rank || seen != (1u << x->rank) - 1)
        return tern_infer_fail(types, "order %s is no order of %d axes", tern_shape_text(text, order),
                               x->rank);
    tern_infer_out(types, types->in[0]->dtype, y);
    return TERN_OK;
}

static void permute_run(const tern_call *call)
{
    const tern_shape *order = &TERN_ARGS(tern_permute_op, call)->order;
    int64_t n = tern_elements(&call->out[0].shape), to[TERN_MAX_RANK], from[TERN_MAX_RANK];
    for (int64_t i = 0; i < n; i++) {
        coordinates(&call->out[0].shape, i, to);
        for (int d = 0; d < order->rank; d++) from[order->dim[d]] = to[d];
        copy_element(&call->out[0], i, &call->in[0], index_of(&call->in[0].shape, from));
    }
}

static tern_status permute_emit(const tern_call *call, tern_emit *to)
{
    const tern_shape *order = &TERN_ARGS(tern_permute_op, call)->order;
    char from[160] = "0";
    int length = 0;
    for (int d = 0; d < order->rank; d++) {
        long long stride = tern_elements_from(&call->in[0].shape, (int)order->dim[d] + 1);
        length +=
            snprintf(from + length, sizeof from - (size_t)length, "%si%d * %lld", d ? " + " : "", d, stride);
    }
    tern_write_copy(to, call, from);
    return TERN_OK;
}

static bool permute_matches(const tern_call *call)
{
    return call->in[0].dtype == TERN_F32;
}

/* Whether only the last two axes are exchanged. */
static bool is_transpose(const tern_shape *order)
{
    int r = order->rank;
    if (r < 2 || order->dim[r - 1] != r - 2 || order->dim[r - 2] != r - 1) return false;
    for (int d = 0; d < r - 2; d++)
        if (order->dim[d] != d) return false;
    return true;
}

/* Transposed in tiles, or read along the strides of the new order. */
static void permute_fast(const tern_call *call)
{
    const tern_shape *order = &TERN_ARGS(tern_permute_op, call)->order, *x = &call->in[0].shape,
                     *y = &call->out[0].shape;
    int r = x->rank;
    if (is_transpose(order)) {
        tern_transpose(call->pool, tern_elements_upto(x, r - 2), x->dim[r - 2], x->dim[r - 1],
                       call->in[0].data, call->out[0].data);
        return;
    }
    tern_element_pass pass = {.rank = r, .inputs = 1, .steps = 1};
    pass.in[0].data = call->in[0].data;
    for (int d = 0; d < r; d++) {
        pass.dim[d] = y->dim[d];
        pass.in[0].stride[d] = tern_elements_from(x, (int)order->dim[d] + 1);
    }
    pass.step[0] = (tern_element_step){.kind = TERN_ELEMENT_COPY, .out = call->out[0].data};
    tern_element_run(call->pool, &pass);
}

static const tern_fast permute_kernels[] = {{"strided", permute_matches, NULL, permute_fast}, {0}};

static tern_status permute_grad(tern_grad *c)
{
    const tern_shape *order = &((const tern_permute_op *)c->node->args)->order;
    tern_shape back = {.rank = order->rank};
    for (int d = 0; d < order->rank; d++) back.dim[order->dim[d]] = d;
    c->din[0] = tern_permute(c->graph, c->dout[0], back);
    return TERN_OK;
}

const tern_op tern_op_permute = {
    .name = "permute",
    .doc = "axes in another order",
    .args = permute_args,
    .args_size = sizeof(tern_permute_op),
    .infer = permute_infer,
    .grad = permute_grad,
    .work = tern_no_work,
    .run = permute_run,
    .emit = permute_emit,
    .fast = permute_kernels,
};

tern_value tern_permute(tern_graph *graph, tern_value x, tern_shape order)
{
    return tern_apply(graph, &tern_op_permute, &(tern_permute_op){order}, &x, 1, NULL);
}

/* ---- slice: elements first .. first + count along an axis; pad: one number before and behind -------------------- */

typedef struct tern_slice_op {
    int axis, first, count;
} tern_slice_op;
static const tern_arg slice_args[] = {TERN_ARG(tern_slice_op, axis, TERN_ARG_INT, "axis"),
                                      TERN_ARG(tern_slice_op, first, TERN_ARG_INT, "first element"),
                                      TERN_ARG(tern_slice_op, count, TERN_ARG_INT, "elements"),
                                      {0}};

typedef struct tern_pad_op {
    int axis, first, count; /* elements before, whole length */
    double fill;
} tern_pad_op;
static const tern_arg pad_args[] = {TERN_ARG(tern_pad_op, axis, TERN_ARG_INT, "axis"),
                                    TERN_ARG(tern_pad_op, first, TERN_ARG_INT, "elements before"),
                                    TERN_ARG(tern_pad_op, count, TERN_ARG_INT, "whole length"),
                                    TERN_ARG(tern_pad_op, fill, TERN_ARG_REAL, "what is put around"),
                                    {0}};

static tern_status slice_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    const tern_slice_op *a = types->args;
    tern_shape y = types->in[0]->shape;
    char text[96];
    if (a->axis < 0 || a->axis >= y.rank || a->first < 0 || a->count < 1 ||
        a->first + (int64_t)a->count > y.dim[a->axis])
        return tern_infer_fail(types, "elements %d to %d of axis %d are not in %s", a->first,
                               a->first + a->count - 1, a->axis, tern_shape_text(text, &y));
    y.dim[a->axis] = a->count;
    tern_infer_out(types, types->in[0]->dtype, y);
    return TERN_OK;
}

static tern_status pad_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    const tern_pad_op *a = types->args;
    tern_shape y = types->in[0]->shape;
    char text[96];
    if (a->axis < 0 || a->axis >= y.rank || a->first < 0 || a->first + y.dim[a->axis] > a->count)
        return tern_infer_fail(types, "axis %d of %s does not fit %d elements from %d on", a->axis,
                               tern_shape_text(text, &y), a->count, a->first);
    y.dim[a->axis] = a->count;
    tern_infer_out(types, types->in[0]->dtype, y);
    return TERN_OK;
}

/* Formats whose elements are whole bytes: everything but bits and packed blocks. */
static bool bytes_match(const tern_call *call)
{
    const tern_dtype_info *info = tern_dtype_of(call->out[0].dtype);
    for (int i = 0; i < call->nin; i++)
        if (call->in[i].dtype != call->out[0].dtype) return false;
    return info->block == 1;
}

/* Bytes of the elements behind one element of an axis, the axis included. */
static int64_t row_bytes(const tern_tensor *t, int axis)
{
    return tern_elements_from(&t->shape, axis) * tern_dtype_of(t->dtype)->bytes;
}

static void slice_fast(const tern_call *call)
{
    const tern_slice_op *a = call->args;
    const tern_tensor *x = &call->in[0], *y = &call->out[0];
    const char *from = (const char *)x->data + a->first * row_bytes(x, a->axis + 1);
    tern_copy_rows(call->pool, tern_elements_upto(&y->shape, a->axis), row_bytes(y, a->axis), from,
                   row_bytes(x, a->axis), y->data, row_bytes(y, a->axis));
}

/* Zeros, or any number that is a byte. */
static bool pad_matches(const tern_call *call)
{
    return bytes_match(call) && (TERN_ARGS(tern_pad_op, call)->fill == 0 || call->in[0].dtype == TERN_I8);
}

static void pad_fast(const tern_call *call)
{
    const tern_pad_op *a = call->args;
    const tern_tensor *x = &call->in[0], *y = &call->out[0];
    memset(y->data, (int)a->fill, (size_t)row_bytes(y, 0));
    tern_copy_rows(call->pool, tern_elements_upto(&y->shape, a->axis), row_bytes(x, a->axis), x->data,
                   row_bytes(x, a->axis), (char *)y->data + a->first * row_bytes(y, a->axis + 1),
                   row_bytes(y, a->axis));
}

static const tern_fast slice_kernels[] = {{"rows", bytes_match, NULL, slice_fast}, {0}};
static const tern_fast pad_kernels[] = {{"rows", pad_matches, NULL, pad_fast}, {0}};

static void slice_run(const tern_call *call)
{
    const tern_slice_op *a = call->args;
    int64_t n = tern_elements(&call->out[0].shape), at[TERN_MAX_RANK];
    for (int64_t i = 0; i < n; i++) {
        coordinates(&call->out[0].shape, i, at);
        at[a->axis] += a->first;
        copy_element(&call->out[0], i, &call->in[0], index_of(&call->in[0].shape, at));
    }
}

static void pad_run(const tern_call *call)
{
    const tern_pad_op *a = call->args;
    int64_t n = tern_elements(&call->out[0].shape), at[TERN_MAX_RANK],
            length = call->in[0].shape.dim[a->axis];
    for (int64_t i = 0; i < n; i++) {
        coordinates(&call->out[0].shape, i, at);
        at[a->axis] -= a->first;
        bool inside = at[a->axis] >= 0 && at[a->axis] < length;
        if (inside)
            copy_element(&call->out[0], i, &call->in[0], index_of(&call->in[0].shape, at));
        else
            tern_set(&call->out[0], i, a->fill);
    }
}

/* "i0 * 12 + (i1 + 3) * 4": the element of a tensor of shape `from` at the loops' place, `shift` further along an axis. */
static void write_shifted(char out[200], const tern_shape *from, int axis, int shift)
{
    int length = snprintf(out, 200, "0");
    for (int d = 0; d < from->rank; d++)
        length += snprintf(out + length, 200 - (size_t)length, " + (i%d + %d) * %lld", d,
                           d == axis ? shift : 0, (long long)tern_elements_from(from, d + 1));
}

static tern_status not_bits(const tern_call *call)
{
    if (call->out[0].dtype != TERN_BIT && call->in[0].dtype != TERN_BIT) return TERN_OK;
    return tern_fail(TERN_USAGE, "%s of bits is not emitted", call->op->name);
}

static tern_status slice_emit(const tern_call *call, tern_emit *to)
{
    const tern_slice_op *a = call->args;
    char from[200];
    TERN_TRY(not_bits(call));
    write_shifted(from, &call->in[0].shape, a->axis, a->first);
    tern_write_copy(to, call, from);
    return TERN_OK;
}

static tern_status pad_emit(const tern_call *call, tern_emit *to)
{
    const tern_pad_op *a = call->args;
    const tern_shape *x = &call->in[0].shape;
    char at[200];
    TERN_TRY(not_bits(call));
    write_shifted(at, &call->out[0].shape, a->axis, a->first);
    tern_text_format(to->text, "    for (int i = 0; i < %lld; i++) out0[i] = %s%.17g;\n",
                     (long long)tern_elements(&call->out[0].shape),
                     call->out[0].dtype == TERN_F32 ? "(float)" : "", a->fill);
    tern_write_loops(to, x);
    tern_text_format(to->text, "        out0[%s] = in0[%s];\n", at, tern_write_place(x, x).text);
    tern_write_end(to);
    return TERN_OK;
}

static tern_status slice_grad(tern_grad *c)
{
    const tern_slice_op *a = c->node->args;
    int length = (int)tern_shape_of(c->graph, c->node->in[0]).dim[a->axis];
    c->din[0] = tern_pad(c->graph, c->dout[0], a->axis, a->first, length);
    return TERN_OK;
}

static tern_status pad_grad(tern_grad *c)
{
    const tern_pad_op *a = c->node->args;
    int length = (int)tern_shape_of(c->graph, c->node->in[0]).dim[a->axis];
    c->din[0] = tern_slice(c->graph, c->dout[0], a->axis, a->first, length);
    return TERN_OK;
}

const tern_op tern_op_slice = {
    .name = "slice",
    .doc = "a range of an axis",
    .args = slice_args,
    .args_size = sizeof(tern_slice_op),
    .infer = slice_infer,
    .grad = slice_grad,
    .work = tern_no_work,
    .run = slice_run,
    .emit = slice_emit,
    .fast = slice_kernels,
};

const tern_op tern_op_pad = {
    .name = "pad",
    .doc = "zeros, or another number, before and behind, along an axis",
    .args = pad_args,
    .args_size = sizeof(tern_pad_op),
    .infer = pad_infer,
    .grad = pad_grad,
    .work = tern_no_work,
    .run = pad_run,
    .emit = pad_emit,
    .fast = pad_kernels,
};

tern_value tern_slice(tern_graph *graph, tern_value x, int axis, int first, int count)
{
    return tern_apply(graph, &tern_op_slice, &(tern_slice_op){axis, first, count}, &x, 1, NULL);
}

tern_value tern_pad(tern_graph *graph, tern_value x, int axis, int before, int length)
{
    return tern_pad_with(graph, x, axis, before, length, 0);
}

tern_value tern_pad_with(tern_graph *graph, tern_value x, int axis, int before, int length, double fill)
{
    return tern_apply(graph, &tern_op_pad, &(tern_pad_op){axis, before, length, fill}, &x, 1, NULL);
}

/* ---- concat: inputs one behind the other along an axis ----------------------------------------------------------- */

typedef struct tern_concat_op {
    int axis;
} tern_concat_op;
static const tern_arg concat_args[] = {TERN_ARG(tern_concat_op, axis, TERN_ARG_INT, "axis"), {0}};

static tern_status concat_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 64));
    int axis = ((const tern_concat_op *)types->args)->axis;
    tern_shape y = types->in[0]->shape;
    char a[96], b[96];
    if (axis < 0 || axis >= y.rank)
        return tern_infer_fail(types, "axis %d is not in %s", axis, tern_shape_text(a, &y));
    for (int i = 1; i < types->nin; i++) {
        if (!types->in[i]) return tern_infer_fail(types, "input %d is missing", i);
        tern_shape x = types->in[i]->shape;
        int64_t length = axis < x.rank ? x.dim[axis] : 0;
        if (axis < x.rank) x.dim[axis] = y.dim[axis];
        if (!tern_shape_equal(&x, &y) || types->in[i]->dtype != types->in[0]->dtype)
            return tern_infer_fail(types, "input %d is %s, expected %s but for axis %d", i,
                                   tern_shape_text(a, &types->in[i]->shape), tern_shape_text(b, &y), axis);
        y.dim[axis] += length;
    }
    tern_infer_out(types, types->in[0]->dtype, y);
    return TERN_OK;
}

static void concat_run(const tern_call *call)
{
    int axis = TERN_ARGS(tern_concat_op, call)->axis;
    int64_t outer = tern_elements_upto(&call->out[0].shape, axis),
            row = tern_elements_from(&call->out[0].shape, axis), at = 0;
    for (int k = 0; k < call->nin; k++) {
        int64_t length = tern_elements_from(&call->in[k].shape, axis);
        for (int64_t o = 0; o < outer; o++)
            for (int64_t i = 0; i < length; i++)
                copy_element(&call->out[0], o * row + at + i, &call->in[k], o * length + i);
        at += length;
    }
}

static void concat_fast(const tern_call *call)
{
    int axis = TERN_ARGS(tern_concat_op, call)->axis;
    const tern_tensor *y = &call->out[0];
    char *to = y->data;
    for (int k = 0; k < call->nin; k++) {
        int64_t bytes = row_bytes(&call->in[k], axis);
        tern_copy_rows(call->pool, tern_elements_upto(&y->shape, axis), bytes, call->in[k].data, bytes, to,
                       row_bytes(y, axis));
        to += bytes;
    }
}

static tern_status concat_emit(const tern_call *call, tern_emit *to)
{
    int axis = TERN_ARGS(tern_concat_op, call)->axis, before = 0;
    char at[200];
    TERN_TRY(not_bits(call));
    for (int k = 0; k < call->nin; k++) {
        const tern_shape *x = &call->in[k].shape;
        write_shifted(at, &call->out[0].shape, axis, before);
        tern_write_loops(to, x);
        tern_text_format(to->text, "        out0[%s] = in%d[", at, k);
        for (int d = 0; d < x->rank; d++)
            tern_text_format(to->text, "%si%d * %lld", d ? " + " : "", d,
                             (long long)tern_elements_from(x, d + 1));
        tern_text_put(to->text, "];\n");
        tern_write_end(to);
        before += (int)x->dim[axis];
    }
    return TERN_OK;
}

static const tern_fast concat_kernels[] = {{"rows", bytes_match, NULL, concat_fast}, {0}};

static tern_status concat_grad(tern_grad *c)
{
    int axis = ((const tern_concat_op *)c->node->args)->axis, at = 0;
    for (int i = 0; i < c->node->nin; i++) {
        int length = (int)tern_shape_of(c->graph, c->node->in[i]).dim[axis];
        if (c->need[i]) c->din[i] = tern_slice(c->graph, c->dout[0], axis, at, length);
        at += length;
    }
    return TERN_OK;
}

const tern_op tern_op_concat = {
    .name = "concat",
    .doc = "one behind the other along an axis",
    .args = concat_args,
    .args_size = sizeof(tern_concat_op),
    .infer = concat_infer,
    .grad = concat_grad,
    .work = tern_no_work,
    .run = concat_run,
    .emit = concat_emit,
    .fast = concat_kernels,
};

tern_value tern_concat(tern_graph *graph, const tern_value *x, int count, int axis)
{
    return tern_apply(graph, &tern_op_concat, &(tern_concat_op){axis}, x, count, NULL);
}
