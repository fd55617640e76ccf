/* safetensors: u64 header length, little-endian; the header, a JSON object
 *     {"__metadata__": {key: text, ..}, name: {"dtype": "F32", "shape": [2,3], "data_offsets": [begin, end]}, ..};
 * then the tensors' bytes, without holes.  Format: huggingface.co/docs/safetensors. */
#include "io/bytes.h"
#include "io/weights.h"

#include <stdlib.h>
#include <string.h>

#define MOST_HEADER 100000000 /* bytes */

static const struct {
    const char *name;
    tern_element element;
} types[] = {
    {"F32", {'f', 4, false}},  {"F16", {'f', 2, false}}, {"BF16", {'h', 2, false}}, {"F64", {'f', 8, false}},
    {"I32", {'i', 4, false}},  {"I16", {'i', 2, false}}, {"I8", {'i', 1, false}},   {"U8", {'u', 1, false}},
    {"BOOL", {'b', 1, false}}, {"I64", {'i', 8, false}}, {"U64", {'u', 8, false}},  {"U32", {'u', 4, false}},
    {"U16", {'u', 2, false}},
};

static const char *type_name(tern_dtype dtype)
{
    tern_element e = tern_dtype_element(dtype);
    for (size_t i = 0; i < TERN_COUNT(types); i++)
        if (types[i].element.kind == e.kind && types[i].element.size == e.size) return types[i].name;
    return "";
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

static void put_quoted(tern_text *out, const char *text)
{
    tern_text_put(out, "\"");
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            tern_text_format(out, "\\%c", *p);
        else if (*p < 0x20)
            tern_text_format(out, "\\u%04x", *p);
        else
            tern_text_add(out, (const char *)p, 1);
    }
    tern_text_put(out, "\"");
}

static void put_texts(tern_text *out, const tern_bundle *b)
{
    tern_text_put(out, "\"__metadata__\":{");
    for (int i = 0; i < b->texts; i++) {
        if (i) tern_text_put(out, ",");
        put_quoted(out, b->keys[i]);
        tern_text_put(out, ":");
        put_quoted(out, b->values[i]);
    }
    tern_text_put(out, "}");
}

static void put_entry(tern_text *out, const char *name, const tern_tensor *t, uint64_t *offset)
{
    char shape[96];
    uint64_t begin = *offset;
    *offset += (uint64_t)tern_elements(&t->shape) * (uint64_t)tern_dtype_element(t->dtype).size;
    if (out->data[out->size - 1] != '{') tern_text_put(out, ",");
    put_quoted(out, name);
    tern_text_format(out, ":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%llu,%llu]}",
                     type_name(t->dtype), tern_shape_text(shape, &t->shape), (unsigned long long)begin,
                     (unsigned long long)*offset);
}

static void put_header(tern_text *out, const tern_bundle *b)
{
    uint64_t offset = 0;
    tern_text_add(out, "\0\0\0\0\0\0\0\0{", 9); /* the length is filled in at the end */
    if (b->texts) put_texts(out, b);
    /* The largest elements first: with a header of whole 8 bytes, all are aligned. */
    for (int size = 8; size && !out->failed; size /= 2)
        for (int i = 0; i < b->count && !out->failed; i++)
            if (tern_dtype_element(b->tensors[i].dtype).size == size)
                put_entry(out, b->names[i], &b->tensors[i], &offset);
    tern_text_put(out, "}");
    while (out->size % 8 && !out->failed) tern_text_put(out, " ");
    if (out->failed) return;
    uint64_t length = out->size - 8;
    memcpy(out->data, &length, 8);
}

static tern_status write_body(tern_writer *writer, const tern_bundle *b, tern_content *content, void *context)
{
    for (int size = 8; size; size /= 2) {
        for (int i = 0; i < b->count; i++) {
            if (tern_dtype_element(b->tensors[i].dtype).size != size) continue;
            tern_tensor t = b->tensors[i];
            const void *bytes = t.data;
            if (content) TERN_TRY(content(context, i, &bytes));
            t.data = (void *)(uintptr_t)bytes;
            TERN_TRY(tern_elements_write(writer, &t));
        }
    }
    return TERN_OK;
}

