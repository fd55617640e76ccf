/* ONNX operators that put elements elsewhere, and those that speak of shapes. */
#include "onnx/import.h"

#include <math.h>
#include <string.h>

/* Dimensions as a shape; more axes than Tern has are an error, and so are negative ones. */
static tern_status shape_of(const tern_onnx_call *c, const int64_t *dims, int count, tern_shape *shape)
{
    if (count > TERN_MAX_RANK)
        return tern_onnx_fail(c, "a tensor of %d axes, Tern has at most %d", count, TERN_MAX_RANK);
    *shape = (tern_shape){.rank = count};
    for (int d = 0; d < count; d++) shape->dim[d] = dims[d];
    tern_status status = tern_shape_check(shape, "its shape");
    return status == TERN_OK ? TERN_OK : tern_onnx_fail(c, "%s", tern_message());
}

static tern_status give_shaped(tern_onnx_call *c, tern_shape shape)
{
    char a[96], b[96];
    if (tern_elements(&shape) != tern_elements(&c->in[0].shape))
        return tern_onnx_fail(
            c, "%s cannot become %s: the numbers of elements differ (does the file ask for another batch?)",
            tern_shape_text(a, &c->in[0].shape), tern_shape_text(b, &shape));
    return tern_onnx_give(c, tern_reshape(c->graph, tern_onnx_in(c, 0), shape));
}

static tern_status map_identity(tern_onnx_call *c)
{
    c->out[0] = c->in[0];
    c->out[0].value = tern_onnx_in(c, 0);
    return TERN_OK;
}

/* 0: the input's dimension (unless allowzero); -1: what is left. */
static tern_status map_reshape(tern_onnx_call *c)
{
    int64_t dims[TERN_ONNX_MOST], known = 1;
    int count, open = -1;
    tern_shape shape, from = c->in[0].shape;
    TERN_TRY(tern_onnx_list(c, 1, "the new shape", dims, &count));
    bool zeros = tern_onnx_int(c, "allowzero", 0) != 0;
    for (int d = 0; d < count; d++) {
        if (dims[d] == 0 && !zeros && d < from.rank) dims[d] = from.dim[d];
        if (dims[d] == -1) {
            open = d;
            dims[d] = 1;
        } else if (dims[d] > 0 && known <= (int64_t)1e15 / dims[d]) {
            known *= dims[d];
        }
    }
    if (open >= 0 && known > 0) dims[open] = tern_elements(&from) / known;
    TERN_TRY(shape_of(c, dims, count, &shape));
    return give_shaped(c, shape);
}

static tern_status map_flatten(tern_onnx_call *c)
{
    int axis;
    const tern_shape *s = &c->in[0].shape;
    int64_t from = tern_onnx_int(c, "axis", 1);
    if (from == s->rank)
        axis = s->rank;
    else
        TERN_TRY(tern_onnx_axis(c, from, s->rank, &axis));
    return give_shaped(c, TERN_SHAPE(tern_elements_upto(s, axis), tern_elements_from(s, axis)));
}

/* The axes of Squeeze and Unsqueeze as flags[rank]. */
static tern_status flag_axes(tern_onnx_call *c, int rank, bool *flags, int *count)
{
    int64_t axes[TERN_ONNX_MOST];
    TERN_TRY(tern_onnx_list(c, 1, "axes", axes, count));
    for (int i = 0; i < *count; i++) {
        int axis;
        TERN_TRY(tern_onnx_axis(c, axes[i], rank, &axis));
        flags[axis] = true;
    }
    return TERN_OK;
}

static tern_status map_squeeze(tern_onnx_call *c)
{
    bool flags[TERN_MAX_RANK] = {0};
    tern_shape s = c->in[0].shape, y = {0};
    int count;
    TERN_TRY(flag_axes(c, s.rank, flags, &count));
    for (int d = 0; d < s.rank; d++) {
        bool away = count < 0 ? s.dim[d] == 1 : flags[d];
        if (!away) y.dim[y.rank++] = s.dim[d];
    }
    return give_shaped(c, y);
}

static tern_status map_unsqueeze(tern_onnx_call *c)
{
    bool flags[TERN_MAX_RANK] = {0};
    int64_t axes[TERN_ONNX_MOST];
    tern_shape s = c->in[0].shape, y = {0};
    int count, taken = 0;
    TERN_TRY(tern_onnx_list(c, 1, "axes", axes, &count));
    if (count < 1 || s.rank + count > TERN_MAX_RANK)
        return tern_onnx_fail(c, "%d axes more than %d, expected at least one and at most %d in all", count,
                              s.rank, TERN_MAX_RANK);
    TERN_TRY(flag_axes(c, s.rank + count, flags, &count));
    y.rank = s.rank + count;
    for (int d = 0; d < y.rank; d++) y.dim[d] = flags[d] || taken == s.rank ? 1 : s.dim[taken++];
    return give_shaped(c, y);
}

