/* Elements of the tensors of an ONNX file: raw bytes, packed fields, or a file beside it. */
#include "onnx/model.h"

#include <string.h>

/* Bytes of an element in raw data; 0: a type that is no number. */
static size_t size_of(int type)
{
    static const size_t sizes[TERN_ONNX_TYPES] = {
        [TERN_ONNX_FLOAT] = 4,   [TERN_ONNX_UINT8] = 1,  [TERN_ONNX_INT8] = 1,   [TERN_ONNX_UINT16] = 2,
        [TERN_ONNX_INT16] = 2,   [TERN_ONNX_INT32] = 4,  [TERN_ONNX_INT64] = 8,  [TERN_ONNX_BOOL] = 1,
        [TERN_ONNX_FLOAT16] = 2, [TERN_ONNX_DOUBLE] = 8, [TERN_ONNX_UINT32] = 4, [TERN_ONNX_UINT64] = 8,
        [TERN_ONNX_BFLOAT16] = 2};
    return type >= 0 && type < TERN_ONNX_TYPES ? sizes[type] : 0;
}

bool tern_onnx_is_real(int type)
{
    return type == TERN_ONNX_FLOAT || type == TERN_ONNX_FLOAT16 || type == TERN_ONNX_DOUBLE ||
           type == TERN_ONNX_BFLOAT16;
}

bool tern_onnx_is_parameter(const tern_onnx_tensor *t)
{
    return tern_onnx_is_real(t->type) && tern_elements(&t->shape) > 1;
}

/* ---- external files --------------------------------------------------------------------------------------------- */

/* A file beside the model: no absolute path, no way out of the folder. */
static bool stays_inside(const char *location)
{
    if (*location == '/') return false;
    for (const char *p = location; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || !p[2])) return false;
    return true;
}

static tern_status map_external(tern_onnx *m, const char *location, const struct tern_onnx_map **found)
{
    for (int i = 0; i < m->map_count; i++) {
        *found = &m->maps[i];
        if (strcmp(m->maps[i].path, location) == 0) return TERN_OK;
    }
    if (m->map_count == m->map_capacity) {
        size_t old = (size_t)m->map_capacity, wanted = old ? 2 * old : 4;
        void *maps = tern_resize(m->maps, old * sizeof *m->maps, wanted * sizeof *m->maps);
        if (!maps) return tern_no_memory(wanted * sizeof *m->maps, "external data");
        m->maps = maps;
        m->map_capacity = (int)wanted;
    }
    char *path = tern_arena_format(&m->arena, "%s/%s", m->folder, location);
    if (!path) return tern_no_memory(strlen(location), "external data");
    struct tern_onnx_map *map = &m->maps[m->map_count];
    tern_status status = tern_map_file(path, &map->bytes, &map->count);
    if (status != TERN_OK)
        return tern_in(status, "%s: external data (keep the file beside the model)", m->file.name);
    map->path = location;
    m->map_count++;
    *found = map;
    return TERN_OK;
}

/* The bytes of a tensor in its external file. */
static tern_status external_bytes(tern_onnx *m, const tern_onnx_tensor *t, tern_wire *bytes)
{
    const struct tern_onnx_map *map = NULL;
    const char *file = m->file.name;
    if (!m->folder || !stays_inside(t->location))
        return tern_fail(
            TERN_FAILED,
            "%s: tensor \"%.100s\": external data at \"%.200s\", expected a file in the model's folder", file,
            t->name, t->location);
    TERN_TRY(map_external(m, t->location, &map));
    uint64_t length =
        t->has_length ? t->length : (uint64_t)map->count - (t->offset < map->count ? t->offset : map->count);
    if (t->offset > map->count || length > map->count - t->offset)
        return tern_fail(
            TERN_FAILED,
            "%s: tensor \"%.100s\": %llu bytes at %llu of %.200s, which has only %zu; is the file whole?",
            file, t->name, (unsigned long long)length, (unsigned long long)t->offset, t->location,
            map->count);
    const uint8_t *begin = map->bytes;
    *bytes = (tern_wire){begin + t->offset, begin + t->offset + length, begin, file};
    return TERN_OK;
}

