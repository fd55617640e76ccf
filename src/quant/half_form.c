/* A net of floats as one of 16 bits, norms folded into its weights, and a training step of it. */
#include "op/half.h"
#include "quant/quant.h"

#include <string.h>

typedef struct half_former {
    const tern_graph *from;
    tern_graph *to;
    const tern_half_parameters *how;
    tern_half_plan *plan; /* or NULL */
    tern_value *map;      /* [value] */
    bool *fixed;          /* [value]: follows from parameters */
} half_former;

static tern_dtype format_of(const tern_half_parameters *how)
{
    static const tern_dtype formats[] = {TERN_F16, TERN_BF16, TERN_F32};
    return formats[how->format];
}

/* What a parameter that follows from others begins with: as the first of its shape among those. */
static tern_init init_of(const tern_graph *g, int value)
{
    const tern_value_info *v = &g->values[value];
    if (v->kind == TERN_VALUE_PARAM) return v->init;
    if (v->kind != TERN_VALUE_NODE) return (tern_init){0};
    const tern_node *node = g->nodes[v->node];
    for (int i = 0; i < node->nin; i++) {
        const tern_value_info *in = tern_value_of(g, node->in[i]);
        if (!in || !tern_shape_equal(&in->type.shape, &v->type.shape)) continue;
        tern_init init = init_of(g, node->in[i].id);
        if (v->type.shape.rank > 1 || init.kind == TERN_INIT_ZERO) return init;
    }
    return (tern_init){0};
}

/* The parameter of 16 bits for an operand that follows from parameters of floats. */
static tern_value parameter(half_former *f, int value, const char *what)
{
    const tern_value_info *v = &f->from->values[value];
    const char *name = v->kind == TERN_VALUE_PARAM
                           ? tern_arena_string(&f->to->arena, v->name)
                           : tern_arena_format(&f->to->arena, "%s.%s", f->to->layer, what);
    if (!name) return tern_graph_no_memory(f->to);
    if (f->map[value].id) return f->map[value];
    tern_value param = tern_weight(f->to, name, format_of(f->how), v->type.shape);
    if (!param.id) return param;
    f->to->values[param.id].init = init_of(f->from, value);
    if (f->plan) {
        char *kept = tern_arena_string(&f->plan->arena, name);
        if (!kept) return tern_graph_no_memory(f->to);
        f->plan->sites[f->plan->count++] = (tern_half_site){value, kept};
    }
    return f->map[value] = param;
}

static tern_status refuse(const tern_node *node, const char *why)
{
    return tern_fail(TERN_USAGE, "layer %s: %s %s", node->layer, node->op->name, why);
}

static tern_status form_product(half_former *f, const tern_node *node)
{
    tern_half_op args = {
        .conv = {.stride = 1, .dilation = 1, .groups = 1}, .lanes = f->how->lanes, .wide = f->how->wide != 0};
    bool bias = node->nin > 2 && node->in[2].id;
    if (node->op == &tern_op_conv2d) args.conv = *(const tern_conv_op *)node->args;
    if (!f->fixed[node->in[1].id] || (bias && !f->fixed[node->in[2].id]))
        return refuse(node, "multiplies by what is no parameter: it has no form in 16 bits");
    tern_value in[3] = {f->map[node->in[0].id], parameter(f, node->in[1].id, "weight")};
    if (bias) in[2] = parameter(f, node->in[2].id, "bias");
    f->map[node->out[0].id] = tern_apply(f->to, &tern_op_half_product, &args, in, bias ? 3 : 2, NULL);
    return TERN_OK;
}

static tern_status form_mean(half_former *f, const tern_node *node, tern_value x)
{
    const tern_reduce_args *a = node->args;
    int rank = tern_shape_of(f->to, x).rank;
    if (a->keep || a->axes != 2 || a->axis != rank - 2)
        return refuse(node, "has a form in 16 bits over the two axes of an image only");
    f->map[node->out[0].id] = tern_apply1(f->to, &tern_op_half_mean, x);
    return TERN_OK;
}

