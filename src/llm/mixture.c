/* Which tensors of a mixture are finer than the rest, by llama.cpp's rules for Llama (its llama-quant.cpp): the output, and of the
 * layers values, the way down and, where there is room, the output of attention. */
#include "llm/mixture.h"

#include <stdlib.h>
#include <string.h>

bool tern_mixture_find(const char *name, tern_mixture *mixture, tern_dtype *dtype)
{
    static const struct {
        const char *name;
        tern_dtype most;
    } known[TERN_MIXTURES] = {[TERN_Q3_K_M] = {"q3_K_M", TERN_Q3_K},
                              [TERN_Q4_K_M] = {"q4_K_M", TERN_Q4_K},
                              [TERN_Q5_K_M] = {"q5_K_M", TERN_Q5_K}};
    for (int i = 1; i < TERN_MIXTURES; i++) {
        if (strcmp(known[i].name, name) != 0) continue;
        *mixture = (tern_mixture)i;
        *dtype = known[i].most;
        return true;
    }
    return false;
}

/* The first and the last eighth of the layers, and of the others one in three. */
static bool takes_more(int layer, int layers)
{
    int eighth = layers / 8;
    return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

/* Of each mixture: values, the way down, the output of attention. */
static tern_dtype of_layer(tern_mixture m, const char *part, int layer, int layers, tern_dtype standard)
{
    bool more = takes_more(layer, layers);
    if (strcmp(part, "attn_v.weight") == 0)
        return m != TERN_Q3_K_M ? (more ? TERN_Q6_K : standard) : layer < 2 ? TERN_Q5_K : TERN_Q4_K;
    if (strcmp(part, "ffn_down.weight") == 0)
        return m != TERN_Q3_K_M ? (more ? TERN_Q6_K : standard) : layer < layers / 16 ? TERN_Q5_K : TERN_Q4_K;
    if (strcmp(part, "attn_output.weight") == 0 && m == TERN_Q3_K_M) return TERN_Q4_K;
    if (strcmp(part, "attn_qkv.weight") == 0)
        return m == TERN_Q3_K_M ? TERN_Q4_K : m == TERN_Q4_K_M ? TERN_Q5_K : TERN_Q6_K;
    return standard;
}

tern_dtype tern_mixture_of(tern_mixture mixture, const char *name, int layers, bool untied,
                           tern_dtype standard)
{
    char *end;
    if (mixture == TERN_MIXTURE_NONE) return standard;
    if (strcmp(name, untied ? "output.weight" : "token_embd.weight") == 0) return TERN_Q6_K;
    if (strncmp(name, "blk.", 4) != 0) return standard;
    int layer = (int)strtol(name + 4, &end, 10);
    return *end == '.' ? of_layer(mixture, end + 1, layer, layers, standard) : standard;
}
