/* What a call of a kernel takes, from calls of its class that tern probe measured: a regression over those that are like it.
 *
 * A product is described by the logarithms of its sizes and of its density, anything else by those of its bytes, the share of
 * them that is written, and its operations a byte; what is fitted is the logarithm of the seconds a multiply-accumulate, or a byte.  Outside the box that
 * the points of the class fill, its border counts: rates stay as they are beyond the largest, and no call is shorter than
 * the shortest. */
#include "machine/machine.h"

#include <math.h>
#include <string.h>

enum { FEATURES = 5 };

/* One description: `features` of it are used, and the seconds are those of `amount` multiply-accumulates or bytes. */
typedef struct tern_kernel_case {
    int features;
    double feature[FEATURES], amount;
} tern_kernel_case;

/* How quickly a point loses weight with its distance (octaves, squared), and how strongly slopes are drawn to 0. */
static const double near_by = 0.1, stiffness = 0.05;

static const char *conv_kind(const tern_product_shape *p)
{
    bool small = p->kernel_height == 3 && p->kernel_width == 3 && p->stride == 1;
    if (p->n == 1 && p->count > 1) return p->stride > 1 ? " depthwise strided" : " depthwise";
    if (p->count > 1) return " grouped";
    if (p->kernel_height == 1 && p->kernel_width == 1 && p->stride == 1) return " 1x1";
    return small && p->n >= 16 && p->k >= (int64_t)16 * 9 ? " 3x3"
                                                          : " window"; /* fewer channels: no Winograd */
}

void tern_kernel_class(const tern_task_work *t, char class[64])
{
    const tern_product_shape *p = &t->product;
    bool packed =
        tern_dtype_of(t->weights)->unpack != NULL || t->weights == TERN_F16 || t->weights == TERN_BF16;
    class[0] = 0;
    if (!t->operator_name) return;
    snprintf(class, 64, "%.24s%s%s%.8s%s", t->operator_name,
             p->count > 0 && p->kernel_height > 0 ? conv_kind(p) : "", packed ? " " : "",
             packed ? tern_dtype_of(t->weights)->name : "", t->bits ? " spikes" : "");
}

static tern_kernel_case product_case(double m, double n, double k, double count, double density)
{
    return (tern_kernel_case){
        FEATURES, {log2(m), log2(n), log2(k), log2(count), log2(fmax(density, 1e-4))}, m * n * k * count};
}

static tern_kernel_case stream_case(double bytes, double written, double operations)
{
    return (tern_kernel_case){
        3, {log2(bytes), log2(fmax(written, 1) / bytes), log2(fmax(operations, 1) / bytes)}, bytes};
}

static tern_kernel_case case_of_point(const tern_kernel_point *p)
{
    return p->m > 0 ? product_case(p->m, p->n, p->k, p->count, p->density)
                    : stream_case(p->bytes, p->written, p->operations);
}

static tern_kernel_case case_of_task(const tern_task_work *t)
{
    const tern_product_shape *p = &t->product;
    const tern_work *w = &t->work;
    if (p->count > 0 && p->m * p->n * p->k > 0) {
        double products = (double)p->m * (double)p->n * (double)p->k * (double)p->count;
        return product_case((double)p->m, (double)p->n, (double)p->k, (double)p->count,
                            t->bits ? w->accumulates / products : 1);
    }
    return stream_case(fmax(1, t->weight_bytes + t->state_bytes + t->read_bytes + t->written_bytes),
                       t->written_bytes, w->macs + w->accumulates + w->specials + w->elementwise);
}

/* Solves the symmetric, positive definite A x = b of `size` unknowns in place (Cholesky) and returns x[0]. */
static double solve_first(double a[FEATURES + 1][FEATURES + 1], double *b, int size)
{
    for (int i = 0; i < size; i++) {
        for (int j = 0; j <= i; j++) {
            for (int k = 0; k < j; k++) a[i][j] -= a[i][k] * a[j][k];
            a[i][j] = i == j ? sqrt(fmax(a[i][i], 1e-12)) : a[i][j] / a[j][j];
        }
        for (int k = 0; k < i; k++) b[i] -= a[i][k] * b[k];
        b[i] /= a[i][i];
    }
    for (int i = size - 1; i >= 0; i--) {
        for (int k = i + 1; k < size; k++) b[i] -= a[k][i] * b[k];
        b[i] /= a[i][i];
    }
    return b[0];
}

/* Normal equations of a line through the points, as seen from one place: unknown 0 is the value there, the others its slopes. */
typedef struct tern_kernel_fit {
    double a[FEATURES + 1][FEATURES + 1], b[FEATURES + 1], weight;
} tern_kernel_fit;

static void add_point(tern_kernel_fit *f, const tern_kernel_case *at, const tern_kernel_case *point,
                      double value)
{
    double row[FEATURES + 1] = {1}, distance = near_by;
    int size = at->features + 1;
    for (int i = 1; i < size; i++) {
        row[i] = point->feature[i - 1] - at->feature[i - 1];
        distance += row[i] * row[i];
    }
    double weight = 1 / (distance * distance);
    for (int i = 0; i < size; i++) {
        for (int j = 0; j < size; j++) f->a[i][j] += weight * row[i] * row[j];
        f->b[i] += weight * row[i] * value;
    }
    f->weight += weight;
}

bool tern_kernel_seconds(const tern_machine *m, const tern_task_work *task, double *seconds)
{
    char class[64];
    double low[FEATURES], high[FEATURES], least = INFINITY;
    if (m->kernel_count == 0) return false;
    tern_kernel_case at = case_of_task(task);
    tern_kernel_class(task, class);
    for (int i = 0; i < FEATURES; i++) low[i] = INFINITY, high[i] = -INFINITY;
    for (int i = 0; i < m->kernel_count; i++) {
        if (strcmp(m->kernels[i].kernel, class) != 0) continue;
        tern_kernel_case c = case_of_point(&m->kernels[i]);
        if (c.features != at.features) continue;
        for (int k = 0; k < c.features; k++) {
            low[k] = fmin(low[k], c.feature[k]);
            high[k] = fmax(high[k], c.feature[k]);
        }
        least = fmin(least, m->kernels[i].median);
    }
    if (!isfinite(least)) return false;
    for (int k = 0; k < at.features; k++) at.feature[k] = fmin(fmax(at.feature[k], low[k]), high[k]);
    tern_kernel_fit fit = {0};
    for (int i = 0; i < m->kernel_count; i++) {
        if (strcmp(m->kernels[i].kernel, class) != 0) continue;
        tern_kernel_case c = case_of_point(&m->kernels[i]);
        if (c.features == at.features) add_point(&fit, &at, &c, log2(m->kernels[i].median / c.amount));
    }
    for (int i = 1; i <= at.features; i++) fit.a[i][i] += stiffness * fit.weight;
    *seconds = fmax(least, at.amount * exp2(solve_first(fit.a, fit.b, at.features + 1)));
    return true;
}
