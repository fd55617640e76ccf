/* Folding: the best within a budget against all foldings, one by one; budgets and statistics of synthesis as texts. */
#include "test.h"

#include "emit/rtl.h"

#include <math.h>
#include <string.h>

enum { LAYERS = 4 };

/* Products and a maximum in a row, of some channels and sizes. */
static void make(tern_rtl *rtl, tern_rtl_layer layers[LAYERS], uint64_t seed)
{
    static const int channels[] = {2, 3, 4, 6, 8};
    tern_rng rng = {seed, 1};
    int c = channels[tern_rng_below(rng, 0, 5)], side = 4;
    memset(layers, 0, LAYERS * sizeof *layers);
    *rtl = (tern_rtl){.layers = layers, .count = LAYERS};
    for (int i = 0; i < LAYERS; i++) {
        tern_rtl_layer *l = &layers[i];
        bool pool = i == 1;
        int out = pool ? c : channels[tern_rng_below(rng, (uint64_t)i + 1, 5)], size = pool ? side / 2 : side;
        *l = (tern_rtl_layer){.kind = pool ? TERN_RTL_POOL : TERN_RTL_PRODUCT,
                              .name = "layer",
                              .in_c = c,
                              .in_h = side,
                              .in_w = side,
                              .out_c = out,
                              .out_h = size,
                              .out_w = size,
                              .kernel_h = pool ? 2 : 1,
                              .kernel_w = pool ? 2 : 1,
                              .stride_h = 1,
                              .stride_w = 1,
                              .in_bits = 2,
                              .weight_bits = i == 2 ? 6 : 2,
                              .sum_bits = 8,
                              .out_bits = 2};
        c = out;
        side = size;
    }
}

typedef struct figures {
    double luts, bram18, dsp, interval, latency;
} figures;

static figures measure(const tern_rtl *rtl)
{
    figures f = {.interval = (double)tern_rtl_interval(rtl), .latency = (double)tern_rtl_latency(rtl)};
    for (int i = 0; i < rtl->count; i++) {
        tern_rtl_cost c = tern_rtl_cost_of(&rtl->layers[i]);
        f.luts += c.luts;
        f.bram18 += c.bram18;
        f.dsp += c.dsp;
    }
    return f;
}

static bool keeps(const figures *f, const tern_rtl_budget *b)
{
    return f->luts <= b->luts + 1e-6 && f->bram18 <= b->bram18 && f->dsp <= b->dsp &&
           f->interval <= b->interval && f->latency <= b->latency;
}

/* Every folding from layer i on; the best of those that keep the budget. */
static void try_all(tern_rtl *rtl, int i, const tern_rtl_budget *b, figures *best)
{
    if (i == rtl->count) {
        figures f = measure(rtl);
        bool fast = isfinite(b->interval), same = f.interval == best->interval;
        if (!keeps(&f, b)) return;
        if (fast ? f.luts < best->luts : f.interval < best->interval || (same && f.luts < best->luts))
            *best = f;
        return;
    }
    tern_rtl_layer *l = &rtl->layers[i];
    for (int simd = 1; simd <= l->in_c; simd++)
        for (int pe = 1; pe <= l->out_c; pe++) {
            int before = i > 0 ? rtl->layers[i - 1].pe : simd;
            bool joins = before % simd == 0 || simd % before == 0;
            if (l->in_c % simd || l->out_c % pe || !joins || (l->kind == TERN_RTL_POOL && pe != simd))
                continue;
            l->simd = simd;
            l->pe = pe;
            try_all(rtl, i + 1, b, best);
        }
}

/* Limits between what the net takes at the least and at the most. */
static double between(tern_rng rng, uint64_t at, double low, double high)
{
    return low + (double)(tern_rng_below(rng, at, 1000)) / 999 * (high - low);
}

