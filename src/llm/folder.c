/* Texts of a folder of Hugging Face. */
#define _DEFAULT_SOURCE
#include "llm/folder.h"

#include <string.h>
#include <sys/stat.h>

enum { MOST_PATH = 4096 };

/* <folder>/<file>; *there: whether it is a file. */
static tern_status find(char path[MOST_PATH], const char *folder, const char *file, bool *there)
{
    struct stat about;
    if (snprintf(path, MOST_PATH, "%s/%s", folder, file) >= MOST_PATH)
        return tern_fail(TERN_USAGE, "the path of the model is too long");
    *there = stat(path, &about) == 0 && !S_ISDIR(about.st_mode);
    return TERN_OK;
}

#ifdef TERN_HAVE_JANSSON
#include <jansson.h>

/* A JSON object of the folder; *document is NULL where the file is not there. */
static tern_status load(const char *folder, const char *file, json_t **document)
{
    char path[MOST_PATH], *bytes;
    size_t count;
    bool there;
    json_error_t error;
    *document = NULL;
    TERN_TRY(find(path, folder, file, &there));
    if (!there) return TERN_OK;
    TERN_TRY(tern_read_file(path, &bytes, &count));
    *document = json_loadb(bytes, count, 0, &error);
    tern_release(bytes);
    if (json_is_object(*document)) return TERN_OK;
    tern_status status = *document ? tern_fail(TERN_FAILED, "%s is not a JSON object", path)
                                   : tern_fail(TERN_FAILED, "%s: no valid JSON at line %d column %d: %s",
                                               path, error.line, error.column, error.text);
    json_decref(*document);
    *document = NULL;
    return status;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

/* "bos_token": a text, or an object with it as "content"; the id of that token, or -1. */
static int32_t token_of(const tern_vocabulary *v, json_t *config, const char *key)
{
    json_t *value = json_object_get(config, key);
    if (json_is_object(value)) value = json_object_get(value, "content");
    const char *text = json_string_value(value);
    size_t size = json_string_length(value);
    for (int32_t id = 0; size && id < v->count; id++)
        if (v->tokens[id].size == size && memcmp(v->tokens[id].text, text, size) == 0) return id;
    return -1;
}

/* tokenizer_config.json over what the tokenizer itself says: whether a text begins with the first token. */
static void apply_config(tern_vocabulary *v, json_t *config)
{
    json_t *add = json_object_get(config, "add_bos_token");
    int32_t bos = token_of(v, config, "bos_token"), eos = token_of(v, config, "eos_token");
    if (bos >= 0) v->bos = bos;
    if (eos >= 0) v->eos = eos;
    bool has = v->prefix_count > 0 && v->prefix[0] == v->bos;
    if (json_is_true(add) && v->bos >= 0 && !v->prefix_count) v->prefix[v->prefix_count++] = v->bos;
    if (json_is_false(add) && has && v->prefix_count == 1) v->prefix_count = 0;
}

static tern_status read_vocabulary(tern_vocabulary *v, const char *folder)
{
    char path[MOST_PATH], *bytes;
    size_t count;
    bool json, model = false;
    TERN_TRY(find(path, folder, "tokenizer.json", &json));
    if (!json) TERN_TRY(find(path, folder, "tokenizer.model", &model));
    if (!json && !model)
        return tern_fail(TERN_FAILED,
                         "%s: the folder has neither tokenizer.json nor tokenizer.model: without, the model "
                         "runs by token numbers alone",
                         folder);
    TERN_TRY(tern_read_file(path, &bytes, &count));
    tern_status status =
        json ? tern_vocabulary_json(v, bytes, count, path) : tern_vocabulary_model(v, bytes, count, path);
    tern_release(bytes);
    return status;
}

tern_status tern_folder_vocabulary(tern_vocabulary *v, const char *folder)
{
    json_t *config;
    TERN_TRY(read_vocabulary(v, folder));
    tern_status status = load(folder, "tokenizer_config.json", &config);
    if (status != TERN_OK) {
        tern_vocabulary_free(v);
        return status;
    }
    apply_config(v, config);
    json_decref(config);
    return TERN_OK;
}

static void add_end(json_t *value, int32_t *ids, int most, int *count)
{
    json_int_t id = json_integer_value(value);
    bool known = !json_is_integer(value) || id < 0 || id > INT32_MAX;
    for (int i = 0; i < *count; i++) known |= ids[i] == id;
    if (!known && *count < most) ids[(*count)++] = (int32_t)id;
}

tern_status tern_folder_ends(const char *folder, int32_t *ids, int most, int *count)
{
    static const char *const files[] = {"generation_config.json", "config.json"};
    *count = 0;
    for (size_t f = 0; f < TERN_COUNT(files); f++) {
        json_t *config, *each;
        size_t i;
        TERN_TRY(load(folder, files[f], &config));
        json_t *eos = json_object_get(config, "eos_token_id");
        add_end(eos, ids, most, count);
        json_array_foreach(eos, i, each)
        {
            add_end(each, ids, most, count);
        }
        json_decref(config);
    }
    return TERN_OK;
}

/* ---- the chat template ------------------------------------------------------------------------------------------- */

static tern_status template_of_config(json_t *config, char **source, size_t *size)
{
    json_t *value = json_object_get(config, "chat_template"), *each, *chosen = NULL;
    size_t i;
    json_array_foreach(value, i, each)
    {
        const char *name = json_string_value(json_object_get(each, "name"));
        if (!chosen || (name && strcmp(name, "default") == 0)) chosen = json_object_get(each, "template");
    }
    if (json_is_string(value)) chosen = value;
    if (!json_is_string(chosen)) return TERN_OK;
    *size = json_string_length(chosen);
    *source = tern_take(*size + 1);
    if (!*source) return tern_no_memory(*size, "a chat template");
    memcpy(*source, json_string_value(chosen), *size);
    return TERN_OK;
}

tern_status tern_folder_template(const char *folder, char **source, size_t *size)
{
    char path[MOST_PATH];
    bool there;
    json_t *config;
    *source = NULL;
    *size = 0;
    TERN_TRY(find(path, folder, "chat_template.jinja", &there));
    if (there) return tern_read_file(path, source, size);
    TERN_TRY(load(folder, "tokenizer_config.json", &config));
    tern_status status = template_of_config(config, source, size);
    json_decref(config);
    return status;
}
#else
static tern_status lacking(const char *folder)
{
    return tern_fail(TERN_FAILED,
                     "%s: this build of Tern has no jansson and cannot read folders of Hugging Face: install "
                     "jansson's headers and build again",
                     folder);
}

tern_status tern_folder_vocabulary(tern_vocabulary *v, const char *folder)
{
    (void)v;
    return lacking(folder);
}

tern_status tern_folder_ends(const char *folder, int32_t *ids, int most, int *count)
{
    (void)ids, (void)most;
    *count = 0;
    return lacking(folder);
}

tern_status tern_folder_template(const char *folder, char **source, size_t *size)
{
    *source = NULL;
    *size = 0;
    return lacking(folder);
}
#endif
