/* Classic learners as nets: a row of features in, a score for each class out.  Their parameters come from tern train
 * or from scikit-learn (src/classic).
 *
 * NET-fixed16 computes in numbers of 16 bits with a fixed point: features and what is stored are codes (op/fixed.h), sums have 32
 * bits, and the last step makes floats of them. */
#include "zoo.h"

#include "op/fixed.h"
#include "op/lanes.h"

/* Shape options stand in the order in which data and files give them. */
struct classic {
    int classes, rows, k, full, first, nodes, leaves, trees, depth, inner;
    double gamma, cost, scale;
};

static tern_value weight(tern_graph *g, const char *name, tern_dtype dtype, tern_shape shape)
{
    return tern_weight(g, tern_layer_name(g, name), dtype, shape);
}

static int64_t width_of(tern_graph *g, tern_value x)
{
    tern_shape s = tern_shape_of(g, x);
    return s.rank == 2 ? s.dim[1] : 1;
}

/* Features as they are or as codes, [B,F]. */
static tern_value features(tern_graph *g, tern_value image, bool fixed)
{
    tern_value x = flatten(g, image, .from = 1);
    if (!fixed) return x;
    tern_layer(g, "input", "input");
    tern_value in[] = {x, weight(g, "point", TERN_F32, TERN_SHAPE(1))};
    tern_fixed_op op = {.bits = 16, .round = TERN_ROUND_UP, .overflow = TERN_OVERFLOW_SATURATE};
    return tern_apply(g, &tern_op_fixed_code, &op, in, 2, NULL);
}

/* What codes stand for. */
static tern_value numbers(tern_graph *g, tern_value codes, bool fixed)
{
    if (!fixed) return codes;
    tern_layer(g, "result", "result");
    tern_value in[] = {codes, weight(g, "point", TERN_F32, TERN_SHAPE(1))};
    return tern_apply(g, &tern_op_fixed_value, NULL, in, 2, NULL);
}

static tern_dtype format(bool fixed)
{
    return fixed ? TERN_I16 : TERN_F32;
}

/* Squares and products of 31 bits are shifted by so many places that as many as there are features have a sum of 32. */
static int places(tern_graph *g, tern_value x)
{
    int n = 0;
    while ((int64_t)1 << n < width_of(g, x)) n++;
    return n;
}

static tern_value distance(tern_graph *g, tern_value x, tern_value rows, tern_value weights, int inner,
                           bool fixed)
{
    tern_rows_op op = {.inner = inner, .places = fixed ? places(g, x) : 0};
    tern_value in[] = {x, rows, weights};
    return tern_apply(g, &tern_op_squared_distance, &op, in, weights.id ? 3 : 2, NULL);
}

/* w x + b: logistic regression, linear support vectors */
static tern_value linear_scores(tern_graph *g, const struct classic *p, tern_value image, bool fixed)
{
    tern_value x = features(g, image, fixed);
    tern_layer(g, "scores", "scores");
    tern_value w = weight(g, "weight", format(fixed), TERN_SHAPE(p->classes, width_of(g, x)));
    tern_value bias = weight(g, "bias", TERN_F32, TERN_SHAPE(p->classes));
    if (!fixed) return tern_row_product(g, x, w, bias);
    tern_value in[] = {x, w};
    tern_rows_op op = {.places = places(g, x)};
    return tern_add(g, numbers(g, tern_apply(g, &tern_op_row_product, &op, in, 2, NULL), true), bias);
}

/* log prior - 1/2 sum log 2 pi variance, less the squared distance to the mean in units of 2 variance */
static tern_value naive_bayes(tern_graph *g, const struct classic *p, tern_value image, bool fixed)
{
    tern_value x = features(g, image, fixed);
    tern_shape rows = TERN_SHAPE(p->classes, width_of(g, x));
    tern_layer(g, "gaussian", "gaussian");
    tern_value mean = weight(g, "mean", format(fixed), rows);
    tern_value weights = weight(g, fixed ? "root" : "precision", format(fixed), rows);
    tern_value constant = weight(g, "constant", TERN_F32, TERN_SHAPE(p->classes));
    return tern_subtract(g, constant, numbers(g, distance(g, x, mean, weights, p->inner, fixed), fixed));
}

