/* From numbers to the parameters of classic nets. */
#include "classic/classic.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

void tern_classic_close(tern_classic *learner)
{
    for (int i = 0; learner->class_names && i < learner->classes; i++) tern_release(learner->class_names[i]);
    tern_release(learner->class_names);
    tern_net_free(learner->parameters);
    tern_store_close(&learner->store);
    *learner = (tern_classic){0};
}

tern_status tern_classic_set(tern_classic *learner, const char *name, double value)
{
    return tern_net_set(learner->net, learner->parameters, name, value);
}

tern_status tern_classic_put(tern_store *store, const char *name, tern_dtype dtype, tern_shape shape,
                             const double *values)
{
    int index;
    tern_type type = {.dtype = dtype, .shape = shape};
    TERN_TRY(tern_store_need(store, name, &type, (tern_init){0}, 0, &index));
    const tern_tensor *t = &store->tensors[index];
    const tern_dtype_info *info = tern_dtype_of(dtype);
    for (int64_t i = 0; i < tern_elements(&shape); i++) {
        bool good = dtype == TERN_F32 ? fabs(values[i]) <= FLT_MAX
                                      : values[i] >= info->lowest && values[i] <= info->highest &&
                                            values[i] == floor(values[i]);
        if (!good)
            return tern_fail(TERN_FAILED, "%s: element %lld is %g, which %s does not hold", name,
                             (long long)i, values[i], info->name);
        tern_set(t, i, values[i]);
    }
    store->version++;
    return TERN_OK;
}

/* ---- trees ------------------------------------------------------------------------------------------------------- */

tern_status tern_forest_open(tern_forest *f, int64_t nodes, int64_t trees, int64_t classes)
{
    *f = (tern_forest){.classes = (int)classes};
    if (nodes > INT32_MAX || nodes * classes > INT32_MAX)
        return tern_fail(TERN_FAILED, "%lld nodes of trees and %lld classes, expected fewer than 2^31 values",
                         (long long)nodes, (long long)classes);
    double **fields[] = {&f->feature, &f->threshold, &f->left, &f->right};
    size_t n = (size_t)nodes + 1;
    for (size_t i = 0; i < TERN_COUNT(fields); i++)
        if (!(*fields[i] = tern_take_array(n, sizeof **fields[i]))) return tern_no_memory(n * 8, "trees");
    f->value = tern_take_array(n * (size_t)classes, sizeof *f->value);
    f->roots = tern_take_array((size_t)trees + 1, sizeof *f->roots);
    return f->value && f->roots ? TERN_OK : tern_no_memory(n * (size_t)classes * 8, "trees");
}

void tern_forest_free(tern_forest *f)
{
    double *fields[] = {f->feature, f->threshold, f->left, f->right, f->value, f->roots};
    for (size_t i = 0; i < TERN_COUNT(fields); i++) tern_release(fields[i]);
    *f = (tern_forest){0};
}

/* x <= t for floats x is x <= the largest float that is not above t. */
static double float_below(double t)
{
    float f = (float)t;
    return (double)f > t ? nextafterf(f, -INFINITY) : f;
}

tern_status tern_forest_put(const tern_forest *f, tern_classic *c)
{
    tern_store *s = &c->store;
    tern_dtype index = f->nodes <= 32767 ? TERN_I16 : TERN_I32;
    tern_shape nodes = TERN_SHAPE(f->nodes);
    for (int i = 0; i < f->nodes; i++) f->threshold[i] = float_below(f->threshold[i]);
    TERN_TRY(tern_classic_put(s, "trees.feature", index, nodes, f->feature));
    TERN_TRY(tern_classic_put(s, "trees.threshold", TERN_F32, nodes, f->threshold));
    TERN_TRY(tern_classic_put(s, "trees.left", index, nodes, f->left));
    TERN_TRY(tern_classic_put(s, "trees.right", index, nodes, f->right));
    TERN_TRY(tern_classic_put(s, "trees.roots", TERN_I32, TERN_SHAPE(f->trees), f->roots));
    TERN_TRY(tern_classic_put(s, "trees.value", TERN_F32, TERN_SHAPE(f->leaves, f->classes), f->value));
    TERN_TRY(tern_classic_set(c, "nodes", f->nodes));
    TERN_TRY(tern_classic_set(c, "leaves", f->leaves));
    TERN_TRY(tern_classic_set(c, "trees", f->trees));
    TERN_TRY(tern_classic_set(c, "depth", f->depth));
    return tern_classic_set(c, "classes", f->classes);
}

/* ---- Gaussians --------------------------------------------------------------------------------------------------- */

tern_status tern_gaussians_put(tern_classic *c, const char *layer, int64_t features, const double *mean,
                               const double *variance, const double *log_prior)
{
    int64_t classes = c->classes, n = classes * features;
    char name[64];
    double *precision = tern_take_array((size_t)n + 1, sizeof *precision);
    double *constant = tern_take_array((size_t)classes + 1, sizeof *constant);
    tern_status status = precision && constant ? TERN_OK : tern_no_memory((size_t)n * 8, "Gaussians");
    for (int64_t i = 0; status == TERN_OK && i < n; i++) {
        precision[i] = 0.5 / variance[i];
        constant[i / features] -= 0.5 * log(2 * acos(-1) * variance[i]);
        if (!(variance[i] > 0))
            status =
                tern_fail(TERN_FAILED, "the variance of class %lld, feature %lld is %g, expected above 0",
                          (long long)(i / features), (long long)(i % features), variance[i]);
    }
    for (int64_t i = 0; status == TERN_OK && i < classes; i++) constant[i] += log_prior[i];
    snprintf(name, sizeof name, "%s.mean", layer);
    if (status == TERN_OK)
        status = tern_classic_put(&c->store, name, TERN_F32, TERN_SHAPE(classes, features), mean);
    snprintf(name, sizeof name, "%s.precision", layer);
    if (status == TERN_OK)
        status = tern_classic_put(&c->store, name, TERN_F32, TERN_SHAPE(classes, features), precision);
    snprintf(name, sizeof name, "%s.constant", layer);
    if (status == TERN_OK)
        status = tern_classic_put(&c->store, name, TERN_F32, TERN_SHAPE(classes), constant);
    tern_release(precision);
    tern_release(constant);
    return status;
}
