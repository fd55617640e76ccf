/* Values of templates: making them, comparing, printing as Python does, JSON in and out. */
#include "llm/template_parts.h"
#include "llm/tokenizer_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_DEPTH 64

tern_status tern_render_no_memory(const tern_render *r)
{
    return tern_no_memory(r->arena.used, r->t->name);
}

tern_status tern_var_copy_text(tern_render *r, tern_text *text, tern_var *out)
{
    tern_status status = tern_text_status(text);
    char *copy = status == TERN_OK ? tern_arena_take(&r->arena, text->size + 1) : NULL;
    if (copy && text->size) memcpy(copy, text->data, text->size);
    if (copy) *out = tern_var_text(copy, text->size);
    tern_text_free(text);
    return copy ? TERN_OK : status == TERN_OK ? tern_render_no_memory(r) : status;
}

tern_status tern_var_new_list(tern_render *r, tern_var *out)
{
    tern_var_list *list = tern_arena_take(&r->arena, sizeof *list);
    if (!list) return tern_render_no_memory(r);
    *out = (tern_var){.kind = TERN_VAR_LIST, .list = list};
    return TERN_OK;
}

tern_status tern_var_append(tern_render *r, tern_var_list *list, tern_var item)
{
    if (list->count == list->capacity) {
        size_t room = list->capacity ? list->capacity * 2 : 8;
        tern_var *bigger = tern_arena_take(&r->arena, room * sizeof *bigger);
        if (!bigger) return tern_render_no_memory(r);
        if (list->count) memcpy(bigger, list->items, list->count * sizeof *bigger);
        list->items = bigger;
        list->capacity = room;
    }
    list->items[list->count++] = item;
    return TERN_OK;
}

tern_status tern_var_new_dict(tern_render *r, tern_var *out)
{
    tern_var_dict *dict = tern_arena_take(&r->arena, sizeof *dict);
    if (!dict) return tern_render_no_memory(r);
    *out = (tern_var){.kind = TERN_VAR_DICT, .dict = dict};
    return TERN_OK;
}

tern_status tern_var_put(tern_render *r, tern_var_dict *d, tern_var key, tern_var value)
{
    tern_var *known = (tern_var *)(uintptr_t)tern_var_get(d, key.text, key.size);
    if (known) {
        *known = value;
        return TERN_OK;
    }
    if (d->count == d->capacity) {
        size_t room = d->capacity ? d->capacity * 2 : 8;
        tern_var *bigger = tern_arena_take(&r->arena, 2 * room * sizeof *bigger);
        if (!bigger) return tern_render_no_memory(r);
        if (d->keys && d->values) {
            memcpy(bigger, d->keys, d->count * sizeof *bigger);
            memcpy(bigger + room, d->values, d->count * sizeof *bigger);
        }
        d->keys = bigger;
        d->values = bigger + room;
        d->capacity = room;
    }
    d->keys[d->count] = key;
    d->values[d->count++] = value; // NOLINT(*NullDereference): both arrays are one, which keys have
    return TERN_OK;
}

const tern_var *tern_var_get(const tern_var_dict *d, const char *key, size_t size)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->keys[i].size == size && memcmp(d->keys[i].text, key, size) == 0) return &d->values[i];
    return NULL;
}

const char *tern_var_type(const tern_var *v)
{
    static const char *const names[] = {"undefined",   "none",     "a bool",     "an int",
                                        "a float",     "a text",   "a list",     "a dict",
                                        "a namespace", "a method", "a function", "a macro"};
    return names[v->kind];
}

bool tern_var_is(const tern_var *v, const char *text)
{
    return v->kind == TERN_VAR_TEXT && v->size == strlen(text) && memcmp(v->text, text, v->size) == 0;
}

bool tern_var_true(const tern_var *v)
{
    switch (v->kind) {
    case TERN_VAR_UNDEFINED:
    case TERN_VAR_NONE:
        return false;
    case TERN_VAR_BOOL:
        return v->truth;
    case TERN_VAR_INT:
        return v->whole != 0;
    case TERN_VAR_FLOAT:
        return v->real != 0;
    case TERN_VAR_TEXT:
        return v->size != 0;
    case TERN_VAR_LIST:
        return v->list->count != 0;
    case TERN_VAR_DICT:
        return v->dict->count != 0;
    default:
        return true;
    }
}

static bool is_number(const tern_var *v)
{
    return v->kind == TERN_VAR_BOOL || v->kind == TERN_VAR_INT || v->kind == TERN_VAR_FLOAT;
}

