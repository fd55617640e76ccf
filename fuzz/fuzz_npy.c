/* NPY, and NPZ where the bytes begin as a zip file does. */
#include "fuzz.h"

#include "io/io.h"

static tern_status parse_npz(const uint8_t *bytes, size_t count)
{
    tern_bundle b = {0};
    TERN_TRY(tern_npz_parse(bytes, count, "fuzz", &b));
    tern_bundle_free(&b);
    return TERN_OK;
}

static tern_status parse(const uint8_t *bytes, size_t count)
{
    tern_tensor t = {0};
    if (count > 1 && bytes[0] == 'P' && bytes[1] == 'K') return parse_npz(bytes, count);
    TERN_TRY(tern_npy_parse(bytes, count, "fuzz", &t));
    tern_tensor_free(&t);
    return TERN_OK;
}

TERN_FUZZER(parse)
