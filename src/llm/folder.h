/* folder: what the files of a Hugging Face folder say about texts, beside tokenizer.json: tokenizer_config.json, chat_template.jinja,
 * generation_config.json. */
#ifndef TERN_LLM_FOLDER_H
#define TERN_LLM_FOLDER_H

#include "io/dataset.h"
#include "llm/tokenizer.h"

/* The vocabulary of tokenizer.json, or of tokenizer.model, with the first and last tokens that tokenizer_config.json names. */
tern_status tern_folder_vocabulary(tern_vocabulary *vocabulary, const char *folder);

/* The chat template: chat_template.jinja, else "chat_template" of tokenizer_config.json (a text, or of several the one that is called
 * "default").  *source (to be released) is NULL where there is none; *size its bytes. */
tern_status tern_folder_template(const char *folder, char **source, size_t *size);

/* The tokens that end a text, "eos_token_id" of generation_config.json and of config.json: at most `most` of them, *count found. */
tern_status tern_folder_ends(const char *folder, int32_t *ids, int most, int *count);

#endif