static tern_status form_rectifier(half_former *f, const tern_node *node, tern_value x)
{
    const double *limits = node->args; /* of clip: low, high */
    double most = node->op == &tern_op_clip ? limits[1] : 0;
    if (node->op == &tern_op_clip && (limits[0] != 0 || !(limits[1] > 0)))
        return refuse(node, "has a form in 16 bits from 0 to a limit only");
    f->map[node->out[0].id] = tern_apply(f->to, &tern_op_half_relu, &most, &x, 1, NULL);
    return TERN_OK;
}

static tern_status form_node(half_former *f, const tern_node *node)
{
    tern_graph_enter(f->to, node);
    tern_value x = f->map[node->in[0].id];
    if (node->op == &tern_op_conv2d || node->op == &tern_op_linear) return form_product(f, node);
    if (node->op == &tern_op_relu || node->op == &tern_op_clip) return form_rectifier(f, node, x);
    if (node->op == &tern_op_mean) return form_mean(f, node, x);
    if (node->op == &tern_op_add) {
        tern_value b = f->map[node->in[1].id];
        tern_shape left = tern_shape_of(f->from, node->in[0]), right = tern_shape_of(f->from, node->in[1]);
        if (!tern_shape_equal(&left, &right) || !x.id || !b.id)
            return refuse(node, "has a form in 16 bits of two activations of one shape only");
        f->map[node->out[0].id] = tern_apply2(f->to, &tern_op_half_add, x, b);
        return TERN_OK;
    }
    if (node->op == &tern_op_reshape) {
        f->map[node->out[0].id] = tern_reshape(f->to, x, tern_shape_of(f->from, node->out[0]));
        return TERN_OK;
    }
    return refuse(node, "has no form in 16 bits: products, ReLU, sums and means of images have one");
}

static tern_status form(half_former *f)
{
    const tern_graph *g = f->from;
    for (int i = 1; i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        if (v->kind == TERN_VALUE_STATE && !v->kept)
            return tern_fail(TERN_USAGE, "the net keeps \"%s\" from step to step: nets of 16 bits do not",
                             v->name);
        if (v->kind != TERN_VALUE_INPUT) continue;
        f->to->layer = "input";
        f->map[i] =
            tern_cast(f->to, tern_input(f->to, v->name, v->type.dtype, v->type.shape), format_of(f->how));
    }
    tern_mark_prepared(g, f->fixed);
    for (int n = 0; n < g->node_count; n++) {
        bool all = g->nodes[n]->nin > 0;
        for (int i = 0; i < g->nodes[n]->nin; i++) {
            int in = g->nodes[n]->in[i].id;
            all = all && (!in || f->fixed[in] || g->values[in].kind == TERN_VALUE_CONSTANT);
        }
        for (int i = 0; i < g->nodes[n]->nout; i++) f->fixed[g->nodes[n]->out[i].id] |= all;
        if (!f->fixed[g->nodes[n]->out[0].id]) TERN_TRY(form_node(f, g->nodes[n]));
        TERN_TRY(tern_graph_status(f->to));
    }
    for (int i = 0; i < g->output_count; i++) {
        f->to->layer = "output";
        tern_output(f->to, g->outputs[i].name, tern_cast(f->to, f->map[g->outputs[i].value.id], TERN_F32));
    }
    return tern_graph_status(f->to);
}

void tern_half_plan_free(tern_half_plan *plan)
{
    tern_release(plan->sites);
    tern_arena_free(&plan->arena);
    *plan = (tern_half_plan){0};
}

static tern_status check_how(const tern_half_parameters *how)
{
    bool lanes = how->lanes == 1 || how->lanes == 2 || how->lanes == 4 || how->lanes == 8;
    if (how->format < 0 || how->format > 2 || !lanes || !(how->scale > 0))
        return tern_fail(TERN_USAGE,
                         "half-format %d, lanes %d and loss-scale %g: expected 0 to 2; 1, 2, 4 or 8; above 0",
                         how->format, how->lanes, how->scale);
    return TERN_OK;
}

