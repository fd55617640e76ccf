/* TFLite operators that move elements or give them another shape. */
#include "tflite/import.h"

#include <string.h>

/* Moves keep scales: elements are the same bytes before and behind. */
static tern_status check_move(const tern_tflite_call *call)
{
    const tern_tflite_tensor *y = tern_tflite_out(call, 0);
    for (int i = 0; i < call->op->input_count; i++) {
        const tern_tflite_tensor *x = tern_tflite_in(call, i);
        if (!x || x->type != y->type || x->scale == 0) continue; /* shapes, and floats */
        if (x->scale != y->scale || x->zero != y->zero)
            return tern_tflite_fail(
                call, "input %d has scale %g and zero %d, its output %g and %d: expected the same", i,
                x->scale, x->zero, y->scale, y->zero);
    }
    tern_tflite_form form;
    return tern_tflite_form_of(call, &form);
}

/* The shape that the file says, for the batch at hand. */
static tern_status shape_of_output(const tern_tflite_call *call, tern_shape *shape)
{
    *shape = tern_tflite_out(call, 0)->shape;
    int64_t first = shape->rank > 0 ? shape->dim[0] * call->batch : 0;
    tern_shape x = tern_tflite_shape(call, 0);
    char a[96], b[96];
    if (shape->rank > 0 && call->file_batch > 0 && first % call->file_batch == 0)
        shape->dim[0] = first / call->file_batch;
    if (tern_elements(shape) == tern_elements(&x)) return TERN_OK;
    return tern_tflite_fail(call, "%s does not become %s", tern_shape_text(a, &x), tern_shape_text(b, shape));
}

/* ---- shapes ---------------------------------------------------------------------------------------------------------- */

/* An image that is flattened stays in its order until somebody asks for the other. */
static tern_status reshape(tern_tflite_call *call)
{
    tern_shape s = tern_tflite_shape(call, 0), y;
    TERN_TRY(check_move(call));
    TERN_TRY(shape_of_output(call, &y));
    tern_tflite_value *to = &call->values[call->op->outputs[0]];
    bool fresh = !to->plain.id && !to->image.id && !to->flat.id && !to->inner;
    bool rows = y.rank == 2 && s.rank == 4 && y.dim[0] == s.dim[0];
    if (fresh && rows && tern_tflite_is_image(call, 0)) {
        to->flat = tern_reshape(call->graph, tern_tflite_image(call, 0), y);
        to->channels = s.dim[3];
        to->places = s.dim[1] * s.dim[2];
        to->shape = y;
        return TERN_OK;
    }
    return tern_tflite_give(call, 0, tern_reshape(call->graph, tern_tflite_plain(call, 0), y));
}

static tern_status transpose(tern_tflite_call *call)
{
    tern_shape s = tern_tflite_shape(call, 0);
    int64_t order[TERN_MAX_RANK];
    int count;
    TERN_TRY(check_move(call));
    TERN_TRY(tern_tflite_numbers(call, 1, "the order", order, TERN_MAX_RANK, &count));
    if (count != s.rank) return tern_tflite_fail(call, "an order of %d axes for %d", count, s.rank);
    tern_shape axes = {.rank = count};
    memcpy(axes.dim, order, (size_t)count * sizeof *order);
    bool to_image = count == 4 && order[0] == 0 && order[1] == 3 && order[2] == 1 && order[3] == 2;
    if (to_image) return tern_tflite_give(call, 0, tern_tflite_image(call, 0));
    bool from_image = count == 4 && order[0] == 0 && order[1] == 2 && order[2] == 3 && order[3] == 1;
    if (from_image) return tern_tflite_give_image(call, 0, tern_tflite_plain(call, 0));
    return tern_tflite_give(call, 0, tern_permute(call->graph, tern_tflite_plain(call, 0), axes));
}

/* ---- parts ----------------------------------------------------------------------------------------------------------- */

