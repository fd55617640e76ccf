/* Cases of what transformers of bytes need: all is exact.  Included by op_cases.h, behind those of bytes. */
#ifndef TERN_OP_CASES_TOKEN_H
#define TERN_OP_CASES_TOKEN_H

#include "kernel/int8_rows.h"

static void make_layer_norm_int8(spec *s)
{
    int64_t width = between(1, 200);
    input(s, TERN_SHAPE(between(1, 9), width), BYTES, false);
    input(s, TERN_SHAPE(width), BIASES, false);
    input(s, TERN_SHAPE(width), BIASES, false);
    input(s, TERN_SHAPE(TERN_NORM_CONSTANTS), NORM_CONSTANTS, false);
    s->tolerance = 0;
}

static void make_attention_int8(spec *s)
{
    int64_t batch = between(1, 2), heads = between(1, 3), keys = between(1, 40), width = between(1, 20);
    input(s, TERN_SHAPE(batch, heads, between(1, 9), width), BYTES, false);
    input(s, TERN_SHAPE(batch, heads, keys, width), BYTES, false);
    input(s, TERN_SHAPE(batch, heads, keys, between(1, 20)), BYTES, false);
    input(s, TERN_SHAPE(TERN_ATTEND_CONSTANTS), ATTENTION_CONSTANTS, false);
    input(s, TERN_SHAPE(TERN_ATTEND_TABLE), EXPONENTIAL_STEPS, false);
    s->tolerance = 0;
}

#define TOKEN_CASES {"layer_norm_int8", make_layer_norm_int8}, {"attention_int8", make_attention_int8},

#endif
