/* Products with a weight matrix: y = x W^T + b, and its gradients.
 *
 * x [rows.., K] (f32, or bit: then rows of W^T are added, one per spike, and nothing is multiplied), W [N, K], b [N]
 * (optional); y [rows.., N]. */
#include "op/op.h"

#include "kernel/loops.h"
#include "kernel/packed.h"

/* rows, K, N of a call whose in[0] is [rows.., K] and the other matrix [N, K] */
typedef struct tern_linear_sizes {
    int64_t rows, inputs, outputs;
} tern_linear_sizes;

static tern_linear_sizes sizes_of(const tern_shape *x, int64_t outputs)
{
    int64_t inputs = x->dim[x->rank - 1];
    return (tern_linear_sizes){tern_elements_upto(x, x->rank - 1), inputs, outputs};
}

static tern_status linear_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 3));
    const tern_type *x = types->in[0], *w = types->in[1], *b = types->nin > 2 ? types->in[2] : NULL;
    char tx[96], tw[96];
    if (x->shape.rank < 1 || w->shape.rank != 2 || x->shape.dim[x->shape.rank - 1] != w->shape.dim[1])
        return tern_infer_fail(types, "x %s and W %s do not match: expected x [..,K] and W [N,K]",
                               tern_shape_text(tx, &x->shape), tern_shape_text(tw, &w->shape));
    if (b && tern_elements(&b->shape) != w->shape.dim[0])
        return tern_infer_fail(types, "bias %s does not match W %s: expected [N]",
                               tern_shape_text(tx, &b->shape), tern_shape_text(tw, &w->shape));
    tern_shape y = x->shape;
    y.dim[y.rank - 1] = w->shape.dim[0];
    tern_infer_out(types, w->dtype == TERN_F64 ? TERN_F64 : TERN_F32, y);
    return TERN_OK;
}

/* Whether element v of in[0] takes part, and its account: real numbers are multiplied, spikes are added. */
static bool counts(const tern_call *call, double v)
{
    int levels = call->in[0].dtype == TERN_BIT ? 1 : call->levels;
    double spikes = levels ? tern_spikes_of(levels, v) : 0;
    if (call->counter && levels) call->counter->accumulates += spikes;
    if (call->counter && !levels) call->counter->macs++;
    return !levels || spikes > 0;
}

/* A row of W is decoded piece by piece: packed formats have no single elements. */
static void linear_run(const tern_call *call)
{
    enum { PIECE = 256 };
    const tern_tensor *x = &call->in[0], *w = &call->in[1], *y = &call->out[0];
    const tern_tensor *b = call->nin > 2 && call->in[2].data ? &call->in[2] : NULL;
    tern_linear_sizes s = sizes_of(&x->shape, w->shape.dim[0]);
    double piece[PIECE];
    for (int64_t r = 0; r < s.rows; r++) {
        for (int64_t n = 0; n < s.outputs; n++) {
            double sum = b ? tern_get(b, n) : 0;
            for (int64_t k = 0; k < s.inputs; k++) {
                if (k % PIECE == 0)
                    tern_dtype_of(w->dtype)->decode(w->data, n * s.inputs + k,
                                                    s.inputs - k < PIECE ? s.inputs - k : PIECE, piece);
                double v = tern_get(x, r * s.inputs + k);
                if (counts(call, v)) sum += v * piece[k % PIECE];
            }
            tern_set(y, r * s.outputs + n, sum);
        }
    }
}

static void linear_work(const tern_call *call, tern_work *work)
{
    const tern_tensor *x = &call->in[0];
    tern_linear_sizes s = sizes_of(&x->shape, call->in[1].shape.dim[0]);
    tern_work_product(call, 0, (double)s.rows * (double)s.inputs, (double)s.outputs, work);
}

static tern_product_shape linear_shape(const tern_call *call)
{
    tern_linear_sizes s = sizes_of(&call->in[0].shape, call->in[1].shape.dim[0]);
    return (tern_product_shape){.count = 1, .m = s.rows, .n = s.outputs, .k = s.inputs};
}

static bool is_f32(const tern_call *call, bool first_bits)
{
    for (int i = 0; i < call->nin; i++) {
        bool bits = first_bits && i == 0 && call->in[i].dtype == TERN_BIT;
        if (call->in[i].dtype != TERN_F32 && !bits) return false;
    }
    return true;
}

static bool linear_matches(const tern_call *call)
{
    return is_f32(call, true);
}

