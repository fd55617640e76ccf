/* Cycles of a product on a systolic array with its operands at hand. */
#include "machine/machine.h"

#include <math.h>

static double folds_of(double extent, double cells)
{
    return ceil(extent / cells);
}

/* The array is filled once a fold; then the streaming operand passes through, skewed by a cycle a row and a column. */
static tern_array_time stationary(double rows, double columns, tern_dataflow dataflow,
                                  const tern_product_shape *p)
{
    double m = (double)p->m, n = (double)p->n, k = (double)p->k, count = (double)p->count;
    tern_array_time t = {0};
    double across, down, stream;
    switch (dataflow) {
    case TERN_OUTPUT_STATIONARY: /* sums stay; both operands stream, sums are read out at the end */
        down = folds_of(m, rows), across = folds_of(n, columns);
        t.cycles = down * across * (k + rows + columns - 2) - 1;
        t.input_passes = across, t.weight_passes = down, t.result_passes = 1;
        break;
    default: /* weights or inputs stay; they enter row by row before the other operand streams */
        stream = dataflow == TERN_INPUT_STATIONARY ? n : m;
        down = folds_of(k, rows);
        across = folds_of(dataflow == TERN_INPUT_STATIONARY ? m : n, columns);
        t.cycles = down * across * (2 * rows + columns + stream - 2) - 1;
        t.input_passes = dataflow == TERN_INPUT_STATIONARY ? 1 : across;
        t.weight_passes = dataflow == TERN_INPUT_STATIONARY ? across : 1;
        t.result_passes = 2 * down - 1; /* partial sums of all folds but the last are read again */
        break;
    }
    t.folds = down * across * count;
    t.occupancy = (dataflow == TERN_OUTPUT_STATIONARY  ? m * n
                   : dataflow == TERN_INPUT_STATIONARY ? k * m
                                                       : k * n) /
                  (down * rows * across * columns);
    t.cycles *= count;
    t.operands = (t.input_passes * m * k + t.weight_passes * n * k) * count;
    t.results = t.result_passes * m * n * count;
    t.accesses = 4 * m * n * k * count; /* two operands and the sum are read, the sum is written */
    t.hops = 2 * m * n * k * count;     /* two of the three pass to a neighbour */
    t.utilisation = m * n * k * count / (t.cycles * rows * columns);
    return t;
}

/* How an extent lies on cells: folded over them, or replicated beside itself. */
typedef struct tern_lay {
    double folds, copies;
} tern_lay;

static tern_lay lay(double extent, double cells)
{
    return extent <= cells ? (tern_lay){1, floor(cells / extent)} : (tern_lay){folds_of(extent, cells), 1};
}

/* A logical set is one convolution of two dimensions: a cell for each row of the filter and row of the output.  Sets are
 * folded over the array or replicated in it: copies take input channels and output channels of one group. */
static tern_array_time row_stationary(double rows, double columns, const tern_product_shape *p)
{
    bool conv = p->images > 0 && p->m == p->images * p->out_height * p->out_width; /* not a transposed one */
    double taps_y = conv ? (double)p->kernel_height : 1, taps_x = conv ? (double)p->kernel_width : 1;
    double height = conv ? (double)p->out_height : 1, width = conv ? (double)p->out_width : 1;
    double images = conv ? (double)p->images : (double)p->m;
    double inputs = (double)p->k / (taps_y * taps_x), outputs = (double)p->n, groups = (double)p->count;
    tern_lay down = lay(taps_y, rows), across = lay(height, columns);
    double moved = fmin(down.copies, across.folds); /* folds across, one below the other */
    across.folds = ceil(across.folds / moved);
    down.copies = floor(down.copies / moved);

    double loops = INFINITY, in = 1, out = 1;
    for (double a = 1; a <= down.copies; a++) {
        double b = down.copies / a;
        if (b != floor(b)) continue;
        double i = fmin(a, inputs), o = fmin(b * across.copies, outputs);
        double needed = ceil(inputs / i) * ceil(outputs * groups / o);
        if (needed >= loops) continue;
        loops = needed, in = i, out = o;
    }
    tern_array_time t = {.folds = images * loops * down.folds * across.folds};
    t.cycles = t.folds * taps_x * width;
    t.occupancy = taps_y * height * in * out / (rows * columns * down.folds * across.folds);
    t.operands = images * loops * (in * out * taps_y * taps_x + in * height * width);
    t.input_passes = ceil(outputs / out);
    t.weight_passes = images * down.folds * across.folds;
    t.result_passes = 2 * ceil(inputs / in) - 1;
    t.map = images * height * width;
    t.results = t.result_passes * (double)p->m * outputs * groups;
    double macs = (double)p->m * outputs * (double)p->k * groups;
    t.accesses = 4 * macs;
    t.hops = macs / taps_x; /* the sum over a row of the filter goes down to the next row's cell */
    t.utilisation = macs / (t.cycles * rows * columns);
    return t;
}

tern_array_time tern_array_product(double rows, double columns, tern_dataflow dataflow,
                                   const tern_product_shape *product)
{
    if (dataflow == TERN_BROADCAST) return tern_broadcast_array(rows, columns, product);
    return dataflow == TERN_ROW_STATIONARY ? row_stationary(rows, columns, product)
                                           : stationary(rows, columns, dataflow, product);
}
