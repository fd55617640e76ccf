/* Mixtures of experts: which of them a row goes through, and products with their weights. */
#ifndef TERN_OP_EXPERTS_H
#define TERN_OP_EXPERTS_H

#include "graph/graph.h"

/* The `count` largest elements of each row, largest first, the first of equal ones first: x [S,E] -> values [S,count], and in
 * *index their places [S,count] (i32). */
tern_value tern_top(tern_graph *graph, tern_value x, int count, tern_value *index);

/* Row c of x meets the weight of expert index[s,c]: x [S,C,K], or [S,K] for all c, weight [E,N,K] (f32, halves or packed),
 * index [S,C] i32 -> [S,C,N]; an index outside gives zeros. */
tern_value tern_linear_experts(tern_graph *graph, tern_value x, tern_value index, tern_value weight);

#endif
