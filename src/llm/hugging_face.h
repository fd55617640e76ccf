/* Models in the words of Hugging Face, put into those of GGUF. */
#ifndef TERN_LLM_HUGGING_FACE_H
#define TERN_LLM_HUGGING_FACE_H

#include "io/io.h"

/* Of weights that a folder of Hugging Face gave (config.json beside safetensors) the tensors take GGUF's names and the numbers
 * of the configuration GGUF's keys; others stay as they are.  Nothing is copied but what GGUF stores otherwise: norms of Gemma
 * with their 1, the turned matrices of GPT-2, the experts of a layer as one tensor.  Rotary pairs stay where they are, which
 * "tern.rope_halves" says.  Fails for model types that Tern can't build. */
tern_status tern_import_hugging_face(tern_weights *weights);

/* What GGUF calls Hugging Face's tensor `name`, in the arena of `weights`; NULL when it is not a name that is known. */
tern_status tern_hugging_face_name(tern_weights *weights, const char *name, const char **gguf);

#endif
