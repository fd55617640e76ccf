/* tensor: every number format there and back, rounding, bits at odd sizes, hostile shapes, casts. */
#include "test.h"

#include "tensor/tensor.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* The value of a half by the definition of IEEE 754: (-1)^s 2^(e-15) 1.f, subnormal 2^-14 0.f. */
static double half_by_definition(unsigned half)
{
    double sign = half & 0x8000 ? -1 : 1, fraction = (half & 1023) / 1024.0;
    int exponent = (int)(half >> 10 & 31);
    if (exponent == 31) return half & 1023 ? (double)NAN : sign * (double)INFINITY;
    return exponent ? sign * ldexp(1 + fraction, exponent - 15) : sign * ldexp(fraction, -14);
}

static void test_every_half(void **state)
{
    (void)state;
    for (unsigned half = 0; half < 65536; half++) {
        double expected = half_by_definition(half), found = (double)tern_f16_to_f32((uint16_t)half);
        uint16_t back = tern_f32_to_f16((float)found);
        if (isnan(expected)) {
            assert_true(isnan(found) && isnan((double)tern_f16_to_f32(back)));
            continue;
        }
        assert_true(found == expected && signbit(found) == signbit(expected));
        assert_int_equal(back, half);
    }
}

/* Between two neighbours the nearer one wins, half way the even one; judged in double, where all this is exact. */
static void check_rounding(double (*decode)(uint16_t), uint16_t (*encode)(double), unsigned last)
{
    for (unsigned low = 0; low < last; low++) {
        double a = decode((uint16_t)low), b = decode((uint16_t)(low + 1)), middle = (a + b) / 2;
        uint16_t even = (uint16_t)(low & 1 ? low + 1 : low);
        assert_int_equal(encode(middle), even);
        assert_int_equal(encode(nextafter(middle, 0)), low);
        assert_int_equal(encode(nextafter(middle, b)), low + 1);
        assert_int_equal(encode(-middle), even | 0x8000);
    }
}

static double decode_f16(uint16_t half)
{
    return (double)tern_f16_to_f32(half);
}

static double decode_bf16(uint16_t half)
{
    return (double)tern_bf16_to_f32(half);
}

static uint16_t encode_as(tern_dtype dtype, double value)
{
    uint16_t half;
    tern_dtype_of(dtype)->encode(&half, 0, 1, &value);
    return half;
}

static uint16_t encode_f16(double value)
{
    return encode_as(TERN_F16, value);
}

static uint16_t encode_bf16(double value)
{
    return encode_as(TERN_BF16, value);
}

static void test_rounding(void **state)
{
    (void)state;
    check_rounding(decode_f16, encode_f16, 0x7bff);   /* up to the largest finite, 65504 */
    check_rounding(decode_bf16, encode_bf16, 0x7f7f); /* up to 0x1.fep127 */
    assert_int_equal(encode_f16(65519.999), 0x7bff);
    assert_int_equal(encode_f16(65520), 0x7c00); /* half way to the next: infinity */
    assert_int_equal(encode_f16(-1e300), 0xfc00);
    assert_int_equal(encode_bf16(1e300), 0x7f80);
    assert_int_equal(tern_f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(tern_f32_to_bf16(-INFINITY), 0xff80);
    assert_true(isnan(decode_bf16(encode_bf16((double)NAN))));
    assert_true(isnan(decode_f16(encode_f16((double)NAN))));
}

static void test_every_integer(void **state)
{
    (void)state;
    for (int i = 0; i < TERN_DTYPES; i++) {
        const tern_dtype_info *info = tern_dtype_of((tern_dtype)i);
        if (!info->exact_integer) continue;
        uint64_t storage[2] = {0};
        double low = info->lowest, high = info->highest, out[4];
        const double in[4] = {low, high, (double)NAN, low + 1};
        info->encode(storage, 0, 4, in);
        info->decode(storage, 0, 4, out);
        assert_true(out[0] == low && out[1] == high && out[3] == low + 1);
        if (i == TERN_BIT) continue; /* anything but zero is a spike */
        const double beyond[4] = {low - 1, high + 1, -(double)INFINITY, (double)INFINITY};
        info->encode(storage, 0, 4, beyond);
        info->decode(storage, 0, 4, out);
        assert_true(out[0] == low && out[1] == high && out[2] == low && out[3] == high);
        const double halves[4] = {0.5, 1.5, 2.5, 3.49};
        info->encode(storage, 0, 4, halves);
        info->decode(storage, 0, 4, out);
        assert_true(out[0] == 0 && out[1] == 2 && out[2] == 2 && out[3] == 3);
    }
}

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < TERN_DTYPES; i++) {
        tern_dtype found;
        assert_ok(tern_dtype_find(tern_dtype_of((tern_dtype)i)->name, &found));
        assert_int_equal(found, i);
    }
    tern_dtype found;
    assert_error(tern_dtype_find("bf61", &found), TERN_USAGE, "did you mean bf16?");
}

