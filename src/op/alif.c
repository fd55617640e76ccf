/* Adaptive integrate-and-fire neurons: the threshold rises with each spike and falls back (Bellec et al., NeurIPS 2018).
 *
 *     u_t = v_r + d (v_{t-1} - v_r) + g x_t
 *     s_t = [u_t >= theta + beta a_t],   a_{t+1} = rho a_t + s_t
 *     v_t = u_t - theta s_t  |  s_t ? v_r : u_t  |  u_t          soft, hard, no reset
 *
 * inputs   x [T,B,..], v0, a0 [B,..] (optional)
 * outputs  s [T,B,..] bit, u [T,B,..], a [T,B,..], v_T, a_{T+1} [B,..] */
#include "op/lif.h"
#include "op/op.h"

#include <string.h>

typedef struct tern_alif_op {
    double decay, gain, threshold, v_reset, rho, beta;
    int reset, surrogate;
    double alpha;
    bool detach_reset;
    int truncate;
} tern_alif_op;

#define ALIF_ARG(field, kind, doc) TERN_ARG(tern_alif_op, field, kind, doc)
static const tern_arg alif_args[] = {
    ALIF_ARG(decay, TERN_ARG_REAL, "share of the membrane that stays each step"),
    ALIF_ARG(gain, TERN_ARG_REAL, "factor of the input current"),
    ALIF_ARG(threshold, TERN_ARG_REAL, "threshold of a rested neuron"),
    ALIF_ARG(v_reset, TERN_ARG_REAL, "rest and hard reset potential"),
    ALIF_ARG(rho, TERN_ARG_REAL, "share of the adaptation that stays each step"),
    ALIF_ARG(beta, TERN_ARG_REAL, "what a spike adds to the threshold"),
    {"reset", TERN_ARG_CHOICE, offsetof(tern_alif_op, reset), "rule after a spike", tern_reset_names},
    {"surrogate", TERN_ARG_CHOICE, offsetof(tern_alif_op, surrogate),
     "derivative that stands in for the step's", tern_surrogate_names},
    ALIF_ARG(alpha, TERN_ARG_REAL, "sharpness of the surrogate"),
    ALIF_ARG(detach_reset, TERN_ARG_BOOL, "no gradient through the reset"),
    ALIF_ARG(truncate, TERN_ARG_INT, "gradient through time is cut every so many steps"),
    {0},
};

static tern_shape without_time(const tern_shape *s)
{
    tern_shape v = {.rank = s->rank - 1};
    for (int i = 1; i < s->rank; i++) v.dim[i - 1] = s->dim[i];
    return v;
}

static tern_status alif_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 3));
    const tern_type *x = types->in[0];
    char text[96];
    if (x->shape.rank < 2)
        return tern_infer_fail(types, "x is %s, expected [T,B,..]: time first",
                               tern_shape_text(text, &x->shape));
    tern_shape one = without_time(&x->shape);
    TERN_TRY(tern_infer_like(types, 1, 2, one));
    tern_dtype real = x->dtype == TERN_F64 ? TERN_F64 : TERN_F32;
    tern_infer_out(types, TERN_BIT, x->shape);
    for (int i = 0; i < 2; i++) tern_infer_out(types, real, x->shape);
    for (int i = 0; i < 2; i++) tern_infer_out(types, real, one);
    return TERN_OK;
}

static double or_else(const tern_call *call, int i, int64_t at, double otherwise)
{
    return i < call->nin && call->in[i].data ? tern_get(&call->in[i], at) : otherwise;
}

/* Rounded to the format in which it is kept. */
static double rounded(const tern_tensor *like, double x)
{
    return like->dtype == TERN_F64 ? x : (double)(float)x;
}

static void set_if_read(const tern_tensor *out, int64_t at, double x)
{
    if (out->data) tern_set(out, at, x);
}

