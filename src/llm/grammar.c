/* GBNF to rules.  Repetitions become rules of their own: x* is r ::= x r | nothing. */
#include "llm/grammar_parts.h"
#include "llm/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

#define MOST_NESTING  64
#define MOST_REPEATS  100000
#define MOST_ELEMENTS ((size_t)4 << 20)

typedef struct tern_gbnf {
    tern_grammar *g;
    const char *at, *end;
    int line, depth;
} tern_gbnf;

/* Elements of the alternative that is being read. */
typedef struct tern_sequence {
    tern_element *items;
    size_t count, capacity;
} tern_sequence;

static tern_status gbnf_fail(const tern_gbnf *p, const char *what)
{
    return tern_fail(TERN_FAILED, "grammar, line %d: %s", p->line, what);
}

static tern_status append(tern_sequence *s, tern_element e)
{
    TERN_TRY(tern_grow(&s->items, &s->capacity, s->count + 1, sizeof *s->items));
    s->items[s->count++] = e;
    return TERN_OK;
}

static tern_status add_range(tern_grammar *g, uint32_t low, uint32_t high)
{
    TERN_TRY(tern_grow(&g->ranges, &g->range_capacity, g->range_count + 1, sizeof *g->ranges));
    g->ranges[g->range_count++] = (tern_range){low, high};
    return TERN_OK;
}

static tern_status new_rule(tern_grammar *g, uint32_t *index)
{
    TERN_TRY(tern_grow(&g->rules, &g->rule_capacity, g->rule_count + 1, sizeof *g->rules));
    *index = (uint32_t)g->rule_count;
    g->rules[g->rule_count++] = (tern_rule){0};
    return TERN_OK;
}

/* One more alternative of a rule: elements, and their end. */
static tern_status add_alternative(tern_grammar *g, uint32_t rule, const tern_element *items, size_t count)
{
    tern_rule *r = &g->rules[rule];
    if (g->element_count + count > MOST_ELEMENTS)
        return tern_fail(TERN_FAILED, "grammar: more than %zu elements: use smaller repetitions",
                         MOST_ELEMENTS);
    TERN_TRY(tern_grow(&r->alternatives, &r->capacity, r->count + 1, sizeof *r->alternatives));
    TERN_TRY(
        tern_grow(&g->elements, &g->element_capacity, g->element_count + count + 1, sizeof *g->elements));
    r->alternatives[r->count++] = (uint32_t)g->element_count;
    if (count) memcpy(g->elements + g->element_count, items, count * sizeof *items);
    g->element_count += count;
    g->elements[g->element_count++] = (tern_element){.kind = TERN_ELEMENT_END};
    return TERN_OK;
}

/* ---- what is between the marks ----------------------------------------------------------------------------------------- */

static void skip_space(tern_gbnf *p, bool lines)
{
    while (p->at < p->end) {
        char c = *p->at;
        if (c == '#') {
            while (p->at < p->end && *p->at != '\n') p->at++;
        } else if (c == ' ' || c == '\t' || c == '\r' || (lines && c == '\n')) {
            p->line += c == '\n';
            p->at++;
        } else {
            return;
        }
    }
}

