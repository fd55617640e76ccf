/* The messages of an ONNX file: each is counted first, then read into arrays of exactly that many. */
#include "onnx/proto.h"

#include <string.h>

/* More is no net, and would only be memory that a damaged file asks for. */
enum { MOST = 1 << 20, MOST_NUMBERS = 1 << 24 };

const char *tern_onnx_type_name(int type)
{
    static const char *const names[TERN_ONNX_TYPES] = {
        "no type", "float",   "uint8",  "int8",   "uint16", "int16",     "int32",      "int64",   "string",
        "bool",    "float16", "double", "uint32", "uint64", "complex64", "complex128", "bfloat16"};
    return type >= 0 && type < TERN_ONNX_TYPES ? names[type] : "a type of another version";
}

typedef struct reader {
    tern_arena *arena;
    const char *file;
} reader;

static void *take(reader *r, int count, size_t size)
{
    return tern_arena_take(r->arena, (size_t)(count + 1) * size);
}

static tern_status read_text(reader *r, const tern_field *field, const tern_wire *wire, const char *what,
                             const char **text)
{
    TERN_TRY(tern_wire_expect(field, TERN_WIRE_BYTES, wire, what));
    size_t count = (size_t)(field->bytes.end - field->bytes.at);
    char *copy = tern_arena_take(r->arena, count + 1);
    if (!copy) return tern_no_memory(count, r->file);
    memcpy(copy, field->bytes.at, count);
    *text = copy;
    return TERN_OK;
}

/* How many fields of each of the numbers in `which` a message has. */
static tern_status count_fields(tern_wire message, const uint32_t *which, int *counts, int kinds)
{
    bool more;
    tern_field field;
    memset(counts, 0, (size_t)kinds * sizeof *counts);
    for (;;) {
        TERN_TRY(tern_wire_next(&message, &field, &more));
        if (!more) return TERN_OK;
        for (int k = 0; k < kinds; k++)
            if (field.number == which[k] && counts[k]++ >= MOST)
                return tern_wire_fail(&message, "more than a million of one kind in a message");
    }
}

/* ---- numbers, one by one or packed ------------------------------------------------------------------------------ */

static double real_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

/* Numbers in a packed field of varints or of 4 bytes. */
static int64_t packed_count(tern_wire bytes, bool integers)
{
    int64_t count = 0;
    uint64_t value;
    if (!integers) return (bytes.end - bytes.at) / 4;
    while (bytes.at < bytes.end && tern_wire_varint(&bytes, &value)) count++;
    return count;
}

/* Appends the numbers of a field to ints or to floats, whichever is not NULL. */
static tern_status add_numbers(const tern_field *field, const tern_wire *wire, int64_t *ints, double *floats,
                               int *count)
{
    tern_wire bytes = field->bytes;
    uint64_t value = field->value;
    if (field->type != TERN_WIRE_BYTES) {
        TERN_TRY(tern_wire_expect(field, ints ? TERN_WIRE_VARINT : TERN_WIRE_32, wire,
                                  "a number of an attribute"));
        if (ints)
            ints[(*count)++] = (int64_t)value;
        else
            floats[(*count)++] = real_of((uint32_t)value);
        return TERN_OK;
    }
    while (bytes.at < bytes.end) {
        if (ints) {
            if (!tern_wire_varint(&bytes, &value))
                return tern_wire_fail(&bytes, "a list of integers is cut off");
            ints[(*count)++] = (int64_t)value;
            continue;
        }
        if (bytes.end - bytes.at < 4) return tern_wire_fail(&bytes, "a list of floats is cut off");
        uint32_t bits = 0;
        memcpy(&bits, bytes.at, sizeof bits);
        bytes.at += sizeof bits;
        floats[(*count)++] = real_of(bits);
    }
    return TERN_OK;
}

/* ---- tensors ---------------------------------------------------------------------------------------------------- */

static tern_status read_external(reader *r, tern_wire entry, tern_onnx_tensor *t)
{
    const char *key = "", *value = "";
    tern_wire start = entry;
    tern_field field;
    bool more;
    for (;;) {
        TERN_TRY(tern_wire_next(&entry, &field, &more));
        if (!more) break;
        if (field.number == 1) TERN_TRY(read_text(r, &field, &entry, "key of external data", &key));
        if (field.number == 2) TERN_TRY(read_text(r, &field, &entry, "value of external data", &value));
    }
    if (strcmp(key, "location") == 0) t->location = value;
    bool offset = strcmp(key, "offset") == 0, length = strcmp(key, "length") == 0;
    if (!offset && !length) return TERN_OK; /* a checksum */
    uint64_t number = 0;
    for (const char *p = value; *p; p++) {
        if (*p < '0' || *p > '9' || number > UINT64_MAX / 16)
            return tern_wire_fail(&start, "offset and length of external data must be whole numbers");
        number = 10 * number + (uint64_t)(*p - '0');
    }
    if (offset)
        t->offset = number;
    else
        t->length = number;
    t->has_length |= length;
    return TERN_OK;
}

