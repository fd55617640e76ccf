/* Fitted estimators of scikit-learn as nets: one function an estimator, from its attributes to parameters. */
#include "classic/attributes.h"

#ifdef TERN_HAVE_JANSSON

#include <math.h>
#include <string.h>

/* "classes_" is 0 .. K-1, or K texts. */
static tern_status read_classes(tern_attributes *from)
{
    tern_classic *c = from->out;
    json_t *list = json_object_get(from->root, "classes_");
    size_t count = json_array_size(list);
    if (count < 2 || count > 65536)
        return tern_fail(TERN_FAILED, "%s: \"classes_\" has %zu elements, expected a list of 2 to 65536",
                         from->name, count);
    bool texts = json_is_string(json_array_get(list, 0));
    if (texts && !(c->class_names = tern_take_array(count, sizeof *c->class_names)))
        return tern_no_memory(count * sizeof *c->class_names, "names of classes");
    c->classes = (int)count;
    for (size_t i = 0; i < count; i++) {
        json_t *class = json_array_get(list, i);
        if (texts && json_is_string(class)) {
            if (!(c->class_names[i] = tern_copy_string(json_string_value(class))))
                return tern_no_memory(64, "names of classes");
        } else if (texts || !json_is_number(class) || json_number_value(class) != (double)i) {
            return tern_fail(TERN_FAILED,
                             "%s: \"classes_\": element %zu is neither %zu nor a text beside others",
                             from->name, i, i);
        }
    }
    return tern_classic_set(c, "classes", (double)count);
}

/* coef_ [C,F], or [1,F] for two classes: the second against nothing */
static tern_status read_linear(tern_attributes *from)
{
    tern_classic *c = from->out;
    TERN_TRY(read_classes(from));
    int64_t features = c->features, rows = c->classes == 2 ? 1 : c->classes;
    double *w, *b;
    TERN_TRY(tern_attribute_array(from, from->root, "coef_", 2, (int64_t[]){rows, features}, &w));
    TERN_TRY(tern_attribute_array(from, from->root, "intercept_", 1, (int64_t[]){rows}, &b));
    if (rows == 1) {
        double *two = tern_arena_take(&from->arena, ((size_t)features + 1) * 2 * sizeof *two);
        if (!two) return tern_no_memory((size_t)features * sizeof *two, "coefficients");
        memset(two, 0, ((size_t)features + 1) * 2 * sizeof *two);
        memcpy(two + features, w, (size_t)features * sizeof *two);
        two[2 * features + 1] = b[0];
        w = two;
        b = two + 2 * features;
    }
    TERN_TRY(tern_classic_put(&c->store, "scores.weight", TERN_F32, TERN_SHAPE(c->classes, features), w));
    return tern_classic_put(&c->store, "scores.bias", TERN_F32, TERN_SHAPE(c->classes), b);
}

static tern_status logs_of(const tern_attributes *from, const char *key, double *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (!(values[i] > 0))
            return tern_fail(TERN_FAILED, "%s: \"%s\": element %lld is %g, expected above 0", from->name, key,
                             (long long)i, values[i]);
        values[i] = log(values[i]);
    }
    return TERN_OK;
}

static tern_status read_bayes(tern_attributes *from)
{
    tern_classic *c = from->out;
    TERN_TRY(read_classes(from));
    int64_t shape[] = {c->classes, c->features};
    double *mean, *variance, *prior;
    TERN_TRY(tern_attribute_array(from, from->root, "theta_", 2, shape, &mean));
    TERN_TRY(tern_attribute_array(from, from->root, "var_", 2, shape, &variance));
    TERN_TRY(tern_attribute_array(from, from->root, "class_prior_", 1, shape, &prior));
    TERN_TRY(logs_of(from, "class_prior_", prior, c->classes));
    return tern_gaussians_put(c, "gaussian", c->features, mean, variance, prior);
}

static tern_status read_neighbours(tern_attributes *from)
{
    tern_classic *c = from->out;
    const char *text;
    int64_t k, shape[] = {-1, c->features};
    double *rows, *labels;
    TERN_TRY(read_classes(from));
    TERN_TRY(tern_attribute_text(from, "weights", "uniform", &text));
    TERN_TRY(tern_attribute_text(from, "effective_metric_", "euclidean", &text));
    TERN_TRY(tern_attribute_array(from, from->root, "_fit_X", 2, shape, &rows));
    TERN_TRY(tern_attribute_array(from, from->root, "_y", 1, shape, &labels));
    TERN_TRY(tern_attribute_whole(from, "n_neighbors", 1, shape[0], &k));
    for (int64_t i = 0; i < shape[0]; i++)
        if (!(labels[i] >= 0 && labels[i] < c->classes))
            return tern_fail(TERN_FAILED, "%s: \"_y\": element %lld is %g, expected 0 to %d", from->name,
                             (long long)i, labels[i], c->classes - 1);
    TERN_TRY(
        tern_classic_put(&c->store, "neighbours.rows", TERN_F32, TERN_SHAPE(shape[0], c->features), rows));
    TERN_TRY(tern_classic_put(&c->store, "neighbours.labels", TERN_I32, TERN_SHAPE(shape[0]), labels));
    TERN_TRY(tern_classic_set(c, "k", (double)k));
    return tern_classic_set(c, "rows", (double)shape[0]);
}

