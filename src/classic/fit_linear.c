/* Linear scores: logistic regression by L-BFGS, support vectors by dual coordinate descent. */
#include "classic/fit.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Weights were fitted on features over `scale`: rows of weights [features], then the bias, as parameters of features as
 * they are. */
static tern_status put_scores(tern_classic *out, int64_t features, double scale, const double *rows)
{
    size_t k = (size_t)out->classes, n = (size_t)features;
    double *w = tern_take_array(k * (n + 1), sizeof *w), *b = w ? w + k * n : NULL;
    if (!w) return tern_no_memory(k * n * sizeof *w, "scores");
    for (size_t c = 0; c < k; c++) {
        for (size_t i = 0; i < n; i++) w[c * n + i] = rows[c * (n + 1) + i] / scale;
        b[c] = rows[c * (n + 1) + n];
    }
    tern_status status =
        tern_classic_put(&out->store, "scores.weight", TERN_F32, TERN_SHAPE(out->classes, features), w);
    if (status == TERN_OK)
        status = tern_classic_put(&out->store, "scores.bias", TERN_F32, TERN_SHAPE(out->classes), b);
    tern_release(w);
    return status;
}

static tern_status check_options(double cost, double scale)
{
    if (cost > 0 && cost <= DBL_MAX && scale > 0 && scale <= DBL_MAX) return TERN_OK;
    return tern_fail(TERN_USAGE, "--cost is %g and --scale %g, expected numbers above 0", cost, scale);
}

/* ---- logistic regression --------------------------------------------------------------------------------------------- */

enum { HISTORY = 10, MOST_ROUNDS = 2000 };

typedef struct logistic {
    const tern_fit *fit;
    int64_t n; /* weights: [classes, features + 1], the last of a row is the bias */
    double cost, scale, *z;
} logistic;

/* Of two classes the first has no weights of its own. */
static int first_class(const logistic *l)
{
    return l->fit->classes == 2;
}

/* log sum e^z; z becomes the gradient of the loss. */
static double log_loss(double *z, int classes, int label)
{
    double highest = z[0], sum = 0, own = z[label];
    for (int c = 1; c < classes; c++) highest = fmax(highest, z[c]);
    for (int c = 0; c < classes; c++) sum += exp(z[c] - highest);
    double log_sum = highest + log(fmax(sum, DBL_MIN));
    for (int c = 0; c < classes; c++) z[c] = exp(z[c] - log_sum) - (c == label);
    return log_sum - own;
}

/* The objective at w, and its gradient. */
static double objective(const logistic *l, const double *w, double *gradient)
{
    const tern_fit *f = l->fit;
    int64_t width = f->features, row = width + 1;
    double total = 0;
    memset(gradient, 0, (size_t)l->n * sizeof *gradient);
    for (int64_t i = 0; i < f->rows; i++) {
        const float *x = f->x + i * width;
        l->z[0] = 0;
        for (int c = first_class(l); c < f->classes; c++) {
            double sum = 0;
            for (int64_t k = 0; k < width; k++) sum += w[c * row + k] * x[k];
            l->z[c] = sum / l->scale + w[c * row + width];
        }
        total += l->cost * log_loss(l->z, f->classes, f->y[i]);
        for (int c = first_class(l); c < f->classes; c++) {
            double g = l->cost * l->z[c];
            for (int64_t k = 0; k < width; k++) gradient[c * row + k] += g * x[k] / l->scale;
            gradient[c * row + width] += g;
        }
    }
    for (int64_t i = 0; i < l->n; i++) {
        if (i % row == width) continue;
        total += 0.5 * w[i] * w[i];
        gradient[i] += w[i];
    }
    return total;
}

static double dot(int64_t n, const double *a, const double *b)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void add(int64_t n, double factor, const double *x, double *y)
{
    for (int64_t i = 0; i < n; i++) y[i] += factor * x[i];
}

