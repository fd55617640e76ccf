/* tern show MODEL: what a file of weights says about itself: metadata, tensors, sizes. */
#include "cli/show_model.h"

#include <string.h>

enum { MOST_TEXT = 60, MOST_ITEMS = 8 };

/* A text as one line: control characters become spaces, the separator of cells a broken bar, the rest is cut at a character. */
static void put_line(tern_text *out, const char *text, size_t size, size_t most)
{
    size_t shown = size < most ? size : most;
    while (shown < size && shown && ((unsigned char)text[shown] & 0xc0) == 0x80) shown--;
    for (size_t i = 0; i < shown; i++) {
        if (text[i] == '|')
            tern_text_put(out, "\u00a6");
        else
            tern_text_add(out, (unsigned char)text[i] >= 32 && text[i] != 127 ? text + i : " ", 1);
    }
    if (shown < size) tern_text_format(out, ".. (%zu bytes)", size);
}

/* The value, or the first of an array. */
static void put_value(tern_text *out, const tern_meta *m)
{
    const uint8_t *at = NULL;
    const char *text;
    size_t size;
    for (int64_t i = 0; i < m->count && i < MOST_ITEMS; i++) {
        if (i) tern_text_put(out, ", ");
        if (tern_meta_next(m, &at, &text, &size))
            put_line(out, text, size, m->array ? 16 : MOST_TEXT);
        else if (m->kind == TERN_META_BOOL)
            tern_text_put(out, tern_meta_number(m, i) != 0 ? "true" : "false");
        else
            tern_text_format(out, m->kind == TERN_META_F32 ? "%.9g" : "%.17g", tern_meta_number(m, i));
    }
    if (m->count > MOST_ITEMS) tern_text_format(out, ", .. (%lld)", (long long)m->count);
}

/* JSON holds texts of valid UTF-8 only; another becomes null. */
static json_t *item_json(const tern_meta *m, const uint8_t **at, int64_t i)
{
    const char *text;
    size_t size;
    if (tern_meta_next(m, at, &text, &size)) {
        json_t *value = json_stringn(text, size);
        return value ? value : json_null();
    }
    if (m->kind == TERN_META_BOOL) return json_boolean(tern_meta_number(m, i) != 0);
    double number = tern_meta_number(m, i);
    json_t *value = m->kind == TERN_META_F32 || m->kind == TERN_META_F64 ? json_real(number)
                                                                         : json_integer((json_int_t)number);
    return value ? value : json_null(); /* infinity and NaN are no JSON */
}

static json_t *value_json(const tern_meta *m)
{
    const uint8_t *at = NULL;
    if (!m->array) return item_json(m, &at, 0);
    json_t *list = json_array();
    for (int64_t i = 0; i < m->count; i++) json_array_append_new(list, item_json(m, &at, i));
    return list;
}

static double bytes_of(const tern_tensor *t)
{
    return (double)tern_bytes_of(t->dtype, tern_elements(&t->shape));
}

/* What the tensors of each format take together. */
static void totals(const tern_weights *w, double *bytes, double *elements)
{
    for (int i = 0; i < w->count; i++) {
        bytes[w->tensors[i].dtype] += bytes_of(&w->tensors[i]);
        elements[w->tensors[i].dtype] += (double)tern_elements(&w->tensors[i].shape);
    }
}

static tern_status show_json(const char *path, const tern_weights *w)
{
    json_t *metas = json_object(), *tensors = json_array(), *formats = json_object();
    double bytes[TERN_DTYPES] = {0}, elements[TERN_DTYPES] = {0}, all_bytes = 0, all = 0;
    char shape[96];
    totals(w, bytes, elements);
    for (int i = 0; i < w->meta_count; i++)
        json_object_set_new(metas, w->metas[i].key, value_json(&w->metas[i]));
    for (int i = 0; i < w->count; i++) {
        const tern_tensor *t = &w->tensors[i];
        json_array_append_new(tensors, json_pack("{s:s,s:s,s:s,s:f}", "name", w->names[i], "format",
                                                 tern_dtype_of(t->dtype)->name, "shape",
                                                 tern_shape_text(shape, &t->shape), "bytes", bytes_of(t)));
    }
    for (int d = 0; d < TERN_DTYPES; d++) {
        all_bytes += bytes[d];
        all += elements[d];
        if (bytes[d] > 0)
            json_object_set_new(formats, tern_dtype_of((tern_dtype)d)->name,
                                json_pack("{s:f,s:f}", "bytes", bytes[d], "elements", elements[d]));
    }
    return tern_print_json(json_pack("{s:s,s:s,s:i,s:f,s:f,s:o,s:o,s:o}", "file", path, "kind",
                                     w->version ? "gguf" : "safetensors", "version", w->version, "parameters",
                                     all, "bytes", all_bytes, "formats", formats, "metadata", metas,
                                     "tensors", tensors));
}

static tern_status show_tables(const char *path, const tern_weights *w)
{
    tern_grid metas = {0}, tensors = {0};
    double bytes[TERN_DTYPES] = {0}, elements[TERN_DTYPES] = {0}, all_bytes = 0, all = 0;
    char shape[96], size[24], count[24];
    tern_text value = {0};
    tern_grid_row(&metas, "metadata|type|value");
    for (int i = 0; i < w->meta_count; i++) {
        const tern_meta *m = &w->metas[i];
        value.size = 0;
        tern_text_put(&value, "");
        put_value(&value, m);
        tern_grid_row(&metas, "%s|%s%s|%s", m->key, tern_meta_kind_name(m->kind), m->array ? "[]" : "",
                      value.data ? value.data : "");
    }
    tern_grid_row(&tensors, "tensor|format|shape|bytes");
    for (int i = 0; i < w->count; i++) {
        const tern_tensor *t = &w->tensors[i];
        tern_grid_row(&tensors, "%s|%s|%s|%s", w->names[i], tern_dtype_of(t->dtype)->name,
                      tern_shape_text(shape, &t->shape), tern_human(size, bytes_of(t), "B"));
    }
    tern_text_free(&value);
    tern_status status = w->meta_count ? tern_grid_print(&metas, stdout) : TERN_OK;
    if (status == TERN_OK) status = tern_grid_print(&tensors, stdout);
    tern_grid_free(&metas);
    tern_grid_free(&tensors);
    TERN_TRY(status);
    totals(w, bytes, elements);
    printf("%s: ", path);
    for (int d = 0; d < TERN_DTYPES; d++) {
        all_bytes += bytes[d];
        all += elements[d];
        if (bytes[d] > 0)
            printf("%s in %s, ", tern_human(size, bytes[d], "B"), tern_dtype_of((tern_dtype)d)->name);
    }
    printf("%d tensors, %s parameters, %s, %.3f bits each\n", w->count, tern_human(count, all, ""),
           tern_human(size, all_bytes, "B"), all > 0 ? 8 * all_bytes / all : 0);
    return TERN_OK;
}

tern_status tern_show_model(const tern_cli *cli, const char *path)
{
    tern_weights w;
    TERN_TRY(tern_weights_open(&w, path));
    tern_status status = cli->json ? show_json(path, &w) : show_tables(path, &w);
    tern_weights_close(&w);
    return status;
}
