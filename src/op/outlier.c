/* LLM.int8(): rows of activations and of weights in signed bytes, with the few columns that hold outliers apart. */
#include "op/outlier.h"

#include "op/op.h"

#include <math.h>

enum { X, W, SCALE, BIAS, EXACT, COLUMNS };

static const char *const scales[] = {"row", "together", "zero-point", NULL};
static const tern_arg outlier_args[] = {
    TERN_ARG(tern_outlier_args, threshold, TERN_ARG_REAL,
             "columns with an element of this magnitude are apart; 0: none"),
    {"by", TERN_ARG_CHOICE, offsetof(tern_outlier_args, by), "what shares a scale of x", scales},
    {0},
};

static bool is_list(const tern_type *t, tern_dtype dtype, int64_t count)
{
    return t && t->dtype == dtype && t->shape.rank == 1 && t->shape.dim[0] == count;
}

static tern_status outlier_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 3, 6));
    const tern_type *x = types->in[X], *w = types->in[W];
    const tern_type *more[6] = {0};
    int r = x->shape.rank;
    char tx[96], tw[96];
    for (int i = 0; i < types->nin; i++) more[i] = types->in[i];
    if (w->dtype != TERN_I8 || x->dtype == TERN_BIT)
        return tern_infer_fail(types, "x is %s and W %s, expected numbers and i8",
                               tern_dtype_of(x->dtype)->name, tern_dtype_of(w->dtype)->name);
    if (r < 1 || w->shape.rank != 2 || x->shape.dim[r - 1] != w->shape.dim[1] || w->shape.dim[1] > 131071)
        return tern_infer_fail(types,
                               "x %s and W %s do not match: expected x [..,K] and W [N,K], K below 131072",
                               tern_shape_text(tx, &x->shape), tern_shape_text(tw, &w->shape));
    int64_t n = w->shape.dim[0];
    bool exact = more[EXACT] && more[COLUMNS];
    if (!is_list(more[SCALE], TERN_F32, n) || (more[BIAS] && !is_list(more[BIAS], TERN_F32, n)))
        return tern_infer_fail(types, "expected scale and bias [%lld] in f32", (long long)n);
    if (!more[EXACT] != !more[COLUMNS] ||
        (exact && (more[EXACT]->shape.rank != 2 || more[EXACT]->shape.dim[0] != n ||
                   !is_list(more[COLUMNS], TERN_I32, more[EXACT]->shape.dim[1]))))
        return tern_infer_fail(types, "expected exact columns [%lld,E] and their numbers [E] in i32",
                               (long long)n);
    tern_shape y = x->shape;
    y.dim[r - 1] = n;
    tern_infer_out(types, TERN_F32, y);
    return TERN_OK;
}

/* ---- the definition ------------------------------------------------------------------------------------------------- */

typedef struct outlier_sizes {
    int64_t rows, n, k;
} outlier_sizes;

static outlier_sizes sizes_of(const tern_call *call)
{
    const tern_shape *x = &call->in[X].shape, *w = &call->in[W].shape;
    return (outlier_sizes){tern_elements_upto(x, x->rank - 1), w->dim[0], w->dim[1]};
}

static bool is_outlier(const tern_call *call, double x)
{
    double threshold = TERN_ARGS(tern_outlier_args, call)->threshold;
    return threshold > 0 && fabs(x) >= threshold;
}

/* apart[k]: 1 where a column is. */
static void find_columns(const tern_call *call, outlier_sizes s, double *apart)
{
    int64_t count = 0;
    for (int64_t k = 0; k < s.k; k++) {
        apart[k] = 0;
        for (int64_t r = 0; r < s.rows; r++)
            if (is_outlier(call, tern_get(&call->in[X], r * s.k + k))) apart[k] = 1;
        count += apart[k] > 0;
    }
    for (int64_t k = 0; 8 * count > s.k && k < s.k; k++) apart[k] = 1;
}

/* x ~ step q + shift with q whole: the step and shift of a row, and what x less the lowest is multiplied by; in the
 * precision of f32, because a rounding that falls otherwise is another result. */
typedef struct byte_code {
    float step, shift, low, inverse;
    int lowest; /* q of x = low */
} byte_code;

static byte_code code_of(const tern_call *call, outlier_sizes s, int64_t row)
{
    tern_byte_scale by = TERN_ARGS(tern_outlier_args, call)->by;
    int64_t first = by == TERN_BYTES_TOGETHER ? 0 : row * s.k,
            last = by == TERN_BYTES_TOGETHER ? s.rows * s.k : first + s.k;
    float low = INFINITY, high = -INFINITY;
    for (int64_t i = first; i < last; i++) {
        double x = tern_get(&call->in[X], i);
        float v = is_outlier(call, x) ? 0 : (float)x;
        low = fminf(low, v);
        high = fmaxf(high, v);
    }
    float most = fmaxf(-low, high), span = high - low;
    if (by != TERN_BYTES_ZERO_POINT)
        return (byte_code){.step = most / 127, .inverse = most > 0 ? 127 / most : 0};
    float step = span / 255;
    return (byte_code){step, 128 * step + low, low, span > 0 ? 255 / span : 0, -128};
}

