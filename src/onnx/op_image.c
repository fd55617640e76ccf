/* ONNX operators over images and sequences: convolution, pooling, batch norm, borders, other sizes.
 *
 * Tern's windows are the same along both axes and sequences are images of height 1; what is not (a border that is wider on
 * one side, as "SAME" gives) becomes a step of its own. */
#include "onnx/import.h"

#include "op/norm.h"

#include <math.h>
#include <string.h>

/* Windows as the attributes say, along height and width; of sequences the height is 1. */
typedef struct window {
    int axes; /* 1: sequences, 2: images */
    int64_t kernel[2], stride[2], dilation[2], before[2], behind[2];
} window;

static tern_status read_pair(tern_onnx_call *c, const char *name, int axes, int64_t standard, int64_t out[2])
{
    int count;
    const int64_t *ints = tern_onnx_ints(c, name, &count);
    out[0] = axes == 1 ? 1 : standard;
    out[1] = standard;
    if (!ints) return TERN_OK;
    if (count != axes) return tern_onnx_fail(c, "%s has %d numbers, expected %d", name, count, axes);
    for (int i = 0; i < axes; i++) {
        out[2 - axes + i] = ints[i];
        if (ints[i] < 1 || ints[i] > 1 << 20)
            return tern_onnx_fail(c, "%s is %lld", name, (long long)ints[i]);
    }
    return TERN_OK;
}

static tern_status read_pads(tern_onnx_call *c, window *w)
{
    int count;
    const int64_t *pads = tern_onnx_ints(c, "pads", &count);
    if (pads && count != 2 * w->axes)
        return tern_onnx_fail(c, "pads has %d numbers, expected %d", count, 2 * w->axes);
    for (int i = 0; pads && i < w->axes; i++) {
        w->before[2 - w->axes + i] = pads[i];
        w->behind[2 - w->axes + i] = pads[w->axes + i];
        if (pads[i] < 0 || pads[w->axes + i] < 0 || pads[i] > 1 << 20 || pads[w->axes + i] > 1 << 20)
            return tern_onnx_fail(c, "pads has a number outside 0 .. 2^20");
    }
    return TERN_OK;
}

/* auto_pad: as many outputs as inputs over stride, the odd one behind (SAME_UPPER) or before. */
static tern_status pad_by_size(tern_onnx_call *c, window *w, const tern_shape *x)
{
    const char *kind = tern_onnx_text(c, "auto_pad", "NOTSET");
    bool upper = strcmp(kind, "SAME_UPPER") == 0, lower = strcmp(kind, "SAME_LOWER") == 0;
    if (strcmp(kind, "NOTSET") == 0 || strcmp(kind, "VALID") == 0 || !*kind) return TERN_OK;
    if (!upper && !lower) return tern_onnx_fail(c, "auto_pad is \"%.40s\"", kind);
    for (int i = 2 - w->axes; i < 2; i++) {
        int64_t in = x->dim[x->rank - 2 + i], step = w->stride[i];
        int64_t out = (in + step - 1) / step; // NOLINT(*DivideZero): read_pair has strides from 1 on
        int64_t all = (out - 1) * step + (w->kernel[i] - 1) * w->dilation[i] + 1 - in;
        if (all < 0) all = 0;
        w->before[i] = upper ? all / 2 : all - all / 2;
        w->behind[i] = all - w->before[i];
    }
    return TERN_OK;
}

