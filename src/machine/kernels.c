/* What a call of a kernel takes, from calls of its class that tern probe measured: a regression over those that are like it.
 *
 * A product is described by the logarithms of its sizes and of its density, anything else by those of its bytes, the share of
 * them that is written, its operations a byte, and how many elements share one of a smaller operand; what is fitted is the
 * logarithm of the seconds a multiply-accumulate, or a byte.  Outside the box that the points of the class fill, its border
 * counts: rates stay as they are beyond the largest, and no call is shorter than the shortest.  3x3 convolutions by tiles of
 * 4x4 outputs (kernel/winograd.c) have whole tiles for pixels.
 *
 * Two times are fitted so: of calls whose operands caches have, and of calls whose operands they have lost.  A task stands
 * between them by the share of its bytes that is too old for the caches. */
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

static int64_t tiles_of(const tern_product_shape *p)
{
    return (p->out_height + 3) / 4 * ((p->out_width + 3) / 4);
}

/* As tern_winograd_fits has it, but for images that are too large for it. */
static bool is_tiled(const tern_product_shape *p)
{
    return p->kernel_height == 3 && p->kernel_width == 3 && p->stride == 1 && p->count == 1 && p->n >= 16 &&
           p->k >= (int64_t)16 * 9 && p->out_height >= 3 && p->out_width >= 3 &&
           p->out_height * p->out_width >= 7 * tiles_of(p);
}

static const char *conv_kind(const tern_product_shape *p)
{
    if (p->n == 1 && p->count > 1) return p->stride > 1 ? " depthwise strided" : " depthwise";
    if (p->count > 1) return " grouped";
    if (p->kernel_height == 1 && p->kernel_width == 1 && p->stride == 1) return " 1x1";
    return is_tiled(p) ? " 3x3" : " window";
}

void tern_kernel_class(const tern_task_work *t, char class[64])
{
    const tern_product_shape *p = &t->product;
    bool packed =
        tern_dtype_of(t->weights)->unpack != NULL || t->weights == TERN_F16 || t->weights == TERN_BF16;
    class[0] = 0;
    if (!t->operator_name) return;
    snprintf(class, 64, "%.20s%s%s%.8s%s%s", t->operator_name,
             p->count > 0 && p->kernel_height > 0 ? conv_kind(p) : "", packed ? " " : "",
             packed ? tern_dtype_of(t->weights)->name : "", t->bits ? " spikes" : "",
             t->defined ? " defined" : "");
}

double tern_kernel_rows(const tern_task_work *t)
{
    const tern_product_shape *p = &t->product;
    return is_tiled(p) && !t->bits ? 16.0 * (double)(tiles_of(p) * p->images) : (double)p->m;
}

static tern_kernel_case product_case(double m, double n, double k, double count, double density)
{
    return (tern_kernel_case){
        FEATURES, {log2(m), log2(n), log2(k), log2(count), log2(fmax(density, 1e-4))}, m * n * k * count};
}

static tern_kernel_case stream_case(double bytes, double written, double operations, double spread)
{
    return (tern_kernel_case){4,
                              {log2(bytes), log2(fmax(written, 1) / bytes), log2(fmax(operations, 1) / bytes),
                               log2(fmax(spread, 1))},
                              bytes};
}

static tern_kernel_case case_of_point(const tern_kernel_point *p)
{
    return p->m > 0 ? product_case(p->m, p->n, p->k, p->count, p->density)
                    : stream_case(p->bytes, p->written, p->operations, p->spread);
}

