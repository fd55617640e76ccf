/* Products of small integers, exactly: x [rows.., K] and W [N, K] of signed bytes -> [rows.., N] of 32-bit sums. */
#include "op/op.h"

#define MOST_SUMMED 131071 /* 2^31 / 2^14: sums of more products of bytes might not fit 32 bits */

static tern_status linear_i8_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    const tern_type *x = types->in[0], *w = types->in[1];
    int r = x->shape.rank;
    char tx[96], tw[96];
    if (x->dtype != TERN_I8 || w->dtype != TERN_I8)
        return tern_infer_fail(types, "x is %s and W %s, expected i8 and i8", tern_dtype_of(x->dtype)->name,
                               tern_dtype_of(w->dtype)->name);
    if (r < 1 || w->shape.rank != 2 || x->shape.dim[r - 1] != w->shape.dim[1])
        return tern_infer_fail(types, "x %s and W %s do not match: expected x [..,K] and W [N,K]",
                               tern_shape_text(tx, &x->shape), tern_shape_text(tw, &w->shape));
    if (w->shape.dim[1] > MOST_SUMMED)
        return tern_infer_fail(types,
                               "W %s sums over %lld products, which may not fit 32 bits: expected at most %d",
                               tern_shape_text(tw, &w->shape), (long long)w->shape.dim[1], MOST_SUMMED);
    tern_shape y = x->shape;
    y.dim[r - 1] = w->shape.dim[0];
    tern_infer_out(types, TERN_I32, y);
    return TERN_OK;
}

static int64_t rows_of(const tern_call *call)
{
    return tern_elements_upto(&call->in[0].shape, call->in[0].shape.rank - 1);
}

static void linear_i8_run(const tern_call *call)
{
    int64_t outputs = call->in[1].shape.dim[0], inputs = call->in[1].shape.dim[1];
    const int8_t *x = call->in[0].data, *w = call->in[1].data;
    int32_t *y = call->out[0].data;
    for (int64_t i = 0; i < rows_of(call) * outputs; i++) {
        int32_t sum = 0;
        for (int64_t k = 0; k < inputs; k++) sum += x[i / outputs * inputs + k] * w[i % outputs * inputs + k];
        y[i] = sum;
        if (call->counter) call->counter->macs += (double)inputs;
    }
}

static void linear_i8_work(const tern_call *call, tern_work *work)
{
    work->macs += (double)tern_elements(&call->out[0].shape) * (double)call->in[1].shape.dim[1];
}

static bool linear_i8_matches(const tern_call *call)
{
    return call->in[0].dtype == TERN_I8;
}

static size_t linear_i8_scratch(const tern_call *call)
{
    return tern_i8_gemm_scratch(rows_of(call), call->in[1].shape.dim[0], call->in[1].shape.dim[1]);
}

static void linear_i8_fast(const tern_call *call)
{
    tern_i8_gemm(call->pool, rows_of(call), call->in[1].shape.dim[0], call->in[1].shape.dim[1],
                 call->in[0].data, call->in[1].data, call->out[0].data, false, call->scratch);
}

static const tern_fast linear_i8_kernels[] = {{"words", linear_i8_matches, linear_i8_scratch, linear_i8_fast},
                                              {0}};

const tern_op tern_op_linear_i8 = {
    .name = "linear_i8",
    .doc = "x W^T of signed bytes, in 32-bit sums",
    .flags = TERN_OP_ROWWISE,
    .infer = linear_i8_infer,
    .work = linear_i8_work,
    .run = linear_i8_run,
    .fast = linear_i8_kernels,
};

tern_value tern_linear_i8(tern_graph *graph, tern_value x, tern_value weight)
{
    return tern_apply2(graph, &tern_op_linear_i8, x, weight);
}
