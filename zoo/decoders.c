/* Language models by their numbers alone: what llama.c and gpt2.c build when there is no file.  The numbers are those of the models'
 * published configurations; weights are in bf16. */
#include "zoo.h"

#include "graph/graph.h"
#include "llm/transformer.h"

#include <string.h>

struct decoder {
    int layers, width, heads, groups, head_width, hidden, vocabulary, positions, experts, chosen, untied, gpt;
    int cells, taps; /* of a state space */
    double epsilon, base;
};

#define DECODER(id, name_, doc_, layers_, width_, heads_, groups_, hidden_, vocabulary_, positions_, ...)    \
    static const tern_option id##_options[] = {                                                              \
        INT(decoder, layers, layers_, "layers"),                                                             \
        INT(decoder, width, width_, "elements of a token, W"),                                               \
        INT(decoder, heads, heads_, "heads of queries"),                                                     \
        INT(decoder, groups, groups_, "heads of keys and values"),                                           \
        INT(decoder, hidden, hidden_, "elements within a feed-forward layer"),                               \
        INT(decoder, vocabulary, vocabulary_, "tokens that there are"),                                      \
        {"positions", false, offsetof(struct decoder, positions), positions_, "tokens of the longest text"}, \
        {"head-width", false, offsetof(struct decoder, head_width), 0, "elements of a head; 0: W / heads"},  \
        __VA_ARGS__,                                                                                         \
        {0}};                                                                                                \
    const tern_net tern_net_##id = {.name = name_,                                                           \
                                    .doc = doc_,                                                             \
                                    .size = sizeof(struct decoder),                                          \
                                    .options = id##_options,                                                 \
                                    .sample = {.rank = 1, .dim = {1}},                                       \
                                    .build = build,                                                          \
                                    .decoder = true}

#define LLAMA(base_)                                                                                         \
    INT(decoder, untied, 1, "1: the table of the output is not that of the input"),                          \
        REAL(decoder, epsilon, 1e-5, "of the norms"), REAL(decoder, base, base_, "of rotary positions")
#define GPT                                                                                                  \
    INT(decoder, gpt, 1, "1: learned positions, layer norms, biases, no gate"),                              \
        REAL(decoder, epsilon, 1e-5, "of the norms")
#define MIXTURE(experts_, chosen_)                                                                           \
    INT(decoder, experts, experts_, "feed-forward layers to choose from"),                                   \
        INT(decoder, chosen, chosen_, "of them, for a token")

/* A state space: twice as wide within a layer, steps of a sixteenth of the width. */
#define MAMBA(id, name_, doc_, layers_, width_)                                                              \
    static const tern_option id##_options[] = {                                                              \
        INT(decoder, layers, layers_, "layers"),                                                             \
        INT(decoder, width, width_, "elements of a token, W"),                                               \
        INT(decoder, cells, 16, "cells of the state of a channel"),                                          \
        INT(decoder, taps, 4, "rows that a convolution sees"),                                               \
        INT(decoder, vocabulary, 50280, "tokens that there are"),                                            \
        INT(decoder, positions, 1 << 20, "tokens of the longest text: the state takes any"),                 \
        REAL(decoder, epsilon, 1e-5, "of the norms"),                                                        \
        {0}};                                                                                                \
    const tern_net tern_net_##id = {.name = name_,                                                           \
                                    .doc = doc_,                                                             \
                                    .size = sizeof(struct decoder),                                          \
                                    .options = id##_options,                                                 \
                                    .sample = {.rank = 1, .dim = {1}},                                       \
                                    .build = build,                                                          \
                                    .decoder = true}

extern const tern_architecture tern_architecture_llama, tern_architecture_gpt2, tern_architecture_mamba;

