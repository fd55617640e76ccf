/* Integrate-and-fire neurons over time (IF, LIF, PLIF and their kin): one equation, many parameters.
 *
 *     u_t = v_r + d (v_{t-1} - v_r) + g x_t        membrane before firing
 *     z_t = u_t - theta   (or u_t/theta - 1)       distance to the threshold
 *     s_t = [u_t >= theta]   (or >)                spike
 *     v_t = u_t - theta s_t  |  s_t ? v_r : u_t  |  u_t     soft, hard, no reset
 *
 * inputs   x [T,B,..], v0 [B,..], d [1], g [1], theta [1]: all but x optional (arguments stand in for them)
 * outputs  s [T,B,..] bit, u [T,B,..], v_T [B,..]
 * x may be [1,B,..] with timesteps T: the same current at each step.
 *
 * u is rounded to its format before it is compared and carried on: so a net that is stepped, with its membranes in
 * memory between the steps, gives the same bits, and the gradient sees the spikes that were fired. */
#include "op/lif.h"
#include "kernel/loops.h"
#include "op/op.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const tern_reset_names[] = {"soft", "hard", "none", NULL};
const char *const tern_surrogate_names[] = {"arctan",       "sigmoid",      "rectangle", "triangle",
                                            "fast_sigmoid", "linear_decay", NULL};
#define LIF_ARG(field, kind, doc) TERN_ARG(tern_lif_op, field, kind, doc)
static const tern_arg lif_args[] = {
    LIF_ARG(decay, TERN_ARG_REAL, "share of the membrane that stays each step"),
    LIF_ARG(gain, TERN_ARG_REAL, "factor of the input current"),
    LIF_ARG(threshold, TERN_ARG_REAL, "membrane at which a neuron fires"),
    LIF_ARG(v_reset, TERN_ARG_REAL, "rest and hard reset potential"),
    {"reset", TERN_ARG_CHOICE, offsetof(tern_lif_op, reset), "rule after a spike", tern_reset_names},
    {"surrogate", TERN_ARG_CHOICE, offsetof(tern_lif_op, surrogate),
     "derivative that stands in for the step's", tern_surrogate_names},
    LIF_ARG(alpha, TERN_ARG_REAL, "sharpness of the surrogate"),
    LIF_ARG(detach_reset, TERN_ARG_BOOL, "no gradient through the reset"),
    LIF_ARG(strict, TERN_ARG_BOOL, "fires above the threshold only"),
    LIF_ARG(normalised, TERN_ARG_BOOL, "z = u/threshold - 1"),
    LIF_ARG(timesteps, TERN_ARG_INT, "steps T of a static input, else 0"),
    LIF_ARG(truncate, TERN_ARG_INT, "gradient through time is cut every so many steps"),
    {0},
};

double tern_surrogate_slope(tern_surrogate surrogate, double a, double z)
{
    double s;
    switch (surrogate) {
    case TERN_ARCTAN:
        s = 1.5707963267948966 * a * z;
        return 0.5 * a / (1 + s * s);
    case TERN_SIGMOID:
        s = 1 / (1 + exp(-fabs(a * z)));
        return a * s * (1 - s); /* even in z: exp never overflows */
    case TERN_RECTANGLE:
        return fabs(z) <= 0.5 * a ? 1 / a : 0;
    case TERN_TRIANGLE:
        return fmax(0, a - a * a * fabs(z));
    case TERN_FAST_SIGMOID:
        s = 1 + a * fabs(z);
        return 1 / (s * s);
    case TERN_LINEAR_DECAY:
        return a * fmax(0, 1 - fabs(z));
    }
    return 0;
}

/* Sizes and scalar parameters of a call. */
typedef struct tern_lif_view {
    int64_t steps, neurons; /* T, and B*.. */
    bool is_static;         /* x has one step only */
    bool is_double;         /* membranes are f64, else f32 */
    double decay, gain, threshold;
    const tern_lif_op *op;
} tern_lif_view;

static double scalar_input(const tern_call *call, int i, double otherwise)
{
    return i < call->nin && call->in[i].data ? tern_get(&call->in[i], 0) : otherwise;
}

static double rounded(const tern_lif_view *v, double x)
{
    return v->is_double ? x : (double)(float)x;
}

