/* Expressions of templates. */
#define _GNU_SOURCE
#include "llm/template_parts.h"
#include "llm/tokenizer_parts.h"

#include <math.h>
#include <string.h>

static tern_status undefined(tern_render *r, const tern_var *v)
{
    return tern_render_fail(r, "\"%.*s\" is undefined", (int)(v->size < 80 ? v->size : 80),
                            v->text ? v->text : "");
}

static tern_var nothing(const char *name, size_t size)
{
    return (tern_var){.kind = TERN_VAR_UNDEFINED, .size = size, .text = name};
}

static tern_status method(tern_render *r, const tern_var *self, const char *name, size_t size, tern_var *out)
{
    tern_var *copy = tern_arena_take(&r->arena, sizeof *copy);
    char *text = tern_arena_take(&r->arena, size + 1); /* ends with a NUL */
    if (!copy || !text) return tern_render_no_memory(r);
    memcpy(text, name, size);
    *copy = *self;
    *out = (tern_var){.kind = TERN_VAR_METHOD, .size = size, .text = text, .self = copy};
    return TERN_OK;
}

static bool is_dict_method(const char *name, size_t size)
{
    static const char *const known[] = {"items", "keys", "values", "get"};
    for (size_t i = 0; i < TERN_COUNT(known); i++)
        if (strlen(known[i]) == size && memcmp(known[i], name, size) == 0) return true;
    return false;
}

tern_status tern_attribute(tern_render *r, const tern_var *v, const char *name, size_t size, tern_var *out)
{
    *out = nothing(name, size);
    if (v->kind == TERN_VAR_UNDEFINED) return undefined(r, v);
    if (v->kind == TERN_VAR_TEXT && tern_is_text_method(name, size)) return method(r, v, name, size, out);
    if (v->kind == TERN_VAR_DICT && is_dict_method(name, size)) return method(r, v, name, size, out);
    if (v->kind == TERN_VAR_DICT || v->kind == TERN_VAR_SPACE) {
        const tern_var *found = tern_var_get(v->dict, name, size);
        if (found) *out = *found;
    }
    return TERN_OK;
}

/* Where character `index` of a text begins; negative ones count from the end; false when there is none. */
static bool text_at(const tern_var *v, int64_t index, tern_var *out)
{
    int64_t count = tern_var_length(v), i = 0;
    if (index < 0) index += count;
    if (index < 0 || index >= count) return false;
    for (size_t at = 0; at < v->size; i++) {
        uint32_t code;
        bool valid;
        size_t length = tern_utf8_decode(v->text + at, v->size - at, &code, &valid);
        if (i == index) *out = tern_var_text(v->text + at, length);
        if (i == index) return true;
        at += length;
    }
    return false;
}

tern_status tern_item(tern_render *r, const tern_var *v, const tern_var *index, tern_var *out)
{
    *out = nothing(index->kind == TERN_VAR_TEXT ? index->text : "item",
                   index->kind == TERN_VAR_TEXT ? index->size : 4);
    if (v->kind == TERN_VAR_UNDEFINED) return undefined(r, v);
    if (v->kind == TERN_VAR_DICT && index->kind == TERN_VAR_TEXT) {
        const tern_var *found = tern_var_get(v->dict, index->text, index->size);
        if (found) *out = *found;
        if (!found && is_dict_method(index->text, index->size))
            return method(r, v, index->text, index->size, out);
        return TERN_OK;
    }
    if (index->kind == TERN_VAR_TEXT) return tern_attribute(r, v, index->text, index->size, out);
    if (index->kind != TERN_VAR_INT) return TERN_OK;
    if (v->kind == TERN_VAR_LIST) {
        int64_t count = (int64_t)v->list->count, i = index->whole < 0 ? index->whole + count : index->whole;
        if (i >= 0 && i < count) *out = v->list->items[i];
    } else if (v->kind == TERN_VAR_TEXT) {
        text_at(v, index->whole, out);
    }
    return TERN_OK;
}

/* ---- slices ---------------------------------------------------------------------------------------------------------- */