static tern_status map_transpose(tern_onnx_call *c)
{
    int count, rank = c->in[0].shape.rank;
    const int64_t *perm = tern_onnx_ints(c, "perm", &count);
    tern_shape order = {.rank = rank};
    bool same = true;
    if (perm && count != rank)
        return tern_onnx_fail(c, "perm has %d numbers, the input %d axes", count, rank);
    for (int d = 0; d < rank; d++) {
        order.dim[d] = perm ? perm[d] : rank - 1 - d;
        same = same && order.dim[d] == d;
    }
    tern_value x = tern_onnx_in(c, 0);
    return tern_onnx_give(c, same ? x : tern_permute(c->graph, x, order));
}

static tern_status map_concat(tern_onnx_call *c)
{
    tern_value in[TERN_ONNX_MOST];
    int axis, count = 0;
    for (int i = 0; i < c->nin; i++) {
        if (!tern_onnx_has(c, i)) return tern_onnx_fail(c, "input %d is missing", i);
        if (tern_elements(&c->in[i].shape) > 0)
            in[count++] = tern_onnx_in(c, i); /* an empty one adds nothing */
    }
    TERN_TRY(tern_onnx_axis(c, tern_onnx_int(c, "axis", 0), c->in[0].shape.rank, &axis));
    if (count == 0) return tern_onnx_give_known(c, c->in[0].type, c->in[0].shape, NULL);
    return tern_onnx_give(c, count == 1 ? in[0] : tern_concat(c->graph, in, count, axis));
}

/* Lengths of the parts: given, or equal ones, the last of which may be shorter. */
static tern_status map_split(tern_onnx_call *c)
{
    int64_t lengths[TERN_ONNX_MOST], first = 0;
    int axis, count;
    const tern_shape *s = &c->in[0].shape;
    TERN_TRY(tern_onnx_axis(c, tern_onnx_int(c, "axis", 0), s->rank, &axis));
    TERN_TRY(tern_onnx_list(c, 1, "split", lengths, &count));
    int64_t all = s->dim[axis], part = (all + c->nout - 1) / c->nout;
    for (int i = 0; count < 0 && i < c->nout; i++)
        lengths[i] = i < c->nout - 1 ? part : all - (c->nout - 1) * part;
    if (count >= 0 && count != c->nout) return tern_onnx_fail(c, "%d lengths for %d outputs", count, c->nout);
    tern_value x = tern_onnx_in(c, 0);
    if (all > INT32_MAX) return tern_onnx_fail(c, "parts of an axis of %lld elements", (long long)all);
    for (int i = 0; i < c->nout; i++) {
        if (lengths[i] < 1 || lengths[i] > all - first)
            return tern_onnx_fail(c, "part %d has %lld of %lld elements", i, (long long)lengths[i],
                                  (long long)all);
        tern_value y = tern_slice(c->graph, x, axis, (int)first, (int)lengths[i]);
        c->out[i] = (tern_onnx_operand){
            .name = "", .type = c->in[0].type, .shape = tern_shape_of(c->graph, y), .value = y};
        first += lengths[i];
    }
    return first == all
               ? TERN_OK
               : tern_onnx_fail(c, "the parts have %lld of %lld elements", (long long)first, (long long)all);
}

/* Numbers first, first + step, .. of an axis, as numpy's slices name them; how many are left. */
static tern_status slice_axis(tern_onnx_call *c, tern_value *x, int axis, int64_t start, int64_t end,
                              int64_t step, int64_t *left)
{
    int64_t length = tern_shape_of(c->graph, *x).dim[axis], low = step < 0 ? -1 : 0,
            high = step < 0 ? length - 1 : length;
    if (step == 0) return tern_onnx_fail(c, "a step of 0");
    if (start < 0) start += length;
    if (end < 0) end += length;
    start = start < low ? low : start > high ? high : start;
    end = end < low ? low : end > high ? high : end;
    int64_t count = step > 0 ? (end - start + step - 1) / step : (start - end - step - 1) / -step;
    if (count < 1) count = 0;
    *left = count;
    if (count == 0) return TERN_OK;
    if (length > INT32_MAX)
        return tern_onnx_fail(c, "a slice of an axis of %lld elements", (long long)length);
    int64_t *index = tern_arena_take(c->arena, (size_t)count * sizeof *index);
    if (!index) return tern_no_memory((size_t)count * sizeof *index, "a slice");
    for (int64_t i = 0; i < count; i++) index[i] = start + i * step;
    *x = tern_onnx_pick(c, *x, axis, index, count);
    return tern_graph_status(c->graph);
}

