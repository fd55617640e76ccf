/* Templates to tokens.  White space around tags is settled here: "-" eats all of it, block tags and comments eat the blanks
 * before them on their line (lstrip_blocks) and the newline behind them (trim_blocks). */
#include "llm/template_parts.h"
#include "llm/tokenizer_parts.h"

#include <string.h>

typedef struct tern_lexer {
    tern_template *t;
    tern_lexemes *out;
    const char *at, *end;
    int line;
} tern_lexer;

static tern_status lex_fail(const tern_lexer *l, const char *what)
{
    return tern_fail(TERN_FAILED, "%s:%d: %s", l->t->name, l->line, what);
}

static tern_status add(tern_lexer *l, tern_lexeme_kind kind, const char *text, size_t size)
{
    TERN_TRY(tern_grow(&l->out->items, &l->out->capacity, l->out->count + 1, sizeof *l->out->items));
    l->out->items[l->out->count++] = (tern_lexeme){kind, l->line, text, size};
    return TERN_OK;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void skip_blanks(tern_lexer *l)
{
    while (l->at < l->end && is_blank(*l->at)) l->line += *l->at++ == '\n';
}

/* Text before a tag that begins at l->at. */
static tern_status add_data(tern_lexer *l, const char *from, bool output, char control)
{
    const char *to = l->at;
    int line = l->line;
    if (control == '-') {
        while (to > from && is_blank(to[-1])) to--;
    } else if (!output && control != '+') {
        const char *start = to;
        while (start > from && is_blank(start[-1]) && start[-1] != '\n') start--;
        bool line_start = start > from ? start[-1] == '\n' : from == l->t->source || from[-1] == '\n';
        if (line_start) to = start;
    }
    tern_status status = to > from ? add(l, TERN_LEX_DATA, from, (size_t)(to - from)) : TERN_OK;
    for (const char *p = from; p < l->at; p++) line += *p == '\n';
    l->line = line;
    return status;
}

/* ---- inside tags --------------------------------------------------------------------------------------------------- */

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* One escape behind a backslash at p; returns where it ends. */
static const char *escape(const char *p, const char *end, tern_text *out)
{
    static const char from[] = "ntrabfv\\'\"", to[] = "\n\t\r\a\b\f\v\\'\"";
    const char *known = *p ? strchr(from, *p) : NULL;
    int length = *p == 'x' ? 2 : *p == 'u' ? 4 : *p == 'U' ? 8 : 0;
    uint32_t code = 0;
    if (*p == '\n') return p + 1;
    if (known) {
        tern_text_add(out, &to[known - from], 1);
        return p + 1;
    }
    for (int i = 1; i <= length; i++) {
        int value = p + i < end ? digit(p[i]) : -1;
        if (value < 0) length = 0;
        code = code * 16 + (uint32_t)value;
    }
    if (length && (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))) length = 0;
    if (length) {
        tern_utf8_put(out, code);
        return p + 1 + length;
    }
    tern_text_put(out, "\\");
    tern_text_add(out, p, 1);
    return p + 1;
}

static tern_status lex_text(tern_lexer *l)
{
    char quote = *l->at;
    const char *p = l->at + 1;
    tern_text text = {0};
    int lines = 0;
    while (p < l->end && *p != quote) {
        lines += *p == '\n';
        if (*p == '\\' && p + 1 < l->end)
            p = escape(p + 1, l->end, &text);
        else
            tern_text_add(&text, p++, 1);
    }
    tern_status status = tern_text_status(&text);
    if (status == TERN_OK && p >= l->end) status = lex_fail(l, "a text in quotes does not end");
    char *copy = status == TERN_OK ? tern_arena_take(&l->t->arena, text.size + 1) : NULL;
    if (status == TERN_OK && !copy) status = tern_no_memory(text.size, l->t->name);
    if (status == TERN_OK) {
        if (text.size) memcpy(copy, text.data, text.size);
        status = add(l, TERN_LEX_TEXT, copy, text.size);
    }
    l->line += lines;
    l->at = p + 1;
    tern_text_free(&text);
    return status;
}

