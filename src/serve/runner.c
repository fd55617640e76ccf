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

static tern_status tell(void *context, const char *text, size_t size)
{
    tern_choice *c = context;
    return c->job->stream ? send_event(c->server, c, text, size, false, false) : TERN_OK;
}

/* ---- one choice ------------------------------------------------------------------------------------------------------------- */

/* The choices of a prompt come of one search. */
static tern_status begin_search(tern_server *s, tern_choice *c)
{
    const tern_asked *a = &c->job->asked;
    const tern_words *words = tern_batch_words(s->batch);
    tern_beam_options o = {.beams = a->beams,
                           .most = a->most >= 0 ? a->most : tern_llm_rows(tern_batch_model(s->batch)),
                           .length_penalty = a->length_penalty,
                           .early = a->early,
                           .ends = words->ends,
                           .end_count = words->end_count};
    if (c->index % a->choices) return TERN_OK;
    return tern_batch_search(s->batch, &c->job->prompts[c->index / a->choices], &o, &c->beams, &c->sequence);
}

static tern_status begin_choice(tern_server *s, tern_choice *c)
{
    tern_job *job = c->job;
    const tern_asked *a = &job->asked;
    const tern_words *words = tern_batch_words(s->batch);
    if (a->search) return begin_search(s, c);
    c->sampling = a->sampling;
    if (!a->seeded) c->sampling.seed = s->options.seed + 1000003 * job->number;
    c->sampling.seed += (uint64_t)c->index;
    c->request = (tern_request){.most = a->most >= 0 ? a->most : tern_llm_rows(tern_batch_model(s->batch)),
                                .sampling = &c->sampling,
                                .stops = a->stops,
                                .stop_count = a->stop_count,
                                .alternatives = !a->logprobs          ? -1
                                                : a->alternatives > 0 ? a->alternatives
                                                                      : 0,
                                .on_text = tell,
                                .context = c};
    if (job->grammar)
        TERN_TRY(tern_constraint_open(&c->request.constraint, job->grammar, words->tokenizer, words->ends,
                                      words->end_count));
    TERN_TRY(
        tern_batch_add(s->batch, &job->prompts[c->index / a->choices], &c->request, &c->reply, &c->sequence));
    return job->stream && job->kind == TERN_ASK_CHAT ? send_event(s, c, "", 0, false, false) : TERN_OK;
}

static void end_choice(tern_server *s, tern_choice *c)
{
    if (c->sequence) tern_batch_remove(s->batch, c->sequence);
    c->sequence = NULL;
    tern_constraint_close(c->request.constraint);
    c->request.constraint = NULL;
}

static void meter_reply(tern_server *s, const tern_reply *r)
{
    for (size_t i = 1; i < r->tokens.count; i++)
        tern_meter_span(&s->meter, TERN_SPAN_BETWEEN, r->seconds[i] - r->seconds[i - 1]);
    tern_meter_parts(&s->meter, r->sampler_seconds, r->text_seconds);
    tern_meter_tokens(&s->meter, r->prompt, r->reused, (int)r->tokens.count);
}

/* The best beams become the replies of a prompt. */
static tern_status take_beams(tern_server *s, tern_job *job, tern_choice *first)
{
    const tern_asked *a = &job->asked;
    const tern_words *words = tern_batch_words(s->batch);
    if (first->beams.count < a->choices)
        return tern_fail(TERN_FAILED, "%d beams have ended, fewer than the %d texts that were asked for",
                         first->beams.count, a->choices);
    for (int i = 0; i < a->choices; i++) {
        tern_reply *r = &first[i].reply;
        tern_beam *b = &first->beams.list[i];
        r->tokens = b->tokens;
        b->tokens = (tern_tokens){0};
        r->finish = b->ended ? TERN_FINISH_END : TERN_FINISH_LENGTH;
        r->prompt = (int)job->prompts[first->index / a->choices].count;
        TERN_TRY(tern_decode_all(words->tokenizer, &r->tokens, &r->text));
        tern_meter_tokens(&s->meter, i ? 0 : r->prompt, 0, (int)r->tokens.count);
        job->made++;
    }
    return TERN_OK;
}

