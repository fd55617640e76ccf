/* batch: many replies at once.  Each step puts the next token of every reply and parts of new prompts through the model together
 * (continuous batching: Yu et al., OSDI 2022; prompts in chunks: Agrawal et al., arXiv 2308.16369).  Keys and values are in pages;
 * prompts that begin alike share them.  When there are no pages left, the reply that began last waits and is computed again from
 * its tokens.  Each reply has the tokens that it would have alone. */
#ifndef TERN_LLM_BATCH_H
#define TERN_LLM_BATCH_H

#include "llm/beam.h"
#include "llm/saying.h"

typedef struct tern_batch_options {
    int sequences;            /* replies at once; 0: 8 */
    int context;              /* tokens of each, prompt and all; 0: 2048, or what the model can, if less */
    int chunk;                /* tokens of a step at most; 0: 256 */
    int64_t cache_tokens;     /* that all share; 0: as many as two of the whole context need */
    tern_dtype cache;         /* TERN_F32, TERN_F16 or TERN_Q8_0 */
    const char *const *loras; /* adapters, as in tern_llm_options */
    const double *lora_weights;
    int lora_count;
    bool reference; /* reference kernels only */
    bool copied;    /* as in tern_llm_options */
    tern_pool *pool;
} tern_batch_options;

typedef struct tern_batch tern_batch;
/* Opens the model at `path` for many replies; close it with tern_batch_close.  Model and tokenizer are the batch's own. */
tern_status tern_batch_open(tern_batch **batch, const char *path, const tern_batch_options *options);
void tern_batch_close(tern_batch *batch); /* what is under way is dropped */
const tern_llm *tern_batch_model(const tern_batch *batch);
const tern_words *tern_batch_words(const tern_batch *batch);

typedef struct tern_sequence tern_sequence;

/* A reply to begin with the next steps, as soon as there is room; `guess` of the request is passed over.  What it is given must
 * outlive it.  TERN_NO_FIT for a prompt that exceeds the context. */
tern_status tern_batch_add(tern_batch *batch, const tern_tokens *prompt, const tern_request *request,
                           tern_reply *reply, tern_sequence **sequence);
/* A beam search (see llm/beam.h), in steps of its own between those of replies: as many places as beams, and pages of the same cache, for
 * which the youngest replies wait where there are none left.  As soon as so many places are free; what is added later waits behind it.
 * Prompt, lists of the options and beams must outlive it. */
tern_status tern_batch_search(tern_batch *batch, const tern_tokens *prompt, const tern_beam_options *options,
                              tern_beams *beams, tern_sequence **sequence);
/* Whether it is complete or has failed: then *status, and the message of its failure until it is removed, are its own. */
bool tern_sequence_over(const tern_sequence *sequence, tern_status *status, const char **message);
/* Complete or not. */
void tern_batch_remove(tern_batch *batch, tern_sequence *sequence);

/* One step for all of them; nothing when there are none.  A failure is one of the model, and of all that are under way. */
tern_status tern_batch_step(tern_batch *batch);

typedef struct tern_batch_state {
    int places;                 /* replies at once at most */
    int running, waiting;       /* with pages; without */
    int pages, used, kept;      /* all; of replies; without one, but known by what they hold */
    int64_t steps, rows, again; /* so far: steps; tokens that went through; replies that had to begin again */
} tern_batch_state;
tern_batch_state tern_batch_look(const tern_batch *batch);

#endif
