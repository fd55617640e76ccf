/* Batched products of matrices: a [..,M,K] and b [..,K,N] -> [..,M,N], same leading axes. */
#include "op/op.h"

#include "kernel/kernel.h"

typedef struct tern_matmul_sizes {
    int64_t batch, m, n, k;
} tern_matmul_sizes;

static tern_matmul_sizes sizes_of(const tern_shape *a, const tern_shape *b)
{
    return (tern_matmul_sizes){tern_elements_upto(a, a->rank - 2), a->dim[a->rank - 2], b->dim[b->rank - 1],
                               a->dim[a->rank - 1]};
}

static tern_status matmul_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    const tern_shape *a = &types->in[0]->shape, *b = &types->in[1]->shape;
    char ta[96], tb[96];
    bool match = a->rank == b->rank && a->rank >= 2 && a->dim[a->rank - 1] == b->dim[b->rank - 2];
    for (int d = 0; match && d < a->rank - 2; d++) match = a->dim[d] == b->dim[d];
    if (!match)
        return tern_infer_fail(types, "%s times %s: expected [..,M,K] and [..,K,N]", tern_shape_text(ta, a),
                               tern_shape_text(tb, b));
    tern_shape y = *a;
    y.dim[y.rank - 1] = b->dim[b->rank - 1];
    tern_infer_out(types, types->in[0]->dtype == TERN_F64 ? TERN_F64 : TERN_F32, y);
    return TERN_OK;
}

static void matmul_run(const tern_call *call)
{
    tern_matmul_sizes s = sizes_of(&call->in[0].shape, &call->in[1].shape);
    for (int64_t i = 0; i < s.batch * s.m; i++) {
        for (int64_t n = 0; n < s.n; n++) {
            double sum = 0;
            for (int64_t k = 0; k < s.k; k++)
                sum += tern_get(&call->in[0], i * s.k + k) *
                       tern_get(&call->in[1], (i / s.m * s.k + k) * s.n + n);
            tern_set(&call->out[0], i * s.n + n, sum);
            if (call->counter) call->counter->macs += (double)s.k;
        }
    }
}

static void matmul_work(const tern_call *call, tern_work *work)
{
    tern_matmul_sizes s = sizes_of(&call->in[0].shape, &call->in[1].shape);
    work->macs += (double)s.batch * (double)s.m * (double)s.n * (double)s.k;
}

static tern_product_shape matmul_shape(const tern_call *call)
{
    tern_matmul_sizes s = sizes_of(&call->in[0].shape, &call->in[1].shape);
    return (tern_product_shape){.count = s.batch, .m = s.m, .n = s.n, .k = s.k};
}

/* The last two axes exchanged. */
static tern_value transposed(tern_graph *g, tern_value x)
{
    tern_shape s = tern_shape_of(g, x), order = {.rank = s.rank};
    for (int d = 0; d < s.rank; d++) order.dim[d] = d;
    order.dim[s.rank - 2] = s.rank - 1;
    order.dim[s.rank - 1] = s.rank - 2;
    return tern_permute(g, x, order);
}

static tern_status matmul_grad(tern_grad *c)
{
    tern_graph *g = c->graph;
    if (c->need[0]) c->din[0] = tern_matmul(g, c->dout[0], transposed(g, c->node->in[1]));
    if (c->need[1]) c->din[1] = tern_matmul(g, transposed(g, c->node->in[0]), c->dout[0]);
    return TERN_OK;
}

static bool matmul_matches(const tern_call *call)
{
    return call->in[0].dtype == TERN_F32 && call->in[1].dtype == TERN_F32;
}

static tern_product product_of(const tern_call *call)
{
    tern_matmul_sizes s = sizes_of(&call->in[0].shape, &call->in[1].shape);
    tern_product p = {.m = s.m,
                      .n = s.n,
                      .k = s.k,
                      .batch = s.batch,
                      .a = tern_factor_f32(call->in[0].data, s.k, 1),
                      .b = tern_factor_f32(call->in[1].data, 1, s.n),
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
    .infer = matmul_infer,
    .grad = matmul_grad,
    .work = matmul_work,
    .product = matmul_shape,
    .run = matmul_run,
    .fast = matmul_kernels,
};

tern_value tern_matmul(tern_graph *graph, tern_value a, tern_value b)
{
    return tern_apply2(graph, &tern_op_matmul, a, b);
}
