/* Dropout: in training each element is kept with probability 1 - rate and scaled by 1/(1 - rate) (Srivastava et al. 2014).
 * Which ones depends on the run's seed, the layer's stream and the element only: its place, or with over_time its place in
 * the slice of axis 0, so that one mask holds for all time steps. */
#include "op/op.h"

#include <string.h>

typedef struct tern_dropout_op {
    double rate;
    int stream;
    bool over_time;
} tern_dropout_op;
static const tern_arg dropout_args[] = {
    TERN_ARG(tern_dropout_op, rate, TERN_ARG_REAL, "share that is dropped"),
    TERN_ARG(tern_dropout_op, stream, TERN_ARG_INT, "random stream of the layer"),
    TERN_ARG(tern_dropout_op, over_time, TERN_ARG_BOOL, "one mask for all slices along axis 0"),
    {0}};

static tern_status dropout_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    const tern_dropout_op *a = types->args;
    const tern_type *x = types->in[0];
    if (!(a->rate >= 0 && a->rate < 1))
        return tern_infer_fail(types, "rate is %g, expected from 0 to below 1", a->rate);
    tern_infer_out(types, x->dtype == TERN_F64 ? TERN_F64 : TERN_F32, x->shape);
    tern_infer_out(types, TERN_BIT, x->shape); /* what was kept */
    return TERN_OK;
}

/* Elements that are drawn. */
static int64_t mask_size(const tern_call *call)
{
    const tern_dropout_op *a = call->args;
    return tern_elements_from(&call->in[0].shape, a->over_time ? 1 : 0);
}

static void dropout_run(const tern_call *call)
{
    const tern_dropout_op *a = call->args;
    tern_rng rng = {call->seed, (uint64_t)(uint32_t)a->stream};
    int64_t n = tern_elements(&call->in[0].shape), places = mask_size(call);
    for (int64_t i = 0; i < n; i++) {
        bool kept = tern_rng_uniform(rng, (uint64_t)(i % places)) >= a->rate;
        double x = tern_get(&call->in[0], i);
        if (call->out[0].data) tern_set(&call->out[0], i, kept ? x / (1 - a->rate) : 0);
        if (call->out[1].data) tern_set(&call->out[1], i, kept);
        if (call->counter) call->counter->elementwise++;
    }
}

/* 64 places of the mask, one bit each. */
static uint64_t mask_word(tern_rng rng, double rate, int64_t word)
{
    uint64_t kept = 0;
    for (int i = 0; i < 64; i += 4) {
        uint32_t dice[4];
        tern_rng_block(rng, (uint64_t)(word * 64 + i) / 4, dice);
        for (int k = 0; k < 4; k++) kept |= (uint64_t)(dice[k] * 0x1p-32 >= rate) << (i + k);
    }
    return kept;
}

#define PER_TASK 256 /* words of the mask */

/* Some words of the mask, in every slice. */
static void dropout_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tern_call *call = context;
    const tern_dropout_op *a = call->args;
    tern_rng rng = {call->seed, (uint64_t)(uint32_t)a->stream};
    int64_t words = mask_size(call) / 64, all = tern_elements(&call->in[0].shape) / 64;
    int64_t first = task * PER_TASK, last = first + PER_TASK < words ? first + PER_TASK : words;
    bool bits = call->in[0].dtype == TERN_BIT;
    const float *x = call->in[0].data;
    float grown = (float)(1 / (1 - a->rate)), *y = call->out[0].data;
    for (int64_t w = first; w < last; w++) {
        uint64_t kept = mask_word(rng, a->rate, w);
        for (int64_t at = w; at < all; at += words) {
            for (int64_t i = 64 * at; y && i < 64 * at + 64; i++) {
                float value = bits ? (float)tern_bit_get(x, i) : x[i];
                y[i] = kept >> (i & 63) & 1 ? value * grown : 0;
            }
            if (call->out[1].data) ((uint64_t *)call->out[1].data)[at] = kept;
        }
    }
}

static bool dropout_matches(const tern_call *call)
{
    return (call->in[0].dtype == TERN_F32 || call->in[0].dtype == TERN_BIT) && mask_size(call) % 64 == 0;
}

