/* bench: a language model measured as on a device that has to answer (MELT, arXiv 2403.12844): loading, the time to the first token,
 * the times between tokens, memory, power; a conversation after another, or prompts without a pause. */
#ifndef TERN_LLM_BENCH_H
#define TERN_LLM_BENCH_H

#include "llm/conversation.h"
#include "llm/generate.h"
#include "machine/power.h"

/* Of sorted times: by nearest rank. */
typedef struct tern_quantiles {
    double p50, p95, p99, mean;
    int count;
} tern_quantiles;
tern_quantiles tern_quantiles_of(double *values, int count); /* sorts them */

typedef enum tern_bench_kind { TERN_BENCH_LOAD, TERN_BENCH_PROMPT, TERN_BENCH_REPLY } tern_bench_kind;
extern const char *const tern_bench_kinds[];

/* Something that took from..to, by one clock. */
typedef struct tern_bench_event {
    tern_bench_kind kind;
    int turn;   /* of the whole run */
    int tokens; /* of the prompt that were computed, or made */
    double from, to;
    double resident; /* bytes, at its end */
    double joules;   /* below 0: not measured */
} tern_bench_event;

/* Zero-initialise; release with tern_bench_free. */
typedef struct tern_bench {
    tern_bench_event *events;
    int event_count, event_room;
    double *first;   /* seconds to the first token of each turn: template, tokens and prompt */
    double *between; /* seconds between two tokens, of all turns */
    int turns, between_count, first_room, between_room;
    double
        cold_seconds; /* to load the model and compute one token, its pages not being in memory; below 0: not tried */
    double warm_seconds; /* once more; below 0: not tried */
    double resident;     /* bytes at the end, without what the process held before */
    double peak;         /* bytes of the process */
    double idle_watts;   /* before loading; below 0: there is no sensor */
    const char *sensor;  /* NULL: there is none */
} tern_bench;
void tern_bench_free(tern_bench *bench);
/* What was noted, by whomever: an event; the seconds to the first token of the turn at hand (turns counts those that are over); the seconds
 * between two tokens. */
tern_status tern_bench_add_event(tern_bench *bench, const tern_bench_event *event);
tern_status tern_bench_add_first(tern_bench *bench, double seconds);
tern_status tern_bench_add_between(tern_bench *bench, double seconds);

typedef struct tern_bench_options {
    tern_llm_options model;
    int prompt, generate; /* tokens of each turn; of conversations `generate` is the most of a reply */
    int turns;            /* of prompts made of numbers */
    bool cold;            /* forget the file's pages before loading: what the system allows */
    double idle_seconds;  /* of listening to the power sensor, where there is one, before loading */
    const char *root;     /* where sensors are looked for; NULL: this system's */
    const tern_sampling *sampling; /* of conversations; NULL: always the likeliest */
    const char *template;          /* path of a chat template; NULL: the model's own */
    void (*on_turn)(void *context, int turn, int turns);
    void *context;
} tern_bench_options;

/* Turns of `prompt` tokens, drawn from the vocabulary by number, and `generate` likeliest ones, each with an empty cache. */
tern_status tern_bench_tokens(tern_bench *bench, const char *path, const tern_bench_options *options);

/* Conversations: lists of what a user says, history kept within each as far as the context reaches (then it begins anew). */
typedef struct tern_bench_talk {
    char **turns;
    int count;
} tern_bench_talk;
tern_status tern_bench_talks(tern_bench *bench, const char *path, const tern_bench_talk *talks, int count,
                             const tern_bench_options *options);

/* What another program, maybe on another device, tells of its runs [size bytes]: JSON objects, one a line, with times in seconds of one clock;
 * event load (from, to), prompt (from, to, tokens; a turn begins), token (at), power (at, watts), memory (at, bytes).  `name` is for messages:
 * lines that are none of these, or go back in time, fail with their number.  Free the bench also after a failure. */
tern_status tern_bench_events(tern_bench *bench, const char *text, size_t size, const char *name);

/* Sums over events of a kind. */
typedef struct tern_bench_total {
    double tokens, seconds, joules; /* joules below 0: not measured */
} tern_bench_total;
tern_bench_total tern_bench_sum(const tern_bench *bench, tern_bench_kind kind);

#endif
