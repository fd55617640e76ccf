/* Whole files: read, mapped, or replaced so that a reader sees the old or the new one. */
#define _DEFAULT_SOURCE
#include "base/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static tern_status io_error(const char *what, const char *path)
{
    return tern_fail(TERN_FAILED, "cannot %s %s: %s", what, path, strerror(errno));
}

/* A renamed file is safe only when its folder is. */
static void sync_folder(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 1;
    if (length >= sizeof folder) return;
    memcpy(folder, slash ? path : ".", length);
    folder[length] = 0;
    int handle = open(length ? folder : "/", O_RDONLY | O_DIRECTORY);
    if (handle < 0) return;
    fsync(handle);
    close(handle);
}

/* Opens what is written to: a temporary file beside the path, or, where that is a device or a pipe, which must not give way to a
 * file, the path itself.  A link stays, and what it leads to is replaced. */
static tern_status open_target(tern_writer *writer, const char *path)
{
    struct stat about;
    char target[PATH_MAX];
    bool linked = lstat(path, &about) == 0 && S_ISLNK(about.st_mode);
    bool device = stat(path, &about) == 0 && !S_ISREG(about.st_mode);
    if (linked && !device && realpath(path, target)) path = target;
    writer->path = tern_copy_string(path);
    if (!writer->path) return tern_no_memory(strlen(path), "a path");
    if (device) {
        writer->file = open(path, O_WRONLY);
        return writer->file < 0 ? io_error("write", path) : TERN_OK;
    }
    tern_text temporary = {0};
    tern_text_format(&temporary, "%s.tmp-%ld", path, (long)getpid());
    writer->temporary = temporary.data;
    TERN_TRY(tern_text_status(&temporary));
    writer->file = open(temporary.data, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    return writer->file < 0 ? io_error("create", path) : TERN_OK;
}

tern_status tern_writer_open(tern_writer *writer, const char *path)
{
    *writer = (tern_writer){.file = -1};
    tern_status status = open_target(writer, path);
    if (status == TERN_OK) return TERN_OK;
    tern_release(writer->path);
    tern_release(writer->temporary);
    *writer = (tern_writer){.file = -1};
    return status;
}

tern_status tern_writer_add(tern_writer *writer, const void *bytes, size_t count)
{
    const char *p = bytes;
    while (count) {
        ssize_t done = write(writer->file, p, count);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return io_error("write", writer->path);
        p += done;
        count -= (size_t)done;
    }
    return TERN_OK;
}

tern_status tern_writer_close(tern_writer *writer, tern_status status)
{
    if (writer->file < 0) return status;
    const char *path = writer->path;
    bool replaces = writer->temporary;
    if (status == TERN_OK && replaces && fsync(writer->file) != 0) status = io_error("write", path);
    if (close(writer->file) != 0 && status == TERN_OK) status = io_error("write", path);
    if (status == TERN_OK && replaces && rename(writer->temporary, path) != 0)
        status = io_error("replace", path);
    if (status == TERN_OK && replaces) sync_folder(path);
    if (status != TERN_OK && replaces) unlink(writer->temporary);
    tern_release(writer->path);
    tern_release(writer->temporary);
    *writer = (tern_writer){.file = -1};
    return status;
}

tern_status tern_write_file(const char *path, const void *bytes, size_t count)
{
    tern_writer writer;
    TERN_TRY(tern_writer_open(&writer, path));
    return tern_writer_close(&writer, tern_writer_add(&writer, bytes, count));
}

tern_status tern_read_file(const char *path, char **bytes, size_t *count)
{
    FILE *file = fopen(path, "rb");
    if (!file) return io_error("open", path);
    size_t capacity = 4096, size = 0;
    struct stat about;
    if (fstat(fileno(file), &about) == 0 && S_ISREG(about.st_mode)) capacity = (size_t)about.st_size + 1;
    char *data = tern_take(capacity);
    tern_status status = data ? TERN_OK : tern_no_memory(capacity, path);
    while (status == TERN_OK) {
        size += fread(data + size, 1, capacity - size - 1, file);
        if (ferror(file)) status = io_error("read", path);
        if (status != TERN_OK || feof(file) || size < capacity - 1) break;
        int more = fgetc(file);
        if (more == EOF) break;
        char *bigger = tern_resize(data, capacity, 2 * capacity + 1);
        if (!bigger) {
            status = tern_no_memory(2 * capacity, path);
            break;
        }
        data = bigger;
        capacity = 2 * capacity + 1;
        data[size++] = (char)more;
    }
    fclose(file);
    if (status != TERN_OK) {
        tern_release(data);
        return status;
    }
    data[size] = 0;
    *bytes = data;
    *count = size;
    return TERN_OK;
}

tern_status tern_make_folder(const char *path)
{
    char part[4096];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part)
        return tern_fail(TERN_FAILED, "cannot make folder \"%s\": the path is empty or too long", path);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != 0) continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0777) != 0 && errno != EEXIST) return io_error("make folder", part);
    }
    struct stat about;
    if (stat(path, &about) == 0 && S_ISDIR(about.st_mode)) return TERN_OK;
    errno = ENOTDIR;
    return io_error("make folder", path);
}

uint32_t tern_crc32(uint32_t crc, const void *bytes, size_t count)
{
    static const uint32_t nibbles[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    const uint8_t *p = bytes;
    crc = ~crc;
    for (size_t i = 0; i < count; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ nibbles[crc & 15];
        crc = crc >> 4 ^ nibbles[crc & 15];
    }
    return ~crc;
}

tern_status tern_map_file(const char *path, const void **bytes, size_t *count)
{
    struct stat about;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return io_error("open", path);
    if (fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) {
        close(file);
        return tern_fail(TERN_FAILED, "%s is not a regular file", path);
    }
    *count = (size_t)about.st_size;
    *bytes = "";
    if (*count) {
        void *map = tern_map_aligned(*count, PROT_READ, file);
        if (map == MAP_FAILED) {
            close(file);
            return io_error("map", path);
        }
        *bytes = map;
    }
    close(file);
    return TERN_OK;
}

void tern_forget_pages(const void *at, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)at + page - 1) / page * page;
    uintptr_t to = ((uintptr_t)at + bytes) / page * page;
    if (to > from) madvise((void *)from, to - from, MADV_DONTNEED);
}

void tern_prefer_large_pages(const void *at, size_t bytes)
{
    if (bytes) madvise((void *)(uintptr_t)at, bytes, MADV_HUGEPAGE);
}

void tern_unmap_file(const void *bytes, size_t count)
{
    if (count) munmap((void *)(uintptr_t)bytes, count);
}
