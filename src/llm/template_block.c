/* Statements of templates, and all of a template to its tree. */
#include "llm/template_parser.h"

/* ---- statements ------------------------------------------------------------------------------------------------------- */

static tern_status body(tern_parser *p, const char *const *ends, branch *first);

static tern_status end_tag(tern_parser *p)
{
    if (p->at->kind != TERN_LEX_END_BLOCK) return parse_fail(p, "the end of the tag");
    p->at++;
    return TERN_OK;
}

static bool take_end(tern_parser *p, const char *word)
{
    if (p->at->kind != TERN_LEX_BEGIN_BLOCK) return false;
    p->at++;
    if (take_word(p, word)) return true;
    p->at--;
    return false;
}

static tern_status if_statement(tern_parser *p, branch b)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    b->kind = TERN_BRANCH_IF;
    TERN_TRY(tern_parse_tuple(p, &b->a));
    TERN_TRY(end_tag(p));
    TERN_TRY(body(p, ends, &b->body));
    if (take_end(p, "elif")) {
        TERN_TRY(new_branch(p, TERN_BRANCH_IF, &b->other));
        return if_statement(p, b->other);
    }
    if (take_end(p, "else")) {
        TERN_TRY(end_tag(p));
        TERN_TRY(body(p, ends + 2, &b->other));
    }
    if (!take_end(p, "endif")) return parse_fail(p, "endif");
    return end_tag(p);
}

static tern_status targets(tern_parser *p, branch *first)
{
    do {
        TERN_TRY(new_branch(p, TERN_BRANCH_NAME, first));
        TERN_TRY(need_name(p, &(*first)->constant));
        first = &(*first)->next;
    } while (take_sign(p, ","));
    return TERN_OK;
}

static tern_status for_statement(tern_parser *p, branch b)
{
    static const char *const ends[] = {"else", "endfor", NULL};
    bool brackets = take_sign(p, "(");
    b->kind = TERN_BRANCH_FOR;
    TERN_TRY(targets(p, &b->a));
    if (brackets) TERN_TRY(need_sign(p, ")"));
    if (!take_word(p, "in")) return parse_fail(p, "in");
    TERN_TRY(tern_parse_condition(p, &b->b)); /* without conditionals: "if" is the loop's */
    if (take_word(p, "if")) TERN_TRY(tern_parse_expression(p, &b->c));
    if (is_word(p, "recursive"))
        return parse_fail(p, "a loop that is not recursive (recursive ones are not supported)");
    TERN_TRY(end_tag(p));
    p->loops++;
    TERN_TRY(body(p, ends, &b->body));
    p->loops--;
    if (take_end(p, "else")) {
        TERN_TRY(end_tag(p));
        TERN_TRY(body(p, ends + 1, &b->other));
    }
    if (!take_end(p, "endfor")) return parse_fail(p, "endfor");
    return end_tag(p);
}

static tern_status set_statement(tern_parser *p, branch b)
{
    static const char *const ends[] = {"endset", NULL};
    b->kind = TERN_BRANCH_SET;
    TERN_TRY(targets(p, &b->a));
    if (!b->a->next && take_sign(p, ".")) {
        branch of = b->a;
        TERN_TRY(new_pair(p, TERN_BRANCH_ATTRIBUTE, 0, of, NULL, &b->a));
        TERN_TRY(need_name(p, &b->a->constant));
    }
    if (take_sign(p, "=")) {
        TERN_TRY(tern_parse_tuple(p, &b->b));
        return end_tag(p);
    }
    TERN_TRY(end_tag(p));
    TERN_TRY(body(p, ends, &b->body));
    if (!take_end(p, "endset")) return parse_fail(p, "endset");
    return end_tag(p);
}

static tern_status macro_statement(tern_parser *p, branch b)
{
    static const char *const ends[] = {"endmacro", NULL};
    int loops = p->loops;
    b->kind = TERN_BRANCH_MACRO;
    TERN_TRY(need_name(p, &b->constant));
    TERN_TRY(need_sign(p, "("));
    TERN_TRY(tern_parse_arguments(p, &b->a));
    for (branch a = b->a; a; a = a->next)
        if (a->kind != TERN_BRANCH_NAME && a->kind != TERN_BRANCH_KEYWORD)
            return parse_fail(p, "names of parameters");
    TERN_TRY(end_tag(p));
    p->loops = 0;
    TERN_TRY(body(p, ends, &b->body));
    p->loops = loops;
    if (!take_end(p, "endmacro")) return parse_fail(p, "endmacro");
    return end_tag(p);
}

/* Behind "{%". */
static tern_status statement(tern_parser *p, branch *out)
{
    static const char *const ends[] = {"endgeneration", NULL};
    TERN_TRY(new_branch(p, TERN_BRANCH_DATA, out));
    (*out)->constant = tern_var_text("", 0);
    if (take_word(p, "if")) return if_statement(p, *out);
    if (take_word(p, "for")) return for_statement(p, *out);
    if (take_word(p, "set")) return set_statement(p, *out);
    if (take_word(p, "macro")) return macro_statement(p, *out);
    if (is_word(p, "break") || is_word(p, "continue")) {
        if (!p->loops) return parse_fail(p, "a loop around it");
        (*out)->kind = is_word(p, "break") ? TERN_BRANCH_BREAK : TERN_BRANCH_CONTINUE;
        p->at++;
        return end_tag(p);
    }
    if (take_word(p, "generation")) { /* marks what the model writes: nothing to a rendering */
        TERN_TRY(end_tag(p));
        TERN_TRY(body(p, ends, out));
        if (!take_end(p, "endgeneration")) return parse_fail(p, "endgeneration");
        return end_tag(p);
    }
    return parse_fail(p, "for, if, set, macro, break, continue or generation (others are not supported)");
}

static bool at_end(const tern_parser *p, const char *const *ends)
{
    for (; *ends; ends++) {
        tern_parser ahead = *p;
        if (take_end(&ahead, *ends)) return true;
    }
    return false;
}

static tern_status body(tern_parser *p, const char *const *ends, branch *first)
{
    branch *next = first;
    if (++p->depth > MOST_NESTING) return parse_fail(p, "less nesting");
    while (p->at->kind != TERN_LEX_END && !at_end(p, ends)) {
        if (p->at->kind == TERN_LEX_DATA) {
            TERN_TRY(new_branch(p, TERN_BRANCH_DATA, next));
            (*next)->constant = tern_var_text(p->at->text, p->at->size);
            p->at++;
        } else if (p->at->kind == TERN_LEX_BEGIN_OUTPUT) {
            p->at++;
            TERN_TRY(new_branch(p, TERN_BRANCH_OUTPUT, next));
            TERN_TRY(tern_parse_tuple(p, &(*next)->a));
            if (p->at->kind != TERN_LEX_END_OUTPUT) return parse_fail(p, "\"}}\"");
            p->at++;
        } else {
            p->at++;
            TERN_TRY(statement(p, next));
        }
        while (*next) next = &(*next)->next; /* a generation block brings several, or none */
    }
    p->depth--;
    return TERN_OK;
}

tern_status tern_template_parse(tern_template *t, const tern_lexemes *lexemes)
{
    static const char *const none[] = {NULL};
    tern_parser p = {.t = t, .at = lexemes->items};
    return body(&p, none, &t->body);
}
