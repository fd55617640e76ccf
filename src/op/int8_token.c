/* Layer norm and attention of nets of bytes (kernel/int8_rows.h has their arithmetic). */
#include "kernel/int8_rows.h"
#include "op/int8.h"

/* ---- layer_norm_int8: x [..,D], weight, bias i32 [D], constants i32 [TERN_NORM_CONSTANTS] -------------------------- */

static tern_status norm_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 4, 4));
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){TERN_I8, TERN_I32, TERN_I32, TERN_I32}));
    const tern_shape *x = &types->in[0]->shape;
    if (x->rank < 1 || x->dim[x->rank - 1] > TERN_NORM_MOST)
        return tern_infer_fail(types, "rows must have 1 to %d elements, so that sums fit", TERN_NORM_MOST);
    TERN_TRY(tern_infer_like(types, 1, 2, TERN_SHAPE(x->dim[x->rank - 1])));
    TERN_TRY(tern_infer_like(types, 3, 3, TERN_SHAPE(TERN_NORM_CONSTANTS)));
    tern_infer_out(types, TERN_I8, *x);
    return TERN_OK;
}

static int64_t row_length(const tern_call *call)
{
    return call->in[0].shape.dim[call->in[0].shape.rank - 1];
}

static void norm_work(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)tern_elements(&call->in[0].shape);
    work->specials += (double)(tern_elements(&call->in[0].shape) / row_length(call));
}

static void norm_run(const tern_call *call)
{
    int64_t n = row_length(call), count = tern_elements(&call->in[0].shape);
    for (int64_t at = 0; at < count; at += n)
        tern_int8_norm_row(n, (const int8_t *)call->in[0].data + at, call->in[1].data, call->in[2].data,
                           call->in[3].data, (int8_t *)call->out[0].data + at);
    if (call->counter) norm_work(call, call->counter);
}

static tern_status norm_emit(const tern_call *call, tern_emit *to)
{
    long long n = row_length(call);
    tern_text_format(to->text,
                     "    for (int row = 0; row < %lld; row++)\n"
                     "        norm_row(%lld, in0 + row * %lld, in1, in2, in3, out0 + row * %lld);\n",
                     (long long)tern_elements(&call->in[0].shape) / n, n, n, n);
    return TERN_OK;
}

const tern_op tern_op_layer_norm_int8 = {
    .name = "layer_norm_int8",
    .doc = "layer norm of bytes with an integer square root",
    .flags = TERN_OP_ROWWISE,
    .inplace = {1},
    .infer = norm_infer,
    .work = norm_work,
    .run = norm_run,
    .emit = norm_emit,
};

/* ---- attention_int8: q [..,N,D], k [..,M,D], v [..,M,E], constants i32, exponentials i16 -> [..,N,E] ---------------- */

static tern_status attention_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 5, 5));
    TERN_TRY(tern_int8_check_types(types, (tern_dtype[]){TERN_I8, TERN_I8, TERN_I8, TERN_I32, TERN_I16}));
    const tern_shape *q = &types->in[0]->shape, *k = &types->in[1]->shape, *v = &types->in[2]->shape;
    int r = q->rank;
    bool match = r >= 2 && k->rank == r && v->rank == r && k->dim[r - 1] == q->dim[r - 1] &&
                 k->dim[r - 2] == v->dim[r - 2];
    for (int d = 0; match && d < r - 2; d++) match = q->dim[d] == k->dim[d] && q->dim[d] == v->dim[d];
    char a[96], b[96], c[96];
    if (!match)
        return tern_infer_fail(types, "q %s, k %s, v %s: expected [..,N,D], [..,M,D], [..,M,E]",
                               tern_shape_text(a, q), tern_shape_text(b, k), tern_shape_text(c, v));
    if (k->dim[r - 2] > TERN_ATTEND_KEYS || k->dim[r - 1] > TERN_ATTEND_WIDTH)
        return tern_infer_fail(types,
                               "k %s: expected at most %d keys of at most %d, so that sums fit 32 bits",
                               tern_shape_text(b, k), TERN_ATTEND_KEYS, TERN_ATTEND_WIDTH);
    TERN_TRY(tern_infer_like(types, 3, 3, TERN_SHAPE(TERN_ATTEND_CONSTANTS)));
    TERN_TRY(tern_infer_like(types, 4, 4, TERN_SHAPE(TERN_ATTEND_TABLE)));
    tern_shape y = *q;
    y.dim[r - 1] = v->dim[r - 1];
    tern_infer_out(types, TERN_I8, y);
    return TERN_OK;
}

