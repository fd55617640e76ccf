/* saying: what is common to all that make text from logits, be it one sequence at a time or many: the model's words (its tokenizer
 * and the tokens that end a text), and a reply as it grows token by token. */
#ifndef TERN_LLM_SAYING_H
#define TERN_LLM_SAYING_H

#include "llm/generate.h"

enum { TERN_MOST_WORD_ENDS = 16 };

/* Zero-initialise; close also after a failure. */
typedef struct tern_words {
    tern_tokenizer *tokenizer;
    int32_t ends[TERN_MOST_WORD_ENDS]; /* tokens that end a text */
    int end_count;
} tern_words;
tern_status tern_words_open(tern_words *words, const char *path, const tern_weights *weights);
void tern_words_close(tern_words *words);
/* tern_speaker_encode */
tern_status tern_words_encode(const tern_words *words, const char *text, size_t size, tern_tokens *out);

/* A reply on its way.  Zero-initialise. */
typedef struct tern_saying {
    const tern_words *words;
    const tern_request *request;
    tern_reply *reply;
    int vocabulary; /* of the model */
    tern_sampler *sampler;
    tern_decoder decoder;
    size_t shown; /* bytes of the text that were handed out */
    double begun; /* tern_now() */
    bool stopped;
} tern_saying;

/* words, request and reply must outlive it.  The constraint is reset; the sampler sees the prompt. */
tern_status tern_saying_open(tern_saying *saying, const tern_words *words, const tern_request *request,
                             const tern_tokens *prompt, int vocabulary, tern_reply *reply);
/* One token by logits [vocabulary].  *over: the reply is complete, and says why; else *id is to be gone on with. */
tern_status tern_saying_next(tern_saying *saying, const float *logits, int32_t *id, bool *over);
/* What is left of the text. */
tern_status tern_saying_end(tern_saying *saying);
void tern_saying_close(tern_saying *saying);

#endif
