/* llm: a decoder against llama.cpp's logits; chunks, rewinding, a full context, files that lack what is needed, memory that
 * fails; products with packed weights against their definition on each instruction set. */
#define _DEFAULT_SOURCE
#include "test.h"

#include "kernel/attend.h"
#include "kernel/packed.h"
#include "kernel/table.h"
#include "llm/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOKENS = 12, VOCABULARY = 48 };
static const int32_t tokens[TOKENS] = {3, 17, 0, 47, 17, 21, 5, 5, 40, 2, 11, 30};
static float *expected; /* [TOKENS,VOCABULARY] */

static const char *tiny(void)
{
    return TERN_TESTS "/golden/decoder/llama.gguf";
}

static tern_llm *open_tiny(tern_llm_options options)
{
    tern_llm *llm;
    assert_ok(tern_llm_open(&llm, tiny(), &options));
    return llm;
}

static void assert_logits(const float *logits, int position, double tolerance)
{
    for (int i = 0; i < VOCABULARY; i++) {
        double want = (double)expected[position * VOCABULARY + i];
        if (fabs((double)logits[i] - want) > tolerance)
            fail_msg("logit %d behind token %d is %.7g, expected %.7g", i, position, (double)logits[i], want);
    }
}

/* One by one, all at once, and in chunks that are not filled; with fast and reference kernels. */
static void test_logits(void **state)
{
    (void)state;
    const float *logits;
    for (int way = 0; way < 4; way++) {
        tern_llm *llm = open_tiny((tern_llm_options){.chunk = way == 2 ? 5 : 0, .reference = way == 3});
        if (way == 0 || way == 3) {
            for (int i = 0; i < TOKENS; i++) {
                assert_ok(tern_llm_feed(llm, tokens + i, 1, &logits));
                assert_logits(logits, i, 1e-4);
            }
        } else {
            assert_ok(tern_llm_feed(llm, tokens, TOKENS, &logits));
            assert_logits(logits, TOKENS - 1, 1e-4);
        }
        tern_llm_close(llm);
    }
}

/* Others, in chunks: each against what llama.cpp makes of it, whose GELU rounds to half precision. */
static void test_architectures(void **state)
{
    static const struct {
        const char *name;
        double tolerance;
    } models[] = {{"llama-yarn", 1e-4}, {"gemma3", 3e-3}};
    (void)state;
    float *llama = expected;
    for (size_t i = 0; i < TERN_COUNT(models); i++) {
        for (int way = 0; way < 3; way++) {
            char path[512];
            size_t count;
            const float *logits;
            tern_llm *llm;
            snprintf(path, sizeof path, TERN_TESTS "/golden/decoder/%s.f32", models[i].name);
            assert_ok(tern_read_file(path, (char **)&expected, &count));
            assert_int_equal(count, TOKENS * VOCABULARY * sizeof(float));
            snprintf(path, sizeof path, TERN_TESTS "/golden/decoder/%s.gguf", models[i].name);
            assert_ok(tern_llm_open(&llm, path, &(tern_llm_options){.chunk = 5, .reference = way == 2}));
            for (int t = 0; way == 0 && t < TOKENS; t++) {
                assert_ok(tern_llm_feed(llm, tokens + t, 1, &logits));
                assert_logits(logits, t, models[i].tolerance);
            }
            if (way > 0) {
                assert_ok(tern_llm_feed(llm, tokens, TOKENS, &logits));
                assert_logits(logits, TOKENS - 1, models[i].tolerance);
            }
            tern_llm_close(llm);
            tern_release(expected);
        }
    }
    expected = llama;
}

static void test_half_cache(void **state)
{
    (void)state;
    const float *logits;
    tern_llm *llm = open_tiny((tern_llm_options){.cache = TERN_F16});
    assert_ok(tern_llm_feed(llm, tokens, TOKENS, &logits));
    assert_logits(logits, TOKENS - 1, 0.03);
    tern_llm_close(llm);
}

static void test_rewind(void **state)
{
    (void)state;
    const float *logits;
    static const int32_t other[3] = {1, 2, 3};
    tern_llm *llm = open_tiny((tern_llm_options){.chunk = 4});
    assert_ok(tern_llm_feed(llm, tokens, 6, &logits));
    assert_ok(tern_llm_feed(llm, other, 3, &logits));
    tern_llm_rewind(llm, 6);
    assert_int_equal(tern_llm_position(llm), 6);
    assert_ok(tern_llm_feed(llm, tokens + 6, TOKENS - 6, &logits));
    assert_logits(logits, TOKENS - 1, 1e-4);
    tern_llm_close(llm);
}

