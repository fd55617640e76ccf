/* tensor: number formats, shapes and plain views of memory. */
#ifndef TERN_TENSOR_H
#define TERN_TENSOR_H

#include "base/base.h"

/* Everything about a number format, in one record.  A format stores `block` elements in `bytes` bytes; tensors are
 * contiguous in row-major order.  `bit` packs element i into bit i%8 of byte i/8 over the *whole* tensor (no padding
 * between rows: a reshape never moves a bit) and storage is rounded up to whole 64-bit words, unused bits zero. */
typedef struct tern_dtype_info {
    const char *name;
    int block;              /* elements that are stored together */
    int bytes;              /* bytes of a block */
    double lowest, highest; /* finite range */
    bool exact_integer;     /* holds integers only */
    /* `count` elements beginning with element `first` of the storage, to and from double */
    void (*decode)(const void *storage, int64_t first, int64_t count, double *out);
    void (*encode)(
        void *storage, int64_t first, int64_t count,
        const double *in); /* rounds to nearest even; integers saturate, floats overflow to infinity */
    /* One block to f32, the arithmetic of the format's definition to the bit; NULL: not a packed format.  Packed formats
     * lay rows one behind the other; a part of a block that is encoded changes the block's other elements a little. */
    void (*unpack)(const void *block, float *out);
} tern_dtype_info;

const tern_dtype_info *tern_dtype_of(tern_dtype dtype);
tern_status tern_dtype_find(const char *name, tern_dtype *dtype);
size_t tern_bytes_of(tern_dtype dtype, int64_t elements); /* storage of a tensor, whole words for `bit` */

/* Elements in a shape; rank 0 is a scalar (1). */
int64_t tern_elements(const tern_shape *shape);
int64_t tern_elements_from(const tern_shape *shape, int axis); /* product of dim[axis..] */
int64_t tern_elements_upto(const tern_shape *shape, int axis); /* product of dim[0..axis) */
bool tern_shape_equal(const tern_shape *a, const tern_shape *b);
char *tern_shape_text(char out[96], const tern_shape *shape); /* "[4,64,32,14,14]" */
/* Fails when a dimension is negative or the element count overflows 2^62. */
tern_status tern_shape_check(const tern_shape *shape, const char *what);

/* One element as double: for reference code and tests, not for loops that matter. */
double tern_get(const tern_tensor *tensor, int64_t index);
void tern_set(const tern_tensor *tensor, int64_t index,
              double value); /* the view stays, its memory changes */

/* Owned storage.  tern_tensor_new zeroes it; tern_tensor_free on a zeroed tensor does nothing. */
tern_status tern_tensor_new(tern_tensor *tensor, tern_dtype dtype, const tern_shape *shape);
void tern_tensor_free(tern_tensor *tensor);

/* Element-wise copy between formats: rounds and saturates as encode does; shapes must have equal element counts. */
tern_status tern_tensor_cast(tern_tensor *to, const tern_tensor *from);

float tern_f16_to_f32(uint16_t half);
uint16_t tern_f32_to_f16(float value);
float tern_bf16_to_f32(uint16_t half);
uint16_t tern_f32_to_bf16(float value);

/* Ones among the elements of a tensor of format bit. */
int64_t tern_count_bits(const tern_tensor *bits);

static inline bool tern_bit_get(const void *bits, int64_t i)
{
    return ((const uint8_t *)bits)[i >> 3] >> (i & 7) & 1;
}

#endif
