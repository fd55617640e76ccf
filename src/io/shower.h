/* Showers in a hexagonal module of a calorimeter's end cap: what its 48 trigger cells see of a crossing of beams, made of a seed.
 *
 * Cells: three rhombi of 4 x 4 that are a hexagon; cell (r, i, j) stands at R(120 r degrees) ((i + 1/2) e1 + (j + 1/2) e2) with
 * e1 = (1, 0), e2 = (-1/2, sqrt(3)/2): number 16 r + 4 i + j, which is the order of samples [3,4,4].
 *
 * A crossing: Poisson(3) soft deposits of exponential energy (mean 1) in any cell; with probability 1/2 a signal of 1 to 3
 * clusters, energies log-uniform in 5 .. 200, centres uniform in the hexagon scaled by 1.1.  The density of a cluster at a
 * distance r is E (w e^(-r/0.6) + (1-w) e^(-r/2)) / (2 pi (0.36 w + 4 (1-w))), w uniform in low .. high, summed over
 * 8 x 8 points of each cell.  Every cell has Gaussian noise of 0.1; what is below 0.2 is 0.  Crossings in which nothing is
 * left are drawn again. */
#ifndef TERN_IO_SHOWER_H
#define TERN_IO_SHOWER_H

#include "base/base.h"

enum { TERN_TRIGGER_CELLS = 48, TERN_RHOMBUS_CELLS = 16 };

typedef struct tern_shower_options {
    double low, high; /* of w, the narrow part of a cluster; both 0: 0.6 .. 0.9 */
    bool coded;       /* charges in the 7-bit floats of the front end */
    uint64_t seed;
} tern_shower_options;

/* The seeds of training and test crossings of a data set. */
uint64_t tern_shower_seed(uint64_t seed, bool test);

/* Where a cell stands. */
void tern_trigger_cell(int cell, double *x, double *y);
/* Which of the 12 sums of 2 x 2 cells it is part of. */
int tern_shower_four(int cell);

/* Charges of crossing `number`; how many clusters it has, 0 to 3. */
int tern_shower(const tern_shower_options *options, uint64_t number, float charge[TERN_TRIGGER_CELLS]);

/* The nearest of the floats of `bits` bits (4 of them exponent, no sign; 2^-4 the smallest step) that is not above x: what a
 * front end sends of a charge or a sum. */
double tern_charge_code(double x, int bits);

#endif