/* Tokens whose logits are asked for together have the bits that they have one by one. */
static void test_alike(void **state)
{
    (void)state;
    const float *logits;
    float one_by_one[TOKENS * VOCABULARY];
    for (int half = 0; half < 2; half++) {
        tern_dtype cache = half ? TERN_F16 : TERN_F32;
        tern_llm *a = open_tiny((tern_llm_options){.cache = cache}), *b;
        b = open_tiny((tern_llm_options){.cache = cache, .each = TERN_ALIKE});
        for (int i = 0; i < TOKENS; i++) {
            assert_ok(tern_llm_feed(a, tokens + i, 1, &logits));
            memcpy(one_by_one + i * VOCABULARY, logits, VOCABULARY * sizeof(float));
        }
        assert_ok(tern_llm_feed_each(b, tokens, TOKENS, &logits));
        assert_memory_equal(logits, one_by_one, sizeof one_by_one);
        tern_llm_close(a);
        tern_llm_close(b);
    }
}

static void test_limits(void **state)
{
    (void)state;
    const float *logits;
    static const int32_t wrong[2] = {3, 48};
    tern_llm *llm = open_tiny((tern_llm_options){.context = 8});
    assert_error(tern_llm_feed(llm, wrong, 2, &logits), TERN_USAGE, "token 1 is 48, expected 0 to 47");
    assert_error(tern_llm_feed(llm, tokens, 0, &logits), TERN_USAGE, "no token");
    assert_error(tern_llm_feed(llm, tokens, 9, &logits), TERN_NO_FIT, "exceed the context of 8");
    assert_ok(tern_llm_feed(llm, tokens, 8, &logits));
    assert_logits(logits, 7, 1e-4);
    assert_error(tern_llm_feed(llm, tokens, 1, &logits), TERN_NO_FIT, "1 tokens behind 8");
    double weights, cache, arena;
    tern_llm_memory(llm, &weights, &cache, &arena);
    assert_true(cache == 2 * 2 * 8 * 16 * 4 && weights > 80000 && arena > 0);
    tern_llm_close(llm);
}

/* The tiny model without a tensor or an entry, or with a tensor of another shape. */
static void expect_without(const char *tensor, const char *key, const char *reshaped, const char *message)
{
    tern_weights w;
    tern_llm *llm;
    assert_ok(tern_weights_open(&w, tiny()));
    tern_gguf_content c = {.metas = w.metas, .tensors = w.tensors, .names = w.names};
    for (int i = 0; i < w.meta_count; i++)
        if (!key || strcmp(w.metas[i].key, key) != 0) w.metas[c.meta_count++] = w.metas[i];
    for (int i = 0; i < w.count; i++) {
        if (tensor && strcmp(w.names[i], tensor) == 0) continue;
        w.names[c.count] = w.names[i];
        w.tensors[c.count] = w.tensors[i];
        if (reshaped && strcmp(w.names[i], reshaped) == 0) w.tensors[c.count].shape.dim[0] /= 2;
        c.count++;
    }
    assert_ok(tern_gguf_write("without.gguf", &c));
    assert_error(tern_llm_open(&llm, "without.gguf", &(tern_llm_options){0}), TERN_FAILED, message);
    tern_weights_close(&w);
    unlink("without.gguf");
}

static void test_lacking(void **state)
{
    (void)state;
    expect_without("blk.1.ffn_up.weight", NULL, NULL, "no tensor \"blk.1.ffn_up.weight\"");
    expect_without("token_embd.weight", NULL, NULL, "no table \"token_embd.weight\"");
    expect_without(NULL, "llama.block_count", NULL, "does not say llama.block_count");
    expect_without(NULL, "general.architecture", NULL, "does not say \"general.architecture\"");
    expect_without(NULL, NULL, "blk.0.attn_k.weight", "\"blk.0.attn_k.weight\" is [8,32], expected [16,32]");
}

