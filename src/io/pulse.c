/* The pulse model: what it makes, and what can be known of it at best. */
#include "io/pulse.h"

#include <math.h>

enum { OCTAVES = 6 }; /* of pink noise */

tern_pulse_model tern_pulse_default(void)
{
    return (tern_pulse_model){.samples = 64,
                              .order = 4,
                              .tau = 1.6,
                              .snr = 47.4,
                              .start = 16,
                              .spread = 4,
                              .low = 0.2,
                              .high = 1,
                              .period = 10,
                              .seed = 1};
}

static tern_status out_of_range(const char *what, double found, double low, double high)
{
    return tern_fail(TERN_USAGE, "pulses: %s is %g, expected %g to %g", what, found, low, high);
}

tern_status tern_pulse_check(const tern_pulse_model *m)
{
    const struct {
        const char *what;
        double value, low, high;
    } limits[] = {{"the number of samples", m->samples, 8, TERN_PULSE_MOST},
                  {"the order of the shaper", m->order, 1, 8},
                  {"tau", m->tau, 0.1, m->samples},
                  {"the signal-to-noise ratio", m->snr, -20, 120},
                  {"the sampling period", m->period, 1e-6, 1e9},
                  {"the mean start", m->start, 0, m->samples},
                  {"the spread of the start", m->spread, 0, m->samples},
                  {"the least amplitude", m->low, 1e-6, m->high},
                  {"the largest amplitude", m->high, m->low, 1e6},
                  {"the pink noise", m->pink, 0, 100},
                  {"the drift", m->drift, 0, 100},
                  {"the probability of pile-up", m->pile_up, 0, 1},
                  {"the jitter", m->jitter, 0, 10}};
    for (size_t i = 0; i < TERN_COUNT(limits); i++)
        if (!(limits[i].value >= limits[i].low && limits[i].value <= limits[i].high))
            return out_of_range(limits[i].what, limits[i].value, limits[i].low, limits[i].high);
    if (m->bits && (m->bits < 8 || m->bits > 14)) return out_of_range("the converter's bits", m->bits, 8, 14);
    return TERN_OK;
}

double tern_pulse_sigma(const tern_pulse_model *m)
{
    return pow(10, -m->snr / 20);
}

double tern_pulse_shape(const tern_pulse_model *m, double t, double *slope)
{
    double n = m->order, u = t / m->tau;
    if (slope) *slope = 0;
    if (!(u > 0)) return 0;
    double value = pow(u / n, n) * exp(n - u);
    if (slope) *slope = value * (n / u - 1) / m->tau;
    return value;
}

/* Numbers of a pulse's own stream. */
enum { DRAW_START, DRAW_AMPLITUDE, DRAW_PILE_UP, DRAW_SECOND_START, DRAW_SECOND_AMPLITUDE, DRAW_DRIFT };
enum { NOISE = 16, JITTER = NOISE + 2 * TERN_PULSE_MOST, PINK = JITTER + 2 * TERN_PULSE_MOST };

static double between(tern_rng rng, int draw, double low, double high)
{
    return low + (high - low) * tern_rng_uniform(rng, (uint64_t)draw);
}

/* Noise that is refreshed every 1, 2, 4, .. samples. */
static double pink_noise(tern_rng rng, int k)
{
    double sum = 0;
    for (int o = 0; o < OCTAVES; o++)
        sum += tern_rng_normal(rng, (uint64_t)(PINK + 2 * TERN_PULSE_MOST * o + (k >> o)));
    return sum / sqrt(OCTAVES);
}

static double converted(const tern_pulse_model *m, double x)
{
    if (!m->bits) return x;
    double most = ldexp(1, m->bits) - 1, code = floor((x + 0.125) / 1.25 * most + 0.5);
    return fmin(fmax(code, 0), most) / most * 1.25 - 0.125;
}

tern_pulse tern_pulse_make(const tern_pulse_model *m, int split, int64_t number, float *samples, float *clean)
{
    tern_rng rng = {m->seed, ((uint64_t)split << 48) + (uint64_t)number};
    tern_pulse p = {between(rng, DRAW_START, m->start - m->spread, m->start + m->spread),
                    between(rng, DRAW_AMPLITUDE, m->low, m->high)};
    bool second = tern_rng_uniform(rng, DRAW_PILE_UP) < m->pile_up;
    double other = between(rng, DRAW_SECOND_START, 0, m->samples),
           height = between(rng, DRAW_SECOND_AMPLITUDE, m->low, m->high),
           rise = between(rng, DRAW_DRIFT, -m->drift, m->drift), sigma = tern_pulse_sigma(m);
    for (int k = 0; k < m->samples; k++) {
        double t = k + (m->jitter > 0 ? m->jitter * tern_rng_normal(rng, (uint64_t)(JITTER + k)) : 0);
        double x = p.amplitude * tern_pulse_shape(m, t - p.start, NULL);
        if (clean) clean[k] = (float)(p.amplitude * tern_pulse_shape(m, k - p.start, NULL));
        if (second) x += height * tern_pulse_shape(m, t - other, NULL);
        x += rise * k / m->samples + sigma * tern_rng_normal(rng, (uint64_t)(NOISE + k));
        if (m->pink > 0) x += sigma * m->pink * pink_noise(rng, k);
        samples[k] = (float)converted(m, x);
    }
    return p;
}

