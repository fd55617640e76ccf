/* An inference graph with fixed-point casts, or of few levels, turned into one that computes with codes. */
#include "op/fixed.h"
#include "quant/quant.h"

#include <string.h>

/* What is known of an old value: its code k in the new graph, and its binary point there; behind a ReLU that is still to be
 * done, `relu`. */
typedef struct tern_code {
    tern_value k, point;
    bool relu;
} tern_code;

typedef struct tern_former {
    tern_rewrite r;
    tern_code *code; /* [old id] */
} tern_former;

static void form_cast(tern_former *f, const tern_node *node)
{
    tern_graph *g = f->r.to;
    const tern_fixed_op *a = node->args;
    const tern_code *x = &f->code[node->in[0].id];
    tern_code *y = &f->code[node->out[0].id];
    tern_graph_enter(g, node);
    y->point = tern_apply1(g, &tern_op_fixed_point, f->r.map[node->in[1].id]);
    if (x->k.id) {
        tern_shift_op op = {.to = *a, .relu = x->relu};
        tern_value in[] = {x->k, tern_subtract(g, x->point, y->point)};
        y->k = tern_apply(g, &tern_op_fixed_shift, &op, in, 2, NULL);
    } else {
        tern_value in[] = {f->r.map[node->in[0].id], y->point};
        y->k = tern_apply(g, &tern_op_fixed_code, a, in, 2, NULL);
    }
}

/* Levels of weights times the sign of each row (the empty value: 1), in bytes. */
static tern_value weight_levels(tern_former *f, tern_value old, tern_value sign)
{
    tern_graph *g = f->r.to;
    tern_value w = f->r.map[old.id];
    tern_shape rows = tern_shape_of(g, w);
    for (int d = 1; d < rows.rank; d++) rows.dim[d] = 1;
    if (sign.id) w = tern_multiply(g, w, tern_reshape(g, sign, rows));
    return tern_cast(g, w, TERN_I8);
}

static const tern_node *maker_of(const tern_graph *g, tern_value value)
{
    const tern_value_info *v = tern_value_of(g, value);
    return v && v->kind == TERN_VALUE_NODE ? g->nodes[v->node] : NULL;
}

static bool makes_levels(const tern_graph *g, tern_value value)
{
    const tern_node *node = maker_of(g, value);
    return node && node->op == &tern_op_uniform && ((const tern_uniform_op *)node->args)->levels;
}

/* A product whose operand has a code and whose weights (and bias) have codes or are levels. */
static bool is_product(const tern_former *f, const tern_node *node)
{
    const tern_graph *g = f->r.from;
    bool product = node->op == &tern_op_conv2d || node->op == &tern_op_linear;
    if (!product || !f->code[node->in[0].id].k.id || f->code[node->in[0].id].relu) return false;
    for (int i = 1; i < node->nin; i++)
        if (node->in[i].id && !f->code[node->in[i].id].k.id && !makes_levels(g, node->in[i])) return false;
    return true;
}

static tern_value form_product(tern_former *f, const tern_node *node, tern_value sign, tern_value *point)
{
    tern_graph *g = f->r.to;
    const tern_code *x = &f->code[node->in[0].id], *w = &f->code[node->in[1].id];
    tern_conv_op op = {.stride = 1, .dilation = 1, .groups = 1};
    if (node->op == &tern_op_conv2d) op = *(const tern_conv_op *)node->args;
    tern_graph_enter(g, node);
    tern_value in[3] = {x->k, w->k.id ? w->k : weight_levels(f, node->in[1], sign), {0}};
    bool bias = node->nin > 2 && node->in[2].id;
    if (bias) {
        tern_value k = f->code[node->in[2].id].k;
        in[2] = k.id ? k : tern_cast(g, f->r.map[node->in[2].id], TERN_I32);
    }
    *point = w->k.id ? tern_add(g, x->point, w->point) : x->point;
    return tern_apply(g, &tern_op_fixed_product, &op, in, bias ? 3 : 2, NULL);
}

/* Highest code that a product reads: what bounds its sums. */
static double highest(const tern_graph *g, tern_value k)
{
    const tern_node *node = maker_of(g, k);
    while (node && (node->op == &tern_op_reshape || node->op == &tern_op_fixed_pool))
        node = maker_of(g, node->in[0]);
    if (node && node->op == &tern_op_threshold_count) return ((const tern_thresholds_op *)node->args)->high;
    if (node && node->op == &tern_op_fixed_code) return tern_fixed_most(node->args);
    return 255;
}

/* Levels of a product's sums: the product again, its rows turned where the scale is below 0, and thresholds. */
static void form_levels(tern_former *f, const tern_node *node)
{
    tern_graph *g = f->r.to;
    const tern_node *product = maker_of(f->r.from, node->in[0]);
    tern_thresholds_op op = *(const tern_thresholds_op *)node->args;
    tern_value in[2], out[2] = {{0}}, point;
    tern_shape w = tern_shape_of(f->r.from, product->in[1]);
    const tern_uniform_op *weights = maker_of(f->r.from, product->in[1])->args;
    double bound =
        (double)tern_elements_from(&w, 1) * weights->high * highest(g, f->code[product->in[0].id].k);
    op.bound = (int)fmin(bound, 1 << 30);
    tern_graph_enter(g, node);
    for (int i = 0; i < 2; i++) in[i] = f->r.map[node->in[1 + i].id];
    tern_apply(g, &tern_op_thresholds, &op, in, 2, out);
    in[0] = form_product(f, product, out[1], &point);
    in[1] = out[0];
    tern_graph_enter(g, node);
    f->code[node->out[0].id] = (tern_code){.k = tern_apply(g, &tern_op_threshold_count, &op, in, 2, NULL),
                                           .point = tern_scalar(g, 0)};
}

