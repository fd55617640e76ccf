/* NPY, numpy's array file: "\x93NUMPY", version, header length, a Python dictionary as text, the elements.
 * Format: numpy.org/doc/stable/reference/generated/numpy.lib.format.html. */
#include "io/bytes.h"
#include "io/io.h"

#include <string.h>

#define MOST_HEADER 65536

/* ---- the header: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } ------------------------------------ */

typedef struct tern_npy {
    const char *name; /* the file */
    const char *at, *end;
    tern_element element;
    bool fortran;
    tern_shape shape;
    bool has_descr, has_order, has_shape;
} tern_npy;

static void skip_space(tern_npy *h)
{
    while (h->at < h->end && (*h->at == ' ' || *h->at == '\n' || *h->at == '\t')) h->at++;
}

static bool take_char(tern_npy *h, char c)
{
    skip_space(h);
    if (h->at == h->end || *h->at != c) return false;
    h->at++;
    return true;
}

static bool take_word(tern_npy *h, const char *word)
{
    size_t length = strlen(word);
    skip_space(h);
    if ((size_t)(h->end - h->at) < length || memcmp(h->at, word, length) != 0) return false;
    h->at += length;
    return true;
}

/* A quoted text without escapes into out[16]. */
static bool take_text(tern_npy *h, char out[16])
{
    skip_space(h);
    if (h->at == h->end || (*h->at != '\'' && *h->at != '"')) return false;
    char quote = *h->at++;
    for (size_t i = 0; i < 16 && h->at < h->end; i++) {
        char c = *h->at++;
        out[i] = c == quote ? 0 : c;
        if (c == quote) return true;
    }
    return false;
}

static bool take_number(tern_npy *h, int64_t *out)
{
    skip_space(h);
    int64_t value = 0;
    const char *start = h->at;
    for (; h->at < h->end && *h->at >= '0' && *h->at <= '9'; h->at++) {
        if (value > (INT64_MAX - 9) / 10) return false;
        value = value * 10 + (*h->at - '0');
    }
    *out = value;
    return h->at > start;
}

static tern_status damaged(const tern_npy *h, const char *expected)
{
    int left = (int)(h->end - h->at < 24 ? h->end - h->at : 24);
    char found[32];
    for (int i = 0; i < left; i++) found[i] = h->at[i] >= ' ' && h->at[i] <= '~' ? h->at[i] : '?';
    found[left] = 0;
    return tern_fail(TERN_FAILED, "%s: the NPY header is damaged: expected %s, found \"%s\"", h->name,
                     expected, found);
}

/* '<f4', '|b1', '>u2': order, kind, bytes. */
static tern_status parse_descr(tern_npy *h)
{
    char text[16];
    tern_dtype dtype;
    if (take_char(h, '['))
        return tern_fail(TERN_FAILED, "%s: a structured dtype: save each field as an array of its own",
                         h->name);
    if (!take_text(h, text)) return damaged(h, "a dtype such as '<f4'");
    h->element = (tern_element){.kind = text[0] ? text[1] : 0, .big_endian = text[0] == '>'};
    if (strchr("<>|=", text[0]) && h->element.kind && text[2] >= '1' && text[2] <= '9' && !text[3])
        h->element.size = text[2] - '0';
    if (!tern_element_dtype(h->element, &dtype) || h->element.kind == 'h')
        return tern_fail(TERN_FAILED,
                         "%s: dtype '%s', expected f2 f4 f8, i1 i2 i4 i8, u1 u2 u4 u8 or b1, little- or "
                         "big-endian: convert it with numpy's astype",
                         h->name, text);
    h->has_descr = true;
    return TERN_OK;
}

static tern_status parse_shape(tern_npy *h)
{
    if (!take_char(h, '(')) return damaged(h, "a shape such as (3, 4)");
    while (!take_char(h, ')')) {
        if (h->shape.rank == TERN_MAX_RANK)
            return tern_fail(TERN_FAILED, "%s: more than %d axes: reshape it first", h->name, TERN_MAX_RANK);
        if (!take_number(h, &h->shape.dim[h->shape.rank])) return damaged(h, "a dimension");
        h->shape.rank++;
        if (take_char(h, ',')) continue;
        if (!take_char(h, ')')) return damaged(h, "\",\" or \")\" in the shape");
        break;
    }
    h->has_shape = true;
    return tern_shape_check(&h->shape, h->name);
}

static tern_status parse_order(tern_npy *h)
{
    h->fortran = take_word(h, "True");
    if (!h->fortran && !take_word(h, "False")) return damaged(h, "True or False");
    h->has_order = true;
    return TERN_OK;
}

static tern_status parse_dictionary(tern_npy *h)
{
    char key[16];
    if (!take_char(h, '{')) return damaged(h, "{");
    while (!take_char(h, '}')) {
        if (!take_text(h, key) || !take_char(h, ':')) return damaged(h, "a key");
        if (strcmp(key, "descr") == 0 && !h->has_descr)
            TERN_TRY(parse_descr(h));
        else if (strcmp(key, "fortran_order") == 0 && !h->has_order)
            TERN_TRY(parse_order(h));
        else if (strcmp(key, "shape") == 0 && !h->has_shape)
            TERN_TRY(parse_shape(h));
        else
            return damaged(h, "each of descr, fortran_order and shape once");
        if (take_char(h, ',')) continue;
        if (!take_char(h, '}')) return damaged(h, "\",\" or \"}\"");
        break;
    }
    skip_space(h);
    if (h->at != h->end || !h->has_descr || !h->has_order || !h->has_shape)
        return damaged(h, "descr, fortran_order and shape, and nothing else");
    return TERN_OK;
}