/* An architecture that is not known is named, and so are those that are. */
static void test_unknown(void **state)
{
    (void)state;
    tern_weights w;
    tern_llm *llm;
    static uint8_t name[8 + 5] = {5, 0, 0, 0, 0, 0, 0, 0, 'b', 'l', 'o', 'o', 'm'};
    assert_ok(tern_weights_open(&w, tiny()));
    for (int i = 0; i < w.meta_count; i++)
        if (strcmp(w.metas[i].key, "general.architecture") == 0) w.metas[i].data = name, w.metas[i].size = 13;
    tern_gguf_content c = {w.metas, w.meta_count, w.tensors, w.names, w.count, NULL, NULL};
    assert_ok(tern_gguf_write("unknown.gguf", &c));
    assert_error(
        tern_llm_open(&llm, "unknown.gguf", &(tern_llm_options){0}), TERN_FAILED,
        "the architecture is \"bloom\"; those that can be run are llama, qwen2, qwen3, phi3, gemma2, gemma3");
    tern_weights_close(&w);
    unlink("unknown.gguf");
}

static tern_status memory_job(void)
{
    tern_llm *llm;
    const float *logits;
    TERN_TRY(tern_llm_open(&llm, tiny(), &(tern_llm_options){.chunk = 4, .copied = true}));
    tern_status status = tern_llm_feed(llm, tokens, 5, &logits);
    tern_llm_close(llm);
    return status;
}

static void test_memory(void **state)
{
    (void)state;
    assert_survives_out_of_memory(memory_job());
}

/* ---- products with packed weights -------------------------------------------------------------------------------- */

static const tern_dtype formats[] = {TERN_F16,  TERN_BF16, TERN_Q4_0, TERN_Q4_1,    TERN_Q5_0,
                                     TERN_Q5_1, TERN_Q8_0, TERN_Q2_K, TERN_Q3_K,    TERN_Q4_K,
                                     TERN_Q5_K, TERN_Q6_K, TERN_NF4,  TERN_TERNARY, TERN_NF4X2};

/* x in 8 bits by its definition: see kernel/packed.h.  sums[b] takes the place of the sum of block b. */
static void round_by_definition(const float *x, int64_t k, int block, double *out, double *sums)
{
    for (int64_t b = 0; b < k; b += block) {
        float most = 0;
        for (int64_t i = b; i < k && i < b + block; i++) most = fmaxf(most, fabsf(x[i]));
        float d = most / 127;
        double scale = block == 256 ? (double)d : (double)tern_f16_to_f32(tern_f32_to_f16(d));
        double sum = 0;
        for (int64_t i = b; i < k && i < b + block; i++) {
            double q = most > 0 ? (double)nearbyintf(x[i] * (127 / most)) : 0;
            out[i] = scale * q;
            sum += q;
        }
        sums[b / block] = (double)tern_f16_to_f32(tern_f32_to_f16(d * (float)sum));
    }
}

/* What q4_1 and q5_1 gain over the sum of products: the least value of a block, m, is multiplied by a sum of x that is rounded
 * to half precision. */
static double gained(const tern_tensor *w, int64_t row, int64_t k, const double *rounded, const double *sums)
{
    double gain = 0;
    size_t bytes = (size_t)tern_dtype_of(w->dtype)->bytes;
    const uint8_t *block = (const uint8_t *)w->data + (size_t)(row * k / 32) * bytes;
    for (int64_t b = 0; b < k / 32; b++, block += bytes) {
        double sum = 0;
        for (int i = 0; i < 32; i++) sum += rounded[b * 32 + i];
        gain += (double)tern_f16_to_f32((uint16_t)(block[2] | block[3] << 8)) * (sums[b] - sum);
    }
    return gain;
}

static double as_bf16(double x)
{
    return (double)tern_bf16_to_f32(tern_f32_to_bf16((float)x));
}

/* x w on tiles: both in bf16; halves and the x that meets them as sums of two bf16, without the product of both second ones. */
static double on_tiles(tern_dtype dtype, double x, double w)
{
    double x1 = as_bf16(x), w1 = as_bf16(w), low = as_bf16(x - x1) * w1 + x1 * as_bf16(w - w1);
    return x1 * w1 + (dtype == TERN_F16 || dtype == TERN_BF16 ? low : 0);
}

