/* Errors of outputs and targets. */
#include "train/error.h"

#include "op/op.h"

#include <math.h>
#include <stdlib.h>

enum { DIRECTIONS = 8 }; /* lines */

/* Mean of the squared errors in units. */
static tern_value squared_error(tern_graph *g, tern_value y, tern_value t, const tern_recipe *recipe)
{
    tern_value w = tern_input(g, "weights", TERN_F32, TERN_SHAPE(recipe->targets));
    tern_value e = tern_square(g, tern_multiply(g, tern_subtract(g, y, t), w));
    if (recipe->error == TERN_WEIGHED_ERROR) e = tern_multiply(g, e, tern_relu(g, tern_maximum(g, y, t)));
    return tern_reshape(g, tern_mean(g, e, .axis = 0, .axes = 2), TERN_SHAPE(1));
}

/* A place on a line, and whose it is. */
typedef struct tern_stop {
    double at;
    int place;
} tern_stop;

static int by_line(const void *a, const void *b)
{
    const tern_stop *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

/* Columns d (n-1) .. of m [n, DIRECTIONS (n-1)]: shares times one of them is what lies before a gap between two places of line d,
 * times the gap and the line's part in the mean. */
static void write_line(float *m, int d, int n, const float *places, tern_stop *stops)
{
    double angle = 3.14159265358979323846 * d / DIRECTIONS;
    int columns = DIRECTIONS * (n - 1);
    for (int c = 0; c < n; c++)
        stops[c] =
            (tern_stop){cos(angle) * (double)places[2 * c] + sin(angle) * (double)places[2 * c + 1], c};
    qsort(stops, (size_t)n, sizeof *stops, by_line);
    for (int k = 0; k + 1 < n; k++)
        for (int c = 0; c < n; c++)
            m[stops[c].place * columns + d * (n - 1) + k] =
                c <= k ? (float)((stops[k + 1].at - stops[k].at) / DIRECTIONS) : 0;
}

/* How far shares are moved, along lines: on a line the earth mover's distance is the integral of the difference of the cumulative sums, which
 * products and absolute values are enough for; the mean over lines is at most the distance in the plane (Bonneel et al., "Sliced
 * and Radon Wasserstein barycenters of measures", 2015). */
static tern_value transport_error(tern_graph *g, tern_value y, tern_value t, const tern_recipe *recipe)
{
    int n = (int)recipe->places->shape.dim[0], columns = DIRECTIONS * (n - 1);
    double batch = (double)tern_shape_of(g, y).dim[0];
    size_t elements = (size_t)n * (size_t)columns;
    tern_stop *stops = tern_arena_take(&g->arena, (size_t)n * sizeof *stops);
    float *m = tern_arena_take(&g->arena, elements * sizeof *m);
    if (!stops || !m) return tern_graph_no_memory(g);
    for (int d = 0; d < DIRECTIONS; d++) write_line(m, d, n, recipe->places->data, stops);
    tern_value lines = tern_constant(g, &(tern_tensor){TERN_F32, TERN_SHAPE(n, columns), m});
    tern_value moved = tern_subtract(g, tern_slice(g, y, 1, 0, n), tern_slice(g, t, 1, 0, n));
    tern_value apart = tern_absolute(g, tern_matmul(g, moved, lines));
    tern_value all = tern_multiply(g, tern_sum(g, apart, .axis = 0, .axes = 2), tern_scalar(g, 1 / batch));
    return tern_reshape(g, all, TERN_SHAPE(1));
}

tern_value tern_target_loss(tern_graph *g, tern_value y, const tern_recipe *recipe)
{
    tern_value t =
        tern_input(g, "targets", TERN_F32, TERN_SHAPE(tern_shape_of(g, y).dim[0], recipe->targets));
    tern_layer(g, "loss", "loss");
    return (recipe->error == TERN_TRANSPORT_ERROR ? transport_error : squared_error)(g, y, t, recipe);
}