static bool next_is(const tern_gbnf *p, const char *text)
{
    size_t size = strlen(text);
    return (size_t)(p->end - p->at) >= size && memcmp(p->at, text, size) == 0;
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static size_t name_size(const tern_gbnf *p)
{
    size_t size = 0;
    while (p->at + size < p->end && is_name(p->at[size])) size++;
    return size;
}

/* The rule of a name, made when it is new. */
static tern_status rule_of(tern_gbnf *p, size_t size, uint32_t *index)
{
    for (uint32_t i = 0; i < p->g->rule_count; i++) {
        const char *name = p->g->rules[i].name;
        if (!name || strlen(name) != size || memcmp(name, p->at, size) != 0) continue;
        *index = i;
        return TERN_OK;
    }
    char *copy = tern_take(size + 1);
    if (!copy) return tern_no_memory(size, "a grammar");
    memcpy(copy, p->at, size);
    tern_status status = new_rule(p->g, index);
    if (status == TERN_OK)
        p->g->rules[*index].name = copy;
    else
        tern_release(copy);
    return status;
}

/* One character, or an escape of one. */
static tern_status character(tern_gbnf *p, uint32_t *code)
{
    static const char from[] = "nrt\\\"[]-^", to[] = "\n\r\t\\\"[]-^";
    bool valid;
    if (p->at >= p->end) return gbnf_fail(p, "the grammar ends inside quotes or brackets");
    if (*p->at != '\\') {
        p->line += *p->at == '\n';
        p->at += tern_utf8_decode(p->at, (size_t)(p->end - p->at), code, &valid);
        return valid ? TERN_OK : gbnf_fail(p, "bytes that are no UTF-8");
    }
    if (++p->at >= p->end) return gbnf_fail(p, "the grammar ends behind a backslash");
    const char *known = *p->at ? strchr(from, *p->at) : NULL;
    int digits = *p->at == 'x' ? 2 : *p->at == 'u' ? 4 : *p->at == 'U' ? 8 : 0;
    p->at++;
    *code = known ? (uint8_t)to[known - from] : 0;
    for (int i = 0; i < digits; i++) {
        char c = p->at < p->end ? *p->at++ : 0;
        int value = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (value < 0) return gbnf_fail(p, "an escape with too few hexadecimal digits");
        *code = *code * 16 + (uint32_t)value;
    }
    if (!known && !digits)
        return gbnf_fail(
            p,
            "an unknown escape: known are \\n \\r \\t \\\\ \\\" \\[ \\] \\- \\^ \\xNN \\uNNNN \\UNNNNNNNN");
    return *code <= 0x10FFFF ? TERN_OK : gbnf_fail(p, "a character above U+10FFFF");
}

static tern_status literal(tern_gbnf *p, tern_sequence *s)
{
    p->at++;
    while (p->at < p->end && *p->at != '"') {
        uint32_t code;
        TERN_TRY(character(p, &code));
        TERN_TRY(append(s, (tern_element){TERN_ELEMENT_CLASS, false, (uint32_t)p->g->range_count, 1}));
        TERN_TRY(add_range(p->g, code, code));
    }
    if (p->at++ >= p->end) return gbnf_fail(p, "quotes that do not end");
    return TERN_OK;
}

static tern_status class(tern_gbnf *p, tern_sequence *s)
{
    tern_element e = {TERN_ELEMENT_CLASS, false, (uint32_t)p->g->range_count, 0};
    p->at++;
    if (p->at < p->end && *p->at == '^') e.negated = true, p->at++;
    while (p->at < p->end && *p->at != ']') {
        uint32_t low, high;
        TERN_TRY(character(p, &low));
        high = low;
        if (p->at + 1 < p->end && p->at[0] == '-' && p->at[1] != ']') {
            p->at++;
            TERN_TRY(character(p, &high));
        }
        if (high < low) return gbnf_fail(p, "a range whose end comes before its beginning");
        TERN_TRY(add_range(p->g, low, high));
        e.count++;
    }
    if (p->at++ >= p->end) return gbnf_fail(p, "\"[\" without \"]\"");
    return append(s, e);
}

/* ---- rules --------------------------------------------------------------------------------------------------------------- */

static tern_status alternatives(tern_gbnf *p, uint32_t rule, bool nested);

static tern_status group(tern_gbnf *p, tern_sequence *s)
{
    uint32_t rule;
    if (++p->depth > MOST_NESTING) return gbnf_fail(p, "groups nest deeper than 64");
    TERN_TRY(new_rule(p->g, &rule));
    p->at++;
    TERN_TRY(alternatives(p, rule, true));
    p->depth--;
    if (!next_is(p, ")")) return gbnf_fail(p, "\"(\" without \")\"");
    p->at++;
    return append(s, (tern_element){TERN_ELEMENT_RULE, false, rule, 0});
}

/* {m}, {m,}, {m,n}; most -1: no bound */
static tern_status bounds(tern_gbnf *p, int *least, int *most)
{
    char *stop;
    p->at++;
    skip_space(p, false);
    long low = p->at < p->end && *p->at >= '0' && *p->at <= '9' ? strtol(p->at, &stop, 10) : -1, high = low;
    if (low >= 0) p->at = stop;
    skip_space(p, false);
    if (low >= 0 && next_is(p, ",")) {
        p->at++;
        skip_space(p, false);
        high = -1;
        if (p->at < p->end && *p->at >= '0' && *p->at <= '9') {
            high = strtol(p->at, &stop, 10);
            p->at = stop;
            if (high < low) low = -1;
        }
        skip_space(p, false);
    }
    if (low < 0 || !next_is(p, "}")) return gbnf_fail(p, "expected {m}, {m,} or {m,n} with m <= n");
    if (low > MOST_REPEATS || high > MOST_REPEATS) return gbnf_fail(p, "more than 100000 repetitions");
    p->at++;
    *least = (int)low;
    *most = (int)high;
    return TERN_OK;
}

/* What stands in s from `from` on, repeated.  Of rest rules each is one more x, or nothing. */
static tern_status repeat(tern_gbnf *p, tern_sequence *s, size_t from, int least, int most)
{
    size_t size = s->count - from;
    tern_sequence unit = {0};
    tern_status status = TERN_OK;
    uint32_t rule = 0;
    if (size > 1) { /* a literal: as one element */
        status = new_rule(p->g, &rule);
        if (status == TERN_OK) status = add_alternative(p->g, rule, s->items + from, size);
        if (status == TERN_OK) status = append(&unit, (tern_element){TERN_ELEMENT_RULE, false, rule, 0});
    } else if (size) {
        status = append(&unit, s->items[from]);
    }
    s->count = from;
    if (!size) least = most = 0; /* "" however often */
    for (int i = 0; i < least && status == TERN_OK; i++) status = append(s, unit.items[0]);
    uint32_t rest = 0;
    if (most < 0 && status == TERN_OK) { /* r ::= x r | */
        status = new_rule(p->g, &rest);
        tern_element both[2] = {unit.items[0], {TERN_ELEMENT_RULE, false, rest, 0}};
        if (status == TERN_OK) status = add_alternative(p->g, rest, both, 2);
        if (status == TERN_OK) status = add_alternative(p->g, rest, NULL, 0);
    }
    for (int i = least; i < most && status == TERN_OK; i++) { /* the last first: r ::= x r' | */
        tern_element both[2] = {unit.items[0], {TERN_ELEMENT_RULE, false, rest, 0}};
        status = new_rule(p->g, &rest);
        if (status == TERN_OK) status = add_alternative(p->g, rest, both, i == least ? 1 : 2);
        if (status == TERN_OK) status = add_alternative(p->g, rest, NULL, 0);
    }
    if (status == TERN_OK && most != least)
        status = append(s, (tern_element){TERN_ELEMENT_RULE, false, rest, 0});
    tern_release(unit.items);
    return status;
}

/* Signs in a row as one, x+? is x*: each level of repetitions would double the ways to go on. */
static bool signs(tern_gbnf *p, int *least, int *most)
{
    bool found = false;
    *least = *most = 1;
    for (skip_space(p, false); p->at < p->end && *p->at && strchr("*+?", *p->at); skip_space(p, false)) {
        char c = *p->at++;
        *least = *least && c == '+';
        *most = c == '?' ? *most : -1;
        found = true;
    }
    return found;
}

static tern_status repetition(tern_gbnf *p, tern_sequence *s, size_t from)
{
    for (int least, most;;) {
        if (signs(p, &least, &most))
            TERN_TRY(repeat(p, s, from, least, most));
        else if (p->at < p->end && *p->at == '{') {
            TERN_TRY(bounds(p, &least, &most));
            TERN_TRY(repeat(p, s, from, least, most));
        } else
            return TERN_OK;
    }
}

static tern_status sequence(tern_gbnf *p, tern_sequence *s, bool nested)
{
    for (;;) {
        size_t from = s->count, size;
        skip_space(p, nested);
        if (p->at >= p->end) return TERN_OK;
        if (*p->at == '"') {
            TERN_TRY(literal(p, s));
        } else if (*p->at == '[') {
            TERN_TRY(class(p, s));
        } else if (*p->at == '.') {
            TERN_TRY(append(s, (tern_element){TERN_ELEMENT_CLASS, true, 0, 0}));
            p->at++;
        } else if (*p->at == '(') {
            TERN_TRY(group(p, s));
        } else if ((size = name_size(p)) != 0) {
            tern_element e = {.kind = TERN_ELEMENT_RULE};
            TERN_TRY(rule_of(p, size, &e.first));
            TERN_TRY(append(s, e));
            p->at += size;
        } else {
            return TERN_OK;
        }
        TERN_TRY(repetition(p, s, from));
    }
}

static tern_status alternatives(tern_gbnf *p, uint32_t rule, bool nested)
{
    for (;;) {
        tern_sequence s = {0};
        tern_status status = sequence(p, &s, nested);
        if (status == TERN_OK) status = add_alternative(p->g, rule, s.items, s.count);
        tern_release(s.items);
        TERN_TRY(status);
        tern_gbnf ahead = *p; /* "|" may stand on the next line */
        skip_space(&ahead, true);
        if (!next_is(&ahead, "|")) return TERN_OK;
        *p = ahead;
        p->at++;
        skip_space(p, true);
    }
}

static tern_status definition(tern_gbnf *p)
{
    uint32_t rule;
    size_t size = name_size(p);
    if (!size) return gbnf_fail(p, "expected the name of a rule");
    TERN_TRY(rule_of(p, size, &rule));
    if (p->g->rules[rule].line) return gbnf_fail(p, "a rule of this name is there already");
    p->g->rules[rule].line = p->line;
    p->at += size;
    skip_space(p, false);
    if (!next_is(p, "::=")) return gbnf_fail(p, "expected ::= behind the name of a rule");
    p->at += 3;
    skip_space(p, true);
    TERN_TRY(alternatives(p, rule, false));
    skip_space(p, false);
    return p->at >= p->end || *p->at == '\n' ? TERN_OK : gbnf_fail(p, "expected the end of the line");
}

/* ---- checks -------------------------------------------------------------------------------------------------------------- */

/* Rules that can be empty: until nothing changes. */
static void find_empty(const tern_grammar *g, bool *empty)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = g->rule_count; i--;) /* chains of repetitions lie backwards: few rounds */
            for (size_t a = 0; a < g->rules[i].count && !empty[i]; a++) {
                const tern_element *e = &g->elements[g->rules[i].alternatives[a]];
                while (e->kind == TERN_ELEMENT_RULE && empty[e->first]) e++;
                if (e->kind == TERN_ELEMENT_END) empty[i] = changed = true;
            }
    }
}

