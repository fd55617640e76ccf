/* PNG and JPEG, and what is done to images. */
#include "fuzz.h"

#include "io/io.h"

static tern_status parse(const uint8_t *bytes, size_t count)
{
    tern_tensor image = {0}, grey = {0}, small = {0};
    TERN_TRY(tern_image_parse(bytes, count, "fuzz", &image));
    tern_status status = tern_image_grey(&image, &grey);
    if (status == TERN_OK) status = tern_image_resize(&grey, 5, 3, TERN_RESIZE_AREA, &small);
    tern_tensor_free(&image);
    tern_tensor_free(&grey);
    tern_tensor_free(&small);
    return status;
}

TERN_FUZZER(parse)