static tern_lif_view view_of(const tern_call *call, const tern_shape *x, int first_scalar, tern_dtype dtype)
{
    const tern_lif_op *op = call->args;
    tern_lif_view v = {.op = op, .neurons = tern_elements_from(x, 1), .is_double = dtype == TERN_F64};
    v.is_static = op->timesteps > 0 && x->dim[0] == 1;
    v.steps = v.is_static ? op->timesteps : x->dim[0];
    v.decay = scalar_input(call, first_scalar, op->decay);
    v.gain = scalar_input(call, first_scalar + 1, op->gain);
    v.threshold = rounded(&v, scalar_input(call, first_scalar + 2, op->threshold));
    return v;
}

static double distance(const tern_lif_view *v, double u)
{
    return v->op->normalised ? u / v->threshold - 1 : u - v->threshold;
}

static bool fires(const tern_lif_view *v, double u)
{
    return v->op->strict ? u > v->threshold : u >= v->threshold;
}

static double after_reset(const tern_lif_view *v, double u, bool spike)
{
    switch ((tern_reset)v->op->reset) {
    case TERN_RESET_SOFT:
        return spike ? rounded(v, u - v->threshold) : u;
    case TERN_RESET_HARD:
        return spike ? rounded(v, v->op->v_reset) : u;
    case TERN_RESET_NONE:
        break;
    }
    return u;
}

static tern_status lif_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 5));
    const tern_lif_op *op = types->args;
    const tern_type *x = types->in[0];
    char text[96];
    if (x->shape.rank < 2)
        return tern_infer_fail(types, "x is %s, expected [T,B,..]: time first",
                               tern_shape_text(text, &x->shape));
    if (op->timesteps > 1 && x->shape.dim[0] != 1 && x->shape.dim[0] != op->timesteps)
        return tern_infer_fail(types, "x is %s, expected 1 or timesteps=%d on axis 0",
                               tern_shape_text(text, &x->shape), op->timesteps);
    tern_shape s = x->shape, v = {.rank = s.rank - 1};
    if (op->timesteps > 0) s.dim[0] = op->timesteps;
    for (int i = 1; i < s.rank; i++) v.dim[i - 1] = s.dim[i];
    TERN_TRY(tern_infer_like(types, 1, 1, v));
    TERN_TRY(tern_infer_like(types, 2, 4, TERN_SHAPE(1)));
    tern_infer_out(types, TERN_BIT, s);
    tern_infer_out(types, x->dtype == TERN_F64 ? TERN_F64 : TERN_F32, s);
    tern_infer_out(types, x->dtype == TERN_F64 ? TERN_F64 : TERN_F32, v);
    return TERN_OK;
}

static void lif_run(const tern_call *call)
{
    const tern_tensor *x = &call->in[0], *v0 = call->nin > 1 ? &call->in[1] : NULL;
    const tern_tensor *s = &call->out[0], *u_out = &call->out[1], *v_out = &call->out[2];
    tern_lif_view v = view_of(call, &x->shape, 2, u_out->dtype);
    double rest = rounded(&v, v.op->v_reset);
    if (s->data)
        memset(s->data, 0, tern_bytes_of(TERN_BIT, v.steps * v.neurons)); /* and behind the last bit */
    for (int64_t n = 0; n < v.neurons; n++) {
        double membrane = v0 && v0->data ? tern_get(v0, n) : rest;
        for (int64_t t = 0; t < v.steps; t++) {
            double current = tern_get(x, (v.is_static ? 0 : t) * v.neurons + n);
            double u = rounded(&v, rest + v.decay * (membrane - rest) + v.gain * current);
            bool spike = fires(&v, u);
            membrane = after_reset(&v, u, spike);
            if (s->data) tern_set(s, t * v.neurons + n, spike);
            if (u_out->data) tern_set(u_out, t * v.neurons + n, u);
            if (call->counter) call->counter->elementwise++;
        }
        if (v_out->data) tern_set(v_out, n, membrane);
    }
}

/* A scalar operand, or the argument that stands in for it, as C. */
static tern_written scalar_text(const tern_call *call, int i, double otherwise)
{
    tern_written w;
    if (i < call->nin && call->in[i].data)
        snprintf(w.text, sizeof w.text, "(double)in%d[0]", i);
    else
        snprintf(w.text, sizeof w.text, "%.17g", otherwise);
    return w;
}

