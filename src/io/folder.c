/* Folders, listed in an order that does not depend on the file system. */
#define _POSIX_C_SOURCE 200809L
#include "io/dataset.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool tern_is_folder(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

tern_status tern_listing_add(tern_listing *list, const char *name)
{
    if (list->count == list->capacity) {
        size_t size = sizeof *list->names, more = list->capacity ? 2 * list->capacity : 64;
        char **names = tern_resize(list->names, list->count * size, more * size);
        if (!names) return tern_no_memory(more * size, "a list of file names");
        list->names = names;
        list->capacity = more;
    }
    char *copy = tern_copy_string(name);
    if (!copy) return tern_no_memory(strlen(name) + 1, "a file name");
    list->names[list->count++] = copy;
    return TERN_OK;
}

tern_status tern_list_folder(const char *path, tern_listing *out)
{
    tern_listing list = {0};
    DIR *folder = opendir(path);
    if (!folder) return tern_fail(TERN_FAILED, "cannot open folder %s: %s", path, strerror(errno));
    tern_status status = TERN_OK;
    for (struct dirent *entry; status == TERN_OK && (entry = readdir(folder));)
        if (entry->d_name[0] != '.') status = tern_listing_add(&list, entry->d_name);
    closedir(folder);
    if (status != TERN_OK) {
        tern_listing_free(&list);
        return status;
    }
    if (list.count) qsort(list.names, list.count, sizeof *list.names, tern_by_text);
    *out = list;
    return TERN_OK;
}

void tern_listing_free(tern_listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) tern_release(listing->names[i]);
    tern_release(listing->names);
    *listing = (tern_listing){0};
}
