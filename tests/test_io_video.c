/* io: video as Y4M, AVI with MJPEG frames and a folder of images; damage, memory that fails. */
#define _POSIX_C_SOURCE 200809L
#include "damage.h"
#include "golden.h"
#include "test.h"

#include "io/io.h"

#include <string.h>
#include <unistd.h>

/* All frames; with `first`, the first one. */
static tern_status read_all(tern_video *v, bool grey, tern_tensor *first, int *count)
{
    bool more = true;
    *count = 0;
    while (more) {
        tern_tensor frame = {0};
        TERN_TRY(tern_video_next(v, grey, &frame, &more));
        if (!more) return TERN_OK;
        if (first && *count == 0)
            *first = frame;
        else
            tern_tensor_free(&frame);
        ++*count;
    }
    return TERN_OK;
}

static void parse(const void *bytes, size_t size, bool grey, tern_tensor *first, int frames)
{
    tern_video *v;
    int count;
    assert_ok(tern_video_parse(&v, bytes, size, "made"));
    assert_ok(read_all(v, grey, first, &count));
    assert_int_equal(count, frames);
    tern_video_close(v);
}

/* ---- Y4M -------------------------------------------------------------------------------------------------------- */

/* ITU-R BT.601, 8 bits, limited range: black, white, and red as every table has them. */
static void test_colours(void **state)
{
    static const struct {
        uint8_t y, cb, cr;
        int rgb[3];
    } colours[] = {{16, 128, 128, {0, 0, 0}},
                   {235, 128, 128, {255, 255, 255}},
                   {81, 90, 240, {254, 0, 0}},
                   {41, 240, 110, {0, 0, 255}}};
    (void)state;
    for (size_t i = 0; i < TERN_COUNT(colours); i++) {
        char file[128];
        tern_tensor t;
        int length = snprintf(file, sizeof file, "YUV4MPEG2 W1 H1 F25:1 Ip C444\nFRAME\n");
        file[length++] = (char)colours[i].y;
        file[length++] = (char)colours[i].cb;
        file[length++] = (char)colours[i].cr;
        parse(file, (size_t)length, false, &t, 1);
        assert_true(tern_shape_equal(&t.shape, &TERN_SHAPE(3, 1, 1)));
        for (int c = 0; c < 3; c++) assert_true(abs((int)tern_get(&t, c) - colours[i].rgb[c]) <= 2);
        tern_tensor_free(&t);
    }
}

static size_t make_y4m(char *file, const char *about, int frames, int size)
{
    int length = sprintf(file, "YUV4MPEG2 W5 H3 %s\n", about);
    for (int t = 0; t < frames; t++) {
        length += sprintf(file + length, "FRAME\n");
        for (int i = 0; i < size; i++) file[length++] = (char)(16 + 3 * i + t);
    }
    return (size_t)length;
}

static void test_y4m(void **state)
{
    (void)state;
    char file[512];
    tern_tensor t;
    tern_video *v;
    size_t size = make_y4m(file, "F10:1 C420jpeg", 3, 15 + 2 * 6);
    parse(file, size, false, &t, 3);
    assert_true(tern_shape_equal(&t.shape, &TERN_SHAPE(3, 3, 5)));
    tern_tensor_free(&t);
    parse(file, size, true, &t, 3);
    assert_true(tern_shape_equal(&t.shape, &TERN_SHAPE(1, 3, 5)));
    assert_int_equal((int)tern_get(&t, 0), 0);
    assert_int_equal((int)tern_get(&t, 10), 35); /* 30 steps of 255/219 */
    tern_tensor_free(&t);
    size = make_y4m(file, "Cmono XCOLORRANGE=FULL", 2, 15);
    parse(file, size, false, &t, 2);
    assert_int_equal((int)tern_get(&t, 1), 19);
    tern_tensor_free(&t);
    size = make_y4m(file, "C420p10", 1, 15);
    assert_error(tern_video_parse(&v, file, size, "made"), TERN_FAILED, "yuv420p");
    assert_error(tern_video_parse(&v, "YUV4MPEG2 W5\n", 13, "made"), TERN_FAILED, "W and H");
    assert_error(tern_video_parse(&v, "GIF89a", 6, "made"), TERN_FAILED, "ffmpeg");
}

/* ---- AVI -------------------------------------------------------------------------------------------------------- */

static size_t put(char *file, size_t at, const char *code, const void *bytes, size_t count)
{
    memcpy(file + at, code, 4);
    for (int i = 0; i < 4; i++) file[at + 4 + (size_t)i] = (char)(count >> 8 * i);
    if (bytes) memcpy(file + at + 8, bytes, count);
    return at + 8 + count + (count & 1);
}