static bool is_name(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

static tern_status lex_number(tern_lexer *l)
{
    const char *p = l->at;
    bool real = false;
    while (p < l->end && digit(*p) >= 0 && digit(*p) < 10) p++;
    if (p + 1 < l->end && *p == '.' && p[1] >= '0' && p[1] <= '9') {
        real = true;
        p++;
        while (p < l->end && *p >= '0' && *p <= '9') p++;
    }
    if (p + 1 < l->end && (*p == 'e' || *p == 'E') &&
        ((p[1] >= '0' && p[1] <= '9') || p[1] == '-' || p[1] == '+')) {
        real = true;
        p += 2;
        while (p < l->end && *p >= '0' && *p <= '9') p++;
    }
    tern_status status = add(l, real ? TERN_LEX_REAL : TERN_LEX_WHOLE, l->at, (size_t)(p - l->at));
    l->at = p;
    return status;
}

static tern_status lex_sign(tern_lexer *l, int *nesting)
{
    static const char *const two[] = {"**", "//", "==", "!=", "<=", ">="};
    size_t size = 1;
    for (size_t i = 0; i < TERN_COUNT(two); i++)
        if (l->at + 1 < l->end && memcmp(l->at, two[i], 2) == 0) size = 2;
    char c = *l->at;
    if (c == 0 || !strchr("+-*/%~<>=.:|,()[]{}!", c) || (c == '!' && size == 1)) {
        char what[64];
        snprintf(what, sizeof what, "unexpected character '%c' (byte %d)", c >= 32 && c < 127 ? c : '?',
                 (uint8_t)c);
        return lex_fail(l, what);
    }
    *nesting += (c == '(' || c == '[' || c == '{') - (c == ')' || c == ']' || c == '}');
    TERN_TRY(add(l, TERN_LEX_SIGN, l->at, size));
    l->at += size;
    return TERN_OK;
}

/* Behind "{{" or "{%" to behind its end. */
static tern_status lex_tag(tern_lexer *l, bool output)
{
    char close = output ? '}' : '%';
    int nesting = 0;
    for (;;) {
        skip_blanks(l);
        if (l->at >= l->end) return lex_fail(l, output ? "\"{{\" without \"}}\"" : "\"{%\" without \"%}\"");
        const char *p = l->at;
        char control = *p == '-' || *p == '+' ? *p++ : 0;
        if (nesting == 0 && p + 1 < l->end && p[0] == close && p[1] == '}') {
            TERN_TRY(add(l, output ? TERN_LEX_END_OUTPUT : TERN_LEX_END_BLOCK, p, 2));
            l->at = p + 2;
            if (control == '-')
                skip_blanks(l);
            else if (!output && control != '+' && l->at < l->end && *l->at == '\n')
                l->at++, l->line++;
            return TERN_OK;
        }
        if (*l->at == '"' || *l->at == '\'') {
            TERN_TRY(lex_text(l));
        } else if (*l->at >= '0' && *l->at <= '9') {
            TERN_TRY(lex_number(l));
        } else if (is_name(*l->at, true)) {
            for (p = l->at; p < l->end && is_name(*p, false);) p++;
            TERN_TRY(add(l, TERN_LEX_NAME, l->at, (size_t)(p - l->at)));
            l->at = p;
        } else {
            TERN_TRY(lex_sign(l, &nesting));
        }
    }
}

static tern_status lex_comment(tern_lexer *l)
{
    const char *p = l->at;
    while (p + 1 < l->end && !(p[0] == '#' && p[1] == '}')) l->line += *p++ == '\n';
    if (p + 1 >= l->end) return lex_fail(l, "\"{#\" without \"#}\"");
    char control = p > l->at ? p[-1] : 0;
    l->at = p + 2;
    if (control == '-')
        skip_blanks(l);
    else if (control != '+' && l->at < l->end && *l->at == '\n')
        l->at++, l->line++;
    return TERN_OK;
}

tern_status tern_template_lex(tern_template *t, tern_lexemes *out)
{
    tern_lexer l = {.t = t, .out = out, .at = t->source, .end = t->source + t->size, .line = 1};
    const char *from = l.at;
    while (l.at < l.end) {
        char next = l.at + 1 < l.end ? l.at[1] : 0;
        if (*l.at != '{' || (next != '{' && next != '%' && next != '#')) {
            l.at++;
            continue;
        }
        char control = l.at + 2 < l.end && (l.at[2] == '-' || l.at[2] == '+') ? l.at[2] : 0;
        TERN_TRY(add_data(&l, from, next == '{', control));
        l.at += 2;
        if (next == '#') {
            TERN_TRY(lex_comment(&l));
        } else {
            l.at += control != 0;
            TERN_TRY(add(&l, next == '{' ? TERN_LEX_BEGIN_OUTPUT : TERN_LEX_BEGIN_BLOCK, l.at, 0));
            TERN_TRY(lex_tag(&l, next == '{'));
        }
        from = l.at;
    }
    TERN_TRY(add_data(&l, from, true, 0));
    return add(&l, TERN_LEX_END, l.at, 0);
}
