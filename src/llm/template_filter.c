/* Filters and tests of templates: one line of a table each. */
#include "llm/template_parts.h"
#include "llm/tokenizer_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct tern_filter_call {
    tern_render *r;
    const char *name;
    const tern_var *v;
    const tern_call_arguments *args;
    tern_var *out;
} tern_filter_call;

/* ---- filters ------------------------------------------------------------------------------------------------------------ */

/* Those that are a method of the value as a text. */
static tern_status as_method(tern_filter_call *c)
{
    tern_text text = {0};
    tern_var v;
    tern_var_print(&text, c->v);
    TERN_TRY(tern_var_copy_text(c->r, &text, &v));
    return tern_text_method(c->r, &v, strcmp(c->name, "trim") == 0 ? "strip" : c->name, c->args, c->out);
}

/* There is no escaping here, but in Python a safe text escapes what is added to it: that is refused, so it is marked. */
static tern_status safe(tern_filter_call *c)
{
    *c->out = *c->v;
    if (c->v->kind == TERN_VAR_TEXT) c->out->self = c->v;
    return TERN_OK;
}

static tern_status to_json(tern_filter_call *c)
{
    const tern_var *indent = tern_argument(c->args, 0, "indent");
    tern_text text = {0};
    if (c->v->kind == TERN_VAR_UNDEFINED) return tern_render_fail(c->r, "tojson of what is undefined");
    const tern_var *ascii = tern_argument(c->args, SIZE_MAX, "ensure_ascii");
    bool many = indent && indent->kind == TERN_VAR_INT && indent->whole >= 0 && indent->whole < 64;
    tern_status status =
        tern_var_json(c->r, &text, c->v, many ? (int)indent->whole : -1, ascii && tern_var_true(ascii));
    if (status == TERN_OK) return tern_var_copy_text(c->r, &text, c->out);
    tern_text_free(&text);
    return status;
}

static tern_status length(tern_filter_call *c)
{
    int64_t count = tern_var_length(c->v);
    if (count < 0) return tern_render_fail(c->r, "%s has no length", tern_var_type(c->v));
    *c->out = tern_var_whole(count);
    return TERN_OK;
}

static tern_status first_or_last(tern_filter_call *c)
{
    tern_var list;
    TERN_TRY(tern_var_items(c->r, c->v, &list));
    size_t count = list.list->count;
    *c->out = (tern_var){.kind = TERN_VAR_UNDEFINED, .text = c->name, .size = strlen(c->name)};
    if (count) *c->out = list.list->items[c->name[0] == 'f' ? 0 : count - 1];
    return TERN_OK;
}

static tern_status list_of(tern_filter_call *c)
{
    return tern_var_items(c->r, c->v, c->out);
}

static tern_status reverse(tern_filter_call *c)
{
    tern_var list;
    tern_text text = {0};
    TERN_TRY(tern_var_items(c->r, c->v, &list));
    TERN_TRY(tern_var_new_list(c->r, c->out));
    for (size_t i = list.list->count; i--;) {
        TERN_TRY(tern_var_append(c->r, c->out->list, list.list->items[i]));
        if (c->v->kind == TERN_VAR_TEXT)
            tern_text_add(&text, list.list->items[i].text, list.list->items[i].size);
    }
    return c->v->kind == TERN_VAR_TEXT ? tern_var_copy_text(c->r, &text, c->out) : TERN_OK;
}

/* name, or name.name.. and numbers, of an item. */
static tern_status path_of(tern_render *r, const tern_var *item, const tern_var *path, tern_var *out)
{
    *out = *item;
    if (path->kind == TERN_VAR_INT) return tern_item(r, item, path, out);
    if (path->kind != TERN_VAR_TEXT)
        return tern_render_fail(r, "an attribute's name is %s", tern_var_type(path));
    for (size_t from = 0; from <= path->size;) {
        size_t to = from;
        while (to < path->size && path->text[to] != '.') to++;
        tern_var of = *out, key = tern_var_text(path->text + from, to - from);
        TERN_TRY(tern_item(r, &of, &key, out));
        from = to + 1;
    }
    return TERN_OK;
}

