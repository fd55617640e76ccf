/* Bodies of requests to a server: the first byte says what kind of request it is. */
#include "fuzz.h"

#include "serve/ask.h"

static tern_status parse(const uint8_t *bytes, size_t count)
{
    static const tern_ask_kind kinds[] = {TERN_ASK_CHAT, TERN_ASK_TEXT, TERN_ASK_EMBED};
    tern_asked asked = {0};
    if (!count) return TERN_OK;
    tern_status status =
        tern_ask_read(&asked, kinds[bytes[0] % TERN_COUNT(kinds)], (const char *)bytes + 1, count - 1);
    if (status == TERN_OK && !asked.talk.count && !asked.prompt_count) abort();
    tern_asked_free(&asked);
    return status;
}

TERN_FUZZER(parse)
