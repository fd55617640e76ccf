/* Leaky integration over time, without a threshold: synaptic currents, traces, read-outs.
 *
 *     y_t = a y_{t-1} + x_t
 *
 * inputs   x [T,B,..], y0 [B,..], a [1]: all but x optional
 * outputs  y [T,B,..], y_T [B,..]
 * x may be [1,B,..] with timesteps T: the same at each step. */
#include "kernel/loops.h"
#include "op/op.h"

#include <stdio.h>

typedef struct tern_leak_op {
    double decay;
    int timesteps;
} tern_leak_op;
static const tern_arg leak_args[] = {
    TERN_ARG(tern_leak_op, decay, TERN_ARG_REAL, "share that stays each step"),
    TERN_ARG(tern_leak_op, timesteps, TERN_ARG_INT, "steps T of a static input, else 0"),
    {0},
};

/* A call's sizes; x is the shape of the input, a its operand that holds the decay. */
typedef struct tern_leak_view {
    int64_t steps, neurons;
    bool is_static, is_double;
    double decay;
} tern_leak_view;

static tern_leak_view view_of(const tern_call *call, const tern_shape *x, int a, tern_dtype dtype)
{
    const tern_leak_op *op = call->args;
    tern_leak_view v = {.neurons = tern_elements_from(x, 1), .decay = op->decay};
    v.is_static = op->timesteps > 0 && x->dim[0] == 1;
    v.steps = v.is_static ? op->timesteps : x->dim[0];
    v.is_double = dtype == TERN_F64;
    if (a < call->nin && call->in[a].data) v.decay = tern_get(&call->in[a], 0);
    return v;
}

static tern_shape without_time(const tern_shape *s)
{
    tern_shape v = {.rank = s->rank - 1};
    for (int i = 1; i < s->rank; i++) v.dim[i - 1] = s->dim[i];
    return v;
}

static tern_status leak_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 3));
    const tern_leak_op *op = types->args;
    const tern_type *x = types->in[0];
    char text[96];
    if (x->shape.rank < 2 || (op->timesteps > 0 && x->shape.dim[0] != 1 && x->shape.dim[0] != op->timesteps))
        return tern_infer_fail(types, "x is %s, expected [T,B,..]: time first",
                               tern_shape_text(text, &x->shape));
    tern_shape y = x->shape, last = without_time(&y);
    if (op->timesteps > 0) y.dim[0] = op->timesteps;
    TERN_TRY(tern_infer_like(types, 1, 1, last));
    TERN_TRY(tern_infer_like(types, 2, 2, TERN_SHAPE(1)));
    tern_dtype dtype = x->dtype == TERN_F64 ? TERN_F64 : TERN_F32;
    tern_infer_out(types, dtype, y);
    tern_infer_out(types, dtype, last);
    return TERN_OK;
}

static void leak_run(const tern_call *call)
{
    const tern_tensor *x = &call->in[0], *y = &call->out[0], *last = &call->out[1];
    tern_leak_view v = view_of(call, &x->shape, 2, y->dtype);
    for (int64_t n = 0; n < v.neurons; n++) {
        double sum = call->nin > 1 && call->in[1].data ? tern_get(&call->in[1], n) : 0;
        for (int64_t t = 0; t < v.steps; t++) {
            sum = v.decay * sum + tern_get(x, (v.is_static ? 0 : t) * v.neurons + n);
            if (!v.is_double) sum = (double)(float)sum; /* as it is carried from run to run */
            if (y->data) tern_set(y, t * v.neurons + n, sum);
            if (call->counter) call->counter->elementwise++;
        }
        if (last->data) tern_set(last, n, sum);
    }
}

