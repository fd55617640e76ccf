/* The layers of transformers, with weights that lie in the model's file. */
#include "llm/adapter.h"

#include "op/experts.h"
#include "op/norm.h"
#include "op/op.h"

#include <math.h>

/* "blk.<layer>.<name>.<part>" */
typedef struct tern_weight_name {
    char text[96];
} tern_weight_name;

static tern_weight_name name_of(int layer, const char *name, const char *part)
{
    tern_weight_name n;
    if (layer < 0)
        snprintf(n.text, sizeof n.text, "%s.%s", name, part);
    else
        snprintf(n.text, sizeof n.text, "blk.%d.%s.%s", layer, name, part);
    return n;
}

/* A tensor that the graph may know already: a table that is input and output. */
static tern_value named(tern_graph *g, const tern_transformer *t, const char *name, tern_shape shape,
                        bool needed)
{
    const tern_tensor *w = tern_weights_find(t->weights, name);
    char a[96], b[96];
    if (!w) return needed ? tern_graph_fail(g, "the model has no tensor \"%s\"", name) : (tern_value){0};
    tern_value known = tern_find_value(g, name);
    if (known.id) return known;
    if (!tern_shape_equal(&w->shape, &shape))
        return tern_graph_fail(g, "tensor \"%s\" is %s, expected %s", name, tern_shape_text(a, &w->shape),
                               tern_shape_text(b, &shape));
    return tern_weight(g, name, w->dtype, shape);
}

tern_value tern_file_weight(tern_graph *g, const tern_transformer *t, int layer, const char *name,
                            tern_shape shape, bool needed)
{
    return named(g, t, name_of(layer, name, "weight").text, shape, needed);
}

/* Small tensors take part in f32; where they are stored otherwise that is done once, before the first run. */
static tern_value as_f32(tern_graph *g, tern_value x)
{
    return !x.id || tern_dtype_of_value(g, x) == TERN_F32 ? x : tern_cast(g, x, TERN_F32);
}

static tern_value bias_of(tern_graph *g, const tern_transformer *t, int layer, const char *name, int64_t out)
{
    return as_f32(g, named(g, t, name_of(layer, name, "bias").text, TERN_SHAPE(out), false));
}

static int64_t columns(const tern_graph *g, tern_value x)
{
    tern_shape s = tern_shape_of(g, x);
    return s.rank ? s.dim[s.rank - 1] : 0;
}

/* A matrix of an adapter in f32; *tensor NULL: it does not change this weight. */
static tern_value adapter_matrix(tern_graph *g, const tern_transformer *t, int index, tern_weight_name name,
                                 const tern_tensor **tensor)
{
    char known[160];
    *tensor = tern_weights_find(&t->adapters[index].weights, name.text);
    if (!*tensor) return (tern_value){0};
    return as_f32(
        g, tern_weight(g, tern_adapter_name(known, index, name.text), (*tensor)->dtype, (*tensor)->shape));
}

/* y + scale (x A^T) B^T for each adapter that changes this weight */
static tern_value adapted(tern_graph *g, const tern_transformer *t, tern_value x, tern_value y, int layer,
                          const char *name)
{
    for (int i = 0; i < t->adapter_count; i++) {
        const tern_adapter *adapter = &t->adapters[i];
        const tern_tensor *a, *b;
        tern_value down = adapter_matrix(g, t, i, name_of(layer, name, "weight.lora_a"), &a);
        tern_value up = adapter_matrix(g, t, i, name_of(layer, name, "weight.lora_b"), &b);
        if (!a || !b) continue;
        double rank = (double)a->shape.dim[0], over = adapter->by_root ? sqrt(rank) : rank;
        double scale = adapter->weight * (adapter->alpha > 0 ? adapter->alpha / over : 1);
        tern_value low = tern_multiply_weight(g, x, down, (tern_value){0});
        low = tern_multiply(g, low, tern_scalar(g, scale));
        y = tern_add(g, y, tern_multiply_weight(g, low, up, (tern_value){0}));
    }
    return y;
}

tern_value tern_project(tern_graph *g, const tern_transformer *t, tern_value x, int layer, const char *name,
                        int out)
{
    tern_value w = tern_file_weight(g, t, layer, name, TERN_SHAPE(out, columns(g, x)), true);
    tern_value bias = bias_of(g, t, layer, name, out);
    if (t->watch) tern_output(g, name_of(layer, name, "weight.in").text, x);
    if (!w.id || tern_dtype_of_value(g, w) != TERN_I8)
        return adapted(g, t, x, tern_multiply_weight(g, x, w, bias), layer, name);
    tern_outlier_weight bytes = {.w = w, .bias = bias};
    const tern_tensor *exact = tern_weights_find(t->weights, name_of(layer, name, "exact").text);
    int64_t count = exact && exact->shape.rank == 2 ? exact->shape.dim[1] : 0;
    bytes.scale = as_f32(g, named(g, t, name_of(layer, name, "scale").text, TERN_SHAPE(out), true));
    bytes.exact = as_f32(g, named(g, t, name_of(layer, name, "exact").text, TERN_SHAPE(out, count), false));
    bytes.columns = named(g, t, name_of(layer, name, "exact_columns").text, TERN_SHAPE(count), false);
    return adapted(g, t, x, tern_linear_outlier(g, x, bytes, t->outliers), layer, name);
}

