/* Crossings of beams in a module, made of a seed. */
#include "io/shower.h"

#include <math.h>
#include <string.h>

#define NARROW    0.6
#define WIDE      2.0
#define NOISE     0.1
#define THRESHOLD 0.2
#define HEIGHT    0.86602540378443865 /* sqrt(3)/2: of e2, and the area of a cell */

enum { SIDE = 4, POINTS = 8, MOST_DEPOSITS = 40 };

static void place(int rhombus, double a, double b, double *x, double *y)
{
    double u = a - 0.5 * b, v = HEIGHT * b, c = rhombus ? -0.5 : 1,
           s = rhombus == 1   ? HEIGHT
               : rhombus == 2 ? -HEIGHT
                              : 0;
    *x = c * u - s * v;
    *y = s * u + c * v;
}

void tern_trigger_cell(int cell, double *x, double *y)
{
    int in = cell % TERN_RHOMBUS_CELLS;
    place(cell / TERN_RHOMBUS_CELLS, in / SIDE + 0.5, in % SIDE + 0.5, x, y);
}

int tern_shower_four(int cell)
{
    int in = cell % TERN_RHOMBUS_CELLS;
    return cell / TERN_RHOMBUS_CELLS * 4 + in / SIDE / 2 * 2 + in % SIDE / 2;
}

uint64_t tern_shower_seed(uint64_t seed, bool test)
{
    return tern_hash("showers", 7) + 2 * seed + test;
}

/* What one crossing draws from, in order. */
typedef struct tern_draws {
    tern_rng rng;
    uint64_t at;
} tern_draws;

static double uniform(tern_draws *d)
{
    return tern_rng_uniform(d->rng, d->at++);
}

/* By products of uniforms (Knuth). */
static int poisson(tern_draws *d, double mean)
{
    double product = 1, end = exp(-mean);
    int count = -1;
    while (product > end && count < MOST_DEPOSITS) {
        product *= uniform(d);
        count++;
    }
    return count;
}

/* A cluster's charge on each cell. */
static void add_cluster(tern_draws *d, const tern_shower_options *o, double charge[TERN_TRIGGER_CELLS])
{
    double energy = 5 * pow(40, uniform(d)), low = o->high > 0 ? o->low : 0.6,
           high = o->high > 0 ? o->high : 0.9;
    double w = low + (high - low) * uniform(d), x, y, cx, cy;
    int rhombus = (int)(3 * uniform(d)); /* uniform in a rhombus of a hexagon, grown by a tenth */
    double a = 4.4 * uniform(d), b = 4.4 * uniform(d);
    place(rhombus, a, b, &cx, &cy);
    double density = energy / (2 * 3.14159265358979323846 * (w * NARROW * NARROW + (1 - w) * WIDE * WIDE)) *
                     HEIGHT / (POINTS * POINTS);
    for (int c = 0; c < TERN_TRIGGER_CELLS; c++) {
        int in = c % TERN_RHOMBUS_CELLS;
        double sum = 0;
        for (int k = 0; k < POINTS * POINTS; k++) {
            place(c / TERN_RHOMBUS_CELLS, in / SIDE + (k / POINTS + 0.5) / POINTS,
                  in % SIDE + (k % POINTS + 0.5) / POINTS, &x, &y);
            double r = sqrt((x - cx) * (x - cx) + (y - cy) * (y - cy));
            sum += w * exp(-r / NARROW) + (1 - w) * exp(-r / WIDE);
        }
        charge[c] += density * sum;
    }
}

double tern_charge_code(double x, int bits)
{
    int fraction = bits - 4, exponent;
    double scaled = x * 16, whole = ldexp(1, fraction);
    if (!(scaled >= 1)) return 0;
    if (scaled < whole) return floor(scaled) / 16; /* below the first exponent steps are 2^-4 */
    double m = frexp(scaled, &exponent);           /* scaled = m 2^exponent, m in 1/2 .. 1 */
    int shift = exponent - 1 - fraction;
    if (shift > 14) return ldexp(2 * whole - 1, 14) / 16;
    return ldexp(floor(ldexp(m, fraction + 1)), shift) / 16;
}

static bool draw(const tern_shower_options *o, tern_draws *d, int *clusters, float out[TERN_TRIGGER_CELLS])
{
    double charge[TERN_TRIGGER_CELLS] = {0}, sum = 0;
    int soft = poisson(d, 3);
    for (int k = 0; k < soft; k++) {
        int cell = (int)(TERN_TRIGGER_CELLS * uniform(d));
        charge[cell] -= log(1 - uniform(d));
    }
    *clusters = uniform(d) < 0.5 ? 1 + (int)(3 * uniform(d)) : 0;
    for (int k = 0; k < *clusters; k++) add_cluster(d, o, charge);
    for (int c = 0; c < TERN_TRIGGER_CELLS; c++) {
        double x = charge[c] + NOISE * tern_rng_normal((tern_rng){d->rng.seed, d->rng.stream ^ 1}, d->at++);
        x = x < THRESHOLD ? 0 : o->coded ? tern_charge_code(x, 7) : x;
        out[c] = (float)x;
        sum += x;
    }
    return sum > 0;
}

int tern_shower(const tern_shower_options *options, uint64_t number, float charge[TERN_TRIGGER_CELLS])
{
    tern_draws d = {.rng = {options->seed, 2 * number}};
    int clusters;
    while (!draw(options, &d, &clusters, charge)) continue;
    return clusters;
}