/* y[rows,N] = x[rows,K] W[N,K]^T as a product. */
static tern_product linear_product(const tern_call *call)
{
    tern_linear_sizes s = sizes_of(&call->in[0].shape, call->in[1].shape.dim[0]);
    return (tern_product){.m = s.rows,
                          .n = s.outputs,
                          .k = s.inputs,
                          .a = tern_factor_f32(call->in[0].data, s.inputs, 1),
                          .b = tern_factor_f32(call->in[1].data, s.inputs, 1),
                          .c = call->out[0].data,
                          .row_stride = s.outputs,
                          .column_bias = call->nin > 2 ? call->in[2].data : NULL};
}

static size_t linear_scratch(const tern_call *call)
{
    tern_product p = linear_product(call);
    return call->in[0].dtype == TERN_BIT ? tern_spike_linear_scratch(p.m, p.n, p.k) : tern_gemm_scratch(&p);
}

static void linear_fast(const tern_call *call)
{
    tern_product p = linear_product(call);
    if (call->in[0].dtype == TERN_BIT)
        tern_spike_linear(call->pool, p.m, p.n, p.k, call->in[0].data, 0, call->in[1].data, p.column_bias,
                          p.c, false, TERN_SPIKE_AUTO, NULL, call->scratch);
    else
        tern_gemm(call->pool, &p, call->scratch);
}

/* Rows of whole blocks, in a format that is packed or has half the bits. */
static bool packed_matches(const tern_call *call)
{
    const tern_tensor *w = &call->in[1];
    const tern_dtype_info *info = tern_dtype_of(w->dtype);
    bool small = info->unpack || w->dtype == TERN_F16 || w->dtype == TERN_BF16;
    bool bias = call->nin < 3 || call->in[2].dtype == TERN_F32;
    bool flat = w->dtype == TERN_NF4 || w->dtype == TERN_NF4X2;
    return call->in[0].dtype == TERN_F32 && small && bias && w->shape.dim[1] > 0 &&
           (flat || w->shape.dim[1] % info->block == 0);
}

static tern_packed_product packed_product(const tern_call *call)
{
    tern_linear_sizes s = sizes_of(&call->in[0].shape, call->in[1].shape.dim[0]);
    return (tern_packed_product){.rows = s.rows,
                                 .n = s.outputs,
                                 .k = s.inputs,
                                 .dtype = call->in[1].dtype,
                                 .x = call->in[0].data,
                                 .w = call->in[1].data,
                                 .bias = call->nin > 2 ? call->in[2].data : NULL,
                                 .y = call->out[0].data};
}

static size_t packed_scratch(const tern_call *call)
{
    tern_packed_product p = packed_product(call);
    return tern_packed_scratch(&p);
}

static void packed_fast(const tern_call *call)
{
    tern_packed_product p = packed_product(call);
    tern_packed_run(call->pool, &p, call->scratch);
}

static bool packed_joins(const tern_call *first, const tern_call *next)
{
    tern_packed_product a = packed_product(first), b = packed_product(next);
    return tern_packed_joins(&a, &b);
}

static void packed_joined(const tern_call *calls, int count)
{
    tern_packed_product products[TERN_MOST_JOINED];
    for (int i = 0; i < count; i++) products[i] = packed_product(&calls[i]);
    tern_packed_run_joined(calls->pool, products, count, calls->scratch);
}

static bool many_matches(const tern_call *call)
{
    return call->many && packed_matches(call) && tern_packed_many(call->in[1].dtype);
}

static size_t many_scratch(const tern_call *call)
{
    tern_packed_product p = packed_product(call);
    p.many = true;
    return tern_packed_scratch(&p);
}

static void many_fast(const tern_call *call)
{
    tern_packed_product p = packed_product(call);
    p.many = true;
    tern_packed_run(call->pool, &p, call->scratch);
}

static const tern_fast linear_kernels[] = {{"gemm", linear_matches, linear_scratch, linear_fast},
                                           {"tiles", many_matches, many_scratch, many_fast},
                                           {"packed", packed_matches, packed_scratch, packed_fast},
                                           {0}};

static const tern_joining linear_joining = {"packed", packed_joins, packed_joined};

typedef struct tern_linear_grad_weight_op {
    bool bias; /* the gradient of the bias too */
} tern_linear_grad_weight_op;

