/* GGUF: "GGUF", u32 version, u64 tensors, u64 entries; the entries {text key, u32 kind, value}; the tensors {text name, u32
 * axes, u64 lengths (innermost first), u32 type, u64 offset}; then, aligned, the tensors' bytes.  A text is a u64 length and
 * its bytes; an array a u32 kind, a u64 count and its elements.  Format: docs/gguf.md of github.com/ggml-org/ggml. */
#include "io/bytes.h"
#include "io/io.h"
#include "io/weights.h"

#include <stdlib.h>
#include <string.h>

#define MOST 1000000 /* tensors, and entries */

/* ggml's numbers of number formats; what Tern can't read has a name all the same.  ggml has none for nf4: the numbers from
 * 1064 on are Tern's own, and other programs refuse them. */
static const struct {
    uint32_t number;
    const char *name;
    int dtype; /* -1: none */
} types[] = {
    {0, "f32", TERN_F32},        {1, "f16", TERN_F16},
    {2, "q4_0", TERN_Q4_0},      {3, "q4_1", TERN_Q4_1},
    {6, "q5_0", TERN_Q5_0},      {7, "q5_1", TERN_Q5_1},
    {8, "q8_0", TERN_Q8_0},      {9, "q8_1", -1},
    {10, "q2_K", TERN_Q2_K},     {11, "q3_K", TERN_Q3_K},
    {12, "q4_K", TERN_Q4_K},     {13, "q5_K", TERN_Q5_K},
    {14, "q6_K", TERN_Q6_K},     {15, "q8_K", -1},
    {16, "iq2_xxs", -1},         {17, "iq2_xs", -1},
    {18, "iq3_xxs", -1},         {19, "iq1_s", -1},
    {20, "iq4_nl", -1},          {21, "iq3_s", -1},
    {22, "iq2_s", -1},           {23, "iq4_xs", -1},
    {24, "i8", TERN_I8},         {25, "i16", TERN_I16},
    {26, "i32", TERN_I32},       {27, "i64", -1},
    {28, "f64", TERN_F64},       {29, "iq1_m", -1},
    {30, "bf16", TERN_BF16},     {34, "tq1_0", -1},
    {35, "tq2_0", TERN_TERNARY}, {39, "mxfp4", -1},
    {40, "nvfp4", -1},           {41, "q1_0", -1},
    {1064, "nf4", TERN_NF4},     {1065, "nf4x2", TERN_NF4X2},
};

bool tern_gguf_type(tern_dtype dtype, uint32_t *number)
{
    for (size_t i = 0; i < TERN_COUNT(types); i++) {
        if (types[i].dtype != (int)dtype) continue;
        *number = types[i].number;
        return true;
    }
    return false;
}

bool tern_gguf_has(tern_dtype dtype)
{
    uint32_t number;
    return tern_gguf_type(dtype, &number);
}

bool tern_gguf_flat(tern_dtype dtype)
{
    return dtype == TERN_NF4 || dtype == TERN_NF4X2;
}

static const struct {
    const char *name;
    int size; /* bytes; 0: not a number */
} kinds[TERN_META_KINDS] = {
    [TERN_META_U8] = {"u8", 1},       [TERN_META_I8] = {"i8", 1},     [TERN_META_U16] = {"u16", 2},
    [TERN_META_I16] = {"i16", 2},     [TERN_META_U32] = {"u32", 4},   [TERN_META_I32] = {"i32", 4},
    [TERN_META_F32] = {"f32", 4},     [TERN_META_BOOL] = {"bool", 1}, [TERN_META_TEXT] = {"text", 0},
    [TERN_META_ARRAY] = {"array", 0}, [TERN_META_U64] = {"u64", 8},   [TERN_META_I64] = {"i64", 8},
    [TERN_META_F64] = {"f64", 8},
};

const char *tern_meta_kind_name(tern_meta_kind kind)
{
    return kinds[kind].name;
}

int tern_meta_kind_size(tern_meta_kind kind)
{
    return kinds[kind].size;
}

/* ---- a cursor that never leaves the file ----------------------------------------------------------------------- */

typedef struct tern_cursor {
    const char *name; /* the file */
    const uint8_t *bytes;
    size_t count, at;
    tern_weights *out;
    uint64_t alignment, data; /* where the tensors' bytes begin */
    uint64_t *offsets;        /* [out->count] in the data */
} tern_cursor;

static tern_status need(const tern_cursor *c, uint64_t size, const char *what)
{
    if (size <= c->count - c->at) return TERN_OK;
    return tern_fail(
        TERN_FAILED,
        "%s: %s at byte %zu needs %llu bytes, the file ends after %zu: truncated, or no GGUF file", c->name,
        what, c->at, (unsigned long long)size, c->count - c->at);
}