static tern_status lif_emit(const tern_call *call, tern_emit *to)
{
    tern_lif_view v = view_of(call, &call->in[0].shape, 5, TERN_F32); /* scalars are written, not read */
    bool has_v0 = call->nin > 1 && call->in[1].data, spikes = call->out[0].data != NULL;
    const tern_lif_op *op = v.op;
    long long neurons = v.neurons;
    double rest = (double)(float)op->v_reset;
    tern_text *t = to->text;
    char x[64], next[96] = "u";
    snprintf(x, sizeof x, v.is_static ? "n" : "t * %lld + n", neurons);
    if (op->reset == TERN_RESET_SOFT)
        snprintf(next, sizeof next, "fires ? (double)(float)(u - threshold) : u");
    if (op->reset == TERN_RESET_HARD) snprintf(next, sizeof next, "fires ? %.17g : u", rest);
    if (spikes) tern_write_clear(to, call, 0);
    tern_text_format(
        t, "    const double decay = %s, gain = %s;\n    const double threshold = (double)(float)%s;\n",
        scalar_text(call, 2, op->decay).text, scalar_text(call, 3, op->gain).text,
        scalar_text(call, 4, op->threshold).text);
    tern_text_format(t, "    for (int n = 0; n < %lld; n++) {\n", neurons);
    if (has_v0)
        tern_text_put(t, "        double v = in1[n];\n");
    else
        tern_text_format(t, "        double v = %.17g;\n", rest);
    tern_text_format(t,
                     "        for (int t = 0; t < %lld; t++) {\n"
                     "            double u = (double)(float)(%.17g + decay * (v - %.17g) + gain * %s);\n"
                     "            int fires = u %s threshold;\n"
                     "            v = %s;\n",
                     (long long)v.steps, rest, rest, tern_write_read(call, 0, x).text,
                     op->strict ? ">" : ">=", next);
    if (spikes) tern_text_format(t, "            if (fires) set_bit(out0, t * %lld + n);\n", neurons);
    if (call->out[1].data) tern_text_format(t, "            out1[t * %lld + n] = (float)u;\n", neurons);
    tern_text_put(t, "        }\n");
    if (call->out[2].data) tern_text_put(t, "        out2[n] = (float)v;\n");
    tern_text_put(t, "    }\n");
    return TERN_OK;
}

static tern_status lif_grad(tern_grad *c)
{
    const tern_node *n = c->node;
    tern_value in[10] = {c->dout[0], c->dout[1], c->dout[2], n->out[1]};
    for (int i = 0; i < n->nin; i++) in[4 + i] = n->in[i];
    bool is_static = ((const tern_lif_op *)n->args)->timesteps > 0;
    bool learns_gain = n->nin > 3 && c->need[3];
    bool learns_decay = n->nin > 2 && c->need[2];
    if (n->nin > 1 && !learns_decay)
        in[5] = (tern_value){0}; /* then the next membrane may take the memory of v0 */
    if (!is_static && !learns_gain) in[4] = (tern_value){0}; /* then u may take the memory of x */
    tern_value out[5];
    if (!tern_apply(c->graph, &tern_op_lif_grad, n->args, in, 4 + n->nin, out).id) return TERN_OK;
    for (int i = 0; i < n->nin; i++)
        if (c->need[i]) c->din[i] = out[i];
    return TERN_OK;
}

static bool all_f32(const tern_tensor *tensors, int first, int count)
{
    for (int i = first; i < count; i++)
        if (tensors[i].shape.rank && tensors[i].dtype != TERN_F32) return false;
    return true;
}

static bool lif_fast_match(const tern_call *call)
{
    return all_f32(call->in, 0, call->nin);
}

static tern_neuron neuron_of(const tern_lif_view *v)
{
    const tern_lif_op *op = v->op;
    return (tern_neuron){.steps = v->steps,
                         .neurons = v->neurons,
                         .is_static = v->is_static,
                         .decay = (float)v->decay,
                         .gain = (float)v->gain,
                         .threshold = (float)v->threshold,
                         .v_reset = (float)op->v_reset,
                         .reset = (tern_reset)op->reset,
                         .surrogate = (tern_surrogate)op->surrogate,
                         .alpha = (float)op->alpha,
                         .detach_reset = op->detach_reset,
                         .strict = op->strict,
                         .normalised = op->normalised,
                         .truncate = op->truncate};
}

