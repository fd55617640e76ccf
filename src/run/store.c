/* Parameters and kept states by name. */
#include "run/run.h"

#include "io/io.h"

#include <string.h>

static size_t bytes_of(const tern_tensor *t)
{
    return tern_bytes_of(t->dtype, tern_elements(&t->shape));
}

void tern_store_close(tern_store *store)
{
    for (int i = 0; i < store->count; i++) {
        if (!store->lent[i] && store->file)
            tern_scratch_unmap(store->tensors[i].data, bytes_of(&store->tensors[i]));
        else if (!store->lent[i])
            tern_tensor_free(&store->tensors[i]);
        tern_release(store->names[i]);
    }
    if (store->file) tern_scratch_close(store->file);
    tern_release(store->tensors);
    tern_release(store->lent);
    tern_release(store->names);
    *store = (tern_store){0};
}

int tern_store_find(const tern_store *store, const char *name)
{
    for (int i = 0; i < store->count; i++)
        if (strcmp(store->names[i], name) == 0) return i;
    return -1;
}

static tern_status grow(tern_store *store)
{
    if (store->count < store->capacity) return TERN_OK;
    size_t old = (size_t)store->capacity, wanted = old ? 2 * old : 64;
    tern_tensor *tensors = tern_resize(store->tensors, old * sizeof *tensors, wanted * sizeof *tensors);
    if (tensors) store->tensors = tensors;
    char **names = tensors ? tern_resize(store->names, old * sizeof *names, wanted * sizeof *names) : NULL;
    if (names) store->names = names;
    bool *lent = names ? tern_resize(store->lent, old * sizeof *lent, wanted * sizeof *lent) : NULL;
    if (!lent) return tern_no_memory(wanted * sizeof *tensors, "parameters");
    store->lent = lent;
    store->capacity = (int)wanted;
    return TERN_OK;
}

tern_status tern_store_lend(tern_store *store, const char *name, tern_tensor tensor)
{
    TERN_TRY(grow(store));
    char *copy = tern_copy_string(name);
    if (!copy) return tern_no_memory(strlen(name), "parameters");
    store->tensors[store->count] = tensor;
    store->lent[store->count] = true;
    store->names[store->count++] = copy;
    return TERN_OK;
}

/* Memory of a tensor that is none yet: zeros, in the store's file if it has one. */
static tern_status take(tern_store *store, tern_tensor *t)
{
    TERN_TRY(tern_shape_check(&t->shape, "tensor"));
    if (!store->file) return tern_tensor_new(t, t->dtype, &t->shape);
    return tern_scratch_map(store->file, &store->file_bytes, bytes_of(t), &t->data);
}

/* Memory in the file for all tensors, maps[count]; those that are lent have none. */
static tern_status map_all(const tern_store *store, int file, size_t *end, void **maps)
{
    for (int i = 0; i < store->count; i++)
        if (!store->lent[i]) TERN_TRY(tern_scratch_map(file, end, bytes_of(&store->tensors[i]), &maps[i]));
    return TERN_OK;
}

tern_status tern_store_in_file(tern_store *store, const char *folder)
{
    int file;
    size_t end = 0;
    if (store->file) return TERN_OK;
    void **maps = tern_take_array((size_t)store->count + 1, sizeof *maps);
    if (!maps) return tern_no_memory((size_t)store->count * sizeof *maps, "parameters");
    tern_status status = tern_scratch_open(folder, &file);
    bool opened = status == TERN_OK;
    if (opened) status = map_all(store, file, &end, maps);
    for (int i = 0; i < store->count; i++) {
        tern_tensor *t = &store->tensors[i];
        if (store->lent[i]) continue;
        if (status != TERN_OK) {
            tern_scratch_unmap(maps[i], bytes_of(t));
            continue;
        }
        memcpy(maps[i], t->data, bytes_of(t));
        tern_release(t->data);
        t->data = maps[i];
    }
    if (status == TERN_OK) {
        store->file = file;
        store->file_bytes = end;
    } else if (opened) {
        tern_scratch_close(file);
    }
    tern_release(maps);
    return status;
}

void tern_store_forget(const tern_store *store)
{
    for (int i = 0; store->file && i < store->count; i++)
        if (!store->lent[i]) tern_scratch_forget(store->tensors[i].data, bytes_of(&store->tensors[i]));
}

/* Content of a new parameter: element i is a pure function of (seed, name, i). */
void tern_initialise(const tern_tensor *tensor, tern_init init, uint64_t seed, const char *name)
{
    tern_rng rng = {seed, tern_hash(name, strlen(name))};
    int64_t n = tern_elements(&tensor->shape);
    for (int64_t i = 0; i < n && init.kind != TERN_INIT_ZERO; i++) {
        double v = init.scale;
        if (init.kind == TERN_INIT_UNIFORM) v *= 2 * tern_rng_uniform(rng, (uint64_t)i) - 1;
        if (init.kind == TERN_INIT_NORMAL) v *= tern_rng_normal(rng, (uint64_t)i);
        tern_set(tensor, i, v);
    }
}

tern_status tern_store_need(tern_store *store, const char *name, const tern_type *type, tern_init init,
                            uint64_t seed, int *index)
{
    *index = tern_store_find(store, name);
    if (*index >= 0) {
        const tern_tensor *t = &store->tensors[*index];
        char have[96], want[96];
        if (t->dtype == type->dtype && tern_elements(&t->shape) == tern_elements(&type->shape))
            return TERN_OK;
        return tern_fail(TERN_FAILED,
                         "\"%s\" is %s %s, the net needs %s %s: these are parameters of another net", name,
                         tern_dtype_of(t->dtype)->name, tern_shape_text(have, &t->shape),
                         tern_dtype_of(type->dtype)->name, tern_shape_text(want, &type->shape));
    }
    TERN_TRY(grow(store));
    char *copy = tern_copy_string(name);
    if (!copy) return tern_no_memory(strlen(name), "parameters");
    tern_tensor tensor = {type->dtype, type->shape, NULL};
    tern_status status = take(store, &tensor);
    if (status != TERN_OK) {
        tern_release(copy);
        return tern_in(status, "%s", name);
    }
    tern_initialise(&tensor, init, seed, name);
    *index = store->count;
    store->tensors[store->count] = tensor;
    store->names[store->count++] = copy;
    return TERN_OK;
}

tern_status tern_store_read(tern_store *store, const char *path, char **document)
{
    tern_bundle bundle = {0};
    char *text = NULL;
    TERN_TRY(tern_checkpoint_read(path, &bundle, &text));
    tern_status status = TERN_OK;
    for (int i = 0, index; status == TERN_OK && i < bundle.count; i++) {
        const tern_tensor *from = &bundle.tensors[i];
        tern_type type = {.dtype = from->dtype, .shape = from->shape};
        status = tern_store_need(store, bundle.names[i], &type, (tern_init){0}, 0, &index);
        if (status != TERN_OK) break;
        size_t bytes = tern_bytes_of(type.dtype, tern_elements(&type.shape));
        // NOLINTNEXTLINE(*NonNullParamChecker): the store has taken it
        memcpy(store->tensors[index].data, from->data, bytes);
    }
    store->version++;
    tern_bundle_free(&bundle);
    if (status == TERN_OK)
        *document = text;
    else
        tern_release(text);
    return status;
}
