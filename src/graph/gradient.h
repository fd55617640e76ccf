/* The general form of tern_gradients, for operators that differentiate a body graph (scan). */
#ifndef TERN_GRADIENT_H
#define TERN_GRADIENT_H

#include "graph/graph.h"

/* The one operator that autodiff itself needs: the sum of two gradients of the same type. */
typedef struct tern_gradient_ops {
    tern_value (*add)(tern_graph *graph, tern_value a, tern_value b);
} tern_gradient_ops;

/* d(sum_i seeds[i] * roots[i]) / d wrt, appended to the graph.  seeds[i] has the type of roots[i]; empty seeds are
 * skipped.  grads[i] is the empty value where nothing depends on wrt[i]. */
tern_status tern_gradients_seeded(tern_graph *graph, const tern_value *roots, const tern_value *seeds,
                                  int root_count, const tern_value *wrt, int count, tern_value *grads,
                                  const tern_gradient_ops *ops);

#endif
