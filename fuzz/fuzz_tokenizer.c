/* tokenizer.json and SentencePiece models, and a text through each that opens. */
#include "fuzz.h"

#include "llm/tokenizer.h"

static tern_status parse(const uint8_t *bytes, size_t count)
{
    static const char text[] = "Hello  world, I'll \xC3\xA9\xE4\xBD\xA0\xF0\x9F\x98\x80 42 </s>\xFF\n";
    bool json = count && bytes[0] == '{';
    tern_vocabulary v;
    tern_tokenizer *t;
    tern_tokens ids = {0};
    if (json)
        TERN_TRY(tern_vocabulary_json(&v, (const char *)bytes, count, "fuzz"));
    else
        TERN_TRY(tern_vocabulary_model(&v, (const char *)bytes, count, "fuzz"));
    TERN_TRY(tern_tokenizer_open(&t, &v));
    tern_status status = tern_encode(t, text, sizeof text - 1, TERN_ENCODE_ENDS | TERN_ENCODE_SPECIAL, &ids);
    tern_tokens_free(&ids);
    tern_tokenizer_close(t);
    return status;
}

TERN_FUZZER(parse)
