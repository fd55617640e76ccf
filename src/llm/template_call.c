/* Functions and methods of templates. */
#define _GNU_SOURCE
#include "llm/template_parts.h"
#include "llm/tokenizer_parts.h"

#include <string.h>
#include <time.h>

const tern_var *tern_argument(const tern_call_arguments *args, size_t i, const char *name)
{
    return i < args->count ? &args->items[i] : name ? tern_var_get(&args->named, name, strlen(name)) : NULL;
}

/* An argument that must be a text when it is given; NULL otherwise. */
static tern_status text_argument(tern_render *r, const tern_call_arguments *args, size_t i, const char *what,
                                 const tern_var **out)
{
    *out = tern_argument(args, i, NULL);
    if (*out && (*out)->kind == TERN_VAR_NONE) *out = NULL;
    if (*out && (*out)->kind != TERN_VAR_TEXT)
        return tern_render_fail(r, "%s: argument %zu is %s, expected a text", what, i + 1,
                                tern_var_type(*out));
    return TERN_OK;
}

static tern_status need_text(tern_render *r, const tern_call_arguments *args, size_t i, const char *what,
                             const tern_var **out)
{
    TERN_TRY(text_argument(r, args, i, what, out));
    if (*out) return TERN_OK;
    tern_render_fail(r, "%s: argument %zu is missing, expected a text", what, i + 1);
    return TERN_FAILED;
}

/* ---- methods of texts ------------------------------------------------------------------------------------------------ */

static const char *const methods[] = {
    "strip",      "lstrip", "rstrip",  "split",      "startswith", "endswith", "upper",   "lower", "title",
    "capitalize", "find",   "replace", "splitlines", "join",       "count",    "isdigit", "format"};

bool tern_is_text_method(const char *name, size_t size)
{
    for (size_t i = 0; i < TERN_COUNT(methods); i++)
        if (strlen(methods[i]) == size && memcmp(methods[i], name, size) == 0) return true;
    return false;
}

/* Is the character one of `set`, or (no set) white space as Python has it? */
static bool stripped(uint32_t code, const tern_var *set)
{
    if (!set) return tern_is_space(code) || (code >= 0x1C && code <= 0x1F);
    for (size_t at = 0; at < set->size;) {
        uint32_t c;
        bool valid;
        at += tern_utf8_decode(set->text + at, set->size - at, &c, &valid);
        if (c == code) return true;
    }
    return false;
}

static tern_var strip(const tern_var *v, const tern_var *set, bool left, bool right)
{
    size_t begin = 0, end = v->size;
    uint32_t code;
    bool valid;
    while (left && begin < end) {
        size_t length = tern_utf8_decode(v->text + begin, end - begin, &code, &valid);
        if (!stripped(code, set)) break;
        begin += length;
    }
    while (right && end > begin) {
        size_t at = end - 1;
        while (at > begin && ((uint8_t)v->text[at] & 0xC0) == 0x80) at--;
        tern_utf8_decode(v->text + at, end - at, &code, &valid);
        if (!stripped(code, set)) break;
        end = at;
    }
    return tern_var_text(v->text + begin, end - begin);
}

static tern_status split_words(tern_render *r, const tern_var *v, tern_var *out)
{
    size_t begin = 0;
    for (size_t at = 0, length; at <= v->size; at += length) {
        uint32_t code = ' ';
        bool valid;
        length = at < v->size ? tern_utf8_decode(v->text + at, v->size - at, &code, &valid) : 1;
        if (!stripped(code, NULL)) continue;
        if (at > begin) TERN_TRY(tern_var_append(r, out->list, tern_var_text(v->text + begin, at - begin)));
        begin = at + length;
    }
    return TERN_OK;
}

