/* A graph of floats as a graph of bytes.  What calibration will know are parameters of the new graph, so that its
 * structure follows from the net alone. */
#include "kernel/int8_rows.h"
#include "op/element.h"
#include "op/int16.h"
#include "op/norm.h"
#include "quant/quant.h"

#include <math.h>
#include <string.h>

typedef struct former {
    const tern_graph *from;
    tern_graph *to;
    tern_int8_plan *plan;
    const tern_int8_parameters *how;
    tern_value *map; /* [old id]: bytes; the empty value where there are none */
    bool *fixed;     /* [old id]: follows from parameters alone */
    int *readers;    /* [old id]: how many, outputs among them */
    bool *done;      /* [node]: is part of the one before it */
} former;

void tern_int8_plan_free(tern_int8_plan *plan)
{
    tern_release(plan->sites);
    tern_release(plan->root);
    tern_arena_free(&plan->arena);
    *plan = (tern_int8_plan){0};
}

/* ---- parameters of the new graph ---------------------------------------------------------------------------------- */

static tern_value parameter(former *f, const char *site, const char *what, tern_dtype dtype, tern_shape shape)
{
    const char *name = tern_arena_format(&f->to->arena, "%s.%s", site, what);
    return name ? tern_weight(f->to, name, dtype, shape) : tern_graph_no_memory(f->to);
}

static bool keep_site(former *f, tern_int8_site site)
{
    site.name = tern_arena_string(&f->plan->arena, site.name ? site.name : "");
    if (site.name)
        f->plan->sites[f->plan->count++] = site;
    else
        tern_graph_no_memory(f->to);
    return site.name != NULL;
}

/* The new node of a site with operands[count]; activations of the old graph in[2] and out. */
static tern_value apply(former *f, tern_int8_site site, const void *args, const tern_value *operands,
                        int count)
{
    tern_value y = tern_apply(f->to, site.op, args, operands, count, NULL);
    return keep_site(f, site) ? y : (tern_value){0};
}

static int root_of(const former *f, int id)
{
    while (f->plan->root[id] != id && f->plan->root[id]) id = f->plan->root[id];
    return id;
}

/* The bytes of old value `id`; like > 0: in the format of that value. */
static void define(former *f, int id, tern_value bytes, int like)
{
    f->map[id] = bytes;
    f->plan->root[id] = like ? root_of(f, like) : id;
}

static void enter(former *f, const tern_node *node)
{
    const char *label = tern_arena_string(&f->to->arena, node->layer);
    f->to->layer = label ? label : "";
    f->to->phase = node->phase;
}

/* A name of the site's own, where a layer may have several: "norm6.sum12". */
static const char *numbered(former *f, const tern_node *node, const char *what)
{
    const char *name = tern_arena_format(&f->to->arena, "%s.%s%d", node->layer, what, f->plan->count);
    if (!name) tern_graph_no_memory(f->to);
    return name ? name : "";
}

/* ---- what is merged ------------------------------------------------------------------------------------------------ */

/* The only reader of `id`, which has it as its first operand; NULL. */
static const tern_node *only_reader(const former *f, int id, int *at)
{
    if (f->readers[id] != 1) return NULL;
    for (int n = 0; n < f->from->node_count; n++) {
        const tern_node *node = f->from->nodes[n];
        if (node->nin < 1 || node->in[0].id != id) continue;
        *at = n;
        return node;
    }
    return NULL;
}

/* The only reader of `id` that limits it: ReLU, or clip with the limits of its arguments; NULL. */
static const tern_node *limiter_of(const former *f, int id, int *at)
{
    const tern_node *node = only_reader(f, id, at);
    return node && (node->op == &tern_op_relu || node->op == &tern_op_clip) ? node : NULL;
}

/* The only reader of *id, if it applies `op` to it and something that follows from parameters: it becomes part of the site. */
static int take_factor(former *f, const tern_op *op, int *id)
{
    int at = 0;
    const tern_node *node = only_reader(f, *id, &at);
    if (!node || node->op != op || node->nin != 2 || !f->fixed[node->in[1].id]) return 0;
    f->done[at] = true;
    *id = node->out[0].id;
    return node->in[1].id;
}

/* The same where it applies an operator to it alone, or with other activations behind it. */
static const tern_node *take_reader(former *f, const tern_op *op, int *id)
{
    int at = 0;
    const tern_node *node = only_reader(f, *id, &at);
    if (!node || node->op != op) return NULL;
    f->done[at] = true;
    *id = node->out[0].id;
    return node;
}

