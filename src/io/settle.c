/* Weights are copied piece by piece, and the file's pages of a piece are let go at once: no more than a piece is in memory twice. */
#define _DEFAULT_SOURCE
#include "io/settle.h"

#include "base/pages.h"

#include <unistd.h>

enum { PIECE = TERN_LARGE_PAGE }; /* so much is in memory twice */

/* The page at which the tensors of a file begin, or the end. */
static size_t first_of(const tern_weights *w, int map)
{
    const char *bytes = w->maps[map].bytes;
    size_t count = w->maps[map].count, first = count;
    for (int i = 0; i < w->count; i++) {
        const char *at = w->tensors[i].data;
        if (at >= bytes && at < bytes + count && (size_t)(at - bytes) < first) first = (size_t)(at - bytes);
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return first < count ? first / page * page : first;
}

tern_status tern_settling_open(tern_settling *s, const tern_weights *weights)
{
    *s = (tern_settling){.weights = weights};
    s->settled = tern_take_array((size_t)weights->map_count + 1, sizeof *s->settled);
    if (!s->settled) return tern_no_memory((size_t)weights->map_count * sizeof *s->settled, "files");
    for (int m = 0; m < weights->map_count; m++) {
        s->settled[m] = first_of(weights, m);
        tern_forget_pages(weights->maps[m].bytes, s->settled[m]); /* names and vocabulary have been read */
    }
    return TERN_OK;
}

void tern_settling_close(tern_settling *s)
{
    tern_put_end(s->bytes);
    tern_release(s->settled);
    *s = (tern_settling){0};
}

/* The next piece of a file. */
static tern_status settle(tern_settling *s, int map, tern_pool *pool)
{
    const char *at = (const char *)s->weights->maps[map].bytes + s->settled[map];
    size_t left = s->weights->maps[map].count - s->settled[map];
    size_t to_page = PIECE - s->settled[map] % PIECE; /* of the first piece less than a large page */
    size_t bytes = left < to_page ? left : to_page;
    void *memory = tern_take_pages(bytes);
    if (!memory) return tern_no_memory(bytes, "weights in large pages");
    tern_pool_copy(pool, memory, at, bytes);
    if (!tern_put_pages(at, memory, bytes)) {
        tern_release_pages(memory, bytes);
        return tern_no_memory(bytes, "weights in large pages");
    }
    s->settled[map] += bytes;
    s->bytes += bytes;
    return TERN_OK;
}

tern_status tern_settling_on(tern_settling *s, tern_pool *pool, size_t most, bool *left)
{
    size_t done = 0;
    *left = false;
    for (int m = 0; m < s->weights->map_count; m++) {
        size_t count = s->weights->maps[m].count;
        for (; done < most && s->settled[m] < count; done += PIECE) TERN_TRY(settle(s, m, pool));
        *left |= s->settled[m] < count;
    }
    return TERN_OK;
}