tern_status tern_pass_half(const tern_graph *from, const tern_half_parameters *how, tern_graph **to,
                           tern_half_plan *plan)
{
    size_t values = (size_t)from->value_count;
    half_former f = {.from = from, .plan = plan, .how = how};
    TERN_TRY(check_how(how));
    TERN_TRY(tern_graph_status(from));
    TERN_TRY(tern_graph_open(&f.to, &from->options));
    f.to->layer_count = from->layer_count;
    f.map = tern_take_array(values, sizeof *f.map);
    f.fixed = tern_take_array(values, sizeof *f.fixed);
    if (plan) *plan = (tern_half_plan){.sites = tern_take_array(values, sizeof *plan->sites)};
    tern_status status = f.map && f.fixed && (!plan || plan->sites)
                             ? form(&f)
                             : tern_no_memory(values * sizeof *f.map, "a graph of 16 bits");
    tern_release(f.map);
    tern_release(f.fixed);
    if (status != TERN_OK && plan) tern_half_plan_free(plan);
    if (status == TERN_OK)
        *to = f.to;
    else
        tern_graph_close(f.to);
    return status;
}

/* ---- a training step ------------------------------------------------------------------------------------------------------ */

/* Loss and its gradient in f32, rounded once; gradients of all parameters; plain descent. */
static tern_status learn(tern_graph *g, const tern_half_parameters *how, tern_value *params)
{
    tern_value logits = tern_find_output(g, "logits"), halves = logits, error[2] = {{0}};
    const tern_value_info *v = tern_value_of(g, logits);
    int count = 0;
    if (!v || v->type.shape.rank != 2)
        return tern_fail(TERN_USAGE, "a net of 16 bits that learns has the output logits [B,classes]");
    if (format_of(how) != TERN_F32) halves = g->nodes[v->node]->in[0];
    for (int i = 1; i < g->value_count; i++)
        if (g->values[i].kind == TERN_VALUE_PARAM) params[count++] = (tern_value){i};
    tern_value *grads = params + count;
    g->layer = "loss";
    g->phase = TERN_BACKWARD;
    tern_value labels = tern_input(g, "labels", TERN_I32, TERN_SHAPE(v->type.shape.dim[0]));
    tern_value rate = tern_input(g, "rate", TERN_F32, TERN_SHAPE(1));
    tern_apply(g, &tern_op_softmax_error, NULL, (tern_value[]){logits, labels}, 2, error);
    tern_output(g, "loss", error[1]);
    TERN_TRY(tern_graph_status(g));
    tern_named loss = g->outputs[g->output_count - 1]; /* first, as in a step of bytes */
    memmove(g->outputs + 1, g->outputs, (size_t)(g->output_count - 1) * sizeof *g->outputs);
    g->outputs[0] = loss;
    if (how->scale != 1) error[0] = tern_multiply(g, error[0], tern_scalar(g, how->scale));
    tern_value seed = tern_cast(g, error[0], format_of(how));
    TERN_TRY(tern_gradients_seeded(g, &halves, &seed, 1, params, count, grads, &tern_half_gradient_ops));
    g->phase = TERN_UPDATE;
    g->layer = "update";
    for (int i = 0; i < count; i++)
        if (grads[i].id)
            tern_next(g, params[i],
                      tern_apply(g, &tern_op_half_update, &how->scale,
                                 (tern_value[]){params[i], grads[i], rate}, 3, NULL));
    return tern_graph_status(g);
}

tern_status tern_half_learn(tern_graph *graph, const tern_half_parameters *how)
{
    tern_value *params = tern_take_array(2 * (size_t)graph->value_count, sizeof *params);
    if (!params) return tern_no_memory((size_t)graph->value_count * sizeof *params, "gradients");
    tern_status status = learn(graph, how, params);
    tern_release(params);
    return status;
}
