/* Images of another size. */
#include "kernel/resize.h"

#include <string.h>

typedef struct resize_job {
    const tern_resize_axis *rows, *columns;
    const float *from;
    float *to;
    int64_t planes, planes_per_task;
    bool back;
} resize_job;

static void forward_plane(const resize_job *job, const float *x, float *out)
{
    const tern_resize_axis *r = job->rows, *c = job->columns;
    for (int64_t oy = 0; oy < r->out; oy++)
        for (int64_t ox = 0; ox < c->out; ox++) {
            float sum = 0;
            for (int ky = 0; ky < r->taps; ky++) {
                const float *row = x + r->index[oy * r->taps + ky] * c->in;
                float part = 0;
                for (int kx = 0; kx < c->taps; kx++)
                    part += c->weight[ox * c->taps + kx] * row[c->index[ox * c->taps + kx]];
                sum += r->weight[oy * r->taps + ky] * part;
            }
            *out++ = sum;
        }
}

static void back_plane(const resize_job *job, const float *dy, float *dx)
{
    const tern_resize_axis *r = job->rows, *c = job->columns;
    memset(dx, 0, (size_t)(r->in * c->in) * sizeof *dx);
    for (int64_t oy = 0; oy < r->out; oy++)
        for (int64_t ox = 0; ox < c->out; ox++, dy++)
            for (int ky = 0; ky < r->taps; ky++) {
                float *row = dx + r->index[oy * r->taps + ky] * c->in,
                      part = r->weight[oy * r->taps + ky] * *dy;
                for (int kx = 0; kx < c->taps; kx++)
                    row[c->index[ox * c->taps + kx]] += c->weight[ox * c->taps + kx] * part;
            }
}

static void resize_task(void *context, int64_t task, int thread)
{
    const resize_job *job = context;
    int64_t in = job->rows->in * job->columns->in, out = job->rows->out * job->columns->out;
    int64_t last = (task + 1) * job->planes_per_task;
    (void)thread;
    if (last > job->planes) last = job->planes;
    for (int64_t p = task * job->planes_per_task; p < last; p++) {
        if (job->back)
            back_plane(job, job->from + p * out, job->to + p * in);
        else
            forward_plane(job, job->from + p * in, job->to + p * out);
    }
}

static void run(tern_pool *pool, resize_job *job)
{
    job->planes_per_task = 1 + 16384 / (1 + job->rows->out * job->columns->out);
    tern_pool_run(pool, (job->planes + job->planes_per_task - 1) / job->planes_per_task, resize_task, job);
}

void tern_resize_planes(tern_pool *pool, int64_t planes, const tern_resize_axis *rows,
                        const tern_resize_axis *columns, const float *x, float *out)
{
    resize_job job = {.rows = rows, .columns = columns, .from = x, .to = out, .planes = planes};
    run(pool, &job);
}

void tern_resize_planes_grad(tern_pool *pool, int64_t planes, const tern_resize_axis *rows,
                             const tern_resize_axis *columns, const float *dy, float *dx)
{
    resize_job job = {.rows = rows, .columns = columns, .from = dy, .to = dx, .planes = planes, .back = true};
    run(pool, &job);
}
