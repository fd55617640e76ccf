/* TFLite operators over images: pools, borders, means, other sizes. */
#include "tflite/import.h"

#include "quant/quant.h"

#include <math.h>

enum { SAME, VALID };

/* ---- pools ----------------------------------------------------------------------------------------------------------- */

typedef struct pool {
    int high, wide, stride, border[4]; /* top, left, bottom, right */
    int activation;
} pool;

static tern_status open_pool(const tern_tflite_call *call, pool *p)
{
    tern_shape x = tern_tflite_shape(call, 0);
    int padding = tern_tflite_byte(call, 0), across = tern_tflite_whole(call, 1, 0),
        down = tern_tflite_whole(call, 2, 0);
    *p = (pool){.wide = tern_tflite_whole(call, 3, 0),
                .high = tern_tflite_whole(call, 4, 0),
                .activation = tern_tflite_byte(call, 5)};
    if (x.rank != 4) return tern_tflite_fail(call, "the input has %d axes, expected an image of 4", x.rank);
    if (p->high == x.dim[1] && p->wide == x.dim[2] && padding == VALID) across = down = 1; /* one window */
    if (x.dim[1] == 1 && p->high == 1) down = across;
    if (across < 1 || across != down || p->high < 1 || p->wide < 1 || across > 1 << 20 || p->high > 1 << 20 ||
        p->wide > 1 << 20 || padding < SAME || padding > VALID)
        return tern_tflite_fail(call,
                                "windows of %dx%d, %d and %d apart, padding %d: expected the same steps",
                                p->high, p->wide, down, across, padding);
    p->stride = across;
    const int kernel[] = {p->high, p->wide};
    for (int d = 0; padding == SAME && d < 2; d++) {
        int64_t out = (x.dim[1 + d] + across - 1) / across,
                all = (out - 1) * across + kernel[d] - x.dim[1 + d];
        if (all < 0) all = 0;
        p->border[d] = (int)(all / 2);
        p->border[2 + d] = (int)(all - all / 2);
    }
    return TERN_OK;
}

static bool has_border(const pool *p)
{
    return p->border[0] || p->border[1] || p->border[2] || p->border[3];
}

/* Limits of whole numbers behind a pool, where there are any: a table, or the same scale again. */
static tern_value limit(tern_tflite_call *call, const pool *p, tern_tflite_form form, tern_value y)
{
    int32_t low, high;
    int8_t table[256];
    if (form == TERN_TFLITE_FLOATS) return tern_tflite_activate(call, p->activation, y);
    tern_status status = tern_tflite_limits(call, p->activation, &low, &high);
    if (status != TERN_OK) return tern_graph_keep(call->graph, status);
    bool bytes = form == TERN_TFLITE_BYTES;
    if (low == (bytes ? INT8_MIN : INT16_MIN) && high == (bytes ? INT8_MAX : INT16_MAX)) return y;
    if (!bytes) {
        const int32_t one = 1 << 30;
        const int32_t q[TERN_RESCALE_CONSTANTS] = {0, one, 1, one, 1, 0, low, high};
        tern_value in[] = {y, tern_tflite_words(call, TERN_RESCALE_CONSTANTS, q)};
        return tern_apply(call->graph, &tern_op_rescale_int16, &(tern_int16_rescale_op){0}, in, 2, NULL);
    }
    for (int q = 0; q < 256; q++) table[q] = tern_clamp_byte(q - 128, low, high);
    tern_value in[] = {y, tern_tflite_bytes(call, 256, table)};
    return tern_apply(call->graph, &tern_op_table_int8, NULL, in, 2, NULL);
}

/* Pools of whole numbers keep scale and zero; floats have none. */
static tern_status check_same_scale(const tern_tflite_call *call)
{
    const tern_tflite_tensor *x = tern_tflite_in(call, 0), *y = tern_tflite_out(call, 0);
    if (y->type == TERN_TFLITE_F32 || (x->scale == y->scale && x->zero == y->zero)) return TERN_OK;
    return tern_tflite_fail(call, "scales %g and %g, zeros %d and %d: expected the same of input and output",
                            x->scale, y->scale, x->zero, y->zero);
}

