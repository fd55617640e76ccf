/* How nodes of an ONNX graph become nodes of a Tern graph.  Each ONNX operator has a function that makes its outputs from its
 * inputs; functions are listed in table.c.
 *
 * A function is called with values of the net's graph, or, where all inputs are known numbers (shapes, indices), with
 * constants of a scratch graph, whose result is computed at once: so formulas over shapes need no code of their own.
 * In a graph all values are f32; that is exact for the whole numbers up to 2^24 that indices are. */
#ifndef TERN_ONNX_IMPORT_H
#define TERN_ONNX_IMPORT_H

#include "onnx/model.h"
#include "op/op.h"

/* An input or output of a node: in a graph, or known, or (an initialiser) both when asked for. */
typedef struct tern_onnx_operand {
    const char *name;
    int type; /* tern_onnx_type */
    tern_shape shape;
    tern_value value;
    const double *known;            /* its elements; NULL: not known while reading */
    const tern_onnx_tensor *tensor; /* of an initialiser or a Constant */
} tern_onnx_operand;

enum { TERN_ONNX_MOST = 64 }; /* inputs or outputs of a node */

typedef struct tern_onnx_call {
    tern_onnx *model;
    tern_graph *graph;
    tern_arena *arena; /* of what is known */
    const tern_onnx_node *node;
    int64_t opset;
    bool computing; /* in a scratch graph, of f64 */
    int nin, nout;
    tern_onnx_operand in[TERN_ONNX_MOST], out[TERN_ONNX_MOST];
} tern_onnx_call;

typedef tern_status tern_onnx_function(tern_onnx_call *call);

/* A row of the table. */
typedef struct tern_onnx_row {
    const char *op;
    tern_onnx_function *function;
    int least, most; /* inputs */
} tern_onnx_row;
const tern_onnx_row *tern_onnx_find_operator(const char *op); /* NULL: Tern has it not */

/* ---- what functions ask for ------------------------------------------------------------------------------------------ */

/* "FILE: node "N" (Op): ..." */
tern_status tern_onnx_fail(const tern_onnx_call *call, const char *format, ...) TERN_PRINTF(2, 3);

int64_t tern_onnx_int(const tern_onnx_call *call, const char *name, int64_t standard);
double tern_onnx_real(const tern_onnx_call *call, const char *name, double standard);
const char *tern_onnx_text(const tern_onnx_call *call, const char *name, const char *standard);
/* NULL, and *count 0, where there is no such attribute. */
const int64_t *tern_onnx_ints(const tern_onnx_call *call, const char *name, int *count);

bool tern_onnx_has(const tern_onnx_call *call, int input); /* given, and not "" */
/* Input i in the graph: initialisers become parameters, what is known a constant. */
tern_value tern_onnx_in(tern_onnx_call *call, int input);
/* The numbers of input i, which must be known; at most `most` where that is above 0. */
tern_status tern_onnx_known(tern_onnx_call *call, int input, const char *what, const double **numbers,
                            int *count);
/* The same as whole numbers, from input i or, where that is not there, from the attribute `what`: *count -1 where neither is. */
tern_status tern_onnx_list(tern_onnx_call *call, int input, const char *what, int64_t out[TERN_ONNX_MOST],
                           int *count);
/* An axis, counted from behind where negative; fails outside 0 .. rank-1. */
tern_status tern_onnx_axis(const tern_onnx_call *call, int64_t axis, int rank, int *out);

/* The first output: a value of the graph, with the type of in[0]. */
tern_status tern_onnx_give(tern_onnx_call *call, tern_value value);
tern_status tern_onnx_give_typed(tern_onnx_call *call, tern_value value, int type);
/* The first output is known: `count` numbers of that shape, which are copied. */
tern_status tern_onnx_give_known(tern_onnx_call *call, int type, tern_shape shape, const double *numbers);

/* Elements index[count] along an axis, in that order (all in range). */
tern_value tern_onnx_pick(tern_onnx_call *call, tern_value x, int axis, const int64_t *index, int64_t count);
/* Numbers as a constant that fits the graph. */
tern_value tern_onnx_constant(tern_onnx_call *call, tern_shape shape, const double *numbers);
/* Elements `before` and `behind` along an axis, all of them `fill`. */
tern_value tern_onnx_surround(tern_onnx_call *call, tern_value x, int axis, int64_t before, int64_t behind,
                              double fill);

/* ---- the functions, by file ------------------------------------------------------------------------------------------- */
extern const tern_onnx_row tern_onnx_element_rows[], tern_onnx_image_rows[], tern_onnx_place_rows[],
    tern_onnx_product_rows[];

#endif