/* Steps s and changes of the gradient y of the last rounds, and where all else is kept. */
typedef struct memory {
    double *all, *s[HISTORY], *y[HISTORY], *w, *g, *next_w, *next_g, *d;
    int rounds;
} memory;

static tern_status open_memory(memory *m, size_t n)
{
    *m = (memory){.all = tern_take_array((2 * HISTORY + 5) * n, sizeof(double))};
    if (!m->all) return tern_no_memory((2 * HISTORY + 5) * n * sizeof(double), "L-BFGS");
    double *at = m->all, **others[] = {&m->w, &m->g, &m->next_w, &m->next_g, &m->d};
    for (int i = 0; i < HISTORY; i++, at += 2 * n) m->s[i] = at, m->y[i] = at + n;
    for (size_t i = 0; i < TERN_COUNT(others); i++, at += n) *others[i] = at;
    return TERN_OK;
}

/* d = -H g (Nocedal 1980). */
static void direction(memory *m, int64_t n)
{
    double a[HISTORY] = {0};
    int kept = m->rounds < HISTORY ? m->rounds : HISTORY;
    for (int64_t i = 0; i < n; i++) m->d[i] = -m->g[i];
    for (int j = 1; j <= kept; j++) {
        int at = (m->rounds - j) % HISTORY;
        a[at] = dot(n, m->s[at], m->d) / dot(n, m->s[at], m->y[at]);
        add(n, -a[at], m->y[at], m->d);
    }
    if (kept) {
        const double *s = m->s[(m->rounds - 1) % HISTORY], *y = m->y[(m->rounds - 1) % HISTORY];
        double scale = dot(n, s, y) / dot(n, y, y);
        for (int64_t i = 0; i < n; i++) m->d[i] *= scale;
    }
    for (int j = kept; j >= 1; j--) {
        int at = (m->rounds - j) % HISTORY;
        add(n, a[at] - dot(n, m->y[at], m->d) / dot(n, m->s[at], m->y[at]), m->s[at], m->d);
    }
}

/* One step downhill; false when there is none. */
static bool step(const logistic *l, memory *m, double *value)
{
    double slope, length = 1, found = 0;
    direction(m, l->n);
    slope = dot(l->n, m->d, m->g);
    if (m->rounds == 0) length = 1 / (sqrt(-slope) + 1e-300);
    for (int halved = 0; halved < 60; halved++, length /= 2) {
        memcpy(m->next_w, m->w, (size_t)l->n * sizeof *m->w);
        add(l->n, length, m->d, m->next_w);
        found = objective(l, m->next_w, m->next_g);
        if (found <= *value + 1e-4 * length * slope) break;
    }
    if (!(found < *value)) return false;
    double *s = m->s[m->rounds % HISTORY], *y = m->y[m->rounds % HISTORY];
    for (int64_t i = 0; i < l->n; i++) {
        s[i] = m->next_w[i] - m->w[i];
        y[i] = m->next_g[i] - m->g[i];
        m->w[i] = m->next_w[i];
        m->g[i] = m->next_g[i];
    }
    *value = found;
    m->rounds++; /* the objective is strictly convex but for the biases: s y > 0 */
    return dot(l->n, s, y) > 0;
}

tern_status tern_fit_logistic(const tern_fit *f, tern_classic *out)
{
    logistic l = {.fit = f,
                  .n = (int64_t)f->classes * (f->features + 1),
                  .cost = tern_fit_option(f, "cost"),
                  .scale = tern_fit_option(f, "scale")};
    memory m;
    TERN_TRY(check_options(l.cost, l.scale));
    TERN_TRY(open_memory(&m, (size_t)l.n));
    tern_status status = TERN_OK;
    if (!(l.z = tern_take_array((size_t)f->classes, sizeof *l.z))) status = tern_no_memory(64, "scores");
    if (status == TERN_OK) {
        double value = objective(&l, m.w, m.g), tolerance = 1e-6 * (1 + sqrt(dot(l.n, m.g, m.g)));
        while (m.rounds < MOST_ROUNDS && sqrt(dot(l.n, m.g, m.g)) > tolerance && step(&l, &m, &value)) {
        }
        out->rounds = m.rounds;
        status = put_scores(out, f->features, l.scale, m.w);
    }
    tern_release(l.z);
    tern_release(m.all);
    return status;
}

