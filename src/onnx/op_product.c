/* ONNX operators that sum: products of matrices, reductions, softmax and norms over rows. */
#include "onnx/import.h"

#include "op/norm.h"

#include <string.h>

static tern_value number(tern_onnx_call *c, double value)
{
    return tern_onnx_constant(c, (tern_shape){0}, &value);
}

/* The last two axes exchanged. */
static tern_value transposed(tern_graph *g, tern_value x)
{
    int rank = tern_shape_of(g, x).rank;
    tern_shape order = {.rank = rank};
    for (int d = 0; d < rank; d++) order.dim[d] = d < rank - 2 ? d : 2 * rank - 3 - d;
    return tern_permute(g, x, order);
}

/* ---- products ------------------------------------------------------------------------------------------------------ */

/* alpha A B + beta C, A and B transposed where it says so: a layer of weights [N,K] where B is [K,N] transposed. */
static tern_status map_gemm(tern_onnx_call *c)
{
    tern_graph *g = c->graph;
    double alpha = tern_onnx_real(c, "alpha", 1), beta = tern_onnx_real(c, "beta", 1);
    if (c->in[0].shape.rank != 2 || c->in[1].shape.rank != 2)
        return tern_onnx_fail(c, "A has %d axes and B %d, expected 2", c->in[0].shape.rank,
                              c->in[1].shape.rank);
    tern_value a = tern_onnx_in(c, 0), b = tern_onnx_in(c, 1), bias = {0};
    if (tern_onnx_int(c, "transA", 0)) a = transposed(g, a);
    if (!tern_onnx_int(c, "transB", 0)) b = transposed(g, b);
    bool rest = tern_onnx_has(c, 2);
    int64_t columns = tern_shape_of(g, b).dim[0];
    if (rest && alpha == 1 && beta == 1 && tern_elements(&c->in[2].shape) == columns &&
        c->in[2].shape.rank > 0 && c->in[2].shape.dim[c->in[2].shape.rank - 1] == columns) {
        bias = tern_onnx_in(c, 2);
        rest = false;
    }
    tern_value y = tern_multiply_weight(g, a, b, bias);
    if (alpha != 1) y = tern_multiply(g, y, number(c, alpha));
    if (rest)
        y = tern_add(g, y,
                     beta == 1 ? tern_onnx_in(c, 2) : tern_multiply(g, tern_onnx_in(c, 2), number(c, beta)));
    return tern_onnx_give(c, y);
}

/* Leading axes of both as those of their broadcast. */
static tern_status match_axes(tern_onnx_call *c, tern_value *a, tern_value *b)
{
    tern_shape sa = tern_shape_of(c->graph, *a), sb = tern_shape_of(c->graph, *b), la = sa, lb = sb, lead;
    char ta[96], tb[96];
    la.rank -= 2;
    lb.rank -= 2;
    if (!tern_broadcast(&la, &lb, &lead) || sa.dim[sa.rank - 1] != sb.dim[sb.rank - 2])
        return tern_onnx_fail(c, "%s times %s", tern_shape_text(ta, &sa), tern_shape_text(tb, &sb));
    tern_shape ya = lead, yb = lead;
    ya.rank = yb.rank = lead.rank + 2;
    for (int d = 0; d < 2; d++) {
        ya.dim[lead.rank + d] = sa.dim[sa.rank - 2 + d];
        yb.dim[lead.rank + d] = sb.dim[sb.rank - 2 + d];
    }
    *a = tern_expand(c->graph, *a, ya);
    *b = tern_expand(c->graph, *b, yb);
    return TERN_OK;
}

/* As numpy: vectors are a row and a column; a matrix of weights stands for all leading axes. */
static tern_status map_matmul(tern_onnx_call *c)
{
    tern_graph *g = c->graph;
    tern_shape sa = c->in[0].shape, sb = c->in[1].shape;
    tern_value a = tern_onnx_in(c, 0), b = tern_onnx_in(c, 1);
    if (sa.rank < 1 || sb.rank < 1) return tern_onnx_fail(c, "a product with a single number");
    if (sa.rank == 1) a = tern_reshape(g, a, TERN_SHAPE(1, sa.dim[0]));
    if (sb.rank == 1) b = tern_reshape(g, b, TERN_SHAPE(sb.dim[0], 1));
    tern_value y;
    if (sb.rank <= 2) {
        y = tern_multiply_weight(g, a, transposed(g, b), (tern_value){0});
    } else {
        TERN_TRY(tern_graph_status(g));
        TERN_TRY(match_axes(c, &a, &b));
        y = tern_matmul(g, a, b);
    }
    tern_shape s = tern_shape_of(g, y), kept = {0};
    for (int d = 0; d < s.rank; d++)
        if (!(sa.rank == 1 && d == s.rank - 2) && !(sb.rank == 1 && d == s.rank - 1))
            kept.dim[kept.rank++] = s.dim[d];
    return tern_onnx_give(c, sa.rank == 1 || sb.rank == 1 ? tern_reshape(g, y, kept) : y);
}