static void lif_fast_run(const tern_call *call)
{
    tern_lif_view v = view_of(call, &call->in[0].shape, 2, TERN_F32);
    tern_neuron neuron = neuron_of(&v);
    tern_neuron_operands operands = {.x = call->in[0].data,
                                     .v0 = call->nin > 1 ? call->in[1].data : NULL,
                                     .spikes = call->out[0].data,
                                     .u = call->out[1].data,
                                     .v_last = call->out[2].data};
    tern_neuron_forward(call->pool, &neuron, &operands);
}

static const tern_fast lif_fast[] = {{"blocks", lif_fast_match, NULL, lif_fast_run}, {0}};

const tern_op tern_op_lif = {
    .name = "lif",
    .doc = "leaky integrate-and-fire over axis T; spikes out as bits",
    .args = lif_args,
    .args_size = sizeof(tern_lif_op),
    .flags = TERN_OP_TAKES_STATIC | TERN_OP_FIRES,
    .inplace = {0, 1, 2},
    .infer = lif_infer,
    .grad = lif_grad,
    .work = tern_work_outputs, /* an update of a neuron is one operation */
    .run = lif_run,
    .emit = lif_emit,
    .fast = lif_fast,
};

/* ---- gradient ------------------------------------------------------------------------------------------------
 * With e_t = dL/du_t and h_t = dL/dv_t, from the last step to the first:
 *     e_t = (ds_t + [h_t dv_t/ds_t unless detached]) slope(z_t) dz/du + du_t + h_t dv_t/du
 *     h_{t-1} = d e_t,   dx_t = g e_t,   dd = sum e_t (v_{t-1} - v_r),   dg = sum e_t x_t
 *     dtheta = sum (ds_t ..) slope dz/dtheta + [soft reset] -s_t h_t
 * inputs   ds, du [T,B,..], dv [B,..] (each optional), u [T,B,..], then those of lif (x only where it is static or
 *          the gain is learned)
 * outputs  dx (summed over T when x is static), dv0, dd, dg, dtheta */

static tern_status lif_grad_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 0, 9));
    const tern_type *u = types->nin > 3 ? types->in[3] : NULL,
                    *x = types->nin > 4 && types->in[4] ? types->in[4] : u;
    if (!u || u->shape.rank < 2)
        return tern_infer_fail(types, "input 3, u, is missing or has no time: expected [T,B,..]");
    tern_shape v = {.rank = u->shape.rank - 1}, slice = x->shape;
    for (int i = 1; i < u->shape.rank; i++) v.dim[i - 1] = u->shape.dim[i];
    TERN_TRY(tern_infer_like(types, 0, 1, u->shape));
    TERN_TRY(tern_infer_like(types, 2, 2, v));
    if (slice.rank == u->shape.rank && slice.dim[0] == 1)
        slice.dim[0] = u->shape.dim[0]; /* the same at each step */
    if (tern_elements(&slice) != tern_elements(&u->shape)) TERN_TRY(tern_infer_like(types, 4, 4, u->shape));
    TERN_TRY(tern_infer_like(types, 5, 5, v));
    TERN_TRY(tern_infer_like(types, 6, 8, TERN_SHAPE(1)));
    tern_infer_out(types, u->dtype, x->shape);
    tern_infer_out(types, u->dtype, v);
    for (int i = 0; i < 3; i++) tern_infer_out(types, u->dtype, TERN_SHAPE(1));
    return TERN_OK;
}

typedef struct tern_lif_sums {
    double decay, gain, threshold;
} tern_lif_sums;

