/* Arguments of the update operators. */
#ifndef TERN_OPTIMISER_H
#define TERN_OPTIMISER_H

#include <stdbool.h>

typedef struct tern_sgd_op {
    double momentum, decay;
    bool nesterov; /* step by the gradient at where the velocity leads */
} tern_sgd_op;

typedef struct tern_adam_op {
    double beta1, beta2, epsilon, decay;
    bool decoupled; /* AdamW: the decay acts on the parameter, not on the gradient */
    bool highest;   /* AMSGrad: divide by the root of the highest mean square so far */
} tern_adam_op;

#endif
