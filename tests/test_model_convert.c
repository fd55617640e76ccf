/* Model files in other number formats: errors against the elements themselves, the same bytes on any number of threads, what is
 * refused, metadata there and back, memory that fails. */
#define _DEFAULT_SOURCE
#include "test.h"

#include "llm/convert.h"

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
    unlink("m.safetensors");
    unlink("m.gguf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats), cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_rows),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_wrong_texts),    cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests_name("model_convert", tests, NULL, NULL);
}