/* x as [N,C,H,W], and the window over it.  kernel: of the weights; 0: the attribute says it. */
static tern_status open_window(tern_onnx_call *c, window *w, const int64_t *kernel, tern_value *x)
{
    tern_shape s = c->in[0].shape;
    char text[96];
    *w = (window){.axes = s.rank - 2};
    if (s.rank != 3 && s.rank != 4)
        return tern_onnx_fail(c, "the input is %s, expected [N,C,L] or [N,C,H,W]", tern_shape_text(text, &s));
    TERN_TRY(read_pair(c, "kernel_shape", w->axes, 0, w->kernel));
    TERN_TRY(read_pair(c, "strides", w->axes, 1, w->stride));
    TERN_TRY(read_pair(c, "dilations", w->axes, 1, w->dilation));
    TERN_TRY(read_pads(c, w));
    for (int i = 2 - w->axes; i < 2; i++) {
        if (kernel && w->kernel[i] && w->kernel[i] != kernel[i])
            return tern_onnx_fail(c, "kernel_shape is %lld, the weights have %lld", (long long)w->kernel[i],
                                  (long long)kernel[i]);
        if (kernel) w->kernel[i] = kernel[i];
        if (w->kernel[i] < 1) return tern_onnx_fail(c, "kernel_shape is missing");
    }
    TERN_TRY(pad_by_size(c, w, &s));
    *x = tern_onnx_in(c, 0);
    if (w->axes == 1) *x = tern_reshape(c->graph, *x, TERN_SHAPE(s.dim[0], s.dim[1], 1, s.dim[2]));
    return tern_graph_status(c->graph);
}

/* Of [N,C,1,L] what the caller calls [N,C,L]. */
static tern_status give_image(tern_onnx_call *c, const window *w, tern_value y)
{
    tern_shape s = tern_shape_of(c->graph, y);
    if (w->axes == 1) y = tern_reshape(c->graph, y, TERN_SHAPE(s.dim[0], s.dim[1], s.dim[3]));
    return tern_onnx_give(c, y);
}

/* Brings borders that differ into the image itself; what is left is the same on all sides. */
static tern_value even_border(tern_onnx_call *c, window *w, tern_value x, double fill, int *pad)
{
    bool even = w->before[1] == w->behind[1] &&
                (w->axes == 1 || (w->before[0] == w->behind[0] && w->before[0] == w->before[1]));
    *pad = even ? (int)w->before[1] : 0;
    for (int i = 0; !even && i < 2; i++)
        x = tern_onnx_surround(c, x, 2 + i, w->before[i], w->behind[i], fill);
    return x;
}

/* The stride of both axes; an axis of which one window is all has any. */
static tern_status one_of(tern_onnx_call *c, const char *what, const int64_t pair[2], const window *w,
                          int *one)
{
    *one = (int)pair[1];
    if (w->axes == 1 || pair[0] == pair[1]) return TERN_OK;
    return tern_onnx_fail(
        c, "%s is %lld along height and %lld along width; Tern has windows that are the same along both",
        what, (long long)pair[0], (long long)pair[1]);
}

/* ---- convolution ------------------------------------------------------------------------------------------------------ */

/* Weights as [O,I,KH,KW]. */
static tern_status open_weights(tern_onnx_call *c, tern_value *weight, int64_t kernel[2])
{
    tern_shape s = c->in[1].shape;
    char text[96];
    if (s.rank != c->in[0].shape.rank || s.rank < 3 || s.rank > 4)
        return tern_onnx_fail(c, "the weights are %s, the input has %d axes", tern_shape_text(text, &s),
                              c->in[0].shape.rank);
    *weight = tern_onnx_in(c, 1);
    kernel[0] = s.rank == 3 ? 1 : s.dim[2];
    kernel[1] = s.dim[s.rank - 1];
    if (s.rank == 3) *weight = tern_reshape(c->graph, *weight, TERN_SHAPE(s.dim[0], s.dim[1], 1, s.dim[2]));
    return TERN_OK;
}

static tern_status map_conv(tern_onnx_call *c)
{
    window w;
    tern_value in[3];
    int64_t kernel[2], groups = tern_onnx_int(c, "group", 1);
    tern_conv_op op = {.groups = (int)groups};
    if (groups < 1 || groups > 1 << 20) return tern_onnx_fail(c, "group is %lld", (long long)groups);
    TERN_TRY(open_weights(c, &in[1], kernel));
    TERN_TRY(open_window(c, &w, kernel, &in[0]));
    TERN_TRY(one_of(c, "stride", w.stride, &w, &op.stride));
    TERN_TRY(one_of(c, "dilation", w.dilation, &w, &op.dilation));
    in[0] = even_border(c, &w, in[0], 0, &op.pad);
    bool bias = tern_onnx_has(c, 2);
    if (bias) in[2] = tern_onnx_in(c, 2);
    return give_image(c, &w, tern_apply(c->graph, &tern_op_conv2d, &op, in, bias ? 3 : 2, NULL));
}