static tern_value normed(tern_graph *g, const tern_transformer *t, tern_value x, int layer, const char *name,
                         bool centre)
{
    int64_t width = columns(g, x);
    tern_value w = as_f32(g, tern_file_weight(g, t, layer, name, TERN_SHAPE(width), true));
    tern_value b = bias_of(g, t, layer, name, width);
    x = tern_apply(g, &tern_op_normalise, &(tern_normalise_op){t->epsilon, centre}, &x, 1, NULL);
    x = tern_multiply(g, x, w);
    return b.id ? tern_add(g, x, b) : x;
}

tern_value tern_scaled_rms(tern_graph *g, const tern_transformer *t, tern_value x, int layer,
                           const char *name)
{
    return normed(g, t, x, layer, name, false);
}

tern_value tern_scaled_norm(tern_graph *g, const tern_transformer *t, tern_value x, int layer,
                            const char *name)
{
    return normed(g, t, x, layer, name, true);
}

bool tern_slides(const tern_transformer *t, int layer)
{
    return t->window > 0 && (t->period == 0 || (layer + 1) % t->period != 0);
}

tern_value tern_embed_tokens(tern_graph *g, const tern_transformer *t, const tern_feed *feed)
{
    tern_value table = tern_file_weight(g, t, -1, "token_embd", TERN_SHAPE(t->vocabulary, t->width), true);
    return tern_embedding(g, feed->tokens, table);
}

tern_value tern_embed_positions(tern_graph *g, const tern_transformer *t, const tern_feed *feed)
{
    tern_value table = tern_file_weight(g, t, -1, "position_embd", TERN_SHAPE(t->context, t->width), true);
    return tern_embedding(g, feed->positions, table);
}

tern_value tern_first_type(tern_graph *g, const tern_transformer *t)
{
    const tern_tensor *types = tern_weights_find(t->weights, "token_types.weight");
    int64_t count = types && types->shape.rank == 2 ? types->shape.dim[0] : 1;
    tern_value table =
        as_f32(g, tern_file_weight(g, t, -1, "token_types", TERN_SHAPE(count, t->width), true));
    return tern_slice(g, table, 0, 0, 1);
}

/* Divisors of angles: Llama 3's, or those of Phi-3 for contexts longer and shorter than the old one. */
static tern_value divisors_of(tern_graph *g, const tern_transformer *t, const tern_feed *feed, int64_t pairs)
{
    bool longer = (feed->context ? feed->context : feed->rows) > t->angles.context;
    tern_value one = tern_file_weight(g, t, -1, "rope_freqs", TERN_SHAPE(pairs), false);
    if (!one.id)
        one = tern_file_weight(g, t, -1, longer ? "rope_factors_long" : "rope_factors_short",
                               TERN_SHAPE(pairs), false);
    return as_f32(g, one);
}

tern_value tern_file_angles(tern_graph *g, const tern_transformer *t, const tern_feed *feed, double base)
{
    tern_angles_args args = t->angles;
    if (base > 0) args = (tern_angles_args){.dims = args.dims, .base = base, .scale = 1, .magnitude = 1};
    tern_value divisors = base > 0 ? (tern_value){0} : divisors_of(g, t, feed, args.dims / 2);
    return tern_angles_with(g, feed->positions, divisors, args);
}

/* ---- attention ------------------------------------------------------------------------------------------------------ */

/* Columns first .. of x as heads, [S,heads,head_width], normed by `norm` where the file has it. */
static tern_value heads_of(tern_graph *g, const tern_transformer *t, tern_value x, int layer,
                           const char *norm, int heads)
{
    x = tern_reshape(g, x, TERN_SHAPE(tern_shape_of(g, x).dim[0], heads, t->head_width));
    bool has = norm && tern_weights_find(t->weights, name_of(layer, norm, "weight").text);
    return has ? tern_scaled_rms(g, t, x, layer, norm) : x;
}

/* x [S,groups,head_width] at its positions in the cache of the layer */
static tern_value remember(tern_graph *g, const tern_transformer *t, const tern_feed *feed, tern_value x,
                           int layer, const char *what)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%d.%s", layer, what);
    tern_value state = tern_state(g, name, feed->cache, TERN_SHAPE(feed->rows, t->groups, t->head_width),
                                  (tern_init){TERN_INIT_ZERO, 0}, true);
    tern_value next = tern_put_rows(g, state, x, feed->page ? feed->slots : feed->positions);
    tern_next(g, state, next);
    return next;
}

