/* Llama: a decoder with rotary positions, grouped queries, RMS norms and a gated feed-forward layer (arXiv 2302.13971;
 * grouped queries: 2305.13245).  The names are those of GGUF. */
#include "zoo.h"

#include "graph/graph.h"
#include "llm/model.h"

#include <stdio.h>

/* A weight of the file, of the shape that it must have; the empty value where it is absent and may be. */
static tern_value weight(tern_graph *g, const tern_llama *m, const char *name, tern_shape shape, bool needed)
{
    const tern_tensor *t = tern_weights_find(m->weights, name);
    char a[96], b[96];
    if (!t) return needed ? tern_graph_fail(g, "the model has no tensor \"%s\"", name) : (tern_value){0};
    tern_value known = tern_find_value(g, name);
    if (known.id) return known; /* a table that is input and output */
    if (!tern_shape_equal(&t->shape, &shape))
        return tern_graph_fail(g, "tensor \"%s\" is %s, expected %s", name, tern_shape_text(a, &t->shape),
                               tern_shape_text(b, &shape));
    return tern_weight(g, name, t->dtype, shape);
}

/* y = x W^T, + b where there is one */
static tern_value project(tern_graph *g, const tern_llama *m, tern_value x, int layer, const char *name,
                          int in, int out)
{
    char w[64], b[64];
    snprintf(w, sizeof w, "blk.%d.%s.weight", layer, name);
    snprintf(b, sizeof b, "blk.%d.%s.bias", layer, name);
    return tern_multiply_weight(g, x, weight(g, m, w, TERN_SHAPE(out, in), true),
                                weight(g, m, b, TERN_SHAPE(out), false));
}

static tern_value norm(tern_graph *g, const tern_llama *m, tern_value x, int layer, const char *name)
{
    char full[64];
    if (layer < 0)
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "blk.%d.%s", layer, name);
    return tern_rms_norm(g, x, .epsilon = m->epsilon, .name = full);
}

/* Rows at their positions in the cache of the layer: [rows, groups, head_width] */
static tern_value remember(tern_graph *g, const tern_llama *m, tern_value x, tern_value positions, int layer,
                           const char *what, int rows, tern_dtype dtype)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%d.%s", layer, what);
    tern_value state = tern_state(g, name, dtype, TERN_SHAPE(rows, m->groups, m->head_width),
                                  (tern_init){TERN_INIT_ZERO, 0}, true);
    tern_value next = tern_put_rows(g, state, x, positions);
    tern_next(g, state, next);
    return next;
}

tern_value tern_llama_build(tern_graph *g, const tern_llama *m, tern_value tokens, tern_value positions,
                            tern_value wanted, int rows, tern_dtype cache)
{
    int S = (int)tern_shape_of(g, tokens).dim[0], D = m->head_width, W = m->width;
    tern_value table = weight(g, m, "token_embd.weight", TERN_SHAPE(m->vocabulary, W), true);
    tern_value divisors = weight(g, m, "rope_freqs.weight", TERN_SHAPE(m->angles.dims / 2), false);
    tern_value angles = tern_angles_with(g, positions, divisors, m->angles);
    tern_value x = tern_embedding(g, tokens, table); /* [S,W] */
    for (int l = 0; l < m->layers; l++) {
        tern_value h = norm(g, m, x, l, "attn_norm");
        tern_value q =
            tern_reshape(g, project(g, m, h, l, "attn_q", W, m->heads * D), TERN_SHAPE(S, m->heads, D));
        tern_value k =
            tern_reshape(g, project(g, m, h, l, "attn_k", W, m->groups * D), TERN_SHAPE(S, m->groups, D));
        tern_value v =
            tern_reshape(g, project(g, m, h, l, "attn_v", W, m->groups * D), TERN_SHAPE(S, m->groups, D));
        q = tern_rotate(g, q, angles, m->adjacent);
        k = remember(g, m, tern_rotate(g, k, angles, m->adjacent), positions, l, "keys", rows, cache);
        v = remember(g, m, v, positions, l, "values", rows, cache);
        tern_value y = tern_reshape(g, tern_attend(g, q, k, v, positions), TERN_SHAPE(S, m->heads * D));
        x = tern_add(g, x, project(g, m, y, l, "attn_output", m->heads * D, W));
        h = norm(g, m, x, l, "ffn_norm");
        tern_value gate = tern_silu(g, project(g, m, h, l, "ffn_gate", W, m->hidden));
        tern_value up = project(g, m, h, l, "ffn_up", W, m->hidden);
        x = tern_add(g, x, project(g, m, tern_multiply(g, gate, up), l, "ffn_down", m->hidden, W));
    }
    x = norm(g, m, tern_embedding(g, wanted, x), -1, "output_norm"); /* the rows that are asked for */
    tern_value head = weight(g, m, "output.weight", TERN_SHAPE(m->vocabulary, W), false);
    return tern_multiply_weight(g, x, head.id ? head : table, (tern_value){0});
}
