/* beam: texts that are likely as wholes.  Of all beginnings the likeliest few, the beams, are kept; each step goes on with every one of
 * them by every token and keeps the likeliest of what comes of it (Lowerre, 1976; lengths weighed as in Wu et al.,
 * arXiv 1609.08144, without their alpha's offset, as Hugging Face does it).  Beams share the pages of what they have in common. */
#ifndef TERN_LLM_BEAM_H
#define TERN_LLM_BEAM_H

#include "llm/pages.h"
#include "llm/tokenizer.h"

enum { TERN_MOST_BEAMS = 64 };

/* Zero-initialise, then set what is wanted. */
typedef struct tern_beam_options {
    int beams; /* 1 to the `sequences` that the model was opened for */
    int most;  /* tokens to make at most */
    double
        length_penalty; /* a text's score is sum(ln p) / tokens^length_penalty, its end counted; 0: the sum */
    bool
        early; /* done when so many texts as beams have ended; else when no beam has a better score than they, as it stands */
    const int32_t *ends; /* tokens that end a text */
    int end_count;
} tern_beam_options;

typedef struct tern_beam {
    tern_tokens tokens; /* without the one that ended it */
    double log_probability, score;
    bool ended; /* else it was cut at `most` tokens, or at the end of the context */
} tern_beam;

/* Zero-initialise; release with tern_beams_free, also after a failure. */
typedef struct tern_beams {
    tern_beam *list; /* [count], the best score first; at most as many as beams */
    int count, steps;
    double prompt_seconds, made_seconds;
} tern_beams;
void tern_beams_free(tern_beams *beams);

/* `llm` is opened for as many sequences as beams, with their tokens as `own`, and holds nothing that is needed.  TERN_NO_FIT for a prompt that exceeds the
 * context, or a cache without pages for the beams; TERN_INTERRUPTED as soon as tern_interrupted(). */
tern_status tern_beam_check(const tern_llm *llm, const tern_tokens *prompt, const tern_beam_options *options);
tern_status tern_beam_search(tern_llm *llm, const tern_tokens *prompt, const tern_beam_options *options,
                             tern_beams *out);

/* ---- step by step, beside what else the model does ---------------------------------------------------------------- */

/* What a search has of the model's cache. */
typedef struct tern_beam_room {
    tern_pages *pages;                /* that it takes pages of */
    int owners[TERN_MOST_BEAMS];      /* rows of the model's table that are its own, one a beam */
    bool (*make_room)(void *context); /* there is no page: whether one has become free; NULL: none does */
    void *context;
} tern_beam_room;

typedef struct tern_search tern_search;
/* The model, the prompt, the lists of the options and `out` must outlive it.  Errors as above. */
tern_status tern_search_open(tern_search **search, tern_llm *llm, const tern_tokens *prompt,
                             const tern_beam_options *options, const tern_beam_room *room, tern_beams *out);
/* A part of the prompt, or a token of each beam.  *over: `out` is complete. */
tern_status tern_search_step(tern_search *search, bool *over);
void tern_search_close(tern_search *search); /* its pages go back */

#endif
