/* A net of bytes as a training step, differentiated and pruned before anything runs: only what the chosen parameters need is
 * saved on the way forward and computed on the way back, and each is updated as soon as its gradient is there. */
#include "op/int8.h"
#include "quant/learn.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What the way back needs to know of a node. */
typedef struct site {
    tern_int8_choice choice;
    const char *name;                 /* prefix of its parameters */
    tern_value y, mask;               /* in the new graph; without a mask no gradient passes */
    tern_value x, saved, channels, w; /* of products: operands, what is kept of x */
    tern_value learned, rest,
        places; /* of a weight of which a part learns: that part, the others, where each is of both */
} site;

typedef struct learner {
    tern_rewrite rewrite;
    const tern_int8_update_plan *plan;
    site *sites;          /* [node of the old graph] */
    bool *reached;        /* [value of the new graph]: depends on what learns */
    tern_value *gradient; /* [value of the new graph] */
    int capacity;         /* of both: values of the forward pass */
    tern_value rate, step;
    int streams;
    struct late {
        tern_value operands[TERN_UPDATE_OPERANDS];
        const char *layer;
        tern_int8_update_op args;
    } * late; /* updates that wait */
    int late_count;
} learner;

static tern_graph *graph_of(const learner *l)
{
    return l->rewrite.to;
}

/* A parameter beside those of a site. */
static tern_value parameter(learner *l, const char *name, const char *what, tern_dtype dtype, int64_t n)
{
    const char *whole = tern_arena_format(&graph_of(l)->arena, "%s.%s", name, what);
    if (!whole) return tern_graph_no_memory(graph_of(l));
    tern_value known = tern_find_value(graph_of(l), whole);
    return known.id ? known : tern_weight(graph_of(l), whole, dtype, TERN_SHAPE(n));
}

/* "conv1" of the operand "conv1.constants". */
static const char *prefix_of(learner *l, tern_value operand)
{
    const char *name = tern_value_of(graph_of(l), operand)->name, *dot = name ? strrchr(name, '.') : NULL;
    const char *prefix = dot ? tern_arena_format(&graph_of(l)->arena, "%.*s", (int)(dot - name), name) : NULL;
    if (!prefix) tern_graph_no_memory(graph_of(l));
    return prefix ? prefix : "";
}

/* ---- forward ------------------------------------------------------------------------------------------------------------- */

static bool any_reached(const learner *l, const tern_node *node)
{
    for (int i = 0; i < node->nin; i++)
        if (node->in[i].id && l->reached[l->rewrite.map[node->in[i].id].id]) return true;
    return false;
}

/* The weight as it is; where a part of its input channels learns, put together when it is needed, so that the rest stays const. */
static tern_value weight_of(learner *l, const site *s)
{
    tern_graph *g = graph_of(l);
    if (!s->learned.id) return s->w;
    tern_value both = tern_concat(g, (tern_value[]){s->learned, s->rest}, 2, 1);
    return tern_apply(g, &tern_op_take_channels, NULL, (tern_value[]){both, s->places}, 2, NULL);
}

/* Putting it together takes the weight twice, for a while: in memory that the largest product of the net has needed anyway. */
static bool is_worth_dividing(const learner *l, const site *s)
{
    const tern_graph *from = l->rewrite.from;
    tern_shape w = tern_shape_of(graph_of(l), s->w);
    int64_t most = 0;
    for (int n = 0; n < from->node_count; n++) {
        const tern_node *node = from->nodes[n];
        if (!tern_int8_is_product(node)) continue;
        tern_shape x = tern_shape_of(from, node->in[0]), y = tern_shape_of(from, node->out[0]);
        int64_t both = tern_elements(&x) + tern_elements(&y);
        if (both > most) most = both;
    }
    return 2 * tern_elements(&w) <= most;
}