/* Rows of spikes that fill bytes are read by the byte: where nothing fires, nothing is done. */
/* Spikes: those of a row are listed once, for all outputs. */
static size_t taps_bytes(const tern_call *call)
{
    const tern_shape *w = &call->in[1].shape;
    return call->in[0].dtype == TERN_BIT ? sizeof(int32_t) * (size_t)w->dim[1] : 0;
}

static void emit_on_spikes(const tern_call *call, tern_emit *to)
{
    tern_linear_sizes s = sizes_of(&call->in[0].shape, call->in[1].shape.dim[0]);
    long long rows = s.rows, inputs = s.inputs, outputs = s.outputs;
    tern_text *t = to->text;
    tern_text_format(t,
                     "    int32_t *taps = scratch; /* inputs that spike */\n"
                     "    for (int r = 0; r < %lld; r++) {\n"
                     "        int spikes = 0;\n",
                     rows);
    if (inputs % 8 == 0)
        tern_text_format(t,
                         "        for (int b = 0; b < %lld; b++) {\n"
                         "            unsigned bits = in0[r * %lld + b];\n"
                         "            for (int k = 8 * b; bits; k++, bits >>= 1)\n"
                         "                if (bits & 1) taps[spikes++] = k;\n"
                         "        }\n",
                         inputs / 8, inputs / 8);
    else
        tern_text_format(t,
                         "        for (int k = 0; k < %lld; k++)\n"
                         "            if (get_bit(in0, r * %lld + k)) taps[spikes++] = k;\n",
                         inputs, inputs);
    tern_text_format(t,
                     "        for (int n = 0; n < %lld; n++) {\n"
                     "            const float *weight = in1 + n * %lld;\n"
                     "            double sum = %s;\n"
                     "            for (int i = 0; i < spikes; i++) sum += (double)weight[taps[i]];\n"
                     "            out0[r * %lld + n] = (float)sum;\n"
                     "        }\n"
                     "    }\n",
                     outputs, inputs, call->nin > 2 && call->in[2].data ? "(double)in2[n]" : "0", outputs);
}

static tern_status linear_emit(const tern_call *call, tern_emit *to)
{
    tern_linear_sizes s = sizes_of(&call->in[0].shape, call->in[1].shape.dim[0]);
    long long rows = s.rows, inputs = s.inputs, outputs = s.outputs;
    tern_text *t = to->text;
    if (call->in[1].dtype != TERN_F32)
        return tern_fail(TERN_FAILED, "linear: weights in %s cannot be emitted yet: convert them to f32",
                         tern_dtype_of(call->in[1].dtype)->name);
    if (call->in[0].dtype == TERN_BIT) {
        emit_on_spikes(call, to);
        return TERN_OK;
    }
    tern_text_format(t,
                     "    for (int r = 0; r < %lld; r++) {\n"
                     "        for (int n = 0; n < %lld; n++) {\n"
                     "            double sum = %s;\n",
                     rows, outputs, call->nin > 2 && call->in[2].data ? "in2[n]" : "0");
    tern_text_format(t,
                     "            for (int k = 0; k < %lld; k++)\n"
                     "                sum += (double)in0[r * %lld + k] * (double)in1[n * %lld + k];\n",
                     inputs, inputs, inputs);
    tern_text_format(t, "            out0[r * %lld + n] = (float)sum;\n        }\n    }\n", outputs);
    return TERN_OK;
}

static tern_status linear_grad(tern_grad *c)
{
    tern_graph *g = c->graph;
    tern_value x = c->node->in[0], w = c->node->in[1], dy = c->dout[0];
    bool biased = c->node->nin > 2 && c->need[2];
    tern_shape bias = biased ? tern_shape_of(g, c->node->in[2]) : TERN_SHAPE(0);
    bool together = biased && c->need[1] && bias.rank == 1; /* dy is read once */
    if (c->need[0]) c->din[0] = tern_apply2(g, &tern_op_linear_grad_input, dy, w);
    if (biased && !together) c->din[2] = tern_sum_to(g, dy, bias);
    if (!c->need[1]) return TERN_OK;
    tern_value out[2] = {{0}};
    tern_apply(g, &tern_op_linear_grad_weight, &(tern_linear_grad_weight_op){together}, (tern_value[]){x, dy},
               2, out);
    c->din[1] = out[0];
    if (together) c->din[2] = out[1];
    return TERN_OK;
}

