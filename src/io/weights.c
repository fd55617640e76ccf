/* Model files as they lie on disk: mapped, found by name. */
#define _POSIX_C_SOURCE 200809L
#include "io/weights.h"

#include "io/bytes.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#ifdef TERN_HAVE_JANSSON
#include <jansson.h>
#endif

void tern_weights_close(tern_weights *weights)
{
    tern_bundle_free(&weights->copies);
    for (int i = 0; i < weights->map_count; i++)
        tern_unmap_file(weights->maps[i].bytes, weights->maps[i].count);
    tern_release(weights->maps);
    tern_release(weights->tensors);
    tern_release(weights->names);
    tern_release(weights->index);
    tern_release(weights->metas);
    tern_arena_free(&weights->arena);
    *weights = (tern_weights){0};
}

/* Where the index has the name, or has room for it. */
static size_t place_of(const tern_weights *w, const char *name)
{
    size_t place = (size_t)tern_hash(name, strlen(name)) & (w->indexed - 1);
    while (w->index[place] && strcmp(w->names[w->index[place] - 1], name) != 0)
        place = (place + 1) & (w->indexed - 1);
    return place;
}

const tern_tensor *tern_weights_find(const tern_weights *weights, const char *name)
{
    if (weights->indexed) {
        int found = weights->index[place_of(weights, name)];
        return found ? &weights->tensors[found - 1] : NULL;
    }
    for (int i = 0; i < weights->count; i++)
        if (strcmp(weights->names[i], name) == 0) return &weights->tensors[i];
    return NULL;
}

tern_status tern_weights_make_index(tern_weights *weights)
{
    size_t room = 64;
    tern_weights_forget_index(weights);
    while (room < 2 * (size_t)weights->count) room *= 2;
    weights->index = tern_take_array(room, sizeof *weights->index);
    if (!weights->index) return tern_no_memory(room * sizeof *weights->index, "an index of names");
    weights->indexed = room;
    for (int i = 0; i < weights->count; i++) {
        size_t place = place_of(weights, weights->names[i]);
        if (!weights->index[place])
            weights->index[place] = i + 1; /* else an earlier one of that name is found */
    }
    return TERN_OK;
}

void tern_weights_forget_index(tern_weights *weights)
{
    tern_release(weights->index);
    weights->index = NULL;
    weights->indexed = 0;
}

const tern_meta *tern_weights_meta(const tern_weights *weights, const char *key)
{
    for (int i = 0; i < weights->meta_count; i++)
        if (strcmp(weights->metas[i].key, key) == 0) return &weights->metas[i];
    return NULL;
}

double tern_meta_number(const tern_meta *meta, int64_t i)
{
    int size = tern_meta_kind_size(meta->kind);
    if (!size || i < 0 || i >= meta->count) return 0;
    uint64_t raw = tern_little(meta->data + i * size, size);
    int unused = 64 - 8 * size;
    float single;
    double value;
    uint32_t half = (uint32_t)raw;
    switch (meta->kind) {
    case TERN_META_I8:
    case TERN_META_I16:
    case TERN_META_I32:
    case TERN_META_I64:
        return (double)((int64_t)(raw << unused) >> unused);
    case TERN_META_F32:
        memcpy(&single, &half, sizeof single);
        return (double)single;
    case TERN_META_F64:
        memcpy(&value, &raw, sizeof value);
        return value;
    case TERN_META_BOOL:
        return raw != 0;
    default:
        return (double)raw;
    }
}

bool tern_meta_next(const tern_meta *meta, const uint8_t **at, const char **text, size_t *size)
{
    if (meta->kind != TERN_META_TEXT) return false;
    if (!*at) *at = meta->data;
    if (*at == meta->data + meta->size) return false;
    *size = (size_t)tern_little(*at, 8);
    *text = (const char *)*at + 8;
    *at += 8 + *size;
    return true;
}

tern_status tern_weights_add(tern_weights *w, const char *name, tern_tensor tensor)
{
    tern_weights_forget_index(w);
    if (w->count == w->capacity) {
        size_t old = (size_t)w->capacity, more = old ? 2 * old : 64;
        tern_tensor *tensors = tern_resize(w->tensors, old * sizeof *tensors, more * sizeof *tensors);
        if (tensors) w->tensors = tensors;
        const char **names =
            tensors ? tern_resize(w->names, old * sizeof *names, more * sizeof *names) : NULL;
        if (!names) return tern_no_memory(more * sizeof *tensors, "a list of tensors");
        w->names = names;
        w->capacity = (int)more;
    }
    w->names[w->count] = tern_arena_string(&w->arena, name);
    if (!w->names[w->count]) return tern_no_memory(strlen(name), "the name of a tensor");
    w->tensors[w->count++] = tensor;
    return TERN_OK;
}

