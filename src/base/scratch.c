/* Memory in a file that nobody sees: for what need not be in main memory all the time. */
#define _DEFAULT_SOURCE
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t whole_pages(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return bytes ? (bytes + page - 1) / page * page : page;
}

tern_status tern_scratch_open(const char *folder, int *file)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/.scratch-XXXXXX", folder) >= (int)sizeof path)
        return tern_fail(TERN_FAILED, "the path of folder %.60s... is too long", folder);
    *file = mkstemp(path);
    if (*file < 0) return tern_fail(TERN_FAILED, "cannot make a file in %s: %s", folder, strerror(errno));
    unlink(path); /* it is gone with the process, whatever becomes of that */
    return TERN_OK;
}

void tern_scratch_close(int file)
{
    close(file);
}

tern_status tern_scratch_map(int file, size_t *end, size_t bytes, void **memory)
{
    size_t room = whole_pages(bytes);
    int failed = posix_fallocate(file, (off_t)*end, (off_t)room); /* else a full disk would end the process */
    if (failed) return tern_fail(TERN_FAILED, "no room on disk for %zu bytes: %s", room, strerror(failed));
    void *map = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED, file, (off_t)*end);
    if (map == MAP_FAILED) return tern_fail(TERN_FAILED, "cannot map a file: %s", strerror(errno));
    *end += room;
    *memory = map;
    return TERN_OK;
}

void tern_scratch_unmap(void *memory, size_t bytes)
{
    if (memory) munmap(memory, whole_pages(bytes));
}

void tern_scratch_forget(const void *memory, size_t bytes)
{
    tern_forget_pages(memory, whole_pages(bytes));
}
