/* Least-squares fits of a block to few levels.
 *
 * For given levels the best scale (and offset) is a linear problem; for given scale the best levels are the nearest.  The
 * two are alternated from several beginnings until the error no longer falls (Lloyd's method), and the best end wins. */
#include "tensor/packed.h"

#include <math.h>
#include <string.h>

enum { TRIALS = 12, ROUNDS = 6 };

static int nearest(float x, int low, int high)
{
    float r = rintf(x);
    return r < (float)low ? low : r > (float)high ? high : (int)r;
}

double tern_fit_levels(const float *x, int n, float scale, float offset, int low, int high, int8_t *q)
{
    float inverse = scale != 0 ? 1 / scale : 0;
    double error = 0;
    if (!isfinite(inverse)) inverse = 0;
    for (int i = 0; i < n; i++) {
        q[i] = (int8_t)nearest((x[i] + offset) * inverse, low, high);
        double e = (double)(scale * (float)q[i] - offset) - (double)x[i];
        error += e * e;
    }
    return error;
}

/* sum x q / sum q q, and what of sum x x that scale takes away */
static double best_scale(const float *x, int n, const int8_t *q, double *saved)
{
    double xq = 0, qq = 0;
    for (int i = 0; i < n; i++) {
        xq += (double)x[i] * q[i];
        qq += (double)q[i] * q[i];
    }
    *saved = qq > 0 ? xq * xq / qq : 0;
    return qq > 0 ? xq / qq : 0;
}

float tern_fit_scale(const float *x, int n, int low, int high, int8_t *q)
{
    int8_t trial[TERN_PACKED_MOST];
    float most = 0;
    double best = 0, result = 0;
    memset(q, 0, (size_t)n);
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(most)) most = x[i];
    for (int t = 0; most != 0 && t < 2 * TRIALS; t++) {
        /* The extreme falls on the lowest level or, of the other sign, on the highest; or somewhat inside or beyond. */
        double reach = (t & 1 ? high : low) + (t / 2 - TRIALS / 3) * (t & 1 ? 0.15 : -0.15);
        double scale = (double)most / reach, saved = -1, before;
        do {
            before = saved;
            tern_fit_levels(x, n, (float)scale, 0, low, high, trial);
            scale = best_scale(x, n, trial, &saved);
        } while (saved > before && scale != 0);
        if (saved <= best) continue;
        best = saved;
        result = scale;
        memcpy(q, trial, (size_t)n);
    }
    return (float)result;
}

/* The best (scale, offset) for levels: offset >= 0, so that x ~ scale q - offset; false when all levels are equal. */
static bool solve_affine(const float *x, int n, const int8_t *q, double *scale, double *offset)
{
    double sq = 0, sqq = 0, sx = 0, sxq = 0;
    for (int i = 0; i < n; i++) {
        sq += q[i];
        sqq += (double)q[i] * q[i];
        sx += (double)x[i];
        sxq += (double)x[i] * q[i];
    }
    double determinant = n * sqq - sq * sq;
    if (determinant <= 0) return false;
    *scale = (n * sxq - sq * sx) / determinant;
    *offset = (sq * sxq - sqq * sx) / determinant;
    if (*offset < 0) {
        *offset = 0;
        *scale = sqq > 0 ? sxq / sqq : 0;
    }
    return *scale > 0;
}

float tern_fit_affine(const float *x, int n, int high, uint8_t *q, float *offset)
{
    int8_t trial[TERN_PACKED_MOST];
    float low = 0, most = x[0], result = 0;
    double best = INFINITY;
    for (int i = 0; i < n; i++) {
        if (x[i] < low) low = x[i];
        if (x[i] > most) most = x[i];
    }
    *offset = -low;
    memset(q, 0, (size_t)n);
    if (most <= low) return 0;
    for (int t = 0; t < TRIALS; t++) {
        double scale = ((double)most - (double)low) / (high + (t - TRIALS / 2) * 0.1 * (high > 3 ? 1 : 0.5)),
               shift = -(double)low;
        for (int round = 0; round < ROUNDS; round++) {
            double error = tern_fit_levels(x, n, (float)scale, (float)shift, 0, high, trial);
            if (error < best) {
                best = error;
                result = (float)scale;
                *offset = (float)shift;
                memcpy(q, trial, (size_t)n);
            } else if (round > 1) {
                break;
            }
            if (!solve_affine(x, n, trial, &scale, &shift)) break;
        }
    }
    return result;
}
