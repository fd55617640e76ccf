/* A fitted learner in fixed point of 16 bits (NET-fixed16): the largest feature of samples says where the binary point of features is,
 * and what is stored where its own is. */
#include "classic/classic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    LARGEST = 32767,
    WIDEST = 16384, /* of a feature, so that differences fit, too */
    UNIT_PLACES = 8 /* of a difference in units of the standard deviation, times the root of a half */
};

typedef struct tern_fixing {
    const tern_store *from;
    tern_classic *to;
    int features, point; /* of features: binary places */
    int places;          /* of a term of a sum, as zoo/classic.c has it */
} tern_fixing;

/* Places of the largest power of two that leaves numbers up to `most` below `limit`. */
static int point_below(double most, double limit)
{
    int point = most > 0 ? (int)floor(log2(limit / most)) : 0;
    return point < -48 ? -48 : point > 48 ? 48 : point;
}

static const tern_tensor *find(const tern_fixing *f, const char *name)
{
    int index = tern_store_find(f->from, name);
    return index >= 0 ? &f->from->tensors[index] : NULL;
}

static double largest_of(const tern_tensor *t)
{
    double most = 0;
    for (int64_t i = 0; i < tern_elements(&t->shape); i++) most = fmax(most, fabs(tern_get(t, i)));
    return most;
}

static tern_status put_point(const tern_fixing *f, const char *name, int point)
{
    return tern_classic_put(&f->to->store, name, TERN_F32, TERN_SHAPE(1), &(double){point});
}

/* The numbers of a tensor, or their roots, as codes: halves up, saturated; or rounded down. */
typedef enum tern_coding { CODES, CODES_BELOW, CODES_OF_ROOTS } tern_coding;
static tern_status put_codes(const tern_fixing *f, const tern_tensor *from, const char *name, int point,
                             tern_coding coding)
{
    int64_t n = tern_elements(&from->shape);
    double *codes = tern_take_array((size_t)n + 1, sizeof *codes);
    if (!codes) return tern_no_memory((size_t)n * sizeof *codes, "codes");
    for (int64_t i = 0; i < n; i++) {
        double x = tern_get(from, i);
        x = ldexp(coding == CODES_OF_ROOTS ? sqrt(x) : x, point);
        codes[i] = fmin(fmax(floor(coding == CODES_BELOW ? x : x + 0.5), -LARGEST - 1), LARGEST);
    }
    tern_status status = tern_classic_put(&f->to->store, name, TERN_I16, from->shape, codes);
    tern_release(codes);
    return status;
}

static tern_status copy(const tern_fixing *f, const char *name)
{
    const tern_tensor *t = find(f, name);
    tern_store *to = &f->to->store;
    int index;
    if (!t) return tern_fail(TERN_FAILED, "the learner has no parameter %s", name);
    tern_type type = {.dtype = t->dtype, .shape = t->shape};
    TERN_TRY(tern_store_need(to, name, &type, (tern_init){0}, 0, &index));
    memcpy(to->tensors[index].data, t->data, tern_bytes_of(t->dtype, tern_elements(&t->shape)));
    to->version++;
    return TERN_OK;
}

/* ---- the learners ----------------------------------------------------------------------------------------------------- */

static tern_status fix_linear(const tern_fixing *f, const tern_tensor *weight)
{
    int point = point_below(largest_of(weight), LARGEST);
    TERN_TRY(put_codes(f, weight, "scores.weight", point, CODES));
    TERN_TRY(copy(f, "scores.bias"));
    return put_point(f, "result.point", f->point + point - f->places);
}

/* Half of the roots have 9 bits or more, one more than differences keep behind the point.  Variances of next to nothing, of features that never change, have larger roots than
 * fit: those saturate. */
static tern_status point_of_roots(const tern_tensor *precision, int *point)
{
    int64_t n = tern_elements(&precision->shape);
    double *roots = tern_take_array((size_t)n + 1, sizeof *roots);
    if (!roots) return tern_no_memory((size_t)n * sizeof *roots, "roots of precisions");
    for (int64_t i = 0; i < n; i++) roots[i] = sqrt(tern_get(precision, i));
    tern_sort_numbers(roots, (size_t)n);
    int fits = point_below(roots[n - 1], LARGEST), fine = point_below(roots[n / 2], 511);
    *point = fits > fine ? fits : fine;
    tern_release(roots);
    return TERN_OK;
}