static tern_status add_dim(tern_shape *shape, uint64_t dim, const tern_wire *wire)
{
    if (shape->rank == TERN_MAX_RANK)
        return tern_wire_fail(wire, "a tensor of more than 6 axes, which Tern has not");
    shape->dim[shape->rank++] = (int64_t)dim;
    return TERN_OK;
}

static tern_status read_dims(const tern_field *field, const tern_wire *wire, tern_shape *shape)
{
    tern_wire bytes = field->bytes;
    uint64_t dim;
    if (field->type == TERN_WIRE_VARINT) return add_dim(shape, field->value, wire);
    TERN_TRY(tern_wire_expect(field, TERN_WIRE_BYTES, wire, "dimensions of a tensor"));
    while (bytes.at < bytes.end) {
        if (!tern_wire_varint(&bytes, &dim))
            return tern_wire_fail(&bytes, "dimensions of a tensor are cut off");
        TERN_TRY(add_dim(shape, dim, wire));
    }
    return TERN_OK;
}

/* Fields of a tensor that hold elements, and which one. */
static tern_status read_elements(const tern_field *field, const tern_wire *wire, tern_onnx_tensor *t)
{
    TERN_TRY(tern_wire_expect(field, TERN_WIRE_BYTES, wire, "elements of a tensor"));
    if (t->raw.at || t->packed.at) return tern_wire_fail(wire, "a tensor holds its elements twice");
    if (field->number == 9)
        t->raw = field->bytes;
    else
        t->packed = field->bytes;
    t->packed_field = field->number == 9 ? 0 : field->number;
    return TERN_OK;
}

static tern_status read_tensor(reader *r, tern_wire message, tern_onnx_tensor *t)
{
    tern_wire start = message;
    tern_field field;
    bool more;
    *t = (tern_onnx_tensor){.name = "", .location = ""};
    for (;;) {
        TERN_TRY(tern_wire_next(&message, &field, &more));
        if (!more) break;
        switch (field.number) {
        case 1:
            TERN_TRY(read_dims(&field, &message, &t->shape));
            break;
        case 2:
            t->type = field.value < TERN_ONNX_TYPES ? (int)field.value : TERN_ONNX_TYPES;
            break;
        case 8:
            TERN_TRY(read_text(r, &field, &message, "name of a tensor", &t->name));
            break;
        case 4:
        case 5:
        case 7:
        case 9:
        case 10:
        case 11:
            TERN_TRY(read_elements(&field, &message, t));
            break;
        case 13:
            TERN_TRY(tern_wire_expect(&field, TERN_WIRE_BYTES, &message, "external data"));
            TERN_TRY(read_external(r, field.bytes, t));
            break;
        case 14:
            t->external = field.value == 1;
            break;
        }
    }
    char what[300];
    snprintf(what, sizeof what, "%.100s: tensor \"%.100s\"", r->file, t->name);
    TERN_TRY(tern_shape_check(&t->shape, what));
    if (t->external && !*t->location)
        return tern_wire_fail(&start, "external data of a tensor have no location");
    return TERN_OK;
}

/* ---- attributes and nodes ----------------------------------------------------------------------------------------- */

static tern_status count_numbers(tern_wire message, int *ints, int *floats)
{
    tern_field field;
    bool more;
    int64_t counts[2] = {0};
    for (;;) {
        TERN_TRY(tern_wire_next(&message, &field, &more));
        if (!more) break;
        bool integers = field.number == 8;
        if (!integers && field.number != 7) continue;
        counts[integers] += field.type == TERN_WIRE_BYTES ? packed_count(field.bytes, integers) : 1;
        if (counts[integers] > MOST_NUMBERS)
            return tern_wire_fail(&message, "an attribute of more than 16 million numbers");
    }
    *floats = (int)counts[0];
    *ints = (int)counts[1];
    return TERN_OK;
}

static tern_status read_attribute_field(reader *r, const tern_field *field, const tern_wire *wire,
                                        tern_onnx_attribute *a, int64_t *ints, double *floats)
{
    tern_onnx_tensor *tensor;
    switch (field->number) {
    case 1:
        return read_text(r, field, wire, "name of an attribute", &a->name);
    case 2:
        a->f = real_of((uint32_t)field->value);
        return tern_wire_expect(field, TERN_WIRE_32, wire, "a real attribute");
    case 3:
        a->i = (int64_t)field->value;
        return tern_wire_expect(field, TERN_WIRE_VARINT, wire, "a whole attribute");
    case 4:
        return read_text(r, field, wire, "a text attribute", &a->s);
    case 5:
        TERN_TRY(tern_wire_expect(field, TERN_WIRE_BYTES, wire, "a tensor attribute"));
        tensor = take(r, 1, sizeof *tensor);
        if (!tensor) return tern_no_memory(sizeof *tensor, r->file);
        a->tensor = tensor;
        return read_tensor(r, field->bytes, tensor);
    case 6:
    case 11:
        a->has_graph = true;
        return TERN_OK;
    case 7:
        return add_numbers(field, wire, NULL, floats, &a->float_count);
    case 8:
        return add_numbers(field, wire, ints, NULL, &a->int_count);
    default:
        return TERN_OK;
    }
}

