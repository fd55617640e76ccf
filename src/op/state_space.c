/* The two operators of a selective state space that carry a state; inference. */
#include "op/state_space.h"

#include "op/op.h"

#include <math.h>

static bool has_shape(const tern_type *type, int rank, int64_t rows, int64_t columns)
{
    const tern_shape *s = &type->shape;
    return type->dtype == TERN_F32 && s->rank == rank && s->dim[0] == rows &&
           (rank < 2 || s->dim[1] == columns);
}

/* ---- causal_conv --------------------------------------------------------------------------------------------------- */

static tern_status causal_conv_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 4, 4));
    const tern_shape *x = &types->in[0]->shape, *w = &types->in[1]->shape;
    char a[96], b[96];
    bool match = x->rank == 2 && w->rank == 2 && w->dim[0] == x->dim[1] && w->dim[1] >= 2;
    match = match && has_shape(types->in[0], 2, x->dim[0], x->dim[1]) &&
            has_shape(types->in[1], 2, w->dim[0], w->dim[1]) && has_shape(types->in[2], 1, w->dim[0], 0) &&
            has_shape(types->in[3], 2, w->dim[1] - 1, w->dim[0]);
    if (!match)
        return tern_infer_fail(
            types,
            "x %s, weight %s: expected [S,I], [I,K] with K above 1, a bias [I] and a state [K-1,I] in f32",
            tern_shape_text(a, x), tern_shape_text(b, w));
    tern_infer_out(types, TERN_F32, *x);
    tern_infer_out(types, TERN_F32, types->in[3]->shape);
    return TERN_OK;
}

static void causal_conv_work(const tern_call *call, tern_work *work)
{
    work->macs += (double)(tern_elements(&call->in[0].shape) * call->in[1].shape.dim[1]);
}

/* Row `at` of the tokens, below 0 of the state. */
static double row_before(const tern_call *call, int64_t at, int64_t column, int64_t kept)
{
    int64_t width = call->in[0].shape.dim[1];
    return at < 0 ? tern_get(&call->in[3], (kept + at) * width + column)
                  : tern_get(&call->in[0], at * width + column);
}

static void causal_conv_run(const tern_call *call)
{
    int64_t tokens = call->in[0].shape.dim[0], width = call->in[0].shape.dim[1],
            taps = call->in[1].shape.dim[1];
    for (int64_t s = 0; call->out[0].data && s < tokens; s++)
        for (int64_t i = 0; i < width; i++) {
            double sum = tern_get(&call->in[2], i);
            for (int64_t k = 0; k < taps; k++)
                sum += tern_get(&call->in[1], i * taps + k) * row_before(call, s - taps + 1 + k, i, taps - 1);
            tern_set(&call->out[0], s * width + i, sum);
        }
    for (int64_t k = 0; call->out[1].data && k < taps - 1; k++)
        for (int64_t i = 0; i < width; i++)
            tern_set(&call->out[1], k * width + i, row_before(call, tokens - taps + 1 + k, i, taps - 1));
    if (call->counter) call->counter->macs += (double)(tokens * width * taps);
}

const tern_op tern_op_causal_conv = {
    .name = "causal_conv",
    .doc = "a short convolution of each channel over tokens, with the rows before them",
    .infer = causal_conv_infer,
    .work = causal_conv_work,
    .run = causal_conv_run,
};

tern_value tern_causal_conv(tern_graph *graph, tern_value x, tern_value weight, tern_value bias,
                            tern_value state, tern_value *next)
{
    tern_value in[] = {x, weight, bias, state}, out[TERN_MAX_OUT] = {0};
    tern_apply(graph, &tern_op_causal_conv, NULL, in, 4, out);
    *next = out[1];
    return out[0];
}

/* ---- selective_scan ------------------------------------------------------------------------------------------------ */

enum { X, DT, A, B, C, D, H };

