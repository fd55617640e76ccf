/* Clusters: k-means in Lloyd's rounds, and mixtures of Gaussians with diagonal covariances by expectation maximisation. */
#include "classic/fit.h"

#include <float.h>
#include <math.h>
#include <string.h>

static double distance(const tern_fit *f, int64_t i, const double *centre)
{
    double sum = 0;
    for (int64_t k = 0; k < f->features; k++) {
        double d = f->x[i * f->features + k] - centre[k];
        sum += d * d;
    }
    return sum;
}

static void take_centre(const tern_fit *f, int64_t i, double *centre)
{
    for (int64_t k = 0; k < f->features; k++) centre[k] = f->x[i * f->features + k];
}

/* k-means++ (Arthur & Vassilvitskii 2007): the next centre is drawn with the squared distances to the nearest so far. */
static void draw_centres(const tern_fit *f, tern_means *m, double *nearest)
{
    tern_rng rng = {f->seed, 61};
    take_centre(f, (int64_t)tern_rng_below(rng, 0, (uint64_t)f->rows), m->centres);
    for (int64_t i = 0; i < f->rows; i++) nearest[i] = DBL_MAX;
    for (int c = 1; c < m->k; c++) {
        double sum = 0, drawn;
        int64_t at = 0;
        for (int64_t i = 0; i < f->rows; i++) {
            nearest[i] = fmin(nearest[i], distance(f, i, m->centres + (int64_t)(c - 1) * f->features));
            sum += nearest[i];
        }
        drawn = tern_rng_uniform(rng, (uint64_t)(4 * c)) * sum;
        while (at < f->rows - 1 && (drawn -= nearest[at]) >= 0) at++;
        take_centre(f, at, m->centres + (int64_t)c * f->features);
    }
}

/* Each sample to its nearest centre; whether any changed. */
static bool assign(const tern_fit *f, tern_means *m, double *nearest)
{
    bool changed = false;
    m->inertia = 0;
    for (int64_t i = 0; i < f->rows; i++) {
        int32_t best = 0;
        nearest[i] = distance(f, i, m->centres);
        for (int32_t c = 1; c < m->k; c++) {
            double d = distance(f, i, m->centres + (int64_t)c * f->features);
            if (!(d < nearest[i])) continue;
            nearest[i] = d;
            best = c;
        }
        changed = changed || m->cluster[i] != best;
        m->cluster[i] = best;
        m->inertia += nearest[i];
    }
    return changed;
}

/* An empty cluster takes the sample that is farthest from its own centre. */
static void fill_empty(const tern_fit *f, tern_means *m, double *nearest, double *count)
{
    for (int32_t c = 0; c < m->k; c++) {
        int64_t far = 0;
        if (count[c] > 0) continue;
        for (int64_t i = 1; i < f->rows; i++)
            if (nearest[i] > nearest[far]) far = i;
        count[m->cluster[far]]--;
        m->cluster[far] = c;
        nearest[far] = 0;
        count[c] = 1;
    }
}

static void centre(const tern_fit *f, tern_means *m, double *nearest, double *count)
{
    int64_t width = f->features;
    for (int c = 0; c < m->k; c++) count[c] = 0;
    for (int64_t i = 0; i < f->rows; i++) count[m->cluster[i]]++;
    fill_empty(f, m, nearest, count);
    memset(m->centres, 0, (size_t)m->k * (size_t)width * sizeof *m->centres);
    for (int64_t i = 0; i < f->rows; i++)
        for (int64_t k = 0; k < width; k++) m->centres[m->cluster[i] * width + k] += f->x[i * width + k];
    for (int64_t i = 0; i < m->k * width; i++) m->centres[i] /= count[i / width];
}

void tern_means_free(tern_means *m)
{
    tern_release(m->centres);
    tern_release(m->cluster);
    *m = (tern_means){0};
}

tern_status tern_means_run(tern_means *m, const tern_fit *f, int k, bool first)
{
    enum { MOST_ROUNDS = 300 };
    *m = (tern_means){.k = k};
    if (k < 1 || k > f->rows)
        return tern_fail(TERN_USAGE, "%d clusters of %lld samples; expected from 1 to as many clusters", k,
                         (long long)f->rows);
    size_t n = (size_t)k * (size_t)f->features;
    double *nearest = tern_take_array((size_t)f->rows + (size_t)k, sizeof *nearest);
    m->centres = tern_take_array(n, sizeof *m->centres);
    m->cluster = tern_take_array((size_t)f->rows, sizeof *m->cluster);
    bool good = nearest && m->centres && m->cluster;
    for (int c = 0; good && first && c < k; c++) take_centre(f, c, m->centres + (int64_t)c * f->features);
    if (good && !first) draw_centres(f, m, nearest);
    for (int64_t i = 0; good && i < f->rows; i++) m->cluster[i] = -1;
    while (good && m->rounds < MOST_ROUNDS) {
        bool changed = assign(f, m, nearest);
        m->rounds++;
        if (!changed) break;
        centre(f, m, nearest, nearest + f->rows);
    }
    tern_release(nearest);
    return good ? TERN_OK : tern_no_memory(n * sizeof *m->centres, "clusters");
}

