/* ask: what a client asks for, read from the JSON of its request.  Every field is one line of a table; a field that is not there
 * is refused by name. */
#ifndef TERN_SERVE_ASK_H
#define TERN_SERVE_ASK_H

#include "llm/conversation.h"
#include "llm/sampler.h"

typedef enum tern_ask_kind { /* bits: a field says which of them have it */
                             TERN_ASK_CHAT = 1,
                             TERN_ASK_TEXT = 2,
                             TERN_ASK_EMBED = 4,
} tern_ask_kind;

#define TERN_MOST_ASKED_STOPS 16

/* A prompt: a text, or tokens. */
typedef struct tern_ask_prompt {
    const char *text;
    size_t size;
    const int32_t *ids; /* NULL: the text */
    int count;
} tern_ask_prompt;

/* Zero-initialise; release with tern_asked_free, also after a failure. */
typedef struct tern_asked {
    tern_arena arena;
    const char *model; /* NULL: not said */
    tern_conversation talk;
    tern_ask_prompt *prompts; /* of completions and embeddings */
    int prompt_count;
    int most;               /* tokens at most; -1: as many as there is room for */
    int choices;            /* answers to each prompt */
    tern_sampling sampling; /* its lists in the arena */
    bool seeded;            /* the seed is the client's */
    const char *grammar;    /* GBNF that answers are held to; NULL: none */
    bool logprobs;
    int alternatives; /* likeliest tokens that are told with each; -1: not said */
    const char *stops[TERN_MOST_ASKED_STOPS];
    int stop_count;
    bool search; /* texts that are likely as wholes, see llm/beam.h, instead of samples */
    int beams;   /* of it; 0: as many as choices */
    double length_penalty;
    bool early;
    const char *picking,
        *searching;            /* a field that only samples, or only searches, heed; NULL: none is there */
    bool stream, stream_usage; /* usage: in an event of its own, the last */
    bool base64;               /* embeddings as bytes of floats */
    const char *field;         /* where reading failed: the field, or NULL */
} tern_asked;

/* TERN_USAGE (or TERN_FAILED, of a schema) says what is wrong with which field. */
tern_status tern_ask_read(tern_asked *asked, tern_ask_kind kind, const char *body, size_t size);
/* The field that a request of this kind is about: "messages", "prompt", "input". */
const char *tern_ask_subject(tern_ask_kind kind);
void tern_asked_free(tern_asked *asked);

#endif
