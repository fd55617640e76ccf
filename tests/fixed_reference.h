/* Fixed point against integers only, and gradients against finite differences: for the test and the proof. */
#ifndef TERN_FIXED_REFERENCE_H
#define TERN_FIXED_REFERENCE_H

#include "op/fixed.h"

#include <math.h>
#include <stdio.h>

/* v = eighths / 8 by integers only. */
static inline int64_t fixed_round_eighths(tern_round_mode mode, int64_t eighths)
{
    int64_t whole = (eighths - (eighths % 8 + 8) % 8) / 8, rest = eighths - 8 * whole; /* floor, 0 .. 7 */
    bool up[] = {false,
                 whole < 0 && rest > 0,
                 rest >= 4,
                 rest > 4 || (rest == 4 && whole < 0),
                 rest > 4,
                 rest > 4 || (rest == 4 && whole >= 0),
                 rest > 4 || (rest == 4 && whole % 2 != 0)};
    return whole + up[mode];
}

static inline int64_t fixed_reference_fit(tern_overflow mode, int bits, bool positive, int64_t k)
{
    int64_t span = (int64_t)1 << bits, low = positive ? 0 : -span / 2, high = low + span - 1;
    if (mode == TERN_OVERFLOW_SYMMETRIC && !positive) low++;
    if (k >= low && k <= high) return k;
    if (mode == TERN_OVERFLOW_ZERO) return 0;
    if (mode != TERN_OVERFLOW_WRAP) return k < low ? low : high;
    while (k < low) k += span;
    while (k > high) k -= span;
    return k;
}

/* All 7 modes of rounding, 4 of overflow, widths of 2 to 12, signed and not, every eighth over four times the range: how many
 * casts give another code. */
static inline int64_t fixed_casts_that_differ(void)
{
    int64_t count = 0;
    bool saturated;
    for (int mode = 0; mode < 7; mode++)
        for (int over = 0; over < 4; over++)
            for (int bits = 2; bits <= 12; bits++)
                for (int positive = 0; positive < 2; positive++) {
                    tern_fixed_op op = {.bits = bits, .positive = positive, .round = mode, .overflow = over};
                    int64_t range = ((int64_t)1 << bits) * 2 * 8;
                    for (int64_t v = -range; v <= range; v++) {
                        int64_t expected = fixed_reference_fit((tern_overflow)over, bits, positive,
                                                               fixed_round_eighths((tern_round_mode)mode, v));
                        double got = tern_fixed_code(&op, (double)v / 8, &saturated);
                        if (got != (double)expected && count++ < 5)
                            printf("mode %d overflow %d bits %d: %g gives %g, expected %lld\n", mode, over,
                                   bits, (double)v / 8, got, (long long)expected);
                    }
                }
    return count;
}

/* The modes at -2.5 and 2.5, 37 and -40 in 6 bits, and 31.5, whose rounding overflows. */
static inline int fixed_vectors_that_differ(void)
{
    static const double low[] = {-3, -2, -2, -2, -3, -3, -2}, high[] = {2, 2, 3, 2, 2, 3, 2};
    static const double up[] = {-27, 31, 0, 31}, down[] = {24, -32, 0, -31};
    bool saturated;
    int count = 0;
    for (int m = 0; m < 7; m++)
        count += (tern_fixed_round((tern_round_mode)m, -2.5) != low[m]) +
                 (tern_fixed_round((tern_round_mode)m, 2.5) != high[m]);
    for (int o = 0; o < 4; o++) {
        tern_fixed_op op = {.bits = 6, .round = TERN_ROUND_UP, .overflow = (tern_overflow)o};
        count += (tern_fixed_code(&op, 37, &saturated) != up[o]) +
                 (tern_fixed_code(&op, -40, &saturated) != down[o]);
    }
    tern_fixed_op wrap = {.bits = 6, .round = TERN_ROUND_UP, .overflow = TERN_OVERFLOW_WRAP};
    return count + (tern_fixed_code(&wrap, 31.5, &saturated) != -32);
}

/* y with rounding taken as identity, in double. */
static inline double fixed_smooth(const tern_fixed_op *op, double x, double f, double frozen_error)
{
    double k = x * exp2(f), low = tern_fixed_least(op), high = tern_fixed_most(op);
    if (k < low - 0.5) return low * exp2(-f);
    if (k > high + 0.5) return high * exp2(-f);
    return x + frozen_error * exp2(-f); /* the error in units of the last place stays */
}

/* Gradients of a cast to x (absolute) and f (relative from 1 on) against central differences in double: the largest error. */
static inline double fixed_gradient_error(double fit)
{
    enum { N = 200 };
    tern_fixed_op op = {.bits = 5, .round = TERN_ROUND_UP, .overflow = TERN_OVERFLOW_SATURATE, .fit = fit};
    double x[N], dy[N], dx[N], f = 2, df = 0, expected = 0, squares = 0, worst = 0;
    for (int i = 0; i < N; i++) {
        x[i] = 3 * tern_rng_normal((tern_rng){3, 1}, (uint64_t)i);
        dy[i] = tern_rng_normal((tern_rng){3, 2}, (uint64_t)i);
        squares += x[i] * x[i];
    }
    tern_tensor in[] = {
        {TERN_F64, TERN_SHAPE(N), x}, {TERN_F64, TERN_SHAPE(1), &f}, {TERN_F64, TERN_SHAPE(N), dy}};
    tern_tensor out[] = {{TERN_F64, TERN_SHAPE(N), dx}, {TERN_F64, TERN_SHAPE(1), &df}};
    tern_op_fixed_grad.run(
        &(tern_call){.op = &tern_op_fixed_grad, .args = &op, .nin = 3, .nout = 2, .in = in, .out = out});
    for (int i = 0; i < N; i++) {
        double k = x[i] * exp2(f), h = 1e-6, e = tern_fixed_round(TERN_ROUND_UP, k) - k;
        double by_f = (fixed_smooth(&op, x[i], f + h, e) - fixed_smooth(&op, x[i], f - h, e)) / (2 * h);
        double by_x = (fixed_smooth(&op, x[i] + h, f, e) - fixed_smooth(&op, x[i] - h, f, e)) / (2 * h);
        double missed = x[i] - fixed_smooth(&op, x[i], f, e);
        expected += (dy[i] - 2 * fit * missed / squares) * by_f;
        worst = fmax(worst, fabs(dx[i] - dy[i] * by_x));
    }
    return fmax(worst, fabs(df - expected) / fmax(1, fabs(expected)));
}

#endif
