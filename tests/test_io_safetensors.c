/* io: safetensors and checkpoints: round trips, checks of the header, damage, a full disk, memory that fails. */
#define _DEFAULT_SOURCE
#include "damage.h"
#include "test.h"

#include "io/io.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#if __has_include(<jansson.h>)
#include <jansson.h>
#define HAVE_JANSSON
#endif

/* A bundle with a tensor of every format, values that every format can hold. */
static tern_bundle every_format(void)
{
    tern_bundle b = {0};
    for (int dtype = 0; dtype < TERN_DTYPES; dtype++) {
        tern_tensor t;
        char name[32];
        if (tern_dtype_of((tern_dtype)dtype)->unpack) continue; /* safetensors has no packed formats */
        assert_ok(tern_tensor_new(&t, (tern_dtype)dtype, &TERN_SHAPE(3, 1, 5)));
        for (int i = 0; i < 15; i++) tern_set(&t, i, dtype == TERN_BIT ? i % 3 == 0 : i * 7 % 5 + i);
        snprintf(name, sizeof name, "a/%s \"weight\"\n", tern_dtype_of((tern_dtype)dtype)->name);
        assert_ok(tern_bundle_add(&b, name, t));
    }
    tern_tensor scalar, empty;
    assert_ok(tern_tensor_new(&scalar, TERN_F32, &(tern_shape){0}));
    tern_set(&scalar, 0, -0.5);
    assert_ok(tern_tensor_new(&empty, TERN_I16, &TERN_SHAPE(4, 0)));
    assert_ok(tern_bundle_add(&b, "scalar", scalar));
    assert_ok(tern_bundle_add(&b, "empty", empty));
    return b;
}

static void assert_same_tensors(const tern_bundle *a, const tern_bundle *b)
{
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < a->count; i++) {
        const tern_tensor *x = &a->tensors[i], *y = tern_bundle_find(b, a->names[i]);
        assert_non_null(y);
        assert_int_equal(x->dtype, y->dtype);
        assert_true(tern_shape_equal(&x->shape, &y->shape));
        assert_memory_equal(x->data, y->data, tern_bytes_of(x->dtype, tern_elements(&x->shape)));
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    tern_bundle a = every_format(), b;
    assert_ok(tern_bundle_add_text(&a, "note", "quote \" backslash \\ newline \n snowman \xe2\x98\x83"));
    assert_ok(tern_safetensors_write("round.safetensors", &a));
    assert_ok(tern_safetensors_read("round.safetensors", &b));
    assert_same_tensors(&a, &b);
    assert_string_equal(tern_bundle_text(&b, "note"), a.values[0]);
    assert_null(tern_bundle_text(&b, "other"));
    assert_null(tern_bundle_find(&b, "other"));
    tern_bundle_free(&b);
    tern_tensor packed;
    assert_ok(tern_tensor_new(&packed, TERN_Q4_0, &TERN_SHAPE(32)));
    assert_ok(tern_bundle_add(&a, "packed", packed));
    assert_error(tern_safetensors_write("round.safetensors", &a), TERN_FAILED, "\"packed\" is q4_0");
    tern_bundle_free(&a);
    unlink("round.safetensors");
}

static tern_status parse_header(const char *header, size_t data)
{
    char bytes[1024] = {0};
    size_t length = strlen(header);
    bytes[0] = (char)length;
    bytes[1] = (char)(length >> 8);
    memcpy(bytes + 8, header, length);
    tern_bundle b;
    TERN_TRY(tern_safetensors_parse(bytes, 8 + length + data, "file", &b));
    tern_bundle_free(&b);
    return TERN_OK;
}

