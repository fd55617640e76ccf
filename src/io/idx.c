/* IDX: u8 0, u8 0, u8 type, u8 rank, then rank big-endian u32 dimensions and the elements, big-endian.
 * Format: yann.lecun.com/exdb/mnist. */
#include "io/bytes.h"
#include "io/io.h"
#include "io/source.h"

static bool type_of(int code, tern_dtype *dtype)
{
    switch (code) {
    case 0x08:
        *dtype = TERN_U8;
        return true;
    case 0x09:
        *dtype = TERN_I8;
        return true;
    case 0x0b:
        *dtype = TERN_I16;
        return true;
    case 0x0c:
        *dtype = TERN_I32;
        return true;
    case 0x0d:
        *dtype = TERN_F32;
        return true;
    case 0x0e:
        *dtype = TERN_F64;
        return true;
    }
    return false;
}

static tern_status read_header(tern_source *s, tern_dtype *dtype, tern_shape *shape)
{
    uint8_t head[4], dims[4 * TERN_MAX_RANK];
    TERN_TRY(tern_source_read(s, head, 4, "the magic number"));
    if (head[0] || head[1] || !type_of(head[2], dtype))
        return tern_fail(
            TERN_FAILED,
            "%s: magic number 0x%02x%02x%02x%02x, expected 0x00000803 (u8 images), 0x00000801 (u8 "
            "labels) or another IDX type: this is not an IDX file",
            s->name, head[0], head[1], head[2], head[3]);
    if (head[3] < 1 || head[3] > TERN_MAX_RANK)
        return tern_fail(TERN_FAILED, "%s: byte 3 says %d axes, expected 1 to %d", s->name, head[3],
                         TERN_MAX_RANK);
    *shape = (tern_shape){.rank = head[3]};
    TERN_TRY(tern_source_read(s, dims, 4 * (size_t)shape->rank, "the dimensions"));
    for (int i = 0; i < shape->rank; i++) {
        shape->dim[i] = (int64_t)tern_big(dims + 4 * i, 4);
    }
    return tern_shape_check(shape, s->name);
}

/* Refuse before memory is taken what the file cannot hold. */
static tern_status check_room(const tern_source *s, tern_dtype dtype, const tern_shape *shape)
{
    uint64_t need = tern_bytes_of(dtype, tern_elements(shape)), most = tern_source_most(s);
    char text[96];
    if (need <= most) return TERN_OK;
    return tern_fail(TERN_FAILED,
                     "%s: dimensions %s need %llu bytes, but the file holds at most %llu: it is truncated "
                     "or its header is damaged",
                     s->name, tern_shape_text(text, shape), (unsigned long long)need,
                     (unsigned long long)most);
}

static tern_status parse(tern_source *s, tern_tensor *out)
{
    tern_dtype dtype = TERN_U8;
    tern_shape shape;
    tern_tensor t = {0};
    TERN_TRY(read_header(s, &dtype, &shape));
    TERN_TRY(check_room(s, dtype, &shape));
    TERN_TRY(tern_tensor_new(&t, dtype, &shape));
    size_t bytes = tern_bytes_of(dtype, tern_elements(&shape));
    tern_status status = tern_source_read(s, t.data, bytes, "the elements");
    if (status == TERN_OK) status = tern_source_end(s);
    if (status != TERN_OK) {
        tern_tensor_free(&t);
        return status;
    }
    tern_swap_elements(t.data, bytes, (size_t)tern_dtype_of(dtype)->bytes);
    *out = t;
    return TERN_OK;
}

tern_status tern_idx_parse(const void *bytes, size_t count, const char *name, tern_tensor *out)
{
    tern_source source;
    TERN_TRY(tern_source_open(&source, bytes, count, tern_packing_of(bytes, count), name));
    tern_status status = parse(&source, out);
    tern_source_close(&source);
    return status;
}

tern_status tern_idx_read(const char *path, tern_tensor *out)
{
    char *bytes;
    size_t count;
    TERN_TRY(tern_read_file(path, &bytes, &count));
    tern_status status = tern_idx_parse(bytes, count, path, out);
    tern_release(bytes);
    return status;
}