/* A limit behind the node becomes part of the site: its result is then the site's. */
static int take_limits(former *f, int id, tern_int8_site *site)
{
    int at = 0;
    const tern_node *node = limiter_of(f, id, &at);
    site->low = -INFINITY;
    site->high = INFINITY;
    if (!node) return id;
    f->done[at] = true;
    const tern_element_args *limits = node->args;
    site->low = node->op == &tern_op_clip ? limits->p : 0;
    if (node->op == &tern_op_clip) site->high = limits->q;
    return node->out[0].id;
}

bool tern_int8_is_short(const tern_int8_site *site)
{
    return site->op == &tern_op_conv2d_int16x8 || site->op == &tern_op_conv2d_transposed_int16x8 ||
           site->op == &tern_op_linear_int16x8;
}

bool tern_int8_has_weights(const tern_int8_site *site)
{
    return site->op == &tern_op_conv2d_int8 || site->op == &tern_op_conv2d_transposed_int8 ||
           site->op == &tern_op_linear_int8 || site->op == &tern_op_linear_int16 || tern_int8_is_short(site);
}

static bool is_product(const tern_op *op)
{
    return op == &tern_op_conv2d || op == &tern_op_linear || op == &tern_op_conv2d_transposed;
}

static bool is_short(const former *f)
{
    return f->how->activations == 16;
}

static bool is_output(const former *f, int id)
{
    bool found = false;
    for (int i = 0; i < f->from->output_count; i++) found = found || f->from->outputs[i].value.id == id;
    return found;
}

/* ---- the forms ------------------------------------------------------------------------------------------------------ */

static tern_status cannot(const tern_node *node, const char *why)
{
    return tern_fail(TERN_USAGE,
                     "layer %s: %s has no form in bytes%s; convolutions, linear layers, sums, layer norms, "
                     "attention, means, "
                     "pooling, softmax, functions of one operand and moves have one",
                     node->layer, node->op->name, why);
}

/* What follows from parameters alone, as bytes; broadcasts stay what they are, so that it is the same at any batch. */
static void form_constant(former *f, const tern_node *reader, int id)
{
    const tern_value_info *v = &f->from->values[id];
    const tern_node *node = v->kind == TERN_VALUE_NODE ? f->from->nodes[v->node] : NULL;
    if (f->map[id].id) return;
    if (node && node->op == &tern_op_expand) {
        int from = node->in[0].id;
        form_constant(f, reader, from);
        define(f, id, tern_apply(f->to, node->op, node->args, &f->map[from], 1, NULL), from);
        return;
    }
    tern_int8_site site = {.name = numbered(f, reader, "operand"), .in = {id}, .out = id, .weight = id};
    define(f, id, parameter(f, site.name, "bytes", TERN_I8, v->type.shape), 0);
    keep_site(f, site);
}

/* The same with activations of 16 bits, whose zero is 0. */
static tern_status form_short(former *f, const tern_node *node, tern_int8_site *site, tern_shape w)
{
    bool transposed = node->op == &tern_op_conv2d_transposed, linear = node->op == &tern_op_linear;
    tern_shape outputs = TERN_SHAPE(w.dim[0]), scales = TERN_SHAPE(f->how->per ? 1 : w.dim[0]);
    if (tern_elements_from(&w, 1) > TERN_INT16_MOST_SUMMED)
        return tern_fail(
            TERN_USAGE,
            "layer %s: an output sums %lld products, of 16 bits and bytes at most %d fit 32 bits: "
            "take --act-bits 8",
            node->layer, (long long)tern_elements_from(&w, 1), TERN_INT16_MOST_SUMMED);
    site->wide = false;
    site->op = transposed ? &tern_op_conv2d_transposed_int16x8
               : linear   ? &tern_op_linear_int16x8
                          : &tern_op_conv2d_int16x8;
    tern_value operands[] = {
        f->map[node->in[0].id],
        parameter(f, node->layer, "weight", TERN_I8, w),
        parameter(f, node->layer, "bias", TERN_I32, outputs),
        parameter(f, node->layer, "multiplier", TERN_I32, scales),
        parameter(f, node->layer, "shift", TERN_I8, scales),
        parameter(f, node->layer, "limits", TERN_I32, TERN_SHAPE(2)),
    };
    define(f, site->out, apply(f, *site, linear ? NULL : node->args, operands, TERN_PRODUCT_OPERANDS), 0);
    return TERN_OK;
}

