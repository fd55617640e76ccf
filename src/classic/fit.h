/* What the fitting functions share: one for each net. */
#ifndef TERN_CLASSIC_FIT_H
#define TERN_CLASSIC_FIT_H

#include "classic/classic.h"

/* Each fills the parameters of `out`, whose net, features and classes are set. */
typedef tern_status tern_fitter(const tern_fit *fit, tern_classic *out);
tern_fitter tern_fit_logistic, tern_fit_support, tern_fit_means, tern_fit_mixture, tern_fit_trees;

/* A parameter of the net by name. */
double tern_fit_option(const tern_fit *fit, const char *name);

/* Lloyd's rounds over the samples: centres [k, features], the cluster of each sample, the sum of squared distances. */
typedef struct tern_means {
    double *centres, inertia;
    int32_t *cluster; /* [rows] */
    int k, rounds;
} tern_means;
/* first: the first k samples are the first centres, else k-means++.  Free with tern_means_free, also after a failure. */
tern_status tern_means_run(tern_means *means, const tern_fit *fit, int k, bool first);
void tern_means_free(tern_means *means);

#endif
