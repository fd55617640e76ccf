/* Copies in tasks of a fixed size. */
#include "kernel/move.h"
#include "kernel/table.h"

#include <string.h>

#define TASK_BYTES (64 * 1024)

typedef struct rows_job {
    int64_t rows, bytes, from_step, to_step, rows_per_task, count;
    const char *from;
    const int32_t *index;
    char *to;
} rows_job;

static void copy_task(void *context, int64_t task, int thread)
{
    const rows_job *j = context;
    int64_t last = (task + 1) * j->rows_per_task < j->rows ? (task + 1) * j->rows_per_task : j->rows;
    (void)thread;
    for (int64_t r = task * j->rows_per_task; r < last; r++) {
        char *to = j->to + r * j->to_step;
        int64_t row = j->index ? j->index[r] : r;
        if (j->index && (row < 0 || row >= j->count))
            memset(to, 0, (size_t)j->bytes);
        else
            memcpy(to, j->from + row * j->from_step, (size_t)j->bytes);
    }
}

static void run(tern_pool *pool, rows_job *job)
{
    if (job->rows <= 0 || job->bytes <= 0) return;
    job->rows_per_task = TASK_BYTES / job->bytes > 0 ? TASK_BYTES / job->bytes : 1;
    tern_pool_run(pool, (job->rows + job->rows_per_task - 1) / job->rows_per_task, copy_task, job);
}

void tern_copy_rows(tern_pool *pool, int64_t rows, int64_t bytes, const void *from, int64_t from_step,
                    void *to, int64_t to_step)
{
    rows_job job = {
        .rows = rows, .bytes = bytes, .from_step = from_step, .to_step = to_step, .from = from, .to = to};
    run(pool, &job);
}

void tern_pick_rows(tern_pool *pool, int64_t n, const int32_t *index, const void *table, int64_t count,
                    int64_t bytes, void *y)
{
    rows_job job = {.rows = n,
                    .bytes = bytes,
                    .from_step = bytes,
                    .to_step = bytes,
                    .count = count,
                    .from = table,
                    .index = index,
                    .to = y};
    run(pool, &job);
}

/* ---- transposing: tiles whose rows and columns are both in the first-level cache ------------------------------ */

#define TILE 64

typedef struct turn_job {
    int64_t rows, columns, tiles_down;
    const float *x;
    float *y;
} turn_job;

static void turn_task(void *context, int64_t task, int thread)
{
    const turn_job *j = context;
    int64_t plane = task / j->tiles_down, r = task % j->tiles_down * TILE;
    int64_t rows = j->rows - r < TILE ? j->rows - r : TILE;
    const float *x = j->x + (plane * j->rows + r) * j->columns;
    float *y = j->y + plane * j->rows * j->columns + r;
    (void)thread;
    for (int64_t c = 0; c < j->columns; c += TILE) {
        int64_t columns = j->columns - c < TILE ? j->columns - c : TILE;
        tern_kernels_get()->turn(rows, columns, x + c, j->columns, y + c * j->rows, j->rows);
    }
}

void tern_transpose(tern_pool *pool, int64_t planes, int64_t rows, int64_t columns, const float *x, float *y)
{
    turn_job job = {.rows = rows, .columns = columns, .tiles_down = (rows + TILE - 1) / TILE, .x = x, .y = y};
    tern_pool_run(pool, planes * job.tiles_down, turn_task, &job);
}
