/* What both halves of the parser of templates share: expressions (template_parse.c) and statements (template_block.c). */
#ifndef TERN_LLM_TEMPLATE_PARSER_H
#define TERN_LLM_TEMPLATE_PARSER_H

#include "llm/template_parts.h"

#include <string.h>

#define MOST_NESTING 100

typedef struct tern_parser {
    tern_template *t;
    const tern_lexeme *at;
    int depth, loops;
} tern_parser;

typedef tern_branch *branch;

static inline tern_status parse_fail(const tern_parser *p, const char *expected)
{
    const tern_lexeme *x = p->at;
    if (x->kind == TERN_LEX_END || x->kind == TERN_LEX_DATA || x->kind == TERN_LEX_END_BLOCK ||
        x->kind == TERN_LEX_END_OUTPUT)
        return tern_fail(TERN_FAILED, "%s:%d: the tag ends, expected %s", p->t->name, x->line, expected);
    return tern_fail(TERN_FAILED, "%s:%d: found \"%.*s\", expected %s", p->t->name, x->line,
                     (int)(x->size < 60 ? x->size : 60), x->text, expected);
}

static inline tern_status new_branch(tern_parser *p, tern_branch_kind kind, branch *out)
{
    *out = tern_arena_take(&p->t->arena, sizeof **out);
    if (!*out) return tern_no_memory(sizeof **out, p->t->name);
    (*out)->kind = kind;
    (*out)->line = p->at->line;
    return TERN_OK;
}

static inline tern_status new_pair(tern_parser *p, tern_branch_kind kind, char op, branch a, branch b,
                                   branch *out)
{
    TERN_TRY(new_branch(p, kind, out));
    (*out)->op = op;
    (*out)->a = a;
    (*out)->b = b;
    return TERN_OK;
}

static inline bool is_sign(const tern_parser *p, const char *sign)
{
    return p->at->kind == TERN_LEX_SIGN && p->at->size == strlen(sign) &&
           memcmp(p->at->text, sign, p->at->size) == 0;
}

static inline bool is_word(const tern_parser *p, const char *word)
{
    return p->at->kind == TERN_LEX_NAME && p->at->size == strlen(word) &&
           memcmp(p->at->text, word, p->at->size) == 0;
}

static inline bool take_sign(tern_parser *p, const char *sign)
{
    if (!is_sign(p, sign)) return false;
    p->at++;
    return true;
}

static inline bool take_word(tern_parser *p, const char *word)
{
    if (!is_word(p, word)) return false;
    p->at++;
    return true;
}

static inline tern_status need_sign(tern_parser *p, const char *sign)
{
    char quoted[16];
    snprintf(quoted, sizeof quoted, "\"%s\"", sign);
    return take_sign(p, sign) ? TERN_OK : parse_fail(p, quoted);
}

static inline tern_status need_name(tern_parser *p, tern_var *out)
{
    if (p->at->kind != TERN_LEX_NAME) return parse_fail(p, "a name");
    *out = tern_var_text(p->at->text, p->at->size);
    p->at++;
    return TERN_OK;
}

/* An expression; one without conditionals; one or, with commas between, several, which are a tuple; arguments behind "(". */
tern_status tern_parse_expression(tern_parser *p, branch *out);
tern_status tern_parse_condition(tern_parser *p, branch *out);
tern_status tern_parse_tuple(tern_parser *p, branch *out);
tern_status tern_parse_arguments(tern_parser *p, branch *first);

#endif
