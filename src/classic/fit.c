/* Fitting: what needs no rounds, and the table of all. */
#include "classic/fit.h"

#include <math.h>
#include <string.h>

double tern_fit_option(const tern_fit *fit, const char *name)
{
    double value = 0;
    if (tern_net_get(fit->net, fit->parameters, name, &value) != TERN_OK) tern_clear();
    return value;
}

/* ---- Gaussian naive Bayes ------------------------------------------------------------------------------------------ */

/* Means, then squared distances from them, of each class [classes, features]; count [classes]. */
static void moments(const tern_fit *f, double *count, double *mean, double *variance)
{
    int64_t width = f->features;
    for (int64_t i = 0; i < f->rows; i++) {
        count[f->y[i]]++;
        for (int64_t k = 0; k < width; k++) mean[f->y[i] * width + k] += f->x[i * width + k];
    }
    for (int64_t i = 0; i < f->classes * width; i++) mean[i] /= count[i / width];
    for (int64_t i = 0; i < f->rows; i++)
        for (int64_t k = 0; k < width; k++) {
            double d = f->x[i * width + k] - mean[f->y[i] * width + k];
            variance[f->y[i] * width + k] += d * d;
        }
    for (int64_t i = 0; i < f->classes * width; i++) variance[i] /= count[i / width];
}

/* The largest variance of a feature over all samples. */
static double largest_variance(const tern_fit *f)
{
    double largest = 0;
    for (int64_t k = 0; k < f->features; k++) {
        double mean = 0, sum = 0;
        for (int64_t i = 0; i < f->rows; i++) mean += f->x[i * f->features + k];
        mean /= (double)f->rows;
        for (int64_t i = 0; i < f->rows; i++) {
            double d = f->x[i * f->features + k] - mean;
            sum += d * d;
        }
        largest = fmax(largest, sum / (double)f->rows);
    }
    return largest;
}

static tern_status fit_bayes(const tern_fit *f, tern_classic *out)
{
    size_t n = (size_t)f->classes * (size_t)f->features, k = (size_t)f->classes;
    double *all = tern_take_array(2 * n + k, sizeof *all);
    if (!all) return tern_no_memory(2 * n * sizeof *all, "Gaussians");
    double *mean = all, *variance = all + n, *prior = variance + n, least = 1e-9 * largest_variance(f);
    tern_status status = TERN_OK;
    moments(f, prior, mean, variance);
    for (size_t i = 0; i < n; i++) variance[i] += least;
    for (size_t c = 0; c < k; c++) {
        if (prior[c] == 0) status = tern_fail(TERN_FAILED, "class %zu has no samples to fit", c);
        prior[c] = log(prior[c] / (double)f->rows);
    }
    if (status == TERN_OK) status = tern_gaussians_put(out, "gaussian", f->features, mean, variance, prior);
    tern_release(all);
    return status;
}

/* ---- nearest neighbours -------------------------------------------------------------------------------------------- */

static tern_status fit_neighbours(const tern_fit *f, tern_classic *out)
{
    size_t n = (size_t)f->rows * (size_t)f->features;
    double k = tern_fit_option(f, "k"), *all = tern_take_array(n + (size_t)f->rows, sizeof *all);
    if (!all) return tern_no_memory(n * sizeof *all, "neighbours");
    for (size_t i = 0; i < n; i++) all[i] = f->x[i];
    for (int64_t i = 0; i < f->rows; i++) all[n + (size_t)i] = f->y[i];
    tern_status status = TERN_OK;
    if (!(k >= 1 && k <= (double)f->rows))
        status = tern_fail(TERN_USAGE, "--k is %g, expected 1 to %lld, the training samples", k,
                           (long long)f->rows);
    tern_shape rows = TERN_SHAPE(f->rows, f->features), labels = TERN_SHAPE(f->rows);
    if (status == TERN_OK) status = tern_classic_put(&out->store, "neighbours.rows", TERN_F32, rows, all);
    if (status == TERN_OK)
        status = tern_classic_put(&out->store, "neighbours.labels", TERN_I32, labels, all + n);
    if (status == TERN_OK) status = tern_classic_set(out, "k", k);
    if (status == TERN_OK) status = tern_classic_set(out, "rows", (double)f->rows);
    tern_release(all);
    return status;
}

/* ---- the table ------------------------------------------------------------------------------------------------------- */

static tern_fitter *fitter_of(const char *net)
{
    static const struct {
        const char *net;
        tern_fitter *fit;
    } fitters[] = {
        {"logreg", tern_fit_logistic}, {"linear-svm", tern_fit_support}, {"gnb", fit_bayes},
        {"gmm", tern_fit_mixture},     {"knn", fit_neighbours},          {"kmeans", tern_fit_means},
        {"tree", tern_fit_trees},      {"forest", tern_fit_trees},
    };
    for (size_t i = 0; i < TERN_COUNT(fitters); i++)
        if (strcmp(fitters[i].net, net) == 0) return fitters[i].fit;
    return NULL;
}

static tern_status check_samples(const tern_fit *f)
{
    if (f->rows < 1 || f->rows > INT32_MAX)
        return tern_fail(TERN_USAGE, "%lld samples to fit, expected 1 to 2^31 - 1", (long long)f->rows);
    if (f->classes < 2) return tern_fail(TERN_USAGE, "%d classes to fit, expected at least 2", f->classes);
    for (int64_t i = 0; i < f->rows * f->features; i++)
        if (!isfinite(f->x[i]))
            return tern_fail(TERN_FAILED, "feature %lld of sample %lld is %g, expected finite numbers",
                             (long long)(i % f->features), (long long)(i / f->features), (double)f->x[i]);
    for (int64_t i = 0; f->y && i < f->rows; i++)
        if (f->y[i] < 0 || f->y[i] >= f->classes)
            return tern_fail(TERN_FAILED, "the label of sample %lld is %d, expected 0 to %d", (long long)i,
                             f->y[i], f->classes - 1);
    return TERN_OK;
}

tern_status tern_classic_fit(const tern_fit *fit, tern_classic *out)
{
    tern_fitter *fitter = fitter_of(fit->net->name);
    tern_classic fitted = {.net = fit->net, .features = fit->features, .classes = fit->classes};
    if (!fitter)
        return tern_fail(TERN_USAGE,
                         "%s is not fitted here: it is made by tern convert, of what scikit-learn fitted or "
                         "(fixed16) of a "
                         "run",
                         fit->net->name);
    TERN_TRY(check_samples(fit));
    tern_status status = tern_net_parameters(fit->net, &fitted.parameters);
    double value;
    for (const tern_option *o = fit->net->options; status == TERN_OK && o->name; o++) {
        status = tern_net_get(fit->net, fit->parameters, o->name, &value);
        if (status == TERN_OK) status = tern_classic_set(&fitted, o->name, value);
    }
    if (status == TERN_OK) status = tern_classic_set(&fitted, "classes", fit->classes);
    if (status == TERN_OK) status = fitter(fit, &fitted);
    if (status == TERN_OK)
        *out = fitted;
    else
        tern_classic_close(&fitted);
    return status;
}
