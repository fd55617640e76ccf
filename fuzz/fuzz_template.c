/* Chat templates, and a rendering of each that is one. */
#include "fuzz.h"

#include "llm/template.h"

static tern_status parse(const uint8_t *bytes, size_t count)
{
    static const char variables[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"x \xC3\xA4\"},{\"role\":\"tool\","
        "\"content\":\"y\",\"n\":[1,2.5,null,true]}],\"bos_token\":\"<s>\",\"now_seconds\":1}";
    tern_template *t;
    tern_text out = {0};
    TERN_TRY(tern_template_open(&t, (const char *)bytes, count, "fuzz"));
    tern_status status = tern_template_render(t, variables, sizeof variables - 1, &out);
    tern_text_free(&out);
    tern_template_close(t);
    return status;
}

TERN_FUZZER(parse)