static double number_of(const tern_var *v)
{
    return v->kind == TERN_VAR_FLOAT ? v->real : v->kind == TERN_VAR_INT ? (double)v->whole : v->truth;
}

static bool equal(const tern_var *a, const tern_var *b, int depth)
{
    if (depth > MOST_DEPTH) return false;
    if (a->kind == TERN_VAR_INT && b->kind == TERN_VAR_INT) return a->whole == b->whole;
    if (is_number(a) && is_number(b)) return number_of(a) == number_of(b);
    if (a->kind != b->kind) return false;
    switch (a->kind) {
    case TERN_VAR_TEXT:
        return a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
    case TERN_VAR_LIST:
        if (a->list->count != b->list->count) return false;
        for (size_t i = 0; i < a->list->count; i++)
            if (!equal(&a->list->items[i], &b->list->items[i], depth + 1)) return false;
        return true;
    case TERN_VAR_DICT:
        if (a->dict->count != b->dict->count) return false;
        for (size_t i = 0; i < a->dict->count; i++) {
            const tern_var *other = tern_var_get(b->dict, a->dict->keys[i].text, a->dict->keys[i].size);
            if (!other || !equal(&a->dict->values[i], other, depth + 1)) return false;
        }
        return true;
    case TERN_VAR_SPACE:
        return a->dict == b->dict;
    case TERN_VAR_METHOD:
    case TERN_VAR_GLOBAL:
    case TERN_VAR_MACRO:
        return a->text == b->text;
    default:
        return true;
    }
}

bool tern_var_equal(const tern_var *a, const tern_var *b)
{
    return equal(a, b, 0);
}

/* ---- printing -------------------------------------------------------------------------------------------------------- */

/* The shortest digits that read back as the same number, as Python's repr has them. */
static void print_real(tern_text *out, double value, bool json)
{
    char text[40];
    if (isnan(value) || isinf(value)) {
        tern_text_put(out, isnan(value) ? (json ? "NaN" : "nan")
                           : value > 0  ? (json ? "Infinity" : "inf")
                                        : (json ? "-Infinity" : "-inf"));
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, value);
        if (strtod(text, NULL) == value) break;
    }
    char *mark = strchr(text, 'e');
    int exponent = (int)strtol(mark + 1, NULL, 10), digits = (int)(mark - text) - (text[0] == '-') - 1;
    if (digits < 1) digits = 1;
    if (exponent < -4 || exponent >= 16) {
        *mark = 0;
        tern_text_format(out, "%se%c%02d", text, exponent < 0 ? '-' : '+', abs(exponent));
    } else {
        int behind = digits - 1 - exponent;
        tern_text_format(out, "%.*f", behind > 0 ? behind : 1, value);
    }
}