static tern_value neighbours(tern_graph *g, const struct classic *p, tern_value image, bool fixed)
{
    tern_value x = features(g, image, fixed);
    tern_layer(g, "neighbours", "neighbours");
    tern_value stored = weight(g, "rows", format(fixed), TERN_SHAPE(p->rows, width_of(g, x)));
    tern_value labels = weight(g, "labels", TERN_I32, TERN_SHAPE(p->rows));
    return tern_vote(g, distance(g, x, stored, (tern_value){0}, 0, fixed), labels, p->k, p->classes);
}

/* The nearest centre has the highest score. */
static tern_value centres(tern_graph *g, const struct classic *p, tern_value image, bool fixed)
{
    tern_value x = features(g, image, fixed);
    tern_layer(g, "centres", "centres");
    tern_value rows = weight(g, "rows", format(fixed), TERN_SHAPE(p->classes, width_of(g, x)));
    return tern_negate(g, numbers(g, distance(g, x, rows, (tern_value){0}, 0, fixed), fixed));
}

/* Mean of the trees' probabilities, times their number. */
static tern_value forest(tern_graph *g, const struct classic *p, tern_value image, bool fixed)
{
    tern_shape nodes = TERN_SHAPE(p->nodes);
    tern_dtype index = p->nodes <= 32767 ? TERN_I16 : TERN_I32;
    tern_value x = features(g, image, fixed);
    tern_layer(g, "trees", "trees");
    tern_trees t = {.feature = weight(g, "feature", index, nodes),
                    .threshold = weight(g, "threshold", format(fixed), nodes),
                    .left = weight(g, "left", index, nodes),
                    .right = weight(g, "right", index, nodes),
                    .roots = weight(g, "roots", TERN_I32, TERN_SHAPE(p->trees)),
                    .value = weight(g, "value", format(fixed), TERN_SHAPE(p->leaves, p->classes))};
    return numbers(g, tern_tree_walk(g, x, t, p->depth), fixed);
}

/* One decision for each pair of classes, over e^(-gamma |x - support|^2); the classes' votes. */
static tern_value kernel_pairs(tern_graph *g, const struct classic *p, tern_value image, bool fixed)
{
    (void)fixed; /* has no such form */
    int pairs = p->classes * (p->classes - 1) / 2;
    tern_value x = flatten(g, image, .from = 1);
    tern_layer(g, "support", "support");
    tern_value rows = weight(g, "rows", TERN_F32, TERN_SHAPE(p->rows, width_of(g, x)));
    tern_value d = tern_squared_distance(g, x, rows, (tern_value){0});
    tern_value kernel = tern_exp(g, tern_multiply(g, d, tern_scalar(g, -p->gamma)));
    tern_value decided = tern_heaviside(g, linear(g, kernel, .out = pairs, .name = "pairs"));
    return linear(g, decided, .out = p->classes, .name = "votes");
}

/* Log density of each component with its weight: full or diagonal covariances. */
static tern_value mixture(tern_graph *g, const struct classic *p, tern_value image, bool fixed)
{
    (void)fixed; /* has no such form */
    tern_value x = flatten(g, image, .from = 1), d;
    int64_t width = width_of(g, x);
    tern_layer(g, "mixture", "mixture");
    tern_value constant = weight(g, "constant", TERN_F32, TERN_SHAPE(p->classes));
    if (p->full) {
        tern_value y = linear(g, x, .out = (int)(p->classes * width), .name = "whitened");
        y = tern_reshape(g, y, TERN_SHAPE(tern_shape_of(g, x).dim[0], p->classes, width));
        d = tern_multiply(g, sum(g, tern_square(g, y), .axis = 2), tern_scalar(g, 0.5));
    } else {
        tern_shape rows = TERN_SHAPE(p->classes, width);
        tern_value mean_ = weight(g, "mean", TERN_F32, rows);
        d = tern_squared_distance(g, x, mean_, weight(g, "precision", TERN_F32, rows));
    }
    return tern_subtract(g, constant, d);
}

