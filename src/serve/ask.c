/* Requests as their JSON says them. */
#include "serve/ask.h"

#include "llm/beam.h"
#include "llm/grammar.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef TERN_HAVE_JANSSON
#include <jansson.h>

enum { MOST_PROMPTS = 64, MOST_INPUTS = 2048, MOST_BIASES = 1024 };

typedef tern_status tern_ask_reader(tern_asked *asked, const json_t *value);

typedef enum tern_field_kind {
    FIELD_REAL,
    FIELD_WHOLE,
    FIELD_TRUTH,
    FIELD_TEXT,
    FIELD_READ,   /* by a function of its own */
    FIELD_PASSED, /* has no meaning here, and changes no answer */
    FIELD_ABSENT  /* would change the answer, and cannot be had: only what says "not wanted" goes through */
} tern_field_kind;

/* One field of requests. */
typedef struct tern_field {
    const char *name;
    unsigned kinds; /* of requests that have it */
    tern_field_kind kind;
    size_t at; /* in tern_asked */
    double low, high;
    tern_ask_reader *read;
} tern_field;

static tern_status wrong(const char *field, const char *expected, const json_t *found)
{
    static const char *const names[] = {"an object", "a list", "a text", "a whole number",
                                        "a number",  "true",   "false",  "null"};
    return tern_fail(TERN_USAGE, "\"%s\" is %s, expected %s", field, names[json_typeof(found)], expected);
}

/* ---- fields with a reader of their own ------------------------------------------------------------------------------- */

static tern_status add_stop(tern_asked *a, const json_t *value)
{
    if (!json_is_string(value)) return wrong("stop", "a text or a list of texts", value);
    if (!json_string_length(value))
        return tern_fail(TERN_USAGE, "\"stop\" has an empty text, which would end every answer");
    if (a->stop_count == TERN_MOST_ASKED_STOPS)
        return tern_fail(TERN_USAGE, "\"stop\" has more than %d texts", TERN_MOST_ASKED_STOPS);
    const char *copy = tern_arena_string(&a->arena, json_string_value(value));
    if (!copy) return tern_no_memory(json_string_length(value), "a request");
    a->stops[a->stop_count++] = copy;
    return TERN_OK;
}

static tern_status read_stop(tern_asked *a, const json_t *value)
{
    if (!json_is_array(value)) return add_stop(a, value);
    for (size_t i = 0; i < json_array_size(value); i++) TERN_TRY(add_stop(a, json_array_get(value, i)));
    return TERN_OK;
}

/* The text of a message: itself, or the parts of a list, one behind the other. */
static tern_status put_content(tern_text *out, const json_t *content)
{
    tern_text_put(out, "");
    if (!content || json_is_null(content)) return TERN_OK;
    if (json_is_string(content)) {
        tern_text_add(out, json_string_value(content), json_string_length(content));
        return TERN_OK;
    }
    if (!json_is_array(content)) return wrong("content", "a text or a list of parts", content);
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *part = json_array_get(content, i), *text = json_object_get(part, "text");
        const char *type = json_string_value(json_object_get(part, "type"));
        if (!type || strcmp(type, "text") != 0 || !json_is_string(text))
            return tern_fail(TERN_USAGE,
                             "part %zu of \"content\" is no {\"type\": \"text\", \"text\": ..}: this "
                             "model reads nothing else",
                             i);
        tern_text_add(out, json_string_value(text), json_string_length(text));
    }
    return TERN_OK;
}

static tern_status add_message(tern_asked *a, const json_t *message)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    const json_t *role = json_object_get(message, "role");
    const char *said = json_is_string(role) ? json_string_value(role) : NULL, *known = NULL;
    tern_text content = {0};
    if (said && strcmp(said, "developer") == 0) said = "system"; /* its newer name */
    for (size_t i = 0; said && i < TERN_COUNT(roles); i++)
        if (strcmp(said, roles[i]) == 0) known = roles[i];
    if (!known)
        return tern_fail(TERN_USAGE,
                         "message %d has no \"role\" of system, developer, user, assistant or tool",
                         a->talk.count);
    tern_status status = put_content(&content, json_object_get(message, "content"));
    if (status == TERN_OK) status = tern_text_status(&content);
    if (status == TERN_OK) status = tern_conversation_add(&a->talk, known, content.data, content.size);
    tern_text_free(&content);
    return status;
}

