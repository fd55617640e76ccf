/* Multi-level spikes: a neuron without memory that says in one number how often it would fire in `levels` virtual steps.
 *
 *     k = floor(min(max(D x, 0), D) + 1/2),  y = k / D     (counts: without the factors D, y = k)
 *     dy/dx = 1 where 0 < D x < D (counts: 0 < x < D), else 0
 *
 * Half is rounded up.  A weight times k/D is that weight, over D, added k times: inference adds only. */
#include "op/op.h"

#include <math.h>

static const tern_arg levels_args[] = {
    TERN_ARG(tern_levels_args, levels, TERN_ARG_INT, "spikes at most, D"),
    TERN_ARG(tern_levels_args, counts, TERN_ARG_BOOL, "the count itself, of an x that is not scaled"),
    {0},
};

static tern_status levels_infer(tern_infer *types)
{
    int inputs = types->op == &tern_op_levels ? 1 : 2;
    TERN_TRY(tern_infer_inputs(types, inputs, inputs));
    const tern_levels_args *a = types->args;
    if (a->levels < 1) return tern_infer_fail(types, "levels is %d, expected at least 1", a->levels);
    TERN_TRY(tern_infer_like(types, 1, 1, types->in[0]->shape)); /* dy, of the gradient */
    const tern_type *last = types->in[types->nin - 1];
    tern_infer_out(types, last->dtype == TERN_F64 ? TERN_F64 : TERN_F32, types->in[0]->shape);
    if (types->op == &tern_op_levels) tern_infer_levels(types, a->counts ? 1 : a->levels);
    return TERN_OK;
}

static void levels_run(const tern_call *call)
{
    const tern_levels_args *a = call->args;
    int64_t n = tern_elements(&call->out[0].shape);
    double most = a->levels, scale = a->counts ? 1 : most;
    for (int64_t i = 0; i < n; i++) {
        double k = floor(fmin(fmax(scale * tern_get(&call->in[0], i), 0), most) + 0.5);
        tern_set(&call->out[0], i, k / scale);
        if (call->counter) call->counter->elementwise++;
    }
}

static tern_status levels_emit(const tern_call *call, tern_emit *to)
{
    const tern_levels_args *a = call->args;
    double most = a->levels, scale = a->counts ? 1 : most;
    to->math = true;
    tern_text_format(to->text,
                     "    for (int i = 0; i < %lld; i++) {\n"
                     "        double k = floor(fmin(fmax(%.17g * %s, 0), %.17g) + 0.5);\n"
                     "        out0[i] = (float)(k / %.17g);\n"
                     "    }\n",
                     (long long)tern_elements(&call->out[0].shape), scale, tern_write_read(call, 0, "i").text,
                     most, scale);
    return TERN_OK;
}

static void levels_grad_run(const tern_call *call)
{
    const tern_levels_args *a = call->args;
    int64_t n = tern_elements(&call->out[0].shape);
    double most = a->levels, scale = a->counts ? 1 : most;
    for (int64_t i = 0; i < n; i++) {
        double x = scale * tern_get(&call->in[0], i);
        tern_set(&call->out[0], i, x > 0 && x < most ? tern_get(&call->in[1], i) : 0);
        if (call->counter) call->counter->elementwise++;
    }
}

#define PER_TASK 16384

/* Both directions, in pieces: what is converted to an integer is never negative, so that cutting off is rounding down. */
static void levels_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tern_call *call = context;
    const tern_levels_args *a = call->args;
    int64_t n = tern_elements(&call->out[0].shape), first = task * PER_TASK;
    int64_t last = first + PER_TASK < n ? first + PER_TASK : n;
    float most = (float)a->levels, scale = a->counts ? 1 : most;
    const float *x = call->in[0].data, *dy = call->nin > 1 ? call->in[1].data : NULL;
    float *y = call->out[0].data;
    for (int64_t i = first; dy && i < last; i++) {
        float z = scale * x[i];
        y[i] = z > 0 && z < most ? dy[i] : 0;
    }
    for (int64_t i = first; !dy && i < last; i++) {
        float z = scale * x[i];
        z = z > 0 ? z : 0;
        z = z < most ? z : most;
        y[i] = (float)(int)(z + 0.5f) / scale;
    }
}

static void levels_fast(const tern_call *call)
{
    int64_t n = tern_elements(&call->out[0].shape);
    tern_pool_run(call->pool, (n + PER_TASK - 1) / PER_TASK, levels_task, (void *)(uintptr_t)call);
}

static const tern_fast levels_kernels[] = {{"loop", tern_all_f32, NULL, levels_fast}, {0}};

static tern_status levels_grad(tern_grad *c)
{
    tern_value in[] = {c->node->in[0], c->dout[0]};
    c->din[0] = tern_apply(c->graph, &tern_op_levels_grad, c->node->args, in, 2, NULL);
    return TERN_OK;
}

const tern_op tern_op_levels = {
    .name = "levels",
    .doc = "multi-level spikes: round(clamp(D x, 0, D)) / D",
    .args = levels_args,
    .args_size = sizeof(tern_levels_args),
    .flags = TERN_OP_ELEMENTWISE,
    .inplace = {1},
    .infer = levels_infer,
    .grad = levels_grad,
    .work = tern_work_outputs,
    .run = levels_run,
    .emit = levels_emit,
    .fast = levels_kernels,
};

const tern_op tern_op_levels_grad = {
    .name = "levels_grad",
    .doc = "gradient of levels: passes where x is inside the range",
    .args = levels_args,
    .args_size = sizeof(tern_levels_args),
    .flags = TERN_OP_ELEMENTWISE,
    .inplace = {2},
    .infer = levels_infer,
    .work = tern_work_outputs,
    .run = levels_grad_run,
    .fast = levels_kernels,
};

tern_value tern_levels_with(tern_graph *graph, tern_value x, tern_levels_args args)
{
    tern_layer(graph, "levels", NULL);
    return tern_apply(graph, &tern_op_levels, &args, &x, 1, NULL);
}