static tern_status form_product(former *f, const tern_node *node)
{
    bool transposed = node->op == &tern_op_conv2d_transposed, linear = node->op == &tern_op_linear;
    tern_shape w = tern_shape_of(f->from, node->in[1]);
    if (!f->fixed[node->in[1].id]) return cannot(node, " with weights that are computed");
    if (transposed) {
        const tern_conv_op *a = node->args;
        if (a->groups != 1 || a->dilation != 1) return cannot(node, " with groups or dilation");
        w = TERN_SHAPE(w.dim[1], w.dim[0], w.dim[2], w.dim[3]);
    }
    tern_shape outputs = TERN_SHAPE(w.dim[0]), scales = TERN_SHAPE(f->how->per ? 1 : w.dim[0]);
    if (transposed) {
        tern_conv c = tern_conv_geometry(&((const tern_conv_op *)node->args)->like, &w, node->args);
        outputs = TERN_SHAPE(c.stride_y * c.stride_x, w.dim[0]);
    }
    tern_int8_site site = {.op = transposed ? &tern_op_conv2d_transposed_int8
                                 : linear   ? &tern_op_linear_int8
                                            : &tern_op_conv2d_int8,
                           .node = node,
                           .name = node->layer,
                           .in = {node->in[0].id},
                           .weight = node->in[1].id,
                           .bias = node->nin > 2 ? node->in[2].id : 0};
    site.out = take_limits(f, node->out[0].id, &site);
    site.wide = linear && f->how->out == 16 && is_output(f, site.out) && f->readers[site.out] == 1;
    if (site.wide) site.op = &tern_op_linear_int16;
    if (is_short(f)) return form_short(f, node, &site, w);
    tern_value operands[TERN_PRODUCT_OPERANDS] = {
        f->map[node->in[0].id],
        parameter(f, node->layer, "weight", TERN_I8, w),
        parameter(f, node->layer, "bias", TERN_I32, outputs),
        parameter(f, node->layer, "multiplier", TERN_I32, scales),
        parameter(f, node->layer, "shift", TERN_I8, scales),
        parameter(f, node->layer, "constants", TERN_I32, TERN_SHAPE(TERN_PRODUCT_CONSTANTS)),
    };
    define(f, site.out, apply(f, site, linear ? NULL : node->args, operands, TERN_PRODUCT_OPERANDS), 0);
    return TERN_OK;
}

static tern_status form_sum(former *f, const tern_node *node)
{
    int a = node->in[0].id, b = node->in[1].id;
    tern_int8_site site = {.op = is_short(f) ? &tern_op_add_int16 : &tern_op_add_int8,
                           .node = node,
                           .name = numbered(f, node, "sum"),
                           .in = {a, b}};
    site.out = take_limits(f, node->out[0].id, &site);
    tern_value operands[] = {f->map[a], f->map[b],
                             parameter(f, site.name, "constants", TERN_I32, TERN_SHAPE(TERN_ADD_CONSTANTS))};
    define(f, site.out, apply(f, site, NULL, operands, 3), 0);
    return TERN_OK;
}

static void form_table(former *f, const tern_node *node)
{
    bool softmax = node->op == &tern_op_softmax;
    tern_int8_site site = {.op = softmax ? &tern_op_softmax_int8 : &tern_op_table_int8,
                           .node = node,
                           .name = numbered(f, node, node->op->name),
                           .in = {node->in[0].id},
                           .out = node->out[0].id};
    tern_value operands[] = {f->map[node->in[0].id],
                             parameter(f, site.name, "table", softmax ? TERN_I32 : TERN_I8, TERN_SHAPE(256))};
    define(f, site.out, apply(f, site, NULL, operands, 2), 0);
}

/* Means of whole images keep their format, those of other axes get one of their own. */
static void form_axes_mean(former *f, const tern_node *node)
{
    tern_shape x = tern_shape_of(f->from, node->in[0]);
    int64_t length = tern_reduce_view_of(&x, node->args).length;
    tern_int8_site site = {.op = &tern_op_mean_int8,
                           .node = node,
                           .name = numbered(f, node, "mean"),
                           .in = {node->in[0].id},
                           .out = node->out[0].id,
                           .factor = 1 / (double)length};
    tern_value operands[] = {f->map[node->in[0].id],
                             parameter(f, site.name, "constants", TERN_I32, TERN_SHAPE(TERN_MEAN_CONSTANTS))};
    define(f, site.out, apply(f, site, node->args, operands, 2), 0);
}

