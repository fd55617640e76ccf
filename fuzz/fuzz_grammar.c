/* GBNF, and a text through each grammar that is one. */
#include "fuzz.h"

#include "llm/grammar.h"

static tern_status parse(const uint8_t *bytes, size_t count)
{
    static const char text[] = "{\"a\": [1, 2.5e3, \"\xC3\xA4\xF0\x9F\x98\x80\"]} ab";
    tern_grammar *g;
    bool begins, whole;
    TERN_TRY(tern_grammar_open(&g, (const char *)bytes, count));
    tern_status status = tern_grammar_match(g, text, sizeof text - 1, &begins, &whole);
    tern_grammar_close(g);
    return status;
}

TERN_FUZZER(parse)
