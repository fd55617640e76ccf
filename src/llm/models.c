/* Where language models are, and what they are called. */
#define _DEFAULT_SOURCE
#include "llm/models.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const tern_known_model known[] = {
    {"smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct, chat, 135 M parameters in q4_1",
     "Apache-2.0", "scripts/setup --models"},
    {"gemma3", "gemma-3-270m-q4_k_m.gguf", "Gemma 3 270M, no chat, 268 M parameters in q4_K and others",
     "Gemma", "scripts/setup --gemma"},
    {"minilm", "all-MiniLM-L6-v2", "all-MiniLM-L6-v2, embeddings of sentences, 23 M parameters in f32",
     "Apache-2.0", "scripts/setup --minilm"},
};

const tern_known_model *tern_model_known(int index)
{
    return index >= 0 && (size_t)index < TERN_COUNT(known) ? &known[index] : NULL;
}

bool tern_model_folder(char out[4096], int index)
{
    const char *own = getenv("TERN_MODELS"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    bool named = own && *own;
    int length = 4096;
    if (named && index == 0)
        length = snprintf(out, 4096, "%s", own);
    else if (index == named)
        length = cache && *cache ? snprintf(out, 4096, "%s/tern/models", cache)
                                 : snprintf(out, 4096, "%s/.cache/tern/models", home ? home : ".");
    return length < 4096;
}

static bool is_file(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && !S_ISDIR(s.st_mode);
}

/* <folder>/<name><end>, if it is there: a file, or a folder of Hugging Face. */
static bool find_in_folders(char path[4096], const char *name, const char *end)
{
    char folder[4096];
    struct stat s;
    for (int i = 0; *name && tern_model_folder(folder, i); i++)
        if (snprintf(path, 4096, "%s/%s%s", folder, name, end) < 4096 && stat(path, &s) == 0) return true;
    return false;
}

static tern_status not_found(const char *name, const tern_known_model *model)
{
    char folder[4096];
    tern_text where = {0}, names = {0};
    const char *all[128];
    size_t count = 0;
    for (int i = 0; tern_model_folder(folder, i); i++)
        tern_text_format(&where, "%s%s", i ? " and " : "", folder);
    tern_status status = tern_text_status(&where);
    if (status == TERN_OK && model)
        status = tern_fail(TERN_USAGE, "model %s (%s) is not in %s; fetch it: %s", name, model->file,
                           where.data, model->get);
    if (status == TERN_OK) status = tern_model_names(&names);
    for (size_t i = 0; i < TERN_COUNT(known); i++) all[count++] = known[i].name;
    for (char *p = names.data, *end; status == TERN_OK && p && *p && count < TERN_COUNT(all); p = end + 1) {
        end = strchr(p, '\n');
        *end = 0;
        all[count++] = p;
    }
    const char *near = tern_nearest(name, all, count);
    if (status == TERN_OK)
        status = tern_fail(
            TERN_USAGE, "unknown model \"%s\"%s%s%s: it is no file, and not in %s; see tern list models",
            name, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "", where.data);
    tern_text_free(&where);
    tern_text_free(&names);
    return status;
}

static const tern_known_model *find_known(const char *name)
{
    for (size_t i = 0; i < TERN_COUNT(known); i++)
        if (strcmp(known[i].name, name) == 0) return &known[i];
    return NULL;
}

bool tern_model_named(const char *name)
{
    char path[4096];
    return is_file(name) || find_known(name) || find_in_folders(path, name, "") ||
           find_in_folders(path, name, ".gguf");
}

tern_status tern_model_find(char path[4096], const char *name)
{
    const tern_known_model *model = find_known(name);
    struct stat s;
    if (stat(name, &s) == 0 && snprintf(path, 4096, "%s", name) < 4096) return TERN_OK;
    if (strchr(name, '/')) return tern_fail(TERN_USAGE, "there is no model %s", name);
    if (model && find_in_folders(path, model->file, "")) return TERN_OK;
    if (find_in_folders(path, name, "") || find_in_folders(path, name, ".gguf")) return TERN_OK;
    return not_found(name, model);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The .gguf files of a folder, in the order of their bytes. */
static tern_status names_in(const char *folder, tern_text *names)
{
    DIR *d = opendir(folder);
    char *found[256];
    size_t count = 0;
    tern_status status = TERN_OK;
    for (struct dirent *e; d && count < TERN_COUNT(found) && (e = readdir(d)) != NULL;) {
        if (!tern_ends_with(e->d_name, ".gguf")) continue;
        found[count] = tern_copy_string(e->d_name);
        if (!found[count]) {
            status = tern_no_memory(strlen(e->d_name), "names of models");
            break;
        }
        count++;
    }
    if (d) closedir(d);
    qsort(found, count, sizeof *found, by_bytes);
    for (size_t i = 0; i < count; i++) {
        const char *name = found[i];
        for (size_t k = 0; k < TERN_COUNT(known); k++)
            if (strcmp(known[k].file, name) == 0) name = known[k].name;
        tern_text_format(names, "%s\n", name);
        tern_release(found[i]);
    }
    return status == TERN_OK ? tern_text_status(names) : status;
}

tern_status tern_model_names(tern_text *names)
{
    char folder[4096];
    for (int i = 0; tern_model_folder(folder, i); i++) TERN_TRY(names_in(folder, names));
    return TERN_OK;
}