static tern_status join(tern_filter_call *c)
{
    const tern_var *between = tern_argument(c->args, 0, "d"),
                   *attribute = tern_argument(c->args, 1, "attribute");
    tern_var list, item;
    tern_text text = {0};
    TERN_TRY(tern_var_items(c->r, c->v, &list));
    for (size_t i = 0; i < list.list->count; i++) {
        item = list.list->items[i];
        tern_status status = attribute ? path_of(c->r, &list.list->items[i], attribute, &item) : TERN_OK;
        if (status != TERN_OK) {
            tern_text_free(&text);
            return status;
        }
        if (i && between) tern_var_print(&text, between);
        tern_var_print(&text, &item);
    }
    return tern_var_copy_text(c->r, &text, c->out);
}

static tern_status standard(tern_filter_call *c)
{
    const tern_var *value = tern_argument(c->args, 0, "default_value"),
                   *falsy = tern_argument(c->args, 1, "boolean");
    bool missing =
        c->v->kind == TERN_VAR_UNDEFINED || (falsy && tern_var_true(falsy) && !tern_var_true(c->v));
    *c->out = !missing ? *c->v : value ? *value : tern_var_text("", 0);
    return TERN_OK;
}

static tern_status as_text(tern_filter_call *c)
{
    tern_text text = {0};
    tern_var_print(&text, c->v);
    return tern_var_copy_text(c->r, &text, c->out);
}

/* int and float: of texts too; what is no number becomes 0. */
static tern_status as_number(tern_filter_call *c)
{
    double value = 0;
    char digits[64];
    if (c->v->kind == TERN_VAR_INT) value = (double)c->v->whole;
    if (c->v->kind == TERN_VAR_FLOAT) value = c->v->real;
    if (c->v->kind == TERN_VAR_BOOL) value = c->v->truth;
    if (c->v->kind == TERN_VAR_TEXT && c->v->size < sizeof digits) {
        char *end;
        memcpy(digits, c->v->text, c->v->size);
        digits[c->v->size] = 0;
        value = strtod(digits, &end);
        if (*end || end == digits) value = 0;
    }
    if (c->name[0] == 'f')
        *c->out = (tern_var){.kind = TERN_VAR_FLOAT, .real = value};
    else if (c->v->kind == TERN_VAR_INT)
        *c->out = *c->v;
    else
        *c->out = tern_var_whole(fabs(value) < 9e18 ? (int64_t)value : 0);
    return TERN_OK;
}

static int by_key(const void *a, const void *b)
{
    const tern_var *x = &((const tern_var *)a)->list->items[0], *y = &((const tern_var *)b)->list->items[0];
    int order = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);
    return order ? order : x->size < y->size ? -1 : x->size > y->size;
}

/* items: pairs in order; dictsort: by key (capital letters apart from small ones). */
static tern_status items(tern_filter_call *c)
{
    tern_var method = {.kind = TERN_VAR_METHOD, .text = "items", .size = 5, .self = c->v};
    static const tern_call_arguments none = {0};
    if (c->v->kind == TERN_VAR_UNDEFINED) return tern_var_new_list(c->r, c->out);
    if (c->v->kind != TERN_VAR_DICT)
        return tern_render_fail(c->r, "%s of %s, expected a dict", c->name, tern_var_type(c->v));
    TERN_TRY(tern_call(c->r, &method, &none, c->out));
    if (c->name[0] == 'd' && c->out->list->count)
        qsort(c->out->list->items, c->out->list->count, sizeof(tern_var), by_key);
    return TERN_OK;
}