static void divide_weight(learner *l, site *s)
{
    tern_shape part = tern_shape_of(graph_of(l), s->w), rest = part;
    part.dim[1] = s->choice.chosen;
    rest.dim[1] -= s->choice.chosen;
    const char *names[] = {"learned", "rest"};
    tern_value *values[] = {&s->learned, &s->rest};
    for (int i = 0; i < 2; i++) {
        const char *name = tern_arena_format(&graph_of(l)->arena, "%s.%s", s->name, names[i]);
        *values[i] = name ? tern_weight(graph_of(l), name, TERN_I8, i ? rest : part)
                          : tern_graph_no_memory(graph_of(l));
    }
    s->places = parameter(l, s->name, "places", TERN_I32, s->choice.channels);
}

/* The same node in a form with a mask. */
static void apply_masked(learner *l, const tern_node *node, const tern_op *op, site *s)
{
    tern_value in[TERN_PRODUCT_OPERANDS], out[2] = {{0}};
    for (int i = 0; i < node->nin; i++) in[i] = l->rewrite.map[node->in[i].id];
    if (s->learned.id) in[TERN_IN_W] = weight_of(l, s);
    tern_apply(graph_of(l), op, node->args, in, node->nin, out);
    l->rewrite.map[node->out[0].id] = out[0];
    s->mask = out[1];
}

static void enter(learner *l, const tern_node *node)
{
    const char *label = tern_arena_string(&graph_of(l)->arena, node->layer);
    graph_of(l)->layer = label ? label : "";
}

static tern_status forward_product(learner *l, const tern_node *node, site *s)
{
    tern_graph *g = graph_of(l);
    bool conv = node->op == &tern_op_conv2d_int8, learns = s->choice.bias || s->choice.chosen;
    s->x = l->rewrite.map[node->in[TERN_IN_X].id];
    s->w = l->rewrite.map[node->in[TERN_IN_W].id];
    s->name = prefix_of(l, s->w);
    enter(l, node);
    if (s->choice.chosen) s->saved = s->x;
    if (s->choice.chosen && !s->choice.whole) {
        if (conv && !s->choice.depthwise && tern_int_argument(node, "groups") > 1)
            return tern_fail(TERN_USAGE, "layer %s: of convolutions in groups all channels learn, or none",
                             node->layer);
        s->channels = parameter(l, s->name, "channels", TERN_I32, s->choice.chosen);
        s->saved = tern_apply(g, &tern_op_take_channels, NULL, (tern_value[]){s->x, s->channels}, 2, NULL);
        if (!s->choice.depthwise && is_worth_dividing(l, s)) divide_weight(l, s);
    }
    if (!learns && !l->reached[s->x.id]) {
        tern_rewrite_node(&l->rewrite, node);
        return TERN_OK;
    }
    apply_masked(l, node, conv ? &tern_op_conv2d_int8_mask : &tern_op_linear_int8_mask, s);
    return TERN_OK;
}

/* A sum of equal shapes: those that broadcast have no gradient. */
static bool is_plain_sum(const tern_graph *g, const tern_node *node)
{
    if (node->op != &tern_op_add_int8) return false;
    tern_shape a = tern_shape_of(g, node->in[0]), b = tern_shape_of(g, node->in[1]);
    return tern_shape_equal(&a, &b);
}

static tern_status forward(learner *l)
{
    const tern_graph *from = l->rewrite.from;
    int product = 0, products = tern_int8_products(from);
    for (int n = 0; n < from->node_count; n++) {
        const tern_node *node = from->nodes[n];
        site *s = &l->sites[n];
        bool reached = any_reached(l, node);
        if (tern_int8_is_product(node)) {
            s->choice = tern_int8_choice_of(from, node, product++, products, l->plan);
            reached |= s->choice.bias || s->choice.chosen;
            TERN_TRY(forward_product(l, node, s));
        } else if (is_plain_sum(from, node) && reached) {
            enter(l, node);
            apply_masked(l, node, &tern_op_add_int8_mask, s);
            s->name = prefix_of(l, l->rewrite.map[node->in[2].id]);
        } else {
            tern_rewrite_node(&l->rewrite, node);
        }
        TERN_TRY(tern_graph_status(graph_of(l)));
        s->y = l->rewrite.map[node->out[0].id];
        if (s->y.id >= l->capacity || s->mask.id >= l->capacity)
            return tern_fail(TERN_FAILED, "layer %s: more values than were counted", node->layer);
        l->reached[s->y.id] = reached;
    }
    return TERN_OK;
}