static tern_status split(tern_render *r, const tern_var *v, const tern_call_arguments *args, tern_var *out)
{
    const tern_var *by, *most = tern_argument(args, 1, "maxsplit");
    int64_t left = most && most->kind == TERN_VAR_INT ? most->whole : -1;
    size_t from = 0;
    TERN_TRY(text_argument(r, args, 0, "split", &by));
    TERN_TRY(tern_var_new_list(r, out));
    if (!by) return split_words(r, v, out);
    if (!by->size) return tern_render_fail(r, "split: by an empty text");
    while (left-- != 0) {
        const char *at = memmem(v->text + from, v->size - from, by->text, by->size);
        if (!at) break;
        size_t begin = (size_t)(at - v->text);
        TERN_TRY(tern_var_append(r, out->list, tern_var_text(v->text + from, begin - from)));
        from = begin + by->size;
    }
    return tern_var_append(r, out->list, tern_var_text(v->text + from, v->size - from));
}

static tern_status split_lines(tern_render *r, const tern_var *v, tern_var *out)
{
    TERN_TRY(tern_var_new_list(r, out));
    for (size_t from = 0; from < v->size;) {
        size_t to = from;
        while (to < v->size && v->text[to] != '\n' && v->text[to] != '\r') to++;
        TERN_TRY(tern_var_append(r, out->list, tern_var_text(v->text + from, to - from)));
        from = to + 1 + (to + 1 < v->size && v->text[to] == '\r' && v->text[to + 1] == '\n');
    }
    return TERN_OK;
}

/* 'u' upper, 'l' lower, 't' each word, 'c' the first letter. */
static tern_status change_case(tern_render *r, const tern_var *v, char how, tern_var *out)
{
    tern_text text = {0};
    bool letter_before = false;
    for (size_t at = 0; at < v->size;) {
        uint32_t code;
        bool valid;
        size_t length = tern_utf8_decode(v->text + at, v->size - at, &code, &valid);
        bool up = how == 'u' || (how == 't' && !letter_before) || (how == 'c' && at == 0);
        letter_before = tern_category_of(code) <= TERN_LO;
        if (up)
            tern_put_upper(&text, code);
        else
            tern_put_lower(&text, code);
        at += length;
    }
    return tern_var_copy_text(r, &text, out);
}

static tern_status replace(tern_render *r, const tern_var *v, const tern_call_arguments *args, tern_var *out)
{
    const tern_var *from, *to, *most = tern_argument(args, 2, "count");
    int64_t left = most && most->kind == TERN_VAR_INT ? most->whole : -1;
    tern_text text = {0};
    size_t at = 0;
    TERN_TRY(need_text(r, args, 0, "replace", &from));
    TERN_TRY(need_text(r, args, 1, "replace", &to));
    if (!from->size) return tern_render_fail(r, "replace: of an empty text");
    while (left-- != 0) {
        const char *found = memmem(v->text + at, v->size - at, from->text, from->size);
        if (!found) break;
        tern_text_add(&text, v->text + at, (size_t)(found - v->text) - at);
        tern_text_add(&text, to->text, to->size);
        at = (size_t)(found - v->text) + from->size;
    }
    tern_text_add(&text, v->text + at, v->size - at);
    return tern_var_copy_text(r, &text, out);
}

static tern_status begins_or_ends(tern_render *r, const tern_var *v, const tern_var *what, bool end,
                                  tern_var *out)
{
    bool truth = false;
    tern_var one = {.kind = TERN_VAR_LIST};
    if (what && what->kind == TERN_VAR_LIST) /* any of a tuple */
        for (size_t i = 0; i < what->list->count && !truth; i++) {
            TERN_TRY(begins_or_ends(r, v, &what->list->items[i], end, &one));
            truth = one.truth;
        }
    else if (!what || what->kind != TERN_VAR_TEXT)
        return tern_render_fail(r, "%s: expected a text", end ? "endswith" : "startswith");
    else
        truth = v->size >= what->size &&
                memcmp(v->text + (end ? v->size - what->size : 0), what->text, what->size) == 0;
    *out = tern_var_truth(truth);
    return TERN_OK;
}

static tern_status search(tern_render *r, const tern_var *v, const tern_call_arguments *args, bool count,
                          tern_var *out)
{
    const tern_var *what;
    int64_t found = 0, first = -1;
    TERN_TRY(need_text(r, args, 0, count ? "count" : "find", &what));
    for (size_t at = 0; what->size && at < v->size;) {
        const char *p = memmem(v->text + at, v->size - at, what->text, what->size);
        if (!p) break;
        tern_var before = tern_var_text(v->text, (size_t)(p - v->text));
        if (!found++) first = tern_var_length(&before);
        at = (size_t)(p - v->text) + what->size;
    }
    *out = tern_var_whole(count ? found : what->size ? first : 0);
    return TERN_OK;
}