static tern_status read_messages(tern_asked *a, const json_t *value)
{
    if (!json_is_array(value)) return wrong("messages", "a list", value);
    for (size_t i = 0; i < json_array_size(value); i++) TERN_TRY(add_message(a, json_array_get(value, i)));
    return TERN_OK;
}

static tern_status add_prompt(tern_asked *a, const json_t *value)
{
    tern_ask_prompt *p = &a->prompts[a->prompt_count];
    if (json_is_string(value)) {
        p->size = json_string_length(value);
        p->text = tern_arena_string(&a->arena, json_string_value(value));
        if (!p->text) return tern_no_memory(p->size, "a request");
    } else {
        int32_t *ids = tern_arena_take(&a->arena, (json_array_size(value) + 1) * sizeof *ids);
        if (!ids) return tern_no_memory(json_array_size(value) * sizeof *ids, "a request");
        for (size_t i = 0; i < json_array_size(value); i++) {
            const json_t *id = json_array_get(value, i);
            if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
                return tern_fail(TERN_USAGE, "\"%s\" has an element that is no token", a->field);
            ids[p->count++] = (int32_t)json_integer_value(id);
        }
        p->ids = ids;
    }
    a->prompt_count++;
    return TERN_OK;
}

/* A text, tokens, or a list of either. */
static tern_status read_prompt(tern_asked *a, const json_t *value)
{
    if (!json_is_string(value) && !json_is_array(value))
        return wrong(a->field, "a text, tokens, or a list of either", value);
    const json_t *first = json_array_get(value, 0);
    bool list = json_is_string(first) || json_is_array(first);
    size_t count = list ? json_array_size(value) : 1;
    size_t most = strcmp(a->field, "input") == 0 ? MOST_INPUTS : MOST_PROMPTS;
    if (count > most)
        return tern_fail(TERN_USAGE, "\"%s\" has %zu texts, expected at most %zu", a->field, count, most);
    a->prompts = tern_arena_take(&a->arena, count * sizeof *a->prompts);
    if (!a->prompts) return tern_no_memory(count * sizeof *a->prompts, "a request");
    if (!list) return add_prompt(a, value);
    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_array_get(value, i);
        if (!json_is_string(one) && !json_is_array(one))
            return wrong(a->field, "a text, tokens, or a list of either", one);
        TERN_TRY(add_prompt(a, one));
    }
    return TERN_OK;
}

static tern_status read_seed(tern_asked *a, const json_t *value)
{
    if (!json_is_integer(value)) return wrong("seed", "a whole number", value);
    a->sampling.seed = (uint64_t)json_integer_value(value);
    a->seeded = true;
    return TERN_OK;
}

static tern_status read_stream_options(tern_asked *a, const json_t *value)
{
    const json_t *usage = json_object_get(value, "include_usage");
    if (!json_is_object(value)) return wrong("stream_options", "an object", value);
    if (usage && !json_is_boolean(usage)) return wrong("include_usage", "true or false", usage);
    a->stream_usage = json_is_true(usage);
    return TERN_OK;
}

/* Of chats whether, of completions how many. */
static tern_status read_logprobs(tern_asked *a, const json_t *value)
{
    if (json_is_boolean(value)) {
        a->logprobs = json_is_true(value);
        return TERN_OK;
    }
    if (!json_is_integer(value)) return wrong("logprobs", "true, false or a number of tokens", value);
    if (json_integer_value(value) < 0 || json_integer_value(value) > 20)
        return tern_fail(TERN_USAGE, "\"logprobs\" is %lld, expected 0 to 20",
                         (long long)json_integer_value(value));
    a->logprobs = true;
    a->alternatives = (int)json_integer_value(value);
    return TERN_OK;
}

