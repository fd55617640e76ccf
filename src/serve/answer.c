/* Answers as JSON. */
#include "serve/answer.h"

#include "llm/unicode.h"

#ifdef TERN_HAVE_JANSSON
#include <jansson.h>
#include <string.h>

/* Takes the reference. */
static tern_status put(tern_text *out, json_t *document)
{
    char *text = document ? json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_free_t release;
    json_decref(document);
    if (!text) return tern_no_memory(0, "an answer");
    json_get_alloc_funcs(NULL, &release);
    tern_text_put(out, text);
    release(text);
    return tern_text_status(out);
}

static tern_status put_event(tern_text *out, json_t *document)
{
    tern_text_put(out, "data: ");
    TERN_TRY(put(out, document));
    tern_text_put(out, "\n\n");
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

/* ---- log-probabilities ---------------------------------------------------------------------------------------------------- */

/* What a token adds, as text: bytes that are no UTF-8 by themselves as U+FFFD. */
static json_t *spelled(const tern_answerer *by, int32_t id)
{
    size_t size;
    tern_text text = {0};
    const char *bytes = tern_token_bytes(by->tokenizer, id, &size);
    tern_text_put(&text, "");
    tern_utf8_mend(&text, bytes, size, false);
    json_t *string = text.failed ? NULL : json_stringn(text.data, text.size);
    tern_text_free(&text);
    return string;
}

static json_t *chat_token(const tern_answerer *by, int32_t id, double log_probability)
{
    size_t size;
    const char *bytes = tern_token_bytes(by->tokenizer, id, &size);
    json_t *list = json_array();
    for (size_t i = 0; i < size; i++) json_array_append_new(list, json_integer((uint8_t)bytes[i]));
    return json_pack("{s:o,s:f,s:o}", "token", spelled(by, id), "logprob", log_probability, "bytes", list);
}

/* Tokens from .. to - 1 of a reply, as chats have them. */
static json_t *chat_logprobs(const tern_answerer *by, const tern_choice *c, size_t from, size_t to)
{
    const tern_reply *r = &c->reply;
    json_t *content = json_array();
    size_t count = c->job->asked.alternatives > 0 ? (size_t)c->job->asked.alternatives : 0;
    for (size_t i = from; i < to; i++) {
        json_t *token = chat_token(by, r->tokens.ids[i], r->log_probabilities[i]), *top = json_array();
        for (size_t k = 0; k < count; k++) {
            const tern_log_probability *p = &r->likeliest[i * count + k];
            json_array_append_new(top, chat_token(by, p->id, p->log_probability));
        }
        json_object_set_new(token, "top_logprobs", top);
        json_array_append_new(content, token);
    }
    return json_pack("{s:o,s:n}", "content", content, "refusal");
}

/* The same as completions have them. */
static json_t *text_logprobs(const tern_answerer *by, const tern_choice *c, size_t from, size_t to)
{
    const tern_reply *r = &c->reply;
    json_t *tokens = json_array(), *own = json_array(), *top = json_array(), *offsets = json_array();
    size_t count = c->job->asked.alternatives > 0 ? (size_t)c->job->asked.alternatives : 0, characters = 0;
    for (size_t i = 0; i < to; i++) {
        size_t size, at = characters;
        const char *bytes = tern_token_bytes(by->tokenizer, r->tokens.ids[i], &size);
        for (size_t b = 0; b < size; b++) characters += ((uint8_t)bytes[b] & 0xc0) != 0x80;
        if (i < from) continue;
        json_array_append_new(tokens, spelled(by, r->tokens.ids[i]));
        json_array_append_new(own, json_real(r->log_probabilities[i]));
        json_array_append_new(offsets, json_integer((json_int_t)at));
        json_t *likeliest = json_object();
        for (size_t k = 0; k < count; k++) {
            const tern_log_probability *p = &r->likeliest[i * count + k];
            json_t *key = spelled(by, p->id);
            if (key && !json_object_get(likeliest, json_string_value(key))) /* the first of equal spellings */
                json_object_set_new(likeliest, json_string_value(key), json_real(p->log_probability));
            json_decref(key);
        }
        json_array_append_new(top, likeliest);
    }
    return json_pack("{s:o,s:o,s:o,s:o}", "tokens", tokens, "token_logprobs", own, "top_logprobs", top,
                     "text_offset", offsets);
}

static json_t *logprobs(const tern_answerer *by, const tern_choice *c, size_t from, size_t to)
{
    if (!c->job->asked.logprobs) return json_null();
    return c->job->kind == TERN_ASK_CHAT ? chat_logprobs(by, c, from, to) : text_logprobs(by, c, from, to);
}

/* ---- answers -------------------------------------------------------------------------------------------------------------- */

static json_t *choice_json(const tern_answerer *by, const tern_choice *c)
{
    const tern_text *t = &c->reply.text;
    json_t *text = json_stringn(t->data ? t->data : "", t->size);
    json_t *probabilities = logprobs(by, c, 0, c->reply.tokens.count);
    if (c->job->kind == TERN_ASK_CHAT)
        return json_pack("{s:i,s:{s:s,s:o,s:n},s:o,s:s}", "index", c->index, "message", "role", "assistant",
                         "content", text, "refusal", "logprobs", probabilities, "finish_reason",
                         reason(&c->reply));
    return json_pack("{s:i,s:o,s:o,s:s}", "index", c->index, "text", text, "logprobs", probabilities,
                     "finish_reason", reason(&c->reply));
}

/* What every answer of a job begins with; takes the reference of the choices. */
static json_t *head(const tern_answerer *by, const tern_job *job, const char *chat, json_t *choices)
{
    return json_pack("{s:s,s:s,s:I,s:s,s:o}", "id", job->id, "object",
                     job->kind == TERN_ASK_CHAT ? chat : "text_completion", "created",
                     (json_int_t)job->created, "model", by->model, "choices", choices);
}

tern_status tern_answer_whole(tern_text *out, const tern_answerer *by, const tern_job *job)
{
    json_t *choices = json_array();
    for (int i = 0; i < job->choice_count; i++)
        json_array_append_new(choices, choice_json(by, &job->choices[i]));
    json_t *all = head(by, job, "chat.completion", choices);
    json_object_set_new(all, "usage", usage(job));
    return put(out, all);
}

tern_status tern_answer_part(tern_text *out, const tern_answerer *by, tern_choice *c, const char *text,
                             size_t size, bool last)
{
    json_t *ending = last ? json_string(reason(&c->reply)) : json_null(), *one;
    json_t *probabilities = logprobs(by, c, c->told, c->reply.tokens.count);
    c->told = c->reply.tokens.count;
    if (c->job->kind == TERN_ASK_CHAT) {
        json_t *delta = json_object();
        if (text) json_object_set_new(delta, "content", json_stringn(text, size));
        if (text && !size) json_object_set_new(delta, "role", json_string("assistant"));
        one = json_pack("{s:i,s:o,s:o,s:o}", "index", c->index, "delta", delta, "logprobs", probabilities,
                        "finish_reason", ending);
    } else {
        one = json_pack("{s:i,s:o,s:o,s:o}", "index", c->index, "text", json_stringn(text ? text : "", size),
                        "logprobs", probabilities, "finish_reason", ending);
    }
    json_t *choices = json_array();
    json_array_append_new(choices, one);
    return put_event(out, head(by, c->job, "chat.completion.chunk", choices));
}

tern_status tern_answer_usage(tern_text *out, const tern_answerer *by, const tern_job *job)
{
    json_t *all = head(by, job, "chat.completion.chunk", json_array());
    json_object_set_new(all, "usage", usage(job));
    return put_event(out, all);
}

static json_t *base64_of(const float *vector, int width)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *bytes = (const uint8_t *)vector; /* little-endian, as every machine that this runs on */
    size_t count = (size_t)width * sizeof *vector;
    tern_text out = {0};
    for (size_t i = 0; i < count; i += 3) {
        uint32_t b = (uint32_t)bytes[i] << 16;
        if (i + 1 < count) b |= (uint32_t)bytes[i + 1] << 8;
        if (i + 2 < count) b |= bytes[i + 2];
        char four[4] = {digits[b >> 18], digits[b >> 12 & 63], i + 1 < count ? digits[b >> 6 & 63] : '=',
                        i + 2 < count ? digits[b & 63] : '='};
        tern_text_add(&out, four, 4);
    }
    json_t *text = out.failed ? NULL : json_stringn(out.data, out.size);
    tern_text_free(&out);
    return text;
}

