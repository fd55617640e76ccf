/* portable: functions of real numbers that give the same bits wherever products and sums are rounded as IEEE 754 says and not
 * fused: C libraries differ in the last bits of theirs.  Emitted C has the same text (emit/prelude.c). */
#ifndef TERN_KERNEL_PORTABLE_H
#define TERN_KERNEL_PORTABLE_H

#include <stdint.h>
#include <string.h>

/* exp(x) of x <= 0, relative error below 2^-21; 0 below -80 and for what is no number.  Polynomial of Cephes (Moshier). */
static inline float tern_exp_negative(float x)
{
    if (!(x > -80)) return 0;
    int32_t n = (int32_t)(x * 1.44269504f - 0.5f);
    float whole = (float)n, r = x - whole * 0.693359375f, power, y;
    uint32_t bits = (uint32_t)(n + 127) << 23;
    r = r - whole * -2.12194440e-4f;
    y = 1.9875691500e-4f;
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    memcpy(&power, &bits, sizeof power);
    return (y * (r * r) + r + 1) * power;
}

/* log(x) of a normal x > 0, absolute error below 2^-22 (1 + |log x|). */
static inline float tern_log_positive(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    int32_t n = (int32_t)(bits >> 23) - 126;
    bits = (bits & 0x7fffffu) | 126u << 23; /* 0.5 .. 1 */
    memcpy(&x, &bits, sizeof x);
    if (x < 0.707106781f) {
        n--;
        x = x + x;
    }
    float r = x - 1, z = r * r, y = 7.0376836292e-2f;
    y = y * r - 1.1514610310e-1f;
    y = y * r + 1.1676998740e-1f;
    y = y * r - 1.2420140846e-1f;
    y = y * r + 1.4249322787e-1f;
    y = y * r - 1.6668057665e-1f;
    y = y * r + 2.0000714765e-1f;
    y = y * r - 2.4999993993e-1f;
    y = y * r + 3.3333331174e-1f;
    return r + (y * r * z - 0.5f * z) + (float)n * 0.693147181f;
}

/* x as a whole number of less than 2^30: the nearest, halves away from 0, or, with 0 <= chance < 1, up with the probability of
 * the fraction.  What is no number becomes 0. */
static inline int32_t tern_round_by(float x, int stochastic, float chance)
{
    if (!(x == x)) return 0;
    x = x > -1073741824.0f ? x : -1073741824.0f;
    x = x < 1073741824.0f ? x : 1073741824.0f;
    int32_t whole = (int32_t)x;
    float rest = x - (float)whole;
    if (!stochastic) return whole + (rest >= 0.5f) - (rest <= -0.5f);
    if (rest < 0) {
        whole--;
        rest = rest + 1;
    }
    return whole + (rest > chance);
}

/* 0 <= u < 1 of element i of a step: a hash (MurmurHash3's last steps). */
static inline float tern_chance(uint32_t stream, uint32_t step, uint32_t i)
{
    uint32_t h = stream * 0xc2b2ae35u + step * 0x9e3779b9u + i * 0x85ebca6bu;
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    h ^= h >> 16;
    return (float)(h >> 8) * (1.0f / 16777216);
}

#endif
