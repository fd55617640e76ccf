/* int16: what nets with activations of 16 bits and weights of bytes compute.  A number q of 16 bits stands for scale q: their zero
 * is 0. */
#ifndef TERN_KERNEL_INT16_H
#define TERN_KERNEL_INT16_H

#include "kernel/int8.h"

static inline int16_t tern_clamp_short(int32_t x, int32_t low, int32_t high)
{
    return (int16_t)(x < low ? low : x > high ? high : x);
}

/* x multiplier 2^(shift - 31) by the upper 16 bits of the multiplier, halves up: sums of 64 bits below 2^47 as TensorFlow Lite's
 * reference kernels round them.  multiplier >= 0, -31 <= shift; above 14 it counts as 14. */
static inline int32_t tern_requantise_wide(int64_t x, int32_t multiplier, int shift)
{
    int64_t upper = multiplier < 0x7fff0000 ? (multiplier + 0x8000) >> 16 : 0x7fff;
    int down = shift > 14 ? 1 : 15 - shift;
    return (int32_t)(((int64_t)((uint64_t)x * (uint64_t)upper + (1ULL << (down - 1)))) >> down);
}

/* Sum of two tensors with scales of their own, by the constants of kernel/int8.h, but shifted left by 15. */
static inline int16_t tern_int16_sum(int16_t a, int16_t b, const int32_t *q)
{
    int32_t left = tern_requantise((a - q[TERN_ADD_A]) * (1 << 15), q[TERN_ADD_A + 1], q[TERN_ADD_A + 2]);
    int32_t right = tern_requantise((b - q[TERN_ADD_B]) * (1 << 15), q[TERN_ADD_B + 1], q[TERN_ADD_B + 2]);
    int32_t y = tern_requantise(left + right, q[TERN_ADD_Y + 1], q[TERN_ADD_Y + 2]) + q[TERN_ADD_Y];
    return tern_clamp_short(y, q[TERN_ADD_LOW], q[TERN_ADD_HIGH]);
}

/* The same with b' taken off. */
static inline int16_t tern_int16_difference(int16_t a, int16_t b, const int32_t *q)
{
    int32_t left = tern_requantise((a - q[TERN_ADD_A]) * (1 << 15), q[TERN_ADD_A + 1], q[TERN_ADD_A + 2]);
    int32_t right = tern_requantise((b - q[TERN_ADD_B]) * (1 << 15), q[TERN_ADD_B + 1], q[TERN_ADD_B + 2]);
    int32_t y = tern_requantise(left - right, q[TERN_ADD_Y + 1], q[TERN_ADD_Y + 2]) + q[TERN_ADD_Y];
    return tern_clamp_short(y, q[TERN_ADD_LOW], q[TERN_ADD_HIGH]);
}

/* Product, by the constants of kernel/int8.h. */
static inline int16_t tern_int16_product(int16_t a, int16_t b, const int32_t *q)
{
    return tern_clamp_short(tern_requantise((a - q[0]) * (b - q[1]), q[3], q[4]) + q[2], q[5], q[6]);
}

/* A number on another scale, with a multiplier and a shift of its own below zero: q[TERN_RESCALE_CONSTANTS] are zero, multiplier
 * and shift, those below zero, the zero of the result and its limits.  Sums wrap around. */
enum {
    TERN_RESCALE_X,
    TERN_RESCALE_ABOVE,
    TERN_RESCALE_BELOW = 3,
    TERN_RESCALE_Y = 5,
    TERN_RESCALE_LOW,
    TERN_RESCALE_HIGH,
    TERN_RESCALE_CONSTANTS
};
static inline int16_t tern_int16_rescaled(int32_t x, const int32_t *q)
{
    int32_t from_zero = x - q[TERN_RESCALE_X];
    const int32_t *factor = q + (from_zero < 0 ? TERN_RESCALE_BELOW : TERN_RESCALE_ABOVE);
    uint32_t y = (uint32_t)tern_requantise(from_zero, factor[0], factor[1]) + (uint32_t)q[TERN_RESCALE_Y];
    return tern_clamp_short((int32_t)y, q[TERN_RESCALE_LOW], q[TERN_RESCALE_HIGH]);
}

/* x / scale + zero as 16 bits, saturated, halves away from 0; what is no number becomes zero. */
static inline int16_t tern_float_to_short(float x, float scale, int32_t zero)
{
    float t = x / scale;
    t = t == t ? t : 0;
    t = t > -131072 ? t : -131072;
    t = t < 131072 ? t : 131072;
    return tern_clamp_short(tern_round_float(t) + zero, INT16_MIN, INT16_MAX);
}

#endif