static tern_status concatenate(tern_tflite_call *call)
{
    tern_value parts[TERN_TFLITE_MOST];
    tern_shape s = tern_tflite_shape(call, 0);
    int axis = tern_tflite_whole(call, 0, 0), count = call->op->input_count;
    bool image = s.rank == 4;
    TERN_TRY(check_move(call));
    if (axis < 0) axis += s.rank;
    if (axis < 0 || axis >= s.rank) return tern_tflite_fail(call, "axis %d of %d", axis, s.rank);
    for (int i = 0; i < count; i++) {
        if (!tern_tflite_in(call, i)) return tern_tflite_fail(call, "input %d is missing", i);
        image = image && tern_tflite_is_image(call, i);
    }
    for (int i = 0; i < count; i++) {
        parts[i] = image ? tern_tflite_image(call, i) : tern_tflite_plain(call, i);
        tern_shape whole = tern_shape_of(call->graph, parts[i]);
        if (!tern_tflite_in(call, i)->bytes.count || whole.rank < 1 || axis == 0) continue;
        whole.dim[0] = whole.dim[0] * call->batch / call->file_batch; /* a constant for each sample */
        parts[i] = tern_expand(call->graph, parts[i], whole);
    }
    static const int of_image[] = {0, 2, 3, 1};
    tern_value y = tern_concat(call->graph, parts, count, image ? of_image[axis] : axis);
    if (tern_tflite_byte(call, 1)) return tern_tflite_fail(call, "an activation behind it");
    return image ? tern_tflite_give_image(call, 0, y) : tern_tflite_give(call, 0, y);
}

/* Elements first, first + step, .. of an axis, count of them. */
static tern_value pick(tern_graph *g, tern_value x, int axis, int64_t first, int64_t step, int64_t count)
{
    tern_value parts[64];
    tern_shape s = tern_shape_of(g, x);
    if (g->status != TERN_OK || (step == 1 && first == 0 && count == s.dim[axis])) return x;
    if (step == 1) return tern_slice(g, x, axis, (int)first, (int)count);
    if (count > 64) return tern_graph_fail(g, "%lld parts, expected at most 64", (long long)count);
    for (int64_t i = 0; i < count; i++) parts[i] = tern_slice(g, x, axis, (int)(first + i * step), 1);
    return tern_concat(g, parts, (int)count, axis);
}

static tern_status strided_slice(tern_tflite_call *call)
{
    tern_shape s = tern_tflite_shape(call, 0), y = {0};
    int64_t begin[TERN_MAX_RANK], end[TERN_MAX_RANK], step[TERN_MAX_RANK];
    int counts[3], begins = tern_tflite_whole(call, 0, 0), ends = tern_tflite_whole(call, 1, 0),
                   shrink = tern_tflite_whole(call, 4, 0);
    TERN_TRY(check_move(call));
    TERN_TRY(tern_tflite_numbers(call, 1, "the beginning", begin, TERN_MAX_RANK, &counts[0]));
    TERN_TRY(tern_tflite_numbers(call, 2, "the end", end, TERN_MAX_RANK, &counts[1]));
    TERN_TRY(tern_tflite_numbers(call, 3, "the step", step, TERN_MAX_RANK, &counts[2]));
    if (tern_tflite_whole(call, 2, 0) || tern_tflite_whole(call, 3, 0))
        return tern_tflite_fail(call, "an ellipsis or new axes");
    if (counts[0] != s.rank || counts[1] != s.rank || counts[2] != s.rank)
        return tern_tflite_fail(call, "ranges of %d, %d and %d axes for %d", counts[0], counts[1], counts[2],
                                s.rank);
    tern_value x = tern_tflite_plain(call, 0);
    for (int d = 0; d < s.rank; d++) {
        int64_t n = s.dim[d];
        bool one = shrink >> d & 1;
        if (step[d] < 1) return tern_tflite_fail(call, "a step of %lld", (long long)step[d]);
        if (begin[d] < 0) begin[d] += n;
        if (end[d] < 0) end[d] += n;
        if (begins >> d & 1) begin[d] = 0;
        if (one) end[d] = begin[d] + 1;
        if ((ends >> d & 1 && !one) || end[d] > n) end[d] = n;
        if (d == 0 && !one && begin[0] == 0 && end[0] == call->file_batch) end[0] = n; /* all of the batch */
        if (begin[d] < 0 || begin[d] >= end[d])
            return tern_tflite_fail(call, "elements %lld to %lld of axis %d with %lld", (long long)begin[d],
                                    (long long)end[d], d, (long long)n);
        int64_t count = (end[d] - begin[d] + step[d] - 1) / step[d];
        x = pick(call->graph, x, d, begin[d], step[d], count);
        if (!one) y.dim[y.rank++] = count;
    }
    return tern_tflite_give(call, 0, tern_reshape(call->graph, x, y));
}

