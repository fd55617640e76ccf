/* Elements between files and tensors. */
#include "io/bytes.h"

#include <string.h>

void tern_swap_elements(void *data, size_t bytes, size_t size)
{
    uint8_t *p = data;
    for (size_t at = 0; size > 1 && at + size <= bytes; at += size) {
        for (size_t i = 0; i < size / 2; i++) {
            uint8_t swap = p[at + i];
            p[at + i] = p[at + size - 1 - i];
            p[at + size - 1 - i] = swap;
        }
    }
}

static const struct {
    char kind;
    int size;
    tern_dtype dtype;
} formats[] = {
    {'f', 4, TERN_F32}, {'f', 2, TERN_F16}, {'h', 2, TERN_BF16}, {'f', 8, TERN_F64}, {'i', 4, TERN_I32},
    {'i', 2, TERN_I16}, {'i', 1, TERN_I8},  {'u', 1, TERN_U8},   {'b', 1, TERN_BIT}, {'u', 2, TERN_I32},
    {'u', 4, TERN_I32}, {'i', 8, TERN_I32}, {'u', 8, TERN_I32},
};

bool tern_element_dtype(tern_element element, tern_dtype *dtype)
{
    for (size_t i = 0; i < TERN_COUNT(formats); i++) {
        if (formats[i].kind != element.kind || formats[i].size != element.size) continue;
        *dtype = formats[i].dtype;
        return true;
    }
    return false;
}

tern_element tern_dtype_element(tern_dtype dtype)
{
    for (size_t i = 0; i < TERN_COUNT(formats); i++)
        if (formats[i].dtype == dtype) return (tern_element){formats[i].kind, formats[i].size, false};
    return (tern_element){0};
}

static tern_status unpack_bits(uint8_t *bits, const uint8_t *p, int64_t count, const char *where)
{
    for (int64_t i = 0; i < count; i++) {
        if (p[i] > 1)
            return tern_fail(TERN_FAILED, "%s: bool element %lld is %d, expected 0 or 1", where, (long long)i,
                             p[i]);
        bits[i >> 3] |= (uint8_t)(p[i] << (i & 7));
    }
    return TERN_OK;
}

/* Integers of other widths into i32. */
static tern_status narrow(int32_t *out, tern_element e, const uint8_t *p, int64_t count, const char *where)
{
    for (int64_t i = 0; i < count; i++, p += e.size) {
        uint64_t raw = e.big_endian ? tern_big(p, e.size) : tern_little(p, e.size);
        bool negative = e.kind == 'i' && raw >> 63;
        bool fits = negative ? (int64_t)raw >= INT32_MIN : raw <= INT32_MAX;
        if (!fits)
            return tern_fail(TERN_FAILED,
                             "%s: element %lld does not fit into 32 bits with a sign: cast the data to i32 "
                             "or f64 first",
                             where, (long long)i);
        out[i] = (int32_t)raw;
    }
    return TERN_OK;
}

tern_status tern_elements_unpack(tern_tensor *out, tern_element element, const void *bytes, const char *where)
{
    int64_t count = tern_elements(&out->shape);
    if (count == 0) return TERN_OK;
    if (out->dtype == TERN_BIT) return unpack_bits(out->data, bytes, count, where);
    if (element.size != tern_dtype_of(out->dtype)->bytes || (element.kind == 'u' && element.size > 1))
        return narrow(out->data, element, bytes, count, where);
    size_t size = (size_t)count * (size_t)element.size;
    memcpy(out->data, bytes, size);
    if (element.big_endian) tern_swap_elements(out->data, size, (size_t)element.size);
    return TERN_OK;
}

tern_status tern_elements_write(tern_writer *writer, const tern_tensor *tensor)
{
    int64_t count = tern_elements(&tensor->shape);
    if (tensor->dtype != TERN_BIT)
        return tern_writer_add(writer, tensor->data, tern_bytes_of(tensor->dtype, count));
    uint8_t bytes[4096];
    for (int64_t first = 0; first < count; first += (int64_t)sizeof bytes) {
        int64_t n = count - first < (int64_t)sizeof bytes ? count - first : (int64_t)sizeof bytes;
        for (int64_t i = 0; i < n; i++) bytes[i] = tern_bit_get(tensor->data, first + i);
        TERN_TRY(tern_writer_add(writer, bytes, (size_t)n));
    }
    return TERN_OK;
}
