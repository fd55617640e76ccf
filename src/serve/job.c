/* Requests on their way, and queues of them. */
#define _POSIX_C_SOURCE 200809L
#include "serve/job.h"

#include <errno.h>
#include <sys/socket.h>
#include <time.h>

#define LOOK_SECONDS 0.05 /* between looks at a socket */

tern_status tern_job_open(tern_job **job, tern_ask_kind kind)
{
    tern_job *j = tern_take(sizeof *j);
    if (!j) return tern_no_memory(sizeof *j, "a request");
    j->kind = kind;
    j->created = (int64_t)time(NULL);
    j->begun = j->mark = tern_now();
    j->holders = 1;
    pthread_mutex_init(&j->lock, NULL);
    *job = j;
    return TERN_OK;
}

static void release(tern_job *j)
{
    for (int i = 0; i < j->choice_count; i++) {
        tern_reply_free(&j->choices[i].reply);
        tern_beams_free(&j->choices[i].beams);
    }
    for (int i = 0; i < j->prompt_count; i++) tern_tokens_free(&j->prompts[i]);
    tern_grammar_close(j->grammar);
    tern_release(j->choices);
    tern_release(j->prompts);
    tern_asked_free(&j->asked);
    tern_text_free(&j->body);
    tern_text_free(&j->out);
    pthread_mutex_destroy(&j->lock);
    tern_release(j);
}

void tern_job_hold(tern_job *j)
{
    pthread_mutex_lock(&j->lock);
    j->holders++;
    pthread_mutex_unlock(&j->lock);
}

void tern_job_drop(tern_job *j)
{
    pthread_mutex_lock(&j->lock);
    bool last = --j->holders == 0;
    pthread_mutex_unlock(&j->lock);
    if (last) release(j);
}

void tern_job_send(tern_job *j, int status, const char *bytes, size_t size, bool over)
{
    pthread_mutex_lock(&j->lock);
    if (!j->status) j->status = status;
    if (j->taken == j->out.size) j->taken = j->out.size = 0;
    tern_text_add(&j->out, bytes, size);
    if (j->out.failed) j->left = true; /* an answer with a hole is none */
    j->over |= over || j->out.failed;
    if (j->asleep && j->connection) {
        j->asleep = false;
        j->resume(j->connection);
    }
    pthread_mutex_unlock(&j->lock);
}

bool tern_job_begun(tern_job *j)
{
    pthread_mutex_lock(&j->lock);
    bool begun = j->status != 0;
    pthread_mutex_unlock(&j->lock);
    return begun;
}

bool tern_job_left(tern_job *j)
{
    char byte;
    double now = tern_now();
    pthread_mutex_lock(&j->lock);
    if (j->connection && !j->left && now - j->looked > LOOK_SECONDS) {
        ssize_t found = recv(j->file, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        j->looked = now;
        j->left = found == 0 || (found < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
    }
    bool left = j->left;
    pthread_mutex_unlock(&j->lock);
    return left;
}

void tern_job_stage(tern_job *j, tern_meter *meter, tern_stage_kind stage)
{
    double now = tern_now();
    tern_meter_stage(meter, stage, now - j->mark);
    j->stages[stage] += now - j->mark;
    j->mark = now;
}

void tern_queue_open(tern_queue *q)
{
    *q = (tern_queue){0};
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->filled, NULL);
}

void tern_queue_free(tern_queue *q)
{
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->filled);
}

void tern_queue_put(tern_queue *q, tern_job *job)
{
    pthread_mutex_lock(&q->lock);
    job->next = NULL;
    if (q->last)
        q->last->next = job;
    else
        q->first = job;
    q->last = job;
    q->count++;
    pthread_cond_signal(&q->filled);
    pthread_mutex_unlock(&q->lock);
}

/* Under its lock. */
static tern_job *take_first(tern_queue *q)
{
    tern_job *job = q->first;
    if (job) {
        q->first = job->next;
        if (!q->first) q->last = NULL;
        q->count--;
        job->next = NULL;
    }
    return job;
}

tern_job *tern_queue_take(tern_queue *q)
{
    pthread_mutex_lock(&q->lock);
    while (!q->first && !q->closed) pthread_cond_wait(&q->filled, &q->lock);
    tern_job *job = take_first(q);
    pthread_mutex_unlock(&q->lock);
    return job;
}

tern_job *tern_queue_look(tern_queue *q)
{
    pthread_mutex_lock(&q->lock);
    tern_job *job = take_first(q);
    pthread_mutex_unlock(&q->lock);
    return job;
}

void tern_queue_close(tern_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->filled);
    pthread_mutex_unlock(&q->lock);
}
