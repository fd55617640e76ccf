/* The life of a server: its threads, what they share, how they end. */
#define _POSIX_C_SOURCE 200809L
#include "serve/server.h"

#ifdef TERN_CAN_SERVE

#include <string.h>
#include <time.h>

enum { LAST_BYTES_SECONDS = 5 }; /* that clients have to read their answers when the server stops */

/* ---- failures --------------------------------------------------------------------------------------------------------------- */

void tern_send_error(tern_job *job, int status, const char *code)
{
    tern_text text = {0};
    const char *message = tern_message()[0] ? tern_message() : "failed";
    bool begun = tern_job_begun(job);
    if (begun) tern_text_put(&text, "data: ");
    bool made = tern_answer_error(&text, status, message, job->asked.field, code) == TERN_OK;
    if (begun) tern_text_put(&text, "\n\n");
    const char *plain = "{\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\"}}";
    made = made && !text.failed;
    tern_job_send(job, status, made ? text.data : plain, made ? text.size : strlen(plain), true);
    tern_text_free(&text);
    tern_clear();
}

void tern_send_failure(tern_job *job, tern_status status)
{
    const char *field = job->asked.field;
    if (status == TERN_NO_FIT)
        tern_send_error(job, 400, "context_length_exceeded");
    else if (status == TERN_USAGE && field && strcmp(field, "model") == 0)
        tern_send_error(job, 404, "model_not_found");
    else
        tern_send_error(job,
                        status == TERN_NO_MEMORY     ? 503
                        : status == TERN_INTERRUPTED ? 504
                        : status == TERN_USAGE       ? 400
                                                     : 500,
                        NULL);
}

void tern_job_done(tern_server *s, tern_job *job)
{
    tern_job_drop(job);
    pthread_mutex_lock(&s->lock);
    s->open--;
    pthread_mutex_unlock(&s->lock);
}

/* ---- taking requests -------------------------------------------------------------------------------------------------------- */

static void take(void *context, tern_job *job)
{
    static const char *const words[] = {"chatcmpl", "cmpl", "embd"};
    tern_server *s = context;
    pthread_mutex_lock(&s->lock);
    uint64_t number = s->jobs++;
    bool stopping = s->stopping, full = s->open >= s->options.most_requests;
    s->open += !stopping && !full;
    pthread_mutex_unlock(&s->lock);
    if (stopping || full) {
        tern_fail(TERN_FAILED,
                  stopping ? "the server is stopping" : "too many requests wait: come again later");
        tern_send_error(job, stopping ? 503 : 429, NULL);
        return;
    }
    job->number = number;
    snprintf(job->id, sizeof job->id, "%s-%08llx%08llx", words[job->kind >> 1],
             (unsigned long long)(job->created & 0xffffffff), (unsigned long long)(number & 0xffffffff));
    tern_job_hold(job);
    tern_queue_put(&s->unread, job);
}

static void look(void *context, tern_gauges *gauges)
{
    tern_server *s = context;
    pthread_mutex_lock(&s->lock);
    gauges->running = s->being;
    gauges->waiting = s->open - s->being;
    gauges->batch = s->state;
    pthread_mutex_unlock(&s->lock);
    gauges->resident = tern_resident_bytes();
}

/* ---- the log ---------------------------------------------------------------------------------------------------------------- */

/* {"id": .., "status": .., "seconds": .., "stages": {"receive": .., ..}, ..}: the stages follow one another and make up the seconds.
 * Of a request whose client has left only that it did. */
