/* Checkpoints: safetensors with a document and checksums.  A tensor's checksum stands in the metadata under
 * "crc32 <name>" and covers its format, its shape and its elements as they are in memory, so that damage to the header
 * shows too; the document's stands under "crc32". */
#include "io/bytes.h"
#include "io/io.h"

#include <stdlib.h>
#include <string.h>

#define DOCUMENT     "tern.document"
#define DOCUMENT_CRC "crc32"

static uint32_t checksum(const tern_tensor *t)
{
    char text[128], shape[96];
    int length = snprintf(text, sizeof text, "%s %s", tern_dtype_of(t->dtype)->name,
                          tern_shape_text(shape, &t->shape));
    uint32_t crc = tern_crc32(0, text, (size_t)length);
    return tern_crc32(crc, t->data, tern_bytes_of(t->dtype, tern_elements(&t->shape)));
}

static tern_status add_checksum(tern_bundle *b, const char *key, uint32_t crc)
{
    char value[16];
    snprintf(value, sizeof value, "%08x", crc);
    return tern_bundle_add_text(b, key, value);
}

static tern_status add_tensor_checksum(tern_bundle *b, const char *name, const tern_tensor *t)
{
    tern_text key = {0};
    tern_text_format(&key, DOCUMENT_CRC " %s", name);
    tern_status status = tern_text_status(&key);
    if (status == TERN_OK) status = add_checksum(b, key.data, checksum(t));
    tern_text_free(&key);
    return status;
}

tern_status tern_checkpoint_write(const char *path, const tern_tensor *tensors, const char *const *names,
                                  int count, const char *document)
{
    tern_bundle texts = {0};
    tern_status status = tern_bundle_add_text(&texts, DOCUMENT, document);
    if (status == TERN_OK)
        status = add_checksum(&texts, DOCUMENT_CRC, tern_crc32(0, document, strlen(document)));
    for (int i = 0; i < count && status == TERN_OK; i++)
        status = add_tensor_checksum(&texts, names[i], &tensors[i]);
    if (status == TERN_OK) {
        tern_bundle all = texts; /* borrows the tensors */
        all.tensors = (tern_tensor *)(uintptr_t)tensors;
        all.names = (char **)(uintptr_t)names;
        all.count = count;
        status = tern_safetensors_write(path, &all);
    }
    tern_bundle_free(&texts);
    return status;
}

/* The checksum under `key` equals `crc`. */
static tern_status compare(const tern_bundle *b, const char *key, uint32_t crc, const char *file,
                           const char *what)
{
    const char *text = tern_bundle_text(b, key);
    if (!text)
        return tern_fail(TERN_FAILED,
                         "%s: %s has no checksum: this is not a checkpoint of Tern, or it is damaged", file,
                         what);
    char found[16];
    snprintf(found, sizeof found, "%08x", crc);
    if (strcmp(text, found) == 0) return TERN_OK;
    return tern_fail(TERN_FAILED,
                     "%s: %s has checksum %s, expected %s: the file is damaged, use an earlier checkpoint",
                     file, what, found, text);
}

static tern_status verify_tensor(const tern_bundle *b, int i, const char *file)
{
    tern_text key = {0}, what = {0};
    tern_text_format(&key, DOCUMENT_CRC " %s", b->names[i]);
    tern_text_format(&what, "tensor \"%s\"", b->names[i]);
    tern_status status = tern_text_status(key.failed ? &key : &what);
    if (status == TERN_OK) status = compare(b, key.data, checksum(&b->tensors[i]), file, what.data);
    tern_text_free(&key);
    tern_text_free(&what);
    return status;
}

static tern_status verify(const tern_bundle *b, const char *file)
{
    const char *document = tern_bundle_text(b, DOCUMENT);
    if (!document)
        return tern_fail(TERN_FAILED,
                         "%s: the metadata have no \"" DOCUMENT "\": this is not a checkpoint of Tern", file);
    TERN_TRY(compare(b, DOCUMENT_CRC, tern_crc32(0, document, strlen(document)), file, "the document"));
    for (int i = 0; i < b->count; i++) TERN_TRY(verify_tensor(b, i, file));
    return TERN_OK;
}

/* Takes the bundle, good or bad. */
static tern_status deliver(tern_bundle *b, const char *file, tern_bundle *out, char **document)
{
    tern_status status = verify(b, file);
    char *text = status == TERN_OK ? tern_copy_string(tern_bundle_text(b, DOCUMENT)) : NULL;
    if (status == TERN_OK && !text) status = tern_no_memory(0, "a checkpoint's document");
    if (status != TERN_OK) {
        tern_bundle_free(b);
        return status;
    }
    *out = *b;
    *document = text;
    return TERN_OK;
}

tern_status tern_checkpoint_parse(const void *bytes, size_t count, const char *name, tern_bundle *out,
                                  char **document)
{
    tern_bundle b = {0};
    TERN_TRY(tern_safetensors_parse(bytes, count, name, &b));
    return deliver(&b, name, out, document);
}

tern_status tern_checkpoint_read(const char *path, tern_bundle *out, char **document)
{
    tern_bundle b = {0};
    TERN_TRY(tern_safetensors_read(path, &b));
    return deliver(&b, path, out, document);
}
