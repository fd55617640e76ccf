/* Products of rows in floats: linear classifiers, on boards without double precision and on several cores to the same bits. */
#include "op/lanes.h"

#include "kernel/gemm.h"

/* x [B,F], w [N,F], bias [N] (optional) -> y [B,N]: y[b,n] = bias[n] + sum_f x[b,f] w[n,f] of floats, in eight lanes (lanes.h).
 * Of codes, x and w of i16 without a bias, y is i32: sum_f x w 2^-places, rounded down. */
static tern_status infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 3));
    const tern_rows_op *a = types->args;
    const tern_type *x = types->in[0], *w = types->in[1];
    char tx[96], tw[96];
    bool codes = x->dtype == TERN_I16;
    if (x->shape.rank != 2 || w->shape.rank != 2 || x->shape.dim[1] != w->shape.dim[1])
        return tern_infer_fail(types, "x is %s and W %s: expected [B,F] and [N,F]",
                               tern_shape_text(tx, &x->shape), tern_shape_text(tw, &w->shape));
    if (codes != (w->dtype == TERN_I16) || (codes && types->nin > 2))
        return tern_infer_fail(types, "x is %s and W %s: expected both i16, without a bias, or neither",
                               tern_dtype_of(x->dtype)->name, tern_dtype_of(w->dtype)->name);
    if (a->inner || a->places < 0 || a->places > 31)
        return tern_infer_fail(types, "shifts by %d and %d places, expected 0, and 0 to 31", a->inner,
                               a->places);
    TERN_TRY(tern_infer_like(types, 2, 2, TERN_SHAPE(w->shape.dim[0])));
    tern_infer_out(types, codes ? TERN_I32 : TERN_F32, TERN_SHAPE(x->shape.dim[0], w->shape.dim[0]));
    return TERN_OK;
}

static const tern_tensor *bias_of(const tern_call *call)
{
    return call->nin > 2 && call->in[2].data ? &call->in[2] : NULL;
}

static double float_sum(const tern_call *call, int64_t b, int64_t n)
{
    float lane[TERN_SUM_LANES] = {0};
    int64_t features = call->in[0].shape.dim[1];
    for (int64_t f = 0; f < features; f++) {
        float term =
            (float)tern_get(&call->in[0], b * features + f) * (float)tern_get(&call->in[1], n * features + f);
        lane[f % TERN_SUM_LANES] = f < TERN_SUM_LANES ? term : lane[f % TERN_SUM_LANES] + term;
    }
    float sum = tern_add_lanes(lane);
    return (double)(bias_of(call) ? (float)tern_get(bias_of(call), n) + sum : sum);
}

static double code_sum(const tern_call *call, int64_t b, int64_t n)
{
    int64_t features = call->in[0].shape.dim[1];
    const int16_t *x = (const int16_t *)call->in[0].data + b * features,
                  *w = (const int16_t *)call->in[1].data + n * features;
    uint32_t sum = 0; /* as C of a board wraps around */
    for (int64_t f = 0; f < features; f++)
        sum += (uint32_t)(x[f] * w[f] >> TERN_ARGS(tern_rows_op, call)->places);
    return (int32_t)sum;
}

static void run(const tern_call *call)
{
    int64_t outputs = call->in[1].shape.dim[0];
    for (int64_t i = 0; i < call->in[0].shape.dim[0] * outputs; i++) {
        bool codes = call->out[0].dtype == TERN_I32;
        tern_set(&call->out[0], i, (codes ? code_sum : float_sum)(call, i / outputs, i % outputs));
        if (call->counter) call->counter->macs += (double)call->in[0].shape.dim[1];
    }
}

static void work(const tern_call *call, tern_work *work)
{
    work->macs += (double)call->in[0].shape.dim[0] * (double)tern_elements(&call->in[1].shape);
}

static tern_product_shape product_shape(const tern_call *call)
{
    const tern_shape *x = &call->in[0].shape, *w = &call->in[1].shape;
    return (tern_product_shape){.count = 1, .m = x->dim[0], .n = w->dim[0], .k = w->dim[1]};
}

static tern_product product_of(const tern_call *call)
{
    const tern_shape *x = &call->in[0].shape, *w = &call->in[1].shape;
    return (tern_product){.m = x->dim[0],
                          .n = w->dim[0],
                          .k = w->dim[1],
                          .a = tern_factor_f32(call->in[0].data, w->dim[1], 1),
                          .b = tern_factor_f32(call->in[1].data, w->dim[1], 1),
                          .c = call->out[0].data,
                          .row_stride = w->dim[0],
                          .column_bias = bias_of(call) ? call->in[2].data : NULL};
}

static size_t fast_scratch(const tern_call *call)
{
    tern_product p = product_of(call);
    return tern_gemm_scratch(&p);
}

static void fast(const tern_call *call)
{
    tern_product p = product_of(call);
    tern_gemm(call->pool, &p, call->scratch);
}

static const tern_fast kernels[] = {{"gemm", tern_all_f32, fast_scratch, fast}, {0}};

static tern_status emit(const tern_call *call, tern_emit *to)
{
    bool codes = call->out[0].dtype == TERN_I32;
    char term[64];
    for (int i = 0; i < call->nin; i++)
        if (call->in[i].dtype != (codes ? TERN_I16 : TERN_F32))
            return tern_fail(TERN_USAGE, "%s of %s cannot be written as C yet; expected f32 or i16",
                             call->op->name, tern_dtype_of(call->in[i].dtype)->name);
    snprintf(term, sizeof term, "x[@] * t[@] >> %d", TERN_ARGS(tern_rows_op, call)->places);
    tern_lane_sums sums = {.rows = call->in[0].shape.dim[0],
                           .stored = call->in[1].shape.dim[0],
                           .features = call->in[0].shape.dim[1],
                           .factors = codes ? "const int16_t *x = in0 + b * @, *t = in1 + n * @;"
                                            : "const float *x = in0 + b * @, *t = in1 + n * @;",
                           .term = codes ? term : "x[@] * t[@]",
                           .whole = codes,
                           .bias = bias_of(call) ? "in2[n] + " : ""};
    tern_emit_lane_sums(&sums, to->text);
    return TERN_OK;
}

const tern_op tern_op_row_product = {
    .name = "row_product",
    .doc = "x W^T + b in floats, for processors without doubles",
    .args = tern_rows_args,
    .args_size = sizeof(tern_rows_op),
    .flags = TERN_OP_ROWWISE,
    .infer = infer,
    .work = work,
    .product = product_shape,
    .run = run,
    .scratch = tern_lane_scratch,
    .fast = kernels,
    .emit = emit,
};

tern_value tern_row_product(tern_graph *graph, tern_value x, tern_value w, tern_value bias)
{
    tern_value in[] = {x, w, bias};
    return tern_apply(graph, &tern_op_row_product, &(tern_rows_op){0}, in, bias.id ? 3 : 2, NULL);
}