tern_status tern_safetensors_write(const char *path, const tern_bundle *bundle)
{
    return tern_safetensors_write_with(path, bundle, NULL, NULL);
}

tern_status tern_safetensors_write_with(const char *path, const tern_bundle *bundle, tern_content *content,
                                        void *context)
{
    tern_text header = {0};
    tern_writer writer;
    for (int i = 0; i < bundle->count; i++)
        if (!tern_dtype_element(bundle->tensors[i].dtype).size)
            return tern_fail(TERN_FAILED,
                             "%s: tensor \"%s\" is %s, which safetensors lacks: write GGUF, or cast it first",
                             path, bundle->names[i], tern_dtype_of(bundle->tensors[i].dtype)->name);
    put_header(&header, bundle);
    tern_status status = tern_text_status(&header);
    if (status == TERN_OK && header.size - 8 > MOST_HEADER)
        status = tern_fail(TERN_FAILED,
                           "%s: the header would have %zu bytes, safetensors allows %d: store fewer tensors "
                           "or shorter texts in one file",
                           path, header.size - 8, MOST_HEADER);
    if (status == TERN_OK) status = tern_writer_open(&writer, path);
    if (status == TERN_OK) {
        status = tern_writer_add(&writer, header.data, header.size);
        if (status == TERN_OK) status = write_body(&writer, bundle, content, context);
        status = tern_writer_close(&writer, status);
    }
    tern_text_free(&header);
    return status;
}

/* ---- reading -------------------------------------------------------------------------------------------------- */

#ifdef TERN_HAVE_JANSSON
#include <jansson.h>

typedef struct tern_entry {
    const char *name;
    tern_element element;
    tern_dtype dtype;
    tern_shape shape;
    uint64_t begin, end; /* in the data */
} tern_entry;

typedef struct tern_reader {
    const char *name;    /* the file */
    const uint8_t *data; /* behind the header */
    uint64_t size;
    tern_entry *entries;
    size_t count;
    tern_bundle bundle;
} tern_reader;

static tern_status parse_type(const tern_reader *r, json_t *value, tern_entry *e)
{
    const char *text = json_string_value(value);
    for (size_t i = 0; text && i < TERN_COUNT(types); i++) {
        if (strcmp(types[i].name, text) != 0) continue;
        e->element = types[i].element;
        tern_element_dtype(e->element, &e->dtype);
        return TERN_OK;
    }
    return tern_fail(TERN_FAILED,
                     "%s: tensor \"%s\": dtype %s%s%s, expected F64 F32 F16 BF16 I64 I32 I16 I8 U64 U32 U16 "
                     "U8 or BOOL",
                     r->name, e->name, text ? "\"" : "is ", text ? text : "missing", text ? "\"" : "");
}

static tern_status parse_shape(const tern_reader *r, json_t *value, tern_entry *e)
{
    size_t rank = json_array_size(value);
    if (!json_is_array(value) || rank > TERN_MAX_RANK)
        return tern_fail(TERN_FAILED,
                         "%s: tensor \"%s\": shape has %zu axes or is missing, expected a list of 0 to %d",
                         r->name, e->name, rank, TERN_MAX_RANK);
    e->shape.rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        json_t *dim = json_array_get(value, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return tern_fail(TERN_FAILED, "%s: tensor \"%s\": shape[%zu] is not a whole number from 0 on",
                             r->name, e->name, i);
        e->shape.dim[i] = json_integer_value(dim);
    }
    tern_status status = tern_shape_check(&e->shape, e->name);
    return status == TERN_OK ? status : tern_in(status, "%s", r->name);
}