static tern_status read_number(tern_cursor *c, int size, const char *what, uint64_t *value)
{
    TERN_TRY(need(c, (uint64_t)size, what));
    *value = tern_little(c->bytes + c->at, size);
    c->at += (size_t)size;
    return TERN_OK;
}

/* A text that becomes a string of the arena: keys and names. */
static tern_status read_name(tern_cursor *c, const char *what, const char **text)
{
    uint64_t length;
    size_t begin = c->at;
    TERN_TRY(read_number(c, 8, what, &length));
    TERN_TRY(need(c, length, what));
    if (length == 0 || length > 65535 || memchr(c->bytes + c->at, 0, (size_t)length))
        return tern_fail(
            TERN_FAILED, "%s: %s at byte %zu has %llu bytes%s, expected 1 to 65535 without a zero", c->name,
            what, begin, (unsigned long long)length, length && length <= 65535 ? " with a zero" : "");
    char *copy = tern_arena_take(&c->out->arena, (size_t)length + 1);
    if (!copy) return tern_no_memory((size_t)length + 1, c->name);
    memcpy(copy, c->bytes + c->at, (size_t)length);
    c->at += (size_t)length;
    *text = copy;
    return TERN_OK;
}

/* Over `count` elements of a kind, checking each text. */
static tern_status skip_values(tern_cursor *c, tern_meta *m)
{
    int size = kinds[m->kind].size;
    size_t begin = c->at;
    m->data = c->bytes + begin;
    if (size) {
        if ((uint64_t)m->count > (c->count - c->at) / (unsigned)size)
            return tern_fail(
                TERN_FAILED,
                "%s: \"%s\" at byte %zu claims %lld elements of %d bytes, the file ends after %zu", c->name,
                m->key, begin, (long long)m->count, size, c->count - c->at);
        c->at += (size_t)m->count * (size_t)size;
    }
    for (int64_t i = 0; !size && i < m->count; i++) {
        uint64_t length;
        TERN_TRY(read_number(c, 8, m->key, &length));
        TERN_TRY(need(c, length, m->key));
        c->at += (size_t)length;
    }
    m->size = c->at - begin;
    return TERN_OK;
}

static tern_status read_kind(tern_cursor *c, const char *key, tern_meta_kind *kind)
{
    uint64_t value;
    size_t begin = c->at;
    TERN_TRY(read_number(c, 4, key, &value));
    if (value >= TERN_META_KINDS)
        return tern_fail(TERN_FAILED, "%s: \"%s\" at byte %zu has type %llu, expected 0 to %d", c->name, key,
                         begin, (unsigned long long)value, TERN_META_KINDS - 1);
    *kind = (tern_meta_kind)value;
    return TERN_OK;
}

static tern_status read_meta(tern_cursor *c, tern_meta *m)
{
    TERN_TRY(read_name(c, "the key of a metadata entry", &m->key));
    TERN_TRY(read_kind(c, m->key, &m->kind));
    m->count = 1;
    if (m->kind == TERN_META_ARRAY) {
        uint64_t count;
        m->array = true;
        TERN_TRY(read_kind(c, m->key, &m->kind));
        if (m->kind == TERN_META_ARRAY)
            return tern_fail(TERN_FAILED, "%s: \"%s\" at byte %zu is an array of arrays, which no model uses",
                             c->name, m->key, c->at - 4);
        TERN_TRY(read_number(c, 8, m->key, &count));
        if (count > c->count)
            return tern_fail(TERN_FAILED,
                             "%s: \"%s\" at byte %zu claims %llu elements, more than the file has bytes",
                             c->name, m->key, c->at - 8, (unsigned long long)count);
        m->count = (int64_t)count;
    }
    return skip_values(c, m);
}

/* ---- tensors --------------------------------------------------------------------------------------------------- */

static tern_status read_type(tern_cursor *c, const char *name, tern_dtype *dtype)
{
    uint64_t number;
    TERN_TRY(read_number(c, 4, name, &number));
    for (size_t i = 0; i < TERN_COUNT(types); i++) {
        if (types[i].number != number) continue;
        *dtype = (tern_dtype)types[i].dtype;
        if (types[i].dtype >= 0) return TERN_OK;
        return tern_fail(TERN_FAILED, "%s: tensor \"%s\" at byte %zu is %s, which Tern cannot read", c->name,
                         name, c->at - 4, types[i].name);
    }
    return tern_fail(TERN_FAILED, "%s: tensor \"%s\" at byte %zu has type %llu, which is unknown", c->name,
                     name, c->at - 4, (unsigned long long)number);
}

