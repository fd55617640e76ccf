/* FlatBuffers: see flat.h. */
#include "tflite/flat.h"

#include <string.h>

static void fail(tern_flat *flat, size_t at, const char *what)
{
    if (!flat || flat->failed) return;
    flat->failed = true;
    flat->at = at;
    flat->what = what;
}

/* Whether bytes at .. at + count are inside. */
static bool inside(tern_flat *flat, size_t at, size_t count, const char *what)
{
    if (!flat || flat->failed) return false;
    if (at <= flat->count && count <= flat->count - at) return true;
    fail(flat, at, what);
    return false;
}

/* A whole number of `size` bytes, little-endian; with a sign. */
static int64_t number_at(const tern_flat *flat, size_t at, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) value |= (uint64_t)flat->bytes[at + i] << (8 * i);
    unsigned unused = 64 - 8 * (unsigned)size;
    return (int64_t)(value << unused) >> unused;
}

static uint32_t unsigned_at(const tern_flat *flat, size_t at)
{
    return (uint32_t)number_at(flat, at, 4);
}

tern_status tern_flat_status(const tern_flat *flat)
{
    if (!flat->failed) return TERN_OK;
    return tern_fail(TERN_FAILED, "%s: offset %zu: %s; is this a TFLite file, and all of it?", flat->file,
                     flat->at, flat->what);
}

/* The table at `at`, with its list of fields. */
static tern_flat_table table_at(tern_flat *flat, size_t at)
{
    tern_flat_table none = {0}, t = {.flat = flat, .at = at};
    if (!inside(flat, at, 4, "a table begins behind the end")) return none;
    int64_t list = (int64_t)at - number_at(flat, at, 4);
    if (list < 0 || !inside(flat, (size_t)list, 4, "the fields of a table are listed behind the end")) {
        fail(flat, at, "the fields of a table are listed before the beginning");
        return none;
    }
    t.fields = (size_t)list;
    t.fields_size = (size_t)(number_at(flat, t.fields, 2) & 0xffff);
    t.size = (size_t)(number_at(flat, t.fields + 2, 2) & 0xffff);
    if (t.fields_size < 4 || t.fields_size % 2 || t.size < 4) {
        fail(flat, t.fields, "a list of fields has no such size");
        return none;
    }
    if (!inside(flat, t.fields, t.fields_size, "the fields of a table are listed behind the end") ||
        !inside(flat, at, t.size, "a table ends behind the end"))
        return none;
    return t;
}

tern_flat_table tern_flat_root(tern_flat *flat, const char *identifier)
{
    if (!inside(flat, 0, 8, "there is no root table")) return (tern_flat_table){0};
    if (memcmp(flat->bytes + 4, identifier, 4) != 0) {
        fail(flat, 4, "another identifier than TFL3");
        return (tern_flat_table){0};
    }
    return table_at(flat, unsigned_at(flat, 0));
}

/* Where a field of `size` bytes lies; 0: it is not there. */
static size_t field_at(const tern_flat_table *t, int field, size_t size)
{
    size_t entry = 4 + 2 * (size_t)field;
    if (!t->flat || t->flat->failed || entry + 2 > t->fields_size) return 0;
    size_t at = (size_t)(number_at(t->flat, t->fields + entry, 2) & 0xffff);
    if (at == 0) return 0;
    if (at < 4 || at + size > t->size) {
        fail(t->flat, t->fields + entry, "a field lies outside of its table");
        return 0;
    }
    return t->at + at;
}

int64_t tern_flat_int(const tern_flat_table *t, int field, size_t size, int64_t standard)
{
    size_t at = field_at(t, field, size);
    return at ? number_at(t->flat, at, size) : standard;
}

static double real_at(const tern_flat *flat, size_t at)
{
    uint32_t bits = unsigned_at(flat, at);
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

double tern_flat_real(const tern_flat_table *t, int field, double standard)
{
    size_t at = field_at(t, field, 4);
    return at ? real_at(t->flat, at) : standard;
}

/* What the reference in a field points to; 0: the field is not there. */
static size_t target_of(const tern_flat_table *t, int field)
{
    size_t at = field_at(t, field, 4);
    return at ? at + unsigned_at(t->flat, at) : 0;
}

static tern_flat_vector vector_at(tern_flat *flat, size_t at, size_t size)
{
    tern_flat_vector none = {0};
    if (!inside(flat, at, 4, "a vector begins behind the end")) return none;
    tern_flat_vector v = {flat, at + 4, unsigned_at(flat, at), size};
    if (v.count > flat->count / size || !inside(flat, v.at, v.count * size, "a vector ends behind the end")) {
        fail(flat, at, "a vector ends behind the end");
        return none;
    }
    return v;
}

tern_flat_vector tern_flat_list(const tern_flat_table *t, int field, size_t size)
{
    size_t at = target_of(t, field);
    return at ? vector_at(t->flat, at, size) : (tern_flat_vector){0};
}

tern_flat_table tern_flat_child(const tern_flat_table *t, int field)
{
    size_t at = target_of(t, field);
    return at ? table_at(t->flat, at) : (tern_flat_table){0};
}

const char *tern_flat_text(const tern_flat_table *t, int field)
{
    tern_flat_vector v = tern_flat_list(t, field, 1);
    if (!v.flat) return "";
    if (!inside(v.flat, v.at, v.count + 1, "a text ends behind the end")) return "";
    if (memchr(v.flat->bytes + v.at, 0, v.count + 1) != v.flat->bytes + v.at + v.count) {
        fail(v.flat, v.at, "a text does not end where its length says");
        return "";
    }
    return (const char *)v.flat->bytes + v.at;
}

int64_t tern_flat_int_at(const tern_flat_vector *v, size_t i)
{
    return number_at(v->flat, v->at + i * v->size, v->size);
}

double tern_flat_real_at(const tern_flat_vector *v, size_t i)
{
    return real_at(v->flat, v->at + i * v->size);
}

tern_flat_table tern_flat_table_at(const tern_flat_vector *v, size_t i)
{
    size_t at = v->at + i * v->size;
    return table_at(v->flat, at + unsigned_at(v->flat, at));
}
