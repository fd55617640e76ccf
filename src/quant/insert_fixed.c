/* Fixed-point casts put into a graph.
 *
 * Before a product its operand and its weights are cast, each with a binary point of its own; its bias is a word on the grid
 * of the sums, or one of fewer bits with a point of its own, which is not finer than that grid.  Behind it a norm is
 * y = a x + b, with x cast to a wide word, a = gamma / std a word and b like the bias of a product, such that the mean goes to
 * beta whatever a has become; in training the gradient to x, gamma and beta is the norm's own.  Both sides of a sum of two
 * branches are cast to one grid.  ReLU, maxima and views keep what they are given; what the net has cast itself keeps its grid,
 * and what follows a cast of no bits stays in floats. */
#include "op/fixed.h"
#include "op/norm.h"
#include "quant/quant.h"

#include <string.h>

typedef struct tern_inserter {
    tern_rewrite r;
    const tern_fixed_parameters *how;
    tern_value *point; /* [old id]: the binary point of a value that is on a grid */
    bool *positive;    /* [old id]: it is never below 0 */
    bool *plain;       /* [old id]: it stands behind a cast of no bits, which keeps what follows in floats */
} tern_inserter;

enum { BIAS_BITS = TERN_FIXED_MOST_BITS };

/* Of a word before a norm: with the norm's scale, sums still fit a float. */
static int wide(int norm_bits)
{
    int bits = TERN_FIXED_MOST_BITS - norm_bits;
    return bits < 16 ? bits : 16;
}

static int act_bits(const tern_fixed_parameters *how)
{
    return how->act_bits ? how->act_bits : how->bits;
}

static int norm_bits(const tern_fixed_parameters *how)
{
    int bits = how->bits < 12 ? how->bits : 12;
    return how->norm_bits ? how->norm_bits : bits;
}

static tern_fixed_op format(const tern_fixed_parameters *how, int bits, bool positive)
{
    return (tern_fixed_op){.bits = bits,
                           .positive = positive,
                           .round = (tern_round_mode)how->round,
                           .overflow = (tern_overflow)how->overflow,
                           .share = true,
                           .fixed = how->frozen != 0,
                           .fit = how->fit};
}

static tern_value cast_to(tern_graph *g, tern_value x, tern_value point, const tern_fixed_op *op)
{
    tern_value in[] = {x, point};
    return tern_apply(g, &tern_op_fixed, op, in, 2, NULL);
}

/* "<layer>.<what>_point": f such that `range` just fits. */
static tern_value point_of(const tern_inserter *s, const tern_node *layer, const char *what,
                           const tern_fixed_op *op, double range)
{
    tern_graph *g = s->r.to;
    double places = range > 0 ? ceil(log2(range)) : 0;
    const char *name = tern_arena_format(&g->arena, "%s.%s_point", layer->layer, what);
    if (!name) return tern_graph_no_memory(g);
    tern_init init = {TERN_INIT_CONSTANT, op->bits - !op->positive - places + s->how->shift};
    tern_value f = tern_param(g, name, TERN_SHAPE(1), init);
    tern_rate(g, f, TERN_FIXED_RATE);
    tern_limit(g, f, -TERN_FIXED_MOST_POINT, TERN_FIXED_MOST_POINT);
    return f;
}

/* The point of a product of numbers with these points. */
static tern_value sum_point(tern_graph *g, tern_value a, tern_value b)
{
    return tern_add(g, tern_apply1(g, &tern_op_fixed_point, a), tern_apply1(g, &tern_op_fixed_point, b));
}

/* The lower of two points: a bias is no finer than the sums that it joins. */
static tern_value lower(tern_graph *g, tern_value a, tern_value b)
{
    tern_value minus = tern_scalar(g, -1);
    return tern_multiply(g, tern_maximum(g, tern_multiply(g, a, minus), tern_multiply(g, b, minus)), minus);
}

/* Puts an old value on a grid: every reader behind sees it there. */
static void put_on_grid(tern_inserter *s, const tern_node *reader, tern_value old, const char *what, int bits,
                        double range)
{
    tern_fixed_op op = format(s->how, bits, s->positive[old.id]);
    tern_value f = point_of(s, reader, what, &op, range);
    s->r.map[old.id] = cast_to(s->r.to, s->r.map[old.id], f, &op);
    s->point[old.id] = f;
}

/* The magnitude that a parameter begins with. */
static double range_of(const tern_graph *g, tern_value param)
{
    const tern_value_info *v = tern_value_of(g, param);
    if (!v || v->kind != TERN_VALUE_PARAM || !(v->init.scale > 0)) return 1;
    return v->init.kind == TERN_INIT_NORMAL ? 3 * v->init.scale : v->init.scale;
}

