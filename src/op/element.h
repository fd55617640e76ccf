/* What all operators that work element by element have in common: numpy-style broadcasting, formats (f64 if an operand is
 * f64, else f32), work (one operation an element), the loop over the definition and the pass over the fast one.  Such an
 * operator is then one line of arithmetic.c or unary.c. */
#ifndef TERN_OP_ELEMENT_H
#define TERN_OP_ELEMENT_H

#include "op/op.h"

/* Constants of an operator; each calls them by its own names. */
typedef struct tern_element_args {
    double p, q;
} tern_element_args;

tern_status tern_element_infer(tern_infer *types);

/* The definition, applied to each element: x[i] is operand i, a the operator's constants (NULL without). */
typedef double tern_element_definition(const double *x, const tern_element_args *a);
void tern_element_define(const tern_call *call, tern_element_definition *f);

/* The operator's vector loop, where operands are f32 or bits. */
bool tern_element_matches(const tern_call *call);
void tern_element_fast(const tern_call *call);

/* The record of an operator: its definition is the expression over x[] and a, its loop TERN_ELEMENT_<kind>. */
#define TERN_ELEMENT_OP(name_, doc_, kind_, inputs_, args_, size_, inplace_, grad_, expression)              \
    static double name_##_of(const double *x, const tern_element_args *a)                                    \
    {                                                                                                        \
        (void)a;                                                                                             \
        return expression;                                                                                   \
    }                                                                                                        \
    static void name_##_run(const tern_call *call)                                                           \
    {                                                                                                        \
        tern_element_define(call, name_##_of);                                                               \
    }                                                                                                        \
    static tern_status name_##_emit(const tern_call *call, tern_emit *to)                                    \
    {                                                                                                        \
        return tern_write_element(call, to, #expression);                                                    \
    }                                                                                                        \
    const tern_op tern_op_##name_ = {                                                                        \
        .name = #name_,                                                                                      \
        .doc = doc_,                                                                                         \
        .args = args_,                                                                                       \
        .args_size = size_,                                                                                  \
        .flags = TERN_OP_ELEMENTWISE,                                                                        \
        .inputs = inputs_,                                                                                   \
        .element = kind_,                                                                                    \
        .inplace = {inplace_},                                                                               \
        .infer = tern_element_infer,                                                                         \
        .grad = grad_,                                                                                       \
        .work = tern_work_outputs,                                                                           \
        .run = name_##_run,                                                                                  \
        .fast = tern_element_kernels,                                                                        \
        .emit = name_##_emit,                                                                                \
    };
extern const tern_fast tern_element_kernels[];

/* Strides of an operand of shape `from` in a pass over the shape `to`. */
tern_element_operand tern_element_operand_of(const tern_tensor *x, const tern_shape *to);

#endif
