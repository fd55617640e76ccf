/* Constant fraction, matched filter and template fit. */
#include "classic/pulse.h"

#include <math.h>

enum { PHASES = 8, ROUNDS = 12, PIECES = 64 };

const char *const tern_pulse_method_names[TERN_PULSE_METHODS] = {"constant fraction", "matched filter",
                                                                 "template fit"};

static double time_of_peak(const tern_pulse_model *m)
{
    return m->order * m->tau;
}

/* Where the parabola through -1: a, 0: b, 1: c is highest, and how high. */
static double parabola(double a, double b, double c, double *height)
{
    double bend = a - 2 * b + c, at = bend < 0 ? fmin(fmax((a - c) / (2 * bend), -1), 1) : 0;
    *height = b + 0.5 * (c - a) * at + 0.5 * bend * at * at;
    return at;
}

static int highest(const tern_pulse_model *m, const float *x)
{
    int best = 1;
    for (int k = 2; k < m->samples - 1; k++) best = x[k] > x[best] ? k : best;
    return best;
}

/* ---- constant fraction ------------------------------------------------------------------------------------------------ */

/* The cubic through samples k-1 .. k+2 at k + f. */
static double cubic(const float *x, int k, double f)
{
    double a = (double)x[k - 1], b = (double)x[k], c = (double)x[k + 1], d = (double)x[k + 2];
    return -f * (f - 1) * (f - 2) / 6 * a + (f + 1) * (f - 1) * (f - 2) / 2 * b -
           (f + 1) * f * (f - 2) / 2 * c + (f + 1) * f * (f - 1) / 6 * d;
}