/* y = stride (x - 1) + dilation (k - 1) + 1 + output_padding - pads */
static tern_status map_conv_transpose(tern_onnx_call *c)
{
    tern_graph *g = c->graph;
    window w;
    tern_value in[2];
    int64_t kernel[2], extra[2] = {0}, groups = tern_onnx_int(c, "group", 1);
    int count;
    tern_conv_op op = {.groups = (int)groups};
    if (groups < 1 || groups > 1 << 20) return tern_onnx_fail(c, "group is %lld", (long long)groups);
    TERN_TRY(open_weights(c, &in[1], kernel));
    TERN_TRY(open_window(c, &w, kernel, &in[0]));
    TERN_TRY(one_of(c, "stride", w.stride, &w, &op.stride));
    TERN_TRY(one_of(c, "dilation", w.dilation, &w, &op.dilation));
    const int64_t *more = tern_onnx_ints(c, "output_padding", &count);
    if (more && count != w.axes) return tern_onnx_fail(c, "output_padding has %d numbers", count);
    for (int i = 0; more && i < w.axes; i++) extra[2 - w.axes + i] = more[i];
    if (tern_onnx_ints(c, "output_shape", &count) || *tern_onnx_text(c, "auto_pad", "NOTSET") == 'S')
        return tern_onnx_fail(c, "output_shape and auto_pad of transposed convolutions; expected pads");
    op.like = tern_shape_of(g, in[0]);
    op.like.dim[1] = c->in[1].shape.dim[1] * groups;
    for (int i = 2 - w.axes; i < 2; i++) {
        if (w.before[i] != w.behind[i] || w.before[i] != w.before[1] || extra[i] < 0 ||
            extra[i] >= w.stride[i])
            return tern_onnx_fail(c, "pads that differ, or output_padding not below the stride");
        op.like.dim[2 + i] = (op.like.dim[2 + i] - 1) * w.stride[i] + (w.kernel[i] - 1) * w.dilation[i] + 1 +
                             extra[i] - 2 * w.before[i];
    }
    op.pad = (int)w.before[1];
    TERN_TRY(tern_shape_check(&op.like, "the result"));
    tern_value y = tern_apply(g, &tern_op_conv2d_grad_input, &op, in, 2, NULL);
    if (tern_onnx_has(c, 2)) y = tern_add(g, y, tern_reshape(g, tern_onnx_in(c, 2), TERN_SHAPE(-1, 1, 1)));
    return give_image(c, &w, y);
}

/* ---- pooling -------------------------------------------------------------------------------------------------------------- */

typedef struct pool_op { /* the arguments of the pooling operators */
    int kernel, stride, pad;
    tern_shape like;
} pool_op;

/* ceil_mode: a last window that begins inside the image or its border before it, and ends behind it. */
static void round_up(tern_onnx_call *c, window *w, const tern_shape *x)
{
    for (int i = 2 - w->axes; tern_onnx_int(c, "ceil_mode", 0) && i < 2; i++) {
        int64_t in = x->dim[x->rank - 2 + i], all = in + w->before[i] + w->behind[i] - w->kernel[i];
        if (all < 0 || all % w->stride[i] == 0) continue;
        int64_t out = all / w->stride[i] + 1;
        if (out * w->stride[i] >= in + w->before[i]) continue;
        w->behind[i] += out * w->stride[i] + w->kernel[i] - (in + w->before[i] + w->behind[i]);
    }
}

