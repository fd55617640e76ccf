/* How operators of a file become operators of Tern: a function each, in tables by family. */
#ifndef TERN_TFLITE_IMPORT_H
#define TERN_TFLITE_IMPORT_H

#include "op/int16.h"
#include "tflite/model.h"

/* A tensor in the graph: its shape is that of the file, but for the batch, and its elements are there in one order or
 * several.  An image has four axes. */
typedef struct tern_tflite_value {
    tern_shape shape;
    tern_value plain; /* [N,H,W,C], as the file has it; every tensor can be had so */
    tern_value image; /* [N,C,H,W] */
    tern_value flat;  /* [N,C H W] of an image whose channels and places are these */
    int64_t channels, places;
    int inner; /* 1 + the tensor that it is with a border of zeros, which no value has yet; 0: none */
    int top, left, bottom, right; /* that border */
} tern_tflite_value;

typedef struct tern_tflite_call tern_tflite_call;
typedef tern_status tern_tflite_function(tern_tflite_call *call);

/* A row of the table. */
typedef struct tern_tflite_row {
    int code;
    const char *name, *layer; /* of the schema, and of the layers that it becomes */
    tern_tflite_function *function;
    int least, most; /* inputs */
} tern_tflite_row;
const tern_tflite_row *tern_tflite_find_operator(int code); /* NULL: Tern has it not */

/* An operator that is being added to a graph. */
struct tern_tflite_call {
    tern_tflite *model;
    tern_graph *graph;
    const tern_tflite_operator *op;
    const tern_tflite_row *row;
    int64_t batch, file_batch; /* samples at once, and in the file */
    tern_tflite_value *values; /* [tensors] */
};

/* "FILE: operator N (NAME): ..." */
tern_status tern_tflite_fail(const tern_tflite_call *call, const char *format, ...) TERN_PRINTF(2, 3);

/* What the file says about input or output i; NULL: it is not there. */
const tern_tflite_tensor *tern_tflite_in(const tern_tflite_call *call, int i);
const tern_tflite_tensor *tern_tflite_out(const tern_tflite_call *call, int i);
/* Options: whole numbers of one and four bytes. */
int tern_tflite_byte(const tern_tflite_call *call, int field);
int tern_tflite_whole(const tern_tflite_call *call, int field, int standard);

/* Input i as a value of the graph, in the order of the file, or, of images, channels first; constants become parameters. */
tern_value tern_tflite_plain(tern_tflite_call *call, int i);
tern_value tern_tflite_image(tern_tflite_call *call, int i);
tern_shape tern_tflite_shape(const tern_tflite_call *call, int i);
tern_tflite_value *tern_tflite_value_of(const tern_tflite_call *call, int i);
/* Whether input i is there channels first already. */
bool tern_tflite_is_image(const tern_tflite_call *call, int i);

/* Output i, in either order. */
tern_status tern_tflite_give(tern_tflite_call *call, int i, tern_value plain);
tern_status tern_tflite_give_image(tern_tflite_call *call, int i, tern_value image);

/* The numbers of a constant input, at most `most`. */
tern_status tern_tflite_numbers(const tern_tflite_call *call, int i, const char *what, int64_t *out, int most,
                                int *count);

/* A parameter of the layer: its contents are filled in by tern_tflite_weights. */
tern_value tern_tflite_parameter_of(tern_tflite_call *call, const char *what,
                                    tern_tflite_parameter parameter);
/* Constants. */
tern_value tern_tflite_words(tern_tflite_call *call, int count, const int32_t *numbers);
tern_value tern_tflite_bytes(tern_tflite_call *call, int count, const int8_t *numbers);
tern_value tern_tflite_shorts(tern_tflite_call *call, int count, const int16_t *numbers);

/* What a layer's steps of learning follow from, "<layer>.<what>": a parameter of a net that learns (tern_tflite_learn), else a
 * constant.  note: one that the graph does not read. */
tern_value tern_tflite_fixed(tern_tflite_call *call, const char *what, tern_dtype dtype, int count,
                             const void *numbers);
void tern_tflite_note(tern_tflite_call *call, const char *what, tern_dtype dtype, int count,
                      const void *numbers);

/* What input 0 and output 0 are; an error where they differ, or are none of these. */
typedef enum tern_tflite_form { TERN_TFLITE_FLOATS, TERN_TFLITE_BYTES, TERN_TFLITE_SHORTS } tern_tflite_form;
tern_status tern_tflite_form_of(const tern_tflite_call *call, tern_tflite_form *form);
/* The same of operators that do not take 16 bits. */
tern_status tern_tflite_kind_of(const tern_tflite_call *call, bool *bytes);
/* The whole numbers that an activation (of the schema) limits output 0 to. */
tern_status tern_tflite_limits(const tern_tflite_call *call, int activation, int32_t *low, int32_t *high);
/* The activation behind a value of floats. */
tern_value tern_tflite_activate(const tern_tflite_call *call, int activation, tern_value x);

/* A function of bytes from input 0 to output 0, by its table. */
tern_status tern_tflite_by_table(tern_tflite_call *call, const int8_t table[256]);

/* Which element of the file's tensor is element i of a parameter [O,C,H,W]. */
int64_t tern_tflite_source_of(const tern_tflite_parameter *parameter, int64_t i);

extern const tern_tflite_row tern_tflite_product_rows[], tern_tflite_element_rows[], tern_tflite_image_rows[],
    tern_tflite_place_rows[], tern_tflite_recurrent_rows[];

#endif
