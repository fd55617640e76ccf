/* Ranges of activations, and the formats of bytes that follow. */
#include "quant/quant.h"

#include <math.h>

enum { BYTES = 256, SHARES = 100 };

void tern_range_widen(tern_range *r, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) continue;
        if (!r->seen || x[i] < r->low) r->low = (double)x[i];
        if (!r->seen || x[i] > r->high) r->high = (double)x[i];
        r->seen++;
    }
}

void tern_range_join(tern_range *r, const tern_range *other)
{
    if (!other->seen) return;
    if (!r->seen || other->low < r->low) r->low = other->low;
    if (!r->seen || other->high > r->high) r->high = other->high;
    r->seen += other->seen;
}

static double bin_width(const tern_range *r)
{
    return (r->high - r->low) / TERN_RANGE_BINS;
}

void tern_range_count(tern_range *r, const float *x, int64_t n)
{
    double width = bin_width(r);
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) continue;
        double at = width > 0 ? ((double)x[i] - r->low) / width : 0;
        int bin = at <= 0 ? 0 : at >= TERN_RANGE_BINS ? TERN_RANGE_BINS - 1 : (int)at;
        r->bins[bin]++;
    }
}

/* Bytes -128 .. 127 over low .. high, which contain 0; 0 is exact. */
static tern_int8_format format_of(double low, double high)
{
    low = fmin(low, 0);
    high = fmax(high, 0);
    tern_int8_format f = {(high - low) / 255, 0};
    if (!(f.scale > 0)) return (tern_int8_format){1, 0};
    f.scale = (double)(float)f.scale;
    f.zero = (int)fmin(fmax(nearbyint(-128 - low / f.scale), -128), 127);
    return f;
}

static double middle(const tern_range *r, int bin)
{
    return r->low + (bin + 0.5) * bin_width(r);
}

static tern_int8_format by_percentile(const tern_range *r, double percentile)
{
    double total = 0, part = 0, low = r->low, high = r->high;
    for (int b = 0; b < TERN_RANGE_BINS; b++) total += (double)r->bins[b];
    double cut = total * (100 - percentile) / 200; /* at each end */
    for (int b = 0; b < TERN_RANGE_BINS && part + (double)r->bins[b] <= cut; b++) {
        part += (double)r->bins[b];
        low = r->low + (b + 1) * bin_width(r);
    }
    part = 0;
    for (int b = TERN_RANGE_BINS - 1; b >= 0 && part + (double)r->bins[b] <= cut; b--) {
        part += (double)r->bins[b];
        high = r->low + b * bin_width(r);
    }
    return format_of(low, high);
}

static int byte_at(const tern_int8_format *f, double x)
{
    double q = nearbyint(x / f->scale) + f->zero;
    return (int)fmin(fmax(q, -128), 127);
}

static double squared_error(const tern_range *r, const tern_int8_format *f)
{
    double sum = 0;
    for (int b = 0; b < TERN_RANGE_BINS; b++) {
        double x = middle(r, b), error = x - f->scale * (byte_at(f, x) - f->zero);
        sum += error * error * (double)r->bins[b];
    }
    return sum;
}

/* Kullback-Leibler divergence of what bytes can tell apart from what was counted: each byte spreads what fell to it evenly
 * over the bins that were not empty (as TensorRT does); what is cut off counts to the outermost bin, which bytes do not see. */
static double divergence(const tern_range *r, const tern_int8_format *f)
{
    double inside[BYTES] = {0}, total = 0, kept = 0, sum = 0;
    int used[BYTES] = {0}, first = -1, last = -1;
    for (int b = 0; b < TERN_RANGE_BINS; b++) {
        double q = middle(r, b) / f->scale + f->zero;
        total += (double)r->bins[b];
        if (q < -128.5 || q > 127.5) continue;
        first = first < 0 ? b : first;
        last = b;
        kept += (double)r->bins[b];
        inside[byte_at(f, middle(r, b)) + 128] += (double)r->bins[b];
        used[byte_at(f, middle(r, b)) + 128] += r->bins[b] > 0;
    }
    if (first < 0 || kept <= 0) return INFINITY;
    double below = 0, above = 0;
    for (int b = 0; b < first; b++) below += (double)r->bins[b];
    for (int b = last + 1; b < TERN_RANGE_BINS; b++) above += (double)r->bins[b];
    for (int b = first; b <= last; b++) {
        double p = ((double)r->bins[b] + (b == first ? below : 0) + (b == last ? above : 0)) / total;
        int byte = byte_at(f, middle(r, b)) + 128;
        double q = used[byte] && r->bins[b] ? inside[byte] / used[byte] / kept : 0;
        if (p > 0)
            sum += q > 0 ? p * log(p / q) : p * 16; /* what has no counterpart costs as much as 2^-23 would */
    }
    return sum;
}

static tern_int8_format by_search(const tern_range *r,
                                  double (*loss)(const tern_range *, const tern_int8_format *))
{
    tern_int8_format best = format_of(r->low, r->high);
    double least = loss(r, &best);
    for (int s = SHARES - 1; s > 0; s--) {
        double share = (double)s / SHARES;
        tern_int8_format f = format_of(r->low * share, r->high * share);
        double l = loss(r, &f);
        if (l < least) {
            least = l;
            best = f;
        }
    }
    return best;
}

tern_int8_format tern_range_format(const tern_range *range, tern_calibrator calibrator, double percentile)
{
    switch (calibrator) {
    case TERN_PERCENTILE:
        return by_percentile(range, percentile);
    case TERN_LEAST_SQUARES:
        return by_search(range, squared_error);
    case TERN_ENTROPY:
        return by_search(range, divergence);
    case TERN_MIN_MAX:
        break;
    }
    return format_of(range->low, range->high);
}