/* What came of a choice in the last step. */
static tern_status look_at_choice(tern_server *s, tern_job *job, tern_choice *c)
{
    tern_status status;
    const char *message;
    bool over = tern_sequence_over(c->sequence, &status, &message);
    if (!job->first && (over || c->reply.tokens.count)) {
        job->first = true;
        tern_job_stage(job, &s->meter, TERN_STAGE_PREFILL);
        tern_meter_span(&s->meter, TERN_SPAN_FIRST, tern_now() - job->begun);
    }
    if (!over) return TERN_OK;
    if (status != TERN_OK) return tern_fail(status, "%s", message);
    end_choice(s, c);
    if (job->asked.search) {
        TERN_TRY(take_beams(s, job, c));
    } else {
        meter_reply(s, &c->reply);
        job->made++;
    }
    if (job->made == job->choice_count) tern_job_stage(job, &s->meter, TERN_STAGE_DECODE);
    return job->stream ? send_event(s, c, NULL, 0, true, job->made == job->choice_count) : TERN_OK;
}

/* ---- jobs ------------------------------------------------------------------------------------------------------------------- */

static bool has_room(const tern_server *s)
{
    tern_batch_state b = tern_batch_look(s->batch);
    return b.running + b.waiting < b.places;
}

static tern_status begin_choices(tern_server *s, tern_job *job)
{
    while (job->added < job->choice_count && has_room(s))
        TERN_TRY(begin_choice(s, &job->choices[job->added++]));
    return TERN_OK;
}

/* After a step: what there is to tell, and whether there is still somebody to tell it to. */
static tern_status look_at_job(tern_server *s, tern_job *job)
{
    if (tern_job_left(job)) return tern_fail(TERN_INTERRUPTED, "the client has left");
    if (tern_now() - job->begun > s->options.patience)
        return tern_fail(TERN_INTERRUPTED, "the answer takes longer than the %g s that this server gives it",
                         s->options.patience);
    for (int i = 0; i < job->added; i++)
        if (job->choices[i].sequence) TERN_TRY(look_at_choice(s, job, &job->choices[i]));
    return begin_choices(s, job);
}

static tern_status answer_job(tern_server *s, tern_job *job)
{
    tern_text whole = {0};
    if (job->stream) return TERN_OK; /* its last event has gone */
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

static void end_job(tern_server *s, tern_job *job, tern_status status)
{
    for (int i = 0; i < job->added; i++) end_choice(s, &job->choices[i]);
    if (status != TERN_OK) tern_send_failure(job, status);
    tern_clear();
    tern_job_done(s, job);
    pthread_mutex_lock(&s->lock);
    s->being--;
    pthread_mutex_unlock(&s->lock);
}

/* Takes up a job; false: it is over already. */
static bool begin_job(tern_server *s, tern_job *job)
{
    tern_clear();
    pthread_mutex_lock(&s->lock);
    s->being++;
    pthread_mutex_unlock(&s->lock);
    tern_job_stage(job, &s->meter, TERN_STAGE_QUEUE);
    bool left = tern_job_left(job), embed = job->kind == TERN_ASK_EMBED;
    tern_status status = left ? TERN_INTERRUPTED : embed ? run_embeddings(s, job) : begin_choices(s, job);
    if (status == TERN_OK && !embed) return true;
    end_job(s, job, status);
    return false;
}

/* Jobs that wait, while there is room beside those that run; waits for one when none runs. */
static void take_jobs(tern_server *s, tern_job **jobs)
{
    tern_job *job, **last = jobs;
    while (*last) last = &(*last)->next;
    while (!*jobs || has_room(s)) {
        job = *jobs ? tern_queue_look(&s->ready) : tern_queue_take(&s->ready);
        if (!job) return;
        if (!begin_job(s, job)) continue;
        *last = job;
        last = &job->next;
    }
}

static void keep_state(tern_server *s)
{
    tern_batch_state state = tern_batch_look(s->batch);
    pthread_mutex_lock(&s->lock);
    s->state = state;
    pthread_mutex_unlock(&s->lock);
}

void *tern_run_jobs(void *server)
{
    tern_server *s = server;
    tern_job *jobs = NULL;
    for (;;) {
        take_jobs(s, &jobs);
        if (!jobs) return NULL; /* the queue is closed */
        tern_status failed = tern_batch_step(s->batch);
        for (tern_job **at = &jobs; *at;) {
            tern_job *job = *at;
            tern_status status =
                failed == TERN_OK ? look_at_job(s, job) : tern_fail(failed, "the model failed");
            bool over = status != TERN_OK || job->made == job->choice_count;
            if (over && status == TERN_OK) status = answer_job(s, job);
            if (over)
                *at = job->next;
            else
                at = &job->next;
            if (over) end_job(s, job, status);
        }
        tern_clear();
        keep_state(s);
    }
}

#endif
