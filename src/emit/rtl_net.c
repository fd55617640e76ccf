/* The layers of a program as blocks of logic. */
#include "emit/rtl.h"

#include <math.h>
#include <string.h>

typedef struct tern_reader {
    tern_rtl *rtl;
    const tern_program *program;
    tern_session *session;
    tern_value now; /* the code that the next step must read */
    int c, h, w;    /* of it */
    int bits;
    bool positive;
    double low, high;
} tern_reader;

static const tern_value_info *info_of(const tern_reader *r, tern_value v)
{
    return tern_value_of(r->program->graph, v);
}

/* A prepared value as i32. */
static tern_status constant(const tern_reader *r, const tern_node *node, tern_value value,
                            const int32_t **out, int64_t *count)
{
    const tern_value_info *v = info_of(r, value);
    const void *data = tern_session_memory(r->session, value);
    *count = v ? tern_elements(&v->type.shape) : 0;
    int32_t *copy = tern_arena_take(&r->rtl->arena, ((size_t)*count + 1) * sizeof *copy);
    if (!copy) return tern_no_memory((size_t)*count * sizeof *copy, "weights");
    if (!v || !data || r->program->places[value.id].space == TERN_SPACE_ARENA)
        return tern_fail(TERN_USAGE, "layer %s: %s reads something that is computed in each run", node->layer,
                         node->op->name);
    tern_tensor t = {v->type.dtype, v->type.shape, (void *)(uintptr_t)data};
    for (int64_t i = 0; i < *count; i++) copy[i] = (int32_t)tern_get(&t, i);
    *out = copy;
    return TERN_OK;
}

/* Bits of a two's complement word that holds low .. high. */
static int signed_bits(double low, double high)
{
    int bits = 1;
    while (ldexp(-1, bits - 1) > low || ldexp(1, bits - 1) - 1 < high) bits++;
    return bits;
}

static int bits_of(const int32_t *x, int64_t n)
{
    double low = 0, high = 0;
    for (int64_t i = 0; i < n; i++) {
        low = fmin(low, x[i]);
        high = fmax(high, x[i]);
    }
    int bits = signed_bits(low, high);
    return bits < 2 ? 2 : bits;
}

/* Most one-bits of a magnitude. */
static int ones_of(const int32_t *x, int64_t n)
{
    int most = 0;
    for (int64_t i = 0; i < n; i++) {
        int ones = 0;
        for (uint32_t m = (uint32_t)(x[i] < 0 ? -(int64_t)x[i] : x[i]); m; m &= m - 1) ones++;
        most = ones > most ? ones : most;
    }
    return most;
}

static tern_rtl_layer *last(const tern_reader *r)
{
    return r->rtl->count ? &r->rtl->layers[r->rtl->count - 1] : NULL;
}

static void keep_range(tern_reader *r, double low, double high, int bits, bool positive)
{
    tern_rtl_layer *l = last(r);
    r->low = l->low = low;
    r->high = l->high = high;
    r->bits = l->out_bits = bits;
    r->positive = l->out_positive = positive;
}

/* The sums that any operands can give: from each row's weights, the bias included. */
static void bound_sums(const tern_reader *r, const tern_rtl_layer *l, double *low, double *high)
{
    int64_t taps = (int64_t)l->in_c * l->kernel_h * l->kernel_w;
    *low = *high = 0;
    for (int o = 0; o < l->out_c; o++) {
        double least = l->bias ? l->bias[o] : 0, most = least;
        for (int64_t k = 0; k < taps; k++) {
            double w = l->weight[o * taps + k], a = w * r->low, b = w * r->high;
            least += fmin(fmin(a, b), 0);
            most += fmax(fmax(a, b), 0);
        }
        *low = fmin(*low, least);
        *high = fmax(*high, most);
    }
}

static const tern_node *maker_of(const tern_reader *r, tern_value value)
{
    const tern_value_info *v = info_of(r, value);
    return v && v->kind == TERN_VALUE_NODE ? r->program->graph->nodes[v->node] : NULL;
}

/* The shift that brings a bias of fewer bits onto the grid of the sums, or NULL. */
static const tern_node *bias_shift(const tern_reader *r, const tern_node *node)
{
    const tern_node *bias =
        node->op == &tern_op_fixed_product && node->nin > 2 ? maker_of(r, node->in[2]) : NULL;
    return bias && bias->op == &tern_op_fixed_shift ? bias : NULL;
}

