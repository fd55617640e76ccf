/* Expressions of templates: tokens to a tree, by recursive descent in Jinja's order of precedence. */
#include "llm/template_parser.h"

#include <stdlib.h>
#include <string.h>

static tern_status unary(tern_parser *p, bool filters, branch *out);

/* ---- operands ------------------------------------------------------------------------------------------------------- */

/* Items up to `close`, separated by commas; dict: key: value. */
static tern_status items(tern_parser *p, const char *close, bool dict, branch *first, bool *comma)
{
    branch *next = first;
    *comma = false;
    while (!take_sign(p, close)) {
        if (*first) {
            TERN_TRY(need_sign(p, ","));
            *comma = true;
            if (take_sign(p, close)) break;
        }
        TERN_TRY(tern_parse_expression(p, next));
        next = &(*next)->next; // NOLINT(*NullDereference): an expression that was read is there
        if (!dict) continue;
        TERN_TRY(need_sign(p, ":"));
        TERN_TRY(tern_parse_expression(p, next));
        next = &(*next)->next;
    }
    return TERN_OK;
}

static tern_status constant(tern_parser *p, tern_var value, branch *out)
{
    TERN_TRY(new_branch(p, TERN_BRANCH_CONSTANT, out));
    (*out)->constant = value;
    return TERN_OK;
}

static tern_status number(tern_parser *p, branch *out)
{
    char digits[64];
    size_t size = p->at->size < sizeof digits - 1 ? p->at->size : sizeof digits - 1;
    bool real = p->at->kind == TERN_LEX_REAL;
    memcpy(digits, p->at->text, size);
    digits[size] = 0;
    tern_var value = tern_var_whole(0);
    if (real)
        value = (tern_var){.kind = TERN_VAR_FLOAT, .real = strtod(digits, NULL)};
    else if (size > 18)
        return parse_fail(p, "a number below 10^18");
    else
        value.whole = strtoll(digits, NULL, 10);
    p->at++;
    return constant(p, value, out);
}

/* Neighbouring texts are one. */
static tern_status text(tern_parser *p, branch *out)
{
    tern_text whole = {0};
    size_t size = 0;
    const tern_lexeme *first = p->at;
    while (p->at->kind == TERN_LEX_TEXT) {
        tern_text_add(&whole, p->at->text, p->at->size);
        size += p->at->size;
        p->at++;
    }
    tern_status status = tern_text_status(&whole);
    char *copy = p->at - first > 1 && status == TERN_OK ? tern_arena_take(&p->t->arena, size + 1) : NULL;
    if (p->at - first > 1 && status == TERN_OK && !copy) status = tern_no_memory(size, p->t->name);
    if (copy && size) memcpy(copy, whole.data, size);
    tern_text_free(&whole);
    TERN_TRY(status);
    return constant(p, tern_var_text(copy ? copy : first->text, size), out);
}

static tern_status name(tern_parser *p, branch *out)
{
    static const struct {
        const char *word;
        tern_var value;
    } known[] = {{"true", {.kind = TERN_VAR_BOOL, .truth = true}},
                 {"True", {.kind = TERN_VAR_BOOL, .truth = true}},
                 {"false", {.kind = TERN_VAR_BOOL}},
                 {"False", {.kind = TERN_VAR_BOOL}},
                 {"none", {.kind = TERN_VAR_NONE}},
                 {"None", {.kind = TERN_VAR_NONE}}};
    for (size_t i = 0; i < TERN_COUNT(known); i++)
        if (take_word(p, known[i].word)) return constant(p, known[i].value, out);
    TERN_TRY(new_branch(p, TERN_BRANCH_NAME, out));
    return need_name(p, &(*out)->constant);
}

static tern_status primary(tern_parser *p, branch *out)
{
    bool comma;
    branch list;
    switch (p->at->kind) {
    case TERN_LEX_NAME:
        return name(p, out);
    case TERN_LEX_TEXT:
        return text(p, out);
    case TERN_LEX_WHOLE:
    case TERN_LEX_REAL:
        return number(p, out);
    default:
        break;
    }
    if (take_sign(p, "(")) {
        TERN_TRY(new_branch(p, TERN_BRANCH_LIST, &list));
        TERN_TRY(items(p, ")", false, &list->a, &comma));
        list->op = 't';
        *out = list->a && !comma ? list->a : list; /* in brackets, or a tuple */
        return TERN_OK;
    }
    if (take_sign(p, "[")) {
        TERN_TRY(new_branch(p, TERN_BRANCH_LIST, out));
        return items(p, "]", false, &(*out)->a, &comma);
    }
    if (take_sign(p, "{")) {
        TERN_TRY(new_branch(p, TERN_BRANCH_DICT, out));
        return items(p, "}", true, &(*out)->a, &comma);
    }
    return parse_fail(p, "a value");
}