static void test_best(void **state)
{
    (void)state;
    int fits = 0, fails = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        tern_rtl rtl;
        tern_rtl_layer layers[LAYERS];
        tern_rng rng = {seed, 2};
        uint64_t which = tern_rng_below(rng, 9, 16);
        make(&rtl, layers, seed);
        for (int i = 0; i < LAYERS; i++) layers[i].pe = layers[i].simd = 1;
        figures most = measure(&rtl); /* cycles, at the most */
        tern_rtl_budget b = {INFINITY, INFINITY, INFINITY, INFINITY, INFINITY};
        if (which % 2) b.luts = between(rng, 0, 0.9 * most.luts, 3 * most.luts);
        if (which & 2) b.dsp = floor(between(rng, 1, 0, 12));
        if (which & 4) b.interval = floor(between(rng, 2, 0, most.interval / 3));
        if (which & 8) b.latency = floor(between(rng, 3, 0, most.latency));
        figures right = {INFINITY, INFINITY, INFINITY, INFINITY, INFINITY};
        try_all(&rtl, 0, &b, &right);
        tern_status status = tern_rtl_fold_best(&rtl, &b);
        assert_int_equal(status, isfinite(right.luts) ? TERN_OK : TERN_NO_FIT);
        fits += status == TERN_OK;
        fails += status != TERN_OK;
        if (status != TERN_OK) continue;
        figures f = measure(&rtl);
        assert_true(keeps(&f, &b));
        assert_true(fabs(f.luts - right.luts) < 1e-6);
        if (!isfinite(b.interval)) assert_true(f.interval == right.interval);
    }
    assert_true(fits > 20 && fails > 3);
}

static void test_budget(void **state)
{
    (void)state;
    tern_rtl_budget b;
    assert_ok(tern_rtl_parse_budget("dsp=0,luts=2e4,latency=300", &b));
    assert_true(b.dsp == 0 && b.luts == 20000 && b.latency == 300 && !isfinite(b.interval) &&
                !isfinite(b.bram18));
    static const char *const wrong[] = {"",        "luts",         "luts=",   "luts=x", "lut=3",
                                        "luts=-1", "luts=3;dsp=1", "luts=3,", "=3",     "luts=nan"};
    for (size_t i = 0; i < TERN_COUNT(wrong); i++)
        assert_int_equal(tern_rtl_parse_budget(wrong[i], &b), TERN_USAGE);
}

static const char statistics[] =
    "\n12. Printing statistics.\n\n=== net ===\n\n   Number of wires:  43\n   Number of cells:  5\n"
    "     FDRE  2\n     LUT2  1\n     net_block0  1\n\n=== net_block0 ===\n\n     CARRY4  9\n     LUT6  29\n"
    "     LUT2  3\n     RAM32M16  6\n     RAMB18E2  3\n     RAMB36E2  2\n     DSP48E2  4\n     INV  2\n\n"
    "=== net_block1 ===\n\n     FDRE  7\n     FDSE  1\n     RAM64M8  1\n\n=== net_gather1 ===\n\n     LUT4  "
    "5\n\n"
    "=== design hierarchy ===\n\n     LUT6  1000\n";

static void test_cells(void **state)
{
    (void)state;
    tern_rtl_cells c[4]; /* of so many modules, and of what is beside them */
    assert_ok(tern_rtl_read_cells(statistics, "net", c, 2));
    assert_true(c[0].luts == 29 + 3 + 6 * 8 + 2 && c[0].bram == 3 + 2 * 2 && c[0].dsp == 4 &&
                c[0].flip_flops == 0);
    assert_true(c[1].luts == 8 && c[1].flip_flops == 8);
    assert_true(c[2].luts == 1 + 5 && c[2].flip_flops == 2);
    assert_ok(tern_rtl_read_cells(statistics, "net", c, 0)); /* all together */
    assert_true(c[0].luts == 82 + 8 + 6 && c[0].flip_flops == 10);
    for (size_t n = 0; n < sizeof statistics; n++) { /* cut off: fewer modules */
        char text[sizeof statistics];
        memcpy(text, statistics, n);
        text[n] = 0;
        tern_status status = tern_rtl_read_cells(text, "net", c, 3);
        assert_int_equal(status, strstr(text, "net_gather1 ===") ? TERN_OK : TERN_FAILED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_best), cmocka_unit_test(test_budget),
                                       cmocka_unit_test(test_cells)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