const tern_op tern_op_linear = {
    .name = "linear",
    .doc = "x W^T + b; spikes add rows of W^T",
    .flags = TERN_OP_ROWWISE,
    .infer = linear_infer,
    .grad = linear_grad,
    .work = linear_work,
    .product = linear_shape,
    .run = linear_run,
    .scratch = taps_bytes,
    .fast = linear_kernels,
    .joining = &linear_joining,
    .emit = linear_emit,
};

/* ---- dx = dy W: dy [rows.., N], W [N, K] -> [rows.., K] ---------------------------------------------------- */

static tern_status grad_input_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    tern_shape dx = types->in[0]->shape;
    const tern_shape *w = &types->in[1]->shape;
    char a[96], b[96];
    if (dx.rank < 1 || w->rank != 2 || dx.dim[dx.rank - 1] != w->dim[0])
        return tern_infer_fail(types, "dy %s and W %s do not match: expected dy [..,N] and W [N,K]",
                               tern_shape_text(a, &dx), tern_shape_text(b, w));
    dx.dim[dx.rank - 1] = types->in[1]->shape.dim[1];
    tern_infer_out(types, types->in[0]->dtype, dx);
    return TERN_OK;
}

static void grad_input_run(const tern_call *call)
{
    const tern_tensor *dy = &call->in[0], *w = &call->in[1], *dx = &call->out[0];
    int64_t outputs = w->shape.dim[0], inputs = w->shape.dim[1];
    int64_t rows = tern_elements(&dy->shape) / outputs;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t k = 0; k < inputs; k++) {
            double sum = 0;
            for (int64_t n = 0; n < outputs; n++)
                sum += tern_get(dy, r * outputs + n) * tern_get(w, n * inputs + k);
            if (call->counter) call->counter->macs += (double)outputs;
            tern_set(dx, r * inputs + k, sum);
        }
    }
}

static void grad_input_work(const tern_call *call, tern_work *work)
{
    work->macs += (double)tern_elements(&call->in[0].shape) * (double)call->in[1].shape.dim[1];
}

static tern_product_shape grad_input_shape(const tern_call *call)
{
    const tern_shape *w = &call->in[1].shape;
    return (tern_product_shape){
        .count = 1, .m = tern_elements(&call->in[0].shape) / w->dim[0], .n = w->dim[1], .k = w->dim[0]};
}

static bool grad_input_matches(const tern_call *call)
{
    return is_f32(call, false);
}

/* dx[rows,K] = dy[rows,N] W[N,K] */
static tern_product grad_input_product(const tern_call *call)
{
    int64_t outputs = call->in[1].shape.dim[0], inputs = call->in[1].shape.dim[1];
    return (tern_product){.m = tern_elements(&call->in[0].shape) / outputs,
                          .n = inputs,
                          .k = outputs,
                          .a = tern_factor_f32(call->in[0].data, outputs, 1),
                          .b = tern_factor_f32(call->in[1].data, 1, inputs),
                          .c = call->out[0].data,
                          .row_stride = inputs};
}

static size_t grad_input_scratch(const tern_call *call)
{
    tern_product p = grad_input_product(call);
    return tern_gemm_scratch(&p);
}

static void grad_input_fast(const tern_call *call)
{
    tern_product p = grad_input_product(call);
    tern_gemm(call->pool, &p, call->scratch);
}

static const tern_fast grad_input_kernels[] = {
    {"gemm", grad_input_matches, grad_input_scratch, grad_input_fast}, {0}};

const tern_op tern_op_linear_grad_input = {
    .name = "linear_grad_input",
    .doc = "gradient of linear to x: dy W",
    .infer = grad_input_infer,
    .work = grad_input_work,
    .product = grad_input_shape,
    .run = grad_input_run,
    .fast = grad_input_kernels,
};

/* ---- dW = dy^T x: x [rows.., K] f32 or bit, dy [rows.., N] -> [N, K], and with `bias` the sum of dy, [N] ---- */

static const tern_arg grad_weight_args[] = {
    TERN_ARG(tern_linear_grad_weight_op, bias, TERN_ARG_BOOL, "the gradient of the bias too"),
    {0},
};

static tern_status grad_weight_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    const tern_shape *x = &types->in[0]->shape, *dy = &types->in[1]->shape;
    char a[96], b[96];
    bool match = x->rank >= 1 && dy->rank == x->rank;
    for (int d = 0; match && d < x->rank - 1; d++) match = x->dim[d] == dy->dim[d];
    if (!match)
        return tern_infer_fail(types, "x %s and dy %s do not match: expected x [rows..,K] and dy [rows..,N]",
                               tern_shape_text(a, x), tern_shape_text(b, dy));
    int64_t outputs = dy->dim[dy->rank - 1];
    tern_infer_out(types, types->in[1]->dtype, TERN_SHAPE(outputs, x->dim[x->rank - 1]));
    if (TERN_ARGS(tern_linear_grad_weight_op, types)->bias)
        tern_infer_out(types, types->in[1]->dtype, TERN_SHAPE(outputs));
    return TERN_OK;
}

