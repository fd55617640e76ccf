/* What an ONNX file says, as plain structs: the messages of onnx.proto (github.com/onnx/onnx, IR versions 3 to 12) that
 * inference needs.  Texts are copies in the file's arena; elements of tensors stay where they are in the file. */
#ifndef TERN_ONNX_PROTO_H
#define TERN_ONNX_PROTO_H

#include "onnx/wire.h"
#include "tensor/tensor.h"

/* Element types, numbered as TensorProto.DataType does. */
typedef enum tern_onnx_type {
    TERN_ONNX_NONE,
    TERN_ONNX_FLOAT,
    TERN_ONNX_UINT8,
    TERN_ONNX_INT8,
    TERN_ONNX_UINT16,
    TERN_ONNX_INT16,
    TERN_ONNX_INT32,
    TERN_ONNX_INT64,
    TERN_ONNX_STRING,
    TERN_ONNX_BOOL,
    TERN_ONNX_FLOAT16,
    TERN_ONNX_DOUBLE,
    TERN_ONNX_UINT32,
    TERN_ONNX_UINT64,
    TERN_ONNX_BFLOAT16 = 16,
    TERN_ONNX_TYPES
} tern_onnx_type;

/* A tensor: elements as raw bytes, as packed fields of its type, or in a file beside this one. */
typedef struct tern_onnx_tensor {
    const char *name; /* "" where it has none */
    int type;
    tern_shape shape;
    tern_wire raw, packed; /* at most one is not empty */
    uint32_t packed_field; /* number of the field that holds `packed` */
    bool external;
    const char *location; /* external: a path relative to the model's folder */
    uint64_t offset, length;
    bool has_length;
} tern_onnx_tensor;

typedef struct tern_onnx_attribute {
    const char *name;
    int64_t i;
    double f;
    const char *s;
    const int64_t *ints;
    const double *floats;
    int int_count, float_count;
    const tern_onnx_tensor *tensor;
    bool has_graph; /* a body: control flow */
} tern_onnx_attribute;

typedef struct tern_onnx_node {
    const char *name, *op, *domain;
    const char **inputs, **outputs; /* "": absent */
    int input_count, output_count;
    tern_onnx_attribute *attributes;
    int attribute_count;
} tern_onnx_node;

/* An input or output.  dim -1: not said. */
typedef struct tern_onnx_value_info {
    const char *name;
    int type;
    bool has_shape;
    tern_shape shape;
} tern_onnx_value_info;

typedef struct tern_onnx_graph {
    const char *name;
    tern_onnx_node *nodes;
    tern_onnx_tensor *initialisers;
    tern_onnx_value_info *inputs, *outputs;
    int node_count, initialiser_count, input_count, output_count;
} tern_onnx_graph;

typedef struct tern_onnx_file {
    const char *name; /* of the file, for messages */
    int64_t ir_version, opset;
    const char *producer;
    tern_onnx_graph graph;
    bool has_functions;
} tern_onnx_file;

/* Reads a file in memory, which must outlive what is read.  Everything is checked: lengths, counts, shapes, that there is one
 * graph, one operator set and nothing sparse. */
tern_status tern_onnx_read(tern_arena *arena, const void *bytes, size_t count, const char *name,
                           tern_onnx_file *file);

/* "float", "int64", ..: for messages. */
const char *tern_onnx_type_name(int type);

#endif
