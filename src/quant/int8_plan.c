/* Which parameters of a net of bytes learn: as text, and what that takes. */
#include "op/int8.h"
#include "quant/learn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- as text ------------------------------------------------------------------------------------------------------------ */

static tern_status bad_part(const char *part, size_t length)
{
    return tern_fail(
        TERN_USAGE,
        "update \"%.*s\": expected all, bias=K, last=K, head, LAYER or LAYER=SHARE with 0 < SHARE <= 1, with "
        "commas between, for example bias=4,conv3=0.25,linear1",
        (int)length, part);
}

static tern_status take_part(const char *part, size_t length, tern_int8_update_plan *plan)
{
    const char *equals = memchr(part, '=', length);
    size_t name = equals ? (size_t)(equals - part) : length;
    char *end = NULL;
    double value = equals ? strtod(equals + 1, &end) : 1;
    if (equals && (end == equals + 1 || end != part + length)) return bad_part(part, length);
    bool bias = equals && name == 4 && strncmp(part, "bias", 4) == 0;
    bool last = equals && name == 4 && strncmp(part, "last", 4) == 0;
    if (length == 10 && strncmp(part, "stochastic", 10) == 0) {
        plan->stochastic = true;
    } else if (length == 8 && strncmp(part, "unscaled", 8) == 0) {
        plan->unscaled = true;
    } else if (length == 3 && strncmp(part, "all", 3) == 0) {
        plan->biases = -1;
        plan->all_weights = true;
    } else if (length == 4 && strncmp(part, "head", 4) == 0) {
        plan->head = true;
    } else if (bias || last) {
        if (!(value >= 0) || value > 1000 || value != floor(value)) return bad_part(part, length);
        plan->biases = (int)value;
        plan->all_weights = last;
    } else {
        if (name == 0 || name >= sizeof plan->layers[0].name || !(value > 0) || value > 1)
            return bad_part(part, length);
        if (plan->count == TERN_UPDATE_LAYERS)
            return tern_fail(TERN_USAGE, "update: more than %d layers", TERN_UPDATE_LAYERS);
        tern_int8_layer *layer = &plan->layers[plan->count++];
        memcpy(layer->name, part, name);
        layer->name[name] = 0;
        layer->share = value;
    }
    return TERN_OK;
}

tern_status tern_int8_update_parse(const char *text, tern_int8_update_plan *plan)
{
    *plan = (tern_int8_update_plan){0};
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, ",");
        TERN_TRY(take_part(at, length, plan));
        at += length;
        if (!*at) return TERN_OK;
    }
}

void tern_int8_update_print(const tern_int8_update_plan *plan, tern_text *text)
{
    if (plan->biases < 0)
        tern_text_put(text, "all");
    else
        tern_text_format(text, "%s=%d", plan->all_weights ? "last" : "bias", plan->biases);
    if (plan->head) tern_text_put(text, ",head");
    for (int i = 0; i < plan->count; i++)
        tern_text_format(text, ",%s=%g", plan->layers[i].name, plan->layers[i].share);
    if (plan->stochastic) tern_text_put(text, ",stochastic");
    if (plan->unscaled) tern_text_put(text, ",unscaled");
}

/* ---- which products ------------------------------------------------------------------------------------------------------ */

bool tern_int8_is_product(const tern_node *node)
{
    return node->op == &tern_op_conv2d_int8 || node->op == &tern_op_linear_int8;
}

int tern_int8_products(const tern_graph *g)
{
    int count = 0;
    for (int n = 0; n < g->node_count; n++) count += tern_int8_is_product(g->nodes[n]);
    return count;
}

tern_status tern_int8_check_plan(const tern_graph *g, const tern_int8_update_plan *plan)
{
    for (int i = 0; i < plan->count; i++) {
        tern_text known = {0};
        bool found = false;
        for (int n = 0; n < g->node_count; n++) {
            if (!tern_int8_is_product(g->nodes[n])) continue;
            tern_text_format(&known, "%s%s", known.size ? ", " : "", g->nodes[n]->layer);
            found |= strcmp(g->nodes[n]->layer, plan->layers[i].name) == 0;
        }
        tern_status status =
            found ? TERN_OK
                  : tern_fail(TERN_USAGE,
                              "update: there is no layer \"%s\" with weights of bytes; there are %s",
                              plan->layers[i].name, known.data ? known.data : "none");
        tern_text_free(&known);
        TERN_TRY(status);
    }
    return TERN_OK;
}

static bool is_depthwise(const tern_graph *g, const tern_node *node)
{
    tern_shape w = tern_shape_of(g, node->in[TERN_IN_W]);
    return w.rank == 4 && w.dim[1] == 1 && tern_int_argument(node, "groups") == w.dim[0];
}

tern_int8_choice tern_int8_choice_of(const tern_graph *g, const tern_node *node, int product, int products,
                                     const tern_int8_update_plan *plan)
{
    tern_shape w = tern_shape_of(g, node->in[TERN_IN_W]);
    tern_int8_choice c = {.depthwise = is_depthwise(g, node)};
    double share = 0;
    bool last = plan->biases < 0 || product >= products - plan->biases;
    bool head = plan->head && product == products - 1;
    c.bias = last || head;
    if (last && plan->all_weights) share = 1;
    for (int i = 0; i < plan->count; i++)
        if (strcmp(plan->layers[i].name, node->layer) == 0) share = plan->layers[i].share;
    if (head) share = 1;
    c.channels = c.depthwise ? w.dim[0] : w.dim[1];
    c.whole = share >= 1;
    c.chosen = c.whole ? c.channels : (int64_t)(share * (double)c.channels);
    if (share > 0 && c.chosen < 1) c.chosen = 1;
    if (c.chosen == c.channels) c.whole = true;
    return c;
}

/* ---- what it takes --------------------------------------------------------------------------------------------------------- */

tern_status tern_int8_update_bytes(const tern_graph *g, const tern_int8_update_plan *plan, double *bytes)
{
    int products = tern_int8_products(g), product = 0;
    *bytes = 0;
    TERN_TRY(tern_int8_check_plan(g, plan));
    for (int n = 0; n < g->node_count; n++) {
        const tern_node *node = g->nodes[n];
        if (!tern_int8_is_product(node)) continue;
        tern_int8_choice c = tern_int8_choice_of(g, node, product++, products, plan);
        tern_shape x = tern_shape_of(g, node->in[0]), w = tern_shape_of(g, node->in[TERN_IN_W]);
        tern_shape y = tern_shape_of(g, node->out[0]);
        double inputs = (double)tern_elements(&x), outputs = (double)tern_elements(&y);
        if (product == products) { /* the head is always trained */
            *bytes += inputs;
            continue;
        }
        if (c.bias) *bytes += outputs / 8 + 4 * (double)w.dim[0];
        double in_channels = c.depthwise ? (double)w.dim[0] : (double)w.dim[1];
        double filters = c.depthwise ? 1 : (double)w.dim[0];
        if (c.chosen)
            *bytes += inputs / in_channels * (double)c.chosen +
                      filters * (double)c.chosen * (double)tern_elements_from(&w, 2);
    }
    return TERN_OK;
}
