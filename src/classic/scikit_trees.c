/* Trees of scikit-learn: "tree_" of an estimator, or of each of "estimators_". */
#include "classic/attributes.h"

#ifdef TERN_HAVE_JANSSON

#include <math.h>

typedef struct tern_tree_arrays {
    double *feature, *threshold, *left, *right, *value;
    int64_t nodes;
} tern_tree_arrays;

static tern_status read_arrays(tern_attributes *from, json_t *object, tern_tree_arrays *t)
{
    json_t *tree = json_object_get(object, "tree_");
    int64_t shape[] = {-1, from->out->classes};
    if (!json_is_object(tree))
        return tern_fail(TERN_FAILED, "%s: there is no object \"tree_\" of a tree's arrays", from->name);
    TERN_TRY(tern_attribute_array(from, tree, "feature", 1, shape, &t->feature));
    TERN_TRY(tern_attribute_array(from, tree, "threshold", 1, shape, &t->threshold));
    TERN_TRY(tern_attribute_array(from, tree, "children_left", 1, shape, &t->left));
    TERN_TRY(tern_attribute_array(from, tree, "children_right", 1, shape, &t->right));
    TERN_TRY(tern_attribute_array(from, tree, "value", 2, shape, &t->value));
    t->nodes = shape[0];
    return TERN_OK;
}

static bool is_within(double x, double low, double below)
{
    return x >= low && x < below && x == floor(x);
}

/* Samples of each class in a leaf become their shares. */
static tern_status add_leaf(const tern_attributes *from, tern_forest *f, const double *value)
{
    double sum = 0;
    for (int c = 0; c < f->classes; c++) sum += value[c];
    if (!(sum > 0))
        return tern_fail(TERN_FAILED, "%s: \"value\": a leaf's values sum to %g, expected above 0",
                         from->name, sum);
    for (int c = 0; c < f->classes; c++) f->value[f->leaves * f->classes + c] = value[c] / sum;
    f->leaves++;
    return TERN_OK;
}

/* Node i; depth[i] is known, since parents stand before their children. */
static tern_status add_node(const tern_attributes *from, tern_forest *f, const tern_tree_arrays *t, int64_t i,
                            int root, int *depth)
{
    double left = t->left[i], right = t->right[i], nodes = (double)t->nodes;
    int at = root + (int)i;
    f->threshold[at] = t->threshold[i];
    if (left == -1 && right == -1) {
        f->feature[at] = -1;
        f->left[at] = f->leaves;
        f->threshold[at] = 0;
        if (depth[i] > f->depth) f->depth = depth[i];
        return add_leaf(from, f, t->value + i * f->classes);
    }
    if (!is_within(left, (double)i + 1, nodes) || !is_within(right, (double)i + 1, nodes))
        return tern_fail(TERN_FAILED,
                         "%s: node %lld of a tree has the children %g and %g, expected %lld to %lld",
                         from->name, (long long)i, left, right, (long long)i + 1, (long long)t->nodes - 1);
    if (!is_within(t->feature[i], 0, from->out->features))
        return tern_fail(TERN_FAILED, "%s: node %lld of a tree looks at feature %g of %d", from->name,
                         (long long)i, t->feature[i], from->out->features);
    f->feature[at] = t->feature[i];
    f->left[at] = root + left;
    f->right[at] = root + right;
    depth[(int64_t)left] = depth[(int64_t)right] = depth[i] + 1;
    return TERN_OK;
}

static tern_status add_tree(tern_attributes *from, tern_forest *f, const tern_tree_arrays *t)
{
    int root = f->nodes, *depth = tern_take_array((size_t)t->nodes, sizeof *depth);
    tern_status status = depth ? TERN_OK : tern_no_memory((size_t)t->nodes * sizeof *depth, "a tree");
    f->roots[f->trees++] = root;
    for (int64_t i = 0; status == TERN_OK && i < t->nodes; i++) status = add_node(from, f, t, i, root, depth);
    f->nodes += (int)t->nodes;
    tern_release(depth);
    return status;
}

static tern_status fill(tern_attributes *from, tern_forest *f, const tern_tree_arrays *trees, size_t count)
{
    int64_t nodes = 0;
    for (size_t i = 0; i < count; i++) nodes += trees[i].nodes;
    TERN_TRY(tern_forest_open(f, nodes, (int64_t)count, from->out->classes));
    for (size_t i = 0; i < count; i++) TERN_TRY(add_tree(from, f, &trees[i]));
    return tern_forest_put(f, from->out);
}

tern_status tern_scikit_trees(tern_attributes *from)
{
    json_t *list = json_object_get(from->root, "estimators_");
    size_t count = list ? json_array_size(list) : 1;
    tern_forest forest = {0};
    if (count < 1)
        return tern_fail(TERN_FAILED, "%s: \"estimators_\" is empty, expected a list of trees", from->name);
    tern_tree_arrays *trees = tern_arena_take(&from->arena, count * sizeof *trees);
    if (!trees) return tern_no_memory(count * sizeof *trees, "trees");
    for (size_t i = 0; i < count; i++)
        TERN_TRY(read_arrays(from, list ? json_array_get(list, i) : from->root, &trees[i]));
    tern_status status = fill(from, &forest, trees, count);
    tern_forest_free(&forest);
    return status;
}

#endif
