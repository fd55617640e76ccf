/* Words of the ATIS camera, and their frames. */
#include "fuzz.h"

#include "spike/events.h"

static tern_status parse(const uint8_t *bytes, size_t count)
{
    tern_events events = {0};
    tern_tensor frames = {0};
    TERN_TRY(tern_events_parse_atis(bytes, count, "fuzz", 34, 34, &events));
    tern_status status = tern_tensor_new(&frames, TERN_U8, &TERN_SHAPE(7, 2, 34, 34));
    for (int rule = 0; rule < 2 && status == TERN_OK; rule++)
        tern_events_frames(&events, (tern_frame_rule)rule, &frames);
    tern_tensor_free(&frames);
    tern_events_free(&events);
    return status;
}

TERN_FUZZER(parse)
