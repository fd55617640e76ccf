/* io: GGUF and weights: a file of the reference writer, round trips, checks of every field, damage, memory that fails;
 * safetensors in shards. */
#define _DEFAULT_SOURCE
#include "damage.h"
#include "test.h"

#include "io/io.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a file of the reference writer --------------------------------------------------------------------------- */

static tern_weights open_reference(void)
{
    tern_weights w;
    char path[512];
    snprintf(path, sizeof path, "%s/golden/formats/reference.gguf", TERN_TESTS);
    assert_ok(tern_weights_open(&w, path));
    return w;
}

static void assert_number(const tern_weights *w, const char *key, tern_meta_kind kind, int64_t i,
                          double value)
{
    const tern_meta *m = tern_weights_meta(w, key);
    if (!m) fail_msg("%s is missing", key);
    assert_int_equal(m->kind, kind);
    if (tern_meta_number(m, i) != value)
        fail_msg("%s is %.17g, expected %.17g", key, tern_meta_number(m, i), value);
}

static void test_reference_metadata(void **state)
{
    (void)state;
    tern_weights w = open_reference();
    assert_int_equal(w.version, 3);
    assert_number(&w, "test.u8", TERN_META_U8, 0, 200);
    assert_number(&w, "test.i8", TERN_META_I8, 0, -100);
    assert_number(&w, "test.u16", TERN_META_U16, 0, 65535);
    assert_number(&w, "test.i16", TERN_META_I16, 0, -32768);
    assert_number(&w, "test.u32", TERN_META_U32, 0, 4294967295.0);
    assert_number(&w, "test.i32", TERN_META_I32, 0, -2147483648.0);
    assert_number(&w, "test.f32", TERN_META_F32, 0, (double)0.1F);
    assert_number(&w, "test.bool", TERN_META_BOOL, 0, 1);
    assert_number(&w, "test.u64", TERN_META_U64, 0, 0x1p53);
    assert_number(&w, "test.i64", TERN_META_I64, 0, -0x1p53);
    assert_number(&w, "test.f64", TERN_META_F64, 0, 0.1);
    assert_number(&w, "test.numbers", TERN_META_I32, 3, -1);
    assert_number(&w, "test.numbers", TERN_META_I32, 5, 0); /* beyond the last */
    static const char *const texts[] = {"", "a", "\xc3\xa9\xc3\xa9", "<s>"};
    const tern_meta *m = tern_weights_meta(&w, "test.texts");
    const uint8_t *at = NULL;
    const char *text;
    size_t size;
    assert_true(m && m->array && m->count == 4);
    for (int i = 0; i < 4; i++) {
        assert_true(tern_meta_next(m, &at, &text, &size));
        assert_true(size == strlen(texts[i]) && memcmp(text, texts[i], size) == 0);
    }
    assert_false(tern_meta_next(m, &at, &text, &size));
    assert_null(tern_weights_meta(&w, "test"));
    tern_weights_close(&w);
}

static void test_reference_tensors(void **state)
{
    (void)state;
    tern_weights w = open_reference();
    const tern_tensor *plain = tern_weights_find(&w, "plain"), *deep = tern_weights_find(&w, "deep");
    assert_int_equal(w.count, 6);
    assert_true(plain && plain->dtype == TERN_F32 && tern_shape_equal(&plain->shape, &TERN_SHAPE(3, 64)));
    assert_true(deep && tern_shape_equal(&deep->shape, &TERN_SHAPE(2, 3, 4)) && tern_get(deep, 23) == 23);
    static const struct {
        const char *name;
        tern_dtype dtype;
        double step;
    } coded[] = {{"half", TERN_F16, 0.002}, {"q4_1", TERN_Q4_1, 0.3}, {"q8_0", TERN_Q8_0, 0.02}};
    for (size_t i = 0; i < TERN_COUNT(coded); i++) {
        const tern_tensor *t = tern_weights_find(&w, coded[i].name);
        assert_true(t && t->dtype == coded[i].dtype);
        for (int k = 0; k < 192; k++) assert_true(fabs(tern_get(t, k) - tern_get(plain, k)) < coded[i].step);
    }
    assert_true(tern_get(tern_weights_find(&w, "counts"), 1) == -2);
    assert_null(tern_weights_find(&w, "other"));
    tern_weights_close(&w);
}

/* ---- round trips ------------------------------------------------------------------------------------------------ */