static tern_status selective_scan_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 7, 7));
    const tern_shape *x = &types->in[X]->shape, *a = &types->in[A]->shape;
    char text[96], other[96];
    bool match = x->rank == 2 && a->rank == 2 && a->dim[0] == x->dim[1];
    match = match && has_shape(types->in[X], 2, x->dim[0], x->dim[1]) &&
            has_shape(types->in[DT], 2, x->dim[0], x->dim[1]) &&
            has_shape(types->in[A], 2, a->dim[0], a->dim[1]) &&
            has_shape(types->in[B], 2, x->dim[0], a->dim[1]) &&
            has_shape(types->in[C], 2, x->dim[0], a->dim[1]) && has_shape(types->in[D], 1, x->dim[1], 0) &&
            has_shape(types->in[H], 2, a->dim[0], a->dim[1]);
    if (!match)
        return tern_infer_fail(
            types, "x %s, a %s: expected x and dt [S,I], a and the state [I,N], b and c [S,N], d [I] in f32",
            tern_shape_text(text, x), tern_shape_text(other, a));
    tern_infer_out(types, TERN_F32, *x);
    tern_infer_out(types, TERN_F32, *a);
    return TERN_OK;
}

/* Of each token and cell of the state: decay, input and read-out; its exponential; dt a.  Of each token and channel: dt x, d x. */
static void count(int64_t tokens, int64_t width, int64_t cells, tern_work *work)
{
    double channels = (double)(tokens * width), all = channels * (double)cells;
    work->macs += 3 * all + channels;
    work->specials += all;
    work->elementwise += all + channels;
}

static void selective_scan_work(const tern_call *call, tern_work *work)
{
    count(call->in[X].shape.dim[0], call->in[X].shape.dim[1], call->in[A].shape.dim[1], work);
}

/* One channel through all tokens; its state in the result, which is the state at first. */
static void scan_channel(const tern_call *call, int64_t i, double *h)
{
    int64_t tokens = call->in[X].shape.dim[0], width = call->in[X].shape.dim[1],
            cells = call->in[A].shape.dim[1];
    for (int64_t n = 0; n < cells; n++) h[n] = tern_get(&call->in[H], i * cells + n);
    for (int64_t s = 0; s < tokens; s++) {
        double x = tern_get(&call->in[X], s * width + i), dt = tern_get(&call->in[DT], s * width + i);
        double y = tern_get(&call->in[D], i) * x;
        for (int64_t n = 0; n < cells; n++) {
            double decay = exp(dt * tern_get(&call->in[A], i * cells + n));
            h[n] = (float)(decay * h[n] +
                           dt * x * tern_get(&call->in[B], s * cells + n)); /* as the state keeps it */
            y += h[n] * tern_get(&call->in[C], s * cells + n);
        }
        if (call->out[0].data) tern_set(&call->out[0], s * width + i, y);
    }
    for (int64_t n = 0; call->out[1].data && n < cells; n++) tern_set(&call->out[1], i * cells + n, h[n]);
}

static size_t selective_scan_scratch(const tern_call *call)
{
    return (size_t)call->in[A].shape.dim[1] * sizeof(double);
}

static void selective_scan_run(const tern_call *call)
{
    for (int64_t i = 0; i < call->in[X].shape.dim[1]; i++) scan_channel(call, i, call->scratch);
    if (call->counter)
        count(call->in[X].shape.dim[0], call->in[X].shape.dim[1], call->in[A].shape.dim[1], call->counter);
}

const tern_op tern_op_selective_scan = {
    .name = "selective_scan",
    .doc = "a state space whose step, input and read-out follow from the tokens (Mamba)",
    .infer = selective_scan_infer,
    .work = selective_scan_work,
    .run = selective_scan_run,
    .scratch = selective_scan_scratch,
};

tern_value tern_selective_scan(tern_graph *graph, tern_value x, tern_value dt, tern_value a, tern_value b,
                               tern_value c, tern_value d, tern_value state, tern_value *next)
{
    tern_value in[] = {x, dt, a, b, c, d, state}, out[TERN_MAX_OUT] = {0};
    tern_apply(graph, &tern_op_selective_scan, NULL, in, 7, out);
    *next = out[1];
    return out[0];
}