static tern_status average_pool(tern_tflite_call *call)
{
    tern_shape s = tern_tflite_shape(call, 0);
    tern_value x, y;
    tern_tflite_form form;
    pool p;
    TERN_TRY(tern_tflite_form_of(call, &form));
    TERN_TRY(open_pool(call, &p));
    TERN_TRY(check_same_scale(call));
    if (has_border(&p))
        return tern_tflite_fail(call, "windows over the edge are not read: pad the image, or use VALID");
    x = tern_tflite_image(call, 0);
    if (form != TERN_TFLITE_FLOATS) {
        tern_int8_pool_op op = {p.high, p.wide, p.stride};
        y = tern_apply(call->graph, &tern_op_avg_pool2d_int8, &op, &x, 1, NULL);
    } else if (p.high == s.dim[1] && p.wide == s.dim[2]) {
        y = tern_mean(call->graph, x, .axis = 2, .axes = 2, .keep = true);
    } else if (p.high == p.wide) {
        y = tern_avg_pool2d(call->graph, x, .kernel = p.high, .stride = p.stride);
    } else {
        return tern_tflite_fail(call, "windows of %dx%d over floats: expected squares", p.high, p.wide);
    }
    return tern_tflite_give_image(call, 0, limit(call, &p, form, y));
}

/* Outside of the image is nothing: the lowest number there is. */
static tern_status max_pool(tern_tflite_call *call)
{
    static const double lowest[] = {[TERN_TFLITE_FLOATS] = -3.4028234663852886e38,
                                    [TERN_TFLITE_BYTES] = INT8_MIN,
                                    [TERN_TFLITE_SHORTS] = INT16_MIN};
    tern_tflite_form form;
    pool p;
    TERN_TRY(tern_tflite_form_of(call, &form));
    TERN_TRY(open_pool(call, &p));
    TERN_TRY(check_same_scale(call));
    tern_value x = tern_tflite_image(call, 0);
    tern_shape s = tern_shape_of(call->graph, x);
    bool line = call->graph->status == TERN_OK && s.dim[2] == 1 && p.high == 1;
    if (p.high != p.wide && !line)
        return tern_tflite_fail(call, "windows of %dx%d: expected squares", p.high, p.wide);
    for (int d = 0; d < 2 && call->graph->status == TERN_OK; d++) {
        int before = p.border[d], length = (int)s.dim[2 + d] + before + p.border[2 + d];
        if (length > s.dim[2 + d]) x = tern_pad_with(call->graph, x, 2 + d, before, length, lowest[form]);
    }
    tern_value y = tern_max_pool2d(call->graph, x, .kernel = p.wide, .stride = p.stride);
    return tern_tflite_give_image(call, 0, limit(call, &p, form, y));
}

/* ---- borders --------------------------------------------------------------------------------------------------------- */

/* A border of zeros around an image is put off: a convolution behind it takes it as its own. */
static void put_off(tern_tflite_call *call, const int64_t *border)
{
    tern_tflite_value *v = &call->values[call->op->outputs[0]];
    tern_shape s = tern_tflite_shape(call, 0);
    v->inner = 1 + call->op->inputs[0];
    v->top = (int)border[2], v->bottom = (int)border[3];
    v->left = (int)border[4], v->right = (int)border[5];
    s.dim[1] += border[2] + border[3];
    s.dim[2] += border[4] + border[5];
    v->shape = s;
    bool has = tern_tflite_is_image(call, 0);
    (void)(has ? tern_tflite_image(call, 0) : tern_tflite_plain(call, 0)); /* it is there from now on */
}

static tern_status check_border(const tern_tflite_call *call, int64_t *border, int axes)
{
    tern_shape s = tern_tflite_shape(call, 0), y = tern_tflite_out(call, 0)->shape;
    int count;
    TERN_TRY(tern_tflite_numbers(call, 1, "the border", border, 2 * TERN_MAX_RANK, &count));
    if (count != 2 * axes || y.rank != axes)
        return tern_tflite_fail(call, "%d numbers for %d axes", count, axes);
    for (int d = 0; d < axes; d++) {
        bool good = border[2 * d] >= 0 && border[2 * d + 1] >= 0 && border[2 * d] < 1 << 20 &&
                    border[2 * d + 1] < 1 << 20;
        int64_t length = s.dim[d] + border[2 * d] + border[2 * d + 1];
        if (!good || (d > 0 && length != y.dim[d]) || (d == 0 && (border[0] || border[1])))
            return tern_tflite_fail(call, "borders of %lld and %lld along axis %d", (long long)border[2 * d],
                                    (long long)border[2 * d + 1], d);
    }
    return TERN_OK;
}

