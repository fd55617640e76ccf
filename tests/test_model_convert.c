/* Model files in other number formats: errors against the elements themselves, the same bytes on any number of threads, what is
 * refused, metadata there and back, memory that fails. */
#define _DEFAULT_SOURCE
#include "test.h"

#include "llm/convert.h"
#include "llm/model.h"
#include "llm/window.h"
#include "op/op.h"
#include "op/outlier.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const llama = TERN_TESTS "/golden/decoder/llama.gguf";

static tern_status convert(const char *from, const char *format, bool lossy, const char *to, tern_pool *pool,
                           tern_model_changes *changes)
{
    tern_model_format f = {.threshold = 6, .lossy = lossy};
    tern_weights w;
    TERN_TRY(tern_model_format_find(format, &f));
    TERN_TRY(tern_weights_open(&w, from));
    tern_status status = tern_model_convert(&w, &f, to, pool, changes);
    for (int i = 0; status == TERN_OK && i < changes->count; i++)
        changes->list[i].name = NULL; /* of the weights */
    tern_weights_close(&w);
    return status;
}

static void assert_same_files(const char *a, const char *b)
{
    char *one, *other;
    size_t n, m;
    assert_ok(tern_read_file(a, &one, &n));
    assert_ok(tern_read_file(b, &other, &m));
    assert_int_equal(n, m);
    assert_memory_equal(one, other, n);
    tern_release(one);
    tern_release(other);
}

/* What is reported of tensor i is what the two files say. */
static void check_error(const tern_model_change *c, const tern_tensor *old, const tern_tensor *new,
                        const tern_tensor *scale)
{
    double squares = 0, errors = 0, most = 0;
    int64_t n = tern_elements(&old->shape), columns = old->shape.dim[old->shape.rank - 1];
    for (int64_t i = 0; i < n; i++) {
        double x = tern_get(old, i), y = tern_get(new, i) * (scale ? tern_get(scale, i / columns) : 1);
        squares += x * x;
        errors += (y - x) * (y - x);
        most = fmax(most, fabs(y - x));
    }
    assert_true(fabs(tern_recoding_error(&c->error) - sqrt(errors / squares)) < 1e-9);
    assert_true(fabs(c->error.most - most) < 1e-12);
}

static void check_format(const char *format, const char *path, tern_pool *pool)
{
    tern_model_changes changes, again;
    tern_weights old, new;
    assert_ok(convert(llama, format, false, path, NULL, &changes));
    assert_ok(convert(llama, format, false, "again", pool, &again));
    if (strcmp(path, "c.gguf") == 0) assert_same_files(path, "again");
    assert_ok(tern_weights_open(&old, llama));
    assert_ok(tern_weights_open(&new, path));
    assert_int_equal(changes.count, old.count);
    double bytes = 0;
    for (int i = 0; i < old.count; i++) {
        char scale[96];
        const tern_tensor *t = tern_weights_find(&new, old.names[i]);
        snprintf(scale, sizeof scale, "%.*s.scale", (int)strlen(old.names[i]) - 7, old.names[i]);
        assert_non_null(t);
        assert_int_equal(t->dtype, changes.list[i].to);
        assert_true(tern_shape_equal(&t->shape, &old.tensors[i].shape));
        check_error(&changes.list[i], &old.tensors[i], t,
                    t->dtype == TERN_I8 ? tern_weights_find(&new, scale) : NULL);
        bytes += changes.list[i].bytes;
        assert_true(changes.list[i].error.most == again.list[i].error.most);
    }
    for (int i = 0; i < new.count; i++)
        bytes -= (double)tern_bytes_of(new.tensors[i].dtype, tern_elements(&new.tensors[i].shape));
    assert_true(bytes == 0);
    tern_weights_close(&old);
    tern_weights_close(&new);
    tern_model_changes_free(&changes);
    tern_model_changes_free(&again);
}

static void test_formats(void **state)
{
    (void)state;
    static const char *const formats[] = {"f32",     "f16",  "bf16",  "q4_0",        "q4_1", "q5_0",
                                          "q5_1",    "q8_0", "q2_K",  "q3_K",        "q4_K", "q6_K",
                                          "ternary", "nf4",  "nf4x2", "int8-outlier"};
    tern_pool *pool;
    assert_ok(tern_pool_open(&pool, 3));
    for (size_t i = 0; i < TERN_COUNT(formats); i++) check_format(formats[i], "c.gguf", pool);
    for (int i = 0; i < 3; i++) check_format(formats[i], "c.safetensors", pool);
    check_format("int8-outlier", "c.safetensors", pool);
    tern_pool_close(pool);
    unlink("c.gguf");
    unlink("c.safetensors");
    unlink("again");
}

