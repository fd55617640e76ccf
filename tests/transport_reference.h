/* Transport by a linear program that CBC solves: for the test and the proof. */
#ifndef TERN_TRANSPORT_REFERENCE_H
#define TERN_TRANSPORT_REFERENCE_H

#include "io/shower.h"
#include "plan/mip.h"
#include "train/shower.h"

#include <math.h>

/* The distance of two showers, all 48 x 48 ways open; not a number where CBC proves nothing. */
static inline double transport_by_cbc(const float *p, const float *q)
{
    enum { N = TERN_TRIGGER_CELLS };
    tern_mip mip = {0};
    tern_mip_answer answer;
    bool found = false;
    double ps = 0, qs = 0, bound, sum = 0, *x = tern_take_array(N * N + 1, sizeof *x), px[N], py[N];
    for (int c = 0; c < N; c++) {
        ps += (double)p[c];
        qs += (double)q[c];
        tern_trigger_cell(c, &px[c], &py[c]);
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            tern_mip_column(&mip, 0, INFINITY, hypot(px[i] - px[j], py[i] - py[j]), false);
    tern_mip_column(&mip, 0, 1, 0, true); /* CBC keeps the solutions of what has a whole column */
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < N; i++) {
            for (int j = 0; j < N; j++) tern_mip_term(&mip, side ? j * N + i : i * N + j, 1);
            double amount = side ? (double)q[i] / qs : (double)p[i] / ps;
            tern_mip_row(&mip, amount - 1e-15,
                         side ? INFINITY : amount + 1e-15); /* sums differ by rounding */
        }
    tern_status status = tern_mip_solve(&mip, 60, &answer, &found, x, &bound);
    for (int k = 0; k < N * N; k++) sum += x[k] * mip.cost[k];
    tern_mip_free(&mip);
    tern_release(x);
    return status == TERN_OK && found && answer == TERN_MIP_OPTIMAL ? sum : (double)NAN;
}

#endif
