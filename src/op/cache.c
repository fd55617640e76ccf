/* Attention over a cache of keys and values: rows are put where their positions say, queries see the rows up to their own
 * position. */
#include "op/cache.h"
#include "op/op.h"

#include "kernel/attend.h"
#include "kernel/cast.h"
#include "tensor/packed.h"

#include <math.h>
#include <string.h>

/* ---- put_rows: cache [C,..], rows [S,..], index [S] i32 -> the cache with rows at their indices; others are left out ---- */

static tern_status put_rows_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    const tern_shape *cache = &types->in[0]->shape, *rows = &types->in[1]->shape,
                     *index = &types->in[2]->shape;
    char a[96], b[96];
    bool match =
        cache->rank >= 1 && cache->rank == rows->rank && index->rank == 1 && index->dim[0] == rows->dim[0];
    for (int d = 1; match && d < cache->rank; d++) match = cache->dim[d] == rows->dim[d];
    if (!match || types->in[2]->dtype != TERN_I32)
        return tern_infer_fail(types, "cache %s, rows %s: expected [C,..], [S,..] and an index [S] in i32",
                               tern_shape_text(a, cache), tern_shape_text(b, rows));
    tern_infer_out(types, types->in[0]->dtype, *cache);
    return TERN_OK;
}

static void put_rows_run(const tern_call *call)
{
    enum { PART = TERN_PACKED_MOST };
    const tern_tensor *cache = &call->in[0], *rows = &call->in[1], *to = &call->out[0];
    int64_t width = tern_elements_from(&cache->shape, 1);
    double part[PART];
    if (to->data != cache->data)
        memcpy(to->data, cache->data, tern_bytes_of(cache->dtype, tern_elements(&cache->shape)));
    for (int64_t s = 0; s < rows->shape.dim[0]; s++) {
        int64_t at = (int64_t)tern_get(&call->in[2], s);
        if (at < 0 || at >= cache->shape.dim[0]) continue;
        for (int64_t done = 0; done < width; done += PART) {
            int64_t count = width - done < PART ? width - done : PART;
            for (int64_t i = 0; i < count; i++) part[i] = tern_get(rows, s * width + done + i);
            tern_dtype_of(to->dtype)->encode(to->data, at * width + done, count, part);
        }
    }
}

/* Of a cache that is overwritten in place only the rows that are put. */
static void put_rows_touched(const tern_call *call, double *in, double *out)
{
    const tern_tensor *index = &call->in[2], *cache = &call->in[0];
    int64_t rows = 0;
    for (int64_t s = 0; index->data && s < index->shape.dim[0]; s++) {
        int64_t at = (int64_t)tern_get(index, s);
        rows += at >= 0 && at < cache->shape.dim[0];
    }
    if (!index->data)
        rows = index->shape.dim[0] < cache->shape.dim[0] ? index->shape.dim[0] : cache->shape.dim[0];
    in[0] = 0;
    out[0] = (double)rows * (double)tern_bytes_of(cache->dtype, tern_elements_from(&cache->shape, 1));
}

static bool put_rows_matches(const tern_call *call)
{
    return call->in[0].dtype == call->in[1].dtype && !tern_dtype_of(call->in[0].dtype)->unpack &&
           call->in[0].dtype != TERN_BIT;
}

static void put_rows_fast(const tern_call *call)
{
    const tern_tensor *cache = &call->in[0], *rows = &call->in[1], *to = &call->out[0];
    size_t width = tern_bytes_of(cache->dtype, tern_elements_from(&cache->shape, 1));
    const int32_t *index = call->in[2].data;
    if (to->data != cache->data) memcpy(to->data, cache->data, width * (size_t)cache->shape.dim[0]);
    for (int64_t s = 0; s < rows->shape.dim[0]; s++)
        if (index[s] >= 0 && index[s] < cache->shape.dim[0])
            memcpy((char *)to->data + width * (size_t)index[s], (const char *)rows->data + width * (size_t)s,
                   width);
}

/* Rows of floats into a cache of another format, of whole blocks. */
static bool encode_rows_matches(const tern_call *call)
{
    return call->in[1].dtype == TERN_F32 && call->in[0].dtype != TERN_F32 && call->in[0].dtype != TERN_BIT &&
           tern_elements_from(&call->in[0].shape, 1) % tern_dtype_of(call->in[0].dtype)->block == 0;
}