static tern_status read_means(tern_attributes *from)
{
    tern_classic *c = from->out;
    int64_t shape[] = {-1, c->features};
    double *rows;
    TERN_TRY(tern_attribute_array(from, from->root, "cluster_centers_", 2, shape, &rows));
    c->classes = (int)shape[0];
    TERN_TRY(tern_classic_set(c, "classes", (double)shape[0]));
    return tern_classic_put(&c->store, "centres.rows", TERN_F32, TERN_SHAPE(shape[0], c->features), rows);
}

static tern_status read_trees(tern_attributes *from)
{
    TERN_TRY(read_classes(from));
    return tern_scikit_trees(from);
}

/* ---- support vectors ---------------------------------------------------------------------------------------------- */

/* dual_coef_ [C-1,N], vectors in the order of their classes: of the pair i < j, those of class i have their factors in row
 * j - 1, those of class j in row i.  A positive decision is for i; of two classes scikit-learn turns the sign around. */
static void pair_weights(const double *dual, const double *first, int classes, int64_t vectors, double *w)
{
    for (int i = 0, p = 0; i < classes; i++) {
        for (int j = i + 1; j < classes; j++, p++) {
            double sign = classes == 2 ? -1 : 1;
            for (int64_t n = (int64_t)first[i]; n < (int64_t)first[i + 1]; n++)
                w[p * vectors + n] = sign * dual[(j - 1) * vectors + n];
            for (int64_t n = (int64_t)first[j]; n < (int64_t)first[j + 1]; n++)
                w[p * vectors + n] = sign * dual[i * vectors + n];
        }
    }
}

/* Votes of decisions h that are 1 for i and 0 for j: class i gets h, class j 1 - h. */
static tern_status put_votes(tern_attributes *from, int classes, int pairs)
{
    double *w = tern_arena_take(&from->arena, ((size_t)pairs + 1) * (size_t)classes * sizeof *w);
    if (!w) return tern_no_memory((size_t)pairs * (size_t)classes * sizeof *w, "votes");
    memset(w, 0, ((size_t)pairs + 1) * (size_t)classes * sizeof *w);
    double *b = w + (size_t)pairs * (size_t)classes;
    for (int i = 0, p = 0; i < classes; i++) {
        for (int j = i + 1; j < classes; j++, p++) {
            w[i * pairs + p] = 1;
            w[j * pairs + p] = -1;
            b[j] += 1;
        }
    }
    TERN_TRY(tern_classic_put(&from->out->store, "votes.weight", TERN_F32, TERN_SHAPE(classes, pairs), w));
    return tern_classic_put(&from->out->store, "votes.bias", TERN_F32, TERN_SHAPE(classes), b);
}

/* Where the vectors of each class begin, [C+1]. */
static tern_status first_of(tern_attributes *from, int64_t vectors, double **first)
{
    int64_t classes = from->out->classes;
    double *count = NULL, sum = 0;
    TERN_TRY(tern_attribute_array(from, from->root, "n_support_", 1, &(int64_t){classes}, &count));
    if (!(*first = tern_arena_take(&from->arena, ((size_t)classes + 1) * sizeof **first)))
        return tern_no_memory((size_t)classes * sizeof **first, "support vectors");
    for (int64_t i = 0; i < classes; i++) {
        (*first)[i] = sum;
        if (!(count[i] >= 0 && count[i] <= (double)vectors && count[i] == floor(count[i]))) sum = NAN;
        sum += count[i];
    }
    (*first)[classes] = sum;
    return sum == (double)vectors
               ? TERN_OK
               : tern_fail(TERN_FAILED,
                           "%s: \"n_support_\" sums to %g, expected %lld, the rows of \"support_vectors_\"",
                           from->name, sum, (long long)vectors);
}

