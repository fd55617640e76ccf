/* Y4M and AVI, all frames. */
#include "fuzz.h"

#include "io/io.h"

static tern_status parse(const uint8_t *bytes, size_t count)
{
    tern_video *video;
    bool more = true;
    TERN_TRY(tern_video_parse(&video, bytes, count, "fuzz"));
    tern_status status = TERN_OK;
    for (int frames = 0; status == TERN_OK && more && frames < 8; frames++) {
        tern_tensor frame = {0};
        status = tern_video_next(video, frames & 1, &frame, &more);
        tern_tensor_free(&frame);
    }
    tern_video_close(video);
    return status;
}

TERN_FUZZER(parse)
