/* settle: weights that move from their files' pages to large ones: the same bytes at the same addresses, and no longer the file's. */
#define _DEFAULT_SOURCE
#include "test.h"

#include "io/settle.h"
#include "io/weights.h"
#include "llm/model.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MIB = 1 << 20, PAGE = 4096, FILE_BYTES = 21 * MIB + 1234, FIRST = 9 * MIB + 100, VOCABULARY = 48 };

/* From byte `from` on, each page of the file says where it is, plus `more`. */
static void mark_file(const char *path, size_t from, uint32_t more)
{
    int file = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, FILE_BYTES), 0);
    for (size_t at = from; at < FILE_BYTES; at += PAGE) {
        uint32_t mark = (uint32_t)at + more;
        assert_int_equal(pwrite(file, &mark, sizeof mark, (off_t)at), sizeof mark);
    }
    close(file);
}

static void assert_marks(const char *bytes, size_t from, size_t to, uint32_t more)
{
    for (size_t at = from; at < to; at += PAGE) {
        uint32_t mark;
        memcpy(&mark, bytes + at, sizeof mark);
        assert_int_equal(mark, (uint32_t)at + more);
    }
}

static tern_status open_pieces(tern_weights *w)
{
    const void *bytes;
    size_t count;
    w->maps = tern_take(sizeof *w->maps);
    if (!w->maps) return tern_no_memory(sizeof *w->maps, "a map");
    TERN_TRY(tern_map_file("pieces", &bytes, &count));
    w->maps[0].bytes = bytes;
    w->maps[0].count = count;
    w->map_count = 1;
    tern_tensor tensor = {TERN_U8, TERN_SHAPE(FILE_BYTES - FIRST), (char *)(uintptr_t)bytes + FIRST};
    return tern_weights_add(w, "all", tensor);
}

/* Piece by piece: what has moved does not follow the file, what has not does. */
static void test_pieces(void **state)
{
    (void)state;
    tern_weights w = {0};
    tern_settling s;
    bool left;
    mark_file("pieces", 0, 0);
    assert_ok(open_pieces(&w));
    size_t before = tern_allocated();
    assert_ok(tern_settling_open(&s, &w));
    assert_ok(tern_settling_on(&s, NULL, 3 * MIB, &left)); /* from the page at 9 MiB to 10, and to 12 */
    assert_true(left);
    mark_file("pieces", 0, 7);
    const char *bytes = w.maps[0].bytes;
    assert_marks(bytes, 0, 9 * MIB, 7);
    assert_marks(bytes, 9 * MIB, 12 * MIB, 0);
    assert_marks(bytes, 12 * MIB, FILE_BYTES, 7);
    assert_ok(tern_settling_on(&s, NULL, 100 * MIB, &left));
    assert_false(left);
    mark_file("pieces", 0, 9);
    assert_marks(bytes, 0, 9 * MIB, 9);
    assert_marks(bytes, 12 * MIB, FILE_BYTES, 7);
    assert_true(tern_allocated() >= before + FILE_BYTES - 9 * MIB);
    tern_settling_close(&s);
    assert_int_equal(tern_allocated(), before);
    tern_weights_close(&w);
    unlink("pieces");
}

static tern_status pieces_job(void)
{
    tern_weights w = {0};
    tern_settling s = {0};
    bool left;
    tern_status status = open_pieces(&w);
    if (status == TERN_OK) status = tern_settling_open(&s, &w);
    if (status == TERN_OK) status = tern_settling_on(&s, NULL, SIZE_MAX, &left);
    tern_settling_close(&s);
    tern_weights_close(&w);
    return status;
}

static void test_memory(void **state)
{
    (void)state;
    mark_file("pieces", 0, 0);
    assert_survives_out_of_memory(pieces_job());
    unlink("pieces");
}

/* A model's weights move when it is opened, or once a token follows another; a prompt leaves them in the file; windows of layers, too. */
static void test_model(void **state)
{
    static const int32_t tokens[] = {3, 17, 0, 47, 17};
    static const tern_llm_options ways[] = {
        {.context = 16}, {.context = 16}, {.context = 16, .copied = true}, {.context = 16, .window = 1}};
    const float *logits;
    float expected[VOCABULARY];
    char *model;
    size_t count;
    (void)state;
    assert_ok(tern_read_file(TERN_TESTS "/golden/decoder/llama.gguf", &model, &count));
    char *nothing = tern_take(count);
    assert_non_null(nothing);
    for (size_t way = 0; way < TERN_COUNT(ways); way++) {
        tern_llm *llm;
        assert_ok(tern_write_file("model.gguf", model, count));
        assert_ok(tern_llm_open(&llm, "model.gguf", &ways[way]));
        assert_ok(tern_llm_feed(llm, tokens, 3, &logits)); /* one by one: few tokens */
        assert_ok(tern_llm_feed(llm, tokens + 3, 1 + (way == 1), &logits));
        int file = open("model.gguf", O_WRONLY);
        assert_true(file >= 0);
        assert_int_equal(pwrite(file, nothing, count, 0), count);
        close(file);
        if (way == 0 || way == 2) assert_ok(tern_llm_feed(llm, tokens + 4, 1, &logits));
        if (way == 0) memcpy(expected, logits, sizeof expected);
        if (way == 2) assert_memory_equal(logits, expected, sizeof expected);
        /* still in the file: */
        tern_llm_rewind(llm, 4);
        if (way == 1 || way == 3) assert_ok(tern_llm_feed(llm, tokens + 4, 1, &logits));
        if (way == 1 || way == 3) assert_memory_not_equal(logits, expected, sizeof expected);
        tern_llm_close(llm);
        unlink("model.gguf");
    }
    tern_release(nothing);
    tern_release(model);
    tern_llm *llm;
    assert_error(tern_llm_open(&llm, TERN_TESTS "/golden/decoder/llama.gguf",
                               &(tern_llm_options){.copied = true, .window = 1}),
                 TERN_USAGE, "not copied as a whole");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_model),
    };
    return cmocka_run_group_tests_name("settle", tests, NULL, NULL);
}
