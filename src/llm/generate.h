/* generate: text from a language model.  A speaker keeps a model, its tokenizer and what its cache holds; a prompt that begins
 * as the last one did is not computed again.  Tokens are picked one by one, or guessed, from what was said before or by a smaller model, and
 * checked several at once, which changes nothing but the time. */
#ifndef TERN_LLM_GENERATE_H
#define TERN_LLM_GENERATE_H

#include "llm/grammar.h"
#include "llm/model.h"
#include "llm/sampler.h"

typedef struct tern_speaker tern_speaker;

/* `guess`: tokens that a request may have guessed at once (prompt lookup); 0: none.  path is a file, see llm/models.h for
 * names. */
tern_status tern_speaker_open(tern_speaker **speaker, const char *path, const tern_llm_options *options,
                              int guess);
/* A smaller model of the same vocabulary guesses too, where nothing is looked up (speculative decoding, arXiv 2211.17192, with
 * its likeliest tokens): up to `most` tokens, of the `guess` that the speaker was opened for. */
tern_status tern_speaker_draft(tern_speaker *speaker, const char *path, const tern_llm_options *options,
                               int most);
void tern_speaker_close(tern_speaker *speaker);
tern_llm *tern_speaker_model(const tern_speaker *speaker);
const tern_tokenizer *tern_speaker_tokenizer(const tern_speaker *speaker);
/* The tokens that end a text of this model; *count of them. */
const int32_t *tern_speaker_ends(const tern_speaker *speaker, int *count);

/* Tokens of a text that stands at the beginning: special tokens that it spells are taken as such, and the model's first
 * token comes before it, once.  Fails (TERN_USAGE) for a text without tokens. */
tern_status tern_speaker_encode(const tern_speaker *speaker, const char *text, size_t size, tern_tokens *out);

typedef enum tern_finish {
    TERN_FINISH_END,     /* the model said a token that ends a text */
    TERN_FINISH_STOP,    /* a stop text came; it is not part of the result */
    TERN_FINISH_LENGTH,  /* as many tokens as were asked for */
    TERN_FINISH_CONTEXT, /* the cache is full */
    TERN_FINISH_INTERRUPTED,
} tern_finish;
extern const char *const tern_finish_names[]; /* by tern_finish */

/* Zero-initialise, then set what is wanted. */
typedef struct tern_request {
    int most;                      /* tokens to make at most; 0: none, the prompt alone is computed */
    const tern_sampling *sampling; /* NULL: always the likeliest */
    tern_constraint *constraint;   /* or NULL; is reset before */
    const char *const *stops;
    int stop_count;
    bool past_end;    /* go on behind tokens that end a text */
    bool guess;       /* look up what may come, see tern_speaker_open */
    int alternatives; /* log-probabilities of each token and of so many of the likeliest; -1: none */
    /* Whole characters, as soon as no stop text can begin in them; a failure ends the generation.  NULL: nothing is called. */
    tern_status (*on_text)(void *context, const char *text, size_t size);
    void *context;
} tern_request;

/* What came of it.  Zero-initialise; release with tern_reply_free. */
typedef struct tern_reply {
    tern_tokens tokens; /* that were made, without the one that ended it */
    tern_text text;
    double
        *log_probabilities; /* [tokens.count], of the model's own distribution; where they were asked for */
    tern_log_probability *likeliest; /* [tokens.count, alternatives] */
    double *seconds;                 /* [tokens.count]: when each was there, from the beginning */
    int recorded;                    /* room in the three */
    tern_finish finish;
    int prompt, reused;                   /* tokens of the prompt, and of them those that the cache held */
    int guessed, right;                   /* tokens that were guessed, and of them those that came */
    double prompt_seconds, made_seconds;  /* until the first logits; from there */
    double sampler_seconds, text_seconds; /* of the latter: picking tokens; making text of them */
} tern_reply;
void tern_reply_free(tern_reply *reply);

/* Compute the prompt, then make tokens.  A prompt that does not fit the context is TERN_NO_FIT.  An interruption
 * (tern_interrupted) ends with what there is: TERN_OK and TERN_FINISH_INTERRUPTED, or TERN_INTERRUPTED in the prompt. */
tern_status tern_speak(tern_speaker *speaker, const tern_tokens *prompt, const tern_request *request,
                       tern_reply *reply);

/* The logits [vocabulary] from which the first token was picked: of a request for none. */
const float *tern_speaker_logits(const tern_speaker *speaker);

/* The likely continuation of `tokens`: what stood behind the latest earlier occurrence of their longest end that occurs
 * (at most 8 tokens long, at least `least`), `most` tokens of it.  Returns how many. */
int tern_lookup(const int32_t *tokens, size_t count, int least, int most, int32_t *out);

#endif