static tern_status bound(tern_render *r, const tern_branch *b, int64_t standard, int64_t count, int64_t low,
                         int64_t *out)
{
    tern_var v = {.kind = TERN_VAR_NONE};
    *out = standard;
    if (b) TERN_TRY(tern_eval(r, b, &v));
    if (v.kind == TERN_VAR_NONE) return TERN_OK;
    if (v.kind != TERN_VAR_INT)
        return tern_render_fail(r, "a slice's bound is %s, expected an int", tern_var_type(&v));
    *out = v.whole < 0 ? v.whole + count : v.whole;
    if (*out < low) *out = low;
    if (*out > count + low) *out = count + low;
    return TERN_OK;
}

/* As Python's: a step below zero walks backwards. */
static tern_status slice(tern_render *r, const tern_branch *b, const tern_var *v, tern_var *out)
{
    tern_var list, step = {.kind = TERN_VAR_NONE};
    int64_t from, to, by = 1, count;
    if (v->kind == TERN_VAR_UNDEFINED) return undefined(r, v);
    if (v->kind != TERN_VAR_LIST && v->kind != TERN_VAR_TEXT)
        return tern_render_fail(r, "%s cannot be sliced", tern_var_type(v));
    TERN_TRY(tern_var_items(r, v, &list));
    count = (int64_t)list.list->count;
    if (b->d) TERN_TRY(tern_eval(r, b->d, &step));
    if (step.kind == TERN_VAR_INT) by = step.whole;
    if (by == 0) return tern_render_fail(r, "a slice's step is 0");
    TERN_TRY(bound(r, b->b, by > 0 ? 0 : count - 1, count, by > 0 ? 0 : -1, &from));
    TERN_TRY(bound(r, b->c, by > 0 ? count : -1, count, by > 0 ? 0 : -1, &to));
    if (v->kind == TERN_VAR_LIST) {
        TERN_TRY(tern_var_new_list(r, out));
        for (int64_t i = from; by > 0 ? i < to : i > to; i += by)
            TERN_TRY(tern_var_append(r, out->list, list.list->items[i]));
        return TERN_OK;
    }
    tern_text text = {0};
    for (int64_t i = from; by > 0 ? i < to : i > to; i += by)
        tern_text_add(&text, list.list->items[i].text, list.list->items[i].size);
    return tern_var_copy_text(r, &text, out);
}

/* ---- operators --------------------------------------------------------------------------------------------------------- */

static bool is_real(const tern_var *v)
{
    return v->kind == TERN_VAR_FLOAT;
}

static bool is_number(const tern_var *v)
{
    return v->kind == TERN_VAR_INT || v->kind == TERN_VAR_BOOL || is_real(v);
}

static double real_of(const tern_var *v)
{
    return is_real(v) ? v->real : v->kind == TERN_VAR_BOOL ? v->truth : (double)v->whole;
}

static int64_t whole_of(const tern_var *v)
{
    return v->kind == TERN_VAR_BOOL ? v->truth : v->whole;
}

static tern_status real_operation(tern_render *r, char op, double a, double b, tern_var *out)
{
    *out = (tern_var){.kind = TERN_VAR_FLOAT};
    if ((op == '/' || op == 'i' || op == '%') && b == 0) return tern_render_fail(r, "division by zero");
    switch (op) {
    case '+':
        out->real = a + b;
        break;
    case '-':
        out->real = a - b;
        break;
    case '*':
        out->real = a * b;
        break;
    case '/':
        out->real = a / b;
        break;
    case 'i':
        out->real = floor(a / b);
        break;
    case '%':
        out->real = a - floor(a / b) * b;
        break;
    default:
        out->real = pow(a, b);
        break;
    }
    return TERN_OK;
}

static tern_status whole_operation(tern_render *r, char op, int64_t a, int64_t b, tern_var *out)
{
    int64_t x = 1;
    bool over = false;
    if (op == '/' || (op == 'p' && b < 0)) return real_operation(r, op, (double)a, (double)b, out);
    if ((op == 'i' || op == '%') && b == 0) return tern_render_fail(r, "division by zero");
    if ((op == 'i' || op == '%') && b == -1) /* the one quotient that has no place */
        return whole_operation(r, op == 'i' ? '*' : '-', op == 'i' ? a : 0, op == 'i' ? -1 : 0, out);
    switch (op) {
    case '+':
        over = __builtin_add_overflow(a, b, &x);
        break;
    case '-':
        over = __builtin_sub_overflow(a, b, &x);
        break;
    case '*':
        over = __builtin_mul_overflow(a, b, &x);
        break;
    case 'i':
        x = a / b - (a % b != 0 && (a < 0) != (b < 0));
        break;
    case '%':
        x = a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0);
        break;
    default:
        for (int64_t i = 0; i < b && !over && i < 64; i++) over = __builtin_mul_overflow(x, a, &x);
        over = over || (b >= 64 && a != 0 && a != 1 && a != -1);
        if (b >= 64 && a == -1) x = b % 2 ? -1 : 1;
        break;
    }
    if (over) return tern_render_fail(r, "a number beyond 64 bits");
    *out = tern_var_whole(x);
    return TERN_OK;
}

