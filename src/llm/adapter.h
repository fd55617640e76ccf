/* adapter: low-rank updates of a model's weights, W x + scale B (A x) (LoRA, arXiv 2106.09685), which are applied where the
 * weight is multiplied by: the weight itself stays as it lies in its file, packed or not. */
#ifndef TERN_LLM_ADAPTER_H
#define TERN_LLM_ADAPTER_H

#include "llm/transformer.h"
#include "run/run.h"

/* Tensors are "<weight>.lora_a" [rank,in] and "<weight>.lora_b" [out,rank], <weight> being a name of GGUF. */
struct tern_adapter {
    tern_weights weights;
    const char *path;
    double alpha;  /* of the file; 0: it has none, and B A is added as it is */
    bool by_root;  /* alpha is over the root of the rank instead of the rank (arXiv 2312.03732) */
    double weight; /* what the user asks for, 1 being the file's own */
};

/* Gives the transformer `count` adapters (after the failure of one too: close them).  Each is a GGUF adapter ("general.type"
 * adapter, "adapter.type" lora) or a folder of PEFT (adapter_config.json beside adapter_model.safetensors).  Each of its
 * tensors must belong to a matrix of the model, in its shape; the rows of B for queries and keys are put into the order of
 * rotary pairs that the model has.  Paths must outlive them. */
tern_status tern_adapters_open(tern_transformer *transformer, const char *const *paths, const double *weights,
                               int count);
void tern_adapters_close(tern_transformer *transformer);

/* What the graph calls tensor `name` of adapter `index`. */
char *tern_adapter_name(char out[160], int index, const char *name);
/* Lends the tensors of the transformer's adapters under those names. */
tern_status tern_adapters_lend(const tern_transformer *transformer, tern_store *store);
/* Fails for a tensor of an adapter that the graph of the transformer does not use. */
tern_status tern_adapters_check(const tern_transformer *transformer, const tern_graph *graph);

#endif