/* A bias on the grid of the sums; `hold`: no gradient to it. */
static tern_value bias_of(const tern_inserter *s, const tern_node *node, tern_value bias, tern_value sums,
                          bool hold)
{
    tern_graph *g = s->r.to;
    tern_fixed_op on_sums = format(s->how, BIAS_BITS, false);
    on_sums.hold = hold;
    if (s->how->bias_bits) {
        tern_fixed_op op = format(s->how, s->how->bias_bits, false);
        op.hold = hold;
        tern_value f = point_of(s, node, "bias", &op, 1);
        bias = cast_to(g, bias, lower(g, f, sums), &op);
    }
    on_sums.fixed = true;
    return cast_to(g, bias, sums, &on_sums);
}

static void insert_product(tern_inserter *s, const tern_node *node)
{
    tern_graph *g = s->r.to;
    tern_value old = node->in[0];
    tern_graph_enter(g, node);
    if (!s->point[old.id].id) put_on_grid(s, node, old, "input", act_bits(s->how), s->how->range);
    tern_fixed_op op = format(s->how, s->how->bits, false);
    op.hot = s->how->hot;
    tern_value f = point_of(s, node, "weight", &op, range_of(s->r.from, node->in[1]));
    tern_value in[3] = {s->r.map[old.id], cast_to(g, s->r.map[node->in[1].id], f, &op), {0}};
    bool bias = node->nin > 2 && node->in[2].id;
    if (bias) in[2] = bias_of(s, node, s->r.map[node->in[2].id], sum_point(g, s->point[old.id], f), false);
    tern_conv_op conv = {0};
    if (node->op == &tern_op_conv2d) {
        conv = *(const tern_conv_op *)node->args;
        conv.exact = true;
    }
    s->r.map[node->out[0].id] =
        tern_apply(g, node->op, node->op == &tern_op_conv2d ? &conv : node->args, in, bias ? 3 : 2, NULL);
}

/* gamma / std, and the mean that is taken away; in training of the batch. */
static void scale_and_mean(tern_inserter *s, const tern_node *node, tern_value out[2])
{
    tern_graph *g = s->r.to;
    const tern_norm_op *a = node->args;
    tern_value gamma = s->r.map[node->in[1].id];
    tern_shape channels = tern_shape_of(g, gamma);
    if (a->training) {
        out[1] = tern_reshape(g, s->r.map[node->out[1].id], channels);
        out[0] = tern_multiply(g, gamma, tern_reshape(g, s->r.map[node->out[2].id], channels));
    } else {
        tern_value variance = tern_add(g, s->r.map[node->in[4].id], tern_scalar(g, a->epsilon));
        out[1] = s->r.map[node->in[3].id];
        out[0] = tern_divide(g, gamma, tern_sqrt(g, variance));
    }
}

static void insert_norm(tern_inserter *s, const tern_node *node)
{
    tern_graph *g = s->r.to;
    const tern_norm_op *a = node->args;
    tern_value old = node->in[0], parts[2], in[4] = {{0}};
    if (a->training && a->per_step) {
        tern_graph_fail(g, "layer %s: a norm of each time step has no form in fixed point", node->layer);
        return;
    }
    tern_graph_enter(g, node);
    if (!s->point[old.id].id) put_on_grid(s, node, old, "input", wide(norm_bits(s->how)), 2 * s->how->range);
    if (a->training) tern_rewrite_node(&s->r, node);
    scale_and_mean(s, node, parts);
    tern_fixed_op op = format(s->how, norm_bits(s->how), false);
    op.hot = s->how->hot;
    op.hold = true; /* gamma and beta learn through the norm */
    tern_value f = point_of(s, node, "scale", &op, s->how->range);
    in[0] = s->r.map[old.id];
    in[1] = cast_to(g, parts[0], f, &op);
    tern_value shift = tern_subtract(g, s->r.map[node->in[2].id], tern_multiply(g, parts[1], in[1]));
    in[2] = bias_of(s, node, shift, sum_point(g, s->point[old.id], f), true);
    in[3] = a->training ? s->r.map[node->out[0].id] : (tern_value){0};
    s->r.map[node->out[0].id] =
        tern_apply(g, &tern_op_affine, &(tern_affine_op){a->inner}, in, a->training ? 4 : 3, NULL);
}

/* Two branches of one shape on one grid. */
static void insert_sum(tern_inserter *s, const tern_node *node)
{
    tern_graph *g = s->r.to;
    tern_graph_enter(g, node);
    tern_fixed_op op = format(s->how, act_bits(s->how), false);
    tern_value f = point_of(s, node, "sum", &op, s->how->range), in[2];
    for (int i = 0; i < 2; i++) in[i] = cast_to(g, s->r.map[node->in[i].id], f, &op);
    s->r.map[node->out[0].id] = tern_apply(g, node->op, node->args, in, 2, NULL);
}

