/* The thread that runs the model. */
#include "serve/server.h"

#include "llm/window.h"

#ifdef TERN_CAN_SERVE

/* An event of a stream, which may be its last. */
static tern_status send_event(tern_server *s, tern_choice *c, const char *text, size_t size, bool last,
                              bool over)
{
    tern_text event = {0};
    tern_status status = tern_answer_part(&event, &s->voice, c, text, size, last);
    if (status == TERN_OK && over && c->job->asked.stream_usage)
        status = tern_answer_usage(&event, &s->voice, c->job);
    if (over) tern_text_put(&event, "data: [DONE]\n\n");
    if (status == TERN_OK) status = tern_text_status(&event);
    if (status == TERN_OK) tern_job_send(c->job, 200, event.data, event.size, over);
    tern_text_free(&event);
    return status;
}

typedef struct tern_telling {
    tern_server *server;
    tern_choice *choice;
} tern_telling;

static tern_status tell(void *context, const char *text, size_t size)
{
    tern_telling *t = context;
    tern_job *job = t->choice->job;
    if (tern_job_left(job)) return tern_fail(TERN_INTERRUPTED, "the client has left");
    if (tern_now() - job->begun > t->server->options.patience)
        return tern_fail(TERN_INTERRUPTED, "the answer takes longer than the %g s that this server gives it",
                         t->server->options.patience);
    return job->stream ? send_event(t->server, t->choice, text, size, false, false) : TERN_OK;
}

static void meter_reply(tern_server *s, const tern_job *job, double begun, const tern_reply *r)
{
    if (r->tokens.count) tern_meter_span(&s->meter, TERN_SPAN_FIRST, begun - job->begun + r->seconds[0]);
    for (size_t i = 1; i < r->tokens.count; i++)
        tern_meter_span(&s->meter, TERN_SPAN_BETWEEN, r->seconds[i] - r->seconds[i - 1]);
    tern_meter_stage(&s->meter, TERN_STAGE_PREFILL, r->prompt_seconds);
    tern_meter_stage(&s->meter, TERN_STAGE_DECODE, r->made_seconds);
    tern_meter_parts(&s->meter, r->sampler_seconds, r->text_seconds);
    tern_meter_tokens(&s->meter, r->prompt, r->reused, (int)r->tokens.count);
}

static tern_status run_choice(tern_server *s, tern_job *job, tern_choice *c)
{
    tern_telling telling = {s, c};
    const tern_asked *a = &job->asked;
    tern_sampling sampling = a->sampling;
    int ends;
    const int32_t *end = tern_speaker_ends(s->speaker, &ends);
    if (!a->seeded) sampling.seed = s->options.seed + 1000003 * job->number;
    sampling.seed += (uint64_t)c->index;
    tern_request request = {.most = a->most >= 0 ? a->most : tern_llm_rows(tern_speaker_model(s->speaker)),
                            .sampling = &sampling,
                            .stops = a->stops,
                            .stop_count = a->stop_count,
                            .alternatives = !a->logprobs          ? -1
                                            : a->alternatives > 0 ? a->alternatives
                                                                  : 0,
                            .on_text = tell,
                            .context = &telling};
    if (job->grammar)
        TERN_TRY(tern_constraint_open(&request.constraint, job->grammar, tern_speaker_tokenizer(s->speaker),
                                      end, ends));
    double begun = tern_now();
    tern_status status =
        job->stream && job->kind == TERN_ASK_CHAT ? send_event(s, c, "", 0, false, false) : TERN_OK;
    if (status == TERN_OK)
        status = tern_speak(s->speaker, &job->prompts[c->index / a->choices], &request, &c->reply);
    tern_constraint_close(request.constraint);
    meter_reply(s, job, begun, &c->reply);
    job->mark = tern_now();
    return status;
}

static tern_status run_text(tern_server *s, tern_job *job)
{
    tern_text whole = {0};
    for (int i = 0; i < job->choice_count; i++) {
        TERN_TRY(run_choice(s, job, &job->choices[i]));
        if (job->stream) TERN_TRY(send_event(s, &job->choices[i], NULL, 0, true, i + 1 == job->choice_count));
    }
    if (job->stream) return TERN_OK;
    tern_status status = tern_answer_whole(&whole, &s->voice, job);
    tern_job_stage(job, &s->meter, TERN_STAGE_ANSWER);
    if (status == TERN_OK) tern_job_send(job, 200, whole.data, whole.size, true);
    tern_text_free(&whole);
    return status;
}

static tern_status run_embeddings(tern_server *s, tern_job *job)
{
    const tern_server_encoder *e = &s->options.encoder;
    int width = e->about->width, tokens = 0;
    tern_text whole = {0};
    tern_status status = TERN_OK;
    float *vectors = tern_take_array((size_t)width * (size_t)job->prompt_count, sizeof *vectors);
    if (!vectors) return tern_no_memory((size_t)width * sizeof *vectors, "embeddings");
    for (int i = 0; status == TERN_OK && i < job->prompt_count; i++) {
        tern_tokens *p = &job->prompts[i];
        if (tern_job_left(job)) status = tern_fail(TERN_INTERRUPTED, "the client has left");
        if (status == TERN_OK)
            status = tern_embed_text(e->about, p->ids, (int)p->count, TERN_POOL_MEAN, true, s->options.pool,
                                     vectors + (size_t)i * (size_t)width);
        tokens += (int)p->count;
    }
    tern_job_stage(job, &s->meter, TERN_STAGE_PREFILL);
    tern_meter_tokens(&s->meter, tokens, 0, 0);
    if (status == TERN_OK)
        status = tern_answer_embeddings(&whole, &s->encoder, vectors, job->prompt_count, width, tokens,
                                        job->asked.base64);
    tern_job_stage(job, &s->meter, TERN_STAGE_ANSWER);
    if (status == TERN_OK) tern_job_send(job, 200, whole.data, whole.size, true);
    tern_text_free(&whole);
    tern_release(vectors);
    return status;
}

static void set_being(tern_server *s, int change)
{
    pthread_mutex_lock(&s->lock);
    s->being += change;
    pthread_mutex_unlock(&s->lock);
}

void *tern_run_jobs(void *server)
{
    tern_server *s = server;
    for (tern_job *job; (job = tern_queue_take(&s->ready)) != NULL;) {
        tern_clear();
        set_being(s, 1);
        tern_job_stage(job, &s->meter, TERN_STAGE_QUEUE);
        tern_status status = tern_job_left(job)            ? TERN_INTERRUPTED
                             : job->kind == TERN_ASK_EMBED ? run_embeddings(s, job)
                                                           : run_text(s, job);
        if (status != TERN_OK) tern_send_failure(job, status);
        tern_job_done(s, job);
        set_being(s, -1);
    }
    return NULL;
}

#endif