static tern_status read_shape(tern_cursor *c, const char *name, tern_shape *shape)
{
    uint64_t axes, length;
    TERN_TRY(read_number(c, 4, name, &axes));
    if (axes > TERN_MAX_RANK)
        return tern_fail(TERN_FAILED, "%s: tensor \"%s\" at byte %zu has %llu axes, expected at most %d",
                         c->name, name, c->at - 4, (unsigned long long)axes, TERN_MAX_RANK);
    shape->rank = (int)axes;
    for (int i = shape->rank - 1; i >= 0; i--) {
        TERN_TRY(read_number(c, 8, name, &length));
        if (length > INT64_MAX)
            return tern_fail(TERN_FAILED, "%s: tensor \"%s\" at byte %zu has an axis of %llu", c->name, name,
                             c->at - 8, (unsigned long long)length);
        shape->dim[i] = (int64_t)length;
    }
    tern_status status = tern_shape_check(shape, name);
    return status == TERN_OK ? status : tern_in(status, "%s", c->name);
}

static tern_status read_tensor(tern_cursor *c, int i)
{
    tern_tensor *t = &c->out->tensors[i];
    TERN_TRY(read_name(c, "the name of a tensor", &c->out->names[i]));
    const char *name = c->out->names[i];
    TERN_TRY(read_shape(c, name, &t->shape));
    TERN_TRY(read_type(c, name, &t->dtype));
    TERN_TRY(read_number(c, 8, name, &c->offsets[i]));
    const tern_dtype_info *info = tern_dtype_of(t->dtype);
    int64_t row = t->shape.rank ? t->shape.dim[t->shape.rank - 1] : 1;
    if (row % info->block && !tern_gguf_flat(t->dtype))
        return tern_fail(TERN_FAILED,
                         "%s: tensor \"%s\": rows of %lld elements are no whole blocks of %s (%d)", c->name,
                         name, (long long)row, info->name, info->block);
    if (c->offsets[i] % c->alignment)
        return tern_fail(TERN_FAILED, "%s: tensor \"%s\": offset %llu is no multiple of the alignment %llu",
                         c->name, name, (unsigned long long)c->offsets[i], (unsigned long long)c->alignment);
    return TERN_OK;
}

typedef struct tern_extent {
    uint64_t begin, end;
    const char *name;
} tern_extent;