tern_value tern_self_attention(tern_graph *g, const tern_transformer *t, const tern_feed *feed, tern_value x,
                               int layer, tern_value angles)
{
    int wide = t->heads * t->head_width, narrow = t->groups * t->head_width;
    tern_value q, k, v;
    if (tern_weights_find(t->weights, name_of(layer, "attn_qkv", "weight").text)) {
        tern_value all = tern_project(g, t, x, layer, "attn_qkv", wide + 2 * narrow);
        q = tern_slice(g, all, 1, 0, wide);
        k = tern_slice(g, all, 1, wide, narrow);
        v = tern_slice(g, all, 1, wide + narrow, narrow);
    } else {
        q = tern_project(g, t, x, layer, "attn_q", wide);
        k = tern_project(g, t, x, layer, "attn_k", narrow);
        v = tern_project(g, t, x, layer, "attn_v", narrow);
    }
    q = heads_of(g, t, q, layer, "attn_q_norm", t->heads);
    k = heads_of(g, t, k, layer, "attn_k_norm", t->groups);
    v = heads_of(g, t, v, layer, NULL, t->groups);
    if (angles.id) {
        q = tern_rotate(g, q, angles, t->adjacent);
        k = tern_rotate(g, k, angles, t->adjacent);
    }
    k = remember(g, t, feed, k, layer, "keys");
    v = remember(g, t, feed, v, layer, "values");
    tern_value seen = feed->seen.id ? feed->seen : feed->positions;
    tern_attend_args args = {t->scale, t->cap, tern_slides(t, layer) ? t->window : 0, feed->page};
    x = feed->page ? tern_attend_pages(g, q, k, v, seen, feed->owners, feed->table, args)
                   : tern_attend_with(g, q, k, v, seen, args);
    return tern_project(g, t, tern_reshape(g, x, TERN_SHAPE(-1, wide)), layer, "attn_output", t->width);
}

/* ---- feed-forward layers -------------------------------------------------------------------------------------------- */

tern_value tern_gated_layer(tern_graph *g, const tern_transformer *t, tern_value x, int layer, tern_curve *f)
{
    tern_value gate, up;
    if (tern_weights_find(t->weights, name_of(layer, "ffn_gate", "weight").text)) {
        gate = tern_project(g, t, x, layer, "ffn_gate", t->hidden);
        up = tern_project(g, t, x, layer, "ffn_up", t->hidden);
    } else {
        tern_value both = tern_project(g, t, x, layer, "ffn_up", 2 * t->hidden);
        gate = tern_slice(g, both, 1, 0, t->hidden);
        up = tern_slice(g, both, 1, t->hidden, t->hidden);
    }
    return tern_project(g, t, tern_multiply(g, f(g, gate), up), layer, "ffn_down", t->width);
}

tern_value tern_gated_experts(tern_graph *g, const tern_transformer *t, tern_value x, int layer,
                              tern_curve *f)
{
    int E = t->experts, C = t->chosen, H = t->hidden, W = t->width;
    tern_value index, votes = tern_project(g, t, x, layer, "ffn_gate_inp", E);
    tern_value share = tern_softmax(g, tern_top(g, votes, C, &index)); /* [S,C] */
    tern_value gate = tern_file_weight(g, t, layer, "ffn_gate_exps", TERN_SHAPE(E, H, W), true);
    tern_value up = tern_file_weight(g, t, layer, "ffn_up_exps", TERN_SHAPE(E, H, W), true);
    tern_value down = tern_file_weight(g, t, layer, "ffn_down_exps", TERN_SHAPE(E, W, H), true);
    tern_value h = f(g, tern_linear_experts(g, x, index, gate)); /* [S,C,H] */
    h = tern_linear_experts(g, tern_multiply(g, h, tern_linear_experts(g, x, index, up)), index, down);
    return tern_sum(g, tern_multiply(g, h, tern_reshape(g, share, TERN_SHAPE(-1, C, 1))), .axis = 1);
}

tern_value tern_last_layer(tern_graph *g, const tern_transformer *t, tern_value x)
{
    tern_shape shape = TERN_SHAPE(t->vocabulary, t->width);
    tern_value head = tern_file_weight(g, t, -1, "output", shape, false);
    if (!head.id) head = tern_file_weight(g, t, -1, "token_embd", shape, true);
    tern_value y = tern_multiply_weight(g, x, head, bias_of(g, t, -1, "output", t->vocabulary));
    x = adapted(g, t, x, y, -1, "output");
    if (t->last_cap <= 0) return x;
    x = tern_tanh(g, tern_multiply(g, x, tern_scalar(g, 1 / t->last_cap)));
    return tern_multiply(g, x, tern_scalar(g, t->last_cap));
}
