/* Products with weights in rows of bytes, outlying inputs apart. */
#ifndef TERN_OP_OUTLIER_H
#define TERN_OP_OUTLIER_H

#include "graph/graph.h"
#include "kernel/outlier.h"

/* y = x W^T + bias, W = scale w: x [..,K] (f32), w [N,K] (i8), scale [N], bias [N] or the empty value -> [..,N].
 * LLM.int8() (arXiv 2208.07339) with what bitsandbytes adds:
 *     O = the columns with |x| >= threshold in any row (0: none; all, when they are more than an eighth)
 *     c[s] = the largest |x[s,k]| below the threshold;  x8 = round(127 x / c), 0 in O
 *     y = c/127 scale (x8 w^T) + x[:,O] W[:,O]^T + bias,  the first product in exact 32-bit sums.
 * exact [N,E], columns [E] (i32, ascending), or the empty values: columns of W in full precision, used where they are in O. */
typedef struct tern_outlier_args {
    double threshold;
    tern_byte_scale by;
} tern_outlier_args;
typedef struct tern_outlier_weight {
    tern_value w, scale, bias, exact, columns;
} tern_outlier_weight;
tern_value tern_linear_outlier(tern_graph *graph, tern_value x, tern_outlier_weight weight,
                               tern_outlier_args args);

#endif
