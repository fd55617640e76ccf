/* Arguments of the operator fused: element-wise operators in one pass over memory. */
#ifndef TERN_FUSE_H
#define TERN_FUSE_H

#include "op/element.h"

/* Operand in[i] of a step is input in[i] of the node, or from `inputs` on the result of step in[i] - inputs. */
typedef struct tern_fused_step {
    const tern_op *op;
    tern_element_args constants;
    int in[3];
    int out; /* output of the node that the result is; -1: only steps read it */
} tern_fused_step;

/* Each input broadcasts to `shape`, which every result has.  The last step is output 0. */
typedef struct tern_fused_op {
    tern_shape shape;
    int inputs, steps;
    tern_fused_step step[TERN_ELEMENT_STEPS];
} tern_fused_op;

#endif
