/* Batched products of matrices: a [..,M,K] and b [..,K,N] -> [..,M,N], same leading axes; either may stand in memory with its
 * last two axes exchanged. */
#include "op/op.h"

#include "kernel/kernel.h"

static const tern_arg matmul_args[] = {
    TERN_ARG(tern_matmul_args, transpose_a, TERN_ARG_BOOL, "a is [..,K,M]"),
    TERN_ARG(tern_matmul_args, transpose_b, TERN_ARG_BOOL, "b is [..,N,K]"),
    {0},
};

/* Strides of element (row, k) of a and of element (k, column) of b, and of a product of the batch to the next. */
typedef struct tern_matmul_sizes {
    int64_t batch, m, n, k;
    int64_t a_row, a_sum, b_sum, b_column;
} tern_matmul_sizes;

static tern_matmul_sizes sizes_of(const tern_shape *a, const tern_shape *b, const tern_matmul_args *args)
{
    int ra = a->rank, rb = b->rank;
    bool ta = args->transpose_a, tb = args->transpose_b;
    tern_matmul_sizes s = {.batch = tern_elements_upto(a, ra - 2),
                           .m = a->dim[ta ? ra - 1 : ra - 2],
                           .k = a->dim[ta ? ra - 2 : ra - 1],
                           .n = b->dim[tb ? rb - 2 : rb - 1]};
    s.a_row = ta ? 1 : s.k;
    s.a_sum = ta ? s.m : 1;
    s.b_sum = tb ? 1 : s.n;
    s.b_column = tb ? s.k : 1;
    return s;
}

static tern_status matmul_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    const tern_matmul_args *args = types->args;
    const tern_shape *a = &types->in[0]->shape, *b = &types->in[1]->shape;
    char ta[96], tb[96];
    bool match = a->rank == b->rank && a->rank >= 2;
    for (int d = 0; match && d < a->rank - 2; d++) match = a->dim[d] == b->dim[d];
    if (match) match = sizes_of(a, b, args).k == b->dim[b->rank - (args->transpose_b ? 1 : 2)];
    if (!match)
        return tern_infer_fail(types, "%s times %s: expected %s and %s", tern_shape_text(ta, a),
                               tern_shape_text(tb, b), args->transpose_a ? "[..,K,M]" : "[..,M,K]",
                               args->transpose_b ? "[..,N,K]" : "[..,K,N]");
    tern_matmul_sizes s = sizes_of(a, b, args);
    tern_shape y = *a;
    y.dim[y.rank - 2] = s.m;
    y.dim[y.rank - 1] = s.n;
    tern_infer_out(types, types->in[0]->dtype == TERN_F64 ? TERN_F64 : TERN_F32, y);
    return TERN_OK;
}

static tern_matmul_sizes sizes_of_call(const tern_call *call)
{
    return sizes_of(&call->in[0].shape, &call->in[1].shape, call->args);
}

static void matmul_run(const tern_call *call)
{
    tern_matmul_sizes s = sizes_of_call(call);
    for (int64_t i = 0; i < s.batch * s.m; i++) {
        int64_t product = i / s.m, row = i % s.m;
        for (int64_t n = 0; n < s.n; n++) {
            double sum = 0;
            for (int64_t k = 0; k < s.k; k++)
                sum += tern_get(&call->in[0], product * s.m * s.k + row * s.a_row + k * s.a_sum) *
                       tern_get(&call->in[1], product * s.k * s.n + k * s.b_sum + n * s.b_column);
            tern_set(&call->out[0], i * s.n + n, sum);
            if (call->counter) call->counter->macs += (double)s.k;
        }
    }
}

static void matmul_work(const tern_call *call, tern_work *work)
{
    tern_matmul_sizes s = sizes_of_call(call);
    work->macs += (double)s.batch * (double)s.m * (double)s.n * (double)s.k;
}

/* da = dy b^T and db = a^T dy, of which the transposes are taken where a or b are transposed. */
static tern_status matmul_grad(tern_grad *c)
{
    tern_graph *g = c->graph;
    const tern_matmul_args *args = c->node->args;
    tern_value a = c->node->in[0], b = c->node->in[1], dy = c->dout[0];
    bool ta = args->transpose_a, tb = args->transpose_b;
    if (c->need[0])
        c->din[0] = ta ? tern_matmul(g, b, dy, .transpose_a = tb, .transpose_b = true)
                       : tern_matmul(g, dy, b, .transpose_b = !tb);
    if (c->need[1])
        c->din[1] = tb ? tern_matmul(g, dy, a, .transpose_a = true, .transpose_b = ta)
                       : tern_matmul(g, a, dy, .transpose_a = !ta);
    return TERN_OK;
}

static bool matmul_matches(const tern_call *call)
{
    return call->in[0].dtype == TERN_F32 && call->in[1].dtype == TERN_F32;
}

static tern_product product_of(const tern_call *call)
{
    tern_matmul_sizes s = sizes_of_call(call);
    tern_product p = {.m = s.m,
                      .n = s.n,
                      .k = s.k,
                      .batch = s.batch,
                      .a = tern_factor_f32(call->in[0].data, s.a_row, s.a_sum),
                      .b = tern_factor_f32(call->in[1].data, s.b_column, s.b_sum),
                      .c = call->out[0].data,
                      .row_stride = s.n,
                      .batch_stride = s.m * s.n};
    p.a.batch_stride = s.m * s.k;
    p.b.batch_stride = s.k * s.n;
    return p;
}

static size_t matmul_scratch(const tern_call *call)
{
    tern_product p = product_of(call);
    return tern_gemm_scratch(&p);
}

static void matmul_fast(const tern_call *call)
{
    tern_product p = product_of(call);
    tern_gemm(call->pool, &p, call->scratch);
}

static const tern_fast matmul_kernels[] = {{"gemm", matmul_matches, matmul_scratch, matmul_fast}, {0}};

const tern_op tern_op_matmul = {
    .name = "matmul",
    .doc = "batched product of matrices",
    .args = matmul_args,
    .args_size = sizeof(tern_matmul_args),
    .infer = matmul_infer,
    .grad = matmul_grad,
    .work = matmul_work,
    .run = matmul_run,
    .fast = matmul_kernels,
};

tern_value tern_matmul_with(tern_graph *graph, tern_value a, tern_value b, tern_matmul_args args)
{
    return tern_apply(graph, &tern_op_matmul, &args, (tern_value[]){a, b}, 2, NULL);
}