static tern_status join(tern_render *r, const tern_var *between, const tern_var *of, tern_var *out)
{
    tern_var list;
    tern_text text = {0};
    if (!of) return tern_render_fail(r, "join: expected a list");
    TERN_TRY(tern_var_items(r, of, &list));
    for (size_t i = 0; i < list.list->count; i++) {
        if (i) tern_text_add(&text, between->text, between->size);
        tern_var_print(&text, &list.list->items[i]);
    }
    return tern_var_copy_text(r, &text, out);
}

/* "{}" by the arguments in order; "{{" and "}}" are braces. */
static tern_status format(tern_render *r, const tern_var *v, const tern_call_arguments *args, tern_var *out)
{
    tern_text text = {0};
    size_t next = 0;
    bool good = true;
    for (size_t i = 0; i < v->size && good; i++) {
        char c = v->text[i], after = i + 1 < v->size ? v->text[i + 1] : 0;
        bool brace = c == '{' || c == '}';
        if (c == '{' && after == '}' && (good = next < args->count))
            tern_var_print(&text, &args->items[next++]);
        else if (!brace || after == c)
            tern_text_add(&text, &c, 1);
        else
            good = false;
        i += brace;
    }
    if (good) return tern_var_copy_text(r, &text, out);
    tern_text_free(&text);
    return tern_render_fail(
        r, "format: expected \"{}\" for each argument; fields with names or widths are not supported");
}

static bool all_digits(const tern_var *v)
{
    for (size_t i = 0; i < v->size; i++)
        if (v->text[i] < '0' || v->text[i] > '9') return false;
    return v->size != 0;
}

tern_status tern_text_method(tern_render *r, const tern_var *v, const char *name,
                             const tern_call_arguments *args, tern_var *out)
{
    const tern_var *set;
    if (strstr(name, "strip")) {
        TERN_TRY(text_argument(r, args, 0, name, &set));
        *out = strip(v, set, name[0] != 'r', name[0] != 'l');
        return TERN_OK;
    }
    if (strcmp(name, "split") == 0) return split(r, v, args, out);
    if (strcmp(name, "splitlines") == 0) return split_lines(r, v, out);
    if (strcmp(name, "startswith") == 0)
        return begins_or_ends(r, v, tern_argument(args, 0, NULL), false, out);
    if (strcmp(name, "endswith") == 0) return begins_or_ends(r, v, tern_argument(args, 0, NULL), true, out);
    if (strcmp(name, "replace") == 0) return replace(r, v, args, out);
    if (strcmp(name, "find") == 0) return search(r, v, args, false, out);
    if (strcmp(name, "count") == 0) return search(r, v, args, true, out);
    if (strcmp(name, "join") == 0) return join(r, v, tern_argument(args, 0, NULL), out);
    if (strcmp(name, "format") == 0) return format(r, v, args, out);
    if (strcmp(name, "isdigit") == 0) {
        *out = tern_var_truth(all_digits(v));
        return TERN_OK;
    }
    return change_case(r, v, name[0], out); /* upper, lower, title, capitalize */
}

/* ---- methods of dicts, functions ------------------------------------------------------------------------------------------ */

static tern_status dict_method(tern_render *r, const tern_var *v, const char *name,
                               const tern_call_arguments *args, tern_var *out)
{
    tern_var pair;
    if (strcmp(name, "get") == 0) {
        const tern_var *key = tern_argument(args, 0, NULL), *standard = tern_argument(args, 1, NULL);
        const tern_var *found =
            key && key->kind == TERN_VAR_TEXT ? tern_var_get(v->dict, key->text, key->size) : NULL;
        *out = found ? *found : standard ? *standard : (tern_var){.kind = TERN_VAR_NONE};
        return TERN_OK;
    }
    TERN_TRY(tern_var_new_list(r, out));
    for (size_t i = 0; i < v->dict->count; i++) {
        pair = name[0] == 'k' ? v->dict->keys[i] : v->dict->values[i];
        if (name[0] == 'i') {
            TERN_TRY(tern_var_new_list(r, &pair));
            TERN_TRY(tern_var_append(r, pair.list, v->dict->keys[i]));
            TERN_TRY(tern_var_append(r, pair.list, v->dict->values[i]));
            pair.size = TERN_TUPLE;
        }
        TERN_TRY(tern_var_append(r, out->list, pair));
    }
    return TERN_OK;
}