/* A tensor without data, "blk.<layer>.<name>", or "<name>" where the layer is negative. */
static tern_status add_shape(tern_weights *w, int layer, const char *name, tern_shape shape)
{
    if (w->count == w->capacity) {
        size_t old = (size_t)w->capacity, wanted = old ? 2 * old : 64;
        tern_tensor *tensors = tern_resize(w->tensors, old * sizeof *tensors, wanted * sizeof *tensors);
        if (!tensors) return tern_no_memory(wanted * sizeof *tensors, "shapes of a model");
        w->tensors = tensors;
        const char **names = tern_resize(w->names, old * sizeof *names, wanted * sizeof *names);
        if (!names) return tern_no_memory(wanted * sizeof *names, "shapes of a model");
        w->names = names;
        w->capacity = (int)wanted;
    }
    const char *full = layer < 0 ? tern_arena_string(&w->arena, name)
                                 : tern_arena_format(&w->arena, "blk.%d.%s", layer, name);
    if (!full) return tern_no_memory(strlen(name), "shapes of a model");
    w->tensors[w->count] = (tern_tensor){TERN_BF16, shape, NULL};
    w->names[w->count++] = full;
    return TERN_OK;
}

/* A weight [out,in]; GPT-2 has a bias with each. */
static tern_status add_weight(tern_weights *w, const struct decoder *d, int layer, const char *name, int out,
                              int in)
{
    char full[32];
    snprintf(full, sizeof full, "%s.weight", name);
    TERN_TRY(add_shape(w, layer, full, TERN_SHAPE(out, in)));
    snprintf(full, sizeof full, "%s.bias", name);
    return d->gpt ? add_shape(w, layer, full, TERN_SHAPE(out)) : TERN_OK;
}

static tern_status add_norm(tern_weights *w, const struct decoder *d, int layer, const char *name)
{
    char full[32];
    snprintf(full, sizeof full, "%s.weight", name);
    TERN_TRY(add_shape(w, layer, full, TERN_SHAPE(d->width)));
    snprintf(full, sizeof full, "%s.bias", name);
    return d->gpt ? add_shape(w, layer, full, TERN_SHAPE(d->width)) : TERN_OK;
}

static tern_status add_feed_forward(tern_weights *w, const struct decoder *d, int l)
{
    int W = d->width, H = d->hidden, E = d->experts;
    if (E) {
        TERN_TRY(add_weight(w, d, l, "ffn_gate_inp", E, W));
        TERN_TRY(add_shape(w, l, "ffn_gate_exps.weight", TERN_SHAPE(E, H, W)));
        TERN_TRY(add_shape(w, l, "ffn_up_exps.weight", TERN_SHAPE(E, H, W)));
        return add_shape(w, l, "ffn_down_exps.weight", TERN_SHAPE(E, W, H));
    }
    if (!d->gpt) TERN_TRY(add_weight(w, d, l, "ffn_gate", H, W));
    TERN_TRY(add_weight(w, d, l, "ffn_up", H, W));
    return add_weight(w, d, l, "ffn_down", W, H);
}

static tern_status add_shapes(tern_weights *w, const struct decoder *d, int head_width)
{
    int W = d->width, queries = d->heads * head_width, keys = d->groups * head_width;
    TERN_TRY(add_shape(w, -1, "token_embd.weight", TERN_SHAPE(d->vocabulary, W)));
    if (d->gpt) TERN_TRY(add_shape(w, -1, "position_embd.weight", TERN_SHAPE(d->positions, W)));
    for (int l = 0; l < d->layers; l++) {
        TERN_TRY(add_norm(w, d, l, "attn_norm"));
        TERN_TRY(add_weight(w, d, l, "attn_q", queries, W));
        TERN_TRY(add_weight(w, d, l, "attn_k", keys, W));
        TERN_TRY(add_weight(w, d, l, "attn_v", keys, W));
        TERN_TRY(add_weight(w, d, l, "attn_output", W, queries));
        TERN_TRY(add_norm(w, d, l, "ffn_norm"));
        TERN_TRY(add_feed_forward(w, d, l));
    }
    TERN_TRY(add_norm(w, d, -1, "output_norm"));
    return d->untied ? add_shape(w, -1, "output.weight", TERN_SHAPE(d->vocabulary, W)) : TERN_OK;
}

