/* Fields of protocol buffers. */
#include "onnx/wire.h"

tern_status tern_wire_fail(const tern_wire *wire, const char *what)
{
    return tern_fail(TERN_FAILED, "%s: offset %zu: %s; is this an ONNX file, and all of it?", wire->file,
                     (size_t)(wire->at - wire->begin), what);
}

bool tern_wire_varint(tern_wire *wire, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 64 && wire->at < wire->end; shift += 7) {
        uint8_t byte = *wire->at++;
        if (shift == 63 && byte > 1) return false;
        *value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return true;
    }
    return false;
}

static bool fixed(tern_wire *wire, size_t count, uint64_t *value)
{
    if ((size_t)(wire->end - wire->at) < count) return false;
    *value = 0;
    for (size_t i = 0; i < count; i++) *value |= (uint64_t)wire->at[i] << (8 * i);
    wire->at += count;
    return true;
}

static bool part(tern_wire *wire, tern_wire *bytes)
{
    uint64_t count;
    if (!tern_wire_varint(wire, &count) || count > (uint64_t)(wire->end - wire->at)) return false;
    *bytes = (tern_wire){wire->at, wire->at + count, wire->begin, wire->file};
    wire->at += count;
    return true;
}

tern_status tern_wire_next(tern_wire *wire, tern_field *field, bool *more)
{
    *more = wire->at < wire->end;
    if (!*more) return TERN_OK;
    tern_wire start = *wire;
    uint64_t key;
    if (!tern_wire_varint(wire, &key) || key >> 3 == 0 || key >> 3 > 0x1fffffff)
        return tern_wire_fail(&start, "no field of a protocol buffer begins here");
    *field = (tern_field){.number = (uint32_t)(key >> 3), .type = (tern_wire_type)(key & 7)};
    bool whole = false;
    switch (field->type) {
    case TERN_WIRE_VARINT:
        whole = tern_wire_varint(wire, &field->value);
        break;
    case TERN_WIRE_64:
        whole = fixed(wire, 8, &field->value);
        break;
    case TERN_WIRE_32:
        whole = fixed(wire, 4, &field->value);
        break;
    case TERN_WIRE_BYTES:
        whole = part(wire, &field->bytes);
        break;
    default:
        return tern_wire_fail(&start, "a field of a type that protocol buffers have not");
    }
    return whole ? TERN_OK : tern_wire_fail(&start, "a field goes on behind the end of its message");
}

tern_status tern_wire_expect(const tern_field *field, tern_wire_type type, const tern_wire *wire,
                             const char *what)
{
    if (field->type == type) return TERN_OK;
    char text[160];
    snprintf(text, sizeof text, "%s is of wire type %d, expected %d", what, (int)field->type, (int)type);
    return tern_wire_fail(wire, text);
}
