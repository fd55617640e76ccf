/* The transport problem, exactly: what it costs to bring supplies to demands. */
#ifndef TERN_BASE_TRANSPORT_H
#define TERN_BASE_TRANSPORT_H

#include "base/base.h"

enum { TERN_TRANSPORT_MOST = 64 };

/* The least sum of flow[i][j] cost[i m + j] with rows that sum to supply[i] and columns to demand[j], none below 0; the two sums are equal
 * up to rounding, n and m at most TERN_TRANSPORT_MOST, costs not below 0.  By shortest paths of reduced costs, one augmentation after the
 * other (Ahuja, Magnanti, Orlin: Network Flows, 9.7). */
double tern_transport(int n, int m, const double *supply, const double *demand, const double *cost);

#endif
