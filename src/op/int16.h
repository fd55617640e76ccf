/* int16: operators of nets with activations of 16 bits and weights of bytes (kernel/int16.h). */
#ifndef TERN_OP_INT16_H
#define TERN_OP_INT16_H

#include "kernel/int16.h"
#include "op/int8.h"

/* Operands of products: those of bytes up to the shifts, then the lowest and the highest result, i32 [2], and, where sums have
 * 64 bits, the upper halves of the biases, i32 [O]. */
enum { TERN_IN_LIMITS = TERN_IN_CONSTANTS, TERN_IN_UPPER, TERN_INT16_OPERANDS };
/* Products of 2^22 that leave as much of 47 bits to the bias. */
enum { TERN_INT16_MOST_WIDE = 1 << 22 };
/* Products of 2^22 that leave as much of 32 bits to the bias: what nets of Tern's own keep to. */
enum { TERN_INT16_MOST_SUMMED = 256 };
/* Whether the operands go together, for so many outputs that each sum so many products. */
tern_status tern_int16_operands(const tern_infer *types, int64_t outputs, int64_t summed);
/* Whether the sums of a product have 64 bits. */
static inline bool tern_int16_is_wide(const tern_call *call)
{
    return call->nin > TERN_IN_UPPER;
}
typedef struct tern_int16_rescale_op {
    bool bytes; /* the result, of bytes */
} tern_int16_rescale_op;
/* Element i, one of output o, from the sum of its products. */
void tern_int16_output(const tern_call *call, int64_t i, int64_t o, int64_t sum);

#endif