static bool is_sum_of_branches(const tern_graph *g, const tern_node *node)
{
    if (node->op != &tern_op_add) return false;
    tern_shape a = tern_shape_of(g, node->in[0]), b = tern_shape_of(g, node->in[1]);
    for (int i = 0; i < 2; i++)
        if (tern_value_of(g, node->in[i])->kind != TERN_VALUE_NODE) return false;
    return tern_shape_equal(&a, &b) && a.rank >= 2;
}

static bool keeps_grid(const tern_node *node)
{
    return node->op == &tern_op_relu || node->op == &tern_op_max_pool2d || node->op == &tern_op_reshape;
}

/* What the net has cast itself, or keeps in floats. */
static void insert_own(tern_inserter *s, const tern_node *node, bool plain)
{
    const tern_fixed_op *a = node->args;
    if (!plain && a->bits && s->how->frozen) {
        tern_fixed_op still = *a;
        still.fixed = true;
        tern_graph_enter(s->r.to, node);
        s->r.map[node->out[0].id] =
            cast_to(s->r.to, s->r.map[node->in[0].id], s->r.map[node->in[1].id], &still);
    } else {
        tern_rewrite_node(&s->r, node);
    }
    plain = plain || !a->bits;
    for (int i = 0; i < node->nout; i++) s->plain[node->out[i].id] = plain;
    if (plain) return;
    s->point[node->out[0].id] = s->r.map[node->in[1].id];
    s->positive[node->out[0].id] = a->positive;
}

static void insert_node(tern_inserter *s, const tern_node *node)
{
    const tern_value_info *x = node->nin ? tern_value_of(s->r.from, node->in[0]) : NULL;
    bool product = node->op == &tern_op_conv2d || node->op == &tern_op_linear, plain = false;
    for (int i = 0; i < node->nin; i++) plain = plain || s->plain[node->in[i].id];
    if (plain || node->op == &tern_op_fixed) {
        insert_own(s, node, plain);
    } else if (product && x && x->type.dtype == TERN_BIT) {
        tern_graph_fail(s->r.to, "layer %s reads spikes: fixed point is for nets without neurons",
                        node->layer);
    } else if (product) {
        insert_product(s, node);
    } else if (node->op == &tern_op_batch_norm) {
        insert_norm(s, node);
    } else if (is_sum_of_branches(s->r.from, node)) {
        insert_sum(s, node);
    } else {
        tern_rewrite_node(&s->r, node);
        if (!keeps_grid(node)) return;
        s->point[node->out[0].id] = s->point[node->in[0].id];
        s->positive[node->out[0].id] = node->op == &tern_op_relu || s->positive[node->in[0].id];
    }
}

static tern_status check(const tern_fixed_parameters *how)
{
    int act = act_bits(how), norm = norm_bits(how);
    int bias = how->bias_bits ? how->bias_bits : 2;
    bool words = how->bits >= 2 && how->bits <= 16 && act >= 2 && act <= 16 && norm >= 2 && norm <= 12 &&
                 bias >= 2 && bias <= 16;
    if (!words)
        return tern_fail(TERN_USAGE,
                         "words of %d (weights), %d (activations), %d (norms) and %d bits (biases): expected "
                         "2 to 16, of norms 2 to 12",
                         how->bits, act, norm, how->bias_bits);
    if (how->round < 0 || how->round > TERN_ROUND_HALF_EVEN || how->overflow < 0 ||
        how->overflow > TERN_OVERFLOW_SYMMETRIC || how->hot < 0 || !(how->range > 0) || !(how->fit >= 0))
        return tern_fail(TERN_USAGE,
                         "--round %d, --overflow %d, --khot %d, --range %g, --point-fit %g: expected 0 to 6, "
                         "0 to 3, at least 0, above 0, and at least 0",
                         how->round, how->overflow, how->hot, how->range, how->fit);
    return TERN_OK;
}

tern_status tern_pass_insert_fixed(const tern_graph *from, const tern_fixed_parameters *how, tern_graph **to)
{
    tern_inserter s = {.how = how};
    if (how->bits) TERN_TRY(check(how));
    TERN_TRY(tern_rewrite_open(&s.r, from));
    s.point = tern_take_array((size_t)from->value_count, sizeof *s.point);
    s.positive = tern_take_array((size_t)from->value_count, sizeof *s.positive);
    s.plain = tern_take_array((size_t)from->value_count, sizeof *s.plain);
    bool room = s.point && s.positive && s.plain;
    if (!room) tern_graph_no_memory(s.r.to);
    for (int n = 0; room && n < from->node_count; n++) {
        if (how->bits)
            insert_node(&s, from->nodes[n]);
        else
            tern_rewrite_node(&s.r, from->nodes[n]);
    }
    tern_release(s.point);
    tern_release(s.positive);
    tern_release(s.plain);
    return tern_rewrite_close(&s.r, to);
}