typedef struct tern_visit {
    uint32_t rule, alternative, element;
} tern_visit;

/* A rule that can begin with itself would be expanded for ever: depth first over what rules begin with. */
static tern_status check_left(const tern_grammar *g, const bool *empty, uint8_t *state, tern_visit *stack)
{
    for (uint32_t start = 0; start < g->rule_count; start++) {
        size_t depth = 0;
        if (state[start]) continue;
        stack[depth++] = (tern_visit){start, 0, 0};
        state[start] = 1;
        while (depth) {
            tern_visit *v = &stack[depth - 1];
            const tern_rule *r = &g->rules[v->rule];
            if (v->alternative == r->count) {
                state[v->rule] = 2;
                depth--;
                continue;
            }
            const tern_element *e = &g->elements[r->alternatives[v->alternative] + v->element];
            if (e->kind != TERN_ELEMENT_RULE) {
                v->alternative++;
                v->element = 0;
                continue;
            }
            if (empty[e->first])
                v->element++;
            else
                v->alternative++, v->element = 0;
            if (state[e->first] == 1)
                return tern_fail(
                    TERN_FAILED,
                    "grammar: the rule \"%s\" can begin with itself (left recursion), which is not "
                    "supported: turn it round or repeat with *",
                    g->rules[e->first].name ? g->rules[e->first].name : "(a group)");
            if (state[e->first] == 0) {
                state[e->first] = 1;
                stack[depth++] = (tern_visit){e->first, 0, 0};
            }
        }
    }
    return TERN_OK;
}

