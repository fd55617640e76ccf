/* Shared by the products of this folder. */
#ifndef TERN_KERNEL_GEMM_H
#define TERN_KERNEL_GEMM_H

#include "kernel/table.h"

static inline int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static inline int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Bits [at, at + count), 0 < count <= 64, of a packed array; reads no word without one of them. */
static inline uint64_t tern_word_at(const uint64_t *words, int64_t at, int64_t count)
{
    int shift = (int)(at & 63);
    uint64_t bits = words[at >> 6] >> shift;
    if (shift + count > 64) bits |= words[(at >> 6) + 1] << (64 - shift);
    return count < 64 ? bits & ((1ull << count) - 1) : bits;
}

/* Asks for part `part` of `parts` of floats [from, from + count) of an array of `all`, soon to be read or written: for
 * runs that are too short and too many for the processor to guess.  (Always inline: gcc drops calls of a function that does
 * nothing but ask.) */
static inline __attribute__((always_inline)) void tern_want(const float *data, int64_t all, int64_t from,
                                                            int64_t count, int64_t part, int64_t parts,
                                                            const bool to_write)
{
    int64_t last = min(from + count * (part + 1) / parts, all);
    for (int64_t i = from + count * part / parts; i < last; i += 16) {
        if (to_write)
            __builtin_prefetch(data + i, 1, 2);
        else
            __builtin_prefetch(data + i, 0, 2);
    }
}

/* Columns [column, column + count) of C as runs that are neighbours in memory: the first run's start and length. */
static inline int64_t tern_run_of(const tern_product *p, int64_t column, int64_t count, int64_t *at)
{
    if (p->pixels == 0) {
        *at = column;
        return count;
    }
    int64_t pixel = column % p->pixels, x = pixel % p->width;
    *at = column / p->pixels * p->image_stride + pixel / p->width * p->row_step + x * p->pixel_step;
    return p->pixel_step == 1 ? min(count, p->width - x) : 1;
}

/* The length of the blocks in which k summed elements are added: each block from 0, then onto the result.  Every
 * kernel that promises the bits of tern_gemm follows it. */
int64_t tern_sum_block(int64_t k);

/* The same product (no bias, columns side by side) with k cut into chunks that are summed apart; for results that are
 * small beside k, where tern_long_sum_fits says so. */
bool tern_long_sum_fits(const tern_product *product);
size_t tern_long_sum_scratch(const tern_product *product);
void tern_long_sum(tern_pool *pool, const tern_product *product, void *scratch);

#endif