/* ---- backward ---------------------------------------------------------------------------------------------------------- */

static void add_gradient(learner *l, tern_value to, tern_value gradient)
{
    tern_value *sum = &l->gradient[to.id];
    *sum = sum->id ? tern_add(graph_of(l), *sum, gradient) : gradient;
}

static int64_t pixels_of(const tern_shape *y)
{
    return y->rank >= 4 ? y->dim[y->rank - 2] * y->dim[y->rank - 1] : 1;
}

/* g where nothing was clamped, times the factors that the site has by `what`. */
static tern_value scaled(learner *l, const site *s, tern_value g, const char *what, int64_t count)
{
    tern_shape y = tern_shape_of(graph_of(l), s->y);
    int pixels = count > 1 ? (int)pixels_of(&y) : 1;
    tern_value factors = parameter(l, s->name, what, TERN_F32, count);
    return tern_apply(graph_of(l), &tern_op_int8_grad_scale, &pixels, (tern_value[]){g, factors, s->mask}, 3,
                      NULL);
}

static void apply_update(learner *l, const tern_value *operands, const tern_int8_update_op *args)
{
    tern_value out[2] = {{0}};
    const tern_op *op = operands[TERN_UPDATE_X].id ? &tern_op_int8_descend : &tern_op_int8_update;
    tern_apply(graph_of(l), op, args, operands, TERN_UPDATE_OPERANDS, out);
    tern_next(graph_of(l), operands[TERN_UPDATE_BIAS], out[0]);
    if (operands[TERN_UPDATE_WEIGHT].id) tern_next(graph_of(l), operands[TERN_UPDATE_WEIGHT], out[1]);
}

/* The operands of the update of a weight whose sums have the gradient `a`. */
static void learn_weight(learner *l, const tern_node *node, const site *s, tern_value a, tern_value *operands,
                         tern_int8_update_op *args)
{
    tern_graph *g = graph_of(l);
    tern_value weight = s->learned.id ? s->learned : s->w;
    tern_shape w = tern_shape_of(g, weight);
    tern_conv_op conv = {.stride = 1, .dilation = 1, .groups = 1};
    if (node->op == &tern_op_conv2d_int8) conv = *(const tern_conv_op *)node->args;
    if (s->choice.depthwise) conv.groups = (int)s->choice.chosen;
    if (s->choice.depthwise && !s->choice.whole)
        a = tern_apply(g, &tern_op_take_channels, NULL, (tern_value[]){a, s->channels}, 2, NULL);
    args->conv = conv;
    operands[TERN_UPDATE_WEIGHT] = weight;
    operands[TERN_UPDATE_CONSTANTS] = l->rewrite.map[node->in[TERN_IN_CONSTANTS].id];
    operands[TERN_UPDATE_DW_SCALE] = parameter(l, s->name, "weight_scaling", TERN_F32, w.dim[0]);
    operands[TERN_UPDATE_CHANNELS] = s->learned.id ? (tern_value){0} : s->channels;
    operands[TERN_UPDATE_DW] = a;
    operands[TERN_UPDATE_X] = s->saved;
    if (!l->plan->late) return;
    conv.like = w;
    conv.like.dim[s->choice.depthwise ? 0 : 1] = s->choice.chosen;
    operands[TERN_UPDATE_X] = (tern_value){0};
    operands[TERN_UPDATE_DW] =
        tern_apply(g, &tern_op_int8_grad_weight, &conv,
                   (tern_value[]){s->saved, a, operands[TERN_UPDATE_CONSTANTS]}, 3, NULL);
}

