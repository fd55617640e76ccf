/* Statements of templates, and a rendering from end to end. */
#include "llm/template_parts.h"
#include "llm/tokenizer_parts.h"

#include <string.h>

#define MOST_CALLS  64
#define MOST_OUTPUT ((size_t)64 << 20)

tern_status tern_render_fail(const tern_render *r, const char *format, ...)
{
    char what[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return tern_fail(TERN_FAILED, "%s:%d: %s", r->t->name, r->line, what);
}

tern_status tern_define(tern_render *r, const char *name, size_t size, tern_var value)
{
    return tern_var_put(r, &r->scope->names, tern_var_text(name, size), value);
}

/* ---- statements --------------------------------------------------------------------------------------------------------- */

typedef enum tern_flow { TERN_FLOW_ON, TERN_FLOW_BREAK, TERN_FLOW_CONTINUE } tern_flow;

static tern_status run(tern_render *r, const tern_branch *body, tern_flow *flow);

/* One name, or as many as the value has items. */
static tern_status assign(tern_render *r, const tern_branch *targets, const tern_var *value)
{
    size_t count = 0, i = 0;
    tern_var list;
    for (const tern_branch *t = targets; t; t = t->next) count++;
    if (count == 1) return tern_define(r, targets->constant.text, targets->constant.size, *value);
    TERN_TRY(tern_var_items(r, value, &list));
    if (list.list->count != count)
        return tern_render_fail(r, "%zu values for %zu names", list.list->count, count);
    for (const tern_branch *t = targets; t; t = t->next, i++)
        TERN_TRY(tern_define(r, t->constant.text, t->constant.size, list.list->items[i]));
    return TERN_OK;
}

static tern_status put(tern_render *r, tern_var_dict *d, const char *key, tern_var value)
{
    return tern_var_put(r, d, tern_var_text(key, strlen(key)), value);
}

/* What the body of a loop knows of it. */
static tern_status loop_variable(tern_render *r, const tern_var_list *list, size_t i)
{
    tern_var loop, none = {.kind = TERN_VAR_UNDEFINED, .text = "loop", .size = 4};
    int64_t index = (int64_t)i, count = (int64_t)list->count;
    TERN_TRY(tern_var_new_dict(r, &loop));
    tern_var_dict *d = loop.dict;
    TERN_TRY(put(r, d, "index", tern_var_whole(index + 1)));
    TERN_TRY(put(r, d, "index0", tern_var_whole(index)));
    TERN_TRY(put(r, d, "revindex", tern_var_whole(count - index)));
    TERN_TRY(put(r, d, "revindex0", tern_var_whole(count - index - 1)));
    TERN_TRY(put(r, d, "first", tern_var_truth(index == 0)));
    TERN_TRY(put(r, d, "last", tern_var_truth(index == count - 1)));
    TERN_TRY(put(r, d, "length", tern_var_whole(count)));
    TERN_TRY(put(r, d, "previtem", i ? list->items[i - 1] : none));
    TERN_TRY(put(r, d, "nextitem", i + 1 < list->count ? list->items[i + 1] : none));
    return tern_define(r, "loop", 4, loop);
}

/* The items that the loop's condition lets through. */
static tern_status chosen(tern_render *r, const tern_branch *b, tern_var *list)
{
    tern_var all = *list, truth;
    if (!b->c) return TERN_OK;
    TERN_TRY(tern_var_new_list(r, list));
    for (size_t i = 0; i < all.list->count; i++) {
        tern_scope scope = {.outer = r->scope};
        r->scope = &scope;
        tern_status status = assign(r, b->a, &all.list->items[i]);
        if (status == TERN_OK) status = tern_eval(r, b->c, &truth);
        r->scope = scope.outer;
        TERN_TRY(status);
        if (tern_var_true(&truth)) TERN_TRY(tern_var_append(r, list->list, all.list->items[i]));
    }
    return TERN_OK;
}

static tern_status run_for(tern_render *r, const tern_branch *b, tern_flow *flow)
{
    tern_var value, list;
    TERN_TRY(tern_eval(r, b->b, &value));
    TERN_TRY(tern_var_items(r, &value, &list));
    TERN_TRY(chosen(r, b, &list));
    if (!list.list->count && b->other) return run(r, b->other, flow);
    for (size_t i = 0; i < list.list->count; i++) {
        tern_scope scope = {.outer = r->scope};
        tern_flow inside = TERN_FLOW_ON;
        r->scope = &scope;
        tern_status status = assign(r, b->a, &list.list->items[i]);
        if (status == TERN_OK) status = loop_variable(r, list.list, i);
        if (status == TERN_OK) status = run(r, b->body, &inside);
        r->scope = scope.outer;
        TERN_TRY(status);
        if (inside == TERN_FLOW_BREAK) break;
    }
    return TERN_OK;
}

/* What a body writes, as a value. */
static tern_status captured(tern_render *r, const tern_branch *body, tern_var *out)
{
    tern_text text = {0}, *before = r->out;
    tern_flow flow = TERN_FLOW_ON;
    r->out = &text;
    tern_status status = run(r, body, &flow);
    r->out = before;
    if (status == TERN_OK) return tern_var_copy_text(r, &text, out);
    tern_text_free(&text);
    return status;
}

static tern_status run_set(tern_render *r, const tern_branch *b)
{
    tern_var value, space;
    if (b->body || !b->b)
        TERN_TRY(captured(r, b->body, &value));
    else
        TERN_TRY(tern_eval(r, b->b, &value));
    r->line = b->line;
    if (b->a->kind != TERN_BRANCH_ATTRIBUTE) return assign(r, b->a, &value);
    TERN_TRY(tern_eval(r, b->a->a, &space));
    if (space.kind != TERN_VAR_SPACE)
        return tern_render_fail(r, "set of an attribute of %s, expected a namespace", tern_var_type(&space));
    return tern_var_put(r, space.dict, b->a->constant, value);
}

tern_status tern_run_macro(tern_render *r, const tern_branch *m, const tern_call_arguments *args,
                           tern_var *out)
{
    tern_scope scope = {.outer = r->globals}, *before = r->scope;
    tern_status status = TERN_OK;
    size_t i = 0;
    if (r->depth >= MOST_CALLS)
        return tern_render_fail(r, "macros call each other deeper than %d", MOST_CALLS);
    r->depth++;
    r->scope = &scope;
    for (const tern_branch *a = m->a; a && status == TERN_OK; a = a->next, i++) {
        const tern_var *named = tern_var_get(&args->named, a->constant.text, a->constant.size);
        tern_var value = {.kind = TERN_VAR_UNDEFINED, .text = a->constant.text, .size = a->constant.size};
        if (i < args->count)
            value = args->items[i];
        else if (named)
            value = *named;
        else if (a->kind == TERN_BRANCH_KEYWORD)
            status = tern_eval(r, a->a, &value);
        if (status == TERN_OK) status = tern_define(r, a->constant.text, a->constant.size, value);
    }
    if (status == TERN_OK && args->count > i)
        status = tern_render_fail(r, "%zu values for a macro of %zu", args->count, i);
    if (status == TERN_OK) status = captured(r, m->body, out);
    r->scope = before;
    r->depth--;
    return status;
}

static tern_status run_one(tern_render *r, const tern_branch *b, tern_flow *flow)
{
    tern_var value;
    r->line = b->line;
    switch (b->kind) {
    case TERN_BRANCH_DATA:
        tern_text_add(r->out, b->constant.text, b->constant.size);
        break;
    case TERN_BRANCH_OUTPUT:
        TERN_TRY(tern_eval(r, b->a, &value));
        tern_var_print(r->out, &value);
        break;
    case TERN_BRANCH_FOR:
        return run_for(r, b, flow);
    case TERN_BRANCH_IF:
        TERN_TRY(tern_eval(r, b->a, &value));
        return run(r, tern_var_true(&value) ? b->body : b->other, flow);
    case TERN_BRANCH_SET:
        return run_set(r, b);
    case TERN_BRANCH_MACRO:
        return tern_define(r, b->constant.text, b->constant.size,
                           (tern_var){.kind = TERN_VAR_MACRO, .macro = b});
    default:
        *flow = b->kind == TERN_BRANCH_BREAK ? TERN_FLOW_BREAK : TERN_FLOW_CONTINUE;
        break;
    }
    if (r->out->size > MOST_OUTPUT) return tern_render_fail(r, "the template writes more than 64 MB");
    return tern_text_status(r->out);
}

static tern_status run(tern_render *r, const tern_branch *body, tern_flow *flow)
{
    for (const tern_branch *b = body; b && *flow == TERN_FLOW_ON; b = b->next) TERN_TRY(run_one(r, b, flow));
    return TERN_OK;
}

/* ---- from end to end ------------------------------------------------------------------------------------------------------- */

/* Line ends become \n, and the last one is dropped. */
static tern_status copy_source(tern_template *t, const char *source, size_t size)
{
    tern_text mended = {0};
    tern_utf8_mend(&mended, source, size, false);
    tern_status status = tern_text_status(&mended);
    t->source = status == TERN_OK ? tern_arena_take(&t->arena, mended.size + 1) : NULL;
    if (status == TERN_OK && !t->source) status = tern_no_memory(mended.size, t->name);
    for (size_t i = 0; status == TERN_OK && i < mended.size; i++) {
        char c = mended.data[i];
        if (c == '\r' && i + 1 < mended.size && mended.data[i + 1] == '\n') continue;
        t->source[t->size++] = c == '\r' ? '\n' : c;
    }
    if (status == TERN_OK && t->size && t->source[t->size - 1] == '\n') t->size--;
    tern_text_free(&mended);
    return status;
}

tern_status tern_template_open(tern_template **out, const char *source, size_t size, const char *name)
{
    tern_template *t = tern_take(sizeof *t);
    tern_lexemes lexemes = {0};
    if (!t) return tern_no_memory(sizeof *t, "a chat template");
    t->name = tern_arena_string(&t->arena, name);
    tern_status status =
        t->name ? copy_source(t, source, size) : tern_no_memory(strlen(name), "a chat template");
    if (status == TERN_OK) status = tern_template_lex(t, &lexemes);
    if (status == TERN_OK) status = tern_template_parse(t, &lexemes);
    tern_release(lexemes.items);
    if (status != TERN_OK)
        tern_template_close(t);
    else
        *out = t;
    return status;
}

void tern_template_close(tern_template *t)
{
    if (!t) return;
    tern_arena_free(&t->arena);
    tern_release(t);
}

tern_status tern_template_render(const tern_template *t, const char *variables, size_t size, tern_text *out)
{
    tern_scope globals = {0};
    tern_flow flow = TERN_FLOW_ON;
    tern_render r = {.t = t, .scope = &globals, .globals = &globals, .out = out};
    tern_var all;
    tern_status status = tern_var_from_json(&r, variables, size, &all);
    if (status == TERN_OK) {
        globals.names = *all.dict;
        status = run(&r, t->body, &flow);
    }
    if (status == TERN_OK) status = tern_text_status(out);
    tern_arena_free(&r.arena);
    return status;
}
