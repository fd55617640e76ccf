/* Questions of several authors become contexts and texts behind them. */
#include "llm/questions.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>

typedef struct tern_asking {
    tern_questions *questions;
    const char *preamble;
    tern_question *now;
} tern_asking;

void tern_questions_free(tern_questions *q)
{
    tern_release(q->list);
    tern_arena_free(&q->arena);
    *q = (tern_questions){0};
}

/* ---- a question ------------------------------------------------------------------------------------------------------ */

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static tern_status begin(tern_asking *a, size_t count, int right)
{
    tern_arena *arena = &a->questions->arena;
    tern_question *q = a->now;
    if (count < 2 || count > 100)
        return tern_fail(TERN_FAILED, "it has %zu choices, expected 2 to 100", count);
    if (right < 0) return tern_fail(TERN_FAILED, "it does not tell which of its choices is right");
    if ((size_t)right >= count)
        return tern_fail(TERN_FAILED, "its answer is choice %d of %zu, counted from 0", right, count);
    q->contexts = tern_arena_take(arena, count * sizeof *q->contexts);
    q->texts = tern_arena_take(arena, count * sizeof *q->texts);
    q->right = right;
    return q->contexts && q->texts ? TERN_OK : tern_no_memory(2 * count * sizeof *q->texts, "a question");
}

static tern_status add(tern_asking *a, const char *context, const char *before, const char *text)
{
    tern_arena *arena = &a->questions->arena;
    tern_question *q = a->now;
    if (!text) return tern_fail(TERN_FAILED, "its choice %d is no text", q->count);
    char *all = tern_arena_format(arena, "%s%s", a->preamble ? a->preamble : "", context);
    char *behind = tern_arena_format(arena, "%s%s", before, text);
    if (!all || !behind) return tern_no_memory(strlen(context) + strlen(text), "a question");
    q->contexts[q->count] = all;
    q->texts[q->count++] = behind;
    return TERN_OK;
}

/* A label that is a number, or the text of one. */
static int number_of(const json_t *value)
{
    const char *text = json_string_value(value);
    if (json_is_integer(value)) return (int)json_integer_value(value);
    return text && isdigit((unsigned char)text[0]) && !text[1] ? text[0] - '0' : -1;
}

/* ---- who asks --------------------------------------------------------------------------------------------------------- */

static tern_status plain(tern_asking *a, const json_t *o)
{
    const json_t *choices = json_object_get(o, "choices");
    const char *query = text_of(o, "query");
    if (!query) return tern_fail(TERN_FAILED, "\"query\" is no text");
    TERN_TRY(begin(a, json_array_size(choices), number_of(json_object_get(o, "gold"))));
    for (size_t i = 0; i < json_array_size(choices); i++)
        TERN_TRY(add(a, query, " ", json_string_value(json_array_get(choices, i))));
    return TERN_OK;
}

/* WikiHow's texts have marks: " [title]" ends a sentence, other brackets go, and so does one of two spaces. */
static char *clean(tern_arena *arena, const char *text)
{
    static const char title[] = " [title]";
    while (isspace((unsigned char)*text)) text++;
    size_t size = strlen(text), n = 0;
    while (size > 0 && isspace((unsigned char)text[size - 1])) size--;
    char *once = tern_arena_take(arena, size + 1), *out = tern_arena_take(arena, size + 1);
    if (!once || !out) return NULL;
    for (size_t i = 0; i < size;) {
        const char *end = text[i] == '[' ? memchr(text + i, ']', size - i) : NULL;
        bool titled = size - i >= sizeof title - 1 && strncmp(text + i, title, sizeof title - 1) == 0;
        if (titled) {
            once[n++] = '.';
            once[n++] = ' ';
            i += sizeof title - 1;
        } else if (end) {
            i = (size_t)(end - text) + 1;
        } else {
            once[n++] = text[i++];
        }
    }
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        out[m++] = once[i];
        if (once[i] == ' ' && i + 1 < n && once[i + 1] == ' ') i++;
    }
    return out;
}

