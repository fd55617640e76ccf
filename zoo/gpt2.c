/* GPT-2 (Radford et al., 2019): learned positions, norms with mean and bias, a plain feed-forward layer with GELU. */
#include "language.h"

static tern_value build(tern_graph *g, const tern_transformer *t, const tern_feed *feed)
{
    tern_value x = add(g, embed_tokens(g, t, feed), embed_positions(g, t, feed)), none = {0},
               h; /* [S,width] */
    for (int l = 0; l < t->layers; l++) {
        x = add(g, x, self_attention(g, t, feed, scaled_norm(g, t, x, l, "attn_norm"), l, none));
        h = gelu_tanh(g, project(g, t, scaled_norm(g, t, x, l, "ffn_norm"), l, "ffn_up", t->hidden));
        x = add(g, x, project(g, t, h, l, "ffn_down", t->width));
    }
    x = scaled_norm(g, t, rows_wanted(g, feed->wanted, x), -1, "output_norm");
    return last_layer(g, t, x); /* [R,vocabulary] */
}

TERN_ARCHITECTURE(gpt2, "GPT-2", NULL, build);