/* Where a rising function passes `level` in low .. high, by halving. */
static double passing(double (*value)(const void *, double), const void *of, double level, double low,
                      double high)
{
    for (int i = 0; i < 50; i++) {
        double middle = (low + high) / 2;
        if (value(of, middle) < level)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

static double shape_at(const void *model, double t)
{
    return tern_pulse_shape(model, t, NULL);
}

typedef struct between_samples {
    const float *x;
    int k;
} between_samples;

static double sample_at(const void *context, double f)
{
    const between_samples *b = context;
    return cubic(b->x, b->k, f);
}

static tern_pulse fraction(const tern_pulse_model *m, const float *x)
{
    tern_pulse p;
    int peak = highest(m, x), k = peak;
    parabola((double)x[peak - 1], (double)x[peak], (double)x[peak + 1], &p.amplitude);
    while (k > 1 && (double)x[k] > p.amplitude / 2) k--;
    if (k + 2 >= m->samples) k = m->samples - 3;
    between_samples b = {x, k};
    double half = passing(shape_at, m, 0.5, 0, time_of_peak(m)); /* of the shape itself */
    p.start = k + passing(sample_at, &b, p.amplitude / 2, 0, 1) - half;
    return p;
}

/* ---- matched filter --------------------------------------------------------------------------------------------------- */

/* The product of x with the unit pulse that starts at `start`, over its norm; *amplitude: the factor that fits best. */
static double product(const tern_pulse_model *m, const float *x, double start, double *amplitude)
{
    double sum = 0, norm = 1e-300;
    for (int k = 0; k < m->samples; k++) {
        double s = tern_pulse_shape(m, k - start, NULL);
        sum += s * (double)x[k];
        norm += s * s;
    }
    if (amplitude) *amplitude = sum / norm;
    return sum / sqrt(norm);
}

static tern_pulse filter(const tern_pulse_model *m, const float *x)
{
    double first = highest(m, x) - time_of_peak(m) - 2, step = 1.0 / PHASES, value[4 * PHASES + 1], height;
    int best = 1;
    for (int i = 0; i <= 4 * PHASES; i++) {
        value[i] = product(m, x, first + i * step, NULL);
        if (i > 0 && i < 4 * PHASES && value[i] > value[best]) best = i;
    }
    tern_pulse p;
    p.start = first + step * (best + parabola(value[best - 1], value[best], value[best + 1], &height));
    product(m, x, p.start, &p.amplitude);
    return p;
}

/* ---- template fit ------------------------------------------------------------------------------------------------------- */

static tern_pulse template_fit(const tern_pulse_model *m, const float *x)
{
    tern_pulse p = filter(m, x);
    for (int round = 0; round < ROUNDS; round++) {
        double tt = 0, ta = 0, aa = 0, t = 0, a = 0;
        for (int k = 0; k < m->samples; k++) {
            double slope, s = tern_pulse_shape(m, k - p.start, &slope), d = -p.amplitude * slope;
            double rest = (double)x[k] - p.amplitude * s;
            tt += d * d;
            ta += d * s;
            aa += s * s;
            t += d * rest;
            a += s * rest;
        }
        double determinant = tt * aa - ta * ta;
        if (!(determinant > 0)) break;
        double move = (aa * t - ta * a) / determinant;
        p.start += fmin(fmax(move, -1), 1);
        p.amplitude += (tt * a - ta * t) / determinant;
        if (fabs(move) < 1e-9) break;
    }
    return p;
}

tern_pulse tern_pulse_estimate(const tern_pulse_model *model, tern_pulse_method method, const float *samples)
{
    if (method == TERN_PULSE_FRACTION) return fraction(model, samples);
    return method == TERN_PULSE_FILTER ? filter(model, samples) : template_fit(model, samples);
}

/* ---- all of them ---------------------------------------------------------------------------------------------------------- */

typedef struct comparison {
    const tern_pulse_model *model;
    int split;
    int64_t count;
    struct {
        tern_pulse square[TERN_PULSE_METHODS], sum[TERN_PULSE_METHODS], bound;
    } pieces[PIECES]; /* sums of squares and of errors */
} comparison;

static void compare_piece(void *context, int64_t piece, int thread)
{
    comparison *c = context;
    float samples[TERN_PULSE_MOST];
    (void)thread;
    for (int64_t i = c->count * piece / PIECES; i < c->count * (piece + 1) / PIECES; i++) {
        tern_pulse p = tern_pulse_make(c->model, c->split, i, samples, NULL),
                   b = tern_pulse_bound(c->model, p);
        c->pieces[piece].bound.start += b.start * b.start;
        c->pieces[piece].bound.amplitude += b.amplitude * b.amplitude;
        for (int m = 0; m < TERN_PULSE_METHODS; m++) {
            tern_pulse e = tern_pulse_estimate(c->model, (tern_pulse_method)m, samples);
            double time = e.start - p.start, height = e.amplitude - p.amplitude;
            c->pieces[piece].square[m].start += time * time;
            c->pieces[piece].square[m].amplitude += height * height;
            c->pieces[piece].sum[m].start += time;
            c->pieces[piece].sum[m].amplitude += height;
        }
    }
}

tern_status tern_pulse_compare(const tern_pulse_model *model, int split, int64_t count,
                               tern_pulse_error errors[TERN_PULSE_METHODS], tern_pulse *bound,
                               tern_pool *pool)
{
    TERN_TRY(tern_pulse_check(model));
    comparison *c = tern_take(sizeof *c);
    if (!c) return tern_no_memory(sizeof *c, "a comparison of pulses");
    c->model = model;
    c->split = split;
    c->count = count;
    tern_pool_run(pool, PIECES, compare_piece, c);
    double n = (double)count;
    *bound = (tern_pulse){0};
    for (int m = 0; m < TERN_PULSE_METHODS; m++) errors[m] = (tern_pulse_error){0};
    for (int piece = 0; piece < PIECES; piece++) {
        bound->start += c->pieces[piece].bound.start / n;
        bound->amplitude += c->pieces[piece].bound.amplitude / n;
        for (int m = 0; m < TERN_PULSE_METHODS; m++) {
            errors[m].rms.start += c->pieces[piece].square[m].start / n;
            errors[m].rms.amplitude += c->pieces[piece].square[m].amplitude / n;
            errors[m].bias.start += c->pieces[piece].sum[m].start / n;
            errors[m].bias.amplitude += c->pieces[piece].sum[m].amplitude / n;
        }
    }
    *bound = (tern_pulse){sqrt(bound->start), sqrt(bound->amplitude)};
    for (int m = 0; m < TERN_PULSE_METHODS; m++)
        errors[m].rms = (tern_pulse){sqrt(errors[m].rms.start), sqrt(errors[m].rms.amplitude)};
    tern_release(c);
    return TERN_OK;
}
