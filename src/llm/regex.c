/* Regular expressions by PCRE2, with Unicode properties, in memory of Tern. */
#include "llm/tokenizer_parts.h"

#include <string.h>

#ifdef TERN_HAVE_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* A bound on backtracking: three orders above what patterns of real tokenizers need in a text of a megabyte's words. */
#define MOST_BACKTRACKS 10000000

struct tern_regex {
    pcre2_general_context *memory;
    pcre2_code *code;
    pcre2_match_context *limits;
};

static void *take(size_t bytes, void *unused)
{
    (void)unused;
    return tern_take(bytes);
}

static void release(void *memory, void *unused)
{
    (void)unused;
    tern_release(memory);
}

/* Hugging Face's patterns are Oniguruma's or Rust's: \s is the property White_Space, to which PCRE2 adds U+180E. */
static void adapt(tern_text *out, const char *pattern, size_t size)
{
    static const char spaces[] =
        "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}"
        "\\x{202f}\\x{205f}\\x{3000}";
    bool inside = false;
    for (size_t i = 0; i < size; i++) {
        char c = pattern[i], next = i + 1 < size ? pattern[i + 1] : 0;
        if (c == '\\' && next == 's') {
            tern_text_format(out, inside ? "%s" : "[%s]", spaces);
            i++;
        } else if (c == '\\' && next == 'S' && !inside) {
            tern_text_format(out, "[^%s]", spaces);
            i++;
        } else if (c == '\\' && i + 1 < size) {
            tern_text_add(out, pattern + i++, 2);
        } else {
            if (c == '[') inside = true;
            if (c == ']') inside = false;
            tern_text_add(out, &c, 1);
        }
    }
}

static tern_status compile(tern_regex *r, const char *pattern, size_t size)
{
    int error = PCRE2_ERROR_HEAP_FAILED;
    PCRE2_SIZE where = 0;
    pcre2_compile_context *context = pcre2_compile_context_create(r->memory);
    if (context)
        r->code = pcre2_compile((PCRE2_SPTR)pattern, size, PCRE2_UTF | PCRE2_UCP, &error, &where, context);
    pcre2_compile_context_free(context);
    if (r->code) error = pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE);
    if (error == PCRE2_ERROR_HEAP_FAILED || error == PCRE2_ERROR_NOMEMORY)
        return tern_no_memory(size, "a pattern");
    if (r->code) return TERN_OK; /* where the compiler to machine code is lacking, patterns are interpreted */
    char text[128] = "";
    pcre2_get_error_message(error, (PCRE2_UCHAR *)text, sizeof text);
    return tern_fail(TERN_FAILED, "the pattern \"%.*s\" is not understood at byte %zu: %s",
                     (int)(size < 80 ? size : 80), pattern, (size_t)where, text);
}

tern_status tern_regex_open(tern_regex **regex, const char *pattern, size_t size)
{
    tern_text adapted = {0};
    tern_regex *r = tern_take(sizeof *r);
    if (!r) return tern_no_memory(sizeof *r, "a pattern");
    tern_status status = TERN_OK;
    adapt(&adapted, pattern, size);
    TERN_GOTO(end, tern_text_status(&adapted));
    r->memory = pcre2_general_context_create(take, release, NULL);
    r->limits = r->memory ? pcre2_match_context_create(r->memory) : NULL;
    if (!r->limits) status = tern_no_memory(size, "a pattern");
    if (status == TERN_OK) status = compile(r, adapted.data ? adapted.data : "", adapted.size);
    if (status == TERN_OK) pcre2_set_match_limit(r->limits, MOST_BACKTRACKS);
end:
    tern_text_free(&adapted);
    if (status != TERN_OK)
        tern_regex_close(r);
    else
        *regex = r;
    return status;
}

void tern_regex_close(tern_regex *r)
{
    if (!r) return;
    pcre2_code_free(r->code);
    pcre2_match_context_free(r->limits);
    pcre2_general_context_free(r->memory);
    tern_release(r);
}

tern_status tern_regex_next(const tern_regex *r, tern_regex_match *state, const char *text, size_t size,
                            size_t from, size_t *begin, size_t *end, bool *found)
{
    if (!state->data) state->data = pcre2_match_data_create(1, r->memory);
    pcre2_match_data *match = state->data;
    if (!match) return tern_no_memory(64, "a match");
    uint32_t options = PCRE2_NO_UTF_CHECK;
    int code = pcre2_match(r->code, (PCRE2_SPTR)text, size, from, options, match, r->limits);
    if (code == PCRE2_ERROR_JIT_STACKLIMIT) /* a long match: the interpreter has the heap */
        code = pcre2_match(r->code, (PCRE2_SPTR)text, size, from, options | PCRE2_NO_JIT, match, r->limits);
    *found = code >= 0;
    if (*found) {
        const PCRE2_SIZE *at = pcre2_get_ovector_pointer(match);
        *begin = at[0];
        *end = at[1];
    }
    if (code >= 0 || code == PCRE2_ERROR_NOMATCH) return TERN_OK;
    if (code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAPLIMIT)
        return tern_no_memory(size, "the matching of a pattern");
    return tern_fail(
        TERN_FAILED,
        "the tokenizer's pattern takes too long on a text of %zu bytes (PCRE2 error %d): expected one that "
        "backtracks less",
        size, code);
}

void tern_regex_match_free(tern_regex_match *state)
{
    pcre2_match_data_free(state->data);
    state->data = NULL;
}
#else
tern_status tern_regex_open(tern_regex **regex, const char *pattern, size_t size)
{
    (void)regex, (void)pattern, (void)size;
    return tern_fail(TERN_FAILED,
                     "this build of Tern has no PCRE2, which this tokenizer's patterns need: install "
                     "PCRE2's headers (libpcre2-dev) and build again");
}

void tern_regex_close(tern_regex *regex)
{
    (void)regex;
}

tern_status tern_regex_next(const tern_regex *regex, tern_regex_match *state, const char *text, size_t size,
                            size_t from, size_t *begin, size_t *end, bool *found)
{
    (void)regex, (void)state, (void)text, (void)size, (void)from, (void)begin, (void)end, (void)found;
    return tern_fail(TERN_FAILED, "this build of Tern has no PCRE2");
}

void tern_regex_match_free(tern_regex_match *state)
{
    (void)state;
}
#endif
