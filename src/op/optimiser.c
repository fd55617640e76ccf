/* What a parameter becomes: update rules as operators, so that a training step is one program. */
#include "op/optimiser.h"
#include "kernel/loops.h"
#include "op/op.h"

#include <math.h>

#define ADAM_ARG(field, kind, doc) TERN_ARG(tern_adam_op, field, kind, doc)
static const tern_arg adam_args[] = {
    ADAM_ARG(beta1, TERN_ARG_REAL, "decay of the mean gradient"),
    ADAM_ARG(beta2, TERN_ARG_REAL, "decay of the mean squared gradient"),
    ADAM_ARG(epsilon, TERN_ARG_REAL, "added to the root"),
    ADAM_ARG(decay, TERN_ARG_REAL, "weight decay"),
    ADAM_ARG(decoupled, TERN_ARG_BOOL, "decay acts on the parameter (AdamW)"),
    ADAM_ARG(highest, TERN_ARG_BOOL, "divide by the highest mean square so far (AMSGrad)"),
    {0},
};

static tern_status adam_infer(tern_infer *types)
{
    bool highest = ((const tern_adam_op *)types->args)->highest;
    TERN_TRY(tern_infer_inputs(types, highest ? 7 : 6, highest ? 7 : 6));
    TERN_TRY(tern_infer_like(types, 1, 3, types->in[0]->shape));
    TERN_TRY(tern_infer_like(types, 4, 5, TERN_SHAPE(1)));
    TERN_TRY(tern_infer_like(types, 6, 6, types->in[0]->shape));
    for (int i = 0; i < (highest ? 4 : 3); i++)
        tern_infer_out(types, types->in[0]->dtype, types->in[0]->shape);
    return TERN_OK;
}

static void adam_run(const tern_call *call)
{
    const tern_adam_op *a = call->args;
    const tern_tensor *p = &call->in[0], *g = &call->in[1], *m = &call->in[2], *v = &call->in[3];
    double rate = tern_get(&call->in[4], 0), step = tern_get(&call->in[5], 0);
    double correct1 = 1 - pow(a->beta1, step), correct2 = 1 - pow(a->beta2, step);
    int64_t n = tern_elements(&p->shape);
    for (int64_t i = 0; i < n; i++) {
        double x = tern_get(p, i), d = tern_get(g, i);
        if (a->decoupled)
            x -= rate * a->decay * x;
        else
            d += a->decay * x;
        double mean = a->beta1 * tern_get(m, i) + (1 - a->beta1) * d;
        double square = a->beta2 * tern_get(v, i) + (1 - a->beta2) * d * d;
        double divisor = a->highest ? fmax(tern_get(&call->in[6], i), square) : square;
        tern_set(&call->out[0], i, x - rate * (mean / correct1) / (sqrt(divisor / correct2) + a->epsilon));
        if (a->highest) tern_set(&call->out[3], i, divisor);
        tern_set(&call->out[1], i, mean);
        tern_set(&call->out[2], i, square);
        if (call->counter) call->counter->elementwise++;
    }
}

static void adam_fast(const tern_call *call)
{
    const tern_adam_op *a = call->args;
    const tern_tensor *in = call->in, *out = call->out;
    double step = tern_get(&in[5], 0);
    tern_adam_step s = {(float)tern_get(&in[4], 0),
                        (float)a->beta1,
                        (float)a->beta2,
                        (float)a->epsilon,
                        (float)a->decay,
                        (float)(1 / (1 - pow(a->beta1, step))),
                        (float)(1 / (1 - pow(a->beta2, step))),
                        a->decoupled};
    tern_adam_operands operands = {.p = in[0].data,
                                   .g = in[1].data,
                                   .m = in[2].data,
                                   .v = in[3].data,
                                   .highest = a->highest ? in[6].data : NULL,
                                   .p_out = out[0].data,
                                   .m_out = out[1].data,
                                   .v_out = out[2].data,
                                   .highest_out = a->highest ? out[3].data : NULL};
    tern_adam_loop(call->pool, tern_elements(&in[0].shape), &s, &operands);
}

static const tern_fast adam_kernels[] = {{"loop", tern_all_f32, NULL, adam_fast}, {0}};

/* parameter, gradient, mean m, mean square v, rate [1], step [1] (from 1) -> parameter, m, v.  Kingma & Ba 2015;
 * Loshchilov & Hutter 2019 (AdamW).  AMSGrad (Reddi, Kale & Kumar 2018, as PyTorch has it): also the highest v so far in
 * and out, by whose root is divided. */
const tern_op tern_op_adam = {
    .name = "adam",
    .doc = "Adam, AdamW and AMSGrad update of a parameter",
    .args = adam_args,
    .args_size = sizeof(tern_adam_op),
    .inplace = {1, 3, 4, 7},
    .infer = adam_infer,
    .work = tern_work_inputs,
    .run = adam_run,
    .fast = adam_kernels,
};

static const tern_arg sgd_args[] = {
    TERN_ARG(tern_sgd_op, momentum, TERN_ARG_REAL, "share of the velocity that stays"),
    TERN_ARG(tern_sgd_op, decay, TERN_ARG_REAL, "weight decay"),
    TERN_ARG(tern_sgd_op, nesterov, TERN_ARG_BOOL, "look ahead along the velocity"),
    {0},
};

static tern_status sgd_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 4, 4));
    TERN_TRY(tern_infer_like(types, 1, 2, types->in[0]->shape));
    TERN_TRY(tern_infer_like(types, 3, 3, TERN_SHAPE(1)));
    for (int i = 0; i < 2; i++) tern_infer_out(types, types->in[0]->dtype, types->in[0]->shape);
    return TERN_OK;
}

static void sgd_run(const tern_call *call)
{
    const tern_sgd_op *a = call->args;
    double rate = tern_get(&call->in[3], 0);
    int64_t n = tern_elements(&call->in[0].shape);
    for (int64_t i = 0; i < n; i++) {
        double x = tern_get(&call->in[0], i), d = tern_get(&call->in[1], i) + a->decay * x;
        double velocity = a->momentum * tern_get(&call->in[2], i) + d;
        tern_set(&call->out[0], i, x - rate * (a->nesterov ? d + a->momentum * velocity : velocity));
        tern_set(&call->out[1], i, velocity);
        if (call->counter) call->counter->elementwise++;
    }
}

static void sgd_fast(const tern_call *call)
{
    const tern_sgd_op *a = call->args;
    const tern_tensor *in = call->in, *out = call->out;
    tern_sgd_loop(call->pool, tern_elements(&in[0].shape), (float)tern_get(&in[3], 0), (float)a->momentum,
                  (float)a->decay, a->nesterov, in[0].data, in[1].data, in[2].data, out[0].data, out[1].data);
}

static const tern_fast sgd_kernels[] = {{"loop", tern_all_f32, NULL, sgd_fast}, {0}};

/* parameter, gradient, velocity, rate [1] -> parameter, velocity:  v = momentum v + d with
 * d = g + decay p,  p = p - rate v;  nesterov: p = p - rate (d + momentum v) (Sutskever et al. 2013, as PyTorch has it). */
const tern_op tern_op_sgd = {
    .name = "sgd",
    .doc = "gradient descent with momentum",
    .args = sgd_args,
    .args_size = sizeof(tern_sgd_op),
    .inplace = {1, 3},
    .infer = sgd_infer,
    .work = tern_work_inputs,
    .run = sgd_run,
    .fast = sgd_kernels,
};
