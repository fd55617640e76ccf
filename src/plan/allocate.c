/* Offsets in an arena: blocks that live at the same time must not overlap, and the arena should be small.
 * Greedy placement in several orders; each block takes the lowest gap that holds it. */
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

static size_t aligned(size_t bytes, size_t alignment)
{
    return (bytes + alignment - 1) / alignment * alignment;
}

size_t tern_least_bytes(const tern_block *blocks, int count, int steps, size_t alignment, int *peak_step)
{
    size_t peak = 0;
    *peak_step = 0;
    for (int s = 0; s < steps; s++) {
        size_t alive = 0;
        for (int i = 0; i < count; i++)
            if (blocks[i].first <= s && s <= blocks[i].last) alive += aligned(blocks[i].bytes, alignment);
        if (alive > peak) {
            peak = alive;
            *peak_step = s;
        }
    }
    return peak;
}

typedef struct tern_rank {
    double key;
    int block;
} tern_rank;

static int by_key(const void *a, const void *b)
{
    const tern_rank *x = a, *y = b;
    if (x->key != y->key) return x->key > y->key ? -1 : 1;
    return x->block - y->block;
}

/* What makes a block come early in each of the orders that are tried. */
static double key_of(const tern_block *b, int order)
{
    double bytes = (double)b->bytes, length = b->last - b->first + 1;
    switch (order) {
    case 0:
        return bytes;
    case 1:
        return bytes * length;
    case 2:
        return length;
    case 3:
        return -b->first;
    case 4:
        return -b->last;
    case 5:
        return b->last;
    default:
        break;
    }
    /* by bytes and length again, shaken: the same numbers in every run */
    double shake =
        tern_rng_uniform((tern_rng){(uint64_t)order, 0}, (uint64_t)b->first * 4099 + (uint64_t)b->last);
    return bytes * (order % 2 ? length : 1) * (0.3 + shake);
}
enum { ORDERS = 6, SHAKEN = 400, MANY_BLOCKS = 400, PATIENCE = 60 /* orders without a smaller arena */ };

/* Places blocks in the order of `ranks`, keeping `placed` in the order of offsets; returns the arena's size. */
static size_t place_all(tern_block *blocks, const tern_rank *ranks, int count, size_t alignment,
                        tern_block **placed)
{
    size_t size = 0;
    for (int r = 0; r < count; r++) {
        tern_block *b = &blocks[ranks[r].block];
        size_t offset = 0, bytes = aligned(b->bytes, alignment);
        for (int q = 0; q < r && placed[q]->offset < offset + bytes; q++) {
            const tern_block *other = placed[q];
            if (other->first > b->last || b->first > other->last) continue;
            size_t end = other->offset + aligned(other->bytes, alignment);
            if (end > offset) offset = end;
        }
        b->offset = offset;
        if (alignment < TERN_LINE) bytes = b->bytes; /* nobody reads behind the last one */
        if (offset + bytes > size) size = offset + bytes;
        int at = r;
        while (at > 0 && placed[at - 1]->offset > offset) at--;
        memmove(placed + at + 1, placed + at, (size_t)(r - at) * sizeof(tern_block *));
        placed[at] = b;
    }
    return size;
}

tern_status tern_allocate(tern_block *blocks, int count, size_t alignment, size_t *arena_bytes)
{
    *arena_bytes = 0;
    if (count == 0) return TERN_OK;
    tern_rank *ranks = tern_take_array((size_t)count, sizeof *ranks);
    tern_block **placed = tern_take_array((size_t)count, sizeof *placed);
    if (!ranks || !placed) {
        tern_release(ranks);
        tern_release(placed);
        return tern_no_memory((size_t)count * sizeof *ranks, "a plan");
    }
    int best = 0, found = 0, peak, last = 0, orders = ORDERS + (count < MANY_BLOCKS ? SHAKEN : SHAKEN / 16);
    for (int i = 0; i < count; i++) last = blocks[i].last > last ? blocks[i].last : last;
    size_t least = tern_least_bytes(blocks, count, last + 1, alignment, &peak);
    for (int order = 0; order <= orders; order++) { /* the last round repeats the best one */
        bool enough = order >= ORDERS && *arena_bytes <= least + least / 100;
        if (enough || order - found > PATIENCE) order = orders;
        int chosen = order < orders ? order : best;
        for (int i = 0; i < count; i++) ranks[i] = (tern_rank){key_of(&blocks[i], chosen), i};
        qsort(ranks, (size_t)count, sizeof *ranks, by_key);
        size_t size = place_all(blocks, ranks, count, alignment, placed);
        if (order == 0 || size < *arena_bytes) {
            *arena_bytes = size;
            best = chosen;
            found = order;
        }
    }
    tern_release(ranks);
    tern_release(placed);
    return TERN_OK;
}

/* The tightest gap between placed blocks that live at the same time; behind all of them where none is wide enough. */
static size_t best_gap(const tern_block *b, tern_block *const *placed, int count)
{
    size_t end = 0, best = 0, tightest = SIZE_MAX;
    for (int q = 0; q < count; q++) { /* by offset */
        const tern_block *other = placed[q];
        if (other->first > b->last || b->first > other->last) continue;
        size_t gap = other->offset > end ? other->offset - end : 0;
        if (gap >= b->bytes && gap - b->bytes < tightest) {
            tightest = gap - b->bytes;
            best = end;
        }
        if (other->offset + other->bytes > end) end = other->offset + other->bytes;
    }
    return tightest < SIZE_MAX ? best : end;
}

tern_status tern_allocate_by_size(tern_block *blocks, int count, size_t *arena_bytes)
{
    tern_rank *ranks = tern_take_array((size_t)count + 1, sizeof *ranks);
    tern_block **placed = tern_take_array((size_t)count + 1, sizeof *placed);
    int last = 0;
    *arena_bytes = 0;
    for (int i = 0; i < count; i++) last = blocks[i].last > last ? blocks[i].last : last;
    for (int i = 0; ranks && i < count; i++) {
        bool whole = blocks[i].first == 0 && blocks[i].last == last;
        ranks[i] = (tern_rank){whole ? 1e300 : (double)blocks[i].bytes, i};
    }
    if (ranks && placed) qsort(ranks, (size_t)count, sizeof *ranks, by_key);
    for (int r = 0; ranks && placed && r < count; r++) {
        tern_block *b = &blocks[ranks[r].block];
        b->offset = best_gap(b, placed, r);
        if (b->offset + b->bytes > *arena_bytes) *arena_bytes = b->offset + b->bytes;
        int at = r;
        while (at > 0 && placed[at - 1]->offset > b->offset) at--;
        memmove(placed + at + 1, placed + at, (size_t)(r - at) * sizeof(tern_block *));
        placed[at] = b;
    }
    bool all = ranks && placed;
    tern_release(ranks);
    tern_release(placed);
    return all ? TERN_OK : tern_no_memory((size_t)count * sizeof *ranks, "a plan");
}
