/* Arguments of the operator batch_norm. */
#ifndef TERN_NORM_H
#define TERN_NORM_H

#include <stdbool.h>

typedef struct tern_norm_op {
    double epsilon, momentum;
    bool training, per_step;
    int inner; /* elements of a channel that stand together: H*W, or 1 */
} tern_norm_op;

#endif
