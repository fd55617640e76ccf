/* Levels of a step: y = s clip(round(x / s), low, high), halves to even, s [1] given (learned, or the largest weight over the
 * highest level).  Straight-through:
 *
 *     dy/dx = 1 where the level is inside, else 0;   dy/ds = round(x / s) - x / s inside, the level where it is clipped
 *
 * binary: -1 and 1 by the sign; the gradient to x passes where |x| <= s.  With `levels` the level itself comes out, round(x / s) clipped: both derivatives are those of the same function over s. */
#include "op/fixed.h"

#define ARG(field, kind, doc) TERN_ARG(tern_uniform_op, field, kind, doc)
static const tern_arg uniform_args[] = {
    ARG(low, TERN_ARG_INT, "lowest level"),
    ARG(high, TERN_ARG_INT, "highest level"),
    ARG(levels, TERN_ARG_BOOL, "the levels themselves"),
    ARG(binary, TERN_ARG_BOOL, "-1 below 0, else 1"),
    {0},
};

#define LEAST_STEP 1e-10

static double step_of(const tern_call *call)
{
    return fmax(tern_get(&call->in[1], 0), LEAST_STEP);
}

static tern_status uniform_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    TERN_TRY(tern_infer_like(types, 1, 1, TERN_SHAPE(1)));
    tern_infer_out(types, types->in[0]->dtype == TERN_F64 ? TERN_F64 : TERN_F32, types->in[0]->shape);
    return TERN_OK;
}

static double level_of(const tern_uniform_op *a, double v, bool *inside)
{
    if (a->binary) {
        *inside = fabs(v) <= 1;
        return v < 0 ? -1 : 1;
    }
    double k = nearbyint(v);
    *inside = k >= a->low && k <= a->high;
    return fmin(fmax(k, a->low), a->high);
}

static void uniform_run(const tern_call *call)
{
    const tern_uniform_op *a = call->args;
    double s = step_of(call);
    bool inside;
    for (int64_t i = 0; i < tern_elements(&call->out[0].shape); i++) {
        double k = level_of(a, tern_get(&call->in[0], i) / s, &inside);
        tern_set(&call->out[0], i, a->levels ? k : s * k);
        if (call->counter) call->counter->elementwise++;
    }
}

static tern_status uniform_grad(tern_grad *c)
{
    tern_value in[] = {c->node->in[0], c->node->in[1], c->dout[0]}, out[2] = {{0}};
    tern_apply(c->graph, &tern_op_uniform_grad, c->node->args, in, 3, out);
    c->din[0] = out[0];
    c->din[1] = out[1];
    return TERN_OK;
}

const tern_op tern_op_uniform = {
    .name = "uniform",
    .doc = "levels of a step, and the gradient to the step",
    .args = uniform_args,
    .args_size = sizeof(tern_uniform_op),
    .inplace = {1},
    .infer = uniform_infer,
    .grad = uniform_grad,
    .work = tern_work_inputs,
    .run = uniform_run,
};

/* ---- x, s, dy -> dx, ds ------------------------------------------------------------------------------------------- */

static tern_status uniform_grad_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    TERN_TRY(tern_infer_like(types, 1, 1, TERN_SHAPE(1)));
    TERN_TRY(tern_infer_like(types, 2, 2, types->in[0]->shape));
    tern_infer_out(types, types->in[2]->dtype, types->in[0]->shape);
    tern_infer_out(types, types->in[2]->dtype, types->in[1]->shape);
    return TERN_OK;
}

static void uniform_grad_run(const tern_call *call)
{
    const tern_uniform_op *a = call->args;
    double s = step_of(call), sum = 0;
    for (int64_t i = 0; i < tern_elements(&call->in[0].shape); i++) {
        double v = tern_get(&call->in[0], i) / s, dy = tern_get(&call->in[2], i);
        bool inside;
        double k = level_of(a, v, &inside);
        if (a->levels) /* of k alone: (1/s) dx - (v/s) ds */
            sum += inside ? -dy * v / s : 0;
        else
            sum += dy * (inside ? k - v : k);
        if (call->out[0].data) tern_set(&call->out[0], i, inside ? dy / (a->levels ? s : 1) : 0);
        if (call->counter) call->counter->elementwise++;
    }
    if (call->out[1].data) tern_set(&call->out[1], 0, sum);
}

const tern_op tern_op_uniform_grad = {
    .name = "uniform_grad",
    .doc = "gradient of uniform to x and to the step",
    .args = uniform_args,
    .args_size = sizeof(tern_uniform_op),
    .inplace = {3},
    .infer = uniform_grad_infer,
    .work = tern_work_inputs,
    .run = uniform_grad_run,
};