/* ---- elements, one after the other --------------------------------------------------------------------------------- */

/* Raw bytes, from wherever they are; checked against the shape. */
static tern_status raw_bytes(tern_onnx *m, const tern_onnx_tensor *t, tern_wire *bytes)
{
    size_t size = size_of(t->type);
    *bytes = t->raw;
    if (t->external) TERN_TRY(external_bytes(m, t, bytes));
    if (!bytes->at) bytes->at = bytes->end = (const uint8_t *)"";
    uint64_t expected = (uint64_t)tern_elements(&t->shape) * size;
    char shape[96];
    if ((uint64_t)(bytes->end - bytes->at) == expected) return TERN_OK;
    return tern_fail(TERN_FAILED, "%s: tensor \"%.100s\" %s of %s has %zu bytes, expected %llu", m->file.name,
                     t->name, tern_shape_text(shape, &t->shape), tern_onnx_type_name(t->type),
                     (size_t)(bytes->end - bytes->at), (unsigned long long)expected);
}

static double signed_of(uint64_t value, size_t size)
{
    int unused = 64 - 8 * (int)size;
    return (double)((int64_t)(value << unused) >> unused);
}

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A number from its bits, which raw data hold in size_of(type) bytes and packed fields in integers. */
static double number_of(int type, uint64_t bits)
{
    uint32_t low = (uint32_t)bits;
    float single;
    switch (type) {
    case TERN_ONNX_FLOAT:
        memcpy(&single, &low, sizeof single);
        return (double)single;
    case TERN_ONNX_DOUBLE:
        return double_of(bits);
    case TERN_ONNX_FLOAT16:
        return (double)tern_f16_to_f32((uint16_t)bits);
    case TERN_ONNX_BFLOAT16:
        return (double)tern_bf16_to_f32((uint16_t)bits);
    case TERN_ONNX_INT8:
    case TERN_ONNX_INT16:
    case TERN_ONNX_INT32:
    case TERN_ONNX_INT64:
        return signed_of(bits, size_of(type));
    case TERN_ONNX_BOOL:
        return bits != 0;
    default:
        return (double)bits;
    }
}

/* The packed field in which a type keeps its elements. */
static uint32_t field_of(int type)
{
    switch (type) {
    case TERN_ONNX_FLOAT:
        return 4;
    case TERN_ONNX_INT64:
        return 7;
    case TERN_ONNX_DOUBLE:
        return 10;
    case TERN_ONNX_UINT32:
    case TERN_ONNX_UINT64:
        return 11;
    default:
        return 5;
    }
}

static tern_status next_packed(tern_wire *bytes, uint32_t field, uint64_t *bits)
{
    size_t size = field == 4 ? 4 : field == 10 ? 8 : 0;
    if (!size)
        return tern_wire_varint(bytes, bits) ? TERN_OK
                                             : tern_wire_fail(bytes, "a tensor has too few elements");
    if ((size_t)(bytes->end - bytes->at) < size)
        return tern_wire_fail(bytes, "a tensor has too few elements");
    *bits = 0;
    memcpy(bits, bytes->at, size);
    bytes->at += size;
    return TERN_OK;
}

static tern_status packed_numbers(const tern_onnx_tensor *t, double *out)
{
    tern_wire bytes = t->packed;
    int64_t n = tern_elements(&t->shape);
    if (t->packed_field != field_of(t->type))
        return tern_wire_fail(&bytes, "elements of a tensor in a field of another type");
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits;
        TERN_TRY(next_packed(&bytes, t->packed_field, &bits));
        out[i] = number_of(t->type, bits);
    }
    return bytes.at == bytes.end ? TERN_OK
                                 : tern_wire_fail(&bytes, "a tensor has more elements than its shape");
}

static tern_status check_type(const tern_onnx *m, const tern_onnx_tensor *t)
{
    if (size_of(t->type)) return TERN_OK;
    return tern_fail(TERN_FAILED,
                     "%s: tensor \"%.100s\" is of type %s (%d), expected floats, integers or bools",
                     m->file.name, t->name, tern_onnx_type_name(t->type), t->type);
}

