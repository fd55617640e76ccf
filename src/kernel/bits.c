/* Packed bits: counting, converting, turning. */
#include "kernel/gemm.h"

#include <string.h>

#define TASK_BITS (64 * 1024) /* a whole number of words */

int64_t tern_bits_count(const void *bits, int64_t first, int64_t count)
{
    const uint64_t *words = bits;
    int64_t ones = 0, head = min(count, (64 - first % 64) % 64);
    if (head > 0) ones = __builtin_popcountll(tern_word_at(words, first, head));
    const uint64_t *whole = words + (first + head) / 64;
    count -= head;
    for (; count >= 64; count -= 64) ones += __builtin_popcountll(*whole++);
    if (count > 0) ones += __builtin_popcountll(*whole & ((1ull << count) - 1));
    return ones;
}

typedef struct conversion {
    const void *from;
    void *to;
    int64_t first, count;
} conversion;

static void to_f32_task(void *context, int64_t task, int thread)
{
    const conversion *c = context;
    int64_t last = min((task + 1) * TASK_BITS, c->count);
    float *out = c->to;
    (void)thread;
    for (int64_t i = task * TASK_BITS; i < last; i += 64) {
        int64_t part = min(last - i, 64);
        uint64_t bits = tern_word_at(c->from, c->first + i, part);
        for (int64_t j = 0; j < part; j++) out[i + j] = (float)(bits >> j & 1);
    }
}

void tern_bits_to_f32(tern_pool *pool, const void *bits, int64_t first, int64_t count, float *out)
{
    conversion c = {bits, out, first, count};
    tern_pool_run(pool, ceil_div(count, TASK_BITS), to_f32_task, &c);
}

/* Writes bits [at, at + count) of a word array; at + count does not cross a word. */
static void put_bits(uint64_t *words, int64_t at, int64_t count, uint64_t bits)
{
    uint64_t mask = (count < 64 ? (1ull << count) - 1 : ~0ull) << (at & 63);
    words[at >> 6] = (words[at >> 6] & ~mask) | (bits << (at & 63) & mask);
}

/* Tasks end at whole words of the output. */
static void from_f32_task(void *context, int64_t task, int thread)
{
    const conversion *c = context;
    int64_t skip = c->first % 64;
    int64_t i = max(task * TASK_BITS - skip, 0), last = min((task + 1) * TASK_BITS - skip, c->count);
    const float *in = c->from;
    (void)thread;
    while (i < last) {
        int64_t at = c->first + i, part = min(64 - at % 64, last - i);
        uint64_t bits = 0;
        for (int64_t j = 0; j < part; j++) bits |= (uint64_t)(in[i + j] > 0) << j;
        put_bits(c->to, at, part, bits);
        i += part;
    }
}

void tern_bits_from_f32(tern_pool *pool, const float *in, int64_t count, void *bits, int64_t first)
{
    conversion c = {in, bits, first, count};
    if (count > 0) tern_pool_run(pool, ceil_div(first % 64 + count, TASK_BITS), from_f32_task, &c);
}

/* ---- transpose --------------------------------------------------------------------------------------- */

/* A 64 x 64 square of bits turned in place, halves swapped at each of six scales (Warren, Hacker's Delight, 7-3). */
static void turn_square(uint64_t square[64])
{
    uint64_t mask = 0x00000000ffffffffull;
    for (int half = 32; half > 0; half >>= 1, mask ^= mask << half)
        for (int i = 0; i < 64; i = ((i | half) + 1) & ~half) {
            uint64_t swap = (square[i] >> half ^ square[i | half]) & mask;
            square[i] ^= swap << half;
            square[i | half] ^= swap;
        }
}

typedef struct turning {
    int64_t rows, columns, first;
    const uint64_t *x;
    uint64_t *out;
} turning;

static void turn_task(void *context, int64_t task, int thread)
{
    const turning *t = context;
    int64_t words = tern_bits_words(t->rows), column = task * 64, width = min(64, t->columns - column);
    (void)thread;
    for (int64_t word = 0; word < words; word++) {
        uint64_t square[64] = {0};
        int64_t height = min(64, t->rows - word * 64);
        for (int64_t i = 0; i < height; i++)
            square[i] = tern_word_at(t->x, t->first + (word * 64 + i) * t->columns + column, width);
        turn_square(square);
        for (int64_t j = 0; j < width; j++) t->out[(column + j) * words + word] = square[j];
    }
}

void tern_bits_transpose(tern_pool *pool, int64_t rows, int64_t columns, const void *x, int64_t first,
                         uint64_t *out)
{
    turning t = {rows, columns, first, x, out};
    tern_pool_run(pool, ceil_div(columns, 64), turn_task, &t);
}