static tern_status write_again(const tern_weights *w, const char *path)
{
    return tern_gguf_write(path, &(tern_gguf_content){.metas = w->metas,
                                                      .meta_count = w->meta_count,
                                                      .tensors = w->tensors,
                                                      .names = w->names,
                                                      .count = w->count});
}

/* What was read is written as the same bytes. */
static void test_round_trip(void **state)
{
    (void)state;
    char path[512], *a, *b;
    size_t count_a, count_b;
    tern_weights w = open_reference();
    snprintf(path, sizeof path, "%s/golden/formats/reference.gguf", TERN_TESTS);
    assert_ok(write_again(&w, "round.gguf"));
    assert_ok(tern_read_file(path, &a, &count_a));
    assert_ok(tern_read_file("round.gguf", &b, &count_b));
    assert_int_equal(count_a, count_b);
    assert_memory_equal(a, b, count_a);
    tern_release(a);
    tern_release(b);
    tern_weights_close(&w);
    unlink("round.gguf");
}

static void test_every_format(void **state)
{
    (void)state;
    for (int d = 0; d < TERN_DTYPES; d++) {
        tern_tensor t;
        const char *name = "weight";
        tern_gguf_content content = {.tensors = &t, .names = &name, .count = 1};
        if (d == TERN_NF4X2) continue; /* as nf4, and slow to fill element by element */
        assert_ok(tern_tensor_new(&t, (tern_dtype)d, &TERN_SHAPE(3, 256)));
        for (int64_t i = 0; i < 768; i += 7) tern_set(&t, i, (double)(i % 3) - 1);
        if (tern_gguf_has((tern_dtype)d)) {
            tern_weights w;
            assert_ok(tern_gguf_write("one.gguf", &content));
            assert_ok(tern_weights_open(&w, "one.gguf"));
            assert_int_equal(w.tensors[0].dtype, d);
            assert_true(tern_shape_equal(&w.tensors[0].shape, &t.shape));
            assert_memory_equal(w.tensors[0].data, t.data, tern_bytes_of(t.dtype, 768));
            tern_weights_close(&w);
        } else {
            assert_error(tern_gguf_write("one.gguf", &content), TERN_FAILED, "which GGUF lacks");
        }
        if (tern_dtype_of((tern_dtype)d)->unpack && tern_gguf_has((tern_dtype)d) && d != TERN_NF4) {
            t.shape = TERN_SHAPE(2, 255);
            assert_error(tern_gguf_write("one.gguf", &content), TERN_FAILED, "no whole blocks");
        }
        tern_tensor_free(&t);
    }
    unlink("one.gguf");
}

/* ---- every check ------------------------------------------------------------------------------------------------ */

typedef struct bytes {
    uint8_t data[4096];
    size_t size;
} bytes;

static void put(bytes *b, uint64_t value, size_t size)
{
    memcpy(b->data + b->size, &value, size);
    b->size += size;
}

static void put_text(bytes *b, const char *text)
{
    put(b, strlen(text), 8);
    memcpy(b->data + b->size, text, strlen(text));
    b->size += strlen(text);
}

static void put_head(bytes *b, uint64_t version, uint64_t tensors, uint64_t metas)
{
    *b = (bytes){.data = "GGUF", .size = 4};
    put(b, version, 4);
    put(b, tensors, 8);
    put(b, metas, 8);
}

static void put_tensor(bytes *b, const char *name, uint64_t length, uint64_t type, uint64_t offset)
{
    put_text(b, name);
    put(b, 1, 4);
    put(b, length, 8);
    put(b, type, 4);
    put(b, offset, 8);
}

static tern_status parse(const void *data, size_t count)
{
    tern_weights w;
    TERN_TRY(tern_gguf_parse(data, count, "file", &w));
    tern_weights_close(&w);
    return TERN_OK;
}

static void expect(const bytes *b, size_t extra, const char *message)
{
    if (message)
        assert_error(parse(b->data, b->size + extra), TERN_FAILED, message);
    else
        assert_ok(parse(b->data, b->size + extra));
}

static void test_head_checks(void **state)
{
    (void)state;
    bytes b;
    assert_error(parse("GGU", 3), TERN_FAILED, "no GGUF file");
    assert_error(parse("GGML\3\0\0\0", 8), TERN_FAILED, "does not begin with \"GGUF\"");
    put_head(&b, 1, 0, 0);
    expect(&b, 0, "version 1 at byte 4, expected 2 or 3: convert it");
    put_head(&b, 3u << 24, 0, 0);
    expect(&b, 0, "big-endian");
    put_head(&b, 4, 0, 0);
    expect(&b, 0, "version 4 at byte 4");
    put_head(&b, 2, 0, 0);
    expect(&b, 0, NULL);
    put_head(&b, 3, UINT64_MAX, 0);
    expect(&b, 0, "18446744073709551615 tensors at byte 8");
    put_head(&b, 3, 0, 1u << 30);
    expect(&b, 0, "1073741824 metadata entries at byte 16");
}