static tern_status parse_offsets(const tern_reader *r, json_t *value, tern_entry *e)
{
    json_t *begin = json_array_get(value, 0), *end = json_array_get(value, 1);
    if (json_array_size(value) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return tern_fail(TERN_FAILED,
                         "%s: tensor \"%s\": data_offsets must be [begin, end] with 0 <= begin <= end",
                         r->name, e->name);
    e->begin = (uint64_t)json_integer_value(begin);
    e->end = (uint64_t)json_integer_value(end);
    uint64_t need = (uint64_t)tern_elements(&e->shape) * (uint64_t)e->element.size;
    char text[96];
    if (e->end > r->size)
        return tern_fail(
            TERN_FAILED,
            "%s: tensor \"%s\": data_offsets end at %llu, but only %llu bytes follow the header: "
            "the file is truncated",
            r->name, e->name, (unsigned long long)e->end, (unsigned long long)r->size);
    if (e->end - e->begin != need)
        return tern_fail(TERN_FAILED, "%s: tensor \"%s\": shape %s needs %llu bytes, data_offsets give %llu",
                         r->name, e->name, tern_shape_text(text, &e->shape), (unsigned long long)need,
                         (unsigned long long)(e->end - e->begin));
    return TERN_OK;
}

static tern_status parse_texts(tern_reader *r, json_t *object)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object)) return tern_fail(TERN_FAILED, "%s: __metadata__ is not an object", r->name);
    json_object_foreach(object, key, value)
    {
        if (!json_is_string(value))
            return tern_fail(TERN_FAILED, "%s: __metadata__ \"%s\" is not a text", r->name, key);
        TERN_TRY(tern_bundle_add_text(&r->bundle, key, json_string_value(value)));
    }
    return TERN_OK;
}

static tern_status parse_entries(tern_reader *r, json_t *header)
{
    const char *name;
    json_t *value;
    r->entries = tern_take_array(json_object_size(header) + 1, sizeof *r->entries);
    if (!r->entries) return tern_no_memory(json_object_size(header) * sizeof *r->entries, r->name);
    json_object_foreach(header, name, value)
    {
        if (strcmp(name, "__metadata__") == 0) {
            TERN_TRY(parse_texts(r, value));
            continue;
        }
        tern_entry *e = &r->entries[r->count++];
        e->name = name;
        TERN_TRY(parse_type(r, json_object_get(value, "dtype"), e));
        TERN_TRY(parse_shape(r, json_object_get(value, "shape"), e));
        TERN_TRY(parse_offsets(r, json_object_get(value, "data_offsets"), e));
    }
    return TERN_OK;
}

static int by_offset(const void *a, const void *b)
{
    const tern_entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* The tensors, in the order of their bytes, follow one another from 0 to the end. */
static tern_status check_cover(const tern_reader *r)
{
    uint64_t at = 0;
    for (size_t i = 0; i < r->count; i++) {
        const tern_entry *e = &r->entries[i];
        if (e->begin != at)
            return tern_fail(TERN_FAILED,
                             "%s: tensor \"%s\" begins at byte %llu of the data, expected %llu: %s", r->name,
                             e->name, (unsigned long long)e->begin, (unsigned long long)at,
                             e->begin < at ? "tensors overlap" : "there is a hole");
        at = e->end;
    }
    if (at != r->size)
        return tern_fail(TERN_FAILED,
                         "%s: the tensors end at byte %llu of the data, the file at %llu: expected the same",
                         r->name, (unsigned long long)at, (unsigned long long)r->size);
    return TERN_OK;
}

static tern_status load_entries(tern_reader *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const tern_entry *e = &r->entries[i];
        tern_tensor t = {0};
        TERN_TRY(tern_tensor_new(&t, e->dtype, &e->shape));
        tern_status status = tern_elements_unpack(&t, e->element, r->data + e->begin, e->name);
        if (status != TERN_OK) {
            tern_tensor_free(&t);
            return tern_in(status, "%s", r->name);
        }
        TERN_TRY(tern_bundle_add(&r->bundle, e->name, t));
    }
    return TERN_OK;
}

static tern_status json_failure(const char *name, const json_error_t *error)
{
    if (error->text[0] == 0) return tern_no_memory(0, name); /* how jansson reports it, mostly */
    return tern_fail(TERN_FAILED, "%s: the header is no valid JSON at line %d column %d: %s", name,
                     error->line, error->column, error->text);
}

