/* Transport by successive shortest paths: nodes 0 .. n-1 are supplies, n .. n+m-1 demands; p keeps reduced costs from falling below 0. */
#include "base/transport.h"

#include <math.h>
#include <string.h>

enum { MOST = TERN_TRANSPORT_MOST, NODES = 2 * MOST };
#define NOTHING 1e-13

typedef struct tern_flows {
    int n, m;
    const double *cost;
    double left[NODES], p[NODES], distance[NODES], flow[MOST][MOST];
    int before[NODES];
    bool done[NODES];
} tern_flows;

static void relax(tern_flows *t, int from, int to, double reduced)
{
    double d = t->distance[from] + (reduced > 0 ? reduced : 0);
    if (t->done[to] || d >= t->distance[to]) return;
    t->distance[to] = d;
    t->before[to] = from;
}

/* The nearest demand that is open, from all supplies that are left; -1: none. */
static int nearest(tern_flows *t)
{
    int n = t->n, all = t->n + t->m;
    for (int v = 0; v < all; v++) {
        t->done[v] = false;
        t->before[v] = -1;
        t->distance[v] = v < n && t->left[v] > NOTHING ? 0 : INFINITY;
    }
    for (;;) {
        int next = -1;
        for (int v = 0; v < all; v++)
            if (!t->done[v] && t->distance[v] < (next < 0 ? INFINITY : t->distance[next])) next = v;
        if (next < 0 || (next >= n && t->left[next] > NOTHING)) return next;
        t->done[next] = true;
        for (int k = 0; next < n && k < t->m; k++)
            relax(t, next, n + k, t->cost[next * t->m + k] + t->p[next] - t->p[n + k]);
        for (int k = 0; next >= n && k < n; k++)
            if (t->flow[k][next - n] > NOTHING)
                relax(t, next, k, -t->cost[k * t->m + next - n] + t->p[next] - t->p[k]);
    }
}

static void augment(tern_flows *t, int end)
{
    int n = t->n, start = end;
    double amount = t->left[end];
    for (; t->before[start] >= 0; start = t->before[start]) /* back through flows that are taken back */
        if (start < n) amount = fmin(amount, t->flow[start][t->before[start] - n]);
    amount = fmin(amount, t->left[start]);
    for (int v = end; t->before[v] >= 0; v = t->before[v]) {
        if (v < n)
            t->flow[v][t->before[v] - n] -= amount;
        else
            t->flow[t->before[v]][v - n] += amount;
    }
    t->left[start] -= amount;
    t->left[end] -= amount;
}

double tern_transport(int n, int m, const double *supply, const double *demand, const double *cost)
{
    tern_flows t = {.n = n, .m = m, .cost = cost};
    double sum = 0;
    int end;
    memcpy(t.left, supply, (size_t)n * sizeof *supply);
    memcpy(t.left + n, demand, (size_t)m * sizeof *demand);
    while ((end = nearest(&t)) >= 0) {
        for (int v = 0; v < n + m; v++) t.p[v] += fmin(t.distance[v], t.distance[end]);
        augment(&t, end);
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++) sum += t.flow[i][j] * cost[i * m + j];
    return sum;
}
