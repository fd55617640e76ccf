/* Nets of bytes: products are cut into tasks by tern_i8_gemm, the rest here by rows, planes and pieces. */
#include "kernel/int8.h"

#include "kernel/gemm.h"

#include <string.h>

#define PATCH_BYTES (1 << 20) /* of patches, for as many images as are multiplied at once */
#define PIECE       16384     /* elements of a task */
#define PLANE_TASKS 16        /* of a depthwise convolution: each has sums of its own */

static const tern_int8_loops *loops(void)
{
    return tern_kernels_get()->int8;
}

/* ---- linear ---------------------------------------------------------------------------------------------------- */

typedef struct linear_job {
    int64_t rows, n;
    const int32_t *sums;
    const tern_int8_scale *scale;
    int8_t *y;
    int64_t rows_per_task;
} linear_job;

static size_t whole_lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static void linear_task(void *context, int64_t task, int thread)
{
    const linear_job *j = context;
    int64_t last = min((task + 1) * j->rows_per_task, j->rows);
    (void)thread;
    for (int64_t r = task * j->rows_per_task; r < last; r++)
        loops()->columns(j->n, j->sums + r * j->n, j->scale, j->y + r * j->n);
}

size_t tern_int8_linear_scratch(int64_t rows, int64_t n, int64_t k)
{
    return whole_lines(sizeof(int32_t) * (size_t)(rows * n)) + tern_i8_gemm_scratch(rows, n, k);
}

void tern_int8_linear(tern_pool *pool, int64_t rows, int64_t n, int64_t k, const int8_t *x, const int8_t *w,
                      const tern_int8_scale *scale, int8_t *y, void *scratch)
{
    int32_t *sums = scratch;
    char *rest = (char *)scratch + whole_lines(sizeof(int32_t) * (size_t)(rows * n));
    tern_i8_gemm(pool, rows, n, k, x, w, sums, false, rest);
    linear_job j = {rows, n, sums, scale, y, max(PIECE / max(n, 1), 1)};
    tern_pool_run(pool, ceil_div(rows, j.rows_per_task), linear_task, &j);
}

/* ---- convolution ------------------------------------------------------------------------------------------------- */

typedef struct conv_job {
    const tern_conv *c;
    const tern_int8_scale *scale;
    const int8_t *x, *w;
    int8_t *y;
    int8_t *patches; /* [images * pixels, taps] of one group */
    int32_t *sums;   /* [outputs of a group, images * pixels] */
    int64_t first, images, group, taps, pixels;
} conv_job;

static int64_t images_at_once(const tern_conv *c)
{
    int64_t taps = c->in_channels / c->groups * c->kernel_height * c->kernel_width;
    return max(min(PATCH_BYTES / max(taps * c->out_height * c->out_width, 1), c->images), 1);
}

/* Columns of an output row whose source lies inside the image: ox stride + shift in [0, width). */
static void inside(const tern_conv *c, int64_t shift, int64_t *from, int64_t *to)
{
    *from = min(shift >= 0 ? 0 : ceil_div(-shift, c->stride_x), c->out_width);
    *to = max(*from, c->width > shift ? min((c->width - shift - 1) / c->stride_x + 1, c->out_width) : 0);
}

/* One tap of all pixels of an output row, `taps` bytes apart; row NULL: outside the image. */
static void patch_tap(const conv_job *j, const int8_t *row, int64_t shift, int8_t *to)
{
    int64_t from = 0, last = 0, step = j->c->stride_x;
    int8_t zero = (int8_t)j->scale->in_zero;
    if (row) inside(j->c, shift, &from, &last);
    for (int64_t ox = 0; ox < from; ox++) to[ox * j->taps] = zero;
    for (int64_t ox = from; ox < last; ox++) to[ox * j->taps] = row[ox * step + shift];
    for (int64_t ox = last; ox < j->c->out_width; ox++) to[ox * j->taps] = zero;
}

/* What an output row of one image sees: for each of its pixels the taps of all channels of the group. */
static void patch_task(void *context, int64_t task, int thread)
{
    const conv_job *j = context;
    const tern_conv *c = j->c;
    int64_t channels = c->in_channels / c->groups, image = j->first + task / c->out_height,
            oy = task % c->out_height, at = 0;
    int8_t *to = j->patches + task * c->out_width * j->taps;
    (void)thread;
    for (int64_t k = 0; k < channels; k++)
        for (int64_t ky = 0; ky < c->kernel_height; ky++) {
            int64_t y = oy * c->stride_y + ky * c->dilation_y - c->pad_y,
                    plane = image * c->in_channels + j->group * channels + k;
            const int8_t *row = y >= 0 && y < c->height ? j->x + (plane * c->height + y) * c->width : NULL;
            for (int64_t kx = 0; kx < c->kernel_width; kx++)
                patch_tap(j, row, kx * c->dilation_x - c->pad_x, to + at++);
        }
}

/* One output channel of the group: its row of sums, image by image. */
static void channel_task(void *context, int64_t o, int thread)
{
    const conv_job *j = context;
    int64_t outputs = j->c->out_channels / j->c->groups, channel = j->group * outputs + o;
    (void)thread;
    for (int64_t n = 0; n < j->images; n++)
        loops()->row(j->pixels, j->sums + (o * j->images + n) * j->pixels, channel, j->scale,
                     j->y + ((j->first + n) * j->c->out_channels + channel) * j->pixels);
}