static void encode_rows(const tern_call *call)
{
    enum { PART = TERN_PACKED_MOST };
    const tern_tensor *cache = &call->in[0], *rows = &call->in[1], *to = &call->out[0];
    const tern_dtype_info *format = tern_dtype_of(cache->dtype);
    int64_t width = tern_elements_from(&cache->shape, 1);
    const int32_t *index = call->in[2].data;
    double part[PART];
    if (to->data != cache->data)
        memcpy(to->data, cache->data, tern_bytes_of(cache->dtype, tern_elements(&cache->shape)));
    for (int64_t s = 0; s < rows->shape.dim[0]; s++) {
        const float *from = (const float *)rows->data + s * width;
        if (index[s] < 0 || index[s] >= cache->shape.dim[0]) continue;
        if (cache->dtype == TERN_F16) {
            tern_cast_loop(NULL, width, TERN_F32, from, TERN_F16, (uint16_t *)to->data + index[s] * width);
            continue;
        }
        for (int64_t at = 0; at < width; at += PART) {
            int64_t count = width - at < PART ? width - at : PART;
            for (int64_t i = 0; i < count; i++) part[i] = (double)from[at + i];
            format->encode(to->data, index[s] * width + at, count, part);
        }
    }
}

static const tern_fast put_rows_kernels[] = {
    {"copy", put_rows_matches, NULL, put_rows_fast}, {"encode", encode_rows_matches, NULL, encode_rows}, {0}};

const tern_op tern_op_put_rows = {
    .name = "put_rows",
    .doc = "rows at given places of a cache",
    .inplace = {1},
    .infer = put_rows_infer,
    .work = tern_no_work,
    .touched = put_rows_touched,
    .run = put_rows_run,
    .fast = put_rows_kernels,
};

tern_value tern_put_rows(tern_graph *graph, tern_value cache, tern_value rows, tern_value index)
{
    tern_value in[] = {cache, rows, index};
    return tern_apply(graph, &tern_op_put_rows, NULL, in, 3, NULL);
}

/* ---- attend: q [S,H,D], k, v [C,G,D], positions [S] i32, in pages owners [S], table [N,P] i32 -> [S,H,D] ------------- */

static const tern_arg attend_args[] = {
    TERN_ARG(tern_attend_args, scale, TERN_ARG_REAL, "of q k^T"),
    TERN_ARG(tern_attend_args, cap, TERN_ARG_REAL, "scores become cap tanh(score / cap); 0: they stay"),
    TERN_ARG(tern_attend_args, window, TERN_ARG_INT, "rows that a query sees at most; 0: all before it"),
    TERN_ARG(tern_attend_args, page, TERN_ARG_INT, "rows of a page; 0: the cache is one sequence's"),
    {0},
};

/* In pages: whose query it is, and which pages a sequence has. */
static tern_status pages_infer(tern_infer *types)
{
    int page = ((const tern_attend_args *)types->args)->page;
    TERN_TRY(tern_infer_inputs(types, page > 0 ? 6 : 4, page > 0 ? 6 : 4));
    if (page <= 0) return TERN_OK;
    const tern_type *owners = types->in[4], *table = types->in[5];
    char a[96], b[96];
    if (types->in[1]->shape.rank == 3 && types->in[1]->shape.dim[0] % page == 0 &&
        owners->dtype == TERN_I32 && table->dtype == TERN_I32 &&
        tern_shape_equal(&owners->shape, &types->in[3]->shape) && table->shape.rank == 2)
        return TERN_OK;
    return tern_infer_fail(
        types, "owners %s, table %s: expected [S] and [N,P] in i32, and a cache of whole pages of %d",
        tern_shape_text(a, &owners->shape), tern_shape_text(b, &table->shape), page);
}

static tern_status attend_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 4, 6));
    const tern_shape *q = &types->in[0]->shape, *k = &types->in[1]->shape, *p = &types->in[3]->shape;
    char a[96], b[96];
    bool match = q->rank == 3 && k->rank == 3 && tern_shape_equal(k, &types->in[2]->shape) &&
                 q->dim[2] == k->dim[2] && k->dim[1] > 0 && q->dim[1] % k->dim[1] == 0 && p->rank == 1 &&
                 p->dim[0] == q->dim[0];
    if (!match || types->in[3]->dtype != TERN_I32)
        return tern_infer_fail(
            types,
            "q %s, k %s: expected [S,H,D], k and v [C,G,D] with H a multiple of G, and positions [S] "
            "in i32",
            tern_shape_text(a, q), tern_shape_text(b, k));
    TERN_TRY(pages_infer(types));
    tern_infer_out(types, types->in[0]->dtype, *q);
    return TERN_OK;
}

