/* Gemma 2 (arXiv 2408.00118) and 3 (2503.19786): norms before and behind each part, layers that see a window between layers
 * that see all, a gate with GELU; Gemma 2 caps scores and logits softly, Gemma 3 norms queries and keys instead and gives
 * sliding layers rotary positions of their own.  The files hold norm weights with their 1 added. */
#include "language.h"

#include <math.h>

static tern_status read_gemma2(tern_transformer *t)
{
    TERN_TRY(tern_read_whole(t, "attention.sliding_window_pattern", 2, &t->period));
    TERN_TRY(tern_read_real(t, "attn_logit_softcapping", 50, &t->cap));
    TERN_TRY(tern_read_real(t, "final_logit_softcapping", 30, &t->last_cap));
    if (t->layers == 46 && t->scale <= 0) t->scale = 1 / sqrt((double)t->width / t->heads); /* 27B */
    return TERN_OK;
}

static tern_status read_gemma3(tern_transformer *t)
{
    TERN_TRY(tern_read_whole(t, "attention.sliding_window_pattern", 6, &t->period));
    TERN_TRY(tern_read_real(t, "rope.freq_base_swa", 10000, &t->local_base));
    if (t->layers == 62 && t->scale <= 0) t->scale = 1 / sqrt((double)t->width / t->heads); /* 27B */
    return TERN_OK;
}

static tern_value build(tern_graph *g, const tern_transformer *t, const tern_feed *feed)
{
    tern_value far = file_angles(g, t, feed, 0), near = file_angles(g, t, feed, t->local_base), h;
    tern_value x = tern_multiply(g, embed_tokens(g, t, feed), tern_scalar(g, sqrt(t->width)));
    for (int l = 0; l < t->layers; l++) {
        tern_value angles = tern_slides(t, l) ? near : far;
        h = self_attention(g, t, feed, scaled_rms(g, t, x, l, "attn_norm"), l, angles);
        x = add(g, x, scaled_rms(g, t, h, l, "post_attention_norm"));
        h = gated_layer(g, t, scaled_rms(g, t, x, l, "ffn_norm"), l, gelu_tanh);
        x = add(g, x, scaled_rms(g, t, h, l, "post_ffw_norm"));
    }
    x = scaled_rms(g, t, rows_wanted(g, feed->wanted, x), -1, "output_norm");
    return last_layer(g, t, x); /* [R,vocabulary] */
}

TERN_ARCHITECTURE(gemma2, "Gemma 2", read_gemma2, build);
TERN_ARCHITECTURE(gemma3, "Gemma 3, of text", read_gemma3, build);