static tern_status read_logit_bias(tern_asked *a, const json_t *value)
{
    const char *key;
    json_t *bias;
    if (!json_is_object(value)) return wrong("logit_bias", "an object of tokens", value);
    if (json_object_size(value) > MOST_BIASES)
        return tern_fail(TERN_USAGE, "\"logit_bias\" has more than %d tokens", MOST_BIASES);
    tern_logit_bias *all = tern_arena_take(&a->arena, (json_object_size(value) + 1) * sizeof *all);
    if (!all) return tern_no_memory(json_object_size(value) * sizeof *all, "a request");
    a->sampling.bias = all;
    json_object_foreach((json_t *)(uintptr_t)value, key, bias)
    {
        char *end;
        errno = 0;
        long id = strtol(key, &end, 10);
        if (end == key || *end || errno || id < 0 || id > INT32_MAX)
            return tern_fail(TERN_USAGE, "\"logit_bias\" has a key \"%.32s\" that is no token", key);
        double x = json_number_value(bias);
        if (!json_is_number(bias) || x < -100 || x > 100)
            return tern_fail(TERN_USAGE, "\"logit_bias\" of token %ld is no number from -100 to 100", id);
        /* -100 is to forbid the token, as the API has it */
        all[a->sampling.bias_count++] = (tern_logit_bias){(int32_t)id, x <= -100 ? -INFINITY : (float)x};
    }
    return TERN_OK;
}

/* The grammar of a JSON schema. */
static tern_status use_schema(tern_asked *a, const char *schema)
{
    tern_text gbnf = {0};
    tern_status status = tern_schema_grammar(&gbnf, schema, strlen(schema));
    if (status == TERN_OK && !(a->grammar = tern_arena_string(&a->arena, gbnf.data)))
        status = tern_no_memory(gbnf.size, "a request");
    tern_text_free(&gbnf);
    return status;
}

static tern_status read_response_format(tern_asked *a, const json_t *value)
{
    const char *type = json_string_value(json_object_get(value, "type"));
    if (!json_is_object(value)) return wrong("response_format", "an object", value);
    if (type && strcmp(type, "text") == 0) return TERN_OK;
    if (type && strcmp(type, "json_object") == 0) return use_schema(a, "{\"type\": \"object\"}");
    if (!type || strcmp(type, "json_schema") != 0)
        return tern_fail(TERN_USAGE,
                         "\"response_format\" has no \"type\" of text, json_object or json_schema");
    const json_t *schema = json_object_get(json_object_get(value, "json_schema"), "schema");
    char *text = json_is_object(schema) ? json_dumps(schema, JSON_COMPACT) : NULL;
    json_free_t release;
    if (!text)
        return tern_fail(TERN_USAGE, "\"response_format\" has no object \"schema\" in its \"json_schema\"");
    json_get_alloc_funcs(NULL, &release);
    tern_status status = use_schema(a, text);
    release(text);
    return status;
}

static tern_status read_encoding_format(tern_asked *a, const json_t *value)
{
    const char *name = json_string_value(value);
    a->base64 = name && strcmp(name, "base64") == 0;
    if (a->base64 || (name && strcmp(name, "float") == 0)) return TERN_OK;
    return tern_fail(TERN_USAGE, "\"encoding_format\" is neither float nor base64");
}

/* ---- the table ---------------------------------------------------------------------------------------------------------- */

#define CHAT       TERN_ASK_CHAT
#define TEXT       TERN_ASK_TEXT
#define EMBED      TERN_ASK_EMBED
#define SPEAK      (CHAT | TEXT)
#define OF(member) offsetof(tern_asked, member)

