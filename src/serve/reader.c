/* The thread that reads requests: JSON, chat templates, tokens. */
#include "serve/server.h"

#ifdef TERN_CAN_SERVE
#include <string.h>

static int context_of(const tern_server *s, const tern_job *job)
{
    return job->kind == TERN_ASK_EMBED ? s->options.encoder.about->context
                                       : tern_llm_rows(tern_batch_model(s->batch));
}

static tern_status encode(const tern_server *s, const tern_job *job, const char *text, size_t size,
                          tern_tokens *out)
{
    if (job->kind == TERN_ASK_EMBED)
        return tern_encode(s->options.encoder.tokenizer, text, size, TERN_ENCODE_ENDS, out);
    return tern_words_encode(tern_batch_words(s->batch), text, size, out);
}

static tern_status read_chat(const tern_server *s, tern_job *job)
{
    tern_text text = {0};
    if (!s->options.template)
        return tern_fail(TERN_USAGE,
                         "this model has no chat template: use /v1/completions, or start the server with "
                         "--template FILE");
    tern_status status =
        tern_conversation_render(&job->asked.talk, s->options.template,
                                 tern_tokenizer_vocabulary(tern_batch_words(s->batch)->tokenizer), &text);
    if (status == TERN_OK) status = encode(s, job, text.data ? text.data : "", text.size, &job->prompts[0]);
    tern_text_free(&text);
    return status;
}

static tern_status read_prompt(const tern_server *s, const tern_job *job, const tern_ask_prompt *p,
                               tern_tokens *out)
{
    int32_t vocabulary = job->kind == TERN_ASK_EMBED ? s->options.encoder.about->vocabulary
                                                     : tern_llm_about(tern_batch_model(s->batch))->vocabulary;
    if (!p->ids) return encode(s, job, p->text, p->size, out);
    if (!p->count) return tern_fail(TERN_USAGE, "there is a text without a token");
    for (int i = 0; i < p->count; i++) {
        if (p->ids[i] >= vocabulary)
            return tern_fail(TERN_USAGE, "token %d is %d, expected 0 to %d", i, p->ids[i], vocabulary - 1);
        TERN_TRY(tern_tokens_add(out, p->ids[i]));
    }
    return TERN_OK;
}

/* The model that the request is for is there, and is the one that it names. */
static tern_status check_model(const tern_server *s, tern_job *job)
{
    bool embed = job->kind == TERN_ASK_EMBED,
         there = embed ? s->options.encoder.about != NULL : s->batch != NULL;
    const char *model = job->asked.model, *here = embed ? s->options.encoder.name : s->options.name;
    job->asked.field = "model";
    if (!there)
        return tern_fail(TERN_USAGE,
                         embed ? "there is no model that makes embeddings here: start the server with "
                                 "--embeddings FILE"
                               : "the model of this server makes embeddings, and no text");
    if (model && strcmp(model, here) != 0)
        return tern_fail(TERN_USAGE, "there is no model \"%.64s\" for this, only \"%s\"", model, here);
    job->asked.field = NULL;
    return TERN_OK;
}

static tern_status read_body(tern_server *s, tern_job *job)
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
    for (int i = 0; i < choices; i++) job->choices[i] = (tern_choice){.job = job, .server = s, .index = i};
    job->stream = a->stream;
    a->field = a->grammar ? "response_format" : NULL;
    if (a->grammar) TERN_TRY(tern_grammar_open(&job->grammar, a->grammar, strlen(a->grammar)));
    a->field = NULL;
    return TERN_OK;
}

static tern_status tokenize(const tern_server *s, tern_job *job)
{
    tern_asked *a = &job->asked;
    int context = context_of(s, job);
    a->field = tern_ask_subject(job->kind);
    if (job->kind == TERN_ASK_CHAT) TERN_TRY(read_chat(s, job));
    for (int i = 0; job->kind != TERN_ASK_CHAT && i < job->prompt_count; i++)
        TERN_TRY(read_prompt(s, job, &a->prompts[i], &job->prompts[i]));
    for (int i = 0; i < job->prompt_count; i++)
        if ((int)job->prompts[i].count > context - (job->kind != TERN_ASK_EMBED))
            return tern_fail(TERN_NO_FIT, "\"%s\" has %zu tokens, more than the context of %d has room for",
                             a->field, job->prompts[i].count, context);
    a->field = NULL;
    return TERN_OK;
}

static tern_status read_job(tern_server *s, tern_job *job)
{
    tern_job_stage(job, &s->meter, TERN_STAGE_HELD);
    tern_status status = read_body(s, job);
    tern_job_stage(job, &s->meter, TERN_STAGE_READ);
    if (status == TERN_OK) {
        status = tokenize(s, job);
        tern_job_stage(job, &s->meter, TERN_STAGE_TOKENIZE);
    }
    /* What a client's template, text or grammar brings about is the client's. */
    return status == TERN_FAILED ? TERN_USAGE : status;
}

void *tern_read_jobs(void *server)
{
    tern_server *s = server;
    for (tern_job *job; (job = tern_queue_take(&s->unread)) != NULL;) {
        tern_clear();
        tern_status status = tern_job_left(job) ? TERN_INTERRUPTED : read_job(s, job);
        if (status == TERN_OK) {
            tern_queue_put(&s->ready, job);
            continue;
        }
        tern_send_failure(job, status);
        tern_job_done(s, job);
    }
    return NULL;
}

#endif
