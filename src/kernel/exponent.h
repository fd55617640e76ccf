/* Exponentials in whole numbers, with the bits of gemmlowp's fixed point, which TensorFlow Lite's reference kernels use:
 * numbers are in units of 2^-31 unless another unit is said. */
#ifndef TERN_KERNEL_EXPONENT_H
#define TERN_KERNEL_EXPONENT_H

#include <stdint.h>

/* a b 2^-31, halves up, -1 times -1 saturated. */
static inline int32_t tern_high_product(int32_t a, int32_t b)
{
    if (a == INT32_MIN && b == INT32_MIN) return INT32_MAX;
    return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

/* x 2^-bits, halves away from 0; 0 <= bits <= 31. */
static inline int32_t tern_shift_down(int32_t x, int bits)
{
    int32_t mask = (int32_t)((1u << bits) - 1);
    return (x >> bits) + ((x & mask) > (mask >> 1) + (x < 0));
}

/* x 2^bits, saturated. */
static inline int32_t tern_shift_up(int32_t x, int bits)
{
    int32_t most = INT32_MAX >> bits;
    return x > most ? INT32_MAX : x < -most - 1 ? INT32_MIN : (int32_t)((uint32_t)x << bits);
}

/* e^x for x <= 0 in units of 2^(bits - 31), 0 < bits <= 5. */
int32_t tern_exp_negative(int32_t x, int bits);
/* 1 / (1 + x) for x in [0,1]. */
int32_t tern_one_over_one_plus(int32_t x);
/* The logistic function, and tanh, of x in units of 2^-27. */
int32_t tern_fixed_logistic(int32_t x);
int32_t tern_fixed_tanh(int32_t x);

/* e / sum in units of 2^-8 is shift_down(high_product(reciprocal, e), shift), for a sum > 0 in units of 2^-19. */
typedef struct tern_share {
    int32_t reciprocal;
    int shift;
} tern_share;
tern_share tern_share_of(int32_t sum);

/* The logistic function of k/24 in units of 2^-16, and what is interpolated between them: the logistic function and tanh of x,
 * which multiplier 2^-shift brings to a third of units of 2^-12; in units of 2^-15.  multiplier < 2^15, 0 <= shift <= 31. */
extern const int32_t tern_logistic_steps[256];
int16_t tern_short_logistic(const int32_t *steps, int16_t x, int32_t multiplier, int shift);
int16_t tern_short_tanh(const int32_t *steps, int16_t x, int32_t multiplier, int shift);

/* 512 steps of a function over all x of 16 bits and where the last one ends; what lies between them is interpolated. */
enum { TERN_SHORT_STEPS = 513 };
static inline int16_t tern_short_between(const int16_t *steps, int16_t x)
{
    int at = 256 + (x >> 7), slope = (int16_t)(steps[at + 1] - steps[at]);
    return (int16_t)(steps[at] + ((slope * (x & 127) + 64) >> 7));
}
/* Those of e^t, -10 <= t <= 0, and of 1 / (1 + t), 0 <= t <= 1, in units of 2^-15, moved so that what is interpolated is least
 * wrong, as the softmax of TensorFlow Lite's reference kernels has them. */
void tern_short_exponentials(int16_t steps[TERN_SHORT_STEPS]);
void tern_short_reciprocals(int16_t steps[TERN_SHORT_STEPS]);

#endif