/* The gradients of what learns of a product, from that of its sums, and the update. */
static void learn_product(learner *l, const tern_node *node, const site *s, tern_value a)
{
    tern_graph *g = graph_of(l);
    tern_int8_update_op args = {
        .stochastic = l->plan->stochastic, .depthwise = s->choice.depthwise, .stream = l->streams++};
    tern_value operands[TERN_UPDATE_OPERANDS] = {{0}};
    operands[TERN_UPDATE_BIAS] = l->rewrite.map[node->in[TERN_IN_BIAS].id];
    operands[TERN_UPDATE_RATE] = l->rate;
    operands[TERN_UPDATE_STEP] = l->step;
    if (s->choice.bias) {
        int outputs = (int)tern_shape_of(g, s->w).dim[0];
        operands[TERN_UPDATE_DB] = tern_apply(g, &tern_op_int8_grad_bias, &outputs, &a, 1, NULL);
        operands[TERN_UPDATE_DB_SCALE] = parameter(l, s->name, "bias_scaling", TERN_F32, outputs);
    }
    if (s->choice.chosen) learn_weight(l, node, s, a, operands, &args);
    if (!l->plan->late) {
        apply_update(l, operands, &args);
        return;
    }
    struct late *late = &l->late[l->late_count++];
    late->layer = g->layer;
    late->args = args;
    memcpy(late->operands, operands, sizeof operands);
}

static void backward_product(learner *l, const tern_node *node, const site *s, tern_value dy)
{
    tern_shape scales = tern_shape_of(l->rewrite.from, node->in[TERN_IN_MULTIPLIER]);
    tern_value a = scaled(l, s, dy, "factors", tern_elements(&scales));
    if (l->reached[s->x.id]) {
        tern_conv_op conv = {.stride = 1, .dilation = 1, .groups = 1};
        if (node->op == &tern_op_conv2d_int8) conv = *(const tern_conv_op *)node->args;
        conv.like = tern_shape_of(graph_of(l), s->x);
        add_gradient(l, s->x,
                     tern_apply(graph_of(l), &tern_op_int8_grad_input, &conv,
                                (tern_value[]){weight_of(l, s), a}, 2, NULL));
    }
    if (s->choice.bias || s->choice.chosen) learn_product(l, node, s, a);
}

/* Operators whose gradient is that of their kind for real numbers. */
static tern_status backward_other(learner *l, const tern_node *node, const site *s, tern_value dy)
{
    tern_graph *g = graph_of(l);
    const tern_node *own = g->nodes[g->values[s->y.id].node];
    tern_value din[8] = {{0}};
    bool need[8] = {false};
    if (!node->op->grad || node->nin > 8)
        return tern_fail(TERN_USAGE, "layer %s: %s has no gradient in bytes; choose layers behind it only",
                         node->layer, node->op->name);
    for (int i = 0; i < own->nin; i++) need[i] = own->in[i].id && l->reached[own->in[i].id];
    TERN_TRY(node->op->grad(&(tern_grad){g, own, &dy, need, din}));
    for (int i = 0; i < own->nin; i++)
        if (need[i] && din[i].id) add_gradient(l, own->in[i], din[i]);
    return tern_graph_status(g);
}

static tern_status backward(learner *l, int n)
{
    const tern_node *node = l->rewrite.from->nodes[n];
    const site *s = &l->sites[n];
    tern_graph *g = graph_of(l);
    tern_value dy = l->gradient[s->y.id];
    if (!dy.id || !l->reached[s->y.id]) return TERN_OK;
    enter(l, node);
    tern_value x = l->rewrite.map[node->in[0].id];
    if (tern_int8_is_product(node)) {
        backward_product(l, node, s, dy);
    } else if (is_plain_sum(l->rewrite.from, node)) {
        for (int i = 0; i < 2; i++) {
            tern_value operand = l->rewrite.map[node->in[i].id];
            if (l->reached[operand.id])
                add_gradient(l, operand, scaled(l, s, dy, i ? "factor_b" : "factor_a", 1));
        }
    } else if (node->op == &tern_op_avg_pool2d_int8) {
        tern_int8_pool_grad_op pool = {*(const tern_int8_pool_op *)node->args, tern_shape_of(g, x)};
        add_gradient(l, x, tern_apply(g, &tern_op_avg_pool2d_int8_grad, &pool, &dy, 1, NULL));
    } else if (node->op == &tern_op_dequantise_int8) {
        int pixels = 1;
        tern_value in[] = {dy, l->rewrite.map[node->in[1].id]};
        add_gradient(l, x, tern_apply(g, &tern_op_int8_grad_scale, &pixels, in, 2, NULL));
    } else {
        return backward_other(l, node, s, dy);
    }
    return tern_graph_status(g);
}

