/* What the parts of a server share: server.c has its life, reader.c and runner.c are threads of it. */
#ifndef TERN_SERVE_SERVER_H
#define TERN_SERVE_SERVER_H

#include "serve/answer.h"
#include "serve/http.h"
#include "serve/serve.h"

#if defined(TERN_HAVE_MICROHTTPD) && defined(TERN_HAVE_JANSSON)
#define TERN_CAN_SERVE
#endif

struct tern_server {
    tern_server_options options;
    tern_batch *batch; /* NULL: there is none */
    tern_answerer voice, encoder;
    tern_meter meter;
    tern_http *http;
    tern_queue unread, ready; /* requests as bytes; as tokens */
    pthread_t reader, runner;
    bool reading, running; /* those threads are there */
    pthread_mutex_t lock;
    uint64_t jobs;          /* so far */
    int open, being;        /* that are not answered yet; of them those that the model works on */
    bool stopping;          /* new ones are sent away */
    tern_batch_state state; /* of the batch, as of late */
};

/* The message of this thread as the answer, or as the last event of one that has begun. */
void tern_send_error(tern_job *job, int status, const char *code);
void tern_send_failure(tern_job *job, tern_status status);
/* The worker is done with a job. */
void tern_job_done(tern_server *server, tern_job *job);

void *tern_read_jobs(void *server); /* until the queue of unread ones is closed */
void *tern_run_jobs(void *server);  /* until that of those that are ready is */

#endif
