/* Packed bits: counting, converting, turning, pooling. */
#include "kernel/gemm.h"

#include <string.h>

#define TASK_BITS (64 * 1024) /* a whole number of words */

static uint64_t word_at(const uint64_t *words, int64_t at, int64_t count)
{
    int shift = (int)(at & 63);
    uint64_t bits = words[at >> 6] >> shift;
    if (shift + count > 64) bits |= words[(at >> 6) + 1] << (64 - shift);
    return count < 64 ? bits & ((1ull << count) - 1) : bits;
}

int64_t tern_bits_count(const void *bits, int64_t first, int64_t count)
{
    const uint64_t *words = bits;
    int64_t ones = 0, head = min(count, (64 - first % 64) % 64);
    if (head > 0) ones = __builtin_popcountll(word_at(words, first, head));
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
        uint64_t bits = word_at(c->from, c->first + i, part);
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
            square[i] = word_at(t->x, t->first + (word * 64 + i) * t->columns + column, width);
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

/* ---- pooling ----------------------------------------------------------------------------------------- */

typedef struct pooling {
    const tern_conv *window;
    const uint64_t *x;
    int64_t first;
    uint64_t *bits;
    float *sums;
} pooling;

/* Ones under the window of output element i. */
static int ones_under(const pooling *p, int64_t i)
{
    const tern_conv *w = p->window;
    int64_t ox = i % w->out_width, oy = i / w->out_width % w->out_height,
            plane = i / w->out_width / w->out_height;
    int ones = 0;
    for (int64_t ky = 0; ky < w->kernel_height; ky++) {
        int64_t y = oy * w->stride_y + ky * w->dilation_y - w->pad_y;
        if (y < 0 || y >= w->height) continue;
        for (int64_t kx = 0; kx < w->kernel_width; kx++) {
            int64_t x = ox * w->stride_x + kx * w->dilation_x - w->pad_x;
            if (x < 0 || x >= w->width) continue;
            int64_t at = p->first + (plane * w->height + y) * w->width + x;
            ones += (int)(p->x[at >> 6] >> (at & 63) & 1);
        }
    }
    return ones;
}

static int64_t pooled(const tern_conv *w)
{
    return w->images * w->in_channels * w->out_height * w->out_width;
}

static void max_pool_task(void *context, int64_t task, int thread)
{
    const pooling *p = context;
    int64_t last = min((task + 1) * 4096, pooled(p->window));
    (void)thread;
    for (int64_t i = task * 4096; i < last; i += 64) {
        uint64_t bits = 0;
        for (int64_t j = 0; j < min(64, last - i); j++) bits |= (uint64_t)(ones_under(p, i + j) > 0) << j;
        p->bits[i / 64] = bits;
    }
}

/* The even bits of a word, moved together. */
static uint64_t squeeze(uint64_t x)
{
    x &= 0x5555555555555555u;
    x = (x | x >> 1) & 0x3333333333333333u;
    x = (x | x >> 2) & 0x0f0f0f0f0f0f0f0fu;
    x = (x | x >> 4) & 0x00ff00ff00ff00ffu;
    x = (x | x >> 8) & 0x0000ffff0000ffffu;
    return (x | x >> 16) & 0xffffffffu;
}

/* 64 rows of 2x2 windows over images of an even width <= 64: their bits fill whole words. */
static void halve_task(void *context, int64_t task, int thread)
{
    const pooling *p = context;
    const tern_conv *c = p->window;
    int64_t rows = c->images * c->in_channels * c->out_height, last = min((task + 1) * 64, rows);
    int64_t filled = 0;
    uint64_t word = 0, *to = p->bits + task * c->out_width;
    (void)thread;
    for (int64_t r = task * 64; r < last; r++) {
        int64_t at = p->first + (r / c->out_height * c->height + r % c->out_height * 2) * c->width;
        uint64_t both = word_at(p->x, at, c->width) | word_at(p->x, at + c->width, c->width);
        uint64_t bits = squeeze(both | both >> 1);
        word |= bits << filled;
        filled += c->out_width;
        if (filled < 64) continue;
        *to++ = word;
        filled -= 64;
        word = filled ? bits >> (c->out_width - filled) : 0;
    }
    if (filled) *to = word;
}

void tern_bits_max_pool(tern_pool *pool, const tern_conv *window, const void *x, int64_t first, void *y)
{
    pooling p = {.window = window, .x = x, .first = first, .bits = y};
    bool halves = window->kernel_height == 2 && window->kernel_width == 2 && window->stride_y == 2 &&
                  window->stride_x == 2 && window->pad_y == 0 && window->pad_x == 0 &&
                  window->dilation_y == 1 && window->dilation_x == 1 && window->height % 2 == 0 &&
                  window->width % 2 == 0 && window->width <= 64;
    if (halves) {
        tern_pool_run(pool, ceil_div(window->images * window->in_channels * window->out_height, 64),
                      halve_task, &p);
        return;
    }
    tern_pool_run(pool, ceil_div(pooled(window), 4096), max_pool_task, &p);
}

static void avg_pool_task(void *context, int64_t task, int thread)
{
    const pooling *p = context;
    int64_t last = min((task + 1) * 4096, pooled(p->window));
    float share = 1.0f / (float)(p->window->kernel_height * p->window->kernel_width);
    (void)thread;
    for (int64_t i = task * 4096; i < last; i++) p->sums[i] = (float)ones_under(p, i) * share;
}

void tern_bits_avg_pool(tern_pool *pool, const tern_conv *window, const void *x, int64_t first, float *y)
{
    pooling p = {.window = window, .x = x, .first = first, .sums = y};
    tern_pool_run(pool, ceil_div(pooled(window), 4096), avg_pool_task, &p);
}
