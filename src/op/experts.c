/* Mixtures of experts (Shazeer et al., arXiv 1701.06538; Mixtral: 2401.04088): the largest elements of a row, and products of
 * rows with the weights of the experts that they chose. */
#include "op/experts.h"

#include "op/op.h"

#include "kernel/packed.h"

#include <math.h>
#include <string.h>

/* ---- top: x [S,E] -> values [S,C], index [S,C] ------------------------------------------------------------------------ */

typedef struct tern_top_op {
    int count;
} tern_top_op;
static const tern_arg top_args[] = {
    TERN_ARG(tern_top_op, count, TERN_ARG_INT, "elements of a row that are kept"), {0}};

static tern_status top_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    const tern_shape *x = &types->in[0]->shape;
    int count = TERN_ARGS(tern_top_op, types)->count;
    char text[96];
    if (x->rank != 2 || count < 1 || count > x->dim[1])
        return tern_infer_fail(types, "the %d largest of %s: expected rows [S,E] with as many elements",
                               count, tern_shape_text(text, x));
    tern_infer_out(types, TERN_F32, TERN_SHAPE(x->dim[0], count));
    tern_infer_out(types, TERN_I32, TERN_SHAPE(x->dim[0], count));
    return TERN_OK;
}

static void top_run(const tern_call *call)
{
    int64_t rows = call->in[0].shape.dim[0], width = call->in[0].shape.dim[1],
            count = TERN_ARGS(tern_top_op, call)->count;
    for (int64_t r = 0; r < rows; r++) {
        double below = INFINITY; /* what came before: values down to `below`, of those places up to `last` */
        int64_t last = -1;
        for (int64_t c = 0; c < count; c++) {
            int64_t best = -1;
            for (int64_t i = 0; i < width; i++) {
                double v = tern_get(&call->in[0], r * width + i);
                bool left = v < below || (v == below && i > last);
                if (left && (best < 0 || v > tern_get(&call->in[0], r * width + best))) best = i;
            }
            if (best >= 0) below = tern_get(&call->in[0], r * width + best); /* else: no numbers */
            last = best;
            if (call->out[0].data) tern_set(&call->out[0], r * count + c, best < 0 ? NAN : below);
            if (call->out[1].data) tern_set(&call->out[1], r * count + c, (double)best);
        }
        if (call->counter) call->counter->elementwise += (double)(width * count);
    }
}

static void top_work(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)tern_elements(&call->in[0].shape) * TERN_ARGS(tern_top_op, call)->count;
}

const tern_op tern_op_top = {
    .name = "top",
    .doc = "the largest elements of a row, and where they stand",
    .args = top_args,
    .args_size = sizeof(tern_top_op),
    .infer = top_infer,
    .work = top_work,
    .run = top_run,
};

tern_value tern_top(tern_graph *graph, tern_value x, int count, tern_value *index)
{
    tern_value out[2] = {{0}};
    tern_apply(graph, &tern_op_top, &(tern_top_op){count}, &x, 1, out);
    *index = out[1];
    return out[0];
}

/* ---- linear_experts: x [S,C,K] or [S,K], index [S,C], W [E,N,K] -> [S,C,N] ---------------------------------------------- */

typedef struct expert_sizes {
    int64_t rows, chosen, experts, n, k; /* rows: of index */
    bool shared;                         /* x has a row for all that were chosen */
} expert_sizes;

static expert_sizes sizes_of(const tern_call *call)
{
    const tern_shape *x = &call->in[0].shape, *index = &call->in[1].shape, *w = &call->in[2].shape;
    return (expert_sizes){index->dim[0], index->dim[1], w->dim[0], w->dim[1], w->dim[2], x->rank == 2};
}

static tern_status experts_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    const tern_shape *x = &types->in[0]->shape, *index = &types->in[1]->shape, *w = &types->in[2]->shape;
    char tx[96], ti[96], tw[96];
    bool match = (x->rank == 2 || x->rank == 3) && index->rank == 2 && w->rank == 3 &&
                 x->dim[0] == index->dim[0] && (x->rank == 2 || x->dim[1] == index->dim[1]) &&
                 x->dim[x->rank - 1] == w->dim[2];
    if (!match || types->in[1]->dtype != TERN_I32)
        return tern_infer_fail(types,
                               "x %s, index %s, W %s: expected [S,C,K] or [S,K], [S,C] in i32 and [E,N,K]",
                               tern_shape_text(tx, x), tern_shape_text(ti, index), tern_shape_text(tw, w));
    tern_infer_out(types, TERN_F32, TERN_SHAPE(index->dim[0], index->dim[1], w->dim[1]));
    return TERN_OK;
}

static void experts_run(const tern_call *call)
{
    expert_sizes s = sizes_of(call);
    for (int64_t i = 0; i < s.rows * s.chosen; i++) {
        int64_t e = (int64_t)tern_get(&call->in[1], i), x = (s.shared ? i / s.chosen : i) * s.k;
        for (int64_t n = 0; n < s.n; n++) {
            double sum = 0;
            for (int64_t k = 0; e >= 0 && e < s.experts && k < s.k; k++)
                sum += tern_get(&call->in[0], x + k) * tern_get(&call->in[2], (e * s.n + n) * s.k + k);
            tern_set(&call->out[0], i * s.n + n, sum);
            if (call->counter) call->counter->macs += (double)s.k;
        }
    }
}