/* A sound stream, then a video stream of `codec`, and frames of it: a JPEG, nothing (the same again), the JPEG. */
static size_t make_avi(char *file, const char *codec)
{
    size_t count, at = 12;
    char *jpeg = golden_bytes("grey.jpg", &count), format[40] = {40};
    memset(file, 0, 4096 + 3 * count);
    memcpy(file + put(file, 0, "RIFF", NULL, 0), "AVI ", 4);
    memcpy(file + put(file, at, "LIST", NULL, 0), "hdrl", 4);
    at = put(file, at + 12, "strh", "auds\0\0\0\0", 8);
    at = put(file, at, "strf", format, 40);
    at = put(file, at, "strh", "vids\0\0\0\0", 8);
    memcpy(format + 16, codec, 4);
    at = put(file, at, "strf", format, 40);
    at = put(file, at, "JUNK", "odd", 3);
    memcpy(file + put(file, at, "LIST", NULL, 0), "movi", 4);
    at = put(file, at + 12, "00wb", "noise", 5);
    at = put(file, at, "01dc", jpeg, count);
    at = put(file, at, "01dc", "", 0);
    at = put(file, at, "01dc", jpeg, count);
    at = put(file, at, "idx1", "index", 5);
    tern_release(jpeg);
    return at;
}

static void test_avi(void **state)
{
    (void)state;
    static char file[65536];
    tern_tensor t, like;
    tern_video *v;
    size_t size = make_avi(file, "MJPG");
    parse(file, size, false, &t, 3);
    assert_ok(tern_image_read(golden("grey.jpg"), &like));
    assert_true(tern_shape_equal(&t.shape, &like.shape));
    assert_memory_equal(t.data, like.data, (size_t)tern_elements(&like.shape));
    tern_tensor_free(&t);
    tern_tensor_free(&like);
    size = make_avi(file, "div3");
    assert_error(tern_video_parse(&v, file, size, "made"), TERN_FAILED, "\"div3\"");
}

/* ---- a folder, damage, memory ------------------------------------------------------------------------------------- */

/* A PNG of one grey pixel. */
static const uint8_t dot[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00,
    0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00, 0x00, 0x3a, 0x7e, 0x9b, 0x55, 0x00,
    0x00, 0x00, 0x0a, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0x68, 0x00, 0x00, 0x00, 0x82, 0x00, 0x81,
    0x77, 0xcd, 0x72, 0xb6, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};

static void test_folder(void **state)
{
    (void)state;
    char folder[] = "/tmp/tern-video-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < 3; i++) {
        size_t count;
        char *bytes = golden_bytes("colour.png", &count);
        snprintf(path, sizeof path, "%s/%d.png", folder, i);
        assert_ok(i == 2 ? tern_write_file(path, dot, sizeof dot) : tern_write_file(path, bytes, count));
        tern_release(bytes);
    }
    tern_video *v;
    int count;
    assert_ok(tern_video_open(&v, folder));
    assert_error(read_all(v, true, NULL, &count), TERN_FAILED, "a frame of");
    assert_int_equal(count, 2);
    tern_video_close(v);
    remove(path);
    assert_survives_out_of_memory(tern_video_open(&v, folder));
    assert_ok(read_all(v, true, NULL, &count));
    assert_int_equal(count, 2);
    tern_video_close(v);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%d.png", folder, i);
        remove(path);
    }
    assert_error(tern_video_open(&v, folder), TERN_FAILED, "no frames");
    rmdir(folder);
    assert_error(tern_video_open(&v, "/nowhere.y4m"), TERN_FAILED, "/nowhere.y4m");
}

static tern_status read_damaged(const void *bytes, size_t size)
{
    tern_video *v;
    int count;
    TERN_TRY(tern_video_parse(&v, bytes, size, "damaged"));
    tern_status status = read_all(v, false, NULL, &count);
    tern_video_close(v);
    return status;
}

static void test_damage(void **state)
{
    (void)state;
    static char file[65536];
    size_t size = make_y4m(file, "C420", 3, 15 + 2 * 6);
    assert_true(damage_attempt(read_damaged, file, size));
    assert_true(damage_cut(read_damaged, file, size) <= 3); /* after a whole frame, and none at all */
    damage_flip(read_damaged, file, size, 2000);
    size = make_avi(file, "MJPG");
    assert_true(damage_attempt(read_damaged, file, size));
    damage_cut(read_damaged, file, size);
    damage_flip(read_damaged, file, size, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_colours), cmocka_unit_test(test_y4m),    cmocka_unit_test(test_avi),
        cmocka_unit_test(test_folder),  cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