static tern_status joined(tern_render *r, const tern_var *a, const tern_var *b, tern_var *out)
{
    tern_text text = {0};
    tern_var_print(&text, a);
    tern_var_print(&text, b);
    return tern_var_copy_text(r, &text, out);
}

/* In Python what the filter safe made escapes HTML in what is added to it. */
static tern_status sum_of_texts(tern_render *r, const tern_var *a, const tern_var *b, tern_var *out)
{
    const tern_var *plain = a->self && !b->self ? b : b->self && !a->self ? a : NULL;
    for (size_t i = 0; plain && i < plain->size; i++)
        if (plain->text[i] && strchr("&<>'\"", plain->text[i]))
            return tern_render_fail(
                r, "+ with what the filter \"safe\" made would escape HTML, which is not supported");
    TERN_TRY(joined(r, a, b, out));
    out->self = a->self ? a->self : b->self;
    return TERN_OK;
}

static tern_status repeated(tern_render *r, const tern_var *v, int64_t times, tern_var *out)
{
    tern_text text = {0};
    if (times > 0 && (double)times * (double)v->size > 1 << 24)
        return tern_render_fail(r, "a text repeated to more than 16 MB");
    for (int64_t i = 0; i < times; i++) tern_text_add(&text, v->text, v->size);
    return tern_var_copy_text(r, &text, out);
}

static tern_status binary(tern_render *r, char op, const tern_var *a, const tern_var *b, tern_var *out)
{
    if (op == '~') return joined(r, a, b, out);
    if (a->kind == TERN_VAR_UNDEFINED) return undefined(r, a);
    if (b->kind == TERN_VAR_UNDEFINED) return undefined(r, b);
    if (is_number(a) && is_number(b)) {
        if (is_real(a) || is_real(b)) return real_operation(r, op, real_of(a), real_of(b), out);
        return whole_operation(r, op, whole_of(a), whole_of(b), out);
    }
    if (op == '+' && a->kind == TERN_VAR_TEXT && b->kind == TERN_VAR_TEXT) return sum_of_texts(r, a, b, out);
    if (op == '*' && a->kind == TERN_VAR_TEXT && b->kind == TERN_VAR_INT)
        return repeated(r, a, b->whole, out);
    if (op == '*' && b->kind == TERN_VAR_TEXT && a->kind == TERN_VAR_INT)
        return repeated(r, b, a->whole, out);
    if (op == '+' && a->kind == TERN_VAR_LIST && b->kind == TERN_VAR_LIST) {
        TERN_TRY(tern_var_new_list(r, out));
        for (size_t i = 0; i < a->list->count; i++)
            TERN_TRY(tern_var_append(r, out->list, a->list->items[i]));
        for (size_t i = 0; i < b->list->count; i++)
            TERN_TRY(tern_var_append(r, out->list, b->list->items[i]));
        return TERN_OK;
    }
    const char *sign = op == 'i' ? "//" : op == 'p' ? "**" : (char[]){op, 0};
    return tern_render_fail(r, "%s %s %s: these do not go together", tern_var_type(a), sign,
                            tern_var_type(b));
}

static tern_status contains(tern_render *r, const tern_var *item, const tern_var *in, bool *out)
{
    *out = false;
    switch (in->kind) {
    case TERN_VAR_UNDEFINED:
        return TERN_OK;
    case TERN_VAR_TEXT:
        if (item->kind != TERN_VAR_TEXT) break;
        *out = !item->size || (in->size && memmem(in->text, in->size, item->text, item->size));
        return TERN_OK;
    case TERN_VAR_LIST:
        for (size_t i = 0; i < in->list->count && !*out; i++)
            *out = tern_var_equal(item, &in->list->items[i]);
        return TERN_OK;
    case TERN_VAR_DICT:
        *out = item->kind == TERN_VAR_TEXT && tern_var_get(in->dict, item->text, item->size);
        return TERN_OK;
    default:
        break;
    }
    return tern_render_fail(r, "%s in %s: these do not go together", tern_var_type(item), tern_var_type(in));
}

