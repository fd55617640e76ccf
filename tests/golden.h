/* Files that golden/io/generate.py made. */
#ifndef TERN_TEST_GOLDEN_H
#define TERN_TEST_GOLDEN_H

#include "test.h"

#include <stdio.h>

/* The path of a golden file; valid until the next call. */
static inline const char *golden(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/golden/io/%s", TERN_TESTS, name);
    return path;
}

/* A golden file in memory; the caller releases it. */
static inline char *golden_bytes(const char *name, size_t *count)
{
    char *bytes;
    assert_ok(tern_read_file(golden(name), &bytes, count));
    return bytes;
}

#endif
