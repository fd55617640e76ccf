/* Language models: a decoder built from what its file says, run over tokens with a cache. */
#ifndef TERN_LLM_MODEL_H
#define TERN_LLM_MODEL_H

#include "io/io.h"
#include "op/cache.h"
#include "run/run.h"

/* The decoder of Llama (Touvron et al., arXiv 2302.13971; 2307.09288) and those that are built alike. */
typedef struct tern_llama {
    int layers, width, heads, groups, head_width, hidden, vocabulary;
    int context; /* that it was trained for */
    double epsilon;
    tern_angles_args angles;
    bool adjacent; /* pairs of rotary elements stand side by side */
    const tern_weights *weights;
} tern_llama;

/* The numbers of a GGUF file; fails for architectures that are built otherwise, naming those that are known. */
tern_status tern_llama_read(tern_llama *llama, const tern_weights *weights);

/* tokens, positions [S] i32 (negative: padding), wanted [R] i32: rows whose logits are asked for -> logits [R,vocabulary].
 * Keys and values are kept states blk.<l>.keys, blk.<l>.values [rows,groups,head_width] in the format `cache`.
 * zoo/llama.c */
tern_value tern_llama_build(tern_graph *graph, const tern_llama *llama, tern_value tokens,
                            tern_value positions, tern_value wanted, int rows, tern_dtype cache);

typedef struct tern_llm_options {
    int context;      /* rows of the cache; 0: 2048, or what the model was trained for, if less */
    int chunk;        /* tokens that go through at once; 0: 64 */
    tern_dtype cache; /* TERN_F32 (the default) or TERN_F16 */
    bool reference;   /* reference kernels only */
    tern_pool *pool;
} tern_llm_options;

typedef struct tern_llm tern_llm;
tern_status tern_llm_open(tern_llm **llm, const char *path, const tern_llm_options *options);
void tern_llm_close(tern_llm *llm);
const tern_llama *tern_llm_about(const tern_llm *llm);
const tern_weights *tern_llm_weights(const tern_llm *llm);

/* Go on with `count` tokens behind those so far; *logits [vocabulary] of the last one, valid until the next call.
 * TERN_NO_FIT when the context is full. */
tern_status tern_llm_feed(tern_llm *llm, const int32_t *tokens, int count, const float **logits);
int tern_llm_position(const tern_llm *llm);
/* Forget what stands behind the first `position` tokens. */
void tern_llm_rewind(tern_llm *llm, int position);
/* Bytes: of the mapped weights, of the cache, of the arenas. */
void tern_llm_memory(const tern_llm *llm, double *weights, double *cache, double *arena);

#endif