static void test_metadata_checks(void **state)
{
    (void)state;
    bytes b;
    put_head(&b, 3, 0, 1);
    put(&b, UINT64_MAX, 8);
    expect(&b, 64, "the key of a metadata entry at byte 32 needs 18446744073709551615 bytes");
    put_head(&b, 3, 0, 1);
    put_text(&b, "");
    expect(&b, 64, "has 0 bytes");
    put_head(&b, 3, 0, 1);
    put_text(&b, "kind");
    put(&b, 13, 4);
    expect(&b, 64, "\"kind\" at byte 36 has type 13");
    put_head(&b, 3, 0, 1);
    put_text(&b, "list");
    put(&b, TERN_META_ARRAY, 4);
    put(&b, TERN_META_ARRAY, 4);
    put(&b, 1, 8);
    expect(&b, 64, "array of arrays");
    put_head(&b, 3, 0, 1);
    put_text(&b, "list");
    put(&b, TERN_META_ARRAY, 4);
    put(&b, TERN_META_U64, 4);
    put(&b, 9, 8);
    expect(&b, 64, "claims 9 elements of 8 bytes");
    put(&b, 0, 8);
    expect(&b, 64, NULL);
    b.data[44] = 0xff, b.data[51] = 0xff;
    expect(&b, 64, "more than the file has bytes");
    put_head(&b, 3, 0, 2);
    for (int i = 0; i < 2; i++) {
        put_text(&b, "twice");
        put(&b, TERN_META_U8, 4);
        put(&b, 7, 1);
    }
    expect(&b, 0, "two metadata entries \"twice\"");
    put_head(&b, 3, 0, 1);
    put_text(&b, "general.alignment");
    put(&b, TERN_META_U32, 4);
    put(&b, 48, 4);
    expect(&b, 0, "general.alignment is 48 (u32), expected a power of two");
}

static void test_tensor_checks(void **state)
{
    (void)state;
    static const struct {
        uint64_t length, type, offset;
        const char *message;
    } cases[] = {
        {16, 0, 0, NULL},
        {16, 16, 0, "is iq2_xxs, which Tern cannot read"},
        {16, 99, 0, "has type 99, which is unknown"},
        {16, 2, 0, "rows of 16 elements are no whole blocks of q4_0 (32)"},
        {16, 0, 4, "offset 4 is no multiple of the alignment 32"},
        {16, 0, 32, "takes bytes 32 to 96"},
        {16, 0, UINT64_MAX - 31, "truncated"},
        {(uint64_t)1 << 63, 0, 0, "has an axis of 9223372036854775808"},
        {(uint64_t)1 << 60, 0, 0, "more elements than any memory"},
    };
    bytes b;
    for (size_t i = 0; i < TERN_COUNT(cases); i++) {
        put_head(&b, 3, 1, 0);
        put_tensor(&b, "x", cases[i].length, cases[i].type, cases[i].offset);
        expect(&b, (32 - b.size % 32) % 32 + 64, cases[i].message);
    }
    put_head(&b, 3, 2, 0);
    put_tensor(&b, "x", 16, 0, 0);
    put_tensor(&b, "y", 16, 0, 32);
    expect(&b, (32 - b.size % 32) % 32 + 128, "tensors \"x\" and \"y\" overlap at byte 32");
    put_head(&b, 3, 2, 0);
    put_tensor(&b, "x", 8, 0, 0);
    put_tensor(&b, "x", 8, 0, 32);
    expect(&b, (32 - b.size % 32) % 32 + 64, "two tensors \"x\"");
    put_head(&b, 3, 1, 0);
    put_text(&b, "x");
    put(&b, 7, 4);
    expect(&b, 128, "has 7 axes");
}

static void test_damage(void **state)
{
    (void)state;
    char path[512], *data;
    size_t count;
    snprintf(path, sizeof path, "%s/golden/formats/reference.gguf", TERN_TESTS);
    assert_ok(tern_read_file(path, &data, &count));
    assert_true(damage_attempt(parse, data, count));
    assert_true(damage_cut(parse, data, count) <=
                31); /* only padding behind the last tensor may be missing */
    damage_flip(parse, data, 1200, 20000);
    damage_flip(parse, data, count, 5000);
    tern_release(data);
}