/* Rows of a prompt, where there are tiles for them: the same bits of a row whatever stands beside it. */
static void check_many(tern_packed_product p, const double *values, tern_tensor *y, tern_tensor *again,
                       tern_pool *pool)
{
    int64_t rows = p.rows;
    p.many = true;
    void *scratch = tern_take(tern_packed_scratch(&p));
    p.y = y->data;
    tern_packed_run(NULL, &p, scratch);
    p.y = again->data;
    tern_packed_run(pool, &p, scratch);
    assert_memory_equal(y->data, again->data, (size_t)(rows * p.n) * sizeof(float));
    p.rows = 1;
    tern_packed_run(NULL, &p, scratch);
    assert_memory_equal(y->data, again->data, (size_t)p.n * sizeof(float));
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < p.n; j++) {
            double sum = p.bias ? (double)p.bias[j] : 0, size = 1e-3 + fabs(sum);
            for (int64_t i = 0; i < p.k; i++) {
                double term = on_tiles(p.dtype, (double)p.x[r * p.k + i], values[j * p.k + i]);
                sum += term;
                size += fabs(term);
            }
            double error = fabs((double)((float *)y->data)[r * p.n + j] - sum) / size;
            if (error > 2e-6)
                fail_msg("%s, many: %lld rows, n %lld, k %lld: error %g", tern_dtype_of(p.dtype)->name,
                         (long long)rows, (long long)p.n, (long long)p.k, error);
        }
    tern_release(scratch);
}

typedef struct product_sizes {
    int64_t rows, n, k;
} product_sizes;

static product_sizes draw_sizes(tern_dtype dtype, tern_rng rng, uint64_t *drawn)
{
    bool flat = dtype == TERN_NF4 || dtype == TERN_NF4X2;
    int unit = flat || tern_dtype_of(dtype)->block < 32 ? 1 : tern_dtype_of(dtype)->block;
    bool large = tern_rng_below(rng, (*drawn)++, 8) == 0; /* more rows and columns than are taken at once */
    int64_t rows = 1 + (int64_t)tern_rng_below(rng, (*drawn)++, large ? 50 : 9),
            n = 1 + (int64_t)tern_rng_below(rng, (*drawn)++, 70);
    int blocks = unit == 256 ? 5 : unit == 1 ? 300 : 30;
    int64_t k = (large ? 2048 : 0) + unit * (1 + (int64_t)tern_rng_below(rng, (*drawn)++, blocks));
    return (product_sizes){rows, n, k};
}

static void check_product(tern_dtype dtype, product_sizes s, tern_rng rng, uint64_t *drawn, tern_pool *pool)
{
    int block = 0;
    int64_t rows = s.rows, n = s.n, k = s.k;
    tern_tensor x, w, bias, y, again;
    assert_ok(tern_tensor_new(&x, TERN_F32, &TERN_SHAPE(rows, k)));
    assert_ok(tern_tensor_new(&w, dtype, &TERN_SHAPE(n, k)));
    assert_ok(tern_tensor_new(&bias, TERN_F32, &TERN_SHAPE(n)));
    assert_ok(tern_tensor_new(&y, TERN_F32, &TERN_SHAPE(rows, n)));
    assert_ok(tern_tensor_new(&again, TERN_F32, &TERN_SHAPE(rows, n)));
    double *values = malloc((size_t)(n * k) * sizeof *values), *rounded = malloc((size_t)k * sizeof *rounded);
    double *sums = malloc((size_t)k * sizeof *sums);
    for (int64_t i = 0; i < n * k; i++) values[i] = tern_rng_normal(rng, (*drawn)++) * 0.1;
    for (int64_t i = 0; i < rows * k; i++) ((float *)x.data)[i] = (float)tern_rng_normal(rng, (*drawn)++);
    for (int64_t i = 0; i < n; i++) ((float *)bias.data)[i] = (float)tern_rng_normal(rng, (*drawn)++);
    tern_dtype_of(dtype)->encode(w.data, 0, n * k, values);
    tern_dtype_of(dtype)->decode(w.data, 0, n * k, values);
    bool with_bias = tern_rng_below(rng, (*drawn)++, 2);
    tern_packed_product p = {
        .rows = rows, .n = n, .k = k, .dtype = dtype, .x = x.data, .w = w.data, .y = y.data};
    p.bias = with_bias ? bias.data : NULL;
    void *scratch = tern_take(tern_packed_scratch(&p) + 64);
    tern_packed_run(NULL, &p, scratch);
    p.y = again.data;
    tern_packed_run(pool, &p, scratch);
    assert_memory_equal(y.data, again.data, (size_t)(rows * n) * sizeof(float));
    bool rounds = tern_packed_rounds(dtype, &block);
    bool alike = rounds || dtype == TERN_NF4 || dtype == TERN_NF4X2 ||
                 ((dtype == TERN_F16 || dtype == TERN_BF16) && rows <= TERN_ALIKE);
    p.rows = alike ? 1 : 0; /* the bits of a row do not depend on those that stand beside it */
    tern_packed_run(NULL, &p, scratch);
    assert_memory_equal(y.data, again.data, (size_t)(p.rows * n) * sizeof(float));
    if (rounds) assert_int_equal(tern_packed_arithmetic(dtype), TERN_I8);
    bool half = dtype == TERN_F16 || dtype == TERN_BF16,
         tiles = half && tern_packed_many(dtype) && rows > TERN_ALIKE;
    for (int64_t r = 0; r < rows; r++) {
        const float *row = (const float *)x.data + r * k;
        for (int64_t i = 0; i < k; i++) rounded[i] = (double)row[i];
        if (rounds) round_by_definition(row, k, block, rounded, sums);
        for (int64_t j = 0; j < n; j++) {
            double sum = with_bias ? (double)((float *)bias.data)[j] : 0, size = 1e-3 + fabs(sum);
            for (int64_t i = 0; i < k; i++) {
                double value = values[j * k + i],
                       term = tiles ? on_tiles(dtype, rounded[i], value) : rounded[i] * value;
                sum += term;
                size += fabs(term);
            }
            if (rounds && (dtype == TERN_Q4_1 || dtype == TERN_Q5_1)) sum += gained(&w, j, k, rounded, sums);
            double error = fabs((double)((float *)y.data)[r * n + j] - sum) / size;
            if (error > 2e-6)
                fail_msg("%s (%s): %lld rows, n %lld, k %lld: error %g", tern_dtype_of(dtype)->name,
                         tern_isa_name(), (long long)rows, (long long)n, (long long)k, error);
        }
    }
    p.rows = rows;
    if (tern_packed_many(dtype)) check_many(p, values, &y, &again, pool);
    free(values);
    free(rounded);
    free(sums);
    tern_release(scratch);
    tern_tensor_free(&x);
    tern_tensor_free(&w);
    tern_tensor_free(&bias);
    tern_tensor_free(&y);
    tern_tensor_free(&again);
}