/* Bits are packed without gaps, storage is whole words, and the bits behind the last element stay zero. */
static void test_bits(void **state)
{
    (void)state;
    tern_rng rng = {7, 0};
    for (int64_t count = 0; count < 200; count++) {
        tern_tensor bits;
        assert_ok(tern_tensor_new(&bits, TERN_BIT, &TERN_SHAPE(count)));
        size_t bytes = tern_bytes_of(TERN_BIT, count);
        assert_int_equal(bytes, (size_t)(count + 63) / 64 * 8);
        int64_t ones = 0;
        for (int64_t i = 0; i < count; i++) tern_set(&bits, i, 1);
        for (int64_t i = 0; i < count; i++) {
            bool one = tern_rng_u32(rng, (uint64_t)i) & 1;
            tern_set(&bits, i, one);
            ones += one;
        }
        const uint8_t *raw = bits.data;
        for (int64_t i = 0; i < (int64_t)bytes * 8; i++) {
            bool expected = i < count && (tern_rng_u32(rng, (uint64_t)i) & 1);
            assert_int_equal(raw[i / 8] >> (i % 8) & 1, expected);
            if (i < count) assert_int_equal(tern_bit_get(bits.data, i), expected);
        }
        assert_int_equal(tern_count_bits(&bits), ones);
        tern_tensor_free(&bits);
    }
}

static void test_shapes(void **state)
{
    (void)state;
    tern_shape shape = TERN_SHAPE(4, 64, 32, 14, 15);
    char text[96];
    assert_string_equal(tern_shape_text(text, &shape), "[4,64,32,14,15]");
    assert_int_equal(tern_elements(&shape), 4 * 64 * 32 * 14 * 15);
    assert_int_equal(tern_elements_from(&shape, 3), 14 * 15);
    assert_int_equal(tern_elements_upto(&shape, 2), 4 * 64);
    assert_int_equal(tern_elements(&(tern_shape){0}), 1);
    assert_false(tern_shape_equal(&shape, &TERN_SHAPE(4, 64, 32, 14)));
    assert_ok(tern_shape_check(&shape, "x"));
    assert_error(tern_shape_check(&TERN_SHAPE(3, -1), "weights"), TERN_FAILED, "weights: axis 1");
    assert_error(tern_shape_check(&TERN_SHAPE(INT64_MAX, INT64_MAX), "w"), TERN_FAILED, "more elements");
    assert_error(tern_shape_check(&TERN_SHAPE(0, INT64_MAX, INT64_MAX), "w"), TERN_FAILED, "more elements");
    assert_error(tern_shape_check(&(tern_shape){.rank = 7}, "w"), TERN_FAILED, "rank 7");
    assert_error(tern_shape_check(&(tern_shape){.rank = -1}, "w"), TERN_FAILED, "rank -1");
    tern_shape widest = TERN_SHAPE(INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN);
    assert_true(strlen(tern_shape_text(text, &widest)) < 96);
    tern_tensor tensor = {0};
    assert_error(tern_tensor_new(&tensor, TERN_F64, &TERN_SHAPE((int64_t)1 << 56)), TERN_NO_MEMORY, "memory");
    assert_error(tern_tensor_new(&tensor, TERN_F32, &TERN_SHAPE(-3)), TERN_FAILED, "-3");
    tern_tensor_free(&tensor);
}

static tern_status cast_there_and_back(void)
{
    tern_shape shape = TERN_SHAPE(3, 171); /* odd, and more than one chunk */
    tern_tensor a = {0}, b = {0}, c = {0};
    tern_status status;
    TERN_GOTO(end, tern_tensor_new(&a, TERN_I8, &shape));
    TERN_GOTO(end, tern_tensor_new(&b, TERN_F16, &TERN_SHAPE(513)));
    TERN_GOTO(end, tern_tensor_new(&c, TERN_I8, &shape));
    for (int64_t i = 0; i < 513; i++) tern_set(&a, i, (double)(i % 256 - 128));
    TERN_GOTO(end, tern_tensor_cast(&b, &a));
    TERN_GOTO(end, tern_tensor_cast(&c, &b));
    if (memcmp(a.data, c.data, 513) != 0) status = tern_fail(TERN_FAILED, "the cast changed values");
end:
    tern_tensor_free(&a);
    tern_tensor_free(&b);
    tern_tensor_free(&c);
    return status;
}

static void test_casts(void **state)
{
    (void)state;
    assert_ok(cast_there_and_back());
    assert_survives_out_of_memory(cast_there_and_back());
    float in[3] = {1, 2, 3}, out[2];
    tern_tensor from = {TERN_F32, TERN_SHAPE(3), in}, to = {TERN_F32, TERN_SHAPE(2), out};
    assert_error(tern_tensor_cast(&to, &from), TERN_FAILED, "[3] and [2]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_half),    cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_every_integer), cmocka_unit_test(test_names),
        cmocka_unit_test(test_bits),          cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_casts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