/* Rows that a sequence has room for. */
static int64_t room_of(const tern_call *call)
{
    int page = TERN_ARGS(tern_attend_args, call)->page;
    return page > 0 ? call->in[5].shape.dim[1] * page : call->in[1].shape.dim[0];
}

/* Row c of query s's sequence in the cache, or -1. */
static int64_t row_at(const tern_call *call, int64_t s, int64_t c)
{
    int page = TERN_ARGS(tern_attend_args, call)->page;
    if (page <= 0) return c;
    int64_t owner = (int64_t)tern_get(&call->in[4], s);
    int64_t number = (int64_t)tern_get(&call->in[5], owner * call->in[5].shape.dim[1] + c / page);
    int64_t row = number * page + c % page;
    return number >= 0 && row < call->in[1].shape.dim[0] ? row : -1;
}

/* The rows first..last that query s sees; none when last < first. */
static void rows_seen(const tern_call *call, int64_t s, int64_t *first, int64_t *last)
{
    const tern_attend_args *a = call->args;
    int window = a->window;
    int64_t position = (int64_t)tern_get(&call->in[3], s), rows = room_of(call);
    int64_t owner = a->page > 0 ? (int64_t)tern_get(&call->in[4], s) : 0;
    *last = position < rows ? position : rows - 1;
    if (owner < 0 || (a->page > 0 && owner >= call->in[5].shape.dim[0])) *last = -1;
    *first = window > 0 && *last >= window ? *last - window + 1 : 0;
}

/* One query of one head; weights[C] is scratch. */
static void attend_one(const tern_call *call, int64_t s, int64_t head, double *weights)
{
    const tern_attend_args *a = call->args;
    const tern_tensor *q = &call->in[0], *k = &call->in[1], *v = &call->in[2];
    int64_t heads = q->shape.dim[1], groups = k->shape.dim[1], width = q->shape.dim[2];
    int64_t group = head / (heads / groups), at = (s * heads + head) * width, first, last;
    double most = -INFINITY, sum = 0;
    rows_seen(call, s, &first, &last);
    for (int64_t c = first; c <= last; c++) {
        double score = 0;
        int64_t row = row_at(call, s, c);
        for (int64_t i = 0; row >= 0 && i < width; i++)
            score += tern_get(q, at + i) * tern_get(k, (row * groups + group) * width + i);
        score *= a->scale;
        if (a->cap > 0) score = a->cap * tanh(score / a->cap);
        weights[c] = row >= 0 ? score : -INFINITY;
        most = fmax(most, weights[c]);
    }
    for (int64_t c = first; c <= last; c++) sum += weights[c] = most > -INFINITY ? exp(weights[c] - most) : 0;
    for (int64_t i = 0; i < width; i++) {
        double y = 0;
        for (int64_t c = first; c <= last; c++)
            if (weights[c] > 0)
                y += weights[c] * tern_get(v, (row_at(call, s, c) * groups + group) * width + i);
        tern_set(&call->out[0], at + i, sum > 0 ? y / sum : 0);
    }
    if (!call->counter || last < first) return;
    call->counter->macs += 2 * (double)((last - first + 1) * width);
    call->counter->specials += (double)(last - first + 1);
}

static size_t attend_scratch(const tern_call *call)
{
    return (size_t)room_of(call) * sizeof(double);
}

static void attend_run(const tern_call *call)
{
    for (int64_t s = 0; s < call->in[0].shape.dim[0]; s++)
        for (int64_t h = 0; h < call->in[0].shape.dim[1]; h++) attend_one(call, s, h, call->scratch);
}

/* Without data every query sees the whole cache, or its window. */
static void attend_work(const tern_call *call, tern_work *work)
{
    int64_t queries = call->in[0].shape.dim[0], rows = room_of(call), seen = 0;
    int window = TERN_ARGS(tern_attend_args, call)->window;
    for (int64_t s = 0, first, last; call->in[3].data && s < queries; s++) {
        rows_seen(call, s, &first, &last);
        if (last >= first) seen += last - first + 1;
    }
    if (!call->in[3].data) seen = queries * (window > 0 && window < rows ? window : rows);
    work->macs += 2 * (double)(seen * call->in[0].shape.dim[1] * call->in[0].shape.dim[2]);
    work->specials += (double)(seen * call->in[0].shape.dim[1]);
}