static void form_image_mean(former *f, const tern_node *node, tern_int8_pool_op args)
{
    tern_value y = tern_apply(f->to, &tern_op_avg_pool2d_int8, &args, &f->map[node->in[0].id], 1, NULL);
    y = tern_reshape(f->to, y, tern_shape_of(f->from, node->out[0]));
    define(f, node->out[0].id, y, node->in[0].id);
}

/* A layer norm with what scales and shifts its rows. */
static tern_status form_norm(former *f, const tern_node *node)
{
    const tern_normalise_op *a = node->args;
    tern_shape x = tern_shape_of(f->from, node->in[0]), row = TERN_SHAPE(x.dim[x.rank - 1]);
    if (!a->centre) return cannot(node, " without the mean");
    tern_int8_site site = {.op = &tern_op_layer_norm_int8,
                           .node = node,
                           .name = node->layer,
                           .in = {node->in[0].id},
                           .out = node->out[0].id,
                           .factor = a->epsilon};
    site.weight = take_factor(f, &tern_op_multiply, &site.out);
    site.bias = take_factor(f, &tern_op_add, &site.out);
    const int factors[] = {site.weight, site.bias};
    for (int i = 0; i < 2; i++)
        if (factors[i] && tern_elements(&f->from->values[factors[i]].type.shape) != row.dim[0])
            return cannot(node, " of groups of channels");
    tern_value operands[] = {
        f->map[site.in[0]],
        parameter(f, site.name, "weight", TERN_I32, row),
        parameter(f, site.name, "bias", TERN_I32, row),
        parameter(f, site.name, "constants", TERN_I32, TERN_SHAPE(TERN_NORM_CONSTANTS)),
    };
    define(f, site.out, apply(f, site, NULL, operands, 4), 0);
    return TERN_OK;
}

/* softmax(q k^T factor) v, whose products and softmax stand one behind the other; reshapes between them change no order. */
static tern_status form_attention(former *f, const tern_node *node)
{
    static const char why[] = " but in attention without a mask";
    const tern_matmul_args *scores = node->args, *values;
    tern_int8_site site = {.op = &tern_op_attention_int8,
                           .node = node,
                           .name = numbered(f, node, "attention"),
                           .in = {node->in[0].id, node->in[1].id},
                           .out = node->out[0].id,
                           .factor = 1};
    int scale = take_factor(f, &tern_op_multiply, &site.out);
    take_reader(f, &tern_op_reshape, &site.out);
    if (scale) {
        const tern_value_info *v = &f->from->values[scale];
        if (v->kind != TERN_VALUE_CONSTANT || tern_elements(&v->type.shape) != 1) return cannot(node, why);
        site.factor = (double)*(const float *)v->content;
    }
    bool found = scores->transpose_b && !scores->transpose_a && take_reader(f, &tern_op_softmax, &site.out);
    take_reader(f, &tern_op_reshape, &site.out);
    const tern_node *last = found ? take_reader(f, &tern_op_matmul, &site.out) : NULL;
    values = last ? last->args : NULL;
    if (!last || values->transpose_a || values->transpose_b || !f->map[last->in[1].id].id)
        return cannot(node, why);
    site.in[2] = last->in[1].id;
    tern_value operands[] = {
        f->map[site.in[0]],
        f->map[site.in[1]],
        f->map[site.in[2]],
        parameter(f, site.name, "constants", TERN_I32, TERN_SHAPE(TERN_ATTEND_CONSTANTS)),
        parameter(f, site.name, "table", TERN_I16, TERN_SHAPE(TERN_ATTEND_TABLE)),
    };
    define(f, site.out, apply(f, site, NULL, operands, 5), 0);
    return TERN_OK;
}

/* The same operator on bytes; all its operands get the format of the first. */
static void form_move(former *f, const tern_node *node)
{
    tern_value in[64] = {{0}};
    for (int i = 0; i < node->nin && i < 64; i++) {
        in[i] = f->map[node->in[i].id];
        f->plan->root[root_of(f, node->in[i].id)] = root_of(f, node->in[0].id);
    }
    define(f, node->out[0].id, tern_apply(f->to, node->op, node->args, in, node->nin, NULL), node->in[0].id);
}

static bool is_move(const tern_op *op)
{
    return op == &tern_op_reshape || op == &tern_op_permute || op == &tern_op_slice ||
           op == &tern_op_concat || op == &tern_op_max_pool2d;
}

/* Where parameters may stand beside activations: what is added, and what moves. */
static bool takes_parameters(const tern_op *op)
{
    return op == &tern_op_add || op == &tern_op_concat;
}

