/* Distances between showers, and the classical encoders. */
#include "train/shower.h"

#include "base/transport.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS = TERN_TRIGGER_CELLS, ADDRESS = 6, CHARGE = 7, MOST_SUM = 9 };

const char *const tern_shower_encoder_names[] = {"best-choice", "threshold", "super-cell"};

/* ---- distance ------------------------------------------------------------------------------------------------------------- */

static double total(const float *x)
{
    double sum = 0;
    for (int c = 0; c < CELLS; c++) sum += (double)x[c];
    return sum;
}

/* What both have in common stays: no way is shorter than straight. */
double tern_shower_distance(const float *p, const float *q)
{
    double supply[CELLS], demand[CELLS], x[CELLS], y[CELLS], cost[CELLS * CELLS], ps = total(p),
                                                                                  qs = total(q);
    int from[CELLS] = {0}, to[CELLS] = {0}, n = 0, m = 0;
    for (int c = 0; c < CELLS; c++) {
        double d = (ps > 0 ? (double)p[c] / ps : 1.0 / CELLS) - (qs > 0 ? (double)q[c] / qs : 1.0 / CELLS);
        tern_trigger_cell(c, &x[c], &y[c]);
        if (d > 0) supply[n] = d, from[n++] = c;
        if (d < 0) demand[m] = -d, to[m++] = c;
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++) cost[i * m + j] = hypot(x[from[i]] - x[to[j]], y[from[i]] - y[to[j]]);
    return n && m ? tern_transport(n, m, supply, demand, cost) : 0;
}

/* ---- classical encoders ----------------------------------------------------------------------------------------------------- */

static int above(const float *charge, double threshold)
{
    int count = 0;
    for (int c = 0; c < CELLS; c++) count += (double)charge[c] > threshold;
    return count;
}

double tern_shower_threshold(const float *charges, int count, int bits)
{
    double low = 0, high = 1e4;
    for (int step = 0; step < 60; step++) {
        double middle = (low + high) / 2, cells = 0;
        for (int i = 0; i < count; i++) cells += above(charges + (ptrdiff_t)i * CELLS, middle);
        if (cells * (ADDRESS + CHARGE) <= (double)count * bits)
            high = middle;
        else
            low = middle;
    }
    return high;
}

/* Cells that best choice can send: with numbers, or with a bit for each cell that says whether it is sent. */
static int chosen(int bits)
{
    int numbered = bits / (ADDRESS + CHARGE), mapped = bits > CELLS ? (bits - CELLS) / CHARGE : 0;
    return numbered > mapped ? numbered : mapped;
}

static void send_largest(const float *charge, int count, float *decoded)
{
    bool sent[CELLS] = {false};
    for (int k = 0; k < count && k < CELLS; k++) {
        int best = -1;
        for (int c = 0; c < CELLS; c++)
            if (!sent[c] && (best < 0 || charge[c] > charge[best])) best = c;
        sent[best] = true;
        decoded[best] = (float)tern_charge_code((double)charge[best], CHARGE);
    }
}

static void send_sums(const float *charge, int bits, float *decoded)
{
    double sums[CELLS / 4] = {0};
    int each = bits / (CELLS / 4);
    if (each > MOST_SUM) each = MOST_SUM;
    for (int pass = 0; pass < 2; pass++)
        for (int c = 0; c < CELLS; c++) {
            int super = tern_shower_four(c);
            if (pass)
                decoded[c] = (float)(tern_charge_code(sums[super], each) / 4);
            else
                sums[super] += (double)charge[c];
        }
}

void tern_shower_encode(tern_shower_encoder encoder, const float *charge, int bits, double threshold,
                        float *decoded, int *spent)
{
    memset(decoded, 0, CELLS * sizeof *decoded);
    *spent = bits;
    if (encoder == TERN_BEST_CHOICE) send_largest(charge, chosen(bits), decoded);
    if (encoder == TERN_SUPER_CELL) send_sums(charge, bits, decoded);
    if (encoder != TERN_THRESHOLD) return;
    int count = above(charge, threshold);
    *spent = count * (ADDRESS + CHARGE);
    send_largest(charge, count, decoded);
}

/* ---- scores ----------------------------------------------------------------------------------------------------------------- */

typedef struct tern_judging {
    const float *charges, *decoded;
    double *distance;
} tern_judging;

static void judge_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tern_judging *j = context;
    j->distance[task] = tern_shower_distance(j->charges + task * CELLS, j->decoded + task * CELLS);
}

static double middle(double *x, int count, double share)
{
    tern_sort_numbers(x, (size_t)count);
    return x[(int)(share * (count - 1) + 0.5)];
}

/* Means of the half with few cells and of the other; `order` is room for a sort. */
static void split_score(const tern_judging *j, int count, double *order, tern_shower_score *s)
{
    int halves[2] = {0};
    for (int i = 0; i < count; i++) order[i] = above(j->charges + (ptrdiff_t)i * CELLS, 0);
    double median = middle(order, count, 0.5);
    for (int i = 0; i < count; i++) {
        bool dense = above(j->charges + (ptrdiff_t)i * CELLS, 0) > median;
        *(dense ? &s->dense : &s->sparse) += j->distance[i];
        halves[dense]++;
        s->mean += j->distance[i] / count;
    }
    s->sparse /= halves[0] ? halves[0] : 1;
    s->dense /= halves[1] ? halves[1] : 1;
    memcpy(order, j->distance, (size_t)count * sizeof *order);
    s->low = middle(order, count, 0.16);
    s->high = middle(order, count, 0.84);
}

tern_status tern_shower_judge(const float *charges, const float *decoded, int count, tern_pool *pool,
                              tern_shower_score *score)
{
    tern_judging j = {charges, decoded, tern_take_array((size_t)count + 1, sizeof *j.distance)};
    double *order = tern_take_array((size_t)count + 1, sizeof *order);
    bool room = j.distance && order && count > 0;
    *score = (tern_shower_score){0};
    if (room) {
        tern_pool_run(pool, count, judge_task, &j);
        split_score(&j, count, order, score);
    }
    tern_release(j.distance);
    tern_release(order);
    return room ? TERN_OK : tern_no_memory((size_t)count * sizeof *order, "distances");
}

tern_status tern_shower_compare(const tern_shower_options *options, int count, int bits, tern_pool *pool,
                                tern_shower_score scores[TERN_SHOWER_ENCODERS])
{
    size_t all = (size_t)count * CELLS;
    float *charges = tern_take_array(all, sizeof *charges), *decoded = tern_take_array(all, sizeof *decoded);
    tern_status status =
        charges && decoded ? TERN_OK : tern_no_memory(2 * all * sizeof *charges, "crossings");
    for (int i = 0; status == TERN_OK && i < count; i++)
        tern_shower(options, (uint64_t)i, charges + (ptrdiff_t)i * CELLS);
    double threshold = status == TERN_OK ? tern_shower_threshold(charges, count, bits) : 0;
    for (int e = 0; status == TERN_OK && e < TERN_SHOWER_ENCODERS; e++) {
        double spent = 0;
        for (int i = 0; i < count; i++) {
            int used;
            tern_shower_encode((tern_shower_encoder)e, charges + (ptrdiff_t)i * CELLS, bits, threshold,
                               decoded + (ptrdiff_t)i * CELLS, &used);
            spent += used;
        }
        status = tern_shower_judge(charges, decoded, count, pool, &scores[e]);
        scores[e].bits = spent / count;
    }
    tern_release(charges);
    tern_release(decoded);
    return status;
}
