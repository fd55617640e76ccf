/* Messages of a CAN bus as samples. */
#include "io/can.h"

#include <string.h>

tern_status tern_traffic_add(tern_traffic *t, const tern_frame *m)
{
    if (t->count == t->capacity) {
        size_t capacity = t->capacity ? 2 * t->capacity : 1024;
        tern_frame *more = tern_take_array(capacity, sizeof *more);
        if (!more) return tern_no_memory(capacity * sizeof *more, "messages");
        if (t->count) memcpy(more, t->messages, t->count * sizeof *more);
        tern_release(t->messages);
        t->messages = more;
        t->capacity = capacity;
    }
    t->messages[t->count++] = *m;
    return TERN_OK;
}

tern_status tern_traffic_read(tern_traffic *traffic, const char *path, tern_frame_parse *parse, int label,
                              bool rising, const char *expected)
{
    char *text, *next;
    size_t count, before = traffic->count;
    TERN_TRY(tern_read_file(path, &text, &count));
    tern_status status = TERN_OK;
    int line = 1;
    for (char *at = text; status == TERN_OK && at && *at; at = next, line++) {
        tern_frame m;
        next = strchr(at, '\n');
        if (next) *next++ = 0;
        if (!parse(at, label, &m) ||
            (rising && traffic->count && m.time < traffic->messages[traffic->count - 1].time))
            status = tern_fail(TERN_FAILED, "%s:%d: \"%.60s\" is no message: expected %s", path, line, at,
                               expected);
        else
            status = tern_traffic_add(traffic, &m);
    }
    tern_release(text);
    if (status == TERN_OK && traffic->count - before < 100)
        status =
            tern_fail(TERN_FAILED, "%s: %zu messages, expected at least 100", path, traffic->count - before);
    return status;
}

int tern_hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

static void write_bits(const tern_frame *m, float *bits)
{
    for (int i = 0; i < TERN_CAN_IDENTIFIER_BITS; i++)
        bits[i] = (float)(m->identifier >> (TERN_CAN_IDENTIFIER_BITS - 1 - i) & 1);
    for (int i = 0; i < 8 * TERN_CAN_PAYLOAD; i++)
        bits[TERN_CAN_IDENTIFIER_BITS + i] = (float)(m->data[i / 8] >> (7 - i % 8) & 1);
}

tern_status tern_traffic_split(const tern_traffic *traffic, size_t count, tern_split *split)
{
    tern_shape images = TERN_SHAPE((int64_t)count, TERN_CAN_INPUTS), labels = TERN_SHAPE((int64_t)count);
    TERN_TRY(tern_tensor_new(&split->images, TERN_F32, &images));
    TERN_TRY(tern_tensor_new(&split->labels, TERN_I32, &labels));
    for (size_t i = 0; i < count; i++) {
        const tern_frame *m = &traffic->messages[i * traffic->count / count];
        write_bits(m, (float *)split->images.data + i * TERN_CAN_INPUTS);
        ((int32_t *)split->labels.data)[i] = m->label;
    }
    return TERN_OK;
}