static tern_status check(tern_grammar *g)
{
    size_t n = g->rule_count;
    g->root = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        const tern_rule *r = &g->rules[i];
        if (r->name && !r->line)
            return tern_fail(TERN_FAILED, "grammar: the rule \"%s\" is used, but not defined", r->name);
        if (r->name && strcmp(r->name, "root") == 0) g->root = (uint32_t)i;
    }
    if (g->root == UINT32_MAX) return tern_fail(TERN_FAILED, "grammar: there is no rule \"root\"");
    bool *empty = tern_take_array(n, sizeof *empty);
    uint8_t *state = tern_take_array(n, 1);
    tern_visit *stack = tern_take_array(n, sizeof *stack);
    tern_status status = empty && state && stack ? TERN_OK : tern_no_memory(n * sizeof *stack, "a grammar");
    if (status == TERN_OK) {
        find_empty(g, empty);
        status = check_left(g, empty, state, stack);
    }
    tern_release(empty);
    tern_release(state);
    tern_release(stack);
    return status;
}

tern_status tern_grammar_open(tern_grammar **grammar, const char *gbnf, size_t size)
{
    tern_grammar *g = tern_take(sizeof *g);
    char *copy = tern_take(size + 1); /* ends with a NUL */
    tern_status status = g && copy ? TERN_OK : tern_no_memory(size, "a grammar");
    if (status == TERN_OK) {
        memcpy(copy, gbnf, size);
        tern_gbnf p = {.g = g, .at = copy, .end = copy + size, .line = 1};
        for (skip_space(&p, true); p.at < p.end && status == TERN_OK; skip_space(&p, true))
            status = definition(&p);
        if (status == TERN_OK) status = check(g);
    }
    tern_release(copy);
    if (status != TERN_OK)
        tern_grammar_close(g);
    else
        *grammar = g;
    return status;
}

void tern_grammar_close(tern_grammar *g)
{
    if (!g) return;
    for (size_t i = 0; i < g->rule_count; i++) {
        tern_release(g->rules[i].alternatives);
        tern_release(g->rules[i].name);
    }
    tern_release(g->rules);
    tern_release(g->elements);
    tern_release(g->ranges);
    tern_release(g);
}