static tern_status hellaswag(tern_asking *a, const json_t *o)
{
    tern_arena *arena = &a->questions->arena;
    const json_t *endings = json_object_get(o, "endings");
    const char *activity = text_of(o, "activity_label"), *first = text_of(o, "ctx_a"),
               *second = text_of(o, "ctx_b");
    char *context = NULL;
    if (first && second) {
        context = tern_arena_format(arena, "%s%s%s %s", activity ? activity : "", activity ? ": " : "", first,
                                    second);
        char *at = context ? context + strlen(context) - strlen(second) : NULL;
        for (int i = 0; at && at[i]; i++) /* a sentence of its own */
            at[i] = (char)(i ? tolower((unsigned char)at[i]) : toupper((unsigned char)at[i]));
    } else if (text_of(o, "ctx")) {
        context = tern_arena_format(arena, "%s%s%s", activity ? activity : "", activity ? ": " : "",
                                    text_of(o, "ctx"));
    } else {
        return tern_fail(TERN_FAILED, "it has endings, but neither \"ctx_a\" and \"ctx_b\" nor \"ctx\"");
    }
    char *query = context ? clean(arena, context) : NULL;
    if (!query) return tern_no_memory(0, "a question");
    TERN_TRY(begin(a, json_array_size(endings), number_of(json_object_get(o, "label"))));
    for (size_t i = 0; i < json_array_size(endings); i++) {
        const char *ending = json_string_value(json_array_get(endings, i));
        TERN_TRY(add(a, query, " ", ending ? clean(arena, ending) : NULL));
    }
    return TERN_OK;
}

/* Its key is a label of one of the choices; they are two lists, or a list of pairs. */
static tern_status arc(tern_asking *a, const json_t *o)
{
    const json_t *question = json_object_get(o, "question");
    bool nested = json_is_object(question);
    const char *asked = nested ? text_of(question, "stem") : json_string_value(question),
               *key = text_of(o, "answerKey");
    const json_t *choices = json_object_get(nested ? question : o, "choices");
    const json_t *texts = json_object_get(choices, "text"), *labels = json_object_get(choices, "label");
    size_t count = json_array_size(json_is_array(choices) ? choices : texts);
    int right = -1;
    if (!asked || !key) return tern_fail(TERN_FAILED, "its %s is no text", asked ? "answerKey" : "question");
    for (size_t i = 0; i < count; i++) {
        const json_t *pair = json_array_get(choices, i);
        const char *label = pair ? text_of(pair, "label") : json_string_value(json_array_get(labels, i));
        if (label && strcmp(label, key) == 0) right = (int)i;
    }
    char *query = tern_arena_format(&a->questions->arena, "Question: %s\nAnswer:", asked);
    if (!query) return tern_no_memory(strlen(asked), "a question");
    TERN_TRY(begin(a, count, right));
    for (size_t i = 0; i < count; i++) {
        const json_t *pair = json_array_get(choices, i);
        TERN_TRY(
            add(a, query, " ", pair ? text_of(pair, "text") : json_string_value(json_array_get(texts, i))));
    }
    return TERN_OK;
}

/* What stands behind the gap is judged, with either word in it. */
static tern_status winogrande(tern_asking *a, const json_t *o)
{
    const char *sentence = text_of(o, "sentence"), *gap = sentence ? strchr(sentence, '_') : NULL;
    const char *words[] = {text_of(o, "option1"), text_of(o, "option2")};
    if (!gap || !words[0] || !words[1])
        return tern_fail(TERN_FAILED,
                         "expected a \"sentence\" with a gap \"_\", \"option1\" and \"option2\"");
    TERN_TRY(begin(a, 2, number_of(json_object_get(o, "answer")) - 1));
    const char *rest = gap + 1;
    while (*rest == ' ') rest++;
    for (int i = 0; i < 2; i++) {
        char *context =
            tern_arena_format(&a->questions->arena, "%.*s%s", (int)(gap - sentence), sentence, words[i]);
        if (!context) return tern_no_memory(strlen(sentence), "a question");
        TERN_TRY(add(a, context, " ", rest));
    }
    return TERN_OK;
}

/* mc1: one answer of all is true; an object {answer: 0 or 1}, or two lists. */
static tern_status truthful(tern_asking *a, const json_t *o)
{
    const json_t *targets = json_object_get(o, "mc1_targets");
    json_t *texts = json_object_get(targets, "choices"), *labels = json_object_get(targets, "labels");
    const char *asked = text_of(o, "question");
    if (!asked) return tern_fail(TERN_FAILED, "\"question\" is no text");
    char *query = tern_arena_format(&a->questions->arena, "Q: %s\nA:", asked);
    if (!query) return tern_no_memory(strlen(asked), "a question");
    bool lists = json_is_array(texts);
    size_t count = lists ? json_array_size(texts) : json_object_size(targets), at = 0;
    int right = -1;
    for (void *i = json_object_iter((json_t *)(uintptr_t)targets); !lists && i; at++) {
        if (number_of(json_object_iter_value(i)) == 1) right = (int)at;
        i = json_object_iter_next((json_t *)(uintptr_t)targets, i);
    }
    for (size_t i = 0; lists && i < count; i++)
        if (number_of(json_array_get(labels, i)) == 1) right = (int)i;
    TERN_TRY(begin(a, count, right));
    for (size_t i = 0; lists && i < count; i++)
        TERN_TRY(add(a, query, " ", json_string_value(json_array_get(texts, i))));
    for (void *i = json_object_iter((json_t *)(uintptr_t)targets); !lists && i;) {
        TERN_TRY(add(a, query, " ", json_object_iter_key(i)));
        i = json_object_iter_next((json_t *)(uintptr_t)targets, i);
    }
    return TERN_OK;
}

