/* An ONNX file that is open, and the elements of its tensors. */
#ifndef TERN_ONNX_MODEL_H
#define TERN_ONNX_MODEL_H

#include "onnx/onnx.h"
#include "onnx/proto.h"

struct tern_onnx {
    tern_onnx_file file;
    tern_arena arena;
    char *folder; /* of external data; NULL: there can be none */
    const void *bytes;
    size_t count;
    bool mapped;
    struct tern_onnx_map {
        const char *path;
        const void *bytes;
        size_t count;
    } * maps; /* external files that are open */
    int map_count, map_capacity;
    tern_tensor *copies; /* initialisers that could not be views */
    int copy_count, copy_capacity;
    int input; /* the one that is no initialiser */
    tern_net net;
    char name[64], doc[160];
};

/* What net.build is given. */
typedef struct tern_onnx_parameters_struct {
    tern_onnx *model;
} tern_onnx_parameters_struct;

/* Elements of a tensor as doubles: out[elements]. */
tern_status tern_onnx_numbers(tern_onnx *model, const tern_onnx_tensor *tensor, double *out);

/* Whether a tensor is of numbers with fractions: such initialisers are parameters. */
bool tern_onnx_is_real(int type);
/* Whether an initialiser is a parameter of the net, and no constant of a formula. */
bool tern_onnx_is_parameter(const tern_onnx_tensor *tensor);

/* The value of attribute "value" of a Constant node as a tensor, or NULL. */
const tern_onnx_tensor *tern_onnx_constant_of(const tern_onnx_node *node);

/* Builds the graph of the file on the input; adds outputs behind the first.  Errors are kept in the graph. */
tern_value tern_onnx_build(tern_onnx *model, tern_graph *graph, tern_value image);

/* Names every operator of the file that Tern has not. */
tern_status tern_onnx_check_operators(const tern_onnx *model);

#endif
