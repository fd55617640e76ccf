/* Where machine files are. */
#define _DEFAULT_SOURCE
#include "machine/machine.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* <prefix>/share/tern/machines of the command <prefix>/bin/tern, so that an installation can be moved; else NULL. */
static const char *beside_command(void)
{
    static _Thread_local char path[4096];
    static const char folder[] = "/share/tern/machines";
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - sizeof folder);
    path[length > 0 ? length : 0] = 0;
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(path, '/');
        if (!slash) return NULL;
        *slash = 0;
    }
    memcpy(path + strlen(path), folder, sizeof folder);
    return path;
}

/* The i-th folder that is searched, or NULL behind the last. */
static const char *folder_at(int i)
{
    const char *folders[] = {getenv("TERN_MACHINES"), "machines", beside_command(), TERN_MACHINES_DIR};
    for (size_t k = 0; k < TERN_COUNT(folders); k++)
        if (folders[k] && *folders[k] && i-- == 0) return folders[k];
    return NULL;
}

tern_status tern_machine_here_path(char out[4096])
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int length = data && *data ? snprintf(out, 4096, "%s/tern/here.yaml", data)
                               : snprintf(out, 4096, "%s/.local/share/tern/here.yaml", home ? home : ".");
    return length < 4096 ? TERN_OK : tern_fail(TERN_FAILED, "the path of the user's data folder is too long");
}

static tern_status not_found(const char *name)
{
    tern_text names = {0};
    const char *known[128];
    size_t count = 0;
    if (strcmp(name, "here") == 0)
        return tern_fail(TERN_USAGE, "this computer has not been measured yet; run tern probe first");
    tern_status status = tern_machine_names(&names);
    if (status != TERN_OK) {
        tern_text_free(&names);
        return status;
    }
    for (char *p = names.data; p && *p && count < 128;) {
        char *end = strchr(p, '\n');
        *end = 0;
        known[count++] = p;
        p = end + 1;
    }
    const char *near = tern_nearest(name, known, count);
    status = tern_fail(TERN_USAGE,
                       "unknown machine \"%s\"%s%s%s; see tern list machines, or give a path to a .yaml file",
                       name, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    tern_text_free(&names);
    return status;
}

static bool is_file(const char *path)
{
    return access(path, R_OK) == 0;
}

tern_status tern_machine_find(char path[4096], const char *name, const char *beside)
{
    bool is_path = strchr(name, '/') || strstr(name, ".yaml");
    const char *suffix = is_path ? "" : ".yaml", *slash = beside ? strrchr(beside, '/') : NULL;
    int folder = slash ? (int)(slash - beside) + 1 : 0;
    if (beside && name[0] != '/' && snprintf(path, 4096, "%.*s%s%s", folder, beside, name, suffix) < 4096 &&
        is_file(path))
        return TERN_OK;
    if (is_path) {
        if (snprintf(path, 4096, "%s", name) < 4096) return TERN_OK;
        return tern_fail(TERN_USAGE, "the path of a machine is too long");
    }
    for (int i = 0; folder_at(i); i++)
        if (snprintf(path, 4096, "%s/%s.yaml", folder_at(i), name) < 4096 && is_file(path)) return TERN_OK;
    if (strcmp(name, "here") == 0) {
        TERN_TRY(tern_machine_here_path(path));
        if (is_file(path)) return TERN_OK;
    }
    return not_found(name);
}

tern_status tern_machine_open(tern_machine **machine, const char *name)
{
    char path[4096], *text;
    size_t count;
    TERN_TRY(tern_machine_find(path, name, NULL));
    TERN_TRY(tern_read_file(path, &text, &count));
    tern_status status = tern_machine_parse(machine, text, count, path);
    tern_release(text);
    return status;
}

/* Adds the names of one folder's files that are not there yet. */
static tern_status add_folder(tern_arena *arena, const char *folder, char **names, size_t *count, size_t most)
{
    DIR *dir = opendir(folder);
    tern_status status = TERN_OK;
    for (struct dirent *e; status == TERN_OK && dir && (e = readdir(dir)) && *count < most;) {
        size_t length = strlen(e->d_name), k = 0;
        if (length < 6 || strcmp(e->d_name + length - 5, ".yaml") != 0) continue;
        char *name = tern_arena_format(arena, "%.*s", (int)(length - 5), e->d_name);
        if (!name) status = tern_no_memory(length, "names of machines");
        while (name && k < *count && strcmp(names[k], name) != 0) k++;
        if (name && k == *count) names[(*count)++] = name;
    }
    if (dir) closedir(dir);
    return status;
}

tern_status tern_machine_names(tern_text *names)
{
    tern_arena arena = {0};
    char *list[256], here[] = "here", path[4096];
    size_t count = 0;
    tern_status status = TERN_OK;
    for (int i = 0; status == TERN_OK && folder_at(i); i++)
        status = add_folder(&arena, folder_at(i), list, &count, TERN_COUNT(list) - 1);
    if (status == TERN_OK && tern_machine_here_path(path) == TERN_OK && is_file(path)) list[count++] = here;
    qsort(list, count, sizeof *list, tern_by_text);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(list[i], list[i - 1]) != 0) tern_text_format(names, "%s\n", list[i]);
    tern_arena_free(&arena);
    return status == TERN_OK ? tern_text_status(names) : status;
}
