/* Formats to and from f32.  Loops over plain C are vectorised by the compiler; the 16-bit formats have instructions. */
#include "kernel/cast.h"
#include "kernel/isa/math.h"

static uint32_t word_of(float x)
{
    uint32_t word;
    memcpy(&word, &x, sizeof word);
    return word;
}

static float float_of(uint32_t word)
{
    float x;
    memcpy(&x, &word, sizeof x);
    return x;
}

/* ---- f16 --------------------------------------------------------------------------------------------- */

/* Exponents move from 5 to 8 bits by a product with 2^112, which also makes subnormal numbers normal. */
static float f16_up(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, magnitude = half & 0x7fff;
    float x = float_of(magnitude << 13) * 0x1p112f;
    uint32_t word = magnitude >= 0x7c00 ? 0x7f800000 | magnitude << 13 : word_of(x);
    return float_of(sign | word);
}

static uint16_t f16_down(float x)
{
    uint32_t word = word_of(x), sign = word >> 16 & 0x8000, magnitude = word & 0x7fffffff;
    uint32_t small =
        word_of(float_of(magnitude) + 0.5f) - 0x3f000000; /* below 2^-14: the sum aligns and rounds */
    uint32_t normal = (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13;
    uint32_t half = magnitude < 0x38800000 ? small : normal;
    half = magnitude >= 0x477ff000 ? 0x7c00 : half; /* rounds above 65504 */
    return (uint16_t)(sign | (magnitude > 0x7f800000 ? 0x7e00 : half));
}

static void f16_to_f32(int64_t n, const void *x, void *y)
{
    const uint16_t *from = x;
    float *to = y;
    int64_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(from + i))));
#endif
    for (; i < n; i++) to[i] = f16_up(from[i]);
}

static void f32_to_f16(int64_t n, const void *x, void *y)
{
    const float *from = x;
    uint16_t *to = y;
    int64_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(void *)(to + i), _mm256_cvtps_ph(_mm256_loadu_ps(from + i), 0));
#endif
    for (; i < n; i++) to[i] = f16_down(from[i]);
}

/* ---- bf16: the upper half of an f32 ------------------------------------------------------------------ */

static void bf16_to_f32(int64_t n, const void *x, void *y)
{
    const uint16_t *from = x;
    uint32_t *to = y;
    int64_t i = 0;
#if defined(__AVX2__)
    for (; i + 8 <= n; i += 8) {
        __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(from + i)));
        _mm256_storeu_si256((__m256i *)(void *)(to + i), _mm256_slli_epi32(words, 16));
    }
#endif
    for (; i < n; i++) to[i] = (uint32_t)from[i] << 16;
}

static void f32_to_bf16(int64_t n, const void *x, void *y)
{
    const uint32_t *from = x;
    uint16_t *to = y;
    for (int64_t i = 0; i < n; i++) {
        uint32_t word = from[i], rounded = (word + 0x7fff + (word >> 16 & 1)) >> 16;
        to[i] = (uint16_t)((word & 0x7fffffff) > 0x7f800000 ? (word >> 16 | 0x40) : rounded);
    }
}

/* ---- integers and bits ------------------------------------------------------------------------------- */

/* What lies outside is cut off as a float, so limits are the outermost floats inside the format. */
#define INTEGER(name, type, low, high)                                                                       \
    static void name##_to_f32(int64_t n, const void *x, void *y)                                             \
    {                                                                                                        \
        const type *from = x;                                                                                \
        float *to = y;                                                                                       \
        for (int64_t i = 0; i < n; i++) to[i] = (float)from[i];                                              \
    }                                                                                                        \
    static void f32_to_##name(int64_t n, const void *x, void *y)                                             \
    {                                                                                                        \
        const float *from = x;                                                                               \
        type *to = y;                                                                                        \
        for (int64_t i = 0; i < n; i++) {                                                                    \
            float v = from[i], a = fabsf(v), whole = a + 0x1p23f - 0x1p23f;                                  \
            whole = a < 0x1p23f ? whole : a;                                                                 \
            whole = v < 0 ? -whole : whole;                                                                  \
            whole = whole > (low) ? whole : (low);                                                           \
            whole = whole < (high) ? whole : (high);                                                         \
            to[i] = v == v ? (type)whole : 0;                                                                \
        }                                                                                                    \
    }
INTEGER(i16, int16_t, -32768.0f, 32767.0f)
INTEGER(i8, int8_t, -128.0f, 127.0f)
INTEGER(u8, uint8_t, 0.0f, 255.0f)

static void i32_to_f32(int64_t n, const void *x, void *y)
{
    const int32_t *from = x;
    float *to = y;
    for (int64_t i = 0; i < n; i++) to[i] = (float)from[i];
}

/* 2^31 - 1 is no float: what reaches 2^31 saturates as an integer. */
static void f32_to_i32(int64_t n, const void *x, void *y)
{
    const float *from = x;
    int32_t *to = y;
    for (int64_t i = 0; i < n; i++) {
        float v = from[i], a = fabsf(v), whole = a < 0x1p23f ? a + 0x1p23f - 0x1p23f : a;
        whole = v < 0 ? -whole : whole;
        float inside = whole < 0x1p31f ? whole : 0;
        inside = inside > -0x1p31f ? inside : -0x1p31f;
        to[i] = v != v ? 0 : whole >= 0x1p31f ? INT32_MAX : (int32_t)inside;
    }
}

static void bit_to_f32(int64_t n, const void *x, void *y)
{
    const uint64_t *words = x;
    float *to = y;
    int64_t i = 0;
    for (; i + TERN_LANES <= n; i += TERN_LANES)
        tern_store(to + i, tern_expand_bits(tern_bits_at(words, i, TERN_LANES)));
    for (; i < n; i++) to[i] = (float)(words[i / 64] >> i % 64 & 1);
}

static void f32_to_bit(int64_t n, const void *x, void *y)
{
    const float *from = x;
    uint64_t *words = y;
    for (int64_t i = 0; i < n; i += 64) {
        uint64_t word = 0;
        int64_t count = n - i < 64 ? n - i : 64;
        for (int64_t k = 0; k < count; k++) word |= (uint64_t)(from[i + k] != 0) << k;
        words[i / 64] = word;
    }
}

extern const tern_casts TERN_FOR_ISA(tern_casts);
const tern_casts TERN_FOR_ISA(tern_casts) = {
    .to_f32 = {[TERN_F16] = f16_to_f32,
               [TERN_BF16] = bf16_to_f32,
               [TERN_I32] = i32_to_f32,
               [TERN_I16] = i16_to_f32,
               [TERN_I8] = i8_to_f32,
               [TERN_U8] = u8_to_f32,
               [TERN_BIT] = bit_to_f32},
    .from_f32 = {[TERN_F16] = f32_to_f16,
                 [TERN_BF16] = f32_to_bf16,
                 [TERN_I32] = f32_to_i32,
                 [TERN_I16] = f32_to_i16,
                 [TERN_I8] = f32_to_i8,
                 [TERN_U8] = f32_to_u8,
                 [TERN_BIT] = f32_to_bit},
};
