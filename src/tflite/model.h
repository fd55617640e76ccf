/* A TFLite file that is open. */
#ifndef TERN_TFLITE_MODEL_H
#define TERN_TFLITE_MODEL_H

#include "tflite/flat.h"
#include "tflite/tflite.h"

/* Types of elements, by their numbers in the schema. */
enum {
    TERN_TFLITE_F32 = 0,
    TERN_TFLITE_I32 = 2,
    TERN_TFLITE_I64 = 4,
    TERN_TFLITE_I16 = 7,
    TERN_TFLITE_I8 = 9
};

typedef struct tern_tflite_tensor {
    const char *name;
    int type;
    tern_shape shape;
    tern_flat_vector bytes;  /* of constants; count 0: it is computed */
    tern_flat_vector scales; /* floats; count 0: not quantised */
    tern_flat_vector zeros;  /* of 64 bits */
    int axis;                /* along which there are several scales */
    double scale;            /* the first */
    int zero;
    bool variable; /* kept from run to run */
} tern_tflite_tensor;

enum { TERN_TFLITE_MOST = 64 }; /* inputs or outputs of an operator */

typedef struct tern_tflite_operator {
    int code, version;
    const char *custom; /* the name of an operator of the user's own; "" */
    tern_flat_table options;
    int *inputs, *outputs; /* tensors; -1: absent */
    int input_count, output_count;
    tern_flat_vector intermediates;
} tern_tflite_operator;

/* Where a parameter of the graph comes from. */
typedef struct tern_tflite_parameter {
    const char *name;
    tern_dtype dtype;
    tern_shape shape;
    int tensor, bias;            /* weights; of biases in bytes the tensor of the bias, -1: none */
    int kind;                    /* a tern_tflite_kind */
    int zero;                    /* of what is multiplied */
    int64_t channels, places;    /* of TERN_TFLITE_FLAT */
    double number;               /* of TERN_TFLITE_NUMBER */
    const void *numbers;         /* of TERN_TFLITE_NUMBERS */
    int stack[4], stack_bias[4]; /* of TERN_TFLITE_STACK..: tensors of weights, and of biases or -1 */
} tern_tflite_parameter;

typedef enum tern_tflite_kind {
    TERN_TFLITE_PLAIN,      /* the elements as they are */
    TERN_TFLITE_FILTERS,    /* [O,H,W,C] -> [O,C,H,W] */
    TERN_TFLITE_PLANES,     /* [1,H,W,O] -> [O,1,H,W] */
    TERN_TFLITE_FLAT,       /* [O,places,channels] -> [O,channels,places] */
    TERN_TFLITE_BIAS,       /* of bytes: bias - zero times the sum of each row of the weights */
    TERN_TFLITE_UPPER,      /* upper halves of a bias of 64 bits */
    TERN_TFLITE_NUMBER,     /* one number */
    TERN_TFLITE_NUMBERS,    /* as many as its shape says, of its type */
    TERN_TFLITE_STACK,      /* four matrices, one below the other */
    TERN_TFLITE_STACK_BIAS, /* biases of theirs, as of TERN_TFLITE_BIAS */
    TERN_TFLITE_STACK_UPPER /* as of TERN_TFLITE_UPPER */
} tern_tflite_kind;

struct tern_tflite {
    tern_flat flat;
    tern_arena arena;
    const void *map;
    size_t map_count;
    bool mapped;
    const char *description;
    int64_t version;
    tern_tflite_tensor *tensors;
    int tensor_count;
    tern_tflite_operator *operators;
    int operator_count;
    int input;
    bool image_first; /* the input comes as [N,C,H,W] */
    double beta;      /* of a softmax that was left out behind the output; 0: there was none */
    int *outputs, output_count;
    tern_tflite_parameter *parameters; /* what the last graph that was built reads */
    int parameter_count, parameter_capacity;
    tern_tensor *copies;
    int copy_count;
    tern_net net;
    char name[64], doc[160];
};

typedef struct tern_tflite_parameters_struct {
    tern_tflite *model;
} tern_tflite_parameters_struct;

/* Fills the fields above from the bytes. */
tern_status tern_tflite_read(tern_tflite *model);
/* Names every operator that Tern has not. */
tern_status tern_tflite_check_operators(const tern_tflite *model);
/* The graph of the file on the input; adds outputs behind the first.  Errors are kept in the graph. */
tern_value tern_tflite_build(tern_tflite *model, tern_graph *graph, tern_value image);

/* Element i of a constant tensor of any type that is read. */
double tern_tflite_number(const tern_tflite_tensor *tensor, int64_t i);
/* Scale and zero of element i along the axis of scales. */
double tern_tflite_scale_at(const tern_tflite_tensor *tensor, int64_t i);

#endif