/* The standard's fields, those of beams as vLLM names them, then the samplers that Tern has beside. */
static const tern_field fields[] = {
    {"model", SPEAK | EMBED, FIELD_TEXT, OF(model), 0, 0, NULL},
    {"messages", CHAT, FIELD_READ, 0, 0, 0, read_messages},
    {"prompt", TEXT, FIELD_READ, 0, 0, 0, read_prompt},
    {"input", EMBED, FIELD_READ, 0, 0, 0, read_prompt},
    {"max_tokens", SPEAK, FIELD_WHOLE, OF(most), 0, 1e6, NULL},
    {"max_completion_tokens", CHAT, FIELD_WHOLE, OF(most), 0, 1e6, NULL},
    {"n", SPEAK, FIELD_WHOLE, OF(choices), 1, 16, NULL},
    {"temperature", SPEAK, FIELD_REAL, OF(sampling.temperature), 0, 100, NULL},
    {"top_p", SPEAK, FIELD_REAL, OF(sampling.top_p), 0, 1, NULL},
    {"frequency_penalty", SPEAK, FIELD_REAL, OF(sampling.frequency_penalty), -2, 2, NULL},
    {"presence_penalty", SPEAK, FIELD_REAL, OF(sampling.presence_penalty), -2, 2, NULL},
    {"logit_bias", SPEAK, FIELD_READ, 0, 0, 0, read_logit_bias},
    {"seed", SPEAK, FIELD_READ, 0, 0, 0, read_seed},
    {"stop", SPEAK, FIELD_READ, 0, 0, 0, read_stop},
    {"stream", SPEAK, FIELD_TRUTH, OF(stream), 0, 0, NULL},
    {"stream_options", SPEAK, FIELD_READ, 0, 0, 0, read_stream_options},
    {"logprobs", SPEAK, FIELD_READ, 0, 0, 0, read_logprobs},
    {"top_logprobs", CHAT, FIELD_WHOLE, OF(alternatives), 0, 20, NULL},
    {"response_format", SPEAK, FIELD_READ, 0, 0, 0, read_response_format},
    {"encoding_format", EMBED, FIELD_READ, 0, 0, 0, read_encoding_format},
    {"user", SPEAK | EMBED, FIELD_PASSED, 0, 0, 0, NULL},
    {"metadata", SPEAK, FIELD_PASSED, 0, 0, 0, NULL},
    {"store", SPEAK, FIELD_PASSED, 0, 0, 0, NULL},
    {"service_tier", SPEAK, FIELD_PASSED, 0, 0, 0, NULL},
    {"parallel_tool_calls", CHAT, FIELD_PASSED, 0, 0, 0, NULL},
    {"tools", CHAT, FIELD_ABSENT, 0, 0, 0, NULL},
    {"tool_choice", CHAT, FIELD_ABSENT, 0, 0, 0, NULL},
    {"suffix", TEXT, FIELD_ABSENT, 0, 0, 0, NULL},
    {"echo", TEXT, FIELD_ABSENT, 0, 0, 0, NULL},
    {"use_beam_search", SPEAK, FIELD_TRUTH, OF(search), 0, 0, NULL},
    {"best_of", SPEAK, FIELD_WHOLE, OF(beams), 1, TERN_MOST_BEAMS, NULL},
    {"length_penalty", SPEAK, FIELD_REAL, OF(length_penalty), -10, 10, NULL},
    {"early_stopping", SPEAK, FIELD_TRUTH, OF(early), 0, 0, NULL},
    {"dimensions", EMBED, FIELD_ABSENT, 0, 0, 0, NULL},
    {"grammar", SPEAK, FIELD_TEXT, OF(grammar), 0, 0, NULL},
    {"top_k", SPEAK, FIELD_WHOLE, OF(sampling.top_k), 0, 1e6, NULL},
    {"min_p", SPEAK, FIELD_REAL, OF(sampling.min_p), 0, 1, NULL},
    {"typical_p", SPEAK, FIELD_REAL, OF(sampling.typical_p), 0, 1, NULL},
    {"repeat_penalty", SPEAK, FIELD_REAL, OF(sampling.repeat_penalty), 0.01, 100, NULL},
    {"penalty_last", SPEAK, FIELD_WHOLE, OF(sampling.penalty_last), -1, 1e6, NULL},
    {"dry_multiplier", SPEAK, FIELD_REAL, OF(sampling.dry_multiplier), 0, 100, NULL},
    {"dry_base", SPEAK, FIELD_REAL, OF(sampling.dry_base), 1, 100, NULL},
    {"dry_allowed", SPEAK, FIELD_WHOLE, OF(sampling.dry_allowed), 1, 1000, NULL},
    {"mirostat", SPEAK, FIELD_WHOLE, OF(sampling.mirostat), 0, 2, NULL},
    {"mirostat_tau", SPEAK, FIELD_REAL, OF(sampling.mirostat_tau), 0, 100, NULL},
    {"mirostat_eta", SPEAK, FIELD_REAL, OF(sampling.mirostat_eta), 0, 1, NULL},
};

