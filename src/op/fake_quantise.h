/* Arguments of fake_quantise. */
#ifndef TERN_OP_FAKE_QUANTISE_H
#define TERN_OP_FAKE_QUANTISE_H

#include "op/op.h"

typedef struct tern_fake_quantise_op {
    int bits;
    bool rows, whole;
} tern_fake_quantise_op;

#endif