/* Pooled image with a border of `fill` wherever windows lie over the edge unevenly. */
static tern_status pool(tern_onnx_call *c, const tern_op *op, double fill, bool even, tern_value *y,
                        window *w)
{
    pool_op args = {0};
    tern_value x;
    TERN_TRY(open_window(c, w, NULL, &x));
    if (w->dilation[0] != 1 || w->dilation[1] != 1) return tern_onnx_fail(c, "dilated windows of a pool");
    TERN_TRY(one_of(c, "kernel_shape", w->kernel, w, &args.kernel));
    TERN_TRY(one_of(c, "stride", w->stride, w, &args.stride));
    round_up(c, w, &c->in[0].shape);
    bool own = even && w->before[1] < args.kernel; /* the operator's own border leaves out what is outside */
    int pad = 0;
    if (own)
        x = even_border(c, w, x, fill, &pad);
    else
        for (int i = 0; i < 2; i++) x = tern_onnx_surround(c, x, 2 + i, w->before[i], w->behind[i], fill);
    args.pad = pad;
    *y = tern_apply(c->graph, op, &args, &x, 1, NULL);
    return TERN_OK;
}

static tern_status map_max_pool(tern_onnx_call *c)
{
    window w;
    tern_value y;
    if (c->nout > 1 && *c->node->outputs[1]) return tern_onnx_fail(c, "indices of the maxima are asked for");
    TERN_TRY(pool(c, &tern_op_max_pool2d, -INFINITY, true, &y, &w));
    return give_image(c, &w, y);
}

/* Elements of the window at output o that count: those in the image, with the border (`all`) those in it, too. */
static double counted(const window *w, int i, int64_t in, int64_t o, bool all, int64_t rounded)
{
    int64_t first = o * w->stride[i] - w->before[i], last = first + w->kernel[i];
    int64_t low = all ? -w->before[i] : 0, high = all ? in + w->behind[i] - rounded : in;
    return (double)((last < high ? last : high) - (first > low ? first : low));
}

/* Sums of windows with zeros around, over how many elements count: what an uneven border, or one that counts, asks for. */
static tern_status uneven_mean(tern_onnx_call *c, window *w, tern_value y, bool all)
{
    window plain = *w; /* without what rounding up has added */
    memset(plain.before, 0, sizeof plain.before);
    memset(plain.behind, 0, sizeof plain.behind);
    TERN_TRY(read_pads(c, &plain));
    TERN_TRY(pad_by_size(c, &plain, &c->in[0].shape));
    tern_shape s = tern_shape_of(c->graph, y), ratio = TERN_SHAPE(s.dim[2], s.dim[3]);
    const tern_shape *x = &c->in[0].shape;
    double *numbers = tern_arena_take(c->arena, (size_t)tern_elements(&ratio) * sizeof *numbers);
    if (!numbers) return tern_no_memory((size_t)tern_elements(&ratio) * sizeof *numbers, "a pool");
    double area = (double)(w->kernel[0] * w->kernel[1]);
    for (int64_t p = 0; p < tern_elements(&ratio); p++) {
        int64_t at[2] = {p / s.dim[3], p % s.dim[3]};
        double count = 1;
        for (int i = 2 - w->axes; i < 2; i++)
            count *= counted(w, i, x->dim[x->rank - 2 + i], at[i], all, w->behind[i] - plain.behind[i]);
        numbers[p] = area / count;
    }
    return give_image(c, w, tern_multiply(c->graph, y, tern_onnx_constant(c, ratio, numbers)));
}

static tern_status map_average_pool(tern_onnx_call *c)
{
    window w;
    tern_value y;
    bool all = tern_onnx_int(c, "count_include_pad", 0) != 0, even;
    TERN_TRY(open_window(c, &w, NULL, &y));
    round_up(c, &w, &c->in[0].shape);
    even = w.before[1] == w.behind[1] && w.before[1] < w.kernel[1] &&
           (w.axes == 1 || (w.before[0] == w.behind[0] && w.before[0] == w.before[1]));
    bool none = even && w.before[1] == 0;
    TERN_TRY(pool(c, &tern_op_avg_pool2d, 0, even && !all, &y, &w));
    if (none || (even && !all)) return give_image(c, &w, y);
    TERN_TRY(tern_graph_status(c->graph));
    return uneven_mean(c, &w, y, all);
}