/* What says that something is not wanted: false, nothing, or the one that there always is. */
static tern_status check_absent(const tern_field *f, const json_t *value)
{
    const char *text = json_string_value(value);
    bool empty = json_is_false(value) || (json_is_array(value) && !json_array_size(value)) ||
                 (text && (!*text || strcmp(text, "none") == 0)) || json_integer_value(value) == 1;
    return empty ? TERN_OK : tern_fail(TERN_USAGE, "\"%s\" is not supported by this server", f->name);
}

static tern_status read_number(void *member, const tern_field *f, const json_t *value)
{
    bool whole = f->kind == FIELD_WHOLE;
    if (!(whole ? json_is_integer(value) : json_is_number(value)))
        return wrong(f->name, whole ? "a whole number" : "a number", value);
    double x = json_number_value(value);
    if (x < f->low || x > f->high)
        return tern_fail(TERN_USAGE, "\"%s\" is %g, expected %g to %g", f->name, x, f->low, f->high);
    if (whole)
        *(int *)member = (int)x;
    else
        *(double *)member = x;
    return TERN_OK;
}

static tern_status read_field(tern_asked *a, const tern_field *f, const json_t *value)
{
    void *member = (char *)a + f->at;
    if (json_is_null(value) || f->kind == FIELD_PASSED) return TERN_OK;
    switch (f->kind) {
    case FIELD_TRUTH:
        if (!json_is_boolean(value)) return wrong(f->name, "true or false", value);
        *(bool *)member = json_is_true(value);
        return TERN_OK;
    case FIELD_TEXT:
        if (!json_is_string(value)) return wrong(f->name, "a text", value);
        *(const char **)member = tern_arena_string(&a->arena, json_string_value(value));
        return *(const char **)member ? TERN_OK : tern_no_memory(json_string_length(value), "a request");
    case FIELD_READ:
        return f->read(a, value);
    case FIELD_ABSENT:
        return check_absent(f, value);
    default:
        return read_number(member, f, value);
    }
}

/* Fields that only samples, or only beams, heed; a temperature of 0 asks for no sample. */
static void note_field(tern_asked *a, const tern_field *f, const json_t *value)
{
    bool member = f->kind == FIELD_REAL || f->kind == FIELD_WHOLE, zero = json_number_value(value) == 0;
    bool sampling = member && f->at >= OF(sampling) && f->at < OF(sampling) + sizeof a->sampling;
    if (json_is_null(value)) return;
    if (sampling && !(f->at == OF(sampling.temperature) && zero)) a->picking = f->name;
    if (f->read == read_logit_bias || f->read == read_seed) a->picking = f->name;
    if (f->kind != FIELD_READ && (f->at == OF(length_penalty) || f->at == OF(early))) a->searching = f->name;
}

