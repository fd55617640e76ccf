/* Decision trees (CART: Breiman, Friedman, Olshen & Stone 1984) and random forests (Breiman 2001). */
#include "classic/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct pair {
    float x;
    int32_t y;
} pair;

typedef struct grower {
    const tern_fit *fit;
    tern_forest *forest;
    int64_t *samples, *moved; /* of the tree, each node's in a row */
    pair *sorted;
    double *left, *right; /* samples of each class on either side of a split */
    uint32_t *features;
    uint64_t drawn;
    int tree, tried, most_depth;
    tern_rng rng;
} grower;

/* A split: samples with x[feature] <= threshold go left.  gain: the sum over sides of count^2 by class over count. */
typedef struct split {
    int feature;
    double threshold, gain;
} split;

static int by_value(const void *a, const void *b)
{
    const pair *p = a, *q = b;
    return (p->x > q->x) - (p->x < q->x);
}

/* The best threshold of one feature for the samples from .. from + n; whether the feature is not the same everywhere. */
static bool try_feature(grower *g, int64_t from, int64_t n, int feature, split *best)
{
    int classes = g->fit->classes;
    double left_squares = 0, right_squares = 0;
    memset(g->left, 0, (size_t)classes * sizeof *g->left);
    memset(g->right, 0, (size_t)classes * sizeof *g->right);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = g->samples[from + i];
        g->sorted[i] = (pair){g->fit->x[at * g->fit->features + feature], g->fit->y[at]};
        g->right[g->sorted[i].y]++;
    }
    qsort(g->sorted, (size_t)n, sizeof *g->sorted, by_value);
    if (!(g->sorted[0].x < g->sorted[n - 1].x)) return false;
    for (int c = 0; c < classes; c++) right_squares += g->right[c] * g->right[c];
    for (int64_t i = 0; i + 1 < n; i++) {
        int32_t y = g->sorted[i].y;
        left_squares += 2 * g->left[y]++ + 1;
        right_squares += 1 - 2 * g->right[y]--;
        double below = g->sorted[i].x, above = g->sorted[i + 1].x;
        double gain = left_squares / (double)(i + 1) + right_squares / (double)(n - i - 1);
        if (below < above && gain > best->gain) *best = (split){feature, (below + above) / 2, gain};
    }
    return true;
}

/* Among `tried` features that differ, in random order. */
static split find_split(grower *g, int64_t from, int64_t n)
{
    split best = {.feature = -1, .gain = -1};
    uint32_t width = (uint32_t)g->fit->features;
    for (uint32_t f = 0, tried = 0; f < width && tried < (uint32_t)g->tried; f++) {
        uint32_t other = f + (uint32_t)tern_rng_below(g->rng, g->drawn++, width - f), swap = g->features[f];
        g->features[f] = g->features[other];
        g->features[other] = swap;
        tried += try_feature(g, from, n, (int)g->features[f], &best);
    }
    return best;
}

/* Samples that go left come first; how many there are. */
static int64_t part(grower *g, int64_t from, int64_t n, split s)
{
    int64_t left = 0, right = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = g->samples[from + i];
        if (g->fit->x[at * g->fit->features + s.feature] <= s.threshold)
            g->samples[from + left++] = at;
        else
            g->moved[right++] = at;
    }
    memcpy(g->samples + from + left, g->moved, (size_t)right * sizeof *g->moved);
    return left;
}

/* Shares of the classes; the number of classes that there are. */
static int shares(const grower *g, int64_t from, int64_t n, double *value)
{
    int classes = 0;
    for (int c = 0; c < g->fit->classes; c++) value[c] = 0;
    for (int64_t i = 0; i < n; i++) value[g->fit->y[g->samples[from + i]]]++;
    for (int c = 0; c < g->fit->classes; c++) {
        classes += value[c] > 0;
        value[c] /= (double)n;
    }
    return classes;
}

/* A node for the samples from .. from + n, and all below it; its number. */
static int grow(grower *g, int64_t from, int64_t n, int depth)
{
    tern_forest *f = g->forest;
    int at = f->nodes++;
    double *value = f->value + (size_t)f->leaves * (size_t)f->classes;
    split s = {.feature = -1};
    if (depth > f->depth) f->depth = depth;
    if (shares(g, from, n, value) > 1 && depth < g->most_depth) s = find_split(g, from, n);
    f->feature[at] = s.feature;
    if (s.feature < 0) {
        f->left[at] = f->leaves++;
        return at;
    }
    int64_t left = part(g, from, n, s);
    f->threshold[at] = s.threshold;
    f->left[at] = grow(g, from, left, depth + 1);
    f->right[at] = grow(g, from + left, n - left, depth + 1);
    return at;
}

static void grow_tree(grower *g, bool bootstrap)
{
    int64_t rows = g->fit->rows;
    g->rng = (tern_rng){g->fit->seed, 1000 + (uint64_t)g->tree};
    g->drawn = 0;
    for (int i = 0; i < g->fit->features; i++) g->features[i] = (uint32_t)i;
    for (int64_t i = 0; i < rows; i++)
        g->samples[i] = bootstrap ? (int64_t)tern_rng_below(g->rng, g->drawn++, (uint64_t)rows) : i;
    g->forest->roots[g->forest->trees++] = g->forest->nodes;
    grow(g, 0, rows, 0);
}

static tern_status grow_all(grower *g, int trees, bool bootstrap)
{
    size_t rows = (size_t)g->fit->rows, classes = (size_t)g->fit->classes;
    g->samples = tern_take_array(2 * rows, sizeof *g->samples);
    g->sorted = tern_take_array(rows, sizeof *g->sorted);
    g->left = tern_take_array(2 * classes, sizeof *g->left);
    g->features = tern_take_array((size_t)g->fit->features, sizeof *g->features);
    tern_status status = TERN_OK;
    if (!g->samples || !g->sorted || !g->left || !g->features) status = tern_no_memory(rows * 24, "trees");
    if (status == TERN_OK) {
        g->moved = g->samples + rows;
        g->right = g->left + classes;
        for (g->tree = 0; g->tree < trees; g->tree++) grow_tree(g, bootstrap);
    }
    tern_release(g->samples);
    tern_release(g->sorted);
    tern_release(g->left);
    tern_release(g->features);
    return status;
}

tern_status tern_fit_trees(const tern_fit *f, tern_classic *out)
{
    bool forest = strcmp(f->net->name, "forest") == 0;
    double trees = forest ? tern_fit_option(f, "trees") : 1, depth = tern_fit_option(f, "depth");
    if (!(trees >= 1 && trees <= 65536 && depth >= 1 && depth <= 64))
        return tern_fail(TERN_USAGE, "--trees is %g and --depth %g, expected 1 to 65536 and 1 to 64", trees,
                         depth);
    tern_forest grown;
    double nodes = fmin(2 * (double)f->rows - 1, ldexp(1, (int)depth + 1) - 1) * trees;
    grower g = {.fit = f,
                .forest = &grown,
                .tried = forest ? (int)sqrt(f->features) : f->features,
                .most_depth = (int)depth};
    tern_status status = tern_forest_open(&grown, (int64_t)nodes, (int64_t)trees, f->classes);
    if (status == TERN_OK) status = grow_all(&g, (int)trees, forest);
    if (status == TERN_OK) status = tern_forest_put(&grown, out);
    tern_forest_free(&grown);
    return status;
}
