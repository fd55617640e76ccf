/* Exponentials in whole numbers: see exponent.h.  Constants are e^-(2^k) and others in units of 2^-31. */
#include "kernel/exponent.h"

#include <math.h>

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

/* The logistic function of k/24 in units of 2^-16: what 16-bit kernels of TensorFlow Lite interpolate.  Its last bits follow
 * no rounding, so that they are listed. */
const int32_t tern_logistic_steps[256] = {
    32768, 33451, 34133, 34813, 35493, 36169, 36843, 37513, 38180, 38841, 39498, 40149, 40794, 41432, 42064,
    42688, 43304, 43912, 44511, 45102, 45683, 46255, 46817, 47369, 47911, 48443, 48964, 49475, 49975, 50464,
    50942, 51409, 51865, 52311, 52745, 53169, 53581, 53983, 54374, 54755, 55125, 55485, 55834, 56174, 56503,
    56823, 57133, 57433, 57724, 58007, 58280, 58544, 58800, 59048, 59288, 59519, 59743, 59959, 60168, 60370,
    60565, 60753, 60935, 61110, 61279, 61441, 61599, 61750, 61896, 62036, 62172, 62302, 62428, 62549, 62666,
    62778, 62886, 62990, 63090, 63186, 63279, 63368, 63454, 63536, 63615, 63691, 63765, 63835, 63903, 63968,
    64030, 64090, 64148, 64204, 64257, 64308, 64357, 64405, 64450, 64494, 64536, 64576, 64614, 64652, 64687,
    64721, 64754, 64786, 64816, 64845, 64873, 64900, 64926, 64950, 64974, 64997, 65019, 65039, 65060, 65079,
    65097, 65115, 65132, 65149, 65164, 65179, 65194, 65208, 65221, 65234, 65246, 65258, 65269, 65280, 65291,
    65301, 65310, 65319, 65328, 65337, 65345, 65352, 65360, 65367, 65374, 65381, 65387, 65393, 65399, 65404,
    65410, 65415, 65420, 65425, 65429, 65433, 65438, 65442, 65445, 65449, 65453, 65456, 65459, 65462, 65465,
    65468, 65471, 65474, 65476, 65479, 65481, 65483, 65485, 65488, 65489, 65491, 65493, 65495, 65497, 65498,
    65500, 65501, 65503, 65504, 65505, 65507, 65508, 65509, 65510, 65511, 65512, 65513, 65514, 65515, 65516,
    65517, 65517, 65518, 65519, 65520, 65520, 65521, 65522, 65522, 65523, 65523, 65524, 65524, 65525, 65525,
    65526, 65526, 65526, 65527, 65527, 65528, 65528, 65528, 65529, 65529, 65529, 65529, 65530, 65530, 65530,
    65530, 65531, 65531, 65531, 65531, 65531, 65532, 65532, 65532, 65532, 65532, 65532, 65533, 65533, 65533,
    65533, 65533, 65533, 65533, 65533, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534,
    65535,
};

/* x (in units of 2^-12 where multiplier is 3) in steps of 2^-bits, and what lies between two of them; halves up. */
static uint32_t steps_of(const int32_t *steps, uint32_t size, int bits, uint32_t highest)
{
    uint32_t at = size >> bits, rest = size & ((1u << bits) - 1);
    if (at >= 255) return highest << bits;
    return ((uint32_t)steps[at] << bits) + rest * (uint32_t)(steps[at + 1] - steps[at]);
}

static int32_t scaled_short(int16_t x, int32_t multiplier, int shift)
{
    return (x * multiplier + (shift > 0 ? 1 << (shift - 1) : 0)) >> shift;
}

int16_t tern_short_logistic(const int32_t *steps, int16_t x, int32_t multiplier, int shift)
{
    int32_t scaled = scaled_short(x, multiplier, shift);
    uint32_t size = (uint32_t)(scaled < 0 ? -scaled : scaled), y = steps_of(steps, size, 9, 0xffff);
    if (size >> 9 >= 255) y = 0x7fffu << 10;
    y = scaled >= 0 ? y + (1u << 9) : (1u << 25) - y + (1u << 9) - 1;
    return (int16_t)(y >> 10);
}

int16_t tern_short_tanh(const int32_t *steps, int16_t x, int32_t multiplier, int shift)
{
    int32_t scaled = scaled_short(x, multiplier, shift);
    uint32_t size = (uint32_t)(scaled < 0 ? -scaled : scaled);
    int32_t y = (int32_t)steps_of(steps, size, 8, 0xffff);
    y = scaled >= 0 ? y - (1 << 23) + (1 << 7) : -y + (1 << 23) + (1 << 7) - 1;
    return (int16_t)(y >> 8);
}

/* In single precision: bits of the reference are those. */
static int16_t limited_short(float x)
{
    return (int16_t)(x < INT16_MIN ? INT16_MIN : x > INT16_MAX ? INT16_MAX : x);
}

static void fill_steps(int16_t *steps, float scale, int zero, float f(float))
{
    const float unit = 2.0f / 65535, low = scale * (float)(INT16_MIN - zero),
                high = scale * (float)(INT16_MAX - zero), step = (high - low) / 512, half = step / 2,
                whole = 65536.0f / (unit * INT16_MAX - unit * INT16_MIN);
    for (int i = 0; i < 512; i++) {
        float x = low + (float)i * step, y = roundf(f(x) * whole), next = f(low + (float)(i + 1) * step);
        float between = roundf((next * whole + y) / 2), middle = roundf(f(x + half) * whole);
        steps[i] = limited_short(y - roundf((between - middle) / 2));
    }
    steps[512] = limited_short(roundf(f(high) * whole));
}

static float exponential(float x)
{
    return (float)exp((double)x);
}

static float reciprocal_beside_one(float x)
{
    return 1 / (1 + x);
}

void tern_short_exponentials(int16_t steps[TERN_SHORT_STEPS])
{
    fill_steps(steps, 10.0f / 65535, INT16_MAX, exponential);
}

void tern_short_reciprocals(int16_t steps[TERN_SHORT_STEPS])
{
    fill_steps(steps, 1.0f / 65535, INT16_MIN, reciprocal_beside_one);
}
