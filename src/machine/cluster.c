/* Cycles of products on a cluster, from the instructions of their kernels. */
#include "machine/cluster.h"

#include <math.h>
#include <string.h>

tern_status tern_cluster_of(const tern_machine *m, tern_cluster *c)
{
    const tern_unit *u = NULL;
    for (int i = 0; i < m->unit_count && !u; i++)
        if (m->units[i].kind == TERN_UNIT_SIMD && m->units[i].count > 1 && m->units[i].clock > 0 &&
            m->units[i].rate[TERN_MAC][TERN_F32] > 0)
            u = &m->units[i];
    if (!u || m->tier_count < 2)
        return tern_fail(
            TERN_USAGE,
            "machine %s is no cluster: expected a unit of several cores with a clock and f32, a near "
            "memory and a far one",
            m->name);
    *c = (tern_cluster){.machine = m,
                        .cores = u->count,
                        .clock = u->clock,
                        .units = u->rate[TERN_MAC][TERN_F32] / u->clock,
                        .words = m->tiers[0].bandwidth / u->clock / 4,
                        .dma = m->tiers[1].bandwidth / u->clock,
                        .near_bytes = m->tiers[0].size,
                        .fork = m->launch * u->clock};
    return TERN_OK;
}

/* A kernel makes rows x columns of C at once, `depth` terms an iteration.  Loads step their address, loops cost nothing (both in
 * hardware); shuffles bring an element into both lanes. */
typedef struct cluster_kernel {
    const char *name;
    int rows, columns, depth;
    int loads, shuffles, fmas; /* of an iteration */
    int waits;                 /* cycles of it: for the load before, for a sum that has just been added to */
    bool halves;               /* needs two lanes */
    bool one_column;           /* lanes run along k: for m = 1 */
} cluster_kernel;

static const cluster_kernel kernels[] = {
    {"1x1", 1, 1, 1, 2, 0, 1, 1, false, false},     {"2x1", 2, 1, 1, 3, 0, 2, 1, false, false},
    {"4x1", 4, 1, 1, 5, 0, 4, 1, false, false},     {"8x1", 8, 1, 1, 9, 0, 8, 1, false, false},
    {"simd 2x4", 1, 2, 2, 3, 2, 2, 2, true, false}, {"simd 4x8", 2, 4, 2, 6, 4, 8, 1, true, false},
    {"simd dot", 1, 1, 2, 2, 0, 1, 1, true, true},
};

/* Instructions and waits of what is written in assembly, or could be. */
enum {
    BLOCK = 8,   /* addresses of a block, or of an element alone */
    TAP = 4,     /* of a term alone: two loads, wait, multiply-add */
    ELEMENT = 5, /* what is done element by element: load, wait, an operation, store, address */
    TURNED = 5   /* of a weight that is turned: load, wait, store, two addresses */
};

/* Cycles of an element of a window, and of a term of a depthwise convolution: instructions of PULP-TrainLib's functions (im2row,
 * naive; its sources of 2025), compiled with -O3 for RV32IMAFC, executed for maps of 16 x 16 x 16 and kernels of 3 x 3.  That
 * processor has no loops and stepping addresses in hardware, which save some, nor does it wait for loads and jumps, which costs some:
 * neither is known. */
static const double windows_inside[] = {10.3, 11.5}, windows_with_borders[] = {22.7, 24.2},
                    windows_of_gradients[] = {21.4, 21.9}, depthwise_forward = 10.2,
                    depthwise_of_weight = 6.6, depthwise_of_input = 12.4; /* [f32, 16 bits] */

/* Instructions with waits, multiply-add instructions and words of one core that makes n x m. */
typedef struct core_work {
    double instructions, fmas, words;
} core_work;

static core_work work_of(const cluster_kernel *v, int64_t n, int64_t k, int64_t m)
{
    int64_t blocks = n / v->rows * (m / v->columns), area = (int64_t)v->rows * v->columns;
    int64_t whole = k / v->depth, left = k % v->depth, rest = n * m - blocks * area;
    double in_block = (double)(whole * (v->loads + v->shuffles + v->fmas + v->waits) + left * TAP * area +
                               2 * area + BLOCK);
    double alone = (double)(TAP * k + 2 + BLOCK);
    return (core_work){.instructions = (double)blocks * in_block + (double)rest * alone,
                       .fmas = (double)blocks * (double)(whole * v->fmas + left * area) + (double)(rest * k),
                       .words = (double)blocks * (double)(whole * v->loads + left * 2 * area + area) +
                                (double)rest * (double)(2 * k + 1)};
}

/* Cycles of a core with the turns that it waits for: of two that ask at once, one waits a cycle.  Another core that shares its unit
 * asks as often as it does itself; each of the others asks for one of as many banks as there are words a cycle. */
static double with_turns(const tern_cluster *c, const core_work *w)
{
    if (!(w->instructions > 0)) return 0;
    double sharing = fmax(c->cores / c->units - 1, 0), fmas = w->fmas / w->instructions,
           words = w->words / w->instructions;
    return w->instructions + w->fmas * sharing * fmas / 2 + w->words * (c->cores - 1) * words / c->words / 2;
}