static tern_status slice(tern_tflite_call *call)
{
    tern_shape s = tern_tflite_shape(call, 0);
    int64_t begin[TERN_MAX_RANK], size[TERN_MAX_RANK];
    int begins, sizes;
    TERN_TRY(check_move(call));
    TERN_TRY(tern_tflite_numbers(call, 1, "the beginning", begin, TERN_MAX_RANK, &begins));
    TERN_TRY(tern_tflite_numbers(call, 2, "the size", size, TERN_MAX_RANK, &sizes));
    if (begins != s.rank || sizes != s.rank)
        return tern_tflite_fail(call, "ranges of %d and %d axes for %d", begins, sizes, s.rank);
    tern_value x = tern_tflite_plain(call, 0);
    for (int d = 0; d < s.rank; d++) {
        if (size[d] == -1 || (d == 0 && begin[0] == 0 && size[0] == call->file_batch))
            size[d] = s.dim[d] - begin[d];
        if (begin[d] < 0 || size[d] < 1 || size[d] > s.dim[d] - begin[d])
            return tern_tflite_fail(call, "%lld elements from %lld of axis %d", (long long)size[d],
                                    (long long)begin[d], d);
        x = pick(call->graph, x, d, begin[d], 1, size[d]);
    }
    return tern_tflite_give(call, 0, x);
}

/* Equal parts of an axis: with the axis (SPLIT) or without it (UNPACK). */
static tern_status part(tern_tflite_call *call, int from, int axis, bool keep)
{
    tern_shape s = tern_tflite_shape(call, from);
    int count = call->op->output_count;
    if (axis < 0) axis += s.rank;
    if (axis < 1 || axis >= s.rank || s.dim[axis] % count || (!keep && s.dim[axis] != count))
        return tern_tflite_fail(call, "%d parts of axis %d of %d", count, axis, s.rank);
    tern_value x = tern_tflite_plain(call, from);
    int length = (int)(s.dim[axis] / count);
    tern_shape y = s;
    y.dim[axis] = length;
    if (!keep) memmove(y.dim + axis, y.dim + axis + 1, (size_t)(--y.rank - axis) * sizeof *y.dim);
    for (int i = 0; i < count; i++) {
        tern_value piece = tern_slice(call->graph, x, axis, i * length, length);
        TERN_TRY(tern_tflite_give(call, i, tern_reshape(call->graph, piece, y)));
    }
    return TERN_OK;
}

static tern_status unpack(tern_tflite_call *call)
{
    TERN_TRY(check_move(call));
    return part(call, 0, tern_tflite_whole(call, 1, 0), false);
}

static tern_status split(tern_tflite_call *call)
{
    int64_t axis;
    int count;
    TERN_TRY(tern_tflite_numbers(call, 0, "the axis", &axis, 1, &count));
    if (count != 1) return tern_tflite_fail(call, "%d axes", count);
    return part(call, 1, (int)axis, true);
}

static tern_status pack(tern_tflite_call *call)
{
    tern_value parts[TERN_TFLITE_MOST];
    tern_shape s = tern_tflite_shape(call, 0), one = s;
    int axis = tern_tflite_whole(call, 1, 0);
    TERN_TRY(check_move(call));
    if (axis < 0) axis += s.rank + 1;
    if (axis < 1 || axis > s.rank || s.rank >= TERN_MAX_RANK)
        return tern_tflite_fail(call, "axis %d of %d", axis, s.rank + 1);
    memmove(one.dim + axis + 1, one.dim + axis, (size_t)(one.rank++ - axis) * sizeof *one.dim);
    one.dim[axis] = 1;
    for (int i = 0; i < call->op->input_count; i++)
        parts[i] = tern_reshape(call->graph, tern_tflite_plain(call, i), one);
    return tern_tflite_give(call, 0, tern_concat(call->graph, parts, call->op->input_count, axis));
}

const tern_tflite_row tern_tflite_place_rows[] = {
    {2, "CONCATENATION", "concat", concatenate, 1, TERN_TFLITE_MOST},
    {22, "RESHAPE", "reshape", reshape, 1, 2},
    {39, "TRANSPOSE", "transpose", transpose, 2, 2},
    {43, "SQUEEZE", "squeeze", reshape, 1, 1},
    {45, "STRIDED_SLICE", "slice", strided_slice, 4, 4},
    {49, "SPLIT", "split", split, 2, 2},
    {65, "SLICE", "slice", slice, 3, 3},
    {70, "EXPAND_DIMS", "reshape", reshape, 2, 2},
    {83, "PACK", "pack", pack, 1, TERN_TFLITE_MOST},
    {88, "UNPACK", "unpack", unpack, 1, 1},
    {0},
};
