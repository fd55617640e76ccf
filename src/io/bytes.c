#include "io/bytes.h"

static bool computer_is_big(void)
{
    const uint16_t one = 1;
    return *(const uint8_t *)&one == 0;
}

void tern_order_bytes(void *data, size_t bytes, size_t size, bool big_endian)
{
    if (big_endian == computer_is_big() || size < 2) return;
    uint8_t *p = data;
    for (size_t at = 0; at + size <= bytes; at += size) {
        for (size_t i = 0; i < size / 2; i++) {
            uint8_t swap = p[at + i];
            p[at + i] = p[at + size - 1 - i];
            p[at + size - 1 - i] = swap;
        }
    }
}
