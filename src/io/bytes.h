/* Numbers and elements as files hold them. */
#ifndef TERN_IO_BYTES_H
#define TERN_IO_BYTES_H

#include "tensor/tensor.h"

/* Memory goes to files and back as it is: so this computer must be little-endian, as all that Tern runs on are. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian computers only");

static inline uint64_t tern_little(const void *bytes, int count)
{
    const uint8_t *p = bytes;
    uint64_t value = 0;
    for (int i = count - 1; i >= 0; i--) value = value << 8 | p[i];
    return value;
}

static inline uint64_t tern_big(const void *bytes, int count)
{
    const uint8_t *p = bytes;
    uint64_t value = 0;
    for (int i = 0; i < count; i++) value = value << 8 | p[i];
    return value;
}

/* Big-endian elements of `size` bytes become little-endian ones, in place. */
void tern_swap_elements(void *data, size_t bytes, size_t size);

/* An element of a file, which need not be one of Tern's formats. */
typedef struct tern_element {
    char kind; /* 'f' float, 'h' bfloat16, 'i' signed, 'u' unsigned, 'b' bool in a byte */
    int size;  /* bytes */
    bool big_endian;
} tern_element;

/* The format that holds it.  Integers that no format of Tern has (u16, u32, i64, u64) become i32 where their values
 * allow it; bool becomes bit.  False when there is none. */
bool tern_element_dtype(tern_element element, tern_dtype *dtype);
/* The element that a format is written as: itself, or a bool for bit; size 0 for packed formats, which have none. */
tern_element tern_dtype_element(tern_dtype dtype);
/* Fills `out`, whose shape and dtype are set, from `bytes` (exactly its elements). */
tern_status tern_elements_unpack(tern_tensor *out, tern_element element, const void *bytes,
                                 const char *where);
/* The header of an NPY file of this tensor; its length, 0 where numpy has no such elements. */
size_t tern_npy_header(const tern_tensor *tensor, char header[256]);
/* Adds the elements of a tensor as files hold them, little-endian. */
tern_status tern_elements_write(tern_writer *writer, const tern_tensor *tensor);

#endif
