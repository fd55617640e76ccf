/* Rows along the last axis. */
#include "kernel/rows.h"
#include "kernel/isa/math.h"

/* Four vectors at a time: a maximum takes longer than its operands do to arrive. */
static float highest(int64_t n, const float *x)
{
    const vf lowest = tern_all(-INFINITY);
    vf best[4] = {lowest, lowest, lowest, lowest};
    int64_t i = 0;
    for (; i + 4 * TERN_LANES <= n; i += 4 * TERN_LANES)
        for (int k = 0; k < 4; k++) best[k] = tern_higher(tern_load(x + i + k * TERN_LANES), best[k]);
    for (; i < n; i += TERN_LANES) best[0] = tern_higher(tern_load_some(x + i, n - i, lowest), best[0]);
    best[0] = tern_higher(tern_higher(best[0], best[1]), tern_higher(best[2], best[3]));
    float y = best[0][0];
    for (int l = 1; l < TERN_LANES; l++) y = best[0][l] > y ? best[0][l] : y;
    return y;
}

#define CHUNK 4096 /* floats that are summed in float before the sum goes on in double */

static double exp_sum(int64_t n, const float *x, float shift, float *y)
{
    double total = 0;
    for (int64_t from = 0; from < n; from += CHUNK) {
        int64_t to = from + CHUNK < n ? from + CHUNK : n, i = from;
        vf sum = {0};
        for (; i + TERN_LANES <= to; i += TERN_LANES) {
            vf e = tern_exp_of(tern_load(x + i) - tern_all(shift));
            if (y) tern_store(y + i, e);
            __builtin_prefetch(x + n + i, 0, 3); /* the next row: other loops over rows have no time for it */
            if (y) __builtin_prefetch(y + n + i, 1, 3);
            sum += e;
        }
        if (i < to) {
            vf e = tern_exp_of(tern_load_some(x + i, to - i, tern_all(-INFINITY)) - tern_all(shift));
            if (y) tern_store_some(y + i, e, to - i);
            for (int l = 0; l < to - i; l++) total += e[l];
        }
        float part = 0;
        for (int l = 0; l < TERN_LANES; l++) part += sum[l];
        total += part;
    }
    return total;
}

static void softmax_grad(int64_t n, const float *y, const float *dy, float dot, float *dx)
{
    for (int64_t i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - dot);
}

static void log_softmax_grad(int64_t n, const float *y, const float *dy, float sum, float *dx)
{
    for (int64_t i = 0; i < n; i += TERN_LANES) {
        vf e = tern_exp_of(tern_load_some(y + i, n - i, tern_all(0)));
        vf d = tern_load_some(dy + i, n - i, tern_all(0));
        tern_store_some(dx + i, d - e * tern_all(sum), n - i);
    }
}

/* Each lane keeps the first of its extremes; the first of those wins. */
static int64_t extreme(int64_t n, const float *x, bool highest_wanted)
{
    const vf sign = tern_all(highest_wanted ? 1 : -1), worst = tern_all(-INFINITY) * sign;
    vf best = tern_load_some(x, n, worst) * sign;
    vi lane, found;
    TERN_UNROLL for (int l = 0; l < TERN_LANES; l++) lane[l] = l;
    found = lane;
    for (int64_t i = TERN_LANES; i < n; i += TERN_LANES) {
        vf v = tern_load_some(x + i, n - i, worst) * sign;
        vi better = v > best;
        best = tern_choose(better, v, best);
        found = (better & (lane + (int32_t)i)) | (~better & found);
    }
    int at = 0;
    for (int l = 1; l < TERN_LANES && l < n; l++)
        if (best[l] > best[at] || (best[l] == best[at] && found[l] < found[at])) at = l;
    return found[at];
}

static void extremes(int64_t n, const float *x, bool highest_wanted, int32_t at, float *value, int32_t *index)
{
    const float sign = highest_wanted ? 1 : -1;
    for (int64_t i = 0; i < n; i++) {
        bool better = at == 0 || x[i] * sign > value[i] * sign;
        value[i] = better ? x[i] : value[i];
        index[i] = better ? at : index[i];
    }
}

static float distance(int64_t n, const float *x, const float *t, const float *w)
{
    const vf none = tern_all(0);
    vf sum[2] = {none, none};
    int64_t i = 0;
    for (; i + 2 * TERN_LANES <= n; i += 2 * TERN_LANES) {
        for (int k = 0; k < 2; k++) {
            vf d = tern_load(x + i + k * TERN_LANES) - tern_load(t + i + k * TERN_LANES);
            sum[k] += w ? d * d * tern_load(w + i + k * TERN_LANES) : d * d;
        }
    }
    for (; i < n; i += TERN_LANES) {
        vf d = tern_load_some(x + i, n - i, none) - tern_load_some(t + i, n - i, none);
        sum[0] += w ? d * d * tern_load_some(w + i, n - i, none) : d * d;
    }
    sum[0] += sum[1];
    float y = 0;
    for (int l = 0; l < TERN_LANES; l++) y += sum[0][l];
    return y;
}

extern const tern_rows TERN_FOR_ISA(tern_rows);
const tern_rows TERN_FOR_ISA(tern_rows) = {
    .distance = distance,
    .highest = highest,
    .exp_sum = exp_sum,
    .softmax_grad = softmax_grad,
    .log_softmax_grad = log_softmax_grad,
    .extreme = extreme,
    .extremes = extremes,
};
