/* IDX, plain and gzipped. */
#include "fuzz.h"

#include "io/io.h"

static tern_status parse(const uint8_t *bytes, size_t count)
{
    tern_tensor t = {0};
    TERN_TRY(tern_idx_parse(bytes, count, "fuzz", &t));
    tern_tensor_free(&t);
    return TERN_OK;
}

TERN_FUZZER(parse)