static void grad_weight_run(const tern_call *call)
{
    const tern_tensor *x = &call->in[0], *dy = &call->in[1], *dw = &call->out[0];
    tern_linear_sizes s = sizes_of(&x->shape, dw->shape.dim[0]);
    for (int64_t n = 0; n < s.outputs; n++) {
        for (int64_t k = 0; k < s.inputs; k++) {
            double sum = 0;
            for (int64_t r = 0; r < s.rows; r++) {
                double v = tern_get(x, r * s.inputs + k);
                if (counts(call, v)) sum += v * tern_get(dy, r * s.outputs + n);
            }
            tern_set(dw, n * s.inputs + k, sum);
        }
        if (call->nout < 2) continue;
        double sum = 0;
        for (int64_t r = 0; r < s.rows; r++) sum += tern_get(dy, r * s.outputs + n);
        if (call->counter) call->counter->elementwise += (double)s.rows;
        if (call->out[1].data) tern_set(&call->out[1], n, sum);
    }
}

static void grad_weight_work(const tern_call *call, tern_work *work)
{
    tern_work_product(call, 0, (double)tern_elements(&call->in[0].shape), (double)call->out[0].shape.dim[0],
                      work);
    if (call->nout > 1) work->elementwise += (double)tern_elements(&call->in[1].shape);
}

static tern_product_shape grad_weight_shape(const tern_call *call)
{
    tern_linear_sizes s = sizes_of(&call->in[0].shape, call->out[0].shape.dim[0]);
    return (tern_product_shape){.count = 1, .m = s.outputs, .n = s.inputs, .k = s.rows};
}

/* dW[N,K] = dy[rows,N]^T x[rows,K] */
static tern_product grad_weight_product(const tern_call *call)
{
    tern_linear_sizes s = sizes_of(&call->in[0].shape, call->out[0].shape.dim[0]);
    return (tern_product){.m = s.outputs,
                          .n = s.inputs,
                          .k = s.rows,
                          .a = tern_factor_f32(call->in[1].data, 1, s.outputs),
                          .b = tern_factor_f32(call->in[0].data, 1, s.inputs),
                          .c = call->out[0].data,
                          .row_stride = s.inputs};
}

static size_t grad_weight_scratch(const tern_call *call)
{
    tern_product p = grad_weight_product(call);
    return call->in[0].dtype == TERN_BIT ? tern_spike_grad_weight_scratch(p.k, p.m, p.n)
                                         : tern_gemm_scratch(&p);
}

static void grad_weight_fast(const tern_call *call)
{
    tern_product p = grad_weight_product(call);
    float *bias = call->nout > 1 ? call->out[1].data : NULL;
    if (call->in[0].dtype == TERN_BIT) {
        tern_spike_grad_weight(call->pool, p.k, p.m, p.n, call->in[0].data, 0, call->in[1].data, p.c, bias,
                               false, TERN_SPIKE_AUTO, NULL, call->scratch);
        return;
    }
    tern_gemm(call->pool, &p, call->scratch);
    if (bias) tern_column_sums(call->pool, p.k, p.m, call->in[1].data, bias);
}

static const tern_fast grad_weight_kernels[] = {
    {"gemm", linear_matches, grad_weight_scratch, grad_weight_fast}, {0}};

const tern_op tern_op_linear_grad_weight = {
    .name = "linear_grad_weight",
    .doc = "gradient of linear to W: dy^T x; spikes add rows of dy",
    .args = grad_weight_args,
    .args_size = sizeof(tern_linear_grad_weight_op),
    .infer = grad_weight_infer,
    .work = grad_weight_work,
    .product = grad_weight_shape,
    .run = grad_weight_run,
    .fast = grad_weight_kernels,
};

tern_value tern_multiply_weight(tern_graph *graph, tern_value x, tern_value weight, tern_value bias)
{
    tern_value in[] = {x, weight, bias};
    return tern_apply(graph, &tern_op_linear, NULL, in, bias.id ? 3 : 2, NULL);
}