static void dropout_fast(const tern_call *call)
{
    int64_t words = mask_size(call) / 64;
    tern_pool_run(call->pool, (words + PER_TASK - 1) / PER_TASK, dropout_task, (void *)(uintptr_t)call);
}

static const tern_fast dropout_kernels[] = {{"loop", dropout_matches, NULL, dropout_fast}, {0}};

static tern_status dropout_grad(tern_grad *c)
{
    tern_value in[] = {c->dout[0], c->node->out[1]};
    c->din[0] = tern_apply(c->graph, &tern_op_dropout_grad, c->node->args, in, 2, NULL);
    return TERN_OK;
}

const tern_op tern_op_dropout = {
    .name = "dropout",
    .doc = "a random share becomes 0, the rest grows",
    .args = dropout_args,
    .args_size = sizeof(tern_dropout_op),
    .flags = TERN_OP_RANDOM,
    .inplace = {1},
    .infer = dropout_infer,
    .grad = dropout_grad,
    .work = tern_work_inputs,
    .run = dropout_run,
    .fast = dropout_kernels,
};

/* ---- gradient: dy, what was kept (bit) -> dx ---------------------------------------------------------------- */

static tern_status dropout_grad_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    const tern_type *dy = types->in[0], *kept = types->in[1];
    if (kept->dtype != TERN_BIT || tern_elements(&kept->shape) != tern_elements(&dy->shape))
        return tern_infer_fail(types, "what was kept must be a bit for each element of dy");
    tern_infer_out(types, dy->dtype, dy->shape);
    return TERN_OK;
}

static void dropout_grad_run(const tern_call *call)
{
    const tern_dropout_op *a = call->args;
    int64_t n = tern_elements(&call->in[0].shape);
    for (int64_t i = 0; i < n; i++) {
        bool kept = tern_get(&call->in[1], i) != 0;
        tern_set(&call->out[0], i, kept ? tern_get(&call->in[0], i) / (1 - a->rate) : 0);
        if (call->counter) call->counter->elementwise++;
    }
}

static bool dropout_grad_matches(const tern_call *call)
{
    return call->in[0].dtype == TERN_F32;
}

static void dropout_grad_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tern_call *call = context;
    const tern_dropout_op *a = call->args;
    int64_t n = tern_elements(&call->in[0].shape), first = task * 64 * PER_TASK;
    int64_t last = first + 64 * PER_TASK < n ? first + 64 * PER_TASK : n;
    const float *dy = call->in[0].data, grown = (float)(1 / (1 - a->rate));
    float *dx = call->out[0].data;
    for (int64_t i = first; i < last; i++) dx[i] = tern_bit_get(call->in[1].data, i) ? dy[i] * grown : 0;
}

static void dropout_grad_fast(const tern_call *call)
{
    int64_t tasks = (tern_elements(&call->in[0].shape) + 64 * PER_TASK - 1) / (64 * PER_TASK);
    tern_pool_run(call->pool, tasks, dropout_grad_task, (void *)(uintptr_t)call);
}

static const tern_fast dropout_grad_kernels[] = {{"loop", dropout_grad_matches, NULL, dropout_grad_fast},
                                                 {0}};

const tern_op tern_op_dropout_grad = {
    .name = "dropout_grad",
    .doc = "gradient of dropout: what was kept, grown",
    .args = dropout_args,
    .args_size = sizeof(tern_dropout_op),
    .inplace = {1},
    .infer = dropout_grad_infer,
    .work = tern_work_inputs,
    .run = dropout_grad_run,
    .fast = dropout_grad_kernels,
};

tern_value tern_dropout_with(tern_graph *graph, tern_value x, tern_dropout_args args)
{
    const char *layer = tern_layer(graph, "dropout", args.name);
    if (graph->status != TERN_OK || !graph->options.training || args.rate == 0) return x;
    tern_dropout_op op = {args.rate, (int)(tern_hash(layer, strlen(layer)) & 0x7fffffff), args.over_time};
    return tern_apply(graph, &tern_op_dropout, &op, &x, 1, NULL);
}