/* ---- the whole -------------------------------------------------------------------------------------------------------------- */

static tern_status learn(learner *l)
{
    const tern_graph *from = l->rewrite.from;
    tern_graph *g = graph_of(l);
    TERN_TRY(forward(l));
    tern_value logits = l->rewrite.map[from->outputs[0].value.id], error[2] = {{0}};
    tern_shape shape = tern_shape_of(g, logits);
    if (!l->reached[logits.id]) return tern_fail(TERN_USAGE, "update: nothing is chosen that could learn");
    g->layer = "loss";
    g->phase = TERN_BACKWARD;
    tern_value labels = tern_input(g, "labels", TERN_I32, TERN_SHAPE(shape.dim[0]));
    l->rate = tern_input(g, "rate", TERN_F32, TERN_SHAPE(1));
    if (l->plan->stochastic) l->step = tern_input(g, "step", TERN_I32, TERN_SHAPE(1));
    tern_apply(g, &tern_op_softmax_error, NULL, (tern_value[]){logits, labels}, 2, error);
    tern_output(g, "loss", error[1]);
    l->gradient[logits.id] = error[0];
    for (int n = from->node_count - 1; n >= 0; n--) TERN_TRY(backward(l, n));
    for (int i = 0; i < l->late_count; i++) {
        g->layer = l->late[i].layer;
        apply_update(l, l->late[i].operands, &l->late[i].args);
    }
    return tern_graph_status(g);
}

static tern_status open_learner(learner *l, const tern_graph *from)
{
    size_t nodes = (size_t)from->node_count + 1;
    l->capacity = from->value_count + 3 * from->node_count + 4 * from->value_count;
    l->sites = tern_take_array(nodes, sizeof *l->sites);
    l->late = tern_take_array(nodes, sizeof *l->late);
    l->reached = tern_take_array((size_t)l->capacity, sizeof *l->reached);
    l->gradient = tern_take_array((size_t)l->capacity, sizeof *l->gradient);
    if (l->sites && l->late && l->reached && l->gradient) return TERN_OK;
    return tern_no_memory((size_t)l->capacity * sizeof *l->gradient, "a training step");
}

tern_status tern_pass_int8_learn(const tern_graph *from, const tern_int8_update_plan *plan, tern_graph **to)
{
    learner l = {.plan = plan};
    TERN_TRY(tern_int8_check_plan(from, plan));
    if (from->output_count != 1 || tern_shape_of(from, from->outputs[0].value).rank != 2)
        return tern_fail(TERN_USAGE, "a net of bytes that learns has one output, logits [B,classes]");
    TERN_TRY(tern_rewrite_open(&l.rewrite, from));
    tern_status status = open_learner(&l, from);
    if (status == TERN_OK) status = learn(&l);
    tern_release(l.sites);
    tern_release(l.late);
    tern_release(l.reached);
    tern_release(l.gradient);
    if (status == TERN_OK) return tern_rewrite_close(&l.rewrite, to);
    tern_release(l.rewrite.map);
    tern_graph_close(l.rewrite.to);
    return status;
}

/* ---- what follows from the parameters of the net -------------------------------------------------------------------------------- */

typedef struct filler {
    const tern_int8_target *to;
    bool unscaled;
    char name[160]; /* of the site */
} filler;

static tern_tensor *tensor_of(filler *f, const char *what)
{
    char name[192];
    snprintf(name, sizeof name, "%s.%s", f->name, what);
    return f->to->get(f->to->context, name);
}

/* multiplier 2^(shift - 31) of output o. */
static double factor_of(const tern_tensor *multiplier, const tern_tensor *shift, int64_t o)
{
    int64_t at = tern_elements(&multiplier->shape) > 1 ? o : 0;
    return ldexp(tern_get(multiplier, at), (int)tern_get(shift, at) - 31);
}

