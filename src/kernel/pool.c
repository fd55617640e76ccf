/* Pooling of f32 planes, and the gradients of pooling. */
#include "kernel/loops.h"
#include "tensor/tensor.h"

#include <string.h>

typedef struct pool_job {
    const tern_conv *c;
    const void *x;
    bool bits, mean;
    const float *dy;
    float *out;
    int64_t planes_per_task;
    void (*plane)(const struct pool_job *job, int64_t plane);
} pool_job;

static void pool_task(void *context, int64_t task, int thread)
{
    const pool_job *job = context;
    int64_t last = (task + 1) * job->planes_per_task;
    (void)thread;
    if (last > job->c->images) last = job->c->images;
    for (int64_t p = task * job->planes_per_task; p < last; p++) job->plane(job, p);
}

static void run(tern_pool *pool, pool_job *job)
{
    int64_t size = job->c->height * job->c->width;
    job->planes_per_task = 1 + 32768 / (size + 1);
    tern_pool_run(pool, (job->c->images + job->planes_per_task - 1) / job->planes_per_task, pool_task, job);
}

/* The part of a window that lies in the image: rows top.., columns left... */
typedef struct pool_window {
    int64_t top, left, rows, columns;
} pool_window;

static pool_window window_at(const tern_conv *c, int64_t oy, int64_t ox)
{
    int64_t y = oy * c->stride_y - c->pad_y, x = ox * c->stride_x - c->pad_x;
    int64_t bottom = y + c->kernel_height, right = x + c->kernel_width;
    pool_window w = {y < 0 ? 0 : y, x < 0 ? 0 : x, 0, 0};
    w.rows = (bottom < c->height ? bottom : c->height) - w.top;
    w.columns = (right < c->width ? right : c->width) - w.left;
    return w;
}

static void forward_plane(const pool_job *job, int64_t plane)
{
    const tern_conv *c = job->c;
    const float *x = (const float *)job->x + plane * c->height * c->width;
    float *y = job->out + plane * c->out_height * c->out_width;
    for (int64_t oy = 0; oy < c->out_height; oy++)
        for (int64_t ox = 0; ox < c->out_width; ox++) {
            pool_window w = window_at(c, oy, ox);
            const float *from = x + w.top * c->width + w.left;
            float best = *from, sum = 0;
            for (int64_t ky = 0; ky < w.rows; ky++)
                for (int64_t kx = 0; kx < w.columns; kx++) {
                    float v = from[ky * c->width + kx];
                    best = v > best ? v : best;
                    sum += v;
                }
            *y++ = job->mean ? sum / (float)(w.rows * w.columns) : best;
        }
}

void tern_max_pool(tern_pool *pool, const tern_conv *window, const float *x, float *y)
{
    pool_job job = {.c = window, .x = x, .out = y, .plane = forward_plane};
    run(pool, &job);
}

void tern_avg_pool(tern_pool *pool, const tern_conv *window, const float *x, float *y)
{
    pool_job job = {.c = window, .x = x, .out = y, .mean = true, .plane = forward_plane};
    run(pool, &job);
}

static float value_at(const pool_job *job, int64_t at)
{
    return job->bits ? (float)tern_bit_get(job->x, at) : ((const float *)job->x)[at];
}

static void max_grad_plane(const pool_job *job, int64_t plane)
{
    const tern_conv *c = job->c;
    int64_t begin = plane * c->height * c->width;
    const float *dy = job->dy + plane * c->out_height * c->out_width;
    float *dx = job->out + begin;
    memset(dx, 0, (size_t)(c->height * c->width) * sizeof *dx);
    for (int64_t oy = 0; oy < c->out_height; oy++)
        for (int64_t ox = 0; ox < c->out_width; ox++) {
            pool_window w = window_at(c, oy, ox);
            int64_t corner = w.top * c->width + w.left, best = corner;
            for (int64_t k = 1; k < w.rows * w.columns; k++) {
                int64_t at = corner + k / w.columns * c->width + k % w.columns;
                if (value_at(job, begin + at) > value_at(job, begin + best)) best = at;
            }
            dx[best] += *dy++;
        }
}

/* 2x2 windows of spikes, narrow rows: two rows at a time; an odd last row is in no window. */
static void spike_grad_plane(const pool_job *job, int64_t plane)
{
    const tern_conv *c = job->c;
    const tern_loops *loops = tern_loops_get();
    for (int64_t oy = 0; oy < c->out_height; oy++) {
        int64_t at = (plane * c->height + 2 * oy) * c->width;
        loops->spike_pool_grad(job->x, at, c->width, job->dy + (plane * c->out_height + oy) * c->out_width,
                               job->out + at);
    }
    int64_t rest = c->height - 2 * c->out_height;
    memset(job->out + (plane + 1) * c->height * c->width - rest * c->width, 0,
           (size_t)(rest * c->width) * sizeof *job->out);
}

static bool halves(const tern_conv *c)
{
    return c->kernel_height == 2 && c->kernel_width == 2 && c->stride_y == 2 && c->stride_x == 2 &&
           c->pad_y == 0 && c->pad_x == 0;
}

void tern_max_pool_grad(tern_pool *pool, const tern_conv *window, const void *x, bool bits, const float *dy,
                        float *dx)
{
    const tern_conv *c = window;
    bool fits = bits && halves(c) && c->width <= 64;
    pool_job job = {
        .c = c, .x = x, .bits = bits, .dy = dy, .out = dx, .plane = fits ? spike_grad_plane : max_grad_plane};
    run(pool, &job);
}

static void avg_grad_plane(const pool_job *job, int64_t plane)
{
    const tern_conv *c = job->c;
    const float *dy = job->dy + plane * c->out_height * c->out_width;
    float *dx = job->out + plane * c->height * c->width;
    memset(dx, 0, (size_t)(c->height * c->width) * sizeof *dx);
    for (int64_t oy = 0; oy < c->out_height; oy++)
        for (int64_t ox = 0; ox < c->out_width; ox++) {
            pool_window w = window_at(c, oy, ox);
            float *to = dx + w.top * c->width + w.left, d = *dy++ / (float)(w.rows * w.columns);
            for (int64_t ky = 0; ky < w.rows; ky++)
                for (int64_t kx = 0; kx < w.columns; kx++) to[ky * c->width + kx] += d;
        }
}

/* 2x2 windows over even images: each element belongs to one. */
static void mean_grad_plane(const pool_job *job, int64_t plane)
{
    const tern_conv *c = job->c;
    const float *dy = job->dy + plane * c->out_height * c->out_width;
    float *dx = job->out + plane * c->height * c->width;
    for (int64_t oy = 0; oy < c->out_height; oy++, dy += c->out_width, dx += 2 * c->width) {
        for (int64_t ox = 0; ox < c->out_width; ox++) dx[2 * ox] = dx[2 * ox + 1] = dy[ox] * 0.25f;
        memcpy(dx + c->width, dx, (size_t)c->width * sizeof *dx);
    }
}

void tern_avg_pool_grad(tern_pool *pool, const tern_conv *window, const float *dy, float *dx)
{
    bool even = halves(window) && window->height % 2 == 0 && window->width % 2 == 0;
    pool_job job = {.c = window, .dy = dy, .out = dx, .plane = even ? mean_grad_plane : avg_grad_plane};
    run(pool, &job);
}