tern_status tern_compare(tern_render *r, char op, const tern_var *a, const tern_var *b, bool *out)
{
    double order;
    if (op == '=' || op == '!') {
        *out = tern_var_equal(a, b) == (op == '=');
        return TERN_OK;
    }
    if (op == 'i' || op == 'n') {
        TERN_TRY(contains(r, a, b, out));
        *out = *out == (op == 'i');
        return TERN_OK;
    }
    if (a->kind == TERN_VAR_TEXT && b->kind == TERN_VAR_TEXT) {
        size_t least = a->size < b->size ? a->size : b->size;
        int bytes = least ? memcmp(a->text, b->text, least) : 0;
        order = (double)bytes;
        if (order == 0) order = a->size < b->size ? -1 : a->size > b->size;
    } else if (is_number(a) && is_number(b)) {
        double x = real_of(a), y = real_of(b);
        order = x < y ? -1 : x > y;
    } else {
        if (a->kind == TERN_VAR_UNDEFINED) return undefined(r, a);
        return tern_render_fail(r, "%s and %s have no order", tern_var_type(a), tern_var_type(b));
    }
    *out = op == '<' ? order < 0 : op == 'l' ? order <= 0 : op == '>' ? order > 0 : order >= 0;
    return TERN_OK;
}

/* ---- calls --------------------------------------------------------------------------------------------------------------- */

static tern_status call_arguments(tern_render *r, const tern_branch *first, tern_call_arguments *out)
{
    tern_var list, value;
    TERN_TRY(tern_var_new_list(r, &list));
    *out = (tern_call_arguments){0};
    for (const tern_branch *b = first; b; b = b->next) {
        TERN_TRY(tern_eval(r, b->kind == TERN_BRANCH_KEYWORD ? b->a : b, &value));
        if (b->kind == TERN_BRANCH_KEYWORD)
            TERN_TRY(tern_var_put(r, &out->named, b->constant, value));
        else
            TERN_TRY(tern_var_append(r, list.list, value));
    }
    out->items = list.list->items;
    out->count = list.list->count;
    return TERN_OK;
}

/* A name of the template as a string that ends. */
static tern_status plain_name(tern_render *r, const tern_var *name, char out[64])
{
    if (name->size >= 64) return tern_render_fail(r, "the name \"%.40s..\" is too long", name->text);
    memcpy(out, name->text, name->size);
    out[name->size] = 0;
    return TERN_OK;
}

static tern_status filter_or_test(tern_render *r, const tern_branch *b, tern_var *out)
{
    tern_var v;
    tern_call_arguments args;
    char name[64];
    bool truth = false;
    TERN_TRY(tern_eval(r, b->a, &v));
    TERN_TRY(call_arguments(r, b->b, &args));
    TERN_TRY(plain_name(r, &b->constant, name));
    r->line = b->line;
    if (b->kind == TERN_BRANCH_FILTER) return tern_apply_filter(r, name, &v, &args, out);
    TERN_TRY(tern_apply_test(r, name, &v, &args, &truth));
    *out = tern_var_truth(truth);
    return TERN_OK;
}

static tern_status lookup(tern_render *r, const tern_branch *b, tern_var *out)
{
    static const char *const functions[] = {"range", "namespace", "dict", "raise_exception", "strftime_now"};
    const tern_var *name = &b->constant;
    for (tern_scope *s = r->scope; s; s = s->outer) {
        const tern_var *found = tern_var_get(&s->names, name->text, name->size);
        if (!found) continue;
        *out = *found;
        return TERN_OK;
    }
    *out = nothing(name->text, name->size);
    for (size_t i = 0; i < TERN_COUNT(functions); i++)
        if (tern_var_is(&(tern_var){.kind = TERN_VAR_TEXT, .size = name->size, .text = name->text},
                        functions[i]))
            *out = (tern_var){.kind = TERN_VAR_GLOBAL, .size = name->size, .text = functions[i]};
    return TERN_OK;
}

