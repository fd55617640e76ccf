/* Answers as JSON. */
#include "serve/answer.h"

#ifdef TERN_HAVE_JANSSON
#include <jansson.h>

/* Takes the reference. */
static tern_status put(tern_text *out, json_t *document)
{
    char *text = document ? json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(document);
    if (!text) return tern_no_memory(0, "an answer");
    json_free_t release;
    json_get_alloc_funcs(NULL, &release);
    tern_text_put(out, text);
    release(text);
    return tern_text_status(out);
}

static const char *reason(const tern_reply *r)
{
    return r->finish == TERN_FINISH_END || r->finish == TERN_FINISH_STOP ? "stop" : "length";
}

static json_t *usage(const tern_job *job)
{
    json_int_t prompt = 0, reused = 0, made = 0;
    for (int i = 0; i < job->choice_count; i++) {
        const tern_reply *r = &job->choices[i].reply;
        if (i % job->asked.choices == 0) prompt += r->prompt, reused += r->reused;
        made += (json_int_t)r->tokens.count;
    }
    return json_pack("{s:I,s:I,s:I,s:{s:I}}", "prompt_tokens", prompt, "completion_tokens", made,
                     "total_tokens", prompt + made, "prompt_tokens_details", "cached_tokens", reused);
}

static json_t *choice_json(const tern_choice *c)
{
    const tern_text *t = &c->reply.text;
    json_t *text = json_stringn(t->data ? t->data : "", t->size);
    if (c->job->kind == TERN_ASK_CHAT)
        return json_pack("{s:i,s:{s:s,s:o,s:n},s:n,s:s}", "index", c->index, "message", "role", "assistant",
                         "content", text, "refusal", "logprobs", "finish_reason", reason(&c->reply));
    return json_pack("{s:i,s:o,s:n,s:s}", "index", c->index, "text", text, "logprobs", "finish_reason",
                     reason(&c->reply));
}

/* What every answer of a job begins with; takes the reference of the choices. */
static json_t *head(const tern_job *job, const char *model, const char *object, json_t *choices)
{
    return json_pack("{s:s,s:s,s:I,s:s,s:o}", "id", job->id, "object", object, "created",
                     (json_int_t)job->created, "model", model, "choices", choices);
}

tern_status tern_answer_whole(tern_text *out, const tern_job *job, const char *model)
{
    json_t *choices = json_array();
    for (int i = 0; i < job->choice_count; i++) json_array_append_new(choices, choice_json(&job->choices[i]));
    json_t *all =
        head(job, model, job->kind == TERN_ASK_CHAT ? "chat.completion" : "text_completion", choices);
    json_object_set_new(all, "usage", usage(job));
    return put(out, all);
}

tern_status tern_answer_part(tern_text *out, const tern_choice *c, const char *model, const char *text,
                             size_t size, bool last)
{
    bool chat = c->job->kind == TERN_ASK_CHAT;
    json_t *ending = last ? json_string(reason(&c->reply)) : json_null(), *one;
    if (chat) {
        json_t *delta = json_object();
        if (text) json_object_set_new(delta, "content", json_stringn(text, size));
        if (text && !size) json_object_set_new(delta, "role", json_string("assistant"));
        one = json_pack("{s:i,s:o,s:n,s:o}", "index", c->index, "delta", delta, "logprobs", "finish_reason",
                        ending);
    } else {
        one = json_pack("{s:i,s:o,s:n,s:o}", "index", c->index, "text", json_stringn(text ? text : "", size),
                        "logprobs", "finish_reason", ending);
    }
    json_t *choices = json_array();
    json_array_append_new(choices, one);
    tern_text_put(out, "data: ");
    TERN_TRY(put(out, head(c->job, model, chat ? "chat.completion.chunk" : "text_completion", choices)));
    tern_text_put(out, "\n\n");
    return tern_text_status(out);
}

tern_status tern_answer_error(tern_text *out, int status, const char *message, const char *field,
                              const char *code)
{
    const char *type = status == 429  ? "rate_limit_error"
                       : status < 500 ? "invalid_request_error"
                                      : "server_error";
    return put(out, json_pack("{s:{s:s,s:s,s:s?,s:s?}}", "error", "message", message, "type", type, "param",
                              field, "code", code));
}

tern_status tern_answer_models(tern_text *out, const char *model, int64_t created, bool one)
{
    json_t *entry = json_pack("{s:s,s:s,s:I,s:s}", "id", model, "object", "model", "created",
                              (json_int_t)created, "owned_by", "tern");
    return put(out, one ? entry : json_pack("{s:s,s:[o]}", "object", "list", "data", entry));
}

#endif
