/* How much values change over time: mean |y_t - y_(t-1)| over t >= 1, or mean |y| with `values`; the penalty of training for
 * temporal sparsity and that of its baseline.  Its gradient is built of signs, 0 where nothing changes. */
#include "kernel/loops.h"
#include "op/delta.h"

#include <math.h>

static const tern_arg variation_args[] = {
    TERN_ARG(tern_variation_op, steps, TERN_ARG_INT, "time steps T; axis 0 is [T] or [T B]"),
    TERN_ARG(tern_variation_op, values, TERN_ARG_BOOL, "the values themselves, not their changes"),
    {0},
};

static tern_status check(const tern_infer *types)
{
    const tern_variation_op *a = types->args;
    const tern_shape *y = &types->in[0]->shape;
    char text[96];
    if (y->rank < 1 || a->steps < 1 || y->dim[0] % a->steps)
        return tern_infer_fail(types, "%d steps do not fit y %s: axis 0 must be [T] or [T B]", a->steps,
                               tern_shape_text(text, y));
    return TERN_OK;
}

static tern_status variation_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    TERN_TRY(check(types));
    tern_infer_out(types, types->in[0]->dtype == TERN_F64 ? TERN_F64 : TERN_F32, TERN_SHAPE(1));
    return TERN_OK;
}

/* y as [T, step]; how many numbers the mean is taken over. */
typedef struct tern_variation_view {
    int64_t elements, step, count;
    bool values;
} tern_variation_view;

static tern_variation_view view_of(const tern_call *call)
{
    const tern_variation_op *a = call->args;
    int64_t n = tern_elements(&call->in[0].shape), step = n / a->steps;
    return (tern_variation_view){n, step, a->values ? n : n - step, a->values};
}

static void variation_run(const tern_call *call)
{
    tern_variation_view v = view_of(call);
    double sum = 0;
    for (int64_t i = v.elements - v.count; i < v.elements; i++) {
        sum += fabs(tern_get(&call->in[0], i) - (v.values ? 0 : tern_get(&call->in[0], i - v.step)));
        if (call->counter) call->counter->elementwise++;
    }
    tern_set(&call->out[0], 0, v.count ? sum / (double)v.count : 0);
}

static void variation_work(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)view_of(call).count;
}

#define PER_TASK 16384

static int64_t tasks_of(int64_t count)
{
    return (count + PER_TASK - 1) / PER_TASK;
}

static size_t variation_scratch(const tern_call *call)
{
    return (size_t)(tasks_of(view_of(call).count) + 1) * sizeof(double);
}

static void variation_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tern_call *call = context;
    tern_variation_view v = view_of(call);
    int64_t i = v.elements - v.count + task * PER_TASK,
            last = i + PER_TASK < v.elements ? i + PER_TASK : v.elements;
    const float *y = call->in[0].data;
    ((double *)call->scratch)[task] =
        tern_loops_get()->plane_distance(y + i, v.values ? NULL : y + i - v.step, last - i);
}

static void variation_fast(const tern_call *call)
{
    tern_variation_view v = view_of(call);
    int64_t tasks = tasks_of(v.count);
    const double *sums = call->scratch;
    double sum = 0;
    tern_pool_run(call->pool, tasks, variation_task, (void *)(uintptr_t)call);
    for (int64_t t = 0; t < tasks; t++) sum += sums[t];
    *(float *)call->out[0].data = (float)(v.count ? sum / (double)v.count : 0);
}

static const tern_fast variation_kernels[] = {{"loop", tern_all_f32, variation_scratch, variation_fast}, {0}};

static tern_status variation_grad(tern_grad *c)
{
    tern_value in[] = {c->node->in[0], c->dout[0]};
    c->din[0] = tern_apply(c->graph, &tern_op_variation_grad, c->node->args, in, 2, NULL);
    return TERN_OK;
}

const tern_op tern_op_variation = {
    .name = "variation",
    .doc = "mean change over time, |y_t - y_(t-1)|",
    .args = variation_args,
    .args_size = sizeof(tern_variation_op),
    .infer = variation_infer,
    .grad = variation_grad,
    .work = variation_work,
    .run = variation_run,
    .fast = variation_kernels,
};

/* ---- y, dvariation [1] -> dy ----------------------------------------------------------------------------------------- */

static tern_status variation_grad_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    TERN_TRY(check(types));
    TERN_TRY(tern_infer_like(types, 1, 1, TERN_SHAPE(1)));
    tern_infer_out(types, types->in[1]->dtype, types->in[0]->shape);
    return TERN_OK;
}

static double sign(double x)
{
    return (x > 0) - (x < 0);
}

static void variation_grad_run(const tern_call *call)
{
    tern_variation_view v = view_of(call);
    const tern_tensor *y = &call->in[0];
    double each = v.count ? tern_get(&call->in[1], 0) / (double)v.count : 0;
    for (int64_t i = 0; i < v.elements; i++) {
        double up = v.values      ? sign(tern_get(y, i))
                    : i >= v.step ? sign(tern_get(y, i) - tern_get(y, i - v.step))
                                  : 0;
        double down =
            v.values || i + v.step >= v.elements ? 0 : sign(tern_get(y, i + v.step) - tern_get(y, i));
        tern_set(&call->out[0], i, each * (up - down));
        if (call->counter) call->counter->elementwise++;
    }
}

static void variation_grad_work(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)view_of(call).elements;
}

static void variation_grad_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tern_call *call = context;
    tern_variation_view v = view_of(call);
    int64_t first = task * PER_TASK, last = first + PER_TASK < v.elements ? first + PER_TASK : v.elements;
    const float *y = call->in[0].data;
    float *dy = call->out[0].data;
    float each = v.count ? (float)((double)*(const float *)call->in[1].data / (double)v.count) : 0;
    const tern_loops *loops = tern_loops_get();
    if (v.values) {
        loops->plane_signs(y + first, NULL, last - first, each, false, dy + first);
        return;
    }
    int64_t begun = first > v.step ? first : v.step, end = v.elements - v.step;
    for (int64_t i = first; i < last && i < v.step; i++) dy[i] = 0; /* nothing precedes the first frame */
    if (begun < last)
        loops->plane_signs(y + begun, y + begun - v.step, last - begun, each, false, dy + begun);
    end = last < end ? last : end; /* nothing follows the last one */
    if (first < end) loops->plane_signs(y + first, y + first + v.step, end - first, each, true, dy + first);
}

static void variation_grad_fast(const tern_call *call)
{
    tern_pool_run(call->pool, tasks_of(view_of(call).elements), variation_grad_task, (void *)(uintptr_t)call);
}

static const tern_fast variation_grad_kernels[] = {{"loop", tern_all_f32, NULL, variation_grad_fast}, {0}};

const tern_op tern_op_variation_grad = {
    .name = "variation_grad",
    .doc = "gradient of variation: signs of changes",
    .args = variation_args,
    .args_size = sizeof(tern_variation_op),
    .infer = variation_grad_infer,
    .work = variation_grad_work,
    .run = variation_grad_run,
    .fast = variation_grad_kernels,
};