static tern_status leak_emit(const tern_call *call, tern_emit *to)
{
    tern_leak_view v = view_of(call, &call->in[0].shape, 3, TERN_F32); /* the decay is written, not read */
    long long neurons = v.neurons;
    char x[64];
    snprintf(x, sizeof x, v.is_static ? "n" : "t * %lld + n", neurons);
    if (call->nin > 2 && call->in[2].data)
        tern_text_put(to->text, "    const double decay = (double)in2[0];\n");
    else
        tern_text_format(to->text, "    const double decay = %.17g;\n", v.decay);
    tern_text_format(to->text,
                     "    for (int n = 0; n < %lld; n++) {\n"
                     "        double y = %s;\n"
                     "        for (int t = 0; t < %lld; t++) {\n"
                     "            y = (double)(float)(decay * y + %s);\n",
                     neurons, call->nin > 1 && call->in[1].data ? "in1[n]" : "0", (long long)v.steps,
                     tern_write_read(call, 0, x).text);
    if (call->out[0].data)
        tern_text_format(to->text, "            out0[t * %lld + n] = (float)y;\n", neurons);
    tern_text_put(to->text, "        }\n");
    if (call->out[1].data) tern_text_put(to->text, "        out1[n] = (float)y;\n");
    tern_text_put(to->text, "    }\n");
    return TERN_OK;
}

/* A neuron that never resets: its membrane is y. */
static tern_neuron filter_of(const tern_leak_view *v)
{
    return (tern_neuron){.steps = v->steps,
                         .neurons = v->neurons,
                         .is_static = v->is_static,
                         .decay = (float)v->decay,
                         .gain = 1,
                         .threshold = 1,
                         .alpha = 1,
                         .reset = TERN_RESET_NONE};
}

static void leak_fast(const tern_call *call)
{
    tern_leak_view v = view_of(call, &call->in[0].shape, 2, TERN_F32);
    tern_neuron filter = filter_of(&v);
    tern_neuron_operands operands = {.x = call->in[0].data,
                                     .v0 = call->nin > 1 ? call->in[1].data : NULL,
                                     .u = call->out[0].data,
                                     .v_last = call->out[1].data};
    tern_neuron_forward(call->pool, &filter, &operands);
}

static const tern_fast leak_kernels[] = {{"blocks", tern_all_f32, NULL, leak_fast}, {0}};

/* in: dy, dy_T, y, then x (static only), y0, a */
static tern_status leak_grad(tern_grad *c)
{
    const tern_node *n = c->node;
    bool is_static = ((const tern_leak_op *)n->args)->timesteps > 0;
    tern_value in[6] = {c->dout[0], c->dout[1], n->out[0]}, out[3];
    for (int i = 0; i < n->nin; i++) in[3 + i] = n->in[i];
    if (!is_static) in[3] = (tern_value){0};
    if (!tern_apply(c->graph, &tern_op_leak_grad, n->args, in, 3 + n->nin, out).id) return TERN_OK;
    for (int i = 0; i < n->nin; i++)
        if (c->need[i]) c->din[i] = out[i];
    return TERN_OK;
}

const tern_op tern_op_leak = {
    .name = "leak",
    .doc = "leaky integration over axis T: y_t = a y_{t-1} + x_t",
    .args = leak_args,
    .args_size = sizeof(tern_leak_op),
    .flags = TERN_OP_TAKES_STATIC,
    .inplace = {1, 2},
    .infer = leak_infer,
    .grad = leak_grad,
    .work = tern_work_outputs,
    .run = leak_run,
    .emit = leak_emit,
    .fast = leak_kernels,
};

/* ---- gradient: e_t = dy_t + a e_{t+1} (+ dy_T at the end), dx_t = e_t, dy0 = a e_0, da = sum e_t y_{t-1} ------- */

static const tern_shape *shape_of_x(const tern_call *call)
{
    return call->in[3].shape.rank ? &call->in[3].shape : &call->in[2].shape;
}

static tern_status leak_grad_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 0, 6));
    const tern_type *y = types->nin > 2 ? types->in[2] : NULL,
                    *x = types->nin > 3 && types->in[3] ? types->in[3] : y;
    if (!y || y->shape.rank < 2)
        return tern_infer_fail(types, "input 2, y, is missing or has no time: expected [T,B,..]");
    tern_shape slice = x->shape, last = without_time(&y->shape);
    if (slice.rank == y->shape.rank && slice.dim[0] == 1)
        slice.dim[0] = y->shape.dim[0]; /* the same at each step */
    TERN_TRY(tern_infer_like(types, 0, 0, y->shape));
    TERN_TRY(tern_infer_like(types, 1, 1, last));
    if (tern_elements(&slice) != tern_elements(&y->shape)) TERN_TRY(tern_infer_like(types, 3, 3, y->shape));
    TERN_TRY(tern_infer_like(types, 4, 4, last));
    TERN_TRY(tern_infer_like(types, 5, 5, TERN_SHAPE(1)));
    tern_infer_out(types, y->dtype, x->shape);
    tern_infer_out(types, y->dtype, without_time(&y->shape));
    tern_infer_out(types, y->dtype, TERN_SHAPE(1));
    return TERN_OK;
}