static int by_begin(const void *a, const void *b)
{
    const tern_extent *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* Inside the file, and none over another. */
static tern_status place_tensors(tern_cursor *c, tern_extent *extents)
{
    uint64_t space = c->data <= c->count ? c->count - c->data : 0;
    for (int i = 0; i < c->out->count; i++) {
        tern_tensor *t = &c->out->tensors[i];
        uint64_t size = tern_bytes_of(t->dtype, tern_elements(&t->shape));
        if (c->offsets[i] > space || size > space - c->offsets[i])
            return tern_fail(
                TERN_FAILED,
                "%s: tensor \"%s\" takes bytes %llu to %llu behind byte %llu, the file has only %llu there: "
                "truncated",
                c->name, c->out->names[i], (unsigned long long)c->offsets[i],
                (unsigned long long)(c->offsets[i] + size), (unsigned long long)c->data,
                (unsigned long long)space);
        t->data = (void *)(uintptr_t)(c->bytes + c->data + c->offsets[i]);
        extents[i] = (tern_extent){c->offsets[i], c->offsets[i] + size, c->out->names[i]};
    }
    qsort(extents, (size_t)c->out->count, sizeof *extents, by_begin);
    for (int i = 1; i < c->out->count; i++)
        if (extents[i].begin < extents[i - 1].end)
            return tern_fail(TERN_FAILED, "%s: tensors \"%s\" and \"%s\" overlap at byte %llu of the data",
                             c->name, extents[i - 1].name, extents[i].name,
                             (unsigned long long)extents[i].begin);
    return TERN_OK;
}

/* ---- the file -------------------------------------------------------------------------------------------------- */

static tern_status read_head(tern_cursor *c, uint64_t *tensors, uint64_t *metas)
{
    uint64_t version;
    if (c->count < 4 || memcmp(c->bytes, "GGUF", 4) != 0)
        return tern_fail(TERN_FAILED, "%s: no GGUF file: it does not begin with \"GGUF\"", c->name);
    c->at = 4;
    TERN_TRY(read_number(c, 4, "the version", &version));
    if (version != 2 && version != 3)
        return tern_fail(TERN_FAILED, "%s: GGUF version %llu at byte 4, expected 2 or 3%s", c->name,
                         (unsigned long long)version,
                         version == 1                             ? ": convert it with an old llama.cpp first"
                         : version >> 24 && !(version & 0xffffff) ? ": the file is big-endian"
                                                                  : "");
    c->out->version = (int)version;
    TERN_TRY(read_number(c, 8, "the number of tensors", tensors));
    TERN_TRY(read_number(c, 8, "the number of metadata entries", metas));
    /* The least that one takes: an entry 14 bytes, a tensor 25; and no model has a million. */
    if (*metas > c->count / 14 || *metas > MOST)
        return tern_fail(TERN_FAILED, "%s: %llu metadata entries at byte 16 are more than %zu bytes can hold",
                         c->name, (unsigned long long)*metas, c->count);
    if (*tensors > c->count / 25 || *tensors > MOST)
        return tern_fail(TERN_FAILED, "%s: %llu tensors at byte 8 are more than %zu bytes can hold", c->name,
                         (unsigned long long)*tensors, c->count);
    return TERN_OK;
}

/* All keys, and all names, are different. */
static tern_status check_unique(tern_cursor *c, const char **list, int count, const char *what)
{
    qsort(list, (size_t)count, sizeof *list, tern_by_text);
    for (int i = 1; i < count; i++)
        if (strcmp(list[i - 1], list[i]) == 0)
            return tern_fail(TERN_FAILED, "%s: there are two %s \"%s\"", c->name, what, list[i]);
    return TERN_OK;
}

static tern_status find_alignment(tern_cursor *c)
{
    const tern_meta *m = tern_weights_meta(c->out, "general.alignment");
    c->alignment = 32;
    if (!m) return TERN_OK;
    double value = m->kind == TERN_META_U32 && !m->array ? tern_meta_number(m, 0) : 0;
    c->alignment = (uint64_t)value;
    if (value < 8 || value > 1 << 20 || (c->alignment & (c->alignment - 1)))
        return tern_fail(TERN_FAILED,
                         "%s: general.alignment is %g (%s), expected a power of two from 8 to 2^20 as u32",
                         c->name, tern_meta_number(m, 0), kinds[m->kind].name);
    return TERN_OK;
}

/* scratch: room for the larger of all keys and all extents. */
static tern_status read_all(tern_cursor *c, void *scratch)
{
    tern_weights *w = c->out;
    for (int i = 0; i < w->meta_count; i++) TERN_TRY(read_meta(c, &w->metas[i]));
    for (int i = 0; i < w->meta_count; i++) ((const char **)scratch)[i] = w->metas[i].key;
    TERN_TRY(check_unique(c, scratch, w->meta_count, "metadata entries"));
    TERN_TRY(find_alignment(c));
    for (int i = 0; i < w->count; i++) TERN_TRY(read_tensor(c, i));
    if (w->count) memcpy(scratch, w->names, (size_t)w->count * sizeof *w->names);
    TERN_TRY(check_unique(c, scratch, w->count, "tensors"));
    c->data = (c->at + c->alignment - 1) / c->alignment * c->alignment;
    return place_tensors(c, scratch);
}

tern_status tern_gguf_view(const void *bytes, size_t count, const char *name, tern_weights *w)
{
    tern_cursor c = {.name = name, .bytes = bytes, .count = count, .out = w};
    uint64_t tensors = 0, metas = 0;
    if (w->count || w->meta_count)
        return tern_fail(TERN_FAILED, "%s is GGUF, which cannot be a part of a model in safetensors", name);
    TERN_TRY(read_head(&c, &tensors, &metas));
    size_t keys = metas * sizeof(char *), extents = tensors * sizeof(tern_extent);
    void *scratch = tern_take(keys > extents ? keys + 8 : extents + 8);
    c.offsets = tern_take_array((size_t)tensors + 1, sizeof *c.offsets);
    w->metas = tern_take_array((size_t)metas + 1, sizeof *w->metas);
    w->tensors = tern_take_array((size_t)tensors + 1, sizeof *w->tensors);
    w->names = tern_take_array((size_t)tensors + 1, sizeof *w->names);
    tern_status status = TERN_OK;
    if (!scratch || !c.offsets || !w->metas || !w->tensors || !w->names)
        status = tern_no_memory(keys + extents, name);
    if (status == TERN_OK) {
        w->meta_count = (int)metas;
        w->count = w->capacity = (int)tensors;
        status = read_all(&c, scratch);
    }
    tern_release(scratch);
    tern_release(c.offsets);
    return status;
}

tern_status tern_gguf_parse(const void *bytes, size_t count, const char *name, tern_weights *out)
{
    tern_weights w = {0};
    tern_status status = tern_gguf_view(bytes, count, name, &w);
    if (status == TERN_OK)
        *out = w;
    else
        tern_weights_close(&w);
    return status;
}