static void test_header_checks(void **state)
{
    (void)state;
    assert_ok(parse_header("{}", 0));
    assert_ok(parse_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8));
    static const struct {
        const char *header;
        size_t data;
        const char *message;
    } cases[] = {
        {"[]", 0, "not a JSON object"},
        {"{\"a\":1", 0, "no valid JSON at line 1"},
        {"{\"a\":1}", 0, "tensor \"a\": dtype is missing"},
        {"{\"a\":{\"dtype\":\"F31\"}}", 0, "dtype \"F31\", expected F64"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1]}}", 0, "shape has 7 axes"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[-1]}}", 0, "shape[0] is not a whole number"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1.5]}}", 0, "shape[0] is not a whole number"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296]}}", 0, "more elements than any memory"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]}}", 1, "data_offsets must be"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, "data_offsets must be"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,1]}}", 1,
         "needs 2 bytes, data_offsets give 1"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[9],\"data_offsets\":[0,9]}}", 8, "the file is truncated"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, "there is a hole"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 2, "end at byte 1 of the data"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
         3, "tensors overlap"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
         0, "duplicate"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "\"a\" is not a text"},
        {"{\"__metadata__\":1}", 0, "not an object"},
    };
    for (size_t i = 0; i < TERN_COUNT(cases); i++)
        assert_error(parse_header(cases[i].header, cases[i].data), TERN_FAILED, cases[i].message);
    tern_bundle b;
    assert_error(tern_safetensors_parse("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, "f", &b), TERN_FAILED,
                 "claims");
    assert_error(tern_safetensors_read("no/such/file", &b), TERN_FAILED, "cannot open no/such/file");
}

static void test_wide_integers(void **state)
{
    (void)state;
    static const char header[] = "{\"a\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[0,16]}} ";
    char bytes[8 + sizeof header - 1 + 16] = {(char)(sizeof header - 1)};
    memcpy(bytes + 8, header, sizeof header - 1);
    int64_t values[2] = {-5, 2147483647};
    memcpy(bytes + sizeof bytes - 16, values, 16);
    tern_bundle b;
    assert_ok(tern_safetensors_parse(bytes, sizeof bytes, "f", &b));
    assert_int_equal(b.tensors[0].dtype, TERN_I32);
    assert_true(tern_get(&b.tensors[0], 0) == -5 && tern_get(&b.tensors[0], 1) == 2147483647);
    tern_bundle_free(&b);
    values[1]++;
    memcpy(bytes + sizeof bytes - 16, values, 16);
    assert_error(tern_safetensors_parse(bytes, sizeof bytes, "f", &b), TERN_FAILED,
                 "f: a: element 1 does not fit");
}

/* ---- checkpoints -------------------------------------------------------------------------------------------- */

#define DOCUMENT "{\"epoch\": 3, \"net\": \"spiking-cnn\"}"

static tern_bundle original; /* what the checkpoint was made of */

static void write_checkpoint(const char *path)
{
    assert_ok(tern_checkpoint_write(path, original.tensors, (const char *const *)original.names,
                                    original.count, DOCUMENT));
}

static void test_checkpoint(void **state)
{
    (void)state;
    tern_bundle b;
    char *document;
    write_checkpoint("checkpoint.tern");
    assert_ok(tern_checkpoint_read("checkpoint.tern", &b, &document));
    assert_same_tensors(&original, &b);
    assert_string_equal(document, DOCUMENT);
    tern_release(document);
    tern_bundle_free(&b);
    /* A plain safetensors file is not one. */
    assert_ok(tern_safetensors_write("plain.tern", &original));
    assert_error(tern_checkpoint_read("plain.tern", &b, &document), TERN_FAILED, "not a checkpoint of Tern");
    unlink("plain.tern");
    /* A failed write leaves the old file as it was, and nothing else. */
    assert_error(tern_checkpoint_write("no/folder/x.tern", NULL, NULL, 0, "{}"), TERN_FAILED,
                 "cannot create");
    long before = tern_fail_allocation(5);
    (void)before;
    assert_int_equal(tern_checkpoint_write("checkpoint.tern", original.tensors,
                                           (const char *const *)original.names, 2, "{}"),
                     TERN_NO_MEMORY);
    tern_fail_allocation(0);
    tern_clear();
    assert_ok(tern_checkpoint_read("checkpoint.tern", &b, &document));
    assert_string_equal(document, DOCUMENT);
    tern_release(document);
    tern_bundle_free(&b);
    unlink("checkpoint.tern");
}