static tern_status add_meta(tern_weights *w, const char *key, tern_meta_kind kind, uint8_t *data, size_t size)
{
    size_t old = (size_t)w->meta_count * sizeof *w->metas;
    tern_meta *metas = tern_resize(w->metas, old, old + sizeof *metas);
    if (metas) w->metas = metas;
    const char *copy = metas && data ? tern_arena_string(&w->arena, key) : NULL;
    if (!copy) return tern_no_memory(old + sizeof *metas, "metadata");
    w->metas[w->meta_count++] = (tern_meta){copy, kind, false, 1, data, size};
    return TERN_OK;
}

tern_status tern_weights_add_text(tern_weights *weights, const char *key, const char *text, size_t size)
{
    uint64_t length = size;
    uint8_t *data = tern_arena_take(&weights->arena, size + 8);
    if (data) {
        memcpy(data, &length, 8);
        memcpy(data + 8, text, size);
    }
    return add_meta(weights, key, TERN_META_TEXT, data, size + 8);
}

tern_status tern_weights_add_number(tern_weights *weights, const char *key, double value, bool truth)
{
    uint8_t *data = tern_arena_take(&weights->arena, 8);
    if (data && truth)
        data[0] = value != 0;
    else if (data)
        memcpy(data, &value, 8);
    return add_meta(weights, key, truth ? TERN_META_BOOL : TERN_META_F64, data, truth ? 1 : 8);
}

tern_status tern_weights_check_names(const tern_weights *weights, const char *what)
{
    if (weights->count < 2) return TERN_OK;
    size_t bytes = (size_t)weights->count * sizeof *weights->names;
    const char **list = tern_take(bytes);
    if (!list) return tern_no_memory(bytes, what);
    memcpy(list, weights->names, bytes);
    qsort(list, (size_t)weights->count, sizeof *list, tern_by_text);
    tern_status status = TERN_OK;
    for (int i = 1; status == TERN_OK && i < weights->count; i++)
        if (strcmp(list[i - 1], list[i]) == 0)
            status = tern_fail(TERN_FAILED, "%s: there are two tensors \"%s\"", what, list[i]);
    tern_release(list);
    return status;
}

/* Map one more file, which the weights own from then on. */
static tern_status add_map(tern_weights *w, const char *path, const void **bytes, size_t *count)
{
    size_t old = (size_t)w->map_count * sizeof *w->maps;
    void *maps = tern_resize(w->maps, old, old + sizeof *w->maps);
    if (!maps) return tern_no_memory(sizeof *w->maps, path);
    w->maps = maps;
    TERN_TRY(tern_map_file(path, bytes, count));
    w->maps[w->map_count].bytes = *bytes;
    w->maps[w->map_count++].count = *count;
    return TERN_OK;
}

/* One file of either format. */
static tern_status open_file(tern_weights *w, const char *path)
{
    const void *bytes;
    size_t count;
    TERN_TRY(add_map(w, path, &bytes, &count));
    bool gguf = tern_ends_with(path, ".gguf") || (count >= 4 && memcmp(bytes, "GGUF", 4) == 0);
    return gguf ? tern_gguf_view(bytes, count, path, w) : tern_safetensors_view(bytes, count, path, w);
}

#ifdef TERN_HAVE_JANSSON
static tern_status parse_json(const char *text, size_t size, const char *path, json_t **document)
{
    json_error_t error;
    *document = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (*document && json_is_object(*document)) return TERN_OK;
    tern_status status = *document       ? tern_fail(TERN_FAILED, "%s is not a JSON object", path)
                         : error.text[0] ? tern_fail(TERN_FAILED, "%s: line %d column %d: %s", path,
                                                     error.line, error.column, error.text)
                                         : tern_no_memory(size, path);
    json_decref(*document);
    return status;
}

static tern_status load_json(const char *path, json_t **document)
{
    char *text;
    size_t size;
    TERN_TRY(tern_read_file(path, &text, &size));
    tern_status status = parse_json(text, size, path, document);
    tern_release(text);
    return status;
}

static tern_status no_memory(const char *path)
{
    return tern_no_memory(0, path);
}