static tern_status global_pool(tern_onnx_call *c, bool highest)
{
    int rank = c->in[0].shape.rank;
    if (rank < 3) return tern_onnx_fail(c, "the input has %d axes, expected [N,C,..]", rank);
    tern_value x = tern_onnx_in(c, 0);
    tern_reduce_args args = {.axis = 2, .axes = rank - 2, .keep = true};
    return tern_onnx_give(c, highest ? tern_max_with(c->graph, x, args) : tern_mean_with(c->graph, x, args));
}

static tern_status map_global_average_pool(tern_onnx_call *c)
{
    return global_pool(c, false);
}

static tern_status map_global_max_pool(tern_onnx_call *c)
{
    return global_pool(c, true);
}

/* ---- batch norm ------------------------------------------------------------------------------------------------------------ */

/* Statistics of an initialiser are a state, not a parameter. */
static tern_value statistics(tern_onnx_call *c, int input)
{
    tern_onnx_operand *x = &c->in[input];
    if (!x->value.id && x->tensor && tern_onnx_is_parameter(x->tensor) && !c->computing)
        x->value = tern_state(c->graph, x->name, TERN_F32, x->shape, (tern_init){0}, true);
    return tern_onnx_in(c, input);
}

static tern_status map_batch_norm(tern_onnx_call *c)
{
    const tern_shape *s = &c->in[0].shape;
    if (tern_onnx_int(c, "training_mode", 0))
        return tern_onnx_fail(c, "training_mode; export the net for inference");
    if (s->rank < 2) return tern_onnx_fail(c, "the input has %d axes, expected [N,C,..]", s->rank);
    int64_t inner = tern_elements_from(s, 2);
    for (int i = 1; i < 5; i++)
        if (tern_elements(&c->in[i].shape) != s->dim[1] || inner < 1 || inner > INT32_MAX)
            return tern_onnx_fail(c, "input %d has %lld elements for %lld channels", i,
                                  (long long)tern_elements(&c->in[i].shape), (long long)s->dim[1]);
    tern_norm_op op = {.epsilon = tern_onnx_real(c, "epsilon", 1e-5), .momentum = 0.1, .inner = (int)inner};
    tern_value in[] = {tern_onnx_in(c, 0), tern_onnx_in(c, 1), tern_onnx_in(c, 2), statistics(c, 3),
                       statistics(c, 4)},
               out[5];
    if (!tern_apply(c->graph, &tern_op_batch_norm, &op, in, 5, out).id) return TERN_OK;
    return tern_onnx_give(c, out[0]);
}

/* ---- borders, blocks of pixels --------------------------------------------------------------------------------------------- */

static tern_status map_pad(tern_onnx_call *c)
{
    int64_t pads[TERN_ONNX_MOST], axes[TERN_ONNX_MOST];
    int count, axes_count, rank = c->in[0].shape.rank, one;
    double fill = 0;
    const double *value;
    const char *mode = tern_onnx_text(c, "mode", "constant");
    if (strcmp(mode, "constant") != 0) return tern_onnx_fail(c, "mode is \"%.40s\", expected constant", mode);
    TERN_TRY(tern_onnx_list(c, 1, "pads", pads, &count));
    TERN_TRY(tern_onnx_list(c, 3, "axes", axes, &axes_count));
    if (tern_onnx_has(c, 2)) {
        TERN_TRY(tern_onnx_known(c, 2, "the value of the border", &value, &one));
        if (one == 1) fill = *value;
    }
    int pairs = axes_count < 0 ? rank : axes_count;
    if (count != 2 * pairs) return tern_onnx_fail(c, "%d pads for %d axes", count, pairs);
    tern_value x = tern_onnx_in(c, 0);
    for (int i = 0; i < pairs; i++) {
        int axis;
        TERN_TRY(tern_onnx_axis(c, axes_count < 0 ? i : axes[i], rank, &axis));
        int64_t before = pads[i], behind = pads[pairs + i], length = tern_shape_of(c->graph, x).dim[axis];
        int64_t first = before < 0 ? -before : 0, last = length + (behind < 0 ? behind : 0);
        if (first >= last || length > INT32_MAX || before > INT32_MAX || behind > INT32_MAX)
            return tern_onnx_fail(c, "pads %lld and %lld of an axis of %lld", (long long)before,
                                  (long long)behind, (long long)length);
        if (first > 0 || last < length) x = tern_slice(c->graph, x, axis, (int)first, (int)(last - first));
        x = tern_onnx_surround(c, x, axis, before > 0 ? before : 0, behind > 0 ? behind : 0, fill);
        TERN_TRY(tern_graph_status(c->graph));
    }
    return tern_onnx_give(c, x);
}

