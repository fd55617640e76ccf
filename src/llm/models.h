/* models: language models by name.  Files are looked for in $TERN_MODELS, then in $XDG_CACHE_HOME/tern/models or
 * ~/.cache/tern/models, where scripts/setup --models puts them. */
#ifndef TERN_LLM_MODELS_H
#define TERN_LLM_MODELS_H

#include "base/base.h"

/* A model that has a short name. */
typedef struct tern_known_model {
    const char *name, *file, *about, *licence, *get;
} tern_known_model;
const tern_known_model *tern_model_known(int index); /* NULL behind the last */

/* The i-th folder that is searched; false behind the last, and for those whose path is too long. */
bool tern_model_folder(char out[4096], int index);

/* The file of a model: a path, a known name, or the name of a .gguf file in one of the folders, with or without that end, or of a
 * folder of Hugging Face there.
 * TERN_USAGE says where it was looked for, and how to come by it or what was meant. */
tern_status tern_model_find(char path[4096], const char *name);

/* Whether a name means a model at all, here or not: a file, a known name, or one in the folders. */
bool tern_model_named(const char *name);

/* Names of the models that are in the folders, one a line: the known ones by their short names. */
tern_status tern_model_names(tern_text *names);

#endif