static tern_status fill_factors(filler *f, tern_tensor *factors)
{
    const tern_tensor *m = tensor_of(f, "multiplier"), *s = tensor_of(f, "shift");
    if (!m || !s) return TERN_FAILED;
    for (int64_t o = 0; o < tern_elements(&factors->shape); o++) tern_set(factors, o, factor_of(m, s, o));
    return TERN_OK;
}

/* 1/s_w^2, of biases 1/(s_w s_x)^2. */
static tern_status fill_scaling(filler *f, tern_tensor *scaling, bool bias)
{
    int64_t n = tern_elements(&scaling->shape);
    for (int64_t o = 0; o < n; o++) tern_set(scaling, o, 1);
    if (f->unscaled) return TERN_OK;
    const tern_tensor *m = tensor_of(f, "multiplier"), *s = tensor_of(f, "shift"),
                      *both = tensor_of(f, "scales");
    if (!m || !s || !both) return TERN_FAILED;
    double in = tern_get(both, 0), out = tern_get(both, 1);
    if (!(in > 0) || !(out > 0))
        return tern_fail(
            TERN_FAILED,
            "layer %s has no scales of its input and output: convert the net to bytes again (tern "
            "convert RUN --to int8)",
            f->name);
    for (int64_t o = 0; o < n; o++) {
        double weight = factor_of(m, s, o) * out / in;
        double unit = bias ? weight * in : weight;
        tern_set(scaling, o, unit > 0 ? 1 / (unit * unit) : 0);
    }
    return TERN_OK;
}

/* s_operand / s_y of a sum. */
static tern_status fill_sum_factor(filler *f, tern_tensor *factor, int operand)
{
    const tern_tensor *q = tensor_of(f, "constants");
    if (!q) return TERN_FAILED;
    double in = ldexp(tern_get(q, operand + 1), (int)tern_get(q, operand + 2) - 31);
    double out = ldexp(tern_get(q, TERN_ADD_Y + 1), (int)tern_get(q, TERN_ADD_Y + 2) - 31);
    tern_set(factor, 0, in * out * 1048576);
    return TERN_OK;
}

/* The channels with the largest sums of squared weights, in rising order. */
static tern_status fill_channels(filler *f, tern_tensor *channels)
{
    const tern_tensor *w = tensor_of(f, "weight");
    if (!w) return TERN_FAILED;
    int64_t k = tern_elements(&channels->shape), count = w->shape.dim[1],
            taps = tern_elements_from(&w->shape, 2);
    bool depthwise = count == 1; /* else all would be chosen */
    if (depthwise) count = w->shape.dim[0];
    double *size = tern_take_array((size_t)count, sizeof *size);
    if (!size) return tern_no_memory((size_t)count * sizeof *size, "channels");
    for (int64_t i = 0; i < tern_elements(&w->shape); i++) {
        int64_t c = depthwise ? i / taps : i / taps % count;
        size[c] += tern_get(w, i) * tern_get(w, i);
    }
    int64_t found = 0;
    for (int64_t c = 0; c < count; c++) {
        int64_t larger = 0;
        for (int64_t d = 0; d < count; d++) larger += size[d] > size[c] || (size[d] == size[c] && d < c);
        if (larger < k) tern_set(channels, found++, (double)c);
    }
    tern_release(size);
    return TERN_OK;
}

/* Input channel of the weight that channel i of what learns, and behind it of the rest, is: `of`[i]. */
static tern_status order_of(filler *f, int64_t **of, tern_tensor **weight)
{
    const tern_tensor *channels = tensor_of(f, "channels");
    *weight = tensor_of(f, "weight");
    if (!channels || !*weight) return TERN_FAILED;
    int64_t count = (*weight)->shape.dim[1], chosen = tern_elements(&channels->shape), at = chosen;
    *of = tern_take_array((size_t)count, sizeof **of);
    if (!*of) return tern_no_memory((size_t)count * sizeof **of, "channels");
    for (int64_t c = 0, k = 0; c < count; c++) { /* the chosen ones are in rising order */
        bool learns = k < chosen && (int64_t)tern_get(channels, k) == c;
        (*of)[learns ? k++ : at++] = c;
    }
    return TERN_OK;
}