/* sort, min, max: by value or attribute, letters without regard to case unless asked for; equal ones stay in order. */
static tern_status sort(tern_filter_call *c)
{
    const tern_var *backwards = tern_argument(c->args, 0, "reverse"),
                   *exact = tern_argument(c->args, 1, "case_sensitive");
    const tern_var *attribute = tern_argument(c->args, c->name[0] == 's' ? 2 : 1, "attribute");
    bool sorting = c->name[0] == 's',
         down = c->name[1] == 'a' || (sorting && backwards && tern_var_true(backwards));
    static const tern_call_arguments none = {0};
    tern_var list, keys, key;
    TERN_TRY(tern_var_items(c->r, c->v, &list));
    TERN_TRY(tern_var_new_list(c->r, c->out));
    TERN_TRY(tern_var_new_list(c->r, &keys));
    for (size_t i = 0; i < list.list->count; i++) {
        key = list.list->items[i];
        if (attribute) TERN_TRY(path_of(c->r, &list.list->items[i], attribute, &key));
        if (key.kind == TERN_VAR_TEXT && !(exact && tern_var_true(exact)))
            TERN_TRY(tern_text_method(c->r, &key, "lower", &none, &key));
        TERN_TRY(tern_var_append(c->r, keys.list, key));
        TERN_TRY(tern_var_append(c->r, c->out->list, list.list->items[i]));
        for (size_t k = i; k; k--) { /* insertion: such lists are short */
            tern_var *pair = keys.list->items + k - 1, *item = c->out->list->items + k - 1;
            bool before = false;
            TERN_TRY(tern_compare(c->r, down ? '>' : '<', &pair[1], &pair[0], &before));
            if (!before) break;
            tern_var swap = pair[0];
            pair[0] = pair[1], pair[1] = swap;
            swap = item[0];
            item[0] = item[1], item[1] = swap;
        }
    }
    if (sorting) return TERN_OK;
    key = (tern_var){.kind = TERN_VAR_UNDEFINED, .text = c->name, .size = 3};
    *c->out = c->out->list->count ? c->out->list->items[0] : key;
    return TERN_OK;
}

/* Arguments from the n-th on. */
static tern_call_arguments behind(const tern_call_arguments *args, size_t n)
{
    tern_call_arguments rest = *args;
    rest.items = args->count > n ? args->items + n : NULL;
    rest.count = args->count > n ? args->count - n : 0;
    return rest;
}

static tern_status plain_name(tern_render *r, const tern_var *v, char out[64])
{
    if (v->kind != TERN_VAR_TEXT || v->size >= 64)
        return tern_render_fail(r, "the name of a filter or test is %s, expected a short text",
                                tern_var_type(v));
    memcpy(out, v->text, v->size);
    out[v->size] = 0;
    return TERN_OK;
}

/* map(attribute=..), map("filter", ..) */
static tern_status map(tern_filter_call *c)
{
    const tern_var *attribute = tern_argument(c->args, SIZE_MAX, "attribute");
    const tern_var *missing = tern_argument(c->args, SIZE_MAX, "default");
    const tern_call_arguments rest = behind(c->args, 1);
    tern_var list, item;
    char name[64];
    TERN_TRY(tern_var_new_list(c->r, c->out));
    c->out->size = TERN_LAZY;
    if (!tern_var_true(c->v)) return TERN_OK;
    TERN_TRY(tern_var_items(c->r, c->v, &list));
    if (!attribute && !c->args->count) return tern_render_fail(c->r, "map: expected a filter or attribute=");
    if (!attribute) TERN_TRY(plain_name(c->r, &c->args->items[0], name));
    for (size_t i = 0; i < list.list->count; i++) {
        if (attribute)
            TERN_TRY(path_of(c->r, &list.list->items[i], attribute, &item));
        else
            TERN_TRY(tern_apply_filter(c->r, name, &list.list->items[i], &rest, &item));
        if (attribute && missing && item.kind == TERN_VAR_UNDEFINED) item = *missing;
        TERN_TRY(tern_var_append(c->r, c->out->list, item));
    }
    return TERN_OK;
}

