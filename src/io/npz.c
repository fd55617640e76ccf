/* NPZ: a zip file (PKWARE's APPNOTE) of NPY files, stored or deflated, with or without zip64. */
#include "io/bytes.h"
#include "io/io.h"
#include "io/source.h"

#include <string.h>

typedef struct tern_zip {
    const char *name; /* the file */
    const uint8_t *bytes;
    size_t count;
    uint64_t directory, members; /* where the directory begins, entries in it */
} tern_zip;

typedef struct tern_member {
    const uint8_t *name;
    size_t name_length;
    uint64_t packed, size, offset;
    uint32_t crc;
    int method;
} tern_member;

static tern_status damaged(const tern_zip *z, const char *what)
{
    return tern_fail(TERN_FAILED, "%s: %s: no NPZ file, or it is truncated or damaged", z->name, what);
}

/* `length` bytes at `offset`, or NULL where they are not there. */
static const uint8_t *bytes_at(const tern_zip *z, uint64_t offset, uint64_t length)
{
    if (offset > z->count || length > z->count - offset) return NULL;
    return z->bytes + offset;
}

/* The end record stands at the end, before a comment of at most 65535 bytes. */
static tern_status find_directory(tern_zip *z)
{
    size_t end = z->count >= 22 ? z->count - 22 : 0, low = end > 65535 ? end - 65535 : 0;
    if (z->count < 22) return damaged(z, "shorter than a zip file's end record");
    while (end > low && tern_little(z->bytes + end, 4) != 0x06054b50) end--;
    const uint8_t *p = z->bytes + end;
    if (tern_little(p, 4) != 0x06054b50) return damaged(z, "no end record of a zip file");
    z->members = tern_little(p + 10, 2);
    z->directory = tern_little(p + 16, 4);
    const uint8_t *locator = end >= 20 ? p - 20 : NULL;
    if (locator && tern_little(locator, 4) == 0x07064b50) {
        const uint8_t *wide = bytes_at(z, tern_little(locator + 8, 8), 56);
        if (!wide || tern_little(wide, 4) != 0x06064b50) return damaged(z, "no zip64 end record");
        z->members = tern_little(wide + 32, 8);
        z->directory = tern_little(wide + 48, 8);
    }
    return TERN_OK;
}

/* Sizes that do not fit into 32 bits stand in an extra field, those that are needed only, in this order. */
static void widen(tern_member *m, const uint8_t *extra, size_t length)
{
    uint64_t *fields[] = {&m->size, &m->packed, &m->offset};
    while (length >= 4) {
        size_t size = (size_t)tern_little(extra + 2, 2);
        if (size > length - 4) return;
        if (tern_little(extra, 2) == 1) {
            const uint8_t *p = extra + 4;
            for (int i = 0; i < 3; i++) {
                if (*fields[i] != UINT32_MAX || size < 8) continue;
                *fields[i] = tern_little(p, 8);
                p += 8;
                size -= 8;
            }
            return;
        }
        extra += 4 + size;
        length -= 4 + size;
    }
}

/* The directory entry at *at, which moves to the next one. */
static tern_status read_member(const tern_zip *z, uint64_t *at, tern_member *m)
{
    const uint8_t *p = bytes_at(z, *at, 46);
    if (!p || tern_little(p, 4) != 0x02014b50) return damaged(z, "a directory entry is missing");
    size_t name = (size_t)tern_little(p + 28, 2), extra = (size_t)tern_little(p + 30, 2);
    size_t comment = (size_t)tern_little(p + 32, 2);
    if (!bytes_at(z, *at + 46, name + extra + comment)) return damaged(z, "a directory entry breaks off");
    *m = (tern_member){.name = p + 46,
                       .name_length = name,
                       .method = (int)tern_little(p + 10, 2),
                       .crc = (uint32_t)tern_little(p + 16, 4),
                       .packed = tern_little(p + 20, 4),
                       .size = tern_little(p + 24, 4),
                       .offset = tern_little(p + 42, 4)};
    widen(m, p + 46 + name, extra);
    *at += 46 + name + extra + comment;
    if (tern_little(p + 8, 2) & 1) return damaged(z, "a member is encrypted");
    if (m->method != 0 && m->method != 8) return damaged(z, "a member is neither stored nor deflated");
    return TERN_OK;
}

static tern_status unpack_member(const tern_zip *z, const tern_member *m, const char *label, char **out)
{
    const uint8_t *local = bytes_at(z, m->offset, 30);
    if (!local || tern_little(local, 4) != 0x04034b50) return damaged(z, "a member's header is missing");
    uint64_t begin = m->offset + 30 + tern_little(local + 26, 2) + tern_little(local + 28, 2);
    const uint8_t *packed = bytes_at(z, begin, m->packed);
    if (!packed) return damaged(z, "a member breaks off");
    tern_source source;
    size_t count = 0;
    char *data = NULL;
    TERN_TRY(
        tern_source_open(&source, packed, (size_t)m->packed, m->method ? TERN_DEFLATE : TERN_PLAIN, label));
    tern_status status = tern_source_all(&source, (size_t)m->size, &data, &count);
    tern_source_close(&source);
    if (status != TERN_OK) return status;
    uint32_t crc = tern_crc32(0, data, count);
    if (count != m->size || crc != m->crc) {
        tern_release(data);
        return tern_fail(TERN_FAILED,
                         "%s: unpacks to %zu bytes with checksum %08x, expected %llu with %08x: the file is "
                         "damaged",
                         label, count, crc, (unsigned long long)m->size, m->crc);
    }
    *out = data;
    return TERN_OK;
}

static tern_status add_member(const tern_zip *z, const tern_member *m, tern_bundle *bundle)
{
    static const char suffix[] = ".npy";
    if (m->name_length < 4 || memcmp(m->name + m->name_length - 4, suffix, 4) != 0)
        return TERN_OK; /* something else */
    tern_text name = {0}, label = {0};
    tern_text_add(&name, (const char *)m->name, m->name_length - 4);
    tern_text_format(&label, "%s: %s.npy", z->name, name.data ? name.data : "");
    tern_status status = tern_text_status(name.failed ? &name : &label);
    char *data = NULL;
    tern_tensor t = {0};
    if (status == TERN_OK) status = unpack_member(z, m, label.data, &data);
    if (status == TERN_OK) status = tern_npy_parse(data, (size_t)m->size, label.data, &t);
    if (status == TERN_OK) status = tern_bundle_add(bundle, name.data, t);
    tern_release(data);
    tern_text_free(&name);
    tern_text_free(&label);
    return status;
}

tern_status tern_npz_parse(const void *bytes, size_t count, const char *name, tern_bundle *out)
{
    tern_zip z = {.name = name, .bytes = bytes, .count = count};
    tern_bundle bundle = {0};
    TERN_TRY(find_directory(&z));
    uint64_t at = z.directory;
    tern_status status = TERN_OK;
    for (uint64_t i = 0; i < z.members && status == TERN_OK; i++) {
        tern_member m = {0};
        status = read_member(&z, &at, &m);
        if (status == TERN_OK) status = add_member(&z, &m, &bundle);
    }
    if (status != TERN_OK)
        tern_bundle_free(&bundle);
    else
        *out = bundle;
    return status;
}

tern_status tern_npz_read(const char *path, tern_bundle *out)
{
    char *bytes;
    size_t count;
    TERN_TRY(tern_read_file(path, &bytes, &count));
    tern_status status = tern_npz_parse(bytes, count, path, out);
    tern_release(bytes);
    return status;
}
