/* int16: what nets with activations of 16 bits and weights of bytes compute.  A number q of 16 bits stands for scale q: their zero
 * is 0. */
#ifndef TERN_KERNEL_INT16_H
#define TERN_KERNEL_INT16_H

#include "kernel/int8.h"

static inline int16_t tern_clamp_short(int32_t x, int32_t low, int32_t high)
{
    return (int16_t)(x < low ? low : x > high ? high : x);
}

/* Sum of two tensors with scales of their own, by the constants of kernel/int8.h, but shifted left by 15. */
static inline int16_t tern_int16_sum(int16_t a, int16_t b, const int32_t *q)
{
    int32_t left = tern_requantise((a - q[TERN_ADD_A]) * (1 << 15), q[TERN_ADD_A + 1], q[TERN_ADD_A + 2]);
    int32_t right = tern_requantise((b - q[TERN_ADD_B]) * (1 << 15), q[TERN_ADD_B + 1], q[TERN_ADD_B + 2]);
    int32_t y = tern_requantise(left + right, q[TERN_ADD_Y + 1], q[TERN_ADD_Y + 2]) + q[TERN_ADD_Y];
    return tern_clamp_short(y, q[TERN_ADD_LOW], q[TERN_ADD_HIGH]);
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
