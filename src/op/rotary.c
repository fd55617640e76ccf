/* Rotary position embedding (Su et al., arXiv 2104.09864): pairs of a head's elements are turned by an angle that grows with
 * the position.  The angles are computed once for all layers and heads; scaling follows YaRN (arXiv 2309.00071), of which
 * plain and linear scaling are cases. */
#include "op/cache.h"
#include "op/op.h"

#include <math.h>

#define TWO_PI 6.28318530717958647693

/* ---- angles: positions [S] i32, divisors [N/2] (optional) -> cosine and sine [S, N/2, 2] ------------------------- */

static const tern_arg angles_args[] = {
    TERN_ARG(tern_angles_args, dims, TERN_ARG_INT, "elements of a head that are turned, N"),
    TERN_ARG(tern_angles_args, base, TERN_ARG_REAL, "angle of pair i: position * base^(-2i/N)"),
    TERN_ARG(tern_angles_args, scale, TERN_ARG_REAL, "of all positions: 1/4 stretches the context fourfold"),
    TERN_ARG(tern_angles_args, mix, TERN_ARG_REAL,
             "YaRN: share of fast pairs that keep their unscaled angle"),
    TERN_ARG(tern_angles_args, fast, TERN_ARG_REAL,
             "YaRN: turns within the old context above which a pair is fast"),
    TERN_ARG(tern_angles_args, slow, TERN_ARG_REAL, "YaRN: turns below which it is slow"),
    TERN_ARG(tern_angles_args, context, TERN_ARG_INT, "YaRN: positions of the old context"),
    TERN_ARG(tern_angles_args, magnitude, TERN_ARG_REAL, "factor of cosine and sine"),
    {0},
};

static tern_status angles_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 2));
    const tern_angles_args *a = types->args;
    const tern_type *positions = types->in[0], *divisors = types->nin > 1 ? types->in[1] : NULL;
    if (positions->dtype != TERN_I32 || positions->shape.rank != 1)
        return tern_infer_fail(types, "expected positions [S] in i32");
    if (a->dims < 2 || a->dims % 2 || a->base <= 0)
        return tern_infer_fail(types, "dims %d, base %g: expected even dims and a base above 0", a->dims,
                               a->base);
    if (divisors && tern_elements(&divisors->shape) != a->dims / 2)
        return tern_infer_fail(types, "expected %d divisors, one a pair", a->dims / 2);
    tern_infer_out(types, TERN_F32, TERN_SHAPE(positions->shape.dim[0], a->dims / 2, 2));
    return TERN_OK;
}

/* The pair that makes `turns` turns within the old context, as a real number. */
static double pair_of(const tern_angles_args *a, double turns)
{
    return a->dims * log(a->context / (turns * TWO_PI)) / (2 * log(a->base));
}

/* How much of pair i's unscaled angle stays. */
static double share_kept(const tern_angles_args *a, int i)
{
    if (a->mix == 0) return 0;
    double low = fmax(0, floor(pair_of(a, a->fast))), high = fmin(a->dims - 1, ceil(pair_of(a, a->slow)));
    double ramp = (i - low) / fmax(0.001, high - low);
    return a->mix * (1 - fmin(1, fmax(0, ramp)));
}

static void angles_run(const tern_call *call)
{
    const tern_angles_args *a = call->args;
    int64_t count = call->in[0].shape.dim[0];
    double magnitude = a->magnitude * (a->mix != 0 ? 1 + 0.1 * log(1 / a->scale) : 1);
    for (int i = 0; i < a->dims / 2; i++) {
        double kept = share_kept(a, i), rate = pow(a->base, -2.0 * i / a->dims);
        if (call->nin > 1 && call->in[1].data) rate /= tern_get(&call->in[1], i);
        rate *= a->scale * (1 - kept) + kept;
        for (int64_t s = 0; s < count; s++) {
            double angle = tern_get(&call->in[0], s) * rate;
            tern_set(&call->out[0], (s * (a->dims / 2) + i) * 2, cos(angle) * magnitude);
            tern_set(&call->out[0], (s * (a->dims / 2) + i) * 2 + 1, sin(angle) * magnitude);
            if (call->counter) call->counter->specials += 2;
        }
    }
}

static void angles_work(const tern_call *call, tern_work *work)
{
    work->specials += (double)tern_elements(&call->out[0].shape);
}

const tern_op tern_op_angles = {
    .name = "angles",
    .doc = "cosine and sine of rotary position embedding",
    .args = angles_args,
    .args_size = sizeof(tern_angles_args),
    .infer = angles_infer,
    .work = angles_work,
    .run = angles_run,
};

tern_value tern_angles_with(tern_graph *graph, tern_value positions, tern_value divisors,
                            tern_angles_args args)
{
    tern_value in[] = {positions, divisors};
    return tern_apply(graph, &tern_op_angles, &args, in, divisors.id ? 2 : 1, NULL);
}

/* ---- rotate: x [S,H,D], angles [S,N/2,2] -> x with the first N elements of each head turned --------------------- */

