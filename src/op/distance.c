/* Squared distances to stored rows, and the vote of the nearest of them: naive Bayes, nearest neighbours, k-means, and
 * kernels of support vectors are made of these.
 *
 * Sums are of floats where the operands are, in eight lanes (lanes.h), so that a board without double precision gives the same
 * bits, however many cores it has.  (||x||^2 - 2 x t + ||t||^2 would be faster and cancel: it changes ties.) */
#include "op/lanes.h"

#include "kernel/rows.h"

/* x [B,F], t [N,F], w [N,F] (optional) -> d [B,N]: d[b,n] = sum_f w[n,f] (x[b,f] - t[n,f])^2 of floats.
 * Of codes, all i16, d is i32 and w stands for a root: d[b,n] = sum_f z^2 2^-places, rounded down, with
 * z = (x - t) w 2^-inner rounded down (x - t where there is no w), saturated at 16 bits. */
static tern_status distance_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 3));
    const tern_rows_op *a = types->args;
    const tern_type *x = types->in[0], *t = types->in[1], *w = types->nin > 2 ? types->in[2] : NULL;
    char tx[96], tt[96];
    if (x->shape.rank != 2 || t->shape.rank != 2 || x->shape.dim[1] != t->shape.dim[1])
        return tern_infer_fail(types, "x is %s and the rows %s: expected [B,F] and [N,F]",
                               tern_shape_text(tx, &x->shape), tern_shape_text(tt, &t->shape));
    if (w && !tern_shape_equal(&w->shape, &t->shape))
        return tern_infer_fail(types, "the weights are %s, expected %s as the rows",
                               tern_shape_text(tx, &w->shape), tern_shape_text(tt, &t->shape));
    bool codes = x->dtype == TERN_I16;
    for (int i = 0; i < types->nin; i++)
        if (types->in[i] && (types->in[i]->dtype == TERN_I16) != codes)
            return tern_infer_fail(types, "operands are %s and %s: expected all i16 or none",
                                   tern_dtype_of(x->dtype)->name, tern_dtype_of(types->in[i]->dtype)->name);
    if (a->inner < 0 || a->inner > 31 || a->places < 0 || a->places > 31)
        return tern_infer_fail(types, "shifts by %d and %d places, expected 0 to 31", a->inner, a->places);
    tern_infer_out(types, codes ? TERN_I32 : TERN_F32, TERN_SHAPE(x->shape.dim[0], t->shape.dim[0]));
    return TERN_OK;
}

static const tern_tensor *weights_of(const tern_call *call)
{
    return call->nin > 2 && call->in[2].data ? &call->in[2] : NULL;
}

static void count_term(const tern_call *call)
{
    if (call->counter) call->counter->macs += weights_of(call) ? 2 : 1;
    if (call->counter) call->counter->elementwise++;
}

/* d[b,n] of floats, at features b and n of x and t. */
static float float_distance(const tern_call *call, int64_t b, int64_t n)
{
    const tern_tensor *x = &call->in[0], *t = &call->in[1], *w = weights_of(call);
    float lane[TERN_SUM_LANES] = {0};
    for (int64_t f = 0; f < x->shape.dim[1]; f++) {
        float d = (float)tern_get(x, b + f) - (float)tern_get(t, n + f), term = d * d;
        if (w) term = term * (float)tern_get(w, n + f);
        lane[f % TERN_SUM_LANES] = f < TERN_SUM_LANES ? term : lane[f % TERN_SUM_LANES] + term;
        count_term(call);
    }
    return tern_add_lanes(lane);
}

static int32_t code_distance(const tern_call *call, int64_t b, int64_t n)
{
    const tern_rows_op *a = call->args;
    const int16_t *x = call->in[0].data, *t = call->in[1].data;
    const int16_t *w = weights_of(call) ? call->in[2].data : NULL;
    uint32_t sum = 0; /* as C of a board wraps around */
    for (int64_t f = 0; f < call->in[0].shape.dim[1]; f++) {
        int32_t z = x[b + f] - t[n + f];
        if (w) z = z * w[n + f] >> a->inner;
        z = z < INT16_MIN ? INT16_MIN : z > INT16_MAX ? INT16_MAX : z;
        sum += (uint32_t)(z * z >> a->places);
        count_term(call);
    }
    return (int32_t)sum;
}

