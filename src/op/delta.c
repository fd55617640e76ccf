/* Training for temporal sparsity (the delta activation layer; arXiv 2107.07305): activations are quantised with a learned
 * step, and their changes over time are penalised, so that a video net learns activations that seldom change.
 *
 *     q = |raw|,  y = round(x / q) q  (halves to even),  variation = mean |y_t - y_(t-1)| over t >= 1
 *     dL/dx = dL/dy (straight through),  dL/draw = - sign(raw) sum dL/dy round(x / q)
 *
 * The sign of dL/draw is reversed on purpose: the true derivative would shrink q in order to shrink the changes; with this one
 * the penalty makes steps coarser, and the task's loss makes them finer where precision is needed. */
#include "op/delta.h"

#include "kernel/loops.h"

#include <math.h>
#include <string.h>

bool tern_steps_over(const tern_shape *x, const tern_shape *q, tern_steps_view *view)
{
    int offset = x->rank - q->rank, last = q->rank - 1;
    *view = (tern_steps_view){tern_elements(q), 1};
    if (offset < 0) return false;
    while (last >= 0 && q->dim[last] == 1) last--; /* ones behind: the step is shared along these axes */
    view->inner = tern_elements_from(x, offset + last + 1);
    bool begun = false;
    for (int i = 0; i <= last; i++) {
        begun = begun || q->dim[i] != 1;
        if (begun && q->dim[i] != x->dim[offset + i]) return false;
    }
    if (last < 0) view->inner = tern_elements(x);
    return true;
}

static const tern_arg quantise_args[] = {
    TERN_ARG(tern_quantise_op, plain, TERN_ARG_BOOL, "the step's gradient keeps its true sign"),
    {0},
};

static tern_status check_steps(const tern_infer *types)
{
    const tern_type *x = types->in[0], *raw = types->in[1];
    tern_steps_view view;
    char a[96], b[96];
    if (tern_steps_over(&x->shape, &raw->shape, &view)) return TERN_OK;
    return tern_infer_fail(types, "steps %s do not repeat over x %s: expected [1], [C,1,1] or [C,H,W]",
                           tern_shape_text(a, &raw->shape), tern_shape_text(b, &x->shape));
}

static tern_status quantise_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    const tern_type *x = types->in[0];
    TERN_TRY(check_steps(types));
    tern_infer_out(types, x->dtype == TERN_F64 ? TERN_F64 : TERN_F32, x->shape);
    return TERN_OK;
}

static double level_of(const tern_call *call, const tern_steps_view *v, int64_t i)
{
    double q = tern_step_of(tern_get(&call->in[1], i / v->inner % v->count));
    double ratio = tern_get(&call->in[0], i) / q;
    if (call->in[0].dtype == TERN_F32) ratio = (double)(float)ratio; /* where it lies between two levels */
    double level = nearbyint(ratio);                                 /* rounds halves to even */
    return fmin(fmax(level, -TERN_MOST_LEVEL), TERN_MOST_LEVEL);
}

static void quantise_run(const tern_call *call)
{
    tern_steps_view v;
    tern_steps_over(&call->in[0].shape, &call->in[1].shape, &v);
    int64_t n = tern_elements(&call->out[0].shape);
    for (int64_t i = 0; i < n; i++) {
        double q = tern_step_of(tern_get(&call->in[1], i / v.inner % v.count));
        tern_set(&call->out[0], i, level_of(call, &v, i) * q);
        if (call->counter) call->counter->elementwise++;
    }
}

#define PER_TASK 16384

static int64_t tasks_of(int64_t elements)
{
    return (elements + PER_TASK - 1) / PER_TASK;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void quantise_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tern_call *call = context;
    tern_steps_view v;
    tern_steps_over(&call->in[0].shape, &call->in[1].shape, &v);
    int64_t i = task * PER_TASK, last = least(i + PER_TASK, tern_elements(&call->in[0].shape));
    const float *x = call->in[0].data, *raw = call->in[1].data;
    float *y = call->out[0].data;
    while (i < last) { /* runs of one step */
        int64_t end = least((i / v.inner + 1) * v.inner, last);
        float q = (float)tern_step_of(raw[i / v.inner % v.count]);
        tern_loops_get()->plane_levels(x + i, end - i, q, TERN_MOST_LEVEL, y + i);
        i = end;
    }
}

static void quantise_fast(const tern_call *call)
{
    tern_pool_run(call->pool, tasks_of(tern_elements(&call->in[0].shape)), quantise_task,
                  (void *)(uintptr_t)call);
}

static const tern_fast quantise_kernels[] = {{"loop", tern_all_f32, NULL, quantise_fast}, {0}};

static tern_status quantise_grad(tern_grad *c)
{
    tern_value in[] = {c->node->in[0], c->node->in[1], c->dout[0]};
    c->din[0] = c->dout[0];
    if (c->need[1]) c->din[1] = tern_apply(c->graph, &tern_op_quantise_grad, c->node->args, in, 3, NULL);
    return TERN_OK;
}

const tern_op tern_op_quantise = {
    .name = "quantise",
    .doc = "round(x / q) q with a learned step q: the delta activation layer",
    .args = quantise_args,
    .args_size = sizeof(tern_quantise_op),
    .inplace = {1},
    .infer = quantise_infer,
    .grad = quantise_grad,
    .work = tern_work_inputs,
    .run = quantise_run,
    .fast = quantise_kernels,
};

