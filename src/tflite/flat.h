/* FlatBuffers (flatbuffers.dev, "Internals"), read in place: a table has a list of where its fields lie, vectors and texts begin
 * with their length, references are offsets forward.  Every access is checked against the bytes that are there; the first
 * that fails is remembered with its place, and all that follow give nothing, so that a reader asks once at its end. */
#ifndef TERN_TFLITE_FLAT_H
#define TERN_TFLITE_FLAT_H

#include "base/base.h"

typedef struct tern_flat {
    const uint8_t *bytes;
    size_t count;
    const char *file; /* for messages */
    bool failed;
    size_t at; /* of the failure */
    const char *what;
} tern_flat;

/* A table; flat NULL: there is none, and every field has its standard. */
typedef struct tern_flat_table {
    tern_flat *flat;
    size_t at, fields;        /* where it begins, and its list of fields */
    size_t size, fields_size; /* bytes of each */
} tern_flat_table;

/* `count` elements from bytes[at] on, all of them inside. */
typedef struct tern_flat_vector {
    tern_flat *flat;
    size_t at, count, size; /* size: of an element */
} tern_flat_vector;

/* The root table of a buffer whose identifier is four given letters. */
tern_flat_table tern_flat_root(tern_flat *flat, const char *identifier);
/* OK, or "FILE: offset N: what". */
tern_status tern_flat_status(const tern_flat *flat);

/* Fields by their number; what is not there is `standard`, the empty vector, "", the table without fields.  size: bytes of
 * a number, 1, 2, 4 or 8; whole numbers have signs. */
int64_t tern_flat_int(const tern_flat_table *table, int field, size_t size, int64_t standard);
double tern_flat_real(const tern_flat_table *table, int field, double standard); /* a float */
tern_flat_vector tern_flat_list(const tern_flat_table *table, int field, size_t size);
tern_flat_table tern_flat_child(const tern_flat_table *table, int field);
/* A text, which ends with 0 in the buffer. */
const char *tern_flat_text(const tern_flat_table *table, int field);

/* Elements of vectors: 0 <= i < count. */
int64_t tern_flat_int_at(const tern_flat_vector *vector, size_t i);
double tern_flat_real_at(const tern_flat_vector *vector, size_t i);           /* of floats */
tern_flat_table tern_flat_table_at(const tern_flat_vector *vector, size_t i); /* of references, size 4 */

#endif