/* ---- reductions ------------------------------------------------------------------------------------------------------- */

typedef tern_value reduction(tern_graph *graph, tern_value x, tern_reduce_args args);

/* Neighbouring axes at once, the last ones first; axes stay as 1 until the end. */
static tern_status reduce(tern_onnx_call *c, reduction *one, tern_value x, tern_value *result)
{
    tern_graph *g = c->graph;
    bool flags[TERN_MAX_RANK] = {0};
    int64_t axes[TERN_ONNX_MOST];
    int count;
    tern_shape s = c->in[0].shape, kept = {0};
    TERN_TRY(tern_onnx_list(c, 1, "axes", axes, &count));
    if (count <= 0 && tern_onnx_int(c, "noop_with_empty_axes", 0)) {
        *result = x;
        return TERN_OK;
    }
    for (int i = 0; i < count; i++) {
        int axis;
        TERN_TRY(tern_onnx_axis(c, axes[i], s.rank, &axis));
        flags[axis] = true;
    }
    for (int d = 0; count <= 0 && d < s.rank; d++) flags[d] = true;
    for (int d = s.rank - 1, last; d >= 0; d--) {
        if (!flags[d]) continue;
        for (last = d; d > 0 && flags[d - 1];) d--;
        x = one(g, x, (tern_reduce_args){.axis = d, .axes = last - d + 1, .keep = true});
    }
    bool keep = tern_onnx_int(c, "keepdims", 1) != 0;
    for (int d = 0; d < s.rank; d++)
        if (keep || !flags[d]) kept.dim[kept.rank++] = flags[d] ? 1 : s.dim[d];
    *result = tern_reshape(g, x, kept);
    return TERN_OK;
}

#define REDUCTION(name, function, before, after)                                                             \
    static tern_status map_##name(tern_onnx_call *c)                                                         \
    {                                                                                                        \
        tern_graph *g = c->graph;                                                                            \
        tern_value x = tern_onnx_in(c, 0), y = {0};                                                          \
        TERN_TRY(reduce(c, function, before, &y));                                                           \
        (void)g;                                                                                             \
        return tern_onnx_give(c, after);                                                                     \
    }
REDUCTION(reduce_sum, tern_sum_with, x, y)
REDUCTION(reduce_mean, tern_mean_with, x, y)
REDUCTION(reduce_max, tern_max_with, x, y)
REDUCTION(reduce_min, tern_min_with, x, y)
REDUCTION(reduce_l1, tern_sum_with, tern_absolute(g, x), y)
REDUCTION(reduce_l2, tern_sum_with, tern_square(g, x), tern_sqrt(g, y))
REDUCTION(reduce_sum_square, tern_sum_with, tern_square(g, x), y)
REDUCTION(reduce_log_sum_exp, tern_sum_with, tern_exp(g, x), tern_log(g, y))

/* Where the highest or lowest is, as a whole number. */
static tern_status arg(tern_onnx_call *c, reduction *one)
{
    int axis;
    bool keep = tern_onnx_int(c, "keepdims", 1) != 0;
    TERN_TRY(tern_onnx_axis(c, tern_onnx_int(c, "axis", 0), c->in[0].shape.rank, &axis));
    if (tern_onnx_int(c, "select_last_index", 0))
        return tern_onnx_fail(c, "the last of equal elements is asked for, Tern has the first");
    tern_value at =
        one(c->graph, tern_onnx_in(c, 0), (tern_reduce_args){.axis = axis, .axes = 1, .keep = keep});
    return tern_onnx_give_typed(c, tern_cast(c->graph, at, TERN_F32), TERN_ONNX_INT64);
}

static tern_status map_arg_max(tern_onnx_call *c)
{
    return arg(c, tern_argmax_with);
}

static tern_status map_arg_min(tern_onnx_call *c)
{
    return arg(c, tern_argmin_with);
}

/* ---- rows --------------------------------------------------------------------------------------------------------------- */

/* Along one axis; before operator set 13 over all axes from that one on. */
static tern_status along(tern_onnx_call *c, tern_value (*one)(tern_graph *, tern_value))
{
    tern_graph *g = c->graph;
    tern_shape s = c->in[0].shape, order = {.rank = s.rank};
    int axis;
    bool flat = c->opset < 13;
    TERN_TRY(tern_onnx_axis(c, tern_onnx_int(c, "axis", flat ? 1 : -1), s.rank, &axis));
    tern_value x = tern_onnx_in(c, 0);
    if (flat) {
        x = tern_reshape(g, x, TERN_SHAPE(tern_elements_upto(&s, axis), tern_elements_from(&s, axis)));
        return tern_onnx_give(c, tern_reshape(g, one(g, x), s));
    }
    if (axis == s.rank - 1) return tern_onnx_give(c, one(g, x));
    for (int d = 0; d < s.rank; d++) order.dim[d] = d;
    order.dim[axis] = s.rank - 1;
    order.dim[s.rank - 1] = axis;
    return tern_onnx_give(c, tern_permute(g, one(g, tern_permute(g, x, order)), order));
}