/* A text in quotes, as Python's repr has it. */
static void print_quoted(tern_text *out, const tern_var *v)
{
    char quote = v->size && memchr(v->text, '\'', v->size) && !memchr(v->text, '"', v->size) ? '"' : '\'';
    tern_text_add(out, &quote, 1);
    for (size_t i = 0; i < v->size; i++) {
        char c = v->text[i];
        if (c == quote || c == '\\')
            tern_text_format(out, "\\%c", c);
        else if (c == '\n' || c == '\r' || c == '\t')
            tern_text_put(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        else if ((uint8_t)c < 32 || c == 127)
            tern_text_format(out, "\\x%02x", (uint8_t)c);
        else
            tern_text_add(out, &c, 1);
    }
    tern_text_add(out, &quote, 1);
}

static void print(tern_text *out, const tern_var *v, bool quoted, int depth)
{
    if (depth > MOST_DEPTH) {
        tern_text_put(out, "...");
        return;
    }
    switch (v->kind) {
    case TERN_VAR_UNDEFINED:
        break;
    case TERN_VAR_NONE:
        tern_text_put(out, "None");
        break;
    case TERN_VAR_BOOL:
        tern_text_put(out, v->truth ? "True" : "False");
        break;
    case TERN_VAR_INT:
        tern_text_format(out, "%lld", (long long)v->whole);
        break;
    case TERN_VAR_FLOAT:
        print_real(out, v->real, false);
        break;
    case TERN_VAR_TEXT:
        if (quoted)
            print_quoted(out, v);
        else
            tern_text_add(out, v->text, v->size);
        break;
    case TERN_VAR_LIST:
        tern_text_put(out, v->size == TERN_TUPLE ? "(" : "[");
        for (size_t i = 0; i < v->list->count; i++) {
            if (i) tern_text_put(out, ", ");
            print(out, &v->list->items[i], true, depth + 1);
        }
        if (v->size == TERN_TUPLE && v->list->count == 1) tern_text_put(out, ",");
        tern_text_put(out, v->size == TERN_TUPLE ? ")" : "]");
        break;
    case TERN_VAR_DICT:
        tern_text_put(out, "{");
        for (size_t i = 0; i < v->dict->count; i++) {
            if (i) tern_text_put(out, ", ");
            print(out, &v->dict->keys[i], true, depth + 1);
            tern_text_put(out, ": ");
            print(out, &v->dict->values[i], true, depth + 1);
        }
        tern_text_put(out, "}");
        break;
    default:
        tern_text_format(out, "<%s>", tern_var_type(v) + 2);
        break;
    }
}

void tern_var_print(tern_text *out, const tern_var *v)
{
    print(out, v, false, 0);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------------- */

/* One character as UTF-16 in escapes; its bytes. */
static size_t json_escape(tern_text *out, const char *text, size_t left)
{
    uint32_t code;
    bool valid;
    size_t length = tern_utf8_decode(text, left, &code, &valid);
    if (code < 0x10000)
        tern_text_format(out, "\\u%04x", code);
    else
        tern_text_format(out, "\\u%04x\\u%04x", 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + (code & 0x3FF));
    return length;
}

static void json_text(tern_text *out, const tern_var *v, bool ascii)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    tern_text_put(out, "\"");
    for (size_t i = 0; i < v->size; i++) {
        char c = v->text[i];
        const char *known = c ? strchr(from, c) : NULL;
        if (known)
            tern_text_format(out, "\\%c", to[known - from]);
        else if ((uint8_t)c < 32)
            tern_text_format(out, "\\u%04x", (uint8_t)c);
        else if ((uint8_t)c >= 128 && ascii)
            i += json_escape(out, v->text + i, v->size - i) - 1;
        else
            tern_text_add(out, &c, 1);
    }
    tern_text_put(out, "\"");
}

static void json_break(tern_text *out, int indent, int depth)
{
    if (indent < 0) return;
    tern_text_put(out, "\n");
    for (int i = 0; i < indent * depth; i++) tern_text_put(out, " ");
}

static tern_status json(tern_render *r, tern_text *out, const tern_var *v, int indent, bool ascii, int depth)
{
    bool list = v->kind == TERN_VAR_LIST;
    size_t count;
    if (list && v->size == TERN_LAZY)
        return tern_render_fail(r,
                                "tojson: of what map, select or reject give: expected \"| list\" before it");
    if (depth > MOST_DEPTH) return tern_render_fail(r, "tojson: a value nests deeper than %d", MOST_DEPTH);
    switch (v->kind) {
    case TERN_VAR_NONE:
        tern_text_put(out, "null");
        return TERN_OK;
    case TERN_VAR_BOOL:
        tern_text_put(out, v->truth ? "true" : "false");
        return TERN_OK;
    case TERN_VAR_INT:
        tern_text_format(out, "%lld", (long long)v->whole);
        return TERN_OK;
    case TERN_VAR_FLOAT:
        print_real(out, v->real, true);
        return TERN_OK;
    case TERN_VAR_TEXT:
        json_text(out, v, ascii);
        return TERN_OK;
    case TERN_VAR_LIST:
        count = v->list->count;
        break;
    case TERN_VAR_DICT:
        count = v->dict->count;
        break;
    default:
        return tern_render_fail(r, "tojson: %s is not JSON", tern_var_type(v));
    }
    tern_text_put(out, list ? "[" : "{");
    for (size_t i = 0; i < count; i++) {
        if (i) tern_text_put(out, indent < 0 ? ", " : ",");
        json_break(out, indent, depth + 1);
        if (!list) {
            json_text(out, &v->dict->keys[i], ascii);
            tern_text_put(out, ": ");
        }
        TERN_TRY(json(r, out, list ? &v->list->items[i] : &v->dict->values[i], indent, ascii, depth + 1));
    }
    if (count) json_break(out, indent, depth);
    tern_text_put(out, list ? "]" : "}");
    return TERN_OK;
}

tern_status tern_var_json(tern_render *r, tern_text *out, const tern_var *v, int indent, bool ascii)
{
    return json(r, out, v, indent, ascii, 0);
}

#ifdef TERN_HAVE_JANSSON
#include <jansson.h>

static tern_status text_in(tern_render *r, const char *bytes, size_t size, tern_var *out)
{
    char *copy = tern_arena_take(&r->arena, size + 1);
    if (!copy) return tern_render_no_memory(r);
    if (size) memcpy(copy, bytes, size);
    *out = tern_var_text(copy, size);
    return TERN_OK;
}

static tern_status convert(tern_render *r, json_t *j, int depth, tern_var *out)
{
    size_t i;
    json_t *item;
    tern_var key, value;
    if (depth > MOST_DEPTH) return tern_fail(TERN_FAILED, "variables nest deeper than %d", MOST_DEPTH);
    *out = (tern_var){.kind = TERN_VAR_NONE};
    if (json_is_string(j)) return text_in(r, json_string_value(j), json_string_length(j), out);
    if (json_is_boolean(j)) *out = tern_var_truth(json_is_true(j));
    if (json_is_integer(j)) *out = tern_var_whole(json_integer_value(j));
    if (json_is_real(j)) *out = (tern_var){.kind = TERN_VAR_FLOAT, .real = json_real_value(j)};
    if (json_is_array(j)) {
        TERN_TRY(tern_var_new_list(r, out));
        json_array_foreach(j, i, item)
        {
            TERN_TRY(convert(r, item, depth + 1, &value));
            TERN_TRY(tern_var_append(r, out->list, value));
        }
    }
    if (!json_is_object(j)) return TERN_OK;
    TERN_TRY(tern_var_new_dict(r, out));
    for (void *at = json_object_iter(j); at; at = json_object_iter_next(j, at)) {
        TERN_TRY(text_in(r, json_object_iter_key(at), json_object_iter_key_len(at), &key));
        TERN_TRY(convert(r, json_object_iter_value(at), depth + 1, &value));
        TERN_TRY(tern_var_put(r, out->dict, key, value));
    }
    return TERN_OK;
}

tern_status tern_var_from_json(tern_render *r, const char *text, size_t size, tern_var *out)
{
    json_error_t error;
    json_t *j = json_loadb(text, size, JSON_ALLOW_NUL, &error);
    if (!j)
        return tern_fail(TERN_FAILED,
                         "the variables of the chat template are no valid JSON at line %d column %d: %s",
                         error.line, error.column, error.text);
    tern_status status = json_is_object(j)
                             ? convert(r, j, 0, out)
                             : tern_fail(TERN_FAILED, "the variables of the chat template are not a JSON "
                                                      "object");
    json_decref(j);
    return status;
}
#else
tern_status tern_var_from_json(tern_render *r, const char *text, size_t size, tern_var *out)
{
    (void)r, (void)text, (void)size, (void)out;
    return tern_fail(TERN_FAILED,
                     "this build of Tern has no jansson and cannot render chat templates: install jansson's "
                     "headers and build again");
}
#endif

/* ---- as lists ------------------------------------------------------------------------------------------------------------ */

int64_t tern_var_length(const tern_var *v)
{
    int64_t count = 0;
    switch (v->kind) {
    case TERN_VAR_UNDEFINED:
        return 0;
    case TERN_VAR_LIST:
        return (int64_t)v->list->count;
    case TERN_VAR_DICT:
        return (int64_t)v->dict->count;
    case TERN_VAR_TEXT:
        for (size_t i = 0; i < v->size; i++) count += ((uint8_t)v->text[i] & 0xC0) != 0x80;
        return count;
    default:
        return -1;
    }
}

tern_status tern_var_items(tern_render *r, const tern_var *v, tern_var *list)
{
    if (v->kind == TERN_VAR_LIST) {
        *list = (tern_var){.kind = TERN_VAR_LIST, .list = v->list};
        return TERN_OK;
    }
    if (tern_var_length(v) < 0) return tern_render_fail(r, "%s has no items", tern_var_type(v));
    TERN_TRY(tern_var_new_list(r, list));
    for (size_t i = 0; v->kind == TERN_VAR_DICT && i < v->dict->count; i++)
        TERN_TRY(tern_var_append(r, list->list, v->dict->keys[i]));
    for (size_t at = 0, length; v->kind == TERN_VAR_TEXT && at < v->size; at += length) {
        uint32_t code;
        bool valid;
        length = tern_utf8_decode(v->text + at, v->size - at, &code, &valid);
        TERN_TRY(tern_var_append(r, list->list, tern_var_text(v->text + at, length)));
    }
    return TERN_OK;
}
