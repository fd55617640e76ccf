/* Recurrence: a body graph that is run once for each time step. */
#ifndef TERN_SCAN_H
#define TERN_SCAN_H

#include "graph/graph.h"

/* The body describes one step.  Its inputs are, in the order in which they were made, first `slices` that are cut from
 * values [T,..], then constants; its states are what a step leaves for the next; its outputs are first `stacked` ones
 * [1,..] that become [T,..], then ones that are summed over the steps.
 *
 * `other`, if any, has the same inputs, parameters, states and outputs; it runs where the mask [T] is 0.  `chosen` says
 * how many steps run the body then (for the account of work).
 *
 * Gradients flow back through the states over `truncate` steps (0: all; 1: no state carries a gradient).  Only the
 * states of each step are kept: the rest of a step is computed again on the way back. */
typedef struct tern_scan_op {
    tern_graph *body, *other;
    int steps, slices, stacked, chosen, truncate;
    bool reverse; /* from the last step to the first */
} tern_scan_op;

/* Run a body over time.  inputs[count] are the body's; its parameters and kept states become those of `graph`, of the
 * same names; its other states begin with their initial values.  mask may be the empty value.  out receives one value
 * for each output of the body, then the last content of each state.  The body stays the caller's to close. */
tern_value tern_scan(tern_graph *graph, const tern_scan_op *args, const tern_value *inputs, int count,
                     tern_value mask, tern_value *out);

tern_status tern_scan_grad(tern_grad *grad); /* scan_grad.c */

#endif