typedef struct tern_rotate_op {
    bool adjacent, back;
} tern_rotate_op;
static const tern_arg rotate_args[] = {
    TERN_ARG(tern_rotate_op, adjacent, TERN_ARG_BOOL, "pairs (2i, 2i+1), else (i, i + N/2)"),
    TERN_ARG(tern_rotate_op, back, TERN_ARG_BOOL, "turn the other way: the gradient"),
    {0},
};

static tern_status rotate_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    const tern_shape *x = &types->in[0]->shape, *a = &types->in[1]->shape;
    char tx[96], ta[96];
    if (x->rank != 3 || a->rank != 3 || x->dim[0] != a->dim[0] || x->dim[2] < 2 * a->dim[1] || a->dim[2] != 2)
        return tern_infer_fail(types, "x %s and angles %s: expected [S,H,D] and [S,N/2,2] with N <= D",
                               tern_shape_text(tx, x), tern_shape_text(ta, a));
    tern_infer_out(types, types->in[0]->dtype, *x);
    return TERN_OK;
}

static void rotate_run(const tern_call *call)
{
    const tern_rotate_op *o = call->args;
    const tern_tensor *x = &call->in[0], *angles = &call->in[1], *y = &call->out[0];
    int64_t heads = x->shape.dim[1], width = x->shape.dim[2], pairs = angles->shape.dim[1];
    for (int64_t row = 0; row < x->shape.dim[0] * heads; row++) {
        for (int64_t i = 0; i < pairs; i++) {
            int64_t a = row * width + (o->adjacent ? 2 * i : i), b = o->adjacent ? a + 1 : a + pairs;
            double c = tern_get(angles, (row / heads * pairs + i) * 2), u = tern_get(x, a),
                   v = tern_get(x, b);
            double s = tern_get(angles, (row / heads * pairs + i) * 2 + 1) * (o->back ? -1 : 1);
            tern_set(y, a, u * c - v * s);
            tern_set(y, b, u * s + v * c);
            if (call->counter) call->counter->macs += 4;
        }
        for (int64_t i = row * width + 2 * pairs; i < (row + 1) * width; i++) tern_set(y, i, tern_get(x, i));
    }
}

static void rotate_work(const tern_call *call, tern_work *work)
{
    const tern_shape *x = &call->in[0].shape;
    work->macs += 4 * (double)(x->dim[0] * x->dim[1] * call->in[1].shape.dim[1]);
}

static bool rotate_matches(const tern_call *call)
{
    return call->in[0].dtype == TERN_F32 && call->in[1].dtype == TERN_F32;
}

static void rotate_fast(const tern_call *call)
{
    const tern_rotate_op *o = call->args;
    int64_t heads = call->in[0].shape.dim[1], width = call->in[0].shape.dim[2],
            pairs = call->in[1].shape.dim[1];
    int64_t step = o->adjacent ? 2 : 1, apart = o->adjacent ? 1 : pairs;
    for (int64_t row = 0; row < call->in[0].shape.dim[0] * heads; row++) {
        const float *x = (const float *)call->in[0].data + row * width;
        const float *angle = (const float *)call->in[1].data + row / heads * pairs * 2;
        float *y = (float *)call->out[0].data + row * width;
        for (int64_t i = 0; i < pairs; i++) {
            float c = angle[2 * i], s = o->back ? -angle[2 * i + 1] : angle[2 * i + 1];
            float u = x[i * step], v = x[i * step + apart];
            y[i * step] = u * c - v * s;
            y[i * step + apart] = u * s + v * c;
        }
        for (int64_t i = 2 * pairs; i < width; i++) y[i] = x[i];
    }
}

static const tern_fast rotate_kernels[] = {{"f32", rotate_matches, NULL, rotate_fast}, {0}};

static tern_status rotate_grad(tern_grad *c)
{
    tern_rotate_op back = *(const tern_rotate_op *)c->node->args;
    back.back = !back.back;
    tern_value in[] = {c->dout[0], c->node->in[1]};
    if (c->need[0]) c->din[0] = tern_apply(c->graph, &tern_op_rotate, &back, in, 2, NULL);
    if (c->need[1]) return tern_fail(TERN_FAILED, "rotate: angles have no gradient");
    return TERN_OK;
}

const tern_op tern_op_rotate = {
    .name = "rotate",
    .doc = "turn pairs of a head's elements by their angles",
    .args = rotate_args,
    .args_size = sizeof(tern_rotate_op),
    .inplace = {1},
    .infer = rotate_infer,
    .grad = rotate_grad,
    .work = rotate_work,
    .run = rotate_run,
    .fast = rotate_kernels,
};

tern_value tern_rotate(tern_graph *graph, tern_value x, tern_value angles, bool adjacent)
{
    tern_value in[] = {x, angles};
    return tern_apply(graph, &tern_op_rotate, &(tern_rotate_op){.adjacent = adjacent}, in, 2, NULL);
}
