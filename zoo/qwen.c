/* Qwen 2 (arXiv 2407.10671): Llama with biases on queries, keys and values; Qwen 3 (2505.09388) norms queries and keys by head
 * instead.  Both are in the file's weights; rotary pairs lie half a head apart. */
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

TERN_ARCHITECTURE(qwen2, "Qwen 2, Qwen 2.5", NULL, build);
TERN_ARCHITECTURE(qwen3, "Qwen 3", NULL, build);