static double exact_weight(const tern_call *call, int64_t n, int64_t k, outlier_sizes s)
{
    const tern_tensor *exact = call->nin > EXACT ? &call->in[EXACT] : NULL;
    for (int64_t e = 0; exact && exact->data && e < exact->shape.dim[1]; e++)
        if ((int64_t)tern_get(&call->in[COLUMNS], e) == k)
            return tern_get(exact, n * exact->shape.dim[1] + e);
    return tern_get(&call->in[SCALE], n) * tern_get(&call->in[W], n * s.k + k);
}

static void outlier_run(const tern_call *call)
{
    outlier_sizes s = sizes_of(call);
    double *apart = call->scratch;
    bool bias = call->nin > BIAS && call->in[BIAS].data;
    find_columns(call, s, apart);
    for (int64_t r = 0; r < s.rows; r++) {
        byte_code c = code_of(call, s, r);
        for (int64_t n = 0; n < s.n; n++) {
            double sum = 0, ones = 0, rest = bias ? tern_get(&call->in[BIAS], n) : 0;
            for (int64_t k = 0; k < s.k; k++) {
                double x = tern_get(&call->in[X], r * s.k + k), w = tern_get(&call->in[W], n * s.k + k);
                if (apart[k] > 0)
                    rest += x * exact_weight(call, n, k, s);
                else
                    sum += (double)(nearbyintf(((float)x - c.low) * c.inverse) + (float)c.lowest) * w,
                        ones += w;
            }
            rest += tern_get(&call->in[SCALE], n) * ((double)c.step * sum + (double)c.shift * ones);
            tern_set(&call->out[0], r * s.n + n, rest);
            if (call->counter) call->counter->macs += (double)s.k;
        }
    }
}

static size_t outlier_scratch(const tern_call *call)
{
    return (size_t)sizes_of(call).k * sizeof(double);
}

static void outlier_work(const tern_call *call, tern_work *work)
{
    outlier_sizes s = sizes_of(call);
    work->macs += (double)s.rows * (double)s.n * (double)s.k;
}

static tern_product_shape outlier_shape(const tern_call *call)
{
    outlier_sizes s = sizes_of(call);
    return (tern_product_shape){.count = 1, .m = s.rows, .n = s.n, .k = s.k};
}

/* ---- the fast kernel ------------------------------------------------------------------------------------------------ */

static bool outlier_matches(const tern_call *call)
{
    bool exact = call->nin > EXACT && call->in[EXACT].shape.rank;
    return call->in[X].dtype == TERN_F32 && (!exact || call->in[EXACT].dtype == TERN_F32);
}

static tern_outlier_product product_of(const tern_call *call)
{
    const tern_outlier_args *a = call->args;
    outlier_sizes s = sizes_of(call);
    tern_outlier_product p = {.rows = s.rows,
                              .n = s.n,
                              .k = s.k,
                              .x = call->in[X].data,
                              .w = call->in[W].data,
                              .scale = call->in[SCALE].data,
                              .bias = call->nin > BIAS ? call->in[BIAS].data : NULL,
                              .threshold = (float)a->threshold,
                              .by = a->by,
                              .y = call->out[0].data};
    if (call->nin > COLUMNS && call->in[EXACT].data) {
        p.exact = call->in[EXACT].data;
        p.exact_columns = call->in[COLUMNS].data;
        p.exact_count = call->in[EXACT].shape.dim[1];
    }
    return p;
}

static size_t fast_scratch(const tern_call *call)
{
    tern_outlier_product p = product_of(call);
    return tern_outlier_scratch(&p);
}

static void outlier_fast(const tern_call *call)
{
    tern_outlier_product p = product_of(call);
    tern_outlier_run(call->pool, &p, call->scratch);
}

static const tern_fast outlier_kernels[] = {{"bytes", outlier_matches, fast_scratch, outlier_fast}, {0}};

const tern_op tern_op_linear_outlier = {
    .name = "linear_outlier",
    .doc = "x W^T in bytes with scales of rows, outlying columns of x apart (LLM.int8())",
    .args = outlier_args,
    .args_size = sizeof(tern_outlier_args),
    .infer = outlier_infer,
    .work = outlier_work,
    .product = outlier_shape,
    .run = outlier_run,
    .scratch = outlier_scratch,
    .fast = outlier_kernels,
};

tern_value tern_linear_outlier(tern_graph *graph, tern_value x, tern_outlier_weight weight,
                               tern_outlier_args args)
{
    tern_value in[] = {x, weight.w, weight.scale, weight.bias, weight.exact, weight.columns};
    int nin = weight.exact.id ? 6 : weight.bias.id ? 4 : 3;
    return tern_apply(graph, &tern_op_linear_outlier, &args, in, nin, NULL);
}