static double window_cycles(const tern_cluster_task *t)
{
    bool halves = t->lanes == 2;
    return (t->back ? windows_of_gradients : t->padded ? windows_with_borders : windows_inside)[halves];
}

static int64_t share_of(const tern_cluster *c, int64_t n)
{
    return (n + c->cores - 1) / c->cores;
}

/* The slowest of what must happen, which all can overlap. */
static void close_run(const tern_cluster *c, double forks, tern_cluster_run *r)
{
    const double times[] = {r->cores, r->units, r->words, r->dma};
    static const char *const names[] = {"cores", "FPU", "L1", "DMA"};
    r->cycles = 0;
    for (size_t i = 0; i < TERN_COUNT(times); i++)
        if (times[i] > r->cycles) r->cycles = times[i], r->bound = names[i];
    r->cycles += forks * c->fork;
}

/* Rows, columns, or whole products in equal shares; the largest share is a core's, of windows the share of its channels.  Windows
 * are made again for each tile of A. */
static void try_kernel(const tern_cluster *c, const tern_cluster_task *t, const cluster_kernel *v,
                       bool by_columns, double tiles, tern_cluster_run *best)
{
    bool whole = t->times >= c->cores;
    int64_t share = share_of(c, by_columns ? t->m : t->n), rounds = whole ? share_of(c, t->times) : t->times;
    core_work one = work_of(v, whole || by_columns ? t->n : share, t->k, whole || !by_columns ? t->m : share);
    core_work all = work_of(v, t->n, t->k, t->m);
    double windows = t->windows ? (double)t->times * tiles * (double)(t->k * t->m) : 0,
           turned = t->turned ? (double)t->times * (double)(t->n * t->k) : 0,
           copying = turned * TURNED / c->cores;
    if (windows > 0)
        copying += windows * window_cycles(t) * (double)share_of(c, t->channels) / (double)t->channels;
    tern_cluster_run r = {.kernel = v->name,
                          .by_columns = by_columns && !whole,
                          .macs = (double)t->times * (double)(t->n * t->k) * (double)t->m,
                          .cores = (double)rounds * with_turns(c, &one) + copying,
                          .units = (double)t->times * all.fmas / c->units,
                          .words = ((double)t->times * all.words + 2 * (windows + turned)) / c->words,
                          .dma = t->bytes / c->dma};
    close_run(c, windows + turned > 0 ? 2 : 1, &r);
    if (!best->kernel || r.cycles < best->cycles) *best = r;
}

/* Term by term.  Cores share the channels forward; of gradients the library has every core do all of them. */
static void run_depthwise(const tern_cluster *c, const tern_cluster_task *t, tern_cluster_run *run)
{
    double results = (double)t->times * (double)(t->n * t->m), terms = results * (double)t->k;
    double term = t->forward ? depthwise_forward : t->back ? depthwise_of_input : depthwise_of_weight;
    double share = t->forward ? (double)share_of(c, t->times) / (double)t->times : 1;
    core_work one = {
        .instructions = share * terms * term, .fmas = share * terms, .words = share * (2 * terms + results)};
    *run = (tern_cluster_run){.kernel = t->forward ? "depthwise" : "depthwise, not shared",
                              .macs = terms,
                              .cores = with_turns(c, &one),
                              .units = one.fmas * c->cores / c->units,
                              .words = one.words * c->cores / c->words,
                              .dma = t->bytes / c->dma};
    close_run(c, 1, run);
}

tern_status tern_cluster_product(const tern_cluster *c, const tern_cluster_task *t, tern_cluster_run *run)
{
    double element = t->lanes == 2 ? 2 : 4, row = element * (double)t->k;
    if (4 * row >
        c->near_bytes) /* a row of A and a column of B, each twice: one comes while the other is used */
        return tern_fail(TERN_NO_FIT, "%lld elements of A and of B do not fit into %.0f bytes, twice",
                         (long long)t->k, c->near_bytes);
    double tiles = ceil((double)t->n * row / (c->near_bytes / 2));
    *run = (tern_cluster_run){0};
    if (t->depthwise) {
        run_depthwise(c, t, run);
        return TERN_OK;
    }
    for (size_t i = 0; i < TERN_COUNT(kernels); i++) {
        const cluster_kernel *v = &kernels[i];
        if ((v->halves && t->lanes != 2) || (v->one_column && t->m != 1)) continue;
        for (int by_columns = 0; by_columns < 2; by_columns++) try_kernel(c, t, v, by_columns, tiles, run);
    }
    return TERN_OK;
}

void tern_cluster_elements(const tern_cluster *c, double elements, double bytes, int lanes,
                           tern_cluster_run *r)
{
    double words = ceil(elements / lanes);
    *r = (tern_cluster_run){.kernel = "element",
                            .cores = ceil(words / c->cores) * ELEMENT,
                            .units = words / c->units,
                            .words = 2 * words / c->words,
                            .dma = bytes / c->dma};
    close_run(c, 1, r);
}
