/* quant: quantisers as passes over graphs. */
#ifndef TERN_QUANT_H
#define TERN_QUANT_H

#include "graph/graph.h"

/* A delta activation layer (tern_delta) before each convolution and linear layer of a net without spikes, on what it reads;
 * other readers behind it see the quantised values too. */
tern_status tern_pass_insert_delta(const tern_graph *from, const tern_delta_args *layer, tern_graph **to);

/* Sum over the delta layers of a graph, [1], of fan-out times mean |y_t - y_(t-1)| (values: |y|); axis 0 of activations is
 * [steps] or [steps B].  Fan-out: the weights that a neuron meets away from borders, 9 before a depthwise 3x3 convolution.
 * The empty value when the graph has no delta layer. */
tern_value tern_delta_penalty(tern_graph *graph, int steps, bool values);

/* An inference graph of one frame, axis 0 a batch of clips, whose products that read a delta layer multiply changes only
 * (op/delta_infer.c).  It has one more input "fresh" (i32 [1]): not 0 where a clip begins.  Each delta layer L has a state
 * "<L>.levels", each product P a state "<P>.sums" and an output "<P>.multiplications" (f64 [1]). */
typedef struct tern_delta_form {
    bool integer; /* weights of 8 bits, sums of 32: exact for ever; else floats, which drift */
    bool dense;   /* multiply all operands, zeros too: what is saved is measured against this */
} tern_delta_form;
tern_status tern_pass_delta_form(const tern_graph *from, const tern_delta_form *form, tern_graph **to);

#endif
