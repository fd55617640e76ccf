/* Plain and compressed bytes behind one face (zlib does the work). */
#include "io/source.h"

#include <string.h>

tern_packing tern_packing_of(const void *bytes, size_t count)
{
    const uint8_t *p = bytes;
    return count >= 2 && p[0] == 0x1f && p[1] == 0x8b ? TERN_GZIP : TERN_PLAIN;
}

uint64_t tern_source_most(const tern_source *source)
{
    uint64_t left = source->count - source->used;
    return source->packing == TERN_PLAIN ? left : (left + 64) * 1032;
}

#ifdef TERN_HAVE_ZLIB
#include <zlib.h>

static void *take(void *context, unsigned count, unsigned size)
{
    (void)context;
    return tern_take_array(count, size);
}

static void release(void *context, void *memory)
{
    (void)context;
    tern_release(memory);
}

static tern_status open_inflater(tern_source *s)
{
    z_stream *z = tern_take(sizeof *z);
    if (!z) return tern_no_memory(sizeof *z, s->name);
    z->zalloc = take;
    z->zfree = release;
    if (inflateInit2(z, s->packing == TERN_GZIP ? 16 + MAX_WBITS : -MAX_WBITS) != Z_OK) {
        tern_release(z);
        return tern_no_memory(64 << 10, s->name);
    }
    s->inflater = z;
    return TERN_OK;
}

static void close_inflater(tern_source *s)
{
    inflateEnd(s->inflater);
    tern_release(s->inflater);
}

/* A gzip file may be several members in a row; zero bytes behind the last one are padding. */
static bool another_member(const tern_source *s)
{
    return s->packing == TERN_GZIP && tern_packing_of(s->bytes + s->used, s->count - s->used) == TERN_GZIP;
}

/* One step of decompression into out[0..count). */
static tern_status inflate_some(tern_source *s, uint8_t *out, size_t count, size_t *done)
{
    z_stream *z = s->inflater;
    const size_t chunk = 1u << 30; /* zlib counts in 32 bits */
    size_t left = s->count - s->used;
    z->next_in = (Bytef *)(uintptr_t)(s->bytes + s->used);
    z->avail_in = (uInt)(left < chunk ? left : chunk);
    z->next_out = out;
    z->avail_out = (uInt)(count < chunk ? count : chunk);
    uInt in = z->avail_in, room = z->avail_out;
    int code = inflate(z, Z_NO_FLUSH);
    s->used += in - z->avail_in;
    *done = room - z->avail_out;
    if (code == Z_STREAM_END) {
        if (another_member(s))
            inflateReset(z);
        else
            s->ended = true;
        return TERN_OK;
    }
    if (code == Z_MEM_ERROR) return tern_no_memory(64 << 10, s->name);
    if (code == Z_OK || (code == Z_BUF_ERROR && s->used < s->count)) return TERN_OK;
    if (code == Z_BUF_ERROR)
        return tern_fail(
            TERN_FAILED,
            "%s: the compressed data break off after %zu bytes (%llu bytes unpacked): the file is "
            "truncated, fetch it again",
            s->name, s->count, (unsigned long long)(s->position + *done));
    return tern_fail(TERN_FAILED,
                     "%s: the compressed data are damaged near byte %zu (%s): fetch the file again", s->name,
                     s->used, z->msg ? z->msg : "bad stream");
}
#else
static tern_status open_inflater(tern_source *s)
{
    return tern_fail(TERN_FAILED,
                     "%s is compressed and this build of Tern has no zlib: unpack it, or install "
                     "zlib's headers and build again",
                     s->name);
}

static void close_inflater(tern_source *s)
{
    (void)s;
}

static tern_status inflate_some(tern_source *s, uint8_t *out, size_t count, size_t *done)
{
    (void)out, (void)count, (void)done;
    return open_inflater(s);
}
#endif

tern_status tern_source_open(tern_source *source, const void *bytes, size_t count, tern_packing packing,
                             const char *name)
{
    *source = (tern_source){.name = name, .bytes = bytes, .count = count, .packing = packing};
    return packing == TERN_PLAIN ? TERN_OK : open_inflater(source);
}

void tern_source_close(tern_source *source)
{
    if (source->inflater) close_inflater(source);
    source->inflater = NULL;
}

tern_status tern_source_some(tern_source *source, void *out, size_t count, size_t *done)
{
    *done = 0;
    if (source->packing == TERN_PLAIN) {
        size_t left = source->count - source->used;
        *done = count < left ? count : left;
        if (*done) memcpy(out, source->bytes + source->used, *done);
        source->used += *done;
        source->position += *done;
        return TERN_OK;
    }
    while (*done < count && !source->ended) {
        size_t got = 0;
        tern_status status = inflate_some(source, (uint8_t *)out + *done, count - *done, &got);
        *done += got;
        source->position += got;
        if (status != TERN_OK) return status;
    }
    return TERN_OK;
}

tern_status tern_source_read(tern_source *source, void *out, size_t count, const char *what)
{
    size_t done;
    TERN_TRY(tern_source_some(source, out, count, &done));
    if (done == count) return TERN_OK;
    return tern_fail(TERN_FAILED,
                     "%s: the file ends at byte %llu inside %s: expected %zu more bytes: it is truncated",
                     source->name, (unsigned long long)source->position, what, count - done);
}

tern_status tern_source_end(tern_source *source)
{
    uint8_t extra;
    size_t done;
    TERN_TRY(tern_source_some(source, &extra, 1, &done));
    if (done == 0) return TERN_OK;
    return tern_fail(TERN_FAILED,
                     "%s: there are bytes behind the data, from byte %llu on: the sizes in its header "
                     "are wrong, or something was appended",
                     source->name, (unsigned long long)source->position - 1);
}

tern_status tern_source_all(tern_source *source, size_t most, char **out, size_t *count)
{
    uint64_t likely = source->packing == TERN_PLAIN ? tern_source_most(source) : 4 * (uint64_t)source->count;
    size_t capacity = (likely < most ? (size_t)likely : most) + 2, size = 0, done;
    char *data = tern_take(capacity);
    if (!data) return tern_no_memory(capacity, source->name);
    for (;;) {
        tern_status status = tern_source_some(source, data + size, capacity - size - 1, &done);
        size += done;
        if (status == TERN_OK && size > most)
            status = tern_fail(TERN_FAILED, "%s: unpacks to more than the %zu bytes that are allowed here",
                               source->name, most);
        if (status != TERN_OK) {
            tern_release(data);
            return status;
        }
        if (size < capacity - 1) break;
        char *bigger = tern_resize(data, capacity, 2 * capacity);
        if (!bigger) {
            tern_release(data);
            return tern_no_memory(2 * capacity, source->name);
        }
        data = bigger;
        capacity *= 2;
    }
    data[size] = 0;
    *out = data;
    *count = size;
    return TERN_OK;
}