static tern_status map_slice(tern_onnx_call *c)
{
    int64_t starts[TERN_ONNX_MOST], ends[TERN_ONNX_MOST], axes[TERN_ONNX_MOST], steps[TERN_ONNX_MOST];
    int count, ends_count, axes_count, steps_count, rank = c->in[0].shape.rank;
    TERN_TRY(tern_onnx_list(c, 1, "starts", starts, &count));
    TERN_TRY(tern_onnx_list(c, 2, "ends", ends, &ends_count));
    TERN_TRY(tern_onnx_list(c, 3, "axes", axes, &axes_count));
    TERN_TRY(tern_onnx_list(c, 4, "steps", steps, &steps_count));
    if (count < 0 || count > rank || ends_count != count || (axes_count >= 0 && axes_count != count) ||
        (steps_count >= 0 && steps_count != count))
        return tern_onnx_fail(c, "%d starts, %d ends, %d axes, %d steps, expected as many of each", count,
                              ends_count, axes_count, steps_count);
    tern_value x = tern_onnx_in(c, 0);
    tern_shape s = c->in[0].shape;
    for (int i = 0; i < count; i++) {
        int axis;
        int64_t left = 0;
        TERN_TRY(tern_onnx_axis(c, axes_count < 0 ? i : axes[i], rank, &axis));
        TERN_TRY(slice_axis(c, &x, axis, starts[i], ends[i], steps_count < 0 ? 1 : steps[i], &left));
        s.dim[axis] = left;
        if (left == 0) return tern_onnx_give_known(c, c->in[0].type, s, NULL); /* part of a shape */
    }
    return tern_onnx_give(c, x);
}

/* Indices that are not known: rows of a table. */
static tern_status gather_rows(tern_onnx_call *c, int axis)
{
    tern_graph *g = c->graph;
    if (c->in[0].shape.rank != 2 || axis != 0)
        return tern_onnx_fail(c, "indices that depend on the data take rows of a table [V,D] only");
    tern_value index = tern_cast(g, tern_onnx_in(c, 1), TERN_I32);
    return tern_onnx_give(c, tern_embedding(g, index, tern_onnx_in(c, 0)));
}

static tern_status map_gather(tern_onnx_call *c)
{
    tern_graph *g = c->graph;
    const tern_shape *s = &c->in[0].shape, *at = &c->in[1].shape;
    const double *numbers;
    int axis, count;
    TERN_TRY(tern_onnx_axis(c, tern_onnx_int(c, "axis", 0), s->rank, &axis));
    if (!c->in[1].known && !c->in[1].tensor) return gather_rows(c, axis);
    TERN_TRY(tern_onnx_known(c, 1, "an index", &numbers, &count));
    int64_t *index = tern_arena_take(c->arena, (size_t)(count + 1) * sizeof *index), length = s->dim[axis];
    if (!index) return tern_no_memory((size_t)count * sizeof *index, "an index");
    for (int i = 0; i < count; i++) {
        if (!(fabs(numbers[i]) < 1e15)) return tern_onnx_fail(c, "an index of %g", numbers[i]);
        index[i] = numbers[i] < 0 ? (int64_t)numbers[i] + length : (int64_t)numbers[i];
        if (index[i] < 0 || index[i] >= length)
            return tern_onnx_fail(c, "index %g of an axis of %lld elements", numbers[i], (long long)length);
    }
    tern_shape y = {0};
    if (s->rank - 1 + at->rank > TERN_MAX_RANK)
        return tern_onnx_fail(c, "a result of more than %d axes", TERN_MAX_RANK);
    for (int d = 0; d < axis; d++) y.dim[y.rank++] = s->dim[d];
    for (int d = 0; d < at->rank; d++) y.dim[y.rank++] = at->dim[d];
    for (int d = axis + 1; d < s->rank; d++) y.dim[y.rank++] = s->dim[d];
    return tern_onnx_give(c, tern_reshape(g, tern_onnx_pick(c, tern_onnx_in(c, 0), axis, index, count), y));
}