tern_status tern_onnx_numbers(tern_onnx *m, const tern_onnx_tensor *t, double *out)
{
    tern_wire bytes;
    TERN_TRY(check_type(m, t));
    if (t->packed.at && !t->external) return packed_numbers(t, out);
    TERN_TRY(raw_bytes(m, t, &bytes));
    size_t size = size_of(t->type);
    for (int64_t i = 0; bytes.at < bytes.end; i++, bytes.at += size) {
        uint64_t bits = 0;
        memcpy(&bits, bytes.at, size);
        out[i] = number_of(t->type, bits);
    }
    return TERN_OK;
}

/* ---- weights ----------------------------------------------------------------------------------------------------------- */

/* A tensor of the model's own, to be filled. */
static tern_status add_copy(tern_onnx *m, const tern_onnx_tensor *t, tern_tensor *copy)
{
    if (m->copy_count == m->copy_capacity) {
        size_t old = (size_t)m->copy_capacity, wanted = old ? 2 * old : 64;
        void *copies = tern_resize(m->copies, old * sizeof *copy, wanted * sizeof *copy);
        if (!copies) return tern_no_memory(wanted * sizeof *copy, "weights");
        m->copies = copies;
        m->copy_capacity = (int)wanted;
    }
    TERN_TRY(tern_tensor_new(copy, TERN_F32, &t->shape));
    m->copies[m->copy_count++] = *copy;
    return TERN_OK;
}

/* As f32: a view where the elements are floats that lie aligned, else a copy. */
static tern_status weight_of(tern_onnx *m, const tern_onnx_tensor *t, tern_tensor *out)
{
    int64_t n = tern_elements(&t->shape);
    tern_wire bytes = {0};
    bool raw = !t->packed.at || t->external;
    TERN_TRY(check_type(m, t));
    if (raw) TERN_TRY(raw_bytes(m, t, &bytes));
    bool floats = raw && t->type == TERN_ONNX_FLOAT;
    if (floats && (uintptr_t)bytes.at % sizeof(float) == 0) {
        *out = (tern_tensor){TERN_F32, t->shape, (void *)(uintptr_t)bytes.at};
        return TERN_OK;
    }
    if (!raw && (uint64_t)n > (uint64_t)(t->packed.end - t->packed.at)) /* before memory is asked for */
        return tern_wire_fail(&t->packed, "a tensor has too few elements");
    TERN_TRY(add_copy(m, t, out));
    if (floats) {
        memcpy(out->data, bytes.at, (size_t)(bytes.end - bytes.at));
        return TERN_OK;
    }
    double *numbers = tern_take_array((size_t)n + 1, sizeof *numbers);
    if (!numbers) return tern_no_memory((size_t)n * sizeof *numbers, "weights");
    tern_status status = tern_onnx_numbers(m, t, numbers);
    for (int64_t i = 0; status == TERN_OK && i < n; i++) ((float *)out->data)[i] = (float)numbers[i];
    tern_release(numbers);
    return status;
}

static tern_status lend(tern_onnx *m, tern_store *store, const tern_onnx_tensor *t, const char *name)
{
    tern_tensor weight;
    if (!tern_onnx_is_parameter(t) || tern_store_find(store, name) >= 0) return TERN_OK;
    TERN_TRY(weight_of(m, t, &weight));
    return tern_store_lend(store, name, weight);
}

tern_status tern_onnx_weights(tern_onnx *m, tern_store *store)
{
    const tern_onnx_graph *g = &m->file.graph;
    for (int i = 0; i < g->initialiser_count; i++)
        TERN_TRY(lend(m, store, &g->initialisers[i], g->initialisers[i].name));
    for (int i = 0; i < g->node_count; i++) {
        const tern_onnx_tensor *t = tern_onnx_constant_of(&g->nodes[i]);
        if (t) TERN_TRY(lend(m, store, t, g->nodes[i].outputs[0]));
    }
    store->version++;
    return TERN_OK;
}
