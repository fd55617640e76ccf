/* A scale and a shift by channel: y = a x + b, x [..,C,..] with `inner` elements of a channel together, a and b [C].
 *
 * With a fourth input u, which stands for the same result before a and b were quantised, the gradient to x goes to u instead:
 * a norm whose scale and shift are fixed-point numbers then learns through its statistics, too. */
#include "op/fixed.h"

static const tern_arg affine_args[] = {
    TERN_ARG(tern_affine_op, inner, TERN_ARG_INT, "elements of a channel that stand together"), {0}};

static tern_status check(const tern_infer *types, int64_t channels)
{
    const tern_affine_op *a = types->args;
    char text[96];
    if (a->inner > 0 && channels > 0 && tern_elements(&types->in[0]->shape) % (channels * a->inner) == 0)
        return TERN_OK;
    return tern_infer_fail(types, "x is %s, expected [..,%lld,..] with %d elements of a channel together",
                           tern_shape_text(text, &types->in[0]->shape), (long long)channels, a->inner);
}

static tern_status affine_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 3, 4));
    TERN_TRY(check(types, tern_elements(&types->in[1]->shape)));
    TERN_TRY(tern_infer_like(types, 2, 2, types->in[1]->shape));
    TERN_TRY(tern_infer_like(types, 3, 3, types->in[0]->shape));
    tern_infer_out(types, types->in[0]->dtype == TERN_F64 ? TERN_F64 : TERN_F32, types->in[0]->shape);
    return TERN_OK;
}

static void affine_run(const tern_call *call)
{
    int64_t inner = ((const tern_affine_op *)call->args)->inner, channels = tern_elements(&call->in[1].shape);
    int64_t n = tern_elements(&call->in[0].shape);
    for (int64_t i = 0; i < n; i++) {
        int64_t c = i / inner % channels;
        tern_set(&call->out[0], i,
                 tern_get(&call->in[1], c) * tern_get(&call->in[0], i) + tern_get(&call->in[2], c));
        if (call->counter) call->counter->elementwise++;
    }
}

/* One plane of a channel; in double, as the definition. */
static void affine_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tern_call *call = context;
    int64_t inner = ((const tern_affine_op *)call->args)->inner, channels = tern_elements(&call->in[1].shape);
    double a = (double)((const float *)call->in[1].data)[task % channels];
    double b = (double)((const float *)call->in[2].data)[task % channels];
    const float *x = (const float *)call->in[0].data + task * inner;
    float *y = (float *)call->out[0].data + task * inner;
    for (int64_t i = 0; i < inner; i++) y[i] = (float)(a * (double)x[i] + b);
}

static void affine_fast(const tern_call *call)
{
    int64_t inner = ((const tern_affine_op *)call->args)->inner;
    tern_pool_run(call->pool, tern_elements(&call->in[0].shape) / inner, affine_task,
                  (void *)(uintptr_t)call);
}

static const tern_fast affine_kernels[] = {{"planes", tern_all_f32, NULL, affine_fast}, {0}};

static tern_status affine_grad(tern_grad *c)
{
    tern_graph *g = c->graph;
    const tern_node *n = c->node;
    bool through = n->nin > 3 && n->in[3].id;
    tern_value in[] = {n->in[0], n->in[1], c->dout[0]}, out[3] = {{0}};
    tern_apply(g, &tern_op_affine_grad, n->args, in, 3, out);
    if (through)
        c->din[3] = c->dout[0];
    else
        c->din[0] = out[0];
    c->din[1] = out[1];
    c->din[2] = out[2];
    return TERN_OK;
}

const tern_op tern_op_affine = {
    .name = "affine",
    .doc = "a scale and a shift by channel",
    .args = affine_args,
    .args_size = sizeof(tern_affine_op),
    .inplace = {1},
    .infer = affine_infer,
    .grad = affine_grad,
    .work = tern_work_inputs,
    .run = affine_run,
    .fast = affine_kernels,
};

/* ---- x, a, dy -> dx = a dy, da = sum dy x, db = sum dy ------------------------------------------------------------ */

static tern_status affine_grad_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    TERN_TRY(check(types, tern_elements(&types->in[1]->shape)));
    TERN_TRY(tern_infer_like(types, 2, 2, types->in[0]->shape));
    tern_infer_out(types, types->in[2]->dtype, types->in[0]->shape);
    for (int i = 0; i < 2; i++) tern_infer_out(types, types->in[2]->dtype, types->in[1]->shape);
    return TERN_OK;
}

static void affine_grad_channel(const tern_call *call, int64_t c)
{
    int64_t inner = ((const tern_affine_op *)call->args)->inner, channels = tern_elements(&call->in[1].shape);
    int64_t n = tern_elements(&call->in[0].shape), step = channels * inner;
    double a = tern_get(&call->in[1], c), da = 0, db = 0;
    for (int64_t first = c * inner; first < n; first += step)
        for (int64_t i = first; i < first + inner; i++) {
            double dy = tern_get(&call->in[2], i);
            da += dy * tern_get(&call->in[0], i);
            db += dy;
            if (call->out[0].data) tern_set(&call->out[0], i, a * dy);
            if (call->counter) call->counter->elementwise++;
        }
    if (call->out[1].data) tern_set(&call->out[1], c, da);
    if (call->out[2].data) tern_set(&call->out[2], c, db);
}

static void affine_grad_run(const tern_call *call)
{
    for (int64_t c = 0; c < tern_elements(&call->in[1].shape); c++) affine_grad_channel(call, c);
}

static void affine_grad_task(void *context, int64_t c, int thread)
{
    (void)thread;
    const tern_call *call = context;
    int64_t inner = ((const tern_affine_op *)call->args)->inner, channels = tern_elements(&call->in[1].shape);
    int64_t n = tern_elements(&call->in[0].shape), step = channels * inner;
    const float *x = call->in[0].data, *dy = call->in[2].data, *scale = call->in[1].data;
    float *dx = call->out[0].data, a = scale[c];
    double da = 0, db = 0;
    for (int64_t first = c * inner; first < n; first += step)
        for (int64_t i = first; i < first + inner; i++) {
            da += (double)dy[i] * (double)x[i];
            db += (double)dy[i];
            if (dx) dx[i] = a * dy[i];
        }
    if (call->out[1].data) ((float *)call->out[1].data)[c] = (float)da;
    if (call->out[2].data) ((float *)call->out[2].data)[c] = (float)db;
}

static void affine_grad_fast(const tern_call *call)
{
    tern_pool_run(call->pool, tern_elements(&call->in[1].shape), affine_grad_task, (void *)(uintptr_t)call);
}

static const tern_fast affine_grad_kernels[] = {{"channels", tern_all_f32, NULL, affine_grad_fast}, {0}};

const tern_op tern_op_affine_grad = {
    .name = "affine_grad",
    .doc = "gradient of affine",
    .args = affine_args,
    .args_size = sizeof(tern_affine_op),
    .inplace = {3},
    .infer = affine_grad_infer,
    .work = tern_work_inputs,
    .run = affine_grad_run,
    .fast = affine_grad_kernels,
};