static tern_status pad(tern_tflite_call *call)
{
    const tern_tflite_tensor *x = tern_tflite_in(call, 0), *y = tern_tflite_out(call, 0),
                             *with = tern_tflite_in(call, 2);
    int64_t border[2 * TERN_MAX_RANK];
    int axes = x->shape.rank;
    tern_tflite_form form;
    TERN_TRY(tern_tflite_form_of(call, &form));
    TERN_TRY(check_same_scale(call));
    TERN_TRY(check_border(call, border, axes));
    double fill = form == TERN_TFLITE_BYTES ? y->zero : 0, zero = fill;
    if (with && (with->type != x->type || with->bytes.count == 0 || tern_elements(&with->shape) != 1))
        return tern_tflite_fail(call, "what is put around is no constant of the type of the input");
    if (with) fill = tern_tflite_number(with, 0);
    const tern_tflite_value *v = &call->values[call->op->outputs[0]];
    bool fresh =
        !v->plain.id && !v->image.id && !v->flat.id && !v->inner && !y->bytes.count && !x->bytes.count;
    if (axes == 4 && fresh && border[6] == 0 && border[7] == 0 && fill == zero) {
        put_off(call, border);
        return TERN_OK;
    }
    tern_value value = tern_tflite_plain(call, 0);
    tern_shape s = tern_tflite_shape(call, 0);
    for (int d = 1; d < axes; d++)
        if (border[2 * d] || border[2 * d + 1])
            value = tern_pad_with(call->graph, value, d, (int)border[2 * d],
                                  (int)(s.dim[d] + border[2 * d] + border[2 * d + 1]), fill);
    return tern_tflite_give(call, 0, value);
}

/* ---- means ----------------------------------------------------------------------------------------------------------- */

/* Neighbouring axes first .. first + count - 1 of the file. */
static tern_status read_axes(const tern_tflite_call *call, int rank, int *first, int *count)
{
    int64_t axes[TERN_MAX_RANK];
    unsigned seen = 0;
    int n;
    TERN_TRY(tern_tflite_numbers(call, 1, "axes", axes, TERN_MAX_RANK, &n));
    for (int i = 0; i < n; i++) {
        if (axes[i] < 0) axes[i] += rank;
        if (axes[i] < 0 || axes[i] >= rank) return tern_tflite_fail(call, "an axis of a tensor of %d", rank);
        seen |= 1u << axes[i];
    }
    for (*first = 0; *first < rank && !(seen >> *first & 1);) ++*first;
    for (*count = 0; seen >> (*first + *count) & 1;) ++*count;
    if (*first > 0 && *count > 0 && seen == ((1u << *count) - 1) << *first) return TERN_OK;
    return tern_tflite_fail(call, "axes that are no neighbours, or the batch");
}

static tern_value mean_of(tern_tflite_call *call, tern_value x, tern_reduce_args args, tern_tflite_form form)
{
    const tern_tflite_tensor *from = tern_tflite_in(call, 0), *to = tern_tflite_out(call, 0);
    tern_shape s = tern_shape_of(call->graph, x);
    if (form == TERN_TFLITE_FLOATS) return tern_mean_with(call->graph, x, args);
    int64_t count = 1;
    for (int d = 0; d < args.axes && args.axis + d < s.rank; d++) count *= s.dim[args.axis + d];
    int32_t multiplier;
    int shift, whole = 0;
    tern_int8_multiplier(from->scale / to->scale, &multiplier, &shift);
    while (count >> (whole + 1))
        whole++; /* 1/count becomes part of the multiplier, as the reference rounds it */
    if (whole > 32) whole = 32;
    if (whole > 31 + shift) whole = 31 + shift;
    if (count < 1 || whole < 0)
        return tern_graph_fail(call->graph, "a mean of %lld elements", (long long)count);
    int32_t q[TERN_MEAN_CONSTANTS] = {from->zero, (int32_t)(((int64_t)multiplier << whole) / count),
                                      shift - whole, to->zero};
    tern_value in[] = {x, tern_tflite_words(call, TERN_MEAN_CONSTANTS, q)};
    return tern_apply(call->graph, &tern_op_mean_int8, &args, in, 2, NULL);
}

static tern_status mean(tern_tflite_call *call)
{
    tern_shape s = tern_tflite_shape(call, 0);
    tern_tflite_form form;
    bool keep = tern_tflite_byte(call, 0) != 0;
    int first = 0, count = 0;
    TERN_TRY(tern_tflite_form_of(call, &form));
    TERN_TRY(read_axes(call, s.rank, &first, &count));
    bool places = s.rank == 4 && first + count <= 3; /* axes 1 and 2: the channels stay */
    if (places && tern_tflite_is_image(call, 0)) {
        tern_reduce_args args = {.axis = first + 1, .axes = count, .keep = keep};
        tern_value y = mean_of(call, tern_tflite_image(call, 0), args, form);
        if (keep) return tern_tflite_give_image(call, 0, y);
        if (count == 1) y = tern_permute(call->graph, y, TERN_SHAPE(0, 2, 1)); /* [N,C,W] to [N,W,C] */
        return tern_tflite_give(call, 0, y);
    }
    tern_reduce_args args = {.axis = first, .axes = count, .keep = keep};
    return tern_tflite_give(call, 0, mean_of(call, tern_tflite_plain(call, 0), args, form));
}