#define CLASSIC(id, name_, doc_, build_, ...)                                                                \
    static tern_value id##_build(tern_graph *g, const void *p, tern_value x)                                 \
    {                                                                                                        \
        return build_(g, p, x, false);                                                                       \
    }                                                                                                        \
    static const tern_option id##_options[] = {__VA_ARGS__, {0}};                                            \
    const tern_net tern_net_##id = {.name = name_,                                                           \
                                    .doc = doc_,                                                             \
                                    .size = sizeof(struct classic),                                          \
                                    .options = id##_options,                                                 \
                                    .sample = {.rank = 1, .dim = {64}},                                      \
                                    .build = id##_build,                                                     \
                                    .classic = true}

/* The learner and its form in fixed point. */
#define CLASSIC16(id, name_, doc_, build_, ...)                                                              \
    CLASSIC(id, name_, doc_, build_, __VA_ARGS__);                                                           \
    static tern_value id##_fixed16_build(tern_graph *g, const void *p, tern_value x)                         \
    {                                                                                                        \
        return build_(g, p, x, true);                                                                        \
    }                                                                                                        \
    static const tern_option id##_fixed16_options[] = {                                                      \
        __VA_ARGS__,                                                                                         \
        INT(classic, inner, 0, "places by which differences times roots of precisions are shifted"),         \
        {0}};                                                                                                \
    const tern_net tern_net_##id##_fixed16 = {.name = name_ "-fixed16",                                      \
                                              .doc = doc_ ", in fixed point of 16 bits",                     \
                                              .size = sizeof(struct classic),                                \
                                              .options = id##_fixed16_options,                               \
                                              .sample = {.rank = 1, .dim = {64}},                            \
                                              .build = id##_fixed16_build,                                   \
                                              .classic = true}

#define CLASSES INT(classic, classes, 10, "classes")
#define LINEAR                                                                                               \
    CLASSES, REAL(classic, cost, 1, "weight of the losses against 1/2 |W|^2 in fitting"),                    \
        REAL(classic, scale, 1, "fitted on features over this")
#define TREES                                                                                                \
    CLASSES, INT(classic, nodes, 255, "nodes of all trees"), INT(classic, leaves, 128, "leaves of them"),    \
        INT(classic, depth, 8, "comparisons of the longest way to a leaf")

CLASSIC16(logreg, "logreg", "logistic regression", linear_scores, LINEAR);
CLASSIC16(linear_svm, "linear-svm", "linear support vector machine", linear_scores, LINEAR);
CLASSIC16(gnb, "gnb", "Gaussian naive Bayes", naive_bayes, CLASSES);
CLASSIC16(knn, "knn", "k nearest neighbours", neighbours, CLASSES, INT(classic, k, 5, "neighbours that vote"),
          INT(classic, rows, 1000, "rows that are stored"));
CLASSIC16(kmeans, "kmeans", "k-means clusters", centres, INT(classic, classes, 10, "clusters"),
          INT(classic, first, 0, "1: fitting begins with the first samples as centres, 0: k-means++"));
CLASSIC16(tree, "tree", "decision tree", forest, TREES, INT(classic, trees, 1, "trees"));
CLASSIC16(forest, "forest", "random forest", forest, TREES, INT(classic, trees, 16, "trees"));
CLASSIC(rbf_svm, "rbf-svm", "support vector machine with radial kernel", kernel_pairs, CLASSES,
        INT(classic, rows, 300, "support vectors"), REAL(classic, gamma, 0.001, "e^(-gamma distance^2)"));
CLASSIC(gmm, "gmm", "mixture of Gaussians", mixture, INT(classic, classes, 10, "components"),
        INT(classic, full, 0, "1: full covariances, 0: diagonal"));
