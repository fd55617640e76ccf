/* Writing GGUF version 3. */
#include "io/bytes.h"
#include "io/weights.h"

#include <string.h>

static void put(tern_text *out, uint64_t value, size_t size)
{
    tern_text_add(out, (const char *)&value, size); /* little-endian, as io/bytes.h asserts */
}

static void put_text(tern_text *out, const char *text)
{
    size_t length = strlen(text);
    put(out, length, 8);
    tern_text_add(out, text, length);
}

static void put_meta(tern_text *out, const tern_meta *m)
{
    put_text(out, m->key);
    put(out, m->array ? TERN_META_ARRAY : m->kind, 4);
    if (m->array) {
        put(out, m->kind, 4);
        put(out, (uint64_t)m->count, 8);
    }
    tern_text_add(out, (const char *)m->data, m->size);
}

static uint64_t aligned(uint64_t offset, uint64_t alignment)
{
    return (offset + alignment - 1) / alignment * alignment;
}

static tern_status put_header(tern_text *out, const tern_gguf_content *c, const char *path,
                              uint64_t alignment)
{
    uint64_t offset = 0;
    tern_text_put(out, "GGUF");
    put(out, 3, 4);
    put(out, (uint64_t)c->count, 8);
    put(out, (uint64_t)c->meta_count, 8);
    for (int i = 0; i < c->meta_count; i++) put_meta(out, &c->metas[i]);
    for (int i = 0; i < c->count; i++) {
        const tern_tensor *t = &c->tensors[i];
        const tern_dtype_info *info = tern_dtype_of(t->dtype);
        uint32_t type;
        if (!tern_gguf_type(t->dtype, &type))
            return tern_fail(TERN_FAILED, "%s: tensor \"%s\" is %s, which GGUF lacks: choose another format",
                             path, c->names[i], info->name);
        if (t->shape.rank && t->shape.dim[t->shape.rank - 1] % info->block && !tern_gguf_flat(t->dtype))
            return tern_fail(
                TERN_FAILED, "%s: tensor \"%s\": rows of %lld elements are no whole blocks of %s (%d)", path,
                c->names[i], (long long)t->shape.dim[t->shape.rank - 1], info->name, info->block);
        put_text(out, c->names[i]);
        put(out, (uint64_t)t->shape.rank, 4);
        for (int d = t->shape.rank - 1; d >= 0; d--) put(out, (uint64_t)t->shape.dim[d], 8);
        put(out, type, 4);
        put(out, offset, 8);
        offset = aligned(offset + tern_bytes_of(t->dtype, tern_elements(&t->shape)), alignment);
    }
    return tern_text_status(out);
}

/* Zeros up to the alignment. */
static tern_status pad(tern_writer *writer, uint64_t size, uint64_t alignment)
{
    static const char zeros[4096];
    for (uint64_t left = aligned(size, alignment) - size; left;) {
        size_t part = left < sizeof zeros ? (size_t)left : sizeof zeros;
        TERN_TRY(tern_writer_add(writer, zeros, part));
        left -= part;
    }
    return TERN_OK;
}

static tern_status write_tensors(tern_writer *writer, const tern_gguf_content *c, uint64_t alignment)
{
    for (int i = 0; i < c->count; i++) {
        const void *bytes = c->tensors[i].data;
        size_t size = tern_bytes_of(c->tensors[i].dtype, tern_elements(&c->tensors[i].shape));
        if (c->content) TERN_TRY(c->content(c->context, i, &bytes));
        TERN_TRY(tern_writer_add(writer, bytes, size));
        TERN_TRY(pad(writer, size, alignment));
    }
    return TERN_OK;
}

tern_status tern_gguf_write(const char *path, const tern_gguf_content *content)
{
    uint64_t alignment = 32;
    for (int i = 0; i < content->meta_count; i++)
        if (strcmp(content->metas[i].key, "general.alignment") == 0)
            alignment = (uint64_t)tern_meta_number(&content->metas[i], 0);
    tern_text header = {0};
    tern_writer writer;
    tern_status status = put_header(&header, content, path, alignment);
    if (status == TERN_OK) status = tern_writer_open(&writer, path);
    if (status == TERN_OK) {
        status = tern_writer_add(&writer, header.data, header.size);
        if (status == TERN_OK) status = pad(&writer, header.size, alignment);
        if (status == TERN_OK) status = write_tensors(&writer, content, alignment);
        status = tern_writer_close(&writer, status);
    }
    tern_text_free(&header);
    return status;
}