/* Between a weight and what learns of it (from 0), or the rest (from the number of those that learn). */
static void move_part(const tern_tensor *weight, const tern_tensor *part, const int64_t *of, bool back)
{
    int64_t channels = weight->shape.dim[1], k = part->shape.dim[1],
            taps = tern_elements_from(&weight->shape, 2);
    for (int64_t i = 0; i < tern_elements(&part->shape); i++) {
        int64_t o = i / taps / k, from = (o * channels + of[i / taps % k]) * taps + i % taps;
        int8_t *whole = (int8_t *)weight->data + from, *one = (int8_t *)part->data + i;
        if (back)
            *whole = *one;
        else
            *one = *whole;
    }
}

/* "learned", "rest" and "places", from the weight; back: what was learned into it. */
static tern_status fill_part(filler *f, const char *what, tern_tensor *own, bool back)
{
    int64_t *of = NULL;
    tern_tensor *weight;
    TERN_TRY(order_of(f, &of, &weight));
    int64_t channels = weight->shape.dim[1];
    if (strcmp(what, "places") == 0)
        for (int64_t i = 0; i < channels; i++) tern_set(own, of[i], (double)i);
    else
        move_part(weight, own, of + (strcmp(what, "rest") == 0 ? channels - own->shape.dim[1] : 0), back);
    tern_release(of);
    return TERN_OK;
}

/* Parameters "<layer>.<what>" of a graph. */
static bool next_parameter(filler *f, const tern_graph *graph, int *at, const char **what)
{
    while (++*at < graph->value_count) {
        const tern_value_info *v = &graph->values[*at];
        const char *dot = v->kind == TERN_VALUE_PARAM ? strrchr(v->name, '.') : NULL;
        if (!dot || (size_t)(dot - v->name) >= sizeof f->name) continue;
        snprintf(f->name, sizeof f->name, "%.*s", (int)(dot - v->name), v->name);
        *what = dot + 1;
        return true;
    }
    return false;
}

tern_status tern_int8_learn_keep(const tern_graph *graph, const tern_int8_target *parameters)
{
    filler f = {.to = parameters};
    const char *what;
    for (int at = 0; next_parameter(&f, graph, &at, &what);) {
        if (strcmp(what, "learned") != 0) continue;
        tern_tensor *own = tensor_of(&f, what);
        if (!own) return TERN_FAILED;
        TERN_TRY(fill_part(&f, what, own, true));
    }
    return TERN_OK;
}

tern_status tern_int8_learn_fill(const tern_graph *graph, bool unscaled, const tern_int8_target *parameters)
{
    filler f = {.to = parameters, .unscaled = unscaled};
    const char *what;
    for (int at = 0; next_parameter(&f, graph, &at, &what);) {
        bool weight = strcmp(what, "weight_scaling") == 0, bias = strcmp(what, "bias_scaling") == 0;
        bool factors = strcmp(what, "factors") == 0, channels = strcmp(what, "channels") == 0;
        bool a = strcmp(what, "factor_a") == 0, b = strcmp(what, "factor_b") == 0;
        bool part = strcmp(what, "learned") == 0 || strcmp(what, "rest") == 0 || strcmp(what, "places") == 0;
        if (!weight && !bias && !factors && !channels && !a && !b && !part) continue;
        tern_tensor *own = tensor_of(&f, what);
        if (!own) return TERN_FAILED;
        if (factors) TERN_TRY(fill_factors(&f, own));
        if (weight || bias) TERN_TRY(fill_scaling(&f, own, bias));
        if (channels) TERN_TRY(fill_channels(&f, own));
        if (a || b) TERN_TRY(fill_sum_factor(&f, own, a ? TERN_ADD_A : TERN_ADD_B));
        if (part) TERN_TRY(fill_part(&f, what, own, false));
    }
    return TERN_OK;
}