static void alif_neuron(const tern_call *call, int64_t n, int64_t neurons)
{
    const tern_alif_op *o = call->args;
    const tern_tensor *out = call->out;
    double v = or_else(call, 1, n, o->v_reset), a = or_else(call, 2, n, 0);
    for (int64_t t = 0; t < call->in[0].shape.dim[0]; t++) {
        int64_t at = t * neurons + n;
        double u = o->v_reset + o->decay * (v - o->v_reset) + o->gain * tern_get(&call->in[0], at);
        u = rounded(&out[1], u);
        bool s = u >= o->threshold + o->beta * a;
        set_if_read(&out[0], at, s);
        set_if_read(&out[1], at, u);
        set_if_read(&out[2], at, a);
        v = u;
        if (o->reset == TERN_RESET_SOFT && s) v = rounded(&out[1], u - o->threshold);
        if (o->reset == TERN_RESET_HARD && s) v = rounded(&out[1], o->v_reset);
        a = rounded(&out[1], o->rho * a + s);
        if (call->counter) call->counter->elementwise++;
    }
    set_if_read(&out[3], n, v);
    set_if_read(&out[4], n, a);
}

#define PER_TASK 1024

static void alif_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tern_call *call = context;
    int64_t neurons = tern_elements_from(&call->in[0].shape, 1);
    for (int64_t n = task * PER_TASK; n < (task + 1) * PER_TASK && n < neurons; n++)
        alif_neuron(call, n, neurons);
}

/* In parallel only where the rows of a step are whole words of bits: else two tasks would write to one. */
static void alif_run(const tern_call *call)
{
    int64_t neurons = tern_elements_from(&call->in[0].shape, 1);
    size_t bytes = tern_bytes_of(TERN_BIT, tern_elements(&call->out[0].shape));
    if (call->out[0].data) memset(call->out[0].data, 0, bytes); /* and what is behind the last bit */
    bool apart = neurons % 64 == 0 && !call->counter;
    tern_pool_run(apart ? call->pool : NULL, (neurons + PER_TASK - 1) / PER_TASK, alif_task,
                  (void *)(uintptr_t)call);
}

static tern_status alif_grad(tern_grad *c)
{
    const tern_node *n = c->node;
    tern_value in[6] = {c->dout[0], c->dout[1], c->dout[3], c->dout[4], n->out[1], n->out[2]}, out[3];
    if (c->dout[2].id)
        return tern_fail(TERN_FAILED, "layer %s: the adaptation of alif has no gradient of its own",
                         n->layer);
    if (!tern_apply(c->graph, &tern_op_alif_grad, n->args, in, 6, out).id) return TERN_OK;
    for (int i = 0; i < n->nin; i++)
        if (c->need[i]) c->din[i] = out[i];
    return TERN_OK;
}

const tern_op tern_op_alif = {
    .name = "alif",
    .doc = "integrate-and-fire with a threshold that rises with each spike",
    .args = alif_args,
    .args_size = sizeof(tern_alif_op),
    .flags = TERN_OP_FIRES,
    .infer = alif_infer,
    .grad = alif_grad,
    .work = tern_work_outputs,
    .run = alif_run,
};

/* ---- gradient ------------------------------------------------------------------------------------------------
 * With e_t = dL/du_t, h_t = dL/dv_t and q_t = dL/da_{t+1}, from the last step to the first:
 *     p_t = (ds_t + q_t + [h_t dv_t/ds_t unless detached]) slope(u_t - theta - beta a_t)
 *     e_t = p_t + du_t + h_t dv_t/du_t,   h_{t-1} = d e_t,   q_{t-1} = rho q_t - beta p_t,   dx_t = g e_t
 * inputs   ds, du [T,B,..], dv_T, da_{T+1} [B,..] (optional), u, a [T,B,..]
 * outputs  dx, dv0, da0 */

static tern_status alif_grad_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 0, 6));
    const tern_type *u = types->nin > 4 ? types->in[4] : NULL;
    if (!u || u->shape.rank < 2)
        return tern_infer_fail(types, "input 4, u, is missing or has no time: expected [T,B,..]");
    TERN_TRY(tern_infer_like(types, 0, 1, u->shape));
    TERN_TRY(tern_infer_like(types, 2, 3, without_time(&u->shape)));
    TERN_TRY(tern_infer_like(types, 5, 5, u->shape));
    tern_infer_out(types, u->dtype, u->shape);
    for (int i = 0; i < 2; i++) tern_infer_out(types, u->dtype, without_time(&u->shape));
    return TERN_OK;
}