tern_status tern_parse_arguments(tern_parser *p, branch *first)
{
    branch *next = first;
    while (!take_sign(p, ")")) {
        if (*first) {
            TERN_TRY(need_sign(p, ","));
            if (take_sign(p, ")")) break;
        }
        bool keyword = p->at->kind == TERN_LEX_NAME && p->at[1].kind == TERN_LEX_SIGN && p->at[1].size == 1 &&
                       p->at[1].text[0] == '=';
        if (keyword) {
            TERN_TRY(new_branch(p, TERN_BRANCH_KEYWORD, next));
            TERN_TRY(need_name(p, &(*next)->constant));
            p->at++;
            TERN_TRY(tern_parse_expression(p, &(*next)->a));
        } else {
            TERN_TRY(tern_parse_expression(p, next));
        }
        next = &(*next)->next; // NOLINT(*NullDereference): an expression that was read is there
    }
    return TERN_OK;
}

/* Behind "[": an index, or a slice. */
static tern_status subscript(tern_parser *p, branch of, branch *out)
{
    branch parts[3] = {0};
    int colons = 0;
    for (; colons < 3; colons++) {
        if (!is_sign(p, ":") && !is_sign(p, "]")) TERN_TRY(tern_parse_expression(p, &parts[colons]));
        if (!take_sign(p, ":")) break;
    }
    if (!colons && !parts[0]) return parse_fail(p, "an index");
    TERN_TRY(need_sign(p, "]"));
    TERN_TRY(new_pair(p, colons ? TERN_BRANCH_SLICE : TERN_BRANCH_ITEM, 0, of, parts[0], out));
    (*out)->c = parts[1];
    (*out)->d = parts[2];
    return TERN_OK;
}

static tern_status postfix(tern_parser *p, branch *out)
{
    for (;;) {
        branch of = *out;
        if (take_sign(p, ".")) {
            if (p->at->kind == TERN_LEX_WHOLE) {
                TERN_TRY(new_pair(p, TERN_BRANCH_ITEM, 0, of, NULL, out));
                TERN_TRY(number(p, &(*out)->b));
                continue;
            }
            TERN_TRY(new_pair(p, TERN_BRANCH_ATTRIBUTE, 0, of, NULL, out));
            TERN_TRY(need_name(p, &(*out)->constant));
        } else if (take_sign(p, "[")) {
            TERN_TRY(subscript(p, of, out));
        } else if (take_sign(p, "(")) {
            TERN_TRY(new_pair(p, TERN_BRANCH_CALL, 0, of, NULL, out));
            TERN_TRY(tern_parse_arguments(p, &(*out)->b));
        } else {
            return TERN_OK;
        }
    }
}

/* "is [not] name [argument]" */
static tern_status test(tern_parser *p, branch *out)
{
    branch of = *out, whole;
    bool negated = take_word(p, "not");
    TERN_TRY(new_pair(p, TERN_BRANCH_TEST, 0, of, NULL, &whole));
    TERN_TRY(need_name(p, &whole->constant));
    tern_lexeme_kind kind = p->at->kind;
    bool value = kind == TERN_LEX_TEXT || kind == TERN_LEX_WHOLE || kind == TERN_LEX_REAL ||
                 is_sign(p, "[") || is_sign(p, "{") ||
                 (kind == TERN_LEX_NAME && !is_word(p, "else") && !is_word(p, "or") && !is_word(p, "and") &&
                  !is_word(p, "if") && !is_word(p, "is") && !is_word(p, "in") && !is_word(p, "not"));
    if (take_sign(p, "(")) {
        TERN_TRY(tern_parse_arguments(p, &whole->b));
    } else if (value) {
        TERN_TRY(primary(p, &whole->b));
        TERN_TRY(postfix(p, &whole->b));
    }
    *out = whole;
    return negated ? new_pair(p, TERN_BRANCH_NOT, 0, whole, NULL, out) : TERN_OK;
}

static tern_status filters_and_tests(tern_parser *p, branch *out)
{
    for (;;) {
        branch of = *out;
        if (take_sign(p, "|")) {
            TERN_TRY(new_pair(p, TERN_BRANCH_FILTER, 0, of, NULL, out));
            TERN_TRY(need_name(p, &(*out)->constant));
            if (take_sign(p, "(")) TERN_TRY(tern_parse_arguments(p, &(*out)->b));
        } else if (take_word(p, "is")) {
            TERN_TRY(test(p, out));
        } else if (take_sign(p, "(")) { /* behind a filter */
            TERN_TRY(new_pair(p, TERN_BRANCH_CALL, 0, of, NULL, out));
            TERN_TRY(tern_parse_arguments(p, &(*out)->b));
        } else {
            return TERN_OK;
        }
    }
}

/* ---- operators ------------------------------------------------------------------------------------------------------ */

static tern_status unary(tern_parser *p, bool filters, branch *out)
{
    if (++p->depth > MOST_NESTING) return parse_fail(p, "less nesting");
    if (take_sign(p, "-")) {
        branch of = NULL;
        TERN_TRY(unary(p, false, &of));
        TERN_TRY(new_pair(p, TERN_BRANCH_NEGATE, 0, of, NULL, out));
    } else if (take_sign(p, "+")) {
        TERN_TRY(unary(p, false, out));
    } else {
        TERN_TRY(primary(p, out));
    }
    TERN_TRY(postfix(p, out));
    if (filters) TERN_TRY(filters_and_tests(p, out));
    p->depth--;
    return TERN_OK;
}