/* One neuron, backwards through time. */
static void lif_grad_neuron(const tern_call *call, const tern_lif_view *v, int64_t n, tern_lif_sums *sums)
{
    const tern_tensor *ds = &call->in[0], *du = &call->in[1], *dv = &call->in[2], *u = &call->in[3];
    const tern_tensor *x = &call->in[4], *v0 = call->nin > 5 ? &call->in[5] : NULL, *dx = &call->out[0];
    const tern_lif_op *op = v->op;
    double h = dv->data ? tern_get(dv, n) : 0, static_sum = 0;
    for (int64_t t = v->steps - 1; t >= 0; t--) {
        int64_t at = t * v->neurons + n;
        double ut = tern_get(u, at), dst = ds->data ? tern_get(ds, at) : 0;
        bool spike = fires(v, ut);
        if (op->reset == TERN_RESET_SOFT) {
            sums->threshold -= spike ? h : 0;
            if (!op->detach_reset) dst -= h * v->threshold;
        } else if (op->reset == TERN_RESET_HARD && !op->detach_reset) {
            dst += h * (op->v_reset - ut);
        }
        double dz = dst * tern_surrogate_slope((tern_surrogate)op->surrogate, op->alpha, distance(v, ut));
        sums->threshold -= op->normalised ? dz * ut / (v->threshold * v->threshold) : dz;
        double e = (op->normalised ? dz / v->threshold : dz) + (du->data ? tern_get(du, at) : 0);
        if (op->reset != TERN_RESET_HARD || !spike) e += h;
        double before = v0 && v0->data ? tern_get(v0, n) : op->v_reset;
        if (t > 0) {
            double previous = tern_get(u, at - v->neurons);
            before = after_reset(v, previous, fires(v, previous));
        }
        sums->decay += e * (before - op->v_reset);
        if (x->data) sums->gain += e * tern_get(x, (v->is_static ? 0 : t) * v->neurons + n);
        static_sum += v->gain * e;
        if (dx->data && !v->is_static) tern_set(dx, at, v->gain * e);
        h = op->truncate > 0 && t % op->truncate == 0 ? 0 : v->decay * e;
        if (call->counter) call->counter->elementwise++;
    }
    if (dx->data && v->is_static) tern_set(dx, n, static_sum);
    if (call->out[1].data) tern_set(&call->out[1], n, h);
}

/* The shape of x, which is that of u where x is absent. */
static const tern_shape *shape_of_x(const tern_call *call)
{
    return call->in[4].shape.rank ? &call->in[4].shape : &call->in[3].shape;
}

static void lif_grad_run(const tern_call *call)
{
    tern_lif_view v = view_of(call, shape_of_x(call), 6, call->in[3].dtype);
    tern_lif_sums sums = {0};
    for (int64_t n = 0; n < v.neurons; n++) lif_grad_neuron(call, &v, n, &sums);
    if (call->out[2].data) tern_set(&call->out[2], 0, sums.decay);
    if (call->out[3].data) tern_set(&call->out[3], 0, sums.gain);
    if (call->out[4].data) tern_set(&call->out[4], 0, sums.threshold);
}

static void lif_grad_work(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)tern_elements(&call->in[3].shape);
}

static size_t lif_grad_fast_scratch(const tern_call *call)
{
    tern_neuron neuron = {.neurons = tern_elements_from(&call->in[3].shape, 1)};
    return tern_neuron_backward_scratch(&neuron);
}

static void lif_grad_fast_run(const tern_call *call)
{
    tern_lif_view v = view_of(call, shape_of_x(call), 6, TERN_F32);
    tern_neuron neuron = neuron_of(&v);
    double sums[3];
    bool wanted = call->out[2].data || call->out[3].data || call->out[4].data;
    tern_neuron_gradients gradients = {.ds = call->in[0].data,
                                       .du = call->in[1].data,
                                       .dv_last = call->in[2].data,
                                       .u = call->in[3].data,
                                       .x = call->in[4].data,
                                       .v0 = call->nin > 5 ? call->in[5].data : NULL,
                                       .dx = call->out[0].data,
                                       .dv0 = call->out[1].data,
                                       .sums = wanted ? sums : NULL};
    tern_neuron_backward(call->pool, &neuron, &gradients, call->scratch);
    for (int i = 0; i < 3; i++)
        if (call->out[2 + i].data) tern_set(&call->out[2 + i], 0, sums[i]);
}

static const tern_fast lif_grad_fast[] = {
    {"blocks", lif_fast_match, lif_grad_fast_scratch, lif_grad_fast_run}, {0}};

const tern_op tern_op_lif_grad = {
    .name = "lif_grad",
    .doc = "gradient of lif, backwards through time",
    .args = lif_args,
    .args_size = sizeof(tern_lif_op),
    .inplace = {4},
    .infer = lif_grad_infer,
    .work = lif_grad_work,
    .run = lif_grad_run,
    .fast = lif_grad_fast,
};
