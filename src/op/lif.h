/* Arguments of the operator lif and the one definition of the surrogates. */
#ifndef TERN_LIF_H
#define TERN_LIF_H

#include "graph/graph.h"

/* u = v_reset + decay (v - v_reset) + gain x;  z = u - threshold, or u/threshold - 1 when normalised. */
typedef struct tern_lif_op {
    double decay, gain, threshold, v_reset;
    int reset;     /* tern_reset */
    int surrogate; /* tern_surrogate */
    double alpha;
    bool detach_reset, strict, normalised;
    int timesteps; /* steps when x is static [1,..]; else 0 */
    int truncate;
} tern_lif_op;

/* Names of tern_reset and tern_surrogate, NULL at the end. */
extern const char *const tern_reset_names[], *const tern_surrogate_names[];

/* Derivative of the surrogate at z. */
double tern_surrogate_slope(tern_surrogate surrogate, double alpha, double z);

#endif