/* GGUF to safetensors and back are the same bytes, but for the type that a file of f32 is given. */
static void test_there_and_back(void **state)
{
    (void)state;
    tern_model_changes changes;
    static const char *const way[] = {"there.gguf", "there.safetensors", "back.gguf"};
    const char *from = llama;
    for (int i = 0; i < 3; i++) {
        assert_ok(convert(from, "f32", false, way[i], NULL, &changes));
        tern_model_changes_free(&changes);
        from = way[i];
    }
    tern_weights w;
    assert_ok(tern_weights_open(&w, way[1]));
    const tern_meta *m = tern_weights_meta(&w, "llama.rope.scaling.factor");
    assert_true(m && m->kind == TERN_META_F32 && tern_meta_number(m, 0) == 2);
    tern_weights_close(&w);
    assert_same_files(way[0], way[2]);
    for (int i = 0; i < 3; i++) unlink(way[i]);
}

/* Rows of bytes by their definition. */
static void test_rows(void **state)
{
    (void)state;
    static const float x[3][4] = {{1, -2, 0.5F, 0.004F}, {0, 0, 0, 0}, {-300, 100, 2, 0}};
    static const int8_t rows[3][4] = {{64, -127, 32, 0}, {0, 0, 0, 0}, {-127, 42, 1, 0}},
                        whole[3][4] = {{0, -1, 0, 0}, {0, 0, 0, 0}, {-127, 42, 1, 0}};
    for (int together = 0; together < 2; together++) {
        int8_t q[3][4];
        float scale[3];
        tern_recoding r;
        tern_tensor from = {TERN_F32, TERN_SHAPE(3, 4), (void *)(uintptr_t)x},
                    to = {TERN_I8, TERN_SHAPE(3, 4), q};
        assert_ok(tern_recode_rows(NULL, &from, together, &to, scale, &r));
        assert_memory_equal(q, together ? whole : rows, sizeof q);
        assert_true(scale[0] == (together ? 300 : 2) / 127.0F && scale[2] == 300 / 127.0F);
        assert_true(together || scale[1] == 1);
    }
}

/* A file of one tensor with these elements. */
static void write_one(const char *path, tern_dtype dtype, const float *x, int64_t n)
{
    tern_tensor t;
    const char *name = "blk.0.attn_q.weight";
    assert_ok(tern_tensor_new(&t, dtype, &TERN_SHAPE(1, n)));
    for (int64_t i = 0; i < n; i++) tern_set(&t, i, (double)x[i]);
    assert_ok(tern_gguf_write(path, &(tern_gguf_content){.tensors = &t, .names = &name, .count = 1}));
    tern_tensor_free(&t);
}

static void test_refused(void **state)
{
    (void)state;
    tern_model_changes changes;
    float x[64] = {1, 70000};
    assert_error(convert(llama, "q4_9", false, "o", NULL, &changes), TERN_USAGE,
                 "unknown number format \"q4_9\"");
    assert_error(convert(llama, "i16", false, "o", NULL, &changes), TERN_USAGE, "weights can't be i16");
    assert_error(convert(llama, "q4_0", false, "o.safetensors", NULL, &changes), TERN_USAGE,
                 "safetensors has no q4_0");
    write_one("one.gguf", TERN_F32, x, 64);
    assert_error(convert("one.gguf", "f16", false, "o", NULL, &changes), TERN_FAILED,
                 "1 values are too large for f16");
    assert_ok(convert("one.gguf", "bf16", false, "o", NULL, &changes));
    tern_model_changes_free(&changes);
    x[3] = INFINITY;
    write_one("one.gguf", TERN_F32, x, 64);
    assert_error(convert("one.gguf", "q8_0", false, "p", NULL, &changes), TERN_FAILED,
                 "1 values are infinite");
    assert_true(access("p", F_OK) != 0);
    x[1] = x[3] = 2;
    write_one("one.gguf", TERN_Q4_0, x, 64);
    assert_error(convert("one.gguf", "q8_0", false, "p", NULL, &changes), TERN_USAGE, "give --lossy");
    assert_ok(convert("one.gguf", "f32", false, "o", NULL, &changes));
    tern_model_changes_free(&changes);
    assert_ok(convert("one.gguf", "q8_0", true, "o", NULL, &changes));
    tern_model_changes_free(&changes);
    assert_ok(convert("one.gguf", "int8-outlier", true, "o", NULL, &changes));
    tern_model_changes_free(&changes);
    assert_error(convert("o", "f32", true, "p", NULL, &changes), TERN_FAILED, "scales of their own");
    unlink("one.gguf");
    unlink("o");
}