static tern_status range(tern_render *r, const tern_call_arguments *args, tern_var *out)
{
    int64_t of[3] = {0, 0, 1};
    for (size_t i = 0; i < args->count && i < 3; i++) {
        if (args->items[i].kind != TERN_VAR_INT) return tern_render_fail(r, "range: expected ints");
        of[i] = args->items[i].whole;
    }
    if (args->count == 1) of[1] = of[0], of[0] = 0;
    if (!args->count || of[2] == 0)
        return tern_render_fail(r, "range: expected one to three ints, the last not 0");
    TERN_TRY(tern_var_new_list(r, out));
    for (int64_t i = of[0]; of[2] > 0 ? i < of[1] : i > of[1];) {
        if (out->list->count > 1000000) return tern_render_fail(r, "range: more than a million numbers");
        TERN_TRY(tern_var_append(r, out->list, tern_var_whole(i)));
        if (__builtin_add_overflow(i, of[2], &i)) break;
    }
    return TERN_OK;
}

static tern_status time_text(tern_render *r, const tern_call_arguments *args, tern_var *out)
{
    const tern_var *format;
    char pattern[128], text[256];
    const tern_var *given =
        tern_var_get(&r->globals->names, "now_seconds", 11); /* to render the same again */
    time_t now = given && given->kind == TERN_VAR_INT ? (time_t)given->whole : time(NULL);
    struct tm local;
    TERN_TRY(need_text(r, args, 0, "strftime_now", &format));
    if (format->size >= sizeof pattern) return tern_render_fail(r, "strftime_now: the format is too long");
    memcpy(pattern, format->text, format->size);
    pattern[format->size] = 0;
    size_t size = localtime_r(&now, &local) ? strftime(text, sizeof text, pattern, &local) : 0;
    tern_text copy = {0};
    tern_text_add(&copy, text, size);
    return tern_var_copy_text(r, &copy, out);
}

static tern_status function(tern_render *r, const char *name, const tern_call_arguments *args, tern_var *out)
{
    if (strcmp(name, "range") == 0) return range(r, args, out);
    if (strcmp(name, "strftime_now") == 0) return time_text(r, args, out);
    if (strcmp(name, "raise_exception") == 0) {
        const tern_var *message;
        TERN_TRY(need_text(r, args, 0, name, &message));
        return tern_render_fail(r, "the chat template refuses: %.*s",
                                (int)(message->size < 300 ? message->size : 300), message->text);
    }
    TERN_TRY(tern_var_new_dict(r, out)); /* dict, namespace */
    if (args->count && args->items[0].kind == TERN_VAR_DICT)
        for (size_t i = 0; i < args->items[0].dict->count; i++)
            TERN_TRY(
                tern_var_put(r, out->dict, args->items[0].dict->keys[i], args->items[0].dict->values[i]));
    for (size_t i = 0; i < args->named.count; i++)
        TERN_TRY(tern_var_put(r, out->dict, args->named.keys[i], args->named.values[i]));
    if (name[0] == 'n') out->kind = TERN_VAR_SPACE;
    return TERN_OK;
}

tern_status tern_call(tern_render *r, const tern_var *f, const tern_call_arguments *args, tern_var *out)
{
    switch (f->kind) {
    case TERN_VAR_MACRO:
        return tern_run_macro(r, f->macro, args, out);
    case TERN_VAR_GLOBAL:
        return function(r, f->text, args, out);
    case TERN_VAR_METHOD:
        return f->self->kind == TERN_VAR_TEXT ? tern_text_method(r, f->self, f->text, args, out)
                                              : dict_method(r, f->self, f->text, args, out);
    default:
        return tern_render_fail(r, "%s is called, expected a function", tern_var_type(f));
    }
}
