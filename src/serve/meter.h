/* meter: what a server has done and where the time went, as Prometheus reads it (text exposition format 0.0.4).  The stages of
 * a request follow one another, so that their sum is the time that it took; sampler and detokenizer are parts of prefill and
 * decode, told apart beside them. */
#ifndef TERN_SERVE_METER_H
#define TERN_SERVE_METER_H

#include "llm/batch.h"

#include <pthread.h>

typedef enum tern_stage_kind {
    TERN_STAGE_RECEIVE,  /* from the headers to the last byte of the body */
    TERN_STAGE_HELD,     /* until its text is looked at */
    TERN_STAGE_READ,     /* JSON, checks, grammars */
    TERN_STAGE_TOKENIZE, /* chat template and tokens */
    TERN_STAGE_QUEUE,    /* until the model begins */
    TERN_STAGE_PREFILL,  /* until the first token */
    TERN_STAGE_DECODE,   /* until the last */
    TERN_STAGE_ANSWER,   /* JSON of the answer */
    TERN_STAGE_SEND,     /* until its last byte is sent */
    TERN_STAGES,
} tern_stage_kind;

/* What is counted once for each request, in seconds; a histogram. */
typedef enum tern_span_kind {
    TERN_SPAN_FIRST,   /* from the request to its first token */
    TERN_SPAN_BETWEEN, /* from token to token */
    TERN_SPAN_REQUEST, /* from the headers to the last byte of the answer */
    TERN_SPANS,
} tern_span_kind;

enum { TERN_BUCKETS = 16, TERN_METER_STATUSES = 8, TERN_METER_PATHS = 16 };

typedef struct tern_meter {
    pthread_mutex_t lock;
    double seconds[TERN_STAGES], sampler, detokenizer;
    uint64_t stages[TERN_STAGES];
    uint64_t buckets[TERN_SPANS][TERN_BUCKETS + 1]; /* the last: above all bounds */
    double sums[TERN_SPANS];
    uint64_t requests[TERN_METER_PATHS][TERN_METER_STATUSES]; /* see tern_meter_answered */
    uint64_t prompt, reused, made, left;                      /* tokens; clients that left */
} tern_meter;

void tern_meter_open(tern_meter *meter);
void tern_meter_free(tern_meter *meter);

extern const char *const tern_stage_names[]; /* by tern_stage_kind */
void tern_meter_stage(tern_meter *meter, tern_stage_kind stage, double seconds);
void tern_meter_span(tern_meter *meter, tern_span_kind span, double seconds);
/* A request to path number `path` got this HTTP status. */
void tern_meter_answered(tern_meter *meter, int path, int status);
void tern_meter_tokens(tern_meter *meter, int prompt, int reused, int made);
/* Parts of the time that the model's thread takes. */
void tern_meter_parts(tern_meter *meter, double sampler, double detokenizer);
void tern_meter_left(tern_meter *meter);

/* What is now: */
typedef struct tern_gauges {
    int waiting, running; /* requests */
    double integral;      /* of the number of requests on their way over time, so far */
    int connections;
    double resident; /* bytes */
    tern_batch_state batch;
} tern_gauges;
/* Adds the exposition; paths[path_count] are the names of the path numbers. */
void tern_meter_print(tern_meter *meter, const tern_gauges *gauges, const char *const *paths, int path_count,
                      tern_text *out);

#endif