static tern_kernel_case case_of_task(const tern_task_work *t)
{
    const tern_product_shape *p = &t->product;
    const tern_work *w = &t->work;
    if (p->count > 0 && p->m * p->n * p->k > 0) {
        double products = (double)p->m * (double)p->n * (double)p->k * (double)p->count;
        return product_case(tern_kernel_rows(t), (double)p->n, (double)p->k, (double)p->count,
                            t->bits ? w->accumulates / products : 1);
    }
    return stream_case(fmax(1, t->weight_bytes + t->state_bytes + t->read_bytes + t->written_bytes),
                       t->written_bytes, w->macs + w->accumulates + w->specials + w->elementwise, t->spread);
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

/* How many threads share a product's weights, each of which then reads its own part of them again and again: those of few rows are cut
 * so, from 256 Ki products on (kernel/gemm.c), of a convolution of few pixels from 64 Ki on (kernel/few_columns.c). */
static double weight_owners(const tern_machine *m, const tern_task_work *t)
{
    const tern_product_shape *p = &t->product;
    enum { FEW_ROWS = 16, FEW_PIXELS = 4 };
    int64_t least = p->kernel_height > 0 && p->m <= FEW_PIXELS ? 64 * 1024 : 256 * 1024;
    bool cut = p->count == 1 && p->m <= FEW_ROWS && p->m * p->n * p->k >= least;
    return cut ? fmax(1, m->threads) : 1;
}

/* The share of a task's bytes that caches of the machine's `near` bytes have lost.  A cache does not forget at its size all at once:
 * a random walk through it finds a few lines gone at 0.8 of it, four tenths at its size, nearly all at half as much again.  Of what
 * threads hand on, a thread wrote its own share itself; the others' lies in their caches. */
static double lost_share(const tern_machine *m, const tern_task_work *t)
{
    double lost = 0, all = 0, near = m->near * weight_owners(m, t);
    for (int i = 0; i < TERN_AGES; i++) {
        double age = TERN_YOUNGEST * exp2(i / 2.0 - 0.25); /* the middle of the bucket */
        lost += t->aged[i] * fmin(fmax(0.4 + log2(age / near), 0), 1);
        all += t->aged[i];
    }
    if (near <= 0 || all <= 0) return 0;
    double foreign = t->handed / all * (1 - 1 / fmax(1, m->threads));
    return lost / all + (1 - lost / all) * foreign;
}

/* The points of a class, and the box that they fill. */
typedef struct tern_kernel_box {
    char class[64];
    double low[FEATURES], high[FEATURES], least, least_far; /* least: of their seconds */
    int count;
} tern_kernel_box;

static bool is_like(const tern_kernel_box *box, const tern_kernel_point *p, const tern_kernel_case *at,
                    tern_kernel_case *point)
{
    if (strcmp(p->kernel, box->class) != 0) return false;
    *point = case_of_point(p);
    return point->features == at->features;
}

static void find_box(const tern_machine *m, const tern_kernel_case *at, tern_kernel_box *box)
{
    for (int i = 0; i < FEATURES; i++) box->low[i] = INFINITY, box->high[i] = -INFINITY;
    box->least = box->least_far = INFINITY;
    for (int i = 0; i < m->kernel_count; i++) {
        const tern_kernel_point *p = &m->kernels[i];
        tern_kernel_case c;
        if (!is_like(box, p, at, &c)) continue;
        for (int k = 0; k < c.features; k++) {
            box->low[k] = fmin(box->low[k], c.feature[k]);
            box->high[k] = fmax(box->high[k], c.feature[k]);
        }
        box->least = fmin(box->least, p->median);
        if (p->far > 0) box->least_far = fmin(box->least_far, p->far);
        box->count++;
    }
}

/* Seconds of calls with near or far operands; NAN: no point has them. */
static double fitted(const tern_machine *m, const tern_kernel_box *box, const tern_kernel_case *at, bool far)
{
    tern_kernel_fit fit = {0};
    for (int i = 0; i < m->kernel_count; i++) {
        const tern_kernel_point *p = &m->kernels[i];
        double seconds = far ? p->far : p->median;
        tern_kernel_case c;
        if (seconds > 0 && is_like(box, p, at, &c)) add_point(&fit, at, &c, log2(seconds / c.amount));
    }
    if (fit.weight == 0) return NAN;
    for (int i = 1; i <= at->features; i++) fit.a[i][i] += stiffness * fit.weight;
    return fmax(far ? box->least_far : box->least,
                at->amount * exp2(solve_first(fit.a, fit.b, at->features + 1)));
}

bool tern_kernel_seconds(const tern_machine *m, const tern_task_work *task, double *seconds)
{
    tern_kernel_box box = {.count = 0};
    if (m->kernel_count == 0) return false;
    tern_kernel_case at = case_of_task(task);
    tern_kernel_class(task, box.class);
    find_box(m, &at, &box);
    if (box.count == 0) return false;
    for (int k = 0; k < at.features; k++) at.feature[k] = fmin(fmax(at.feature[k], box.low[k]), box.high[k]);
    double lost = lost_share(m, task), far = lost > 0 ? fitted(m, &box, &at, true) : NAN;
    *seconds = fitted(m, &box, &at, false);
    if (far > *seconds) *seconds += lost * (far - *seconds);
    return true;
}