static tern_status map_softmax(tern_onnx_call *c)
{
    return along(c, tern_softmax);
}

static tern_status map_log_softmax(tern_onnx_call *c)
{
    return along(c, tern_log_softmax);
}

/* x [rows, n] to mean 0 and variance 1 */
static tern_value normalised(tern_onnx_call *c, tern_value x, int64_t n, double epsilon, bool centre)
{
    tern_shape s = tern_shape_of(c->graph, x);
    if (c->graph->status != TERN_OK || n < 1) return (tern_value){0};
    x = tern_reshape(c->graph, x, TERN_SHAPE(tern_elements(&s) / n, n));
    x = tern_apply(c->graph, &tern_op_normalise, &(tern_normalise_op){epsilon, centre}, &x, 1, NULL);
    return tern_reshape(c->graph, x, s);
}

static tern_status map_layer_norm(tern_onnx_call *c)
{
    tern_graph *g = c->graph;
    int axis;
    const tern_shape *s = &c->in[0].shape;
    TERN_TRY(tern_onnx_axis(c, tern_onnx_int(c, "axis", -1), s->rank, &axis));
    if (c->nout > 1 && *c->node->outputs[1])
        return tern_onnx_fail(c, "its mean is asked for, which is for training");
    tern_value y = normalised(c, tern_onnx_in(c, 0), tern_elements_from(s, axis),
                              tern_onnx_real(c, "epsilon", 1e-5), true);
    y = tern_multiply(g, y, tern_onnx_in(c, 1));
    if (tern_onnx_has(c, 2)) y = tern_add(g, y, tern_onnx_in(c, 2));
    return tern_onnx_give(c, y);
}

/* Input i [C] (of `share` channels each) as a factor of [N,C,..]. */
static tern_value by_channel(tern_onnx_call *c, int input, int64_t share)
{
    tern_graph *g = c->graph;
    tern_shape wide = {.rank = c->in[0].shape.rank - 1};
    tern_value v = tern_onnx_in(c, input);
    int64_t count = tern_elements(&c->in[input].shape);
    if (share > 1) v = tern_expand(g, tern_reshape(g, v, TERN_SHAPE(count, 1)), TERN_SHAPE(count, share));
    for (int d = 0; d < wide.rank; d++) wide.dim[d] = d == 0 ? count * share : 1;
    return tern_reshape(g, v, wide);
}

/* Groups of channels of [N,C,..]; factors are by channel, before operator set 21 by group. */
static tern_status groups_norm(tern_onnx_call *c, int64_t groups)
{
    const tern_shape *s = &c->in[0].shape;
    int64_t channels = s->rank < 3 ? 0 : s->dim[1], factors = tern_elements(&c->in[1].shape);
    if (channels < 1 || groups < 1 || channels % groups || factors < 1 || channels % factors ||
        tern_elements(&c->in[2].shape) != factors)
        return tern_onnx_fail(c, "%lld groups and %lld factors for %lld channels", (long long)groups,
                              (long long)factors, (long long)channels);
    int64_t n = channels / groups * tern_elements_from(s, 2);
    tern_value y = normalised(c, tern_onnx_in(c, 0), n, tern_onnx_real(c, "epsilon", 1e-5), true);
    y = tern_multiply(c->graph, y, by_channel(c, 1, channels / factors));
    return tern_onnx_give(c, tern_add(c->graph, y, by_channel(c, 2, channels / factors)));
}

static tern_status map_group_norm(tern_onnx_call *c)
{
    return groups_norm(c, tern_onnx_int(c, "num_groups", 0));
}

static tern_status map_instance_norm(tern_onnx_call *c)
{
    return groups_norm(c, c->in[0].shape.rank > 1 ? c->in[0].shape.dim[1] : 0);
}

const tern_onnx_row tern_onnx_product_rows[] = {{"Gemm", map_gemm, 2, 3},
                                                {"MatMul", map_matmul, 2, 2},
                                                {"ReduceSum", map_reduce_sum, 1, 2},
                                                {"ReduceMean", map_reduce_mean, 1, 2},
                                                {"ReduceMax", map_reduce_max, 1, 2},
                                                {"ReduceMin", map_reduce_min, 1, 2},
                                                {"ReduceL1", map_reduce_l1, 1, 2},
                                                {"ReduceL2", map_reduce_l2, 1, 2},
                                                {"ReduceSumSquare", map_reduce_sum_square, 1, 2},
                                                {"ReduceLogSumExp", map_reduce_log_sum_exp, 1, 2},
                                                {"ArgMax", map_arg_max, 1, 1},
                                                {"ArgMin", map_arg_min, 1, 1},
                                                {"Softmax", map_softmax, 1, 1},
                                                {"LogSoftmax", map_log_softmax, 1, 1},
                                                {"LayerNormalization", map_layer_norm, 2, 3},
                                                {"GroupNormalization", map_group_norm, 3, 3},
                                                {"InstanceNormalization", map_instance_norm, 3, 3},
                                                {0}};
