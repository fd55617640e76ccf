/* Numbers as files hold them, in little- or big-endian order. */
#ifndef TERN_IO_BYTES_H
#define TERN_IO_BYTES_H

#include "base/base.h"

static inline uint64_t tern_little(const void *bytes, int count)
{
    const uint8_t *p = bytes;
    uint64_t value = 0;
    for (int i = count - 1; i >= 0; i--) value = value << 8 | p[i];
    return value;
}

static inline uint64_t tern_big(const void *bytes, int count)
{
    const uint8_t *p = bytes;
    uint64_t value = 0;
    for (int i = 0; i < count; i++) value = value << 8 | p[i];
    return value;
}

/* Turns `bytes` bytes of elements of `size` bytes each between this computer's order and the given one, in place. */
void tern_order_bytes(void *data, size_t bytes, size_t size, bool big_endian);

#endif
