/* int16: operators of nets with activations of 16 bits and weights of bytes (kernel/int16.h). */
#ifndef TERN_OP_INT16_H
#define TERN_OP_INT16_H

#include "kernel/int16.h"
#include "op/int8.h"

/* Operands of products: those of bytes, but the last is the lowest and the highest result, i32 [2]. */
enum { TERN_IN_LIMITS = TERN_IN_CONSTANTS };
/* Products of 2^22 that leave as much of 32 bits to the bias: what nets of Tern's own keep to. */
enum { TERN_INT16_MOST_SUMMED = 256 };
/* Whether the operands go together, for so many outputs. */
tern_status tern_int16_operands(const tern_infer *types, int64_t outputs);
/* Element i, one of output o, from the sum of its products. */
void tern_int16_output(const tern_call *call, int64_t i, int64_t o, int64_t sum);

#endif
