/* Metadata of GGUF as texts, which is all that safetensors can hold: "gguf.<key>" is "<type> <JSON>", as in "u32 5",
 * "text \"llama\"" or "f32[] [0.5, 1]". */
#include "io/bytes.h"
#include "io/weights.h"

#include <string.h>

#define PREFIX "gguf."

#ifdef TERN_HAVE_JANSSON
#include <jansson.h>

/* NULL for what JSON can't say: a text that is not UTF-8, an infinite number. */
static json_t *item_of(const tern_meta *m, const uint8_t **at, int64_t i)
{
    const char *text;
    size_t size;
    if (tern_meta_next(m, at, &text, &size)) return json_stringn(text, size);
    int bytes = tern_meta_kind_size(m->kind);
    uint64_t raw = bytes ? tern_little(m->data + i * bytes, bytes) : 0;
    if (m->kind == TERN_META_U64 || m->kind == TERN_META_I64) /* beyond what a double holds */
        return m->kind == TERN_META_U64 && raw > INT64_MAX ? NULL : json_integer((json_int_t)raw);
    if (m->kind == TERN_META_BOOL) return json_boolean(raw != 0);
    double value = tern_meta_number(m, i);
    bool real = m->kind == TERN_META_F32 || m->kind == TERN_META_F64;
    return real ? json_real(value) : json_integer((json_int_t)value);
}

static int add_bytes(const char *bytes, size_t size, void *out)
{
    tern_text_add(out, bytes, size);
    return 0;
}

tern_status tern_meta_to_text(const tern_meta *m, tern_text *out)
{
    const uint8_t *at = NULL;
    json_t *list = json_array();
    bool good = list != NULL;
    tern_text_format(out, "%s%s ", tern_meta_kind_name(m->kind), m->array ? "[]" : "");
    for (int64_t i = 0; good && i < m->count; i++)
        good = json_array_append_new(list, item_of(m, &at, i)) == 0;
    if (good)
        good = json_dump_callback(m->array ? list : json_array_get(list, 0), add_bytes, out,
                                  JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17)) == 0;
    json_decref(list);
    if (good) return tern_text_status(out);
    return tern_fail(TERN_FAILED,
                     "\"%s\" holds what safetensors can't say (a text that is no UTF-8, or a number that is "
                     "not finite): write GGUF",
                     m->key);
}

/* The bytes of one element as GGUF has them; false when it is not of the kind. */
static bool put_item(tern_text *out, tern_meta_kind kind, const json_t *item)
{
    int size = tern_meta_kind_size(kind);
    uint64_t raw = 0;
    if (kind == TERN_META_TEXT) {
        raw = json_string_length(item);
        if (!json_is_string(item)) return false;
        tern_text_add(out, (const char *)&raw, 8);
        tern_text_add(out, json_string_value(item), (size_t)raw);
        return true;
    }
    if (kind == TERN_META_BOOL) {
        raw = json_is_true(item);
        if (!json_is_boolean(item)) return false;
    } else if (kind == TERN_META_F32 || kind == TERN_META_F64) {
        double value = json_number_value(item);
        float single = (float)value;
        if (!json_is_number(item)) return false;
        memcpy(&raw, kind == TERN_META_F32 ? (void *)&single : (void *)&value, (size_t)size);
    } else {
        if (!json_is_integer(item)) return false;
        raw = (uint64_t)json_integer_value(item);
    }
    tern_text_add(out, (const char *)&raw, (size_t)size);
    return true;
}

/* A kind by its name, which ends at a space or "[]". */
static int kind_of(const char *text, size_t size, bool *array)
{
    const char *end = memchr(text, ' ', size);
    size_t length = end ? (size_t)(end - text) : 0;
    *array = length > 2 && memcmp(text + length - 2, "[]", 2) == 0;
    length -= *array ? 2 : 0;
    for (int k = 0; length && k < TERN_META_KINDS; k++) {
        const char *name = tern_meta_kind_name((tern_meta_kind)k);
        if (k != TERN_META_ARRAY && strlen(name) == length && memcmp(text, name, length) == 0) return k;
    }
    return -1;
}

static tern_status restore(tern_weights *w, tern_meta *m)
{
    const uint8_t *at = NULL;
    const char *text;
    size_t size;
    bool array, good = false;
    if (!tern_meta_next(m, &at, &text, &size)) return TERN_OK;
    int kind = kind_of(text, size, &array);
    const char *space = memchr(text, ' ', size);
    json_t *value =
        kind >= 0 ? json_loadb(space, size - (size_t)(space - text), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL)
                  : NULL;
    tern_text bytes = {0};
    int64_t count = array ? (int64_t)json_array_size(value) : 1;
    good = value && (!array || json_is_array(value));
    for (int64_t i = 0; good && i < count; i++)
        good = put_item(&bytes, (tern_meta_kind)kind, array ? json_array_get(value, (size_t)i) : value);
    json_decref(value);
    tern_status status =
        good ? tern_text_status(&bytes)
             : tern_fail(TERN_FAILED, "metadata \"%s\": expected a type and JSON, as in \"u32 5\"", m->key);
    if (status == TERN_OK) {
        uint8_t *copy = tern_arena_take(&w->arena, bytes.size + 1);
        if (copy && bytes.size) memcpy(copy, bytes.data, bytes.size);
        *m = (tern_meta){m->key + strlen(PREFIX), (tern_meta_kind)kind, array, count, copy, bytes.size};
        if (!copy) status = tern_no_memory(bytes.size, "metadata");
    }
    tern_text_free(&bytes);
    return status;
}
#else
tern_status tern_meta_to_text(const tern_meta *m, tern_text *out)
{
    (void)out;
    return tern_fail(TERN_FAILED, "\"%s\": this build of Tern has no jansson and cannot write it", m->key);
}

static tern_status restore(tern_weights *w, tern_meta *m)
{
    (void)w;
    return tern_fail(TERN_FAILED, "\"%s\": this build of Tern has no jansson and cannot read it", m->key);
}
#endif

tern_status tern_weights_restore_metas(tern_weights *weights)
{
    for (int i = 0; i < weights->meta_count; i++)
        if (strncmp(weights->metas[i].key, PREFIX, strlen(PREFIX)) == 0)
            TERN_TRY(restore(weights, &weights->metas[i]));
    return TERN_OK;
}