static tern_status add_state_spaces(tern_weights *w, const struct decoder *d)
{
    int W = d->width, I = 2 * W, N = d->cells, R = (W + 15) / 16;
    TERN_TRY(add_shape(w, -1, "token_embd.weight", TERN_SHAPE(d->vocabulary, W)));
    for (int l = 0; l < d->layers; l++) {
        TERN_TRY(add_norm(w, d, l, "attn_norm"));
        TERN_TRY(add_weight(w, d, l, "ssm_in", 2 * I, W));
        TERN_TRY(add_shape(w, l, "ssm_conv1d.weight", TERN_SHAPE(I, d->taps)));
        TERN_TRY(add_shape(w, l, "ssm_conv1d_bias.weight", TERN_SHAPE(I)));
        TERN_TRY(add_weight(w, d, l, "ssm_x", R + 2 * N, I));
        TERN_TRY(add_weight(w, d, l, "ssm_dt", I, R));
        TERN_TRY(add_shape(w, l, "ssm_dt.bias", TERN_SHAPE(I)));
        TERN_TRY(add_shape(w, l, "ssm_a.weight", TERN_SHAPE(I, N)));
        TERN_TRY(add_shape(w, l, "ssm_d.weight", TERN_SHAPE(I)));
        TERN_TRY(add_weight(w, d, l, "ssm_out", W, I));
    }
    return add_norm(w, d, -1, "output_norm");
}

static tern_status mamba_of(tern_transformer *t, tern_weights *shapes, const char *name,
                            const struct decoder *d)
{
    *shapes = (tern_weights){0};
    if (d->layers < 1 || d->width < 1 || d->cells < 1 || d->taps < 2 || d->vocabulary < 1 || d->positions < 1)
        return tern_fail(TERN_USAGE, "%s: expected numbers from 1, and convolutions of 2 rows at least",
                         name);
    *t = (tern_transformer){.architecture = &tern_architecture_mamba,
                            .weights = shapes,
                            .layers = d->layers,
                            .width = d->width,
                            .heads = 1,
                            .groups = 1,
                            .head_width = d->width,
                            .hidden = 2 * d->width,
                            .vocabulary = d->vocabulary,
                            .context = d->positions,
                            .cells = d->cells,
                            .taps = d->taps,
                            .rank = (d->width + 15) / 16,
                            .epsilon = d->epsilon};
    tern_status status = add_state_spaces(shapes, d);
    if (status != TERN_OK) tern_weights_close(shapes);
    return status;
}

static tern_status check(const struct decoder *d, const char *name, int head_width)
{
    if (d->layers < 1 || d->width < 1 || d->heads < 1 || d->groups < 1 || d->heads % d->groups ||
        d->hidden < 1 || d->vocabulary < 1 || d->positions < 1)
        return tern_fail(TERN_USAGE,
                         "%s: %d layers of width %d with %d heads in %d groups: expected numbers from 1, and "
                         "heads a multiple of groups",
                         name, d->layers, d->width, d->heads, d->groups);
    if (d->chosen > d->experts || (d->experts && d->chosen < 1))
        return tern_fail(TERN_USAGE, "%s: %d of %d experts are chosen, expected 1 to all", name, d->chosen,
                         d->experts);
    if (!d->gpt && head_width % 2)
        return tern_fail(TERN_USAGE, "%s: heads are %d wide, expected an even number to turn in pairs", name,
                         head_width);
    return TERN_OK;
}

static tern_status shapes_of(tern_transformer *t, tern_weights *shapes, const char *name,
                             const struct decoder *d)
{
    if (d->taps) return mamba_of(t, shapes, name, d);
    int width = d->head_width || d->heads < 1 ? d->head_width : d->width / d->heads;
    *shapes = (tern_weights){0};
    TERN_TRY(check(d, name, width));
    *t = (tern_transformer){
        .architecture = d->gpt ? &tern_architecture_gpt2 : &tern_architecture_llama,
        .weights = shapes,
        .layers = d->layers,
        .width = d->width,
        .heads = d->heads,
        .groups = d->groups,
        .head_width = width,
        .hidden = d->hidden,
        .vocabulary = d->vocabulary,
        .context = d->positions,
        .experts = d->experts,
        .chosen = d->chosen,
        .epsilon = d->epsilon,
        .angles = {.dims = width, .base = d->base, .scale = 1, .fast = 32, .slow = 1, .magnitude = 1},
        .adjacent = true};
    tern_status status = add_shapes(shapes, d, width);
    if (status != TERN_OK) tern_weights_close(shapes);
    return status;
}