/* ---- other sizes ----------------------------------------------------------------------------------------------------- */

/* Which input an output is nearest to, in single precision as the reference. */
static int64_t nearest(int64_t at, int64_t in, int64_t out, bool corners, bool half)
{
    float scale = corners && out > 1 ? (float)(in - 1) / (float)(out - 1) : (float)in / (float)out;
    float place = ((float)at + (half ? 0.5f : 0)) * scale;
    int64_t k = (int64_t)(corners ? roundf(place) : floorf(place));
    return k > in - 1 ? in - 1 : k;
}

static tern_status resize_nearest(tern_tflite_call *call)
{
    tern_shape s = tern_tflite_shape(call, 0);
    int64_t size[2], factor[2];
    int count;
    tern_tflite_form form;
    bool corners = tern_tflite_byte(call, 0) != 0, half = tern_tflite_byte(call, 1) != 0;
    TERN_TRY(tern_tflite_form_of(call, &form));
    TERN_TRY(check_same_scale(call));
    TERN_TRY(tern_tflite_numbers(call, 1, "the size", size, 2, &count));
    if (s.rank != 4 || count != 2) return tern_tflite_fail(call, "%d numbers for an image", count);
    for (int d = 0; d < 2; d++) {
        int64_t in = s.dim[1 + d];
        bool whole = in > 0 && size[d] > 0 && size[d] <= 1 << 20 && size[d] % in == 0;
        factor[d] = whole ? size[d] / in : 0;
        for (int64_t i = 0; whole && i < size[d]; i++)
            whole = nearest(i, in, size[d], corners, half) == i / factor[d];
        if (!whole)
            return tern_tflite_fail(call,
                                    "size %lld of %lld: expected a multiple whose elements are repeated",
                                    (long long)size[d], (long long)in);
    }
    tern_value x = tern_tflite_image(call, 0);
    int64_t n = s.dim[0], c = s.dim[3];
    x = tern_reshape(call->graph, x, TERN_SHAPE(n * c, s.dim[1], 1, s.dim[2], 1));
    x = tern_expand(call->graph, x, TERN_SHAPE(n * c, s.dim[1], factor[0], s.dim[2], factor[1]));
    return tern_tflite_give_image(call, 0, tern_reshape(call->graph, x, TERN_SHAPE(n, c, size[0], size[1])));
}

static tern_status resize_bilinear(tern_tflite_call *call)
{
    tern_shape s = tern_tflite_shape(call, 0);
    int64_t size[2];
    int count;
    bool bytes, corners = tern_tflite_byte(call, 2) != 0, half = tern_tflite_byte(call, 3) != 0;
    TERN_TRY(tern_tflite_kind_of(call, &bytes));
    TERN_TRY(check_same_scale(call));
    TERN_TRY(tern_tflite_numbers(call, 1, "the size", size, 2, &count));
    if (s.rank != 4 || count != 2 || size[0] < 1 || size[1] < 1 || (corners && half))
        return tern_tflite_fail(call,
                                "%d numbers for an image of %d axes, corners on corners %d, in the middle %d",
                                count, s.rank, corners, half);
    tern_value x = tern_tflite_image(call, 0), y;
    if (bytes) {
        tern_int8_resize_op op = {(int)size[0], (int)size[1], corners, half};
        y = tern_apply(call->graph, &tern_op_resize_int8, &op, &x, 1, NULL);
    } else {
        y = tern_resize2d(call->graph, x, .height = (int)size[0], .width = (int)size[1],
                          .mode = TERN_RESIZE_LINEAR,
                          .places = corners ? TERN_AT_CORNERS
                                    : half  ? TERN_AT_HALF_PIXEL
                                            : TERN_AT_ORIGIN);
    }
    return tern_tflite_give_image(call, 0, y);
}

const tern_tflite_row tern_tflite_image_rows[] = {
    {1, "AVERAGE_POOL_2D", "pool", average_pool, 1, 1},
    {17, "MAX_POOL_2D", "pool", max_pool, 1, 1},
    {23, "RESIZE_BILINEAR", "resize", resize_bilinear, 2, 2},
    {34, "PAD", "pad", pad, 2, 2},
    {40, "MEAN", "mean", mean, 2, 2},
    {60, "PADV2", "pad", pad, 3, 3},
    {97, "RESIZE_NEAREST_NEIGHBOR", "resize", resize_nearest, 2, 2},
    {0},
};
