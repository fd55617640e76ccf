/* Named tensors and texts. */
#include "io/io.h"

#include <string.h>

/* Room for one more of `count` items. */
static tern_status grow(void **items, int count, int more, size_t size)
{
    void *bigger = tern_resize(*items, (size_t)count * size, (size_t)more * size);
    if (!bigger) return tern_no_memory((size_t)more * size, "a list of tensors");
    *items = bigger;
    return TERN_OK;
}

static tern_status reserve_tensor(tern_bundle *b)
{
    if (b->count < b->capacity) return TERN_OK;
    int more = b->capacity ? 2 * b->capacity : 16;
    void *tensors = b->tensors, *names = b->names;
    tern_status status = grow(&tensors, b->count, more, sizeof *b->tensors);
    b->tensors = tensors;
    if (status == TERN_OK) status = grow(&names, b->count, more, sizeof *b->names);
    b->names = names;
    if (status == TERN_OK) b->capacity = more;
    return status;
}

static tern_status reserve_text(tern_bundle *b)
{
    if (b->texts < b->text_capacity) return TERN_OK;
    int more = b->text_capacity ? 2 * b->text_capacity : 16;
    void *keys = b->keys, *values = b->values;
    tern_status status = grow(&keys, b->texts, more, sizeof *b->keys);
    b->keys = keys;
    if (status == TERN_OK) status = grow(&values, b->texts, more, sizeof *b->values);
    b->values = values;
    if (status == TERN_OK) b->text_capacity = more;
    return status;
}

tern_status tern_bundle_add(tern_bundle *bundle, const char *name, tern_tensor tensor)
{
    tern_status status = reserve_tensor(bundle);
    char *copy = status == TERN_OK ? tern_copy_string(name) : NULL;
    if (!copy) {
        tern_tensor_free(&tensor);
        return tern_no_memory(strlen(name) + 1, "the name of a tensor");
    }
    bundle->tensors[bundle->count] = tensor;
    bundle->names[bundle->count++] = copy;
    return TERN_OK;
}

tern_status tern_bundle_add_text(tern_bundle *bundle, const char *key, const char *value)
{
    TERN_TRY(reserve_text(bundle));
    char *copy = tern_copy_string(key), *text = tern_copy_string(value);
    if (!copy || !text) {
        tern_release(copy);
        tern_release(text);
        return tern_no_memory(strlen(key) + strlen(value) + 2, "a text");
    }
    bundle->keys[bundle->texts] = copy;
    bundle->values[bundle->texts++] = text;
    return TERN_OK;
}

tern_tensor *tern_bundle_find(const tern_bundle *bundle, const char *name)
{
    for (int i = 0; i < bundle->count; i++)
        if (strcmp(bundle->names[i], name) == 0) return &bundle->tensors[i];
    return NULL;
}

const char *tern_bundle_text(const tern_bundle *bundle, const char *key)
{
    for (int i = 0; i < bundle->texts; i++)
        if (strcmp(bundle->keys[i], key) == 0) return bundle->values[i];
    return NULL;
}

void tern_bundle_free(tern_bundle *bundle)
{
    for (int i = 0; i < bundle->count; i++) {
        tern_tensor_free(&bundle->tensors[i]);
        tern_release(bundle->names[i]);
    }
    for (int i = 0; i < bundle->texts; i++) {
        tern_release(bundle->keys[i]);
        tern_release(bundle->values[i]);
    }
    tern_release(bundle->tensors);
    tern_release(bundle->names);
    tern_release(bundle->keys);
    tern_release(bundle->values);
    *bundle = (tern_bundle){0};
}