/* A depthwise plane.  Where taps fall outside nothing is added, but the bias counts on w in_zero for each of them. */
static void depthwise_plane(const conv_job *j, int64_t at, int32_t *sums)
{
    const tern_conv *c = j->c;
    int64_t o = at % c->out_channels, image = at / c->out_channels, in = o / (c->out_channels / c->groups);
    const int8_t *w = j->w + o * j->taps;
    int32_t all = 0;
    for (int64_t t = 0; t < j->taps; t++) all += w[t] * j->scale->in_zero;
    loops()->plane(c, j->x + (image * c->in_channels + in) * c->height * c->width, w, j->scale->in_zero,
                   sums);
    for (int64_t i = 0; i < j->pixels; i++) sums[i] += all;
    loops()->row(j->pixels, sums, o, j->scale, j->y + at * j->pixels);
}

static void plane_task(void *context, int64_t task, int thread)
{
    const conv_job *j = context;
    int64_t planes = j->c->images * j->c->out_channels, first = task * planes / PLANE_TASKS,
            last = (task + 1) * planes / PLANE_TASKS;
    (void)thread;
    for (int64_t at = first; at < last; at++) depthwise_plane(j, at, j->sums + task * j->pixels);
}

static bool is_depthwise(const tern_conv *c)
{
    return c->groups == c->in_channels;
}

size_t tern_int8_conv_scratch(const tern_conv *c)
{
    int64_t taps = c->in_channels / c->groups * c->kernel_height * c->kernel_width;
    int64_t pixels = c->out_height * c->out_width, at_once = images_at_once(c) * pixels,
            outputs = c->out_channels / c->groups;
    if (is_depthwise(c)) return sizeof(int32_t) * (size_t)(pixels * PLANE_TASKS);
    return whole_lines((size_t)(at_once * taps)) +
           whole_lines(sizeof(int32_t) * (size_t)(at_once * outputs)) +
           tern_i8_gemm_scratch(outputs, at_once, taps);
}

void tern_int8_conv(tern_pool *pool, const tern_conv *c, const int8_t *x, const int8_t *w,
                    const tern_int8_scale *scale, int8_t *y, void *scratch)
{
    int64_t at_once = images_at_once(c), outputs = c->out_channels / c->groups;
    conv_job j = {.c = c,
                  .scale = scale,
                  .x = x,
                  .w = w,
                  .y = y,
                  .taps = c->in_channels / c->groups * c->kernel_height * c->kernel_width,
                  .pixels = c->out_height * c->out_width};
    if (is_depthwise(c)) {
        j.sums = scratch;
        tern_pool_run(pool, PLANE_TASKS, plane_task, &j);
        return;
    }
    j.patches = scratch;
    char *sums = (char *)scratch + whole_lines((size_t)(at_once * j.pixels * j.taps));
    j.sums = (int32_t *)(void *)sums;
    char *rest = sums + whole_lines(sizeof(int32_t) * (size_t)(at_once * j.pixels * outputs));
    for (j.first = 0; j.first < c->images; j.first += at_once) {
        j.images = min(at_once, c->images - j.first);
        for (j.group = 0; j.group < c->groups; j.group++) {
            tern_pool_run(pool, j.images * c->out_height, patch_task, &j);
            tern_i8_gemm(pool, outputs, j.images * j.pixels, j.taps, w + j.group * outputs * j.taps,
                         j.patches, j.sums, false, rest);
            tern_pool_run(pool, outputs, channel_task, &j);
        }
    }
}

/* ---- element by element --------------------------------------------------------------------------------------- */

typedef struct piece_job {
    int64_t n;
    const void *a, *b;
    const int32_t *q;
    float scale;
    int32_t zero;
    int8_t *y;
} piece_job;

static void add_task(void *context, int64_t task, int thread)
{
    const piece_job *j = context;
    int64_t at = task * PIECE;
    (void)thread;
    loops()->add(min(PIECE, j->n - at), (const int8_t *)j->a + at, (const int8_t *)j->b + at, j->q,
                 j->y + at);
}

void tern_int8_add(tern_pool *pool, int64_t n, const int8_t *a, const int8_t *b, const int32_t *q, int8_t *y)
{
    piece_job j = {.n = n, .a = a, .b = b, .q = q, .y = y};
    tern_pool_run(pool, ceil_div(n, PIECE), add_task, &j);
}

static void from_float_task(void *context, int64_t task, int thread)
{
    const piece_job *j = context;
    int64_t at = task * PIECE;
    (void)thread;
    loops()->from_float(min(PIECE, j->n - at), (const float *)j->a + at, j->scale, j->zero, j->y + at);
}

void tern_int8_from_float(tern_pool *pool, int64_t n, const float *x, float scale, int32_t zero, int8_t *y)
{
    piece_job j = {.n = n, .a = x, .scale = scale, .zero = zero, .y = y};
    tern_pool_run(pool, ceil_div(n, PIECE), from_float_task, &j);
}

/* ---- pooling ----------------------------------------------------------------------------------------------------- */

typedef struct pool_job {
    const tern_conv *c;
    const int8_t *x;
    int8_t *y;
} pool_job;

static void max_task(void *context, int64_t plane, int thread)
{
    const pool_job *j = context;
    const tern_conv *c = j->c;
    const int8_t *x = j->x + plane * c->height * c->width;
    int8_t *y = j->y + plane * c->out_height * c->out_width;
    (void)thread;
    for (int64_t oy = 0; oy < c->out_height; oy++, y += c->out_width)
        for (int64_t k = 0; k < c->kernel_height * c->kernel_width; k++) {
            const int8_t *from =
                x + (oy * c->stride_y + k / c->kernel_width) * c->width + k % c->kernel_width;
            loops()->highest(c->out_width, c->stride_x, from, k == 0, y);
        }
}

void tern_int8_max_pool(tern_pool *pool, const tern_conv *window, const int8_t *x, int8_t *y)
{
    pool_job j = {window, x, y};
    tern_pool_run(pool, window->images, max_task, &j);
}
