/* Packed number formats: blocks of elements that share scales.  The layouts are those of GGUF (ggml-common.h of
 * llama.cpp), of bitsandbytes for nf4; each is drawn above its functions.  Rows stand one
 * behind the other; the last block of a tensor may be filled in part. */
#ifndef TERN_TENSOR_PACKED_H
#define TERN_TENSOR_PACKED_H

#include "tensor/tensor.h"

#define TERN_PACKED_MOST 256 /* elements of the largest block but nf4x2's */

/* X(name): the formats and, with them, the functions tern_<name>_decode and tern_<name>_encode of their records. */
#define TERN_PACKED_FORMATS(X)                                                                               \
    X(q4_0) X(q4_1) X(q5_0) X(q5_1) X(q8_0) X(q2_K) X(q3_K) X(q4_K) X(q5_K) X(q6_K) X(ternary) X(nf4) X(nf4x2)
#define TERN_PACKED_DECLARE(name)                                                                            \
    void tern_##name##_decode(const void *storage, int64_t first, int64_t count, double *out);               \
    void tern_##name##_encode(void *storage, int64_t first, int64_t count, const double *in);                \
    void tern_##name##_unpack(const void *block, float *out);
TERN_PACKED_FORMATS(TERN_PACKED_DECLARE)

/* What is common to all: whole blocks to and from `elements` floats. */
typedef struct tern_packing {
    int elements, bytes;
    void (*unpack)(const void *block, float *out);
    void (*pack)(void *block, const float *in);
} tern_packing;
void tern_packed_decode(const tern_packing *packing, const void *storage, int64_t first, int64_t count,
                        double *out);
void tern_packed_encode(const tern_packing *packing, void *storage, int64_t first, int64_t count,
                        const double *in);

/* Defines the functions of a format's record from its tern_<name>_unpack and a static <name>_pack. */
#define TERN_PACKED(name, elements, bytes)                                                                   \
    static const tern_packing name = {elements, bytes, tern_##name##_unpack, name##_pack};                   \
    void tern_##name##_decode(const void *storage, int64_t first, int64_t count, double *out)                \
    {                                                                                                        \
        tern_packed_decode(&name, storage, first, count, out);                                               \
    }                                                                                                        \
    void tern_##name##_encode(void *storage, int64_t first, int64_t count, const double *in)                 \
    {                                                                                                        \
        tern_packed_encode(&name, storage, first, count, in);                                                \
    }

/* ---- fits of a block to few levels (fit.c), least squares ----------------------------------------------------- */

/* x[n] ~ scale * q[n], low <= q <= high. */
float tern_fit_scale(const float *x, int n, int low, int high, int8_t *q);
/* x[n] ~ scale * q[n] - offset, 0 <= q <= high, scale and offset not negative. */
float tern_fit_affine(const float *x, int n, int high, uint8_t *q, float *offset);
/* The nearest q in low..high to x / scale, for all; scale 0 gives 0.  Returns the squared error of scale*q - offset. */
double tern_fit_levels(const float *x, int n, float scale, float offset, int low, int high, int8_t *q);

/* Elements [first, first + count) of nf4 and nf4x2, whose blocks run on from row to row. */
void tern_nf4_part(const void *storage, int64_t first, int64_t count, float *out);
void tern_nf4x2_part(const void *storage, int64_t first, int64_t count, float *out);
/* What an element is made of: levels[index] times the scale of its block of 64; scales of `count` blocks from the first on; the indices of a
 * block, two a byte, the first in the high half. */
extern const float tern_nf4_levels[16];
void tern_nf4_scales(const void *storage, int64_t first, int64_t count, float *out);
void tern_nf4x2_scales(const void *storage, int64_t first, int64_t count, float *out);
const uint8_t *tern_nf4_indices(const void *storage, int64_t block);
const uint8_t *tern_nf4x2_indices(const void *storage, int64_t block);

static inline float tern_load_f16(const void *bytes)
{
    const uint8_t *p = bytes;
    return tern_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}
/* Returns what was stored: the nearest half. */
static inline float tern_store_f16(void *bytes, float value)
{
    uint16_t half = tern_f32_to_f16(value);
    uint8_t *p = bytes;
    p[0] = (uint8_t)half;
    p[1] = (uint8_t)(half >> 8);
    return tern_f16_to_f32(half);
}

#endif
