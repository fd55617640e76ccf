/* Pooling of packed bits, up to 64 pixels of a row at a time: the rows under a window are joined by OR, then the columns;
 * or their ones are counted. */
#include "kernel/gemm.h"

#define TASK_PLANES 64 /* their outputs fill whole words */

typedef struct pooling {
    const tern_conv *window;
    const uint64_t *x;
    int64_t first;
    uint64_t *bits;
    float *means;
    int64_t step; /* outputs whose inputs fit 64 bits; 0: not even one */
} pooling;

static pooling pooling_of(const tern_conv *w, const void *x, int64_t first)
{
    pooling p = {.window = w, .x = x, .first = first};
    int64_t reach = (w->kernel_width - 1) * w->dilation_x + 1;
    if (reach <= 64) p.step = (64 - reach) / w->stride_x + 1;
    return p;
}

/* Bits x0 .. x0 + count of input row y of a plane, 0 outside. */
static uint64_t row_at(const pooling *p, int64_t plane, int64_t y, int64_t x0, int64_t count)
{
    const tern_conv *w = p->window;
    int64_t from = max(x0, 0), to = min(x0 + count, w->width);
    if (y < 0 || y >= w->height || from >= to) return 0;
    return tern_word_at(p->x, p->first + (plane * w->height + y) * w->width + from, to - from) << (from - x0);
}

/* Every second bit, moved together (Warren, Hacker's Delight, 7-4). */
static uint64_t even_bits(uint64_t x)
{
    x &= 0x5555555555555555ull;
    x = (x | x >> 1) & 0x3333333333333333ull;
    x = (x | x >> 2) & 0x0f0f0f0f0f0f0f0full;
    x = (x | x >> 4) & 0x00ff00ff00ff00ffull;
    x = (x | x >> 8) & 0x0000ffff0000ffffull;
    return (x | x >> 16) & 0x00000000ffffffffull;
}

/* Whether a one lies under each of the outputs ox .. ox + count of row oy, as bits. */
static uint64_t any_under(const pooling *p, int64_t plane, int64_t oy, int64_t ox, int64_t count)
{
    const tern_conv *w = p->window;
    int64_t x0 = ox * w->stride_x - w->pad_x;
    int64_t length = (count - 1) * w->stride_x + (w->kernel_width - 1) * w->dilation_x + 1;
    uint64_t rows = 0, joined = 0, bits = 0;
    for (int64_t ky = 0; ky < w->kernel_height; ky++)
        rows |= row_at(p, plane, oy * w->stride_y + ky * w->dilation_y - w->pad_y, x0, length);
    for (int64_t kx = 0; kx < w->kernel_width; kx++) joined |= rows >> (kx * w->dilation_x);
    if (w->stride_x == 2)
        bits = even_bits(joined);
    else if (w->stride_x == 1)
        bits = joined;
    else
        for (int64_t i = 0; i < count; i++) bits |= (joined >> (i * w->stride_x) & 1) << i;
    return count < 64 ? bits & ((1ull << count) - 1) : bits;
}

/* Ones under one output. */
static int ones_under(const pooling *p, int64_t plane, int64_t oy, int64_t ox)
{
    const tern_conv *w = p->window;
    int ones = 0;
    for (int64_t ky = 0; ky < w->kernel_height; ky++) {
        int64_t y = oy * w->stride_y + ky * w->dilation_y - w->pad_y, x = ox * w->stride_x - w->pad_x;
        if (w->dilation_x == 1 && w->kernel_width <= 64) {
            ones += __builtin_popcountll(row_at(p, plane, y, x, w->kernel_width));
            continue;
        }
        for (int64_t kx = 0; kx < w->kernel_width; kx++)
            ones += (int)row_at(p, plane, y, x + kx * w->dilation_x, 1);
    }
    return ones;
}