/* The integral of (u/n)^(n power) e^(power (n - u)) from 0 to u. */
static double integral(int n, int power, double u)
{
    double x = power * u, term = 1, sum = 1, factorial = 1;
    int order = n * power;
    if (!(u > 0)) return 0;
    for (int j = 1; j <= order; j++) {
        term *= x / j;
        sum += term;
        factorial *= j;
    }
    return factorial * (1 - exp(-x) * sum) * exp(order) / (pow(n, order) * pow(power, order + 1));
}

void tern_pulse_moments(const tern_pulse_model *m, int k, double *mean, double *variance)
{
    double late = (k - m->start + m->spread) / m->tau, early = (k - m->start - m->spread) / m->tau;
    double moment[2], sigma = tern_pulse_sigma(m);
    for (int p = 1; p <= 2; p++)
        moment[p - 1] = (integral(m->order, p, late) - integral(m->order, p, early)) / (late - early);
    double a = (m->low + m->high) / 2, square = (m->low * m->low + m->low * m->high + m->high * m->high) / 3;
    *mean = a * moment[0];
    *variance = square * moment[1] - *mean * *mean + sigma * sigma;
}

tern_pulse tern_pulse_bound(const tern_pulse_model *m, tern_pulse p)
{
    double tt = 0, ta = 0, aa = 0, sigma = tern_pulse_sigma(m);
    for (int k = 0; k < m->samples; k++) {
        double slope, value = tern_pulse_shape(m, k - p.start, &slope);
        tt += p.amplitude * p.amplitude * slope * slope; /* ds/dt0 = -A slope */
        ta -= p.amplitude * slope * value;
        aa += value * value;
    }
    double determinant = tt * aa - ta * ta;
    double time = sigma * sqrt(aa / determinant), height = sigma * sqrt(tt / determinant);
    return (tern_pulse){time, height};
}

tern_pulse tern_pulse_mean_bound(const tern_pulse_model *m)
{
    enum { STARTS = 64, HEIGHTS = 64 };
    double time = 0, height = 0;
    for (int i = 0; i < STARTS; i++)
        for (int j = 0; j < HEIGHTS; j++) {
            tern_pulse p = {m->start + m->spread * ((2 * i + 1.0) / STARTS - 1),
                            m->low + (m->high - m->low) * (j + 0.5) / HEIGHTS};
            tern_pulse bound = tern_pulse_bound(m, p);
            time += bound.start * bound.start;
            height += bound.amplitude * bound.amplitude;
        }
    time = sqrt(time / (STARTS * HEIGHTS));
    height = sqrt(height / (STARTS * HEIGHTS));
    return (tern_pulse){time, height};
}

tern_status tern_pulse_tensors(const tern_pulse_model *m, int split, int64_t count, bool clean,
                               tern_tensor *x, tern_tensor *y)
{
    TERN_TRY(tern_pulse_check(m));
    TERN_TRY(tern_tensor_new(x, TERN_F32, &TERN_SHAPE(count, m->samples)));
    tern_status status = tern_tensor_new(y, TERN_F32, &TERN_SHAPE(count, clean ? m->samples : 2));
    if (status != TERN_OK) {
        tern_tensor_free(x);
        return status;
    }
    for (int64_t i = 0; i < count; i++) {
        float *target = (float *)y->data + i * y->shape.dim[1];
        tern_pulse p = tern_pulse_make(m, split, i, (float *)x->data + i * m->samples, clean ? target : NULL);
        if (clean) continue;
        target[0] = (float)(p.start - m->start);
        target[1] = (float)p.amplitude;
    }
    return TERN_OK;
}

tern_status tern_pulse_units(const tern_pulse_model *m, bool clean, tern_tensor *units)
{
    tern_pulse bound = tern_pulse_mean_bound(m);
    TERN_TRY(tern_tensor_new(units, TERN_F32, &TERN_SHAPE(clean ? m->samples : 2)));
    for (int k = 0; k < units->shape.dim[0]; k++)
        tern_set(units, k, clean ? tern_pulse_sigma(m) : k ? bound.amplitude : bound.start);
    return TERN_OK;
}