static tern_status collection(tern_render *r, const tern_branch *b, tern_var *out)
{
    tern_var key, value;
    if (b->kind == TERN_BRANCH_LIST) {
        TERN_TRY(tern_var_new_list(r, out));
        for (const tern_branch *i = b->a; i; i = i->next) {
            TERN_TRY(tern_eval(r, i, &value));
            TERN_TRY(tern_var_append(r, out->list, value));
        }
        out->size = b->op == 't' ? TERN_TUPLE : 0;
        return TERN_OK;
    }
    TERN_TRY(tern_var_new_dict(r, out));
    for (const tern_branch *i = b->a; i; i = i->next->next) {
        TERN_TRY(tern_eval(r, i, &key));
        TERN_TRY(tern_eval(r, i->next, &value));
        if (key.kind != TERN_VAR_TEXT)
            return tern_render_fail(r, "a key of a dict is %s, expected a text", tern_var_type(&key));
        TERN_TRY(tern_var_put(r, out->dict, key, value));
    }
    return TERN_OK;
}

static tern_status negative(tern_render *r, tern_var *v)
{
    if (v->kind == TERN_VAR_FLOAT)
        v->real = -v->real;
    else if (v->kind == TERN_VAR_INT && v->whole > INT64_MIN)
        v->whole = -v->whole;
    else
        return tern_render_fail(r, "- before %s", tern_var_type(v));
    return TERN_OK;
}

static tern_status call(tern_render *r, const tern_branch *b, tern_var *out)
{
    tern_var function;
    tern_call_arguments args;
    TERN_TRY(tern_eval(r, b->a, &function));
    TERN_TRY(call_arguments(r, b->b, &args));
    r->line = b->line;
    if (function.kind == TERN_VAR_UNDEFINED) return undefined(r, &function);
    return tern_call(r, &function, &args, out);
}

#define MOST_STEPS 20000000

tern_status tern_eval(tern_render *r, const tern_branch *b, tern_var *out)
{
    tern_var x, y;
    bool truth = false;
    r->line = b->line;
    if (++r->steps > MOST_STEPS || r->arena.used > (size_t)256 << 20)
        return tern_render_fail(r, "the template takes too many steps or too much memory");
    switch (b->kind) {
    case TERN_BRANCH_CONSTANT:
        *out = b->constant;
        return TERN_OK;
    case TERN_BRANCH_NAME:
        return lookup(r, b, out);
    case TERN_BRANCH_LIST:
    case TERN_BRANCH_DICT:
        return collection(r, b, out);
    case TERN_BRANCH_FILTER:
    case TERN_BRANCH_TEST:
        return filter_or_test(r, b, out);
    case TERN_BRANCH_CALL:
        return call(r, b, out);
    default:
        break;
    }
    TERN_TRY(tern_eval(r, b->kind == TERN_BRANCH_CONDITIONAL ? b->b : b->a, &x));
    truth = tern_var_true(&x);
    *out = x;
    switch (b->kind) {
    case TERN_BRANCH_ATTRIBUTE:
        return tern_attribute(r, &x, b->constant.text, b->constant.size, out);
    case TERN_BRANCH_SLICE:
        return slice(r, b, &x, out);
    case TERN_BRANCH_NOT:
        *out = tern_var_truth(!truth);
        return TERN_OK;
    case TERN_BRANCH_NEGATE:
        return negative(r, out);
    case TERN_BRANCH_AND:
        return truth ? tern_eval(r, b->b, out) : TERN_OK;
    case TERN_BRANCH_OR:
        return truth ? TERN_OK : tern_eval(r, b->b, out);
    case TERN_BRANCH_CONDITIONAL:
        *out = nothing("value of a conditional", 22);
        return truth ? tern_eval(r, b->a, out) : b->c ? tern_eval(r, b->c, out) : TERN_OK;
    default:
        break;
    }
    TERN_TRY(tern_eval(r, b->b, &y));
    r->line = b->line;
    if (b->kind == TERN_BRANCH_ITEM) return tern_item(r, &x, &y, out);
    if (b->kind == TERN_BRANCH_BINARY) return binary(r, b->op, &x, &y, out);
    TERN_TRY(tern_compare(r, b->op, &x, &y, &truth));
    *out = tern_var_truth(truth);
    return TERN_OK;
}