static tern_status read_support(tern_attributes *from)
{
    tern_classic *c = from->out;
    const char *text;
    double *rows, *dual, *b, *first, *w;
    TERN_TRY(read_classes(from));
    int classes = c->classes, pairs = classes * (classes - 1) / 2;
    int64_t shape[] = {-1, c->features};
    if (classes > 1000)
        return tern_fail(TERN_FAILED, "%s: %d classes, expected at most 1000", from->name, classes);
    TERN_TRY(tern_attribute_text(from, "kernel", "rbf", &text));
    json_t *gamma = json_object_get(from->root, "_gamma");
    if (!json_is_number(gamma) || !(json_number_value(gamma) > 0))
        return tern_fail(TERN_FAILED, "%s: \"_gamma\" is not a number above 0", from->name);
    TERN_TRY(tern_attribute_array(from, from->root, "support_vectors_", 2, shape, &rows));
    TERN_TRY(
        tern_attribute_array(from, from->root, "dual_coef_", 2, (int64_t[]){classes - 1, shape[0]}, &dual));
    TERN_TRY(tern_attribute_array(from, from->root, "intercept_", 1, &(int64_t){pairs}, &b));
    TERN_TRY(first_of(from, shape[0], &first));
    size_t bytes = (size_t)pairs * (size_t)shape[0] * sizeof *w;
    if (!(w = tern_arena_take(&from->arena, bytes))) return tern_no_memory(bytes, "support vectors");
    memset(w, 0, bytes);
    pair_weights(dual, first, classes, shape[0], w);
    if (classes == 2) b[0] = -b[0];
    TERN_TRY(tern_classic_put(&c->store, "support.rows", TERN_F32, TERN_SHAPE(shape[0], c->features), rows));
    TERN_TRY(tern_classic_put(&c->store, "pairs.weight", TERN_F32, TERN_SHAPE(pairs, shape[0]), w));
    TERN_TRY(tern_classic_put(&c->store, "pairs.bias", TERN_F32, TERN_SHAPE(pairs), b));
    TERN_TRY(tern_classic_set(c, "rows", (double)shape[0]));
    TERN_TRY(tern_classic_set(c, "gamma", json_number_value(gamma)));
    return put_votes(from, classes, pairs);
}

/* ---- mixtures ------------------------------------------------------------------------------------------------------- */

/* y = (x - mean) P for the factors P [K,F,F], as one product: rows of P^T, biases -mean P.  The constants are log weight
 * + log |P| - F/2 log 2 pi. */
static tern_status put_full(tern_attributes *from, const double *mean, const double *p, bool tied,
                            double *log_weight)
{
    tern_classic *c = from->out;
    int64_t f = c->features, k = c->classes;
    size_t count = (size_t)(k * f * (f + 1));
    double *w = tern_arena_take(&from->arena, count * sizeof *w);
    if (!w) return tern_no_memory(count * sizeof *w, "a mixture");
    double *b = w + k * f * f;
    for (int64_t i = 0; i < k * f; i++) {
        const double *factor = p + (tied ? 0 : i / f * f * f);
        int64_t j = i % f;
        double diagonal = factor[j * f + j];
        if (!(diagonal > 0))
            return tern_fail(TERN_FAILED,
                             "%s: \"precisions_cholesky_\": a diagonal element is %g, expected above 0",
                             from->name, diagonal);
        b[i] = 0;
        for (int64_t n = 0; n < f; n++) {
            w[i * f + n] = factor[n * f + j];
            b[i] -= mean[i / f * f + n] * factor[n * f + j];
        }
        log_weight[i / f] += log(diagonal) - 0.5 * log(2 * acos(-1));
    }
    TERN_TRY(tern_classic_put(&c->store, "whitened.weight", TERN_F32, TERN_SHAPE(k * f, f), w));
    TERN_TRY(tern_classic_put(&c->store, "whitened.bias", TERN_F32, TERN_SHAPE(k * f), b));
    TERN_TRY(tern_classic_put(&c->store, "mixture.constant", TERN_F32, TERN_SHAPE(k), log_weight));
    return tern_classic_set(c, "full", 1);
}