/* [N, b b C, H, W] (or C b b) -> [N, C, b H, b W], and back. */
static tern_status blocks(tern_onnx_call *c, bool to_space)
{
    tern_graph *g = c->graph;
    const tern_shape *s = &c->in[0].shape;
    int64_t b = tern_onnx_int(c, "blocksize", 0);
    bool columns_first = strcmp(tern_onnx_text(c, "mode", "DCR"), "CRD") == 0;
    int64_t channels = s->rank == 4 && b > 0 && b < 4096 ? s->dim[1] : 0, h = s->dim[2], w = s->dim[3],
            n = s->dim[0];
    if (channels < 1 || (to_space ? channels % (b * b) : h % b || w % b))
        return tern_onnx_fail(c, "blocks of %lld do not divide the input", (long long)b);
    tern_value x = tern_onnx_in(c, 0);
    if (!to_space) {
        x = tern_permute(g, tern_reshape(g, x, TERN_SHAPE(n * channels, h / b, b, w / b, b)),
                         TERN_SHAPE(0, 2, 4, 1, 3));
        x = tern_permute(g, tern_reshape(g, x, TERN_SHAPE(n, channels, b * b, h / b * (w / b))),
                         TERN_SHAPE(0, 2, 1, 3));
        return tern_onnx_give(c, tern_reshape(g, x, TERN_SHAPE(n, channels * b * b, h / b, w / b)));
    }
    channels /= b * b;
    if (columns_first)
        x = tern_permute(g, tern_reshape(g, x, TERN_SHAPE(n * channels, b, b, h, w)),
                         TERN_SHAPE(0, 3, 1, 4, 2));
    else
        x = tern_permute(g, tern_reshape(g, x, TERN_SHAPE(n, b, b, channels, h, w)),
                         TERN_SHAPE(0, 3, 4, 1, 5, 2));
    return tern_onnx_give(c, tern_reshape(g, x, TERN_SHAPE(n, channels, b * h, b * w)));
}

static tern_status map_depth_to_space(tern_onnx_call *c)
{
    return blocks(c, true);
}

static tern_status map_space_to_depth(tern_onnx_call *c)
{
    return blocks(c, false);
}

/* ---- other sizes ------------------------------------------------------------------------------------------------- */

/* Which of the names an attribute is. */
static tern_status pick(const tern_onnx_call *c, const char *attribute, const char *standard,
                        const char *const *names, int *which)
{
    const char *found = tern_onnx_text(c, attribute, standard);
    for (*which = 0; names[*which]; ++*which)
        if (strcmp(names[*which], found) == 0) return TERN_OK;
    return tern_onnx_fail(c, "%s is \"%.40s\", which Tern has not", attribute, found);
}