tern_status tern_fit_means(const tern_fit *f, tern_classic *out)
{
    tern_means m;
    tern_status status = tern_means_run(&m, f, f->classes, tern_fit_option(f, "first") != 0);
    out->clusters = true;
    out->rounds = m.rounds;
    out->score = m.inertia;
    if (status == TERN_OK)
        status = tern_classic_put(&out->store, "centres.rows", TERN_F32, TERN_SHAPE(f->classes, f->features),
                                  m.centres);
    tern_means_free(&m);
    return status;
}

/* ---- mixtures of Gaussians ------------------------------------------------------------------------------------------- */

typedef struct mixture {
    const tern_fit *fit;
    double *share; /* [rows, k]: of each component in a sample */
    double *weight, *mean, *variance;
    int k;
} mixture;

/* Weights, means and variances of the shares; 1e-6 is added to variances. */
static void maximise(mixture *m)
{
    int64_t width = m->fit->features, rows = m->fit->rows;
    for (int c = 0; c < m->k; c++) {
        double count = 10 * DBL_EPSILON, *mean = m->mean + c * width, *variance = m->variance + c * width;
        for (int64_t i = 0; i < rows; i++) count += m->share[i * m->k + c];
        for (int64_t k = 0; k < width; k++) {
            double sum = 0, square = 0;
            for (int64_t i = 0; i < rows; i++) sum += m->share[i * m->k + c] * m->fit->x[i * width + k];
            mean[k] = sum / count;
            for (int64_t i = 0; i < rows; i++) {
                double d = m->fit->x[i * width + k] - mean[k];
                square += m->share[i * m->k + c] * d * d;
            }
            variance[k] = square / count + 1e-6;
        }
        m->weight[c] = count / (double)rows;
    }
}

/* Shares of the components in each sample; the mean log-likelihood of a sample. */
static double expect(mixture *m)
{
    int64_t width = m->fit->features;
    double total = 0;
    for (int64_t i = 0; i < m->fit->rows; i++) {
        double *z = m->share + i * m->k, highest = -INFINITY, sum = 0;
        for (int c = 0; c < m->k; c++) {
            const double *mean = m->mean + c * width, *variance = m->variance + c * width;
            z[c] = log(m->weight[c]);
            for (int64_t k = 0; k < width; k++) {
                double d = m->fit->x[i * width + k] - mean[k];
                z[c] -= 0.5 * (log(2 * acos(-1) * variance[k]) + d * d / variance[k]);
            }
            highest = fmax(highest, z[c]);
        }
        for (int c = 0; c < m->k; c++) sum += z[c] = exp(z[c] - highest);
        for (int c = 0; c < m->k; c++) z[c] /= sum;
        total += highest + log(fmax(sum, DBL_MIN));
    }
    return total / (double)m->fit->rows;
}

/* From the clusters of k-means on. */
static tern_status begin(mixture *m, const tern_fit *f)
{
    tern_means means;
    tern_status status = tern_means_run(&means, f, m->k, false);
    for (int64_t i = 0; status == TERN_OK && i < f->rows; i++) m->share[i * m->k + means.cluster[i]] = 1;
    tern_means_free(&means);
    return status;
}

tern_status tern_fit_mixture(const tern_fit *f, tern_classic *out)
{
    enum { MOST_ROUNDS = 100 };
    size_t k = (size_t)f->classes, n = k * (size_t)f->features, shares = (size_t)f->rows * k;
    if (tern_fit_option(f, "full") != 0)
        return tern_fail(TERN_USAGE,
                         "--full 1: full covariances are read from scikit-learn, not fitted here");
    mixture m = {.fit = f, .k = f->classes, .share = tern_take_array(shares + 2 * n + k, sizeof(double))};
    if (!m.share) return tern_no_memory(shares * sizeof(double), "a mixture");
    m.mean = m.share + shares;
    m.variance = m.mean + n;
    m.weight = m.variance + n;
    tern_status status = begin(&m, f);
    double before = -INFINITY;
    while (status == TERN_OK && out->rounds < MOST_ROUNDS) {
        maximise(&m);
        out->score = expect(&m);
        out->rounds++;
        if (fabs(out->score - before) < 1e-3) break;
        before = out->score;
    }
    out->clusters = true;
    for (size_t c = 0; c < k; c++) m.weight[c] = log(m.weight[c]);
    if (status == TERN_OK)
        status = tern_gaussians_put(out, "mixture", f->features, m.mean, m.variance, m.weight);
    tern_release(m.share);
    return status;
}