static tern_status form_node(former *f, const tern_node *node)
{
    TERN_TRY(tern_graph_status(f->to));
    tern_shape x = tern_shape_of(f->from, node->in[0]);
    enter(f, node);
    for (int i = 0; i < node->nin; i++) {
        bool weights = i > 0 && is_product(node->op);
        if (weights || !node->in[i].id || f->map[node->in[i].id].id) continue;
        if (is_short(f) || !takes_parameters(node->op) || !f->fixed[node->in[i].id])
            return cannot(node,
                          is_short(f) ? " with parameters and activations of 16 bits" : " with parameters");
        form_constant(f, node, node->in[i].id);
    }
    if (is_short(f) && !is_product(node->op) && node->op != &tern_op_add && node->op != &tern_op_reshape)
        return tern_fail(TERN_USAGE,
                         "layer %s: %s has no form with activations of 16 bits; convolutions, linear layers, "
                         "ReLU, sums and reshapes have one: take --act-bits 8",
                         node->layer, node->op->name);
    if (node->op == &tern_op_normalise) return form_norm(f, node);
    if (node->op == &tern_op_matmul) return form_attention(f, node);
    if (is_product(node->op)) return form_product(f, node);
    if (node->op == &tern_op_add) return form_sum(f, node);
    if (is_move(node->op)) {
        form_move(f, node);
    } else if (node->op == &tern_op_avg_pool2d) {
        int kernel = tern_int_argument(node, "kernel"), stride = tern_int_argument(node, "stride");
        if (tern_int_argument(node, "pad")) return cannot(node, " with windows over the edge");
        form_image_mean(f, node, (tern_int8_pool_op){x.dim[x.rank - 2] == 1 ? 1 : kernel, kernel, stride});
    } else if (node->op == &tern_op_mean) {
        const tern_reduce_args *a = node->args;
        if (x.rank < 3 || a->axis != x.rank - 2 || a->axes != 2)
            form_axes_mean(f, node);
        else
            form_image_mean(f, node, (tern_int8_pool_op){(int)x.dim[x.rank - 2], (int)x.dim[x.rank - 1], 1});
    } else if (node->op == &tern_op_softmax || ((node->op->flags & TERN_OP_ELEMENTWISE) && node->nin == 1)) {
        form_table(f, node);
    } else {
        return cannot(node, "");
    }
    return TERN_OK;
}

/* ---- the ends ------------------------------------------------------------------------------------------------------- */

static void form_input(former *f, int id)
{
    const tern_value_info *v = &f->from->values[id];
    tern_value x = tern_input(f->to, v->name, v->type.dtype, v->type.shape);
    f->to->layer = "input";
    tern_value operands[] = {x, parameter(f, v->name, "scale", TERN_F32, TERN_SHAPE(1)),
                             parameter(f, v->name, "zero", TERN_I32, TERN_SHAPE(1))};
    const tern_op *op = is_short(f) ? &tern_op_quantise_int16 : &tern_op_quantise_int8;
    tern_int8_site site = {.op = op, .name = v->name, .in = {id}, .out = id};
    define(f, id, apply(f, site, NULL, operands, 3), 0);
}

static tern_status form_output(former *f, const tern_named *output)
{
    int id = output->value.id;
    TERN_TRY(tern_graph_status(f->to));
    if (!f->map[id].id)
        return tern_fail(TERN_USAGE,
                         "output \"%s\" does not depend on the input: nothing to compute in bytes",
                         output->name);
    f->to->layer = "output";
    tern_value operands[] = {f->map[id], parameter(f, output->name, "scale", TERN_F32, TERN_SHAPE(1)),
                             parameter(f, output->name, "zero", TERN_I32, TERN_SHAPE(1))};
    tern_int8_site site = {.op = &tern_op_dequantise_int8,
                           .name = output->name,
                           .in = {id},
                           .out = id,
                           .wide = !is_short(f) && tern_dtype_of_value(f->to, f->map[id]) == TERN_I16};
    tern_output(f->to, output->name, apply(f, site, NULL, operands, 3));
    return TERN_OK;
}

/* What is fixed when its operands are. */
static void mark_fixed(former *f)
{
    const tern_graph *g = f->from;
    tern_mark_prepared(g, f->fixed);
    for (int n = 0; n < g->node_count; n++) {
        bool all = g->nodes[n]->nin > 0;
        for (int i = 0; i < g->nodes[n]->nin; i++)
            all = all && (!g->nodes[n]->in[i].id || f->fixed[g->nodes[n]->in[i].id]);
        for (int i = 0; i < g->nodes[n]->nout; i++) f->fixed[g->nodes[n]->out[i].id] = all;
    }
}