static void leak_grad_run(const tern_call *call)
{
    const tern_tensor *in = call->in, *out = call->out;
    tern_leak_view v = view_of(call, shape_of_x(call), 5, in[2].dtype);
    double da = 0;
    for (int64_t n = 0; n < v.neurons; n++) {
        double h = in[1].data ? tern_get(&in[1], n) : 0, sum = 0;
        for (int64_t t = v.steps - 1; t >= 0; t--) {
            int64_t at = t * v.neurons + n;
            double e = h + (in[0].data ? tern_get(&in[0], at) : 0);
            double before = call->nin > 4 && in[4].data ? tern_get(&in[4], n) : 0;
            if (t > 0) before = tern_get(&in[2], at - v.neurons);
            da += e * before;
            sum += e;
            if (out[0].data && !v.is_static) tern_set(&out[0], at, e);
            h = v.decay * e;
            if (call->counter) call->counter->elementwise++;
        }
        if (out[0].data && v.is_static) tern_set(&out[0], n, sum);
        if (out[1].data) tern_set(&out[1], n, h);
    }
    if (out[2].data) tern_set(&out[2], 0, da);
}

static void leak_grad_work(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)tern_elements(&call->in[2].shape);
}

static size_t leak_grad_scratch(const tern_call *call)
{
    tern_neuron filter = {.neurons = tern_elements_from(&call->in[2].shape, 1)};
    return tern_neuron_backward_scratch(&filter);
}

static void leak_grad_fast(const tern_call *call)
{
    const tern_tensor *in = call->in, *out = call->out;
    tern_leak_view v = view_of(call, shape_of_x(call), 5, TERN_F32);
    tern_neuron filter = filter_of(&v);
    double sums[3];
    tern_neuron_gradients gradients = {.du = in[0].data,
                                       .dv_last = in[1].data,
                                       .u = in[2].data,
                                       .v0 = call->nin > 4 ? in[4].data : NULL,
                                       .dx = out[0].data,
                                       .dv0 = out[1].data,
                                       .sums = out[2].data ? sums : NULL};
    tern_neuron_backward(call->pool, &filter, &gradients, call->scratch);
    if (out[2].data) tern_set(&out[2], 0, sums[0]);
}

static const tern_fast leak_grad_kernels[] = {{"blocks", tern_all_f32, leak_grad_scratch, leak_grad_fast},
                                              {0}};

const tern_op tern_op_leak_grad = {
    .name = "leak_grad",
    .doc = "gradient of leak, backwards through time",
    .args = leak_args,
    .args_size = sizeof(tern_leak_op),
    .inplace = {3},
    .infer = leak_grad_infer,
    .work = leak_grad_work,
    .run = leak_grad_run,
    .fast = leak_grad_kernels,
};

/* ---- layer ---------------------------------------------------------------------------------------------------- */

tern_value tern_leak_with(tern_graph *graph, tern_value x, tern_leak_args args)
{
    tern_layer(graph, "leak", args.name);
    tern_leak_op op = {.decay = args.decay};
    tern_value in[3] = {x}, out[2] = {{0}};
    int nin = 1;
    tern_shape s = tern_shape_of(graph, x);
    if (graph->options.stepping && graph->status == TERN_OK) {
        in[1] = tern_state(graph, tern_layer_name(graph, "current"), TERN_F32, without_time(&s),
                           (tern_init){0}, false);
        nin = 2;
    }
    if (args.learn) {
        in[2] = tern_param(graph, tern_layer_name(graph, "decay"), TERN_SHAPE(1),
                           (tern_init){TERN_INIT_CONSTANT, args.decay});
        nin = 3;
    }
    tern_value y = tern_apply(graph, &tern_op_leak, &op, in, nin, out);
    if (graph->options.stepping) tern_next(graph, in[1], out[1]);
    return y;
}