/* Levels of binary operators, the weakest first. */
static const struct {
    const char *sign;
    char op;
    int level;
} binary[] = {{"+", '+', 0}, {"-", '-', 0},  {"~", '~', 1}, {"*", '*', 2},
              {"/", '/', 2}, {"//", 'i', 2}, {"%", '%', 2}, {"**", 'p', 3}};

static tern_status arithmetic(tern_parser *p, int level, branch *out)
{
    if (level == 4) return unary(p, true, out);
    TERN_TRY(arithmetic(p, level + 1, out));
    for (size_t i = 0; i < TERN_COUNT(binary); i++) {
        if (binary[i].level != level || !take_sign(p, binary[i].sign)) continue;
        branch right = NULL;
        TERN_TRY(arithmetic(p, level + 1, &right));
        TERN_TRY(new_pair(p, TERN_BRANCH_BINARY, binary[i].op, *out, right, out));
        i = (size_t)-1; /* again from the first */
    }
    return TERN_OK;
}

static char take_comparison(tern_parser *p)
{
    static const struct {
        const char *sign;
        char op;
    } signs[] = {{"==", '='}, {"!=", '!'}, {"<", '<'}, {"<=", 'l'}, {">", '>'}, {">=", 'g'}};
    for (size_t i = 0; i < TERN_COUNT(signs); i++)
        if (take_sign(p, signs[i].sign)) return signs[i].op;
    if (take_word(p, "in")) return 'i';
    if (is_word(p, "not") && p->at[1].kind == TERN_LEX_NAME && p->at[1].size == 2 &&
        memcmp(p->at[1].text, "in", 2) == 0) {
        p->at += 2;
        return 'n';
    }
    return 0;
}

/* a < b < c is a < b and b < c. */
static tern_status comparison(tern_parser *p, branch *out)
{
    branch left = NULL, all = NULL;
    TERN_TRY(arithmetic(p, 0, &left));
    *out = left;
    for (char op; (op = take_comparison(p)) != 0;) {
        branch right = NULL, one;
        TERN_TRY(arithmetic(p, 0, &right));
        TERN_TRY(new_pair(p, TERN_BRANCH_COMPARE, op, left, right, &one));
        if (all)
            TERN_TRY(new_pair(p, TERN_BRANCH_AND, 0, all, one, &all));
        else
            all = one;
        left = right;
        *out = all;
    }
    return TERN_OK;
}

static tern_status negation(tern_parser *p, branch *out)
{
    if (!take_word(p, "not")) return comparison(p, out);
    branch of = NULL;
    if (++p->depth > MOST_NESTING) return parse_fail(p, "less nesting");
    TERN_TRY(negation(p, &of));
    p->depth--;
    return new_pair(p, TERN_BRANCH_NOT, 0, of, NULL, out);
}

static tern_status conjunction(tern_parser *p, branch *out)
{
    TERN_TRY(negation(p, out));
    while (take_word(p, "and")) {
        branch right = NULL;
        TERN_TRY(negation(p, &right));
        TERN_TRY(new_pair(p, TERN_BRANCH_AND, 0, *out, right, out));
    }
    return TERN_OK;
}

tern_status tern_parse_condition(tern_parser *p, branch *out)
{
    TERN_TRY(conjunction(p, out));
    while (take_word(p, "or")) {
        branch right = NULL;
        TERN_TRY(conjunction(p, &right));
        TERN_TRY(new_pair(p, TERN_BRANCH_OR, 0, *out, right, out));
    }
    return TERN_OK;
}

tern_status tern_parse_expression(tern_parser *p, branch *out)
{
    if (++p->depth > MOST_NESTING) return parse_fail(p, "less nesting");
    TERN_TRY(tern_parse_condition(p, out));
    while (take_word(p, "if")) {
        branch condition = NULL, other = NULL, value = *out;
        TERN_TRY(tern_parse_condition(p, &condition));
        if (take_word(p, "else")) TERN_TRY(tern_parse_expression(p, &other));
        TERN_TRY(new_pair(p, TERN_BRANCH_CONDITIONAL, 0, value, condition, out));
        (*out)->c = other;
    }
    p->depth--;
    return TERN_OK;
}

/* An expression, or several with commas between, which are a tuple. */
tern_status tern_parse_tuple(tern_parser *p, branch *out)
{
    TERN_TRY(tern_parse_expression(p, out));
    if (!is_sign(p, ",")) return TERN_OK;
    branch list, *next = &(*out)->next;
    TERN_TRY(new_pair(p, TERN_BRANCH_LIST, 't', *out, NULL, &list));
    while (take_sign(p, ",") && p->at->kind != TERN_LEX_END_BLOCK && p->at->kind != TERN_LEX_END_OUTPUT) {
        TERN_TRY(tern_parse_expression(p, next));
        next = &(*next)->next;
    }
    *out = list;
    return TERN_OK;
}
