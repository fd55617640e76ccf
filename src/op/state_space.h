/* What a selective state space keeps of the tokens before (Gu and Dao, Mamba, arXiv 2312.00752): a short convolution and a scan, both
 * with a state that goes from call to call. */
#ifndef TERN_OP_STATE_SPACE_H
#define TERN_OP_STATE_SPACE_H

#include "graph/graph.h"

/* x [S,I], weight [I,K], bias [I], state [K-1,I] -> y [S,I]; *next [K-1,I]: the last rows of what was read.
 * y[s,i] = bias[i] + sum over k of weight[i,k] x[s - K + 1 + k, i], rows before the first being those of the state. */
tern_value tern_causal_conv(tern_graph *graph, tern_value x, tern_value weight, tern_value bias,
                            tern_value state, tern_value *next);

/* x, dt [S,I], a [I,N], b, c [S,N], d [I], state h [I,N] -> y [S,I]; *next [I,N].  Token by token:
 * h[i,n] = exp(dt[i] a[i,n]) h[i,n] + dt[i] b[n] x[i]; y[i] = sum over n of c[n] h[i,n] + d[i] x[i]. */
tern_value tern_selective_scan(tern_graph *graph, tern_value x, tern_value dt, tern_value a, tern_value b,
                               tern_value c, tern_value d, tern_value state, tern_value *next);

#endif