static json_t *numbers_of(const float *vector, int width)
{
    json_t *list = json_array();
    for (int i = 0; i < width; i++) json_array_append_new(list, json_real((double)vector[i]));
    return list;
}

tern_status tern_answer_embeddings(tern_text *out, const tern_answerer *by, const float *vectors, int count,
                                   int width, int tokens, bool base64)
{
    json_t *data = json_array();
    for (int i = 0; i < count; i++) {
        const float *v = vectors + (size_t)i * (size_t)width;
        json_array_append_new(data, json_pack("{s:s,s:i,s:o}", "object", "embedding", "index", i, "embedding",
                                              base64 ? base64_of(v, width) : numbers_of(v, width)));
    }
    return put(out, json_pack("{s:s,s:o,s:s,s:{s:i,s:i}}", "object", "list", "data", data, "model", by->model,
                              "usage", "prompt_tokens", tokens, "total_tokens", tokens));
}

tern_status tern_answer_error(tern_text *out, int status, const char *message, const char *field,
                              const char *code)
{
    const char *type = status == 429   ? "rate_limit_error"
                       : status == 401 ? "authentication_error"
                       : status < 500  ? "invalid_request_error"
                                       : "server_error";
    return put(out, json_pack("{s:{s:s,s:s,s:s?,s:s?}}", "error", "message", message, "type", type, "param",
                              field, "code", code));
}

static json_t *model_json(const char *model, int64_t created)
{
    return json_pack("{s:s,s:s,s:I,s:s}", "id", model, "object", "model", "created", (json_int_t)created,
                     "owned_by", "tern");
}

tern_status tern_answer_models(tern_text *out, const char *model, const char *other, int64_t created,
                               bool one)
{
    if (one) return put(out, model_json(model, created));
    json_t *list = json_array();
    json_array_append_new(list, model_json(model, created));
    if (other) json_array_append_new(list, model_json(other, created));
    return put(out, json_pack("{s:s,s:o}", "object", "list", "data", list));
}

#endif
