/* answer: what goes back to a client, as JSON and as events of a stream. */
#ifndef TERN_SERVE_ANSWER_H
#define TERN_SERVE_ANSWER_H

#include "serve/job.h"

/* The whole answer of a job whose choices are all there. */
tern_status tern_answer_whole(tern_text *out, const tern_job *job, const char *model);
/* One event: `size` bytes of text of a choice, which has ended (`last`) or goes on; the first one of a chat names who speaks. */
tern_status tern_answer_part(tern_text *out, const tern_choice *choice, const char *model, const char *text,
                             size_t size, bool last);
/* {"error": ..} with the HTTP status, the message, the field (or NULL) and a word that programs know it by (or NULL). */
tern_status tern_answer_error(tern_text *out, int status, const char *message, const char *field,
                              const char *code);
/* /v1/models: a list of the one there is, or (one) itself. */
tern_status tern_answer_models(tern_text *out, const char *model, int64_t created, bool one);

#endif
