/* What products of bytes write as C. */
#ifndef TERN_OP_INT8_TEXT_H
#define TERN_OP_INT8_TEXT_H

#include "op/int8.h"

bool tern_int8_has_mask(const tern_call *call); /* a second result says where nothing was clamped */

/* The constants of outputs as variables: what is stored through out0 could change in5. */
void tern_int8_write_constants(const tern_call *call, tern_emit *to);

/* The names of the multiplier and the shift of output `o`, or of all. */
typedef struct tern_int8_scale_text {
    char multiplier[32], shift[32];
} tern_int8_scale_text;
tern_int8_scale_text tern_int8_scale_of_output(const tern_call *call, const char *o);

/* "out0[<i>] = clamp_byte(requantise(<sum>, ..) + zero, low, high);", and the mask. */
void tern_int8_write_output(const tern_call *call, tern_emit *to, const char *indent, const char *i,
                            const char *sum, const tern_int8_scale_text *scale);

/* A convolution, and the bytes that it works in. */
tern_status tern_int8_write_conv(const tern_call *call, tern_emit *to);
size_t tern_int8_conv_text_scratch(const tern_call *call);

#endif