static tern_status memory_job(void)
{
    tern_weights w;
    char path[512];
    snprintf(path, sizeof path, "%s/golden/formats/reference.gguf", TERN_TESTS);
    TERN_TRY(tern_weights_open(&w, path));
    tern_status status = write_again(&w, "memory.gguf");
    tern_weights_close(&w);
    return status;
}

static void test_memory(void **state)
{
    (void)state;
    assert_survives_out_of_memory(memory_job());
    unlink("memory.gguf");
}

/* ---- safetensors in shards --------------------------------------------------------------------------------------- */

static void write_shard(const char *path, const char *name, float value)
{
    tern_bundle b = {0};
    tern_tensor t;
    assert_ok(tern_tensor_new(&t, TERN_F32, &TERN_SHAPE(2, 2)));
    tern_set(&t, 3, (double)value);
    assert_ok(tern_bundle_add(&b, name, t));
    assert_ok(tern_bundle_add_text(&b, "format", "pt"));
    assert_ok(tern_safetensors_write(path, &b));
    tern_bundle_free(&b);
}

static void write_text(const char *path, const char *text)
{
    assert_ok(tern_write_file(path, text, strlen(text)));
}

static tern_status open_shards(void)
{
    tern_weights w;
    TERN_TRY(tern_weights_open(&w, "shards"));
    tern_weights_close(&w);
    return TERN_OK;
}

#define INDEX "shards/model.safetensors.index.json"

static void test_shards(void **state)
{
    (void)state;
    tern_weights w;
    mkdir("shards", 0777);
    assert_error(open_shards(), TERN_FAILED, "neither model.safetensors nor");
    write_shard("shards/one.safetensors", "a", 1.5F);
    write_shard("shards/two.safetensors", "b", 2.5F);
    write_text(INDEX, "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}");
    write_text("shards/config.json",
               "{\"hidden_size\":64,\"rope_scaling\":{\"factor\":8.0,\"rope_type\":\"llama3\"},"
               "\"tie_word_embeddings\":true,\"none\":null}");
    assert_ok(tern_weights_open(&w, "shards"));
    assert_int_equal(w.count, 2);
    assert_true(tern_get(tern_weights_find(&w, "b"), 3) == 2.5 &&
                tern_get(tern_weights_find(&w, "a"), 3) == 1.5);
    assert_number(&w, "config.hidden_size", TERN_META_F64, 0, 64);
    assert_number(&w, "config.rope_scaling.factor", TERN_META_F64, 0, 8);
    assert_number(&w, "config.tie_word_embeddings", TERN_META_BOOL, 0, 1);
    assert_non_null(tern_weights_meta(&w, "config.rope_scaling.rope_type"));
    tern_weights_close(&w);
    write_text(INDEX, "{\"weight_map\":{\"a\":\"one.safetensors\",\"c\":\"two.safetensors\"}}");
    assert_error(open_shards(), TERN_FAILED, "tensor \"c\" is not in two.safetensors");
    write_text(INDEX, "{\"weight_map\":{\"a\":\"../one.safetensors\"}}");
    assert_error(open_shards(), TERN_FAILED, "no plain file name for \"a\"");
    write_text(INDEX, "{\"weight_map\":{}}");
    assert_error(open_shards(), TERN_FAILED, "names no tensor");
    write_text(INDEX, "[1]");
    assert_error(open_shards(), TERN_FAILED, "not a JSON object");
    write_shard("shards/two.safetensors", "a", 1);
    write_text(INDEX, "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}");
    assert_error(open_shards(), TERN_FAILED, "tensor \"b\" is not in");
    static const char *const files[] = {INDEX, "shards/config.json", "shards/one.safetensors",
                                        "shards/two.safetensors"};
    for (size_t i = 0; i < TERN_COUNT(files); i++) unlink(files[i]);
    rmdir("shards");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_metadata),
        cmocka_unit_test(test_reference_tensors),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_every_format),
        cmocka_unit_test(test_head_checks),
        cmocka_unit_test(test_metadata_checks),
        cmocka_unit_test(test_tensor_checks),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_memory),
#if __has_include(<jansson.h>)
        cmocka_unit_test(test_shards),
#endif
    };
    return cmocka_run_group_tests_name("io: gguf", tests, NULL, NULL);
}
