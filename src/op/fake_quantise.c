/* Numbers as they will be when they have few bits, for training: rounded forwards, while the gradient passes as if they were not
 * (straight through; Bengio et al. 2013, arXiv 1308.3432; Jacob et al., CVPR 2018).
 *
 * Weights (whole false): s = max |x| / (2^(bits-1) - 1), of each row along axis 0 or of all; y = s round(x / s).
 * Activations (whole true): the range of x and 0 in 2^bits - 1 steps s, with a whole number of them below 0.
 * Halves go away from 0. */
#include "op/fake_quantise.h"

#include <math.h>

#define ARG(field, kind, doc) TERN_ARG(tern_fake_quantise_op, field, kind, doc)
static const tern_arg args[] = {
    ARG(bits, TERN_ARG_INT, "of a number, 2 to 8"),
    ARG(rows, TERN_ARG_BOOL, "a scale for each index of the first axis"),
    ARG(whole, TERN_ARG_BOOL, "the range as it is, not the same to both sides of 0"),
    {0},
};

static tern_status infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    const tern_fake_quantise_op *a = types->args;
    const tern_type *x = types->in[0];
    if (a->bits < 2 || a->bits > 8) return tern_infer_fail(types, "%d bits, expected 2 to 8", a->bits);
    if (x->dtype != TERN_F32 && x->dtype != TERN_F64)
        return tern_infer_fail(types, "x is %s, expected f32", tern_dtype_of(x->dtype)->name);
    if (a->rows && x->shape.rank < 1) return tern_infer_fail(types, "a scalar has no rows, expected an axis");
    tern_infer_out(types, x->dtype, x->shape);
    return TERN_OK;
}

/* The steps of a row: y = s (clamp(round(x / s) + zero, low, high) - zero). */
typedef struct grid {
    double step, inverse, zero, low, high;
} grid;

static grid grid_of(const tern_fake_quantise_op *a, double least, double most)
{
    double levels = ldexp(1, a->bits - 1) - 1;
    grid g = {.low = -levels, .high = levels};
    g.step = fmax(-least, most) / levels;
    if (a->whole) {
        g.low = 0;
        g.high = 2 * levels + 1;
        g.step = (most - least) / g.high;
    }
    if (!(g.step > 0) || !isfinite(g.step)) return (grid){0};
    g.inverse = 1 / g.step;
    if (a->whole) g.zero = floor(-least * g.inverse + 0.5);
    return g;
}

static double on_grid(const grid *g, double x)
{
    double t = x * g->inverse;
    t = (t >= 0 ? floor(t + 0.5) : ceil(t - 0.5)) + g->zero;
    return g->step * (fmin(fmax(t, g->low), g->high) - g->zero);
}

static int64_t rows_of(const tern_call *call)
{
    return TERN_ARGS(tern_fake_quantise_op, call)->rows ? call->in[0].shape.dim[0] : 1;
}

static void run(const tern_call *call)
{
    int64_t rows = rows_of(call), all = tern_elements(&call->in[0].shape), n = rows ? all / rows : 0;
    for (int64_t r = 0; r < rows; r++) {
        double least = 0, most = 0;
        for (int64_t i = r * n; i < (r + 1) * n; i++) {
            least = fmin(least, tern_get(&call->in[0], i));
            most = fmax(most, tern_get(&call->in[0], i));
        }
        grid g = grid_of(call->args, least, most);
        for (int64_t i = r * n; i < (r + 1) * n; i++)
            tern_set(&call->out[0], i, on_grid(&g, tern_get(&call->in[0], i)));
    }
    if (call->counter) call->counter->elementwise += 2 * (double)all;
}

static void work(const tern_call *call, tern_work *work)
{
    work->elementwise += 2 * (double)tern_elements(&call->in[0].shape);
}

static tern_status grad(tern_grad *c)
{
    c->din[0] = c->dout[0];
    return TERN_OK;
}

/* ---- fast: the same in pieces -------------------------------------------------------------------------------------- */

enum { PIECES = 64 };

typedef struct job {
    const tern_call *call;
    int64_t n, pieces; /* of a row */
    double *least, *most;
} job;

static void ends_of(const job *j, int64_t task, int64_t *from, int64_t *to)
{
    int64_t row = task / j->pieces, piece = task % j->pieces;
    *from = row * j->n + piece * j->n / j->pieces;
    *to = row * j->n + (piece + 1) * j->n / j->pieces;
}

static void range_task(void *context, int64_t task, int thread)
{
    const job *j = context;
    const float *x = j->call->in[0].data;
    int64_t from, to;
    float least = 0, most = 0;
    (void)thread;
    ends_of(j, task, &from, &to);
    for (int64_t i = from; i < to; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
    }
    j->least[task] = (double)least;
    j->most[task] = (double)most;
}

static void round_task(void *context, int64_t task, int thread)
{
    const job *j = context;
    const float *x = j->call->in[0].data;
    float *y = j->call->out[0].data;
    double least = 0, most = 0;
    int64_t from, to, row = task / j->pieces;
    (void)thread;
    ends_of(j, task, &from, &to);
    for (int64_t p = row * j->pieces; p < (row + 1) * j->pieces; p++) {
        least = fmin(least, j->least[p]);
        most = fmax(most, j->most[p]);
    }
    grid g = grid_of(j->call->args, least, most);
    for (int64_t i = from; i < to; i++) {
        double t = (double)x[i] * g.inverse;
        t = (double)(int64_t)(t + (t >= 0 ? 0.5 : -0.5)) + g.zero;
        t = t < g.low ? g.low : t > g.high ? g.high : t;
        y[i] = (float)(g.step * (t - g.zero));
    }
}

static int64_t tasks_of(const tern_call *call, int64_t *pieces)
{
    int64_t rows = rows_of(call);
    *pieces = rows >= PIECES ? 1 : PIECES;
    return rows * *pieces;
}

static size_t scratch(const tern_call *call)
{
    int64_t pieces;
    return 2 * sizeof(double) * (size_t)tasks_of(call, &pieces);
}

static void fast(const tern_call *call)
{
    int64_t pieces, tasks = tasks_of(call, &pieces), rows = rows_of(call);
    job j = {call, rows ? tern_elements(&call->in[0].shape) / rows : 0, pieces, call->scratch, NULL};
    j.most = j.least + tasks;
    tern_pool_run(call->pool, tasks, range_task, &j);
    tern_pool_run(call->pool, tasks, round_task, &j);
}

static bool matches(const tern_call *call)
{
    return call->in[0].dtype == TERN_F32;
}

static const tern_fast kernels[] = {{"pieces", matches, scratch, fast}, {0}};

const tern_op tern_op_fake_quantise = {
    .name = "fake_quantise",
    .doc = "numbers of few bits forwards, straight through backwards",
    .args = args,
    .args_size = sizeof(tern_fake_quantise_op),
    .infer = infer,
    .grad = grad,
    .work = work,
    .run = run,
    .fast = kernels,
};