static tern_status read_attribute(reader *r, tern_wire message, tern_onnx_attribute *a)
{
    int int_count = 0, float_count = 0;
    tern_field field;
    bool more;
    TERN_TRY(count_numbers(message, &int_count, &float_count));
    int64_t *ints = take(r, int_count, sizeof *ints);
    double *floats = take(r, float_count, sizeof *floats);
    if (!ints || !floats) return tern_no_memory((size_t)int_count * sizeof *ints, r->file);
    *a = (tern_onnx_attribute){.name = "", .s = "", .ints = ints, .floats = floats};
    for (;;) {
        TERN_TRY(tern_wire_next(&message, &field, &more));
        if (!more) return TERN_OK;
        TERN_TRY(read_attribute_field(r, &field, &message, a, ints, floats));
    }
}

static tern_status read_node(reader *r, tern_wire message, tern_onnx_node *n)
{
    static const uint32_t which[] = {1, 2, 5};
    int counts[3];
    tern_field field;
    bool more;
    TERN_TRY(count_fields(message, which, counts, 3));
    *n = (tern_onnx_node){.name = "", .op = "", .domain = ""};
    n->inputs = take(r, counts[0], sizeof *n->inputs);
    n->outputs = take(r, counts[1], sizeof *n->outputs);
    n->attributes = take(r, counts[2], sizeof *n->attributes);
    if (!n->inputs || !n->outputs || !n->attributes) return tern_no_memory(sizeof *n->attributes, r->file);
    for (;;) {
        TERN_TRY(tern_wire_next(&message, &field, &more));
        if (!more) return TERN_OK;
        if (field.number == 1)
            TERN_TRY(read_text(r, &field, &message, "input of a node", &n->inputs[n->input_count++]));
        if (field.number == 2)
            TERN_TRY(read_text(r, &field, &message, "output of a node", &n->outputs[n->output_count++]));
        if (field.number == 3) TERN_TRY(read_text(r, &field, &message, "name of a node", &n->name));
        if (field.number == 4) TERN_TRY(read_text(r, &field, &message, "operator of a node", &n->op));
        if (field.number == 7) TERN_TRY(read_text(r, &field, &message, "domain of a node", &n->domain));
        if (field.number != 5) continue;
        TERN_TRY(tern_wire_expect(&field, TERN_WIRE_BYTES, &message, "an attribute"));
        TERN_TRY(read_attribute(r, field.bytes, &n->attributes[n->attribute_count++]));
    }
}

/* ---- inputs and outputs ------------------------------------------------------------------------------------------- */

/* The first field of that number in a message, as a message; empty where there is none. */
static tern_status inner(tern_wire message, uint32_t number, tern_wire *found)
{
    tern_field field;
    bool more;
    *found = (tern_wire){message.end, message.end, message.begin, message.file};
    for (;;) {
        TERN_TRY(tern_wire_next(&message, &field, &more));
        if (!more) return TERN_OK;
        if (field.number != number) continue;
        TERN_TRY(tern_wire_expect(&field, TERN_WIRE_BYTES, &message, "type of an input or output"));
        *found = field.bytes;
    }
}

static tern_status read_shape(tern_wire message, tern_shape *shape)
{
    tern_field field, part;
    bool more;
    for (;;) {
        TERN_TRY(tern_wire_next(&message, &field, &more));
        if (!more) return TERN_OK;
        if (field.number != 1) continue;
        TERN_TRY(tern_wire_expect(&field, TERN_WIRE_BYTES, &message, "a dimension"));
        int64_t dim = -1;
        while (field.bytes.at < field.bytes.end) {
            TERN_TRY(tern_wire_next(&field.bytes, &part, &more));
            if (part.number == 1 && part.type == TERN_WIRE_VARINT && (int64_t)part.value > 0)
                dim = (int64_t)part.value;
        }
        TERN_TRY(add_dim(shape, (uint64_t)dim, &message));
    }
}

