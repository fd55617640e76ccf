/* The threads of a server, and what they do with a job. */
#define _POSIX_C_SOURCE 200809L
#include "serve/serve.h"

#if defined(TERN_HAVE_MICROHTTPD) && defined(TERN_HAVE_JANSSON)
#include "serve/answer.h"
#include "serve/http.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LAST_BYTES_SECONDS = 5 }; /* that clients have to read their answers when the server stops */

struct tern_server {
    tern_server_options options;
    tern_speaker *speaker;
    tern_http *http;
    tern_queue unread, ready; /* requests as bytes; as prompts */
    pthread_t reader, runner;
    bool reading, running; /* those threads are there */
    pthread_mutex_t lock;
    uint64_t jobs; /* so far */
    int open;      /* of them that are not answered yet */
    bool stopping; /* new ones are sent away */
};

/* ---- answering ---------------------------------------------------------------------------------------------------------- */

/* The message of this thread as the answer, or as the last event of one that has begun. */
static void send_error(tern_job *job, int status, const char *code)
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

static void send_failure(tern_job *job, tern_status status)
{
    if (status == TERN_NO_FIT)
        send_error(job, 400, "context_length_exceeded");
    else
        send_error(job, status == TERN_NO_MEMORY ? 503 : status == TERN_USAGE ? 400 : 500, NULL);
}

static void finish(tern_server *s, tern_job *job)
{
    tern_job_drop(job);
    pthread_mutex_lock(&s->lock);
    s->open--;
    pthread_mutex_unlock(&s->lock);
}

/* An event of a stream, which may be its last. */
static tern_status send_event(tern_server *s, const tern_choice *c, const char *text, size_t size, bool last,
                              bool over)
{
    tern_text event = {0};
    tern_status status = tern_answer_part(&event, c, s->options.name, text, size, last);
    if (status == TERN_OK && over) tern_text_put(&event, "data: [DONE]\n\n");
    if (status == TERN_OK) status = tern_text_status(&event);
    if (status == TERN_OK) tern_job_send(c->job, 200, event.data, event.size, over);
    tern_text_free(&event);
    return status;
}

/* ---- the thread that reads requests --------------------------------------------------------------------------------------- */

static tern_status encode(tern_server *s, const char *text, size_t size, tern_tokens *out)
{
    return tern_speaker_encode(s->speaker, text, size, out);
}

static tern_status read_chat(tern_server *s, tern_job *job)
{
    tern_text text = {0};
    if (!s->options.template)
        return tern_fail(TERN_USAGE,
                         "this model has no chat template: use /v1/completions, or start the server with "
                         "--template FILE");
    tern_status status =
        tern_conversation_render(&job->asked.talk, s->options.template,
                                 tern_tokenizer_vocabulary(tern_speaker_tokenizer(s->speaker)), &text);
    if (status == TERN_OK) status = encode(s, text.data ? text.data : "", text.size, &job->prompts[0]);
    tern_text_free(&text);
    return status;
}

static tern_status read_prompt(tern_server *s, const tern_ask_prompt *p, tern_tokens *out)
{
    int32_t vocabulary = tern_llm_about(tern_speaker_model(s->speaker))->vocabulary;
    if (!p->ids) return encode(s, p->text, p->size, out);
    for (int i = 0; i < p->count; i++) {
        if (p->ids[i] >= vocabulary)
            return tern_fail(TERN_USAGE, "token %d is %d, expected 0 to %d", i, p->ids[i], vocabulary - 1);
        TERN_TRY(tern_tokens_add(out, p->ids[i]));
    }
    return TERN_OK;
}

static tern_status check_model(const tern_server *s, tern_job *job)
{
    const char *model = job->asked.model;
    if (!model || strcmp(model, s->options.name) == 0) return TERN_OK;
    job->asked.field = "model";
    return tern_fail(TERN_USAGE, "there is no model \"%.64s\" here, only \"%s\"", model, s->options.name);
}

static tern_status read_job(tern_server *s, tern_job *job)
{
    tern_asked *a = &job->asked;
    TERN_TRY(tern_ask_read(a, job->kind, job->body.data, job->body.size));
    TERN_TRY(check_model(s, job));
    int prompts = job->kind == TERN_ASK_CHAT ? 1 : a->prompt_count, choices = prompts * a->choices;
    job->prompts = tern_take_array((size_t)prompts, sizeof *job->prompts);
    job->choices = tern_take_array((size_t)choices, sizeof *job->choices);
    if (!job->prompts || !job->choices)
        return tern_no_memory((size_t)choices * sizeof *job->choices, "a request");
    job->prompt_count = prompts;
    job->choice_count = choices;
    for (int i = 0; i < choices; i++) job->choices[i] = (tern_choice){.job = job, .index = i};
    a->field = job->kind == TERN_ASK_CHAT ? "messages" : "prompt";
    if (job->kind == TERN_ASK_CHAT) TERN_TRY(read_chat(s, job));
    for (int i = 0; job->kind != TERN_ASK_CHAT && i < prompts; i++)
        TERN_TRY(read_prompt(s, &a->prompts[i], &job->prompts[i]));
    for (int i = 0; i < prompts; i++) {
        if ((int)job->prompts[i].count < tern_llm_rows(tern_speaker_model(s->speaker))) continue;
        return tern_fail(TERN_NO_FIT, "the prompt has %zu tokens and leaves no room in the context of %d",
                         job->prompts[i].count, tern_llm_rows(tern_speaker_model(s->speaker)));
    }
    a->field = NULL;
    job->stream = a->stream;
    return TERN_OK;
}

