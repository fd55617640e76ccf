/* The number formats, one record each. */
#include "tensor/packed.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Round to nearest even and saturate to [low, high]; NaN becomes 0, the only integer that it can be. */
static double to_integer(double value, double low, double high)
{
    if (isnan(value)) return 0;
    value = nearbyint(value);
    return value < low ? low : value > high ? high : value;
}

/* double to float so that rounding the float again gives what rounding the double once would have given: an inexact
 * value is cut towards zero and its last bit set ("round to odd"; Boldo and Melquiond, IEEE Trans. Computers 2008). */
static float to_odd(double value)
{
    float near = (float)value;
    if ((double)near == value || isnan(value)) return near;
    if (fabs((double)near) > fabs(value)) near = nextafterf(near, 0);
    uint32_t bits;
    memcpy(&bits, &near, sizeof bits);
    bits |= 1;
    memcpy(&near, &bits, sizeof near);
    return near;
}

#define CODEC(name, type, to_double, from_double)                                                            \
    static void name##_decode(const void *storage, int64_t first, int64_t count, double *out)                \
    {                                                                                                        \
        const type *p = (const type *)storage + first;                                                       \
        for (int64_t i = 0; i < count; i++) {                                                                \
            type x = p[i];                                                                                   \
            out[i] = to_double;                                                                              \
        }                                                                                                    \
    }                                                                                                        \
    static void name##_encode(void *storage, int64_t first, int64_t count, const double *in)                 \
    {                                                                                                        \
        type *p = (type *)storage + first;                                                                   \
        for (int64_t i = 0; i < count; i++) {                                                                \
            double x = in[i];                                                                                \
            p[i] = (type)(from_double);                                                                      \
        }                                                                                                    \
    }

CODEC(f32, float, x, x)
CODEC(f64, double, x, x)
CODEC(f16, uint16_t, (double)tern_f16_to_f32(x), tern_f32_to_f16(to_odd(x)))
CODEC(bf16, uint16_t, (double)tern_bf16_to_f32(x), tern_f32_to_bf16(to_odd(x)))
CODEC(i32, int32_t, x, to_integer(x, INT32_MIN, INT32_MAX))
CODEC(i16, int16_t, x, to_integer(x, INT16_MIN, INT16_MAX))
CODEC(i8, int8_t, x, to_integer(x, INT8_MIN, INT8_MAX))
CODEC(u8, uint8_t, x, to_integer(x, 0, UINT8_MAX))

static void bit_decode(const void *storage, int64_t first, int64_t count, double *out)
{
    for (int64_t i = 0; i < count; i++) out[i] = tern_bit_get(storage, first + i);
}

static void bit_encode(void *storage, int64_t first, int64_t count, const double *in)
{
    uint8_t *bytes = storage;
    for (int64_t i = 0; i < count; i++) {
        uint8_t mask = (uint8_t)(1u << ((first + i) & 7)), *byte = &bytes[(first + i) >> 3];
        if (in[i] != 0)
            *byte |= mask;
        else
            *byte &= (uint8_t)~mask;
    }
}

#define PACKED(id, name, elements, bytes)                                                                    \
    [TERN_##id] = {#name,                                                                                    \
                   elements,                                                                                 \
                   bytes,                                                                                    \
                   -65504,                                                                                   \
                   65504,                                                                                    \
                   false,                                                                                    \
                   tern_##name##_decode,                                                                     \
                   tern_##name##_encode,                                                                     \
                   tern_##name##_unpack}

static const tern_dtype_info dtypes[TERN_DTYPES] = {
    [TERN_F32] = {"f32", 1, 4, -FLT_MAX, FLT_MAX, false, f32_decode, f32_encode, NULL},
    [TERN_F16] = {"f16", 1, 2, -65504, 65504, false, f16_decode, f16_encode, NULL},
    [TERN_BF16] = {"bf16", 1, 2, -0x1.fep127, 0x1.fep127, false, bf16_decode, bf16_encode, NULL},
    [TERN_F64] = {"f64", 1, 8, -DBL_MAX, DBL_MAX, false, f64_decode, f64_encode, NULL},
    [TERN_I32] = {"i32", 1, 4, INT32_MIN, INT32_MAX, true, i32_decode, i32_encode, NULL},
    [TERN_I16] = {"i16", 1, 2, INT16_MIN, INT16_MAX, true, i16_decode, i16_encode, NULL},
    [TERN_I8] = {"i8", 1, 1, INT8_MIN, INT8_MAX, true, i8_decode, i8_encode, NULL},
    [TERN_U8] = {"u8", 1, 1, 0, UINT8_MAX, true, u8_decode, u8_encode, NULL},
    [TERN_BIT] = {"bit", 64, 8, 0, 1, true, bit_decode, bit_encode, NULL},
    PACKED(Q4_0, q4_0, 32, 18),
    PACKED(Q4_1, q4_1, 32, 20),
    PACKED(Q5_0, q5_0, 32, 22),
    PACKED(Q5_1, q5_1, 32, 24),
    PACKED(Q8_0, q8_0, 32, 34),
    PACKED(Q2_K, q2_K, 256, 84),
    PACKED(Q3_K, q3_K, 256, 110),
    PACKED(Q4_K, q4_K, 256, 144),
    PACKED(Q5_K, q5_K, 256, 176),
    PACKED(Q6_K, q6_K, 256, 210),
    PACKED(TERNARY, ternary, 256, 66),
    PACKED(NF4, nf4, 64, 36),
    PACKED(NF4X2, nf4x2, 16384, 8456),
};

const tern_dtype_info *tern_dtype_of(tern_dtype dtype)
{
    return &dtypes[dtype];
}

tern_status tern_dtype_find(const char *name, tern_dtype *dtype)
{
    const char *names[TERN_DTYPES];
    for (int i = 0; i < TERN_DTYPES; i++) {
        names[i] = dtypes[i].name;
        if (strcmp(names[i], name) != 0) continue;
        *dtype = (tern_dtype)i;
        return TERN_OK;
    }
    const char *near = tern_nearest(name, names, TERN_DTYPES);
    return tern_fail(TERN_USAGE, "unknown number format \"%s\"%s%s%s", name, near ? "; did you mean " : "",
                     near ? near : "", near ? "?" : "");
}

size_t tern_bytes_of(tern_dtype dtype, int64_t elements)
{
    const tern_dtype_info *info = &dtypes[dtype];
    return (size_t)((elements + info->block - 1) / info->block) * (size_t)info->bytes;
}

double tern_get(const tern_tensor *tensor, int64_t index)
{
    double value;
    dtypes[tensor->dtype].decode(tensor->data, index, 1, &value);
    return value;
}

void tern_set(const tern_tensor *tensor, int64_t index, double value)
{
    dtypes[tensor->dtype].encode(tensor->data, index, 1, &value);
}