/* The words that weights and biases are stored in, where they are words. */
static tern_status read_formats(const tern_reader *r, const tern_node *node, tern_rtl_layer *l)
{
    const tern_node *weight = maker_of(r, node->in[1]), *shift = bias_shift(r, node),
                    *bias = shift           ? maker_of(r, shift->in[0])
                            : node->nin > 2 ? maker_of(r, node->in[2])
                                            : NULL;
    if (weight && weight->op == &tern_op_fixed_code)
        l->format_bits = ((const tern_fixed_op *)weight->args)->bits;
    if (!bias || bias->op != &tern_op_fixed_code) return TERN_OK;
    l->bias_bits = ((const tern_fixed_op *)bias->args)->bits;
    if (!shift) return TERN_OK;
    const int32_t *places;
    int64_t n;
    TERN_TRY(constant(r, node, shift->in[1], &places, &n));
    l->bias_places = -places[0];
    int most = ((const tern_shift_op *)shift->args)->to.bits - l->bias_bits;
    if (l->bias_places >= 0 && l->bias_places <= most) return TERN_OK;
    return tern_fail(TERN_USAGE,
                     "layer %s: biases are shifted by %d places onto the grid of the sums, expected 0 to %d",
                     node->layer, l->bias_places, most);
}

static tern_status add_product(tern_reader *r, const tern_node *node)
{
    const tern_conv_op *a = node->args;
    const tern_shape *w = &info_of(r, node->in[1])->type.shape;
    tern_shape y = info_of(r, node->out[0])->type.shape;
    int64_t n;
    double low, high;
    tern_rtl_layer *l = &r->rtl->layers[r->rtl->count++];
    *l = (tern_rtl_layer){.kind = TERN_RTL_PRODUCT,
                          .name = node->layer,
                          .in_c = r->c,
                          .in_h = r->h,
                          .in_w = r->w,
                          .out_c = (int)w->dim[0],
                          .out_h = 1,
                          .out_w = 1,
                          .kernel_h = r->h,
                          .kernel_w = r->w,
                          .stride_h = 1,
                          .stride_w = 1,
                          .in_bits = r->bits,
                          .in_positive = r->positive,
                          .in_low = r->low,
                          .in_high = r->high};
    TERN_TRY(read_formats(r, node, l));
    if (w->rank == 4) {
        bool flat = r->h == 1 && w->dim[2] == 1;
        if (a->groups != 1 || a->dilation != 1)
            return tern_fail(TERN_USAGE, "layer %s: convolutions of groups and with gaps have no block yet",
                             node->layer);
        l->kernel_h = (int)w->dim[2];
        l->kernel_w = (int)w->dim[3];
        l->stride_w = a->stride;
        l->stride_h = flat ? 1 : a->stride;
        l->pad_w = a->pad;
        l->pad_h = flat ? 0 : a->pad;
        l->out_h = (int)y.dim[y.rank - 2];
        l->out_w = (int)y.dim[y.rank - 1];
    }
    TERN_TRY(constant(r, node, node->in[1], &l->weight, &n));
    l->weight_bits = bits_of(l->weight, n);
    int ones = ones_of(l->weight, n);
    l->hot = ones <= 2 && l->weight_bits > 2 ? ones : 0;
    if (node->nin > 2 && node->in[2].id) TERN_TRY(constant(r, node, node->in[2], &l->bias, &n));
    bound_sums(r, l, &low, &high);
    l->sum_bits = signed_bits(low, high);
    int product = l->in_bits + l->in_positive + l->weight_bits; /* of one of them */
    if (l->sum_bits < product) l->sum_bits = product;
    if (l->sum_bits > 32)
        return tern_fail(TERN_USAGE,
                         "layer %s: its sums need %d bits, the codes of the net have 32: take fewer "
                         "bits of weights or activations",
                         node->layer, l->sum_bits);
    keep_range(r, low, high, l->sum_bits, false);
    r->c = l->out_c;
    r->h = l->out_h;
    r->w = l->out_w;
    return TERN_OK;
}

static tern_status add_pool(tern_reader *r, const tern_node *node)
{
    const tern_fixed_pool_op *a = node->args;
    tern_shape y = info_of(r, node->out[0])->type.shape;
    tern_rtl_layer *l = &r->rtl->layers[r->rtl->count++];
    *l = (tern_rtl_layer){.kind = TERN_RTL_POOL,
                          .name = node->layer,
                          .in_c = r->c,
                          .in_h = r->h,
                          .in_w = r->w,
                          .out_c = r->c,
                          .out_h = (int)y.dim[y.rank - 2],
                          .out_w = (int)y.dim[y.rank - 1],
                          .kernel_h = a->kernel,
                          .kernel_w = a->kernel,
                          .stride_h = a->stride,
                          .stride_w = a->stride,
                          .in_bits = r->bits,
                          .in_positive = r->positive,
                          .sum_bits = r->bits + r->positive};
    keep_range(r, r->low, r->high, r->bits, r->positive);
    r->h = l->out_h;
    r->w = l->out_w;
    return TERN_OK;
}

