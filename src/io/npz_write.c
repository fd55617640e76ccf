/* NPZ out: a zip file (PKWARE's APPNOTE, 4.3) of stored NPY members, without times, so that equal tensors are equal files. */
#include "io/bytes.h"
#include "io/io.h"

#include <string.h>

enum { HEADER = 256 };
#define MOST 0xfffffffeull /* what 32 bits of the format hold without its extension */

/* What stands in a member's local header and again in the directory. */
typedef struct member {
    const char *name;
    uint32_t crc, size, offset;
} member;

static void put(tern_text *t, uint64_t value, int bytes)
{
    char little[8];
    for (int i = 0; i < bytes; i++) little[i] = (char)(value >> 8 * i & 255);
    tern_text_add(t, little, (size_t)bytes);
}

/* The fields from "version needed" to "extra length": stored, dated 1980-01-01, the year that the format counts from. */
static void put_fields(tern_text *t, const member *m)
{
    put(t, 20, 2);
    put(t, 0, 4);
    put(t, 0, 2);
    put(t, 33, 2);
    put(t, m->crc, 4);
    put(t, m->size, 4);
    put(t, m->size, 4);
    put(t, strlen(m->name) + 4, 2);
    put(t, 0, 2);
}

static void put_name(tern_text *t, const member *m)
{
    tern_text_format(t, "%s.npy", m->name);
}

static tern_status write_member(tern_writer *w, const tern_tensor *tensor, member *m, uint64_t *at)
{
    char header[HEADER];
    size_t length = tern_npy_header(tensor, header), bytes;
    bytes = (size_t)tern_elements(&tensor->shape) * (size_t)tern_dtype_element(tensor->dtype).size;
    tern_text local = {0};
    if (*at + length + bytes > MOST)
        return tern_fail(TERN_FAILED,
                         "array %s ends beyond 4 GB, which this file format cannot hold: make fewer",
                         m->name);
    m->crc = tern_crc32(tern_crc32(0, header, length), tensor->data, bytes);
    m->size = (uint32_t)(length + bytes);
    m->offset = (uint32_t)*at;
    put(&local, 0x04034b50, 4);
    put_fields(&local, m);
    put_name(&local, m);
    tern_status status = tern_text_status(&local);
    if (status == TERN_OK) status = tern_writer_add(w, local.data, local.size);
    if (status == TERN_OK) status = tern_writer_add(w, header, length);
    if (status == TERN_OK) status = tern_writer_add(w, tensor->data, bytes);
    *at += local.size + length + bytes;
    tern_text_free(&local);
    return status;
}

static tern_status write_directory(tern_writer *w, const member *members, int count, uint64_t at)
{
    tern_text t = {0};
    for (int i = 0; i < count; i++) {
        put(&t, 0x02014b50, 4);
        put(&t, 20, 2);
        put_fields(&t, &members[i]);
        put(&t, 0, 2); /* comment, disk, attributes */
        put(&t, 0, 2);
        put(&t, 0, 2);
        put(&t, 0, 4);
        put(&t, members[i].offset, 4);
        put_name(&t, &members[i]);
    }
    size_t size = t.size;
    put(&t, 0x06054b50, 4);
    put(&t, 0, 4);
    put(&t, (uint64_t)count, 2);
    put(&t, (uint64_t)count, 2);
    put(&t, size, 4);
    put(&t, at, 4);
    put(&t, 0, 2);
    tern_status status = tern_text_status(&t);
    if (status == TERN_OK) status = tern_writer_add(w, t.data, t.size);
    tern_text_free(&t);
    return status;
}

tern_status tern_npz_write(const char *path, const tern_tensor *tensors, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (tensors[i].dtype == TERN_BIT || !tern_npy_header(&tensors[i], (char[HEADER]){0}))
            return tern_fail(TERN_FAILED, "%s: array %s is %s: cast the tensor to f32 or u8 first", path,
                             names[i], tern_dtype_of(tensors[i].dtype)->name);
    member *members = tern_take_array((size_t)count + 1, sizeof *members);
    if (!members) return tern_no_memory((size_t)count * sizeof *members, "the directory of an NPZ file");
    tern_writer writer;
    uint64_t at = 0;
    tern_status status = tern_writer_open(&writer, path);
    if (status == TERN_OK) {
        for (int i = 0; status == TERN_OK && i < count; i++) {
            members[i].name = names[i];
            status = write_member(&writer, &tensors[i], &members[i], &at);
        }
        if (status == TERN_OK) status = write_directory(&writer, members, count, at);
        status = tern_writer_close(&writer, status);
    }
    tern_release(members);
    return status;
}