/* Texts that are no metadata of GGUF are refused where they say that they are. */
static void test_wrong_texts(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "", "u32", "u33 5", "u32 x", "u32[] 5", "text 5", "bool 1", "f32[] [1, \"a\"]", "array [1]"};
    for (size_t i = 0; i < TERN_COUNT(wrong); i++) {
        tern_bundle bundle = {0};
        tern_weights w;
        assert_ok(tern_bundle_add_text(&bundle, "gguf.key", wrong[i]));
        assert_ok(tern_safetensors_write("w.safetensors", &bundle));
        assert_error(tern_weights_open(&w, "w.safetensors"), TERN_FAILED, "expected a type and JSON");
        tern_bundle_free(&bundle);
    }
    unlink("w.safetensors");
}

/* Weights in bytes and in nf4 run: near what f32 gives, or what the decoded weights give; kernels agree with the definitions. */
static void test_run(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        double near;
    } formats[] = {{"int8-outlier", 0.6}, {"nf4", 1e-3}, {"nf4x2", 1e-3}};
    static const int32_t tokens[6] = {3, 17, 0, 47, 17, 21};
    tern_model_changes changes;
    const float *logits;
    for (size_t i = 0; i < TERN_COUNT(formats); i++) {
        float all[3][48];
        assert_ok(convert(llama, formats[i].format, false, "run.gguf", NULL, &changes));
        tern_model_changes_free(&changes);
        if (i > 0) { /* decoded by the codec */
            assert_ok(convert("run.gguf", "f32", false, "f32.gguf", NULL, &changes));
            tern_model_changes_free(&changes);
        }
        for (int way = 0; way < 3; way++) {
            tern_llm *llm;
            assert_ok(tern_llm_open(&llm,
                                    way     ? "run.gguf"
                                    : i > 0 ? "f32.gguf"
                                            : llama,
                                    &(tern_llm_options){.reference = way == 2}));
            assert_ok(tern_llm_feed(llm, tokens, 6, &logits));
            memcpy(all[way], logits, sizeof all[way]);
            tern_llm_close(llm);
        }
        for (int v = 0; v < 48; v++) {
            assert_true(fabs((double)(all[1][v] - all[2][v])) < 1e-3);
            if (fabs((double)(all[1][v] - all[0][v])) > formats[i].near)
                fail_msg("%s: logit %d is %g, not %g", formats[i].format, v, (double)all[1][v],
                         (double)all[0][v]);
        }
    }
    unlink("run.gguf");
    unlink("f32.gguf");
}

/* One column of an embedding far above the others is an outlier of normed rows, and the only one. */
static void test_outliers(void **state)
{
    (void)state;
    static const int32_t tokens[12] = {3, 17, 0, 47, 17, 21, 5, 5, 40, 2, 11, 30};
    tern_weights w;
    tern_transformer t;
    tern_outlier_report report;
    float norms[32];
    assert_ok(tern_weights_open(&w, llama));
    for (int i = 0; i < 32; i++) norms[i] = i == 9 ? 60 : 0.5F;
    for (int i = 0; i < w.count; i++)
        if (strstr(w.names[i], "attn_norm") || strstr(w.names[i], "ffn_norm")) w.tensors[i].data = norms;
    assert_ok(tern_transformer_read(&t, &w));
    assert_ok(tern_outliers_find(&report, &t, tokens, 6, 2, NULL));
    int normed = 0;
    for (int i = 0; i < report.count; i++) normed += report.list[i].input == NULL;
    assert_true(normed == 1 && report.list[0].column == 9 && report.list[0].layers == 1);
    assert_true(report.list[0].positions > 0.5 && report.list[0].magnitude > 6 && report.positions == 12);
    tern_outliers_free(&report);
    tern_text_window *window;
    double sum = 0;
    int64_t count = 0;
    assert_ok(tern_window_open(&window, &t, 12, NULL));
    assert_ok(tern_window_loss(window, tokens, 1, &sum, &count));
    assert_true(count == 11 && sum > 0 && isfinite(sum));
    static const int32_t wrong[12] = {48};
    assert_error(tern_window_loss(window, wrong, 1, &sum, &count), TERN_USAGE, "token 0 is 48");
    tern_window_close(window);
    tern_weights_close(&w);
}

