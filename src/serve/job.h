/* job: one request on its way, from the last byte of its body to the last byte of its answer. */
#ifndef TERN_SERVE_JOB_H
#define TERN_SERVE_JOB_H

#include "llm/batch.h"
#include "serve/ask.h"
#include "serve/meter.h"

#include <pthread.h>

/* One answer of a job: of prompt index / choices. */
typedef struct tern_choice {
    struct tern_job *job;
    int index;
    struct tern_server *server;
    tern_reply reply;
    tern_request request; /* while it is made */
    tern_sampling sampling;
    tern_sequence
        *sequence; /* NULL: it has not begun, or is over; of a search the first choice of a prompt has it */
    tern_beams beams; /* of a search, which become the replies */
    size_t told;      /* tokens that a stream has told the probabilities of */
} tern_choice;

typedef struct tern_job {
    tern_ask_kind kind;
    uint64_t number; /* so many came before */
    char id[40];
    int64_t created;            /* seconds since 1970 */
    double begun, mark;         /* when its headers came; when its present stage began */
    double stages[TERN_STAGES]; /* seconds in those that are over */
    tern_text body;
    tern_asked asked;
    tern_grammar *grammar; /* or NULL */
    tern_tokens *prompts;  /* [prompt_count] */
    int prompt_count;
    tern_choice *choices; /* [choice_count] */
    int choice_count;
    int added, made;       /* choices that have begun; that are complete */
    bool first;            /* a token of it has come */
    struct tern_job *next; /* in a queue */

    /* What connection and workers share, under `lock`. */
    pthread_mutex_t lock;
    int holders;
    void *connection; /* NULL: it is over */
    void (*resume)(void *connection);
    int file;      /* its socket */
    double looked; /* when it was last seen to be there */
    bool asleep;   /* the connection waits to be resumed */
    bool left;     /* nobody waits for the answer any more */
    int status;    /* of HTTP; 0: not known yet */
    bool stream;
    tern_text out; /* bytes of the answer */
    size_t taken;  /* of them that the connection has */
    bool over;     /* all of the answer is in `out` */
} tern_job;

/* Its present stage ends. */
void tern_job_stage(tern_job *job, tern_meter *meter, tern_stage_kind stage);

/* Held once, by the caller. */
tern_status tern_job_open(tern_job **job, tern_ask_kind kind);
void tern_job_hold(tern_job *job);
void tern_job_drop(tern_job *job); /* the last one releases it */

/* Bytes for the client; the first ones go with the status.  Streams: `over` ends them. */
void tern_job_send(tern_job *job, int status, const char *bytes, size_t size, bool over);
/* Whether bytes of a stream have been sent. */
bool tern_job_begun(tern_job *job);
/* Whether the client has gone: closed its end of the connection, at least for writing. */
bool tern_job_left(tern_job *job);

/* Jobs that wait, first in first out. */
typedef struct tern_queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    tern_job *first, *last;
    int count;
    bool closed;
} tern_queue;
void tern_queue_open(tern_queue *queue);
void tern_queue_free(tern_queue *queue); /* empty */
void tern_queue_put(tern_queue *queue, tern_job *job);
/* The first job; waits for one.  NULL: the queue is closed and empty. */
tern_job *tern_queue_take(tern_queue *queue);
/* The same without waiting; NULL: there is none. */
tern_job *tern_queue_look(tern_queue *queue);
void tern_queue_close(tern_queue *queue);

#endif
