/* Tensors in other number formats: pieces of whole blocks, each a task with a count of its own. */
#include "quant/recode.h"

#include <math.h>
#include <string.h>

enum { PIECE = 65536 }; /* elements of a task: whole blocks of every format */

typedef struct tern_recode_job {
    const tern_tensor *from, *to;
    float *scale; /* rows only */
    double whole; /* largest magnitude of all rows, where they share it; else 0 */
    int64_t piece;
    double *buffers;        /* [threads][2][piece] */
    tern_recoding *results; /* [tasks] */
} tern_recode_job;

double tern_recoding_error(const tern_recoding *r)
{
    return r->errors > 0 && r->squares > 0 ? sqrt(r->errors / r->squares) : 0;
}

static void compare(const double *x, const double *y, int64_t n, tern_recoding *r)
{
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            r->infinite++;
            continue;
        }
        if (!isfinite(y[i])) {
            r->overflowed++;
            continue;
        }
        double e = fabs(y[i] - x[i]);
        r->squares += x[i] * x[i];
        r->errors += e * e;
        r->changed += e > 0;
        if (e > r->most) r->most = e;
    }
}

static void piece_task(void *context, int64_t task, int thread)
{
    const tern_recode_job *j = context;
    double *x = j->buffers + (int64_t)thread * 2 * j->piece, *y = x + j->piece;
    int64_t first = task * j->piece, left = tern_elements(&j->from->shape) - first;
    int64_t n = left < j->piece ? left : j->piece;
    tern_dtype_of(j->from->dtype)->decode(j->from->data, first, n, x);
    tern_dtype_of(j->to->dtype)->encode(j->to->data, first, n, x);
    tern_dtype_of(j->to->dtype)->decode(j->to->data, first, n, y);
    compare(x, y, n, &j->results[task]);
}

static double largest(const double *x, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = isfinite(x[i]) && fabs(x[i]) > most ? fabs(x[i]) : most;
    return most;
}

static void row_task(void *context, int64_t row, int thread)
{
    const tern_recode_job *j = context;
    double *x = j->buffers + (int64_t)thread * 2 * j->piece, *y = x + j->piece;
    int8_t *q = (int8_t *)j->to->data + row * j->piece;
    tern_dtype_of(j->from->dtype)->decode(j->from->data, row * j->piece, j->piece, x);
    double most = j->whole > 0 ? j->whole : largest(x, j->piece);
    j->scale[row] = most > 0 ? (float)(most / 127) : 1;
    for (int64_t i = 0; i < j->piece; i++) {
        q[i] = isfinite(x[i]) && most > 0 ? (int8_t)nearbyint(x[i] * 127 / most) : 0;
        y[i] = (double)j->scale[row] * q[i];
    }
    compare(x, y, j->piece, &j->results[row]);
}

/* Runs the tasks and adds up, in their order, what they counted. */
static tern_status run(tern_pool *pool, tern_recode_job *j, int64_t tasks, tern_task *task,
                       tern_recoding *result)
{
    size_t doubles = (size_t)tern_pool_threads(pool) * 2 * (size_t)j->piece;
    j->buffers = tern_take_array(doubles, sizeof *j->buffers);
    j->results = tern_take_array((size_t)tasks + 1, sizeof *j->results);
    tern_status status = j->buffers && j->results
                             ? TERN_OK
                             : tern_no_memory(doubles * sizeof *j->buffers, "a tensor in another format");
    if (status == TERN_OK) tern_pool_run(pool, tasks, task, j);
    *result = (tern_recoding){0};
    for (int64_t i = 0; status == TERN_OK && i < tasks; i++) {
        const tern_recoding *r = &j->results[i];
        result->squares += r->squares;
        result->errors += r->errors;
        result->most = fmax(result->most, r->most);
        result->changed += r->changed;
        result->overflowed += r->overflowed;
        result->infinite += r->infinite;
    }
    tern_release(j->buffers);
    tern_release(j->results);
    return status;
}

tern_status tern_recode(tern_pool *pool, const tern_tensor *from, const tern_tensor *to,
                        tern_recoding *result)
{
    tern_recode_job j = {.from = from, .to = to, .piece = PIECE};
    int64_t n = tern_elements(&from->shape);
    return run(pool, &j, (n + PIECE - 1) / PIECE, piece_task, result);
}

tern_status tern_recode_rows(tern_pool *pool, const tern_tensor *from, bool together, const tern_tensor *to,
                             float *scale, tern_recoding *result)
{
    int64_t rows = from->shape.rank ? from->shape.dim[0] : 0, columns = tern_elements_from(&from->shape, 1);
    tern_recode_job j = {.from = from, .to = to, .scale = scale, .piece = columns};
    if (rows < 1 || columns < 1) return tern_fail(TERN_FAILED, "rows of bytes: the tensor is empty");
    if (together) {
        double *x = tern_take_array((size_t)columns, sizeof *x);
        if (!x) return tern_no_memory((size_t)columns * sizeof *x, "a row");
        for (int64_t r = 0; r < rows; r++) {
            tern_dtype_of(from->dtype)->decode(from->data, r * columns, columns, x);
            j.whole = fmax(j.whole, largest(x, columns));
        }
        tern_release(x);
    }
    return run(pool, &j, rows, row_task, result);
}
