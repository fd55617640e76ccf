/* BERT (arXiv 1810.04805) and encoders that are built alike, MiniLM say: every token sees all others, norms stand behind the
 * sums.  What comes out are rows of features, not logits. */
#include "language.h"

static tern_value build(tern_graph *g, const tern_transformer *t, const tern_feed *feed)
{
    tern_value x = add(g, embed_tokens(g, t, feed), embed_positions(g, t, feed)), none = {0}, h;
    x = scaled_norm(g, t, add(g, x, first_type(g, t)), -1, "token_embd_norm"); /* [S,width] */
    for (int l = 0; l < t->layers; l++) {
        x = scaled_norm(g, t, add(g, x, self_attention(g, t, feed, x, l, none)), l, "attn_output_norm");
        h = gelu(g, project(g, t, x, l, "ffn_up", t->hidden));
        x = scaled_norm(g, t, add(g, x, project(g, t, h, l, "ffn_down", t->width)), l, "layer_output_norm");
    }
    return rows_wanted(g, feed->wanted, x); /* [R,width] */
}

TERN_ENCODER(bert, "BERT, MiniLM", NULL, build);
