/* Rows of nets of bytes: see int8_rows.h.  The texts of emit/prelude.c do the same. */
#include "kernel/int8_rows.h"

#include <string.h>

uint32_t tern_whole_root(uint64_t x)
{
    uint64_t root = 0;
    for (uint64_t bit = 1ull << 54; bit; bit >>= 2) {
        bool in = x >= root + bit;
        if (in) x -= root + bit;
        root = (root >> 1) + (in ? bit : 0);
    }
    return (uint32_t)root;
}

void tern_int8_norm_row(int64_t n, const int8_t *x, const int32_t *weight, const int32_t *bias,
                        const int32_t *q, int8_t *y)
{
    int32_t sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i];
        squares += x[i] * x[i];
    }
    int32_t epsilon = q[TERN_NORM_EPSILON] > 0 ? q[TERN_NORM_EPSILON] : 1; /* 0 before calibration */
    int64_t variance = 16 * (n * squares - (int64_t)sum * sum) + epsilon;
    int shift = 16 + q[TERN_NORM_SHIFT], down = 22;     /* from d / sqrt(V) to units of 2^-16 */
    for (; variance < 1LL << 40; down--) variance *= 4; /* 20 times at most */
    int64_t inverse = (1LL << 46) / tern_whole_root((uint64_t)variance << 12);
    for (int64_t i = 0; i < n; i++) {
        int64_t h = (((int64_t)n * x[i] - sum) * inverse + (1LL << (down - 1))) >> down;
        int64_t whole = h * weight[i] + bias[i] * (1LL << (shift - 8));
        y[i] = tern_clamp_byte((int32_t)((whole + (1LL << (shift - 1))) >> shift) + q[TERN_NORM_ZERO],
                               INT8_MIN, INT8_MAX);
    }
}

/* e^(-p / (256 TERN_ATTEND_STEPS)), p < 65536. */
static int32_t exponential(const int16_t *table, int32_t p)
{
    int32_t at = p >> 8, rest = p & 255;
    return (table[at] * (256 - rest) + table[at + 1] * rest + 128) >> 8;
}

void tern_int8_attend_row(const tern_int8_attention *a, const int8_t *query, int32_t *scratch, int8_t *y)
{
    const int32_t *q = a->q;
    int32_t *scores = scratch, *sums = scratch + a->keys, highest = INT32_MIN, total = 0;
    for (int64_t j = 0; j < a->keys; j++) {
        int32_t sum = 0;
        for (int64_t i = 0; i < a->width; i++)
            sum += (query[i] - q[TERN_ATTEND_QUERY]) * a->k[j * a->k_stride + i];
        scores[j] = sum;
        highest = sum > highest ? sum : highest;
    }
    memset(sums, 0, (size_t)a->out * sizeof *sums);
    for (int64_t j = 0; j < a->keys; j++) {
        int32_t below = highest - scores[j];
        if (below > q[TERN_ATTEND_MOST]) continue;
        int32_t e =
            exponential(a->table, tern_requantise(below, q[TERN_ATTEND_MULTIPLIER], q[TERN_ATTEND_SHIFT]));
        total += e;
        for (int64_t i = 0; i < a->out; i++) sums[i] += e * a->v[j * a->v_stride + i];
    }
    int64_t inverse = (1LL << 40) / (total > 0 ? total : 1); /* the highest counts, once there is a table */
    for (int64_t i = 0; i < a->out; i++) {
        int64_t mean = ((sums[i] - (int64_t)q[TERN_ATTEND_VALUE] * total) * inverse + (1 << 23)) >> 24;
        y[i] = tern_clamp_byte(
            tern_requantise((int32_t)mean, q[TERN_ATTEND_Y_MULTIPLIER], q[TERN_ATTEND_Y_SHIFT]) +
                q[TERN_ATTEND_Y_ZERO],
            INT8_MIN, INT8_MAX);
    }
}

void tern_int8_linear_rows(int64_t rows, int64_t inputs, int64_t outputs, const int8_t *x, const int8_t *w,
                           const tern_int8_scale *s, int8_t *y)
{
    for (int64_t o = 0; o < outputs; o++)
        for (int64_t r = 0; r < rows; r++) {
            uint32_t sum = (uint32_t)s->bias[o];
            for (int64_t i = 0; i < inputs; i++) sum += (uint32_t)(x[r * inputs + i] * w[o * inputs + i]);
            int32_t whole = tern_requantise((int32_t)sum, s->multiplier[o * s->each], s->shift[o * s->each]);
            y[r * outputs + o] = tern_clamp_byte(whole + s->zero, s->low, s->high);
        }
}
