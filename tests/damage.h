/* Damage to bytes, for readers that must survive it: cut at every length, and bytes replaced at random. */
#ifndef TERN_TEST_DAMAGE_H
#define TERN_TEST_DAMAGE_H

#include "test.h"

#include <stdlib.h>
#include <string.h>

/* Reads bytes and gives back all that it took. */
typedef tern_status damage_reader(const void *bytes, size_t count);

/* One attempt in a block of exactly `count` bytes, so that a sanitizer sees any step beyond it.  True when it was read;
 * a failure must have a message, and nothing may stay allocated. */
static inline bool damage_attempt(damage_reader *read, const void *bytes, size_t count)
{
    void *copy = malloc(count ? count : 1);
    size_t held = tern_allocated();
    if (count) memcpy(copy, bytes, count);
    tern_clear();
    tern_status status = read(copy, count);
    free(copy);
    if (status != TERN_OK && tern_message()[0] == 0)
        fail_msg("a failure without a message, %zu bytes", count);
    if (tern_allocated() != held) fail_msg("%zu bytes leak: %s", tern_allocated() - held, tern_message());
    return status == TERN_OK;
}

/* All shorter versions; how many of them were read as if they were whole. */
static inline int damage_cut(damage_reader *read, const void *bytes, size_t count)
{
    int taken = 0;
    for (size_t cut = 0; cut < count; cut++) taken += damage_attempt(read, bytes, cut);
    return taken;
}

/* `times` versions with one to four bytes replaced; how many of them were read. */
static inline int damage_flip(damage_reader *read, const void *bytes, size_t count, int times)
{
    int taken = 0;
    uint8_t *copy = malloc(count);
    tern_rng rng = {11, count};
    for (int i = 0; i < times; i++) {
        uint64_t n = (uint64_t)i * 16;
        memcpy(copy, bytes, count);
        for (uint64_t k = 0; k <= tern_rng_below(rng, n, 4); k++)
            copy[tern_rng_below(rng, n + 1 + 2 * k, count)] ^=
                (uint8_t)(1 + tern_rng_below(rng, n + 2 + 2 * k, 255));
        taken += damage_attempt(read, copy, count);
    }
    free(copy);
    return taken;
}

#endif