/* The files that "weight_map" names, each once, in the folder of the index. */
static tern_status open_shards(tern_weights *w, const char *path)
{
    json_t *index, *map, *value, *seen = json_object();
    const char *tensor, *slash = strrchr(path, '/');
    tern_status status = seen ? load_json(path, &index) : no_memory(path);
    if (status != TERN_OK) {
        json_decref(seen);
        return status;
    }
    map = json_object_get(index, "weight_map");
    if (!json_is_object(map) || !json_object_size(map))
        status = tern_fail(TERN_FAILED, "%s: \"weight_map\" is missing or names no tensor", path);
    json_object_foreach(map, tensor, value)
    {
        const char *file = json_string_value(value);
        if (status != TERN_OK || (file && json_object_get(seen, file))) continue;
        if (!file || !*file || strchr(file, '/') || json_object_set_new(seen, file, json_true())) {
            status = tern_fail(TERN_FAILED, "%s: \"weight_map\" gives no plain file name for \"%s\"", path,
                               tensor);
            continue;
        }
        tern_text full = {0};
        tern_text_format(&full, "%.*s%s", slash ? (int)(slash - path + 1) : 0, path, file);
        status = tern_text_status(&full);
        if (status == TERN_OK) status = open_file(w, full.data);
        tern_text_free(&full);
    }
    json_object_foreach(map, tensor, value) if (status == TERN_OK && !tern_weights_find(w, tensor)) status =
        tern_fail(TERN_FAILED, "%s: tensor \"%s\" is not in %s, where it should be", path, tensor,
                  json_string_value(value));
    json_decref(seen);
    json_decref(index);
    return status;
}

/* "config.<key>": numbers, texts and truths, those of objects under dotted keys. */
static tern_status add_config(tern_weights *w, const char *prefix, json_t *object, int depth)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        char *name = tern_arena_format(&w->arena, "%s.%s", prefix, key);
        if (!name) return no_memory("config.json");
        if (json_is_object(value) && depth < 4) TERN_TRY(add_config(w, name, value, depth + 1));
        if (json_is_string(value))
            TERN_TRY(tern_weights_add_text(w, name, json_string_value(value), json_string_length(value)));
        else if (json_is_boolean(value))
            TERN_TRY(tern_weights_add_number(w, name, json_is_true(value), true));
        else if (json_is_number(value))
            TERN_TRY(tern_weights_add_number(w, name, json_number_value(value), false));
    }
    return TERN_OK;
}

tern_status tern_weights_config(tern_weights *w, const char *text, size_t size, const char *name)
{
    json_t *config;
    TERN_TRY(parse_json(text, size, name, &config));
    tern_status status = add_config(w, "config", config, 0);
    json_decref(config);
    return status;
}

static tern_status read_config(tern_weights *w, const char *path)
{
    char *text;
    size_t size;
    TERN_TRY(tern_read_file(path, &text, &size));
    tern_status status = tern_weights_config(w, text, size, path);
    tern_release(text);
    return status;
}

static tern_status open_folder(tern_weights *w, const char *path)
{
    static const struct {
        const char *tensors, *config;
    } kinds[] = {{"model.safetensors.index.json", "config.json"},
                 {"model.safetensors", "config.json"},
                 {"adapter_model.safetensors", "adapter_config.json"}};
    char *tensors = NULL, *file = NULL;
    struct stat about;
    size_t kind = 0;
    for (; kind < TERN_COUNT(kinds); kind++) {
        tensors = tern_arena_format(&w->arena, "%s/%s", path, kinds[kind].tensors);
        file = tern_arena_format(&w->arena, "%s/%s", path, kinds[kind].config);
        if (!tensors || !file) return no_memory(path);
        if (stat(tensors, &about) == 0) break;
    }
    if (kind == TERN_COUNT(kinds))
        return tern_fail(TERN_FAILED,
                         "%s: the folder has neither model.safetensors nor model.safetensors.index.json",
                         path);
    TERN_TRY(kind == 0 ? open_shards(w, tensors) : open_file(w, tensors));
    return stat(file, &about) == 0 ? read_config(w, file) : TERN_OK;
}
#else
tern_status tern_weights_config(tern_weights *w, const char *text, size_t size, const char *name)
{
    (void)w, (void)text, (void)size;
    return tern_fail(TERN_FAILED,
                     "%s: this build of Tern has no jansson and cannot read config.json and safetensors",
                     name);
}

static tern_status open_folder(tern_weights *w, const char *path)
{
    return tern_weights_config(w, NULL, 0, path);
}

static tern_status open_shards(tern_weights *w, const char *path)
{
    return open_folder(w, path);
}
#endif

tern_status tern_weights_open(tern_weights *weights, const char *path)
{
    tern_weights w = {0};
    struct stat about;
    bool json = tern_ends_with(path, ".json");
    bool folder = stat(path, &about) == 0 && S_ISDIR(about.st_mode);
    tern_status status = folder ? open_folder(&w, path) : json ? open_shards(&w, path) : open_file(&w, path);
    if (status == TERN_OK) status = tern_weights_restore_metas(&w);
    if (status == TERN_OK) status = tern_weights_check_names(&w, path);
    if (status == TERN_OK)
        *weights = w;
    else
        tern_weights_close(&w);
    return status;
}
