/* choices: how likely a language model finds a text behind another, by which it answers multiple-choice questions. */
#ifndef TERN_LLM_CHOICES_H
#define TERN_LLM_CHOICES_H

#include "llm/model.h"

typedef struct tern_scorer tern_scorer;

/* path: a file or folder of a decoder with its tokenizer; close with tern_scorer_close.  options->each is not heeded. */
tern_status tern_scorer_open(tern_scorer **scorer, const char *path, const tern_llm_options *options);
void tern_scorer_close(tern_scorer *scorer);

/* *sum: of ln p over the tokens of `text` behind `context`, *tokens of them.  As lm-evaluation-harness has it, both are encoded as one
 * text, of which the first tokens, as many as the context has alone, are its own, and spaces that end a context belong to the text behind it.
 * A context that begins as the last one did is not computed again.  TERN_NO_FIT: more tokens than the cache has rows. */
tern_status tern_scorer_score(tern_scorer *scorer, const char *context, const char *text, double *sum,
                              int *tokens);

#endif
