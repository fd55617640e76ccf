/* safetensors, and the checks of checkpoints on top. */
#include "fuzz.h"

#include "io/io.h"

static tern_status parse(const uint8_t *bytes, size_t count)
{
    tern_bundle plain = {0}, checked = {0};
    char *document = NULL;
    TERN_TRY(tern_safetensors_parse(bytes, count, "fuzz", &plain));
    tern_status status = tern_checkpoint_parse(bytes, count, "fuzz", &checked, &document);
    tern_release(document);
    tern_bundle_free(&plain);
    tern_bundle_free(&checked);
    return status;
}

TERN_FUZZER(parse)
