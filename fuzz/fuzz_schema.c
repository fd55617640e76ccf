/* JSON schemas: what becomes a grammar must be one. */
#include "fuzz.h"

#include "llm/grammar.h"

#include <string.h>

static tern_status parse(const uint8_t *bytes, size_t count)
{
    tern_text gbnf = {0};
    tern_grammar *g;
    tern_status status = tern_schema_grammar(&gbnf, (const char *)bytes, count);
    if (status == TERN_OK) {
        status = tern_grammar_open(&g, gbnf.data, gbnf.size);
        if (status == TERN_OK)
            tern_grammar_close(g);
        else if (!strstr(tern_message(), "can begin with itself") && !strstr(tern_message(), "elements"))
            abort(); /* a schema that refers to itself and nothing else, or that is too large, but no other reason */
    }
    tern_text_free(&gbnf);
    return status;
}

TERN_FUZZER(parse)