/* A disk that is full after 1,000 bytes, played by the limit of a file's size: the old checkpoint stays whole. */
static void test_full_disk(void **state)
{
    (void)state;
    struct rlimit whole, small;
    tern_bundle b;
    char *document, temporary[64];
    write_checkpoint("full.tern");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &whole), 0);
    small = whole;
    small.rlim_cur = 1000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    tern_clear();
    tern_status status = tern_checkpoint_write("full.tern", original.tensors,
                                               (const char *const *)original.names, original.count, "{}");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &whole), 0);
    assert_int_equal(status, TERN_FAILED);
    assert_non_null(strstr(tern_message(), "cannot write full.tern"));
    snprintf(temporary, sizeof temporary, "full.tern.tmp-%ld", (long)getpid());
    assert_int_not_equal(access(temporary, F_OK), 0);
    assert_ok(tern_checkpoint_read("full.tern", &b, &document));
    assert_string_equal(document, DOCUMENT);
    tern_release(document);
    tern_bundle_free(&b);
    unlink("full.tern");
}

static tern_status read_checkpoint(const void *bytes, size_t count)
{
    tern_bundle b;
    char *document;
    TERN_TRY(tern_checkpoint_parse(bytes, count, "damaged", &b, &document));
    /* What passes the checks is what was written. */
    assert_same_tensors(&original, &b);
    assert_string_equal(document, DOCUMENT);
    tern_release(document);
    tern_bundle_free(&b);
    return TERN_OK;
}

static void test_checkpoint_damage(void **state)
{
    (void)state;
    char *bytes;
    size_t count;
    write_checkpoint("damage.tern");
    assert_ok(tern_read_file("damage.tern", &bytes, &count));
    unlink("damage.tern");
    assert_true(damage_attempt(read_checkpoint, bytes, count));
    assert_int_equal(damage_cut(read_checkpoint, bytes, count), 0);
    damage_flip(read_checkpoint, bytes, count, 10000);
    /* A flipped bit in the elements is found and its tensor named; the f64 tensor is the first behind the header. */
    size_t header = 8 + (uint8_t)bytes[0] + 256 * (size_t)(uint8_t)bytes[1];
    bytes[header + 3] ^= 4;
    assert_error(read_checkpoint(bytes, count), TERN_FAILED, "tensor \"a/f64 \"weight\"\n\" has checksum");
    tern_release(bytes);
}

static tern_status memory_job(void)
{
    tern_bundle b = {0};
    char *document;
    TERN_TRY(tern_checkpoint_write("memory.tern", original.tensors, (const char *const *)original.names,
                                   original.count, DOCUMENT));
    TERN_TRY(tern_checkpoint_read("memory.tern", &b, &document));
    tern_release(document);
    tern_bundle_free(&b);
    return TERN_OK;
}

static void test_checkpoint_memory(void **state)
{
    (void)state;
    assert_survives_out_of_memory(memory_job());
    unlink("memory.tern");
}

/* jansson's own allocations: it blames the text for some of them, so any failure will do, but none may crash or leak. */
static void test_json_memory(void **state)
{
    (void)state;
    bool done = false;
#ifdef HAVE_JANSSON
    json_set_alloc_funcs(tern_take, tern_release);
#endif
    write_checkpoint("memory.tern");
    for (long nth = 1; !done; nth++) {
        tern_bundle b = {0};
        char *document = NULL;
        size_t held = tern_allocated();
        tern_clear();
        tern_fail_allocation(nth);
        done = tern_checkpoint_read("memory.tern", &b, &document) == TERN_OK;
        tern_fail_allocation(0);
        if (done) assert_same_tensors(&original, &b);
        if (!done) assert_true(tern_message()[0]);
        tern_release(document);
        tern_bundle_free(&b);
        assert_int_equal(tern_allocated(), held);
    }
    unlink("memory.tern");
}

int main(void)
{
#ifndef HAVE_JANSSON
    puts("0 passed, 0 failed, 1 skipped: needs jansson");
    return 0;
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),        cmocka_unit_test(test_header_checks),
        cmocka_unit_test(test_wide_integers),     cmocka_unit_test(test_checkpoint),
        cmocka_unit_test(test_full_disk),         cmocka_unit_test(test_checkpoint_damage),
        cmocka_unit_test(test_checkpoint_memory), cmocka_unit_test(test_json_memory),
    };
    original = every_format();
    int failed = cmocka_run_group_tests_name("io: safetensors", tests, NULL, NULL);
    tern_bundle_free(&original);
    return failed;
}