/* Views of the tensors, copies of those that Tern has no format for or that stand at an odd address; texts. */
static tern_status view_entries(tern_reader *r, tern_weights *weights)
{
    for (size_t i = 0; i < r->count; i++) {
        const tern_entry *e = &r->entries[i];
        const uint8_t *at = r->data + e->begin;
        size_t size = (size_t)tern_dtype_of(e->dtype)->bytes;
        bool same = e->dtype != TERN_BIT && (size_t)e->element.size == size && (uintptr_t)at % size == 0 &&
                    (e->element.kind != 'u' || size == 1);
        tern_tensor t = {e->dtype, e->shape, (void *)(uintptr_t)at};
        if (!same) {
            TERN_TRY(tern_tensor_new(&t, e->dtype, &e->shape));
            tern_status status = tern_elements_unpack(&t, e->element, at, e->name);
            if (status != TERN_OK) {
                tern_tensor_free(&t);
                return tern_in(status, "%s", r->name);
            }
            TERN_TRY(tern_bundle_add(&weights->copies, e->name, t));
        }
        TERN_TRY(tern_weights_add(weights, e->name, t));
    }
    for (int i = 0; i < r->bundle.texts; i++)
        TERN_TRY(tern_weights_add_text(weights, r->bundle.keys[i], r->bundle.values[i],
                                       strlen(r->bundle.values[i])));
    return TERN_OK;
}

/* Everything but the elements: entries in the order of their bytes, texts. */
static tern_status read_header(tern_reader *r, const void *bytes, size_t count, json_t **header)
{
    const uint8_t *p = bytes;
    const char *name = r->name;
    if (count < 8)
        return tern_fail(TERN_FAILED,
                         "%s: %zu bytes, expected at least 8 with the length of the header: no safetensors "
                         "file, or truncated",
                         name, count);
    uint64_t length = tern_little(p, 8);
    if (length > MOST_HEADER || length > count - 8)
        return tern_fail(TERN_FAILED,
                         "%s: the header claims %llu bytes, expected at most %llu: no safetensors file, or "
                         "truncated",
                         name, (unsigned long long)length,
                         (unsigned long long)(count - 8 < MOST_HEADER ? count - 8 : MOST_HEADER));
    json_error_t error;
    *header = json_loadb((const char *)p + 8, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    if (!*header) return json_failure(name, &error);
    r->data = p + 8 + length;
    r->size = count - 8 - length;
    if (!json_is_object(*header)) return tern_fail(TERN_FAILED, "%s: the header is not a JSON object", name);
    TERN_TRY(parse_entries(r, *header));
    if (r->count) qsort(r->entries, r->count, sizeof *r->entries, by_offset);
    return check_cover(r);
}

tern_status tern_safetensors_parse(const void *bytes, size_t count, const char *name, tern_bundle *out)
{
    tern_reader r = {.name = name};
    json_t *header = NULL;
    tern_status status = read_header(&r, bytes, count, &header);
    if (status == TERN_OK) status = load_entries(&r);
    json_decref(header);
    tern_release(r.entries);
    if (status != TERN_OK)
        tern_bundle_free(&r.bundle);
    else
        *out = r.bundle;
    return status;
}

tern_status tern_safetensors_view(const void *bytes, size_t count, const char *name, tern_weights *weights)
{
    tern_reader r = {.name = name};
    json_t *header = NULL;
    tern_status status = read_header(&r, bytes, count, &header);
    if (status == TERN_OK) status = view_entries(&r, weights);
    json_decref(header);
    tern_release(r.entries);
    tern_bundle_free(&r.bundle);
    return status;
}
#else
tern_status tern_safetensors_parse(const void *bytes, size_t count, const char *name, tern_bundle *out)
{
    (void)bytes, (void)count, (void)out;
    return tern_fail(TERN_FAILED,
                     "%s: this build of Tern has no jansson and cannot read safetensors: install jansson's "
                     "headers and build again",
                     name);
}

tern_status tern_safetensors_view(const void *bytes, size_t count, const char *name, tern_weights *weights)
{
    (void)weights;
    return tern_safetensors_parse(bytes, count, name, NULL);
}
#endif

tern_status tern_safetensors_read(const char *path, tern_bundle *out)
{
    const void *bytes = NULL;
    size_t count = 0;
    TERN_TRY(tern_map_file(path, &bytes, &count));
    tern_status status = tern_safetensors_parse(bytes, count, path, out);
    tern_unmap_file(bytes, count);
    return status;
}