/* Room for a step behind the sums of the last product; a cast that keeps order may move before a maximum. */
static tern_status new_post(tern_reader *r, const tern_node *node, tern_rtl_post **post)
{
    tern_rtl_layer *l = last(r);
    if (!l || l->posts == TERN_RTL_POSTS)
        return tern_fail(TERN_USAGE, "layer %s: %s stands where no block has room for it", node->layer,
                         node->op->name);
    *post = &l->post[l->posts++];
    return TERN_OK;
}

static tern_status add_shift(tern_reader *r, const tern_node *node)
{
    tern_rtl_post *p;
    const int32_t *places;
    int64_t n;
    TERN_TRY(new_post(r, node, &p));
    TERN_TRY(constant(r, node, node->in[1], &places, &n));
    p->kind = TERN_RTL_SHIFT;
    p->shift = *(const tern_shift_op *)node->args;
    p->places = places[0] > 62 ? 62 : places[0] < -31 ? -31 : places[0];
    p->bits = p->shift.to.bits;
    double low = tern_fixed_least(&p->shift.to), high = tern_fixed_most(&p->shift.to);
    keep_range(r, p->shift.relu ? 0 : low, high, p->bits, p->shift.to.positive);
    return TERN_OK;
}

static tern_status add_affine(tern_reader *r, const tern_node *node)
{
    tern_rtl_post *p;
    int64_t n;
    double low = 0, high = 0;
    TERN_TRY(new_post(r, node, &p));
    p->kind = TERN_RTL_AFFINE;
    TERN_TRY(constant(r, node, node->in[1], &p->a, &n));
    p->a_bits = bits_of(p->a, n);
    int ones = ones_of(p->a, n);
    p->hot = ones <= 2 ? (ones ? ones : 1) : 0;
    TERN_TRY(constant(r, node, node->in[2], &p->b, &n));
    p->b_bits = bits_of(p->b, n);
    for (int64_t c = 0; c < n; c++) {
        double x = p->a[c] * r->low, y = p->a[c] * r->high;
        low = fmin(low, fmin(x, y) + p->b[c]);
        high = fmax(high, fmax(x, y) + p->b[c]);
    }
    p->bits = signed_bits(low, high);
    const int operands[] = {p->a_bits, p->b_bits, r->bits + r->positive};
    for (int i = 0; i < 3; i++) p->bits = p->bits < operands[i] ? operands[i] : p->bits;
    if (p->bits > 32)
        return tern_fail(TERN_USAGE, "layer %s: its scaled sums need %d bits, expected at most 32",
                         node->layer, p->bits);
    keep_range(r, low, high, p->bits, false);
    return TERN_OK;
}

static tern_status add_thresholds(tern_reader *r, const tern_node *node)
{
    tern_rtl_post *p;
    int64_t n;
    TERN_TRY(new_post(r, node, &p));
    p->kind = TERN_RTL_THRESHOLDS;
    p->high = ((const tern_thresholds_op *)node->args)->high;
    TERN_TRY(constant(r, node, node->in[1], &p->a, &n));
    p->a_bits = bits_of(p->a, n);
    while ((1 << p->bits) <= p->high) p->bits++;
    keep_range(r, 0, p->high, p->bits, true);
    return TERN_OK;
}

/* The codes of the samples: what goes in. */
static void begin(tern_reader *r, const tern_node *node)
{
    const tern_fixed_op *a = node->args;
    const tern_shape *s = &info_of(r, node->out[0])->type.shape;
    r->now = node->out[0];
    r->bits = a->bits;
    r->positive = a->positive;
    r->low = tern_fixed_least(a);
    r->high = tern_fixed_most(a);
    r->c = (int)(s->rank > 3 ? s->dim[s->rank - 3] : tern_elements_from(s, 1));
    r->h = (int)(s->rank > 3 ? s->dim[s->rank - 2] : 1);
    r->w = (int)(s->rank > 3 ? s->dim[s->rank - 1] : 1);
}