tern_status tern_transformer_of(tern_transformer *transformer, tern_weights *shapes, const tern_net *net,
                                const void *parameters)
{
    if (!net->decoder) return tern_fail(TERN_USAGE, "net %s is no language model", net->name);
    return shapes_of(transformer, shapes, net->name, parameters);
}

/* tokens [1,S], as numbers -> logits of the last one [1,vocabulary] */
static tern_value build(tern_graph *g, const void *parameters, tern_value x)
{
    const struct decoder *p = parameters;
    tern_shape s = tern_shape_of(g, x);
    tern_weights shapes;
    tern_transformer t;
    if (s.rank != 2 || s.dim[0] != 1 || s.dim[1] > p->positions)
        return tern_graph_fail(g, "a language model takes one text of at most %d tokens, [1,S] (--input S)",
                               p->positions);
    tern_status status = shapes_of(&t, &shapes, "the net", p);
    if (status != TERN_OK) return tern_graph_keep(g, status);
    int32_t *at = tern_arena_take(&g->arena, (size_t)s.dim[1] * sizeof *at), last = (int32_t)s.dim[1] - 1;
    for (int32_t i = 0; at && i <= last; i++) at[i] = i;
    tern_value logits = {0};
    if (at) {
        tern_feed feed = {.tokens = tern_cast(g, tern_reshape(g, x, TERN_SHAPE(s.dim[1])), TERN_I32),
                          .positions = tern_constant(g, &(tern_tensor){TERN_I32, TERN_SHAPE(s.dim[1]), at}),
                          .wanted = tern_constant(g, &(tern_tensor){TERN_I32, TERN_SHAPE(1), &last}),
                          .rows = (int)s.dim[1]};
        logits = t.architecture->build(g, &t, &feed);
    }
    tern_weights_close(&shapes);
    return at ? logits : tern_graph_no_memory(g);
}

/* Radford et al. 2019 */
DECODER(gpt2, "gpt2", "GPT-2, 124 M parameters", 12, 768, 12, 12, 3072, 50257, 1024, GPT);
/* Brown et al., arXiv 2005.14165, table 2.1 */
DECODER(gpt3, "gpt3-175b", "GPT-3, 175 B parameters", 96, 12288, 96, 96, 49152, 50257, 2048, GPT);
/* Touvron et al., arXiv 2307.09288 */
DECODER(llama2_7b, "llama2-7b", "Llama 2, 7 B parameters", 32, 4096, 32, 32, 11008, 32000, 4096, LLAMA(1e4));
DECODER(llama2_13b, "llama2-13b", "Llama 2, 13 B parameters", 40, 5120, 40, 40, 13824, 32000, 4096,
        LLAMA(1e4));
DECODER(llama2_70b, "llama2-70b", "Llama 2, 70 B parameters", 80, 8192, 64, 8, 28672, 32000, 4096,
        LLAMA(1e4));
/* Dubey et al., arXiv 2407.21783, table 3 */
DECODER(llama3_8b, "llama3-8b", "Llama 3.1, 8 B parameters", 32, 4096, 32, 8, 14336, 128256, 131072,
        LLAMA(5e5));
DECODER(llama3_70b, "llama3-70b", "Llama 3.1, 70 B parameters", 80, 8192, 64, 8, 28672, 128256, 131072,
        LLAMA(5e5));
DECODER(llama3_405b, "llama3-405b", "Llama 3.1, 405 B parameters", 126, 16384, 128, 8, 53248, 128256, 131072,
        LLAMA(5e5));
/* Jiang et al., arXiv 2401.04088, table 1 */
DECODER(mixtral_8x7b, "mixtral-8x7b", "Mixtral, 47 B parameters, 13 B of them for a token", 32, 4096, 32, 8,
        14336, 32000, 32768, MIXTURE(8, 2), LLAMA(1e6));
/* Gu and Dao, arXiv 2312.00752, table 12 */
MAMBA(mamba_130m, "mamba-130m", "Mamba, 130 M parameters", 24, 768);
MAMBA(mamba_1_4b, "mamba-1.4b", "Mamba, 1.4 B parameters", 48, 2048);
MAMBA(mamba_2_8b, "mamba-2.8b", "Mamba, 2.8 B parameters", 64, 2560);