/* ---- the gradient of the step: x, raw, dy -> draw ------------------------------------------------------------------ */

static tern_status quantise_grad_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    TERN_TRY(check_steps(types));
    TERN_TRY(tern_infer_like(types, 2, 2, types->in[0]->shape));
    tern_infer_out(types, types->in[2]->dtype, types->in[1]->shape);
    return TERN_OK;
}

/* What the sum is multiplied by: - sign(raw), or with `plain` sign(raw). */
static double sign_of(const tern_call *call, double raw)
{
    bool plain = ((const tern_quantise_op *)call->args)->plain;
    return (raw < 0) == plain ? -1 : 1;
}

static void quantise_grad_run(const tern_call *call)
{
    tern_steps_view v;
    tern_steps_over(&call->in[0].shape, &call->in[1].shape, &v);
    int64_t n = tern_elements(&call->in[0].shape);
    for (int64_t k = 0; k < v.count; k++) {
        double sum = 0;
        for (int64_t first = k * v.inner; first < n; first += v.count * v.inner)
            for (int64_t i = first; i < first + v.inner; i++) {
                sum += tern_get(&call->in[2], i) * level_of(call, &v, i);
                if (call->counter) call->counter->elementwise++;
            }
        tern_set(&call->out[0], k, sum * sign_of(call, tern_get(&call->in[1], k)));
    }
}

/* The sum over each run of one step, into scratch. */
static void run_sums_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tern_call *call = context;
    tern_steps_view v;
    tern_steps_over(&call->in[0].shape, &call->in[1].shape, &v);
    int64_t runs = tern_elements(&call->in[0].shape) / v.inner, each = (PER_TASK + v.inner - 1) / v.inner;
    const float *x = call->in[0].data, *raw = call->in[1].data, *dy = call->in[2].data;
    for (int64_t r = task * each; r < least((task + 1) * each, runs); r++) {
        float q = (float)tern_step_of(raw[r % v.count]);
        ((double *)call->scratch)[r] = tern_loops_get()->plane_level_products(
            x + r * v.inner, dy + r * v.inner, v.inner, q, TERN_MOST_LEVEL);
    }
}

static void quantise_grad_fast(const tern_call *call)
{
    tern_steps_view v;
    tern_steps_over(&call->in[0].shape, &call->in[1].shape, &v);
    int64_t runs = tern_elements(&call->in[0].shape) / v.inner, each = (PER_TASK + v.inner - 1) / v.inner;
    tern_pool_run(call->pool, (runs + each - 1) / each, run_sums_task, (void *)(uintptr_t)call);
    const double *sums = call->scratch;
    const float *raw = call->in[1].data;
    for (int64_t k = 0; k < v.count; k++) {
        double sum = 0;
        for (int64_t r = k; r < runs; r += v.count) sum += sums[r];
        ((float *)call->out[0].data)[k] = (float)(sum * sign_of(call, (double)raw[k]));
    }
}

static size_t quantise_grad_scratch(const tern_call *call)
{
    tern_steps_view v;
    tern_steps_over(&call->in[0].shape, &call->in[1].shape, &v);
    return (size_t)(tern_elements(&call->in[0].shape) / v.inner) * sizeof(double);
}

static const tern_fast quantise_grad_kernels[] = {
    {"loop", tern_all_f32, quantise_grad_scratch, quantise_grad_fast}, {0}};

const tern_op tern_op_quantise_grad = {
    .name = "quantise_grad",
    .doc = "gradient of quantise to the raw step, of reversed sign",
    .args = quantise_args,
    .args_size = sizeof(tern_quantise_op),
    .infer = quantise_grad_infer,
    .work = tern_work_inputs,
    .run = quantise_grad_run,
    .fast = quantise_grad_kernels,
};

tern_value tern_delta_with(tern_graph *graph, tern_value x, tern_delta_args args)
{
    tern_shape s = tern_shape_of(graph, x), steps = TERN_SHAPE(1);
    tern_layer(graph, "delta", args.name);
    if (graph->status != TERN_OK) return (tern_value){0};
    if (s.rank < 2 || args.per < TERN_STEP_CHANNEL || args.per > TERN_STEP_LAYER || !(args.start > 0))
        return tern_graph_fail(
            graph,
            "layer %s: steps of kind %d that begin at %g for an input of rank %d; expected "
            "kind 0 to 2, a start above 0 and [B,..]",
            graph->layer, (int)args.per, args.start, s.rank);
    if (args.per == TERN_STEP_CHANNEL)
        steps = s.rank > 3 ? TERN_SHAPE(s.dim[s.rank - 3], 1, 1) : TERN_SHAPE(s.dim[s.rank - 1]);
    if (args.per == TERN_STEP_NEURON) {
        steps.rank = s.rank - 1;
        memcpy(steps.dim, s.dim + 1, (size_t)steps.rank * sizeof *steps.dim);
    }
    tern_init init = {TERN_INIT_CONSTANT, args.start};
    tern_shape flat = TERN_SHAPE(tern_elements(&steps)); /* rank 1: weight decay leaves steps alone */
    tern_value raw = tern_param(graph, tern_layer_name(graph, "step"), flat, init);
    tern_value in[] = {x, tern_reshape(graph, raw, steps)};
    return tern_apply(graph, &tern_op_quantise, &(tern_quantise_op){args.plain}, in, 2, NULL);
}