static tern_status map_expand(tern_onnx_call *c)
{
    int64_t dims[TERN_ONNX_MOST];
    int count;
    tern_shape wanted, y;
    char a[96], b[96];
    TERN_TRY(tern_onnx_list(c, 1, "the new shape", dims, &count));
    TERN_TRY(shape_of(c, dims, count, &wanted));
    if (!tern_broadcast(&c->in[0].shape, &wanted, &y))
        return tern_onnx_fail(c, "%s does not broadcast to %s", tern_shape_text(a, &c->in[0].shape),
                              tern_shape_text(b, &wanted));
    return tern_onnx_give(c, tern_expand(c->graph, tern_onnx_in(c, 0), y));
}

static tern_status map_tile(tern_onnx_call *c)
{
    int64_t repeats[TERN_ONNX_MOST];
    int count, rank = c->in[0].shape.rank;
    TERN_TRY(tern_onnx_list(c, 1, "repeats", repeats, &count));
    if (count != rank) return tern_onnx_fail(c, "%d repeats for %d axes", count, rank);
    tern_value x = tern_onnx_in(c, 0);
    for (int d = 0; d < rank; d++) {
        tern_value copies[TERN_ONNX_MOST];
        if (repeats[d] < 1 || repeats[d] > TERN_ONNX_MOST)
            return tern_onnx_fail(c, "%lld repeats, expected 1 to %d", (long long)repeats[d], TERN_ONNX_MOST);
        for (int i = 0; i < repeats[d]; i++) copies[i] = x;
        if (repeats[d] > 1) x = tern_concat(c->graph, copies, (int)repeats[d], d);
    }
    return tern_onnx_give(c, x);
}

/* What is on and above (or below) diagonal k of the last two axes; zeros elsewhere. */
static tern_status map_trilu(tern_onnx_call *c)
{
    const tern_shape *s = &c->in[0].shape;
    bool upper = tern_onnx_int(c, "upper", 1) != 0;
    int64_t k[TERN_ONNX_MOST] = {0};
    int count;
    TERN_TRY(tern_onnx_list(c, 1, "k", k, &count));
    if (s->rank < 2) return tern_onnx_fail(c, "a matrix is expected, the input has %d axes", s->rank);
    int64_t rows = s->dim[s->rank - 2], columns = s->dim[s->rank - 1];
    tern_shape shape = TERN_SHAPE(rows, columns);
    if (rows > 1 << 14 || columns > 1 << 14)
        return tern_onnx_fail(c, "a matrix of more than 16384 rows or columns");
    double *mask = tern_arena_take(c->arena, (size_t)(rows * columns + 1) * sizeof *mask), zero = 0;
    if (!mask) return tern_no_memory((size_t)(rows * columns) * sizeof *mask, "a mask");
    for (int64_t i = 0; i < rows * columns; i++) {
        int64_t over = i % columns - i / columns - k[0];
        mask[i] = upper ? over >= 0 : over <= 0;
    }
    tern_value x = tern_onnx_in(c, 0), rest = tern_onnx_constant(c, (tern_shape){0}, &zero);
    return tern_onnx_give(c, tern_where(c->graph, tern_onnx_constant(c, shape, mask), x, rest));
}

/* ---- shapes, and tensors that are made of them ------------------------------------------------------------------------ */

static tern_status map_shape(tern_onnx_call *c)
{
    const tern_shape *s = &c->in[0].shape;
    double dims[TERN_MAX_RANK];
    int64_t start = tern_onnx_int(c, "start", 0), end = tern_onnx_int(c, "end", s->rank);
    if (start < 0) start += s->rank;
    if (end < 0) end += s->rank;
    start = start < 0 ? 0 : start;
    end = end > s->rank ? s->rank : end;
    if (start > end) start = end = 0;
    for (int64_t d = start; d < end; d++) dims[d - start] = (double)s->dim[d];
    return tern_onnx_give_known(c, TERN_ONNX_INT64, TERN_SHAPE(end - start), dims);
}

static tern_status map_size(tern_onnx_call *c)
{
    double count = (double)tern_elements(&c->in[0].shape);
    return tern_onnx_give_known(c, TERN_ONNX_INT64, (tern_shape){0}, &count);
}

