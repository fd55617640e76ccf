/* Dropout: in training each element is kept with probability 1 - rate and scaled by 1/(1 - rate) (Srivastava et al. 2014).
 * Which ones depends on the run's seed, the layer's stream and the element only. */
#include "op/op.h"

#include <string.h>

typedef struct tern_dropout_op {
    double rate;
    int stream;
} tern_dropout_op;
static const tern_arg dropout_args[] = {
    TERN_ARG(tern_dropout_op, rate, TERN_ARG_REAL, "share that is dropped"),
    TERN_ARG(tern_dropout_op, stream, TERN_ARG_INT, "random stream of the layer"),
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

static void dropout_run(const tern_call *call)
{
    const tern_dropout_op *a = call->args;
    tern_rng rng = {call->seed, (uint64_t)(uint32_t)a->stream};
    int64_t n = tern_elements(&call->in[0].shape);
    for (int64_t i = 0; i < n; i++) {
        bool kept = tern_rng_uniform(rng, (uint64_t)i) >= a->rate;
        double x = tern_get(&call->in[0], i);
        if (call->out[0].data) tern_set(&call->out[0], i, kept ? x / (1 - a->rate) : 0);
        if (call->out[1].data) tern_set(&call->out[1], i, kept);
        if (call->counter) call->counter->elementwise++;
    }
}

static void dropout_work(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)tern_elements(&call->in[0].shape);
}

static tern_status dropout_grad(tern_grad *c)
{
    tern_graph *g = c->graph;
    double rate = ((const tern_dropout_op *)c->node->args)->rate;
    tern_value kept = tern_multiply(g, c->dout[0], c->node->out[1]);
    c->din[0] = tern_multiply(g, kept, tern_scalar(g, 1 / (1 - rate)));
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
    .work = dropout_work,
    .run = dropout_run,
};

tern_value tern_dropout_with(tern_graph *graph, tern_value x, tern_dropout_args args)
{
    const char *layer = tern_layer(graph, "dropout", args.name);
    if (graph->status != TERN_OK || !graph->options.training || args.rate == 0) return x;
    tern_dropout_op op = {args.rate, (int)(tern_hash(layer, strlen(layer)) & 0x7fffffff)};
    return tern_apply(graph, &tern_op_dropout, &op, &x, 1, NULL);
}
