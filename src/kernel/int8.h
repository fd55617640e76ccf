/* int8: what nets of bytes compute.  Sums of products are exact in 32 bits (they wrap around) and become bytes again by a
 * multiplier and a shift, rounded as in TensorFlow Lite's reference kernels (Jacob et al., CVPR 2018, arXiv 1712.05877). */
#ifndef TERN_KERNEL_INT8_H
#define TERN_KERNEL_INT8_H

#include "kernel/kernel.h"

/* x multiplier 2^(shift - 31): to the left, the high half of the doubled product (halves go up), to the right (halves go
 * away from 0).  multiplier >= 0, -31 <= shift <= 30. */
static inline int32_t tern_requantise(int32_t x, int32_t multiplier, int shift)
{
    int left = shift > 0 ? shift : 0, right = left - shift;
    int64_t product = (int64_t)(int32_t)((uint32_t)x << left) * multiplier;
    int32_t high = (int32_t)((product + (1LL << 30)) >> 31), mask = (int32_t)((1u << right) - 1);
    return (high >> right) + ((high & mask) > (mask >> 1) + (high < 0));
}

static inline int8_t tern_clamp_byte(int32_t x, int32_t low, int32_t high)
{
    return (int8_t)(x < low ? low : x > high ? high : x);
}

/* The nearest whole number, halves away from 0, of |x| < 2^23. */
static inline int32_t tern_round_float(float x)
{
    int32_t whole = (int32_t)x;
    float rest = x - (float)whole;
    return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

/* Sums to bytes: y = clamp(requantise(sum + bias[o], multiplier[o], shift[o]) + zero, low, high) of output o; of one
 * multiplier for all, `each` is 0, else 1.  in_zero: the byte that stands for 0 around an image. */
typedef struct tern_int8_scale {
    const int32_t *bias, *multiplier;
    const int8_t *shift;
    int each;
    int32_t in_zero, zero, low, high;
} tern_int8_scale;

/* y[rows,n] from x[rows,k] and w[n,k]. */
size_t tern_int8_linear_scratch(int64_t rows, int64_t n, int64_t k);
void tern_int8_linear(tern_pool *pool, int64_t rows, int64_t n, int64_t k, const int8_t *x, const int8_t *w,
                      const tern_int8_scale *scale, int8_t *y, void *scratch);

/* y of conv's geometry; outside the image x is in_zero. */
size_t tern_int8_conv_scratch(const tern_conv *conv);
void tern_int8_conv(tern_pool *pool, const tern_conv *conv, const int8_t *x, const int8_t *w,
                    const tern_int8_scale *scale, int8_t *y, void *scratch);

/* Sum of two tensors with scales of their own: each is shifted left by 20, then
 *   y = clamp(requantise(a' + b', multiplier, shift) + zero),  a' = requantise((a - a_zero) << 20, a_multiplier, a_shift). */
enum { TERN_ADD_A, TERN_ADD_B = 3, TERN_ADD_Y = 6, TERN_ADD_LOW = 9, TERN_ADD_HIGH, TERN_ADD_CONSTANTS };
/* q[TERN_ADD_CONSTANTS]: zero, multiplier and shift of a, of b, of y, then the limits.  Before and behind those: */
static inline int32_t tern_int8_whole_sum(int8_t a, int8_t b, const int32_t *q)
{
    int32_t left = tern_requantise((a - q[TERN_ADD_A]) * (1 << 20), q[TERN_ADD_A + 1], q[TERN_ADD_A + 2]);
    int32_t right = tern_requantise((b - q[TERN_ADD_B]) * (1 << 20), q[TERN_ADD_B + 1], q[TERN_ADD_B + 2]);
    return tern_requantise(left + right, q[TERN_ADD_Y + 1], q[TERN_ADD_Y + 2]) + q[TERN_ADD_Y];
}
static inline int8_t tern_int8_sum(int8_t a, int8_t b, const int32_t *q)
{
    return tern_clamp_byte(tern_int8_whole_sum(a, b, q), q[TERN_ADD_LOW], q[TERN_ADD_HIGH]);
}
/* The same with b' taken off: halves go up, so that this is not the sum with a multiplier below 0. */
static inline int8_t tern_int8_difference(int8_t a, int8_t b, const int32_t *q)
{
    int32_t left = tern_requantise((a - q[TERN_ADD_A]) * (1 << 20), q[TERN_ADD_A + 1], q[TERN_ADD_A + 2]);
    int32_t right = tern_requantise((b - q[TERN_ADD_B]) * (1 << 20), q[TERN_ADD_B + 1], q[TERN_ADD_B + 2]);
    int32_t y = tern_requantise(left - right, q[TERN_ADD_Y + 1], q[TERN_ADD_Y + 2]) + q[TERN_ADD_Y];
    return tern_clamp_byte(y, q[TERN_ADD_LOW], q[TERN_ADD_HIGH]);
}
/* Product: y = clamp(requantise((a - a_zero)(b - b_zero), multiplier, shift) + zero), with zeros of a, b and y, multiplier,
 * shift and the limits in q[TERN_MULTIPLY_CONSTANTS].  Means of axes (mean_int8) have zero, multiplier, shift, zero of y. */
enum { TERN_MULTIPLY_CONSTANTS = 7, TERN_MEAN_CONSTANTS = 4 };
static inline int8_t tern_int8_product(int8_t a, int8_t b, const int32_t *q)
{
    return tern_clamp_byte(tern_requantise((a - q[0]) * (b - q[1]), q[3], q[4]) + q[2], q[5], q[6]);
}
void tern_int8_add(tern_pool *pool, int64_t n, const int8_t *a, const int8_t *b, const int32_t *q, int8_t *y);

/* x / scale + zero as a byte, saturated; what is no number becomes zero. */
static inline int8_t tern_float_to_byte(float x, float scale, int32_t zero)
{
    float t = x / scale;
    t = t == t ? t : 0;
    t = t > -1024 ? t : -1024;
    t = t < 1024 ? t : 1024;
    return tern_clamp_byte(tern_round_float(t) + zero, INT8_MIN, INT8_MAX);
}
void tern_int8_from_float(tern_pool *pool, int64_t n, const float *x, float scale, int32_t zero, int8_t *y);

/* Highest byte of each window. */
void tern_int8_max_pool(tern_pool *pool, const tern_conv *window, const int8_t *x, int8_t *y);

/* The inner loops, per instruction set. */
typedef struct tern_int8_loops {
    /* n sums of output o, or of outputs 0 .. n */
    void (*row)(int64_t n, const int32_t *sums, int64_t o, const tern_int8_scale *scale, int8_t *y);
    void (*columns)(int64_t n, const int32_t *sums, const tern_int8_scale *scale, int8_t *y);
    /* sums[out_height, out_width] = the sum over taps of w (x - zero), x the plane, outside of which nothing is added */
    void (*plane)(const tern_conv *conv, const int8_t *x, const int8_t *w, int32_t zero, int32_t *sums);
    void (*add)(int64_t n, const int8_t *a, const int8_t *b, const int32_t *q, int8_t *y);
    void (*from_float)(int64_t n, const float *x, float scale, int32_t zero, int8_t *y);
    /* y[i] = the higher of y[i] and x[i step]; first: x[i step] */
    void (*highest)(int64_t n, int64_t step, const int8_t *x, bool first, int8_t *y);
} tern_int8_loops;

#endif
