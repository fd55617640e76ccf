/* classic: learners that are not trained by gradients: fitted from data here, or read from what scikit-learn fitted.
 * Either way the result is a net of the zoo (zoo/classic.c), its parameters and a store: what tern train leaves, and
 * what every command takes. */
#ifndef TERN_CLASSIC_H
#define TERN_CLASSIC_H

#include "train/train.h"

typedef struct tern_classic {
    const tern_net *net;
    void *parameters; /* of the net */
    tern_store store;
    int features, classes;
    char **class_names; /* [classes], or NULL where classes are numbers */
    bool clusters;      /* classes are clusters, not those of labels */
    int rounds;         /* of fitting, where it goes in rounds; 0: not fitted here */
    double score;       /* of kmeans the inertia, of gmm the mean log-likelihood of a sample */
} tern_classic;
void tern_classic_close(tern_classic *learner);

/* A fitted estimator of scikit-learn as JSON: {"estimator": its class, then its attributes by their names, arrays as
 * nested lists} (python/tern/scikit.py writes it).  LogisticRegression, LinearSVC, SVC with radial kernel, GaussianNB,
 * GaussianMixture, KNeighborsClassifier, KMeans, DecisionTreeClassifier, RandomForestClassifier, ExtraTreesClassifier.
 * Features are taken as they are (mean 0, deviation 1).  Every shape, number and index is checked: TERN_FAILED names
 * file, attribute, what was expected and found; *out is zero then.  TERN_USAGE: built without jansson. */
tern_status tern_scikit_parse(const void *bytes, size_t count, const char *name, tern_classic *out);
tern_status tern_scikit_read(const char *path, tern_classic *out);

/* Samples x [rows, features] with labels y in 0 .. classes-1 (read by all but kmeans and gmm). */
typedef struct tern_fit {
    const tern_net *net; /* a classic one */
    const void *parameters;
    const float *x;
    const int32_t *y;
    int64_t rows;
    int features, classes;
    uint64_t seed; /* of all but logreg, gnb and knn */
} tern_fit;
/* Fits in double, to the same bits on any machine with the same C library.  logreg minimises 1/2 |W|^2 + cost sum of
 * log-losses (L-BFGS), linear-svm 1/2 |w|^2 + cost sum of squared hinges of each class against the rest (dual coordinate
 * descent: Hsieh et al., ICML 2008), both over x / scale; gnb adds 1e-9 of the largest variance; tree and forest split by
 * Gini's impurity, forests over bootstrap samples and sqrt(features) features a split; kmeans goes in Lloyd's rounds, gmm
 * (diagonal) in those of EM.  TERN_USAGE: a parameter that does not go with the data, or rbf-svm, which is only read.
 * *out is zero after a failure. */
tern_status tern_classic_fit(const tern_fit *fit, tern_classic *out);

/* The parameters of a fitted learner in fixed point of 16 bits, into to->store and to->parameters, those of to->net = NET-fixed16.  Binary
 * points come from the largest feature of the samples and from what is stored; what does not fit saturates. */
tern_status tern_classic_fix(const tern_store *from, const tern_samples *samples, tern_classic *to);

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

/* Parameter `name` of the store, made of doubles; `values` stay the caller's.  TERN_FAILED: one is not finite in the
 * format, or no whole number of it. */
tern_status tern_classic_put(tern_store *store, const char *name, tern_dtype dtype, tern_shape shape,
                             const double *values);
/* Set a parameter of the net. */
tern_status tern_classic_set(tern_classic *learner, const char *name, double value);

/* Nodes of trees one behind the other, as tree_walk takes them, and how they become parameters. */
typedef struct tern_forest {
    double *feature, *threshold, *left, *right; /* [nodes]; thresholds are rounded down to floats by put */
    double *value;                              /* [leaves, classes] */
    double *roots;                              /* [trees] */
    int nodes, leaves, trees, depth, classes;
} tern_forest;
/* Room for so many nodes and trees (and as many leaves as nodes); free with tern_forest_free, also after a failure. */
tern_status tern_forest_open(tern_forest *forest, int64_t nodes, int64_t trees, int64_t classes);
void tern_forest_free(tern_forest *forest);
tern_status tern_forest_put(const tern_forest *forest, tern_classic *learner);

/* Class means and variances [classes, features], log priors [classes]: parameters of gnb, and of gmm with diagonal
 * covariances (layer "gaussian" or "mixture"). */
tern_status tern_gaussians_put(tern_classic *learner, const char *layer, int64_t features, const double *mean,
                               const double *variance, const double *log_prior);

#endif
