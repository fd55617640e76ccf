/* The wire format of protocol buffers (protobuf.dev, "Encoding"), read in place: a message is a row of fields, each a number, a
 * type and a value.  A generated reader would copy gigabytes of weights; these hundred lines copy nothing. */
#ifndef TERN_ONNX_WIRE_H
#define TERN_ONNX_WIRE_H

#include "base/base.h"

/* What is left of a message.  `file` and `begin` are for messages. */
typedef struct tern_wire {
    const uint8_t *at, *end, *begin;
    const char *file;
} tern_wire;

typedef enum tern_wire_type {
    TERN_WIRE_VARINT,
    TERN_WIRE_64,
    TERN_WIRE_BYTES,
    TERN_WIRE_32 = 5
} tern_wire_type;

/* A field: value of VARINT, 64 and 32; bytes of BYTES. */
typedef struct tern_field {
    uint32_t number;
    tern_wire_type type;
    uint64_t value;
    tern_wire bytes;
} tern_field;

/* The next field; *more false: there was none.  Fails, with the file and the offset, on what is no field or ends too early. */
tern_status tern_wire_next(tern_wire *wire, tern_field *field, bool *more);

/* A variable-length integer; false when the bytes end before it does, or it has more than 64 bits. */
bool tern_wire_varint(tern_wire *wire, uint64_t *value);

/* "FILE: offset N: what": a failure at the beginning of `wire`. */
tern_status tern_wire_fail(const tern_wire *wire, const char *what);

/* The field must be a message or a text (BYTES), or a number (VARINT); `what` is named when it is not. */
tern_status tern_wire_expect(const tern_field *field, tern_wire_type type, const tern_wire *wire,
                             const char *what);

#endif