static tern_status read_step(tern_reader *r, const tern_node *node)
{
    if (node->op == &tern_op_fixed_product) return add_product(r, node);
    if (node->op == &tern_op_fixed_pool) return add_pool(r, node);
    if (node->op == &tern_op_fixed_shift) return add_shift(r, node);
    if (node->op == &tern_op_fixed_affine) return add_affine(r, node);
    if (node->op == &tern_op_threshold_count) return add_thresholds(r, node);
    if (node->op == &tern_op_reshape) return TERN_OK;
    return tern_fail(TERN_USAGE,
                     "layer %s: %s has no block; a net of products, ReLU and maxima, one behind the "
                     "other, can be emitted",
                     node->layer, node->op->name);
}

/* Whether a value leads to a cast of the image only through views. */
static bool is_entry(const tern_reader *r, const tern_node *node)
{
    if (node->op != &tern_op_fixed_code) return false;
    const tern_value_info *v = info_of(r, node->in[0]);
    while (v->kind == TERN_VALUE_NODE && (r->program->graph->nodes[v->node]->op->flags & TERN_OP_VIEW))
        v = info_of(r, r->program->graph->nodes[v->node]->in[0]);
    return v->kind == TERN_VALUE_INPUT;
}

static bool reads(const tern_node *node, tern_value value)
{
    return node->nin > 0 && node->in[0].id == value.id && value.id;
}

tern_status tern_rtl_mark(tern_graph *graph)
{
    tern_reader r = {0};
    tern_program program = {.graph = graph};
    tern_value in = {0}, now = {0}, out = {0};
    int products = 0; /* that are not in a row from the sample on */
    r.program = &program;
    for (int n = 0; n < graph->node_count; n++) {
        const tern_node *node = graph->nodes[n];
        products += node->op == &tern_op_fixed_product;
        if (is_entry(&r, node) && !now.id) in = now = node->out[0];
        if (!reads(node, now) || out.id) continue;
        if (node->op == &tern_op_fixed_value)
            out = now;
        else
            now = node->out[0];
        products -= node->op == &tern_op_fixed_product;
    }
    if (out.id && products)
        return tern_fail(TERN_USAGE,
                         "the net has branches: nets of products, norms, ReLU and maxima, one behind the "
                         "other, can be written as logic");
    if (!out.id || out.id == in.id)
        return tern_fail(
            TERN_USAGE,
            "Verilog is made of nets of integers, from the sample to the result: make one with tern "
            "convert RUN --to fixed");
    tern_output(graph, TERN_RTL_IN, in);
    tern_output(graph, TERN_RTL_OUT, out);
    for (int n = 0; n < graph->node_count; n++) { /* else nothing would keep the places until they are read */
        const tern_node *shift = bias_shift(&r, graph->nodes[n]);
        const char *name = shift ? tern_arena_format(&graph->arena, "bias_places%d", n) : NULL;
        if (shift && !name) return tern_no_memory(32, "names");
        if (shift) tern_output(graph, name, shift->in[1]);
    }
    return tern_graph_status(graph);
}

/* Only the scaling of the last sums is left to the host. */
static tern_status walk(tern_reader *r)
{
    const tern_graph *g = r->program->graph;
    tern_value in = tern_find_output(g, TERN_RTL_IN), out = tern_find_output(g, TERN_RTL_OUT);
    for (int n = 0; n < g->node_count; n++) {
        const tern_node *node = g->nodes[n];
        if (node->nout && node->out[0].id == in.id) {
            begin(r, node);
        } else if (r->now.id != out.id && reads(node, r->now)) {
            TERN_TRY(read_step(r, node));
            r->now = node->out[0];
        }
    }
    return r->rtl->count ? TERN_OK : tern_fail(TERN_USAGE, "the net has no product between its codes");
}

tern_status tern_rtl_open(tern_rtl *rtl, const tern_program *program, tern_session *session)
{
    *rtl = (tern_rtl){0};
    tern_reader r = {.rtl = rtl, .program = program, .session = session};
    rtl->layers =
        tern_arena_take(&rtl->arena, ((size_t)program->graph->node_count + 1) * sizeof *rtl->layers);
    if (!rtl->layers) return tern_no_memory(1024, "layers");
    tern_status status = walk(&r);
    for (int i = 0; i < rtl->count; i++) rtl->layers[i].pe = rtl->layers[i].simd = 1;
    if (status != TERN_OK) tern_rtl_free(rtl);
    return status;
}

void tern_rtl_free(tern_rtl *rtl)
{
    tern_arena_free(&rtl->arena);
    *rtl = (tern_rtl){0};
}