static tern_status outliers_job(void)
{
    static const int32_t tokens[4] = {3, 17, 0, 47};
    tern_weights w;
    tern_transformer t;
    tern_outlier_report report;
    TERN_TRY(tern_weights_open(&w, llama));
    tern_status status = tern_transformer_read(&t, &w);
    t.outliers.threshold = 1;
    if (status == TERN_OK) status = tern_outliers_find(&report, &t, tokens, 4, 1, NULL);
    if (status == TERN_OK) tern_outliers_free(&report);
    tern_weights_close(&w);
    return status;
}

/* Columns in full precision, used where they are apart: the definition and the kernel. */
static void test_exact_columns(void **state)
{
    (void)state;
    static const float x[2][16] = {{1, 8, -1}, {0.5F, 2, 3}}, scale[2] = {0.5F, 2},
                       exact[2][2] = {{3, 100}, {-4, 100}};
    static const int8_t w[2][16] = {{4, 127, 2}, {-1, 5, 127}};
    static const int32_t columns[2] = {1, 2}; /* column 2 has no outlier: its bytes count */
    static const float expected[2][2] = {{4 * 0.5F - 2 * 0.5F + 8 * 3, -1 * 2 - 127 * 2 - 8 * 4}, {0, 0}};
    for (int fast = 0; fast < 2; fast++) {
        float y[2][2];
        double scratch[2048];
        tern_outlier_args args = {.threshold = 6};
        tern_tensor in[6] = {{TERN_F32, TERN_SHAPE(2, 16), (void *)(uintptr_t)x},
                             {TERN_I8, TERN_SHAPE(2, 16), (void *)(uintptr_t)w},
                             {TERN_F32, TERN_SHAPE(2), (void *)(uintptr_t)scale},
                             {0},
                             {TERN_F32, TERN_SHAPE(2, 2), (void *)(uintptr_t)exact},
                             {TERN_I32, TERN_SHAPE(2), (void *)(uintptr_t)columns}};
        tern_tensor out = {TERN_F32, TERN_SHAPE(2, 2), y};
        const tern_op *op = tern_operator_find("linear_outlier");
        tern_call call = {
            .op = op, .args = &args, .nin = 6, .nout = 1, .in = in, .out = &out, .scratch = scratch};
        void *more = NULL;
        if (fast) {
            assert_true(op->fast->match(&call));
            more = call.scratch = tern_take(op->fast->scratch(&call));
            assert_non_null(more);
        }
        (fast ? op->fast->run : op->run)(&call);
        for (int n = 0; n < 2; n++)
            assert_true(fabsf(y[0][n] - expected[0][n]) < 0.01F * fabsf(expected[0][n]));
        tern_release(more);
    }
}

static tern_status memory_job(void)
{
    tern_model_changes changes;
    TERN_TRY(convert(llama, "int8-outlier", false, "m.safetensors", NULL, &changes));
    tern_model_changes_free(&changes);
    TERN_TRY(convert("m.safetensors", "int8-outlier", false, "m.gguf", NULL, &changes));
    tern_model_changes_free(&changes);
    return TERN_OK;
}

static void test_memory(void **state)
{
    (void)state;
    assert_survives_out_of_memory(memory_job());
    assert_survives_out_of_memory(outliers_job());
    unlink("m.safetensors");
    unlink("m.gguf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),       cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_rows),          cmocka_unit_test(test_refused),
        cmocka_unit_test(test_wrong_texts),   cmocka_unit_test(test_memory),
        cmocka_unit_test(test_run),           cmocka_unit_test(test_outliers),
        cmocka_unit_test(test_exact_columns),
    };
    return cmocka_run_group_tests_name("model_convert", tests, NULL, NULL);
}
