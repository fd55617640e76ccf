/* Arguments of the norms. */
#ifndef TERN_NORM_H
#define TERN_NORM_H

#include <stdbool.h>

/* batch_norm */
typedef struct tern_norm_op {
    double epsilon, momentum;
    bool training, per_step;
    int inner; /* elements of a channel that stand together: H*W, or 1 */
} tern_norm_op;

/* normalise */
typedef struct tern_normalise_op {
    double epsilon;
    bool centre;
} tern_normalise_op;

#endif