static void distance_run(const tern_call *call)
{
    int64_t stored = call->in[1].shape.dim[0], features = call->in[0].shape.dim[1];
    for (int64_t i = 0; i < call->in[0].shape.dim[0] * stored; i++) {
        int64_t b = i / stored * features, n = i % stored * features;
        bool codes = call->out[0].dtype == TERN_I32;
        tern_set(&call->out[0], i, codes ? code_distance(call, b, n) : (double)float_distance(call, b, n));
    }
}

static void distance_work(const tern_call *call, tern_work *work)
{
    double all = (double)call->in[0].shape.dim[0] * (double)tern_elements(&call->in[1].shape);
    work->macs += all * (call->nin > 2 && call->in[2].shape.rank ? 2 : 1);
    work->elementwise += all;
}

static void distance_fast(const tern_call *call)
{
    const tern_shape *x = &call->in[0].shape, *t = &call->in[1].shape;
    tern_distance_rows(call->pool, x->dim[0], t->dim[0], x->dim[1], call->in[0].data, call->in[1].data,
                       weights_of(call) ? call->in[2].data : NULL, call->out[0].data);
}

static const tern_fast distance_kernels[] = {{"rows", tern_all_f32, NULL, distance_fast}, {0}};

static tern_status distance_emit(const tern_call *call, tern_emit *to)
{
    static const char *const types[] = {"float", "int16_t"};
    const tern_rows_op *a = call->args;
    bool codes = call->out[0].dtype == TERN_I32, weighed = weights_of(call) != NULL;
    char factors[160], term[96];
    for (int i = 0; i < call->nin; i++)
        if (call->in[i].dtype != (codes ? TERN_I16 : TERN_F32))
            return tern_fail(TERN_USAGE, "%s of %s cannot be written as C yet; expected f32 or i16",
                             call->op->name, tern_dtype_of(call->in[i].dtype)->name);
    snprintf(factors, sizeof factors, "const %s *x = in0 + b * @, *t = in1 + n * @%s;", types[codes],
             weighed ? ", *w = in2 + n * @" : "");
    if (codes)
        snprintf(term, sizeof term, "square_code(x[@] - t[@], %s, %d) >> %d", weighed ? "w[@]" : "1",
                 weighed ? a->inner : 0, a->places);
    else
        snprintf(term, sizeof term, "(x[@] - t[@]) * (x[@] - t[@])%s", weighed ? " * w[@]" : "");
    tern_lane_sums sums = {.rows = call->in[0].shape.dim[0],
                           .stored = call->in[1].shape.dim[0],
                           .features = call->in[0].shape.dim[1],
                           .factors = factors,
                           .term = term,
                           .whole = codes,
                           .bias = ""};
    tern_emit_lane_sums(&sums, to->text);
    return TERN_OK;
}

const tern_op tern_op_squared_distance = {
    .name = "squared_distance",
    .doc = "squared distance of each row to each stored row, features weighted or not",
    .args = tern_rows_args,
    .args_size = sizeof(tern_rows_op),
    .flags = TERN_OP_ROWWISE,
    .infer = distance_infer,
    .work = distance_work,
    .run = distance_run,
    .scratch = tern_lane_scratch,
    .fast = distance_kernels,
    .emit = distance_emit,
};

tern_value tern_squared_distance(tern_graph *graph, tern_value x, tern_value rows, tern_value weights)
{
    tern_value in[] = {x, rows, weights};
    return tern_apply(graph, &tern_op_squared_distance, &(tern_rows_op){0}, in, weights.id ? 3 : 2, NULL);
}

/* ---- vote: classes of the k nearest ------------------------------------------------------------------------- */

typedef struct tern_vote_op {
    int k, classes;
} tern_vote_op;
static const tern_arg vote_args[] = {
    TERN_ARG(tern_vote_op, k, TERN_ARG_INT, "how many vote"),
    TERN_ARG(tern_vote_op, classes, TERN_ARG_INT, "classes"),
    {0},
};

/* d [B,N] f32 or i32, labels i32 [N] -> votes [B,classes] */
static tern_status vote_infer(tern_infer *types)
{
    const tern_vote_op *a = types->args;
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    const tern_type *d = types->in[0], *labels = types->in[1];
    char x[96], y[96];
    if (d->shape.rank != 2 || labels->dtype != TERN_I32 || labels->shape.rank != 1 ||
        labels->shape.dim[0] != d->shape.dim[1])
        return tern_infer_fail(types, "distances are %s and labels %s %s: expected [B,N] and i32 [N]",
                               tern_shape_text(x, &d->shape), tern_dtype_of(labels->dtype)->name,
                               tern_shape_text(y, &labels->shape));
    if (a->k < 1 || a->k > d->shape.dim[1])
        return tern_infer_fail(types, "k is %d, expected 1 to %lld, the rows that there are", a->k,
                               (long long)d->shape.dim[1]);
    if (a->classes < 1) return tern_infer_fail(types, "classes is %d, expected at least 1", a->classes);
    tern_infer_out(types, TERN_F32, TERN_SHAPE(d->shape.dim[0], a->classes));
    return TERN_OK;
}

