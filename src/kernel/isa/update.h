/* The loops of the optimisers, once for each instruction set. */
#ifndef TERN_ISA_UPDATE_H
#define TERN_ISA_UPDATE_H

#include "kernel/isa/isa.h"
#include "kernel/loops.h"

/* See tern_adam_loop and tern_sgd_loop; outputs may be the inputs of the same name. */
void TERN_FOR_ISA(tern_adam)(int64_t first, int64_t last, const tern_adam_step *step,
                             const tern_adam_operands *operands);
void TERN_FOR_ISA(tern_sgd)(int64_t n, float rate, float momentum, float decay, bool nesterov, const float *p,
                            const float *g, const float *v, float *p_out, float *v_out);

#endif