/* ---- linear support vectors ------------------------------------------------------------------------------------------ */

typedef struct support {
    const tern_fit *fit;
    double cost, scale, *norm, *alpha;
    uint32_t *order;
} support;

/* One sample's multiplier towards the best; the projected gradient before. */
static double ascend(const support *s, int64_t i, int class, double *w)
{
    int64_t width = s->fit->features;
    const float *x = s->fit->x + i * width;
    double y = s->fit->y[i] == class ? 1 : -1, sum = w[width];
    for (int64_t k = 0; k < width; k++) sum += w[k] * x[k] / s->scale;
    double g = y * sum - 1 + s->alpha[i] / (2 * s->cost), old = s->alpha[i];
    double projected = old == 0 ? fmin(g, 0) : g;
    if (projected == 0) return 0;
    s->alpha[i] = fmax(0, old - g / (s->norm[i] + 1 / (2 * s->cost)));
    double change = (s->alpha[i] - old) * y;
    for (int64_t k = 0; k < width; k++) w[k] += change * x[k] / s->scale;
    w[width] += change;
    return projected;
}

/* One class against the rest: w [features + 1], the bias as the weight of a feature 1. */
static int against_rest(const support *s, int class, double *w)
{
    enum { MOST_EPOCHS = 1000 };
    int64_t rows = s->fit->rows;
    memset(s->alpha, 0, (size_t)rows * sizeof *s->alpha);
    for (int epoch = 0; epoch < MOST_EPOCHS; epoch++) {
        double highest = -INFINITY, lowest = INFINITY;
        tern_rng rng = {s->fit->seed, (uint64_t) class << 32 | (uint64_t)epoch};
        for (int64_t i = 0; i < rows; i++) s->order[i] = (uint32_t)i;
        tern_rng_permute(rng, s->order, (size_t)rows);
        for (int64_t i = 0; i < rows; i++) {
            double projected = ascend(s, s->order[i], class, w);
            highest = fmax(highest, projected);
            lowest = fmin(lowest, projected);
        }
        if (highest - lowest < 1e-4) return epoch + 1;
    }
    return MOST_EPOCHS;
}

tern_status tern_fit_support(const tern_fit *f, tern_classic *out)
{
    size_t rows = (size_t)f->rows, width = (size_t)f->features + 1;
    support s = {.fit = f, .cost = tern_fit_option(f, "cost"), .scale = tern_fit_option(f, "scale")};
    TERN_TRY(check_options(s.cost, s.scale));
    double *all = tern_take_array(2 * rows + (size_t)f->classes * width, sizeof *all),
           *w = all ? all + 2 * rows : NULL;
    s.order = all ? tern_take_array(rows, sizeof *s.order) : NULL;
    tern_status status = s.order ? TERN_OK : tern_no_memory(rows * 2 * sizeof *all, "multipliers");
    if (status == TERN_OK) {
        s.norm = all;
        s.alpha = all + rows;
        for (size_t i = 0; i < rows; i++) {
            s.norm[i] = 1;
            for (size_t k = 0; k + 1 < width; k++) {
                double x = f->x[i * (width - 1) + k] / s.scale;
                s.norm[i] += x * x;
            }
        }
        for (int c = 0; c < f->classes; c++) {
            int rounds = against_rest(&s, c, w + (size_t)c * width);
            if (rounds > out->rounds) out->rounds = rounds;
        }
        status = put_scores(out, f->features, s.scale, w);
    }
    tern_release(s.order);
    tern_release(all);
    return status;
}