/* Sets *data to the elements behind the header. */
static tern_status parse_header(tern_npy *h, const uint8_t *p, size_t count, const uint8_t **data)
{
    if (count < 10 || memcmp(p, "\x93NUMPY", 6) != 0)
        return tern_fail(TERN_FAILED, "%s: expected the magic number \\x93NUMPY: no NPY file, or truncated",
                         h->name);
    if (p[6] < 1 || p[6] > 3)
        return tern_fail(TERN_FAILED, "%s: NPY version %d.%d, expected 1 to 3", h->name, p[6], p[7]);
    size_t width = p[6] == 1 ? 2 : 4, begin = 8 + width;
    uint64_t length = count < begin ? UINT64_MAX : tern_little(p + 8, (int)width);
    if (length > MOST_HEADER || length > count - begin)
        return tern_fail(TERN_FAILED,
                         "%s: the NPY header claims %llu bytes, the file has %zu (and %d are allowed): it is "
                         "truncated or damaged",
                         h->name, (unsigned long long)length, count, MOST_HEADER);
    h->at = (const char *)p + begin;
    h->end = h->at + length;
    *data = p + begin + length;
    return parse_dictionary(h);
}

/* ---- elements ---------------------------------------------------------------------------------------------------- */

/* `from`, whose axes are in reverse order, into `to`: a file in Fortran order is a C array of the reversed shape. */
static void transpose(tern_tensor *to, const tern_tensor *from)
{
    int rank = to->shape.rank;
    int64_t stride[TERN_MAX_RANK] = {0}, index[TERN_MAX_RANK] = {0}, at = 0,
            count = tern_elements(&to->shape);
    size_t size = (size_t)tern_dtype_of(to->dtype)->bytes;
    for (int i = 0; i < rank; i++) stride[i] = tern_elements_upto(&to->shape, i);
    for (int64_t i = 0; i < count; i++) {
        if (to->dtype == TERN_BIT)
            tern_set(to, i, tern_bit_get(from->data, at));
        else
            memcpy((char *)to->data + (size_t)i * size, (const char *)from->data + (size_t)at * size, size);
        for (int axis = rank - 1; axis >= 0; axis--) {
            at += stride[axis];
            if (++index[axis] < to->shape.dim[axis]) break;
            at -= stride[axis] * to->shape.dim[axis];
            index[axis] = 0;
        }
    }
}

static tern_status unpack(const tern_npy *h, const uint8_t *data, tern_tensor *out)
{
    tern_dtype dtype = TERN_U8;
    tern_tensor t = {0}, straight = {0};
    tern_element_dtype(h->element, &dtype);
    TERN_TRY(tern_tensor_new(&t, dtype, &h->shape));
    tern_status status = tern_elements_unpack(&t, h->element, data, h->name);
    if (status == TERN_OK && h->fortran && h->shape.rank > 1) {
        status = tern_tensor_new(&straight, dtype, &h->shape);
        if (status == TERN_OK) {
            transpose(&straight, &t);
            tern_tensor_free(&t);
            t = straight;
        }
    }
    if (status != TERN_OK)
        tern_tensor_free(&t);
    else
        *out = t;
    return status;
}

tern_status tern_npy_parse(const void *bytes, size_t count, const char *name, tern_tensor *out)
{
    tern_npy h = {.name = name};
    const uint8_t *data = NULL;
    char text[96];
    TERN_TRY(parse_header(&h, bytes, count, &data));
    uint64_t need = (uint64_t)tern_elements(&h.shape) * (uint64_t)h.element.size;
    uint64_t have = count - (size_t)(data - (const uint8_t *)bytes);
    if (need != have)
        return tern_fail(TERN_FAILED, "%s: shape %s needs %llu bytes behind the header, found %llu: %s", name,
                         tern_shape_text(text, &h.shape), (unsigned long long)need, (unsigned long long)have,
                         have < need ? "the file is truncated" : "something was appended");
    return unpack(&h, data, out);
}

tern_status tern_npy_read(const char *path, tern_tensor *out)
{
    char *bytes;
    size_t count;
    TERN_TRY(tern_read_file(path, &bytes, &count));
    tern_status status = tern_npy_parse(bytes, count, path, out);
    tern_release(bytes);
    return status;
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

size_t tern_npy_header(const tern_tensor *tensor, char header[256])
{
    enum { ROOM = 256 };
    tern_element e = tern_dtype_element(tensor->dtype);
    if (e.kind == 'h' || !e.size) return 0;
    int at = 10 + snprintf(header + 10, ROOM - 10, "{'descr': '%c%c%d', 'fortran_order': False, 'shape': (",
                           e.size > 1 ? '<' : '|', e.kind, e.size);
    for (int i = 0; i < tensor->shape.rank; i++)
        at += snprintf(header + at, ROOM - (size_t)at, "%lld,%s", (long long)tensor->shape.dim[i],
                       i + 1 < tensor->shape.rank ? " " : "");
    at += snprintf(header + at, ROOM - (size_t)at, "), }");
    while (at % 64 != 63) header[at++] = ' ';
    header[at++] = '\n';
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = (char)((at - 10) & 255);
    header[9] = (char)((at - 10) >> 8);
    return (size_t)at;
}

tern_status tern_npy_write(const char *path, const tern_tensor *tensor)
{
    char header[256];
    size_t length = tern_npy_header(tensor, header);
    tern_writer writer;
    if (!length)
        return tern_fail(TERN_FAILED, "%s: numpy has no %s: cast the tensor to f32 first", path,
                         tern_dtype_of(tensor->dtype)->name);
    TERN_TRY(tern_writer_open(&writer, path));
    tern_status status = tern_writer_add(&writer, header, length);
    if (status == TERN_OK) status = tern_elements_write(&writer, tensor);
    return tern_writer_close(&writer, status);
}
