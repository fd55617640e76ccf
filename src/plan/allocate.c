/* Offsets in an arena: blocks that live at the same time must not overlap, and the arena should be small.
 * Greedy placement in several orders; each block takes the lowest gap that holds it. */
#include "plan/plan.h"

#include <stdlib.h>

#define ALIGNMENT 64

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

size_t tern_least_bytes(const tern_block *blocks, int count, int steps, int *peak_step)
{
    size_t peak = 0;
    *peak_step = 0;
    for (int s = 0; s < steps; s++) {
        size_t alive = 0;
        for (int i = 0; i < count; i++)
            if (blocks[i].first <= s && s <= blocks[i].last) alive += aligned(blocks[i].bytes);
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

static int by_offset(const void *a, const void *b)
{
    const tern_block *x = *(const tern_block *const *)a, *y = *(const tern_block *const *)b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return (x > y) - (x < y);
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
enum { ORDERS = 6, SHAKEN = 400, MANY_BLOCKS = 400 };

/* Places blocks in the order of `ranks`; returns the arena's size. */
static size_t place_all(tern_block *blocks, const tern_rank *ranks, int count, tern_block **near)
{
    size_t size = 0;
    for (int r = 0; r < count; r++) {
        tern_block *b = &blocks[ranks[r].block];
        int overlapping = 0;
        for (int q = 0; q < r; q++) {
            tern_block *other = &blocks[ranks[q].block];
            if (other->first <= b->last && b->first <= other->last) near[overlapping++] = other;
        }
        qsort(near, (size_t)overlapping, sizeof *near, by_offset);
        size_t offset = 0;
        for (int q = 0; q < overlapping; q++) {
            if (near[q]->offset >= offset + aligned(b->bytes)) break;
            size_t end = near[q]->offset + aligned(near[q]->bytes);
            if (end > offset) offset = end;
        }
        b->offset = offset;
        if (offset + aligned(b->bytes) > size) size = offset + aligned(b->bytes);
    }
    return size;
}

tern_status tern_allocate(tern_block *blocks, int count, size_t *arena_bytes)
{
    *arena_bytes = 0;
    if (count == 0) return TERN_OK;
    tern_rank *ranks = tern_take_array((size_t)count, sizeof *ranks);
    tern_block **near = tern_take_array((size_t)count, sizeof *near);
    if (!ranks || !near) {
        tern_release(ranks);
        tern_release(near);
        return tern_no_memory((size_t)count * sizeof *ranks, "a plan");
    }
    int best = 0, peak, last = 0, orders = ORDERS + (count < MANY_BLOCKS ? SHAKEN : SHAKEN / 16);
    for (int i = 0; i < count; i++) last = blocks[i].last > last ? blocks[i].last : last;
    size_t least = tern_least_bytes(blocks, count, last + 1, &peak);
    for (int order = 0; order <= orders; order++) { /* the last round repeats the best one */
        bool enough = order >= ORDERS && *arena_bytes <= least + least / 100;
        if (enough) order = orders;
        int chosen = order < orders ? order : best;
        for (int i = 0; i < count; i++) ranks[i] = (tern_rank){key_of(&blocks[i], chosen), i};
        qsort(ranks, (size_t)count, sizeof *ranks, by_key);
        size_t size = place_all(blocks, ranks, count, near);
        if (order == 0 || size < *arena_bytes) {
            *arena_bytes = size;
            best = chosen;
        }
    }
    tern_release(ranks);
    tern_release(near);
    return TERN_OK;
}