typedef struct attention_sizes {
    int64_t products, queries, keys, width, out;
} attention_sizes;

static attention_sizes sizes_of(const tern_call *call)
{
    const tern_shape *q = &call->in[0].shape, *v = &call->in[2].shape;
    int r = q->rank;
    return (attention_sizes){tern_elements_upto(q, r - 2), q->dim[r - 2], v->dim[r - 2], q->dim[r - 1],
                             v->dim[r - 1]};
}

static void attention_work(const tern_call *call, tern_work *work)
{
    attention_sizes s = sizes_of(call);
    double scores = (double)(s.products * s.queries * s.keys);
    work->macs += scores * (double)(s.width + s.out);
    work->specials += scores;
    work->elementwise += (double)tern_elements(&call->out[0].shape);
}

/* All queries of product p, with scores and sums in scratch. */
static void attend(const tern_call *call, const attention_sizes *s, int64_t p, int32_t *scratch)
{
    tern_int8_attention a = {.keys = s->keys,
                             .width = s->width,
                             .out = s->out,
                             .k = (const int8_t *)call->in[1].data + p * s->keys * s->width,
                             .v = (const int8_t *)call->in[2].data + p * s->keys * s->out,
                             .k_stride = s->width,
                             .v_stride = s->out,
                             .q = call->in[3].data,
                             .table = call->in[4].data};
    for (int64_t i = 0; i < s->queries; i++)
        tern_int8_attend_row(&a, (const int8_t *)call->in[0].data + (p * s->queries + i) * s->width, scratch,
                             (int8_t *)call->out[0].data + (p * s->queries + i) * s->out);
}

static void attention_run(const tern_call *call)
{
    attention_sizes s = sizes_of(call);
    for (int64_t p = 0; p < s.products; p++) attend(call, &s, p, call->scratch);
    if (call->counter) attention_work(call, call->counter);
}

static size_t row_bytes(const attention_sizes *s)
{
    return (size_t)(s->keys + s->out) * sizeof(int32_t);
}

static size_t attention_scratch(const tern_call *call)
{
    attention_sizes s = sizes_of(call);
    return row_bytes(&s);
}

static tern_status attention_emit(const tern_call *call, tern_emit *to)
{
    attention_sizes s = sizes_of(call);
    long long n = s.queries, m = s.keys, d = s.width, e = s.out;
    tern_text_format(to->text,
                     "    for (int product = 0; product < %lld; product++)\n"
                     "    for (int i = product * %lld; i < (product + 1) * %lld; i++)\n"
                     "        attend_row(%lld, %lld, %lld, in0 + i * %lld, in1 + product * %lld, %lld, in2 + "
                     "product * %lld, %lld, in3, in4, scratch, out0 + i * %lld);\n",
                     (long long)s.products, n, n, m, d, e, d, m * d, d, m * e, e, e);
    return TERN_OK;
}

/* ---- the same, a product a task ------------------------------------------------------------------------------------ */

typedef struct attention_job {
    const tern_call *call;
    attention_sizes sizes;
} attention_job;

static void attention_task(void *context, int64_t p, int thread)
{
    const attention_job *j = context;
    (void)thread;
    attend(j->call, &j->sizes, p, (int32_t *)j->call->scratch + p * (j->sizes.keys + j->sizes.out));
}

static void attention_fast(const tern_call *call)
{
    attention_job j = {call, sizes_of(call)};
    tern_pool_run(call->pool, j.sizes.products, attention_task, &j);
}

static size_t attention_fast_scratch(const tern_call *call)
{
    attention_sizes s = sizes_of(call);
    return (size_t)s.products * row_bytes(&s);
}

static bool matches(const tern_call *call)
{
    return call->in[0].dtype == TERN_I8;
}

static const tern_fast attention_kernels[] = {{"products", matches, attention_fast_scratch, attention_fast},
                                              {0}};

const tern_op tern_op_attention_int8 = {
    .name = "attention_int8",
    .doc = "softmax(q k^T) v of bytes, with 32-bit scores and a table of exponentials",
    .infer = attention_infer,
    .work = attention_work,
    .run = attention_run,
    .scratch = attention_scratch,
    .emit = attention_emit,
    .fast = attention_kernels,
};