static tern_status read_value_info(reader *r, tern_wire message, tern_onnx_value_info *v)
{
    tern_wire type, tensor, shape, all = message;
    tern_field field;
    bool more;
    *v = (tern_onnx_value_info){.name = ""};
    for (;;) {
        TERN_TRY(tern_wire_next(&message, &field, &more));
        if (!more) break;
        if (field.number == 1)
            TERN_TRY(read_text(r, &field, &message, "name of an input or output", &v->name));
    }
    TERN_TRY(inner(all, 2, &type));
    TERN_TRY(inner(type, 1, &tensor));
    for (tern_wire t = tensor;;) {
        TERN_TRY(tern_wire_next(&t, &field, &more));
        if (!more) break;
        if (field.number == 1) v->type = field.value < TERN_ONNX_TYPES ? (int)field.value : TERN_ONNX_TYPES;
        if (field.number == 2) v->has_shape = true;
    }
    TERN_TRY(inner(tensor, 2, &shape));
    return read_shape(shape, &v->shape);
}

/* ---- graph and model ------------------------------------------------------------------------------------------------ */

static tern_status read_graph(reader *r, tern_wire message, tern_onnx_graph *g)
{
    static const uint32_t which[] = {1, 5, 11, 12};
    int counts[4];
    tern_field field;
    bool more;
    TERN_TRY(count_fields(message, which, counts, 4));
    *g = (tern_onnx_graph){.name = ""};
    g->nodes = take(r, counts[0], sizeof *g->nodes);
    g->initialisers = take(r, counts[1], sizeof *g->initialisers);
    g->inputs = take(r, counts[2], sizeof *g->inputs);
    g->outputs = take(r, counts[3], sizeof *g->outputs);
    if (!g->nodes || !g->initialisers || !g->inputs || !g->outputs)
        return tern_no_memory((size_t)counts[0] * sizeof *g->nodes, r->file);
    for (;;) {
        TERN_TRY(tern_wire_next(&message, &field, &more));
        if (!more) return TERN_OK;
        if (field.number == 2) TERN_TRY(read_text(r, &field, &message, "name of the graph", &g->name));
        if (field.number == 15)
            return tern_wire_fail(&message, "sparse initialisers, which Tern does not read");
        bool known = field.number == 1 || field.number == 5 || field.number == 11 || field.number == 12;
        if (!known) continue;
        TERN_TRY(tern_wire_expect(&field, TERN_WIRE_BYTES, &message, "a part of the graph"));
        if (field.number == 1) TERN_TRY(read_node(r, field.bytes, &g->nodes[g->node_count++]));
        if (field.number == 5)
            TERN_TRY(read_tensor(r, field.bytes, &g->initialisers[g->initialiser_count++]));
        if (field.number == 11) TERN_TRY(read_value_info(r, field.bytes, &g->inputs[g->input_count++]));
        if (field.number == 12) TERN_TRY(read_value_info(r, field.bytes, &g->outputs[g->output_count++]));
    }
}

/* The version of the standard operators; other domains are named where a node needs them. */
static tern_status read_opset(reader *r, tern_wire message, int64_t *opset)
{
    const char *domain = "";
    int64_t version = 0;
    tern_field field;
    bool more;
    for (;;) {
        TERN_TRY(tern_wire_next(&message, &field, &more));
        if (!more) break;
        if (field.number == 1) TERN_TRY(read_text(r, &field, &message, "domain of operators", &domain));
        if (field.number == 2) version = (int64_t)field.value;
    }
    if (!*domain || strcmp(domain, "ai.onnx") == 0) *opset = version;
    return TERN_OK;
}

tern_status tern_onnx_read(tern_arena *arena, const void *bytes, size_t count, const char *name,
                           tern_onnx_file *file)
{
    static const uint8_t nothing[1];
    const uint8_t *begin = bytes ? bytes : nothing;
    reader r = {arena, name};
    tern_wire message = {begin, begin + count, begin, name}, graph = {0};
    tern_field field;
    bool more;
    *file = (tern_onnx_file){.name = name, .producer = ""};
    for (;;) {
        TERN_TRY(tern_wire_next(&message, &field, &more));
        if (!more) break;
        if (field.number == 1) file->ir_version = (int64_t)field.value;
        if (field.number == 2)
            TERN_TRY(read_text(&r, &field, &message, "name of the producer", &file->producer));
        if (field.number == 25) file->has_functions = true;
        if (field.number != 7 && field.number != 8) continue;
        TERN_TRY(tern_wire_expect(&field, TERN_WIRE_BYTES, &message, "the graph or the operator set"));
        if (field.number == 8) TERN_TRY(read_opset(&r, field.bytes, &file->opset));
        if (field.number == 7 && graph.at) return tern_wire_fail(&message, "a second graph");
        if (field.number == 7) graph = field.bytes;
    }
    if (!graph.at || !file->opset)
        return tern_wire_fail(&message,
                              !graph.at ? "the file has no graph" : "the file names no operator set");
    return read_graph(&r, graph, &file->graph);
}