static bool is_levels(const tern_former *f, const tern_node *node)
{
    const tern_node *product = node->op == &tern_op_step_levels ? maker_of(f->r.from, node->in[0]) : NULL;
    return product && is_product(f, product) && makes_levels(f->r.from, product->in[1]) && product->nin == 2;
}

static void form_affine(tern_former *f, const tern_node *node)
{
    tern_graph *g = f->r.to;
    const tern_code *x = &f->code[node->in[0].id], *a = &f->code[node->in[1].id];
    tern_value in[] = {x->k, a->k, f->code[node->in[2].id].k};
    tern_graph_enter(g, node);
    f->code[node->out[0].id] = (tern_code){.k = tern_apply(g, &tern_op_fixed_affine, node->args, in, 3, NULL),
                                           .point = tern_add(g, x->point, a->point)};
}

/* Maxima and views of codes. */
static void form_moved(tern_former *f, const tern_node *node)
{
    tern_graph *g = f->r.to;
    tern_code *y = &f->code[node->out[0].id];
    *y = f->code[node->in[0].id];
    tern_graph_enter(g, node);
    if (node->op == &tern_op_relu) {
        y->relu = true;
    } else if (node->op == &tern_op_reshape) {
        y->k = tern_reshape(g, y->k, tern_shape_of(f->r.from, node->out[0]));
    } else {
        tern_fixed_pool_op op = {0};
        for (const tern_arg *a = node->op->args; a && a->name; a++) {
            const int *value = (const int *)(const void *)((const char *)node->args + a->offset);
            if (strcmp(a->name, "kernel") == 0) op.kernel = *value;
            if (strcmp(a->name, "stride") == 0) op.stride = *value;
        }
        y->k = tern_apply(g, &tern_op_fixed_pool, &op, &y->k, 1, NULL);
    }
}

/* The number of a code, for what reads floats. */
static void need_number(tern_former *f, tern_value old)
{
    tern_code *x = &f->code[old.id];
    tern_graph *g = f->r.to;
    if (!old.id || !x->k.id || f->r.map[old.id].id) return;
    tern_value in[] = {x->k, x->point};
    tern_value y = tern_apply(g, &tern_op_fixed_value, NULL, in, 2, NULL);
    f->r.map[old.id] = x->relu ? tern_relu(g, y) : y;
}

/* ReLU, views, and maxima of windows that do not lie over the edge. */
static bool is_moved(const tern_node *node)
{
    if (node->op == &tern_op_relu || node->op == &tern_op_reshape) return true;
    for (const tern_arg *a = node->op->args; a && a->name; a++)
        if (strcmp(a->name, "pad") == 0 && *(const int *)(const void *)((const char *)node->args + a->offset))
            return false;
    return node->op == &tern_op_max_pool2d;
}

static void form_node(tern_former *f, const tern_node *node)
{
    const tern_code *x = node->nin && node->in[0].id ? &f->code[node->in[0].id] : NULL;
    if (node->op == &tern_op_fixed && ((const tern_fixed_op *)node->args)->bits) {
        form_cast(f, node);
    } else if (is_product(f, node)) {
        tern_code y = {0};
        y.k = form_product(f, node, (tern_value){0}, &y.point);
        f->code[node->out[0].id] = y;
    } else if (is_levels(f, node)) {
        form_levels(f, node);
    } else if (node->op == &tern_op_affine && x && x->k.id && !x->relu && f->code[node->in[1].id].k.id &&
               f->code[node->in[2].id].k.id) {
        form_affine(f, node);
    } else if (is_moved(node) && x && x->k.id) {
        form_moved(f, node);
    } else {
        tern_graph_enter(f->r.to, node);
        for (int i = 0; i < node->nin; i++) need_number(f, node->in[i]);
        tern_rewrite_node(&f->r, node);
    }
}

tern_status tern_pass_fixed_form(const tern_graph *from, tern_graph **to)
{
    tern_former f = {0};
    tern_graph *formed = NULL;
    TERN_TRY(tern_rewrite_open(&f.r, from));
    f.code = tern_take_array((size_t)from->value_count, sizeof *f.code);
    if (!f.code) {
        tern_graph_no_memory(f.r.to);
    } else {
        for (int n = 0; n < from->node_count; n++) form_node(&f, from->nodes[n]);
        for (int i = 0; i < from->output_count; i++) need_number(&f, from->outputs[i].value);
    }
    tern_release(f.code);
    TERN_TRY(tern_rewrite_close(&f.r, &formed));
    tern_status status = tern_pass_dead(formed, to); /* weights as floats, products before they were turned */
    tern_graph_close(formed);
    return status;
}
