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