static size_t vote_scratch(const tern_call *call)
{
    return (size_t)TERN_ARGS(tern_vote_op, call)->k * sizeof(int32_t);
}

/* The nearest by insertion: an equal distance stays behind the one that came first. */
static void vote_run(const tern_call *call)
{
    const tern_vote_op *a = call->args;
    const tern_tensor *d = &call->in[0], *y = &call->out[0];
    int64_t rows = d->shape.dim[0], stored = d->shape.dim[1];
    int32_t *nearest = call->scratch;
    for (int64_t b = 0; b < rows; b++) {
        int have = 0;
        for (int64_t n = 0; n < stored; n++) {
            double distance = tern_get(d, b * stored + n);
            int at = have < a->k ? have : a->k;
            while (at > 0 && distance < tern_get(d, b * stored + nearest[at - 1])) at--;
            if (call->counter) call->counter->elementwise++;
            if (at == a->k) continue;
            have += have < a->k;
            for (int i = have - 1; i > at; i--) nearest[i] = nearest[i - 1];
            nearest[at] = (int32_t)n;
        }
        for (int c = 0; c < a->classes; c++) tern_set(y, b * a->classes + c, 0);
        for (int i = 0; i < have; i++) {
            int64_t label = (int64_t)tern_get(&call->in[1], nearest[i]);
            if (label < 0 || label >= a->classes) continue;
            tern_set(y, b * a->classes + label, tern_get(y, b * a->classes + label) + 1);
        }
    }
}

static tern_status vote_emit(const tern_call *call, tern_emit *to)
{
    const tern_vote_op *a = call->args;
    long long rows = call->in[0].shape.dim[0], stored = call->in[0].shape.dim[1];
    bool whole = call->in[0].dtype == TERN_I32;
    if (call->in[0].dtype != TERN_F32 && !whole)
        return tern_fail(TERN_USAGE,
                         "vote over distances of %s cannot be written as C yet; expected f32 or i32",
                         tern_dtype_of(call->in[0].dtype)->name);
    tern_text_format(to->text,
                     "    int32_t *nearest = scratch;\n"
                     "    for (int b = 0; b < %lld; b++) {\n"
                     "        const %s *d = in0 + b * %lld;\n"
                     "        float *votes = out0 + b * %d;\n"
                     "        int have = 0;\n"
                     "        for (int32_t n = 0; n < %lld; n++) {\n"
                     "            int at = have;\n"
                     "            while (at > 0 && d[n] < d[nearest[at - 1]]) at--;\n"
                     "            if (at == %d) continue;\n"
                     "            have += have < %d;\n"
                     "            for (int i = have - 1; i > at; i--) nearest[i] = nearest[i - 1];\n"
                     "            nearest[at] = n;\n"
                     "        }\n",
                     rows, whole ? "int32_t" : "float", stored, a->classes, stored, a->k, a->k);
    tern_text_format(to->text,
                     "        for (int c = 0; c < %d; c++) votes[c] = 0;\n"
                     "        for (int i = 0; i < have; i++) {\n"
                     "            int32_t label = in1[nearest[i]];\n"
                     "            if (label >= 0 && label < %d) votes[label] += 1;\n"
                     "        }\n"
                     "    }\n",
                     a->classes, a->classes);
    return TERN_OK;
}

const tern_op tern_op_vote = {
    .name = "vote",
    .doc = "how many of the k nearest rows are of each class",
    .args = vote_args,
    .args_size = sizeof(tern_vote_op),
    .flags = TERN_OP_ROWWISE,
    .infer = vote_infer,
    .work = tern_work_inputs,
    .run = vote_run,
    .scratch = vote_scratch,
    .emit = vote_emit,
};

tern_value tern_vote(tern_graph *graph, tern_value distances, tern_value labels, int k, int classes)
{
    return tern_apply(graph, &tern_op_vote, &(tern_vote_op){k, classes}, (tern_value[]){distances, labels}, 2,
                      NULL);
}