/* Scale and size of each axis, from scales (input 2) or sizes (input 3), of all axes or of those that are listed. */
static tern_status read_scales(tern_onnx_call *c, double scale[TERN_MAX_RANK], int64_t size[TERN_MAX_RANK])
{
    const tern_shape *x = &c->in[0].shape;
    const double *numbers;
    const int64_t *axes;
    int count, axes_count, rank = x->rank;
    bool sizes = tern_onnx_has(c, 3) && tern_elements(&c->in[3].shape) > 0;
    if (!sizes && !tern_onnx_has(c, 2)) return tern_onnx_fail(c, "neither scales nor sizes");
    TERN_TRY(tern_onnx_known(c, sizes ? 3 : 2, sizes ? "the size" : "the scale", &numbers, &count));
    axes = tern_onnx_ints(c, "axes", &axes_count);
    if (count != (axes ? axes_count : rank))
        return tern_onnx_fail(c, "%d sizes or scales of %d axes", count, rank);
    for (int d = 0; d < rank; d++) {
        scale[d] = 1;
        size[d] = x->dim[d];
    }
    for (int i = 0; i < count; i++) {
        int axis;
        TERN_TRY(tern_onnx_axis(c, axes ? axes[i] : i, rank, &axis));
        double new_size = sizes ? numbers[i] : floor((double)x->dim[axis] * numbers[i]);
        if (!(new_size >= 1 && new_size <= 1 << 24))
            return tern_onnx_fail(c, "%g elements of axis %d", new_size, axis);
        size[axis] = (int64_t)new_size;
        scale[axis] = sizes ? new_size / (double)x->dim[axis] : numbers[i];
    }
    return TERN_OK;
}

static tern_status map_resize(tern_onnx_call *c)
{
    static const char *const modes[] = {"nearest", "linear", "cubic", NULL};
    static const char *const places[] = {"half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel",
                                         NULL};
    static const char *const roundings[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL};
    double scale[TERN_MAX_RANK] = {0};
    int64_t size[TERN_MAX_RANK] = {0};
    int mode, place, rounding, rank = c->in[0].shape.rank;
    if (rank != 3 && rank != 4)
        return tern_onnx_fail(c, "the input has %d axes, expected [N,C,L] or [N,C,H,W]", rank);
    TERN_TRY(pick(c, "mode", "nearest", modes, &mode));
    TERN_TRY(pick(c, "coordinate_transformation_mode", "half_pixel", places, &place));
    TERN_TRY(pick(c, "nearest_mode", "round_prefer_floor", roundings, &rounding));
    if (tern_onnx_int(c, "antialias", 0) || tern_onnx_int(c, "exclude_outside", 0) ||
        strcmp(tern_onnx_text(c, "keep_aspect_ratio_policy", "stretch"), "stretch") != 0)
        return tern_onnx_fail(c,
                              "antialias, exclude_outside or keep_aspect_ratio_policy, which Tern has not");
    TERN_TRY(read_scales(c, scale, size));
    if (size[0] != c->in[0].shape.dim[0] || size[1] != c->in[0].shape.dim[1])
        return tern_onnx_fail(c, "batch or channels of another size");
    window line = {.axes = rank - 2};
    tern_value x = tern_onnx_in(c, 0);
    if (rank == 3) x = tern_reshape(c->graph, x, TERN_SHAPE(size[0], size[1], 1, c->in[0].shape.dim[2]));
    tern_resize2d_args args = {.height = rank == 3 ? 1 : (int)size[2],
                               .width = (int)size[rank - 1],
                               .mode = (tern_resize_mode)mode,
                               .places = (tern_resize_places)place,
                               .rounding = (tern_resize_rounding)rounding,
                               .scale_y = rank == 3 ? 1 : scale[2],
                               .scale_x = scale[rank - 1],
                               .cubic = tern_onnx_real(c, "cubic_coeff_a", -0.75)};
    return give_image(c, &line, tern_resize2d_with(c->graph, x, args));
}

const tern_onnx_row tern_onnx_image_rows[] = {{"Conv", map_conv, 2, 3},
                                              {"ConvTranspose", map_conv_transpose, 2, 3},
                                              {"MaxPool", map_max_pool, 1, 1},
                                              {"AveragePool", map_average_pool, 1, 1},
                                              {"GlobalAveragePool", map_global_average_pool, 1, 1},
                                              {"GlobalMaxPool", map_global_max_pool, 1, 1},
                                              {"BatchNormalization", map_batch_norm, 5, 5},
                                              {"Resize", map_resize, 1, 4},
                                              {"Pad", map_pad, 2, 4},
                                              {"DepthToSpace", map_depth_to_space, 1, 1},
                                              {"SpaceToDepth", map_space_to_depth, 1, 1},
                                              {0}};
