/* Pages of the system, as memory and mapped files take them. */
#ifndef TERN_BASE_PAGES_H
#define TERN_BASE_PAGES_H

#include "base/base.h"

#define TERN_LARGE_PAGE ((size_t)2 << 20)

/* mmap, private: of `file` from its beginning, or (-1) of no file.  From TERN_LARGE_PAGE bytes on at a multiple of that.
 * MAP_FAILED, and errno, as mmap has them. */
void *tern_map_aligned(size_t bytes, int protection, int file);
/* Pages of tern_take_pages, which are the caller's no more, in place of those of a mapped file from `at` on, the beginning of a page, up to
 * another's or to the file's end: at the same addresses, read-only from now on.  false: nothing but that has changed. */
bool tern_put_pages(const void *at, void *memory, size_t bytes);
/* So many bytes of them have gone, with the file, or go now. */
void tern_put_end(size_t bytes);

#endif
