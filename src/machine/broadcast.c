/* Cycles of an array whose processing elements see the same window of the input (PulseDL-II, arXiv 2209.00884): the logic of
 * tern emit --target verilog --machine pulsedl2 takes as many. */
#include "machine/machine.h"

#include <math.h>

/* Stages: an operand is read, aligned, multiplied, summed in a tree and accumulated; a code is made in four cycles. */
enum { BEFORE = 4, REQUANTISE = 4 };

double tern_broadcast_product(double units, double elements, double positions, double outputs, double window,
                              double passes)
{
    return passes * ceil(outputs / elements) * positions * ceil(window / units) + BEFORE + ceil(log2(units)) +
           REQUANTISE;
}

double tern_broadcast_sum(double elements, double size)
{
    return 3 * ceil(size / elements) + 9;
}

/* A product by its shape; of a transposed convolution, whose results are not its rows, each result meets taps / stride. */
tern_array_time tern_broadcast_array(double rows, double columns, const tern_product_shape *p)
{
    double m = (double)p->m, n = (double)p->n, k = (double)p->k, macs = m * n * k * (double)p->count;
    double positions = p->images > 0 ? (double)(p->images * p->out_height * p->out_width) : m;
    if (positions != m) {
        double taps = (double)(p->kernel_height * p->kernel_width);
        k = k * taps / (double)(p->kernel_height > 1 ? p->stride * p->stride : p->stride);
        n = n / taps;
    }
    double groups = ceil(n / columns), steps = ceil(k / rows);
    tern_array_time t = {.folds = 1};
    t.cycles = (double)p->count * (tern_broadcast_product(rows, columns, positions, n, k, p->halves ? 2 : 1) +
                                   2 * TERN_BROADCAST_WRITES);
    t.occupancy = n * k / (groups * columns * steps * rows);
    t.utilisation = macs / (t.cycles * rows * columns);
    t.operands =
        (positions * k + groups * positions * k * columns) * (double)p->count; /* a window, a weight a unit */
    t.results = positions * n * (double)p->count;
    t.input_passes = t.weight_passes = t.result_passes = 1;
    t.accesses = 2 * macs;
    return t;
}
