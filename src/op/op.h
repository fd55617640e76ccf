/* op: the operator families, one file each, and the table of all of them.
 *
 * To add an operator: write its record in a file of this folder and add one line to TERN_OPERATORS.  Nothing else
 * changes: the planner, the executor, the cost model, the emitter and the tests read the table. */
#ifndef TERN_OP_H
#define TERN_OP_H

#include "graph/gradient.h"
#include "graph/graph.h"
#include "kernel/kernel.h"
#include "op/table.h"

#define TERN_DECLARE_OP(name) extern const tern_op tern_op_##name;
TERN_OPERATORS(TERN_DECLARE_OP)
#undef TERN_DECLARE_OP

extern const tern_op *const tern_operators[]; /* all of them, in the order of the table, NULL at the end */
const tern_op *tern_operator_find(const char *name);

extern const tern_gradient_ops tern_default_gradient_ops;

/* Compute once what does not change over time (hoist.c).  Before gradients, so that they profit too. */
tern_status tern_pass_hoist(const tern_graph *from, tern_graph **to);

/* Element-wise operators one behind the other become one node, which reads and writes memory once (fuse.c).  Behind gradients:
 * a fused node has none. */
tern_status tern_pass_fuse(const tern_graph *from, tern_graph **to);

/* Batch norms of an inference graph become part of the weights before them (fold_norm.c). */
tern_status tern_pass_fold_norm(const tern_graph *from, tern_graph **to);

/* Depthwise convolutions (a filter a channel) become group convolutions (regroup.c): parameters keep their names, weights
 * [C,1,k,k] become [C,group,k,k].  Behind building, before gradients and folding. */
tern_status tern_pass_regroup(const tern_graph *from, const tern_regroup *how, tern_graph **to);
int tern_depthwise_layers(const tern_graph *graph);
/* The weight of a depthwise layer as that of its group convolution: its taps, and zeros between, so that the layer computes
 * what it did.  grouped [C,group,k,k] is written. */
void tern_regroup_weight(const tern_tensor *depthwise, const tern_tensor *grouped);

/* ---- helpers that the families share -------------------------------------------------------------------- */

/* Argument struct of a call, typed. */
#define TERN_ARGS(type, call) ((const type *)(call)->args)

/* Numpy-style broadcast of two shapes into *out; false when they do not go together. */
bool tern_broadcast(const tern_shape *a, const tern_shape *b, tern_shape *out);

/* Index in a tensor of shape `from` of element i of its broadcast to shape `to`. */
int64_t tern_broadcast_index(const tern_shape *to, const tern_shape *from, int64_t i);

/* Sum `value` down to `shape` (gradient of a broadcast); `value` itself when the shapes are equal. */
tern_value tern_sum_to(tern_graph *graph, tern_value value, tern_shape shape);

/* Arguments of the convolutions. */
typedef struct tern_conv_op {
    int stride, pad, dilation, groups;
    tern_shape like;              /* gradients: shape of the result */
    bool exact;                   /* sums of whole numbers stay whole: no transforms that round */
    int top, left, bottom, right; /* conv2d_int8: borders of their own, beside pad */
} tern_conv_op;
/* Geometry from the shapes of x [..,C,H,W] and W [Cout,C/groups,KH,KW] (conv_shape.c). */
tern_conv tern_conv_geometry(const tern_shape *x, const tern_shape *w, const tern_conv_op *args);
/* Shape of the result of in[0] and in[1]; fails when these, or a bias in[2], do not go with the arguments. */
tern_status tern_conv_shape(const tern_infer *types, tern_shape *y);
/* Fails unless a convolution of shape x with w gives y. */
tern_status tern_conv_check_fit(const tern_infer *types, const tern_shape *x, const tern_shape *w,
                                const tern_shape *y);

/* Reductions over neighbouring axes: the shape that is left of in[0], and x as [outer, length, inner]. */
typedef struct tern_reduce_view {
    int64_t outer, length, inner;
} tern_reduce_view;
tern_status tern_reduced_shape(tern_infer *types, tern_shape *shape);
tern_reduce_view tern_reduce_view_of(const tern_shape *x, const tern_reduce_args *args);

/* The first `count` elements of an axis: x itself where those are all. */
tern_value tern_leading(tern_graph *graph, tern_value x, int axis, int64_t count);

/* One-input, one-output node without arguments. */
tern_value tern_apply1(tern_graph *graph, const tern_op *op, tern_value x);
tern_value tern_apply2(tern_graph *graph, const tern_op *op, tern_value a, tern_value b);

/* Work of operators that move bytes and compute nothing, of those that compute once for each element of their first output or
 * of their first input, and of those that take an exponential or a logarithm for each element of their first input. */
void tern_no_work(const tern_call *call, tern_work *work);
void tern_work_outputs(const tern_call *call, tern_work *work);
void tern_work_inputs(const tern_call *call, tern_work *work);
void tern_special_inputs(const tern_call *call, tern_work *work);

/* Whether every input is f32, which is all that many fast kernels ask for. */
bool tern_all_f32(const tern_call *call);

/* How many spikes an element stands for: k of k/levels. */
static inline double tern_spikes_of(int levels, double element)
{
    return (double)(int64_t)(levels * element + 0.5);
}

/* Work of a product in which each element of in[operand] meets `fan_out` weights: multiply-accumulates, or, where the
 * operand is spikes, accumulates for the ones only (counted when data are there, from density else); in[0] may hold
 * several spikes an element (call->levels). */
void tern_work_product(const tern_call *call, int operand, double elements, double fan_out, tern_work *work);

/* ---- what emit functions share (write.c) ------------------------------------------------------------------ */

/* "(double)in2[<index>]", of bits "get_bit(in2, <index>)". */
typedef struct tern_written {
    char text[160];
} tern_written;
tern_written tern_write_read(const tern_call *call, int in, const char *index);

/* Begins and ends the loops over a shape: i0 runs along its first axis. */
void tern_write_loops(tern_emit *to, const tern_shape *shape);
void tern_write_end(tern_emit *to);
/* "i0 * 784 + i2": the element of a tensor of shape `from` (broadcast to the loops) at the loops' place. */
tern_written tern_write_place(const tern_shape *from, const tern_shape *loops);
/* Bits of an output to 0; floats are left alone. */
void tern_write_clear(tern_emit *to, const tern_call *call, int out);
/* out0 at each place is in0 at the element `from`, an expression over the loops. */
void tern_write_copy(tern_emit *to, const tern_call *call, const char *from);
/* Body of an operator that works element by element: `expression` over x[] and a->p, a->q is its definition. */
tern_status tern_write_element(const tern_call *call, tern_emit *to, const char *expression);

#endif
