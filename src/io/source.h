/* Bytes that arrive in order, out of memory, plain or compressed: what the readers of this folder read from. */
#ifndef TERN_IO_SOURCE_H
#define TERN_IO_SOURCE_H

#include "base/base.h"

typedef enum tern_packing {
    TERN_PLAIN,
    TERN_GZIP,    /* RFC 1952, members one behind the other, checksums verified */
    TERN_DEFLATE, /* RFC 1951, as inside zip files */
} tern_packing;

typedef struct tern_source {
    const char *name; /* for messages: the file */
    const uint8_t *bytes;
    size_t count, used; /* as stored */
    uint64_t position;  /* bytes handed out */
    void *inflater;     /* z_stream of compressed bytes */
    tern_packing packing;
    bool ended; /* the compressed stream is complete */
} tern_source;

/* Bytes stay the caller's and must outlive the source.  tern_packing_of tells gzip by its magic number. */
tern_packing tern_packing_of(const void *bytes, size_t count);
tern_status tern_source_open(tern_source *source, const void *bytes, size_t count, tern_packing packing,
                             const char *name);
void tern_source_close(tern_source *source);

/* Exactly `count` more bytes; fails when there are fewer, naming `what` was read at which offset. */
tern_status tern_source_read(tern_source *source, void *out, size_t count, const char *what);
/* Up to `count` more bytes; *done < count only at the end. */
tern_status tern_source_some(tern_source *source, void *out, size_t count, size_t *done);
/* Fails unless nothing is left. */
tern_status tern_source_end(tern_source *source);
/* More bytes than this can never come, whatever a header claims: deflate packs at most 1032 to one. */
uint64_t tern_source_most(const tern_source *source);

/* All that is left, with a NUL behind it; the caller releases *out.  Fails above `most` bytes. */
tern_status tern_source_all(tern_source *source, size_t most, char **out, size_t *count);

#endif