static void test_packed_products(void **state)
{
    (void)state;
    tern_pool *pool;
    const char *name;
    bool usable;
    assert_ok(tern_pool_open(&pool, 2));
    for (int i = 0; (name = tern_isa_known(i, &usable)) != NULL; i++) {
        tern_rng rng = {21, (uint64_t)i};
        uint64_t drawn = 0;
        if (!usable) continue;
        assert_ok(tern_isa_select(name));
        for (int round = 0; round < 225; round++) {
            tern_dtype dtype = formats[round % (int)TERN_COUNT(formats)];
            check_product(dtype, draw_sizes(dtype, rng, &drawn), rng, &drawn, pool);
        }
        /* more than the rows of x and of W that are taken at once */
        check_product(TERN_Q8_0, (product_sizes){515, 70, 288}, rng, &drawn, pool);
        check_product(TERN_Q4_K, (product_sizes){35, 1060, 256}, rng, &drawn, pool);
        /* and than the columns */
        check_product(TERN_Q4_0, (product_sizes){37, 35, 1120}, rng, &drawn, pool);
        check_product(TERN_Q6_K, (product_sizes){35, 33, 1280}, rng, &drawn, pool);
        check_product(TERN_F16, (product_sizes){49, 70, 611}, rng, &drawn, pool);
        /* rows that begin with a block, and more blocks than are taken at once */
        check_product(TERN_NF4, (product_sizes){6, 35, 320}, rng, &drawn, pool);
        check_product(TERN_NF4X2, (product_sizes){9, 70, 704}, rng, &drawn, pool);
        check_product(TERN_NF4, (product_sizes){1, 3, 64 * 259}, rng, &drawn, pool);
        check_product(TERN_NF4X2, (product_sizes){5, 3, 64 * 259}, rng, &drawn, pool);
    }
    assert_ok(tern_isa_select(NULL));
    tern_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),     cmocka_unit_test(test_architectures),
        cmocka_unit_test(test_half_cache), cmocka_unit_test(test_rewind),
        cmocka_unit_test(test_alike),      cmocka_unit_test(test_limits),
        cmocka_unit_test(test_lacking),    cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_memory),     cmocka_unit_test(test_packed_products),
    };
    size_t count;
    if (tern_read_file(TERN_TESTS "/golden/decoder/llama.f32", (char **)&expected, &count) != TERN_OK)
        return 1;
    int failed = cmocka_run_group_tests_name("llm", tests, NULL, NULL);
    tern_release(expected);
    return failed;
}
