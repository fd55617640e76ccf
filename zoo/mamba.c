/* Mamba (Gu and Dao 2023, arXiv 2312.00752, figure 3): a block is a gated state space, whose step, input and read-out follow from the
 * tokens, behind a short convolution.  It keeps a state of fixed size where a transformer keeps all keys and values. */
#include "language.h"

#include "op/op.h"
#include "op/state_space.h"

/* A small tensor of the file in f32. */
static tern_value small(tern_graph *g, const tern_transformer *t, int layer, const char *name,
                        tern_shape shape)
{
    return tern_cast(g, tern_file_weight(g, t, layer, name, shape, true), TERN_F32);
}

/* A state of a layer, which the tokens of one sequence pass on. */
static tern_value kept(tern_graph *g, int layer, const char *what, tern_shape shape)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%d.%s", layer, what);
    return tern_state(g, name, TERN_F32, shape, (tern_init){TERN_INIT_ZERO, 0}, true);
}

/* x [S,width] -> [S,width]; I = hidden, N = cells */
static tern_value block(tern_graph *g, const tern_transformer *t, tern_value x, int l)
{
    int I = t->hidden, N = t->cells, R = t->rank, K = t->taps;
    tern_value both = project(g, t, x, l, "ssm_in", 2 * I), next;
    tern_value u = tern_slice(g, both, 1, 0, I), gate = tern_slice(g, both, 1, I, I);
    tern_value rows = kept(g, l, "rows", TERN_SHAPE(K - 1, I)), state = kept(g, l, "state", TERN_SHAPE(I, N));
    u = tern_causal_conv(g, u, small(g, t, l, "ssm_conv1d", TERN_SHAPE(I, K)),
                         small(g, t, l, "ssm_conv1d_bias", TERN_SHAPE(I)), rows, &next);
    tern_next(g, rows, next);
    u = silu(g, u);
    tern_value follows = project(g, t, u, l, "ssm_x", R + 2 * N);
    tern_value dt = tern_softplus(g, project(g, t, tern_slice(g, follows, 1, 0, R), l, "ssm_dt", I));
    tern_value y = tern_selective_scan(g, u, dt, small(g, t, l, "ssm_a", TERN_SHAPE(I, N)),
                                       tern_slice(g, follows, 1, R, N), tern_slice(g, follows, 1, R + N, N),
                                       small(g, t, l, "ssm_d", TERN_SHAPE(I)), state, &next);
    tern_next(g, state, next);
    return project(g, t, tern_multiply(g, y, silu(g, gate)), l, "ssm_out", t->width);
}

static tern_value build(tern_graph *g, const tern_transformer *t, const tern_feed *feed)
{
    tern_value x = embed_tokens(g, t, feed); /* [S,width] */
    for (int l = 0; l < t->layers; l++) x = add(g, x, block(g, t, scaled_rms(g, t, x, l, "attn_norm"), l));
    x = scaled_rms(g, t, rows_wanted(g, feed->wanted, x), -1, "output_norm");
    return last_layer(g, t, x); /* [R,vocabulary] */
}

TERN_ARCHITECTURE(mamba, "Mamba", NULL, build);