/* What goes together with beams, and what does not. */
static tern_status check_beams(tern_asked *a)
{
    const char *const others[] = {a->picking, a->stop_count ? "stop" : NULL,
                                  a->grammar ? "grammar\" or \"response_format" : NULL,
                                  a->logprobs ? "logprobs" : NULL, a->stream ? "stream" : NULL};
    a->field = "use_beam_search";
    for (size_t i = 0; a->search && i < TERN_COUNT(others); i++)
        if (others[i])
            return tern_fail(TERN_USAGE, "\"use_beam_search\" does not go together with \"%s\"", others[i]);
    a->field = a->searching;
    if (!a->search && a->searching)
        return tern_fail(TERN_USAGE, "\"%s\" has no effect without \"use_beam_search\"", a->searching);
    a->field = "best_of";
    if (!a->search && a->beams > 1 && a->beams != a->choices)
        return tern_fail(TERN_USAGE, "\"best_of\" is %d, expected 1 or \"n\", but with \"use_beam_search\"",
                         a->beams);
    if (!a->beams) a->beams = a->choices;
    if (a->search && a->beams < a->choices)
        return tern_fail(TERN_USAGE, "\"best_of\" is %d, expected \"n\" (%d) or more", a->beams, a->choices);
    return TERN_OK;
}

static tern_status unknown_field(const char *name, tern_ask_kind kind)
{
    const char *known[TERN_COUNT(fields)];
    size_t count = 0;
    for (size_t i = 0; i < TERN_COUNT(fields); i++)
        if (fields[i].kinds & kind) known[count++] = fields[i].name;
    const char *near = tern_nearest(name, known, count);
    return tern_fail(TERN_USAGE, "\"%.64s\" is not known here%s%s%s", name, near ? "; did you mean \"" : "",
                     near ? near : "", near ? "\"?" : "");
}

static tern_status read_object(tern_asked *a, tern_ask_kind kind, const json_t *object)
{
    const char *name;
    json_t *value;
    if (!json_is_object(object)) return wrong("the request", "an object", object);
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const tern_field *f = NULL;
        for (size_t i = 0; !f && i < TERN_COUNT(fields); i++)
            if ((fields[i].kinds & kind) && strcmp(fields[i].name, name) == 0) f = &fields[i];
        a->field = f ? f->name : NULL;
        if (!f) return unknown_field(name, kind);
        TERN_TRY(read_field(a, f, value));
        note_field(a, f, value);
    }
    a->field = tern_ask_subject(kind);
    if (!a->talk.count && !a->prompt_count)
        return tern_fail(TERN_USAGE, "\"%s\" is missing: expected at least one", a->field);
    a->field = "top_logprobs";
    if (kind == TERN_ASK_CHAT && a->alternatives >= 0 && !a->logprobs)
        return tern_fail(TERN_USAGE, "\"top_logprobs\" needs \"logprobs\": true");
    TERN_TRY(check_beams(a));
    a->field = NULL;
    return TERN_OK;
}

tern_status tern_ask_read(tern_asked *a, tern_ask_kind kind, const char *body, size_t size)
{
    json_error_t error;
    a->most = kind == TERN_ASK_TEXT ? 16 : -1; /* as the API has it */
    a->choices = 1;
    a->length_penalty = 1;
    a->alternatives = -1;
    a->sampling = tern_sampling_standard();
    json_t *object = json_loadb(body ? body : "", size, JSON_REJECT_DUPLICATES, &error);
    if (!object)
        return tern_fail(TERN_USAGE, "the request is no JSON: line %d, column %d: %s", error.line,
                         error.column, error.text);
    tern_status status = read_object(a, kind, object);
    json_decref(object);
    return status;
}

#else

tern_status tern_ask_read(tern_asked *asked, tern_ask_kind kind, const char *body, size_t size)
{
    (void)asked, (void)kind, (void)body, (void)size;
    return tern_fail(TERN_FAILED, "this tern was built without jansson, which requests are read with");
}

#endif

const char *tern_ask_subject(tern_ask_kind kind)
{
    return kind == TERN_ASK_CHAT ? "messages" : kind == TERN_ASK_TEXT ? "prompt" : "input";
}

void tern_asked_free(tern_asked *a)
{
    tern_conversation_free(&a->talk);
    tern_arena_free(&a->arena);
    *a = (tern_asked){0};
}
