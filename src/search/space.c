/* Planes over families of nets, and steps along them. */
#include "search/space.h"

#include <math.h>

enum { NEAREST = 5 };

double tern_space_bytes(double D, double m, double rank, double image, double patch)
{
    double side = image / patch;
    return D * ((side * side + 1) * (1 + m) + D * m * rank);
}

/* The nearest points to a place, the nearest first; returns how many. */
static int nearest_of(const tern_space_point *points, int count, double rank, double patch,
                      int chosen[NEAREST])
{
    double distance[NEAREST + 1];
    int found = 0, order[NEAREST + 1];
    for (int i = 0; i < count; i++) {
        double d = hypot(points[i].rank - rank, points[i].patch - patch);
        int at = found;
        for (; at > 0 && distance[at - 1] > d; at--) {
            distance[at] = distance[at - 1];
            order[at] = order[at - 1];
        }
        distance[at] = d;
        order[at] = i;
        found = found < NEAREST ? found + 1 : found;
    }
    for (int i = 0; i < found; i++) chosen[i] = order[i];
    return found;
}

/* Solves a w = y of three equations by elimination with pivots; false where they do not determine w. */
static bool solve(double a[3][4], double w[3])
{
    for (int k = 0; k < 3; k++) {
        int pivot = k;
        for (int i = k + 1; i < 3; i++) pivot = fabs(a[i][k]) > fabs(a[pivot][k]) ? i : pivot;
        if (fabs(a[pivot][k]) < 1e-9) return false;
        for (int j = 0; j < 4; j++) {
            double kept = a[k][j];
            a[k][j] = a[pivot][j];
            a[pivot][j] = kept;
        }
        for (int i = 0; i < 3; i++)
            for (int j = 3; i != k && j >= k; j--) a[i][j] -= a[i][k] / a[k][k] * a[k][j];
    }
    for (int k = 0; k < 3; k++) w[k] = a[k][3] / a[k][k];
    return true;
}

/* The least-squares plane through 1 - share or 100 - accuracy of the chosen points. */
static bool plane(const tern_space_point *points, const int *chosen, int count, bool error, double w[3])
{
    double a[3][4] = {{0}};
    for (int n = 0; n < count; n++) {
        const tern_space_point *p = &points[chosen[n]];
        double x[3] = {1, p->rank, p->patch}, y = error ? 100 - p->accuracy : 1 - p->share;
        for (int i = 0; i < 3; i++) {
            for (int j = 0; j < 3; j++) a[i][j] += x[i] * x[j];
            a[i][3] += x[i] * y;
        }
    }
    return solve(a, w);
}

static double within(double at, double step, double low, double high)
{
    return fmin(fmax(at + step, low), high) - at;
}

tern_status tern_space_evolve(const tern_space_point *points, int count, const tern_space_limits *limits,
                              double rank, double patch, tern_space_step *step)
{
    int chosen[NEAREST], found = nearest_of(points, count, rank, patch, chosen);
    if (!plane(points, chosen, found, true, step->error) ||
        !plane(points, chosen, found, false, step->memory))
        return tern_fail(
            TERN_FAILED,
            "%d families near rank %g, patch %g determine no plane: expected at least three that "
            "are not on a line",
            found, rank, patch);
    double by_rank = floor(step->error[1] / 10) + floor(step->memory[1] / 0.2),
           by_patch = floor(step->error[2] / 20) + floor(step->memory[2] / 2);
    step->rank = within(rank, by_rank * limits->rank_step, limits->rank_low, limits->rank_high);
    step->patch = within(patch, by_patch * limits->patch_step, limits->patch_low, limits->patch_high);
    return TERN_OK;
}
