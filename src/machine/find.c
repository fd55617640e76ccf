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

static tern_status open_path(tern_machine **machine, const char *path)
{
    char *text;
    size_t count;
    TERN_TRY(tern_read_file(path, &text, &count));
    tern_status status = tern_machine_parse(machine, text, count, path);
    tern_release(text);
    return status;
}

static tern_status not_found(const char *name)
{
    tern_text names = {0};
    const char *known[128];
    size_t count = 0;
    if (strcmp(name, "here") == 0)
        return tern_fail(TERN_USAGE, "this computer has not been measured yet; run tern probe first");
    TERN_TRY(tern_machine_names(&names));
    for (char *p = names.data; p && *p && count < 128;) {
        char *end = strchr(p, '\n');
        *end = 0;
        known[count++] = p;
        p = end + 1;
    }
    const char *near = tern_nearest(name, known, count);
    tern_status status = tern_fail(
        TERN_USAGE, "unknown machine \"%s\"%s%s%s; see tern list machines, or give a path to a .yaml file",
        name, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    tern_text_free(&names);
    return status;
}

tern_status tern_machine_open(tern_machine **machine, const char *name)
{
    char path[4096];
    if (strchr(name, '/') || strstr(name, ".yaml")) return open_path(machine, name);
    for (int i = 0; folder_at(i); i++) {
        if (snprintf(path, sizeof path, "%s/%s.yaml", folder_at(i), name) < (int)sizeof path &&
            access(path, R_OK) == 0)
            return open_path(machine, path);
    }
    if (strcmp(name, "here") == 0) {
        TERN_TRY(tern_machine_here_path(path));
        if (access(path, R_OK) == 0) return open_path(machine, path);
    }
    return not_found(name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Adds the names of one folder's files that are not there yet. */
static tern_status add_folder(tern_arena *arena, const char *folder, char **names, size_t *count, size_t most)
{
    DIR *dir = opendir(folder);
    tern_status status = TERN_OK;
    for (struct dirent *e; dir && (e = readdir(dir)) && *count < most;) {
        size_t length = strlen(e->d_name);
        if (length < 6 || strcmp(e->d_name + length - 5, ".yaml") != 0) continue;
        char *name = tern_arena_format(arena, "%.*s", (int)(length - 5), e->d_name);
        if (!name) {
            status = tern_no_memory(length, "a name");
            break;
        }
        size_t k = 0;
        while (k < *count && strcmp(names[k], name) != 0) k++;
        if (k == *count) names[(*count)++] = name;
    }
    if (dir) closedir(dir);
    return status;
}

tern_status tern_machine_names(tern_text *names)
{
    tern_arena arena = {0};
    char *list[256], path[4096], here[] = "here";
    size_t count = 0;
    tern_status status = TERN_OK;
    for (int i = 0; status == TERN_OK && folder_at(i); i++)
        status = add_folder(&arena, folder_at(i), list, &count, TERN_COUNT(list) - 1);
    if (tern_machine_here_path(path) == TERN_OK && access(path, R_OK) == 0) list[count++] = here;
    qsort(list, count, sizeof *list, by_name);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(list[i], list[i - 1]) != 0) tern_text_format(names, "%s\n", list[i]);
    tern_arena_free(&arena);
    return status != TERN_OK ? status : tern_text_status(names);
}

void tern_machine_print(const tern_machine *m, FILE *out)
{
    char a[24], b[24], c[24];
    static const char *const kinds[] = {"SIMD", "matrix", "systolic", "event"};
    fprintf(out, "%s: %s\n", m->name, m->about);
    if (m->source) fprintf(out, "source: %s\n", m->source);
    for (int i = 0; i < m->unit_count; i++) {
        const tern_unit *u = &m->units[i];
        fprintf(out, "unit %s (%s), %s, %.0f %% of its rate sustained\n", u->name, kinds[u->kind],
                tern_human(a, u->clock, "Hz"), 100 * u->efficiency);
        for (int d = 0; d < TERN_DTYPES; d++) {
            const char *name = tern_dtype_of((tern_dtype)d)->name;
            if (u->mac[d] > 0)
                fprintf(out, "  %-4s %s, %s each\n", name, tern_human(a, u->mac[d], "MAC/s"),
                        u->mac_energy[d] > 0 ? tern_human(b, u->mac_energy[d], "J") : "unknown energy");
            if (u->add[d] > 0)
                fprintf(out, "  %-4s %s, %s each\n", name, tern_human(a, u->add[d], "add/s"),
                        u->add_energy[d] > 0 ? tern_human(b, u->add_energy[d], "J") : "unknown energy");
        }
        if (u->source) fprintf(out, "  source: %s\n", u->source);
    }
    for (int i = 0; i < m->tier_count; i++) {
        const tern_tier *t = &m->tiers[i];
        fprintf(out, "memory %s: %s, %s, %s%s\n", t->name, tern_human(a, t->size, "B"),
                tern_human(b, t->bandwidth, "B/s"), tern_human(c, t->read, "J/B"),
                t->persistent ? ", persistent" : "");
        if (t->source) fprintf(out, "  source: %s\n", t->source);
    }
    if (m->idle > 0) fprintf(out, "idle %s\n", tern_human(a, m->idle, "W"));
    if (m->launch > 0) fprintf(out, "launch of an operator %s\n", tern_human(a, m->launch, "s"));
}