static void *read_jobs(void *context)
{
    tern_server *s = context;
    for (tern_job *job; (job = tern_queue_take(&s->unread)) != NULL;) {
        tern_clear();
        tern_status status = tern_job_left(job) ? TERN_OK : read_job(s, job);
        if (status == TERN_OK) {
            tern_queue_put(&s->ready, job);
            continue;
        }
        /* What a client's template, text or grammar brings about is the client's. */
        send_failure(job, status == TERN_FAILED ? TERN_USAGE : status);
        finish(s, job);
    }
    return NULL;
}

/* ---- the thread that runs the model --------------------------------------------------------------------------------------- */

typedef struct tern_telling {
    tern_server *server;
    tern_choice *choice;
} tern_telling;

static tern_status tell(void *context, const char *text, size_t size)
{
    tern_telling *t = context;
    if (tern_job_left(t->choice->job)) return tern_fail(TERN_INTERRUPTED, "the client has left");
    return t->choice->job->stream ? send_event(t->server, t->choice, text, size, false, false) : TERN_OK;
}

static tern_status run_choice(tern_server *s, tern_job *job, tern_choice *c)
{
    tern_telling telling = {s, c};
    const tern_asked *a = &job->asked;
    tern_sampling sampling = a->sampling;
    sampling.seed += (uint64_t)c->index;
    tern_request request = {.most = a->most >= 0 ? a->most : tern_llm_rows(tern_speaker_model(s->speaker)),
                            .sampling = &sampling,
                            .stops = a->stops,
                            .stop_count = a->stop_count,
                            .alternatives = -1,
                            .on_text = tell,
                            .context = &telling};
    if (job->stream && job->kind == TERN_ASK_CHAT) TERN_TRY(send_event(s, c, "", 0, false, false));
    TERN_TRY(tern_speak(s->speaker, &job->prompts[c->index / a->choices], &request, &c->reply));
    bool over = c->index + 1 == job->choice_count;
    return job->stream ? send_event(s, c, NULL, 0, true, over) : TERN_OK;
}

static tern_status run_job(tern_server *s, tern_job *job)
{
    tern_text whole = {0};
    for (int i = 0; i < job->choice_count; i++) TERN_TRY(run_choice(s, job, &job->choices[i]));
    if (job->stream) return TERN_OK;
    tern_status status = tern_answer_whole(&whole, job, s->options.name);
    if (status == TERN_OK) tern_job_send(job, 200, whole.data, whole.size, true);
    tern_text_free(&whole);
    return status;
}

static void *run_jobs(void *context)
{
    tern_server *s = context;
    for (tern_job *job; (job = tern_queue_take(&s->ready)) != NULL;) {
        tern_clear();
        tern_status status = tern_job_left(job) ? TERN_OK : run_job(s, job);
        if (status != TERN_OK) send_failure(job, status);
        finish(s, job);
    }
    return NULL;
}

/* ---- life --------------------------------------------------------------------------------------------------------------- */

static void take(void *context, tern_job *job)
{
    tern_server *s = context;
    pthread_mutex_lock(&s->lock);
    uint64_t number = s->jobs++;
    bool stopping = s->stopping;
    s->open += !stopping;
    pthread_mutex_unlock(&s->lock);
    if (stopping) {
        tern_fail(TERN_FAILED, "the server is stopping");
        send_error(job, 503, NULL);
        return;
    }
    snprintf(job->id, sizeof job->id, "%s-%08llx%08llx", job->kind == TERN_ASK_CHAT ? "chatcmpl" : "cmpl",
             (unsigned long long)(job->created & 0xffffffff), (unsigned long long)(number & 0xffffffff));
    tern_job_hold(job);
    tern_queue_put(&s->unread, job);
}

static tern_status start(tern_server *s)
{
    if (pthread_create(&s->reader, NULL, read_jobs, s) != 0)
        return tern_fail(TERN_FAILED, "cannot start a thread");
    s->reading = true;
    if (pthread_create(&s->runner, NULL, run_jobs, s) != 0)
        return tern_fail(TERN_FAILED, "cannot start a thread");
    s->running = true;
    return tern_http_open(&s->http, &(tern_http_options){.host = s->options.host,
                                                         .name = s->options.name,
                                                         .port = s->options.port,
                                                         .take = take,
                                                         .context = s});
}

tern_status tern_server_open(tern_server **server, tern_speaker *speaker, const tern_server_options *options)
{
    tern_server *s = tern_take(sizeof *s);
    if (!s) return tern_no_memory(sizeof *s, "a server");
    s->options = *options;
    s->speaker = speaker;
    pthread_mutex_init(&s->lock, NULL);
    tern_queue_open(&s->unread);
    tern_queue_open(&s->ready);
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

static void sleep_shortly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

/* Not tern_catch_interrupts: what speaks would end in the midst of it. */
static volatile sig_atomic_t signals;
static void on_signal(int number)
{
    if (signals++) _exit(128 + number);
}

void tern_server_run(tern_server *server)
{
    struct sigaction action = {0};
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    while (!signals) sleep_shortly();
    tern_http_quiesce(server->http);
    stop_taking(server);
    while (!idle(server)) sleep_shortly();
    double since = tern_now();
    while (tern_http_exchanges(server->http) && tern_now() - since < LAST_BYTES_SECONDS) sleep_shortly();
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
    pthread_mutex_destroy(&s->lock);
    tern_release(s);
}

#else

tern_status tern_server_open(tern_server **server, tern_speaker *speaker, const tern_server_options *options)
{
    (void)server, (void)speaker, (void)options;
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