/* The rows of a sequence that some query of it sees. */
static int64_t rows_touched(const tern_call *call, int64_t owner)
{
    int64_t low = room_of(call), high = -1;
    bool pages = TERN_ARGS(tern_attend_args, call)->page > 0;
    for (int64_t s = 0, first, last; s < call->in[0].shape.dim[0]; s++) {
        if (pages && (int64_t)tern_get(&call->in[4], s) != owner) continue;
        rows_seen(call, s, &first, &last);
        if (last < first) continue;
        if (first < low) low = first;
        if (last > high) high = last;
    }
    return high >= low ? high - low + 1 : 0;
}

/* Without data all rows of the cache, or what the windows of so many queries reach over; pages of several sequences are
 * touched by each of them. */
static void attend_touched(const tern_call *call, double *in, double *out)
{
    (void)out;
    const tern_attend_args *a = call->args;
    int64_t queries = call->in[0].shape.dim[0], rows = call->in[1].shape.dim[0], seen = 0;
    int64_t owners = a->page > 0 ? call->in[5].shape.dim[0] : 1;
    for (int64_t n = 0; call->in[3].data && n < owners; n++) seen += rows_touched(call, n);
    if (!call->in[3].data)
        seen = a->window > 0 && a->window + queries - 1 < rows ? a->window + queries - 1 : rows;
    for (int i = 1; i <= 2; i++)
        in[i] = (double)seen *
                (double)tern_bytes_of(call->in[i].dtype, tern_elements_from(&call->in[i].shape, 1));
}

static bool attend_matches(const tern_call *call)
{
    bool cache = call->in[1].dtype == TERN_F32 || call->in[1].dtype == TERN_F16 ||
                 (call->in[1].dtype == TERN_Q8_0 && call->in[1].shape.dim[2] % 32 == 0);
    return call->in[0].dtype == TERN_F32 && cache && call->in[2].dtype == call->in[1].dtype;
}

static void attend_fast(const tern_call *call)
{
    const tern_attend_args *a = call->args;
    const tern_shape *q = &call->in[0].shape, *k = &call->in[1].shape;
    bool pages = a->page > 0;
    tern_attention_run(call->pool, &(tern_attention){.queries = q->dim[0],
                                                     .heads = q->dim[1],
                                                     .width = q->dim[2],
                                                     .rows = k->dim[0],
                                                     .groups = k->dim[1],
                                                     .format = call->in[1].dtype,
                                                     .scale = (float)a->scale,
                                                     .cap = (float)a->cap,
                                                     .window = a->window,
                                                     .q = call->in[0].data,
                                                     .k = call->in[1].data,
                                                     .v = call->in[2].data,
                                                     .positions = call->in[3].data,
                                                     .page = a->page,
                                                     .owners = pages ? call->in[4].data : NULL,
                                                     .table = pages ? call->in[5].data : NULL,
                                                     .sequences = pages ? call->in[5].shape.dim[0] : 0,
                                                     .sequence_pages = pages ? call->in[5].shape.dim[1] : 0,
                                                     .y = call->out[0].data});
}

static const tern_fast attend_kernels[] = {{"blocks", attend_matches, NULL, attend_fast}, {0}};

const tern_op tern_op_attend = {
    .name = "attend",
    .doc = "attention of queries to a cache of keys and values, up to each query's position",
    .args = attend_args,
    .args_size = sizeof(tern_attend_args),
    .infer = attend_infer,
    .work = attend_work,
    .touched = attend_touched,
    .run = attend_run,
    .scratch = attend_scratch,
    .fast = attend_kernels,
};

tern_value tern_attend_with(tern_graph *graph, tern_value q, tern_value k, tern_value v, tern_value positions,
                            tern_attend_args args)
{
    tern_value in[] = {q, k, v, positions};
    tern_shape s = tern_shape_of(graph, q);
    if (args.scale <= 0 && s.rank == 3) args.scale = 1 / sqrt((double)s.dim[2]);
    return tern_apply(graph, &tern_op_attend, &args, in, 4, NULL);
}

tern_value tern_attend_pages(tern_graph *graph, tern_value q, tern_value k, tern_value v,
                             tern_value positions, tern_value owners, tern_value table, tern_attend_args args)
{
    tern_value in[] = {q, k, v, positions, owners, table};
    tern_shape s = tern_shape_of(graph, q);
    if (args.scale <= 0 && s.rank == 3) args.scale = 1 / sqrt((double)s.dim[2]);
    return tern_apply(graph, &tern_op_attend, &args, in, 6, NULL);
}