static void write_line(void *context, const tern_job *job, double seconds, bool whole)
{
    const tern_server *s = context;
    FILE *log = s->options.log;
    double sampler = 0, detokenizer = 0;
    int prompt = 0, reused = 0, made = 0;
    if (!log) return;
    fprintf(log, "{\"id\":\"%s\",\"created\":%lld,\"seconds\":%.6f,\"left\":%s", job->id,
            (long long)job->created, seconds, whole ? "false" : "true");
    for (int i = 0; whole && i < job->choice_count; i++) {
        const tern_reply *r = &job->choices[i].reply;
        prompt += r->prompt;
        reused += r->reused;
        made += (int)r->tokens.count;
        sampler += r->sampler_seconds;
        detokenizer += r->text_seconds;
    }
    if (whole) fprintf(log, ",\"status\":%d,\"stages\":{", job->status);
    for (int i = 0; whole && i < TERN_STAGES; i++)
        fprintf(log, "%s\"%s\":%.6f", i ? "," : "", tern_stage_names[i], job->stages[i]);
    if (whole)
        fprintf(log,
                "},\"sampler\":%.6f,\"detokenizer\":%.6f,\"prompt_tokens\":%d,\"known_tokens\":%d,\"made_"
                "tokens\":%d",
                sampler, detokenizer, prompt, reused, made);
    fputs("}\n", log);
    fflush(log);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------------------ */

static tern_status start(tern_server *s)
{
    const tern_server_options *o = &s->options;
    if (pthread_create(&s->reader, NULL, tern_read_jobs, s) != 0)
        return tern_fail(TERN_FAILED, "cannot start a thread");
    s->reading = true;
    if (pthread_create(&s->runner, NULL, tern_run_jobs, s) != 0)
        return tern_fail(TERN_FAILED, "cannot start a thread");
    s->running = true;
    const char *encoder = o->encoder.about ? o->encoder.name : NULL;
    return tern_http_open(&s->http, &(tern_http_options){.host = o->host,
                                                         .port = o->port,
                                                         .model = s->batch ? o->name : encoder,
                                                         .other = s->batch ? encoder : NULL,
                                                         .keys = o->keys,
                                                         .key_count = o->key_count,
                                                         .most_body = o->most_body,
                                                         .connections = o->most_connections,
                                                         .seconds = o->arrival,
                                                         .meter = &s->meter,
                                                         .take = take,
                                                         .over = write_line,
                                                         .look = look,
                                                         .context = s});
}

tern_status tern_server_open(tern_server **server, tern_batch *batch, const tern_server_options *options)
{
    tern_server *s = tern_take(sizeof *s);
    if (!s) return tern_no_memory(sizeof *s, "a server");
    s->options = *options;
    s->batch = batch;
    s->voice = (tern_answerer){options->name, batch ? tern_batch_words(batch)->tokenizer : NULL};
    s->encoder = (tern_answerer){options->encoder.name, NULL};
    pthread_mutex_init(&s->lock, NULL);
    tern_meter_open(&s->meter);
    tern_queue_open(&s->unread);
    tern_queue_open(&s->ready);
    tern_catch_interrupts(); /* before anybody can know that there is a server */
    tern_status status = start(s);
    if (status != TERN_OK)
        tern_server_close(s);
    else
        *server = s;
    return status;
}

int tern_server_port(const tern_server *server)
{
    return tern_http_port(server->http);
}

static bool idle(tern_server *s)
{
    pthread_mutex_lock(&s->lock);
    bool none = s->open == 0;
    pthread_mutex_unlock(&s->lock);
    return none;
}

static void stop_taking(tern_server *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_mutex_unlock(&s->lock);
}

static void sleep_shortly(const tern_server *s)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    tern_http_tick(s->http);
}

void tern_server_run(tern_server *server)
{
    while (!tern_interrupted()) sleep_shortly(server);
    tern_http_quiesce(server->http);
    stop_taking(server);
    while (!idle(server)) sleep_shortly(server);
    double since = tern_now();
    while (tern_http_exchanges(server->http) && tern_now() - since < LAST_BYTES_SECONDS)
        sleep_shortly(server);
}

void tern_server_close(tern_server *s)
{
    if (!s) return;
    stop_taking(s);
    tern_queue_close(&s->unread);
    if (s->reading) pthread_join(s->reader, NULL);
    tern_queue_close(&s->ready);
    if (s->running) pthread_join(s->runner, NULL);
    tern_http_close(s->http);
    tern_queue_free(&s->unread);
    tern_queue_free(&s->ready);
    tern_meter_free(&s->meter);
    pthread_mutex_destroy(&s->lock);
    tern_release(s);
}

#else

tern_status tern_server_open(tern_server **server, tern_batch *batch, const tern_server_options *options)
{
    (void)server, (void)batch, (void)options;
    return tern_fail(TERN_FAILED, "this tern was built without libmicrohttpd, which serves");
}

int tern_server_port(const tern_server *server)
{
    (void)server;
    return 0;
}

void tern_server_run(tern_server *server)
{
    (void)server;
}

void tern_server_close(tern_server *server)
{
    (void)server;
}

#endif
