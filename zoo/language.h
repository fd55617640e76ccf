/* Language models: one file an architecture, that reads like the figure in its paper, and one line here.  Layers with weights
 * of the file are those of llm/transformer.h, under short names. */
#ifndef TERN_ZOO_LANGUAGE_H
#define TERN_ZOO_LANGUAGE_H

#include "graph/graph.h"
#include "llm/transformer.h"

/* The architectures by their names in GGUF. */
#define TERN_ARCHITECTURES(X) X(llama) X(qwen2) X(qwen3) X(phi3) X(gemma2) X(gemma3) X(gpt2) X(bert)

#define embed_tokens          tern_embed_tokens
#define embed_positions       tern_embed_positions
#define first_type            tern_first_type
#define project               tern_project
#define file_angles           tern_file_angles
#define scaled_rms            tern_scaled_rms
#define scaled_norm           tern_scaled_norm
#define self_attention        tern_self_attention
#define gated_layer           tern_gated_layer
#define gated_experts         tern_gated_experts
#define last_layer            tern_last_layer
#define rows_wanted           tern_embedding
#define build_llama           tern_build_llama
#define add                   tern_add
#define silu                  tern_silu
#define gelu                  tern_gelu
#define gelu_tanh             tern_gelu_tanh

/* TERN_ARCHITECTURE(llama, "doc", read, build): the record of an architecture; read may be NULL. */
#define TERN_ARCHITECTURE(name_, doc_, read_, build_)                                                        \
    const tern_architecture tern_architecture_##name_ = {                                                    \
        .name = #name_, .doc = doc_, .read = read_, .build = build_}

/* The same for one that makes rows of features of whole texts. */
#define TERN_ENCODER(name_, doc_, read_, build_)                                                             \
    const tern_architecture tern_architecture_##name_ = {                                                    \
        .name = #name_, .doc = doc_, .encoder = true, .read = read_, .build = build_}

/* Llama's graph, also that of nets which differ from it by what stands in the file (llama.c). */
tern_value tern_build_llama(tern_graph *g, const tern_transformer *t, const tern_feed *feed);

#endif