static void alif_grad_neuron(const tern_call *call, int64_t n, int64_t neurons)
{
    const tern_alif_op *o = call->args;
    double h = or_else(call, 2, n, 0), q = or_else(call, 3, n, 0);
    for (int64_t t = call->in[4].shape.dim[0] - 1; t >= 0; t--) {
        int64_t at = t * neurons + n;
        double u = tern_get(&call->in[4], at), z = u - (o->threshold + o->beta * tern_get(&call->in[5], at));
        double ds = or_else(call, 0, at, 0) + q;
        if (o->reset == TERN_RESET_SOFT && !o->detach_reset) ds -= h * o->threshold;
        if (o->reset == TERN_RESET_HARD && !o->detach_reset) ds += h * (o->v_reset - u);
        double p = ds * tern_surrogate_slope((tern_surrogate)o->surrogate, o->alpha, z);
        double e = p + or_else(call, 1, at, 0);
        if (o->reset != TERN_RESET_HARD || z < 0) e += h;
        bool cut = o->truncate > 0 && t % o->truncate == 0;
        h = cut ? 0 : o->decay * e;
        q = cut ? 0 : o->rho * q - o->beta * p;
        set_if_read(&call->out[0], at, o->gain * e);
        if (call->counter) call->counter->elementwise++;
    }
    set_if_read(&call->out[1], n, h);
    set_if_read(&call->out[2], n, q);
}

static void alif_grad_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tern_call *call = context;
    int64_t neurons = tern_elements_from(&call->in[4].shape, 1);
    for (int64_t n = task * PER_TASK; n < (task + 1) * PER_TASK && n < neurons; n++)
        alif_grad_neuron(call, n, neurons);
}

static void alif_grad_run(const tern_call *call)
{
    int64_t neurons = tern_elements_from(&call->in[4].shape, 1);
    tern_pool_run(call->counter ? NULL : call->pool, (neurons + PER_TASK - 1) / PER_TASK, alif_grad_task,
                  (void *)(uintptr_t)call);
}

static void alif_grad_work(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)tern_elements(&call->in[4].shape);
}

const tern_op tern_op_alif_grad = {
    .name = "alif_grad",
    .doc = "gradient of alif, backwards through time",
    .args = alif_args,
    .args_size = sizeof(tern_alif_op),
    .inplace = {5},
    .infer = alif_grad_infer,
    .work = alif_grad_work,
    .run = alif_grad_run,
};

/* ---- layer ---------------------------------------------------------------------------------------------------- */

tern_value tern_alif_with(tern_graph *graph, tern_value x, tern_alif_args args)
{
    tern_layer(graph, "alif", args.name);
    if (args.tau <= 0 || args.tau_adaptation <= 0)
        return tern_graph_fail(graph, "layer %s: .tau and .tau_adaptation are %g and %g, expected above 0",
                               graph->layer, args.tau, args.tau_adaptation);
    tern_alif_op op = {.decay = 1 - 1 / args.tau,
                       .gain = args.decay_input ? 1 / args.tau : 1,
                       .threshold = args.threshold,
                       .v_reset = args.v_reset,
                       .rho = 1 - 1 / args.tau_adaptation,
                       .beta = args.beta,
                       .reset = args.reset,
                       .surrogate = args.surrogate,
                       .alpha = args.alpha,
                       .detach_reset = args.detach_reset,
                       .truncate = args.truncate};
    tern_value in[3] = {x}, out[5] = {{0}};
    tern_shape s = tern_shape_of(graph, x), one = without_time(&s);
    bool stepping = graph->options.stepping;
    if (stepping) {
        tern_init rest = {TERN_INIT_CONSTANT, args.v_reset};
        in[1] = tern_state(graph, tern_layer_name(graph, "membrane"), TERN_F32, one, rest, false);
        in[2] = tern_state(graph, tern_layer_name(graph, "adaptation"), TERN_F32, one, (tern_init){0}, false);
    }
    tern_value spikes = tern_apply(graph, &tern_op_alif, &op, in, stepping ? 3 : 1, out);
    if (stepping) tern_next(graph, in[1], out[3]);
    if (stepping) tern_next(graph, in[2], out[4]);
    return spikes;
}