/* select, reject, selectattr, rejectattr */
static tern_status choose(tern_filter_call *c)
{
    bool attribute = strstr(c->name, "attr") != NULL, keep = c->name[0] == 's', truth;
    size_t at = attribute;
    const tern_call_arguments rest = behind(c->args, at + 1);
    tern_var list, of;
    char name[64] = "";
    if (attribute && !c->args->count) return tern_render_fail(c->r, "%s: expected an attribute", c->name);
    if (c->args->count > at) TERN_TRY(plain_name(c->r, &c->args->items[at], name));
    TERN_TRY(tern_var_new_list(c->r, c->out));
    c->out->size = TERN_LAZY;
    if (!tern_var_true(c->v)) return TERN_OK;
    TERN_TRY(tern_var_items(c->r, c->v, &list));
    for (size_t i = 0; i < list.list->count; i++) {
        of = list.list->items[i];
        if (attribute) TERN_TRY(path_of(c->r, &list.list->items[i], &c->args->items[0], &of));
        truth = tern_var_true(&of);
        if (name[0]) TERN_TRY(tern_apply_test(c->r, name, &of, &rest, &truth));
        if (truth == keep) TERN_TRY(tern_var_append(c->r, c->out->list, list.list->items[i]));
    }
    return TERN_OK;
}

static tern_status unique(tern_filter_call *c)
{
    tern_var list;
    TERN_TRY(tern_var_items(c->r, c->v, &list));
    TERN_TRY(tern_var_new_list(c->r, c->out));
    for (size_t i = 0; i < list.list->count; i++) {
        bool known = false;
        for (size_t k = 0; k < c->out->list->count && !known; k++)
            known = tern_var_equal(&c->out->list->items[k], &list.list->items[i]);
        if (!known) TERN_TRY(tern_var_append(c->r, c->out->list, list.list->items[i]));
    }
    return TERN_OK;
}

static tern_status indent(tern_filter_call *c)
{
    const tern_var *width = tern_argument(c->args, 0, "width"), *first = tern_argument(c->args, 1, "first");
    const tern_var *blank = tern_argument(c->args, 2, "blank");
    int64_t spaces = width && width->kind == TERN_VAR_INT && width->whole < 1000 ? width->whole : 4;
    tern_text text = {0};
    if (c->v->kind != TERN_VAR_TEXT)
        return tern_render_fail(c->r, "indent of %s, expected a text", tern_var_type(c->v));
    for (size_t i = 0, line = 0; i <= c->v->size; i++) {
        bool begin = i == 0 || c->v->text[i - 1] == '\n', empty = i == c->v->size || c->v->text[i] == '\n';
        bool wanted = line++ ? !empty || (blank && tern_var_true(blank)) : first && tern_var_true(first);
        line -= !begin;
        for (int64_t k = 0; begin && wanted && k < spaces; k++) tern_text_put(&text, " ");
        if (i < c->v->size) tern_text_add(&text, c->v->text + i, 1);
    }
    return tern_var_copy_text(c->r, &text, c->out);
}

static tern_status absolute(tern_filter_call *c)
{
    *c->out = *c->v;
    if (c->v->kind == TERN_VAR_FLOAT)
        c->out->real = fabs(c->v->real);
    else if (c->v->kind == TERN_VAR_INT && c->v->whole > INT64_MIN)
        c->out->whole = c->v->whole < 0 ? -c->v->whole : c->v->whole;
    else
        return tern_render_fail(c->r, "abs of %s", tern_var_type(c->v));
    return TERN_OK;
}

tern_status tern_apply_filter(tern_render *r, const char *name, const tern_var *v,
                              const tern_call_arguments *args, tern_var *out)
{
    static const struct {
        const char *name;
        tern_status (*apply)(tern_filter_call *call);
    } filters[] = {{"trim", as_method},
                   {"upper", as_method},
                   {"lower", as_method},
                   {"title", as_method},
                   {"capitalize", as_method},
                   {"replace", as_method},
                   {"tojson", to_json},
                   {"length", length},
                   {"count", length},
                   {"first", first_or_last},
                   {"last", first_or_last},
                   {"join", join},
                   {"default", standard},
                   {"d", standard},
                   {"string", as_text},
                   {"int", as_number},
                   {"float", as_number},
                   {"list", list_of},
                   {"items", items},
                   {"dictsort", items},
                   {"map", map},
                   {"select", choose},
                   {"reject", choose},
                   {"selectattr", choose},
                   {"rejectattr", choose},
                   {"unique", unique},
                   {"reverse", reverse},
                   {"indent", indent},
                   {"safe", safe},
                   {"sort", sort},
                   {"min", sort},
                   {"max", sort},
                   {"abs", absolute}};
    const char *known[TERN_COUNT(filters)];
    tern_filter_call call = {r, name, v, args, out};
    for (size_t i = 0; i < TERN_COUNT(filters); i++) {
        known[i] = filters[i].name;
        if (strcmp(name, filters[i].name) == 0) return filters[i].apply(&call);
    }
    const char *near = tern_nearest(name, known, TERN_COUNT(known));
    return tern_render_fail(r, "the filter \"%s\" is not supported%s%s", name, near ? ", did you mean " : "",
                            near ? near : "");
}