/* The value stays where it is in the file; it is a parameter where it is many reals. */
static tern_status map_constant(tern_onnx_call *c)
{
    const tern_onnx_tensor *t = tern_onnx_constant_of(c->node);
    for (int i = 0; !t && i < c->node->attribute_count; i++) {
        const tern_onnx_attribute *a = &c->node->attributes[i];
        double one = (double)a->i;
        if (strcmp(a->name, "value_int") == 0)
            return tern_onnx_give_known(c, TERN_ONNX_INT64, (tern_shape){0}, &one);
        if (strcmp(a->name, "value_float") == 0)
            return tern_onnx_give_known(c, TERN_ONNX_FLOAT, (tern_shape){0}, &a->f);
        if (strcmp(a->name, "value_floats") == 0)
            return tern_onnx_give_known(c, TERN_ONNX_FLOAT, TERN_SHAPE(a->float_count), a->floats);
        if (strcmp(a->name, "value_ints") != 0) continue;
        double *numbers = tern_arena_take(c->arena, (size_t)(a->int_count + 1) * sizeof *numbers);
        if (!numbers) return tern_no_memory((size_t)a->int_count * sizeof *numbers, "a constant");
        for (int k = 0; k < a->int_count; k++) numbers[k] = (double)a->ints[k];
        return tern_onnx_give_known(c, TERN_ONNX_INT64, TERN_SHAPE(a->int_count), numbers);
    }
    if (!t) return tern_onnx_fail(c, "a constant without a tensor, number or list of numbers");
    c->out[0] = (tern_onnx_operand){.name = "", .type = t->type, .shape = t->shape, .tensor = t};
    return TERN_OK;
}

static tern_status map_constant_of_shape(tern_onnx_call *c)
{
    int64_t dims[TERN_ONNX_MOST];
    int count, type = TERN_ONNX_FLOAT;
    double value = 0;
    tern_shape shape;
    TERN_TRY(tern_onnx_list(c, 0, "the shape", dims, &count));
    TERN_TRY(shape_of(c, dims, count, &shape));
    for (int i = 0; i < c->node->attribute_count; i++) {
        const tern_onnx_tensor *t = c->node->attributes[i].tensor;
        if (!t) continue;
        if (tern_elements(&t->shape) != 1)
            return tern_onnx_fail(c, "its value has %lld elements, expected 1",
                                  (long long)tern_elements(&t->shape));
        TERN_TRY(tern_onnx_numbers(c->model, t, &value));
        type = t->type;
    }
    if (tern_elements(&shape) == 0) return tern_onnx_give_known(c, type, shape, NULL);
    tern_value one = tern_onnx_constant(c, (tern_shape){0}, &value);
    return tern_onnx_give_typed(c, tern_expand(c->graph, one, shape), type);
}

static tern_status map_range(tern_onnx_call *c)
{
    enum { MOST = 1 << 24 };
    const double *start, *limit, *delta;
    int count;
    TERN_TRY(tern_onnx_known(c, 0, "the start", &start, &count));
    TERN_TRY(tern_onnx_known(c, 1, "the limit", &limit, &count));
    TERN_TRY(tern_onnx_known(c, 2, "the step", &delta, &count));
    double n = *delta != 0 ? ceil((*limit - *start) / *delta) : -1;
    if (!(n >= 0 && n <= MOST)) return tern_onnx_fail(c, "%g numbers from %g on", n, *start);
    double *numbers = tern_arena_take(c->arena, ((size_t)n + 1) * sizeof *numbers);
    if (!numbers) return tern_no_memory((size_t)n * sizeof *numbers, "a range");
    for (int64_t i = 0; i < (int64_t)n; i++) numbers[i] = *start + (double)i * *delta;
    return tern_onnx_give_known(c, c->in[0].type, TERN_SHAPE((int64_t)n), numbers);
}

const tern_onnx_row tern_onnx_place_rows[] = {
    {"Identity", map_identity, 1, 1},   {"Dropout", map_identity, 1, 3}, /* of inference */
    {"Reshape", map_reshape, 2, 2},     {"Flatten", map_flatten, 1, 1},
    {"Squeeze", map_squeeze, 1, 2},     {"Unsqueeze", map_unsqueeze, 1, 2},
    {"Transpose", map_transpose, 1, 1}, {"Concat", map_concat, 1, TERN_ONNX_MOST},
    {"Split", map_split, 1, 2},         {"Slice", map_slice, 3, 5},
    {"Gather", map_gather, 2, 2},       {"Expand", map_expand, 2, 2},
    {"Tile", map_tile, 2, 2},           {"Trilu", map_trilu, 1, 2},
    {"Shape", map_shape, 1, 1},         {"Size", map_size, 1, 1},
    {"Constant", map_constant, 0, 0},   {"ConstantOfShape", map_constant_of_shape, 1, 1},
    {"Range", map_range, 3, 3},         {0}};
