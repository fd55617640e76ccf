/* Sums that are rounded behind every term, and windows as matrices. */
#include "kernel/half.h"
#include "kernel/table.h"

#include <math.h>
#include <string.h>

/* ---- one term ------------------------------------------------------------------------------------------------------- */

float tern_half_round(tern_dtype format, double x)
{
    uint16_t half;
    double value;
    if (format == TERN_F32) return (float)x;
    const tern_dtype_info *info = tern_dtype_of(format);
    info->encode(&half, 0, 1, &x);
    info->decode(&half, 0, 1, &value);
    return (float)value;
}

/* a + b in double, cut and its last bit set where that is not exact: rounded again it is as if rounded once. */
static double odd_sum(double a, double b)
{
    double sum = a + b, part = sum - a, rest = (a - (sum - part)) + (b - part);
    uint64_t bits;
    if (!(rest > 0 || rest < 0)) return sum;
    memcpy(&bits, &sum, sizeof bits);
    if ((rest < 0) != (sum < 0)) bits--;
    bits |= 1;
    memcpy(&sum, &bits, sizeof sum);
    return sum;
}

/* Products of halves are exact in double. */
float tern_half_step(tern_dtype format, float sum, float a, float b)
{
    if (format == TERN_F32) return fmaf(a, b, sum);
    return tern_half_round(format, odd_sum((double)sum, (double)a * (double)b));
}

/* ---- products --------------------------------------------------------------------------------------------------------- */

static float element(const tern_half_product *p, int64_t i, int64_t j)
{
    tern_dtype format = p->wide ? TERN_F32 : p->format;
    float sums[TERN_HALF_LANES] = {p->c[i * p->m + j]};
    const float *a = p->a + i * p->k, *b = p->b + j;
    int64_t whole = p->k / p->lanes * p->lanes;
    for (int64_t k = 0; k < whole; k++)
        sums[k % p->lanes] = tern_half_step(format, sums[k % p->lanes], a[k], b[k * p->m]);
    for (int apart = 1; apart < p->lanes; apart *= 2)
        for (int l = 0; l < p->lanes; l += 2 * apart)
            sums[l] = tern_half_step(format, sums[l], sums[l + apart], 1);
    for (int64_t k = whole; k < p->k; k++) sums[0] = tern_half_step(format, sums[0], a[k], b[k * p->m]);
    return sums[0];
}

typedef struct half_job {
    const tern_half_product *p;
    tern_half_rows *rows;
} half_job;

/* A task is some rows. */
enum { ROWS = 4 };

static void multiply_task(void *context, int64_t task, int thread)
{
    const half_job *job = context;
    const tern_half_product *p = job->p;
    int64_t first = task * ROWS, last = first + ROWS < p->n ? first + ROWS : p->n;
    (void)thread;
    if (job->rows) {
        job->rows(p, first, last);
        return;
    }
    for (int64_t i = first; i < last; i++)
        for (int64_t j = 0; j < p->m; j++) p->c[i * p->m + j] = element(p, i, j);
}

void tern_half_multiply(tern_pool *pool, const tern_half_product *p)
{
    half_job job = {p, p->lanes == 1 ? tern_kernels_get()->half_rows : NULL};
    tern_pool_run(pool, (p->n + ROWS - 1) / ROWS, multiply_task, &job);
}

/* ---- windows ------------------------------------------------------------------------------------------------------------ */

static int64_t along(int64_t q, int64_t spread, int64_t extent)
{
    return q < 0 || q % spread || q / spread >= extent ? -1 : q / spread;
}

int64_t tern_half_source(const tern_half_window *w, int64_t row, int64_t column)
{
    int64_t tap_x = row % w->taps_x, tap_y = row / w->taps_x % w->taps_y;
    int64_t channel = row / (w->taps_x * w->taps_y);
    int64_t y =
        along(column / w->out_x * w->stride_y + tap_y * w->dilation_y + w->origin_y, w->spread_y, w->height);
    int64_t x =
        along(column % w->out_x * w->stride_x + tap_x * w->dilation_x + w->origin_x, w->spread_x, w->width);
    return y < 0 || x < 0 ? -1 : (channel * w->height + y) * w->width + x;
}

void tern_half_columns(const tern_half_window *w, const float *x, bool turned, float *to)
{
    int64_t rows = w->channels * w->taps_y * w->taps_x, columns = w->out_y * w->out_x;
    for (int64_t r = 0; r < rows; r++) {
        int64_t tap_x = r % w->taps_x * w->dilation_x + w->origin_x;
        int64_t tap_y = r / w->taps_x % w->taps_y * w->dilation_y + w->origin_y;
        const float *plane = x + r / (w->taps_x * w->taps_y) * w->height * w->width;
        for (int64_t oy = 0, c = 0; oy < w->out_y; oy++) {
            int64_t y = along(oy * w->stride_y + tap_y, w->spread_y, w->height);
            for (int64_t ox = 0; ox < w->out_x; ox++, c++) {
                int64_t at = y < 0 ? -1 : along(ox * w->stride_x + tap_x, w->spread_x, w->width);
                to[turned ? c * rows + r : r * columns + c] = at < 0 ? 0 : plane[y * w->width + at];
            }
        }
    }
}
