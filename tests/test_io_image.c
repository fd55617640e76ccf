/* io: PNG and JPEG against Pillow, resizing against its definition, damage, memory that fails. */
#include "damage.h"
#include "golden.h"
#include "test.h"

#include "io/io.h"

#include <math.h>

/* The golden picture [3,9,12]: red grows to the right, green downwards, blue with both. */
static int pixel(int c, int y, int x)
{
    return c == 0 ? x * 255 / 11 : c == 1 ? y * 255 / 8 : (x + y) * 255 / 19;
}

static void assert_picture(const char *file, int channels, int tolerance)
{
    tern_tensor t;
    assert_ok(tern_image_read(golden(file), &t));
    assert_int_equal(t.dtype, TERN_U8);
    assert_true(tern_shape_equal(&t.shape, &TERN_SHAPE(channels, 9, 12)));
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < 9; y++)
            for (int x = 0; x < 12; x++) {
                int got = (int)tern_get(&t, (c * 9 + y) * 12 + x);
                if (abs(got - pixel(c, y, x)) > tolerance)
                    fail_msg("%s: [%d,%d,%d] is %d, expected %d", file, c, y, x, got, pixel(c, y, x));
            }
    tern_tensor_free(&t);
}

/* Equal to what Pillow decoded, but for rounding. */
static void assert_like_pillow(const char *file, const char *array, int tolerance)
{
    tern_tensor a, b;
    assert_ok(tern_image_read(golden(file), &a));
    assert_ok(tern_npy_read(golden(array), &b));
    assert_true(tern_shape_equal(&a.shape, &b.shape));
    for (int64_t i = 0; i < tern_elements(&a.shape); i++)
        assert_true(fabs(tern_get(&a, i) - tern_get(&b, i)) <= tolerance);
    tern_tensor_free(&a);
    tern_tensor_free(&b);
}

static void test_formats(void **state)
{
    (void)state;
    assert_picture("colour.png", 3, 0);
    assert_picture("grey.png", 1, 0);
    assert_picture("grey-16.png", 1, 0);
    assert_picture("alpha.png", 3, 0);
    assert_picture("interlaced.png", 3, 0);
    assert_picture("colour.jpg", 3, 12);
    assert_picture("progressive.jpg", 3, 12);
    assert_picture("grey.jpg", 1, 12);
    assert_like_pillow("colour.jpg", "colour-jpg.npy", 2); /* decoders may round differently */
    assert_like_pillow("palette.png", "palette-png.npy", 0);
    tern_tensor t;
    assert_ok(tern_image_read(golden("bits.png"), &t));
    assert_int_equal(t.shape.dim[0], 1);
    for (int i = 0; i < 108; i++) assert_true(tern_get(&t, i) == 0 || tern_get(&t, i) == 255);
    tern_tensor_free(&t);
    assert_error(tern_image_parse("GIF89a", 6, "a.gif", &t), TERN_FAILED, "a.gif: neither PNG nor JPEG");
}

static void test_resize(void **state)
{
    (void)state;
    uint8_t in[] = {0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110}; /* [1,3,4] */
    tern_tensor a = {TERN_U8, TERN_SHAPE(1, 3, 4), in}, b;
    assert_ok(tern_image_resize(&a, 1, 2, TERN_RESIZE_AREA, &b));
    assert_true(tern_get(&b, 0) == 45 && tern_get(&b, 1) == 65);
    tern_tensor_free(&b);
    assert_ok(
        tern_image_resize(&a, 3, 3, TERN_RESIZE_AREA, &b)); /* each covers 4/3: (0 + 10/3) / (4/3) = 2.5 */
    assert_true(tern_get(&b, 0) == 3 && tern_get(&b, 1) == 15 && tern_get(&b, 2) == 28);
    tern_tensor_free(&b);
    assert_ok(tern_image_resize(&a, 3, 8, TERN_RESIZE_BILINEAR, &b));
    static const int want[] = {0, 3, 8, 13, 18, 23, 28, 30};
    for (int i = 0; i < 8; i++) assert_true(tern_get(&b, i) == want[i]);
    tern_tensor_free(&b);
    assert_ok(tern_image_resize(&a, 3, 4, TERN_RESIZE_BILINEAR, &b));
    assert_memory_equal(b.data, in, sizeof in);
    tern_tensor_free(&b);
    assert_error(tern_image_resize(&a, 0, 4, TERN_RESIZE_AREA, &b), TERN_FAILED, "4 x 0 pixels");
}

static void test_grey(void **state)
{
    (void)state;
    uint8_t in[] = {255, 0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255}; /* [3,1,4]: red, green, blue, white */
    tern_tensor a = {TERN_U8, TERN_SHAPE(3, 1, 4), in}, b;
    assert_ok(tern_image_grey(&a, &b));
    assert_true(tern_shape_equal(&b.shape, &TERN_SHAPE(1, 1, 4)));
    static const int want[] = {76, 150, 29, 255};
    for (int i = 0; i < 4; i++) assert_true(tern_get(&b, i) == want[i]);
    tern_tensor_free(&b);
}

/* ---- damage -------------------------------------------------------------------------------------------------- */

static tern_status read_image(const void *bytes, size_t count)
{
    tern_tensor t = {0};
    TERN_TRY(tern_image_parse(bytes, count, "damaged", &t));
    tern_tensor_free(&t);
    return TERN_OK;
}

static const char *const damaged[] = {"colour.png", "palette.png", "interlaced.png", "colour.jpg",
                                      "progressive.jpg"};

static void test_damage(void **state)
{
    (void)state;
    for (size_t i = 0; i < TERN_COUNT(damaged); i++) {
        size_t count;
        char *bytes = golden_bytes(damaged[i], &count);
        assert_true(damage_attempt(read_image, bytes, count));
        assert_int_equal(damage_cut(read_image, bytes, count), 0);
        damage_flip(read_image, bytes, count, 10000);
        tern_release(bytes);
    }
}

static tern_status memory_job(const char *file)
{
    tern_tensor t = {0};
    TERN_TRY(tern_image_read(golden(file), &t));
    tern_tensor_free(&t);
    return TERN_OK;
}

static tern_status resize_job(void)
{
    tern_tensor a = {0}, b = {0};
    TERN_TRY(tern_tensor_new(&a, TERN_U8, &TERN_SHAPE(1, 3, 4)));
    tern_status status = tern_image_resize(&a, 2, 2, TERN_RESIZE_AREA, &b);
    tern_tensor_free(&a);
    tern_tensor_free(&b);
    return status;
}

static void test_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < TERN_COUNT(damaged); i++) assert_survives_out_of_memory(memory_job(damaged[i]));
    assert_survives_out_of_memory(resize_job());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats), cmocka_unit_test(test_resize), cmocka_unit_test(test_grey),
        cmocka_unit_test(test_damage),  cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests_name("io: images", tests, NULL, NULL);
}
