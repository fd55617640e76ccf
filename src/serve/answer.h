/* answer: what goes back to a client, as JSON and as events of a stream. */
#ifndef TERN_SERVE_ANSWER_H
#define TERN_SERVE_ANSWER_H

#include "serve/job.h"

/* Whose answers they are. */
typedef struct tern_answerer {
    const char *model;
    const tern_tokenizer *tokenizer; /* spells tokens; of embeddings NULL */
} tern_answerer;

/* The whole answer of a job whose choices are all there. */
tern_status tern_answer_whole(tern_text *out, const tern_answerer *by, const tern_job *job);
/* One event: `size` bytes of text of a choice, which has ended (`last`) or goes on; the first one of a chat, empty, names who
 * speaks.  Told with their probabilities (where asked for) are the tokens since the last event. */
tern_status tern_answer_part(tern_text *out, const tern_answerer *by, tern_choice *choice, const char *text,
                             size_t size, bool last);
/* The event that says how many tokens there were. */
tern_status tern_answer_usage(tern_text *out, const tern_answerer *by, const tern_job *job);
/* vectors[count * width] of texts with so many tokens together. */
tern_status tern_answer_embeddings(tern_text *out, const tern_answerer *by, const float *vectors, int count,
                                   int width, int tokens, bool base64);
/* {"error": ..} with the HTTP status, the message, the field (or NULL) and a word that programs know it by (or NULL). */
tern_status tern_answer_error(tern_text *out, int status, const char *message, const char *field,
                              const char *code);
/* /v1/models: a list of those that there are, of which the second may be NULL; (one) only the first, itself. */
tern_status tern_answer_models(tern_text *out, const char *model, const char *other, int64_t created,
                               bool one);

#endif
