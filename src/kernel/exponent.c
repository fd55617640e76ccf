/* Exponentials in whole numbers: see exponent.h.  Constants are e^-(2^k) and others in units of 2^-31. */
#include "kernel/exponent.h"

/* e^x for x in [-1/4, 0): the series around -1/8 up to the fourth power. */
static int32_t exp_of_quarter(int32_t x)
{
    const int32_t middle = 1895147668 /* e^-1/8 */, third = 715827883;
    int32_t d = x + (1 << 28), square = tern_high_product(d, d), cube = tern_high_product(square, d);
    int32_t fourth = tern_shift_down(tern_high_product(square, square), 2);
    int32_t rest = tern_shift_down(tern_high_product(fourth + cube, third) + square, 1);
    return middle + tern_high_product(middle, d + rest);
}

int32_t tern_exp_negative(int32_t x, int bits)
{
    /* e^-(2^k) for k = -2 .. 4: one factor for each bit of what is left above a quarter */
    static const int32_t factors[] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    const int32_t quarter = 1 << (29 - bits);
    if (x == 0) return INT32_MAX;
    int32_t part = (x & (quarter - 1)) - quarter, rest = part - x;
    int32_t y = exp_of_quarter(tern_shift_up(part, bits));
    for (int k = 0; k < bits + 2; k++)
        if (rest & (int32_t)((uint32_t)quarter << k)) y = tern_high_product(y, factors[k]);
    return y;
}

/* Half of 1 + x, and by Newton's method 1 over that in units of 2^-29. */
static int32_t reciprocal_of_half(int32_t x)
{
    const int32_t first = 1515870810 /* 48/17 */, slope = -1010580540 /* -32/17 */, one = 1 << 29;
    int32_t half = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2), y = first + tern_high_product(half, slope);
    for (int i = 0; i < 3; i++) {
        int32_t error = one - tern_high_product(half, y);
        y += tern_shift_up(tern_high_product(y, error), 2);
    }
    return y;
}

int32_t tern_one_over_one_plus(int32_t x)
{
    return tern_shift_up(reciprocal_of_half(x), 1);
}

int32_t tern_fixed_logistic(int32_t x)
{
    if (x == 0) return 1 << 30;
    int32_t y = tern_one_over_one_plus(tern_exp_negative(x > 0 ? -x : x, 4));
    return x > 0 ? y : INT32_MAX - y;
}

/* (1 - e^-2x) / (1 + e^-2x): as whole numbers, x in units of 2^-27 is 2x in units of 2^-26. */
int32_t tern_fixed_tanh(int32_t x)
{
    if (x == 0) return 0;
    int32_t y = tern_shift_up(reciprocal_of_half(tern_exp_negative(x > 0 ? -x : x, 5)) - (1 << 29), 2);
    return x > 0 ? y : -y;
}

tern_share tern_share_of(int32_t sum)
{
    int zeros = 0;
    while (zeros < 31 && !((uint32_t)sum << zeros >> 31)) zeros++;
    int32_t rest = (int32_t)(((uint32_t)sum << zeros) - (1u << 31));
    return (tern_share){tern_one_over_one_plus(rest), 12 - zeros + 31 - 8};
}
