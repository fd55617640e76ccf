/* Parameters and kept states by name. */
#include "run/run.h"

#include "io/io.h"

#include <string.h>

void tern_store_close(tern_store *store)
{
    for (int i = 0; i < store->count; i++) {
        if (!store->lent[i]) tern_tensor_free(&store->tensors[i]);
        tern_release(store->names[i]);
    }
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
    tern_tensor tensor = {0};
    tern_status status = tern_tensor_new(&tensor, type->dtype, &type->shape);
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
        memcpy(store->tensors[index].data, from->data, tern_bytes_of(type.dtype, tern_elements(&type.shape)));
    }
    store->version++;
    tern_bundle_free(&bundle);
    if (status == TERN_OK)
        *document = text;
    else
        tern_release(text);
    return status;
}