static tern_status fix_bayes(const tern_fixing *f, const tern_tensor *mean)
{
    const tern_tensor *precision = find(f, "gaussian.precision");
    int point = 0;
    if (!precision) return tern_fail(TERN_FAILED, "the learner has no parameter gaussian.precision");
    TERN_TRY(point_of_roots(precision, &point));
    int inner = f->point + point - UNIT_PLACES;
    inner = inner < 0 ? 0 : inner > 31 ? 31 : inner;
    TERN_TRY(put_codes(f, mean, "gaussian.mean", f->point, CODES));
    TERN_TRY(put_codes(f, precision, "gaussian.root", point, CODES_OF_ROOTS));
    TERN_TRY(copy(f, "gaussian.constant"));
    TERN_TRY(tern_classic_set(f->to, "inner", inner));
    return put_point(f, "result.point", 2 * (f->point + point - inner) - f->places);
}

static tern_status fix_neighbours(const tern_fixing *f, const tern_tensor *rows)
{
    TERN_TRY(put_codes(f, rows, "neighbours.rows", f->point, CODES));
    return copy(f, "neighbours.labels");
}

static tern_status fix_centres(const tern_fixing *f, const tern_tensor *rows)
{
    TERN_TRY(put_codes(f, rows, "centres.rows", f->point, CODES));
    return put_point(f, "result.point", 2 * f->point - f->places);
}

/* Codes are at most a threshold's where they are at most the whole number below it. */
static tern_status fix_trees(const tern_fixing *f, const tern_tensor *threshold)
{
    static const char *const same[] = {"trees.feature", "trees.left", "trees.right", "trees.roots"};
    const tern_tensor *value = find(f, "trees.value");
    if (!value) return tern_fail(TERN_FAILED, "the learner has no parameter trees.value");
    for (size_t i = 0; i < TERN_COUNT(same); i++) TERN_TRY(copy(f, same[i]));
    int point = point_below(largest_of(value), LARGEST);
    TERN_TRY(put_codes(f, threshold, "trees.threshold", f->point, CODES_BELOW));
    TERN_TRY(put_codes(f, value, "trees.value", point, CODES));
    return put_point(f, "result.point", point);
}

/* ---- all of them ------------------------------------------------------------------------------------------------------- */

static tern_status largest_feature(const tern_samples *samples, double *most, int *features)
{
    const tern_batch *b;
    tern_loader *loader;
    tern_shape sample = samples->images.shape;
    *features = (int)tern_elements_from(&sample, 1);
    TERN_TRY(tern_loader_open(&loader, samples, &(tern_loader_options){.batch = 1}));
    tern_loader_begin(loader, 0, 0);
    for (*most = 0; (b = tern_loader_next(loader)) != NULL;)
        for (int i = 0; i < *features; i++) *most = fmax(*most, fabs((double)b->images[i]));
    tern_loader_close(loader);
    return TERN_OK;
}

tern_status tern_classic_fix(const tern_store *from, const tern_samples *samples, tern_classic *to)
{
    static const struct {
        const char *name;
        tern_status (*fix)(const tern_fixing *f, const tern_tensor *first);
    } kinds[] = {{"scores.weight", fix_linear},
                 {"gaussian.mean", fix_bayes},
                 {"neighbours.rows", fix_neighbours},
                 {"centres.rows", fix_centres},
                 {"trees.threshold", fix_trees}};
    tern_fixing f = {.from = from, .to = to};
    double most;
    TERN_TRY(largest_feature(samples, &most, &f.features));
    f.point = point_below(most, WIDEST);
    while (1LL << f.places < f.features) f.places++;
    TERN_TRY(put_point(&f, "input.point", f.point));
    for (size_t i = 0; i < TERN_COUNT(kinds); i++)
        if (find(&f, kinds[i].name)) return kinds[i].fix(&f, find(&f, kinds[i].name));
    return tern_fail(TERN_FAILED, "%s: the run has none of a learner's parameters", to->net->name);
}