/* By a key that only its questions have. */
static const struct {
    const char *key;
    tern_status (*read)(tern_asking *a, const json_t *o);
} kinds[] = {
    {"endings", hellaswag},    {"answerKey", arc}, {"option1", winogrande},
    {"mc1_targets", truthful}, {"query", plain},
};

static tern_status read_one(tern_asking *a, const json_t *o)
{
    tern_questions *q = a->questions;
    if (q->count == q->room) {
        int more = q->room ? 2 * q->room : 256;
        void *bigger =
            tern_resize(q->list, (size_t)q->room * sizeof *q->list, (size_t)more * sizeof *q->list);
        if (!bigger) return tern_no_memory((size_t)more * sizeof *q->list, "questions");
        q->list = bigger;
        q->room = more;
    }
    a->now = &q->list[q->count];
    *a->now = (tern_question){0};
    for (size_t k = 0; k < TERN_COUNT(kinds); k++) {
        if (!json_object_get(o, kinds[k].key)) continue;
        TERN_TRY(kinds[k].read(a, o));
        q->count++;
        return TERN_OK;
    }
    return tern_fail(TERN_FAILED,
                     "expected an object with endings (HellaSwag), answerKey (ARC), option1 (WinoGrande), "
                     "mc1_targets (TruthfulQA), or query, choices and gold");
}

/* ---- a file ------------------------------------------------------------------------------------------------------------- */

static tern_status read_list(tern_asking *a, const json_t *list, const char *path, int limit)
{
    for (size_t i = 0; i < json_array_size(list) && (limit == 0 || (int)i < limit); i++) {
        tern_status status = read_one(a, json_array_get(list, i));
        if (status != TERN_OK) return tern_in(status, "%s: question %zu", path, i + 1);
    }
    return TERN_OK;
}

static tern_status read_lines(tern_asking *a, const char *text, size_t size, const char *path, int limit)
{
    const char *end = text + size;
    for (int line = 1; text < end && (limit == 0 || a->questions->count < limit); line++) {
        json_error_t error;
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((stop ? stop : end) - text);
        size_t blank = 0;
        while (blank < length && isspace((unsigned char)text[blank])) blank++;
        json_t *o = blank < length ? json_loadb(text, length, 0, &error) : NULL;
        if (!o && blank < length)
            return tern_fail(TERN_FAILED, "%s:%d:%d: %s", path, line, error.column, error.text);
        tern_status status = o ? read_one(a, o) : TERN_OK;
        json_decref(o);
        if (status != TERN_OK) return tern_in(status, "%s:%d", path, line);
        text += length + 1;
    }
    return TERN_OK;
}

tern_status tern_questions_parse(tern_questions *q, const char *text, size_t size, const char *name,
                                 const char *preamble, int limit)
{
    tern_asking a = {.questions = q, .preamble = preamble};
    size_t at = 0;
    json_error_t error;
    while (at < size && isspace((unsigned char)text[at])) at++;
    if (at < size && text[at] == '[') {
        json_t *list = json_loadb(text, size, 0, &error);
        if (!list) return tern_fail(TERN_FAILED, "%s:%d:%d: %s", name, error.line, error.column, error.text);
        tern_status status = read_list(&a, list, name, limit);
        json_decref(list);
        TERN_TRY(status);
    } else {
        TERN_TRY(read_lines(&a, text, size, name, limit));
    }
    return q->count ? TERN_OK : tern_fail(TERN_FAILED, "%s has no questions", name);
}

tern_status tern_questions_read(tern_questions *q, const char *path, const char *preamble, int limit)
{
    char *text;
    size_t size;
    TERN_TRY(tern_read_file(path, &text, &size));
    tern_status status = tern_questions_parse(q, text, size, path, preamble, limit);
    tern_release(text);
    return status;
}
