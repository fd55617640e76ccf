/* Llama: a decoder with rotary positions, grouped queries, RMS norms and a gated feed-forward layer (arXiv 2302.13971;
 * grouped queries: 2305.13245), or, as in Mixtral (2401.04088), several such layers of which a token chooses.  GGUF stores its rotary pairs side by side. */
#include "language.h"

static tern_status read(tern_transformer *t)
{
    t->adjacent = !tern_weights_meta(t->weights, "tern.rope_halves"); /* as Hugging Face stores them */
    return TERN_OK;
}

tern_value build_llama(tern_graph *g, const tern_transformer *t, const tern_feed *feed)
{
    tern_value angles = file_angles(g, t, feed, 0);
    tern_value x = embed_tokens(g, t, feed); /* [S,width] */
    for (int l = 0; l < t->layers; l++) {
        x = add(g, x, self_attention(g, t, feed, scaled_rms(g, t, x, l, "attn_norm"), l, angles));
        tern_value h = scaled_rms(g, t, x, l, "ffn_norm");
        x = add(g, x, t->experts ? gated_experts(g, t, h, l, silu) : gated_layer(g, t, h, l, silu));
    }
    x = scaled_rms(g, t, rows_wanted(g, feed->wanted, x), -1, "output_norm");
    return last_layer(g, t, x); /* [R,vocabulary] */
}

TERN_ARCHITECTURE(llama, "Llama, SmolLM2, TinyLlama, Mistral, Mixtral", read, build_llama);
