/* Streams of events and their frames. */
#include "spike/events.h"

#include <string.h>

tern_status tern_events_add(tern_events *events, tern_event event)
{
    if (events->count == events->capacity) {
        size_t size = sizeof event, more = events->capacity ? 2 * events->capacity : 1024;
        void *bigger = tern_resize(events->items, events->count * size, more * size);
        if (!bigger) return tern_no_memory(more * size, "events");
        events->items = bigger;
        events->capacity = more;
    }
    events->items[events->count++] = event;
    return TERN_OK;
}

void tern_events_free(tern_events *events)
{
    tern_release(events->items);
    *events = (tern_events){0};
}

static tern_status parse(const uint8_t *p, size_t count, const char *name, tern_events *e)
{
    uint32_t base = 0, last = 0;
    for (size_t at = 0; at < count; at += 5) {
        tern_event event = {.x = p[at], .y = p[at + 1], .on = p[at + 2] >> 7};
        event.t = base + ((uint32_t)(p[at + 2] & 127) << 16 | (uint32_t)p[at + 3] << 8 | p[at + 4]);
        if (event.y == 240) {
            base += 1 << 13;
            continue;
        }
        if (event.x >= e->width || event.y >= e->height)
            return tern_fail(TERN_FAILED, "%s: the event at byte %zu is at (%d,%d), expected within %d x %d",
                             name, at, event.x, event.y, e->width, e->height);
        if (event.t < last)
            return tern_fail(TERN_FAILED,
                             "%s: the event at byte %zu is at %u us, before the one in front of it at %u us",
                             name, at, event.t, last);
        last = event.t;
        TERN_TRY(tern_events_add(e, event));
    }
    return TERN_OK;
}

tern_status tern_events_parse_atis(const void *bytes, size_t count, const char *name, int width, int height,
                                   tern_events *out)
{
    if (count % 5)
        return tern_fail(TERN_FAILED, "%s: %zu bytes, expected a multiple of 5: no ATIS events, or truncated",
                         name, count);
    tern_events e = {.width = width, .height = height};
    tern_status status = parse(bytes, count, name, &e);
    if (status != TERN_OK)
        tern_events_free(&e);
    else
        *out = e;
    return status;
}

void tern_events_frames(const tern_events *events, tern_frame_rule rule, tern_tensor *out)
{
    int64_t steps = out->shape.dim[0], height = out->shape.dim[2], width = out->shape.dim[3];
    size_t a_frame = events->count / (size_t)steps;
    memset(out->data, 0, (size_t)tern_elements(&out->shape));
    if (events->count == 0) return;
    uint32_t first = events->items[0].t;
    uint32_t window = (events->items[events->count - 1].t - first) / (uint32_t)steps;
    for (size_t i = 0; i < events->count; i++) {
        const tern_event *e = &events->items[i];
        size_t part = rule == TERN_FRAMES_BY_NUMBER ? a_frame : window;
        size_t place = rule == TERN_FRAMES_BY_NUMBER ? i : e->t - first;
        int64_t t = part ? (int64_t)(place / part) : steps - 1;
        if (t >= steps) t = steps - 1;
        int64_t y = e->y * height / events->height, x = e->x * width / events->width;
        uint8_t *pixel = (uint8_t *)out->data + ((t * 2 + e->on) * height + y) * width + x;
        *pixel += *pixel < 255;
    }
}