static tern_status read_mixture(tern_attributes *from)
{
    tern_classic *c = from->out;
    const char *kind;
    int64_t k = -1, f = c->features;
    double *weight, *mean, *p;
    TERN_TRY(tern_attribute_array(from, from->root, "weights_", 1, &k, &weight));
    c->classes = (int)k;
    TERN_TRY(tern_classic_set(c, "classes", (double)k));
    TERN_TRY(logs_of(from, "weights_", weight, k));
    TERN_TRY(tern_attribute_array(from, from->root, "means_", 2, (int64_t[]){k, f}, &mean));
    TERN_TRY(tern_attribute_text(from, "covariance_type", "full|tied|diag|spherical", &kind));
    const char *key = "precisions_cholesky_";
    bool tied = strcmp(kind, "tied") == 0, spherical = strcmp(kind, "spherical") == 0;
    if (k * f * f > INT32_MAX / 2)
        return tern_fail(TERN_FAILED, "%s: %lld components of %lld features are too many", from->name,
                         (long long)k, (long long)f);
    if (tied || strcmp(kind, "diag") != 0) {
        if (!spherical) {
            int64_t shape[] = {k, f, f};
            TERN_TRY(tern_attribute_array(from, from->root, key, tied ? 2 : 3, shape + tied, &p));
            return put_full(from, mean, p, tied, weight);
        }
    }
    TERN_TRY(tern_attribute_array(from, from->root, key, spherical ? 1 : 2, (int64_t[]){k, f}, &p));
    double *variance = tern_arena_take(&from->arena, (size_t)(k * f) * sizeof *variance);
    if (!variance) return tern_no_memory((size_t)(k * f) * sizeof *variance, "a mixture");
    for (int64_t i = 0; i < k * f; i++) {
        double q = p[spherical ? i / f : i];
        variance[i] = 1 / (q * q);
    }
    return tern_gaussians_put(c, "mixture", f, mean, variance, weight);
}

/* ---- the document --------------------------------------------------------------------------------------------------- */

static const struct {
    const char *estimator, *net;
    tern_status (*read)(tern_attributes *);
} estimators[] = {
    {"LogisticRegression", "logreg", read_linear},
    {"LinearSVC", "linear-svm", read_linear},
    {"SVC", "rbf-svm", read_support},
    {"GaussianNB", "gnb", read_bayes},
    {"GaussianMixture", "gmm", read_mixture},
    {"KNeighborsClassifier", "knn", read_neighbours},
    {"KMeans", "kmeans", read_means},
    {"DecisionTreeClassifier", "tree", read_trees},
    {"RandomForestClassifier", "forest", read_trees},
    {"ExtraTreesClassifier", "forest", read_trees},
};

static tern_status read_estimator(tern_attributes *from)
{
    const char *name = json_string_value(json_object_get(from->root, "estimator"));
    tern_text known = {0};
    for (size_t i = 0; i < TERN_COUNT(estimators); i++) {
        int64_t features;
        if (!name || strcmp(name, estimators[i].estimator) != 0) continue;
        TERN_TRY(tern_attribute_whole(from, "n_features_in_", 1, 1 << 24, &features));
        from->out->features = (int)features;
        from->out->net = tern_net_find(estimators[i].net);
        TERN_TRY(tern_net_parameters(from->out->net, &from->out->parameters));
        return estimators[i].read(from);
    }
    for (size_t i = 0; i < TERN_COUNT(estimators); i++)
        tern_text_format(&known, "%s%s", i ? ", " : "", estimators[i].estimator);
    tern_status status = tern_fail(TERN_FAILED, "%s: \"estimator\" is %s%.40s%s, expected one of %s",
                                   from->name, name ? "\"" : "", name ? name : "not there", name ? "\"" : "",
                                   known.data ? known.data : "");
    tern_text_free(&known);
    return status;
}

tern_status tern_scikit_parse(const void *bytes, size_t count, const char *name, tern_classic *out)
{
    json_error_t error;
    tern_classic read = {0};
    tern_attributes from = {.name = name, .out = &read};
    from.root = json_loadb(bytes, count, JSON_REJECT_DUPLICATES, &error);
    tern_status status = TERN_OK;
    if (!from.root)
        status = error.text[0] ? tern_fail(TERN_FAILED, "%s: line %d column %d: %s", name, error.line,
                                           error.column, error.text)
                               : tern_no_memory(count, name);
    else if (!json_is_object(from.root))
        status = tern_fail(TERN_FAILED, "%s is not a JSON object", name);
    if (status == TERN_OK) status = read_estimator(&from);
    json_decref(from.root);
    tern_arena_free(&from.arena);
    if (status == TERN_OK)
        *out = read;
    else
        tern_classic_close(&read);
    return status;
}

#else

tern_status tern_scikit_parse(const void *bytes, size_t count, const char *name, tern_classic *out)
{
    (void)bytes, (void)count, (void)out;
    return tern_fail(TERN_USAGE, "%s: this tern was built without jansson, which reads JSON", name);
}

#endif

tern_status tern_scikit_read(const char *path, tern_classic *out)
{
    char *bytes;
    size_t count;
    TERN_TRY(tern_read_file(path, &bytes, &count));
    tern_status status = tern_scikit_parse(bytes, count, path, out);
    tern_release(bytes);
    return status;
}
