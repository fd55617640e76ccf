/* Phi-3 (arXiv 2404.14219): Llama with queries, keys and values in one product, gate and up in another, and, in the versions for
 * long texts, angles divided by one of two lists. */
#include "language.h"

static tern_value build(tern_graph *g, const tern_transformer *t, const tern_feed *feed)
{
    tern_value angles = file_angles(g, t, feed, 0);
    tern_value x = embed_tokens(g, t, feed); /* [S,width] */
    for (int l = 0; l < t->layers; l++) {
        x = add(g, x, self_attention(g, t, feed, scaled_rms(g, t, x, l, "attn_norm"), l, angles));
        x = add(g, x, gated_layer(g, t, scaled_rms(g, t, x, l, "ffn_norm"), l, silu));
    }
    x = scaled_rms(g, t, rows_wanted(g, feed->wanted, x), -1, "output_norm");
    return last_layer(g, t, x); /* [R,vocabulary] */
}

TERN_ARCHITECTURE(phi3, "Phi-3", NULL, build);