static tern_status form(former *f)
{
    const tern_graph *g = f->from;
    for (int n = 0; n < g->node_count; n++)
        for (int i = 0; i < g->nodes[n]->nin; i++) f->readers[g->nodes[n]->in[i].id]++;
    for (int i = 0; i < g->output_count; i++) f->readers[g->outputs[i].value.id]++;
    for (int i = 1; i < g->value_count; i++) {
        if (g->values[i].kind == TERN_VALUE_STATE && !g->values[i].kept)
            return tern_fail(TERN_USAGE, "the net keeps \"%s\" from step to step: nets of bytes do not",
                             g->values[i].name);
        if (g->values[i].kind == TERN_VALUE_INPUT) form_input(f, i);
    }
    for (int n = 0; n < g->node_count; n++)
        if (!f->done[n] && !f->fixed[g->nodes[n]->out[0].id]) TERN_TRY(form_node(f, g->nodes[n]));
    for (int i = 0; i < g->output_count; i++) TERN_TRY(form_output(f, &g->outputs[i]));
    for (int i = 1; i < g->value_count; i++) /* roots of roots */
        if (f->plan->root[i]) f->plan->root[i] = root_of(f, i);
    return tern_graph_status(f->to);
}

tern_status tern_pass_int8(const tern_graph *from, const tern_int8_parameters *how, tern_graph **to,
                           tern_int8_plan *plan)
{
    tern_int8_plan own = {0};
    size_t values = (size_t)from->value_count, nodes = (size_t)from->node_count;
    former f = {.from = from, .plan = plan ? plan : &own, .how = how};
    if ((how->out != 8 && how->out != 16) || (how->multiplier != 16 && how->multiplier != 32) ||
        (how->activations != 8 && how->activations != 16))
        return tern_fail(
            TERN_USAGE,
            "act-bits %d, out-bits %d and multiplier-bits %d: expected 8 or 16, 8 or 16, and 32 or 16",
            how->activations, how->out, how->multiplier);
    TERN_TRY(tern_graph_status(from));
    TERN_TRY(tern_graph_open(&f.to, &from->options));
    *f.plan = (tern_int8_plan){.values = from->value_count};
    f.to->layer_count = from->layer_count;
    f.plan->sites = tern_take_array(nodes + values + (size_t)from->output_count, sizeof *f.plan->sites);
    f.plan->root = tern_take_array(values, sizeof *f.plan->root);
    f.map = tern_take_array(values, sizeof *f.map);
    f.fixed = tern_take_array(values + nodes + 1, sizeof *f.fixed);
    f.readers = tern_take_array(values, sizeof *f.readers);
    tern_status status = f.plan->sites && f.plan->root && f.map && f.fixed && f.readers
                             ? TERN_OK
                             : tern_no_memory(values * sizeof *f.map, "a graph of bytes");
    if (status == TERN_OK) {
        f.done = f.fixed + values;
        mark_fixed(&f);
        status = form(&f);
    }
    tern_release(f.map);
    tern_release(f.fixed);
    tern_release(f.readers);
    if (status != TERN_OK || !plan) tern_int8_plan_free(f.plan);
    if (status == TERN_OK)
        *to = f.to;
    else
        tern_graph_close(f.to);
    return status;
}

tern_status tern_int8_take_bytes(tern_graph **graph)
{
    tern_graph *g = *graph, *result = NULL;
    for (int n = 0; n < g->node_count; n++) {
        const tern_node *node = g->nodes[n];
        bool bytes = node->op == &tern_op_quantise_int8;
        if ((!bytes && node->op != &tern_op_quantise_int16) ||
            tern_value_of(g, node->in[0])->kind != TERN_VALUE_INPUT)
            continue;
        g->values[node->in[0].id].type.dtype = bytes ? TERN_I8 : TERN_I16;
        for (int m = n + 1; m < g->node_count; m++)
            for (int i = 0; i < g->nodes[m]->nin; i++)
                if (g->nodes[m]->in[i].id == node->out[0].id) g->nodes[m]->in[i] = node->in[0];
    }
    TERN_TRY(tern_pass_dead(g, &result)); /* the nodes that made them */
    tern_graph_close(g);
    *graph = result;
    return TERN_OK;
}