/* ---- tests ---------------------------------------------------------------------------------------------------------------- */

/* Those that look at the kind alone: the kinds for which they are true, as bits. */
static const struct {
    const char *name;
    unsigned kinds;
} kind_tests[] = {
    {"defined", ~(1u << TERN_VAR_UNDEFINED)},
    {"undefined", 1u << TERN_VAR_UNDEFINED},
    {"none", 1u << TERN_VAR_NONE},
    {"string", 1u << TERN_VAR_TEXT},
    {"number", 1u << TERN_VAR_INT | 1u << TERN_VAR_FLOAT | 1u << TERN_VAR_BOOL},
    {"integer", 1u << TERN_VAR_INT},
    {"float", 1u << TERN_VAR_FLOAT},
    {"boolean", 1u << TERN_VAR_BOOL},
    {"mapping", 1u << TERN_VAR_DICT},
    {"iterable", 1u << TERN_VAR_TEXT | 1u << TERN_VAR_LIST | 1u << TERN_VAR_DICT | 1u << TERN_VAR_UNDEFINED},
    {"sequence", 1u << TERN_VAR_TEXT | 1u << TERN_VAR_LIST | 1u << TERN_VAR_DICT | 1u << TERN_VAR_UNDEFINED},
    {"callable", 1u << TERN_VAR_METHOD | 1u << TERN_VAR_GLOBAL | 1u << TERN_VAR_MACRO},
};

static tern_status whole_test(tern_render *r, const char *name, const tern_var *v,
                              const tern_call_arguments *args, bool *out)
{
    const tern_var *by = tern_argument(args, 0, "num");
    int64_t divisor = name[0] == 'd' && by && by->kind == TERN_VAR_INT ? by->whole : 2;
    if (v->kind != TERN_VAR_INT || divisor == 0)
        return tern_render_fail(r, "%s of %s", name, tern_var_type(v));
    int64_t rest = divisor == -1 ? 0 : v->whole % divisor;
    *out = name[0] == 'o' ? rest != 0 : rest == 0;
    return TERN_OK;
}

tern_status tern_apply_test(tern_render *r, const char *name, const tern_var *v,
                            const tern_call_arguments *args, bool *out)
{
    const tern_var *other = tern_argument(args, 0, NULL);
    for (size_t i = 0; i < TERN_COUNT(kind_tests); i++) {
        if (strcmp(name, kind_tests[i].name) != 0) continue;
        *out = kind_tests[i].kinds >> v->kind & 1;
        return TERN_OK;
    }
    if (strcmp(name, "true") == 0 || strcmp(name, "false") == 0) {
        *out = v->kind == TERN_VAR_BOOL && v->truth == (name[0] == 't');
        return TERN_OK;
    }
    if (strcmp(name, "odd") == 0 || strcmp(name, "even") == 0 || strcmp(name, "divisibleby") == 0)
        return whole_test(r, name, v, args, out);
    if (!other) return tern_render_fail(r, "the test \"%s\" is not supported, or lacks its argument", name);
    if (strcmp(name, "equalto") == 0 || strcmp(name, "eq") == 0 || strcmp(name, "sameas") == 0 ||
        strcmp(name, "ne") == 0) {
        *out = tern_var_equal(v, other) == (name[0] != 'n');
        return TERN_OK;
    }
    if (strcmp(name, "in") == 0) return tern_compare(r, 'i', v, other, out);
    return tern_render_fail(r, "the test \"%s\" is not supported", name);
}