static void experts_work(const tern_call *call, tern_work *work)
{
    work->macs += (double)tern_elements(&call->out[0].shape) * (double)call->in[2].shape.dim[2];
}

/* The matrices of the experts that some row chose; without data as many as there can be. */
static void experts_touched(const tern_call *call, double *in, double *out)
{
    (void)out;
    expert_sizes s = sizes_of(call);
    int64_t pairs = s.rows * s.chosen, read = 0;
    for (int64_t e = 0; call->in[1].data && e < s.experts; e++) {
        int64_t i = 0;
        while (i < pairs && (int64_t)tern_get(&call->in[1], i) != e) i++;
        read += i < pairs;
    }
    if (!call->in[1].data) read = pairs < s.experts ? pairs : s.experts;
    in[2] = (double)read * (double)tern_bytes_of(call->in[2].dtype, s.n * s.k);
}

/* Whole blocks a row, so that the weight of an expert stands by itself. */
static bool experts_matches(const tern_call *call)
{
    const tern_dtype_info *info = tern_dtype_of(call->in[2].dtype);
    bool small = info->unpack || call->in[2].dtype == TERN_F16 || call->in[2].dtype == TERN_BF16;
    return call->in[0].dtype == TERN_F32 && (small || call->in[2].dtype == TERN_F32) &&
           call->in[2].shape.dim[2] > 0 && call->in[2].shape.dim[2] % info->block == 0;
}

/* `rows` rows of x through expert e, as a product. */
static tern_packed_product packed_of(const tern_call *call, const expert_sizes *s, int64_t rows)
{
    return (tern_packed_product){.rows = rows, .n = s->n, .k = s->k, .dtype = call->in[2].dtype};
}

static tern_product dense_of(const expert_sizes *s, int64_t rows)
{
    return (tern_product){.m = rows,
                          .n = s->n,
                          .k = s->k,
                          .a = tern_factor_f32(NULL, s->k, 1),
                          .b = tern_factor_f32(NULL, s->k, 1),
                          .row_stride = s->n};
}

static size_t whole(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static size_t product_scratch(const tern_call *call, const expert_sizes *s)
{
    size_t most = 0;
    tern_packed_product p = packed_of(call, s, s->rows * s->chosen);
    if (call->in[2].dtype != TERN_F32) return tern_packed_scratch(&p);
    for (int64_t rows = 1; rows <= s->rows * s->chosen; rows++) {
        tern_product d = dense_of(s, rows);
        size_t bytes = tern_gemm_scratch(&d);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static size_t experts_scratch(const tern_call *call)
{
    expert_sizes s = sizes_of(call);
    size_t all = (size_t)(s.rows * s.chosen);
    return whole(all * (size_t)s.k * sizeof(float)) + whole(all * (size_t)s.n * sizeof(float)) +
           product_scratch(call, &s);
}

static void experts_fast(const tern_call *call)
{
    expert_sizes s = sizes_of(call);
    const int32_t *index = call->in[1].data;
    size_t all = (size_t)(s.rows * s.chosen), expert = tern_bytes_of(call->in[2].dtype, s.n * s.k);
    float *x = call->scratch,
          *y = (float *)(void *)((char *)call->scratch + whole(all * (size_t)s.k * sizeof(float)));
    void *scratch = (char *)y + whole(all * (size_t)s.n * sizeof(float));
    float *out = call->out[0].data;
    memset(out, 0, all * (size_t)s.n * sizeof *out);
    for (int64_t e = 0; e < s.experts; e++) {
        int64_t rows = 0;
        for (int64_t i = 0; i < s.rows * s.chosen; i++)
            if (index[i] == e)
                memcpy(x + rows++ * s.k,
                       (const float *)call->in[0].data + (s.shared ? i / s.chosen : i) * s.k,
                       (size_t)s.k * sizeof *x);
        if (!rows) continue;
        const char *w = (const char *)call->in[2].data + (size_t)e * expert;
        if (call->in[2].dtype == TERN_F32) {
            tern_product p = dense_of(&s, rows);
            p.a.data = x;
            p.b.data = w;
            p.c = y;
            tern_gemm(call->pool, &p, scratch);
        } else {
            tern_packed_product p = packed_of(call, &s, rows);
            p.x = x;
            p.w = w;
            p.y = y;
            tern_packed_run(call->pool, &p, scratch);
        }
        rows = 0;
        for (int64_t i = 0; i < s.rows * s.chosen; i++)
            if (index[i] == e) memcpy(out + i * s.n, y + rows++ * s.n, (size_t)s.n * sizeof *out);
    }
}

static const tern_fast experts_kernels[] = {{"grouped", experts_matches, experts_scratch, experts_fast}, {0}};

const tern_op tern_op_linear_experts = {
    .name = "linear_experts",
    .doc = "rows times the weights of the experts that they chose",
    .infer = experts_infer,
    .work = experts_work,
    .touched = experts_touched,
    .run = experts_run,
    .fast = experts_kernels,
};

tern_value tern_linear_experts(tern_graph *graph, tern_value x, tern_value index, tern_value weight)
{
    return tern_apply(graph, &tern_op_linear_experts, NULL, (tern_value[]){x, index, weight}, 3, NULL);
}