static void max_pool_task(void *context, int64_t task, int thread)
{
    const pooling *p = context;
    const tern_conv *w = p->window;
    int64_t plane0 = task * TASK_PLANES, planes = min(TASK_PLANES, w->images * w->in_channels - plane0);
    uint64_t *to = p->bits + task * w->out_height * w->out_width, word = 0;
    int filled = 0;
    (void)thread;
    for (int64_t row = 0; row < planes * w->out_height; row++) {
        int64_t plane = plane0 + row / w->out_height, oy = row % w->out_height, count;
        for (int64_t ox = 0; ox < w->out_width; ox += count) {
            count = p->step ? min(p->step, w->out_width - ox) : 1;
            uint64_t bits = p->step ? any_under(p, plane, oy, ox, count) : ones_under(p, plane, oy, ox) > 0;
            word |= bits << filled;
            filled += (int)count;
            if (filled < 64) continue;
            *to++ = word;
            filled -= 64;
            word = filled ? bits >> (count - filled) : 0;
        }
    }
    if (filled) *to = word;
}

void tern_bits_max_pool(tern_pool *pool, const tern_conv *window, const void *x, int64_t first, void *y)
{
    pooling p = pooling_of(window, x, first);
    p.bits = y;
    tern_pool_run(pool, ceil_div(window->images * window->in_channels, TASK_PLANES), max_pool_task, &p);
}

/* The means of a row of 2x2 windows: ones of neighbouring columns are counted in pairs of bits, all at once. */
static void mean_of_pairs(const pooling *p, int64_t plane, int64_t oy, float *to)
{
    const uint64_t even = 0x5555555555555555ull;
    static const float share[5] = {0, 0.25f, 0.5f, 0.75f, 1};
    for (int64_t ox = 0; ox < p->window->out_width; ox += 32) {
        int64_t count = min(32, p->window->out_width - ox);
        uint64_t top = row_at(p, plane, 2 * oy, 2 * ox, 2 * count),
                 bottom = row_at(p, plane, 2 * oy + 1, 2 * ox, 2 * count);
        top = (top & even) + (top >> 1 & even);
        bottom = (bottom & even) + (bottom >> 1 & even);
        for (int64_t i = 0; i < count; i++, top >>= 2, bottom >>= 2) *to++ = share[(top & 3) + (bottom & 3)];
    }
}

static bool is_halving(const tern_conv *w)
{
    return w->kernel_height == 2 && w->kernel_width == 2 && w->stride_y == 2 && w->stride_x == 2 &&
           w->dilation_y == 1 && w->dilation_x == 1 && w->pad_y == 0 && w->pad_x == 0;
}

/* Elements of a window that lie in the image; taps that lie outside are 0 and count for nothing. */
static int64_t inside(const tern_conv *w, int64_t oy, int64_t ox)
{
    int64_t rows = 0, columns = 0;
    for (int64_t k = 0; k < w->kernel_height; k++) {
        int64_t y = oy * w->stride_y + k * w->dilation_y - w->pad_y;
        rows += y >= 0 && y < w->height;
    }
    for (int64_t k = 0; k < w->kernel_width; k++) {
        int64_t x = ox * w->stride_x + k * w->dilation_x - w->pad_x;
        columns += x >= 0 && x < w->width;
    }
    return rows * columns;
}

static void avg_pool_task(void *context, int64_t task, int thread)
{
    const pooling *p = context;
    const tern_conv *w = p->window;
    int64_t plane0 = task * TASK_PLANES, planes = min(TASK_PLANES, w->images * w->in_channels - plane0);
    float *to = p->means + plane0 * w->out_height * w->out_width;
    (void)thread;
    for (int64_t row = 0; is_halving(w) && row < planes * w->out_height; row++)
        mean_of_pairs(p, plane0 + row / w->out_height, row % w->out_height, to + row * w->out_width);
    for (int64_t row = 0; !is_halving(w) && row < planes * w->out_height; row++)
        for (int64_t ox = 0; ox < w->out_width; ox++)
            *to++ = (float)ones_under(p, plane0 + row / w->out_height, row % w->out_height, ox) /
                    (float)max(1, inside(w, row % w->out_height, ox));
}

void tern_bits_avg_pool(tern_pool *pool, const tern_conv *window, const void *x, int64_t first, float *y)
{
    pooling p = pooling_of(window, x, first);
    p.means = y;
    tern_pool_run(pool, ceil_div(window->images * window->in_channels, TASK_PLANES), avg_pool_task, &p);
}
