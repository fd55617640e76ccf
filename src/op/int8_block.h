/* int8_block: operators of nets of bytes that take a few tokens at a time through a whole block, in place, so that what is between
 * its layers is as large as those few (MCUFormer, arXiv 2310.16898). */
#ifndef TERN_OP_INT8_BLOCK_H
#define TERN_OP_INT8_BLOCK_H

#include "kernel/int8_rows.h"
#include "op/int8.h"

/* Operands of both blocks: x i8 [..,N,D]; weight, bias and constants of a layer norm; `before` linear layers of five operands each
 * (TERN_IN_W .. TERN_IN_CONSTANTS of linear_int8); in the middle of mlp_int8 a table i8 [256], of attention_block_int8 the constants
 * and the exponentials of attention_int8; `after` linear layers; constants of add_int8, which adds the result to x. */
enum { TERN_BLOCK_X, TERN_BLOCK_NORM, TERN_BLOCK_LAYERS = 4, TERN_BLOCK_LAYER = 5, TERN_BLOCK_MOST = 8 };
typedef struct tern_int8_block_op {
    int before, after; /* layers before and behind the middle, 1 .. TERN_BLOCK_MOST each */
    int heads; /* of attention: queries, keys and values are thirds of what the last layer before it makes; else 0 */
    int tokens; /* at a time */
} tern_int8_block_op;

/* Operands of patches_int8: an image of bytes [B,C,H,W], or of floats with their scale and zero (else none); a convolution whose
 * stride is its kernel, in five operands; a first token i8 [1,1,D]; what is added to tokens, i8 [1,N,D], and constants of that sum. */
enum {
    TERN_PATCHES_IMAGE,
    TERN_PATCHES_SCALE,
    TERN_PATCHES_ZERO,
    TERN_PATCHES_LAYER,
    TERN_PATCHES_FIRST = TERN_PATCHES_LAYER + TERN_BLOCK_LAYER,
    TERN_PATCHES_PLACES,
    TERN_PATCHES_SUM,
    TERN_PATCHES_OPERANDS
};
typedef struct tern_int8_patches_op {
    int pad;
    bool stream; /* in C: the image is asked for by bands of rows, as they are needed */
} tern_int8_patches_op;

/* Rows of the image that band `band` of patches sees: the first, and how many; those around the image are not among them. */
typedef struct tern_int8_band {
    int first, count;
} tern_int8_band;
tern_int8_band tern_int8_band_of(const tern_shape *image, int patch, int pad, int band);
int tern_int8_bands(const tern_shape *image, int patch, int pad);

/* The sizes and the text of one layer of a block: shared by both files. */
tern_int8_scale tern_int8_layer_scale(const tern_call *call, int first);
tern_status tern_int8_check_layer(const tern_infer *types, int first, int64_t inputs, int64_t outputs);

#endif
